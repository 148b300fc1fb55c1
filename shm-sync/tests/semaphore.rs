//! Semaphores: never more inside than permits, none lost, none made; deadlines, signals, forks, names, bad input.
#![allow(unsafe_code, reason = "primitives at addresses")]

mod common;
#[path = "common/waits.rs"]
mod waits;

use common::{fork, fresh_name, rounds, shared_counters, wait_asleep, wait_stopped, wait_until, watchdog};
use shm_core::{Access, Contents, SegmentOptions};
use shm_sync::{BoundedSemaphore, ErrorKind, Permit, Primitive, Semaphore};
use shm_testkit::{Child, rerun};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use waits::{FAR, Place, deadlines_pass, scribbled_on, signals_interrupt_those_who_ask, sleeper};

const COUNT: usize = 4;
const IDENTITY: usize = 8;

#[test]
fn smoke() {
    let semaphore = Semaphore::anonymous(2).unwrap();
    let (first, second) = (semaphore.acquire().unwrap(), semaphore.try_acquire().unwrap());
    assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::Busy);
    drop(first);
    assert_eq!(semaphore.available().unwrap(), 1);
    drop(second);
    semaphore.release(3).unwrap();
    assert_eq!(semaphore.available().unwrap(), 5);

    let bounded = BoundedSemaphore::anonymous(2).unwrap();
    drop(bounded.acquire().unwrap());
    assert_eq!(bounded.release(1).unwrap_err().kind(), ErrorKind::Overflow);
    assert_eq!((bounded.bound(), bounded.available().unwrap()), (2, 2));
}

/// Takes and gives back, and checks how many are inside.
fn visit(inside: &AtomicU32, permits: u32, permit: Permit<'_>) {
    assert!(inside.fetch_add(1, SeqCst) < permits);
    std::hint::black_box(&permit);
    inside.fetch_sub(1, SeqCst);
}

#[test]
fn no_more_threads_are_inside_than_permits() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    for permits in [1, 2, 3] {
        let (semaphore, inside) = (BoundedSemaphore::anonymous(permits).unwrap(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..rounds).for_each(|_| visit(&inside, permits, semaphore.acquire().unwrap()))
                });
            }
        });
        assert_eq!(semaphore.available().unwrap(), permits);
    }
}

#[test]
fn no_more_processes_are_inside_than_permits() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    for permits in [1, 2] {
        let (semaphore, inside) = (Semaphore::anonymous(permits).unwrap(), &shared_counters()[0]);
        let children: Vec<_> = (0..4)
            .map(|_| fork(|| (0..rounds).for_each(|_| visit(inside, permits, semaphore.acquire().unwrap()))))
            .collect();
        children.into_iter().for_each(Child::expect_success);
        assert_eq!(semaphore.available().unwrap(), permits);
    }
}

#[test]
fn all_ways_of_waiting_together_lose_nothing() {
    let _watchdog = watchdog();
    let semaphore = BoundedSemaphore::anonymous(2).unwrap();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for way in 0..6u64 {
            let (semaphore, inside) = (&semaphore, &inside);
            scope.spawn(move || {
                for round in 0..3_000u64 {
                    let short = Duration::from_micros(round % 50);
                    let permit = match way {
                        0 | 1 => semaphore.acquire(),
                        2 => semaphore.try_acquire(),
                        3 => semaphore.acquire_timeout(short),
                        4 => semaphore.acquire_until(Instant::now() + short),
                        _ => semaphore.acquire_interruptible(None),
                    };
                    match permit {
                        Ok(permit) => {
                            if round % 64 == 0 {
                                std::thread::sleep(Duration::from_micros(60));
                            }
                            if round % 3 == 0 {
                                permit.forget();
                                semaphore.release(1).unwrap();
                            } else {
                                visit(inside, 2, permit);
                            }
                        }
                        Err(error) => {
                            assert!(
                                matches!(error.kind(), ErrorKind::Busy | ErrorKind::TimedOut),
                                "{error:?}"
                            );
                        }
                    }
                }
            });
        }
    });
    assert_eq!(semaphore.available().unwrap(), 2);
}

