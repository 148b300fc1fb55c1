//! Segments: the memory underneath, with its table of contents.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::contents::shm_contents_t;
use crate::error::Failure;
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::info;
use crate::input::{self, Description, Output};
use crate::status::*;
use crate::types::*;
use shm_core::{Advice, Segment, SyncMode};
use std::ffi::c_char;
use std::os::fd::{IntoRawFd, OwnedFd};

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

/// Creates a segment with these contents, zero-filled where nothing else was planned.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process, those forked from it, and those that get
/// its descriptor reach. `options`: or NULL for the defaults. `contents`: a plan, which stays good. `segment`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_OUT_OF_SPACE`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_UNSUPPORTED` for a file system without unnamed files, and what the system calls say. Nothing was created then.
/// Thread use: any thread.
/// Death: the name appears when the segment is complete; a process that is killed before leaves nothing behind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_create(
    name: *const c_char,
    options: *const shm_options_t,
    contents: shm_contents_t,
    segment: *mut shm_segment_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (segment, name, options) = unsafe {
            (Output::of(segment, "segment")?, input::name_or_none(name)?, input::options(options)?)
        };
        let plan = pin(contents)?.plan()?;
        segment.put(insert(match name {
            Some(name) => options.create(name, &plan)?,
            None => options.create_anonymous(&plan)?,
        })?);
        Ok(())
    })
}

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

/// Attaches the segment under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_segment_create`, with a name. `created`: receives 1 if it was created and 0 if it was there; or NULL.
/// Returns: as `shm_segment_create` and `shm_segment_attach`. What is attached may have other contents.
/// Thread use: any thread.
/// Death: the name appears when the segment is complete.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_create_or_attach(
    name: *const c_char,
    options: *const shm_options_t,
    contents: shm_contents_t,
    segment: *mut shm_segment_t,
    created: *mut i32,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (segment, created, name, options) = unsafe {
            (
                Output::of(segment, "segment")?,
                Output::wanted(created),
                input::name(name)?,
                input::options(options)?,
            )
        };
        let (found, new) = options.create_or_attach(name, &pin(contents)?.plan()?)?;
        segment.put(insert(found)?);
        created.put(i32::from(new));
        Ok(())
    })
}

/// Attaches the segment behind a descriptor, however it came here.
///
/// Parameters: `descriptor`: from `shm_segment_export` or `shm_array_export`, in this process or another one; it stays the caller's. `options`: or NULL
/// for the defaults. `segment`: receives the handle.
/// Returns: as `shm_segment_attach`; `SHM_STATUS_INVALID_ARGUMENT` for what is no descriptor, `SHM_STATUS_UNSUPPORTED` without /proc.
/// Thread use: any thread.
/// Death: the kernel detaches for a process that dies, however it dies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_attach_descriptor(
    descriptor: i32,
    options: *const shm_options_t,
    segment: *mut shm_segment_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (segment, options) = unsafe { (Output::of(segment, "segment")?, input::options(options)?) };
        segment.put(insert(options.attach_descriptor(input::descriptor(descriptor)?)?)?);
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

/// Makes a descriptor that leads to the segment and keeps it: to be sent over a Unix socket, or left to a program that is started.
///
/// Parameters: `segment`: a handle. `descriptor`: receives it; close(2) gives it back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while this process has the exclusive lease, `SHM_STATUS_UNSUPPORTED` without /proc.
/// Thread use: any thread.
/// Death: while the descriptor is open somewhere, also unread in a socket, it counts as an attachment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_export(segment: shm_segment_t, descriptor: *mut i32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let descriptor = unsafe { Output::of(descriptor, "descriptor") }?;
        descriptor.put(OwnedFd::from(pin(segment)?.lease()?).into_raw_fd());
        Ok(())
    })
}

/// Describes an attached segment.
///
/// Parameters: `segment`: a handle. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_UNSUPPORTED` without /proc, `SHM_STATUS_NOT_FOUND` if its lifetime is over.
/// Thread use: any thread.
/// Death: of others shows in the description at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_info(
    segment: shm_segment_t,
    info: *mut shm_segment_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        info.put(&info::of_segment(&pin(segment)?.info()?));
        Ok(())
    })
}

/// Describes an entry of an attached segment by its name.
///
/// Parameters: `segment`: a handle. `entry`: its name; empty for an only entry without a name. `info`: begun with `SHM_ENTRY_INFO_INIT`; receives the
/// description.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_entry(
    segment: shm_segment_t,
    entry: *const c_char,
    info: *mut shm_entry_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (info, entry) = unsafe { (Description::of(info, "info")?, input::text(entry, "entry")?) };
        let segment = pin(segment)?;
        info.put(&info::of_entry(segment.entry(entry)?, Some(&segment)));
        Ok(())
    })
}

