//! Segments from outside, by name: delete, inspect, list, reap.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::info;
use crate::input::{self, Description, Output};
use crate::status::*;
use crate::types::*;
use shm_core::SegmentInfo;
use std::ffi::c_char;

/// A handle of a list of segments as they were when it was made. Zero is no handle.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_list_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

/// What was found.
pub(crate) struct List(Vec<SegmentInfo>);

handle!(shm_list_t, List, 4, "list");

/// Removes a name. Those who have the segment attached keep it; its pages go with the last of them.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NOT_A_SEGMENT` (other files are not removed), `SHM_STATUS_FOREIGN_OWNER`,
/// `SHM_STATUS_PERMISSION_DENIED`, `SHM_STATUS_BUSY`.
/// Thread use: any thread.
/// Death: in the middle of it leaves the name or removes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_delete(name: *const c_char) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let name = unsafe { input::name(name) }?;
        Ok(shm_core::delete(name)?)
    })
}

/// Looks at a segment without attaching it; takes no lock, and disturbs nobody.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
/// Returns: as `shm_segment_attach`, except that an exclusive lease and another owner are no hindrance.
/// Thread use: any thread.
/// Death: of others shows in the description at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_inspect(name: *const c_char, info: *mut shm_segment_info_t) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (info, name) = unsafe { (Description::of(info, "info")?, input::name(name)?) };
        info.put(&info::of_segment(&shm_core::inspect(name)?));
        Ok(())
    })
}

/// Removes the dead segments of this user: those whose lifetime is over, though nobody has removed their names.
///
/// Parameters: `directory`: a directory of `file://` names, or NULL for the `shm://` names. `removed`: receives how many there were; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if the directory cannot be read.
/// Thread use: any thread.
/// Death: what is alive is never touched; the kernel's locks decide, not process ids and not age.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_reap(directory: *const c_char, removed: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (removed, directory) = unsafe { (Output::wanted(removed), input::directory(directory)?) };
        let names = match directory {
            Some(directory) => shm_core::reap_in(directory)?,
            None => shm_core::reap()?,
        };
        removed.put(names.len() as u64);
        Ok(())
    })
}

/// Lists the living segments that the caller may read, by name. Dead ones of the caller are removed on the way.
///
/// Parameters: `directory`: a directory of `file://` names, or NULL for the `shm://` names. `list`: receives the handle, which `shm_list_free` gives
/// back. `count`: receives the number of segments; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if the directory cannot be read. Other files and damaged segments are passed over.
/// Thread use: any thread.
/// Death: as for `shm_reap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_list(
    directory: *const c_char,
    list: *mut shm_list_t,
    count: *mut u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (list, count, directory) =
            unsafe { (Output::of(list, "list")?, Output::wanted(count), input::directory(directory)?) };
        let found = match directory {
            Some(directory) => shm_core::list_in(directory)?,
            None => shm_core::list()?,
        };
        let number = found.len() as u64;
        list.put(insert(List(found))?);
        count.put(number);
        Ok(())
    })
}

/// Describes a segment of a list.
///
/// Parameters: `list`: a handle. `index`: 0 for the first segment. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` behind the last one.
/// Thread use: any thread.
/// Death: the list stays as it was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_list_segment(
    list: shm_list_t,
    index: u64,
    info: *mut shm_segment_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        info.put(&info::of_segment(info::nth(&pin(list)?.0, index, "segment", SHM_STATUS_NOT_FOUND)?));
        Ok(())
    })
}

/// Describes an entry of a segment of a list.
///
/// Parameters: `list`: a handle. `index`: the segment's place in the list. `entry`: the entry's place in the segment, 0 for the first one. `info`: begun
/// with `SHM_ENTRY_INFO_INIT`; receives the description, without an address.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NO_SUCH_ENTRY`.
/// Thread use: any thread.
/// Death: the list stays as it was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_list_entry(
    list: shm_list_t,
    index: u64,
    entry: u64,
    info: *mut shm_entry_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        let list = pin(list)?;
        let segment = info::nth(&list.0, index, "segment", SHM_STATUS_NOT_FOUND)?;
        let entry = info::nth(&segment.entries, entry, "entry", SHM_STATUS_NO_SUCH_ENTRY)?;
        info.put(&info::of_entry(entry, None));
        Ok(())
    })
}

/// Describes the first array in a segment of a list.
///
/// Parameters: `list`: a handle. `index`: the segment's place in the list. `info`: begun with `SHM_ARRAY_INFO_INIT`; receives the description, without
/// an address.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NO_SUCH_ENTRY` if the segment has no array.
/// Thread use: any thread.
/// Death: the list stays as it was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_list_array(
    list: shm_list_t,
    index: u64,
    info: *mut shm_array_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        let list = pin(list)?;
        let arrays: Vec<_> =
            info::nth(&list.0, index, "segment", SHM_STATUS_NOT_FOUND)?.array().into_iter().collect();
        info.put(&info::of_layout(info::nth(&arrays, 0, "array", SHM_STATUS_NO_SUCH_ENTRY)?));
        Ok(())
    })
}

/// Gives the handle of a list back.
///
/// Parameters: `list`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_list_free(list: shm_list_t) -> shm_status_t {
    guard(|| retire(list))
}
