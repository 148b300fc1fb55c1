//! Status codes: what every function returns. The numbers are part of the ABI: they never change, and none is used again.
//!
//! Which error of which crate becomes which status is `error`'s business.

#![allow(unsafe_code, reason = "exports C symbols")]

use std::ffi::{CStr, c_char};

/// What a function returns: `SHM_STATUS_OK`, or why it did nothing (`SHM_STATUS_OWNER_DIED` alone comes with what was asked for).
///
/// Newer versions of the library may return numbers that an older header does not name; `shm_status_name` knows them.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub type shm_status_t = i32;

/// All went well.
pub const SHM_STATUS_OK: shm_status_t = 0;
/// An argument is NULL, out of range or contradicts another one.
pub const SHM_STATUS_INVALID_ARGUMENT: shm_status_t = 1;
/// The handle is zero, was given back already, or never came from this process.
pub const SHM_STATUS_INVALID_HANDLE: shm_status_t = 2;
/// The handle is of another kind than the function takes.
pub const SHM_STATUS_WRONG_KIND: shm_status_t = 3;
/// The library has a defect, which was caught before it could do harm; the text says where.
pub const SHM_STATUS_PANIC: shm_status_t = 4;
/// An error that has no number in this version; the text says what it is.
pub const SHM_STATUS_OTHER: shm_status_t = 5;

/// A living segment, or something else, has this name already.
pub const SHM_STATUS_ALREADY_EXISTS: shm_status_t = 10;
/// Nothing has this name, or what had it was deleted or died.
pub const SHM_STATUS_NOT_FOUND: shm_status_t = 11;
/// The text is no valid segment name.
pub const SHM_STATUS_INVALID_NAME: shm_status_t = 12;
/// The object is not a segment of this library, or not a regular file at all.
pub const SHM_STATUS_NOT_A_SEGMENT: shm_status_t = 13;
/// The segment was written by a newer version of the format.
pub const SHM_STATUS_UNSUPPORTED_VERSION: shm_status_t = 14;
/// What lies in the shared pages contradicts itself: something has written over it.
pub const SHM_STATUS_CORRUPTED: shm_status_t = 15;
/// A size or an offset does not fit the number that has to hold it.
pub const SHM_STATUS_SIZE_OVERFLOW: shm_status_t = 16;
/// The file system has not enough free bytes.
pub const SHM_STATUS_OUT_OF_SPACE: shm_status_t = 17;
/// The process may not have this much memory (address space, locked memory, memory limit).
pub const SHM_STATUS_OUT_OF_MEMORY: shm_status_t = 18;
/// The file permissions forbid it.
pub const SHM_STATUS_PERMISSION_DENIED: shm_status_t = 19;
/// The segment belongs to another user, and the caller did not ask for those (`SHM_ANY_OWNER`).
pub const SHM_STATUS_FOREIGN_OWNER: shm_status_t = 20;
/// The array's elements have another type than the caller named.
pub const SHM_STATUS_TYPE_MISMATCH: shm_status_t = 21;
/// The array has another shape, order or number of dimensions than the caller named.
pub const SHM_STATUS_SHAPE_MISMATCH: shm_status_t = 22;
/// Somebody else has it, and the call does not wait.
pub const SHM_STATUS_BUSY: shm_status_t = 23;
/// A lock in it is held by this process, so it cannot be let go.
pub const SHM_STATUS_LOCK_HELD: shm_status_t = 24;
/// The attachment is read-only, or a private copy.
pub const SHM_STATUS_READ_ONLY: shm_status_t = 25;
/// It belongs to the process that this one was forked from.
pub const SHM_STATUS_INHERITED: shm_status_t = 26;
/// A limit that was set at creation, or a limit of the format, would be exceeded.
pub const SHM_STATUS_LIMIT_EXCEEDED: shm_status_t = 27;
/// The segment has no entry of this name or kind.
pub const SHM_STATUS_NO_SUCH_ENTRY: shm_status_t = 28;
/// This kernel, file system, C library or sandbox does not offer what is needed.
pub const SHM_STATUS_UNSUPPORTED: shm_status_t = 29;
/// A system call failed in another way; `shm_last_errno` says how.
pub const SHM_STATUS_SYSTEM: shm_status_t = 30;

