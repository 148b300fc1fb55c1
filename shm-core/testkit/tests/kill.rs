//! The kill test itself: exact counts, exact states after each kill, and what it says about bad victims.
//!
//! Where tracing is refused the tests end early, after the harness has said so; `skip.rs` tests that.
#![allow(unsafe_code, reason = "victims make raw system calls")]

mod common;

use common::{PAGE_BYTES, Words};
use shm_testkit::{Cleanup, Coverage, Event, KillTest, Report, announce, kill_zone, leftovers, unique_name};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::panic::{self, AssertUnwindSafe};

fn skipped(report: &Report) -> bool {
    report.skipped_reason.is_some()
}

/// The panic message of `test`; `None` when tracing is refused here.
fn failure(test: impl FnOnce() -> Report) -> Option<String> {
    match panic::catch_unwind(AssertUnwindSafe(test)) {
        Ok(report) if skipped(&report) => None,
        Ok(report) => panic!("should have failed: {report}"),
        Err(payload) => Some(*payload.downcast::<String>().expect("a formatted panic message")),
    }
}

/// A page of words and a file that grows by one byte with each system call of the victim.
struct Fixture {
    words: Words,
    path: String,
    file: File,
    _cleanup: Cleanup,
}

impl Fixture {
    fn new(what: &str) -> Self {
        let name = unique_name(what);
        let cleanup = Cleanup::of([&name]);
        let path = format!("/dev/shm/{name}");
        let file = File::create_new(&path).unwrap();
        Self { words: Words::anonymous(), path, file, _cleanup: cleanup }
    }

    fn stores_done(&self) -> usize {
        (0..8).filter(|&index| self.words.get(index) != 0).count()
    }

    fn calls_done(&self) -> usize {
        fs::metadata(&self.path).unwrap().len() as usize
    }
}

/// 5 stores and 3 system calls in the order S S C S C S S C.
fn smoke_victim(fixture: &mut Fixture) {
    announce(fixture.words.start(), PAGE_BYTES);
    kill_zone(|| {
        fixture.words.set(0, 1);
        fixture.words.set(1, 1);
        fixture.file.write_all(b"x").unwrap();
        fixture.words.set(2, 1);
        fixture.file.write_all(b"x").unwrap();
        fixture.words.set(3, 1);
        fixture.words.set(4, 1);
        fixture.file.write_all(b"x").unwrap();
    });
    // Behind the zone nothing counts.
    fixture.words.set(5, 1);
    fixture.file.write_all(b"x").unwrap();
}

#[test]
fn smoke_every_point_is_hit_exactly() {
    // (stores done, calls done) when killed at each point.
    let expected = [(1, 0), (2, 0), (2, 0), (2, 1), (3, 1), (3, 1), (3, 2), (4, 2), (5, 2), (5, 2), (5, 3)];
    let seen = RefCell::new(Vec::new());
    let report = KillTest::new("smoke")
        .prepare(|| Fixture::new("smoke"))
        .victim(smoke_victim)
        .check(|fixture, point| {
            assert_eq!((point.number, point.of), (seen.borrow().len() + 1, expected.len()));
            match point.event {
                Event::BeforeCall { ordinal, number } => {
                    assert_eq!((fixture.calls_done(), number), (ordinal - 1, libc::SYS_write as u64));
                }
                Event::AfterCall { ordinal, number } => {
                    assert_eq!((fixture.calls_done(), number), (ordinal, libc::SYS_write as u64));
                }
                Event::Store { after_call, offset, .. } => {
                    assert_eq!(fixture.calls_done(), after_call);
                    assert_eq!(fixture.stores_done(), offset / 8 + 1);
                }
                other => panic!("unknown event {other:?}"),
            }
            seen.borrow_mut().push((fixture.stores_done(), fixture.calls_done()));
        })
        .run(Coverage::All);
    if skipped(&report) {
        return;
    }
    assert_eq!((report.calls, report.stores, report.points), (3, 5, 11), "{report}");
    assert_eq!((report.kills, report.missed), (11, 0), "{report}");
    assert_eq!(seen.into_inner(), expected);
}

