//! The thread backend: what holds for processes holds for threads, by the same tests where that is possible.

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Belongings, alone, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{Backend, ErrorKind, MapReduce, Schedule};

const BOTH: [Backend; 2] = [Backend::Processes, Backend::Threads];

#[test]
fn smoke() {
    let _watch = common::watchdog();
    for backend in BOTH {
        let found = pool(2).on(backend).map(0..1000u64, |_worker, i| i * i).unwrap();
        assert_eq!(found, (0..1000).map(|i| i * i).collect::<Vec<_>>());
    }
}

#[test]
fn order_holds_for_any_number_of_items_and_workers_by_every_schedule() {
    let _watch = common::watchdog();
    let schedules = [
        Schedule::Guided(1),
        Schedule::Static,
        Schedule::StaticChunk(3),
        Schedule::Dynamic(1),
        Schedule::Dynamic(7),
    ];
    for schedule in schedules {
        for workers in [0, 1, 2, 5] {
            for items in [0, 1, 2, 17, 1003] {
                let pool = pool(workers).schedule(schedule);
                let on = pool.on(Backend::Threads);
                let right = |found: Vec<u64>| found.into_iter().eq(1..=items);
                assert!(right(on.map(0..items, |_, i| i + 1).unwrap()), "{schedule:?} {workers} {items}");
                assert!(right(on.map_plain(0..items, |_, i| i + 1).unwrap()));
                let texts: Vec<String> = (1..=items).map(|i| i.to_string()).collect();
                assert!(right(on.map(texts, |_, text: String| text.parse().unwrap()).unwrap()));
            }
        }
    }
}

#[test]
fn ten_million_items() {
    let _watch = common::watchdog();
    let n = 10_000_000u64;
    let found = pool(2).on(Backend::Threads).map_plain(0..n, |_, i| i ^ 5).unwrap();
    assert!(found.len() as u64 == n && found.iter().zip(0..n).all(|(r, i)| *r == i ^ 5));
}

#[test]
fn workers_are_threads_of_this_process_with_ranks_and_a_critical_section() {
    let _watch = common::watchdog();
    let here = thread::current().id();
    let (seen, inside, sum) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0), AtomicUsize::new(0));
    let found = pool(3).schedule(Schedule::Dynamic(1)).on(Backend::Threads).map(0..600, |worker, i| {
        assert_ne!(thread::current().id(), here);
        assert_eq!(worker.workers(), 3);
        seen.lock().unwrap().insert(worker.rank());
        worker.critical(|| {
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            // Not atomic as a whole: the section is what makes it so.
            sum.store(sum.load(Ordering::Relaxed) + i, Ordering::Relaxed);
            thread::yield_now();
            inside.fetch_sub(1, Ordering::Relaxed);
        });
        std::process::id()
    });
    assert!(found.unwrap().iter().all(|pid| *pid == std::process::id()));
    assert_eq!(sum.into_inner(), 599 * 300);
    assert!(seen.into_inner().unwrap().into_iter().all(|rank| rank < 3));
}

#[test]
fn reduce_and_progress_run_in_the_calling_thread_as_results_arrive() {
    let _watch = common::watchdog();
    let here = thread::current().id();
    let (first_is_reduced, last) = (AtomicUsize::new(0), std::cell::Cell::new(0));
    let pool = pool(2).progress(|done, total| {
        assert!(done > last.get() && total == 2);
        last.set(done);
    });
    let work = |_: &shm_pool::Worker, i: usize| {
        while i == 1 && first_is_reduced.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        i
    };
    let found = pool.on(Backend::Threads).map_reduce(0..2, work, |i, r| {
        assert_eq!((thread::current().id(), r), (here, i));
        first_is_reduced.store(1, Ordering::Relaxed);
        std::rc::Rc::new(r) // what `reduce` makes need not be sent anywhere
    });
    assert_eq!((*found.unwrap()[1], last.get()), (1, 2));
}

