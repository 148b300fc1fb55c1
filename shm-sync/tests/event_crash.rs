//! Events and death: an event is set or not, and whoever waits for a set one passes, whoever dies meanwhile.

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{DoubleKill, announce_list, fork, killed_often_enough, rounds, wait_asleep, watchdog};
use shm_sync::{ErrorKind, Event, Primitive};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::time::Duration;
use waits::{FAR, Place, sleeper};

/// It works, for this process and for others.
fn check(event: &Event) {
    event.set().unwrap();
    fork(|| event.wait_timeout(FAR).unwrap()).expect_success();
    event.clear().unwrap();
    let waiter = sleeper(|| event.wait_timeout(FAR));
    event.set().unwrap();
    waiter.expect_success();
}

/// The setter is killed anywhere with two asleep. Once the event is set, both pass, without anybody's help.
#[test]
fn killed_anywhere_in_setting_with_waiters() {
    killed_often_enough(|| {
        KillTest::new("set with waiters")
            .prepare(|| {
                let place: &'static Place<Event> = Box::leak(Box::new(Place::new(false)));
                (
                    place,
                    [sleeper(|| place.object.wait_timeout(FAR)), sleeper(|| place.object.wait_timeout(FAR))],
                )
            })
            .victim(|(place, _waiters)| {
                announce(place.bytes, 8);
                announce_list();
                kill_zone(|| place.object.set().unwrap());
            })
            .check(|(place, waiters), _point| {
                if !place.object.is_set().unwrap() {
                    place.object.set().unwrap();
                }
                waiters.into_iter().for_each(Child::expect_success);
                check(&place.object);
            })
            .run(Coverage::from_env())
    });
}

/// Set and cleared: killed in between or anywhere else, it is one or the other.
#[test]
fn killed_anywhere_in_setting_and_clearing() {
    killed_often_enough(|| {
        KillTest::new("set and clear")
            .prepare(|| Place::<Event>::new(false))
            .victim(|place| {
                announce(place.bytes, 64);
                announce_list();
                kill_zone(|| {
                    place.object.set().unwrap();
                    place.object.clear().unwrap();
                });
            })
            .check(|place, _point| check(&place.object))
            .run(Coverage::from_env())
    });
}

/// A waiter that is killed on its way to sleep, asleep, or giving up takes nothing with it.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    killed_often_enough(|| {
        KillTest::new("wait for an event in vain")
            .prepare(|| {
                let place: &'static Place<Event> = Box::leak(Box::new(Place::new(false)));
                (place, sleeper(|| place.object.wait_timeout(FAR)))
            })
            .victim(|(place, _survivor)| {
                announce_list();
                let outcome = kill_zone(|| place.object.wait_timeout(Duration::from_millis(5)));
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
            })
            .check(|(place, survivor), _point| {
                place.object.set().unwrap();
                survivor.expect_success();
                check(&place.object);
            })
            .run(Coverage::from_env())
    });
}

#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for clear in [false, true] {
        let event = Event::anonymous(false).unwrap();
        DoubleKill {
            victim: || event.wait().unwrap(),
            survivor: || event.wait().unwrap(),
            wake: || event.set().unwrap(),
            meanwhile: || {
                if clear {
                    event.clear().unwrap();
                }
            },
        }
        .run_then(drop);
        check(&event);
    }
}

/// Waiters, setters and clearers are killed at random moments; the event works on.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    for round in 0..rounds(60) as u64 {
        let waiter = fork(|| {
            loop {
                event.wait().unwrap();
            }
        });
        let setter = fork(|| {
            loop {
                event.set().unwrap();
                event.clear().unwrap();
            }
        });
        let survivor = fork(|| (0..20).for_each(|_| event.wait_timeout(FAR).unwrap()));
        std::thread::sleep(Duration::from_micros(300 + round * 37 % 500));
        drop(waiter);
        std::thread::sleep(Duration::from_micros(round * 61 % 500));
        drop(setter);
        event.set().unwrap();
        survivor.expect_success();
        event.clear().unwrap();
    }
    check(&event);
}

#[test]
fn a_killed_sleeper_leaves_the_event_as_it_is() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    let sleeper = fork(|| drop(event.wait()));
    wait_asleep(&sleeper);
    drop(sleeper);
    assert!(!event.is_set().unwrap());
    check(&event);
}
