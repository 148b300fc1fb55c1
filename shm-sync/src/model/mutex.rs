//! A lock in a loom model: the real word, with dying as something that a thread can do.
//!
//! For `tests/loom_mutex.rs`. The robust list is not modelled: what it gives the kernel, which word to
//! clean up for which thread, is taken for granted here and tested with real processes.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the lock under test is what makes sharing it right"
)]

use crate::base::Patience;
use crate::base::word::{Acquired, Word};
use loom::cell::UnsafeCell;

/// A value behind a lock word.
pub struct Lock {
    word: Word,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is reached by the holder of the word only; that this is so is what the model checks (loom's cell reports a race).
unsafe impl Sync for Lock {}

impl Default for Lock {
    fn default() -> Self {
        Self { word: Word::new(), value: UnsafeCell::new(0) }
    }
}

impl Lock {
    /// Locks as thread `tid`. True: the last holder died.
    pub fn lock(&self, tid: u32) -> bool {
        let acquired = if self.word.acquire_free(tid) {
            Acquired::Clean
        } else {
            self.word.acquire(tid, Patience::default()).expect("an endless wait ends with the lock")
        };
        acquired == Acquired::OwnerDied
    }

    /// Tries to lock as thread `tid`; `Some(true)`: the last holder died.
    pub fn try_lock(&self, tid: u32) -> Option<bool> {
        self.word.try_acquire(tid).ok().map(|acquired| acquired == Acquired::OwnerDied)
    }

    /// Adds one to the value. Only for the holder.
    pub fn add(&self) -> u32 {
        self.value.with_mut(|value| {
            // SAFETY: loom gives a valid pointer and checks that nobody else uses it now.
            unsafe {
                *value += 1;
                *value
            }
        })
    }

    /// Unlocks. Only for the holder.
    pub fn unlock(&self) {
        self.word.release();
    }

    /// Unlocks the way a panicking holder does.
    pub fn unlock_as_dead(&self) {
        self.word.release_as_dead();
    }

    /// Thread `tid` is killed, holding the lock or inside a call on it.
    pub fn die(&self, tid: u32) {
        self.word.kernel_cleans_up_after(tid);
    }

    /// Thread `tid` is killed when it has been woken from its first sleep, before it looks at the word: the wake-up is lost with it, but
    /// for what the kernel does. If it gets the lock without sleeping, it is killed as the holder.
    pub fn die_woken(&self, tid: u32) {
        if !self.word.acquire_free(tid) {
            self.word.sleep_once(tid);
        }
        self.word.kernel_cleans_up_after(tid);
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        self.word.recheck();
    }
}
