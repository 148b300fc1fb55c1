//! The short way into a lock: `acquire()`, `release()` and `with` as bare C functions, for the case that it is free and nothing else is asked.
//!
//! A lock is taken in ten nanoseconds; what else stands between it and Python's call (arguments, a guard against panics, counts of references)
//! takes longer than that. So these functions are entered into the classes beside PyO3's; whatever is not as usual goes to `_acquire` and
//! `_release`, which are PyO3's.

#![allow(unsafe_code, reason = "C functions that Python calls directly")]

use std::ffi::{CStr, c_int};

use pyo3::PyClass;
use pyo3::ffi::{self, PyMethodDef, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyTuple};

use crate::error::Result;

/// `METH_FASTCALL`: in the stable interface since Python 3.10, and the same in 3.9.
const FASTCALL: c_int = 0x80;

type Fast = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, ffi::Py_ssize_t) -> *mut PyObject;
type FastWithKeywords = unsafe extern "C" fn(
    *mut PyObject,
    *const *mut PyObject,
    ffi::Py_ssize_t,
    *mut PyObject,
) -> *mut PyObject;

/// How a short attempt ended.
pub(super) enum Quick {
    Taken,
    /// The last holder had died with it. It was given up again.
    OwnerDied,
    /// The long way has to find out.
    Unusual,
}

/// A class with a short way in. Nothing here panics.
pub(super) trait Short: PyClass<Frozen = True> + Sync {
    /// Takes it if it is free.
    fn take_quickly(&self) -> Quick;

    /// Gives it up. False: the long way has to find out why not.
    fn give_up_quickly(&self) -> bool;

    /// The news of a holder's death.
    fn owner_died(&self, py: Python<'_>) -> PyErr;
}

/// Enters the functions into a class.
pub(super) fn add_to<T: Short>(module: &Bound<'_, PyModule>) -> Result<()> {
    let class = module.py().get_type::<T>();
    let plain = |function| PyMethodDefPointer { PyCFunction: function };
    // SAFETY: with the flag FASTCALL, alone and with METH_KEYWORDS, Python calls them as what they are.
    let (exit, acquire) = unsafe {
        let exit = std::mem::transmute::<Fast, ffi::PyCFunction>(exit::<T>);
        (plain(exit), plain(std::mem::transmute::<FastWithKeywords, ffi::PyCFunction>(acquire::<T>)))
    };
    let methods: [(&CStr, PyMethodDefPointer, c_int, &CStr); 4] = [
        (
            c"acquire",
            acquire,
            FASTCALL | ffi::METH_KEYWORDS,
            c"acquire($self, block=True, timeout=None)\n--\n\nTakes it; False if it cannot be had (in time). OwnerDiedError, once, if the last \
              holder died with it: it is not held then.",
        ),
        (c"release", plain(release::<T>), ffi::METH_NOARGS, c"release($self)\n--\n\nGives it up. NotHeldError if it is not held."),
        (c"__enter__", plain(enter::<T>), ffi::METH_NOARGS, c"__enter__($self)\n--\n\nTakes it."),
        (c"__exit__", exit, FASTCALL, c"__exit__($self, *exception)\n--\n\nGives it up."),
    ];
    for (name, ml_meth, ml_flags, doc) in methods {
        // The class keeps it for ever, and so is it.
        let method = Box::leak(Box::new(PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth,
            ml_flags,
            ml_doc: doc.as_ptr(),
        }));
        // SAFETY: a class, and a definition that lives for ever and names a function of the kind that its flags say; a new reference comes back.
        let method = unsafe {
            let method = ffi::PyDescr_NewMethod(class.as_ptr().cast(), method);
            Bound::from_owned_ptr_or_err(module.py(), method)?
        };
        class.setattr(name.to_str().unwrap_or_default(), method)?;
    }
    Ok(())
}

/// # Safety
/// As Python calls a method of the class with METH_NOARGS: with its lock held, on an object of the class.
unsafe extern "C" fn enter<T: Short>(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's promise, with no arguments.
    unsafe { acquire::<T>(this, std::ptr::null(), 0, std::ptr::null_mut()) }
}

/// # Safety
/// As Python calls a method of the class with METH_FASTCALL and METH_KEYWORDS: with its lock held, on an object of the class, with so many
/// positional arguments, and the values of the keywords, a tuple of texts or null, behind them.
unsafe extern "C" fn acquire<T: Short>(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: Python's lock is held, and `this` is an object of the class (the descriptor checks).
    let (py, this) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, this))
    };
    if count == 0 && keywords.is_null() {
        // SAFETY: as above.
        let lock = unsafe { this.cast_unchecked::<T>() };
        match lock.get().take_quickly() {
            Quick::Taken => {
                // SAFETY: Python's lock is held, and true lives for ever.
                unsafe {
                    let yes = ffi::Py_True();
                    ffi::Py_IncRef(yes);
                    return yes;
                }
            }
            Quick::OwnerDied => return finish(py, Err(lock.get().owner_died(py))),
            Quick::Unusual => {}
        }
    }
    // SAFETY: the caller's promise.
    let (args, keywords) = unsafe { gathered(py, args, count, keywords) };
    finish(py, keywords.and_then(|keywords| this.call_method("_acquire", args?, Some(&keywords))))
}

/// The arguments of a fast call as those of an ordinary one.
///
/// # Safety
/// As `acquire`.
unsafe fn gathered<'py>(
    py: Python<'py>,
    args: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut PyObject,
) -> (PyResult<Bound<'py, PyTuple>>, PyResult<Bound<'py, PyDict>>) {
    // SAFETY: there are so many arguments, all of them objects that the caller keeps.
    let arg = |at: usize| unsafe { Bound::from_borrowed_ptr(py, *args.add(at)) };
    let count = usize::try_from(count).unwrap_or(0);
    let positional = PyTuple::new(py, (0..count).map(arg));
    let named = || -> PyResult<Bound<'py, PyDict>> {
        let named = PyDict::new(py);
        // SAFETY: null, or a tuple that the caller keeps.
        if let Some(names) = unsafe { Bound::from_borrowed_ptr_or_opt(py, keywords) } {
            for (at, name) in names.cast_into::<PyTuple>()?.iter().enumerate() {
                named.set_item(name, arg(count + at))?;
            }
        }
        Ok(named)
    };
    (positional, named())
}

/// # Safety
/// As `enter`.
unsafe extern "C" fn release<T: Short>(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        let py = Python::assume_attached();
        let this = Borrowed::from_ptr(py, this);
        if this.cast_unchecked::<T>().get().give_up_quickly() {
            let none = ffi::Py_None();
            ffi::Py_IncRef(none);
            return none;
        }
        finish(py, this.call_method0("_release"))
    }
}

/// # Safety
/// As Python calls a method of the class with METH_FASTCALL: with its lock held, on an object of the class.
unsafe extern "C" fn exit<T: Short>(
    this: *mut PyObject,
    _exception: *const *mut PyObject,
    _count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe { release::<T>(this, std::ptr::null_mut()) }
}

/// Hands a result to Python, or sets the exception.
fn finish(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> *mut PyObject {
    match result {
        Ok(value) => value.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}
