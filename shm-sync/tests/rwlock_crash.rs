//! Killed readers and writers of the reader-writer lock: readers are simply gone, a writer is news for exactly one, nobody waits for ever.
#![allow(unsafe_code, reason = "raw looks at the lock's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, kill_everywhere, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_until, watchdog,
};
use shm_sync::{Error, ErrorKind, Event, LockError, Primitive, RwLock};
use shm_testkit::{Child, announce, kill_zone};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

type Pair<const READERS: usize> = RwLock<[u64; 2], READERS>;

fn kind<T>(result: Result<T, impl Into<Error>>) -> Option<ErrorKind> {
    result.err().map(|error| error.into().kind())
}

/// A child that reads until `leave` is set, or until it is killed. It is in when this returns.
fn reader<const READERS: usize>(lock: &RwLock<u64, READERS>, leave: &Event) -> Child {
    let is_in = &shared_counters()[0];
    let child = fork(|| {
        let guard = lock.read().unwrap();
        is_in.store(1, SeqCst);
        // Many of them, so none may keep a CPU busy with looking.
        leave.wait().unwrap();
        drop(guard);
    });
    wait_until(|| is_in.load(SeqCst) == 1);
    child
}

/// From one reader to as many as there are places, and one more: some of them are killed, the others go on keeping the writer out, and when they
/// have left it enters.
fn readers_of_every_number<const READERS: usize>(numbers: impl Iterator<Item = usize>) {
    let lock = RwLock::<u64, READERS>::anonymous(0).unwrap();
    for number in numbers {
        let leave = Event::anonymous(false).unwrap();
        let mut readers: Vec<_> = (0..number).map(|_| Some(reader(&lock, &leave))).collect();
        let writer = fork(|| *lock.write_timeout(FAR).unwrap() += 1);
        if number < 5 {
            wait_asleep(&writer);
        }
        // Some are killed: every second, from the first or from the second on.
        let mut left = number;
        for killed in (number % 2..number).step_by(2) {
            readers[killed] = None;
            left -= 1;
            if left > 0 {
                assert_eq!(kind(lock.try_write()), Some(ErrorKind::Busy), "{left} of {number} still read");
            }
        }
        if left > 0 {
            assert_eq!(kind(lock.write_timeout(Duration::ZERO)), Some(ErrorKind::TimedOut));
        }
        leave.set().unwrap();
        readers.into_iter().flatten().for_each(Child::expect_success);
        writer.expect_success();
        *lock.write_timeout(FAR).unwrap() += 1;
    }
}

#[test]
fn some_of_every_number_of_readers_are_killed() {
    let _watchdog = watchdog();
    for round in 0..rounds(1) {
        // Every number takes 2 000 processes one after the other, which is for long runs.
        readers_of_every_number::<62>((1..=63).rev().filter(|number| round > 0 || number % 10 < 4));
        readers_of_every_number::<3>(1..=4);
        readers_of_every_number::<1>(1..=2);
    }
}

/// All readers are killed while a writer sleeps: the last death wakes it.
#[test]
fn the_death_of_the_last_reader_wakes_the_writer() {
    let _watchdog = watchdog();
    for number in 1..=rounds(20).min(62) {
        let lock = RwLock::<u64>::anonymous(0).unwrap();
        let leave = Event::anonymous(false).unwrap();
        let readers: Vec<_> = (0..number).map(|_| reader(&lock, &leave)).collect();
        let writer = fork(|| *lock.write().unwrap() += 1);
        wait_asleep(&writer);
        drop(readers);
        writer.expect_success();
        assert_eq!(*lock.try_read().unwrap(), 1);
    }
}

