//! Semaphores and death: a killed process costs the permit that it had, and nobody's wake-up.

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_counters, wait_asleep, wait_until,
    watchdog,
};
use shm_sync::{BoundedSemaphore, ErrorKind, Permit, Primitive, Semaphore};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use waits::{FAR, Place, sleeper};

/// Registers the calling thread with the kernel, so that what comes is the same each time.
fn register() {
    let other = Semaphore::anonymous(1).unwrap();
    drop(other.acquire().unwrap());
}

/// The semaphore works, for this process and for others, with these permits and no more.
fn check(semaphore: &BoundedSemaphore, permits: u32) {
    for _ in 0..permits {
        semaphore.acquire_timeout(FAR).unwrap().forget();
    }
    assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::Busy);
    let waiter = sleeper(|| semaphore.acquire_timeout(FAR).map(Permit::forget));
    semaphore.release(1).unwrap();
    waiter.expect_success();
    fork(|| semaphore.release(semaphore.bound()).unwrap()).expect_success();
    assert_eq!(semaphore.release(1).unwrap_err().kind(), ErrorKind::Overflow);
}

/// At any moment the permit is there or was taken; the count is right, and the death of whoever had it is the only loss.
#[test]
fn killed_anywhere_in_acquire_and_drop() {
    killed_often_enough(|| {
        KillTest::new("acquire and give back")
            .prepare(|| Place::<BoundedSemaphore>::new(2))
            .victim(|place| {
                register();
                announce(place.bytes, 64);
                announce_list();
                kill_zone(|| drop(place.object.acquire().unwrap()));
            })
            .check(|place, _point| {
                let left = place.object.available().unwrap();
                assert!(left == 1 || left == 2);
                check(&place.object, left);
            })
            .run(Coverage::from_env())
    });
}

/// The first release of a thread, with its registration, and nobody waiting.
#[test]
fn killed_anywhere_in_the_first_release() {
    killed_often_enough(|| {
        KillTest::new("first release")
            .prepare(|| {
                let place = Place::<BoundedSemaphore>::new(3);
                (0..2).for_each(|_| place.object.acquire().unwrap().forget());
                place
            })
            .victim(|place| {
                announce(place.bytes, 64);
                announce_list();
                kill_zone(|| place.object.release(2).unwrap());
            })
            .check(|place, _point| {
                let left = place.object.available().unwrap();
                assert!(left == 1 || left == 3, "both or none: {left}");
                check(&place.object, left);
            })
            .run(Coverage::from_env())
    });
}

/// The releaser is killed anywhere with two asleep. Once the permits are there, both wake, without anybody's help.
#[test]
fn killed_anywhere_in_a_release_with_waiters() {
    killed_often_enough(|| {
        KillTest::new("release with waiters")
            .prepare(|| {
                let place: &'static Place<BoundedSemaphore> = Box::leak(Box::new(Place::new(2)));
                (0..2).for_each(|_| place.object.acquire().unwrap().forget());
                let wait = || place.object.acquire_timeout(FAR).map(Permit::forget);
                (place, [sleeper(wait), sleeper(wait)])
            })
            .victim(|(place, _waiters)| {
                register();
                // The waiters' stores to the semaphore begin after the wake-up.
                announce(place.bytes, 8);
                announce_list();
                kill_zone(|| place.object.release(2).unwrap());
            })
            .check(|(place, waiters), point| {
                // The first store names the gate, the second one is the count.
                if point.number == 1 {
                    place.object.release(2).unwrap();
                }
                waiters.into_iter().for_each(Child::expect_success);
                check(&place.object, 0);
            })
            .run(Coverage::from_env())
    });
}

/// A waiter that is killed on its way to sleep, asleep, or giving up takes nothing with it.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    killed_often_enough(|| {
        KillTest::new("wait in vain")
            .prepare(|| {
                let place: &'static Place<BoundedSemaphore> = Box::leak(Box::new(Place::new(1)));
                place.object.acquire().unwrap().forget();
                (place, sleeper(|| place.object.acquire_timeout(FAR).map(Permit::forget)))
            })
            .victim(|(place, _survivor)| {
                register();
                announce_list();
                let permit = kill_zone(|| place.object.acquire_timeout(Duration::from_millis(5)));
                assert_eq!(permit.unwrap_err().kind(), ErrorKind::TimedOut);
            })
            .check(|(place, survivor), _point| {
                place.object.release(1).unwrap();
                survivor.expect_success();
                check(&place.object, 0);
            })
            .run(Coverage::from_env())
    });
}

