//! Parties that die before they arrive, while they wait, on their way out: the others are told, all of them, and a reset mends it.
#![allow(unsafe_code, reason = "raw looks at the barrier's bytes")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_until, watchdog,
};
use shm_sync::{Barrier, ErrorKind, Primitive};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

fn new(parties: u32) -> Barrier {
    Barrier::anonymous(parties).unwrap()
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(FAR);
    }
}

/// Waits until a child has joined and says so.
fn joined(barrier: &Barrier) -> Child {
    let at = &shared_counters()[0];
    let child = fork(|| {
        let _party = barrier.join().unwrap();
        at.store(1, SeqCst);
        sleep_for_ever();
    });
    wait_until(|| at.load(SeqCst) == 1);
    child
}

fn waiter(barrier: &Barrier) -> Child {
    fork(|| assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken))
}

#[test]
fn a_party_that_dies_before_it_arrives_breaks_it_for_all() {
    let _watchdog = watchdog();
    for _ in 0..rounds(10) {
        let barrier = new(5);
        let early = joined(&barrier);
        let mut waiters: Vec<_> = (0..2).map(|_| waiter(&barrier)).collect();
        waiters.iter().for_each(wait_asleep);
        // This one joins when the waiters sleep already.
        let late = joined(&barrier);
        drop(late);
        waiters.drain(..).for_each(Child::expect_success);
        assert!(barrier.is_broken());
        assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken);
        drop(early);
        barrier.reset().unwrap();
        let all: Vec<_> = (0..5).map(|_| fork(|| _ = barrier.wait().unwrap())).collect();
        all.into_iter().for_each(Child::expect_success);
    }
}

#[test]
fn a_party_that_dies_while_it_waits_breaks_it_for_all() {
    let _watchdog = watchdog();
    for _ in 0..rounds(10) {
        let barrier = new(4);
        let victim = fork(|| drop(barrier.wait()));
        wait_asleep(&victim);
        let waiters: Vec<_> = (0..2).map(|_| waiter(&barrier)).collect();
        waiters.iter().for_each(wait_asleep);
        drop(victim);
        waiters.into_iter().for_each(Child::expect_success);
        barrier.reset().unwrap();
        assert_eq!((barrier.n_waiting(), barrier.is_broken()), (0, false));
    }
}

/// Nobody waits when it happens; and it is the last party that finds out.
#[test]
fn a_death_that_nobody_watched_is_found() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let victim = fork(|| drop(barrier.wait()));
    wait_asleep(&victim);
    drop(victim);
    assert!(barrier.is_broken());
    assert_eq!(barrier.try_wait().unwrap_err().kind(), ErrorKind::Broken);
    barrier.reset().unwrap();
    drop(joined(&barrier));
    assert_eq!(barrier.join().map(|party| party.wait().unwrap_err().kind()).unwrap(), ErrorKind::Broken);
    barrier.reset().unwrap();
    let other = fork(|| _ = barrier.wait().unwrap());
    barrier.wait().unwrap();
    other.expect_success();
}

#[test]
fn a_thread_that_ends_or_panics_in_its_seat() {
    let _watchdog = watchdog();
    for panics in [false, true] {
        let barrier = new(3);
        let waiter = waiter(&barrier);
        wait_asleep(&waiter);
        let thread = std::thread::spawn({
            let barrier = barrier.clone();
            move || {
                let party = barrier.join().unwrap();
                if panics {
                    panic!("as intended");
                }
                std::mem::forget(party);
            }
        });
        assert_eq!(thread.join().is_err(), panics);
        waiter.expect_success();
        barrier.reset().unwrap();
        let others: Vec<_> = (0..2).map(|_| fork(|| _ = barrier.wait().unwrap())).collect();
        barrier.wait().unwrap();
        others.into_iter().for_each(Child::expect_success);
    }
}

#[test]
fn a_death_in_the_action() {
    let _watchdog = watchdog();
    let barrier = new(3);
    let waiters: Vec<_> = (0..2).map(|_| waiter(&barrier)).collect();
    waiters.iter().for_each(wait_asleep);
    let at = &shared_counters()[0];
    let last = fork(|| {
        drop(barrier.wait_with(|| {
            at.store(1, SeqCst);
            sleep_for_ever();
        }));
    });
    wait_until(|| at.load(SeqCst) == 1);
    drop(last);
    waiters.into_iter().for_each(Child::expect_success);
}

/// More parties than one sleep can watch: whoever dies, everybody is told.
#[test]
fn more_parties_than_a_sleep_can_watch() {
    let _watchdog = watchdog();
    const PARTIES: usize = 150;
    for victim in [0, 75, PARTIES - 2] {
        let barrier = new(PARTIES as u32);
        let at = shared_counters();
        let children: Vec<_> = (0..PARTIES - 1)
            .map(|index| {
                let child = fork(|| {
                    let party = barrier.join().unwrap();
                    assert_eq!(party.index(), index);
                    at[0].fetch_add(1, SeqCst);
                    let kind = party.wait().unwrap_err().kind();
                    assert_eq!(kind, ErrorKind::Broken);
                });
                wait_until(|| at[0].load(SeqCst) == index as u32 + 1);
                child
            })
            .collect();
        children.iter().for_each(wait_asleep);
        children[victim].kill(libc::SIGKILL);
        for (index, child) in children.into_iter().enumerate() {
            if index != victim {
                child.expect_success();
            }
        }
    }
}

