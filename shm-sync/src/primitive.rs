//! What can be done with every primitive: make it, plan it into a segment, find it. [`Primitive`] is the public face of that.
//!
//! A primitive is made whole: its first bytes are computed in private memory (an [`Image`]) and published with its segment, so that nobody ever
//! finds a half-made one. What the bytes mean is each primitive's business.

#![allow(
    unsafe_code,
    reason = "first bytes are written to pages that nobody else knows yet, or that the caller answers for"
)]

use crate::error::{Error, ErrorKind};
use crate::handle::Kind;
use crate::placement::Placement;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use shm_core::{AsSegmentName, Contents, Segment, SegmentKind, SegmentOptions};

const CREATE: &str = "create";
const ATTACH: &str = "attach to";

/// Where the identity lies in every primitive.
const IDENTITY: usize = 8;

/// The bytes of a new primitive.
#[derive(Debug)]
pub struct Image {
    identity: u64,
    /// The first bytes; the others are zero.
    bytes: Vec<u8>,
    /// How many bytes it has in all.
    len: usize,
}

impl Image {
    /// A new primitive of `len` bytes, zero but for its identity.
    pub(crate) fn new(kind: Kind, parameter: u32, len: usize) -> Image {
        let image = Image { identity: kind.identity(parameter), bytes: Vec::new(), len };
        image.with(IDENTITY, &kind.identity(parameter).to_le_bytes())
    }

    /// The number in the first bytes at `offset`; 0 behind them.
    pub(crate) fn u32_at(&self, offset: usize) -> u32 {
        let bytes = self.bytes.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// With these bytes at `offset`.
    pub(crate) fn with(mut self, offset: usize, bytes: &[u8]) -> Image {
        let end = offset + bytes.len();
        assert!(end <= self.len, "the first bytes lie within the primitive");
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self
    }
}

/// What a primitive tells this file about itself. Public by name only: nobody else can implement [`Primitive`].
pub trait Object: Sized {
    /// What a new one begins with.
    type Initial;

    /// What it is.
    const KIND: Kind;

    /// The bytes of a new one. The error says what is wrong with `initial`.
    fn image(initial: Self::Initial) -> Result<Image, Error>;

    /// The handle to the one at `place`, whose bytes are checked. `verb` is for errors.
    fn open(place: Placement, verb: &str) -> Result<Self, Error>;

    /// The identity as it stands in the shared pages.
    fn identity(&self) -> u64;

