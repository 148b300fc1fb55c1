//! `Memory`: the object that keeps shared memory mapped, and what can be done with the memory of an array.
//!
//! It is the base of the arrays that are created and attached; NumPy keeps it as long as there is a view.

#![allow(
    unsafe_code,
    reason = "reads where an array's elements lie from NumPy's array object, and sets a flag there"
)]

use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::sync::{Arc, OnceLock};

use numpy::npyffi::NPY_ARRAY_WRITEABLE;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use shm_core::{Access, AnyArray, EntryKind, Segment, SyncMode};

use crate::arguments::number;
use crate::array;
use crate::error::Result;
use crate::info;
use crate::options::{access_name, lifetime_name};
use crate::ranges::{Held, Home};
use crate::reference::{self, Identity};

/// msync(2)'s numbers on Linux.
const MS_ASYNC: u32 = 1;
const MS_INVALIDATE: u32 = 2;
const MS_SYNC: u32 = 4;

/// Shared memory that is mapped into this process. Arrays keep it; it goes with the last of them.
#[pyclass(module = "shm", frozen)]
pub(crate) struct Memory {
    held: Arc<Held>,
    /// Where the data begin, counted from the start of the mapping, and how many bytes they are.
    offset: usize,
    len: usize,
    /// The array in the segment's table of contents.
    entry: Option<String>,
    /// What the caller called it, if that is to be its name.
    called: OnceLock<String>,
}

impl Memory {
    /// The memory of an array of a segment.
    pub(crate) fn of_array(array: &AnyArray, entry: Option<String>) -> Memory {
        let held = Held::enter(Home::Segment(array.segment().clone()));
        let offset = array.as_ptr().addr() - held.start();
        Memory { offset, len: array.layout().data_len_bytes(), entry, called: OnceLock::new(), held }
    }

    /// The only array of a mapping, or all that is in it.
    pub(crate) fn of_all(held: Arc<Held>) -> Memory {
        let Home::Segment(segment) = held.home() else {
            return Memory { offset: 0, len: held.len(), entry: None, called: OnceLock::new(), held };
        };
        let mut arrays = segment.entries().iter().filter(|entry| matches!(entry.kind(), EntryKind::Array(_)));
        let (offset, len, entry) = match (arrays.next(), arrays.next()) {
            (Some(only), None) if !only.grows() => (only.offset(), only.len(), Some(only.name().to_owned())),
            (Some(only), None) => (only.offset(), held.len() - only.offset(), Some(only.name().to_owned())),
            _ => {
                let offset = segment.entries().first().map_or(0, |entry| entry.offset());
                (offset, held.len() - offset, None)
            }
        };
        Memory { held, offset, len, entry, called: OnceLock::new() }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    pub(crate) fn segment(&self, attempt: &str) -> Result<&Segment> {
        self.held.segment().ok_or_else(|| {
            let text = format!("cannot {attempt} {}: it is no segment of this library", self.held.label());
            PyTypeError::new_err(text).into()
        })
    }

    fn as_array(&self, attempt: &str) -> Result<AnyArray> {
        let segment = self.segment(attempt)?;
        Ok(match &self.entry {
            Some(entry) => AnyArray::in_segment(segment, entry)?,
            None => AnyArray::only(segment)?,
        })
    }
}

#[pymethods]
impl Memory {
    /// The name, with its prefix; None for memory without one.
    #[getter]
    fn name(&self) -> Option<String> {
        if let Some(called) = self.called.get() {
            return Some(called.clone());
        }
        match self.held.home() {
            Home::Segment(segment) => segment.name().map(ToString::to_string),
            Home::Raw(mapping) => Some(mapping.name().to_string()),
        }
    }

    /// Makes `name` say this from now on, in this object only.
    fn call(&self, name: String) {
        let _ = self.called.set(name);
    }

    /// The address of the first byte of data in this process.
    #[getter]
    fn addr(&self) -> usize {
        self.held.start() + self.offset
    }

    /// How many bytes of data there are.
    #[getter]
    fn size(&self) -> usize {
        self.len
    }

    /// Where the data begin in the file behind the name; 0 for memory that others have made.
    #[getter]
    fn data_offset(&self) -> usize {
        self.offset
    }

    /// How many bytes the segment has now, header included.
    #[getter]
    fn segment_size(&self) -> usize {
        self.held.len()
    }

    /// Up to how many bytes the segment can grow.
    #[getter]
    fn capacity(&self) -> usize {
        self.held.segment().map_or_else(|| self.held.len(), Segment::capacity)
    }

    /// "read-write", "read-only" or "copy-on-write".
    #[getter]
    fn access(&self) -> &'static str {
        access_name(self.held.access())
    }

