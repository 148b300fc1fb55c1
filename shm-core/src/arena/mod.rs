//! An allocator inside one segment: many small objects in one mapping, known by offsets, safe against killed processes.
//!
//! Memory is handed out in chunks of 64 KiB. Small blocks (up to 32 640 bytes) come from *slabs*, chunks cut into blocks
//! of one size; larger ones are *runs* of chunks. Everything that says who owns what is a 64-bit word in the segment,
//! and every claim is **one compare-exchange that records the owner together with the claim**. So SIGKILL between any
//! two instructions leaves each block free or owned by somebody with a name, and what the dead own can be found and freed.
//! There is no lock, no log and no repair; nobody waits for anybody.
//!
//! | file | idea |
//! |---|---|
//! | `format.rs`, `class.rs` | words and geometry, size classes: FORMAT.md, section 6, as pure arithmetic |
//! | `attach.rs` | from an entry of a segment to an arena |
//! | `region.rs` | offsets become pointers, within bounds |
//! | `heap.rs`, `slab.rs`, `run.rs` | claiming and freeing |
//! | `owner.rs`, `membership.rs` | who is who and who is dead; this process among them |
//! | `reclaim.rs`, `usage.rs` | freeing what the dead left; counting |
//! | `block.rs` | handles |
//! | `step.rs`, `tests/` | deaths and stalls at every store |
//!
//! A live block is either *held* (there is exactly one handle, in its owner's process) or *parked* (only its offset is
//! known). Who changes which word:
//!
//! | word | from | to | by |
//! |---|---|---|---|
//! | block | free | held by me | anybody |
//! | block, head | held by me | free (a head: tail of mine); parked by anybody | me |
//! | block, head | parked by X | held by me | whoever names X in `adopt` |
//! | block, head | of a dead owner | free; held by me | anybody who found the owner dead |
//! | chunk | free | tail of mine; preparing by me | anybody |
//! | chunk | tail of mine | head held by me; free | me |
//! | chunk | preparing by me | slab | me |
//! | chunk | slab, all of its blocks held by me | preparing by me, next epoch | me |
//! | chunk | tail of X, not covered; preparing by X | free; preparing by me | anybody who found X dead |
//! | owner slot | anything | anything | the holder of the slot's lock |
//!
//! The design is a much simplified relative of lock-free allocators (Michael, "Scalable Lock-Free Dynamic Memory
//! Allocation", 2004), with an owner in every word in place of counters, because a dead process cannot count down.

#![allow(unsafe_code, reason = "fills blocks with zeros, tells the region how far it exists")]

mod attach;
mod block;
mod class;
mod format;
mod heap;
mod membership;
mod owner;
mod reclaim;
mod region;
mod run;
mod slab;
mod step;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::Segment;
pub use block::Block;
pub use format::OwnerId;
use format::{CHUNK, Holding};
use heap::Heap;
use membership::{FileLocks, Membership, Registration};
use owner::Dead;
pub use reclaim::Reclaimed;
pub use usage::{OwnerUsage, Usage};

/// How often memory is looked for again after growing: others may be faster than we each time.
const ATTEMPTS: u32 = 16;

/// An arena of small and large objects in one entry of a [`Segment`].
///
/// [`alloc`](Arena::alloc) gives out [`Block`]s. References between objects, and from other segments, are offsets. Every handle of an arena
/// that allocates is an *owner* of its own, 1 024 of them at most at a time. All methods may be called from many threads at
/// once; none waits.
///
/// **Death**: blocks of a killed process stay allocated until anybody calls [`reclaim`](Arena::reclaim); all others are unharmed,
/// whatever the process was doing. **Drop**: the owner leaves; blocks that it parked or forgot are then there for `reclaim`, too.
/// **Fork**: a child uses its copy of the handle as an owner of its own, from its first allocation on. As long as it has done nothing with
/// the arena, its copy makes the parent seem alive to [`reclaim`](Arena::reclaim), should the parent die.
///
/// A neighbour that overwrites the arena's words can make it lose memory or give the same bytes to two, but never bytes
/// outside of the arena, and it cannot make a method panic or loop for ever.
///
/// ```
/// use shm_core::{Arena, Contents, Segment, SegmentOptions};
/// # let name = format!("doc-arena-{}", std::process::id());
/// let options = SegmentOptions::new().reserve_max(1 << 30); // begins with 1 MiB, may grow to 1 GiB
/// let segment = options.create(name.as_str(), &Contents::new().arena("heap", 1 << 20)?)?;
/// let arena = Arena::create_in(&segment, "heap")?;
/// let mut block = arena.alloc(11)?;
/// block.write(0, b"hello there")?;
/// let offset = block.keep()?;
///
/// // In another process:
/// let segment = Segment::attach(name.as_str())?;
/// let arena = Arena::attach(&segment, "heap")?;
/// let block = arena.adopt(offset, shm_core::OwnerId::KEPT)?;
/// assert_eq!(&block.to_vec()[..11], b"hello there");
/// # shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct Arena {
    heap: Heap,
    membership: Membership,
    /// Number of the entry in the segment's table.
    entry: usize,
    /// Offset of the arena's first byte in the segment.
    origin: u64,
    /// Keeps the mapping that the heap works on.
    segment: Segment,
}

