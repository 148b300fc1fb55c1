//! The one place through which every call goes that can fail: a failure becomes a status and a text, a panic becomes a failure.

use crate::error::{Failure, Outcome};
use crate::status::{SHM_STATUS_OK, SHM_STATUS_PANIC, shm_status_t};
use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// Does the work of one C function.
#[inline]
pub(crate) fn guard(work: impl FnOnce() -> Outcome) -> shm_status_t {
    // What the work changes outside of itself is shared memory and the handle table, and both are whole after each of their steps.
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => SHM_STATUS_OK,
        Ok(Err(failure)) => failure.leave(),
        Err(payload) => caught(payload),
    }
}

#[cold]
fn caught(payload: Box<dyn Any + Send>) -> shm_status_t {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    // A payload whose own destructor panics would get across after all.
    std::mem::forget(payload);
    Failure::new(
        SHM_STATUS_PANIC,
        format_args!("a defect in the library was caught: {text}; please report it"),
    )
    .leave()
}