/// The deadline passed.
pub const SHM_STATUS_TIMED_OUT: shm_status_t = 40;
/// A signal handler ran while the call was waiting, and the caller asked to be told.
pub const SHM_STATUS_INTERRUPTED: shm_status_t = 41;
/// The channel is closed, and everything that was sent has been received.
pub const SHM_STATUS_CLOSED: shm_status_t = 42;
/// There is no message in the channel, and the call does not wait.
pub const SHM_STATUS_EMPTY: shm_status_t = 43;
/// There is no room in the channel, and the call does not wait.
pub const SHM_STATUS_FULL: shm_status_t = 44;
/// This thread holds the lock already; waiting would last for ever.
pub const SHM_STATUS_DEADLOCK: shm_status_t = 45;
/// The lock *is held now*, and its last holder died with it: mend what it guards, tell the lock so, and unlock it as usual.
pub const SHM_STATUS_OWNER_DIED: shm_status_t = 46;
/// What the lock guards was given up after the death of a holder; only a repair opens the lock again.
pub const SHM_STATUS_POISONED: shm_status_t = 47;
/// Something is given back that the caller does not hold.
pub const SHM_STATUS_NOT_HELD: shm_status_t = 48;
/// As many processes as there are slots for use the lock.
pub const SHM_STATUS_TOO_MANY_PROCESSES: shm_status_t = 49;
/// Every seat of the barrier is taken.
pub const SHM_STATUS_TOO_MANY_PARTIES: shm_status_t = 50;
/// Somebody who took part died in the middle, or gave the whole up.
pub const SHM_STATUS_BROKEN: shm_status_t = 51;
/// This thread holds as many locks as the kernel is willing to clean up after.
pub const SHM_STATUS_TOO_MANY_LOCKS: shm_status_t = 52;
/// This thread holds the lock once more than can be counted.
pub const SHM_STATUS_TOO_DEEP: shm_status_t = 53;
/// All places for readers are taken.
pub const SHM_STATUS_TOO_MANY_READERS: shm_status_t = 54;
/// Whoever ran the initialisation died half-way.
pub const SHM_STATUS_RUNNER_DIED: shm_status_t = 55;
/// The address is not a multiple of the alignment that a primitive needs.
pub const SHM_STATUS_MISALIGNED: shm_status_t = 56;
/// The bytes are another kind of primitive, another version of it, or one with another parameter.
pub const SHM_STATUS_MISMATCH: shm_status_t = 57;
/// The mapping is read-only or private, where a lock would exclude nobody.
pub const SHM_STATUS_NOT_SHARED: shm_status_t = 58;
/// There is a primitive already where a new one was to be made.
pub const SHM_STATUS_IN_USE: shm_status_t = 59;
/// More was given back, or counted down, than can be.
pub const SHM_STATUS_OVERFLOW: shm_status_t = 60;
/// The function that was passed in returned something else than 0; the text says what.
pub const SHM_STATUS_CALLBACK_FAILED: shm_status_t = 61;

/// The function panicked in a worker.
pub const SHM_STATUS_WORKER_PANICKED: shm_status_t = 80;
/// A worker was killed, aborted or left in the middle of its work.
pub const SHM_STATUS_WORKER_DIED: shm_status_t = 81;
/// The system refused another process, or what is needed to watch it.
pub const SHM_STATUS_FORK: shm_status_t = 82;
/// A result cannot be encoded.
pub const SHM_STATUS_ENCODE: shm_status_t = 83;
/// What a result was encoded to cannot be read back.
pub const SHM_STATUS_DECODE: shm_status_t = 84;
/// The workers have ended already.
pub const SHM_STATUS_ENDED: shm_status_t = 85;

/// Every status with its name in C.
macro_rules! names {
    ($($name:ident)*) => {
        fn name_of(status: shm_status_t) -> Option<&'static CStr> {
            match status {
                $($name => {
                    const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    };
                    Some(NAME)
                })*
                _ => None,
            }
        }
    };
}

names! {
    SHM_STATUS_OK SHM_STATUS_INVALID_ARGUMENT SHM_STATUS_INVALID_HANDLE SHM_STATUS_WRONG_KIND SHM_STATUS_PANIC SHM_STATUS_OTHER
    SHM_STATUS_ALREADY_EXISTS SHM_STATUS_NOT_FOUND SHM_STATUS_INVALID_NAME SHM_STATUS_NOT_A_SEGMENT
    SHM_STATUS_UNSUPPORTED_VERSION SHM_STATUS_CORRUPTED SHM_STATUS_SIZE_OVERFLOW SHM_STATUS_OUT_OF_SPACE
    SHM_STATUS_OUT_OF_MEMORY SHM_STATUS_PERMISSION_DENIED SHM_STATUS_FOREIGN_OWNER SHM_STATUS_TYPE_MISMATCH
    SHM_STATUS_SHAPE_MISMATCH SHM_STATUS_BUSY SHM_STATUS_LOCK_HELD SHM_STATUS_READ_ONLY SHM_STATUS_INHERITED
    SHM_STATUS_LIMIT_EXCEEDED SHM_STATUS_NO_SUCH_ENTRY SHM_STATUS_UNSUPPORTED SHM_STATUS_SYSTEM
    SHM_STATUS_TIMED_OUT SHM_STATUS_INTERRUPTED SHM_STATUS_CLOSED SHM_STATUS_EMPTY SHM_STATUS_FULL SHM_STATUS_DEADLOCK
    SHM_STATUS_OWNER_DIED SHM_STATUS_POISONED SHM_STATUS_NOT_HELD SHM_STATUS_TOO_MANY_PROCESSES SHM_STATUS_TOO_MANY_PARTIES
    SHM_STATUS_BROKEN SHM_STATUS_TOO_MANY_LOCKS SHM_STATUS_TOO_DEEP SHM_STATUS_TOO_MANY_READERS SHM_STATUS_RUNNER_DIED
    SHM_STATUS_MISALIGNED SHM_STATUS_MISMATCH SHM_STATUS_NOT_SHARED SHM_STATUS_IN_USE SHM_STATUS_OVERFLOW
    SHM_STATUS_CALLBACK_FAILED
    SHM_STATUS_WORKER_PANICKED SHM_STATUS_WORKER_DIED SHM_STATUS_FORK SHM_STATUS_ENCODE SHM_STATUS_DECODE SHM_STATUS_ENDED
}

/// Returns the name of a status as the header spells it, such as "SHM_STATUS_NOT_FOUND".
///
/// Parameters: `status`: any number.
/// Returns: a text that lives as long as the library; "SHM_STATUS_?" for a number that is no status.
/// Thread use: any thread, at any time, signal handlers included.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_status_name(status: shm_status_t) -> *const c_char {
    name_of(status).unwrap_or(c"SHM_STATUS_?").as_ptr()
}
