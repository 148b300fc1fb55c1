//! Attaching segments: opened, locked, checked, mapped; in this order, so that nothing is touched before it is known to be ours and to
//! stay. `FORMAT.md`, sections 1, 4 and 5.
//!
//! The header is read with `pread`: through a fresh mapping the same bytes would cost a page fault more than all of the rest.

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, MutexGuard};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mm::Advice;

use super::attachment::{self, Attachment, Key, Registry, Subject, registry};
use super::idle::{self, Found, Permit};
use super::options::SegmentOptions;
use super::{Segment, remove};
use crate::contents;
use crate::error::{Error, ErrorKind, Result};
use crate::header::{Header, HeaderError, LEASE_AT, LENGTH_AT, u64_at};
use crate::name::SegmentName;
use crate::sys::Access;
use crate::sys::locks::{self, Mode};
use crate::sys::mapping::Mapping;
use crate::sys::object::{self, Stat};

/// How often a segment that is being removed again and again under one name is tried: a fifth of a second, if nothing moves.
pub(super) const ATTEMPTS: usize = 1000;
/// What is read at first: nearly every description fits.
const FIRST_READ: usize = 512;

/// What one try came to.
enum Outcome {
    Attached(Segment),
    /// The object was deleted or is being removed: the name may lead to another one now.
    Gone,
    /// The object is dead by its lifetime policy.
    Dead,
}

/// Attaches what has the name.
pub(super) fn attach(mut name: SegmentName, options: &SegmentOptions) -> Result<Segment> {
    for attempt in 0..ATTEMPTS {
        let mut registry = registry();
        let found = match registry.idle.take(&name, options.access) {
            Some(found) => found,
            None => {
                let fd = object::open(name.path(), options.access);
                Found { fd: fd.map_err(|e| open_error("attach", &name, e))?, known: None }
            }
        };
        // The attachment keeps the name: it goes in and comes back, because a copy is an allocation.
        let mut lent = Some(name);
        let outcome = attach_object(registry, found, &mut lent, true, options)?;
        name = match (outcome, lent) {
            (Outcome::Attached(segment), _) => return Ok(segment),
            (Outcome::Gone, Some(name)) => name,
            (Outcome::Dead, Some(name)) => {
                let _ = remove::reap_name(&name);
                return Err(not_found("attach", &name));
            }
            (Outcome::Gone | Outcome::Dead, None) => unreachable!("only an attachment keeps the name"),
        };
        wait_a_little(attempt);
    }
    Err(super::create::removal_stuck("attach", &name))
}

/// Attaches what the descriptor leads to.
pub(super) fn attach_descriptor(fd: OwnedFd, options: &SegmentOptions) -> Result<Segment> {
    let subject = "the segment behind a descriptor";
    let stat = object::stat(fd.as_fd()).map_err(|e| Error::system("attach", subject, "fstat", e))?;
    check_type("attach", &subject, &stat)?;
    let mut name = name_of(fd.as_fd(), &stat);
    for attempt in 0..ATTEMPTS {
        // A description of its own: locks on one that came from elsewhere are shared with whoever sent it.
        let registry = registry();
        let fresh = reopen("attach", &subject, fd.as_fd(), options.access)?;
        match attach_object(registry, Found { fd: fresh, known: None }, &mut name, stat.links > 0, options)? {
            Outcome::Attached(segment) => return Ok(segment),
            Outcome::Dead => break,
            Outcome::Gone => wait_a_little(attempt),
        }
    }
    Err(Error::new(ErrorKind::NotFound, "attach", subject, "it was deleted, or its lifetime is over"))
}

