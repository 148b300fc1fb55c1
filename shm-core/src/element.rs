//! Which Rust types may be elements of a shared array: the marker trait [`Element`] and its implementations.
//!
//! - numbers: `i8` to `i64`, `u8` to `u64`, `f32`, `f64`, `Complex<f32>`, `Complex<f64>`, and with the feature `half`
//!   `f16` and `bf16`
//! - [`Bool`]: a truth value for which any byte is valid
//! - [`FixedBytes`], [`FixedText`]: bytes and text of fixed length
//! - [`DateTime`], [`TimeSpan`]: time in the units of [`mod@unit`]
//! - [`BigEndian`]: a number with its bytes in network order
//! - [`record!`](crate::record!): structs of the above
//!
//! What an element type is in the format, without a Rust type, is said in [`crate::layout`].
//!
//! This file holds unsafe code because `Element` and bytemuck's `Pod` and `Zeroable` are promises that only the author of a
//! type can make. All of them for this crate's types stand here; the types themselves, in the files of the folder `element`,
//! are safe code. The macro `record!` makes them for the structs that it defines, after checking what they need.
#![allow(
    unsafe_code,
    reason = "implementing Element, Pod and Zeroable is a promise about the bits of a type"
)]

mod big_endian;
mod boolean;
mod fixed;
mod record;
mod time;

use bytemuck::{Pod, Zeroable};
use num_complex::Complex;

pub use big_endian::{BigEndian, SwapBytes};
pub use boolean::Bool;
pub use fixed::{FixedBytes, FixedError, FixedText};
pub use record::RecordField;
#[doc(hidden)]
pub use record::{OnceBox, bytemuck, describe, field, size_and_align};
pub use time::{DateTime, TimeSpan, Unit, unit};

use crate::layout::{ByteOrder, ElementType};

// The format's native numbers are little-endian, and the implementations below take them as they are.
const _: () = assert!(cfg!(target_endian = "little"), "shm-core needs a little-endian target");

/// A type whose values may lie in shared pages, where any other program can read and write their bytes.
///
/// # Safety
/// Whoever implements this promises, besides what [`Pod`] asks (any bits are a valid value, no padding, no references,
/// `repr(C)` or `repr(transparent)`):
///
/// - the type holds nothing that means something in one process only: no pointers, no descriptors, no thread ids;
/// - its size is the same on every platform (so no `usize`), and it is [`item_size`](ElementType::item_size) of
///   [`element_type`](Element::element_type);
/// - its alignment is [`alignment`](ElementType::alignment) of `element_type`, or smaller;
/// - `element_type` describes its bytes, and returns an equal value each time.
///
/// Structs need no `unsafe` of yours: [`record!`](crate::record!) checks and implements all this.
///
/// # Examples
/// ```
/// use shm_core::element::{DateTime, Element, FixedText, unit};
///
/// assert_eq!(f64::element_type().to_string(), "f64");
/// assert_eq!(FixedText::<5>::element_type().to_string(), "text[5]");
/// assert_eq!(DateTime::<unit::Nanosecond>::element_type().to_string(), "datetime[ns]");
/// ```
///
/// Types whose bits may be invalid, or that lead out of the shared pages, are no elements:
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<String>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<Vec<f64>>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<&'static f64>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<*const f64>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<bool>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<char>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: shm_core::element::Element>() {}
/// shared::<usize>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a shared array",
    note = "elements are numbers, `Bool` (not `bool`), `FixedBytes`, `FixedText`, `DateTime`, `TimeSpan`, `BigEndian` and the \
            structs that `shm_core::record!` defines; `usize` and `isize` differ between platforms: use `u64` and `i64`"
)]
pub unsafe trait Element: Pod + Send + Sync {
    /// Returns the description of this type that a segment stores.
    ///
    /// # Examples
    /// ```
    /// use shm_core::{element::Element, layout::ElementType};
    ///
    /// assert_eq!(u32::element_type(), ElementType::U32);
    /// ```
    fn element_type() -> ElementType;
}

/// Implements [`Element`] for numbers that the format has as they are.
macro_rules! numbers {
    ($($type:ty => $element:expr),+ $(,)?) => {$(
        // SAFETY: a plain number of fixed size, without padding, in the CPU's byte order, which is little-endian (asserted
        // above); a test compares size and alignment with those of the description.
        unsafe impl Element for $type {
            fn element_type() -> ElementType {
                $element
            }
        }
    )+};
}

numbers! {
    i8 => ElementType::I8,
    i16 => ElementType::I16,
    i32 => ElementType::I32,
    i64 => ElementType::I64,
    u8 => ElementType::U8,
    u16 => ElementType::U16,
    u32 => ElementType::U32,
    u64 => ElementType::U64,
    f32 => ElementType::F32,
    f64 => ElementType::F64,
    Complex<f32> => ElementType::C64,
    Complex<f64> => ElementType::C128,
}

#[cfg(feature = "half")]
numbers! {
    half::f16 => ElementType::F16,
    half::bf16 => ElementType::BF16,
}

