//! What a lock and unlock costs, beside glibc's process-shared mutexes in the same run: alone, and with processes contending.
//!
//! `cargo run --release -p shm-sync --example mutex_speed [PROCESSES]`. The contended runs check the counter that the lock guards, and
//! show the longest wait of any process: throughput bought with starvation is no bargain.

#![allow(unsafe_code, reason = "the C library's mutexes, for comparison, and fork")]

use shm_sync::{Mutex, Primitive};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const ALONE: u32 = 20_000_000;
const SLICES: u32 = 100;
const CONTENDED: Duration = Duration::from_millis(150);
const ROUNDS: usize = 15;

/// Something with a critical section around a shared counter.
trait Lock {
    fn count(&self);
    fn total(&self) -> u64;
}

impl Lock for Mutex<u64> {
    #[inline(always)]
    fn count(&self) {
        *self.lock().unwrap() += 1;
    }

    fn total(&self) -> u64 {
        *self.lock().unwrap()
    }
}

/// glibc's, in shared pages.
struct Pthread {
    mutex: *mut libc::pthread_mutex_t,
    counter: *mut u64,
}

impl Pthread {
    fn new(robust: bool) -> Self {
        let mutex: *mut libc::pthread_mutex_t = shared_pages().cast();
        // SAFETY: `mutex` and the counter behind it lie in fresh, zero, writable pages; the attribute object is initialised first.
        unsafe {
            let mut attributes = std::mem::zeroed();
            libc::pthread_mutexattr_init(&mut attributes);
            libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
            if robust {
                libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
            }
            assert_eq!(libc::pthread_mutex_init(mutex, &attributes), 0);
            Self { mutex, counter: mutex.cast::<u8>().add(64).cast() }
        }
    }
}

impl Lock for Pthread {
    #[inline(always)]
    fn count(&self) {
        // SAFETY: initialised in `new` and never unmapped; the counter is touched under the lock only.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(self.mutex), 0);
            *self.counter += 1;
            libc::pthread_mutex_unlock(self.mutex);
        }
    }

    fn total(&self) -> u64 {
        // SAFETY: as above; the other processes have ended.
        unsafe { *self.counter }
    }
}

fn shared_pages() -> *mut u8 {
    // SAFETY: a new mapping at an address that the kernel chooses.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(pages, libc::MAP_FAILED);
    pages.cast()
}

fn alone(lock: &impl Lock) -> f64 {
    let before = lock.total();
    let best = (0..SLICES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ALONE / SLICES {
                lock.count();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(ALONE / SLICES)
        })
        .fold(f64::INFINITY, f64::min);
    assert_eq!(lock.total() - before, u64::from(ALONE));
    best
}

/// Nanoseconds for an operation, longest wait in microseconds, and the smallest share of the work that a process got.
fn contended(lock: &impl Lock, processes: usize) -> (f64, f64, f64) {
    let before = lock.total();
    let cells: *mut [AtomicU64; 3] = shared_pages().cast();
    // SAFETY: zero pages with room for 4096 / 24 cells, never unmapped, written through atomics only.
    let cells = unsafe { std::slice::from_raw_parts(cells, processes) };
    let go = Instant::now() + Duration::from_millis(50);
    let children: Vec<i32> = cells
        .iter()
        .map(|[done, longest, _]| {
            // SAFETY: this program has one thread.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0);
            if pid == 0 {
                while Instant::now() < go {}
                let (mut count, mut worst, end) = (0u64, Duration::ZERO, go + CONTENDED);
                let mut last = Instant::now();
                // The clock is read every 64 operations only: that costs as much as an operation.
                while last < end {
                    for _ in 0..64 {
                        lock.count();
                    }
                    count += 64;
                    let now = Instant::now();
                    worst = worst.max(now - last);
                    last = now;
                }
                done.store(count, Relaxed);
                longest.store(worst.as_nanos() as u64, Relaxed);
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) };
            }
            pid
        })
        .collect();
    for pid in children {
        // SAFETY: waits for our own child; no status wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    let done: Vec<u64> = cells.iter().map(|cell| cell[0].load(Relaxed)).collect();
    let total: u64 = done.iter().sum();
    assert_eq!(lock.total() - before, total, "the lock excludes");
    let longest = cells.iter().map(|cell| cell[1].load(Relaxed)).max().unwrap_or(0);
    let fair = *done.iter().min().unwrap_or(&0) as f64 * processes as f64 / total as f64;
    (CONTENDED.as_secs_f64() * 1e9 / total as f64, longest as f64 / 1e3, fair)
}

fn main() {
    let processes = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let (ours, plain, robust) = (Mutex::anonymous(0u64).unwrap(), Pthread::new(false), Pthread::new(true));
    let alone = [alone(&ours), alone(&plain), alone(&robust)];
    // In turns, so that whatever else the machine does at a moment meets all of them.
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        rounds[0].push(contended(&ours, processes));
        rounds[1].push(contended(&plain, processes));
        rounds[2].push(contended(&robust, processes));
    }
    println!("{:<20} {:>11}   {:>11}", "", "alone", format!("{processes} processes (median, slowest round)"));
    for ((name, alone), mut rounds) in
        ["shm_sync::Mutex", "glibc pshared", "glibc robust"].iter().zip(alone).zip(rounds)
    {
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (each, slowest) = (rounds[ROUNDS / 2].0, rounds[ROUNDS - 1].0);
        let longest = rounds.iter().map(|round| round.1).fold(0.0, f64::max);
        let fair = rounds.iter().map(|round| round.2).fold(1.0, f64::min);
        println!(
            "{name:<20} {alone:>8.1} ns   {each:>6.1}, {slowest:>6.1} ns   longest wait {longest:>8.0} us   least share {fair:>4.2}"
        );
    }
}
