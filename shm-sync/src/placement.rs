#![allow(unsafe_code, reason = "anonymous pages are mapped and unmapped here")]
//! Where a primitive's bytes are, and what keeps them mapped.
//!
//! Foreign memory, whose owner has promised to keep it, or pages of our own, which every handle shares. This file knows nothing about what
//! lies in the bytes.

use crate::registry;
use core::ptr::{self, NonNull};
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::sync::Arc;

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct Placement {
    address: NonNull<u8>,
    home: Home,
}

/// What keeps the bytes mapped.
#[derive(Clone)]
enum Home {
    /// The caller's promise.
    Foreign,
    /// Our own pages, unmapped with the last handle.
    Pages { _pages: Arc<Pages> },
}

impl Placement {
    /// Memory that somebody else keeps.
    pub(crate) fn foreign(address: NonNull<u8>) -> Self {
        Self { address, home: Home::Foreign }
    }

    /// New zero pages with room for `len` bytes, shared with the children that this process forks.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let pages = Arc::new(Pages::map(len)?);
        Ok(Self { address: pages.start, home: Home::Pages { _pages: pages } })
    }

    #[inline(always)]
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// The name of the object, for messages.
    pub(crate) fn name(&self) -> Option<&str> {
        match self.home {
            Home::Foreign | Home::Pages { .. } => None,
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
