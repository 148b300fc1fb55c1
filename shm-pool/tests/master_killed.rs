//! When the master dies its workers die, whatever they are doing; nobody is left.
#![allow(unsafe_code, reason = "kills processes")]

mod common;

use std::time::Duration;

use common::{alone, is_alive, pool, random};
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
    master.kill(libc::SIGKILL);
    master.wait();
    wait_for_deaths(&pids);
}

/// Returns when none of those lives that have noted their pids.
fn wait_for_deaths(pids: &SharedArray<u32, ndarray::Ix1>) {
    for pid in pids.to_ndarray().into_iter().filter(|pid| *pid != 0) {
        while is_alive(pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
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

/// Rank 0 stays away, so that rank 1 waits for it, at each place of a region where it can.
#[test]
fn while_workers_of_a_region_wait_for_each_other() {
    const MEET: [fn(&shm_pool::Region); 4] = [
        |region| region.barrier(),
        |region| region.for_each(0..10, shm_pool::Schedule::Static, |_| region.critical(stay)),
        |region| region.for_each_ordered(0..10, shm_pool::Schedule::Dynamic(1), |_| region.ordered(stay)),
        |region| _ = region.reduce(region.rank(), |a, b| a + b),
    ];
    fn stay() {
        std::thread::sleep(Duration::MAX);
    }
    fn region<const MEETING: usize>(pids: &SharedArray<u32, ndarray::Ix1>) {
        let _ = pool(2).parallel(|region| {
            pids.set(region.rank(), std::process::id());
            if region.rank() == 0 {
                stay();
            }
            MEET[MEETING](region);
        });
    }
    alone("while_workers_of_a_region_wait_for_each_other", || {
        [region::<0>, region::<1>, region::<2>, region::<3>].into_iter().for_each(kill_master);
    });
}

#[test]
fn while_kept_workers_of_another_thread_wait() {
    alone("while_kept_workers_of_another_thread_wait", || {
        kill_master(|pids| {
            let note = pids.clone();
            let keep = move || {
                let work =
                    move |worker: &shm_pool::Worker, _: u8| note.set(worker.rank(), std::process::id());
                let mut kept = pool(2).schedule(shm_pool::Schedule::Static).keep(work).unwrap();
                kept.map([1, 2]).unwrap();
                kept
            };
            let _kept = std::thread::spawn(keep).join().unwrap();
            loop {
                std::thread::park();
            }
        });
    });
}

#[test]
fn at_every_system_call_of_kept_workers_master() {
    let _watch = common::watchdog();
    alone("at_every_system_call_of_kept_workers_master", || {
        let report = KillTest::new("keep")
            .prepare(|| SharedArray::<u32, _>::zeros(Anonymous, 2).unwrap())
            .victim(|pids| {
                kill_zone(|| {
                    let note = pids.clone();
                    let work = move |worker: &shm_pool::Worker, n: u64| {
                        note.set(worker.rank(), std::process::id());
                        vec![n; 500]
                    };
                    let mut kept = pool(2).keep(work).unwrap();
                    for count in [10, 100] {
                        assert_eq!(kept.map(0..count).map(|all| all.len() as u64).unwrap(), count);
                    }
                })
            })
            .check(|pids, _point| wait_for_deaths(&pids))
            .run(Coverage::from_env());
        println!("{report}");
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
            .check(|pids, _point| wait_for_deaths(&pids))
            .run(Coverage::from_env());
        println!("{report}");
    });
}

#[test]
fn at_every_system_call_of_a_map_that_replaces_a_worker() {
    let _watch = common::watchdog();
    alone("at_every_system_call_of_a_map_that_replaces_a_worker", || {
        let report = KillTest::new("map with a death")
            .prepare(|| [4, 1].map(|len| SharedArray::<u32, _>::zeros(Anonymous, len).unwrap()))
            .victim(|[pids, has_died]| {
                kill_zone(|| {
                    let found = pool(2).retries(1).map_plain(0..40u32, |worker, i| {
                        // Apart from those that there were before the death.
                        let new = 2 * has_died.get(0) as usize;
                        pids.set(new + worker.rank(), std::process::id());
                        if i == 20 && new == 0 {
                            has_died.set(0, 1);
                            common::kill_self(libc::SIGKILL);
                        }
                        i
                    });
                    assert_eq!(found.map_err(|e| e.to_string()).map(|all| all.len()), Ok(40));
                })
            })
            .check(|[pids, _], _point| wait_for_deaths(&pids))
            .run(Coverage::from_env());
        println!("{report}");
    });
}

/// What a thread that has ended left to the master: it is the process that they die with.
#[test]
fn while_a_child_that_another_thread_forked_does_what_it_likes() {
    alone("while_a_child_that_another_thread_forked_does_what_it_likes", || {
        kill_master(|pids| {
            let fork = |rank: usize| {
                let pids = pids.clone();
                std::thread::spawn(move || {
                    let deaf = move || {
                        // SAFETY: the set is initialised by `sigfillset`; closing descriptors is what is tested.
                        unsafe {
                            let mut all: libc::sigset_t = std::mem::zeroed();
                            libc::sigfillset(&mut all);
                            libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                            libc::close_range(3, u32::MAX, 0);
                        }
                        pids.set(rank, std::process::id());
                        while std::hint::black_box(true) {
                            std::hint::spin_loop();
                        }
                    };
                    pool(1).background(deaf).unwrap()
                })
            };
            let _children = [fork(0), fork(1)].map(|thread| thread.join().unwrap());
            loop {
                std::thread::park();
            }
        });
    });
}

#[test]
fn at_every_system_call_of_a_background_call() {
    let _watch = common::watchdog();
    alone("at_every_system_call_of_a_background_call", || {
        let report = KillTest::new("background")
            .prepare(|| SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap())
            .victim(|pids| {
                kill_zone(|| {
                    let note = pids.clone();
                    let child = pool(1).background(move || {
                        note.set(0, std::process::id());
                        std::thread::sleep(Duration::from_millis(2));
                        vec![1; 500]
                    });
                    let mut child = child.unwrap();
                    assert!(!child.is_finished() || child.pid().is_some());
                    assert_eq!(child.wait().map(|all| all.len()).unwrap(), 500);
                })
            })
            .check(|pids, _point| wait_for_deaths(&pids))
            .run(Coverage::from_env());
        println!("{report}");
    });
}

/// Whether any process of a process group lives.
fn group_lives(group: i32) -> bool {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let stats = processes.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stats.filter_map(|stat| Some(stat.rsplit_once(") ")?.1.to_owned())).any(|stat| {
        let mut fields = stat.split(' ');
        let (state, _parent, of) = (fields.next(), fields.next(), fields.next());
        !matches!(state, Some("Z" | "X")) && of.and_then(|of| of.parse().ok()) == Some(group)
    })
}

#[test]
fn at_random_moments_while_another_thread_forks() {
    let _watch = common::watchdog();
    alone("at_random_moments_while_another_thread_forks", || {
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        let mut forked = 0;
        for death in 0..200 {
            let rounds = SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap();
            let mut master = fork_child(|| {
                // SAFETY: no memory is involved; the group is this process's own, and all that it forks are in it.
                assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
                let fork = || {
                    for round in 1.. {
                        let child = pool(1).background(|| std::thread::sleep(Duration::MAX)).unwrap();
                        rounds.set(0, round);
                        drop(child);
                    }
                };
                std::thread::scope(|scope| scope.spawn(fork).join().unwrap());
                0
            });
            // Every other one later: on a busy machine the first fork takes its time.
            while death % 2 == 1 && rounds.get(0) == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
            std::thread::sleep(Duration::from_micros(random(&mut seed) % 5000));
            master.kill(libc::SIGKILL);
            // As long as nobody has waited for it, its number is no other group's.
            while group_lives(master.pid()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            master.wait();
            forked += rounds.get(0);
        }
        println!("{forked} children");
        assert!(forked >= 100);
    });
}

#[test]
fn a_crew_outlives_the_thread_that_forked_it() {
    let _watch = common::watchdog();
    alone("a_crew_outlives_the_thread_that_forked_it", || {
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 1000).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let lent = &mut exclusive;
        let mut crew = std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let mut crew = pool(2).crew(lent, 1, |_, _, _: &mut [u8]| std::process::id()).unwrap();
                crew.run().unwrap();
                crew
            });
            thread.join().unwrap()
        });
        std::thread::sleep(Duration::from_millis(1)); // the thread is gone for the kernel too
        let pids = crew.run().unwrap();
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        drop(crew);
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
    });
}
