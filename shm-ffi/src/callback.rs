//! Functions of the caller's that the library calls.
//!
//! A callback that returns something else than 0 has failed. What runs it must not go on then as if it had not, so that comes out of it as a
//! panic of a type of its own, which [`catching`] turns into a status.

#![allow(unsafe_code, reason = "calls functions that C gave")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use crate::error::{Failure, Outcome};
use crate::status::SHM_STATUS_CALLBACK_FAILED;
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};

/// A function that the library calls with what was passed beside it. It returns 0 when all went well, and leaves in no other way (no longjmp, no
/// C++ exception).
pub type shm_action_t = Option<unsafe extern "C" fn(user: *mut c_void) -> i32>;

/// The same for a once: `previous_died` is 1 if another runner died half-way, otherwise 0.
pub type shm_once_run_t = Option<unsafe extern "C" fn(user: *mut c_void, previous_died: i32) -> i32>;

/// A callback with its argument.
#[derive(Clone, Copy)]
pub(crate) struct Action(unsafe extern "C" fn(*mut c_void) -> i32, *mut c_void);

/// A callback of a once.
#[derive(Clone, Copy)]
pub(crate) struct OnceRun(unsafe extern "C" fn(*mut c_void, i32) -> i32, *mut c_void);

/// # Safety
/// `function` is NULL or may be called with `user`, by the calling thread, for as long as the call lasts to which they were passed.
pub(crate) unsafe fn action(function: shm_action_t, user: *mut c_void) -> Outcome<Action> {
    Ok(Action(function.ok_or_else(missing)?, user))
}

/// # Safety
/// As [`action`].
pub(crate) unsafe fn once_run(function: shm_once_run_t, user: *mut c_void) -> Outcome<OnceRun> {
    Ok(OnceRun(function.ok_or_else(missing)?, user))
}

#[cold]
fn missing() -> Failure {
    Failure::argument("the function to call is NULL")
}

impl Action {
    /// Calls it, inside of [`catching`].
    pub(crate) fn call(self) {
        // SAFETY: what `action` was promised.
        succeed(unsafe { self.0(self.1) });
    }

    /// Calls it, for whoever deals with its code.
    pub(crate) fn run(self) -> i32 {
        // SAFETY: what `action` was promised.
        unsafe { self.0(self.1) }
    }
}

impl OnceRun {
    /// Calls it, for whoever deals with its code.
    pub(crate) fn run(self, previous_died: bool) -> i32 {
        // SAFETY: what `once_run` was promised.
        unsafe { self.0(self.1, previous_died.into()) }
    }
}

/// What a failed callback panics with.
struct Returned(i32);

/// Leaves for [`catching`] if the code is not that of success.
pub(crate) fn succeed(code: i32) {
    if code != 0 {
        // Without a message: it is no panic to whoever wrote the callback.
        panic::resume_unwind(Box::new(Returned(code)));
    }
}

/// Does work that calls a callback.
///
/// # Errors
/// Those of the work; `SHM_STATUS_CALLBACK_FAILED`.
pub(crate) fn catching<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    // What the work changes outside of itself is shared memory, which takes the panic for the death of a thread.
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome,
        Err(payload) => match payload.downcast::<Returned>() {
            Ok(failed) => Err(returned(failed.0)),
            Err(payload) => panic::resume_unwind(payload),
        },
    }
}

/// The failure of a callback.
#[cold]
pub(crate) fn returned(code: i32) -> Failure {
    Failure::new(
        SHM_STATUS_CALLBACK_FAILED,
        format_args!("the function that was called returned {code}, which is a failure; 0 is success"),
    )
}
