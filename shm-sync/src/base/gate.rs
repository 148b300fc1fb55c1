//! A gate: where threads of any process sleep until a condition that lies elsewhere (a count, a flag, a ring's end) may have come true.
//!
//! One word of shared pages, 0 or [`WAITERS`]. Its low 30 bits are always 0, so that it looks free to the kernel: a sleeper names it in
//! `list_op_pending`, and if it is killed after it was woken, the kernel wakes the next one in its stead (since 5.5 for the word 0, since 6.2
//! with flags). The protocol, for a condition `ready`:
//!
//! | step | who waits | who makes the condition true |
//! |---|---|---|
//! | 1 | name the gate in `list_op_pending` | change the condition (`SeqCst`, read-modify-write) |
//! | 2 | set `WAITERS` (`SeqCst`) | gate 0? nobody sleeps: done (`SeqCst` load) |
//! | 3 | look at the condition (`SeqCst`): true? step 5 | swap 0 in; if `WAITERS` was set: wake one, or all |
//! | 4 | sleep while the word is `WAITERS`; then step 2 | |
//! | 5 | after a gate that is opened for one at a time: step 3 of the other column, if there is `more` | |
//! | 6 | clear `list_op_pending` | |
//!
//! Steps 1 and 2 on either side are the two halves of Dekker's algorithm: either the waiter sees the condition or the other one the mark. Step 5
//! passes the wake-up on: the first of two openings takes the mark away, so the second finds none, but the first one woken finds `more`.
//!
//! Whoever opens the gate may be killed between its steps 1 and 3, and kernels before 6.2 do not wake in a dead thread's stead: so a sleep
//! lasts [`RECHECK`] at most. Whoever wakes from that looks at the condition again; that repairs a lost wake-up and does nothing else.
//!
//! What the condition is, and what it means, is the business of each primitive.

use super::atomics::{AtomicU32, SpinWait, fence_in_models};
use super::futex::{self, Deadline, Woken};
use super::{GaveUp, Patience};
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;

/// Somebody may sleep here: whoever makes the condition true has to wake.
const WAITERS: u32 = 0x8000_0000;

/// How long a sleep lasts at most before the condition is looked at again; see above.
const RECHECK: Duration = Duration::from_millis(250);

/// What the kernel is told while a thread waits at a gate: `list_op_pending`.
///
/// `base::robust::Me` in the library, nothing in a model, which plays the kernel's part itself.
pub(crate) trait Pending: Copy {
    /// Names the word.
    fn name(self, word: &AtomicU32);
    /// Names nothing.
    fn clear(self);
}

/// How many a change of the condition may let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// One: each change is for one waiter (a permit, a message).
    One,
    /// All: the condition stays true for everybody (an event, a broken barrier).
    All,
}

/// See the head of this file.
#[repr(transparent)]
#[derive(Default)]
pub(crate) struct Gate(AtomicU32);

impl Gate {
    /// Waits until `ready` yields something. It is called often, and has to read (or take) with `SeqCst`.
    ///
    /// `more` says, after `ready` has yielded, whether somebody else could pass as well; ask with `SeqCst` loads. At a gate that opens for all
    /// it is not needed: give `|| false`.
    pub(crate) fn wait<T>(
        &self,
        pending: impl Pending,
        patience: Patience,
        mut ready: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Result<T, GaveUp> {
        let mut spin = SpinWait::yielding();
        loop {
            if let Some(passed) = ready() {
                return Ok(passed);
            }
            if !spin.spin() {
                break;
            }
        }
        pending.name(&self.0);
        let outcome = self.sleep(patience, ready);
        if outcome.is_ok() && more() {
            self.open(Opens::One);
        }
        pending.clear();
        outcome
    }

    fn sleep<T>(&self, patience: Patience, mut ready: impl FnMut() -> Option<T>) -> Result<T, GaveUp> {
        loop {
            self.0.fetch_or(WAITERS, SeqCst);
            fence_in_models();
            if let Some(passed) = ready() {
                return Ok(passed);
            }
            // The mark stays behind whoever gives up: it costs the next opener a needless wake at worst.
            if patience.deadline.is_some_and(Deadline::has_passed) {
                return Err(GaveUp::TimedOut);
            }
            let recheck = Deadline::after(RECHECK);
            let until = patience.deadline.map_or(recheck, |deadline| deadline.min(recheck));
            if futex::wait(&self.0, WAITERS, until) == Woken::Signal && patience.interruptible {
                // An interrupted sleep has not consumed a wake-up. What has come true in the meantime still counts.
                return ready().ok_or(GaveUp::Interrupted);
            }
        }
    }

    /// Wakes those whom a change of the condition, made before with a `SeqCst` read-modify-write, may let through.
    ///
    /// A plain store will do as well if a read-modify-write of any word and [`fence_after_rmw`](super::atomics::fence_after_rmw) lie in between.
    #[inline(always)]
    pub(crate) fn open(&self, opens: Opens) {
        fence_in_models();
        if self.0.load(SeqCst) != 0 {
            self.open_slowly(opens);
        }
    }

    #[cold]
    fn open_slowly(&self, opens: Opens) {
        if self.0.swap(0, SeqCst) != 0 {
            match opens {
                Opens::One => futex::wake_one(&self.0),
                Opens::All => futex::wake_all(&self.0),
            }
        }
    }
}
