//! Waiting as Python waits: other threads run meanwhile, Ctrl-C and other handlers run at once, and what they raise ends the wait.

#![allow(
    unsafe_code,
    reason = "what stays on its thread is passed through a function that asks for what may leave it"
)]

use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shm_sync::{
    Error, ErrorKind, LockError, MutexGuard, ProcessLockError, RecursiveMutexGuard, RwLockReadGuard,
    RwLockWriteGuard,
};

use crate::error::Result;

/// Until when a timeout in seconds lasts; nothing for one without an end. Negative ones are over at once.
pub(super) fn deadline(timeout: Option<f64>) -> Result<Option<Instant>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds.is_nan() {
        return Err(
            PyValueError::new_err("a timeout is a number of seconds, and this one is no number").into()
        );
    }
    let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Ok(Instant::now().checked_add(timeout))
}

/// What a wait may end with.
pub(super) trait Failed {
    fn kind(&self) -> ErrorKind;
}

impl Failed for Error {
    fn kind(&self) -> ErrorKind {
        Error::kind(self)
    }
}

impl Failed for ProcessLockError<'_> {
    fn kind(&self) -> ErrorKind {
        ProcessLockError::kind(self)
    }
}

macro_rules! failed {
    ($($guard:ty),*) => {
        $(impl Failed for LockError<$guard> {
            fn kind(&self) -> ErrorKind {
                LockError::kind(self)
            }
        })*
    };
}
failed!(MutexGuard<'_, ()>, RecursiveMutexGuard<'_, ()>, RwLockReadGuard<'_, ()>, RwLockWriteGuard<'_, ()>);

/// What is passed through a stretch without the interpreter's lock, which runs on the same thread.
struct SameThread<T>(T);

// SAFETY: `Python::detach` runs its closure on the thread that calls it and returns there, so nothing is sent anywhere.
unsafe impl<T> Send for SameThread<T> {}

/// Waits, and waits on after each signal whose handlers raise nothing.
pub(super) fn wait<T, E: Failed>(
    py: Python<'_>,
    mut once: impl FnMut() -> std::result::Result<T, E>,
) -> Result<std::result::Result<T, E>> {
    loop {
        let call = SameThread(&mut once);
        let done = py.detach(move || {
            let SameThread(call) = { call };
            SameThread(call())
        });
        match done.0 {
            Err(error) if error.kind() == ErrorKind::Interrupted => py.check_signals()?,
            done => return Ok(done),
        }
    }
}

/// A wait that may also end because time is over: false then.
pub(super) fn wait_or_time_out(
    py: Python<'_>,
    deadline: Option<Instant>,
    mut once: impl FnMut(Option<Instant>) -> std::result::Result<(), Error>,
) -> Result<bool> {
    match wait(py, || once(deadline))? {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error.into()),
    }
}
