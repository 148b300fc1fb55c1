//! Events: whoever waits passes when it is set, whoever comes after it was cleared waits; deadlines, signals, forks, names, bad input.

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{fork, fresh_name, rounds, shared_counters, wait_stopped, wait_until, watchdog};
use shm_core::{Access, Contents, SegmentOptions};
use shm_sync::{Error, ErrorKind, Event, Primitive};
use shm_testkit::{Child, rerun};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};
use waits::{FAR, Place, deadlines_pass, scribbled_on, signals_interrupt_those_who_ask, sleeper};

const IDENTITY: usize = 8;

#[test]
fn smoke() {
    let event = Event::anonymous(false).unwrap();
    assert!(!event.is_set().unwrap());
    assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    event.set().unwrap();
    event.set().unwrap();
    assert!(event.is_set().unwrap());
    event.wait().unwrap();
    event.try_wait().unwrap();
    event.clear().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set().unwrap());
    assert!(Event::anonymous(true).unwrap().is_set().unwrap());
}

/// Threads and processes, asleep and still spinning; all see what was stored before.
#[test]
fn everybody_passes_when_it_is_set() {
    let _watchdog = watchdog();
    for round in 0..rounds(30) {
        let event = Event::anonymous(false).unwrap();
        let value = &shared_counters()[0];
        let wait = || {
            event.wait().unwrap();
            assert_eq!(value.load(Relaxed), 7);
        };
        let children = [fork(wait), fork(wait)];
        std::thread::scope(|scope| {
            scope.spawn(wait);
            scope.spawn(wait);
            if round % 2 == 0 {
                children.iter().for_each(common::wait_asleep);
            }
            value.store(7, Relaxed);
            event.set().unwrap();
        });
        children.into_iter().for_each(Child::expect_success);
    }
}

/// A bell: set and cleared at once, it lets everybody through who slept, every time.
#[test]
fn a_pulse_lets_through_whoever_waits() {
    let _watchdog = watchdog();
    for _ in 0..rounds(30) {
        let event = Event::anonymous(false).unwrap();
        let sleepers = [(); 3].map(|()| sleeper(|| event.wait()));
        event.set().unwrap();
        event.clear().unwrap();
        sleepers.into_iter().for_each(Child::expect_success);
        assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    }
}

/// Two events, each set by one side and waited for and cleared by the other.
#[test]
fn processes_hand_over_to_each_other() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000) as u32;
    let (ping, pong) = (Event::anonymous(false).unwrap(), Event::anonymous(false).unwrap());
    let turn = &shared_counters()[0];
    let child = fork(|| {
        for round in 0..rounds {
            ping.wait().unwrap();
            ping.clear().unwrap();
            assert_eq!(turn.swap(2 * round + 2, SeqCst), 2 * round + 1);
            pong.set().unwrap();
        }
    });
    for round in 0..rounds {
        assert_eq!(turn.swap(2 * round + 1, SeqCst), 2 * round);
        ping.set().unwrap();
        pong.wait().unwrap();
        pong.clear().unwrap();
    }
    child.expect_success();
}

/// Several set, clear and wait in all ways at once; set at last, all get home.
#[test]
fn all_ways_of_waiting_together_hang_nobody() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    let (over, home) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for way in 0..5u64 {
            let (event, over, home) = (&event, &over, &home);
            scope.spawn(move || {
                let mut round = 0;
                while !over.load(SeqCst) {
                    round += 1;
                    let short = Duration::from_micros(round % 50);
                    let outcome = match way {
                        0 => event.wait(),
                        1 => event.try_wait(),
                        2 => event.wait_timeout(short),
                        3 => event.wait_until(Instant::now() + short),
                        _ => event.wait_interruptible(None),
                    };
                    if let Err(error) = outcome {
                        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::TimedOut), "{error:?}");
                    }
                }
                home.fetch_add(1, SeqCst);
            });
        }
        let changes = || {
            for round in 0..rounds(10_000) {
                if round % 3 == 0 { event.set() } else { event.clear() }.unwrap();
            }
        };
        let other = scope.spawn(changes);
        changes();
        other.join().unwrap();
        over.store(true, SeqCst);
        event.set().unwrap();
    });
    assert_eq!(home.load(SeqCst), 5);
}

#[test]
fn what_is_set_passes_whatever_the_deadline() {
    let event = Event::anonymous(true).unwrap();
    event.wait_timeout(Duration::ZERO).unwrap();
    event.wait_timeout(Duration::MAX).unwrap();
    event.wait_until(Instant::now()).unwrap();
    event.wait_interruptible(Some(Instant::now())).unwrap();
}

#[test]
fn what_is_not_set_is_waited_for_until_the_deadline() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    deadlines_pass(
        |timeout| event.wait_timeout(timeout),
        |deadline| event.wait_until(deadline),
        |deadline| event.wait_interruptible(deadline),
    );
}

