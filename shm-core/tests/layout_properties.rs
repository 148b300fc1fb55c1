//! Properties of the layouts: the arithmetic against a naive indexer, the codecs against arbitrary bytes.
//!
//! The naive indexer lists every index of a small array and computes each offset in 128 bits. Single cases and golden bytes
//! stand at the foot of the files in `src/layout`.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use shm_core::layout::{
    ArrayLayout, ByteOrder, ElementType, Field, LayoutError, LongDouble, Number, Record, TimeBase, TimeUnit,
    TypeCode, descriptor,
};

/// Miri is a thousand times slower, and has no current directory to keep failures in.
fn config(cases: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 8 } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Every index of a shape, in C order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |prefixes, &extent| {
        let longer = |prefix: &Vec<usize>| {
            let prefix = prefix.clone();
            (0..extent).map(move |index| [&prefix[..], &[index]].concat())
        };
        prefixes.iter().flat_map(longer).collect()
    })
}

/// The first byte of every element, by the definition of a stride.
fn naive_offsets(shape: &[usize], strides: &[isize], origin: i128) -> Vec<i128> {
    let offset = |index: Vec<usize>| {
        origin
            + index.iter().zip(strides).map(|(&index, &stride)| index as i128 * stride as i128).sum::<i128>()
    };
    indices(shape).into_iter().map(offset).collect()
}

/// Whether elements of `size` bytes at these offsets share no byte.
fn naive_disjoint(offsets: &[i128], size: usize) -> bool {
    let mut seen = HashSet::new();
    offsets.iter().all(|&start| (start..start + size as i128).all(|byte| seen.insert(byte)))
}

/// Rule 3 of the format, dimension by dimension: every stride passes all that the dimensions before it reach. Of equal
/// strides, which only elements without bytes may have, the one with the smaller extent comes first.
fn naive_nested(shape: &[usize], strides: &[isize], size: usize) -> bool {
    let rank = |axis: usize| (strides[axis].unsigned_abs(), shape[axis], axis);
    let long = |axis: &usize| shape[*axis] > 1;
    (0..shape.len()).filter(long).all(|axis| {
        let before = (0..shape.len()).filter(long).filter(|other| rank(*other) < rank(axis));
        let reach: usize = before.map(|other| strides[other].unsigned_abs() * (shape[other] - 1)).sum();
        strides[axis].unsigned_abs() >= reach + size
    })
}

fn small_shape_and_strides() -> impl Strategy<Value = (Vec<usize>, Vec<isize>)> {
    (0_usize..4).prop_flat_map(|ndim| (vec(0_usize..5, ndim), vec(-24_isize..25, ndim)))
}

/// A layout that a user could get from NumPy: a contiguous array, transposed, cut, stepped through and turned around.
fn sliced() -> impl Strategy<Value = (Vec<usize>, Vec<isize>, usize, usize)> {
    let dimension = (1_usize..6, 0_usize..3, 1_usize..4, any::<bool>());
    (vec(dimension, 0..5), any::<u64>(), 1_usize..9).prop_map(|(dimensions, shuffle, item)| {
        let mut stride = item;
        let mut origin = 0;
        let mut axes = Vec::new();
        for (count, skipped, step, reversed) in dimensions {
            let last = stride * step * (count - 1);
            origin += stride * skipped + if reversed { last } else { 0 };
            axes.push((count, (stride * step) as isize * if reversed { -1 } else { 1 }));
            stride *= skipped + step * (count - 1) + 1;
        }
        if !axes.is_empty() {
            let turn = shuffle as usize % axes.len();
            axes.rotate_left(turn);
            if shuffle & 1 << 63 != 0 {
                axes.reverse();
            }
        }
        let (shape, strides) = axes.into_iter().unzip();
        (shape, strides, origin, item)
    })
}

fn byte_order() -> impl Strategy<Value = ByteOrder> {
    select(vec![ByteOrder::Little, ByteOrder::Big])
}

fn time_unit() -> impl Strategy<Value = TimeUnit> {
    (prop_oneof![Just(1), 1_u32.., Just(u32::MAX)], 0_u32..14).prop_map(|(multiplier, number)| {
        let base = TimeBase::from_number(number).unwrap();
        TimeUnit::new(multiplier, base).unwrap_or(TimeUnit::of(base))
    })
}

