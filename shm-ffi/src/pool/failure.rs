//! What is known about items that failed in the last run of a thread.

#![allow(unsafe_code, reason = "exports C symbols")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use super::worker::RETURNED;
use crate::error::Failure;
use crate::guard::guard;
use crate::input::{self, Description, Output};
use crate::status::*;
use shm_pool::{Error, Exit};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;
use std::ops::Range;

/// How a worker ended.
pub type shm_exit_t = i32;
/// It did not, or that is not what the failure is about.
pub const SHM_EXIT_NONE: shm_exit_t = 0;
/// With an exit code.
pub const SHM_EXIT_CODE: shm_exit_t = 1;
/// By a signal.
pub const SHM_EXIT_SIGNAL: shm_exit_t = 2;
/// It is gone, and somebody else has taken its status.
pub const SHM_EXIT_UNKNOWN: shm_exit_t = 3;

/// One failure of a run. Begin with `SHM_POOL_FAILURE_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_pool_failure_t {
    /// `sizeof(shm_pool_failure_t)`.
    pub size: u64,
    /// The item that failed, or -1.
    pub item: i64,
    /// The rank of the worker, or -1.
    pub rank: i64,
    /// The process id of the worker, or -1.
    pub pid: i64,
    /// `SHM_STATUS_CALLBACK_FAILED`, `SHM_STATUS_WORKER_DIED` and others.
    pub status: shm_status_t,
    /// What the function returned, where that is the failure; otherwise 0.
    pub returned: i32,
    /// How the worker ended.
    pub exit: shm_exit_t,
    /// The exit code or the signal; otherwise 0.
    pub exit_value: i32,
}

/// A failure, as it is told.
#[derive(Clone)]
pub(super) struct Noted {
    failure: shm_pool_failure_t,
    text: CString,
}

#[derive(Default)]
struct Last {
    failures: Vec<Noted>,
    unfinished: Vec<Range<u64>>,
}

impl Last {
    const NONE: Last = Last { failures: Vec::new(), unfinished: Vec::new() };
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last::NONE) };
    /// The same for runs in handlers of atexit(3) and the like, when the thread's variables have been destroyed. This one never is.
    static LATE: ManuallyDrop<RefCell<Last>> = const { ManuallyDrop::new(RefCell::new(Last::NONE)) };
}

/// What the last run of this thread has left.
fn last<R>(work: impl FnOnce(&RefCell<Last>) -> R) -> R {
    if LAST.try_with(|_| ()).is_ok() { LAST.with(work) } else { LATE.with(|late| work(late)) }
}

/// A run begins: what was noted of the one before is gone.
pub(super) fn begin() {
    last(RefCell::take);
}

/// Notes the items that a run has left out: in workers, or in the master.
pub(super) fn skipped(failures: &[Error], first: u64, in_master: Vec<Noted>) {
    leave(failures.iter().map(|error| noted(error, first)).chain(in_master).collect(), Vec::new());
}

/// Notes failures, and what is unfinished because of them.
pub(super) fn leave(failures: Vec<Noted>, unfinished: Vec<Range<u64>>) {
    last(|last| last.replace(Last { failures, unfinished }));
}

/// Notes why a run failed.
pub(super) fn of_run(error: &Error, first: u64) -> Failure {
    let noted = noted(error, first);
    let status = noted.failure.status;
    let shift = |range: &Range<usize>| range.start as u64 + first..range.end as u64 + first;
    leave(vec![noted], error.unfinished().iter().map(shift).collect());
    Failure::of_pool(status, error)
}

impl Noted {
    /// The failure of a function that the master has called itself.
    pub(super) fn in_master(item: Option<u64>, code: i32, operation: &str) -> Noted {
        let at = item.map_or(String::new(), |item| format!(" at item {item}"));
        let text = format!(
            "cannot {operation} in the calling process, without workers: {RETURNED}{code}{at}, which is a failure; 0 is success"
        );
        Noted {
            failure: shm_pool_failure_t {
                size: 0,
                item: item.map_or(-1, |item| item as i64),
                rank: -1,
                pid: std::process::id().into(),
                status: SHM_STATUS_CALLBACK_FAILED,
                returned: code,
                exit: SHM_EXIT_NONE,
                exit_value: 0,
            },
            text: CString::new(text).unwrap_or_default(),
        }
    }

