//! The bytes of an arena: geometry and the encodings of its words (FORMAT.md, section 6; size classes are in `class.rs`).
//!
//! Pure arithmetic. Every word that comes out of shared pages is decoded here into an enum that has a variant for
//! "none of ours", so that the algorithms elsewhere never meet an unchecked number. What the words *mean* over time
//! (who may change which word into what) is told in `mod.rs`.

use super::class::Class;

/// Bytes of one chunk, the unit that the arena hands out and that slabs are cut from.
pub(super) const CHUNK: u64 = 1 << CHUNK_LOG2;
const CHUNK_LOG2: u64 = 16;
/// First eight bytes of an arena, as a little-endian number.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"SHMARENA");
const VERSION: u64 = 1;
/// Words of the header that carry something; the rest of its page is zero.
pub(super) const HEADER_WORDS: usize = 8;
const OWNER_TABLE: u64 = 4096;
/// Owner slots of every arena.
pub(super) const SLOTS: u32 = 1024;
const CHUNK_TABLE: u64 = OWNER_TABLE + 8 * SLOTS as u64;
const PAGE: u64 = 4096;
/// A run's length has 29 bits in its chunk word.
const MAX_CHUNKS: u64 = (1 << 29) - 1;

/// Where the parts of an arena lie, counted from its first byte; follows from its greatest length alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Length that the arena may reach, in bytes.
    pub(super) max_len: u64,
    /// Chunks that fit into that length.
    pub(super) max_chunks: u32,
    /// Offset of the first chunk; a multiple of the page size.
    pub(super) chunk_area: u64,
}

/// Bytes that the smallest arena needs: its tables and one chunk.
pub(super) const MIN_LEN: u64 = (CHUNK_TABLE + 8).next_multiple_of(PAGE) + CHUNK;

/// What is wrong with an arena's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// The first eight bytes are something else.
    Magic,
    /// Made by a program with a newer format.
    Version(u32),
    /// The word with this index contradicts the length of the arena.
    Field(usize),
}

impl Geometry {
    /// The geometry of an arena that may reach `max_len` bytes, or nothing if not even one chunk fits.
    pub(super) fn for_max_len(max_len: u64) -> Option<Self> {
        if max_len < MIN_LEN {
            return None;
        }
        // The table takes 8 bytes a chunk, and rounding it up to a page may cost the last chunk.
        let mut chunks = ((max_len - CHUNK_TABLE) / (CHUNK + 8)).min(MAX_CHUNKS);
        let area = |chunks: u64| (CHUNK_TABLE + 8 * chunks).next_multiple_of(PAGE);
        if area(chunks) + chunks * CHUNK > max_len {
            chunks -= 1;
        }
        // The cast is exact: at most MAX_CHUNKS.
        Some(Self { max_len, max_chunks: chunks as u32, chunk_area: area(chunks) })
    }

    /// The header that belongs to this geometry, magic first.
    pub(super) fn header(&self) -> [u64; HEADER_WORDS] {
        [
            MAGIC,
            VERSION | CHUNK_LOG2 << 32,
            self.max_len,
            OWNER_TABLE,
            u64::from(SLOTS),
            CHUNK_TABLE,
            u64::from(self.max_chunks),
            self.chunk_area,
        ]
    }

    /// Compares the header found in shared pages with the only one that fits this geometry.
    pub(super) fn check(&self, found: &[u64; HEADER_WORDS]) -> Result<(), HeaderFault> {
        let wanted = self.header();
        if found[0] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let version = found[1] & 0xFFFF_FFFF;
        if version > VERSION {
            return Err(HeaderFault::Version(version as u32));
        }
        match (1..HEADER_WORDS).find(|&i| found[i] != wanted[i]) {
            Some(field) => Err(HeaderFault::Field(field)),
            None => Ok(()),
        }
    }

    /// How many chunks exist completely when the arena is `len` bytes long.
    pub(super) fn chunks_in(&self, len: u64) -> u32 {
        let chunks = len.saturating_sub(self.chunk_area) / CHUNK;
        chunks.min(u64::from(self.max_chunks)) as u32
    }

    /// Offset of a chunk's first byte.
    pub(super) fn chunk_at(&self, chunk: u32) -> u64 {
        self.chunk_area + u64::from(chunk) * CHUNK
    }

    /// Offset of a chunk's word in the chunk table.
    pub(super) fn chunk_word_at(chunk: u32) -> u64 {
        CHUNK_TABLE + 8 * u64::from(chunk)
    }