fn scalar() -> impl Strategy<Value = ElementType> {
    use Number::*;
    let numbers = vec![I16, I32, I64, U16, U32, U64, F16, F32, F64, BF16, C64, C128];
    let longs = vec![LongDouble::X87, LongDouble::X87Complex, LongDouble::Binary, LongDouble::BinaryComplex];
    prop_oneof![
        select(vec![ElementType::Bool, ElementType::I8, ElementType::U8]),
        (select(numbers), byte_order()).prop_map(|(number, order)| ElementType::Number(number, order)),
        select(longs).prop_map(ElementType::LongDouble),
        (0_u32..20).prop_map(ElementType::Bytes),
        (0_u32..20, byte_order()).prop_map(|(points, order)| ElementType::Text(points, order)),
        (time_unit(), byte_order()).prop_map(|(unit, order)| ElementType::DateTime(unit, order)),
        (time_unit(), byte_order()).prop_map(|(unit, order)| ElementType::TimeSpan(unit, order)),
        (0_u32..20).prop_map(ElementType::Opaque),
    ]
}

/// Any element type, records within records included; fields may overlap and leave gaps.
fn element() -> impl Strategy<Value = ElementType> {
    scalar().prop_recursive(3, 16, 4, |inner| {
        let field = (".{0,6}", proptest::option::of(".{0,6}"), 0_usize..100, inner, vec(0_usize..4, 0..3));
        vec(field, 0..5).prop_map(|fields| {
            let mut names = HashSet::new();
            let mut list = Vec::new();
            for (name, title, offset, element, shape) in fields {
                if !names.insert(name.clone()) {
                    continue;
                }
                let mut field = Field::new(name, offset, element).with_shape(&shape).unwrap();
                if let Some(title) = title.filter(|title| names.insert(title.clone())) {
                    field = field.with_title(title);
                }
                list.push(field);
            }
            let end = list.iter().map(|field| field.offset() + field.size_bytes()).max().unwrap_or(0);
            // Most are not aligned; where chance made one that is, it is marked.
            let record = Record::new(end, true, list.clone()).or_else(|_| Record::new(end, false, list));
            ElementType::Record(Arc::new(record.unwrap()))
        })
    })
}

