//! `Once` between threads and processes: exactly one run, news of dead runners, the ways of waiting, fork, names, damage.
#![allow(unsafe_code, reason = "raw looks at the bytes, and a signal handler")]

mod common;

use common::{
    fork, fresh_name, rounds, shared_bytes, shared_counters, wait_asleep, wait_stopped, wait_until, watchdog,
};
use shm_sync::{ErrorKind, Once, Primitive};
use shm_testkit::in_threads;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

fn once() -> Once {
    Once::anonymous(()).unwrap()
}

fn kind(result: Result<(), shm_sync::Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A child that is in the closure when this returns, and stays there until it is killed or `counters[1]` is 1.
fn runner(once: &Once, counters: &'static [AtomicU32; 1024]) -> shm_testkit::Child {
    counters[0].store(0, SeqCst);
    let child = fork(|| {
        once.call_once_force(|_| {
            counters[0].store(1, SeqCst);
            wait_until(|| counters[1].load(SeqCst) == 1);
        })
        .unwrap();
    });
    wait_until(|| counters[0].load(SeqCst) == 1);
    child
}

#[test]
fn smoke() {
    let once = once();
    assert!(!once.is_completed());
    fork(|| once.call_once(|| ()).unwrap()).expect_success();
    assert!(once.is_completed());
    let never = || panic!("done already");
    once.call_once(never).unwrap();
    once.try_call_once(never).unwrap();
    once.call_once_force(|_| never()).unwrap();
}

#[test]
fn it_runs_once_and_everybody_sees_what_it_did() {
    let _watchdog = watchdog();
    for _ in 0..rounds(50) {
        let counters = shared_counters();
        let onces: Vec<_> = (0..200).map(|_| once()).collect();
        let children: Vec<_> = (0..3)
            .map(|seed| {
                fork(|| {
                    in_threads(2, |thread| {
                        for turn in 0..onces.len() {
                            let index = if (seed + thread) % 2 == 0 { turn } else { onces.len() - 1 - turn };
                            let run = || {
                                // Not atomic together: a second run would be seen.
                                let count = counters[index].load(Relaxed);
                                counters[index].store(count + 1, Relaxed);
                            };
                            match turn % 3 {
                                0 => onces[index].call_once(run).unwrap(),
                                1 => onces[index].call_once_timeout(FAR, run).unwrap(),
                                _ => onces[index].call_once_force(|_| run()).unwrap(),
                            }
                            assert!(onces[index].is_completed());
                            assert_eq!(counters[index].load(Relaxed), 1);
                        }
                    });
                })
            })
            .collect();
        children.into_iter().for_each(shm_testkit::Child::expect_success);
    }
}

#[test]
fn who_waits_is_told_what_became_of_the_runner() {
    let _watchdog = watchdog();
    let (once, counters) = (once(), shared_counters());
    let running = runner(&once, counters);
    assert_eq!(kind(once.try_call_once(|| ())), Some(ErrorKind::Busy));
    assert_eq!(kind(once.try_call_once_force(|_| ())), Some(ErrorKind::Busy));
    let short = Duration::from_millis(10);
    assert_eq!(kind(once.call_once_timeout(short, || ())), Some(ErrorKind::TimedOut));
    assert_eq!(kind(once.call_once_until(Instant::now() + short, || ())), Some(ErrorKind::TimedOut));
    let soon = Some(Instant::now() + short);
    assert_eq!(kind(once.call_once_interruptible(soon, || ())), Some(ErrorKind::TimedOut));
    assert_eq!(kind(once.call_once_force_timeout(short, |_| ())), Some(ErrorKind::TimedOut));
    assert_eq!(kind(once.call_once_force_until(Instant::now(), |_| ())), Some(ErrorKind::TimedOut));
    let waiters: Vec<_> =
        (0..3).map(|_| fork(|| once.call_once(|| panic!("another runs it")).unwrap())).collect();
    waiters.iter().for_each(wait_asleep);
    assert!(!once.is_completed());
    counters[1].store(1, SeqCst);
    running.expect_success();
    waiters.into_iter().for_each(shm_testkit::Child::expect_success);
    assert!(once.is_completed());
}

#[test]
fn a_dead_runner_lets_exactly_one_waiter_run() {
    let _watchdog = watchdog();
    for _ in 0..rounds(20) {
        let (once, counters) = (once(), shared_counters());
        let running = runner(&once, counters);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    once.call_once_force(|state| {
                        assert!(state.previous_died());
                        counters[2].fetch_add(1, SeqCst);
                    })
                    .unwrap();
                })
            })
            .collect();
        let refused = fork(|| {
            let error = kind(once.call_once(|| panic!("not told")));
            assert!(error.is_none_or(|kind| kind == ErrorKind::RunnerDied), "{error:?}");
        });
        waiters.iter().for_each(wait_asleep);
        wait_asleep(&refused);
        drop(running);
        waiters.into_iter().for_each(shm_testkit::Child::expect_success);
        refused.expect_success();
        assert_eq!(counters[2].load(SeqCst), 1);
        assert!(once.is_completed());
    }
}

