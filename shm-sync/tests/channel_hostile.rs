//! Channels whose bytes are not what they should be: errors, and neither a crash nor a hang nor an access outside.
#![allow(unsafe_code, reason = "plays the neighbour that writes into the channel")]

mod common;

use common::{fork, fresh_name, rounds, shared_bytes, shared_counters, watchdog};
use shm_core::{Access, Contents, SegmentOptions};
use shm_sync::{ByteChannel, Channel, ErrorKind, Primitive};
use shm_testkit::{Child, rerun};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const CLOSED: usize = 0;
const VALUE_LEN: usize = 4;
const IDENTITY: usize = 8;
const PRODUCERS: usize = 64;
const SEEN_HEAD: usize = 80;
const TAIL: usize = 128;
const CONSUMERS: usize = 192;
const SEEN_TAIL: usize = 208;
const HEAD: usize = 256;
const RING: usize = 320;

const SHORT: Duration = Duration::from_millis(1);

fn u64_at(bytes: *mut u8, offset: usize) -> &'static AtomicU64 {
    // SAFETY: within the page, aligned, never unmapped.
    unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) }
}

fn u32_at(bytes: *mut u8, offset: usize) -> &'static AtomicU32 {
    // SAFETY: as above.
    unsafe { AtomicU32::from_ptr(bytes.add(offset).cast()) }
}

fn all(bytes: *mut u8) -> Vec<u64> {
    (0..4096).step_by(8).map(|offset| u64_at(bytes, offset).load(SeqCst)).collect()
}

/// A channel with a capacity of 32 bytes (5 words) in plain shared bytes, and these bytes.
fn place() -> (ByteChannel, *mut u8) {
    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped; what the tests write there is what these tests are about.
    (unsafe { ByteChannel::init_at(bytes, 4096, 32) }.unwrap(), bytes)
}

fn attach(bytes: *mut u8, len: usize) -> Result<ByteChannel, shm_sync::Error> {
    // SAFETY: as in `place`.
    unsafe { ByteChannel::from_ptr(bytes, len) }
}

#[test]
fn the_format_is_fixed() {
    let (channel, bytes) = place();
    let mut expected = vec![0; 512];
    // `SH`, kind 13, version 1, and a capacity of 32 bytes; everything else is zero.
    expected[IDENTITY / 8] = 0x0000_0020_5348_0d01;
    assert_eq!(all(bytes), expected);
    channel.send(b"hello, you").unwrap();
    assert_eq!(u64_at(bytes, RING).load(SeqCst), 10, "the header: length and count");
    assert_eq!(u64_at(bytes, RING + 8).load(SeqCst), u64::from_le_bytes(*b"hello, y"));
    assert_eq!(u64_at(bytes, RING + 16).load(SeqCst), u64::from_le_bytes(*b"ou\0\0\0\0\0\0"));
    assert_eq!(u64_at(bytes, TAIL).load(SeqCst), 1 << 32 | 3, "one message, three words");
    assert_eq!(u64_at(bytes, HEAD).load(SeqCst), 0);
    channel.send(b"").unwrap();
    assert_eq!(u64_at(bytes, RING + 24).load(SeqCst), 1 << 32);
    // Attached anew, it goes on where it was.
    assert_eq!(attach(bytes, 360).unwrap().recv().unwrap(), b"hello, you");
    assert_eq!(u64_at(bytes, HEAD).load(SeqCst), 1 << 32 | 3);
    assert_eq!(channel.recv().unwrap(), b"");
    assert!(channel.close().unwrap());
    assert_eq!(u32_at(bytes, CLOSED).load(SeqCst), 1);

    let bytes = shared_bytes();
    // SAFETY: as in `place`.
    let channel = unsafe { Channel::<[u32; 3]>::init_at(bytes, 4096, 5) }.unwrap();
    let mut expected = vec![0; 512];
    expected[0] = 12 << 32;
    expected[IDENTITY / 8] = 0x0000_0005_5348_0e01;
    assert_eq!(all(bytes), expected);
    channel.send([1, 2, 3]).unwrap();
    assert_eq!(u64_at(bytes, RING).load(SeqCst), 2 << 32 | 1);
    assert_eq!(u64_at(bytes, RING + 8).load(SeqCst), 3);
    assert_eq!(u64_at(bytes, TAIL).load(SeqCst), 1 << 32 | 2);
}

