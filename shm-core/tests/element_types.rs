//! Every element type that the format has, from one process to another and back: values, bytes and byte order.
//!
//! Where elements lie is in `array.rs`, what refuses to be one type for another in `bad_input.rs`.

mod common;

use std::fmt::Debug;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::{Name, alone, fork, kind};
use ndarray::Ix1;
use num_complex::Complex;
use shm_core::element::{BigEndian, Bool, DateTime, FixedBytes, FixedText, TimeSpan, unit};
use shm_core::layout::{ByteOrder, LongDouble, Number, TimeBase, TimeUnit};
use shm_core::{AnyArray, ArrayLayout, Element, ElementType, ErrorKind, Record, SharedArray};

#[test]
fn smoke() {
    let _alone = alone();
    travel(&[1.5f64], &1.5f64.to_le_bytes());
}

/// Carries values to another process and back, and compares the bytes in between.
fn travel<T: Element + PartialEq + Debug>(values: &[T], bytes: &[u8]) {
    let name = Name::shm("travel");
    let array = SharedArray::from_iter(&name, values.iter().copied()).unwrap();
    let element = T::element_type();
    assert_eq!(array.as_any().layout().element(), &element);
    let mut file = vec![0; bytes.len()];
    let offset = array.segment().entries()[0].offset() as u64;
    std::fs::File::open(name.path()).unwrap().read_exact_at(&mut file, offset).unwrap();
    assert_eq!(file, bytes, "{element}");
    fork(|| {
        let array = SharedArray::<T, Ix1>::attach(&name).unwrap();
        assert_eq!(array.to_ndarray().as_slice().unwrap(), values, "{element}");
        // In reverse order, one by one.
        for (i, value) in values.iter().rev().enumerate() {
            array.set(i, *value);
        }
        let big = array.as_any().layout().element().byte_order() == Some(ByteOrder::Big);
        assert_eq!(big, element.byte_order() == Some(ByteOrder::Big));
    })
    .expect_success();
    for (i, value) in values.iter().rev().enumerate() {
        assert_eq!(array.get(i), *value, "{element}");
    }
}

shm_core::record! {
    #[derive(Debug, PartialEq)]
    struct Event {
        time: DateTime<unit::Millisecond>,
        place: [f32; 2],
        size: BigEndian<u32>,
        tag: FixedBytes<3>,
        seen: Bool,
    }
}

#[test]
fn every_rust_type_travels() {
    let _alone = alone();
    travel(&[i8::MIN, -1, 0, i8::MAX], &[0x80, 0xFF, 0, 0x7F]);
    travel(&[0u8, 1, u8::MAX], &[0, 1, 0xFF]);
    travel(&[i16::MIN, 0x0102], &[0, 0x80, 2, 1]);
    travel(&[u16::MAX, 0x0102], &[0xFF, 0xFF, 2, 1]);
    travel(&[i32::MIN, 0x0102_0304], &[0, 0, 0, 0x80, 4, 3, 2, 1]);
    travel(&[u32::MAX, 0x0102_0304], &[0xFF, 0xFF, 0xFF, 0xFF, 4, 3, 2, 1]);
    travel(&[i64::MIN, 1], &[0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0]);
    travel(&[0x0102_0304_0506_0708u64], &[8, 7, 6, 5, 4, 3, 2, 1]);
    travel(&[1.0f32, -0.0], &[0, 0, 0x80, 0x3F, 0, 0, 0, 0x80]);
    travel(&[1.0f64, f64::NEG_INFINITY], &[0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0xF0, 0xFF]);
    travel(&[Complex::new(1.0f32, -2.0)], &[0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]);
    travel(&[Complex::new(0.0f64, 1.0)], &[[0; 8], [0, 0, 0, 0, 0, 0, 0xF0, 0x3F]].concat());
    travel(&[half::f16::from_f32(1.0), half::f16::from_f32(-2.0)], &[0, 0x3C, 0, 0xC0]);
    travel(&[half::bf16::from_f32(1.0)], &[0x80, 0x3F]);
    travel(&[Bool::TRUE, Bool::FALSE], &[1, 0]);
    travel(&[FixedBytes::<3>::new(b"ab").unwrap(), FixedBytes::new(b"").unwrap()], b"ab\0\0\0\0");
    travel(&[FixedText::<2>::new("ä").unwrap()], &[0xE4, 0, 0, 0, 0, 0, 0, 0]);
    travel(
        &[DateTime::<unit::Second>::new(1), DateTime::NOT_A_TIME],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80],
    );
    travel(&[TimeSpan::<unit::Times<25, unit::Day>>::new(-1)], &[0xFF; 8]);
    travel(&[BigEndian::new(0x0102u16)], &[1, 2]);
    travel(&[BigEndian::new(-2i32)], &[0xFF, 0xFF, 0xFF, 0xFE]);
    travel(&[BigEndian::new(1.0f64)], &[0x3F, 0xF0, 0, 0, 0, 0, 0, 0]);
    travel(&[BigEndian::new(Complex::new(1.0f32, 2.0))], &[0x3F, 0x80, 0, 0, 0x40, 0, 0, 0]);
    travel(&[BigEndian::new(FixedText::<2>::new("a").unwrap())], &[0, 0, 0, b'a', 0, 0, 0, 0]);
    travel(&[BigEndian::new(DateTime::<unit::Day>::new(1))], &[0, 0, 0, 0, 0, 0, 0, 1]);
    travel(&[BigEndian::new(TimeSpan::<unit::Generic>::new(1))], &[0, 0, 0, 0, 0, 0, 0, 1]);
    travel(&[BigEndian::new(half::f16::from_f32(1.0))], &[0x3C, 0]);
    let event = Event {
        time: DateTime::new(1),
        place: [1.0, 0.0],
        size: BigEndian::new(7),
        tag: FixedBytes::new(b"xyz").unwrap(),
        seen: Bool::TRUE,
    };
    let bytes =
        [&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F, 0, 0, 0, 0, 0, 0, 0, 7][..], b"xyz\x01"].concat();
    travel(&[event], &bytes);
}

