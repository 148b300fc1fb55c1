//! Killed holders and waiters of a process mutex: the news reaches exactly one, nobody waits for ever, no slot is lost.
#![allow(unsafe_code, reason = "raw looks at the lock's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_until, watchdog,
};
use shm_sync::{ErrorKind, Primitive, ProcessLockError, ProcessMutex, ProcessMutexGuard};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

fn new() -> ProcessMutex {
    ProcessMutex::anonymous(()).unwrap()
}

/// A child that takes the lock and stays until it is killed.
fn holder(lock: &ProcessMutex) -> Child {
    let ready = &shared_counters()[0];
    let child = fork(|| {
        lock.lock().or_else(ProcessLockError::recover).unwrap().keep();
        ready.store(1, SeqCst);
        loop {
            std::thread::sleep(FAR);
        }
    });
    wait_until(|| ready.load(SeqCst) == 1);
    child
}

/// The guard, and whether there was news.
fn told(lock: &ProcessMutex) -> (ProcessMutexGuard<'_>, bool) {
    match lock.lock_timeout(FAR) {
        Ok(guard) => (guard, false),
        Err(ProcessLockError::OwnerDied(guard)) => (guard.recover(), true),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn exactly_one_waiter_gets_the_news() {
    let _watchdog = watchdog();
    for _ in 0..rounds(20) {
        let lock = new();
        let news = &shared_counters()[0];
        let holder = holder(&lock);
        let waiters: Vec<_> =
            (0..3).map(|_| fork(|| _ = news.fetch_add(u32::from(told(&lock).1), SeqCst))).collect();
        waiters.iter().for_each(wait_asleep);
        drop(holder);
        waiters.into_iter().for_each(Child::expect_success);
        assert_eq!(news.load(SeqCst), 1);
    }
}

#[test]
fn a_chain_of_deaths_is_told_each_time() {
    let _watchdog = watchdog();
    let lock = new();
    // More of them than there are slots: they are used again.
    for _ in 0..100 {
        drop(holder(&lock));
        assert!(told(&lock).1);
        assert!(!told(&lock).1);
    }
}

#[test]
fn a_successor_that_dies_leaves_the_news() {
    let _watchdog = watchdog();
    let lock = new();
    drop(holder(&lock));
    fork(|| {
        let Err(ProcessLockError::OwnerDied(guard)) = lock.lock() else { panic!("not told") };
        guard.keep();
    })
    .expect_success();
    assert!(told(&lock).1);
    assert!(!told(&lock).1);
}

#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let lock = new();
    let counters = shared_counters();
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    loop {
                        let (_guard, news) = told(&lock);
                        let (first, second) = (counters[0].load(SeqCst), counters[1].load(SeqCst));
                        assert!(first == second || news && first == second.wrapping_add(1));
                        counters[0].store(first.wrapping_add(1), SeqCst);
                        std::hint::black_box(&counters);
                        counters[1].store(first.wrapping_add(1), SeqCst);
                    }
                })
            })
            .collect();
        for child in children {
            std::thread::sleep(Duration::from_micros(300 + round * 37 % 500));
            drop(child);
        }
        let (_guard, _) = told(&lock);
        counters[1].store(counters[0].load(SeqCst), SeqCst);
    }
    assert!(counters[0].load(SeqCst) > 0);
}

/// The woken waiter dies before it runs; the other one gets in all the same, also if somebody barged in meanwhile; and after a death.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for (barge, death) in [(false, false), (true, false), (false, true)] {
        let lock = new();
        let holder = death.then(|| holder(&lock));
        let guard = (!death).then(|| lock.lock().unwrap());
        DoubleKill {
            victim: || drop(told(&lock)),
            survivor: || drop(told(&lock)),
            wake: || {
                drop(guard);
                drop(holder);
            },
            meanwhile: || barge.then(|| lock.try_lock()),
        }
        .run_then(drop);
        assert!(!told(&lock).1);
    }
}

/// A lock in plain shared bytes, so that the kill test can watch them.
struct Place {
    lock: ProcessMutex,
    bytes: *mut u8,
}

impl Place {
    fn new() -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a lock only.
        Self { lock: unsafe { ProcessMutex::from_ptr(bytes, 4096) }.unwrap(), bytes }
    }

    fn announce(&self) {
        announce(self.bytes, 256);
        announce_list();
    }

    fn word(&self) -> u32 {
        // SAFETY: the first word of the page, aligned, never unmapped.
        unsafe { AtomicU32::from_ptr(self.bytes.cast()) }.load(SeqCst)
    }

    /// Takes the lock as a survivor does and says whether there was news; then checks that all is well, for others too, and that at most
    /// the slots of this process and of the dead are in use.
    fn check(&self) -> bool {
        let (guard, news) = told(&self.lock);
        drop(guard);
        drop(self.lock.lock().unwrap());
        fork(|| drop(self.lock.lock_timeout(FAR).unwrap())).expect_success();
        // SAFETY: within the page, aligned, never unmapped.
        let pid = |slot: usize| unsafe { AtomicU64::from_ptr(self.bytes.add(64 + slot * 64 + 16).cast()) };
        assert!((0..63).filter(|slot| pid(*slot).load(SeqCst) != 0).count() <= 4);
        news
    }
}

