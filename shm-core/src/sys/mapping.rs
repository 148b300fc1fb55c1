//! One mapping of a segment: where it is, how long, and its return to the kernel.
//!
//! The mapping covers the whole reserved maximum of the segment from byte 0 on, also where the file is shorter yet: growth then needs no
//! second call, and no view ever moves. Bytes behind the current length must not be touched. See mmap(2).

#![allow(unsafe_code, reason = "memory is mapped, advised and unmapped here")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};

use super::Access;

/// A mapped segment. Dropping it unmaps.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Owns the addresses: the mapping itself, or a larger region with an aligned mapping inside.
    region: Option<MmapRaw>,
    /// First byte of the segment.
    base: *mut u8,
    len: usize,
    /// Whether its pages were locked or advised on.
    treated: AtomicBool,
}

// SAFETY: the mapping is plain memory that belongs to the whole process; a thread may unmap what another one mapped.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives out only an address and a length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the object from its first byte on, at an address that is a multiple of `1 << align_log2`.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        len: usize,
        align_log2: u32,
        access: Access,
    ) -> Result<Mapping, Errno> {
        let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::INVAL);
        let align = 1usize << align_log2;
        if align <= rustix::param::page_size() {
            let mut options = MmapOptions::new();
            options.len(len);
            let raw = fd.as_raw_fd();
            let region = match access {
                Access::ReadWrite => options.map_raw(raw).map_err(errno)?,
                Access::ReadOnly => options.map_raw_read_only(raw).map_err(errno)?,
                // SAFETY: the danger of a file mapping is that others change the bytes under a reference; nobody makes a reference
                // here, only the address is kept, and this crate's handles answer for what they do with it.
                Access::CopyOnWrite => unsafe { options.map_copy(raw).map_err(errno)?.into() },
            };
            let base = region.as_mut_ptr();
            return Ok(Mapping { region: Some(region), base, len, treated: AtomicBool::new(false) });
        }
        // Reserve more addresses than needed, then put the mapping on the aligned place inside them.
        let total = len.checked_add(align).ok_or(Errno::NOMEM)?;
        let region: MmapRaw =
            MmapOptions::new().len(total).no_reserve_swap().map_anon().map_err(errno)?.into();
        let skip = region.as_mut_ptr().align_offset(align);
        // SAFETY: `skip` is below `align`, so the result lies inside the region of `len + align` bytes.
        let base = unsafe { region.as_mut_ptr().add(skip) };
        let (prot, flags) = match access {
            Access::ReadWrite => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
            Access::ReadOnly => (ProtFlags::READ, MapFlags::SHARED),
            Access::CopyOnWrite => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE),
        };
        // SAFETY: the range from `base` on for `len` bytes lies in the region that was just reserved, which nothing else uses, so
        // replacing what is mapped there takes away nobody's memory; the region's drop unmaps it together with the rest.
        unsafe { mm::mmap(base.cast(), len, prot, flags | MapFlags::FIXED, fd.as_fd(), 0)? };
        Ok(Mapping { region: Some(region), base, len, treated: AtomicBool::new(false) })
    }

    /// First byte of the segment.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    /// Mapped bytes: the segment's reserved maximum.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Tells whether it is as it was made: nothing was locked in memory or advised.
    pub(crate) fn is_plain(&self) -> bool {
        !self.treated.load(Ordering::Relaxed)
    }

    /// Leaves the memory mapped for the rest of the process.
    pub(crate) fn leak(mut self) {
        std::mem::forget(self.region.take());
    }

    /// The pages that hold the bytes `from..to`, as the kernel's calls want them.
    fn pages(&self, from: usize, to: usize) -> (*mut core::ffi::c_void, usize) {
        let page = rustix::param::page_size();
        let (from, to) = (from.min(self.len), to.min(self.len));
        let start = from / page * page;
        // SAFETY: `start` is at most the length of the mapping.
        (unsafe { self.base.add(start) }.cast(), to.saturating_sub(start))
    }

    /// Writes changed pages back to the file; see msync(2).
    pub(crate) fn sync(&self, from: usize, to: usize, flags: mm::MsyncFlags) -> Result<(), Errno> {
        let (start, len) = self.pages(from, to);
        // SAFETY: the range lies within this mapping. MS_INVALIDATE drops no changes of a shared mapping on Linux.
        unsafe { mm::msync(start, len, flags) }
    }

    /// Keeps the pages in memory; see mlock(2).
    pub(crate) fn lock_memory(&self, from: usize, to: usize) -> Result<(), Errno> {
        self.treated.store(true, Ordering::Relaxed);
        let (start, len) = self.pages(from, to);
        // SAFETY: the range lies within this mapping.
        unsafe { mm::mlock(start, len) }
    }

    /// Undoes [`lock_memory`](Mapping::lock_memory).
    pub(crate) fn unlock_memory(&self, from: usize, to: usize) -> Result<(), Errno> {
        let (start, len) = self.pages(from, to);
        // SAFETY: the range lies within this mapping.
        unsafe { mm::munlock(start, len) }
    }

    /// Tells the kernel how the pages will be used; see madvise(2). Only advice that changes no content may be given.
    pub(crate) fn advise(&self, from: usize, to: usize, advice: mm::Advice) -> Result<(), Errno> {
        self.treated.store(true, Ordering::Relaxed);
        let (start, len) = self.pages(from, to);
        // SAFETY: the range lies within this mapping, and the callers give only advice that keeps the bytes as they are.
        unsafe { mm::madvise(start, len, advice) }
    }
}
