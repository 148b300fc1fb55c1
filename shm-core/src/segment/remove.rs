//! Removing names: deleting on request, and reaping what is dead by its lifetime policy. `FORMAT.md`, section 5.
//!
//! Whoever unlinks holds the guard lock of that very object and has compared it with what the name leads to. Without that, a process
//! that removes a dead segment could remove the living one that was created under its name a moment ago.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use super::attach::{self, Fault};
use super::attachment::registry;
use super::options::SegmentOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::header::{HeaderError, Lifetime};
use crate::name::{AsSegmentName, SHM_DIR, SegmentName};
use crate::sys::locks::{self, Mode};
use crate::sys::{Access, object};

/// How often the guard of an object is tried; its holder needs a few microseconds.
const ATTEMPTS: usize = 1000;

/// Deletes a segment: the name is free at once, and those who have it attached keep it until they detach.
///
/// Only an object that begins as a segment is deleted, and only if it belongs to the caller. A damaged segment can be deleted.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) (also for one that is dead, which is removed), [`ErrorKind::NotASegment`](crate::ErrorKind::NotASegment),
/// [`ErrorKind::ForeignOwner`](crate::ErrorKind::ForeignOwner), [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied), [`ErrorKind::Busy`](crate::ErrorKind::Busy) if somebody else's removal does not end.
///
/// ```
/// use shm_core::{ErrorKind, SharedArray};
/// # let name = format!("doc-delete-{}", std::process::id());
/// let array = SharedArray::<i64, _>::full(name.as_str(), 3, 7)?;
/// shm_core::delete(name.as_str())?;
/// assert_eq!(array.get(0), 7); // still there for those who have it
/// assert_eq!(shm_core::delete(name.as_str()).unwrap_err().kind(), ErrorKind::NotFound);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn delete(name: impl AsSegmentName) -> Result<()> {
    let name = name.to_segment_name()?;
    for attempt in 0..ATTEMPTS {
        match try_delete(&name)? {
            Removal::Done => return Ok(()),
            // Another one has the name now, or it is free: look again.
            Removal::Replaced | Removal::Guarded => attach::wait_a_little(attempt),
        }
    }
    match object::stat_name(name.path()) {
        Err(Errno::NOENT) => Err(attach::open_error("delete", &name, Errno::NOENT)),
        _ => Err(super::create::removal_stuck("delete", &name)),
    }
}

/// Deletes what has the name, for whoever wants it; nothing is to be done if nothing has it.
pub(super) fn free_name(operation: &'static str, name: &SegmentName) -> Result<()> {
    match delete(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.during(operation)),
        _ => Ok(()),
    }
}

/// Says now what [`free_name`] would fail with later, as far as that can be known without trying.
pub(super) fn check_deletable(operation: &'static str, name: &SegmentName) -> Result<()> {
    let _no_child_gets_the_descriptor = registry();
    match open_deletable(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.during(operation)),
        _ => Ok(()),
    }
}

/// Opens what may be deleted under this name: a segment of the caller's, though it be damaged.
fn open_deletable(name: &SegmentName) -> Result<(OwnedFd, Lifetime)> {
    let options = SegmentOptions::new();
    let fd =
        object::open(name.path(), Access::ReadWrite).map_err(|e| attach::open_error("delete", name, e))?;
    let lifetime = match attach::read_meta(fd.as_fd(), &mut attach::meta_buffer()) {
        Ok((_, header)) => header.lifetime,
        Err(Fault::Header(HeaderError::Corrupted(_) | HeaderError::Newer(_))) => Lifetime::Persistent,
        Err(fault) => return Err(attach::explain("delete", fd.as_fd(), name, fault, &options)),
    };
    let stat = object::stat(fd.as_fd()).map_err(|e| Error::system("delete", name, "fstat", e))?;
    attach::check_type("delete", name, &stat)?;
    attach::check_owner("delete", name, &stat, &options)?;
    Ok((fd, lifetime))
}

fn try_delete(name: &SegmentName) -> Result<Removal> {
    let mut no_child_gets_the_descriptor = registry();
    no_child_gets_the_descriptor.idle.let_go(); // it may be the one
    let (fd, lifetime) = open_deletable(name)?;
    let dead = is_dead(fd.as_fd(), lifetime).map_err(|e| Error::system("delete", name, "fcntl", e))?;
    match remove_object(name, fd.as_fd()).map_err(|e| unlink_error(name, e))? {
        // Whoever has the name by now has made a new one.
        Removal::Done if dead => Err(attach::open_error("delete", name, Errno::NOENT)),
        removal => Ok(removal),
    }
}

fn unlink_error(name: &SegmentName, errno: Errno) -> Error {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Error::new(
            ErrorKind::PermissionDenied,
            "delete",
            name,
            format!("this process may not remove names from {}", name.directory().display()),
        )
        .remedy("have the mode of the directory changed, or its mount"),
        errno => Error::system("delete", name, "unlink", errno),
    }
}

