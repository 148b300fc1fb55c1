//! The exclusive lease: while it lives nobody else can attach the segment.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::array::shm_array_t;
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::Output;
use crate::segment::shm_segment_t;
use crate::status::*;
use shm_core::HeldLease;

/// A handle of an exclusive lease. Zero is no handle.
///
/// While it lives nobody else can attach the segment, and nobody else had it attached when it began.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_exclusive_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_exclusive_t, HeldLease, 5, "exclusive lease");

/// Takes the exclusive lease of an array's segment.
///
/// Parameters: `array`: the only handle of its segment in this process, of whichever kind. `exclusive`: receives the handle, which
/// `shm_exclusive_free` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if there are other handles here or others have it attached, `SHM_STATUS_READ_ONLY`,
/// `SHM_STATUS_INHERITED` in a forked child.
/// Thread use: any thread.
/// Death: gives the lease back. Processes that this one forked while it was attached are not seen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_exclusive(
    array: shm_array_t,
    exclusive: *mut shm_exclusive_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let exclusive = unsafe { Output::of(exclusive, "exclusive") }?;
        exclusive.put(insert(pin(array)?.segment().hold_exclusive()?)?);
        Ok(())
    })
}

/// Takes the exclusive lease of a segment.
///
/// Parameters: `segment`: the only handle of it in this process, of whichever kind. `exclusive`: receives the handle.
/// Returns: as `shm_array_exclusive`.
/// Thread use: any thread.
/// Death: as for `shm_array_exclusive`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_exclusive(
    segment: shm_segment_t,
    exclusive: *mut shm_exclusive_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let exclusive = unsafe { Output::of(exclusive, "exclusive") }?;
        exclusive.put(insert(pin(segment)?.hold_exclusive()?)?);
        Ok(())
    })
}

/// Gives an exclusive lease back: others can attach again.
///
/// Parameters: `exclusive`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. A forked child forgets its parent's lease, and the parent keeps it.
/// Thread use: any thread.
/// Death: does the same.
#[unsafe(no_mangle)]
pub extern "C" fn shm_exclusive_free(exclusive: shm_exclusive_t) -> shm_status_t {
    guard(|| retire(exclusive))
}
