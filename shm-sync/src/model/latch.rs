//! A latch in a loom model: the real count and gate, with dying as something that a thread can do.
//!
//! For `tests/loom_latch.rs`.

use super::gate::{Death, Modelled};
use crate::base::Patience;
use crate::latch::countdown::Countdown;

/// Waits for a number of arrivals.
pub struct Latch {
    countdown: Countdown,
    parties: u32,
}

impl Latch {
    /// For so many arrivals.
    pub fn new(parties: u32) -> Self {
        Self { countdown: Countdown::of(parties), parties }
    }

    /// Counts arrivals; false if fewer are to come.
    pub fn count_down(&self, arrivals: u32) -> bool {
        self.countdown.count_down(self.parties, arrivals, Modelled).is_ok()
    }

    /// Waits until it is open.
    pub fn wait(&self) {
        let waited = self.countdown.wait(self.parties, Modelled, Patience::default());
        assert_eq!(waited, Ok(Ok(())), "an endless wait ends with the last arrival");
    }

    /// How many arrivals are to come.
    pub fn remaining(&self) -> u32 {
        self.countdown.remaining(self.parties).expect("never more than at first")
    }

    /// Waits, and dies when it has been woken or has seen the latch open.
    pub fn die_woken(&self) {
        self.countdown.gate().sleep_until_woken(|| self.remaining() == 0);
        self.countdown.gate().kernel_cleans_up();
    }

    /// Counts one arrival and dies somewhere in waking.
    pub fn count_down_and_die(&self, death: Death) {
        self.countdown.count_without_waking();
        if death == Death::Swapped {
            self.countdown.gate().open_without_waking();
        }
        self.countdown.gate().kernel_cleans_up();
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        self.countdown.gate().recheck();
    }
}
