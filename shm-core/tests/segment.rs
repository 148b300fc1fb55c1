//! Segments: created, attached, deleted; every option; one mapping per process.
//!
//! Growth, lifetimes, leases and bad input have files of their own.

#![allow(unsafe_code, reason = "looks at mapped bytes, sets umask and limits in children")]

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Name, Object, alone, fork, kind, refused};
use ndarray::{Ix1, Ix2};
use shm_core::{
    Access, Advice, Anonymous, AnyArray, ArrayLayout, Contents, ElementType, EntryKind, ErrorKind, Segment,
    SegmentKind, SegmentName, SegmentOptions, SharedArray, SyncMode, delete, inspect, list_in,
};
use shm_testkit::rerun;

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

/// Copies bytes of a segment's only entry out.
fn peek(segment: &Segment, at: usize) -> u8 {
    let at = segment.entries()[0].offset() + at;
    assert!(at < segment.len());
    // SAFETY: within the segment.
    unsafe { segment.as_ptr().add(at).read_volatile() }
}

fn poke(segment: &Segment, at: usize, value: u8) {
    let at = segment.entries()[0].offset() + at;
    assert!(at < segment.len());
    // SAFETY: within the segment, which the callers have mapped for writing.
    unsafe { segment.as_ptr().add(at).write_volatile(value) }
}

#[test]
fn smoke() {
    let name = Name::shm("smoke");
    let a = SegmentOptions::new().create(&name, &bytes(100)).unwrap();
    assert_eq!((a.kind(), a.access(), a.can_grow()), (SegmentKind::Array, Access::ReadWrite, false));
    assert_eq!((a.len(), a.capacity()), (4096 + 100, 4096 + 100));
    assert!((0..100).all(|i| peek(&a, i) == 0));
    poke(&a, 99, 7);
    let child = fork(|| {
        let b = Segment::attach(&name).unwrap();
        assert_eq!(peek(&b, 99), 7);
        poke(&b, 0, 8);
    });
    child.expect_success();
    assert_eq!(peek(&a, 0), 8);
    delete(&name).unwrap();
    assert!(!name.exists());
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
}

#[test]
fn only_one_creates() {
    let name = Name::shm("one-creates");
    let created: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|i| {
                let name = &name;
                scope.spawn(move || match SegmentOptions::new().create(name, &bytes(10)) {
                    Ok(segment) => {
                        poke(&segment, 0, i);
                        1
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                        0
                    }
                })
            })
            .collect();
        tries.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(created, 1);
    let text = refused(
        SegmentOptions::new().create(&name, &bytes(10)),
        ErrorKind::AlreadyExists,
        &[&name.text(), "attach to it"],
    );
    assert_eq!(text.operation(), "create");
}

#[test]
fn create_or_attach_is_one_step() {
    let _alone = alone();
    for round in 0..50 {
        let name = Name::shm("coa");
        let children: Vec<_> = (0..4)
            .map(|_| {
                shm_testkit::fork_child(|| {
                    let (segment, created) =
                        SegmentOptions::new().create_or_attach(&name, &bytes(8)).unwrap();
                    let word = segment.as_ptr().wrapping_add(segment.entries()[0].offset()).cast();
                    // SAFETY: an aligned word in the mapping, which everybody accesses atomically.
                    unsafe { std::sync::atomic::AtomicU64::from_ptr(word) }.fetch_add(1, Ordering::SeqCst);
                    i32::from(created)
                })
            })
            .collect();
        let created = children.into_iter().map(|mut child| match child.wait() {
            shm_testkit::Status::Exited(code @ (0 | 1)) => code,
            other => panic!("{other}: {:?}", child.panic_message()),
        });
        assert_eq!(created.sum::<i32>(), 1, "round {round}");
        assert_eq!(peek(&Segment::attach(&name).unwrap(), 0), 4);
    }
}