    /// Offset of an owner slot's word in the owner table.
    pub(super) fn slot_word_at(slot: u32) -> u64 {
        OWNER_TABLE + 8 * u64::from(slot)
    }

    /// Offset of the word of block `index` in a slab.
    pub(super) fn block_word_at(&self, chunk: u32, index: u32) -> u64 {
        self.chunk_at(chunk) + 8 * u64::from(index)
    }
}

/// Bits 8 to 31 of chunk and block words: how often the slab has changed its class.
pub(super) const MAX_EPOCH: u32 = (1 << 24) - 1;
const EPOCH_SHIFT: u32 = 8;
const OWNER_SHIFT: u32 = 32;
const TOP: u64 = 1 << 63;
const KIND_MASK: u64 = 0b111;
const COUNT_MASK: u64 = MAX_CHUNKS;

/// The name of an owner of blocks in an [`Arena`](crate::Arena): a slot and an incarnation, so that a dead owner's name never comes to mean
/// somebody else.
///
/// It is valid for one arena, in all processes; [`to_bits`](OwnerId::to_bits) makes it fit for a message.
///
/// ```
/// use shm_core::OwnerId;
/// assert_eq!(OwnerId::from_bits(OwnerId::KEPT.to_bits()), Some(OwnerId::KEPT));
/// assert_eq!(OwnerId::from_bits(0), None);
/// ```
// In words it stands in bits 32 to 62: slot + 1 in the low 11 bits, the incarnation above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(u32);

const SLOT_BITS: u32 = 11;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// Incarnations are counted modulo 2^20.
pub(super) const INCARNATION_MASK: u32 = (1 << 20) - 1;

impl OwnerId {
    /// The data structure in the segment: no process's death frees what it owns.
    pub const KEPT: Self = Self(SLOT_MASK);

    pub(super) fn new(slot: u32, incarnation: u32) -> Self {
        debug_assert!(slot < SLOTS && incarnation <= INCARNATION_MASK);
        Self(incarnation << SLOT_BITS | (slot + 1))
    }

    /// The number that stands for this owner in shared pages and messages; never 0.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, OwnerId, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let message = arena.owner()?.to_bits().to_le_bytes(); // from a worker to its master
    /// assert_eq!(OwnerId::from_bits(u32::from_le_bytes(message)), Some(arena.owner()?));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The owner behind a number from [`to_bits`](Self::to_bits), or nothing if it can be none.
    ///
    /// ```
    /// use shm_core::OwnerId;
    /// assert_eq!(OwnerId::from_bits(OwnerId::KEPT.to_bits()), Some(OwnerId::KEPT));
    /// assert_eq!(OwnerId::from_bits(u32::MAX), None);
    /// ```
    pub fn from_bits(bits: u32) -> Option<Self> {
        let possible = bits == Self::KEPT.0 || (1..=SLOTS).contains(&(bits & SLOT_MASK));
        (possible && bits >> 31 == 0).then_some(Self(bits))
    }

    /// Slot in the owner table, or nothing for [`KEPT`](Self::KEPT).
    pub(super) fn slot(self) -> Option<u32> {
        (self != Self::KEPT).then(|| (self.0 & SLOT_MASK) - 1)
    }

    pub(super) fn incarnation(self) -> u32 {
        self.0 >> SLOT_BITS
    }
}

impl std::fmt::Display for OwnerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.slot() {
            Some(slot) => write!(f, "owner {slot}.{}", self.incarnation()),
            None => f.write_str("the segment itself"),
        }
    }
}

/// Who a live block or run belongs to and whether a handle to it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) owner: OwnerId,
    /// No handle exists: only the offset is known, and whoever adopts it gets the one handle.
    pub(super) parked: bool,
}

impl Holding {
    pub(super) fn held(owner: OwnerId) -> Self {
        Self { owner, parked: false }
    }

    pub(super) fn parked(owner: OwnerId) -> Self {
        Self { owner, parked: true }
    }

    fn bits(self) -> u64 {
        u64::from(self.owner.0) << OWNER_SHIFT | if self.parked { TOP } else { 0 }
    }

    fn from_bits(word: u64) -> Option<Self> {
        let owner = OwnerId::from_bits(((word & !TOP) >> OWNER_SHIFT) as u32)?;
        Some(Self { owner, parked: word & TOP != 0 })
    }
}