#[test]
fn what_is_not_this_channel_is_refused_and_left_alone() {
    for identity in [0, 1, 0x20_5348_0d02, 0x20_5348_0e01, 0x5348_0d01, u64::MAX, 0xffff_ffff_5348_0d01] {
        let bytes = shared_bytes();
        u64_at(bytes, IDENTITY).store(identity, SeqCst);
        let before = all(bytes);
        assert_eq!(attach(bytes, 4096).unwrap_err().kind(), ErrorKind::Mismatch, "{identity:#x}");
        assert_eq!(all(bytes), before);
    }
    let (_channel, bytes) = place();
    // Too few bytes for the fixed part, and for the ring.
    for len in [0, 64, 319, 320, 359] {
        assert_eq!(attach(bytes, len).unwrap_err().kind(), ErrorKind::Mismatch, "{len}");
    }
    u32_at(bytes, VALUE_LEN).store(8, SeqCst);
    assert_eq!(attach(bytes, 4096).unwrap_err().kind(), ErrorKind::Mismatch);
    // SAFETY: as in `place`; the alignment and the null are what is tested.
    unsafe {
        for offset in [1, 8, 63] {
            let error = ByteChannel::from_ptr(bytes.add(offset), 1000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misaligned);
        }
        assert_eq!(
            ByteChannel::from_ptr(std::ptr::null_mut(), 1000).unwrap_err().kind(),
            ErrorKind::Misaligned
        );
        assert_eq!(ByteChannel::init_at(bytes, 4096, 32).unwrap_err().kind(), ErrorKind::InUse);
        let small = ByteChannel::init_at(shared_bytes(), 359, 32).unwrap_err();
        assert_eq!(small.kind(), ErrorKind::Mismatch);
        let values = Channel::<[u32; 3]>::init_at(shared_bytes(), 4096, 5).unwrap();
        drop(values);
    }
    let bytes = shared_bytes();
    // SAFETY: as in `place`.
    unsafe {
        Channel::<[u32; 3]>::init_at(bytes, 4096, 5).unwrap();
        let error = Channel::<u64>::from_ptr(bytes, 4096).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("12 bytes, not 8"), "{error}");
    }
}

