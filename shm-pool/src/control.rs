//! The control segment: all that master and workers tell each other, as atomics in shared pages.
//!
//! One anonymous segment of kind pool with these entries: `control` (the structures below), `critical` (the mutex of the critical section),
//! `ordered` (that of the ordered one, if there is one), what a parallel region has besides (`loops.rs`) and `results` (an arena). States, orderings and what a death means at each point are in `PROTOCOL.md`; who waits for what is in
//! `worker.rs` and `master.rs`. Nothing here blocks.

#![allow(unsafe_code, reason = "lays atomics over the bytes of the control segment")]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use rustix::thread::futex;
use shm_core::{Arena, Contents, OwnerId, Segment, SegmentKind, SegmentOptions};
use shm_sync::{Barrier, LockError, Mutex, MutexGuard, Primitive};

use crate::error::{Error, ErrorKind, Panic};
use crate::feed::Stored;
use crate::loops::{Areas, Words, areas_len};
use crate::order::Order;
use crate::region::Common;
use crate::schedule::Cut;

/// What is common to all workers.
#[repr(C, align(128))]
pub(crate) struct Header {
    /// Number of the run that the workers shall work on; futex word of those that wait for the next one. +0.
    pub(crate) run: AtomicU32,
    /// Not 0: leave at the next item. +4.
    pub(crate) stop: AtomicU32,
    /// How many workers sleep on `run`. +8.
    pub(crate) sleepers: AtomicU32,
    _pad0: u32,
    /// How many items the run has. +16.
    pub(crate) items: AtomicU64,
    /// Where the run's items are in the arena, if they are sent, and how many bytes. +24.
    pub(crate) feed: AtomicU64,
    pub(crate) feed_len: AtomicU64,
    _pad1: [u64; 11],
    /// Where to look for the next free batch: the run in the upper half, a batch number in the lower. +128.
    pub(crate) cursor: AtomicU64,
    _pad2: [u64; 15],
    /// Not 0: the master sleeps, or is about to, and one of [`WakeFor`] says for what it wants a word through the eventfd. +256.
    pub(crate) master_sleeps: AtomicU32,
    _pad3: [u32; 31],
    /// How many blocks of the arena the master has freed, modulo 2^32; futex word of the workers that wait for memory. +384.
    pub(crate) freed: AtomicU32,
    /// How many workers sleep on `freed`. +388.
    pub(crate) hungry: AtomicU32,
    _pad4: [u32; 30],
    /// The item whose ordered section comes next; futex word of those who wait for their turn. +512.
    turn: AtomicU32,
    /// How many sleep on `turn`, at least. +516.
    turn_sleepers: AtomicU32,
    _pad5: [u32; 30],
}

/// What the master wants to be woken for while it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum WakeFor {
    /// For what cannot wait: a failure, a worker that waits for the master or has nothing left to do.
    Urgent = 1,
    /// For any result.
    All = 2,
}

/// Messages that a ring has room for; a power of two.
pub(crate) const RING: usize = 256;
/// Bytes that a worker has for the text of its failure.
const WORDS: usize = 16384 - 256 - RING * size_of::<[u64; 4]>();

/// What belongs to one worker. Everything is written by the worker, but `tail` and `taken`, and all of it by the master when the worker is dead.
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// One of [`State`]. +0.
    state: AtomicU32,
    /// What kind of failure, in state failed: one of [`Failure`]'s codes. +4.
    failure: AtomicU32,
    /// The item that the function is called with. +8.
    item: AtomicU64,
    /// How many messages were ever written to the ring, modulo 2^32. +16.
    head: AtomicU32,
    /// Bytes of `words` that are valid. +20.
    words_len: AtomicU32,
    /// Not 0: the ring is full, and the worker sleeps on `tail`, or is about to. +24.
    waits: AtomicU32,
    /// How many blocks were ever begun, modulo 2^32: those that the master has not taken are on their way to it. +28.
    begun: AtomicU32,
    /// Where the block is that is kept next, or was kept last. +32.
    kept: AtomicU64,
    /// What `head` will be when that block's message is pushed. +40.
    kept_for: AtomicU32,
    _pad0: [u32; 21],
    /// How many messages the master has taken out of the ring; futex word of a worker whose ring is full. +128.
    tail: AtomicU32,
    /// How many of the blocks that were begun the master has taken, or written off. +132.
    taken: AtomicU32,
    _pad1: [u32; 30],
    /// +256.
    ring: [[AtomicU64; 4]; RING],
    /// +8448.
    words: [AtomicU8; WORDS],
}

