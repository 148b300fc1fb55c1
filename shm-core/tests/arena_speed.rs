//! What allocating and freeing costs, beside the C library's malloc. Run by hand:
//! `cargo test --release -p shm-core --test arena_speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::Instant;

use shm_core::{Arena, Contents, SegmentOptions};

const ROUNDS: u32 = 200_000;

fn nanoseconds(mut operation: impl FnMut()) -> f64 {
    // The best of several runs: what disturbs makes it slower, never faster.
    let runs = (0..7).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| operation());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    runs.fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "measures; says nothing about right or wrong"]
fn alloc_and_free() {
    let contents = Contents::new().arena("heap", 64 << 20).unwrap();
    let segment = SegmentOptions::new().prefault(true).create_anonymous(&contents).unwrap();
    let arena = Arena::create_in(&segment, "heap").unwrap();
    for len in [64usize, 1000, 30_000, 65_536, 1 << 20] {
        let ours = nanoseconds(|| drop(black_box(arena.alloc(len).unwrap())));
        let malloc = nanoseconds(|| drop(black_box(Vec::<u8>::with_capacity(len))));
        println!("{len:>8} bytes, one at a time: arena {ours:8.1} ns, malloc {malloc:8.1} ns");
    }
    for len in [64usize, 1000, 10_000] {
        let batch = 500;
        let ours = nanoseconds_of_batch(batch, || {
            let blocks: Vec<_> = (0..batch).map(|_| arena.alloc(len).unwrap()).collect();
            drop(black_box(blocks));
        });
        let malloc = nanoseconds_of_batch(batch, || {
            let blocks: Vec<_> = (0..batch).map(|_| Vec::<u8>::with_capacity(len)).collect();
            drop(black_box(blocks));
        });
        println!("{len:>8} bytes, {batch} at a time: arena {ours:8.1} ns, malloc {malloc:8.1} ns");
    }
}

fn nanoseconds_of_batch(batch: u32, mut operation: impl FnMut()) -> f64 {
    let runs = (0..7).map(|_| {
        let start = Instant::now();
        (0..200).for_each(|_| operation());
        start.elapsed().as_nanos() as f64 / f64::from(200 * batch)
    });
    runs.fold(f64::INFINITY, f64::min)
}
