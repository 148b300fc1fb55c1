//! Process mutexes and barriers whose bytes a neighbour scribbles over: errors, and no crash, panic or wait beyond a deadline.
#![allow(unsafe_code, reason = "plays the neighbour that writes into the objects")]

mod common;

use common::{fork, rounds, shared_bytes, shared_counters, wait_until, watchdog};
use shm_sync::{Barrier, ErrorKind, Primitive, ProcessMutex};
use shm_testkit::Child;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn u32_at(bytes: *mut u8, offset: usize) -> &'static AtomicU32 {
    // SAFETY: within the page, aligned, never unmapped.
    unsafe { AtomicU32::from_ptr(bytes.add(offset).cast()) }
}

fn u64_at(bytes: *mut u8, offset: usize) -> &'static AtomicU64 {
    // SAFETY: as above.
    unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) }
}

fn mutex(bytes: *mut u8) -> Result<ProcessMutex, shm_sync::Error> {
    // SAFETY: a zero page, shared, never unmapped; what the tests write there is what these tests are about.
    unsafe { ProcessMutex::from_ptr(bytes, 4096) }
}

fn barrier(bytes: *mut u8, parties: u32) -> Barrier {
    // SAFETY: as above.
    unsafe { Barrier::init_at(bytes, 4096, parties) }.unwrap()
}

#[test]
fn the_format_of_a_process_mutex_is_fixed() {
    let bytes = shared_bytes();
    let lock = mutex(bytes).unwrap();
    assert_eq!(u64_at(bytes, 8).load(SeqCst), 0x0000_003f_5348_0301);
    for ticket in 0..3 {
        lock.lock().unwrap().keep();
        assert_eq!(u32_at(bytes, 0).load(SeqCst), 0x2000_0000 | ticket << 8);
        lock.release().unwrap();
        assert_eq!(u32_at(bytes, 0).load(SeqCst), 0);
    }
    // SAFETY: gettid has no arguments and always succeeds.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    let me = shm_core::Identity::current();
    assert_eq!(u32_at(bytes, 64).load(SeqCst), tid);
    assert_eq!(u32_at(bytes, 68).load(SeqCst), 1, "one handle");
    let notes = [72, 80, 104, 112, 120].map(|offset| u64_at(bytes, offset).load(SeqCst));
    let boot = [0, 8].map(|half| u64::from_le_bytes(me.boot_id[half..half + 8].try_into().unwrap()));
    assert_eq!(notes, [me.start_time, me.pid.into(), me.pid_namespace, boot[0], boot[1]]);
    drop(lock);
    assert_eq!([64, 72, 80, 104, 112, 120].map(|offset| u64_at(bytes, offset).load(SeqCst)), [0; 6]);
}

#[test]
fn the_format_of_a_barrier_is_fixed() {
    let bytes = shared_bytes();
    let barrier = barrier(bytes, 2);
    assert_eq!([0, 8, 16].map(|offset| u64_at(bytes, offset).load(SeqCst)), [0, 0x0000_0002_5348_0901, 0]);
    let party = barrier.join().unwrap();
    // SAFETY: gettid has no arguments and always succeeds.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    assert_eq!(u32_at(bytes, 64).load(SeqCst), tid | 1 << 31);
    assert_eq!(u32_at(bytes, 68).load(SeqCst), 1);
    assert!(party.wait_timeout(Duration::from_millis(1)).is_err());
    let other = fork(|| _ = barrier.wait().unwrap());
    wait_until(|| u32_at(bytes, 0).load(SeqCst) & 0xffff == 1);
    party.wait().unwrap();
    other.expect_success();
    assert_eq!(u32_at(bytes, 0).load(SeqCst), 1 << 16);
    barrier.abort().unwrap();
    assert_eq!(u32_at(bytes, 0).load(SeqCst), 1 << 30 | 1 << 16);
    barrier.reset().unwrap();
    assert_eq!(u32_at(bytes, 0).load(SeqCst), 3 << 16);
    drop(party);
    assert_eq!(u64_at(bytes, 64).load(SeqCst), 0);
}

