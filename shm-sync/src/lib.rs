//! Process-shared synchronisation in shared pages that survives the death of whoever uses it.
//!
//! - [`Mutex`]: a value that one thread of one process at a time can reach. If the holder is killed, the next locker gets the lock and
//!   the news.
//! - [`Semaphore`], [`BoundedSemaphore`]: permits that threads of any process take and give back.
//! - [`Event`]: a flag to wait for, set and cleared by hand.
//! - [`Latch`]: opens, once and for all, when a given number of arrivals was counted.
//!
//! All state lies in the shared pages; there is no server, and no file beside them. A primitive may be at any 64-byte-aligned place of a
//! shared mapping, so locks live beside the data that they guard; zero bytes are one already, where its documentation says so.
//! `PROTOCOL.md` in this crate has the states, the memory orderings and what a death means for each primitive.
//!
//! ```
//! use shm_sync::{LockError, Mutex, Primitive};
//!
//! let tally = Mutex::anonymous(0u64)?; // shared with every process forked from here on
//! let mut threads = Vec::new();
//! for _ in 0..4 {
//!     let tally = tally.clone();
//!     threads.push(std::thread::spawn(move || {
//!         for _ in 0..1000 {
//!             *tally.lock().or_else(LockError::recover)? += 1;
//!         }
//!         Ok::<(), shm_sync::Error>(())
//!     }));
//! }
//! for thread in threads {
//!     thread.join().unwrap()?;
//! }
//! assert_eq!(*tally.lock()?, 4000);
//! # Ok::<(), shm_sync::Error>(())
//! ```
//!
//! Requires Linux 4.14 or newer and glibc on x86-64 or aarch64; `PROTOCOL.md` says what for.

mod base;
mod event;
mod latch;
mod semaphore;

#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod placement;
#[cfg(not(loom))]
mod primitive;

#[cfg(loom)]
#[doc(hidden)]
pub mod model;

#[cfg(not(loom))]
pub use error::{Error, ErrorKind};
#[cfg(not(loom))]
pub use event::Event;
#[cfg(not(loom))]
pub use latch::Latch;
#[cfg(not(loom))]
pub use mutex::{LockError, Mutex, MutexGuard, RecoveryGuard};
#[cfg(not(loom))]
pub use primitive::Primitive;
#[cfg(not(loom))]
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
