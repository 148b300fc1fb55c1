//! Creating segments: built in an unnamed file, named when complete. `FORMAT.md`, section 5.

#![allow(
    unsafe_code,
    reason = "the bytes of a segment that nobody else can reach yet are lent to its initialiser"
)]

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::Segment;
use super::attachment::{Attachment, Subject, registry};
use super::options::Place;
use super::remove::Reaping;
use super::{attach, remove};
use crate::contents::{self, Contents, Entry, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Lifetime, PAGE};
use crate::name::SegmentName;
use crate::sys::locks::{self, Mode};
use crate::sys::mapping::Mapping;
use crate::sys::{Access, object};

/// How often a name that is taken and freed again and again is tried.
const ATTEMPTS: usize = 1000;
/// From this size on, the memory that is available is looked at before it is reserved.
const LARGE: u64 = 64 << 20;
const HUGE_PAGE_LOG2: u32 = 21;

/// A segment that is complete but has no name yet: nobody else can see it.
pub(crate) struct NewSegment<'a> {
    mapping: &'a Mapping,
    entries: &'a [Entry],
}

impl NewSegment<'_> {
    /// The bytes of an entry, zero-filled at first.
    pub(crate) fn entry_mut(&mut self, index: usize) -> &mut [u8] {
        let entry = &self.entries[index];
        // SAFETY: the entry lies within the mapping (it was laid out by this process a moment ago); the object has no name and its
        // descriptor and mapping were given to nobody, so no other process or thread can reach the bytes; the borrow of `self` keeps this
        // the only reference. Bytes of a fresh file are zero, so they are initialised.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.base().add(entry.offset()), entry.len()) }
    }
}

/// Creates the segment, lets `init` fill it, and publishes it.
pub(crate) fn create(
    place: &Place,
    contents: &Contents,
    init: impl FnOnce(&mut NewSegment<'_>) -> Result<()>,
) -> Result<Segment> {
    let Place { name, options } = place;
    let subject = Subject(name.as_ref());
    options.check(&subject)?;
    if let Some(name) = name {
        // Before the work is done.
        if options.replace { remove::check_deletable("replace", name)? } else { refuse_if_taken(name)? }
    }
    let plan = Plan {
        subject: &subject,
        lifetime: if name.is_some() { options.lifetime } else { Lifetime::Persistent },
        data_align: name.as_ref().map_or(PAGE, SegmentName::data_alignment),
        align: options.align,
        map_align_log2: if options.huge_pages { HUGE_PAGE_LOG2 } else { PAGE.trailing_zeros() },
        reserve_max: options.reserve_max,
        reserved: !options.sparse,
        created_at_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    };
    let (header, meta) = contents.encode(&plan)?;
    let corrupt = |e| attach::header_error("create", &subject, e);
    let entries = contents::decode(&header, &meta).map_err(corrupt)?;
    let system = |call: &'static str| move |errno| Error::system("create", subject, call, errno);

    let fd = match name {
        Some(name) => object::create_unnamed(name.directory()).map_err(|e| unnamed_error(name, e))?,
        None => object::create_anonymous("shm", false).map_err(system("memfd_create"))?,
    };
    extend("create", subject, fd.as_fd(), 0, header.created_len, options.sparse)?;
    object::write_start(fd.as_fd(), &meta).map_err(|errno| match errno {
        // Only of a sparse one: nothing but its last page is reserved yet.
        Errno::NOSPC | Errno::DQUOT => space_error("create", subject, fd.as_fd(), header.created_len),
        errno => Error::system("create", subject, "write", errno),
    })?;
    object::set_mode(fd.as_fd(), options.mode).map_err(system("fchmod"))?;
    if name.is_none() {
        object::seal(fd.as_fd(), header.growable()).map_err(system("sealing"))?;
    }
    // Nobody else can have the object, so the locks are free.
    locks::try_lock(fd.as_fd(), Mode::Shared, locks::ATTACH_AND_LEASE)
        .map_err(system("fcntl(F_OFD_SETLK)"))?;
    let owner = header.lifetime == Lifetime::Scoped;
    if owner {
        locks::try_lock(fd.as_fd(), Mode::Exclusive, locks::OWNER).map_err(system("fcntl(F_OFD_SETLK)"))?;
    }
    let mapping = attach::map("create", &subject, fd.as_fd(), &header, Access::ReadWrite)?;
    attach::prepare("create", &subject, &mapping, header.created_len as usize, options)?;
    let mut new = NewSegment { mapping: &mapping, entries: &entries };
    for (index, bytes) in contents.initial() {
        new.entry_mut(index)[..bytes.len()].copy_from_slice(bytes);
    }
    init(&mut new)?;

    let stat = object::stat(fd.as_fd()).map_err(system("fstat"))?;
    let key = attach::key(&stat, Access::ReadWrite);
    let name = name.clone().map(attach::absolute).transpose()?;
    let attachment =
        Attachment::new(fd, mapping, key, header, entries, name.clone(), Access::ReadWrite, owner, None);
    let Some(name) = name else {
        registry().attached.insert(key, std::sync::Arc::downgrade(&attachment));
        return Ok(Segment { attachment });
    };
    for _ in 0..ATTEMPTS {
        // Under the registry's lock, so that a thread that attaches the name at once finds this attachment.
        let mut registry = registry();
        match object::link(attachment.fd(), name.path()) {
            Ok(()) => {
                registry.attached.insert(key, std::sync::Arc::downgrade(&attachment));
                return Ok(Segment { attachment });
            }
            Err(Errno::EXIST) => {
                drop(registry);
                if options.replace { remove::free_name("replace", &name)? } else { refuse_if_taken(&name)? }
            }
            Err(errno) => return Err(Error::system("create", &name, "linkat", errno)),
        }
    }
    Err(Error::new(ErrorKind::Busy, "create", &name, "others keep creating and deleting the name"))
}

/// Attaches the segment if there is one, creates it otherwise.
pub(crate) fn create_or_attach(
    place: &Place,
    contents: &Contents,
    mut init: impl FnMut(&mut NewSegment<'_>) -> Result<()>,
) -> Result<(Segment, bool)> {
    let Some(name) = &place.name else {
        return Ok((create(place, contents, init)?, true));
    };
    for _ in 0..ATTEMPTS {
        match attach::attach(name.clone(), &place.options) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other.map(|segment| (segment, false)),
        }
        match create(place, contents, &mut init) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(|segment| (segment, true)),
        }
    }
    Err(Error::new(ErrorKind::Busy, "create or attach", name, "others keep creating and deleting the name"))
}

