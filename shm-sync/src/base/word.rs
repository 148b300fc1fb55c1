//! The lock word: who holds the lock, whether somebody sleeps, whether the last holder died.
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0 to 29 | thread id | the holder; 0 when free |
//! | 30 | owner died | set by the kernel (or by a panicking holder) when the holder is gone; the thread id is 0 then |
//! | 31 | waiters | somebody may sleep: whoever releases must wake one |
//!
//! The encoding is the kernel's (`Documentation/locking/robust-futex-ABI.rst`). The free word is 0: the kernel then passes a wake-up
//! on when a woken waiter is killed before it runs. Orderings: taking the lock is an acquire, giving it up a release operation on this
//! word; marking it with "waiters" orders nothing. Taking it is also sequentially consistent (`SeqCst`), and so is looking at it with `is_zero`
//! and `is_free`: "take one's own word, then look at the other's" works between two words. After a death the kernel's own exchange is a full barrier, so the successor sees every
//! store that the dead holder made.
//!
//! A waiter spins for a bounded time with loads only, then marks the word and sleeps. Whoever has
//! slept takes the lock *with* the waiters bit, because others may still sleep. Whoever gives up waiting has marked the word (or been
//! interrupted, which consumes no wake-up) just before, so that no wake-up is lost with it. There is one way left: somebody barges in
//! with a word of 0 and the woken waiter is killed before it marks the word anew. So a sleep lasts `RECHECK` at most, and whoever wakes
//! from that only marks the word again. That repairs nothing else and detects no deaths; it also covers kernels before 6.2, which did
//! not pass on the wake-up of a word with "owner died".
//!
//! This file leaves to others: registering with the kernel, which must precede every call here (`robust`), and what lies around the word
//! (`slot`). It is what `tests/loom_mutex.rs` models.

use super::Patience;
use super::atomics::{AtomicU32, SpinWait, store_load_barrier};
#[cfg(loom)]
use super::futex::Deadline;
use super::futex::{self, Woken};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::time::Duration;

/// Somebody may sleep on the word.
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// The last holder is gone without having released the lock.
pub(crate) const OWNER_DIED: u32 = 0x4000_0000;
/// The holder's thread id.
pub(crate) const TID_MASK: u32 = 0x3fff_ffff;

/// How long a sleep lasts at most before the word is looked at again; see above.
const RECHECK: Duration = Duration::from_millis(250);

/// How the lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// From a holder that released it, or for the first time.
    Clean,
    /// From a holder that died with it. Nobody else gets this news.
    OwnerDied,
}

/// Why the lock was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Held by another thread.
    Busy,
    /// The word names the calling thread.
    OwnWord,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran, and the caller wanted to know.
    Interrupted,
}

/// See the head of this file.
#[repr(transparent)]
pub(crate) struct Word(AtomicU32);

impl Word {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes the lock if the word is 0; the whole of an uncontended lock.
    #[inline(always)]
    pub(crate) fn acquire_free(&self, tid: u32) -> bool {
        self.0.compare_exchange(0, tid, SeqCst, Relaxed).is_ok()
    }

    /// Takes the lock if the word is 0, marked from the start: should the holder die, the kernel wakes one of those who watch the word,
    /// whenever they began to. Given up with `release_quietly`, the mark costs nothing.
    #[inline(always)]
    pub(crate) fn acquire_free_watched(&self, tid: u32) -> bool {
        self.0.compare_exchange(0, tid | WAITERS, Acquire, Relaxed).is_ok()
    }

    /// Gives up what `acquire_free_watched` took, and wakes nobody: a holder that leaves is no news for those who watch for its death.
    #[inline(always)]
    pub(crate) fn release_quietly(&self) {
        // An exchange, so that a gate may be opened after it (see `gate`).
        self.0.swap(0, SeqCst);
    }

    /// The word, for those who watch it: to look at, to mark and to sleep on.
    #[inline(always)]
    pub(crate) fn watch(&self) -> &AtomicU32 {
        &self.0
    }

