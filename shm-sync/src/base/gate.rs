//! A gate: where threads of any process sleep until a condition that lies elsewhere (a count, a flag, a ring's end) may have come true.
//!
//! One word of shared pages, 0 or [`WAITERS`]. Its low 30 bits are always 0, so that it looks free to the kernel: whoever names it in
//! `list_op_pending` and is killed has the kernel wake the next sleeper in its stead (since 5.5 for the word 0, since 6.2 with flags). The
//! protocol, for a condition `ready`:
//!
//! | step | who waits | who makes the condition true |
//! |---|---|---|
//! | 1 | name the gate in `list_op_pending` | name the gate in `list_op_pending` (if it can) |
//! | 2 | set `WAITERS` (`SeqCst`) | change the condition (`SeqCst`, read-modify-write) |
//! | 3 | look at the condition (`SeqCst`): true? step 5 | gate 0? nobody sleeps: step 5 (`SeqCst` load) |
//! | 4 | sleep while the word is `WAITERS`; then step 2 | swap 0 in; if `WAITERS` was set: wake one, or all |
//! | 5 | pass the wake-up on: see below | |
//! | 6 | clear `list_op_pending` | clear `list_op_pending` |
//!
//! Steps 2 and 3 on either side are the two halves of Dekker's algorithm: either the waiter sees the condition or the other one the mark.
//!
//! **One at a time** ([`Gate::wait`]): the first of two openings takes the mark away, so the second finds none, but the first one woken finds
//! `more` and opens the gate in its turn. Whoever wakes marks *before* it looks, for those who still sleep.
//!
//! **All at once** ([`Gate::wait_for_all`]): whoever wakes looks first, and marks only to sleep again. If the gate is still marked when it passes,
//! the opener has not got to its swap, and may be dead: it wakes the others.
//!
//! Whoever is killed with the gate named has one sleeper woken in its stead, who passes it on as above. That helps those who sleep at that moment.
//! It does not help somebody between its look and its sleep, whom the swap that did not take place (or a mark that was set anew) lets fall
//! asleep; nor behind an opener that could not name the gate, or for all and killed between swap and wake; nor while a woken waiter is
//! stopped (`SIGSTOP`); nor on kernels before 6.2. So a sleep lasts [`RECHECK`] at most: whoever wakes from that marks and looks again; it
//! repairs a lost wake-up and does nothing else. Where nobody dies or is stopped, nothing needs it.
//!
//! What the condition is, and what it means, is the business of each primitive. `tests/loom_gate.rs` models this file.

use super::atomics::{AtomicU32, SpinWait, store_load_barrier};
use super::futex::{self, Deadline, Woken};
use super::{GaveUp, Patience};
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;

/// Somebody may sleep here: whoever makes the condition true has to wake.
const WAITERS: u32 = 0x8000_0000;

/// How long a sleep lasts at most before the condition is looked at again; see above.
pub(crate) const RECHECK: Duration = Duration::from_millis(250);

/// What the kernel is told while a thread waits at a gate: `list_op_pending`.
///
/// `base::robust::Me` in the library, nothing in a model, which plays the kernel's part itself. None: a thread that cannot tell.
pub(crate) trait Pending: Copy {
    /// Names the word.
    fn name(self, word: &AtomicU32);
    /// Names nothing.
    fn clear(self);
}

impl<P: Pending> Pending for Option<P> {
    #[inline(always)]
    fn name(self, word: &AtomicU32) {
        if let Some(pending) = self {
            pending.name(word);
        }
    }

