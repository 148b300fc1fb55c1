//! Functions that go through batches themselves: results whenever they come, whom a death is blamed on, sections by name, and heartbeats.

#![allow(unsafe_code, reason = "kills workers")]

mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use common::{alone, kill_self, no_children, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{Batch, ErrorKind, Schedule, Worker};

fn squares(_worker: &Worker, _state: &mut (), batch: &mut Batch<usize>) {
    while let Some(item) = batch.take() {
        batch.put(item * item);
    }
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    for workers in 0..4 {
        for schedule in [Schedule::Static, Schedule::Dynamic(3), Schedule::Guided(1)] {
            let pool = pool(workers).schedule(schedule);
            let found =
                pool.with_state(|_| ()).map_batches(1000, squares, |index, square| (index, square)).unwrap();
            assert!(found.into_iter().eq((0..1000).map(|i| (i, i * i))));
        }
        assert!(
            pool(workers).with_state(|_| ()).map_batches(0, squares, |_, square| square).unwrap().is_empty()
        );
    }
}

#[test]
fn results_may_come_late() {
    let _watch = common::watchdog();
    let work = |_: &Worker, kept: &mut Vec<usize>, batch: &mut Batch<usize>| {
        while let Some(item) = batch.take() {
            kept.push(item);
            assert_eq!(batch.due(), kept.len());
            if kept.len() == 3 {
                kept.drain(..).for_each(|item| batch.put(item));
                batch.send();
            }
        }
        kept.drain(..).for_each(|item| batch.put(item));
    };
    for workers in [0, 1, 3] {
        let found = pool(workers).with_state(|_| Vec::new()).map_batches(100, work, |_, item| item).unwrap();
        assert!(found.into_iter().eq(0..100));
    }
}

#[test]
fn a_death_is_blamed_on_the_item_that_was_taken_last() {
    let _watch = common::watchdog();
    alone("a_death_is_blamed_on_the_item_that_was_taken_last", || {
        let work = |_: &Worker, (): &mut (), batch: &mut Batch<usize>| {
            let mut kept = Vec::new();
            while let Some(item) = batch.take() {
                if item == 50 {
                    kill_self(libc::SIGKILL);
                }
                kept.push(item);
            }
            kept.into_iter().for_each(|item| batch.put(item));
        };
        let fails = pool(2).schedule(Schedule::Static);
        let error = fails.with_state(|_| ()).map_batches(100, work, |_, item| item).unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Died, Some(50)));
        assert!(error.finished().iter().all(|(index, item)| index == item && *item < 50));
        let skips = pool(2).skip_failed().with_state(|_| ()).map_batches(100, work, |_, item| item).unwrap();
        assert_eq!(skips.skipped().collect::<Vec<_>>(), [50]);
        assert_eq!(skips.failures()[0].item(), Some(50));
        no_children();
    });
}

#[test]
fn what_has_no_result_is_worked_on_again() {
    let _watch = common::watchdog();
    let tries = SharedArray::<u32, _>::zeros(Anonymous, 100).unwrap();
    let work = |_: &Worker, (): &mut (), batch: &mut Batch<usize>| {
        while let Some(item) = batch.take() {
            tries.set(item, tries.get(item) + 1);
            if item % 30 == 7 && tries.get(item) == 1 {
                kill_self(libc::SIGKILL);
            }
            batch.put(item);
            batch.send();
        }
    };
    let found = pool(2).retries(1).with_state(|_| ()).map_batches(100, work, |_, item| item).unwrap();
    assert!(found.into_iter().eq(0..100));
    assert!((0..100).all(|item| tries.get(item) == 1 + u32::from(item % 30 == 7)));
}

#[test]
fn too_few_and_too_many_results_are_errors() {
    let _watch = common::watchdog();
    let fails = |work: fn(&mut Batch<usize>)| {
        let work = move |_: &Worker, (): &mut (), batch: &mut Batch<usize>| work(batch);
        pool(2).with_state(|_| ()).map_batches(10, work, |_, item| item).unwrap_err()
    };
    let error = fails(|batch| assert!(batch.take().is_some()));
    assert_eq!(error.kind(), ErrorKind::Segment);
    assert!(error.to_string().contains("with 1 results missing"), "{error}");
    assert_eq!(fails(|_batch| ()).kind(), ErrorKind::Segment);
    let error = fails(|batch| batch.put(1));
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert!(error.panic_message().unwrap().contains("no item that was taken is without one"));
}

