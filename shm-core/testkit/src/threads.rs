//! Threads for forked children, started past the standard library.
//!
//! The standard library keeps a lock for the stacks of all its threads, which each thread takes at its start and at
//! its end. A child forked while another thread of its parent is there inherits that lock locked for ever, and the
//! first thread that it starts with `std::thread` never gets to its closure (seen: once in 1 600 loaded runs of
//! a test whose watchdog was just starting). glibc puts its own locks right in the child, so threads that come
//! from pthread_create(3) start there.
#![allow(unsafe_code, reason = "pthread_create and pthread_join")]

use std::any::Any;
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

/// What one thread is given, and what it leaves.
struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    index: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// Calls `work` with 0, 1 ... `count - 1`, each in a thread of its own, and waits until all have returned.
///
/// For forked children, where a thread started with `std::thread` may hang (a lock of the standard library that
/// another thread of the parent held during the fork).
///
/// # Panics
/// When the system starts no thread; and, after all have ended, as the first of those that panicked did.
///
/// # Examples
/// ```
/// use shm_testkit::{fork_child, in_threads};
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let child = fork_child(|| {
///     let sum = AtomicUsize::new(0);
///     in_threads(4, |index| _ = sum.fetch_add(index, Ordering::Relaxed));
///     i32::from(sum.into_inner() != 6)
/// });
/// child.expect_success();
/// ```
pub fn in_threads(count: usize, work: impl Fn(usize) + Sync) {
    let mut jobs: Vec<_> = (0..count).map(|index| Job { work: &work, index, panic: None }).collect();
    let mut threads = Vec::with_capacity(count);
    let mut refused = 0;
    for job in &mut jobs {
        let mut thread = 0;
        // SAFETY: `thread` is a place for the answer; no attributes; `run` is a thread's function; its argument is
        // a job that nobody else uses until the thread has been joined below, which happens before `jobs` and what
        // it borrows go away: nothing in between panics.
        refused = unsafe {
            libc::pthread_create(&mut thread, ptr::null(), run, ptr::from_mut(job).cast::<c_void>())
        };
        if refused != 0 {
            break;
        }
        threads.push(thread);
    }
    for thread in threads {
        // SAFETY: the thread was started above, is joined once, and its result is not asked for.
        unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    }
    assert!(refused == 0, "cannot start a thread: {}", std::io::Error::from_raw_os_error(refused));
    if let Some(panic) = jobs.into_iter().find_map(|job| job.panic) {
        panic::resume_unwind(panic);
    }
}

extern "C" fn run(job: *mut c_void) -> *mut c_void {
    // SAFETY: `in_threads` passes a job that is this thread's alone until it has ended.
    let job = unsafe { &mut *job.cast::<Job<'_>>() };
    job.panic = panic::catch_unwind(AssertUnwindSafe(|| (job.work)(job.index))).err();
    ptr::null_mut()
}
