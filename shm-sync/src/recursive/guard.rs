//! What a locker of a recursive mutex gets: one of perhaps several guards of one thread, which lend the value as a cell.
//!
//! Guards stay in the thread that locked and are void in a forked child. The lock itself is `raw`'s.

#![allow(unsafe_code, reason = "guards lend the value that their lock owns")]

use super::RecursiveMutex;
use super::raw::LOCK;
use crate::base::robust::Me;
use crate::base::word::Acquired;
use crate::condvar::{Relock, Unready, WaitGuard};
use crate::error::{Error, ErrorKind};
use crate::guard::{Exclusive, Guard, LockError, RecoveryGuard, Stamp};
use crate::value::Value;
use bytemuck::Pod;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;

/// The lock is held by this thread, perhaps through other guards as well; dropping the last one gives it up, in whatever order.
///
/// It lends a [`Cell`]: other guards of the thread may be in use, so nobody gets a reference to the value itself; it is copied out
/// ([`get`](Cell::get)), in ([`set`](Cell::set)) and exchanged ([`replace`](Cell::replace), [`update`](Cell::update)). The fields of a large array
/// are reached one by one: [`as_array_of_cells`](Cell::as_array_of_cells).
///
/// The guard stays in the thread that locked, and so does the cell. If the thread began to panic while it held the guard, the next locker is
/// told that the owner died, when the last guard is gone. In a forked child an inherited guard is void: dropping it does nothing, and
/// reaching for the value panics.
///
/// ```
/// use shm_sync::{Primitive, RecursiveMutex};
///
/// let mutex = RecursiveMutex::anonymous([1u32, 2])?;
/// let outer = mutex.lock()?;
/// let inner = mutex.lock()?;
/// outer.as_array_of_cells()[1].set(7);
/// assert_eq!(inner.get(), [1, 7]);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// It cannot leave its thread, and neither can the cell:
/// ```compile_fail,E0277
/// # use shm_sync::{Primitive, RecursiveMutex};
/// let mutex = RecursiveMutex::anonymous(0u8).unwrap();
/// let guard = mutex.lock().unwrap();
/// let cell = &*guard;
/// std::thread::scope(|scope| scope.spawn(move || cell.set(1)));
/// ```
#[must_use = "dropping the guard gives the lock up at once"]
pub struct RecursiveMutexGuard<'a, T: ?Sized + Value> {
    mutex: &'a RecursiveMutex<T>,
    stamp: Stamp,
    /// The guard stays in its thread.
    stays: PhantomData<*const ()>,
}

impl<'a, T: ?Sized + Value> RecursiveMutexGuard<'a, T> {
    #[inline(always)]
    pub(super) fn new(mutex: &'a RecursiveMutex<T>, me: Me) -> Self {
        Self { mutex, stamp: Stamp::new(me), stays: PhantomData }
    }
}

impl<T: ?Sized + Value> Deref for RecursiveMutexGuard<'_, T> {
    type Target = Cell<T>;

    /// Lends the value.
    ///
    /// # Panics
    /// In a forked child that inherited the guard: the parent, which has the lock, may be writing.
    #[inline(always)]
    fn deref(&self) -> &Cell<T> {
        self.stamp.assert_valid();
        // SAFETY: the value is mapped, aligned (at most 64, behind a lock that is) and any bytes are a `T` (Pod), which a `Cell` is laid out
        // as. This thread holds the lock, so nobody else who keeps the rules of `RecursiveMutex` reads or writes. Within the
        // thread there are only such cells (guards lend nothing else, and neither they nor cells go to other threads).
        unsafe { &*(self.mutex.value().as_ptr() as *const Cell<T>) }
    }
}

impl<T: ?Sized + Value> Drop for RecursiveMutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(me) = self.stamp.me() {
            self.mutex.raw().unlock(me, self.stamp.is_unwinding());
        }
    }
}

impl<T: ?Sized + Value> WaitGuard for RecursiveMutexGuard<'_, T> {}

impl<'a, T: ?Sized + Value> Relock for RecursiveMutexGuard<'a, T> {
    type Error = LockError<Self>;
    type Value = Self;
    /// The mutex, and how many other guards the thread has.
    type Away = (&'a RecursiveMutex<T>, u64);

    fn name(&self) -> Result<u32, Unready> {
        self.stamp.me().map(|_| self.mutex.raw().name()).ok_or(Unready::INHERITED)
    }

    fn give_up(self) -> Self::Away {
        let (mutex, stamp) = (self.mutex, self.stamp);
        mem::forget(self);
        // (`name` has been given, so the thread is there.) The other guards lend cells of a lock that is not held now, but the thread waits,
        // and they do not leave it.
        let others = stamp.me().map_or(0, |me| mutex.raw().unlock_all(me, stamp.is_unwinding()));
        (mutex, others)
    }

    fn is_in_trouble((mutex, _): &Self::Away) -> bool {
        mutex.raw().is_in_trouble(mutex.guarded())
    }

    fn take_back((mutex, others): Self::Away) -> Result<Self, Self::Error> {
        match mutex.raw().lock_all(mutex.guarded(), others) {
            Ok((me, Acquired::Clean)) => Ok(Self::new(mutex, me)),
            Ok((me, Acquired::OwnerDied)) => {
                Err(LockError::OwnerDied(RecoveryGuard::new(Self::new(mutex, me))))
            }
            Err(error) => Err(LockError::Failed(mutex.named(error))),
        }
    }

    fn is_held(error: &Self::Error) -> bool {
        matches!(error, LockError::OwnerDied(_))
    }

    fn failed(error: Error) -> Self::Error {
        LockError::Failed(error)
    }

    fn value(&mut self) -> &mut Self {
        self
    }
}

impl<T: ?Sized + Value> Guard for RecursiveMutexGuard<'_, T> {
    type Exclusive = Self;

    fn of_exclusive(exclusive: Self) -> Self {
        exclusive
    }
}

impl<T: ?Sized + Value> Exclusive for RecursiveMutexGuard<'_, T> {
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

impl<T: Pod + Send + fmt::Debug> fmt::Debug for RecursiveMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
