//! From an entry of a segment to an arena: creating, attaching, and what can be wrong with either.

#![allow(unsafe_code, reason = "takes an entry of a segment as the region of an arena")]

use std::ptr::NonNull;

use super::format::{Geometry, HeaderFault, MIN_LEN};
use super::heap::Heap;
use super::membership::Membership;
use super::region::Region;
use super::{Arena, Label};
use crate::contents::EntryKind;
use crate::error::{Error, ErrorKind, Result};
use crate::segment::Segment;
use crate::sys::Access;

impl Arena {
    /// Bytes that an entry needs so that an arena with one chunk of 64 KiB fits into it.
    pub const MIN_LEN: usize = MIN_LEN as usize;

    /// Makes the arena in an entry of kind arena whose bytes are still zero, and attaches it.
    ///
    /// A creator that is killed half-way leaves an entry in which the arena can still be created. If the segment can grow and the entry is too
    /// short for the arena's tables, the segment grows: they take 8 bytes for each 64 KiB of the *maximum*.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the arena exists, [`ErrorKind::NoSuchEntry`], [`ErrorKind::InvalidArgument`] if the entry is no arena or
    /// shorter than [`MIN_LEN`](Arena::MIN_LEN), [`ErrorKind::ReadOnly`] if the segment is not attached for shared writing, and what
    /// [`Segment::grow`] says.
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, ErrorKind, SegmentOptions};
    /// let contents = Contents::new().arena("heap", Arena::MIN_LEN)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let arena = Arena::create_in(&segment, "heap")?;
    /// assert_eq!(arena.alloc(100)?.len(), 100);
    /// assert_eq!(Arena::create_in(&segment, "heap").unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create_in(segment: &Segment, entry: &str) -> Result<Arena> {
        let found = Found::look("create", segment, entry)?;
        if found.existing(segment) < found.geometry.chunk_area {
            let first_chunk = found.origin + found.geometry.chunk_at(1);
            segment.grow(first_chunk as usize).map_err(|error| error.during("create an arena in"))?;
        }
        let heap = Heap::create(found.region(segment), found.geometry).ok_or_else(|| {
            let reason = "its first bytes are not zero: it has an arena already";
            Error::new(ErrorKind::AlreadyExists, "create", Label(segment, found.entry), reason)
                .remedy("attach it")
        })?;
        Ok(found.arena(segment, heap))
    }

    /// Attaches an arena that somebody has created.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the entry is still empty, [`ErrorKind::UnsupportedVersion`], [`ErrorKind::Corrupted`] with the field that is wrong; otherwise as
    /// [`create_in`](Arena::create_in).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, ErrorKind, OwnerId, SegmentOptions};
    /// # let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// assert_eq!(Arena::attach(&segment, "heap").unwrap_err().kind(), ErrorKind::NotFound);
    /// let creator = Arena::create_in(&segment, "heap")?;
    /// let other = Arena::attach(&segment, "heap")?; // in another process, usually
    /// let offset = creator.alloc(5)?.keep()?;
    /// assert_eq!(other.adopt(offset, OwnerId::KEPT)?.offset(), offset);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(segment: &Segment, entry: &str) -> Result<Arena> {
        let found = Found::look("attach", segment, entry)?;
        let label = Label(segment, found.entry);
        let corrupted = |reason| Error::new(ErrorKind::Corrupted, "attach", label, reason);
        if found.existing(segment) < found.geometry.chunk_area {
            // The creator grows the segment before it writes the header.
            return Err(Error::new(ErrorKind::NotFound, "attach", label, "its tables do not exist yet")
                .remedy("create it with Arena::create_in"));
        }
        let heap = Heap::attach(found.region(segment), found.geometry).map_err(|fault| match fault {
            HeaderFault::Magic if found.region(segment).word(0).load() == 0 => {
                Error::new(ErrorKind::NotFound, "attach", label, "nobody has created it yet")
                    .remedy("create it with Arena::create_in")
            }
            HeaderFault::Magic => corrupted("it does not begin as an arena does".to_owned()),
            HeaderFault::Version(version) => Error::new(
                ErrorKind::UnsupportedVersion,
                "attach",
                label,
                format!("its format has version {version}, and this program knows version 1"),
            )
            .remedy("use a newer version of this library"),
            HeaderFault::Field(field) => {
                corrupted(format!("the header field at byte {} contradicts its length", 8 * field))
            }
        })?;
        Ok(found.arena(segment, heap))
    }

    /// Attaches the arena in an entry and creates it first if nobody has; says whether it did. Free of races.
    ///
    /// # Errors
    /// As [`create_in`](Arena::create_in) and [`attach`](Arena::attach).
    ///
    /// ```
    /// # use shm_core::{Arena, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().arena("heap", 1 << 20)?)?;
    /// assert!(Arena::create_or_attach_in(&segment, "heap")?.1);
    /// assert!(!Arena::create_or_attach_in(&segment, "heap")?.1);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create_or_attach_in(segment: &Segment, entry: &str) -> Result<(Arena, bool)> {
        match Self::create_in(segment, entry) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Ok((Self::attach(segment, entry)?, false))
            }
            created => Ok((created?, true)),
        }
    }
}

