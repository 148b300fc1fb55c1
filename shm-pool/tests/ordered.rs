//! Ordered sections: in the order of the items whatever happens; with deaths and panics inside, by each policy.

#![allow(unsafe_code, reason = "kills workers, and forks")]

mod common;

use std::time::{Duration, Instant};

use common::{CALLS, alone, descriptors, die_at, kill, kill_self, no_children, pool, random};
use ndarray::Ix1;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, MapReduce, Schedule, Worker};

/// What sections write: how many there were, and their items.
struct Log(SharedArray<u32, Ix1>);

impl Log {
    fn new() -> Log {
        Log(SharedArray::zeros(Anonymous, 20_000).unwrap())
    }

    fn write(&self, item: usize) {
        let at = self.0.get(0) as usize + 1;
        self.0.set(at, item as u32);
        self.0.set(0, at as u32); // last: a death before it leaves the log as it was
    }

    fn items(&self) -> Vec<usize> {
        (1..=self.0.get(0) as usize).map(|at| self.0.get(at) as usize).collect()
    }
}

fn words(count: usize) -> SharedArray<u32, Ix1> {
    SharedArray::zeros(Anonymous, count).unwrap()
}

/// Whether this is the first call for a word, in all processes.
fn first(word: usize, of: &SharedArray<u32, Ix1>) -> bool {
    let before = of.get(word);
    of.set(word, before + 1);
    before == 0
}

fn ordered(workers: usize) -> MapReduce {
    pool(workers).ordered()
}

const WAYS: [(fn(), Option<Exit>); 3] = [
    (|| kill_self(libc::SIGKILL), Some(Exit::Signal(libc::SIGKILL))),
    (|| std::process::exit(3), Some(Exit::Code(3))),
    (|| panic!("on purpose"), None),
];

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let all = [
        None,
        Some(Schedule::Static),
        Some(Schedule::StaticChunk(3)),
        Some(Schedule::Dynamic(4)),
        Some(Schedule::default()),
    ];
    for schedule in all {
        for workers in [0, 1, 2, 3, 8] {
            let pool = match schedule {
                Some(schedule) => ordered(workers).schedule(schedule),
                None => ordered(workers),
            };
            let log = Log::new();
            let work = |worker: &Worker, i: usize| {
                if i % 7 != 3 {
                    worker.ordered(|| log.write(i)); // the others pass their turns
                }
                10 * i
            };
            let expected: Vec<usize> = (0..300).map(|i| 10 * i).collect();
            assert_eq!(pool.map(0..300, work).unwrap(), expected);
            assert_eq!(pool.map_plain(0..300, work).unwrap(), expected);
            assert_eq!(pool.skip_failed().map(0..300, work).unwrap().results().len(), 300);
            let once: Vec<usize> = (0..300).filter(|i| i % 7 != 3).collect();
            assert_eq!(log.items(), [&once[..], &once, &once].concat(), "{schedule:?}, {workers} workers");
        }
    }
}

#[test]
fn more_workers_than_processors_that_sleep_before_their_turns() {
    let _watch = common::watchdog();
    let log = Log::new();
    ordered(40)
        .map(0..400usize, |worker, i| {
            if i % 50 == 0 {
                std::thread::sleep(Duration::from_millis(5)); // the others go to sleep meanwhile
            }
            worker.ordered(|| log.write(i));
        })
        .unwrap();
    assert!(log.items().into_iter().eq(0..400));
}

#[test]
fn what_is_outside_of_the_section_overlaps() {
    let _watch = common::watchdog();
    let seen = words(2);
    let log = Log::new();
    ordered(2)
        .map(0..2usize, |worker, i| {
            // Item 0 has not had its turn, and each waits here for the other: in their order, one after the other, they never meet.
            seen.set(i, 1);
            while seen.get(1 - i) == 0 {
                std::thread::yield_now();
            }
            worker.ordered(|| log.write(i));
        })
        .unwrap();
    assert_eq!(log.items(), [0, 1]);
}

#[test]
fn a_crew_begins_its_order_anew_in_each_run() {
    let _watch = common::watchdog();
    let log = Log::new();
    let mut array = SharedArray::<u32, _>::zeros(Anonymous, 30).unwrap();
    let mut alone = array.exclusive().unwrap();
    let mut crew = ordered(3)
        .crew(&mut alone, 1, |worker, offset, _: &mut [u32]| worker.ordered(|| log.write(offset)))
        .unwrap();
    for _ in 0..100 {
        crew.run().unwrap();
    }
    assert!(log.items().into_iter().eq((0..3000).map(|i| i % 30)));
}

