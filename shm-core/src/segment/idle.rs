//! The small segment that was detached last, unlocked but still open and mapped: whoever attaches it again at once need not open and map it anew.
//!
//! That is what a worker does that gets references to one array, task after task; opening, mapping, unmapping and closing take half of the time of
//! an attach and a detach, and the page faults behind it are saved besides. What is idle is attached nowhere: its locks are given back, so nobody sees it, and it
//! keeps nobody from a lease. Attaching checks everything as ever, of the name, the description and the locks; only the calls that
//! would make what is there already are left out.
//!
//! What it costs is bounded: one segment in a process, at most [`LARGEST`] bytes, so no more than that stays allocated when its name is deleted by
//! another process. Only persistent segments of this user's with a `shm://` name are kept (the others end with their last attachment, or would keep a file system
//! from being unmounted), and none whose pages were locked or advised on. It goes before a fork, when this process deletes a name, and when another is
//! kept. And none is kept before it was attached twice in a row.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::geteuid;

use super::attachment::Key;
use crate::header::{Header, Lifetime};
use crate::name::SegmentName;
use crate::sys::mapping::Mapping;
use crate::sys::object::{self, Stat};
use crate::sys::{Access, locks};

/// No longer mapping is kept.
const LARGEST: usize = 1 << 20;

/// What let this process open an object of its user's own: as long as it is the same, it could open it again. (Whoever opens another's does so by a
/// group, a list or a capability, which it may give up.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    owner: u32,
    mode: u32,
}

impl Permit {
    fn of(stat: &Stat) -> Option<Permit> {
        (stat.owner == geteuid().as_raw()).then_some(Permit { owner: stat.owner, mode: stat.mode })
    }

    /// The permit of an object that was opened by a name just now, if it may be kept one day.
    pub(super) fn to_keep(
        stat: &Stat,
        name: &SegmentName,
        header: &Header,
        access: Access,
    ) -> Option<Permit> {
        let fits = header.lifetime == Lifetime::Persistent
            && header.reserved_max <= LARGEST as u64
            && name.is_shm()
            && access != Access::CopyOnWrite;
        if fits { Permit::of(stat) } else { None }
    }
}

/// What a name leads to: an open object, and more if it was kept.
pub(super) struct Found {
    pub(super) fd: OwnedFd,
    pub(super) known: Option<Known>,
}

/// What is known of an object that was kept.
pub(super) struct Known {
    pub(super) mapping: Mapping,
    /// What the name has just led to.
    pub(super) stat: Stat,
    header: Header,
}

impl Known {
    /// Whether the header that was read through the descriptor is that of the object: it names its creator and the nanosecond, so it tells a
    /// descriptor that the program has closed meanwhile, and that is another file's by now.
    pub(super) fn is(&self, header: &Header) -> bool {
        self.header == *header
    }
}

/// A segment that nobody has attached here any more.
pub(super) struct Kept {
    pub(super) fd: OwnedFd,
    pub(super) mapping: Mapping,
    pub(super) key: Key,
    pub(super) name: SegmentName,
    pub(super) permit: Permit,
    pub(super) header: Header,
}

/// See the head of this file.
pub(crate) struct Idle {
    kept: Option<Kept>,
    /// What was detached last: a segment is kept from the second time in a row on, so that those which are attached once pay nothing for it.
    last: Option<Key>,
}

impl Idle {
    pub(super) const fn nothing() -> Idle {
        Idle { kept: None, last: None }
    }

    /// Tells whether a segment that is just detached would be kept.
    pub(super) fn wants(&mut self, key: Key) -> bool {
        self.last.replace(key) == Some(key)
    }

    /// Gives the locks back and keeps the rest.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.let_go();
        if kept.mapping.is_plain() && locks::unlock(kept.fd.as_fd(), locks::ALL).is_ok() {
            self.kept = Some(kept);
        }
    }

    /// What the name leads to, if that is what is kept here and it would be opened in the same way today.
    pub(super) fn take(&mut self, name: &SegmentName, access: Access) -> Option<Found> {
        let kept = self.kept.as_ref().filter(|kept| kept.key.2 == access as u8 && kept.name == *name)?;
        let stat = object::stat_name(name.path())
            .ok()
            .filter(|stat| kept.is(stat) && Permit::of(stat) == Some(kept.permit));
        let Some(stat) = stat else {
            self.let_go();
            return None;
        };
        let Kept { fd, mapping, header, .. } = self.kept.take()?;
        Some(Found { fd, known: Some(Known { mapping, stat, header }) })
    }

    /// Closes and unmaps what is kept.
    pub(super) fn let_go(&mut self) {
        if let Some(Kept { fd, key, .. }) = self.kept.take() {
            close(fd, key);
        }
    }
}

impl Kept {
    fn is(&self, stat: &Stat) -> bool {
        (stat.device, stat.inode) == (self.key.0, self.key.1)
    }
}

/// Closes a descriptor that was kept, unless the program has done so and its number is another file's by now.
pub(super) fn close(fd: OwnedFd, (device, inode, _): Key) {
    if !object::stat(fd.as_fd()).is_ok_and(|stat| (stat.device, stat.inode) == (device, inode)) {
        std::mem::forget(fd);
    }
}
