//! The condition variable without its mutex: who waits since when, which notifications are still to be taken, and the sleeping.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | moves | the sleepers' futex; changes with every wake-up |
//! | 4 | sleepers | how many sleep, at least |
//! | 8 | identity | see `handle`; parameter 0 |
//! | 16 | signals | low half: which of the last 32 notifications are not taken yet, the newest in bit 0; high half: how many there were |
//! | 24 | waiters | low half: how many wait, at least; high half: the name of the mutex that they wait with |
//! | 32 | epoch | changes when everybody who waits may go |
//!
//! A waiter enters, gives the mutex up, sleeps until there may be a signal for it, takes the mutex, and only then takes the signal: one that is
//! killed before has taken nothing. A signal is for those who entered before it was given. Each waiter takes the *oldest* one that it may
//! have, so that a late waiter does not take the one signal that an early one can use. A signal that has been left for 32 more
//! notifications is made good with a new epoch: then everybody who waits goes, some of them for nothing, which a condition variable may do.
//!
//! **No lost wake-up.** Who notifies: change `signals` or `epoch`; look at `sleepers`; if there are any, change `moves`, wake. Who waits: enter, and
//! only then give the mutex up; add to `sleepers`; read `moves`; look for a signal; sleep as long as `moves` is what it was. The first two steps
//! of either side are Dekker's algorithm (`SeqCst`); the kernel's comparison covers the time between the look and the sleep.
//!
//! **Deaths.** Both counts are too high after a waiter's death. That costs the others a system call for each notification; nothing depends on it.
//! A waiter that is killed after it was woken, or a notifier before it woke anybody, leaves the signal, and nobody who comes for it. So a sleep
//! lasts `RECHECK` at most; whoever wakes from that looks again, which repairs a lost wake-up and does nothing else. (The kernel could pass the
//! wake-up on at once, but only on a word whose low 30 bits are always 0: then the comparison before the sleep would be none. Sleeping on two
//! words with `futex_waitv` gives both, but does not return to its caller through a handler with `SA_RESTART`.)
//!
//! This file leaves the mutex to its user. `tests/loom_condvar.rs` models it.

use crate::base::atomics::{AtomicU32, AtomicU64, SpinWait, store_load_barrier};
use crate::base::futex::{self, Woken};
use crate::base::gate::RECHECK;
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How many notifications can wait to be taken.
const WINDOW: u32 = u32::BITS;

/// See the head of this file.
#[repr(C, align(64))]
#[derive(Default)]
pub(crate) struct RawCondvar {
    moves: AtomicU32,
    sleepers: AtomicU32,
    #[cfg(not(loom))]
    pub(crate) identity: AtomicU64,
    signals: AtomicU64,
    waiters: AtomicU64,
    epoch: AtomicU32,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawCondvar>() == 64);
    assert!(offset_of!(RawCondvar, moves) == 0 && offset_of!(RawCondvar, sleepers) == 4);
    assert!(offset_of!(RawCondvar, identity) == 8 && offset_of!(RawCondvar, signals) == 16);
    assert!(offset_of!(RawCondvar, waiters) == 24 && offset_of!(RawCondvar, epoch) == 32);
};

/// Since when somebody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    epoch: u32,
    /// How many notifications there were that this waiter cannot use: they were before it, or have been taken.
    sequence: u32,
}

/// How many may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notify {
    /// So many of those who wait.
    Some(u32),
    /// All who wait now.
    All,
}

/// Why a wait cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Others wait with another mutex.
    OtherMutex,
    /// The number of waiters is one that cannot be.
    Scrambled,
}

/// What a waiter finds.
enum Look {
    /// It may go, or take a signal.
    Pass,
    /// There are signals, but others have to take them. (The value of `signals`.)
    Theirs(u64),
    Nothing,
}

impl RawCondvar {
    /// Begins a wait with the mutex named `mutex`, which the caller holds.
    pub(crate) fn enter(&self, mutex: u32) -> Result<Ticket, Unfit> {
        let mut seen = self.waiters.load(Relaxed);
        loop {
            let (name, count) = halves(seen);
            if count != 0 && name != mutex {
                return Err(Unfit::OtherMutex);
            }
            let more = joined(mutex, count.checked_add(1).ok_or(Unfit::Scrambled)?);
            match self.waiters.compare_exchange(seen, more, SeqCst, Relaxed) {
                Ok(_) => break,
                Err(changed) => seen = changed,
            }
        }
        Ok(Ticket { epoch: self.epoch.load(SeqCst), sequence: halves(self.signals.load(SeqCst)).0 })
    }

