//! [`Call`]: one call in a forked process, awaited later, by any number of threads.
//!
//! One of those that wait has the process, and looks for its end in turns of [`HEARTBEAT`]; the others sleep until there is something new.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PySystemExit, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use shm_pool::Background;

use super::job::{HEARTBEAT, explain, failure};
use super::packed::Packed;
use super::store::Store;
use super::work::{Life, leave, pack, pack_failure};
use super::{detached, forks, results};
use crate::error::Result;
use crate::ranges::Held;

/// A call that runs, or that has ended.
#[pyclass(module = "shm._shm", frozen)]
pub(crate) struct Call {
    /// Locked for moments only: nobody waits for anything, or runs Python, in the meantime.
    state: Mutex<State>,
    /// The state is another one.
    changed: Condvar,
    pid: Option<u32>,
    store: Store,
    forks: u64,
}

enum State {
    /// It may have ended, and nobody looks.
    Running(Box<Background<Packed>>),
    /// A thread looks, which has it for the time; `kill`: and shall kill it then.
    Watched { kill: bool },
    /// Whether it has ended well, and its value or exception; or why that cannot be had.
    Over(PyResult<(bool, Py<PyAny>)>),
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
            Ok(running) => {
                let pid = running.pid();
                let state = Mutex::new(State::Running(Box::new(running)));
                Ok(Call { state, changed: Condvar::new(), pid, store, forks })
            }
            Err(error) => Err(PyErr::from_value(explain(py, &error)?).into()),
        }
    }

    /// The process id.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits until the call has ended: whether it is good, and its value or exception. None if it has not ended in time.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<Option<(bool, Py<PyAny>)>> {
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
            self.look(py, left.min(HEARTBEAT));
            if let State::Over(outcome) = &*self.state() {
                return match outcome {
                    Ok((good, value)) => Ok(Some((*good, value.clone_ref(py)))),
                    Err(error) => Err(error.clone_ref(py).into()),
                };
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Kills the process.
    fn kill(&self, py: Python<'_>) -> Result<()> {
        self.check_process()?;
        detached(py, || {
            let mut state = self.state();
            match &mut *state {
                State::Running(running) => running.kill(),
                State::Over(_) => {}
                State::Watched { kill } => {
                    *kill = true;
                    let is_to_come = |state: &mut State| matches!(state, State::Watched { kill: true });
                    drop(self.changed.wait_while(state, is_to_come));
                }
            }
        });
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        match self.state_for_gc().as_deref() {
            Some(State::Over(Ok((_, value)))) => visit.call(value),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let Some(mut state) = self.state_for_gc() else { return };
        let nothing = State::Over(Err(PyRuntimeError::new_err("the outcome was let go of")));
        let before = matches!(*state, State::Over(_)).then(|| std::mem::replace(&mut *state, nothing));
        drop(state);
        drop(before); // a value may do anything when it goes
    }
}

/// The turn of a thread to look for the end.
struct Turn<'a>(&'a Call);

impl Turn<'_> {
    fn end(self, mut next: State) {
        let mut state = self.0.state();
        if let (State::Running(running), State::Watched { kill: true }) = (&mut next, &*state) {
            running.kill();
        }
        *state = next;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if matches!(*state, State::Watched { .. }) {
            // A panic. The process is gone with what it has unwound.
            *state = State::Over(Err(PyRuntimeError::new_err("waiting for the call has failed")));
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Call {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for the garbage collector, which has to find the same whenever it looks. Nothing in a forked copy: a thread that is not there may hold the lock.
    fn state_for_gc(&self) -> Option<MutexGuard<'_, State>> {
        (shm_core::fork_count() == self.forks).then(|| self.state())
    }

    /// Looks for the end of the call for so long at most, or waits for the thread that looks already.
    fn look(&self, py: Python<'_>, limit: Duration) {
        let mut state = self.state();
        match &*state {
            State::Over(_) => return,
            State::Watched { .. } => {
                // The guard does not outlive the closure: whoever waits for the interpreter behind it holds no lock.
                return detached(py, || {
                    let is_watched = |state: &mut State| matches!(state, State::Watched { .. });
                    drop(self.changed.wait_timeout_while(state, limit, is_watched));
                });
            }
            State::Running(_) => {}
        }
        let State::Running(mut running) = std::mem::replace(&mut *state, State::Watched { kill: false })
        else {
            unreachable!("it was looked at under the same lock")
        };
        drop(state);
        let turn = Turn(self);
        let ended = detached(py, || match running.wait_timeout(limit) {
            true => Ok(running.wait()),
            false => Err(running),
        });
        turn.end(match ended {
            Err(running) => State::Running(running),
            Ok(outcome) => State::Over(self.outcome(py, outcome)),
        });
    }

    fn outcome(
        &self,
        py: Python<'_>,
        outcome: std::result::Result<Packed, shm_pool::Error>,
    ) -> PyResult<(bool, Py<PyAny>)> {
        let (good, value) = match outcome {
            Ok(packed) => self.unpack(py, packed)?,
            Err(error) => (false, explain(py, &error)?),
        };
        Ok((good, value.unbind()))
    }

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