#[test]
fn maps_inside_of_the_section_have_their_own_order() {
    let _watch = common::watchdog();
    let (outer, inner) = (Log::new(), Log::new());
    ordered(2)
        .map(0..5usize, |worker, i| {
            worker.ordered(|| {
                outer.write(i);
                ordered(2).map(0..20usize, |worker, j| worker.ordered(|| inner.write(j))).unwrap();
            });
        })
        .unwrap();
    assert!(outer.items().into_iter().eq(0..5));
    assert!(inner.items().into_iter().eq((0..100).map(|j| j % 20)));
}

#[test]
fn wrong_uses_are_said_clearly() {
    let _watch = common::watchdog();
    let twice = |worker: &Worker, i: usize| {
        worker.ordered(|| ());
        if i == 3 {
            worker.ordered(|| ());
        }
    };
    let nested = |worker: &Worker, i: usize| {
        worker.ordered(|| {
            if i == 3 {
                worker.ordered(|| ())
            }
        })
    };
    let inside = |worker: &Worker, i: usize| {
        if i == 3 {
            worker.critical(|| worker.ordered(|| ()))
        }
    };
    let says = |work: &dyn Fn(&Worker, usize), text: &str| {
        let error = ordered(2).map(0..10, work).unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, Some(3)), "{error}");
        assert!(error.panic_message().unwrap().contains(text), "{error}");
        // Without workers they are the same panics.
        let serial = || ordered(0).map(0..10, work).map(drop);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serial)).unwrap_err();
        let message = panic.downcast_ref::<String>().map(String::as_str);
        assert!(message.or(panic.downcast_ref::<&str>().copied()).unwrap().contains(text));
    };
    says(&twice, "item 3 enters the ordered section a second time");
    says(&nested, "item 3 enters the ordered section a second time");
    says(&inside, "inside of worker.critical()");
    let error = pool(2)
        .map(0..10, |worker, i| {
            if i == 3 {
                worker.ordered(|| ())
            }
        })
        .unwrap_err();
    assert!(error.panic_message().unwrap().contains("say MapReduce::ordered()"), "{error}");
    let error = ordered(2).map(0..2, |worker, _| {
        // SAFETY: the worker has one thread; the child panics, and ends with the worker's copy of the loop.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.ordered(|| ())));
            std::process::exit(if panic.is_err() { 7 } else { 8 });
        }
        let mut status = 0;
        // SAFETY: the pointer is valid for the call.
        unsafe { libc::waitpid(child, &mut status, 0) };
        worker.ordered(|| libc::WEXITSTATUS(status))
    });
    assert_eq!(error.unwrap(), [7, 7]);
}

#[test]
fn copies_that_the_function_forks_pass_no_turn() {
    let _watch = common::watchdog();
    alone("copies_that_the_function_forks_pass_no_turn", || {
        let log = Log::new();
        let codes = ordered(2).map(0..40usize, |worker, i| {
            // SAFETY: the copy returns into the executor, or panics into it, which ends it; this is what is tested.
            let child = unsafe { libc::fork() };
            assert!(child != 0 || i % 2 == 0, "a panic in a copy is nobody else's");
            if child == 0 {
                return 0;
            }
            let mut status = 0;
            // SAFETY: the pointer is valid for the call.
            unsafe { libc::waitpid(child, &mut status, 0) };
            worker.ordered(|| log.write(i));
            libc::WEXITSTATUS(status)
        });
        assert!(log.items().into_iter().eq(0..40));
        assert!(codes.unwrap().into_iter().eq([0, 101].into_iter().cycle().take(40)));
        no_children();
    });
}

#[test]
fn critical_inside_of_ordered() {
    let _watch = common::watchdog();
    let (log, count) = (Log::new(), words(1));
    let add = |worker: &Worker| worker.critical(|| count.set(0, count.get(0) + 1));
    ordered(3)
        .map(0..600usize, |worker, i| {
            add(worker);
            worker.ordered(|| {
                add(worker);
                log.write(i);
            });
        })
        .unwrap();
    assert!(log.items().into_iter().eq(0..600) && count.get(0) == 1200);
}

#[test]
fn a_caught_panic_in_the_section_passes_the_turn_when_the_item_ends() {
    let _watch = common::watchdog();
    let log = Log::new();
    ordered(2)
        .map(0..100usize, |worker, i| {
            let section = || {
                assert_ne!(i, 20);
                log.write(i);
            };
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.ordered(section)));
        })
        .unwrap();
    assert!(log.items().into_iter().eq((0..100).filter(|i| *i != 20)));
}

