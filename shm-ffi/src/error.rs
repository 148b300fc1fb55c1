//! Failures on their way out: a status, the complete text of the Rust error, and errno where a system call failed.
//!
//! [`Failure`] is what the functions of this crate return inside; `guard` turns it into a status and leaves the text here, where
//! [`shm_last_error`] finds it.

#![allow(unsafe_code, reason = "exports C symbols")]

use crate::input::fixed_text;
use crate::status::*;
use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::ffi::{CString, c_char};
use std::fmt::Display;

/// Why a call failed. One word, so that a result travels in registers.
#[derive(Debug)]
pub(crate) struct Failure(Box<Repr>);

#[derive(Debug)]
struct Repr {
    status: shm_status_t,
    text: String,
    errno: i32,
}

/// What functions return inside this crate.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    #[cold]
    pub(crate) fn new(status: shm_status_t, text: impl Display) -> Failure {
        Failure(Box::new(Repr { status, text: text.to_string(), errno: 0 }))
    }

    /// An argument that cannot be: `what` says which one and why.
    #[cold]
    pub(crate) fn argument(what: impl Display) -> Failure {
        Failure::new(SHM_STATUS_INVALID_ARGUMENT, what)
    }

    /// A system call of this crate's own that failed just now.
    #[cold]
    pub(crate) fn last_os_error(status: shm_status_t, what: impl Display) -> Failure {
        let error = std::io::Error::last_os_error();
        let errno = error.raw_os_error().unwrap_or(0);
        Failure(Box::new(Repr { status, text: format!("{what}: {error}"), errno }))
    }

    /// Leaves the text for this thread's `shm_last_error`.
    #[cold]
    pub(crate) fn leave(self) -> shm_status_t {
        let Repr { status, text, errno } = *self.0;
        // A text with a zero byte in it would end there.
        let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
        let mut left = Some(Last { text, errno });
        let _ = LAST.try_with(|last| left.take().map(|left| last.replace(left)));
        if let Some(Last { text, errno }) = left {
            LATE.set((fixed_text(text.as_bytes()), errno));
        }
        status
    }
}

/// What `shm_last_error` and its kin return.
struct Last {
    text: CString,
    errno: i32,
}

/// Bytes for the text of an error, its zero byte included, once a thread's variables have been destroyed.
const LATE_SIZE: usize = 1024;

thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last { text: CString::default(), errno: 0 });
    /// The same for the handlers of atexit(3), static destructors and the destructors of pthread_key_create(3), which run when `LAST` has gone. This
    /// is never destroyed, and owns nothing that would be lost.
    static LATE: Cell<([c_char; LATE_SIZE], i32)> = const { Cell::new(([0; LATE_SIZE], 0)) };
}

/// Returns the complete text of the last error of a call of this thread: what was attempted, on which name, why it failed, what to do.
///
/// Parameters: none.
/// Returns: UTF-8 text, never NULL; empty if no call of this thread has failed yet. It stays until the next call of this thread that fails, so
/// copy it to keep it. A call that succeeds leaves it alone.
/// Thread use: every thread has its own.
/// Death: no shared memory is touched. A forked child begins with the text of the thread that forked it.
#[unsafe(no_mangle)]
pub extern "C" fn shm_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().text.as_ptr())
        .unwrap_or_else(|_| LATE.with(|late| late.as_ptr().cast()))
}

/// Returns the errno of the system call behind the last error of this thread.
///
/// Parameters: none.
/// Returns: an errno, or 0 if no system call failed.
/// Thread use: every thread has its own.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_last_errno() -> i32 {
    LAST.try_with(|last| last.borrow().errno).unwrap_or_else(|_| LATE.get().1)
}

impl From<shm_core::Error> for Failure {
    #[cold]
    fn from(error: shm_core::Error) -> Failure {
        let errno = error.os_code().unwrap_or(0);
        Failure(Box::new(Repr { status: of_core(error.kind()), text: error.to_string(), errno }))
    }
}

impl From<shm_core::layout::LayoutError> for Failure {
    #[cold]
    fn from(error: shm_core::layout::LayoutError) -> Failure {
        shm_core::Error::from(error).into()
    }
}

impl From<shm_sync::Error> for Failure {
    #[cold]
    fn from(error: shm_sync::Error) -> Failure {
        let below = error.source().and_then(|source| source.downcast_ref());
        with_source(of_sync(error.kind()), &error, below)
    }
}

impl Failure {
    /// An error of a pool, under a status that says more than its kind.
    #[cold]
    pub(crate) fn of_pool(status: shm_status_t, error: &shm_pool::Error) -> Failure {
        let below = error.source().and_then(|source| source.downcast_ref());
        with_source(Some(status), error, below)
    }
}

/// The status of an error of a pool.
pub(crate) fn status_of_pool(error: &shm_pool::Error) -> shm_status_t {
    let below = error.source().and_then(|source| source.downcast_ref::<shm_core::Error>());
    of_pool(error.kind()).unwrap_or_else(|| below.map_or(SHM_STATUS_SYSTEM, |below| of_core(below.kind())))
}

impl From<shm_pool::Error> for Failure {
    #[cold]
    fn from(error: shm_pool::Error) -> Failure {
        let below = error.source().and_then(|source| source.downcast_ref());
        with_source(of_pool(error.kind()), &error, below)
    }
}