#[test]
fn a_panic_is_the_same_error() {
    let _watch = common::watchdog();
    for backend in BOTH {
        let error = pool(2)
            .on(backend)
            .map(0..100, |_, i| if i == 37 { panic!("item {i} is bad") } else { i })
            .unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, Some(37)));
        assert_eq!(error.panic_message(), Some("item 37 is bad"));
        assert!(error.rank().unwrap() < 2 && error.pid().is_some() == (backend == Backend::Processes));
        assert!(error.panic_location().unwrap().contains("threads.rs:"), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("cannot map 100 items: worker ") && text.contains("panicked at item 37"),
            "{text}"
        );
        assert!(error.unfinished().iter().any(|range| range.contains(&37)));
        assert!(error.finished().iter().all(|(i, r)| i == r && *i != 37));
    }
}

#[test]
fn nothing_is_printed_and_backtraces_come_along_if_wanted() {
    if std::env::var_os("SHM_POOL_TEST_BACKTRACE").is_some() {
        let error = pool(1).on(Backend::Threads).map([1], |_, i: u32| assert_eq!(i, 2, "deep")).unwrap_err();
        assert!(error.backtrace().is_some_and(|text| text.contains("panic")), "{:?}", error.backtrace());
        // Panics elsewhere are printed as before.
        thread::spawn(|| panic!("of another thread")).join().unwrap_err();
        return;
    }
    let env = [("RUST_BACKTRACE", "1"), ("SHM_POOL_TEST_BACKTRACE", "1")];
    let output = shm_testkit::rerun("nothing_is_printed_and_backtraces_come_along_if_wanted", &env);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of another thread") && !said.contains("deep"), "{said}");
}

