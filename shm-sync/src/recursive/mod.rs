//! `RecursiveMutex<T>`: a value in shared pages that one thread of one process at a time can reach, and that thread as often as it likes.
//!
//! The value lies right behind the lock's 64 bytes. This file leaves the counting to `raw`, the guards to `guard`, the waiting and the dying to
//! the mutex, and where the bytes come from to `primitive`.

#![allow(
    unsafe_code,
    reason = "the value lies in shared pages, behind a lock that the type system does not know"
)]

mod guard;
mod raw;

pub use guard::RecursiveMutexGuard;

use crate::base::robust::Me;
use crate::base::slot::Wait;
use crate::base::word::Acquired;
use crate::error::Error;
use crate::guard::{LockError, LockResult, RecoveryGuard, Trouble};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use crate::value::Value;
use bytemuck::Pod;
use core::fmt;
use core::ptr::NonNull;
use raw::RawRecursiveMutex;
use std::time::{Duration, Instant};

const REPAIR: &str = "repair the recursive mutex";

/// A robust mutex that its holder can lock again, and that owns a value in shared pages, between threads and processes alike.
///
/// A `RecursiveMutex` is a handle: several handles, in several processes, name one lock; [`Clone`] makes another. The lock is owned by the
/// *thread* that takes it. That thread can lock as often as it likes; the lock is free again when the last of its
/// [`RecursiveMutexGuard`]s is gone, in whatever order they go. They lend a [`Cell`](std::cell::Cell), because two of them may be in use
/// at once.
///
/// # When a holder dies
/// As for [`Mutex`](crate::Mutex), however often the holder had locked: exactly one next locker gets [`LockError::OwnerDied`] with the lock, and
/// recovers the value or poisons it. A panic that drops one of several guards is news too, once the last of them is gone.
///
/// # Fork and signals
/// As for [`Mutex`](crate::Mutex): guards are void in a forked child; all processes have to be in one pid namespace; locking is not for signal
/// handlers.
///
/// # Examples
/// ```
/// use shm_sync::{LockResult, Primitive, RecursiveMutex, RecursiveMutexGuard};
///
/// fn add(mutex: &RecursiveMutex<u64>, amount: u64) -> LockResult<RecursiveMutexGuard<'_, u64>> {
///     let guard = mutex.lock()?;
///     guard.set(guard.get() + amount);
///     if amount > 1 {
///         add(mutex, amount - 1)?; // has the lock already
///     }
///     Ok(guard)
/// }
/// let sum = RecursiveMutex::anonymous(0u64)?;
/// assert_eq!(add(&sum, 4)?.get(), 10);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct RecursiveMutex<T: ?Sized + Value> {
    handle: Handle<RawRecursiveMutex>,
    length: T::Length,
}

// SAFETY: the handle is a pointer to pages that stay mapped while it (or another handle, or its segment) exists, whichever thread uses it; the
// value is only reached through the lock, by one thread at a time, and `T: Send` allows it to be another one each time.
unsafe impl<T: ?Sized + Value> Send for RecursiveMutex<T> {}
// SAFETY: as above; the lock itself consists of atomics.
unsafe impl<T: ?Sized + Value> Sync for RecursiveMutex<T> {}

impl<T: Pod + Send> RecursiveMutex<T> {
    /// How many bytes the lock and its value take.
    ///
    /// ```
    /// assert_eq!(shm_sync::RecursiveMutex::<u64>::SIZE, 72);
    /// ```
    pub const SIZE: usize = {
        assert!(align_of::<T>() <= 64, "the value's alignment is at most that of the lock, 64");
        assert!(size_of::<T>() <= u32::MAX as usize, "the value is smaller than 4 GiB");
        size_of::<RawRecursiveMutex>() + size_of::<T>()
    };

    /// How the address of a recursive mutex has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::RecursiveMutex::<u8>::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawRecursiveMutex>();
}

