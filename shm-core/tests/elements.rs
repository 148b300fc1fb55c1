//! Element types: every row of the table in `FORMAT.md`, section 3.2, goes from one process to another and keeps its bytes.
//!
//! What a descriptor may hold is tested with the layouts; types that differ are in `bad_input.rs`.

mod common;

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::{Name, alone, fork, refused};
use ndarray::Ix1;
use num_complex::Complex;
use shm_core::element::{BigEndian, Bool, DateTime, FixedBytes, FixedText, TimeSpan, bytemuck, unit};
use shm_core::layout::{ByteOrder, LongDouble, Number, TimeBase, TimeUnit, TypeCode};
use shm_core::{
    Anonymous, AnyArray, ArrayLayout, Contents, Element, ElementType, ErrorKind, Record, Segment,
    SegmentOptions, SharedArray,
};
use shm_testkit::rerun;

#[test]
fn smoke() {
    let _alone = alone();
    let name = Name::shm("smoke");
    let a = SharedArray::from_iter(&name, [1u16, 0x0203]).unwrap();
    fork(|| {
        let any = AnyArray::attach(&name).unwrap();
        assert_eq!(any.layout().element(), &ElementType::U16);
        let mut bytes = [0; 2];
        any.read_element(&[1], &mut bytes).unwrap();
        assert_eq!(bytes, [3, 2]);
        any.write_element(&[0], &[0, 1]).unwrap();
    })
    .expect_success();
    assert_eq!(a.get(0), 256);
}

/// Fields out of order, one over another, a title, a sub-array, a record within, both byte orders.
const RECORD: &str =
    "{40;1:b@8=<f8;1:a~5:first@0=>i4;4:over@0=(2,4)<u1;5:inner@16={9;1:x@1=<c8};4:text@28=>U3}";

/// Descriptions of records and their sizes: none and one field, with C's alignment, one field over another, and one that runs past the first page.
fn records() -> Vec<(String, usize)> {
    let long: String = (0..300).map(|i| format!(";9:field{i:04}@{}=>f4", 4 * (299 - i))).collect();
    let mut records = vec![(format!("{{1200{long}}}"), 1200)];
    for (text, size) in [
        (RECORD, 40),
        ("{0}", 0),
        ("{3;1:x~5:title@1=(2)<u1}", 3),
        ("{8a;1:x@4=<i4;1:y@0=<f4}", 8),
        ("{4;1:x@0=<u4;1:y@0=<f4}", 4),
    ] {
        records.push((text.to_owned(), size));
    }
    records
}

