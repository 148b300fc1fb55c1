//! What comes in from C, checked: texts, names, numbers, options, shapes, and pointers to where results go.
//!
//! The functions here are the only ones that follow a caller's pointers. Each says what is wrong and with which argument.

#![allow(unsafe_code, reason = "follows pointers that C gave")]

use crate::error::{Failure, Outcome};
use crate::status::{SHM_STATUS_INVALID_ARGUMENT, SHM_STATUS_LIMIT_EXCEEDED};
use crate::types::*;
use shm_core::layout::TypeCode;
use shm_core::{Access, ArrayLayout, ElementType, Lifetime, SegmentName, SegmentOptions};
use std::ffi::{CStr, OsStr, c_char};
use std::fmt::Display;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

/// Where a result goes. Zeroed at first, so that after a failure nobody takes old bytes for a result.
pub(crate) struct Output<T>(NonNull<T>);

/// Where a result goes that the caller may not want.
pub(crate) struct Wanted<T>(Option<Output<T>>);

impl<T: Copy> Wanted<T> {
    /// Whether there is a place for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn put(self, result: T) {
        if let Some(output) = self.0 {
            output.put(result);
        }
    }
}

impl<T: Copy> Output<T> {
    /// The same for a place that may be NULL, where the caller does not want the result.
    ///
    /// # Safety
    /// As [`of`](Self::of).
    pub(crate) unsafe fn wanted(place: *mut T) -> Wanted<T> {
        // SAFETY: the caller's promise.
        Wanted(unsafe { Self::of(place, "") }.ok())
    }

    /// # Safety
    /// `place` is NULL, or points to writable memory for a `T`, for which zeros are valid, until this is gone.
    pub(crate) unsafe fn of(place: *mut T, what: &str) -> Outcome<Self> {
        let place = not_null(place, what)?;
        // SAFETY: writable memory for a `T`, the caller says.
        unsafe { place.cast::<u8>().write_bytes(0, size_of::<T>()) };
        Ok(Self(place))
    }

    pub(crate) fn put(self, result: T) {
        // SAFETY: as in `of`; C promises no more than a place for the bytes.
        unsafe { self.0.write_unaligned(result) };
    }
}

fn not_null<T>(place: *mut T, what: &str) -> Outcome<NonNull<T>> {
    NonNull::new(place).ok_or_else(|| Failure::argument(format_args!("the argument `{what}` is NULL")))
}

/// The bytes of a text.
///
/// # Safety
/// `text` is NULL, or points to bytes with a zero at their end that nobody changes while they are used.
unsafe fn bytes<'a>(text: *const c_char, what: &str) -> Outcome<&'a [u8]> {
    let text = not_null(text.cast_mut(), what)?;
    // SAFETY: zero-terminated, the caller says.
    Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_bytes())
}

/// A text in UTF-8.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text, what) }?;
    std::str::from_utf8(bytes)
        .map_err(|error| Failure::argument(format_args!("the argument `{what}` is not UTF-8: {error}")))
}

/// The name of a segment. A path may have any bytes.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn name(name: *const c_char) -> Outcome<SegmentName> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(name, "name") }?;
    if let Some(path) = bytes.strip_prefix(b"file://") {
        return Ok(SegmentName::file(OsStr::from_bytes(path))?);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { text(name, "name") }?.parse()?)
}

/// The same, or none where it is NULL.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn name_or_none(text: *const c_char) -> Outcome<Option<SegmentName>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { name(text) }.map(Some)
}