#[test]
fn attachments_live_on_after_delete() {
    let name = Name::shm("delete");
    let old = SharedArray::<u32, _>::full(&name, 1000, 1).unwrap();
    delete(&name).unwrap();
    assert_eq!(kind(delete(&name)), ErrorKind::NotFound);
    let new = SharedArray::<u32, _>::full(&name, 10, 2).unwrap();
    assert_ne!(old.segment().as_ptr(), new.segment().as_ptr());
    old.set(999, 7);
    assert_eq!((old.get(999), old.get(0), new.get(0)), (7, 1, 2));
    let again = old.clone();
    drop(old);
    drop(again);
    assert_eq!(
        SharedArray::<u32, Ix1>::attach(&name).unwrap().get(9),
        2,
        "the old one's end is not the new one's"
    );
    delete(&name).unwrap();
}

#[test]
fn mode_is_as_asked_whatever_the_umask() {
    let _alone = alone();
    for (mask, mode) in [(0o777, 0o600), (0o077, 0o644), (0, 0o660), (0o022, 0o777)] {
        let (shm, file) = (Name::shm("mode"), Name::file("mode"));
        fork(|| {
            // SAFETY: sets a number of this process, which has one thread.
            unsafe { libc::umask(mask) };
            for name in [&shm, &file] {
                SegmentOptions::new().mode(mode).create(name, &bytes(1)).unwrap();
            }
        })
        .expect_success();
        for name in [&shm, &file] {
            assert_eq!(name.path().metadata().unwrap().mode() & 0o7777, mode);
            assert_eq!(inspect(name).unwrap().mode, mode);
        }
    }
    let default = Name::shm("mode-default");
    SegmentOptions::new().create(&default, &bytes(1)).unwrap();
    assert_eq!(inspect(&default).unwrap().mode, 0o600);
    for mode in [0, 0o400, 0o066, 0o1600, 0o10600] {
        let name = Name::shm("mode-bad");
        let result = SegmentOptions::new().mode(mode).create(&name, &bytes(1));
        refused(result, ErrorKind::InvalidArgument, &["mode", &format!("{mode:#o}")]);
        assert!(!name.exists());
    }
}

#[test]
fn bytes_are_reserved_unless_sparse() {
    const LEN: usize = 8 << 20;
    for name in [Name::shm("reserved"), Name::file("reserved")] {
        let segment = SegmentOptions::new().create(&name, &bytes(LEN)).unwrap();
        assert!(name.path().metadata().unwrap().blocks() * 512 >= LEN as u64);
        drop(segment);
        delete(&name).unwrap();
        let segment = SegmentOptions::new().sparse(true).create(&name, &bytes(LEN)).unwrap();
        assert!(name.path().metadata().unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(name.path().metadata().unwrap().len(), segment.len() as u64);
        poke(&segment, LEN - 1, 1);
        let info = inspect(&name).unwrap();
        assert!(info.not_guaranteed.unwrap().contains("sparse"));
        delete(&name).unwrap();
    }
    let name = Name::shm("guaranteed");
    let _segment = SegmentOptions::new().create(&name, &bytes(10)).unwrap();
    assert_eq!(inspect(&name).unwrap().not_guaranteed, None);
    let anonymous = SegmentOptions::new().create_anonymous(&bytes(10)).unwrap();
    assert_eq!(anonymous.info().unwrap().not_guaranteed, None);
    let file = Name::file("guaranteed");
    let _segment = SegmentOptions::new().create(&file, &bytes(10)).unwrap();
    assert!(
        inspect(&file).unwrap().not_guaranteed.is_some(),
        "a file may be truncated by anybody who may write it"
    );
}

#[test]
fn prefault_enters_all_pages() {
    const LEN: usize = 4 << 20;
    let name = Name::shm("prefault");
    let plain = SegmentOptions::new().create(&name, &bytes(LEN)).unwrap();
    let object = Object::of(&plain);
    assert!(object.smaps("Rss") < LEN / 1024);
    // It has a mapping already, and that one is to be prefaulted.
    let again = SegmentOptions::new().prefault(true).attach(&name).unwrap();
    assert!(object.smaps("Rss") >= LEN / 1024);
    drop((plain, again));
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(&name).unwrap();
        assert!(object.smaps("Rss") < LEN / 1024, "{access:?}");
        segment.prefault().unwrap();
        assert!(object.smaps("Rss") >= LEN / 1024, "{access:?}");
        assert_eq!(object.smaps("Anonymous"), 0, "{access:?}: no copies are made");
        drop(segment);
        let segment = SegmentOptions::new().access(access).prefault(true).attach(&name).unwrap();
        assert!(object.smaps("Rss") >= LEN / 1024, "{access:?}");
        drop(segment);
    }
    delete(&name).unwrap();
    let segment = SegmentOptions::new().prefault(true).create(&name, &bytes(LEN)).unwrap();
    let object = Object::of(&segment);
    assert!(object.smaps("Rss") >= LEN / 1024);
    drop(segment);
}