/// Element type, (code, bits, count, unit) and item size, as the table has them.
fn table() -> Vec<(ElementType, [u32; 4], usize)> {
    use ElementType as E;
    let (little, big) = (ByteOrder::Little, ByteOrder::Big);
    let mut rows = vec![
        (E::I8, [0, 8, 0, 0], 1),
        (E::U8, [1, 8, 0, 0], 1),
        (E::Bool, [6, 8, 0, 0], 1),
        (E::Bytes(0), [160, 8, 0, 0], 0),
        (E::Bytes(1), [160, 8, 1, 0], 1),
        (E::Bytes(300), [160, 8, 300, 0], 300),
        (E::Text(0, little), [161, 32, 0, 0], 0),
        (E::Text(5, little), [161, 32, 5, 0], 20),
        (E::Text(5, big), [162, 32, 5, 0], 20),
        (E::Opaque(0), [167, 8, 0, 0], 0),
        (E::Opaque(7), [167, 8, 7, 0], 7),
        (E::LongDouble(LongDouble::X87), [169, 128, 0, 0], 16),
        (E::LongDouble(LongDouble::X87Complex), [170, 0, 0, 0], 32),
        (E::LongDouble(LongDouble::Binary), [171, 128, 0, 0], 16),
        (E::LongDouble(LongDouble::BinaryComplex), [172, 0, 0, 0], 32),
    ];
    for (text, size) in records() {
        rows.push((E::Record(Arc::new(Record::parse(text.as_bytes()).unwrap())), [168, 8, 0, 0], size));
    }
    let numbers = [
        (Number::I16, 0, 16),
        (Number::I32, 0, 32),
        (Number::I64, 0, 64),
        (Number::U16, 1, 16),
        (Number::U32, 1, 32),
        (Number::U64, 1, 64),
        (Number::F16, 2, 16),
        (Number::F32, 2, 32),
        (Number::F64, 2, 64),
        (Number::BF16, 4, 16),
        (Number::C64, 5, 64),
        (Number::C128, 5, 128),
    ];
    for (number, code, bits) in numbers {
        rows.push((E::Number(number, little), [code, bits, 0, 0], bits as usize / 8));
        rows.push((E::Number(number, big), [code + 128, bits, 0, 0], bits as usize / 8));
    }
    let units = [
        TimeBase::Generic,
        TimeBase::Year,
        TimeBase::Month,
        TimeBase::Week,
        TimeBase::Day,
        TimeBase::Hour,
        TimeBase::Minute,
        TimeBase::Second,
        TimeBase::Millisecond,
        TimeBase::Microsecond,
        TimeBase::Nanosecond,
        TimeBase::Picosecond,
        TimeBase::Femtosecond,
        TimeBase::Attosecond,
    ];
    for (number, base) in (0..).zip(units) {
        let many = if base == TimeBase::Generic { 1 } else { u32::MAX - number };
        for (many, unit) in [(1, TimeUnit::of(base)), (many, TimeUnit::new(many, base).unwrap())] {
            rows.push((E::DateTime(unit, little), [163, 64, many, number], 8));
            rows.push((E::DateTime(unit, big), [164, 64, many, number], 8));
            rows.push((E::TimeSpan(unit, little), [165, 64, many, number], 8));
            rows.push((E::TimeSpan(unit, big), [166, 64, many, number], 8));
        }
    }
    rows
}

/// The shape of the arrays below.
const SHAPE: [usize; 2] = [2, 3];

/// Some bytes for one element.
fn pattern(row: usize, index: [usize; 2], size: usize) -> Vec<u8> {
    (0..size).map(|i| (row * 31 + index[0] * 101 + index[1] * 17 + i * 7 + 1) as u8).collect()
}

/// Calls `visit` with the place in the table, the array of that type and each index in it.
fn each_element(segment: &Segment, mut visit: impl FnMut(usize, &AnyArray, [usize; 2])) {
    for row in 0..table().len() {
        let array = AnyArray::in_segment(segment, &row.to_string()).unwrap();
        for i in 0..SHAPE[0] {
            for j in 0..SHAPE[1] {
                visit(row, &array, [i, j]);
            }
        }
    }
}

