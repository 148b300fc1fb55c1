//! What is known about a segment, for programs (JSON) and for people (tables). The JSON is a promise: `SCHEMA` says how it may change.

use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::layout::{ArrayLayout, ByteOrder, TimeBase, TimeUnit};
use crate::{Entry, EntryKind, Lifetime, Liveness, SegmentInfo, SegmentKind, SegmentName};
use serde::Serialize;

use crate::cli::npy;
use crate::cli::table::{Cell, Table};
use crate::cli::text;

/// Version of the JSON. Fields may be added without changing it; a field that goes, or means something else, changes it.
pub(crate) const SCHEMA: u32 = 1;

/// How the schema reads, for the help.
pub(crate) const SCHEMA_HELP: &str = r#"JSON (schema 1; fields may be added, and numbers are exact bytes):
  list     {"schema": 1, "segments": [SEGMENT, ...], "removed": [NAME, ...]}
  inspect  {"schema": 1, "segment": SEGMENT}
  SEGMENT  name            "shm://x" or "file:///path"; bytes that are no UTF-8 appear as U+FFFD
           path            the file behind it;  path_bytes: its bytes as numbers if it is no UTF-8, else null
           state           "alive" (what is dead is removed, and stands under "removed")
           attached        whether anybody is attached;  leased_by: process id of the exclusive lease or null
           kind            "array", "primitive", "arena", "pool"
           lifetime        "persistent", "last-detach", "scoped"
           mode            "0600";  owner_uid: number
           creator         {"pid", "start_time", "boot_id", "pid_namespace", "state": "alive" | "dead" | "unknown"}
           created_at      "2026-01-31T12:00:00.000000000Z"
           len_bytes, capacity_bytes (up to which it may grow)
           not_guaranteed  why touching its memory might fail, else null
           entries         [ENTRY, ...]
  ENTRY    name, kind ("array", "primitive", "arena", "bytes"), offset, len_bytes (at creation), align_bytes, grows
           code            what primitive it is, else null
           array           {"element", "item_size_bytes", "byte_order" ("little", "big" or null), "numpy" (the descr of a .npy file, a literal of Python, or null),
                            "shape" (now), "strides_bytes", "origin_bytes", "c_contiguous", "f_contiguous"}, or null"#;

/// The answer of `list --json`.
#[derive(Serialize)]
pub(crate) struct ListJson<'a> {
    pub(crate) schema: u32,
    pub(crate) segments: Vec<SegmentJson<'a>>,
    pub(crate) removed: Vec<String>,
}

/// The answer of `inspect --json`.
#[derive(Serialize)]
pub(crate) struct InspectJson<'a> {
    pub(crate) schema: u32,
    pub(crate) segment: SegmentJson<'a>,
}

#[derive(Serialize)]
pub(crate) struct SegmentJson<'a> {
    name: Option<String>,
    path: Option<String>,
    path_bytes: Option<&'a [u8]>,
    state: &'static str,
    attached: bool,
    leased_by: Option<u32>,
    kind: &'static str,
    lifetime: &'static str,
    mode: String,
    owner_uid: u32,
    creator: CreatorJson,
    created_at: String,
    len_bytes: usize,
    capacity_bytes: usize,
    not_guaranteed: Option<&'a str>,
    entries: Vec<EntryJson<'a>>,
}

#[derive(Serialize)]
struct CreatorJson {
    pid: u32,
    start_time: u64,
    boot_id: String,
    pid_namespace: u64,
    state: &'static str,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    name: &'a str,
    kind: &'static str,
    offset: usize,
    len_bytes: usize,
    align_bytes: usize,
    grows: bool,
    code: Option<u32>,
    array: Option<ArrayJson>,
}

#[derive(Serialize)]
struct ArrayJson {
    element: String,
    item_size_bytes: usize,
    byte_order: Option<&'static str>,
    numpy: Option<String>,
    shape: Vec<usize>,
    strides_bytes: Vec<isize>,
    origin_bytes: usize,
    c_contiguous: bool,
    f_contiguous: bool,
}

/// Describes a segment for programs.
pub(crate) fn json(info: &SegmentInfo) -> SegmentJson<'_> {
    let path = info.name.as_ref().map(SegmentName::path);
    let creator = &info.creator;
    SegmentJson {
        name: info.name.as_ref().map(ToString::to_string),
        path: path.map(|path| path.to_string_lossy().into_owned()),
        path_bytes: path.filter(|path| path.to_str().is_none()).map(|path| path.as_os_str().as_bytes()),
        state: "alive",
        attached: info.attached,
        leased_by: info.leased_by,
        kind: segment_kind(info.kind),
        lifetime: lifetime(info.lifetime),
        mode: mode(info.mode),
        owner_uid: info.owner_uid,
        creator: CreatorJson {
            pid: creator.pid,
            start_time: creator.start_time,
            boot_id: creator.boot_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            pid_namespace: creator.pid_namespace,
            state: liveness(info.creator_liveness),
        },
        created_at: time(info.created_at),
        len_bytes: info.len_bytes,
        capacity_bytes: info.capacity_bytes,
        not_guaranteed: info.not_guaranteed.as_deref(),
        entries: info.entries.iter().map(|entry| entry_json(entry, info.len_bytes)).collect(),
    }
}

fn entry_json(entry: &Entry, segment_len: usize) -> EntryJson<'_> {
    EntryJson {
        name: entry.name(),
        kind: entry_kind(entry.kind()),
        offset: entry.offset(),
        len_bytes: entry.len(),
        align_bytes: entry.align(),
        grows: entry.grows(),
        code: match entry.kind() {
            EntryKind::Primitive(code) => Some(*code),
            _ => None,
        },
        array: entry.layout_at(segment_len).as_ref().map(array_json),
    }
}

