//! A reader-writer lock in a loom model: the real words and their order, with dying as something that a thread can do.
//!
//! For `tests/loom_rwlock.rs`. The lists that tell the kernel which words a thread holds are not modelled: which words to clean up for which
//! thread is said by the test. The number of slots used is fixed.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the lock under test is what makes sharing it right"
)]

use crate::base::Patience;
use crate::base::word::Word;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::Relaxed;

const SOUND: u32 = 0;
const WRITING: u32 = 2;

/// A value behind a gate and two readers' slots.
pub struct Lock {
    gate: Word,
    state: AtomicU32,
    slots: [Word; 2],
    value: UnsafeCell<u32>,
}

// SAFETY: the value is reached by readers, or by one writer only; that this is so is what the model checks (loom's cell reports a race).
unsafe impl Sync for Lock {}

impl Default for Lock {
    fn default() -> Self {
        Self {
            gate: Word::new(),
            state: AtomicU32::new(SOUND),
            slots: [Word::new(), Word::new()],
            value: UnsafeCell::new(0),
        }
    }
}

impl Lock {
    /// Thread `tid` becomes a reader in its slot, waiting if it has to. None: the last writer died, and the thread holds the gate alone.
    pub fn read(&self, tid: u32, slot: usize) -> Option<()> {
        if self.try_read(tid, slot) {
            return Some(());
        }
        self.gate.acquire(tid, Patience::default()).expect("an endless wait ends with the gate");
        if self.state.load(Relaxed) == WRITING {
            self.wait_for_readers(tid);
            return None;
        }
        assert!(self.slots[slot].try_acquire(tid).is_ok(), "a slot for each reader");
        self.gate.release();
        Some(())
    }

    /// Thread `tid` becomes a reader in its slot, if nobody writes or waits.
    pub fn try_read(&self, tid: u32, slot: usize) -> bool {
        if !self.slots[slot].acquire_free(tid) {
            return false;
        }
        if self.gate.is_zero() && self.state.load(Relaxed) == SOUND {
            return true;
        }
        self.slots[slot].release();
        false
    }

    /// The reader in this slot has ended.
    pub fn end_reading(&self, slot: usize) {
        self.slots[slot].release();
    }

    /// Thread `tid` becomes the writer. True: the last one died.
    pub fn write(&self, tid: u32) -> bool {
        if !self.gate.acquire_free(tid) {
            self.gate.acquire(tid, Patience::default()).expect("an endless wait ends with the gate");
        }
        self.wait_for_readers(tid);
        self.state.swap(WRITING, Relaxed) == WRITING
    }

    /// Thread `tid` becomes the writer if nobody reads or writes.
    pub fn try_write(&self, tid: u32) -> bool {
        if !self.gate.acquire_free(tid) {
            return false;
        }
        if self.slots.iter().all(Word::is_free) {
            self.state.store(WRITING, Relaxed);
            return true;
        }
        self.gate.release();
        false
    }

    fn wait_for_readers(&self, tid: u32) {
        for slot in &self.slots {
            slot.wait_free(tid, Patience::default()).expect("an endless wait ends with the reader");
        }
    }

    /// Thread `tid` comes to the gate to write, if that is free, and goes no further: it waits for readers there when it is killed.
    pub fn die_at_the_gate(&self, tid: u32) {
        self.gate.acquire_free(tid);
        self.gate.kernel_cleans_up_after(tid);
    }

    /// The writer has ended, or the value was recovered and given up.
    pub fn end_writing(&self) {
        self.state.store(SOUND, Relaxed);
        self.gate.release();
    }

    /// From writer to reader.
    pub fn downgrade(&self, tid: u32, slot: usize) {
        self.state.store(SOUND, Relaxed);
        // A reader that is about to withdraw may have it for a moment.
        while self.slots[slot].try_acquire(tid).is_err() {
            loom::thread::yield_now();
        }
        self.gate.release();
    }

    /// Thread `tid` is killed: what the kernel does with the words that it holds, or was about to take or to give up.
    pub fn die(&self, tid: u32) {
        for slot in &self.slots {
            slot.kernel_cleans_up_after(tid);
        }
        self.gate.kernel_cleans_up_after(tid);
    }

    /// Looks at the value. For readers and the writer.
    pub fn look(&self) -> u32 {
        self.value.with(|value| {
            // SAFETY: loom gives a valid pointer and checks that nobody writes now.
            unsafe { *value }
        })
    }

    /// Adds one to the value. For the writer.
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
