//! What a new segment shall hold, planned entry by entry.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::{self, Output};
use crate::status::*;
use crate::types::*;
use std::ffi::c_char;
use std::sync::{Mutex, TryLockError};

/// A handle of a plan for a segment. Zero is no handle.
///
/// Several arrays and the locks that belong to them may share a segment, each under a name of its own. The last entry is the one that grows
/// when the segment has room to grow.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_contents_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

/// A plan that grows.
pub(crate) struct Contents(Mutex<shm_core::Contents>);

handle!(shm_contents_t, Contents, 3, "contents");

impl Contents {
    /// Replaces the plan by what `add` makes of it; after an error it is as before.
    pub(crate) fn change(
        &self,
        add: impl FnOnce(shm_core::Contents) -> Outcome<shm_core::Contents>,
    ) -> Outcome {
        // Not waited for: a forked child may find it locked by a thread that does not exist there.
        let mut plan = match self.0.try_lock() {
            Ok(plan) => plan,
            Err(TryLockError::Poisoned(plan)) => plan.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    SHM_STATUS_BUSY,
                    "cannot use the contents: another thread is using them; plan in one thread",
                ));
            }
        };
        *plan = add(plan.clone())?;
        Ok(())
    }

    /// The plan as it is.
    pub(crate) fn plan(&self) -> Outcome<shm_core::Contents> {
        let mut copy = None;
        self.change(|plan| {
            copy = Some(plan.clone());
            Ok(plan)
        })?;
        Ok(copy.unwrap_or_default())
    }
}

/// Begins the plan of a segment, with nothing in it.
///
/// Parameters: `contents`: receives the handle, which `shm_contents_free` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread; a plan is made by one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_create(contents: *mut shm_contents_t) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let contents = unsafe { Output::of(contents, "contents") }?;
        contents.put(insert(Contents(Mutex::new(shm_core::Contents::new())))?);
        Ok(())
    })
}

/// Adds an array of zeros to a plan.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. The others as for `shm_array_create`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_SIZE_OVERFLOW`; the plan is as before after an error. `SHM_STATUS_BUSY` if another
/// thread is using the plan.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_array(
    contents: shm_contents_t,
    entry: *const c_char,
    dtype: shm_dtype_t,
    shape: *const i64,
    ndim: i32,
    order: shm_order_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (entry, layout) =
            unsafe { (input::text(entry, "entry")?, input::layout(dtype, shape, ndim, order)?) };
        pin(contents)?.change(|plan| Ok(plan.array(entry, &layout)?))
    })
}

/// Adds bytes without a meaning to this library to a plan.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has. `length`: how many bytes. `alignment`: a power of two; 0 means 64.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_bytes(
    contents: shm_contents_t,
    entry: *const c_char,
    length: u64,
    alignment: u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let entry = unsafe { input::text(entry, "entry") }?;
        let (length, alignment) = (input::size("length", length)?, input::size("alignment", alignment)?);
        let alignment = if alignment == 0 { 64 } else { alignment };
        pin(contents)?.change(|plan| Ok(plan.bytes(entry, length, alignment)?))
    })
}

/// Gives the handle of a plan back. Segments that were made from it stay.
///
/// Parameters: `contents`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_contents_free(contents: shm_contents_t) -> shm_status_t {
    guard(|| retire(contents))
}
