//! The format held fast from both sides: what the library writes is compared with bytes written down here, and what is written here by hand, by
//! `FORMAT.md` alone, is attached.
//!
//! Nothing of the library's encoder is used, its checksum neither. A test that fails here means a new format version, not a new literal.

mod common;

use common::{Name, alone};
use ndarray::{Ix1, Ix2, IxDyn, array};
use shm_core::{
    AnyArray, ArrayLayout, Contents, ElementType, EntryKind, Identity, Lifetime, Record, Segment,
    SegmentKind, SegmentName, SegmentOptions, SharedArray, inspect,
};

/// Bytes from hex digits; blanks do not count.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Checks the fields that differ from run to run, and returns the file with zeros in their place.
fn masked(name: &Name) -> Vec<u8> {
    let mut bytes = std::fs::read(name.path()).unwrap();
    let me = Identity::current();
    assert_eq!(u64_at(&bytes, 96), u64::from(std::process::id()));
    assert_eq!(u64_at(&bytes, 104), me.start_time);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(bytes[112..128], hex(&boot.replace('-', "")));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(u64_at(&bytes, 128), std::fs::metadata("/proc/self/ns/pid").unwrap().ino());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let created = u64_at(&bytes, 136);
    assert!(created <= now && now - created < 3_600_000_000_000, "{created} is not just now, {now}");
    let meta_len = u64_at(&bytes, 80) as usize;
    let sum = crc32(bytes[..184].iter().chain(&bytes[256..meta_len]).copied());
    assert_eq!(bytes[184..188], sum.to_le_bytes());
    bytes[96..144].fill(0);
    bytes[184..188].fill(0);
    bytes
}

/// Compares a file with its description and its data; all between them and nothing behind them is zero.
#[track_caller]
fn golden(name: &Name, meta: &str, data_offset: usize, data: &str) {
    let found = masked(name);
    let (meta, data) = (hex(meta), hex(data));
    let mut expected = meta.clone();
    expected.resize(data_offset, 0);
    expected.extend(&data);
    assert_eq!(found.len(), expected.len(), "the length of the file");
    for (at, (found, expected)) in found.chunks(16).zip(expected.chunks(16)).enumerate() {
        assert_eq!(found, expected, "bytes from {} on", at * 16);
    }
}

