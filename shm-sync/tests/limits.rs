//! How many locks a thread can hold, and what the kernel makes of so many.

#![allow(unsafe_code, reason = "a process that dies of a signal")]

mod common;

use common::{fork, watchdog};
use shm_sync::{ErrorKind, LockError, Mutex, Primitive};
use shm_testkit::Status;

const MOST: usize = 2000;

#[test]
fn more_locks_than_the_kernel_cleans_up_are_refused() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..MOST + 1).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
    let child = fork(|| {
        let mut guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
        for lock in [locks[MOST].lock(), locks[MOST].try_lock()] {
            let error = lock.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooManyLocks);
            assert!(error.to_string().contains("2000"), "{error}");
        }
        guards.pop();
        guards.push(locks[MOST].lock().unwrap());
        drop(guards);
        // All of them once more, given up in the order in which they were taken.
        let guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
        guards.into_iter().for_each(drop);
    });
    child.expect_success();
    locks.iter().for_each(|lock| drop(lock.try_lock().unwrap()));
}

#[test]
fn the_kernel_finds_all_locks_of_a_killed_thread() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..MOST).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
    let mut child = fork(|| {
        locks.iter().for_each(|lock| std::mem::forget(lock.lock().unwrap()));
        // SAFETY: ends this process at once.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
    for lock in &locks {
        let Err(LockError::OwnerDied(left)) = lock.try_lock() else { panic!("the kernel has missed one") };
        drop(left.recover());
    }
}
