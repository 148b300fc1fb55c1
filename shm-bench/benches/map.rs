//! What the executor itself costs: maps of many tiny items, a kept crew, the news of a death, beside rayon and bare forks.
//!
//! The pairs of names and what is to be reached stand in `reach.json`. Bench only: none of this is a test with a time limit.

#![allow(unsafe_code, reason = "a worker kills itself")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use shm_bench::processes::{fork_and_wait, kill_and_wait};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{Exit, MapReduce};

const WORKERS: usize = 2;

fn threads() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("two threads")
}

fn pool() -> MapReduce {
    MapReduce::new().workers(WORKERS).threads_ok()
}

fn total_of(rounds: u64, mut once: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| once()).sum()
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The allowance for a map of empty items: half as much again as bare forks, and 5 ns for each.
fn empty_items(c: &mut Criterion) {
    const ITEMS: u64 = 100_000;
    const EACH: Duration = Duration::from_nanos(5);
    let map = || {
        let empty = |_: &shm_pool::Worker, i| {
            black_box(i);
        };
        let found = pool().map(0..ITEMS, empty).expect("a run");
        assert_eq!(found.len() as u64, ITEMS);
    };
    let mut group = c.benchmark_group("map_100k_empty");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("ours", |b| b.iter(map));
    group.bench_function("floor", |b| b.iter(|| fork_and_wait(WORKERS)));
    group.bench_function("alternative", |b| {
        b.iter_custom(|rounds| {
            let forks = total_of(rounds, || time(|| fork_and_wait(WORKERS)));
            forks.mul_f64(1.5) + EACH * ITEMS as u32 * rounds as u32
        });
    });
    group.finish();
}

fn tiny_items(c: &mut Criterion) {
    const ITEMS: u64 = 10_000_000;
    let right =
        |found: &[u64]| found.len() as u64 == ITEMS && found.iter().zip(0..).all(|(r, i)| *r == i ^ 5);
    let plain = || pool().map_plain(0..ITEMS, |_worker, i| i ^ 5).expect("a run");
    let encoded = || pool().map(0..ITEMS, |_worker, i| i ^ 5).expect("a run");
    assert!(right(&plain()) && right(&encoded()));
    let mut group = c.benchmark_group("map_10m_tiny");
    group.sample_size(20).throughput(Throughput::Elements(ITEMS));
    group.bench_function("ours", |b| b.iter(plain));
    group.bench_function("encoded", |b| b.iter(encoded));
    // Last, because these threads stay until the end of this function.
    let threads = threads();
    let with_rayon = || threads.install(|| (0..ITEMS).into_par_iter().map(|i| i ^ 5).collect::<Vec<u64>>());
    assert!(right(&with_rayon()));
    group.bench_function("alternative", |b| b.iter(with_rayon));
    group.finish();
}

/// From the moment before a worker kills itself to the moment when the error is there and all others have ended.
fn killed_worker(c: &mut Criterion) {
    let at = SharedArray::<u64, _>::zeros(Anonymous, ()).expect("a page");
    let begin = Instant::now();
    let notice = || {
        let error = pool()
            .map(0..100_000u32, |_worker, i| {
                if i == 1000 {
                    at.set((), begin.elapsed().as_nanos() as u64);
                    // SAFETY: no memory is involved.
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                }
                // Work of some microseconds, so that the other one is busy and much is left to do.
                (0..1000u32).fold(i, |sum, x| black_box(sum ^ x))
            })
            .expect_err("a death");
        let now = begin.elapsed();
        assert_eq!((error.exit(), error.item()), (Some(Exit::Signal(libc::SIGKILL)), Some(1000)));
        now - Duration::from_nanos(at.get(()))
    };
    let mut group = c.benchmark_group("killed_worker");
    group.sample_size(20);
    group.bench_function("ours", |b| b.iter_custom(|rounds| total_of(rounds, notice)));
    group.bench_function("alternative", |b| b.iter_custom(|rounds| total_of(rounds, kill_and_wait)));
    group.finish();
}

fn kept_workers(c: &mut Criterion) {
    let mut array = SharedArray::<u64, _>::zeros(Anonymous, 10).expect("a page");
    let mut alone = array.exclusive().expect("nobody else has it");
    let mut crew = pool()
        .crew(&mut alone, 1, |_worker, offset, chunk: &mut [u64]| {
            chunk[0] += 1;
            (offset, chunk[0])
        })
        .expect("two workers");
    let mut rounds = 0;
    let mut group = c.benchmark_group("crew_10");
    group.bench_function("ours", |b| {
        b.iter(|| {
            let found = crew.run().expect("a run");
            rounds += 1;
            assert!(found.iter().enumerate().all(|(i, r)| *r == (i, rounds)));
        });
    });
    drop(crew);
    let threads = threads();
    let mut counts = [0u64; 10];
    group.bench_function("alternative", |b| {
        b.iter(|| {
            let count = |(i, x): (usize, &mut u64)| {
                *x += 1;
                (i, *x)
            };
            threads.install(|| counts.par_iter_mut().enumerate().map(count).collect::<Vec<_>>())
        });
    });
    group.finish();
}

/// A map whose items are new each time, over workers that were forked once; its alternative is the crew's.
fn kept_map(c: &mut Criterion) {
    let mut kept = pool().keep(|_worker, item: u64| 3 * item).expect("two workers");
    let mut from = 0;
    c.bench_function("kept_10/ours", |b| {
        b.iter(|| {
            from += 10;
            let found = kept.map(from..from + 10).expect("a map");
            assert!(found.iter().zip(from..).all(|(found, item)| *found == 3 * item));
        });
    });
    drop(kept);
    let threads = threads();
    c.bench_function("kept_10/alternative", |b| {
        b.iter(|| {
            from += 10;
            let all: Vec<u64> =
                threads.install(|| (from..from + 10).into_par_iter().map(|item| 3 * item).collect());
            assert_eq!(all.len(), 10);
        });
    });
}

criterion_group!(benches, empty_items, killed_worker, tiny_items, kept_workers, kept_map);
criterion_main!(benches);