#[test]
fn damage_is_an_error() {
    let _watchdog = watchdog();
    let bytes = shared_bytes();
    let lock = mutex(bytes).unwrap();
    drop(lock.lock().unwrap());
    // No slot of that number; a slot that nobody has; bits that mean nothing.
    for word in [0x2000_00ff, 0x2000_0005, 0x0000_1234] {
        u32_at(bytes, 0).store(word, SeqCst);
        assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Corrupt, "{word:#x}");
        assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Corrupt, "{word:#x}");
        assert_eq!(lock.holder(), None);
    }
    assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::Corrupt);
    u32_at(bytes, 0).store(0, SeqCst);
    u32_at(bytes, 8).store(7, SeqCst);
    assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(u32_at(bytes, 0).load(SeqCst), 0, "not left locked");
    assert_eq!(mutex(bytes).unwrap_err().kind(), ErrorKind::Mismatch);

    let bytes = shared_bytes();
    let barrier = barrier(bytes, 2);
    u32_at(bytes, 0).store(2, SeqCst);
    assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Corrupt);
    u32_at(bytes, 0).store(0, SeqCst);
    u32_at(bytes, 12).store(60, SeqCst);
    assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(barrier.join().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(barrier.reset().unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Writes random words into the first `len` bytes, often such that mean something, until the page's last word says stop.
fn scribble(bytes: *mut u8, len: usize, stop: &AtomicU32, mut random: u64) {
    while stop.load(SeqCst) == 0 {
        for _ in 0..20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let value = (random >> 32) as u32;
            let value = match random % 5 {
                0 => 0,
                1 => value & 0xe000_00ff | 0x2000_0000,
                2 => value & 0xc003_0007,
                3 => std::process::id(),
                _ => value,
            };
            // Mostly at the front, where every call looks.
            let offset = if random & 64 == 0 { 0 } else { (random >> 8) as usize % (len / 4) * 4 };
            // The identity is left alone now and then, so that calls get further.
            if !(8..16).contains(&offset) || random.is_multiple_of(64) {
                u32_at(bytes, offset).store(value, SeqCst);
            }
        }
        std::thread::sleep(Duration::from_micros(20));
        u64_at(bytes, 8).store(u64_at(bytes, 4088).load(SeqCst), SeqCst);
    }
}

/// Runs `calls` in three children while a fourth one scribbles.
fn while_scribbling(bytes: *mut u8, len: usize, seed: u64, calls: impl Fn()) {
    let stop = &shared_counters()[0];
    u64_at(bytes, 4088).store(u64_at(bytes, 8).load(SeqCst), SeqCst);
    let scribbler = fork(|| scribble(bytes, len, stop, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let callers: Vec<_> = (0..3).map(|_| fork(&calls)).collect();
    callers.into_iter().for_each(Child::expect_success);
    stop.store(1, SeqCst);
    scribbler.expect_success();
}

#[test]
fn scribbling_over_a_process_mutex() {
    let _watchdog = watchdog();
    for seed in 1..=rounds(5) as u64 {
        let bytes = shared_bytes();
        let lock = mutex(bytes).unwrap();
        while_scribbling(bytes, 640, seed, || {
            for round in 0..60 {
                let _ = lock.try_lock();
                match lock.lock_timeout(Duration::from_millis(1)) {
                    Ok(guard) if round % 2 == 0 => guard.keep(),
                    other => drop(other),
                }
                let _ = lock.holder();
                let _ = lock.release();
            }
        });
    }
}

#[test]
fn scribbling_over_a_barrier() {
    let _watchdog = watchdog();
    for seed in 1..=rounds(5) as u64 {
        let bytes = shared_bytes();
        let barrier = barrier(bytes, 3);
        while_scribbling(bytes, 256, seed, || {
            for round in 0..60 {
                let _ = barrier.wait_timeout(Duration::from_millis(1));
                if let Ok(party) = barrier.join() {
                    let _ = party.wait_timeout(Duration::from_millis(1));
                }
                let _ = (barrier.is_broken(), barrier.n_waiting());
                if round % 5 == 0 {
                    let _ = barrier.reset();
                }
            }
        });
    }
}
