//! The condition variable: waiting, with a mutex, for a change of what it guards.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::mutex::{is_mutex, shm_mutex_t};
use super::time::How;
use super::{Held, owner_died};
use crate::contents::shm_contents_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{exchange, pin};
use crate::handle::{handle, retire};
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::{Condvar, LockError, WaitOutcome};
use std::ffi::{c_char, c_void};

/// A handle of a condition variable. Zero is no handle.
///
/// Waiting, with a mutex, for a change of what it guards. A killed waiter takes no notification with it.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_condvar_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_condvar_t, Condvar, 22, "condition variable");

/// Creates a condition variable, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `condvar`: receives the handle, which
/// `shm_condvar_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_create(
    name: *const c_char,
    options: *const shm_options_t,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, condvar, || Ok(())) }
}

/// Attaches to the condition variable under a name.
///
/// Parameters: `name`: as it was created. `condvar`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_attach(
    name: *const c_char,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, condvar, |_| Ok(())) }
}

/// Attaches to the condition variable under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_condvar_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_create_or_attach(
    name: *const c_char,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, condvar, || Ok(())) }
}

/// Adds a condition variable to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_condvar(
    contents: shm_contents_t,
    entry: *const c_char,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_condvar_t, _>(contents, entry, || Ok(())) }
}

/// Attaches to the condition variable in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `condvar`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, condvar, |_| Ok(())) }
}

/// Makes a condition variable in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_condvar_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `condvar`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_create_at(
    address: *mut c_void,
    length: u64,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, condvar, || Ok(())) }
}

/// Attaches to the condition variable at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_condvar_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_attach_at(
    address: *mut c_void,
    length: u64,
    condvar: *mut shm_condvar_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, condvar, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a condition variable takes at an address.
///
/// Parameters: `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_condvar_size(size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_condvar_t, _>(size, || Ok(())) }
}

/// Gives the handle back. The condition variable itself stays where it is, for others.
///
/// Parameters: `condvar`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_detach(condvar: shm_condvar_t) -> shm_status_t {
    guard(|| retire(condvar))
}

/// Gives the mutex up, waits for a notification as long as it takes, and takes the mutex again. Signals do not end the wait.
///
/// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
/// Returns: `SHM_STATUS_OK` with the mutex, after a notification (ask for the condition again: it may have changed since);
/// `SHM_STATUS_OWNER_DIED` *with the mutex*, as from `shm_mutex_lock`; `SHM_STATUS_INVALID_ARGUMENT` if others wait with another
/// mutex, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND` with nothing changed,
/// the mutex still held. After `SHM_STATUS_POISONED` (somebody gave up what the mutex guards) it is *not* held any more; after
/// `SHM_STATUS_CORRUPTED` it is held if the wait could not begin (`shm_mutex_value` says).
/// Thread use: only the thread that holds the mutex.
/// Death: of a waiter takes no notification away from the others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_wait(condvar: shm_condvar_t, mutex: shm_mutex_t) -> shm_status_t {
    guard(|| wait(condvar, mutex, How::Forever))
}

/// Waits as `shm_condvar_wait`, for a time at most.
///
/// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
/// `timeout_ns`: how long, in nanoseconds, or `SHM_FOREVER`.
/// Returns: `SHM_STATUS_TIMED_OUT` *with the mutex*, `SHM_STATUS_INVALID_ARGUMENT` for a negative time with nothing changed;
/// otherwise as `shm_condvar_wait`.
/// Thread use: only the thread that holds the mutex.
/// Death: of a waiter takes no notification away from the others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_wait_timeout_ns(
    condvar: shm_condvar_t,
    mutex: shm_mutex_t,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| wait(condvar, mutex, How::timeout(timeout_ns)?))
}

/// Waits as `shm_condvar_wait`, until a deadline at most.
///
/// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
/// `deadline_ns`: in nanoseconds of `shm_clock_ns`, or `SHM_FOREVER`.
/// Returns: `SHM_STATUS_TIMED_OUT` *with the mutex*, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline with nothing changed;
/// otherwise as `shm_condvar_wait`.
/// Thread use: only the thread that holds the mutex.
/// Death: of a waiter takes no notification away from the others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_wait_until_ns(
    condvar: shm_condvar_t,
    mutex: shm_mutex_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| wait(condvar, mutex, How::until(deadline_ns)?))
}

/// Waits as `shm_condvar_wait_until_ns`, or until a signal handler has run in this thread.
///
/// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
/// `deadline_ns`: as for `shm_condvar_wait_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` *with the mutex* after a signal; otherwise as `shm_condvar_wait_until_ns`.
/// Thread use: only the thread that holds the mutex.
/// Death: of a waiter takes no notification away from the others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_wait_interruptible_ns(
    condvar: shm_condvar_t,
    mutex: shm_mutex_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| wait(condvar, mutex, How::interruptible(deadline_ns)?))
}

/// Wakes one of those who wait now.
///
/// Parameters: `condvar`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, with the mutex or without it.
/// Death: half-way has notified or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_notify_one(condvar: shm_condvar_t) -> shm_status_t {
    guard(|| Ok(pin(condvar)?.notify_one()?))
}

/// Wakes some of those who wait now.
///
/// Parameters: `condvar`: a handle. `waiters`: how many.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, with the mutex or without it.
/// Death: half-way has notified or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_notify_n(condvar: shm_condvar_t, waiters: u32) -> shm_status_t {
    guard(|| Ok(pin(condvar)?.notify_n(waiters)?))
}

/// Wakes all who wait now.
///
/// Parameters: `condvar`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, with the mutex or without it.
/// Death: half-way has notified or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_condvar_notify_all(condvar: shm_condvar_t) -> shm_status_t {
    guard(|| Ok(pin(condvar)?.notify_all()?))
}

fn wait(condvar: shm_condvar_t, mutex: shm_mutex_t, how: How) -> Outcome {
    let condvar = pin(condvar)?;
    exchange(mutex, is_mutex, |held| match held {
        Held::Mutex(guard) => {
            let mut place = Some(guard);
            let waited = match how {
                How::Forever => condvar.wait_in_place(&mut place, None, false),
                How::Until(deadline) => condvar.wait_in_place(&mut place, Some(deadline), false),
                How::Interruptible(deadline) => condvar.wait_in_place(&mut place, deadline, true),
                How::Not => Ok(WaitOutcome::TimedOut),
            };
            match waited {
                Ok(outcome) => (place.map(Held::Mutex), told(outcome)),
                Err(LockError::OwnerDied(left)) => {
                    (Some(Held::MutexOfDead(left)), Err(owner_died("mutex", "shm_mutex_recover")))
                }
                Err(LockError::Failed(error)) => (place.map(Held::Mutex), Err(error.into())),
            }
        }
        unsound => (
            Some(unsound),
            Err(Failure::argument(
                "cannot wait for the condition variable: the last holder of the mutex died with it; call shm_mutex_recover first",
            )),
        ),
    })?
}

fn told(outcome: WaitOutcome) -> Outcome {
    match outcome {
        WaitOutcome::Notified => Ok(()),
        WaitOutcome::TimedOut => Err(Failure::new(
            SHM_STATUS_TIMED_OUT,
            "waited for the condition variable: nobody has notified before the deadline; the mutex is locked again",
        )),
        WaitOutcome::Interrupted => Err(Failure::new(
            SHM_STATUS_INTERRUPTED,
            "waited for the condition variable: a signal arrived; the mutex is locked again, and another call goes on waiting",
        )),
    }
}
