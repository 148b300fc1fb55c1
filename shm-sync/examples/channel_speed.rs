//! What messages between two processes cost, and a round trip: `cargo run --release -p shm-sync --example channel_speed [PRODUCERS] [CONSUMERS]`.
//!
//! The receivers check what they get. Beside the throughput stands the longest time that a producer or consumer waited, and the smallest share of
//! the work that one of them got.

#![allow(unsafe_code, reason = "fork, and a page of results")]

use shm_sync::{ByteChannel, Channel, ErrorKind, Primitive};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LEN: usize = 64;
const RUN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;

/// What a side did: messages, longest wait in nanoseconds.
type Cells = [[AtomicU64; 2]; 32];

fn cells() -> &'static Cells {
    // SAFETY: a new, zero, shared page at an address that the kernel chooses; never unmapped.
    unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        &*page.cast::<Cells>()
    }
}

fn fork(run: impl FnOnce()) -> i32 {
    // SAFETY: this program has one thread; the child ends by _exit.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            run();
            libc::_exit(0);
        }
        pid
    }
}

fn wait(pid: i32) {
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
}

/// Repeats until `step` says no; counts, and notes the longest time between two clock readings.
fn work([done, longest]: &[AtomicU64; 2], mut step: impl FnMut() -> bool) {
    let (mut count, mut worst, mut last) = (0u64, 0, Instant::now());
    'all: loop {
        for _ in 0..16 {
            if !step() {
                break 'all;
            }
            count += 1;
        }
        let now = Instant::now();
        worst = worst.max((now - last).as_nanos() as u64);
        last = now;
    }
    done.store(count, Relaxed);
    longest.store(worst, Relaxed);
}

fn flow(producers: usize, consumers: usize, capacity: usize) {
    let mut rounds: Vec<[f64; 5]> = (0..ROUNDS)
        .map(|_| {
            let channel = ByteChannel::anonymous(capacity).unwrap();
            let (sent, received) = (cells(), cells());
            let start = Instant::now();
            let takers: Vec<_> = received[..consumers]
                .iter()
                .map(|cell| {
                    fork(|| {
                        work(cell, || match channel.recv_with(|bytes| bytes[0] == 7 && bytes.len() == LEN) {
                            Ok(right) => right,
                            Err(error) if error.kind() == ErrorKind::Closed => false,
                            Err(error) => panic!("{error}"),
                        })
                    })
                })
                .collect();
            let givers: Vec<_> = sent[..producers]
                .iter()
                .map(|cell| {
                    fork(|| {
                        let mut message = [7u8; LEN];
                        let mut left = 0u32;
                        work(cell, || {
                            message[1] = message[1].wrapping_add(1);
                            channel.send(&message).unwrap();
                            left += 1;
                            !left.is_multiple_of(64) || start.elapsed() < RUN
                        })
                    })
                })
                .collect();
            givers.into_iter().for_each(wait);
            channel.close().unwrap();
            takers.into_iter().for_each(wait);
            let elapsed = start.elapsed().as_secs_f64();
            let count = |cells: &Cells| -> u64 { cells.iter().map(|cell| cell[0].load(Relaxed)).sum() };
            assert!(count(sent).abs_diff(count(received)) <= producers as u64);
            let side = |cells: &[[AtomicU64; 2]]| {
                let total: u64 = cells.iter().map(|cell| cell[0].load(Relaxed)).sum();
                let least = cells.iter().map(|cell| cell[0].load(Relaxed)).min().unwrap_or(0);
                let longest = cells.iter().map(|cell| cell[1].load(Relaxed)).max().unwrap_or(0);
                (longest as f64 / 1e6, least as f64 * cells.len() as f64 / total as f64)
            };
            let (out, into) = (side(&sent[..producers]), side(&received[..consumers]));
            [count(sent) as f64 / elapsed / 1e6, out.0, out.1, into.0, into.1]
        })
        .collect();
    rounds.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let [rate, ..] = rounds[ROUNDS / 2];
    let worst = |i: usize| rounds.iter().map(|round| round[i]).fold(0.0, f64::max);
    let least = |i: usize| rounds.iter().map(|round| round[i]).fold(1.0, f64::min);
    println!(
        "{producers} to {consumers}, {capacity:>8} bytes: {rate:>6.2} million/s ({:.2} to {:.2}); longest wait {:>6.2} ms out, {:>6.2} ms in; \
         least share {:.2} out, {:.2} in",
        rounds[0][0],
        rounds[ROUNDS - 1][0],
        worst(1),
        worst(3),
        least(2),
        least(4)
    );
}

fn alone() {
    let channel = ByteChannel::anonymous(4096).unwrap();
    let best = (0..100)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..100_000 {
                channel.send(&[1; LEN]).unwrap();
                assert!(channel.recv_with(|bytes| bytes[5] == 1).unwrap());
            }
            start.elapsed().as_secs_f64() * 1e9 / 100_000.0
        })
        .fold(f64::INFINITY, f64::min);
    println!("send + receive, one thread: {best:.1} ns");
}

fn round_trip() {
    const TRIPS: u32 = 100_000;
    let (there, back) = (Channel::<u64>::anonymous(16).unwrap(), Channel::<u64>::anonymous(16).unwrap());
    let child = fork(|| {
        while let Ok(value) = there.recv() {
            back.send(value + 1).unwrap();
        }
    });
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        for trip in 0..u64::from(TRIPS) {
            there.send(trip).unwrap();
            assert_eq!(back.recv().unwrap(), trip + 1);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(TRIPS));
    }
    there.close().unwrap();
    wait(child);
    println!("round trip between two processes: {best:.0} ns");
}

fn main() {
    let number = |index: usize| std::env::args().nth(index).and_then(|n| n.parse().ok());
    alone();
    round_trip();
    let (producers, consumers) = (number(1).unwrap_or(1), number(2).unwrap_or(1));
    for capacity in [256, 1 << 12, 1 << 16, 1 << 20] {
        flow(producers, consumers, capacity);
    }
}
