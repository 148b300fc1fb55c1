//! Segments: the memory underneath, with its table of contents.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::error::Failure;
use crate::guard::guard;
use crate::handle::{handle, insert, retire};
use crate::input::{self, Output};
use crate::status::*;
use crate::types::*;
use shm_core::Segment;
use std::ffi::c_char;

/// A handle of an attached segment. Zero is no handle.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_segment_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(
    shm_segment_t,
    Segment,
    1,
    "segment",
    fn end(self) -> Option<(Self, Failure)> {
        self.detach().err().map(|(segment, error)| (segment, error.into()))
    }
);

/// Attaches an existing segment.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`. `options`: or NULL for the defaults. `segment`: receives the handle, which
/// `shm_segment_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NOT_A_SEGMENT`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_UNSUPPORTED_VERSION`,
/// `SHM_STATUS_PERMISSION_DENIED`, `SHM_STATUS_FOREIGN_OWNER`, `SHM_STATUS_BUSY` under somebody's exclusive lease.
/// Thread use: any thread.
/// Death: the kernel detaches for a process that dies, however it dies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_attach(
    name: *const c_char,
    options: *const shm_options_t,
    segment: *mut shm_segment_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (segment, name, options) =
            unsafe { (Output::of(segment, "segment")?, input::name(name)?, input::options(options)?) };
        segment.put(insert(options.attach(name)?)?);
        Ok(())
    })
}

/// Gives the handle back. The last handle of a segment in a process, of whichever kind, unmaps it.
///
/// Parameters: `segment`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if it is the last one and this process holds a lock inside the segment (the handle stays
/// good then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle; the last of them detaches.
/// Death: of the process detaches too.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_detach(segment: shm_segment_t) -> shm_status_t {
    guard(|| retire(segment))
}