const _: () = {
    assert!(size_of::<Header>() == 640 && size_of::<Slot>() == 16384);
    assert!(
        std::mem::offset_of!(Header, cursor) == 128 && std::mem::offset_of!(Header, master_sleeps) == 256
    );
    assert!(std::mem::offset_of!(Header, freed) == 384 && std::mem::offset_of!(Header, turn) == 512);
    assert!(std::mem::offset_of!(Slot, begun) == 28 && std::mem::offset_of!(Slot, kept_for) == 40);
    assert!(std::mem::offset_of!(Slot, tail) == 128 && std::mem::offset_of!(Slot, ring) == 256);
    assert!(std::mem::offset_of!(Slot, words) == 8448);
};

/// What a worker is doing, as far as the master needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    /// Forked, waiting for a run or between two batches.
    Idle = 0,
    /// Inside the user's function, or on its way there.
    Working = 1,
    /// It has left in order; only its exit remains.
    Finished = 2,
    /// It has given up and said why.
    Failed = 3,
}

/// Why a worker has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The function panicked.
    Panic(Panic),
    /// A result could not be serialised.
    Encode(String),
    /// A result found no memory.
    Memory(String),
    /// The pool's own descriptors or memory do not work any more.
    Broken(String),
    /// An item that was sent cannot be read back.
    Item(String),
}

impl Failure {
    fn code(&self) -> u32 {
        match self {
            Failure::Panic(_) => 1,
            Failure::Encode(_) => 2,
            Failure::Memory(_) => 3,
            Failure::Broken(_) => 4,
            Failure::Item(_) => 5,
        }
    }
}

/// Tells the master about the results of consecutive items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Where the block is, counted from the start of the segment; only if `len` is not 0.
    pub(crate) offset: u64,
    /// Bytes of results.
    pub(crate) len: u64,
}

impl Message {
    /// The items, if there can be such.
    pub(crate) fn items(&self) -> Option<Range<usize>> {
        let first = usize::try_from(self.first).ok()?;
        Some(first..first.checked_add(usize::try_from(self.count).ok()?)?)
    }
}

/// This process's handle of the control segment; workers inherit the master's.
pub(crate) struct Control {
    pub(crate) arena: Arena,
    critical: Mutex<u32>,
    /// What an ordered run has besides.
    ordered: Option<Ordered>,
    /// What a parallel region has besides.
    region: Option<Regional>,
    base: NonNull<u8>,
    workers: usize,
    batches: usize,
    /// Keeps the mapping.
    _segment: Segment,
}

/// What a control segment is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) batches: usize,
    /// How many items have turns: all, or 0.
    pub(crate) turns: usize,
    /// Whether it is for a parallel region.
    pub(crate) region: bool,
}

/// Where the parts are that only a region has.
struct Regional {
    barrier: Barrier,
    words: NonNull<Words>,
    areas: NonNull<u8>,
}

/// The items of an ordered run, and the mutex of its section.
struct Ordered {
    items: usize,
    section: Mutex<u32>,
}

// SAFETY: the pointer leads to atomics in a mapping that `_segment` keeps; everything else is `Send` by itself.
unsafe impl Send for Control {}
// SAFETY: the same, and everything else is `Sync` by itself.
unsafe impl Sync for Control {}

