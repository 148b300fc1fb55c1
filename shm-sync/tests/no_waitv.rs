//! Where `futex_waitv` is missing or forbidden: waits last in slices, and deaths are noticed all the same.
#![allow(unsafe_code, reason = "asks for system calls by number")]

mod common;

use common::{fork, shared_counters, wait_until, watchdog};
use shm_sync::{Barrier, ErrorKind, KernelSupport, Primitive, ProcessLockError, ProcessMutex};
use shm_testkit::{Verdict, forbid};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Makes `futex_waitv` fail with this error from here on, in this process.
fn forbid_waitv(errno: i32) {
    forbid(libc::SYS_futex_waitv, Verdict::Fails(errno));
    // SAFETY: waits for nothing.
    assert_eq!(unsafe { libc::syscall(libc::SYS_futex_waitv, 0, 0, 0, 0, 0) }, -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(errno));
}

#[test]
fn deaths_and_releases_are_noticed() {
    let _watchdog = watchdog();
    for errno in [libc::ENOSYS, libc::EPERM] {
        for dies in [true, false] {
            let lock = ProcessMutex::anonymous(()).unwrap();
            let barrier = Barrier::anonymous(2).unwrap();
            let at = shared_counters();
            let other = fork(|| {
                lock.lock().unwrap().keep();
                let party = barrier.join().unwrap();
                at[0].store(1, SeqCst);
                wait_until(|| at[0].load(SeqCst) == 2);
                lock.release().unwrap();
                party.wait().unwrap();
            });
            wait_until(|| at[0].load(SeqCst) == 1);
            let waiters = [
                fork(|| {
                    forbid_waitv(errno);
                    let short = lock.lock_timeout(Duration::from_millis(80)).unwrap_err();
                    assert_eq!(short.kind(), ErrorKind::TimedOut);
                    at[1].fetch_add(1, SeqCst);
                    match lock.lock() {
                        Ok(guard) => drop((guard, assert!(!dies))),
                        Err(ProcessLockError::OwnerDied(guard)) => drop((guard.recover(), assert!(dies))),
                        Err(error) => panic!("{error}"),
                    }
                }),
                fork(|| {
                    forbid_waitv(errno);
                    let short = barrier.wait_timeout(Duration::from_millis(80)).unwrap_err();
                    assert_eq!(short.kind(), ErrorKind::TimedOut);
                    at[1].fetch_add(1, SeqCst);
                    match barrier.wait() {
                        Ok(_) => assert!(!dies),
                        Err(error) => assert!(dies && error.kind() == ErrorKind::Broken, "{error}"),
                    }
                }),
            ];
            wait_until(|| at[1].load(SeqCst) == 2);
            waiters.iter().for_each(common::wait_asleep);
            if dies {
                drop(other);
            } else {
                at[0].store(2, SeqCst);
                other.expect_success();
            }
            waiters.into_iter().for_each(shm_testkit::Child::expect_success);
        }
    }
}

#[test]
fn what_is_missing_is_said() {
    // SAFETY: waits for nothing, which is an invalid argument wherever there is the call.
    let refused = unsafe { libc::syscall(libc::SYS_futex_waitv, 0, 0, 0, 0, 0) };
    assert_eq!(refused, -1);
    let is_there = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
    let support = KernelSupport::detect();
    assert!(support.robust_list);
    assert_eq!((support.futex_waitv, support.death_delay().is_zero()), (is_there, is_there));
    for errno in [libc::ENOSYS, libc::EPERM] {
        fork(|| {
            forbid_waitv(errno);
            let support = KernelSupport::detect();
            assert!(support.robust_list && !support.futex_waitv);
            assert_eq!(support.death_delay(), Duration::from_millis(50));
            assert!(support.to_string().contains("every 50 ms"), "{support}");
        })
        .expect_success();
    }
}
