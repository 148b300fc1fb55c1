//! Damage beyond one byte: descriptors that lie, many words at once, a neighbour that writes while others attach; and what creating, deleting,
//! listing and reaping make of it.
//!
//! Whatever the bytes are, attaching fails with an error of the right kind or gives something whose every element can be read; it never changes
//! a byte. Each length, each byte and each field of header and table alone are in `hostile_bytes.rs`. Offsets are those of `FORMAT.md`.

mod common;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Name, alone, kind, refused};
use ndarray::IxDyn;
use shm_core::{
    Access, AnyArray, ArrayLayout, Contents, ElementType, EntryKind, ErrorKind, Record, Result, Segment,
    SegmentName, SegmentOptions, SharedArray, delete, inspect, list, reap,
};
use shm_testkit::Numbers;

const ACCESSES: [Access; 3] = [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite];

fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("SHM_TEST_LONG").is_some() { long } else { short }
}

/// The bytes of a segment file, and what can be done to them.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    /// What the library writes for these contents.
    fn of(options: SegmentOptions, contents: &Contents) -> Bytes {
        let name = Name::shm("sample");
        drop(options.create(&name, contents).unwrap());
        Bytes(std::fs::read(name.path()).unwrap())
    }

    /// One nameless array of 2 × 3 numbers; the description fits the first read.
    fn plain() -> Bytes {
        let layout = ArrayLayout::c_order(ElementType::U16, &[2, 3]).unwrap();
        Bytes::of(SegmentOptions::new(), &Contents::new().array("", &layout).unwrap())
    }

    /// A lock, loose bytes, records, an array with a negative stride and one that grows; the description is longer than the first read.
    fn rich() -> Bytes {
        let record = Record::parse(b"{16a;2:id@0=<u8;4:mass@8=(2)<f4}").unwrap();
        let records = ArrayLayout::c_order(ElementType::Record(record.into()), &[3]).unwrap();
        let reversed = ArrayLayout::strided(ElementType::I32, &[4, 2], &[-8, 4]).unwrap();
        let grows = ArrayLayout::c_order(ElementType::F64, &[5, 3]).unwrap();
        let contents = Contents::new().primitive("lock", 9, 64, 64).unwrap().bytes("raw", 3, 1).unwrap();
        let contents = contents.array("records", &records).unwrap().array("reversed", &reversed).unwrap();
        let contents = contents.array("grows", &grows).unwrap();
        let bytes = Bytes::of(SegmentOptions::new().reserve_max(1 << 16), &contents);
        assert!(bytes.meta_len() > 512);
        bytes
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn meta_len(&self) -> usize {
        self.u64_at(80) as usize
    }

    fn put(mut self, at: usize, value: &[u8]) -> Bytes {
        self.0[at..at + value.len()].copy_from_slice(value);
        self
    }

    /// Makes the checksum fit, as a hostile writer would.
    fn sealed(self) -> Bytes {
        let Some(meta) = self.0.get(256..self.meta_len()) else { return self };
        let sum = crc32fast::hash(&[&self.0[..184], meta].concat());
        self.put(184, &sum.to_le_bytes())
    }

    fn resized(mut self, len: usize) -> Bytes {
        self.0.resize(len, 0);
        self
    }
}

/// A name to put bytes behind.
struct Target {
    name: Name,
    segment: SegmentName,
}

impl Target {
    fn new(what: &str) -> Target {
        let name = Name::shm(what);
        Target { segment: SegmentName::shm(name.bare()).unwrap(), name }
    }

    fn write(&self, bytes: &Bytes) {
        std::fs::write(self.name.path(), &bytes.0).unwrap();
    }

    /// Does to the bytes all that does not want to destroy them. Returns the kind of the error, which is the same for all, if there is one.
    fn attack(&self, bytes: &Bytes) -> std::result::Result<(), ErrorKind> {
        self.write(bytes);
        let inspected = inspect(&self.segment).map(drop).map_err(|error| error.kind());
        let mut unmappable = false;
        for access in ACCESSES {
            let attached = SegmentOptions::new().access(access).attach(&self.segment);
            let outcome = attached.map(|segment| use_all(&segment, bytes.0.len())).map_err(|e| e.kind());
            match outcome {
                // Looking needs no addresses.
                Err(ErrorKind::OutOfMemory) if inspected.is_ok() => unmappable = true,
                _ => assert_eq!(outcome, inspected, "{access:?}"),
            }
        }
        if inspected == Err(ErrorKind::NotFound) {
            // It says that it lives as long as somebody uses it, and nobody does: dead, by the format.
            assert!(matches!(bytes.0[36], 1 | 2) && !self.name.exists());
        } else {
            assert!(std::fs::read(self.name.path()).unwrap() == bytes.0, "attaching changed the file");
        }
        if unmappable { Err(ErrorKind::OutOfMemory) } else { inspected }
    }