#[test]
fn an_end_inside_of_the_section_fails_the_map_and_nobody_goes_on() {
    let _watch = common::watchdog();
    alone("an_end_inside_of_the_section_fails_the_map_and_nobody_goes_on", || {
        let before = descriptors();
        for (leave, exit) in WAYS {
            for workers in [1, 2, 5] {
                let log = Log::new();
                let error = ordered(workers).map(0..200usize, |worker, i| {
                    worker.ordered(|| {
                        if i == 50 {
                            std::thread::sleep(Duration::from_millis(2)); // the others wait for their turns
                            leave();
                        }
                        log.write(i);
                    });
                    i
                });
                let error = error.unwrap_err();
                assert_eq!((error.item(), error.exit()), (Some(50), exit), "{error}");
                assert!(log.items().into_iter().eq(0..50), "nobody enters behind it");
                // Those that had sections are not lost, but for what was in the dead one's hands.
                assert!(error.finished().len() <= 50 && error.finished().iter().all(|(i, r)| i == r));
                no_children();
            }
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn those_who_wait_leave_at_once_and_are_unwound() {
    let _watch = common::watchdog();
    alone("those_who_wait_leave_at_once_and_are_unwound", || {
        struct Leaves<'a>(&'a SharedArray<u32, Ix1>, usize);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.set(self.1, 1);
            }
        }
        let (left, mut quickest) = (words(4), Duration::MAX);
        for _ in 0..10 {
            let begun = Instant::now();
            let error = ordered(4).map(0..4usize, |worker, i| {
                let _leaves = Leaves(&left, i);
                left.set(i, 2);
                if i == 0 {
                    while (1..4).any(|i| left.get(i) != 2) {
                        std::thread::yield_now();
                    }
                    kill_self(libc::SIGKILL);
                }
                worker.ordered(|| unreachable!("item 0 has had no turn"));
            });
            assert_eq!(error.unwrap_err().item(), Some(0));
            assert!((1..4).all(|i| left.get(i) == 1), "they were unwound, not killed");
            quickest = quickest.min(begun.elapsed());
            no_children();
        }
        println!("a map whose first item dies is over after {quickest:?}");
    });
}

#[test]
fn the_fresh_worker_has_the_turn_again() {
    let _watch = common::watchdog();
    alone("the_fresh_worker_has_the_turn_again", || {
        for (leave, _) in WAYS {
            for workers in [1, 2, 5] {
                for schedule in [Schedule::Dynamic(1), Schedule::Static, Schedule::StaticChunk(2)] {
                    let (log, seen) = (Log::new(), words(100));
                    let found =
                        ordered(workers).schedule(schedule).retries(1).map(0..100usize, |worker, i| {
                            worker.ordered(|| {
                                if matches!(i, 0 | 30 | 31 | 99) && first(i, &seen) {
                                    leave();
                                }
                                log.write(i);
                            });
                            i
                        });
                    assert_eq!(found.unwrap(), (0..100).collect::<Vec<_>>());
                    let mut items = log.items();
                    if schedule != Schedule::Dynamic(1) {
                        // What had not been sent was done again, out of order; each had its first turn in order.
                        let mut had = [false; 100];
                        items.retain(|i| !std::mem::replace(&mut had[*i], true));
                    }
                    assert!(items.iter().copied().eq(0..100), "{schedule:?}: {items:?}");
                    no_children();
                }
            }
        }
    });
}

#[test]
fn skipped_items_lose_their_turn() {
    let _watch = common::watchdog();
    alone("skipped_items_lose_their_turn", || {
        for (leave, exit) in WAYS {
            for workers in [1, 2, 5] {
                // Inside of the section, and before it.
                for inside in [true, false] {
                    let log = Log::new();
                    let bad = |i| matches!(i, 0 | 30 | 31 | 99);
                    let found = ordered(workers).skip_failed().map(0..100usize, |worker, i| {
                        if bad(i) && !inside {
                            leave();
                        }
                        worker.ordered(|| {
                            if bad(i) {
                                leave();
                            }
                            log.write(i);
                        });
                        i
                    });
                    let found = found.unwrap();
                    assert!(found.skipped().eq([0, 30, 31, 99]), "{:?}", found.failures());
                    assert!(found.failures().iter().all(|failure| failure.exit() == exit));
                    assert!(log.items().into_iter().eq((0..100).filter(|i| !bad(*i))));
                    no_children();
                }
            }
        }
    });
}

#[test]
fn a_death_in_the_critical_section_by_each_policy() {
    let _watch = common::watchdog();
    alone("a_death_in_the_critical_section_by_each_policy", || {
        for (leave, exit) in WAYS {
            let (count, seen) = (words(1), words(1));
            let work = |worker: &Worker, i: u32| {
                worker.critical(|| {
                    if i == 40 && first(0, &seen) {
                        leave();
                    }
                    count.set(0, count.get(0) + 1);
                });
                i
            };
            let error = pool(3).map(0..100, work).unwrap_err();
            assert_eq!((error.item(), error.exit()), (Some(40), exit));
            no_children();
            seen.set(0, 0);
            assert_eq!(pool(3).retries(1).map(0..100, work).unwrap().len(), 100);
            no_children();
            seen.set(0, 0);
            count.set(0, 0);
            let found = pool(3).schedule(Schedule::Dynamic(1)).skip_failed().map(0..100, work).unwrap();
            assert!(found.skipped().eq([40]) && count.get(0) >= 99);
            no_children();
        }
    });
}

#[test]
fn killed_at_random_points_under_every_policy() {
    let _watch = common::watchdog();
    alone("killed_at_random_points_under_every_policy", || {
        let before = descriptors();
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut killed = [0; 3];
        let turns = |i: &usize| !i.is_multiple_of(3); // those that enter
        for round in 0..150 {
            let (log, pids) = (Log::new(), words(3));
            let delay = random(&mut seed) % 1500;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(delay));
                    let pid = pids.get(round % 3);
                    if pid != 0 {
                        kill(pid, libc::SIGKILL);
                    }
                });
                let work = |worker: &Worker, i: usize| {
                    if pids.get(worker.rank()) == 0 {
                        pids.set(worker.rank(), std::process::id());
                    }
                    if turns(&i) {
                        worker.ordered(|| log.write(i));
                    }
                    i
                };
                let ascending = |items: Vec<usize>| {
                    let mut had = [false; 2000];
                    items.into_iter().filter(|i| !std::mem::replace(&mut had[*i], true)).collect::<Vec<_>>()
                };
                match round % 3 {
                    0 => {
                        let outcome = ordered(3).map(0..2000usize, work);
                        // A death at the write of the last word may leave an item unwritten; never one out of order.
                        assert!(
                            log.items().into_iter().eq((0..2000).filter(turns).take(log.0.get(0) as usize))
                        );
                        killed[0] += usize::from(outcome.is_err());
                    }
                    1 => {
                        let all = ordered(3).retries(5).map(0..2000usize, work).unwrap();
                        assert!(all.into_iter().eq(0..2000));
                        assert!(ascending(log.items()).into_iter().eq((0..2000).filter(turns)));
                        killed[1] += usize::from(pids.get(round % 3) != 0);
                    }
                    _ => {
                        let found = ordered(3).skip_failed().map(0..2000usize, work).unwrap();
                        let skipped: Vec<usize> = found.skipped().collect();
                        let items = ascending(log.items());
                        assert!(items.is_sorted(), "in order");
                        let missing = (0..2000).filter(turns).filter(|i| items.binary_search(i).is_err());
                        assert!(missing.into_iter().all(|i| skipped.contains(&i)));
                        killed[2] += found.failures().len();
                    }
                }
            });
            no_children();
        }
        println!("hits by policy: {killed:?}");
        assert!(killed.iter().all(|hits| *hits > 0), "{killed:?}");
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_that_a_worker_makes() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_that_a_worker_makes", || {
        let mut hits = 0;
        for call in CALLS {
            for from in [0, 1, 57, 150] {
                let (log, seen) = (Log::new(), words(200));
                let found = ordered(3).skip_failed().map(0..200usize, |worker, i| {
                    if i == from && first(i, &seen) {
                        die_at(call);
                    }
                    if i % 20 == 0 {
                        std::thread::sleep(Duration::from_micros(300)); // somebody sleeps before its turn
                    }
                    worker.ordered(|| log.write(i));
                    vec![i; 100]
                });
                let found = found.unwrap();
                hits += found.failures().len();
                let mut had = [false; 200];
                let mut items = log.items();
                items.retain(|i| !std::mem::replace(&mut had[*i], true));
                assert!(items.is_sorted(), "{items:?}");
                assert!(found.skipped().count() <= 1 && items.len() + 1 >= 200);
                no_children();
            }
        }
        println!("{hits} hits");
        assert!(hits >= 8);
    });
}
