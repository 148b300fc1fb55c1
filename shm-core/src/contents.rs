//! What is in a segment: the table of contents, its descriptors and names. The format is `FORMAT.md`, section 2.
//!
//! [`Contents`] is what a creator asks for, [`Entry`] what an attacher finds. Pure arithmetic; nothing here touches shared memory.

use crate::error::{Error, ErrorKind, Result};
use crate::header::{ENTRY_LEN, HEADER_LEN, Header, HeaderError, SegmentKind, u32_at, u64_at};
use crate::layout::{ArrayLayout, descriptor};

/// Alignment of entries that do not ask for one: a cache line, which is also what primitives want.
const DEFAULT_ALIGN: u64 = 64;
const MAX_NAME: usize = 255;
const FLAG_GROWS: u32 = 1;

/// What a new segment shall hold.
///
/// Several arrays and the locks that belong to them may share a segment, each under a name of its own. The last entry is the one that
/// grows when the segment has room to grow.
///
/// ```
/// use shm_core::{ArrayLayout, Contents, ElementType, Segment, SegmentOptions};
/// # let name = format!("doc-contents-{}", std::process::id());
/// let grid = ArrayLayout::c_order(ElementType::F64, &[100, 100])?;
/// let contents = Contents::new().bytes("notes", 80, 8)?.array("grid", &grid)?;
/// let segment = SegmentOptions::new().create(name.as_str(), &contents)?;
/// assert_eq!(segment.entry("grid")?.len(), 80_000);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contents {
    kind: SegmentKind,
    planned: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    name: String,
    kind: EntryKind,
    len: u64,
    align: u64,
    /// What its first bytes are in a new segment; the others are zero.
    initial: Vec<u8>,
}

/// What one entry of a segment is.
///
/// ```
/// use shm_core::{Anonymous, EntryKind, SharedArray};
/// let array = SharedArray::<f64, _>::zeros(Anonymous, (2, 3))?;
/// let EntryKind::Array(layout) = array.segment().entries()[0].kind() else { panic!("no array") };
/// assert_eq!(layout.shape(), [2, 3]);
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EntryKind {
    /// An array with this layout; the layout's shape is the one at creation.
    Array(ArrayLayout),
    /// A synchronisation primitive; the number says which (`shm-sync` names them).
    Primitive(u32),
    /// An arena of small objects.
    Arena,
    /// Bytes without a meaning to this library.
    Bytes,
}

impl EntryKind {
    fn code(&self) -> u32 {
        match self {
            EntryKind::Array(_) => 1,
            EntryKind::Primitive(_) => 2,
            EntryKind::Arena => 3,
            EntryKind::Bytes => 4,
        }
    }
}

/// One entry in a segment's table of contents.
///
/// ```
/// use shm_core::{Contents, SegmentOptions};
/// let contents = Contents::new().bytes("head", 16, 1)?.bytes("body", 100, 1)?;
/// let segment = SegmentOptions::new().create_anonymous(&contents)?;
/// let (head, body) = (segment.entry("head")?, segment.entry("body")?);
/// assert!(head.offset() + head.len() <= body.offset());
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    name: String,
    kind: EntryKind,
    offset: usize,
    len: usize,
    align: u64,
    grows: bool,
}

impl Entry {
    /// Returns the name; empty for the only entry of a segment.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("a", 8, 1)?.bytes("b", 8, 1)?)?;
    /// let names: Vec<&str> = segment.entries().iter().map(|entry| entry.name()).collect();
    /// assert_eq!(names, ["a", "b"]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the entry is.
    ///
    /// ```
    /// use shm_core::{Contents, EntryKind, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().primitive("lock", 7, 64, 64)?)?;
    /// assert_eq!(segment.entry("lock")?.kind(), &EntryKind::Primitive(7));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn kind(&self) -> &EntryKind {
        &self.kind
    }

    /// Returns where its bytes begin, counted from the start of the segment.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let array = SharedArray::<f64, _>::zeros(Anonymous, 3)?;
    /// let segment = array.segment();
    /// let first = segment.as_ptr().wrapping_add(segment.entry("")?.offset()); // address of the first element
    /// assert!(first.cast::<f64>().is_aligned());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns how many bytes it had when the segment was created.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("log", 100, 1)?)?;
    /// segment.grow(1 << 16)?;
    /// assert_eq!(segment.entry("log")?.len(), 100); // as it was created
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[allow(clippy::len_without_is_empty, reason = "an entry is no collection")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the alignment of its offset.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("a", 1, 1)?.bytes("b", 1, 256)?)?;
    /// let b = segment.entry("b")?;
    /// assert_eq!((b.align(), b.offset() % 256), (256, 0));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn align(&self) -> usize {
        self.align as usize
    }

    /// Tells whether it grows with the segment, up to the segment's end.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("fixed", 8, 1)?.bytes("log", 8, 1)?)?;
    /// assert!(!segment.entry("fixed")?.grows());
    /// assert!(segment.entry("log")?.grows()); // the last one
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn grows(&self) -> bool {
        self.grows
    }
}

