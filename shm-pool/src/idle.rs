//! Short waits of kept workers and of their master, who hope for news too soon to be worth a sleep.
//!
//! A sleep and a wake-up cost some 50 us; what is sent back and forth by processes that are awake takes less than one. So both look again and again for
//! a bounded time: pausing, and giving the processor away in between, for the one who is to bring the news may need it.

use std::time::{Duration, Instant};

use parking_lot_core::SpinWait;

/// How long who waits stays awake.
pub(crate) const AWAKE: Duration = Duration::from_micros(50);

/// A wait that goes on for so long at most, in all.
pub(crate) struct Idle {
    until: Instant,
    pauses: SpinWait,
}

impl Idle {
    pub(crate) fn new(limit: Duration) -> Idle {
        Idle { until: Instant::now() + limit, pauses: SpinWait::new() }
    }

    /// Waits a little; false when it is time to sleep.
    pub(crate) fn pause(&mut self) -> bool {
        if self.pauses.spin() {
            return true;
        }
        // It has given the processor away several times by now.
        self.pauses.reset();
        Instant::now() < self.until
    }
}
