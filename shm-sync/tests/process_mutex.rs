//! The process mutex: exclusion, release by strangers, and who counts as its holder.
#![allow(unsafe_code, reason = "a signal handler is installed, and processes die of signals")]

mod common;

use common::{fork, fresh_name, rounds, shared_counters, wait_asleep, wait_until, watchdog};
use shm_core::{Contents, SegmentOptions};
use shm_sync::{ErrorKind, Primitive, ProcessLockError, ProcessMutex};
use shm_testkit::{Child, in_threads};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

fn new() -> ProcessMutex {
    ProcessMutex::anonymous(()).unwrap()
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(FAR);
    }
}

#[test]
fn smoke() {
    let _watchdog = watchdog();
    let lock = new();
    assert_eq!(lock.holder(), None);
    let guard = lock.lock().unwrap();
    assert_eq!(lock.holder(), Some(std::process::id()));
    assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(lock.lock_timeout(Duration::from_millis(2)).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(lock.lock_until(Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
    fork(|| assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy)).expect_success();
    drop(guard);
    fork(|| drop(lock.lock().unwrap())).expect_success();
    drop(lock.try_lock().unwrap());
    assert_eq!(lock.holder(), None);
}

#[test]
fn threads_of_processes_exclude_each_other() {
    let _watchdog = watchdog();
    let lock = new();
    let counters = shared_counters();
    let rounds = rounds(2_500);
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                in_threads(2, |_| {
                    for _ in 0..rounds {
                        let _guard = lock.lock().unwrap();
                        // Not one addition: two of them at once would lose something.
                        for counter in &counters[..4] {
                            counter.store(counter.load(SeqCst) + 1, SeqCst);
                        }
                    }
                });
            })
        })
        .collect();
    children.into_iter().for_each(Child::expect_success);
    for counter in &counters[..4] {
        assert_eq!(counter.load(SeqCst), 4 * 2 * rounds as u32);
    }
}

/// Python's way: taken in one thread, released in another, of another process even.
#[test]
fn any_thread_of_any_process_releases() {
    let _watchdog = watchdog();
    let lock = new();
    for _ in 0..rounds(200) {
        lock.lock().unwrap().keep();
        std::thread::scope(|scope| scope.spawn(|| lock.release()).join()).unwrap().unwrap();
        assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::NotHeld);
        lock.lock().unwrap().keep();
        let waiter = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.lock().map(drop).map_err(|error| error.kind()));
            fork(|| lock.release().unwrap()).expect_success();
            waiter.join().unwrap()
        });
        assert_eq!(waiter, Ok(()));
        assert_eq!(lock.holder(), None);
    }
}

#[test]
fn a_guard_whose_lock_a_stranger_released_does_nothing() {
    let _watchdog = watchdog();
    let lock = new();
    let stale = lock.lock().unwrap();
    lock.release().unwrap();
    let guard = lock.lock().unwrap();
    drop(stale);
    assert_eq!(lock.holder(), Some(std::process::id()), "still held by the second guard");
    let recovered = lock.clone();
    drop(guard);
    assert_eq!(recovered.holder(), None);
}

#[test]
fn a_guard_goes_to_another_thread() {
    let _watchdog = watchdog();
    let lock = new();
    let guard = lock.lock().unwrap();
    std::thread::scope(|scope| scope.spawn(|| drop(guard)).join()).unwrap();
    drop(lock.try_lock().unwrap());
}

