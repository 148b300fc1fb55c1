//! All records of this process's threads: handing them out, and asking whether any thread holds a lock in a range of memory.
//!
//! The registry is a singly linked list that only grows: a record is never unmapped, because the kernel walks through it when its thread
//! ends, and is used again by a later thread. Pushing is lock-free, so a fork at any moment leaves a usable list to the child, where the
//! records themselves (not this list) read zero and are free again. What a record means is `robust`'s business.

#![allow(
    unsafe_code,
    reason = "records live in pages that the kernel wipes in forked children, outside Rust's allocator"
)]

use super::robust::Record;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::io;

struct Node {
    record: NonNull<Record>,
    next: *const Node,
}

static NEWEST: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());

/// A record for a thread: the preferred one, or another that is free, or a new one.
pub(crate) fn claim(preferred: Option<NonNull<Record>>) -> io::Result<NonNull<Record>> {
    if let Some(record) = preferred.into_iter().chain(records()).find(|record| record_at(*record).claim()) {
        return Ok(record);
    }
    let record = map()?;
    // Nobody else knows it yet.
    record_at(record).claim();
    let node = Box::leak(Box::new(Node { record, next: NEWEST.load(Acquire) }));
    while let Err(newer) = NEWEST.compare_exchange(node.next.cast_mut(), node, Release, Acquire) {
        node.next = newer;
    }
    Ok(record)
}

/// Whether any thread of this process holds a lock whose link lies in the `len` bytes from `start` on.
///
/// A lock that is being taken at this moment may be missed: whoever calls has to know that nobody uses the range any more.
pub(crate) fn holds_lock_in(start: *const u8, len: usize) -> bool {
    let range = start.addr()..start.addr().saturating_add(len);
    records().any(|record| record_at(record).any_held(|link| range.contains(&link)))
}

fn records() -> impl Iterator<Item = NonNull<Record>> {
    let mut node = NEWEST.load(Acquire).cast_const();
    core::iter::from_fn(move || {
        // SAFETY: the pointer is null or comes from `claim`, which leaks its nodes and does not change them once they are published
        // (release there, acquire here).
        let current = unsafe { node.as_ref() }?;
        node = current.next;
        Some(current.record)
    })
}

fn record_at(record: NonNull<Record>) -> &'static Record {
    // SAFETY: `map` made it: page-aligned, of this size, readable and writable, never unmapped; all fields are atomics (or padding) for
    // which any bytes, zeros among them, are valid.
    unsafe { record.as_ref() }
}

/// New pages for one record, wiped in forked children.
fn map() -> io::Result<NonNull<Record>> {
    let len = size_of::<Record>();
    // SAFETY: a new private mapping at an address that the kernel chooses touches no existing memory.
    let pages = unsafe {
        rustix::mm::mmap_anonymous(
            ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    }?;
    // SAFETY: the range is the mapping just made, which nobody else knows; the advice changes nothing in this process.
    if let Err(error) = unsafe { rustix::mm::madvise(pages, len, Advice::LinuxWipeOnFork) } {
        // SAFETY: as above; it is not used any more.
        let _ = unsafe { rustix::mm::munmap(pages, len) };
        return Err(error.into());
    }
    NonNull::new(pages.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_distinct_while_claimed() {
        let (first, second) = (claim(None).unwrap(), claim(None).unwrap());
        assert_ne!(first, second);
        assert!(records().any(|record| record == first));
        assert!(!record_at(first).claim());
    }

    #[test]
    fn an_empty_range_holds_nothing() {
        assert!(!holds_lock_in(ptr::null(), 0));
    }
}