impl Default for Contents {
    fn default() -> Contents {
        Contents::new()
    }
}

impl Contents {
    /// Starts with nothing; a segment needs at least one entry.
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, SegmentOptions};
    /// let error = SegmentOptions::new().create_anonymous(&Contents::new()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// ```
    pub fn new() -> Contents {
        Contents { kind: SegmentKind::Array, planned: Vec::new() }
    }

    /// Says what the segment is for (default: arrays); see [`SegmentKind`].
    ///
    /// ```
    /// use shm_core::{Contents, SegmentKind, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().kind(SegmentKind::Pool).bytes("", 64, 64)?)?;
    /// assert_eq!(segment.kind(), SegmentKind::Pool);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: SegmentKind) -> Contents {
        self.kind = kind;
        self
    }

    /// Adds an array. Its elements begin at a multiple of 64 bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a name that is too long or used twice, or empty where there are several entries.
    ///
    /// ```
    /// use shm_core::{ArrayLayout, Contents, ElementType, SegmentOptions, SharedArray};
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[10])?;
    /// let contents = Contents::new().array("x", &layout)?.array("y", &layout)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// assert_eq!(segment.entry("y")?.len(), 80);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn array(self, name: &str, layout: &ArrayLayout) -> Result<Contents> {
        let len = layout.data_len_bytes() as u64;
        let align = DEFAULT_ALIGN.max(layout.element().alignment() as u64);
        self.add(name, EntryKind::Array(layout.clone()), len, align)
    }

    /// Adds room for a synchronisation primitive of `len` bytes, zero-filled. `code` says which one it is.
    ///
    /// # Errors
    /// As [`array`](Contents::array); also if the alignment is no power of two.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("data", 10, 1)?.primitive("lock", 7, 40, 8)?)?;
    /// let lock = segment.entry("lock")?;
    /// assert_eq!((lock.len(), lock.offset() % 64), (40, 0)); // a cache line of its own
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn primitive(self, name: &str, code: u32, len: usize, align: usize) -> Result<Contents> {
        self.add(name, EntryKind::Primitive(code), len as u64, (align as u64).max(DEFAULT_ALIGN))
    }

    /// Adds room for an arena.
    ///
    /// # Errors
    /// As [`array`](Contents::array).
    ///
    /// ```
    /// use shm_core::{Arena, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let arena = Arena::create_in(&segment, "heap")?;
    /// assert!(arena.alloc(100).is_ok());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn arena(self, name: &str, len: usize) -> Result<Contents> {
        self.add(name, EntryKind::Arena, len as u64, 4096)
    }

    /// Adds plain bytes, zero-filled.
    ///
    /// # Errors
    /// As [`array`](Contents::array); also if the alignment is no power of two.
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("notes", 100, 16)?)?;
    /// assert_eq!(segment.entry("notes")?.len(), 100);
    /// let twice = Contents::new().bytes("notes", 1, 1)?.bytes("notes", 1, 1);
    /// assert_eq!(twice.unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn bytes(self, name: &str, len: usize, align: usize) -> Result<Contents> {
        self.add(name, EntryKind::Bytes, len as u64, align as u64)
    }

    fn add(mut self, name: &str, kind: EntryKind, len: u64, align: u64) -> Result<Contents> {
        let refuse = |reason: String| {
            let shown = name.escape_debug();
            Err(Error::new(ErrorKind::InvalidArgument, "plan", format_args!("the entry \"{shown}\""), reason))
        };
        if name.len() > MAX_NAME || name.contains('\0') {
            return refuse(format!("a name has at most {MAX_NAME} bytes and no zero byte"));
        }
        if self.planned.iter().any(|p| p.name.is_empty() != name.is_empty()) {
            return refuse("an entry without a name has to be the only one".into());
        }
        if self.planned.iter().any(|p| p.name == name) {
            return refuse("the segment has an entry of this name already".into());
        }
        if !align.is_power_of_two() || align > 1 << 40 {
            return refuse(format!("its alignment of {align} is no power of two up to 2^40"));
        }
        self.planned.push(Planned { name: name.to_owned(), kind, len, align, initial: Vec::new() });
        Ok(self)
    }

    /// Says what the first bytes of the entry that was added last are in a new segment. The others are zero.
    ///
    /// The segment is published with them: nobody ever sees the entry without.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is no entry yet, or it has fewer bytes.
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, SegmentOptions};
    /// let contents = Contents::new().bytes("motto", 16, 1)?.starting_with(b"festina lente")?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let start = segment.as_ptr().wrapping_add(segment.entry("motto")?.offset());
    /// // SAFETY: the byte lies in the segment, and nobody else has it.
    /// assert_eq!(unsafe { start.read() }, b'f');
    /// let long = Contents::new().bytes("motto", 4, 1)?.starting_with(b"festina");
    /// assert_eq!(long.unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn starting_with(mut self, bytes: &[u8]) -> Result<Contents> {
        let refuse = |entry: &str, reason: String| {
            let shown = entry.escape_debug();
            Err(Error::new(ErrorKind::InvalidArgument, "plan", format_args!("the entry \"{shown}\""), reason))
        };
        match self.planned.last_mut() {
            None => refuse("", "no entry has been added whose bytes these could be".into()),
            Some(entry) if entry.len < bytes.len() as u64 => {
                refuse(&entry.name, format!("it has {} bytes, and {} were given", entry.len, bytes.len()))
            }
            Some(entry) => {
                entry.initial = bytes.to_vec();
                Ok(self)
            }
        }
    }

    /// The entries whose first bytes were given: number and bytes.
    pub(crate) fn initial(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.planned.iter().map(|entry| &entry.initial[..]).enumerate().filter(|(_, bytes)| !bytes.is_empty())
    }

    /// Lays everything out: returns the header's numbers and the bytes of header, table, descriptors and names.
    pub(crate) fn encode(&self, plan: &Plan) -> Result<(Header, Vec<u8>)> {
        let overflow = || {
            Error::new(ErrorKind::SizeOverflow, "create", plan.subject, "its size does not fit 63 bits")
                .remedy("ask for less")
        };
        if self.planned.is_empty() || self.planned.len() > crate::header::MAX_ENTRIES as usize {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "create",
                plan.subject,
                format!("it would have {} entries, and a segment has 1 to 4096", self.planned.len()),
            ));
        }
        let descriptors: Vec<Vec<u8>> = self
            .planned
            .iter()
            .map(|p| match &p.kind {
                EntryKind::Array(layout) => descriptor::encode(layout),
                _ => Vec::new(),
            })
            .collect();
        let table_end = HEADER_LEN + self.planned.len() * ENTRY_LEN;
        let mut meta = vec![0; table_end];
        let mut places = Vec::with_capacity(self.planned.len());
        for (planned, descriptor) in self.planned.iter().zip(&descriptors) {
            meta.resize(meta.len().next_multiple_of(8), 0);
            let descriptor_at = if descriptor.is_empty() { 0 } else { meta.len() };
            meta.extend_from_slice(descriptor);
            let name_at = if planned.name.is_empty() { 0 } else { meta.len() };
            meta.extend_from_slice(planned.name.as_bytes());
            places.push((descriptor_at, name_at));
        }
        if meta.len() as u64 > crate::header::MAX_META_LEN {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "create",
                plan.subject,
                format!("its description has {} bytes, and 16 MiB are allowed", meta.len()),
            ));
        }
        let data_align = plan.data_align.max(plan.align).max(self.planned[0].align);
        let data_offset = (meta.len() as u64).next_multiple_of(data_align);
        let mut end = data_offset;
        let last = self.planned.len() - 1;
        for (i, planned) in self.planned.iter().enumerate() {
            let offset = end.checked_next_multiple_of(planned.align).ok_or_else(overflow)?;
            end = offset.checked_add(planned.len).filter(|e| *e <= i64::MAX as u64).ok_or_else(overflow)?;
            let grows = i == last
                && plan.reserve_max.is_some_and(|max| max > end)
                && match &planned.kind {
                    EntryKind::Array(layout) => layout.check_growable().is_ok(),
                    EntryKind::Arena | EntryKind::Bytes => true,
                    EntryKind::Primitive(_) => false,
                };
            let (descriptor_at, name_at) = places[i];
            let entry = &mut meta[HEADER_LEN + i * ENTRY_LEN..][..ENTRY_LEN];
            let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
            put(0, &planned.kind.code().to_le_bytes());
            if let EntryKind::Primitive(code) = planned.kind {
                put(4, &code.to_le_bytes());
            }
            put(8, &offset.to_le_bytes());
            put(16, &planned.len.to_le_bytes());
            put(24, &planned.align.to_le_bytes());
            put(32, &(descriptor_at as u64).to_le_bytes());
            put(40, &(descriptors[i].len() as u32).to_le_bytes());
            put(44, &(planned.name.len() as u32).to_le_bytes());
            put(48, &(name_at as u64).to_le_bytes());
            put(56, &(if grows { FLAG_GROWS } else { 0 }).to_le_bytes());
        }
        let reserved_max = match plan.reserve_max {
            None => end,
            Some(max) if max > i64::MAX as u64 => return Err(overflow()),
            Some(max) if max >= end => max,
            Some(max) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "create",
                    plan.subject,
                    format!(
                        "the reserved maximum of {max} bytes is below the {end} bytes that it begins with"
                    ),
                )
                .remedy("reserve more, counting some pages for the header"));
            }
        };
        let alignment_log2 = self
            .planned
            .iter()
            .map(|p| p.align.trailing_zeros())
            .chain([crate::header::PAGE.trailing_zeros(), plan.align.trailing_zeros(), plan.map_align_log2])
            .max()
            .unwrap_or_default();
        let header = Header {
            kind: self.kind,
            lifetime: plan.lifetime,
            created_len: end,
            reserved_max,
            data_offset,
            entries: self.planned.len() as u32,
            meta_len: meta.len() as u64,
            reserved: plan.reserved,
            alignment_log2,
            creator: crate::process::Identity::current(),
            created_at_ns: plan.created_at_ns,
        };
        header.encode_into(&mut meta);
        Ok((header, meta))
    }
}

