//! Damaged and hostile bytes behind a name: every length, every byte, every field of header and table, with and without the right checksum; and words
//! that a neighbour forges in what is mapped. Descriptors, scrambled bytes and a neighbour that writes meanwhile are in `damaged.rs`.
//!
//! Whatever the bytes, the answer is an error of the right kind or an array that can be used to its last element, and the file stays as
//! it is. Crashes happen in a child, so that they are told with what caused them.

#![allow(
    unsafe_code,
    reason = "writes a header word behind the library's back, and reads where an array says it is"
)]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Folder, Name, alone, fork, kind, refused};
use ndarray::{Ix1, Ix2, IxDyn};
use shm_core::{
    Access, Anonymous, AnyArray, Arena, ArrayLayout, Contents, ElementType, EntryKind, ErrorKind, OwnerId,
    Segment, SegmentOptions, SharedArray, delete, inspect, list_in,
};

/// CRC-32 as the format wants it, bit by bit: nothing of the library is used here.
fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Puts the checksum right.
fn seal(bytes: &mut [u8]) {
    let meta = (u64_at(bytes, 80) as usize).clamp(256, bytes.len());
    let sum = crc32(&[&bytes[..184], &bytes[256..meta]]);
    bytes[184..188].copy_from_slice(&sum.to_le_bytes());
}

/// A segment with a record array that can grow, a lock, bytes and an arena before it.
fn sample(name: &Name) -> Vec<u8> {
    let record = shm_core::Record::parse(b"{12a;1:x@0=<f4;1:y@4=(2)<u2;1:z@8=<i4}").unwrap();
    let log = ArrayLayout::c_order(ElementType::Record(record.into()), &[20, 3]).unwrap();
    let grid = ArrayLayout::strided(ElementType::F64, &[3, 4], &[-32, 8]).unwrap();
    let contents = Contents::new()
        .primitive("lock", 1, 64, 64)
        .and_then(|c| c.array("grid", &grid))
        .and_then(|c| c.bytes("raw", 100, 4))
        .and_then(|c| c.array("log", &log))
        .unwrap();
    SegmentOptions::new().reserve_max(1 << 20).create(name, &contents).unwrap();
    std::fs::read(name.path()).unwrap()
}

/// Attaches in every way and uses all that there is; tells the kind of the error, if it is one.
fn use_it(name: &Name) -> Option<ErrorKind> {
    let seen = inspect(name).map(|info| info.entries.len());
    let _ = list_in(name.path().parent().unwrap());
    for access in [Access::ReadOnly, Access::CopyOnWrite, Access::ReadWrite] {
        let segment = match SegmentOptions::new().access(access).attach(name) {
            Ok(segment) => segment,
            Err(error) => {
                assert!(error.to_string().contains(&name.text()), "{error}");
                if let Err(seen) = &seen {
                    assert_eq!(seen.kind(), error.kind(), "{seen} / {error}");
                } else {
                    // What cannot be mapped can be looked at.
                    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                }
                return Some(error.kind());
            }
        };
        assert!(seen.is_ok(), "{:?}", seen.err());
        assert!(segment.len() <= segment.capacity());
        for entry in segment.entries().to_vec() {
            assert!(entry.offset() + entry.len() <= segment.len());
            if let EntryKind::Array(_) = entry.kind() {
                use_array(&AnyArray::in_segment(&segment, entry.name()).unwrap());
            }
        }
        let _ = SharedArray::<f64, IxDyn>::in_segment(&segment, "grid").map(|array| {
            assert_eq!(array.to_ndarray().len(), array.len());
            if access == Access::ReadOnly {
                // SAFETY: nobody writes the file meanwhile.
                let _ = unsafe { array.view() }.iter().map(|x| x.to_bits()).fold(0, u64::wrapping_add);
            }
        });
        let _ = segment.prefault();
    }
    None
}

fn use_array(array: &AnyArray) {
    let layout = array.layout().clone();
    let mut element = vec![0; layout.element().item_size()];
    if layout.is_empty() {
        return;
    }
    let first = vec![0; layout.ndim()];
    let last: Vec<usize> = layout.shape().iter().map(|n| n - 1).collect();
    for index in [first, last] {
        array.read_element(&index, &mut element).unwrap();
        if array.segment().access() == Access::CopyOnWrite {
            array.write_element(&index, &element).unwrap();
        }
    }
}

