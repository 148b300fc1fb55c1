//! NumPy arrays over shared memory: created, attached, and rebuilt from what a pickle says.

#![allow(unsafe_code, reason = "arrays over memory that is not NumPy's are made through its C interface")]

use std::ffi::c_int;

use numpy::npyffi::{NPY_ARRAY_WRITEABLE, PY_ARRAY_API};
use numpy::{PyArrayDescr, PyUntypedArray};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use shm_core::{Access, AnyArray, ArrayLayout, Contents, Error, ErrorKind, SegmentName, SegmentOptions};

use crate::arguments::{index, number};
use crate::dtype;
use crate::error::Result;
use crate::memory::Memory;
use crate::options::{self, CreateOptions};
use crate::ranges::{Held, Home};
use crate::raw::RawMapping;
use crate::sync::plan::{self, Planned};

/// What an array is called in a segment that holds primitives besides.
const BESIDE: &str = "array";

/// `shm.SharedArray`, which Python defines.
static ARRAY_TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Tells this module which class its arrays are to have.
#[pyfunction]
pub(crate) fn set_array_type(class: Bound<'_, PyType>) -> Result<()> {
    let py = class.py();
    if !class.is_subclass(&py.get_type::<PyUntypedArray>())? {
        return Err(PyTypeError::new_err("the class of shared arrays has to be derived from ndarray").into());
    }
    let _ = ARRAY_TYPE.set(py, class.unbind());
    Ok(())
}

/// An array of this class with its elements at an address.
///
/// # Safety
/// As long as `base` lives, every element that shape, strides and type describe lies in mapped memory, writable if `writable`.
unsafe fn new<'py>(
    base: Bound<'py, PyAny>,
    dtype: Bound<'py, PyArrayDescr>,
    shape: &[usize],
    strides: &[isize],
    address: *mut u8,
    writable: bool,
) -> Result<Bound<'py, PyAny>> {
    let py = base.py();
    let Some(class) = ARRAY_TYPE.get(py) else {
        return Err(PyTypeError::new_err("import shm, not shm._shm: its class of arrays is missing").into());
    };
    let too_large = |_| PyValueError::new_err("the shape does not fit a signed number");
    let mut extents = shape
        .iter()
        .map(|extent| isize::try_from(*extent))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(too_large)?;
    let mut strides = strides.to_vec();
    // SAFETY: the class is a subclass of ndarray (checked when it was set), the reference to the descriptor is given away, the numbers
    // of dimensions agree, the memory is the caller's promise, and NumPy copies shape and strides. A null result is an exception.
    let array = unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class.as_ptr().cast(),
            dtype.into_ptr().cast(),
            extents.len() as c_int,
            extents.as_mut_ptr(),
            strides.as_mut_ptr(),
            address.cast(),
            if writable { NPY_ARRAY_WRITEABLE } else { 0 },
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, array)?
    };
    // SAFETY: an array that was made a moment ago and has no base yet; the reference to the base is given away.
    if unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_ptr()) } < 0 {
        return Err(PyErr::fetch(py).into());
    }
    Ok(array)
}

/// The array of Python over one of the crate.
pub(crate) fn over<'py>(
    py: Python<'py>,
    array: &AnyArray,
    entry: Option<String>,
) -> Result<Bound<'py, PyAny>> {
    let layout = array.layout();
    let dtype = dtype::to_numpy(py, layout.element())?;
    let writable = array.segment().access() != Access::ReadOnly;
    let memory = Bound::new(py, Memory::of_array(array, entry))?.into_any();
    // SAFETY: the layout was checked against the segment by the crate, and the memory object keeps the segment mapped.
    unsafe { new(memory, dtype, layout.shape(), layout.strides_bytes(), array.as_ptr(), writable) }
}

/// A shape as NumPy takes it: a number, or a sequence of numbers.
fn shape_of(shape: &Bound<'_, PyAny>) -> Result<Vec<usize>> {
    let extent = |number: &Bound<'_, PyAny>| -> Result<usize> {
        let index = index(number)?;
        if index.lt(0)? {
            return Err(PyValueError::new_err(format!("the shape {shape} has a negative extent")).into());
        }
        let large = |_| PyValueError::new_err(format!("the shape {shape} is too large"));
        index.extract::<usize>().map_err(large).map_err(Into::into)
    };
    // An array of several numbers has the method, too, but is no number.
    if index(shape).is_ok() {
        return Ok(vec![extent(shape)?]);
    }
    let wrong =
        |_| PyTypeError::new_err(format!("the shape {shape} is neither a number nor a sequence of numbers"));
    shape.try_iter().map_err(wrong)?.map(|number| extent(&number?)).collect()
}

