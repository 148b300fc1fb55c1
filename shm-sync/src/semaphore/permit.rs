//! The guard of a permit: gives it back when it is dropped, in the process that took it.

use super::raw::RawSemaphore;
use core::fmt;

/// A permit of a [`Semaphore`](crate::Semaphore) or a [`BoundedSemaphore`](crate::BoundedSemaphore); dropping it gives the permit back.
///
/// It may be sent to another thread, and dropped there. In a forked child an inherited permit is void: it is the parent's, and dropping the
/// copy gives nothing back. If the semaphore is at its bound already (others have released more than they took), or its bytes are damaged,
/// dropping a permit changes nothing; there is nobody to tell.
///
/// A permit whose process is killed is lost: see the types.
///
/// ```
/// use shm_sync::{Primitive, Semaphore};
///
/// let semaphore = Semaphore::anonymous(2)?;
/// let permit = semaphore.acquire()?;
/// assert_eq!(semaphore.available()?, 1);
/// drop(permit);
/// assert_eq!(semaphore.available()?, 2);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[must_use = "dropping the permit gives it back at once; `forget` keeps it"]
pub struct Permit<'a> {
    semaphore: &'a RawSemaphore,
    /// `fork_count` of the process that took it. (A permit is two words, so that it travels in registers.)
    forks: u64,
}

impl<'a> Permit<'a> {
    /// The guard of a permit that this process has just taken.
    #[inline(always)]
    pub(crate) fn new(semaphore: &'a RawSemaphore) -> Self {
        Self { semaphore, forks: shm_core::fork_count() }
    }

    /// Keeps the permit without a guard: it is given back with `release`, by whoever it is passed on to.
    ///
    /// ```
    /// use shm_sync::{Primitive, Semaphore};
    ///
    /// let semaphore = Semaphore::anonymous(1)?;
    /// semaphore.acquire()?.forget();
    /// assert_eq!(semaphore.available()?, 0);
    /// semaphore.release(1)?; // by another thread, or another process
    /// assert_eq!(semaphore.available()?, 1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline(always)]
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.forks == shm_core::fork_count() {
            self.semaphore.give_back();
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
