//! Arrays: orders and strides against a naive indexer, constructors, limits, copies in and out while others write.
//!
//! Element types have a file of their own, and so have mismatches of type and shape (`bad_input.rs`).

#![allow(unsafe_code, reason = "looks at mapped bytes and takes views that the type system cannot vouch for")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Name, alone, fork, kind, refused};
use ndarray::{Array2, ArrayD, Ix0, Ix1, Ix2, IxDyn, ShapeBuilder, array, s};
use shm_core::element::FixedBytes;
use shm_core::layout::MAX_DIMENSIONS;
use shm_core::{
    Access, Anonymous, AnyArray, ArrayLayout, ElementType, ErrorKind, SegmentOptions, SharedArray,
};
use shm_testkit::Numbers;

const I32: ElementType = ElementType::I32;

#[test]
fn smoke() {
    let _alone = alone();
    let name = Name::shm("smoke");
    let a = SharedArray::<f64, _>::zeros(&name, (3, 4)).unwrap();
    assert_eq!((a.shape(), a.strides(), a.len()), (&[3, 4][..], &[4, 1][..], 12));
    a.set((2, 3), 1.5);
    fork(|| {
        let b = SharedArray::<f64, Ix2>::attach(&name).unwrap();
        assert_eq!((b.shape(), b.get((2, 3)), b.get((0, 0))), (&[3, 4][..], 1.5, 0.0));
        b.set((0, 1), -2.0);
    })
    .expect_success();
    let mut expected = Array2::zeros((3, 4));
    expected[(2, 3)] = 1.5;
    expected[(0, 1)] = -2.0;
    assert_eq!(a.to_ndarray(), expected);
}

/// Calls `visit` with every index of a shape, the last one fastest, and its place in this order.
fn indices(shape: &[usize], mut visit: impl FnMut(usize, &[usize])) {
    let count: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    for place in 0..count {
        let mut rest = place;
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i = rest % extent;
            rest /= extent;
        }
        visit(place, &index);
    }
}

/// Where FORMAT.md says that an element lies, counted from the start of the array's entry.
fn naive_offset(layout: &ArrayLayout, index: &[usize]) -> usize {
    let mut offset = layout.origin() as i128;
    for (i, stride) in index.iter().zip(layout.strides_bytes()) {
        offset += *i as i128 * *stride as i128;
    }
    usize::try_from(offset).unwrap()
}

/// Copies all bytes of the array's entry out, gaps included.
fn entry_bytes(any: &AnyArray) -> Vec<u8> {
    let entry = &any.segment().entries()[0];
    let start = any.segment().as_ptr().wrapping_add(entry.offset());
    // SAFETY: the entry lies within the mapping; no other process has it, and no thread writes it.
    (0..entry.len()).map(|i| unsafe { start.add(i).read_volatile() }).collect()
}

/// Layouts of `i32` of all kinds.
fn layouts() -> Vec<ArrayLayout> {
    let strided = |shape: &[usize], strides: &[isize]| ArrayLayout::strided(I32, shape, strides).unwrap();
    vec![
        ArrayLayout::c_order(I32, &[]).unwrap(),
        ArrayLayout::c_order(I32, &[7]).unwrap(),
        ArrayLayout::c_order(I32, &[2, 3, 4]).unwrap(),
        ArrayLayout::f_order(I32, &[2, 3, 4]).unwrap(),
        ArrayLayout::f_order(I32, &[1, 5]).unwrap(),
        strided(&[5], &[-4]),
        strided(&[5], &[12]),
        strided(&[2, 3], &[-12, 4]),
        strided(&[2, 3], &[4, -8]),
        strided(&[3, 2, 2], &[-40, 20, -8]),
        strided(&[2, 1, 3], &[16, isize::MIN + 4, 4]),
        strided(&[1, 1], &[-4, isize::MAX]),
        strided(&[1, 3], &[isize::MIN, 4]),
        strided(&[0, 3], &[12, 4]),
        strided(&[3, 0], &[7, -9]),
        ArrayLayout::strided_from(I32, &[3, 2], &[16, -4], 100).unwrap(),
        ArrayLayout::strided_from(I32, &[], &[], 8).unwrap(),
    ]
}

