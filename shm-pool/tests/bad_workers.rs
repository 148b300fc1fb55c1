//! Workers that misbehave, too many of them, too little memory: an error that says so or a right result, by every policy, and nothing is left behind.

#![allow(unsafe_code, reason = "sets limits, gives up privileges, registers a fork handler")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{Belongings, alone, limit, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, MapReduce};

#[test]
fn an_empty_input_forks_nothing() {
    static FORKS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    let _watch = common::watchdog();
    alone("an_empty_input_forks_nothing", || {
        let before = Belongings::now();
        // SAFETY: the handler is a function that lives as long as the process, and only counts.
        unsafe { libc::pthread_atfork(Some(count), None, None) };
        let pool = pool(2).retries(1);
        let none = std::iter::empty::<u64>;
        assert!(pool.map(none(), |_, i| i).unwrap().is_empty());
        assert!(pool.map(5..5, |_, i| i).unwrap().is_empty());
        assert!(pool.map(Vec::<String>::new(), |_, text: String| text).unwrap().is_empty());
        assert!(pool.map_reduce(none(), |_, i| i, |_, i| i).unwrap().is_empty());
        assert!(pool.map_plain(none(), |_, i| i).unwrap().is_empty());
        assert!(pool.skip_failed().map(none(), |_, i| i).unwrap().results().is_empty());
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 0).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        assert!(pool.map_chunks(&mut exclusive, 4, |_, _, _: &mut [u8]| ()).unwrap().is_empty());
        let mut crew = pool.crew(&mut exclusive, 4, |_, _, _: &mut [u8]| ()).unwrap();
        assert!(crew.run().unwrap().is_empty());
        drop(crew);
        drop(exclusive);
        drop(array);
        assert_eq!(FORKS.load(Ordering::Relaxed), 0);
        assert_eq!(pool.map(0..2, |_, i| i).unwrap(), [0, 1]);
        assert_eq!(FORKS.load(Ordering::Relaxed), 2, "the handler counts");
        before.assert_unchanged();
    });
}

#[test]
fn a_thousand_workers() {
    let _watch = common::watchdog();
    alone("a_thousand_workers", || {
        let before = Belongings::now();
        limit(libc::RLIMIT_NOFILE, 1100); // one descriptor for each worker
        let pool = pool(1000);
        let found = pool.map(0..3000u32, |worker, i| (i, worker.workers(), worker.rank())).unwrap();
        assert!(found.iter().zip(0..).all(|(r, i)| (r.0, r.1) == (i, 1000) && r.2 < 1000));
        before.assert_unchanged();
        // Each has an item of its own: all of them exist at the same time, and one of them dies.
        let here = SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap();
        let with_one_more = Belongings::now();
        let error = pool.map(0..1000u32, |worker, i| {
            worker.critical(|| here.set((), here.get(()) + 1));
            while here.get(()) < 1000 {
                std::thread::sleep(std::time::Duration::from_millis(5)); // a thousand that do not sleep would take minutes
            }
            assert_ne!(i, 777, "one of a thousand");
        });
        let error = error.unwrap_err();
        assert_eq!((error.item(), error.panic_message().is_some()), (Some(777), true), "{error}");
        with_one_more.assert_unchanged();
        drop(here);
        before.assert_unchanged();
    });
}

#[test]
fn a_worker_that_exhausts_its_memory() {
    let _watch = common::watchdog();
    alone("a_worker_that_exhausts_its_memory", || {
        let before = Belongings::now();
        // What is mapped already counts: no more than that, so that the next large allocation fails.
        let hungry = |i: usize| {
            if i == 5 {
                limit(libc::RLIMIT_AS, 1 << 20);
                return vec![1u8; 64 << 20];
            }
            vec![i as u8; 10]
        };
        let right = |i: usize, r: &Vec<u8>| r.len() == 10 && r[0] as usize == i;
        let error = pool(2).map(0..50, |_, i| hungry(i)).unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Died, Some(5)), "{error}");
        assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGABRT)));
        assert!(error.finished().iter().all(|(i, r)| right(*i, r)));
        before.assert_unchanged();
        let all = pool(2).skip_failed().map(0..50, |_, i| hungry(i)).unwrap();
        assert!(all.skipped().eq([5]) && all.failures()[0].exit() == Some(Exit::Signal(libc::SIGABRT)));
        before.assert_unchanged();
        let error = pool(2).retries(1).map(0..50, |_, i| hungry(i)).unwrap_err();
        assert!(error.to_string().contains("item 5 (tried 2 times)"), "{error}");
        before.assert_unchanged();
    });
}

