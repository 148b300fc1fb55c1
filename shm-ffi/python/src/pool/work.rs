//! The worker of a map: takes item after item out of the sequence that it has inherited, calls the function, and gives the results to the pool.
//!
//! Results that are no plain values are pickled, and sent together with others. An exception is a result too; after one that fails the map the worker ends.

#![allow(
    unsafe_code,
    reason = "calls Python's functions for calling and indexing, which are quicker than any way around them"
)]

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PySystemExit};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyRange, PyRangeMethods, PyTuple};
use serde_bytes::ByteBuf;
use shm_pool::{Batch, Worker};

use super::packed::{Extent, Packed};
use super::sections;
use super::store::Store;
use super::{detached, results};
use crate::memory::Memory;
use crate::ranges::Held;

/// As many pickled results are sent together at most.
const TOGETHER: usize = 1000;
/// So many bytes of pickled results are sent.
const MANY_BYTES: usize = 60 << 10;
/// Results wait for others no longer than that, as far as items are quick.
const WAIT: Duration = Duration::from_millis(2);

static IS_WORKER: AtomicBool = AtomicBool::new(false);
/// What the master had mapped when it forked this process, and has as long as its map lasts.
static INHERITED: Mutex<Vec<Arc<Held>>> = Mutex::new(Vec::new());

/// Whether this process is a worker.
pub(super) fn is_worker() -> bool {
    IS_WORKER.load(Ordering::Relaxed)
}

/// Tells whether memory was there before this process was forked as a worker: then its master has it too.
#[pyfunction]
pub(crate) fn is_inherited(memory: &Bound<'_, Memory>) -> bool {
    let held = memory.get().held();
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| Arc::ptr_eq(known, held))
}

/// What a worker is from its first item (or its call) to its end.
pub(super) struct Life;

impl Life {
    /// Makes this process a worker.
    pub(super) fn begin(
        py: Python<'_>,
        local: Option<&Py<PyAny>>,
        rank: usize,
        workers: usize,
        held: &[Arc<Held>],
    ) -> PyResult<Life> {
        IS_WORKER.store(true, Ordering::Relaxed);
        *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = held.to_vec();
        results(py, "begin")?.call1((local, rank, workers))?;
        Ok(Life)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        Python::attach(|py| {
            if let Err(error) = results(py, "end").and_then(|end| end.call0()) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// How items are had.
enum Items {
    /// Numbers from `start` on in steps.
    Range {
        start: i64,
        step: i64,
    },
    List(Py<PyList>),
    Any(Py<PyAny>),
}

/// What all workers of a map do.
pub(super) struct Task {
    function: Py<PyAny>,
    items: Items,
    star: bool,
    retries: usize,
    skip: bool,
    store: Store,
}

impl Task {
    pub(super) fn new(
        function: Py<PyAny>,
        items: &Bound<'_, PyAny>,
        star: bool,
        retries: usize,
        skip: bool,
        store: Store,
    ) -> PyResult<Task> {
        let count = items.len()? as i64;
        let range = items.cast_exact::<PyRange>().ok().and_then(|range| {
            let (start, step) = (range.start().ok()? as i64, range.step().ok()? as i64);
            // The last one has to be a number of this kind too.
            start.checked_add(step.checked_mul(count)?)?;
            Some(Items::Range { start, step })
        });
        let items = match (range, items.cast_exact::<PyList>()) {
            (Some(range), _) => range,
            (None, Ok(list)) => Items::List(list.clone().unbind()),
            (None, Err(_)) => Items::Any(items.clone().unbind()),
        };
        Ok(Task { function, items, star, retries, skip, store })
    }

    #[inline]
    fn item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        match &self.items {
            Items::Range { start, step } => Ok(PyInt::new(py, start + step * index as i64).into_any()),
            Items::List(list) => list.bind(py).get_item(index),
            Items::Any(items) => items.bind(py).get_item(index),
        }
    }

    #[inline]
    fn call<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let item = self.item(py, index)?;
        if self.star {
            let parts = match item.cast_into_exact::<PyTuple>() {
                Ok(parts) => parts,
                Err(other) => {
                    PyTuple::new(py, other.into_inner().try_iter()?.collect::<PyResult<Vec<_>>>()?)?
                }
            };
            return self.function.bind(py).call1(parts);
        }
        // SAFETY: the interpreter's lock is held, both are objects, and the list of arguments ends with null; a new reference comes back, or null and
        // an exception.
        unsafe {
            let result = ffi::PyObject_CallFunctionObjArgs(
                self.function.as_ptr(),
                item.as_ptr(),
                std::ptr::null_mut::<ffi::PyObject>(),
            );
            Bound::from_owned_ptr_or_err(py, result)
        }
    }

    /// Calls the function for an item, as often as it may fail.
    #[inline]
    fn try_item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let mut left = self.retries;
        loop {
            let done = self.call(py, index);
            match &done {
                Err(error) if left > 0 && error.is_instance_of::<PyException>(py) => left -= 1,
                _ => return done,
            }
        }
    }

    /// Works on a batch.
    pub(super) fn work(&self, worker: &Worker, pool: usize, batch: &mut Batch<Packed>) {
        Python::attach(|py| {
            sections::with_worker(worker, pool, || {
                let rank = worker.rank();
                let mut waiting = Waiting { task: self, rank, packer: None, count: 0, since: Instant::now() };
                while let Some(index) = batch.take() {
                    match self.try_item(py, index) {
                        Ok(value) => match Packed::of_plain(&value) {
                            Some(plain) if waiting.is_empty() => batch.put(plain),
                            _ => waiting.add(py, index, &value, batch),
                        },
                        Err(error) => {
                            waiting.send(batch);
                            self.failed(py, &error, index, rank, batch);
                        }
                    }
                }
                waiting.send(batch);
            });
        });
    }

    /// What is done about an exception.
    #[cold]
    fn failed(&self, py: Python<'_>, error: &PyErr, index: usize, rank: usize, batch: &mut Batch<Packed>) {
        if let Some(payload) = sections::unwinding() {
            panic::resume_unwind(payload); // the workers were stopped while this one waited
        }
        if error.is_instance_of::<PySystemExit>(py) {
            leave(py, error);
        }
        batch.put(pack_failure(py, error, index, rank, false));
        if !(self.skip && error.is_instance_of::<PyException>(py)) {
            give_up(py, batch);
        }
    }
}

/// Ends the worker, after what it has sent says why.
fn give_up(py: Python<'_>, batch: &mut Batch<Packed>) -> ! {
    detached(py, || batch.send());
    panic::resume_unwind(Box::new("an exception was raised".to_owned()))
}

/// Ends the process as Python would, but without the exit functions that it has inherited.
pub(super) fn leave(py: Python<'_>, exit: &PyErr) -> ! {
    let code = exit.value(py).getattr("code").ok();
    let code = match code.filter(|code| !code.is_none()) {
        None => 0,
        Some(code) => code.extract::<i32>().unwrap_or_else(|_| {
            eprintln!("{code}");
            1
        }),
    };
    drop(Life);
    std::process::exit(code)
}

/// An exception as a result.
pub(super) fn pack_failure(
    py: Python<'_>,
    error: &PyErr,
    index: usize,
    rank: usize,
    unpicklable: bool,
) -> Packed {
    let pack = || -> PyResult<Vec<u8>> {
        let value = error.value(py);
        if let Some(traceback) = error.traceback(py) {
            value.setattr("__traceback__", traceback)?;
        }
        let packed = results(py, "pack_failure")?.call1((value, index, rank, unpicklable))?;
        Ok(packed.cast_into::<PyBytes>()?.as_bytes().to_vec())
    };
    match pack() {
        Ok(bytes) => Packed::Failed(ByteBuf::from(bytes)),
        // There is no memory, or the exception's own methods raise what they should not: an empty text means that.
        Err(_) => Packed::Failed(ByteBuf::new()),
    }
}

/// A result as bytes.
pub(super) fn pack(py: Python<'_>, store: &Store, value: &Bound<'_, PyAny>) -> PyResult<Packed> {
    let packer = packer(py, store)?;
    packer.call_method1("add", (value,))?;
    take_packed(&packer, 1)
}

/// What results are pickled by.
fn packer<'py>(py: Python<'py>, store: &Store) -> PyResult<Bound<'py, PyAny>> {
    results(py, "Packer")?.call1((Bound::new(py, store.clone())?,))
}

