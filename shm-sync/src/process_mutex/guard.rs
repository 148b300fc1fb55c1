//! What a locker of a process mutex gets: a guard that may go to any thread, or the guard together with the news of a death.
//!
//! A guard knows which locking it is (`word::Hold`) and in which process, so that it releases that one and nothing else.

use super::ProcessMutex;
use super::word::Hold;
use crate::condvar::{Relock, Unready, WaitGuard};
use crate::error::{Error, ErrorKind};
use crate::mutex::raw::name_in;
use core::fmt;
use core::mem;
use shm_core::fork_count;

/// Why a lock call did not simply get the lock.
pub(super) enum Trouble {
    /// It has the lock, and the news.
    OwnerDied(Hold),
    Failed(Error),
}

/// The lock is held by this process; dropping this gives it up.
///
/// It may go to another thread. If a thread began to panic while it held the guard, the next locker is told that the owner died. In a forked child an
/// inherited guard is void: dropping it does nothing.
///
/// ```
/// # use shm_sync::{Primitive, ProcessMutex};
/// let lock = ProcessMutex::anonymous(())?;
/// let guard = lock.lock()?;
/// drop(guard);
/// assert_eq!(lock.holder(), None);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[must_use = "dropping the guard gives the lock up at once"]
pub struct ProcessMutexGuard<'a> {
    mutex: &'a ProcessMutex,
    hold: Hold,
    /// The low bits of the process's fork count, and `UNWINDING`.
    stamp: u32,
}

/// The thread was unwinding already when it locked: its panic says nothing about what the lock guards.
const UNWINDING: u32 = 1 << 31;

impl<'a> ProcessMutexGuard<'a> {
    /// The guard of a lock that this process has just taken.
    #[inline(always)]
    pub(super) fn new(mutex: &'a ProcessMutex, hold: Hold) -> Self {
        let unwinding = if std::thread::panicking() { UNWINDING } else { 0 };
        Self { mutex, hold, stamp: fork_count() as u32 & !UNWINDING | unwinding }
    }

    /// Leaves the lock taken, without a guard, until somebody calls [`ProcessMutex::release`] or this process dies.
    ///
    /// News that was not dealt with stays: see [`ProcessMutex::recover`]. [`ProcessMutex::held`] makes a guard again.
    ///
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// lock.lock()?.keep();
    /// assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// lock.release()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn keep(self) {
        mem::forget(self);
    }

    /// Declares what the lock guards sound, for everybody, and goes on holding the lock: for guards that came with
    /// [`ProcessLockError::OwnerDied`] or from [`ProcessMutex::repair`].
    ///
    /// Does nothing if a stranger has released the lock meanwhile, or in a forked child.
    ///
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// let guard = lock.repair()?.recover();
    /// drop(guard);
    /// drop(lock.lock()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(self) -> Self {
        if self.is_valid() {
            self.mutex.set_sound(Some(self.hold));
        }
        self
    }

    /// Whether this is the process that locked.
    #[inline(always)]
    fn is_valid(&self) -> bool {
        (self.stamp ^ fork_count() as u32) & !UNWINDING == 0
    }
}

impl WaitGuard for ProcessMutexGuard<'_> {}

impl<'a> Relock for ProcessMutexGuard<'a> {
    type Error = ProcessLockError<'a>;
    type Value = Self;
    type Away = &'a ProcessMutex;

    fn name(&self) -> Result<u32, Unready> {
        if !self.is_valid() {
            return Err(Unready::INHERITED);
        }
        let raw = self.mutex.handle.raw();
        if !raw.owner.is_held(Some(self.hold)) {
            return Err(Unready(ErrorKind::NotHeld, "somebody else has released the lock of this guard"));
        }
        Ok(name_in(&raw.name))
    }

    fn give_up(self) -> Self::Away {
        self.mutex // dropped here: the lock is free
    }

    fn is_in_trouble(away: &Self::Away) -> bool {
        away.handle.raw().is_in_trouble()
    }

    fn take_back(away: Self::Away) -> Result<Self, Self::Error> {
        away.lock()
    }

    fn is_held(error: &Self::Error) -> bool {
        matches!(error, ProcessLockError::OwnerDied(_))
    }

    fn failed(error: Error) -> Self::Error {
        ProcessLockError::Failed(error)
    }

    fn value(&mut self) -> &mut Self {
        self
    }
}

impl Drop for ProcessMutexGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_valid() {
            return;
        }
        let as_dead = std::thread::panicking() && self.stamp & UNWINDING == 0;
        if as_dead || !self.mutex.handle.raw().owner.release_plain(self.hold) {
            self.mutex.give_up(Some(self.hold), as_dead);
        }
    }
}

impl fmt::Debug for ProcessMutexGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMutexGuard").field("mutex", self.mutex).finish_non_exhaustive()
    }
}

/// Why a lock call did not simply give a guard.
///
/// Converted into [`Error`] (by `?`, for one) it gives up what a dead owner left: the guard is dropped, the mutex poisoned.
///
/// ```
/// use shm_sync::{Primitive, ProcessLockError, ProcessMutex};
///
/// let lock = ProcessMutex::anonymous(())?;
/// // What the lock guards needs no mending: take it as it is.
/// let guard = lock.lock().or_else(ProcessLockError::recover)?;
/// # drop(guard);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub enum ProcessLockError<'a> {
    /// The lock *is* held, and its last holder died: the news goes to this caller alone. Mend what the lock guards and
    /// [`recover`](ProcessMutexGuard::recover).
    OwnerDied(ProcessMutexGuard<'a>),
    /// The lock is not held.
    Failed(Error),
}

impl<'a> ProcessLockError<'a> {
    /// The kind of failure, for branching.
    ///
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// # let lock = ProcessMutex::anonymous(())?;
    /// # let _guard = lock.lock()?;
    /// assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OwnerDied(_) => ErrorKind::OwnerDied,
            Self::Failed(error) => error.kind(),
        }
    }

    /// Takes what the dead holder left as it is.
    ///
    /// # Errors
    /// Those of a lock that is not held.
    ///
    /// ```
    /// # use shm_sync::{Primitive, ProcessLockError, ProcessMutex};
    /// # let lock = ProcessMutex::anonymous(())?;
    /// drop(lock.lock().or_else(ProcessLockError::recover)?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(self) -> Result<ProcessMutexGuard<'a>, Error> {
        match self {
            Self::OwnerDied(guard) => Ok(guard.recover()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<ProcessLockError<'_>> for Error {
    fn from(error: ProcessLockError<'_>) -> Self {
        match error {
            ProcessLockError::OwnerDied(guard) => guard.mutex.handle.error("lock", ErrorKind::OwnerDied),
            ProcessLockError::Failed(error) => error,
        }
    }
}

impl fmt::Debug for ProcessLockError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl fmt::Display for ProcessLockError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => {
                f.write_str("the process mutex is locked, but its last holder died with it")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProcessLockError<'_> {}
