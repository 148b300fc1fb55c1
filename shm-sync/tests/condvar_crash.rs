//! Killed waiters and notifiers: no notification goes with them, and nobody waits for ever.
#![allow(unsafe_code, reason = "raw looks at the condition variable's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_stopped, wait_until, watchdog,
};
use shm_sync::{Condvar, ErrorKind, LockError, Mutex, MutexGuard, Primitive, WaitOutcome};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

/// What waits to be consumed, under a mutex, and the condition variable that says so; in plain bytes, so that a kill test can watch them.
struct Store {
    stock: Mutex<[u64; 2]>, // in stock, consumed
    arrived: Condvar,
    mutex_bytes: *mut u8,
    condvar_bytes: *mut u8,
}

impl Store {
    fn new() -> Self {
        let (mutex_bytes, condvar_bytes) = (shared_bytes(), shared_bytes());
        // SAFETY: zero pages, shared, never unmapped, and used as these two only.
        let stock = unsafe { Mutex::from_ptr(mutex_bytes, 4096) }.unwrap();
        // SAFETY: as above.
        let arrived = unsafe { Condvar::from_ptr(condvar_bytes, 4096) }.unwrap();
        Self { stock, arrived, mutex_bytes, condvar_bytes }
    }

    /// Has the stores to both and to the thread's list counted.
    fn announce(&self) {
        announce(self.mutex_bytes, 80);
        announce(self.condvar_bytes, 64);
        announce_list();
    }

    fn waiting(&self) -> u32 {
        // SAFETY: within the page, aligned, never unmapped.
        unsafe { AtomicU64::from_ptr(self.condvar_bytes.add(24).cast()) }.load(SeqCst) as u32
    }

    fn peek_stock(&self) -> u64 {
        // SAFETY: as above; the value follows the lock's 64 bytes.
        unsafe { AtomicU64::from_ptr(self.mutex_bytes.add(64).cast()) }.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, [u64; 2]> {
        self.stock.lock_timeout(FAR).or_else(LockError::recover).unwrap()
    }

    fn add(&self, count: u64) {
        self.lock()[0] += count;
    }

    /// Waits until there is something, whatever happens to others, and consumes it.
    fn consume(&self) {
        let mut guard = self.lock();
        while guard[0] == 0 {
            guard = self.arrived.wait(guard).or_else(LockError::recover).unwrap();
        }
        guard[0] -= 1;
        std::hint::black_box(&mut guard);
        guard[1] += 1;
    }

    /// A child that consumes one, asleep.
    fn consumer(&self) -> Child {
        let before = self.waiting();
        let child = fork(|| self.consume());
        wait_until(|| self.waiting() > before);
        wait_asleep(&child);
        child
    }

    /// All is well for those who come after.
    fn check(&self) {
        let child = fork(|| self.consume());
        self.add(1);
        self.arrived.notify_all().unwrap();
        child.expect_success();
        let (guard, outcome) =
            self.arrived.wait_timeout(self.lock(), Duration::from_millis(1)).or_else(recovered).unwrap();
        assert_eq!(outcome, WaitOutcome::TimedOut);
        drop(guard);
    }
}

type Waited<'a> = (MutexGuard<'a, [u64; 2]>, WaitOutcome);

fn recovered(error: LockError<MutexGuard<'_, [u64; 2]>>) -> Result<Waited<'_>, shm_sync::Error> {
    Ok((error.recover()?, WaitOutcome::Notified))
}

/// One waiter is killed anywhere in its wait, while another one waits as well. One item comes, with one notification: if the victim has not
/// consumed it, the other one does, and needs no help for that.
#[test]
fn killed_anywhere_in_a_wait() {
    killed_often_enough(|| {
        KillTest::new("wait, notified")
            .prepare(|| {
                let store: &'static Store = Box::leak(Box::new(Store::new()));
                let step = &shared_counters()[0];
                let dead = || step.load(SeqCst) == 2;
                // Sleeps behind the victim, as a rule, so that the victim is the one that is woken.
                let other = fork(|| {
                    wait_until(|| step.load(SeqCst) == 1 && store.waiting() > 0 || dead());
                    std::thread::sleep(Duration::from_millis(2));
                    store.consume();
                });
                let notifier = fork(|| {
                    wait_until(|| step.load(SeqCst) == 1 && store.waiting() == 2 || dead());
                    std::thread::sleep(Duration::from_millis(2));
                    store.add(1);
                    store.arrived.notify_one().unwrap();
                });
                (store, step, other, notifier)
            })
            .victim(|(store, step, _, _)| {
                announce(store.mutex_bytes, 80);
                announce_list();
                step.store(1, SeqCst);
                kill_zone(|| {
                    let long = Duration::from_millis(50);
                    let waited = store.arrived.wait_while_timeout(store.lock(), |store| store[0] == 0, long);
                    let (mut guard, outcome) = waited.unwrap();
                    if outcome == WaitOutcome::Notified {
                        guard[0] -= 1;
                        std::hint::black_box(&mut guard);
                        guard[1] += 1;
                    }
                });
            })
            .check(|(store, step, other, notifier), _point| {
                step.store(2, SeqCst);
                notifier.expect_success();
                // Only looked at: a lock call would get news that are the other one's.
                wait_until(|| store.peek_stock() == 0);
                store.add(1);
                store.arrived.notify_one().unwrap();
                other.expect_success();
                store.lock()[0] = 0;
                store.check();
            })
            .run(Coverage::from_env())
    });
}

/// Killed with the mutex locked again, before it has consumed: the one that sleeps comes back with the news, and finds the item.
#[test]
fn a_waiter_killed_with_the_mutex_hands_its_notification_on() {
    let _watchdog = watchdog();
    for _ in 0..rounds(3) {
        let store = Store::new();
        let first = &shared_counters()[0];
        let victim = fork(|| {
            let guard = store.arrived.wait(store.lock()).unwrap();
            first.store(1, SeqCst);
            std::thread::sleep(FAR);
            drop(guard);
        });
        wait_until(|| store.waiting() == 1);
        wait_asleep(&victim);
        let other = store.consumer();
        other.kill(libc::SIGSTOP); // or it might look first, should the victim be slow
        wait_stopped(&other);
        store.add(1);
        store.arrived.notify_one().unwrap();
        wait_until(|| first.load(SeqCst) == 1);
        drop(victim);
        other.kill(libc::SIGCONT);
        other.expect_success();
        assert_eq!(*store.lock(), [0, 1]);
    }
}

/// A waiter that nobody notifies is killed on its way to sleep, asleep, and giving up.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    killed_often_enough(|| {
        KillTest::new("wait in vain")
            .prepare(Store::new)
            .victim(|store| {
                store.announce();
                kill_zone(|| {
                    let (_guard, outcome) =
                        store.arrived.wait_timeout(store.lock(), Duration::from_millis(2)).unwrap();
                    assert_eq!(outcome, WaitOutcome::TimedOut);
                });
            })
            .check(|store, _point| store.check())
            .run(Coverage::from_env())
    });
}

