//! What follows from a worker's failure: another try, or going on without the item; killed at every system call and at random points.

#![allow(unsafe_code, reason = "kills workers, and registers a fork handler")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use common::{CALLS, alone, descriptors, die_at, kill, kill_self, no_children, pool, random};
use ndarray::Ix1;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, MapReduce, Partial};

/// Words that workers share and that outlive them.
fn words(count: usize) -> SharedArray<u32, Ix1> {
    SharedArray::zeros(Anonymous, count).unwrap()
}

/// Whether this is the first call for a word, in all processes.
fn first(word: usize, of: &SharedArray<u32, Ix1>) -> bool {
    let before = of.get(word);
    of.set(word, before + 1);
    before == 0
}

const WAYS: [(fn(), Option<Exit>); 6] = [
    (|| kill_self(libc::SIGKILL), Some(Exit::Signal(libc::SIGKILL))),
    (|| std::process::abort(), Some(Exit::Signal(libc::SIGABRT))),
    (|| std::process::exit(3), Some(Exit::Code(3))),
    (|| std::process::exit(0), Some(Exit::Code(0))),
    (|| std::process::exit(101), Some(Exit::Code(101))),
    (|| panic!("on purpose"), None),
];

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let seen = words(100);
    let work = |i: usize| if i % 10 == 3 && first(i, &seen) { kill_self(libc::SIGKILL) } else { i };
    assert_eq!(pool(2).retries(1).map(0..100, |_, i| work(i)).unwrap(), (0..100).collect::<Vec<_>>());
    let skipped =
        pool(2).skip_failed().map(0..100, |_, i| if i % 10 == 3 { panic!("{i}") } else { i }).unwrap();
    assert!(skipped.skipped().eq((3..100).step_by(10)));
    assert!(skipped.results().iter().enumerate().all(|(i, r)| r.is_none_or(|r| r == i)));
}

