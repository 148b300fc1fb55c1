//! Where a primitive's bytes are, and what keeps them mapped.
//!
//! Foreign memory, whose owner has promised to keep it; an entry of a segment; or pages of our own, which every handle shares. This file
//! knows nothing about what lies in the bytes.

#![allow(unsafe_code, reason = "anonymous pages are mapped and unmapped here")]

use crate::base::registry;
use crate::error::{Error, ErrorKind};
use crate::handle::Kind;
use core::ptr::{self, NonNull};
use rustix::mm::{MapFlags, ProtFlags};
use shm_core::{Access, EntryKind, Segment};
use std::io;
use std::sync::Arc;

/// See the head of this file.
#[derive(Clone)]
pub struct Placement {
    address: NonNull<u8>,
    len: usize,
    home: Home,
}

/// What keeps the bytes mapped.
#[derive(Clone)]
enum Home {
    /// The caller's promise.
    Foreign,
    /// Our own pages, unmapped with the last handle.
    Pages { _pages: Arc<Pages> },
    /// A segment.
    Segment { name: Arc<str>, _segment: Segment },
}

impl Placement {
    /// Memory that somebody else keeps.
    pub(crate) fn foreign(address: NonNull<u8>, len: usize) -> Self {
        Self { address, len, home: Home::Foreign }
    }

    /// New zero pages with room for `len` bytes, shared with the children that this process forks.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let pages = Arc::new(Pages::map(len)?);
        Ok(Self { address: pages.start, len, home: Home::Pages { _pages: pages } })
    }

    /// The entry `entry` of a segment, which has to be writable and shared, and a primitive of this kind.
    pub(crate) fn in_segment(segment: &Segment, entry: &str, kind: Kind, verb: &str) -> Result<Self, Error> {
        let name = match entry {
            "" => segment.label().to_string(),
            _ => format!("{entry:?} in {}", segment.label()),
        };
        let error = |problem| Error::new(kind.operation(verb), problem).on(Some(&name));
        let found = segment.entry(entry).map_err(|below| error(ErrorKind::Segment).caused_by(below))?;
        if *found.kind() != EntryKind::Primitive(kind.code.into()) {
            return Err(error(ErrorKind::Mismatch).detail(format!("the entry is {:?}", found.kind())));
        }
        if segment.access() != Access::ReadWrite {
            return Err(error(ErrorKind::NotShared));
        }
        // The kernel walks through held locks when their thread dies: their mapping has to stay.
        shm_core::set_unmap_veto(registry::holds_lock_in);
        // SAFETY: the entry lies within the segment (checked by shm-core when the table of contents was read), hence within one mapping.
        let address = unsafe { segment.as_ptr().add(found.offset()) };
        let address = NonNull::new(address).ok_or_else(|| error(ErrorKind::Segment))?;
        Ok(Self {
            address,
            len: found.len(),
            home: Home::Segment { name: name.into(), _segment: segment.clone() },
        })
    }

    #[inline(always)]
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The name of the object, for messages.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.home {
            Home::Foreign | Home::Pages { .. } => None,
            Home::Segment { name, .. } => Some(name),
        }
    }
}

/// A shared anonymous mapping.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a range of addresses; what is read and written there is the business of the primitives, which are made for several threads.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    fn map(len: usize) -> io::Result<Self> {
        // Populated now, so that a lack of memory is an error here and not a signal later.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let start = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // A guard that was forgotten leaves its lock in a thread's robust list: then the pages have to stay.
        if !registry::holds_lock_in(self.start.as_ptr(), self.len) {
            // SAFETY: the range is the mapping made in `map`; the last handle is gone and no lock in it is held, so nobody uses it.
            let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}
