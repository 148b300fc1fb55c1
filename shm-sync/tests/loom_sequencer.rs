//! The sequencer under loom: waiters of several turns, holders that die in theirs, and executors, with the kernel's part played by the model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_sequencer --release`. Loom reports a thread that sleeps for ever: a lost wake-up.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::sequencer::{Death, Sequencer};

fn model(preemptions: usize, threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(threads);
}

fn spawn<T: 'static>(
    order: &Arc<Sequencer>,
    run: impl FnOnce(&Sequencer) -> T + 'static,
) -> thread::JoinHandle<T> {
    let order = order.clone();
    thread::spawn(move || run(&order))
}

/// Takes a turn and ends it; false: somebody has died in one.
fn pass(order: &Sequencer, turn: u64, tid: u32) -> bool {
    let taken = order.take(turn, tid);
    if taken {
        order.end(turn, tid);
    }
    taken
}

#[test]
fn turns_come_in_order_and_nobody_is_left_asleep() {
    model(2, || {
        let order = Arc::new(Sequencer::default());
        let other = spawn(&order, |order| assert!(pass(order, 1, 2)));
        assert!(pass(&order, 0, 1));
        assert!(pass(&order, 2, 1));
        other.join().unwrap();
        assert_eq!(order.current(), (3, false));
    });
}

#[test]
fn the_end_of_a_turn_reaches_the_next_one_past_later_ones() {
    model(1, || {
        let order = Arc::new(Sequencer::default());
        let others =
            [1u64, 2].map(|turn| spawn(&order, move |order| assert!(pass(order, turn, 1 + turn as u32))));
        assert!(pass(&order, 0, 1));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(order.current(), (3, false));
    });
}

/// Somebody dies about to begin its turn, or in it: all who wait are told, and an executor sets it going again. Whoever dies when the turn is over
/// disturbs nobody. (Where the kernel does not know of a sleeper, the re-check does.)
#[test]
fn a_death_is_told_to_all_who_wait() {
    for death in [Death::Taken, Death::Begun, Death::GivenUp] {
        model(1, move || {
            let order = Arc::new(Sequencer::default());
            let victim = spawn(&order, move |order| {
                order.die_in(0, 1, death);
                order.recheck();
            });
            let other = spawn(&order, |order| pass(order, 2, 2));
            let mine = pass(&order, 1, 3);
            assert_eq!(mine, death == Death::GivenUp);
            victim.join().unwrap();
            if death == Death::GivenUp {
                assert!(other.join().unwrap());
                return;
            }
            assert!(!other.join().unwrap());
            assert_eq!(order.current(), (0, true));
            order.take_over(0, 3);
            assert!(pass(&order, 1, 3));
        });
    }
}

/// Those who sleep while somebody has a turn need no re-check: the kernel wakes one of them, and that one all the others.
#[test]
fn the_kernel_tells_those_who_sleep_during_a_turn() {
    model(2, || {
        let order = Arc::new(Sequencer::default());
        assert!(order.take(0, 1));
        let others = [1u64, 2].map(|turn| spawn(&order, move |order| pass(order, turn, 1 + turn as u32)));
        order.die(1);
        assert!(others.into_iter().all(|other| !other.join().unwrap()));
    });
}

/// The one that is woken for its turn is killed before it runs; the others are told nothing, and an executor passes its turn over.
#[test]
fn a_woken_waiter_that_is_killed_jams_nobody() {
    model(1, || {
        let order = Arc::new(Sequencer::default());
        assert!(order.take(0, 1));
        let victim = spawn(&order, |order| order.die_woken(2, 2));
        let other = spawn(&order, |order| assert!(pass(order, 1, 3)));
        order.end(0, 1);
        other.join().unwrap();
        victim.join().unwrap();
        assert_eq!(order.current(), (2, false));
        order.take_over(2, 1);
    });
}
