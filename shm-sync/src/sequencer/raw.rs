//! The sequencer's protocol: one slot for whoever has the current turn, the state, and two places to sleep at.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | the slot's, see `base::slot`: held by whoever has the current turn |
//! | 8 | identity | see `handle`; parameter 0 |
//! | 64 | state | see `state` |
//! | 72 | moves | the futex of those who wait while nobody has a turn; changes with every wake-up there |
//! | 76 | early | how many sleep on `moves`, at least |
//! | 80 | sleepers | how many sleep on the word, at least |
//!
//! **Order of the steps.** Take: word, then state "begun". Give up: word, then state "next", then wake. So three things can be told apart when the
//! word is found without a holder: not begun, free: nobody has come yet; *begun, free*: the turn is over, its holder has not got to the state (and is
//! perhaps dead): whoever sees that puts the state right; owner died: the holder died, in its turn or about to begin it.
//!
//! **Where to sleep.** Who waits while somebody has a turn sleeps on the word: there the kernel wakes one when the holder dies, and that one wakes all.
//! It stays asleep there, over many turns, until its own one comes: each waits with the bit of its turn modulo 32, and the end of a turn wakes the
//! bit of the next one only. A sleeper marks the held word; later holders mark it for those who are counted in `sleepers`. Who waits while nobody
//! has a turn sleeps on `moves`, and is woken by whoever takes a turn, to move to the word.
//!
//! **No lost wake-up.** The word: it is compared with a value that names the holder, and as long as that one holds, nobody's turn comes. `moves`:
//! read before the last look. Both counts are raised before the last look, and read after every change (`SeqCst`).
//!
//! **Deaths.** Sleepers and holders name the slot in `list_op_pending`: killed between the steps, they have the kernel wake one of the
//! word's sleepers, who goes on where they stopped or wakes whose turn it is. What that misses (somebody asleep on `moves`; kernels before
//! 6.2) is repaired by looking again after `RECHECK`.
//!
//! `tests/loom_sequencer.rs` models this file.

use super::state::State;
use crate::base::Patience;
use crate::base::atomics::{AtomicU32, AtomicU64, store_load_barrier};
use crate::base::futex::{self, Woken};
use crate::base::gate::RECHECK;
#[cfg(not(loom))]
use crate::base::robust::Me;
#[cfg(not(loom))]
use crate::base::slot::Slot;
use crate::base::word::{self, WAITERS};
#[cfg(not(loom))]
use crate::handle::{Kind, Raw};
#[cfg(loom)]
use crate::model::slot::{Me, Slot};
use core::num::NonZeroU32;
use core::sync::atomic::Ordering::SeqCst;

/// See the head of this file.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(crate) struct RawSequencer {
    slot: Slot,
    state: AtomicU64,
    moves: AtomicU32,
    early: AtomicU32,
    sleepers: AtomicU32,
}

/// Where the state lies.
#[cfg(not(loom))]
pub(crate) const STATE: usize = core::mem::offset_of!(RawSequencer, state);

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawSequencer>() == 128 && STATE == 64);
    assert!(offset_of!(RawSequencer, moves) == 72 && offset_of!(RawSequencer, early) == 76);
    assert!(offset_of!(RawSequencer, sleepers) == 80);
};

#[cfg(not(loom))]
impl Raw for RawSequencer {
    const KIND: Kind = Kind::SEQUENCER;

    fn identity(&self) -> &AtomicU64 {
        &self.slot.identity
    }
}

/// What somebody who wants a turn finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is the current one, and nobody has it.
    Now,
    /// It is over, or was passed over.
    Passed,
    /// It is the current one, and somebody is at it.
    Taken,
    /// It is not the current one (or somebody is about to begin it); the word names who has the slot.
    Held(u32),
    /// It is not the current one, and nobody has that.
    Idle,
    /// Somebody died in the current turn.
    Broken,
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// It is time to look.
    Look,
    TimedOut,
    Interrupted,
    /// The thread holds too many locks to wait for another one.
    TooManyLocks,
}

