//! One look at everything: freeing what the dead left behind, and counting.
//!
//! Both walk the chunk table from its start and step over what a head covers. Everything they change, they change by a
//! compare-exchange from a word that names an owner who was dead before the walk began, so it cannot be somebody's who
//! came by it meanwhile.

use super::class::Class;
use super::format::{BlockWord, CHUNK, ChunkWord, Holding, OwnerId};
use super::heap::{Heap, Place};
use super::owner::Dead;

/// What a [`reclaim`](super::Arena::reclaim) freed.
///
/// ```
/// # use shm_core::{Arena, Contents, SegmentOptions};
/// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
/// let (survivor, other) = (Arena::create_in(&segment, "heap")?, Arena::attach(&segment, "heap")?);
/// let block = other.alloc(1000)?;
/// let bytes = block.capacity() as u64;
/// std::mem::forget(block);
/// drop(other); // or its process is killed
/// let freed = survivor.reclaim()?;
/// assert_eq!((freed.blocks, freed.bytes), (1, bytes));
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reclaimed {
    /// Owners that had died without leaving.
    pub owners: usize,
    /// Blocks that were freed, whoever of the dead owned them.
    pub blocks: u64,
    /// Bytes of these blocks, in whole blocks and chunks.
    pub bytes: u64,
}

/// Something in use, as a walk comes by it.
pub(super) enum Item {
    /// A block or a run, and how it is held.
    Live(Place, Holding),
    /// A chunk that is on its way into a run or out of one, or is becoming a slab.
    Claimed(OwnerId),
}

/// Chunks by what they are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chunks {
    pub(super) free: u32,
    pub(super) slabs: u32,
    pub(super) runs: u32,
    /// Bytes of the largest piece that could be claimed: a row of free chunks or a free block in a slab.
    pub(super) largest_free: u64,
}

impl Heap {
    /// Frees everything that belongs to the dead, on behalf of the living owner `me`.
    pub(super) fn free_all_of(&self, dead: &Dead, me: OwnerId) -> Reclaimed {
        let mut freed = Reclaimed { owners: dead.owners(), ..Reclaimed::default() };
        let chunks = self.chunks();
        let mut chunk = 0;
        while chunk < chunks {
            let word = self.chunk_word(chunk);
            let seen = word.load();
            let mut step = 1;
            match ChunkWord::decode(seen) {
                ChunkWord::Slab { class, epoch, .. } => {
                    self.free_blocks_of(chunk, class, epoch, dead, &mut freed)
                }
                ChunkWord::Head { count, holding } => {
                    step = count.clamp(1, chunks - chunk);
                    let place = Place::Run { chunk, count };
                    if dead.contains(holding.owner) && count == step && self.free(place, holding, me) {
                        freed.blocks += 1;
                        freed.bytes += place.capacity();
                    }
                }
                ChunkWord::Tail { owner } if dead.contains(owner) => {
                    let was_there = word.change(seen, ChunkWord::Free.encode());
                    if was_there {
                        self.hints.chunks_freed(chunk, chunk + 1);
                        freed.bytes += CHUNK;
                    }
                }
                ChunkWord::Preparing { class, epoch, owner } if dead.contains(owner) => {
                    let mine = ChunkWord::Preparing { class, epoch, owner: me }.encode();
                    if word.change(seen, mine) {
                        self.finish_slab(chunk, class, epoch, me, None);
                        freed.bytes += CHUNK;
                    }
                }
                _ => {}
            }
            chunk += step;
        }
        freed
    }

    fn free_blocks_of(&self, chunk: u32, class: Class, epoch: u32, dead: &Dead, freed: &mut Reclaimed) {
        for index in 0..class.blocks() {
            match BlockWord::decode(self.block_word(chunk, index).load()) {
                BlockWord::Live { epoch: live, holding } if live == epoch && dead.contains(holding.owner) => {
                    let was_there = self.free_block(Place::Block { chunk, index, class, epoch }, holding);
                    if was_there {
                        freed.blocks += 1;
                        freed.bytes += u64::from(class.size());
                    }
                }
                _ => {}
            }
        }
    }

    /// Shows everything in use to `visit`, in the order of offsets. With others at work it is a picture that may never
    /// have been true at any one instant.
    pub(super) fn walk(&self, mut visit: impl FnMut(Item)) -> Chunks {
        let mut counted = Chunks::default();
        let mut free_row = 0u32;
        let chunks = self.chunks();
        let mut chunk = 0;
        while chunk < chunks {
            let mut step = 1;
            let decoded = self.chunk(chunk);
            free_row = if decoded == ChunkWord::Free { free_row + 1 } else { 0 };
            match decoded {
                ChunkWord::Free => {
                    counted.free += 1;
                    counted.largest_free = counted.largest_free.max(u64::from(free_row) * CHUNK);
                }
                ChunkWord::Slab { class, epoch, .. } => {
                    counted.slabs += 1;
                    for index in 0..class.blocks() {
                        match BlockWord::decode(self.block_word(chunk, index).load()) {
                            BlockWord::Live { epoch: live, holding } if live == epoch => {
                                visit(Item::Live(Place::Block { chunk, index, class, epoch }, holding));
                            }
                            BlockWord::Free { epoch: free } if free == epoch => {
                                counted.largest_free = counted.largest_free.max(u64::from(class.size()));
                            }
                            _ => {}
                        }
                    }
                }
                ChunkWord::Head { count, holding } => {
                    step = count.clamp(1, chunks - chunk);
                    counted.runs += step;
                    visit(Item::Live(Place::Run { chunk, count: step }, holding));
                }
                ChunkWord::Tail { owner } => {
                    counted.runs += 1;
                    visit(Item::Claimed(owner));
                }
                ChunkWord::Preparing { owner, .. } => {
                    counted.slabs += 1;
                    visit(Item::Claimed(owner));
                }
                ChunkWord::Invalid => {}
            }
            chunk += step;
        }
        counted
    }
}