#[test]
fn the_others_leave_at_their_next_item() {
    let _watch = common::watchdog();
    let (failed, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let error = pool(2).schedule(Schedule::Dynamic(1)).on(Backend::Threads).map(0..1_000_000usize, |_, i| {
        if i == 1000 {
            failed.store(1, Ordering::SeqCst);
            panic!("enough");
        }
        after.fetch_add(failed.load(Ordering::SeqCst), Ordering::Relaxed);
        thread::sleep(std::time::Duration::from_micros(1));
    });
    assert_eq!(error.unwrap_err().item(), Some(1000));
    // It would take the other a minute to do all of them.
    assert!(after.into_inner() < 900_000);
}

#[test]
fn items_are_tried_again_and_skipped_as_by_processes() {
    let _watch = common::watchdog();
    for backend in BOTH {
        for workers in [1, 2, 3] {
            let tries = SharedArray::<u32, _>::zeros(Anonymous, 64).unwrap();
            let work = |times: u32, i: usize| {
                if [0, 9, 10, 63].contains(&i) && tries.get(i) < times {
                    tries.set(i, tries.get(i) + 1);
                    panic!("on purpose");
                }
                i
            };
            let items: Vec<String> = (0..64).map(|i| i.to_string()).collect();
            let parsed = |text: String| text.parse().unwrap();
            let on = |retries| pool(workers).retries(retries);
            let found = on(1).on(backend).map(items.clone(), |_, text| work(1, parsed(text))).unwrap();
            assert!(found.into_iter().eq(0..64), "{backend:?} {workers}");
            let all = on(0).on(backend).skip_failed().map(0..64, |_, i| work(u32::MAX, i)).unwrap();
            assert!(all.skipped().eq([0, 9, 10, 63]) && all.failures().len() == 4, "{all:?}");
            assert!(all.results().iter().enumerate().all(|(i, r)| r.is_none_or(|r| r == i)));
            let error = on(2).on(backend).map(0..64, |_, i| assert_ne!(i, 20)).unwrap_err();
            assert!(error.to_string().contains("item 20 (tried 3 times)"), "{error}");
            let all = on(1).on(backend).skip_failed().map_plain(items.clone(), |_, text| {
                assert_ne!(text, "33");
                parsed(text)
            });
            let all = all.unwrap();
            assert!(all.skipped().eq([33]) && all.results()[34] == Some(34usize));
        }
    }
}

#[test]
fn a_fresh_thread_takes_the_place_with_its_rank() {
    let _watch = common::watchdog();
    let failed = AtomicUsize::new(0);
    let found = pool(1).retries(1).on(Backend::Threads).map(0..10, |worker, i| {
        assert!(i != 5 || failed.fetch_add(1, Ordering::Relaxed) > 0);
        (format!("{:?}", thread::current().id()), worker.rank())
    });
    let found = found.unwrap();
    assert!(found[0].0 != found[9].0 && found.iter().all(|(_, rank)| *rank == 0));
}

#[test]
fn chunks_are_lent_and_lent_again() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2] {
        for (len, chunk_len) in [(0, 1), (1, 1), (10, 3), (1000, 10), (100, usize::MAX)] {
            let mut array = SharedArray::<u64, _>::zeros(Anonymous, len).unwrap();
            let pool = pool(workers);
            let lens = pool.on(Backend::Threads).map_chunks(
                &mut array.exclusive().unwrap(),
                chunk_len,
                |_, offset, chunk| {
                    chunk.iter_mut().zip(offset as u64..).for_each(|(x, i)| *x += i + 1);
                    chunk.len()
                },
            );
            assert_eq!(lens.unwrap().iter().sum::<usize>(), len);
            assert!(array.to_ndarray().iter().zip(1..).all(|(x, i)| *x == i), "{workers} {len} {chunk_len}");
        }
    }
    let mut array = SharedArray::<u32, _>::zeros(Anonymous, 100).unwrap();
    let pool = pool(2).retries(1);
    pool.on(Backend::Threads)
        .map_chunks(&mut array.exclusive().unwrap(), 10, |_, offset, chunk: &mut [u32]| {
            chunk[0] += 1;
            assert!(offset != 50 || chunk[0] == 2, "again");
        })
        .unwrap();
    assert_eq!((array.get(50), array.get(60)), (2, 1));
    let error =
        pool.on(Backend::Threads).map_chunks(&mut array.exclusive().unwrap(), 0, |_, _, _: &mut [u32]| ());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn panics_in_reduce_progress_and_the_iterator_go_on_and_no_thread_is_left() {
    let _watch = common::watchdog();
    alone("panics_in_reduce_progress_and_the_iterator_go_on_and_no_thread_is_left", || {
        let before = Belongings::now();
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let count = threads();
        let pool = pool(3);
        let on = || pool.on(Backend::Threads);
        let caught = |map: &dyn Fn()| catch_unwind(AssertUnwindSafe(map)).unwrap_err();
        let payload =
            caught(&|| drop(on().map_reduce(0..100_000, |_, i| i, |i, _| assert!(i < 70_000, "enough"))));
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"enough"));
        caught(&|| drop(on().map((0..10).inspect(|i| assert!(*i < 5)), |_, i| i)));
        let no_progress = pool.clone().progress(|_, _| panic!("no progress"));
        caught(&|| drop(no_progress.on(Backend::Threads).map(0..100, |_, i| i)));
        // The kernel takes a thread off the list a moment after it has ended.
        while threads() > count {
            thread::yield_now();
        }
        before.assert_unchanged();
    });
}

#[test]
fn items_that_are_not_taken_are_dropped_once() {
    let _watch = common::watchdog();
    let token = std::sync::Arc::new(());
    for retries in [0, 1] {
        let items: Vec<_> = (0..1000).map(|i| (i, token.clone())).collect();
        let error =
            pool(2).retries(retries).on(Backend::Threads).map(items, |_, (i, _token)| assert_ne!(i, 500));
        error.unwrap_err();
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
    }
}

#[test]
fn nested_in_each_other() {
    let _watch = common::watchdog();
    alone("nested_in_each_other", || {
        let before = Belongings::now();
        for outer in BOTH {
            for inner in BOTH {
                let found = pool(2)
                    .on(outer)
                    .map(0..4u32, |_, i| pool(2).on(inner).map(0..5u32, |_, j| 10 * i + j).unwrap());
                let expected: Vec<Vec<u32>> = (0..4).map(|i| (0..5).map(|j| 10 * i + j).collect()).collect();
                assert_eq!(found.unwrap(), expected, "{outer:?} {inner:?}");
            }
        }
        before.assert_unchanged();
    });
}

