//! The event: a flag to wait for, set and cleared by hand.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
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
use shm_sync::Event;
use std::ffi::{c_char, c_void};

/// A handle of an event. Zero is no handle.
///
/// A flag to wait for, set and cleared by hand.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_event_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_event_t, Event, 23, "event");

/// Creates an event, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `is_set`: whether it is set at first: 0 or 1.
/// `event`: receives the handle, which `shm_event_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_create(
    name: *const c_char,
    options: *const shm_options_t,
    is_set: i32,
    event: *mut shm_event_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, event, || super::flag("is_set", is_set)) }
}

/// Attaches to the event under a name.
///
/// Parameters: `name`: as it was created. `event`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_attach(name: *const c_char, event: *mut shm_event_t) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, event, |_| Ok(())) }
}

/// Attaches to the event under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_event_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_create_or_attach(
    name: *const c_char,
    is_set: i32,
    event: *mut shm_event_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, event, || super::flag("is_set", is_set)) }
}

/// Adds an event to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `is_set`: whether it
/// is set at first: 0 or 1.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_event(
    contents: shm_contents_t,
    entry: *const c_char,
    is_set: i32,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_event_t, _>(contents, entry, || super::flag("is_set", is_set)) }
}

/// Attaches to the event in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `event`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    event: *mut shm_event_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, event, |_| Ok(())) }
}

/// Makes an event in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_event_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `is_set`: whether it is set at
/// first: 0 or 1. `event`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_create_at(
    address: *mut c_void,
    length: u64,
    is_set: i32,
    event: *mut shm_event_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, event, || super::flag("is_set", is_set)) }
}

/// Attaches to the event at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_event_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_attach_at(
    address: *mut c_void,
    length: u64,
    event: *mut shm_event_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, event, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes an event takes at an address.
///
/// Parameters: `is_set`: whether it is set at first: 0 or 1. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_size(is_set: i32, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_event_t, _>(size, || super::flag("is_set", is_set)) }
}

/// Gives the handle back. The event itself stays where it is, for others.
///
/// Parameters: `event`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_detach(event: shm_event_t) -> shm_status_t {
    guard(|| retire(event))
}

/// Waits until the event is set, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `event`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing; an event does not know who is to set it.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_wait(event: shm_event_t) -> shm_status_t {
    guard(|| wait(&*pin(event)?, How::Forever))
}

/// Waits until the event is set, if that is possible at once.
///
/// Parameters: `event`: a handle.
/// Returns: `SHM_STATUS_BUSY` if it is not set; otherwise as `shm_event_wait`.
/// Thread use: as `shm_event_wait`.
/// Death: as `shm_event_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_try_wait(event: shm_event_t) -> shm_status_t {
    guard(|| wait(&*pin(event)?, How::Not))
}

/// Waits until the event is set, waiting for a time at most.
///
/// Parameters: `event`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_event_wait`.
/// Thread use: as `shm_event_wait`.
/// Death: as `shm_event_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_wait_timeout_ns(event: shm_event_t, timeout_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(event)?, How::timeout(timeout_ns)?))
}

/// Waits until the event is set, waiting until a deadline at most.
///
/// Parameters: `event`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_event_wait`.
/// Thread use: as `shm_event_wait`.
/// Death: as `shm_event_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_wait_until_ns(event: shm_event_t, deadline_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(event)?, How::until(deadline_ns)?))
}

/// Waits until the event is set, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `event`: a handle. `deadline_ns`: as for `shm_event_wait_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_event_wait_until_ns`.
/// Thread use: as `shm_event_wait`.
/// Death: as `shm_event_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_wait_interruptible_ns(event: shm_event_t, deadline_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(event)?, How::interruptible(deadline_ns)?))
}

/// Sets the event and lets through all who wait.
///
/// Parameters: `event`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has set it or not; if it has, all who wait get through.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_set(event: shm_event_t) -> shm_status_t {
    guard(|| Ok(pin(event)?.set()?))
}

/// Clears the event: who comes from now on waits.
///
/// Parameters: `event`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has cleared it or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_event_clear(event: shm_event_t) -> shm_status_t {
    guard(|| Ok(pin(event)?.clear()?))
}

/// Says whether the event is set now.
///
/// Parameters: `event`: a handle. `is_set`: receives 1 or 0.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_event_is_set(event: shm_event_t, is_set: *mut i32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let is_set = unsafe { Output::of(is_set, "is_set") }?;
        is_set.put(pin(event)?.is_set()?.into());
        Ok(())
    })
}

#[inline(always)]
fn wait(event: &Event, how: How) -> Outcome {
    match how {
        How::Forever => event.wait()?,
        How::Not => event.try_wait()?,
        How::Until(deadline) => event.wait_until(deadline)?,
        How::Interruptible(deadline) => event.wait_interruptible(deadline)?,
    }
    Ok(())
}