#[test]
fn a_sample_kills_at_the_first_and_the_last_point() {
    let seen = RefCell::new(Vec::new());
    let report = KillTest::new("sample")
        .prepare(|| Fixture::new("sample"))
        .victim(smoke_victim)
        .check(|_, point| seen.borrow_mut().push(point.number))
        .run(Coverage::Sample(3));
    if !skipped(&report) {
        assert_eq!((report.points, report.kills), (11, 3), "{report}");
        assert_eq!(seen.into_inner(), [1, 6, 11]);
    }
}

#[test]
fn two_dependent_stores_have_three_states() {
    const OLD: u64 = 0;
    const NEW: u64 = u64::MAX;
    let seen = RefCell::new(Vec::new());
    let report = KillTest::new("double write")
        .prepare(Words::anonymous)
        .victim(|words| {
            announce(words.start(), 16);
            kill_zone(|| {
                // The same value again is no change, and what is not announced does not count.
                words.set(0, OLD);
                words.set(100, NEW);
                words.set(0, NEW);
                words.set(1, NEW);
            });
        })
        .check(|words, _| seen.borrow_mut().push((words.get(0), words.get(1))))
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!(seen.into_inner(), [(NEW, OLD), (NEW, NEW)], "{report}");
    }
}

#[test]
fn memory_that_the_operation_maps_itself_is_watched_from_its_announcement() {
    let states = RefCell::new(Vec::new());
    let report = KillTest::new("create")
        .prepare(|| {
            let name = unique_name("created");
            (format!("/dev/shm/{name}"), Cleanup::of([name]))
        })
        .victim(|(path, _)| {
            kill_zone(|| {
                let file = File::options().read(true).write(true).create_new(true).open(&*path).unwrap();
                file.set_len(PAGE_BYTES as u64).unwrap();
                let words = Words::of_file(&file);
                words.set(0, 7);
                announce(words.start(), PAGE_BYTES);
                words.set(1, 8);
                words.set(2, 9);
                // After this the range is gone and must not disturb.
                drop(words);
            });
        })
        .check(|(path, _cleanup), _| {
            let words = File::options().read(true).write(true).open(path).ok().and_then(|file| {
                let whole = file.metadata().unwrap().len() == PAGE_BYTES as u64;
                whole.then(|| Words::of_file(&file))
            });
            let state = words.map(|words| [0, 1, 2].map(|index| words.get(index)));
            if states.borrow().last() != Some(&state) {
                states.borrow_mut().push(state);
            }
        })
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!(report.stores, 2, "{report}");
        // Between the mapping and the announcement is no point, so 7 is first seen together with 8.
        let expected = [None, Some([0, 0, 0]), Some([7, 8, 0]), Some([7, 8, 9])];
        assert_eq!(states.into_inner(), expected, "{report}");
    }
}

#[test]
fn what_a_system_call_writes_belongs_to_the_call() {
    let states = RefCell::new(Vec::new());
    let report = KillTest::new("kernel writes")
        .prepare(|| (Words::anonymous(), File::open("/dev/zero").unwrap()))
        .victim(|(words, zero)| {
            words.set(0, 5);
            announce(words.start(), PAGE_BYTES);
            kill_zone(|| {
                // SAFETY: the page is mapped for writing and has room for 8 bytes.
                let count = unsafe { libc::read(zero.as_raw_fd(), words.start().cast_mut().cast(), 8) };
                assert_eq!(count, 8);
                words.set(0, 6);
            });
        })
        .check(|(words, _), _| states.borrow_mut().push(words.get(0)))
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!((report.calls, report.stores), (1, 1), "{report}");
        assert_eq!(states.into_inner(), [5, 0, 6]);
    }
}

#[test]
fn private_memory_counts_when_it_is_announced() {
    let report = KillTest::new("private")
        .prepare(|| Box::new(std::sync::atomic::AtomicU64::new(0)))
        .victim(|word| {
            announce(word.as_ptr(), 8);
            kill_zone(|| {
                for value in 1..=4 {
                    word.store(value, std::sync::atomic::Ordering::SeqCst);
                }
            });
        })
        .check(|word, _| assert_eq!(word.load(std::sync::atomic::Ordering::SeqCst), 0))
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!((report.stores, report.kills), (4, 4), "{report}");
    }
}

