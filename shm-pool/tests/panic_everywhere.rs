//! Panics wherever somebody else's code runs: in what items and results do when they are sent, read and dropped, and in nested maps. `panic.rs` and
//! `reduce.rs` have the function, `reduce`, `progress` and the iterator.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Belongings, alone, pool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shm_pool::ErrorKind;

/// What is thrown, as text.
fn text_of(payload: Box<dyn std::any::Any + Send>) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast().ok().map(|text| *text))
        .unwrap()
}

/// A number that panics where it is told to.
#[derive(Debug)]
struct Touchy<const WHERE: u8>(u32);

const READ: u8 = 1;
const DROP: u8 = 2;
const BAD: u32 = 7;

impl<const WHERE: u8> Serialize for Touchy<WHERE> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, const WHERE: u8> Deserialize<'de> for Touchy<WHERE> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(from)?;
        assert!(WHERE != READ || number != BAD, "cannot be read");
        Ok(Touchy(number))
    }
}

impl<const WHERE: u8> Drop for Touchy<WHERE> {
    fn drop(&mut self) {
        if WHERE == DROP && self.0 == BAD && !std::thread::panicking() {
            panic!("cannot be dropped");
        }
    }
}

#[test]
fn while_a_result_is_read() {
    let _watch = common::watchdog();
    alone("while_a_result_is_read", || {
        let before = Belongings::now();
        for pool in [pool(1), pool(2).retries(2)] {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.map(0..50, |_, i| Touchy::<READ>(i))));
            assert_eq!(text_of(outcome.unwrap_err()), "cannot be read");
            before.assert_unchanged();
            let outcome =
                catch_unwind(AssertUnwindSafe(|| pool.skip_failed().map(0..50, |_, i| Touchy::<READ>(i))));
            outcome.unwrap_err();
            before.assert_unchanged();
        }
    });
}

#[test]
fn when_a_result_is_dropped_in_the_worker() {
    let _watch = common::watchdog();
    alone("when_a_result_is_dropped_in_the_worker", || {
        let before = Belongings::now();
        let error =
            pool(2).map_reduce(0..50, |_, i| Touchy::<DROP>(i), |_, r| std::mem::forget(r)).unwrap_err();
        assert_eq!(
            (error.kind(), error.panic_message()),
            (ErrorKind::Panicked, Some("cannot be dropped")),
            "{error}"
        );
        before.assert_unchanged();
        // By then it was sent, so nothing has to be tried again or skipped.
        let take = |r: Touchy<DROP>| {
            let number = r.0;
            std::mem::forget(r);
            number
        };
        let all = pool(2).retries(1).map_reduce(0..50, |_, i| Touchy::<DROP>(i), |_, r| take(r)).unwrap();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        let all = pool(2).skip_failed().map_reduce(0..50, |_, i| Touchy::<DROP>(i), |_, r| take(r)).unwrap();
        assert_eq!((all.skipped().count(), all.failures().len()), (0, 1));
        before.assert_unchanged();
    });
}

#[test]
fn when_a_result_is_dropped_in_the_master() {
    let _watch = common::watchdog();
    alone("when_a_result_is_dropped_in_the_master", || {
        let before = Belongings::now();
        // `reduce` drops it.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let work = |_: &shm_pool::Worker, i: u32| i;
            pool(2).map_reduce(0..50, work, |_, r| drop(Touchy::<DROP>(r)))
        }));
        assert_eq!(text_of(outcome.unwrap_err()), "cannot be dropped");
        before.assert_unchanged();
        // The error has it, and whoever drops the error.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let work = |_: &shm_pool::Worker, i: u32| assert!(i < 40, "late");
            drop(pool(1).map_reduce(0..50, work, |i, ()| Touchy::<DROP>(i as u32)).unwrap_err());
        }));
        assert_eq!(text_of(outcome.unwrap_err()), "cannot be dropped");
        before.assert_unchanged();
    });
}

#[test]
fn when_an_item_is_dropped() {
    let _watch = common::watchdog();
    alone("when_an_item_is_dropped", || {
        let before = Belongings::now();
        let items = || (0..50).map(Touchy::<DROP>).collect::<Vec<_>>();
        // In the worker, whose function has it. The master drops its own copy after the map.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool(2).map(items(), |_, item: Touchy<DROP>| item.0).map_err(|error| {
                assert_eq!(
                    (error.item(), error.panic_message()),
                    (Some(BAD as usize), Some("cannot be dropped"))
                );
            })
        }));
        assert_eq!(text_of(outcome.unwrap_err()), "cannot be dropped");
        before.assert_unchanged();
        // In the master alone.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool(2).map(items(), |_, item: Touchy<DROP>| std::mem::forget(item))
        }));
        assert_eq!(text_of(outcome.unwrap_err()), "cannot be dropped");
        before.assert_unchanged();
    });
}