    /// Waits until there may be a signal for this waiter, or `trouble` says that the mutex has news. Without the mutex.
    pub(crate) fn sleep(
        &self,
        ticket: &mut Ticket,
        patience: Patience,
        trouble: impl Fn() -> bool,
    ) -> Result<(), GaveUp> {
        let mut spin = SpinWait::yielding();
        loop {
            if let Look::Pass = self.look(ticket) {
                return Ok(());
            }
            if !spin.spin(patience) {
                break;
            }
        }
        self.sleepers.fetch_add(1, SeqCst);
        store_load_barrier();
        let outcome = self.sleep_counted(ticket, patience, trouble);
        self.sleepers.fetch_sub(1, SeqCst);
        outcome
    }

    fn sleep_counted(
        &self,
        ticket: &mut Ticket,
        patience: Patience,
        trouble: impl Fn() -> bool,
    ) -> Result<(), GaveUp> {
        let mut was_woken = false;
        let mut passed_on = None;
        loop {
            let moves = self.moves.load(SeqCst);
            match self.look(ticket) {
                Look::Pass => return Ok(()),
                // Woken in the place of somebody else. Once for each notification, or two such waiters would wake each other for ever.
                Look::Theirs(signals) if was_woken && passed_on != Some(signals) => {
                    passed_on = Some(signals);
                    futex::wake_one(&self.moves);
                }
                Look::Theirs(_) | Look::Nothing => {}
            }
            if trouble() {
                return Ok(());
            }
            if patience.is_over() {
                return Err(GaveUp::TimedOut);
            }
            let woken = futex::wait(&self.moves, moves, patience.slice(RECHECK));
            if woken == Woken::Signal && patience.interruptible {
                return Err(GaveUp::Interrupted);
            }
            was_woken = woken == Woken::Look;
        }
    }

    fn look(&self, ticket: &mut Ticket) -> Look {
        if self.epoch.load(SeqCst) != ticket.epoch {
            return Look::Pass;
        }
        let signals = self.signals.load(SeqCst);
        let (sequence, left) = halves(signals);
        if usable(sequence, left, *ticket) != 0 {
            return Look::Pass;
        }
        // All signals since this waiter came are taken: from here on only new ones matter. (One that was given up, not taken, has changed the
        // epoch, which the next look finds.)
        ticket.sequence = sequence;
        if left == 0 { Look::Nothing } else { Look::Theirs(signals) }
    }

    /// Takes a signal for this waiter, if there is one. With the mutex held.
    pub(crate) fn take(&self, ticket: &mut Ticket) -> bool {
        if self.epoch.load(SeqCst) != ticket.epoch {
            return true;
        }
        let mut seen = self.signals.load(SeqCst);
        loop {
            let (sequence, left) = halves(seen);
            let usable = usable(sequence, left, *ticket);
            let Some(oldest) = usable.checked_ilog2() else {
                ticket.sequence = sequence;
                return false;
            };
            let rest = joined(sequence, left & !(1 << oldest));
            match self.signals.compare_exchange(seen, rest, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(changed) => seen = changed,
            }
        }
    }

    /// Ends a wait, with the mutex held.
    pub(crate) fn leave(&self) {
        let last = halves(self.waiters.load(Relaxed)).1 <= 1;
        if last && halves(self.signals.load(Relaxed)).1 != 0 {
            // Nobody is left who could use them, and nobody can enter while the caller is counted and holds the mutex.
            self.signals.fetch_and(joined(u32::MAX, 0), SeqCst);
        }
        self.leave_without_mutex();
    }

    /// Ends a wait.
    pub(crate) fn leave_without_mutex(&self) {
        let mut seen = self.waiters.load(Relaxed);
        // (It is 0 only if somebody wrote over it.)
        while halves(seen).1 != 0
            && let Err(changed) = self.waiters.compare_exchange(seen, seen - 1, SeqCst, Relaxed)
        {
            seen = changed;
        }
    }

    /// Lets some of those go who wait, or all. Does nothing if nobody waits.
    #[inline(always)]
    pub(crate) fn notify(&self, whom: Notify) {
        // Whoever entered before the caller's last use of the mutex is seen here.
        if halves(self.waiters.load(SeqCst)).1 != 0 {
            self.notify_waiters(whom);
        }
    }

    #[inline(never)]
    fn notify_waiters(&self, whom: Notify) {
        let count = match whom {
            Notify::Some(0) => 0,
            Notify::Some(count @ 1..=WINDOW) => {
                self.give(count);
                count
            }
            Notify::Some(_) | Notify::All => {
                self.epoch.fetch_add(1, SeqCst);
                u32::MAX
            }
        };
        store_load_barrier();
        if self.sleepers.load(SeqCst) != 0 {
            self.wake(count);
        }
    }

