//! The condition variable between threads and processes: who goes when, the ways of waiting, misuse, forks and signals.
#![allow(
    unsafe_code,
    reason = "a signal handler is installed, and condition variables are put into plain pages"
)]

mod common;

use common::{fork, fresh_name, rounds, shared_bytes, shared_counters, wait_asleep, wait_until, watchdog};
use shm_sync::{Condvar, ErrorKind, LockError, Mutex, MutexGuard, Primitive, WaitOutcome};
use shm_testkit::in_threads;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

fn pair<T: bytemuck::Pod + Send>(value: T) -> (Mutex<T>, Condvar) {
    (Mutex::anonymous(value).unwrap(), Condvar::anonymous(()).unwrap())
}

/// A condition variable in plain shared bytes, and these bytes.
fn place() -> (Condvar, *mut u8) {
    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped; what the tests write there is what they are about.
    (unsafe { Condvar::from_ptr(bytes, 4096) }.unwrap(), bytes)
}

fn u64_at(bytes: *mut u8, offset: usize) -> &'static AtomicU64 {
    // SAFETY: within the page, aligned, never unmapped.
    unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) }
}

/// How many wait, as far as the shared bytes know.
fn waiting(bytes: *mut u8) -> u32 {
    u64_at(bytes, 24).load(SeqCst) as u32
}

#[test]
fn smoke() {
    let _watchdog = watchdog();
    let (mutex, condvar) = pair(0u32);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| *condvar.wait_while(mutex.lock().unwrap(), |value| *value == 0).unwrap());
        *mutex.lock().unwrap() = 7;
        condvar.notify_one().unwrap();
        assert_eq!(waiter.join().unwrap(), 7);
    });
}

#[test]
fn zero_bytes_are_a_condition_variable_and_the_format_is_fixed() {
    let (condvar, bytes) = place();
    let image = || std::array::from_fn::<_, 8, _>(|i| u64_at(bytes, 8 * i).load(SeqCst));
    assert_eq!(image(), [0, 0x5348_0701, 0, 0, 0, 0, 0, 0]);
    condvar.notify_one().unwrap();
    condvar.notify_n(40).unwrap();
    condvar.notify_all().unwrap();
    assert_eq!(image(), [0, 0x5348_0701, 0, 0, 0, 0, 0, 0], "nobody waits: nothing is changed");
}

#[test]
fn a_name_is_found_by_others_and_other_kinds_are_refused() {
    let (name, _cleanup) = fresh_name("condvar");
    let (mutex, condvar) = (Mutex::anonymous(0u32).unwrap(), Condvar::create(&name, ()).unwrap());
    let child = fork(|| {
        let found = Condvar::attach(&name).unwrap();
        drop(found.wait_while(mutex.lock().unwrap(), |value| *value == 0).unwrap());
    });
    *mutex.lock().unwrap() = 1;
    condvar.notify_all().unwrap();
    child.expect_success();
    assert_eq!(Mutex::<u32>::attach(&name).unwrap_err().kind(), ErrorKind::Mismatch);
}

/// Each of `waiters` children waits once and then adds one to `passed`.
fn crowd(
    waiters: usize,
    mutex: &Mutex<u32>,
    condvar: &Condvar,
    bytes: *mut u8,
    passed: &AtomicU32,
) -> Vec<shm_testkit::Child> {
    let children: Vec<_> = (0..waiters)
        .map(|_| {
            fork(|| {
                drop(condvar.wait(mutex.lock().unwrap()).unwrap());
                passed.fetch_add(1, SeqCst);
            })
        })
        .collect();
    wait_until(|| waiting(bytes) as usize == waiters);
    children.iter().for_each(wait_asleep);
    children
}

#[test]
fn as_many_go_as_were_notified() {
    let _watchdog = watchdog();
    for (notify, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)] {
        for at_once in [true, false] {
            let (condvar, bytes) = place();
            let mutex = Mutex::anonymous(0u32).unwrap();
            let passed = &shared_counters()[0];
            let children = crowd(4, &mutex, &condvar, bytes, passed);
            if at_once {
                condvar.notify_n(notify).unwrap();
            } else {
                (0..notify).for_each(|_| condvar.notify_one().unwrap());
            }
            wait_until(|| passed.load(SeqCst) == expected);
            assert_eq!(waiting(bytes), 4 - expected);
            // Longer than a re-check, which must not let anybody go either.
            if at_once && expected == 2 {
                std::thread::sleep(Duration::from_millis(400));
                assert_eq!(passed.load(SeqCst), expected);
            }
            condvar.notify_all().unwrap();
            children.into_iter().for_each(shm_testkit::Child::expect_success);
            assert_eq!(u64_at(bytes, 16).load(SeqCst) as u32, 0, "nothing is left");
            assert_eq!(waiting(bytes), 0);
        }
    }
}