/// Opens an attached object as a new description.
///
/// By its name, if that still leads to it: the descriptor that its creator has remembers none (it was made without one), and whoever
/// is sent a new one has to find the name, or could not remove it with the last attachment.
pub(super) fn open_again(
    operation: &'static str,
    attachment: &Attachment,
    access: Access,
) -> Result<OwnedFd> {
    let is_it = |fd: &OwnedFd| object::stat(fd.as_fd()).is_ok_and(|stat| attachment.is(&stat));
    if let Some(name) = &attachment.name
        && let Ok(fd) = object::open(name.path(), access)
        && is_it(&fd)
    {
        return Ok(fd);
    }
    attachment.stat().map_err(|errno| attachment::lost(operation, attachment, errno))?;
    reopen(operation, &attachment.subject(), attachment.fd(), access)
}

/// Opens the object behind a descriptor as a new description.
pub(super) fn reopen(
    operation: &'static str,
    subject: &dyn Display,
    fd: BorrowedFd<'_>,
    access: Access,
) -> Result<OwnedFd> {
    object::reopen(fd, access).map_err(|errno| match errno {
        Errno::NOENT => Error::new(ErrorKind::Unsupported, operation, subject, "there is no /proc here")
            .remedy("mount it, or reach the segment by a name"),
        errno => Error::system(operation, subject, "open(/proc/self/fd)", errno),
    })
}

/// The name that leads to the object, if one still does.
fn name_of(fd: BorrowedFd<'_>, stat: &Stat) -> Option<SegmentName> {
    use std::os::fd::AsRawFd;
    if stat.links == 0 {
        return None;
    }
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let named = object::stat_name(&path).ok()?;
    if (named.device, named.inode) != (stat.device, stat.inode) {
        return None;
    }
    let shm =
        path.strip_prefix(crate::name::SHM_DIR).ok().and_then(|rest| SegmentName::shm(rest.to_str()?).ok());
    shm.or_else(|| SegmentName::file(path).ok())
}

/// One try; `linked` says that the object must still have a name. A new attachment takes the name with it.
///
/// The registry's lock, taken before the descriptor was opened, makes "look, map, enter" one step, and keeps away a fork in the middle of it.
fn attach_object(
    mut registry: MutexGuard<'_, Registry>, // the first parameter is dropped last
    Found { fd, known }: Found,
    name: &mut Option<SegmentName>,
    linked: bool,
    options: &SegmentOptions,
) -> Result<Outcome> {
    let subject = Subject(name.as_ref());
    let system = |call: &'static str| move |errno| Error::system("attach", subject, call, errno);
    let mut buffer = [0; FIRST_READ];
    let (meta, header) = match (read_meta(fd.as_fd(), &mut buffer), &known) {
        (Ok(read), None) => read,
        (Ok(read), Some(known)) if known.is(&read.1) => read,
        (_, Some(known)) => {
            // Something is wrong with it, or with the descriptor: opened anew it can be said what.
            idle::close(fd, key(&known.stat, options.access));
            return Ok(Outcome::Gone);
        }
        (Err(fault), None) => return Err(explain("attach", fd.as_fd(), &subject, fault, options)),
    };
    let meta = meta.as_deref().unwrap_or_else(|| &buffer[..header.meta_len as usize]);
    let system_lock = system("fcntl(F_OFD_GETLK)");
    if remove::is_dead(fd.as_fd(), header.lifetime).map_err(system_lock)? {
        let stat = object::stat(fd.as_fd()).map_err(system("fstat"))?;
        check_type("attach", &subject, &stat)?;
        return Ok(Outcome::Dead);
    }
    if !locks::try_lock(fd.as_fd(), Mode::Shared, locks::ATTACH_AND_LEASE)
        .map_err(system("fcntl(F_OFD_SETLK)"))?
    {
        let conflict = locks::conflict(fd.as_fd(), Mode::Shared, locks::ATTACH_AND_LEASE)
            .map_err(system("fcntl(F_OFD_GETLK)"))?;
        if conflict == Some(locks::LEASE.first) {
            return Err(leased(&subject, u64_at(&buffer, LEASE_AT)));
        }
        return Ok(Outcome::Gone);
    }
    // From here on nobody removes it as dead, and a removal before shows in the link count.
    // (What was kept is persistent, so it is never dead, it is this user's, and the name has just led to it.)
    let stat = match &known {
        Some(known) => known.stat,
        None => object::stat(fd.as_fd()).map_err(system("fstat"))?,
    };
    check_type("attach", &subject, &stat)?;
    if known.is_none() {
        check_owner("attach", &subject, &stat, options)?;
    }
    if linked && stat.links == 0 {
        return Ok(Outcome::Gone);
    }
    let corrupt = |e| header_error("attach", &subject, e);
    // A growing segment may have grown between the two reads: that makes the object longer, never shorter.
    header.check_len(u64_at(&buffer, LENGTH_AT), stat.size).map_err(corrupt)?;
    let entries = contents::decode(&header, meta).map_err(corrupt)?;

    let key = key(&stat, options.access);
    // Private mappings are never entered: each has changes of its own.
    if let Some(known) = registry.attached.get(&key).and_then(std::sync::Weak::upgrade) {
        if known.is_inherited() {
            known.adopt(fd);
        } else {
            drop(fd);
        }
        drop(registry);
        prepare("attach", &subject, known.mapping(), u64_at(&buffer, LENGTH_AT) as usize, options)?;
        return Ok(Outcome::Attached(Segment { attachment: known }));
    }
    let mapping = match known {
        Some(known) => known.mapping,
        None => map("attach", &subject, fd.as_fd(), &header, options.access)?,
    };
    let name = name.take().map(absolute).transpose()?;
    let permit = name.as_ref().and_then(|name| Permit::to_keep(&stat, name, &header, options.access));
    let attachment = Attachment::new(fd, mapping, key, header, entries, name, options.access, false, permit);
    if options.access != Access::CopyOnWrite {
        registry.attached.insert(key, Arc::downgrade(&attachment));
    }
    drop(registry); // the rest may take long
    let segment = Segment { attachment };
    let len = u64_at(&buffer, LENGTH_AT) as usize;
    prepare("attach", &segment.attachment.subject(), segment.attachment.mapping(), len, options)?;
    Ok(Outcome::Attached(segment))
}

