//! The error of this crate: what was attempted, on which name, why it failed and what to do about it.
//!
//! One opaque type carries all of that as text for people and an [`ErrorKind`] for programs. The higher crates have errors of their own
//! that wrap this one where they pass it on.

use std::fmt;

/// What kind of thing went wrong, for code that wants to branch.
///
/// New kinds may be added, so a `match` needs a wildcard arm.
///
/// ```
/// use shm_core::{ErrorKind, Segment};
/// let error = Segment::attach("shm://no-such-name-here").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A living segment, or something else, has this name already.
    AlreadyExists,
    /// Nothing has this name, or what had it was deleted or died.
    NotFound,
    /// The text is no valid segment name.
    InvalidName,
    /// An argument is out of range or contradicts another one.
    InvalidArgument,
    /// The object is not a segment of this library (or not a regular file at all).
    NotASegment,
    /// The segment was written by a newer version of the format.
    UnsupportedVersion,
    /// The object says that it is a segment, but its bytes contradict themselves.
    Corrupted,
    /// A size or an offset does not fit the number that has to hold it.
    SizeOverflow,
    /// The file system has not enough free bytes.
    OutOfSpace,
    /// The process may not have this much memory (address space, locked memory, memory limit).
    OutOfMemory,
    /// The file permissions forbid it.
    PermissionDenied,
    /// The segment belongs to another user, and the caller did not ask for those.
    ForeignOwner,
    /// The array's elements have another type than the caller named.
    TypeMismatch,
    /// The array has another shape or number of dimensions than the caller named.
    ShapeMismatch,
    /// Somebody else holds it: an exclusive lease, other attachments, or a removal under way.
    Busy,
    /// A lock inside the mapping is held by this process, so it cannot be unmapped.
    LockHeld,
    /// The attachment is read-only.
    ReadOnly,
    /// The handle was inherited by a forked process, which may not do this.
    Inherited,
    /// A limit that was set at creation, or a limit of the format, would be exceeded.
    LimitExceeded,
    /// The segment has no entry of this name or kind.
    NoSuchEntry,
    /// This kernel, file system or sandbox does not offer what is needed.
    Unsupported,
    /// Any other failure of a system call.
    System,
}

/// An error of `shm-core`: operation, subject, reason and remedy.
///
/// ```
/// let error = shm_core::Segment::attach("shm://no-such-name-here").unwrap_err();
/// let text = error.to_string();
/// assert!(text.starts_with("cannot attach shm://no-such-name-here: "));
/// assert_eq!(error.subject(), "shm://no-such-name-here");
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    reason: String,
    remedy: Option<String>,
    os: Option<i32>,
}