/// A wait that outlasts several re-checks still ends with the setting.
#[test]
fn a_long_wait_ends_with_the_setting() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    let waiter = sleeper(|| event.wait());
    std::thread::sleep(Duration::from_millis(700));
    common::wait_asleep(&waiter);
    event.set().unwrap();
    waiter.expect_success();
}

#[test]
fn signals_interrupt_a_wait_that_asks() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    signals_interrupt_those_who_ask(
        |deadline| event.wait_interruptible(deadline),
        || event.wait(),
        || event.set().unwrap(),
    );
}

/// Who is stopped while it waits passes when it goes on, though the event is clear again by then.
#[test]
fn a_stopped_waiter_hears_of_it_later() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    let (stopped, awake) = (sleeper(|| event.wait()), sleeper(|| event.wait()));
    stopped.kill(libc::SIGSTOP);
    wait_stopped(&stopped);
    event.set().unwrap();
    awake.expect_success();
    event.clear().unwrap();
    stopped.kill(libc::SIGCONT);
    stopped.expect_success();
}

#[test]
fn children_use_what_they_inherit() {
    let _watchdog = watchdog();
    let event = Event::anonymous(false).unwrap();
    let step = &shared_counters()[0];
    let child = fork(|| {
        let grandchild = fork(|| event.wait().unwrap());
        step.store(1, SeqCst);
        event.wait().unwrap();
        grandchild.expect_success();
        event.clear().unwrap();
    });
    wait_until(|| step.load(SeqCst) == 1);
    event.set().unwrap();
    child.expect_success();
    assert!(!event.is_set().unwrap());
}

#[test]
fn the_format_is_fixed_and_zero_bytes_are_an_event() {
    let place = Place::<Event>::new(false);
    let mut expected = [0; 16];
    expected[2] = 0x5348_0801;
    assert_eq!(place.image(), expected);
    place.object.set().unwrap();
    expected[1] = 3;
    assert_eq!(place.image(), expected);
    place.object.clear().unwrap();
    expected[1] = 2;
    assert_eq!(place.image(), expected);

    // What a zero page becomes.
    place.u32_at(IDENTITY).store(0, SeqCst);
    place.attach().unwrap();
    assert_eq!(place.image(), expected);
}

#[test]
fn other_bytes_are_refused_and_left_alone() {
    let place = Place::<Event>::new(false);
    for (tag, parameter, kind) in [
        (0x5348_0802, 0, ErrorKind::Mismatch),
        (0x5348_0501, 0, ErrorKind::Mismatch),
        (7, 7, ErrorKind::Mismatch),
        (0x5348_0801, 9, ErrorKind::Corrupt),
    ] {
        place.u32_at(IDENTITY).store(tag, SeqCst);
        place.u32_at(IDENTITY + 4).store(parameter, SeqCst);
        let before = place.image();
        assert_eq!(place.attach().unwrap_err().kind(), kind, "{tag:#x}");
        let event = &place.object;
        let outcomes: [Result<(), Error>; 6] = [
            event.wait(),
            event.try_wait(),
            event.wait_timeout(FAR),
            event.set(),
            event.clear(),
            event.is_set().map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(place.image(), before, "nothing was changed");
    }
}

#[test]
fn a_hostile_neighbour_causes_errors_at_worst() {
    let _watchdog = watchdog();
    let operate = |event: &Event, choice: u64| match choice % 5 {
        0 => event.set(),
        1 => event.clear(),
        2 => event.is_set().map(drop),
        3 => event.wait_timeout(Duration::from_micros(choice % 300)),
        _ => event.wait_until(Instant::now()),
    };
    scribbled_on(&Place::<Event>::new(false), rounds(3_000), operate);
}

const VARIABLE: &str = "SHM_SYNC_TEST_EVENT";

#[test]
#[ignore = "run by the next test in a process of its own"]
fn in_an_unrelated_process() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    Event::attach(name.as_str()).unwrap().set().unwrap();
}

#[test]
fn unrelated_processes_meet_under_the_name() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("event-unrelated");
    let event = Event::create(name.as_str(), false).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let output = rerun("in_an_unrelated_process", &[(VARIABLE, name.as_str())]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        });
        event.wait().unwrap();
    });
    assert!(Event::create_or_attach(name.as_str(), false).unwrap().is_set().unwrap());
    let error = event.clear().and_then(|()| event.try_wait()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot wait for the event {}: it is not set", name)), "{error}");
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(name.as_str()).unwrap();
        assert_eq!(Event::attach_in(&segment, "").unwrap_err().kind(), ErrorKind::NotShared);
    }
}

#[test]
fn events_live_beside_data() {
    let contents = Contents::new().bytes("frame", 4096, 64).unwrap();
    let contents = Event::plan(contents, "ready", true).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let ready = Event::attach_in(&segment, "ready").unwrap();
    ready.wait().unwrap();
    ready.clear().unwrap();
    assert!(!ready.clone().is_set().unwrap());
}
