//! Which addresses of this process are shared memory, and what keeps them mapped.
//!
//! One [`Held`] for each mapping, however many arrays look at it: `.base` does not tell whether an array is shared (NumPy cuts the chain of
//! bases short), its address does. The table is used with the interpreter's lock held only, so a fork by Python never finds it locked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use shm_core::{Access, Segment};

use crate::raw::RawMapping;
use crate::reference::{self, Identity};

static RANGES: Mutex<BTreeMap<usize, Weak<Held>>> = Mutex::new(BTreeMap::new());

/// What is mapped.
pub(crate) enum Home {
    /// A segment of this library.
    Segment(Segment),
    /// Bytes that somebody else has made.
    Raw(RawMapping),
}

/// A mapping, from the first handle to the last.
pub(crate) struct Held {
    home: Home,
    start: usize,
    capacity: usize,
    identity: OnceLock<Option<Identity>>,
}

impl Held {
    /// Enters a mapping into the table, or finds the one that it is.
    pub(crate) fn enter(home: Home) -> Arc<Held> {
        let (start, capacity) = match &home {
            Home::Segment(segment) => (segment.as_ptr().addr(), segment.capacity()),
            Home::Raw(mapping) => (mapping.as_ptr().addr(), mapping.len()),
        };
        let mut ranges = ranges();
        if let Some(known) = ranges.get(&start).and_then(Weak::upgrade) {
            drop(ranges);
            return known; // and `home` is one handle too many of the same mapping
        }
        let held = Arc::new(Held { home, start, capacity, identity: OnceLock::new() });
        ranges.insert(start, Arc::downgrade(&held));
        held
    }

    /// Finds what all of `len` bytes at an address lie in; no bytes lie in anything that begins there.
    pub(crate) fn find(address: usize, len: usize) -> Option<Arc<Held>> {
        let held = ranges().range(..=address).next_back().and_then(|(_, held)| held.upgrade())?;
        let end = address.checked_add(len)?;
        (end <= held.start + held.capacity).then_some(held)
    }

    /// Finds the first that is wanted.
    pub(crate) fn find_by(wanted: impl Fn(&Held) -> bool) -> Option<Arc<Held>> {
        let all: Vec<_> = ranges().values().filter_map(Weak::upgrade).collect();
        all.into_iter().find(|held| wanted(held))
    }

    /// All that is mapped now, which stays mapped as long as the answer is kept.
    pub(crate) fn all() -> Vec<Arc<Held>> {
        ranges().values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn segment(&self) -> Option<&Segment> {
        match &self.home {
            Home::Segment(segment) => Some(segment),
            Home::Raw(_) => None,
        }
    }

    /// The address of the mapping's first byte, as a number.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The address of the mapping's first byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match &self.home {
            Home::Segment(segment) => segment.as_ptr(),
            Home::Raw(mapping) => mapping.as_ptr(),
        }
    }

    /// What tells this memory from all other, unless its descriptor had been closed by somebody else when it was first asked.
    pub(crate) fn identity(&self) -> Option<Identity> {
        *self.identity.get_or_init(|| reference::identity_of(&self.home))
    }

    /// How many bytes exist now.
    pub(crate) fn len(&self) -> usize {
        match &self.home {
            Home::Segment(segment) => segment.len(),
            Home::Raw(mapping) => mapping.len(),
        }
    }

    pub(crate) fn access(&self) -> Access {
        match &self.home {
            Home::Segment(segment) => segment.access(),
            Home::Raw(mapping) => mapping.access(),
        }
    }

    /// What messages should call it.
    pub(crate) fn label(&self) -> String {
        match &self.home {
            Home::Segment(segment) => segment.label().to_string(),
            Home::Raw(mapping) => mapping.name().to_string(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ranges = ranges();
        // Not if somebody has entered the mapping anew since the count reached 0.
        if ranges.get(&self.start).is_some_and(|entry| std::ptr::eq(entry.as_ptr(), self)) {
            ranges.remove(&self.start);
        }
    }
}

fn ranges() -> MutexGuard<'static, BTreeMap<usize, Weak<Held>>> {
    RANGES.lock().unwrap_or_else(PoisonError::into_inner)
}
