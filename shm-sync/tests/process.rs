//! The mutex between processes: exclusion, waiting across processes, interrupted waits.
#![allow(unsafe_code, reason = "a signal handler is installed")]

mod common;

use common::{fork, rounds, shared_counters, watchdog};
use shm_sync::{ErrorKind, Mutex, Primitive};
use shm_testkit::in_threads;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[test]
fn smoke() {
    let mutex = Mutex::anonymous(0u32).unwrap();
    fork(|| *mutex.lock().unwrap() = 7).expect_success();
    assert_eq!(*mutex.lock().unwrap(), 7);
}

#[test]
fn processes_exclude_each_other() {
    let _watchdog = watchdog();
    let rounds = rounds(30_000);
    let mutex = Mutex::anonymous([0u64; 8]).unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                for _ in 0..rounds {
                    let mut guard = mutex.lock().unwrap();
                    assert!(guard.iter().all(|count| *count == guard[0]));
                    guard.iter_mut().for_each(|count| *count += 1);
                }
            })
        })
        .collect();
    for child in children {
        child.expect_success();
    }
    assert_eq!(*mutex.lock().unwrap(), [4 * rounds as u64; 8]);
}

/// Threads of several processes, holding several locks of both kinds at once.
#[test]
fn threads_of_processes_with_several_locks() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..5).map(|_| Mutex::anonymous(0u64).unwrap()).collect();
    let children: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                in_threads(2, |seed| {
                    for round in 0..3_000 {
                        // Always in one order, so that nobody waits in a circle; given up in another.
                        let low = (round + seed) % 4;
                        let mut first = locks[low].lock().unwrap();
                        let mut second = locks[low + 1].lock().unwrap();
                        *first += 1;
                        *second += 1;
                        if round % 2 == 0 {
                            drop(first);
                        }
                    }
                });
            })
        })
        .collect();
    for child in children {
        child.expect_success();
    }
    let sum: u64 = locks.iter().map(|lock| *lock.lock().unwrap()).sum();
    assert_eq!(sum, 3 * 2 * 3_000 * 2);
}

#[test]
fn a_stopped_holder_is_waited_for() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let holds = &shared_counters()[0];
    let holder = fork(|| {
        let mut guard = mutex.lock().unwrap();
        *guard = 1;
        holds.store(1, SeqCst);
        // Stopped here, with the lock.
        while holds.load(SeqCst) == 1 {
            std::thread::yield_now();
        }
        *guard = 2;
    });
    common::wait_until(|| holds.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    common::wait_stopped(&holder);
    holds.store(2, SeqCst);
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(mutex.lock_timeout(Duration::from_millis(300)).unwrap_err().kind(), ErrorKind::TimedOut);
    holder.kill(libc::SIGCONT);
    assert_eq!(*mutex.lock().unwrap(), 2);
    holder.expect_success();
}

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

static SIGNALS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Even with `SA_RESTART`, a wait that wants to know returns; one that does not goes on.
#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let steps = shared_counters();
    let guard = mutex.lock().unwrap();
    let waiter = fork(|| {
        // SAFETY: the handler only adds to an atomic; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count_signal as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        steps[0].store(1, SeqCst);
        assert_eq!(mutex.lock_interruptible(None).unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(SIGNALS.load(SeqCst) > 0);
        steps[0].store(2, SeqCst);
        let before = SIGNALS.load(SeqCst);
        *mutex.lock().unwrap() += 1;
        assert!(SIGNALS.load(SeqCst) > before);
    });
    common::wait_until(|| steps[0].load(SeqCst) == 1);
    while steps[0].load(SeqCst) == 1 {
        common::wait_asleep(&waiter);
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..5 {
        common::wait_asleep(&waiter);
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(guard);
    waiter.expect_success();
    assert_eq!(*mutex.lock().unwrap(), 1);
}
