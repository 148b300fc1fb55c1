//! Events, barriers, and what is done once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::prelude::*;
use shm_sync::{Error, ErrorKind, Primitive};

use super::wait::{deadline, wait, wait_or_time_out};
use super::{Site, primitive};
use crate::error::{Result, of_kind};

primitive!(
    /// A flag to wait for.
    Event(shm_sync::Event), |site: &Site| shm_sync::Event::attach_in(&site.segment, &site.entry), {
        /// Whether the flag is set.
        fn is_set(&self) -> Result<bool> {
            Ok(self.inner.is_set()?)
        }

        /// Sets the flag; everybody who waits goes on.
        fn set(&self) -> Result<()> {
            Ok(self.inner.set()?)
        }

        /// Takes the flag down.
        fn clear(&self) -> Result<()> {
            Ok(self.inner.clear()?)
        }

        /// Waits until the flag is set; False if it is not in time.
        #[pyo3(signature = (timeout = None))]
        fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            let deadline = deadline(timeout)?;
            if self.inner.is_set()? {
                return Ok(true);
            }
            wait_or_time_out(py, deadline, |deadline| self.inner.wait_interruptible(deadline))
        }
    }
);

/// Runs a Python function where the crate runs a closure: what it raises unwinds through the crate, which then knows that it did not end well.
fn running<T>(function: &Bound<'_, PyAny>, run: impl FnOnce(&mut dyn FnMut()) -> Result<T>) -> Result<T> {
    let mut raised = None;
    let function = function.clone().unbind();
    let mut call = || {
        if let Err(error) = Python::attach(|py| function.call0(py)) {
            raised = Some(error);
            // Not a panic: nothing is printed.
            resume_unwind(Box::new(()));
        }
    };
    let done = catch_unwind(AssertUnwindSafe(|| run(&mut call)));
    match (done, raised) {
        (_, Some(error)) => Err(error.into()),
        (Ok(done), None) => done,
        (Err(panic), None) => resume_unwind(panic),
    }
}

primitive!(
    /// Parties that wait for each other, round after round.
    Barrier(shm_sync::Barrier), |site: &Site| shm_sync::Barrier::attach_in(&site.segment, &site.entry), {
        /// Waits until all parties have arrived and returns this one's number among them. The last to arrive calls ``action`` first.
        ///
        /// BrokenError (a threading.BrokenBarrierError) if the barrier is broken: by a party that died or came too late, by abort or by the action.
        #[pyo3(signature = (timeout = None, action = None))]
        fn wait(&self, py: Python<'_>, timeout: Option<f64>, action: Option<Bound<'_, PyAny>>) -> Result<usize> {
            let deadline = deadline(timeout)?;
            let waited = match action {
                None => wait(py, || self.inner.wait_interruptible(deadline))?,
                Some(action) => running(&action, |call| {
                    wait(py, || self.inner.wait_interruptible_with(deadline, &mut *call))
                })?,
            };
            match waited {
                Ok(arrival) => Ok(arrival.index()),
                Err(error) => {
                    if error.kind() == ErrorKind::TimedOut {
                        // As everywhere in Python: who gives up breaks it, and the others hear of it.
                        self.inner.abort()?;
                        return Err(of_kind(py, ErrorKind::Broken, &error.to_string(), None).into());
                    }
                    Err(error.into())
                }
            }
        }

        /// Breaks the barrier: everybody who waits or comes hears of it, until it is reset.
        fn abort(&self) -> Result<()> {
            Ok(self.inner.abort()?)
        }

        /// Makes the barrier whole again; whoever waits hears of it.
        fn reset(&self) -> Result<()> {
            Ok(self.inner.reset()?)
        }

        /// How many parties there are.
        #[getter]
        fn parties(&self) -> usize {
            self.inner.parties()
        }

        /// How many of them wait at this moment.
        #[getter]
        fn n_waiting(&self) -> usize {
            self.inner.n_waiting()
        }

        /// Whether it is broken.
        #[getter]
        fn broken(&self) -> bool {
            self.inner.is_broken()
        }
    }
);

primitive!(
    /// Something that is done by whoever comes first.
    Once(shm_sync::Once), |site: &Site| shm_sync::Once::attach_in(&site.segment, &site.entry), {
        /// Calls the function if nobody has done so yet, and waits if somebody is at it; returns whether it was called here.
        ///
        /// OwnerDiedError if whoever called it first died in it, or it raised there; with ``force`` it is called again then. TimeoutError.
        #[pyo3(signature = (function, *, force = false, timeout = None))]
        fn call(&self, py: Python<'_>, function: &Bound<'_, PyAny>, force: bool, timeout: Option<f64>) -> Result<bool> {
            if self.inner.is_completed() {
                return Ok(false);
            }
            let deadline = deadline(timeout)?;
            let mut called = false;
            running(function, |call| {
                let done: std::result::Result<(), Error> = wait(py, || {
                    let mut run = || {
                        called = true;
                        call();
                    };
                    if force {
                        self.inner.call_once_force_interruptible(deadline, |_| run())
                    } else {
                        self.inner.call_once_interruptible(deadline, run)
                    }
                })?;
                Ok(done?)
            })?;
            Ok(called)
        }

        /// Whether it is done.
        #[getter]
        fn completed(&self) -> bool {
            self.inner.is_completed()
        }
    }
);