/// Compares everything that an array of `i32` says and does with the naive indexer.
fn check_against_naive(layout: &ArrayLayout) {
    let any = AnyArray::create(Anonymous, layout).unwrap();
    assert_eq!(any.layout(), layout);
    let mut typed = any.typed::<i32, IxDyn>().unwrap();
    drop(any);
    assert_eq!(typed.shape(), layout.shape());
    let mut expected = ArrayD::<i32>::zeros(layout.shape());
    let value = |place: usize| 0x0101_0101i32.wrapping_mul(place as i32 + 1);

    // Through `set`; gaps stay as they are.
    let mut bytes = vec![0; layout.data_len_bytes()];
    indices(layout.shape(), |place, index| {
        typed.set(index, value(place));
        expected[index] = value(place);
        bytes[naive_offset(layout, index)..][..4].copy_from_slice(&value(place).to_le_bytes());
    });
    assert_eq!(entry_bytes(typed.as_any()), bytes);

    // All ways to read.
    assert_eq!(typed.to_ndarray(), expected);
    indices(layout.shape(), |_, index| {
        assert_eq!(typed.get(index), expected[index]);
        let mut element = [0; 4];
        typed.as_any().read_element(index, &mut element).unwrap();
        assert_eq!(element, expected[index].to_le_bytes());
    });
    // SAFETY: nobody else has the array, and it is not written while the view lives.
    assert_eq!(unsafe { typed.view() }, expected);

    // All other ways to write, each a change to every element.
    typed.assign(&expected.mapv(|v| !v)).unwrap();
    expected.mapv_inplace(|v| !v);
    assert_eq!(typed.to_ndarray(), expected, "assign");
    // SAFETY: nobody else has the array, and no other view lives.
    unsafe { typed.view_mut() }.mapv_inplace(|v| v ^ 0x55);
    expected.mapv_inplace(|v| v ^ 0x55);
    assert_eq!(typed.to_ndarray(), expected, "view_mut");
    let mut alone = typed.exclusive().unwrap();
    assert_eq!(alone.view(), expected);
    alone.view_mut().mapv_inplace(|v| v ^ 0x66);
    expected.mapv_inplace(|v| v ^ 0x66);
    assert_eq!(alone.as_mut_slice().is_some(), layout.is_c_contiguous());
    if let Some(slice) = alone.as_mut_slice() {
        assert_eq!(slice, expected.as_slice().unwrap());
    }
    drop(alone);
    assert_eq!(typed.to_ndarray(), expected, "exclusive");
    indices(layout.shape(), |_, index| {
        typed.as_any().write_element(index, &(!expected[index]).to_le_bytes()).unwrap();
        bytes[naive_offset(layout, index)..][..4].copy_from_slice(&(!expected[index]).to_le_bytes());
    });
    assert_eq!(entry_bytes(typed.as_any()), bytes);
    typed.fill(-1).unwrap();
    indices(layout.shape(), |_, index| bytes[naive_offset(layout, index)..][..4].fill(0xFF));
    assert_eq!(entry_bytes(typed.as_any()), bytes);
}

#[test]
fn every_order_is_as_a_naive_indexer_says() {
    let _alone = alone();
    for layout in layouts() {
        check_against_naive(&layout);
    }
}

#[test]
fn random_strides_are_as_a_naive_indexer_says() {
    let _alone = alone();
    let bytes = ArrayLayout::strided(ElementType::U8, &[1, 3], &[isize::MIN, 1]).unwrap();
    let bytes = AnyArray::create(Anonymous, &bytes).unwrap().typed::<u8, Ix2>().unwrap();
    bytes.set((0, 2), 7);
    // SAFETY: nobody else has the array.
    assert_eq!(unsafe { bytes.view() }, array![[0, 0, 7]]);

    let mut numbers = Numbers::new(0x9E37_79B9_7F4A_7C15);
    for _ in 0..300 {
        let ndim = numbers.below(5) as usize;
        let shape: Vec<usize> = (0..ndim).map(|_| 1 + numbers.below(4) as usize).collect();
        let mut strides = vec![0isize; ndim];
        let mut order: Vec<usize> = (0..ndim).collect();
        order.sort_by_key(|_| numbers.below(1000));
        let mut span = 4;
        for axis in order {
            let stride = span + 4 * numbers.below(3) as isize;
            strides[axis] = if numbers.below(2) == 0 { stride } else { -stride };
            span += stride * (shape[axis] as isize - 1);
        }
        check_against_naive(&ArrayLayout::strided(I32, &shape, &strides).unwrap());
    }
}

