//! The latch under loom: the last arrival opens it for all, whoever dies meanwhile.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_latch --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use shm_sync::model::gate::Death;
use shm_sync::model::latch::Latch;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Four threads: a third preemption would take minutes.
    builder.preemption_bound = Some(2);
    builder.check(threads);
}

fn spawn(latch: &Arc<Latch>, run: impl FnOnce(&Latch) + 'static) -> thread::JoinHandle<()> {
    let latch = latch.clone();
    thread::spawn(move || run(&latch))
}

/// Everybody arrives and waits; everybody passes and sees what all the others did before.
#[test]
fn the_last_arrival_opens_it_for_all() {
    model(|| {
        let latch = Arc::new(Latch::new(3));
        let work = Arc::new([const { 0 }; 3].map(AtomicU32::new));
        let others: Vec<_> = (1..3)
            .map(|party| {
                let work = work.clone();
                spawn(&latch, move |latch| {
                    work[party].store(1, Relaxed);
                    assert!(latch.count_down(1));
                    latch.wait();
                    assert!(work.iter().all(|done| done.load(Relaxed) == 1));
                })
            })
            .collect();
        work[0].store(1, Relaxed);
        assert!(latch.count_down(1));
        latch.wait();
        assert!(work.iter().all(|done| done.load(Relaxed) == 1));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(latch.remaining(), 0);
    });
}

#[test]
fn it_is_never_counted_below_zero() {
    model(|| {
        let latch = Arc::new(Latch::new(3));
        let refused = Arc::new(AtomicU32::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let refused = refused.clone();
                spawn(&latch, move |latch| {
                    refused.fetch_add(u32::from(!latch.count_down(2)), Relaxed);
                })
            })
            .collect();
        assert!(latch.count_down(1));
        latch.wait();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((latch.remaining(), refused.load(Relaxed)), (0, 1));
    });
}

#[test]
fn a_killed_waiter_jams_nobody() {
    model(|| {
        let latch = Arc::new(Latch::new(1));
        let others =
            [spawn(&latch, Latch::wait), spawn(&latch, Latch::die_woken), spawn(&latch, Latch::wait)];
        assert!(latch.count_down(1));
        latch.recheck();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// The last to arrive dies half-way: all pass, in the end by the re-check.
#[test]
fn a_killed_last_arrival_has_everybody_woken() {
    for death in [Death::Changed, Death::Swapped] {
        model(move || {
            let latch = Arc::new(Latch::new(1));
            let waiters: Vec<_> = (0..2).map(|_| spawn(&latch, Latch::wait)).collect();
            latch.count_down_and_die(death);
            latch.recheck();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}
