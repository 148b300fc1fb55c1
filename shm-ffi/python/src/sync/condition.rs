//! `Condition`: waiting for a change of what a lock guards, be it a mutex, a recursive lock, or one that belongs to a process.

#![allow(unsafe_code, reason = "the guard that comes back from a wait is kept beside its handle")]

use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use shm_sync::{
    Condvar, Error, ErrorKind, LockError, Primitive, ProcessLockError, ProcessMutex, WaitGuard, WaitOutcome,
};

use super::Site;
use super::kept::{self, Guard, Handle};
use super::lock::Lock;
use super::owned::{Mutex, RLock};
use super::wait::{Failed, deadline, wait};
use crate::arguments::number;
use crate::error::{self, Result};
use crate::memory::Memory;

/// What is waited with.
enum Waiting {
    /// A lock that belongs to a thread, by its address, where the guards of this thread are found; and what keeps it there.
    Owned(usize, #[expect(dead_code, reason = "kept for the address")] Handle),
    /// One that belongs to a process.
    Process(ProcessMutex),
}

/// A condition variable together with the lock that is waited with.
#[pyclass(module = "shm._shm", frozen, subclass)]
pub(crate) struct Condition {
    condvar: Condvar,
    site: Site,
    lock: Waiting,
}

#[pymethods]
impl Condition {
    #[new]
    fn new(memory: &Bound<'_, Memory>, entry: String, lock: &Bound<'_, PyAny>) -> Result<Self> {
        let lock = if let Ok(mutex) = lock.cast::<Mutex>() {
            let (address, handle) = mutex.get().owned();
            Waiting::Owned(address, handle)
        } else if let Ok(recursive) = lock.cast::<RLock>() {
            let (address, handle) = recursive.get().owned();
            Waiting::Owned(address, handle)
        } else if let Ok(process) = lock.cast::<Lock>() {
            Waiting::Process(process.get().handle())
        } else {
            let text =
                format!("a condition waits with a shm.Lock, shm.RLock or shm.Mutex, not with {lock:?}");
            return Err(PyTypeError::new_err(text).into());
        };
        let site = Site::new(memory, entry)?;
        let condvar = Condvar::attach_in(&site.segment, &site.entry)?;
        Ok(Self { condvar, site, lock })
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

    /// Gives the lock up (a recursive one as often as it was taken), waits for a notification, and takes the lock again; False if none came in time.
    ///
    /// NotHeldError if this thread, or for a Lock this process, does not hold the lock. OwnerDiedError if whoever had it meanwhile died with
    /// it; it is held again then.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
        let deadline = deadline(timeout)?;
        loop {
            // An interruption comes back with the lock held, as an outcome.
            let (outcome, died) = self.wait_once(py, deadline)?;
            if died {
                return Err(self.owner_died(py).into());
            }
            match outcome {
                WaitOutcome::Interrupted => py.check_signals()?,
                outcome => return Ok(outcome == WaitOutcome::Notified),
            }
        }
    }

    /// Wakes so many of those who wait. NotHeldError if this thread, or for a Lock this process, does not hold the lock.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, #[pyo3(from_py_with = number)] n: u32) -> Result<()> {
        self.check_held(py)?;
        Ok(self.condvar.notify_n(n)?)
    }

    /// Wakes all who wait. NotHeldError if this thread, or for a Lock this process, does not hold the lock.
    fn notify_all(&self, py: Python<'_>) -> Result<()> {
        self.check_held(py)?;
        Ok(self.condvar.notify_all()?)
    }
}

impl Condition {
    /// Waits once; the lock is held afterwards, unless somebody gave up what it guards meanwhile. True: somebody had died with it.
    fn wait_once(&self, py: Python<'_>, deadline: Option<Instant>) -> Result<(WaitOutcome, bool)> {
        match &self.lock {
            Waiting::Process(mutex) => {
                let mut place = Some(mutex.held().ok_or_else(|| self.not_held(py, "wait for"))?);
                let waited = self.wait_with(py, &mut place, deadline, ProcessLockError::recover);
                if let Some(guard) = place {
                    guard.keep();
                }
                waited
            }
            Waiting::Owned(address, _) => {
                // SAFETY: the handle is kept again below with the guard that comes back, or dropped at the end of the block, after the guard.
                let Some((handle, guard)) = (unsafe { kept::take(*address) }) else {
                    return Err(self.not_held(py, "wait for").into());
                };
                let (guard, waited) = match guard {
                    Guard::Mutex(guard) => {
                        let mut place = Some(guard);
                        let waited = self.wait_with(py, &mut place, deadline, LockError::recover);
                        (place.map(Guard::Mutex), waited)
                    }
                    Guard::Recursive(guard) => {
                        let mut place = Some(guard);
                        let waited = self.wait_with(py, &mut place, deadline, LockError::recover);
                        (place.map(Guard::Recursive), waited)
                    }
                    Guard::Read(_) | Guard::Write(_) | Guard::Turn(_) => {
                        unreachable!("a mutex lies at the address, or a recursive one")
                    }
                };
                if let Some(guard) = guard {
                    // SAFETY: the guard borrows the lock that the handle points to, as the one that it comes of, and that alone.
                    unsafe { kept::keep(*address, guard, handle) };
                }
                waited
            }
        }
    }

    /// Waits with the guard in a place; it is there again afterwards, unless the lock is lost.
    fn wait_with<G: WaitGuard>(
        &self,
        py: Python<'_>,
        place: &mut Option<G>,
        deadline: Option<Instant>,
        recover: impl FnOnce(G::Error) -> std::result::Result<G, Error>,
    ) -> Result<(WaitOutcome, bool)>
    where
        G::Error: Failed,
    {
        match wait(py, || self.condvar.wait_in_place(place, deadline, true))? {
            Ok(outcome) => Ok((outcome, false)),
            // A failure leaves the place as it is; otherwise the lock is held, with the news.
            Err(error) => {
                *place = Some(recover(error)?);
                Ok((WaitOutcome::Notified, true))
            }
        }
    }

    fn check_held(&self, py: Python<'_>) -> Result<()> {
        let is_held = match &self.lock {
            Waiting::Owned(address, _) => kept::is_kept(*address),
            // (A look that leaves the lock as it is.)
            Waiting::Process(mutex) => mutex.held().map(|guard| guard.keep()).is_some(),
        };
        if is_held { Ok(()) } else { Err(self.not_held(py, "notify").into()) }
    }

    #[cold]
    fn not_held(&self, py: Python<'_>, verb: &str) -> PyErr {
        let who = match self.lock {
            Waiting::Owned(..) => "this thread",
            Waiting::Process(_) => "this process",
        };
        let text = format!(
            "cannot {verb} {}: {who} does not hold its lock; acquire that first (`with condition:`)",
            self.site.label()
        );
        error::of_kind(py, ErrorKind::NotHeld, &text, None)
    }

    #[cold]
    fn owner_died(&self, py: Python<'_>) -> PyErr {
        let text = format!(
            "while this thread waited for {}, somebody died with its lock, so what that guards may be half-changed; this thread has the \
             lock again: look after that, notify the others, and go on",
            self.site.label()
        );
        error::of_kind(py, ErrorKind::OwnerDied, &text, None)
    }
}