    #[inline(always)]
    fn clear(self) {
        if let Some(pending) = self {
            pending.clear();
        }
    }
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
    /// The word, for a `ready` that has something of its own to tell the kernel and then names this again.
    #[cfg(not(loom))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Waits at a gate that opens for one at a time until `ready` yields something. It is called often, and has to read (or take) with
    /// `SeqCst`.
    ///
    /// `more` says, after `ready` has yielded, whether somebody else could pass as well; ask with `SeqCst` loads.
    pub(crate) fn wait<T>(
        &self,
        pending: impl Pending,
        patience: Patience,
        mut ready: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Result<T, GaveUp> {
        if let Some(passed) = spin(patience, &mut ready) {
            return Ok(passed);
        }
        pending.name(&self.0);
        let outcome = self.sleep(patience, ready);
        if outcome.is_ok() && more() {
            self.open(Opens::One);
        }
        pending.clear();
        outcome
    }

    /// Waits at a gate that opens for all until `ready` yields something, which reads with `SeqCst`.
    pub(crate) fn wait_for_all<T>(
        &self,
        pending: impl Pending,
        patience: Patience,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, GaveUp> {
        if let Some(passed) = spin(patience, &mut ready) {
            return Ok(passed);
        }
        pending.name(&self.0);
        let outcome = loop {
            match self.sleep_once(patience, &mut ready) {
                Asleep::Passed(passed) => break Ok(passed),
                Asleep::GaveUp(why) => break Err(why),
                Asleep::Woke => {}
            }
            if let Some(passed) = ready() {
                break Ok(passed);
            }
        };
        if outcome.is_ok() {
            self.open(Opens::All);
        }
        pending.clear();
        outcome
    }

    fn sleep<T>(&self, patience: Patience, mut ready: impl FnMut() -> Option<T>) -> Result<T, GaveUp> {
        loop {
            match self.sleep_once(patience, &mut ready) {
                Asleep::Passed(passed) => return Ok(passed),
                Asleep::GaveUp(why) => return Err(why),
                Asleep::Woke => {}
            }
        }
    }

    /// Steps 2 to 4, once.
    fn sleep_once<T>(&self, patience: Patience, ready: &mut impl FnMut() -> Option<T>) -> Asleep<T> {
        self.0.fetch_or(WAITERS, SeqCst);
        store_load_barrier();
        if let Some(passed) = ready() {
            return Asleep::Passed(passed);
        }
        // The mark stays behind whoever gives up: it costs the next opener a needless wake at worst.
        if patience.deadline.is_some_and(Deadline::has_passed) {
            return Asleep::GaveUp(GaveUp::TimedOut);
        }
        let recheck = Deadline::after(RECHECK);
        let until = patience.deadline.map_or(recheck, |deadline| deadline.min(recheck));
        if futex::wait(&self.0, WAITERS, until) == Woken::Signal && patience.interruptible {
            // An interrupted sleep has not consumed a wake-up. What has come true in the meantime still counts.
            return ready().map_or(Asleep::GaveUp(GaveUp::Interrupted), Asleep::Passed);
        }
        Asleep::Woke
    }

    /// Calls `change`, which makes the condition true with a `SeqCst` read-modify-write, and wakes those whom that may let through. If the
    /// thread is killed in between, the kernel wakes one.
    ///
    /// `change` says whether there is anything to wake for.
    #[inline(always)]
    pub(crate) fn open_by<T>(
        &self,
        pending: impl Pending,
        opens: Opens,
        change: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        pending.name(&self.0);
        let changed = change();
        if changed.is_some() {
            self.open(opens);
        }
        pending.clear();
        changed
    }

    /// Wakes those whom a change of the condition, made before with a `SeqCst` read-modify-write, may let through.
    ///
    /// A plain store will do as well if a read-modify-write of any word and [`fence_after_rmw`](super::atomics::fence_after_rmw) lie in between.
    #[inline(always)]
    pub(crate) fn open(&self, opens: Opens) {
        store_load_barrier();
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

/// How one sleep at a gate ended.
enum Asleep<T> {
    Passed(T),
    GaveUp(GaveUp),
    Woke,
}

/// Looks for a bounded time, and once at least, with waits in between.
fn spin<T>(patience: Patience, ready: &mut impl FnMut() -> Option<T>) -> Option<T> {
    let mut spin = SpinWait::yielding();
    loop {
        let passed = ready();
        if passed.is_some() || !spin.spin(patience) {
            return passed;
        }
    }
}

/// What only a model does: dying in the middle, and the kernel's part.
#[cfg(loom)]
impl Gate {
    /// The part of a wait up to the end of its first sleep. Does not sleep if `ready` says that it may pass.
    pub(crate) fn sleep_until_woken(&self, mut ready: impl FnMut() -> bool) {
        self.sleep_once(Patience::default(), &mut || ready().then_some(()));
    }

    /// A wait at a gate that opens for one at a time, whose deadline passes during its first sleep.
    pub(crate) fn wait_for_one_sleep<T>(
        &self,
        mut ready: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Option<T> {
        let over = Patience { deadline: Some(Deadline::after(Duration::ZERO)), interruptible: false };
        for patience in [Patience::default(), over] {
            if let Asleep::Passed(passed) = self.sleep_once(patience, &mut ready) {
                if more() {
                    self.open(Opens::One);
                }
                return Some(passed);
            }
        }
        None
    }

    /// Step 4 of an opener up to its swap.
    pub(crate) fn open_without_waking(&self) {
        store_load_barrier();
        if self.0.load(SeqCst) != 0 {
            self.0.swap(0, SeqCst);
        }
    }

    /// What the kernel does for a thread that dies with the gate in `list_op_pending` (`handle_futex_death` in kernel/futex/core.c): the
    /// word names no thread, so it wakes one.
    pub(crate) fn kernel_cleans_up(&self) {
        futex::wake_one(&self.0);
    }

    /// The time slice of every sleep is over: from now on everybody finds what it waits for, or is lost.
    pub(crate) fn recheck(&self) {
        futex::recheck(&self.0);
    }

    /// Waits until so many sleep.
    pub(crate) fn until_asleep(&self, number: usize) {
        futex::until_asleep(number);
    }
}