impl RawSequencer {
    #[inline(always)]
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        State(self.state.load(SeqCst))
    }

    /// What there is to see for somebody who wants `turn`. The state that goes with it.
    pub(crate) fn look(&self, turn: u64) -> (Look, State) {
        loop {
            let state = self.state();
            // After the state: a free word then says that the turn, if it had been begun, is over.
            let word = self.slot.word.watch().load(SeqCst);
            let orphaned = word::is_orphaned(word);
            let free = word::owner(word).is_none();
            if state.is_begun() && free && !orphaned {
                self.complete(state.turn());
                continue;
            }
            let look = match turn.cmp(&state.turn()) {
                core::cmp::Ordering::Less => Look::Passed,
                _ if orphaned => Look::Broken,
                core::cmp::Ordering::Equal if free => Look::Now,
                core::cmp::Ordering::Equal if state.is_begun() => Look::Taken,
                core::cmp::Ordering::Greater if free => Look::Idle,
                _ => Look::Held(word),
            };
            return (look, state);
        }
    }

    /// The turn at which somebody died.
    pub(crate) fn broken(&self) -> Option<u64> {
        let state = self.state();
        self.slot.word.is_orphaned().then_some(state.turn())
    }

    /// Begins `turn`, with the slot held. False: it is not the current one any more, or has been begun and given up meanwhile.
    #[inline(always)]
    pub(crate) fn begin(&self, turn: u64, again: bool) -> bool {
        loop {
            let state = self.state();
            if state.turn() != turn || (state.is_begun() && !again) {
                return false;
            }
            if self.state.compare_exchange(state.0, state.begun().0, SeqCst, SeqCst).is_ok() {
                break;
            }
        }
        store_load_barrier();
        if self.sleepers.load(SeqCst) != 0 {
            // They have to wake if this holder dies.
            self.slot.word.watch().fetch_or(WAITERS, SeqCst);
        }
        self.call_the_early();
        true
    }

    /// Ends the turn and gives the slot up, as `me`, who has both.
    #[inline(always)]
    pub(crate) fn end(&self, turn: u64, me: Me) {
        self.slot.give_up_by(me, || {
            self.slot.word.watch().swap(0, SeqCst);
            self.complete(turn);
        });
    }

    /// Gives the slot up without a turn; those who sleep have another look.
    #[cold]
    pub(crate) fn give_back(&self, me: Me) {
        self.slot.give_up_by(me, || {
            self.slot.word.watch().swap(0, SeqCst);
            self.wake_all();
        });
    }

    /// Gives turn and slot up as a dead holder does.
    #[cold]
    pub(crate) fn end_as_dead(&self, me: Me) {
        self.slot.give_up_as_dead(me);
        self.wake_all();
    }

    /// Moves the state on from a turn that was begun, whose holder has given the slot up, unless somebody else does.
    fn complete(&self, turn: u64) {
        loop {
            let state = self.state();
            if state.turn() != turn || !state.is_begun() {
                return;
            }
            let next = state.done();
            if self.state.compare_exchange(state.0, next.0, SeqCst, SeqCst).is_ok() {
                store_load_barrier();
                if self.sleepers.load(SeqCst) != 0 {
                    // Also those who wait for what is over now.
                    let bits = (turn..=next.turn()).fold(0, |bits, turn| bits | bit(turn).get());
                    futex::wake_for(self.slot.word.watch(), NonZeroU32::new(bits).unwrap_or(NonZeroU32::MAX));
                }
                return self.call_the_early();
            }
        }
    }

    /// Moves the state on from a turn that is over, with the slot held, which its holder had given up.
    #[cold]
    pub(crate) fn settle(&self) {
        self.complete(self.state().turn());
    }

    /// Marks a later turn to be passed over. None: it is too far ahead, or not later. True: done.
    pub(crate) fn mark_skipped(&self, turn: u64) -> Option<bool> {
        let state = self.state();
        let marked = state.skipping(turn)?;
        Some(self.state.compare_exchange(state.0, marked.0, SeqCst, SeqCst).is_ok())
    }

    /// Goes to another turn, with the slot held.
    pub(crate) fn set(&self, turn: u64) {
        let mut state = self.state();
        while let Err(changed) = self.state.compare_exchange(state.0, state.reset(turn).0, SeqCst, SeqCst) {
            state = State(changed);
        }
    }

    /// One sleep on the way to `turn`, where `look` was seen, which is `Held` or `Idle`.
    pub(crate) fn sleep(&self, turn: u64, look: Look, me: Me, patience: Patience) -> Slept {
        if patience.is_over() {
            return Slept::TimedOut;
        }
        let until = patience.slice(RECHECK);
        let woken = if let Look::Held(seen) = look {
            if !self.slot.announce(me) {
                return Slept::TooManyLocks;
            }
            self.sleepers.fetch_add(1, SeqCst);
            store_load_barrier();
            let word = self.slot.word.watch();
            let marked = seen | WAITERS;
            let woken = if seen == marked || word.compare_exchange(seen, marked, SeqCst, SeqCst).is_ok() {
                futex::wait_for(word, marked, bit(turn), until)
            } else {
                Woken::Look
            };
            self.sleepers.fetch_sub(1, SeqCst);
            me.abandon();
            woken
        } else {
            self.early.fetch_add(1, SeqCst);
            store_load_barrier();
            let moves = self.moves.load(SeqCst);
            let woken = match self.look(turn).0 {
                Look::Idle => futex::wait(&self.moves, moves, until),
                _ => Woken::Look,
            };
            self.early.fetch_sub(1, SeqCst);
            woken
        };
        if woken == Woken::Signal && patience.interruptible { Slept::Interrupted } else { Slept::Look }
    }

    /// Wakes those whose turn is the current one.
    #[cold]
    pub(crate) fn wake_current(&self) {
        futex::wake_for(self.slot.word.watch(), bit(self.state().turn()));
    }

    /// Has everybody who sleeps look again.
    #[cold]
    pub(crate) fn wake_all(&self) {
        store_load_barrier();
        if self.sleepers.load(SeqCst) != 0 {
            futex::wake_all(self.slot.word.watch());
        }
        self.call_the_early();
    }

    /// Wakes those who sleep because nobody had a turn.
    #[inline(always)]
    fn call_the_early(&self) {
        store_load_barrier();
        if self.early.load(SeqCst) != 0 {
            self.moves.fetch_add(1, SeqCst);
            futex::wake_all(&self.moves);
        }
    }
}

/// What only a model does.
#[cfg(loom)]
impl RawSequencer {
    /// The time slice of every sleep is over, now and later.
    pub(crate) fn recheck(&self) {
        futex::recheck(self.slot.word.watch());
        futex::recheck(&self.moves);
    }
}

/// What those who wait for `turn` sleep with.
fn bit(turn: u64) -> NonZeroU32 {
    NonZeroU32::new(1 << (turn % 32)).expect("one bit is set")
}
