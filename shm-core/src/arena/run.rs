//! Large pieces: runs of adjacent chunks.
//!
//! A run is claimed chunk by chunk in ascending order, each with one compare-exchange from *free* to *tail* that names
//! the owner, and exists from the moment when its first chunk's word becomes the *head* with the length. Giving back
//! goes the other way: the owner writes its name into all tails (they may still name who claimed the run before it was
//! handed over), turns the head into a tail, and frees the chunks one by one. At each instant a chunk is free, covered
//! by a head, or a tail that names the process at work on it; so after a death the uncovered tails of the dead are
//! exactly what it left behind.
//!
//! Two processes that claim overlapping chunks cannot both fail for ever: of those at work the one whose claims have
//! got furthest up meets only finished runs, and a pass that met a claim is repeated.
//!
//! Runs come from the high end, slabs from the low end: slabs stay for ever.

use std::sync::atomic::Ordering;

use super::format::{ChunkWord, Holding, OwnerId};
use super::heap::{Heap, Place};

/// Passes over the chunk table when others keep claiming what this process was about to take.
const ROUNDS: u32 = 32;

enum Found {
    Run(u32),
    Nothing,
    /// Somebody else claimed a chunk in what looked free.
    Disturbed,
}

impl Heap {
    /// Claims `count` adjacent chunks for `me`.
    pub(super) fn claim_run(&self, count: u32, me: OwnerId) -> Option<Place> {
        let high = self.hints.high.load(Ordering::Relaxed);
        if high < self.chunks()
            && let Found::Run(chunk) = self.search_run(high, count, me)
        {
            return Some(Place::Run { chunk, count });
        }
        for _ in 0..ROUNDS {
            match self.search_run(self.chunks(), count, me) {
                Found::Run(chunk) => return Some(Place::Run { chunk, count }),
                Found::Nothing => return None,
                Found::Disturbed => {}
            }
        }
        None
    }

    /// Frees the run whose head says that `me` holds it; `false` and no change if it does not say so.
    pub(super) fn free_run(&self, chunk: u32, count: u32, me: OwnerId) -> bool {
        let head = ChunkWord::Head { count, holding: Holding::held(me) }.encode();
        let mine = ChunkWord::Tail { owner: me }.encode();
        if count > self.chunks().saturating_sub(chunk) || self.chunk_word(chunk).load() != head {
            return false;
        }
        for covered in chunk + 1..chunk + count {
            let word = self.chunk_word(covered);
            let seen = word.load();
            // Anything else than a tail is a neighbour's vandalism; better to lose the chunk than to free it twice.
            if seen != mine && matches!(ChunkWord::decode(seen), ChunkWord::Tail { .. }) {
                word.change(seen, mine);
            }
        }
        if !self.chunk_word(chunk).change(head, mine) {
            return false;
        }
        self.release(chunk, chunk + count, me);
        true
    }

    /// Free chunks behind the last one in use.
    pub(super) fn free_at_end(&self) -> u32 {
        let free = |chunk: &u32| self.chunk_word(*chunk).load() == ChunkWord::Free.encode();
        (0..self.chunks()).rev().take_while(free).count() as u32
    }

    fn search_run(&self, below: u32, count: u32, me: OwnerId) -> Found {
        let mut found = Found::Nothing;
        let mut highest_free = None;
        let mut free = 0;
        for chunk in (0..below).rev() {
            if self.chunk_word(chunk).load() != ChunkWord::Free.encode() {
                free = 0;
                continue;
            }
            highest_free.get_or_insert(chunk);
            free += 1;
            if free < count {
                continue;
            }
            match self.claim_chunks(chunk, count, me) {
                Ok(()) => {
                    found = Found::Run(chunk);
                    break;
                }
                Err(claimed_by_other) => {
                    found = Found::Disturbed;
                    free = claimed_by_other - chunk;
                }
            }
        }
        let high = match (highest_free, &found) {
            (Some(free), Found::Run(chunk)) if free < chunk + count => *chunk,
            (Some(free), _) => free + 1,
            (None, _) => 0,
        };
        self.hints.high.store(high, Ordering::Relaxed);
        found
    }

    /// Claims the chunks from `first` on and makes them a run, or names the chunk that was not free any more.
    fn claim_chunks(&self, first: u32, count: u32, me: OwnerId) -> Result<(), u32> {
        let mine = ChunkWord::Tail { owner: me }.encode();
        for chunk in first..first + count {
            if !self.chunk_word(chunk).change(ChunkWord::Free.encode(), mine) {
                self.release(first, chunk, me);
                return Err(chunk);
            }
        }
        let head = ChunkWord::Head { count, holding: Holding::held(me) };
        if self.chunk_word(first).change(mine, head.encode()) {
            return Ok(());
        }
        // Only vandalism gets here.
        self.release(first, first + count, me);
        Err(first)
    }

    /// Frees the chunks from `first` to before `end` as far as they are tails of `me`.
    fn release(&self, first: u32, end: u32, me: OwnerId) {
        let mine = ChunkWord::Tail { owner: me }.encode();
        for chunk in first..end {
            self.chunk_word(chunk).change(mine, ChunkWord::Free.encode());
        }
        self.hints.chunks_freed(first, end);
    }
}