/// What kept the description of a segment from being read.
pub(super) enum Fault {
    System(Errno),
    Header(HeaderError),
}

/// Reads and checks header and table: in the buffer if they fit, otherwise in the vector.
pub(super) fn read_meta(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8; FIRST_READ],
) -> std::result::Result<(Option<Vec<u8>>, Header), Fault> {
    let read = object::read_start(fd, buffer).map_err(Fault::System)?;
    let meta_len = Header::meta_len_of(&buffer[..read]).map_err(Fault::Header)?;
    if meta_len <= FIRST_READ {
        let header = Header::decode(&buffer[..meta_len.min(read)]).map_err(Fault::Header)?;
        return Ok((None, header));
    }
    let mut meta = vec![0; meta_len];
    let read = object::read_start(fd, &mut meta).map_err(Fault::System)?;
    let header = Header::decode(&meta[..read]).map_err(Fault::Header)?;
    Ok((Some(meta), header))
}

/// The room that [`read_meta`] wants.
pub(super) fn meta_buffer() -> [u8; FIRST_READ] {
    [0; FIRST_READ]
}

/// Finds the best words for an object that has no readable header: what it is comes before what is in it.
pub(super) fn explain(
    operation: &'static str,
    fd: BorrowedFd<'_>,
    subject: &dyn Display,
    fault: Fault,
    options: &SegmentOptions,
) -> Error {
    if let Ok(stat) = object::stat(fd)
        && let Err(error) = check_type(operation, subject, &stat)
            .and_then(|()| check_owner(operation, subject, &stat, options))
    {
        return error;
    }
    match fault {
        Fault::System(errno) => Error::system(operation, subject, "pread", errno),
        Fault::Header(error) => header_error(operation, subject, error),
    }
}

/// Fails unless the object is a regular file.
pub(super) fn check_type(operation: &'static str, subject: &dyn Display, stat: &Stat) -> Result<()> {
    let what = match stat.file_type {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Symlink => "a symbolic link",
        _ => "no regular file",
    };
    Err(not_a_segment(operation, subject, format!("it is {what}")))
}

