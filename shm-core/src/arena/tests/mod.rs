//! Tests of the heap over plain memory, where "processes" are values: they have hints and locks of their own and share
//! only the bytes. Runs under Miri.
//!
//! `model.rs` compares random histories with a naive model, `deaths.rs` kills and stalls at every store, `threads.rs`
//! lets real threads race, `hostile.rs` scribbles over the words.

#![allow(unsafe_code, reason = "makes plain memory serve as a shared segment")]

mod deaths;
mod hostile;
mod model;
mod threads;

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::format::{CHUNK, Geometry, Holding, MIN_LEN, OwnerId};
use super::heap::{Heap, Place};
use super::owner::{Dead, SlotLocks};
use super::reclaim::{Item, Reclaimed};
use super::region::Region;

/// Zeroed memory that stands for the pages of an arena, and the kernel's book of who locks which slot.
struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    locks: Mutex<BTreeMap<u32, u32>>,
    processes: AtomicU32,
}

// SAFETY: the bytes are reached through regions only, which keep to atomics and disjoint blocks.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(len: u64) -> Arc<Self> {
        let layout = Layout::from_size_align(len as usize, 4096).unwrap();
        // SAFETY: the length is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        Arc::new(Self { base, layout, locks: Mutex::default(), processes: AtomicU32::new(0) })
    }

    /// Memory with room for this many chunks and an arena in it.
    fn with_chunks(chunks: u64) -> Arc<Self> {
        let memory = Self::new(MIN_LEN + (chunks - 1) * CHUNK);
        let geometry = Geometry::for_max_len(memory.len()).unwrap();
        assert_eq!(u64::from(geometry.max_chunks), chunks);
        Heap::create(memory.region(), geometry).unwrap();
        memory
    }

    fn len(&self) -> u64 {
        self.layout.size() as u64
    }

    fn region(&self) -> Region {
        // SAFETY: aligned to 4 096 and so long; every test keeps the memory while it has a region; nobody makes references.
        unsafe { Region::new(self.base, self.len(), self.len()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout and freed once.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// One attached and registered owner.
struct Process {
    heap: Heap,
    me: OwnerId,
    number: u32,
    memory: Arc<Memory>,
}

impl SlotLocks for (&Memory, u32) {
    fn try_lock(&self, slot: u32) -> Result<bool, Errno> {
        let mut locks = self.0.locks.lock().unwrap();
        Ok(*locks.entry(slot).or_insert(self.1) == self.1)
    }

    fn unlock(&self, slot: u32) -> Result<(), Errno> {
        let mut locks = self.0.locks.lock().unwrap();
        if locks.get(&slot) == Some(&self.1) {
            locks.remove(&slot);
        }
        Ok(())
    }
}

impl Process {
    fn new(memory: &Arc<Memory>) -> Self {
        let geometry = Geometry::for_max_len(memory.len()).unwrap();
        let heap = Heap::attach(memory.region(), geometry).unwrap();
        let number = memory.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let me = heap.register(&(&**memory, number), number).unwrap().unwrap();
        Self { heap, me, number, memory: Arc::clone(memory) }
    }

    fn locks(&self) -> (&Memory, u32) {
        (&self.memory, self.number)
    }

    /// What the kernel does when a process dies.
    fn die(&self) {
        self.memory.locks.lock().unwrap().retain(|_, holder| *holder != self.number);
    }

    fn claim(&self, len: u64) -> Option<Place> {
        self.heap.claim(len, self.me)
    }

    fn free(&self, place: Place) -> bool {
        self.heap.free(place, Holding::held(self.me), self.me)
    }

    fn hand_over(&self, place: Place, to: OwnerId) -> bool {
        self.heap.reassign(place, Holding::held(self.me), Holding::parked(to))
    }

    fn adopt(&self, at: u64, from: OwnerId) -> Option<Place> {
        let (place, holding) = self.heap.locate(at)?;
        (holding == Holding::parked(from) && self.heap.reassign(place, holding, Holding::held(self.me)))
            .then_some(place)
    }

    fn dead(&self) -> Dead {
        self.heap.find_dead(&self.locks(), self.me).unwrap()
    }

    fn reclaim(&self) -> Reclaimed {
        let dead = self.dead();
        let freed = self.heap.free_all_of(&dead, self.me);
        self.heap.settle(dead, &self.locks(), true);
        freed
    }

    fn pointer(&self, place: Place) -> *mut u8 {
        self.heap.region.bytes(self.heap.offset_of(place), place.capacity()).unwrap().as_ptr()
    }

    fn fill(&self, place: Place, byte: u8) {
        // SAFETY: the whole place exists, and its holder alone touches it.
        unsafe { self.pointer(place).write_bytes(byte, place.capacity() as usize) };
    }

    fn is_filled(&self, place: Place, byte: u8) -> bool {
        let at = self.pointer(place);
        // Miri reads a few thousand bytes a second.
        let step = if cfg!(miri) { 4093 } else { 1 };
        // SAFETY: as in `fill`.
        (0..place.capacity() as usize).step_by(step).all(|i| unsafe { at.add(i).read() } == byte)
    }
}

/// Offset, capacity and holding of everything live, and the number of chunks that are claimed for something.
fn live(heap: &Heap) -> (Vec<(u64, u64, Holding)>, usize) {
    let (mut live, mut claimed) = (Vec::new(), 0);
    heap.walk(|item| match item {
        Item::Live(place, holding) => live.push((heap.offset_of(place), place.capacity(), holding)),
        Item::Claimed(_) => claimed += 1,
    });
    assert!(live.is_sorted_by(|a, b| a.0 + a.1 <= b.0), "overlap: {live:?}");
    (live, claimed)
}

#[test]
fn smoke() {
    let memory = Memory::with_chunks(8);
    let process = Process::new(&memory);
    let mut places = Vec::new();
    for (i, len) in [0, 1, 64, 65, 100, 4096, 8192, 32_640, 32_641, 65_536, 65_537].into_iter().enumerate() {
        let place = process.claim(len).unwrap();
        assert!(place.capacity() >= len);
        let at = process.heap.offset_of(place);
        assert_eq!(at % if len > 32_640 { 4096 } else { 64 }, 0);
        assert_eq!(process.heap.locate(at), Some((place, Holding::held(process.me))));
        process.fill(place, i as u8);
        places.push(place);
        if i >= 8 {
            // The runs need the room one after the other.
            assert!(process.free(places.pop().unwrap()));
        }
    }
    assert_eq!(live(&process.heap).0.len(), 8);
    for (i, place) in places.iter().enumerate() {
        assert!(process.is_filled(*place, i as u8));
        assert!(process.free(*place));
        assert!(!process.free(*place), "freed twice");
    }
    assert_eq!(live(&process.heap), (vec![], 0));
}

#[test]
fn a_fresh_arena_has_these_bytes() {
    let memory = Memory::with_chunks(3);
    let process = Process::new(&memory);
    let bytes = |at: u64, len: u64| -> Vec<u8> {
        let start = process.heap.region.bytes(at, len).unwrap();
        // SAFETY: these bytes exist, and no other thread writes now.
        (0..len as usize).map(|i| unsafe { start.as_ptr().add(i).read() }).collect()
    };
    let header = [
        *b"SHMARENA",
        [1, 0, 0, 0, 16, 0, 0, 0],
        [0, 0x40, 3, 0, 0, 0, 0, 0],
        [0, 0x10, 0, 0, 0, 0, 0, 0],
        [0, 4, 0, 0, 0, 0, 0, 0],
        [0, 0x30, 0, 0, 0, 0, 0, 0],
        [3, 0, 0, 0, 0, 0, 0, 0],
        [0, 0x40, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(bytes(0, 64), header.concat());
    assert!(bytes(64, 4096 - 64).iter().all(|b| *b == 0));
    assert_eq!(
        bytes(4096, 16),
        [[1, 0, 0, 0, 1, 0, 0, 0x80], [0; 8]].concat(),
        "slot 0: process 1, incarnation 1"
    );
    assert!(bytes(12288, 4096).iter().all(|b| *b == 0), "chunks are free");

    let small = process.claim(200).unwrap();
    let run = process.claim(70_000).unwrap();
    assert!(process.hand_over(run, OwnerId::KEPT));
    let table = [
        [2 | 3 << 3, 0, 0, 0, 0, 0, 0, 0],
        [3 | 2 << 3, 0, 0, 0, 0xFF, 7, 0, 0x80],
        [4, 0, 0, 0, 1, 8, 0, 0],
    ];
    assert_eq!(bytes(12288, 24), table.concat(), "slab of class 3, head of a parked run of 2, its tail");
    assert_eq!(
        bytes(0x4000, 16),
        [[5, 0, 0, 0, 1, 8, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0]].concat(),
        "block words"
    );
    assert_eq!(process.heap.offset_of(small), 0x4000 + 2624);
    assert_eq!(process.heap.offset_of(run), 0x4000 + 0x10000);
}

#[test]
fn creating_twice_is_refused_and_a_half_written_header_is_finished() {
    let memory = Memory::new(MIN_LEN);
    let geometry = Geometry::for_max_len(MIN_LEN).unwrap();
    memory.region().word(16).store(geometry.header()[2]);
    assert!(Heap::attach(memory.region(), geometry).is_err());
    assert!(Heap::create(memory.region(), geometry).is_some());
    assert!(Heap::create(memory.region(), geometry).is_none());
    assert!(Heap::attach(memory.region(), geometry).is_ok());
    let other = Geometry::for_max_len(MIN_LEN + CHUNK).unwrap();
    assert!(Heap::attach(memory.region(), other).is_err());
}

#[test]
fn slots_are_reused_and_the_dead_are_told_from_the_living() {
    let memory = Memory::with_chunks(1);
    let (a, b) = (Process::new(&memory), Process::new(&memory));
    assert_ne!(a.me, b.me);
    a.claim(10).unwrap();
    a.die();
    assert!(b.heap.is_registered(a.me), "nobody has noticed yet");
    let dead = b.dead();
    assert!(dead.contains(a.me) && !dead.contains(b.me) && !dead.contains(OwnerId::KEPT));
    b.heap.settle(dead, &b.locks(), false);
    assert_eq!(b.reclaim(), Reclaimed { owners: 1, blocks: 1, bytes: 64 });
    assert!(!b.heap.is_registered(a.me));
    let c = Process::new(&memory);
    assert_eq!((c.me.slot(), c.me.incarnation()), (a.me.slot(), a.me.incarnation() + 1));
    let dead = b.dead();
    assert!(dead.contains(a.me) && !dead.contains(c.me));
    b.heap.settle(dead, &b.locks(), true);
    assert!(b.heap.is_registered(c.me));
    // Registered after the list was made: alive.
    let dead = b.dead();
    let d = Process::new(&memory);
    assert!(!dead.contains(d.me));
    b.heap.settle(dead, &b.locks(), true);
    d.heap.forget(d.me);
    assert!(b.dead().contains(d.me));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn a_thousand_owners_and_no_more() {
    let memory = Memory::with_chunks(1);
    let all: Vec<_> = (0..1024).map(|_| Process::new(&memory)).collect();
    let geometry = all[0].heap.geometry;
    let heap = Heap::attach(memory.region(), geometry).unwrap();
    assert_eq!(heap.register(&(&*memory, 5000), 1).unwrap(), None);
    all[700].die();
    let heir = heap.register(&(&*memory, 5000), 1).unwrap().unwrap();
    assert_eq!((heir.slot(), heir.incarnation()), (Some(700), 2));
}

#[test]
fn blocks_change_hands_once() {
    let memory = Memory::with_chunks(4);
    let (a, b) = (Process::new(&memory), Process::new(&memory));
    for len in [100, 100_000] {
        let place = a.claim(len).unwrap();
        let at = a.heap.offset_of(place);
        assert_eq!(b.adopt(at, a.me), None, "a handle exists");
        assert!(a.hand_over(place, b.me));
        assert!(!a.hand_over(place, b.me));
        assert!(!a.free(place));
        assert_eq!(b.adopt(at + 64, b.me), None);
        assert_eq!(b.adopt(at, a.me), None);
        assert_eq!(b.adopt(at, b.me), Some(place));
        assert_eq!(b.adopt(at, b.me), None, "a handle exists");
        a.die();
        assert_eq!(b.reclaim().blocks, 0, "what the dead gave away stays");
        assert!(b.free(place));
        assert_eq!(live(&b.heap), (vec![], 0));
        // The chunks are free again whatever their words named before.
        let mut taken = vec![];
        while let Some(place) = b.claim(60_000) {
            taken.push(place);
        }
        assert!(taken.len() >= 3, "{}", taken.len());
        taken.into_iter().for_each(|place| assert!(b.free(place)));
    }
}

#[test]
#[cfg_attr(miri, ignore = "a thousand blocks, and no pointer that others do not try")]
fn an_empty_slab_serves_another_class_of_its_group_when_nothing_else_is_left() {
    let memory = Memory::with_chunks(1);
    let process = Process::new(&memory);
    let first = process.claim(64).unwrap();
    assert_eq!(process.claim(65), None, "one block of the slab is in use");
    assert!(process.free(first));
    assert_eq!(process.claim(192), None, "another group");
    let mut blocks = vec![];
    while let Some(place) = process.claim(65) {
        process.fill(place, 0xEE);
        blocks.push(place);
    }
    assert_eq!(blocks.len(), 455);
    assert!(!process.free(first), "of an earlier epoch");
    blocks.into_iter().for_each(|place| assert!(process.free(place)));
    assert_eq!((0..).map_while(|_| process.claim(1)).count(), 910);
}

#[test]
fn runs_use_every_chunk_and_merge_again() {
    let memory = Memory::with_chunks(16);
    let process = Process::new(&memory);
    assert_eq!(process.claim(17 * CHUNK), None);
    let singles: Vec<_> = (0..16).map(|_| process.claim(CHUNK).unwrap()).collect();
    assert_eq!(process.claim(CHUNK), None);
    for pair in singles.chunks(4) {
        assert!(process.free(pair[1]) && process.free(pair[2]));
    }
    assert_eq!(process.claim(3 * CHUNK), None);
    let doubles: Vec<_> = (0..4).map(|_| process.claim(2 * CHUNK).unwrap()).collect();
    for place in singles.chunks(4).flat_map(|p| [p[0], p[3]]).chain(doubles) {
        assert!(process.free(place));
    }
    assert!(process.claim(16 * CHUNK).is_some());
}
