//! What the primitives are built from, from the bottom up: the kernel's futexes and robust lists, words, gates and slots.
//!
//! | file | what it knows |
//! |---|---|
//! | `atomics` | the atomics and spins that protocols are written with (loom's in models) |
//! | `futex` | sleeping on a word and waking those who sleep |
//! | `robust`, `registry` | telling the kernel which words a thread holds |
//! | `word` | a lock word: one holder, whose death is news |
//! | `slot` | a lock word in 64 bytes with room for notes: a mutex's lock, a reader, a party, a process |
//! | `gate` | waiting for a condition that lies elsewhere, without losing a wake-up to a killed waiter |
//!
//! Nothing here knows a primitive.

pub(crate) mod atomics;
pub(crate) mod futex;
pub(crate) mod gate;
#[cfg(not(loom))]
pub(crate) mod registry;
#[cfg(not(loom))]
pub(crate) mod robust;
#[cfg(not(loom))]
pub(crate) mod slot;
pub(crate) mod word;

use futex::Deadline;
#[cfg(not(loom))]
use std::time::{Duration, Instant};

/// How long to wait, and for what to stop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// Give up at this point; none: never.
    pub(crate) deadline: Option<Deadline>,
    /// Give up when a signal handler has run.
    pub(crate) interruptible: bool,
}

#[cfg(not(loom))]
impl Patience {
    /// This long from now.
    pub(crate) fn for_at_most(timeout: Duration) -> Self {
        Self { deadline: Some(Deadline::after(timeout)), interruptible: false }
    }

    /// Until then.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline: Some(Deadline::at(deadline)), interruptible: false }
    }

    /// Until then, if ever, or until a signal handler has run.
    pub(crate) fn interruptible(deadline: Option<Instant>) -> Self {
        Self { deadline: deadline.map(Deadline::at), interruptible: true }
    }
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran, and the caller wanted to know.
    Interrupted,
}
