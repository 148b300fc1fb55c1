//! Small blocks: chunks cut into blocks of one size class.
//!
//! A slab begins with its block words, one for each block: free, or who holds it. Claiming and freeing a block is one
//! compare-exchange on its word. A chunk that became a slab stays one, and the room for words in it is the same for
//! all classes of its group, so no byte of a block was ever a word: a process that stalled before its compare-exchange,
//! for however long, hits a word or nothing. When all blocks of a slab are free it may change its class within the
//! group: whoever does so claims all of them, takes the chunk word to *preparing* with the next epoch, writes the new
//! words and publishes the slab. Words of an earlier epoch match no compare-exchange of a later one.
//!
//! The `full` bit in the chunk word saves searchers from reading every word of every slab. The searcher sets it and
//! then reads all words once more; whoever frees a block first changes its word and then reads the bit. All four are
//! sequentially consistent, so at least one of the two sees the other, and only a death in between leaves the bit
//! wrong. The pass before giving up ignores it.

use std::sync::atomic::Ordering;

use super::class::Class;
use super::format::{BlockWord, ChunkWord, Holding, MAX_EPOCH, OwnerId};
use super::heap::{Heap, Place};

/// Chunks that are looked at for a slab with room before a new one is made.
const LOOK: u32 = 512;
/// Attempts to change a chunk word of which only the `full` bit can change under our hands.
const ATTEMPTS: u32 = 64;

impl Heap {
    /// Claims a block of this class for `me`: near the last one, in a slab nearby, in a new slab, in any slab, or in an
    /// empty slab of another class, in this order.
    pub(super) fn claim_block(&self, class: Class, me: OwnerId) -> Option<Place> {
        let (chunk, index) = self.hints.block(class);
        let place = self
            .claim_in(chunk, class, index, me, false)
            .or_else(|| self.search(class, chunk, LOOK, me, false))
            .or_else(|| self.make_slab(class, me))
            .or_else(|| self.search(class, 0, u32::MAX, me, true))
            .or_else(|| self.convert_slab(class, me))?;
        if let Place::Block { chunk, index, .. } = place {
            self.hints.set_block(class, chunk, index);
        }
        Some(place)
    }

    /// Frees a block that is held like `from`.
    pub(super) fn free_block(&self, place: Place, from: Holding) -> bool {
        let Place::Block { chunk, index, class, epoch } = place else { return false };
        let live = BlockWord::Live { epoch, holding: from }.encode();
        if !self.block_word(chunk, index).change(live, BlockWord::Free { epoch }.encode()) {
            return false;
        }
        let full = ChunkWord::Slab { class, epoch, full: true }.encode();
        let word = self.chunk_word(chunk);
        if word.load() == full {
            // If this fails, then because somebody else has cleared the bit.
            word.change(full, ChunkWord::Slab { class, epoch, full: false }.encode());
        }
        self.hints.set_block(class, chunk, index);
        true
    }

    /// Finishes a slab whose chunk word says that `me` is preparing it, with its first block held by `first` if any.
    pub(super) fn finish_slab(
        &self,
        chunk: u32,
        class: Class,
        epoch: u32,
        me: OwnerId,
        first: Option<OwnerId>,
    ) -> Option<Place> {
        let free = BlockWord::Free { epoch };
        for index in 0..class.blocks() {
            let word = match first {
                Some(owner) if index == 0 => BlockWord::Live { epoch, holding: Holding::held(owner) },
                _ => free,
            };
            self.block_word(chunk, index).store(word.encode());
        }
        let preparing = ChunkWord::Preparing { class, epoch, owner: me };
        let slab = ChunkWord::Slab { class, epoch, full: false };
        self.chunk_word(chunk).change(preparing.encode(), slab.encode()).then_some(Place::Block {
            chunk,
            index: 0,
            class,
            epoch,
        })
    }

