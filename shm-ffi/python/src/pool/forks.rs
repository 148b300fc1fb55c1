//! What Python has to be told of forks: its own functions around `fork`, which also call those of `os.register_at_fork`.
//!
//! They need the interpreter's lock, which the thread that maps has given up. So it is taken before the fork, held by the thread that survives in the
//! child, where it is kept for good, and given back in the parent.
//!
//! Signals wait meanwhile, as far as this thread is concerned: a handler that raises in one of those functions (KeyboardInterrupt, say) would be
//! heard by nobody, because Python reports what they raise and goes on.

#![allow(unsafe_code, reason = "Python's functions around a fork")]

use std::cell::Cell;

use pyo3::ffi::{self, PyGILState_STATE};
use pyo3::prelude::*;
use shm_pool::MapReduce;

use super::results;

thread_local! {
    static TAKEN: Cell<Option<Taken>> = const { Cell::new(None) };
}

/// What is given back after a fork.
struct Taken {
    lock: PyGILState_STATE,
    signals: libc::sigset_t,
}

/// A pool whose forks Python knows of. It warns of nothing: that is for Python to do, which knows its threads.
pub(super) fn pool() -> MapReduce {
    MapReduce::new().threads_ok().fork_hooks(before, parent, child)
}

fn before() {
    // SAFETY: this thread has run Python before and has given the lock up, or has it; each call is followed by one of `parent` (or by the end of the
    // child). `PyOS_BeforeFork` wants the lock held. A set of signals is plain bytes, and all of them are valid; the calls write into these two.
    unsafe {
        let lock = ffi::PyGILState_Ensure();
        let (mut all, mut signals) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut signals);
        TAKEN.set(Some(Taken { lock, signals }));
        flush();
        ffi::PyOS_BeforeFork();
    }
}

/// Writes out what `print` has buffered, so that the child does not write it a second time.
fn flush() {
    Python::attach(|py| {
        if let Err(error) = results(py, "flush").and_then(|flush| flush.call0()) {
            error.write_unraisable(py, None);
        }
    });
}

fn parent() {
    let Some(taken) = TAKEN.take() else { return };
    // SAFETY: as Python wants it: after `PyOS_BeforeFork`, in the same thread, with the lock held since; it is given back as it was taken.
    unsafe {
        ffi::PyOS_AfterFork_Parent();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const taken.signals, std::ptr::null_mut());
        ffi::PyGILState_Release(taken.lock);
    }
}

fn child() {
    let taken = TAKEN.take();
    // SAFETY: as Python wants it: in the child, first of all, in the thread that forked, which held the lock and holds its copy from here on. The set of
    // signals is that of before the fork.
    unsafe {
        ffi::PyOS_AfterFork_Child();
        if let Some(taken) = taken {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const taken.signals, std::ptr::null_mut());
        }
    }
}
