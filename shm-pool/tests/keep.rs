//! Workers that are kept for plain functions: any number of items of any size, map after map; every policy; and nothing left behind.
#![allow(unsafe_code, reason = "kills, forks and closes on purpose")]

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use common::{CALLS, alone, die_at, is_alive, kill, kill_self, no_children, pool, random};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, Kept, MapReduce, Schedule};
use shm_sync::{Mutex, Primitive};

fn squares(workers: usize) -> Kept<u64, u64> {
    pool(workers).keep(|_worker, n: u64| n * n).unwrap()
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let mut kept =
        pool(2).keep(|worker, text: String| (worker.rank(), worker.workers(), text.len())).unwrap();
    let found = kept.map(["shared".to_owned(), "memory".to_owned(), String::new()]).unwrap();
    assert!(found.iter().all(|(rank, workers, _)| *rank < 2 && *workers == 2));
    assert_eq!(found.iter().map(|(_, _, len)| *len).collect::<Vec<_>>(), [6, 6, 0]);
}

#[test]
fn any_number_of_items_in_any_order() {
    let _watch = common::watchdog();
    let schedules = [
        Schedule::default(),
        Schedule::Static,
        Schedule::StaticChunk(3),
        Schedule::Dynamic(1),
        Schedule::Guided(7),
    ];
    for schedule in schedules {
        for workers in [0, 1, 2, 5] {
            let mut kept = pool(workers).schedule(schedule).keep(|_, n: u64| n * n).unwrap();
            for count in [1, 0, 2, 10, 3, 20_000, 1, 4, 5000, 17] {
                let found = kept.map(0..count).unwrap();
                assert_eq!(found.len() as u64, count);
                assert!(
                    found.iter().zip(0..).all(|(found, n)| *found == n * n),
                    "{schedule:?} {workers} {count}"
                );
            }
            assert_eq!(kept.workers(), workers);
        }
    }
}

#[test]
fn many_small_maps_of_changing_length_one_after_the_other() {
    let _watch = common::watchdog();
    // A worker that comes late to a map finds that of the next one.
    for schedule in [Schedule::default(), Schedule::StaticChunk(1), Schedule::Dynamic(2)] {
        let mut kept = pool(3).schedule(schedule).keep(|_, (round, n): (u64, u64)| round ^ n).unwrap();
        let mut seed = 0x2545_F491_4F6C_DD1D;
        for round in 0..1500 {
            let count = random(&mut seed) % 8;
            let found = kept.map((0..count).map(|n| (round, n))).unwrap();
            assert!(
                found.len() as u64 == count && found.iter().zip(0..).all(|(found, n)| *found == round ^ n)
            );
        }
    }
}

#[test]
fn items_and_results_of_every_size() {
    let _watch = common::watchdog();
    for workers in [0, 2] {
        let mut kept = pool(workers).keep(|_, bytes: Vec<u8>| bytes).unwrap();
        for lens in [
            vec![0],
            vec![0; 100],
            vec![1 << 20, 0, 3],
            vec![40 << 20, 1, 30 << 20],
            vec![5; 1000],
            vec![1 << 16; 300],
        ] {
            let items: Vec<Vec<u8>> = lens.iter().zip(0..).map(|(len, i)| vec![i as u8; *len]).collect();
            assert!(kept.map(&items).unwrap() == items);
        }
        let mut units = pool(workers).keep(|_, (): ()| ()).unwrap();
        assert_eq!(units.map([(); 1000]).unwrap().len(), 1000);
    }
}

#[test]
#[ignore = "takes 7 GiB of memory"]
fn items_of_a_gibibyte() {
    let _watch = common::watchdog();
    let mut kept = pool(1).keep(|_, text: String| text.len()).unwrap();
    for _ in 0..2 {
        assert_eq!(kept.map(["x".repeat(1 << 30)]).unwrap(), [1 << 30]);
    }
}

