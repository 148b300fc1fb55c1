//! A number that is counted down to zero and the gate where those wait who find it higher: the protocol of the latch.

use crate::base::atomics::AtomicU32;
use crate::base::gate::{Gate, Opens, Pending};
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::SeqCst;

/// See the head of this file.
#[repr(C)]
pub(crate) struct Countdown {
    gate: Gate,
    remaining: AtomicU32,
}

/// More is to come than there was at the beginning: nobody has left it so who keeps to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why arrivals were not counted. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCounted {
    /// So many are to come, which is fewer.
    BelowZero(u32),
    Damaged,
}

impl Countdown {
    /// How many arrivals are to come, of `parties`.
    #[inline(always)]
    pub(crate) fn remaining(&self, parties: u32) -> Result<u32, Damaged> {
        match self.remaining.load(SeqCst) {
            remaining if remaining > parties => Err(Damaged),
            remaining => Ok(remaining),
        }
    }

    /// Counts `arrivals`, and wakes everybody with the last of them.
    #[inline(always)]
    pub(crate) fn count_down(
        &self,
        parties: u32,
        arrivals: u32,
        pending: impl Pending,
    ) -> Result<(), NotCounted> {
        let mut outcome = Ok(());
        self.gate.open_by(pending, Opens::All, || {
            let mut seen = self.remaining.load(SeqCst);
            loop {
                if seen > parties || arrivals > seen {
                    let refused =
                        if seen > parties { NotCounted::Damaged } else { NotCounted::BelowZero(seen) };
                    outcome = Err(refused);
                    return None;
                }
                match self.remaining.compare_exchange_weak(seen, seen - arrivals, SeqCst, SeqCst) {
                    Ok(_) => return (seen == arrivals).then_some(()),
                    Err(changed) => seen = changed,
                }
            }
        });
        outcome
    }

    /// Waits until nothing is to come.
    #[cold]
    pub(crate) fn wait(
        &self,
        parties: u32,
        pending: impl Pending,
        patience: Patience,
    ) -> Result<Result<(), Damaged>, GaveUp> {
        self.gate.wait_for_all(pending, patience, || match self.remaining(parties) {
            Ok(0) => Some(Ok(())),
            Ok(_) => None,
            Err(damaged) => Some(Err(damaged)),
        })
    }
}

#[cfg(loom)]
impl Countdown {
    /// One that waits for so many arrivals.
    pub(crate) fn of(parties: u32) -> Self {
        Self { gate: Gate::default(), remaining: AtomicU32::new(parties) }
    }

    /// The gate, for models that die at it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Counts one arrival, and nothing else.
    pub(crate) fn count_without_waking(&self) {
        self.remaining.fetch_sub(1, SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::robust::Me;

    const NOBODY: Option<Me> = None;

    fn countdown(remaining: u32) -> Countdown {
        Countdown { gate: Gate::default(), remaining: AtomicU32::new(remaining) }
    }

    #[test]
    fn arrivals_are_counted_down_to_zero_and_no_further() {
        let countdown = countdown(3);
        assert_eq!(countdown.count_down(3, 2, NOBODY), Ok(()));
        assert_eq!(countdown.count_down(3, 2, NOBODY), Err(NotCounted::BelowZero(1)));
        assert_eq!(countdown.remaining(3), Ok(1));
        assert_eq!(countdown.count_down(3, 1, NOBODY), Ok(()));
        assert_eq!(countdown.wait(3, NOBODY, Patience::default()), Ok(Ok(())));
        assert_eq!(countdown.count_down(3, 1, NOBODY), Err(NotCounted::BelowZero(0)));
        assert_eq!(countdown.count_down(3, u32::MAX, NOBODY), Err(NotCounted::BelowZero(0)));
    }

    #[test]
    fn more_than_there_were_is_damage_and_left_alone() {
        let countdown = countdown(4);
        assert_eq!(countdown.remaining(3), Err(Damaged));
        assert_eq!(countdown.count_down(3, 1, NOBODY), Err(NotCounted::Damaged));
        assert_eq!(countdown.wait(3, NOBODY, Patience::default()), Ok(Err(Damaged)));
        assert_eq!(countdown.remaining.load(SeqCst), 4);
    }
}
