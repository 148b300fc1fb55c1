//! A slot: a lock word in 64 bytes that a thread takes and gives up, with the kernel told of it, and room for notes about the holder.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | see `word` |
//! | 4 | note | of the primitive |
//! | 8 | identity or note | of the primitive |
//! | 16 | note | of the primitive |
//! | 24 | prev | reserved for the kernel's list, 0 |
//! | 32 | next | the kernel's link, see `robust`; meaningless in any thread but the holder |
//! | 40 | notes | of the primitive |
//!
//! All zero is a free slot. A mutex is one slot; a reader-writer lock, a barrier, a process-owned lock have several. This file joins the
//! word's protocol to the list's; what holding a slot means is the business of each primitive.

use super::Patience;
use super::futex::Deadline;
use super::robust::{Link, MAX_HELD, Me};
use super::word::{Acquired, Refused, Word};
use crate::error::{Error, ErrorKind};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// See the head of this file.
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub(crate) word: Word,
    pub(crate) note: AtomicU32,
    pub(crate) identity: AtomicU64,
    pub(crate) wide_note: AtomicU64,
    prev: AtomicU64,
    link: Link,
    pub(crate) notes: [AtomicU64; 3],
}

const _: () = {
    assert!(size_of::<Slot>() == 64 && align_of::<Slot>() == 64);
    assert!(offset_of!(Slot, word) == 0 && offset_of!(Slot, note) == 4);
    assert!(offset_of!(Slot, identity) == 8 && offset_of!(Slot, wide_note) == 16);
    assert!(offset_of!(Slot, prev) == 24 && offset_of!(Slot, link) == 32 && offset_of!(Slot, notes) == 40);
};

/// A slot that was taken, and by whom.
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

impl Wait {
    /// As long as it takes.
    pub(crate) fn forever() -> Self {
        Self::For(Patience::default())
    }

    /// For this long at most.
    pub(crate) fn timeout(timeout: Duration) -> Self {
        Self::For(Patience { deadline: Some(Deadline::after(timeout)), interruptible: false })
    }

    /// Until this moment at most.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self::For(Patience { deadline: Some(Deadline::at(deadline)), interruptible: false })
    }

    /// Until this moment at most, or until a signal handler has run.
    pub(crate) fn interruptible(deadline: Option<Instant>) -> Self {
        Self::For(Patience { deadline: deadline.map(Deadline::at), interruptible: true })
    }
}

impl Slot {
    /// Takes the slot if its word is 0 and `me` has room for it. The whole of an uncontended lock.
    #[inline(always)]
    pub(crate) fn take_free(&self, me: Me) -> bool {
        // If the word is not free, whoever comes next begins anew or abandons; until then a dying thread wakes somebody for nothing at worst.
        if !me.begin(&self.link) || !self.word.acquire_free(me.tid()) {
            return false;
        }
        me.hold(&self.link);
        true
    }

    /// Takes the slot if its word is 0 and `me` has room for it, so that those who watch the word wake when `me` dies.
    #[inline(always)]
    pub(crate) fn take_free_watched(&self, me: Me) -> bool {
        if !me.begin(&self.link) {
            return false;
        }
        let taken = self.word.acquire_free_watched(me.tid());
        if taken {
            me.hold(&self.link);
        } else {
            me.abandon();
        }
        taken
    }

    /// Gives up what `take_free_watched` took; nobody is woken.
    #[inline(always)]
    pub(crate) fn give_up_quietly(&self, me: Me) {
        me.let_go(&self.link, || self.word.release_quietly());
    }

    /// Takes the slot, also from a dead holder, waiting as `wait` says. `operation` is for the error ("lock the mutex").
    #[cold]
    pub(crate) fn take(&self, operation: &'static str, wait: Wait) -> Result<Locked, Error> {
        let me = Me::get()?;
        let error = |kind| Error::new(operation, kind);
        if !me.begin(&self.link) {
            return Err(error(ErrorKind::TooManyLocks).detail(format!("this thread holds {MAX_HELD} locks")));
        }
        let outcome = match wait {
            Wait::Not => self.word.try_acquire(me.tid()),
            Wait::For(patience) => self.word.acquire(me.tid(), patience),
        };
        match outcome {
            Ok(acquired) => {
                me.hold(&self.link);
                Ok(Locked { me, acquired })
            }
            Err(refused) => {
                me.abandon();
                Err(refusal(operation, refused, self.is_held_by(me)))
            }
        }
    }

    /// Takes the slot if nobody holds it, also from a dead holder, and if `me` has room for it. Does not wait.
    pub(crate) fn take_if_free(&self, me: Me) -> bool {
        if !self.word.is_free() || !me.begin(&self.link) {
            return false;
        }
        if self.word.try_acquire(me.tid()).is_err() {
            me.abandon();
            return false;
        }
        me.hold(&self.link);
        true
    }

    /// Whether the calling thread holds the slot, as far as private memory knows.
    pub(crate) fn is_held_by(&self, me: Me) -> bool {
        me.holds(&self.link)
    }

    /// Gives the slot up and wakes one who waits for it. Only for the thread that took it.
    #[inline(always)]
    pub(crate) fn give_up(&self, me: Me) {
        // What is rare is called last, so that the usual way out needs no stack.
        if !me.unlink_only(&self.link) {
            return self.give_up_one_of_several(me);
        }
        if self.word.free() {
            return self.wake_and_end(me);
        }
        me.abandon();
    }

    #[cold]
    #[inline(never)]
    fn give_up_one_of_several(&self, me: Me) {
        me.let_go(&self.link, || self.word.release());
    }

    #[cold]
    #[inline(never)]
    fn wake_and_end(&self, me: Me) {
        self.word.wake();
        me.abandon();
    }

    /// Names the slot to the kernel for a wait: should `me` be killed, one of the word's sleepers wakes. Ended by `me.abandon()`. False: `me`
    /// holds too many locks.
    pub(crate) fn announce(&self, me: Me) -> bool {
        me.begin(&self.link)
    }

    /// Gives the slot up as `release` does it, which has to take the holder out of the word.
    #[inline(always)]
    pub(crate) fn give_up_by(&self, me: Me, release: impl FnOnce()) {
        me.let_go(&self.link, release);
    }

    /// Gives the slot up so that the next holder hears of a death.
    #[cold]
    #[inline(never)]
    pub(crate) fn give_up_as_dead(&self, me: Me) {
        me.let_go(&self.link, || self.word.release_as_dead());
    }
}

/// Why `operation` failed, for people. `held`: whether private memory says that this thread holds the word that names it.
#[cold]
pub(crate) fn refusal(operation: &'static str, refused: Refused, held: bool) -> Error {
    let error = |kind| Error::new(operation, kind);
    match refused {
        Refused::Busy => error(ErrorKind::Busy),
        Refused::TimedOut => error(ErrorKind::TimedOut),
        Refused::Interrupted => error(ErrorKind::Interrupted),
        Refused::OwnWord if held => error(ErrorKind::Deadlock),
        Refused::OwnWord => error(ErrorKind::Corrupt).detail(
            "the lock word names this thread, which does not hold it (or holds it through a second mapping, or in another pid \
             namespace)",
        ),
    }
}
