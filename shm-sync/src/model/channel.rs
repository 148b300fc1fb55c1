//! A channel in a loom model: the real flow, gates and lock words around a ring of plain cells, with dying as something that a thread can do.
//!
//! For `tests/loom_channel.rs`. Every message takes one word. The copying of longer ones and the robust list are not modelled: real processes test them.

#![allow(
    unsafe_code,
    reason = "loom's cells hand out raw pointers, and the protocol under test is what makes sharing them right"
)]

use super::gate::Modelled;
use crate::base::Patience;
use crate::base::atomics::{AtomicU32, AtomicU64};
use crate::base::gate::Gate;
use crate::base::word::{Acquired, Word};
use crate::channel::flow::Flow;
use loom::cell::UnsafeCell;

/// A channel of numbers.
pub struct Channel {
    closed: AtomicU32,
    data: Gate,
    room: Gate,
    producers: Word,
    tail: AtomicU64,
    seen_head: AtomicU64,
    consumers: Word,
    head: AtomicU64,
    seen_tail: AtomicU64,
    ring: Vec<UnsafeCell<u32>>,
}

// SAFETY: a cell is reached by the holder of a side's lock, and by one side at a time; that this is so is what the model checks (loom's cells report
// a race).
unsafe impl Sync for Channel {}

/// How far a thread gets with a message before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It has the lock and has copied the message.
    Copied,
    /// It has moved its end of the ring.
    Moved,
    /// It has given the lock up, and woken nobody on the other side.
    Unlocked,
}

impl Channel {
    /// With room for `capacity` numbers.
    pub fn new(capacity: usize) -> Self {
        Self {
            closed: AtomicU32::new(0),
            data: Gate::default(),
            room: Gate::default(),
            producers: Word::new(),
            tail: AtomicU64::new(0),
            seen_head: AtomicU64::new(0),
            consumers: Word::new(),
            head: AtomicU64::new(0),
            seen_tail: AtomicU64::new(0),
            ring: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    fn flow(&self) -> Flow<'_> {
        Flow {
            closed: &self.closed,
            data: &self.data,
            room: &self.room,
            tail: &self.tail,
            head: &self.head,
            seen_head: &self.seen_head,
            seen_tail: &self.seen_tail,
            ring: self.ring.len() as u32,
        }
    }

    /// Sends as thread `tid`; false if the channel is closed.
    pub fn send(&self, tid: u32, number: u32) -> bool {
        self.send_until(tid, number, None)
    }

    /// Sends as thread `tid`, and dies.
    pub fn send_and_die(&self, tid: u32, number: u32, death: Death) {
        self.send_until(tid, number, Some(death));
    }

    fn send_until(&self, tid: u32, number: u32, death: Option<Death>) -> bool {
        let flow = self.flow();
        if lock(&self.producers, tid) {
            flow.announce_message();
        }
        let tail = loop {
            if flow.is_closed() {
                self.producers.release();
                return false;
            }
            if let Some(tail) = flow.room_for(1).expect("the ends fit together") {
                break tail;
            }
            flow.wait_for_room(1, Modelled, Patience::default()).expect("an endless wait");
        };
        // SAFETY: loom gives a valid pointer and checks that nobody else uses it now.
        self.ring[tail.offset as usize].with_mut(|cell| unsafe { *cell = number });
        if death == Some(Death::Copied) {
            self.producers.kernel_cleans_up_after(tid);
            return false;
        }
        flow.publish(tail, 1);
        if death == Some(Death::Moved) {
            self.producers.kernel_cleans_up_after(tid);
            return false;
        }
        self.producers.release();
        if death.is_none() {
            flow.announce_message();
        }
        true
    }

    /// Receives as thread `tid`; none if the channel is closed.
    pub fn recv(&self, tid: u32) -> Option<u32> {
        self.recv_until(tid, None)
    }

    /// Receives as thread `tid`, and dies.
    pub fn recv_and_die(&self, tid: u32, death: Death) {
        self.recv_until(tid, Some(death));
    }

    fn recv_until(&self, tid: u32, death: Option<Death>) -> Option<u32> {
        let flow = self.flow();
        if lock(&self.consumers, tid) {
            flow.announce_room();
        }
        let mut over = false;
        let head = loop {
            if let Some((head, _)) = flow.message().expect("the ends fit together") {
                break head;
            }
            if over {
                self.consumers.release();
                return None;
            }
            if flow.is_closed() {
                over = true;
                lock(&self.producers, tid);
                self.producers.release();
            } else {
                flow.wait_for_message(Modelled, Patience::default()).expect("an endless wait");
            }
        };
        // SAFETY: as in `send_until`.
        let number = self.ring[head.offset as usize].with(|cell| unsafe { *cell });
        if death == Some(Death::Copied) {
            self.consumers.kernel_cleans_up_after(tid);
            return None;
        }
        flow.take(head, 1);
        if death == Some(Death::Moved) {
            self.consumers.kernel_cleans_up_after(tid);
            return None;
        }
        self.consumers.release();
        if death.is_none() {
            flow.announce_room();
        }
        Some(number)
    }

    /// Waits for a message as thread `tid`, and dies when it has been woken or has seen one; it takes none.
    pub fn die_waiting_for_a_message(&self, tid: u32) {
        lock(&self.consumers, tid);
        self.data.sleep_until_woken(|| !self.flow().looks_empty());
        self.consumers.kernel_cleans_up_after(tid);
        self.data.kernel_cleans_up();
    }

    /// Waits for room as thread `tid`, and dies when it has been woken or has seen some; it uses none.
    pub fn die_waiting_for_room(&self, tid: u32) {
        lock(&self.producers, tid);
        self.room.sleep_until_woken(|| !self.flow().looks_full(1));
        self.producers.kernel_cleans_up_after(tid);
        self.room.kernel_cleans_up();
    }

    /// Closes the channel.
    pub fn close(&self) {
        self.flow().close();
    }

    /// How many numbers are there.
    pub fn len(&self) -> u32 {
        self.flow().len(self.ring.len() as u32)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flow().looks_empty()
    }

    /// The time slice of every sleep at a gate is over.
    pub fn recheck(&self) {
        self.data.recheck();
        self.room.recheck();
    }
}

/// Takes a side's lock; true if its last holder died.
fn lock(word: &Word, tid: u32) -> bool {
    let acquired = if word.acquire_free(tid) {
        Acquired::Clean
    } else {
        word.acquire(tid, Patience::default()).expect("an endless wait ends with the lock")
    };
    acquired == Acquired::OwnerDied
}
