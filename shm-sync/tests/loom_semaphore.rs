//! The semaphore under loom: permits are neither lost nor made, whoever dies while waiting or releasing.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_semaphore --release`.
//! Tried: without the passing on in `Gate::wait`, the second of two who wait sleeps for ever, and loom says so.
#![cfg(loom)]
#![allow(unsafe_code, reason = "loom's cell is what checks that sharing it is right")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use shm_sync::model::gate::Death;
use shm_sync::model::semaphore::Semaphore;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    model_with(3, threads);
}

/// With fewer preemptions, where four threads would take minutes.
fn model_with(preemptions: usize, threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(threads);
}

fn spawn(semaphore: &Arc<Semaphore>, run: impl FnOnce(&Semaphore) + 'static) -> thread::JoinHandle<()> {
    let semaphore = semaphore.clone();
    thread::spawn(move || run(&semaphore))
}

/// A semaphore with one permit excludes, and orders what is done under it.
#[test]
fn one_permit_is_a_lock() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1, 1));
        let value = Arc::new(loom::cell::Cell::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let value = SendCell(value.clone());
                spawn(&semaphore, move |semaphore| {
                    let value = value;
                    semaphore.acquire();
                    value.0.set(value.0.get() + 1);
                    assert!(semaphore.release(1));
                })
            })
            .collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((semaphore.available(), value.get()), (1, 2));
    });
}

/// A cell for the threads that take turns with the permit; loom reports it if they do not.
struct SendCell(Arc<loom::cell::Cell<u32>>);

// SAFETY: whoever reaches the cell has the only permit; loom panics if two threads reach it unordered.
unsafe impl Send for SendCell {}

#[test]
fn permits_given_at_once_reach_all_who_wait() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0, 3));
        let waiters: Vec<_> = (0..2).map(|_| spawn(&semaphore, Semaphore::acquire)).collect();
        assert!(semaphore.release(2));
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(semaphore.available(), 0);
    });
}

/// Of a release that does not fit nothing is given, and nobody gets in more often than the bound says.
#[test]
fn the_bound_holds() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0, 1));
        let refused = Arc::new(AtomicU32::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let refused = refused.clone();
                spawn(&semaphore, move |semaphore| {
                    refused.fetch_add(u32::from(!semaphore.release(1)), Relaxed);
                })
            })
            .collect();
        let taken = u32::from(semaphore.try_acquire());
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(taken + semaphore.available() + refused.load(Relaxed), 2);
    });
}

#[test]
fn a_killed_waiter_and_one_that_gives_up_take_nothing_with_them() {
    model_with(2, || {
        let semaphore = Arc::new(Semaphore::new(0, 3));
        let others = [
            spawn(&semaphore, Semaphore::acquire),
            spawn(&semaphore, Semaphore::die_woken),
            spawn(&semaphore, |semaphore| {
                if semaphore.acquire_or_give_up() {
                    assert!(semaphore.release(1));
                }
            }),
        ];
        assert!(semaphore.release(1));
        semaphore.recheck();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(semaphore.available(), 0);
    });
}

/// One of two releases is killed half-way: both permits are there, and both who wait get one, in the end by the re-check.
#[test]
fn a_release_that_is_killed_still_gives() {
    for death in [Death::Changed, Death::Swapped] {
        model_with(2, move || {
            let semaphore = Arc::new(Semaphore::new(0, 3));
            let waiters = [(); 2].map(|()| spawn(&semaphore, Semaphore::acquire));
            semaphore.release_and_die(death);
            assert!(semaphore.release(1));
            semaphore.recheck();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
            assert_eq!(semaphore.available(), 0);
        });
    }
}
