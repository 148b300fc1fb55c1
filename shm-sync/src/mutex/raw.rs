//! The mutex without a value: one slot of shared pages, taken and given up by a registered thread.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | see `base::word` |
//! | 4 | state | 0 sound, 1 poisoned; changed by the holder only |
//! | 8 | identity | see `handle`; its parameter is the length of the guarded value |
//! | 16 | name | a number that tells this mutex from others, for condition variables; 0 until one needs it |
//! | 24 | | the rest of the slot, see `base::slot`; notes 0 |
//!
//! All zero is a sound, free, never used mutex. The value and the guards are `mutex`'s.

use crate::base::robust::Me;
use crate::base::slot::{Locked, Slot, Wait};
use crate::error::{Error, ErrorKind};
use crate::handle::{Kind, Raw};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::hash::{BuildHasher, RandomState};

/// Nothing is wrong with the value.
const SOUND: u32 = 0;
/// A successor of a dead holder gave the value up.
const POISONED: u32 = 1;

/// See the head of this file.
#[repr(transparent)]
pub(crate) struct RawMutex(Slot);

impl Raw for RawMutex {
    const KIND: Kind = Kind::MUTEX;

    fn identity(&self) -> &AtomicU64 {
        &self.0.identity
    }
}

impl RawMutex {
    /// Takes the lock if all is as usual: the thread registered, the lock free, the value sound. Otherwise `lock` finds out.
    #[inline(always)]
    pub(crate) fn lock_free(&self, identity: u64) -> Option<Me> {
        let me = Me::registered()?;
        if !self.0.take_free(me) {
            return None;
        }
        if self.check(identity).is_err() {
            self.unlock_cold(me);
            return None;
        }
        Some(me)
    }

    /// Takes the lock. Whether the value can be used is asked with `check`. `operation` is for the error.
    #[cold]
    pub(crate) fn lock(&self, operation: &'static str, wait: Wait) -> Result<Locked, Error> {
        self.0.take(operation, wait)
    }

    /// Whether the value may be used. For the holder; to anybody else it is a hint.
    #[inline(always)]
    pub(crate) fn check(&self, identity: u64) -> Result<(), ErrorKind> {
        if self.0.note.load(Relaxed) == SOUND && self.0.identity.load(Relaxed) == identity {
            Ok(())
        } else {
            Err(self.damage(identity))
        }
    }

    /// A number that tells this mutex from others, in every process. Only for the holder.
    pub(crate) fn name(&self) -> u32 {
        name_in(&self.0.wide_note)
    }

    /// Whether whoever locks next gets news or an error: a look from outside, at any time.
    pub(crate) fn is_in_trouble(&self, identity: u64) -> bool {
        self.0.word.is_orphaned() || self.check(identity).is_err()
    }

    #[cold]
    fn damage(&self, identity: u64) -> ErrorKind {
        match (self.0.note.load(Relaxed), self.0.identity.load(Relaxed)) {
            (POISONED, found) if found == identity => ErrorKind::Poisoned,
            _ => ErrorKind::Corrupt,
        }
    }

    /// Marks the value as given up, or as sound again. Only for the holder.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        // Published to the next holder by the release of the word.
        self.0.note.store(if poisoned { POISONED } else { SOUND }, Relaxed);
    }

    /// Gives the lock up. Only for the thread that got it.
    #[inline(always)]
    pub(crate) fn unlock(&self, me: Me) {
        self.0.give_up(me);
    }

    #[cold]
    fn unlock_cold(&self, me: Me) {
        self.unlock(me);
    }

    /// Gives the lock up so that the next holder hears of a death.
    #[cold]
    pub(crate) fn unlock_as_dead(&self, me: Me) {
        self.0.give_up_as_dead(me);
    }

    /// Whether the calling thread holds the lock, as far as private memory knows.
    pub(crate) fn is_held_by(&self, me: Me) -> bool {
        self.0.is_held_by(me)
    }

    /// Whether the word names the calling thread.
    pub(crate) fn names(&self, me: Me) -> bool {
        self.0.word.names(me.tid())
    }

    /// Room for a note of locks that are built on this one, instead of the name.
    #[inline(always)]
    pub(crate) fn wide_note(&self) -> &AtomicU64 {
        &self.0.wide_note
    }

    /// Room for a second one.
    pub(crate) fn second_note(&self) -> &AtomicU64 {
        &self.0.notes[0]
    }
}

/// The number in the low half of `place` that tells a lock from others, in every process; if there is none yet, it is given now.
pub(crate) fn name_in(place: &AtomicU64) -> u32 {
    match place.load(Relaxed) as u32 {
        0 => make_name(place),
        name => name,
    }
}

#[cold]
fn make_name(place: &AtomicU64) -> u32 {
    // Random; the process's id besides, because a forked child begins with its parent's random keys.
    let name = RandomState::new().hash_one(std::process::id()) as u32 | 1;
    // The holder alone names it; but a process mutex that a stranger has released may have two who take themselves for it.
    place.compare_exchange(0, name.into(), Relaxed, Relaxed).map_or_else(|given| given as u32, |_| name)
}