#[test]
fn damage_after_attaching_is_an_error() {
    let _watchdog = watchdog();
    let (channel, bytes) = place();
    let identity = u64_at(bytes, IDENTITY).load(SeqCst);
    for wrong in [0, identity + 1, identity + (1 << 32), u64::MAX] {
        u64_at(bytes, IDENTITY).store(wrong, SeqCst);
        assert_eq!(channel.send(b"x").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(channel.try_send(b"x").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(channel.close().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(
            u32_at(bytes, PRODUCERS).load(SeqCst) | u32_at(bytes, CONSUMERS).load(SeqCst),
            0,
            "not left locked"
        );
    }
    u64_at(bytes, IDENTITY).store(identity, SeqCst);
    channel.send(b"x").unwrap();
    assert_eq!(channel.recv().unwrap(), b"x");
}

/// Every word of the ends and of the header, with every kind of number in it: the message, an error, or nothing in time; then mended, all is well.
#[test]
fn impossible_numbers_are_errors() {
    let _watchdog = watchdog();
    let numbers = [
        0,
        1,
        4,
        5,
        6,
        1 << 31,
        u64::from(u32::MAX),
        1 << 32,
        1 << 32 | 3,
        1 << 32 | 5,
        2 << 32 | 3,
        6 << 32,
        7 << 32 | 3,
        1 << 63,
        u64::MAX,
    ];
    for offset in [TAIL, HEAD, SEEN_HEAD, SEEN_TAIL, RING] {
        for number in numbers {
            let (channel, bytes) = place();
            channel.send(b"hello").unwrap();
            u64_at(bytes, offset).store(number, SeqCst);
            assert!(channel.len() <= 5 && channel.capacity() == 32);
            let outcomes = [
                channel.recv_timeout(SHORT).map(|bytes| assert!(bytes.len() <= 32)),
                channel.try_recv_with(|bytes| assert!(bytes.len() <= 32)),
                channel.send_timeout(&[7; 16], SHORT),
                channel.try_send(&[7; 32]),
            ];
            for outcome in outcomes {
                let kind = outcome.map_err(|error| error.kind());
                assert!(
                    matches!(
                        kind,
                        Ok(())
                            | Err(ErrorKind::Corrupt
                                | ErrorKind::TimedOut
                                | ErrorKind::Empty
                                | ErrorKind::Full)
                    ),
                    "{kind:?} for {number:#x} at {offset}"
                );
            }
            for offset in [TAIL, HEAD, SEEN_HEAD, SEEN_TAIL] {
                u64_at(bytes, offset).store(0, SeqCst);
            }
            for round in 0..10 {
                channel.try_send(&[round; 32]).unwrap();
                assert_eq!(channel.try_recv().unwrap(), [round; 32]);
            }
            for offset in (RING + 40..4096).step_by(8) {
                assert_eq!(u64_at(bytes, offset).load(SeqCst), 0, "outside the ring");
            }
        }
    }
}

/// A message whose header lies is never handed out.
#[test]
fn a_header_that_lies_is_corrupt() {
    let (channel, bytes) = place();
    channel.send(b"12345678").unwrap();
    for header in [9, 16, 33, u64::from(u32::MAX), 1 << 32 | 8] {
        u64_at(bytes, RING).store(header, SeqCst);
        let error = channel.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{header:#x}");
        assert!(error.to_string().starts_with("cannot receive from the byte channel: "), "{error}");
    }
    u64_at(bytes, RING).store(8, SeqCst);
    assert_eq!(channel.recv().unwrap(), b"12345678");
}

/// A neighbour writes random numbers all over the channel while others use it.
#[test]
fn random_scribbling_crashes_and_hangs_nobody() {
    let _watchdog = watchdog();
    for seed in 1..=rounds(8) as u64 {
        let (channel, bytes) = place();
        let done = &shared_counters()[0];
        let users: Vec<_> = (0..2)
            .map(|user| {
                let channel = &channel;
                fork(move || {
                    for round in 0..150usize {
                        let message = vec![7; round % 33];
                        // Any outcome is right, as long as there is one.
                        let _ = channel.send_timeout(&message, SHORT);
                        let _ = channel.try_send(&message);
                        if user == 0 {
                            let _ = channel.recv_timeout(SHORT).map(|bytes| assert!(bytes.len() <= 32));
                        } else {
                            let _ = channel.try_recv_with(|bytes| assert!(bytes.len() <= 32));
                        }
                        let _ = (channel.len(), channel.is_empty(), channel.is_closed());
                    }
                })
            })
            .collect();
        let scribbler = fork(|| {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut next = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random >> 20
            };
            while done.load(SeqCst) == 0 {
                let offset = next() as usize % 45 * 8;
                // Often something plausible, and the first line mended, so that the users get past the first check.
                let number = match next() % 4 {
                    0 => next() << 20,
                    1 => next() % 8,
                    2 => ((next() % 8) << 32) | (next() % 8),
                    _ => 0,
                };
                u64_at(bytes, offset).store(number, SeqCst);
                u64_at(bytes, IDENTITY).store(0x0000_0020_5348_0d01, SeqCst);
                if next() % 4 != 0 {
                    u64_at(bytes, CLOSED).store(0, SeqCst);
                    u32_at(bytes, PRODUCERS).store(0, SeqCst);
                    u32_at(bytes, CONSUMERS).store(0, SeqCst);
                }
            }
        });
        users.into_iter().for_each(Child::expect_success);
        done.store(1, SeqCst);
        scribbler.expect_success();
        for offset in (RING + 40..4096).step_by(8) {
            assert_eq!(u64_at(bytes, offset).load(SeqCst), 0, "outside the ring");
        }
    }
}

#[test]
fn under_a_name() {
    let (name, _cleanup) = fresh_name("channel-name");
    let name = name.as_str();
    let missing = ByteChannel::attach(name).unwrap_err();
    assert_eq!((missing.kind(), missing.name()), (ErrorKind::Segment, Some(name)));
    let channel = ByteChannel::create(name, 1000).unwrap();
    channel.send(b"hello").unwrap();
    drop(channel);
    let channel = ByteChannel::attach(name).unwrap();
    assert_eq!((channel.capacity(), channel.len()), (1000, 1));
    assert_eq!(ByteChannel::create_or_attach(name, 1000).unwrap().recv().unwrap(), b"hello");
    assert_eq!(ByteChannel::create(name, 1000).unwrap_err().kind(), ErrorKind::Segment);
    let other = ByteChannel::create_or_attach(name, 2000).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch);
    assert!(other.to_string().contains("1000") && other.to_string().contains("2000"), "{other}");
    assert_eq!(Channel::<u64>::attach(name).unwrap_err().kind(), ErrorKind::Mismatch);
    let empty = channel.try_recv().unwrap_err().to_string();
    assert!(empty.starts_with(&format!("cannot receive from the byte channel {name}: ")), "{empty}");
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(name).unwrap();
        assert_eq!(ByteChannel::attach_in(&segment, "").unwrap_err().kind(), ErrorKind::NotShared);
    }
}

#[test]
fn beside_data_in_a_segment() {
    let contents = Contents::new().bytes("data", 72, 64).unwrap();
    let contents = ByteChannel::plan(contents, "log", 100).unwrap();
    let contents = Channel::<[u8; 3]>::plan(contents, "jobs", 7).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    for (entry, kind) in
        [("data", ErrorKind::Mismatch), ("jobs", ErrorKind::Mismatch), ("nothing", ErrorKind::Segment)]
    {
        assert_eq!(ByteChannel::attach_in(&segment, entry).unwrap_err().kind(), kind, "{entry}");
    }
    assert_eq!(Channel::<u16>::attach_in(&segment, "jobs").unwrap_err().kind(), ErrorKind::Mismatch);
    let (log, jobs) = (
        ByteChannel::attach_in(&segment, "log").unwrap(),
        Channel::<[u8; 3]>::attach_in(&segment, "jobs").unwrap(),
    );
    assert_eq!((log.capacity(), jobs.capacity()), (100, 7));
    drop(segment);
    fork(|| jobs.send([1, 2, 3]).unwrap()).expect_success();
    log.send(&jobs.recv().unwrap()).unwrap();
    assert_eq!(log.clone().recv().unwrap(), [1, 2, 3]);
}

const VARIABLE: &str = "SHM_SYNC_TEST_CHANNEL";

#[test]
#[ignore = "run by the next test in a process of its own"]
fn channel_in_an_unrelated_process() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let channel = Channel::<u64>::attach(name.as_str()).unwrap();
    (0..1000).for_each(|number| channel.send(number).unwrap());
}

#[test]
fn unrelated_processes_meet_under_the_name() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("channel-unrelated");
    let channel = Channel::<u64>::create(name.as_str(), 10).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let output = rerun("channel_in_an_unrelated_process", &[(VARIABLE, name.as_str())]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            });
        }
        let sum: u64 = (0..2000).map(|_| channel.recv_timeout(Duration::from_secs(100)).unwrap()).sum();
        assert_eq!(sum, 999_000);
    });
    assert!(channel.is_empty());
}
