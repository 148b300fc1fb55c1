//! What reading and writing cost uncontended, beside glibc's process-shared reader-writer lock in the same run; and the recursive mutex and the
//! finished once.
//!
//! `cargo run --release -p shm-sync --example rwlock_speed`

#![allow(unsafe_code, reason = "the C library's lock, for comparison")]

use shm_sync::{Once, Primitive, RecursiveMutex, RwLock};
use std::hint::black_box;
use std::time::Instant;

const OPERATIONS: u32 = 200_000;
const SLICES: u32 = 60;

/// Nanoseconds for an operation, in the best of several slices.
fn best(mut operation: impl FnMut()) -> f64 {
    (0..SLICES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..OPERATIONS {
                operation();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
        })
        .fold(f64::INFINITY, f64::min)
}

/// glibc's lock in shared pages, with a value behind it.
fn glibc() -> (*mut libc::pthread_rwlock_t, *mut u64) {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses, zero and writable; the attribute object is initialised before use.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(pages, libc::MAP_FAILED);
        let mut attributes = std::mem::zeroed();
        libc::pthread_rwlockattr_init(&mut attributes);
        libc::pthread_rwlockattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
        assert_eq!(libc::pthread_rwlock_init(pages.cast(), &attributes), 0);
        (pages.cast(), pages.cast::<u64>().add(64))
    }
}

fn main() {
    let (theirs, value) = glibc();
    let ours = RwLock::<u64>::anonymous(0).unwrap();
    let read = best(|| {
        black_box(*ours.read().unwrap());
    });
    let write = best(|| *ours.write().unwrap() += 1);
    // SAFETY: initialised and never unmapped; the value is touched under the lock only.
    let their_read = best(|| unsafe {
        libc::pthread_rwlock_rdlock(theirs);
        black_box(*value);
        libc::pthread_rwlock_unlock(theirs);
    });
    // SAFETY: as above.
    let their_write = best(|| unsafe {
        libc::pthread_rwlock_wrlock(theirs);
        *value += 1;
        libc::pthread_rwlock_unlock(theirs);
    });
    println!("read:  {read:5.1} ns, glibc {their_read:5.1} ns");
    println!("write: {write:5.1} ns, glibc {their_write:5.1} ns");

    // As many slots used as there are: the most that a writer has to look at.
    let guards = std::sync::Barrier::new(62);
    std::thread::scope(|scope| {
        for _ in 0..62 {
            scope.spawn(|| {
                let guard = ours.read().unwrap();
                guards.wait();
                drop(guard);
            });
        }
    });
    println!("write after 62 readers at once: {:5.1} ns", best(|| *ours.write().unwrap() += 1));

    let recursive = RecursiveMutex::anonymous(0u64).unwrap();
    println!("recursive mutex, first: {:5.1} ns", best(|| recursive.lock().unwrap().set(1)));
    let outer = recursive.lock().unwrap();
    println!("recursive mutex, again: {:5.1} ns", best(|| recursive.lock().unwrap().set(1)));
    drop(outer);

    let once = Once::anonymous(()).unwrap();
    println!("finished once: {:5.1} ns", best(|| black_box(&once).call_once(|| ()).unwrap()));
}
