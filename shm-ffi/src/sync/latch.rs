//! The latch: opens, once and for all, when a given number of arrivals was counted.

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
use shm_sync::Latch;
use std::ffi::{c_char, c_void};

/// A handle of a latch. Zero is no handle.
///
/// It opens, once and for all, when a given number of arrivals was counted.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_latch_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_latch_t, Latch, 26, "latch");

/// Creates a latch, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `parties`: how many arrivals it waits for, 2 147
/// 483 647 at most. `latch`: receives the handle, which `shm_latch_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_create(
    name: *const c_char,
    options: *const shm_options_t,
    parties: u32,
    latch: *mut shm_latch_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, latch, || Ok(parties)) }
}

/// Attaches to the latch under a name.
///
/// Parameters: `name`: as it was created. `latch`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_attach(name: *const c_char, latch: *mut shm_latch_t) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, latch, |_| Ok(())) }
}

/// Attaches to the latch under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_latch_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_create_or_attach(
    name: *const c_char,
    parties: u32,
    latch: *mut shm_latch_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, latch, || Ok(parties)) }
}

/// Adds a latch to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `parties`: how many
/// arrivals it waits for, 2 147 483 647 at most.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_latch(
    contents: shm_contents_t,
    entry: *const c_char,
    parties: u32,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_latch_t, _>(contents, entry, || Ok(parties)) }
}

/// Attaches to the latch in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `latch`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    latch: *mut shm_latch_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, latch, |_| Ok(())) }
}

/// Makes a latch in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_latch_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `parties`: how many arrivals it
/// waits for, 2 147 483 647 at most. `latch`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_create_at(
    address: *mut c_void,
    length: u64,
    parties: u32,
    latch: *mut shm_latch_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, latch, || Ok(parties)) }
}

/// Attaches to the latch at an address of the caller's.
///
/// Parameters: as for `shm_latch_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_attach_at(
    address: *mut c_void,
    length: u64,
    latch: *mut shm_latch_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, latch, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a latch takes at an address.
///
/// Parameters: `parties`: how many arrivals it waits for, 2 147 483 647 at most. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_size(parties: u32, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_latch_t, _>(size, || Ok(parties)) }
}

/// Gives the handle back. The latch itself stays where it is, for others.
///
/// Parameters: `latch`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_detach(latch: shm_latch_t) -> shm_status_t {
    guard(|| retire(latch))
}

/// Waits until the latch is open, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `latch`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of one who is to arrive is not noticed: use a barrier where the others are to hear of it.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_wait(latch: shm_latch_t) -> shm_status_t {
    guard(|| wait(&*pin(latch)?, How::Forever))
}

/// Waits until the latch is open, if that is possible at once.
///
/// Parameters: `latch`: a handle.
/// Returns: `SHM_STATUS_BUSY` if it is closed; otherwise as `shm_latch_wait`.
/// Thread use: as `shm_latch_wait`.
/// Death: as `shm_latch_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_try_wait(latch: shm_latch_t) -> shm_status_t {
    guard(|| wait(&*pin(latch)?, How::Not))
}

/// Waits until the latch is open, waiting for a time at most.
///
/// Parameters: `latch`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_latch_wait`.
/// Thread use: as `shm_latch_wait`.
/// Death: as `shm_latch_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_wait_timeout_ns(latch: shm_latch_t, timeout_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(latch)?, How::timeout(timeout_ns)?))
}

/// Waits until the latch is open, waiting until a deadline at most.
///
/// Parameters: `latch`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_latch_wait`.
/// Thread use: as `shm_latch_wait`.
/// Death: as `shm_latch_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_wait_until_ns(latch: shm_latch_t, deadline_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(latch)?, How::until(deadline_ns)?))
}

/// Waits until the latch is open, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `latch`: a handle. `deadline_ns`: as for `shm_latch_wait_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_latch_wait_until_ns`.
/// Thread use: as `shm_latch_wait`.
/// Death: as `shm_latch_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_wait_interruptible_ns(latch: shm_latch_t, deadline_ns: i64) -> shm_status_t {
    guard(|| wait(&*pin(latch)?, How::interruptible(deadline_ns)?))
}

/// Counts arrivals, without waiting; the last one opens the latch.
///
/// Parameters: `latch`: a handle. `arrivals`: how many.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OVERFLOW` if that is more than are waited for, with nothing changed;
/// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way counts all or none.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_count_down(latch: shm_latch_t, arrivals: u32) -> shm_status_t {
    guard(|| Ok(pin(latch)?.count_down(arrivals)?))
}

/// Counts one arrival and waits until the latch is open.
///
/// Parameters: `latch`: a handle.
/// Returns: as `shm_latch_count_down` and `shm_latch_wait`.
/// Thread use: any thread.
/// Death: of one who waits leaves its arrival counted.
#[unsafe(no_mangle)]
pub extern "C" fn shm_latch_arrive_and_wait(latch: shm_latch_t) -> shm_status_t {
    guard(|| Ok(pin(latch)?.arrive_and_wait()?))
}

/// Says how many arrivals are waited for now.
///
/// Parameters: `latch`: a handle. `arrivals`: receives the number, 0 if it is open.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_remaining(latch: shm_latch_t, arrivals: *mut u32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let arrivals = unsafe { Output::of(arrivals, "arrivals") }?;
        arrivals.put(pin(latch)?.remaining()?);
        Ok(())
    })
}

/// Says how many arrivals the latch was made for.
///
/// Parameters: `latch`: a handle. `parties`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_latch_parties(latch: shm_latch_t, parties: *mut u32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let parties = unsafe { Output::of(parties, "parties") }?;
        parties.put(pin(latch)?.parties());
        Ok(())
    })
}

#[inline(always)]
fn wait(latch: &Latch, how: How) -> Outcome {
    match how {
        How::Forever => latch.wait()?,
        How::Not => latch.try_wait()?,
        How::Until(deadline) => latch.wait_until(deadline)?,
        How::Interruptible(deadline) => latch.wait_interruptible(deadline)?,
    }
    Ok(())
}