#[test]
fn notify_all_lets_everybody_go() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let children = crowd(8, &mutex, &condvar, bytes, &shared_counters()[0]);
    condvar.notify_all().unwrap();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
}

/// Those who came late do not take the notification of those who came early, however fast they are.
#[test]
fn late_waiters_do_not_steal() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let (mutex, passed) = (Mutex::anonymous(0u32).unwrap(), &shared_counters()[0]);
    for round in 1..=rounds(100) as u32 {
        let mut early = crowd(1, &mutex, &condvar, bytes, passed);
        let guard = mutex.lock().unwrap();
        condvar.notify_one().unwrap();
        std::thread::scope(|scope| {
            let late = scope.spawn(|| {
                let (guard, outcome) =
                    condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(3)).unwrap();
                drop(guard);
                outcome
            });
            drop(guard);
            assert_eq!(late.join().unwrap(), WaitOutcome::TimedOut);
        });
        early.pop().unwrap().expect_success();
        assert_eq!(passed.load(SeqCst), round);
    }
}

/// Numbers go from process to process, each waiting for its own.
#[test]
fn ten_thousand_hand_overs() {
    let _watchdog = watchdog();
    let (mutex, condvar) = pair(0u64);
    let rounds = rounds(10_000) as u64;
    let parties = 3;
    let run = |party: u64| {
        for round in 0..rounds {
            let mine = round * parties + party;
            let mut guard = condvar.wait_while(mutex.lock().unwrap(), |turn| *turn != mine).unwrap();
            *guard += 1;
            drop(guard);
            condvar.notify_all().unwrap();
        }
    };
    let children: Vec<_> = (1..parties).map(|party| fork(move || run(party))).collect();
    run(0);
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(*mutex.lock().unwrap(), rounds * parties);
}

/// A bounded buffer with one condition variable for each side, by threads of several processes, notified inside and outside the mutex.
#[test]
fn producers_and_consumers_lose_nothing() {
    let _watchdog = watchdog();
    let mutex = Mutex::anonymous([0u64; 3]).unwrap(); // in stock, produced, consumed
    let (filled, taken) = (Condvar::anonymous(()).unwrap(), Condvar::anonymous(()).unwrap());
    let each = rounds(4_000) as u64;
    let produce = |way: u64| {
        for round in 0..each {
            let mut guard = taken.wait_while(mutex.lock().unwrap(), |[stock, ..]| *stock == 4).unwrap();
            guard[0] += 1;
            guard[1] += 1;
            if (round + way).is_multiple_of(2) {
                filled.notify_one().unwrap();
                drop(guard);
            } else {
                drop(guard);
                filled.notify_one().unwrap();
            }
        }
    };
    let consume = |way: u64| {
        for round in 0..each {
            let mut guard = mutex.lock().unwrap();
            while guard[0] == 0 {
                let short = Duration::from_micros(round % 100);
                guard = match (round + way) % 4 {
                    0 => filled.wait_timeout(guard, short).unwrap().0,
                    1 => filled.wait_until(guard, Instant::now() + short).unwrap().0,
                    2 => filled.wait_interruptible(guard, None).unwrap().0,
                    _ => filled.wait(guard).unwrap(),
                };
            }
            guard[0] -= 1;
            guard[2] += 1;
            drop(guard);
            taken.notify_one().unwrap();
        }
    };
    let children: Vec<_> = (0..2)
        .map(|way| {
            fork(move || {
                in_threads(2, |index| if index == 0 { produce(way) } else { consume(way) });
            })
        })
        .collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(*mutex.lock().unwrap(), [0, 2 * each, 2 * each]);
}

