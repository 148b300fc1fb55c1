//! What a locker of a reader-writer lock gets: one of several guards for reading, or the only one for writing.
//!
//! Guards stay in the thread that locked and are void in a forked child. The lock itself is `raw`'s.

#![allow(unsafe_code, reason = "guards lend the value that their lock owns")]

use super::RwLock;
use super::raw::{Hold, WRITE};
use crate::base::robust::Me;
use crate::error::{Error, ErrorKind};
use crate::guard::{Exclusive, Guard, Stamp, void};
use crate::value::Value;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// The value can be read, by this guard's holder and by others; dropping it ends that.
///
/// It stays in the thread that locked, references to it included; the value that it lends may be shared with other threads. A
/// holder that dies or panics has changed nothing, so nobody is told. In a forked child an inherited guard is void: dropping it does
/// nothing, and reaching for the value panics.
///
/// ```
/// use shm_sync::{Primitive, RwLock};
///
/// let lock = RwLock::<[u32; 2]>::anonymous([1, 2])?;
/// let (one, another) = (lock.read()?, lock.read()?);
/// assert_eq!(one[0] + another[1], 3);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[must_use = "dropping the guard gives the lock up at once"]
pub struct RwLockReadGuard<'a, T: ?Sized + Value + Sync, const READERS: usize = 62> {
    lock: &'a RwLock<T, READERS>,
    hold: Hold,
    /// The guard stays in its thread.
    stays: PhantomData<*const ()>,
}

impl<'a, T: ?Sized + Value + Sync, const READERS: usize> RwLockReadGuard<'a, T, READERS> {
    #[inline(always)]
    pub(super) fn new(lock: &'a RwLock<T, READERS>, hold: Hold) -> Self {
        Self { lock, hold, stays: PhantomData }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Deref for RwLockReadGuard<'_, T, READERS> {
    type Target = T;

    /// Lends the value.
    ///
    /// # Panics
    /// In a forked child that inherited the guard: the parent, which has the lock, may give it up, and then others write.
    #[inline(always)]
    fn deref(&self) -> &T {
        if self.hold.me().is_none() {
            void();
        }
        // SAFETY: the value is mapped, aligned (at most 64, behind a lock that is) and any bytes are a `T` (Pod). This thread holds a
        // reader's slot or the gate, so nobody who keeps the rules of `RwLock` writes.
        unsafe { self.lock.value().as_ref() }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Drop for RwLockReadGuard<'_, T, READERS> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(me) = self.hold.me() {
            self.lock.raw().end_reading(self.hold, me);
        }
    }
}

impl<T: ?Sized + Value + Sync + fmt::Debug, const READERS: usize> fmt::Debug
    for RwLockReadGuard<'_, T, READERS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A reader that gets the news of a dead writer holds the lock for writing until it has recovered the value.
impl<'a, T: ?Sized + Value + Sync, const READERS: usize> Guard for RwLockReadGuard<'a, T, READERS> {
    type Exclusive = RwLockWriteGuard<'a, T, READERS>;

    fn of_exclusive(exclusive: Self::Exclusive) -> Self {
        exclusive.downgrade()
    }
}

/// The value can be written, by this guard's holder alone; dropping it gives the lock up.
///
/// It stays in the thread that locked, references to it included. If the thread dies or begins to panic while it has the guard, the next
/// locker is told. In a forked child an inherited guard is void: dropping it does nothing, and reaching for the value panics.
///
/// ```
/// use shm_sync::{Primitive, RwLock};
///
/// let lock = RwLock::<[u32; 2]>::anonymous([1, 2])?;
/// let mut guard = lock.write()?;
/// guard[1] = 5;
/// drop(guard);
/// assert_eq!(*lock.read()?, [1, 5]);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[must_use = "dropping the guard gives the lock up at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized + Value + Sync, const READERS: usize = 62> {
    lock: &'a RwLock<T, READERS>,
    stamp: Stamp,
    /// The guard stays in its thread.
    stays: PhantomData<*const ()>,
}

impl<'a, T: ?Sized + Value + Sync, const READERS: usize> RwLockWriteGuard<'a, T, READERS> {
    #[inline(always)]
    pub(super) fn new(lock: &'a RwLock<T, READERS>, me: Me) -> Self {
        Self { lock, stamp: Stamp::new(me), stays: PhantomData }
    }

    /// Goes on as a reader, with no writer in between; other readers may come in. Does not wait.
    ///
    /// A holder that dies from here on has left the value sound.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RwLock};
    /// let lock = RwLock::<u32>::anonymous(1)?;
    /// let mut guard = lock.write()?;
    /// *guard = 2;
    /// let guard = guard.downgrade();
    /// assert_eq!(*guard + *lock.try_read()?, 4);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn downgrade(self) -> RwLockReadGuard<'a, T, READERS> {
        let Some(me) = self.stamp.me() else { void() };
        let lock = self.lock;
        core::mem::forget(self);
        RwLockReadGuard::new(lock, lock.raw().downgrade(me))
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Deref for RwLockWriteGuard<'_, T, READERS> {
    type Target = T;

    /// Lends the value.
    ///
    /// # Panics
    /// In a forked child that inherited the guard: the parent, which has the lock, may be writing.
    #[inline(always)]
    fn deref(&self) -> &T {
        self.stamp.assert_valid();
        // SAFETY: the value is mapped, aligned (at most 64, behind a lock that is) and any bytes are a `T` (Pod). This thread holds the gate
        // and every reader's slot was free after that, so nobody who keeps the rules of `RwLock` reads or writes; within the thread the
        // borrow of the guard sees to it.
        unsafe { self.lock.value().as_ref() }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> DerefMut for RwLockWriteGuard<'_, T, READERS> {
    /// Lends the value for writing.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.stamp.assert_valid();
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { self.lock.value().as_mut() }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Drop for RwLockWriteGuard<'_, T, READERS> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(me) = self.stamp.me() {
            self.lock.raw().end_writing(me, self.stamp.is_unwinding());
        }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Guard for RwLockWriteGuard<'_, T, READERS> {
    type Exclusive = Self;

    fn of_exclusive(exclusive: Self) -> Self {
        exclusive
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> Exclusive for RwLockWriteGuard<'_, T, READERS> {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn set_poisoned(&self, poisoned: bool) {
        self.lock.raw().set_poisoned(poisoned);
    }

    fn error(&self, kind: ErrorKind) -> Error {
        self.lock.named(Error::new(WRITE, kind))
    }
}

impl<T: ?Sized + Value + Sync + fmt::Debug, const READERS: usize> fmt::Debug
    for RwLockWriteGuard<'_, T, READERS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
