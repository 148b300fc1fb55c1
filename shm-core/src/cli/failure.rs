//! How a command ends early: with a sentence, or quietly because nobody reads on; and the sentences of failures that are not the library's.

use std::fmt::Display;
use std::io;

use crate::{Error, ErrorKind};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Say this, and fail.
    Error(Error),
    /// Everything was said already; fail.
    Said,
    /// The words of the command line do not go together: say this.
    Usage(&'static str),
    /// Whoever read the output has gone: nothing is wrong.
    NobodyReads,
}

/// The result of a command or a part of one.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl Failure {
    /// The failure of a write to standard output.
    pub(crate) fn of_output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::Error(system("write", "standard output", error)),
        }
    }
}

/// The error of a system call on a thing that is no segment.
pub(crate) fn system(operation: &'static str, subject: impl Display, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::OutOfSpace,
        _ => ErrorKind::System,
    };
    Error::new(kind, operation, subject, error.to_string())
}
