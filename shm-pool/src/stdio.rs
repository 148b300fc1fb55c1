//! Buffered output across a fork: neither doubled nor lost.
//!
//! What lies in a buffer at the time of the fork would be written by parent and child. So Rust's and C's buffers are flushed before, and flushed
//! again at the child's end, which does not run the usual exit handlers. Buffers that the program made itself (a `BufWriter`) are its own business: a worker
//! drops nothing that it inherited, so what they hold is written once, by the parent.

#![allow(unsafe_code, reason = "fflush is only reachable through libc")]

use std::io::{self, Write};

/// Runs `fork` while this thread has the locks of standard output and error and their buffers are empty.
///
/// With the locks in the hands of the thread that survives in the child, no other thread can have left one held there for ever. Waits for
/// threads that are printing.
pub(crate) fn around_fork<T>(fork: impl FnOnce() -> T) -> T {
    let mut out = io::stdout().lock();
    let _err = io::stderr().lock();
    // An error means that nobody can read the output; it is not the executor's business to report that.
    let _ = out.flush();
    flush_c();
    fork()
}

/// Writes out what this process has buffered, at a worker's end.
pub(crate) fn flush() {
    let _ = io::stdout().flush();
    flush_c();
}

fn flush_c() {
    // SAFETY: `fflush` accepts NULL for all output streams, and locks each of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}
