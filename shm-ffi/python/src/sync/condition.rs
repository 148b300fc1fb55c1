//! `Condition`: waiting for a change of what a mutex guards.

#![allow(unsafe_code, reason = "the guard that comes back from a wait is kept beside its handle")]

use pyo3::prelude::*;
use shm_sync::{Condvar, LockError, Primitive, WaitOutcome};

use super::Site;
use super::kept::{self, Guard};
use super::lock::owner_died;
use super::owned::{Mutex, Owned, not_held};
use super::wait::{deadline, wait};
use crate::error::Result;
use crate::memory::Memory;

/// A condition variable together with the mutex that is waited with.
#[pyclass(module = "shm._shm", frozen, subclass)]
pub(crate) struct Condition {
    condvar: Condvar,
    site: Site,
    mutex: Owned<shm_sync::Mutex<()>>,
}

#[pymethods]
impl Condition {
    #[new]
    fn new(memory: &Bound<'_, Memory>, entry: String, mutex: &Bound<'_, Mutex>) -> Result<Self> {
        let site = Site::new(memory, entry)?;
        let condvar = Condvar::attach_in(&site.segment, &site.entry)?;
        Ok(Self { condvar, site, mutex: mutex.get().owned() })
    }

    /// The memory that it lies in.
    #[getter]
    fn memory(&self) -> Memory {
        self.site.memory()
    }

    /// Its entry in the segment's table of contents.
    #[getter]
    fn entry(&self) -> &str {
        &self.site.entry
    }

    /// Gives the mutex up, waits for a notification, and takes the mutex again; False if none came in time.
    ///
    /// NotHeldError if this thread does not hold the mutex. OwnerDiedError if whoever had it meanwhile died with it; this thread holds it then.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
        let deadline = deadline(timeout)?;
        loop {
            // SAFETY: the handle is kept again below with the guard that comes back, or dropped at the end of the block, after the guard.
            let Some((handle, guard)) = (unsafe { kept::take_mutex(self.mutex.address) }) else {
                return Err(not_held(py, &self.site, "(its mutex)").into());
            };
            let mut guard = Some(guard);
            // An interruption comes back with the guard, as an outcome: `wait` itself sees no error to go on after.
            let waited = wait(py, || match guard.take() {
                Some(guard) => self.condvar.wait_interruptible(guard, deadline),
                None => unreachable!("it is waited once"),
            })?;
            let (guard, outcome, died) = match waited {
                Ok((guard, outcome)) => (guard, outcome, false),
                Err(LockError::OwnerDied(left)) => (left.recover(), WaitOutcome::Notified, true),
                Err(LockError::Failed(error)) => return Err(error.into()),
            };
            // SAFETY: the guard borrows the mutex that the handle points to, as the one that it comes of, and that alone.
            unsafe { kept::keep(self.mutex.address, Guard::Mutex(guard), handle) };
            if died {
                return Err(owner_died(py, &self.site).into());
            }
            match outcome {
                WaitOutcome::Interrupted => py.check_signals()?,
                outcome => return Ok(outcome == WaitOutcome::Notified),
            }
        }
    }

    /// Wakes so many of those who wait. NotHeldError if this thread does not hold the mutex.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, n: u32) -> Result<()> {
        self.check_held(py)?;
        Ok(self.condvar.notify_n(n)?)
    }

    /// Wakes all who wait. NotHeldError if this thread does not hold the mutex.
    fn notify_all(&self, py: Python<'_>) -> Result<()> {
        self.check_held(py)?;
        Ok(self.condvar.notify_all()?)
    }
}

impl Condition {
    fn check_held(&self, py: Python<'_>) -> Result<()> {
        if kept::is_kept(self.mutex.address) {
            Ok(())
        } else {
            Err(not_held(py, &self.site, "(its mutex)").into())
        }
    }
}