    /// "persistent", "last-detach" or "scoped"; None for memory that others have made.
    #[getter]
    fn lifetime(&self) -> Option<&'static str> {
        self.held.segment().map(|segment| lifetime_name(segment.lifetime()))
    }

    /// Writes changes back to the file (of use for ``file://`` names), as msync(2) does.
    #[pyo3(signature = (flags = 4))]
    fn msync(&self, py: Python<'_>, #[pyo3(from_py_with = number)] flags: u32) -> Result<()> {
        if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0
            || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC
        {
            let text = format!(
                "cannot sync {}: the flags {flags} are not made of MS_SYNC or MS_ASYNC, and MS_INVALIDATE",
                self.held.label()
            );
            return Err(PyValueError::new_err(text).into());
        }
        Ok(py.detach(|| match self.held.home() {
            Home::Raw(mapping) => mapping.sync(flags & MS_SYNC == 0),
            Home::Segment(segment) => {
                for (flag, mode) in [
                    (MS_ASYNC, SyncMode::Start),
                    (MS_SYNC, SyncMode::Wait),
                    (MS_INVALIDATE, SyncMode::Invalidate),
                ] {
                    if flags & flag != 0 {
                        segment.sync(mode)?;
                    }
                }
                Ok(())
            }
        })?)
    }

    /// Keeps the pages in memory: they are not swapped out.
    fn mlock(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| match self.held.home() {
            Home::Segment(segment) => segment.lock_memory(),
            Home::Raw(mapping) => mapping.lock_memory(),
        })?)
    }

    /// Lets the pages be swapped out again.
    fn munlock(&self) -> Result<()> {
        Ok(match self.held.home() {
            Home::Segment(segment) => segment.unlock_memory(),
            Home::Raw(mapping) => mapping.unlock_memory(),
        }?)
    }

    /// Enters all pages into this process's page table now, instead of each at its first touch.
    fn prefault(&self, py: Python<'_>) -> Result<()> {
        let segment = self.segment("prefault")?;
        Ok(py.detach(|| segment.prefault())?)
    }

    /// Lengthens an array that was created with ``reserve`` to so many rows, for everybody, and returns it in its new length. Arrays that exist stay as they are.
    fn grow<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = number)] rows: usize,
    ) -> Result<Bound<'py, PyAny>> {
        let this = slf.get();
        let mut array = this.as_array("grow")?;
        slf.py().detach(|| array.grow(rows))?;
        array::over(slf.py(), &array, this.entry.clone())
    }

    /// Returns the whole array in the length that it has now, whoever has lengthened it.
    fn array<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        let this = slf.get();
        let array = this.as_array("take the array of")?;
        array::over(slf.py(), &array, this.entry.clone())
    }

    /// Says what shm.inspect says, of this memory, also when its name is gone.
    fn info<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        info::to_python(py, &self.segment("inspect")?.info()?)
    }

    /// Device, inode and time of creation: what tells this memory from all other.
    #[getter]
    fn identity(&self) -> Result<Identity> {
        let gone = || PyOSError::new_err(format!("the descriptor of {} is gone", self.held.label())).into();
        self.held.identity().ok_or_else(gone)
    }

    /// Whether others have made this memory, so that it has no header.
    #[getter]
    fn is_raw(&self) -> bool {
        self.held.segment().is_none()
    }

    /// The address of the whole mapping's first byte.
    #[getter]
    fn mapping(&self) -> usize {
        self.held.start()
    }

    /// The number of the descriptor behind the memory. It belongs to the memory: do not close it.
    fn fileno(&self) -> i32 {
        match self.held.home() {
            Home::Segment(segment) => segment.as_fd().as_raw_fd(),
            Home::Raw(mapping) => mapping.as_fd().as_raw_fd(),
        }
    }

    /// Returns a descriptor that keeps the memory as long as it is open, here or wherever it is sent. The caller closes it.
    fn lease(&self) -> Result<i32> {
        Ok(reference::lease(&self.held)?.into_raw_fd())
    }

    fn __repr__(&self) -> String {
        format!("<shm.Memory of {}: {} bytes, {}>", self.held.label(), self.len, self.access())
    }
}

/// The address range that an array's elements lie in: first byte and number of bytes.
pub(crate) fn extent(array: &Bound<'_, PyUntypedArray>) -> (usize, usize) {
    // SAFETY: it is an array (the type says so), alive while it is borrowed.
    let data = unsafe { (*array.as_array_ptr()).fields.data }.addr();
    if array.len() == 0 {
        return (data, 0);
    }
    let (mut low, mut high) = (data as i128, data as i128 + array.dtype().itemsize() as i128);
    for (extent, stride) in array.shape().iter().zip(array.strides()) {
        let span = (*extent as i128 - 1) * *stride as i128;
        if span < 0 { low += span } else { high += span }
    }
    match (usize::try_from(low), usize::try_from(high - low)) {
        (Ok(low), Ok(len)) => (low, len),
        // No array lies there: its strides are not those of real memory.
        _ => (usize::MAX, 1),
    }
}

/// Lets an array be written again that was made read-only, if its memory can be written here.
///
/// NumPy itself cannot know: it asks the base of an array for a buffer, which the stable interface of 3.9 has no place for.
#[pyfunction]
pub(crate) fn make_writable(array: &Bound<'_, PyUntypedArray>) -> Result<()> {
    let (address, len) = extent(array);
    match Held::find(address, len) {
        Some(held) if held.access() != Access::ReadOnly => {
            // SAFETY: it is an array, which nobody else changes while the interpreter's lock is held, and all of its elements may be written.
            unsafe { (*array.as_array_ptr()).fields.flags |= NPY_ARRAY_WRITEABLE };
            Ok(())
        }
        _ => Err(PyValueError::new_err("the memory of this array cannot be written here").into()),
    }
}

/// Returns the memory that an array's elements lie in, or None if they are private.
#[pyfunction]
pub(crate) fn memory_of(array: &Bound<'_, PyUntypedArray>) -> Option<Memory> {
    let (address, len) = extent(array);
    Held::find(address, len).map(Memory::of_all)
}

/// Tells whether an array's elements lie in shared memory that this package has mapped.
#[pyfunction]
pub(crate) fn is_shared(array: &Bound<'_, PyUntypedArray>) -> bool {
    let (address, len) = extent(array);
    Held::find(address, len).is_some()
}
