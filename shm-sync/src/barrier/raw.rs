//! The bytes of a barrier: the rounds, and a seat for every party; and waiting for the others with an eye on their seats.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | rounds | see `rounds` |
//! | 4 | gate | where those wait who find no free seat, see `base::gate` |
//! | 8 | identity | see `handle`; its parameter is the number of parties |
//! | 16 | | 0 |
//! | 64 | seats | one slot for each party, see `base::slot`; note: 1 held until it is left, 0 for one wait only |
//!
//! A seat's word is marked with "waiters" from the moment that it is taken: whoever sleeps on it, since whenever, is woken by the kernel when the party dies.

#![allow(unsafe_code, reason = "the seats lie behind the fixed part of the barrier")]

use super::rounds::{Arrived, Manner, Outcome, Round, Rounds, Turned};
use crate::base::atomics::AtomicU32 as Word;
use crate::base::futex::{self, Deadline, MAX_WORDS, Woken};
use crate::base::gate::{Gate, Opens, Pending};
use crate::base::robust::{MAX_HELD, Me};
use crate::base::slot::{Slot, Wait};
use crate::base::word::{OWNER_DIED, owner};
use crate::base::{GaveUp, Patience};
use crate::error::ErrorKind;
use crate::handle::{Handle, Kind, Raw};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// The note of a seat that is held until it is left.
const JOINED: u32 = 1;

/// See the head of this file.
#[repr(C, align(64))]
pub(crate) struct RawBarrier {
    rounds: Rounds,
    gate: Gate,
    identity: AtomicU64,
}

const _: () = {
    assert!(offset_of!(RawBarrier, rounds) == 0 && offset_of!(RawBarrier, gate) == 4);
    assert!(offset_of!(RawBarrier, identity) == 8 && size_of::<RawBarrier>() == 64);
};

impl Raw for RawBarrier {
    const KIND: Kind = Kind::BARRIER;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

/// How many bytes a barrier takes.
pub(crate) const fn size(parties: u32) -> usize {
    size_of::<RawBarrier>() + parties as usize * size_of::<Slot>()
}

/// Why somebody has no seat, or did not get through.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: Option<String>,
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, detail: None }
    }
}

impl From<GaveUp> for Refusal {
    fn from(gave_up: GaveUp) -> Self {
        match gave_up {
            GaveUp::TimedOut => ErrorKind::TimedOut.into(),
            GaveUp::Interrupted => ErrorKind::Interrupted.into(),
        }
    }
}

impl Refusal {
    fn because(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: Some(detail.into()) }
    }
}

/// A barrier and its seats.
#[derive(Clone, Copy)]
pub(crate) struct Hall<'a> {
    raw: &'a RawBarrier,
    seats: &'a [Slot],
}

impl<'a> Hall<'a> {
    /// The barrier behind a handle, which has bytes for `parties` seats (checked when it was opened).
    #[inline(always)]
    pub(crate) fn new(handle: &'a Handle<RawBarrier>, parties: u32) -> Self {
        let seats = handle.bytes(size_of::<RawBarrier>(), parties as usize * size_of::<Slot>());
        // SAFETY: `bytes` has checked that these bytes are within the mapping, which the handle keeps; they begin at a multiple of 64, as the
        // barrier does; slots consist of atomics, for which any bytes are valid and any process may write.
        let seats = unsafe { core::slice::from_raw_parts(seats.cast().as_ptr(), parties as usize) };
        Self { raw: handle.raw(), seats }
    }

    fn parties(self) -> u32 {
        self.seats.len() as u32
    }

    /// Whether the bytes still say that this is a barrier for so many.
    #[inline(always)]
    fn check(self) -> Result<(), Refusal> {
        if self.raw.identity.load(Relaxed) == Kind::BARRIER.identity(self.parties()) {
            Ok(())
        } else {
            Err(ErrorKind::Corrupt.into())
        }
    }

    /// Takes a seat until it is left.
    pub(crate) fn join(self, me: Me) -> Result<u32, Refusal> {
        match self.take_seat(me)? {
            Some(seat) => {
                self.seats[seat as usize].note.store(JOINED, Relaxed);
                Ok(seat)
            }
            None => Err(self.full()),
        }
    }

