//! Results on their way from a worker to the master.
//!
//! In the worker an [`Outbox`] packs the results of consecutive items one after another into a private buffer and, now and then, copies the buffer into
//! a block of the arena and sends a message. In the master [`accept`] copies the block out, frees it, has each result reduced and puts what comes out
//! into the [`Inbox`]. How a result becomes bytes is in `wire.rs`.

#![allow(unsafe_code, reason = "madvise on the pages of a block")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::mm::Advice;
use rustix::thread::futex;
use shm_core::OwnerId;

use crate::control::{Control, Failure, Message, WakeFor};
use crate::inbox::{Filling, Inbox};
use crate::wire::{Pack, Unpack};

/// A buffer that has so many bytes is sent: with the results of small items it fits a chunk of the arena.
const FULL: usize = 60 << 10;
/// Results of slow items are sent this often.
const OFTEN: Duration = Duration::from_millis(5);
/// The clock is read after so many items at least.
const CLOCK: u32 = 1024;
/// Blocks of this length on get their pages before they are written, so that a lack of memory is an error and no signal.
const LARGE: usize = 64 << 10;

/// How long a worker sleeps at most before it looks again; it is woken before that.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Why results could not be sent.
pub(crate) enum Undelivered {
    /// The worker gives up.
    Failed(Failure),
    /// The master has stopped the workers.
    Stopped,
}

/// A worker's results that have not been sent yet.
pub(crate) struct Outbox<'a> {
    control: &'a Control,
    rank: usize,
    /// Wakes the master.
    notify: &'a dyn Fn() -> Result<(), Errno>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are complete results.
    complete: usize,
    first: usize,
    count: usize,
    pace: Pace,
}

/// Says when results of slow items are to be sent, and reads the clock seldom for quick ones.
pub(crate) struct Pace {
    /// Items until the clock is read, and how many it was the last time.
    clock_in: u32,
    clock_every: u32,
    /// When results were sent.
    sent: Instant,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { clock_in: 1, clock_every: 1, sent: Instant::now() }
    }

    /// For each result: whether it is time to send what there is.
    #[inline]
    pub(crate) fn is_time(&mut self) -> bool {
        self.clock_in -= 1;
        self.clock_in == 0 && self.read_clock()
    }

    #[cold]
    fn read_clock(&mut self) -> bool {
        let slow = self.sent.elapsed() >= OFTEN;
        self.clock_every =
            if slow { (self.clock_every / 2).max(1) } else { (2 * self.clock_every).min(CLOCK) };
        self.clock_in = self.clock_every;
        slow
    }

    /// Results were sent.
    pub(crate) fn sent(&mut self) {
        self.sent = Instant::now();
    }
}

/// Where a worker puts its results, those of consecutive items at a time.
pub(crate) trait Deliver<R> {
    /// Adds the result of `item`, which follows the one before or begins anew after [`send`](Self::send).
    fn put(&mut self, item: usize, result: R) -> Result<(), Undelivered>;

    /// Sends what is complete.
    fn send(&mut self) -> Result<(), Undelivered>;

    /// There is nothing more to come in this run.
    fn end(&mut self) -> Result<(), Undelivered>;
}

