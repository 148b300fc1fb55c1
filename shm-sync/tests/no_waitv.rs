//! Where `futex_waitv` is missing or forbidden: waits last in slices, and deaths are noticed all the same.
#![allow(unsafe_code, reason = "installs a seccomp filter")]

mod common;

use common::{fork, shared_counters, wait_until, watchdog};
use shm_sync::{Barrier, ErrorKind, KernelSupport, Primitive, ProcessLockError, ProcessMutex};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Makes `futex_waitv` fail with this error from here on, in this process.
fn forbid_waitv(errno: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The number of the call is the first field of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_futex_waitv as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live until the call has copied them; the filter ends in a return on every path.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        // It works: nothing is waited for.
        assert_eq!(libc::syscall(libc::SYS_futex_waitv, 0, 0, 0, 0, 0), -1);
    }
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
