//! The primitives of `shm-sync` in C: one file each, and here what a thread can hold through a handle.

mod mutex;

pub use mutex::*;

use shm_sync::{MutexGuard, RecoveryGuard};

/// What stands for a lock that is held, on the desk of the thread that holds it (`pin`).
#[allow(dead_code, reason = "guards are kept to be dropped")]
pub(crate) enum Held {
    /// The lock was held by this thread before it forked, so it is the parent's.
    Inherited,
    /// A mutex.
    Mutex(MutexGuard<'static, ()>),
    /// A mutex whose last holder died, and nobody has said yet that all is well again.
    MutexOfDead(RecoveryGuard<MutexGuard<'static, ()>>),
}