#[test]
fn in_a_nested_map() {
    let _watch = common::watchdog();
    alone("in_a_nested_map", || {
        common::adopt_orphans();
        let before = Belongings::now();
        // The panic of the inner master's `reduce` unwinds through the inner map, and is the outer worker's panic.
        let error = pool(2).map(0..4u32, |_, i| {
            pool(2)
                .map_reduce(0..20u32, |_, j| i + j, |_, r| assert!(r < 15, "too much"))
                .map(drop)
                .map_err(|error| error.to_string())
        });
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("too much")), "{error}");
        before.assert_unchanged_without_orphans();
        // And while the inner results are read, with another try for the outer item, which is as bad.
        let error = pool(2).retries(1).map(0..4u32, |_, _| {
            let all: Vec<Touchy<READ>> = pool(2).map(0..20, |_, j| Touchy(j)).unwrap();
            all.len()
        });
        let error = error.unwrap_err();
        assert!(
            error.panic_message() == Some("cannot be read") && error.to_string().contains("tried 2 times"),
            "{error}"
        );
        before.assert_unchanged_without_orphans();
    });
}

#[test]
fn in_a_map_that_a_destructor_makes_while_its_thread_unwinds() {
    struct Maps;
    impl Drop for Maps {
        fn drop(&mut self) {
            let here = std::thread::panicking();
            assert_eq!(pool(2).map(0..10, |_, i| i).unwrap(), (0..10).collect::<Vec<_>>());
            let error = pool(2).map(0..10, |_, i| assert!(i != 5 || !here, "as its master")).unwrap_err();
            assert_eq!((error.item(), error.panic_message()), (Some(5), Some("as its master")));
        }
    }
    let _watch = common::watchdog();
    alone("in_a_map_that_a_destructor_makes_while_its_thread_unwinds", || {
        let before = Belongings::now();
        let outcome = catch_unwind(|| {
            let _maps = Maps;
            panic!("the first of all");
        });
        assert_eq!(text_of(outcome.unwrap_err()), "the first of all");
        before.assert_unchanged();
    });
}

#[test]
fn in_another_thread_of_the_master_during_the_fork() {
    let _watch = common::watchdog();
    // Each worker would read the program's debug information, for a backtrace that nobody looks at.
    let env = [("RUST_BACKTRACE", "0")];
    common::alone_with("in_another_thread_of_the_master_during_the_fork", &env, || {
        let before = Belongings::now();
        std::panic::set_hook(Box::new(|_| ())); // or each of thousands is printed
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        catch_unwind(|| std::panic::panic_any(())).unwrap_err();
                    }
                });
            }
            for round in 0..50 {
                let error = pool(2).map(0..10, |_, i| assert_ne!(i, round % 10)).unwrap_err();
                assert_eq!(error.item(), Some(round % 10));
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        before.assert_unchanged();
    });
}

/// The program's own hook takes backtraces, which the standard library does under a lock. A worker must not inherit that lock, taken: it could not
/// panic any more.
#[test]
fn in_a_hook_that_takes_a_backtrace_during_the_fork() {
    let _watch = common::watchdog();
    let env = [("RUST_BACKTRACE", "1")];
    common::alone_with("in_a_hook_that_takes_a_backtrace_during_the_fork", &env, || {
        std::panic::set_hook(Box::new(|_| {
            // As a hook that prints would: with the lock of standard error in the midst of it.
            let text = std::backtrace::Backtrace::force_capture().to_string();
            let _quiet = std::io::stderr().lock();
            assert!(!text.is_empty());
        }));
        // The program's debug information is read once, here, and not by every worker anew.
        catch_unwind(|| std::panic::panic_any(())).unwrap_err();
        let before = Belongings::now();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let over = &over;
            for prints in [false, true] {
                scope.spawn(move || {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        // A fork waits for this lock anyway; it must not wait for the hook with it in its hands.
                        let _printing = prints.then(|| std::io::stdout().lock());
                        catch_unwind(|| std::panic::panic_any(())).unwrap_err();
                    }
                });
            }
            for round in 0..20 {
                let error = pool(2).map(0..10, |_, i| assert_ne!(i, round % 10)).unwrap_err();
                assert_eq!(error.item(), Some(round % 10));
                assert!(error.backtrace().is_some_and(|text| text.contains("panic_everywhere")), "{error}");
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        before.assert_unchanged();
    });
}

/// A hook that waits for the thread which forks, and one that maps itself, hold up a fork for a while and no longer.
#[test]
fn in_a_hook_that_waits_for_a_map_or_maps_itself() {
    let _watch = common::watchdog();
    common::alone("in_a_hook_that_waits_for_a_map_or_maps_itself", || {
        let before = Belongings::now();
        let (map, mapped) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let (tell, wait) = (map.0, std::sync::Mutex::new(mapped.1));
        std::panic::set_hook(Box::new(move |_| {
            assert_eq!(pool(2).map(0..10, |_, i| i).unwrap(), (0..10).collect::<Vec<_>>());
            tell.send(()).unwrap();
            assert_eq!(wait.lock().unwrap().recv(), Ok(Some(5)));
        }));
        // Installs this crate's hook around that one.
        assert_eq!(pool(1).map(0..3, |_, i| i).unwrap(), [0, 1, 2]);
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| catch_unwind(|| std::panic::panic_any(())).unwrap_err());
            map.1.recv().unwrap();
            let error = pool(2).map(0..10, |_, i| assert_ne!(i, 5)).unwrap_err();
            mapped.0.send(error.item()).unwrap();
            panicking.join().unwrap();
        });
        before.assert_unchanged();
    });
}
