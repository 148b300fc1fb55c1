//! The bytes of an arena in this process: the one place where offsets become pointers.
//!
//! Words are lent as atomics, bytes as raw pointers, and both only within the length that is known to exist. The code
//! above this file therefore needs no `unsafe` and cannot leave the arena, whatever a hostile neighbour wrote.

#![allow(unsafe_code, reason = "turns offsets into pointers into shared pages")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// The mapped bytes of one arena. They exist up to a length that only grows.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    existing: AtomicU64,
    reserved: u64,
}

// SAFETY: the pointer leads to bytes that stay mapped for the region's life (promised to `new`), and they are touched
// only through atomics and through raw pointers whose users answer for themselves.
unsafe impl Send for Region {}
// SAFETY: as above; the region itself changes only its atomic length.
unsafe impl Sync for Region {}

impl Region {
    /// A region of `reserved` bytes of address space at `base`, of which `existing` are there now.
    ///
    /// # Safety
    /// - `base` is a multiple of 4 096, and `reserved` bytes from it on are mapped readable and writable in one piece
    ///   for as long as the region lives, with the first `existing` of them backed by memory.
    /// - No `&T` or `&mut T` to these bytes exists meanwhile, other than to atomics.
    pub(super) unsafe fn new(base: NonNull<u8>, existing: u64, reserved: u64) -> Self {
        Self { base, existing: AtomicU64::new(existing.min(reserved)), reserved }
    }

    /// Bytes that are known to exist.
    pub(super) fn len(&self) -> u64 {
        self.existing.load(Ordering::Relaxed)
    }

    /// Notes that the region has grown to `len` bytes; never shrinks.
    ///
    /// # Safety
    /// The first `len` bytes are backed by memory.
    pub(super) unsafe fn extend(&self, len: u64) {
        self.existing.fetch_max(len.min(self.reserved), Ordering::Relaxed);
    }

    /// The word at offset `at`.
    ///
    /// # Panics
    /// If the word is not aligned or does not exist: callers pass offsets that follow from a checked geometry and
    /// from indices below the number of existing chunks, so only a bug in this module can get here.
    pub(super) fn word(&self, at: u64) -> Word<'_> {
        assert!(at.is_multiple_of(8) && at < self.len() && self.len() - at >= 8, "arena word out of range");
        // SAFETY: `at + 8` is at most the existing length, so the pointer stays within the mapping.
        let word = unsafe { self.base.as_ptr().add(at as usize) };
        // SAFETY: aligned (the base to 4 096, `at` to 8), alive as long as `self`, and according to FORMAT.md nobody
        // accesses these eight bytes otherwise than atomically while they serve as a word.
        Word(unsafe { AtomicU64::from_ptr(word.cast()) })
    }

    /// A pointer to `len` bytes at offset `at`, if all of them exist.
    pub(super) fn bytes(&self, at: u64, len: u64) -> Option<NonNull<u8>> {
        if at.checked_add(len)? > self.len() {
            return None;
        }
        // SAFETY: `at` is at most the existing length, so the pointer stays within the mapping or one past it.
        Some(unsafe { self.base.add(at as usize) })
    }
}

/// A word in shared pages.
///
/// Everything that decides who owns what is sequentially consistent: on x86-64 and with aarch64's LSE atomics this
/// costs nothing over acquire and release for compare-exchanges and loads, and the argument about the `full` hint
/// (`slab.rs`) needs it.
#[derive(Clone, Copy)]
pub(super) struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    pub(super) fn load(self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// A plain store, for words that belong to the caller at that moment; what it wrote before is visible to whoever
    /// reads the new value.
    pub(super) fn store(self, new: u64) {
        super::step::step();
        self.0.store(new, Ordering::Release);
    }

    /// Replaces `old` by `new` and says whether it did.
    pub(super) fn change(self, old: u64, new: u64) -> bool {
        super::step::step();
        self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
