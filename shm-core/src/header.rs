//! The first 256 bytes of a segment, and how a stranger's bytes are checked. The format is `FORMAT.md`, sections 1 and 2.
//!
//! Pure arithmetic over byte slices: no pointers, no system calls. What the table's entries mean is in [`crate::contents`].

use crate::process::Identity;

/// `\x89SHM\r\n\x1a\n`: neither text nor any other known file format, and damaged by newline conversion.
pub(crate) const MAGIC: [u8; 8] = *b"\x89SHM\r\n\x1a\n";
/// The version of the format that this library writes, and the newest that it reads.
pub(crate) const VERSION: u16 = 1;
/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 256;
/// Bytes of one entry in the table of contents.
pub(crate) const ENTRY_LEN: usize = 64;
/// Entries that a table may have.
pub(crate) const MAX_ENTRIES: u32 = 4096;
/// Bytes that header, table, descriptors and names may have together.
pub(crate) const MAX_META_LEN: u64 = 16 << 20;
/// Granularity of the data offset in shared memory.
pub(crate) const PAGE: u64 = 4096;
/// Granularity of the data offset in files: the largest page size of the supported machines.
pub(crate) const FILE_DATA_ALIGNMENT: u64 = 65536;
/// Where the current length is: the only growing word.
pub(crate) const LENGTH_AT: usize = 192;
/// Where the holder of the exclusive lease leaves its process id.
pub(crate) const LEASE_AT: usize = 200;

const BYTE_ORDER_MARK: u32 = 0x0102_0304;
const OPTION_RESERVED: u32 = 1;
const CHECKSUM_AT: usize = 184;
const ALIGNMENT_LOG2: std::ops::RangeInclusive<u32> = 12..=40;

/// When a segment ends without being deleted.
///
/// ```
/// use shm_core::Lifetime;
/// assert_eq!(Lifetime::default(), Lifetime::Persistent);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Stays until somebody deletes it, whoever dies.
    #[default]
    Persistent,
    /// Dies with its last attachment, at that instant, also when that is a SIGKILL: from then on nobody can attach. Name and pages are
    /// freed at once when the last attachment is dropped, and by the next operation on the name or [`reap`](crate::reap) after a kill.
    ///
    /// A copy of the file (`cp`) has no attachment and so is dead from the start: looking at it removes it. The same holds for
    /// [`Scoped`](Lifetime::Scoped); keep copies of persistent segments.
    LastDetach,
    /// Belongs to the handle that created it: dies when that handle and its clones are dropped or its process dies. Attachments
    /// that exist then live on. A forked child that inherited the handle shares the ownership: if its parent is killed, the segment
    /// lives until the child has gone too.
    Scoped,
}

impl Lifetime {
    fn code(self) -> u32 {
        match self {
            Lifetime::Persistent => 0,
            Lifetime::LastDetach => 1,
            Lifetime::Scoped => 2,
        }
    }
}

/// What a segment is for. The table of contents says what is in it.
///
/// ```
/// # let name = format!("doc-kind-{}", std::process::id());
/// use shm_core::{SegmentKind, SharedArray};
/// let array = SharedArray::<u8, _>::zeros(name.as_str(), 3)?;
/// assert_eq!(shm_core::inspect(name.as_str())?.kind, SegmentKind::Array);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentKind {
    /// Arrays, perhaps with the locks that belong to them.
    Array,
    /// A synchronisation primitive of its own.
    Primitive,
    /// An arena: many small objects.
    Arena,
    /// The shared state of an executor.
    Pool,
}

impl SegmentKind {
    fn code(self) -> u32 {
        match self {
            SegmentKind::Array => 1,
            SegmentKind::Primitive => 2,
            SegmentKind::Arena => 3,
            SegmentKind::Pool => 4,
        }
    }
}

/// The decoded header, except for the words that change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: SegmentKind,
    pub(crate) lifetime: Lifetime,
    pub(crate) created_len: u64,
    pub(crate) reserved_max: u64,
    pub(crate) data_offset: u64,
    pub(crate) entries: u32,
    pub(crate) meta_len: u64,
    pub(crate) reserved: bool,
    pub(crate) alignment_log2: u32,
    pub(crate) creator: Identity,
    pub(crate) created_at_ns: u64,
}

/// Why bytes are no header that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The magic is not there: something else.
    NotASegment(String),
    /// Written by a newer library.
    Newer(String),
    /// It is ours, but damaged.
    Corrupted(String),
}

#[cold]
fn corrupted<T>(text: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::Corrupted(text.into()))
}