/// Text that is nearly a record description.
fn nearly_record() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "{",
        "}",
        ";",
        "~",
        "@",
        "=",
        ":",
        "(",
        ")",
        ",",
        "[",
        "]",
        "<",
        ">",
        "?",
        "a",
        "0",
        "1",
        "4",
        "8",
        "16",
        "{8",
        ";1:x",
        "@0=",
        "<f8",
        "<i4",
        ">u2",
        "S3",
        "<U2",
        "V0",
        "<M8[",
        "25s]",
        "ns]",
        "18446744073709551615",
        "{4;1:x@0=<f4}",
    ]);
    vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(config(2000))]

    /// Accepted if and only if the strides are nested; and what is accepted lies in bounds, every byte used once at most.
    #[test]
    fn strided_layouts_are_sound((shape, strides) in small_shape_and_strides(), item in 0_u32..9) {
        let layout = ArrayLayout::strided(ElementType::Bytes(item), &shape, &strides);
        let item = item as usize;
        let empty = shape.contains(&0);
        prop_assert_eq!(layout.is_ok(), empty || naive_nested(&shape, &strides, item), "{:?}", layout);
        let Ok(layout) = layout else { return Ok(()) };

        let offsets = naive_offsets(&shape, &strides, layout.origin() as i128);
        prop_assert_eq!(layout.len(), offsets.len());
        prop_assert!(naive_disjoint(&offsets, item));
        let first = offsets.iter().min().copied().unwrap_or(0);
        let end = offsets.iter().max().map_or(0, |last| last + item as i128);
        prop_assert_eq!(first, 0, "the array begins at byte 0");
        prop_assert_eq!(layout.data_len_bytes() as i128, end);
        for (index, offset) in indices(&shape).iter().zip(&offsets) {
            prop_assert_eq!(layout.offset_of(index), Some(*offset as usize));
        }

        // The same layout further on, and one byte too far to the front.
        let moved = ArrayLayout::strided_from(layout.element().clone(), &shape, &strides, layout.origin() + 7);
        prop_assert_eq!(moved.unwrap().data_len_bytes(), if empty { 0 } else { layout.data_len_bytes() + 7 });
        if layout.origin() > 0 {
            let moved = ArrayLayout::strided_from(layout.element().clone(), &shape, &strides, layout.origin() - 1);
            prop_assert!(matches!(moved, Err(LayoutError::BeforeStart { .. })), "{:?}", moved);
        }
    }

    /// Overlapping elements are never accepted, whatever the strides are.
    #[test]
    fn overlap_is_always_refused((shape, strides) in small_shape_and_strides(), item in 1_u32..9) {
        let offsets = naive_offsets(&shape, &strides, 0);
        if !naive_disjoint(&offsets, item as usize) {
            let found = ArrayLayout::strided(ElementType::Bytes(item), &shape, &strides);
            prop_assert!(matches!(found, Err(LayoutError::Overlap { .. })), "{:?}", found);
        }
    }

    /// Whatever slicing, transposing and reversing makes out of a contiguous array is accepted.
    #[test]
    fn slices_are_accepted((shape, strides, origin, item) in sliced()) {
        let element = ElementType::Opaque(item as u32);
        let layout = ArrayLayout::strided_from(element, &shape, &strides, origin);
        prop_assert!(layout.is_ok(), "{:?}", layout);
    }

    /// C and Fortran order number the bytes through, and say so.
    #[test]
    fn contiguous_layouts_count_up(shape in vec(0_usize..5, 0..5), item in 0_u32..9) {
        let item_size = item as usize;
        let c = ArrayLayout::c_order(ElementType::Bytes(item), &shape).unwrap();
        let f = ArrayLayout::f_order(ElementType::Bytes(item), &shape).unwrap();
        prop_assert!(c.is_c_contiguous() && f.is_f_contiguous());
        prop_assert_eq!(c.data_len_bytes(), shape.iter().product::<usize>() * item_size);
        prop_assert_eq!(f.data_len_bytes(), c.data_len_bytes());
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        for (position, index) in indices(&shape).iter().enumerate() {
            prop_assert_eq!(c.offset_of(index), Some(position * item_size));
        }
        for (position, mut index) in indices(&reversed).into_iter().enumerate() {
            index.reverse();
            prop_assert_eq!(f.offset_of(&index), Some(position * item_size));
        }
        for layout in [&c, &f] {
            let strided = ArrayLayout::strided(ElementType::Bytes(item), &shape, layout.strides_bytes());
            prop_assert_eq!(strided.as_ref(), Ok(layout));
        }
    }

    /// Contiguity by the naive definition, for layouts of any kind.
    #[test]
    fn contiguity_is_what_the_indexer_sees((shape, strides, origin, item) in sliced()) {
        let layout = ArrayLayout::strided_from(ElementType::Opaque(item as u32), &shape, &strides, origin).unwrap();
        let counts_up = |offsets: Vec<usize>| offsets.windows(2).all(|pair| pair[1] == pair[0] + item);
        let c = indices(&shape).iter().map(|index| layout.offset_of(index).unwrap()).collect();
        prop_assert_eq!(layout.is_c_contiguous(), counts_up(c));
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        let turned = |mut index: Vec<usize>| { index.reverse(); layout.offset_of(&index).unwrap() };
        let f = indices(&reversed).into_iter().map(turned).collect();
        prop_assert_eq!(layout.is_f_contiguous(), counts_up(f));
    }

    /// Nothing wraps, whatever the numbers are; what is accepted ends below 2^63 and lies within it at all corners.
    #[test]
    fn huge_numbers_do_not_wrap(
        dimensions in vec((prop_oneof![0_usize..4, any::<usize>()], prop_oneof![-9_isize..10, any::<isize>()]), 0..6),
        origin in prop_oneof![0_usize..100, any::<usize>()],
        item in prop_oneof![0_u32..9, any::<u32>()],
    ) {
        let (shape, strides): (Vec<_>, Vec<_>) = dimensions.into_iter().unzip();
        let element = ElementType::Text(item, ByteOrder::Little);
        let _ = ArrayLayout::c_order(element.clone(), &shape);
        let _ = ArrayLayout::f_order(element.clone(), &shape);
        let _ = ArrayLayout::strided(element.clone(), &shape, &strides);
        if let Ok(layout) = ArrayLayout::strided_from(element, &shape, &strides, origin) {
            prop_assert!(layout.data_len_bytes() <= isize::MAX as usize);
            let corners = 1_usize << shape.len();
            for corner in (0..corners).filter(|_| !layout.is_empty()) {
                let far = |axis: usize| if corner >> axis & 1 == 1 { shape[axis] - 1 } else { 0 };
                let index: Vec<usize> = (0..shape.len()).map(far).collect();
                let expected = index
                    .iter()
                    .zip(&strides)
                    .fold(origin as i128, |sum, (&index, &stride)| sum + index as i128 * stride as i128);
                let offset = layout.offset_of(&index).unwrap();
                prop_assert_eq!(offset as i128, expected);
                prop_assert!(offset + 4 * item as usize <= layout.data_len_bytes());
            }
        }
    }

    /// A growing array keeps its elements where they are.
    #[test]
    fn growth_moves_nothing(shape in vec(1_usize..5, 1..4), more in 0_usize..5, origin in 0_usize..20) {
        let c = ArrayLayout::c_order(ElementType::U16, &shape).unwrap();
        let layout = ArrayLayout::strided_from(ElementType::U16, &shape, c.strides_bytes(), origin).unwrap();
        let grown = layout.with_first_extent(shape[0] + more).unwrap();
        for index in indices(&shape) {
            prop_assert_eq!(layout.offset_of(&index), grown.offset_of(&index));
        }
        let row = layout.row_stride().unwrap() as usize;
        for spare in 0..row {
            let len = grown.data_len_bytes() + spare;
            prop_assert_eq!(layout.first_extent_within(len as u64), Ok(shape[0] + more));
        }
    }
}

