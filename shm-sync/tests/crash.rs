//! Killed holders and killed waiters: the news reaches exactly one, and nobody waits for ever.
#![allow(unsafe_code, reason = "scheduling calls, and raw looks at the lock's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_until, watchdog,
};
use shm_sync::{ErrorKind, LockError, Mutex, MutexGuard, Primitive};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

/// A child that takes the lock, calls `holding` and then stays until it is killed.
fn holder(mutex: &Mutex<u32>, holding: impl FnOnce(&mut MutexGuard<'_, u32>)) -> Child {
    let ready = &shared_counters()[0];
    let child = fork(|| {
        let mut guard = mutex.lock().or_else(LockError::recover).unwrap();
        holding(&mut guard);
        ready.store(1, SeqCst);
        loop {
            std::thread::sleep(FAR);
        }
    });
    wait_until(|| ready.load(SeqCst) == 1);
    child
}

#[test]
fn exactly_one_waiter_gets_the_news() {
    let _watchdog = watchdog();
    for _ in 0..rounds(20) {
        let mutex = Mutex::anonymous(0u32).unwrap();
        let told = &shared_counters()[0];
        let holder = holder(&mutex, |guard| **guard = 1);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                fork(|| match mutex.lock_timeout(FAR) {
                    Ok(mut guard) => *guard += 10,
                    Err(LockError::OwnerDied(mut left)) => {
                        told.fetch_add(1, SeqCst);
                        *left += 10;
                        drop(left.recover());
                    }
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        waiters.iter().for_each(wait_asleep);
        drop(holder);
        waiters.into_iter().for_each(Child::expect_success);
        assert_eq!(told.load(SeqCst), 1);
        assert_eq!(*mutex.lock().unwrap(), 31);
    }
}

#[test]
fn a_chain_of_deaths_is_told_each_time() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    for death in 1..=10 {
        drop(holder(&mutex, |guard| **guard += 1));
        let Err(LockError::OwnerDied(left)) = mutex.lock() else { panic!("not told") };
        assert_eq!(*left, death);
        drop(left.recover());
        assert_eq!(mutex.try_lock().map(|guard| *guard).unwrap(), death);
    }
}

#[test]
fn a_successor_that_dies_leaves_the_news() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    drop(holder(&mutex, |guard| **guard = 1));
    let ready = &shared_counters()[0];
    let successor = fork(|| {
        let Err(LockError::OwnerDied(mut left)) = mutex.lock() else { panic!("not told") };
        *left = 2;
        ready.store(1, SeqCst);
        std::thread::sleep(FAR);
    });
    wait_until(|| ready.load(SeqCst) == 1);
    drop(successor);
    let Err(LockError::OwnerDied(left)) = mutex.lock() else { panic!("not told") };
    assert_eq!(*left, 2);
}

/// Every process of a crowd is killed at some moment; the value stays consistent for those who follow.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous([0u64; 2]).unwrap();
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    loop {
                        let mut guard = match mutex.lock() {
                            Err(LockError::OwnerDied(mut left)) => {
                                assert!(left[0] == left[1] || left[0] == left[1] + 1);
                                left[1] = left[0];
                                left.recover()
                            }
                            other => other.unwrap(),
                        };
                        assert_eq!(guard[0], guard[1]);
                        guard[0] += 1;
                        std::hint::black_box(&mut guard);
                        guard[1] += 1;
                    }
                })
            })
            .collect();
        for child in children {
            std::thread::sleep(Duration::from_micros(300 + round * 37 % 500));
            drop(child);
        }
        match mutex.lock_timeout(FAR) {
            Ok(guard) => assert_eq!(guard[0], guard[1]),
            Err(LockError::OwnerDied(mut left)) => {
                left[1] = left[0];
                drop(left.recover());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(mutex.lock().unwrap()[0] > 0);
}

/// The woken waiter dies before it runs; the other one gets in all the same, whether the lock stayed free (the kernel passes the wake-up on) or
/// somebody barged in meanwhile (the re-check repairs it).
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for barge in [false, true] {
        let mutex = Mutex::anonymous(0u32).unwrap();
        let guard = mutex.lock().unwrap();
        DoubleKill {
            victim: || drop(mutex.lock()),
            survivor: || *mutex.lock().unwrap() += 1,
            wake: || drop(guard),
            meanwhile: || barge.then(|| mutex.try_lock()),
        }
        .run_then(drop);
        assert_eq!(*mutex.lock().unwrap(), 1);
    }
}

/// A lock in plain shared bytes, so that the kill test can watch them.
struct Place {
    mutex: Mutex<[u64; 2]>,
    bytes: *mut u8,
}

impl Place {
    fn new() -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a mutex only.
        Self { mutex: unsafe { Mutex::from_ptr(bytes, 4096) }.unwrap(), bytes }
    }

    /// Has the stores to the lock, the value and the thread's list counted.
    fn announce(&self) {
        announce(self.bytes, 80);
        announce_list();
    }

    fn word(&self) -> u32 {
        // SAFETY: the first word of the page, aligned, never unmapped.
        unsafe { AtomicU32::from_ptr(self.bytes.cast()) }.load(SeqCst)
    }

    /// Takes the lock as a survivor does, checks what it finds, and says whether there was news; then checks that all is well.
    fn check(&self) -> bool {
        let news = match self.mutex.lock_timeout(FAR) {
            Ok(guard) => {
                assert_eq!(guard[0], guard[1], "whole, for nobody died with it");
                false
            }
            Err(LockError::OwnerDied(mut left)) => {
                assert!(left[0] == left[1] || left[0] == left[1] + 1, "{left:?}");
                left[1] = left[0];
                drop(left.recover());
                true
            }
            Err(error) => panic!("{error}"),
        };
        // Told once, and good for anybody, in this process and in others.
        *self.mutex.lock().unwrap() = [7, 7];
        fork(|| assert_eq!(*self.mutex.lock_timeout(FAR).unwrap(), [7, 7])).expect_success();
        news
    }
}

