//! The mutex's word under loom: every interleaving of lockers, unlockers and deaths, with the kernel's part played by the model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_mutex --release`. Loom reports a race on the value (no exclusion, or an ordering
//! that is too weak) and a thread that sleeps for ever (a lost wake-up). Tried: without the mark after a sleep (`Word::acquire`), the third of three
//! lockers sleeps for ever, and loom says so.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use shm_sync::model::mutex::Lock;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(threads);
}

#[test]
fn two_lockers_exclude_each_other_and_none_is_left_asleep() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(!lock.lock(2));
                    lock.add();
                    lock.unlock();
                }
            })
        };
        assert!(!lock.lock(1));
        lock.add();
        lock.unlock();
        other.join().unwrap();
        lock.lock(1);
        assert_eq!(lock.add(), 4);
    });
}

#[test]
fn three_lockers_pass_the_wake_up_on() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let others: Vec<_> = (2..4)
            .map(|tid| {
                let lock = lock.clone();
                thread::spawn(move || {
                    assert!(!lock.lock(tid));
                    lock.add();
                    lock.unlock();
                })
            })
            .collect();
        assert!(!lock.lock(1));
        lock.add();
        lock.unlock();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(lock.try_lock(1), Some(false));
        assert_eq!(lock.add(), 4);
    });
}

/// One holder dies; of the lockers after it exactly one hears of it, sees what the dead one stored, and nobody sleeps for ever.
#[test]
fn a_holders_death_is_told_once() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let news = Arc::new(AtomicU32::new(0));
        let others: Vec<_> = (2..4)
            .map(|tid| {
                let (lock, news) = (lock.clone(), news.clone());
                thread::spawn(move || {
                    if lock.lock(tid) {
                        news.fetch_add(1, Relaxed);
                    }
                    lock.add();
                    lock.unlock();
                })
            })
            .collect();
        assert!(!lock.lock(1), "nobody has died yet");
        lock.add();
        lock.die(1);
        for other in others {
            other.join().unwrap();
        }
        // Lockers that came before the death were not told; if both did, the news is still there.
        let left = u32::from(lock.try_lock(1).expect("the lock is free"));
        assert_eq!(news.load(Relaxed) + left, 1);
        assert_eq!(lock.add(), 4);
    });
}

/// The successor dies as well, before it has recovered: the news goes on to the next.
#[test]
fn news_are_not_lost_with_the_successor() {
    model(|| {
        let lock = Arc::new(Lock::default());
        lock.lock(1);
        lock.die(1);
        let successor = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.lock(2);
                lock.add();
                lock.die(2);
            })
        };
        // Whoever comes next, after one death or two, is told.
        assert!(lock.lock(3));
        lock.add();
        lock.unlock();
        successor.join().unwrap();
        lock.try_lock(3).expect("the lock is free");
        assert_eq!(lock.add(), 3);
    });
}

#[test]
fn a_panicking_holder_is_as_good_as_dead() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                let told = lock.lock(2);
                lock.add();
                lock.unlock();
                told
            })
        };
        lock.lock(1);
        lock.add();
        lock.unlock_as_dead();
        let told = other.join().unwrap();
        let left = lock.try_lock(1).expect("the lock is free");
        assert!(told != left, "told once");
        assert_eq!(lock.add(), 3);
    });
}

/// A waiter is killed in its sleep or right after it was woken. The kernel passes the wake-up on when the word is free; when somebody
/// has barged in, the re-check of the sleepers repairs it.
#[test]
fn a_woken_waiter_that_is_killed_jams_nobody() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let victim = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.die_woken(2);
                lock.recheck();
            })
        };
        let waiter = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.lock(3);
                lock.add();
                lock.unlock();
            })
        };
        lock.lock(1);
        lock.add();
        lock.unlock();
        victim.join().unwrap();
        waiter.join().unwrap();
        assert!(lock.try_lock(1).is_some());
        assert_eq!(lock.add(), 3);
    });
}

/// The same without the re-check: nobody is left to barge in, so the kernel alone must pass the wake-up on.
#[test]
fn the_kernel_passes_on_the_wake_up_of_a_free_word() {
    model(|| {
        let lock = Arc::new(Lock::default());
        lock.lock(1);
        let victim = {
            let lock = lock.clone();
            thread::spawn(move || lock.die_woken(2))
        };
        let waiter = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.lock(3);
                lock.add();
                lock.unlock();
            })
        };
        lock.unlock();
        victim.join().unwrap();
        waiter.join().unwrap();
        assert!(lock.try_lock(1).is_some());
    });
}
