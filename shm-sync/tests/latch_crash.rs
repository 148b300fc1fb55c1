//! Latches and death: an arrival was counted or not, and whoever waits at an open latch passes, whoever dies meanwhile.

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_counters, wait_until, watchdog,
};
use shm_sync::{ErrorKind, Latch, Primitive};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use waits::{FAR, Place, sleeper};

/// It is open, for this process and for others, and counts nobody any more.
fn check_open(latch: &Latch) {
    latch.wait_timeout(FAR).unwrap();
    fork(|| latch.wait_timeout(FAR).unwrap()).expect_success();
    assert_eq!(latch.count_down(1).unwrap_err().kind(), ErrorKind::Overflow);
}

/// The last to arrive is killed anywhere with two asleep. Once it is counted, both pass, without anybody's help.
#[test]
fn killed_anywhere_in_the_last_arrival() {
    killed_often_enough(|| {
        KillTest::new("count down with waiters")
            .prepare(|| {
                let place: &'static Place<Latch> = Box::leak(Box::new(Place::new(2)));
                (
                    place,
                    [sleeper(|| place.object.wait_timeout(FAR)), sleeper(|| place.object.wait_timeout(FAR))],
                )
            })
            .victim(|(place, _waiters)| {
                announce(place.bytes, 8);
                announce_list();
                kill_zone(|| place.object.count_down(2).unwrap());
            })
            .check(|(place, waiters), _point| {
                let remaining = place.object.remaining().unwrap();
                assert!(remaining == 0 || remaining == 2, "both arrivals or none: {remaining}");
                if remaining == 2 {
                    place.object.count_down(2).unwrap();
                }
                waiters.into_iter().for_each(Child::expect_success);
                check_open(&place.object);
            })
            .run(Coverage::from_env())
    });
}

/// A party is killed anywhere between its arrival, the wait for the others and its deadline: it arrived once or not at all.
#[test]
fn killed_anywhere_in_arriving_and_waiting() {
    killed_often_enough(|| {
        KillTest::new("arrive and wait")
            .prepare(|| {
                let place: &'static Place<Latch> = Box::leak(Box::new(Place::new(2)));
                (place, sleeper(|| place.object.wait_timeout(FAR)))
            })
            .victim(|(place, _survivor)| {
                announce_list();
                let outcome = kill_zone(|| {
                    place.object.count_down(1).unwrap();
                    place.object.wait_timeout(Duration::from_millis(5))
                });
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
            })
            .check(|(place, survivor), _point| {
                let remaining = place.object.remaining().unwrap();
                assert!(remaining == 1 || remaining == 2);
                place.object.count_down(remaining).unwrap();
                survivor.expect_success();
                check_open(&place.object);
            })
            .run(Coverage::from_env())
    });
}

#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    let latch = Latch::anonymous(1).unwrap();
    DoubleKill {
        victim: || latch.wait().unwrap(),
        survivor: || latch.wait().unwrap(),
        wake: || latch.count_down(1).unwrap(),
        meanwhile: || (),
    }
    .run_then(drop);
    check_open(&latch);
}

/// Parties are killed at random moments. Those who arrived are counted, and the latch opens when somebody arrives for the others.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    for round in 0..rounds(60) as u64 {
        let latch = Latch::anonymous(4).unwrap();
        let arrived = &shared_counters()[0];
        let victims = [(); 3].map(|()| fork(|| latch.arrive_and_wait().unwrap()));
        let survivor = fork(|| {
            latch.count_down(1).unwrap();
            arrived.store(1, SeqCst);
            latch.wait_timeout(FAR).unwrap();
        });
        for victim in victims {
            std::thread::sleep(Duration::from_micros(round * 37 % 300));
            drop(victim);
        }
        wait_until(|| arrived.load(SeqCst) == 1);
        // Nobody else will arrive now: what is missing are the dead.
        let missing = latch.remaining().unwrap();
        assert!(missing <= 3);
        if missing != 0 {
            latch.count_down(missing).unwrap();
        }
        survivor.expect_success();
        check_open(&latch);
    }
}