/// Address space for results, the first that the system grants. Memory is taken as it is used.
const RESERVES: [usize; 4] = [64 << 30, 8 << 30, 1 << 30, 64 << 20];

impl Control {
    /// Makes the segment for so many workers and batches.
    #[cfg(test)]
    pub(crate) fn new(workers: usize, batches: usize) -> Result<Control, Error> {
        Control::planned(&Plan { workers, batches, turns: 0, region: false })
    }

    /// Makes the segment.
    pub(crate) fn planned(plan: &Plan) -> Result<Control, Error> {
        Control::reserving(plan, &RESERVES)
    }

    fn reserving(plan: &Plan, reserves: &[usize]) -> Result<Control, Error> {
        let below = |e: shm_core::Error| segment_error(&e).caused_by(e);
        let Plan { workers, batches, turns, region } = *plan;
        let words = batches + turns.div_ceil(64);
        let len = size_of::<Header>() + workers * size_of::<Slot>() + words * size_of::<AtomicU64>();
        let contents = Contents::new().kind(SegmentKind::Pool).bytes("control", len, 128).map_err(below)?;
        let contents = Mutex::plan(contents, "critical", 0u32).map_err(lock_error)?;
        let contents = match turns {
            0 => contents,
            _ => Mutex::plan(contents, "ordered", 0u32).map_err(lock_error)?,
        };
        let contents = match region {
            false => contents,
            true => {
                let contents = Barrier::plan(contents, "barrier", workers as u32).map_err(lock_error)?;
                let contents = contents.bytes("loops", size_of::<Words>(), 128).map_err(below)?;
                contents.bytes("areas", areas_len(workers), 4096).map_err(below)?
            }
        };
        let contents = contents.arena("results", Arena::MIN_LEN).map_err(below)?;
        let create = |reserve: usize| {
            SegmentOptions::new().sparse(true).reserve_max(len + reserve).create_anonymous(&contents)
        };
        let mut segment = create(reserves[0]);
        for reserve in &reserves[1..] {
            if !matches!(&segment, Err(e) if e.kind() == shm_core::ErrorKind::OutOfMemory) {
                break;
            }
            segment = create(*reserve);
        }
        let segment = segment.map_err(below)?;
        let arena = Arena::create_in(&segment, "results").map_err(below)?;
        let critical = Mutex::attach_in(&segment, "critical").map_err(lock_error)?;
        let ordered = match turns {
            0 => None,
            items => {
                Some(Ordered { items, section: Mutex::attach_in(&segment, "ordered").map_err(lock_error)? })
            }
        };
        let start = |entry: &str| -> Result<NonNull<u8>, Error> {
            let offset = segment.entry(entry).map_err(below)?.offset();
            // No dereference: the entry lies inside the mapping.
            Ok(NonNull::new(segment.as_ptr().wrapping_add(offset)).expect("a mapping is not at address 0"))
        };
        let base = start("control")?;
        let region = match region {
            false => None,
            true => {
                let barrier = Barrier::attach_in(&segment, "barrier").map_err(lock_error)?;
                Some(Regional { barrier, words: start("loops")?.cast(), areas: start("areas")? })
            }
        };
        let control = Control { arena, critical, ordered, region, base, workers, batches, _segment: segment };
        if let Some(common) = control.region() {
            common.words.reset();
        }
        Ok(control)
    }

