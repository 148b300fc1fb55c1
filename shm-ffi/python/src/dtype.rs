//! NumPy's element types and those of the format, in both directions and without loss: byte order, units of time, fields with offsets and titles.
//!
//! What the format cannot say is refused: objects (they are addresses in one process), types of other packages, titles that are no text.

#![allow(unsafe_code, reason = "takes a descriptor from NumPy's C interface")]

use std::sync::Arc;

use numpy::PyArrayDescr;
use numpy::npyffi::{NPY_TYPES, PY_ARRAY_API};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use shm_core::layout::{ByteOrder, Field, Number, TimeBase, TimeUnit};
use shm_core::{ElementType, Record};

use crate::error::Result;

/// The key under which a dtype's metadata say that its `uint16` are bfloat16.
const TAG: &str = "shm";
const BFLOAT16: &str = "bfloat16";

/// NumPy's type for an element type.
pub(crate) fn to_numpy<'py>(py: Python<'py>, element: &ElementType) -> Result<Bound<'py, PyArrayDescr>> {
    if let Some(number) = type_number(element) {
        // SAFETY: the function takes any number of a built-in type and returns a new reference; NumPy is there, because this package
        // imports it first, and the GIL is held.
        return Ok(unsafe {
            let descriptor = PY_ARRAY_API.PyArray_DescrFromType(py, number as _);
            Bound::from_owned_ptr(py, descriptor.cast()).cast_into_unchecked()
        });
    }
    let text = match element {
        ElementType::Number(Number::BF16, order) => return bfloat16(py, *order),
        ElementType::Number(number, order) => match number_code(*number) {
            Some(code) => format!("{}{code}", sign(*order)),
            None => return unknown(element),
        },
        ElementType::Bytes(bytes) => format!("S{bytes}"),
        ElementType::Text(points, order) => format!("{}U{points}", sign(*order)),
        ElementType::DateTime(unit, order) => format!("{}M8[{unit}]", sign(*order)),
        ElementType::TimeSpan(unit, order) => format!("{}m8[{unit}]", sign(*order)),
        ElementType::Opaque(bytes) => format!("V{bytes}"),
        ElementType::Record(record) => return record_to_numpy(py, record),
        other => return unknown(other),
    };
    Ok(PyArrayDescr::new(py, text)?)
}

fn unknown<T>(element: &ElementType) -> Result<T> {
    let text = format!("NumPy has no type for elements of the type {element} on this machine");
    Err(PyTypeError::new_err(text).into())
}

/// The number of the built-in type, where there is one.
fn type_number(element: &ElementType) -> Option<NPY_TYPES> {
    Some(match element {
        ElementType::Bool => NPY_TYPES::NPY_BOOL,
        ElementType::I8 => NPY_TYPES::NPY_BYTE,
        ElementType::U8 => NPY_TYPES::NPY_UBYTE,
        ElementType::Number(number, ByteOrder::Little) => match number {
            Number::I16 => NPY_TYPES::NPY_SHORT,
            Number::U16 => NPY_TYPES::NPY_USHORT,
            Number::I32 => NPY_TYPES::NPY_INT,
            Number::U32 => NPY_TYPES::NPY_UINT,
            Number::I64 => NPY_TYPES::NPY_LONG,
            Number::U64 => NPY_TYPES::NPY_ULONG,
            Number::F16 => NPY_TYPES::NPY_HALF,
            Number::F32 => NPY_TYPES::NPY_FLOAT,
            Number::F64 => NPY_TYPES::NPY_DOUBLE,
            Number::C64 => NPY_TYPES::NPY_CFLOAT,
            Number::C128 => NPY_TYPES::NPY_CDOUBLE,
            _ => return None,
        },
        long if *long == ElementType::long_double() => NPY_TYPES::NPY_LONGDOUBLE,
        long if *long == ElementType::long_double_complex() => NPY_TYPES::NPY_CLONGDOUBLE,
        _ => return None,
    })
}

fn sign(order: ByteOrder) -> char {
    match order {
        ByteOrder::Little => '<',
        ByteOrder::Big => '>',
    }
}

