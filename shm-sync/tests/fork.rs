//! Guards and registrations that a forked child inherits.

#![allow(unsafe_code, reason = "a process that dies of a signal")]

mod common;

use common::{fork, watchdog};
use shm_sync::{ErrorKind, LockError, Mutex, Primitive};
use shm_testkit::{Status, in_threads};

#[test]
fn an_inherited_guard_neither_lends_nor_unlocks() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(1u32).unwrap();
    let mut guard = mutex.lock().unwrap();
    let child = fork(|| {
        let void = std::panic::AssertUnwindSafe(&mut guard);
        std::panic::set_hook(Box::new(|_| {}));
        let write = std::panic::catch_unwind(move || {
            let void = void;
            **void.0 = 2;
        });
        assert!(write.is_err());
        let void = std::panic::AssertUnwindSafe(&guard);
        assert!(std::panic::catch_unwind(move || **{ void }.0).is_err());
        // The parent has it, not this process: no deadlock with oneself.
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Busy);
        drop(std::mem::replace(
            &mut guard,
            Box::leak(Box::new(Mutex::anonymous(0).unwrap())).lock().unwrap(),
        ));
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    });
    child.expect_success();
    *guard += 1;
    drop(guard);
    assert_eq!(*mutex.lock().unwrap(), 2);
}

#[test]
fn an_inherited_guard_does_not_release_the_childs_own_lock() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let mut guard = Some(mutex.lock().unwrap());
    let step = &common::shared_counters()[0];
    let child = fork(|| {
        step.store(1, std::sync::atomic::Ordering::SeqCst);
        let own = mutex.lock().unwrap();
        guard = None;
        let other = mutex.clone();
        // Still held by this thread, and in its list.
        assert_eq!(other.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
        drop(own);
        *other.lock().unwrap() = 9;
    });
    common::wait_until(|| step.load(std::sync::atomic::Ordering::SeqCst) == 1);
    drop(guard);
    child.expect_success();
    assert_eq!(*mutex.lock().unwrap(), 9);
}

#[test]
fn a_childs_death_with_an_inherited_guard_is_not_the_parents() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(3u32).unwrap();
    let guard = mutex.lock().unwrap();
    drop(fork(|| std::thread::sleep(std::time::Duration::from_secs(1000))));
    fork(|| ()).expect_success();
    drop(guard);
    assert_eq!(*mutex.lock().unwrap(), 3, "no news: the parent gave it up itself");
}

/// Children of children of a process with several locking threads, each holding something at the fork.
#[test]
fn grandchildren_register_anew() {
    let _watchdog = watchdog();
    let (outer, inner) = (Mutex::anonymous(0u32).unwrap(), Mutex::anonymous(0u32).unwrap());
    let held = outer.lock().unwrap();
    let mut child = fork(|| {
        let held = inner.lock().unwrap();
        let grandchild = fork(|| {
            for lock in [&outer, &inner] {
                assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
            }
            let own = Mutex::anonymous(0u32).unwrap();
            in_threads(4, |_| *own.lock().unwrap() += 1);
            assert_eq!(*own.lock().unwrap(), 4);
        });
        grandchild.expect_success();
        // Killed with its lock, by its own hand.
        std::mem::forget(held);
        // SAFETY: ends this process at once.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
    drop(held);
    assert_eq!(*outer.lock().unwrap(), 0);
    let Err(LockError::OwnerDied(left)) = inner.lock() else { panic!("the child died with it") };
    drop(left.recover());
}
