//! Bytes that come in and go out in any number.

#![allow(unsafe_code, reason = "allocates and frees for C, and reads what C gave")]

use crate::error::{Failure, Outcome};
use crate::input;
use crate::status::SHM_STATUS_OUT_OF_MEMORY;
use std::ffi::c_void;

/// Frees what the library has allocated for the caller, where its documentation names this function. It is free(3), which does as well.
///
/// Parameters: `memory`: such an address, once; or NULL, which is ignored.
/// Returns: nothing.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_free(memory: *mut c_void) {
    // SAFETY: NULL, or from `given`, and nobody uses it any more, the caller says.
    unsafe { libc::free(memory) }
}

/// A copy of bytes for the caller, and how many there are. Not even the copy of none is NULL.
pub(crate) fn given(bytes: &[u8]) -> Outcome<(*mut c_void, u64)> {
    // SAFETY: any number of bytes may be asked for.
    let memory = unsafe { libc::malloc(bytes.len().max(1)) };
    if memory.is_null() {
        return Err(Failure::new(
            SHM_STATUS_OUT_OF_MEMORY,
            format_args!("cannot allocate the {} bytes of a result, which is lost", bytes.len()),
        ));
    }
    // SAFETY: so many bytes were allocated just now.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len()) };
    Ok((memory, bytes.len() as u64))
}

/// Bytes of the caller's.
///
/// # Safety
/// `bytes` is NULL, or points to that many readable bytes, which nobody changes while they are used.
pub(crate) unsafe fn bytes<'a>(bytes: *const c_void, length: u64, what: &str) -> Outcome<&'a [u8]> {
    let length = input::size("length", length)?;
    if length == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(Failure::argument(format_args!("the argument `{what}` is NULL")));
    }
    // SAFETY: so many readable bytes, the caller says.
    Ok(unsafe { std::slice::from_raw_parts(bytes.cast(), length) })
}

/// Room for bytes of the caller's, zeroed: after a failure nobody takes what was there for a result.
///
/// # Safety
/// `place` is NULL, or points to that many writable bytes, which nobody else uses while this is used.
pub(crate) unsafe fn room<'a>(place: *mut c_void, length: usize, what: &str) -> Outcome<&'a mut [u8]> {
    if length == 0 {
        return Ok(&mut []);
    }
    if place.is_null() {
        return Err(Failure::argument(format_args!("the argument `{what}` is NULL")));
    }
    // SAFETY: so many writable bytes, the caller says; zeros are bytes.
    unsafe {
        place.write_bytes(0, length);
        Ok(std::slice::from_raw_parts_mut(place.cast(), length))
    }
}