#[test]
fn memory_is_locked_and_unlocked() {
    const LEN: usize = 1 << 20;
    let name = Name::shm("mlock");
    let segment = SegmentOptions::new().create(&name, &bytes(LEN)).unwrap();
    let object = Object::of(&segment);
    assert_eq!(object.smaps("Locked"), 0);
    segment.lock_memory().unwrap();
    assert!(object.smaps("Locked") >= LEN / 1024);
    segment.unlock_memory().unwrap();
    assert_eq!(object.smaps("Locked"), 0);
    let again = SegmentOptions::new().lock_memory(true).attach(&name).unwrap();
    assert!(object.smaps("Locked") >= LEN / 1024, "the option counts for a mapping that exists too");
    drop((segment, again));
    let segment = SegmentOptions::new().lock_memory(true).attach(&name).unwrap();
    assert!(object.smaps("Locked") >= LEN / 1024);
    drop(segment);
}

#[test]
fn memory_that_may_not_be_locked_is_an_error() {
    if !common::is_root("memory_that_may_not_be_locked_is_an_error") {
        return;
    }
    let _alone = alone();
    let name = Name::shm("mlock-limit");
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 65536, rlim_max: 65536 };
        // SAFETY: `limit` lives through the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) }, 0);
        common::become_nobody();
        let locked = SegmentOptions::new().lock_memory(true);
        let parts = ["64.0 KiB", "ulimit -l", &name.text()];
        refused(locked.create(&name, &bytes(1 << 20)), ErrorKind::OutOfMemory, &parts);
        assert!(!name.exists());
        let segment = SegmentOptions::new().create(&name, &bytes(1 << 20)).unwrap();
        refused(segment.lock_memory(), ErrorKind::OutOfMemory, &parts);
        let object = Object::of(&segment);
        refused(locked.attach(&name), ErrorKind::OutOfMemory, &parts);
        drop(segment);
        refused(locked.attach(&name), ErrorKind::OutOfMemory, &parts);
        assert!(object.maps().is_empty());
        delete(&name).unwrap();
    })
    .expect_success();
}

#[test]
fn huge_pages_are_a_hint() {
    let name = Name::shm("huge");
    let huge = SegmentOptions::new().huge_pages(true);
    let segment = huge.create(&name, &bytes(5 << 20)).unwrap();
    assert_eq!(segment.as_ptr().addr() % (2 << 20), 0);
    poke(&segment, (5 << 20) - 1, 9);
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        // Without the option too: a mapping of another alignment would have none of the pages.
        let other = SegmentOptions::new().access(access).attach(&name).unwrap();
        assert_eq!(other.as_ptr().addr() % (2 << 20), 0);
        assert_eq!(peek(&other, (5 << 20) - 1), 9);
    }
    let object = Object::of(&segment);
    drop(segment);
    assert_eq!(object.uses(), (0, 0));
}

/// Alignments that are asked for, and the name that has each.
const ALIGNMENTS: [usize; 5] = [1, 64, 4096, 65536, 2 << 20];