#[test]
fn short_maps_and_those_without_workers_stay_in_the_calling_thread() {
    let here = thread::current().id();
    for pool in [pool(0), pool(2).serial_below(10)] {
        let found = pool.on(Backend::Threads).map(0..9u8, |worker, _| {
            assert_eq!(thread::current().id(), here);
            worker.workers()
        });
        assert_eq!(found.unwrap(), [0; 9]);
    }
}

#[test]
fn a_schedule_that_is_refused() {
    for backend in BOTH {
        for workers in [0, 2] {
            let pool = MapReduce::new().workers(workers).threads_ok().schedule(Schedule::Dynamic(0));
            assert_eq!(pool.on(backend).map(0..5, |_, i| i).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}

#[test]
fn more_threads_than_the_system_allows() {
    let _watch = common::watchdog();
    alone("more_threads_than_the_system_allows", || {
        let allowed = common::limit_processes(61_235); // an id that nobody has
        let before = Belongings::now();
        // None ends before all have begun, or its place would be the next one's. They cannot, so each gives up after a while.
        let begun = AtomicUsize::new(0);
        let error = pool(100).on(Backend::Threads).map(0..100, |_, _| {
            begun.fetch_add(1, Ordering::Relaxed);
            let since = std::time::Instant::now();
            while begun.load(Ordering::Relaxed) < 100 && since.elapsed() < std::time::Duration::from_secs(1) {
                thread::yield_now();
            }
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork, "{error}");
        assert!(error.to_string().contains("100 threads were asked for"), "{error}");
        before.assert_unchanged();
        if allowed > 0 {
            assert_eq!(pool(2).on(Backend::Threads).map(0..5, |_, i| i).unwrap(), [0, 1, 2, 3, 4]);
        }
    });
}

#[test]
fn beside_processes_while_both_panic() {
    let _watch = common::watchdog();
    alone("beside_processes_while_both_panic", || {
        // A backtrace is taken under a lock of the standard library, which a fork must not copy while it is held.
        thread::scope(|scope| {
            for backend in BOTH {
                scope.spawn(move || {
                    for round in 0..25 {
                        let all = pool(2)
                            .on(backend)
                            .skip_failed()
                            .map(0..8, |_, i| assert_ne!(i, round % 8))
                            .unwrap();
                        assert!(all.skipped().eq([round % 8]));
                    }
                });
            }
        });
        common::no_children();
    });
}

#[test]
fn ordered_sections_run_in_order_whoever_fails() {
    let _watch = common::watchdog();
    for backend in BOTH {
        let log = SharedArray::<u32, _>::zeros(Anonymous, 301).unwrap();
        let write = |i: u32| {
            let next = log.get(300);
            log.set(next as usize, i);
            log.set(300, next + 1);
        };
        let written = || (0..log.get(300) as usize).map(|at| log.get(at)).collect::<Vec<_>>();
        let pool = pool(3).ordered();
        pool.on(backend).map(0..300u32, |worker, i| worker.ordered(|| write(i))).unwrap();
        assert_eq!(written(), (0..300).collect::<Vec<_>>(), "{backend:?}");
        // One fails before its turn, and the others do not wait for it.
        log.set(300, 0);
        let all = pool.on(backend).skip_failed().map(0..300u32, |worker, i| {
            assert_ne!(i, 100);
            worker.ordered(|| write(i));
        });
        assert!(all.unwrap().skipped().eq([100]));
        assert_eq!(written(), (0..300).filter(|i| *i != 100).collect::<Vec<_>>(), "{backend:?}");
        // Or the map fails, and whoever waits for a turn leaves.
        let error =
            pool.on(backend).map(0..300u32, |worker, i| worker.ordered(|| assert_ne!(i, 100))).unwrap_err();
        assert_eq!(error.item(), Some(100));
    }
}
