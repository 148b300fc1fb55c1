//! The process mutex: owned by a process, and released by any thread of any process.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::owner_died;
use super::time::How;
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::pin;
use crate::handle::{handle, retire};
use crate::input::Output;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::{ProcessLockError, ProcessMutex};
use std::ffi::{c_char, c_void};

/// A handle of a process mutex. Zero is no handle.
///
/// A process mutex belongs to the process that locks it, and any thread of any process may unlock it. Death of the holding
/// process is news to the next locker: see `shm_process_mutex_lock`.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_process_mutex_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_process_mutex_t, ProcessMutex, 17, "process mutex");

/// Creates a process mutex, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `mutex`: receives the handle, which
/// `shm_process_mutex_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_create(
    name: *const c_char,
    options: *const shm_options_t,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, mutex, || Ok(())) }
}

/// Attaches to the process mutex under a name.
///
/// Parameters: `name`: as it was created. `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_attach(
    name: *const c_char,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, mutex, |_| Ok(())) }
}

/// Attaches to the process mutex under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_process_mutex_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_create_or_attach(
    name: *const c_char,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, mutex, || Ok(())) }
}

/// Adds a process mutex to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_process_mutex(
    contents: shm_contents_t,
    entry: *const c_char,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_process_mutex_t, _>(contents, entry, || Ok(())) }
}

/// Attaches to the process mutex in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `mutex`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, mutex, |_| Ok(())) }
}

/// Makes a process mutex in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_process_mutex_size` at least. They stay mapped until the
/// last handle is given back, are used at one address only in one process, and through handles only. Pages that a thread has used
/// it in stay mapped until that thread has ended. `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_create_at(
    address: *mut c_void,
    length: u64,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, mutex, || Ok(())) }
}

/// Attaches to the process mutex at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_process_mutex_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_attach_at(
    address: *mut c_void,
    length: u64,
    mutex: *mut shm_process_mutex_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, mutex, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a process mutex takes at an address.
///
/// Parameters: `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_size(size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_process_mutex_t, _>(size, || Ok(())) }
}

/// Gives the handle back. The process mutex itself stays where it is, for others.
///
/// Parameters: `mutex`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_detach(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| retire(mutex))
}

/// Takes the lock for this process, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
/// call `shm_process_mutex_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked:
/// `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_PROCESSES` (63), `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; a caller whose own process holds the lock waits too, for another thread to release it.
/// Death: of the holding process opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. That a thread of it
/// ends changes nothing. After a fork the parent keeps the lock.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_lock(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| take(&*pin(mutex)?, How::Forever))
}

/// Takes the lock for this process, if that is possible at once.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_process_mutex_lock`.
/// Thread use: as `shm_process_mutex_lock`.
/// Death: as `shm_process_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_try_lock(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| take(&*pin(mutex)?, How::Not))
}

/// Takes the lock for this process, waiting for a time at most.
///
/// Parameters: `mutex`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_process_mutex_lock`.
/// Thread use: as `shm_process_mutex_lock`.
/// Death: as `shm_process_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_lock_timeout_ns(
    mutex: shm_process_mutex_t,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(mutex)?, How::timeout(timeout_ns)?))
}

/// Takes the lock for this process, waiting until a deadline at most.
///
/// Parameters: `mutex`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_process_mutex_lock`.
/// Thread use: as `shm_process_mutex_lock`.
/// Death: as `shm_process_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_lock_until_ns(
    mutex: shm_process_mutex_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(mutex)?, How::until(deadline_ns)?))
}

/// Takes the lock for this process, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `mutex`: a handle. `deadline_ns`: as for `shm_process_mutex_lock_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_process_mutex_lock_until_ns`.
/// Thread use: as `shm_process_mutex_lock`.
/// Death: as `shm_process_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_lock_interruptible_ns(
    mutex: shm_process_mutex_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(mutex)?, How::interruptible(deadline_ns)?))
}

/// Gives the lock up, whoever took it, and wakes one who waits for it.
///
/// Parameters: `mutex`: any handle of it.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread of any process.
/// Death: in the middle of it opens the lock.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_unlock(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| Ok(pin(mutex)?.release()?))
}

/// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or `shm_process_mutex_repair`. The
/// lock stays held.
///
/// Parameters: `mutex`: any handle of it.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD` if nobody holds it, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: before this call leaves the news to the next locker.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_recover(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| Ok(pin(mutex)?.recover()?))
}

/// Takes the lock in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_process_mutex_recover`; otherwise as
/// `shm_process_mutex_lock`, without `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
/// Thread use: as `shm_process_mutex_lock`.
/// Death: as `shm_process_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_process_mutex_repair(mutex: shm_process_mutex_t) -> shm_status_t {
    guard(|| {
        pin(mutex)?.repair()?.keep();
        Ok(())
    })
}

/// Says which process holds the lock, as of now.
///
/// Parameters: `mutex`: a handle. `pid`: receives the process id, or 0 if nobody holds it.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: a dead holder is named until the next locker is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_process_mutex_holder(mutex: shm_process_mutex_t, pid: *mut u32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let pid = unsafe { Output::of(pid, "pid") }?;
        pid.put(pin(mutex)?.holder().unwrap_or(0));
        Ok(())
    })
}

/// Locks and keeps the lock without a guard: it belongs to the process.
#[inline(always)]
fn take(mutex: &ProcessMutex, how: How) -> Outcome {
    let result = match how {
        How::Forever => mutex.lock(),
        How::Not => mutex.try_lock(),
        How::Until(deadline) => mutex.lock_until(deadline),
        How::Interruptible(deadline) => mutex.lock_interruptible(deadline),
    };
    match result {
        Ok(guard) => {
            guard.keep();
            Ok(())
        }
        Err(ProcessLockError::OwnerDied(guard)) => {
            guard.keep();
            Err(owner_died("process mutex", "shm_process_mutex_recover"))
        }
        Err(ProcessLockError::Failed(error)) => Err(error.into()),
    }
}
