//! `Condvar`: waiting, with a lock, for something that another thread or process changes under that lock.
//!
//! `raw` has the protocol, `waits` the public type, `guard` what it asks of the locks that can be waited with.

#[cfg(not(loom))]
mod guard;
pub(crate) mod raw;
#[cfg(not(loom))]
mod waits;

#[cfg(not(loom))]
pub use guard::WaitGuard;
#[cfg(not(loom))]
pub(crate) use guard::{Relock, Unready};
#[cfg(not(loom))]
pub use waits::{Condvar, WaitOutcome};
