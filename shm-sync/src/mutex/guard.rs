//! What a locker gets: the guard of a lock, or the guard of a lock whose last holder died.
//!
//! Guards stay in the thread that locked, and know the generation of its registration: in a forked child they are void. The
//! lock itself is `raw`'s.

#![allow(unsafe_code, reason = "guards lend the value that their lock owns")]

use super::Mutex;
use crate::base::robust::Me;
use crate::error::{Error, ErrorKind};
use bytemuck::Pod;
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
pub struct MutexGuard<'a, T: Pod + Send> {
    mutex: &'a Mutex<T>,
    /// The generation of the thread's registration, and `UNWINDING`. (A guard is two words, so that it travels in registers.)
    stamp: u64,
    /// The guard stays in its thread.
    stays: PhantomData<*const ()>,
}

/// The thread was unwinding already when it locked: its panic says nothing about this value.
const UNWINDING: u64 = 1 << 63;

impl<'a, T: Pod + Send> MutexGuard<'a, T> {
    /// The guard of a lock that the calling thread has just taken as `me`.
    #[inline(always)]
    pub(crate) fn new(mutex: &'a Mutex<T>, me: Me) -> Self {
        let unwinding = if std::thread::panicking() { UNWINDING } else { 0 };
        Self { mutex, stamp: me.generation() | unwinding, stays: PhantomData }
    }

    /// The thread that locked, unless this is a forked child of its process.
    #[inline(always)]
    pub(crate) fn me(&self) -> Option<Me> {
        Me::of(self.stamp & !UNWINDING)
    }

    /// The mutex that is locked.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }

    /// Whether the thread began to panic while it had the guard.
    #[inline(always)]
    fn is_unwinding(&self) -> bool {
        std::thread::panicking() && self.stamp & UNWINDING == 0
    }

    #[inline(always)]
    fn assert_valid(&self) {
        if self.me().is_none() {
            void();
        }
    }
}

#[cold]
fn void() -> ! {
    panic!("this guard belongs to the process that locked the mutex; a forked child has to lock for itself")
}

impl<T: Pod + Send> Deref for MutexGuard<'_, T> {
    type Target = T;

    /// Lends the value.
    ///
    /// # Panics
    /// In a forked child that inherited the guard: the parent, which has the lock, may be writing.
    #[inline(always)]
    fn deref(&self) -> &T {
        self.assert_valid();
        // SAFETY: the value is mapped, aligned (at most 64, behind a lock that is) and any bytes are a `T` (Pod). This process holds the lock,
        // so nobody who keeps the rules of `Mutex` writes; within the process the borrow of the guard sees to it.
        unsafe { self.mutex.value().as_ref() }
    }
}

impl<T: Pod + Send> DerefMut for MutexGuard<'_, T> {
    /// Lends the value for writing.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.assert_valid();
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { self.mutex.value().as_mut() }
    }
}

impl<T: Pod + Send> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(me) = self.me() else { return };
        if self.is_unwinding() {
            self.mutex.raw().unlock_as_dead(me);
        } else {
            self.mutex.raw().unlock(me);
        }
    }
}

impl<T: Pod + Send + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The lock is held, but its last holder died with it: the value may be half-written.
///
/// Look at the value, mend it, and turn this into a usual guard with [`recover`](Self::recover). Dropped without that, it poisons the mutex.
/// A thread that dies or panics with it leaves the news to the next locker.
///
/// ```
/// use shm_sync::{LockError, Mutex, Primitive};
///
/// let mutex = Mutex::anonymous(1u32)?;
/// let elsewhere = mutex.clone();
/// std::thread::spawn(move || {
///     let _guard = elsewhere.lock();
///     panic!("half-way through");
/// }).join().unwrap_err();
///
/// let Err(LockError::OwnerDied(mut left)) = mutex.lock() else { panic!("that was not told") };
/// *left = 0;
/// drop(left.recover());
/// assert_eq!(*mutex.lock()?, 0);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[must_use = "dropping this poisons the mutex; mend the value and call `recover`"]
pub struct RecoveryGuard<'a, T: Pod + Send> {
    guard: Option<MutexGuard<'a, T>>,
}

