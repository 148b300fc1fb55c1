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

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "reads the text as C would")]

    use super::*;
    use crate::error::{shm_last_errno, shm_last_error};
    use crate::status::*;
    use std::ffi::CStr;

    fn text() -> String {
        // SAFETY: the text stays until the next error of this thread.
        unsafe { CStr::from_ptr(shm_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn panics_become_a_status() {
        assert_eq!(guard(|| panic!("five is {}", "too much")), SHM_STATUS_PANIC);
        assert!(text().contains("five is too much"), "{}", text());
        assert_eq!(guard(|| std::panic::panic_any(5)), SHM_STATUS_PANIC);
        assert_eq!(guard(|| Ok(())), SHM_STATUS_OK);
        assert!(text().contains("no message"), "a call that succeeds leaves the text alone: {}", text());
    }

    #[test]
    fn errors_keep_status_text_and_errno() {
        let missing = guard(|| Ok(shm_core::delete("shm://no-such-name-here")?));
        assert_eq!(missing, SHM_STATUS_NOT_FOUND);
        assert!(text().starts_with("cannot delete shm://no-such-name-here"), "{}", text());
        let directory = guard(|| Ok(shm_core::list_in("/no/such/directory").map(drop)?));
        assert_eq!(
            (directory, shm_last_errno()),
            (SHM_STATUS_SYSTEM, rustix::io::Errno::NOENT.raw_os_error())
        );
        assert_eq!(guard(|| Err(Failure::new(SHM_STATUS_OTHER, "a\0b"))), SHM_STATUS_OTHER);
        assert_eq!((text().as_str(), shm_last_errno()), ("a\\0b", 0));
        // An error of a segment under a primitive is the segment's, with its status.
        use shm_sync::Primitive;
        let mutex = guard(|| Ok(shm_sync::Mutex::<()>::attach("shm://no-such-name-here").map(drop)?));
        assert_eq!(mutex, SHM_STATUS_NOT_FOUND);
        std::thread::spawn(|| assert_eq!(text(), "")).join().unwrap();
    }
}
