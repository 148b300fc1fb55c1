//! What is behind every primitive's type: where its bytes are, and the check that they are what they are taken for.
//!
//! Every primitive begins at a multiple of 64 bytes, and its bytes 8 to 15 say what it is: the *identity*, a tag (`SH`, kind, version) in the
//! low half and a parameter of the kind (length of a value, number of parties, ...) in the high half. 0 means never used. What the other
//! bytes mean is each primitive's business, where they come from `placement`'s.

#![allow(unsafe_code, reason = "the bytes of a primitive are reached through a pointer into shared pages")]

use crate::error::{Error, ErrorKind};
use crate::placement::Placement;
use crate::primitive::Image;
use crate::value::Value;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::borrow::Cow;

/// A kind of primitive: its code in tags and tables of contents, its version, and what people call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub(crate) code: u8,
    pub(crate) version: u8,
    pub(crate) name: &'static str,
}

/// All kinds; the codes are part of the format (`PROTOCOL.md`).
impl Kind {
    pub(crate) const MUTEX: Kind = Kind::new(1, "mutex");
    pub(crate) const RECURSIVE_MUTEX: Kind = Kind::new(2, "recursive mutex");
    pub(crate) const PROCESS_MUTEX: Kind = Kind::new(3, "process mutex");
    pub(crate) const RW_LOCK: Kind = Kind::new(4, "reader-writer lock");
    pub(crate) const SEMAPHORE: Kind = Kind::new(5, "semaphore");
    pub(crate) const BOUNDED_SEMAPHORE: Kind = Kind::new(6, "bounded semaphore");
    pub(crate) const CONDVAR: Kind = Kind::new(7, "condition variable");
    pub(crate) const EVENT: Kind = Kind::new(8, "event");
    pub(crate) const BARRIER: Kind = Kind::new(9, "barrier");
    pub(crate) const ONCE: Kind = Kind::new(10, "once");
    pub(crate) const LATCH: Kind = Kind::new(11, "latch");
    pub(crate) const SEQUENCER: Kind = Kind::new(12, "sequencer");
    pub(crate) const BYTE_CHANNEL: Kind = Kind::new(13, "byte channel");
    pub(crate) const CHANNEL: Kind = Kind::new(14, "channel");

    const fn new(code: u8, name: &'static str) -> Kind {
        Kind { code, version: 1, name }
    }

    /// `SH`, kind, version.
    const fn tag(self) -> u32 {
        0x5348_0000 | (self.code as u32) << 8 | self.version as u32
    }

    /// What the identity field of such a primitive holds.
    pub(crate) const fn identity(self, parameter: u32) -> u64 {
        self.tag() as u64 | (parameter as u64) << 32
    }

    /// The parameter in an identity, if it is one of this kind and version.
    pub(crate) fn parameter(self, identity: u64) -> Option<u32> {
        (identity as u32 == self.tag()).then_some((identity >> 32) as u32)
    }

    /// "lock the mutex", for messages.
    pub(crate) fn operation(self, verb: &str) -> Cow<'static, str> {
        format!("{verb} the {}", self.name).into()
    }
}

/// The fixed part of a primitive in shared pages.
///
/// Implementors are `repr(C)` or `repr(transparent)`, aligned to 64 bytes, consist of atomics alone (any bytes are valid, any process may write
/// them at any time), and have the identity at offset 8.
pub(crate) trait Raw {
    const KIND: Kind;

    fn identity(&self) -> &AtomicU64;
}

/// A pointer to a primitive whose bytes stay mapped while it exists.
pub(crate) struct Handle<R> {
    place: Placement,
    raw: PhantomData<R>,
}

// SAFETY: the handle is a pointer to pages that stay mapped while it (or another handle, or its segment) exists, whichever thread uses it; what
// it lends is atomics (`Raw`), and what lies behind them is reached through raw pointers by code that argues for itself.
unsafe impl<R> Send for Handle<R> {}
// SAFETY: as above.
unsafe impl<R> Sync for Handle<R> {}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), raw: PhantomData }
    }
}

