//! How a segment is created or attached: [`SegmentOptions`], in the manner of [`std::fs::OpenOptions`].

use std::os::fd::OwnedFd;

use super::{Segment, attach, create};
use crate::contents::Contents;
use crate::error::{Error, ErrorKind, Result};
use crate::header::Lifetime;
use crate::name::AsSegmentName;
use crate::sys::Access;

/// Options for creating and attaching segments and arrays.
///
/// Those that describe the segment (mode, lifetime, size) matter when it is created; those that describe the attachment (access, prefault, huge pages,
/// memory lock, other users) matter both times.
///
/// ```
/// use shm_core::{Lifetime, SegmentOptions, SharedArray};
/// # let name = format!("doc-options-{}", std::process::id());
/// let options = SegmentOptions::new().mode(0o640).lifetime(Lifetime::LastDetach).reserve_max(1 << 20);
/// let array = SharedArray::<i32, _>::zeros(options.named(name.as_str())?, 100)?;
/// assert!(array.segment().can_grow());
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SegmentOptions {
    pub(super) mode: u32,
    pub(super) lifetime: Lifetime,
    pub(super) sparse: bool,
    pub(super) reserve_max: Option<u64>,
    pub(super) align: u64,
    pub(super) access: Access,
    pub(super) prefault: bool,
    pub(super) huge_pages: bool,
    pub(super) lock_memory: bool,
    pub(super) any_owner: bool,
    pub(super) replace: bool,
}

impl Default for SegmentOptions {
    fn default() -> SegmentOptions {
        SegmentOptions::new()
    }
}

