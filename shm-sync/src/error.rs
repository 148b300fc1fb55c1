//! What can go wrong with a primitive in shared pages, said for people.
//!
//! One opaque [`Error`] for the crate: what was attempted, on which object, of which [`ErrorKind`], and what to do about it. Where a
//! caller must branch on more than a kind (the news of a dead owner comes with the lock itself) the operation has an enum of its own:
//! see [`LockError`](crate::LockError).

use std::borrow::Cow;
use std::fmt;

/// An operation on a primitive that failed.
///
/// ```
/// use shm_sync::{ErrorKind, Mutex, Primitive};
///
/// let mutex = Mutex::anonymous(0u32)?;
/// let _guard = mutex.lock()?;
/// let error = mutex.try_lock().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Deadlock);
/// assert!(error.to_string().contains("already holds"));
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    operation: Cow<'static, str>,
    kind: ErrorKind,
    name: Option<Box<str>>,
    detail: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`]; more may come.
///
/// ```
/// use shm_sync::{ErrorKind, Mutex, Primitive};
///
/// let mutex = Mutex::anonymous(7u32)?;
/// drop(mutex.repair()?); // given up
/// match mutex.lock() {
///     Err(error) if error.kind() == ErrorKind::Poisoned => *mutex.repair()?.recover() = 0,
///     other => drop(other?),
/// }
/// assert_eq!(*mutex.lock()?, 0);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock is held by somebody else, or what is asked for is not there yet, and the call does not wait.
    Busy,
    /// The deadline passed before the lock was free, or what was waited for came.
    TimedOut,
    /// A signal handler ran while the call was waiting, and the caller asked to be told.
    Interrupted,
    /// The channel is closed: nothing can be sent any more, and everything that was sent has been received.
    Closed,
    /// There is no message in the channel, and the call does not wait.
    Empty,
    /// There is no room in the channel, and the call does not wait.
    Full,
    /// This thread holds the lock already; waiting would last for ever.
    Deadlock,
    /// The last holder died and its successor did not take care of the value: the lock was given up without `recover`.
    OwnerDied,
    /// The value was given up after the death of a holder; only `repair` opens the lock again.
    Poisoned,
    /// The lock is released that nobody holds, or a seat is used that belongs to another process.
    NotHeld,
    /// As many processes as there are slots for use the lock.
    TooManyProcesses,
    /// Every seat of the barrier is taken.
    TooManyParties,
    /// Somebody who took part died in the middle, or gave the whole up, and nobody has made that good yet.
    Broken,
    /// This thread holds as many locks as the kernel is willing to clean up after.
    TooManyLocks,
    /// This thread holds the lock once more than can be counted.
    TooDeep,
    /// All places for readers are taken.
    TooManyReaders,
    /// Whoever ran the initialisation died half-way, or panicked.
    RunnerDied,
    /// The kernel, the C library or a sandbox offers no robust futex list, or not in the layout that is needed.
    Unsupported,
    /// The address is not a multiple of the alignment that a primitive needs.
    Misaligned,
    /// The bytes are another kind of primitive, another version of it, or guard a value of another size.
    Mismatch,
    /// The bytes are in a state that no correct program leaves behind.
    Corrupt,
    /// The mapping is read-only or private, where a lock would exclude nobody.
    NotShared,
    /// There is a primitive already where a new one was to be made.
    InUse,
    /// A primitive of this type cannot begin with, or be asked for, such a number.
    InvalidArgument,
    /// More was given back, or counted down, than can be: a permit past the bound, an arrival that a latch does not wait for.
    Overflow,
    /// The segment failed; the source says how.
    Segment,
}

