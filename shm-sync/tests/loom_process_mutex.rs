//! The process mutex under loom: lockers, releases by strangers, and deaths that are told in two steps.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_process_mutex --release`. Loom reports a race on the value (no exclusion, or an
//! ordering that is too weak) and a thread that sleeps for ever (a lost wake-up).
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use shm_sync::model::process_mutex::Lock;

fn model(preemptions: usize, threads: impl Fn(Arc<Lock>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let lock = Arc::new(Lock::default());
        (0..3).for_each(|process| lock.claim(process));
        threads(lock);
    });
}

/// A thread that locks for a process, counts the news, adds and unlocks.
fn locker(lock: &Arc<Lock>, news: &Arc<AtomicU32>, process: usize) -> thread::JoinHandle<()> {
    let (lock, news) = (lock.clone(), news.clone());
    thread::spawn(move || {
        let (held, told) = lock.lock(process);
        news.fetch_add(u32::from(told), Relaxed);
        lock.add();
        lock.unlock(held);
    })
}

#[test]
fn processes_exclude_each_other_and_none_is_left_asleep() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        let others = [locker(&lock, &news, 1), locker(&lock, &news, 2)];
        let (held, _) = lock.lock(0);
        lock.add();
        lock.unlock(held);
        others.into_iter().for_each(|other| other.join().unwrap());
        let (_held, told) = lock.try_lock(0).expect("the lock is free");
        assert_eq!((lock.add(), told, news.load(Relaxed)), (4, false, 0));
    });
}

/// The holder's process dies; of the lockers after it exactly one hears of it, and nobody sleeps for ever.
#[test]
fn a_holders_death_is_told_once() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        let (_held, _) = lock.lock(0);
        let others = [locker(&lock, &news, 1), locker(&lock, &news, 2)];
        lock.add();
        lock.die(0);
        others.into_iter().for_each(|other| other.join().unwrap());
        let (_held, told) = lock.try_lock(1).expect("the lock is free");
        assert_eq!((lock.add(), told, news.load(Relaxed)), (4, false, 1));
    });
}

/// The successor dies as well: whoever comes next, after one death or two, is told.
#[test]
fn news_are_not_lost_with_the_successor() {
    model(2, |lock| {
        lock.lock(0);
        lock.die(0);
        let successor = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.lock(1);
                lock.add();
                lock.die(1);
            })
        };
        let (held, told) = lock.lock(2);
        assert!(told);
        lock.add();
        lock.unlock(held);
        successor.join().unwrap();
        lock.try_lock(2).expect("the lock is free");
        assert_eq!(lock.add(), 3);
    });
}

/// The thread that stands for the holder's process ends, and the process lives: nobody gets in before the release.
#[test]
fn the_end_of_a_thread_opens_nothing() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        let (_held, _) = lock.lock(0);
        let other = locker(&lock, &news, 1);
        lock.thread_ends(0);
        assert_eq!(lock.add(), 1, "and no race with the other one");
        assert!(lock.release());
        other.join().unwrap();
        assert_eq!(news.load(Relaxed), 0);
    });
}

/// A stranger releases while others wait; the guard that comes too late does nothing.
#[test]
fn a_stranger_releases() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        let (held, _) = lock.lock(0);
        let others = [locker(&lock, &news, 1), locker(&lock, &news, 2)];
        lock.add();
        assert!(lock.release());
        lock.unlock(held);
        others.into_iter().for_each(|other| other.join().unwrap());
        lock.try_lock(0).expect("the lock is free");
        assert_eq!(lock.add(), 4);
    });
}

/// Two strangers release at once: one of them has done it, the other one hears that nobody holds the lock.
#[test]
fn two_strangers_release_once() {
    model(3, |lock| {
        lock.lock(0);
        lock.add();
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.release())
        };
        let released = lock.release();
        assert_ne!(released, other.join().unwrap());
        lock.try_lock(1).expect("the lock is free");
        assert_eq!(lock.add(), 2, "and the release shows what was written before");
    });
}

/// A stranger releases while the holder is dying, and another one waits: that one gets in by the release or by the death. (It may be its
/// own lock that the stranger releases then, so the value stays alone.)
#[test]
fn a_stranger_releases_what_a_dying_process_holds() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        lock.lock(0);
        let waiter = {
            let (lock, news) = (lock.clone(), news.clone());
            thread::spawn(move || {
                let (held, told) = lock.lock(1);
                news.fetch_add(u32::from(told), Relaxed);
                lock.unlock(held);
            })
        };
        let dying = {
            let lock = lock.clone();
            thread::spawn(move || lock.die(0))
        };
        let released = lock.release();
        waiter.join().unwrap();
        dying.join().unwrap();
        assert!(released || news.load(Relaxed) == 1, "it was the release, or the death");
        let (_held, told) = lock.try_lock(2).expect("the lock is free");
        assert!(!told, "who got in has dealt with it");
    });
}

/// A waiter is killed in its sleep or right after it was woken: nobody is jammed.
#[test]
fn a_woken_waiter_that_is_killed_jams_nobody() {
    model(2, |lock| {
        let news = Arc::new(AtomicU32::new(0));
        let (held, _) = lock.lock(0);
        let victim = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.die_woken(1);
                lock.recheck();
            })
        };
        let waiter = locker(&lock, &news, 2);
        lock.add();
        lock.unlock(held);
        victim.join().unwrap();
        waiter.join().unwrap();
        lock.try_lock(0).expect("the lock is free");
        assert_eq!((lock.add(), news.load(Relaxed)), (3, 0));
    });
}
