//! The mutex: owned by the thread that locks it. `process_mutex` is the one that any thread may release.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::make::guards;
use super::time::How;
use super::{Held, ValueOutput, locked, owner_died};
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::{Room, change, hold_quickly, let_go, look, pin, unlock_quickly};
use crate::handle::{handle, retire};
use crate::input;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::ByteMutex;
use shm_sync::LockError;
use std::ffi::{c_char, c_void};

/// A handle of a mutex. Zero is no handle.
///
/// A mutex belongs to the thread that locks it. Death of the holder is news to the next locker: see `shm_mutex_lock`.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_mutex_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_mutex_t, ByteMutex, 16, "mutex");

/// Creates a mutex, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `value_size`: bytes that the lock guards, zero at
/// first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else. `mutex`: receives the
/// handle, which `shm_mutex_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_create(
    name: *const c_char,
    options: *const shm_options_t,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, mutex, || input::size("value_size", value_size)) }
}

/// Attaches to the mutex under a name.
///
/// Parameters: `name`: as it was created. `value_size`: as it was created. `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name or a value of
/// another size, and other errors of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_attach(
    name: *const c_char,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, mutex, guards(value_size, |mutex: &ByteMutex| mutex.value_len())) }
}

/// Attaches to the mutex under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_mutex_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_create_or_attach(
    name: *const c_char,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, mutex, || input::size("value_size", value_size)) }
}

/// Adds a mutex to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `value_size`: bytes
/// that the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards
/// something else.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_mutex(
    contents: shm_contents_t,
    entry: *const c_char,
    value_size: u64,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_mutex_t, _>(contents, entry, || input::size("value_size", value_size)) }
}

/// Attaches to the mutex in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `value_size`: as it was created.
/// `mutex`: receives the handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe {
        make::attach_in(segment, entry, mutex, guards(value_size, |mutex: &ByteMutex| mutex.value_len()))
    }
}

/// Makes a mutex in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_mutex_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `value_size`: bytes that the lock
/// guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else.
/// `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_create_at(
    address: *mut c_void,
    length: u64,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, mutex, || input::size("value_size", value_size)) }
}

/// Attaches to the mutex at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_mutex_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_attach_at(
    address: *mut c_void,
    length: u64,
    value_size: u64,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe {
        make::attach_at(
            address,
            length,
            mutex,
            || Ok(Some(input::size("value_size", value_size)?)),
            guards(value_size, |mutex: &ByteMutex| mutex.value_len()),
        )
    }
}

/// Says how many bytes a mutex takes at an address.
///
/// Parameters: `value_size`: bytes that the lock guards, zero at first, which lie with it and are reached with `_value` while it
/// is held; 0 if it guards something else. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_size(value_size: u64, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_mutex_t, _>(size, || input::size("value_size", value_size)) }
}

/// Gives the handle back. The mutex itself stays where it is, for others.
///
/// Parameters: `mutex`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
/// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_detach(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| retire(mutex))
}

/// Takes the lock, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
/// call `shm_mutex_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
/// this thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
/// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
/// forked child does not have the locks that its parent holds.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock(mutex: shm_mutex_t) -> shm_status_t {
    if hold_quickly(mutex, |mutex| mutex.lock_if_free(), Held::Mutex) {
        return SHM_STATUS_OK;
    }
    lock_slowly(mutex)
}

#[cold]
fn lock_slowly(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex, room| take(mutex, room, How::Forever)))
}

/// Takes the lock, if that is possible at once.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_mutex_lock`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_try_lock(mutex: shm_mutex_t) -> shm_status_t {
    if hold_quickly(mutex, |mutex| mutex.lock_if_free(), Held::Mutex) {
        return SHM_STATUS_OK;
    }
    try_lock_slowly(mutex)
}

#[cold]
fn try_lock_slowly(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex, room| take(mutex, room, How::Not)))
}

/// Takes the lock, waiting for a time at most.
///
/// Parameters: `mutex`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_mutex_lock`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock_timeout_ns(mutex: shm_mutex_t, timeout_ns: i64) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex, room| take(mutex, room, How::timeout(timeout_ns)?)))
}

/// Takes the lock, waiting until a deadline at most.
///
/// Parameters: `mutex`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_mutex_lock`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock_until_ns(mutex: shm_mutex_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex, room| take(mutex, room, How::until(deadline_ns)?)))
}

/// Takes the lock, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `mutex`: a handle. `deadline_ns`: as for `shm_mutex_lock_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_mutex_lock_until_ns`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock_interruptible_ns(mutex: shm_mutex_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex, room| take(mutex, room, How::interruptible(deadline_ns)?)))
}

/// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or the repair. The lock stays held.
///
/// Parameters: `mutex`: the handle through which this thread holds the lock.
/// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
/// Thread use: only the thread that locked.
/// Death: before this call leaves the news to the next locker.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_recover(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| {
        change(mutex, is_mutex, |held| match held {
            Held::MutexOfDead(left) => Held::Mutex(left.recover()),
            other => other,
        })
    })
}

/// Takes the lock alone, in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_mutex_recover`; otherwise as for locking, without
/// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
/// Thread use: as for locking.
/// Death: as for locking.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_repair(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| {
        pin(mutex)?.hold(|mutex, room| {
            room.leave(Held::MutexOfDead(mutex.repair()?));
            Ok(())
        })
    })
}

/// Gives the lock up and wakes who waits for it.
///
/// Parameters: `mutex`: the handle through which this thread took the lock.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that locked.
/// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_unlock(mutex: shm_mutex_t) -> shm_status_t {
    if unlock_quickly(mutex) {
        return SHM_STATUS_OK;
    }
    unlock_slowly(mutex)
}

#[cold]
fn unlock_slowly(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| let_go(mutex, is_mutex))
}

/// Gives the address of the bytes that the lock guards, for as long as this thread holds it.
///
/// Parameters: `mutex`: the handle through which this thread holds the lock. `value`: receives the address, a multiple of 64;
/// `value_size`: receives the number of bytes, or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that locked.
/// Death: after `SHM_STATUS_OWNER_DIED` the bytes are as the dead holder left them, perhaps half-written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_value(
    mutex: shm_mutex_t,
    value: *mut *mut c_void,
    value_size: *mut u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let output = unsafe { ValueOutput::of(value, value_size) }?;
        let found = look(mutex, is_mutex, |held| match held {
            Held::Mutex(guard) => Some(std::ptr::from_mut(&mut **guard)),
            Held::MutexOfDead(left) => Some(std::ptr::from_mut(&mut **left)),
            _ => None,
        })?;
        output.put(found);
        Ok(())
    })
}

/// Whether it is a mutex that is held.
pub(super) fn is_mutex(held: &Held) -> bool {
    matches!(held, Held::Mutex(_) | Held::MutexOfDead(_))
}

#[inline(always)]
fn take(mutex: &'static ByteMutex, room: Room<ByteMutex>, how: How) -> Outcome {
    let result = match how {
        How::Forever => mutex.lock(),
        How::Not => mutex.try_lock(),
        How::Until(deadline) => mutex.lock_until(deadline),
        How::Interruptible(deadline) => mutex.lock_interruptible(deadline),
    };
    locked!(result, room, Held::Mutex, Held::MutexOfDead, "mutex", "shm_mutex_recover")
}
