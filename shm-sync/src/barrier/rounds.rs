//! The rounds of a barrier: how many have arrived, which round it is, whether it is broken, whether somebody sleeps.
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0 to 15 | arrived | parties that have arrived in this round |
//! | 16 to 29 | round | one more for every round that was completed, two more for every reset |
//! | 30 | broken | nobody gets through before a reset |
//! | 31 | sleepers | somebody may sleep on the word: whoever ends the round must wake all |
//!
//! Who waits for the end of a round can tell how it ended, however late it looks: a round cannot be completed without it (it keeps its seat until it
//! has looked), so at most one completion has been added, but any number of resets. An odd difference is a completion, an even one a reset.
//!
//! Arriving and completing are acquire and release both, so what any party wrote before it arrived is seen by every party that gets through. The seats,
//! whose words tell of deaths, are `seats`'s. This file is what `tests/loom_barrier.rs` models.

use crate::base::atomics::{AtomicU32, SpinWait};
use crate::base::futex::{self, Deadline, Woken};
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::time::Duration;

const ARRIVED: u32 = 0xffff;
const ROUND_ONE: u32 = 0x1_0000;
const ROUND: u32 = 0x3fff_0000;
const BROKEN: u32 = 0x4000_0000;
const SLEEPERS: u32 = 0x8000_0000;

/// How long a sleep lasts at most: repairs a wake-up that was lost with whoever was to give it, and nothing else.
const RECHECK: Duration = Duration::from_millis(250);

/// How many parties the word can count.
pub(crate) const MAX_PARTIES: u32 = ARRIVED;

/// The round in which somebody has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round(u32);

/// What a round has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not all have arrived.
    Open,
    /// All have.
    Complete,
    /// It was broken, or reset.
    Broken,
}

/// Whether an arrival was the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Others are missing.
    Early(Round),
    /// The round is complete.
    Last,
    /// The round can be completed, with [`Rounds::complete`].
    LastOf(Round),
}

/// Why nobody could arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The barrier is broken.
    Broken,
    /// It would not have been the last, and was not to wait.
    Early,
    /// More have arrived than there are parties.
    Damaged,
}

/// How to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Only as the last one.
    pub(crate) only_last: bool,
    /// The last one does something before the others get through.
    pub(crate) acts: bool,
}

/// See the head of this file.
#[repr(transparent)]
pub(crate) struct Rounds(AtomicU32);

impl Rounds {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The word that waiters sleep on.
    pub(crate) fn futex(&self) -> &AtomicU32 {
        &self.0
    }

    /// Arrives as one of `parties`. The last one asks `all_alive` before it lets the others through.
    #[inline(always)]
    pub(crate) fn arrive(
        &self,
        parties: u32,
        manner: Manner,
        all_alive: impl Fn() -> bool,
    ) -> Result<Arrived, Turned> {
        let mut seen = self.0.load(Relaxed);
        loop {
            let arrived = (seen & ARRIVED) + 1;
            if seen & BROKEN != 0 {
                return Err(Turned::Broken);
            }
            if arrived > parties {
                return Err(Turned::Damaged);
            }
            let last = arrived == parties;
            if !last && manner.only_last {
                return Err(Turned::Early);
            }
            if last && !all_alive() {
                self.break_down();
                return Err(Turned::Broken);
            }
            let next = if last && !manner.acts { following(seen) } else { seen + 1 };
            match self.0.compare_exchange(seen, next, AcqRel, Relaxed) {
                Ok(_) if !last => return Ok(Arrived::Early(Round(seen & ROUND))),
                Ok(_) if manner.acts => return Ok(Arrived::LastOf(Round(seen & ROUND))),
                Ok(_) => {
                    self.wake_sleepers(seen);
                    return Ok(Arrived::Last);
                }
                Err(changed) => seen = changed,
            }
        }
    }

