//! The mutex between the threads of one process: exclusion, the ways of waiting, panics, poison.

mod common;

use common::{rounds, wait_until, watchdog};
use shm_sync::{ErrorKind, LockError, Mutex, Primitive};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn smoke() {
    let mutex = Mutex::anonymous([1u64, 2]).unwrap();
    let mut guard = mutex.lock().unwrap();
    guard[0] += 41;
    drop(guard);
    assert_eq!(*mutex.lock().unwrap(), [42, 2]);
    assert_eq!(*mutex.try_lock().unwrap(), [42, 2]);
}

#[test]
fn a_lock_without_a_value_is_fine() {
    let mutex = Mutex::anonymous(()).unwrap();
    let guard = mutex.lock().unwrap();
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
    drop(guard);
    drop(mutex.lock().unwrap());
}

#[test]
fn threads_exclude_each_other() {
    let _watchdog = watchdog();
    let rounds = rounds(20_000);
    let mutex = Mutex::anonymous([0u64; 2]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let mut guard = mutex.lock().unwrap();
                    assert_eq!(guard[0], guard[1]);
                    guard[0] += 1;
                    guard[1] += 1;
                }
            });
        }
    });
    assert_eq!(*mutex.lock().unwrap(), [4 * rounds as u64; 2]);
}

#[test]
fn all_ways_of_waiting_together_lose_nothing() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u64).unwrap();
    let counts: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6u64)
            .map(|way| {
                let mutex = &mutex;
                scope.spawn(move || {
                    let mut count = 0;
                    for round in 0..3_000u64 {
                        let short = Duration::from_micros(round % 50);
                        let lock = match way {
                            0 | 1 => mutex.lock(),
                            2 => mutex.try_lock(),
                            3 => mutex.lock_timeout(short),
                            4 => mutex.lock_until(Instant::now() + short),
                            _ => mutex.lock_interruptible(None),
                        };
                        match lock {
                            Ok(mut guard) => {
                                *guard += 1;
                                count += 1;
                                if round % 64 == 0 {
                                    std::thread::sleep(Duration::from_micros(60));
                                }
                            }
                            Err(error) => {
                                assert!(
                                    matches!(error.kind(), ErrorKind::Busy | ErrorKind::TimedOut),
                                    "{error:?}"
                                );
                            }
                        }
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(*mutex.lock().unwrap(), counts);
}

#[test]
fn a_held_lock_is_busy_and_times_out() {
    let mutex = Mutex::anonymous(0u8).unwrap();
    let guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Busy);
            let start = Instant::now();
            let timeout = Duration::from_millis(20);
            assert_eq!(mutex.lock_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(start.elapsed() >= timeout);
            let deadline = Instant::now() + timeout;
            assert_eq!(mutex.lock_until(deadline).unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(Instant::now() >= deadline);
            assert_eq!(mutex.lock_until(Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(mutex.lock_interruptible(Some(deadline)).unwrap_err().kind(), ErrorKind::TimedOut);
        });
    });
    drop(guard);
    drop(mutex.lock_timeout(Duration::ZERO).unwrap());
    drop(mutex.lock_timeout(Duration::MAX).unwrap());
}

/// A wait that outlasts several re-checks still ends with the unlock.
#[test]
fn a_long_wait_ends_with_the_unlock() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| *mutex.lock().unwrap() += 1);
        std::thread::sleep(Duration::from_millis(700));
        assert!(!waiter.is_finished());
        drop(guard);
        waiter.join().unwrap();
    });
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn locking_twice_is_an_error_by_every_way() {
    let mutex = Mutex::anonymous(0u32).unwrap();
    let other = mutex.clone();
    let _guard = mutex.lock().unwrap();
    let far = Instant::now() + Duration::from_secs(1000);
    for error in [
        other.lock(),
        other.try_lock(),
        other.lock_timeout(Duration::from_secs(1000)),
        other.lock_until(far),
        other.lock_interruptible(None),
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Deadlock);
    }
    assert_eq!(other.repair().unwrap_err().kind(), ErrorKind::Deadlock);
}

