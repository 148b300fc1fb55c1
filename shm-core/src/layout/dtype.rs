//! What one element of an array is: [`ElementType`], its size, its name for people and its codes in the format.
//!
//! The variants are cut so that a value which cannot be written down in `FORMAT.md` (section 3.2) cannot be built either:
//! one-byte numbers have no byte order, times have a valid unit, records were checked when they were made.

use std::fmt;
use std::sync::Arc;

use super::error::{LayoutError, Quoted};
use super::number::{ByteOrder, LongDouble, Number};
use super::record::Record;
use super::time_unit::{TimeBase, TimeUnit};

/// What one element of an array is.
///
/// Cloning is cheap: a record is shared, everything else is a few bytes. Two types are equal when the format spells them
/// alike; [`is_compatible_with`](ElementType::is_compatible_with) is the milder question whether the bytes mean the same.
///
/// # Examples
/// ```
/// use shm_core::layout::{ByteOrder, ElementType, TimeBase, TimeUnit};
///
/// assert_eq!(ElementType::F64.to_string(), "f64");
/// assert_eq!(ElementType::I32.with_byte_order(ByteOrder::Big).to_string(), "i32 (big-endian)");
/// assert_eq!(ElementType::Text(5, ByteOrder::Little).item_size(), 20);
///
/// let step = TimeUnit::new(25, TimeBase::Second).unwrap();
/// assert_eq!(ElementType::DateTime(step, ByteOrder::Little).to_string(), "datetime[25s]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// A truth value in one byte: 0 is false, anything else is true.
    Bool,
    /// A signed integer of one byte.
    I8,
    /// An unsigned integer of one byte.
    U8,
    /// A number of several bytes. The constants [`ElementType::I16`] to [`ElementType::C128`] are the little-endian ones.
    Number(Number, ByteOrder),
    /// C's `long double` of one kind of CPU; [`ElementType::long_double`] is the one of this CPU.
    LongDouble(LongDouble),
    /// So many bytes, padded with zero bytes (NumPy's `S`).
    Bytes(u32),
    /// So many code points of 4 bytes each, padded with zeros (NumPy's `U`).
    Text(u32, ByteOrder),
    /// A point in time, counted from 1970-01-01T00:00 in steps of the unit; `i64::MIN` is not-a-time.
    DateTime(TimeUnit, ByteOrder),
    /// A span of time, counted in steps of the unit; `i64::MIN` is not-a-time.
    TimeSpan(TimeUnit, ByteOrder),
    /// So many bytes without a meaning of their own (NumPy's `V`).
    Opaque(u32),
    /// Named fields at fixed offsets.
    Record(Arc<Record>),
}

/// The numbers by which a descriptor names an element type (`FORMAT.md`, section 3.2).
///
/// `code` and `bits` are DLPack's where `code` is below 128. A record needs its description besides.
///
/// # Examples
/// ```
/// use shm_core::layout::{ElementType, TypeCode};
///
/// let code = ElementType::Bytes(10).type_code();
/// assert_eq!(code, TypeCode { code: 160, bits: 8, count: 10, unit: 0 });
/// assert_eq!(ElementType::from_type_code(code, b"")?, ElementType::Bytes(10));
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeCode {
    /// The type code.
    pub code: u8,
    /// The number of bits, or 0 where it does not fit.
    pub bits: u8,
    /// Bytes, code points or the multiplier of a time unit; 0 for other types.
    pub count: u32,
    /// The time unit's number; 0 for other types.
    pub unit: u32,
}

/// Added to DLPack's code when each number's bytes are in big-endian order.
const BIG_ENDIAN: u8 = 128;

const SIGNED: u8 = 0;
const UNSIGNED: u8 = 1;
const BOOL: u8 = 6;
const BYTES: u8 = 160;
const TEXT: [u8; 2] = [161, 162];
const DATE_TIME: [u8; 2] = [163, 164];
const TIME_SPAN: [u8; 2] = [165, 166];
const OPAQUE: u8 = 167;
pub(crate) const RECORD: u8 = 168;

