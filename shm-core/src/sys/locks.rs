//! Open-file-description locks: who is attached, who holds the lease, who is removing. See fcntl(2), "Open file description locks".
//!
//! They belong to the open file description, so the kernel releases them when the last process that has it dies. The numbers of the
//! bytes are part of the format (`FORMAT.md`, section 4).

#![allow(unsafe_code, reason = "rustix has no open-file-description locks, so fcntl is called through libc")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// A range of lock bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

const BASE: u64 = 1 << 62;
/// Held shared by every attachment.
pub(crate) const ATTACH: Range = Range { first: BASE, count: 1 };
/// Held exclusively by the holder of the exclusive lease.
pub(crate) const LEASE: Range = Range { first: BASE + 1, count: 1 };
/// What an attachment locks: [`ATTACH`] and [`LEASE`] in one call.
pub(crate) const ATTACH_AND_LEASE: Range = Range { first: BASE, count: 2 };
/// Held exclusively by whoever removes the name.
pub(crate) const GUARD: Range = Range { first: BASE + 2, count: 1 };
/// Held exclusively by the owner of a scoped segment.
pub(crate) const OWNER: Range = Range { first: BASE + 3, count: 1 };

/// Every byte, whatever is locked there.
pub(crate) const ALL: Range = Range { first: 0, count: 0 };

/// The lock byte of slot `slot` in the arena of table entry `entry`.
pub(crate) fn arena_slot(entry: usize, slot: usize) -> Range {
    debug_assert!(entry < 4096 && slot < 65536);
    Range { first: BASE + 65536 * (entry as u64 + 1) + slot as u64, count: 1 }
}

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

fn request(mode: libc::c_short, range: Range) -> libc::flock64 {
    // SAFETY: `flock64` consists of integers, for which zero bytes are valid.
    let mut lock: libc::flock64 = unsafe { std::mem::zeroed() };
    lock.l_type = mode;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = range.first as i64;
    lock.l_len = range.count as i64;
    lock
}

fn fcntl(fd: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock64) -> Result<(), Errno> {
    // SAFETY: the descriptor is open as long as it is borrowed; `lock` is a valid flock64 for the length of the call, and `l_pid` in it
    // is 0, as the OFD commands demand.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), command, std::ptr::from_mut(lock)) };
    match result {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(()),
    }
}

/// Takes the lock if nobody else's is in the way, converting what this description holds there; tells whether it did.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, mode: Mode, range: Range) -> Result<bool, Errno> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    match fcntl(fd, libc::F_OFD_SETLK, &mut request(kind as libc::c_short, range)) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives back what this description holds in the range.
pub(crate) fn unlock(fd: BorrowedFd<'_>, range: Range) -> Result<(), Errno> {
    fcntl(fd, libc::F_OFD_SETLK, &mut request(libc::F_UNLCK as libc::c_short, range))
}

/// Returns the first byte of a lock of *another* description that stands in the way of `mode`, or nothing. Takes no lock itself.
pub(crate) fn conflict(fd: BorrowedFd<'_>, mode: Mode, range: Range) -> Result<Option<u64>, Errno> {
    Ok(look(fd, mode, range)?.map(|lock| lock.l_start as u64))
}

/// Tells how another description holds the range, if one does.
pub(crate) fn holder(fd: BorrowedFd<'_>, range: Range) -> Result<Option<Mode>, Errno> {
    let shared = |lock: libc::flock64| libc::c_int::from(lock.l_type) == libc::F_RDLCK;
    let found = look(fd, Mode::Exclusive, range)?;
    Ok(found.map(|lock| if shared(lock) { Mode::Shared } else { Mode::Exclusive }))
}

fn look(fd: BorrowedFd<'_>, mode: Mode, range: Range) -> Result<Option<libc::flock64>, Errno> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    let mut lock = request(kind as libc::c_short, range);
    fcntl(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok((libc::c_int::from(lock.l_type) != libc::F_UNLCK).then_some(lock))
}

/// Tells whether another description holds any lock on the range.
pub(crate) fn is_held(fd: BorrowedFd<'_>, range: Range) -> Result<bool, Errno> {
    Ok(holder(fd, range)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn locks_exclude_other_descriptions_only() {
        let path = std::env::temp_dir().join(format!("shm-locks-{}", std::process::id()));
        let open = || {
            std::fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .unwrap()
        };
        let (a, b) = (open(), open());
        assert!(try_lock(a.as_fd(), Mode::Shared, ATTACH_AND_LEASE).unwrap());
        assert!(!is_held(a.as_fd(), ATTACH).unwrap(), "one's own lock is no conflict");
        assert!(is_held(b.as_fd(), ATTACH).unwrap());
        assert!(!try_lock(b.as_fd(), Mode::Exclusive, ATTACH).unwrap());
        assert!(try_lock(a.as_fd(), Mode::Exclusive, LEASE).unwrap());
        assert!(!try_lock(b.as_fd(), Mode::Shared, ATTACH_AND_LEASE).unwrap());
        assert_eq!(conflict(b.as_fd(), Mode::Shared, ATTACH_AND_LEASE).unwrap(), Some(LEASE.first));
        assert!(try_lock(a.as_fd(), Mode::Shared, LEASE).unwrap());
        assert!(try_lock(b.as_fd(), Mode::Shared, ATTACH_AND_LEASE).unwrap());
        drop(b);
        unlock(a.as_fd(), ATTACH_AND_LEASE).unwrap();
        assert!(!is_held(open().as_fd(), ATTACH_AND_LEASE).unwrap());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn arena_bytes_do_not_meet_the_others() {
        assert!(arena_slot(0, 0).first > OWNER.first);
        assert!(arena_slot(4095, 65535).first < i64::MAX as u64);
        assert_eq!(arena_slot(1, 0).first - arena_slot(0, 65535).first, 1);
    }
}
