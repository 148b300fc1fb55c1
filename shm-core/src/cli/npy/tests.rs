//! Headers of .npy files: golden bytes as NumPy writes them, properties over all layouts, and bytes that nobody sane would write.

use std::sync::Arc;

use crate::layout::{Field, LongDouble, Record, TimeBase, TimeUnit};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn bytes_of(version: [u8; 2], len: Option<u32>, text: &[u8]) -> Vec<u8> {
    let len = len.unwrap_or(text.len() as u32).to_le_bytes();
    let len = if version[0] == 1 { &len[..2] } else { &len[..] };
    [&MAGIC[..], &version, len, text].concat()
}

fn read(bytes: &[u8]) -> Result<ArrayLayout, String> {
    let mut rest = bytes;
    match read_header(&mut rest) {
        Ok((layout, len)) => {
            assert_eq!(len as usize, bytes.len() - rest.len());
            Ok(layout)
        }
        Err(ReadError::Wrong(reason)) => Err(reason),
        Err(ReadError::Io(error)) => panic!("{error}"),
    }
}

fn read_text(text: &str) -> Result<ArrayLayout, String> {
    read(&bytes_of([1, 0], None, text.as_bytes()))
}

fn element(descr: &str) -> Result<ElementType, String> {
    let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ()}}");
    read_text(&text).map(|layout| layout.element().clone())
}

#[test]
fn golden_header() {
    // As `numpy.save` 2.x writes numpy.zeros((2, 3), order="F").
    let text = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
    let numpy = [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes(), &[b' '; 59], b"\n"].concat();
    assert_eq!(numpy.len(), 128);
    assert_eq!(read(&numpy), Ok(ArrayLayout::f_order(ElementType::F64, &[2, 3]).unwrap()));
    // Ours is as short as the alignment lets it be.
    let ours = header(&ElementType::F64, &[2, 3], true, false).unwrap();
    assert_eq!(ours.len() % ALIGN, 0);
    assert_eq!(read(&ours), read(&numpy));
}

#[test]
fn spellings() {
    let unit = |multiplier, base| TimeUnit::new(multiplier, base).unwrap();
    for (descr, expected) in [
        ("'|b1'", ElementType::Bool),
        ("'?'", ElementType::Bool),
        ("'|i1'", ElementType::I8),
        ("'>u1'", ElementType::U8),
        ("'=i4'", ElementType::I32),
        ("'i4'", ElementType::I32),
        ("'>c16'", ElementType::C128.with_byte_order(ByteOrder::Big)),
        ("'|S0'", ElementType::Bytes(0)),
        ("'<U7'", ElementType::Text(7, ByteOrder::Little)),
        ("'|V4294967295'", ElementType::Opaque(u32::MAX)),
        ("'<M8[25s]'", ElementType::DateTime(unit(25, TimeBase::Second), ByteOrder::Little)),
        ("'>m8'", ElementType::TimeSpan(unit(1, TimeBase::Generic), ByteOrder::Big)),
        ("'<m8[generic]'", ElementType::TimeSpan(unit(1, TimeBase::Generic), ByteOrder::Little)),
        ("'<f16'", ElementType::long_double()),
        ("'<c32'", ElementType::long_double_complex()),
    ] {
        assert_eq!(element(descr), Ok(expected), "{descr}");
    }
    let record = element("[('x', '<i4'), ('', '|V4'), (('t', 'y'), '>f8', (2,)), ('', '|V1')]").unwrap();
    assert_eq!(record.to_string(), "record{x: i32, y: f64 (big-endian)[2]}");
    let ElementType::Record(record) = record else { panic!("no record") };
    assert_eq!(record.to_string(), "{25;1:x@0=<i4;1:y~1:t@8=(2)>f8}");
}