#[test]
fn entries_are_aligned_in_every_process() {
    let _alone = alone();
    let names: Vec<Name> =
        ALIGNMENTS.iter().flat_map(|_| [Name::shm("align"), Name::file("align")]).collect();
    let mut kept = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let align = ALIGNMENTS[i / 2];
        let segment = SegmentOptions::new().align(align).create(name, &bytes(100)).unwrap();
        check_alignment(&segment, align);
        // By the entry instead of the option.
        let contents = Contents::new().bytes("a", 1, 1).unwrap().bytes("b", 1, align).unwrap();
        let own = SegmentOptions::new().create_anonymous(&contents).unwrap();
        assert_eq!((own.as_ptr().addr() + own.entry("b").unwrap().offset()) % align, 0);
        kept.push(segment);
    }
    let text: Vec<String> = names.iter().map(Name::text).collect();
    let output = rerun("attacher_checks_alignment", &[("SHM_TEST_NAMES", &text.join("\n"))]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for align in [0, 3, 1 << 41] {
        let result = SegmentOptions::new().align(align).create_anonymous(&bytes(1));
        refused(result, ErrorKind::InvalidArgument, &["alignment"]);
        let result = Contents::new().bytes("x", 1, align);
        refused(result, ErrorKind::InvalidArgument, &["alignment"]);
    }
}

fn check_alignment(segment: &Segment, align: usize) {
    let offset = segment.entries()[0].offset();
    assert_eq!((segment.as_ptr().addr() + offset) % align, 0, "{segment:?} {align}");
    let is_file = segment.name().is_some_and(|name| !name.is_shm());
    assert_eq!(offset % if is_file { 65536 } else { 4096 }, 0);
}

#[test]
#[ignore = "run by entries_are_aligned_in_every_process"]
fn attacher_checks_alignment() {
    let names = std::env::var("SHM_TEST_NAMES").unwrap();
    // Something in between, so that addresses differ from those of the creator.
    let _other = SegmentOptions::new().create_anonymous(&bytes(12345)).unwrap();
    for (i, name) in names.lines().enumerate() {
        for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
            check_alignment(&SegmentOptions::new().access(access).attach(name).unwrap(), ALIGNMENTS[i / 2]);
        }
    }
}

#[test]
fn changes_reach_the_file() {
    let name = Name::file("sync");
    let array = SharedArray::<f64, _>::zeros(&name, 1000).unwrap();
    let file = std::fs::File::open(name.path()).unwrap();
    let offset = array.segment().entries()[0].offset() as u64;
    for (value, mode) in [(1.5, SyncMode::Start), (2.5, SyncMode::Wait), (3.5, SyncMode::Invalidate)] {
        array.set(999, value);
        array.segment().sync(mode).unwrap();
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset + 999 * 8).unwrap();
        assert_eq!(f64::from_le_bytes(bytes), value, "{mode:?}");
    }
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        SegmentOptions::new().access(access).attach(&name).unwrap().sync(SyncMode::Wait).unwrap();
    }
    let (shm, anonymous) = (Name::shm("sync"), SegmentOptions::new().create_anonymous(&bytes(1)).unwrap());
    for segment in [SegmentOptions::new().create(&shm, &bytes(1)).unwrap(), anonymous] {
        segment.sync(SyncMode::Wait).unwrap();
    }
    // The bytes are those of the file, so they are there for whoever comes later.
    drop(array);
    assert_eq!(SharedArray::<f64, Ix1>::attach(&name).unwrap().get(999), 3.5);
}

#[test]
fn advice_changes_no_byte() {
    let name = Name::file("advise");
    let array = SharedArray::from_iter(&name, 0..100_000u32).unwrap();
    let anonymous = SharedArray::from_iter(Anonymous, 0..100_000u32).unwrap();
    for array in [array, anonymous] {
        for advice in [Advice::Sequential, Advice::Random, Advice::WillNeed, Advice::DontDump, Advice::Normal]
        {
            array.segment().advise(advice).unwrap();
            assert!((0..100_000).step_by(997).all(|i| array.get(i as usize) == i), "{advice:?}");
        }
        for advice in [Advice::HugePage, Advice::NoHugePage] {
            // Not every kernel has huge pages.
            if let Err(error) = array.segment().advise(advice) {
                assert_eq!(error.kind(), ErrorKind::System, "{error}");
            }
        }
        assert_eq!(array.get(99_999), 99_999);
    }
}

