//! Buffered output across a fork: neither doubled nor lost.
//!
//! What lies in a buffer at the time of the fork would be written by parent and child. So Rust's and C's buffers are flushed before, and flushed
//! again at the child's end, which does not run the usual exit handlers. Buffers that the program made itself (a `BufWriter`) are its own business: a worker
//! drops nothing that it inherited, so what they hold is written once, by the parent.

#![allow(unsafe_code, reason = "C's streams are only reachable through libc")]

use std::cell::RefCell;
use std::ffi::c_int;
use std::io::{self, StderrLock, StdoutLock, Write};

use crate::panics::{NoPanics, Waiting};

unsafe extern "C" {
    // stdin(3)
    static stdin: *mut libc::FILE;
    static stdout: *mut libc::FILE;
    static stderr: *mut libc::FILE;
    // flockfile(3)
    fn ftrylockfile(stream: *mut libc::FILE) -> c_int;
    fn funlockfile(stream: *mut libc::FILE);
}

/// Keeps standard output and error quiet and their buffers empty while it lives, for a fork.
///
/// With the locks in the hands of the thread that survives in the child, no other thread can leave one held there for ever.
///
/// The same goes for the standard library's lock around backtraces, see `panics.rs`.
pub(crate) struct Quiet(RefCell<Option<Locks>>);

type Locks = (StdoutLock<'static>, StderrLock<'static>, NoPanics);

impl Quiet {
    /// Waits for threads that are printing, and for those that are in a panic hook.
    pub(crate) fn new() -> Quiet {
        let waiting = Waiting::new();
        loop {
            let mut out = io::stdout().lock();
            let err = io::stderr().lock();
            // An error means that nobody can read the output; it is not the executor's business to report that.
            let _ = out.flush();
            flush_c();
            // Last: whoever holds this lock prints nothing.
            if let Some(no_panics) = waiting.no_panics() {
                return Quiet(RefCell::new(Some((out, err, no_panics))));
            }
            drop((out, err));
            waiting.wait();
        }
    }

    /// Gives the locks back: what a forked child does first, with its copy, so that its threads can print.
    pub(crate) fn release(&self) {
        if let Some((.., no_panics)) = self.0.take() {
            no_panics.end_in_child();
        }
    }
}

/// Writes out what this process has buffered, at a worker's end.
pub(crate) fn flush() {
    let _ = io::stdout().flush();
    flush_c();
}

/// Flushes all of C's output streams, or only standard output and error while another thread reads standard input.
///
/// `fflush(NULL)` takes the lock of each stream, also of those for input, and a thread that waits in `fgets(stdin)` has that lock until input comes. What lies
/// in streams that the program has opened itself may be written twice then.
fn flush_c() {
    // SAFETY: the C library sets these three before `main`, to objects of its own that `fclose` does not free. What is unlocked was locked by this thread just
    // before. `fflush` takes a stream, or NULL for all of them, and locks what it flushes.
    unsafe {
        if ftrylockfile(stdin) == 0 {
            libc::fflush(std::ptr::null_mut());
            funlockfile(stdin);
        } else {
            libc::fflush(stdout);
            libc::fflush(stderr);
        }
    }
}
