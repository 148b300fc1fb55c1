//! One element as text.
//!
//! Numbers are written with as many digits as lead back to the same number, text in quotation marks, opaque bytes in hexadecimal digits.
//! Long doubles are rounded to f64.

use std::fmt::Write;

use crate::layout::{ByteOrder, ElementType, Field, LongDouble, Number};

use super::time;

/// Writes an element; `bytes` are as many as it has.
pub(crate) fn write(out: &mut String, element: &ElementType, bytes: &[u8]) {
    // Writing to a `String` cannot fail.
    let _ = match element {
        ElementType::Bool => write!(out, "{}", bytes.iter().any(|b| *b != 0)),
        ElementType::I8 => write!(out, "{}", i8::from_le_bytes(fixed(bytes))),
        ElementType::U8 => write!(out, "{}", u8::from_le_bytes(fixed(bytes))),
        ElementType::Number(number, order) => {
            self::number(out, *number, *order, bytes);
            Ok(())
        }
        ElementType::LongDouble(long) => {
            long_double(out, *long, bytes);
            Ok(())
        }
        ElementType::Bytes(_) => write!(out, "\"{}\"", unpadded(bytes).escape_ascii()),
        ElementType::Text(_, order) => {
            text(out, *order, bytes);
            Ok(())
        }
        ElementType::DateTime(unit, order) => {
            time::point(out, i64::from_le_bytes(ordered(bytes, *order)), *unit);
            Ok(())
        }
        ElementType::TimeSpan(unit, order) => {
            time::span(out, i64::from_le_bytes(ordered(bytes, *order)), *unit);
            Ok(())
        }
        ElementType::Record(record) => {
            list(out, ['{', '}'], record.fields(), |out, field| {
                let _ = write!(out, "{}: ", field.name().escape_debug());
                self::field(out, field, bytes.get(field.offset()..).unwrap_or_default());
            });
            Ok(())
        }
        // Opaque, and what a newer library knows.
        _ => {
            out.push_str("0x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
    };
}

/// Writes a field of a record: an element, or a small array of them.
fn field(out: &mut String, field: &Field, bytes: &[u8]) {
    fn sub(out: &mut String, element: &ElementType, shape: &[usize], bytes: &[u8]) {
        let Some((extent, rest)) = shape.split_first() else {
            return write(out, element, bytes.get(..element.item_size()).unwrap_or_default());
        };
        let size = rest.iter().product::<usize>() * element.item_size();
        list(out, ['[', ']'], 0..*extent, |out, index| {
            sub(out, element, rest, bytes.get(index * size..).unwrap_or_default());
        });
    }
    sub(out, field.element(), field.shape(), bytes);
}

fn list<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut one: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        one(out, item);
    }
    out.push(close);
}

/// The bytes as an array; missing ones are zero.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

/// The same in little-endian order.
fn ordered<const N: usize>(bytes: &[u8], order: ByteOrder) -> [u8; N] {
    let mut array = fixed(bytes);
    if order == ByteOrder::Big {
        array.reverse();
    }
    array
}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..len]
}

fn text(out: &mut String, order: ByteOrder, bytes: &[u8]) {
    let mut points: Vec<u32> =
        bytes.chunks_exact(4).map(|point| u32::from_le_bytes(ordered(point, order))).collect();
    points.truncate(points.iter().rposition(|point| *point != 0).map_or(0, |last| last + 1));
    out.push('"');
    for point in points {
        let _ = match char::from_u32(point) {
            Some(c) => write!(out, "{}", c.escape_debug()),
            None => write!(out, "\\u{{{point:x}}}"),
        };
    }
    out.push('"');
}

fn number(out: &mut String, number: Number, order: ByteOrder, bytes: &[u8]) {
    macro_rules! integer {
        ($type:ty) => {
            write!(out, "{}", <$type>::from_le_bytes(ordered(bytes, order)))
        };
    }
    let half = bytes.len() / 2;
    let _ = match number {
        Number::I16 => integer!(i16),
        Number::I32 => integer!(i32),
        Number::I64 => integer!(i64),
        Number::U16 => integer!(u16),
        Number::U32 => integer!(u32),
        Number::U64 => integer!(u64),
        Number::C64 | Number::C128 => {
            let part = if number == Number::C64 { Number::F32 } else { Number::F64 };
            self::number(out, part, order, &bytes[..half]);
            let imaginary = out.len();
            self::number(out, part, order, &bytes[half..]);
            signed_imaginary(out, imaginary);
            Ok(())
        }
        Number::F16 => {
            float(out, half::f16::from_le_bytes(ordered(bytes, order)).to_f32());
            Ok(())
        }
        Number::BF16 => {
            float(out, half::bf16::from_le_bytes(ordered(bytes, order)).to_f32());
            Ok(())
        }
        Number::F32 => {
            float(out, f32::from_le_bytes(ordered(bytes, order)));
            Ok(())
        }
        Number::F64 => {
            float(out, f64::from_le_bytes(ordered(bytes, order)));
            Ok(())
        }
    };
}

/// Writes the fewest digits that lead back, with an exponent where it is shorter.
fn float(out: &mut String, value: impl std::fmt::Debug + Into<f64> + Copy) {
    let wide: f64 = value.into();
    let _ = if wide.is_nan() { write!(out, "nan") } else { write!(out, "{value:?}") };
}

