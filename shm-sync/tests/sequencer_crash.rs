//! Killed holders, waiters and executors of a sequencer: the death is told at once to everybody, and the order goes on.
#![allow(unsafe_code, reason = "raw looks at the sequencer's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_until, watchdog,
};
use shm_sync::{Error, ErrorKind, Primitive, Sequencer, Turn};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

/// A sequencer in plain shared bytes, so that the kill test can watch them.
struct Place {
    order: Sequencer,
    bytes: *mut u8,
}

impl Place {
    fn new() -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a sequencer only.
        Self { order: unsafe { Sequencer::from_ptr(bytes, 4096) }.unwrap(), bytes }
    }

    fn leaked() -> &'static Self {
        Box::leak(Box::new(Self::new()))
    }

    /// Has the stores to the sequencer and to the thread's list counted.
    fn announce(&self) {
        announce(self.bytes, 128);
        announce_list();
    }

    /// The next turns can be had, in this process and in others, in order.
    fn check(&self) {
        let next = self.order.current();
        drop(self.order.recover(next).unwrap());
        let child = fork(|| drop(self.order.turn_timeout(next + 2, FAR).unwrap()));
        drop(self.order.turn_timeout(next + 1, FAR).unwrap());
        child.expect_success();
        assert_eq!((self.order.current(), self.order.broken()), (next + 3, None));
    }
}

/// A child that takes a turn and then stays until it is killed.
fn holder(order: &Sequencer, number: u64) -> Child {
    holder_by(order, |order| order.turn(number).unwrap())
}

fn is_broken(taken: Result<Turn<'_>, Error>, number: u64) {
    let error = taken.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Broken);
    assert!(error.to_string().contains(&format!("turn {number} died")), "{error}");
}

/// All who wait are told, wherever they went to sleep: before anybody had a turn, and while somebody had one.
#[test]
fn everybody_is_told_of_a_holders_death() {
    let _watchdog = watchdog();
    for round in 0..rounds(20) {
        let order = Sequencer::anonymous(0).unwrap();
        let early: Vec<_> = (2..4).map(|number| fork(|| is_broken(order.turn(number), 0))).collect();
        if round % 2 == 0 {
            early.iter().for_each(wait_asleep);
        }
        let holder = holder(&order, 0);
        let late: Vec<_> = [1, 4, 33].map(|number| fork(|| is_broken(order.turn(number), 0))).into();
        late.iter().chain(&early).for_each(wait_asleep);
        drop(holder);
        late.into_iter().chain(early).for_each(Child::expect_success);
        // And whoever comes then, until somebody takes the turn over.
        is_broken(order.turn(0), 0);
        is_broken(order.turn_timeout(7, FAR), 0);
        assert_eq!((order.broken(), order.current()), (Some(0), 0));
        drop(order.recover(0).unwrap());
        drop(order.turn(1).unwrap());
    }
}

/// Waiters who slept through several turns hear of the death of a holder who came after them.
#[test]
fn sleepers_of_earlier_turns_hear_of_later_deaths() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let turn = order.turn(0).unwrap();
    let waiters: Vec<_> = (5..8).map(|number| fork(|| is_broken(order.turn(number), 3))).collect();
    waiters.iter().for_each(wait_asleep);
    drop(turn);
    (1..3).for_each(|number| drop(order.turn(number).unwrap()));
    drop(holder(&order, 3));
    waiters.into_iter().for_each(Child::expect_success);
}

#[test]
fn a_chain_of_deaths_is_told_each_time() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    for _ in 0..5 {
        drop(holder_by(&order, |order| order.recover(0).unwrap()));
        is_broken(order.turn(1), 0);
        assert_eq!(order.broken(), Some(0));
    }
    order.skip(0).unwrap();
    drop(order.turn(1).unwrap());
}

/// As `holder`, with a turn that is had in another way.
fn holder_by<'a>(order: &'a Sequencer, take: impl Fn(&'a Sequencer) -> Turn<'a>) -> Child {
    let ready = &shared_counters()[0];
    let child = fork(|| {
        let _turn = take(order);
        ready.store(1, SeqCst);
        std::thread::sleep(FAR);
    });
    wait_until(|| ready.load(SeqCst) == 1);
    child
}

/// Several executors take over at once: one gets the turn.
#[test]
fn one_takes_over() {
    let _watchdog = watchdog();
    for _ in 0..rounds(20) {
        let order = Sequencer::anonymous(0).unwrap();
        let counters = shared_counters();
        let (won, tried) = (&counters[0], &counters[1]);
        drop(holder(&order, 0));
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    let taken = order.recover(0);
                    tried.fetch_add(1, SeqCst);
                    if let Ok(_turn) = taken {
                        won.fetch_add(1, SeqCst);
                        wait_until(|| tried.load(SeqCst) == 3);
                    }
                })
            })
            .collect();
        children.into_iter().for_each(Child::expect_success);
        assert_eq!(won.load(SeqCst), 1);
        assert_eq!(order.current(), 1);
    }
}

/// Killed anywhere in taking and ending a turn, with nobody else there.
#[test]
fn killed_anywhere_in_a_turn() {
    killed_often_enough(|| {
        KillTest::new("take and end a turn")
            .prepare(Place::new)
            .victim(|place| {
                place.announce();
                kill_zone(|| drop(place.order.turn(0).unwrap()));
            })
            .check(|place, point| {
                let (current, broken) = (place.order.current(), place.order.broken());
                assert!(current <= 1);
                assert!(broken.is_none_or(|turn| turn == 0), "the next turn is nobody's yet");
                assert!(point.number < point.of || current == 1);
                place.check();
            })
            .run(Coverage::from_env())
    });
}