/// A waiter is woken and killed anywhere up to its return, with another one asleep behind it. A permit that the victim did not take is taken by the other.
#[test]
fn killed_anywhere_in_a_wait_that_is_answered() {
    killed_often_enough(|| {
        KillTest::new("wait and get")
            .prepare(|| {
                let place: &'static Place<BoundedSemaphore> = Box::leak(Box::new(Place::new(1)));
                place.object.acquire().unwrap().forget();
                let [ready, over, ..] = shared_counters();
                // Gives the permit when the victim sleeps, or, if it never does, when it is dead.
                let giver = fork(|| {
                    wait_until(|| {
                        let pid = ready.load(SeqCst);
                        let call = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
                        over.load(SeqCst) == 1 || pid != 0 && call.contains("futex")
                    });
                    place.object.release(1).unwrap();
                });
                (place, ready, over, giver)
            })
            .victim(|(place, ready, ..)| {
                register();
                announce_list();
                ready.store(std::process::id(), SeqCst);
                kill_zone(|| place.object.acquire_timeout(FAR).unwrap().forget());
            })
            .check(|(place, _, over, giver), _point| {
                let survivor = fork(|| place.object.acquire_timeout(FAR).unwrap().forget());
                over.store(1, SeqCst);
                giver.expect_success();
                // The victim took it, or the survivor does, soon.
                wait_until(|| place.object.available().unwrap() == 0);
                wait_asleep_or_gone(&survivor);
                place.object.release(1).unwrap();
                survivor.expect_success();
                let left = place.object.available().unwrap();
                check(&place.object, left);
            })
            .run(Coverage::from_env())
    });
}

/// Waits until the child sleeps or has ended.
fn wait_asleep_or_gone(child: &Child) {
    wait_until(|| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap_or_default();
        matches!(stat.rsplit(") ").next().and_then(|rest| rest.chars().next()), Some('S' | 'Z') | None)
    });
}

/// The woken waiter dies before it runs; the other one passes all the same, whether the permit stayed there (the kernel passes the wake-up on)
/// or somebody took it and gave it back meanwhile.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for barge in [false, true] {
        let semaphore = Semaphore::anonymous(0).unwrap();
        DoubleKill {
            victim: || drop(semaphore.acquire()),
            survivor: || semaphore.acquire().unwrap().forget(),
            wake: || semaphore.release(1).unwrap(),
            meanwhile: || barge.then(|| semaphore.try_acquire()),
        }
        .run_then(drop);
        assert_eq!(semaphore.available().unwrap(), 0);
    }
}

/// Every process of a crowd is killed at some moment: at most one permit each is lost, and given anew.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let semaphore = BoundedSemaphore::anonymous(2).unwrap();
    let passed = &shared_counters()[0];
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..4)
            .map(|_| {
                fork(|| {
                    loop {
                        let permit = semaphore.acquire().unwrap();
                        passed.fetch_add(1, SeqCst);
                        drop(permit);
                    }
                })
            })
            .collect();
        for child in children {
            std::thread::sleep(Duration::from_micros(300 + round * 37 % 500));
            drop(child);
        }
        let lost = 2 - semaphore.available().unwrap();
        if lost != 0 {
            semaphore.release(lost).unwrap();
        }
    }
    assert!(passed.load(SeqCst) > 0);
    let waiter = fork(|| semaphore.acquire_timeout(FAR).unwrap().forget());
    waiter.expect_success();
    assert_eq!(semaphore.available().unwrap(), 1);
}

/// Waiters are killed at random moments while permits come one by one: those who live get all that the dead did not take.
#[test]
fn random_kills_of_waiters() {
    let _watchdog = watchdog();
    for round in 0..rounds(20) as u64 {
        let semaphore = Semaphore::anonymous(0).unwrap();
        let taken = &shared_counters()[0];
        let take = || {
            for _ in 0..200 {
                semaphore.acquire_timeout(FAR).unwrap().forget();
                taken.fetch_add(1, SeqCst);
            }
        };
        let victims = [fork(take), fork(take)];
        let survivor = fork(take);
        let giver = fork(|| (0..600).for_each(|_| semaphore.release(1).unwrap()));
        for victim in victims {
            std::thread::sleep(Duration::from_micros(50 + round * 97 % 700));
            drop(victim);
        }
        giver.expect_success();
        survivor.expect_success();
        // A permit that was taken and not yet counted, by each victim.
        let seen = semaphore.available().unwrap() + taken.load(SeqCst);
        assert!((598..=600).contains(&seen), "{seen}");
    }
}

/// A sleeper that is killed leaves its mark; the next release finds nobody and loses nothing.
#[test]
fn a_killed_sleeper_leaves_the_permit_to_the_next() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(0).unwrap();
    let sleeper = fork(|| drop(semaphore.acquire()));
    wait_asleep(&sleeper);
    drop(sleeper);
    semaphore.release(1).unwrap();
    drop(semaphore.try_acquire().unwrap());
    assert_eq!(semaphore.available().unwrap(), 1);
}
