//! Segments: memory with a header that says what is in it, shared under a name, by inheritance or by descriptor.
//!
//! | file | idea |
//! |---|---|
//! | `options.rs` | what the user asks for |
//! | `create.rs` | built unnamed, published whole |
//! | `attach.rs` | opened, locked, checked, mapped |
//! | `attachment.rs` | one mapping and one descriptor per object in a process |
//! | `idle.rs` | the one that was detached last, for whoever attaches it again |
//! | `lease.rs` | exclusive use; references on their way |
//! | `remove.rs` | delete and reap |
//! | `list.rs` | looking without attaching |

mod attach;
mod attachment;
mod create;
mod idle;
mod lease;
mod list;
mod options;
mod remove;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::mm::{Advice as OsAdvice, MsyncFlags};

pub use attachment::{UnmapVeto, set_unmap_veto};
pub(crate) use attachment::{after_fork, before_fork, registry};
pub(crate) use create::{create, create_or_attach};
pub use lease::{ExclusiveLease, HeldLease, Lease};
pub use list::{SegmentInfo, inspect, list, list_in};
pub use options::{Anonymous, IntoPlace, Place, SegmentOptions};
pub use remove::{delete, reap, reap_in};

use crate::contents::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Lifetime, SegmentKind};
use crate::name::{AsSegmentName, SegmentName};
use crate::sys::Access;
use attachment::Attachment;

/// A segment that is attached to this process.
///
/// Handles are cheap to clone; a process has one mapping per segment and access mode, shared by all of its handles, and detaches when the last one
/// is dropped. (A small persistent one that is attached over and over stays open and mapped in between, without its locks: see `idle.rs`.) **Death**: the kernel detaches for a process that dies, however it dies. **Fork**: a child inherits the handles and the mapping
/// and may use both, but shares its parent's locks: it counts as attached as long as it lives, and can take no [`exclusive`](Segment::exclusive) lease.
/// If it attaches the same segment itself it gets the same mapping, and is from then on seen as an attachment of its own. A fork waits until no other thread
/// is in the middle of attaching or removing, so that a child inherits whole attachments only; those of other threads, which nobody in the child
/// can drop, stay until it ends or executes another program.
///
/// ```
/// use shm_core::{Contents, Segment, SegmentOptions};
/// # let name = format!("doc-segment-{}", std::process::id());
/// let a = SegmentOptions::new().create(name.as_str(), &Contents::new().bytes("notes", 16, 1)?)?;
/// let b = Segment::attach(name.as_str())?;
/// assert_eq!(a.as_ptr(), b.as_ptr());
/// assert_eq!(b.entry("notes")?.len(), 16);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Segment {
    attachment: Arc<Attachment>,
}

/// How far [`Segment::sync`] goes; see msync(2).
///
/// ```
/// # let name = format!("/tmp/doc-sync-{}", std::process::id());
/// use shm_core::{SharedArray, SyncMode};
/// let array = SharedArray::<f64, _>::full(format!("file://{name}"), 10, 1.5)?;
/// array.segment().sync(SyncMode::Wait)?; // on the disk when this returns
/// # std::fs::remove_file(name).unwrap();
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncMode {
    /// Starts writing and returns (`MS_ASYNC`).
    Start,
    /// Returns when everything is written (`MS_SYNC`).
    Wait,
    /// Makes other mappings of the file see the file's bytes (`MS_INVALIDATE`); on Linux they always do.
    Invalidate,
}

/// What the kernel may expect; see madvise(2). No advice changes the bytes.
///
/// ```
/// use shm_core::{Advice, Anonymous, SharedArray};
/// let array = SharedArray::<f64, _>::zeros(Anonymous, 1000)?;
/// array.segment().advise(Advice::Sequential)?;
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// No particular order.
    Normal,
    /// Ascending order: read ahead.
    Sequential,
    /// No order: do not read ahead.
    Random,
    /// Soon: start reading.
    WillNeed,
    /// Huge pages are welcome.
    HugePage,
    /// No huge pages.
    NoHugePage,
    /// Leave the pages out of core dumps.
    DontDump,
}

