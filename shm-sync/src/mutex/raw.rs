//! The mutex without a value: one slot of shared pages, taken and given up by a registered thread.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | see `base::word` |
//! | 4 | state | 0 sound, 1 poisoned; changed by the holder only |
//! | 8 | identity | see `handle`; its parameter is the length of the guarded value |
//! | 16 | | the rest of the slot, see `base::slot`; notes 0 |
//!
//! All zero is a sound, free, never used mutex. The value and the guards are `mutex`'s.

use crate::base::robust::Me;
use crate::base::slot::{Locked, Slot, Wait};
use crate::error::{Error, ErrorKind};
use crate::handle::{Kind, Raw};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

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

    /// Whether the value may be used. Only for the holder.
    #[inline(always)]
    pub(crate) fn check(&self, identity: u64) -> Result<(), ErrorKind> {
        if self.0.note.load(Relaxed) == SOUND && self.0.identity.load(Relaxed) == identity {
            Ok(())
        } else {
            Err(self.damage(identity))
        }
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
}
