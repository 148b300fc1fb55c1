//! `Lock`: the lock that belongs to a process, as `multiprocessing.Lock` does: any thread of any process may release it.

use pyo3::prelude::*;
use shm_sync::{ErrorKind, Primitive, ProcessLockError, ProcessMutex};

use super::fast::{Quick, Short};
use super::wait::{deadline, wait};
use super::{Site, primitive};
use crate::arguments::truth;
use crate::error::{self, Result};

/// How an attempt ended that did not fail.
enum Taken {
    Clean,
    /// Taken, and its last holder had died with it.
    OwnerDied,
    Not,
}

impl Lock {
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> Result<Taken> {
        let deadline = deadline(timeout)?;
        match self.inner.try_lock() {
            Ok(guard) => {
                guard.keep();
                return Ok(Taken::Clean);
            }
            Err(ProcessLockError::Failed(error)) if error.kind() == ErrorKind::Busy => {}
            Err(other) => return Lock::taken(Err(other)),
        }
        if !block {
            return Ok(Taken::Not);
        }
        Lock::taken(wait(py, || self.inner.lock_interruptible(deadline).map(|guard| guard.keep()))?)
    }

    fn taken(locked: std::result::Result<(), ProcessLockError<'_>>) -> Result<Taken> {
        match locked {
            Ok(()) => Ok(Taken::Clean),
            Err(ProcessLockError::OwnerDied(guard)) => {
                guard.recover().keep();
                Ok(Taken::OwnerDied)
            }
            Err(ProcessLockError::Failed(error)) if error.kind() == ErrorKind::TimedOut => Ok(Taken::Not),
            Err(ProcessLockError::Failed(error)) => Err(error.into()),
        }
    }

    /// Another handle to it.
    pub(super) fn handle(&self) -> ProcessMutex {
        self.inner.clone()
    }

    fn acquire_or_raise(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> Result<bool> {
        match self.take(py, block, timeout)? {
            Taken::Clean => Ok(true),
            Taken::Not => Ok(false),
            Taken::OwnerDied => {
                self.inner.release()?;
                Err(owner_died(py, &self.site).into())
            }
        }
    }
}

/// The exception that brings the news, after which the lock is free.
#[cold]
pub(super) fn owner_died(py: Python<'_>, site: &Site) -> PyErr {
    let text = format!(
        "the last holder of {} died while it held it, so what it guards may be half-changed; it is free again: acquire it, look after \
         that, and go on (acquire_robust does it in one step)",
        site.label()
    );
    error::of_kind(py, ErrorKind::OwnerDied, &text, None)
}

impl Short for Lock {
    #[inline(always)]
    fn take_quickly(&self) -> Quick {
        match self.inner.try_lock() {
            Ok(guard) => {
                guard.keep();
                Quick::Taken
            }
            Err(ProcessLockError::OwnerDied(guard)) => {
                drop(guard.recover());
                Quick::OwnerDied
            }
            Err(ProcessLockError::Failed(_)) => Quick::Unusual,
        }
    }

    #[inline(always)]
    fn give_up_quickly(&self) -> bool {
        self.inner.release().is_ok()
    }

    fn owner_died(&self, py: Python<'_>) -> PyErr {
        owner_died(py, &self.site)
    }
}

primitive!(
    /// A lock that belongs to a process.
    Lock(ProcessMutex), |site: &Site| ProcessMutex::attach_in(&site.segment, &site.entry), {
        /// Takes the lock; False if it cannot be had (in time). OwnerDiedError, once, if the last holder died with it: the lock is not held then.
        #[pyo3(signature = (block = true, timeout = None))]
        fn _acquire(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
            self.acquire_or_raise(py, block, timeout)
        }

        /// Takes the lock in any case; False if the last holder died with it, so that what it guards may be half-changed.
        #[pyo3(signature = (timeout = None))]
        fn acquire_robust(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            match self.take(py, true, timeout)? {
                Taken::Clean => Ok(true),
                Taken::OwnerDied => Ok(false),
                Taken::Not => Err(error::timed_out(py, "take", &self.site.label())),
            }
        }

        /// Gives the lock up, whoever has taken it. NotHeldError if nobody holds it.
        fn _release(&self) -> Result<()> {
            Ok(self.inner.release()?)
        }

        /// Whether somebody holds it at this moment.
        fn locked(&self) -> bool {
            self.inner.holder().is_some()
        }

        /// The process id of the holder; None if it is free.
        #[getter]
        fn holder(&self) -> Option<u32> {
            self.inner.holder()
        }

    }
);
