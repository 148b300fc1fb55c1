//! The owner word: which process holds the lock, which of its lockings that was, whether somebody sleeps, whether there is news.
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0 to 7 | slot | the holder's process, by the number of its slot |
//! | 8 to 28 | ticket | which locking this is, so that a guard whose lock a stranger has released does not release its successor's |
//! | 29 | held | set while held: the low 30 bits are never a thread id (those stay below 2^22), so the kernel, cleaning up after a waiter, never takes the word for that waiter's own |
//! | 30 | news | free: the next holder is to hear of a death. Held: the holder has heard and not recovered yet |
//! | 31 | waiters | somebody may sleep on the word: whoever releases must wake one |
//!
//! Free is a word whose low 30 bits are 0; a waiter's `list_op_pending` names the word, so that the kernel passes its wake-up on if it is
//! killed after it was woken. The word alone does not tell that a holder has died: for that every process has a slot, a robust word in
//! the list of one of its threads, and a waiter sleeps on both words. The slot's word says that the *thread* is gone, which is a
//! hint; what has become of the process is asked of [`Holders`]. A sleep lasts 250 ms at most, which repairs a wake-up that was lost with a
//! killed waiter while somebody barged in, and nothing else.
//!
//! Taking the word is an acquire, giving it up a release. This file is what `tests/loom_process_mutex.rs` models; it leaves to others where
//! slots come from (`seat`) and what a process's death looks like (`holder`).

use crate::base::Patience;
use crate::base::atomics::{AtomicU32, SpinWait};
use crate::base::futex::{self, Deadline, Woken};
use crate::base::word::{Acquired, OWNER_DIED, Refused, WAITERS, owner};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::time::Duration;

/// The holder has a slot.
const HELD: u32 = 0x2000_0000;
/// The next holder is to be told of a death, or the holder was told.
const NEWS: u32 = OWNER_DIED;
const FLAGS: u32 = WAITERS | NEWS;

const SLOT_MASK: u32 = 0xff;
const TICKET_SHIFT: u32 = 8;
const TICKET_MASK: u32 = 0x1f_ffff;

/// How long a sleep lasts at most; see above.
const RECHECK: Duration = Duration::from_millis(250);

/// One locking of one process: what the word holds meanwhile, but for the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold(u32);

impl Hold {
    #[inline(always)]
    fn new(slot: u32, ticket: u32) -> Self {
        Self(HELD | (ticket & TICKET_MASK) << TICKET_SHIFT | slot & SLOT_MASK)
    }
}

/// Who has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Nobody.
    Free,
    /// The process with this slot.
    Held(u32),
    /// The word makes no sense.
    Damaged,
}

fn view(word: u32) -> View {
    match word & !FLAGS {
        0 => View::Free,
        held if held & HELD != 0 => View::Held(held & SLOT_MASK),
        _ => View::Damaged,
    }
}

/// Whether the word says that somebody has the lock, or that this locking is the one.
fn is_held(word: u32, only: Option<Hold>) -> bool {
    matches!(view(word), View::Held(_)) && only.is_none_or(|only| word & !FLAGS == only.0)
}

/// Why the lock was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// As for any lock word.
    Refused(Refused),
    /// The word, or the slot that it names, makes no sense.
    Damaged,
}

/// What has become of the process of a slot whose word names no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has ended.
    Dead,
    /// It lives, or nobody knows, and the time that was given is over; or the slot is in use again.
    Look,
    /// A signal handler ran.
    Signal,
    /// The slot belongs to nobody.
    Vacant,
}

/// What the owner word needs to know of the slots.
pub(crate) trait Holders {
    /// The robust word of a slot, if there is such a slot.
    fn word(&self, slot: u32) -> Option<&AtomicU32>;

    /// Finds out about the process of a slot whose word names no thread, waiting for its end for the `turn`th time, and not beyond `until`.
    fn fate(&self, slot: u32, turn: u32, until: Option<Deadline>) -> Fate;

    /// Calls `inherit` for the slot of a dead process while nobody else can use the slot, and makes it a free one after that. Not if it is
    /// not that any more.
    fn succeed(&self, slot: u32, inherit: impl FnOnce());
}

/// See the head of this file.
#[repr(C)]
pub(crate) struct OwnerWord {
    word: AtomicU32,
    /// The next ticket; written by the holder.
    tickets: AtomicU32,
}

