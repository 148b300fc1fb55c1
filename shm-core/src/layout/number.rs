//! The numbers that elements are made of, with one table for their codes, sizes and names.
//!
//! One-byte numbers have no byte order and stand in [`ElementType`](super::ElementType) itself; so what is here always has one
//! ([`Number`]), or belongs to one kind of CPU and never changes ([`LongDouble`]).

use std::fmt;

/// In which order the bytes of each number lie in memory.
///
/// # Examples
/// ```
/// use shm_core::layout::{ByteOrder, ElementType};
///
/// assert_eq!(ElementType::I32.byte_order(), Some(ByteOrder::Little));
/// assert_eq!(ElementType::U8.byte_order(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The least significant byte comes first: native on x86-64 and aarch64.
    Little,
    /// The most significant byte comes first: network order.
    Big,
}

impl ByteOrder {
    /// `<` or `>`, as in record descriptions and in NumPy.
    pub(crate) fn sign(self) -> char {
        match self {
            ByteOrder::Little => '<',
            ByteOrder::Big => '>',
        }
    }
}

/// A number of several bytes, whose byte order has to be told.
///
/// # Examples
/// ```
/// use shm_core::layout::{ByteOrder, ElementType, Number};
///
/// let network = ElementType::Number(Number::U32, ByteOrder::Big);
/// assert_eq!(network.to_string(), "u32 (big-endian)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Number {
    /// A signed integer of 2 bytes.
    I16,
    /// A signed integer of 4 bytes.
    I32,
    /// A signed integer of 8 bytes.
    I64,
    /// An unsigned integer of 2 bytes.
    U16,
    /// An unsigned integer of 4 bytes.
    U32,
    /// An unsigned integer of 8 bytes.
    U64,
    /// An IEEE float of 2 bytes.
    F16,
    /// An IEEE float of 4 bytes.
    F32,
    /// An IEEE float of 8 bytes.
    F64,
    /// A float of 2 bytes with the exponent of an `f32` (bfloat16).
    BF16,
    /// Real and imaginary part, an `f32` each: 8 bytes, each part in the byte order.
    C64,
    /// Real and imaginary part, an `f64` each: 16 bytes, each part in the byte order.
    C128,
}

/// One row of the table: everything that differs between the numbers.
struct Row {
    number: Number,
    code: u8,
    bytes: usize,
    alignment: usize,
    grammar: &'static str,
    name: &'static str,
}

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    Row { number: Number::I16,  code: 0, bytes: 2,  alignment: 2, grammar: "i2",  name: "i16" },
    Row { number: Number::I32,  code: 0, bytes: 4,  alignment: 4, grammar: "i4",  name: "i32" },
    Row { number: Number::I64,  code: 0, bytes: 8,  alignment: 8, grammar: "i8",  name: "i64" },
    Row { number: Number::U16,  code: 1, bytes: 2,  alignment: 2, grammar: "u2",  name: "u16" },
    Row { number: Number::U32,  code: 1, bytes: 4,  alignment: 4, grammar: "u4",  name: "u32" },
    Row { number: Number::U64,  code: 1, bytes: 8,  alignment: 8, grammar: "u8",  name: "u64" },
    Row { number: Number::F16,  code: 2, bytes: 2,  alignment: 2, grammar: "f2",  name: "f16" },
    Row { number: Number::F32,  code: 2, bytes: 4,  alignment: 4, grammar: "f4",  name: "f32" },
    Row { number: Number::F64,  code: 2, bytes: 8,  alignment: 8, grammar: "f8",  name: "f64" },
    Row { number: Number::BF16, code: 4, bytes: 2,  alignment: 2, grammar: "b2",  name: "bf16" },
    Row { number: Number::C64,  code: 5, bytes: 8,  alignment: 4, grammar: "c8",  name: "complex64" },
    Row { number: Number::C128, code: 5, bytes: 16, alignment: 8, grammar: "c16", name: "complex128" },
];