impl ElementType {
    /// A little-endian `i16`.
    pub const I16: ElementType = ElementType::Number(Number::I16, ByteOrder::Little);
    /// A little-endian `i32`.
    pub const I32: ElementType = ElementType::Number(Number::I32, ByteOrder::Little);
    /// A little-endian `i64`.
    pub const I64: ElementType = ElementType::Number(Number::I64, ByteOrder::Little);
    /// A little-endian `u16`.
    pub const U16: ElementType = ElementType::Number(Number::U16, ByteOrder::Little);
    /// A little-endian `u32`.
    pub const U32: ElementType = ElementType::Number(Number::U32, ByteOrder::Little);
    /// A little-endian `u64`.
    pub const U64: ElementType = ElementType::Number(Number::U64, ByteOrder::Little);
    /// A little-endian IEEE float of 2 bytes.
    pub const F16: ElementType = ElementType::Number(Number::F16, ByteOrder::Little);
    /// A little-endian `f32`.
    pub const F32: ElementType = ElementType::Number(Number::F32, ByteOrder::Little);
    /// A little-endian `f64`.
    pub const F64: ElementType = ElementType::Number(Number::F64, ByteOrder::Little);
    /// A little-endian bfloat16.
    pub const BF16: ElementType = ElementType::Number(Number::BF16, ByteOrder::Little);
    /// A complex number of two little-endian `f32`.
    pub const C64: ElementType = ElementType::Number(Number::C64, ByteOrder::Little);
    /// A complex number of two little-endian `f64`.
    pub const C128: ElementType = ElementType::Number(Number::C128, ByteOrder::Little);

    /// Returns what C calls `long double` on this CPU: x87 on x86-64, IEEE binary128 elsewhere.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::ElementType;
    ///
    /// assert_eq!(ElementType::long_double().item_size(), 16);
    /// ```
    pub const fn long_double() -> Self {
        ElementType::LongDouble(if cfg!(target_arch = "x86_64") {
            LongDouble::X87
        } else {
            LongDouble::Binary
        })
    }

    /// Returns the complex number of two [`long_double`](ElementType::long_double).
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::ElementType;
    ///
    /// assert_eq!(ElementType::long_double_complex().item_size(), 32);
    /// ```
    pub const fn long_double_complex() -> Self {
        ElementType::LongDouble(if cfg!(target_arch = "x86_64") {
            LongDouble::X87Complex
        } else {
            LongDouble::BinaryComplex
        })
    }

    /// Returns the size of one element in bytes; 0 for bytes, text and opaque elements of length 0 and for empty records.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::ElementType;
    ///
    /// assert_eq!(ElementType::C128.item_size(), 16);
    /// ```
    pub fn item_size(&self) -> usize {
        match self {
            ElementType::Bool | ElementType::I8 | ElementType::U8 => 1,
            ElementType::Number(number, _) => number.size(),
            ElementType::LongDouble(long) => long.size(),
            ElementType::Bytes(bytes) | ElementType::Opaque(bytes) => *bytes as usize,
            ElementType::Text(points, _) => *points as usize * 4,
            ElementType::DateTime(..) | ElementType::TimeSpan(..) => 8,
            ElementType::Record(record) => record.size(),
        }
    }

    /// Returns the alignment in bytes that C gives such an element: a power of two from 1 to 16.
    ///
    /// A record has the largest alignment of its fields when it is marked as aligned, otherwise 1.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::ElementType;
    ///
    /// assert_eq!(ElementType::C128.alignment(), 8);
    /// assert_eq!(ElementType::Bytes(10).alignment(), 1);
    /// ```
    pub fn alignment(&self) -> usize {
        match self {
            ElementType::Bool | ElementType::I8 | ElementType::U8 => 1,
            ElementType::Bytes(_) | ElementType::Opaque(_) => 1,
            ElementType::Number(number, _) => number.alignment(),
            ElementType::LongDouble(_) => 16,
            ElementType::Text(..) => 4,
            ElementType::DateTime(..) | ElementType::TimeSpan(..) => 8,
            ElementType::Record(record) => record.alignment(),
        }
    }