impl<R: Pack> Deliver<R> for Outbox<'_> {
    #[inline]
    fn put(&mut self, item: usize, result: R) -> Result<(), Undelivered> {
        Outbox::put(self, item, &result)
    }

    fn send(&mut self) -> Result<(), Undelivered> {
        Outbox::send(self)
    }

    fn end(&mut self) -> Result<(), Undelivered> {
        // There is no later occasion.
        self.wake_master()
    }
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(
        control: &'a Control,
        rank: usize,
        notify: &'a dyn Fn() -> Result<(), Errno>,
    ) -> Outbox<'a> {
        Outbox {
            control,
            rank,
            notify,
            buffer: Vec::new(),
            complete: 0,
            first: 0,
            count: 0,
            pace: Pace::new(),
        }
    }

    /// Adds the result of `item`, which follows the one before or begins anew after [`send`](Self::send).
    #[inline]
    pub(crate) fn put<R: Pack>(&mut self, item: usize, result: &R) -> Result<(), Undelivered> {
        if self.count == 0 {
            self.first = item;
        }
        debug_assert_eq!(self.first + self.count, item);
        if let Err(error) = result.pack(&mut self.buffer) {
            return Err(Undelivered::Failed(Failure::Encode(error.to_string())));
        }
        self.complete = self.buffer.len();
        self.count += 1;
        if self.pace.is_time() || self.complete >= FULL { self.send() } else { Ok(()) }
    }

    /// Sends what is complete.
    pub(crate) fn send(&mut self) -> Result<(), Undelivered> {
        if self.count == 0 {
            return Ok(());
        }
        let offset = if self.complete > 0 { self.store()? } else { 0 };
        let message =
            Message { first: self.first as u64, count: self.count as u64, offset, len: self.complete as u64 };
        let slot = self.control.slot(self.rank);
        while let Err(tail) = slot.push(message) {
            // The master empties the rings as long as workers live, also of those that it has stopped.
            self.wake_master()?;
            // An error is a wake-up: the word has changed, a signal came, or time is up.
            slot.wait_for_room(|word| {
                let _ = futex::wait(word, futex::Flags::empty(), tail, Some(&NAP));
            });
        }
        self.buffer.clear();
        self.buffer.shrink_to(4 * FULL);
        (self.complete, self.count) = (0, 0);
        self.pace.sent();
        // What is in the ring is safe, whatever becomes of this worker; when the master takes it out matters less.
        self.tell_master(if slot.is_half_full() { WakeFor::Urgent } else { WakeFor::All })
    }

    /// Wakes the master for what cannot wait, if it sleeps.
    pub(crate) fn wake_master(&self) -> Result<(), Undelivered> {
        self.tell_master(WakeFor::Urgent)
    }

    fn tell_master(&self, why: WakeFor) -> Result<(), Undelivered> {
        if self.control.header().master_wants_word(why) {
            (self.notify)().map_err(|errno| {
                Undelivered::Failed(Failure::Broken(format!(
                    "cannot wake the master ({}): were the pool's descriptors closed?",
                    std::io::Error::from_raw_os_error(errno.raw_os_error())
                )))
            })?;
        }
        Ok(())
    }

    /// Copies the complete results into a block; returns its offset.
    fn store(&mut self) -> Result<u64, Undelivered> {
        let memory = |text: String| Undelivered::Failed(Failure::Memory(text));
        let header = self.control.header();
        let slot = self.control.slot(self.rank);
        let len = self.complete;
        loop {
            let freed = header.freed.load(Ordering::SeqCst);
            slot.begin_block();
            let error = match self.control.arena.alloc(len) {
                Ok(mut block) => {
                    if len >= LARGE {
                        populate(block.as_ptr(), len).map_err(|errno| {
                            let reason = std::io::Error::from_raw_os_error(errno.raw_os_error());
                            memory(format!("{len} bytes of results find no memory: {reason}"))
                        })?;
                    }
                    slot.keeps(block.offset());
                    let stored = block.write(0, &self.buffer[..len]).and_then(|()| block.keep());
                    return stored.map_err(|e| Undelivered::Failed(Failure::Broken(e.to_string())));
                }
                Err(error) => error,
            };
            slot.cancel_block();
            if error.kind() != shm_core::ErrorKind::OutOfSpace {
                return Err(Undelivered::Failed(Failure::Broken(format!("cannot store results: {error}"))));
            }
            // What is freed from here on, or was since the number was read, changes the number.
            if !self.control.blocks_in_flight() && header.freed.load(Ordering::SeqCst) == freed {
                return Err(memory(format!("{len} bytes of results find no room: {error}")));
            }
            if self.control.stopped() {
                return Err(Undelivered::Stopped);
            }
            // The master frees what is on its way to it.
            self.wake_master()?;
            header.hungry.fetch_add(1, Ordering::SeqCst);
            let _ = futex::wait(&header.freed, futex::Flags::empty(), freed, Some(&NAP));
            header.hungry.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Forgets what a failed serialisation or a panic left behind the last complete result.
    pub(crate) fn drop_incomplete(&mut self) {
        self.buffer.truncate(self.complete);
    }
}

/// Allocates the pages under a block. Kernels before 5.14 do that at the first touch.
pub(crate) fn populate(start: *mut u8, len: usize) -> Result<(), Errno> {
    let page = rustix::param::page_size();
    let from = start.addr() & !(page - 1);
    let len = (start.addr() + len).next_multiple_of(page) - from;
    // SAFETY: the pages are those of a block of the arena, which this process has mapped and holds; populating changes no byte.
    match unsafe { rustix::mm::madvise(start.with_addr(from).cast(), len, Advice::LinuxPopulateWrite) } {
        Err(Errno::INVAL) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What is wrong with a message.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// No worker writes this.
    Nonsense(&'static str),
    /// The result of this item is not what was serialised.
    Decode(usize, postcard::Error),
    /// The arena says so.
    Block(shm_core::Error),
}

/// Takes in what a message tells of: frees the block, calls `reduce` for each result and puts what comes out into the inbox.
pub(crate) fn accept<R: Unpack, S>(
    inbox: &mut Inbox<S>,
    control: &Control,
    rank: usize,
    message: Message,
    reduce: &mut impl FnMut(usize, R) -> S,
) -> Result<(), Unreadable> {
    let range = message.items().and_then(|items| inbox.free(items));
    let mut bytes = std::mem::take(&mut inbox.bytes);
    bytes.clear();
    if message.len > 0 {
        let block = control.arena.adopt(message.offset, OwnerId::KEPT).map_err(Unreadable::Block)?;
        // Checked before so much memory is asked for.
        if message.len > block.capacity() as u64 {
            return Err(Unreadable::Nonsense("results longer than their block"));
        }
        bytes.resize(message.len as usize, 0);
        block.read(0, &mut bytes).map_err(Unreadable::Block)?;
    }
    let range = range.ok_or(Unreadable::Nonsense("items that nobody waits for"))?;
    if message.len > 0 {
        control.block_freed(rank);
    }
    let outcome = decode(&bytes, inbox.fill(range), reduce);
    bytes.shrink_to(4 * FULL);
    inbox.bytes = bytes;
    outcome
}

/// Reads one result after the other.
fn decode<R: Unpack, S>(
    bytes: &[u8],
    mut arrivals: Filling<S>,
    reduce: &mut impl FnMut(usize, R) -> S,
) -> Result<(), Unreadable> {
    let mut rest = bytes;
    let items = arrivals.rest();
    for item in items.clone() {
        let (result, behind) = R::unpack(rest).map_err(|e| Unreadable::Decode(item, e))?;
        rest = behind;
        arrivals.push(reduce(item, result));
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Unreadable::Decode(items.end - 1, postcard::Error::DeserializeBadEncoding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(control: &Control, results: &[(usize, u64)]) {
        let notify = || Ok(());
        let mut outbox = Outbox::new(control, 0, &notify);
        for (item, result) in results {
            assert!(outbox.put(*item, result).is_ok());
        }
        assert!(outbox.send().is_ok());
    }

    fn receive(control: &Control, inbox: &mut Inbox<u64>) -> Result<(), Unreadable> {
        while let Some(message) = control.slot(0).pop() {
            accept(inbox, control, 0, message, &mut |_, r: u64| r)?;
        }
        Ok(())
    }

    #[test]
    fn results_come_in_any_order_and_leave_in_input_order() {
        let control = Control::new(1, 0).unwrap();
        let mut inbox = Inbox::new(6).unwrap();
        send(&control, &[(4, 40), (5, 50)]);
        send(&control, &[(1, 10)]);
        receive(&control, &mut inbox).unwrap();
        assert_eq!(inbox.missing(0..6), [0..1, 2..4]);
        assert!(inbox.missing(1..3).into_iter().eq(std::iter::once(2..3)));
        send(&control, &[(0, 0)]);
        receive(&control, &mut inbox).unwrap();
        assert_eq!(inbox.done(), 4);
        assert!(inbox.missing(0..6).into_iter().eq(std::iter::once(2..4)));
        send(&control, &[(2, 20), (3, 30)]);
        receive(&control, &mut inbox).unwrap();
        assert!(inbox.is_complete());
        assert_eq!(inbox.into_results(), [0, 10, 20, 30, 40, 50]);
        assert!(!control.blocks_in_flight());
        assert_eq!(control.arena.usage().unwrap().used, 0);
    }

    #[test]
    fn skipped_items_are_not_missed() {
        let control = Control::new(1, 0).unwrap();
        let mut inbox = Inbox::new(8).unwrap();
        send(&control, &[(0, 0), (1, 10)]);
        send(&control, &[(5, 50)]);
        receive(&control, &mut inbox).unwrap();
        inbox.skip(3);
        inbox.skip(7);
        assert_eq!(inbox.missing(0..8), [2..3, 4..5, 6..7]);
        assert!(inbox.missing(3..4).is_empty());
        assert!(!inbox.is_complete());
        send(&control, &[(2, 20), (3, 30)]);
        assert!(matches!(receive(&control, &mut inbox), Err(Unreadable::Nonsense(_))));
        for item in [2, 4, 6] {
            send(&control, &[(item, 10 * item as u64)]);
        }
        receive(&control, &mut inbox).unwrap();
        assert!(inbox.is_complete());
        let expected = [Some(0), Some(10), Some(20), None, Some(40), Some(50), Some(60), None];
        assert_eq!(inbox.into_partial(), expected);
    }

    #[test]
    fn what_a_dead_worker_had_stored_and_not_sent_is_freed() {
        let control = Control::new(2, 0).unwrap();
        let slot = control.slot(0);
        let used = || control.arena.usage().unwrap().used;
        let keep = || {
            slot.begin_block();
            let block = control.arena.alloc(1000).unwrap();
            slot.keeps(block.offset());
            block.keep().unwrap()
        };
        let orphan = keep();
        assert!(control.blocks_in_flight() && used() > 0);
        control.write_off(0);
        assert!(!control.blocks_in_flight());
        assert_eq!(used(), 0);
        assert!(control.arena.adopt(orphan, OwnerId::KEPT).is_err());
        // A block whose message was pushed is the master's, whatever happens to the worker.
        let offset = keep();
        slot.push(Message { first: 0, count: 1, offset, len: 1000 }).unwrap();
        assert!(slot.pop().is_some());
        slot.begin_block();
        control.write_off(0);
        assert!(control.arena.adopt(offset, OwnerId::KEPT).is_ok());
    }

    #[test]
    fn a_result_that_finds_no_room_is_a_failure() {
        let control = Control::with_room_for(1 << 20);
        let notify = || Ok(());
        let mut outbox = Outbox::new(&control, 0, &notify);
        let outcome = outbox.put(0, &vec![1u8; 4 << 20]);
        let Err(Undelivered::Failed(Failure::Memory(text))) = outcome.and_then(|()| outbox.send()) else {
            panic!("it fitted");
        };
        assert!(text.contains("find no room"), "{text}");
        assert!(!control.blocks_in_flight());
    }

    #[test]
    fn nonsense_is_refused() {
        let control = Control::new(1, 0).unwrap();
        let mut inbox = Inbox::new(4).unwrap();
        send(&control, &[(1, 1)]);
        receive(&control, &mut inbox).unwrap();
        for (first, count) in [(1, 1), (0, 2), (4, 1), (3, 2), (0, 0), (u64::MAX, 1), (2, u64::MAX)] {
            control.slot(0).push(Message { first, count, offset: 0, len: 0 }).unwrap();
            let refused = receive(&control, &mut inbox);
            assert!(matches!(refused, Err(Unreadable::Nonsense(_))), "{first} {count}");
        }
        control.slot(0).push(Message { first: 2, count: 1, offset: 12345, len: 8 }).unwrap();
        assert!(matches!(receive(&control, &mut inbox), Err(Unreadable::Block(_))));
        control.slot(0).push(Message { first: 2, count: 1, offset: 0, len: 0 }).unwrap();
        assert!(matches!(receive(&control, &mut inbox), Err(Unreadable::Decode(2, _))));
        assert_eq!(inbox.into_finished(), [(1, 1)]);
    }
}
