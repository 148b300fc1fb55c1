//! One attachment of a segment to this process: its descriptor, its locks and its mapping.
//!
//! A process has at most one per object and access mode (two addresses of the same lock would corrupt the thread's list of robust
//! locks, and descriptors and mappings are limited), so attachments are counted and kept in a registry. Its lock is taken across `fork`, so that a
//! child never inherits it held by a thread that does not exist there.

#![allow(
    unsafe_code,
    reason = "the guard of the registry's lock is parked in a static across fork; a function pointer is kept in an atomic"
)]

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{mem, ptr};

use rustix::io::Errno;

use super::idle::{Idle, Kept, Permit};
use crate::contents::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Header, LEASE_AT, LENGTH_AT, Lifetime};
use crate::name::SegmentName;
use crate::process::fork_count;
use crate::sys::Access;
use crate::sys::mapping::Mapping;
use crate::sys::object::{self, Stat};

/// Device, inode and access mode.
pub(crate) type Key = (u64, u64, u8);
/// A hash map, because it keeps its memory when it becomes empty, with a hasher that costs two multiplications: attaching asks it twice.
type Attached = HashMap<Key, Weak<Attachment>, BuildHasherDefault<Mix>>;

/// What this process has attached, and what it had attached last.
pub(crate) struct Registry {
    pub(super) attached: Attached,
    pub(super) idle: Idle,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { attached: HashMap::with_hasher(BuildHasherDefault::new()), idle: Idle::nothing() });

/// A hasher for the numbers of devices and inodes, which the kernel chooses: nobody can aim at its weaknesses.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // An odd number with bits all over it: 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

