//! Counts to wait for: semaphores, with and without a bound, and latches.

use pyo3::prelude::*;
use shm_sync::{ErrorKind, Primitive};

use super::wait::{deadline, wait_or_time_out};
use super::{Site, primitive};
use crate::arguments::{number, truth};
use crate::error::Result;

/// The methods of both semaphores.
macro_rules! semaphore {
    ($(#[$about:meta])* $class:ident) => {
        impl $class {
            fn take(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> Result<bool> {
                let deadline = deadline(timeout)?;
                match self.inner.try_acquire() {
                    Ok(permit) => {
                        permit.forget();
                        return Ok(true);
                    }
                    Err(error) if error.kind() != ErrorKind::Busy => return Err(error.into()),
                    Err(_) if !block => return Ok(false),
                    Err(_) => {}
                }
                wait_or_time_out(py, deadline, |deadline| {
                    self.inner.acquire_interruptible(deadline).map(|permit| permit.forget())
                })
            }
        }

        primitive!(
            $(#[$about])*
            $class(shm_sync::$class), |site: &Site| shm_sync::$class::attach_in(&site.segment, &site.entry), {
                /// Takes a permit; False if there is none (in time).
                #[pyo3(signature = (block = true, timeout = None))]
                fn acquire(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
                    self.take(py, block, timeout)
                }

                /// Gives permits. OverflowedError (a ValueError) if that would be more than there can be.
                #[pyo3(signature = (n = 1))]
                fn release(&self, #[pyo3(from_py_with = number)] n: u32) -> Result<()> {
                    Ok(self.inner.release(n)?)
                }

                /// How many permits there are at this moment.
                fn get_value(&self) -> Result<u32> {
                    Ok(self.inner.available()?)
                }

                fn __enter__(&self, py: Python<'_>) -> Result<bool> {
                    self.take(py, true, None)
                }

                fn __exit__(&self, _kind: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) -> Result<()> {
                    Ok(self.inner.release(1)?)
                }
            }
        );
    };
}

semaphore!(
    /// Permits, of which anybody may give more.
    Semaphore
);
semaphore!(
    /// Permits that are given back, and never more than there were.
    BoundedSemaphore
);

primitive!(
    /// Opens, once and for all, when so many arrivals were counted.
    Latch(shm_sync::Latch), |site: &Site| shm_sync::Latch::attach_in(&site.segment, &site.entry), {
        /// Counts arrivals.
        #[pyo3(signature = (n = 1))]
        fn count_down(&self, #[pyo3(from_py_with = number)] n: u32) -> Result<()> {
            Ok(self.inner.count_down(n)?)
        }

        /// Waits until it is open; False if it is not in time.
        #[pyo3(signature = (timeout = None))]
        fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            wait_or_time_out(py, deadline(timeout)?, |deadline| self.inner.wait_interruptible(deadline))
        }

        /// How many arrivals it was made for.
        #[getter]
        fn parties(&self) -> u32 {
            self.inner.parties()
        }

        /// How many arrivals are still to come.
        #[getter]
        fn remaining(&self) -> Result<u32> {
            Ok(self.inner.remaining()?)
        }
    }
);
