//! Guards between `acquire` and `release`: Python's locks are given up by a call, those of the crate by dropping a guard that stays in its thread.
//!
//! So each thread keeps its guards here, found by the address of what they hold. A thread that ends with guards in here forgets them: the
//! kernel then tells the next locker, as for every holder that ends. A forked child finds its parent's guards, which are void there.

#![allow(unsafe_code, reason = "a guard is kept beside the handle that it borrows")]

use std::cell::RefCell;
use std::sync::Arc;

use shm_core::fork_count;
use shm_sync::{
    Mutex, MutexGuard, RecursiveMutex, RecursiveMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Sequencer, Turn,
};

/// A guard that this module may keep.
#[allow(dead_code, reason = "they are kept to be dropped")]
pub(super) enum Guard<'a> {
    Mutex(MutexGuard<'a, ()>),
    Recursive(RecursiveMutexGuard<'a, ()>),
    Read(RwLockReadGuard<'a, ()>),
    Write(RwLockWriteGuard<'a, ()>),
    Turn(Turn<'a>),
}

/// The handle that a guard borrows.
#[allow(dead_code, reason = "they are kept to be dropped")]
pub(super) enum Handle {
    Mutex(Arc<Mutex<()>>),
    Recursive(Arc<RecursiveMutex<()>>),
    RwLock(Arc<RwLock<()>>),
    Sequencer(Arc<Sequencer>),
}

#[allow(dead_code, reason = "the handle is kept for the guard that borrows it")]
struct Kept {
    /// Dropped before the handle that it borrows.
    guard: Guard<'static>,
    handle: Handle,
    address: usize,
    forks: u64,
}

/// The guards of one thread, the newest last.
struct Guards(Vec<Kept>);

impl Drop for Guards {
    fn drop(&mut self) {
        // Giving the locks up here would say that all is well with what they guard.
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

thread_local! {
    static GUARDS: RefCell<Guards> = const { RefCell::new(Guards(Vec::new())) };
}

/// Keeps the guard of what lies at an address.
///
/// # Safety
/// The guard borrows what `handle` points to, and nothing else.
pub(super) unsafe fn keep(address: usize, guard: Guard<'_>, handle: Handle) {
    // SAFETY: only the lifetime changes. What is borrowed lives as long as `handle`, which is dropped after the guard; `take` hands
    // out both.
    let guard = unsafe { std::mem::transmute::<Guard<'_>, Guard<'static>>(guard) };
    let kept = Kept { guard, handle, address, forks: fork_count() };
    GUARDS.with_borrow_mut(|guards| guards.0.push(kept));
}

/// Gives up the newest guard of what lies at an address; false if this thread has none that fits.
pub(super) fn release(address: usize, fits: impl Fn(&Guard<'_>) -> bool) -> bool {
    remove(address, fits).is_some() // dropped here: the lock is free
}

/// Takes the newest guard of what lies at an address out, to wait with it, and the handle that it borrows.
///
/// # Safety
/// The handle is dropped after the guard, or kept again with the one that comes of it.
pub(super) unsafe fn take(address: usize) -> Option<(Handle, Guard<'static>)> {
    remove(address, |_| true).map(|kept| (kept.handle, kept.guard))
}

/// Tells whether this thread has a guard of what lies at an address.
pub(super) fn is_kept(address: usize) -> bool {
    GUARDS.with_borrow(|guards| {
        guards.0.iter().any(|kept| kept.address == address && kept.forks == fork_count())
    })
}

fn remove(address: usize, fits: impl Fn(&Guard<'_>) -> bool) -> Option<Kept> {
    GUARDS.with_borrow_mut(|guards| {
        if guards.0.iter().any(|kept| kept.forks != fork_count()) {
            guards.0.retain(|kept| kept.forks == fork_count()); // the parent's
        }
        let found = guards.0.iter().rposition(|kept| kept.address == address && fits(&kept.guard))?;
        Some(guards.0.remove(found))
    })
}
