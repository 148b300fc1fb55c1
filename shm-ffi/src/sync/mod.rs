//! The primitives of `shm-sync` in C: one file each, and here what a thread can hold through a handle.
//!
//! `make` is how all of them are created and found, `time` how their calls wait.

#![allow(unsafe_code, reason = "holds the places of results that C gave")]

mod barrier;
mod bounded_semaphore;
mod byte_channel;
mod channel;
mod condvar;
mod event;
mod latch;
mod make;
mod mutex;
mod once;
mod process_mutex;
mod recursive_mutex;
mod rwlock;
mod semaphore;
mod sequencer;
mod time;

pub use barrier::*;
pub use bounded_semaphore::*;
pub use byte_channel::*;
pub use channel::*;
pub use condvar::*;
pub use event::*;
pub use latch::*;
pub use mutex::*;
pub use once::*;
pub use process_mutex::*;
pub use recursive_mutex::*;
pub use rwlock::*;
pub use semaphore::*;
pub use sequencer::*;
pub(crate) use time::How;
pub use time::{SHM_FOREVER, shm_clock_ns};

use crate::error::{Failure, Outcome};
use crate::input::{Output, Wanted};
use crate::status::SHM_STATUS_OWNER_DIED;
use shm_sync::{
    MutexGuard, Party, RecoveryGuard, RecursiveMutexGuard, RwLockReadGuard, RwLockWriteGuard, Turn,
};
use std::ffi::c_void;

/// What stands for a lock that is held, on the desk of the thread that holds it (`pin`).
#[allow(dead_code, reason = "guards are kept to be dropped")]
pub(crate) enum Held {
    /// It was held by this thread before it forked, so it is the parent's. What is left of a seat is dropped, which does nothing but free memory.
    Inherited(Option<Box<Party>>),
    /// A mutex.
    Mutex(MutexGuard<'static, [u8]>),
    /// A mutex whose last holder died, and nobody has said yet that all is well again.
    MutexOfDead(RecoveryGuard<MutexGuard<'static, [u8]>>),
    /// A recursive mutex, once.
    Recursive(RecursiveMutexGuard<'static, [u8]>),
    /// The same after a death.
    RecursiveOfDead(RecoveryGuard<RecursiveMutexGuard<'static, [u8]>>),
    /// A reader-writer lock, for reading.
    Read(RwLockReadGuard<'static, [u8]>),
    /// The same after the death of a writer.
    ReadOfDead(RecoveryGuard<RwLockReadGuard<'static, [u8]>>),
    /// A reader-writer lock, for writing.
    Write(RwLockWriteGuard<'static, [u8]>),
    /// The same after the death of a writer.
    WriteOfDead(RecoveryGuard<RwLockWriteGuard<'static, [u8]>>),
    /// A seat at a barrier.
    Party(Box<Party>),
    /// A turn of a sequencer.
    Turn(Turn<'static>),
}

/// Leaves what a lock call of Rust gave, in a room on the desk; `SHM_STATUS_OWNER_DIED` is told of what is left all the same. Each guard is left
/// where it is made: to merge them first would take them through memory.
macro_rules! locked {
    ($result:expr, $room:ident, $held:path, $of_dead:path, $noun:literal, $recover:literal) => {
        match $result {
            Ok(guard) => {
                $room.leave($held(guard));
                Ok(())
            }
            Err(LockError::OwnerDied(left)) => {
                $room.leave($of_dead(left));
                Err(owner_died($noun, $recover))
            }
            Err(LockError::Failed(error)) => Err(error.into()),
        }
    };
}
use locked;

/// The news that comes with a lock.
#[cold]
fn owner_died(noun: &str, recover: &str) -> Failure {
    Failure::new(
        SHM_STATUS_OWNER_DIED,
        format_args!(
            "the {noun} is locked, but its last holder died with it: mend what it guards, call {recover}, then unlock"
        ),
    )
}

/// A truth value.
fn flag(what: &str, flag: i32) -> Outcome<bool> {
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Failure::argument(format_args!("the argument `{what}` is {other}; give 0 or 1"))),
    }
}

/// Where the address of a guarded value goes, and its size.
struct ValueOutput(Output<*mut c_void>, Wanted<u64>);

impl ValueOutput {
    /// # Safety
    /// The pointers are NULL or as the header says.
    unsafe fn of(value: *mut *mut c_void, value_size: *mut u64) -> Outcome<Self> {
        // SAFETY: the caller's promise.
        unsafe { Ok(Self(Output::of(value, "value")?, Output::wanted(value_size))) }
    }

    fn put(self, value: *mut [u8]) {
        self.0.put(value.cast());
        self.1.put(value.len() as u64);
    }
}
