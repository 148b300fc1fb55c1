//! The kernel's object behind a segment: opened, made, reserved, named and unnamed.
//!
//! See open(2) for `O_TMPFILE`, linkat, fallocate(2), memfd_create(2).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::{self, Errno};

use super::Access;

/// Bytes that one call reserves when signals interrupt it: each throws away no more work than this.
const RESERVE_STEP: u64 = 64 << 20;

/// What `fstat` says about an object, in the crate's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) file_type: FileType,
}

fn convert(stat: &fs::Stat) -> Stat {
    Stat {
        device: stat.st_dev,
        inode: stat.st_ino,
        #[allow(clippy::unnecessary_cast, reason = "32 bits on aarch64")]
        links: stat.st_nlink as u64,
        owner: stat.st_uid,
        mode: stat.st_mode & 0o7777,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        file_type: FileType::from_raw_mode(stat.st_mode),
    }
}

/// What the object behind a descriptor is.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    Ok(convert(&fs::fstat(fd)?))
}

/// What a name leads to now, without following a link.
pub(crate) fn stat_name(path: &Path) -> Result<Stat, Errno> {
    Ok(convert(&fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Opens an existing file without following a link or waiting for a FIFO's other end.
pub(crate) fn open(path: &Path, access: Access) -> Result<OwnedFd, Errno> {
    fs::open(path, flags(access) | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
}

fn flags(access: Access) -> OFlags {
    OFlags::CLOEXEC
        | match access {
            Access::ReadWrite => OFlags::RDWR,
            Access::ReadOnly | Access::CopyOnWrite => OFlags::RDONLY,
        }
}

/// Opens the object behind a descriptor once more: a new open file description, with locks of its own. Needs `/proc`.
pub(crate) fn reopen(fd: BorrowedFd<'_>, access: Access) -> Result<OwnedFd, Errno> {
    fs::open(own_descriptor(fd), flags(access) | OFlags::NONBLOCK, Mode::empty())
}

fn own_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Makes a file without a name in the directory.
pub(crate) fn create_unnamed(directory: &Path) -> Result<OwnedFd, Errno> {
    fs::open(directory, OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
}

/// Makes an object in memory without any name.
pub(crate) fn create_anonymous(label: &str, huge: bool) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    fs::memfd_create(label, if huge { flags | MemfdFlags::HUGETLB } else { flags })
}

/// Forbids everybody to shorten an anonymous object, and to lengthen one that does not grow.
pub(crate) fn seal(fd: BorrowedFd<'_>, growable: bool) -> Result<(), Errno> {
    let seals = if growable { SealFlags::SHRINK } else { SealFlags::SHRINK | SealFlags::GROW };
    fs::fcntl_add_seals(fd, seals)
}

/// Tells whether the object is sealed against shortening.
pub(crate) fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

/// Sets the permissions, whatever the umask says.
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    fs::fchmod(fd, Mode::from_raw_mode(mode))
}

/// Gives the unnamed file a name, which must be free.
pub(crate) fn link(fd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    match fs::linkat(CWD, own_descriptor(fd), CWD, path, AtFlags::SYMLINK_FOLLOW) {
        // Without /proc there is a second way, which older kernels reserve for the privileged.
        Err(Errno::NOENT | Errno::ACCESS) if !Path::new("/proc/self/fd").exists() => {
            fs::linkat(fd, "", CWD, path, AtFlags::EMPTY_PATH)
        }
        other => other,
    }
}

/// Removes a name.
pub(crate) fn unlink(path: &Path) -> Result<(), Errno> {
    fs::unlinkat(CWD, path, AtFlags::empty())
}

/// Reserves the bytes `from..to`, lengthening the object to `to`. Never the C library's emulation, which writes blocks.
///
/// In memory a call that fails gives back what it has reserved, and nothing that was reserved before. So all is asked for in one
/// call, and in steps only after a signal has interrupted that: a failure of a later step leaves the earlier ones reserved.
pub(crate) fn reserve(fd: BorrowedFd<'_>, from: u64, to: u64) -> Result<(), Errno> {
    let mut at = from;
    let mut step = to.saturating_sub(from);
    while at < to {
        let len = (to - at).min(step);
        match fs::fallocate(fd, FallocateFlags::empty(), at, len) {
            Ok(()) => at += len,
            Err(Errno::INTR) => step = RESERVE_STEP,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Lengthens the object to at least `to` and reserves no more than its last byte. Never shortens, whoever else lengthens it meanwhile.
pub(crate) fn extend_sparse(fd: BorrowedFd<'_>, to: u64) -> Result<(), Errno> {
    reserve(fd, to.saturating_sub(1), to)
}

/// Free bytes of the file system that the object is on; nothing if it has no limit of its own, as anonymous memory.
pub(crate) fn free_bytes(fd: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    let stat = fs::fstatvfs(fd)?;
    Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// Why the kernel may fail to deliver bytes of this object's file system although they were reserved; nothing for memory.
pub(crate) fn doubts(fd: BorrowedFd<'_>) -> Option<&'static str> {
    const TMPFS: u64 = 0x0102_1994;
    const HUGETLBFS: u64 = 0x9584_58F6;
    const EXT: u64 = 0xEF53;
    const XFS: u64 = 0x5846_5342;
    let Ok(stat) = fs::fstatfs(fd) else { return Some("the file system is unknown") };
    #[allow(clippy::unnecessary_cast, reason = "its type differs between machines")]
    match stat.f_type as u64 & 0xFFFF_FFFF {
        TMPFS | HUGETLBFS => None,
        EXT | XFS => Some("another writer may truncate the file"),
        _ => Some("the file system may need new blocks on a write, or another writer may truncate the file"),
    }
}

/// Reads up to the length of the buffer from the object's first bytes; less only at its end.
pub(crate) fn read_start(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match io::pread(fd, &mut buffer[done..], done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Writes the object's first bytes.
pub(crate) fn write_start(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match io::pwrite(fd, &bytes[done..], done as u64) {
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