/// The result of an operation of this crate.
///
/// ```
/// fn len_of(name: &str) -> shm_core::Result<usize> {
///     Ok(shm_core::inspect(name)?.len_bytes)
/// }
/// assert!(len_of("shm://no-such-name-here").is_err());
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error that reads "cannot {operation} {subject}: {reason}".
    ///
    /// The crates above this one use it for failures that belong to a segment.
    ///
    /// ```
    /// use shm_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Busy, "lock", "shm://table", "somebody else has it").remedy("wait");
    /// assert_eq!(error.to_string(), "cannot lock shm://table: somebody else has it; wait");
    /// ```
    #[cold]
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Error {
        Error(Box::new(Repr {
            kind,
            operation,
            subject: subject.to_string(),
            reason: reason.into(),
            remedy: None,
            os: None,
        }))
    }

    /// Adds what the reader can do about it; see [`Error::new`].
    ///
    /// ```
    /// use shm_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::LimitExceeded, "fill", "shm://queue", "it has 8 places").remedy("take some out");
    /// assert!(error.to_string().ends_with("; take some out"));
    /// ```
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Error {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Makes an error out of the errno of a system call.
    #[cold]
    pub(crate) fn system(
        operation: &'static str,
        subject: impl fmt::Display,
        call: &str,
        errno: rustix::io::Errno,
    ) -> Error {
        use rustix::io::Errno;
        let kind = match errno {
            Errno::NOENT => ErrorKind::NotFound,
            Errno::EXIST => ErrorKind::AlreadyExists,
            Errno::ACCESS | Errno::PERM => ErrorKind::PermissionDenied,
            Errno::NOSPC | Errno::DQUOT => ErrorKind::OutOfSpace,
            Errno::NOMEM => ErrorKind::OutOfMemory,
            Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
            _ => ErrorKind::System,
        };
        let text = std::io::Error::from_raw_os_error(errno.raw_os_error());
        let mut error = Error::new(kind, operation, subject, format!("{call} failed: {text}"));
        error.0.os = Some(errno.raw_os_error());
        error
    }

    /// Makes an error of the standard library's, which has made the system call; its kind is [`ErrorKind::System`].
    #[cold]
    pub(crate) fn io(
        operation: &'static str,
        subject: impl fmt::Display,
        reason: impl Into<String>,
        error: &std::io::Error,
    ) -> Error {
        let mut made = Error::new(ErrorKind::System, operation, subject, reason);
        made.0.os = error.raw_os_error();
        made
    }

    /// Keeps everything but names another operation, for a step that serves several of them.
    pub(crate) fn during(mut self, operation: &'static str) -> Error {
        self.0.operation = operation;
        self
    }

    /// Keeps kind and reason but names another operation and the thing that it failed on.
    pub(crate) fn about(mut self, operation: &'static str, subject: impl fmt::Display) -> Error {
        self.0.operation = operation;
        self.0.subject = subject.to_string();
        self
    }

    /// Returns the kind of the error.
    ///
    /// ```
    /// use shm_core::{ErrorKind, Segment};
    /// let found = match Segment::attach("shm://no-such-name-here") {
    ///     Ok(segment) => Some(segment),
    ///     Err(error) if error.kind() == ErrorKind::NotFound => None,
    ///     Err(error) => return Err(error),
    /// };
    /// assert!(found.is_none());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what was attempted, as a verb: "create", "attach", ...
    ///
    /// ```
    /// let error = shm_core::delete("shm://no-such-name-here").unwrap_err();
    /// assert_eq!(error.operation(), "delete");
    /// ```
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Returns the name of the thing that it was attempted on.
    ///
    /// ```
    /// let error = shm_core::delete("no-such-name-here").unwrap_err();
    /// assert_eq!(error.subject(), "shm://no-such-name-here"); // the full name
    /// ```
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns the errno of the system call that failed, if one did.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let (here, there) = std::os::unix::net::UnixStream::pair()?;
    /// drop(there);
    /// let lease = SharedArray::<u8, _>::zeros(Anonymous, 1)?.segment().lease()?;
    /// assert_eq!(lease.send(&here).unwrap_err().os_code(), Some(32)); // EPIPE
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn os_code(&self) -> Option<i32> {
        self.0.os
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr { operation, subject, reason, remedy, .. } = &*self.0;
        // Paths may contain anything; a terminal shall not act on it.
        let (subject, reason) = (Plain(subject), Plain(reason));
        write!(f, "cannot {operation} {subject}: {reason}")?;
        match remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Text with its control characters escaped.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(char::is_control) {
            let text = piece.trim_end_matches(char::is_control);
            write!(f, "{text}{}", piece[text.len()..].escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_escaped() {
        let error =
            Error::new(ErrorKind::NotFound, "attach", "file://a\n\u{1b}[31mß\"", "a\tb\u{9b}").remedy("look");
        assert_eq!(error.to_string(), "cannot attach file://a\\n\\u{1b}[31mß\": a\\tb\\u{9b}; look");
        assert_eq!(error.subject(), "file://a\n\u{1b}[31mß\"");
        assert_eq!(Plain("").to_string(), "");
    }
}
