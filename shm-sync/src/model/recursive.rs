//! A recursive lock in a loom model: the real word and the depth beside it, with dying as something that a thread can do.
//!
//! For `tests/loom_recursive.rs`. Whether a thread has the lock already, private memory knows; here the test does.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the lock under test is what makes sharing it right"
)]

use crate::base::Patience;
use crate::base::atomics::AtomicU64;
use crate::base::word::{Acquired, Word};
use core::sync::atomic::Ordering::Relaxed;
use loom::cell::UnsafeCell;

const PANICKED: u64 = 1 << 32;

/// A value behind a lock word, and how often more than once its holder has it.
pub struct Lock {
    word: Word,
    depth: AtomicU64,
    value: UnsafeCell<u32>,
    /// What a broken protocol would do: leave the depth of a dead holder to its successor.
    keeps_depth: bool,
}

// SAFETY: the value is reached by the holder of the word only; that this is so is what the model checks (loom's cell reports a race).
unsafe impl Sync for Lock {}

impl Lock {
    /// Free, with the value 0.
    pub fn new(keeps_depth: bool) -> Self {
        Self { word: Word::new(), depth: AtomicU64::new(0), value: UnsafeCell::new(0), keeps_depth }
    }

    /// Locks as thread `tid`, which does not have it. True: the last holder died.
    pub fn lock(&self, tid: u32) -> bool {
        let acquired = if self.word.acquire_free(tid) {
            Acquired::Clean
        } else {
            self.word.acquire(tid, Patience::default()).expect("an endless wait ends with the lock")
        };
        if !self.keeps_depth {
            self.depth.store(0, Relaxed);
        }
        acquired == Acquired::OwnerDied
    }

    /// Locks if nobody has it; `Some(true)`: the last holder died.
    pub fn try_lock(&self, tid: u32) -> Option<bool> {
        let acquired = self.word.try_acquire(tid).ok()?;
        self.depth.store(0, Relaxed);
        Some(acquired == Acquired::OwnerDied)
    }

    /// Locks once more. Only for the holder.
    pub fn lock_again(&self) {
        self.depth.store(self.depth.load(Relaxed) + 1, Relaxed);
    }

    /// Gives one lock up, by a panic or not. Only for the holder.
    pub fn unlock(&self, panicking: bool) {
        let depth = self.depth.load(Relaxed) | if panicking { PANICKED } else { 0 };
        match depth & !PANICKED {
            0 if depth & PANICKED != 0 => self.word.release_as_dead(),
            0 => self.word.release(),
            _ => self.depth.store(depth - 1, Relaxed),
        }
    }

    /// Thread `tid` is killed, holding the lock or inside a call on it.
    pub fn die(&self, tid: u32) {
        self.word.kernel_cleans_up_after(tid);
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
}