    /// Checks all that is said and done about bytes that must be refused.
    #[track_caller]
    fn is_refused(&self, bytes: &Bytes, kind: ErrorKind, reason: &str) {
        self.write(bytes);
        let parts = [self.name.text(), reason.to_owned(), "; ".to_owned()];
        let parts = parts.each_ref().map(String::as_str);
        let remedy = match kind {
            ErrorKind::Corrupted => "delete it and create it anew",
            ErrorKind::UnsupportedVersion => "update this library",
            _ => "check the name",
        };
        for access in ACCESSES {
            let error = refused(SegmentOptions::new().access(access).attach(&self.segment), kind, &parts);
            assert!(error.to_string().ends_with(remedy) || error.to_string().contains(remedy), "{error}");
            assert_eq!(error.operation(), "attach");
        }
        assert_eq!(refused(inspect(&self.segment), kind, &parts).operation(), "inspect");
        refused(SharedArray::<u16, IxDyn>::attach(&self.segment), kind, &parts);
        let contents = Contents::new().bytes("", 1, 1).unwrap();
        refused(SegmentOptions::new().create_or_attach(&self.segment, &contents), kind, &parts);
        let taken = SegmentOptions::new().create(&self.segment, &contents);
        refused(taken, ErrorKind::AlreadyExists, &[&self.name.text()]);
        assert!(list().unwrap().iter().all(|info| info.name.as_ref() != Some(&self.segment)));
        assert!(!reap().unwrap().contains(&self.segment));
        assert!(std::fs::read(self.name.path()).unwrap() == bytes.0, "the file was changed");
    }
}

/// Reads the first and the last element of everything, which must lie in the file.
fn use_all(segment: &Segment, file_len: usize) {
    assert!(segment.len() <= file_len && segment.len() <= segment.capacity());
    for entry in segment.entries() {
        assert!(entry.offset() + entry.len() <= segment.len());
        assert_eq!((segment.as_ptr().addr() + entry.offset()) % entry.align(), 0);
        if !matches!(entry.kind(), EntryKind::Array(_)) {
            continue;
        }
        let array = AnyArray::in_segment(segment, entry.name()).unwrap();
        if array.layout().is_empty() {
            continue;
        }
        let last: Vec<usize> = array.layout().shape().iter().map(|extent| extent - 1).collect();
        let mut element = vec![0; array.layout().element().item_size()];
        for index in [vec![0; last.len()], last] {
            array.read_element(&index, &mut element).unwrap();
            if let Ok(typed) = array.typed::<u16, IxDyn>() {
                assert_eq!(typed.get(IxDyn(&index)).to_le_bytes(), element[..]);
            }
            if let Ok(typed) = array.typed::<f64, IxDyn>() {
                assert_eq!(typed.get(IxDyn(&index)).to_bits().to_le_bytes(), element[..]);
            }
        }
    }
}

#[test]
fn smoke() {
    let _alone = alone();
    let target = Target::new("smoke");
    for bytes in [Bytes::plain(), Bytes::rich()] {
        assert_eq!(target.attack(&bytes), Ok(()), "what was copied byte for byte is a segment");
        assert_eq!(target.attack(&bytes.clone().sealed()), Ok(()));
        let damaged = bytes.put(100, &[0xFF]);
        target.is_refused(&damaged, ErrorKind::Corrupted, "its checksum is 0x");
        assert_eq!(target.attack(&damaged.sealed()), Ok(()), "the checksum was all that was wrong");
    }
}

#[test]
fn a_damaged_segment_can_be_deleted_and_nothing_else() {
    let _alone = alone();
    let target = Target::new("delete");
    for bytes in [
        Bytes::plain().put(8, &[2]),
        Bytes::plain().put(16, &[1]),
        Bytes::plain().put(184, &[0; 4]),
        Bytes::plain().resized(8),
        Bytes::plain().resized(300),
        Bytes::plain().resized(10_000),
    ] {
        target.write(&bytes);
        delete(&target.segment).unwrap();
        assert!(!target.name.exists());
    }
    for bytes in [Bytes(Vec::new()), Bytes::plain().resized(7), Bytes::plain().put(0, b"x")] {
        target.write(&bytes);
        assert_eq!(kind(delete(&target.segment)), ErrorKind::NotASegment);
        assert!(target.name.exists());
    }
}