fn not_a_segment(operation: &'static str, subject: &dyn Display, reason: String) -> Error {
    Error::new(ErrorKind::NotASegment, operation, subject, reason)
        .remedy("check the name; if it is in the way, remove it with other tools")
}

/// Fails for another user's object unless the caller wants those.
pub(super) fn check_owner(
    operation: &'static str,
    subject: &dyn Display,
    stat: &Stat,
    options: &SegmentOptions,
) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if stat.owner == me || options.any_owner {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::ForeignOwner,
        operation,
        subject,
        format!("it belongs to user {}, and this process runs as user {me}", stat.owner),
    );
    Err(match operation {
        "attach" => error.remedy("ask for it with SegmentOptions::any_owner(true) if you trust that user"),
        _ => error.remedy("let that user do it"),
    })
}

pub(super) fn header_error(operation: &'static str, subject: &dyn Display, error: HeaderError) -> Error {
    match error {
        HeaderError::NotASegment(reason) => not_a_segment(operation, subject, reason),
        HeaderError::Newer(reason) => Error::new(ErrorKind::UnsupportedVersion, operation, subject, reason)
            .remedy("update this library, or create the segment anew"),
        HeaderError::Corrupted(reason) => Error::new(ErrorKind::Corrupted, operation, subject, reason)
            .remedy("delete it and create it anew"),
    }
}

/// The error for an open that failed.
pub(super) fn open_error(operation: &'static str, name: &SegmentName, errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => not_found(operation, name),
        Errno::LOOP | Errno::MLINK if object::stat_name(name.path()) != Err(Errno::LOOP) => {
            not_a_segment(operation, name, "it is a symbolic link, and those are not followed".into())
        }
        Errno::LOOP => link_loop(operation, name),
        Errno::ISDIR => not_a_segment(operation, name, "it is a directory".into()),
        Errno::NXIO => not_a_segment(operation, name, "it is a FIFO, a socket or a device".into()),
        Errno::ACCESS | Errno::PERM => {
            let whose = match object::stat_name(name.path()) {
                // On a mount that allows no devices they are told by this error.
                Ok(stat) => match check_type(operation, name, &stat) {
                    Ok(()) => format!("it belongs to user {} and has mode {:#o}", stat.owner, stat.mode),
                    Err(error) => return error,
                },
                Err(_) => "the directory or the file forbids it".into(),
            };
            let remedy = match operation {
                "attach" => "attach read-only if that is allowed, or have its owner change the mode",
                _ => "let its owner do it, or have the mode changed",
            };
            Error::new(ErrorKind::PermissionDenied, operation, name, whose).remedy(remedy)
        }
        Errno::ROFS => {
            let remedy = match operation {
                "attach" => "attach read-only, or have it mounted for writing",
                _ => "have it mounted for writing",
            };
            Error::new(ErrorKind::PermissionDenied, operation, name, "its file system is mounted read-only")
                .remedy(remedy)
        }
        errno => Error::system(operation, name, "open", errno),
    }
}

/// The error for a folder that cannot be reached.
pub(super) fn link_loop(operation: &'static str, name: &SegmentName) -> Error {
    let reason = format!(
        "symbolic links on the way to {} lead in a circle, or are too many",
        name.directory().display()
    );
    Error::new(ErrorKind::System, operation, name, reason)
        .remedy("have the links changed, or use another path")
}

fn not_found(operation: &'static str, name: &SegmentName) -> Error {
    Error::new(ErrorKind::NotFound, operation, name, "no segment has this name")
        .remedy("create it first, or look at the list of segments")
}

/// The error of whoever meets an exclusive lease.
pub(super) fn leased(subject: &dyn Display, holder: u64) -> Error {
    let holder = match holder {
        0 => "another process".to_owned(),
        pid => format!("process {pid}"),
    };
    Error::new(ErrorKind::Busy, "attach", subject, format!("{holder} holds its exclusive lease"))
        .remedy("try again when the lease has been given back")
}

