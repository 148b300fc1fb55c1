//! An event in a loom model: the real flag and gate, with dying as something that a thread can do.
//!
//! For `tests/loom_event.rs`.

use super::gate::{Death, Modelled};
use crate::base::Patience;
use crate::event::signal::{Seen, Signal};

/// A flag, clear at first.
#[derive(Default)]
pub struct Event(Signal);

/// What a waiter came with.
pub struct Came(Seen);

impl Event {
    /// Begins a wait.
    pub fn come(&self) -> Came {
        Came(self.0.look())
    }

    /// Waits until the event is set or has been since `came`.
    pub fn wait_since(&self, came: Came) {
        if !came.0.is_set() {
            let waited = self.0.wait(came.0, Modelled, Patience::default());
            assert_eq!(waited, Ok(()), "an endless wait ends with the event");
        }
    }

    /// Waits until the event is set.
    pub fn wait(&self) {
        self.wait_since(self.come());
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.look().is_set()
    }

    /// Sets it.
    pub fn set(&self) {
        self.0.set(Modelled);
    }

    /// Clears it.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Waits, and dies when it has been woken or has seen the event set.
    pub fn die_woken(&self) {
        self.0.gate().sleep_until_woken(|| self.is_set());
        self.0.gate().kernel_cleans_up();
    }

    /// Sets it and dies somewhere in waking.
    pub fn set_and_die(&self, death: Death) {
        self.0.set_without_waking();
        if death == Death::Swapped {
            self.0.gate().open_without_waking();
        }
        self.0.gate().kernel_cleans_up();
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        self.0.gate().recheck();
    }
}
