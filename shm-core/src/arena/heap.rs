//! The arena's chunks and blocks as one process sees them: finding, claiming, handing over, giving back.
//!
//! This file has what slabs (`slab.rs`) and runs (`run.rs`) share. It knows owners only as numbers: who they are and
//! whether they live is the business of `owner.rs`. There is no `unsafe` here and no destructor: each function leaves
//! shared words such that dying between any two of its stores leaks at most what the caller owns.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::class::{CLASSES, Class};
use super::format::{
    BlockWord, CHUNK, ChunkWord, Geometry, HEADER_WORDS, HeaderFault, Holding, MAGIC, OwnerId,
};
use super::region::{Region, Word};

/// An arena's shared words, and this process's beliefs about where something may be free.
#[derive(Debug)]
pub(super) struct Heap {
    pub(super) region: Region,
    pub(super) geometry: Geometry,
    pub(super) hints: Hints,
}

/// Beliefs, private to this process: wrong ones cost time, never space, because a last pass ignores them.
#[derive(Debug)]
pub(super) struct Hints {
    /// By class: chunk in the upper half, block in the lower, where a free block was seen last.
    blocks: [AtomicU64; CLASSES],
    /// No chunk below this one is free.
    pub(super) low: AtomicU32,
    /// No chunk at or above this one is free.
    pub(super) high: AtomicU32,
}

impl Hints {
    fn new() -> Self {
        Self {
            blocks: [const { AtomicU64::new(0) }; CLASSES],
            low: AtomicU32::new(0),
            high: AtomicU32::new(u32::MAX),
        }
    }

    pub(super) fn block(&self, class: Class) -> (u32, u32) {
        let hint = self.blocks[class.index()].load(Ordering::Relaxed);
        ((hint >> 32) as u32, hint as u32)
    }

    pub(super) fn set_block(&self, class: Class, chunk: u32, index: u32) {
        let hint = u64::from(chunk) << 32 | u64::from(index);
        self.blocks[class.index()].store(hint, Ordering::Relaxed);
    }

    pub(super) fn chunks_freed(&self, first: u32, end: u32) {
        self.low.fetch_min(first, Ordering::Relaxed);
        self.high.fetch_max(end, Ordering::Relaxed);
    }
}

/// Where a live block or run is; follows from its offset and the chunk table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Block `index` of the slab in `chunk`, while its epoch lasts.
    Block { chunk: u32, index: u32, class: Class, epoch: u32 },
    /// `count` chunks from `chunk` on.
    Run { chunk: u32, count: u32 },
}

impl Place {
    /// Bytes that may be used.
    pub(super) fn capacity(self) -> u64 {
        match self {
            Self::Block { class, .. } => u64::from(class.size()),
            Self::Run { count, .. } => u64::from(count) * CHUNK,
        }
    }

    /// The word of this place when it is held like this.
    fn word(self, holding: Holding) -> u64 {
        match self {
            Self::Block { epoch, .. } => BlockWord::Live { epoch, holding }.encode(),
            Self::Run { count, .. } => ChunkWord::Head { count, holding }.encode(),
        }
    }
}

impl Heap {
    /// Takes the arena in `region` as it is, after comparing its header with the one its length calls for.
    pub(super) fn attach(region: Region, geometry: Geometry) -> Result<Self, HeaderFault> {
        let mut header = [0; HEADER_WORDS];
        for (at, word) in (0..).step_by(8).zip(&mut header) {
            *word = region.word(at).load();
        }
        geometry.check(&header)?;
        Ok(Self { region, geometry, hints: Hints::new() })
    }

    /// Makes an arena out of zero bytes, or says that the first eight are not zero.
    ///
    /// Nothing but the header needs writing: zero words are unused slots and free chunks. All creators of an arena
    /// write the same header, and its magic last, so a creator that dies half-way or a second one does no harm.
    pub(super) fn create(region: Region, geometry: Geometry) -> Option<Self> {
        if region.word(0).load() != 0 {
            return None;
        }
        for (at, word) in (8..).step_by(8).zip(&geometry.header()[1..]) {
            region.word(at).store(*word);
        }
        region.word(0).change(0, MAGIC).then(|| Self { region, geometry, hints: Hints::new() })
    }

    /// Chunks that exist.
    pub(super) fn chunks(&self) -> u32 {
        self.geometry.chunks_in(self.region.len())
    }

    /// The word of a chunk below [`chunks`](Self::chunks).
    pub(super) fn chunk_word(&self, chunk: u32) -> Word<'_> {
        self.region.word(Geometry::chunk_word_at(chunk))
    }

    pub(super) fn chunk(&self, chunk: u32) -> ChunkWord {
        ChunkWord::decode(self.chunk_word(chunk).load())
    }

    pub(super) fn block_word(&self, chunk: u32, index: u32) -> Word<'_> {
        self.region.word(self.geometry.block_word_at(chunk, index))
    }

    /// Claims at least `len` bytes for `me`, or nothing when no free place for them was found.
    pub(super) fn claim(&self, len: u64, me: OwnerId) -> Option<Place> {
        match Class::for_len(len) {
            Some(class) => self.claim_block(class, me),
            None => self.claim_run(u32::try_from(len.div_ceil(CHUNK)).ok()?, me),
        }
    }

    /// Frees what is held like `from`, on behalf of `me`; `false` and no change if it is held otherwise.
    pub(super) fn free(&self, place: Place, from: Holding, me: OwnerId) -> bool {
        match place {
            Place::Block { .. } => self.free_block(place, from),
            Place::Run { chunk, count } => {
                let mine = Holding::held(me);
                (from == mine || self.reassign(place, from, mine)) && self.free_run(chunk, count, me)
            }
        }
    }

    /// Changes who holds a place, in one compare-exchange; `false` and no change if it was not held like `from`.
    pub(super) fn reassign(&self, place: Place, from: Holding, to: Holding) -> bool {
        self.word_of(place).change(place.word(from), place.word(to))
    }

    /// The word that says who holds a place.
    pub(super) fn word_of(&self, place: Place) -> Word<'_> {
        match place {
            Place::Block { chunk, index, .. } => self.block_word(chunk, index),
            Place::Run { chunk, .. } => self.chunk_word(chunk),
        }
    }

    /// Offset of a place's first byte in the arena.
    pub(super) fn offset_of(&self, place: Place) -> u64 {
        match place {
            Place::Block { chunk, index, class, .. } => {
                self.geometry.chunk_at(chunk) + u64::from(class.block_at(index))
            }
            Place::Run { chunk, .. } => self.geometry.chunk_at(chunk),
        }
    }

    /// The live place that begins at offset `at`, and how it is held.
    pub(super) fn locate(&self, at: u64) -> Option<(Place, Holding)> {
        let from_first = at.checked_sub(self.geometry.chunk_area)?;
        let chunk = u32::try_from(from_first / CHUNK).ok().filter(|&chunk| chunk < self.chunks())?;
        let within = (from_first % CHUNK) as u32;
        match self.chunk(chunk) {
            ChunkWord::Head { count, holding } if within == 0 => {
                let fits = count > 0 && count <= self.chunks() - chunk;
                fits.then_some((Place::Run { chunk, count }, holding))
            }
            ChunkWord::Slab { class, epoch, .. } => {
                let index = class.index_of(within)?;
                match BlockWord::decode(self.block_word(chunk, index).load()) {
                    BlockWord::Live { epoch: live, holding } if live == epoch => {
                        Some((Place::Block { chunk, index, class, epoch }, holding))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
