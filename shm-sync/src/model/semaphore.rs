//! A semaphore in a loom model: the real count and gate, with dying as something that a thread can do.
//!
//! For `tests/loom_semaphore.rs`.

use super::gate::{Death, Modelled, no_patience};
use crate::base::Patience;
use crate::semaphore::permits::Permits;

/// Permits up to a limit.
pub struct Semaphore {
    permits: Permits,
    limit: u32,
}

impl Semaphore {
    /// With `permits` of `limit` permits.
    pub fn new(permits: u32, limit: u32) -> Self {
        let semaphore = Self { permits: Permits::default(), limit };
        if permits != 0 {
            assert!(semaphore.release(permits));
        }
        semaphore
    }

    /// Takes a permit, waiting for it.
    pub fn acquire(&self) {
        if !self.try_acquire() {
            let taken = self.permits.take(self.limit, Modelled, Patience::default());
            assert_eq!(taken, Ok(Ok(())), "an endless wait ends with a permit");
        }
    }

    /// Takes a permit if there is one.
    pub fn try_acquire(&self) -> bool {
        self.permits.try_take(self.limit) == Some(Ok(()))
    }

    /// Takes a permit if there is one when the deadline, which has passed, is looked at.
    pub fn acquire_or_give_up(&self) -> bool {
        self.permits.take(self.limit, Modelled, no_patience()).is_ok()
    }

    /// Gives permits; false if there would be too many.
    pub fn release(&self, permits: u32) -> bool {
        self.permits.give(self.limit, permits, Modelled).is_ok()
    }

    /// How many permits are there.
    pub fn available(&self) -> u32 {
        self.permits.available(self.limit).expect("never past the limit")
    }

    /// Waits, and dies when it has been woken or has seen a permit; it takes none.
    pub fn die_woken(&self) {
        self.permits.gate().sleep_until_woken(|| self.available() != 0);
        self.permits.gate().kernel_cleans_up();
    }

    /// Gives a permit and dies somewhere in waking.
    pub fn release_and_die(&self, death: Death) {
        self.permits.give_without_waking();
        if death == Death::Swapped {
            self.permits.gate().open_without_waking();
        }
        self.permits.gate().kernel_cleans_up();
    }
}
