//! What a lock can guard: a plain value, or bytes whose number is known at run time only.
//!
//! The locks reach their value through this trait, and so need not know which of the two it is. A lock of bytes is what languages use that know no
//! Rust types: `ByteMutex` and a `Mutex<T>` of as many bytes are the same lock in shared pages.

#![allow(unsafe_code, reason = "the trait is unsafe: locks lend what it says lies in shared pages")]

use bytemuck::Pod;
use core::fmt;
use core::ptr::NonNull;

/// A value in shared pages, behind a lock: any [`Pod`](bytemuck::Pod) type that is [`Send`], or `[u8]` (in a [`ByteMutex`](crate::ByteMutex) or
/// its kin).
///
/// ```
/// use shm_sync::{ByteMutex, Mutex, MutexGuard, Primitive, Value};
///
/// fn locked<T: ?Sized + Value>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, shm_sync::Error> {
///     Ok(mutex.lock()?)
/// }
/// *locked(&Mutex::anonymous(1u64)?)? += 1;
/// locked(&*ByteMutex::anonymous(24)?)?[23] = 7;
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// # Safety
/// Any `size(length)` bytes at an address that is a multiple of 64 are a valid value, to which [`at`](Self::at) gives the pointer.
pub unsafe trait Value: Send {
    /// What a new one begins with.
    type Initial;
    /// What has to be known about it besides its type.
    type Length: Copy + Send + Sync + fmt::Debug;

    /// The length of a new one.
    fn length(initial: &Self::Initial) -> Self::Length;

    /// The first bytes of a new one; the others are zero.
    fn first_bytes(initial: &Self::Initial) -> &[u8];

    /// The length of the one that fills this many bytes, as far as that is open.
    fn filling(bytes: usize) -> Self::Length;

    /// How many bytes it has.
    fn size(length: Self::Length) -> usize;

    /// The pointer to the one at `place`.
    fn at(place: NonNull<u8>, length: Self::Length) -> NonNull<Self>;
}

// SAFETY: any bytes are a `Pod`; the locks check at compile time that its alignment is at most 64.
unsafe impl<T: Pod + Send> Value for T {
    type Initial = T;
    type Length = ();

    fn length(_: &T) {}

    fn first_bytes(initial: &T) -> &[u8] {
        bytemuck::bytes_of(initial)
    }

    #[inline(always)]
    fn filling(_: usize) {}

    #[inline(always)]
    fn size((): ()) -> usize {
        const {
            assert!(align_of::<T>() <= 64, "the value's alignment is at most that of the lock, 64");
            assert!(size_of::<T>() <= u32::MAX as usize, "the value is smaller than 4 GiB");
        }
        size_of::<T>()
    }

    #[inline(always)]
    fn at(place: NonNull<u8>, (): ()) -> NonNull<T> {
        place.cast()
    }
}

// SAFETY: any bytes are bytes, wherever they lie.
unsafe impl Value for [u8] {
    type Initial = usize;
    type Length = usize;

    fn length(initial: &usize) -> usize {
        *initial
    }

    fn first_bytes(_: &usize) -> &[u8] {
        &[]
    }

    #[inline(always)]
    fn filling(bytes: usize) -> usize {
        bytes.min(u32::MAX as usize)
    }

    #[inline(always)]
    fn size(length: usize) -> usize {
        length
    }

    #[inline(always)]
    fn at(place: NonNull<u8>, length: usize) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(place, length)
    }
}
