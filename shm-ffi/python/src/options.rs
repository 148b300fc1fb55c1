//! Keywords of Python functions as options of the crates.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shm_core::{Access, Lifetime, SegmentOptions};

use crate::error::Result;

/// The keywords of everything that creates.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct CreateOptions {
    mode: u32,
    lifetime: String,
    sparse: bool,
    reserve: Option<usize>,
    prefault: bool,
    huge_pages: bool,
    lock_memory: bool,
    align: Option<usize>,
}

impl CreateOptions {
    pub(crate) fn build(&self) -> Result<SegmentOptions> {
        let mut options = SegmentOptions::new()
            .mode(self.mode)
            .lifetime(lifetime(&self.lifetime)?)
            .sparse(self.sparse)
            .prefault(self.prefault)
            .huge_pages(self.huge_pages)
            .lock_memory(self.lock_memory);
        if let Some(bytes) = self.reserve {
            options = options.reserve_max(bytes);
        }
        if let Some(bytes) = self.align {
            options = options.align(bytes);
        }
        Ok(options)
    }
}

fn lifetime(text: &str) -> Result<Lifetime> {
    match text {
        "persistent" => Ok(Lifetime::Persistent),
        "last-detach" => Ok(Lifetime::LastDetach),
        "scoped" => Ok(Lifetime::Scoped),
        other => Err(PyValueError::new_err(format!(
            "the lifetime {other:?} is none of \"persistent\", \"last-detach\" and \"scoped\""
        ))
        .into()),
    }
}

/// How a lifetime is called in Python.
pub(crate) fn lifetime_name(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::LastDetach => "last-detach",
        Lifetime::Scoped => "scoped",
        _ => "persistent",
    }
}

/// How an access is called in Python.
pub(crate) fn access_name(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "read-write",
        Access::ReadOnly => "read-only",
        Access::CopyOnWrite => "copy-on-write",
    }
}

/// The access that two keywords ask for.
pub(crate) fn access(readonly: bool, copy_on_write: bool) -> Result<Access> {
    match (readonly, copy_on_write) {
        (true, true) => {
            Err(PyValueError::new_err("readonly and copy_on_write exclude each other: choose one").into())
        }
        (true, false) => Ok(Access::ReadOnly),
        (false, true) => Ok(Access::CopyOnWrite),
        (false, false) => Ok(Access::ReadWrite),
    }
}
