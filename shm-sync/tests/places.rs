//! Every kind of primitive in every place where it must not be: pages that exclude nobody, bytes of another kind or version, addresses between
//! its own, too few bytes. An error with a name, and not a byte changed.
#![allow(unsafe_code, reason = "looks at the bytes, and offers wrong ones")]

mod common;

use common::{fresh_name, shared_bytes, watchdog};
use shm_core::{Access, SegmentOptions};
use shm_sync::{
    Barrier, BoundedSemaphore, ByteChannel, ByteMutex, ByteRecursiveMutex, ByteRwLock, Channel, Condvar,
    Error, ErrorKind, Event, ItemChannel, Latch, Mutex, Once, Primitive, ProcessMutex, RecursiveMutex,
    RwLock, Semaphore, Sequencer,
};

/// The low half of the identity says kind and version.
const VERSION: usize = 8;

/// What one kind is put through; the types differ, the questions do not.
struct Kind {
    name: &'static str,
    /// Types with the same code have the same format.
    code: u8,
    len: usize,
    create: fn(&str) -> Result<(), Error>,
    attach: fn(&str) -> Result<(), Error>,
    attach_with: fn(&str, Access) -> Result<(), Error>,
    /// # Safety
    /// As [`Primitive::init_at`].
    init_at: unsafe fn(*mut u8, usize) -> Result<(), Error>,
    /// # Safety
    /// As [`Primitive::from_ptr`].
    from_ptr: unsafe fn(*mut u8, usize) -> Result<(), Error>,
}

macro_rules! kind {
    ($type:ty, $code:literal, $initial:expr) => {
        Kind {
            name: stringify!($type),
            code: $code,
            len: <$type>::len_bytes($initial).unwrap(),
            create: |name| <$type>::create(name, $initial).map(drop),
            attach: |name| <$type>::attach(name).map(drop),
            attach_with: |name, access| {
                let segment = SegmentOptions::new().access(access).attach(name).unwrap();
                <$type>::attach_in(&segment, "").map(drop)
            },
            // SAFETY: the caller's.
            init_at: |address, len| unsafe { <$type>::init_at(address, len, $initial) }.map(drop),
            // SAFETY: the caller's.
            from_ptr: |address, len| unsafe { <$type>::from_ptr(address, len) }.map(drop),
        }
    };
}

fn kinds() -> Vec<Kind> {
    vec![
        kind!(Mutex<u64>, 1, 7),
        kind!(ByteMutex, 1, 8),
        kind!(RecursiveMutex<u64>, 2, 7),
        kind!(ByteRecursiveMutex, 2, 8),
        kind!(ProcessMutex, 3, ()),
        kind!(RwLock<u64, 4>, 4, 7),
        kind!(ByteRwLock, 4, 8),
        kind!(Semaphore, 5, 3),
        kind!(BoundedSemaphore, 6, 3),
        kind!(Condvar, 7, ()),
        kind!(Event, 8, true),
        kind!(Barrier, 9, 3),
        kind!(Once, 10, ()),
        kind!(Latch, 11, 3),
        kind!(Sequencer, 12, 5),
        kind!(ByteChannel, 13, 100),
        kind!(Channel<u64>, 14, 4),
        kind!(ItemChannel, 14, (4, 8)),
    ]
}

/// A copy of what is there.
fn bytes_at(address: *const u8, len: usize) -> Vec<u8> {
    let mut copy = vec![0; len];
    // SAFETY: the callers' bytes are mapped and nobody writes to them now; the copy has as many.
    unsafe { address.copy_to_nonoverlapping(copy.as_mut_ptr(), len) };
    copy
}

fn refused(outcome: Result<(), Error>, kind: ErrorKind, what: &str) -> String {
    let error = outcome.expect_err(what);
    assert_eq!(error.kind(), kind, "{what}: {error}");
    error.to_string()
}

#[test]
fn pages_that_exclude_nobody_are_refused() {
    let _watchdog = watchdog();
    for kind in kinds() {
        let (name, _cleanup) = fresh_name("places-access");
        (kind.create)(&name).unwrap();
        let segment = SegmentOptions::new().attach(name.as_str()).unwrap();
        let before = bytes_at(segment.as_ptr(), segment.len());
        for access in [Access::ReadOnly, Access::CopyOnWrite] {
            let message = refused((kind.attach_with)(&name, access), ErrorKind::NotShared, kind.name);
            assert!(message.contains(&name), "{}: {message}", kind.name);
        }
        assert_eq!(bytes_at(segment.as_ptr(), segment.len()), before, "{}", kind.name);
        (kind.attach_with)(&name, Access::ReadWrite).unwrap();
    }
}

