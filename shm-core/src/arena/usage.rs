//! What an arena is used for, and by whom.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use super::Arena;
use super::format::{CHUNK, OwnerId};
use super::membership::FileLocks;
use super::reclaim::Item;
use crate::error::Result;

/// What [`Arena::usage`] counts. All sizes are in bytes, and blocks count with their whole capacity.
///
/// ```
/// # use shm_core::{Arena, Contents, SegmentOptions};
/// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
/// # let arena = Arena::create_in(&segment, "heap")?;
/// let _large = arena.alloc(100_000)?;
/// let usage = arena.usage()?;
/// assert_eq!((usage.blocks, usage.run_chunks, usage.slab_chunks), (1, 2, 0));
/// assert!(usage.used + usage.largest_free <= usage.total);
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What all chunks together have now.
    pub total: u64,
    /// What is in live blocks.
    pub used: u64,
    /// Number of live blocks.
    pub blocks: u64,
    /// The largest length that [`Arena::alloc`] could serve now without growing the segment.
    pub largest_free: u64,
    /// Chunks of 64 KiB that are free for anything.
    pub free_chunks: u32,
    /// Chunks that are cut into small blocks, and stay so.
    pub slab_chunks: u32,
    /// Chunks that belong to large blocks.
    pub run_chunks: u32,
    /// Everybody who owns a block or is registered, by slot.
    pub owners: Vec<OwnerUsage>,
}

/// What one owner has; part of [`Usage`].
///
/// ```
/// # use shm_core::{Arena, Contents, SegmentOptions};
/// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
/// # let arena = Arena::create_in(&segment, "heap")?;
/// let _block = arena.alloc(100)?;
/// let (me, usage) = (arena.owner()?, arena.usage()?);
/// let mine = usage.owners.iter().find(|one| one.owner == me).unwrap();
/// assert_eq!((mine.pid, mine.alive, mine.blocks), (std::process::id(), true, 1));
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerUsage {
    /// Who.
    pub owner: OwnerId,
    /// The owner's process id as it saw it itself (in its pid namespace); 0 for [`OwnerId::KEPT`] and for owners that
    /// have left.
    pub pid: u32,
    /// Whether it lives; what a dead one has is there for [`Arena::reclaim`]. [`OwnerId::KEPT`] always lives.
    pub alive: bool,
    /// Number of its live blocks.
    pub blocks: u64,
    /// Bytes of these blocks, and of chunks that it was just claiming or giving back.
    pub bytes: u64,
}

impl Arena {
    /// Counts what is in use, by owner.
    ///
    /// Reads every word of the arena without disturbing anybody; while others allocate and
    /// free, the sums may never have been true at one instant.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) if the kernel does not tell who lives.
    ///
    /// ```
    /// use shm_core::{Arena, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let arena = Arena::create_in(&segment, "heap")?;
    /// let block = arena.alloc(1000)?;
    /// let usage = arena.usage()?;
    /// assert_eq!((usage.blocks, usage.used), (1, block.capacity() as u64));
    /// assert_eq!(usage.owners[0].pid, std::process::id());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn usage(&self) -> Result<Usage> {
        self.refresh();
        let mut owned: BTreeMap<OwnerId, (u64, u64)> = BTreeMap::new();
        let (mut blocks, mut used) = (0, 0);
        let chunks = self.heap.walk(|item| {
            let (owner, count, bytes) = match item {
                Item::Live(place, holding) => (holding.owner, 1, place.capacity()),
                Item::Claimed(owner) => (owner, 0, CHUNK),
            };
            let sum = owned.entry(owner).or_default();
            *sum = (sum.0 + count, sum.1 + bytes);
            blocks += count;
            used += bytes;
        });
        for owner in self.heap.registered() {
            owned.entry(owner).or_default();
        }
        let mut owners = Vec::with_capacity(owned.len());
        for (owner, (blocks, bytes)) in owned {
            let registered = self.heap.is_registered(owner);
            let pid = owner.slot().filter(|_| registered).map_or(0, |slot| self.heap.slot(slot).pid);
            owners.push(OwnerUsage { owner, pid, alive: self.is_alive(owner)?, blocks, bytes });
        }
        owners.sort_by_key(|usage| usage.owner.slot());
        Ok(Usage {
            total: u64::from(self.heap.chunks()) * CHUNK,
            used,
            blocks,
            largest_free: chunks.largest_free,
            free_chunks: chunks.free,
            slab_chunks: chunks.slabs,
            run_chunks: chunks.runs,
            owners,
        })
    }

    /// Tells whether an owner lives: it registered, and neither left nor died. [`OwnerId::KEPT`] always lives.
    ///
    /// An owner seems alive, too, while a child that it forked still has the parent's descriptor: until the child uses the
    /// arena itself, drops it, or ends.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) if the kernel does not tell.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// let (master, worker) = (Arena::create_in(&segment, "heap")?, Arena::attach(&segment, "heap")?);
    /// let owner = worker.owner()?;
    /// assert!(master.is_alive(owner)?);
    /// drop(worker); // or its process is killed
    /// assert!(!master.is_alive(owner)?);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_alive(&self, owner: OwnerId) -> Result<bool> {
        let Some(slot) = owner.slot() else { return Ok(true) };
        if !self.heap.is_registered(owner) {
            return Ok(false);
        }
        // The segment's own description never locks a slot, so even our own slot's lock is "another's" for it.
        let locks = FileLocks { descriptor: self.segment.as_fd(), entry: self.entry };
        locks.is_held(slot).map_err(|errno| self.lock_error("look at", errno))
    }
}