    #[cfg(test)]
    pub(crate) fn with_room_for(bytes: usize) -> Control {
        let plan = Plan { workers: 1, batches: 0, turns: 0, region: false };
        Control::reserving(&plan, &[Arena::MIN_LEN + bytes]).unwrap()
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// How many batches a run may have.
    pub(crate) fn room(&self) -> usize {
        self.batches
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the entry begins here, is mapped readable and writable as long as `_segment` lives, is aligned to 128 and longer than a header;
        // a header consists of atomics (and padding that nobody touches), for which any bytes are valid and which others may write.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// The slot of a worker.
    pub(crate) fn slot(&self, rank: usize) -> &Slot {
        assert!(rank < self.workers);
        let at = size_of::<Header>() + rank * size_of::<Slot>();
        // SAFETY: as in `header`; the entry has room for a slot for each worker behind the header, and both are multiples of 128 long.
        unsafe { self.base.add(at).cast::<Slot>().as_ref() }
    }

    /// The word that says who has a batch: the run in the upper half, the worker's number plus 1 in the lower.
    fn owner(&self, batch: usize) -> &AtomicU64 {
        assert!(batch < self.batches);
        let at = size_of::<Header>() + self.workers * size_of::<Slot>() + batch * size_of::<AtomicU64>();
        // SAFETY: as in `header`; the entry has room for a word for each batch behind the slots, and all before are multiples of 8 long.
        unsafe { self.base.add(at).cast::<AtomicU64>().as_ref() }
    }

    /// Whose turn it is, if this run is ordered.
    pub(crate) fn order(&self) -> Option<Order<'_>> {
        let Ordered { items, section } = self.ordered.as_ref()?;
        let at =
            size_of::<Header>() + self.workers * size_of::<Slot>() + self.batches * size_of::<AtomicU64>();
        // SAFETY: as in `owner`; behind the owner words the entry has room for a bit for each of the items, in whole words.
        let passed = unsafe {
            std::slice::from_raw_parts(self.base.add(at).cast::<AtomicU64>().as_ptr(), items.div_ceil(64))
        };
        let Header { turn, turn_sleepers: sleepers, .. } = self.header();
        Some(Order { turn, sleepers, passed, items: *items as u32, section })
    }

    /// What the workers share, if this is a parallel region.
    pub(crate) fn region(&self) -> Option<Common<'_>> {
        let Regional { barrier, words, areas } = self.region.as_ref()?;
        // SAFETY: as in `header`: an entry of this length and alignment, mapped as long as `_segment` lives, of integers and atomics.
        let words = unsafe { words.as_ref() };
        // SAFETY: an entry of this length, mapped as long as `_segment` lives, which nobody else uses.
        let areas = unsafe { Areas::new(*areas, self.workers) };
        Some(Common { words, areas, barrier })
    }

    #[inline]
    pub(crate) fn stopped(&self) -> bool {
        self.header().stop.load(Ordering::Relaxed) != 0
    }

    /// How many items `run` has, unless the master has begun another one meanwhile. It changes the cursor before it changes anything else, so that
    /// whoever sees numbers of a later run sees that too.
    pub(crate) fn items_of(&self, run: u32) -> Option<usize> {
        let items = self.header().items.load(Ordering::Acquire);
        let current = (self.header().cursor.load(Ordering::Acquire) >> 32) as u32 == run;
        current.then_some(items as usize)
    }

    /// The batches of `run` that worker `rank` takes, one after the other: those that are given to it in advance, or any that nobody has taken yet.
    pub(crate) fn claims(&self, cut: &Cut, run: u32, rank: usize) -> impl Iterator<Item = usize> {
        let mut given = cut.given_to(rank);
        std::iter::from_fn(move || match &mut given {
            Some(given) => given.find(|batch| self.take(run, rank, *batch)),
            None => self.claim(cut, run, rank),
        })
    }

    /// Takes the next free batch of `run` for worker `rank`.
    fn claim(&self, cut: &Cut, run: u32, rank: usize) -> Option<usize> {
        let cursor = &self.header().cursor;
        loop {
            // Acquire: whoever sees the cursor of a run sees what the master wrote before it.
            let at = cursor.load(Ordering::Acquire);
            let batch = (at & 0xFFFF_FFFF) as usize;
            if (at >> 32) as u32 != run || batch >= cut.batches() {
                return None;
            }
            let taken = self.take(run, rank, batch);
            // The cursor is a hint: whoever comes by moves it on, so that a death in between stops nobody.
            let _ = cursor.compare_exchange(at, at + 1, Ordering::Release, Ordering::Relaxed);
            if taken {
                return Some(batch);
            }
        }
    }

