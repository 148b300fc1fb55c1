//! Workers that are killed, abort or leave: noticed at once, named, and nothing is left behind.

#![allow(unsafe_code, reason = "kills, forks and sets limits")]

mod common;

use std::time::Duration;

use common::{CALLS, alone, die_at, kill, kill_self, no_children, pool, random};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit};

#[test]
fn every_way_to_leave() {
    let _watch = common::watchdog();
    alone("every_way_to_leave", || {
        let before = common::descriptors();
        let ways: [(fn(), Exit); 7] = [
            (|| kill_self(libc::SIGKILL), Exit::Signal(libc::SIGKILL)),
            (|| kill_self(libc::SIGTERM), Exit::Signal(libc::SIGTERM)),
            (|| std::process::abort(), Exit::Signal(libc::SIGABRT)),
            (|| std::process::exit(3), Exit::Code(3)),
            (|| std::process::exit(0), Exit::Code(0)),
            (|| std::process::exit(101), Exit::Code(101)),
            // SAFETY: `_exit` has no preconditions.
            (|| unsafe { libc::_exit(0) }, Exit::Code(0)),
        ];
        for (leave, exit) in ways {
            let error = pool(2)
                .map(0..64, |_, i| {
                    if i == 9 {
                        leave();
                    }
                    i
                })
                .unwrap_err();
            assert_eq!((error.kind(), error.exit(), error.item()), (ErrorKind::Died, Some(exit), Some(9)));
            assert!(error.unfinished().iter().any(|range| range.contains(&9)), "{error}");
            let text = error.to_string();
            assert!(text.contains(&exit.to_string()) && text.contains("while it worked on item 9"), "{text}");
            for (index, result) in error.finished() {
                assert_eq!(index, result);
                assert!(!error.unfinished().iter().any(|range| range.contains(index)));
            }
            no_children();
        }
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn messages_count_from_the_number_that_was_said() {
    let _watch = common::watchdog();
    let error = pool(1)
        .first_item(100)
        .map(0..20, |_, i| {
            if i == 7 {
                kill_self(libc::SIGKILL)
            }
        })
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("while it worked on item 107; it leaves unfinished: 107"), "{text}");
    assert_eq!(error.item(), Some(7));
    assert!(error.unfinished().iter().any(|range| range.contains(&7)), "{error}");
}

#[test]
fn a_death_is_noticed_while_the_others_work_on() {
    let _watch = common::watchdog();
    alone("a_death_is_noticed_while_the_others_work_on", || {
        // The other worker would never end.
        let error = pool(2).map(0..2, |_, i| {
            if i == 0 { kill_self(libc::SIGKILL) } else { std::thread::sleep(Duration::MAX) }
        });
        assert_eq!(error.unwrap_err().item(), Some(0));
        no_children();
    });
}

#[test]
fn killed_at_random_points() {
    let _watch = common::watchdog();
    alone("killed_at_random_points", || {
        let before = common::descriptors();
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut died = 0;
        for _ in 0..200 {
            let delay = random(&mut seed) % 700;
            let pids = SharedArray::<u32, _>::zeros(Anonymous, 2).unwrap();
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(delay));
                    if let pid @ 1.. = pids.get(0) {
                        kill(pid, libc::SIGKILL);
                    }
                });
                pool(2).map(0..20_000u64, |worker, i| {
                    if pids.get(worker.rank()) == 0 {
                        pids.set(worker.rank(), std::process::id());
                    }
                    worker.critical(|| i)
                })
            });
            match outcome {
                Ok(all) => assert!(all.iter().zip(0..).all(|(r, i)| *r == i)),
                Err(error) => {
                    died += 1;
                    assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGKILL)), "{error}");
                    assert!(error.finished().iter().all(|(i, r)| *i as u64 == *r));
                    for range in error.unfinished() {
                        assert!(!error.finished().iter().any(|(i, _)| range.contains(i)));
                    }
                }
            }
            no_children();
        }
        println!("{died} of 200 were hit");
        assert!(died > 0);
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_that_a_worker_makes() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_that_a_worker_makes", || {
        let before = common::descriptors();
        let mut hits = [0; 12];
        for (hit, call) in hits.iter_mut().zip(CALLS) {
            // From the first item on, when nothing was ever sent, or from a later one on.
            for from in [0, 1, 57, 399] {
                for workers in [1, 2] {
                    let outcome = pool(workers).map(0..400u32, |worker, i| {
                        if i == from {
                            die_at(call);
                        }
                        worker.critical(|| vec![i; 1000])
                    });
                    match outcome {
                        Ok(all) => assert!(all.iter().zip(0..).all(|(r, i)| r.len() == 1000 && r[999] == i)),
                        Err(error) => {
                            *hit += 1;
                            assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGSYS)), "{error}");
                            let finished = error.finished();
                            assert!(finished.iter().all(|(i, r)| r.len() == 1000 && r[0] as usize == *i));
                            assert!(
                                !finished
                                    .iter()
                                    .any(|(i, _)| error.unfinished().iter().any(|u| u.contains(i)))
                            );
                        }
                    }
                    no_children();
                }
            }
        }
        println!("hits: {hits:?}");
        assert!(hits[0] > 0 && hits[2] > 0 && hits[5] > 0 && hits[11] == 8, "{hits:?}");
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn killed_in_the_critical_section() {
    let _watch = common::watchdog();
    alone("killed_in_the_critical_section", || {
        let count = SharedArray::<u64, _>::zeros(Anonymous, ()).unwrap();
        let error = pool(3)
            .map(0..3000, |worker, i| {
                worker.critical(|| {
                    if i == 100 {
                        kill_self(libc::SIGKILL);
                    }
                    count.set((), count.get(()) + 1);
                });
            })
            .unwrap_err();
        assert_eq!((error.kind(), error.item()), (ErrorKind::Died, Some(100)));
        assert!(count.get(()) >= error.finished().len() as u64);
        no_children();
    });
}