fn number_code(number: Number) -> Option<&'static str> {
    Some(match number {
        Number::I16 => "i2",
        Number::U16 => "u2",
        Number::I32 => "i4",
        Number::U32 => "u4",
        Number::I64 => "i8",
        Number::U64 => "u8",
        Number::F16 => "f2",
        Number::F32 => "f4",
        Number::F64 => "f8",
        Number::C64 => "c8",
        Number::C128 => "c16",
        _ => return None,
    })
}

/// The type of the package `ml_dtypes` if it is there, otherwise a tagged `uint16`.
fn bfloat16(py: Python<'_>, order: ByteOrder) -> Result<Bound<'_, PyArrayDescr>> {
    if order == ByteOrder::Little
        && let Ok(module) = py.import("ml_dtypes")
    {
        return Ok(PyArrayDescr::new(py, module.getattr(BFLOAT16)?)?);
    }
    tagged(py, order)
}

fn tagged(py: Python<'_>, order: ByteOrder) -> Result<Bound<'_, PyArrayDescr>> {
    let options = PyDict::new(py);
    let metadata = PyDict::new(py);
    metadata.set_item(TAG, BFLOAT16)?;
    options.set_item("metadata", metadata)?;
    let dtype = py.import("numpy")?.getattr("dtype")?;
    Ok(dtype.call((format!("{}u2", sign(order)),), Some(&options))?.cast_into()?)
}

fn record_to_numpy<'py>(py: Python<'py>, record: &Record) -> Result<Bound<'py, PyArrayDescr>> {
    let (mut names, mut formats, mut offsets, mut titles) = (vec![], vec![], vec![], vec![]);
    for field in record.fields() {
        let scalar = to_numpy(py, field.element())?;
        formats.push(match field.shape() {
            [] => scalar.into_any(),
            shape => (scalar, PyTuple::new(py, shape)?).into_pyobject(py)?.into_any(),
        });
        names.push(field.name());
        offsets.push(field.offset());
        titles.push(field.title());
    }
    let description = PyDict::new(py);
    // NumPy takes an empty title for one, and no title only if none has any.
    if titles.iter().any(Option::is_some) {
        description.set_item("titles", titles)?;
    }
    description.set_item("names", names)?;
    description.set_item("formats", formats)?;
    description.set_item("offsets", offsets)?;
    description.set_item("itemsize", record.size())?;
    if record.is_aligned() {
        description.set_item("aligned", true)?;
    }
    Ok(PyArrayDescr::new(py, description)?)
}