impl Number {
    /// All numbers, in the order of the table.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Number> {
        ROWS.iter().map(|row| row.number)
    }

    fn row(self) -> &'static Row {
        // The rows stand in the order of the variants; a test compares them.
        &ROWS[self as usize]
    }

    /// Returns the size in bytes: 2, 4, 8 or 16.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Number;
    ///
    /// assert_eq!(Number::BF16.size(), 2);
    /// assert_eq!(Number::C128.size(), 16);
    /// ```
    pub fn size(self) -> usize {
        self.row().bytes
    }

    /// Returns the alignment in bytes that C gives the number: its size, or that of one part of a complex number.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Number;
    ///
    /// assert_eq!(Number::F64.alignment(), 8);
    /// assert_eq!(Number::C64.alignment(), 4);
    /// ```
    pub fn alignment(self) -> usize {
        self.row().alignment
    }

    /// Returns DLPack's (code, bits) of the little-endian number.
    pub(crate) fn code(self) -> (u8, u8) {
        (self.row().code, (self.row().bytes * 8) as u8)
    }

    /// Finds the number for DLPack's (code, bits).
    pub(crate) fn from_code(code: u8, bits: u8) -> Option<Self> {
        ROWS.iter().find(|row| row.number.code() == (code, bits)).map(|row| row.number)
    }

    /// Returns the number's spelling in record descriptions, without the byte order.
    pub(crate) fn grammar(self) -> &'static str {
        self.row().grammar
    }

    /// Finds the number that has this spelling in record descriptions.
    pub(crate) fn from_grammar(kind: u8, bytes: u64) -> Option<Self> {
        let row = ROWS.iter().find(|row| row.grammar.as_bytes()[0] == kind && row.bytes as u64 == bytes)?;
        Some(row.number)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// C's `long double`, which is another type on every CPU, and the complex number of two of it.
///
/// Rust has no such type: these elements can be carried, described and copied, but not computed with.
///
/// # Examples
/// ```
/// use shm_core::layout::{ElementType, LongDouble};
///
/// assert_eq!(ElementType::LongDouble(LongDouble::X87).item_size(), 16);
/// assert_eq!(ElementType::LongDouble(LongDouble::BinaryComplex).to_string(), "complex long double (binary128)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LongDouble {
    /// The 80-bit float of the x87 in 16 bytes: `long double` on x86-64.
    X87,
    /// Two of [`LongDouble::X87`].
    X87Complex,
    /// IEEE binary128: `long double` on aarch64.
    Binary,
    /// Two of [`LongDouble::Binary`].
    BinaryComplex,
}

impl LongDouble {
    pub(crate) const ALL: [LongDouble; 4] =
        [LongDouble::X87, LongDouble::X87Complex, LongDouble::Binary, LongDouble::BinaryComplex];

    /// Returns the size in bytes: 16, or 32 for complex numbers.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::LongDouble;
    ///
    /// assert_eq!(LongDouble::X87.size(), 16);
    /// assert_eq!(LongDouble::X87Complex.size(), 32);
    /// ```
    pub fn size(self) -> usize {
        match self {
            LongDouble::X87 | LongDouble::Binary => 16,
            LongDouble::X87Complex | LongDouble::BinaryComplex => 32,
        }
    }

    /// Returns the format's (code, bits); 256 bits do not fit a byte and are written as 0.
    pub(crate) fn code(self) -> (u8, u8) {
        match self {
            LongDouble::X87 => (169, 128),
            LongDouble::X87Complex => (170, 0),
            LongDouble::Binary => (171, 128),
            LongDouble::BinaryComplex => (172, 0),
        }
    }

    pub(crate) fn from_code(code: u8, bits: u8) -> Option<Self> {
        LongDouble::ALL.into_iter().find(|long| long.code() == (code, bits))
    }

    /// Returns the spelling in record descriptions, without the byte order.
    pub(crate) fn grammar(self) -> &'static str {
        match self {
            LongDouble::X87 => "x16",
            LongDouble::X87Complex => "x32",
            LongDouble::Binary => "q16",
            LongDouble::BinaryComplex => "q32",
        }
    }

    pub(crate) fn from_grammar(kind: u8, bytes: u64) -> Option<Self> {
        LongDouble::ALL
            .into_iter()
            .find(|long| long.grammar().as_bytes()[0] == kind && long.size() as u64 == bytes)
    }
}

impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LongDouble::X87 => "long double (x87)",
            LongDouble::X87Complex => "complex long double (x87)",
            LongDouble::Binary => "long double (binary128)",
            LongDouble::BinaryComplex => "complex long double (binary128)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.number as usize, index);
        }
        assert_eq!(Number::C128 as usize, ROWS.len() - 1);
    }

    #[test]
    fn codes_and_spellings_lead_back() {
        for number in Number::all() {
            let (code, bits) = number.code();
            assert_eq!(Number::from_code(code, bits), Some(number));
            let (kind, bytes) = number.grammar().split_at(1);
            assert_eq!(Number::from_grammar(kind.as_bytes()[0], bytes.parse().unwrap()), Some(number));
            assert_eq!(bytes.parse(), Ok(number.size()));
        }
        for long in LongDouble::ALL {
            let (code, bits) = long.code();
            assert_eq!(LongDouble::from_code(code, bits), Some(long));
            let (kind, bytes) = long.grammar().split_at(1);
            assert_eq!(LongDouble::from_grammar(kind.as_bytes()[0], bytes.parse().unwrap()), Some(long));
        }
        assert_eq!(Number::from_code(0, 8), None);
        assert_eq!(Number::from_grammar(b'f', 16), None);
    }
}