    /// Adds `count` signals, at least 1 and at most [`WINDOW`].
    fn give(&self, count: u32) {
        let mut seen = self.signals.load(SeqCst);
        loop {
            let (sequence, left) = halves(seen);
            let wide = u64::from(left) << count | ((1 << count) - 1);
            let left = u32::try_from(wide).unwrap_or_else(|_| {
                // The oldest ones fall out of the window. Before that: whoever waits for them may go, and so may the others.
                self.epoch.fetch_add(1, SeqCst);
                0
            });
            let more = joined(sequence.wrapping_add(count), left);
            match self.signals.compare_exchange(seen, more, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(changed) => seen = changed,
            }
        }
    }

    /// Has everybody who sleeps look again.
    #[cold]
    pub(crate) fn rouse(&self) {
        self.wake(u32::MAX);
    }

    #[cold]
    fn wake(&self, count: u32) {
        self.moves.fetch_add(1, SeqCst);
        futex::wake(&self.moves, count);
    }
}

/// Those of the signals that are `left` which came after this waiter.
fn usable(sequence: u32, left: u32, ticket: Ticket) -> u32 {
    let newer = sequence.wrapping_sub(ticket.sequence);
    left & 1u32.checked_shl(newer).map_or(u32::MAX, |bit| bit - 1)
}

/// High and low half.
fn halves(both: u64) -> (u32, u32) {
    ((both >> 32) as u32, both as u32)
}

fn joined(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn early_waiters_leave_the_late_ones_their_own_signals() {
        let condvar = RawCondvar::default();
        let mut early = condvar.enter(1).unwrap();
        condvar.notify(Notify::Some(1));
        let mut late = [condvar.enter(1).unwrap(), condvar.enter(1).unwrap()];
        condvar.notify(Notify::Some(1));
        // The first signal is the early waiter's; the second one anybody's.
        assert!(condvar.take(&mut late[0]));
        assert!(!condvar.take(&mut late[1]));
        assert!(condvar.take(&mut early));
        assert!(!condvar.take(&mut early));
        condvar.notify(Notify::All);
        assert!(condvar.take(&mut late[1]));
    }

    #[test]
    fn a_notification_without_waiters_is_for_nobody() {
        let condvar = RawCondvar::default();
        condvar.notify(Notify::Some(3));
        condvar.notify(Notify::All);
        let mut ticket = condvar.enter(1).unwrap();
        assert!(!condvar.take(&mut ticket));
        assert_eq!(condvar.signals.load(SeqCst), 0);
    }

    #[test]
    fn what_nobody_takes_is_made_good_or_forgotten() {
        let condvar = RawCondvar::default();
        let mut tickets: Vec<_> = (0..40).map(|_| condvar.enter(1).unwrap()).collect();
        for _ in 0..32 {
            condvar.notify(Notify::Some(1));
        }
        assert!(condvar.take(&mut tickets[0]));
        // The place of the one that was taken is filled, then all others may go.
        condvar.notify(Notify::Some(1));
        assert_eq!(condvar.epoch.load(SeqCst), 0);
        condvar.notify(Notify::Some(1));
        assert!(tickets.iter_mut().all(|ticket| condvar.take(ticket)));
        condvar.notify(Notify::Some(1));
        tickets.iter().for_each(|_| condvar.leave());
        assert_eq!(halves(condvar.signals.load(SeqCst)).1, 0, "the last one forgets what is left");
    }

    #[test]
    fn a_full_window_is_given_at_once() {
        for count in [31, 32, 33, u32::MAX] {
            let condvar = RawCondvar::default();
            let mut tickets: Vec<_> = (0..40).map(|_| condvar.enter(1).unwrap()).collect();
            condvar.notify(Notify::Some(count));
            let gone = tickets.iter_mut().map(|ticket| u32::from(condvar.take(ticket))).sum::<u32>();
            assert_eq!(gone, if count > 32 { 40 } else { count });
        }
    }

    #[test]
    fn the_count_of_notifications_may_wrap() {
        let condvar = RawCondvar::default();
        condvar.signals.store(joined(u32::MAX, 0), SeqCst);
        let mut ticket = condvar.enter(1).unwrap();
        assert!(!condvar.take(&mut ticket));
        condvar.notify(Notify::Some(2));
        let mut late = condvar.enter(1).unwrap();
        assert!(condvar.take(&mut ticket) && !condvar.take(&mut late));
    }

    #[test]
    fn two_mutexes_at_once_are_told_apart() {
        let condvar = RawCondvar::default();
        condvar.enter(1).unwrap();
        assert_eq!(condvar.enter(2).unwrap_err(), Unfit::OtherMutex);
        condvar.leave();
        condvar.enter(2).unwrap();
        condvar.waiters.store(joined(2, u32::MAX), SeqCst);
        assert_eq!(condvar.enter(2).unwrap_err(), Unfit::Scrambled);
    }
}
