//! What semaphores, events and latches cost, beside glibc's process-shared semaphore in the same run: alone, and handing over between two processes.
//!
//! `cargo run --release -p shm-sync --example semaphore_speed`.

#![allow(unsafe_code, reason = "the C library's semaphores, for comparison, and fork")]

use shm_sync::{BoundedSemaphore, Event, Latch, Primitive, Semaphore};
use std::hint::black_box;
use std::time::Instant;

const ALONE: u32 = 5_000_000;
const SLICES: u32 = 100;
const TURNS: u32 = 200_000;
/// Of glibc's hand-overs, which sleep each time.
const FEW_TURNS: u32 = 5_000;
const ROUNDS: usize = 5;

/// glibc's, in shared pages.
struct Pthread(*mut libc::sem_t);

impl Pthread {
    fn new(permits: u32) -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address that the kernel chooses, initialised before use and never unmapped.
        unsafe {
            let page =
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            assert_eq!(libc::sem_init(page.cast(), 1, permits), 0);
            Self(page.cast())
        }
    }

    fn wait(&self) {
        // SAFETY: initialised in `new` and never unmapped.
        assert_eq!(unsafe { libc::sem_wait(self.0) }, 0);
    }

    fn post(&self) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_post(self.0) }, 0);
    }
}

/// Nanoseconds for an operation, in the best of many slices.
fn alone(name: &str, mut operation: impl FnMut()) {
    let best = (0..SLICES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ALONE / SLICES {
                operation();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(ALONE / SLICES)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<44} {best:>9.1} ns");
}

/// Nanoseconds for handing over once, in the median of some rounds; the longest turn of all.
fn hand_over(name: &str, turns: u32, here: impl Fn(), there: impl Fn()) {
    let (mut rounds, mut longest) = (Vec::new(), 0.0f64);
    for _ in 0..ROUNDS {
        // SAFETY: this program has one thread.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            (0..turns).for_each(|_| there());
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) };
        }
        let start = Instant::now();
        let mut last = start;
        for _ in 0..turns {
            here();
            let now = Instant::now();
            longest = longest.max((now - last).as_secs_f64() * 1e6);
            last = now;
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(turns) / 2.0);
        // SAFETY: waits for our own child; no status wanted.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    rounds.sort_by(f64::total_cmp);
    println!("{name:<44} {:>9.1} ns   longest turn {longest:>8.0} us", rounds[ROUNDS / 2]);
}

fn main() {
    let (semaphore, bounded) = (Semaphore::anonymous(1).unwrap(), BoundedSemaphore::anonymous(1).unwrap());
    let (event, latch, glibc) =
        (Event::anonymous(true).unwrap(), Latch::anonymous(1).unwrap(), Pthread::new(1));
    latch.count_down(1).unwrap();
    alone("glibc: post and wait", || {
        glibc.wait();
        glibc.post();
    });
    alone("Semaphore: acquire and drop", || drop(black_box(semaphore.acquire().unwrap())));
    alone("Semaphore: acquire, forget, release", || {
        semaphore.acquire().unwrap().forget();
        semaphore.release(1).unwrap();
    });
    alone("BoundedSemaphore: acquire and drop", || drop(black_box(bounded.acquire().unwrap())));
    alone("Event: wait, set already", || event.wait().unwrap());
    alone("Event: clear and set", || {
        event.clear().unwrap();
        event.set().unwrap();
    });
    alone("Latch: wait, open already", || latch.wait().unwrap());

    let glibc = [Pthread::new(0), Pthread::new(0)];
    hand_over(
        "glibc: handing over with two semaphores",
        FEW_TURNS,
        || {
            glibc[0].post();
            glibc[1].wait();
        },
        || {
            glibc[0].wait();
            glibc[1].post();
        },
    );
    let semaphores = [Semaphore::anonymous(0).unwrap(), Semaphore::anonymous(0).unwrap()];
    hand_over(
        "Semaphore: handing over with two",
        TURNS,
        || {
            semaphores[0].release(1).unwrap();
            semaphores[1].acquire().unwrap().forget();
        },
        || {
            semaphores[0].acquire().unwrap().forget();
            semaphores[1].release(1).unwrap();
        },
    );
    let events = [Event::anonymous(false).unwrap(), Event::anonymous(false).unwrap()];
    hand_over(
        "Event: handing over with two",
        TURNS,
        || {
            events[0].set().unwrap();
            events[1].wait().unwrap();
            events[1].clear().unwrap();
        },
        || {
            events[0].wait().unwrap();
            events[0].clear().unwrap();
            events[1].set().unwrap();
        },
    );
}
