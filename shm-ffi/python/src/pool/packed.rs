//! [`Packed`]: a result on its way from a worker to the master.
//!
//! Small values that cannot change go as they are, and so do tuples of them; all others are pickled by `shm/_results.py`.

#![allow(unsafe_code, reason = "looks at an object's exact type")]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple, PyType};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Where a part of a result lies in the store: offset and length.
pub(super) type Extent = (u64, u64);

/// The result of an item.
#[derive(Serialize, Deserialize)]
pub(super) enum Packed {
    Plain(Plain),
    Tuple(Vec<Plain>),
    /// So many pickled results, of this item and those behind it.
    Many {
        count: u64,
        data: ByteBuf,
        extents: Vec<Extent>,
    },
    /// Among those of an item before.
    InList,
    /// The function has raised.
    Failed(ByteBuf),
}

/// A value that cannot change, and is sent as it is.
#[derive(Serialize, Deserialize)]
pub(super) enum Plain {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(ByteBuf),
    /// NumPy's `float64`, which sums and means are.
    Float64(f64),
    /// NumPy's `int64`.
    Int64(i64),
}

/// Texts and bytes that are longer are pickled.
const LONG: usize = 4 << 10;

/// NumPy's scalar types `float64` and `int64`.
fn scalar_types(py: Python<'_>) -> PyResult<&(Py<PyType>, Py<PyType>)> {
    static TYPES: PyOnceLock<(Py<PyType>, Py<PyType>)> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || {
        let numpy = py.import("numpy")?;
        let named = |name| -> PyResult<Py<PyType>> { Ok(numpy.getattr(name)?.cast_into()?.unbind()) };
        Ok((named("float64")?, named("int64")?))
    })
}

impl Plain {
    /// The value, if it is of one of these kinds exactly.
    #[inline]
    fn of(value: &Bound<'_, PyAny>) -> Option<Plain> {
        if value.is_none() {
            return Some(Plain::None);
        }
        if value.is_exact_instance_of::<PyInt>() {
            return value.extract().ok().map(Plain::Int);
        }
        if value.is_exact_instance_of::<PyFloat>() {
            // SAFETY: it is a float.
            return Some(Plain::Float(unsafe { ffi::PyFloat_AsDouble(value.as_ptr()) }));
        }
        if let Ok(value) = value.cast_exact::<PyBool>() {
            return Some(Plain::Bool(value.is_true()));
        }
        if let Ok(value) = value.cast_exact::<PyString>() {
            let text = value.to_cow().ok().filter(|text| text.len() <= LONG)?; // some texts are no Unicode
            return Some(Plain::Text(text.into_owned()));
        }
        if let Ok(value) = value.cast_exact::<PyBytes>() {
            let bytes = value.as_bytes();
            return (bytes.len() <= LONG).then(|| Plain::Bytes(ByteBuf::from(bytes)));
        }
        let (float64, int64) = scalar_types(value.py()).ok()?;
        let class = value.get_type_ptr();
        if class == float64.as_ptr().cast() {
            // SAFETY: it is a float: the type is derived from Python's.
            return Some(Plain::Float64(unsafe { ffi::PyFloat_AsDouble(value.as_ptr()) }));
        }
        if class == int64.as_ptr().cast() {
            return value.extract().ok().map(Plain::Int64);
        }
        None
    }

    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Plain::None => py.None().into_bound(py),
            Plain::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
            Plain::Int(value) => PyInt::new(py, *value).into_any(),
            Plain::Float(value) => PyFloat::new(py, *value).into_any(),
            Plain::Text(text) => PyString::new(py, text).into_any(),
            Plain::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
            Plain::Float64(value) => scalar_types(py)?.0.bind(py).call1((*value,))?,
            Plain::Int64(value) => scalar_types(py)?.1.bind(py).call1((*value,))?,
        })
    }
}

impl Packed {
    /// A value that need not be pickled, or a tuple of such; nothing for all others, and for subclasses.
    #[inline]
    pub(super) fn of_plain(value: &Bound<'_, PyAny>) -> Option<Packed> {
        match value.cast_exact::<PyTuple>() {
            Ok(tuple) if tuple.len() <= 16 => {
                tuple.iter().map(|part| Plain::of(&part)).collect::<Option<_>>().map(Packed::Tuple)
            }
            Ok(_) => None,
            Err(_) => Plain::of(value).map(Packed::Plain),
        }
    }

    /// The value of one that is not pickled and is no failure.
    pub(super) fn plain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match self {
            Packed::Plain(plain) => Some(plain.to_python(py)?),
            Packed::Tuple(parts) => {
                let parts = parts.iter().map(|part| part.to_python(py)).collect::<PyResult<Vec<_>>>()?;
                Some(PyTuple::new(py, parts)?.into_any())
            }
            Packed::Many { .. } | Packed::InList | Packed::Failed(_) => None,
        })
    }
}