#[test]
fn what_is_refused_says_why() {
    let refused = |text: &str, part: &str| {
        let reason = read_text(text).unwrap_err();
        assert!(reason.contains(part), "{part:?} is missing in: {reason}");
    };
    let with = |descr: &str, part: &str| {
        refused(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}"), part);
    };
    with("'|O'", "Python objects");
    with("'|T16'", "variable length");
    with("'<f3'", "'<f3' is unknown");
    with("''", "unknown");
    with("'é8'", "unknown");
    with("'|S4294967296'", "unknown");
    with("'|S+1'", "unknown");
    with("'<M8[0s]'", "unknown");
    with("'<M8[ms/7]'", "unknown");
    with("'<M8[2generic]'", "unknown");
    with("'>f16'", "another kind of machine");
    with("7", "neither a text nor a list");
    with("[('x', '<i4'), ('x', '<i4')]", "name or title \"x\"");
    with("[('x', '<i4', -1)]", "a literal");
    with("[('x',)]", "neither two nor three");
    with("['x']", "no tuple");
    with("[('x', '<f8', (18446744073709551615, 2))]", "overflow");
    with("[('x', '|V4294967295', (2147483648,)), ('y', '|V4294967295', (2147483648,))]", "the limit is");
    with(&format!("{}'<f8'{}", "[('a', ".repeat(33), ")]".repeat(33)), "nesting");
    refused("{'descr': '<f8', 'fortran_order': False}", "no 'shape'");
    refused("{'descr': '<f8', 'fortran_order': 0, 'shape': ()}", "neither True nor False");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': 3}", "no tuple");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}", "no tuple");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), 'more': 1}", "other keys");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "overflow");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 18446744073709551615)}", "overflow");
    let many = "1, ".repeat(65);
    refused(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({many})}}"), "65 dimensions");
    refused("[]", "no dictionary");
}

#[test]
fn broken_files_are_refused() {
    let refused = |bytes: &[u8], part: &str| {
        let reason = read(bytes).unwrap_err();
        assert!(reason.contains(part), "{part:?} is missing in: {reason}");
    };
    refused(b"", "no .npy file");
    refused(b"\x93NUMP", "no .npy file");
    refused(b"PK\x03\x04 something else", "no .npy file");
    refused(b"\x93NUMPY\x01\x01\x00\x00", "version 1.1");
    refused(b"\x93NUMPY\x04\x00\x00\x00", "version 4.0");
    refused(b"\x93NUMPY\x01\x00\x00", "ends within its header");
    // No room is made for what a header only claims.
    refused(&bytes_of([2, 0], Some(u32::MAX), b"{"), "4294967295 bytes");
    refused(&bytes_of([2, 0], Some(MAX_HEADER as u32), b"{"), "ends within its header");
    refused(&bytes_of([3, 0], None, b"{'\xff'"), "no UTF-8");
    let whole = header(&ElementType::F64, &[2, 3], false, false).unwrap();
    for len in 0..whole.len() {
        assert!(read(&whole[..len]).is_err());
    }
}

#[test]
fn what_npy_cannot_say() {
    let refused = |element: &ElementType, part: &str| {
        let why = header(element, &[2], false, false).unwrap_err().to_string();
        assert!(why.contains(part), "{part:?} is missing in: {why}");
        let size = element.item_size() as u32;
        let opaque = read(&header(element, &[2], false, true).unwrap()).unwrap();
        assert_eq!(opaque.element(), &ElementType::Opaque(size));
    };
    let record = |text: &str| ElementType::Record(Arc::new(Record::parse(text.as_bytes()).unwrap()));
    refused(&ElementType::BF16, "no type for bf16");
    refused(&record("{8;1:x@0=<i4;1:y@2=<i4}"), "'y' of its records overlaps");
    refused(&record("{2;1:x@0=<b2}"), "no type for bf16");
    refused(&record("{2;0:@0=V2}"), "taken for a gap");
    let other = [LongDouble::X87, LongDouble::Binary].map(ElementType::LongDouble);
    let other = other.iter().find(|long| **long != ElementType::long_double()).unwrap();
    refused(other, "on this machine");
    // Out of order is no matter: the bytes are the same.
    let turned = record("{8a;1:y@4=<i4;1:x@0=<i4}");
    let back = read(&header(&turned, &[2], false, false).unwrap()).unwrap();
    assert!(turned.is_compatible_with(back.element()));
}

#[test]
fn bf16_comes_back_when_asked() {
    for fortran in [false, true] {
        let layout = read(&header(&ElementType::BF16, &[2, 3], fortran, true).unwrap()).unwrap();
        let back = as_bf16(&layout).unwrap();
        assert_eq!(back.element(), &ElementType::BF16);
        assert_eq!(back.strides_bytes(), layout.strides_bytes());
    }
    assert!(as_bf16(&ArrayLayout::c_order(ElementType::Opaque(3), &[2]).unwrap()).is_none());
}

