//! Segments and arrays that grow, in place and for everybody.

#![allow(unsafe_code, reason = "looks at mapped bytes")]

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use common::{Name, alone, fork, kind, refused};
use ndarray::Ix2;
use shm_core::{
    AnyArray, ArrayLayout, Contents, ElementType, ErrorKind, Segment, SegmentOptions, SharedArray, inspect,
};

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

fn poke(segment: &Segment, at: usize, value: u8) {
    let at = segment.entries()[0].offset() + at;
    assert!(at < segment.len());
    // SAFETY: within the segment, which the callers have mapped for writing.
    unsafe { segment.as_ptr().add(at).write_volatile(value) }
}

#[test]
fn it_grows_in_place_for_everybody() {
    let _alone = alone();
    for name in [Some(Name::shm("grow")), Some(Name::file("grow")), None] {
        let options = SegmentOptions::new().reserve_max(64 << 20);
        let place = name.as_ref().map_or(options.anonymous(), |name| options.named(name).unwrap());
        let mut mine = SharedArray::<u64, _>::from_fn(place, (10, 3), |(i, j)| (i * 3 + j) as u64).unwrap();
        let line = common::Line::new();
        let base = mine.segment().as_ptr();
        // SAFETY: nobody writes these elements meanwhile.
        let old_view = unsafe { mine.clone().raw_view().deref_into_view() };
        let before = mine.segment().generation();
        let mut child = fork(|| {
            let mut theirs = match &name {
                Some(name) => SharedArray::<u64, Ix2>::attach(name).unwrap(),
                None => mine.clone(),
            };
            theirs.grow(1000).unwrap();
            theirs.set((999, 2), 42);
            line.tell_parent(1);
            line.hear_parent();
            assert!(theirs.refresh());
            assert_eq!((theirs.shape(), theirs.get((19_999, 0))), (&[20_000, 3][..], 43));
        });
        line.hear_child(&mut child);
        assert_ne!(mine.segment().generation(), before, "noticed without asking the child");
        assert_eq!(mine.shape(), [10, 3], "until it is refreshed");
        assert!(mine.refresh() && !mine.refresh());
        assert_eq!(mine.shape(), [1000, 3]);
        assert_eq!((mine.get((999, 2)), mine.get((10, 0)), mine.get((9, 2))), (42, 0, 29));
        mine.grow(20_000).unwrap();
        mine.set((19_999, 0), 43);
        assert!((1000..20_000).step_by(501).all(|i| mine.get((i, 1)) == 0), "new elements are zero");
        line.tell_child(1);
        child.expect_success();
        assert_eq!(mine.segment().as_ptr(), base, "it never moves");
        assert_eq!(old_view[(9, 2)], 29, "old views stay valid");
        // Smaller is no change; more than the maximum is an error that tells both numbers.
        mine.grow(5).unwrap();
        assert_eq!(mine.shape(), [20_000, 3]);
        let at = mine.segment().generation();
        refused(mine.grow(4 << 20), ErrorKind::LimitExceeded, &["64.0 MiB", "96.", "reserve_max"]);
        refused(mine.grow(usize::MAX / 8), ErrorKind::SizeOverflow, &["grow"]);
        assert_eq!(kind(mine.segment().grow(usize::MAX)), ErrorKind::LimitExceeded);
        assert_eq!((mine.segment().generation(), mine.shape()), (at, &[20_000, 3][..]));
        let capacity = mine.segment().capacity();
        mine.segment().grow(capacity).unwrap();
        assert_eq!(mine.segment().len(), capacity);
    }
}

#[test]
fn many_grow_at_once_and_the_longest_wins() {
    let _alone = alone();
    let name = Name::shm("grow-race");
    let options = SegmentOptions::new().reserve_max(16 << 20);
    let segment = options.create(&name, &bytes(100)).unwrap();
    let children: Vec<_> = (0..4usize)
        .map(|i| {
            let name = &name;
            fork(move || {
                let segment = Segment::attach(name).unwrap();
                let mut last = segment.generation();
                for step in 1..=200usize {
                    let len = 8192 + (step * 4 + i) * 10_001;
                    segment.grow(len).unwrap();
                    let now = segment.generation();
                    assert!(now >= len as u64 && now >= last, "it never shrinks");
                    last = now;
                    // The bytes exist: a touch of the last one would be a SIGBUS otherwise.
                    poke(&segment, now as usize - 1 - segment.entries()[0].offset(), 1);
                }
            })
        })
        .collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(segment.len(), 8192 + 803 * 10_001);
    assert_eq!(name.path().metadata().unwrap().len(), segment.len() as u64);
    assert_eq!(inspect(&name).unwrap().len_bytes, segment.len());
}

