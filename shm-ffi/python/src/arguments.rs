//! Arguments of Python functions as Rust's: numbers that are too small or too large are a ValueError, and whatever is true or false will do as a flag.

#![allow(unsafe_code, reason = "asks for whole numbers through the C interface")]

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

/// The whole number that something is. TypeError if it is none.
pub(crate) fn index<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a function of the C interface that takes any object and returns a new reference or sets an exception.
    unsafe { Bound::from_owned_ptr_or_err(given.py(), ffi::PyNumber_Index(given.as_ptr())) }
}

/// A number that fits `T`. ValueError if it does not, TypeError if it is no whole number.
pub(crate) fn number<T: TryFrom<i128>>(given: &Bound<'_, PyAny>) -> PyResult<T> {
    let out_of_range = || PyValueError::new_err(format!("{given} is out of range here"));
    match index(given)?.extract::<i128>() {
        Ok(number) => T::try_from(number).map_err(|_| out_of_range()),
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => Err(out_of_range()),
        Err(error) => Err(error),
    }
}

/// Whether it is true, as `if` sees it.
pub(crate) fn truth(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    given.is_truthy()
}