#[test]
fn another_process_sees_the_same_order() {
    let _alone = alone();
    for layout in layouts() {
        let name = Name::shm("order");
        let ours = AnyArray::create(&name, &layout).unwrap().typed::<i32, IxDyn>().unwrap();
        indices(layout.shape(), |place, index| ours.set(index, place as i32 + 1));
        fork(|| {
            let any = AnyArray::attach(&name).unwrap();
            assert_eq!(any.layout(), &layout);
            let theirs = any.typed::<i32, IxDyn>().unwrap();
            indices(layout.shape(), |place, index| {
                assert_eq!(theirs.get(index), place as i32 + 1);
                theirs.set(index, -(place as i32));
            });
        })
        .expect_success();
        indices(layout.shape(), |place, index| assert_eq!(ours.get(index), -(place as i32)));
    }
}

#[test]
fn sixty_four_dimensions() {
    let _alone = alone();
    // A few longer ones at the ends and in the middle; every second stride is negative.
    let shape: Vec<usize> =
        (0..MAX_DIMENSIONS).map(|axis| if [0, 1, 31, 32, 62, 63].contains(&axis) { 3 } else { 1 }).collect();
    let mut strides = vec![0isize; MAX_DIMENSIONS];
    let mut step = 4;
    for axis in (0..MAX_DIMENSIONS).rev() {
        strides[axis] = if axis % 2 == 0 { step } else { -step };
        step *= shape[axis] as isize;
    }
    check_against_naive(&ArrayLayout::strided(I32, &shape, &strides).unwrap());
    check_against_naive(&ArrayLayout::c_order(I32, &shape).unwrap());
    check_against_naive(&ArrayLayout::f_order(I32, &shape).unwrap());

    let name = Name::shm("dimensions");
    let a = SharedArray::<i32, _>::from_fn(&name, IxDyn(&shape).f(), |index| index[63] as i32).unwrap();
    fork(|| {
        let b = SharedArray::<i32, IxDyn>::attach(&name).unwrap();
        assert_eq!(b.shape(), &shape[..]);
        assert!(b.to_ndarray().indexed_iter().all(|(index, value)| index[63] as i32 == *value));
    })
    .expect_success();
    drop(a);
    let more = SharedArray::<u8, _>::zeros(Anonymous, IxDyn(&[1; MAX_DIMENSIONS + 1]));
    refused(more, ErrorKind::InvalidArgument, &["65", "64"]);
}

#[test]
fn one_element_without_dimensions() {
    let _alone = alone();
    let name = Name::shm("scalar");
    let a = SharedArray::<u64, Ix0>::full(&name, (), 7).unwrap();
    assert_eq!((a.len(), a.shape(), a.get(())), (1, &[][..], 7));
    fork(|| {
        let b = SharedArray::<u64, Ix0>::attach(&name).unwrap();
        b.set((), b.get(()) + 1);
    })
    .expect_success();
    assert_eq!(a.to_ndarray(), ndarray::arr0(8));
    assert_eq!(kind(SharedArray::<u64, Ix1>::attach(&name)), ErrorKind::ShapeMismatch);
}

#[test]
fn arrays_without_elements() {
    let _alone = alone();
    for shape in [&[0][..], &[0, 3], &[3, 0, 2], &[0; 64], &[1 << 40, 0, 1 << 19]] {
        for fortran in [false, true] {
            let name = Name::shm("empty");
            let place = || IxDyn(shape).set_f(fortran);
            let mut a = SharedArray::<f64, _>::zeros(&name, place()).unwrap();
            fork(|| {
                let b = SharedArray::<f64, IxDyn>::attach(&name).unwrap();
                assert_eq!((b.shape(), b.len(), b.is_empty()), (shape, 0, true));
            })
            .expect_success();
            let same = ArrayD::<f64>::zeros(shape);
            assert_eq!(a.to_ndarray(), same);
            a.assign(&same).unwrap();
            a.fill(1.0).unwrap();
            // SAFETY: there are no elements that anybody could write.
            assert_eq!(unsafe { a.view() }, same);
            assert_eq!(a.exclusive().unwrap().view_mut(), same);
            let first = vec![0; shape.len()];
            assert!(catch_unwind(AssertUnwindSafe(|| a.get(&first[..]))).is_err());
            assert_eq!(kind(a.as_any().read_element(&first, &mut [0; 8])), ErrorKind::InvalidArgument);
        }
    }
    let from_nothing = SharedArray::from_iter(Anonymous, std::iter::empty::<i16>()).unwrap();
    assert_eq!(from_nothing.shape(), [0]);
}