proptest! {
    #![proptest_config(config(500))]

    /// Every element type comes back from its codes and its description.
    #[test]
    fn elements_come_back(element in element()) {
        let record = match &element {
            ElementType::Record(record) => record.to_string(),
            _ => String::new(),
        };
        prop_assert_eq!(ElementType::from_type_code(element.type_code(), record.as_bytes()), Ok(element.clone()));
        prop_assert!(element.is_compatible_with(&element));
        prop_assert!(element.alignment().is_power_of_two() && element.alignment() <= 16);
        prop_assert!(!element.to_string().is_empty());
    }

    /// Every layout comes back from its descriptor, which fits exactly the bytes that it says.
    #[test]
    fn descriptors_come_back(element in element(), shape in vec(0_usize..4, 0..7), fortran in any::<bool>()) {
        let layout = match fortran {
            true => ArrayLayout::f_order(element, &shape),
            false => ArrayLayout::c_order(element, &shape),
        }.unwrap();
        let bytes = descriptor::encode(&layout);
        let needed = layout.data_len_bytes() as u64;
        let found = descriptor::decode(&bytes, needed);
        prop_assert_eq!(found.as_ref(), Ok(&layout));
        if needed > 0 {
            let found = descriptor::decode(&bytes, needed - 1);
            prop_assert_eq!(found, Err(LayoutError::OutOfBounds { needed, available: needed - 1 }));
        }
    }

    #[test]
    fn sliced_descriptors_come_back((shape, strides, origin, item) in sliced()) {
        let layout = ArrayLayout::strided_from(ElementType::Bytes(item as u32), &shape, &strides, origin).unwrap();
        let bytes = descriptor::encode(&layout);
        prop_assert_eq!(descriptor::decode(&bytes, layout.data_len_bytes() as u64), Ok(layout));
    }

    /// There is one spelling: whatever is read is written back byte for byte.
    #[test]
    fn descriptions_have_one_spelling(text in prop_oneof![nearly_record(), vec(any::<u8>(), 0..40)]) {
        if let Ok(record) = Record::parse(&text) {
            prop_assert_eq!(record.to_string().into_bytes(), text);
        }
    }

    /// A damaged description is refused or means itself; nothing panics.
    #[test]
    fn damaged_descriptions_are_refused(element in element(), damage in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let ElementType::Record(record) = element else { return Ok(()) };
        let mut text = record.to_string().into_bytes();
        for (position, byte) in damage {
            let position = position % text.len();
            text[position] = byte;
        }
        if let Ok(other) = Record::parse(&text) {
            prop_assert_eq!(other.to_string().into_bytes(), text);
        }
    }

    /// The same for descriptors: a damaged one is refused or describes another array, in bounds.
    #[test]
    fn damaged_descriptors_are_refused(
        element in element(),
        shape in vec(0_usize..4, 0..4),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let layout = ArrayLayout::c_order(element, &shape).unwrap();
        let entry_len = layout.data_len_bytes() as u64;
        let mut bytes = descriptor::encode(&layout);
        for (position, byte) in damage {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        if let Ok(other) = descriptor::decode(&bytes, entry_len) {
            prop_assert!(other.data_len_bytes() as u64 <= entry_len);
            prop_assert_eq!(descriptor::encode(&other), bytes);
        }
    }

    /// Arbitrary bytes, the lengths made to fit so that the later checks are reached, never panic.
    #[test]
    fn arbitrary_descriptors_do_not_panic(
        mut bytes in vec(any::<u8>(), 0..200),
        code in select(vec![0_u8, 2, 5, 6, 128, 160, 161, 163, 167, 168, 169, 172]),
        bits in select(vec![0_u8, 8, 32, 64, 128]),
        entry_len in any::<u64>(),
    ) {
        let _ = descriptor::decode(&bytes, entry_len);
        if bytes.len() >= 40 {
            let dimensions = (bytes.len() - 40) / 16;
            bytes.truncate(40 + 16 * dimensions);
            bytes[..4].copy_from_slice(&[code, bits, 1, 0]);
            bytes[12..16].copy_from_slice(&(dimensions as u32).to_le_bytes());
            bytes[32..40].fill(0);
            let found = descriptor::decode(&bytes, entry_len);
            prop_assert!(!matches!(found, Err(LayoutError::DescriptorLength { .. })), "{:?}", found);
        }
    }

    #[test]
    fn arbitrary_codes_do_not_panic(code in any::<u8>(), bits in any::<u8>(), count in any::<u32>(), unit in 0_u32..20) {
        let numbers = TypeCode { code, bits, count, unit };
        if let Ok(element) = ElementType::from_type_code(numbers, b"") {
            prop_assert_eq!(element.type_code(), numbers);
        }
    }
}
