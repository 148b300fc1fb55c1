//! What the tests of this crate share: children, plain shared counters, and how often to repeat.

#![allow(unsafe_code, reason = "tests share plain memory with their children")]
#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "every test program uses a part of this")]

use shm_testkit::{Child, Watchdog, fork_child};
use std::sync::atomic::AtomicU32;
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
        call.split(' ').next().is_some_and(|number| number.parse() == Ok(libc::SYS_futex))
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
