//! A ring of messages between any number of producers and consumers: the locks, the waiting and the copying that both channels share.
//!
//! A message is a record of whole words of 8 bytes that may run over the end of the ring. Among bytes it begins with a header word (length in
//! the low half, the message's count in the high half, which is checked); among values it has the length that all have. The last word is filled up with zeros.
//!
//! The words are reached as atomics, so that no reference to bytes exists that another process may write, and by way of a slice whose length
//! is known privately: what a hostile neighbour writes into the pages can spoil messages, but leads to no access outside.
//!
//! Who may go how far is `flow`'s, what a message means is `bytes`' and `values`'.

#![allow(unsafe_code, reason = "the ring's words are found through a pointer into shared pages")]

use super::flow::{Damaged, Flow};
use super::position::Position;
use super::raw::{RawChannel, VALUE_LEN};
use crate::base::robust::Me;
use crate::base::slot::{Locked, Slot, Wait};
use crate::base::word::Acquired;
use crate::base::{GaveUp, Patience, atomics::SpinWait};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind, Raw};
use crate::placement::Placement;
use crate::primitive::Image;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How often to look again after a wait that ended because there was something to see. Three times is enough among the honest, for only
/// the holder of a lock moves its own end; a neighbour that writes to and fro is not followed for ever.
const ROUNDS: u32 = 100;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// A handle to a ring. `VALUES`: of values that are all of one length; otherwise of byte messages.
pub(crate) struct Ring<const VALUES: bool> {
    handle: Handle<RawChannel<VALUES>>,
    shape: Shape,
}

/// The measures of a ring, which are kept privately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Bytes of the longest message, or number of values.
    capacity: u32,
    /// Bytes of a value; 0 among byte messages.
    value_len: u32,
    /// Words in the ring.
    words: u32,
}

impl Shape {
    fn of_bytes(capacity: usize) -> Option<Self> {
        let words = u32::try_from(capacity.div_ceil(WORD).checked_add(1)?).ok()?;
        let capacity = u32::try_from(capacity).ok().filter(|capacity| *capacity != 0)?;
        Some(Self { capacity, value_len: 0, words })
    }

    fn of_values(capacity: usize, value_len: usize) -> Option<Self> {
        let words = u32::try_from(capacity.checked_mul(value_words(value_len))?).ok()?;
        let capacity = u32::try_from(capacity).ok().filter(|capacity| *capacity != 0)?;
        Some(Self { capacity, value_len: u32::try_from(value_len).ok()?, words })
    }

    fn ring_bytes(self) -> usize {
        self.words as usize * WORD
    }
}

/// How many words a value takes; one without bytes takes one too, so that its coming can be told.
const fn value_words(value_len: usize) -> usize {
    if value_len == 0 { 1 } else { value_len.div_ceil(WORD) }
}

/// A message in the ring, of which this thread is the only reader while it holds the consumers' lock.
pub(crate) struct Message<'a> {
    /// Its words, without header, in two parts if it runs over the end of the ring.
    parts: (&'a [AtomicU64], &'a [AtomicU64]),
    /// Its bytes.
    len: usize,
    /// The words of its record.
    words: u32,
}

impl Message<'_> {
    /// How many bytes it has.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies it out; `bytes` is as long as it is.
    #[inline(always)]
    pub(crate) fn copy_to(&self, bytes: &mut [u8]) {
        let (near, far) = bytes.split_at_mut(bytes.len().min(self.parts.0.len() * WORD));
        load(self.parts.0, near);
        if !far.is_empty() {
            load(self.parts.1, far);
        }
    }
}

#[inline(always)]
fn store(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<WORD>();
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
    if let (Some(word), false) = (words.get(whole.len()), rest.is_empty()) {
        let mut last = [0; WORD];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(last), Relaxed);
    }
}

#[inline(always)]
fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, rest) = bytes.as_chunks_mut::<WORD>();
    let count = whole.len();
    for (word, bytes) in words.iter().zip(whole) {
        *bytes = word.load(Relaxed).to_ne_bytes();
    }
    if let (Some(word), false) = (words.get(count), rest.is_empty()) {
        let len = rest.len();
        rest.copy_from_slice(&word.load(Relaxed).to_ne_bytes()[..len]);
    }
}

/// What a side of the channel is called in messages.
#[derive(Clone, Copy)]
struct Side {
    verb: &'static str,
    /// What is wrong when it does not wait.
    now: ErrorKind,
    /// What did not come in time.
    late: &'static str,
}

const PRODUCERS: Side =
    Side { verb: "send to", now: ErrorKind::Full, late: "there was no room in that time" };
const CONSUMERS: Side =
    Side { verb: "receive from", now: ErrorKind::Empty, late: "no message came in that time" };

impl<const VALUES: bool> Ring<VALUES> {
    const KIND: Kind = <RawChannel<VALUES> as Raw>::KIND;

