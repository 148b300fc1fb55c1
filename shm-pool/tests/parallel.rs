//! Parallel regions: barrier, loops, single, sections and reduction; wrong uses that are said; deaths at every place.

#![allow(unsafe_code, reason = "kills workers")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{CALLS, alone, descriptors, die_at, kill, kill_self, no_children, pool, random};
use ndarray::Ix1;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, MapReduce, Region, Schedule};

const SCHEDULES: [Schedule; 8] = [
    Schedule::Static,
    Schedule::StaticChunk(1),
    Schedule::StaticChunk(7),
    Schedule::Dynamic(1),
    Schedule::Dynamic(7),
    Schedule::Dynamic(usize::MAX),
    Schedule::Guided(1),
    Schedule::Guided(7),
];

fn words(count: usize) -> SharedArray<u32, Ix1> {
    SharedArray::zeros(Anonymous, count).unwrap()
}

fn wait_for(word: &SharedArray<u32, Ix1>, at: usize) {
    while word.get(at) == 0 {
        std::thread::yield_now();
    }
}

/// What ordered sections write: how many there were, and which.
fn log(to: &SharedArray<u32, Ix1>, i: usize) {
    let at = to.get(0) + 1;
    to.set(at as usize, i as u32);
    to.set(0, at);
}

fn logged(from: &SharedArray<u32, Ix1>) -> Vec<usize> {
    (1..=from.get(0) as usize).map(|at| from.get(at) as usize).collect()
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    alone("smoke", || {
        let before = descriptors();
        for workers in [0, 1, 2, 5] {
            let found = pool(workers).parallel(|region| {
                assert_eq!(region.is_master(), region.rank() == 0);
                region.barrier();
                (region.rank(), region.workers(), std::process::id(), vec![region.rank(); 1000])
            });
            let found = found.unwrap();
            assert_eq!(found.len(), workers.max(1));
            assert!(
                found.iter().enumerate().all(|(i, r)| (r.0, r.1) == (i, workers.max(1)) && r.3 == [i; 1000])
            );
            let mut pids: Vec<u32> = found.iter().map(|r| r.2).collect();
            pids.sort_unstable();
            pids.dedup();
            assert_eq!(pids.len(), workers.max(1));
            assert_eq!(pids.contains(&std::process::id()), workers == 0);
            no_children();
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn each_iteration_of_each_loop_runs_once() {
    let _watch = common::watchdog();
    const LOOPS: usize = 300;
    for workers in [0, 1, 2, 5] {
        let counts = SharedArray::<u32, _>::zeros(Anonymous, (LOOPS, 60)).unwrap();
        let done = pool(workers).parallel(|region| {
            let mut done = 0;
            for l in 0..LOOPS {
                let range = l % 7..l % 7 + l % 50;
                region.for_each(range, SCHEDULES[l % SCHEDULES.len()], |i| {
                    counts.set((l, i), counts.get((l, i)) + 1);
                    done += 1;
                });
            }
            done
        });
        let expected: usize = (0..LOOPS).map(|l| l % 50).sum();
        assert_eq!(done.unwrap().iter().sum::<usize>(), expected);
        for l in 0..LOOPS {
            let range = l % 7..l % 7 + l % 50;
            assert!((0..60).all(|i| counts.get((l, i)) == u32::from(range.contains(&i))), "loop {l}");
        }
    }
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "that is what is tried")]
fn empty_and_enormous_ranges() {
    let _watch = common::watchdog();
    let found = pool(2).parallel(|region| {
        let mut seen = Vec::new();
        for schedule in SCHEDULES {
            region.for_each(5..5, schedule, |i| seen.push(i));
            region.for_each(5..2, schedule, |i| seen.push(i));
        }
        region.for_each(usize::MAX - 3..usize::MAX, Schedule::Dynamic(2), |i| seen.push(i));
        // As long as there can be: only its cut is looked at.
        region.for_each(0..usize::MAX, Schedule::Guided(usize::MAX / 2 + 1), |i| {
            if i == usize::MAX / 2 {
                seen.push(i);
            }
            assert!(i < 1000, "enough");
        });
        seen
    });
    assert_eq!(found.unwrap_err().panic_message(), Some("enough"));
    let found = pool(2).parallel(|region| {
        let mut seen = Vec::new();
        region.for_each(usize::MAX - 3..usize::MAX, Schedule::Dynamic(2), |i| seen.push(i));
        seen
    });
    let mut found = found.unwrap().concat();
    found.sort_unstable();
    assert_eq!(found, [usize::MAX - 3, usize::MAX - 2, usize::MAX - 1]);
}

#[test]
fn loops_do_not_wait_until_somebody_is_too_far_ahead() {
    let _watch = common::watchdog();
    let (progress, done) = (words(1), SharedArray::<u32, _>::zeros(Anonymous, 200).unwrap());
    let seen = pool(2).parallel(|region| {
        if region.is_master() {
            while progress.get(0) < 64 {
                std::thread::yield_now(); // the other one goes on without this one
            }
            (0..1000).for_each(|_| std::thread::yield_now());
        }
        let seen = progress.get(0);
        for l in 0..200 {
            region.for_each(0..4, Schedule::Dynamic(1), |_| region.critical(|| done.set(l, done.get(l) + 1)));
            if !region.is_master() {
                progress.set(0, l as u32 + 1);
            }
        }
        seen
    });
    assert_eq!(seen.unwrap()[0], 64, "and not further");
    assert!((0..200).all(|l| done.get(l) == 4));
}

#[test]
fn a_barrier_shows_what_was_written_before() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 5] {
        let words = words(5);
        pool(workers)
            .parallel(|region| {
                for round in 1..=300 {
                    words.set(region.rank(), round);
                    region.barrier();
                    assert!((0..region.workers()).all(|rank| words.get(rank) == round));
                    region.barrier();
                }
            })
            .unwrap();
    }
}

#[test]
fn returning_right_behind_a_barrier_disturbs_nobody() {
    let _watch = common::watchdog();
    for round in 0..150 {
        let found = pool(3).parallel(|region| {
            region.barrier();
            round
        });
        assert_eq!(found.unwrap(), [round; 3]);
    }
}

#[test]
fn a_single_is_run_by_one() {
    let _watch = common::watchdog();
    for workers in [0, 1, 3] {
        let counts = words(200);
        let found = pool(workers).parallel(|region| {
            let single = |s| region.single(|| counts.set(s, counts.get(s) + 1)).is_some();
            (0..200).filter(|s| single(*s)).count()
        });
        assert_eq!(found.unwrap().iter().sum::<usize>(), 200);
        assert!((0..200).all(|s| counts.get(s) == 1));
    }
}

#[test]
fn sections_exclude_each_other() {
    let _watch = common::watchdog();
    let count = words(1);
    let add = || count.set(0, count.get(0) + 1);
    pool(3)
        .parallel(|region| {
            (0..500).for_each(|_| region.critical(add));
            region.for_each(0..1500, Schedule::Dynamic(3), |_| region.critical(add));
        })
        .unwrap();
    assert_eq!(count.get(0), 3000);
}

#[test]
fn ordered_sections_run_in_the_order_of_the_iterations() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 4] {
        for schedule in SCHEDULES {
            let (order, back) = (words(400), words(400));
            let done = pool(workers).parallel(|region| {
                let mut done = 0;
                region.for_each_ordered(10..210, schedule, |i| {
                    if i % 5 != 2 {
                        region.ordered(|| log(&order, i));
                    }
                    done += 1;
                });
                region.for_each_ordered(0..100, schedule, |i| {
                    region.ordered(|| region.critical(|| log(&back, i)));
                });
                done
            });
            assert_eq!(done.unwrap().iter().sum::<u32>(), 200);
            assert!(logged(&order).into_iter().eq((10..210).filter(|i| i % 5 != 2)), "{schedule:?}");
            assert!(logged(&back).into_iter().eq(0..100), "{schedule:?}");
        }
    }
}