impl Segment {
    /// Attaches an existing segment for reading and writing; [`SegmentOptions::attach`] has the choices and the errors.
    ///
    /// # Errors
    /// See [`SegmentOptions::attach`].
    ///
    /// ```
    /// use shm_core::{Segment, SharedArray};
    /// # let name = format!("doc-segment-attach-{}", std::process::id());
    /// let array = SharedArray::<u8, _>::zeros(name.as_str(), 10)?;
    /// let segment = Segment::attach(name.as_str())?; // in another process, usually
    /// assert_eq!(segment.entries().len(), 1);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(name: impl AsSegmentName) -> Result<Segment> {
        SegmentOptions::new().attach(name)
    }

    /// Returns the address of the first byte. The mapping stays there as long as a handle of the segment lives.
    ///
    /// Whoever reads or writes through it answers for races with other processes, and stays below [`len`](Segment::len).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let array = SharedArray::<u8, _>::full(Anonymous, 4, 7)?;
    /// let segment = array.segment();
    /// let at = segment.entry("")?.offset();
    /// // SAFETY: the entry lies inside the mapping, and nobody writes to it.
    /// let first = unsafe { segment.as_ptr().add(at).read() };
    /// assert_eq!(first, 7);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        self.attachment.mapping().base()
    }

    /// Returns the length in bytes now, header included. So many bytes exist, whatever a neighbour wrote into the header.
    ///
    /// It is one load, and after growth an fstat(2), once.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let entry = segment.entry("")?;
    /// assert!(segment.len() >= entry.offset() + entry.len());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[allow(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.existing_len(self.generation())
    }

    /// Returns the length in bytes that the segment may grow to; so much address space is mapped.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.capacity(), 1 << 20);
    /// assert!(segment.len() < segment.capacity());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.attachment.header.reserved_max as usize
    }

    /// Returns the name it was created or attached by; nothing for an anonymous one.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// # let name = format!("doc-segment-name-{}", std::process::id());
    /// let array = SharedArray::<u8, _>::zeros(name.as_str(), 10)?;
    /// assert_eq!(array.segment().name().unwrap().to_string(), format!("shm://{name}"));
    /// assert!(SharedArray::<u8, _>::zeros(Anonymous, 10)?.segment().name().is_none());
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn name(&self) -> Option<&SegmentName> {
        self.attachment.name.as_ref()
    }

    /// Returns what messages should call it: its name, or "an anonymous segment".
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.label().to_string(), "an anonymous segment");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn label(&self) -> impl fmt::Display + '_ {
        self.attachment.subject()
    }

    /// Returns how it is mapped.
    ///
    /// ```
    /// use shm_core::{Access, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.access(), Access::ReadWrite); // new ones always
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn access(&self) -> Access {
        self.attachment.access
    }

    /// Returns what it is for.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentKind, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.kind(), SegmentKind::Array); // unless Contents::kind says otherwise
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn kind(&self) -> SegmentKind {
        self.attachment.header.kind
    }

    /// Returns when it ends without being deleted.
    ///
    /// ```
    /// use shm_core::{Contents, Lifetime, SegmentOptions};
    /// # let name = format!("doc-segment-lifetime-{}", std::process::id());
    /// let options = SegmentOptions::new().lifetime(Lifetime::LastDetach);
    /// let segment = options.create(name.as_str(), &Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.lifetime(), Lifetime::LastDetach);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn lifetime(&self) -> Lifetime {
        self.attachment.header.lifetime
    }

    /// Returns the table of contents.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("a", 8, 1)?.bytes("b", 16, 1)?)?;
    /// let total: usize = segment.entries().iter().map(|entry| entry.len()).sum();
    /// assert_eq!(total, 24);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn entries(&self) -> &[Entry] {
        &self.attachment.entries
    }

    /// Finds an entry by name; a segment with one nameless entry has it under the empty name.
    ///
    /// # Errors
    /// [`ErrorKind::NoSuchEntry`], with the names that there are.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("a", 8, 1)?)?;
    /// assert_eq!(segment.entry("a")?.len(), 8);
    /// let error = segment.entry("b").unwrap_err();
    /// assert!(error.to_string().contains("it has \"a\""));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn entry(&self, name: &str) -> Result<&Entry> {
        self.entry_index(name).map(|i| &self.entries()[i])
    }

    pub(crate) fn entry_index(&self, name: &str) -> Result<usize> {
        self.entries().iter().position(|entry| entry.name() == name).ok_or_else(|| {
            let names: Vec<String> = self.entries().iter().map(|e| format!("{:?}", e.name())).collect();
            Error::new(
                ErrorKind::NoSuchEntry,
                "find",
                format_args!("the entry {name:?} of {}", self.label()),
                format!("it has {}", names.join(", ")),
            )
        })
    }

    /// Tells whether the segment can grow.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert!(segment.can_grow()); // without reserve_max it could not
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn can_grow(&self) -> bool {
        self.attachment.header.growable()
    }

    /// Returns a number that changes exactly when the segment has grown, in whichever process.
    ///
    /// It is one load, so an attacher can look as often as it likes and take new views when the number has changed; old views stay valid.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let options = SegmentOptions::new().reserve_max(1 << 20);
    /// let segment = options.create_anonymous(&Contents::new().bytes("", 10, 1)?)?;
    /// let before = segment.generation();
    /// segment.grow(1 << 16)?;
    /// assert_ne!(segment.generation(), before);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn generation(&self) -> u64 {
        self.attachment.promised_len()
    }

    /// How many of the bytes that a [`generation`](Segment::generation) promises exist.
    pub(crate) fn existing_len(&self, generation: u64) -> usize {
        self.attachment.existing(generation) as usize
    }

    /// Lengthens the segment to at least `len` bytes, in place and for everybody; the new bytes are zero.
    ///
    /// Processes may grow it at the same time: it gets the greatest length. A process that is killed on the way leaves the old length
    /// or the new one. Does nothing if it is that long already.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] above the maximum reserved at creation, [`ErrorKind::ReadOnly`], [`ErrorKind::OutOfSpace`]; the segment is as before then.
    /// [`ErrorKind::System`] also if the program has closed the segment's descriptor behind this library's back: its number may be another file's by now.
    ///
    /// The kernel takes back what it reserved before it failed, in memory always; on a disk, and if signals have interrupted it, a part may stay reserved
    /// behind the segment's end, for the next growth. It cannot be given back from here: another process may have reserved the same bytes meanwhile and be
    /// about to publish them.
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// segment.grow(1 << 16)?;
    /// assert_eq!(segment.len(), 1 << 16);
    /// assert_eq!(segment.grow(1 << 21).unwrap_err().kind(), ErrorKind::LimitExceeded);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn grow(&self, len: usize) -> Result<()> {
        attachment::check_writable("grow", &self.attachment)?;
        let now = self.len();
        if len <= now {
            return Ok(());
        }
        if len > self.capacity() {
            let (asked, max) = (create::human(len as u64), create::human(self.capacity() as u64));
            let error = Error::new(
                ErrorKind::LimitExceeded,
                "grow",
                self.label(),
                format!("{asked} are asked, and it may have {max}"),
            );
            return Err(error.remedy("create it with a larger reserved maximum (reserve_max)"));
        }
        // Otherwise the file that now has the descriptor's number would be lengthened.
        self.attachment.stat().map_err(|errno| attachment::lost("grow", &self.attachment, errno))?;
        let sparse = !self.attachment.header.reserved;
        create::extend(
            "grow",
            self.attachment.subject(),
            self.attachment.fd(),
            now as u64,
            len as u64,
            sparse,
        )?;
        self.attachment.raise_len(len as u64);
        Ok(())
    }

    /// Writes changed pages back to the file. In shared memory there is no file, and nothing to do.
    ///
    /// # Errors
    /// [`ErrorKind::System`] with what msync(2) says, such as a full disk.
    ///
    /// ```
    /// use shm_core::{SegmentName, SharedArray, SyncMode};
    /// # let path = std::env::temp_dir().join(format!("doc-segment-sync-{}", std::process::id()));
    /// let name = SegmentName::file(path)?;
    /// let array = SharedArray::<f64, _>::full(&name, 10, 1.5)?;
    /// array.segment().sync(SyncMode::Start)?; // the disk is written while this goes on
    /// shm_core::delete(&name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn sync(&self, mode: SyncMode) -> Result<()> {
        let flags = match mode {
            SyncMode::Start => MsyncFlags::ASYNC,
            SyncMode::Wait => MsyncFlags::SYNC,
            SyncMode::Invalidate => MsyncFlags::INVALIDATE,
        };
        self.system("sync", "msync", self.attachment.mapping().sync(0, self.len(), flags))
    }

    /// Keeps all pages in memory, for this process, until it unlocks them or detaches; see mlock(2).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if the process may not lock that much.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let array = SharedArray::<u8, _>::zeros(Anonymous, 100)?;
    /// array.segment().lock_memory()?;
    /// array.segment().unlock_memory()?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn lock_memory(&self) -> Result<()> {
        attach::lock_memory(
            "lock in memory",
            &self.attachment.subject(),
            self.attachment.mapping(),
            self.len(),
        )
    }

    /// Lets the pages be swapped again; see munlock(2).
    ///
    /// # Errors
    /// [`ErrorKind::System`].
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let locked = SegmentOptions::new().lock_memory(true);
    /// let segment = locked.create_anonymous(&Contents::new().bytes("", 100, 1)?)?;
    /// segment.unlock_memory()?; // the time-critical part is over
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn unlock_memory(&self) -> Result<()> {
        self.system("unlock in memory", "munlock", self.attachment.mapping().unlock_memory(0, self.len()))
    }

    /// Enters all pages into this process's page table, so that no touch faults; see madvise(2), `MADV_POPULATE_WRITE`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]. On kernels before 5.14 it does nothing.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let array = SharedArray::<u8, _>::zeros(Anonymous, 1 << 20)?;
    /// array.segment().prefault()?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn prefault(&self) -> Result<()> {
        let attachment = &self.attachment;
        attach::prefault(
            "prefault",
            &attachment.subject(),
            attachment.mapping(),
            self.len(),
            attachment.access,
        )
    }

    /// Tells the kernel what to expect of all pages.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if this kernel does not know the advice.
    ///
    /// ```
    /// use shm_core::{Advice, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// segment.advise(Advice::DontDump)?; // it holds secrets, or is too large for a core dump
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn advise(&self, advice: Advice) -> Result<()> {
        let advice = match advice {
            Advice::Normal => OsAdvice::Normal,
            Advice::Sequential => OsAdvice::Sequential,
            Advice::Random => OsAdvice::Random,
            Advice::WillNeed => OsAdvice::WillNeed,
            Advice::HugePage => OsAdvice::LinuxHugepage,
            Advice::NoHugePage => OsAdvice::LinuxNoHugepage,
            Advice::DontDump => OsAdvice::LinuxDontDump,
        };
        self.system("advise", "madvise", self.attachment.mapping().advise(0, self.len(), advice))
    }

    fn system(
        &self,
        operation: &'static str,
        call: &str,
        result: std::result::Result<(), rustix::io::Errno>,
    ) -> Result<()> {
        result.map_err(|errno| Error::system(operation, self.label(), call, errno))
    }

    /// Takes the exclusive lease: succeeds if this is the only handle of the segment on the machine, and keeps it so.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::ReadOnly`], [`ErrorKind::Inherited`] in a forked child.
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, Segment, SegmentOptions};
    /// # let name = format!("doc-exclusive-{}", std::process::id());
    /// let mut a = SegmentOptions::new().create(name.as_str(), &Contents::new().bytes("", 1, 1)?)?;
    /// let lease = a.exclusive()?;
    /// assert_eq!(Segment::attach(name.as_str()).unwrap_err().kind(), ErrorKind::Busy);
    /// drop(lease);
    /// assert!(Segment::attach(name.as_str()).is_ok());
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn exclusive(&mut self) -> Result<ExclusiveLease<'_>> {
        ExclusiveLease::take(&self.attachment)
    }

    /// Takes the exclusive lease as [`exclusive`](Segment::exclusive) does, without borrowing the handle: see [`HeldLease`].
    ///
    /// # Errors
    /// As [`exclusive`](Segment::exclusive).
    ///
    /// ```
    /// use shm_core::{Contents, ErrorKind, Segment, SegmentOptions};
    /// # let name = format!("doc-hold-exclusive-{}", std::process::id());
    /// let segment = SegmentOptions::new().create(name.as_str(), &Contents::new().bytes("", 1, 1)?)?;
    /// let lease = segment.hold_exclusive()?;
    /// assert_eq!(Segment::attach(name.as_str()).unwrap_err().kind(), ErrorKind::Busy);
    /// drop(lease);
    /// assert!(Segment::attach(name.as_str()).is_ok());
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn hold_exclusive(&self) -> Result<HeldLease> {
        HeldLease::take(&self.attachment)
    }

    /// Makes a lease for a reference on its way to another process; see [`Lease`]. Needs `/proc`.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while this process holds the exclusive lease, [`ErrorKind::Unsupported`] without `/proc`.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let lease = segment.lease()?;
    /// drop(segment); // the lease keeps the memory
    /// assert_eq!(lease.attach()?.entry("")?.len(), 8);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn lease(&self) -> Result<Lease> {
        Lease::of(&self.attachment)
    }

    /// Opens the object anew: a descriptor with an open file description, and so with locks, of its own. Needs `/proc` if it has no
    /// name any more.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without `/proc`.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let file = std::fs::File::from(segment.fresh_descriptor()?);
    /// assert_eq!(file.metadata()?.len(), segment.len() as u64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fresh_descriptor(&self) -> Result<OwnedFd> {
        attach::open_again("reopen", &self.attachment, self.attachment.access)
    }

    /// Tells whether this process has the segment only because its parent had it.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert!(!segment.is_inherited()); // in a child forked now it is
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_inherited(&self) -> bool {
        self.attachment.is_inherited()
    }

    /// Returns what [`inspect`] says of it. Needs `/proc`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without `/proc`.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let array = SharedArray::<u8, _>::zeros(Anonymous, 100)?;
    /// assert!(array.segment().info()?.attached);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn info(&self) -> Result<SegmentInfo> {
        let fresh = self.fresh_descriptor()?;
        let info = list::look_at(fresh.as_fd(), self.name())?;
        info.ok_or_else(|| Error::new(ErrorKind::NotFound, "inspect", self.label(), "its lifetime is over"))
    }

    /// Detaches this handle; the last one in the process unmaps the segment.
    ///
    /// # Errors
    /// [`ErrorKind::LockHeld`] with the handle if it is the last one and this process holds a lock inside the segment.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 1, 1)?)?;
    /// segment.detach().map_err(|(_segment, error)| error)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn detach(self) -> std::result::Result<(), (Segment, Error)> {
        if Arc::strong_count(&self.attachment) == 1 && self.attachment.is_vetoed() {
            let error = Error::new(
                ErrorKind::LockHeld,
                "detach",
                self.label(),
                "this process holds a lock inside it",
            )
            .remedy("unlock it first");
            return Err((self, error));
        }
        Ok(())
    }
}

impl AsFd for Segment {
    /// Lends the attachment's descriptor. A duplicate shares its locks, so that it is not seen as another attachment: to hand the
    /// segment on use [`lease`](Segment::lease).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.attachment.fd()
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("name", &format_args!("{}", self.label()))
            .field("len", &self.len())
            .field("access", &self.access())
            .finish_non_exhaustive()
    }
}
