//! The protocol between the two sides of a ring: who may go how far, and who wakes whom.
//!
//! Each side has a lock, which is taken before anything here is called. The holder of the producers' lock alone moves the tail, the holder of the
//! consumers' lock alone moves the head; each looks at the other's end, and keeps what it saw on a line of its own (`seen`), so that as long as
//! that suffices no message takes a line from the other core.
//!
//! | step | producer | consumer |
//! |---|---|---|
//! | 1 | take the producers' lock | take the consumers' lock |
//! | 2 | is there room between tail and head? Or wait at the `room` gate | is there a message between head and tail? Or wait at the `data` gate |
//! | 3 | write the message (relaxed) | read the message (relaxed) |
//! | 4 | move the tail (release) | move the head (release) |
//! | 5 | give the lock up (a read-modify-write) | give the lock up (a read-modify-write) |
//! | 6 | open the `data` gate | open the `room` gate |
//!
//! Step 4 is what makes it happen: whoever dies before has done nothing, whoever dies after has done it all but the wake-up, which its
//! successor in the lock makes up for (or the sleeper's re-check, see `base::gate`). Between steps 4 and 6 lies the read-modify-write of step 5, which makes
//! the two halves of Dekker's algorithm meet.
//!
//! This file knows nothing of slots or of what messages look like; it is what `tests/loom_channel.rs` models.

use super::position::{Position, used};
use crate::base::atomics::{AtomicU32, AtomicU64, fence_after_rmw};
use crate::base::gate::{Gate, Opens, Pending};
use crate::base::{GaveUp, Patience};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Nobody has closed the channel.
const OPEN: u32 = 0;
const CLOSED: u32 = 1;

/// The two positions cannot belong to one ring: somebody wrote over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The shared words of a ring, and how many words it has (which is known privately).
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) closed: &'a AtomicU32,
    /// Where a consumer waits for a message.
    pub(crate) data: &'a Gate,
    /// Where a producer waits for room.
    pub(crate) room: &'a Gate,
    pub(crate) tail: &'a AtomicU64,
    pub(crate) head: &'a AtomicU64,
    /// The head as producers saw it last.
    pub(crate) seen_head: &'a AtomicU64,
    /// The tail as consumers saw it last.
    pub(crate) seen_tail: &'a AtomicU64,
    pub(crate) ring: u32,
}

