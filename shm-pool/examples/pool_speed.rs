//! Measures what the executor itself costs, beside the plain alternatives: `cargo run --release -p shm-pool --example pool_speed`.
//!
//! The benches of the whole job (integral, word count) are in `shm-bench`; this prints the figures of single mechanisms.
#![allow(unsafe_code, reason = "forks by hand, to compare")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, MapReduce};

const WORKERS: usize = 2;

fn main() {
    let pool = MapReduce::new().workers(WORKERS).threads_ok();
    say("fork + _exit + wait, 2 children, bare", best(50, bare_forks));
    say("map of 2 items", best(50, || pool.map(0..2u64, |_, i| i).map(drop).unwrap()));
    say(
        "map of 100 000 items without results",
        best(20, || {
            pool.map(0..100_000u64, |_, i| {
                black_box(i);
            })
            .map(drop)
            .unwrap()
        }),
    );
    say("map of 100 000 items", best(20, || pool.map(0..100_000u64, |_, i| i).map(drop).unwrap()));
    say("map of 10 million items", best(5, || pool.map(0..10_000_000u64, |_, i| i).map(drop).unwrap()));
    say(
        "map_plain of 100 000 items",
        best(20, || pool.map_plain(0..100_000u64, |_, i| i).map(drop).unwrap()),
    );
    say(
        "map_plain of 10 million items",
        best(5, || pool.map_plain(0..10_000_000u64, |_, i| i).map(drop).unwrap()),
    );
    let serial = MapReduce::new().workers(0);
    say("the same in the master", best(5, || serial.map(0..10_000_000u64, |_, i| i).map(drop).unwrap()));

    let mut array = SharedArray::<f64, _>::zeros(Anonymous, 10).unwrap();
    let mut alone = array.exclusive().unwrap();
    let mut crew = pool.crew(&mut alone, 1, |_, _, chunk: &mut [f64]| chunk[0] += 1.0).unwrap();
    crew.run().unwrap();
    say("run of a crew over 10 chunks", median(2000, || crew.run().map(drop).unwrap()));
    drop(crew);
    for workers in [1, 2] {
        let mut kept = MapReduce::new().workers(workers).threads_ok().keep(|_, i: u64| i).unwrap();
        for items in [1, 10, 100, 10_000] {
            let name = format!("map of {items} items by {workers} kept workers, back to back");
            say(&name, median(2000, || kept.map(0..items).map(drop).unwrap()));
        }
        let asleep = || {
            std::thread::sleep(Duration::from_millis(2)); // they are asleep then
            let start = Instant::now();
            kept.map(0..10u64).map(drop).unwrap();
            start.elapsed()
        };
        let mut times: Vec<Duration> = std::iter::repeat_with(asleep).take(200).collect();
        times.sort_unstable();
        say(&format!("map of 10 items by {workers} kept workers that sleep"), times[100]);
    }
    let child = || pool.background(|| ()).unwrap().wait().unwrap();
    say("background call, from the main thread", best(50, child));
    say(
        "background call, from another thread",
        std::thread::scope(|scope| scope.spawn(|| best(50, child)).join().unwrap()),
    );

    say("noticing a killed worker (without the grace of the other)", best(20, || killed(1)));
    integral();
    // Last, because rayon's threads stay.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
    let collect = |n: u64| threads.install(|| (0..n).into_par_iter().map(|i| i).collect::<Vec<u64>>());
    say("rayon, 10 million items", best(5, || drop(black_box(collect(10_000_000)))));
    say("rayon, 100 000 items", best(20, || drop(black_box(collect(100_000)))));
}

fn bare_forks() {
    let children: [i32; WORKERS] = std::array::from_fn(|_| {
        // SAFETY: the child only calls `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: no preconditions.
            unsafe { libc::_exit(0) };
        }
        pid
    });
    for pid in children {
        // SAFETY: a null status is allowed.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

fn killed(workers: usize) {
    let pool = MapReduce::new().workers(workers).threads_ok();
    let error = pool
        .map([()], |_, ()| {
            // SAFETY: no memory is involved.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died);
}

/// One GiB in chunks of 8 MiB, touched before.
fn integral() {
    const CHUNK: usize = 1 << 20;
    let mut array = SharedArray::<f64, _>::zeros(Anonymous, 128 << 20).unwrap();
    array.segment().prefault().unwrap();
    let mut alone = array.exclusive().unwrap();
    let pool = MapReduce::new().workers(WORKERS).threads_ok();
    let work = |offset: usize, chunk: &mut [f64]| {
        chunk.iter_mut().enumerate().for_each(|(i, x)| *x = (offset + i) as f64 * 1e-8);
        chunk.iter().sum::<f64>()
    };
    say(
        "integral of 1 GiB, workers forked anew",
        best(5, || {
            pool.map_chunks(&mut alone, CHUNK, |_, at, chunk: &mut [f64]| work(at, chunk)).map(drop).unwrap()
        }),
    );
    let mut crew = pool.crew(&mut alone, CHUNK, |_, at, chunk: &mut [f64]| work(at, chunk)).unwrap();
    say("integral of 1 GiB, crew", best(10, || crew.run().map(drop).unwrap()));
    drop(crew);
    let all = alone.as_mut_slice().unwrap();
    let threads = |all: &mut [f64]| {
        std::thread::scope(|scope| {
            let mut offset = 0;
            for part in all.chunks_mut(64 << 20) {
                let at = offset;
                offset += part.len();
                scope.spawn(move || {
                    part.chunks_mut(CHUNK).enumerate().map(|(i, c)| work(at + i * CHUNK, c)).sum::<f64>()
                });
            }
        });
    };
    say("integral of 1 GiB, threads", best(5, || threads(all)));
}

fn times(rounds: usize, mut work: impl FnMut()) -> Vec<Duration> {
    work();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn best(rounds: usize, work: impl FnMut()) -> Duration {
    times(rounds, work)[0]
}

fn median(rounds: usize, work: impl FnMut()) -> Duration {
    times(rounds, work)[rounds / 2]
}

fn say(what: &str, time: Duration) {
    println!("{:>12.1} us  {what}", time.as_secs_f64() * 1e6);
}