#[test]
fn a_result_that_leaves_no_memory_to_send_it() {
    let _watch = common::watchdog();
    alone("a_result_that_leaves_no_memory_to_send_it", || {
        let before = Belongings::now();
        // The result exists; a copy of it does not fit any more.
        let error = pool(2).map(0..50, |_, i: usize| {
            let result = vec![i as u8; if i == 5 { 64 << 20 } else { 10 }];
            if i == 5 {
                limit(libc::RLIMIT_AS, 1 << 20);
            }
            result
        });
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Died, Some(5)), "{error}");
        before.assert_unchanged();
    });
}

#[test]
fn more_results_than_memory_has() {
    let _watch = common::watchdog();
    alone("more_results_than_memory_has", || {
        let before = Belongings::now();
        let error = pool(2).map_plain(0..1u64 << 50, |_, i| i).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("map fewer items at a time"), "{error}");
        before.assert_unchanged();
    });
}

#[test]
fn more_processes_than_the_user_may_have() {
    let _watch = common::watchdog();
    alone("more_processes_than_the_user_may_have", || {
        let mut allowed = common::limit_processes(61_234); // an id that nobody has
        let before = Belongings::now();
        for pool in [pool(100), pool(100).retries(3)] {
            let error = pool.map(0..1000, |_, i| i).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fork, "{error}");
            let text = error.to_string();
            assert!(text.contains("100 workers were asked for"), "{text}");
            assert!(text.contains(&format!("the limit of processes (ulimit -u) is {allowed}")), "{text}");
            assert!(text.contains("ask for fewer workers"), "{text}");
            before.assert_unchanged();
        }
        // What the limit allows works. The test's own threads count.
        allowed = allowed.saturating_sub(5);
        if allowed > 0 {
            assert_eq!(pool(allowed as usize).map(0..20, |_, i| i).unwrap(), (0..20).collect::<Vec<_>>());
        }
        before.assert_unchanged();
    });
}

static WARNED: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_master_whose_other_threads_allocate_and_print_all_the_time() {
    let _watch = common::watchdog();
    alone("a_master_whose_other_threads_allocate_and_print_all_the_time", || {
        let before = Belongings::now();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let over = &over;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        kept.push(vec![thread; 1000]);
                        kept.truncate(50);
                        print!("{}", if kept.len() == 50 { "" } else { "." });
                        let _ = std::env::var_os("NO SUCH VARIABLE");
                    }
                });
            }
            let warn = |text: &str| {
                assert!(text.contains("threads"), "{text}");
                WARNED.fetch_add(1, Ordering::Relaxed);
            };
            let pool = MapReduce::new().workers(3).retries(1).on_warning(warn);
            for round in 0..30u32 {
                let found = pool.map(0..60u32, |_, i| vec![i + round; 100]).unwrap();
                assert!(found.iter().zip(round..).all(|(r, i)| *r == vec![i; 100]));
            }
            assert_eq!(WARNED.load(Ordering::Relaxed), 30);
            over.store(true, Ordering::Relaxed);
        });
        before.assert_unchanged();
    });
}

#[test]
fn a_worker_that_closes_everything_under_every_policy() {
    let _watch = common::watchdog();
    alone("a_worker_that_closes_everything_under_every_policy", || {
        let before = Belongings::now();
        let work = |i: u32| {
            if i == 3 {
                // SAFETY: closing descriptors is what is tested; nothing of this process uses them afterwards but the executor.
                unsafe { libc::close_range(0, u32::MAX, 0) };
            }
            vec![i; 3000] // so that results need memory of the segment, and the master is woken often
        };
        let right = |i: usize, r: &Vec<u32>| r.len() == 3000 && r[0] as usize == i;
        match pool(2).map(0..100u32, |_, i| work(i)) {
            Ok(all) => assert!(all.iter().enumerate().all(|(i, r)| right(i, r))),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Segment, "{error}"),
        }
        before.assert_unchanged();
        match pool(2).skip_failed().map(0..100u32, |_, i| work(i)) {
            Ok(all) => {
                assert!(all.results().iter().enumerate().all(|(i, r)| r.as_ref().is_none_or(|r| right(i, r))))
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Segment, "{error}"),
        }
        before.assert_unchanged();
    });
}
