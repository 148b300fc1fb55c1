//! `Condvar`: waiting, with a mutex, for something that another thread or process changes under that mutex.
//!
//! `raw` has the protocol, `waits` the public type.

pub(crate) mod raw;
#[cfg(not(loom))]
mod waits;

#[cfg(not(loom))]
pub use waits::{Condvar, WaitOutcome};