    /// Takes a seat for one wait, and waits for one if somebody else has it for one wait.
    #[inline(always)]
    pub(crate) fn sit_down(self, me: Me, wait: Wait) -> Result<u32, Refusal> {
        match self.take_seat(me)? {
            Some(seat) => Ok(seat),
            None => self.sit_down_slowly(me, wait),
        }
    }

    #[cold]
    fn sit_down_slowly(self, me: Me, wait: Wait) -> Result<u32, Refusal> {
        let Wait::For(patience) = wait else { return Err(self.full()) };
        let ready = || {
            let taken = match self.take_seat(me) {
                Ok(None) if self.seats.iter().all(|seat| seat.note.load(Relaxed) == JOINED) => {
                    Err(self.full())
                }
                Ok(None) => {
                    // Looking for a seat has named the seat to the kernel instead.
                    me.name(self.raw.gate.word());
                    return None;
                }
                other => other,
            };
            Some(taken.map(|seat| seat.expect("none was dealt with above")))
        };
        match self.raw.gate.wait(me, patience, ready, || self.seats.iter().any(is_free)) {
            Ok(taken) => taken,
            Err(gave_up) => Err(gave_up.into()),
        }
    }

    /// Takes a free seat, if there is one.
    #[inline(always)]
    fn take_seat(self, me: Me) -> Result<Option<u32>, Refusal> {
        self.check()?;
        let mut free = None;
        for (number, seat) in (0..).zip(self.seats) {
            match seat.word.watch().load(SeqCst) {
                0 => free = free.or(Some(number)),
                word if owner(word) == Some(me.tid()) => return Err(seated_already()),
                word if word & OWNER_DIED != 0 && owner(word).is_none() => self.raw.rounds.break_down(),
                _ => {}
            }
        }
        let Some(first) = free else {
            return if self.raw.rounds.is_broken() { Err(ErrorKind::Broken.into()) } else { Ok(None) };
        };
        if !me.has_room() {
            let held = format!("this thread holds {MAX_HELD} locks and seats");
            return Err(Refusal::because(ErrorKind::TooManyLocks, held));
        }
        // From there on once around: others may be looking as well.
        Ok((first..self.parties()).find(|number| self.seats[*number as usize].take_free_watched(me)))
    }

    #[cold]
    fn full(self) -> Refusal {
        Refusal::because(ErrorKind::TooManyParties, format!("it has seats for {}", self.parties()))
    }

    /// Leaves a seat that this thread took.
    #[inline(always)]
    pub(crate) fn leave(self, me: Me, seat: u32) {
        let seat = &self.seats[seat as usize];
        seat.note.store(0, Release);
        seat.give_up_quietly(me);
        self.raw.gate.open(Opens::One);
    }

    /// Waits, in a seat that this thread has, until all parties have arrived. True: it was the last one, and has run `action`.
    #[inline(always)]
    pub(crate) fn wait(self, seat: u32, wait: Wait, action: Option<impl FnOnce()>) -> Result<bool, Refusal> {
        self.check()?;
        let manner = Manner { only_last: matches!(wait, Wait::Not), acts: action.is_some() };
        let all_alive = || self.seats.len() == 1 || !self.has_dead();
        let patience = match wait {
            Wait::Not => Patience::default(),
            Wait::For(patience) => patience,
        };
        match self.raw.rounds.arrive(self.parties(), manner, all_alive) {
            Ok(Arrived::Last) => Ok(true),
            Ok(Arrived::Early(round)) => self.wait_for_others(seat, round, patience),
            Ok(Arrived::LastOf(round)) => self.act(round, action),
            Err(turned) => Err(turned_away(turned)),
        }
    }