fn take_packed(packer: &Bound<'_, PyAny>, count: usize) -> PyResult<Packed> {
    let (data, extents): (Bound<'_, PyBytes>, Vec<Extent>) = packer.call_method0("take")?.extract()?;
    Ok(Packed::Many { count: count as u64, data: ByteBuf::from(data.as_bytes()), extents })
}

/// Results that are pickled, and wait for others to be sent with.
struct Waiting<'a, 'py> {
    task: &'a Task,
    rank: usize,
    /// Nothing before the first.
    packer: Option<Bound<'py, PyAny>>,
    count: usize,
    since: Instant,
}

impl<'py> Waiting<'_, 'py> {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, py: Python<'py>, index: usize, value: &Bound<'py, PyAny>, batch: &mut Batch<Packed>) {
        let added = || -> PyResult<usize> {
            if self.packer.is_none() {
                self.packer = Some(packer(py, &self.task.store)?);
            }
            let packer = self.packer.as_ref().expect("it was made");
            packer.call_method1(intern!(py, "add"), (value,))?.extract()
        };
        match { added }() {
            Ok(bytes) => {
                self.count += 1;
                // The time since the last ones were sent: a result of a slow item goes at once.
                if bytes >= MANY_BYTES || self.count >= TOGETHER || self.since.elapsed() >= WAIT {
                    self.send(batch);
                }
            }
            Err(error) => {
                self.send(batch);
                batch.put(pack_failure(py, &error, index, self.rank, true));
                if !(self.task.skip && error.is_instance_of::<PyException>(py)) {
                    give_up(py, batch);
                }
            }
        }
    }

    fn send(&mut self, batch: &mut Batch<Packed>) {
        let count = std::mem::take(&mut self.count);
        if let Some(packer) = self.packer.as_ref().filter(|_| count > 0) {
            match take_packed(packer, count) {
                Ok(packed) => batch.put(packed),
                // There is no memory for what was pickled a moment ago.
                Err(error) => panic!("{error}"),
            }
            (1..count).for_each(|_| batch.put(Packed::InList));
        }
        self.since = Instant::now();
    }
}