/// A struct that begins with its size as the caller knows it: fields that the caller does not know are zero.
///
/// # Safety
/// `given` is NULL, or points to as many readable bytes as its first field, a `u64`, says; any bytes are a valid `T`.
pub(crate) unsafe fn sized<T: Copy>(given: *const T, what: &str, least: usize) -> Outcome<T> {
    let given = not_null(given.cast_mut(), what)?.cast::<u8>();
    // SAFETY: the first field is readable, the caller says.
    let size = unsafe { given.cast::<u64>().read_unaligned() };
    let wrong = |why: &dyn Display| {
        Err(Failure::argument(format_args!(
            "the argument `{what}` has the size {size}: {why}; begin with its INIT"
        )))
    };
    let Ok(len) = usize::try_from(size) else { return wrong(&"that is no size") };
    if len < least || len > 1 << 16 {
        return wrong(&format_args!("{least} bytes are the least"));
    }
    // SAFETY: that many bytes are readable, the caller says.
    let bytes = unsafe { std::slice::from_raw_parts(given.as_ptr(), len) };
    let known = len.min(size_of::<T>());
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return wrong(&"it asks for something that this version of the library does not have");
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: at most `size_of::<T>()` bytes into a `T`, from another place; all other bytes are zero, and any bytes are a `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), known);
        Ok(value.assume_init())
    }
}

/// Where a description goes whose size the caller has set. Fields that the caller does not know are left out.
pub(crate) struct Description<T> {
    place: NonNull<T>,
    known: usize,
}

impl<T: Copy> Description<T> {
    /// # Safety
    /// `place` is NULL, or points to as many writable bytes as its first field, a `u64`, says, until this is gone.
    pub(crate) unsafe fn of(place: *mut T, what: &str) -> Outcome<Self> {
        let place = not_null(place, what)?;
        // SAFETY: the first field is readable, the caller says.
        let size = unsafe { place.cast::<u64>().read_unaligned() };
        if !(size_of::<u64>() as u64..=1 << 16).contains(&size) {
            return Err(Failure::argument(format_args!(
                "the argument `{what}` has the size {size}, which it cannot have; begin with its INIT"
            )));
        }
        let known = (size as usize).min(size_of::<T>());
        // SAFETY: that many bytes are writable, the caller says. The size stays.
        unsafe { place.cast::<u8>().add(size_of::<u64>()).write_bytes(0, size as usize - size_of::<u64>()) };
        Ok(Self { place, known })
    }

    /// Writes all but the size.
    pub(crate) fn put(self, value: &T) {
        let skip = size_of::<u64>();
        // SAFETY: `known` bytes are writable, and `value` has them, in another place.
        unsafe {
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>().add(skip),
                self.place.as_ptr().cast::<u8>().add(skip),
                self.known - skip,
            );
        }
    }
}

/// Options; NULL means the defaults.
///
/// # Safety
/// As [`sized`].
pub(crate) unsafe fn options(options: *const shm_options_t) -> Outcome<SegmentOptions> {
    const LEAST: usize = 40;
    const FLAGS: u32 = SHM_SPARSE | SHM_PREFAULT | SHM_HUGE_PAGES | SHM_LOCK_MEMORY | SHM_ANY_OWNER;
    if options.is_null() {
        return Ok(SegmentOptions::new());
    }
    // SAFETY: the caller's promise; the struct is made of numbers.
    let given = unsafe { sized(options, "options", LEAST) }?;
    const LIFETIMES: [(i32, Lifetime); 3] = [
        (SHM_LIFETIME_PERSISTENT, Lifetime::Persistent),
        (SHM_LIFETIME_LAST_DETACH, Lifetime::LastDetach),
        (SHM_LIFETIME_SCOPED, Lifetime::Scoped),
    ];
    const ACCESSES: [(i32, Access); 3] = [
        (SHM_ACCESS_READ_WRITE, Access::ReadWrite),
        (SHM_ACCESS_READ_ONLY, Access::ReadOnly),
        (SHM_ACCESS_COPY_ON_WRITE, Access::CopyOnWrite),
    ];
    let lifetime = choice("options.lifetime", given.lifetime, &LIFETIMES)?;
    let access = choice("options.access", given.access, &ACCESSES)?;
    if given.flags & !FLAGS != 0 {
        return Err(Failure::argument(format_args!(
            "`options.flags` is {:#x}, of which {FLAGS:#x} have a meaning",
            given.flags
        )));
    }
    let is = |flag| given.flags & flag != 0;
    let mut options = SegmentOptions::new()
        .lifetime(lifetime)
        .access(access)
        .sparse(is(SHM_SPARSE))
        .prefault(is(SHM_PREFAULT))
        .huge_pages(is(SHM_HUGE_PAGES))
        .lock_memory(is(SHM_LOCK_MEMORY))
        .any_owner(is(SHM_ANY_OWNER));
    if given.mode != 0 {
        options = options.mode(given.mode);
    }
    if given.alignment != 0 {
        options = options.align(size("options.alignment", given.alignment)?);
    }
    if given.reserve_max != 0 {
        options = options.reserve_max(size("options.reserve_max", given.reserve_max)?);
    }
    Ok(options)
}

/// The entry of a C enumeration.
pub(crate) fn choice<T: Copy>(what: &str, given: i32, choices: &[(i32, T)]) -> Outcome<T> {
    let found = choices.iter().find(|(number, _)| *number == given);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        Failure::argument(format_args!("the argument `{what}` is {given}, which has no meaning"))
    })
}

/// The directory of `file://` names; NULL means that of `shm://` names.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn directory<'a>(directory: *const c_char) -> Outcome<Option<&'a Path>> {
    if directory.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(directory, "directory") }?;
    let path = bytes.strip_prefix(b"file://").unwrap_or(bytes);
    Ok(Some(Path::new(OsStr::from_bytes(path))))
}