/// Killed anywhere in ending a turn that others wait for: they go on in order, or all of them are told, and nobody sleeps for ever.
#[test]
fn killed_anywhere_in_ending_a_turn_with_waiters() {
    killed_often_enough(|| {
        KillTest::new("end a turn with waiters")
            .prepare(|| {
                let place = Place::leaked();
                let taken = &shared_counters()[0];
                let waiters = [1, 2, 34].map(|number| {
                    fork(|| {
                        wait_until(|| taken.load(SeqCst) == 1);
                        match place.order.turn(number) {
                            Ok(turn) => drop(turn),
                            Err(error) => assert!(error.kind() == ErrorKind::Broken, "{error}"),
                        }
                    })
                });
                (place, taken, waiters)
            })
            .victim(|(place, taken, waiters)| {
                let turn = place.order.turn(0).unwrap();
                taken.store(1, SeqCst);
                waiters.iter().for_each(wait_asleep);
                // Only what is private: the waiters write to the sequencer at moments of their own.
                announce_list();
                kill_zone(|| drop(turn));
            })
            .check(|(place, _, [first, second, far]), _point| {
                first.expect_success();
                second.expect_success();
                match place.order.broken() {
                    Some(turn) => assert_eq!(turn, 0),
                    None => (3..34).for_each(|number| drop(place.order.turn_timeout(number, FAR).unwrap())),
                }
                far.expect_success();
                place.check();
            })
            .run(Coverage::from_env())
    });
}

/// A waiter is killed on its way to sleep, asleep or giving up: the others and the order do not care.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    for held in [false, true] {
        killed_often_enough(|| {
            KillTest::new(if held { "wait during a turn" } else { "wait before a turn" })
                .prepare(|| {
                    let place = Place::leaked();
                    (place, held.then(|| place.order.turn(0).unwrap()))
                })
                .victim(|(place, _turn)| {
                    place.announce();
                    let taken = kill_zone(|| place.order.turn_timeout(1, Duration::from_millis(2)));
                    assert_eq!(taken.unwrap_err().kind(), ErrorKind::TimedOut);
                })
                .check(|(place, turn), _point| {
                    drop(turn);
                    assert_eq!(place.order.broken(), None);
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// An executor is killed anywhere in taking over, passing over and resetting.
#[test]
fn killed_anywhere_in_putting_things_right() {
    type Action = fn(&Sequencer);
    let actions: [(&str, Action); 4] = [
        ("recover", |order| drop(order.recover(0).unwrap())),
        ("skip the broken turn", |order| order.skip(0).unwrap()),
        ("skip a later turn", |order| order.skip(1).unwrap()),
        ("reset", |order| order.reset(7).unwrap()),
    ];
    for (name, action) in actions {
        killed_often_enough(|| {
            KillTest::new(name)
                .prepare(|| {
                    let place = Place::new();
                    fork(|| std::mem::forget(place.order.turn(0).unwrap())).expect_success();
                    place
                })
                .victim(move |place| {
                    place.announce();
                    kill_zone(|| action(&place.order));
                })
                .check(|place, _point| {
                    let current = place.order.current();
                    assert!([0, 1, 7].contains(&current), "{current}");
                    assert!(place.order.broken().is_none_or(|turn| turn == current));
                    let next = if name == "skip a later turn" && place.order.try_turn(2).is_err() {
                        drop(place.order.recover(0).unwrap());
                        place.order.current()
                    } else {
                        current
                    };
                    assert!(next >= current);
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// The one waiter that the kernel wakes is killed before it can tell the others: they are told all the same.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let victim_of_all = holder(&order, 0);
    DoubleKill {
        victim: || drop(order.turn(1)),
        survivor: || is_broken(order.turn(2), 0),
        wake: || drop(victim_of_all),
        meanwhile: || (),
    }
    .run_then(drop);
    assert_eq!(order.broken(), Some(0));

    // And with a turn that comes: its owner is killed, and so will never begin it; the others are not disturbed.
    let order = Sequencer::anonymous(0).unwrap();
    let turn = order.turn(0).unwrap();
    DoubleKill {
        victim: || drop(order.turn(1)),
        survivor: || drop(order.turn(2).unwrap()),
        wake: || drop(turn),
        meanwhile: || (),
    }
    .run_then(|()| {
        assert_eq!((order.current(), order.broken()), (1, None));
        order.skip(1).unwrap();
    });
    assert_eq!(order.current(), 3);
}

/// Whoever has a turn is killed at some moment, again and again, and an executor passes over what the dead have left.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    for round in 0..rounds(40) as u64 {
        let start = order.current();
        let parties: Vec<_> = (0..3u64)
            .map(|party| {
                fork(|| {
                    for turn in 0.. {
                        match order.turn(start + 3 * turn + party) {
                            Ok(turn) => drop(turn),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Broken);
                                std::thread::sleep(FAR);
                            }
                        }
                    }
                })
            })
            .collect();
        for party in parties {
            std::thread::sleep(Duration::from_micros(200 + round * 37 % 500));
            drop(party);
        }
        let current = order.current();
        assert!(current >= start);
        assert!(order.broken().is_none_or(|turn| turn == current));
        order.skip(current).unwrap();
        assert_eq!((order.current(), order.broken()), (current + 1, None));
    }
    drop(order.turn(order.current()).unwrap());
}