impl Header {
    /// Writes the header into the first [`HEADER_LEN`] bytes of `meta`, which holds the table, descriptors and names already.
    pub(crate) fn encode_into(&self, meta: &mut [u8]) {
        let mut put = |at: usize, bytes: &[u8]| meta[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0; HEADER_LEN]);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(10, &(HEADER_LEN as u16).to_le_bytes());
        put(12, &BYTE_ORDER_MARK.to_le_bytes());
        put(32, &self.kind.code().to_le_bytes());
        put(36, &self.lifetime.code().to_le_bytes());
        put(40, &self.created_len.to_le_bytes());
        put(48, &self.reserved_max.to_le_bytes());
        put(56, &self.data_offset.to_le_bytes());
        put(64, &(HEADER_LEN as u64).to_le_bytes());
        put(72, &self.entries.to_le_bytes());
        put(76, &(ENTRY_LEN as u32).to_le_bytes());
        put(80, &self.meta_len.to_le_bytes());
        put(88, &(if self.reserved { OPTION_RESERVED } else { 0 }).to_le_bytes());
        put(92, &self.alignment_log2.to_le_bytes());
        put(96, &u64::from(self.creator.pid).to_le_bytes());
        put(104, &self.creator.start_time.to_le_bytes());
        put(112, &self.creator.boot_id);
        put(128, &self.creator.pid_namespace.to_le_bytes());
        put(136, &self.created_at_ns.to_le_bytes());
        put(LENGTH_AT, &self.created_len.to_le_bytes());
        let sum = checksum(&meta[..CHECKSUM_AT], &meta[HEADER_LEN..]);
        meta[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Checks what can be checked in the first bytes alone and returns the meta length, so that the caller can read that much.
    pub(crate) fn meta_len_of(head: &[u8]) -> Result<usize, HeaderError> {
        if head.len() < MAGIC.len() || head[..MAGIC.len()] != MAGIC {
            return Err(HeaderError::NotASegment(if head.is_empty() {
                "it is empty".into()
            } else {
                "it does not begin with the mark of a segment".into()
            }));
        }
        if head.len() < HEADER_LEN {
            return corrupted(format!("it has {} bytes, fewer than a header", head.len()));
        }
        let version = u16_at(head, 8);
        if version > VERSION {
            return Err(HeaderError::Newer(format!(
                "it has format version {version}, and this library knows versions up to {VERSION}"
            )));
        }
        if version == 0 {
            return corrupted("its format version is 0");
        }
        if usize::from(u16_at(head, 10)) != HEADER_LEN {
            return corrupted(format!("its header length is {}", u16_at(head, 10)));
        }
        if u32_at(head, 12) != BYTE_ORDER_MARK {
            return corrupted(format!("its byte order mark is {:#010x}", u32_at(head, 12)));
        }
        let features = u64_at(head, 16);
        if features != 0 {
            return Err(HeaderError::Newer(format!(
                "it needs features unknown to this library ({features:#x})"
            )));
        }
        let meta_len = u64_at(head, 80);
        if !(HEADER_LEN as u64..=MAX_META_LEN).contains(&meta_len) {
            return corrupted(format!("its meta length is {meta_len}"));
        }
        Ok(meta_len as usize)
    }

    /// Decodes and checks the header at the start of `meta`, which has exactly the meta length.
    pub(crate) fn decode(meta: &[u8]) -> Result<Header, HeaderError> {
        let meta_len = Self::meta_len_of(meta)?;
        if meta.len() != meta_len {
            return corrupted(format!("it ends after {} of {meta_len} bytes of description", meta.len()));
        }
        let (stored, computed) =
            (u32_at(meta, CHECKSUM_AT), checksum(&meta[..CHECKSUM_AT], &meta[HEADER_LEN..]));
        if stored != computed {
            return corrupted(format!("its checksum is {stored:#010x} where {computed:#010x} belongs"));
        }
        // From here on an accident is all but excluded; what is left are other writers, and hostile ones.
        // Compared as arrays: whole words at a time, where an iterator would look at single bytes.
        if meta[144..CHECKSUM_AT] != [0; 40] || meta[188..LENGTH_AT] != [0; 4] || meta[208..256] != [0; 48] {
            return corrupted("bytes of its header that must be zero are not");
        }
        let kind = match u32_at(meta, 32) {
            1 => SegmentKind::Array,
            2 => SegmentKind::Primitive,
            3 => SegmentKind::Arena,
            4 => SegmentKind::Pool,
            other => return corrupted(format!("its kind is {other}")),
        };
        let lifetime = match u32_at(meta, 36) {
            0 => Lifetime::Persistent,
            1 => Lifetime::LastDetach,
            2 => Lifetime::Scoped,
            other => return corrupted(format!("its lifetime policy is {other}")),
        };
        let options = u32_at(meta, 88);
        let header = Header {
            kind,
            lifetime,
            created_len: u64_at(meta, 40),
            reserved_max: u64_at(meta, 48),
            data_offset: u64_at(meta, 56),
            entries: u32_at(meta, 72),
            meta_len: meta_len as u64,
            reserved: options & OPTION_RESERVED != 0,
            alignment_log2: u32_at(meta, 92),
            creator: Identity {
                pid: u32::try_from(u64_at(meta, 96)).unwrap_or(0),
                start_time: u64_at(meta, 104),
                boot_id: meta[112..128].try_into().unwrap_or_default(),
                pid_namespace: u64_at(meta, 128),
            },
            created_at_ns: u64_at(meta, 136),
        };
        if options & !OPTION_RESERVED != 0 {
            return corrupted(format!("its options are {options:#x}"));
        }
        if u64_at(meta, 64) != HEADER_LEN as u64 || u32_at(meta, 76) != ENTRY_LEN as u32 {
            return corrupted("its table of contents is not where it belongs");
        }
        if !(1..=MAX_ENTRIES).contains(&header.entries) {
            return corrupted(format!("its table has {} entries", header.entries));
        }
        if HEADER_LEN as u64 + u64::from(header.entries) * ENTRY_LEN as u64 > header.meta_len {
            return corrupted(format!("its {} table entries do not fit its meta length", header.entries));
        }
        if !ALIGNMENT_LOG2.contains(&header.alignment_log2) {
            return corrupted(format!("its mapping alignment is 2^{}", header.alignment_log2));
        }
        if header.data_offset < header.meta_len || !header.data_offset.is_multiple_of(PAGE) {
            return corrupted(format!("its data offset is {}", header.data_offset));
        }
        if header.created_len < header.data_offset {
            return corrupted(format!("its created length is {}", header.created_len));
        }
        if header.reserved_max < header.created_len || header.reserved_max > i64::MAX as u64 {
            return corrupted(format!("its reserved maximum is {}", header.reserved_max));
        }
        Ok(header)
    }

    /// Checks the current length against the header and the size that the kernel reports for the object.
    pub(crate) fn check_len(&self, len_now: u64, object_size: u64) -> Result<(), HeaderError> {
        if !(self.created_len..=self.reserved_max).contains(&len_now) {
            return corrupted(format!("its length field says {len_now}"));
        }
        if object_size < len_now {
            return corrupted(format!("it was truncated: {object_size} of {len_now} bytes are there"));
        }
        if object_size > self.reserved_max {
            return corrupted(format!(
                "it has {object_size} bytes, more than the {} that its header allows",
                self.reserved_max
            ));
        }
        Ok(())
    }

    /// Tells whether the segment may grow.
    pub(crate) fn growable(&self) -> bool {
        self.reserved_max > self.created_len
    }
}

fn checksum(head: &[u8], table: &[u8]) -> u32 {
    // One long piece goes through the processor's own instructions, which two short ones do not; attaching notices the difference.
    let mut piece = [0; 512];
    let together = head.len() + table.len();
    let mut crc = crc32fast::Hasher::new();
    if let Some(piece) = piece.get_mut(..together) {
        piece[..head.len()].copy_from_slice(head);
        piece[head.len()..].copy_from_slice(table);
        crc.update(piece);
    } else {
        crc.update(head);
        crc.update(table);
    }
    crc.finalize()
}

/// Reads a little-endian number; the caller has checked that it lies within the slice.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

/// See [`u16_at`].
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// See [`u16_at`].
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Header, Vec<u8>) {
        let header = Header {
            kind: SegmentKind::Array,
            lifetime: Lifetime::LastDetach,
            created_len: 8192,
            reserved_max: 16384,
            data_offset: 4096,
            entries: 1,
            meta_len: 320,
            reserved: true,
            alignment_log2: 12,
            creator: Identity { pid: 7, start_time: 8, boot_id: [9; 16], pid_namespace: 10 },
            created_at_ns: 11,
        };
        let mut meta = vec![0x55; 320];
        header.encode_into(&mut meta);
        (header, meta)
    }

    fn reseal(meta: &mut [u8]) {
        let sum = checksum(&meta[..CHECKSUM_AT], &meta[HEADER_LEN..]);
        meta[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn round_trip() {
        let (header, meta) = sample();
        assert_eq!(Header::decode(&meta).unwrap(), header);
        assert!(header.growable());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (_, meta) = sample();
        // Miri looks at fewer: it is after the accesses, not the bits.
        for at in (0..meta.len()).step_by(if cfg!(miri) { 13 } else { 1 }) {
            for bit in if cfg!(miri) { 3..4 } else { 0..8 } {
                let mut broken = meta.clone();
                broken[at] ^= 1 << bit;
                // Only the two words that change are outside the checksum.
                let may_change = (LENGTH_AT..LEASE_AT + 8).contains(&at);
                assert_eq!(Header::decode(&broken).is_ok(), may_change, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_field_is_checked_behind_a_right_checksum_too() {
        let wrong: &[(usize, &[u8], &str)] = &[
            (8, &0u16.to_le_bytes(), "version is 0"),
            (10, &128u16.to_le_bytes(), "header length"),
            (12, &0x0403_0201u32.to_le_bytes(), "byte order"),
            (32, &9u32.to_le_bytes(), "kind"),
            (36, &3u32.to_le_bytes(), "lifetime"),
            (40, &4095u64.to_le_bytes(), "created length"),
            (48, &4096u64.to_le_bytes(), "reserved maximum"),
            (48, &u64::MAX.to_le_bytes(), "reserved maximum"),
            (56, &4097u64.to_le_bytes(), "data offset"),
            (56, &0u64.to_le_bytes(), "data offset"),
            (64, &512u64.to_le_bytes(), "table"),
            (72, &0u32.to_le_bytes(), "entries"),
            (72, &2u32.to_le_bytes(), "do not fit"),
            (72, &u32::MAX.to_le_bytes(), "entries"),
            (76, &128u32.to_le_bytes(), "table"),
            (80, &u64::MAX.to_le_bytes(), "meta length"),
            (88, &2u32.to_le_bytes(), "options"),
            (92, &63u32.to_le_bytes(), "alignment"),
            (144, &[1], "zero"),
            (188, &[1], "zero"),
            (208, &[1], "zero"),
            (255, &[1], "zero"),
        ];
        for (at, bytes, reason) in wrong {
            let (_, mut meta) = sample();
            meta[*at..at + bytes.len()].copy_from_slice(bytes);
            reseal(&mut meta);
            match Header::decode(&meta) {
                Err(HeaderError::Corrupted(text)) => assert!(text.contains(reason), "{at}: {text}"),
                other => panic!("{at}: {other:?}"),
            }
        }
    }

    #[test]
    fn newer_versions_and_features_are_told_from_damage() {
        for (at, text) in [(8, "version 7"), (16, "features")] {
            let (_, mut meta) = sample();
            meta[at] = 7;
            assert!(matches!(Header::decode(&meta), Err(HeaderError::Newer(t)) if t.contains(text)));
        }
        let (_, meta) = sample();
        assert!(matches!(Header::decode(&meta[1..]), Err(HeaderError::NotASegment(_))));
        assert!(matches!(Header::decode(&[]), Err(HeaderError::NotASegment(t)) if t.contains("empty")));
        assert!(matches!(Header::decode(&meta[..100]), Err(HeaderError::Corrupted(_))));
        assert!(matches!(Header::decode(&meta[..300]), Err(HeaderError::Corrupted(_))));
    }

    #[test]
    fn lengths_are_checked_against_the_object() {
        let (header, _) = sample();
        assert!(header.check_len(8192, 8192).is_ok());
        assert!(header.check_len(8192, 16384).is_ok());
        assert!(header.check_len(8191, 16384).is_err());
        assert!(header.check_len(16385, 16384).is_err());
        assert!(header.check_len(8192, 8191).is_err());
        assert!(header.check_len(8192, 16385).is_err());
    }

    /// The whole header, byte for byte: whoever changes this changes the format and has to raise its version.
    #[test]
    fn golden_bytes() {
        let (_, meta) = sample();
        let words: Vec<u64> = (0..32).map(|i| u64_at(&meta, i * 8)).collect();
        assert_eq!(
            words,
            [
                0x0A1A_0A0D_4D48_5389,
                0x0102_0304_0100_0001,
                0,
                0,
                0x0000_0001_0000_0001,
                8192,
                16384,
                4096,
                256,
                0x0000_0040_0000_0001,
                320,
                0x0000_000C_0000_0001,
                7,
                8,
                0x0909_0909_0909_0909,
                0x0909_0909_0909_0909,
                10,
                11,
                0,
                0,
                0,
                0,
                0,
                0xD84B_ECCE, // CRC-32 (checked with zlib) of bytes 0..184 and of the 64 bytes 0x55 behind the header
                8192,
                0,
                0,
                0,
                0,
                0,
                0,
                0
            ]
        );
    }
}
