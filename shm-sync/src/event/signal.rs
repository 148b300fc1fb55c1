//! A flag and the gate where those wait who find it clear: the protocol of the event.
//!
//! Bit 0 of the state is the flag, the other 31 bits count how often it was set. Whoever waits remembers the count that it came with, and passes when
//! the flag is set *or* the count has changed: an event that is set and cleared at once still lets everybody through who was waiting. (Somebody who is
//! stopped during exactly 2^31 settings, and finds the event clear then, goes on waiting.) Any bits are a valid state.

use crate::base::atomics::AtomicU32;
use crate::base::gate::{Gate, Opens, Pending};
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::SeqCst;

/// The event is set.
const SET: u32 = 1;
/// One in the count of settings.
const ONCE: u32 = 2;

/// See the head of this file. All zero: clear.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Signal {
    gate: Gate,
    state: AtomicU32,
}

/// What a waiter came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u32);

impl Seen {
    #[inline(always)]
    pub(crate) fn is_set(self) -> bool {
        self.0 & SET != 0
    }
}

impl Signal {
    /// What there is now: also for a wait that begins here.
    #[inline(always)]
    pub(crate) fn look(&self) -> Seen {
        Seen(self.state.load(SeqCst))
    }

    /// Sets the flag and wakes everybody.
    #[inline(always)]
    pub(crate) fn set(&self, pending: impl Pending) {
        self.gate.open_by(pending, Opens::All, || {
            let mut seen = self.state.load(SeqCst);
            loop {
                // A flag that is set is written too: what this thread stored before is then seen by whoever sees the flag.
                let set = if seen & SET == 0 { seen.wrapping_add(ONCE) | SET } else { seen };
                match self.state.compare_exchange_weak(seen, set, SeqCst, SeqCst) {
                    Ok(_) => return Some(()),
                    Err(changed) => seen = changed,
                }
            }
        });
    }

    #[inline(always)]
    pub(crate) fn clear(&self) {
        self.state.fetch_and(!SET, SeqCst);
    }

    /// Waits until the flag is set or has been since `seen`.
    #[cold]
    pub(crate) fn wait(&self, seen: Seen, pending: impl Pending, patience: Patience) -> Result<(), GaveUp> {
        self.gate.wait_for_all(pending, patience, || {
            let now = self.state.load(SeqCst);
            (now & SET != 0 || now & !SET != seen.0 & !SET).then_some(())
        })
    }
}

#[cfg(loom)]
impl Signal {
    /// The gate, for models that die at it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Sets the flag, and nothing else.
    pub(crate) fn set_without_waking(&self) {
        self.state.fetch_or(SET, SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::robust::Me;

    const NOBODY: Option<Me> = None;

    #[test]
    fn every_state_can_be_set_and_cleared() {
        for state in [0, 1, 2, 3, u32::MAX - 1, u32::MAX] {
            let signal = Signal { gate: Gate::default(), state: AtomicU32::new(state) };
            assert_eq!(signal.look().is_set(), state & 1 == 1);
            signal.set(NOBODY);
            assert!(signal.look().is_set());
            let seen = signal.look();
            signal.set(NOBODY);
            assert_eq!(signal.look(), seen, "setting twice is setting once");
            signal.clear();
            assert!(!signal.look().is_set());
        }
    }

    #[test]
    fn whoever_was_there_passes_after_a_pulse() {
        for state in [0, 2, u32::MAX - 1] {
            let signal = Signal { gate: Gate::default(), state: AtomicU32::new(state) };
            let before = signal.look();
            signal.set(NOBODY);
            signal.clear();
            assert_eq!(signal.wait(before, NOBODY, Patience::default()), Ok(()));
            let soon = Patience::for_at_most(core::time::Duration::ZERO);
            assert_eq!(signal.wait(signal.look(), NOBODY, soon), Err(GaveUp::TimedOut));
        }
    }
}