/// Describes an entry of an attached segment by its place in the table of contents.
///
/// Parameters: `segment`: a handle. `index`: 0 for the first entry. `info`: as for `shm_segment_entry`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY` behind the last one.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_entry_at(
    segment: shm_segment_t,
    index: u64,
    info: *mut shm_entry_info_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let info = unsafe { Description::of(info, "info") }?;
        let segment = pin(segment)?;
        let entry = info::nth(segment.entries(), index, "entry", SHM_STATUS_NO_SUCH_ENTRY)?;
        info.put(&info::of_entry(entry, Some(&segment)));
        Ok(())
    })
}

/// Lengthens a segment, in place and for everybody; the new bytes are zero, and old pointers stay good.
///
/// Parameters: `segment`: a handle. `length`: bytes that it has afterwards at least, header included.
/// Returns: `SHM_STATUS_OK`, also if it was that long; `SHM_STATUS_LIMIT_EXCEEDED` above `options.reserve_max`, `SHM_STATUS_READ_ONLY`,
/// `SHM_STATUS_OUT_OF_SPACE`; it is as before then.
/// Thread use: any thread, and several processes at the same time: it gets the greatest length.
/// Death: in the middle of it leaves the old length or the new one.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_grow(segment: shm_segment_t, length: u64) -> shm_status_t {
    guard(|| Ok(pin(segment)?.grow(input::size("length", length)?)?))
}

/// Tells a number that changes exactly when the segment has grown, in whichever process.
///
/// Parameters: `segment`: a handle. `generation`: receives the number. It costs a load, so ask as often as you like.
/// Returns: `SHM_STATUS_OK`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_segment_generation(
    segment: shm_segment_t,
    generation: *mut u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let generation = unsafe { Output::of(generation, "generation") }?;
        generation.put(pin(segment)?.generation());
        Ok(())
    })
}

/// Writes changed pages back to the file. A segment in memory has no file, and there is nothing to do.
///
/// Parameters: `segment`: a handle. `mode`: `SHM_SYNC_START`, `SHM_SYNC_WAIT` or `SHM_SYNC_INVALIDATE`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` with what msync(2) says, such as a full disk.
/// Thread use: any thread.
/// Death: what was not written yet is the kernel's business, which writes it later.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_sync(segment: shm_segment_t, mode: shm_sync_t) -> shm_status_t {
    guard(|| Ok(pin(segment)?.sync(sync_mode(mode)?)?))
}

pub(crate) fn sync_mode(mode: shm_sync_t) -> crate::error::Outcome<SyncMode> {
    const MODES: [(i32, SyncMode); 3] = [
        (SHM_SYNC_START, SyncMode::Start),
        (SHM_SYNC_WAIT, SyncMode::Wait),
        (SHM_SYNC_INVALIDATE, SyncMode::Invalidate),
    ];
    input::choice("mode", mode, &MODES)
}

/// Keeps all pages of a segment in memory, for this process, until it unlocks them or detaches.
///
/// Parameters: `segment`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OUT_OF_MEMORY` if the process may not lock that much.
/// Thread use: any thread.
/// Death: of the process unlocks its pages.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_lock_memory(segment: shm_segment_t) -> shm_status_t {
    guard(|| Ok(pin(segment)?.lock_memory()?))
}

/// Lets the pages of a segment be swapped again.
///
/// Parameters: `segment`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM`.
/// Thread use: any thread.
/// Death: of the process unlocks its pages.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_unlock_memory(segment: shm_segment_t) -> shm_status_t {
    guard(|| Ok(pin(segment)?.unlock_memory()?))
}

/// Enters all pages of a segment into this process's page table, so that no touch faults.
///
/// Parameters: `segment`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OUT_OF_MEMORY`.
/// Thread use: any thread.
/// Death: changes nothing for others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_prefault(segment: shm_segment_t) -> shm_status_t {
    guard(|| Ok(pin(segment)?.prefault()?))
}

/// Tells the kernel what to expect of a segment's pages. No advice changes the bytes.
///
/// Parameters: `segment`: a handle. `advice`: `SHM_ADVICE_SEQUENTIAL` and others.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if this kernel does not know the advice.
/// Thread use: any thread.
/// Death: changes nothing for others.
#[unsafe(no_mangle)]
pub extern "C" fn shm_segment_advise(segment: shm_segment_t, advice: shm_advice_t) -> shm_status_t {
    const ADVICE: [(i32, Advice); 7] = [
        (SHM_ADVICE_NORMAL, Advice::Normal),
        (SHM_ADVICE_SEQUENTIAL, Advice::Sequential),
        (SHM_ADVICE_RANDOM, Advice::Random),
        (SHM_ADVICE_WILL_NEED, Advice::WillNeed),
        (SHM_ADVICE_HUGE_PAGE, Advice::HugePage),
        (SHM_ADVICE_NO_HUGE_PAGE, Advice::NoHugePage),
        (SHM_ADVICE_DONT_DUMP, Advice::DontDump),
    ];
    guard(|| Ok(pin(segment)?.advise(input::choice("advice", advice, &ADVICE)?)?))
}
