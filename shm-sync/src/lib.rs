//! Process-shared synchronisation in shared pages that survives the death of whoever uses it.
//!
//! - [`Mutex`]: a value that one thread of one process at a time can reach. If the holder is killed, the next locker gets the lock and
//!   the news.
//! - [`RecursiveMutex`]: a mutex that its holder can lock again.
//! - [`ByteMutex`], [`ByteRecursiveMutex`], [`ByteRwLock`]: the same locks with a value whose length is known at run time only.
//! - [`ProcessMutex`]: a lock that belongs to a process, and that any thread of any process may release. Its holder's death is news as well.
//! - [`RwLock`]: a value that many can read at once, or one can write. Killed readers are simply gone; a killed writer is news, once.
//! - [`Semaphore`], [`BoundedSemaphore`]: permits that threads of any process take and give back.
//! - [`Event`]: a flag to wait for, set and cleared by hand.
//! - [`Latch`]: opens, once and for all, when a given number of arrivals was counted.
//! - [`Once`]: something that is done by whoever comes first. If that one is killed half-way, the next one is told.
//! - [`Condvar`]: waiting, with a mutex of any kind, for a change of what it guards. A killed waiter takes no notification with it.
//! - [`Barrier`]: parties that wait for each other, round after round. If one dies, the others are told, at once.
//! - [`Sequencer`]: turns in a given order. The death of whoever has the turn is told to all who wait, and somebody can take it over.
//! - [`ByteChannel`], [`Channel`], [`ItemChannel`]: a bounded queue of byte messages or of plain values, for any number of producers and consumers. Whoever is killed
//!   with a message in its hands tears none and blocks nobody.
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
//! Requires Linux 4.14 or newer and glibc on x86-64 or aarch64; `PROTOCOL.md` says what for, and [`KernelSupport`] what is there.

#![cfg_attr(loom, allow(dead_code, reason = "the models use a part of what the library does"))]

mod base;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod bytes;
mod channel;
mod condvar;
#[cfg(not(loom))]
mod error;
mod event;
#[cfg(not(loom))]
mod guard;
#[cfg(not(loom))]
mod handle;
mod latch;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod once;
#[cfg(not(loom))]
mod placement;
#[cfg(not(loom))]
mod primitive;
#[cfg(not(loom))]
mod process_mutex;
#[cfg(not(loom))]
mod recursive;
#[cfg(not(loom))]
mod rwlock;
mod semaphore;
mod sequencer;
#[cfg(not(loom))]
mod support;
#[cfg(not(loom))]
mod value;

#[cfg(loom)]
#[doc(hidden)]
pub mod model;

#[cfg(not(loom))]
pub use barrier::{Arrival, Barrier, Party};
#[cfg(not(loom))]
pub use base::robust::{companion, set_companion};
#[cfg(not(loom))]
pub use bytes::{ByteMutex, ByteRecursiveMutex, ByteRwLock};
#[cfg(not(loom))]
pub use channel::{ByteChannel, Channel, ItemChannel};
#[cfg(not(loom))]
pub use condvar::{Condvar, WaitGuard, WaitOutcome};
#[cfg(not(loom))]
pub use error::{Error, ErrorKind};
#[cfg(not(loom))]
pub use event::Event;
#[cfg(not(loom))]
pub use guard::{LockError, LockResult, RecoveryGuard};
#[cfg(not(loom))]
pub use latch::Latch;
#[cfg(not(loom))]
pub use mutex::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub use once::{Once, OnceState};
#[cfg(not(loom))]
pub use primitive::Primitive;
#[cfg(not(loom))]
pub use process_mutex::{ProcessLockError, ProcessMutex, ProcessMutexGuard};
#[cfg(not(loom))]
pub use recursive::{RecursiveMutex, RecursiveMutexGuard};
#[cfg(not(loom))]
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
#[cfg(not(loom))]
pub use sequencer::{Sequencer, Turn};
#[cfg(not(loom))]
pub use support::KernelSupport;
#[cfg(not(loom))]
pub use value::Value;
