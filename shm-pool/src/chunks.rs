//! Disjoint mutable chunks of an exclusively held array: the one place where workers get `&mut` to shared pages.
//!
//! Why that is sound. The array is held through `&mut Exclusive`: no other process has it attached (its exclusive lease), and in this process nothing
//! else can reach it while the borrow lasts, which is as long as the workers live. The workers reach it by this file only; the
//! scheduler gives a chunk's number to one worker in a run, by one compare-exchange on the batch that it is in (`Control::claims`). The master's thread is
//! blocked while a run lasts; a run that fails returns when the workers are dead. Between two runs of a crew the workers touch nothing.

#![allow(unsafe_code, reason = "lends disjoint mutable chunks of an array to forked workers")]

use std::cell::RefCell;

use rustix::mm::Advice;
use shm_core::Element;

/// Chunks from this many bytes on are entered into the worker's page table at once instead of fault by fault.
const POPULATE: usize = 64 << 10;

/// An array cut into chunks of equal length; the last one may be shorter.
pub(crate) struct Chunks<T> {
    start: *mut T,
    len: usize,
    chunk_len: usize,
    /// Chunks that this process has entered into its page table.
    seen: RefCell<Vec<u64>>,
}

impl<T: Element> Chunks<T> {
    /// Cuts `array`; `chunk_len` is at least 1.
    pub(crate) fn new(array: &mut [T], chunk_len: usize) -> Chunks<T> {
        assert!(chunk_len > 0);
        Chunks { start: array.as_mut_ptr(), len: array.len(), chunk_len, seen: RefCell::default() }
    }

    /// How many chunks there are.
    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(self.chunk_len)
    }

    /// The first element of a chunk, counted from the array's first.
    pub(crate) fn offset(&self, index: usize) -> usize {
        index * self.chunk_len
    }

    /// The elements of a chunk.
    ///
    /// # Safety
    /// - The array that the chunks were made of is mapped in this process at the same place, and its borrow lasts (as a `&mut` that nobody uses, or
    ///   in the process that this one was forked from).
    /// - While the returned reference lives nobody else has one to this chunk or to the array, in any process.
    #[allow(clippy::mut_from_ref, reason = "the array is not borrowed from `self`; see Safety")]
    pub(crate) unsafe fn get(&self, index: usize) -> &mut [T] {
        assert!(index < self.count());
        let offset = self.offset(index);
        let len = self.chunk_len.min(self.len - offset);
        // SAFETY: `offset` is below the array's length; by the caller's promise the array is there.
        let start = unsafe { self.start.add(offset) };
        self.populate(index, start.cast(), len * size_of::<T>());
        // SAFETY: `len` elements from here on are inside the array: valid, aligned, and any bytes are a `T` (`Element`). By the caller's promise
        // nobody else has a reference to them.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// Enters the pages of a large chunk into the page table, the first time that this process sees it.
    ///
    /// A forked child begins without the page table entries of shared memory, and a fault for each page costs more than the work on
    /// it may.
    fn populate(&self, index: usize, start: *mut u8, len: usize) {
        if len < POPULATE {
            return;
        }
        let mut seen = self.seen.borrow_mut();
        if seen.is_empty() {
            seen.resize(self.count().div_ceil(64), 0);
        }
        let (word, bit) = (&mut seen[index / 64], 1 << (index % 64));
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
        let from = start.map_addr(|at| at & !(rustix::param::page_size() - 1));
        let len = start.addr() + len - from.addr();
        // SAFETY: the pages that the chunk lies in are mapped; populating changes no byte. What it cannot do (on kernels before 5.14 anything) the
        // first touch does.
        let _ = unsafe { rustix::mm::madvise(from.cast(), len, Advice::LinuxPopulateRead) };
    }
}
