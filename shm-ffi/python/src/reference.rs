//! What a pickled array says about its memory, and how another process comes to that memory: it has it already, or opens its name, or gets a
//! descriptor. Whatever way is taken, what is found has to be the very object that was meant: device, inode and the time it was made.

#![allow(unsafe_code, reason = "reads a field of the header, and takes descriptors that come as numbers")]

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shm_core::{Access, Error, ErrorKind, Lease, Segment, SegmentName, SegmentOptions};

use crate::error::Result;
use crate::memory::Memory;
use crate::options::access_name;
use crate::ranges::{Held, Home};
use crate::raw::RawMapping;

/// Device, inode, and when it was made (`FORMAT.md`, section 1).
pub(crate) type Identity = (u64, u64, u64);

const CREATED_AT: usize = 136;

fn stat(fd: impl AsFd) -> Option<(u64, u64)> {
    rustix::fs::fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// What tells this memory from all other, unless its descriptor has been closed by somebody else.
pub(crate) fn identity_of(home: &Home) -> Option<Identity> {
    match home {
        Home::Segment(segment) => identity(segment),
        Home::Raw(mapping) => stat(mapping).map(|(device, inode)| (device, inode, 0)),
    }
}

/// A descriptor that keeps the memory as long as it is open, here or wherever it is sent.
pub(crate) fn lease(held: &Held) -> Result<OwnedFd> {
    match held.home() {
        Home::Segment(segment) => Ok(OwnedFd::from(segment.lease()?)),
        Home::Raw(mapping) => Ok(mapping.as_fd().try_clone_to_owned().map_err(PyErr::from)?),
    }
}

fn identity(segment: &Segment) -> Option<Identity> {
    let (device, inode) = stat(segment)?;
    // SAFETY: the mapping begins with a header of 256 bytes, so the eight bytes lie in it, aligned; nobody writes them after creation, and
    // somebody who does it all the same meets an atomic access.
    let created =
        unsafe { AtomicU64::from_ptr(segment.as_ptr().add(CREATED_AT).cast()) }.load(Ordering::Relaxed);
    Some((device, inode, created))
}

fn access_of(name: &str) -> Result<Access> {
    match name {
        "read-write" => Ok(Access::ReadWrite),
        "read-only" => Ok(Access::ReadOnly),
        _ => Err(PyValueError::new_err(format!("the access {name:?} cannot travel")).into()),
    }
}

/// Returns the memory if this process has it mapped already in that way.
#[pyfunction]
pub(crate) fn find(wanted: Identity, access: &str) -> Option<Memory> {
    let fits = |held: &Held| access_name(held.access()) == access && held.identity() == Some(wanted);
    Held::find_by(fits).map(Memory::of_all)
}

fn checked(segment: Segment, wanted: Identity) -> Result<Memory> {
    if identity(&segment) != Some(wanted) {
        let error = Error::new(
            ErrorKind::NotFound,
            "follow the reference to",
            segment.label(),
            "that memory is gone, and something else has its place",
        );
        return Err(error.into());
    }
    Ok(Memory::of_all(Held::enter(Home::Segment(segment))))
}

/// Opens memory by its name.
#[pyfunction]
pub(crate) fn open_name(name: &str, wanted: Identity, access: &str) -> Result<Memory> {
    let options = SegmentOptions::new().access(access_of(access)?).any_owner(true);
    checked(options.attach(name)?, wanted)
}

/// Opens memory by a descriptor, which is closed in any case.
#[pyfunction]
pub(crate) fn open_descriptor(descriptor: i32, wanted: Identity, access: &str) -> Result<Memory> {
    if descriptor < 0 {
        return Err(PyValueError::new_err("a descriptor is not negative").into());
    }
    // SAFETY: the caller hands over a descriptor that was received or opened for this.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let options = SegmentOptions::new().access(access_of(access)?).any_owner(true);
    checked(Lease::from(descriptor).attach_with(&options)?, wanted)
}

/// Opens memory that others have made.
#[pyfunction]
pub(crate) fn open_raw(name: &str, wanted: Identity, access: &str) -> Result<Memory> {
    let name: SegmentName = name.parse()?;
    let mapping = RawMapping::open(name, access_of(access)?, true)?;
    if stat(&mapping) != Some((wanted.0, wanted.1)) {
        let why = "that file is gone, and another one has its name";
        return Err(Error::new(ErrorKind::NotFound, "follow the reference to", mapping.name(), why).into());
    }
    Ok(Memory::of_all(Held::enter(Home::Raw(mapping))))
}
