//! The barrier: nobody gets ahead, nobody is left behind, and whoever cannot wait is told why.
#![allow(unsafe_code, reason = "a signal handler is installed")]

mod common;

use common::{fork, fresh_name, rounds, shared_counters, wait_asleep, wait_until, watchdog};
use shm_core::{Contents, SegmentOptions};
use shm_sync::{Arrival, Barrier, ErrorKind, Primitive};
use shm_testkit::Child;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn new(parties: u32) -> Barrier {
    Barrier::anonymous(parties).unwrap()
}

/// One party's part of `rounds` rounds: writes its round, waits, and finds that everybody has.
fn take_part(places: &[AtomicU32], rounds: u32, wait: impl Fn() -> Arrival) {
    for round in 1..=rounds {
        places[place()].store(round, SeqCst);
        let arrival = wait();
        for other in places {
            let other = other.load(SeqCst);
            assert!(other == round || other == round + 1, "{other} in round {round}");
        }
        if arrival.is_leader() {
            LEADS.fetch_add(1, SeqCst);
        }
        wait();
    }
}

static LEADS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static PLACE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn place() -> usize {
    PLACE.get()
}

#[test]
fn smoke() {
    let _watchdog = watchdog();
    let barrier = new(2);
    assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.is_broken()), (2, 0, false));
    let child = fork(|| _ = barrier.wait().unwrap());
    wait_until(|| barrier.n_waiting() == 1);
    assert!(barrier.wait().unwrap().is_leader());
    child.expect_success();
    assert_eq!(barrier.n_waiting(), 0);
}

/// Two waits a round, five thousand rounds, eight processes: ten thousand in all.
#[test]
fn ten_thousand_rounds_of_eight_processes() {
    let _watchdog = watchdog();
    for joined in [true, false] {
        let barrier = new(8);
        let places = &shared_counters()[..8];
        let rounds = rounds(if joined { 5_000 } else { 1_000 }) as u32;
        let children: Vec<_> = (0..8)
            .map(|index| {
                fork(|| {
                    PLACE.set(index);
                    if joined {
                        let party = barrier.join().unwrap();
                        take_part(places, rounds, || party.wait().unwrap());
                    } else {
                        take_part(places, rounds, || barrier.wait().unwrap());
                    }
                })
            })
            .collect();
        children.into_iter().for_each(Child::expect_success);
        assert_eq!(barrier.n_waiting(), 0);
        assert!(!barrier.is_broken());
    }
}

#[test]
fn every_round_has_one_leader_and_different_seats() {
    let _watchdog = watchdog();
    let barrier = new(4);
    let leaders = AtomicU32::new(0);
    let seats = AtomicU32::new(0);
    let rounds = rounds(500) as u32;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let arrival = barrier.wait().unwrap();
                    assert!(arrival.index() < 4);
                    leaders.fetch_add(u32::from(arrival.is_leader()), SeqCst);
                    seats.fetch_add(1 << (8 * arrival.index()), SeqCst);
                    if barrier.wait().unwrap().is_leader() {
                        assert_eq!(seats.swap(0, SeqCst), 0x0101_0101);
                    }
                    barrier.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(leaders.load(SeqCst), rounds);
}

#[test]
fn the_last_one_acts_before_the_others_go_on() {
    let _watchdog = watchdog();
    let barrier = new(3);
    let counter = &shared_counters()[0];
    let children: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                let party = barrier.join().unwrap();
                for round in 1..=500 {
                    party.wait_with(|| _ = counter.fetch_add(1, SeqCst)).unwrap();
                    assert_eq!(counter.load(SeqCst), round);
                    party.wait().unwrap();
                }
            })
        })
        .collect();
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(counter.load(SeqCst), 500);
}

#[test]
fn an_action_that_panics_breaks_it() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let other = fork(|| assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken));
    wait_until(|| barrier.n_waiting() == 1);
    let action = std::panic::AssertUnwindSafe(|| barrier.wait_with(|| panic!("as intended")));
    std::panic::catch_unwind(action).unwrap_err();
    other.expect_success();
    assert!(barrier.is_broken());
    barrier.reset().unwrap();
    assert_eq!(barrier.try_wait().unwrap_err().kind(), ErrorKind::Busy);
}

/// More threads than parties: who finds no seat waits for the next round.
#[test]
fn more_threads_than_seats() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let through = AtomicU32::new(0);
    let rounds = rounds(500);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    // Whoever is left without a partner at the end is let go by a last round of the main thread.
                    barrier.wait().unwrap();
                    through.fetch_add(1, SeqCst);
                }
            });
        }
        while (through.load(SeqCst) as usize) < 6 * rounds {
            match barrier.wait_timeout(Duration::from_millis(20)) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
    });
    assert_eq!(barrier.n_waiting(), 0);
}

#[test]
fn seats_are_counted() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let party = barrier.join().unwrap();
    for error in [barrier.join().unwrap_err(), barrier.wait().unwrap_err(), barrier.try_wait().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
        assert!(error.to_string().contains("has a seat"), "{error}");
    }
    let at = &shared_counters()[0];
    let other = fork(|| {
        let party = barrier.join().unwrap();
        at.store(1, SeqCst);
        wait_until(|| at.load(SeqCst) == 2);
        party.wait().unwrap();
    });
    wait_until(|| at.load(SeqCst) == 1);
    fork(|| {
        for error in [barrier.join().unwrap_err(), barrier.wait().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::TooManyParties, "{error}");
            assert!(error.to_string().contains("seats for 2"), "{error}");
        }
        assert_eq!(barrier.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    })
    .expect_success();
    at.store(2, SeqCst);
    party.wait().unwrap();
    other.expect_success();
    drop(party);
    let party = barrier.join().unwrap();
    assert_eq!(party.index(), 0);
}

