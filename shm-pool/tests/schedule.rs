//! How items are shared out: by each schedule, to as many workers as there is work for, and again when one dies.

#![allow(unsafe_code, reason = "kills workers")]

mod common;

use common::{alone, kill, kill_self, no_children, pool, random};
use ndarray::Ix1;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, MapReduce, Schedule};

const SCHEDULES: [Schedule; 10] = [
    Schedule::Static,
    Schedule::StaticChunk(1),
    Schedule::StaticChunk(7),
    Schedule::StaticChunk(usize::MAX),
    Schedule::Dynamic(1),
    Schedule::Dynamic(7),
    Schedule::Dynamic(usize::MAX),
    Schedule::Guided(1),
    Schedule::Guided(7),
    Schedule::Guided(usize::MAX),
];

fn words(count: usize) -> SharedArray<u32, Ix1> {
    SharedArray::zeros(Anonymous, count).unwrap()
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    for schedule in SCHEDULES {
        for workers in [0, 1, 2, 3, 7] {
            for items in [0, 1, 2, 6, 7, 8, 100] {
                let pool = pool(workers).schedule(schedule);
                let expected: Vec<usize> = (0..items).map(|i| 3 * i).collect();
                assert_eq!(pool.map(0..items, |_, i| 3 * i).unwrap(), expected, "{schedule:?}");
                assert_eq!(pool.map_plain(0..items, |_, i| 3 * i).unwrap(), expected, "{schedule:?}");
                let mut array = SharedArray::<u64, _>::zeros(Anonymous, items).unwrap();
                let chunks =
                    pool.map_chunks(&mut array.exclusive().unwrap(), 1, |_, offset, chunk: &mut [u64]| {
                        chunk[0] += 1;
                        3 * offset
                    });
                assert_eq!(chunks.unwrap(), expected);
                assert_eq!(array.to_ndarray().sum(), items as u64, "each chunk once");
            }
        }
    }
}

#[test]
fn static_items_have_the_ranks_that_were_promised() {
    let _watch = common::watchdog();
    let ranks =
        |schedule| pool(3).schedule(schedule).map(0..11, |worker, _| (worker.rank(), worker.workers()));
    let expected = |ranks: [usize; 11], workers| ranks.map(|rank| (rank, workers));
    assert_eq!(ranks(Schedule::Static).unwrap(), expected([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2], 3));
    assert_eq!(ranks(Schedule::StaticChunk(1)).unwrap(), expected([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1], 3));
    assert_eq!(ranks(Schedule::StaticChunk(2)).unwrap(), expected([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2], 3));
    // No worker is forked for nothing.
    assert_eq!(ranks(Schedule::StaticChunk(6)).unwrap(), expected([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1], 2));
    assert_eq!(ranks(Schedule::Dynamic(11)).unwrap(), expected([0; 11], 1));
}

#[test]
fn dynamic_items_go_to_whoever_is_free() {
    let _watch = common::watchdog();
    let done = words(20);
    let ranks = pool(2).schedule(Schedule::Dynamic(1)).map(0..20, |worker, i| {
        // Nobody but the other worker can do the rest.
        while i == 0 && (1..20).any(|other| done.get(other) == 0) {
            std::thread::yield_now();
        }
        done.set(i, 1);
        worker.rank()
    });
    let ranks = ranks.unwrap();
    assert!(ranks[1..].iter().all(|rank| *rank != ranks[0]));
}

#[test]
fn a_crew_keeps_its_schedule() {
    let _watch = common::watchdog();
    for schedule in SCHEDULES {
        let mut array = SharedArray::<u32, _>::zeros(Anonymous, 40).unwrap();
        let mut alone = array.exclusive().unwrap();
        let mut crew = pool(3)
            .schedule(schedule)
            .crew(&mut alone, 2, |worker, _, chunk: &mut [u32]| {
                chunk.iter_mut().for_each(|x| *x += 1);
                worker.rank()
            })
            .unwrap();
        let first = crew.run().unwrap();
        for _ in 0..50 {
            let ranks = crew.run().unwrap();
            assert!(matches!(schedule, Schedule::Dynamic(_) | Schedule::Guided(_)) || ranks == first);
        }
        assert!(crew.view().iter().all(|x| *x == 51), "{schedule:?}");
    }
}