impl Arena {
    /// Returns the segment that the arena lies in.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// assert_eq!(arena.segment().entries()[0].name(), "heap");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Returns who this handle is, after registering if it has not done so yet in this process.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] if 1 024 owners live, [`ErrorKind::Unsupported`] without `/proc`,
    /// [`ErrorKind::System`] if the kernel refuses the lock.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let me = arena.owner()?; // what others need to hand blocks over to us
    /// assert_eq!(arena.owner()?, me);
    /// assert!(arena.is_alive(me)?);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn owner(&self) -> Result<OwnerId> {
        Ok(self.registration("register in")?.owner)
    }

    /// Allocates a block of `len` bytes. Its bytes are whatever the memory held before.
    ///
    /// A block of 0 bytes is a block like any other, with an offset of its own. Up to 32 640 bytes a block begins at a multiple of 64
    /// and above 128 bytes has at most half more room than asked for; above 32 640, it is a whole number of chunks of 64 KiB and begins at a page.
    /// When nothing fits, the segment grows if it can, by half of what there is or by what is needed if there is no room for that.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfSpace`] with the largest length that would fit; otherwise as [`owner`](Arena::owner).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, ErrorKind, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let arena = Arena::create_in(&segment, "heap")?;
    /// assert_eq!(arena.alloc(100)?.capacity(), 128);
    /// assert_eq!(arena.alloc(2 << 20).unwrap_err().kind(), ErrorKind::OutOfSpace);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn alloc(&self, len: usize) -> Result<Block<'_>> {
        let registration = self.registration("allocate in")?;
        match self.heap.claim(len as u64, registration.owner) {
            Some(place) => Ok(Block::new(self, place, registration, len)),
            None => self.alloc_growing(len, registration),
        }
    }

    /// Allocates a block as [`alloc`](Arena::alloc) does, and fills it with zeros.
    ///
    /// # Errors
    /// As [`alloc`](Arena::alloc).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// arena.alloc(4)?.write(0, b"used")?;
    /// assert_eq!(arena.alloc_zeroed(4)?.to_vec(), [0; 4]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn alloc_zeroed(&self, len: usize) -> Result<Block<'_>> {
        let block = self.alloc(len)?;
        // SAFETY: the block is ours alone and so long; the bytes are no Rust object.
        unsafe { block.as_ptr().write_bytes(0, block.capacity()) };
        Ok(block)
    }

    /// Makes a handle of the parked block at this offset in the segment that belongs to `from`, and makes it ours.
    ///
    /// `from` is [`OwnerId::KEPT`] for what was [kept](Block::keep), our own name for what was parked or handed over to us,
    /// and may be anybody else whose block we know we may take, such as a worker that has ended. Of several that
    /// try at the same time one succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no live block begins there, [`ErrorKind::Busy`] if it belongs to somebody else or has a
    /// handle; otherwise as [`owner`](Arena::owner). Nothing is changed then.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, ErrorKind, OwnerId, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let offset = arena.alloc(100)?.keep()?;
    /// let block = arena.adopt(offset, OwnerId::KEPT)?;
    /// assert_eq!(arena.adopt(offset, OwnerId::KEPT).unwrap_err().kind(), ErrorKind::Busy);
    /// assert_eq!(arena.adopt(offset + 64, OwnerId::KEPT).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn adopt(&self, offset: u64, from: OwnerId) -> Result<Block<'_>> {
        let registration = self.registration("adopt from")?;
        let nothing_there = || {
            let subject = format!("the block at {offset} in {}", self.label());
            Error::new(ErrorKind::NotFound, "adopt", subject, "no live block begins there")
        };
        let at = offset.checked_sub(self.origin).ok_or_else(nothing_there)?;
        self.refresh();
        let (place, holding) = self.heap.locate(at).ok_or_else(nothing_there)?;
        let to = Holding::held(registration.owner);
        if holding == Holding::parked(from) && self.heap.reassign(place, holding, to) {
            return Ok(Block::new(self, place, registration, place.capacity() as usize));
        }
        let subject = format!("the block at {offset} in {}", self.label());
        let reason = match holding {
            Holding { owner, .. } if owner != from => format!("it belongs to {owner}, not to {from}"),
            _ => format!("{from} has a handle to it"),
        };
        Err(Error::new(ErrorKind::Busy, "adopt", subject, reason).remedy("let its owner hand it over"))
    }

    /// Returns the address of `len` bytes at this offset in the segment, if they lie in the part of the arena that blocks come from.
    ///
    /// It is for reading objects that others own, by the rules of the data structure that they belong to; whether a block is there is not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if they do not lie there.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// # let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc(100)?;
    /// assert_eq!(arena.pointer(block.offset(), 100)?, block.as_ptr());
    /// assert!(arena.pointer(0, 100).is_err());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn pointer(&self, offset: u64, len: usize) -> Result<*mut u8> {
        let inside = |at: u64| {
            let bytes = self.heap.region.bytes(at, len as u64)?;
            (at >= self.heap.geometry.chunk_area).then_some(bytes.as_ptr())
        };
        let at = offset.checked_sub(self.origin);
        if let Some(pointer) = at.and_then(inside) {
            return Ok(pointer);
        }
        self.refresh();
        at.and_then(inside).ok_or_else(|| {
            let reason = format!("{len} bytes at {offset} are not inside of it");
            Error::new(ErrorKind::InvalidArgument, "read from", self.label(), reason)
        })
    }

    /// Frees everything that belongs to owners that are dead or have left.
    ///
    /// Reads every word of the arena and asks the kernel about every registered owner. Several may do
    /// it at a time, and others may allocate and free meanwhile. Killed on the way, it leaves the rest for the next one.
    ///
    /// # Errors
    /// As [`owner`](Arena::owner).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let (survivor, other) = (Arena::create_in(&segment, "heap")?, Arena::attach(&segment, "heap")?);
    /// std::mem::forget(other.alloc(1000)?);
    /// assert_eq!(survivor.reclaim()?.blocks, 0);
    /// drop(other); // or its process is killed
    /// assert_eq!(survivor.reclaim()?.blocks, 1);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn reclaim(&self) -> Result<Reclaimed> {
        let registration = self.registration("reclaim in")?;
        let locks = registration.locks(self.entry);
        let dead = self.heap.find_dead(&locks, registration.owner);
        let dead = dead.map_err(|errno| self.lock_error("reclaim in", errno))?;
        // Not before: the dead may have grown the segment.
        self.refresh();
        let freed = self.heap.free_all_of(&dead, registration.owner);
        self.heap.settle(dead, &locks, true);
        Ok(freed)
    }

    /// Frees everything that belongs to one owner, without asking whether it is dead.
    ///
    /// For those who know better than the kernel's books, such as a master that has reaped its worker while another child still has
    /// the worker's descriptors.
    ///
    /// # Safety
    /// The process that registered as `owner` has ended, or will never again use its blocks or this arena through that
    /// handle. Otherwise its blocks would be given to others while it writes to them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for ourselves and for [`OwnerId::KEPT`]; otherwise as [`owner`](Arena::owner).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let (master, worker) = (Arena::create_in(&segment, "heap")?, Arena::attach(&segment, "heap")?);
    /// let owner = worker.owner()?;
    /// std::mem::forget(worker.alloc(1000)?);
    /// drop(worker); // or its process was killed and waited for
    /// // SAFETY: that handle is gone.
    /// assert_eq!(unsafe { master.reclaim_owner(owner) }?.blocks, 1);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub unsafe fn reclaim_owner(&self, owner: OwnerId) -> Result<Reclaimed> {
        let registration = self.registration("reclaim in")?;
        if owner == registration.owner || owner == OwnerId::KEPT {
            let reason = format!("{owner} is alive");
            return Err(Error::new(ErrorKind::InvalidArgument, "reclaim in", self.label(), reason));
        }
        self.refresh();
        let dead = Dead::only(owner);
        let freed = self.heap.free_all_of(&dead, registration.owner);
        self.heap.settle(dead, &registration.locks(self.entry), true);
        Ok(freed)
    }

    fn label(&self) -> Label<'_> {
        Label(&self.segment, self.entry)
    }

    fn lock_error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::system(operation, self.label(), "fcntl (lock of an owner slot)", errno)
    }

    /// Takes notice if the segment has grown; says whether it had.
    fn refresh(&self) -> bool {
        let before = self.heap.region.len();
        let entry = &self.segment.entries()[self.entry];
        if entry.grows() {
            let len = (self.segment.len() as u64).saturating_sub(self.origin);
            // SAFETY: the kernel has confirmed that the segment's bytes exist up to this length (`Segment::len`).
            unsafe { self.heap.region.extend(len) };
        }
        self.heap.region.len() > before
    }

    #[inline]
    fn registration(&self, operation: &'static str) -> Result<&Registration> {
        match self.membership.current() {
            Some(registration) => Ok(registration),
            None => self.register(operation),
        }
    }

    #[cold]
    fn register(&self, operation: &'static str) -> Result<&Registration> {
        loop {
            let _no_child_gets_the_descriptor = crate::segment::registry();
            let descriptor = self.segment.fresh_descriptor().map_err(|error| error.during(operation))?;
            let locks = FileLocks { descriptor: std::os::fd::AsFd::as_fd(&descriptor), entry: self.entry };
            let registered = self.heap.register(&locks, std::process::id());
            let owner = registered.map_err(|errno| self.lock_error(operation, errno))?.ok_or_else(|| {
                let reason = format!("all of its {} owner slots are taken by the living", format::SLOTS);
                Error::new(ErrorKind::LimitExceeded, operation, self.label(), reason)
                    .remedy("drop handles of the arena in other processes")
            })?;
            if let Err(_descriptor) = self.membership.note(owner, descriptor) {
                // Another thread has registered; the slot is given back before its lock goes with the descriptor.
                self.heap.forget(owner);
            }
            if let Some(registration) = self.membership.current() {
                return Ok(registration);
            }
        }
    }

    #[cold]
    fn alloc_growing(&self, len: usize, registration: &Registration) -> Result<Block<'_>> {
        let mut growing = None;
        for _ in 0..ATTEMPTS {
            if !self.refresh() {
                match self.grow_for(len as u64) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        growing = Some(error);
                        break;
                    }
                }
                self.refresh();
            }
            if let Some(place) = self.heap.claim(len as u64, registration.owner) {
                return Ok(Block::new(self, place, registration, len));
            }
        }
        let chunks = self.heap.walk(|_| {});
        let reason = format!(
            "{len} bytes are asked for, and the largest free piece of its {} bytes has {}{}",
            u64::from(self.heap.chunks()) * CHUNK,
            chunks.largest_free,
            growing.map_or(String::new(), |error| format!("; it did not grow: {error}")),
        );
        let remedy = "free blocks, reclaim those of dead processes (Arena::reclaim), or create the segment larger or with \
                      a larger reserved maximum (reserve_max)";
        Err(Error::new(ErrorKind::OutOfSpace, "allocate in", self.label(), reason).remedy(remedy))
    }

    /// Grows the segment so that `len` more bytes fit; `false` if it may not.
    fn grow_for(&self, len: u64) -> Result<bool> {
        let geometry = &self.heap.geometry;
        let chunks = u64::from(self.heap.chunks());
        // A run may begin with the free chunks that are the last ones now.
        let kept = chunks - u64::from(self.heap.free_at_end());
        let needed = kept.saturating_add(len.div_ceil(CHUNK)).max(chunks + 1);
        if !self.segment.entries()[self.entry].grows() || needed > u64::from(geometry.max_chunks) {
            return Ok(false);
        }
        let grow_to = |chunks: u64| {
            let end = geometry.chunk_at(chunks.min(u64::from(geometry.max_chunks)) as u32);
            self.segment.grow((self.origin + end) as usize)
        };
        match grow_to(needed.max(chunks + chunks / 2)) {
            Err(error) if error.kind() == ErrorKind::OutOfSpace => grow_to(needed)?,
            grown => grown?,
        }
        Ok(true)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(registration) = self.membership.current() {
            self.heap.forget(registration.owner);
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("in", &format_args!("{}", self.label()))
            .field("owner", &self.membership.current().map(|registration| registration.owner))
            .finish_non_exhaustive()
    }
}

/// What messages call an arena.
#[derive(Clone, Copy)]
struct Label<'a>(&'a Segment, usize);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the arena {:?} of {}", self.0.entries()[self.1].name(), self.0.label())
    }
}