#[test]
fn deadlines_pass_and_give_the_mutex_back() {
    let _watchdog = watchdog();
    let (mutex, condvar) = pair(0u32);
    let short = Duration::from_millis(20);
    let start = Instant::now();
    let (guard, outcome) = condvar.wait_timeout(mutex.lock().unwrap(), short).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
    assert!(start.elapsed() >= short);
    // It is locked again, by this thread.
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
    let deadline = Instant::now() + short;
    let (guard, outcome) = condvar.wait_until(guard, deadline).unwrap();
    assert!(outcome == WaitOutcome::TimedOut && Instant::now() >= deadline);
    let (guard, outcome) = condvar.wait_interruptible(guard, Some(deadline)).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
    let (guard, outcome) = condvar.wait_while_timeout(guard, |_| true, short).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
    let mut asked = 0;
    let late = |_: &mut u32| {
        asked += 1;
        asked < 2
    };
    let (guard, outcome) = condvar.wait_while_until(guard, late, Instant::now()).unwrap();
    assert_eq!(outcome, WaitOutcome::Notified, "what is so after the deadline counts");
    let (guard, outcome) = condvar.wait_while_interruptible(guard, |_| true, Some(Instant::now())).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
    let (guard, outcome) = condvar.wait_timeout(guard, Duration::ZERO).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
    drop(guard);
    drop(mutex.try_lock().unwrap());
}

/// The deadline of a waiter passes while somebody has the mutex: it waits for the mutex, and a notification in that time counts.
#[test]
fn a_late_waiter_waits_for_the_mutex() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let mutex = Mutex::anonymous(0u32).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (guard, outcome) =
                condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(1)).unwrap();
            (*guard, outcome)
        });
        wait_until(|| waiting(bytes) == 1 || waiter.is_finished());
        let mut guard = mutex.lock().unwrap();
        let waits = waiting(bytes) == 1;
        std::thread::sleep(Duration::from_millis(20));
        *guard = 1;
        condvar.notify_one().unwrap();
        drop(guard);
        let expected = if waits { (1, WaitOutcome::Notified) } else { (0, WaitOutcome::TimedOut) };
        assert_eq!(waiter.join().unwrap(), expected);
    });
}

#[test]
fn two_mutexes_at_once_are_refused() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let (mutex, other) = (Mutex::anonymous(0u32).unwrap(), Mutex::anonymous(0u64).unwrap());
    let children = crowd(1, &mutex, &condvar, bytes, &shared_counters()[0]);
    let error = condvar.wait(other.lock().unwrap()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("another mutex"), "{error}");
    drop(other.try_lock().expect("the guard that was refused is given up"));
    let mut place = Some(other.lock().unwrap());
    let error = condvar.wait_in_place(&mut place, None, false).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(place.is_some(), "a guard in a place stays there");
    let elsewhere = other.clone();
    let there = std::thread::spawn(move || elsewhere.try_lock().map(drop).unwrap_err().kind());
    assert_eq!(there.join().unwrap(), ErrorKind::Busy, "and the mutex is locked");
    drop(place.take());
    let error = condvar.wait_in_place(&mut None::<MutexGuard<u32>>, None, false).map(drop).unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
    condvar.notify_all().unwrap();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    // One after the other is fine.
    assert_eq!(
        condvar.wait_timeout(other.lock().unwrap(), Duration::ZERO).map(|(_, outcome)| outcome).unwrap(),
        WaitOutcome::TimedOut
    );
}

#[test]
fn an_inherited_guard_cannot_wait() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let mut guard = Some(mutex.lock().unwrap());
    fork(|| {
        let error = condvar.wait(guard.take().unwrap()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("forked"), "{error}");
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Busy, "the parent still has it");
    })
    .expect_success();
    assert_eq!(waiting(bytes), 0);
    let (_guard, outcome) = condvar.wait_timeout(guard.take().unwrap(), Duration::ZERO).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
}

