//! Mutexes in segments: beside the data that they guard, or on their own under a name.
//!
//! What a segment is, who may attach it and when it ends is `shm-core`'s business; the lock itself is `mutex`'s.

use crate::error::{Error, ErrorKind};
use crate::mutex::Mutex;
use crate::placement::Placement;
use bytemuck::Pod;
use shm_core::{AsSegmentName, Contents, Segment, SegmentKind, SegmentOptions};

/// What a mutex is in a segment's table of contents (`PROTOCOL.md`).
const CODE: u32 = 1;

const CREATE: &str = "create the mutex";
const ATTACH: &str = "attach to the mutex";

impl<T: Pod + Send> Mutex<T> {
    /// Adds room for this mutex to the plan of a segment, under a name of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] for a name that is too long or used twice.
    ///
    /// # Examples
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// use shm_sync::Mutex;
    ///
    /// let contents = Contents::new().bytes("log", 4096, 8)?;
    /// let contents = Mutex::<u64>::plan(contents, "log end")?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let end = Mutex::<u64>::new_in(&segment, "log end")?;
    /// *end.lock()? += 80;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn plan(contents: Contents, entry: &str) -> Result<Contents, Error> {
        contents
            .primitive(entry, CODE, Self::SIZE, Self::ALIGN)
            .map_err(|error| Error::new("plan a mutex", ErrorKind::Segment).on(Some(entry)).caused_by(error))
    }

    /// Makes the mutex in an entry of a segment that was planned for it and that nobody has used yet. Its value is all zeros.
    ///
    /// The handle keeps the segment attached.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if there is one already; otherwise as [`attach_in`](Self::attach_in).
    ///
    /// # Examples
    /// ```
    /// # use shm_core::{Contents, SegmentOptions};
    /// # use shm_sync::{ErrorKind, Mutex};
    /// # let contents = Mutex::<u64>::plan(Contents::new(), "turn")?;
    /// # let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let turn = Mutex::<u64>::new_in(&segment, "turn")?;
    /// assert_eq!(*turn.lock()?, 0);
    /// let second = Mutex::<u64>::new_in(&segment, "turn").unwrap_err();
    /// assert_eq!(second.kind(), ErrorKind::InUse);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn new_in(segment: &Segment, entry: &str) -> Result<Self, Error> {
        Self::new_at(Placement::in_segment(segment, entry, CODE, Self::SIZE, CREATE)?, CREATE)
    }

    /// Makes a handle to the mutex in an entry of a segment. One that nobody has used yet is free, its value all zeros.
    ///
    /// The handle keeps the segment attached.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if there is no such entry; [`ErrorKind::Mismatch`] if it is no mutex, of another version, or its value has
    /// another size; [`ErrorKind::NotShared`] if the segment is attached read-only or copy-on-write. Nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// # use shm_core::{Contents, SegmentOptions};
    /// # use shm_sync::Mutex;
    /// # let contents = Mutex::<u64>::plan(Contents::new(), "turn")?;
    /// # let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let turn = Mutex::<u64>::attach_in(&segment, "turn")?;
    /// assert_eq!(*turn.lock()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn attach_in(segment: &Segment, entry: &str) -> Result<Self, Error> {
        Self::at(Placement::in_segment(segment, entry, CODE, Self::SIZE, ATTACH)?, ATTACH)
    }

    /// Creates a mutex on its own under a name (`shm://name`, `name` or `file://path`). Its value is all zeros.
    ///
    /// The segment stays until [`shm_core::delete`]; other lifetimes and modes: create the segment with its options, and the mutex
    /// [in it](Self::new_in).
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if the name is taken or invalid, or there is no room.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::Mutex;
    /// # let name = format!("shm://doc-mutex-create-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let counter = Mutex::<u64>::create(name)?;
    /// *counter.lock()? = 7;
    /// let same = Mutex::<u64>::attach(name)?; // in another process
    /// assert_eq!(*same.lock()?, 7);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn create(name: impl AsSegmentName) -> Result<Self, Error> {
        let segment =
            SegmentOptions::new().create(name, &Self::alone()?).map_err(|error| below(CREATE, error))?;
        Self::new_in(&segment, "")
    }

    /// Attaches to the mutex under a name.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if there is no such segment, or it cannot be attached; otherwise as [`attach_in`](Self::attach_in).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::Mutex;
    /// # let name = format!("shm://doc-mutex-attach-{}", std::process::id());
    /// # let name = name.as_str();
    /// # let _counter = Mutex::<u64>::create(name)?; // by another process
    /// let counter = Mutex::<u64>::attach(name)?;
    /// *counter.lock()? += 1;
    /// # shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn attach(name: impl AsSegmentName) -> Result<Self, Error> {
        let segment = Segment::attach(name).map_err(|error| below(ATTACH, error))?;
        Self::attach_in(&segment, "")
    }

    /// Attaches to the mutex under a name, or creates it, without a race between the two.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`attach`](Self::attach), but for a name that is taken or missing.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::Mutex;
    /// # let name = format!("shm://doc-mutex-either-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let (here, there) = (Mutex::<u64>::create_or_attach(name)?, Mutex::<u64>::create_or_attach(name)?);
    /// *here.lock()? = 7;
    /// assert_eq!(*there.lock()?, 7);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn create_or_attach(name: impl AsSegmentName) -> Result<Self, Error> {
        let (segment, _created) = SegmentOptions::new()
            .create_or_attach(name, &Self::alone()?)
            .map_err(|error| below(CREATE, error))?;
        Self::attach_in(&segment, "")
    }

    /// The contents of a segment that is this mutex and nothing else.
    fn alone() -> Result<Contents, Error> {
        Self::plan(Contents::new().kind(SegmentKind::Primitive), "")
    }
}

/// The segment's own error, which names it.
fn below(operation: &'static str, error: shm_core::Error) -> Error {
    Error::new(operation, ErrorKind::Segment).on(Some(error.subject())).caused_by(error)
}
