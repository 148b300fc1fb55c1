//! The master of a map: forks, takes results in, calls reduce, answers Ctrl-C, and makes exceptions of what has failed.
//!
//! The pool runs without the interpreter's lock; the lock is taken for each message of a worker, and about ten times a second for signals.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use shm_pool::{Error, ErrorKind, Exit, Schedule};

use super::packed::{Packed, Plain};
use super::sections::Mapping;
use super::store::Store;
use super::work::{Life, Task};
use super::{detached, forks, results};
use crate::error::{Result, of_kind};
use crate::ranges::Held;

/// Signals that come just before the master sleeps are noticed that much later at most.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(100);

/// A map: made with all that it needs, and run once.
#[pyclass(module = "shm._shm", frozen)]
pub(crate) struct Job {
    pool: usize,
    local: Py<PyAny>,
    function: Py<PyAny>,
    sequence: Py<PyAny>,
    items: usize,
    star: bool,
    workers: usize,
    schedule: Schedule,
    retries: usize,
    skip: bool,
    ordered: bool,
}

#[pymethods]
impl Job {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "one for each option of a map")]
    fn new(
        pool: usize,
        local: Py<PyAny>,
        function: Py<PyAny>,
        sequence: Py<PyAny>,
        items: usize,
        star: bool,
        workers: usize,
        kind: &str,
        chunk: usize,
        retries: usize,
        skip: bool,
        ordered: bool,
    ) -> PyResult<Job> {
        let schedule = match (kind, chunk) {
            ("static", 0) => Schedule::Static,
            ("static", chunk) => Schedule::StaticChunk(chunk),
            ("dynamic", chunk) => Schedule::Dynamic(chunk),
            ("guided", chunk) => Schedule::Guided(chunk),
            _ => return Err(PyValueError::new_err(format!("there is no schedule {kind:?}"))),
        };
        Ok(Job { pool, local, function, sequence, items, star, workers, schedule, retries, skip, ordered })
    }

    /// How many items there are.
    #[getter]
    fn items(&self) -> usize {
        self.items
    }

    /// Works on all items, and enters the results into a list of that length.
    fn run(
        &self,
        py: Python<'_>,
        into: &Bound<'_, PyList>,
        reduce: Option<Py<PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> Result<()> {
        let store = Store::new()?;
        let sequence = self.sequence.bind(py);
        let task = Task::new(
            self.function.clone_ref(py),
            sequence,
            self.star,
            self.retries,
            self.skip,
            store.clone(),
        )?;
        let desk = Desk {
            into: into.clone().unbind(),
            reduce,
            progress,
            store,
            skip: self.skip,
            arrived: RefCell::default(),
            raised: Mutex::default(),
        };
        let _mapping = Mapping::new(self.pool);
        let held = Held::all();
        let outcome =
            detached(py, || panic::catch_unwind(AssertUnwindSafe(|| self.map(&task, &desk, &held))));
        if let Some(raised) = desk.raised() {
            return Err(raised.into());
        }
        match outcome {
            Err(panic) => panic::resume_unwind(panic),
            Ok(Ok(failures)) => {
                desk.settle(py)?;
                Ok(failures.iter().try_for_each(|failure| desk.skipped(py, failure))?)
            }
            Ok(Err((error, finished))) => {
                py.check_signals()?;
                let exception = explain(py, &error)?;
                if error.kind() == ErrorKind::Died {
                    let there = PyDict::new(py);
                    for index in finished {
                        there.set_item(index, into.get_item(index)?)?;
                    }
                    exception.setattr("finished", there)?;
                }
                Err(PyErr::from_value(exception).into())
            }
        }
    }
}

