//! A page of shared words for the tests of this crate.
#![allow(unsafe_code, reason = "mmap")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const PAGE_BYTES: usize = 4096;

/// One page of 64-bit words, shared with forked children or with whoever maps the same file.
pub(crate) struct Words {
    start: *mut u64,
}

impl Words {
    pub(crate) fn anonymous() -> Self {
        Self::map(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
    }

    pub(crate) fn of_file(file: &File) -> Self {
        Self::map(libc::MAP_SHARED, file.as_raw_fd())
    }

    fn map(flags: c_int, fd: c_int) -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), PAGE_BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0)
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self { start: start.cast() }
    }

    pub(crate) fn start(&self) -> *const u64 {
        self.start
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < PAGE_BYTES / 8);
        // SAFETY: the word lies in the mapping, which lives as long as `self`, is aligned, and is only reached
        // by atomics.
        unsafe { AtomicU64::from_ptr(self.start.add(index)) }
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::SeqCst);
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, has this length, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.cast(), PAGE_BYTES) };
    }
}
