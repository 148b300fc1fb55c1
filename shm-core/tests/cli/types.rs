//! Every element type of the format, in every order, through .npy and back, and from segment to segment.

use std::sync::Arc;

use shm_core::AnyArray;
use shm_core::layout::{ArrayLayout, ByteOrder, ElementType, LongDouble, Number, Record, TimeBase, TimeUnit};

use crate::common::{Folder, Name, alone};
use crate::{elements, fails, make, noise, npy, ok, run, text};

pub(crate) fn record(description: &str) -> ElementType {
    ElementType::Record(Arc::new(Record::parse(description.as_bytes()).unwrap()))
}

/// What a .npy file can name.
pub(crate) fn sayable() -> Vec<ElementType> {
    use Number::*;
    let orders = [ByteOrder::Little, ByteOrder::Big];
    let mut all = vec![ElementType::Bool, ElementType::I8, ElementType::U8];
    for order in orders {
        let numbers = [I16, I32, I64, U16, U32, U64, F16, F32, F64, C64, C128];
        all.extend(numbers.map(|number| ElementType::Number(number, order)));
        all.extend([0, 1, 5].map(|points| ElementType::Text(points, order)));
        for unit in (0..14).filter_map(TimeBase::from_number) {
            all.push(ElementType::DateTime(TimeUnit::of(unit), order));
            all.push(ElementType::TimeSpan(TimeUnit::of(unit), order));
        }
        all.push(ElementType::DateTime(TimeUnit::new(25, TimeBase::Second).unwrap(), order));
    }
    all.extend([0, 1, 7].map(ElementType::Bytes));
    all.extend([0, 1, 7].map(ElementType::Opaque));
    all.extend([ElementType::long_double(), ElementType::long_double_complex()]);
    all.extend(
        [
            "{0}",
            "{5}",
            "{12;1:x@0=<i4;1:y@4=<f8}",
            "{16a;1:x@0=<i4;1:y@8=<f8}",
            "{20;1:x~5:title@3=>u2;7:größe@8=(2,1)S3;1:?@15=?}",
            "{24;1:r@4={9;1:a@1=<m8[3us]};1:u@16=<U2}",
            "{9;1:b@8=<u1;1:a@0=<f8}",
        ]
        .map(record),
    );
    all
}

/// What it cannot.
fn unsayable() -> Vec<ElementType> {
    let mut all = vec![
        ElementType::BF16,
        ElementType::BF16.with_byte_order(ByteOrder::Big),
        record("{8;1:x@0=<i4;1:y@2=<i4}"),
        record("{4;1:x@0=<b2}"),
    ];
    let longs = [LongDouble::X87, LongDouble::X87Complex, LongDouble::Binary, LongDouble::BinaryComplex];
    let foreign = longs.map(ElementType::LongDouble).into_iter();
    all.extend(
        foreign.filter(|long| {
            *long != ElementType::long_double() && *long != ElementType::long_double_complex()
        }),
    );
    all
}

/// The same elements lying in memory in all manners.
fn layouts(element: &ElementType) -> Vec<ArrayLayout> {
    let size = element.item_size() as isize;
    let layout = |layout: Result<ArrayLayout, _>| layout.unwrap();
    let e = || element.clone();
    vec![
        layout(ArrayLayout::c_order(e(), &[])),
        layout(ArrayLayout::c_order(e(), &[3])),
        layout(ArrayLayout::c_order(e(), &[0, 2])),
        layout(ArrayLayout::c_order(e(), &[2, 3, 2])),
        layout(ArrayLayout::f_order(e(), &[2, 3])),
        layout(ArrayLayout::strided(e(), &[2, 3], &[3 * 8 * size, -8 * size])),
        layout(ArrayLayout::strided(e(), &[3, 2, 2], &[-2 * size, size, 6 * size])),
    ]
}

#[test]
fn npy_and_back() {
    let _alone = alone();
    let folder = Folder::new("cli-types");
    let (from, to, again) = (Name::shm("types-from"), Name::shm("types-to"), Name::shm("types-again"));
    let path = npy(&folder, "x");
    for element in sayable() {
        // The spread of layouts matters for one type; for the others the header does.
        let all = element == ElementType::I32 || matches!(element, ElementType::Bytes(0 | 7));
        for layout in
            layouts(&element).into_iter().skip(if all { 0 } else { 4 }).take(if all { 99 } else { 1 })
        {
            let made = make(&from, &layout, &noise(layout.data_len_bytes()));
            ok(["copy", "--force", &from.text(), text(&path)]);
            ok(["copy", "--force", text(&path), &to.text()]);
            ok(["copy", "--force", &from.text(), &again.text()]);
            for copy in [&to, &again] {
                let copy = AnyArray::attach(copy).unwrap();
                assert!(copy.layout().element().is_compatible_with(&element), "{element}");
                assert_eq!(copy.layout().shape(), layout.shape());
                assert_eq!(elements(&copy), elements(&made), "{layout}");
                let fortran = |layout: &ArrayLayout| layout.is_f_contiguous() && !layout.is_c_contiguous();
                assert_eq!(fortran(copy.layout()), fortran(&layout), "{layout}");
            }
            // From segment to segment nothing at all is lost.
            assert_eq!(AnyArray::attach(&again).unwrap().layout().element(), &element);
            // Any element can be shown.
            let shown = run(["dump", &from.text()]);
            assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
            let values = shown.out.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(values > 0, !layout.is_empty(), "{layout}");
            // The file is the same whichever way it is made.
            let dumped = run(["dump", "--npy", &from.text()]);
            assert_eq!(dumped.out, std::fs::read(&path).unwrap());
            shm_core::delete(&from).unwrap();
        }
    }
}

#[test]
fn what_npy_cannot_say_is_refused_or_opaque() {
    let _alone = alone();
    let folder = Folder::new("cli-unsayable");
    let (from, to) = (Name::shm("unsayable-from"), Name::shm("unsayable-to"));
    let path = npy(&folder, "x");
    for element in unsayable() {
        let layout = ArrayLayout::f_order(element.clone(), &[2, 3]).unwrap();
        let made = make(&from, &layout, &noise(layout.data_len_bytes()));
        fails(["copy", &from.text(), text(&path)], 1, &[&from.text(), "--opaque"]);
        fails(["dump", "--npy", &from.text()], 1, &["--opaque"]);
        assert!(crate::files(folder.path()).is_empty());
        let ran = run(["copy", "--opaque", &from.text(), text(&path)]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.err.contains(&format!("opaque bytes, |V{}", element.item_size())), "{}", ran.err);
        ok(["copy", "--force", text(&path), &to.text()]);
        let copy = AnyArray::attach(&to).unwrap();
        assert_eq!(copy.layout().element(), &ElementType::Opaque(element.item_size() as u32));
        assert_eq!(elements(&copy), elements(&made));
        // Between segments there is no such limit.
        ok(["copy", "--force", &from.text(), &to.text()]);
        assert_eq!(AnyArray::attach(&to).unwrap().layout().element(), &element);
        if element == ElementType::BF16 {
            ok(["copy", "--force", "--bf16", text(&path), &to.text()]);
            let copy = AnyArray::attach(&to).unwrap();
            assert_eq!(copy.layout().element(), &element);
            assert_eq!(elements(&copy), elements(&made));
        } else if element.item_size() != 2 {
            fails(["copy", "--force", "--bf16", text(&path), &to.text()], 1, &["--bf16 takes |V2"]);
        }
        std::fs::remove_file(&path).unwrap();
        shm_core::delete(&from).unwrap();
    }
}