/// Turns handed over through two semaphores, each with one permit for the other side.
#[test]
fn processes_hand_over_to_each_other() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    let (ping, pong) = (Semaphore::anonymous(0).unwrap(), Semaphore::anonymous(0).unwrap());
    let turn = &shared_counters()[0];
    let child = fork(|| {
        for round in 0..rounds as u32 {
            ping.acquire().unwrap().forget();
            assert_eq!(turn.swap(2 * round + 2, SeqCst), 2 * round + 1);
            pong.release(1).unwrap();
        }
    });
    for round in 0..rounds as u32 {
        assert_eq!(turn.swap(2 * round + 1, SeqCst), 2 * round);
        ping.release(1).unwrap();
        pong.acquire().unwrap().forget();
    }
    child.expect_success();
    assert_eq!((ping.available().unwrap(), pong.available().unwrap()), (0, 0));
}

/// Given by several processes in portions of all sizes, taken one by one by several others.
#[test]
fn permits_of_many_givers_reach_many_takers() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(0).unwrap();
    let portions = rounds(2_000) as u32;
    let each = (0..portions).map(|i| 1 + i % 3).sum::<u32>();
    let givers = (0..2).map(|_| fork(|| (0..portions).for_each(|i| semaphore.release(1 + i % 3).unwrap())));
    let takers = (0..2).map(|_| fork(|| (0..each).for_each(|_| semaphore.acquire().unwrap().forget())));
    takers.chain(givers).collect::<Vec<_>>().into_iter().for_each(Child::expect_success);
    assert_eq!(semaphore.available().unwrap(), 0);
}

#[test]
fn one_release_of_many_wakes_all_who_sleep() {
    let _watchdog = watchdog();
    for _ in 0..rounds(10) {
        let semaphore = Semaphore::anonymous(0).unwrap();
        let acquire = || semaphore.acquire().map(Permit::forget);
        let sleepers = [sleeper(acquire), sleeper(acquire), sleeper(acquire)];
        semaphore.release(3).unwrap();
        sleepers.into_iter().for_each(Child::expect_success);
        assert_eq!(semaphore.available().unwrap(), 0);
    }
}

#[test]
fn what_is_there_is_taken_whatever_the_deadline() {
    let semaphore = Semaphore::anonymous(1).unwrap();
    drop(semaphore.acquire_timeout(Duration::ZERO).unwrap());
    drop(semaphore.acquire_timeout(Duration::MAX).unwrap());
    drop(semaphore.acquire_until(Instant::now()).unwrap());
    drop(semaphore.acquire_interruptible(Some(Instant::now())).unwrap());
    assert_eq!(semaphore.available().unwrap(), 1);
}

#[test]
fn what_is_not_there_is_waited_for_until_the_deadline() {
    let _watchdog = watchdog();
    let plain = Semaphore::anonymous(0).unwrap();
    deadlines_pass(
        |timeout| plain.acquire_timeout(timeout).map(drop),
        |deadline| plain.acquire_until(deadline).map(drop),
        |deadline| plain.acquire_interruptible(deadline).map(drop),
    );
    let bounded = BoundedSemaphore::anonymous(1).unwrap();
    let _permit = bounded.acquire().unwrap();
    deadlines_pass(
        |timeout| bounded.acquire_timeout(timeout).map(drop),
        |deadline| bounded.acquire_until(deadline).map(drop),
        |deadline| bounded.acquire_interruptible(deadline).map(drop),
    );
}

/// A wait that outlasts several re-checks still ends with the release.
#[test]
fn a_long_wait_ends_with_the_release() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(0).unwrap();
    let waiter = sleeper(|| semaphore.acquire().map(drop));
    std::thread::sleep(Duration::from_millis(700));
    wait_asleep(&waiter);
    semaphore.release(1).unwrap();
    waiter.expect_success();
    assert_eq!(semaphore.available().unwrap(), 1);
}