#[test]
fn room_to_grow_is_address_space_only() {
    let name = Name::shm("tebibyte");
    let options = SegmentOptions::new().reserve_max(1 << 40);
    let segment = options.create(&name, &bytes(100)).unwrap();
    assert_eq!(segment.capacity(), 1 << 40);
    assert!(name.path().metadata().unwrap().blocks() * 512 < 1 << 20);
    segment.grow(1 << 20).unwrap();
    assert!(name.path().metadata().unwrap().blocks() * 512 >= 1 << 20, "grown bytes are reserved");
    let sparse_name = Name::shm("sparse-grow");
    let sparse = options.sparse(true).create(&sparse_name, &bytes(100)).unwrap();
    sparse.grow(1 << 30).unwrap();
    assert!(sparse_name.path().metadata().unwrap().blocks() * 512 < 1 << 20, "unless it is sparse");
    assert_eq!(sparse.len(), 1 << 30);
}

#[test]
fn a_maximum_that_leaves_no_room_is_no_error() {
    let len = SegmentOptions::new().create_anonymous(&bytes(100)).unwrap().len();
    let contents = [
        bytes(100),
        Contents::new().array("", &ArrayLayout::c_order(ElementType::U8, &[100]).unwrap()).unwrap(),
    ];
    for contents in &contents {
        let segment = SegmentOptions::new().reserve_max(len).create_anonymous(contents).unwrap();
        assert!(!segment.can_grow() && !segment.entries()[0].grows());
        refused(segment.grow(len + 1), ErrorKind::LimitExceeded, &["reserve_max"]);
        let larger = SegmentOptions::new().reserve_max(len + 1).create_anonymous(contents).unwrap();
        assert!(larger.can_grow() && larger.entries()[0].grows());
        larger.grow(len + 1).unwrap();
        let result = SegmentOptions::new().reserve_max(len - 1).create_anonymous(contents);
        refused(result, ErrorKind::InvalidArgument, &["maximum", &len.to_string()]);
    }
}

#[test]
fn an_array_that_was_empty_grows_to_where_it_says() {
    // Three spare bytes in front of the rows: an empty array has them too.
    let layout = ArrayLayout::strided_from(ElementType::U8, &[0, 2], &[2, 1], 3).unwrap();
    let any = AnyArray::create(SegmentOptions::new().reserve_max(1 << 16).anonymous(), &layout).unwrap();
    let mut typed = any.typed::<u8, Ix2>().unwrap();
    typed.grow(2).unwrap();
    typed.set((0, 0), 9);
    let mut byte = [0];
    let mut any = any;
    assert!(any.refresh());
    any.read_element(&[0, 0], &mut byte).unwrap();
    assert_eq!(byte, [9]);
    assert_eq!(typed.exclusive().map(drop).unwrap_err().kind(), ErrorKind::Busy, "`any` is another handle");
    drop(any);
    assert_eq!(typed.exclusive().unwrap().view()[(0, 0)], 9);
    // Rows that would not be aligned for the type are refused while there are none yet.
    let layout = ArrayLayout::strided_from(ElementType::F64, &[0, 2], &[16, 8], 3).unwrap();
    let any = AnyArray::create(SegmentOptions::new().reserve_max(1 << 16).anonymous(), &layout).unwrap();
    assert_eq!(kind(any.typed::<f64, Ix2>()), ErrorKind::ShapeMismatch);
}

/// Puts another file behind the descriptor of a segment, as a program does that closes what is not its own and opens something.
fn replace_descriptor(segment: &Segment, by: &std::fs::File) {
    // SAFETY: the number stays open throughout, only what it leads to changes; who owns it is what is tested.
    let result = unsafe { libc::dup2(by.as_raw_fd(), segment.as_fd().as_raw_fd()) };
    assert!(result >= 0);
}

#[test]
fn another_file_behind_the_descriptor_is_left_alone() {
    let _alone = alone();
    let other = Name::file("other");
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(other.path()).unwrap();
    for name in [Some(Name::shm("replaced")), None] {
        fork(|| {
            let options = SegmentOptions::new().reserve_max(1 << 20);
            let place = name.as_ref().map_or(options.anonymous(), |name| options.named(name).unwrap());
            let mut array = SharedArray::<u64, _>::full(place, 100, 7).unwrap();
            let (len, generation) = (array.segment().len(), array.segment().generation());
            replace_descriptor(array.segment(), &file);
            let parts = ["cannot grow", "closed the segment's descriptor", "look for code"];
            refused(array.grow(10_000), ErrorKind::System, &parts);
            assert_eq!((array.segment().len(), array.segment().generation()), (len, generation));
            assert_eq!((array.len(), array.get(99)), (100, 7));
            match &name {
                // By its name it can still be opened.
                Some(_) => drop(array.segment().fresh_descriptor().unwrap()),
                None => {
                    refused(array.segment().fresh_descriptor(), ErrorKind::System, &["closed the segment's"]);
                    refused(array.segment().lease(), ErrorKind::System, &["closed the segment's"]);
                }
            }
        })
        .expect_success();
    }
    assert_eq!(other.path().metadata().unwrap().len(), 0);
}
