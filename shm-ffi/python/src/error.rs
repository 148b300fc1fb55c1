//! The crates' errors as Python exceptions: the text as it is, the class by the kind.
//!
//! The classes are defined in Python (`shm/_errors.py`), in a table from the kind's name to the class.

use std::fmt;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a function called from Python returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// An error of one of the crates, or one that is a Python exception already.
pub(crate) enum Failure {
    Core(shm_core::Error),
    Layout(shm_core::layout::LayoutError),
    Sync(shm_sync::Error),
    Python(PyErr),
}

impl From<shm_core::Error> for Failure {
    fn from(error: shm_core::Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<shm_core::layout::LayoutError> for Failure {
    fn from(error: shm_core::layout::LayoutError) -> Failure {
        Failure::Layout(error)
    }
}

impl From<shm_sync::Error> for Failure {
    fn from(error: shm_sync::Error) -> Failure {
        Failure::Sync(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Python(error)
    }
}

impl From<pyo3::CastIntoError<'_>> for Failure {
    fn from(error: pyo3::CastIntoError<'_>) -> Failure {
        Failure::Python(error.into())
    }
}

impl From<Failure> for PyErr {
    #[cold]
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Core(error) => Python::attach(|py| {
                let exception = of_kind(py, error.kind(), &error.to_string(), error.os_code());
                let value = exception.value(py);
                if value.hasattr("filename").unwrap_or(false) {
                    let _ = value.setattr("filename", error.subject());
                }
                exception
            }),
            Failure::Sync(error) => Python::attach(|py| {
                let below = std::error::Error::source(&error)
                    .and_then(|below| below.downcast_ref::<shm_core::Error>());
                match below {
                    Some(below) => of_kind(py, below.kind(), &error.to_string(), below.os_code()),
                    None => of_kind(py, error.kind(), &error.to_string(), None),
                }
            }),
            Failure::Layout(error) => PyValueError::new_err(error.to_string()),
            Failure::Python(error) => error,
        }
    }
}

/// The exception of the class for this kind.
#[cold]
pub(crate) fn of_kind(py: Python<'_>, kind: impl fmt::Debug, text: &str, os_code: Option<i32>) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let classes = py.import("shm._errors")?.getattr("by_kind")?.cast_into::<PyDict>()?;
        let kind = format!("{kind:?}");
        // What the system says by a number of its own has Python's class for that number.
        let looked_up = match (kind.as_str(), os_code) {
            ("System", Some(libc::ENOENT)) => "NotFound",
            ("System", Some(libc::EACCES | libc::EPERM | libc::EROFS)) => "PermissionDenied",
            _ => &kind,
        };
        let class = match classes.get_item(looked_up)? {
            Some(class) => class,
            // A kind that this package does not know yet.
            None => py.import("shm._errors")?.getattr("Error")?,
        };
        let exception = class.call1((text,))?;
        exception.setattr("kind", kind)?;
        if let Some(os_code) = os_code
            && exception.hasattr("errno")?
        {
            exception.setattr("errno", os_code)?;
        }
        Ok(PyErr::from_value(exception))
    };
    make().unwrap_or_else(|_| PyRuntimeError::new_err(text.to_owned()))
}

/// The exception for what was not there in time.
#[cold]
pub(crate) fn timed_out(py: Python<'_>, verb: &str, what: &str) -> Failure {
    let text = format!("cannot {verb} {what}: it was not free before the time was over");
    Failure::Python(of_kind(py, shm_sync::ErrorKind::TimedOut, &text, None))
}