    /// Lets all through, after a [`Arrived::LastOf`]. False: the barrier was broken or reset meanwhile.
    pub(crate) fn complete(&self, round: Round) -> bool {
        let mut seen = self.0.load(Relaxed);
        while outcome(seen, round) == Outcome::Open {
            match self.0.compare_exchange(seen, following(seen), AcqRel, Relaxed) {
                Ok(_) => {
                    self.wake_sleepers(seen);
                    return true;
                }
                Err(changed) => seen = changed,
            }
        }
        false
    }

    /// The part of `complete` up to where a killed thread wakes nobody.
    #[cfg(loom)]
    pub(crate) fn complete_without_waking(&self, round: Round) {
        let mut seen = self.0.load(Relaxed);
        while outcome(seen, round) == Outcome::Open
            && let Err(changed) = self.0.compare_exchange(seen, following(seen), AcqRel, Relaxed)
        {
            seen = changed;
        }
    }

    /// Takes an arrival back. False: it is too late, the round is over, or all have arrived and it is about to be.
    fn withdraw(&self, round: Round, parties: u32) -> bool {
        let mut seen = self.0.load(Relaxed);
        while outcome(seen, round) == Outcome::Open && (1..parties).contains(&(seen & ARRIVED)) {
            match self.0.compare_exchange(seen, seen - 1, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(changed) => seen = changed,
            }
        }
        false
    }

    /// What the round has come to.
    #[inline(always)]
    fn outcome(&self, round: Round) -> Outcome {
        outcome(self.0.load(Acquire), round)
    }

    /// Waits, in a seat, for the end of the round: spins for a bounded time, then sleeps.
    ///
    /// `sleep` sleeps while this word is what it is given and no party has died; it says nothing, without sleeping, if one has.
    pub(crate) fn wait(
        &self,
        round: Round,
        parties: u32,
        patience: Patience,
        mut sleep: impl FnMut(u32, Deadline) -> Option<Woken>,
        has_dead: impl FnOnce() -> bool,
    ) -> Result<Outcome, GaveUp> {
        let mut spin = SpinWait::yielding();
        while self.outcome(round) == Outcome::Open && spin.spin(patience) {}
        let mut slept = false;
        loop {
            let seen = match self.announce_sleep(round) {
                Ok(seen) => seen,
                Err(over) => {
                    // If it was a death that woke this thread, and the dead one was about to wake all: they have to be woken.
                    if slept && has_dead() {
                        self.break_down();
                        futex::wake_all(&self.0);
                    }
                    return Ok(over);
                }
            };
            if patience.deadline.is_some_and(Deadline::has_passed) {
                let withdrawn = self.withdraw(round, parties);
                match self.outcome(round) {
                    over if over != Outcome::Open && !withdrawn => return Ok(over),
                    // All have arrived and the last one acts: an arrival that cannot be taken back breaks the barrier.
                    _ if !withdrawn => self.break_down(),
                    _ => {}
                }
                return Err(GaveUp::TimedOut);
            }
            let recheck = Deadline::after(RECHECK);
            match sleep(seen, patience.deadline.map_or(recheck, |until| until.min(recheck))) {
                None => self.break_down(),
                Some(Woken::Signal) if patience.interruptible && self.withdraw(round, parties) => {
                    return Err(GaveUp::Interrupted);
                }
                Some(_) => {}
            }
            slept = true;
        }
    }

