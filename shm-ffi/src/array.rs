//! Arrays that describe themselves.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::error::Failure;
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::info;
use crate::input::{self, Description, Output};
use crate::segment::{shm_segment_t, sync_mode};
use crate::status::*;
use crate::types::*;
use shm_core::{Access, AnyArray};
use std::ffi::{c_char, c_void};
use std::os::fd::{IntoRawFd, OwnedFd};

/// A handle of an attached array. Zero is no handle.
///
/// It may be used by any thread, and by forked children. The array stays attached until the handle is given back by `shm_array_detach`.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_array_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(
    shm_array_t,
    AnyArray,
    2,
    "array",
    fn end(self) -> Option<(Self, Failure)> {
        self.detach().err().map(|(array, error)| (array, error.into()))
    }
);

/// Creates an array of zeros, with a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for memory that only this process and those forked from it reach.
/// `options`: or NULL for the defaults. `dtype`: what the elements are. `shape`, `ndim`: elements along each dimension, outermost first.
/// `order`: `SHM_ORDER_C` or `SHM_ORDER_F`. `array`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_OUT_OF_SPACE`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_SIZE_OVERFLOW` and what the system calls say. Nothing was created then.
/// Thread use: any thread.
/// Death: the name appears when the array is complete; a process that is killed before leaves nothing behind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_create(
    name: *const c_char,
    options: *const shm_options_t,
    dtype: shm_dtype_t,
    shape: *const i64,
    ndim: i32,
    order: shm_order_t,
    array: *mut shm_array_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (array, name, options, layout) = unsafe {
            (
                Output::of(array, "array")?,
                input::name_or_none(name)?,
                input::options(options)?,
                input::layout(dtype, shape, ndim, order)?,
            )
        };
        let place = match name {
            Some(name) => options.named(name)?,
            None => options.anonymous(),
        };
        array.put(insert(AnyArray::create(place, &layout)?)?);
        Ok(())
    })
}

/// Attaches the only array of a segment.
///
/// Parameters: `name`: as it was created. `options`: or NULL for the defaults (reading and writing). `array`: receives the handle.
/// Returns: as `shm_segment_attach`; `SHM_STATUS_NO_SUCH_ENTRY` if the segment has no array, or several (`shm_array_attach_in`).
/// Thread use: any thread.
/// Death: the kernel detaches for a process that dies, however it dies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_attach(
    name: *const c_char,
    options: *const shm_options_t,
    array: *mut shm_array_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (array, name, options) =
            unsafe { (Output::of(array, "array")?, input::name(name)?, input::options(options)?) };
        array.put(insert(AnyArray::only(&options.attach(name)?)?)?);
        Ok(())
    })
}

/// Attaches the array under a name, or creates it, zero-filled, without a race between the two.
///
/// Parameters: as for `shm_array_create`, with a name. `created`: receives 1 if it was created and 0 if it was there; or NULL.
/// Returns: as `shm_array_create` and `shm_array_attach`; `SHM_STATUS_TYPE_MISMATCH`, `SHM_STATUS_SHAPE_MISMATCH` if what is there has another
/// element type, shape or order (an array that grows may have grown).
/// Thread use: any thread.
/// Death: the name appears when the array is complete.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_create_or_attach(
    name: *const c_char,
    options: *const shm_options_t,
    dtype: shm_dtype_t,
    shape: *const i64,
    ndim: i32,
    order: shm_order_t,
    array: *mut shm_array_t,
    created: *mut i32,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (array, created, name, options, layout) = unsafe {
            (
                Output::of(array, "array")?,
                Output::wanted(created),
                input::name(name)?,
                input::options(options)?,
                input::layout(dtype, shape, ndim, order)?,
            )
        };
        let (found, new) = AnyArray::create_or_attach(options.named(name)?, &layout)?;
        array.put(insert(found)?);
        created.put(i32::from(new));
        Ok(())
    })
}

/// Takes an array of a segment that holds several things.
///
/// Parameters: `segment`: a handle. `entry`: the array's name in the segment. `array`: receives the handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY` if there is no such entry, or if it is no array.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    array: *mut shm_array_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (array, entry) = unsafe { (Output::of(array, "array")?, input::text(entry, "entry")?) };
        array.put(insert(AnyArray::in_segment(&*pin(segment)?, entry)?)?);
        Ok(())
    })
}

/// Attaches the only array of the segment behind a descriptor.
///
/// Parameters: as for `shm_segment_attach_descriptor`. `array`: receives the handle.
/// Returns: as `shm_segment_attach_descriptor` and `shm_array_attach`.
/// Thread use: any thread.
/// Death: the kernel detaches for a process that dies, however it dies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_attach_descriptor(
    descriptor: i32,
    options: *const shm_options_t,
    array: *mut shm_array_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (array, options) = unsafe { (Output::of(array, "array")?, input::options(options)?) };
        let segment = options.attach_descriptor(input::descriptor(descriptor)?)?;
        array.put(insert(AnyArray::only(&segment)?)?);
        Ok(())
    })
}

