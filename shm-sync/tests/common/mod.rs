//! What the tests of this crate share: children, plain shared counters, and how often to repeat.

#![allow(unsafe_code, reason = "tests share plain memory with their children")]
#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "every test program uses a part of this")]

use shm_sync::{Mutex, Primitive};
use shm_testkit::{Child, Cleanup, Coverage, KillTest, Report, Watchdog, announce, fork_child, unique_name};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Aborts the test program, with the test's name, if the test hangs.
pub fn watchdog() -> Watchdog {
    Watchdog::new(Duration::from_secs(180))
}

/// A child that ends with 0 unless it panics.
pub fn fork(run: impl FnOnce()) -> Child {
    fork_child(|| {
        run();
        0
    })
}

/// Waits until the child has stopped (after `SIGSTOP`).
pub fn wait_stopped(child: &Child) {
    let mut status = 0;
    // SAFETY: waits for our own child; `status` is a valid place for the answer.
    assert_eq!(unsafe { libc::waitpid(child.pid(), &mut status, libc::WUNTRACED) }, child.pid());
    assert!(libc::WIFSTOPPED(status));
}

/// Waits until the child sleeps in a futex call.
pub fn wait_asleep(child: &Child) {
    wait_until(|| {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", child.pid())).unwrap_or_default();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        number == Some(libc::SYS_futex) || number == Some(libc::SYS_futex_waitv)
    });
}

/// A page of counters shared with the children forked from now on; it stays until the test process ends.
pub fn shared_counters() -> &'static [AtomicU32; 1024] {
    // SAFETY: a whole page, zero, aligned, never unmapped, and atomics.
    unsafe { &*shared_bytes().cast() }
}

/// A page of zero bytes shared with the children forked from now on; it stays until the test process ends.
pub fn shared_bytes() -> *mut u8 {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page.cast()
}

pub fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// How often to repeat what depends on luck: more with `SHM_TEST_LONG=1`.
pub fn rounds(usual: usize) -> usize {
    if std::env::var_os("SHM_TEST_LONG").is_some() { usual * 20 } else { usual }
}

/// A fresh name for a segment, which is removed at the end of the test.
pub fn fresh_name(what: &str) -> (String, Cleanup) {
    let name = unique_name(what);
    let cleanup = Cleanup::of([&name]);
    (format!("shm://{name}"), cleanup)
}

/// Has the stores to the calling thread's robust list counted by a kill test: the C library's head, and the element that it points to.
pub fn announce_list() {
    let (mut head, mut len) = (std::ptr::null_mut::<*mut u8>(), 0usize);
    // SAFETY: the call writes a pointer and a size through valid pointers; the head it gives is readable.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len), 0);
        announce(head, len);
        if (*head).cast() != head {
            announce((*head).cast_const(), 8);
        }
    }
}

/// Runs a kill test, which has a watchdog of its own for each victim: once, or with `SHM_TEST_LONG=1` as often as it takes to kill a thousand
/// victims. Prints the sum.
pub fn killed_often_enough(mut run: impl FnMut() -> Report) {
    // Registered here once, so that the first victim, which gives the list of points, takes the same steps as those after it: what a forked
    // child finds of its parent's registration makes its own shorter.
    drop(Mutex::anonymous(0u8).unwrap().lock().unwrap());
    let wanted = if std::env::var_os("SHM_TEST_LONG").is_some() { 1000 } else { 1 };
    let mut sum = Report::default();
    while sum.kills < wanted && sum.skipped_reason.is_none() {
        let mut outcome = run();
        outcome.kills += sum.kills;
        outcome.missed += sum.missed;
        sum = outcome;
    }
    println!("{sum}");
}

/// [`killed_often_enough`] for a kill test that consists of these three.
pub fn kill_everywhere<S>(
    name: &str,
    prepare: impl Fn() -> S,
    victim: impl Fn(&mut S),
    check: impl Fn(S, usize),
) {
    killed_often_enough(|| {
        KillTest::new(name)
            .prepare(&prepare)
            .victim(&victim)
            .check(|state, point| check(state, point.number))
            .run(Coverage::from_env())
    });
}

/// The double kill: two waiters sleep; the first one is woken but cannot run, because its CPU is hogged, and is killed there. The wake-up
/// dies with it, and the second one has to get on all the same.
pub struct DoubleKill<V, S, W, M> {
    /// Waits, in a child, first in the queue. It is killed.
    pub victim: V,
    /// Waits, in a child, second in the queue, and has to come through.
    pub survivor: S,
    /// Wakes one of them.
    pub wake: W,
    /// Done right after the victim's death, while it has not run.
    pub meanwhile: M,
}

impl<T, V: FnOnce(), S: FnOnce(), W: FnOnce(), M: FnOnce() -> T> DoubleKill<V, S, W, M> {
    /// Runs it. `then` is called with the outcome of `meanwhile` when the victim is gone; after that the survivor has to end.
    ///
    /// Without a second CPU, or where real-time scheduling is not permitted, the victim is killed before anybody is woken.
    pub fn run_then(self, then: impl FnOnce(T)) {
        let flags = shared_counters();
        let (hogging, refused, enough) = (&flags[0], &flags[1], &flags[2]);
        let victim = fork(|| {
            pin_to(1);
            (self.victim)();
        });
        wait_asleep(&victim);
        let survivor = fork(|| {
            pin_to(0);
            (self.survivor)();
        });
        wait_asleep(&survivor);
        let hog = fork(|| {
            if !pin_to(1) || !run_before_everybody_else() {
                refused.store(1, SeqCst);
                return;
            }
            hogging.store(1, SeqCst);
            // Ends by itself, so that no mistake here can block the CPU for long.
            let start = std::time::Instant::now();
            while enough.load(SeqCst) == 0 && start.elapsed() < Duration::from_millis(400) {
                std::hint::spin_loop();
            }
        });
        wait_until(|| hogging.load(SeqCst) + refused.load(SeqCst) == 1);
        let done = if refused.load(SeqCst) == 1 {
            eprintln!(
                "no second CPU, or no real-time scheduling for this user: the victim is killed asleep, not woken"
            );
            drop(victim);
            (self.wake)();
            (self.meanwhile)()
        } else {
            let cpus = pinned_to_cpu_0();
            (self.wake)();
            victim.kill(libc::SIGKILL);
            let done = (self.meanwhile)();
            enough.store(1, SeqCst);
            drop(cpus);
            drop(victim);
            done
        };
        then(done);
        hog.expect_success();
        survivor.expect_success();
    }
}

/// Keeps the calling thread off the hogged CPU until the value is dropped.
fn pinned_to_cpu_0() -> impl Drop {
    struct Restore(libc::cpu_set_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: passes a set that the kernel filled, with its size.
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) };
        }
    }
    // SAFETY: the kernel fills the set, which is a plain value, up to the size that is passed.
    let before = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    pin_to(0);
    Restore(before)
}

/// Lets the thread run on one CPU only; false where that is not permitted or there is no such CPU.
pub fn pin_to(cpu: usize) -> bool {
    // SAFETY: the set is a plain value, filled before it is passed with its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0
    }
}

fn run_before_everybody_else() -> bool {
    let priority = libc::sched_param { sched_priority: 10 };
    // SAFETY: passes a valid parameter block for this thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) == 0 }
}