impl Flow<'_> {
    #[inline(always)]
    pub(crate) fn is_closed(self) -> bool {
        self.closed.load(Acquire) != OPEN
    }

    /// Closes the channel and wakes those who wait; true if it was open.
    pub(crate) fn close(self) -> bool {
        let was = self.closed.swap(CLOSED, SeqCst);
        self.data.open(Opens::All);
        self.room.open(Opens::All);
        was == OPEN
    }

    /// The tail, if `words` words fit behind it. Only for the holder of the producers' lock.
    #[inline(always)]
    pub(crate) fn room_for(self, words: u32) -> Result<Option<Position>, Damaged> {
        let tail = Position::from_bits(self.tail.load(Relaxed));
        let seen = Position::from_bits(self.seen_head.load(Relaxed));
        if used(seen, tail, self.ring).is_some_and(|used| words <= self.ring - used) {
            return Ok(Some(tail));
        }
        let head = self.head.load(Acquire);
        self.seen_head.store(head, Relaxed);
        let used = used(Position::from_bits(head), tail, self.ring).ok_or(Damaged)?;
        Ok((words <= self.ring - used).then_some(tail))
    }

    /// The head and how many words there are up to the tail, if there are any. Only for the holder of the consumers' lock.
    #[inline(always)]
    pub(crate) fn message(self) -> Result<Option<(Position, u32)>, Damaged> {
        let head = Position::from_bits(self.head.load(Relaxed));
        let seen = Position::from_bits(self.seen_tail.load(Relaxed));
        if let Some(used) = used(head, seen, self.ring)
            && used != 0
        {
            return Ok(Some((head, used)));
        }
        let tail = self.tail.load(Acquire);
        self.seen_tail.store(tail, Relaxed);
        let used = used(head, Position::from_bits(tail), self.ring).ok_or(Damaged)?;
        Ok((used != 0).then_some((head, used)))
    }

    /// Waits until there is room for `words` words, or something else to be told about: ask again then. Only for the holder of the producers' lock.
    pub(crate) fn wait_for_room(
        self,
        words: u32,
        me: impl Pending,
        patience: Patience,
    ) -> Result<(), GaveUp> {
        let tail = Position::from_bits(self.tail.load(Relaxed));
        let ready = || {
            let head = Position::from_bits(self.head.load(SeqCst));
            let full = used(head, tail, self.ring).is_some_and(|used| self.ring - used < words);
            (!full || self.closed.load(SeqCst) != OPEN).then_some(())
        };
        // Only the holder of the lock waits here: there is nobody to pass a wake-up on to.
        self.room.wait(me, patience, ready, || false)
    }

    /// Waits until there is a message, or something else to be told about: ask again then. Only for the holder of the consumers' lock.
    pub(crate) fn wait_for_message(self, me: impl Pending, patience: Patience) -> Result<(), GaveUp> {
        let head = self.head.load(Relaxed);
        let ready = || (self.tail.load(SeqCst) != head || self.closed.load(SeqCst) != OPEN).then_some(());
        self.data.wait(me, patience, ready, || false)
    }

    /// Makes the message at `tail` everybody's. Only for the holder of the producers' lock, which gives it up next.
    #[inline(always)]
    pub(crate) fn publish(self, tail: Position, words: u32) {
        self.tail.store(tail.after(words, self.ring).bits(), Release);
    }

    /// Takes the message at `head` away. Only for the holder of the consumers' lock, which gives it up next.
    #[inline(always)]
    pub(crate) fn take(self, head: Position, words: u32) {
        self.head.store(head.after(words, self.ring).bits(), Release);
    }

    /// Wakes a consumer that waits for a message. For whoever has published one and given the producers' lock up since.
    #[inline(always)]
    pub(crate) fn announce_message(self) {
        fence_after_rmw();
        self.data.open(Opens::One);
    }

    /// Wakes a producer that waits for room. For whoever has taken a message and given the consumers' lock up since.
    #[inline(always)]
    pub(crate) fn announce_room(self) {
        fence_after_rmw();
        self.room.open(Opens::One);
    }

    /// Whether there is no message: a look without a lock, old when it is told.
    pub(crate) fn looks_empty(self) -> bool {
        self.head.load(Acquire) == self.tail.load(Acquire)
    }

    /// Whether `words` words do not fit: a look without a lock, old when it is told.
    pub(crate) fn looks_full(self, words: u32) -> bool {
        let (tail, head) = (self.tail.load(Acquire), self.head.load(Acquire));
        used(Position::from_bits(head), Position::from_bits(tail), self.ring)
            .is_some_and(|used| self.ring - used < words)
    }

    /// How many messages there are: a look without a lock, old when it is told, and never more than `most`.
    pub(crate) fn len(self, most: u32) -> u32 {
        let mut head = self.head.load(Acquire);
        // A tail between two equal heads belongs to them. Where the ends move too fast for that, too much is told rather than too little.
        for _ in 0..LOOKS {
            let tail = self.tail.load(Acquire);
            let again = self.head.load(Acquire);
            if head == again {
                return messages(head, tail).min(most);
            }
            head = again;
        }
        messages(head, self.tail.load(Acquire)).min(most)
    }
}

/// How often to look for two ends that belong together.
const LOOKS: usize = 16;

fn messages(head: u64, tail: u64) -> u32 {
    Position::from_bits(tail).count.wrapping_sub(Position::from_bits(head).count)
}