/// The thread that stands for its process ends; the process, and the lock, live on.
#[test]
fn the_first_thread_ends_with_the_lock_held() {
    let _watchdog = watchdog();
    for _ in 0..rounds(5) {
        let lock = new();
        let steps = shared_counters();
        let (at, news) = (&steps[0], &steps[1]);
        let holder = fork(|| {
            in_threads(1, |_| lock.lock().unwrap().keep());
            at.store(1, SeqCst);
            wait_until(|| at.load(SeqCst) == 2);
            // This thread has not used the mutex yet.
            lock.release().unwrap();
            wait_until(|| at.load(SeqCst) == 3);
            lock.lock().unwrap().keep();
            at.store(4, SeqCst);
            sleep_for_ever();
        });
        wait_until(|| at.load(SeqCst) == 1);
        assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(lock.lock_timeout(Duration::from_millis(120)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(lock.holder(), Some(holder.pid().cast_unsigned()));
        let waiter = fork(|| {
            steps[2].store(1, SeqCst);
            drop(lock.lock().unwrap());
        });
        wait_until(|| steps[2].load(SeqCst) == 1);
        std::thread::sleep(Duration::from_millis(5));
        at.store(2, SeqCst);
        waiter.expect_success();
        at.store(3, SeqCst);
        wait_until(|| at.load(SeqCst) == 4);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                fork(|| match lock.lock() {
                    Ok(guard) => drop(guard),
                    Err(ProcessLockError::OwnerDied(guard)) => {
                        news.fetch_add(1, SeqCst);
                        drop(guard.recover());
                    }
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        waiters.iter().for_each(wait_asleep);
        drop(holder);
        waiters.into_iter().for_each(Child::expect_success);
        assert_eq!(news.load(SeqCst), 1);
    }
}

/// The same while waiters sleep; and the death comes while nobody stands for the process.
#[test]
fn the_process_dies_after_its_first_thread() {
    let _watchdog = watchdog();
    let lock = new();
    let steps = shared_counters();
    let (at, news) = (&steps[0], &steps[1]);
    let holder = fork(|| {
        in_threads(1, |_| {
            lock.lock().unwrap().keep();
            at.store(1, SeqCst);
            wait_until(|| at.load(SeqCst) == 2);
        });
        at.store(3, SeqCst);
        sleep_for_ever();
    });
    wait_until(|| at.load(SeqCst) == 1);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            fork(|| match lock.lock() {
                Ok(guard) => drop(guard),
                Err(ProcessLockError::OwnerDied(guard)) => {
                    news.fetch_add(1, SeqCst);
                    drop(guard.recover());
                }
                Err(error) => panic!("{error}"),
            })
        })
        .collect();
    waiters.iter().for_each(wait_asleep);
    at.store(2, SeqCst);
    wait_until(|| at.load(SeqCst) == 3);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(news.load(SeqCst), 0);
    drop(holder);
    waiters.into_iter().for_each(Child::expect_success);
    assert_eq!(news.load(SeqCst), 1);
}

#[test]
fn a_forked_child_neither_holds_nor_releases() {
    let _watchdog = watchdog();
    let lock = new();
    let guard = lock.lock().unwrap();
    let mut inherited = Some(guard);
    fork(|| {
        drop(inherited.take());
        assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(lock.holder(), Some(std::os::unix::process::parent_id()));
    })
    .expect_success();
    fork(|| ()).expect_success();
    assert_eq!(lock.holder(), Some(std::process::id()), "no child's end is the parent's");
    drop(inherited);
    // A child that locks for itself and dies with it, although it inherited a used handle.
    fork(|| lock.lock().unwrap().keep()).expect_success();
    let Err(ProcessLockError::OwnerDied(left)) = lock.lock() else { panic!("not told") };
    drop(left.recover());
    drop(lock.lock().unwrap());
}

#[test]
fn death_is_told_once_recovered_poisoned_and_repaired() {
    let _watchdog = watchdog();
    let lock = new();
    let die = || fork(|| lock.lock().or_else(ProcessLockError::recover).unwrap().keep()).expect_success();
    die();
    let Err(ProcessLockError::OwnerDied(guard)) = lock.lock() else { panic!("not told") };
    drop(guard.recover());
    drop(lock.lock().unwrap());

    die();
    drop(lock.lock().unwrap_err());
    for _ in 0..2 {
        assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(lock.holder(), None);
    }
    drop(lock.repair().unwrap());
    assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    drop(lock.repair().unwrap().recover());
    drop(lock.lock().unwrap());

    // Without guards.
    die();
    let Err(ProcessLockError::OwnerDied(guard)) = lock.lock() else { panic!("not told") };
    guard.keep();
    lock.recover().unwrap();
    lock.release().unwrap();
    drop(lock.lock().unwrap());
    die();
    let Err(ProcessLockError::OwnerDied(guard)) = lock.lock() else { panic!("not told") };
    guard.keep();
    lock.release().unwrap();
    assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    drop(lock.repair().unwrap().recover());
    assert_eq!(lock.recover().unwrap_err().kind(), ErrorKind::NotHeld);
}

#[test]
fn a_panic_with_the_guard_is_news() {
    let _watchdog = watchdog();
    let lock = new();
    let thread = std::thread::spawn({
        let lock = lock.clone();
        move || {
            let _guard = lock.lock().unwrap();
            panic!("as intended");
        }
    });
    thread.join().unwrap_err();
    let Err(ProcessLockError::OwnerDied(left)) = lock.lock() else { panic!("not told") };
    drop(left.recover());
    drop(lock.lock().unwrap());
}

/// One process with a hundred handles needs one slot; 63 processes fit, one more is refused, and takes the place of a dead one.
#[test]
fn as_many_processes_as_slots() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("process-mutex-crowd");
    let lock = ProcessMutex::create(name.as_str(), ()).unwrap();
    let handles: Vec<_> = (0..100).map(|_| ProcessMutex::attach(name.as_str()).unwrap()).collect();
    handles.iter().for_each(|handle| drop(handle.lock().unwrap()));
    let ready = &shared_counters()[0];
    let mut crowd: Vec<_> = (0..62)
        .map(|_| {
            fork(|| {
                drop(lock.lock().unwrap());
                ready.fetch_add(1, SeqCst);
                sleep_for_ever();
            })
        })
        .collect();
    wait_until(|| ready.load(SeqCst) == 62);
    let late = || {
        fork(|| {
            let error = lock.lock().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooManyProcesses);
            assert!(shm_sync::Error::from(error).to_string().contains("63"));
        })
    };
    late().expect_success();
    crowd.pop();
    fork(|| lock.lock().unwrap().keep()).expect_success();
    // The dead one has the lock: its slot is not for newcomers before somebody has been told.
    late().expect_success();
    drop(lock.lock().or_else(ProcessLockError::recover).unwrap());
    fork(|| drop(lock.lock().unwrap())).expect_success();
    drop(handles);
    drop(lock.lock().unwrap());
}