#[test]
fn exactly_one_waiter_hears_of_a_dead_writer() {
    let _watchdog = watchdog();
    for round in 0..rounds(20) {
        let lock = RwLock::<u64, 2>::anonymous(0).unwrap();
        let counters = shared_counters();
        let holder = fork(|| {
            let mut guard = lock.write().unwrap();
            *guard = 1;
            counters[0].store(1, SeqCst);
            std::thread::sleep(FAR);
        });
        wait_until(|| counters[0].load(SeqCst) == 1);
        let waiters: Vec<_> = (0..4)
            .map(|index| {
                fork(|| {
                    let news = if (index + round) % 2 == 0 {
                        match lock.read_timeout(FAR) {
                            Err(LockError::OwnerDied(mut left)) => {
                                *left += 10;
                                assert_eq!(*left.recover(), 11);
                                true
                            }
                            other => other.map(|guard| assert_eq!(*guard, 11)).is_err(),
                        }
                    } else {
                        match lock.write_timeout(FAR) {
                            Err(LockError::OwnerDied(mut left)) => {
                                *left += 10;
                                drop(left.recover());
                                true
                            }
                            other => other.map(|guard| assert_eq!(*guard, 11)).is_err(),
                        }
                    };
                    counters[1].fetch_add(u32::from(news), SeqCst);
                })
            })
            .collect();
        waiters.iter().for_each(wait_asleep);
        drop(holder);
        waiters.into_iter().for_each(Child::expect_success);
        assert_eq!(counters[1].load(SeqCst), 1);
    }
}

/// Who dies waiting, at the gate or for readers, leaves neither news nor a closed gate.
#[test]
fn deaths_in_the_queue_are_no_news() {
    let _watchdog = watchdog();
    let lock = RwLock::<u64, 2>::anonymous(0).unwrap();
    for round in 0..rounds(10) {
        let leave = Event::anonymous(false).unwrap();
        let reading = reader(&lock, &leave);
        let mut waiters: Vec<_> = (0..4)
            .map(|index| {
                // A writer first: the readers behind it wait as long as it lives.
                let child = fork(|| match index == 0 || (index + round) % 2 == 0 {
                    true => drop(lock.write()),
                    false => drop(lock.read()),
                });
                wait_asleep(&child);
                child
            })
            .collect();
        while !waiters.is_empty() {
            drop(waiters.swap_remove(round % waiters.len()));
        }
        assert_eq!(*lock.read_timeout(FAR).unwrap(), 0);
        leave.set().unwrap();
        reading.expect_success();
        assert_eq!(*lock.write_timeout(FAR).unwrap(), 0);
    }
}

#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let lock = Pair::<2>::anonymous([0; 2]).unwrap();
    let mend = |left: &mut [u64; 2]| {
        assert!(left[0] == left[1] || left[0] == left[1] + 1);
        left[1] = left[0];
    };
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..4)
            .map(|index| {
                fork(|| {
                    loop {
                        if index % 2 == 0 {
                            let mut guard = match lock.write() {
                                Err(LockError::OwnerDied(mut left)) => {
                                    mend(&mut left);
                                    left.recover()
                                }
                                other => other.unwrap(),
                            };
                            assert_eq!(guard[0], guard[1]);
                            guard[0] += 1;
                            std::hint::black_box(&mut guard);
                            guard[1] += 1;
                            let reading = guard.downgrade();
                            assert_eq!(reading[0], reading[1]);
                        } else {
                            let guard = match lock.read() {
                                Err(LockError::OwnerDied(mut left)) => {
                                    mend(&mut left);
                                    left.recover()
                                }
                                other => other.unwrap(),
                            };
                            assert_eq!(guard[0], guard[1]);
                        }
                    }
                })
            })
            .collect();
        for child in children {
            std::thread::sleep(Duration::from_micros(300 + round * 37 % 500));
            drop(child);
        }
        match lock.read_timeout(FAR) {
            Ok(guard) => assert_eq!(guard[0], guard[1]),
            Err(LockError::OwnerDied(mut left)) => {
                mend(&mut left);
                drop(left.recover());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lock.write().unwrap()[0] > 0);
}

/// The woken one dies before it runs; the other one gets in all the same.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    let wait = |lock: &RwLock<u64, 2>, writes: bool| {
        if writes { drop(lock.write().unwrap()) } else { drop(lock.read().unwrap()) }
    };
    for (victim, survivor) in [(true, true), (true, false), (false, true), (false, false)] {
        let lock = RwLock::<u64, 2>::anonymous(0).unwrap();
        let guard = lock.write().unwrap();
        DoubleKill {
            victim: || wait(&lock, victim),
            survivor: || wait(&lock, survivor),
            wake: || drop(guard),
            meanwhile: || drop(lock.try_read()),
        }
        .run_then(drop);
        drop(lock.write().unwrap());
    }
    // The victim is the writer that waits for a reader, and the survivor queues behind it.
    for survivor in [true, false] {
        let lock = RwLock::<u64, 2>::anonymous(0).unwrap();
        let guard = lock.read().unwrap();
        DoubleKill {
            victim: || wait(&lock, true),
            survivor: || wait(&lock, survivor),
            wake: || drop(guard),
            meanwhile: || (),
        }
        .run_then(drop);
        drop(lock.write().unwrap());
    }
}