impl SegmentOptions {
    /// Starts with the defaults: mode 0600, persistent, bytes reserved, no room to grow, read-write, own segments only.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.info()?.mode, 0o600);
    /// assert!(!segment.can_grow());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn new() -> SegmentOptions {
        SegmentOptions {
            mode: 0o600,
            lifetime: Lifetime::Persistent,
            sparse: false,
            reserve_max: None,
            align: 1,
            access: Access::ReadWrite,
            prefault: false,
            huge_pages: false,
            lock_memory: false,
            any_owner: false,
            replace: false,
        }
    }

    /// Sets the permission bits of a new segment (default 0600), whatever the umask says. The owner must be able to read and write.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().mode(0o640).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert_eq!(segment.info()?.mode, 0o640); // the group may read
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn mode(mut self, mode: u32) -> SegmentOptions {
        self.mode = mode;
        self
    }

    /// Sets when a new segment ends (default: persistent). An anonymous one always ends with its last user.
    ///
    /// ```
    /// use shm_core::{ErrorKind, Lifetime, Segment, SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-lifetime-{}", std::process::id());
    /// let options = SegmentOptions::new().lifetime(Lifetime::Scoped);
    /// let array = SharedArray::<u8, _>::zeros(options.named(name.as_str())?, 10)?;
    /// drop(array); // its name goes with it
    /// assert_eq!(Segment::attach(name.as_str()).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> SegmentOptions {
        self.lifetime = lifetime;
        self
    }

    /// Leaves the pages of a new segment to be allocated at first touch (default: reserved at once).
    ///
    /// Creation is then quick whatever the size, and a touch kills the process with SIGBUS when memory has run out meanwhile.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().sparse(true).create_anonymous(&Contents::new().bytes("", 1 << 30, 1)?)?;
    /// assert!(segment.info()?.not_guaranteed.is_some()); // of the 1 GiB hardly anything is allocated
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn sparse(mut self, sparse: bool) -> SegmentOptions {
        self.sparse = sparse;
        self
    }

    /// Lets a new segment grow up to `bytes`, header included (default: it cannot grow). Address space is reserved, not memory.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().reserve_max(1 << 20).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// segment.grow(1 << 20)?;
    /// assert_eq!(segment.len(), 1 << 20);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn reserve_max(mut self, bytes: usize) -> SegmentOptions {
        self.reserve_max = Some(bytes as u64);
        self
    }

    /// Aligns the first entry of a new segment, in every process, to `bytes`: a power of two up to 2^40 (default: the page size).
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().align(1 << 16).create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let first = segment.as_ptr().addr() + segment.entry("")?.offset();
    /// assert_eq!(first % (1 << 16), 0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn align(mut self, bytes: usize) -> SegmentOptions {
        self.align = bytes as u64;
        self
    }

    /// Sets how the segment is mapped when attached (default: read-write). A new segment is always read-write.
    ///
    /// ```
    /// use shm_core::{Access, SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-access-{}", std::process::id());
    /// let array = SharedArray::<u8, _>::zeros(name.as_str(), 10)?;
    /// let private = SegmentOptions::new().access(Access::CopyOnWrite).attach(name.as_str())?;
    /// assert_ne!(private.as_ptr(), array.segment().as_ptr()); // a mapping of its own, whose writes nobody sees
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn access(mut self, access: Access) -> SegmentOptions {
        self.access = access;
        self
    }

    /// Short for [`access`](SegmentOptions::access)`(`[`Access::ReadOnly`]`)`.
    ///
    /// ```
    /// use shm_core::{ErrorKind, SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-read-only-{}", std::process::id());
    /// let array = SharedArray::<u8, _>::zeros(name.as_str(), 10)?;
    /// let reader = SegmentOptions::new().read_only().attach(name.as_str())?;
    /// assert_eq!(reader.grow(1 << 20).unwrap_err().kind(), ErrorKind::ReadOnly);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn read_only(self) -> SegmentOptions {
        self.access(Access::ReadOnly)
    }

    /// Enters all pages into this process's page table at once (default: each at its first touch).
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let options = SegmentOptions::new().prefault(true);
    /// let array = SharedArray::<f64, _>::zeros(options.anonymous(), 1000)?;
    /// array.set(999, 1.0); // no page fault
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn prefault(mut self, prefault: bool) -> SegmentOptions {
        self.prefault = prefault;
        self
    }

    /// Asks for huge pages (default: the kernel's choice). A hint: where the kernel does not offer them for shared memory
    /// (`/sys/kernel/mm/transparent_hugepage/shmem_enabled`), ordinary ones are used. Mappings are aligned to 2 MiB.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().huge_pages(true).create_anonymous(&Contents::new().bytes("", 4 << 20, 1)?)?;
    /// assert_eq!(segment.as_ptr().addr() % (2 << 20), 0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn huge_pages(mut self, huge_pages: bool) -> SegmentOptions {
        self.huge_pages = huge_pages;
        self
    }

    /// Keeps the pages in memory (default: they may be swapped). It is an error if the process may not lock that much.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let options = SegmentOptions::new().lock_memory(true);
    /// let array = SharedArray::<u8, _>::zeros(options.anonymous(), 100)?;
    /// array.segment().unlock_memory()?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn lock_memory(mut self, lock: bool) -> SegmentOptions {
        self.lock_memory = lock;
        self
    }

    /// Also attaches segments that belong to other users (default: refused). Their owner can change every byte at any time.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-any-owner-{}", std::process::id());
    /// let array = SharedArray::<u8, _>::zeros(SegmentOptions::new().mode(0o644).named(name.as_str())?, 10)?;
    /// let segment = SegmentOptions::new().any_owner(true).read_only().attach(name.as_str())?; // also as another user
    /// assert_eq!(segment.len(), array.segment().len());
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn any_owner(mut self, any: bool) -> SegmentOptions {
        self.any_owner = any;
        self
    }

    /// Lets a new segment take the place of the one that has its name (default: that is an error).
    ///
    /// The old one is deleted, by the rules of [`delete`](crate::delete), when the new one is complete and only needs its name: a creation that fails before
    /// leaves the old one as it was. There is room for both until then. Those who have the old one attached keep it. Between the two steps nobody has
    /// the name; a process that is killed just there, or another one that takes the name first, is the only way to lose the old one without the new one in
    /// its place. Attaching, and [`create_or_attach`](SegmentOptions::create_or_attach) where something has the name, ignore this.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-replace-{}", std::process::id());
    /// let old = SharedArray::<u8, _>::full(name.as_str(), 10, 1)?;
    /// let new = SharedArray::<u8, _>::full(SegmentOptions::new().replace(true).named(name.as_str())?, 20, 2)?;
    /// assert_eq!((old.get(0), new.get(0)), (1, 2));
    /// assert_eq!(SharedArray::<u8, ndarray::Ix1>::attach(name.as_str())?.len(), 20);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[must_use]
    pub fn replace(mut self, replace: bool) -> SegmentOptions {
        self.replace = replace;
        self
    }

    /// Names the place where an array constructor is to create; see [`Place`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`].
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// # let name = format!("doc-options-named-{}", std::process::id());
    /// let place = SegmentOptions::new().mode(0o644).named(name.as_str())?;
    /// let array = SharedArray::<u8, _>::zeros(place, 10)?;
    /// assert_eq!(shm_core::inspect(name.as_str())?.mode, 0o644);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn named(&self, name: impl AsSegmentName) -> Result<Place> {
        Ok(Place { name: Some(name.to_segment_name()?), options: self.clone() })
    }

    /// The anonymous place with these options; see [`Place`].
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let array = SharedArray::<u8, _>::zeros(place, 10)?;
    /// assert!(array.segment().can_grow());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn anonymous(&self) -> Place {
        Place { name: None, options: self.clone() }
    }

    /// Creates a segment that nobody has yet, zero-filled; attached when this returns.
    ///
    /// The name appears when the segment is complete; a process that is killed before leaves nothing behind.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::OutOfSpace`] (nothing was created), [`ErrorKind::InvalidArgument`],
    /// [`ErrorKind::Unsupported`] for a file system without unnamed files, and what the system calls say.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// # let name = format!("doc-create-{}", std::process::id());
    /// let segment = SegmentOptions::new().create(name.as_str(), &Contents::new().bytes("", 100, 1)?)?;
    /// assert!(segment.len() > 100);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create(&self, name: impl AsSegmentName, contents: &Contents) -> Result<Segment> {
        create::create(&self.named(name)?, contents, |_| Ok(()))
    }

    /// Creates a segment without a name: it is reached by forked children and through a [`Lease`](crate::Lease).
    ///
    /// # Errors
    /// As [`create`](SegmentOptions::create).
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 100, 1)?)?;
    /// assert!(segment.name().is_none());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create_anonymous(&self, contents: &Contents) -> Result<Segment> {
        create::create(&self.anonymous(), contents, |_| Ok(()))
    }

    /// Attaches an existing segment.
    ///
    /// It takes no part in deciding when the segment ends, except for [`Lifetime::LastDetach`], and changes nothing when it fails.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotASegment`], [`ErrorKind::Corrupted`], [`ErrorKind::UnsupportedVersion`],
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::ForeignOwner`], [`ErrorKind::Busy`] under somebody's exclusive lease.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// # let name = format!("doc-attach-{}", std::process::id());
    /// let created = SegmentOptions::new().create(name.as_str(), &Contents::new().bytes("", 8, 1)?)?;
    /// let attached = SegmentOptions::new().read_only().attach(name.as_str())?;
    /// assert_eq!(attached.len(), created.len());
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(&self, name: impl AsSegmentName) -> Result<Segment> {
        attach::attach(name.to_segment_name()?, self)
    }

    /// Attaches the segment if it exists and creates it otherwise, without a race; tells whether it was created.
    ///
    /// # Errors
    /// As [`attach`](SegmentOptions::attach) and [`create`](SegmentOptions::create). What is attached may have other contents.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// # let name = format!("doc-coa-{}", std::process::id());
    /// let contents = Contents::new().bytes("", 8, 1)?;
    /// let (_first, created) = SegmentOptions::new().create_or_attach(name.as_str(), &contents)?;
    /// let (_second, again) = SegmentOptions::new().create_or_attach(name.as_str(), &contents)?;
    /// assert!(created && !again);
    /// shm_core::delete(name.as_str())?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create_or_attach(&self, name: impl AsSegmentName, contents: &Contents) -> Result<(Segment, bool)> {
        create::create_or_attach(&self.named(name)?, contents, |_| Ok(()))
    }

    /// Attaches the segment behind a descriptor, however it came here. Needs `/proc`.
    ///
    /// # Errors
    /// As [`attach`](SegmentOptions::attach); [`ErrorKind::Unsupported`] without `/proc`.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let again = SegmentOptions::new().attach_descriptor(segment.fresh_descriptor()?)?;
    /// assert_eq!(again.as_ptr(), segment.as_ptr()); // one mapping per process
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach_descriptor(&self, descriptor: OwnedFd) -> Result<Segment> {
        attach::attach_descriptor(descriptor, self)
    }

    pub(super) fn check(&self, subject: &dyn std::fmt::Display) -> Result<()> {
        let refuse = |reason: String, remedy: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, "create", subject, reason).remedy(remedy))
        };
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            return refuse(
                format!(
                    "the mode {:#o} is not made of permissions among which the owner may read and write",
                    self.mode
                ),
                "use 0600, or more for others",
            );
        }
        if !self.align.is_power_of_two() || self.align > 1 << 40 {
            return refuse(format!("the alignment {} is no power of two up to 2^40", self.align), "use one");
        }
        Ok(())
    }
}

/// Where an array or segment is created: a name or nowhere (anonymous), and the options.
///
/// Constructors take anything that converts into one: text, a [`SegmentName`](crate::SegmentName), [`Anonymous`], or what
/// [`SegmentOptions::named`] and [`SegmentOptions::anonymous`] return.
///
/// ```
/// use shm_core::{Anonymous, SegmentOptions, SharedArray};
/// let a = SharedArray::<f32, _>::zeros(Anonymous, 10)?;
/// let b = SharedArray::<f32, _>::zeros(SegmentOptions::new().sparse(true).anonymous(), 10)?;
/// assert_eq!(a.len(), b.len());
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) name: Option<crate::name::SegmentName>,
    pub(super) options: SegmentOptions,
}