    /// Announces a sleep; gives what the word has to be for it, or how the round has ended.
    fn announce_sleep(&self, round: Round) -> Result<u32, Outcome> {
        let mut seen = self.0.load(Acquire);
        loop {
            match outcome(seen, round) {
                Outcome::Open if seen & SLEEPERS != 0 => return Ok(seen),
                Outcome::Open => {}
                over => return Err(over),
            }
            match self.0.compare_exchange(seen, seen | SLEEPERS, Acquire, Acquire) {
                Ok(_) => return Ok(seen | SLEEPERS),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes, is turned away.
    #[cold]
    pub(crate) fn break_down(&self) {
        let before = self.0.fetch_or(BROKEN, AcqRel);
        self.wake_sleepers(before);
    }

    /// Makes it a barrier where nobody has arrived, and not broken. Who waits is turned away.
    pub(crate) fn reset(&self) {
        let mut seen = self.0.load(Relaxed);
        loop {
            let next = following(following(seen)) & !BROKEN;
            match self.0.compare_exchange(seen, next, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(changed) => seen = changed,
            }
        }
        self.wake_sleepers(seen);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Acquire) & BROKEN != 0
    }

    /// How many have arrived in this round.
    pub(crate) fn arrived(&self) -> u32 {
        self.0.load(Relaxed) & ARRIVED
    }

    #[inline(always)]
    fn wake_sleepers(&self, before: u32) {
        if before & SLEEPERS != 0 {
            futex::wake_all(&self.0);
        }
    }
}

/// The word at the beginning of the next round.
fn following(word: u32) -> u32 {
    word & BROKEN | (word & ROUND).wrapping_add(ROUND_ONE) & ROUND
}

fn outcome(word: u32, round: Round) -> Outcome {
    let passed = (word & ROUND).wrapping_sub(round.0) & ROUND;
    match passed / ROUND_ONE {
        0 if word & BROKEN == 0 => Outcome::Open,
        odd if odd % 2 == 1 => Outcome::Complete,
        _ => Outcome::Broken,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const PLAIN: Manner = Manner { only_last: false, acts: false };

    #[test]
    fn rounds_follow_each_other_past_the_end_of_the_counter() {
        let rounds = Rounds(AtomicU32::new(0));
        for _ in 0..40_000 {
            let Ok(Arrived::Early(round)) = rounds.arrive(2, PLAIN, || true) else { panic!() };
            assert_eq!(rounds.outcome(round), Outcome::Open);
            assert_eq!(rounds.arrive(2, PLAIN, || true), Ok(Arrived::Last));
            assert_eq!(rounds.outcome(round), Outcome::Complete);
        }
    }

    #[test]
    fn a_late_look_tells_completion_from_reset() {
        for resets in 0..4 {
            let rounds = Rounds(AtomicU32::new(ROUND));
            let Ok(Arrived::Early(round)) = rounds.arrive(2, PLAIN, || true) else { panic!() };
            rounds.arrive(2, PLAIN, || true).unwrap();
            (0..resets).for_each(|_| rounds.reset());
            rounds.break_down();
            assert_eq!(rounds.outcome(round), Outcome::Complete);
            let rounds = Rounds(AtomicU32::new(ROUND));
            let Ok(Arrived::Early(round)) = rounds.arrive(2, PLAIN, || true) else { panic!() };
            (0..=resets).for_each(|_| rounds.reset());
            assert_eq!(rounds.outcome(round), Outcome::Broken);
        }
    }

    #[test]
    fn an_arrival_is_taken_back_until_all_have_arrived() {
        let rounds = Rounds(AtomicU32::new(0));
        let Ok(Arrived::Early(round)) = rounds.arrive(2, PLAIN, || true) else { panic!() };
        assert!(rounds.withdraw(round, 2));
        assert_eq!(rounds.arrived(), 0);
        let Ok(Arrived::Early(early)) = rounds.arrive(2, PLAIN, || true) else { panic!() };
        let acting = Manner { acts: true, ..PLAIN };
        let Ok(Arrived::LastOf(last)) = rounds.arrive(2, acting, || true) else { panic!() };
        assert!(!rounds.withdraw(early, 2));
        assert_eq!(rounds.arrive(2, PLAIN, || true), Err(Turned::Damaged));
        assert!(rounds.complete(last) && !rounds.complete(last));
        assert!(!rounds.withdraw(early, 2));
    }

    #[test]
    fn a_dead_party_breaks_it_for_the_last_one_too() {
        let rounds = Rounds(AtomicU32::new(0));
        let only_last = Manner { only_last: true, ..PLAIN };
        assert_eq!(rounds.arrive(2, only_last, || true), Err(Turned::Early));
        assert_eq!(rounds.arrive(1, PLAIN, || false), Err(Turned::Broken));
        assert!(rounds.is_broken());
        assert_eq!(rounds.arrive(1, PLAIN, || true), Err(Turned::Broken));
        rounds.reset();
        assert_eq!(rounds.arrive(1, PLAIN, || true), Ok(Arrived::Last));
    }
}
