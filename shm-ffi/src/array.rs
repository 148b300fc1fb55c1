//! Arrays that describe themselves.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::error::Failure;
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::{self, Description, Output};
use crate::status::*;
use crate::types::*;
use shm_core::{Access, AnyArray, ElementType};
use std::ffi::c_char;

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
        let mut array = pin(array)?.clone();
        array.refresh();
        info.put(&describe(&array));
        Ok(())
    })
}

fn describe(array: &AnyArray) -> shm_array_info_t {
    let layout = array.layout();
    let segment = array.segment();
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    let flags = flag(layout.is_c_contiguous(), SHM_ARRAY_C_CONTIGUOUS)
        | flag(layout.is_f_contiguous(), SHM_ARRAY_F_CONTIGUOUS)
        | flag(segment.access() == Access::ReadWrite, SHM_ARRAY_WRITABLE);
    let mut shape = [0; SHM_MAX_DIMENSIONS];
    let mut strides = [0; SHM_MAX_DIMENSIONS];
    shape.iter_mut().zip(layout.shape()).for_each(|(to, from)| *to = *from as i64);
    strides.iter_mut().zip(layout.strides_bytes()).for_each(|(to, from)| *to = *from as i64);
    shm_array_info_t {
        size: 0,
        data: array.as_ptr().cast(),
        dtype: dtype(layout.element()),
        item_size: layout.element().item_size() as u64,
        length: layout.len() as u64,
        generation: segment.generation(),
        ndim: layout.ndim() as i32,
        flags,
        shape,
        strides,
    }
}

fn dtype(element: &ElementType) -> shm_dtype_t {
    let code = element.type_code();
    let record_length = match element {
        ElementType::Record(record) => record.to_string().len() as u32,
        _ => 0,
    };
    shm_dtype_t {
        code: code.code,
        bits: code.bits,
        lanes: 1,
        count: code.count,
        unit: code.unit,
        record_length,
        record: std::ptr::null(),
    }
}