#[test]
fn elements_without_bytes() {
    let _alone = alone();
    let name = Name::shm("no-bytes");
    type Nothing = FixedBytes<0>;
    let mut a = SharedArray::<Nothing, _>::full(&name, (3, 4), Nothing::default()).unwrap();
    assert_eq!((a.len(), a.to_ndarray().len()), (12, 12));
    a.set((2, 3), Nothing::default());
    assert_eq!(a.get((2, 3)), Nothing::default());
    a.fill(Nothing::default()).unwrap();
    a.assign(&a.to_ndarray()).unwrap();
    assert_eq!(a.exclusive().unwrap().view_mut().len(), 12);
    assert_eq!(SharedArray::<Nothing, Ix2>::attach(&name).unwrap().shape(), [3, 4]);
    assert!(catch_unwind(AssertUnwindSafe(|| a.get((3, 0)))).is_err());
}

#[test]
fn strides_that_mean_nothing_hinder_nobody() {
    // An empty view of a packed field, as another language might describe it.
    let odd = ArrayLayout::strided(ElementType::F64, &[0, 3], &[27, 9]).unwrap();
    let empty = AnyArray::create(Anonymous, &odd).unwrap().typed::<f64, Ix2>().unwrap();
    assert_eq!(empty.to_ndarray(), Array2::<f64>::zeros((0, 3)));

    // The stride along an extent of 1 leads nowhere.
    let name = Name::shm("no-meaning");
    let row = ArrayLayout::f_order(ElementType::F64, &[1, 5]).unwrap();
    let _first = AnyArray::create(&name, &row).unwrap();
    let (same, created) = SharedArray::<f64, Ix2>::create_or_attach(&name, (1, 5)).unwrap();
    assert_eq!((same.shape(), created), (&[1, 5][..], false));
    let other = SharedArray::<f64, Ix2>::create_or_attach(&name, (5, 1));
    refused(other, ErrorKind::ShapeMismatch, &["[1, 5]", "[5, 1]"]);

    // In an array that grows it will lead somewhere.
    let name = Name::shm("will-mean");
    let options = SegmentOptions::new().reserve_max(1 << 16);
    let grows = SharedArray::<f64, _>::zeros(options.named(&name).unwrap(), (1, 5)).unwrap();
    assert!(grows.segment().can_grow());
    let other = AnyArray::create_or_attach(&name, &row);
    refused(other, ErrorKind::ShapeMismatch, &["[40, 8]", "[8, 8]"]);
}

#[test]
fn elements_out_of_step_are_reached_untyped_only() {
    let cases =
        [(ElementType::F64, &[9isize][..], 0), (ElementType::F64, &[16], 4), (ElementType::C128, &[24], 0)];
    for (element, strides, origin) in cases {
        let size = element.item_size();
        let layout = ArrayLayout::strided_from(element.clone(), &[3], strides, origin).unwrap();
        let any = AnyArray::create(Anonymous, &layout).unwrap();
        any.write_element(&[2], &vec![0xAB; size]).unwrap();
        let mut bytes = vec![0; layout.data_len_bytes()];
        bytes[naive_offset(&layout, &[2])..].fill(0xAB);
        assert_eq!(entry_bytes(&any), bytes);
        if element == ElementType::F64 {
            refused(any.typed::<f64, Ix1>(), ErrorKind::ShapeMismatch, &["aligned", "f64"]);
        } else {
            let typed = any.typed::<num_complex::Complex<f64>, Ix1>();
            refused(typed, ErrorKind::ShapeMismatch, &["aligned", "complex128"]);
        }
    }
}