/// Somebody panics with the mutex locked: one waiter comes back with the news; if it gives the value up, the others hear of it too.
#[test]
fn waiters_hear_of_a_dead_owner_and_of_poison() {
    let _watchdog = watchdog();
    for recover in [true, false] {
        let (condvar, bytes) = place();
        let mutex = Mutex::anonymous(0u32).unwrap();
        let (died, poisoned, passed) = {
            let counters = shared_counters();
            (&counters[0], &counters[1], &counters[2])
        };
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| match condvar.wait_while(mutex.lock().unwrap(), |value| *value != 2) {
                    Err(LockError::OwnerDied(mut left)) => {
                        assert_eq!(*left, 1);
                        died.fetch_add(1, SeqCst);
                        if recover {
                            *left = 2;
                            drop(left.recover());
                            condvar.notify_all().unwrap();
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Poisoned);
                        poisoned.fetch_add(1, SeqCst);
                    }
                    Ok(_) => _ = passed.fetch_add(1, SeqCst),
                })
            })
            .collect();
        wait_until(|| waiting(bytes) == 3);
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                *mutex.lock().unwrap() = 1;
                // Ends with the mutex locked, and has told nobody.
                std::mem::forget(mutex.lock().unwrap());
            });
            holder.join().unwrap();
        });
        children.into_iter().for_each(shm_testkit::Child::expect_success);
        let counts = [died, poisoned, passed].map(|count| count.load(SeqCst));
        assert_eq!(counts, if recover { [1, 0, 2] } else { [1, 2, 0] });
        assert_eq!(waiting(bytes), 0);
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// Even with `SA_RESTART`, a wait that wants to know returns; one that does not goes on.
#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    let (mutex, condvar) = pair(0u32);
    let steps = shared_counters();
    let waiter = fork(|| {
        // SAFETY: the handler does nothing; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        steps[0].store(1, SeqCst);
        let (guard, outcome) = condvar.wait_interruptible(mutex.lock().unwrap(), None).unwrap();
        assert_eq!(outcome, WaitOutcome::Interrupted);
        let (guard, outcome) = condvar.wait_while_interruptible(guard, |_| true, None).unwrap();
        assert_eq!(outcome, WaitOutcome::Interrupted);
        steps[0].store(2, SeqCst);
        drop(condvar.wait_while(guard, |value| *value == 0).unwrap());
    });
    wait_until(|| steps[0].load(SeqCst) == 1);
    while steps[0].load(SeqCst) == 1 {
        wait_asleep(&waiter);
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..5 {
        wait_asleep(&waiter);
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    *mutex.lock().unwrap() = 1;
    condvar.notify_one().unwrap();
    waiter.expect_success();
}

#[test]
fn a_stopped_waiter_holds_up_nobody_and_gets_its_turn() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let (mutex, passed) = (Mutex::anonymous(0u32).unwrap(), &shared_counters()[0]);
    let mut first = crowd(1, &mutex, &condvar, bytes, passed);
    let stopped = first.pop().unwrap();
    stopped.kill(libc::SIGSTOP);
    common::wait_stopped(&stopped);
    let others: Vec<_> =
        (0..2).map(|_| fork(|| drop(condvar.wait(mutex.lock().unwrap()).unwrap()))).collect();
    wait_until(|| waiting(bytes) == 3);
    condvar.notify_all().unwrap();
    others.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(passed.load(SeqCst), 0);
    stopped.kill(libc::SIGCONT);
    stopped.expect_success();
}

#[test]
fn damage_after_attaching_is_an_error() {
    let (condvar, bytes) = place();
    let mutex = Mutex::anonymous(0u32).unwrap();
    for identity in [0, 1, 0x5348_0101, 0x0000_0001_5348_0701, u64::MAX] {
        u64_at(bytes, 8).store(identity, SeqCst);
        for error in [condvar.notify_one(), condvar.notify_n(2), condvar.notify_all()] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let waited = condvar.wait_timeout(mutex.lock().unwrap(), FAR).map(drop);
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Corrupt);
        if identity != 0 {
            // SAFETY: as in `place`.
            let again = unsafe { Condvar::from_ptr(bytes, 4096) };
            assert_eq!(again.unwrap_err().kind(), ErrorKind::Mismatch, "{identity:#x}");
        }
    }
    u64_at(bytes, 8).store(0x5348_0701, SeqCst);
    u64_at(bytes, 24).store(u64::from(u32::MAX), SeqCst);
    let waited = condvar.wait_timeout(mutex.lock().unwrap(), FAR).map(drop);
    assert!(matches!(waited.unwrap_err().kind(), ErrorKind::Corrupt | ErrorKind::InvalidArgument));
    drop(mutex.try_lock().expect("not left locked"));
}

/// A neighbour writes random bytes into the condition variable while others use it: deadlines still hold, and nothing else goes wrong.
#[test]
fn random_bytes_break_no_deadline() {
    let _watchdog = watchdog();
    let (condvar, bytes) = place();
    let mutex = Mutex::anonymous(0u32).unwrap();
    let done = &shared_counters()[0];
    let children: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                while done.load(SeqCst) == 0 {
                    let waited = condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(2));
                    if let Err(error) = waited {
                        assert!(
                            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidArgument),
                            "{error}"
                        );
                    }
                }
            })
        })
        .collect();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    for round in 0..rounds(2_000) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let place = (random >> 50) as usize % 8;
        // Mostly it stays a condition variable, so that the rest is looked at.
        let value = if place == 1 && round % 4 != 0 { 0x5348_0701 } else { random };
        u64_at(bytes, 8 * place).store(value, SeqCst);
        let _ = condvar.notify_one();
        let _ = condvar.notify_n(random as u32 % 40);
    }
    done.store(1, SeqCst);
    children.into_iter().for_each(shm_testkit::Child::expect_success);
}
