//! Looking at segments without attaching them: [`list`], [`inspect`], [`SegmentInfo`].

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::attach::{self, Fault};
use super::options::SegmentOptions;
use super::remove;
use crate::contents::{self, Entry, EntryKind};
use crate::error::{Error, Result};
use crate::header::{HeaderError, LEASE_AT, LENGTH_AT, Lifetime, SegmentKind, u64_at};
use crate::layout::ArrayLayout;
use crate::name::{AsSegmentName, SHM_DIR, SegmentName};
use crate::process::{Identity, Liveness};
use crate::sys::object;
use crate::sys::{Access, locks};

/// What is known about a segment from outside.
///
/// ```
/// use shm_core::{Liveness, SharedArray};
/// # let name = format!("doc-info-{}", std::process::id());
/// let array = SharedArray::<f32, _>::zeros(name.as_str(), (3, 4))?;
/// let info = shm_core::inspect(name.as_str())?;
/// let layout = info.array().unwrap();
/// assert_eq!((layout.element().to_string().as_str(), layout.shape()), ("f32", &[3, 4][..]));
/// assert!(info.attached);
/// assert_eq!(info.creator_liveness, Liveness::Alive);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its name; nothing for an anonymous one.
    pub name: Option<SegmentName>,
    /// What it is for.
    pub kind: SegmentKind,
    /// When it ends without being deleted.
    pub lifetime: Lifetime,
    /// What is in it; an array's layout is the one at creation.
    pub entries: Vec<Entry>,
    /// Bytes it has now, header included.
    pub len_bytes: usize,
    /// Bytes it may grow to.
    pub capacity_bytes: usize,
    /// Permission bits.
    pub mode: u32,
    /// User that owns it.
    pub owner_uid: u32,
    /// Process that created it.
    pub creator: Identity,
    /// Whether that process lives.
    pub creator_liveness: Liveness,
    /// When it was created.
    pub created_at: SystemTime,
    /// Whether anybody is attached now. Asking disturbs nobody.
    pub attached: bool,
    /// Process that holds the exclusive lease, as far as it left its id.
    pub leased_by: Option<u32>,
    /// Why a touch of its memory might fail with SIGBUS; nothing if its pages are there for certain (unless a writer truncates the file behind a name,
    /// which nothing in this library does).
    pub not_guaranteed: Option<String>,
}

impl SegmentInfo {
    /// Returns the layout, at the present length, of the first array in the segment.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let options = SegmentOptions::new().reserve_max(1 << 20);
    /// let array = SharedArray::<u8, _>::zeros(options.anonymous(), 10)?;
    /// array.segment().grow(1 << 16)?;
    /// let layout = array.segment().info()?.array().unwrap();
    /// assert!(layout.shape()[0] > 10);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn array(&self) -> Option<ArrayLayout> {
        self.entries.iter().find_map(|entry| entry.layout_at(self.len_bytes))
    }
}

impl Entry {
    /// Returns the layout of an array entry in a segment of `segment_len` bytes: the first extent of one that grows follows the length.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let options = SegmentOptions::new().reserve_max(1 << 20);
    /// let array = SharedArray::<u8, _>::zeros(options.anonymous(), (10, 4))?;
    /// array.segment().grow(1 << 16)?;
    /// let entry = array.segment().entry("")?;
    /// assert!(entry.layout_at(array.segment().len()).unwrap().shape()[0] > 10);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn layout_at(&self, segment_len: usize) -> Option<ArrayLayout> {
        let EntryKind::Array(layout) = self.kind() else { return None };
        if !self.grows() {
            return Some(layout.clone());
        }
        let bytes = segment_len.saturating_sub(self.offset()) as u64;
        // A segment's length is never below the created one, so this fails for no entry that was decoded.
        layout.first_extent_within(bytes).and_then(|extent| layout.with_first_extent(extent)).ok()
    }
}

/// Looks at a segment without attaching it; takes no lock.
///
/// # Errors
/// As attaching, except that an exclusive lease and another owner are no hindrance; needs permission to read.
///
/// ```
/// use shm_core::ErrorKind;
/// assert_eq!(shm_core::inspect("shm://no-such-name").unwrap_err().kind(), ErrorKind::NotFound);
/// ```
pub fn inspect(name: impl AsSegmentName) -> Result<SegmentInfo> {
    let name = name.to_segment_name()?;
    match look(&name)? {
        Some(info) => Ok(info),
        None => {
            let _ = remove::reap_name(&name);
            Err(attach::open_error("inspect", &name, rustix::io::Errno::NOENT))
        }
    }
}

