//! Damaged bytes: errors with nothing changed, no crash, and no write that a neighbour could steer.
#![allow(
    unsafe_code,
    reason = "plays the neighbour that writes into the lock, and glibc's robust mutexes beside it"
)]

mod common;

use common::{fork, shared_bytes, watchdog};
use shm_sync::{ErrorKind, LockError, Mutex, Primitive};
use shm_testkit::Status;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const WORD: usize = 0;
const STATE: usize = 4;
const IDENTITY: usize = 8;
const NEXT: usize = 32;
const VALUE: usize = 64;

/// A mutex in plain shared bytes, and these bytes.
fn place() -> (Mutex<u64>, *mut u8) {
    let bytes = shared_bytes();
    (attach(bytes).unwrap(), bytes)
}

fn attach(bytes: *mut u8) -> Result<Mutex<u64>, shm_sync::Error> {
    // SAFETY: a zero page, shared, never unmapped; what the tests write there is what these tests are about.
    unsafe { Mutex::from_ptr(bytes, 4096) }
}

fn u32_at(bytes: *mut u8, offset: usize) -> &'static AtomicU32 {
    // SAFETY: within the page, aligned, never unmapped.
    unsafe { AtomicU32::from_ptr(bytes.add(offset).cast()) }
}

fn u64_at(bytes: *mut u8, offset: usize) -> &'static AtomicU64 {
    // SAFETY: as above.
    unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) }
}

fn lock_bytes(bytes: *mut u8) -> [u64; 8] {
    std::array::from_fn(|i| u64_at(bytes, 8 * i).load(SeqCst))
}

#[test]
fn zero_bytes_are_a_mutex_and_the_format_is_fixed() {
    let (mutex, bytes) = place();
    // `SH`, kind 1, version 1, and a value of 8 bytes; everything else is still zero.
    assert_eq!(lock_bytes(bytes), [0, 0x0000_0008_5348_0101, 0, 0, 0, 0, 0, 0]);
    let mut guard = mutex.lock().unwrap();
    assert_eq!(*guard, 0);
    *guard = 5;
    // SAFETY: gettid has no arguments and always succeeds.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    assert_eq!(u32_at(bytes, WORD).load(SeqCst), tid);
    assert_eq!(u64_at(bytes, VALUE).load(SeqCst), 5);
    drop(guard);
    assert_eq!(u32_at(bytes, WORD).load(SeqCst), 0);
    assert_eq!(*attach(bytes).unwrap().lock().unwrap(), 5);
}

#[test]
fn what_is_not_this_mutex_is_refused_and_left_alone() {
    for identity in [1, 0x0000_0008_5348_0102, 0x0000_0008_5348_0201, 0x0000_0004_5348_0101, u64::MAX] {
        let bytes = shared_bytes();
        u64_at(bytes, IDENTITY).store(identity, SeqCst);
        let before = lock_bytes(bytes);
        assert_eq!(attach(bytes).unwrap_err().kind(), ErrorKind::Mismatch, "{identity:#x}");
        assert_eq!(lock_bytes(bytes), before);
    }
    let (_mutex, bytes) = place();
    // SAFETY: as in `attach`.
    assert_eq!(unsafe { Mutex::<u32>::from_ptr(bytes, 4096) }.unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn misaligned_addresses_are_refused() {
    let bytes = shared_bytes();
    for offset in [1, 4, 8, 32, 63] {
        // SAFETY: within the page; the alignment is what is tested.
        let error = unsafe { Mutex::<u8>::from_ptr(bytes.add(offset), 4096 - offset) }.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misaligned);
        assert!(error.to_string().contains("64"), "{error}");
    }
    // SAFETY: null is refused.
    let null = unsafe { Mutex::<u8>::from_ptr(std::ptr::null_mut(), 4096) };
    assert_eq!(null.unwrap_err().kind(), ErrorKind::Misaligned);
    assert_eq!(lock_bytes(bytes), [0; 8]);
}

#[test]
fn damage_after_attaching_is_an_error() {
    let (mutex, bytes) = place();
    let identity = u64_at(bytes, IDENTITY).load(SeqCst);
    for (offset, wrong, right) in [(STATE, 77, 0), (IDENTITY, 0, identity as u32), (IDENTITY + 4, 9, 8)] {
        u32_at(bytes, offset).store(wrong, SeqCst);
        assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(u32_at(bytes, WORD).load(SeqCst), 0, "not left locked");
        u32_at(bytes, offset).store(right, SeqCst);
        drop(mutex.lock().unwrap());
    }
}

#[test]
fn every_kind_of_word_is_survived() {
    let _watchdog = watchdog();
    let (mutex, bytes) = place();
    // SAFETY: gettid has no arguments and always succeeds.
    let own = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    for flags in 0..4u32 {
        for tid in [0, 1, own, 0x3fff_ffff] {
            let word = flags << 30 | tid;
            u32_at(bytes, WORD).store(word, SeqCst);
            let tried = mutex.try_lock().map(drop).map_err(|error| error.kind());
            u32_at(bytes, WORD).store(word, SeqCst);
            u32_at(bytes, STATE).store(0, SeqCst);
            let waited = mutex.lock_timeout(Duration::from_millis(1)).map(drop).map_err(|error| error.kind());
            u32_at(bytes, STATE).store(0, SeqCst);
            let expected = match tid {
                0 if flags & 1 == 0 => (Ok(()), Ok(())),
                0 => (Err(ErrorKind::OwnerDied), Err(ErrorKind::OwnerDied)),
                tid if tid == own => (Err(ErrorKind::Corrupt), Err(ErrorKind::Corrupt)),
                _ => (Err(ErrorKind::Busy), Err(ErrorKind::TimedOut)),
            };
            assert_eq!((tried, waited), expected, "{word:#x}");
        }
    }
    u32_at(bytes, WORD).store(0, SeqCst);
    drop(mutex.lock().unwrap());
}

/// A neighbour rewrites the links (and everything else) of held locks: unlocking in any order writes to no place but the locks.
#[test]
fn scrambled_links_steer_no_write() {
    let _watchdog = watchdog();
    // A page that a link could lead to, with a bait that looks like a lock of this thread.
    let bait = shared_bytes();
    // SAFETY: gettid has no arguments and always succeeds.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    for offset in (0..4096).step_by(8) {
        u64_at(bait, offset).store(u64::from(tid) | 0xABCD << 48, SeqCst);
    }
    let image: Vec<u64> = (0..4096).step_by(8).map(|offset| u64_at(bait, offset).load(SeqCst)).collect();
    let places: Vec<_> = (0..6).map(|_| place()).collect();
    for link in [0, 1, 7, bait.addr() as u64 + 160, 0xdead_beef_0000, u64::MAX - 8] {
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
            let mut guards: Vec<_> = places.iter().map(|(mutex, _)| Some(mutex.lock().unwrap())).collect();
            for (_, bytes) in &places {
                for offset in (16..VALUE).step_by(8) {
                    u64_at(*bytes, offset).store(link, SeqCst);
                }
            }
            for index in order {
                guards[index] = None;
                // Taking and giving up another one in between goes through the same list.
                drop(places[index].0.lock().unwrap());
                u64_at(places[index].1, NEXT).store(link, SeqCst);
            }
            for (_, bytes) in &places {
                assert_eq!(u32_at(*bytes, WORD).load(SeqCst), 0);
            }
        }
    }
    let after: Vec<u64> = (0..4096).step_by(8).map(|offset| u64_at(bait, offset).load(SeqCst)).collect();
    assert_eq!(image, after);
}

