//! Runners of a once, and holders of a recursive mutex, killed at every store and system call; and hostile bytes in them and in the
//! reader-writer lock.
#![allow(unsafe_code, reason = "raw looks at the bytes, and plays the neighbour that writes into them")]

mod common;

use common::{
    DoubleKill, announce_list, fork, kill_everywhere, shared_bytes, shared_counters, wait_until, watchdog,
};
use shm_sync::{Error, ErrorKind, LockError, Once, Primitive, RecursiveMutex, RwLock};
use shm_testkit::{Child, announce, kill_zone};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);

fn kind<T>(result: Result<T, impl Into<Error>>) -> Option<ErrorKind> {
    result.err().map(|error| error.into().kind())
}

/// A primitive in a page of plain shared bytes, so that the kill test can watch them.
fn place<P: Primitive>() -> (P, *mut u8) {
    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped, and used as this primitive only; the hostile test answers for what it writes.
    (unsafe { P::from_ptr(bytes, 4096) }.unwrap(), bytes)
}

fn announce_place(bytes: *mut u8) {
    announce(bytes, 80);
    announce_list();
}

#[test]
fn killed_anywhere_in_running_a_once() {
    for died_before in [false, true] {
        kill_everywhere(
            "call once",
            || {
                let (once, bytes) = place::<Once>();
                let made = &shared_counters()[0];
                if died_before {
                    let died = fork(|| {
                        let end = || {
                            // SAFETY: ends this process at once, in the middle of the run.
                            unsafe { libc::_exit(0) }
                        };
                        once.call_once(end).unwrap();
                    });
                    died.expect_success();
                }
                (once, bytes, made)
            },
            |(once, bytes, made)| {
                announce_place(*bytes);
                announce(made.as_ptr(), 4);
                kill_zone(|| {
                    once.call_once_force(|state| {
                        assert_eq!(state.previous_died(), died_before);
                        made.store(1, SeqCst);
                    })
                    .unwrap();
                });
            },
            |(once, _, made), number| {
                let before = once.is_completed();
                let mut told = None;
                once.call_once_force_timeout(FAR, |state| {
                    told = Some(state.previous_died());
                    made.store(2, SeqCst);
                })
                .unwrap();
                let seen = made.load(SeqCst);
                match told {
                    None => assert!(before && seen == 1, "done, so it was done whole"),
                    Some(told) => assert!(!before && seen == 2 && (told || !died_before)),
                }
                assert!(told.is_some() || number > 1);
                fork(|| once.call_once(|| panic!("done already")).unwrap()).expect_success();
            },
        );
    }
}

#[test]
fn killed_anywhere_in_locking_recursively() {
    kill_everywhere(
        "lock twice and unlock",
        place::<RecursiveMutex<[u32; 2]>>,
        |(mutex, bytes)| {
            announce_place(*bytes);
            kill_zone(|| {
                let outer = mutex.lock().unwrap();
                outer.as_array_of_cells()[0].set(1);
                let inner = mutex.lock().unwrap();
                drop(outer);
                inner.as_array_of_cells()[1].set(1);
                drop(inner);
            });
        },
        |(mutex, _), _| {
            match mutex.lock_timeout(FAR) {
                Ok(guard) => assert!(matches!(guard.get(), [0, 0] | [1, 1]), "whole: nobody died with it"),
                Err(LockError::OwnerDied(left)) => {
                    assert!(matches!(left.get(), [0, 0] | [1, 0] | [1, 1]));
                    drop(left.recover());
                }
                Err(error) => panic!("{error}"),
            }
            fork(|| {
                let (outer, inner) = (mutex.try_lock().unwrap(), mutex.try_lock().unwrap());
                drop(outer);
                inner.set([9, 9]);
            })
            .expect_success();
            assert_eq!(mutex.try_lock().unwrap().get(), [9, 9]);
        },
    );
}

#[test]
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    let mutex = RecursiveMutex::anonymous(0u32).unwrap();
    let guard = mutex.lock().unwrap();
    DoubleKill {
        victim: || drop(mutex.lock()),
        survivor: || mutex.lock().unwrap().set(1),
        wake: || drop(guard),
        meanwhile: || (),
    }
    .run_then(drop);
    assert_eq!(mutex.lock().unwrap().get(), 1);

    let once = Once::anonymous(()).unwrap();
    let go = &shared_counters()[0];
    let running = fork(|| {
        once.call_once(|| {
            go.store(1, SeqCst);
            wait_until(|| go.load(SeqCst) == 2);
        })
        .unwrap();
    });
    wait_until(|| go.load(SeqCst) == 1);
    DoubleKill {
        victim: || once.call_once(|| ()).unwrap(),
        survivor: || once.call_once(|| panic!("another runs it")).unwrap(),
        wake: || {
            go.store(2, SeqCst);
            wait_until(|| once.is_completed());
        },
        meanwhile: || (),
    }
    .run_then(drop);
    running.expect_success();
    assert!(once.is_completed());
}

/// Pseudo-random numbers, the same every time (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}

