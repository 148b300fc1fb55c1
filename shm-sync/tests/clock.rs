//! Jumps of the wall clock: no wait looks at it.
//!
//! Setting the machine's clock in a test would disturb everybody on it. So each timed wait runs in a child whose kernel kills it as soon as it asks for a
//! sleep on any clock but the monotonic one, which cannot be set (seccomp(2), futex(2), clock_settime(2)).
#![allow(unsafe_code, reason = "installs a filter for system calls")]

mod common;

use common::{fork, shared_counters, wait_until, watchdog};
use shm_sync::{
    Barrier, BoundedSemaphore, ByteChannel, Channel, Condvar, Error, ErrorKind, Event, Latch, Mutex, Once,
    Primitive, ProcessMutex, RecursiveMutex, RwLock, Semaphore, Sequencer, WaitOutcome,
};
use shm_testkit::Status;
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);

/// Has the kernel kill this process when it sleeps on a futex by another clock than the monotonic one.
fn only_the_monotonic_clock() {
    const REALTIME: u32 = libc::FUTEX_CLOCK_REALTIME.unsigned_abs();
    let argument = |index: usize| (offset_of!(libc::seccomp_data, args) + 8 * index) as u32;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let any_bit = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let filter = [
        load(offset_of!(libc::seccomp_data, nr) as u32),
        jump(equal, libc::SYS_futex as u32, 0, 2),
        load(argument(1)),
        jump(any_bit, REALTIME, 4, 3),
        jump(equal, libc::SYS_futex_waitv as u32, 0, 2),
        load(argument(4)),
        jump(equal, libc::CLOCK_MONOTONIC.unsigned_abs(), 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and its instructions live until the calls have copied them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// Runs waits in a child that may sleep by the monotonic clock only.
fn guarded(waits: impl FnOnce()) -> Status {
    fork(|| {
        only_the_monotonic_clock();
        waits();
    })
    .wait()
}

#[test]
fn the_filter_kills_who_sleeps_by_the_wall_clock() {
    let _watchdog = watchdog();
    let status = guarded(|| {
        let word = 0u32;
        let now = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_CLOCK_REALTIME;
        // SAFETY: a valid word and time; the time has passed long ago.
        unsafe { libc::syscall(libc::SYS_futex, &raw const word, operation, 0, &raw const now, 0, !0u32) };
    });
    assert_eq!(status, Status::Killed(libc::SIGSYS));
}

fn timed_out<T, E: Into<Error>>(outcome: Result<T, E>) {
    assert_eq!(outcome.map(drop).map_err(|error| error.into().kind()), Err(ErrorKind::TimedOut));
}

#[test]
fn no_wait_sleeps_by_the_wall_clock() {
    let _watchdog = watchdog();
    let (mutex, process_mutex) = (Mutex::anonymous(0u32).unwrap(), ProcessMutex::anonymous(()).unwrap());
    let (lock, recursive) = (RwLock::<u32>::anonymous(0).unwrap(), RecursiveMutex::anonymous(0u32).unwrap());
    let _held = (mutex.lock(), process_mutex.lock(), lock.write(), recursive.lock());
    let soon = || Instant::now() + SHORT;
    let status = guarded(|| {
        timed_out(mutex.lock_timeout(SHORT));
        timed_out(mutex.lock_until(soon()));
        timed_out(mutex.lock_interruptible(Some(soon())));
        timed_out(recursive.lock_timeout(SHORT));
        timed_out(recursive.lock_interruptible(Some(soon())));
        timed_out(lock.read_timeout(SHORT));
        timed_out(lock.read_interruptible(Some(soon())));
        timed_out(lock.write_timeout(SHORT));
        timed_out(lock.write_interruptible(Some(soon())));
        timed_out(process_mutex.lock_timeout(SHORT));
        timed_out(process_mutex.lock_interruptible(Some(soon())));
        let semaphore = Semaphore::anonymous(0).unwrap();
        timed_out(semaphore.acquire_timeout(SHORT));
        timed_out(semaphore.acquire_interruptible(Some(soon())));
        let bounded = BoundedSemaphore::anonymous(1).unwrap();
        let _permit = bounded.acquire().unwrap();
        timed_out(bounded.acquire_timeout(SHORT));
        timed_out(bounded.acquire_interruptible(Some(soon())));
        let event = Event::anonymous(false).unwrap();
        timed_out(event.wait_timeout(SHORT));
        timed_out(event.wait_interruptible(Some(soon())));
        let latch = Latch::anonymous(1).unwrap();
        timed_out(latch.wait_timeout(SHORT));
        timed_out(latch.wait_interruptible(Some(soon())));
        let barrier = Barrier::anonymous(2).unwrap();
        timed_out(barrier.wait_timeout(SHORT));
        timed_out(barrier.wait_interruptible(Some(soon())));
        let sequencer = Sequencer::anonymous(0).unwrap();
        timed_out(sequencer.turn_timeout(1, SHORT));
        timed_out(sequencer.turn_interruptible(1, Some(soon())));
        let channel = Channel::<u64>::anonymous(1).unwrap();
        timed_out(channel.recv_timeout(SHORT));
        while channel.try_send(0).is_ok() {}
        timed_out(channel.send_timeout(0, SHORT));
        let channel = ByteChannel::anonymous(64).unwrap();
        timed_out(channel.recv_interruptible(Some(soon())));
        while channel.try_send(&[0; 8]).is_ok() {}
        timed_out(channel.send_interruptible(&[0; 8], Some(soon())));
        let mutex = Mutex::anonymous(0u32).unwrap();
        let condvar = Condvar::anonymous(()).unwrap();
        let (guard, outcome) = condvar.wait_timeout(mutex.lock().unwrap(), SHORT).unwrap();
        assert_eq!(outcome, WaitOutcome::TimedOut);
        let (_guard, outcome) = condvar.wait_interruptible(guard, Some(soon())).unwrap();
        assert_eq!(outcome, WaitOutcome::TimedOut);
    });
    assert_eq!(status, Status::Exited(0));
    // A once is being run by another process meanwhile.
    let once = Once::anonymous(()).unwrap();
    let begun = shared_counters();
    let running = fork(|| {
        once.call_once(|| {
            begun[0].store(1, SeqCst);
            wait_until(|| begun[1].load(SeqCst) == 1);
        })
        .unwrap();
    });
    wait_until(|| begun[0].load(SeqCst) == 1);
    let status = guarded(|| {
        timed_out(once.call_once_timeout(SHORT, || ()));
        timed_out(once.call_once_interruptible(Some(soon()), || ()));
    });
    assert_eq!(status, Status::Exited(0));
    begun[1].store(1, SeqCst);
    running.expect_success();
}