#[test]
fn sections_by_name_are_those_of_closures() {
    let _watch = common::watchdog();
    let log = SharedArray::<u64, _>::zeros(Anonymous, 101).unwrap();
    let sum = SharedArray::<u64, _>::zeros(Anonymous, ()).unwrap();
    let work = |worker: &Worker, (): &mut (), batch: &mut Batch<()>| {
        while let Some(item) = batch.take() {
            if item % 7 == 3 {
                batch.put(());
                continue; // without its section: passes its turn
            }
            let section = worker.enter_ordered();
            log.set(0, log.get(0) + 1);
            log.set(log.get(0) as usize, item as u64);
            let inner = worker.enter_critical();
            sum.set((), sum.get(()) + item as u64);
            drop((inner, section));
            worker.critical(|| ());
            batch.put(());
        }
    };
    for workers in [0, 2, 3] {
        log.set(0, 0);
        sum.set((), 0);
        pool(workers).ordered().with_state(|_| ()).map_batches(100, work, |_, ()| ()).unwrap();
        let expected: Vec<u64> = (0..100).filter(|item| item % 7 != 3).collect();
        assert_eq!((1..=log.get(0)).map(|at| log.get(at as usize)).collect::<Vec<_>>(), expected);
        assert_eq!(sum.get(()), expected.iter().sum::<u64>());
    }
    let error =
        pool(1).map(0..1, |worker, _| drop((worker.enter_critical(), worker.enter_critical()))).unwrap_err();
    assert!(error.panic_message().unwrap().contains("inside of itself"));
}

#[test]
fn a_wait_for_a_turn_ends_with_the_run() {
    let _watch = common::watchdog();
    let work = |worker: &Worker, (): &mut (), batch: &mut Batch<()>| {
        while let Some(item) = batch.take() {
            if item == 0 {
                kill_self(libc::SIGKILL);
            }
            drop(worker.enter_ordered());
            batch.put(());
        }
    };
    let error = pool(3).ordered().with_state(|_| ()).map_batches(30, work, |_, ()| ()).unwrap_err();
    assert_eq!((error.kind(), error.item()), (ErrorKind::Died, Some(0)));
}

#[test]
fn heartbeats_come_while_nothing_arrives_and_can_end_the_map() {
    let _watch = common::watchdog();
    let beats = RefCell::new(Vec::new());
    let pool = pool(1)
        .heartbeat(Duration::from_millis(1))
        .progress(|done, total| beats.borrow_mut().push((done, total)));
    let go_on = SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap();
    pool.map(0..1, |_, _| std::thread::sleep(Duration::from_millis(100))).unwrap();
    let beats = beats.take();
    assert!(beats.len() > 2 && beats[0] == (0, 1) && *beats.last().unwrap() == (1, 1), "{beats:?}");
    let left = Cell::new(5);
    let stops = common::pool(2).heartbeat(Duration::from_millis(1)).progress(|_, _| {
        left.set(left.get() - 1);
        if left.get() == 0 {
            resume_unwind(Box::new("enough"));
        }
    });
    let endless = |_: &Worker, _: i32| {
        while go_on.get(()) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| stops.map(0..2, endless).map(drop)));
    assert_eq!(*ended.unwrap_err().downcast::<&str>().unwrap(), "enough");
}

#[test]
fn a_copy_that_comes_back_sends_nothing() {
    let _watch = common::watchdog();
    let work = |_: &Worker, (): &mut (), batch: &mut Batch<usize>| {
        while let Some(item) = batch.take() {
            if item == 3 {
                // SAFETY: a worker has one thread, and the copy does nothing but come back.
                let copy = unsafe { libc::fork() };
                if copy != 0 {
                    // SAFETY: it is this process's child; no status is wanted.
                    unsafe { libc::waitpid(copy, std::ptr::null_mut(), 0) };
                }
            }
            batch.put(item);
        }
    };
    let found = pool(2).with_state(|_| ()).map_batches(20, work, |_, item| item).unwrap();
    assert!(found.into_iter().eq(0..20));
}
