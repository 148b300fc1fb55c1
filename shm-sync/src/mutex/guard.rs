//! What a locker gets: the guard of a mutex.
//!
//! Guards stay in the thread that locked, and know the generation of its registration: in a forked child they are void. What they share with
//! the guards of other locks is in `crate::guard`; the lock itself is `raw`'s.

#![allow(unsafe_code, reason = "guards lend the value that their lock owns")]

use super::{LOCK, Mutex};
use crate::base::robust::Me;
use crate::condvar::{Relock, Unready, WaitGuard};
use crate::error::{Error, ErrorKind};
use crate::guard::{Exclusive, Guard, LockError, Stamp};
use crate::value::Value;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// The lock is held and the value can be used; dropping this gives the lock up.
///
/// The guard stays in the thread that locked, references to it included; the value that it lends may be shared with other threads.
///
/// If the thread began to panic while it held the guard, the next locker is told that the owner died. In a forked child an inherited
/// guard is void: dropping it does nothing, and reaching for the value panics.
///
/// ```
/// # use shm_sync::Primitive;
/// let mutex = shm_sync::Mutex::anonymous([0u8; 4])?;
/// let mut guard = mutex.lock()?;
/// guard[3] = 9;
/// assert_eq!(guard.iter().sum::<u8>(), 9);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// It cannot leave its thread:
/// ```compile_fail,E0277
/// # use shm_sync::Primitive;
/// let mutex = shm_sync::Mutex::anonymous(0u8).unwrap();
/// let guard = mutex.lock().unwrap();
/// std::thread::scope(|scope| scope.spawn(move || drop(guard)));
/// ```
#[must_use = "dropping the guard gives the lock up at once"]
pub struct MutexGuard<'a, T: ?Sized + Value> {
    mutex: &'a Mutex<T>,
    stamp: Stamp,
    /// The guard stays in its thread.
    stays: PhantomData<*const ()>,
}

impl<'a, T: ?Sized + Value> MutexGuard<'a, T> {
    /// The guard of a lock that the calling thread has just taken as `me`.
    #[inline(always)]
    pub(crate) fn new(mutex: &'a Mutex<T>, me: Me) -> Self {
        Self { mutex, stamp: Stamp::new(me), stays: PhantomData }
    }
}

impl<T: ?Sized + Value> WaitGuard for MutexGuard<'_, T> {}

impl<'a, T: ?Sized + Value> Relock for MutexGuard<'a, T> {
    type Error = LockError<Self>;
    type Value = T;
    type Away = &'a Mutex<T>;

    fn name(&self) -> Result<u32, Unready> {
        self.stamp.me().map(|_| self.mutex.raw().name()).ok_or(Unready::INHERITED)
    }

    fn give_up(self) -> Self::Away {
        self.mutex // dropped here: the lock is free
    }

    fn is_in_trouble(away: &Self::Away) -> bool {
        away.is_in_trouble()
    }

    fn take_back(away: Self::Away) -> Result<Self, Self::Error> {
        away.lock()
    }

    fn is_held(error: &Self::Error) -> bool {
        matches!(error, LockError::OwnerDied(_))
    }

    fn failed(error: Error) -> Self::Error {
        LockError::Failed(error)
    }

    fn value(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + Value> Guard for MutexGuard<'_, T> {
    type Exclusive = Self;

    fn of_exclusive(exclusive: Self) -> Self {
        exclusive
    }
}

impl<T: ?Sized + Value> Exclusive for MutexGuard<'_, T> {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn set_poisoned(&self, poisoned: bool) {
        self.mutex.raw().set_poisoned(poisoned);
    }

    fn error(&self, kind: ErrorKind) -> Error {
        self.mutex.named(Error::new(LOCK, kind))
    }
}

impl<T: ?Sized + Value> Deref for MutexGuard<'_, T> {
    type Target = T;

    /// Lends the value.
    ///
    /// # Panics
    /// In a forked child that inherited the guard: the parent, which has the lock, may be writing.
    #[inline(always)]
    fn deref(&self) -> &T {
        self.stamp.assert_valid();
        // SAFETY: the value is mapped, aligned (at most 64, behind a lock that is) and any bytes are a `T` (Pod). This process holds the lock,
        // so nobody who keeps the rules of `Mutex` writes; within the process the borrow of the guard sees to it.
        unsafe { self.mutex.value().as_ref() }
    }
}

impl<T: ?Sized + Value> DerefMut for MutexGuard<'_, T> {
    /// Lends the value for writing.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.stamp.assert_valid();
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { self.mutex.value().as_mut() }
    }
}

impl<T: ?Sized + Value> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(me) = self.stamp.me() else { return };
        if self.stamp.is_unwinding() {
            self.mutex.raw().unlock_as_dead(me);
        } else {
            self.mutex.raw().unlock(me);
        }
    }
}

impl<T: ?Sized + Value + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