/// The first lock call of a process, with its claim; and the second one.
#[test]
fn killed_anywhere_in_lock_and_unlock() {
    for first in [true, false] {
        killed_often_enough(|| {
            KillTest::new("lock and unlock")
                .prepare(Place::new)
                .victim(move |place| {
                    if !first {
                        drop(place.lock.lock().unwrap());
                    }
                    place.announce();
                    kill_zone(|| drop(place.lock.lock().unwrap()));
                })
                .check(|place, _point| _ = place.check())
                .run(Coverage::from_env())
        });
    }
}

#[test]
fn killed_anywhere_in_release_by_hand() {
    killed_often_enough(|| {
        KillTest::new("keep, recover, release")
            .prepare(Place::new)
            .victim(|place| {
                drop(place.lock.lock().unwrap());
                place.announce();
                kill_zone(|| {
                    place.lock.lock().unwrap().keep();
                    place.lock.recover().unwrap();
                    place.lock.release().unwrap();
                });
            })
            .check(|place, _point| _ = place.check())
            .run(Coverage::from_env())
    });
}

#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    for orphaned in [false, true] {
        killed_often_enough(|| {
            KillTest::new("wait in vain")
                .prepare(|| {
                    let place = Place::new();
                    if orphaned {
                        std::thread::scope(|scope| scope.spawn(|| place.lock.lock().unwrap().keep()).join())
                            .unwrap();
                    } else {
                        place.lock.lock().unwrap().keep();
                    }
                    place
                })
                .victim(|place| {
                    place.announce();
                    let lock = kill_zone(|| place.lock.lock_timeout(Duration::from_millis(5)));
                    assert_eq!(lock.unwrap_err().kind(), ErrorKind::TimedOut);
                })
                .check(|place, _point| {
                    place.lock.release().unwrap();
                    assert!(!place.check());
                })
                .run(Coverage::from_env())
        });
    }
}

/// The holder is killed anywhere in a release that has somebody to wake.
#[test]
fn killed_anywhere_in_an_unlock_with_a_waiter() {
    killed_often_enough(|| {
        KillTest::new("unlock with a waiter")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new()));
                let locked = &shared_counters()[0];
                let waiter = fork(|| {
                    wait_until(|| locked.load(SeqCst) == 1);
                    drop(told(&place.lock));
                });
                (place, locked, waiter)
            })
            .victim(|(place, locked, _)| {
                let guard = place.lock.lock().unwrap();
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

/// The successor of a dead holder is killed anywhere between noticing and giving the lock up, recovered or not.
#[test]
fn killed_anywhere_in_a_succession() {
    for recovers in [true, false] {
        killed_often_enough(|| {
            KillTest::new("succeed a dead holder")
                .prepare(|| {
                    let place = Place::new();
                    fork(|| place.lock.lock().unwrap().keep()).expect_success();
                    place
                })
                .victim(move |place| {
                    place.announce();
                    kill_zone(|| {
                        let Err(ProcessLockError::OwnerDied(guard)) = place.lock.lock() else {
                            panic!("not told")
                        };
                        drop(if recovers { guard.recover() } else { guard });
                    });
                })
                .check(move |place, point| {
                    if recovers {
                        let news = place.check();
                        assert!(
                            news || point.number > 1,
                            "nothing was done yet, so the death is still to be told"
                        );
                        return;
                    }
                    let kind =
                        place.lock.lock_timeout(FAR).map_err(|error| error.kind()).map(drop).unwrap_err();
                    assert!(matches!(kind, ErrorKind::OwnerDied | ErrorKind::Poisoned), "{kind:?}");
                    assert_eq!(place.lock.lock_timeout(FAR).unwrap_err().kind(), ErrorKind::Poisoned);
                    drop(place.lock.repair().unwrap().recover());
                    assert!(!place.check());
                })
                .run(Coverage::from_env())
        });
    }
}

/// A thread leaves, and its process is killed anywhere in that; the last handle goes likewise.
#[test]
fn killed_anywhere_in_leaving() {
    killed_often_enough(|| {
        KillTest::new("give the slot back")
            .prepare(Place::new)
            .victim(|place| {
                // SAFETY: as in `new`.
                let lock = unsafe { ProcessMutex::from_ptr(place.bytes, 4096) }.unwrap();
                drop(lock.lock().unwrap());
                place.announce();
                kill_zone(|| drop(lock));
            })
            .check(|place, _point| assert!(!place.check()))
            .run(Coverage::from_env())
    });
}