    /// The first bytes of a new ring; `value_len` is 0 among byte messages.
    pub(crate) fn image(capacity: usize, value_len: usize) -> Result<Image, Error> {
        let shape = if VALUES { Shape::of_values(capacity, value_len) } else { Shape::of_bytes(capacity) };
        let Some(shape) = shape else {
            let unit = if VALUES { format!("messages of {value_len} bytes") } else { "bytes".to_owned() };
            return Err(Error::new(Self::KIND.operation("create"), ErrorKind::InvalidArgument)
                .detail(format!("the capacity is {capacity} {unit}")));
        };
        let len = size_of::<RawChannel<VALUES>>() + shape.ring_bytes();
        Ok(Image::new(Self::KIND, shape.capacity, len).with(VALUE_LEN, &shape.value_len.to_le_bytes()))
    }

    /// The ring at `place`; `value_len` is 0 among byte messages, and none if any will do.
    pub(crate) fn open(place: Placement, verb: &str, value_len: Option<usize>) -> Result<Self, Error> {
        let handle = Handle::<RawChannel<VALUES>>::open(place, verb, None)?;
        let found = (handle.parameter().unwrap_or(0) as usize, handle.raw().value_len.load(Relaxed) as usize);
        let mismatch = |detail| Err(handle.error(verb, ErrorKind::Mismatch).detail(detail));
        let value_len = value_len.unwrap_or(found.1);
        if found.1 != value_len {
            return mismatch(format!("its messages have {} bytes, not {value_len}", found.1));
        }
        let shape = if VALUES { Shape::of_values(found.0, value_len) } else { Shape::of_bytes(found.0) };
        let room = handle.len() - size_of::<RawChannel<VALUES>>();
        match shape {
            Some(shape) if shape.ring_bytes() <= room => Ok(Self { handle, shape }),
            _ => mismatch(format!("its capacity is said to be {}, but its ring has {room} bytes", found.0)),
        }
    }

    pub(crate) fn handle(&self) -> &Handle<RawChannel<VALUES>> {
        &self.handle
    }

    pub(crate) fn capacity(&self) -> usize {
        self.shape.capacity as usize
    }

    /// Bytes of a value.
    #[inline(always)]
    pub(crate) fn value_len(&self) -> usize {
        self.shape.value_len as usize
    }

    pub(crate) fn len(&self) -> usize {
        let most = if VALUES { self.shape.capacity } else { self.shape.words };
        self.flow().len(most) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flow().looks_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.flow().is_closed()
    }

    /// Closes the channel; true if it was open.
    pub(crate) fn close(&self) -> Result<bool, Error> {
        if !self.is_sound() {
            return Err(self.handle.error("close", ErrorKind::Corrupt));
        }
        Ok(self.flow().close())
    }

    /// Puts a message in.
    #[inline(always)]
    pub(crate) fn push(&self, bytes: &[u8], wait: impl FnOnce() -> Wait) -> Result<(), Error> {
        if !VALUES && bytes.len() > self.shape.capacity as usize {
            return Err(self.too_long(bytes.len()));
        }
        let words = if VALUES { value_words(bytes.len()) } else { 1 + bytes.len().div_ceil(WORD) } as u32;
        let (me, tail) = match self.room_at_once(words) {
            Some(ready) => ready,
            None => self.room(words, wait())?,
        };
        let (mut near, far) = self.record(tail.offset, words);
        if !VALUES {
            // `record` gives one word at least, and the nearer part is not empty.
            let header = bytes.len() as u64 | u64::from(tail.count) << 32;
            near[0].store(header, Relaxed);
            near = &near[1..];
        }
        let (first, rest) = bytes.split_at(bytes.len().min(near.len() * WORD));
        store(near, first);
        if !rest.is_empty() {
            store(far, rest);
        }
        let flow = self.flow();
        flow.publish(tail, words);
        self.raw().producers.give_up(me);
        flow.announce_message();
        Ok(())
    }