/// A notifier is killed anywhere: the waiter is told, or gets it from the next one.
#[test]
fn killed_anywhere_in_a_notification() {
    for all in [false, true] {
        killed_often_enough(|| {
            KillTest::new(if all { "notify all" } else { "notify one" })
                .prepare(|| {
                    let store: &'static Store = Box::leak(Box::new(Store::new()));
                    (store, [store.consumer(), store.consumer()])
                })
                .victim(|(store, _)| {
                    store.add(2);
                    announce(store.condvar_bytes, 64);
                    kill_zone(|| {
                        if all {
                            store.arrived.notify_all().unwrap();
                        } else {
                            store.arrived.notify_one().unwrap();
                            store.arrived.notify_one().unwrap();
                        }
                    });
                })
                .check(|(store, consumers), point| {
                    if point.number < point.of {
                        // It may have been killed before the last one. (After that, they get it without help.)
                        store.arrived.notify_n(2).unwrap();
                    }
                    for consumer in consumers {
                        consumer.expect_success();
                    }
                    assert_eq!(*store.lock(), [0, 2]);
                    store.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// The woken waiter dies before it runs; the other one gets in all the same, without a second notification.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for barge in [false, true] {
        let store = Store::new();
        DoubleKill {
            victim: || store.consume(),
            survivor: || store.consume(),
            wake: || {
                store.add(1);
                store.arrived.notify_one().unwrap();
            },
            // Somebody who came later does not take it either.
            meanwhile: || {
                barge.then(|| {
                    let waited = store.arrived.wait_timeout(store.lock(), Duration::from_millis(1));
                    waited.map(|(_, outcome)| outcome).unwrap()
                })
            },
        }
        .run_then(|outcome| assert!(outcome.is_none_or(|outcome| outcome == WaitOutcome::TimedOut)));
        assert_eq!(*store.lock(), [0, 1]);
        store.check();
    }
}

/// Consumers are killed at random moments, again and again; what they have not consumed reaches others, and the counts that the dead leave
/// behind disturb nobody.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let store = Store::new();
    let mut added = 0;
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    loop {
                        store.consume();
                    }
                })
            })
            .collect();
        for (index, child) in children.into_iter().enumerate() {
            for _ in 0..3 {
                added += 1;
                store.add(1);
                store.arrived.notify_one().unwrap();
            }
            std::thread::sleep(Duration::from_micros((index as u64 + 1) * (round * 37 % 300)));
            drop(child);
        }
    }
    // All of them are dead. What is left goes to whoever comes, told once for each.
    let [stock, consumed] = *store.lock();
    // (A consumer may have died between its two stores.)
    assert!(stock + consumed <= added && added - stock - consumed <= rounds(180) as u64);
    store.lock()[0] = 0;
    let consumers = [store.consumer(), store.consumer(), store.consumer()];
    for _ in 0..3 {
        store.add(1);
        store.arrived.notify_one().unwrap();
    }
    consumers.into_iter().for_each(Child::expect_success);
    store.check();
}

/// A killed waiter is counted for ever, so that another mutex is refused from then on, as documented, and never taken for the same.
#[test]
fn a_killed_waiter_binds_the_mutex() {
    let _watchdog = watchdog();
    let store = Store::new();
    drop(store.consumer());
    let other = Mutex::anonymous(0u8).unwrap();
    let refused = store.arrived.wait_timeout(other.lock().unwrap(), FAR).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    store.check();
}