/// The element type for NumPy's, with the shape that a sub-array type adds to the array's own.
pub(crate) fn from_numpy(dtype: &Bound<'_, PyAny>) -> Result<(ElementType, Vec<usize>)> {
    let sub: Option<(Bound<'_, PyAny>, Vec<usize>)> = dtype.getattr("subdtype")?.extract()?;
    match sub {
        Some((base, shape)) => Ok((scalar_from_numpy(&base)?, shape)),
        None => Ok((scalar_from_numpy(dtype)?, Vec::new())),
    }
}

fn scalar_from_numpy(dtype: &Bound<'_, PyAny>) -> Result<ElementType> {
    let py = dtype.py();
    let kind: String = dtype.getattr("kind")?.extract()?;
    let size: usize = dtype.getattr("itemsize")?.extract()?;
    let order = match dtype.getattr("byteorder")?.extract::<String>()?.as_str() {
        ">" => ByteOrder::Big,
        // On this machine "native" is little-endian; the crates do not build elsewhere.
        _ => ByteOrder::Little,
    };
    let refuse = |why: &str| -> Result<ElementType> {
        let name = dtype.str()?;
        Err(PyTypeError::new_err(format!("cannot share elements of the type {name}: {why}")).into())
    };
    let number = |number| Ok(ElementType::Number(number, order));
    match (kind.as_str(), size) {
        ("b", 1) => Ok(ElementType::Bool),
        ("i", 1) => Ok(ElementType::I8),
        ("u", 1) => Ok(ElementType::U8),
        ("i", 2) => number(Number::I16),
        ("u", 2) if is_tagged(dtype)? => number(Number::BF16),
        ("u", 2) => number(Number::U16),
        ("i", 4) => number(Number::I32),
        ("u", 4) => number(Number::U32),
        ("i", 8) => number(Number::I64),
        ("u", 8) => number(Number::U64),
        ("f", 2) => number(Number::F16),
        ("f", 4) => number(Number::F32),
        ("f", 8) => number(Number::F64),
        ("c", 8) => number(Number::C64),
        ("c", 16) => number(Number::C128),
        ("f", 16) | ("c", 32) if order == ByteOrder::Big => {
            refuse("the format knows long doubles in the byte order of their CPU only")
        }
        ("f", 16) => Ok(ElementType::long_double()),
        ("c", 32) => Ok(ElementType::long_double_complex()),
        ("S", _) => Ok(ElementType::Bytes(count(size)?)),
        ("U", _) => Ok(ElementType::Text(count(size / 4)?, order)),
        ("M", 8) => Ok(ElementType::DateTime(time_unit(dtype)?, order)),
        ("m", 8) => Ok(ElementType::TimeSpan(time_unit(dtype)?, order)),
        ("V", _) if !dtype.getattr("names")?.is_none() => record_from_numpy(dtype, size),
        ("V", _) if dtype.getattr("type")?.is(&py.import("numpy")?.getattr("void")?) => {
            Ok(ElementType::Opaque(count(size)?))
        }
        (_, 2) if is_bfloat16(dtype)? => number(Number::BF16),
        ("O", _) => refuse("they are addresses of objects, which mean nothing in another process"),
        _ => refuse("the format has no such type"),
    }
}

fn count(size: usize) -> Result<u32> {
    u32::try_from(size)
        .map_err(|_| PyValueError::new_err(format!("elements of {size} bytes are too large")).into())
}

fn is_tagged(dtype: &Bound<'_, PyAny>) -> Result<bool> {
    let metadata = dtype.getattr("metadata")?;
    if metadata.is_none() {
        return Ok(false);
    }
    Ok(metadata.call_method1("get", (TAG,))?.eq(BFLOAT16)?)
}

fn is_bfloat16(dtype: &Bound<'_, PyAny>) -> Result<bool> {
    let class = dtype.getattr("type")?;
    Ok(class.getattr("__module__")?.eq("ml_dtypes")? && class.getattr("__name__")?.eq(BFLOAT16)?)
}

fn time_unit(dtype: &Bound<'_, PyAny>) -> Result<TimeUnit> {
    let data = dtype.py().import("numpy")?.getattr("datetime_data")?.call1((dtype,))?;
    let (symbol, multiplier): (String, u32) = data.extract()?;
    TimeBase::from_symbol(&symbol).and_then(|base| TimeUnit::new(multiplier, base)).ok_or_else(|| {
        PyTypeError::new_err(format!("the format has no unit of time {multiplier}{symbol}")).into()
    })
}

fn record_from_numpy(dtype: &Bound<'_, PyAny>, size: usize) -> Result<ElementType> {
    let names: Vec<String> = dtype.getattr("names")?.extract()?;
    let described = dtype.getattr("fields")?;
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        // A mapping without fields is none.
        let entry = described.get_item(&name)?.cast_into::<PyTuple>()?;
        let (element, shape) = from_numpy(&entry.get_item(0)?)?;
        let mut field =
            Field::new(name.clone(), entry.get_item(1)?.extract()?, element).with_shape(&shape)?;
        if let Ok(title) = entry.get_item(2)
            && !title.is_none()
        {
            let title = title.cast_into::<PyString>().map_err(|_| {
                PyTypeError::new_err(format!("cannot share the field {name:?}: its title is no text"))
            })?;
            field = field.with_title(title.extract::<String>()?);
        }
        fields.push(field);
    }
    let aligned: bool = dtype.getattr("isalignedstruct")?.extract()?;
    Ok(ElementType::Record(Arc::new(Record::new(size, aligned, fields)?)))
}

/// Returns what comes back of a dtype that went through the format, for tests.
#[pyfunction]
pub(crate) fn round_trip<'py>(dtype: &Bound<'py, PyAny>) -> Result<Bound<'py, PyArrayDescr>> {
    let (element, _) = from_numpy(PyArrayDescr::new(dtype.py(), dtype)?.as_any())?;
    to_numpy(dtype.py(), &element)
}
