//! A sequencer in a loom model: the real states and sleeps, with dying as something that a thread can do.
//!
//! For `tests/loom_sequencer.rs`. The loop around the look is that of `sequencer::turns`, without its errors.

use super::slot::Me;
use crate::base::Patience;
use crate::base::word::Acquired;
use crate::sequencer::raw::{Look, RawSequencer};

/// Where a thread dies that has the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// About to begin its turn.
    Taken,
    /// In its turn.
    Begun,
    /// It has given the slot up, and neither moved on nor woken anybody.
    GivenUp,
}

/// Turns in order.
#[derive(Default)]
pub struct Sequencer(RawSequencer);

impl Sequencer {
    /// Takes a turn as thread `tid`, waiting for it. False: somebody has died in one.
    pub fn take(&self, turn: u64, tid: u32) -> bool {
        let me = Me(tid);
        let mut passed_on = None;
        let mut slept = false;
        loop {
            let (look, state) = self.0.look(turn);
            match look {
                Look::Broken => {
                    self.0.wake_all();
                    return false;
                }
                Look::Now => {
                    match self.0.slot().try_take(me) {
                        Some(Acquired::Clean) => {
                            if self.0.begin(turn, false) {
                                return true;
                            }
                            self.0.settle();
                            self.0.give_back(me);
                        }
                        Some(Acquired::OwnerDied) => self.0.end_as_dead(me),
                        None => loom::thread::yield_now(),
                    }
                    continue;
                }
                Look::Passed | Look::Taken => panic!("{look:?}: every turn is one thread's"),
                Look::Held(_) | Look::Idle => {}
            }
            if slept && look == Look::Idle && passed_on != Some(state) {
                passed_on = Some(state);
                self.0.wake_current();
            }
            self.0.sleep(turn, look, me, Patience::default());
            slept = true;
        }
    }

    /// Ends a turn.
    pub fn end(&self, turn: u64, tid: u32) {
        self.0.end(turn, Me(tid));
    }

    /// Takes the current turn, whose slot is free, as thread `tid`, and dies.
    pub fn die_in(&self, turn: u64, tid: u32, death: Death) {
        let slot = self.0.slot();
        assert!(slot.take_free(Me(tid)), "nobody else has it");
        if death != Death::Taken {
            assert!(self.0.begin(turn, false));
        }
        if death == Death::GivenUp {
            self.0.slot().word.watch().swap(0, core::sync::atomic::Ordering::SeqCst);
        }
        slot.word.kernel_cleans_up_after(tid);
    }

    /// Thread `tid`, which has a turn, is killed.
    pub fn die(&self, tid: u32) {
        self.0.slot().word.kernel_cleans_up_after(tid);
    }

    /// Waits for a turn as thread `tid`, and is killed when its first sleep is over.
    pub fn die_woken(&self, turn: u64, tid: u32) {
        let look = self.0.look(turn).0;
        if matches!(look, Look::Held(_) | Look::Idle) {
            self.0.sleep(turn, look, Me(tid), Patience::default());
        }
        self.0.slot().word.kernel_cleans_up_after(tid);
    }

    /// Takes over the current turn, in which somebody died or which nobody has, and ends it.
    pub fn take_over(&self, turn: u64, tid: u32) {
        let me = Me(tid);
        self.0.look(turn);
        let acquired = self.0.slot().try_take(me).expect("nobody alive has it");
        if acquired == Acquired::Clean {
            self.0.settle();
        }
        assert!(self.0.begin(turn, true));
        self.0.end(turn, me);
    }

    /// The current turn, and whether somebody died in it.
    pub fn current(&self) -> (u64, bool) {
        self.0.look(u64::MAX >> 20);
        (self.0.state().turn(), self.0.broken().is_some())
    }

    /// The time slice of every sleep is over, now and later.
    pub fn recheck(&self) {
        self.0.recheck();
    }
}
