//! A worker is killed at every system call of its life, by every policy and in every kind of map; what comes out is right, and nothing is left behind.
//!
//! The ordinary run tries a sample of the points, `SHM_TEST_LONG=1` all of them. Deaths at random points are in `policy.rs`.

mod common;

use common::{Belongings, alone};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{Error, ErrorKind, Exit, MapReduce, Partial, Schedule, Worker};
use shm_testkit::{Coverage, KillTest, kill_zone_in_fork};

const ITEMS: u32 = 60;

/// A pool in which each worker has its share, however slow it is while it is traced.
fn pool(workers: usize) -> MapReduce {
    common::pool(workers).schedule(Schedule::Static)
}

/// Kills worker `which` (from 1) of the maps that `master` makes, at each chosen point.
fn torture(name: &str, which: usize, master: impl Fn()) {
    let report = KillTest::new(name)
        .prepare(|| ())
        .victim(|()| {
            let before = Belongings::now();
            kill_zone_in_fork(which);
            master();
            before.assert_unchanged();
        })
        .check(|(), _point| ())
        .run(Coverage::from_env());
    println!("{report}");
    assert!(report.skipped_reason.is_some() || report.kills > 5, "{report}");
}

fn killed(error: &Error) {
    assert_eq!((error.kind(), error.exit()), (ErrorKind::Died, Some(Exit::Signal(libc::SIGKILL))), "{error}");
}

fn work(worker: &Worker, i: u32) -> Vec<u32> {
    worker.critical(|| vec![i; 700])
}

fn is_right(i: usize, result: &[u32]) -> bool {
    result.len() == 700 && result.iter().all(|x| *x as usize == i)
}

fn check_partial<R>(all: &Partial<R>, is_right: impl Fn(usize, &R) -> bool) {
    assert_eq!(all.results().len(), ITEMS as usize);
    assert!(all.results().iter().enumerate().all(|(i, r)| r.as_ref().is_none_or(|r| is_right(i, r))));
    assert!(all.failures().len() <= 1 && all.skipped().count() <= all.failures().len());
    for failure in all.failures() {
        killed(failure);
        assert!(all.skipped().eq(failure.item()), "{failure}");
    }
}

#[test]
fn the_map_fails() {
    let _watch = common::watchdog();
    alone("the_map_fails", || {
        for which in [1, 2] {
            torture("fail", which, || match pool(2).map(0..ITEMS, work) {
                Ok(all) => assert!(all.iter().enumerate().all(|(i, r)| is_right(i, r))),
                Err(error) => {
                    killed(&error);
                    assert!(error.finished().iter().all(|(i, r)| is_right(*i, r)));
                    let lost = |i: &usize| error.unfinished().iter().any(|range| range.contains(i));
                    assert!(!error.finished().iter().any(|(i, _)| lost(i)), "{error}");
                    assert!(error.item().is_none_or(|item| lost(&item)), "{error}");
                }
            });
        }
    });
}

#[test]
fn the_item_is_tried_again() {
    let _watch = common::watchdog();
    alone("the_item_is_tried_again", || {
        for which in [1, 2] {
            torture("retry", which, || {
                let all = pool(2).retries(1).map(0..ITEMS, work).unwrap();
                assert!(all.len() == ITEMS as usize && all.iter().enumerate().all(|(i, r)| is_right(i, r)));
            });
        }
    });
}

#[test]
fn the_item_is_skipped() {
    let _watch = common::watchdog();
    alone("the_item_is_skipped", || {
        torture("skip", 1, || {
            check_partial(&pool(2).skip_failed().map(0..ITEMS, work).unwrap(), |i, r| is_right(i, r));
        });
    });
}

