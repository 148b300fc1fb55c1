//! The atomics and the spinning that the protocols are written with: the core's, or loom's when the models run.
//!
//! Everything that takes part in a protocol on shared words imports from here, so that the same source is what runs and what is
//! modelled.

use super::Patience;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64};

/// Keeps every load after it behind every store before the last read-modify-write, whichever word that was on: half of Dekker's algorithm
/// for those who have just released a lock anyway.
///
/// An x86 read-modify-write is a full barrier by itself. A second one, or a fence, would cost as much again.
#[inline(always)]
pub(crate) fn fence_after_rmw() {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(all(not(target_arch = "x86_64"), not(loom)))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

/// Stands between a `SeqCst` read-modify-write and a `SeqCst` load of another word, whose order a protocol relies on (Dekker's algorithm).
///
/// The language orders all `SeqCst` accesses, so there is nothing to do; loom takes them for acquire and release only and needs to be told.
#[inline(always)]
pub(crate) fn store_load_barrier() {
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

/// A bounded spin before a sleep: waits that grow to 64 pauses and begin again, about a thousand pauses in all, some tens of
/// microseconds at most.
///
/// Waiting between two looks, not looking all the time, is what lets the holder get on: two processes contending on two free cores take 48 ns
/// an operation where glibc's process-shared mutex takes 67 (on another machine 18 and 56; `benches/sync.rs` of `shm-bench`); with yields to the
/// kernel it was as slow as glibc, with a hundred single pauses twice as slow. Where cores are scarce the sleep that follows gives the CPU away.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct SpinWait {
    pauses: parking_lot_core::SpinWait,
    turn: u32,
    yields: bool,
}

#[cfg(not(loom))]
impl SpinWait {
    const TURNS: u32 = 54;
    const TURNS_UNTIL_64: u32 = 6;

    /// One that gives the CPU to others who want it now and then: for waits that another process on this core may have to end.
    pub(crate) fn yielding() -> Self {
        Self { yields: true, ..Self::default() }
    }

    /// Waits a little; false when it is time to sleep, or the patience is over.
    pub(crate) fn spin(&mut self, patience: Patience) -> bool {
        if self.turn == Self::TURNS || patience.is_over() {
            return false;
        }
        if self.turn.is_multiple_of(Self::TURNS_UNTIL_64) {
            self.pauses.reset();
            if self.yields && self.turn != 0 {
                std::thread::yield_now();
            }
        }
        self.turn += 1;
        self.pauses.spin_no_yield();
        true
    }
}

/// No spinning in a model: it would only multiply the interleavings.
#[cfg(loom)]
#[derive(Default)]
pub(crate) struct SpinWait;

#[cfg(loom)]
impl SpinWait {
    pub(crate) fn yielding() -> Self {
        Self
    }

    pub(crate) fn spin(&mut self, _patience: Patience) -> bool {
        false
    }
}
