//! How every primitive is made and found, written once for all handle types.
//!
//! What C promises is the same for all of these functions: pointers are NULL or as the header says.

#![allow(unsafe_code, reason = "follows pointers that C gave")]

use crate::contents::shm_contents_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{Handle, Object, insert, pin};
use crate::input::{self, Output};
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::Primitive;
use std::ffi::{c_char, c_void};

/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn create<H: Handle<Object = T>, T: Object + Primitive>(
    name: *const c_char,
    options: *const shm_options_t,
    handle: *mut H,
    initial: impl FnOnce() -> Outcome<T::Initial>,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let (handle, name, options) =
            unsafe { (Output::of(handle, T::NAME)?, input::name_or_none(name)?, input::options(options)?) };
        let made = match name {
            Some(name) => T::create_with(&options, name, initial()?)?,
            None => T::anonymous(initial()?)?,
        };
        handle.put(insert(made)?);
        Ok(())
    })
}

/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn attach<H: Handle<Object = T>, T: Object + Primitive>(
    name: *const c_char,
    handle: *mut H,
    check: impl FnOnce(&T) -> Outcome,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let (handle, name) = unsafe { (Output::of(handle, T::NAME)?, input::name(name)?) };
        checked(T::attach(name)?, handle, check)
    })
}

/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn create_or_attach<H: Handle<Object = T>, T: Object + Primitive>(
    name: *const c_char,
    handle: *mut H,
    initial: impl FnOnce() -> Outcome<T::Initial>,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let (handle, name) = unsafe { (Output::of(handle, T::NAME)?, input::name(name)?) };
        handle.put(insert(T::create_or_attach(name, initial()?)?)?);
        Ok(())
    })
}

/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn attach_in<H: Handle<Object = T>, T: Object + Primitive>(
    segment: shm_segment_t,
    entry: *const c_char,
    handle: *mut H,
    check: impl FnOnce(&T) -> Outcome,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let (handle, entry) = unsafe { (Output::of(handle, T::NAME)?, input::text(entry, "entry")?) };
        checked(T::attach_in(&*pin(segment)?, entry)?, handle, check)
    })
}

/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn create_at<H: Handle<Object = T>, T: Object + Primitive>(
    address: *mut c_void,
    length: u64,
    handle: *mut H,
    initial: impl FnOnce() -> Outcome<T::Initial>,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { Output::of(handle, T::NAME) }?;
        let length = input::size("length", length)?;
        // SAFETY: mapped, zero, and nobody else's until this has returned, as the header says.
        let made = unsafe { T::init_at(address.cast(), length, initial()?) }?;
        handle.put(insert(made)?);
        Ok(())
    })
}

/// `initial` says what one would begin with that is as the caller expects, if that makes a difference: so much of the memory is looked at.
///
/// # Safety
/// The pointers are NULL or as the header says.
pub(crate) unsafe fn attach_at<H: Handle<Object = T>, T: Object + Primitive>(
    address: *mut c_void,
    length: u64,
    handle: *mut H,
    initial: impl FnOnce() -> Outcome<Option<T::Initial>>,
    check: impl FnOnce(&T) -> Outcome,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { Output::of(handle, T::NAME) }?;
        let mut length = input::size("length", length)?;
        if let Some(initial) = initial()? {
            let needed = T::len_bytes(initial)?;
            if length < needed {
                return Err(Failure::new(
                    SHM_STATUS_MISMATCH,
                    format_args!(
                        "cannot attach to the {}: it has {needed} bytes, and there are {length}",
                        T::NAME
                    ),
                ));
            }
            length = needed;
        }
        // SAFETY: mapped, at this address only, and used through handles only, as the header says.
        let found = unsafe { T::from_ptr(address.cast(), length) }?;
        checked(found, handle, check)
    })
}

/// # Safety
/// The pointer is NULL or as the header says.
pub(crate) unsafe fn plan<H: Handle<Object = T>, T: Object + Primitive>(
    contents: shm_contents_t,
    entry: *const c_char,
    initial: impl FnOnce() -> Outcome<T::Initial>,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let entry = unsafe { input::text(entry, "entry") }?;
        let initial = initial()?;
        pin(contents)?.change(|plan| Ok(T::plan(plan, entry, initial)?))
    })
}

/// # Safety
/// The pointer is NULL or as the header says.
pub(crate) unsafe fn size<H: Handle<Object = T>, T: Object + Primitive>(
    size: *mut u64,
    initial: impl FnOnce() -> Outcome<T::Initial>,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the caller's promise.
        let size = unsafe { Output::of(size, "size") }?;
        size.put(T::len_bytes(initial()?)? as u64);
        Ok(())
    })
}

/// Checks that a lock guards as many bytes as the caller takes it to.
pub(crate) fn guards<T: Object>(
    value_size: u64,
    found: impl FnOnce(&T) -> usize,
) -> impl FnOnce(&T) -> Outcome {
    move |lock| {
        let found = found(lock) as u64;
        if found == value_size {
            return Ok(());
        }
        Err(Failure::new(
            SHM_STATUS_MISMATCH,
            format_args!(
                "cannot attach to the {}: it guards a value of {found} bytes, not of {value_size}",
                T::NAME
            ),
        ))
    }
}

fn checked<H: Handle>(
    found: H::Object,
    handle: Output<H>,
    check: impl FnOnce(&H::Object) -> Outcome,
) -> Outcome {
    check(&found)?;
    handle.put(insert(found)?);
    Ok(())
}
