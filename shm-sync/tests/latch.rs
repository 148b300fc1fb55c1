//! Latches: nobody passes before the last arrival, everybody after it; deadlines, signals, forks, names, bad input.

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{fork, fresh_name, rounds, shared_counters, wait_stopped, watchdog};
use shm_core::{Access, Contents, SegmentOptions};
use shm_sync::{Error, ErrorKind, Latch, Primitive};
use shm_testkit::{Child, rerun};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use waits::{FAR, Place, deadlines_pass, scribbled_on, signals_interrupt_those_who_ask, sleeper};

const REMAINING: usize = 4;
const IDENTITY: usize = 8;

#[test]
fn smoke() {
    let latch = Latch::anonymous(3).unwrap();
    assert_eq!((latch.parties(), latch.remaining().unwrap()), (3, 3));
    assert_eq!(latch.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    latch.count_down(2).unwrap();
    assert_eq!(latch.remaining().unwrap(), 1);
    latch.arrive_and_wait().unwrap();
    latch.wait().unwrap();
    latch.try_wait().unwrap();
    assert_eq!(latch.count_down(1).unwrap_err().kind(), ErrorKind::Overflow);
}

/// Parties of several processes and threads; each sees what all the others did before they arrived.
#[test]
fn everybody_passes_with_the_last_arrival() {
    let _watchdog = watchdog();
    for round in 0..rounds(50) as u32 {
        let latch = Latch::anonymous(6).unwrap();
        let work = &shared_counters()[..6];
        let party = |number: usize| {
            work[number].store(1, Relaxed);
            latch.arrive_and_wait().unwrap();
            assert!(work.iter().all(|done| done.load(Relaxed) == 1));
        };
        let children = [0, 1, 2].map(|number| fork(|| party(number)));
        if round.is_multiple_of(2) {
            children.iter().for_each(common::wait_asleep);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| party(3));
            scope.spawn(|| party(4));
            party(5);
        });
        children.into_iter().for_each(Child::expect_success);
        assert_eq!(latch.remaining().unwrap(), 0);
    }
}

/// One latch after the other, 10 000 of them.
#[test]
fn two_processes_meet_at_many_latches() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    let latches: Vec<Place<Latch>> = (0..16).map(|_| Place::new(2)).collect();
    let turn = &shared_counters()[0];
    let side = |number: usize| {
        for round in 0..rounds {
            let place = &latches[round % 16];
            place.object.arrive_and_wait().unwrap();
            if number == 0 && round > 0 {
                // Both have passed the one before: it is made anew, for the round after next but thirteen.
                latches[(round - 1) % 16].u32_at(REMAINING).store(2, SeqCst);
                turn.store(round as u32, SeqCst);
            }
        }
    };
    let child = fork(|| side(1));
    side(0);
    child.expect_success();
    assert_eq!(turn.load(SeqCst), rounds as u32 - 1);
}

#[test]
fn arrivals_are_counted_once_by_all_together() {
    let _watchdog = watchdog();
    let parties = rounds(10_000) as u32;
    let latch = Latch::anonymous(4 * parties).unwrap();
    let sleeper = sleeper(|| latch.wait());
    let children: Vec<_> =
        (0..4).map(|_| fork(|| (0..parties).for_each(|_| latch.count_down(1).unwrap()))).collect();
    children.into_iter().for_each(Child::expect_success);
    sleeper.expect_success();
    assert_eq!(latch.count_down(1).unwrap_err().kind(), ErrorKind::Overflow);
}

#[test]
fn what_is_open_passes_whatever_the_deadline() {
    let latch = Latch::anonymous(1).unwrap();
    latch.count_down(1).unwrap();
    latch.wait_timeout(Duration::ZERO).unwrap();
    latch.wait_timeout(Duration::MAX).unwrap();
    latch.wait_until(Instant::now()).unwrap();
    latch.wait_interruptible(Some(Instant::now())).unwrap();
}

#[test]
fn what_is_not_open_is_waited_for_until_the_deadline() {
    let _watchdog = watchdog();
    let latch = Latch::anonymous(1).unwrap();
    deadlines_pass(
        |timeout| latch.wait_timeout(timeout),
        |deadline| latch.wait_until(deadline),
        |deadline| latch.wait_interruptible(deadline),
    );
    assert_eq!(latch.remaining().unwrap(), 1, "waiting is not arriving");
}

/// A wait that outlasts several re-checks still ends with the last arrival.
#[test]
fn a_long_wait_ends_with_the_last_arrival() {
    let _watchdog = watchdog();
    let latch = Latch::anonymous(2).unwrap();
    let waiter = sleeper(|| latch.arrive_and_wait());
    std::thread::sleep(Duration::from_millis(700));
    common::wait_asleep(&waiter);
    latch.count_down(1).unwrap();
    waiter.expect_success();
}

#[test]
fn signals_interrupt_a_wait_that_asks() {
    let _watchdog = watchdog();
    let latch = Latch::anonymous(1).unwrap();
    signals_interrupt_those_who_ask(
        |deadline| latch.wait_interruptible(deadline),
        || latch.wait(),
        || latch.count_down(1).unwrap(),
    );
}