#[test]
fn rows_follow_the_length() {
    let _alone = alone();
    let target = Target::new("length");
    let bytes = Bytes::rich();
    let len = bytes.0.len() as u64;
    // 24 bytes a row: what is no whole row is none.
    for (extra, rows) in [(0, 5), (23, 5), (24, 6), (49, 7)] {
        let grown = bytes.clone().put(192, &(len + extra).to_le_bytes()).resized((len + extra) as usize);
        assert_eq!(target.attack(&grown), Ok(()));
        let segment = Segment::attach(&target.segment).unwrap();
        assert_eq!(AnyArray::in_segment(&segment, "grows").unwrap().layout().shape(), [rows, 3]);
    }
}

#[test]
fn every_field_of_a_descriptor() {
    let _alone = alone();
    let target = Target::new("table");
    let plain = Bytes::plain();
    let descriptor = plain.u64_at(256 + 32) as usize;
    let (shape, strides) = (descriptor + 40, descriptor + 56);
    let of_plain: &[(usize, &[u8], &str)] = &[
        (272, &11u64.to_le_bytes(), "needs 12 bytes"),
        (296, &64u32.to_le_bytes(), "64 bytes where its fields ask for 72"),
        (descriptor, &[3], "code 3"),
        (descriptor, &[255], "code 255"),
        (descriptor + 1, &[12], "12 bits"),
        (descriptor + 2, &2u16.to_le_bytes(), "lanes"),
        (descriptor + 4, &1u32.to_le_bytes(), "count"),
        (descriptor + 8, &1u32.to_le_bytes(), "unit"),
        (descriptor + 12, &1u32.to_le_bytes(), "72 bytes where its fields ask for 56"),
        (descriptor + 12, &65u32.to_le_bytes(), "65"),
        (descriptor + 12, &u32::MAX.to_le_bytes(), "4294967295"),
        (descriptor + 16, &4u64.to_le_bytes(), "item size"),
        (descriptor + 24, &2u64.to_le_bytes(), "needs 14 bytes"),
        (descriptor + 24, &u64::MAX.to_le_bytes(), "2^63"),
        (descriptor + 32, &1u32.to_le_bytes(), "ask for 73"),
        (descriptor + 32, &u32::MAX.to_le_bytes(), "ask for"),
        (descriptor + 36, &1u32.to_le_bytes(), "zero"),
        (shape, &3u64.to_le_bytes(), "needs 18 bytes"),
        (shape, &u64::MAX.to_le_bytes(), "2^63"),
        (shape + 8, &(1u64 << 62).to_le_bytes(), "2^63"),
        (strides, &0i64.to_le_bytes(), "overlap"),
        (strides, &2i64.to_le_bytes(), "overlap"),
        (strides, &(-6i64).to_le_bytes(), "negative strides reach 6 bytes back"),
        (strides, &i64::MAX.to_le_bytes(), "2^63"),
        (strides, &i64::MIN.to_le_bytes(), "2^63"),
    ];
    for (at, value, reason) in of_plain {
        target.is_refused(&plain.clone().put(*at, value).sealed(), ErrorKind::Corrupted, reason);
    }

    let rich = Bytes::rich();
    let entry = |i: usize| 256 + 64 * i;
    let name_at = |i: usize| rich.u64_at(entry(i) + 48) as usize;
    let last_len = rich.u64_at(entry(4) + 16);
    let record = rich.u64_at(entry(2) + 32) as usize + 56;
    let of_rich: &[(usize, &[u8], &str)] = &[
        (entry(1) + 44, &0u32.to_le_bytes(), "no valid name"),
        (entry(1) + 44, &[0; 12], "has no name and is not the only one"),
        (entry(4) + 16, &(last_len - 1).to_le_bytes(), "needs 120 bytes"),
        (name_at(0), b"raw\0", "no valid name"),
        (name_at(0), b"\xFF", "no valid name"),
        (name_at(3), b"records\0", "no valid name"),
        (record, b"[", "record"),
        (record + 1, b"99", "no multiple of its alignment"),
        (record + 1, b"32", "item size"),
    ];
    for (at, value, reason) in of_rich {
        target.is_refused(&rich.clone().put(*at, value).sealed(), ErrorKind::Corrupted, reason);
    }
    // That names do not lie in each other is the writer's rule.
    let nested = rich.clone().put(entry(1) + 48, &(name_at(0) as u64 + 1).to_le_bytes());
    assert_eq!(target.attack(&nested.sealed()), Ok(()));
    // A place that suits no f64, and says so: reached without types only.
    let odd = rich.clone().put(entry(4) + 8, &(rich.u64_at(entry(4) + 8) - 1).to_le_bytes());
    let odd = odd
        .put(entry(4) + 16, &(last_len + 1).to_le_bytes())
        .put(entry(4) + 24, &1u64.to_le_bytes())
        .sealed();
    assert_eq!(target.attack(&odd), Ok(()));
    let segment = Segment::attach(&target.segment).unwrap();
    refused(SharedArray::<f64, IxDyn>::in_segment(&segment, "grows"), ErrorKind::ShapeMismatch, &["aligned"]);
}