/// A failure whose status is that of the segment below, where it was the segment that failed (`status` is none).
fn with_source(status: Option<shm_status_t>, text: &dyn Display, below: Option<&shm_core::Error>) -> Failure {
    let of_below = below.map_or(SHM_STATUS_SYSTEM, |below| of_core(below.kind()));
    let errno = below.and_then(shm_core::Error::os_code).unwrap_or(0);
    Failure(Box::new(Repr { status: status.unwrap_or(of_below), text: text.to_string(), errno }))
}

fn of_core(kind: shm_core::ErrorKind) -> shm_status_t {
    use shm_core::ErrorKind as Kind;
    match kind {
        Kind::AlreadyExists => SHM_STATUS_ALREADY_EXISTS,
        Kind::NotFound => SHM_STATUS_NOT_FOUND,
        Kind::InvalidName => SHM_STATUS_INVALID_NAME,
        Kind::InvalidArgument => SHM_STATUS_INVALID_ARGUMENT,
        Kind::NotASegment => SHM_STATUS_NOT_A_SEGMENT,
        Kind::UnsupportedVersion => SHM_STATUS_UNSUPPORTED_VERSION,
        Kind::Corrupted => SHM_STATUS_CORRUPTED,
        Kind::SizeOverflow => SHM_STATUS_SIZE_OVERFLOW,
        Kind::OutOfSpace => SHM_STATUS_OUT_OF_SPACE,
        Kind::OutOfMemory => SHM_STATUS_OUT_OF_MEMORY,
        Kind::PermissionDenied => SHM_STATUS_PERMISSION_DENIED,
        Kind::ForeignOwner => SHM_STATUS_FOREIGN_OWNER,
        Kind::TypeMismatch => SHM_STATUS_TYPE_MISMATCH,
        Kind::ShapeMismatch => SHM_STATUS_SHAPE_MISMATCH,
        Kind::Busy => SHM_STATUS_BUSY,
        Kind::LockHeld => SHM_STATUS_LOCK_HELD,
        Kind::ReadOnly => SHM_STATUS_READ_ONLY,
        Kind::Inherited => SHM_STATUS_INHERITED,
        Kind::LimitExceeded => SHM_STATUS_LIMIT_EXCEEDED,
        Kind::NoSuchEntry => SHM_STATUS_NO_SUCH_ENTRY,
        Kind::Unsupported => SHM_STATUS_UNSUPPORTED,
        Kind::System => SHM_STATUS_SYSTEM,
        _ => SHM_STATUS_OTHER,
    }
}

/// None: the segment below failed, and its error says how.
fn of_sync(kind: shm_sync::ErrorKind) -> Option<shm_status_t> {
    use shm_sync::ErrorKind as Kind;
    Some(match kind {
        Kind::Busy => SHM_STATUS_BUSY,
        Kind::TimedOut => SHM_STATUS_TIMED_OUT,
        Kind::Interrupted => SHM_STATUS_INTERRUPTED,
        Kind::Closed => SHM_STATUS_CLOSED,
        Kind::Empty => SHM_STATUS_EMPTY,
        Kind::Full => SHM_STATUS_FULL,
        Kind::Deadlock => SHM_STATUS_DEADLOCK,
        Kind::OwnerDied => SHM_STATUS_OWNER_DIED,
        Kind::Poisoned => SHM_STATUS_POISONED,
        Kind::NotHeld => SHM_STATUS_NOT_HELD,
        Kind::TooManyProcesses => SHM_STATUS_TOO_MANY_PROCESSES,
        Kind::TooManyParties => SHM_STATUS_TOO_MANY_PARTIES,
        Kind::Broken => SHM_STATUS_BROKEN,
        Kind::TooManyLocks => SHM_STATUS_TOO_MANY_LOCKS,
        Kind::TooDeep => SHM_STATUS_TOO_DEEP,
        Kind::TooManyReaders => SHM_STATUS_TOO_MANY_READERS,
        Kind::RunnerDied => SHM_STATUS_RUNNER_DIED,
        Kind::Unsupported => SHM_STATUS_UNSUPPORTED,
        Kind::Misaligned => SHM_STATUS_MISALIGNED,
        Kind::Mismatch => SHM_STATUS_MISMATCH,
        Kind::Corrupt => SHM_STATUS_CORRUPTED,
        Kind::NotShared => SHM_STATUS_NOT_SHARED,
        Kind::InUse => SHM_STATUS_IN_USE,
        Kind::InvalidArgument => SHM_STATUS_INVALID_ARGUMENT,
        Kind::Overflow => SHM_STATUS_OVERFLOW,
        Kind::Segment => return None,
        _ => SHM_STATUS_OTHER,
    })
}

/// None: the segment below failed, and its error says how.
fn of_pool(kind: shm_pool::ErrorKind) -> Option<shm_status_t> {
    use shm_pool::ErrorKind as Kind;
    Some(match kind {
        Kind::Panicked => SHM_STATUS_WORKER_PANICKED,
        Kind::Died => SHM_STATUS_WORKER_DIED,
        Kind::Fork => SHM_STATUS_FORK,
        Kind::Encode => SHM_STATUS_ENCODE,
        Kind::Decode => SHM_STATUS_DECODE,
        Kind::OutOfMemory => SHM_STATUS_OUT_OF_MEMORY,
        Kind::InvalidArgument => SHM_STATUS_INVALID_ARGUMENT,
        Kind::Ended => SHM_STATUS_ENDED,
        Kind::Corrupted => SHM_STATUS_CORRUPTED,
        Kind::Segment => return None,
        _ => SHM_STATUS_OTHER,
    })
}