    /// Returns the byte order, or `None` where it has no meaning or belongs to the type.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ByteOrder, ElementType};
    ///
    /// assert_eq!(ElementType::F64.byte_order(), Some(ByteOrder::Little));
    /// assert_eq!(ElementType::Bool.byte_order(), None);
    /// ```
    pub fn byte_order(&self) -> Option<ByteOrder> {
        match self {
            ElementType::Number(_, order)
            | ElementType::Text(_, order)
            | ElementType::DateTime(_, order)
            | ElementType::TimeSpan(_, order) => Some(*order),
            _ => None,
        }
    }

    /// Returns the same type in another byte order; types without one, records among them, stay as they are.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ByteOrder, ElementType};
    ///
    /// assert_eq!(ElementType::U8.with_byte_order(ByteOrder::Big), ElementType::U8);
    /// assert_ne!(ElementType::U16.with_byte_order(ByteOrder::Big), ElementType::U16);
    /// ```
    #[must_use]
    pub fn with_byte_order(self, order: ByteOrder) -> Self {
        match self {
            ElementType::Number(number, _) => ElementType::Number(number, order),
            ElementType::Text(points, _) => ElementType::Text(points, order),
            ElementType::DateTime(unit, _) => ElementType::DateTime(unit, order),
            ElementType::TimeSpan(unit, _) => ElementType::TimeSpan(unit, order),
            other => other,
        }
    }

    /// Returns whether bytes of the one type may be read as the other: like `==`, but a record's titles, its alignment
    /// mark and the order in which its fields are listed do not count.
    ///
    /// This is the question of a typed attach: a Rust struct reads the records that a NumPy program wrote, aligned flag or
    /// not. Whether the elements really lie on aligned addresses is for
    /// [`ArrayLayout::is_aligned_to`](super::ArrayLayout::is_aligned_to).
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::ElementType;
    ///
    /// assert!(ElementType::F64.is_compatible_with(&ElementType::F64));
    /// assert!(!ElementType::F64.is_compatible_with(&ElementType::I64));
    /// ```
    pub fn is_compatible_with(&self, other: &ElementType) -> bool {
        match (self, other) {
            (ElementType::Record(ours), ElementType::Record(theirs)) => ours.is_compatible_with(theirs),
            _ => self == other,
        }
    }

    /// Returns the numbers by which a descriptor names this type.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ByteOrder, ElementType};
    ///
    /// assert_eq!(ElementType::F64.type_code().code, 2);
    /// assert_eq!(ElementType::F64.with_byte_order(ByteOrder::Big).type_code().code, 130);
    /// ```
    pub fn type_code(&self) -> TypeCode {
        let plain = |code, bits| TypeCode { code, bits, count: 0, unit: 0 };
        let counted = |code, bits, count| TypeCode { code, bits, count, unit: 0 };
        let timed = |codes, unit, order| TypeCode {
            code: of_order(codes, order),
            bits: 64,
            count: TimeUnit::multiplier(unit),
            unit: unit.base().number(),
        };
        match self {
            ElementType::Bool => plain(BOOL, 8),
            ElementType::I8 => plain(SIGNED, 8),
            ElementType::U8 => plain(UNSIGNED, 8),
            ElementType::Number(number, order) => {
                let (code, bits) = number.code();
                plain(of_order([code, code + BIG_ENDIAN], *order), bits)
            }
            ElementType::LongDouble(long) => {
                let (code, bits) = long.code();
                plain(code, bits)
            }
            ElementType::Bytes(bytes) => counted(BYTES, 8, *bytes),
            ElementType::Text(points, order) => counted(of_order(TEXT, *order), 32, *points),
            ElementType::DateTime(unit, order) => timed(DATE_TIME, *unit, *order),
            ElementType::TimeSpan(unit, order) => timed(TIME_SPAN, *unit, *order),
            ElementType::Opaque(bytes) => counted(OPAQUE, 8, *bytes),
            ElementType::Record(_) => plain(RECORD, 8),
        }
    }