/// Lists the living segments in `/dev/shm` that the caller may read, by name. Dead ones of the caller are removed on the way.
///
/// Files that are no segments, or damaged ones, are passed over.
///
/// # Errors
/// [`ErrorKind::System`](crate::ErrorKind::System) if the directory cannot be read.
///
/// ```
/// use shm_core::SharedArray;
/// # let name = format!("doc-list-{}", std::process::id());
/// let array = SharedArray::<u8, _>::zeros(name.as_str(), 10)?;
/// assert!(shm_core::list()?.iter().any(|info| info.name.as_ref() == array.segment().name()));
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn list() -> Result<Vec<SegmentInfo>> {
    list_in(SHM_DIR)
}

/// Lists the living segments in a directory of `file://` names; see [`list`].
///
/// # Errors
/// As [`list`].
///
/// ```
/// assert!(shm_core::list_in("/proc/self/fdinfo")?.is_empty()); // no segments there
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn list_in(directory: impl AsRef<Path>) -> Result<Vec<SegmentInfo>> {
    let mut found = Vec::new();
    for name in names_in(directory.as_ref(), "list")? {
        match look(&name) {
            Ok(Some(info)) => found.push(info),
            Ok(None) => {
                let _ = remove::reap_name(&name);
            }
            Err(_) => {}
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The regular files of a directory as names.
pub(super) fn names_in(directory: &Path, operation: &'static str) -> Result<Vec<SegmentName>> {
    let system = |e: std::io::Error| {
        Error::io(operation, format_args!("the segments in {}", directory.display()), e.to_string(), &e)
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(system)? {
        let entry = entry.map_err(system)?;
        if !entry.file_type().is_ok_and(|t| t.is_file()) {
            continue;
        }
        let name = if directory == Path::new(SHM_DIR) {
            entry.file_name().to_str().and_then(|n| SegmentName::shm(n).ok())
        } else {
            SegmentName::file(entry.path()).ok()
        };
        names.extend(name);
    }
    Ok(names)
}

/// Reads everything; nothing if the segment is dead.
fn look(name: &SegmentName) -> Result<Option<SegmentInfo>> {
    let fd =
        object::open(name.path(), Access::ReadOnly).map_err(|e| attach::open_error("inspect", name, e))?;
    look_at(fd.as_fd(), Some(name))
}

/// Reads everything from an open object on which this description holds no lock.
pub(super) fn look_at(
    fd: std::os::fd::BorrowedFd<'_>,
    name: Option<&SegmentName>,
) -> Result<Option<SegmentInfo>> {
    let subject = super::attachment::Subject(name);
    let system = |call: &'static str| move |errno| Error::system("inspect", subject, call, errno);
    let anybody = SegmentOptions::new().any_owner(true);
    let mut buffer = attach::meta_buffer();
    let (meta, header) = match attach::read_meta(fd, &mut buffer) {
        Ok(read) => read,
        Err(fault) => return Err(attach::explain("inspect", fd, &subject, fault, &anybody)),
    };
    let meta = meta.as_deref().unwrap_or_else(|| &buffer[..header.meta_len as usize]);
    let stat = object::stat(fd).map_err(system("fstat"))?;
    attach::check_type("inspect", &subject, &stat)?;
    if remove::is_dead(fd, header.lifetime).map_err(system("fcntl(F_OFD_GETLK)"))? {
        return Ok(None);
    }
    let len = u64_at(&buffer, LENGTH_AT);
    let corrupt = |e: HeaderError| attach::explain("inspect", fd, &subject, Fault::Header(e), &anybody);
    header.check_len(len, stat.size).map_err(corrupt)?;
    let entries = contents::decode(&header, meta).map_err(corrupt)?;
    let held = |range| locks::is_held(fd, range).map_err(system("fcntl(F_OFD_GETLK)"));
    let leased = locks::conflict(fd, locks::Mode::Shared, locks::LEASE)
        .map_err(system("fcntl(F_OFD_GETLK)"))?
        .is_some();
    let not_guaranteed = if header.reserved {
        object::doubts(fd).filter(|_| !object::is_sealed(fd)).map(str::to_owned)
    } else {
        Some("it is sparse: pages are allocated at first touch".to_owned())
    };
    Ok(Some(SegmentInfo {
        name: name.cloned(),
        kind: header.kind,
        lifetime: header.lifetime,
        entries,
        len_bytes: len as usize,
        capacity_bytes: header.reserved_max as usize,
        mode: stat.mode,
        owner_uid: stat.owner,
        creator: header.creator,
        creator_liveness: header.creator.liveness(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(header.created_at_ns),
        attached: held(locks::ATTACH)?,
        leased_by: leased.then(|| u32::try_from(u64_at(&buffer, LEASE_AT)).unwrap_or(0)),
        not_guaranteed,
    }))
}
