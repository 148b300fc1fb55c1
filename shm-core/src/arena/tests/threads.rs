//! Real threads, each a "process" with an owner and hints of its own, over the same memory.

use std::sync::Barrier;
use std::thread;

use shm_testkit::Numbers;

use super::*;

#[test]
fn blocks_are_never_shared() {
    const THREADS: u64 = 4;
    let rounds = if cfg!(miri) { 20 } else { 20_000 };
    // So few chunks that claims fail, slabs change classes and runs collide.
    let memory = Memory::with_chunks(12);
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (memory, start) = (&memory, &start);
            scope.spawn(move || {
                let process = Process::new(memory);
                let mut numbers = Numbers::new(seed);
                let mut held: Vec<(Place, u8)> = Vec::new();
                start.wait();
                for round in 0..rounds {
                    if held.len() < 8 && numbers.below(2) == 0 {
                        let len = match numbers.below(8) {
                            0 => numbers.below(4 * CHUNK),
                            1..4 => 2049 + numbers.below(30_000),
                            _ => numbers.below(2000),
                        };
                        if let Some(place) = process.claim(len) {
                            let byte = (round as u8) ^ (seed as u8) << 6;
                            process.fill(place, byte);
                            held.push((place, byte));
                        }
                    } else if !held.is_empty() {
                        let (place, byte) = held.swap_remove(numbers.below(held.len() as u64) as usize);
                        assert!(process.is_filled(place, byte), "seed {seed}, round {round}");
                        assert!(process.free(place), "seed {seed}, round {round}");
                    }
                    if round % 64 == 0 {
                        process.reclaim();
                    }
                }
                held.into_iter().for_each(|(place, _)| assert!(process.free(place)));
                process.heap.forget(process.me);
                process.die();
            });
        }
    });
    let process = Process::new(&memory);
    assert_eq!(live(&process.heap), (vec![], 0));
    assert_eq!(process.reclaim(), Reclaimed::default());
}

/// Owners come and go, leaving blocks behind, while others reclaim them.
#[test]
fn the_dead_are_reclaimed_under_way() {
    let rounds = if cfg!(miri) { 4 } else { 300 };
    let memory = Memory::with_chunks(24);
    thread::scope(|scope| {
        for seed in 1..=3 {
            let memory = &memory;
            scope.spawn(move || {
                let mut numbers = Numbers::new(seed);
                for _ in 0..rounds {
                    let process = Process::new(memory);
                    let mine: Vec<_> =
                        (0..6).filter_map(|_| process.claim(numbers.below(3 * CHUNK))).collect();
                    mine.iter().for_each(|place| process.fill(*place, seed as u8));
                    process.reclaim();
                    assert!(mine.iter().all(|place| process.is_filled(*place, seed as u8)));
                    if let Some(place) = mine.first() {
                        assert!(process.free(*place));
                    }
                    process.die();
                }
            });
        }
    });
    let process = Process::new(&memory);
    process.reclaim();
    assert_eq!(live(&process.heap), (vec![], 0));
}