/// Locks the registry. No [`Attachment`] may be dropped while the guard lives: its drop takes the same lock.
///
/// Forks wait for the guard, too. Whoever opens a descriptor under it, and closes it or enters its attachment before the guard goes, leaves no child
/// with a descriptor that the child knows nothing of and that keeps locks held as long as the child lives.
pub(crate) fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Parked(UnsafeCell<Option<MutexGuard<'static, Registry>>>);

// SAFETY: the cell is touched only by `before_fork` after it has taken the registry's lock and by `after_fork` before it gives the lock back.
unsafe impl Sync for Parked {}

static PARKED: Parked = Parked(UnsafeCell::new(None));

/// Run by the C library before a fork.
pub(crate) extern "C" fn before_fork() {
    let mut guard = registry();
    // A child would share the description, and with it the locks that a later attachment of this process takes.
    guard.idle.let_go();
    // SAFETY: this thread holds the registry's lock, so no other thread is between `before_fork` and `after_fork`.
    unsafe { *PARKED.0.get() = Some(guard) };
}

/// Run by the C library after a fork, in the parent and in the child.
pub(crate) extern "C" fn after_fork() {
    // SAFETY: the thread that runs this took the lock in `before_fork` (the child has only a copy of that thread) and still holds it.
    drop(unsafe { (*PARKED.0.get()).take() });
}

/// Says whether a lock of this process lies in `len` bytes from `start` on.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// static HELD: AtomicUsize = AtomicUsize::new(0); // address of the only lock; 0 if it is free
/// let veto: shm_core::UnmapVeto = |start, len| HELD.load(Ordering::Relaxed).wrapping_sub(start.addr()) < len;
/// assert!(!veto(std::ptr::without_provenance(0x1000), 0x1000));
/// HELD.store(0x1040, Ordering::Relaxed);
/// assert!(veto(std::ptr::without_provenance(0x1000), 0x1000));
/// ```
pub type UnmapVeto = fn(start: *const u8, len: usize) -> bool;

/// An `UnmapVeto`, or null. Not a `OnceLock`: a fork while another thread writes to that leaves a child whose own attempt waits for ever.
static VETO: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Registers the function that keeps mappings with held locks mapped; the first one stays.
///
/// The kernel walks the list of a dying thread's robust locks through the mapping, so a mapping must not go while a lock in it is held.
/// `shm-sync` registers itself here; other code has no use for it. With a veto, [`Segment::detach`](crate::Segment::detach) fails, and dropping the
/// last handle leaves the mapping in place until the process ends.
///
/// ```
/// fn nothing_is_locked(_start: *const u8, _len: usize) -> bool {
///     false
/// }
/// shm_core::set_unmap_veto(nothing_is_locked);
/// ```
pub fn set_unmap_veto(veto: UnmapVeto) {
    let _ = VETO.compare_exchange(ptr::null_mut(), veto as *mut (), Ordering::Relaxed, Ordering::Relaxed);
}

/// See the module.
pub(crate) struct Attachment {
    /// Nothing only while it is dropped.
    held: Option<(OwnedFd, Mapping)>,
    key: Key,
    /// Bytes that the object is known to have.
    existing: AtomicU64,
    pub(super) header: Header,
    pub(super) entries: Vec<Entry>,
    pub(super) name: Option<SegmentName>,
    pub(super) access: Access,
    /// Value of [`fork_count`] when it was made: another one now means that it was inherited.
    born: u64,
    /// This is the creator's attachment of a scoped segment.
    owner: bool,
    /// It may be kept idle in the end, if it can be opened again with this.
    permit: Option<Permit>,
    /// See [`adopt`](Attachment::adopt).
    adopted: Mutex<Option<OwnedFd>>,
}

impl Attachment {
    #[allow(clippy::too_many_arguments, reason = "its only two callers name every part")]
    pub(super) fn new(
        fd: OwnedFd,
        mapping: Mapping,
        key: Key,
        header: Header,
        entries: Vec<Entry>,
        name: Option<SegmentName>,
        access: Access,
        owner: bool,
        permit: Option<Permit>,
    ) -> Arc<Attachment> {
        let held = Some((fd, mapping));
        let (born, adopted) = (fork_count(), Mutex::new(None));
        let existing = AtomicU64::new(header.created_len);
        Arc::new(Attachment {
            held,
            key,
            existing,
            header,
            entries,
            name,
            access,
            born,
            owner,
            permit,
            adopted,
        })
    }

    fn held(&self) -> &(OwnedFd, Mapping) {
        match &self.held {
            Some(held) => held,
            None => unreachable!("an attachment is whole until it is dropped"),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.held().0.as_fd()
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.held().1
    }

    /// What messages call it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject(self.name.as_ref())
    }

    /// Tells whether this process has it only because its parent had it.
    pub(super) fn is_inherited(&self) -> bool {
        self.born != fork_count()
    }

    /// Keeps the descriptor, and with it the locks, of one who attaches in a forked process what that has inherited.
    ///
    /// The mapping is there already and stays the only one, but its locks are the parent's too: only with locks of its own is the
    /// child seen by a parent who wants the exclusive lease. To be called under the registry's lock, so that a fork finds it free.
    pub(super) fn adopt(&self, fd: OwnedFd) {
        // One that was adopted before a further fork is shared in turn.
        *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) = Some(fd);
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the mapping is at least a header (256 bytes) long, starts at a page boundary and lives as long as `self`; both
        // words are 8-aligned and only ever accessed atomically, by every process (`FORMAT.md`).
        unsafe { AtomicU64::from_ptr(self.mapping().base().add(at).cast()) }
    }

    /// What the header says the length is, within its limits. A neighbour may have made it up: see [`existing`](Attachment::existing).
    pub(super) fn promised_len(&self) -> u64 {
        if !self.header.growable() {
            // Without a look at the mapping: its first touch is a page fault, which costs more than all of an attach.
            return self.header.created_len;
        }
        let len = self.word(LENGTH_AT).load(Ordering::Acquire);
        len.clamp(self.header.created_len, self.header.reserved_max)
    }

    /// How many of the bytes that a length promises exist: a touch of bytes behind the object's end would kill this process.
    ///
    /// The kernel is asked only about lengths that it has not confirmed before: no object gets shorter.
    pub(super) fn existing(&self, promised: u64) -> u64 {
        let known = self.existing.load(Ordering::Relaxed);
        if promised <= known {
            return promised;
        }
        let size = self.stat().map_or(0, |stat| stat.size);
        promised.min(self.existing.fetch_max(size, Ordering::Relaxed).max(size))
    }

    /// What `fstat` says about the object; `EBADF` if the program has closed the descriptor behind our back, whatever has its number now.
    pub(super) fn stat(&self) -> std::result::Result<Stat, Errno> {
        let stat = object::stat(self.fd())?;
        if self.is(&stat) { Ok(stat) } else { Err(Errno::BADF) }
    }

    /// Tells whether this is what `fstat` says about the object.
    pub(super) fn is(&self, stat: &Stat) -> bool {
        let (device, inode, _) = self.key;
        (stat.device, stat.inode) == (device, inode)
    }

    /// Publishes a new length, unless it is longer already.
    pub(super) fn raise_len(&self, len: u64) {
        self.word(LENGTH_AT).fetch_max(len, Ordering::Release);
    }

    pub(super) fn set_lease_hint(&self, pid: u32) {
        self.word(LEASE_AT).store(u64::from(pid), Ordering::Relaxed);
    }

    /// Tells whether a lock that is held forbids to unmap.
    pub(super) fn is_vetoed(&self) -> bool {
        let mapping = self.mapping();
        let veto = VETO.load(Ordering::Relaxed);
        // SAFETY: a function pointer and a data pointer have the same size on Linux, null is `None`, and whatever else was stored is an
        // `UnmapVeto`.
        let veto: Option<UnmapVeto> = unsafe { mem::transmute(veto) };
        veto.is_some_and(|veto| veto(mapping.base(), mapping.len()))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let vetoed = self.is_vetoed();
        let adopted = self.adopted.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let inherited = self.is_inherited();
        {
            let mut registry = registry();
            if let Some(entry) = registry.attached.remove(&self.key)
                && !ptr::eq(entry.as_ptr(), self)
            {
                // Somebody has attached anew since the count reached 0.
                registry.attached.insert(self.key, entry);
            } else if let Some(permit) = self.permit
                && !(vetoed || inherited || adopted.is_some())
                && registry.idle.wants(self.key)
                && let (Some((fd, mapping)), Some(name)) = (self.held.take(), self.name.take())
            {
                let header = self.header.clone();
                return registry.idle.keep(Kept { fd, mapping, key: self.key, name, permit, header });
            }
        }
        let Some((fd, mapping)) = self.held.take() else { return };
        if vetoed {
            // The descriptor too: its lock says that this process is attached, and it is.
            std::mem::forget(fd);
            std::mem::forget(adopted);
            mapping.leak();
            return;
        }
        drop((mapping, adopted));
        let Some(name) = &self.name else { return };
        match self.header.lifetime {
            Lifetime::Scoped if self.owner && self.born == fork_count() => {
                // Removed while the owner's lock is still held, so that nobody finds it dead and removes it at the same time.
                let _ = super::remove::remove_object(name, fd.as_fd());
            }
            Lifetime::LastDetach => {
                drop(fd);
                // If somebody else is at it, the name is gone a moment later. It is to be gone when this returns, but not at any price:
                // whoever removes it may have been stopped.
                for attempt in 0..super::attach::ATTEMPTS {
                    if super::remove::reap_name(name) != Ok(super::remove::Reaping::Underway) {
                        break;
                    }
                    super::attach::wait_a_little(attempt);
                }
            }
            _ => {}
        }
    }
}

