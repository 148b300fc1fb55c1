//! The condition variable under loom: every interleaving of waiters, notifiers, deaths and deadlines, around a mutex that is taken for granted.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_condvar --release`. Loom reports a thread that sleeps for ever: a lost wake-up.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::condvar::Store;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(threads);
}

fn spawn<T: 'static>(store: &Arc<Store>, run: impl FnOnce(&Store) -> T + 'static) -> thread::JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || run(&store))
}

#[test]
fn a_notification_reaches_one_that_is_about_to_sleep() {
    model(|| {
        let store = Arc::new(Store::default());
        let waiter = spawn(&store, Store::consume);
        store.add(1);
        store.notify_one();
        waiter.join().unwrap();
        assert_eq!(store.items(), 0);
    });
}

#[test]
fn two_notifications_reach_two() {
    model(|| {
        let store = Arc::new(Store::default());
        let waiters = [spawn(&store, Store::consume), spawn(&store, Store::consume)];
        for _ in 0..2 {
            store.add(1);
            store.notify_one();
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(store.items(), 0);
    });
}

#[test]
fn a_notification_for_all_reaches_all() {
    model(|| {
        let store = Arc::new(Store::default());
        let waiters = [spawn(&store, Store::consume), spawn(&store, Store::consume)];
        store.add(2);
        store.notify_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(store.items(), 0);
    });
}

/// One waits, is notified, and others come to wait and are notified: the first one goes, whoever is faster.
#[test]
fn late_waiters_leave_the_early_one_its_notification() {
    model(|| {
        let store = Arc::new(Store::default());
        let early = store.begin().expect("there is nothing yet");
        store.notify_one();
        let late = store.begin().expect("there is nothing yet");
        let early = spawn(&store, move |store| store.notified(early));
        let late = spawn(&store, move |store| store.notified(late));
        store.notify_one();
        early.join().unwrap();
        late.join().unwrap();
    });
}

/// A waiter whose time is over, and one who waits on: the one notification is not lost between them.
#[test]
fn giving_up_takes_no_notification_along() {
    model(|| {
        let store = Arc::new(Store::default());
        let impatient = spawn(&store, Store::consume_or_give_up);
        let patient = spawn(&store, Store::consume);
        store.add(1);
        store.notify_one();
        if impatient.join().unwrap() {
            store.add(1);
            store.notify_one();
        }
        patient.join().unwrap();
    });
}

/// A waiter is killed when it has been let go: the other one gets the notification, by looking again.
#[test]
fn a_woken_waiter_that_is_killed_jams_nobody() {
    model(|| {
        let store = Arc::new(Store::default());
        let doomed = store.begin().expect("there is nothing yet");
        let victim = spawn(&store, move |store| store.die_woken(doomed));
        let waiter = spawn(&store, Store::consume);
        store.add(1);
        store.notify_one();
        waiter.join().unwrap();
        assert_eq!(store.items(), 0);
        // If the waiter was first, the victim is still there.
        store.notify_all();
        victim.join().unwrap();
    });
}