#[test]
fn a_stopped_waiter_holds_up_nobody() {
    let _watchdog = watchdog();
    let latch = Latch::anonymous(1).unwrap();
    let (stopped, awake) = (sleeper(|| latch.wait()), sleeper(|| latch.wait()));
    stopped.kill(libc::SIGSTOP);
    wait_stopped(&stopped);
    latch.count_down(1).unwrap();
    awake.expect_success();
    stopped.kill(libc::SIGCONT);
    stopped.expect_success();
}

#[test]
fn numbers_that_no_latch_has_are_refused() {
    for parties in [0, Latch::MAX_PARTIES + 1, u32::MAX] {
        let error = Latch::anonymous(parties).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(&parties.to_string()), "{error}");
    }
    let latch = Latch::anonymous(Latch::MAX_PARTIES).unwrap();
    latch.count_down(Latch::MAX_PARTIES - 3).unwrap();
    for (arrivals, kind) in
        [(0, ErrorKind::InvalidArgument), (4, ErrorKind::Overflow), (u32::MAX, ErrorKind::Overflow)]
    {
        assert_eq!(latch.count_down(arrivals).unwrap_err().kind(), kind, "{arrivals}");
        assert_eq!(latch.remaining().unwrap(), 3, "nothing was changed");
    }
    latch.count_down(3).unwrap();
    latch.wait().unwrap();
}

#[test]
fn the_format_is_fixed_and_zero_bytes_are_no_latch() {
    let place = Place::<Latch>::new(5);
    place.object.count_down(2).unwrap();
    let mut expected = [0; 16];
    expected[1..4].copy_from_slice(&[3, 0x5348_0b01, 5]);
    assert_eq!(place.image(), expected);
    assert_eq!(place.attach().unwrap().parties(), 5);
    place.u32_at(IDENTITY).store(0, SeqCst);
    place.u32_at(IDENTITY + 4).store(0, SeqCst);
    let before = place.image();
    assert_eq!(place.attach().unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(place.image(), before);
}

#[test]
fn damage_is_an_error_and_left_alone() {
    let _watchdog = watchdog();
    let place = Place::<Latch>::new(3);
    let latch = &place.object;
    for (offset, wrong, attach) in [
        (REMAINING, 4, None),
        (REMAINING, u32::MAX, None),
        (IDENTITY, 0x5348_0501, Some(ErrorKind::Mismatch)),
        (IDENTITY, 0x5348_0b02, Some(ErrorKind::Mismatch)),
        (IDENTITY + 4, 0, Some(ErrorKind::Corrupt)),
        (IDENTITY + 4, u32::MAX, Some(ErrorKind::Corrupt)),
    ] {
        let right = place.u32_at(offset).swap(wrong, SeqCst);
        let before = place.image();
        assert_eq!(place.attach().err().map(|error| error.kind()), attach);
        let outcomes: [Result<(), Error>; 5] = [
            latch.wait(),
            latch.try_wait(),
            latch.wait_timeout(FAR),
            latch.count_down(1),
            latch.remaining().map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:#x} at {offset}");
        }
        assert_eq!(place.image(), before, "nothing was changed");
        place.u32_at(offset).store(right, SeqCst);
    }
    latch.count_down(3).unwrap();
    latch.wait().unwrap();
}

#[test]
fn a_hostile_neighbour_causes_errors_at_worst() {
    let _watchdog = watchdog();
    let operate = |latch: &Latch, choice: u64| match choice % 4 {
        0 => latch.count_down((choice >> 8) as u32 % 3),
        1 => latch.remaining().map(drop),
        2 => latch.wait_timeout(Duration::from_micros(choice % 300)),
        _ => latch.wait_until(Instant::now()),
    };
    scribbled_on(&Place::<Latch>::new(1000), rounds(3_000), operate);
}

const VARIABLE: &str = "SHM_SYNC_TEST_LATCH";

#[test]
#[ignore = "run by the next test in a process of its own"]
fn in_an_unrelated_process() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    Latch::attach(name.as_str()).unwrap().arrive_and_wait().unwrap();
}

#[test]
fn unrelated_processes_meet_under_the_name() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("latch-unrelated");
    let latch = Latch::create(name.as_str(), 3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let output = rerun("in_an_unrelated_process", &[(VARIABLE, name.as_str())]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            });
        }
        latch.arrive_and_wait().unwrap();
    });
    let error = latch.count_down(2).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot count down the latch {name}: 0 of 3 arrivals")), "{error}");
    assert_eq!(Latch::create_or_attach(name.as_str(), 4).unwrap_err().kind(), ErrorKind::Mismatch);
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(name.as_str()).unwrap();
        assert_eq!(Latch::attach_in(&segment, "").unwrap_err().kind(), ErrorKind::NotShared);
    }
}

#[test]
fn latches_live_beside_data() {
    let contents = Contents::new().bytes("grid", 4096, 64).unwrap();
    let contents = Latch::plan(contents, "filled", 1).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let filled = Latch::attach_in(&segment, "filled").unwrap();
    fork(|| filled.count_down(1).unwrap()).expect_success();
    filled.wait().unwrap();
    assert_eq!(filled.clone().remaining().unwrap(), 0);
}
