//! `reduce` and progress: in the master, as results arrive; panics in them.

mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{no_children, pool};

#[test]
fn smoke() {
    let mut total = 0;
    let halves = pool(2).map_reduce(
        0..1000u64,
        |_, i| i * 2,
        |i, r| {
            total += r;
            assert_eq!(r, 2 * i as u64);
            r / 2
        },
    );
    assert_eq!(halves.unwrap(), (0..1000).collect::<Vec<_>>());
    assert_eq!(total, 999_000);
}

#[test]
fn reduce_runs_in_the_master_and_may_return_what_cannot_be_serialised() {
    let here = std::process::id();
    let names = RefCell::new(Vec::new());
    let found = pool(2).map_reduce(
        0..20usize,
        |_, i| i,
        |i, r| {
            assert_eq!(std::process::id(), here);
            names.borrow_mut().push(i);
            std::rc::Rc::new(r)
        },
    );
    assert!(found.unwrap().iter().enumerate().all(|(i, r)| i == **r));
    let mut names = names.into_inner();
    names.sort_unstable();
    assert_eq!(names, (0..20).collect::<Vec<_>>());
}

#[test]
fn results_arrive_while_others_are_still_being_worked_on() {
    let _watch = common::watchdog();
    // Item 1 waits for the master to have reduced item 0, which only happens if results do not wait for the end.
    let seen = shm_core::SharedArray::<u8, _>::zeros(shm_core::Anonymous, ()).unwrap();
    pool(2)
        .map_reduce(
            0..2,
            |_, i| {
                while i == 1 && seen.get(()) == 0 {
                    std::thread::yield_now();
                }
                i
            },
            |i, _| {
                if i == 0 {
                    seen.set((), 1);
                }
            },
        )
        .unwrap();
}

#[test]
fn a_panic_in_reduce_ends_the_workers_and_goes_on() {
    let _watch = common::watchdog();
    common::alone("a_panic_in_reduce_ends_the_workers_and_goes_on", || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool(2).map_reduce(0..100_000, |_, i: u32| i, |i, _| assert!(i < 70_000, "reduce has enough"))
        }));
        let payload = caught.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"reduce has enough"));
        no_children();
    });
}

#[test]
fn a_panic_in_the_iterator_goes_on() {
    common::alone("a_panic_in_the_iterator_goes_on", || {
        let items = (0..10).inspect(|i| assert!(*i < 5, "no more items"));
        assert!(catch_unwind(AssertUnwindSafe(|| pool(2).map(items, |_, i| i))).is_err());
        no_children();
    });
}

#[test]
fn progress_counts_up_to_all() {
    for workers in [0, 2] {
        let last = Cell::new(0);
        let pool = pool(workers).progress(|done, total| {
            assert!(done > last.get() && total == 500);
            last.set(done);
        });
        pool.map(0..500, |_, i| i).unwrap();
        assert_eq!(last.get(), 500);
    }
}

#[test]
fn a_panic_in_progress_ends_the_workers() {
    let _watch = common::watchdog();
    common::alone("a_panic_in_progress_ends_the_workers", || {
        let pool = pool(2).progress(|_, _| panic!("no progress"));
        assert!(catch_unwind(AssertUnwindSafe(|| pool.map(0..100, |_, i| i))).is_err());
        no_children();
    });
}