fn add_one(mutex: &Mutex<[u64; 2]>) {
    let mut guard = mutex.lock().unwrap();
    guard[0] += 1;
    std::hint::black_box(&mut guard);
    guard[1] += 1;
}

/// The first lock call of a thread, with its registration; and a call while others are held, which must be found too.
#[test]
fn killed_anywhere_in_lock_and_unlock() {
    for held in [0, 1, 2] {
        killed_often_enough(|| {
            KillTest::new("lock and unlock")
                .prepare(|| (Place::new(), [Place::new(), Place::new()]))
                .victim(move |(place, others)| {
                    let guards: Vec<_> =
                        others[..held].iter().map(|other| other.mutex.lock().unwrap()).collect();
                    place.announce();
                    kill_zone(|| add_one(&place.mutex));
                    std::mem::forget(guards);
                })
                .check(|(place, others), _point| {
                    for (index, other) in others.iter().enumerate() {
                        assert_eq!(other.check(), index < held, "the locks that it held all the time");
                    }
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// Giving up the older of several locks, which relinks its neighbours.
#[test]
fn killed_anywhere_in_unlocking_an_older_lock() {
    killed_often_enough(|| {
        KillTest::new("unlock an older lock")
            .prepare(|| [Place::new(), Place::new(), Place::new()])
            .victim(|[oldest, middle, newest]| {
                let guards = [&oldest, &middle, &newest].map(|place| place.mutex.lock().unwrap());
                middle.announce();
                announce(newest.bytes, 64);
                let [oldest, middle, newest] = guards;
                kill_zone(|| drop(middle));
                std::mem::forget([oldest, newest]);
            })
            .check(|[oldest, middle, newest], _point| {
                assert!(oldest.check() && newest.check());
                middle.check();
            })
            .run(Coverage::from_env())
    });
}

/// A waiter that is killed on its way to sleep, asleep, or giving up.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    killed_often_enough(|| {
        KillTest::new("wait in vain")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new()));
                (place, Some(place.mutex.lock().unwrap()))
            })
            .victim(|(place, _guard)| {
                place.announce();
                let lock = kill_zone(|| place.mutex.lock_timeout(Duration::from_millis(5)));
                assert_eq!(lock.unwrap_err().kind(), ErrorKind::TimedOut);
            })
            .check(|(place, guard), _point| {
                drop(guard);
                assert!(!place.check());
            })
            .run(Coverage::from_env())
    });
}

/// The holder is killed anywhere in an unlock that has somebody to wake.
#[test]
fn killed_anywhere_in_an_unlock_with_a_waiter() {
    killed_often_enough(|| {
        KillTest::new("unlock with a waiter")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new()));
                let locked = &shared_counters()[0];
                let waiter = fork(|| {
                    wait_until(|| locked.load(SeqCst) == 1);
                    drop(place.mutex.lock_timeout(FAR).or_else(LockError::recover).unwrap());
                });
                (place, locked, waiter)
            })
            .victim(|(place, locked, _)| {
                let guard = place.mutex.lock().unwrap();
                locked.store(1, SeqCst);
                wait_until(|| place.word() >> 31 == 1);
                // Only what is private: the waiter writes to the lock at moments of its own.
                announce_list();
                kill_zone(|| drop(guard));
            })
            .check(|(place, _, waiter), _point| {
                waiter.expect_success();
                assert!(!place.check());
            })
            .run(Coverage::from_env())
    });
}

fn leave_dead(place: &Place) {
    fork(|| std::mem::forget(place.mutex.lock().unwrap())).expect_success();
}

/// The successor of a dead holder is killed anywhere between taking the lock and giving it up, recovered.
#[test]
fn killed_anywhere_in_a_recovery() {
    killed_often_enough(|| {
        KillTest::new("recover")
            .prepare(|| {
                let place = Place::new();
                leave_dead(&place);
                place
            })
            .victim(|place| {
                place.announce();
                kill_zone(|| drop(place.mutex.lock().or_else(LockError::recover).unwrap()));
            })
            .check(|place, point| {
                let news = place.check();
                assert!(
                    news || point.number > 1,
                    "nothing was done yet, so the first death is still to be told"
                );
            })
            .run(Coverage::from_env())
    });
}

/// The successor gives the value up and is killed anywhere in that: there is news, or poison, or both, but never silence before the end.
#[test]
fn killed_anywhere_in_poisoning() {
    killed_often_enough(|| {
        KillTest::new("poison")
            .prepare(|| {
                let place = Place::new();
                leave_dead(&place);
                place
            })
            .victim(|place| {
                place.announce();
                kill_zone(|| drop(place.mutex.lock()));
            })
            .check(|place, _point| {
                let kind = place.mutex.lock_timeout(FAR).map_err(|error| error.kind()).map(drop).unwrap_err();
                assert!(matches!(kind, ErrorKind::OwnerDied | ErrorKind::Poisoned), "{kind:?}");
                assert_eq!(place.mutex.lock_timeout(FAR).unwrap_err().kind(), ErrorKind::Poisoned);
                drop(place.mutex.repair().unwrap().recover());
                assert!(!place.check());
            })
            .run(Coverage::from_env())
    });
}