impl<'a, T: Pod + Send> RecoveryGuard<'a, T> {
    pub(crate) fn new(guard: MutexGuard<'a, T>) -> Self {
        Self { guard: Some(guard) }
    }

    /// Declares the value sound, for everybody, and goes on holding the lock.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    ///
    /// ```
    /// # # use shm_sync::Primitive;
    /// # let mutex = shm_sync::Mutex::anonymous(1u32)?;
    /// let mut guard = mutex.repair()?.recover();
    /// *guard += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(mut self) -> MutexGuard<'a, T> {
        let guard = self.guard.take().expect("only `recover` and `drop` take the guard");
        guard.assert_valid();
        guard.mutex.raw().set_poisoned(false);
        guard
    }
}

impl<T: Pod + Send> Deref for RecoveryGuard<'_, T> {
    type Target = T;

    /// Lends the value as the dead holder left it.
    fn deref(&self) -> &T {
        self.guard.as_ref().expect("only `recover` and `drop` take the guard")
    }
}

impl<T: Pod + Send> DerefMut for RecoveryGuard<'_, T> {
    /// Lends the value for mending.
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("only `recover` and `drop` take the guard")
    }
}

impl<T: Pod + Send> Drop for RecoveryGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(guard) = &self.guard
            && guard.me().is_some()
            && !guard.is_unwinding()
        {
            guard.mutex.raw().set_poisoned(true);
        }
    }
}

impl<T: Pod + Send + fmt::Debug> fmt::Debug for RecoveryGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecoveryGuard").field(&**self).finish()
    }
}

/// Why a lock call did not simply give a guard.
///
/// Converted into [`Error`] (by `?`, for one) it gives up a dead owner's value: the recovery guard is dropped, the mutex poisoned. It
/// borrows the mutex, so where a function returns a boxed error, say `mutex.lock().map_err(shm_sync::Error::from)?`.
///
/// ```
/// use shm_sync::{LockError, Mutex, Primitive};
///
/// let counter = Mutex::anonymous(0u64)?;
/// // A counter is sound after every single store: take it as it is.
/// let guard = counter.lock().or_else(LockError::recover)?;
/// # drop(guard);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub enum LockError<'a, T: Pod + Send> {
    /// The lock *is* held, and its last holder died: the news goes to this caller alone.
    OwnerDied(RecoveryGuard<'a, T>),
    /// The lock is not held.
    Failed(Error),
}

impl<'a, T: Pod + Send> LockError<'a, T> {
    /// The kind of failure, for branching.
    ///
    /// ```
    /// # use shm_sync::{ErrorKind, Mutex, Primitive};
    /// # let mutex = Mutex::anonymous(0u8)?;
    /// # let _guard = mutex.lock()?;
    /// assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OwnerDied(_) => ErrorKind::OwnerDied,
            Self::Failed(error) => error.kind(),
        }
    }

    /// Takes the value as the dead holder left it: for values that every single store leaves sound.
    ///
    /// # Errors
    /// Those of a lock that is not held.
    ///
    /// ```
    /// # use shm_sync::{LockError, Mutex, Primitive};
    /// # let mutex = Mutex::anonymous(0u8)?;
    /// *mutex.lock().or_else(LockError::recover)? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(self) -> Result<MutexGuard<'a, T>, Error> {
        match self {
            Self::OwnerDied(left) => Ok(left.recover()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl<T: Pod + Send> From<LockError<'_, T>> for Error {
    fn from(error: LockError<'_, T>) -> Self {
        match error {
            LockError::OwnerDied(left) => left.guard.as_ref().map_or_else(
                || Error::new("lock the mutex", ErrorKind::OwnerDied),
                |guard| guard.mutex.named(Error::new("lock the mutex", ErrorKind::OwnerDied)),
            ),
            LockError::Failed(error) => error,
        }
    }
}

impl<T: Pod + Send> fmt::Debug for LockError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<T: Pod + Send> fmt::Display for LockError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => {
                f.write_str("the mutex is locked, but its last holder died and the value may be half-written")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<T: Pod + Send> std::error::Error for LockError<'_, T> {}
