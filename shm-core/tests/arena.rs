//! Arenas through the public interface: blocks, errors, growth, ownership, forks.

#![allow(unsafe_code, reason = "reclaims an owner that is known to be dead")]

use std::time::Duration;

use shm_core::{Access, Arena, Contents, ErrorKind, OwnerId, Segment, SegmentOptions};
use shm_testkit::{Cleanup, Watchdog, fork_child, unique_name};

const MIB: usize = 1 << 20;

fn segment(len: usize) -> Segment {
    SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", len).unwrap()).unwrap()
}

fn arena(len: usize) -> Arena {
    Arena::create_in(&segment(len), "heap").unwrap()
}

#[test]
fn smoke() {
    let arena = arena(MIB);
    let mut blocks: Vec<_> = [0, 1, 64, 1000, 32_640, 100_000].map(|len| arena.alloc(len).unwrap()).into();
    for (i, block) in blocks.iter_mut().enumerate() {
        assert_eq!(block.as_ptr() as usize % 64, 0);
        assert_eq!(block.as_ptr() as usize - arena.segment().as_ptr() as usize, block.offset() as usize);
        assert!(block.capacity() >= block.len().max(64));
        let bytes = vec![i as u8; block.len()];
        block.write(0, &bytes).unwrap();
    }
    for (i, block) in blocks.iter().enumerate() {
        assert_eq!(block.is_empty(), i == 0);
        assert!(block.to_vec().iter().all(|byte| *byte == i as u8));
        assert_eq!(arena.pointer(block.offset(), block.len()).unwrap(), block.as_ptr());
    }
    let usage = arena.usage().unwrap();
    assert_eq!(usage.blocks, 6);
    assert_eq!(usage.used, blocks.iter().map(|block| block.capacity() as u64).sum::<u64>());
    assert_eq!(usage.owners.len(), 1);
    assert_eq!((usage.owners[0].owner, usage.owners[0].alive), (arena.owner().unwrap(), true));
    blocks.pop().unwrap().free().unwrap();
    drop(blocks);
    assert_eq!(arena.usage().unwrap().used, 0);
    assert!(arena.alloc_zeroed(100_000).unwrap().to_vec().iter().all(|byte| *byte == 0));
}

