//! Results that are stored as they are, in a shared array with a place for each item: no encoding, no block, no copy but the master's.
//!
//! A worker writes the result of an item into the item's place, and its message to the master has no bytes; the master reads the place when the message has
//! come. The message orders the two (`head` of the ring is stored with Release and loaded with Acquire), and an item is worked on by one process
//! at a time, so no place is read and written at once. Nothing is trusted for that: places are read as plain bytes, any of which are a valid result.

#![allow(unsafe_code, reason = "reads and writes shared pages through a raw pointer")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use bytemuck::Pod;
use shm_core::{Contents, Segment, SegmentKind, SegmentOptions};

use crate::error::{Error, ErrorKind};
use crate::pages;

/// A place for the result of each item, in pages that master and workers share.
pub(crate) struct Places<R> {
    start: *mut R,
    count: usize,
    /// Keeps the mapping.
    _segment: Segment,
    results: PhantomData<R>,
}

impl<R: Pod> Places<R> {
    /// Makes places for so many results; memory is taken as they are written.
    pub(crate) fn new(operation: &str, count: usize) -> Result<Places<R>, Error> {
        let failed =
            |e: shm_core::Error| Error::new(ErrorKind::Segment, operation, e.to_string()).caused_by(e);
        let Some(len) = count.checked_mul(size_of::<R>()) else {
            let reason = format!("{count} results of {} bytes are more than memory has", size_of::<R>());
            return Err(
                Error::new(ErrorKind::InvalidArgument, operation, reason).remedy("map fewer items at a time")
            );
        };
        let contents =
            Contents::new().kind(SegmentKind::Pool).bytes("results", len.max(1), 64).map_err(failed)?;
        let segment = SegmentOptions::new().sparse(true).create_anonymous(&contents).map_err(failed)?;
        let offset = segment.entry("results").map_err(failed)?.offset();
        // No dereference: the entry lies inside the mapping.
        let start: *mut R = segment.as_ptr().wrapping_add(offset).cast();
        // SAFETY: bytes of the entry, which nobody uses yet, and any bytes are a `MaybeUninit<u8>`.
        pages::ask_for_large(unsafe { std::slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), len) });
        Ok(Places { start, count, _segment: segment, results: PhantomData })
    }

    fn place(&self, item: usize) -> *mut R {
        assert!(item < self.count);
        self.start.wrapping_add(item)
    }

    /// Stores the result of an item. Only for the worker that works on it.
    pub(crate) fn put(&self, item: usize, result: R) {
        // SAFETY: the place lies inside the entry, which has `count` of them and is mapped writable as long as `_segment` lives. It need not
        // be aligned. There is no reference to it, and nobody else writes or reads it now: see the header.
        unsafe { self.place(item).write_unaligned(result) }
    }

    /// Reads the result of an item. Only for the master, when it knows that the result is there.
    pub(crate) fn get(&self, item: usize) -> R {
        // SAFETY: as in `put`; any bytes are an `R` (`Pod`), so that one which somebody overwrites against the rules is a wrong number and no more.
        unsafe { self.place(item).read_unaligned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_hold_what_was_put_there() {
        #[repr(C, align(64))]
        #[derive(Clone, Copy)]
        struct Wide([u8; 64]);
        // SAFETY: bytes, as many as its alignment asks for.
        unsafe impl bytemuck::Zeroable for Wide {}
        // SAFETY: the same.
        unsafe impl Pod for Wide {}
        let places = Places::<Wide>::new("test", 1000).unwrap();
        (0..1000).for_each(|i| places.put(i, Wide([i as u8; 64])));
        assert!((0..1000).all(|i| places.get(i).0 == [i as u8; 64]));
        let nothing = Places::<[u8; 0]>::new("test", 3).unwrap();
        nothing.put(2, []);
        assert_eq!(nothing.get(2), [0u8; 0]);
    }

    #[test]
    fn more_than_there_can_be_is_an_error() {
        let error = Places::<[u64; 4]>::new("map many items", usize::MAX / 2).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let error = Places::<u8>::new("map many items", usize::MAX / 2).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Segment);
    }
}
