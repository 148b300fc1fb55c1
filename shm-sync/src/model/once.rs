//! A once in a loom model: the real word, the states and their order, with dying as something that a thread can do.
//!
//! For `tests/loom_once.rs`. The steps are those of `once`, which takes and gives up the word through the robust list.

#![allow(
    unsafe_code,
    reason = "loom's cell hands out raw pointers, and the protocol under test is what makes sharing it right"
)]

use crate::base::Patience;
use crate::base::atomics::AtomicU32;
use crate::base::word::Word;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::cell::UnsafeCell;

const NOT_DONE: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// How far a thread gets with running it before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It has the word, and has not begun.
    Taken,
    /// It has begun, and half made what it makes.
    Running,
    /// It is done, and has not given the word up.
    Done,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It was done already.
    Found,
    /// This call has run it; true: somebody had died at it before.
    Ran(bool),
    /// Somebody had died at it, and this call did not want to go on.
    Refused,
}

/// Something that is made once.
pub struct Once {
    word: Word,
    state: AtomicU32,
    made: UnsafeCell<u32>,
    /// What a broken protocol would do: "done" before it is.
    hasty: bool,
}

// SAFETY: what is made is written by the holder of the word, and read by those who have seen that it is done; that this is right is what the model
// checks (loom's cell reports a race).
unsafe impl Sync for Once {}

impl Once {
    /// Not done.
    pub fn new(hasty: bool) -> Self {
        Self { word: Word::new(), state: AtomicU32::new(NOT_DONE), made: UnsafeCell::new(0), hasty }
    }

    /// What was made, if it is done.
    pub fn look(&self) -> Option<u32> {
        (self.state.load(Acquire) == DONE).then(|| {
            self.made.with(|made| {
                // SAFETY: loom gives a valid pointer and checks that nobody writes now.
                unsafe { *made }
            })
        })
    }

    /// Makes it 1 as thread `tid`, unless it is done; `forces`: also if somebody died at it.
    pub fn call(&self, tid: u32, forces: bool) -> Called {
        if self.look().is_some() {
            return Called::Found;
        }
        self.take(tid);
        let called = match self.state.load(Relaxed) {
            DONE => Called::Found,
            RUNNING if !forces => Called::Refused,
            before => {
                self.begin();
                self.make(1);
                self.state.store(DONE, Release);
                Called::Ran(before == RUNNING)
            }
        };
        self.word.release();
        called
    }

    /// The same, but dies at it. (If it is done, it dies with the word.)
    pub fn call_and_die(&self, tid: u32, death: Death) {
        self.take(tid);
        if death != Death::Taken && self.state.load(Relaxed) != DONE {
            self.begin();
            self.make(7);
            if death == Death::Done {
                self.make(1);
                self.state.store(DONE, Release);
            }
        }
        self.word.kernel_cleans_up_after(tid);
    }

    /// Waits for whoever runs it, and is killed when it has been woken.
    pub fn die_woken(&self, tid: u32) {
        if !self.word.acquire_free(tid) {
            self.word.sleep_once(tid);
        }
        self.word.kernel_cleans_up_after(tid);
    }

    fn take(&self, tid: u32) {
        if !self.word.acquire_free(tid) {
            self.word.acquire(tid, Patience::default()).expect("an endless wait ends with the word");
        }
    }

    fn begin(&self) {
        self.state.store(if self.hasty { DONE } else { RUNNING }, Relaxed);
    }

    fn make(&self, value: u32) {
        self.made.with_mut(|made| {
            // SAFETY: loom gives a valid pointer and checks that nobody else uses it now.
            unsafe { *made = value }
        });
    }
}