#[test]
fn plain_results_by_every_policy() {
    let _watch = common::watchdog();
    alone("plain_results_by_every_policy", || {
        let work = |worker: &Worker, i: u32| worker.critical(|| [i; 5]);
        let is_right = |i: usize, r: &[u32; 5]| *r == [i as u32; 5];
        torture("plain, fail", 2, || match pool(2).map_plain(0..ITEMS, work) {
            Ok(all) => assert!(all.iter().enumerate().all(|(i, r)| is_right(i, r))),
            Err(error) => {
                killed(&error);
                assert!(error.finished().iter().all(|(i, r)| is_right(*i, r)));
            }
        });
        torture("plain, retry", 1, || {
            let all = pool(2).retries(1).map_plain(0..ITEMS, work).unwrap();
            assert!(all.iter().enumerate().all(|(i, r)| is_right(i, r)));
        });
        torture("plain, skip", 1, || {
            check_partial(&pool(2).skip_failed().map_plain(0..ITEMS, work).unwrap(), is_right);
        });
    });
}

#[test]
fn it_is_the_master_of_a_map_itself() {
    let _watch = common::watchdog();
    alone("it_is_the_master_of_a_map_itself", || {
        let inner = |_: &Worker, i: u32| {
            let found = pool(2).map(0..6, |_, j| vec![i * j; 100]).unwrap();
            found.iter().enumerate().all(|(j, r)| *r == vec![i * j as u32; 100])
        };
        let report = KillTest::new("nested")
            .prepare(|| ())
            .victim(|()| {
                common::adopt_orphans();
                let before = Belongings::now();
                kill_zone_in_fork(1);
                assert_eq!(pool(2).retries(1).map(0..4, inner).unwrap(), [true; 4]);
                before.assert_unchanged_without_orphans();
            })
            .check(|(), _point| ())
            .run(Coverage::from_env());
        println!("{report}");
    });
}

#[test]
fn workers_of_workers_are_killed() {
    let _watch = common::watchdog();
    alone("workers_of_workers_are_killed", || {
        let before = Belongings::now();
        let die = |i: u32, j: u32| {
            if (i, j) == (2, 3) {
                common::kill_self(libc::SIGKILL);
            }
            i * j
        };
        // The inner map fails, its master does not.
        let found = pool(2).map(0..5u32, |_, i| match pool(2).map(0..5u32, |_, j| die(i, j)) {
            Ok(all) => all.iter().sum(),
            Err(error) => {
                assert_eq!((error.item(), error.exit()), (Some(3), Some(Exit::Signal(libc::SIGKILL))));
                u32::MAX
            }
        });
        assert_eq!(found.unwrap(), [0, 10, u32::MAX, 30, 40]);
        let found = pool(2).map(0..5u32, |_, i| {
            let all = pool(2).skip_failed().map(0..5u32, |_, j| die(i, j)).unwrap();
            (all.skipped().count(), all.results().iter().flatten().sum::<u32>())
        });
        assert_eq!(found.unwrap(), [(0, 0), (0, 10), (1, 14), (0, 30), (0, 40)]);
        before.assert_unchanged();
    });
}

#[test]
fn chunks_are_tried_again() {
    let _watch = common::watchdog();
    alone("chunks_are_tried_again", || {
        torture("chunks", 1, || {
            let mut array = SharedArray::<u32, _>::zeros(Anonymous, 1000).unwrap();
            let offsets = pool(2)
                .retries(1)
                .map_chunks(&mut array.exclusive().unwrap(), 50, |_, offset, chunk: &mut [u32]| {
                    chunk.iter_mut().zip(offset as u32..).for_each(|(x, i)| *x = i);
                    offset
                })
                .unwrap();
            assert!(offsets.into_iter().eq((0..1000).step_by(50)));
            assert!(array.to_ndarray().iter().zip(0..).all(|(x, i)| *x == i));
        });
    });
}

#[test]
fn a_crew_replaces_it() {
    let _watch = common::watchdog();
    alone("a_crew_replaces_it", || {
        torture("crew", 2, || {
            let mut array = SharedArray::<u32, _>::zeros(Anonymous, 8).unwrap();
            let mut exclusive = array.exclusive().unwrap();
            let mut crew = pool(2)
                .retries(1)
                .crew(&mut exclusive, 1, |worker, offset, chunk: &mut [u32]| {
                    worker.critical(|| chunk[0] += 1);
                    offset
                })
                .unwrap();
            for _ in 0..3 {
                assert_eq!(crew.run().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
            }
            assert!(crew.view().iter().all(|x| *x >= 3));
        });
    });
}
