//! The reader-writer lock between threads and processes: exclusion, who goes first, the ways of waiting, panics, poison, fork, names.
#![allow(unsafe_code, reason = "a signal handler is installed")]

mod common;

use common::{fork, fresh_name, rounds, shared_counters, wait_asleep, wait_stopped, wait_until, watchdog};
use shm_sync::{Error, ErrorKind, LockError, Primitive, RwLock};
use shm_testkit::in_threads;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

fn lock<const READERS: usize>(value: u64) -> RwLock<u64, READERS> {
    RwLock::anonymous(value).unwrap()
}

fn kind<T>(result: Result<T, impl Into<Error>>) -> Option<ErrorKind> {
    result.err().map(|error| error.into().kind())
}

#[test]
fn smoke() {
    let lock = RwLock::<[u64; 2]>::anonymous([1, 2]).unwrap();
    lock.write().unwrap()[0] += 41;
    let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
    assert_eq!((*one, *other), ([42, 2], [42, 2]));
    drop(one);
    assert_eq!(kind(lock.try_write()), Some(ErrorKind::Deadlock));
    drop(other);
    assert_eq!(*lock.try_write().unwrap(), [42, 2]);
    fork(|| lock.write().unwrap()[1] = 7).expect_success();
    assert_eq!(*lock.try_read().unwrap(), [42, 7]);
}

#[test]
fn writers_exclude_everybody_and_readers_only_writers() {
    let _watchdog = watchdog();
    let rounds = rounds(10_000);
    let lock = RwLock::<[u64; 8], 3>::anonymous([0; 8]).unwrap();
    let together = &shared_counters()[0];
    let work = |seed: usize| {
        for round in 0..rounds {
            if (round + seed).is_multiple_of(4) {
                let mut guard = lock.write().unwrap();
                assert!(guard.iter().all(|count| *count == guard[0]));
                guard.iter_mut().for_each(|count| *count += 1);
            } else {
                let guard = lock.read().unwrap();
                assert!(guard.iter().all(|count| *count == guard[0]));
                if round % 16 == 1 && lock.try_read().is_ok() {
                    together.fetch_add(1, SeqCst);
                }
            }
        }
    };
    let children: Vec<_> =
        (0..2).map(|child| fork(move || in_threads(3, |thread| work(child + thread)))).collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(lock.read().unwrap()[0], 6 * rounds as u64 / 4);
    assert!(together.load(SeqCst) > 0);
}

#[test]
fn all_ways_of_waiting_together_lose_nothing() {
    let _watchdog = watchdog();
    let lock = lock::<4>(0);
    let counts: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u64)
            .map(|way| {
                let lock = &lock;
                scope.spawn(move || {
                    let mut count = 0;
                    for round in 0..rounds(2_000) as u64 {
                        let short = Duration::from_micros(round % 50);
                        let written = match way {
                            0 => lock.write().map(|mut guard| *guard += 1),
                            1 => lock.try_write().map(|mut guard| *guard += 1),
                            2 => lock.write_timeout(short).map(|mut guard| *guard += 1),
                            3 => lock.write_until(Instant::now() + short).map(|mut guard| *guard += 1),
                            4 => lock.write_interruptible(None).map(|mut guard| *guard += 1),
                            way => {
                                let read = match way {
                                    5 => lock.read(),
                                    6 => lock.read_timeout(short),
                                    _ => lock.try_read(),
                                };
                                if let Err(error) = read {
                                    let kind = error.kind();
                                    assert!(
                                        matches!(kind, ErrorKind::Busy | ErrorKind::TimedOut),
                                        "{kind:?}"
                                    );
                                }
                                continue;
                            }
                        };
                        match written {
                            Ok(()) => count += 1,
                            Err(error) => {
                                assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::TimedOut))
                            }
                        }
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(*lock.read().unwrap(), counts);
}

#[test]
fn a_held_lock_is_busy_and_times_out() {
    let lock = lock::<2>(0);
    let timeout = Duration::from_millis(20);
    let writing = lock.write().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(kind(lock.try_read()), Some(ErrorKind::Busy));
            let start = Instant::now();
            assert_eq!(kind(lock.read_timeout(timeout)), Some(ErrorKind::TimedOut));
            assert_eq!(kind(lock.read_until(Instant::now() + timeout)), Some(ErrorKind::TimedOut));
            assert!(start.elapsed() >= 2 * timeout);
        });
    });
    let reading = writing.downgrade();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(*lock.try_read().unwrap(), 0);
            assert_eq!(kind(lock.try_write()), Some(ErrorKind::Busy));
            let start = Instant::now();
            assert_eq!(kind(lock.write_timeout(timeout)), Some(ErrorKind::TimedOut));
            assert_eq!(kind(lock.write_until(Instant::now() + timeout)), Some(ErrorKind::TimedOut));
            let soon = Some(Instant::now() + timeout);
            assert_eq!(kind(lock.write_interruptible(soon)), Some(ErrorKind::TimedOut));
            assert!(start.elapsed() >= 3 * timeout);
            // Who gave up waiting stands in nobody's way.
            assert_eq!(*lock.try_read().unwrap(), 0);
        });
    });
    drop(reading);
    drop(lock.write_timeout(Duration::ZERO).unwrap());
    drop(lock.read_timeout(Duration::MAX).unwrap());
}