impl Place {
    /// What messages should call it.
    pub(crate) fn label(&self) -> impl std::fmt::Display + '_ {
        super::attachment::Subject(self.name.as_ref())
    }
}

/// The place without a name: memory that only forked children and receivers of a [`Lease`](crate::Lease) reach.
///
/// ```
/// use shm_core::{Anonymous, SharedArray};
/// let array = SharedArray::<u8, _>::zeros(Anonymous, 10)?;
/// assert!(array.segment().name().is_none());
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

/// What names a [`Place`].
///
/// ```
/// use shm_core::{Anonymous, IntoPlace, Result, SharedArray};
/// fn ones(place: impl IntoPlace) -> Result<SharedArray<f64, ndarray::Ix1>> {
///     SharedArray::full(place, 100, 1.0)
/// }
/// assert_eq!(ones(Anonymous)?.get(99), 1.0); // or a name
/// # Ok::<(), shm_core::Error>(())
/// ```
pub trait IntoPlace {
    /// Returns the place.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if it is text and no valid name.
    fn into_place(self) -> Result<Place>;
}

impl IntoPlace for Place {
    fn into_place(self) -> Result<Place> {
        Ok(self)
    }
}

impl IntoPlace for Anonymous {
    fn into_place(self) -> Result<Place> {
        Ok(SegmentOptions::new().anonymous())
    }
}

impl<T: AsSegmentName> IntoPlace for T {
    fn into_place(self) -> Result<Place> {
        SegmentOptions::new().named(self)
    }
}