#[test]
fn two_attachments_in_one_process_are_one_mapping() {
    let _alone = alone();
    let name = Name::shm("one-mapping");
    let first = SegmentOptions::new().create(&name, &bytes(10_000)).unwrap();
    let object = Object::of(&first);
    let others: Vec<Segment> = (0..10).map(|_| Segment::attach(&name).unwrap()).collect();
    let by_descriptor = SegmentOptions::new().attach_descriptor(first.fresh_descriptor().unwrap()).unwrap();
    let by_lease = first.lease().unwrap().attach().unwrap();
    for other in others.iter().chain([&by_descriptor, &by_lease]) {
        assert_eq!(other.as_ptr(), first.as_ptr());
    }
    assert_eq!(object.uses(), (1, 1));
    let readers: Vec<Segment> =
        (0..3).map(|_| SegmentOptions::new().read_only().attach(&name).unwrap()).collect();
    assert_eq!(object.uses(), (2, 2), "one per access mode");
    drop(readers);
    // Deleted, and another one under the name: two objects, two mappings.
    delete(&name).unwrap();
    let second = SegmentOptions::new().create(&name, &bytes(10)).unwrap();
    assert_ne!(second.as_ptr(), first.as_ptr());
    drop((first, others, by_descriptor));
    assert_eq!((object.uses(), Object::of(&second).uses()), ((1, 1), (1, 1)), "the last handle lives");
    drop(by_lease);
    assert_eq!((object.uses(), Object::of(&second).uses()), ((0, 0), (1, 1)));
}

#[test]
fn threads_that_attach_at_once_get_one_mapping() {
    let _alone = alone();
    let name = Name::shm("threads");
    drop(SegmentOptions::new().create(&name, &bytes(10_000)).unwrap());
    for _ in 0..200 {
        let barrier = std::sync::Barrier::new(4);
        let segments: Vec<Segment> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        drop(Segment::attach(&name).unwrap());
                        let segment = Segment::attach(&name).unwrap();
                        barrier.wait();
                        segment
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(segments.iter().all(|s| s.as_ptr() == segments[0].as_ptr()));
        assert_eq!(Object::of(&segments[0]).uses(), (1, 1));
    }
}

#[test]
fn a_copy_on_write_attachment_keeps_its_writes() {
    let name = Name::shm("cow");
    let shared = SharedArray::<u64, _>::from_iter(&name, 0..10_000u64).unwrap();
    let options = SegmentOptions::new().access(Access::CopyOnWrite);
    let a = SharedArray::<u64, Ix1>::attach_with(&name, &options).unwrap();
    let b = SharedArray::<u64, Ix1>::attach_with(&name, &options).unwrap();
    assert_ne!(a.segment().as_ptr(), b.segment().as_ptr(), "each has its own copies");
    a.set(0, 77);
    a.as_any().write_element(&[1], &88u64.to_le_bytes()).unwrap();
    assert_eq!((a.get(0), a.get(1)), (77, 88));
    assert_eq!((b.get(0), b.get(1), shared.get(0), shared.get(1)), (0, 1, 0, 1));
    shared.set(9_999, 5);
    assert_eq!((a.get(9_999), b.get(9_999)), (5, 5), "pages that were not written are the shared ones");
    refused(a.segment().grow(1 << 20), ErrorKind::ReadOnly, &["copy-on-write", &name.text()]);
    let mut a = a;
    refused(a.exclusive(), ErrorKind::ReadOnly, &["copy-on-write"]);
    drop(a);
    assert_eq!(SharedArray::<u64, Ix1>::attach_with(&name, &options).unwrap().get(0), 0);
}