#[test]
fn deadlocks_with_oneself_are_errors() {
    let _watchdog = watchdog();
    let lock = lock::<2>(5);
    let far = Some(Instant::now() + FAR);
    let writing = lock.write().unwrap();
    for read in [lock.read(), lock.try_read(), lock.read_timeout(FAR), lock.read_interruptible(far)] {
        assert_eq!(kind(read), Some(ErrorKind::Deadlock));
    }
    for write in [lock.write(), lock.try_write(), lock.write_timeout(FAR), lock.write_interruptible(far)] {
        assert_eq!(kind(write), Some(ErrorKind::Deadlock));
    }
    assert_eq!(kind(lock.repair()), Some(ErrorKind::Deadlock));
    let reading = writing.downgrade();
    for write in [lock.write(), lock.try_write(), lock.write_timeout(FAR), lock.write_interruptible(far)] {
        assert_eq!(kind(write), Some(ErrorKind::Deadlock));
    }
    assert_eq!(kind(lock.repair()), Some(ErrorKind::Deadlock));
    drop(reading);
    assert_eq!(*lock.write().unwrap(), 5);
}

/// A writer waits for a reader, and that reader reads once more: it must neither wait nor let the writer in before its last guard is gone.
#[test]
fn who_reads_can_read_once_more_though_a_writer_waits() {
    let _watchdog = watchdog();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let lock = lock::<3>(0);
        let first = lock.read().unwrap();
        let writer = fork(|| *lock.write().unwrap() = 1);
        wait_asleep(&writer);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(kind(lock.try_read()), Some(ErrorKind::Busy), "others queue up"));
        });
        let mut guards = [Some(first), Some(lock.read().unwrap()), Some(lock.try_read().unwrap())];
        for (given, index) in order.into_iter().enumerate() {
            assert_eq!(kind(lock.try_write()), Some(ErrorKind::Deadlock));
            assert_eq!(guards[index].take().map(|guard| *guard), Some(0), "{given} given up");
        }
        writer.expect_success();
        assert_eq!(*lock.read().unwrap(), 1);
    }
}

