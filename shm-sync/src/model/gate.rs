//! A gate in a loom model: the real protocol in front of a count of tickets and of a flag, with dying as something that a thread can do.
//!
//! For `tests/loom_gate.rs`. What `list_op_pending` gives the kernel is played here: a thread that dies at the gate wakes one.

use crate::base::Patience;
use crate::base::futex::Deadline;
use crate::base::gate::{Gate, Opens, Pending};
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;
use loom::sync::atomic::AtomicU32;

/// A thread whose `list_op_pending` is the model's business.
#[derive(Clone, Copy)]
pub(crate) struct Modelled;

impl Pending for Modelled {
    fn name(self, _word: &crate::base::atomics::AtomicU32) {}
    fn clear(self) {}
}

/// A deadline that has passed already.
pub(crate) fn no_patience() -> Patience {
    Patience { deadline: Some(Deadline::after(Duration::ZERO)), interruptible: false }
}

/// Where an opener dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Right after it made the condition true.
    Changed,
    /// Right after it swapped the mark out, with nobody woken yet.
    Swapped,
}

/// A gate that opens for one at a time: one ticket each.
#[derive(Default)]
pub struct Turnstile {
    gate: Gate,
    tickets: AtomicU32,
}

impl Turnstile {
    /// Takes a ticket if there is one, without a look at the gate.
    pub fn barge(&self) -> bool {
        self.take().is_some()
    }

    fn take(&self) -> Option<()> {
        let mut seen = self.tickets.load(SeqCst);
        while seen != 0 {
            match self.tickets.compare_exchange(seen, seen - 1, SeqCst, SeqCst) {
                Ok(_) => return Some(()),
                Err(changed) => seen = changed,
            }
        }
        None
    }

    fn has_ticket(&self) -> bool {
        self.tickets.load(SeqCst) != 0
    }

    /// Waits for a ticket and takes it.
    pub fn pass(&self) {
        let passed = self.gate.wait(Modelled, Patience::default(), || self.take(), || self.has_ticket());
        passed.expect("an endless wait ends with a ticket");
    }

    /// The same without passing the wake-up on: what the protocol would be without its step 5.
    pub fn pass_selfishly(&self) {
        let passed = self.gate.wait(Modelled, Patience::default(), || self.take(), || false);
        passed.expect("an endless wait ends with a ticket");
    }

    /// Sleeps once, then gives up unless there is a ticket. True: it passed.
    pub fn pass_or_give_up(&self) -> bool {
        self.gate.sleep_until_woken(|| self.has_ticket());
        self.gate.wait(Modelled, no_patience(), || self.take(), || self.has_ticket()).is_ok()
    }

    /// Waits, and dies when it has been woken or has seen a ticket; it takes none.
    pub fn die_woken(&self) {
        self.gate.sleep_until_woken(|| self.has_ticket());
        self.gate.kernel_cleans_up();
    }

    /// Waits, and dies right after it took a ticket, before it passes the wake-up on. True: there was one without sleeping.
    pub fn die_with_a_ticket(&self) {
        let passed = self.gate.wait(Modelled, Patience::default(), || self.take(), || false);
        passed.expect("an endless wait ends with a ticket");
        self.gate.kernel_cleans_up();
    }

    /// Adds a ticket and opens.
    pub fn admit(&self) {
        self.gate.open_by(Modelled, Opens::One, || Some(self.tickets.fetch_add(1, SeqCst)));
    }

    /// Adds a ticket and dies somewhere in opening, with the gate named.
    pub fn admit_and_die(&self, death: Death) {
        self.admit_and_die_unnamed(death);
        self.gate.kernel_cleans_up();
    }

    /// The same by a thread that could not name the gate: nobody is woken in its stead.
    pub fn admit_and_die_unnamed(&self, death: Death) {
        self.tickets.fetch_add(1, SeqCst);
        if death == Death::Swapped {
            self.gate.open_without_waking();
        }
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        self.gate.recheck();
    }
}

/// A gate that opens for all: a flag.
#[derive(Default)]
pub struct Door {
    gate: Gate,
    flag: AtomicU32,
}

impl Door {
    fn is_open(&self) -> bool {
        self.flag.load(SeqCst) != 0
    }

    /// Waits for the flag.
    pub fn pass(&self) {
        let passed = self.gate.wait_for_all(Modelled, Patience::default(), || self.is_open().then_some(()));
        passed.expect("an endless wait ends with the flag");
    }

    /// Gives up unless the flag is set. True: it passed.
    pub fn pass_or_give_up(&self) -> bool {
        self.gate.wait_for_all(Modelled, no_patience(), || self.is_open().then_some(())).is_ok()
    }

    /// Waits, and dies when it has been woken or has seen the flag.
    pub fn die_woken(&self) {
        self.gate.sleep_until_woken(|| self.is_open());
        self.gate.kernel_cleans_up();
    }

    /// Sets the flag and opens.
    pub fn open(&self) {
        self.gate.open_by(Modelled, Opens::All, || Some(self.flag.fetch_or(1, SeqCst)));
    }

    /// Sets the flag and dies somewhere in opening, with the gate named.
    pub fn open_and_die(&self, death: Death) {
        self.flag.fetch_or(1, SeqCst);
        if death == Death::Swapped {
            self.gate.open_without_waking();
        }
        self.gate.kernel_cleans_up();
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        self.gate.recheck();
    }
}