/// Fails if something living has the name; frees the name if what has it is dead.
fn refuse_if_taken(name: &SegmentName) -> Result<()> {
    for attempt in 0..ATTEMPTS {
        let stat = match object::stat_name(name.path()) {
            // Without such a directory too, which the creation itself explains.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(Errno::LOOP) => return Err(attach::link_loop("create", name)),
            Err(errno) => return Err(Error::system("create", name, "stat", errno)),
            Ok(stat) => stat,
        };
        // Nothing but a regular file can be a dead segment, and opening a device may do things.
        let reaping = match stat.file_type {
            rustix::fs::FileType::RegularFile => remove::reap_name(name),
            _ => Ok(Reaping::Living),
        };
        match reaping {
            Ok(Reaping::Removed) => return Ok(()),
            Ok(Reaping::Underway) | Err(Errno::NOENT) => attach::wait_a_little(attempt),
            Ok(Reaping::Living) | Err(_) => {
                return Err(Error::new(ErrorKind::AlreadyExists, "create", name, "the name is taken")
                    .remedy("attach to it, delete it, or choose another name"));
            }
        }
    }
    Err(removal_stuck("create", name))
}

/// The error of whoever waits in vain for somebody else's removal.
pub(super) fn removal_stuck(operation: &'static str, name: &SegmentName) -> Error {
    Error::new(ErrorKind::Busy, operation, name, "somebody is removing what had the name and does not finish")
        .remedy("look for a stopped process that uses it")
}

fn unnamed_error(name: &SegmentName, errno: Errno) -> Error {
    let directory = name.directory().display();
    match errno {
        Errno::OPNOTSUPP | Errno::ISDIR => Error::new(
            ErrorKind::Unsupported,
            "create",
            name,
            format!("the file system of {directory} has no unnamed files (O_TMPFILE), without which a killed creator would leave a half-made segment"),
        )
        .remedy("put it on tmpfs, ext4, xfs or btrfs"),
        Errno::NOENT | Errno::NOTDIR => Error::new(
            ErrorKind::NotFound,
            "create",
            name,
            format!("there is no directory {directory}"),
        )
        .remedy(if name.is_shm() { "mount a tmpfs there" } else { "make the directory first" }),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Error::new(
            ErrorKind::PermissionDenied,
            "create",
            name,
            format!("this process may not make files in {directory}"),
        )
        .remedy("choose another directory, or have its mode or its mount changed"),
        Errno::NOSPC | Errno::DQUOT => Error::new(
            ErrorKind::OutOfSpace,
            "create",
            name,
            format!("{directory} has no room for more files (inodes)"),
        )
        .remedy("delete or reap some, or raise the limit (on tmpfs: mount -o remount,nr_inodes=...)"),
        errno => Error::system("create", name, "open(O_TMPFILE)", errno),
    }
}