/// A lock in plain shared bytes, so that the kill test can watch them.
struct Place {
    lock: Pair<3>,
    bytes: *mut u8,
}

impl Place {
    fn new() -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a lock only.
        Self { lock: unsafe { Pair::from_ptr(bytes, 4096) }.unwrap(), bytes }
    }

    /// Has the stores to the gate, the slots, the value and the thread's list counted.
    fn announce(&self) {
        announce(self.bytes, Pair::<3>::SIZE);
        announce_list();
    }

    fn word(&self, slot: usize) -> u32 {
        // SAFETY: the first word of the gate or of a slot, aligned, never unmapped.
        unsafe { AtomicU32::from_ptr(self.bytes.add(64 * slot).cast()) }.load(SeqCst)
    }

    /// Takes the lock as survivors do, checks what they find, and says whether there was news; then checks that all is well.
    fn check(&self) -> bool {
        let news = match self.lock.read_timeout(FAR) {
            Ok(guard) => {
                assert_eq!(guard[0], guard[1], "whole, for nobody died writing it");
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
        // Told once; free, all places of it, for this process and for others.
        *self.lock.write_timeout(FAR).unwrap() = [7, 7];
        fork(|| {
            let guards = [(); 3].map(|()| self.lock.try_read().unwrap());
            assert!(guards.iter().all(|guard| **guard == [7, 7]));
            drop(guards);
            drop(self.lock.try_write().unwrap());
        })
        .expect_success();
        news
    }
}

fn add_one(place: &Place) {
    let mut guard = place.lock.write().unwrap();
    guard[0] += 1;
    std::hint::black_box(&mut guard);
    guard[1] += 1;
}

/// The first and later calls of a thread, while it holds other locks, which must be found too.
#[test]
fn killed_anywhere_in_reading() {
    for held in [0, 1, 2] {
        kill_everywhere(
            "read and end",
            || (Place::new(), [Place::new(), Place::new()]),
            |(place, others)| {
                let reading: Vec<_> = others[..held].iter().map(|other| other.lock.read().unwrap()).collect();
                if held == 2 {
                    drop(place.lock.read().unwrap()); // the slot counts as used from here on
                }
                place.announce();
                kill_zone(|| {
                    let guard = place.lock.read().unwrap();
                    let again = place.lock.read().unwrap();
                    drop(guard);
                    drop(again);
                });
                std::mem::forget(reading);
            },
            |(place, others), _| {
                assert!(!place.check(), "a reader leaves no news");
                others.iter().for_each(|other| assert!(!other.check()));
            },
        );
    }
}

#[test]
fn killed_anywhere_in_writing() {
    for used in [false, true] {
        kill_everywhere(
            "write and end",
            || {
                let place = Place::new();
                if used {
                    drop([(); 3].map(|()| std::thread::scope(|_| place.lock.read().unwrap())));
                }
                place
            },
            |place| {
                place.announce();
                kill_zone(|| add_one(place));
            },
            |place, _| {
                place.check();
            },
        );
    }
}

#[test]
fn killed_anywhere_in_a_downgrade() {
    kill_everywhere(
        "downgrade",
        Place::new,
        |place| {
            let mut guard = place.lock.write().unwrap();
            *guard = [3, 3];
            place.announce();
            kill_zone(|| drop(guard.downgrade()));
        },
        |place, number| assert!(number == 1 || !place.check(), "the value is sound from the first store on"),
    );
}

/// A writer that is killed on its way to sleep, asleep, or giving up, where readers are in; and a reader where a writer is.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    for writes in [true, false] {
        kill_everywhere(
            "wait in vain",
            || {
                let place: &'static Place = Box::leak(Box::new(Place::new()));
                let writing = (!writes).then(|| place.lock.write().unwrap());
                let reading = writes.then(|| place.lock.read().unwrap());
                (place, writing, reading)
            },
            |(place, ..)| {
                place.announce();
                let short = Duration::from_millis(5);
                let outcome = kill_zone(|| match writes {
                    true => kind(place.lock.write_timeout(short)),
                    false => kind(place.lock.read_timeout(short)),
                });
                assert_eq!(outcome, Some(ErrorKind::TimedOut));
            },
            |(place, writing, reading), _| {
                if reading.is_some() {
                    fork(|| drop(place.lock.read_timeout(FAR).unwrap())).expect_success();
                    fork(|| assert_eq!(kind(place.lock.try_write()), Some(ErrorKind::Busy))).expect_success();
                }
                drop((writing, reading));
                assert!(!place.check());
            },
        );
    }
}