#[test]
fn nobody_is_killed_inside_the_critical_section_for_anothers_failure() {
    let _watch = common::watchdog();
    alone("nobody_is_killed_inside_the_critical_section_for_anothers_failure", || {
        let whole = SharedArray::<u64, _>::zeros(Anonymous, 2).unwrap();
        let error = pool(2)
            .map(0..2, |worker, i| {
                if i == 0 {
                    while whole.get(0) == 0 {
                        std::thread::yield_now();
                    }
                    kill_self(libc::SIGKILL);
                }
                worker.critical(|| {
                    whole.set(0, 1);
                    std::thread::sleep(Duration::from_millis(300)); // longer than the grace for items
                    whole.set(1, 1);
                });
                std::thread::sleep(Duration::MAX);
            })
            .unwrap_err();
        assert_eq!(error.item(), Some(0));
        assert_eq!((whole.get(0), whole.get(1)), (1, 1));
        no_children();
    });
}

#[test]
fn a_worker_that_blocks_signals_and_closes_descriptors() {
    let _watch = common::watchdog();
    alone("a_worker_that_blocks_signals_and_closes_descriptors", || {
        let outcome = pool(2).map(0..100u32, |_, i| {
            if i == 3 {
                // SAFETY: the set is initialised by `sigfillset`; closing descriptors is what is tested.
                unsafe {
                    let mut all: libc::sigset_t = std::mem::zeroed();
                    libc::sigfillset(&mut all);
                    libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                    libc::close_range(3, u32::MAX, 0);
                }
                std::thread::sleep(Duration::from_millis(20)); // the master sleeps now
            }
            i
        });
        // Whether the lost wake-up matters depends on whether the master sleeps; what may not happen is that it sleeps for ever.
        match outcome {
            Ok(all) => assert_eq!(all, (0..100).collect::<Vec<_>>()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Segment, "{error}"),
        }
        no_children();
    });
}

#[test]
fn a_worker_that_forks() {
    let _watch = common::watchdog();
    alone("a_worker_that_forks", || {
        let found = pool(2).map(0..100u32, |_, i| {
            if i % 10 == 0 {
                // SAFETY: the copy returns into the executor, which ends it; this is what is tested.
                unsafe { libc::fork() };
            }
            i
        });
        assert_eq!(found.unwrap(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_program_that_reaps_our_children() {
    let _watch = common::watchdog();
    alone("a_program_that_reaps_our_children", || {
        // SAFETY: the default action and SIG_IGN are valid for SIGCHLD; nothing else in this process waits for children.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        assert_eq!(pool(2).map(0..50, |_, i| i).unwrap(), (0..50).collect::<Vec<_>>());
        let error = pool(2).map(0..50, |_, i| if i == 7 { kill_self(libc::SIGKILL) } else { i }).unwrap_err();
        assert_eq!(
            (error.kind(), error.exit(), error.item()),
            (ErrorKind::Died, Some(Exit::Unknown), Some(7))
        );
    });
}

#[test]
fn many_workers() {
    let _watch = common::watchdog();
    alone("many_workers", || {
        let before = common::descriptors();
        let found = pool(300).map(0..1000u32, |worker, i| (i, worker.workers())).unwrap();
        assert!(found.iter().zip(0..).all(|(found, i)| *found == (i, 300)));
        no_children();
        let error = pool(usize::MAX).map(0..2000, |_, i| i).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork);
        assert!(error.to_string().contains("2000 workers were asked for"), "{error}");
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn more_workers_than_the_system_allows() {
    let _watch = common::watchdog();
    alone("more_workers_than_the_system_allows", || {
        let before = common::descriptors();
        let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
        // SAFETY: the pointer is valid for the call; this process runs nothing else.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let error = pool(100).map(0..1000, |_, i| i).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fork);
        let text = error.to_string();
        assert!(text.contains("100 workers were asked for") && text.contains("is 40"), "{text}");
        no_children();
        assert_eq!(common::descriptors(), before);
        assert_eq!(pool(5).map(0..10, |_, i| i).unwrap(), (0..10).collect::<Vec<_>>());
    });
}
