//! Shared memory that somebody else has made: a file, mapped as it is, whose layout only the caller knows. Nothing here ever removes it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use shm_core::{Access, Error, ErrorKind, Result, SegmentName};

const OPERATION: &str = "attach the bytes of";

/// A mapping of all bytes that the file had when it was opened.
///
/// Whoever truncates the file takes the bytes away under it; a touch is fatal then (SIGBUS), as for every mapping of a file.
pub(crate) struct RawMapping {
    region: MmapRaw,
    fd: OwnedFd,
    name: SegmentName,
    access: Access,
}

impl RawMapping {
    pub(crate) fn open(name: SegmentName, access: Access, any_owner: bool) -> Result<RawMapping> {
        let failed = |call: &str, errno: Errno| {
            let kind = match errno {
                Errno::NOENT => ErrorKind::NotFound,
                Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::PermissionDenied,
                Errno::NOMEM => ErrorKind::OutOfMemory,
                Errno::LOOP | Errno::ISDIR | Errno::NXIO => ErrorKind::NotASegment,
                _ => ErrorKind::System,
            };
            let text = std::io::Error::from_raw_os_error(errno.raw_os_error());
            Error::new(kind, OPERATION, &name, format!("{call} failed: {text}"))
        };
        let mode = if access == Access::ReadWrite { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = mode | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(name.path(), flags, Mode::empty()).map_err(|errno| failed("open", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed("fstat", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(ErrorKind::NotASegment, OPERATION, &name, "it is no regular file"));
        }
        let me = rustix::process::geteuid().as_raw();
        if stat.st_uid != me && !any_owner {
            let reason = format!("it belongs to user {}, and this process runs as user {me}", stat.st_uid);
            return Err(Error::new(ErrorKind::ForeignOwner, OPERATION, &name, reason)
                .remedy("pass any_owner=True if you trust that user"));
        }
        if shm_core::inspect(&name).is_ok() {
            // Such a mapping would not count as an attachment, and a mistake in it would damage the header.
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                OPERATION,
                &name,
                "it is a segment of this library",
            )
            .remedy("attach it with shm.attach, and take a view of what that returns"));
        }
        let len = usize::try_from(stat.st_size).unwrap_or(0);
        if len == 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, OPERATION, &name, "it is empty")
                .remedy("let whoever made it give it a length first"));
        }
        let region = match access {
            Access::ReadOnly => MmapOptions::new().len(len).map_raw_read_only(fd.as_raw_fd()),
            _ => MmapOptions::new().len(len).map_raw(fd.as_raw_fd()),
        };
        let region =
            region.map_err(|error| failed("mmap", Errno::from_io_error(&error).unwrap_or(Errno::INVAL)))?;
        Ok(RawMapping { region, fd, name, access })
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.region.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.region.len()
    }

    pub(crate) fn name(&self) -> &SegmentName {
        &self.name
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn sync(&self, start: bool) -> Result<()> {
        let done = if start { self.region.flush_async() } else { self.region.flush() };
        self.system("sync", "msync", done)
    }

    pub(crate) fn lock_memory(&self) -> Result<()> {
        self.system("lock in memory", "mlock", self.region.lock())
    }

    pub(crate) fn unlock_memory(&self) -> Result<()> {
        self.system("unlock in memory", "munlock", self.region.unlock())
    }

    fn system(&self, operation: &'static str, call: &str, done: std::io::Result<()>) -> Result<()> {
        done.map_err(|error| {
            let kind = match Errno::from_io_error(&error) {
                Some(Errno::NOMEM | Errno::AGAIN | Errno::PERM) => ErrorKind::OutOfMemory,
                _ => ErrorKind::System,
            };
            Error::new(kind, operation, &self.name, format!("{call} failed: {error}"))
        })
    }
}

impl AsFd for RawMapping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
