//! What a condition variable asks of the guard that somebody waits with: to give its lock up, and to take it back as it was.
//!
//! Each lock answers beside its guard. The waiting itself, which is the same for all of them, is `waits`'s.

use crate::error::{Error, ErrorKind};

/// A guard that a [`Condvar`](super::Condvar) can wait with: [`MutexGuard`](crate::MutexGuard), [`RecursiveMutexGuard`](crate::RecursiveMutexGuard)
/// and [`ProcessMutexGuard`](crate::ProcessMutexGuard).
///
/// Waiting is the same with each of them; what differs follows from the locks:
///
/// | guard of | `Error` | a condition is asked with (`Value`) | while the thread waits |
/// |---|---|---|---|
/// | [`Mutex`](crate::Mutex) | [`LockError`](crate::LockError) | the value | the mutex is free |
/// | [`RecursiveMutex`](crate::RecursiveMutex) | [`LockError`](crate::LockError) | the guard | the mutex is free, however many guards the thread has; afterwards it has as many again |
/// | [`ProcessMutex`](crate::ProcessMutex) | [`ProcessLockError`](crate::ProcessLockError) | the guard | the lock is free, and the process does not hold it |
///
/// A recursive mutex that was poisoned during the wait is taken back all the same for the *other* guards of the thread, which stay good; the one that
/// waited is gone, and the error says so. A process mutex may be released by strangers: waiting with a guard whose lock somebody else has
/// released is refused ([`ErrorKind::NotHeld`]), and who releases the lock of a holder that is about to wait or has just come back
/// takes away what keeps the others from missing a notification. Its guard that came with the news of a death is given up by a wait as by a drop: the mutex
/// is poisoned unless it was recovered before.
///
/// The trait is for functions that wait with any of them; nobody else can implement it.
///
/// ```
/// use shm_sync::{Condvar, Primitive, ProcessMutex, RecursiveMutex, WaitGuard, WaitOutcome};
/// use std::time::Duration;
///
/// fn is_notified_soon<G: WaitGuard>(condvar: &Condvar, guard: G) -> Result<bool, G::Error> {
///     let (_guard, outcome) = condvar.wait_timeout(guard, Duration::from_millis(1))?;
///     Ok(outcome == WaitOutcome::Notified)
/// }
/// let (condvar, recursive, process) =
///     (Condvar::anonymous(())?, RecursiveMutex::anonymous(())?, ProcessMutex::anonymous(())?);
/// assert!(!is_notified_soon(&condvar, recursive.lock()?)?);
/// assert!(!is_notified_soon(&condvar, process.lock()?)?);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub trait WaitGuard: Relock {}

/// How a guard's lock is given up for a wait and taken back. Public by name only.
pub trait Relock: Sized {
    /// What a wait returns if it is not simply the guard.
    type Error;
    /// What the condition of a `wait_while` is asked with.
    type Value: ?Sized;
    /// The lock that was given up, and how it was held.
    type Away;

    /// The number that tells the lock from others in every process.
    fn name(&self) -> Result<u32, Unready>;

    /// Gives the lock up, however often the thread has it. Only after `name` was given.
    fn give_up(self) -> Self::Away;

    /// Whether whoever takes the lock next gets news or an error: a look from outside, at any time.
    fn is_in_trouble(away: &Self::Away) -> bool;

    /// Takes the lock back as it was held, waiting for it as long as it takes.
    fn take_back(away: Self::Away) -> Result<Self, Self::Error>;

    /// Whether the lock is held with this error, which brings the news of a death then.
    fn is_held(error: &Self::Error) -> bool;

    /// The error of a wait that did not begin.
    fn failed(error: Error) -> Self::Error;

    /// What the condition is asked with.
    fn value(&mut self) -> &mut Self::Value;
}

/// Why nobody can wait with a guard.
#[derive(Clone, Copy, Debug)]
pub struct Unready(pub(crate) ErrorKind, pub(crate) &'static str);

impl Unready {
    /// It is the guard of the parent.
    pub(crate) const INHERITED: Self = Self(
        ErrorKind::InvalidArgument,
        "the guard belongs to the process that took the lock; a forked child has to lock for itself",
    );
}