    /// As what a function returns.
    pub(super) fn failure(&self) -> Failure {
        Failure::new(self.failure.status, self.text.to_string_lossy())
    }
}

fn returned(message: &str) -> Option<i32> {
    message.strip_prefix(RETURNED)?.parse().ok()
}

/// What is known of an error of a run whose first item is called `first`.
pub(super) fn noted(error: &Error, first: u64) -> Noted {
    let (exit, exit_value) = match error.exit() {
        None => (SHM_EXIT_NONE, 0),
        Some(Exit::Code(code)) => (SHM_EXIT_CODE, code),
        Some(Exit::Signal(signal)) => (SHM_EXIT_SIGNAL, signal),
        Some(_) => (SHM_EXIT_UNKNOWN, 0),
    };
    let code = error.panic_message().and_then(returned);
    let status = match code {
        Some(_) => SHM_STATUS_CALLBACK_FAILED,
        None => crate::error::status_of_pool(error),
    };
    let number = |number: Option<u64>| number.map_or(-1, |number| number as i64);
    Noted {
        failure: shm_pool_failure_t {
            size: 0,
            item: number(error.item().map(|item| item as u64 + first)),
            rank: number(error.rank().map(|rank| rank as u64)),
            pid: number(error.pid().map(u64::from)),
            status,
            returned: code.unwrap_or(0),
            exit,
            exit_value,
        },
        text: CString::new(error.to_string().replace('\0', "\\0")).unwrap_or_default(),
    }
}

/// Says how many failures the last run of this thread had: 1 if it failed, or one for each item that it went on without.
///
/// Parameters: none.
/// Returns: the number.
/// Thread use: every thread has its own.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_pool_failure_count() -> u64 {
    last(|last| last.borrow().failures.len() as u64)
}

/// Tells of one failure of the last run of this thread.
///
/// Parameters: `index`: which one, from 0 on. `failure`: begun with `SHM_POOL_FAILURE_INIT`; receives what is known. `text`: receives the complete text,
/// which is good until the next run of this thread; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: every thread has its own.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_failure(
    index: u64,
    failure: *mut shm_pool_failure_t,
    text: *mut *const c_char,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (failure, text) = unsafe { (Description::of(failure, "failure")?, Output::wanted(text)) };
        last(|last| {
            let last = last.borrow();
            let noted = input::size("index", index).ok().and_then(|index| last.failures.get(index));
            let Some(noted) = noted else { return Err(no_such("failure", index, last.failures.len())) };
            failure.put(&noted.failure);
            text.put(CStr::as_ptr(&noted.text));
            Ok(())
        })
    })
}

/// Tells of a range of items that the last run of this thread has left unfinished, because it failed.
///
/// Parameters: `index`: which range, from 0 on. `first`, `end`: receive the first item and the one behind the last.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: every thread has its own.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_unfinished(index: u64, first: *mut u64, end: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (first, end) = unsafe { (Output::of(first, "first")?, Output::of(end, "end")?) };
        last(|last| {
            let last = last.borrow();
            let range = input::size("index", index).ok().and_then(|index| last.unfinished.get(index));
            let Some(range) = range else {
                return Err(no_such("unfinished range", index, last.unfinished.len()));
            };
            first.put(range.start);
            end.put(range.end);
            Ok(())
        })
    })
}

#[cold]
fn no_such(what: &str, index: u64, len: usize) -> Failure {
    Failure::new(
        SHM_STATUS_NOT_FOUND,
        format_args!("there is no {what} {index}: the last run of this thread left {len}"),
    )
}