/// glibc's robust mutexes stand on the same list. Taken and given up in all mixtures with ours, both stay right, and the
/// kernel finds both kinds when the thread dies.
struct Glibc(*mut libc::pthread_mutex_t);

impl Glibc {
    fn new(protocol: libc::c_int) -> Self {
        let mutex = shared_bytes().cast();
        // SAFETY: a zero page that stays; the attributes are initialised before use.
        unsafe {
            let mut attributes = std::mem::zeroed();
            libc::pthread_mutexattr_init(&mut attributes);
            libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutexattr_setprotocol(&mut attributes, protocol);
            assert_eq!(libc::pthread_mutex_init(mutex, &attributes), 0);
        }
        Self(mutex)
    }

    fn lock(&self) -> i32 {
        // SAFETY: initialised and never unmapped.
        unsafe { libc::pthread_mutex_lock(self.0) }
    }

    fn unlock(&self) {
        // SAFETY: as above; the tests hold it.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0) }, 0);
    }

    /// Whether the holder died; recovers and unlocks.
    fn died(&self) -> bool {
        let status = self.lock();
        if status == libc::EOWNERDEAD {
            // SAFETY: as above; held with the news.
            assert_eq!(unsafe { libc::pthread_mutex_consistent(self.0) }, 0);
        } else {
            assert_eq!(status, 0);
        }
        self.unlock();
        status == libc::EOWNERDEAD
    }
}

/// Pseudo-random numbers, the same every time (xorshift).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as usize
}

#[test]
fn both_kinds_of_robust_locks_share_the_list() {
    let _watchdog = watchdog();
    for seed in 1..=common::rounds(40) as u64 {
        let ours: Vec<_> = (0..4).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
        let theirs: Vec<_> = (0..4)
            .map(|i| Glibc::new(if i == 3 { libc::PTHREAD_PRIO_INHERIT } else { libc::PTHREAD_PRIO_NONE }))
            .collect();
        let held = common::shared_counters();
        let mut child = fork(|| {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut guards: Vec<_> = ours.iter().map(|_| None).collect();
            let mut glibc = [false; 4];
            for _ in 0..60 {
                let index = next(&mut random) % 8;
                match index {
                    0..4 if guards[index].is_some() => guards[index] = None,
                    0..4 => guards[index] = Some(ours[index].lock().unwrap()),
                    _ if glibc[index - 4] => theirs[index - 4].unlock(),
                    _ => assert_eq!(theirs[index - 4].lock(), 0),
                }
                if index >= 4 {
                    glibc[index - 4] = !glibc[index - 4];
                }
            }
            for index in 0..4 {
                held[index].store(u32::from(guards[index].is_some()), SeqCst);
                held[index + 4].store(u32::from(glibc[index]), SeqCst);
            }
            // SAFETY: ends this process at once.
            unsafe { libc::raise(libc::SIGKILL) };
        });
        assert_eq!(child.wait(), Status::Killed(libc::SIGKILL), "seed {seed}: {:?}", child.panic_message());
        for index in 0..4 {
            let died = match ours[index].lock() {
                Ok(_) => false,
                Err(LockError::OwnerDied(left)) => {
                    drop(left.recover());
                    true
                }
                Err(error) => panic!("seed {seed}: {error}"),
            };
            assert_eq!(died, held[index].load(SeqCst) == 1, "seed {seed}, ours {index}");
            assert_eq!(
                theirs[index].died(),
                held[index + 4].load(SeqCst) == 1,
                "seed {seed}, glibc's {index}"
            );
        }
    }
}
