//! [`Packed`]: a result on its way from a worker to the master.
//!
//! Small values go as they are; all others are pickled, many at a time, by `shm/_results.py`.

#![allow(unsafe_code, reason = "looks at an object's exact type")]

use std::fmt;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Bytes that are written as one piece.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Whole)
    }
}

/// Where a part of a result lies in the store: offset and length.
pub(super) type Extent = (u64, u64);

/// The result of an item.
#[derive(Serialize, Deserialize)]
pub(super) enum Packed {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// So many pickled results, of this item and those behind it.
    Many {
        count: u64,
        data: Bytes,
        extents: Vec<Extent>,
    },
    /// Among those of an item before.
    InList,
    /// The function has raised.
    Failed(Bytes),
}

impl Packed {
    /// A value that need not be pickled; nothing for all others, and for subclasses.
    #[inline]
    pub(super) fn of_plain(value: &Bound<'_, PyAny>) -> Option<Packed> {
        if value.is_none() {
            return Some(Packed::None);
        }
        if value.is_exact_instance_of::<PyInt>() {
            return value.extract().ok().map(Packed::Int);
        }
        if value.is_exact_instance_of::<PyFloat>() {
            // SAFETY: it is a float.
            return Some(Packed::Float(unsafe { ffi::PyFloat_AsDouble(value.as_ptr()) }));
        }
        value.cast_exact::<PyBool>().ok().map(|value| Packed::Bool(value.is_true()))
    }

    /// The value of one that is no list and no failure.
    pub(super) fn plain<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Some(match self {
            Packed::None => py.None().into_bound(py),
            Packed::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
            Packed::Int(value) => PyInt::new(py, *value).into_any(),
            Packed::Float(value) => PyFloat::new(py, *value).into_any(),
            Packed::Many { .. } | Packed::InList | Packed::Failed(_) => return None,
        })
    }
}

impl Bytes {
    pub(super) fn to_python<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }
}
