//! The recursive mutex between threads and processes: exclusion, depth, orders, panics, poison, fork, death, damage.
#![allow(unsafe_code, reason = "raw looks at the lock's bytes, and a signal handler")]

mod common;

use common::{
    fork, fresh_name, rounds, shared_bytes, shared_counters, wait_asleep, wait_stopped, wait_until, watchdog,
};
use shm_sync::{Error, ErrorKind, LockError, Primitive, RecursiveMutex};
use shm_testkit::in_threads;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

fn kind<T>(result: Result<T, impl Into<Error>>) -> Option<ErrorKind> {
    result.err().map(|error| error.into().kind())
}

#[test]
fn smoke() {
    let mutex = RecursiveMutex::anonymous([1u64, 2]).unwrap();
    let outer = mutex.lock().unwrap();
    let inner = mutex.try_lock().unwrap();
    inner.set([5, 6]);
    assert_eq!(outer.get(), [5, 6]);
    fork(|| assert_eq!(kind(mutex.try_lock()), Some(ErrorKind::Busy))).expect_success();
    drop((outer, inner));
    fork(|| mutex.lock().unwrap().set([7, 8])).expect_success();
    assert_eq!(mutex.lock().unwrap().get(), [7, 8]);
}

#[test]
fn processes_and_threads_exclude_each_other() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    let mutex = RecursiveMutex::anonymous([0u64; 4]).unwrap();
    let children: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                in_threads(2, |thread| {
                    for round in 0..rounds {
                        let guards: Vec<_> =
                            (0..1 + (round + thread) % 3).map(|_| mutex.lock().unwrap()).collect();
                        let value = guards[0].get();
                        assert!(value.iter().all(|count| *count == value[0]));
                        for cell in guards[guards.len() - 1].as_array_of_cells() {
                            cell.set(cell.get() + 1);
                        }
                    }
                });
            })
        })
        .collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(mutex.lock().unwrap().get(), [4 * rounds as u64; 4]);
}

#[test]
fn guards_go_in_any_order_and_the_last_one_opens() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(0u32).unwrap();
    let is_free = || std::thread::scope(|scope| scope.spawn(|| mutex.try_lock().is_ok()).join().unwrap());
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let far = Instant::now() + FAR;
        let mut guards = [
            mutex.lock(),
            mutex.lock_timeout(Duration::ZERO),
            mutex.lock_until(far),
            mutex.lock_interruptible(None),
        ]
        .map(|guard| Some(guard.unwrap()));
        assert_eq!(kind(mutex.repair()), Some(ErrorKind::Deadlock));
        for index in order {
            assert!(!is_free());
            guards[index] = None;
        }
        assert!(is_free());
    }
}

#[test]
fn waiting_ends_with_the_last_guard_the_deadline_or_a_signal() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(0u32).unwrap();
    let (outer, inner) = (mutex.lock().unwrap(), mutex.lock().unwrap());
    let soon = || Instant::now() + Duration::from_millis(10);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(kind(mutex.lock_timeout(Duration::from_millis(10))), Some(ErrorKind::TimedOut));
            assert_eq!(kind(mutex.lock_until(soon())), Some(ErrorKind::TimedOut));
            assert_eq!(kind(mutex.lock_interruptible(Some(soon()))), Some(ErrorKind::TimedOut));
        });
    });
    let told = &shared_counters()[0];
    let waiter = fork(|| {
        // SAFETY: the handler does nothing; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        told.store(1, SeqCst);
        assert_eq!(kind(mutex.lock_interruptible(None)), Some(ErrorKind::Interrupted));
        told.store(2, SeqCst);
        mutex.lock().unwrap().set(1);
    });
    wait_until(|| told.load(SeqCst) == 1);
    while told.load(SeqCst) == 1 {
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    wait_asleep(&waiter);
    drop(outer);
    assert_eq!(inner.get(), 0);
    drop(inner);
    waiter.expect_success();
    assert_eq!(mutex.lock().unwrap().get(), 1);
}

extern "C" fn nothing(_: libc::c_int) {}

/// A panic that drops an inner guard is caught; the news comes when the outer one is gone. A panic that drops none leaves none.
#[test]
fn a_panic_is_news_when_the_last_guard_is_gone() {
    let mutex = RecursiveMutex::anonymous(0u32).unwrap();
    let panicking = |locks: bool| {
        let run = std::panic::AssertUnwindSafe(|| {
            let _guard = locks.then(|| mutex.lock().unwrap());
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(std::panic::catch_unwind(run).is_err());
    };
    for locks in [false, true] {
        let outer = mutex.lock().unwrap();
        panicking(locks);
        assert_eq!(outer.get() + mutex.lock().unwrap().get(), 0);
        drop(outer);
        assert_eq!(kind(mutex.try_lock().map(drop).or_else(|error| error.recover().map(drop))), None);
    }
    panicking(true);
    let Err(LockError::OwnerDied(left)) = mutex.lock() else { panic!("not told") };
    // While it is mended, the thread may lock on.
    mutex.lock().unwrap().set(3);
    assert_eq!(left.recover().get(), 3);
    assert_eq!(kind(mutex.try_lock()), None);
}

#[test]
fn a_dead_holder_is_news_once_however_deep_it_was() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(0u32).unwrap();
    for depth in 1..5 {
        let ready = &shared_counters()[0];
        let holder = fork(|| {
            let guards: Vec<_> = (0..depth).map(|_| mutex.lock().unwrap()).collect();
            guards[0].set(depth);
            ready.store(1, SeqCst);
            std::thread::sleep(FAR);
        });
        wait_until(|| ready.load(SeqCst) == 1);
        let waiter = fork(|| match mutex.lock() {
            Err(LockError::OwnerDied(left)) => {
                assert_eq!(left.get(), depth);
                // The dead one's depth is not this one's.
                drop(left.recover());
            }
            _ => panic!("not told"),
        });
        wait_asleep(&waiter);
        drop(holder);
        waiter.expect_success();
        assert_eq!(mutex.lock_timeout(FAR).unwrap().get(), depth);
    }
}

#[test]
fn unrecovered_news_poison_until_repaired() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(5u32).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
    assert_eq!(kind(mutex.lock_timeout(FAR)), Some(ErrorKind::OwnerDied));
    for _ in 0..2 {
        assert_eq!(kind(mutex.lock()), Some(ErrorKind::Poisoned));
        assert_eq!(kind(mutex.try_lock()), Some(ErrorKind::Poisoned));
    }
    let left = mutex.repair().unwrap();
    assert_eq!(kind(mutex.lock()), Some(ErrorKind::Poisoned), "not mended yet");
    left.set(6);
    drop(left.recover());
    assert_eq!(mutex.lock().unwrap().get(), 6);
}