#[test]
fn smoke() {
    let _alone = alone();
    let folder = Folder::new("sample");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    let mut sealed = bytes.clone();
    seal(&mut sealed);
    assert!(sealed == bytes, "this file's checksum is the library's");
    assert_eq!(use_it(&name), None);
    assert_eq!(
        SharedArray::<f64, Ix2>::in_segment(&Segment::attach(&name).unwrap(), "grid").unwrap().shape(),
        [3, 4]
    );
    assert!(std::fs::read(name.path()).unwrap() == bytes);
}

#[test]
fn every_length() {
    let _alone = alone();
    let folder = Folder::new("truncated");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    let meta = u64_at(&bytes, 80) as usize;
    let lengths = (0..meta + 2).chain([4096, 65535, 65536, bytes.len() - 4096, bytes.len() - 1]);
    for length in lengths {
        std::fs::write(name.path(), &bytes[..length]).unwrap();
        let expected = if length < 8 { ErrorKind::NotASegment } else { ErrorKind::Corrupted };
        let parts: &[&str] = match length {
            0..8 => &["check the name"],
            8..256 => &["fewer than a header", "delete it"],
            n if n < meta => &["bytes of description", "delete it"],
            _ => &["truncated", "delete it"],
        };
        refused(Segment::attach(&name), expected, parts);
        assert_eq!(use_it(&name), Some(expected), "{length} bytes");
        assert_eq!(std::fs::metadata(name.path()).unwrap().len(), length as u64);
    }
    // Longer is what a grower leaves that dies half-way: harmless up to the maximum, and no further.
    for (length, ok) in
        [(bytes.len() as u64 + 1, true), (1 << 20, true), ((1 << 20) + 1, false), (1 << 30, false)]
    {
        std::fs::write(name.path(), &bytes).unwrap();
        File::options().write(true).open(name.path()).unwrap().set_len(length).unwrap();
        assert_eq!(use_it(&name), (!ok).then_some(ErrorKind::Corrupted), "{length} bytes");
    }
    delete(&name).unwrap();
    let fixed = SharedArray::<u8, _>::zeros(&name, 100).unwrap();
    let length = fixed.segment().len() as u64;
    drop(fixed);
    File::options().write(true).open(name.path()).unwrap().set_len(length + 1).unwrap();
    refused(Segment::attach(&name), ErrorKind::Corrupted, &["more than", "delete it"]);
}

#[test]
fn newer_versions_and_features() {
    let _alone = alone();
    let folder = Folder::new("newer");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    for (at, value, part) in
        [(8, 2, "version 2"), (9, 1, "version 257"), (16, 1, "features"), (23, 0x80, "features")]
    {
        for right in [false, true] {
            let mut newer = bytes.clone();
            newer[at] = value;
            if right {
                seal(&mut newer);
            }
            std::fs::write(name.path(), &newer).unwrap();
            let error = refused(
                Segment::attach(&name),
                ErrorKind::UnsupportedVersion,
                &[part, "update this library"],
            );
            assert!(error.to_string().contains(&name.text()));
            refused(inspect(&name), ErrorKind::UnsupportedVersion, &[part]);
        }
    }
    // A newer header need not make sense otherwise.
    let mut newer = bytes.clone();
    newer[8] = 2;
    newer[10..256].fill(0xAB);
    std::fs::write(name.path(), &newer).unwrap();
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::UnsupportedVersion);
    // Features that may be ignored are.
    let mut newer = bytes.clone();
    newer[24..32].fill(0xFF);
    seal(&mut newer);
    std::fs::write(name.path(), &newer).unwrap();
    assert_eq!(use_it(&name), None);
    // Version 0 never was.
    let mut older = bytes;
    older[8] = 0;
    std::fs::write(name.path(), &older).unwrap();
    refused(Segment::attach(&name), ErrorKind::Corrupted, &["version is 0"]);
}