/// Maps the reserved length.
pub(super) fn map(
    operation: &'static str,
    subject: &dyn Display,
    fd: BorrowedFd<'_>,
    header: &Header,
    access: Access,
) -> Result<Mapping> {
    Mapping::new(fd, header.reserved_max as usize, header.alignment_log2, access).map_err(|errno| match errno
    {
        // Valgrind says EINVAL where it has no room; the kernel has no such error for what is asked here.
        Errno::NOMEM | Errno::INVAL => Error::new(
            ErrorKind::OutOfMemory,
            operation,
            subject,
            format!(
                "the process has no {} of address space, or too many mappings",
                super::create::human(header.reserved_max)
            ),
        )
        .remedy("look at `ulimit -v` and /proc/sys/vm/max_map_count, or reserve less"),
        errno => Error::system(operation, subject, "mmap", errno),
    })
}

/// Does to a new mapping what the options ask for.
pub(super) fn prepare(
    operation: &'static str,
    subject: &dyn Display,
    mapping: &Mapping,
    len: usize,
    options: &SegmentOptions,
) -> Result<()> {
    if options.huge_pages {
        // Advice: a kernel without huge pages for shared memory refuses it, and that is no failure.
        let _ = mapping.advise(0, mapping.len(), Advice::LinuxHugepage);
    }
    if options.prefault {
        prefault(operation, subject, mapping, len, options.access)?;
    }
    if options.lock_memory {
        lock_memory(operation, subject, mapping, len)?;
    }
    Ok(())
}

/// Enters the pages of the first `len` bytes into the page table.
pub(super) fn prefault(
    operation: &'static str,
    subject: &dyn Display,
    mapping: &Mapping,
    len: usize,
    access: Access,
) -> Result<()> {
    // Populating for writing would give a private mapping copies of all pages.
    let advice = match access {
        Access::ReadWrite => Advice::LinuxPopulateWrite,
        Access::ReadOnly | Access::CopyOnWrite => Advice::LinuxPopulateRead,
    };
    match mapping.advise(0, len, advice) {
        // Kernels before 5.14 do not know it; a read for the sake of speed alone is not worth a second way.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(Errno::NOMEM | Errno::FAULT) => Err(Error::new(
            ErrorKind::OutOfMemory,
            operation,
            subject,
            "the memory behind it ran out while its pages were entered",
        )),
        Err(errno) => Err(Error::system(operation, subject, "madvise(MADV_POPULATE)", errno)),
    }
}

pub(super) fn lock_memory(
    operation: &'static str,
    subject: &dyn Display,
    mapping: &Mapping,
    len: usize,
) -> Result<()> {
    mapping.lock_memory(0, len).map_err(|errno| match errno {
        Errno::NOMEM | Errno::AGAIN | Errno::PERM => {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
            let limit = limit.map_or("no limit".to_owned(), super::create::human);
            Error::new(
                ErrorKind::OutOfMemory,
                operation,
                subject,
                format!(
                    "the process may not lock {} in memory (its limit: {limit})",
                    super::create::human(len as u64)
                ),
            )
            .remedy("raise `ulimit -l`, or do without the lock")
        }
        errno => Error::system(operation, subject, "mlock", errno),
    })
}

/// What the registry knows an attachment by.
pub(super) fn key(stat: &Stat, access: Access) -> Key {
    (stat.device, stat.inode, access as u8)
}

/// The name with an absolute path, which still means the same after a change of directory.
pub(super) fn absolute(name: SegmentName) -> Result<SegmentName> {
    if name.path().is_absolute() {
        return Ok(name);
    }
    let path = std::path::absolute(name.path())
        .map_err(|e| Error::io("find", &name, format!("the working directory is unknown: {e}"), &e))?;
    SegmentName::file(path)
}

/// Lets the other side of a short race finish: first by yielding, then by sleeping.
pub(super) fn wait_a_little(attempt: usize) {
    if attempt < 100 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}
