//! Looking at segments from outside: list, inspect, delete, reap. The classes of the answers are defined in Python (`shm/_info.py`).

use std::time::UNIX_EPOCH;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use shm_core::layout::ArrayLayout;
use shm_core::{EntryKind, Liveness, SegmentInfo, SegmentKind};

use crate::dtype;
use crate::error::Result;
use crate::options::lifetime_name;

/// Deletes the segment of this name: the name is free at once, and who has it attached keeps it.
///
/// Only what is a segment of this library is deleted.
#[pyfunction]
pub(crate) fn delete(py: Python<'_>, name: &str) -> Result<()> {
    Ok(py.detach(|| shm_core::delete(name))?)
}

/// Says what is known about the segment of this name, without attaching it.
#[pyfunction]
pub(crate) fn inspect<'py>(py: Python<'py>, name: &str) -> Result<Bound<'py, PyAny>> {
    let info = py.detach(|| shm_core::inspect(name))?;
    to_python(py, &info)
}

/// Lists the living segments in ``/dev/shm``, or in a directory of ``file://`` names, ordered by name.
#[pyfunction]
#[pyo3(signature = (directory = None))]
pub(crate) fn list<'py>(
    py: Python<'py>,
    directory: Option<std::path::PathBuf>,
) -> Result<Vec<Bound<'py, PyAny>>> {
    let found = py.detach(|| match directory {
        Some(directory) => shm_core::list_in(directory),
        None => shm_core::list(),
    })?;
    found.iter().map(|info| to_python(py, info)).collect()
}

/// Removes the segments of this user that are dead by their lifetime, and returns their names.
#[pyfunction]
#[pyo3(signature = (directory = None))]
pub(crate) fn reap(py: Python<'_>, directory: Option<std::path::PathBuf>) -> Result<Vec<String>> {
    let removed = py.detach(|| match directory {
        Some(directory) => shm_core::reap_in(directory),
        None => shm_core::reap(),
    })?;
    Ok(removed.iter().map(ToString::to_string).collect())
}

/// Tells whether what has this name in ``/dev/shm`` is a segment of this library.
#[pyfunction]
pub(crate) fn is_segment(name: &str) -> bool {
    shm_core::SegmentName::shm(name).is_ok_and(|name| shm_core::inspect(name).is_ok())
}

/// The Python object for a segment's facts.
pub(crate) fn to_python<'py>(py: Python<'py>, info: &SegmentInfo) -> Result<Bound<'py, PyAny>> {
    let classes = py.import("shm._info")?;
    let entry_class = classes.getattr("Entry")?;
    let mut entries = Vec::with_capacity(info.entries.len());
    for entry in &info.entries {
        let kind = match entry.kind() {
            EntryKind::Array(_) => "array",
            EntryKind::Primitive(_) => "primitive",
            EntryKind::Arena => "arena",
            _ => "bytes",
        };
        // One array is shown in the length that it has now.
        let now = info.array().filter(|_| entry.grows());
        let layout = match (entry.kind(), &now) {
            (EntryKind::Array(_), Some(now)) => Some(now),
            (EntryKind::Array(layout), None) => Some(layout),
            _ => None,
        };
        let (dtype, shape, strides) = described(py, layout)?;
        entries.push(entry_class.call1((
            entry.name(),
            kind,
            entry.offset(),
            entry.len(),
            dtype,
            shape,
            strides,
        ))?);
    }
    let facts = PyDict::new(py);
    facts.set_item("name", info.name.as_ref().map(ToString::to_string))?;
    facts.set_item("kind", kind_name(info.kind))?;
    facts.set_item("lifetime", lifetime_name(info.lifetime))?;
    facts.set_item("entries", PyTuple::new(py, entries)?)?;
    facts.set_item("nbytes", info.len_bytes)?;
    facts.set_item("capacity", info.capacity_bytes)?;
    facts.set_item("mode", info.mode)?;
    facts.set_item("owner", info.owner_uid)?;
    facts.set_item("creator", info.creator.pid)?;
    facts.set_item(
        "creator_alive",
        match info.creator_liveness {
            Liveness::Alive => Some(true),
            Liveness::Dead => Some(false),
            _ => None,
        },
    )?;
    let created = info.created_at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    facts.set_item("created", created)?;
    facts.set_item("attached", info.attached)?;
    facts.set_item("leased_by", info.leased_by)?;
    facts.set_item("not_guaranteed", &info.not_guaranteed)?;
    Ok(classes.getattr("SegmentInfo")?.call((), Some(&facts))?)
}

type Described<'py> = (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyTuple>>, Option<Bound<'py, PyTuple>>);

/// Type, shape and strides of an array; no type if NumPy has none for it on this machine.
fn described<'py>(py: Python<'py>, layout: Option<&ArrayLayout>) -> Result<Described<'py>> {
    let Some(layout) = layout else { return Ok((None, None, None)) };
    let dtype = dtype::to_numpy(py, layout.element()).ok().map(Bound::into_any);
    Ok((dtype, Some(PyTuple::new(py, layout.shape())?), Some(PyTuple::new(py, layout.strides_bytes())?)))
}

fn kind_name(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Primitive => "primitive",
        SegmentKind::Arena => "arena",
        SegmentKind::Pool => "pool",
        _ => "array",
    }
}
