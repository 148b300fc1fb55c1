//! A barrier in a loom model: the real rounds and real seat words, with the death of parties as a transition.
//!
//! For `tests/loom_barrier.rs`. The robust list is played by the model.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the barrier under test is what makes sharing it right"
)]

#[path = "../barrier/rounds.rs"]
mod rounds;

use crate::base::Patience;
use crate::base::atomics::AtomicU32;
use crate::base::futex::{self, Deadline, Woken};
use crate::base::word::{OWNER_DIED, Word, owner};
use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::Acquire;
use rounds::{Arrived, Manner, Outcome, Rounds};

/// A barrier for `N` parties, each with a value that it writes before it arrives, and that all read afterwards.
pub struct Barrier<const N: usize> {
    rounds: Rounds,
    seats: [Word; N],
    values: [UnsafeCell<u32>; N],
}

// SAFETY: the values are written before the barrier and read after it; that this makes no race is what the model checks.
unsafe impl<const N: usize> Sync for Barrier<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Send for Barrier<N> {}

impl<const N: usize> Default for Barrier<N> {
    fn default() -> Self {
        Self {
            rounds: Rounds::new(),
            seats: std::array::from_fn(|_| Word::new()),
            values: std::array::from_fn(|_| UnsafeCell::new(0)),
        }
    }
}

impl<const N: usize> Barrier<N> {
    /// Takes the seat.
    pub fn join(&self, seat: usize) {
        assert!(self.seats[seat].acquire_free_watched(tid(seat)));
    }

    /// Leaves the seat.
    pub fn leave(&self, seat: usize) {
        self.seats[seat].release_quietly();
    }

    /// Writes this party's value.
    pub fn write(&self, seat: usize, value: u32) {
        // SAFETY: loom gives a valid pointer and checks that nobody else uses it now.
        self.values[seat].with_mut(|place| unsafe { *place = value });
    }

    /// Reads all values.
    pub fn read(&self) -> [u32; N] {
        // SAFETY: as in `write`.
        std::array::from_fn(|seat| self.values[seat].with(|place| unsafe { *place }))
    }

    /// Waits. `Some(true)` for the last one, nothing if the barrier was broken.
    pub fn wait(&self, seat: usize) -> Option<bool> {
        let manner = Manner { only_last: false, acts: false };
        match self.rounds.arrive(N as u32, manner, || !self.has_dead()) {
            Ok(Arrived::Early(round)) => {
                let sleep = |seen, until| self.sleep_once(seat, seen, until);
                let outcome =
                    self.rounds.wait(round, N as u32, Patience::default(), sleep, || self.has_dead());
                (outcome == Ok(Outcome::Complete)).then_some(false)
            }
            Ok(_) => Some(true),
            Err(_) => None,
        }
    }

    fn sleep_once(&self, seat: usize, seen: u32, until: Deadline) -> Option<Woken> {
        if self.has_dead() {
            return None;
        }
        let mut words: Vec<(&AtomicU32, u32)> = vec![(self.rounds.futex(), seen)];
        for (_, other) in self.seats.iter().enumerate().filter(|(other, _)| *other != seat) {
            let value = other.watch().load(Acquire);
            if is_dead(value) {
                return None;
            }
            words.push((other.watch(), value));
        }
        Some(futex::wait_any(&words, until))
    }

    fn has_dead(&self) -> bool {
        self.seats.iter().any(|seat| is_dead(seat.watch().load(Acquire)))
    }

    /// The party is killed, with its seat: the kernel wakes one of those who watch it.
    pub fn die(&self, seat: usize) {
        self.seats[seat].kernel_cleans_up_after(tid(seat));
    }

    /// The party arrives and is killed at once: if it was the last one, before it has woken the others.
    pub fn die_arrived(&self, seat: usize) {
        let manner = Manner { only_last: false, acts: true };
        if let Ok(Arrived::LastOf(round)) = self.rounds.arrive(N as u32, manner, || !self.has_dead()) {
            self.rounds.complete_without_waking(round);
        }
        self.die(seat);
    }

    /// Somebody breaks it.
    pub fn abort(&self) {
        self.rounds.break_down();
    }
}

fn is_dead(word: u32) -> bool {
    word & OWNER_DIED != 0 && owner(word).is_none()
}

fn tid(seat: usize) -> u32 {
    seat as u32 + 1
}