/// All places taken: one more comes in and keeps the queue shut, others wait, and `try_read` says why.
#[test]
fn more_readers_than_places_wait() {
    let _watchdog = watchdog();
    let lock = lock::<2>(0);
    let leave = &shared_counters()[..3];
    let inside = &shared_counters()[3];
    let reader = |index: usize| {
        let child = fork(|| {
            let guard = lock.read_timeout(FAR).unwrap();
            inside.fetch_add(1, SeqCst);
            wait_until(|| leave[index].load(SeqCst) == 1);
            assert_eq!(*guard, 0);
        });
        wait_until(|| inside.load(SeqCst) == index as u32 + 1);
        child
    };
    let readers = [reader(0), reader(1), reader(2)];
    assert_eq!(kind(lock.try_read()), Some(ErrorKind::TooManyReaders));
    assert_eq!(kind(lock.read_timeout(Duration::from_millis(5))), Some(ErrorKind::TimedOut));
    assert_eq!(kind(lock.try_write()), Some(ErrorKind::Busy));
    let waiting = fork(|| assert_eq!(*lock.read_timeout(FAR).unwrap(), 0));
    wait_asleep(&waiting);
    let [first, second, at_the_gate] = readers;
    leave[2].store(1, SeqCst);
    at_the_gate.expect_success();
    waiting.expect_success();
    // This thread is the one too many now, and may read as often as it likes.
    let guards = [lock.read().unwrap(), lock.read().unwrap(), lock.read().unwrap()];
    assert_eq!(kind(lock.try_write()), Some(ErrorKind::Deadlock));
    fork(|| assert_eq!(kind(lock.try_read()), Some(ErrorKind::TooManyReaders))).expect_success();
    guards.into_iter().for_each(drop);
    leave[0].store(1, SeqCst);
    first.expect_success();
    fork(|| assert_eq!(*lock.try_read().unwrap(), 0)).expect_success();
    assert_eq!(kind(lock.try_write()), Some(ErrorKind::Busy));
    leave[1].store(1, SeqCst);
    second.expect_success();
    *lock.try_write().unwrap() = 1;
}

#[test]
fn a_downgrade_lets_no_writer_in_between() {
    let _watchdog = watchdog();
    let lock = lock::<2>(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..rounds(3_000) {
                    let mut writing = lock.write().unwrap();
                    *writing += 1;
                    let written = *writing;
                    let reading = writing.downgrade();
                    assert_eq!(*reading, written);
                }
            });
        }
    });
    assert_eq!(*lock.read().unwrap(), 3 * rounds(3_000) as u64);
}

/// Between processes, a writer that waits for a reader which has been stopped.
#[test]
fn stopped_holders_are_waited_for() {
    let _watchdog = watchdog();
    let lock = lock::<62>(0);
    let step = &shared_counters()[0];
    let holder = fork(|| {
        let guard = lock.read().unwrap();
        step.store(1, SeqCst);
        while step.load(SeqCst) == 1 {
            std::thread::yield_now();
        }
        drop(guard);
    });
    wait_until(|| step.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    wait_stopped(&holder);
    step.store(2, SeqCst);
    assert_eq!(kind(lock.write_timeout(Duration::from_millis(300))), Some(ErrorKind::TimedOut));
    assert_eq!(*lock.read().unwrap(), 0);
    holder.kill(libc::SIGCONT);
    *lock.write().unwrap() = 1;
    holder.expect_success();
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    let lock = lock::<2>(0);
    let steps = shared_counters();
    let wait_for_signal = |step: u32, wait: &dyn Fn() -> Option<ErrorKind>| {
        steps[0].store(step, SeqCst);
        assert_eq!(wait(), Some(ErrorKind::Interrupted));
        steps[0].store(step + 1, SeqCst);
        wait_until(|| steps[1].load(SeqCst) == step);
    };
    let interrupt = |child: &shm_testkit::Child, step: u32| {
        wait_until(|| steps[0].load(SeqCst) >= step);
        while steps[0].load(SeqCst) == step {
            child.kill(libc::SIGUSR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        steps[1].store(step, SeqCst);
    };
    let writing = lock.write().unwrap();
    let waiter = fork(|| {
        // SAFETY: the handler only adds to an atomic; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count_signal as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        wait_for_signal(1, &|| kind(lock.read_interruptible(None)));
        wait_for_signal(3, &|| kind(lock.write_interruptible(None)));
        // Now there are readers only.
        wait_for_signal(5, &|| kind(lock.write_interruptible(None)));
        assert!(SIGNALS.load(SeqCst) >= 3);
        *lock.write().unwrap() = 9;
    });
    interrupt(&waiter, 1);
    wait_until(|| steps[0].load(SeqCst) == 3);
    interrupt(&waiter, 3);
    // The downgrade comes before or after the third wait begins: both are fine.
    let reading = writing.downgrade();
    interrupt(&waiter, 5);
    drop(reading);
    waiter.expect_success();
    assert_eq!(*lock.read().unwrap(), 9);
}

#[test]
fn a_panicking_writer_is_news_and_a_panicking_reader_is_none() {
    let lock = lock::<2>(0);
    let panic_with = |run: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| assert!(scope.spawn(run).join().is_err()));
    };
    panic_with(&|| {
        let _guard = lock.read().unwrap();
        panic!("on purpose");
    });
    drop(lock.write().unwrap());
    panic_with(&|| {
        *lock.write().unwrap() = 13;
        let _guard = lock.write().unwrap();
        panic!("on purpose");
    });
    let Err(LockError::OwnerDied(mut left)) = lock.read() else { panic!("not told") };
    assert_eq!(*left, 13);
    *left = 0;
    let reading = left.recover();
    fork(|| assert_eq!(*lock.try_read().unwrap(), 0)).expect_success();
    drop(reading);
    drop(lock.write().unwrap());
}

#[test]
fn unrecovered_news_poison_until_repaired() {
    let _watchdog = watchdog();
    let lock = lock::<2>(5);
    for by_reading in [true, false] {
        std::thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(lock.write().unwrap()));
        });
        let told = || if by_reading { kind(lock.read_timeout(FAR)) } else { kind(lock.write_timeout(FAR)) };
        assert_eq!(told(), Some(ErrorKind::OwnerDied));
        for _ in 0..2 {
            assert_eq!(kind(lock.read()), Some(ErrorKind::Poisoned));
            assert_eq!(kind(lock.try_write()), Some(ErrorKind::Poisoned));
        }
        // Given up again, by dropping and by dying, it stays poisoned.
        drop(lock.repair().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(lock.repair().unwrap()));
        });
        assert_eq!(kind(lock.write_timeout(FAR)), Some(ErrorKind::Poisoned));
        let mut left = lock.repair().unwrap();
        *left += 1;
        drop(left.recover());
        assert_eq!(kind(lock.try_read()), None);
    }
    assert_eq!(*lock.read().unwrap(), 7);
}

