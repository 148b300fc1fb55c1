//! Why a layout, a record description or a descriptor was refused.
//!
//! Each variant carries the values that the message needs. No variant is built, and nothing is formatted, while things go well.

use std::error::Error;
use std::fmt;

/// Why an [`ArrayLayout`](super::ArrayLayout), a [`Record`](super::Record) or the bytes of a descriptor were refused.
///
/// The message says which field, which value and which limit; the name of the array is for the caller to add.
///
/// # Examples
/// ```
/// use shm_core::layout::{ArrayLayout, ElementType, LayoutError};
///
/// let error = ArrayLayout::c_order(ElementType::F64, &[1 << 40, 1 << 40]).unwrap_err();
/// assert_eq!(error, LayoutError::TooLarge);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The descriptor has another length than its fields say, or is too short to have fields.
    DescriptorLength {
        /// The number of bytes that the fields ask for.
        expected: u64,
        /// The number of bytes that are there.
        found: u64,
    },
    /// A field of the descriptor holds a value that the format does not allow.
    DescriptorField {
        /// The field, as `FORMAT.md` calls it.
        field: &'static str,
        /// The value in it.
        found: u64,
        /// What it would have to be.
        expected: u64,
    },
    /// No element type has this code with this number of bits: a newer format, or not a descriptor at all.
    UnknownElement {
        /// The type code.
        code: u8,
        /// The number of bits.
        bits: u8,
    },
    /// The multiplier and the unit of a point or span of time do not go together.
    TimeUnit {
        /// How many of the unit one step is; at least 1, and 1 for generic time.
        multiplier: u32,
        /// The unit's number in the format, 0 to 13.
        unit: u32,
    },
    /// There are more dimensions than [`MAX_DIMENSIONS`](super::MAX_DIMENSIONS).
    TooManyDimensions {
        /// The number of dimensions.
        found: usize,
    },
    /// The shape and the strides have different numbers of dimensions.
    DimensionsDiffer {
        /// The number of extents in the shape.
        extents: usize,
        /// The number of strides.
        strides: usize,
    },
    /// The extents, the strides or the item size make for 2^63 bytes or elements, or more.
    TooLarge,
    /// Two elements would overlap: a stride is smaller than what the dimensions with smaller strides span.
    Overlap {
        /// The stride's absolute value, in bytes.
        stride: usize,
        /// The bytes that one step has to pass.
        span: usize,
    },
    /// Negative strides lead to before the first byte.
    BeforeStart {
        /// The offset of the element with all indices 0.
        origin: usize,
        /// How many bytes before it the first byte of the array lies.
        reach: usize,
    },
    /// The array ends behind the bytes that it was given.
    OutOfBounds {
        /// The bytes that the array needs, counted from its entry's offset.
        needed: u64,
        /// The bytes that there are.
        available: u64,
    },
    /// The array cannot grow along its first dimension.
    NotGrowable {
        /// Why not.
        reason: &'static str,
    },
    /// A record description breaks the grammar.
    RecordSyntax {
        /// The position in the description, in bytes.
        at: usize,
        /// What the grammar allows there.
        expected: &'static str,
    },
    /// A record is larger than the format allows.
    RecordLimit {
        /// What is too large.
        what: &'static str,
        /// The value.
        found: usize,
        /// The largest value allowed.
        limit: usize,
    },
    /// A field ends behind the end of its record.
    FieldOutOfBounds {
        /// The field's name.
        field: Box<str>,
        /// Where the field starts, in bytes.
        offset: usize,
        /// The field's length in bytes.
        len: usize,
        /// The record's size in bytes.
        record: usize,
    },
    /// A field, or the size, of an aligned record is not a multiple of the alignment.
    Misaligned {
        /// The field's name, or nothing when the record's size is meant.
        field: Option<Box<str>>,
        /// The offset or the size, in bytes.
        value: usize,
        /// The alignment, in bytes.
        alignment: usize,
    },
    /// Two fields of a record have the same name or title.
    NameTaken {
        /// The name or title.
        name: Box<str>,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use LayoutError::*;
        match self {
            DescriptorLength { expected, found } => {
                write!(f, "the array descriptor has {found} bytes where its fields ask for {expected}")
            }
            DescriptorField { field, found, expected } => {
                write!(f, "the array descriptor's field \"{field}\" is {found}, but must be {expected}")
            }
            UnknownElement { code, bits } => write!(
                f,
                "the element type with code {code} and {bits} bits is unknown; it may come from a newer version"
            ),
            TimeUnit { multiplier, unit } => write!(
                f,
                "{multiplier} times time unit {unit} is no unit of time: the unit must be 0 to 13, the multiplier at \
                 least 1, and 1 for the generic unit 0"
            ),
            TooManyDimensions { found } => {
                write!(f, "{found} dimensions are too many; the limit is {}", super::MAX_DIMENSIONS)
            }
            DimensionsDiffer { extents, strides } => {
                write!(f, "the shape has {extents} dimensions, but there are {strides} strides")
            }
            TooLarge => f.write_str("the array's size overflows: it must stay below 2^63 bytes and elements"),
            Overlap { stride, span } => write!(
                f,
                "elements overlap or interleave: one step of {stride} bytes does not pass the {span} bytes of the \
                 dimensions with smaller strides"
            ),
            BeforeStart { origin, reach } => write!(
                f,
                "negative strides reach {reach} bytes back from the origin, which is only {origin} bytes from the start"
            ),
            OutOfBounds { needed, available } => {
                write!(f, "the array needs {needed} bytes, but only {available} are there")
            }
            NotGrowable { reason } => write!(f, "the array cannot grow: {reason}"),
            RecordSyntax { at, expected } => {
                write!(f, "the record description is wrong at byte {at}: expected {expected}")
            }
            RecordLimit { what, found, limit } => {
                write!(f, "the record has {what} of {found}; the limit is {limit}")
            }
            FieldOutOfBounds { field, offset, len, record } => write!(
                f,
                "field {} of {len} bytes at offset {offset} does not fit a record of {record} bytes",
                Quoted(field)
            ),
            Misaligned { field: Some(field), value, alignment } => write!(
                f,
                "field {} of an aligned record is at offset {value}, which is no multiple of {alignment}",
                Quoted(field)
            ),
            Misaligned { field: None, value, alignment } => {
                write!(
                    f,
                    "the size of an aligned record, {value}, is no multiple of its alignment, {alignment}"
                )
            }
            NameTaken { name } => {
                write!(f, "two fields of the record have the name or title {}", Quoted(name))
            }
        }
    }
}

impl Error for LayoutError {}

/// A name from a foreign segment, fit for a message: in quotes, odd characters escaped, cut when it is long.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        match self.0.char_indices().nth(SHOWN) {
            None => write!(f, "\"{}\"", self.0.escape_debug()),
            Some((cut, _)) => write!(f, "\"{}…\"", self.0[..cut].escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cut() {
        assert_eq!(Quoted("a\n\"").to_string(), r#""a\n\"""#);
        assert_eq!(Quoted(&"é".repeat(65)).to_string(), format!("\"{}…\"", "é".repeat(64)));
        assert_eq!(Quoted(&"é".repeat(64)).to_string(), format!("\"{}\"", "é".repeat(64)));
    }

    #[test]
    fn messages_name_values_and_limits() {
        let text = LayoutError::OutOfBounds { needed: 80, available: 72 }.to_string();
        assert_eq!(text, "the array needs 80 bytes, but only 72 are there");
        let text = LayoutError::RecordLimit { what: "a nesting", found: 33, limit: 32 }.to_string();
        assert_eq!(text, "the record has a nesting of 33; the limit is 32");
    }
}
