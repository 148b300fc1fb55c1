//! Primitives in loom models: the real protocols, with dying as something that a thread can do, and the kernel's part played by the model.
//!
//! Only compiled under `--cfg loom`, for `tests/loom_*.rs`; one file for each.

pub mod barrier;
pub mod channel;
pub mod condvar;
pub mod event;
pub mod gate;
pub mod latch;
pub mod mutex;
pub mod once;
pub mod process_mutex;
pub mod recursive;
pub mod rwlock;
pub mod semaphore;
pub mod sequencer;
pub(crate) mod slot;