/// What messages call a segment.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a>(pub(super) Option<&'a SegmentName>);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("an anonymous segment"),
        }
    }
}

/// The error for whoever may not do it after a fork.
pub(super) fn inherited(operation: &'static str, attachment: &Attachment) -> Error {
    Error::new(
        ErrorKind::Inherited,
        operation,
        attachment.subject(),
        "this process has the segment from its parent and shares the parent's locks",
    )
    .remedy("let the process that attached it do this")
}

/// The error for an object that cannot be reached by its descriptor.
pub(super) fn lost(operation: &'static str, attachment: &Attachment, errno: Errno) -> Error {
    if errno != Errno::BADF {
        return Error::system(operation, attachment.subject(), "fstat", errno);
    }
    let reason =
        "this program has closed the segment's descriptor, and its number may be another file's by now";
    Error::new(ErrorKind::System, operation, attachment.subject(), reason)
        .remedy("look for code that closes descriptors which are not its own")
}

/// Fails unless the attachment may write what others see.
pub(super) fn check_writable(operation: &'static str, attachment: &Attachment) -> Result<()> {
    let how = match attachment.access {
        Access::ReadWrite => return Ok(()),
        Access::ReadOnly => "read-only",
        Access::CopyOnWrite => "copy-on-write",
    };
    Err(Error::new(ErrorKind::ReadOnly, operation, attachment.subject(), format!("it is attached {how}"))
        .remedy("attach it for reading and writing"))
}