#[test]
fn inherited_guards_neither_lend_nor_unlock() {
    let _watchdog = watchdog();
    let lock = lock::<2>(1);
    for writes in [false, true] {
        let mut write = writes.then(|| lock.write().unwrap());
        let mut read = (!writes).then(|| lock.read().unwrap());
        let child = fork(|| {
            std::panic::set_hook(Box::new(|_| {}));
            let look = std::panic::AssertUnwindSafe(|| {
                let value = write.as_deref().or(read.as_deref());
                *value.unwrap()
            });
            assert!(std::panic::catch_unwind(look).is_err());
            write = None;
            read = None;
            // The parent has it, not this process.
            assert_eq!(kind(lock.try_write()), Some(ErrorKind::Busy));
            assert_eq!(kind(lock.try_read()), writes.then_some(ErrorKind::Busy));
        });
        child.expect_success();
        drop((write, read));
    }
    *lock.try_write().unwrap() += 1;
}

#[test]
fn names_places_and_parameters_are_checked() {
    let (name, _cleanup) = fresh_name("rwlock-named");
    let name = name.as_str();
    let lock = RwLock::<u64, 5>::create(name, 3).unwrap();
    assert_eq!(*RwLock::<u64, 5>::attach(name).unwrap().read().unwrap(), 3);
    assert_eq!(*RwLock::<u64, 5>::create_or_attach(name, 0).unwrap().read().unwrap(), 3);
    let fewer = RwLock::<u64, 4>::attach(name).unwrap_err();
    assert_eq!(fewer.kind(), ErrorKind::Mismatch);
    assert!(fewer.to_string().contains("places for 5 readers"), "{fewer}");
    assert_eq!(kind(RwLock::<u32, 5>::attach(name)), Some(ErrorKind::Mismatch));
    assert_eq!(kind(shm_sync::Mutex::<u64>::attach(name)), Some(ErrorKind::Mismatch));
    let _guard = lock.write().unwrap();
    let twice = lock.read().unwrap_err().to_string();
    assert!(
        twice.starts_with(&format!("cannot read-lock the reader-writer lock {name}: this thread already"))
    );
}
