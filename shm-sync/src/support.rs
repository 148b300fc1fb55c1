//! What this kernel and its sandbox offer to those who wait, and what follows: for tools that show it.
//!
//! Nothing here is needed by the primitives themselves, which try and fall back.

use crate::base::futex;
use crate::base::robust::Me;
use core::fmt;
use std::time::Duration;

/// What the kernel, the C library and the sandbox that this process is in offer to the primitives.
///
/// All of it is asked for anew by [`detect`](Self::detect); nothing is remembered. Its `Display` is made for people.
///
/// # Examples
/// ```
/// let support = shm_sync::KernelSupport::detect();
/// println!("{support}");
/// assert!(support.robust_list, "no lock works here");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelSupport {
    /// The kernel cleans up after dead threads, by a list as glibc registers it. Without it no lock can be taken:
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub robust_list: bool,
    /// A thread can sleep on several words at once (`futex_waitv`, Linux 5.16; some sandboxes forbid it).
    pub futex_waitv: bool,
}

impl KernelSupport {
    /// Asks the kernel. Prepares the calling thread to lock, if it has not locked before; does not block.
    ///
    /// # Examples
    /// ```
    /// let support = shm_sync::KernelSupport::detect();
    /// assert_eq!(support.death_delay().is_zero(), support.futex_waitv);
    /// ```
    pub fn detect() -> Self {
        Self { robust_list: Me::get().is_ok(), futex_waitv: futex::can_wait_for_several() }
    }

    /// How long those who wait for a [`ProcessMutex`](crate::ProcessMutex) or at a [`Barrier`](crate::Barrier) may take to notice a death, at
    /// most: no time where the kernel wakes them. Interruptible waits take up to 50 ms everywhere.
    ///
    /// # Examples
    /// ```
    /// assert!(shm_sync::KernelSupport::detect().death_delay() <= std::time::Duration::from_millis(50));
    /// ```
    pub fn death_delay(self) -> Duration {
        if self.futex_waitv { Duration::ZERO } else { futex::SLICE }
    }
}

impl fmt::Display for KernelSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.robust_list {
            return f.write_str("no robust futex list: locks are refused (is a sandbox in the way, or a C library other than glibc?)");
        }
        let slice = futex::SLICE.as_millis();
        if self.futex_waitv {
            write!(
                f,
                "deaths wake those who wait at once (process mutex, barrier: interruptible waits within {slice} ms)"
            )
        } else {
            write!(
                f,
                "no futex_waitv (Linux 5.16, or forbidden by a sandbox): who waits for a process mutex or at a barrier looks for \
                 deaths every {slice} ms; all other primitives are not concerned"
            )
        }
    }
}
