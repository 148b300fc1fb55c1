//! Descriptions of segments and entries, put into the structs of the ABI. Nothing is exported from here.

use crate::error::{Failure, Outcome};
use crate::input::fixed_text;
use crate::status::shm_status_t;
use crate::types::*;
use shm_core::{
    ArrayLayout, ElementType, Entry, EntryKind, Lifetime, Liveness, Segment, SegmentInfo, SegmentKind,
};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::UNIX_EPOCH;

/// A segment as it looks from outside.
pub(crate) fn of_segment(info: &SegmentInfo) -> shm_segment_info_t {
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    // A path may have any bytes, which `Display` would replace.
    let name = info.name.as_ref().map_or(Vec::new(), |name| match name.is_shm() {
        true => name.to_string().into_bytes(),
        false => [b"file://", name.path().as_os_str().as_bytes()].concat(),
    });
    shm_segment_info_t {
        size: 0,
        length: info.len_bytes as u64,
        capacity: info.capacity_bytes as u64,
        created_at: info.created_at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as i64),
        entries: info.entries.len() as u64,
        kind: match info.kind {
            SegmentKind::Array => SHM_SEGMENT_KIND_ARRAY,
            SegmentKind::Primitive => SHM_SEGMENT_KIND_PRIMITIVE,
            SegmentKind::Arena => SHM_SEGMENT_KIND_ARENA,
            SegmentKind::Pool => SHM_SEGMENT_KIND_POOL,
            _ => 0,
        },
        lifetime: match info.lifetime {
            Lifetime::Persistent => SHM_LIFETIME_PERSISTENT,
            Lifetime::LastDetach => SHM_LIFETIME_LAST_DETACH,
            Lifetime::Scoped => SHM_LIFETIME_SCOPED,
        },
        mode: info.mode,
        owner: info.owner_uid,
        creator: info.creator.pid,
        creator_liveness: match info.creator_liveness {
            Liveness::Alive => SHM_LIVENESS_ALIVE,
            Liveness::Dead => SHM_LIVENESS_DEAD,
            Liveness::Unknown => SHM_LIVENESS_UNKNOWN,
        },
        leased_by: info.leased_by.unwrap_or(0),
        flags: flag(info.attached, SHM_SEGMENT_ATTACHED)
            | flag(info.leased_by.is_some(), SHM_SEGMENT_LEASED)
            | flag(info.not_guaranteed.is_none(), SHM_SEGMENT_GUARANTEED)
            | flag(info.capacity_bytes > info.len_bytes, SHM_SEGMENT_GROWS),
        name: fixed_text(&name),
        remark: fixed_text(info.not_guaranteed.as_deref().unwrap_or("").as_bytes()),
    }
}

/// An entry, with its address if the segment is attached.
pub(crate) fn of_entry(entry: &Entry, segment: Option<&Segment>) -> shm_entry_info_t {
    let (kind, primitive) = match entry.kind() {
        EntryKind::Array(_) => (SHM_ENTRY_KIND_ARRAY, 0),
        EntryKind::Primitive(code) => (SHM_ENTRY_KIND_PRIMITIVE, *code),
        EntryKind::Arena => (SHM_ENTRY_KIND_ARENA, 0),
        _ => (SHM_ENTRY_KIND_BYTES, 0),
    };
    shm_entry_info_t {
        size: 0,
        data: segment.map_or(ptr::null_mut(), |segment| segment.as_ptr().wrapping_add(entry.offset()).cast()),
        offset: entry.offset() as u64,
        length: entry.len() as u64,
        alignment: entry.align() as u64,
        kind,
        primitive,
        grows: entry.grows().into(),
        reserved: 0,
        name: fixed_text(entry.name().as_bytes()),
    }
}

/// A layout, without what only an attached array has.
pub(crate) fn of_layout(layout: &ArrayLayout) -> shm_array_info_t {
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    let mut shape = [0; SHM_MAX_DIMENSIONS];
    let mut strides = [0; SHM_MAX_DIMENSIONS];
    shape.iter_mut().zip(layout.shape()).for_each(|(to, from)| *to = *from as i64);
    strides.iter_mut().zip(layout.strides_bytes()).for_each(|(to, from)| *to = *from as i64);
    shm_array_info_t {
        size: 0,
        data: ptr::null_mut(),
        dtype: of_element(layout.element()),
        item_size: layout.element().item_size() as u64,
        length: layout.len() as u64,
        generation: 0,
        ndim: layout.ndim() as i32,
        flags: flag(layout.is_c_contiguous(), SHM_ARRAY_C_CONTIGUOUS)
            | flag(layout.is_f_contiguous(), SHM_ARRAY_F_CONTIGUOUS),
        shape,
        strides,
    }
}

fn of_element(element: &ElementType) -> shm_dtype_t {
    let code = element.type_code();
    shm_dtype_t {
        code: code.code,
        bits: code.bits,
        lanes: 1,
        count: code.count,
        unit: code.unit,
        record_length: record(element).len() as u32,
        record: ptr::null(),
    }
}

/// The description of a record; empty for other types.
pub(crate) fn record(element: &ElementType) -> String {
    match element {
        ElementType::Record(record) => record.to_string(),
        _ => String::new(),
    }
}

/// One of several things that C names by their place.
pub(crate) fn nth<'a, T>(things: &'a [T], index: u64, what: &str, status: shm_status_t) -> Outcome<&'a T> {
    let found = usize::try_from(index).ok().and_then(|index| things.get(index));
    found.ok_or_else(|| {
        Failure::new(
            status,
            format_args!("there is no {what} {index}: there are {}, from 0 on", things.len()),
        )
    })
}