fn read(array: &AnyArray, index: [usize; 2]) -> Vec<u8> {
    let mut bytes = vec![0xEE; array.layout().element().item_size()];
    array.read_element(&index, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_unrelated_process_reads_and_writes_every_type() {
    let _alone = alone();
    let name = Name::shm("types");
    let mut contents = Contents::new();
    for (row, (element, _, size)) in table().into_iter().enumerate() {
        assert_eq!(element.item_size(), size, "{element}");
        let layout = if row % 2 == 0 { ArrayLayout::c_order } else { ArrayLayout::f_order };
        contents = contents.array(&row.to_string(), &layout(element, &SHAPE).unwrap()).unwrap();
    }
    let segment = SegmentOptions::new().create(&name, &contents).unwrap();
    each_element(&segment, |row, array, index| {
        let size = array.layout().element().item_size();
        array.write_element(&index, &pattern(row, index, size)).unwrap();
    });
    let output = rerun("reader_of_every_type", &[("SHM_TEST_NAME", &name.text())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    each_element(&segment, |row, array, index| {
        let mut expected = pattern(row, index, array.layout().element().item_size());
        expected.iter_mut().for_each(|byte| *byte = !*byte);
        assert_eq!(read(array, index), expected, "{}", array.layout().element());
    });
}

#[test]
#[ignore = "run by an_unrelated_process_reads_and_writes_every_type"]
fn reader_of_every_type() {
    let segment = Segment::attach(std::env::var("SHM_TEST_NAME").unwrap()).unwrap();
    let table = table();
    each_element(&segment, |row, array, index| {
        let (element, [code, bits, count, unit], size) = &table[row];
        let found = array.layout().element();
        assert_eq!(found, element);
        let codes = TypeCode { code: *code as u8, bits: *bits as u8, count: *count, unit: *unit };
        assert_eq!(found.type_code(), codes, "{element}");
        assert_eq!(array.layout().shape(), SHAPE);
        assert_eq!(array.as_ptr().addr() % found.alignment(), 0, "{element}");
        let mut bytes = read(array, index);
        assert_eq!(bytes, pattern(row, index, *size), "{element}");
        if let ElementType::Record(record) = found {
            let text = record.to_string();
            assert!(records().iter().any(|(written, _)| *written == text), "{text}");
        }
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        array.write_element(&index, &bytes).unwrap();
    });
}

/// Another process finds these bytes behind a typed element, finds the value, and writes it somewhere else.
#[track_caller]
fn keeps<T: Element>(value: T, bytes: &[u8]) {
    let name = Name::shm("typed");
    let ours = SharedArray::<T, _>::zeros(&name, 3).unwrap();
    ours.set(1, value);
    let mut file = vec![0xEE; bytes.len()];
    let offset = ours.segment().entries()[0].offset() + bytes.len();
    std::fs::File::open(name.path()).unwrap().read_exact_at(&mut file, offset as u64).unwrap();
    assert_eq!(file, bytes, "{}", T::element_type());
    fork(|| {
        let theirs = SharedArray::<T, Ix1>::attach(&name).unwrap();
        assert_eq!(theirs.as_any().layout().element(), &T::element_type());
        let mut found = vec![0xEE; bytes.len()];
        theirs.as_any().read_element(&[1], &mut found).unwrap();
        assert_eq!(found, bytes);
        assert_eq!(bytemuck::bytes_of(&theirs.get(1)), bytes);
        assert!(bytemuck::bytes_of(&theirs.get(0)).iter().all(|byte| *byte == 0));
        theirs.as_any().write_element(&[2], bytes).unwrap();
    })
    .expect_success();
    assert_eq!(bytemuck::bytes_of(&ours.get(2)), bytes, "{}", T::element_type());
    assert_eq!(bytemuck::bytes_of(&ours.to_ndarray()[2]), bytes);
}

shm_core::record! {
    #[derive(Debug, PartialEq)]
    struct Inner {
        x: BigEndian<u16>,
        y: i16,
    }
}

shm_core::record! {
    #[derive(Debug, PartialEq)]
    struct Outer {
        mass: f32,
        inner: [Inner; 2],
        name: FixedText<1>,
    }
}

shm_core::record! {
    #[derive(Debug, PartialEq)]
    struct Event {
        time: DateTime<unit::Millisecond>,
        place: [f32; 2],
        tag: FixedBytes<7>,
        seen: Bool,
    }
}

#[test]
fn typed_elements_keep_their_bytes() {
    let _alone = alone();
    keeps(i8::MIN, &[0x80]);
    keeps(0xFEu8, &[0xFE]);
    keeps(-2i16, &[0xFE, 0xFF]);
    keeps(0x0102u16, &[2, 1]);
    keeps(-2i32, &[0xFE, 0xFF, 0xFF, 0xFF]);
    keeps(0x0102_0304u32, &[4, 3, 2, 1]);
    keeps(i64::MIN + 1, &[1, 0, 0, 0, 0, 0, 0, 0x80]);
    keeps(0x0102_0304_0506_0708u64, &[8, 7, 6, 5, 4, 3, 2, 1]);
    keeps(1.5f32, &[0, 0, 0xC0, 0x3F]);
    keeps(-0.0f32, &[0, 0, 0, 0x80]);
    keeps(f64::NEG_INFINITY, &[0, 0, 0, 0, 0, 0, 0xF0, 0xFF]);
    keeps(1.5f64, &[0, 0, 0, 0, 0, 0, 0xF8, 0x3F]);
    keeps(f32::from_bits(0x7F80_0001), &[1, 0, 0x80, 0x7F]); // a signalling NaN
    keeps(Complex::new(1.5f32, -2.0), &[0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0]);
    keeps(Complex::new(0.0f64, 1.5), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F]);
    keeps(Bool::TRUE, &[1]);
    keeps::<Bool>(bytemuck::cast(0xA5u8), &[0xA5]);
    keeps(FixedBytes::<3>::new(b"ab").unwrap(), b"ab\0");
    keeps(FixedBytes::<2>::new(b"").unwrap(), &[0; 2]);
    keeps(FixedText::<2>::new("é").unwrap(), &[0xE9, 0, 0, 0, 0, 0, 0, 0]);
    keeps(DateTime::<unit::Second>::new(258), &[2, 1, 0, 0, 0, 0, 0, 0]);
    keeps(TimeSpan::<unit::Times<25, unit::Day>>::NOT_A_TIME, &[0, 0, 0, 0, 0, 0, 0, 0x80]);
    #[cfg(feature = "half")]
    {
        keeps(half::f16::from_f32(1.5), &[0, 0x3E]);
        keeps(half::bf16::from_f32(1.5), &[0xC0, 0x3F]);
        keeps(BigEndian::new(half::f16::from_f32(1.5)), &[0x3E, 0]);
        keeps(BigEndian::new(half::bf16::from_f32(1.5)), &[0x3F, 0xC0]);
    }

    keeps(BigEndian::new(-2i16), &[0xFF, 0xFE]);
    keeps(BigEndian::new(0x0102u16), &[1, 2]);
    keeps(BigEndian::new(-2i32), &[0xFF, 0xFF, 0xFF, 0xFE]);
    keeps(BigEndian::new(0x0102_0304u32), &[1, 2, 3, 4]);
    keeps(BigEndian::new(258i64), &[0, 0, 0, 0, 0, 0, 1, 2]);
    keeps(BigEndian::new(258u64), &[0, 0, 0, 0, 0, 0, 1, 2]);
    keeps(BigEndian::new(1.5f32), &[0x3F, 0xC0, 0, 0]);
    keeps(BigEndian::new(1.5f64), &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0]);
    keeps(BigEndian::new(Complex::new(1.5f32, -2.0)), &[0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0]);
    keeps(BigEndian::new(Complex::new(1.5f64, 0.0)), &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    keeps(BigEndian::new(FixedText::<2>::new("é").unwrap()), &[0, 0, 0, 0xE9, 0, 0, 0, 0]);
    keeps(BigEndian::new(DateTime::<unit::Month>::new(258)), &[0, 0, 0, 0, 0, 0, 1, 2]);
    keeps(BigEndian::new(TimeSpan::<unit::Hour>::new(258)), &[0, 0, 0, 0, 0, 0, 1, 2]);

    let inner = |x: u16, y| Inner { x: x.into(), y };
    let outer =
        Outer { mass: 1.5, inner: [inner(0x0102, 0x0304), inner(5, -2)], name: "é".parse().unwrap() };
    let bytes = [0, 0, 0xC0, 0x3F, 1, 2, 4, 3, 0, 5, 0xFE, 0xFF, 0xE9, 0, 0, 0];
    keeps(outer, &bytes);
    let event = Event {
        time: DateTime::NOT_A_TIME,
        place: [1.5, 0.0],
        tag: FixedBytes::new(b"xyz").unwrap(),
        seen: Bool::TRUE,
    };
    keeps(event, b"\0\0\0\0\0\0\0\x80\0\0\xC0\x3F\0\0\0\0xyz\0\0\0\0\x01");
}

#[test]
fn the_other_byte_order_is_another_type() {
    let name = Name::shm("order");
    let network = SharedArray::<BigEndian<u32>, _>::full(&name, 2, 7.into()).unwrap();
    let parts = &[&name.text()[..], "u32 (big-endian)", "u32 was asked for"];
    refused(SharedArray::<u32, Ix1>::attach(&name), ErrorKind::TypeMismatch, parts);
    assert_eq!(network.get(1).get(), 7);

    let name = Name::shm("unit");
    SharedArray::<DateTime<unit::Second>, _>::zeros(&name, 2).unwrap();
    let parts = &["datetime[s]", "datetime[ms] was asked for"];
    refused(SharedArray::<DateTime<unit::Millisecond>, Ix1>::attach(&name), ErrorKind::TypeMismatch, parts);
    refused(
        SharedArray::<TimeSpan<unit::Second>, Ix1>::attach(&name),
        ErrorKind::TypeMismatch,
        &["timespan[s]"],
    );
    refused(SharedArray::<i64, Ix1>::attach(&name), ErrorKind::TypeMismatch, &["i64"]);

    let name = Name::shm("length");
    SharedArray::<FixedBytes<3>, _>::zeros(&name, 2).unwrap();
    let parts = &["bytes[3]", "bytes[4] was asked for"];
    refused(SharedArray::<FixedBytes<4>, Ix1>::attach(&name), ErrorKind::TypeMismatch, parts);
}

#[test]
fn a_struct_reads_records_that_others_described() {
    // The same fields listed in another order, with a title, not marked as aligned: as NumPy would write it.
    let described = b"{16;4:name@12=<U1;4:mass~4:kilo@0=<f4;5:inner@4=(2){4;1:x@0=>u2;1:y@2=<i2}}";
    let element = ElementType::Record(Arc::new(Record::parse(described).unwrap()));
    let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(element, &[2]).unwrap()).unwrap();
    any.write_element(&[1], &[0, 0, 0xC0, 0x3F, 1, 2, 4, 3, 0, 5, 0xFE, 0xFF, 0xE9, 0, 0, 0]).unwrap();
    let outer = any.typed::<Outer, Ix1>().unwrap().get(1);
    assert_eq!((outer.mass, outer.inner[0].x.get(), outer.inner[1].y), (1.5, 0x0102, -2));
    assert_eq!(outer.name.to_text().unwrap(), "é");

    // One that differs in a single offset, name, type or size is another one.
    let others = [
        &b"{16;4:name@8=<U1;4:mass@0=<f4;5:inner@4=(2){4;1:x@0=>u2;1:y@2=<i2}}"[..],
        b"{16;4:nama@12=<U1;4:mass@0=<f4;5:inner@4=(2){4;1:x@0=>u2;1:y@2=<i2}}",
        b"{16;4:name@12=<U1;4:mass@0=<f4;5:inner@4=(2){4;1:x@0=<u2;1:y@2=<i2}}",
        b"{16;4:name@12=<U1;4:mass@0=<f4;5:inner@4=(1){4;1:x@0=>u2;1:y@2=<i2}}",
        b"{20;4:name@12=<U1;4:mass@0=<f4;5:inner@4=(2){4;1:x@0=>u2;1:y@2=<i2}}",
        b"{16;4:name@12=<U1;4:mass@0=<f4}",
    ];
    for description in others {
        let element = ElementType::Record(Arc::new(Record::parse(description).unwrap()));
        let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(element, &[2]).unwrap()).unwrap();
        let text = String::from_utf8_lossy(description);
        assert_eq!(any.typed::<Outer, Ix1>().unwrap_err().kind(), ErrorKind::TypeMismatch, "{text}");
    }
}