#[test]
fn a_chain_of_deaths_and_panics_is_told_each_time() {
    let _watchdog = watchdog();
    let (once, counters) = (once(), shared_counters());
    for round in 0..6 {
        if round % 2 == 0 {
            drop(runner(&once, counters));
        } else {
            let panicking = std::panic::AssertUnwindSafe(|| {
                once.call_once_force(|state| {
                    assert!(state.previous_died());
                    std::panic::resume_unwind(Box::new(()));
                })
            });
            assert!(std::panic::catch_unwind(panicking).is_err());
        }
        assert_eq!(kind(once.call_once_timeout(FAR, || panic!("not told"))), Some(ErrorKind::RunnerDied));
        let error = once.try_call_once(|| ()).unwrap_err().to_string();
        assert!(error.contains("call_once_force"), "{error}");
        assert!(!once.is_completed());
    }
    once.call_once_force(|state| assert!(state.previous_died())).unwrap();
    once.call_once(|| panic!("done already")).unwrap();
}

#[test]
fn running_it_from_inside_is_a_deadlock_named() {
    let once = once();
    once.call_once(|| {
        for error in [once.call_once(|| ()), once.try_call_once(|| ()), once.call_once_force(|_| ())] {
            assert_eq!(kind(error), Some(ErrorKind::Deadlock));
        }
    })
    .unwrap();
    assert!(once.is_completed());
}

/// A child that is forked inside the closure, and returns from it, is not the runner.
#[test]
fn a_child_of_the_runner_does_not_end_the_run() {
    let _watchdog = watchdog();
    let once = once();
    let mut child = 0;
    let outcome = once.call_once(|| {
        // SAFETY: the child only goes on in this test's thread, with what that needs, and ends below.
        child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child > 0 {
            let mut status = -1;
            // SAFETY: waits for our own child; `status` is a valid place for the answer.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            assert!(!once.is_completed());
        }
    });
    if child == 0 {
        let told = kind(outcome) == Some(ErrorKind::Busy) && !once.is_completed();
        let busy = kind(once.try_call_once(|| ())) == Some(ErrorKind::Busy);
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(i32::from(!(told && busy))) };
    }
    outcome.unwrap();
    assert!(once.is_completed());
}

extern "C" fn nothing(_: libc::c_int) {}

#[test]
fn a_signal_ends_an_interruptible_wait() {
    let _watchdog = watchdog();
    let (once, counters) = (once(), shared_counters());
    let running = runner(&once, counters);
    let waiter = fork(|| {
        // SAFETY: the handler does nothing; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        counters[3].store(1, SeqCst);
        assert_eq!(kind(once.call_once_interruptible(None, || ())), Some(ErrorKind::Interrupted));
        assert_eq!(kind(once.call_once_force_interruptible(None, |_| ())), Some(ErrorKind::Interrupted));
        counters[3].store(2, SeqCst);
    });
    wait_until(|| counters[3].load(SeqCst) == 1);
    while counters[3].load(SeqCst) == 1 {
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    waiter.expect_success();
    counters[1].store(1, SeqCst);
    running.expect_success();
}

#[test]
fn a_stopped_runner_is_waited_for() {
    let _watchdog = watchdog();
    let (once, counters) = (once(), shared_counters());
    let running = runner(&once, counters);
    running.kill(libc::SIGSTOP);
    wait_stopped(&running);
    counters[1].store(1, SeqCst);
    let waiter = fork(|| once.call_once(|| panic!("another runs it")).unwrap());
    wait_asleep(&waiter);
    assert_eq!(kind(once.try_call_once_force(|_| ())), Some(ErrorKind::Busy));
    let beyond_the_re_checks = Duration::from_millis(300);
    assert_eq!(kind(once.call_once_force_timeout(beyond_the_re_checks, |_| ())), Some(ErrorKind::TimedOut));
    running.kill(libc::SIGCONT);
    running.expect_success();
    waiter.expect_success();
    assert!(once.is_completed());
}

#[test]
fn names_and_damage_are_checked() {
    let (name, _cleanup) = fresh_name("once-named");
    let name = name.as_str();
    let once = Once::create(name, ()).unwrap();
    Once::attach(name).unwrap().call_once(|| ()).unwrap();
    assert!(once.is_completed() && Once::create_or_attach(name, ()).unwrap().is_completed());
    assert_eq!(kind(shm_sync::Mutex::<()>::attach(name).map(drop)), Some(ErrorKind::Mismatch));

    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped; what is written there is what this test is about.
    let once = unsafe { Once::from_ptr(bytes, 4096) }.unwrap();
    // SAFETY: within the page, aligned, never unmapped.
    let (word, state, identity) = unsafe {
        (
            AtomicU32::from_ptr(bytes.cast()),
            AtomicU32::from_ptr(bytes.add(4).cast()),
            AtomicU64::from_ptr(bytes.add(8).cast()),
        )
    };
    assert_eq!(identity.load(SeqCst), 0x5348_0A01, "`SH`, kind 10, version 1");
    state.store(77, SeqCst);
    assert_eq!(kind(once.call_once_force(|_| ())), Some(ErrorKind::Corrupt));
    state.store(0, SeqCst);
    identity.store(3, SeqCst);
    assert_eq!(kind(once.call_once(|| ())), Some(ErrorKind::Corrupt));
    assert_eq!((word.load(SeqCst), state.load(SeqCst)), (0, 0), "nothing was changed");
    identity.store(0x5348_0A01, SeqCst);
    once.call_once(|| ()).unwrap();
    assert_eq!((word.load(SeqCst), state.load(SeqCst)), (0, 2));
}