impl OwnerWord {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0), tickets: AtomicU32::new(0) }
    }

    /// The word that waiters sleep on.
    pub(crate) fn futex(&self) -> &AtomicU32 {
        &self.word
    }

    /// Who has the lock now.
    pub(crate) fn view(&self) -> View {
        view(self.word.load(Relaxed))
    }

    /// Which locking there is now, and the slot of its process, if somebody has the lock.
    pub(crate) fn hold(&self) -> Option<(Hold, u32)> {
        let seen = self.word.load(Relaxed);
        match view(seen) {
            View::Held(slot) => Some((Hold(seen & !FLAGS), slot)),
            View::Free | View::Damaged => None,
        }
    }

    /// Whether there is news of a death: for the next holder, or one that has not recovered yet.
    pub(crate) fn has_news(&self) -> bool {
        self.word.load(Relaxed) & NEWS != 0
    }

    /// Takes the lock for the process of `slot` if the word is 0; the whole of an uncontended lock.
    #[inline(always)]
    pub(crate) fn take_free(&self, slot: u32) -> Option<Hold> {
        self.exchange(0, slot, 0).ok()
    }

    /// Takes the word as it was `seen`, with these flags.
    #[inline(always)]
    fn exchange(&self, seen: u32, slot: u32, flags: u32) -> Result<Hold, u32> {
        let ticket = self.tickets.load(Relaxed);
        let hold = Hold::new(slot, ticket);
        self.word.compare_exchange(seen, hold.0 | flags, Acquire, Relaxed)?;
        self.tickets.store(ticket.wrapping_add(1), Relaxed);
        Ok(hold)
    }

    /// Takes the lock for the process of `slot`, waiting as long as `wait` lasts; not at all without one.
    #[cold]
    pub(crate) fn acquire(
        &self,
        slot: u32,
        wait: Option<Patience>,
        holders: &impl Holders,
    ) -> Result<(Hold, Acquired), Denied> {
        let mut spin = SpinWait::default();
        // What the word is marked with when it is taken: after a sleep, others may be left sleeping.
        let mut mark = 0;
        let mut turn = 0;
        loop {
            let seen = self.word.load(Relaxed);
            let holder = match view(seen) {
                View::Free => match self.exchange(seen, slot, seen & FLAGS | mark) {
                    Ok(hold) if seen & NEWS == 0 => return Ok((hold, Acquired::Clean)),
                    Ok(hold) => return Ok((hold, Acquired::OwnerDied)),
                    Err(_) => continue,
                },
                View::Held(holder) => holder,
                View::Damaged => return Err(Denied::Damaged),
            };
            let alive = holders.word(holder).ok_or(Denied::Damaged)?;
            if let Some(patience) = wait
                && seen & WAITERS == 0
                && spin.spin(patience)
            {
                continue;
            }
            let life = alive.load(Acquire);
            let waiting = match (wait, owner(life)) {
                (None, Some(_)) => return Err(Denied::Refused(Refused::Busy)),
                (None, None) => seen,
                // Marked before anybody gives up, so that a wake-up which this thread has consumed is not lost with it.
                (Some(_), _) => match self.mark(seen) {
                    Some(waiting) => waiting,
                    None => continue,
                },
            };
            let passed = wait.is_some_and(|wait| wait.deadline.is_some_and(Deadline::has_passed));
            let woken = if owner(life).is_none() {
                pass_on(alive, life);
                let until = wait.filter(|_| !passed).map(next_look);
                match holders.fate(holder, turn, until) {
                    Fate::Dead => {
                        let mut inherited = None;
                        holders.succeed(holder, || inherited = self.inherit(holder, slot));
                        if let Some(hold) = inherited {
                            return Ok((hold, Acquired::OwnerDied));
                        }
                        continue;
                    }
                    Fate::Vacant if self.word.load(Acquire) | WAITERS == waiting | WAITERS => {
                        return Err(Denied::Damaged);
                    }
                    Fate::Vacant => continue,
                    Fate::Look if wait.is_none() => return Err(Denied::Refused(Refused::Busy)),
                    Fate::Look => Woken::Look,
                    Fate::Signal => Woken::Signal,
                }
            } else if passed {
                Woken::Elapsed
            } else {
                if life & WAITERS == 0
                    && alive.compare_exchange(life, life | WAITERS, Relaxed, Relaxed).is_err()
                {
                    continue;
                }
                let words = [(&self.word, waiting), (alive, life | WAITERS)];
                let patience = wait.unwrap_or_default();
                let sleep =
                    if patience.interruptible { futex::wait_any_interruptible } else { futex::wait_any };
                sleep(&words, next_look(patience))
            };
            match (woken, wait) {
                (Woken::Signal, Some(wait)) if wait.interruptible => {
                    return Err(Denied::Refused(Refused::Interrupted));
                }
                _ if passed => return Err(Denied::Refused(Refused::TimedOut)),
                _ => {}
            }
            turn = if owner(life).is_none() { turn + 1 } else { 0 };
            mark = WAITERS;
            spin = SpinWait::default();
        }
    }

    /// The part of `acquire` up to the end of its first sleep. Does not sleep if the word is free.
    #[cfg(loom)]
    pub(crate) fn sleep_once(&self, holders: &impl Holders) {
        loop {
            let seen = self.word.load(Relaxed);
            let View::Held(holder) = view(seen) else { return };
            let alive = holders.word(holder).expect("models name slots that exist");
            let life = alive.load(Acquire);
            if owner(life).is_none() {
                return;
            }
            let Some(waiting) = self.mark(seen) else { continue };
            if alive.compare_exchange(life, life | WAITERS, Relaxed, Relaxed).is_ok() {
                let words = [(&self.word, waiting), (alive, life | WAITERS)];
                futex::wait_any(&words, Deadline::after(RECHECK));
                return;
            }
        }
    }

    /// What the kernel does with this word for a thread that dies with it in `list_op_pending`.
    #[cfg(loom)]
    pub(crate) fn kernel_cleans_up_after_waiter(&self) {
        if owner(self.word.load(Relaxed)).is_none() {
            futex::wake_one(&self.word);
        }
    }

    /// Marks a word that was held when it was `seen`; gives what it is now, or nothing if it has changed.
    fn mark(&self, seen: u32) -> Option<u32> {
        let marked = seen | WAITERS;
        (seen == marked || self.word.compare_exchange(seen, marked, Relaxed, Relaxed).is_ok())
            .then_some(marked)
    }

    /// Takes the lock from a dead process, if it has it, and says so in the word: that is told to one only.
    fn inherit(&self, dead: u32, slot: u32) -> Option<Hold> {
        let mut seen = self.word.load(Relaxed);
        while view(seen) == View::Held(dead) {
            match self.exchange(seen, slot, seen & WAITERS | WAITERS | NEWS) {
                Ok(hold) => return Some(hold),
                Err(changed) => seen = changed,
            }
        }
        None
    }

    /// Gives up this locking, if nobody sleeps, nothing is to be told, and no stranger has done so already.
    #[inline(always)]
    pub(crate) fn release_plain(&self, hold: Hold) -> bool {
        self.word.compare_exchange(hold.0, 0, Release, Relaxed).is_ok()
    }

    /// Gives the lock up, whoever has it, if nobody sleeps and nothing is to be told.
    #[inline(always)]
    pub(crate) fn release_any_plain(&self) -> bool {
        let seen = self.word.load(Relaxed);
        seen & (HELD | FLAGS) == HELD && self.word.compare_exchange(seen, 0, Release, Relaxed).is_ok()
    }

    /// Gives the lock up, whoever has it or only this locking; `as_dead`: so that the next holder hears of a death. Calls `poison` before
    /// if there was news that nobody has recovered from. False: nobody has it, or not this one.
    #[cold]
    pub(crate) fn release(&self, only: Option<Hold>, as_dead: bool, poison: impl Fn()) -> bool {
        let mut seen = self.word.load(Relaxed);
        loop {
            if !is_held(seen, only) {
                return false;
            }
            if seen & NEWS != 0 && !as_dead {
                poison();
            }
            let free = if as_dead { NEWS } else { 0 };
            match self.word.compare_exchange(seen, free, Release, Relaxed) {
                Ok(_) => break,
                Err(changed) => seen = changed,
            }
        }
        if seen & WAITERS != 0 {
            futex::wake_one(&self.word);
        }
        true
    }

    /// Whether somebody has the lock, or this locking is the one.
    pub(crate) fn is_held(&self, only: Option<Hold>) -> bool {
        is_held(self.word.load(Relaxed), only)
    }

    /// Declares the news dealt with. False: nobody has the lock, or not this locking.
    pub(crate) fn recover(&self, only: Option<Hold>) -> bool {
        let mut seen = self.word.load(Relaxed);
        while is_held(seen, only) {
            match self.word.compare_exchange(seen, seen & !NEWS, Release, Relaxed) {
                Ok(_) => return true,
                Err(changed) => seen = changed,
            }
        }
        false
    }

    /// Says in the word that this locking has news to deal with.
    pub(crate) fn set_news(&self, hold: Hold) {
        let mut seen = self.word.load(Relaxed);
        while seen & !FLAGS == hold.0
            && let Err(changed) = self.word.compare_exchange(seen, seen | NEWS, Relaxed, Relaxed)
        {
            seen = changed;
        }
    }
}

/// The kernel has woken one of those who watch a slot's word; what follows is for all of them.
fn pass_on(alive: &AtomicU32, life: u32) {
    if life & WAITERS != 0 && alive.compare_exchange(life, life & !WAITERS, Relaxed, Relaxed).is_ok() {
        futex::wake_all(alive);
    }
}

/// When a sleep ends at the latest.
fn next_look(patience: Patience) -> Deadline {
    let recheck = Deadline::after(RECHECK);
    patience.deadline.map_or(recheck, |deadline| deadline.min(recheck))
}