#[test]
fn several_zones_count_as_one_and_a_range_can_be_replaced() {
    let report = KillTest::new("zones")
        .prepare(Words::anonymous)
        .victim(|words| {
            announce(words.start(), 8);
            kill_zone(|| words.set(0, 1));
            words.set(0, 2);
            kill_zone(|| {
                words.set(1, 1);
                announce(words.start(), 16);
                words.set(1, 2);
            });
        })
        .check(|words, point| {
            let expected = if point.number == 1 { (1, 0) } else { (2, 2) };
            assert_eq!((words.get(0), words.get(1)), expected, "{point}");
        })
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!((report.stores, report.kills), (2, 2), "{report}");
    }
}

#[test]
fn a_victim_that_does_less_than_the_first_is_counted_as_missed() {
    let mut round = 0;
    let report = KillTest::new("less")
        .prepare(|| {
            round += 1;
            (Words::anonymous(), if round == 1 { 6 } else { 4 })
        })
        .victim(|(words, stores)| {
            announce(words.start(), PAGE_BYTES);
            kill_zone(|| (0..*stores).for_each(|index| words.set(index, 1)));
        })
        .check(|(words, _), point| assert_eq!(words.get(point.number - 1), 1))
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!((report.points, report.kills, report.missed), (6, 4, 2), "{report}");
    }
}

#[test]
fn a_signal_of_the_victim_is_delivered_and_harmless() {
    let report = KillTest::new("signal")
        .prepare(Words::anonymous)
        .victim(|words| {
            announce(words.start(), PAGE_BYTES);
            kill_zone(|| {
                words.set(0, 1);
                // SAFETY: SIGURG is ignored by default, and `raise` has no other preconditions.
                unsafe {
                    libc::raise(libc::SIGURG);
                }
                words.set(1, 1);
            });
        })
        .check(|words, _| assert_eq!(words.get(0), 1))
        .run(Coverage::All);
    if !skipped(&report) {
        assert_eq!((report.stores, report.missed), (2, 0), "{report}");
    }
}

#[test]
fn a_panicking_victim_is_reported_with_its_message() {
    let test = || {
        KillTest::new("panics")
            .prepare(|| ())
            .victim(|()| kill_zone(|| panic!("the victim's own words")))
            .check(|(), _| {})
            .run(Coverage::All)
    };
    if let Some(message) = failure(test) {
        assert!(message.contains("kill test panics"), "{message}");
        assert!(message.contains("the victim's own words"), "{message}");
        assert!(message.contains("tests/kill.rs"), "{message}");
    }
}

#[test]
fn a_victim_that_dies_of_a_signal_is_reported() {
    let test = || {
        KillTest::new("dies")
            .prepare(|| ())
            .victim(|()| std::process::abort())
            .check(|(), _| {})
            .run(Coverage::All)
    };
    if let Some(message) = failure(test) {
        assert!(message.contains("was killed by signal 6"), "{message}");
    }
}

#[test]
fn a_failing_check_fails_the_test_and_cleans_up() {
    let test = || {
        KillTest::new("check fails")
            .prepare(|| Fixture::new("checkfails"))
            .victim(smoke_victim)
            .check(|fixture, point| {
                assert!(fixture.stores_done() < 3, "{} stores at {point}", fixture.stores_done());
            })
            .run(Coverage::All)
    };
    if let Some(message) = failure(test) {
        let expected = "3 stores at point 5 of 11, after store 1 (to byte 16) behind system call 1";
        assert_eq!(message, expected);
    }
    let mine = format!("shmtest-{}-", std::process::id());
    assert!(leftovers(&mine).iter().all(|name| !name.ends_with("checkfails")));
}

#[test]
fn a_zone_without_points_is_an_error() {
    let test = || {
        KillTest::new("empty")
            .prepare(Words::anonymous)
            .victim(|words| kill_zone(|| words.set(0, 1)))
            .check(|_, _| {})
            .run(Coverage::All)
    };
    if let Some(message) = failure(test) {
        assert!(message.contains("no system call and no change of announced memory"), "{message}");
    }
}

#[test]
fn unreadable_announced_memory_is_an_error() {
    let test = || {
        KillTest::new("unreadable")
            .prepare(|| ())
            .victim(|()| announce(std::ptr::without_provenance::<u8>(8), usize::MAX / 2))
            .check(|(), _| {})
            .run(Coverage::All)
    };
    if let Some(message) = failure(test) {
        assert!(message.contains("not all readable"), "{message}");
    }
}

#[test]
fn markers_do_nothing_without_a_tracer() {
    announce(std::ptr::null::<u8>(), 1);
    assert_eq!(kill_zone(|| 5), 5);
}
