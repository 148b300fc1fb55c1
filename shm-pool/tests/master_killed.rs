//! When the master dies its workers die, whatever they are doing; nobody is left.
#![allow(unsafe_code, reason = "kills processes")]

mod common;

use std::time::Duration;

use common::{alone, pool};
use shm_core::{Anonymous, SharedArray};
use shm_testkit::{Coverage, KillTest, fork_child, kill_zone};

// Each in a process of its own: a fork beside other tests may copy the lock of standard output while one of them prints, and a map waits for it.

/// Starts a master that runs `work` with two workers, which tell their pids; kills it when both have; waits until they are gone.
fn kill_master(work: fn(&SharedArray<u32, ndarray::Ix1>)) {
    let _watch = common::watchdog();
    let pids = SharedArray::<u32, _>::zeros(Anonymous, 2).unwrap();
    let mut master = fork_child(|| {
        work(&pids);
        0
    });
    while pids.get(0) == 0 || pids.get(1) == 0 {
        assert!(master.try_wait().is_none(), "the master has ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    let workers: Vec<u32> = (0..2).map(|i| pids.get(i)).collect();
    master.kill(libc::SIGKILL);
    master.wait();
    for worker in workers {
        while is_alive(worker) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether a process lives; an orphan that has ended but was not collected by init is dead.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

#[test]
fn while_workers_work() {
    alone("while_workers_work", || {
        kill_master(|pids| {
            let _ = pool(2).map(0..2, |worker, _| {
                pids.set(worker.rank(), std::process::id());
                while std::hint::black_box(true) {
                    std::hint::spin_loop();
                }
            });
        });
    });
}

#[test]
fn while_workers_sleep_in_the_critical_section() {
    alone("while_workers_sleep_in_the_critical_section", || {
        kill_master(|pids| {
            let _ = pool(2).map(0..2, |worker, _| {
                pids.set(worker.rank(), std::process::id());
                worker.critical(|| std::thread::sleep(Duration::MAX));
            });
        });
    });
}

#[test]
fn while_a_crew_waits() {
    alone("while_a_crew_waits", || {
        kill_master(|pids| {
            let mut array = SharedArray::<u8, _>::zeros(Anonymous, 1000).unwrap();
            let mut exclusive = array.exclusive().unwrap();
            let mut crew = pool(2)
                .crew(&mut exclusive, 1, |worker, _, _: &mut [u8]| {
                    pids.set(worker.rank(), std::process::id());
                    std::thread::sleep(Duration::from_micros(100));
                })
                .unwrap();
            crew.run().unwrap();
            loop {
                std::thread::park();
            }
        });
    });
}

#[test]
fn at_every_system_call_of_a_map() {
    let _watch = common::watchdog();
    alone("at_every_system_call_of_a_map", || {
        let report = KillTest::new("map")
            .prepare(|| SharedArray::<u32, _>::zeros(Anonymous, 2).unwrap())
            .victim(|pids| {
                kill_zone(|| {
                    let found = pool(2).map(0..40u32, |worker, i| {
                        pids.set(worker.rank(), std::process::id());
                        vec![i; 500]
                    });
                    assert_eq!(found.map_err(|e| e.to_string()).map(|all| all.len()), Ok(40));
                })
            })
            .check(|pids, _point| {
                for worker in (0..2).map(|i| pids.get(i)).filter(|pid| *pid != 0) {
                    while is_alive(worker) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
            .run(Coverage::from_env());
        println!("{report}");
    });
}

#[test]
fn at_every_system_call_of_a_map_that_replaces_a_worker() {
    let _watch = common::watchdog();
    alone("at_every_system_call_of_a_map_that_replaces_a_worker", || {
        let report = KillTest::new("map with a death")
            .prepare(|| SharedArray::<u32, _>::zeros(Anonymous, 10).unwrap())
            .victim(|pids| {
                kill_zone(|| {
                    let found = pool(2).retries(1).map_plain(0..40u32, |worker, i| {
                        // Where the pid of this one is to be found, and of the one before.
                        let dies = i == 20 && pids.get(9) == 0;
                        pids.set(
                            if pids.get(9) == 0 { worker.rank() } else { 2 + worker.rank() },
                            std::process::id(),
                        );
                        if dies {
                            pids.set(9, 1);
                            common::kill_self(libc::SIGKILL);
                        }
                        i
                    });
                    assert_eq!(found.map_err(|e| e.to_string()).map(|all| all.len()), Ok(40));
                })
            })
            .check(|pids, _point| {
                for worker in (0..4).map(|i| pids.get(i)).filter(|pid| *pid != 0) {
                    while is_alive(worker) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
            .run(Coverage::from_env());
        println!("{report}");
    });
}

#[test]
fn when_the_thread_that_has_a_crew_ends_its_workers_do_too() {
    let _watch = common::watchdog();
    let pids = std::thread::spawn(|| {
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 1000).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let mut crew = pool(2).crew(&mut exclusive, 1, |_, _, _: &mut [u8]| std::process::id()).unwrap();
        let pids = crew.run().unwrap();
        std::mem::forget(crew);
        pids
    });
    for pid in pids.join().unwrap() {
        while is_alive(pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
