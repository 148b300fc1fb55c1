//! The barrier under loom: arrivals, sleeps, and deaths before, in and after an arrival.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_barrier --release`. Loom reports a race on the values (somebody got ahead, or an
//! ordering is too weak) and a thread that sleeps for ever.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::barrier::Barrier;

fn model<const N: usize>(preemptions: usize, threads: impl Fn(Arc<Barrier<N>>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let barrier = Arc::new(Barrier::default());
        (0..N).for_each(|seat| barrier.join(seat));
        threads(barrier);
    });
}

fn party<const N: usize>(
    barrier: &Arc<Barrier<N>>,
    seat: usize,
    run: impl FnOnce(&Barrier<N>, usize) + 'static,
) -> thread::JoinHandle<()> {
    let barrier = barrier.clone();
    thread::spawn(move || run(&barrier, seat))
}

/// Two rounds: what was written before the first is read after it, and may be written again after the second.
fn two_rounds<const N: usize>(barrier: &Barrier<N>, seat: usize) {
    for value in 1..3 {
        barrier.write(seat, value);
        barrier.wait(seat).expect("nobody breaks it");
        assert_eq!(barrier.read(), [value; N]);
        barrier.wait(seat).expect("nobody breaks it");
    }
    barrier.leave(seat);
}

#[test]
fn nobody_gets_ahead_of_one() {
    model::<2>(3, |barrier| {
        let other = party(&barrier, 1, two_rounds);
        two_rounds(&barrier, 0);
        other.join().unwrap();
    });
}

#[test]
fn nobody_gets_ahead_of_two() {
    model::<3>(2, |barrier| {
        let round = |barrier: &Barrier<3>, seat| {
            barrier.write(seat, 1);
            barrier.wait(seat).expect("nobody breaks it");
            assert_eq!(barrier.read(), [1; 3]);
        };
        let others = [party(&barrier, 1, round), party(&barrier, 2, round)];
        round(&barrier, 0);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_death_before_arriving_breaks_it_for_all() {
    model::<3>(2, |barrier| {
        let waits = |barrier: &Barrier<3>, seat| assert_eq!(barrier.wait(seat), None);
        let others = [party(&barrier, 1, waits), party(&barrier, 2, waits)];
        barrier.die(0);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// Two die one after the other, the second perhaps just when the kernel had woken it for the first.
#[test]
fn deaths_wake_each_others_watchers() {
    model::<3>(2, |barrier| {
        let waits = party(&barrier, 1, |barrier, seat| assert_eq!(barrier.wait(seat), None));
        let dies = party(&barrier, 2, |barrier, seat| barrier.die_arrived(seat));
        barrier.die(0);
        waits.join().unwrap();
        dies.join().unwrap();
    });
}

/// The last one is killed when it has completed the round and woken nobody: all get through, or are told, and nobody sleeps on.
#[test]
fn a_death_right_after_completing() {
    model::<3>(2, |barrier| {
        let waits = |barrier: &Barrier<3>, seat| {
            barrier.wait(seat);
        };
        let others = [party(&barrier, 1, waits), party(&barrier, 2, waits)];
        barrier.die_arrived(0);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn an_abort_reaches_all() {
    model::<3>(2, |barrier| {
        let waits = |barrier: &Barrier<3>, seat| assert_eq!(barrier.wait(seat), None);
        let others = [party(&barrier, 1, waits), party(&barrier, 2, waits)];
        barrier.abort();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
