//! Room for primitives in new segments: which class needs what, and its first value.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use shm_core::{Contents, SegmentKind};
use shm_sync::{
    Barrier, BoundedSemaphore, ByteChannel, Condvar, Event, Latch, Mutex, Once, Primitive, ProcessMutex,
    RecursiveMutex, RwLock, Semaphore, Sequencer,
};

use crate::error::Result;
use crate::memory::Memory;
use crate::options::CreateOptions;
use crate::ranges::{Held, Home};

/// What Python says of a primitive to be made: its entry, its class, and its number where it has one.
pub(crate) type Planned = (String, String, Option<i128>);

/// Adds the primitives to what a segment shall hold.
pub(crate) fn plan(mut contents: Contents, planned: &[Planned]) -> Result<Contents> {
    for (entry, class, number) in planned {
        let count = |what: &str| -> Result<u32> {
            let number = number.ok_or_else(|| PyTypeError::new_err(format!("{class} needs {what}")))?;
            u32::try_from(number)
                .map_err(|_| PyValueError::new_err(format!("{what} of {class} cannot be {number}")).into())
        };
        contents = match class.as_str() {
            "Lock" => ProcessMutex::plan(contents, entry, ())?,
            "Mutex" => Mutex::<()>::plan(contents, entry, ())?,
            "RLock" => RecursiveMutex::<()>::plan(contents, entry, ())?,
            "RwLock" => <RwLock<()>>::plan(contents, entry, ())?,
            "Condvar" => Condvar::plan(contents, entry, ())?,
            "Event" => Event::plan(contents, entry, false)?,
            "Once" => Once::plan(contents, entry, ())?,
            "Semaphore" => Semaphore::plan(contents, entry, count("the number of permits")?)?,
            "BoundedSemaphore" => BoundedSemaphore::plan(contents, entry, count("the number of permits")?)?,
            "Barrier" => Barrier::plan(contents, entry, count("the number of parties")?)?,
            "Latch" => Latch::plan(contents, entry, count("the number of arrivals")?)?,
            "Channel" => ByteChannel::plan(contents, entry, count("the capacity")? as usize)?,
            "Sequencer" => {
                let first = number.and_then(|first| u64::try_from(first).ok());
                let first =
                    first.ok_or_else(|| PyValueError::new_err("the first turn has to be 0 or more"))?;
                Sequencer::plan(contents, entry, first)?
            }
            other => return Err(PyTypeError::new_err(format!("there is no primitive {other:?}")).into()),
        };
    }
    Ok(contents)
}

/// Makes a segment of primitives, or takes the one that has the name already.
#[pyfunction]
pub(crate) fn create_primitives(
    py: Python<'_>,
    name: Option<&str>,
    planned: Vec<Planned>,
    or_attach: bool,
    options: CreateOptions,
) -> Result<Memory> {
    let contents = plan(Contents::new().kind(SegmentKind::Primitive), &planned)?;
    let options = options.build()?;
    let segment = py.detach(|| match name {
        None => options.create_anonymous(&contents),
        Some(name) if or_attach => options.create_or_attach(name, &contents).map(|(segment, _)| segment),
        Some(name) => options.create(name, &contents),
    })?;
    Ok(Memory::of_all(Held::enter(Home::Segment(segment))))
}
