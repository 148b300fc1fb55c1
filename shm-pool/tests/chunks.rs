//! `map_chunks` and crews: every chunk once, disjoint, written in place; named arrays; kept workers.
#![allow(unsafe_code, reason = "kills a worker")]

mod common;

use common::{alone, no_children, pool};
use ndarray::Ix1;
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit};
use shm_testkit::{Cleanup, unique_name};

#[test]
fn smoke() {
    let mut array = SharedArray::<u32, _>::zeros(Anonymous, 1000).unwrap();
    let offsets = pool(2)
        .map_chunks(&mut array.exclusive().unwrap(), 64, |_worker, offset, chunk: &mut [u32]| {
            chunk.iter_mut().zip(offset as u32..).for_each(|(x, i)| *x += i);
            (offset, chunk.len())
        })
        .unwrap();
    let expected: Vec<(usize, usize)> = (0..16).map(|i| (64 * i, if i < 15 { 64 } else { 40 })).collect();
    assert_eq!(offsets, expected);
    assert!(array.to_ndarray().iter().zip(0..).all(|(x, i)| *x == i));
}

#[test]
fn chunks_of_every_length() {
    let _watch = common::watchdog();
    for workers in [0, 1, 3] {
        for (len, chunk_len) in
            [(0, 1), (1, 1), (10, 3), (10, 10), (10, 11), (100_000, 16_384), (100, usize::MAX)]
        {
            let mut array = SharedArray::<u64, _>::zeros(Anonymous, len).unwrap();
            let lens = pool(workers)
                .map_chunks(&mut array.exclusive().unwrap(), chunk_len, |_, offset, chunk: &mut [u64]| {
                    chunk.iter_mut().zip(offset as u64..).for_each(|(x, i)| *x += i + 1);
                    chunk.len()
                })
                .unwrap();
            assert_eq!(lens.iter().sum::<usize>(), len);
            assert!(array.to_ndarray().iter().zip(1..).all(|(x, i)| *x == i), "{workers} {len} {chunk_len}");
        }
    }
}

#[test]
fn bad_arguments() {
    let mut array = SharedArray::<u8, _>::zeros(Anonymous, (4, 6)).unwrap();
    let error = pool(2).map_chunks(&mut array.exclusive().unwrap(), 0, |_, _, _: &mut [u8]| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);

    let fortran = ndarray::Array2::<u8>::zeros(ndarray::ShapeBuilder::f((4, 6)));
    let mut array = SharedArray::from_ndarray(Anonymous, &fortran).unwrap();
    let mut alone = array.exclusive().unwrap();
    if alone.as_mut_slice().is_none() {
        let error = pool(2).map_chunks(&mut alone, 5, |_, _, _: &mut [u8]| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("C order"), "{error}");
    }
}

#[test]
fn a_named_array_is_written_in_place_and_held_meanwhile() {
    let _watch = common::watchdog();
    let name = unique_name("chunks");
    let _cleanup = Cleanup::of([&name]);
    let mut array = SharedArray::<i64, _>::zeros(name.as_str(), 300).unwrap();
    let busy = pool(2)
        .map_chunks(&mut array.exclusive().unwrap(), 100, |_, _, chunk: &mut [i64]| {
            chunk.fill(7);
            // A worker is not the one who has the lease.
            SharedArray::<i64, Ix1>::attach(name.as_str()).is_err()
        })
        .unwrap();
    assert_eq!(busy, [true; 3]);
    let other = SharedArray::<i64, Ix1>::attach(name.as_str()).unwrap();
    assert!(other.to_ndarray().iter().all(|x| *x == 7));
}