#[test]
fn more_workers_than_processors_sleep_before_their_turns() {
    let _watch = common::watchdog();
    let order = words(401);
    pool(40)
        .parallel(|region| {
            region.for_each_ordered(0..400, Schedule::Dynamic(1), |i| {
                if i % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                region.ordered(|| log(&order, i));
            });
        })
        .unwrap();
    assert!(logged(&order).into_iter().eq(0..400));
}

#[test]
fn a_thousand_workers_meet() {
    let _watch = common::watchdog();
    alone("a_thousand_workers_meet", || {
        let before = descriptors();
        let found = pool(1000).parallel(|region| {
            region.barrier();
            let mut sum = 0;
            region.for_each(0..5000, Schedule::Dynamic(1), |i| sum += i);
            region.reduce(sum, |a, b| a + b)
        });
        assert_eq!(found.unwrap(), [4999 * 2500; 1000]);
        no_children();
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn reductions_are_the_same_everywhere_and_each_time() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 5] {
        let run = || {
            pool(workers).parallel(|region| {
                let rank = region.rank();
                let mut found = Vec::new();
                for round in 0..100 {
                    // Floating-point sums depend on the order.
                    let value = 0.1 + 1e10 * rank as f64 + f64::from(round);
                    found.push(region.reduce(value, |a, b| a + b / 3.0).to_bits());
                    if round % 10 == 0 {
                        region.barrier();
                    }
                }
                let text = region.reduce(rank.to_string(), |a, b| format!("({a}{b})"));
                let most = region.reduce((rank as u8, Some([rank; 3])), |a, b| if b > a { b } else { a });
                region.reduce((), |(), ()| ());
                (found, text, most)
            })
        };
        let found = run().unwrap();
        assert!(found.iter().all(|r| *r == found[0]));
        assert_eq!(found, run().unwrap());
        let last = workers.max(1) - 1;
        assert_eq!(found[0].2, (last as u8, Some([last; 3])));
        assert!(workers != 2 || found[0].1 == "(01)");
    }
}

#[test]
fn values_of_any_size_and_of_different_ones_are_reduced() {
    let _watch = common::watchdog();
    const AREA: usize = 256 << 10;
    let lens = [0, 1, AREA - 70, AREA - 64, AREA - 63, AREA, 3 * AREA + 5];
    let found = pool(3).parallel(|region| {
        let rank = region.rank();
        for turn in 0..lens.len() {
            let len = |rank: usize| lens[(turn + 2 * rank) % lens.len()];
            let bytes = |rank: usize| (0..len(rank)).map(move |i| (i * 31 + rank) as u8);
            let all = region.reduce(bytes(rank).collect::<Vec<u8>>(), |a, b| [a, b].concat());
            assert!(all.into_iter().eq((0..3).flat_map(bytes)), "{turn}");
        }
    });
    found.unwrap();
}

#[test]
fn maps_and_regions_inside_of_each_other() {
    let _watch = common::watchdog();
    let found = pool(2).parallel(|region| {
        let inner = pool(2).parallel(|inner| inner.reduce(inner.rank() + 1, |a, b| a + b)).unwrap();
        let map = pool(2).ordered().map(0..10, |worker, i| worker.ordered(|| i)).unwrap();
        region.barrier();
        region.reduce(inner.iter().sum::<usize>() + map.len(), |a, b| a + b)
    });
    assert_eq!(found.unwrap(), [32, 32]);
    let found = pool(2).map(0..3, |_, i| pool(2).parallel(|region| region.reduce(i, |a, b| a + b)).unwrap());
    assert_eq!(found.unwrap(), [[0, 0], [2, 2], [4, 4]]);
}

#[test]
fn copies_that_the_function_forks_are_no_workers() {
    let _watch = common::watchdog();
    let codes = pool(2).parallel(|region| {
        let wait = |child: i32| {
            let mut status = 0;
            // SAFETY: the pointer is valid for the call.
            unsafe { libc::waitpid(child, &mut status, 0) };
            libc::WEXITSTATUS(status)
        };
        // SAFETY: the copy returns into the executor, which ends it; this is what is tested.
        let child = unsafe { libc::fork() };
        if child == 0 {
            return 0;
        }
        let returned = wait(child);
        // SAFETY: the same; it panics.
        let child = unsafe { libc::fork() };
        if child == 0 {
            region.for_each(0..10, Schedule::Dynamic(1), |_| ());
        }
        let panicked = wait(child);
        let mut count = 0;
        region.for_each(0..10, Schedule::Dynamic(1), |_| count += 1);
        assert_eq!(region.reduce(count, |a, b| a + b), 10);
        1000 * returned + panicked
    });
    assert_eq!(codes.unwrap(), [101, 101]);
}

/// What a region says that was used wrongly, with workers and, where it can be seen there, without.
fn says(text: &str, serial: bool, body: impl Fn(&Region)) {
    let error = pool(2).parallel(&body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert!(error.panic_message().unwrap().contains(text), "{error}");
    assert!(
        !error.to_string().contains("item") || error.to_string().contains("chunks of 0 items"),
        "{error}"
    );
    if serial {
        let panic = catch_unwind(AssertUnwindSafe(|| pool(0).parallel(&body).map(drop))).unwrap_err();
        let message = panic.downcast_ref::<String>().map(String::as_str);
        assert!(message.or(panic.downcast_ref::<&str>().copied()).unwrap().contains(text));
    }
}

#[test]
fn constructs_inside_of_others_are_refused() {
    let _watch = common::watchdog();
    let inside = "cannot wait at a barrier inside of the body of a loop";
    says(inside, true, |region| region.for_each(0..4, Schedule::Static, |_| region.barrier()));
    let inside = "cannot meet a loop inside of the body of a loop";
    says(inside, true, |region| {
        region.for_each(0..4, Schedule::Static, |_| region.for_each(0..2, Schedule::Static, |_| ()));
    });
    let inside = "cannot meet a single inside of a single";
    says(inside, true, |region| {
        region.single(|| region.single(|| ()));
    });
    let inside = "cannot reduce a value inside of the critical section";
    says(inside, false, |region| {
        region.critical(|| region.reduce(1, |a, b| a + b));
    });
    let text = "outside of region.for_each_ordered()";
    says(text, true, |region| region.ordered(|| ()));
    says(text, true, |region| region.for_each(0..2, Schedule::Static, |_| region.ordered(|| ())));
    says("a second time", true, |region| {
        region.for_each_ordered(0..4, Schedule::Static, |_| {
            region.ordered(|| ());
            region.ordered(|| ());
        });
    });
    says("inside of region.critical()", false, |region| {
        region.for_each_ordered(0..4, Schedule::Static, |_| region.critical(|| region.ordered(|| ())));
    });
    says("chunks of 0 items", true, |region| region.for_each(0..4, Schedule::Dynamic(0), |_| ()));
}

#[test]
fn workers_that_meet_different_things_are_told() {
    let _watch = common::watchdog();
    let other = "meets something else";
    says(other, false, |region| region.for_each(0..4 + region.rank(), Schedule::Static, |_| ()));
    says(other, false, |region| region.for_each(0..4, Schedule::Dynamic(1 + region.rank()), |_| ()));
    says(other, false, |region| match region.rank() {
        0 => region.for_each(0..4, Schedule::Static, |_| ()),
        _ => region.for_each_ordered(0..4, Schedule::Static, |_| ()),
    });
    says(other, false, |region| match region.rank() {
        0 => region.for_each(0..4, Schedule::Static, |_| ()),
        _ => drop(region.single(|| ())),
    });
    says("where worker 0 waits at a barrier", false, |region| match region.rank() {
        0 => region.barrier(),
        _ => drop(region.reduce(1, |a, b| a + b)),
    });
}

#[test]
fn workers_that_return_too_early_are_missed() {
    let _watch = common::watchdog();
    let gone = "its function has returned";
    says(gone, false, |region| {
        if region.rank() == 0 {
            region.barrier();
        }
    });
    says(gone, false, |region| {
        if region.rank() == 1 {
            region.reduce(1, |a, b| a + b);
        }
    });
    says(gone, false, |region| {
        if region.rank() == 0 {
            (0..65).for_each(|_| region.for_each(0..4, Schedule::Static, |_| ()));
        }
    });
    says(gone, false, |region| {
        if region.rank() == 1 {
            region.for_each_ordered(0..4, Schedule::Static, |_| region.ordered(|| ()));
        }
    });
    // Up to 64 loops more or less are not noticed, and nobody waits for anything: it is an error only where it would be a hang.
    let found = pool(2).parallel(|region| {
        (0..32 * region.rank()).for_each(|_| region.for_each(0..4, Schedule::Static, |_| ()));
    });
    found.unwrap();
}

#[test]
fn a_panic_that_is_caught_across_a_loop_ends_the_region() {
    let _watch = common::watchdog();
    says("a panic that was caught has passed", true, |region| {
        let body = |i| assert!(i != 2);
        let _ = catch_unwind(AssertUnwindSafe(|| region.for_each(0..4, Schedule::Static, body)));
        if region.workers() == 1 || region.rank() == 1 {
            region.barrier();
        }
    });
    let error = pool(2).parallel(|region| {
        let _ = catch_unwind(AssertUnwindSafe(|| region.single(|| panic!("caught"))));
    });
    assert!(error.unwrap_err().panic_message().unwrap().contains("cannot return from the function"));
}

const WAYS: [(fn(), Option<Exit>); 3] = [
    (|| kill_self(libc::SIGKILL), Some(Exit::Signal(libc::SIGKILL))),
    (|| std::process::exit(0), Some(Exit::Code(0))),
    (|| panic!("on purpose"), None),
];

#[test]
fn a_death_at_any_place_fails_the_region_and_the_others_leave() {
    let _watch = common::watchdog();
    alone("a_death_at_any_place_fails_the_region_and_the_others_leave", || {
        let before = descriptors();
        const PLACES: usize = 10;
        for (leave, exit) in WAYS {
            for place in 0..PLACES {
                for dies in 0..3 {
                    let ready = words(4);
                    let error = pool(3).retries(5).parallel(|region: &Region| {
                        let rank = region.rank();
                        let at = |here| {
                            if rank == dies && place == here {
                                // The others are on their way to where they wait.
                                (0..3).filter(|r| *r != dies).for_each(|r| wait_for(&ready, r));
                                leave();
                            }
                        };
                        ready.set(rank, 1);
                        at(0);
                        region.barrier();
                        at(1);
                        region.critical(|| at(2));
                        region.barrier();
                        region.for_each(0..30, Schedule::Static, |_| at(3));
                        region.for_each_ordered(0..30, Schedule::StaticChunk(1), |_| {
                            at(4);
                            region.ordered(|| at(5));
                        });
                        region.reduce(rank, |a, b| {
                            at(6);
                            a + b
                        });
                        let first = (0..600).filter(|_| region.single(|| at(7)).is_some()).count();
                        region.reduce(first, |a, b| a + b);
                        at(8);
                        region.barrier();
                        at(9);
                        rank
                    });
                    // A single may never have come to this one, of two that are as quick.
                    let error = match error {
                        Ok(all) if place == 7 => {
                            assert_eq!(all, [0, 1, 2]);
                            continue;
                        }
                        other => other.unwrap_err(),
                    };
                    assert_eq!((error.rank(), error.exit()), (Some(dies), exit), "place {place}: {error}");
                    assert_eq!(error.item(), Some(dies));
                    let text = error.to_string();
                    assert!(
                        text.contains("parallel region of 3 workers") && !text.contains("unfinished"),
                        "{text}"
                    );
                    assert!(error.finished().iter().all(|(i, r)| i == r && *i != dies));
                    no_children();
                }
            }
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn those_who_wait_are_unwound_and_not_killed() {
    let _watch = common::watchdog();
    struct Leaves<'a>(&'a SharedArray<u32, Ix1>, usize);
    impl Drop for Leaves<'_> {
        fn drop(&mut self) {
            self.0.set(self.1, 1);
        }
    }
    let waits: [fn(&Region); 4] = [
        |region| region.barrier(),
        |region| {
            region.reduce(1, |a, b| a + b);
        },
        |region| region.for_each_ordered(0..3, Schedule::Static, |_| region.ordered(|| ())),
        |region| (0..70).for_each(|_| region.for_each(0..3, Schedule::Static, |_| ())),
    ];
    for wait in waits {
        let (left, ready) = (words(3), words(3));
        let error = pool(3).parallel(|region| {
            let _leaves = Leaves(&left, region.rank());
            ready.set(region.rank(), 1);
            if region.rank() == 0 {
                (1..3).for_each(|r| wait_for(&ready, r));
                kill_self(libc::SIGKILL);
            }
            wait(region);
        });
        assert_eq!(error.unwrap_err().rank(), Some(0));
        assert_eq!((left.get(0), left.get(1), left.get(2)), (0, 1, 1));
    }
}

/// Everything that a region has, over and over.
fn everything(
    region: &Region,
    pids: &SharedArray<u32, Ix1>,
    order: &SharedArray<u32, Ix1>,
    die: &dyn Fn(usize),
) -> usize {
    let rank = region.rank();
    pids.set(rank, std::process::id());
    let mut sum = 0;
    for round in 0..20 {
        die(round);
        region.for_each(0..200, SCHEDULES[round % SCHEDULES.len()], |i| sum += i);
        region
            .for_each_ordered(0..20, Schedule::Dynamic(1), |i| region.ordered(|| log(order, 20 * round + i)));
        region.single(|| region.critical(|| ()));
        assert_eq!(region.reduce(vec![rank; 100], |a, b| [a, b].concat()).len(), 300);
        region.barrier();
    }
    region.reduce(sum, |a, b| a + b)
}

#[test]
fn killed_at_random_moments() {
    let _watch = common::watchdog();
    alone("killed_at_random_moments", || {
        let before = descriptors();
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let (mut died, mut lived) = (0, 0);
        for round in 0..150 {
            let (pids, order) = (words(3), words(401));
            let delay = random(&mut seed) % 4000;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(delay));
                    let pid = pids.get(round % 3);
                    if pid != 0 {
                        kill(pid, libc::SIGKILL);
                    }
                });
                match pool(3).parallel(|region| everything(region, &pids, &order, &|_| ())) {
                    Ok(sums) => {
                        lived += 1;
                        assert_eq!(sums, [20 * 199 * 100; 3]);
                        assert!(logged(&order).into_iter().eq(0..400));
                    }
                    Err(error) => {
                        died += 1;
                        let who = (error.rank(), error.exit());
                        assert_eq!(who, (Some(round % 3), Some(Exit::Signal(libc::SIGKILL))), "{error}");
                        assert!(logged(&order).into_iter().eq(0..order.get(0) as usize));
                    }
                }
            });
            no_children();
        }
        println!("{died} died, {lived} lived");
        assert!(died > 0);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call", || {
        let mut hits = 0;
        for call in CALLS {
            for from in [0, 1, 7, 19] {
                for dies in 0..3 {
                    let (pids, order) = (words(3), words(401));
                    let outcome = pool(3).parallel(|region| {
                        let die = |round| {
                            if round == from && region.rank() == dies {
                                die_at(call);
                            }
                        };
                        everything(region, &pids, &order, &die)
                    });
                    match outcome {
                        Ok(sums) => assert_eq!(sums, [20 * 199 * 100; 3]),
                        Err(error) => {
                            hits += 1;
                            let who = (error.rank(), error.exit());
                            assert_eq!(who, (Some(dies), Some(Exit::Signal(libc::SIGSYS))), "{error}");
                        }
                    }
                    no_children();
                }
            }
        }
        println!("{hits} hits");
        assert!(hits >= 12, "at least every exit_group");
    });
}

#[test]
fn what_cannot_be_sent_is_said() {
    let _watch = common::watchdog();
    #[derive(Debug, serde::Deserialize)]
    struct Never;
    impl serde::Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    says("a value to be reduced cannot be serialised", false, |region| {
        region.reduce(Never, |a, _| a);
    });
    let error = pool(2).parallel(|_| Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("the result of worker"), "{error}");
    let error = MapReduce::new().workers(5000).threads_ok().parallel(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fork);
}