#[test]
fn every_flipped_bit() {
    let _alone = alone();
    let folder = Folder::new("flipped");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    let meta = u64_at(&bytes, 80) as usize;
    let file = File::options().write(true).open(name.path()).unwrap();
    for at in 0..meta {
        for bit in 0..8 {
            let flipped = bytes[at] ^ 1 << bit;
            file.write_all_at(&[flipped], at as u64).unwrap();
            let found = use_it(&name);
            let expected = match at {
                0..8 => Some(ErrorKind::NotASegment),
                8 if flipped == 0 => Some(ErrorKind::Corrupted),
                8 | 9 | 16..24 => Some(ErrorKind::UnsupportedVersion),
                // The length is outside the checksum: only what contradicts the rest is noticed, and all else is harmless.
                192..200 => found.and(Some(ErrorKind::Corrupted)),
                // Only a hint.
                200..208 => None,
                _ => Some(ErrorKind::Corrupted),
            };
            assert_eq!(found, expected, "byte {at}, bit {bit}");
        }
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
    assert!(std::fs::read(name.path()).unwrap() == bytes, "nothing was written");
}

#[test]
fn every_byte_behind_a_right_checksum() {
    let _alone = alone();
    let folder = Folder::new("hostile");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    let meta = u64_at(&bytes, 80) as usize;
    let progress = SharedArray::<u64, _>::zeros(Anonymous, 3).unwrap();
    let mut child = fork(|| {
        let open = || File::options().read(true).write(true).open(name.path()).unwrap();
        let mut file = open();
        for at in 0..meta {
            for value in [0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0xFF, bytes[at] ^ 1, bytes[at].wrapping_sub(1)] {
                progress.set(0, at as u64);
                progress.set(1, u64::from(value));
                let mut hostile = bytes[..meta].to_vec();
                hostile[at] = value;
                seal(&mut hostile);
                file.write_all_at(&hostile, 0).unwrap();
                let found = use_it(&name);
                progress.set(2, progress.get(2) + u64::from(found.is_some()));
                use ErrorKind as E;
                let usual = [None, Some(E::Corrupted), Some(E::NotASegment), Some(E::UnsupportedVersion)];
                if at == 36 && found == Some(E::NotFound) {
                    // The bytes say that it ends with its last user or its owner, and nobody is there.
                    assert!(!name.exists());
                    std::fs::write(name.path(), &bytes).unwrap();
                    file = open();
                    continue;
                }
                // A maximum or an alignment that asks for more addresses than there are.
                let addresses = found == Some(E::OutOfMemory) && (40..96).contains(&at);
                assert!(usual.contains(&found) || addresses, "{found:?}");
                let mut after = vec![0; meta];
                file.read_exact_at(&mut after, 0).unwrap();
                assert!(after == hostile, "nothing was written");
            }
        }
        assert!(std::fs::read(name.path()).unwrap()[meta..] == bytes[meta..], "nor behind the description");
    });
    let status = child.wait();
    let (at, value, refusals) = (progress.get(0), progress.get(1), progress.get(2));
    let words = child.panic_message();
    assert_eq!(status, shm_testkit::Status::Exited(0), "byte {at} with value {value:#x}: {words:?}");
    assert!(refusals > meta as u64, "{refusals} refusals only");
}

#[test]
fn every_field_of_the_header() {
    let _alone = alone();
    let folder = Folder::new("fields");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    let length = bytes.len() as u64;
    // Offset and width of a field, a value that contradicts the format, and what the message says about it.
    let wrong: &[(usize, usize, u64, &str)] = &[
        (10, 2, 255, "header length"),
        (12, 4, 0x0403_0201, "byte order mark"),
        (32, 4, 0, "kind"),
        (32, 4, 5, "kind"),
        (36, 4, 3, "lifetime"),
        (40, 8, 65535, "created length"),
        (40, 8, length + 1, "length"),
        (48, 8, length - 1, "reserved maximum"),
        (48, 8, u64::MAX, "reserved maximum"),
        (48, 8, 1 << 63, "reserved maximum"),
        (56, 8, 0, "data offset"),
        (56, 8, 65537, "data offset"),
        (56, 8, 1 << 62, "length"),
        (64, 8, 0, "table"),
        (64, 8, 320, "table"),
        (72, 4, 0, "entries"),
        (72, 4, 4097, "entries"),
        (72, 4, 4096, "meta length"),
        (76, 4, 32, "table"),
        (80, 8, 255, "meta length"),
        (80, 8, (16 << 20) + 1, "meta length"),
        (80, 8, u64::MAX, "meta length"),
        (88, 4, 2, "options"),
        (88, 4, 1 << 31, "options"),
        (92, 4, 11, "alignment"),
        (92, 4, 41, "alignment"),
        (92, 4, u32::MAX as u64, "alignment"),
        (144, 8, 1, "zero"),
        (176, 8, 1 << 63, "zero"),
        (188, 4, 1, "zero"),
        (192, 8, length - 1, "length field"),
        (192, 8, length + 1, "truncated"),
        (192, 8, (1 << 20) + 1, "length field"),
        (192, 8, u64::MAX, "length field"),
        (208, 8, 1, "zero"),
        (248, 8, 1 << 63, "zero"),
    ];
    for (at, width, value, part) in wrong {
        let mut hostile = bytes.clone();
        hostile[*at..at + width].copy_from_slice(&value.to_le_bytes()[..*width]);
        seal(&mut hostile);
        std::fs::write(name.path(), &hostile).unwrap();
        refused(
            Segment::attach(&name),
            ErrorKind::Corrupted,
            &[&name.text(), part, "delete it and create it anew"],
        );
        assert_eq!(use_it(&name), Some(ErrorKind::Corrupted), "byte {at}: {value:#x}");
    }
    // What is said about the creator is information, and any value is harmless.
    for at in 96..144 {
        let mut odd = bytes.clone();
        odd[at] ^= 0xFF;
        seal(&mut odd);
        std::fs::write(name.path(), &odd).unwrap();
        assert_eq!(use_it(&name), None, "byte {at}");
    }
}

#[test]
fn a_shape_that_only_an_extent_of_one_makes_possible_is_usable() {
    // Strides of dimensions of extent 1 mean nothing, and so may be anything.
    for stride in [isize::MIN, isize::MIN + 8, -8, 0, 3, isize::MAX] {
        let layout = ArrayLayout::strided(ElementType::U8, &[1, 4, 1], &[stride, 1, stride]).unwrap();
        let any = AnyArray::create(Anonymous, &layout).unwrap();
        let mut array = any.typed::<u8, ndarray::Ix3>().unwrap();
        drop(any);
        array.set((0, 3, 0), 5);
        assert_eq!(array.to_ndarray()[(0, 3, 0)], 5);
        let mut alone = array.exclusive().unwrap();
        assert_eq!(alone.view()[(0, 3, 0)], 5, "{stride}");
        alone.view_mut().iter_mut().for_each(|x| *x += 1);
        assert_eq!(alone.view().iter().sum::<u8>(), 5 + 4);
    }
}

#[test]
fn a_length_that_a_neighbour_made_up_is_not_believed() {
    let _alone = alone();
    for name in [Some(Name::shm("made-up")), None] {
        let options = SegmentOptions::new().reserve_max(1 << 20);
        let place = name.as_ref().map_or(options.anonymous(), |name| options.named(name).unwrap());
        let mut array = SharedArray::<u64, _>::full(place, 1000, 7).unwrap();
        let len = array.segment().len();
        fork(|| {
            forge_length(array.segment(), 1 << 20);
            assert_eq!(array.segment().len(), len, "what the object has");
            array.refresh();
            // Were the new elements believed in, this would be a touch of pages that do not exist.
            assert_eq!((array.len(), array.get(999)), (1000, 7));
            let any = AnyArray::only(array.segment()).unwrap();
            use_array(&any);
            array.segment().prefault().unwrap();
            assert_eq!(array.to_ndarray().len(), array.len());
            // What is asked for is made, whatever is said to be there.
            array.grow(50_000).unwrap();
            array.set(49_999, 1);
            assert!(array.segment().len() < 1 << 20);
        })
        .expect_success();
        if let Some(name) = &name {
            assert_eq!(kind(fresh_attach(name)), ErrorKind::Corrupted);
        }
    }
}

/// Writes what only a hostile neighbour would into the length word of the header.
fn forge_length(segment: &Segment, length: u64) {
    let word = segment.as_ptr().wrapping_add(192).cast();
    // SAFETY: the length word of the header lies in the mapping, aligned, and is accessed atomically by everybody.
    unsafe { AtomicU64::from_ptr(word) }.store(length, Ordering::SeqCst);
}

#[test]
fn arenas_do_not_touch_what_only_forged_words_promise() {
    let _alone = alone();
    const MAX: u64 = 4 << 20;
    // A slab, a head of a run of all that may ever be, a parked head, a tail, a slab in preparation, and nonsense (section 6.3).
    let kept = 2047 << 32;
    let words = [2, 3 | 63 << 3 | kept, 3 | 8 << 3 | kept | 1 << 63, 4 | kept, 1 | kept, u64::MAX];
    for word in words {
        for attached_before in [true, false] {
            let options = SegmentOptions::new().reserve_max(MAX as usize);
            let contents = Contents::new().arena("heap", 1 << 20).unwrap();
            let segment = options.create_anonymous(&contents).unwrap();
            let origin = segment.entry("heap").unwrap().offset();
            let before = Arena::create_in(&segment, "heap").unwrap();
            let mut child = fork(|| {
                forge_length(&segment, MAX);
                // The chunk table follows 12 288 bytes of header and owners; the segment has about 15 of 63 chunks now.
                for chunk in 12..60 {
                    let at = segment.as_ptr().wrapping_add(origin + 12_288 + 8 * chunk).cast();
                    // SAFETY: a word of the chunk table, which exists whole from the beginning and is accessed atomically.
                    unsafe { AtomicU64::from_ptr(at) }.store(word, Ordering::SeqCst);
                }
                let after;
                let arena = if attached_before {
                    &before
                } else {
                    after = Arena::attach(&segment, "heap").unwrap();
                    &after
                };
                let usage = arena.usage().unwrap();
                assert!(usage.total <= 1 << 20, "{usage:?}");
                assert!(arena.reclaim().unwrap().bytes <= MAX);
                for at in (origin as u64..MAX).step_by(4096) {
                    if let Ok(block) = arena.adopt(at, OwnerId::KEPT) {
                        // SAFETY: the block is this handle's alone.
                        unsafe { block.as_ptr().write_bytes(1, block.capacity()) };
                    }
                    if let Ok(pointer) = arena.pointer(at, 4096) {
                        // SAFETY: the arena says that these bytes are there.
                        unsafe { pointer.read_volatile() };
                    }
                }
                for len in [1, 300, 2000, 30_000, 100_000, 700_000, 3_000_000] {
                    let blocks: Vec<_> = (0..20).map_while(|_| arena.alloc_zeroed(len).ok()).collect();
                    assert!(blocks.len() * len <= MAX as usize);
                }
            });
            let status = child.wait();
            let words = child.panic_message();
            assert_eq!(status, shm_testkit::Status::Exited(0), "{word:#x}, {attached_before}: {words:?}");
        }
    }
}

/// Attaches as another process would.
fn fresh_attach(name: &Name) -> shm_core::Result<()> {
    inspect(name).map(drop)
}

#[test]
fn one_long_description_is_read_once() {
    let _alone = alone();
    let folder = Folder::new("long");
    let name = Name::inside(&folder, "segment");
    let fields: String = (0..50_000).map(|i| format!(";5:{i:05}@{i}=<u1")).collect();
    let record = shm_core::Record::parse(format!("{{70000{fields}}}").as_bytes()).unwrap();
    let long = ArrayLayout::c_order(ElementType::Record(record.into()), &[0]).unwrap();
    let short = ArrayLayout::c_order(ElementType::U8, &[0]).unwrap();
    let mut contents = Contents::new().array("long", &long).unwrap();
    for number in 1..4096 {
        contents = contents.array(&number.to_string(), &short).unwrap();
    }
    SegmentOptions::new().create(&name, &contents).unwrap();
    assert_eq!(use_it(&name), None);
    // Every entry points at the long one: checking all of them would be the work of a minute.
    let mut bytes = std::fs::read(name.path()).unwrap();
    for entry in 1..4096 {
        bytes.copy_within(256 + 32..256 + 44, 256 + 64 * entry + 32);
    }
    seal(&mut bytes);
    std::fs::write(name.path(), &bytes).unwrap();
    refused(Segment::attach(&name), ErrorKind::Corrupted, &["entry 1 ", "descriptor", "delete it"]);
    assert_eq!(use_it(&name), Some(ErrorKind::Corrupted));
}

#[test]
fn tables_that_contradict_themselves() {
    let _alone = alone();
    let folder = Folder::new("table");
    let name = Name::inside(&folder, "segment");
    let bytes = sample(&name);
    const LOCK: usize = 256;
    const GRID: usize = 320;
    const RAW: usize = 384;
    const LOG: usize = 448;
    let raw_offset = u64_at(&bytes, RAW + 8);
    let wrong: &[(usize, usize, u64, &str)] = &[
        (LOCK, 4, 0, "kind"),
        (LOCK, 4, 5, "kind"),
        (LOCK + 8, 8, 0, "begins"),
        (LOCK + 8, 8, 65536 + 1, "begins"),
        (LOCK + 8, 8, u64::MAX - 63, "past the segment's end"),
        (LOCK + 16, 8, u64::MAX, "past the segment's end"),
        (LOCK + 16, 8, 65, "overlaps"),
        (LOCK + 24, 8, 0, "alignment"),
        (LOCK + 24, 8, 48, "alignment"),
        (LOCK + 24, 8, 1 << 40, "alignment"),
        (LOCK + 32, 8, 512, "descriptor"),
        (LOCK + 40, 4, 8, "descriptor"),
        (LOCK + 44, 4, 0, "name"),
        (LOCK + 44, 4, 256, "name"),
        (LOCK + 44, 4, u32::MAX as u64, "name"),
        (LOCK + 48, 8, 0, "name"),
        (LOCK + 48, 8, 256, "name"),
        (LOCK + 48, 8, u64::MAX, "name"),
        (LOCK + 56, 4, 1, "flags"),
        (LOCK + 60, 4, 1, "zero"),
        (GRID + 4, 4, 1, "zero"),
        (GRID + 32, 8, 1, "descriptor"),
        (GRID + 32, 8, 0, "descriptor"),
        (GRID + 40, 4, 0, ""),
        (GRID + 56, 4, 1, "flags"),
        (RAW + 8, 8, raw_offset - 64, "overlaps"),
        (LOG + 56, 4, 3, "flags"),
    ];
    for (at, width, value, part) in wrong {
        let mut hostile = bytes.clone();
        hostile[*at..at + width].copy_from_slice(&value.to_le_bytes()[..*width]);
        seal(&mut hostile);
        std::fs::write(name.path(), &hostile).unwrap();
        let parts = [&name.text(), "table of contents", *part];
        refused(Segment::attach(&name), ErrorKind::Corrupted, &parts);
        assert_eq!(use_it(&name), Some(ErrorKind::Corrupted));
    }
    // Two entries of one name, the third and the first, which have three and four bytes for it.
    let mut twice = bytes.clone();
    let (from, to) = (u64_at(&bytes, RAW + 48) as usize, u64_at(&bytes, LOCK + 48) as usize);
    twice.copy_within(from..from + 3, to);
    twice[LOCK + 44] = 3;
    seal(&mut twice);
    std::fs::write(name.path(), &twice).unwrap();
    refused(Segment::attach(&name), ErrorKind::Corrupted, &["name of another entry"]);
    // An entry that grows ends where the segment ends.
    let mut longer = bytes.clone();
    longer.push(0);
    for at in [40, 192] {
        longer[at..at + 8].copy_from_slice(&(bytes.len() as u64 + 1).to_le_bytes());
    }
    seal(&mut longer);
    std::fs::write(name.path(), &longer).unwrap();
    refused(Segment::attach(&name), ErrorKind::Corrupted, &["flags"]);
    std::fs::write(name.path(), &bytes).unwrap();
    assert!(SharedArray::<f64, Ix1>::in_segment(&Segment::attach(&name).unwrap(), "log").is_err());
}