/// Gives the handle back. The last handle of a segment in a process, of whichever kind, unmaps it: pointers into it are no good then.
///
/// Parameters: `array`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if it is the last one and this process holds a lock inside the segment (the handle stays
/// good then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle; the last of them detaches.
/// Death: of the process detaches too.
#[unsafe(no_mangle)]
pub extern "C" fn shm_array_detach(array: shm_array_t) -> shm_status_t {
    guard(|| retire(array))
}

/// Describes an array: where its elements are, their type, shape and strides, growth by others included.
///
/// Parameters: `array`: a handle. `info`: begun with `SHM_ARRAY_INFO_INIT`; receives the description.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_info(array: shm_array_t, info: *mut shm_array_info_t) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        info.put(&describe(&*pin(array)?));
        Ok(())
    })
}

fn describe(array: &AnyArray) -> shm_array_info_t {
    let segment = array.segment();
    // Asked first: if it grows in between, the layout is the newer one, and the next look at the generation tells.
    let generation = segment.generation();
    let mut info = info::of_layout(&array.layout_now());
    info.generation = generation;
    info.data = array.as_ptr().cast();
    if segment.access() == Access::ReadWrite {
        info.flags |= SHM_ARRAY_WRITABLE;
    }
    if array.can_grow() {
        info.flags |= SHM_ARRAY_GROWS;
    }
    info
}

/// Tells the address of the element with all indices 0.
///
/// Parameters: `array`: a handle. `data`: receives the address, which stays good until the array is detached, growth included.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. Who reads and writes when is the callers' business: agree on a lock.
/// Death: of others changes nothing. A process that is killed while it writes leaves what it has written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_data(array: shm_array_t, data: *mut *mut c_void) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let data = unsafe { Output::of(data, "data") }?;
        data.put(pin(array)?.as_ptr().cast());
        Ok(())
    })
}

/// Copies the description of a record, the element type of an array (FORMAT.md, section 3.3).
///
/// Parameters: `array`: a handle. `record`: receives the text and a zero byte; NULL if `capacity` is 0. `capacity`: how many bytes `record` has.
/// `length`: receives the bytes of the text, without the zero byte; or NULL. It is 0 for types that are no records.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LIMIT_EXCEEDED` if `record` is too small (`length` says how large it has to be), `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_record(
    array: shm_array_t,
    record: *mut c_char,
    capacity: u64,
    length: *mut u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let length = unsafe { Output::wanted(length) };
        let text = info::record(pin(array)?.layout().element());
        length.put(text.len() as u64);
        // SAFETY: the pointer is NULL or as the header says.
        unsafe { input::copy_text(&text, record, capacity, "record") }
    })
}

/// Lengthens an array along its first dimension, in place and for everybody; new elements are zero, and old pointers stay good.
///
/// Parameters: `array`: a handle. `extent`: elements along the first dimension afterwards, at least.
/// Returns: `SHM_STATUS_OK`, also if it was that long; `SHM_STATUS_LIMIT_EXCEEDED` above `options.reserve_max`, or if the array was not created to grow;
/// `SHM_STATUS_INVALID_ARGUMENT` for a negative extent, `SHM_STATUS_READ_ONLY`, `SHM_STATUS_OUT_OF_SPACE`; it is as before then.
/// Thread use: any thread, and several processes at the same time: it gets the greatest length.
/// Death: in the middle of it leaves the old length or the new one.
#[unsafe(no_mangle)]
pub extern "C" fn shm_array_grow(array: shm_array_t, extent: i64) -> shm_status_t {
    guard(|| {
        let extent = usize::try_from(extent)
            .map_err(|_| Failure::argument(format_args!("`extent` is {extent}; give 0 or more")))?;
        // The handle's own layout is of no use: descriptions are made from what the segment says now.
        Ok(pin(array)?.clone().grow(extent)?)
    })
}

/// Writes changed pages of an array's segment back to the file; see `shm_segment_sync`.
///
/// Parameters: `array`: a handle. `mode`: `SHM_SYNC_START`, `SHM_SYNC_WAIT` or `SHM_SYNC_INVALIDATE`.
/// Returns: as `shm_segment_sync`.
/// Thread use: any thread.
/// Death: as for `shm_segment_sync`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_array_sync(array: shm_array_t, mode: shm_sync_t) -> shm_status_t {
    guard(|| Ok(pin(array)?.segment().sync(sync_mode(mode)?)?))
}

/// Makes a handle of the segment that an array is in, for all that is done with segments.
///
/// Parameters: `array`: a handle. `segment`: receives the handle, to be given back by `shm_segment_detach`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_segment(array: shm_array_t, segment: *mut shm_segment_t) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let segment = unsafe { Output::of(segment, "segment") }?;
        segment.put(insert(pin(array)?.segment().clone())?);
        Ok(())
    })
}

/// Makes a descriptor that leads to an array's segment and keeps it; see `shm_segment_export`.
///
/// Parameters: `array`: a handle. `descriptor`: receives it; close(2) gives it back.
/// Returns: as `shm_segment_export`.
/// Thread use: any thread.
/// Death: as for `shm_segment_export`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_array_export(array: shm_array_t, descriptor: *mut i32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let descriptor = unsafe { Output::of(descriptor, "descriptor") }?;
        descriptor.put(OwnedFd::from(pin(array)?.segment().lease()?).into_raw_fd());
        Ok(())
    })
}