/// An entry that may hold an arena.
struct Found {
    entry: usize,
    origin: u64,
    geometry: Geometry,
}

impl Found {
    fn look(operation: &'static str, segment: &Segment, name: &str) -> Result<Self> {
        let index = segment.entry_index(name)?;
        let entry = &segment.entries()[index];
        let label = Label(segment, index);
        if *entry.kind() != EntryKind::Arena {
            let reason = "the entry is not of kind arena";
            return Err(Error::new(ErrorKind::InvalidArgument, operation, label, reason)
                .remedy("plan it with Contents::arena"));
        }
        if !entry.offset().is_multiple_of(4096) {
            let reason = format!("it begins at {}, which is no multiple of 4096", entry.offset());
            return Err(Error::new(ErrorKind::Corrupted, operation, label, reason));
        }
        if segment.access() != Access::ReadWrite {
            let reason = "the segment is not attached for writing what everybody sees";
            return Err(Error::new(ErrorKind::ReadOnly, operation, label, reason)
                .remedy("attach it with Access::ReadWrite"));
        }
        let end = if entry.grows() { segment.capacity() } else { entry.offset() + entry.len() };
        let max_len = (end - entry.offset()) as u64;
        let geometry = Geometry::for_max_len(max_len).ok_or_else(|| {
            let reason = format!("{max_len} bytes are less than the {MIN_LEN} that an arena needs");
            Error::new(ErrorKind::InvalidArgument, operation, label, reason).remedy("plan it larger")
        })?;
        Ok(Self { entry: index, origin: entry.offset() as u64, geometry })
    }

    /// Bytes of the entry that exist now.
    fn existing(&self, segment: &Segment) -> u64 {
        let entry = &segment.entries()[self.entry];
        let end = if entry.grows() { segment.len() } else { entry.offset() + entry.len() };
        end as u64 - self.origin
    }

    fn region(&self, segment: &Segment) -> Region {
        let start = segment.as_ptr().wrapping_add(self.origin as usize);
        let base = NonNull::new(start).expect("a mapping is never at address 0");
        // SAFETY: mappings begin at a page and the entry at a multiple of 4 096; the segment maps its whole capacity, which
        // holds the entry's maximum, for as long as a handle of it lives, and whoever makes a heap of the region keeps
        // one beside it (`Found::arena`); the kernel has confirmed that its bytes exist up to its length. Nobody makes references into an arena.
        unsafe { Region::new(base, self.existing(segment), self.geometry.max_len) }
    }

    fn arena(self, segment: &Segment, heap: Heap) -> Arena {
        let Self { entry, origin, .. } = self;
        Arena { heap, membership: Membership::new(), entry, origin, segment: segment.clone() }
    }
}