/// A duplicate of a descriptor, which stays the caller's.
pub(crate) fn descriptor(descriptor: i32) -> Outcome<OwnedFd> {
    // SAFETY: the call takes numbers and touches no memory; what is no descriptor is an error.
    let duplicate = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if duplicate < 0 {
        let what = format_args!("cannot use `descriptor`, which is {descriptor}");
        return Err(Failure::last_os_error(SHM_STATUS_INVALID_ARGUMENT, what));
    }
    // SAFETY: new, open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// Copies a text, and a zero byte, to a place of `capacity` bytes, which may be NULL if it has none.
///
/// # Safety
/// `place` is NULL, or points to that many writable bytes.
pub(crate) unsafe fn copy_text(text: &str, place: *mut c_char, capacity: u64, what: &str) -> Outcome {
    if capacity == 0 {
        return Ok(());
    }
    let place = not_null(place, what)?;
    if capacity <= text.len() as u64 {
        return Err(Failure::new(
            SHM_STATUS_LIMIT_EXCEEDED,
            format_args!("the argument `{what}` has {capacity} bytes, and {} are needed", text.len() + 1),
        ));
    }
    // SAFETY: `text.len() + 1` bytes are writable, and not those of the text.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), place.as_ptr().cast(), text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

/// A text into a place of `N` bytes, cut where it is too long, zero-terminated.
pub(crate) fn fixed_text<const N: usize>(text: &[u8]) -> [c_char; N] {
    let mut place = [0; N];
    place.iter_mut().take(N - 1).zip(text).for_each(|(to, from)| *to = *from as c_char);
    place
}

/// A number of bytes. A negative number that C turned into a huge one is named as such.
pub(crate) fn size(what: &str, bytes: u64) -> Outcome<usize> {
    match i64::try_from(bytes) {
        Ok(_) => Ok(bytes as usize),
        Err(_) => Err(Failure::argument(format_args!(
            "`{what}` is {bytes} ({} if it is signed), which is too large",
            bytes as i64
        ))),
    }
}

/// Element type, shape and order of a new array.
///
/// # Safety
/// `shape` is NULL, or points to `ndim` numbers; the record of `dtype` is NULL, or points to as many bytes as it says.
pub(crate) unsafe fn layout(
    dtype: shm_dtype_t,
    shape: *const i64,
    ndim: i32,
    order: shm_order_t,
) -> Outcome<ArrayLayout> {
    if !(0..=SHM_MAX_DIMENSIONS as i32).contains(&ndim) {
        return Err(Failure::argument(format_args!(
            "`ndim` is {ndim}; an array has 0 to {SHM_MAX_DIMENSIONS} dimensions"
        )));
    }
    let extents: Vec<usize> = (0..ndim as usize)
        .map(|i| {
            // SAFETY: there are that many numbers, the caller says.
            let extent = unsafe { not_null(shape.cast_mut(), "shape")?.add(i).read_unaligned() };
            usize::try_from(extent)
                .map_err(|_| Failure::argument(format_args!("`shape[{i}]` is {extent}; give 0 or more")))
        })
        .collect::<Outcome<_>>()?;
    // SAFETY: the caller's promise.
    let element = unsafe { element(dtype) }?;
    Ok(match order {
        SHM_ORDER_C => ArrayLayout::c_order(element, &extents)?,
        SHM_ORDER_F => ArrayLayout::f_order(element, &extents)?,
        other => {
            return Err(Failure::argument(format_args!(
                "`order` is {other}; give SHM_ORDER_C or SHM_ORDER_F"
            )));
        }
    })
}

/// An element type.
///
/// # Safety
/// The record is NULL, or points to as many bytes as the type says.
unsafe fn element(dtype: shm_dtype_t) -> Outcome<ElementType> {
    if dtype.lanes != 1 {
        return Err(Failure::argument(format_args!("`dtype.lanes` is {}; it is always 1", dtype.lanes)));
    }
    let record = match dtype.record_length {
        0 => &[][..],
        length => {
            let record = not_null(dtype.record.cast_mut(), "dtype.record")?.cast::<u8>();
            // SAFETY: that many bytes, the caller says.
            unsafe { std::slice::from_raw_parts(record.as_ptr(), length as usize) }
        }
    };
    let code = TypeCode { code: dtype.code, bits: dtype.bits, count: dtype.count, unit: dtype.unit };
    Ok(ElementType::from_type_code(code, record)?)
}
