//! Element types as .npy files spell them (`descr`), both ways.
//!
//! A `descr` is NumPy's type string (`<f8`, `|S3`, `<M8[25s]`), or for records a list of fields one behind the other, gaps filled with
//! nameless `|V` ones. That says less than our format: no bfloat16, no long double of another kind of machine, no fields that overlap
//! ([`Unsayable`]); and it keeps no alignment flag. Source: `numpy/lib/format.py` (`dtype_to_descr`, `descr_to_dtype`).

use std::fmt::{self, Write};
use std::sync::Arc;

use crate::layout::{ByteOrder, ElementType, Field, Number, Record, TimeBase, TimeUnit};

use super::literal::{Literal, Quoted};

/// Why an element type has no `descr`.
#[derive(Debug, PartialEq)]
pub(crate) struct Unsayable(String);

impl fmt::Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes the `descr` of an element type.
pub(crate) fn to_descr(element: &ElementType) -> Result<String, Unsayable> {
    match element {
        ElementType::Record(record) => record_to_descr(record),
        element => Ok(Quoted(&type_string(element)?).to_string()),
    }
}

/// The `descr` of opaque elements of that size.
pub(crate) fn opaque(item_size: usize) -> String {
    format!("'|V{item_size}'")
}

fn type_string(element: &ElementType) -> Result<String, Unsayable> {
    Ok(match element {
        ElementType::Bool => "|b1".to_owned(),
        ElementType::I8 => "|i1".to_owned(),
        ElementType::U8 => "|u1".to_owned(),
        ElementType::Bytes(count) => format!("|S{count}"),
        ElementType::Opaque(count) => format!("|V{count}"),
        ElementType::Text(count, order) => format!("{}U{count}", sign(*order)),
        ElementType::DateTime(unit, order) => format!("{}M8{}", sign(*order), unit_text(*unit)),
        ElementType::TimeSpan(unit, order) => format!("{}m8{}", sign(*order), unit_text(*unit)),
        ElementType::Number(number, order) => {
            let kind =
                number_text(*number).ok_or_else(|| Unsayable(format!("NumPy has no type for {element}")))?;
            format!("{}{kind}", sign(*order))
        }
        ElementType::LongDouble(long) if *element == ElementType::long_double() => {
            format!("<f{}", long.size())
        }
        ElementType::LongDouble(long) if *element == ElementType::long_double_complex() => {
            format!("<c{}", long.size())
        }
        ElementType::LongDouble(_) => {
            return Err(Unsayable(format!("NumPy on this machine has no type for {element}")));
        }
        element => return Err(Unsayable(format!("there is no way to write {element}"))),
    })
}

fn sign(order: ByteOrder) -> char {
    match order {
        ByteOrder::Little => '<',
        ByteOrder::Big => '>',
    }
}

fn unit_text(unit: TimeUnit) -> String {
    if unit.base() == TimeBase::Generic { String::new() } else { format!("[{unit}]") }
}

/// NumPy's names of the numbers; bfloat16 has none.
const NUMBERS: [(Number, &str); 11] = [
    (Number::I16, "i2"),
    (Number::I32, "i4"),
    (Number::I64, "i8"),
    (Number::U16, "u2"),
    (Number::U32, "u4"),
    (Number::U64, "u8"),
    (Number::F16, "f2"),
    (Number::F32, "f4"),
    (Number::F64, "f8"),
    (Number::C64, "c8"),
    (Number::C128, "c16"),
];

fn number_text(number: Number) -> Option<&'static str> {
    NUMBERS.iter().find(|(known, _)| *known == number).map(|(_, text)| *text)
}

fn record_to_descr(record: &Record) -> Result<String, Unsayable> {
    // The order of the fields means nothing for the bytes, and a `descr` has no other one than theirs.
    let mut fields: Vec<&Field> = record.fields().iter().collect();
    fields.sort_by_key(|field| (field.offset(), field.size_bytes()));
    let mut text = "[".to_owned();
    let mut end = 0;
    let gap = |text: &mut String, from: usize, to: usize| {
        if to > from {
            let _ = write!(text, "('', '|V{}'), ", to - from);
        }
    };
    for field in fields {
        if field.offset() < end {
            let name = Quoted(field.name());
            return Err(Unsayable(format!("the field {name} of its records overlaps another one")));
        }
        if field.name().is_empty() && matches!(field.element(), ElementType::Opaque(_)) {
            return Err(Unsayable("an opaque field without a name would be taken for a gap".to_owned()));
        }
        gap(&mut text, end, field.offset());
        let element = to_descr(field.element())?;
        let name = Quoted(field.name());
        let _ = match field.title() {
            None => write!(text, "({name}, {element}"),
            Some(title) => write!(text, "(({}, {name}), {element}", Quoted(title)),
        };
        if !field.shape().is_empty() {
            let _ = write!(text, ", {}", shape_text(field.shape()));
        }
        text.push_str("), ");
        end = field.offset() + field.size_bytes();
    }
    gap(&mut text, end, record.size());
    text.truncate(text.trim_end_matches(", ").len());
    text.push(']');
    Ok(text)
}

/// A shape as a tuple of Python.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    match shape.len() {
        1 => format!("({})", extents.trim_end()),
        _ => format!("({})", extents.trim_end_matches(", ")),
    }
}

