//! [`Call`]: one call in a forked process, awaited later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PySystemExit, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use shm_pool::Background;

use super::job::{HEARTBEAT, explain, failure};
use super::packed::Packed;
use super::store::Store;
use super::work::{Life, leave, pack, pack_failure};
use super::{detached, forks, results};
use crate::error::Result;
use crate::ranges::Held;

/// A call that runs, or that has ended and was not asked for its outcome.
#[pyclass(module = "shm._shm", frozen)]
pub(crate) struct Call {
    running: Mutex<Option<Background<Packed>>>,
    pid: Option<u32>,
    store: Store,
    forks: u64,
}

/// The call itself, in the child.
fn call(
    function: &Py<PyAny>,
    args: &Py<PyTuple>,
    keywords: &Py<PyDict>,
    store: &Store,
    held: &[Arc<Held>],
) -> Packed {
    Python::attach(|py| {
        let life = Life::begin(py, None, 0, 0, held);
        let called = life.and_then(|life| {
            let value = function.bind(py).call(args.bind(py), Some(keywords.bind(py)))?;
            Ok((life, value))
        });
        match called {
            Ok((_life, value)) => match Packed::of_plain(&value) {
                Some(plain) => plain,
                None => pack(py, store, &value).unwrap_or_else(|error| pack_failure(py, &error, 0, 0, true)),
            },
            Err(error) if error.is_instance_of::<PySystemExit>(py) => leave(py, &error),
            Err(error) => pack_failure(py, &error, 0, 0, false),
        }
    })
}

#[pymethods]
impl Call {
    #[new]
    fn new(py: Python<'_>, function: Py<PyAny>, args: Py<PyTuple>, keywords: Py<PyDict>) -> Result<Call> {
        let store = Store::new()?;
        let (forks, held, shared) = (shm_core::fork_count(), Held::all(), store.clone());
        let work = move || call(&function, &args, &keywords, &shared, &held);
        let running = detached(py, || forks::pool().workers(1).background(work));
        match running {
            Ok(running) => Ok(Call { pid: running.pid(), running: Mutex::new(Some(running)), store, forks }),
            Err(error) => Err(PyErr::from_value(explain(py, &error)?).into()),
        }
    }

    /// The process id.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits until the call has ended: whether it is good, and its value or exception. None if it has not ended in time.
    fn wait<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> Result<Option<(bool, Bound<'py, PyAny>)>> {
        self.check_process()?;
        let until = match timeout {
            None => None,
            Some(seconds) if seconds.is_nan() => {
                return Err(PyValueError::new_err("a timeout is a number of seconds").into());
            }
            Some(seconds) => {
                let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                Instant::now().checked_add(timeout)
            }
        };
        loop {
            let left = until.map_or(HEARTBEAT, |until| until.saturating_duration_since(Instant::now()));
            let ended = detached(py, || {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                let over = running.as_mut().is_none_or(|running| running.wait_timeout(left.min(HEARTBEAT)));
                over.then(|| running.take().map(Background::wait))
            });
            match ended {
                None => {
                    py.check_signals()?;
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Some(None) => {
                    return Err(PyRuntimeError::new_err("the outcome of this call was taken already").into());
                }
                Some(Some(Ok(packed))) => return Ok(Some(self.unpack(py, packed)?)),
                Some(Some(Err(error))) => return Ok(Some((false, explain(py, &error)?))),
            }
        }
    }

    /// Kills the process.
    fn kill(&self, py: Python<'_>) -> Result<()> {
        self.check_process()?;
        detached(py, || {
            if let Some(running) = &mut *self.running.lock().unwrap_or_else(PoisonError::into_inner) {
                running.kill();
            }
        });
        Ok(())
    }
}

impl Call {
    fn check_process(&self) -> Result<()> {
        if shm_core::fork_count() == self.forks {
            return Ok(());
        }
        let text = "this call belongs to the process that has forked this one: wait for it there";
        Err(PyRuntimeError::new_err(text).into())
    }

    fn unpack<'py>(&self, py: Python<'py>, packed: Packed) -> PyResult<(bool, Bound<'py, PyAny>)> {
        if let Some(value) = packed.plain(py)? {
            return Ok((true, value));
        }
        match packed {
            Packed::Many { data, extents, .. } => {
                let store = Bound::new(py, self.store.clone())?;
                let values = results(py, "unpack")?.call1((PyBytes::new(py, &data), extents, store, 1))?;
                Ok((true, values.cast_into::<PyList>()?.get_item(0)?))
            }
            Packed::Failed(data) => Ok((false, failure(py, &data, 0)?.3)),
            _ => Err(PyRuntimeError::new_err("the process has sent no result")),
        }
    }
}