#[test]
fn many_scrambled_bytes_with_a_fitting_checksum() {
    let _alone = alone();
    let target = Target::new("scrambled");
    let rounds = rounds(2_000, 200_000);
    let samples = [Bytes::plain(), Bytes::rich()];
    let odd =
        [0, 1, 2, 64, 4096, 1 << 16, 1 << 32, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX - 7, u64::MAX];
    let mut numbers = Numbers::new(0x5EED);
    for round in 0..rounds {
        let mut bytes = samples[numbers.below(2) as usize].clone();
        let meta_len = bytes.meta_len() as u64;
        for _ in 0..=numbers.below(4) {
            // Not the magic, version and features, which end everything early.
            let at = 24 + numbers.below(meta_len - 24) as usize;
            bytes = match numbers.below(3) {
                0 => bytes.put(at, &[numbers.below(256) as u8]),
                1 => {
                    let word = odd[numbers.below(odd.len() as u64) as usize];
                    let at = (at / 8 * 8).min(meta_len as usize / 8 * 8 - 8);
                    bytes.put(at, &word.to_le_bytes())
                }
                _ => {
                    let at = at / 8 * 8;
                    let word = if at + 8 <= meta_len as usize { bytes.u64_at(at) } else { 0 };
                    bytes.put(
                        at.min(meta_len as usize - 8),
                        &word.wrapping_sub(numbers.below(3)).to_le_bytes(),
                    )
                }
            };
        }
        if bytes.meta_len() > bytes.0.len() {
            bytes = bytes.put(80, &meta_len.to_le_bytes());
        }
        match target.attack(&bytes.sealed()) {
            Ok(()) | Err(ErrorKind::Corrupted | ErrorKind::NotFound | ErrorKind::OutOfMemory) => {}
            Err(other) => panic!("round {round}: {other:?}"),
        }
    }
}

#[test]
fn lifetimes_that_bytes_claim() {
    let _alone = alone();
    let target = Target::new("lifetime");
    for code in [1u32, 2] {
        let bytes = Bytes::plain().put(36, &code.to_le_bytes()).sealed();
        assert_eq!(target.attack(&bytes), Err(ErrorKind::NotFound), "nobody is attached, nobody owns it");
        // Damaged beyond the lifetime: not to be believed in that either.
        let damaged = bytes.put(184, &[0; 4]);
        target.is_refused(&damaged, ErrorKind::Corrupted, "checksum");
        delete(&target.segment).unwrap();
    }
}

/// A neighbour that overwrites the description while others attach: they get one description or the other, never a mixture.
#[test]
fn bytes_that_change_underfoot() {
    let _alone = alone();
    let target = Target::new("underfoot");
    let sample = |element, shape: &[usize]| {
        let layout = ArrayLayout::c_order(element, shape).unwrap();
        Bytes::of(SegmentOptions::new(), &Contents::new().array("", &layout).unwrap())
    };
    let (a, b) = (sample(ElementType::F64, &[8, 2]), sample(ElementType::U8, &[64, 2]));
    assert_eq!((a.0.len(), a.meta_len()), (b.0.len(), b.meta_len()));
    target.write(&a);
    let file = std::fs::OpenOptions::new().write(true).open(target.name.path()).unwrap();
    let done = AtomicBool::new(false);
    let mut seen = [0usize; 3];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = Numbers::new(7);
            let garbage = [0xA5; 200];
            while !done.load(Ordering::Relaxed) {
                for bytes in [&a, &b] {
                    // In pieces, of which one has the element and the next one the shape.
                    for (piece, at) in bytes.0[..bytes.meta_len()].chunks(40).zip((0..).step_by(40)) {
                        file.write_all_at(piece, at).unwrap();
                    }
                    std::thread::yield_now();
                }
                // Not into the magic and what follows it, nor the lifetime.
                file.write_all_at(&garbage, 40 + numbers.below(200)).unwrap();
            }
        });
        let look = || -> Result<(String, Vec<usize>)> {
            let array = AnyArray::attach(&target.segment)?;
            use_all(array.segment(), a.0.len());
            Ok((array.layout().element().to_string(), array.layout().shape().to_vec()))
        };
        let mut round = 0;
        while round < rounds(2_000, 100_000) || seen.contains(&0) {
            round += 1;
            let found = look().map_err(|error| error.kind());
            match found.as_ref().map(|(element, shape)| (element.as_str(), shape.as_slice())) {
                Ok(("f64", [8, 2])) => seen[0] += 1,
                Ok(("u8", [64, 2])) => seen[1] += 1,
                Err(ErrorKind::Corrupted) => seen[2] += 1,
                other => {
                    done.store(true, Ordering::Relaxed);
                    panic!("{other:?}")
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(target.name.exists());
}
