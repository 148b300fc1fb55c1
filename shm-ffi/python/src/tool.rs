//! The command-line tool inside the module: `python -m shm` is the `shm` of `shm-core`.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command-line tool and returns its exit code. The first word is what it was called by.
///
/// It writes to the process's own standard output and takes over some signals for good: for processes that do nothing else.
#[pyfunction]
pub(crate) fn command_line(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| shm_core::cli::run(words))
}