#[test]
fn reading_and_writing_stay_within_the_block() {
    let arena = arena(MIB);
    let mut block = arena.alloc(100).unwrap();
    block.write(120, b"12345678").unwrap();
    let mut bytes = [0; 8];
    block.read(120, &mut bytes).unwrap();
    assert_eq!(&bytes, b"12345678");
    for (at, len) in [(121, 8), (128, 1), (129, 0), (usize::MAX, 1), (0, 129)] {
        let error = block.write(at, &vec![0; len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{at} {len}");
        assert_eq!(block.read(at, &mut vec![0; len]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    block.write(128, b"").unwrap();
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what_would() {
    let arena = arena(Arena::MIN_LEN + 3 * 65536);
    let held = arena.alloc(2 * 65536).unwrap();
    let error = arena.alloc(3 * 65536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    let text = error.to_string();
    assert!(text.contains("196608 bytes are asked for"), "{text}");
    assert!(text.contains("the largest free piece of its 262144 bytes has 131072"), "{text}");
    assert!(text.contains("reclaim"), "{text}");
    assert_eq!(arena.alloc(usize::MAX).unwrap_err().kind(), ErrorKind::OutOfSpace);
    assert_eq!(arena.usage().unwrap().blocks, 1);
    drop(held);
    assert!(arena.alloc(4 * 65536).is_ok());
}

#[test]
fn a_segment_that_can_grow_grows_for_everybody() {
    let name = unique_name("arena-grow");
    let _cleanup = Cleanup::of([&name]);
    let contents = Contents::new().arena("heap", 4096).unwrap();
    let segment = SegmentOptions::new().reserve_max(64 * MIB).create(name.as_str(), &contents).unwrap();
    let one = Arena::create_in(&segment, "heap").unwrap();
    let before = segment.len();
    let two = Arena::attach(&Segment::attach(name.as_str()).unwrap(), "heap").unwrap();
    let mut offsets = vec![];
    for i in 0..40 {
        let mut block = one.alloc(MIB).unwrap();
        block.write(MIB - 1, &[i]).unwrap();
        offsets.push(block.keep().unwrap());
    }
    assert!(segment.len() > before + 40 * MIB);
    for (i, offset) in offsets.into_iter().enumerate() {
        let block = two.adopt(offset, OwnerId::KEPT).unwrap();
        let mut last = [0];
        block.read(MIB - 1, &mut last).unwrap();
        assert_eq!(last[0] as usize, i);
    }
    assert_eq!(two.usage().unwrap().used, 0);
    let error = one.alloc(64 * MIB).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert!(one.alloc(60 * MIB).is_ok(), "up to the maximum");
}

#[test]
fn creating_and_attaching_refuse_what_is_no_arena() {
    let contents = Contents::new().bytes("bytes", 1 << 20, 4096).unwrap();
    let contents = contents.arena("small", Arena::MIN_LEN - 1).unwrap().arena("heap", MIB).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let kind = |result: shm_core::Result<Arena>| result.unwrap_err().kind();
    assert_eq!(kind(Arena::create_in(&segment, "bytes")), ErrorKind::InvalidArgument);
    assert_eq!(kind(Arena::create_in(&segment, "small")), ErrorKind::InvalidArgument);
    assert_eq!(kind(Arena::create_in(&segment, "none")), ErrorKind::NoSuchEntry);
    assert_eq!(kind(Arena::attach(&segment, "heap")), ErrorKind::NotFound);
    let arena = Arena::create_in(&segment, "heap").unwrap();
    assert_eq!(kind(Arena::create_in(&segment, "heap")), ErrorKind::AlreadyExists);
    assert!(Arena::attach(&segment, "heap").is_ok());
    assert!(format!("{arena:?}").contains("the arena \\\"heap\\\"") || format!("{arena:?}").contains("heap"));
}

#[test]
fn a_read_only_attachment_is_refused() {
    let name = unique_name("arena-read-only");
    let _cleanup = Cleanup::of([&name]);
    let contents = Contents::new().arena("heap", MIB).unwrap();
    let segment = SegmentOptions::new().create(name.as_str(), &contents).unwrap();
    Arena::create_in(&segment, "heap").unwrap();
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let reader = SegmentOptions::new().access(access).attach(name.as_str()).unwrap();
        assert_eq!(Arena::attach(&reader, "heap").unwrap_err().kind(), ErrorKind::ReadOnly);
    }
}

#[test]
fn blocks_change_hands_and_wrong_offsets_change_nothing() {
    let segment = segment(MIB);
    let a = Arena::create_in(&segment, "heap").unwrap();
    let b = Arena::attach(&segment, "heap").unwrap();
    assert_ne!(a.owner().unwrap(), b.owner().unwrap());
    let block = a.alloc(500).unwrap();
    let offset = block.offset();
    let kind = |arena: &Arena, offset, from| arena.adopt(offset, from).unwrap_err().kind();
    assert_eq!(kind(&b, offset, a.owner().unwrap()), ErrorKind::Busy, "it has a handle");
    assert_eq!(kind(&a, offset, a.owner().unwrap()), ErrorKind::Busy, "it has a handle");
    assert_eq!(block.hand_over(b.owner().unwrap()).unwrap(), offset);
    assert_eq!(kind(&a, offset, a.owner().unwrap()), ErrorKind::Busy, "it is the other's");
    for wrong in [0, 1, offset + 1, offset + 64, offset - 64, offset + 512, MIB as u64 * 9, u64::MAX] {
        assert_eq!(kind(&b, wrong, b.owner().unwrap()), ErrorKind::NotFound, "{wrong}");
    }
    let block = b.adopt(offset, b.owner().unwrap()).unwrap();
    assert_eq!(block.park().unwrap(), offset);
    b.adopt(offset, b.owner().unwrap()).unwrap().free().unwrap();
    assert_eq!(kind(&b, offset, b.owner().unwrap()), ErrorKind::NotFound, "freed");
    let gone = {
        let c = Arena::attach(&segment, "heap").unwrap();
        c.owner().unwrap()
    };
    assert!(!a.is_alive(gone).unwrap() && a.is_alive(b.owner().unwrap()).unwrap());
    assert_eq!(a.alloc(1).unwrap().hand_over(gone).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(a.usage().unwrap().used, 0);
    for (offset, len) in [(0, 1), (a.usage().unwrap().total, MIB), (u64::MAX, 1), (MIB as u64, usize::MAX)] {
        assert_eq!(a.pointer(offset, len).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_forked_child_is_an_owner_of_its_own() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let arena = arena(MIB);
    let me = arena.owner().unwrap();
    let mut block = arena.alloc(100).unwrap();
    block.write(0, &[7; 100]).unwrap();
    let mut block = Some(block);
    let mut child = fork_child(|| {
        // The child's copies of the parent's handles do nothing.
        let copy = block.take().unwrap();
        assert_eq!(copy.to_vec(), [7; 100]);
        assert_eq!(copy.keep().unwrap_err().kind(), ErrorKind::Inherited);
        let own = arena.alloc(200).unwrap();
        assert_ne!(arena.owner().unwrap(), me);
        let usage = arena.usage().unwrap();
        assert_eq!((usage.blocks, usage.owners.len()), (2, 2));
        assert!(usage.owners.iter().all(|owner| owner.alive));
        assert_eq!(arena.reclaim().unwrap().blocks, 0);
        std::mem::forget(own);
        0
    });
    assert_eq!(child.wait(), shm_testkit::Status::Exited(0), "{:?}", child.panic_message());
    assert_eq!(arena.reclaim().unwrap().blocks, 1, "the child's");
    block.unwrap().free().unwrap();
}

#[test]
fn the_parents_death_is_seen_although_a_child_lives() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let arena = arena(MIB);
    // The parent allocates and dies; its child goes on, holding a copy of the descriptor until it uses the arena.
    let (read, write) = std::io::pipe().unwrap();
    let mut parent = fork_child(|| {
        std::mem::forget(arena.alloc(5000).unwrap());
        let child = fork_child(|| {
            let mut byte = [0];
            std::io::Read::read_exact(&mut &read, &mut byte).unwrap();
            arena.owner().unwrap();
            std::io::Read::read_exact(&mut &read, &mut byte).unwrap();
            0
        });
        std::mem::forget(child);
        0
    });
    assert_eq!(parent.wait(), shm_testkit::Status::Exited(0), "{:?}", parent.panic_message());
    assert_eq!(arena.reclaim().unwrap().blocks, 0, "the grandchild has the descriptor");
    let dead = arena.usage().unwrap().owners.iter().find(|o| o.blocks == 1).unwrap().owner;
    // We know better: its parent has been reaped.
    // SAFETY: the process that registered as this owner has ended.
    let freed = unsafe { arena.reclaim_owner(dead) }.unwrap();
    assert_eq!(freed.blocks, 1);
    assert_eq!(arena.usage().unwrap().used, 0);
    std::io::Write::write_all(&mut &write, b"ab").unwrap();
}

#[test]
fn threads_share_a_handle_and_its_owner() {
    fn shareable<T: Send + Sync>(value: T) -> T {
        value
    }
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let arena = shareable(arena(8 * MIB));
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for mark in 1..=4u8 {
            let (arena, start) = (&arena, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..2000 {
                    let len = 50 + 37 * (round % 100) * usize::from(mark);
                    let mut block = shareable(arena.alloc(len).unwrap());
                    block.write(0, &vec![mark; len]).unwrap();
                    assert!(block.to_vec().iter().all(|byte| *byte == mark));
                }
            });
        }
    });
    let usage = arena.usage().unwrap();
    assert_eq!((usage.used, usage.owners.len()), (0, 1), "{usage:?}");
}
