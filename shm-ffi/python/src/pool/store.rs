//! [`Store`]: memory that master and workers share, in which large arrays of results lie. A worker copies an array in; the master's array is that memory.
//!
//! A block that a worker has filled belongs to nobody until the master has made an array of it, and to that array then: so it survives its worker, and goes with
//! the last view of the array. The store goes with the last of its arrays.

#![allow(unsafe_code, reason = "arrays over the blocks of an arena")]

use std::sync::Arc;

use numpy::ndarray::ArrayViewMut1;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use rustix::io::Errno;
use shm_core::{Arena, Contents, OwnerId, Segment, SegmentKind, SegmentOptions};

use super::packed::Extent;
use crate::error::Result;

/// Address space for it, the first that the system grants. Memory is taken as it is used.
const RESERVES: [usize; 4] = [64 << 30, 8 << 30, 1 << 30, 64 << 20];

/// Shared memory for large arrays of results.
#[pyclass(module = "shm._shm", frozen)]
#[derive(Clone)]
pub(crate) struct Store(Arc<Arena>);

impl Store {
    /// Makes an empty one.
    pub(super) fn new() -> Result<Store> {
        let contents = Contents::new().kind(SegmentKind::Arena).arena("results", Arena::MIN_LEN)?;
        let create = |room| {
            SegmentOptions::new().sparse(true).reserve_max(Arena::MIN_LEN + room).create_anonymous(&contents)
        };
        let mut segment = create(RESERVES[0]);
        for room in &RESERVES[1..] {
            if !matches!(&segment, Err(error) if error.kind() == shm_core::ErrorKind::OutOfMemory) {
                break;
            }
            segment = create(*room);
        }
        Ok(Store(Arc::new(Arena::create_in(&segment?, "results")?)))
    }
}

#[pymethods]
impl Store {
    /// Copies bytes into the store and returns where they are; None if there is no room for them.
    fn put(&self, bytes: PyReadonlyArray1<'_, u8>) -> Result<Option<Extent>> {
        let Ok(bytes) = bytes.as_slice() else { return Ok(None) };
        let block = match self.0.alloc(bytes.len()) {
            Ok(block) => block,
            Err(error) if error.kind() == shm_core::ErrorKind::OutOfSpace => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if write(self.0.segment(), block.offset(), bytes).is_err() {
            return Ok(None); // there is no memory: the block is freed
        }
        Ok(Some((block.keep()?, bytes.len() as u64)))
    }

    /// Returns the bytes there as an array, which owns them from here on.
    fn take<'py>(&self, py: Python<'py>, extent: Extent) -> Result<Bound<'py, PyArray1<u8>>> {
        let (offset, len) = extent;
        // It is this process's now: nobody else makes an array of it.
        let block = self.0.adopt(offset, OwnerId::KEPT)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(block.capacity());
        let start = block.as_ptr();
        block.keep()?;
        let owner = Bound::new(py, Lent { store: self.clone(), offset, forks: shm_core::fork_count() })?;
        // SAFETY: a block of so many bytes, any of which are valid numbers, mapped and allocated as long as `owner` lives. Nobody but whoever has the array
        // has the block; the view is only looked at for address and length.
        Ok(unsafe {
            let view = ArrayViewMut1::from_shape_ptr(len, start);
            PyArray1::borrow_from_array(&view, owner.into_any())
        })
    }

    /// Frees what `put` has stored and nobody will take.
    fn drop(&self, extent: Extent) {
        drop(self.0.adopt(extent.0, OwnerId::KEPT));
    }
}

/// Writes bytes to where the file of a segment has them. Beside writing through the mapping that takes no page faults, does not clear pages first, and a
/// lack of memory is an error and no signal.
fn write(segment: &Segment, mut offset: u64, mut bytes: &[u8]) -> std::result::Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(segment, bytes, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Owns a block as long as there are arrays over it.
#[pyclass(module = "shm._shm", frozen)]
struct Lent {
    store: Store,
    offset: u64,
    forks: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // In a forked copy it is the original's.
        if shm_core::fork_count() == self.forks {
            drop(self.store.0.adopt(self.offset, OwnerId::KEPT));
        }
    }
}
