//! The program's functions around a fork: in order, once for each, also when the fork fails, and what becomes of their panics.
#![allow(unsafe_code, reason = "sets limits, kills")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{alone, kill_self, no_children, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, MapReduce};
use shm_sync::{Mutex, Primitive};

/// How often each of the three was called; shared, because one of them is called in children.
struct Calls(Mutex<[u32; 3]>);

impl Calls {
    fn new() -> Calls {
        Calls(Mutex::anonymous([0; 3]).unwrap())
    }

    fn counted(&self, pool: MapReduce) -> MapReduce {
        let count = |which: usize| {
            let calls = self.0.clone();
            move || calls.lock().unwrap()[which] += 1
        };
        pool.fork_hooks(count(0), count(1), count(2))
    }

    fn all(&self) -> [u32; 3] {
        *self.0.lock().unwrap()
    }
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let calls = Calls::new();
    let counted = calls.counted(pool(3));
    assert_eq!(counted.map(0..10, |_, i| i).unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(calls.all(), [3, 3, 3]);
    assert!(counted.map(Vec::<u8>::new(), |_, i| i).unwrap().is_empty());
    assert_eq!(calls.all(), [3, 3, 3], "no items, no fork");
    counted.workers(0).map(0..10, |_, i| i).unwrap();
    assert_eq!(calls.all(), [3, 3, 3]);
}

#[test]
fn each_in_its_place() {
    let _watch = common::watchdog();
    alone("each_in_its_place", || {
        let here = std::process::id();
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let in_child = Arc::new(SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap());
        let tell = |what: &'static str| {
            let told = told.clone();
            move || {
                assert_eq!(std::process::id(), here);
                told.lock().unwrap().push(what);
            }
        };
        let child = in_child.clone();
        let pool = pool(1).fork_hooks(tell("before"), tell("parent"), move || {
            assert_eq!(std::os::unix::process::parent_id(), here);
            child.set(0, std::process::id());
        });
        let told_in_worker = pool.map([()], |_, ()| (in_child.get(0), told.lock().unwrap().clone().len()));
        let (pid, before) = told_in_worker.unwrap()[0];
        assert_eq!(before, 1, "only `before` was called in what the child is a copy of");
        assert_ne!(pid, here);
        assert_eq!(*told.lock().unwrap(), ["before", "parent"]);
    });
}

#[test]
fn a_hook_may_print_and_wait_for_a_thread_that_prints() {
    let _watch = common::watchdog();
    alone("a_hook_may_print_and_wait_for_a_thread_that_prints", || {
        let print = || {
            print!("here");
            std::thread::spawn(|| print!("there")).join().unwrap();
        };
        assert_eq!(pool(2).fork_hooks(print, print, print).map([1, 2], |_, i| i).unwrap(), [1, 2]);
    });
}

#[test]
fn around_the_fork_of_a_worker_that_replaces_another() {
    let _watch = common::watchdog();
    let calls = Calls::new();
    let tried = Mutex::anonymous(0u32).unwrap();
    let found = calls.counted(pool(2).retries(1)).map(0..10, |_, i| {
        if i == 3 && std::mem::replace(&mut *tried.lock().unwrap(), 1) == 0 {
            kill_self(libc::SIGKILL);
        }
        i
    });
    assert_eq!(found.unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(calls.all(), [3, 3, 3]);
}

#[test]
fn the_parents_hook_is_called_for_a_fork_that_fails() {
    let _watch = common::watchdog();
    alone("the_parents_hook_is_called_for_a_fork_that_fails", || {
        let calls = Calls::new();
        let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
        // SAFETY: the pointer is valid for the call; this process runs nothing else.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let error = calls.counted(pool(100)).map(0..1000, |_, i| i).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork);
        let [before, parent, child] = calls.all();
        assert!(before == parent && before > 1 && child <= before, "{before} {parent} {child}");
        no_children();
    });
}

/// The text of a panic that `work` does not catch.
fn panic_of(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    panic.downcast_ref::<&str>().unwrap().to_string()
}

#[test]
fn a_panic_before_the_fork_goes_on_when_the_workers_are_gone() {
    let _watch = common::watchdog();
    alone("a_panic_before_the_fork_goes_on_when_the_workers_are_gone", || {
        let descriptors = common::descriptors();
        let (asked, parents) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
        let second = move || assert!(asked.fetch_add(1, Ordering::SeqCst) != 1, "not a second");
        let count = parents.clone();
        let parent = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let pool = pool(3).fork_hooks(second, parent, || ());
        let text = panic_of(|| drop(pool.map(0..9, |_, i: u8| i)));
        assert_eq!(text, "not a second");
        assert_eq!(parents.load(Ordering::SeqCst), 1, "not for the fork that never was");
        no_children();
        assert_eq!(pool.map(0..9, |_, i| i).unwrap(), (0..9).collect::<Vec<_>>());
        drop(pool);
        assert_eq!(common::descriptors(), descriptors);
    });
}

#[test]
fn a_panic_in_the_parent_goes_on_when_the_workers_are_gone() {
    let _watch = common::watchdog();
    alone("a_panic_in_the_parent_goes_on_when_the_workers_are_gone", || {
        let descriptors = common::descriptors();
        let asked = AtomicU32::new(0);
        let pool = pool(3).fork_hooks(
            || (),
            move || assert!(asked.fetch_add(1, Ordering::SeqCst) != 1, "not a second"),
            || (),
        );
        assert_eq!(panic_of(|| drop(pool.map(0..9, |_, i: u8| i))), "not a second");
        no_children();
        assert_eq!(pool.map(0..9, |_, i| i).unwrap(), (0..9).collect::<Vec<_>>());
        drop(pool);
        assert_eq!(common::descriptors(), descriptors);
    });
}

#[test]
fn a_panic_in_the_parent_while_a_worker_is_replaced() {
    let _watch = common::watchdog();
    alone("a_panic_in_the_parent_while_a_worker_is_replaced", || {
        for which in [0, 1] {
            let asked = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            let third = |at: usize| {
                let asked = asked.clone();
                move || assert!(at != which || asked[at].fetch_add(1, Ordering::SeqCst) != 2, "not a third")
            };
            let pool = pool(2).retries(1).fork_hooks(third(0), third(1), || ());
            let text = panic_of(|| drop(pool.map(0..9, |_, i: u8| assert!(i != 4))));
            assert_eq!(text, "not a third");
            no_children();
        }
    });
}

#[test]
fn a_panic_in_the_child_is_the_workers() {
    let _watch = common::watchdog();
    alone("a_panic_in_the_child_is_the_workers", || {
        for retries in [0, 2] {
            let pool = pool(2).retries(retries).fork_hooks(|| (), || (), || panic!("no children here"));
            let error = pool.map(0..9, |_, i: u8| i).unwrap_err();
            assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, None));
            assert_eq!(error.panic_message(), Some("no children here"));
            assert!(error.panic_location().unwrap().contains("fork_hooks.rs"));
            no_children();
        }
    });
}