/// Every element type that the format has, most of them in both byte orders.
fn all_types() -> Vec<ElementType> {
    use Number::*;
    let mut all = vec![ElementType::Bool, ElementType::I8, ElementType::U8];
    let numbers = [I16, I32, I64, U16, U32, U64, F16, F32, F64, BF16, C64, C128];
    let units = [TimeBase::Generic, TimeBase::Year, TimeBase::Nanosecond, TimeBase::Attosecond];
    for order in [ByteOrder::Little, ByteOrder::Big] {
        all.extend(numbers.map(|number| ElementType::Number(number, order)));
        all.extend([0, 1, 7].map(|points| ElementType::Text(points, order)));
        all.extend(units.map(|base| ElementType::DateTime(TimeUnit::of(base), order)));
        all.extend(units.map(|base| ElementType::TimeSpan(TimeUnit::of(base), order)));
        all.push(ElementType::DateTime(TimeUnit::new(25, TimeBase::Second).unwrap(), order));
    }
    all.extend(
        [LongDouble::X87, LongDouble::X87Complex, LongDouble::Binary, LongDouble::BinaryComplex]
            .map(ElementType::LongDouble),
    );
    all.extend([0, 1, 300].map(ElementType::Bytes));
    all.extend([0, 1, 300].map(ElementType::Opaque));
    let long: String = (0..300).map(|i| format!(";9:field{i:04}@{}=>f4", 4 * (299 - i))).collect();
    for text in [
        "{0}",
        "{3;1:x~5:title@1=(2)<u1}",
        "{8a;1:x@4=<i4;1:y@0=<f4}",
        "{4;1:x@0=<u4;1:y@0=<f4}",
        &format!("{{1200{long}}}"),
    ] {
        all.push(ElementType::Record(Arc::new(Record::parse(text.as_bytes()).unwrap())));
    }
    all
}

#[test]
fn every_type_of_the_format_travels() {
    let _alone = alone();
    for element in all_types() {
        let name = Name::shm("types");
        let layout = ArrayLayout::c_order(element.clone(), &[2, 3]).unwrap();
        let array = AnyArray::create(&name, &layout).unwrap();
        let size = element.item_size();
        let pattern = |i: usize, j: usize| -> Vec<u8> {
            (0..size).map(|k| (100 * i + 31 * j + 7 * k + 1) as u8).collect()
        };
        for (i, j) in [(0, 0), (0, 2), (1, 1), (1, 2)] {
            array.write_element(&[i, j], &pattern(i, j)).unwrap();
        }
        fork(|| {
            let array = AnyArray::attach(&name).unwrap();
            assert_eq!(array.layout(), &layout, "{element}");
            assert_eq!(array.as_ptr().addr() % element.alignment(), 0, "{element}");
            let mut bytes = vec![0; size];
            for (i, j) in [(0, 0), (0, 2), (1, 1), (1, 2)] {
                array.read_element(&[i, j], &mut bytes).unwrap();
                assert_eq!(bytes, pattern(i, j), "{element}");
            }
            array.read_element(&[1, 0], &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0), "{element}: zeros where nobody wrote");
            array.write_element(&[1, 0], &pattern(7, 7)).unwrap();
        })
        .expect_success();
        let mut bytes = vec![0; size];
        array.read_element(&[1, 0], &mut bytes).unwrap();
        assert_eq!(bytes, pattern(7, 7), "{element}");
        let other = if element == ElementType::U8 { ElementType::I8 } else { ElementType::U8 };
        let again = AnyArray::create_or_attach(&name, &ArrayLayout::c_order(other, &[2, 3]).unwrap());
        assert_eq!(kind(again), ErrorKind::TypeMismatch, "{element}");
    }
}