impl<R: Raw> Handle<R> {
    /// The primitive at `place`. `zero` is the identity that never used (zero) bytes get; without one they are refused.
    pub(crate) fn open(place: Placement, verb: &str, zero: Option<u64>) -> Result<Self, Error> {
        const { assert!(align_of::<R>() == 64) };
        let error = |kind| Error::new(R::KIND.operation(verb), kind).on(place.name());
        if !place.address().addr().get().is_multiple_of(align_of::<R>()) {
            return Err(error(ErrorKind::Misaligned).detail(format!("the address is {:p}", place.address())));
        }
        if place.len() < size_of::<R>() {
            return Err(error(ErrorKind::Mismatch).detail(format!(
                "there are {} bytes, and a {} has {} at least",
                place.len(),
                R::KIND.name,
                size_of::<R>()
            )));
        }
        let handle = Self { place, raw: PhantomData };
        if let Some(identity) = zero {
            // Whoever loses this race is told by the comparison below.
            let _ = handle.raw().identity().compare_exchange(0, identity, Relaxed, Relaxed);
        }
        match handle.parameter() {
            Some(_) => Ok(handle),
            None => {
                let detail = match handle.identity() {
                    0 => "the bytes are zero: nobody has made it yet".to_owned(),
                    found => format!("the bytes say {found:#x}"),
                };
                Err(handle.error(verb, ErrorKind::Mismatch).detail(detail))
            }
        }
    }

    /// The lock at `place` of a value, and what the value's length is. Zero bytes are such a lock, never used.
    pub(crate) fn open_guarding<T: ?Sized + Value>(
        place: Placement,
        verb: &str,
    ) -> Result<(Self, T::Length), Error> {
        let room = T::filling(place.len().saturating_sub(size_of::<R>()));
        let handle = Self::open(place, verb, Some(Self::identity_guarding::<T>(room)))?;
        let guards = handle.parameter().unwrap_or(0);
        let length = T::filling(guards as usize);
        let size = size_of::<R>() + T::size(length);
        if handle.identity() != Self::identity_guarding::<T>(length) || handle.len() < size {
            return Err(handle.error(verb, ErrorKind::Mismatch).detail(format!(
                "it guards a value of {guards} bytes (in {} bytes with the lock), not of {}",
                handle.len(),
                T::size(length),
            )));
        }
        Ok((handle, length))
    }

    /// The identity of a lock of such a value.
    #[inline(always)]
    pub(crate) fn identity_guarding<T: ?Sized + Value>(length: T::Length) -> u64 {
        R::KIND.identity(T::size(length) as u32)
    }

    /// The bytes of a new lock of a value.
    pub(crate) fn image_guarding<T: ?Sized + Value>(initial: &T::Initial) -> Result<Image, Error> {
        let value = T::size(T::length(initial));
        let (Ok(parameter), Some(size)) = (u32::try_from(value), size_of::<R>().checked_add(value)) else {
            return Err(Error::new(R::KIND.operation("create"), ErrorKind::InvalidArgument)
                .detail(format!("it guards a value of less than 4 GiB, not of {value} bytes")));
        };
        Ok(Image::new(R::KIND, parameter, size).with(size_of::<R>(), T::first_bytes(initial)))
    }

    /// The identity as it stands there now.
    #[inline(always)]
    pub(crate) fn identity(&self) -> u64 {
        self.raw().identity().load(Relaxed)
    }

    /// The parameter as it stands there now; none if the bytes are no such primitive (any more).
    pub(crate) fn parameter(&self) -> Option<u32> {
        R::KIND.parameter(self.identity())
    }

    #[inline(always)]
    pub(crate) fn raw(&self) -> &R {
        // SAFETY: the placement is at least `size_of::<R>()` bytes and aligned (checked in `open`), mapped readable and writable while the handle
        // lives (the contract of `Placement`), and `R` consists of atomics for which any bytes are valid.
        unsafe { self.place.address().cast().as_ref() }
    }

    /// The bytes behind the fixed part: `len() - size_of::<R>()` of them.
    #[inline(always)]
    pub(crate) fn tail(&self) -> NonNull<u8> {
        // SAFETY: the placement is one mapping of at least `size_of::<R>()` bytes (checked in `open`).
        unsafe { self.place.address().add(size_of::<R>()) }
    }

    /// The bytes from `offset` on, of which there are `len` (less than the placement has: a defect of the caller, refused with a panic).
    #[inline(always)]
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.place.len()));
        // SAFETY: within the placement, which is one mapping.
        unsafe { self.place.address().add(offset) }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.place.len()
    }

    /// The name of the object, for messages.
    pub(crate) fn name(&self) -> Option<&str> {
        self.place.name()
    }

    /// An error of `verb` ("lock") on this object.
    #[cold]
    pub(crate) fn error(&self, verb: &str, kind: ErrorKind) -> Error {
        Error::new(R::KIND.operation(verb), kind).on(self.name())
    }
}
