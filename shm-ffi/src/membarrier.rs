//! The two halves of a memory barrier between the many calls that use handles and the few that give them back.
//!
//! Both sides write a word of their own and then read the other side's. For the processor that needs a full barrier on both sides, which costs
//! a call as much as an atomic exchange. membarrier(2) moves all of that cost to one side: [`heavy`] makes every processor that runs a thread of
//! this process execute a full barrier, so that [`light`] has to hold back the compiler alone. Where a sandbox refuses the system call
//! both are fences.

use rustix::thread::{MembarrierCommand, membarrier};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, compiler_fence, fence};

/// Whether `light` is a real fence. It begins so, and changes at most once.
static FENCES: AtomicBool = AtomicBool::new(true);

/// Finds out how barriers are made. A thread calls it before its first `light`, and executes a fence in between.
pub(crate) fn prepare() {
    if FENCES.load(Relaxed) && done(MembarrierCommand::RegisterPrivateExpedited) {
        FENCES.store(false, Relaxed);
    }
}

/// Between a thread's own store and its load.
#[inline(always)]
pub(crate) fn light() {
    if FENCES.load(Relaxed) {
        fence(SeqCst);
    } else {
        compiler_fence(SeqCst);
    }
}

/// The same, and for every thread of this process that is at a [`light`] now. False: that could not be done.
pub(crate) fn heavy() -> bool {
    fence(SeqCst);
    // A thread that is preparing now has a fence before its first `light`, and either sees what we stored before ours, or is seen.
    FENCES.load(Relaxed)
        || crate::pin::is_alone()
        || done(MembarrierCommand::PrivateExpedited)
        // Whether a forked child is registered as its parent was is the kernel's choice.
        || done(MembarrierCommand::RegisterPrivateExpedited) && done(MembarrierCommand::PrivateExpedited)
}

fn done(command: MembarrierCommand) -> bool {
    membarrier(command).is_ok()
}