    /// What else than the identity makes it another one than `image` is.
    fn differs(&self, _image: &Image) -> Option<String> {
        None
    }
}

/// How every primitive is made and found: on its own under a name, beside data in a segment, in anonymous pages, or at an address.
///
/// All handles to one primitive, in any process, are equal: whichever thread of whichever process uses one, it is the same lock. A handle keeps its
/// pages mapped. `Initial` is what a new primitive begins with; each type says what that is.
///
/// ```
/// use shm_sync::{Mutex, Primitive};
///
/// fn shared<P: Primitive>(name: &str, initial: P::Initial) -> Result<P, shm_sync::Error> {
///     P::create_or_attach(name, initial)
/// }
/// let name = format!("shm://doc-primitive-{}", std::process::id());
/// let counter: Mutex<u64> = shared(&name, 40)?;
/// *counter.lock()? += 2;
/// assert_eq!(*shared::<Mutex<u64>>(&name, 0)?.lock()?, 42);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub trait Primitive: Object + Clone + Send + Sync {
    /// Makes one in pages of its own, shared with every process that is forked from here on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an `initial` that no such primitive has; [`ErrorKind::Segment`] if the kernel has no memory for it.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Primitive};
    /// let mutex = Mutex::anonymous([1.5f64; 8])?;
    /// assert_eq!(mutex.lock()?[7], 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn anonymous(initial: Self::Initial) -> Result<Self, Error> {
        let image = Self::image(initial)?;
        let place = Placement::anonymous(image.len)
            .map_err(|error| Error::new(Self::KIND.operation(CREATE), ErrorKind::Segment).caused_by(error))?;
        // SAFETY: the pages have `image.len` bytes, and nobody else knows them yet.
        unsafe {
            place
                .address()
                .copy_from_nonoverlapping(NonNull::from(&image.bytes[..]).cast(), image.bytes.len())
        };
        Self::open(place, CREATE)
    }

    /// How many bytes one takes that begins with this.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] as for [`anonymous`](Self::anonymous).
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Barrier, Mutex, Primitive};
    /// assert_eq!(Mutex::len_bytes(7u64)?, Mutex::<u64>::SIZE);
    /// assert_eq!(Barrier::len_bytes(3)?, Barrier::size(3));
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn len_bytes(initial: Self::Initial) -> Result<usize, Error> {
        Ok(Self::image(initial)?.len)
    }

    /// Adds one to the plan of a segment, under a name of its own. It is there, complete, as soon as the segment is.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] for a name that is too long or used twice; [`ErrorKind::InvalidArgument`] as for
    /// [`anonymous`](Self::anonymous).
    ///
    /// # Examples
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// use shm_sync::{Mutex, Primitive};
    ///
    /// let contents = Contents::new().bytes("log", 4096, 8)?;
    /// let contents = Mutex::plan(contents, "log end", 80u64)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let end = Mutex::<u64>::attach_in(&segment, "log end")?;
    /// assert_eq!(*end.lock()?, 80);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn plan(contents: Contents, entry: &str, initial: Self::Initial) -> Result<Contents, Error> {
        planned::<Self>(contents, entry, &Self::image(initial)?)
    }

    /// Makes a handle to the one in an entry of a segment. The handle keeps the segment attached.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if there is no such entry; [`ErrorKind::Mismatch`] if it is another primitive, of another version, or of another
    /// size; [`ErrorKind::NotShared`] if the segment is attached read-only or copy-on-write. Nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// # use shm_core::{Contents, SegmentOptions};
    /// # use shm_sync::{Mutex, Primitive};
    /// # let contents = Mutex::plan(Contents::new(), "turn", 0u64)?;
    /// # let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let turn = Mutex::<u64>::attach_in(&segment, "turn")?;
    /// assert_eq!(*turn.lock()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn attach_in(segment: &Segment, entry: &str) -> Result<Self, Error> {
        Self::open(Placement::in_segment(segment, entry, Self::KIND, ATTACH)?, ATTACH)
    }

    /// Creates one on its own under a name (`shm://name`, `name` or `file://path`).
    ///
    /// The segment stays until [`shm_core::delete`]; other lifetimes and modes: [`create_with`](Self::create_with).
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if the name is taken or invalid, or there is no room; [`ErrorKind::InvalidArgument`] as for
    /// [`anonymous`](Self::anonymous).
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Primitive};
    /// # let name = format!("shm://doc-primitive-create-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let counter = Mutex::create(name, 7u64)?;
    /// let same = Mutex::<u64>::attach(name)?; // in another process
    /// assert_eq!(*same.lock()?, 7);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn create(name: impl AsSegmentName, initial: Self::Initial) -> Result<Self, Error> {
        Self::create_with(&SegmentOptions::new(), name, initial)
    }

    /// Creates one on its own under a name, in a segment with these options (mode, lifetime, ...).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    ///
    /// # Examples
    /// ```
    /// use shm_core::{Lifetime, SegmentOptions};
    /// use shm_sync::{Mutex, Primitive};
    /// # let name = format!("shm://doc-primitive-with-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let mortal = SegmentOptions::new().lifetime(Lifetime::LastDetach);
    /// drop(Mutex::create_with(&mortal, name, 7u64)?);
    /// assert!(Mutex::<u64>::attach(name).is_err());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn create_with(
        options: &SegmentOptions,
        name: impl AsSegmentName,
        initial: Self::Initial,
    ) -> Result<Self, Error> {
        let contents = alone::<Self>(&Self::image(initial)?)?;
        let segment = options.create(name, &contents).map_err(|error| below::<Self>(CREATE, error))?;
        Self::attach_in(&segment, "")
    }

    /// Attaches to the one under a name.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if there is no such segment, or it cannot be attached; otherwise as [`attach_in`](Self::attach_in).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Mutex, Primitive};
    /// # let name = format!("shm://doc-primitive-attach-{}", std::process::id());
    /// # let name = name.as_str();
    /// # let _counter = Mutex::create(name, 0u64)?; // by another process
    /// let counter = Mutex::<u64>::attach(name)?;
    /// *counter.lock()? += 1;
    /// # shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn attach(name: impl AsSegmentName) -> Result<Self, Error> {
        let segment = Segment::attach(name).map_err(|error| below::<Self>(ATTACH, error))?;
        Self::attach_in(&segment, "")
    }

    /// Attaches to the one under a name, or creates it, without a race between the two.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`attach`](Self::attach), but for a name that is taken or missing; [`ErrorKind::Mismatch`] if
    /// there is one with another parameter (length of the value, number of parties, capacity).
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Primitive};
    /// # let name = format!("shm://doc-primitive-either-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let (here, there) = (Mutex::create_or_attach(name, 7u64)?, Mutex::create_or_attach(name, 0u64)?);
    /// *here.lock()? += 1;
    /// assert_eq!(*there.lock()?, 8);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    fn create_or_attach(name: impl AsSegmentName, initial: Self::Initial) -> Result<Self, Error> {
        let image = Self::image(initial)?;
        let (segment, _created) = SegmentOptions::new()
            .create_or_attach(name, &alone::<Self>(&image)?)
            .map_err(|error| below::<Self>(CREATE, error))?;
        let handle = Self::attach_in(&segment, "")?;
        let found = handle.identity();
        if found != image.identity {
            let parameter = |identity: u64| identity >> 32;
            return Err(Error::new(Self::KIND.operation(ATTACH), ErrorKind::Mismatch)
                .on(Some(&segment.label().to_string()))
                .detail(format!(
                    "its parameter is {}, and {} was asked for",
                    parameter(found),
                    parameter(image.identity)
                )));
        }
        if let Some(difference) = handle.differs(&image) {
            return Err(Error::new(Self::KIND.operation(ATTACH), ErrorKind::Mismatch)
                .on(Some(&segment.label().to_string()))
                .detail(difference));
        }
        Ok(handle)
    }

    /// Makes a handle to the one at an address in shared pages.
    ///
    /// Zero bytes are a free, never used primitive, where the type's documentation says so; otherwise [`init_at`](Self::init_at) comes first.
    ///
    /// # Errors
    /// [`ErrorKind::Misaligned`] if the address is null or not a multiple of 64; [`ErrorKind::Mismatch`] if there is something else. Nothing
    /// is changed then.
    ///
    /// # Safety
    /// - The `len` bytes at `address` are mapped readable and writable, and stay so until the last handle made from it is
    ///   gone, and the last guard.
    /// - The mapping is shared (`MAP_SHARED`) if the primitive is meant for several processes: a private one excludes nobody.
    /// - In one process, one primitive is used at one address only.
    /// - Those bytes are either zero, or were written by this type only (or by a neighbour that this process trusts as itself), and nobody
    ///   reaches them in another way while a handle exists.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Primitive};
    ///
    /// #[repr(align(64))]
    /// struct Bytes([u8; 128]);
    /// let mut bytes = Bytes([0; 128]);
    /// // SAFETY: zero, aligned, alive until the end, and used by threads of this process only.
    /// let mutex = unsafe { Mutex::<u32>::from_ptr(bytes.0.as_mut_ptr(), 128) }?;
    /// *mutex.lock()? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    unsafe fn from_ptr(address: *mut u8, len: usize) -> Result<Self, Error> {
        Self::open(foreign::<Self>(address, len, ATTACH)?, ATTACH)
    }

    /// Makes one in zero bytes at an address in shared pages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if the bytes are a primitive already; [`ErrorKind::Mismatch`] if there are too few; otherwise as
    /// [`from_ptr`](Self::from_ptr) and [`anonymous`](Self::anonymous).
    ///
    /// # Safety
    /// As [`from_ptr`](Self::from_ptr); besides, the bytes are zero and nobody else uses them before this call has returned.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Primitive};
    ///
    /// #[repr(align(64))]
    /// struct Bytes([u8; 128]);
    /// let mut bytes = Bytes([0; 128]);
    /// // SAFETY: zero, aligned, alive until the end, and used by this thread only.
    /// let mutex = unsafe { Mutex::init_at(bytes.0.as_mut_ptr(), 128, 7u32) }?;
    /// assert_eq!(*mutex.lock()?, 7);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    unsafe fn init_at(address: *mut u8, len: usize, initial: Self::Initial) -> Result<Self, Error> {
        let image = Self::image(initial)?;
        let place = foreign::<Self>(address, len, CREATE)?;
        let error = |kind| Error::new(Self::KIND.operation(CREATE), kind);
        if len < image.len {
            return Err(error(ErrorKind::Mismatch).detail(format!("it needs {} bytes, not {len}", image.len)));
        }
        // SAFETY: within the `len` mapped bytes (an image has 16 at least), aligned to 8 because the place is to 64, an atomic.
        let identity = unsafe { place.address().add(IDENTITY).cast::<AtomicU64>().as_ref() };
        if identity.load(Relaxed) != 0 {
            return Err(error(ErrorKind::InUse));
        }
        let rest = IDENTITY + size_of::<u64>();
        // SAFETY: `image.bytes` is no longer than `image.len`, hence than the place; nobody else uses the bytes, the caller promises.
        unsafe {
            place.address().copy_from_nonoverlapping(NonNull::from(&image.bytes[..]).cast(), IDENTITY);
            place.address().add(rest).copy_from_nonoverlapping(
                NonNull::from(&image.bytes[rest..]).cast(),
                image.bytes.len() - rest,
            );
        }
        identity.store(image.identity, Release);
        Self::open(place, CREATE)
    }
}