#[test]
fn signals_interrupt_a_wait_that_asks() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(0).unwrap();
    signals_interrupt_those_who_ask(
        |deadline| semaphore.acquire_interruptible(deadline).map(drop),
        || semaphore.acquire().map(drop),
        || semaphore.release(1).unwrap(),
    );
    assert_eq!(semaphore.available().unwrap(), 1);
}

/// Who is stopped has its permit; who is stopped while it waits keeps no other from waking.
#[test]
fn stopped_processes_hold_up_nobody() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(1).unwrap();
    let step = &shared_counters()[0];
    let holder = fork(|| {
        let permit = semaphore.acquire().unwrap();
        step.store(1, SeqCst);
        wait_until(|| step.load(SeqCst) == 2);
        drop(permit);
    });
    wait_until(|| step.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    wait_stopped(&holder);
    step.store(2, SeqCst);
    assert_eq!(semaphore.acquire_timeout(Duration::from_millis(30)).unwrap_err().kind(), ErrorKind::TimedOut);

    let stopped = sleeper(|| semaphore.acquire().map(Permit::forget));
    let awake = sleeper(|| semaphore.acquire().map(Permit::forget));
    stopped.kill(libc::SIGSTOP);
    wait_stopped(&stopped);
    semaphore.release(1).unwrap();
    awake.expect_success();
    stopped.kill(libc::SIGCONT);
    holder.kill(libc::SIGCONT);
    holder.expect_success();
    stopped.expect_success();
    assert_eq!(semaphore.available().unwrap(), 0);
}

#[test]
fn permits_travel_between_threads_and_outlive_panics() {
    let semaphore = Semaphore::anonymous(1).unwrap();
    std::thread::scope(|scope| {
        let permit = semaphore.acquire().unwrap();
        scope.spawn(move || drop(permit));
    });
    assert_eq!(semaphore.available().unwrap(), 1);
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _permit = semaphore.acquire().unwrap();
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    assert_eq!(semaphore.available().unwrap(), 1);
}

#[test]
fn a_forgotten_permit_is_given_back_by_another_process() {
    let semaphore = BoundedSemaphore::anonymous(1).unwrap();
    fork(|| semaphore.acquire().unwrap().forget()).expect_success();
    assert_eq!(semaphore.available().unwrap(), 0);
    fork(|| semaphore.release(1).unwrap()).expect_success();
    assert_eq!(semaphore.release(1).unwrap_err().kind(), ErrorKind::Overflow);
}

#[test]
fn a_permit_that_a_child_inherits_is_void_there() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::anonymous(2).unwrap();
    let mut permit = Some(semaphore.acquire().unwrap());
    fork(|| {
        permit = None;
        assert_eq!(semaphore.available().unwrap(), 1, "it is the parent's");
        let own = semaphore.acquire().unwrap();
        fork(|| drop(semaphore.try_acquire().unwrap_err())).expect_success();
        drop(own);
        assert_eq!(semaphore.available().unwrap(), 1);
    })
    .expect_success();
    assert_eq!(semaphore.available().unwrap(), 1);
    drop(permit);
    assert_eq!(semaphore.available().unwrap(), 2);
}