#[test]
fn a_stopped_holder_is_waited_for() {
    let _watchdog = watchdog();
    let (mutex, step) = (RecursiveMutex::anonymous(0u32).unwrap(), &shared_counters()[0]);
    let holder = fork(|| {
        let (outer, inner) = (mutex.lock().unwrap(), mutex.lock().unwrap());
        inner.set(1);
        drop(inner);
        step.store(1, SeqCst);
        // Stopped here, with the lock, which it has taken twice and given up once.
        wait_until(|| step.load(SeqCst) == 2);
        outer.set(2);
    });
    wait_until(|| step.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    wait_stopped(&holder);
    step.store(2, SeqCst);
    assert_eq!(kind(mutex.try_lock()), Some(ErrorKind::Busy));
    assert_eq!(kind(mutex.lock_timeout(Duration::from_millis(300))), Some(ErrorKind::TimedOut));
    let waiter = fork(|| assert_eq!(mutex.lock().unwrap().get(), 2));
    wait_asleep(&waiter);
    holder.kill(libc::SIGCONT);
    holder.expect_success();
    waiter.expect_success();
}

#[test]
fn inherited_guards_neither_lend_nor_unlock() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(1u32).unwrap();
    let mut guards = Some((mutex.lock().unwrap(), mutex.lock().unwrap()));
    let child = fork(|| {
        std::panic::set_hook(Box::new(|_| {}));
        let look = std::panic::AssertUnwindSafe(|| guards.as_ref().unwrap().0.get());
        assert!(std::panic::catch_unwind(look).is_err());
        guards = None;
        assert_eq!(kind(mutex.try_lock()), Some(ErrorKind::Busy));
    });
    child.expect_success();
    let (outer, inner) = guards.unwrap();
    drop(outer);
    fork(|| assert_eq!(kind(mutex.try_lock()), Some(ErrorKind::Busy))).expect_success();
    drop(inner);
    fork(|| mutex.try_lock().unwrap().set(2)).expect_success();
}

#[test]
fn names_and_damage_are_checked() {
    let (name, _cleanup) = fresh_name("recursive-named");
    let name = name.as_str();
    let mutex = RecursiveMutex::create(name, 7u64).unwrap();
    assert_eq!(RecursiveMutex::<u64>::attach(name).unwrap().lock().unwrap().get(), 7);
    assert_eq!(kind(RecursiveMutex::<u32>::attach(name)), Some(ErrorKind::Mismatch));
    assert_eq!(kind(shm_sync::Mutex::<u64>::attach(name)), Some(ErrorKind::Mismatch));
    let guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(mutex.try_lock().unwrap_err().to_string().contains(name)));
    });
    drop(guard);

    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped; what is written there is what this test is about.
    let mutex = unsafe { RecursiveMutex::<u64>::from_ptr(bytes, 4096) }.unwrap();
    // SAFETY: within the page, aligned, never unmapped.
    let (word, identity, depth) = unsafe {
        (
            AtomicU32::from_ptr(bytes.cast()),
            AtomicU64::from_ptr(bytes.add(8).cast()),
            AtomicU64::from_ptr(bytes.add(16).cast()),
        )
    };
    assert_eq!(identity.load(SeqCst), 0x0000_0008_5348_0201, "`SH`, kind 2, version 1, 8 bytes");
    depth.store(u64::MAX, SeqCst);
    let guard = mutex.lock().unwrap();
    assert_eq!(depth.load(SeqCst), 0, "what is left there does not matter");
    let again = mutex.lock().unwrap();
    assert_eq!(depth.load(SeqCst), 1);
    depth.store(u64::from(u32::MAX) - 1, SeqCst);
    assert_eq!(kind(mutex.lock()), Some(ErrorKind::TooDeep));
    depth.store(1, SeqCst);
    let mine = word.load(SeqCst);
    word.store(mine ^ 1, SeqCst);
    assert_eq!(kind(mutex.lock()), Some(ErrorKind::Corrupt), "held, whatever the word says");
    word.store(mine, SeqCst);
    identity.fetch_add(1, SeqCst);
    assert_eq!(kind(mutex.lock()), Some(ErrorKind::Corrupt));
    identity.fetch_sub(1, SeqCst);
    drop((guard, again));
    word.store(mine, SeqCst);
    assert_eq!(kind(mutex.lock()), Some(ErrorKind::Corrupt), "not held, whatever the word says");
}
