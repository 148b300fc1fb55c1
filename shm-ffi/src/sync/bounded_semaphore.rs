//! The bounded semaphore: a semaphore that notices when more is given back than was taken.

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
use shm_sync::BoundedSemaphore;
use std::ffi::{c_char, c_void};

/// A handle of a bounded semaphore. Zero is no handle.
///
/// A semaphore that never has more permits than at first.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_bounded_semaphore_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_bounded_semaphore_t, BoundedSemaphore, 21, "bounded semaphore");

/// Creates a bounded semaphore, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `bound`: how many permits there are at first and at
/// most, 1 or more. `semaphore`: receives the handle, which `shm_bounded_semaphore_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_create(
    name: *const c_char,
    options: *const shm_options_t,
    bound: u32,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, semaphore, || Ok(bound)) }
}

/// Attaches to the bounded semaphore under a name.
///
/// Parameters: `name`: as it was created. `semaphore`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_attach(
    name: *const c_char,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, semaphore, |_| Ok(())) }
}

/// Attaches to the bounded semaphore under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_bounded_semaphore_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_create_or_attach(
    name: *const c_char,
    bound: u32,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, semaphore, || Ok(bound)) }
}

/// Adds a bounded semaphore to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `bound`: how many
/// permits there are at first and at most, 1 or more.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_bounded_semaphore(
    contents: shm_contents_t,
    entry: *const c_char,
    bound: u32,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_bounded_semaphore_t, _>(contents, entry, || Ok(bound)) }
}

/// Attaches to the bounded semaphore in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `semaphore`: receives the
/// handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, semaphore, |_| Ok(())) }
}

/// Makes a bounded semaphore in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_bounded_semaphore_size` at least. They stay mapped until
/// the last handle is given back, are used at one address only in one process, and through handles only. `bound`: how many
/// permits there are at first and at most, 1 or more. `semaphore`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_create_at(
    address: *mut c_void,
    length: u64,
    bound: u32,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, semaphore, || Ok(bound)) }
}

/// Attaches to the bounded semaphore at an address of the caller's.
///
/// Parameters: as for `shm_bounded_semaphore_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_attach_at(
    address: *mut c_void,
    length: u64,
    semaphore: *mut shm_bounded_semaphore_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, semaphore, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a bounded semaphore takes at an address.
///
/// Parameters: `bound`: how many permits there are at first and at most, 1 or more. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_size(bound: u32, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_bounded_semaphore_t, _>(size, || Ok(bound)) }
}

/// Gives the handle back. The bounded semaphore itself stays where it is, for others.
///
/// Parameters: `semaphore`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_detach(semaphore: shm_bounded_semaphore_t) -> shm_status_t {
    guard(|| retire(semaphore))
}

/// Takes a permit, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `semaphore`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; a permit belongs to nobody in particular.
/// Death: of whoever took a permit leaves it taken; of one who waits takes nothing away from the others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_acquire(semaphore: shm_bounded_semaphore_t) -> shm_status_t {
    guard(|| take(&*pin(semaphore)?, How::Forever))
}

/// Takes a permit, if that is possible at once.
///
/// Parameters: `semaphore`: a handle.
/// Returns: `SHM_STATUS_BUSY` if there is none; otherwise as `shm_bounded_semaphore_acquire`.
/// Thread use: as `shm_bounded_semaphore_acquire`.
/// Death: as `shm_bounded_semaphore_acquire`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_try_acquire(semaphore: shm_bounded_semaphore_t) -> shm_status_t {
    guard(|| take(&*pin(semaphore)?, How::Not))
}

/// Takes a permit, waiting for a time at most.
///
/// Parameters: `semaphore`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as
/// `shm_bounded_semaphore_acquire`.
/// Thread use: as `shm_bounded_semaphore_acquire`.
/// Death: as `shm_bounded_semaphore_acquire`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_acquire_timeout_ns(
    semaphore: shm_bounded_semaphore_t,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(semaphore)?, How::timeout(timeout_ns)?))
}

/// Takes a permit, waiting until a deadline at most.
///
/// Parameters: `semaphore`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
/// there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as
/// `shm_bounded_semaphore_acquire`.
/// Thread use: as `shm_bounded_semaphore_acquire`.
/// Death: as `shm_bounded_semaphore_acquire`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_acquire_until_ns(
    semaphore: shm_bounded_semaphore_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(semaphore)?, How::until(deadline_ns)?))
}

/// Takes a permit, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `semaphore`: a handle. `deadline_ns`: as for `shm_bounded_semaphore_acquire_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_bounded_semaphore_acquire_until_ns`.
/// Thread use: as `shm_bounded_semaphore_acquire`.
/// Death: as `shm_bounded_semaphore_acquire`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_acquire_interruptible_ns(
    semaphore: shm_bounded_semaphore_t,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| take(&*pin(semaphore)?, How::interruptible(deadline_ns)?))
}

/// Gives permits back, or new ones, and wakes as many who wait.
///
/// Parameters: `semaphore`: a handle. `permits`: how many.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OVERFLOW` if that is more than the bound, with nothing changed; `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way gives back all or none.
#[unsafe(no_mangle)]
pub extern "C" fn shm_bounded_semaphore_release(
    semaphore: shm_bounded_semaphore_t,
    permits: u32,
) -> shm_status_t {
    guard(|| Ok(pin(semaphore)?.release(permits)?))
}

/// Says how many permits there are now.
///
/// Parameters: `semaphore`: a handle. `permits`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; it may be another number at once.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_available(
    semaphore: shm_bounded_semaphore_t,
    permits: *mut u32,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let permits = unsafe { Output::of(permits, "permits") }?;
        permits.put(pin(semaphore)?.available()?);
        Ok(())
    })
}

/// Says how many permits there can be.
///
/// Parameters: `semaphore`: a handle. `permits`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_bounded_semaphore_bound(
    semaphore: shm_bounded_semaphore_t,
    permits: *mut u32,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let permits = unsafe { Output::of(permits, "permits") }?;
        permits.put(pin(semaphore)?.bound());
        Ok(())
    })
}

/// Takes a permit and keeps it: it is given back by number.
#[inline(always)]
fn take(semaphore: &BoundedSemaphore, how: How) -> Outcome {
    let permit = match how {
        How::Forever => semaphore.acquire(),
        How::Not => semaphore.try_acquire(),
        How::Until(deadline) => semaphore.acquire_until(deadline),
        How::Interruptible(deadline) => semaphore.acquire_interruptible(deadline),
    };
    permit?.forget();
    Ok(())
}