    /// Takes the lock if nobody holds it, also from a dead holder.
    pub(crate) fn try_acquire(&self, tid: u32) -> Result<Acquired, Refused> {
        let mut seen = self.0.load(Relaxed);
        loop {
            if let Some(owner) = owner(seen) {
                return Err(if owner == tid { Refused::OwnWord } else { Refused::Busy });
            }
            match self.take(seen, tid, 0) {
                Ok(acquired) => return Ok(acquired),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Takes the lock, waiting for it as long as `patience` lasts.
    #[cold]
    pub(crate) fn acquire(&self, tid: u32, patience: Patience) -> Result<Acquired, Refused> {
        let mut spin = SpinWait::default();
        // What the word is marked with when it is taken: after a sleep, others may be left sleeping.
        let mut mark = 0;
        loop {
            let seen = self.0.load(Relaxed);
            if owner(seen).is_some() {
                if self.pause(seen, tid, patience, &mut spin)? {
                    mark = WAITERS;
                }
            } else if let Ok(acquired) = self.take(seen, tid, mark) {
                return Ok(acquired);
            }
        }
    }

    /// Waits until nobody holds the word, without taking it, as long as `patience` lasts. What its holders did is visible then.
    #[cold]
    pub(crate) fn wait_free(&self, tid: u32, patience: Patience) -> Result<(), Refused> {
        let mut spin = SpinWait::yielding();
        while !self.is_free() {
            let seen = self.0.load(Relaxed);
            if owner(seen).is_some() {
                self.pause(seen, tid, patience, &mut spin)?;
            }
        }
        Ok(())
    }

    /// One step of waiting for a word that was held when it was `seen`: a pause, or a sleep (then true).
    fn pause(&self, seen: u32, tid: u32, patience: Patience, spin: &mut SpinWait) -> Result<bool, Refused> {
        if owner(seen) == Some(tid) {
            return Err(Refused::OwnWord);
        }
        if seen & WAITERS == 0 {
            if spin.spin(patience) {
                return Ok(false);
            }
            if self.0.compare_exchange_weak(seen, seen | WAITERS, Relaxed, Relaxed).is_err() {
                return Ok(false);
            }
        }
        // From here to the sleep the word is marked, so giving up loses nobody's wake-up.
        if patience.is_over() {
            return Err(Refused::TimedOut);
        }
        if futex::wait(&self.0, seen | WAITERS, patience.slice(RECHECK)) == Woken::Signal
            && patience.interruptible
        {
            return Err(Refused::Interrupted);
        }
        *spin = SpinWait::default();
        Ok(true)
    }

    /// Whether the word is 0: free, nobody waits for it, and its last holder did not die with it.
    #[inline(always)]
    pub(crate) fn is_zero(&self) -> bool {
        store_load_barrier();
        self.0.load(SeqCst) == 0
    }

    /// Whether nobody holds the word.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        store_load_barrier();
        owner(self.0.load(SeqCst)).is_none()
    }

    /// Whether the word names this thread.
    pub(crate) fn names(&self, tid: u32) -> bool {
        owner(self.0.load(Relaxed)) == Some(tid)
    }

    /// Whether the last holder died and nobody has the lock yet: a look, worth nothing a moment later.
    pub(crate) fn is_orphaned(&self) -> bool {
        is_orphaned(self.0.load(Relaxed))
    }

    /// Takes a word that was free when it was `seen`, keeping its waiters bit.
    fn take(&self, seen: u32, tid: u32, mark: u32) -> Result<Acquired, u32> {
        let taken = tid | (seen & WAITERS) | mark;
        self.0.compare_exchange(seen, taken, SeqCst, Relaxed)?;
        Ok(if seen & OWNER_DIED == 0 { Acquired::Clean } else { Acquired::OwnerDied })
    }

    /// Gives the lock up and wakes one sleeper. Only for the holder.
    #[inline(always)]
    pub(crate) fn release(&self) {
        if self.free() {
            self.wake();
        }
    }

    /// Gives the lock up and says whether to `wake`. Only for the holder.
    #[inline(always)]
    pub(crate) fn free(&self) -> bool {
        self.0.swap(0, Release) & WAITERS != 0
    }

    /// Wakes one sleeper.
    pub(crate) fn wake(&self) {
        futex::wake_one(&self.0);
    }

    /// Gives the lock up the way the kernel does for a dead holder. Only for the holder.
    #[cold]
    pub(crate) fn release_as_dead(&self) {
        let mut seen = self.0.load(Relaxed);
        while let Err(changed) =
            self.0.compare_exchange_weak(seen, OWNER_DIED | (seen & WAITERS), Release, Relaxed)
        {
            seen = changed;
        }
        if seen & WAITERS != 0 {
            futex::wake_one(&self.0);
        }
    }

    /// The part of `acquire` up to the end of its first sleep. Does not sleep if the word is free or its own.
    #[cfg(loom)]
    pub(crate) fn sleep_once(&self, tid: u32) {
        let mut seen = self.0.load(Relaxed);
        while let Some(owner) = owner(seen)
            && owner != tid
        {
            match self.0.compare_exchange(seen, seen | WAITERS, Relaxed, Relaxed) {
                Ok(_) => {
                    futex::wait(&self.0, seen | WAITERS, Deadline::after(RECHECK));
                    return;
                }
                Err(changed) => seen = changed,
            }
        }
    }

    /// The time slice of every sleep on this word is over.
    #[cfg(loom)]
    pub(crate) fn recheck(&self) {
        futex::recheck(&self.0);
    }

    /// What the kernel does with this word for a thread that dies holding it, or with a lock call on it unfinished
    /// (`handle_futex_death` in kernel/futex/core.c).
    #[cfg(loom)]
    pub(crate) fn kernel_cleans_up_after(&self, tid: u32) {
        loop {
            let seen = self.0.load(Relaxed);
            match owner(seen) {
                None => return futex::wake_one(&self.0),
                Some(owner) if owner != tid => return,
                Some(_) => {}
            }
            let dead = OWNER_DIED | (seen & WAITERS);
            if self.0.compare_exchange(seen, dead, SeqCst, Relaxed).is_ok() {
                if seen & WAITERS != 0 {
                    futex::wake_one(&self.0);
                }
                return;
            }
        }
    }
}

/// Whether a word says that its last holder died and nobody has the lock yet.
pub(crate) fn is_orphaned(word: u32) -> bool {
    word & (OWNER_DIED | TID_MASK) == OWNER_DIED
}

/// The holder that a word names.
pub(crate) fn owner(word: u32) -> Option<u32> {
    match word & TID_MASK {
        0 => None,
        tid => Some(tid),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::futex::Deadline;

    fn word(bits: u32) -> Word {
        Word(AtomicU32::new(bits))
    }

    fn soon() -> Patience {
        Patience { deadline: Some(Deadline::after(Duration::from_millis(1))), interruptible: false }
    }

    #[test]
    fn every_free_word_can_be_taken_and_tells_its_news_once() {
        for (bits, news, after) in [
            (0, Acquired::Clean, 5),
            (WAITERS, Acquired::Clean, 5 | WAITERS),
            (OWNER_DIED, Acquired::OwnerDied, 5),
            (OWNER_DIED | WAITERS, Acquired::OwnerDied, 5 | WAITERS),
        ] {
            let word = word(bits);
            assert_eq!(word.try_acquire(5), Ok(news), "{bits:#x}");
            assert_eq!(word.0.load(Relaxed), after, "{bits:#x}");
            word.release();
            assert_eq!(word.0.load(Relaxed), 0);
            assert_eq!(word.acquire(6, soon()), Ok(Acquired::Clean));
        }
    }

    #[test]
    fn every_held_word_is_refused() {
        for flags in [0, WAITERS, OWNER_DIED, WAITERS | OWNER_DIED] {
            assert_eq!(word(5 | flags).try_acquire(6), Err(Refused::Busy));
            assert_eq!(word(5 | flags).try_acquire(5), Err(Refused::OwnWord));
            assert_eq!(word(5 | flags).acquire(5, soon()), Err(Refused::OwnWord));
        }
    }

    #[test]
    fn giving_up_leaves_the_word_marked() {
        let word = word(5);
        assert_eq!(word.acquire(6, soon()), Err(Refused::TimedOut));
        assert_eq!(word.0.load(Relaxed), 5 | WAITERS);
    }

    #[test]
    fn a_holder_that_gives_up_as_dead_leaves_the_kernels_word() {
        let word = word(5 | WAITERS);
        word.release_as_dead();
        assert_eq!(word.0.load(Relaxed), OWNER_DIED | WAITERS);
    }
}
