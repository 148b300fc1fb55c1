//! A number of permits and the gate where those wait who find none: the protocol of both kinds of semaphore.
//!
//! Taking is one compare-exchange of the count, giving back another; only who finds none comes to the gate. The next to come has the next permit,
//! whether it waited or not. What the count is bounded by, what else lies beside it and what the errors say is `semaphore`'s business.

use crate::base::atomics::AtomicU32;
use crate::base::gate::{Gate, Opens, Pending};
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::SeqCst;

/// See the head of this file. All zero: no permits.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Permits {
    gate: Gate,
    count: AtomicU32,
}

/// The count is past its limit: nobody has left it so who keeps to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why permits were not given back. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotGiven {
    /// With these permits there, they would have been too many.
    PastLimit(u32),
    Damaged,
}

impl Permits {
    /// How many permits are there.
    #[inline(always)]
    pub(crate) fn available(&self, limit: u32) -> Result<u32, Damaged> {
        match self.count.load(SeqCst) {
            count if count > limit => Err(Damaged),
            count => Ok(count),
        }
    }

    /// Takes a permit if there is one.
    #[inline(always)]
    pub(crate) fn try_take(&self, limit: u32) -> Option<Result<(), Damaged>> {
        let mut seen = self.count.load(SeqCst);
        loop {
            if seen == 0 {
                return None;
            }
            if seen > limit {
                return Some(Err(Damaged));
            }
            match self.count.compare_exchange_weak(seen, seen - 1, SeqCst, SeqCst) {
                Ok(_) => return Some(Ok(())),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Takes a permit, waiting for it as long as `patience` lasts.
    #[cold]
    pub(crate) fn take(
        &self,
        limit: u32,
        pending: impl Pending,
        patience: Patience,
    ) -> Result<Result<(), Damaged>, GaveUp> {
        self.gate.wait(pending, patience, || self.try_take(limit), || self.count.load(SeqCst) != 0)
    }

    /// Puts `number` permits there.
    ///
    /// One waiter is woken, who wakes the next if there is a permit left.
    #[inline(always)]
    pub(crate) fn give(&self, limit: u32, number: u32, pending: impl Pending) -> Result<(), NotGiven> {
        let mut refused = NotGiven::Damaged;
        let given = self.gate.open_by(pending, Opens::One, || {
            let mut seen = self.count.load(SeqCst);
            loop {
                match limit.checked_sub(seen) {
                    None => return None,
                    Some(room) if room < number => {
                        refused = NotGiven::PastLimit(seen);
                        return None;
                    }
                    Some(_) => {}
                }
                match self.count.compare_exchange_weak(seen, seen + number, SeqCst, SeqCst) {
                    Ok(_) => return Some(()),
                    Err(changed) => seen = changed,
                }
            }
        });
        given.ok_or(refused)
    }
}

#[cfg(loom)]
impl Permits {
    /// The gate, for models that die at it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Puts a permit there, and nothing else.
    pub(crate) fn give_without_waking(&self) {
        self.count.fetch_add(1, SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::robust::Me;

    const NOBODY: Option<Me> = None;

    #[test]
    fn permits_are_given_up_to_the_limit() {
        let permits = Permits::default();
        assert_eq!(permits.try_take(3), None);
        assert_eq!(permits.give(3, 2, NOBODY), Ok(()));
        assert_eq!(permits.give(3, 2, NOBODY), Err(NotGiven::PastLimit(2)));
        assert_eq!(permits.give(3, u32::MAX, NOBODY), Err(NotGiven::PastLimit(2)));
        assert_eq!(permits.give(3, 1, NOBODY), Ok(()));
        assert_eq!(permits.available(3), Ok(3));
        for left in [2, 1, 0] {
            assert_eq!(permits.try_take(3), Some(Ok(())));
            assert_eq!(permits.available(3), Ok(left));
        }
        assert_eq!(permits.try_take(3), None);
    }

    #[test]
    fn a_count_past_the_limit_is_left_alone() {
        let permits = Permits { gate: Gate::default(), count: AtomicU32::new(4) };
        assert_eq!(permits.try_take(3), Some(Err(Damaged)));
        assert_eq!(permits.take(3, NOBODY, Patience::default()), Ok(Err(Damaged)));
        assert_eq!(permits.give(3, 1, NOBODY), Err(NotGiven::Damaged));
        assert_eq!(permits.available(3), Err(Damaged));
        assert_eq!(permits.count.load(SeqCst), 4);
    }
}