/// Slots are given back with the last handle: by the thread that has the word, and for others when it ends.
#[test]
fn slots_are_given_back() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("process-mutex-back");
    let keep = ProcessMutex::create(name.as_str(), ()).unwrap();
    for _ in 0..200 {
        let lock = ProcessMutex::attach(name.as_str()).unwrap();
        drop(lock.lock().unwrap());
        // Dropped by another thread than the one that used it first.
        std::thread::spawn(move || drop(lock)).join().unwrap();
        let lock = ProcessMutex::attach(name.as_str()).unwrap();
        std::thread::scope(|scope| scope.spawn(|| drop(lock.lock().unwrap())).join()).unwrap();
    }
    fork(|| drop(keep.lock().unwrap())).expect_success();
}

#[test]
fn a_lock_without_a_handle_is_still_held() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("process-mutex-forgotten");
    let elsewhere = ProcessMutex::create(name.as_str(), ()).unwrap();
    let ready = &shared_counters()[0];
    let child = fork(|| {
        let lock = ProcessMutex::attach(name.as_str()).unwrap();
        lock.lock().unwrap().keep();
        drop(lock);
        ready.store(1, SeqCst);
        sleep_for_ever();
    });
    wait_until(|| ready.load(SeqCst) == 1);
    assert_eq!(elsewhere.lock_timeout(Duration::from_millis(20)).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(child);
    let Err(ProcessLockError::OwnerDied(left)) = elsewhere.lock() else { panic!("not told") };
    drop(left.recover());
}

#[test]
fn in_segments_and_under_names() {
    let _watchdog = watchdog();
    let contents = ProcessMutex::plan(Contents::new(), "gate", ()).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let lock = ProcessMutex::attach_in(&segment, "gate").unwrap();
    drop(lock.lock().unwrap());
    let (name, _cleanup) = fresh_name("process-mutex-kind");
    let _mutex = shm_sync::Mutex::create(name.as_str(), 0u64).unwrap();
    assert_eq!(ProcessMutex::attach(name.as_str()).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(lock.holder(), None);
}

#[test]
fn a_stopped_holder_is_waited_for() {
    let _watchdog = watchdog();
    let lock = new();
    let at = &shared_counters()[0];
    let holder = fork(|| {
        let guard = lock.lock().unwrap();
        at.store(1, SeqCst);
        wait_until(|| at.load(SeqCst) == 2);
        drop(guard);
    });
    wait_until(|| at.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    common::wait_stopped(&holder);
    at.store(2, SeqCst);
    assert_eq!(lock.lock_timeout(Duration::from_millis(300)).unwrap_err().kind(), ErrorKind::TimedOut);
    holder.kill(libc::SIGCONT);
    drop(lock.lock().unwrap());
    holder.expect_success();
}

extern "C" fn ignore(_: libc::c_int) {}

/// In both kinds of sleep: on the words, and on the process.
#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    for orphaned in [false, true] {
        let lock = new();
        let steps = shared_counters();
        if orphaned {
            std::thread::scope(|scope| scope.spawn(|| lock.lock().unwrap().keep()).join()).unwrap();
        } else {
            lock.lock().unwrap().keep();
        }
        let waiter = fork(|| {
            // SAFETY: the handler does nothing; the structure is zeroed and then filled.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = ignore as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
            }
            steps[0].store(1, SeqCst);
            assert_eq!(lock.lock_interruptible(None).unwrap_err().kind(), ErrorKind::Interrupted);
            steps[0].store(2, SeqCst);
            drop(lock.lock().unwrap());
        });
        wait_until(|| steps[0].load(SeqCst) == 1);
        while steps[0].load(SeqCst) == 1 {
            waiter.kill(libc::SIGUSR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..5 {
            waiter.kill(libc::SIGUSR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        lock.release().unwrap();
        waiter.expect_success();
    }
}

/// Ten thousand times from hand to hand between two processes that both always want it.
#[test]
fn ten_thousand_rounds() {
    let _watchdog = watchdog();
    let lock = new();
    let counter = &shared_counters()[0];
    let children: Vec<_> = (0..8)
        .map(|_| {
            fork(|| {
                for _ in 0..10_000 {
                    lock.lock().unwrap().keep();
                    counter.store(counter.load(SeqCst) + 1, SeqCst);
                    lock.release().unwrap();
                }
            })
        })
        .collect();
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(counter.load(SeqCst), 80_000);
}
