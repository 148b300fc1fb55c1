//! Handles of live blocks.

#![allow(unsafe_code, reason = "copies bytes into and out of a block")]

use super::Arena;
use super::format::{Holding, OwnerId};
use super::heap::Place;
use super::membership::Registration;
use crate::error::{Error, ErrorKind, Result};
use crate::process::fork_count;

/// A live block of an [`Arena`], held by this process: the only handle to it, in all processes.
///
/// Dropping the handle frees the block. [`keep`](Block::keep), [`park`](Block::park) and [`hand_over`](Block::hand_over) end the handle and leave the
/// block alive, known by its offset, from which [`Arena::adopt`] makes a handle again.
///
/// **Death**: the block stays allocated until somebody calls [`Arena::reclaim`]. **Fork**: the block stays the parent's. The child may read
/// and write it through its copy of the handle, as far as parent and child agree on who does what, but not free it or give it away;
/// dropping the copy does nothing.
///
/// ```
/// use shm_core::{Arena, Contents, SegmentOptions};
/// let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
/// let arena = Arena::create_in(&segment, "heap")?;
/// let mut block = arena.alloc(5)?;
/// block.write(0, b"hello")?;
/// assert_eq!(block.to_vec(), b"hello");
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a block frees it"]
pub struct Block<'a> {
    arena: &'a Arena,
    place: Place,
    owner: OwnerId,
    forks: u64,
    len: usize,
}

impl<'a> Block<'a> {
    pub(super) fn new(arena: &'a Arena, place: Place, registration: &Registration, len: usize) -> Self {
        Self { arena, place, owner: registration.owner, forks: registration.forks, len }
    }