#[test]
fn a_party_does_not_wait_twice() {
    let _watchdog = watchdog();
    let barrier = new(1);
    let party = barrier.join().unwrap();
    party
        .wait_with(|| {
            let error = party.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadlock);
            assert!(error.to_string().contains("already"), "{error}");
        })
        .unwrap();
    party.wait().unwrap();
}

#[test]
fn deadlines_take_the_arrival_back() {
    let _watchdog = watchdog();
    let barrier = new(2);
    assert_eq!(barrier.wait_timeout(Duration::from_millis(3)).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(barrier.wait_until(Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
    let party = barrier.join().unwrap();
    assert_eq!(party.wait_timeout(Duration::from_millis(3)).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!((barrier.n_waiting(), barrier.is_broken()), (0, false));
    let child = fork(|| _ = barrier.wait().unwrap());
    party.wait().unwrap();
    child.expect_success();
}

/// Parties that give up all the time never take more or less with them than their own arrival.
#[test]
fn deadlines_in_a_crowd() {
    let _watchdog = watchdog();
    let barrier = new(3);
    let through = shared_counters();
    let children: Vec<_> = (0..3)
        .map(|index| {
            fork(|| {
                let party = barrier.join().unwrap();
                let mut rounds = 0;
                while rounds < 200 {
                    match party.wait_timeout(Duration::from_micros(50)) {
                        Ok(_) => rounds += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                    }
                    through[index].store(rounds, SeqCst);
                }
            })
        })
        .collect();
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(barrier.n_waiting(), 0);
}

#[test]
fn abort_and_reset() {
    let _watchdog = watchdog();
    let barrier = new(3);
    for reset in [false, true] {
        let children: Vec<_> = (0..2)
            .map(|_| fork(|| assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken)))
            .collect();
        wait_until(|| barrier.n_waiting() == 2);
        children.iter().for_each(wait_asleep);
        if reset {
            barrier.reset().unwrap();
            assert!(!barrier.is_broken());
        } else {
            barrier.abort().unwrap();
            assert!(barrier.is_broken());
            assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken);
        }
        children.into_iter().for_each(Child::expect_success);
        barrier.reset().unwrap();
        assert_eq!((barrier.n_waiting(), barrier.is_broken()), (0, false));
    }
}

#[test]
fn bad_numbers_and_wrong_bytes() {
    for parties in [0, Barrier::MAX_PARTIES + 1, u32::MAX] {
        let error = Barrier::anonymous(parties).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(&parties.to_string()), "{error}");
    }
    let (name, _cleanup) = fresh_name("barrier-bad");
    let barrier = Barrier::create(name.as_str(), 5).unwrap();
    assert_eq!(Barrier::attach(name.as_str()).unwrap().parties(), 5);
    assert_eq!(Barrier::create_or_attach(name.as_str(), 6).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(shm_sync::ProcessMutex::attach(name.as_str()).unwrap_err().kind(), ErrorKind::Mismatch);
    drop(barrier);
    let contents = Barrier::plan(Contents::new(), "start", 2).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let barrier = Barrier::attach_in(&segment, "start").unwrap();
    assert_eq!(barrier.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    let bytes = common::shared_bytes();
    // SAFETY: a zero page that stays, used as a barrier only.
    unsafe {
        assert_eq!(Barrier::from_ptr(bytes, 4096).unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!(Barrier::init_at(bytes, 4096, 64).unwrap_err().kind(), ErrorKind::Mismatch);
        Barrier::init_at(bytes, 4096, 63).unwrap();
        assert_eq!(Barrier::from_ptr(bytes, 4096).unwrap().parties(), 63);
        assert_eq!(Barrier::from_ptr(bytes, 4032).unwrap_err().kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn an_inherited_party_is_void() {
    let _watchdog = watchdog();
    let barrier = new(1);
    let party = barrier.join().unwrap();
    let mut inherited = Some(party);
    fork(|| {
        let party = inherited.take().unwrap();
        assert_eq!(party.wait().unwrap_err().kind(), ErrorKind::NotHeld);
        drop(party);
        assert_eq!(barrier.join().unwrap_err().kind(), ErrorKind::TooManyParties);
    })
    .expect_success();
    inherited.unwrap().wait().unwrap();
}

#[test]
fn a_stopped_party_is_waited_for() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let at = &shared_counters()[0];
    let party = fork(|| {
        let party = barrier.join().unwrap();
        at.store(1, SeqCst);
        wait_until(|| at.load(SeqCst) == 2);
        party.wait().unwrap();
    });
    wait_until(|| at.load(SeqCst) == 1);
    party.kill(libc::SIGSTOP);
    common::wait_stopped(&party);
    at.store(2, SeqCst);
    assert_eq!(barrier.wait_timeout(Duration::from_millis(300)).unwrap_err().kind(), ErrorKind::TimedOut);
    party.kill(libc::SIGCONT);
    barrier.wait().unwrap();
    party.expect_success();
}

extern "C" fn ignore(_: libc::c_int) {}

#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    let barrier = new(2);
    let steps = shared_counters();
    let waiter = fork(|| {
        // SAFETY: the handler does nothing; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        steps[0].store(1, SeqCst);
        assert_eq!(barrier.wait_interruptible(None).unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(barrier.n_waiting(), 0);
        steps[0].store(2, SeqCst);
        barrier.wait().unwrap();
    });
    wait_until(|| steps[0].load(SeqCst) == 1);
    while steps[0].load(SeqCst) == 1 {
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    wait_until(|| barrier.n_waiting() == 1);
    for _ in 0..5 {
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    barrier.wait().unwrap();
    waiter.expect_success();
}