#[test]
fn numbers_that_no_semaphore_has_are_refused() {
    const MOST: u32 = Semaphore::MAX_PERMITS;
    for permits in [MOST + 1, u32::MAX] {
        assert_eq!(Semaphore::anonymous(permits).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    for bound in [0, MOST + 1, u32::MAX] {
        let error = BoundedSemaphore::anonymous(bound).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(&bound.to_string()), "{error}");
    }
    let most = Semaphore::anonymous(MOST).unwrap();
    let permit = most.acquire().unwrap();
    for (permits, kind) in [
        (0, ErrorKind::InvalidArgument),
        (2, ErrorKind::Overflow),
        (MOST, ErrorKind::Overflow),
        (u32::MAX, ErrorKind::Overflow),
    ] {
        assert_eq!(most.release(permits).unwrap_err().kind(), kind, "{permits}");
        assert_eq!(most.available().unwrap(), MOST - 1, "nothing was changed");
    }
    // Given by somebody else meanwhile: the guard has no room for its permit, and says nothing.
    most.release(1).unwrap();
    drop(permit);
    assert_eq!(most.available().unwrap(), MOST);

    let bounded = BoundedSemaphore::anonymous(3).unwrap();
    bounded.acquire().unwrap().forget();
    let error = bounded.release(2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overflow);
    assert!(error.to_string().contains("2 permits are there, 2 more were given"), "{error}");
    assert_eq!(bounded.available().unwrap(), 2);
}

#[test]
fn the_format_is_fixed_and_zero_bytes_are_a_semaphore() {
    let bytes = common::shared_bytes();
    // SAFETY: a zero page, shared, never unmapped, used as a semaphore only.
    let zero = unsafe { Semaphore::from_ptr(bytes, 4096) }.unwrap();
    assert_eq!(zero.available().unwrap(), 0);
    zero.release(2).unwrap();
    let mut expected = [0; 16];
    expected[1] = 2;
    expected[2] = 0x5348_0501;
    let place = Place { object: zero, bytes };
    assert_eq!(place.image(), expected);

    let place = Place::<BoundedSemaphore>::new(7);
    let _permit = place.object.acquire().unwrap();
    expected[1..4].copy_from_slice(&[6, 0x5348_0601, 7]);
    assert_eq!(place.image(), expected);
    assert_eq!(place.attach().unwrap().bound(), 7);

    // SAFETY: as above.
    let zero = unsafe { BoundedSemaphore::from_ptr(common::shared_bytes(), 4096) };
    assert_eq!(zero.unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn other_bytes_and_places_are_refused_and_left_alone() {
    let place = Place::<Semaphore>::new(1);
    // SAFETY: the page of a semaphore, which is refused.
    let other = unsafe { BoundedSemaphore::from_ptr(place.bytes, 4096) };
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Mismatch);
    for (tag, parameter, kind) in [
        (0x5348_0502, 0, ErrorKind::Mismatch),
        (0x5348_0101, 0, ErrorKind::Mismatch),
        (7, 7, ErrorKind::Mismatch),
        (0x5348_0501, 9, ErrorKind::Corrupt),
    ] {
        place.u32_at(IDENTITY).store(tag, SeqCst);
        place.u32_at(IDENTITY + 4).store(parameter, SeqCst);
        let before = place.image();
        assert_eq!(place.attach().unwrap_err().kind(), kind, "{tag:#x}");
        assert_eq!(place.image(), before);
    }
    let place = Place::<BoundedSemaphore>::new(1);
    for bound in [0, Semaphore::MAX_PERMITS + 1, u32::MAX] {
        place.u32_at(IDENTITY + 4).store(bound, SeqCst);
        assert_eq!(place.attach().unwrap_err().kind(), ErrorKind::Corrupt, "{bound}");
    }
    // SAFETY: within the page; the alignment, and the length, are what is tested.
    unsafe {
        let page = common::shared_bytes();
        for (offset, len, kind) in [(8, 128, ErrorKind::Misaligned), (0, 63, ErrorKind::Mismatch)] {
            assert_eq!(Semaphore::from_ptr(page.add(offset), len).unwrap_err().kind(), kind);
            assert_eq!(BoundedSemaphore::init_at(page.add(offset), len, 1).unwrap_err().kind(), kind);
        }
    }
}

#[test]
fn damage_after_attaching_is_an_error() {
    let _watchdog = watchdog();
    let place = Place::<BoundedSemaphore>::new(3);
    let semaphore = &place.object;
    for (offset, wrong) in
        [(COUNT, 4), (COUNT, u32::MAX), (IDENTITY, 0), (IDENTITY, 0x5348_0501), (IDENTITY + 4, 4)]
    {
        let right = place.u32_at(offset).swap(wrong, SeqCst);
        let before = place.image();
        for kind in [
            semaphore.acquire().map(Permit::forget).unwrap_err().kind(),
            semaphore.try_acquire().map(Permit::forget).unwrap_err().kind(),
            semaphore.acquire_timeout(FAR).map(Permit::forget).unwrap_err().kind(),
            semaphore.release(1).unwrap_err().kind(),
            semaphore.available().unwrap_err().kind(),
        ] {
            assert_eq!(kind, ErrorKind::Corrupt, "{wrong:#x} at {offset}");
        }
        assert_eq!(place.image(), before, "nothing was changed");
        place.u32_at(offset).store(right, SeqCst);
        let permit = semaphore.acquire().unwrap();
        place.u32_at(offset).store(wrong, SeqCst);
        drop(permit);
        place.u32_at(offset).store(right, SeqCst);
        place.u32_at(COUNT).store(3, SeqCst);
    }
}

#[test]
fn a_hostile_neighbour_causes_errors_at_worst() {
    let _watchdog = watchdog();
    let operate = |semaphore: &BoundedSemaphore, choice: u64| match choice % 4 {
        0 => semaphore.try_acquire().map(drop),
        1 => semaphore.acquire_timeout(Duration::from_micros(choice % 300)).map(drop),
        2 => semaphore.release((choice >> 8) as u32 % 5),
        _ => semaphore.available().map(drop),
    };
    scribbled_on(&Place::<BoundedSemaphore>::new(3), rounds(3_000), operate);
    let operate = |semaphore: &Semaphore, choice: u64| match choice % 3 {
        0 => semaphore.acquire_timeout(Duration::from_micros(choice % 300)).map(Permit::forget),
        1 => semaphore.release((choice >> 8) as u32),
        _ => semaphore.acquire_until(Instant::now()).map(drop),
    };
    scribbled_on(&Place::<Semaphore>::new(3), rounds(3_000), operate);
}

const VARIABLE: &str = "SHM_SYNC_TEST_SEMAPHORE";

#[test]
#[ignore = "run by the next test in a process of its own"]
fn in_an_unrelated_process() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let semaphore = Semaphore::attach(name.as_str()).unwrap();
    for _ in 0..1000 {
        semaphore.release(1).unwrap();
    }
}

#[test]
fn unrelated_processes_meet_under_the_name() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("semaphore-unrelated");
    let semaphore = Semaphore::create(name.as_str(), 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let output = rerun("in_an_unrelated_process", &[(VARIABLE, name.as_str())]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        });
        for _ in 0..1000 {
            semaphore.acquire().unwrap().forget();
        }
    });
    assert_eq!(semaphore.available().unwrap(), 0);
}