#[test]
fn every_way_to_leave_under_every_policy() {
    let _watch = common::watchdog();
    alone("every_way_to_leave_under_every_policy", || {
        let before = descriptors();
        for (leave, exit) in WAYS {
            for workers in [1, 2, 3] {
                let bad = |i: usize| matches!(i, 0 | 9 | 10 | 63);
                let seen = words(64);
                let found = pool(workers).retries(1).map(0..64, |worker, i| {
                    if bad(i) && first(i, &seen) {
                        leave();
                    }
                    (i, worker.rank())
                });
                assert!(found.unwrap().iter().enumerate().all(|(i, r)| r.0 == i && r.1 < workers));
                assert!((0..64).filter(|i| bad(*i)).all(|i| seen.get(i) >= 2));
                no_children();

                let found = pool(workers).skip_failed().map(0..64, |_, i| {
                    if bad(i) {
                        leave();
                    }
                    i
                });
                let found = found.unwrap();
                assert!(found.skipped().eq([0, 9, 10, 63]), "{:?}", found.skipped().collect::<Vec<_>>());
                assert!(found.results().iter().enumerate().all(|(i, r)| r.is_none_or(|r| r == i)));
                assert_eq!(found.failures().len(), 4);
                for failure in found.failures() {
                    assert!(failure.item().is_some_and(bad) && failure.rank().unwrap() < workers);
                    assert!(
                        failure.unfinished().iter().any(|range| range.contains(&failure.item().unwrap()))
                    );
                    assert_eq!(failure.exit(), exit);
                    assert_eq!(
                        failure.panic_message(),
                        if exit.is_none() { Some("on purpose") } else { None }
                    );
                }
                no_children();

                // Tried three times, and then it fails, with what is finished.
                let tries = words(64);
                let error = pool(workers).retries(2).map(0..64, |_, i| {
                    if i == 20 {
                        tries.set(i, tries.get(i) + 1);
                        leave();
                    }
                    i
                });
                let error = error.unwrap_err();
                assert_eq!((error.item(), error.exit(), tries.get(20)), (Some(20), exit, 3));
                assert!(error.to_string().contains("item 20 (tried 3 times)"), "{error}");
                assert!(error.finished().iter().all(|(i, r)| i == r && *i != 20));
                no_children();
            }
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn retries_and_skipping_together() {
    let _watch = common::watchdog();
    let tries = words(30);
    let found = pool(2).retries(2).skip_failed().map(0..30, |_, i| {
        tries.set(i, tries.get(i) + 1);
        if i == 4 || i == 17 && tries.get(i) < 3 {
            std::process::abort();
        }
        i
    });
    let found = found.unwrap();
    assert!(found.skipped().eq([4]));
    assert_eq!((tries.get(4), tries.get(17)), (3, 3));
    assert!(found.failures()[0].to_string().contains("item 4 (tried 3 times)"), "{:?}", found.failures());
}

#[test]
fn every_item_fails() {
    let _watch = common::watchdog();
    alone("every_item_fails", || {
        let found: Partial<()> = pool(3).skip_failed().map(0..40, |_, _| std::process::abort()).unwrap();
        assert!(found.results().iter().all(Option::is_none) && found.results().len() == 40);
        let mut items: Vec<_> = found.failures().iter().filter_map(|failure| failure.item()).collect();
        items.sort_unstable();
        assert_eq!(items, (0..40).collect::<Vec<_>>());
        no_children();
    });
}

#[test]
fn a_fresh_worker_is_another_process_with_the_same_rank() {
    let _watch = common::watchdog();
    let seen = words(10);
    let pids = pool(1).retries(1).map(0..10, |worker, i| {
        assert!(i != 5 || !first(i, &seen));
        (std::process::id(), worker.rank())
    });
    let pids = pids.unwrap();
    assert!(pids[0].0 != pids[9].0 && pids.iter().all(|(_, rank)| *rank == 0));
}

#[test]
fn results_that_do_not_serialise() {
    let _watch = common::watchdog();
    #[derive(Debug, serde::Deserialize)]
    struct Picky(u8);
    impl serde::Serialize for Picky {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            if self.0 == 3 { Err(serde::ser::Error::custom("no")) } else { to.serialize_u8(self.0) }
        }
    }
    let found = pool(2).skip_failed().map(0..8, |_, i| Picky(i)).unwrap();
    assert!(found.skipped().eq([3]) && found.failures()[0].kind() == ErrorKind::Encode);
    assert!(found.results().iter().flatten().all(|r| r.0 < 8));
}

#[test]
fn reduce_and_progress_hear_of_results_once() {
    let _watch = common::watchdog();
    let seen = words(500);
    let mut heard = vec![0; 500];
    let work =
        |i: usize| if i % 50 == 7 && first(i, &seen) { kill_self(libc::SIGKILL) } else { vec![i; 300] };
    let found = pool(2).retries(1).map_reduce(0..500, |_, i| work(i), |i, r| (heard[i] += 1, r[299]));
    assert!(found.unwrap().iter().enumerate().all(|(i, (_, r))| *r == i));
    assert!(heard.iter().all(|times| *times == 1));
}

#[test]
fn killed_at_random_points_under_every_policy() {
    let _watch = common::watchdog();
    alone("killed_at_random_points_under_every_policy", || {
        let before = descriptors();
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut replaced = 0;
        for round in 0..200 {
            let pids = words(2);
            let over = AtomicBool::new(false);
            let delay = 200 + random(&mut seed) % 600;
            let killer = || {
                let mut seed = delay;
                let mut last = 0;
                // Not the same one twice: it is reaped, and its number may be another's.
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_micros(delay + random(&mut seed) % delay));
                    let pid = pids.get((random(&mut seed) % 2) as usize);
                    if pid != last && pid != 0 && !over.load(Ordering::Relaxed) {
                        kill(pid, libc::SIGKILL);
                        last = pid;
                        std::thread::sleep(Duration::from_millis(3));
                    }
                }
            };
            let work = |worker: &shm_pool::Worker, i: u64| {
                if pids.get(worker.rank()) != std::process::id() {
                    pids.set(worker.rank(), std::process::id());
                }
                worker.critical(|| (i, std::process::id()))
            };
            std::thread::scope(|scope| {
                scope.spawn(killer);
                if round % 2 == 0 {
                    let found = pool(2).retries(1000).map(0..20_000u64, work);
                    over.store(true, Ordering::Relaxed);
                    let found = found.unwrap();
                    assert!(found.len() == 20_000 && found.iter().zip(0..).all(|(r, i)| r.0 == i));
                    let mut pids: Vec<u32> = found.iter().map(|r| r.1).collect();
                    pids.sort_unstable();
                    pids.dedup();
                    replaced += pids.len().saturating_sub(2);
                } else {
                    let found = pool(2).skip_failed().map(0..20_000u64, work);
                    over.store(true, Ordering::Relaxed);
                    let found = found.unwrap();
                    assert!(found.results().len() == 20_000);
                    assert!(found.results().iter().zip(0..).all(|(r, i)| r.is_none_or(|r| r.0 == i)));
                    let blamed = found.failures().iter().filter(|failure| failure.item().is_some()).count();
                    assert_eq!(found.skipped().count(), blamed);
                    assert!(
                        found.failures().iter().all(|f| f.exit() == Some(Exit::Signal(libc::SIGKILL))),
                        "{:?}",
                        found.failures()
                    );
                }
            });
            no_children();
        }
        println!("{replaced} workers were replaced and sent results");
        assert!(replaced > 0);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_under_every_policy() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_under_every_policy", || {
        let before = descriptors();
        let mut hits = [0; CALLS.len()];
        for (hit, call) in hits.iter_mut().zip(CALLS) {
            for from in [0, 1, 57, 399] {
                for workers in [1, 2] {
                    let seen = words(400);
                    let work = |worker: &shm_pool::Worker, i: u32| {
                        // The worker that replaces this one may live.
                        if i == from && first(i as usize, &seen) {
                            die_at(call);
                        }
                        worker.critical(|| vec![i; 1000])
                    };
                    let whole = |i: usize, r: &Vec<u32>| {
                        r.len() == 1000 && r[0] as usize == i && r[999] as usize == i
                    };
                    let all = pool(workers).retries(1).map(0..400u32, work).unwrap();
                    assert!(all.len() == 400 && all.iter().enumerate().all(|(i, r)| whole(i, r)));
                    no_children();

                    seen.set(from as usize, 0);
                    let all = pool(workers).skip_failed().map(0..400u32, work).unwrap();
                    assert_eq!(all.results().len(), 400);
                    assert!(
                        all.results().iter().enumerate().all(|(i, r)| r.as_ref().is_none_or(|r| whole(i, r)))
                    );
                    assert!(all.failures().len() <= 1 && all.skipped().count() <= all.failures().len());
                    for failure in all.failures() {
                        *hit += 1;
                        assert_eq!(failure.exit(), Some(Exit::Signal(libc::SIGSYS)), "{failure}");
                        assert!(all.skipped().eq(failure.item()), "{failure}");
                    }
                    no_children();
                }
            }
        }
        println!("hits: {hits:?}");
        assert!(hits[0] > 0 && hits[2] > 0 && hits[5] > 0 && hits[11] == 8, "{hits:?}");
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn killed_in_the_critical_section_and_replaced() {
    let _watch = common::watchdog();
    let count = SharedArray::<u64, _>::zeros(Anonymous, ()).unwrap();
    let seen = words(1);
    let found = pool(3).retries(1).map(0..3000, |worker, i| {
        worker.critical(|| {
            if i == 100 && first(0, &seen) {
                kill_self(libc::SIGKILL);
            }
            count.set((), count.get(()) + 1);
        });
        i
    });
    assert_eq!(found.unwrap(), (0..3000).collect::<Vec<_>>());
    assert!(count.get(()) >= 3000);
}

#[test]
fn chunks_are_tried_again_as_they_were_left() {
    let _watch = common::watchdog();
    let mut array = SharedArray::<u32, _>::zeros(Anonymous, 1000).unwrap();
    let sums =
        pool(2).retries(1).map_chunks(&mut array.exclusive().unwrap(), 10, |_, offset, chunk: &mut [u32]| {
            chunk[0] += 1;
            if offset % 200 == 0 && chunk[0] == 1 {
                kill_self(libc::SIGKILL);
            }
            chunk[1..].fill(2);
            chunk.iter().sum::<u32>()
        });
    let sums = sums.unwrap();
    // Chunks of the same batch that were finished and not sent are worked on again too.
    assert!(sums.iter().enumerate().all(|(i, sum)| *sum >= 19 + u32::from(i % 20 == 0)), "{sums:?}");
    assert_eq!(array.to_ndarray().sum(), sums.iter().sum::<u32>());
}

#[test]
fn a_crew_replaces_workers_in_runs_and_between_them() {
    let _watch = common::watchdog();
    alone("a_crew_replaces_workers_in_runs_and_between_them", || {
        let before = descriptors();
        let mut array = SharedArray::<u32, _>::zeros(Anonymous, 64).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let seen = words(64);
        let mut crew = pool(2)
            .retries(1)
            .crew(&mut exclusive, 1, |_, offset, _: &mut [u32]| {
                if offset == 30 && first(30, &seen) {
                    kill_self(libc::SIGKILL);
                }
                std::process::id()
            })
            .unwrap();
        for _ in 0..20 {
            let pids = crew.run().unwrap();
            assert_eq!(pids.len(), 64);
            kill(pids[0], libc::SIGKILL);
            kill(pids[63], libc::SIGKILL);
            assert_eq!(crew.run().unwrap().len(), 64);
        }
        assert!(seen.get(30) > 1);
        drop(crew);
        drop(seen);
        no_children();
        drop(exclusive);
        drop(array);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn a_place_where_every_worker_ends_at_once_is_given_up() {
    static DIE: AtomicU32 = AtomicU32::new(0);
    extern "C" fn die() {
        if DIE.load(Ordering::Relaxed) != 0 {
            // SAFETY: `_exit` has no preconditions.
            unsafe { libc::_exit(9) };
        }
    }
    let _watch = common::watchdog();
    alone("a_place_where_every_worker_ends_at_once_is_given_up", || {
        // SAFETY: the handler is a function that lives as long as the process, and calls what a signal handler may.
        unsafe { libc::pthread_atfork(None, None, Some(die)) };
        DIE.store(1, Ordering::Relaxed);
        for pool in [pool(2).retries(50), pool(2)] {
            let error = pool.skip_failed().map(0..10, |_, i| i).unwrap_err();
            assert_eq!((error.exit(), error.item()), (Some(Exit::Code(9)), None), "{error}");
            no_children();
        }
        DIE.store(0, Ordering::Relaxed);
        assert_eq!(pool(2).retries(1).map(0..10, |_, i| i).unwrap().len(), 10);
    });
}

#[test]
fn a_worker_that_cannot_be_replaced() {
    let _watch = common::watchdog();
    alone("a_worker_that_cannot_be_replaced", || {
        let reached = words(1);
        let error = pool(1).retries(1).map_reduce(
            0..100,
            |_, i| {
                if i == 50 {
                    while reached.get(0) == 0 {
                        std::thread::yield_now();
                    }
                    kill_self(libc::SIGKILL);
                }
                std::thread::sleep(Duration::from_micros(200));
                i
            },
            |_, i| {
                if reached.get(0) == 0 {
                    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 1000 };
                    // SAFETY: the pointer is valid for the call; this process opens nothing else.
                    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
                    reached.set(0, 1);
                }
                i
            },
        );
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork, "{error}");
        assert!(error.to_string().contains("to replace worker 0"), "{error}");
        assert!(error.finished().len() > 1 && error.unfinished().iter().any(|range| range.contains(&50)));
        no_children();
    });
}

#[test]
fn without_workers_there_is_no_other_try() {
    common::alone("without_workers_there_is_no_other_try", || {
        let pool = MapReduce::new().workers(0).retries(3);
        assert_eq!(pool.skip_failed().map(0..3, |_, i| i).unwrap().results(), [Some(0), Some(1), Some(2)]);
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.map(0..3, |_, i| assert!(i < 1))));
        assert!(outcome.is_err());
    });
}