    /// Calls `read` with the next message and takes it away when that has returned. If it panics, the message stays.
    #[inline(always)]
    pub(crate) fn pop<R>(
        &self,
        wait: impl FnOnce() -> Wait,
        read: impl FnOnce(&Message<'_>) -> R,
    ) -> Result<R, Error> {
        let (me, head, used) = match self.message_at_once() {
            Some(ready) => ready,
            None => self.message(wait())?,
        };
        let held = Held { slot: &self.raw().consumers, generation: me.generation() };
        let Some(message) = self.measure(head, used) else {
            drop(held);
            return Err(self.corrupt(CONSUMERS));
        };
        let result = read(&message);
        let flow = self.flow();
        if held.is_valid() {
            flow.take(head, message.words);
            drop(held);
            flow.announce_room();
        }
        Ok(result)
    }

    /// The producers' lock and the tail, if all is as usual: the thread registered, the lock free, the channel open and room in it.
    #[inline(always)]
    fn room_at_once(&self, words: u32) -> Option<(Me, Position)> {
        let me = Me::registered()?;
        let slot = &self.raw().producers;
        if !slot.take_free(me) {
            return None;
        }
        if self.is_sound()
            && !self.flow().is_closed()
            && let Ok(Some(tail)) = self.flow().room_for(words)
        {
            return Some((me, tail));
        }
        give_up(slot, me);
        None
    }

    /// As above, whatever it takes.
    #[cold]
    #[inline(never)]
    fn room(&self, words: u32, wait: Wait) -> Result<(Me, Position), Error> {
        let flow = self.flow();
        if self.is_sound() && flow.is_closed() {
            return Err(self.error(PRODUCERS, ErrorKind::Closed));
        }
        let slot = &self.raw().producers;
        let Locked { me, acquired } = self.lock(PRODUCERS, slot, wait, || flow.looks_full(words))?;
        if acquired == Acquired::OwnerDied {
            // The dead one may have published a message without waking anybody.
            flow.announce_message();
        }
        let mut rounds = 0..ROUNDS;
        let outcome = loop {
            if !self.is_sound() || rounds.next().is_none() {
                break Err(self.corrupt(PRODUCERS));
            }
            if flow.is_closed() {
                break Err(self.error(PRODUCERS, ErrorKind::Closed));
            }
            match flow.room_for(words) {
                Ok(Some(tail)) => break Ok((me, tail)),
                Ok(None) => {}
                Err(Damaged) => break Err(self.corrupt(PRODUCERS)),
            }
            if let Err(error) =
                self.pause(PRODUCERS, wait, |patience| flow.wait_for_room(words, me, patience))
            {
                break Err(error);
            }
        };
        if outcome.is_err() {
            slot.give_up(me);
        }
        outcome
    }

    /// The consumers' lock, the head and how much there is behind it, if all is as usual.
    #[inline(always)]
    fn message_at_once(&self) -> Option<(Me, Position, u32)> {
        let me = Me::registered()?;
        let slot = &self.raw().consumers;
        if !slot.take_free(me) {
            return None;
        }
        if self.is_sound()
            && let Ok(Some((head, used))) = self.flow().message()
        {
            return Some((me, head, used));
        }
        give_up(slot, me);
        None
    }

    /// As above, whatever it takes.
    #[cold]
    #[inline(never)]
    fn message(&self, wait: Wait) -> Result<(Me, Position, u32), Error> {
        let flow = self.flow();
        let slot = &self.raw().consumers;
        let Locked { me, acquired } = self.lock(CONSUMERS, slot, wait, || flow.looks_empty())?;
        if acquired == Acquired::OwnerDied {
            // The dead one may have taken a message without waking anybody.
            flow.announce_room();
        }
        // Whether nobody can be in the middle of sending any more.
        let mut over = false;
        let mut rounds = 0..ROUNDS;
        let outcome = loop {
            if !self.is_sound() || rounds.next().is_none() {
                break Err(self.corrupt(CONSUMERS));
            }
            match flow.message() {
                Ok(Some((head, used))) => break Ok((me, head, used)),
                Ok(None) if over => break Err(self.error(CONSUMERS, ErrorKind::Closed)),
                Ok(None) => {}
                Err(Damaged) => break Err(self.corrupt(CONSUMERS)),
            }
            let paused = if flow.is_closed() {
                over = true;
                self.await_senders(wait)
            } else {
                self.pause(CONSUMERS, wait, |patience| flow.wait_for_message(me, patience))
            };
            if let Err(error) = paused {
                break Err(error);
            }
        };
        if outcome.is_err() {
            slot.give_up(me);
        }
        outcome
    }

    /// Waits until whoever found the channel open has published its message or died: whoever takes the producers' lock after that finds it closed.
    fn await_senders(&self, wait: Wait) -> Result<(), Error> {
        let slot = &self.raw().producers;
        let Locked { me, .. } = self.lock(CONSUMERS, slot, wait, || false).map_err(|error| {
            // It may come to nothing: then the channel is closed, but that is not certain yet.
            if error.kind() == ErrorKind::Busy { self.error(CONSUMERS, ErrorKind::Empty) } else { error }
        })?;
        slot.give_up(me);
        Ok(())
    }

    /// Takes a side's lock. Who does not wait is patient for the moments that a message takes, unless `in_vain`.
    fn lock(&self, side: Side, slot: &Slot, wait: Wait, in_vain: impl Fn() -> bool) -> Result<Locked, Error> {
        if let Wait::Not = wait {
            let mut spin = SpinWait::yielding();
            while !slot.word.is_free() && !in_vain() && spin.spin(Patience::default()) {}
        }
        slot.take("", wait).map_err(|error| match error.kind() {
            ErrorKind::Busy if in_vain() => self.error(side, side.now),
            ErrorKind::TimedOut => self.error(side, ErrorKind::TimedOut).detail(side.late),
            ErrorKind::Deadlock => {
                self.error(side, ErrorKind::Deadlock).detail("this is inside `recv_with` on the same channel")
            }
            ErrorKind::Unsupported => error.on(self.handle.name()),
            _ => error.during(Self::KIND.operation(side.verb)).on(self.handle.name()),
        })
    }

    /// Waits with `gate`, if waiting is what the caller wants.
    fn pause(
        &self,
        side: Side,
        wait: Wait,
        gate: impl FnOnce(Patience) -> Result<(), GaveUp>,
    ) -> Result<(), Error> {
        let Wait::For(patience) = wait else {
            return Err(self.error(side, side.now));
        };
        gate(patience).map_err(|gave_up| match gave_up {
            GaveUp::TimedOut => self.error(side, ErrorKind::TimedOut).detail(side.late),
            GaveUp::Interrupted => self.error(side, ErrorKind::Interrupted),
        })
    }

    /// The message at `head`, which has `used` words at most; none if there can be no such message.
    #[inline(always)]
    fn measure(&self, head: Position, used: u32) -> Option<Message<'_>> {
        let (len, words) = if VALUES {
            (self.shape.value_len as usize, value_words(self.shape.value_len as usize) as u32)
        } else {
            let header = self.words().get(head.offset as usize)?.load(Relaxed);
            let len = header as u32;
            if (header >> 32) as u32 != head.count || len > self.shape.capacity {
                return None;
            }
            (len as usize, 1 + len.div_ceil(WORD as u32))
        };
        if words > used {
            return None;
        }
        let mut parts = self.record(head.offset, words);
        if !VALUES {
            parts.0 = &parts.0[1..];
        }
        Some(Message { parts, len, words })
    }