/// Reads the `descr` of an element type; the error is a clause for people.
pub(crate) fn from_descr(descr: &Literal) -> Result<ElementType, String> {
    match descr {
        Literal::Text(text) => from_type_string(text),
        Literal::List(fields) => Ok(ElementType::Record(Arc::new(record_from_descr(fields)?))),
        _ => Err("its element type is neither a text nor a list of fields".to_owned()),
    }
}

fn record_from_descr(items: &[Literal]) -> Result<Record, String> {
    let mut fields = Vec::new();
    let mut offset = 0_usize;
    for item in items {
        let Literal::Tuple(parts) = item else { return Err("a field of its records is no tuple".to_owned()) };
        let (name, descr, shape) = match &parts[..] {
            [name, descr] => (name, descr, Vec::new()),
            [name, descr, shape] => (name, descr, to_shape(shape)?),
            _ => return Err("a field of its records has neither two nor three parts".to_owned()),
        };
        let (title, name) = match name {
            Literal::Text(name) => (None, name),
            Literal::Tuple(both) => match &both[..] {
                [Literal::Text(title), Literal::Text(name)] => (Some(title), name),
                _ => return Err("a field of its records has a title and a name that are no texts".to_owned()),
            },
            _ => return Err("a field of its records has a name that is no text".to_owned()),
        };
        let element = from_descr(descr)?;
        let is_gap = title.is_none() && name.is_empty() && matches!(element, ElementType::Opaque(_));
        let mut field =
            Field::new(name.as_str(), offset, element).with_shape(&shape).map_err(|e| e.to_string())?;
        offset = offset.checked_add(field.size_bytes()).ok_or("the size of its records overflows")?;
        if let Some(title) = title {
            field = field.with_title(title.as_str());
        }
        if !is_gap {
            fields.push(field);
        }
    }
    Record::new(offset, false, fields).map_err(|e| e.to_string())
}

/// Reads a shape.
pub(crate) fn to_shape(literal: &Literal) -> Result<Vec<usize>, String> {
    let extent = |literal: &Literal| match literal {
        Literal::Integer(extent) => usize::try_from(*extent).ok(),
        _ => None,
    };
    match literal {
        Literal::Tuple(extents) => extents.iter().map(extent).collect(),
        single => extent(single).map(|extent| vec![extent]),
    }
    .ok_or_else(|| "its shape is no tuple of numbers".to_owned())
}

fn from_type_string(text: &str) -> Result<ElementType, String> {
    let unknown =
        || format!("the element type {} is unknown", Quoted(&text.chars().take(64).collect::<String>()));
    // Without a sign, and with `=` or `|`, the order is that of the machine, and this runs on little-endian ones only.
    let (order, rest) = match text.as_bytes().first() {
        Some(b'<' | b'=' | b'|') => (ByteOrder::Little, &text[1..]),
        Some(b'>') => (ByteOrder::Big, &text[1..]),
        _ => (ByteOrder::Little, text),
    };
    if let Some((number, _)) = NUMBERS.iter().find(|(_, known)| *known == rest) {
        return Ok(ElementType::Number(*number, order));
    }
    let count = |digits: &str| -> Result<u32, String> {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).ok_or_else(unknown)
    };
    let mut chars = rest.chars();
    match (chars.next(), chars.as_str()) {
        (Some('b'), "1") | (Some('?'), "") => Ok(ElementType::Bool),
        (Some('i'), "1") => Ok(ElementType::I8),
        (Some('u'), "1") => Ok(ElementType::U8),
        (Some('S'), digits) => Ok(ElementType::Bytes(count(digits)?)),
        (Some('V'), digits) => Ok(ElementType::Opaque(count(digits)?)),
        (Some('U'), digits) => Ok(ElementType::Text(count(digits)?, order)),
        (Some('M'), rest) => Ok(ElementType::DateTime(unit_of(rest).ok_or_else(unknown)?, order)),
        (Some('m'), rest) => Ok(ElementType::TimeSpan(unit_of(rest).ok_or_else(unknown)?, order)),
        (Some('f'), "16") => long_double(ElementType::long_double(), order),
        (Some('c'), "32") => long_double(ElementType::long_double_complex(), order),
        (Some('O'), _) => {
            Err("its elements are Python objects, which mean nothing outside of one process".to_owned())
        }
        (Some('T'), _) => Err("its elements are texts of variable length".to_owned()),
        _ => Err(unknown()),
    }
}

/// A long double of this machine: what else the file could mean it does not say.
fn long_double(native: ElementType, order: ByteOrder) -> Result<ElementType, String> {
    match order {
        ByteOrder::Little => Ok(native),
        ByteOrder::Big => Err("its elements are long doubles of another kind of machine".to_owned()),
    }
}

/// Reads `8[25s]`, the rest of a point or span of time; without brackets it is generic.
fn unit_of(rest: &str) -> Option<TimeUnit> {
    let rest = rest.strip_prefix('8')?;
    if rest.is_empty() {
        return Some(TimeUnit::of(TimeBase::Generic));
    }
    let inside = rest.strip_prefix('[')?.strip_suffix(']')?;
    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
    let multiplier = if digits == 0 { 1 } else { inside[..digits].parse().ok()? };
    TimeUnit::new(multiplier, TimeBase::from_symbol(&inside[digits..])?)
}