/// Whoever has somebody to wake is killed in that.
#[test]
fn killed_anywhere_in_ending_with_a_waiter() {
    for (writes, waiter_writes) in [(true, true), (true, false), (false, true)] {
        kill_everywhere(
            "end with a waiter",
            || {
                let place: &'static Place = Box::leak(Box::new(Place::new()));
                let locked = &shared_counters()[0];
                let waiter = fork(|| {
                    wait_until(|| locked.load(SeqCst) == 1);
                    match waiter_writes {
                        true => drop(place.lock.write_timeout(FAR).or_else(LockError::recover).unwrap()),
                        false => drop(place.lock.read_timeout(FAR).or_else(LockError::recover).unwrap()),
                    }
                });
                (place, locked, waiter)
            },
            |(place, locked, _)| {
                let writing = writes.then(|| place.lock.write().unwrap());
                let reading = (!writes).then(|| place.lock.read().unwrap());
                locked.store(1, SeqCst);
                wait_until(|| place.word(usize::from(!writes)) >> 31 == 1);
                // Only what is private: the waiter writes to the lock at moments of its own.
                announce_list();
                kill_zone(|| drop((writing, reading)));
            },
            |(place, _, waiter), _| {
                waiter.expect_success();
                assert!(!place.check());
            },
        );
    }
}

fn leave_dead(place: &Place) {
    fork(|| std::mem::forget(place.lock.write().unwrap())).expect_success();
}

/// The successor of a dead writer is killed anywhere between taking the lock and giving it up, recovered.
#[test]
fn killed_anywhere_in_a_recovery() {
    for writes in [false, true] {
        kill_everywhere(
            "recover",
            || {
                let place = Place::new();
                leave_dead(&place);
                place
            },
            |place| {
                place.announce();
                kill_zone(|| match writes {
                    true => drop(place.lock.write().or_else(LockError::recover).unwrap()),
                    false => drop(place.lock.read().or_else(LockError::recover).unwrap()),
                });
            },
            |place, number| {
                let news = place.check();
                assert!(news || number > 1, "nothing was done yet, so the first death is still to be told");
            },
        );
    }
}

/// The successor gives the value up and is killed anywhere in that: there is news, or poison, but never silence.
#[test]
fn killed_anywhere_in_poisoning_and_repairing() {
    kill_everywhere(
        "poison",
        || {
            let place = Place::new();
            leave_dead(&place);
            place
        },
        |place| {
            place.announce();
            kill_zone(|| drop(place.lock.read()));
        },
        |place, _| {
            let first = kind(place.lock.write_timeout(FAR)).unwrap();
            assert!(matches!(first, ErrorKind::OwnerDied | ErrorKind::Poisoned), "{first:?}");
            assert_eq!(kind(place.lock.read_timeout(FAR)), Some(ErrorKind::Poisoned));
            drop(place.lock.repair().unwrap().recover());
            assert!(!place.check());
        },
    );
    kill_everywhere(
        "repair",
        || {
            let place = Place::new();
            drop(place.lock.repair().unwrap());
            place
        },
        |place| {
            place.announce();
            kill_zone(|| drop(place.lock.repair().unwrap().recover()));
        },
        |place, _| {
            match kind(place.lock.write_timeout(FAR)) {
                // Poisoned still, or "being written" once more: it had not ended.
                Some(ErrorKind::Poisoned | ErrorKind::OwnerDied) => {
                    drop(place.lock.repair().unwrap().recover())
                }
                other => assert_eq!(other, None),
            }
            assert!(!place.check());
        },
    );
}