/// Removes the segments in `/dev/shm` that are dead by their lifetime policy and belong to the caller; returns their names.
///
/// What is alive is never touched: locks of the kernel decide, not process ids and not age.
/// Persistent segments are never dead.
///
/// # Errors
/// [`ErrorKind::System`](crate::ErrorKind::System) if the directory cannot be read. Segments that vanish or cannot be opened meanwhile are passed over.
///
/// ```
/// let names = shm_core::reap()?;
/// assert!(names.iter().all(|name| name.is_shm()));
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn reap() -> Result<Vec<SegmentName>> {
    reap_in(SHM_DIR)
}

/// Does what [`reap`] does for the segments in a directory of `file://` names.
///
/// # Errors
/// As [`reap`].
///
/// ```
/// let names = shm_core::reap_in(std::env::temp_dir())?;
/// assert!(names.iter().all(|name| !name.is_shm()));
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn reap_in(directory: impl AsRef<Path>) -> Result<Vec<SegmentName>> {
    let mut removed = Vec::new();
    for name in super::list::names_in(directory.as_ref(), "reap")? {
        if reap_name(&name) == Ok(Reaping::Removed) {
            removed.push(name);
        }
    }
    Ok(removed)
}

/// What became of an attempt to remove one object's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Done,
    /// The name does not lead to this object any more.
    Replaced,
    /// Somebody else holds the guard.
    Guarded,
}

/// Removes the name if it still leads to this object. Nobody's attachment is asked about.
pub(super) fn remove_object(name: &SegmentName, fd: BorrowedFd<'_>) -> std::result::Result<Removal, Errno> {
    if !locks::try_lock(fd, Mode::Exclusive, locks::GUARD)? {
        return Ok(Removal::Guarded);
    }
    let result = unlink_if_same(name, fd);
    // The descriptor may live on (that of a scoped segment's owner does).
    locks::unlock(fd, locks::GUARD)?;
    result
}

fn unlink_if_same(name: &SegmentName, fd: BorrowedFd<'_>) -> std::result::Result<Removal, Errno> {
    let mine = object::stat(fd)?;
    match object::stat_name(name.path()) {
        Ok(named) if (named.device, named.inode) == (mine.device, mine.inode) => {
            object::unlink(name.path())?;
            Ok(Removal::Done)
        }
        Ok(_) | Err(Errno::NOENT) => Ok(Removal::Replaced),
        Err(errno) => Err(errno),
    }
}

/// Tells whether an object with this lifetime is dead. `fd` must hold no lock itself.
pub(super) fn is_dead(fd: BorrowedFd<'_>, lifetime: Lifetime) -> std::result::Result<bool, Errno> {
    Ok(match lifetime {
        Lifetime::Persistent => false,
        // Held exclusively by one who is removing it.
        Lifetime::LastDetach => locks::holder(fd, locks::ATTACH)? != Some(Mode::Shared),
        Lifetime::Scoped => !locks::is_held(fd, locks::OWNER)?,
    })
}

/// What became of a look at a name that may be a dead segment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaping {
    /// It was; the name is free.
    Removed,
    /// It is not, or not this user's.
    Living,
    /// Somebody else is removing it, or has: the name may be free in a moment, or another one's.
    Underway,
}

/// Removes the name if a dead segment of this user has it.
pub(super) fn reap_name(name: &SegmentName) -> std::result::Result<Reaping, Errno> {
    let _no_child_gets_the_descriptor = registry();
    let fd: OwnedFd = object::open(name.path(), Access::ReadWrite)?;
    let Ok((_, header)) = attach::read_meta(fd.as_fd(), &mut attach::meta_buffer()) else {
        return Ok(Reaping::Living);
    };
    let stat = object::stat(fd.as_fd())?;
    // A device may hold the bytes of a segment, but its name is none.
    let is_file = stat.file_type == rustix::fs::FileType::RegularFile;
    if !is_file || stat.owner != rustix::process::geteuid().as_raw() {
        return Ok(Reaping::Living);
    }
    match header.lifetime {
        Lifetime::Persistent => return Ok(Reaping::Living),
        // Held until the descriptor is closed: it keeps out who has already seen a living segment but has not locked it yet.
        Lifetime::LastDetach => {
            if !locks::try_lock(fd.as_fd(), Mode::Exclusive, locks::ATTACH)? {
                let attached = locks::holder(fd.as_fd(), locks::ATTACH)? == Some(Mode::Shared);
                return Ok(if attached { Reaping::Living } else { Reaping::Underway });
            }
        }
        // An owner that is gone never comes back, so looking is enough.
        Lifetime::Scoped if locks::is_held(fd.as_fd(), locks::OWNER)? => return Ok(Reaping::Living),
        Lifetime::Scoped => {}
    }
    Ok(match remove_object(name, fd.as_fd())? {
        Removal::Done => Reaping::Removed,
        Removal::Replaced | Removal::Guarded => Reaping::Underway,
    })
}
