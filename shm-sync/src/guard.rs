//! What the guards of all locks share: the stamp that ties a guard to its thread, and what a locker gets after a holder's death.
//!
//! A lock has one or several kinds of guards ([`Guard`]); one of them holds it alone ([`Exclusive`]), and that one is what a [`RecoveryGuard`]
//! keeps while the value is mended. What a guard lends, and how it gives its lock up, is the business of each lock.

use crate::base::robust::Me;
use crate::error::{Error, ErrorKind};
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Which thread took a lock: the generation of its registration, and whether it was unwinding then. (One word, so that a guard travels in
/// registers.)
#[derive(Clone, Copy, Debug)]
pub struct Stamp(u64);

/// The thread was unwinding already when it locked: its panic says nothing about this value.
const UNWINDING: u64 = 1 << 63;

impl Stamp {
    /// The stamp of a lock that the calling thread has just taken as `me`.
    #[inline(always)]
    pub(crate) fn new(me: Me) -> Self {
        let unwinding = if std::thread::panicking() { UNWINDING } else { 0 };
        Self(me.generation() | unwinding)
    }

    /// The thread that locked, unless this is a forked child of its process.
    #[inline(always)]
    pub(crate) fn me(self) -> Option<Me> {
        Me::of(self.0 & !UNWINDING)
    }

    /// Whether the thread began to panic while it had the guard.
    #[inline(always)]
    pub(crate) fn is_unwinding(self) -> bool {
        std::thread::panicking() && self.0 & UNWINDING == 0
    }

    /// Panics in a forked child that inherited the guard.
    #[inline(always)]
    pub(crate) fn assert_valid(self) {
        if self.me().is_none() {
            void();
        }
    }
}

/// What reaching through a guard does in a forked child that inherited it.
#[cold]
pub(crate) fn void() -> ! {
    panic!("this guard belongs to the process that took the lock; a forked child has to lock for itself")
}

/// A guard that a lock can be asked for. Public by name only.
pub trait Guard: Sized {
    /// The guard that holds the same lock alone.
    type Exclusive: Exclusive;

    /// Turns that one into this one.
    fn of_exclusive(exclusive: Self::Exclusive) -> Self;
}

/// A guard that holds its lock alone, and so may say whether the value is sound. Public by name only.
pub trait Exclusive {
    /// Who has it.
    fn stamp(&self) -> Stamp;

    /// Marks the value as given up, or as sound again. Called only while the stamp is valid.
    fn set_poisoned(&self, poisoned: bool);

    /// An error of the lock call that got it.
    fn error(&self, kind: ErrorKind) -> Error;
}

/// What a lock call returns: the guard, or why it is not simply the guard.
///
/// ```
/// use shm_sync::{LockResult, Mutex, MutexGuard, Primitive};
///
/// fn locked(mutex: &Mutex<u64>) -> LockResult<MutexGuard<'_, u64>> {
///     mutex.lock()
/// }
/// *locked(&Mutex::anonymous(1)?)? += 1;
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub type LockResult<G> = Result<G, LockError<G>>;

/// The lock is held, alone, but its last holder died with it: the value may be half-written.
///
/// `G` is the guard that was asked for. Look at the value, mend it, and turn this into that guard with [`recover`](Self::recover).
/// Dropped without that, it poisons the lock. A thread that dies or panics with it leaves the news to the next locker.
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
#[must_use = "dropping this poisons the lock; mend the value and call `recover`"]
pub struct RecoveryGuard<G: Guard> {
    guard: Option<G::Exclusive>,
}

impl<G: Guard> RecoveryGuard<G> {
    pub(crate) fn new(guard: G::Exclusive) -> Self {
        Self { guard: Some(guard) }
    }

    /// Declares the value sound, for everybody, and gives the guard that was asked for.
    ///
    /// # Panics
    /// In a forked child that inherited the guard.
    ///
    /// ```
    /// # use shm_sync::Primitive;
    /// # let mutex = shm_sync::Mutex::anonymous(1u32)?;
    /// let mut guard = mutex.repair()?.recover();
    /// *guard += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(mut self) -> G {
        let guard = self.guard.take().expect("only `recover` and `drop` take the guard");
        guard.stamp().assert_valid();
        guard.set_poisoned(false);
        G::of_exclusive(guard)
    }

    fn held(&self) -> &G::Exclusive {
        self.guard.as_ref().expect("only `recover` and `drop` take the guard")
    }
}

impl<G: Guard> Deref for RecoveryGuard<G>
where
    G::Exclusive: Deref,
{
    type Target = <G::Exclusive as Deref>::Target;

    /// Lends the value as the dead holder left it.
    fn deref(&self) -> &Self::Target {
        self.held()
    }
}

impl<G: Guard> DerefMut for RecoveryGuard<G>
where
    G::Exclusive: DerefMut,
{
    /// Lends the value for mending.
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.guard.as_mut().expect("only `recover` and `drop` take the guard")
    }
}

impl<G: Guard> Drop for RecoveryGuard<G> {
    fn drop(&mut self) {
        if let Some(guard) = &self.guard
            && guard.stamp().me().is_some()
            && !guard.stamp().is_unwinding()
        {
            guard.set_poisoned(true);
        }
    }
}

impl<G: Guard> fmt::Debug for RecoveryGuard<G>
where
    G::Exclusive: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecoveryGuard").field(self.held()).finish()
    }
}

/// Why a lock call did not simply give the guard `G`.
///
/// Converted into [`Error`] (by `?`, for one) it gives up a dead owner's value: the recovery guard is dropped, the lock poisoned. It
/// borrows the lock, so where a function returns a boxed error, say `mutex.lock().map_err(shm_sync::Error::from)?`.
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
pub enum LockError<G: Guard> {
    /// The lock *is* held, alone, and its last holder died: the news goes to this caller only.
    OwnerDied(RecoveryGuard<G>),
    /// The lock is not held.
    Failed(Error),
}

impl<G: Guard> LockError<G> {
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
    pub fn recover(self) -> Result<G, Error> {
        match self {
            Self::OwnerDied(left) => Ok(left.recover()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl<G: Guard> From<LockError<G>> for Error {
    fn from(error: LockError<G>) -> Self {
        match error {
            LockError::OwnerDied(left) => left.held().error(ErrorKind::OwnerDied),
            LockError::Failed(error) => error,
        }
    }
}

impl<G: Guard> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<G: Guard> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => {
                f.write_str("it is locked, but its last holder died and the value may be half-written")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<G: Guard> std::error::Error for LockError<G> {}