#[test]
fn names_kinds_and_bounds_are_told_apart() {
    let (name, _cleanup) = fresh_name("semaphore-names");
    let name = name.as_str();
    let semaphore = BoundedSemaphore::create(name, 3).unwrap();
    drop(BoundedSemaphore::create_or_attach(name, 3).unwrap().acquire().unwrap());
    let other = BoundedSemaphore::create_or_attach(name, 4).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch);
    assert_eq!(Semaphore::attach(name).unwrap_err().kind(), ErrorKind::Mismatch);
    let error = semaphore.release(1).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot release the bounded semaphore {name}: 3 permits")), "{error}");
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(name).unwrap();
        assert_eq!(BoundedSemaphore::attach_in(&segment, "").unwrap_err().kind(), ErrorKind::NotShared);
    }
}

#[test]
fn semaphores_live_beside_data() {
    let contents = Contents::new().bytes("ring", 4096, 64).unwrap();
    let contents = Semaphore::plan(contents, "full", 0).unwrap();
    let contents = BoundedSemaphore::plan(contents, "free", 9).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let full = Semaphore::attach_in(&segment, "full").unwrap();
    let free = BoundedSemaphore::attach_in(&segment, "free").unwrap();
    free.acquire().unwrap().forget();
    full.release(1).unwrap();
    drop(full.acquire().unwrap());
    assert_eq!((full.available().unwrap(), free.available().unwrap()), (1, 8));
    assert_eq!(Semaphore::attach_in(&segment, "free").unwrap_err().kind(), ErrorKind::Mismatch);
}