#[test]
fn another_kind_under_the_name_is_refused() {
    let _watchdog = watchdog();
    let kinds = kinds();
    for there in &kinds {
        let (name, _cleanup) = fresh_name("places-kind");
        (there.create)(&name).unwrap();
        let segment = SegmentOptions::new().attach(name.as_str()).unwrap();
        let before = bytes_at(segment.as_ptr(), segment.len());
        for wanted in kinds.iter().filter(|wanted| wanted.code != there.code) {
            let what = format!("{} where there is a {}", wanted.name, there.name);
            let message = refused((wanted.attach)(&name), ErrorKind::Mismatch, &what);
            assert!(message.contains(&name), "{what}: {message}");
            let message = refused((wanted.create)(&name), ErrorKind::Segment, &what);
            assert!(message.contains(&name), "{what}: {message}");
        }
        assert_eq!(bytes_at(segment.as_ptr(), segment.len()), before, "{}", there.name);
        (there.attach)(&name).unwrap();
    }
}

#[test]
fn bytes_of_another_kind_or_version_are_refused() {
    let _watchdog = watchdog();
    let kinds = kinds();
    for there in &kinds {
        let page = shared_bytes();
        assert!(there.len <= 4096);
        // SAFETY: a zero page, shared, never unmapped.
        unsafe { (there.init_at)(page, 4096) }.unwrap();
        let before = bytes_at(page, 4096);
        for wanted in kinds.iter().filter(|wanted| wanted.code != there.code) {
            let what = format!("{} where there is a {}", wanted.name, there.name);
            // SAFETY: as above; that the bytes are another kind is what is tested.
            refused(unsafe { (wanted.from_ptr)(page, 4096) }, ErrorKind::Mismatch, &what);
        }
        // SAFETY: as above.
        refused(unsafe { (there.init_at)(page, 4096) }, ErrorKind::InUse, there.name);
        assert_eq!(bytes_at(page, 4096), before, "{}", there.name);
        for version in [0, 2, 0xff] {
            // SAFETY: within the page; nobody else uses it.
            unsafe { *page.add(VERSION) = version };
            // SAFETY: as above.
            refused(unsafe { (there.from_ptr)(page, 4096) }, ErrorKind::Mismatch, there.name);
            // SAFETY: as above.
            unsafe { *page.add(VERSION) = before[VERSION] };
            assert_eq!(bytes_at(page, 4096), before, "{}, version {version}", there.name);
        }
        // SAFETY: as above.
        unsafe { (there.from_ptr)(page, 4096) }.unwrap();
    }
}

#[test]
fn addresses_and_lengths_that_do_not_fit_are_refused() {
    for kind in kinds() {
        let page = shared_bytes();
        for offset in [1, 4, 8, 32, 63] {
            let (address, len) = (page.wrapping_add(offset), 4096 - offset);
            // SAFETY: within the page; the alignment is what is tested.
            refused(unsafe { (kind.from_ptr)(address, len) }, ErrorKind::Misaligned, kind.name);
            // SAFETY: as above.
            refused(unsafe { (kind.init_at)(address, len) }, ErrorKind::Misaligned, kind.name);
        }
        // SAFETY: null is refused.
        refused(unsafe { (kind.from_ptr)(std::ptr::null_mut(), 4096) }, ErrorKind::Misaligned, kind.name);
        for len in [0, 15, 16, 63] {
            // SAFETY: the page has more bytes than are offered.
            refused(unsafe { (kind.from_ptr)(page, len) }, ErrorKind::Mismatch, kind.name);
            // SAFETY: as above.
            refused(unsafe { (kind.init_at)(page, len) }, ErrorKind::Mismatch, kind.name);
        }
        // SAFETY: as above.
        refused(unsafe { (kind.init_at)(page, kind.len - 1) }, ErrorKind::Mismatch, kind.name);
        assert_eq!(bytes_at(page, 4096), [0; 4096], "{}", kind.name);
        // SAFETY: a zero page, shared, never unmapped.
        unsafe { (kind.init_at)(page, kind.len) }.unwrap();
        // SAFETY: as above.
        refused(unsafe { (kind.from_ptr)(page, kind.len - 1) }, ErrorKind::Mismatch, kind.name);
    }
}
