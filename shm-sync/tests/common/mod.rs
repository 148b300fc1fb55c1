#![allow(unsafe_code, reason = "tests fork, and share plain memory with their children")]
#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "every test file uses a part of this")]
//! What the tests of this crate share: children made by fork, plain shared counters, and a watchdog against hanging for ever.

use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A forked child that runs a closure and ends with 0, or with 101 if it panics.
pub struct Child {
    pid: i32,
    reaped: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

impl Child {
    pub fn fork(run: impl FnOnce()) -> Self {
        // SAFETY: the child runs the closure and leaves by `_exit`. glibc keeps its allocator usable in a child of a process with
        // several threads; the closures here use nothing else that another thread could have held.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // SAFETY: ends this process without running the parent's exit handlers.
            unsafe { libc::_exit(if end.is_ok() { 0 } else { 101 }) };
        }
        Self { pid, reaped: false }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to our own child, which is not reaped yet.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    pub fn wait(mut self) -> End {
        self.reap()
    }

    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.reap();
    }

    /// Waits until the child has stopped (after `SIGSTOP`).
    pub fn wait_stopped(&self) {
        let mut status = 0;
        // SAFETY: waits for our own child; `status` is a valid place for the answer.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, libc::WUNTRACED) }, self.pid);
        assert!(libc::WIFSTOPPED(status));
    }

    /// Waits until the child sleeps in a futex call.
    pub fn wait_asleep(&self) {
        wait_until(|| {
            let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid)).unwrap_or_default();
            call.split(' ').next().is_some_and(|number| number.parse() == Ok(libc::SYS_futex))
        });
    }

    fn reap(&mut self) -> End {
        let mut status = 0;
        // SAFETY: as in `wait_stopped`.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        self.reaped = true;
        if libc::WIFSIGNALED(status) {
            End::Killed(libc::WTERMSIG(status))
        } else {
            End::Exited(libc::WEXITSTATUS(status))
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: our own child, not reaped yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.reap();
        }
    }
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

/// Aborts the test program if a test hangs.
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    pub fn new(test: &'static str) -> Self {
        let (alive, ended) = channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(180)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the test {test} hangs");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}