fn array_json(layout: &ArrayLayout) -> ArrayJson {
    let element = layout.element();
    ArrayJson {
        element: element.to_string(),
        item_size_bytes: element.item_size(),
        byte_order: element.byte_order().map(|order| match order {
            ByteOrder::Little => "little",
            ByteOrder::Big => "big",
        }),
        numpy: npy::descr_of(element).ok(),
        shape: layout.shape().to_vec(),
        strides_bytes: layout.strides_bytes().to_vec(),
        origin_bytes: layout.origin(),
        c_contiguous: layout.is_c_contiguous(),
        f_contiguous: layout.is_f_contiguous(),
    }
}

/// The columns of [`row`].
pub(crate) const COLUMNS: [&str; 8] =
    ["NAME", "SIZE", "STATE", "CONTENTS", "LIFETIME", "MODE", "CREATOR", "CREATED"];

/// A segment as a line of the list.
pub(crate) fn row(info: &SegmentInfo) -> Vec<Cell> {
    let contents = match &info.entries[..] {
        [only] => contents(only, info.len_bytes),
        several => format!("{} entries", several.len()),
    };
    vec![
        Cell::text(info.name.as_ref().map(ToString::to_string).unwrap_or_default()),
        Cell::bytes(info.len_bytes),
        Cell::text(state(info)),
        Cell::text(contents),
        Cell::text(lifetime(info.lifetime)),
        Cell::text(mode(info.mode)),
        Cell::text(format!("{} {}", info.creator.pid, liveness(info.creator_liveness))),
        Cell::text(&time(info.created_at)[..19]),
    ]
}

/// A segment that was found dead and is gone now, as a line of the list.
pub(crate) fn removed_row(name: &SegmentName) -> Vec<Cell> {
    let mut row = vec![Cell::text(name.to_string()), Cell::text("-"), Cell::text("dead, removed")];
    row.extend((row.len()..COLUMNS.len()).map(|_| Cell::text("-")));
    row
}

/// Everything about a segment, a line for each thing.
pub(crate) fn facts(info: &SegmentInfo) -> Table {
    let mut table = Table::new(&[]);
    let mut fact = |name: &str, cell: Cell| table.push(vec![Cell::text(name), cell]);
    fact("name", Cell::text(info.name.as_ref().map(ToString::to_string).unwrap_or_default()));
    fact("state", Cell::text(format!("alive, {}", state(info))));
    fact("kind", Cell::text(segment_kind(info.kind)));
    fact("lifetime", Cell::text(lifetime(info.lifetime)));
    fact("size", Cell::bytes(info.len_bytes));
    fact("may grow to", Cell::bytes(info.capacity_bytes));
    fact(
        "memory",
        Cell::text(
            info.not_guaranteed
                .as_ref()
                .map_or("guaranteed".to_owned(), |why| format!("not guaranteed: {why}")),
        ),
    );
    fact("mode", Cell::text(mode(info.mode)));
    fact("owner", Cell::text(format!("user {}", info.owner_uid)));
    fact("creator", Cell::text(format!("process {}, {}", info.creator.pid, liveness(info.creator_liveness))));
    fact("created", Cell::text(time(info.created_at)));
    table
}

/// The entries of a segment, a line for each.
pub(crate) fn entries(info: &SegmentInfo) -> Table {
    let mut table = Table::new(&["ENTRY", "KIND", "OFFSET", "SIZE", "GROWS", "CONTENTS"]);
    for entry in &info.entries {
        table.push(vec![
            Cell::text(entry.name()),
            Cell::text(entry_kind(entry.kind())),
            Cell::text(entry.offset().to_string()),
            Cell::bytes(entry.len()),
            Cell::text(if entry.grows() { "yes" } else { "no" }),
            Cell::text(contents(entry, info.len_bytes)),
        ]);
    }
    table
}

fn contents(entry: &Entry, segment_len: usize) -> String {
    match (entry.layout_at(segment_len), entry.kind()) {
        (Some(layout), _) => layout.to_string(),
        (None, EntryKind::Primitive(code)) => format!("primitive {code}"),
        (None, kind) => entry_kind(kind).to_owned(),
    }
}

fn state(info: &SegmentInfo) -> String {
    match (info.leased_by, info.attached) {
        (Some(0), _) => "leased".to_owned(),
        (Some(pid), _) => format!("leased by {pid}"),
        (None, true) => "attached".to_owned(),
        (None, false) => "unattached".to_owned(),
    }
}

fn segment_kind(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Array => "array",
        SegmentKind::Primitive => "primitive",
        SegmentKind::Arena => "arena",
        SegmentKind::Pool => "pool",
    }
}

fn entry_kind(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::Array(_) => "array",
        EntryKind::Primitive(_) => "primitive",
        EntryKind::Arena => "arena",
        EntryKind::Bytes => "bytes",
    }
}

fn lifetime(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Persistent => "persistent",
        Lifetime::LastDetach => "last-detach",
        Lifetime::Scoped => "scoped",
    }
}

fn liveness(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Alive => "alive",
        Liveness::Dead => "dead",
        Liveness::Unknown => "unknown",
    }
}

fn mode(mode: u32) -> String {
    format!("{mode:04o}")
}

/// A moment in UTC.
fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut text = String::new();
    text::point(&mut text, i64::try_from(since).unwrap_or(i64::MAX), TimeUnit::of(TimeBase::Nanosecond));
    text.push('Z');
    text
}