    /// Finds the type for the numbers in a descriptor; `record` is the record description, empty for all other types.
    ///
    /// # Errors
    /// [`LayoutError::UnknownElement`] for a code or a number of bits that the format does not have,
    /// [`LayoutError::DescriptorField`] for a count, a unit or a description where the type has none,
    /// [`LayoutError::TimeUnit`], and those of [`Record::parse`].
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, TypeCode};
    ///
    /// let code = TypeCode { code: 5, bits: 64, count: 0, unit: 0 };
    /// assert_eq!(ElementType::from_type_code(code, b"")?, ElementType::C64);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn from_type_code(code: TypeCode, record: &[u8]) -> Result<Self, LayoutError> {
        let TypeCode { code, bits, count, unit } = code;
        let (has_count, has_unit) = match code {
            BYTES | OPAQUE | 161 | 162 => (true, false),
            163..=166 => (true, true),
            _ => (false, false),
        };
        let absent = |field, found: u64| match found {
            0 => Ok(()),
            found => Err(LayoutError::DescriptorField { field, found, expected: 0 }),
        };
        let element = match (code, bits) {
            (SIGNED, 8) => ElementType::I8,
            (UNSIGNED, 8) => ElementType::U8,
            (BOOL, 8) => ElementType::Bool,
            (BYTES, 8) => ElementType::Bytes(count),
            (161, 32) => ElementType::Text(count, ByteOrder::Little),
            (162, 32) => ElementType::Text(count, ByteOrder::Big),
            (163, 64) => ElementType::DateTime(time_unit(count, unit)?, ByteOrder::Little),
            (164, 64) => ElementType::DateTime(time_unit(count, unit)?, ByteOrder::Big),
            (165, 64) => ElementType::TimeSpan(time_unit(count, unit)?, ByteOrder::Little),
            (166, 64) => ElementType::TimeSpan(time_unit(count, unit)?, ByteOrder::Big),
            (OPAQUE, 8) => ElementType::Opaque(count),
            (RECORD, 8) => ElementType::Record(Arc::new(Record::parse(record)?)),
            _ => numeric(code, bits).ok_or(LayoutError::UnknownElement { code, bits })?,
        };
        if !has_count {
            absent("count", u64::from(count))?;
        }
        if !has_unit {
            absent("unit", u64::from(unit))?;
        }
        if code != RECORD {
            absent("record length", record.len() as u64)?;
        }
        Ok(element)
    }
}

/// Picks the little-endian or the big-endian one of a pair of codes.
fn of_order([little, big]: [u8; 2], order: ByteOrder) -> u8 {
    match order {
        ByteOrder::Little => little,
        ByteOrder::Big => big,
    }
}

fn time_unit(multiplier: u32, unit: u32) -> Result<TimeUnit, LayoutError> {
    TimeBase::from_number(unit)
        .and_then(|base| TimeUnit::new(multiplier, base))
        .ok_or(LayoutError::TimeUnit { multiplier, unit })
}

/// Finds the numbers of several bytes and the long doubles.
fn numeric(code: u8, bits: u8) -> Option<ElementType> {
    if let Some(long) = LongDouble::from_code(code, bits) {
        return Some(ElementType::LongDouble(long));
    }
    let (code, order) = match code.checked_sub(BIG_ENDIAN) {
        Some(code) => (code, ByteOrder::Big),
        None => (code, ByteOrder::Little),
    };
    Some(ElementType::Number(Number::from_code(code, bits)?, order))
}