fn epoch_of(word: u64) -> u32 {
    (word >> EPOCH_SHIFT) as u32 & MAX_EPOCH
}

/// A word of the chunk table, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkWord {
    /// Nobody's.
    Free,
    /// Its owner is writing the block words of a slab of this class.
    Preparing { class: Class, epoch: u32, owner: OwnerId },
    /// Cut into blocks; its block words say who owns them. `full` is a hint for those who look for a block.
    Slab { class: Class, epoch: u32, full: bool },
    /// First chunk of a run of `count` chunks; the others are covered by it, whatever owner they name.
    Head { count: u32, holding: Holding },
    /// Claimed: covered by a head, or on its way into a run or out of one.
    Tail { owner: OwnerId },
    /// No word that a program of this version writes.
    Invalid,
}

const FREE: u64 = 0;
const PREPARING: u64 = 1;
const SLAB: u64 = 2;
const HEAD: u64 = 3;
const TAIL: u64 = 4;
const BLOCK: u64 = 5;

impl ChunkWord {
    #[inline]
    pub(super) fn encode(self) -> u64 {
        let class_and_epoch = |class: Class, epoch: u32| class.bits() << 3 | u64::from(epoch) << EPOCH_SHIFT;
        match self {
            Self::Free => FREE,
            Self::Preparing { class, epoch, owner } => {
                PREPARING | class_and_epoch(class, epoch) | Holding::held(owner).bits()
            }
            Self::Slab { class, epoch, full } => {
                SLAB | class_and_epoch(class, epoch) | if full { TOP } else { 0 }
            }
            Self::Head { count, holding } => HEAD | u64::from(count) << 3 | holding.bits(),
            Self::Tail { owner } => TAIL | Holding::held(owner).bits(),
            Self::Invalid => u64::MAX,
        }
    }

    #[inline]
    pub(super) fn decode(word: u64) -> Self {
        let class = || Class::from_bits(word >> 3 & 0b1_1111);
        let holding = || Holding::from_bits(word);
        let decoded = match word & KIND_MASK {
            FREE => Some(Self::Free),
            PREPARING => class().zip(holding()).map(|(class, Holding { owner, .. })| Self::Preparing {
                class,
                epoch: epoch_of(word),
                owner,
            }),
            SLAB => class().map(|class| Self::Slab { class, epoch: epoch_of(word), full: word & TOP != 0 }),
            HEAD => holding().map(|holding| Self::Head { count: (word >> 3 & COUNT_MASK) as u32, holding }),
            TAIL => holding().map(|Holding { owner, .. }| Self::Tail { owner }),
            _ => None,
        };
        // Bits that the kind does not use must be zero: then there is one word for each meaning.
        decoded.filter(|decoded| decoded.encode() == word).unwrap_or(Self::Invalid)
    }
}

/// A block word in a slab, decoded. It counts only while its epoch is the slab's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockWord {
    /// Nobody's.
    Free { epoch: u32 },
    /// A live block.
    Live { epoch: u32, holding: Holding },
    /// No word that a program of this version writes.
    Invalid,
}

impl BlockWord {
    #[inline]
    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Free { epoch } => BLOCK | u64::from(epoch) << EPOCH_SHIFT,
            Self::Live { epoch, holding } => BLOCK | u64::from(epoch) << EPOCH_SHIFT | holding.bits(),
            Self::Invalid => u64::MAX,
        }
    }

    pub(super) fn decode(word: u64) -> Self {
        let epoch = epoch_of(word);
        let decoded = match Holding::from_bits(word) {
            Some(holding) => Self::Live { epoch, holding },
            None => Self::Free { epoch },
        };
        if decoded.encode() == word { decoded } else { Self::Invalid }
    }
}

/// A word of the owner table, decoded. A word that no program writes decodes to something: whoever holds the slot's
/// lock overwrites it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotWord {
    /// Somebody registered here and has not left in an orderly way.
    pub(super) used: bool,
    /// Of the present owner, or of the last one.
    pub(super) incarnation: u32,
    /// Process id for messages, in the owner's own pid namespace.
    pub(super) pid: u32,
}

impl SlotWord {
    #[inline]
    pub(super) fn encode(self) -> u64 {
        u64::from(self.pid) | u64::from(self.incarnation) << 32 | if self.used { TOP } else { 0 }
    }

