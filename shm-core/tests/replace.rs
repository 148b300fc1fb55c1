//! A new segment that takes the place of one under its name: whole or not at all, and only by the rules of deletion.

mod common;

use common::{Folder, Name, alone, become_nobody, fork, is_root, kind, refused};
use shm_core::{
    AnyArray, ArrayLayout, Contents, ElementType, Error, ErrorKind, Lifetime, Segment, SegmentOptions,
    SharedArray,
};

fn layout(len: usize) -> ArrayLayout {
    ArrayLayout::c_order(ElementType::U8, &[len]).unwrap()
}

fn replacing() -> SegmentOptions {
    SegmentOptions::new().replace(true)
}

#[test]
fn takes_the_name_over() {
    let _alone = alone();
    for name in [Name::shm("replace"), Name::file("replace")] {
        // Nothing has the name: it is made.
        let old = AnyArray::create_with(replacing().named(&name).unwrap(), &layout(3), |bytes| {
            bytes.fill(1);
            Ok(())
        });
        let old = old.unwrap().typed::<u8, ndarray::Ix1>().unwrap();
        assert_eq!(
            kind(Segment::attach(&name).map(drop).and_then(|()| SharedArray::<u8, _>::zeros(&name, 5))),
            ErrorKind::AlreadyExists
        );
        let new = SharedArray::<u8, _>::full(replacing().named(&name).unwrap(), 5, 2).unwrap();
        assert_eq!((old.get(2), new.get(4)), (1, 2));
        assert_eq!(SharedArray::<u8, ndarray::Ix1>::attach(&name).unwrap().len(), 5);
    }
}

#[test]
fn failure_leaves_the_old_one() {
    let _alone = alone();
    let name = Name::shm("replace-fails");
    let old = SharedArray::<u8, _>::full(&name, 3, 1).unwrap();
    let seen = || SharedArray::<u8, ndarray::Ix1>::attach(&name).unwrap().as_any().segment().as_ptr();
    let place = || replacing().named(&name).unwrap();
    let failed = AnyArray::create_with(place(), &layout(5), |bytes| {
        bytes.fill(2);
        assert_eq!(seen(), old.as_any().segment().as_ptr(), "it is there until the new one is complete");
        Err(Error::new(ErrorKind::System, "read", "the source", "it ended"))
    });
    refused(failed, ErrorKind::System, &["cannot read the source: it ended"]);
    let panicked =
        std::panic::catch_unwind(|| AnyArray::create_with(place(), &layout(5), |_| panic!("on purpose")));
    assert!(panicked.is_err());
    let huge = ArrayLayout::c_order(ElementType::U8, &[1 << 60]).unwrap();
    assert!(AnyArray::create(place(), &huge).is_err());
    assert_eq!(seen(), old.as_any().segment().as_ptr());
    assert_eq!(old.get(0), 1);
}

#[test]
fn what_is_no_segment_stays() {
    let _alone = alone();
    let folder = Folder::new("replace-other");
    let name = Name::inside(&folder, "notes");
    std::fs::write(name.path(), "precious").unwrap();
    let mut ran = false;
    let failed = AnyArray::create_with(replacing().named(&name).unwrap(), &layout(5), |_| {
        ran = true;
        Ok(())
    });
    refused(failed, ErrorKind::NotASegment, &["cannot replace", &name.text()]);
    assert!(!ran, "it is refused before the work is done");
    assert_eq!(std::fs::read_to_string(name.path()).unwrap(), "precious");
    // One that comes meanwhile is not replaced either.
    let late = Name::inside(&folder, "late");
    let failed = AnyArray::create_with(replacing().named(&late).unwrap(), &layout(5), |_| {
        std::fs::write(late.path(), "precious").unwrap();
        Ok(())
    });
    refused(failed, ErrorKind::NotASegment, &["cannot replace", &late.text()]);
    assert_eq!(std::fs::read_to_string(late.path()).unwrap(), "precious");
}

#[test]
fn others_segments_stay() {
    if !is_root("others_segments_stay") {
        return;
    }
    let _alone = alone();
    let name = Name::shm("replace-foreign");
    let _old =
        SegmentOptions::new().mode(0o666).create(&name, &Contents::new().bytes("", 3, 1).unwrap()).unwrap();
    fork(|| {
        become_nobody();
        refused(
            AnyArray::create(replacing().named(&name).unwrap(), &layout(5)),
            ErrorKind::ForeignOwner,
            &["cannot replace"],
        );
    })
    .expect_success();
    assert!(Segment::attach(&name).is_ok());
}

#[test]
fn dead_ones_make_way() {
    let _alone = alone();
    let name = Name::shm("replace-dead");
    let contents = Contents::new().bytes("", 3, 1).unwrap();
    common::sigkill({
        let line = common::Line::new();
        let mut child = fork(|| {
            let _held =
                SegmentOptions::new().lifetime(Lifetime::LastDetach).create(&name, &contents).unwrap();
            line.tell_parent(1);
            common::stay();
        });
        line.hear_child(&mut child);
        child
    });
    assert!(name.exists());
    assert_eq!(
        AnyArray::create(replacing().named(&name).unwrap(), &layout(5)).unwrap().layout().shape(),
        [5]
    );
}