impl ErrorKind {
    /// What happened and what to do about it, for messages.
    fn explanation(self) -> &'static str {
        match self {
            Self::Busy => "it is not free now; use a form that waits, or try again later",
            Self::TimedOut => {
                "the deadline passed first; whoever it waited for may be slow, stopped or waiting itself"
            }
            Self::Interrupted => "a signal arrived while waiting; call again to go on waiting",
            Self::Closed => "somebody has closed it; create another one to go on",
            Self::Empty => "there is no message in it now; wait with `recv` or try again later",
            Self::Full => "there is no room in it now; wait with `send` or try again later",
            Self::Deadlock => "this thread already holds it; release the first guard before locking again",
            Self::OwnerDied => {
                "its last holder died and the value was not recovered, so it is poisoned now; handle `LockError::OwnerDied`, \
                 or open it with `repair`"
            }
            Self::Poisoned => {
                "the value was given up after a holder's death; check the value and open it with `repair`"
            }
            Self::NotHeld => {
                "it is not held; it was released already, or the call that should have taken it failed"
            }
            Self::TooManyProcesses => {
                "as many processes use it as it has slots for; close it where it is not needed any more"
            }
            Self::TooManyParties => {
                "every seat is taken; create it with more parties, or wait until somebody has left"
            }
            Self::Broken => {
                "somebody who took part died in the middle or aborted it; the documentation of the type says how to go on"
            }
            Self::TooManyLocks => {
                "this thread holds too many locks for the kernel to clean up after; release some first"
            }
            Self::TooDeep => {
                "this thread has taken it once more than can be counted; give it up as often as it was taken"
            }
            Self::TooManyReaders => {
                "as many readers are in as it has places for; wait with `read`, or make it with more of them"
            }
            Self::RunnerDied => {
                "whoever ran it died half-way, so what it makes may be half-made; use `call_once_force`, which is told so"
            }
            Self::Unsupported => {
                "the robust futex list is not available here (it needs Linux with glibc, and a sandbox that permits \
                 get_robust_list and futex)"
            }
            Self::Misaligned => "a primitive needs an address that is a multiple of 64",
            Self::Mismatch => {
                "the bytes there are not this primitive; attach with the type that it was made with"
            }
            Self::Corrupt => {
                "its bytes are damaged; somebody wrote over them, so do not trust the value either"
            }
            Self::NotShared => {
                "the mapping is read-only or private, where a lock excludes nobody; attach it writable and shared"
            }
            Self::InUse => "there is a primitive already; attach to it instead",
            Self::InvalidArgument => {
                "the argument is out of range; the documentation of the type says what it may be"
            }
            Self::Overflow => {
                "that is more than it has room for, so somebody gives or counts more than was taken or agreed; nothing was changed"
            }
            Self::Segment => "the segment it lives in could not be used",
        }
    }
}

impl Error {
    /// An error of `kind` while doing `operation` ("lock the mutex", ...).
    pub(crate) fn new(operation: impl Into<Cow<'static, str>>, kind: ErrorKind) -> Self {
        Self(Box::new(Repr { operation: operation.into(), kind, name: None, detail: None, source: None }))
    }

    /// The same failure, as one of another operation.
    pub(crate) fn during(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.0.operation = operation.into();
        self
    }

    /// Names the object.
    pub(crate) fn on(mut self, name: Option<&str>) -> Self {
        self.0.name = name.map(Box::from);
        self
    }

    /// Adds what is particular to this case.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into().into_boxed_str());
        self
    }

    /// Adds the error below this one.
    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The kind of failure, for branching.
    ///
    /// ```
    /// # use shm_sync::{ErrorKind, Mutex, Primitive};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// let _guard = mutex.lock()?;
    /// assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Deadlock);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the object, if it has one.
    ///
    /// ```
    /// # use shm_sync::Primitive;
    /// let error = shm_sync::Mutex::<u64>::attach("shm://doc-no-such-mutex").unwrap_err();
    /// assert_eq!(error.name(), Some("shm://doc-no-such-mutex"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }
}

impl From<shm_core::Error> for Error {
    /// An error of the segment under a primitive.
    fn from(error: shm_core::Error) -> Self {
        let name = error.subject().to_owned();
        Self::new("use the segment", ErrorKind::Segment).on(Some(&name)).caused_by(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.name {
            Some(name) => write!(f, "cannot {} {name}: ", self.0.operation)?,
            None => write!(f, "cannot {}: ", self.0.operation)?,
        }
        if let Some(detail) = &self.0.detail {
            write!(f, "{detail}: ")?;
        }
        f.write_str(self.0.kind.explanation())?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_attempt_the_object_and_the_remedy() {
        let error = Error::new("lock the mutex", ErrorKind::Poisoned).on(Some("shm://ledger"));
        let text = error.to_string();
        assert!(text.starts_with("cannot lock the mutex shm://ledger: "), "{text}");
        assert!(text.contains("repair"), "{text}");
    }

    #[test]
    fn details_and_sources_are_part_of_the_message() {
        let below = std::io::Error::from_raw_os_error(1);
        let error =
            Error::new("attach to the mutex", ErrorKind::Unsupported).detail("first use").caused_by(below);
        let text = error.to_string();
        assert!(text.contains("first use: the robust"), "{text}");
        assert!(text.contains("os error 1"), "{text}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