    pub(super) fn decode(word: u64) -> Self {
        Self { used: word & TOP != 0, incarnation: (word >> 32) as u32 & INCARNATION_MASK, pid: word as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_fits_its_length_and_wastes_less_than_a_chunk() {
        for len in (MIN_LEN - 3..MIN_LEN + 3 * CHUNK).step_by(1021).chain([1 << 30, 1 << 40, u64::MAX]) {
            let Some(geometry) = Geometry::for_max_len(len) else {
                assert!(len < MIN_LEN);
                continue;
            };
            let end = geometry.chunk_at(geometry.max_chunks);
            assert!(end <= len);
            assert_eq!(geometry.chunks_in(len), geometry.max_chunks);
            assert!(geometry.chunk_area >= Geometry::chunk_word_at(geometry.max_chunks));
            assert_eq!(geometry.chunk_area % PAGE, 0);
            assert!(len - end < CHUNK + PAGE || u64::from(geometry.max_chunks) == MAX_CHUNKS);
        }
        assert_eq!(Geometry::for_max_len(MIN_LEN).map(|g| g.max_chunks), Some(1));
        assert_eq!(Geometry::for_max_len(MIN_LEN - 1), None);
    }

    #[test]
    fn every_altered_header_field_is_found() {
        let geometry = Geometry::for_max_len(10 << 20).unwrap();
        assert_eq!(geometry.check(&geometry.header()), Ok(()));
        for field in 0..HEADER_WORDS {
            for bit in 0..64 {
                let mut header = geometry.header();
                header[field] ^= 1 << bit;
                let fault = geometry.check(&header).unwrap_err();
                match fault {
                    HeaderFault::Magic => assert_eq!(field, 0),
                    HeaderFault::Version(_) => assert!(field == 1 && bit < 32),
                    HeaderFault::Field(at) => assert_eq!(field, at),
                }
            }
        }
    }

    #[test]
    fn words_survive_the_round_trip_and_have_one_spelling() {
        let owner = OwnerId::new(1023, INCARNATION_MASK);
        let other = OwnerId::new(0, 1);
        let class = Class::for_len(2000).unwrap();
        let words = [
            ChunkWord::Free,
            ChunkWord::Preparing { class, epoch: MAX_EPOCH, owner },
            ChunkWord::Slab { class, epoch: 7, full: true },
            ChunkWord::Slab { class, epoch: 0, full: false },
            ChunkWord::Head { count: COUNT_MASK as u32, holding: Holding::parked(other) },
            ChunkWord::Head { count: 1, holding: Holding::held(OwnerId::KEPT) },
            ChunkWord::Tail { owner },
        ];
        for word in words {
            assert_eq!(ChunkWord::decode(word.encode()), word);
        }
        for word in [
            BlockWord::Free { epoch: MAX_EPOCH },
            BlockWord::Live { epoch: 3, holding: Holding::parked(owner) },
            BlockWord::Live { epoch: 0, holding: Holding::held(OwnerId::KEPT) },
        ] {
            assert_eq!(BlockWord::decode(word.encode()), word);
            assert_eq!(ChunkWord::decode(word.encode()), ChunkWord::Invalid);
        }
        // Any number decodes to something whose encoding is that number, or to nothing.
        let mut number = 1u64;
        for _ in 0..if cfg!(miri) { 100 } else { 100_000 } {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for word in [number, number >> 7, number & 0x8000_0FFF_FFFF_FF07] {
                let chunk = ChunkWord::decode(word);
                assert!(chunk == ChunkWord::Invalid || chunk.encode() == word);
                let block = BlockWord::decode(word);
                assert!(block == BlockWord::Invalid || block.encode() == word);
            }
        }
    }

    #[test]
    fn owner_numbers_are_checked() {
        for bits in [0, 1 << 11, SLOTS + 1, SLOT_MASK - 1, u32::MAX, 1 << 31 | 1, SLOT_MASK | 1 << 11] {
            assert_eq!(OwnerId::from_bits(bits), None, "{bits:#x}");
        }
        for owner in [OwnerId::KEPT, OwnerId::new(0, 0), OwnerId::new(1023, 9)] {
            assert_eq!(OwnerId::from_bits(owner.to_bits()), Some(owner));
        }
        assert_eq!(OwnerId::new(5, 9).slot(), Some(5));
        assert_eq!(OwnerId::new(5, 9).incarnation(), 9);
        assert_eq!(OwnerId::KEPT.slot(), None);
    }
}
