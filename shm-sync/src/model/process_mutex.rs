//! A process mutex in a loom model: the real owner word and real slot words, with the death of threads and processes as transitions.
//!
//! For `tests/loom_process_mutex.rs`. Every process is one thread here, but for its slot, which is given up or left behind apart. The
//! robust list and the pidfd are played by the model: a process is known to be dead some time after its slot's word has said so.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the lock under test is what makes sharing it right"
)]

#[path = "../process_mutex/word.rs"]
mod word;

use crate::base::Patience;
use crate::base::atomics::AtomicU32;
use crate::base::futex::{self, Deadline};
use crate::base::word::{Acquired, Word, owner};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::sync::{Condvar, Mutex};
use word::{Fate, Hold, Holders, OwnerWord, View};

/// How many processes a model has.
pub const PROCESSES: usize = 3;

/// A value behind an owner word.
pub struct Lock {
    owner: OwnerWord,
    slots: [Word; PROCESSES],
    dead: [AtomicBool; PROCESSES],
    /// Where those sleep who wait for the end of a process.
    pidfds: (Mutex<()>, Condvar),
    value: UnsafeCell<u32>,
}

// SAFETY: the value is reached by the holder of the lock only; that this is so is what the model checks (loom's cell reports a race).
unsafe impl Sync for Lock {}
// SAFETY: as above.
unsafe impl Send for Lock {}

/// A lock as one process sees it.
struct Seen<'a> {
    lock: &'a Lock,
    tid: u32,
}

impl Holders for Seen<'_> {
    fn word(&self, slot: u32) -> Option<&AtomicU32> {
        Some(self.lock.slots.get(slot as usize)?.watch())
    }

    fn fate(&self, slot: u32, _turn: u32, _until: Option<Deadline>) -> Fate {
        // The sleep on the pidfd: it ends with the process, or, at the end of a slice, when the lock has changed hands.
        let mut slice = self.lock.pidfds.0.lock().unwrap();
        loop {
            let word = self.lock.slots[slot as usize].watch().load(Acquire);
            if word == 0 {
                return Fate::Vacant;
            }
            if owner(word).is_none() && self.lock.dead[slot as usize].load(Acquire) {
                return Fate::Dead;
            }
            if owner(word).is_some() || self.lock.owner.view() != View::Held(slot) {
                return Fate::Look;
            }
            slice = self.lock.pidfds.1.wait(slice).unwrap();
        }
    }

    fn succeed(&self, slot: u32, inherit: impl FnOnce()) {
        let slot = &self.lock.slots[slot as usize];
        if slot.try_acquire(self.tid).is_ok() {
            inherit();
            slot.release();
            self.lock.end_slices();
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            owner: OwnerWord::new(),
            slots: std::array::from_fn(|_| Word::new()),
            dead: std::array::from_fn(|_| AtomicBool::new(false)),
            pidfds: (Mutex::new(()), Condvar::new()),
            value: UnsafeCell::new(0),
        }
    }
}

/// A locking.
pub struct Held(Hold);

impl Lock {
    /// The process claims its slot.
    pub fn claim(&self, process: usize) {
        assert!(self.slots[process].acquire_free(tid(process)));
    }

    /// Locks for the process. True: the last holder died.
    pub fn lock(&self, process: usize) -> (Held, bool) {
        if let Some(hold) = self.owner.take_free(process as u32) {
            return (Held(hold), false);
        }
        let seen = Seen { lock: self, tid: tid(process) };
        let outcome = self.owner.acquire(process as u32, Some(Patience::default()), &seen);
        let (hold, acquired) = outcome.expect("an endless wait ends with the lock");
        (Held(hold), acquired == Acquired::OwnerDied)
    }

    /// Tries to lock for the process.
    pub fn try_lock(&self, process: usize) -> Option<(Held, bool)> {
        let seen = Seen { lock: self, tid: tid(process) };
        let (hold, acquired) = self.owner.acquire(process as u32, None, &seen).ok()?;
        Some((Held(hold), acquired == Acquired::OwnerDied))
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

    /// Gives this locking up, as a guard does.
    pub fn unlock(&self, held: Held) {
        if !self.owner.release_plain(held.0) {
            self.owner.recover(Some(held.0));
            self.owner.release(Some(held.0), false, || panic!("recovered just before"));
        }
        self.end_slices();
    }

    /// Gives up whoever's locking it is, as a stranger does: by the short way if it is open.
    pub fn release(&self) -> bool {
        let released = self.owner.release_any_plain() || self.owner.release(None, false, || ());
        self.end_slices();
        released
    }

    /// Those who watch a process look at the lock again.
    fn end_slices(&self) {
        let _slice = self.pidfds.0.lock().unwrap();
        self.pidfds.1.notify_all();
    }

    /// The thread that stands for the process ends: what the kernel does with its slot.
    pub fn thread_ends(&self, process: usize) {
        self.slots[process].kernel_cleans_up_after(tid(process));
    }

    /// The process is killed: its slot is told first, the rest of the world later.
    pub fn die(&self, process: usize) {
        self.thread_ends(process);
        self.dead[process].store(true, Release);
        self.end_slices();
    }

    /// The process is killed when it has been woken from its first sleep, before it looks: the wake-up is lost with it, but for what the
    /// kernel does.
    pub fn die_woken(&self, process: usize) {
        self.owner.sleep_once(&Seen { lock: self, tid: tid(process) });
        self.owner.kernel_cleans_up_after_waiter();
        self.die(process);
    }

    /// The time slice of every sleep is over.
    pub fn recheck(&self) {
        futex::wake_all(self.owner.futex());
    }
}

fn tid(process: usize) -> u32 {
    process as u32 + 1
}
