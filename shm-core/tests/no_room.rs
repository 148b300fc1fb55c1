//! What does not fit: sizes past every limit, a full `/dev/shm`, no more files, a mount that forbids things. Each is an error that says how much was asked
//! and how much there is, and nothing is left of the attempt.

#![allow(unsafe_code, reason = "mounts a small file system")]

mod common;

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{Name, alone, fork, kind, make_node, refused, skip};
use ndarray::{Ix1, IxDyn};
use shm_core::element::FixedBytes;
use shm_core::{
    ArrayLayout, Contents, ElementType, ErrorKind, Lifetime, Segment, SegmentOptions, SharedArray, delete,
    inspect,
};

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

#[test]
fn sizes_that_overflow() {
    let _alone = alone();
    let name = Name::shm("overflow");
    let check = |result: shm_core::Result<()>| drop(refused(result, ErrorKind::SizeOverflow, &[]));
    let text = name.text();
    let array = |result: shm_core::Result<()>| {
        let error = refused(result, ErrorKind::SizeOverflow, &[&text, "2^63", "ask for less"]);
        assert_eq!((error.operation(), error.subject()), ("create", &*text));
    };
    array(SharedArray::<f64, _>::zeros(&name, usize::MAX).map(drop));
    array(SharedArray::<f64, _>::zeros(&name, 1 << 60).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, 1 << 63).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, (usize::MAX, 2)).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, (1 << 62, 4)).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, (0, usize::MAX)).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, (usize::MAX, 0)).map(drop));
    array(SharedArray::<u8, _>::zeros(&name, (1 << 40, 0, 1 << 40)).map(drop));
    check(SharedArray::<u8, _>::zeros(&name, IxDyn(&[1 << 40; 5])).map(drop));
    array(SharedArray::<FixedBytes<0>, _>::zeros(&name, (usize::MAX, usize::MAX)).map(drop));
    array(SharedArray::<f64, _>::full(&name, usize::MAX, 1.0).map(drop));
    array(SharedArray::<f64, _>::from_fn(&name, (usize::MAX, 0), |_| 1.0).map(drop));
    array(SharedArray::<f64, _>::create_or_attach(&name, usize::MAX).map(drop));
    let layout = ArrayLayout::c_order(ElementType::U8, &[usize::MAX]).map_err(Into::into);
    check(layout.map(drop));
    let two = Contents::new().bytes("a", 1 << 62, 1).unwrap().bytes("b", 1 << 62, 1).unwrap();
    check(SegmentOptions::new().sparse(true).create(&name, &two).map(drop));
    for max in [usize::MAX, 1 << 63] {
        let result = SegmentOptions::new().reserve_max(max).create(&name, &bytes(1));
        refused(result, ErrorKind::SizeOverflow, &[&text, "63 bits", "ask for less"]);
    }
    let result = SegmentOptions::new().reserve_max(4096).create(&name, &bytes(1));
    refused(result, ErrorKind::InvalidArgument, &[&text, "4096", "4097", "reserve more"]);
    check(SegmentOptions::new().create_anonymous(&bytes(usize::MAX)).map(drop));
    let mut growing =
        SharedArray::<u64, _>::zeros(SegmentOptions::new().reserve_max(1 << 20).anonymous(), 1).unwrap();
    check(growing.grow(usize::MAX));
    check(growing.grow(1 << 61));
    assert_eq!(growing.len(), 1);
    assert!(!name.exists());
}

#[test]
fn more_than_there_is() {
    let _alone = alone();
    let (shm, file) = (Name::shm("huge"), Name::file("huge"));
    for exponent in [48, 62] {
        let contents = bytes(1usize << exponent);
        refused(
            SegmentOptions::new().create(&shm, &contents),
            ErrorKind::OutOfSpace,
            &[&shm.text(), "it needs", "the mount /dev/shm has", "free", "remount", "--shm-size"],
        );
        let folder = file.path().parent().unwrap().to_str().unwrap();
        refused(
            SegmentOptions::new().create(&file, &contents),
            ErrorKind::OutOfSpace,
            &[&file.text(), "it needs", folder, "free", "another file system"],
        );
        refused(
            SegmentOptions::new().create_anonymous(&contents),
            ErrorKind::OutOfMemory,
            &["it needs", "memory available", "ask for less"],
        );
        assert!(!shm.exists() && !file.exists());
    }
    // No memory is asked for here, but more addresses than a process has.
    for result in [
        SegmentOptions::new().sparse(true).create(&shm, &bytes(1 << 62)),
        SegmentOptions::new().reserve_max(1 << 62).create(&shm, &bytes(1)),
    ] {
        refused(result, ErrorKind::OutOfMemory, &["address space", "4096.0 PiB"]);
    }
    assert!(!shm.exists());
}