/// Layout and NumPy type of a new array.
fn layout_of(
    shape: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
    order: &str,
    strides: Option<&[isize]>,
) -> Result<ArrayLayout> {
    let py = shape.py();
    let mut dtype = if dtype.is_none() {
        numpy::dtype::<f64>(py).into_any() // as NumPy does
    } else {
        PyArrayDescr::new(py, dtype)?.into_any()
    };
    if matches!(dtype.getattr("kind")?.extract::<String>()?.as_str(), "S" | "U")
        && dtype.getattr("itemsize")?.eq(0)?
    {
        // As NumPy does when it makes an array of texts whose length nobody has said.
        dtype = PyArrayDescr::new(py, format!("{}1", dtype.getattr("kind")?))?.into_any();
    }
    let (element, inner) = dtype::from_numpy(&dtype)?;
    let mut extents = shape_of(shape)?;
    extents.extend(inner);
    if let Some(strides) = strides {
        return Ok(ArrayLayout::strided(element, &extents, strides)?);
    }
    Ok(match order {
        "C" | "c" => ArrayLayout::c_order(element, &extents)?,
        "F" | "f" => ArrayLayout::f_order(element, &extents)?,
        other => {
            return Err(
                PyValueError::new_err(format!("the order {other:?} is neither \"C\" nor \"F\"")).into()
            );
        }
    })
}

/// Creates an array, of zeros or of the elements of `source`; with `or_attach` takes the one that has the name already.
#[pyfunction]
#[pyo3(signature = (name, shape, dtype, order, strides, source, or_attach, beside, options))]
#[allow(clippy::too_many_arguments, reason = "its one caller is Python's front")]
pub(crate) fn create<'py>(
    name: Option<&str>,
    shape: &Bound<'py, PyAny>,
    dtype: &Bound<'py, PyAny>,
    order: &str,
    strides: Option<Vec<isize>>,
    source: Option<Bound<'py, PyUntypedArray>>,
    or_attach: bool,
    beside: Vec<Planned>,
    options: CreateOptions,
) -> Result<Bound<'py, PyAny>> {
    let py = shape.py();
    let layout = layout_of(shape, dtype, order, strides.as_deref())?;
    // Fails before anything is made if NumPy cannot have such an array.
    dtype::to_numpy(py, layout.element())?;
    let options = options.build()?;
    let place = match name {
        Some(name) => options.named(name)?,
        None => options.anonymous(),
    };
    if !beside.is_empty() {
        if source.is_some() {
            let text = "beside is for new arrays of zeros: fill the array in afterwards, with a lock in hand";
            return Err(PyValueError::new_err(text).into());
        }
        let contents = plan::plan(Contents::new(), &beside)?.array(BESIDE, &layout)?;
        let segment = py.detach(|| match name {
            None => options.create_anonymous(&contents),
            Some(name) if or_attach => options.create_or_attach(name, &contents).map(|(segment, _)| segment),
            Some(name) => options.create(name, &contents),
        })?;
        let array = AnyArray::in_segment(&segment, BESIDE)?;
        let found = array.layout();
        if found.shape() != layout.shape() || found.element() != layout.element() {
            let reason = format!(
                "it has {} in the shape {:?}, and {} in the shape {:?} was asked for",
                found.element(),
                found.shape(),
                layout.element(),
                layout.shape()
            );
            return Err(Error::new(ErrorKind::ShapeMismatch, "attach", segment.label(), reason).into());
        }
        return over(py, &array, Some(BESIDE.to_owned()));
    }
    let array = match source {
        None if or_attach => py.detach(|| AnyArray::create_or_attach(place, &layout))?.0,
        None => py.detach(|| AnyArray::create(place, &layout))?,
        Some(source) => {
            let source = source.unbind();
            let mut raised = None;
            let made = py.detach(|| {
                AnyArray::create_with(place, &layout, |bytes| {
                    fill(bytes, &layout, &source).map_err(|failure| {
                        raised = Some(failure);
                        Error::new(ErrorKind::InvalidArgument, "fill", "a new array", "NumPy refused")
                    })
                })
            });
            match (made, raised) {
                (_, Some(failure)) => return Err(failure),
                (made, None) => made?,
            }
        }
    };
    over(py, &array, None)
}

/// Copies the elements of `source` into the bytes of a new array, with NumPy's rules for types and shapes.
fn fill(bytes: &mut [u8], layout: &ArrayLayout, source: &Py<PyUntypedArray>) -> Result<()> {
    Python::attach(|py| {
        let dtype = dtype::to_numpy(py, layout.element())?;
        let nothing = py.None().into_bound(py);
        // SAFETY: the layout is that of the bytes. The array is seen by NumPy's copying alone, which does not keep it, and is gone
        // before the borrow of the bytes ends.
        let target = unsafe {
            let first = bytes.as_mut_ptr().add(layout.origin());
            new(nothing, dtype, layout.shape(), layout.strides_bytes(), first, true)?
        };
        // SAFETY: both are arrays.
        let done =
            unsafe { PY_ARRAY_API.PyArray_CopyInto(py, target.as_ptr().cast(), source.as_ptr().cast()) };
        if done < 0 { Err(PyErr::fetch(py).into()) } else { Ok(()) }
    })
}

