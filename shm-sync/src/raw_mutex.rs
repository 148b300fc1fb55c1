//! The mutex without a value: 64 bytes in shared pages, taken and given up by a registered thread.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | see `word` |
//! | 4 | state | 0 sound, 1 poisoned; changed by the holder only |
//! | 8 | identity | tag (magic, kind, version) in the low half, length of the guarded value in the high half; 0 while never used |
//! | 16 | reserved | 0 |
//! | 24 | prev | reserved for the kernel's list, 0 |
//! | 32 | next | the kernel's link, see `robust`; meaningless in any thread but the holder |
//! | 40 | reserved | 0 |
//!
//! All zero is a sound, free, never used mutex. This file joins the word's protocol to the list's; how a thread is registered is
//! `robust`'s business, the value and the guards are `mutex`'s.

use crate::error::{Error, ErrorKind};
use crate::robust::{Link, MAX_HELD, Me};
use crate::word::{Acquired, Patience, Refused, Word};
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// `SH`, kind 1 (mutex), version 1.
const TAG: u32 = 0x5348_0101;

/// Nothing is wrong with the value.
const SOUND: u32 = 0;
/// A successor of a dead holder gave the value up.
const POISONED: u32 = 1;

/// See the head of this file.
#[repr(C, align(64))]
pub(crate) struct RawMutex {
    word: Word,
    state: AtomicU32,
    identity: AtomicU64,
    reserved: AtomicU64,
    prev: AtomicU64,
    next: Link,
    reserved_end: [AtomicU64; 3],
}

const _: () = {
    assert!(size_of::<RawMutex>() == 64 && align_of::<RawMutex>() == 64);
    assert!(offset_of!(RawMutex, word) == 0 && offset_of!(RawMutex, state) == 4);
    assert!(offset_of!(RawMutex, identity) == 8 && offset_of!(RawMutex, reserved) == 16);
    assert!(offset_of!(RawMutex, prev) == 24 && offset_of!(RawMutex, next) == 32);
};

/// A lock that was got, and by whom.
pub(crate) struct Locked {
    pub(crate) me: Me,
    pub(crate) acquired: Acquired,
}

/// How a lock call behaves.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// Not at all.
    Not,
    /// As long as it takes, or as the patience lasts.
    For(Patience),
}

impl RawMutex {
    /// What the identity field holds for a mutex that guards `value_len` bytes.
    pub(crate) const fn identity(value_len: u32) -> u64 {
        TAG as u64 | (value_len as u64) << 32
    }

    /// Makes sure that these bytes are a mutex with this identity; never used ones become one.
    pub(crate) fn adopt(&self, identity: u64) -> Result<(), ErrorKind> {
        match self.identity.compare_exchange(0, identity, Relaxed, Relaxed) {
            Err(found) if found != identity => Err(ErrorKind::Mismatch),
            _ => Ok(()),
        }
    }

    /// Makes never used bytes a mutex with this identity, as the only one who does so.
    pub(crate) fn claim(&self, identity: u64) -> Result<(), ErrorKind> {
        self.identity.compare_exchange(0, identity, Relaxed, Relaxed).map(drop).map_err(|_| ErrorKind::InUse)
    }

    /// Takes the lock if all is as usual: the thread registered, the lock free, the value sound. Otherwise `lock` finds out.
    #[inline(always)]
    pub(crate) fn lock_free(&self, identity: u64) -> Option<Me> {
        let me = Me::registered()?;
        if !me.begin(&self.next) {
            return None;
        }
        if !self.word.acquire_free(me.tid()) {
            // `lock` begins anew; until then a dying thread wakes somebody for nothing at worst.
            return None;
        }
        me.hold(&self.next);
        if self.check(identity).is_err() {
            self.unlock_cold(me);
            return None;
        }
        Some(me)
    }

    /// Takes the lock. Whether the value can be used is asked with `check`.
    #[cold]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Locked, Error> {
        let me = Me::get()?;
        if !me.begin(&self.next) {
            return Err(Error::new("lock the mutex", ErrorKind::TooManyLocks)
                .detail(format!("this thread holds {MAX_HELD} locks")));
        }
        let acquired = self.contended(me, wait)?;
        me.hold(&self.next);
        Ok(Locked { me, acquired })
    }

    fn contended(&self, me: Me, wait: Wait) -> Result<Acquired, Error> {
        let outcome = match wait {
            Wait::Not => self.word.try_acquire(me.tid()),
            Wait::For(patience) => self.word.acquire(me.tid(), patience),
        };
        outcome.map_err(|refused| {
            me.abandon();
            let error = |kind| Error::new("lock the mutex", kind);
            match refused {
                Refused::Busy => error(ErrorKind::Busy),
                Refused::TimedOut => error(ErrorKind::TimedOut),
                Refused::Interrupted => error(ErrorKind::Interrupted),
                Refused::OwnWord if me.holds(&self.next) => error(ErrorKind::Deadlock),
                Refused::OwnWord => error(ErrorKind::Corrupt).detail(
                    "the lock word names this thread, which does not hold it (or holds it through a second mapping, or in \
                     another pid namespace)",
                ),
            }
        })
    }

    /// Whether the value may be used. Only for the holder.
    #[inline(always)]
    pub(crate) fn check(&self, identity: u64) -> Result<(), ErrorKind> {
        if self.state.load(Relaxed) == SOUND && self.identity.load(Relaxed) == identity {
            Ok(())
        } else {
            Err(self.damage(identity))
        }
    }

    #[cold]
    fn damage(&self, identity: u64) -> ErrorKind {
        match (self.state.load(Relaxed), self.identity.load(Relaxed)) {
            (POISONED, found) if found == identity => ErrorKind::Poisoned,
            _ => ErrorKind::Corrupt,
        }
    }

    /// Marks the value as given up, or as sound again. Only for the holder.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        // Published to the next holder by the release of the word.
        self.state.store(if poisoned { POISONED } else { SOUND }, Relaxed);
    }

    /// Gives the lock up. Only for the thread that got it.
    #[inline(always)]
    pub(crate) fn unlock(&self, me: Me) {
        me.let_go(&self.next, || self.word.release());
    }

    #[cold]
    fn unlock_cold(&self, me: Me) {
        self.unlock(me);
    }

    /// Gives the lock up so that the next holder hears of a death.
    #[cold]
    pub(crate) fn unlock_as_dead(&self, me: Me) {
        me.let_go(&self.next, || self.word.release_as_dead());
    }
}