impl<T: ?Sized + Value> RecursiveMutex<T> {
    /// Takes the lock, waiting for it as long as it takes; at once if this thread has it. Signals do not end the wait.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] *with the lock* if its last holder died. Without it: [`ErrorKind::TooDeep`](crate::ErrorKind::TooDeep) if this thread has taken it four
    /// thousand million times, [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned), [`ErrorKind::TooManyLocks`](crate::ErrorKind::TooManyLocks) (a thread holds 2 000 locks at most, each
    /// counted once), [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{LockError, Primitive, RecursiveMutex};
    /// let mutex = RecursiveMutex::anonymous(1u32)?;
    /// let guard = match mutex.lock() {
    ///     Ok(guard) => guard,
    ///     Err(LockError::OwnerDied(left)) => {
    ///         left.set(0); // half-made, perhaps: start anew
    ///         left.recover()
    ///     }
    ///     Err(LockError::Failed(error)) => return Err(error),
    /// };
    /// assert_eq!(mutex.lock()?.get(), guard.get());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<RecursiveMutexGuard<'_, T>> {
        self.lock_with(Wait::forever)
    }

    /// Takes the lock if that is possible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if another thread holds it; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RecursiveMutex};
    /// let mutex = RecursiveMutex::anonymous(0u8)?;
    /// let (guard, again) = (mutex.lock()?, mutex.try_lock()?);
    /// let elsewhere = mutex.clone();
    /// std::thread::spawn(move || {
    ///     assert_eq!(elsewhere.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// }).join().unwrap();
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> LockResult<RecursiveMutexGuard<'_, T>> {
        self.lock_with(|| Wait::Not)
    }

    /// Takes the lock, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) if it was not free in that time; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RecursiveMutex};
    /// # use std::time::Duration;
    /// let mutex = RecursiveMutex::anonymous(0u8)?;
    /// mutex.lock_timeout(Duration::from_millis(100))?.set(1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> LockResult<RecursiveMutexGuard<'_, T>> {
        let wait = Wait::timeout(timeout);
        self.lock_with(|| wait)
    }

    /// Takes the lock, waiting for it until `deadline` at most. A deadline that has passed still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) if it was not free before; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RecursiveMutex};
    /// # use std::time::{Duration, Instant};
    /// let mutex = RecursiveMutex::anonymous(0u8)?;
    /// mutex.lock_until(Instant::now() + Duration::from_secs(1))?.set(1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_until(&self, deadline: Instant) -> LockResult<RecursiveMutexGuard<'_, T>> {
        let wait = Wait::until(deadline);
        self.lock_with(|| wait)
    }

    /// Takes the lock, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) after a signal; otherwise as [`lock_until`](Self::lock_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RecursiveMutex};
    /// let mutex = RecursiveMutex::anonymous(0u8)?;
    /// match mutex.lock_interruptible(None) {
    ///     Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers, call again */ }
    ///     other => other?.set(1),
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_interruptible(&self, deadline: Option<Instant>) -> LockResult<RecursiveMutexGuard<'_, T>> {
        let wait = Wait::interruptible(deadline);
        self.lock_with(|| wait)
    }

    /// Takes the lock in whatever state the value is, to mend it: the way back from [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned).
    ///
    /// Waits as [`lock`](Self::lock) does. The value counts as given up until [`RecoveryGuard::recover`] says otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock) if this thread has the lock; otherwise as [`lock`](Self::lock), without [`LockError::OwnerDied`] and
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RecursiveMutex};
    /// let mutex = RecursiveMutex::anonymous(7u32)?;
    /// drop(mutex.repair()?); // given up
    /// assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    /// let left = mutex.repair()?;
    /// left.set(0);
    /// drop(left.recover());
    /// assert_eq!(mutex.lock()?.get(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn repair(&self) -> Result<RecoveryGuard<RecursiveMutexGuard<'_, T>>, Error> {
        match self.raw().repair(self.guarded(), REPAIR) {
            Ok(me) => Ok(RecoveryGuard::new(RecursiveMutexGuard::new(self, me))),
            Err(error) => Err(self.named(error)),
        }
    }

    // What is not inlined here returns in registers, as in `Mutex`.
    #[inline(always)]
    fn lock_with(&self, wait: impl FnOnce() -> Wait) -> LockResult<RecursiveMutexGuard<'_, T>> {
        let me = match self.raw().lock_free(self.guarded()) {
            Some(me) => me,
            None => match self.lock_slowly(wait()) {
                Ok(me) => me,
                Err(trouble) => {
                    return Err(match *trouble {
                        Trouble::OwnerDied(me) => {
                            LockError::OwnerDied(RecoveryGuard::new(RecursiveMutexGuard::new(self, me)))
                        }
                        Trouble::Failed(error) => LockError::Failed(self.named(error)),
                    });
                }
            },
        };
        Ok(RecursiveMutexGuard::new(self, me))
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(&self, wait: Wait) -> Result<Me, Box<Trouble>> {
        match self.raw().lock(self.guarded(), wait) {
            Ok((me, Acquired::Clean)) => Ok(me),
            Ok((me, Acquired::OwnerDied)) => Err(Box::new(Trouble::OwnerDied(me))),
            Err(error) => Err(Box::new(Trouble::Failed(error))),
        }
    }

    #[cold]
    fn named(&self, error: Error) -> Error {
        error.on(self.handle.name())
    }

    #[inline(always)]
    fn raw(&self) -> &RawRecursiveMutex {
        self.handle.raw()
    }

    /// The bytes of a new one.
    pub(crate) fn image_of(initial: &T::Initial) -> Result<Image, Error> {
        Handle::<RawRecursiveMutex>::image_guarding::<T>(initial)
    }

    /// The one at `place`.
    pub(crate) fn open_at(place: Placement, verb: &str) -> Result<Self, Error> {
        let (handle, length) = Handle::open_guarding::<T>(place, verb)?;
        Ok(Self { handle, length })
    }

    /// How long the value is.
    pub(crate) fn length(&self) -> T::Length {
        self.length
    }

    /// The identity that the bytes have to have.
    #[inline(always)]
    pub(crate) fn guarded(&self) -> u64 {
        Handle::<RawRecursiveMutex>::identity_guarding::<T>(self.length)
    }

    #[inline(always)]
    fn value(&self) -> NonNull<T> {
        T::at(self.handle.tail(), self.length)
    }
}

impl<T: Pod + Send> Object for RecursiveMutex<T> {
    type Initial = T;

    const KIND: Kind = Kind::RECURSIVE_MUTEX;

    fn image(value: T) -> Result<Image, Error> {
        Self::image_of(&value)
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        Self::open_at(place, verb)
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one recursive mutex; `Initial` is the value that it guards. Zero bytes are a free, never used one with a value of zeros.
impl<T: Pod + Send> Primitive for RecursiveMutex<T> {}

impl<T: ?Sized + Value> Clone for RecursiveMutex<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), length: self.length }
    }
}

impl<T: ?Sized + Value> fmt::Debug for RecursiveMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecursiveMutex").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
