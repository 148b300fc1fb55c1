//! This process's place among the owners: registered at the first need, and anew in a forked child.
//!
//! A registration keeps a descriptor with an open file description of its own; the lock on the owner's slot hangs on
//! it. A child inherits the descriptor, and as long as it keeps it open the kernel takes the parent for alive; so the
//! child closes it when it registers itself, drops the arena, or ends. Registrations of former lives stay in the list
//! until the arena is dropped, because another thread may just be looking at one.

#![allow(
    unsafe_code,
    reason = "a list that threads read while one of them pushes, without a lock that a fork could freeze"
)]

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use rustix::io::Errno;

use super::format::OwnerId;
use super::owner::SlotLocks;
use crate::process::fork_count;
use crate::sys::locks::{self, Mode, arena_slot};

/// An owner as one process registered it.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) owner: OwnerId,
    /// Fork count of the process that registered.
    pub(super) forks: u64,
    descriptor: AtomicI32,
    older: *mut Registration,
}

impl Registration {
    /// The descriptor that the slot's lock hangs on; only for registrations of this life.
    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the number came from an OwnedFd and stays open until `close` takes it away, which happens only to
        // registrations of a former life (whose descriptor nobody asks for) and when the list is dropped.
        unsafe { BorrowedFd::borrow_raw(self.descriptor.load(Ordering::Relaxed)) }
    }

    /// The locks of this registration's description, for the arena in this table entry.
    pub(super) fn locks(&self, entry: usize) -> FileLocks<'_> {
        FileLocks { descriptor: self.descriptor(), entry }
    }

    fn close(&self) {
        let number: RawFd = self.descriptor.swap(-1, Ordering::Relaxed);
        if number >= 0 {
            // SAFETY: the number came from an OwnedFd, and the swap gave it to nobody else.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
}

/// The registrations of this process and of those it was forked from, the newest first.
#[derive(Debug)]
pub(super) struct Membership {
    newest: AtomicPtr<Registration>,
}

// SAFETY: the list owns its registrations, which consist of numbers and of the link to the next, fixed before publication.
unsafe impl Send for Membership {}
// SAFETY: as above; what changes is atomic.
unsafe impl Sync for Membership {}

impl Membership {
    pub(super) fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    fn newest(&self) -> Option<&Registration> {
        // SAFETY: null or a registration in the list, complete before it was published (Release, Acquire) and freed only
        // by `drop`, which has the list for itself.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    /// The registration of this process, if it has one.
    #[inline]
    pub(super) fn current(&self) -> Option<&Registration> {
        self.newest().filter(|registration| registration.forks == fork_count())
    }

    /// Notes that this process has registered as `owner`, on this descriptor. If another thread was faster, gives the
    /// descriptor back.
    pub(super) fn note(&self, owner: OwnerId, descriptor: OwnedFd) -> Result<(), OwnedFd> {
        let forks = fork_count();
        let older = self.newest.load(Ordering::Acquire);
        // SAFETY: as in `newest`.
        if unsafe { older.as_ref() }.is_some_and(|older| older.forks == forks) {
            return Err(descriptor);
        }
        let descriptor = AtomicI32::new(descriptor.into_raw_fd());
        let new = Box::into_raw(Box::new(Registration { owner, forks, descriptor, older }));
        if self.newest.compare_exchange(older, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it came from `into_raw` just now and was not published.
            let new = unsafe { Box::from_raw(new) };
            // SAFETY: the number came from an OwnedFd just now, and nobody else has seen it.
            return Err(unsafe { OwnedFd::from_raw_fd(new.descriptor.load(Ordering::Relaxed)) });
        }
        // SAFETY: as in `newest`.
        if let Some(older) = unsafe { older.as_ref() } {
            older.close();
        }
        Ok(())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut next = *self.newest.get_mut();
        while !next.is_null() {
            // SAFETY: every link comes from `into_raw`, and the list is ours alone now.
            let registration = unsafe { Box::from_raw(next) };
            registration.close();
            next = registration.older;
        }
    }
}

/// Slot locks as the kernel keeps them on a file.
pub(super) struct FileLocks<'a> {
    pub(super) descriptor: BorrowedFd<'a>,
    pub(super) entry: usize,
}

impl FileLocks<'_> {
    /// Whether another description than this one holds the lock of a slot.
    pub(super) fn is_held(&self, slot: u32) -> Result<bool, Errno> {
        locks::is_held(self.descriptor.as_fd(), arena_slot(self.entry, slot as usize))
    }
}

impl SlotLocks for FileLocks<'_> {
    fn try_lock(&self, slot: u32) -> Result<bool, Errno> {
        locks::try_lock(self.descriptor, Mode::Exclusive, arena_slot(self.entry, slot as usize))
    }

    fn unlock(&self, slot: u32) -> Result<(), Errno> {
        locks::unlock(self.descriptor, arena_slot(self.entry, slot as usize))
    }
}