    /// Runs the action of the last one. If it panics, the barrier is broken.
    fn act(self, round: Round, action: Option<impl FnOnce()>) -> Result<bool, Refusal> {
        struct BreakUnlessDone<'a>(&'a Rounds);
        impl Drop for BreakUnlessDone<'_> {
            fn drop(&mut self) {
                self.0.break_down();
            }
        }
        let unless_done = BreakUnlessDone(&self.raw.rounds);
        action.into_iter().for_each(|action| action());
        core::mem::forget(unless_done);
        if self.raw.rounds.complete(round) { Ok(true) } else { Err(ErrorKind::Broken.into()) }
    }

    #[inline(never)]
    fn wait_for_others(self, seat: u32, round: Round, patience: Patience) -> Result<bool, Refusal> {
        let sleep = |seen, until| self.sleep_once(seat, seen, until, patience.interruptible);
        match self.raw.rounds.wait(round, self.parties(), patience, sleep, || self.has_dead()) {
            Ok(Outcome::Complete) => Ok(false),
            Ok(_) => Err(ErrorKind::Broken.into()),
            Err(gave_up) => Err(gave_up.into()),
        }
    }

    /// Sleeps once, unless a party is dead.
    fn sleep_once(self, seat: u32, seen: u32, until: Deadline, interruptible: bool) -> Option<Woken> {
        let rounds = self.raw.rounds.futex();
        let mut words: [(&Word, u32); MAX_WORDS] = [(rounds, seen); MAX_WORDS];
        let mut len = 1;
        // The neighbours first, so that with many parties every seat is watched by somebody.
        let (before, after) = self.seats.split_at(seat as usize);
        for other in after.iter().skip(1).chain(before) {
            let word = other.word.watch();
            let value = word.load(Acquire);
            if is_dead(value) {
                return None;
            }
            if len < MAX_WORDS {
                words[len] = (word, value);
                len += 1;
            }
        }
        let sleep = if interruptible { futex::wait_any_interruptible } else { futex::wait_any };
        Some(sleep(&words[..len], until))
    }

    fn has_dead(self) -> bool {
        self.seats.iter().any(|seat| is_dead(seat.word.watch().load(Acquire)))
    }

    /// Turns everybody away, until a reset.
    pub(crate) fn abort(self) -> Result<(), Refusal> {
        self.check()?;
        self.raw.rounds.break_down();
        Ok(())
    }

    /// Turns those away who wait, makes the seats of the dead free ones, and the barrier as good as new.
    pub(crate) fn reset(self) -> Result<(), Refusal> {
        self.check()?;
        let me = Me::get().map_err(|error| Refusal::because(error.kind(), error.to_string()))?;
        for seat in self.seats {
            if is_dead(seat.word.watch().load(Acquire)) {
                // Nobody is let through before the dead are out.
                self.raw.rounds.break_down();
                match seat.take("reset the barrier", Wait::Not) {
                    Ok(_) => {
                        seat.note.store(0, Relaxed);
                        seat.give_up_quietly(me);
                        self.raw.gate.open(Opens::One);
                    }
                    // Somebody else is about it.
                    Err(error) if error.kind() == ErrorKind::Busy => {}
                    Err(error) => return Err(error.kind().into()),
                }
            }
        }
        self.raw.rounds.reset();
        Ok(())
    }

    pub(crate) fn is_broken(self) -> bool {
        self.raw.rounds.is_broken() || self.has_dead()
    }

    pub(crate) fn arrived(self) -> u32 {
        self.raw.rounds.arrived().min(self.parties())
    }
}

fn is_free(seat: &Slot) -> bool {
    seat.word.watch().load(SeqCst) == 0
}

/// Whether a seat's word says that its party died.
fn is_dead(word: u32) -> bool {
    word & OWNER_DIED != 0 && owner(word).is_none()
}

#[cold]
fn seated_already() -> Refusal {
    Refusal::because(ErrorKind::Deadlock, "this thread has a seat in it")
}

#[cold]
fn turned_away(turned: Turned) -> Refusal {
    match turned {
        Turned::Broken => ErrorKind::Broken.into(),
        Turned::Early => Refusal::because(ErrorKind::Busy, "other parties have not arrived"),
        Turned::Damaged => Refusal::because(ErrorKind::Corrupt, "more have arrived than there are parties"),
    }
}