#[test]
fn versions() {
    let version = |name: &str, fields: usize| {
        let field = |index| Field::new(format!("{name}{index}"), index, ElementType::U8);
        let record = Record::new(fields, false, (0..fields).map(field).collect()).unwrap();
        let element = ElementType::Record(Arc::new(record));
        let bytes = header(&element, &[], false, false).unwrap();
        assert_eq!(bytes.len() % ALIGN, 0);
        assert!(read(&bytes).unwrap().element().is_compatible_with(&element));
        bytes[6]
    };
    assert_eq!((version("x", 1), version("x", 5000), version("ß", 1)), (1, 2, 3));
    // Latin-1, as NumPy writes it into version 1.0.
    let text = b"{'descr': [('\xdf', '<f8')], 'fortran_order': False, 'shape': ()}";
    assert_eq!(read(&bytes_of([1, 0], None, text)).unwrap().element().to_string(), "record{ß: f64}");
}

fn order() -> impl Strategy<Value = ByteOrder> {
    select(vec![ByteOrder::Little, ByteOrder::Big])
}

fn scalar() -> impl Strategy<Value = ElementType> {
    use Number::*;
    let numbers = vec![I16, I32, I64, U16, U32, U64, F16, F32, F64, C64, C128];
    let unit =
        (1_u32.., 1_u32..14).prop_map(|(many, base)| TimeUnit::new(many, TimeBase::from_number(base)?));
    let unit = unit.prop_map(|unit| unit.unwrap_or(TimeUnit::of(TimeBase::Generic)));
    prop_oneof![
        select(vec![ElementType::Bool, ElementType::I8, ElementType::U8]),
        select(vec![ElementType::long_double(), ElementType::long_double_complex()]),
        (select(numbers), order()).prop_map(|(number, order)| ElementType::Number(number, order)),
        (0_u32..20).prop_map(ElementType::Bytes),
        (0_u32..20).prop_map(ElementType::Opaque),
        (0_u32..20, order()).prop_map(|(points, order)| ElementType::Text(points, order)),
        (unit.clone(), order()).prop_map(|(unit, order)| ElementType::DateTime(unit, order)),
        (unit, order()).prop_map(|(unit, order)| ElementType::TimeSpan(unit, order)),
    ]
}

/// Types that a .npy file can name: records with gaps, sub-arrays, titles and any text for a name.
fn any_element() -> impl Strategy<Value = ElementType> {
    scalar().prop_recursive(4, 16, 4, |inner| {
        let field = (any::<String>(), any::<Option<String>>(), inner, vec(0_usize..4, 0..3), 0_usize..9);
        (vec(field, 0..5), 0_usize..9).prop_map(|(fields, end)| {
            let mut at = 0;
            let fields = fields.into_iter().enumerate().map(|(index, (name, title, element, shape, gap))| {
                at += gap;
                let field = Field::new(format!("{index}{name}"), at, element).with_shape(&shape).unwrap();
                at += field.size_bytes();
                match title {
                    Some(title) => field.with_title(format!("{index}-{title}")),
                    None => field,
                }
            });
            let fields = fields.collect();
            ElementType::Record(Arc::new(Record::new(at + end, false, fields).unwrap()))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_layout_comes_back(element in any_element(), shape in vec(0_usize..9, 0..6), fortran: bool) {
        let bytes = header(&element, &shape, fortran, false).unwrap();
        prop_assert_eq!(bytes.len() % ALIGN, 0);
        let make = if fortran { ArrayLayout::f_order } else { ArrayLayout::c_order };
        let layout = read(&bytes);
        prop_assert!(layout.as_ref().is_ok_and(|found| found.element().is_compatible_with(&element)), "{layout:?}");
        prop_assert_eq!(layout, Ok(make(element, &shape).unwrap()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(version in 1_u8..4, text in vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes_of([version, 0], None, &text));
    }

    #[test]
    fn damaged_headers_are_read_or_refused(
        element in any_element(), shape in vec(any::<u32>(), 0..4), damage in vec((any::<u16>(), any::<u8>()), 1..4),
    ) {
        let shape: Vec<usize> = shape.into_iter().map(|extent| extent as usize).collect();
        let mut bytes = header(&element, &shape, false, false).unwrap();
        for (at, byte) in damage {
            let at = at as usize % bytes.len();
            bytes[at] = byte;
        }
        let _ = read_header(&mut &bytes[..]);
    }
}