/// A neighbour scribbles into the bytes while others use them, with deadlines: they get errors, or what they take for a lock; nobody crashes,
/// panics or outlasts the deadline by more than a hang would.
fn scribble(bytes: *mut u8, len: usize, seed: u64, use_it: impl Fn() + Sync) {
    let stop = shared_counters();
    let users: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                while stop[0].load(SeqCst) == 0 {
                    use_it();
                }
            })
        })
        .collect();
    let mut random = seed;
    for _ in 0..common::rounds(3_000) {
        let at = (next(&mut random) as usize % len) & !3;
        let value = match next(&mut random) % 4 {
            0 => 0,
            1 => next(&mut random) as u32,
            2 => 1 << (next(&mut random) % 32),
            _ => users[0].pid() as u32,
        };
        // SAFETY: within the page, aligned to 4, never unmapped.
        unsafe { AtomicU32::from_ptr(bytes.add(at).cast()) }.store(value, SeqCst);
        if next(&mut random).is_multiple_of(4) {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    stop[0].store(1, SeqCst);
    users.into_iter().for_each(Child::expect_success);
}

#[test]
fn scrambled_bytes_crash_and_hang_nobody() {
    let _watchdog = watchdog();
    let short = Duration::from_millis(1);
    for seed in 1..4u64 {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (lock, bytes) = place::<RwLock<u64, 3>>();
        scribble(bytes, 256, seed, || {
            let _ = lock.read_timeout(short).map(|guard| *guard);
            let _ = lock.write_timeout(short).map(|mut guard| *guard += 1);
            let _ = lock.try_read().map(|guard| (*guard, kind(lock.read_timeout(short).map(drop))));
            let _ = lock.write_timeout(short).map(|guard| *guard.downgrade());
            let _ = lock.read_timeout(short).or_else(LockError::recover).map(|guard| *guard);
        });
        let (mutex, bytes) = place::<RecursiveMutex<u64>>();
        scribble(bytes, 64, seed, || {
            let _ = mutex.lock_timeout(short).map(|guard| {
                guard.set(1);
                let _ = mutex.lock_timeout(short).map(|guard| guard.get());
            });
            let _ = mutex.try_lock().or_else(LockError::recover).map(|guard| guard.get());
        });
        let (once, bytes) = place::<Once>();
        scribble(bytes, 64, seed, || {
            let _ = once.call_once_timeout(short, || ());
            let _ = once.call_once_force_timeout(short, |_| ());
        });
    }
}

#[test]
fn the_format_of_the_reader_writer_lock_is_fixed_and_damage_is_found() {
    let (lock, bytes) = place::<RwLock<u64, 3>>();
    // SAFETY: within the page, aligned, never unmapped.
    let at = |offset: usize| unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) };
    assert_eq!(at(8).load(SeqCst), 0x0000_0008_5348_0401, "`SH`, kind 4, version 1, 8 bytes");
    assert_eq!(at(16).load(SeqCst), 3 << 32, "three places, none used");
    let reading = [lock.read().unwrap(), lock.read().unwrap()];
    assert_eq!((at(16).load(SeqCst), at(64 + 40).load(SeqCst)), (3 << 32 | 1, 1), "one place, taken twice");
    drop(reading);
    let writing = lock.write().unwrap();
    assert_eq!(at(0).load(SeqCst) >> 32, 2, "being written");
    drop(writing);
    assert_eq!(at(0).load(SeqCst), 0);
    for (offset, wrong) in
        [(0, 77 << 32), (8, 0x0000_0008_5348_0101), (16, 4 << 32), (16, 3 << 32 | 4), (16, 0)]
    {
        let right = at(offset).swap(wrong, SeqCst);
        for error in [kind(lock.read()), kind(lock.try_read()), kind(lock.write()), kind(lock.try_write())] {
            assert_eq!(error, Some(ErrorKind::Corrupt), "{wrong:#x} at {offset}");
        }
        assert_eq!(at(0).load(SeqCst) as u32, 0, "not left locked");
        at(offset).store(right, SeqCst);
        drop(lock.write().unwrap());
    }
    // SAFETY: gettid has no arguments and always succeeds.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u64;
    for offset in [0, 64] {
        at(offset).store(tid, SeqCst);
        assert_eq!(kind(lock.write()), Some(ErrorKind::Corrupt), "names this thread, which does not have it");
        at(offset).store(0, SeqCst);
    }
    at(64 + 40).store(u64::MAX, SeqCst);
    // SAFETY: as above; a place that a dead reader has left.
    unsafe { AtomicU32::from_ptr(bytes.add(64).cast()) }.store(1 << 30, SeqCst);
    let guard = lock.read().unwrap();
    assert_eq!(at(64 + 40).swap(u64::from(u32::MAX), SeqCst), 0, "a dead reader's depth does not matter");
    assert_eq!(kind(lock.read()), Some(ErrorKind::TooDeep));
    at(64 + 40).store(0, SeqCst);
    drop(guard);
    drop(lock.try_write().unwrap());
}