fn long_double(out: &mut String, long: LongDouble, bytes: &[u8]) {
    let part = |bytes: &[u8], kind| {
        let bits = u128::from_le_bytes(fixed(bytes));
        match kind {
            LongDouble::X87 | LongDouble::X87Complex => {
                let (head, fraction) = ((bits >> 64) as u16, u128::from(bits as u64));
                // The highest bit of the fraction is written out in this format.
                scaled(head, fraction, fraction << 65 == 0, 63)
            }
            LongDouble::Binary | LongDouble::BinaryComplex => {
                let (head, fraction) = ((bits >> 112) as u16, bits & ((1 << 112) - 1));
                let hidden = u128::from(head & 0x7fff != 0) << 112;
                scaled(head, fraction | hidden, fraction == 0, 112)
            }
        }
    };
    float(out, part(&bytes[..16.min(bytes.len())], long));
    if matches!(long, LongDouble::X87Complex | LongDouble::BinaryComplex) {
        let imaginary = out.len();
        float(out, part(bytes.get(16..).unwrap_or_default(), long));
        signed_imaginary(out, imaginary);
    }
}

/// Makes the number that begins there the imaginary part of a complex one.
fn signed_imaginary(out: &mut String, at: usize) {
    if !out[at..].starts_with('-') {
        out.insert(at, '+');
    }
    out.push('j');
}

/// Sign, exponent and fraction as an f64; `infinite` says what the highest exponent means.
fn scaled(head: u16, fraction: u128, infinite: bool, bits: i32) -> f64 {
    let exponent = i32::from(head & 0x7fff);
    let value = match exponent {
        0x7fff if infinite => f64::INFINITY,
        0x7fff => f64::NAN,
        // In two steps, so that neither factor leaves the range before the product does.
        _ => {
            let power = exponent.max(1) - 16_383 - bits;
            fraction as f64 * 2_f64.powi(power / 2) * 2_f64.powi(power - power / 2)
        }
    };
    if head >> 15 == 1 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::layout::Record;

    use super::*;

    fn shown(element: &ElementType, bytes: &[u8]) -> String {
        let mut text = String::new();
        write(&mut text, element, bytes);
        text
    }

    #[test]
    fn every_kind_of_element() {
        use ElementType as E;
        let big = ByteOrder::Big;
        let record = Record::parse(b"{12;1:x@0=<i4;3:a b@4=(2,2)<i2}").unwrap();
        for (element, bytes, text) in [
            (E::Bool, &[2][..], "true"),
            (E::I8, &[255], "-1"),
            (E::U8, &[255], "255"),
            (E::I16.with_byte_order(big), &[1, 2], "258"),
            (E::U64, &[255; 8], "18446744073709551615"),
            (E::F16, &[0, 0x3c], "1.0"),
            (E::BF16, &[0x80, 0x3f], "1.0"),
            (E::F32, &0.1_f32.to_le_bytes(), "0.1"),
            (E::F64, &1e300_f64.to_le_bytes(), "1e300"),
            (E::F64, &(-f64::NAN).to_le_bytes(), "nan"),
            (E::F64, &f64::NEG_INFINITY.to_le_bytes(), "-inf"),
            (E::C64, &[0, 0, 128, 63, 0, 0, 0, 192], "1.0-2.0j"),
            (E::C64, &[0, 0, 128, 63, 0, 0, 0, 64], "1.0+2.0j"),
            (E::Bytes(5), b"a\"\0b\0", r#""a\"\x00b""#),
            (E::Text(3, big), &[0, 0, 0, 0xe9, 0, 1, 0xf9, 0x80, 0, 0, 0, 0], "\"é🦀\""),
            (E::Text(1, ByteOrder::Little), &[0, 0xd8, 0, 0], r#""\u{d800}""#),
            (E::Opaque(2), &[1, 171], "0x01ab"),
            (
                E::Record(Arc::new(record)),
                &[1, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0],
                "{x: 1, a b: [[1, 2], [3, 4]]}",
            ),
        ] {
            assert_eq!(shown(&element, bytes), text, "{element}");
        }
    }

    #[test]
    fn long_doubles_are_rounded() {
        let x87 = |head: u16, fraction: u64| {
            shown(
                &ElementType::LongDouble(LongDouble::X87),
                &(u128::from(head) << 64 | u128::from(fraction)).to_le_bytes(),
            )
        };
        assert_eq!(x87(0x3fff, 1 << 63), "1.0");
        assert_eq!(x87(0xc000, 3 << 62), "-3.0");
        assert_eq!((x87(0x7fff, 1 << 63), x87(0x7fff, 3 << 62)), ("inf".to_owned(), "nan".to_owned()));
        assert_eq!(
            (x87(0, 0), x87(0x7ffe, 1 << 63), x87(1, 1 << 63)),
            ("0.0".into(), "inf".into(), "0.0".into())
        );
        let binary = |head: u128, fraction: u128| {
            shown(&ElementType::LongDouble(LongDouble::Binary), &(head << 112 | fraction).to_le_bytes())
        };
        assert_eq!((binary(0x3fff, 0), binary(0x4000, 1 << 111)), ("1.0".to_owned(), "3.0".to_owned()));
        let mut both = (0x3fff_u128 << 112).to_le_bytes().to_vec();
        both.extend((0xbfff_u128 << 112).to_le_bytes());
        assert_eq!(shown(&ElementType::LongDouble(LongDouble::BinaryComplex), &both), "1.0-1.0j");
    }
}