    /// The words of the record at `offset`, which is in the ring; the second part is what runs over its end. `words` is not more than the ring has.
    #[inline(always)]
    fn record(&self, offset: u32, words: u32) -> (&[AtomicU64], &[AtomicU64]) {
        let ring = self.words();
        let (offset, words) = (offset as usize, words as usize);
        match ring.get(offset..offset + words) {
            Some(whole) => (whole, &[]),
            None => (&ring[offset..], &ring[..words - (ring.len() - offset)]),
        }
    }

    #[inline(always)]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: behind the fixed part, which is 320 bytes from an address that is a multiple of 64, lie `shape.words` words (compared with the
        // place in `open`), mapped readable and writable while the handle lives; they are atomics, for which any bytes are valid and which
        // any process may write.
        unsafe { core::slice::from_raw_parts(self.handle.tail().cast().as_ptr(), self.shape.words as usize) }
    }

    #[inline(always)]
    fn raw(&self) -> &RawChannel<VALUES> {
        self.handle.raw()
    }

    #[inline(always)]
    fn flow(&self) -> Flow<'_> {
        let raw = self.raw();
        Flow {
            closed: &raw.closed,
            data: &raw.data,
            room: &raw.room,
            tail: &raw.tail.0,
            head: &raw.head.0,
            seen_head: &raw.producers.wide_note,
            seen_tail: &raw.consumers.wide_note,
            ring: self.shape.words,
        }
    }

    /// Whether the bytes are still what was attached to.
    #[inline(always)]
    fn is_sound(&self) -> bool {
        self.handle.identity() == Self::KIND.identity(self.shape.capacity)
    }

    #[cold]
    fn error(&self, side: Side, kind: ErrorKind) -> Error {
        self.handle.error(side.verb, kind)
    }

    #[cold]
    fn corrupt(&self, side: Side) -> Error {
        self.error(side, ErrorKind::Corrupt)
    }

    #[cold]
    fn too_long(&self, len: usize) -> Error {
        self.error(PRODUCERS, ErrorKind::InvalidArgument).detail(format!(
            "the message has {len} bytes, and the channel's capacity is {} bytes",
            self.shape.capacity
        ))
    }
}

impl<const VALUES: bool> Clone for Ring<VALUES> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), shape: self.shape }
    }
}

#[cold]
fn give_up(slot: &Slot, me: Me) {
    slot.give_up(me);
}

/// The consumers' lock while a message is looked at; given up when this is dropped, also by a panic, but not by a forked child.
struct Held<'a> {
    slot: &'a Slot,
    generation: u64,
}

impl Held<'_> {
    /// Whether this is still the process that took it.
    #[inline(always)]
    fn is_valid(&self) -> bool {
        Me::of(self.generation).is_some()
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(me) = Me::of(self.generation) {
            self.slot.give_up(me);
        }
    }
}