    fn search(&self, class: Class, from: u32, look: u32, me: OwnerId, ignore_full: bool) -> Option<Place> {
        let chunks = self.chunks();
        let from = if from < chunks { from } else { 0 };
        // Different owners begin at different blocks, so that their words share fewer cache lines.
        let index = me.to_bits() % class.blocks();
        let around = (from..chunks).chain(0..from);
        around.take(look as usize).find_map(|chunk| self.claim_in(chunk, class, index, me, ignore_full))
    }

    fn claim_in(&self, chunk: u32, class: Class, from: u32, me: OwnerId, ignore_full: bool) -> Option<Place> {
        if chunk >= self.chunks() {
            return None;
        }
        let word = self.chunk_word(chunk);
        let seen = word.load();
        let ChunkWord::Slab { class: found, epoch, full } = ChunkWord::decode(seen) else { return None };
        if found != class || full && !ignore_full {
            return None;
        }
        let place = |index| Place::Block { chunk, index, class, epoch };
        if let Some(index) = self.claim_word(chunk, class, epoch, from, me) {
            return Some(place(index));
        }
        let marked = ChunkWord::Slab { class, epoch, full: true }.encode();
        if full || !word.change(seen, marked) {
            return None;
        }
        let index = self.claim_word(chunk, class, epoch, from, me)?;
        word.change(marked, seen);
        Some(place(index))
    }

    fn claim_word(&self, chunk: u32, class: Class, epoch: u32, from: u32, me: OwnerId) -> Option<u32> {
        let free = BlockWord::Free { epoch }.encode();
        let mine = BlockWord::Live { epoch, holding: Holding::held(me) }.encode();
        let from = if from < class.blocks() { from } else { 0 };
        (from..class.blocks()).chain(0..from).find(|&index| {
            let word = self.block_word(chunk, index);
            word.load() == free && word.change(free, mine)
        })
    }

    fn make_slab(&self, class: Class, me: OwnerId) -> Option<Place> {
        let chunks = self.chunks();
        let low = self.hints.low.load(Ordering::Relaxed).min(chunks);
        // A chunk below the hint may have been freed by another process: look there last.
        for chunk in (low..chunks).chain(0..low) {
            let word = self.chunk_word(chunk);
            let preparing = ChunkWord::Preparing { class, epoch: 0, owner: me };
            if word.load() == ChunkWord::Free.encode()
                && word.change(ChunkWord::Free.encode(), preparing.encode())
            {
                self.hints.low.store(chunk + 1, Ordering::Relaxed);
                return self.finish_slab(chunk, class, 0, me, Some(me));
            }
        }
        self.hints.low.store(chunks, Ordering::Relaxed);
        None
    }

    fn convert_slab(&self, class: Class, me: OwnerId) -> Option<Place> {
        (0..self.chunks()).find_map(|chunk| match self.chunk(chunk) {
            ChunkWord::Slab { class: old, epoch, .. }
                if old.group() == class.group() && old != class && epoch < MAX_EPOCH =>
            {
                self.convert(chunk, old, epoch, class, me)
            }
            _ => None,
        })
    }

    fn convert(&self, chunk: u32, old: Class, epoch: u32, class: Class, me: OwnerId) -> Option<Place> {
        let free = BlockWord::Free { epoch }.encode();
        let mine = BlockWord::Live { epoch, holding: Holding::held(me) }.encode();
        if (0..old.blocks()).any(|index| self.block_word(chunk, index).load() != free) {
            return None;
        }
        let taken =
            (0..old.blocks()).take_while(|&i| self.block_word(chunk, i).change(free, mine)).count() as u32;
        if taken == old.blocks() {
            let preparing = ChunkWord::Preparing { class, epoch: epoch + 1, owner: me }.encode();
            for _ in 0..ATTEMPTS {
                let seen = self.chunk_word(chunk).load();
                match ChunkWord::decode(seen) {
                    ChunkWord::Slab { class: c, epoch: e, .. } if c == old && e == epoch => {}
                    _ => break,
                }
                if self.chunk_word(chunk).change(seen, preparing) {
                    return self.finish_slab(chunk, class, epoch + 1, me, Some(me));
                }
            }
        }
        for index in 0..taken {
            self.block_word(chunk, index).change(mine, free);
        }
        None
    }
}
