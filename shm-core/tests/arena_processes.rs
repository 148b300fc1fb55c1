//! Many processes in one arena: allocating, handing over, and killed at random instants.

use std::time::Duration;

use shm_core::{Arena, Contents, ErrorKind, OwnerId, Segment, SegmentOptions};
use shm_testkit::{Cleanup, Numbers, Status, Watchdog, fork_child, unique_name};

const LIMIT: Duration = Duration::from_secs(300);

/// Lengths of all kinds: blocks of every class, and runs.
fn any_len(numbers: &mut Numbers) -> usize {
    (match numbers.below(10) {
        0 => numbers.below(400_000),
        1..4 => numbers.below(33_000),
        _ => numbers.below(700),
    }) as usize
}

/// Allocates, checks and frees for `rounds` rounds; every byte of a block is its holder's `mark`.
fn work(arena: &Arena, mark: u8, seed: u64, rounds: u64) {
    let mut numbers = Numbers::new(seed);
    let mut held = Vec::new();
    for round in 0..rounds {
        if held.len() < 20 && numbers.below(2) == 0 {
            match arena.alloc(any_len(&mut numbers)) {
                Ok(mut block) => {
                    block.write(0, &vec![mark; block.capacity()]).unwrap();
                    held.push(block);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}"),
            }
        } else if !held.is_empty() {
            let block = held.swap_remove(numbers.below(held.len() as u64) as usize);
            assert!(block.to_vec().iter().all(|byte| *byte == mark), "round {round}: foreign bytes");
            block.free().unwrap();
        }
        if round % 500 == 499 {
            arena.reclaim().unwrap();
        }
    }
}

#[test]
fn killed_processes_leak_nothing_that_cannot_be_reclaimed() {
    let _watchdog = Watchdog::new(LIMIT);
    let contents = Contents::new().arena("heap", 4 << 20).unwrap();
    let options = SegmentOptions::new().reserve_max(32 << 20);
    let segment = options.create_anonymous(&contents).unwrap();
    let arena = Arena::create_in(&segment, "heap").unwrap();
    let mut mine = arena.alloc(3000).unwrap();
    mine.write(0, &[0xAB; 3000]).unwrap();
    let kept = arena.alloc(100_000).unwrap().keep().unwrap();

    let mut numbers = Numbers::new(42);
    for round in 0..12 {
        let mut children: Vec<_> = (0..4u8)
            .map(|i| {
                let arena = &arena;
                fork_child(move || {
                    work(arena, i + 1, round * 10 + u64::from(i) + 1, u64::MAX);
                    0
                })
            })
            .collect();
        // Everybody is at work before the first one dies.
        while arena.usage().unwrap().owners.iter().filter(|owner| owner.blocks > 0).count() < 6 {
            assert!(children.iter_mut().all(|child| child.try_wait().is_none()));
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(numbers.below(8000)));
        for child in &mut children {
            assert_eq!(child.try_wait(), None, "{:?}", child.panic_message());
            child.kill(libc::SIGKILL);
        }
        for child in &mut children {
            assert_eq!(child.wait(), Status::Killed(libc::SIGKILL), "{:?}", child.panic_message());
        }
        assert_eq!(arena.reclaim().unwrap().owners, 4);
        let usage = arena.usage().unwrap();
        assert_eq!(usage.blocks, 2, "round {round}: {usage:?}");
        assert_eq!(usage.owners.iter().filter(|owner| owner.owner != OwnerId::KEPT).count(), 1);
    }
    assert_eq!(mine.to_vec(), [0xAB; 3000]);
    mine.free().unwrap();
    arena.adopt(kept, OwnerId::KEPT).unwrap().free().unwrap();
    let usage = arena.usage().unwrap();
    assert_eq!((usage.used, usage.blocks), (0, 0));
    assert_eq!(
        u64::from(usage.free_chunks + usage.slab_chunks) * 65536,
        usage.total,
        "every chunk is of use"
    );
}

#[test]
fn processes_that_live_disturb_nobody() {
    let _watchdog = Watchdog::new(LIMIT);
    let name = unique_name("arena-processes");
    let _cleanup = Cleanup::of([&name]);
    let contents = Contents::new().arena("heap", 3 << 20).unwrap();
    let segment = SegmentOptions::new().create(name.as_str(), &contents).unwrap();
    let arena = Arena::create_in(&segment, "heap").unwrap();
    let mut children: Vec<_> = (1..=4u8)
        .map(|i| {
            let name = name.as_str();
            fork_child(move || {
                let arena = Arena::attach(&Segment::attach(name).unwrap(), "heap").unwrap();
                work(&arena, i, u64::from(i), 10_000);
                0
            })
        })
        .collect();
    for child in &mut children {
        assert_eq!(child.wait(), Status::Exited(0), "{:?}", child.panic_message());
    }
    let usage = arena.usage().unwrap();
    assert_eq!((usage.used, usage.blocks, usage.owners.len()), (0, 0, 0), "{usage:?}");
}

#[test]
fn results_are_handed_to_the_master_by_workers_that_are_killed_afterwards() {
    let _watchdog = Watchdog::new(LIMIT);
    let contents = Contents::new().arena("heap", 4 << 20).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let arena = Arena::create_in(&segment, "heap").unwrap();
    let master = arena.owner().unwrap();
    for worker in 0..8u8 {
        let (mut read, mut write) = std::io::pipe().unwrap();
        let mut child = fork_child(|| {
            for len in [10, 5000, 200_000] {
                let mut block = arena.alloc(len).unwrap();
                block.write(0, &vec![worker; len]).unwrap();
                let offset = block.hand_over(master).unwrap();
                std::io::Write::write_all(&mut write, &offset.to_le_bytes()).unwrap();
            }
            std::mem::forget(arena.alloc(1000).unwrap());
            loop {
                std::thread::park();
            }
        });
        let mut results = vec![];
        for len in [10, 5000, 200_000] {
            let mut offset = [0; 8];
            std::io::Read::read_exact(&mut read, &mut offset).unwrap();
            results.push((u64::from_le_bytes(offset), len));
        }
        child.kill(libc::SIGKILL);
        assert_eq!(child.wait(), Status::Killed(libc::SIGKILL), "{:?}", child.panic_message());
        assert!(arena.reclaim().unwrap().blocks <= 1);
        for (offset, len) in results {
            let block = arena.adopt(offset, master).unwrap();
            assert!(block.to_vec()[..len].iter().all(|byte| *byte == worker));
        }
        assert_eq!(arena.usage().unwrap().used, 0);
    }
}
