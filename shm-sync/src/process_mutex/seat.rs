//! The slot of this process: getting one, sharing it among the handles, handing it on from thread to thread, giving it back.
//!
//! A process has a slot while it has a handle that was used: the word of a slot is in the robust list of one of its threads, so that the kernel
//! tells the others when that thread, and perhaps the process, is gone. All handles of a process share one slot, which counts them. A
//! thread that ends before its process leaves the slot without a thread, and the next thread that uses the mutex takes the word anew. Only the
//! thread that has a word in its list can give it up, so a slot may outlast the last handle until that thread retires it: when it
//! uses another process mutex for the first time, or ends. Until then the pages stay mapped.
//!
//! A forked child finds that its handles' slots were claimed before the fork, and claims its own.

use super::holder::Notes;
use super::raw::{RawProcessMutex, SLOTS, give_back, take_dead};
use crate::base::robust::{Lasting, MAX_HELD, Me};
use crate::base::slot::{Slot, Wait};
use crate::base::word::owner;
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use shm_core::{Identity, fork_count};
use std::sync::Arc;

/// How many times a claim that others disturb is tried again.
const ATTEMPTS: usize = 100;

/// Instead of the number of handles: the slot is being given back.
const VACATING: u32 = u32::MAX;

/// What all clones of a handle share: their claim to the slot.
pub(crate) struct Lease {
    handle: Handle<RawProcessMutex>,
    /// The number of the slot plus one, and above it the low half of the fork count of the process that claimed it. 0: not yet.
    claim: AtomicU64,
}

impl Lease {
    pub(crate) fn new(handle: Handle<RawProcessMutex>) -> Self {
        Self { handle, claim: AtomicU64::new(0) }
    }

    /// The slot that this process has claimed, if it has and a thread stands for it.
    #[inline(always)]
    pub(crate) fn slot(&self) -> Option<u32> {
        let number = self.claimed()?;
        let word = self.handle.raw().slot(number)?.word.watch().load(Relaxed);
        owner(word).map(|_| number)
    }

    /// The slot that this process has claimed.
    #[inline(always)]
    fn claimed(&self) -> Option<u32> {
        let claim = self.claim.load(Acquire);
        if (claim >> 32) as u32 != fork_count() as u32 {
            return None;
        }
        (claim as u32).checked_sub(1)
    }

    /// Gets a slot for this process, with a thread that stands for it.
    #[cold]
    pub(crate) fn claim(&self, me: Me) -> Result<u32, Error> {
        me.retire_lasting();
        if !me.has_room() {
            return Err(self
                .handle
                .error("lock", ErrorKind::TooManyLocks)
                .detail(format!("this thread holds {MAX_HELD} locks")));
        }
        let process = Identity::current();
        for _ in 0..ATTEMPTS {
            let before = self.claim.load(Acquire);
            if let Some(number) = self.claimed()
                && self.stand_for(me, number, &process)
            {
                return Ok(number);
            }
            let Some(number) = self.find(me, &process) else {
                let held = format!("it has slots for {SLOTS} processes");
                return Err(self.handle.error("lock", ErrorKind::TooManyProcesses).detail(held));
            };
            let claim = (u64::from(number) + 1) | (u64::from(fork_count() as u32) << 32);
            if self.claim.compare_exchange(before, claim, AcqRel, Relaxed).is_ok() {
                return Ok(number);
            }
            // Another thread was faster, with this handle.
            self.leave(me, number);
        }
        Err(self.handle.error("lock", ErrorKind::Corrupt).detail("the table of processes does not settle"))
    }