    /// Returns where the block begins, counted from the first byte of the segment: the same in every process.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc(100)?;
    /// let message = block.offset(); // to a process that finds the block's bytes by it
    /// assert_eq!(arena.pointer(message, 100)?, block.as_ptr());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn offset(&self) -> u64 {
        self.arena.origin + self.arena.heap.offset_of(self.place)
    }

    /// Returns the length that was asked for, in bytes; for an adopted block the capacity, for nobody wrote down the length.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc(100)?;
    /// assert_eq!((block.len(), block.capacity()), (100, 128));
    /// let offset = block.park()?;
    /// assert_eq!(arena.adopt(offset, arena.owner()?)?.len(), 128);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether the length is 0.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// assert!(arena.alloc(0)?.is_empty());
    /// assert!(!arena.alloc(1)?.is_empty());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many bytes the block has room for; at least its length, and at least 64.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let mut block = arena.alloc(10)?;
    /// assert_eq!(block.capacity(), 64);
    /// block.write(10, b"more than was asked for")?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.place.capacity() as usize
    }

    /// Returns the address of the first byte in this process, a multiple of 64; of a page for more than 32 640 bytes.
    ///
    /// Reading and writing [`capacity`](Block::capacity) bytes through it is fine while the handle lives. It is a raw
    /// pointer because a neighbour that breaks the rules could write there too: `&mut` would be a lie.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc_zeroed(8)?;
    /// // SAFETY: 8 bytes at a multiple of 64, which live as long as the block and are used as an atomic only.
    /// let counter = unsafe { AtomicU64::from_ptr(block.as_ptr().cast()) };
    /// assert_eq!(counter.fetch_add(1, Ordering::Relaxed), 0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        let start = self.arena.heap.offset_of(self.place) as usize;
        // No dereference: the sum stays within the mapping, as a live place does.
        self.arena.segment.as_ptr().wrapping_add(self.arena.origin as usize + start)
    }

    fn check(&self, operation: &'static str, at: usize, len: usize) -> Result<()> {
        if at.checked_add(len).is_some_and(|end| end <= self.capacity()) {
            return Ok(());
        }
        let reason = format!("{len} bytes at {at} were asked for, and it has room for {}", self.capacity());
        Err(Error::new(ErrorKind::InvalidArgument, operation, self.label(), reason))
    }

    fn label(&self) -> String {
        format!("the block at {} in {}", self.offset(), self.arena.label())
    }

    /// Copies `bytes` into the block, from its byte `at` on, within its capacity.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if they do not fit there; nothing is copied then.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let mut block = arena.alloc(5)?;
    /// block.write(0, b"jelly")?;
    /// block.write(0, b"h")?;
    /// block.write(4, b"o")?;
    /// assert_eq!(block.to_vec(), b"hello");
    /// assert!(block.write(block.capacity(), b"!").is_err());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.check("write to", at, bytes.len())?;
        // SAFETY: `bytes` is valid for reads; the target lies within the block (just checked) and so within the mapping;
        // they do not overlap, for nobody makes a slice of a segment's arena.
        unsafe { self.as_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Fills the rest of `bytes` from the block, from its byte `at` on, within its capacity.
    ///
    /// What was never written is whatever the memory held before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the block has not so many bytes; nothing is copied then.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let mut block = arena.alloc(16)?;
    /// block.write(8, &42u64.to_le_bytes())?;
    /// let mut number = [0; 8];
    /// block.read(8, &mut number)?;
    /// assert_eq!(u64::from_le_bytes(number), 42);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        self.check("read from", at, bytes.len())?;
        // SAFETY: as in `write`, the other way round; shared memory is initialised by the kernel.
        unsafe { self.as_ptr().add(at).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Returns a copy of the block's [`len`](Block::len) bytes.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let mut block = arena.alloc(3)?;
    /// block.write(0, b"abc")?;
    /// let copy = block.to_vec();
    /// block.free()?;
    /// assert_eq!(copy, b"abc");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        // SAFETY: as in `read`; the length is at most the capacity.
        unsafe { self.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    /// Gives the block to the segment: no process's death frees it any more. Returns its offset.
    ///
    /// # Errors
    /// [`ErrorKind::Inherited`] in a forked child; the block stays as it is then. [`ErrorKind::Corrupted`] if a neighbour
    /// has overwritten the block's word.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, OwnerId, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let mut block = arena.alloc(7)?;
    /// block.write(0, b"forever")?;
    /// let offset = block.keep()?;
    /// let block = arena.adopt(offset, OwnerId::KEPT)?; // here or in another process
    /// assert_eq!(&block.to_vec()[..7], b"forever");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn keep(self) -> Result<u64> {
        self.part_with("keep", OwnerId::KEPT)
    }

    /// Ends the handle and leaves the block alive and this process's own. Returns its offset.
    ///
    /// # Errors
    /// As [`keep`](Block::keep).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let offset = arena.alloc(100)?.park()?;
    /// arena.adopt(offset, arena.owner()?)?.free()?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn park(self) -> Result<u64> {
        let owner = self.owner;
        self.part_with("park", owner)
    }

    /// Makes the block another owner's, who may then [`adopt`](Arena::adopt) it; its death, not ours, frees it from now on. Returns the
    /// offset, which is all that the other one needs.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if `to` is not registered (any more); the block is freed then. Otherwise as
    /// [`keep`](Block::keep).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let master = Arena::create_in(&segment, "heap")?;
    /// let worker = Arena::attach(&segment, "heap")?; // in another process, usually
    /// let offset = worker.alloc(100)?.hand_over(master.owner()?)?;
    /// drop(worker);
    /// let result = master.adopt(offset, master.owner()?)?;
    /// assert_eq!(result.capacity(), 128);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn hand_over(self, to: OwnerId) -> Result<u64> {
        if to != OwnerId::KEPT && !self.arena.heap.is_registered(to) {
            let reason = format!("{to} is not registered, or has left");
            return Err(Error::new(ErrorKind::NotFound, "hand over", self.label(), reason)
                .remedy("hand it to somebody who lives, or keep it"));
        }
        self.part_with("hand over", to)
    }

    /// Frees the block, as dropping does, and says if that was not possible.
    ///
    /// # Errors
    /// As [`keep`](Block::keep).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc(1000)?;
    /// block.free()?;
    /// assert_eq!(arena.usage()?.blocks, 0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn free(self) -> Result<()> {
        let this = std::mem::ManuallyDrop::new(self);
        this.check_process("free")?;
        if this.arena.heap.free(this.place, Holding::held(this.owner), this.owner) {
            return Ok(());
        }
        Err(this.overwritten("free"))
    }

    fn part_with(self, operation: &'static str, to: OwnerId) -> Result<u64> {
        let this = std::mem::ManuallyDrop::new(self);
        this.check_process(operation)?;
        if this.arena.heap.reassign(this.place, Holding::held(this.owner), Holding::parked(to)) {
            return Ok(this.offset());
        }
        Err(this.overwritten(operation))
    }

    fn check_process(&self, operation: &'static str) -> Result<()> {
        if self.forks == fork_count() {
            return Ok(());
        }
        let reason = "this process was forked from the one that holds it";
        Err(Error::new(ErrorKind::Inherited, operation, self.label(), reason)
            .remedy("let the parent do it, or let it hand the block over"))
    }

    fn overwritten(&self, operation: &'static str) -> Error {
        let reason = "its word in the segment no longer says that this process holds it";
        Error::new(ErrorKind::Corrupted, operation, self.label(), reason)
            .remedy("look for a process that writes out of bounds, or reclaimed an owner that was alive")
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        if self.forks == fork_count() {
            // If a neighbour has overwritten the word, there is nothing that may be freed.
            self.arena.heap.free(self.place, Holding::held(self.owner), self.owner);
        }
    }
}