/// Writes a name for people: `f64`, `i32 (big-endian)`, `bytes[10]`, `record{id: u64, position: f64[3]}`.
///
/// Of a record with many fields only the first are shown.
impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementType::Bool => f.write_str("bool")?,
            ElementType::I8 => f.write_str("i8")?,
            ElementType::U8 => f.write_str("u8")?,
            ElementType::Number(number, _) => write!(f, "{number}")?,
            ElementType::LongDouble(long) => write!(f, "{long}")?,
            ElementType::Bytes(bytes) => write!(f, "bytes[{bytes}]")?,
            ElementType::Text(points, _) => write!(f, "text[{points}]")?,
            ElementType::DateTime(unit, _) => write!(f, "datetime[{unit}]")?,
            ElementType::TimeSpan(unit, _) => write!(f, "timespan[{unit}]")?,
            ElementType::Opaque(bytes) => write!(f, "opaque[{bytes}]")?,
            ElementType::Record(record) => write_record(f, record)?,
        }
        match self.byte_order() {
            Some(ByteOrder::Big) => f.write_str(" (big-endian)"),
            _ => Ok(()),
        }
    }
}

fn write_record(f: &mut fmt::Formatter<'_>, record: &Record) -> fmt::Result {
    const SHOWN: usize = 8;
    f.write_str("record{")?;
    for (index, field) in record.fields().iter().enumerate().take(SHOWN) {
        let comma = if index == 0 { "" } else { ", " };
        let name = field.name();
        let plain =
            !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        match plain {
            true => write!(f, "{comma}{name}: {}", field.element())?,
            false => write!(f, "{comma}{}: {}", Quoted(name), field.element())?,
        }
        if !field.shape().is_empty() {
            write!(f, "{:?}", field.shape())?;
        }
    }
    match record.fields().len().saturating_sub(SHOWN) {
        0 => f.write_str("}"),
        more => write!(f, ", and {more} more}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type, (code, bits, count, unit), item size, name.
    type Row = (ElementType, (u8, u8, u32, u32), usize, &'static str);

    /// Every row of the table in `FORMAT.md`, section 3.2.
    fn table() -> Vec<Row> {
        use ElementType as E;
        let big = ByteOrder::Big;
        let little = ByteOrder::Little;
        let step = TimeUnit::new(25, TimeBase::Second).unwrap();
        let generic = TimeUnit::of(TimeBase::Generic);
        vec![
            (E::I8, (0, 8, 0, 0), 1, "i8"),
            (E::I16, (0, 16, 0, 0), 2, "i16"),
            (E::I32, (0, 32, 0, 0), 4, "i32"),
            (E::I64, (0, 64, 0, 0), 8, "i64"),
            (E::U8, (1, 8, 0, 0), 1, "u8"),
            (E::U16, (1, 16, 0, 0), 2, "u16"),
            (E::U32, (1, 32, 0, 0), 4, "u32"),
            (E::U64, (1, 64, 0, 0), 8, "u64"),
            (E::F16, (2, 16, 0, 0), 2, "f16"),
            (E::F32, (2, 32, 0, 0), 4, "f32"),
            (E::F64, (2, 64, 0, 0), 8, "f64"),
            (E::BF16, (4, 16, 0, 0), 2, "bf16"),
            (E::C64, (5, 64, 0, 0), 8, "complex64"),
            (E::C128, (5, 128, 0, 0), 16, "complex128"),
            (E::Bool, (6, 8, 0, 0), 1, "bool"),
            (E::I32.with_byte_order(big), (128, 32, 0, 0), 4, "i32 (big-endian)"),
            (E::U16.with_byte_order(big), (129, 16, 0, 0), 2, "u16 (big-endian)"),
            (E::F64.with_byte_order(big), (130, 64, 0, 0), 8, "f64 (big-endian)"),
            (E::BF16.with_byte_order(big), (132, 16, 0, 0), 2, "bf16 (big-endian)"),
            (E::C128.with_byte_order(big), (133, 128, 0, 0), 16, "complex128 (big-endian)"),
            (E::Bytes(10), (160, 8, 10, 0), 10, "bytes[10]"),
            (E::Bytes(0), (160, 8, 0, 0), 0, "bytes[0]"),
            (E::Text(5, little), (161, 32, 5, 0), 20, "text[5]"),
            (
                E::Text(u32::MAX, big),
                (162, 32, u32::MAX, 0),
                4 * u32::MAX as usize,
                "text[4294967295] (big-endian)",
            ),
            (E::DateTime(step, little), (163, 64, 25, 7), 8, "datetime[25s]"),
            (E::DateTime(generic, big), (164, 64, 1, 0), 8, "datetime[generic] (big-endian)"),
            (E::TimeSpan(TimeUnit::of(TimeBase::Attosecond), little), (165, 64, 1, 13), 8, "timespan[as]"),
            (E::TimeSpan(step, big), (166, 64, 25, 7), 8, "timespan[25s] (big-endian)"),
            (E::Opaque(7), (167, 8, 7, 0), 7, "opaque[7]"),
            (E::LongDouble(LongDouble::X87), (169, 128, 0, 0), 16, "long double (x87)"),
            (E::LongDouble(LongDouble::X87Complex), (170, 0, 0, 0), 32, "complex long double (x87)"),
            (E::LongDouble(LongDouble::Binary), (171, 128, 0, 0), 16, "long double (binary128)"),
            (E::LongDouble(LongDouble::BinaryComplex), (172, 0, 0, 0), 32, "complex long double (binary128)"),
        ]
    }

    #[test]
    fn every_row_of_the_format() {
        for (element, (code, bits, count, unit), size, name) in table() {
            let numbers = TypeCode { code, bits, count, unit };
            assert_eq!(element.type_code(), numbers, "{element}");
            assert_eq!(ElementType::from_type_code(numbers, b""), Ok(element.clone()));
            assert_eq!(element.item_size(), size, "{element}");
            assert_eq!(element.to_string(), name);
            assert!(element.alignment().is_power_of_two() && element.item_size() % element.alignment() == 0);
        }
    }

    #[test]
    fn every_other_code_is_refused() {
        let known: Vec<_> = table().iter().map(|row| (row.1.0, row.1.1)).chain([(RECORD, 8)]).collect();
        // Miri is slow: there only the widths that occur somewhere.
        let widths: Vec<u8> = if cfg!(miri) { vec![16, 64] } else { (0..=u8::MAX).collect() };
        for code in 0..=u8::MAX {
            for &bits in &widths {
                let numbers = TypeCode { code, bits, count: 0, unit: 0 };
                let swapped =
                    (128..=133).contains(&code) && bits >= 16 && known.contains(&(code - 128, bits));
                if !known.contains(&(code, bits)) && !swapped {
                    let expected = Err(LayoutError::UnknownElement { code, bits });
                    assert_eq!(ElementType::from_type_code(numbers, b""), expected);
                }
            }
        }
    }

    #[test]
    fn fields_without_meaning_are_zero() {
        let refused = |code, bits, count, unit, record: &[u8], field| {
            let found = ElementType::from_type_code(TypeCode { code, bits, count, unit }, record);
            assert!(
                matches!(&found, Err(LayoutError::DescriptorField { field: f, .. }) if *f == field),
                "{found:?}"
            );
        };
        refused(2, 64, 1, 0, b"", "count");
        refused(2, 64, 0, 1, b"", "unit");
        refused(160, 8, 4, 7, b"", "unit");
        refused(168, 8, 1, 0, b"{0}", "count");
        refused(168, 8, 0, 1, b"{0}", "unit");
        refused(2, 64, 0, 0, b"{0}", "record length");
    }

    #[test]
    fn time_units_are_checked() {
        for (count, unit) in [(0, 7), (1, 14), (2, 0), (0, 0), (1, u32::MAX)] {
            let found = ElementType::from_type_code(TypeCode { code: 163, bits: 64, count, unit }, b"");
            assert_eq!(found, Err(LayoutError::TimeUnit { multiplier: count, unit }));
        }
    }

    #[test]
    fn long_records_are_cut_in_names() {
        let text: String = (0..10).map(|i| format!(";2:a{i}@{i}=<u1")).collect();
        let record = Record::parse(format!("{{10{text}}}").as_bytes()).unwrap();
        let name = ElementType::Record(Arc::new(record)).to_string();
        assert!(name.starts_with("record{a0: u8, a1: u8") && name.ends_with("a7: u8, and 2 more}"), "{name}");
    }
}