/// The one that the kernel has woken dies before it runs: its own death wakes the next.
#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for complete in [false, true] {
        let barrier = new(4);
        let early = if complete { None } else { Some(joined(&barrier)) };
        DoubleKill {
            victim: || drop(barrier.wait()),
            survivor: || match barrier.wait() {
                Ok(_) => assert!(complete),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Broken),
            },
            wake: || match early {
                Some(party) => drop(party),
                None => {
                    let third = fork(|| drop(barrier.wait()));
                    wait_until(|| barrier.n_waiting() == 3);
                    drop(barrier.wait());
                    drop(third);
                }
            },
            meanwhile: || (),
        }
        .run_then(drop);
    }
}

#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    let barrier = new(3);
    for round in 0..rounds(60) as u64 {
        let children: Vec<_> = (0..3)
            .map(|index| {
                fork(|| {
                    if index == 0 {
                        let party = barrier.join().unwrap();
                        while party.wait().is_ok() {}
                    } else {
                        while barrier.wait().is_ok() {}
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_micros(300 + round * 37 % 900));
        let mut children = children.into_iter();
        // One is killed; the others are told, and end by themselves.
        drop(children.next());
        let survivors: Vec<_> = children.collect();
        if !barrier.is_broken() {
            // It was killed before it had a seat.
            barrier.abort().unwrap();
        }
        survivors.into_iter().for_each(Child::expect_success);
        barrier.reset().unwrap();
        assert_eq!((barrier.n_waiting(), barrier.is_broken()), (0, false));
    }
}

/// A barrier in plain shared bytes, so that the kill test can watch them.
struct Place {
    barrier: Barrier,
    bytes: *mut u8,
}

impl Place {
    fn new(parties: u32) -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a barrier only.
        Self { barrier: unsafe { Barrier::init_at(bytes, 4096, parties) }.unwrap(), bytes }
    }

    fn announce(&self) {
        announce(self.bytes, 256);
        announce_list();
    }

    /// After a reset it is as good as new, for everybody.
    fn check(&self) {
        self.barrier.reset().unwrap();
        assert_eq!((self.barrier.n_waiting(), self.barrier.is_broken()), (0, false));
        let others: Vec<_> = (1..self.barrier.parties())
            .map(|_| fork(|| _ = self.barrier.wait_timeout(FAR).unwrap()))
            .collect();
        self.barrier.wait_timeout(FAR).unwrap();
        others.into_iter().for_each(Child::expect_success);
    }
}

#[test]
fn killed_anywhere_alone() {
    killed_often_enough(|| {
        KillTest::new("join, wait, leave")
            .prepare(|| Place::new(1))
            .victim(|place| {
                place.announce();
                kill_zone(|| {
                    let party = place.barrier.join().unwrap();
                    party.wait().unwrap();
                    drop(party);
                    place.barrier.wait().unwrap();
                });
            })
            .check(|place, _point| {
                match place.barrier.wait_timeout(FAR) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Broken),
                }
                place.check();
            })
            .run(Coverage::from_env())
    });
}

/// The last party is killed anywhere in its wait: the sleeper gets through, or is told.
#[test]
fn killed_anywhere_as_the_last_one() {
    for acts in [false, true] {
        killed_often_enough(|| {
            KillTest::new("arrive last")
                .prepare(|| {
                    let place: &'static Place = Box::leak(Box::new(Place::new(2)));
                    let other = fork(|| {
                        if let Err(error) = place.barrier.wait_timeout(FAR) {
                            assert_eq!(error.kind(), ErrorKind::Broken);
                        }
                    });
                    wait_asleep(&other);
                    (place, other)
                })
                .victim(move |(place, _)| {
                    // Only what is private: the other one writes to the barrier at moments of its own.
                    announce_list();
                    kill_zone(|| {
                        if acts {
                            place.barrier.wait_with(|| ()).unwrap();
                        } else {
                            place.barrier.wait().unwrap();
                        }
                    });
                })
                .check(|(place, mut other), _point| {
                    // Killed before it had arrived, perhaps before it had a seat: then nothing tells the other one to go.
                    while other.try_wait().is_none() {
                        let _ = place.barrier.wait_timeout(Duration::from_millis(1));
                    }
                    other.expect_success();
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    killed_often_enough(|| {
        KillTest::new("wait in vain")
            .prepare(|| Place::new(2))
            .victim(|place| {
                place.announce();
                let wait = kill_zone(|| place.barrier.wait_timeout(Duration::from_millis(5)));
                assert_eq!(wait.unwrap_err().kind(), ErrorKind::TimedOut);
            })
            .check(|place, _point| place.check())
            .run(Coverage::from_env())
    });
}

#[test]
fn killed_anywhere_in_abort_and_reset() {
    killed_often_enough(|| {
        KillTest::new("abort, reset")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new(3)));
                let victim = fork(|| drop(place.barrier.wait()));
                wait_asleep(&victim);
                let other = fork(|| {
                    assert_eq!(place.barrier.wait_timeout(FAR).unwrap_err().kind(), ErrorKind::Broken)
                });
                wait_asleep(&other);
                drop(victim);
                (place, other)
            })
            .victim(|(place, _)| {
                place.announce();
                kill_zone(|| {
                    place.barrier.abort().unwrap();
                    place.barrier.reset().unwrap();
                });
            })
            .check(|(place, other), _point| {
                other.expect_success();
                place.check();
            })
            .run(Coverage::from_env())
    });
}
