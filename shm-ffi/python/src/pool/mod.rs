//! `MapReduce` for Python: `shm-pool`'s scheduler and result channel, with forked interpreters as workers.
//!
//! | file | idea |
//! |---|---|
//! | `forks.rs` | what Python has to be told of forks |
//! | `packed.rs` | a result on its way |
//! | `store.rs` | memory in which large arrays of results lie |
//! | `work.rs` | the worker: items in, results out |
//! | `job.rs` | the master of a map |
//! | `sections.rs` | critical and ordered sections |
//! | `call.rs` | one call in the background |
//!
//! What results are made of in Python, and what users see, is in `shm/_results.py` and `shm/_mapreduce.py`.

#![allow(
    unsafe_code,
    reason = "what stays on its thread is passed through a function that asks for what may leave it"
)]

mod call;
mod forks;
mod job;
mod packed;
mod sections;
mod store;
mod work;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Returns how many workers a pool has unless it is told.
#[pyfunction]
fn default_workers() -> usize {
    shm_pool::MapReduce::new().worker_count()
}

/// A function of `shm/_results.py`.
fn results<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module =
        MODULE.get_or_try_init(py, || Ok::<_, PyErr>(py.import("shm._results")?.into_any().unbind()))?;
    module.bind(py).getattr(name)
}

/// What is passed through a stretch without the interpreter's lock, which runs on the same thread.
struct SameThread<T>(T);

// SAFETY: `Python::detach` runs its closure on the thread that calls it and returns there, so nothing is sent anywhere.
unsafe impl<T> Send for SameThread<T> {}

/// Runs something while other threads may have the interpreter.
fn detached<T>(py: Python<'_>, run: impl FnOnce() -> T) -> T {
    let run = SameThread(run);
    let done = py.detach(move || {
        let SameThread(run) = { run };
        SameThread(run())
    });
    done.0
}

/// Enters classes and functions into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<job::Job>()?;
    module.add_class::<call::Call>()?;
    module.add_class::<store::Store>()?;
    module.add_function(wrap_pyfunction!(default_workers, module)?)?;
    module.add_function(wrap_pyfunction!(sections::enter_critical, module)?)?;
    module.add_function(wrap_pyfunction!(sections::leave_critical, module)?)?;
    module.add_function(wrap_pyfunction!(sections::enter_ordered, module)?)?;
    module.add_function(wrap_pyfunction!(sections::leave_ordered, module)?)?;
    module.add_function(wrap_pyfunction!(work::is_inherited, module)?)
}