/// The plan of a segment, with room for this new primitive.
fn planned<P: Object>(contents: Contents, entry: &str, image: &Image) -> Result<Contents, Error> {
    contents
        .primitive(entry, P::KIND.code.into(), image.len, 64)
        .and_then(|contents| contents.starting_with(&image.bytes))
        .map_err(|error| {
            Error::new(P::KIND.operation("plan"), ErrorKind::Segment).on(Some(entry)).caused_by(error)
        })
}

/// The plan of a segment that is this new primitive and nothing else.
fn alone<P: Object>(image: &Image) -> Result<Contents, Error> {
    planned::<P>(Contents::new().kind(SegmentKind::Primitive), "", image)
}

/// The segment's own error, which names it.
fn below<P: Object>(verb: &str, error: shm_core::Error) -> Error {
    Error::new(P::KIND.operation(verb), ErrorKind::Segment).on(Some(error.subject())).caused_by(error)
}

/// A place that the caller answers for.
fn foreign<P: Object>(address: *mut u8, len: usize, verb: &str) -> Result<Placement, Error> {
    let error = |kind| Error::new(P::KIND.operation(verb), kind);
    match NonNull::new(address) {
        None => Err(error(ErrorKind::Misaligned).detail("the address is null")),
        Some(place) if !place.addr().get().is_multiple_of(64) => {
            Err(error(ErrorKind::Misaligned).detail(format!("the address is {address:p}")))
        }
        Some(place) => Ok(Placement::foreign(place, len)),
    }
}