#[test]
fn by_the_same_processes_which_end_with_the_handle() {
    let _watch = common::watchdog();
    alone("by_the_same_processes_which_end_with_the_handle", || {
        let before = common::descriptors();
        let mut kept = pool(3).keep(|_, _: u32| std::process::id()).unwrap();
        let pids = kept.pids();
        for _ in 0..100 {
            assert!(kept.map(0..20).unwrap().iter().all(|pid| pids.contains(pid)));
        }
        assert_eq!(kept.pids(), pids);
        drop(kept);
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
        drop(pool(2).keep(|_, n: u8| n).unwrap()); // never used
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn memory_is_given_back_after_each_map() {
    let _watch = common::watchdog();
    let mut kept = pool(2).keep(|_, bytes: Vec<u8>| bytes.len()).unwrap();
    let items = vec![vec![1u8; 8 << 20]; 4];
    for _ in 0..40 {
        assert_eq!(kept.map(&items).unwrap(), [8 << 20; 4]);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let shared = status.lines().find_map(|line| line.strip_prefix("RssShmem:")).unwrap();
    let kibibytes: usize = shared.trim().trim_end_matches(" kB").parse().unwrap();
    // Those of one map or two, and what other tests use at the same time.
    assert!(kibibytes < 900 << 10, "{kibibytes} KiB");
}

#[test]
fn reduce_and_progress_run_in_the_master() {
    let _watch = common::watchdog();
    for workers in [0, 2] {
        let told = Arc::new(std::sync::Mutex::new((0, 0)));
        let last = told.clone();
        let pool = pool(workers).progress(move |done, total| *last.lock().unwrap() = (done, total));
        let mut kept = pool.keep(|_, n: u64| n).unwrap();
        let mut sum = 0;
        let indices = kept.map_reduce(1..=100u64, |index, n| {
            sum += n;
            index
        });
        assert_eq!((indices.unwrap(), sum), ((0..100).collect::<Vec<_>>(), 5050));
        assert_eq!(*told.lock().unwrap(), (100, 100));
    }
}

#[test]
fn the_critical_section() {
    let _watch = common::watchdog();
    let sum = Arc::new(SharedArray::<u64, _>::zeros(Anonymous, ()).unwrap());
    let total = sum.clone();
    let add = move |worker: &shm_pool::Worker, n: u64| worker.critical(|| total.set((), total.get(()) + n));
    let mut kept = pool(3).keep(add).unwrap();
    for round in 1..=20 {
        kept.map(1..=100u64).unwrap();
        assert_eq!(sum.get(()), 5050 * round);
    }
}

#[derive(Debug, Clone, Copy)]
struct Odd(i8);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            -1 => Err(serde::ser::Error::custom("does not travel")),
            -2 => panic!("explodes on the way"),
            n => to.serialize_i8(n),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Odd, D::Error> {
        match i8::deserialize(from)? {
            3 => Err(serde::de::Error::custom("three does not arrive")),
            4 => panic!("four explodes"),
            n => Ok(Odd(n)),
        }
    }
}

#[test]
fn bad_input_changes_nothing() {
    let _watch = common::watchdog();
    alone("bad_input_changes_nothing", || {
        for workers in [0, 2] {
            let mut kept = pool(workers).keep(|_, n: Odd| n).unwrap();
            let pids = kept.pids();
            let error = kept.map([Odd(0), Odd(-1)]).unwrap_err();
            assert_eq!((error.kind(), error.item()), (ErrorKind::Encode, Some(1)));
            assert!(error.to_string().contains("item 1 cannot be serialised"), "{error}");
            catch_unwind(AssertUnwindSafe(|| kept.map([Odd(0), Odd(-2)]))).unwrap_err();
            let broken = (0..3).map(|i| if i < 2 { Odd(i) } else { panic!("the iterator") });
            catch_unwind(AssertUnwindSafe(|| kept.map(broken))).unwrap_err();
            assert_eq!(kept.map([Odd(1), Odd(2)]).unwrap().iter().map(|n| n.0).collect::<Vec<_>>(), [1, 2]);
            assert_eq!(kept.pids(), pids);
        }
        let error = pool(2).schedule(Schedule::Dynamic(0)).keep(|_, n: u8| n).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let error = pool(2).ordered().keep(|_, n: u8| n).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let mut kept = pool(2).schedule(Schedule::Dynamic(1)).keep(|_, (): ()| ()).unwrap();
        let error = kept.map(std::iter::repeat_n((), 1_100_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("larger chunks"), "{error}");
        assert_eq!(kept.map([(); 3]).unwrap().len(), 3);
        drop(kept);
        no_children();
    });
}

#[test]
fn an_item_that_cannot_be_read_back() {
    let _watch = common::watchdog();
    let mut kept = pool(2).keep(|_, n: Odd| n.0).unwrap();
    let error = kept.map([Odd(1), Odd(3)]).unwrap_err();
    assert_eq!((error.kind(), error.item()), (ErrorKind::Decode, Some(1)), "{error}");
    assert!(error.to_string().contains("cannot read item 1 that it was sent"), "{error}");
    let mut kept = pool(2).keep(|_, n: Odd| n.0).unwrap();
    let found = kept.skip_failed().map([Odd(1), Odd(3), Odd(2), Odd(4)]).unwrap();
    assert_eq!(found.results(), [Some(1), None, Some(2), None]);
    let kinds: Vec<_> = found.failures().iter().map(|error| (error.item(), error.kind())).collect();
    assert!(kinds.contains(&(Some(1), ErrorKind::Decode)) && kinds.contains(&(Some(3), ErrorKind::Panicked)));
}

#[test]
fn a_failure_ends_the_workers_unless_the_policy_goes_on() {
    let _watch = common::watchdog();
    alone("a_failure_ends_the_workers_unless_the_policy_goes_on", || {
        let before = common::descriptors();
        type Way = (fn(u32), ErrorKind, Option<Exit>);
        let ways: [Way; 4] = [
            (|n| assert!(n != 5, "not five"), ErrorKind::Panicked, None),
            (
                |n| {
                    if n == 5 {
                        kill_self(libc::SIGKILL)
                    }
                },
                ErrorKind::Died,
                Some(Exit::Signal(libc::SIGKILL)),
            ),
            (
                |n| {
                    if n == 5 {
                        std::process::exit(3)
                    }
                },
                ErrorKind::Died,
                Some(Exit::Code(3)),
            ),
            (
                |n| {
                    if n == 5 {
                        std::process::abort()
                    }
                },
                ErrorKind::Died,
                Some(Exit::Signal(libc::SIGABRT)),
            ),
        ];
        for (fail, kind, exit) in ways {
            let work = move |_: &shm_pool::Worker, n: u32| {
                fail(n);
                n
            };
            let mut kept = pool(2).keep(work).unwrap();
            assert_eq!(kept.map(10..20).unwrap(), (10..20).collect::<Vec<_>>());
            let error = kept.map(0..10).unwrap_err();
            assert_eq!((error.kind(), error.exit(), error.item()), (kind, exit, Some(5)), "{error}");
            assert!(error.finished().iter().all(|(i, n)| *i as u32 == *n));
            no_children();
            assert_eq!(kept.map(0..2).unwrap_err().kind(), ErrorKind::Ended);
            drop(kept);

            let mut kept = pool(2).retries(2).keep(work).unwrap();
            let error = kept.map(0..10).unwrap_err();
            assert!(error.item() == Some(5) && error.to_string().contains("(tried 3 times)"), "{error}");
            drop(kept);

            let mut kept = pool(2).keep(work).unwrap();
            for _ in 0..3 {
                let found = kept.skip_failed().map(0..10).unwrap();
                assert_eq!(found.skipped().collect::<Vec<_>>(), [5]);
                assert!(found.results().iter().zip(0..).all(|(r, n)| n == 5 || *r == Some(n)));
            }
            assert_eq!(kept.map(10..20).unwrap(), (10..20).collect::<Vec<_>>());
            drop(kept);
            no_children();
        }
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn a_worker_that_dies_between_two_maps() {
    let _watch = common::watchdog();
    alone("a_worker_that_dies_between_two_maps", || {
        let mut kept = pool(2).retries(1).keep(|_, n: u64| n * n).unwrap();
        for round in 0..50 {
            let pids = kept.pids();
            kill(pids[round % 2], libc::SIGKILL);
            for _ in 0..20 {
                assert_eq!(kept.map(0..10u64).unwrap(), (0..10).map(|n| n * n).collect::<Vec<_>>());
            }
        }
        drop(kept);
        // Without tries the next map that needs it fails.
        let mut kept = squares(1);
        kill(kept.pids()[0], libc::SIGKILL);
        let error = kept.map(0..10u64).unwrap_err();
        assert_eq!((error.kind(), error.exit()), (ErrorKind::Died, Some(Exit::Signal(libc::SIGKILL))));
        drop(kept);
        let mut kept = pool(2).retries(1).keep(|_, n: u64| n).unwrap();
        kept.pids().iter().for_each(|pid| kill(*pid, libc::SIGKILL));
        assert_eq!(kept.map(0..100u64).unwrap(), (0..100).collect::<Vec<_>>());
        drop(kept);
        no_children();
    });
}

#[test]
fn killed_at_random_moments() {
    let _watch = common::watchdog();
    alone("killed_at_random_moments", || {
        let before = common::descriptors();
        let (mut seed, mut replaced) = (0x9E37_79B9_7F4A_7C15, 0);
        let mut kept = pool(2).retries(1000).keep(|worker, n: u64| worker.critical(|| vec![n; 50])).unwrap();
        for round in 0..200u64 {
            let pids = kept.pids();
            let delay = Duration::from_micros(random(&mut seed) % 1500);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(delay);
                    kill(pids[round as usize % 2], libc::SIGKILL);
                });
                for _ in 0..5 {
                    let found = kept.map(round..round + 1000).unwrap();
                    assert!(found.len() == 1000 && found.iter().zip(round..).all(|(r, n)| *r == [n; 50]));
                }
            });
            replaced += usize::from(kept.pids() != pids);
        }
        println!("{replaced} of 200 were replaced in time");
        assert!(replaced > 0);
        drop(kept);
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_that_a_worker_makes() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_that_a_worker_makes", || {
        let before = common::descriptors();
        let mut hits = 0;
        // At the very first item, or later.
        for (skip, at) in [(false, 0), (true, 0), (false, 300), (true, 300)] {
            for call in CALLS {
                // In a worker once in the life of all.
                let once = Arc::new(Mutex::anonymous(0u32).unwrap());
                let work = move |worker: &shm_pool::Worker, n: u32| {
                    if n == at && std::mem::replace(&mut *once.lock().unwrap(), 1) == 0 {
                        die_at(call);
                    }
                    worker.critical(|| vec![n; 1000])
                };
                let mut kept = pool(2).retries(usize::from(!skip)).keep(work).unwrap();
                let pids = kept.pids();
                for _ in 0..3 {
                    let check = |found: &[u32], n: u32| found.len() == 1000 && found[999] == n;
                    if skip {
                        let found = kept.skip_failed().map(0..400u32).unwrap();
                        assert!(
                            found
                                .results()
                                .iter()
                                .zip(0..)
                                .all(|(r, n)| r.as_ref().is_none_or(|r| check(r, n)))
                        );
                        assert!(found.skipped().count() <= 1);
                    } else {
                        let found = kept.map(0..400u32).unwrap();
                        assert!(found.len() == 400 && found.iter().zip(0..).all(|(r, n)| check(r, n)));
                    }
                }
                hits += usize::from(kept.pids() != pids);
                drop(kept);
                no_children();
            }
        }
        println!("{hits} hits");
        assert!(hits > 5, "{hits}");
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn a_panic_of_reduce_or_progress_ends_the_workers() {
    let _watch = common::watchdog();
    alone("a_panic_of_reduce_or_progress_ends_the_workers", || {
        let mut kept = squares(2);
        let reduce = |_, _| panic!("cannot reduce");
        catch_unwind(AssertUnwindSafe(|| kept.map_reduce::<()>(0..100u64, reduce))).unwrap_err();
        no_children();
        assert_eq!(kept.map(0..2u64).unwrap_err().kind(), ErrorKind::Ended);
        let mut kept = pool(2).progress(|_, _| panic!("no progress")).keep(|_, n: u64| n).unwrap();
        catch_unwind(AssertUnwindSafe(|| kept.map(0..100u64))).unwrap_err();
        no_children();
    });
}

#[test]
fn workers_that_do_what_they_like() {
    let _watch = common::watchdog();
    alone("workers_that_do_what_they_like", || {
        let mut kept = pool(2)
            .retries(1)
            .keep(|_, n: u32| {
                if n == 3 {
                    // SAFETY: the set is initialised by `sigfillset`; closing descriptors is what is tested.
                    unsafe {
                        let mut all: libc::sigset_t = std::mem::zeroed();
                        libc::sigfillset(&mut all);
                        libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                        libc::close_range(3, u32::MAX, 0);
                    }
                }
                if n == 4 {
                    // SAFETY: the copy returns into the executor, which ends it; this is what is tested.
                    unsafe { libc::fork() };
                }
                if n == 5 {
                    return std::thread::spawn(move || n).join().unwrap();
                }
                n
            })
            .unwrap();
        for _ in 0..20 {
            match kept.map(0..6) {
                Ok(found) => assert_eq!(found, [0, 1, 2, 3, 4, 5]),
                // Whether a lost wake-up matters depends on whether the master sleeps.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Segment, "{error}");
                    return;
                }
            }
        }
    });
}

#[test]
fn another_thread_goes_on_when_the_one_that_forked_has_ended() {
    let _watch = common::watchdog();
    alone("another_thread_goes_on_when_the_one_that_forked_has_ended", || {
        let mut kept = std::thread::spawn(|| squares(2)).join().unwrap();
        for round in 0..20u64 {
            let count = round * 10;
            kept = std::thread::spawn(move || {
                assert_eq!(kept.map(0..count).unwrap().len() as u64, count);
                kept
            })
            .join()
            .unwrap();
            std::thread::sleep(Duration::from_millis(1)); // the workers are asleep then, and the thread is gone
        }
        assert!(kept.pids().iter().all(|pid| is_alive(*pid)));
        drop(kept);
        no_children();
    });
}

#[test]
fn in_a_forked_copy_the_handle_does_nothing() {
    let _watch = common::watchdog();
    alone("in_a_forked_copy_the_handle_does_nothing", || {
        let mut kept = squares(2);
        let pids = kept.pids();
        kept.map(0..10u64).unwrap();
        let kept = Cell::new(Some(kept));
        let mut copy = shm_testkit::fork_child(|| {
            let mut kept = kept.take().unwrap();
            assert_eq!(kept.map(0..10u64).unwrap_err().kind(), ErrorKind::Ended);
            drop(kept);
            0
        });
        copy.wait();
        assert_eq!(copy.panic_message(), None);
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        assert_eq!(kept.take().unwrap().map(0..3u64).unwrap(), [0, 1, 4]);
        no_children();
    });
}

#[test]
fn kept_workers_inside_of_workers() {
    let _watch = common::watchdog();
    let found = pool(2).map(0..4u64, |_, i| squares(2).map(i..i + 3).unwrap()).unwrap();
    assert_eq!(found[3], [9, 16, 25]);
    let mut outer = pool(2).keep(|_, i: u64| squares(1).map([i]).unwrap()[0]).unwrap();
    assert_eq!(outer.map(0..5u64).unwrap(), [0, 1, 4, 9, 16]);
}

#[test]
fn the_way_out_for_a_program_with_several_threads() {
    let _watch = common::watchdog();
    alone("the_way_out_for_a_program_with_several_threads", || {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let hear = heard.clone();
        let pool =
            MapReduce::new().workers(2).on_warning(move |text| hear.lock().unwrap().push(text.to_owned()));
        let mut early = pool.keep(|_, n: u64| n).unwrap();
        let warned = heard.lock().unwrap().len(); // of the threads of the test
        let (tell, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert_eq!(early.map(0..5u64).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(heard.lock().unwrap().len(), warned, "no fork, no warning");
        pool.map(0..5u64, |_, n| n).unwrap();
        drop(tell);
        other.join().unwrap().unwrap_err();
        let heard = heard.lock().unwrap();
        let text = &heard[warned];
        assert!(text.contains("MapReduce::keep") && text.contains("threads_ok"), "{text}");
        let threads: Vec<u32> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(threads.len() == 1 && threads[0] >= 2, "{text}");
    });
}