/// What the options add to the contents of a new segment.
pub(crate) struct Plan<'a> {
    pub(crate) subject: &'a dyn std::fmt::Display,
    pub(crate) lifetime: crate::header::Lifetime,
    /// Granularity of the data offset: depends on the kind of name.
    pub(crate) data_align: u64,
    /// Alignment in memory that the user asked for; a power of two.
    pub(crate) align: u64,
    /// Alignment of the mapping (not of the data) that huge pages want.
    pub(crate) map_align_log2: u32,
    pub(crate) reserve_max: Option<u64>,
    pub(crate) reserved: bool,
    pub(crate) created_at_ns: u64,
}

/// Decodes and checks the table of contents in `meta`, whose header is `header`.
pub(crate) fn decode(header: &Header, meta: &[u8]) -> std::result::Result<Vec<Entry>, HeaderError> {
    let count = header.entries as usize;
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let bad_entry =
        |i: usize, what: &str| HeaderError::Corrupted(format!("entry {i} of its table of contents {what}"));
    let table_end = HEADER_LEN + count * ENTRY_LEN;
    // Parts that do not overlap fit behind the table together. Otherwise one long description might have to be read thousands of times.
    let mut room = meta.len().saturating_sub(table_end);
    for i in 0..count {
        let raw = &meta[HEADER_LEN + i * ENTRY_LEN..][..ENTRY_LEN];
        let bad = |what: String| bad_entry(i, &what);
        let (offset, len, align) = (u64_at(raw, 8), u64_at(raw, 16), u64_at(raw, 24));
        if !align.is_power_of_two() || align > 1 << 40 || align.trailing_zeros() > header.alignment_log2 {
            return Err(bad(format!("has the alignment {align}")));
        }
        if offset < header.data_offset || offset % align != 0 {
            return Err(bad(format!("begins at {offset}")));
        }
        if offset.checked_add(len).is_none_or(|end| end > header.created_len) {
            return Err(bad(format!("has {len} bytes from {offset} on, past the segment's end")));
        }
        let mut part = |at: u64, len: u32| -> Option<&[u8]> {
            let (at, len) = (usize::try_from(at).ok()?, len as usize);
            if len == 0 {
                return (at == 0).then_some(&[]);
            }
            (at >= table_end).then_some(())?;
            room = room.checked_sub(len)?;
            meta.get(at..at.checked_add(len)?)
        };
        let descriptor = part(u64_at(raw, 32), u32_at(raw, 40))
            .filter(|_| u64_at(raw, 32).is_multiple_of(8))
            .ok_or_else(|| bad("has no valid descriptor".into()))?;
        let name_bytes = part(u64_at(raw, 48), u32_at(raw, 44)).filter(|n| n.len() <= MAX_NAME);
        let name = name_bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .filter(|name| !name.contains('\0'))
            .ok_or_else(|| bad("has no valid name".into()))?;
        let (kind_code, code, flags) = (u32_at(raw, 0), u32_at(raw, 4), u32_at(raw, 56));
        let kind = match kind_code {
            1 => {
                let layout = descriptor::decode(descriptor, len)
                    .map_err(|e| bad(format!("describes no array: {e}")))?;
                EntryKind::Array(layout)
            }
            2 => EntryKind::Primitive(code),
            3 => EntryKind::Arena,
            4 => EntryKind::Bytes,
            other => return Err(bad(format!("has the kind {other}"))),
        };
        if kind_code != 1 && !descriptor.is_empty() || kind_code != 2 && code != 0 || u32_at(raw, 60) != 0 {
            return Err(bad("has bytes that must be zero and are not".into()));
        }
        let grows = flags & FLAG_GROWS != 0;
        let may_grow = || match &kind {
            EntryKind::Array(layout) => layout.check_growable().is_ok(),
            EntryKind::Primitive(_) => false,
            EntryKind::Arena | EntryKind::Bytes => true,
        };
        let ends_last = i + 1 == count && offset + len == header.created_len;
        if flags & !FLAG_GROWS != 0 || grows && !(may_grow() && ends_last && header.growable()) {
            return Err(bad(format!("has the flags {flags:#x}")));
        }
        if name.is_empty() && count > 1 {
            return Err(bad("has no name and is not the only one".into()));
        }
        // Entries come in the order of their bytes, so comparing with the last one suffices.
        if entries.last().is_some_and(|e| (e.offset + e.len) as u64 > offset) {
            return Err(bad("overlaps the one before it".into()));
        }
        entries.push(Entry {
            name: name.to_owned(),
            kind,
            offset: offset as usize,
            len: len as usize,
            align,
            grows,
        });
    }
    if count > 1 {
        // Sorted, because a table of 4 096 names has 8 million pairs.
        let mut names: Vec<(&str, usize)> = entries.iter().map(Entry::name).zip(0..).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(bad_entry(twice[1].1, "has the name of another entry"));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Lifetime;
    use crate::layout::ElementType;

    fn plan(reserve_max: Option<u64>) -> Plan<'static> {
        Plan {
            subject: &"shm://x",
            lifetime: Lifetime::Persistent,
            data_align: 4096,
            align: 1,
            map_align_log2: 12,
            reserve_max,
            reserved: true,
            created_at_ns: 1,
        }
    }

    fn sample() -> Contents {
        let grid = ArrayLayout::c_order(ElementType::F64, &[3, 5]).unwrap();
        Contents::new()
            .primitive("lock", 9, 64, 64)
            .unwrap()
            .bytes("raw", 3, 1)
            .unwrap()
            .array("grid", &grid)
            .unwrap()
    }

    #[test]
    fn round_trip() {
        let (header, meta) = sample().encode(&plan(Some(1 << 20))).unwrap();
        assert_eq!(Header::decode(&meta).unwrap(), header);
        let entries = decode(&header, &meta).unwrap();
        assert_eq!(entries.iter().map(Entry::name).collect::<Vec<_>>(), ["lock", "raw", "grid"]);
        assert_eq!(entries[0].kind(), &EntryKind::Primitive(9));
        assert_eq!((entries[1].offset(), entries[1].len()), (4096 + 64, 3));
        assert_eq!((entries[2].offset(), entries[2].len()), (4096 + 128, 120));
        assert_eq!(entries.iter().map(Entry::grows).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((header.created_len, header.reserved_max), (4096 + 248, 1 << 20));
        assert!(matches!(entries[2].kind(), EntryKind::Array(l) if l.shape() == [3, 5]));
    }

    #[test]
    fn every_scrambled_byte_of_the_table_is_an_error_or_harmless() {
        // The checksum is not looked at here: this is what a hostile writer can reach.
        let (header, meta) = sample().encode(&plan(Some(1 << 20))).unwrap();
        for at in (HEADER_LEN..meta.len()).step_by(if cfg!(miri) { 29 } else { 1 }) {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut broken = meta.clone();
                broken[at] = value;
                if let Ok(entries) = decode(&header, &broken) {
                    for entry in entries {
                        assert!(entry.offset as u64 >= header.data_offset);
                        assert!((entry.offset + entry.len) as u64 <= header.created_len);
                    }
                }
            }
        }
    }

    #[test]
    fn every_field_of_an_entry_is_checked() {
        let lock = HEADER_LEN;
        let grid = HEADER_LEN + 2 * ENTRY_LEN;
        let wrong: &[(usize, &[u8], &str)] = &[
            (lock, &7u32.to_le_bytes(), "kind"),
            (lock + 8, &4032u64.to_le_bytes(), "begins"),
            (lock + 8, &4097u64.to_le_bytes(), "begins"),
            (lock + 16, &u64::MAX.to_le_bytes(), "past the segment's end"),
            (lock + 16, &65u64.to_le_bytes(), "overlaps"),
            (lock + 24, &3u64.to_le_bytes(), "alignment"),
            (lock + 24, &(1u64 << 41).to_le_bytes(), "alignment"),
            (lock + 32, &8u64.to_le_bytes(), "descriptor"),
            (lock + 44, &256u32.to_le_bytes(), "name"),
            (lock + 48, &u64::MAX.to_le_bytes(), "name"),
            (lock + 56, &1u32.to_le_bytes(), "flags"),
            (lock + 60, &1u32.to_le_bytes(), "zero"),
            (grid + 4, &1u32.to_le_bytes(), "zero"),
            (grid + 32, &1u64.to_le_bytes(), "descriptor"),
            (grid + 40, &39u32.to_le_bytes(), "describes no array: "),
            (grid + 56, &2u32.to_le_bytes(), "flags"),
        ];
        for (at, bytes, reason) in wrong {
            let (header, mut meta) = sample().encode(&plan(None)).unwrap();
            meta[*at..at + bytes.len()].copy_from_slice(bytes);
            match decode(&header, &meta) {
                Err(HeaderError::Corrupted(text)) => assert!(text.contains(reason), "{at}: {text}"),
                other => panic!("{at}: {other:?}"),
            }
        }
    }

    #[test]
    fn bad_plans_are_refused() {
        let kind = |r: Result<Contents>| r.unwrap_err().kind();
        assert_eq!(kind(sample().bytes("raw", 1, 1)), ErrorKind::InvalidArgument);
        assert_eq!(kind(sample().bytes(&"x".repeat(256), 1, 1)), ErrorKind::InvalidArgument);
        assert_eq!(kind(sample().bytes("y", 1, 3)), ErrorKind::InvalidArgument);
        let error = Contents::new().encode(&plan(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let huge =
            Contents::new().bytes("a", usize::MAX >> 1, 1).unwrap().bytes("b", usize::MAX >> 1, 1).unwrap();
        assert_eq!(huge.encode(&plan(None)).unwrap_err().kind(), ErrorKind::SizeOverflow);
        assert_eq!(sample().encode(&plan(Some(4096))).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