impl Job {
    /// The map itself; returns what has failed and was skipped, or why it has failed and which items were finished.
    fn map(
        &self,
        task: &Task,
        desk: &Desk,
        held: &[Arc<Held>],
    ) -> std::result::Result<Vec<Error>, (Error, Vec<usize>)> {
        let mut pool = forks::pool()
            .workers(self.workers)
            .schedule(self.schedule)
            .retries(self.retries)
            .heartbeat(HEARTBEAT);
        if self.ordered {
            pool = pool.ordered();
        }
        let pool = pool.progress(|done, _total| desk.serve(done));
        let begin = |worker: &shm_pool::Worker| {
            Python::attach(|py| Life::begin(py, Some(&self.local), worker.rank(), worker.workers(), held))
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let work = |worker: &shm_pool::Worker, _: &mut Life, batch: &mut shm_pool::Batch<Packed>| {
            task.work(worker, self.pool, batch);
        };
        let reduce = |index: usize, packed: Packed| desk.arrive(index, packed);
        let finished = |error: shm_pool::MapError<()>| {
            let (error, finished) = error.into_parts();
            (error, finished.into_iter().map(|(index, ())| index).collect())
        };
        if self.skip {
            let partial = pool.skip_failed().with_state(begin).map_batches(self.items, work, reduce);
            return partial.map(|partial| partial.into_parts().1).map_err(finished);
        }
        pool.with_state(begin).map_batches(self.items, work, reduce).map(|_| Vec::new()).map_err(finished)
    }
}

/// Where results arrive.
struct Desk {
    into: Py<PyList>,
    reduce: Option<Py<PyAny>>,
    progress: Option<Py<PyAny>>,
    store: Store,
    skip: bool,
    /// What has come since the interpreter was last had.
    arrived: RefCell<Vec<(usize, Packed)>>,
    /// Why the map is given up.
    raised: Mutex<Option<PyErr>>,
}

impl Desk {
    fn raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a result in, without the interpreter.
    fn arrive(&self, index: usize, packed: Packed) {
        match packed {
            Packed::InList => {}
            // The list is full of these.
            Packed::Plain(Plain::None) if self.reduce.is_none() => {}
            packed => self.arrived.borrow_mut().push((index, packed)),
        }
    }

    /// Does what has to be done in Python now and then; gives the map up, by a panic that prints nothing, if that raises.
    fn serve(&self, done: usize) {
        let served = Python::attach(|py| -> PyResult<()> {
            py.check_signals()?;
            self.settle(py)?;
            if let Some(progress) = &self.progress {
                progress.call1(py, (done,))?;
            }
            Ok(())
        });
        if let Err(error) = served {
            *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            panic::resume_unwind(Box::new(()));
        }
    }

    /// Enters what has arrived into the list.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let arrived = std::mem::take(&mut *self.arrived.borrow_mut());
        arrived.into_iter().try_for_each(|(index, packed)| self.enter(py, index, packed))
    }

    fn enter(&self, py: Python<'_>, index: usize, packed: Packed) -> PyResult<()> {
        if let Some(value) = packed.plain(py)? {
            return self.result(py, index, value);
        }
        match packed {
            Packed::Many { count, data, extents } => {
                let store = Bound::new(py, self.store.clone())?;
                let values =
                    results(py, "unpack")?.call1((PyBytes::new(py, &data), extents, store, count))?;
                let values = values.cast_into::<PyList>()?;
                (index..).zip(values.iter()).try_for_each(|(index, value)| self.result(py, index, value))
            }
            Packed::Failed(data) => {
                let (item, rank, pid, error) = failure(py, &data, index)?;
                let is_exception = error.is_instance_of::<pyo3::exceptions::PyException>();
                if !(self.skip && is_exception) {
                    return Err(PyErr::from_value(error));
                }
                let failed = results(py, "failed")?.call1((item, rank, pid, error))?;
                self.into.bind(py).set_item(index, failed)
            }
            _ => Ok(()),
        }
    }

    fn result(&self, py: Python<'_>, index: usize, value: Bound<'_, PyAny>) -> PyResult<()> {
        let value = match &self.reduce {
            Some(reduce) => reduce.bind(py).call1((value,))?,
            None => value,
        };
        self.into.bind(py).set_item(index, value)
    }

    /// Enters what stands in the place of a result that a worker took with it.
    fn skipped(&self, py: Python<'_>, error: &Error) -> PyResult<()> {
        let Some(item) = error.item() else { return Ok(()) };
        let failed = results(py, "failed")?.call1((item, error.rank(), error.pid(), explain(py, error)?))?;
        self.into.bind(py).set_item(item, failed)
    }
}

type Failed<'py> = (usize, Option<usize>, Option<u32>, Bound<'py, PyAny>);

/// What a worker has told of an exception.
pub(super) fn failure<'py>(py: Python<'py>, data: &[u8], index: usize) -> PyResult<Failed<'py>> {
    if data.is_empty() {
        let text = format!(
            "the function has raised at item {index}, and what it raised could not be sent: is there memory left?"
        );
        return Ok((
            index,
            None,
            None,
            PyRuntimeError::new_err(text).into_value(py).into_bound(py).into_any(),
        ));
    }
    results(py, "failure")?.call1((data,))?.extract()
}

/// The exception for an error of the pool.
pub(super) fn explain<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let text = error.to_string();
    if error.kind() != ErrorKind::Died {
        return Ok(of_kind(py, error.kind(), &text, None).into_value(py).into_bound(py).into_any());
    }
    let (signal, code) = match error.exit() {
        Some(Exit::Signal(signal)) => (Some(signal), None),
        Some(Exit::Code(code)) => (None, Some(code)),
        _ => (None, None),
    };
    results(py, "died")?.call1((text, error.rank(), error.pid(), error.item(), signal, code))
}