/// Runs something in a child with a small `/dev/shm` of its own; tells whether that is possible here.
fn with_small_shm(test: &str, options: &str, work: impl FnOnce()) {
    let (source, target, root) = (c"tmpfs", c"/dev/shm", c"/");
    let options = CString::new(options).unwrap();
    let mut child = shm_testkit::fork_child(|| {
        // SAFETY: all strings live through the calls. What they change is this child's view of the mounts alone.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    root.as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(source.as_ptr(), target.as_ptr(), source.as_ptr(), 0, options.as_ptr().cast())
                    == 0
        };
        if !mounted {
            return 77;
        }
        work();
        0
    });
    match child.wait() {
        shm_testkit::Status::Exited(0) => {}
        shm_testkit::Status::Exited(77) => skip(test, "no mount namespace can be made here"),
        other => panic!("the child {other}: {:?}", child.panic_message()),
    }
}

fn shm_free() -> u64 {
    let stat = rustix::fs::statvfs("/dev/shm").unwrap();
    stat.f_bavail * stat.f_frsize
}

fn shm_entries() -> usize {
    std::fs::read_dir("/dev/shm").unwrap().count()
}

#[test]
fn shared_memory_is_too_small() {
    let _alone = alone();
    with_small_shm("shared_memory_is_too_small", "size=1m", || {
        let free = shm_free();
        assert_eq!(free, 1 << 20);
        let parts =
            ["the mount /dev/shm has 1.0 MiB (1048576 bytes) free", "remount", "--shm-size", "shm://x"];
        let error = refused(SharedArray::<u8, _>::zeros("x", 4 << 20), ErrorKind::OutOfSpace, &parts);
        assert!(error.to_string().contains("it needs 4.0 MiB (4198400 bytes)"), "{error}");
        refused(SharedArray::<u8, _>::zeros("x", 1 << 20), ErrorKind::OutOfSpace, &parts);
        refused(SharedArray::<u8, _>::create_or_attach("x", 1 << 20), ErrorKind::OutOfSpace, &parts);
        assert_eq!((shm_free(), shm_entries()), (free, 0), "nothing is left of the attempts");

        // What is there fits to the last byte, and can be touched to the last byte.
        let exact = SharedArray::<u8, _>::full("exact", (1 << 20) - 4096, 1).unwrap();
        assert_eq!((shm_free(), exact.get((1 << 20) - 4097)), (0, 1));
        let parts = ["the mount /dev/shm has 0 bytes free", "remount"];
        refused(SharedArray::<u8, _>::zeros("y", 1), ErrorKind::OutOfSpace, &parts);
        // Sparse or not: without a page for the header there is nothing.
        let sparse = SegmentOptions::new().sparse(true);
        refused(sparse.create("y", &bytes(1 << 20)), ErrorKind::OutOfSpace, &parts);
        assert_eq!(kind(Segment::attach("y")), ErrorKind::NotFound);
        delete("exact").unwrap();
        drop(exact);
        assert_eq!((shm_free(), shm_entries()), (free, 0));
        sparse.create("sparse", &bytes(100 << 20)).unwrap();
        delete("sparse").unwrap();
    });
}

#[test]
fn growth_without_space_changes_nothing() {
    let _alone = alone();
    with_small_shm("growth_without_space_changes_nothing", "size=1m", || {
        let place = SegmentOptions::new().reserve_max(64 << 20).named("grow").unwrap();
        let mut array = SharedArray::<u8, _>::full(place, 100_000, 1).unwrap();
        let (generation, free) = (array.segment().generation(), shm_free());
        for extent in [2 << 20, 60 << 20] {
            let parts = ["cannot grow shm://grow", "the mount /dev/shm has", "remount"];
            refused(array.grow(extent), ErrorKind::OutOfSpace, &parts);
            assert_eq!((array.len(), array.segment().generation(), shm_free()), (100_000, generation, free));
        }
        array.grow(900_000).unwrap();
        array.set(899_999, 2);
        assert_eq!(SharedArray::<u8, Ix1>::attach("grow").unwrap().get(899_999), 2);
    });
}