#[test]
fn a_read_only_attachment_refuses_to_write() {
    let name = Name::shm("read-only");
    let options = SegmentOptions::new().reserve_max(1 << 20);
    let writer = SharedArray::<u64, _>::zeros(options.named(&name).unwrap(), 10).unwrap();
    let mut reader = SharedArray::<u64, Ix1>::attach_with(&name, &SegmentOptions::new().read_only()).unwrap();
    writer.set(3, 4);
    assert_eq!(reader.get(3), 4);
    let parts = ["read-only", &name.text(), "attach it for reading and writing"];
    refused(reader.try_set(3, 5), ErrorKind::ReadOnly, &parts);
    refused(reader.fill(5), ErrorKind::ReadOnly, &parts);
    refused(reader.assign(&ndarray::Array1::zeros(10)), ErrorKind::ReadOnly, &parts);
    refused(reader.as_any().write_element(&[0], &[0; 8]), ErrorKind::ReadOnly, &parts);
    refused(reader.segment().grow(8192), ErrorKind::ReadOnly, &parts);
    refused(reader.grow(100), ErrorKind::ReadOnly, &parts);
    refused(reader.exclusive().map(drop), ErrorKind::ReadOnly, &parts);
    assert!(std::panic::catch_unwind(|| reader.set(3, 5)).is_err());
    // The kernel agrees: neither the mapping nor the descriptor can write.
    let object = Object::of(writer.segment());
    assert_eq!(object.maps().iter().filter(|line| line.contains(" r--s ")).count(), 1);
    // SAFETY: asks for flags.
    let flags = unsafe { libc::fcntl(reader.segment().as_fd().as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY);
    assert_eq!(writer.get(3), 4);
}

#[test]
fn several_things_in_one_segment() {
    let _alone = alone();
    let name = Name::shm("entries");
    let grid = ArrayLayout::c_order(ElementType::F64, &[4, 5]).unwrap();
    let log = ArrayLayout::c_order(ElementType::U32, &[0]).unwrap();
    let contents = Contents::new()
        .kind(SegmentKind::Pool)
        .primitive("lock", 9, 40, 64)
        .and_then(|c| c.bytes("raw", 3, 1))
        .and_then(|c| c.array("grid", &grid))
        .and_then(|c| c.arena("heap", 8192))
        .and_then(|c| c.array("log", &log))
        .unwrap();
    let options = SegmentOptions::new().reserve_max(1 << 20);
    let segment = options.create(&name, &contents).unwrap();
    let names: Vec<&str> = segment.entries().iter().map(|e| e.name()).collect();
    assert_eq!(names, ["lock", "raw", "grid", "heap", "log"]);
    assert_eq!(segment.kind(), SegmentKind::Pool);
    let mut end = 0;
    for entry in segment.entries() {
        assert!(entry.offset() >= end && entry.offset() % entry.align() == 0, "{entry:?}");
        end = entry.offset() + entry.len();
        assert_eq!(entry.grows(), entry.name() == "log");
    }
    assert_eq!(segment.entry("lock").unwrap().kind(), &EntryKind::Primitive(9));
    assert_eq!(segment.entry("heap").unwrap().kind(), &EntryKind::Arena);
    let error =
        refused(segment.entry("gird").cloned(), ErrorKind::NoSuchEntry, &["\"gird\"", "\"grid\"", "\"log\""]);
    assert!(error.to_string().contains(&name.text()));
    let several = AnyArray::only(&segment);
    refused(several, ErrorKind::NoSuchEntry, &["several", &name.text()]);
    assert_eq!(kind(SharedArray::<f64, Ix2>::attach(&name)), ErrorKind::NoSuchEntry);
    assert_eq!(kind(AnyArray::in_segment(&segment, "raw")), ErrorKind::NoSuchEntry);
    let mine = SharedArray::<f64, Ix2>::in_segment(&segment, "grid").unwrap();
    let mut log = SharedArray::<u32, Ix1>::in_segment(&segment, "log").unwrap();
    fork(|| {
        let segment = Segment::attach(&name).unwrap();
        SharedArray::<f64, Ix2>::in_segment(&segment, "grid").unwrap().set((3, 4), 2.5);
        let mut log = SharedArray::<u32, Ix1>::in_segment(&segment, "log").unwrap();
        log.grow(7).unwrap();
        log.set(6, 5);
    })
    .expect_success();
    assert_eq!(mine.get((3, 4)), 2.5);
    assert!(log.refresh());
    assert_eq!((log.len(), log.get(6)), (7, 5));
    let mut fixed = AnyArray::in_segment(&segment, "grid").unwrap();
    refused(fixed.grow(10), ErrorKind::LimitExceeded, &["not created to grow"]);
    // No array at all, nothing at all, names that cannot be.
    let raw = SegmentOptions::new().create_anonymous(&bytes(1)).unwrap();
    refused(AnyArray::only(&raw), ErrorKind::NoSuchEntry, &["no array"]);
    assert_eq!(kind(SegmentOptions::new().create_anonymous(&Contents::new())), ErrorKind::InvalidArgument);
    assert_eq!(kind(Contents::new().bytes("a\0b", 1, 1)), ErrorKind::InvalidArgument);
    assert_eq!(kind(bytes(1).bytes("", 1, 1)), ErrorKind::InvalidArgument);
}

#[test]
fn only_an_only_entry_may_be_nameless() {
    refused(bytes(1).bytes("b", 1, 1), ErrorKind::InvalidArgument, &["without a name"]);
    let named = Contents::new().bytes("a", 1, 1).unwrap();
    refused(named.bytes("", 1, 1), ErrorKind::InvalidArgument, &["without a name"]);
}

#[test]
fn a_long_table_is_read_whole() {
    let name = Name::shm("table");
    let mut contents = Contents::new();
    for i in 0..4096 {
        contents = contents.bytes(&format!("entry number {i}"), i % 7, 8).unwrap();
    }
    SegmentOptions::new().create(&name, &contents).unwrap();
    let segment = SegmentOptions::new().read_only().attach(&name).unwrap();
    assert_eq!(segment.entries().len(), 4096);
    assert_eq!(segment.entry("entry number 4095").unwrap().len(), 0);
    assert_eq!(segment.entry("entry number 4094").unwrap().len(), 4094 % 7);
    let contents = contents.bytes("one more", 1, 1).unwrap();
    let result = SegmentOptions::new().create_anonymous(&contents);
    refused(result, ErrorKind::InvalidArgument, &["4097"]);
}

#[test]
fn names_of_all_kinds_work() {
    use std::os::unix::ffi::OsStrExt;
    let prefix = shm_testkit::unique_name("names");
    let long = format!("{prefix}{}", "x".repeat(255 - prefix.len()));
    for text in
        [long.clone(), format!("{prefix} blank ü 🦀"), format!("{prefix}-\u{301}"), format!("{prefix}%2F\\")]
    {
        let _cleanup = shm_testkit::Cleanup::of([&text]);
        let name = SegmentName::shm(&text).unwrap();
        let a = SharedArray::<u8, _>::full(&name, 1, 3).unwrap();
        assert_eq!(SharedArray::<u8, Ix1>::attach(format!("shm://{text}")).unwrap().get(0), 3);
        assert_eq!(SharedArray::<u8, Ix1>::attach(text.as_str()).unwrap().get(0), 3);
        assert_eq!(a.segment().name(), Some(&name));
        assert!(shm_core::list().unwrap().iter().any(|info| info.name.as_ref() == Some(&name)));
        delete(&name).unwrap();
        assert_eq!(kind(inspect(&name)), ErrorKind::NotFound);
    }
    let folder = common::Folder::new("names");
    for odd in [&b"\xff\xfe not text"[..], b"new\nline", long.as_bytes()] {
        let name = SegmentName::file(folder.path().join(std::ffi::OsStr::from_bytes(odd))).unwrap();
        drop(SharedArray::<u8, _>::full(&name, 1, 4).unwrap());
        assert_eq!(SharedArray::<u8, Ix1>::attach(&name).unwrap().get(0), 4);
        assert_eq!(list_in(folder.path()).unwrap()[0].name.as_ref(), Some(&name));
        delete(&name).unwrap();
    }
    let deep = format!("file:///{}/x", "d/".repeat(3000));
    let error = refused(Segment::attach(&deep), ErrorKind::InvalidName, &["more than 4095 bytes", "…"]);
    assert!(error.to_string().len() < 1000);
    assert!(list_in(folder.path()).unwrap().is_empty());
}

#[test]
fn a_relative_path_means_the_same_after_a_change_of_directory() {
    let _alone = alone();
    let folder = common::Folder::new("relative");
    fork(|| {
        std::env::set_current_dir(folder.path()).unwrap();
        let options = SegmentOptions::new().lifetime(shm_core::Lifetime::LastDetach);
        let segment = options.create("file://here", &bytes(1)).unwrap();
        std::env::set_current_dir("/").unwrap();
        assert_eq!(segment.name().unwrap().path(), folder.path().join("here"));
        assert_eq!(kind(Segment::attach("file://here")), ErrorKind::NotFound);
        assert!(Segment::attach(segment.name().unwrap()).is_ok());
        drop(segment);
    })
    .expect_success();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the name was found again and removed");
}

#[test]
fn a_forked_child_uses_what_it_inherited() {
    let _alone = alone();
    let name = Name::shm("inherit");
    let array = SharedArray::<u64, _>::zeros(&name, 10).unwrap();
    let anonymous = SharedArray::<u64, _>::zeros(Anonymous, 10).unwrap();
    fork(|| {
        array.set(0, 1);
        anonymous.set(0, 2);
        assert!(array.segment().is_inherited());
        let again = SharedArray::<u64, Ix1>::attach(&name).unwrap();
        assert_eq!(
            again.segment().as_ptr(),
            array.segment().as_ptr(),
            "one mapping, also of an inherited one"
        );
        again.set(1, 3);
        let own = SharedArray::<u64, _>::zeros(Anonymous, 1).unwrap();
        assert!(!own.segment().is_inherited());
    })
    .expect_success();
    assert_eq!((array.get(0), array.get(1), anonymous.get(0)), (1, 3, 2));
    assert!(!array.segment().is_inherited());
}

#[test]
fn what_a_descriptor_leads_to_is_attached() {
    let _alone = alone();
    let name = Name::shm("descriptor");
    let array = SharedArray::<u8, _>::full(&name, 3, 5).unwrap();
    let fresh = array.segment().fresh_descriptor().unwrap();
    drop(array);
    let segment = SegmentOptions::new().attach_descriptor(fresh).unwrap();
    assert_eq!(segment.name().map(ToString::to_string), Some(name.text()), "its name is found");
    assert_eq!(segment.info().unwrap().name, segment.name().cloned());
    let fresh = segment.fresh_descriptor().unwrap();
    delete(&name).unwrap();
    drop(segment);
    let deleted = SegmentOptions::new().attach_descriptor(fresh).unwrap();
    assert_eq!(deleted.name(), None);
    assert!(deleted.label().to_string().contains("anonymous"));
    assert_eq!(SharedArray::<u8, Ix1>::from_segment(&deleted).unwrap().get(2), 5);
    assert!(deleted.info().unwrap().attached);
    // What is no segment is named as what it is.
    let (pipe, _other) = std::io::pipe().unwrap();
    let folder = std::fs::File::open("/").unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let text = std::fs::File::open("/proc/self/maps").unwrap();
    for (fd, what) in
        [(pipe.into(), "FIFO"), (folder.into(), "directory"), (null.into(), "device"), (text.into(), "mark")]
    {
        refused(SegmentOptions::new().attach_descriptor(fd), ErrorKind::NotASegment, &[what]);
    }
}

/// Where the lock is that this process pretends to hold; 0 for none.
static LOCKED: AtomicUsize = AtomicUsize::new(0);

fn veto(start: *const u8, len: usize) -> bool {
    (start.addr()..start.addr() + len).contains(&LOCKED.load(Ordering::SeqCst))
}

#[test]
fn a_mapping_with_a_held_lock_in_it_is_not_unmapped() {
    let _alone = alone();
    shm_core::set_unmap_veto(veto);
    let name = Name::shm("veto");
    let options = SegmentOptions::new().lifetime(shm_core::Lifetime::LastDetach);
    let segment = options.create(&name, &bytes(10_000)).unwrap();
    LOCKED.store(segment.as_ptr().addr() + segment.len() - 1, Ordering::SeqCst);
    segment.clone().detach().unwrap();
    let object = Object::of(&segment);
    let (segment, error) = segment.detach().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockHeld);
    assert!(error.to_string().contains(&name.text()) && error.to_string().contains("unlock it first"));
    let other = SegmentOptions::new().read_only().attach(&name).unwrap();
    other.detach().unwrap();
    drop(segment);
    assert_eq!(object.uses(), (1, 1), "left in place");
    assert!(Segment::attach(&name).is_ok(), "and still attached");
    LOCKED.store(0, Ordering::SeqCst);
    // It is this process's for good now, which is what dropping it with a lock means.
    delete(&name).unwrap();
}
