//! Several processes doing the same at the same time, or by turns: what contended locks and hand-overs are measured with.

#![allow(unsafe_code, reason = "fork, shared pages and CPU affinity")]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

/// A zero page shared with the processes forked from here on. It is never unmapped.
pub fn shared_page() -> *mut u8 {
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    assert_ne!(page, libc::MAP_FAILED, "no memory for a page");
    page.cast()
}

/// Counters in a page of their own.
fn shared_counters() -> &'static [AtomicU64; 512] {
    // SAFETY: a whole zero page, aligned, never unmapped, used through atomics only.
    unsafe { &*shared_page().cast() }
}

/// Runs `work` in a forked process, on this CPU if there is one of that number; the process ends with it.
fn fork(cpu: usize, work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child runs `work`, which the callers keep to what a forked process may do, and ends at once; benches have one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        pin(cpu);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends this process without its parent's exit handlers.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    pid
}

/// Forks so many processes that end at once, and waits for them.
pub fn fork_and_wait(processes: usize) {
    let children: Vec<_> = (0..processes)
        .map(|_| {
            // SAFETY: the child ends at once; benches have one thread at this point, and `_exit` needs no lock.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: no preconditions.
                unsafe { libc::_exit(0) };
            }
            assert!(pid > 0, "cannot fork: {}", std::io::Error::last_os_error());
            pid
        })
        .collect();
    children.into_iter().for_each(join);
}

/// Has a process sleep, kills it and waits for it; returns the time from the kill on.
pub fn kill_and_wait() -> Duration {
    // SAFETY: as in `fork_and_wait`; `pause` has no preconditions.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        loop {
            // SAFETY: no preconditions.
            unsafe { libc::pause() };
        }
    }
    assert!(pid > 0, "cannot fork: {}", std::io::Error::last_os_error());
    std::thread::sleep(Duration::from_millis(1)); // it sleeps by then
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: the child is ours and not waited for yet; `status` is room for the answer.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
    }
    start.elapsed()
}

fn join(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: waits for our own child; `status` is room for the answer.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "a process of the bench failed");
}

/// Keeps the calling thread on one CPU, of those that there are.
fn pin(cpu: usize) {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    // SAFETY: the set is a plain value, filled before it is passed with its size. A refusal leaves the thread where it may run.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu % cpus, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// How a contended run went.
#[derive(Clone, Copy, Debug)]
pub struct Contention {
    /// From the moment when all begin to the moment when the last one ends.
    pub elapsed: Duration,
    /// The longest that any process waited for a single operation.
    pub longest: Duration,
}

/// Has `processes` processes do `operation` `each` times, all at the same time, each on a core of its own as far as there are any.
pub fn contend(processes: usize, each: u64, operation: impl Fn()) -> Contention {
    let counters = shared_counters();
    let (ready, go, finished) = (&counters[0], &counters[8], &counters[16]);
    let longest = &counters[24];
    let children: Vec<_> = (0..processes)
        .map(|index| {
            fork(index, || {
                ready.fetch_add(1, SeqCst);
                while go.load(SeqCst) == 0 {
                    std::hint::spin_loop();
                    if processes > 2 {
                        std::thread::yield_now();
                    }
                }
                let mut worst = Duration::ZERO;
                let mut left = each;
                // The clock is read every 16 operations: it costs as much as one.
                while left > 0 {
                    let some = left.min(16);
                    let start = Instant::now();
                    for _ in 0..some {
                        operation();
                    }
                    worst = worst.max(start.elapsed());
                    left -= some;
                }
                longest.fetch_max(worst.as_nanos() as u64, Relaxed);
                finished.fetch_add(1, SeqCst);
            })
        })
        .collect();
    while ready.load(SeqCst) < processes as u64 {
        std::thread::yield_now();
    }
    let start = Instant::now();
    go.store(1, SeqCst);
    children.into_iter().for_each(join);
    Contention { elapsed: start.elapsed(), longest: Duration::from_nanos(longest.load(Relaxed)) }
}

/// Has two processes, each on a core of its own, take turns: this one does `here(i)` and another one `there(i)`, for i from 0 on.
pub fn take_turns(rounds: u64, mut here: impl FnMut(u64), mut there: impl FnMut(u64)) -> Duration {
    let counters = shared_counters();
    let ready = &counters[0];
    // On the second core, so that this thread can stay where it is and start anew with an unpinned child the next time.
    let other = fork(1, || {
        ready.store(1, SeqCst);
        (0..rounds).for_each(&mut there);
    });
    let driver = fork(0, || {
        while ready.load(SeqCst) == 0 {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        (0..rounds).for_each(&mut here);
        counters[8].store(start.elapsed().as_nanos() as u64, SeqCst);
    });
    join(driver);
    join(other);
    Duration::from_nanos(counters[8].load(SeqCst))
}