#[test]
fn constructors_make_what_they_say() {
    let _alone = alone();
    /// What another process finds under the name.
    #[track_caller]
    fn expect<D: ndarray::Dimension>(name: &Name, values: ndarray::Array<i32, D>, strides: &[isize]) {
        fork(|| {
            let found = SharedArray::<i32, D>::attach(name).unwrap();
            assert_eq!(found.to_ndarray(), values);
            assert_eq!(found.strides(), strides);
        })
        .expect_success();
    }
    let name = || Name::shm("construct");
    let rows = array![[1, 2, 3], [4, 5, 6]];

    let n = name();
    SharedArray::<i32, _>::zeros(&n, (2, 3)).unwrap();
    expect(&n, Array2::zeros((2, 3)), &[3, 1]);
    let n = name();
    SharedArray::<i32, _>::full(&n, (2, 3).f(), 9).unwrap();
    expect(&n, Array2::from_elem((2, 3), 9), &[1, 2]);
    let n = name();
    SharedArray::<i32, _>::from_fn(&n, (2, 3).f(), |(i, j)| rows[(i, j)]).unwrap();
    expect(&n, rows.clone(), &[1, 2]);
    let n = name();
    SharedArray::from_iter(&n, (0..5).filter(|i| i % 2 == 0)).unwrap();
    expect(&n, array![0, 2, 4], &[1]);

    let sources = [
        (rows.view(), [3, 1]),
        (rows.t(), [1, 3]),
        (rows.slice(s![..;-1, ..]), [3, 1]),
        (rows.slice(s![.., ..;2]), [2, 1]),
        (rows.slice(s![..;-1, ..]).reversed_axes(), [2, 1]),
        (rows.slice(s![1.., ..]).reversed_axes(), [1, 1]),
    ];
    for (source, strides) in sources {
        let n = name();
        let made = SharedArray::from_ndarray(&n, &source).unwrap();
        expect(&n, source.to_owned(), &strides);
        assert_eq!(made.to_ndarray(), source);
    }

    let fortran = SharedArray::<f32, _>::full(Anonymous, (2, 3).f(), 0.5).unwrap();
    let n = name();
    SharedArray::<i32, _>::zeros_like(&n, &fortran).unwrap();
    expect(&n, Array2::zeros((2, 3)), &[1, 2]);
    let n = name();
    SharedArray::<i32, _>::full_like(&n, &fortran, -3).unwrap();
    expect(&n, Array2::from_elem((2, 3), -3), &[1, 2]);

    let n = name();
    let (first, created) = SharedArray::<i32, _>::create_or_attach(&n, (2, 3).f()).unwrap();
    first.assign(&rows).unwrap();
    let (second, again) = SharedArray::<i32, _>::create_or_attach(&n, (2, 3).f()).unwrap();
    assert_eq!((created, again, second.to_ndarray()), (true, false, rows.clone()));
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let name = Name::shm("nothing");
    let panics =
        catch_unwind(|| SharedArray::<i32, _>::from_fn(&name, 10, |i| if i == 7 { panic!() } else { 1 }));
    assert!(panics.is_err() && !name.exists());
    let panics = catch_unwind(|| SharedArray::from_iter(&name, (0..9).map(|i| 1 / (7 - i))));
    assert!(panics.is_err() && !name.exists());

    // Nor does it touch what is there.
    let first = SharedArray::from_iter(&name, 0..5).unwrap();
    assert_eq!(kind(SharedArray::full(&name, 5, 9)), ErrorKind::AlreadyExists);
    assert_eq!(kind(SharedArray::<i32, _>::zeros(&name, 5)), ErrorKind::AlreadyExists);
    assert_eq!(kind(SharedArray::from_iter(&name, [1.0])), ErrorKind::AlreadyExists);
    assert_eq!(first.to_ndarray(), array![0, 1, 2, 3, 4]);
    assert_eq!(SharedArray::<i32, Ix1>::attach(&name).unwrap().to_ndarray(), array![0, 1, 2, 3, 4]);
}