#[test]
fn smoke() {
    assert_eq!(crc32(*b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
    let _alone = alone();
    let name = Name::shm("golden");
    SharedArray::from_ndarray(&name, &array![[1.0f64, -2.0, 0.5], [0.0, 3.0, 4.0]]).unwrap();
    golden(
        &name,
        "8953484d 0d0a1a0a 0100 0001 04030201 0000000000000000 0000000000000000
         01000000 00000000 3010000000000000 3010000000000000 0010000000000000
         0001000000000000 01000000 40000000 8801000000000000 01000000 0c000000
         0000000000000000 0000000000000000 00000000000000000000000000000000 0000000000000000 0000000000000000
         00000000000000000000000000000000000000000000000000000000000000000000000000000000 00000000 00000000
         3010000000000000 0000000000000000
         000000000000000000000000000000000000000000000000 000000000000000000000000000000000000000000000000

         01000000 00000000 0010000000000000 3000000000000000 4000000000000000
         4001000000000000 48000000 00000000 0000000000000000 00000000 00000000

         02 40 0100 00000000 00000000 02000000 0800000000000000 0000000000000000 00000000 00000000
         0200000000000000 0300000000000000 1800000000000000 0800000000000000",
        4096,
        "000000000000f03f 00000000000000c0 000000000000e03f 0000000000000000 0000000000000840 0000000000001040",
    );
}

#[test]
fn several_things_of_which_the_last_grows() {
    let _alone = alone();
    let name = Name::shm("golden-many");
    let record = Record::parse(b"{4a;1:x@0=<f4}").unwrap();
    let records = ArrayLayout::strided(ElementType::Record(record.into()), &[2], &[-4]).unwrap();
    let grows = ArrayLayout::c_order(ElementType::I16, &[2, 2]).unwrap();
    let contents = Contents::new().kind(SegmentKind::Pool).primitive("lock", 7, 8, 64).unwrap();
    let contents = contents.bytes("raw", 3, 1).unwrap().array("ä", &records).unwrap();
    let contents = contents.array("g", &grows).unwrap();
    let options = SegmentOptions::new().lifetime(Lifetime::Scoped).reserve_max(1 << 16).sparse(true);
    let _segment = options.create(&name, &contents).unwrap();
    golden(
        &name,
        "8953484d 0d0a1a0a 0100 0001 04030201 0000000000000000 0000000000000000
         04000000 02000000 8810000000000000 0000010000000000 0010000000000000
         0001000000000000 04000000 40000000 a102000000000000 00000000 0c000000
         0000000000000000 0000000000000000 00000000000000000000000000000000 0000000000000000 0000000000000000
         00000000000000000000000000000000000000000000000000000000000000000000000000000000 00000000 00000000
         8810000000000000 0000000000000000
         000000000000000000000000000000000000000000000000 000000000000000000000000000000000000000000000000

         02000000 07000000 0010000000000000 0800000000000000 4000000000000000
         0000000000000000 00000000 04000000 0002000000000000 00000000 00000000

         04000000 00000000 0810000000000000 0300000000000000 0100000000000000
         0000000000000000 00000000 03000000 0802000000000000 00000000 00000000

         01000000 00000000 4010000000000000 0800000000000000 4000000000000000
         1002000000000000 46000000 02000000 5602000000000000 00000000 00000000

         01000000 00000000 8010000000000000 0800000000000000 4000000000000000
         5802000000000000 48000000 01000000 a002000000000000 01000000 00000000

         6c6f636b 00000000 726177 0000000000
         a8 08 0100 00000000 00000000 01000000 0400000000000000 0400000000000000 0e000000 00000000
         0200000000000000 fcffffffffffffff 7b34613b313a7840303d3c66347d c3a4
         00 10 0100 00000000 00000000 02000000 0200000000000000 0000000000000000 00000000 00000000
         0200000000000000 0200000000000000 0400000000000000 0200000000000000 67",
        4096,
        &"00".repeat(0x88),
    );
}

#[test]
fn growth_changes_one_word() {
    let _alone = alone();
    let name = Name::shm("golden-grown");
    let place = SegmentOptions::new().reserve_max(1 << 16).named(&name).unwrap();
    let mut array = SharedArray::<u8, Ix1>::full(place, 4, 1).unwrap();
    let mut before = std::fs::read(name.path()).unwrap();
    array.grow(300).unwrap();
    let after = std::fs::read(name.path()).unwrap();
    assert_eq!((before.len(), u64_at(&before, 192)), (4100, 4100));
    put(&mut before, 192, &4396u64.to_le_bytes());
    before.resize(4396, 0);
    assert!(after == before);
}

#[test]
fn a_lease_leaves_its_holder() {
    let _alone = alone();
    let name = Name::shm("golden-lease");
    let mut array = SharedArray::<u8, Ix1>::full(&name, 4, 1).unwrap();
    let before = std::fs::read(name.path()).unwrap();
    let lease = array.exclusive().unwrap();
    let mut held = before.clone();
    put(&mut held, 200, &u64::from(std::process::id()).to_le_bytes());
    assert!(std::fs::read(name.path()).unwrap() == held);
    drop(lease);
    assert!(std::fs::read(name.path()).unwrap() == before);
}

#[test]
fn places_differ_in_the_data_offset_only() {
    let _alone = alone();
    let (shm, file) = (Name::shm("golden-place"), Name::file("golden-place"));
    for name in [&shm, &file] {
        let options = SegmentOptions::new().lifetime(Lifetime::LastDetach);
        let _array = SharedArray::<u8, _>::full(options.named(name).unwrap(), 2, 5).unwrap();
        let found = masked(name);
        let offset = if name.path() == file.path() { 65536 } else { 4096u64 };
        assert_eq!((u64_at(&found, 56), u64_at(&found, 40)), (offset, offset + 2));
        assert_eq!((found.len() as u64, u64_at(&found, 32)), (offset + 2, 1 | 1 << 32));
        assert_eq!(found[offset as usize..], [5, 5]);
    }
}

/// One entry of a segment that is written by hand.
struct Part {
    kind: u32,
    code: u32,
    name: &'static str,
    align: usize,
    bytes: Vec<u8>,
    descriptor: Vec<u8>,
    grows: bool,
}

impl Part {
    fn array(name: &'static str, align: usize, bytes: &[u8], descriptor: &str) -> Part {
        let (bytes, descriptor) = (bytes.to_vec(), hex(descriptor));
        Part { kind: 1, code: 0, name, align, bytes, descriptor, grows: false }
    }
}

/// A writer of segments that knows `FORMAT.md` and not the library. It does some things otherwise, where the format leaves the choice: names come
/// first, then all descriptors, with gaps between; the data begins a page later.
fn by_hand(parts: &[Part], reserved_max: u64) -> Vec<u8> {
    let mut meta = vec![0; 256 + 64 * parts.len()];
    let mut places = Vec::new();
    for part in parts {
        places.push((meta.len(), 0));
        meta.extend(part.name.as_bytes());
    }
    for (part, place) in parts.iter().zip(&mut places) {
        meta.resize(meta.len().next_multiple_of(8) + 24, 0);
        place.1 = meta.len();
        meta.extend(&part.descriptor);
    }
    let data_offset = meta.len().next_multiple_of(4096) + 4096;
    let mut data: Vec<u8> = Vec::new();
    let align = parts.iter().map(|part| part.align).chain([4096]).max().unwrap();
    for (i, part) in parts.iter().enumerate() {
        data.resize((data_offset + data.len()).next_multiple_of(part.align) - data_offset, 0);
        let (at, (name_at, descriptor_at)) = (256 + 64 * i, places[i]);
        put(&mut meta, at, &part.kind.to_le_bytes());
        put(&mut meta, at + 4, &part.code.to_le_bytes());
        put(&mut meta, at + 8, &((data_offset + data.len()) as u64).to_le_bytes());
        put(&mut meta, at + 16, &(part.bytes.len() as u64).to_le_bytes());
        put(&mut meta, at + 24, &(part.align as u64).to_le_bytes());
        if !part.descriptor.is_empty() {
            put(&mut meta, at + 32, &(descriptor_at as u64).to_le_bytes());
            put(&mut meta, at + 40, &(part.descriptor.len() as u32).to_le_bytes());
        }
        if !part.name.is_empty() {
            put(&mut meta, at + 44, &(part.name.len() as u32).to_le_bytes());
            put(&mut meta, at + 48, &(name_at as u64).to_le_bytes());
        }
        put(&mut meta, at + 56, &u32::from(part.grows).to_le_bytes());
        data.extend(&part.bytes);
    }
    let len = (data_offset + data.len()) as u64;
    put(&mut meta, 0, &hex("8953484d0d0a1a0a 0100 0001 04030201"));
    put(&mut meta, 24, &u64::MAX.to_le_bytes()); // features that a reader may ignore
    put(&mut meta, 32, &1u32.to_le_bytes());
    put(&mut meta, 40, &len.to_le_bytes());
    put(&mut meta, 48, &reserved_max.max(len).to_le_bytes());
    put(&mut meta, 56, &(data_offset as u64).to_le_bytes());
    put(&mut meta, 64, &256u64.to_le_bytes());
    put(&mut meta, 72, &(parts.len() as u32).to_le_bytes());
    put(&mut meta, 76, &64u32.to_le_bytes());
    let meta_len = meta.len() as u64;
    put(&mut meta, 80, &meta_len.to_le_bytes());
    put(&mut meta, 92, &align.trailing_zeros().to_le_bytes());
    put(&mut meta, 192, &len.to_le_bytes());
    let sum = crc32(meta[..184].iter().chain(&meta[256..]).copied());
    put(&mut meta, 184, &sum.to_le_bytes());
    meta.resize(data_offset, 0);
    meta.extend(data);
    meta
}

fn written(what: &str, bytes: &[u8]) -> (Name, SegmentName) {
    let name = Name::shm(what);
    std::fs::write(name.path(), bytes).unwrap();
    let segment = SegmentName::shm(name.bare()).unwrap();
    (name, segment)
}

#[test]
fn a_stranger_writes_an_array() {
    let _alone = alone();
    // u32, 3 × 2, in Fortran order.
    let descriptor =
        "01 20 0100 00000000 00000000 02000000 0400000000000000 0000000000000000 00000000 00000000
        0300000000000000 0200000000000000 0400000000000000 0c00000000000000";
    let data: Vec<u8> = (1..=6u32).flat_map(u32::to_le_bytes).collect();
    let (_name, segment) = written("stranger", &by_hand(&[Part::array("", 4, &data, descriptor)], 0));
    let array = SharedArray::<u32, Ix2>::attach(&segment).unwrap();
    assert_eq!(array.to_ndarray(), array![[1, 4], [2, 5], [3, 6]]);
    array.set([2, 1], 60);
    drop(array);
    assert_eq!(SharedArray::<u32, IxDyn>::attach(&segment).unwrap().get(IxDyn(&[2, 1])), 60);
    let info = inspect(&segment).unwrap();
    assert_eq!((info.creator, info.attached), (Identity::default(), false), "it did not say who it was");
    assert!(info.not_guaranteed.is_some(), "it did not reserve");
}

#[test]
fn a_stranger_writes_many_things() {
    let _alone = alone();
    let parts = [
        // i32, every second one, from the last on.
        Part::array(
            "reversed",
            32,
            &[1u32, 0, 2, 0, 3].map(u32::to_le_bytes).concat(),
            "00 20 0100 00000000 00000000 01000000 0400000000000000 1000000000000000 00000000 00000000
             0300000000000000 f8ffffffffffffff",
        ),
        // Big-endian f64 without dimensions.
        Part::array(
            "big",
            8,
            &1.5f64.to_be_bytes(),
            "82 40 0100 00000000 00000000 00000000 0800000000000000 0000000000000000 00000000 00000000",
        ),
        Part {
            kind: 2,
            code: 77,
            name: "a lock",
            align: 64,
            bytes: vec![0; 64],
            descriptor: vec![],
            grows: false,
        },
        // Two fields out of order, one a sub-array, one with a title.
        Part::array(
            "records",
            8192,
            &[7u32.to_le_bytes(), 1f32.to_le_bytes(), 2f32.to_le_bytes()].concat(),
            "a8 08 0100 00000000 00000000 01000000 0c00000000000000 0000000000000000 27000000 00000000
             0100000000000000 0c00000000000000
             7b31323b 353a7768657265 40343d2832293c6634 3b 323a6964 7e343a63617264 40303d3c7534 7d",
        ),
        Part {
            grows: true,
            // u16, 0 rows of 3: the first stride is the length of a row all the same.
            ..Part::array(
                "rows",
                2,
                &[],
                "01 10 0100 00000000 00000000 02000000 0200000000000000 0000000000000000 00000000 00000000
                 0000000000000000 0300000000000000 0600000000000000 0200000000000000",
            )
        },
    ];
    let (name, segment) = written("many", &by_hand(&parts, 1 << 20));
    let attached = Segment::attach(&segment).unwrap();
    assert_eq!(attached.as_ptr().addr() % 8192, 0);
    assert_eq!((attached.capacity(), attached.can_grow()), (1 << 20, true));
    assert_eq!(attached.entry("a lock").unwrap().kind(), &EntryKind::Primitive(77));
    let reversed = SharedArray::<i32, Ix1>::in_segment(&attached, "reversed").unwrap();
    assert_eq!(reversed.to_ndarray(), array![3, 2, 1]);
    let mut bytes = [0; 8];
    AnyArray::in_segment(&attached, "big").unwrap().read_element(&[], &mut bytes).unwrap();
    assert_eq!(f64::from_be_bytes(bytes), 1.5);
    let records = AnyArray::in_segment(&attached, "records").unwrap();
    let ElementType::Record(record) = records.layout().element() else { panic!("{:?}", records.layout()) };
    assert_eq!(record.to_string(), "{12;5:where@4=(2)<f4;2:id~4:card@0=<u4}");
    let mut rows = SharedArray::<u16, Ix2>::in_segment(&attached, "rows").unwrap();
    assert_eq!(rows.shape(), [0, 3]);
    rows.grow(2).unwrap();
    rows.set([1, 2], 0xABCD);
    let file = std::fs::read(name.path()).unwrap();
    let row = attached.entry("rows").unwrap().offset();
    assert_eq!((file.len(), u64_at(&file, 192)), (row + 12, row as u64 + 12));
    assert_eq!(file[row..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xCD, 0xAB]);
}