#[test]
fn locks_are_given_up_in_any_order() {
    let locks: Vec<_> = (0..9u32).map(|i| Mutex::anonymous(i).unwrap()).collect();
    // 4 is prime to 9, 2 too: all orders of taking and giving.
    for (take, give) in [(1, 1), (1, 8), (4, 2), (2, 4), (7, 5)] {
        let mut guards: Vec<_> = (0..9).map(|i| Some(locks[i * take % 9].lock().unwrap())).collect();
        for i in 0..9 {
            assert_eq!(locks[i * take % 9].try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
        }
        for i in 0..9 {
            guards[i * give % 9] = None;
            // What was given up can be taken again, in the middle of the others.
            drop(locks[(i * give % 9) * take % 9].lock().unwrap());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| locks.iter().for_each(|lock| drop(lock.try_lock().unwrap())));
        });
    }
}

#[test]
fn a_panic_is_told_once_to_the_next() {
    let mutex = Mutex::anonymous(0u32).unwrap();
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let mut guard = mutex.lock().unwrap();
            *guard = 13;
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    let Err(LockError::OwnerDied(mut left)) = mutex.lock() else { panic!("not told") };
    assert_eq!(*left, 13);
    *left = 0;
    drop(left.recover());
    assert_eq!(*mutex.lock().unwrap(), 0);
}

#[test]
fn a_lock_taken_while_unwinding_is_an_ordinary_one() {
    struct AtEnd<'a>(&'a Mutex<u32>);
    impl Drop for AtEnd<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::anonymous(0u32).unwrap();
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _at_end = AtEnd(&mutex);
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    assert_eq!(*mutex.lock().unwrap(), 1);
}

fn kill_a_holder(mutex: &Mutex<u32>) {
    std::thread::scope(|scope| {
        // A guard that is forgotten is held when its thread ends: the kernel finds it.
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
}

#[test]
fn a_thread_that_ends_with_a_lock_is_a_dead_owner() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(5u32).unwrap();
    kill_a_holder(&mutex);
    let guard = mutex.lock().or_else(LockError::recover).unwrap();
    assert_eq!(*guard, 5);
}

#[test]
fn unrecovered_news_poison_until_repaired() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(5u32).unwrap();
    kill_a_holder(&mutex);
    let told = || -> Result<u32, shm_sync::Error> { Ok(*mutex.lock()?) };
    assert_eq!(told().unwrap_err().kind(), ErrorKind::OwnerDied);
    for _ in 0..2 {
        assert_eq!(told().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Poisoned);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Poisoned));
        });
    }
    // Given up again, by dropping and by dying, it stays poisoned.
    drop(mutex.repair().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.repair().unwrap()));
    });
    wait_until(|| mutex.try_lock().is_err_and(|error| error.kind() != ErrorKind::Busy));
    assert_eq!(told().unwrap_err().kind(), ErrorKind::Poisoned);

    let mut left = mutex.repair().unwrap();
    *left = 6;
    drop(left.recover());
    assert_eq!(told().unwrap(), 6);
}

#[test]
fn every_waiter_of_a_poisoned_lock_is_told() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let left = mutex.repair().unwrap();
    let waiting = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                waiting.store(true, SeqCst);
                assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Poisoned);
            });
        }
        wait_until(|| waiting.load(SeqCst));
        std::thread::sleep(Duration::from_millis(5));
        drop(left);
    });
}

#[test]
fn threads_come_and_go() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous(0u32).unwrap();
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| *mutex.lock().unwrap() += 1);
            }
        });
    }
    assert_eq!(*mutex.lock().unwrap(), 600);
}

/// A lock that is first used, or used once more, while the thread's variables are being destroyed.
#[test]
fn locking_at_the_end_of_a_thread_works() {
    struct AtEnd(Mutex<u32>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    thread_local!(static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) });
    let mutex = Mutex::anonymous(0u32).unwrap();
    for before in [false, true] {
        let (mutex, at_end) = (mutex.clone(), mutex.clone());
        std::thread::spawn(move || {
            AT_END.set(Some(AtEnd(at_end)));
            if before {
                *mutex.lock().unwrap() += 1;
            }
        })
        .join()
        .unwrap();
    }
    assert_eq!(*mutex.lock().unwrap(), 3);
}