#[test]
fn growth_that_runs_out_of_space_half_way_changes_nothing() {
    let _alone = alone();
    with_small_shm("growth_that_runs_out_of_space_half_way_changes_nothing", "size=200m", || {
        // Another one takes and frees so much that there is room when growth begins, and often none any more before it ends.
        let mut filler = fork(|| {
            let file = std::fs::File::create("/dev/shm/filler").unwrap();
            loop {
                let flags = rustix::fs::FallocateFlags::empty();
                let _ = rustix::fs::fallocate(&file, flags, 0, 120 << 20);
                file.set_len(0).unwrap();
            }
        });
        let mut failures = 0;
        while failures < 40 {
            let options = SegmentOptions::new().reserve_max(160 << 20);
            let segment = options.create("grow", &bytes(100_000)).unwrap();
            let (generation, len) = (segment.generation(), segment.len());
            let on_disk = || std::fs::metadata("/dev/shm/grow").map(|m| (m.len(), m.blocks())).unwrap();
            let before = on_disk();
            if let Err(error) = segment.grow(150 << 20) {
                assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
                assert_eq!((segment.generation(), segment.len(), on_disk()), (generation, len, before));
                failures += 1;
            }
            delete("grow").unwrap();
            assert_eq!(filler.try_wait(), None);
        }
        common::sigkill(filler);
    });
}

#[test]
fn what_the_dead_left_makes_room() {
    let _alone = alone();
    with_small_shm("what_the_dead_left_makes_room", "size=1m", || {
        for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
            let options = SegmentOptions::new().lifetime(lifetime);
            fork(|| std::mem::forget(options.create("dead", &bytes(900_000)).unwrap())).expect_success();
            assert!(shm_free() < 200_000);
            let array = SharedArray::<u8, _>::zeros("living", 900_000).unwrap();
            assert_eq!(shm_entries(), 1);
            // But not what lives.
            let result = SharedArray::<u8, _>::zeros("more", 900_000);
            refused(result, ErrorKind::OutOfSpace, &["shm://more"]);
            drop(array);
            delete("living").unwrap();
        }
    });
}

#[test]
fn no_room_for_another_file() {
    let _alone = alone();
    with_small_shm("no_room_for_another_file", "size=1m,nr_inodes=4", || {
        let made: Vec<_> =
            (0..8).map_while(|i| SegmentOptions::new().create(format!("n{i}"), &bytes(1)).ok()).collect();
        assert!(!made.is_empty() && made.len() < 8);
        refused(
            SegmentOptions::new().create("more", &bytes(1)),
            ErrorKind::OutOfSpace,
            &["shm://more", "/dev/shm", "files", "nr_inodes"],
        );
    });
}

#[test]
fn a_mount_that_forbids_things() {
    let _alone = alone();
    with_small_shm("a_mount_that_forbids_things", "size=1m", || {
        SharedArray::<u8, _>::full("x", 10, 7).unwrap();
        let device = make_node(Path::new("/dev/shm/device"), libc::S_IFCHR, libc::makedev(1, 5)).is_ok();
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NODEV;
        let null = std::ptr::null();
        // SAFETY: the strings live through the call; the mount is this child's own.
        let done = unsafe { libc::mount(null, c"/dev/shm".as_ptr(), null, flags, null.cast()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        let denied = ErrorKind::PermissionDenied;
        refused(Segment::attach("x"), denied, &["shm://x", "mounted read-only", "attach read-only"]);
        refused(SegmentOptions::new().create("y", &bytes(1)), denied, &["shm://y", "/dev/shm", "mount"]);
        refused(delete("x"), denied, &["cannot delete shm://x", "mounted for writing"]);
        let read_only = SegmentOptions::new().read_only();
        assert_eq!(SharedArray::<u8, Ix1>::attach_with("x", &read_only).unwrap().get(9), 7);
        assert!(inspect("x").is_ok());
        if device {
            refused(read_only.attach("device"), ErrorKind::NotASegment, &["shm://device", "it is a device"]);
            refused(inspect("device"), ErrorKind::NotASegment, &["it is a device"]);
        }
    });
}