// SAFETY: `Bool` is a transparent `u8`, and a `u8` may be zero.
unsafe impl Zeroable for Bool {}
// SAFETY: `Bool` is a transparent `u8`: any bits are valid (anything but 0 means true), no padding, `Copy` and `'static`.
unsafe impl Pod for Bool {}
// SAFETY: one byte, described as the boolean of one byte that has the same meaning.
unsafe impl Element for Bool {
    fn element_type() -> ElementType {
        ElementType::Bool
    }
}

// SAFETY: `FixedBytes` is a transparent array of `u8`, which may be zero.
unsafe impl<const N: usize> Zeroable for FixedBytes<N> {}
// SAFETY: a transparent array of `u8`: any bits are valid, no padding, `Copy` and `'static`.
unsafe impl<const N: usize> Pod for FixedBytes<N> {}
// SAFETY: `N` bytes of alignment 1, described as `N` fixed bytes.
unsafe impl<const N: usize> Element for FixedBytes<N> {
    fn element_type() -> ElementType {
        ElementType::Bytes(const { fixed::count(N) })
    }
}

// SAFETY: `FixedText` is a transparent array of `u32`, which may be zero.
unsafe impl<const N: usize> Zeroable for FixedText<N> {}
// SAFETY: a transparent array of `u32`: any bits are valid (what is no code point is reported when it is read as text), no
// padding, `Copy` and `'static`.
unsafe impl<const N: usize> Pod for FixedText<N> {}
// SAFETY: `N` code points of 4 bytes and alignment 4 in little-endian order, described as such.
unsafe impl<const N: usize> Element for FixedText<N> {
    fn element_type() -> ElementType {
        ElementType::Text(const { fixed::count(N) }, ByteOrder::Little)
    }
}

/// Implements the three traits for a transparent `i64` with a unit.
macro_rules! times {
    ($($type:ident),+) => {$(
        // SAFETY: a transparent `i64`, which may be zero, and a marker of size 0.
        unsafe impl<U: Unit> Zeroable for $type<U> {}
        // SAFETY: a transparent `i64` and a marker of size 0 and alignment 1: any bits are valid, no padding, `Copy`, and
        // `'static` because `Unit` is.
        unsafe impl<U: Unit> Pod for $type<U> {}
        // SAFETY: 8 bytes of alignment 8 in little-endian order, described with the unit that is part of the type.
        unsafe impl<U: Unit> Element for $type<U> {
            fn element_type() -> ElementType {
                ElementType::$type(U::UNIT, ByteOrder::Little)
            }
        }
    )+};
}

times!(DateTime, TimeSpan);

// SAFETY: `BigEndian` is a transparent `T`, and an `Element` may be zero.
unsafe impl<T: SwapBytes> Zeroable for BigEndian<T> {}
// SAFETY: a transparent `T`, and `T` is `Pod`.
unsafe impl<T: SwapBytes> Pod for BigEndian<T> {}
// SAFETY: `T` with the bytes of each of its numbers reversed, which changes neither size nor alignment, described as such. The
// types that `SwapBytes` is implemented for (it is sealed) all have a byte order, and `BigEndian` is not among them.
unsafe impl<T: SwapBytes> Element for BigEndian<T> {
    fn element_type() -> ElementType {
        T::element_type().with_byte_order(ByteOrder::Big)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Element>(name: &str) {
        let element = T::element_type();
        assert_eq!(element.to_string(), name);
        assert_eq!(element.item_size(), size_of::<T>(), "{name}");
        assert_eq!(element.alignment(), align_of::<T>(), "{name}");
        let zeros = T::zeroed();
        assert!(::bytemuck::bytes_of(&zeros).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn sizes_and_alignments_are_those_of_the_description() {
        check::<i8>("i8");
        check::<i16>("i16");
        check::<i32>("i32");
        check::<i64>("i64");
        check::<u8>("u8");
        check::<u16>("u16");
        check::<u32>("u32");
        check::<u64>("u64");
        check::<f32>("f32");
        check::<f64>("f64");
        check::<Complex<f32>>("complex64");
        check::<Complex<f64>>("complex128");
        #[cfg(feature = "half")]
        {
            check::<half::f16>("f16");
            check::<half::bf16>("bf16");
            check::<BigEndian<half::f16>>("f16 (big-endian)");
            check::<BigEndian<half::bf16>>("bf16 (big-endian)");
        }
        check::<Bool>("bool");
        check::<FixedBytes<0>>("bytes[0]");
        check::<FixedBytes<10>>("bytes[10]");
        check::<FixedText<0>>("text[0]");
        check::<FixedText<5>>("text[5]");
        check::<DateTime<unit::Nanosecond>>("datetime[ns]");
        check::<TimeSpan<unit::Times<25, unit::Second>>>("timespan[25s]");
        check::<BigEndian<u16>>("u16 (big-endian)");
        check::<BigEndian<f64>>("f64 (big-endian)");
        check::<BigEndian<Complex<f64>>>("complex128 (big-endian)");
        check::<BigEndian<FixedText<3>>>("text[3] (big-endian)");
        check::<BigEndian<DateTime<unit::Day>>>("datetime[D] (big-endian)");
        check::<BigEndian<TimeSpan<unit::Generic>>>("timespan[generic] (big-endian)");
    }
}