#[test]
fn a_named_array_that_somebody_else_holds_is_refused_until_that_one_is_gone() {
    let _watch = common::watchdog();
    let name = unique_name("chunks-busy");
    let _cleanup = Cleanup::of([&name]);
    let mut array = SharedArray::<i64, _>::zeros(name.as_str(), 300).unwrap();
    let mut other = shm_testkit::fork_child(|| {
        let theirs = SharedArray::<i64, Ix1>::attach(name.as_str()).unwrap();
        theirs.set(299, 1);
        loop {
            std::thread::park();
        }
    });
    while array.get(299) == 0 {
        std::thread::yield_now();
    }
    let error = array.exclusive().unwrap_err();
    assert_eq!(error.kind(), shm_core::ErrorKind::Busy);
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!((array.get(0), array.get(299)), (0, 1), "nothing was changed");
    other.kill(libc::SIGKILL);
    other.wait();
    let fill = |_: &shm_pool::Worker, _, chunk: &mut [i64]| chunk.fill(7);
    pool(2).map_chunks(&mut array.exclusive().unwrap(), 100, fill).unwrap();
    assert!(array.to_ndarray().iter().all(|x| *x == 7));
}

#[test]
fn a_crew_runs_often_and_lends_the_array_in_between() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 3] {
        let mut array = SharedArray::<u64, _>::zeros(Anonymous, 5000).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let mut crew = pool(workers)
            .crew(&mut exclusive, 100, |worker, _, chunk: &mut [u64]| {
                chunk.iter_mut().for_each(|x| *x += 1);
                worker.critical(|| chunk.iter().sum::<u64>())
            })
            .unwrap();
        assert_eq!(crew.workers(), workers);
        for round in 1..=300u64 {
            let sums = crew.run().unwrap();
            assert_eq!(sums, [100 * (2 * round - 1); 50]);
            crew.view_mut().iter_mut().for_each(|x| *x += 1);
            assert!(crew.view().iter().all(|x| *x == 2 * round));
        }
    }
}

#[test]
fn a_crew_that_is_never_run() {
    let _watch = common::watchdog();
    alone("a_crew_that_is_never_run", || {
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 100).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let crew = pool(3).crew(&mut exclusive, 1, |_, _, _: &mut [u8]| ()).unwrap();
        drop(crew);
        no_children();
    });
}

#[test]
fn a_crew_keeps_its_processes() {
    let _watch = common::watchdog();
    let mut array = SharedArray::<u32, _>::zeros(Anonymous, 64).unwrap();
    let mut exclusive = array.exclusive().unwrap();
    let mut crew = pool(1).crew(&mut exclusive, 1, |_, _, _: &mut [u32]| std::process::id()).unwrap();
    let first = crew.run().unwrap();
    assert_eq!(crew.run().unwrap(), first);
}

#[test]
fn a_crew_that_lost_a_worker_is_over() {
    let _watch = common::watchdog();
    alone("a_crew_that_lost_a_worker_is_over", || {
        let before = common::descriptors();
        let mut array = SharedArray::<u32, _>::zeros(Anonymous, 64).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let mut crew = pool(2).crew(&mut exclusive, 1, |_, _, _: &mut [u32]| std::process::id()).unwrap();
        let pids = crew.run().unwrap();
        // SAFETY: no memory is involved; the pid is that of a worker.
        unsafe { libc::kill(pids[0] as i32, libc::SIGKILL) };
        // It died between two runs.
        let error = (0..1000).find_map(|_| crew.run().err()).unwrap();
        assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGKILL)));
        assert_eq!(crew.run().unwrap_err().kind(), ErrorKind::Ended);
        no_children();
        drop(crew);
        drop(exclusive);
        drop(array);
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn a_panic_in_progress_leaves_no_worker_at_the_array() {
    let _watch = common::watchdog();
    alone("a_panic_in_progress_leaves_no_worker_at_the_array", || {
        let mut array = SharedArray::<u32, _>::zeros(Anonymous, 64).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let pool = pool(2).progress(|_, _| panic!("no progress"));
        let mut crew = pool.crew(&mut exclusive, 1, |_, _, chunk: &mut [u32]| chunk[0] += 1).unwrap();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crew.run())).unwrap_err();
        no_children();
        crew.view_mut().fill(0);
        assert_eq!(crew.run().unwrap_err().kind(), ErrorKind::Ended);
    });
}