#[test]
fn shapes_that_overflow_are_errors() {
    const MAX: usize = usize::MAX;
    let name = Name::shm("overflow");
    let shapes = [
        &[MAX][..],
        &[1 << 63],
        &[(1 << 63) - 1],
        &[1 << 60],
        &[1 << 32, 1 << 32],
        &[1 << 31, 1 << 31, 2],
        &[0, MAX, 2],
        &[MAX, 0, MAX],
        &[MAX; 64],
        &[3; 64],
    ];
    for shape in shapes {
        for fortran in [false, true] {
            let dim = || IxDyn(shape).set_f(fortran);
            let results = [
                SharedArray::<f64, _>::zeros(&name, dim()).map(drop),
                SharedArray::<f64, _>::full(&name, dim(), 1.0).map(drop),
                SharedArray::<f64, _>::from_fn(&name, dim(), |_| 1.0).map(drop),
                SharedArray::<f64, _>::create_or_attach(&name, dim()).map(drop),
                ArrayLayout::c_order(ElementType::F64, shape).map(drop).map_err(shm_core::Error::from),
                ArrayLayout::f_order(ElementType::F64, shape).map(drop).map_err(shm_core::Error::from),
            ];
            for result in results {
                refused(result, ErrorKind::SizeOverflow, &[]);
            }
        }
    }
    // It fits 63 bits, but not together with the header.
    let all = SharedArray::<u8, _>::zeros(&name, (1 << 63) - 1);
    refused(all, ErrorKind::SizeOverflow, &[&name.text()]);
    let far = [
        ArrayLayout::strided(I32, &[2, 2], &[isize::MAX, 4]),
        ArrayLayout::strided(I32, &[2, 2], &[isize::MIN, isize::MAX]),
        ArrayLayout::strided(I32, &[3], &[isize::MIN]),
        ArrayLayout::strided_from(I32, &[2], &[4], MAX),
    ];
    for layout in far {
        assert_eq!(layout.unwrap_err(), shm_core::layout::LayoutError::TooLarge);
    }
    assert!(!name.exists());

    let place = SegmentOptions::new().reserve_max(1 << 16).anonymous();
    let mut grows = SharedArray::<f64, _>::zeros(place, (1, 3)).unwrap();
    assert_eq!(kind(grows.grow(MAX)), ErrorKind::SizeOverflow);
    assert_eq!(kind(grows.grow((1 << 63) / 24 + 1)), ErrorKind::SizeOverflow);
    assert_eq!(kind(grows.grow(1 << 40)), ErrorKind::LimitExceeded);
    assert_eq!(grows.shape(), [1, 3]);
}

#[test]
fn indices_out_of_bounds_change_nothing() {
    let a = SharedArray::<i32, _>::zeros(Anonymous, IxDyn(&[3, 4])).unwrap();
    for index in [&[3, 0][..], &[0, 4], &[usize::MAX, 0], &[1 << 63, 1], &[1], &[], &[0, 0, 0]] {
        let panic = catch_unwind(AssertUnwindSafe(|| a.get(index))).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains(&format!("{index:?}")) && text.contains("[3, 4]"), "{text}");
        assert!(catch_unwind(AssertUnwindSafe(|| a.set(index, 1))).is_err());
        let any = a.as_any();
        assert_eq!(any.layout().offset_of(index), None);
        refused(any.read_element(index, &mut [0; 4]), ErrorKind::InvalidArgument, &["[3, 4]"]);
        refused(any.write_element(index, &[1; 4]), ErrorKind::InvalidArgument, &["[3, 4]"]);
    }
    for len in [0, 3, 5] {
        let any = a.as_any();
        refused(any.read_element(&[0, 0], &mut vec![0; len]), ErrorKind::InvalidArgument, &["4 bytes"]);
        refused(any.write_element(&[0, 0], &vec![1; len]), ErrorKind::InvalidArgument, &["4 bytes"]);
    }
    assert_eq!(a.to_ndarray(), ArrayD::<i32>::zeros(IxDyn(&[3, 4])));
}

#[test]
fn a_read_only_array_is_read_only() {
    let _alone = alone();
    let name = Name::shm("read-only");
    let writer = SharedArray::<i32, _>::full(&name, (2, 2), 1).unwrap();
    let mut reader = SharedArray::<i32, Ix2>::attach_with(&name, &SegmentOptions::new().read_only()).unwrap();
    writer.set((1, 1), 2);
    assert_eq!(reader.to_ndarray(), array![[1, 1], [1, 2]]);
    let parts = &[&name.text()[..], "read-only"];
    refused(reader.try_set((0, 0), 9), ErrorKind::ReadOnly, parts);
    refused(reader.assign(&array![[9, 9], [9, 9]]), ErrorKind::ReadOnly, parts);
    refused(reader.fill(9), ErrorKind::ReadOnly, parts);
    refused(reader.as_any().write_element(&[0, 0], &[9; 4]), ErrorKind::ReadOnly, parts);
    refused(reader.exclusive(), ErrorKind::ReadOnly, parts);
    assert!(catch_unwind(AssertUnwindSafe(|| reader.set((0, 0), 9))).is_err());
    assert_eq!(writer.to_ndarray(), array![[1, 1], [1, 2]]);

    let private = SegmentOptions::new().access(Access::CopyOnWrite);
    let private = SharedArray::<i32, Ix2>::attach_with(&name, &private).unwrap();
    private.fill(5).unwrap();
    assert_eq!((private.get((0, 0)), writer.get((0, 0)), reader.get((0, 0))), (5, 1, 1));
}

