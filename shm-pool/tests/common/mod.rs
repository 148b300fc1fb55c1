//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(unsafe_code, reason = "waitpid")]

use std::time::Duration;

use shm_pool::MapReduce;
use shm_testkit::Watchdog;

/// A pool for tests, which run in threads.
pub(crate) fn pool(workers: usize) -> MapReduce {
    MapReduce::new().workers(workers).threads_ok()
}

pub(crate) fn watchdog() -> Watchdog {
    Watchdog::new(Duration::from_secs(120))
}

/// Runs the body of `test` in a process of its own, where it can count children and descriptors.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os("SHM_POOL_TEST_ALONE").is_some() {
        return body();
    }
    let output = shm_testkit::rerun(test, &[("SHM_POOL_TEST_ALONE", "1")]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Asserts that this process has no child, not even a zombie.
pub(crate) fn no_children() {
    // SAFETY: a null status is allowed.
    let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    let error = std::io::Error::last_os_error();
    assert!(waited == -1 && error.raw_os_error() == Some(libc::ECHILD), "a child is left: {waited}");
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