/// Attaches the array of this name.
///
/// The array is the segment's only one unless ``entry`` names it. Memory of another user is refused unless ``any_owner`` is true.
/// With ``readonly`` it cannot be written through this array; with ``copy_on_write`` what is written stays private.
#[pyfunction]
#[pyo3(signature = (name, *, readonly = false, copy_on_write = false, prefault = false, huge_pages = false, lock_memory = false, any_owner = false, entry = None))]
#[allow(clippy::too_many_arguments, reason = "keywords")]
pub(crate) fn attach<'py>(
    py: Python<'py>,
    name: &str,
    readonly: bool,
    copy_on_write: bool,
    prefault: bool,
    huge_pages: bool,
    lock_memory: bool,
    any_owner: bool,
    entry: Option<String>,
) -> Result<Bound<'py, PyAny>> {
    let options = SegmentOptions::new()
        .access(options::access(readonly, copy_on_write)?)
        .huge_pages(huge_pages)
        .any_owner(any_owner);
    // What takes long lets other threads run; the attaching itself is over before one could start.
    let segment = if prefault || lock_memory {
        let options = options.prefault(prefault).lock_memory(lock_memory);
        py.detach(|| options.attach(name))?
    } else {
        options.attach(name)?
    };
    let array = match &entry {
        Some(entry) => AnyArray::in_segment(&segment, entry)?,
        None => AnyArray::only(&segment)?,
    };
    over(py, &array, entry)
}

/// Makes an array over memory that others have made, of which nothing is known but what is said here. It is never removed by this package.
#[pyfunction]
#[pyo3(signature = (name, shape, dtype, *, offset = 0, order = "C", readonly = false, any_owner = false))]
#[allow(clippy::too_many_arguments, reason = "keywords")]
pub(crate) fn attach_raw<'py>(
    name: &str,
    shape: &Bound<'py, PyAny>,
    dtype: &Bound<'py, PyAny>,
    #[pyo3(from_py_with = number)] offset: usize,
    order: &str,
    readonly: bool,
    any_owner: bool,
) -> Result<Bound<'py, PyAny>> {
    let py = shape.py();
    let layout = layout_of(shape, dtype, order, None)?;
    let name: SegmentName = name.parse()?;
    let mapping = RawMapping::open(name, options::access(readonly, false)?, any_owner)?;
    let (len, needed) = (mapping.len(), layout.data_len_bytes());
    if offset.checked_add(needed).is_none_or(|end| end > len) {
        let reason =
            format!("it has {len} bytes, and an array of {needed} bytes from byte {offset} on was asked for");
        return Err(
            Error::new(ErrorKind::InvalidArgument, "attach the bytes of", mapping.name(), reason).into()
        );
    }
    let address = mapping.as_ptr().wrapping_add(offset);
    let held = Held::enter(Home::Raw(mapping));
    let dtype = dtype::to_numpy(py, layout.element())?;
    let memory = Bound::new(py, Memory::of_all(held))?.into_any();
    // SAFETY: the layout starts at 0 and ends within the mapping, as was just checked; the memory object keeps it mapped.
    unsafe { new(memory, dtype, layout.shape(), layout.strides_bytes(), address, !readonly) }
}

/// Makes an array over memory of this process, as a pickle describes it.
#[pyfunction]
pub(crate) fn rebuild<'py>(
    memory: &Bound<'py, Memory>,
    dtype: Bound<'py, PyArrayDescr>,
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
    writable: bool,
) -> Result<Bound<'py, PyAny>> {
    let held = memory.get().held();
    let refuse = |why: &str| -> Result<()> {
        Err(PyValueError::new_err(format!("cannot rebuild a view of {}: {why}", held.label())).into())
    };
    if dtype.getattr("hasobject")?.is_truthy()? {
        refuse("its elements are objects, which no shared memory holds")?;
    }
    if shape.len() != strides.len() {
        refuse("it has not as many strides as dimensions")?;
    }
    // NumPy does not count them itself if they have no bytes.
    let elements =
        shape.iter().filter(|extent| **extent != 0).try_fold(1_usize, |n, extent| n.checked_mul(*extent));
    if elements.is_none_or(|elements| isize::try_from(elements).is_err()) {
        refuse("it has more elements than can be counted")?;
    }
    if shape.iter().all(|extent| *extent != 0) {
        let item: usize = dtype.getattr("itemsize")?.extract()?;
        let (mut low, mut high) = (offset as i128, offset as i128 + item as i128);
        for (extent, stride) in shape.iter().zip(&strides) {
            // Less than 2^64 times 2^63, and at most 64 times.
            let span = (*extent as i128 - 1).saturating_mul(*stride as i128);
            if span < 0 { low = low.saturating_add(span) } else { high = high.saturating_add(span) }
        }
        if low < 0 || high > held.len() as i128 {
            refuse("a part of it lies outside")?;
        }
    } else if offset > held.len() {
        refuse("it begins outside")?;
    }
    if writable && held.access() == Access::ReadOnly {
        refuse("it is attached read-only here, and the view is writable")?;
    }
    let address = held.as_ptr().wrapping_add(offset);
    // SAFETY: every element lies within the bytes that exist, as was just checked; the memory object keeps them mapped.
    unsafe { new(memory.clone().into_any(), dtype, &shape, &strides, address, writable) }
}
