//! Where there are no pidfds (Linux before 5.3, valgrind, some sandboxes): `/proc` tells who lives, and deaths are noticed all the same.

mod common;

use common::{fork, shared_counters, wait_until, watchdog};
use shm_core::{Identity, Liveness};
use shm_sync::{Primitive, ProcessLockError, ProcessMutex};
use shm_testkit::{Verdict, forbid};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn forbid_pidfds(errno: i32) {
    forbid(libc::SYS_pidfd_open, Verdict::Fails(errno));
}

#[test]
fn the_living_and_the_dead_are_told_apart() {
    let _watchdog = watchdog();
    for errno in [libc::ENOSYS, libc::EPERM] {
        fork(|| {
            forbid_pidfds(errno);
            let me = Identity::current();
            assert_eq!(me.liveness(), Liveness::Alive);
            assert_eq!(Identity { start_time: me.start_time + 1, ..me }.liveness(), Liveness::Dead);
            let (at, nobody) = (shared_counters(), Identity { pid: 1 << 22, ..me });
            assert_eq!(nobody.liveness(), Liveness::Dead);
            let child = fork(|| {
                // Its start time, from which alone a stranger would know it again.
                let start = Identity::current().start_time;
                at[1].store((start >> 32) as u32, SeqCst);
                at[2].store(start as u32, SeqCst);
                at[0].store(1, SeqCst);
            });
            wait_until(|| at[0].load(SeqCst) == 1);
            let start_time = u64::from(at[1].load(SeqCst)) << 32 | u64::from(at[2].load(SeqCst));
            let other = Identity { pid: child.pid().cast_unsigned(), start_time, ..me };
            // A zombie, and nobody at all after that.
            wait_until(|| other.liveness() == Liveness::Dead);
            child.expect_success();
            assert_eq!(other.liveness(), Liveness::Dead);
        })
        .expect_success();
    }
}

#[test]
fn a_holder_that_dies_is_noticed() {
    let _watchdog = watchdog();
    for sleeps in [false, true] {
        let lock = ProcessMutex::anonymous(()).unwrap();
        let at = shared_counters();
        let holder = fork(|| {
            // By a thread that ends: from then on the process itself has to be watched.
            shm_testkit::in_threads(1, |_| lock.lock().unwrap().keep());
            at[0].store(1, SeqCst);
            wait_until(|| false);
        });
        wait_until(|| at[0].load(SeqCst) == 1);
        let waiter = fork(|| {
            forbid_pidfds(libc::ENOSYS);
            at[1].store(1, SeqCst);
            let Err(ProcessLockError::OwnerDied(guard)) = lock.lock() else { panic!("not told") };
            drop(guard.recover());
        });
        wait_until(|| at[1].load(SeqCst) == 1);
        if sleeps {
            // It looks every 50 ms, and so is never quite asleep.
            std::thread::sleep(Duration::from_millis(120));
        }
        drop(holder);
        waiter.expect_success();
    }
}