/// All bytes the same, so that a mixture shows.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == bytes[0])
}

/// Threads write elements of one repeated byte, and others check that each word of a given size is whole, in all ways to copy.
fn race<T: shm_core::Element + PartialEq + std::fmt::Debug>(word: usize) {
    const LEN: usize = 37;
    let array = SharedArray::<T, _>::zeros(Anonymous, LEN).unwrap();
    let element = |byte: u8| bytemuck::pod_read_unaligned::<T>(&vec![byte; size_of::<T>()]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u8)
            .map(|writer| {
                let array = array.clone();
                scope.spawn(move || {
                    for round in 0..20_000u32 {
                        let value = element((round as u8).wrapping_mul(2).wrapping_add(writer));
                        match round % 3 {
                            0 => array.fill(value).unwrap(),
                            1 => (0..LEN).for_each(|i| array.set(i, value)),
                            _ => array.assign(&ndarray::Array1::from_elem(LEN, value)).unwrap(),
                        }
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (array, done) = (array.clone(), &done);
                scope.spawn(move || {
                    let check = |value: &T| {
                        let words = bytemuck::bytes_of(value).chunks(word);
                        words.for_each(|word| assert!(is_whole(word), "{value:?}"));
                    };
                    while !done.load(Ordering::Relaxed) {
                        array.to_ndarray().iter().for_each(check);
                        (0..LEN).for_each(|i| check(&array.get(i)));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let last = array.to_ndarray();
    assert!(last.iter().all(|value| is_whole(bytemuck::bytes_of(value))), "{last:?}");
}

shm_core::record! {
    #[derive(Debug, PartialEq)]
    struct Pair {
        first: u64,
        second: u64,
    }
}

#[test]
fn elements_that_threads_race_for_arrive_whole() {
    let _alone = alone();
    race::<u8>(1);
    race::<u16>(2);
    race::<u32>(4);
    race::<u64>(8);
    race::<f64>(8);
    race::<num_complex::Complex<f32>>(8);
}

#[test]
fn of_larger_elements_each_word_arrives_whole() {
    let _alone = alone();
    let array = SharedArray::<Pair, _>::zeros(Anonymous, 1).unwrap();
    std::thread::scope(|scope| {
        let writer = array.clone();
        let writer = scope.spawn(move || {
            for round in 0..500_000u64 {
                let word = (round % 251) * 0x0101_0101_0101_0101;
                writer.set(0, Pair { first: word, second: !word });
            }
        });
        while !writer.is_finished() {
            let pair = array.get(0);
            assert!(is_whole(&pair.first.to_le_bytes()) && is_whole(&pair.second.to_le_bytes()), "{pair:?}");
        }
    });
}

#[test]
fn processes_that_race_do_not_disturb_their_neighbours() {
    let _alone = alone();
    let name = Name::shm("neighbours");
    const WRITERS: usize = 4;
    let array = SharedArray::<u8, _>::zeros(&name, 64).unwrap();
    let children: Vec<_> = (0..WRITERS)
        .map(|me| {
            fork(|| {
                // A byte store that rewrote its word would undo what the others write beside it.
                let mine = SharedArray::<u8, Ix1>::attach(&name).unwrap();
                for round in 0..5_000u32 {
                    for i in (me..64).step_by(WRITERS) {
                        assert_eq!(mine.get(i), round as u8);
                        mine.set(i, (round as u8).wrapping_add(1));
                    }
                }
            })
        })
        .collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(array.to_ndarray(), ndarray::Array1::from_elem(64, (5_000u32 % 256) as u8));
}