    /// Takes a batch of `run` for worker `rank`, if nobody has: one compare-exchange, which records who has it.
    fn take(&self, run: u32, rank: usize, batch: usize) -> bool {
        let word = self.owner(batch);
        let mine = u64::from(run) << 32 | (rank as u64 + 1);
        let found = word.load(Ordering::Relaxed);
        // A word of an earlier run is free. One of a later run cannot be taken by a worker that comes late.
        let free = found == 0 || (run.wrapping_sub((found >> 32) as u32) as i32) > 0;
        free && word.compare_exchange(found, mine, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether there are batches in `run` that worker `rank` could take.
    pub(crate) fn has_batches_for(&self, cut: &Cut, run: u32, rank: usize) -> bool {
        match cut.given_to(rank) {
            Some(mut given) => given.any(|batch| self.taker(run, batch).is_none()),
            None => (0..cut.batches()).rev().any(|batch| self.taker(run, batch).is_none()),
        }
    }

    /// The worker that has taken a batch in `run`.
    pub(crate) fn taker(&self, run: u32, batch: usize) -> Option<usize> {
        let word = self.owner(batch).load(Ordering::Relaxed);
        let rank = (word & 0xFFFF_FFFF) as usize;
        ((word >> 32) as u32 == run && rank > 0).then(|| rank - 1)
    }

    /// For the master: lets the workers begin with a run.
    pub(crate) fn begin_run(&self, run: u32, items: usize, fed: Stored) {
        let header = self.header();
        if let Some(order) = self.order() {
            order.reset();
        }
        // The cursor first: see `items_of`.
        header.cursor.store(u64::from(run) << 32, Ordering::Release);
        header.items.store(items as u64, Ordering::Release);
        header.feed.store(fed.offset, Ordering::Release);
        header.feed_len.store(fed.len, Ordering::Release);
        header.run.store(run, Ordering::SeqCst); // see `next_run` in worker.rs
        if header.sleepers.load(Ordering::SeqCst) > 0 {
            wake_all(&header.run);
        }
    }

    /// For the master: has the workers leave at their next item, or where they wait.
    pub(crate) fn stop(&self) {
        let header = self.header();
        header.stop.store(1, Ordering::SeqCst);
        header.run.fetch_add(1, Ordering::SeqCst); // so that nobody begins to sleep on the old number
        wake_all(&header.run);
        wake_all(&header.freed);
        if let Some(order) = self.order() {
            order.stop();
        }
        if let Some(common) = self.region() {
            common.stop();
        }
    }

    /// Whether there is a block that the master will free.
    pub(crate) fn blocks_in_flight(&self) -> bool {
        // Acquire: whoever sees that the master has taken a block sees that it has counted it as freed.
        (0..self.workers)
            .map(|rank| self.slot(rank))
            .any(|slot| slot.begun.load(Ordering::Acquire) != slot.taken.load(Ordering::Acquire))
    }

    /// For the master, when it has freed a block that worker `rank` had sent.
    pub(crate) fn block_freed(&self, rank: usize) {
        let header = self.header();
        // Sequentially consistent with the other side: either it sees the new number, or this sees that somebody is hungry.
        header.freed.fetch_add(1, Ordering::SeqCst);
        self.slot(rank).taken.fetch_add(1, Ordering::Release);
        if header.hungry.load(Ordering::SeqCst) > 0 {
            wake_all(&header.freed);
        }
    }

    /// For the master, when worker `rank` is dead and all that it had sent is taken in: frees what it had stored and not sent, and makes its slot ready for
    /// a fresh worker.
    pub(crate) fn write_off(&self, rank: usize) {
        let slot = self.slot(rank);
        let begun = slot.begun.load(Ordering::Acquire);
        if begun != slot.taken.load(Ordering::Relaxed) {
            // The message was not pushed. A block that is not there any more, or was never kept, is refused by the arena, and so is nonsense.
            if slot.kept_for.load(Ordering::Acquire) == slot.head.load(Ordering::Relaxed).wrapping_add(1) {
                drop(self.arena.adopt(slot.kept.load(Ordering::Relaxed), OwnerId::KEPT));
            }
            // One that was not kept yet belongs to a dead process. If this fails it stays until the segment goes.
            let _ = self.arena.reclaim();
            slot.taken.store(begun, Ordering::Release);
            self.header().freed.fetch_add(1, Ordering::SeqCst);
            wake_all(&self.header().freed);
        }
        slot.item.store(u64::MAX, Ordering::Relaxed);
        slot.waits.store(0, Ordering::Relaxed);
        slot.kept_for.store(slot.head.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.tail.store(slot.head.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.words_len.store(0, Ordering::Relaxed);
        slot.set_state(State::Idle);
        if let Some(order) = self.order() {
            order.repair();
        }
    }

    /// Enters the critical section; a holder that died in it leaves it free.
    pub(crate) fn critical(&self) -> Result<MutexGuard<'_, u32>, shm_sync::Error> {
        self.critical.lock().or_else(LockError::recover)
    }

    /// Other handles of the sections' mutexes, in the order in which they may be entered one inside of the other.
    pub(crate) fn sections(&self) -> Vec<Mutex<u32>> {
        self.ordered.iter().map(|ordered| &ordered.section).chain([&self.critical]).cloned().collect()
    }
}

impl Slot {
    /// Says what the function is called with, for the case that it does not come back.
    #[inline]
    pub(crate) fn begin_item(&self, item: usize) {
        self.item.store(item as u64, Ordering::Relaxed);
    }

    /// What the function was called with last; whatever somebody has written there.
    pub(crate) fn last_item(&self) -> Option<usize> {
        usize::try_from(self.item.load(Ordering::Relaxed)).ok()
    }

    /// What the worker is doing; nothing if the word is none that a worker writes.
    pub(crate) fn state(&self) -> Option<State> {
        // One load: the worker may change it between two.
        let found = self.state.load(Ordering::Acquire);
        [State::Idle, State::Working, State::Finished, State::Failed]
            .into_iter()
            .find(|state| *state as u32 == found)
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Says why the worker gives up. The text is cut to what there is room for.
    pub(crate) fn fail(&self, failure: &Failure) {
        let text = match failure {
            Failure::Panic(panic) => format!("{}\0{}\0{}", panic.message, panic.location, panic.backtrace),
            Failure::Encode(text) | Failure::Memory(text) | Failure::Broken(text) | Failure::Item(text) => {
                text.clone()
            }
        };
        let len = text.len().min(WORDS);
        for (byte, to) in text.as_bytes()[..len].iter().zip(&self.words) {
            to.store(*byte, Ordering::Relaxed);
        }
        self.words_len.store(len as u32, Ordering::Relaxed);
        self.failure.store(failure.code(), Ordering::Relaxed);
        self.set_state(State::Failed); // Release: the words come first
    }

    /// Why the worker has given up, if it has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.state() != Some(State::Failed) {
            return None;
        }
        let len = self.words_len.load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = self.words.iter().take(len).map(|byte| byte.load(Ordering::Relaxed)).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(match self.failure.load(Ordering::Relaxed) {
            1 => {
                let mut parts = text.splitn(3, '\0').map(str::to_owned);
                let mut part = || parts.next().unwrap_or_default();
                Failure::Panic(Panic { message: part(), location: part(), backtrace: part() })
            }
            2 => Failure::Encode(text),
            3 => Failure::Memory(text),
            5 => Failure::Item(text),
            _ => Failure::Broken(text),
        })
    }

    /// Says that a block is about to exist, so that somebody else who finds no room knows that some will be freed. Only for the worker.
    pub(crate) fn begin_block(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Says that the block which was begun last does not exist. Only for the worker.
    pub(crate) fn cancel_block(&self) {
        self.begun.fetch_sub(1, Ordering::AcqRel);
    }

    /// Says which block is about to be kept for the next message. Only for the worker.
    pub(crate) fn keeps(&self, offset: u64) {
        self.kept.store(offset, Ordering::Relaxed);
        let next = self.head.load(Ordering::Relaxed).wrapping_add(1);
        self.kept_for.store(next, Ordering::Release); // the offset comes first
    }

    /// Appends a message to the ring, or gives back what `tail` was when the ring was full. Only for the worker.
    pub(crate) fn push(&self, message: Message) -> Result<(), u32> {
        let head = self.head.load(Ordering::Relaxed);
        // Acquire: the master has read the message that is overwritten.
        let tail = self.tail.load(Ordering::Acquire);
        if head.wrapping_sub(tail) as usize >= RING {
            return Err(tail);
        }
        let words = [message.first, message.count, message.offset, message.len];
        for (to, word) in self.ring[head as usize % RING].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        self.head.store(head.wrapping_add(1), Ordering::Release); // the message comes first
        Ok(())
    }

    /// Takes the oldest message out of the ring. Only for the master.
    pub(crate) fn pop(&self) -> Option<Message> {
        let tail = self.tail.load(Ordering::Relaxed);
        if self.head.load(Ordering::Acquire) == tail {
            return None;
        }
        let [first, count, offset, len] =
            std::array::from_fn(|i| self.ring[tail as usize % RING][i].load(Ordering::Relaxed));
        self.tail.store(tail.wrapping_add(1), Ordering::Release); // it was read
        Some(Message { first, count, offset, len })
    }

    /// Whether there is a message.
    pub(crate) fn has_message(&self) -> bool {
        self.head.load(Ordering::Acquire) != self.tail.load(Ordering::Relaxed)
    }

    /// Whether half of the ring, or more, is taken.
    pub(crate) fn is_half_full(&self) -> bool {
        let waiting = self.head.load(Ordering::Relaxed).wrapping_sub(self.tail.load(Ordering::Relaxed));
        waiting as usize >= RING / 2
    }

    /// For the worker, around its sleep until the ring is no longer as full as it was at `tail`.
    pub(crate) fn wait_for_room(&self, sleep: impl FnOnce(&AtomicU32)) {
        self.waits.store(1, Ordering::Relaxed);
        // Either the sleep sees a new tail, or the master, behind the same fence, sees that somebody waits.
        fence(Ordering::SeqCst);
        sleep(&self.tail);
        self.waits.store(0, Ordering::Relaxed);
    }

    /// For the master, when it has taken a message out: whether the worker has to be woken. Not for the room of one message: it would sleep again at once.
    pub(crate) fn wants_room(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waits.load(Ordering::Relaxed) != 0 && !self.is_half_full()
    }

    /// The futex word of a worker whose ring is full.
    pub(crate) fn tail(&self) -> &AtomicU32 {
        &self.tail
    }
}

impl Header {
    /// For a worker that has just written something: whether the master has to be woken, if it is to be for what was written.
    pub(crate) fn master_wants_word(&self, why: WakeFor) -> bool {
        // Either this sees that the master sleeps, or the master, which looks again behind the same fence, sees what was written.
        fence(Ordering::SeqCst);
        let word = &self.master_sleeps;
        let found = word.load(Ordering::Relaxed);
        // If it has changed, somebody else has woken the master, or it has woken by itself and looked again.
        found >= why as u32 && word.compare_exchange(found, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// For the master, before its last look around and its sleep.
    pub(crate) fn master_goes_to_sleep(&self, wakes_for: WakeFor) {
        self.master_sleeps.store(wakes_for as u32, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn master_is_awake(&self) {
        self.master_sleeps.store(0, Ordering::Relaxed);
    }
}

/// Wakes everybody who sleeps on a word.
pub(crate) fn wake_all(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

fn segment_error(e: &shm_core::Error) -> Error {
    Error::new(ErrorKind::Segment, "prepare workers", e.to_string())
}

fn lock_error(e: shm_sync::Error) -> Error {
    Error::new(ErrorKind::Segment, "prepare workers", e.to_string()).caused_by(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    #[test]
    fn a_ring_keeps_order_and_says_when_it_is_full() {
        let control = Control::new(1, 0).unwrap();
        let slot = control.slot(0);
        let message = |first| Message { first, count: 1, offset: 2 * first, len: 3 };
        for round in 0..5 {
            for i in 0..RING as u64 {
                slot.push(message(round + i)).unwrap();
            }
            slot.push(message(0)).unwrap_err();
            for i in 0..RING as u64 {
                assert_eq!(slot.pop(), Some(message(round + i)));
            }
            assert_eq!(slot.pop(), None);
        }
    }

    #[test]
    fn a_resting_master_is_woken_for_urgent_words_only_and_once() {
        let control = Control::new(1, 0).unwrap();
        let header = control.header();
        assert!(!header.master_wants_word(WakeFor::Urgent) && !header.master_wants_word(WakeFor::All));
        header.master_goes_to_sleep(WakeFor::Urgent);
        assert!(!header.master_wants_word(WakeFor::All));
        assert!(header.master_wants_word(WakeFor::Urgent));
        assert!(!header.master_wants_word(WakeFor::Urgent), "it is on its way");
        header.master_goes_to_sleep(WakeFor::All);
        assert!(header.master_wants_word(WakeFor::All));
        header.master_goes_to_sleep(WakeFor::All);
        assert!(header.master_wants_word(WakeFor::Urgent));
        header.master_goes_to_sleep(WakeFor::All);
        header.master_is_awake();
        assert!(!header.master_wants_word(WakeFor::Urgent) && !header.master_wants_word(WakeFor::All));
    }

    #[test]
    fn each_batch_is_claimed_once_a_run() {
        let control = Control::new(3, 200).unwrap();
        // There is room for more.
        let cut = Cut::new(Schedule::Dynamic(1), 100, 3, "test").unwrap();
        for run in [1, 2, 3] {
            control.header().cursor.store(u64::from(run) << 32, Ordering::Release);
            let claimed: Vec<usize> = std::thread::scope(|scope| {
                let (control, cut) = (&control, &cut);
                let take = |rank| {
                    scope.spawn(move || {
                        std::iter::from_fn(|| control.claim(cut, run, rank)).collect::<Vec<_>>()
                    })
                };
                let threads: Vec<_> = (0..3).map(take).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            let mut sorted = claimed.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..100).collect::<Vec<_>>());
            assert!((0..100).all(|batch| control.taker(run, batch).is_some()));
            assert_eq!(control.claim(&cut, run - 1, 0), None, "a worker that is late takes nothing");
        }
    }

    #[test]
    fn a_state_that_changes_meanwhile_is_one_of_the_two() {
        let control = Control::new(1, 0).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..20_000_000 {
                    control.slot(0).set_state(State::Working);
                    control.slot(0).set_state(State::Idle);
                }
            });
            while !writer.is_finished() {
                assert!(matches!(control.slot(0).state(), Some(State::Idle | State::Working)));
            }
        });
    }

    #[test]
    fn failures_travel() {
        let control = Control::new(2, 0).unwrap();
        assert_eq!(control.slot(1).failure(), None);
        let panic = Panic { message: "m".repeat(20), location: "here".into(), backtrace: "b".repeat(10_000) };
        control.slot(1).fail(&Failure::Panic(panic.clone()));
        let Some(Failure::Panic(found)) = control.slot(1).failure() else { panic!("no panic") };
        assert_eq!((&found.message, &found.location), (&panic.message, &panic.location));
        assert!(found.backtrace.len() > 5000 && panic.backtrace.starts_with(&found.backtrace));
        control.slot(0).fail(&Failure::Memory("none".into()));
        assert_eq!(control.slot(0).failure(), Some(Failure::Memory("none".into())));
    }
}
