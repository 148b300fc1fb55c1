//! Critical and ordered sections: `with pool.critical:` in a worker is the pool's own section, entered by one call and left by another.
//!
//! Which worker is at work in this thread is noted while it is (`Current`); sections are refused to all other threads of a worker, because they belong to the
//! thread that enters them.

#![allow(unsafe_code, reason = "a section is kept beside the worker that it borrows")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use shm_pool::{CriticalSection, OrderedSection, Worker};

use super::detached;

/// The pools whose maps this process is the master of now.
static MAPPING: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Which worker's function runs in a thread.
#[derive(Clone, Copy)]
struct Current {
    worker: *const Worker<'static>,
    pool: usize,
}

/// Sections that are entered, in the order in which they are left.
struct Entered {
    critical: Option<CriticalSection<'static>>,
    ordered: Option<OrderedSection<'static>>,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    static ENTERED: RefCell<Entered> = const { RefCell::new(Entered { critical: None, ordered: None }) };
    /// What unwinds a worker that waits for a turn which does not come any more.
    static UNWINDING: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// Says that this process is the master of a pool's map, as long as it lives.
pub(super) struct Mapping(usize);

impl Mapping {
    pub(super) fn new(pool: usize) -> Mapping {
        mapping().push(pool);
        Mapping(pool)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut mapping = mapping();
        if let Some(at) = mapping.iter().position(|pool| *pool == self.0) {
            mapping.swap_remove(at);
        }
    }
}

/// Only used with the interpreter's lock held, so that no fork finds it locked.
fn mapping() -> std::sync::MutexGuard<'static, Vec<usize>> {
    MAPPING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the worker for the time of a call.
pub(super) fn with_worker<T>(worker: &Worker, pool: usize, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Current>);
    impl Drop for Restore {
        fn drop(&mut self) {
            // What the function has not left ends with it, before the worker that it borrows.
            let left = ENTERED.with_borrow_mut(|entered| (entered.critical.take(), entered.ordered.take()));
            drop(left);
            CURRENT.set(self.0.take());
        }
    }
    let worker = std::ptr::from_ref(worker).cast::<Worker<'static>>();
    let _restore = Restore(CURRENT.replace(Some(Current { worker, pool })));
    run()
}

/// What is to go on unwinding, if a wait has been ended by the master.
pub(super) fn unwinding() -> Option<Box<dyn Any + Send>> {
    UNWINDING.take()
}

/// The worker whose section may be entered or left; nothing where there is only this process.
fn current(pool: usize, what: &str) -> PyResult<Option<&'static Worker<'static>>> {
    match CURRENT.get() {
        // SAFETY: it is noted only as long as `with_worker` borrows it; what is made of it here either ends before that (in this module's functions) or
        // is kept in `ENTERED`, which is emptied before.
        Some(current) if current.pool == pool => Ok(Some(unsafe { &*current.worker })),
        Some(_) => Err(PyRuntimeError::new_err(format!(
            "the {what} section of another pool was entered: it belongs to the pool whose map runs this function"
        ))),
        None if super::work::is_worker() => Err(PyRuntimeError::new_err(format!(
            "the {what} section was entered in a thread that the function has started: it belongs to the thread that runs the function"
        ))),
        None if mapping().contains(&pool) => Err(PyRuntimeError::new_err(format!(
            "the {what} section was entered in the master while its workers run: it is for the function that they call; reduce runs alone anyway"
        ))),
        None => Ok(None),
    }
}

/// Runs what may wait and what may panic, with the text of the panic as an exception.
fn entering<T>(py: Python<'_>, enter: impl FnOnce() -> T) -> PyResult<T> {
    let entered = detached(py, || panic::catch_unwind(AssertUnwindSafe(enter)));
    entered.map_err(|payload| match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => PyRuntimeError::new_err(text.clone()),
        (_, Some(text)) => PyRuntimeError::new_err(*text),
        _ => {
            UNWINDING.set(Some(payload));
            PyKeyboardInterrupt::new_err("the map has ended")
        }
    })
}

fn not_entered(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("the {what} section was left, and was not entered"))
}

/// Enters the critical section of a pool.
#[pyfunction]
pub(crate) fn enter_critical(py: Python<'_>, pool: usize) -> PyResult<()> {
    if let Some(worker) = current(pool, "critical")? {
        let section = entering(py, || worker.enter_critical())?;
        ENTERED.with_borrow_mut(|entered| entered.critical = Some(section));
    }
    Ok(())
}

/// Leaves the critical section of a pool.
#[pyfunction]
pub(crate) fn leave_critical(pool: usize) -> PyResult<()> {
    if current(pool, "critical")?.is_some() {
        let section = ENTERED.with_borrow_mut(|entered| entered.critical.take());
        drop(section.ok_or_else(|| not_entered("critical"))?);
    }
    Ok(())
}

/// Waits for the turn of the item, and enters the ordered section of a pool.
#[pyfunction]
pub(crate) fn enter_ordered(py: Python<'_>, pool: usize) -> PyResult<()> {
    if let Some(worker) = current(pool, "ordered")? {
        let section = entering(py, || worker.enter_ordered())?;
        ENTERED.with_borrow_mut(|entered| entered.ordered = Some(section));
    }
    Ok(())
}

/// Leaves the ordered section of a pool, and passes the turn on.
#[pyfunction]
pub(crate) fn leave_ordered(pool: usize) -> PyResult<()> {
    if current(pool, "ordered")?.is_some() {
        let section = ENTERED.with_borrow_mut(|entered| entered.ordered.take());
        drop(section.ok_or_else(|| not_entered("ordered"))?);
    }
    Ok(())
}