#[test]
fn chunks_of_nothing_are_refused_by_every_map() {
    let _watch = common::watchdog();
    for schedule in [Schedule::StaticChunk(0), Schedule::Dynamic(0), Schedule::Guided(0)] {
        for workers in [0, 2] {
            let pool = pool(workers).schedule(schedule);
            let work = |_: &shm_pool::Worker, _: i32| -> u8 { unreachable!() };
            let error = pool.map(0..5, work).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(
                text.starts_with("cannot map 5 items: the schedule") && text.contains("chunks of 0 items")
            );
            assert_eq!(pool.map_plain(0..5, work).unwrap_err().kind(), ErrorKind::InvalidArgument);
            assert_eq!(pool.skip_failed().map(0..5, work).unwrap_err().kind(), ErrorKind::InvalidArgument);
            let mut array = SharedArray::<u8, _>::zeros(Anonymous, 5).unwrap();
            let mut alone = array.exclusive().unwrap();
            let error = pool.crew(&mut alone, 1, |_, _, _: &mut [u8]| ()).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}

#[test]
fn whoever_replaces_a_worker_takes_its_share_over() {
    let _watch = common::watchdog();
    alone("whoever_replaces_a_worker_takes_its_share_over", || {
        for schedule in SCHEDULES {
            let is_static = matches!(schedule, Schedule::Static | Schedule::StaticChunk(_));
            let expected = pool(3).schedule(schedule).map(0..60, |worker, _| worker.rank()).unwrap();
            for die in [0, 1, 30, 59] {
                let tries = words(60);
                let work = |worker: &shm_pool::Worker, i: usize| {
                    tries.set(i, tries.get(i) + 1);
                    if i == die && tries.get(i) == 1 {
                        kill_self(libc::SIGKILL);
                    }
                    worker.rank()
                };
                let ranks = pool(3).schedule(schedule).retries(1).map(0..60, work).unwrap();
                assert!(!is_static || ranks == expected, "{schedule:?}: {ranks:?}");
                assert_eq!(ranks.len(), 60);
                no_children();

                tries.set(die, 0);
                let found = pool(3).schedule(schedule).skip_failed().map(0..60, work).unwrap();
                assert!(found.skipped().eq([die]), "{schedule:?}");
                let same = |(found, expected): (&Option<usize>, &usize)| {
                    found.is_none_or(|rank| !is_static || rank == *expected)
                };
                assert!(found.results().iter().zip(&expected).all(same));
                no_children();

                tries.set(die, 0);
                let error = pool(3).schedule(schedule).map(0..60, work).unwrap_err();
                assert_eq!((error.item(), error.exit()), (Some(die), Some(Exit::Signal(libc::SIGKILL))));
                assert!(error.finished().iter().all(|(i, rank)| !is_static || *rank == expected[*i]));
                no_children();
            }
        }
    });
}

#[test]
fn killed_at_random_points_nothing_is_left_over() {
    let _watch = common::watchdog();
    alone("killed_at_random_points_nothing_is_left_over", || {
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut hits = 0;
        for round in 0..120 {
            let schedule = SCHEDULES[round % SCHEDULES.len()];
            let (pids, delay) = (words(2), random(&mut seed) % 900);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_micros(delay));
                    let pid = pids.get(round % 2);
                    if pid != 0 {
                        kill(pid, libc::SIGKILL);
                    }
                });
                let pool: MapReduce = pool(2).schedule(schedule).retries(5);
                let found = pool.map(0..3000u64, |worker, i| {
                    if pids.get(worker.rank()) == 0 {
                        pids.set(worker.rank(), std::process::id());
                    }
                    (i, std::process::id())
                });
                let found = found.unwrap();
                assert!(found.len() == 3000 && found.iter().zip(0..).all(|((r, _), i)| *r == i));
                let mut seen: Vec<u32> = found.iter().map(|(_, pid)| *pid).collect();
                seen.sort_unstable();
                seen.dedup();
                hits += seen.len().saturating_sub(2);
            });
            no_children();
        }
        println!("{hits} workers were replaced and sent results");
        assert!(hits > 0);
    });
}
