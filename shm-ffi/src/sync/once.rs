//! The once: something that is done by whoever comes first.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::time::How;
use crate::callback::{self, shm_action_t, shm_once_run_t};
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::pin;
use crate::handle::{handle, retire};
use crate::input::Output;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::{Once, OnceState};
use std::ffi::{c_char, c_void};

/// A handle of a once. Zero is no handle.
///
/// Something that is done by whoever comes first, of all processes. If that one dies half-way, the next one is told.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_once_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_once_t, Once, 25, "once");

/// Creates a once, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `once`: receives the handle, which
/// `shm_once_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_create(
    name: *const c_char,
    options: *const shm_options_t,
    once: *mut shm_once_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, once, || Ok(())) }
}

/// Attaches to the once under a name.
///
/// Parameters: `name`: as it was created. `once`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_attach(name: *const c_char, once: *mut shm_once_t) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, once, |_| Ok(())) }
}

/// Attaches to the once under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_once_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_create_or_attach(
    name: *const c_char,
    once: *mut shm_once_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, once, || Ok(())) }
}

/// Adds a once to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_once(
    contents: shm_contents_t,
    entry: *const c_char,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_once_t, _>(contents, entry, || Ok(())) }
}

/// Attaches to the once in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `once`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    once: *mut shm_once_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, once, |_| Ok(())) }
}

/// Makes a once in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_once_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `once`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_create_at(
    address: *mut c_void,
    length: u64,
    once: *mut shm_once_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, once, || Ok(())) }
}

/// Attaches to the once at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_once_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_attach_at(
    address: *mut c_void,
    length: u64,
    once: *mut shm_once_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, once, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a once takes at an address.
///
/// Parameters: `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_size(size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_once_t, _>(size, || Ok(())) }
}

/// Gives the handle back. The once itself stays where it is, for others.
///
/// Parameters: `once`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_once_detach(once: shm_once_t) -> shm_status_t {
    guard(|| retire(once))
}

/// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting as long as it takes.
/// Signals do not end the wait.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with.
/// Returns: `SHM_STATUS_OK` when it is done, whoever did it; `SHM_STATUS_RUNNER_DIED` if somebody died half-way
/// (`shm_once_call_force`); `SHM_STATUS_CALLBACK_FAILED` if this call ran the function and it returned something else than 0: it
/// is not done then, as if the runner had died. `SHM_STATUS_DEADLOCK` from within the function, `SHM_STATUS_TOO_MANY_LOCKS`,
/// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. The function runs in the calling thread, and does not leave by longjmp(3) or an exception.
/// Death: of the runner half-way is told to one next caller at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call(
    once: shm_once_t,
    run: shm_action_t,
    user: *mut c_void,
) -> shm_status_t {
    guard(|| call(once, How::Forever, run, user))
}

/// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, if that is possible at once.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with.
/// Returns: `SHM_STATUS_BUSY` if somebody is just doing it; otherwise as `shm_once_call`.
/// Thread use: as `shm_once_call`.
/// Death: as `shm_once_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_try_call(
    once: shm_once_t,
    run: shm_action_t,
    user: *mut c_void,
) -> shm_status_t {
    guard(|| call(once, How::Not, run, user))
}

/// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting for a time at most.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `timeout_ns`: how long, in nanoseconds;
/// 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_once_call`.
/// Thread use: as `shm_once_call`.
/// Death: as `shm_once_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_timeout_ns(
    once: shm_once_t,
    run: shm_action_t,
    user: *mut c_void,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| call(once, How::timeout(timeout_ns)?, run, user))
}

/// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting until a deadline at
/// most.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `deadline_ns`: in nanoseconds of
/// `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_once_call`.
/// Thread use: as `shm_once_call`.
/// Death: as `shm_once_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_until_ns(
    once: shm_once_t,
    run: shm_action_t,
    user: *mut c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| call(once, How::until(deadline_ns)?, run, user))
}

/// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting until a deadline at
/// most, or until a signal handler has run in this thread.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `deadline_ns`: as for
/// `shm_once_call_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_once_call_until_ns`.
/// Thread use: as `shm_once_call`.
/// Death: as `shm_once_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_interruptible_ns(
    once: shm_once_t,
    run: shm_action_t,
    user: *mut c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| call(once, How::interruptible(deadline_ns)?, run, user))
}

/// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting as
/// long as it takes. Signals do not end the wait.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
/// runner died half-way, otherwise 0.
/// Returns: `SHM_STATUS_OK` when it is done, whoever did it; `SHM_STATUS_CALLBACK_FAILED` if this call ran the function and it
/// returned something else than 0: it is not done then, as if the runner had died. `SHM_STATUS_DEADLOCK` from within the
/// function, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. The function runs in the calling thread, and does not leave by longjmp(3) or an exception.
/// Death: of the runner half-way is told to one next caller at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_force(
    once: shm_once_t,
    run: shm_once_run_t,
    user: *mut c_void,
) -> shm_status_t {
    guard(|| force(once, How::Forever, run, user))
}

/// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, if that is
/// possible at once.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
/// runner died half-way, otherwise 0.
/// Returns: `SHM_STATUS_BUSY` if somebody is just doing it; otherwise as `shm_once_call_force`.
/// Thread use: as `shm_once_call_force`.
/// Death: as `shm_once_call_force`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_try_call_force(
    once: shm_once_t,
    run: shm_once_run_t,
    user: *mut c_void,
) -> shm_status_t {
    guard(|| force(once, How::Not, run, user))
}

/// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting for
/// a time at most.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
/// runner died half-way, otherwise 0. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_once_call_force`.
/// Thread use: as `shm_once_call_force`.
/// Death: as `shm_once_call_force`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_force_timeout_ns(
    once: shm_once_t,
    run: shm_once_run_t,
    user: *mut c_void,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| force(once, How::timeout(timeout_ns)?, run, user))
}

/// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting
/// until a deadline at most.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
/// runner died half-way, otherwise 0. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
/// there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_once_call_force`.
/// Thread use: as `shm_once_call_force`.
/// Death: as `shm_once_call_force`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_force_until_ns(
    once: shm_once_t,
    run: shm_once_run_t,
    user: *mut c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| force(once, How::until(deadline_ns)?, run, user))
}

/// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting
/// until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
/// runner died half-way, otherwise 0. `deadline_ns`: as for `shm_once_call_force_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_once_call_force_until_ns`.
/// Thread use: as `shm_once_call_force`.
/// Death: as `shm_once_call_force`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_call_force_interruptible_ns(
    once: shm_once_t,
    run: shm_once_run_t,
    user: *mut c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| force(once, How::interruptible(deadline_ns)?, run, user))
}

/// Says whether it is done.
///
/// Parameters: `once`: a handle. `is_completed`: receives 1 or 0.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of the runner half-way leaves it undone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_once_is_completed(once: shm_once_t, is_completed: *mut i32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let done = unsafe { Output::of(is_completed, "is_completed") }?;
        done.put(pin(once)?.is_completed().into());
        Ok(())
    })
}

fn call(once: shm_once_t, how: How, run: shm_action_t, user: *mut c_void) -> Outcome {
    // SAFETY: the pointers are NULL or as the header says.
    let run = unsafe { callback::action(run, user) }?;
    attempt(once, how, false, |_| run.run())
}

fn force(once: shm_once_t, how: How, run: shm_once_run_t, user: *mut c_void) -> Outcome {
    // SAFETY: the pointers are NULL or as the header says.
    let run = unsafe { callback::once_run(run, user) }?;
    attempt(once, how, true, |state| run.run(state.previous_died()))
}

/// A function that fails does so without a panic: there are hosts in which nothing can be unwound.
fn attempt(once: shm_once_t, how: How, force: bool, run: impl FnOnce(&OnceState) -> i32) -> Outcome {
    let once = pin(once)?;
    let mut code = 0;
    let run = |state: &OnceState| {
        code = run(state);
        code == 0
    };
    let is_done = match how {
        How::Forever => once.call_once_fallible(force, None, false, run),
        How::Not => once.try_call_once_fallible(force, run),
        How::Until(deadline) => once.call_once_fallible(force, Some(deadline), false, run),
        How::Interruptible(deadline) => once.call_once_fallible(force, deadline, true, run),
    }?;
    if is_done { Ok(()) } else { Err(callback::returned(code)) }
}
