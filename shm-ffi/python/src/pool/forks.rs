//! What Python has to be told of forks: its own functions around `fork`, which also call those of `os.register_at_fork`.
//!
//! They need the interpreter's lock, which the thread that maps has given up. So it is taken before the fork, held by the thread that survives in the
//! child, where it is kept for good, and given back in the parent.

#![allow(unsafe_code, reason = "Python's functions around a fork")]

use std::cell::Cell;

use pyo3::ffi::{self, PyGILState_STATE};
use shm_pool::MapReduce;

thread_local! {
    static TAKEN: Cell<Option<PyGILState_STATE>> = const { Cell::new(None) };
}

/// A pool whose forks Python knows of. It warns of nothing: that is for Python to do, which knows its threads.
pub(super) fn pool() -> MapReduce {
    MapReduce::new().threads_ok().fork_hooks(before, parent, child)
}

fn before() {
    // SAFETY: this thread has run Python before and has given the lock up, or has it; each call is followed by one of `parent` (or by the end of the
    // child). `PyOS_BeforeFork` wants the lock held.
    unsafe {
        TAKEN.set(Some(ffi::PyGILState_Ensure()));
        ffi::PyOS_BeforeFork();
    }
}

fn parent() {
    let Some(taken) = TAKEN.take() else { return };
    // SAFETY: as Python wants it: after `PyOS_BeforeFork`, in the same thread, with the lock held since; it is given back as it was taken.
    unsafe {
        ffi::PyOS_AfterFork_Parent();
        ffi::PyGILState_Release(taken);
    }
}

fn child() {
    TAKEN.set(None);
    // SAFETY: as Python wants it: in the child, first of all, in the thread that forked, which held the lock and holds its copy from here on.
    unsafe { ffi::PyOS_AfterFork_Child() };
}
