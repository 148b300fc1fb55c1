//! What the elements of an array are and where each of them lies: pure arithmetic, no pointers, no system calls.
//!
//! - [`ElementType`]: what one element is (`f64`, `i32 (big-endian)`, `text[5]`, a record, …)
//! - [`Record`], [`Field`]: the description of structured elements, with its own small grammar
//! - [`ArrayLayout`]: element type, shape, strides in bytes and origin, checked once and correct from then on
//! - [`descriptor`]: the bytes in which a segment stores a layout (`FORMAT.md`, section 3)
//! - [`LayoutError`]: why a layout or a description was refused
//!
//! Everything that comes from a segment passes through here before the first view of the data is made, so every
//! function takes its input for hostile: nothing panics, and no sum or product wraps.
//!
//! What Rust type goes with an element type is said in [`crate::element`]; the bytes themselves belong to the segment.
//!
//! # Examples
//! ```
//! use shm_core::layout::{ArrayLayout, ElementType, descriptor};
//!
//! let image = ArrayLayout::c_order(ElementType::F32, &[480, 640])?;
//! assert_eq!(image.strides_bytes(), [2560, 4]);
//! assert_eq!(image.offset_of(&[1, 2]), Some(2568));
//!
//! let bytes = descriptor::encode(&image);
//! assert_eq!(descriptor::decode(&bytes, 480 * 2560)?, image);
//! # Ok::<(), shm_core::layout::LayoutError>(())
//! ```

pub mod descriptor;
mod dims;
mod dtype;
mod error;
mod grammar;
mod number;
mod record;
mod shape;
mod time_unit;

pub use dtype::{ElementType, TypeCode};
pub use error::LayoutError;
pub use number::{ByteOrder, LongDouble, Number};
pub use record::{Field, Record};
pub use shape::ArrayLayout;
pub use time_unit::{TimeBase, TimeUnit};

/// The largest number of dimensions of an array or of a sub-array in a record: 64, as in NumPy 2.
///
/// # Examples
/// ```
/// use shm_core::layout::{ArrayLayout, ElementType, MAX_DIMENSIONS};
///
/// assert!(ArrayLayout::c_order(ElementType::F64, &[1; MAX_DIMENSIONS]).is_ok());
/// assert!(ArrayLayout::c_order(ElementType::F64, &[1; MAX_DIMENSIONS + 1]).is_err());
/// ```
pub const MAX_DIMENSIONS: usize = 64;

/// The largest number of bytes that anything described here may span: below 2^63, so that every offset fits `isize`.
pub(crate) const MAX_BYTES: usize = isize::MAX as usize;

// Counts of 32 bits times 4 bytes are computed without a check, and offsets of 64 bits are kept in `usize`.
const _: () = assert!(usize::BITS == 64, "shm-core needs a 64-bit target");