/// Lengthens the object to `to` bytes, reserving those from `from` on unless it is sparse. Explains a lack of space.
pub(super) fn extend(
    operation: &'static str,
    subject: Subject<'_>,
    fd: BorrowedFd<'_>,
    from: u64,
    to: u64,
    sparse: bool,
) -> Result<()> {
    if sparse {
        return object::extend_sparse(fd, to).map_err(|errno| match errno {
            Errno::NOSPC | Errno::DQUOT => space_error(operation, subject, fd, to.saturating_sub(from)),
            errno => Error::system(operation, subject, "fallocate", errno),
        });
    }
    let bytes = to.saturating_sub(from);
    let lacks_space = || object::free_bytes(fd).is_ok_and(|free| free.is_some_and(|free| free < bytes));
    if lacks_space() {
        // What dead processes left may be what fills it.
        let _ = remove::reap();
        if lacks_space() {
            return Err(space_error(operation, subject, fd, bytes));
        }
    }
    if bytes >= LARGE
        && let Some(available) = available_memory(fd)
        && available < bytes
    {
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            operation,
            subject,
            format!(
                "it needs {}, and the machine has {} of memory available",
                human(bytes),
                human(available)
            ),
        )
        .remedy("ask for less, use file:// on a disk, or a sparse segment if only a part is ever touched"));
    }
    object::reserve(fd, from, to).map_err(|errno| match errno {
        Errno::NOSPC | Errno::DQUOT => space_error(operation, subject, fd, bytes),
        Errno::FBIG => Error::new(
            ErrorKind::LimitExceeded,
            operation,
            subject,
            format!("{} are more than a file may have here", human(to)),
        )
        .remedy("look at `ulimit -f` and the limits of the file system"),
        Errno::OPNOTSUPP => Error::new(
            ErrorKind::Unsupported,
            operation,
            subject,
            "the file system cannot reserve bytes (fallocate)",
        )
        .remedy("ask for a sparse segment, or put it on another file system"),
        errno => Error::system(operation, subject, "fallocate", errno),
    })
}

fn space_error(operation: &'static str, subject: Subject<'_>, fd: BorrowedFd<'_>, bytes: u64) -> Error {
    let free = object::free_bytes(fd).ok().flatten();
    let (place, remedy) = match subject.0 {
        Some(name) if name.is_shm() => (
            "the mount /dev/shm".to_owned(),
            "delete or reap segments, enlarge it (mount -o remount,size=... /dev/shm; docker run --shm-size), or use an anonymous or file:// segment",
        ),
        Some(name) => (
            format!("the file system of {}", name.directory().display()),
            "delete files or choose another file system",
        ),
        None => ("the memory of the machine".to_owned(), "ask for less"),
    };
    let free = free.map_or("too little".to_owned(), human);
    Error::new(
        ErrorKind::OutOfSpace,
        operation,
        subject,
        format!("it needs {}, and {place} has {free} free", human(bytes)),
    )
    .remedy(remedy)
}

/// Memory that the machine can give without killing anybody, for objects that live in memory.
fn available_memory(fd: BorrowedFd<'_>) -> Option<u64> {
    if object::doubts(fd).is_some() {
        return None; // on a disk
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((field("MemAvailable:")? + field("SwapFree:").unwrap_or(0)) * 1024)
}

/// A number of bytes as people read it.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for name in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = name;
    }
    format!("{value:.1} {unit} ({bytes} bytes)")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_for_people() {
        assert_eq!(human(7), "7 bytes");
        assert_eq!(human(1536), "1.5 KiB (1536 bytes)");
        assert_eq!(human(8 << 30), "8.0 GiB (8589934592 bytes)");
        assert_eq!(human(u64::MAX), "16384.0 PiB (18446744073709551615 bytes)");
    }
}