    fn slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0..).zip(&self.handle.raw().slots)
    }

    /// A slot for this process: the one that another handle has, or a free one, or one of a dead process.
    fn find(&self, me: Me, process: &Identity) -> Option<u32> {
        let shared = self.slots().find(|(number, slot)| self.join(me, *number, slot, process));
        let free = || {
            self.slots().find(|(number, slot)| {
                slot.word.watch().load(Relaxed) == 0 && self.take_free(me, *number, slot, process)
            })
        };
        let dead = || self.slots().find(|(number, slot)| self.take_dead(me, *number, slot, process));
        shared.or_else(free).or_else(dead).map(|(number, _)| number)
    }

    /// One more handle for the slot that this process has already, if it is this one.
    fn join(&self, me: Me, number: u32, slot: &Slot, process: &Identity) -> bool {
        // Without a start time an orphaned slot may be that of an earlier process with this id.
        let certain = process.start_time != 0 || owner(slot.word.watch().load(Relaxed)).is_some();
        certain
            && Notes(slot).identity() == *process
            && slot
                .note
                .fetch_update(AcqRel, Relaxed, |users| users.checked_add(1).filter(|users| *users < VACATING))
                .is_ok()
            && self.stand_for(me, number, process)
    }

    fn take_free(&self, me: Me, number: u32, slot: &Slot, process: &Identity) -> bool {
        let taken = slot.take_free(me);
        if taken {
            Notes(slot).write(process, 1);
            self.keep(me, number);
        } else {
            me.abandon();
        }
        taken
    }

    /// Takes over the slot of a dead process, unless the owner word names it: that has to be told to whoever locks next.
    fn take_dead(&self, me: Me, number: u32, slot: &Slot, process: &Identity) -> bool {
        if self.handle.raw().names(number) {
            return false;
        }
        let Some(notes) = take_dead(slot, me) else { return false };
        if self.handle.raw().names(number) {
            slot.give_up_as_dead(me);
            return false;
        }
        notes.clear();
        notes.write(process, 1);
        self.keep(me, number);
        true
    }

    /// Sees to it that a thread of this process has the slot's word. False: it is not this process's slot.
    fn stand_for(&self, me: Me, number: u32, process: &Identity) -> bool {
        let Some(slot) = self.handle.raw().slot(number) else { return false };
        for _ in 0..ATTEMPTS {
            if owner(slot.word.watch().load(Acquire)).is_some() || slot.is_held_by(me) {
                // By a thread of this process, or by somebody who is finding out that this process lives.
                return Notes(slot).identity() == *process;
            }
            if let Ok(taken) = slot.take("stand for the process", Wait::Not) {
                if Notes(slot).identity() == *process {
                    self.keep(me, number);
                    return true;
                }
                give_back(slot, me, taken.acquired);
                return false;
            }
        }
        false
    }

    /// Remembers that the calling thread has the slot's word.
    fn keep(&self, me: Me, number: u32) {
        me.keep(Arc::new(Seat { handle: self.handle.clone(), number }));
    }

    /// One handle less for the slot; the last one gives it back, if that can be done in this thread.
    fn leave(&self, me: Me, number: u32) {
        let Some(slot) = self.handle.raw().slot(number) else { return };
        let one_less = |users: u32| if users == VACATING { None } else { Some(users.saturating_sub(1)) };
        if slot.note.fetch_update(AcqRel, Relaxed, one_less) == Ok(1) {
            me.retire_lasting();
            let word = slot.word.watch().load(Relaxed);
            if word != 0
                && owner(word).is_none()
                && Notes(slot).identity() == Identity::current()
                && let Ok(taken) = slot.take("give the slot back", Wait::Not)
                && !(Seat { handle: self.handle.clone(), number }).retire(me)
            {
                give_back(slot, me, taken.acquired);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(number) = self.claimed()
            && let Ok(me) = Me::get()
        {
            self.leave(me, number);
        }
    }
}

/// A slot whose word a thread has in its list, for its process. Keeps the pages mapped.
struct Seat {
    handle: Handle<RawProcessMutex>,
    number: u32,
}

impl Seat {
    fn slot(&self) -> &Slot {
        &self.handle.raw().slots[self.number as usize]
    }
}

impl Lasting for Seat {
    fn retire(&self, me: Me) -> bool {
        let slot = self.slot();
        if !slot.is_held_by(me) {
            // In a forked child, or handed on already.
            return true;
        }
        if slot.note.compare_exchange(0, VACATING, AcqRel, Relaxed).is_err() {
            return false;
        }
        // A lock that was taken and never released stays this process's, also without a handle. (From here on no handle can be added.)
        if self.handle.raw().names(self.number) {
            slot.note.store(0, Release);
            return false;
        }
        Notes(slot).clear();
        slot.give_up(me);
        true
    }

    fn leave_behind(&self, me: Me) {
        if !self.retire(me) {
            self.slot().give_up_as_dead(me);
        }
    }
}
