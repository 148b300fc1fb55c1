//! `map_plain`: results that are stored as they are; order, shapes, failures; and maps that are too short for workers.

#![allow(unsafe_code, reason = "a structure of numbers promises to be one")]

mod common;

use common::{CALLS, alone, descriptors, die_at, kill_self, no_children, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit};

#[test]
fn smoke() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 5] {
        for items in [0, 1, 2, 17, 1003, 100_000] {
            let found = pool(workers).map_plain(0..items, |_, i| 3 * i as u64).unwrap();
            assert!(found.len() == items as usize && found.iter().zip(0..).all(|(r, i)| *r == 3 * i));
        }
    }
}

#[test]
fn structures_odd_sizes_and_nothing() {
    let _watch = common::watchdog();
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    struct Point {
        x: f64,
        tag: [u8; 8],
    }
    let point = |i: usize| Point { x: i as f64 / 3.0, tag: i.to_le_bytes() };
    let found = pool(2).map_plain(0..5000, |_, i| point(i)).unwrap();
    assert!(found.iter().enumerate().all(|(i, r)| *r == point(i)));
    let found = pool(3).map_plain(0..5000, |_, i| [i as u8, 1, 2]).unwrap();
    assert!(found.iter().enumerate().all(|(i, r)| *r == [i as u8, 1, 2]));
    assert_eq!(pool(2).map_plain(0..5000, |_, _| ()).unwrap().len(), 5000);
    let large = pool(2).map_plain(0..40u8, |_, i| [i; 100_000]).unwrap();
    assert!(large.iter().zip(0..).all(|(r, i)| r.iter().all(|b| *b == i)));
}

#[test]
fn ten_million_items() {
    let _watch = common::watchdog();
    let n = 10_000_000u64;
    let found = pool(2).map_plain(0..n, |_, i| i ^ 5).unwrap();
    assert!(found.len() as u64 == n && found.iter().zip(0..n).all(|(r, i)| *r == i ^ 5));
}

#[test]
fn items_move_into_the_function_and_progress_hears_of_all() {
    let _watch = common::watchdog();
    let last = std::cell::Cell::new(0);
    let names: Vec<String> = (0..300).map(|i| "x".repeat(i)).collect();
    let pool = pool(2).progress(|done, total| {
        assert!(done > last.get() && total == 300);
        last.set(done);
    });
    let found = pool.map_plain(names, |_, name: String| name.into_bytes().len()).unwrap();
    assert!(found.iter().enumerate().all(|(i, r)| i == *r) && last.get() == 300);
}

#[test]
fn failures_keep_what_was_finished() {
    let _watch = common::watchdog();
    alone("failures_keep_what_was_finished", || {
        let before = descriptors();
        let error =
            pool(1).map_plain(0..1000u32, |_, i| if i == 500 { panic!("no") } else { i + 7 }).unwrap_err();
        assert_eq!(
            (error.kind(), error.item(), error.finished().len()),
            (ErrorKind::Panicked, Some(500), 500)
        );
        assert!(error.finished().iter().all(|(i, r)| *r as usize == i + 7));
        let error = pool(2).map_plain(0..1000u32, |_, i| if i == 9 { kill_self(libc::SIGKILL) } else { i });
        let error = error.unwrap_err();
        assert_eq!((error.exit(), error.item()), (Some(Exit::Signal(libc::SIGKILL)), Some(9)));
        assert!(error.finished().iter().all(|(i, r)| *r as usize == *i));
        no_children();
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_under_every_policy() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_under_every_policy", || {
        let before = descriptors();
        let mut hits = 0;
        for call in CALLS {
            for from in [0, 57, 399] {
                let seen = SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap();
                let work = |worker: &shm_pool::Worker, i: u32| {
                    if i == from && seen.get(()) == 0 {
                        seen.set((), 1);
                        die_at(call);
                    }
                    worker.critical(|| u64::from(i))
                };
                let right = |all: &[u64]| all.iter().zip(0..).all(|(r, i)| *r == i);
                assert!(right(&pool(2).retries(1).map_plain(0..400u32, work).unwrap()));
                seen.set((), 0);
                let all = pool(2).skip_failed().map_plain(0..400u32, work).unwrap();
                assert!(all.results().iter().zip(0..).all(|(r, i)| r.is_none_or(|r| r == i)));
                assert!(all.skipped().count() <= all.failures().len() && all.failures().len() <= 1);
                hits += all.failures().len();
                seen.set((), 0);
                match pool(2).map_plain(0..400u32, work) {
                    Ok(all) => assert!(right(&all)),
                    Err(error) => assert!(error.finished().iter().all(|(i, r)| *r == *i as u64), "{error}"),
                }
                no_children();
            }
        }
        assert!(hits > 0);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn short_maps_stay_in_the_master() {
    let _watch = common::watchdog();
    let here = std::process::id();
    let pool = pool(2).serial_below(10);
    for count in [0, 1, 9, 10, 11] {
        let stays =
            |pids: Vec<u32>| pids.len() == count && pids.iter().all(|pid| (*pid == here) == (count < 10));
        assert!(stays(pool.map(0..count, |_, _| std::process::id()).unwrap()));
        assert!(stays(pool.map_plain(0..count, |_, _| std::process::id()).unwrap()));
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 2 * count).unwrap();
        let mut alone = array.exclusive().unwrap();
        assert!(stays(pool.map_chunks(&mut alone, 2, |_, _, _: &mut [u8]| std::process::id()).unwrap()));
    }
    assert_eq!(pool.map(0..3, |worker, _| (worker.rank(), worker.workers())).unwrap(), [(0, 0); 3]);
}
