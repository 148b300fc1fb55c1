//! What the workers of a parallel region share: its loops, who has left it, and the areas that values are exchanged through.
//!
//! Each worker counts the worksharing constructs (loops and singles) that it meets; the same number means the same construct for all of them. Construct
//! `k` uses place `k` modulo [`IN_FLIGHT`], when all workers are through with construct `k - IN_FLIGHT`: so a worker may be ahead of the slowest
//! one by as many. A region is never repaired: if a worker dies, the others leave. The words are described in `PROTOCOL.md`, the
//! constructs themselves are in `region.rs`.

#![allow(unsafe_code, reason = "copies bytes into and out of shared pages")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use rustix::thread::futex;

use crate::control::wake_all;
use crate::order::{after, bit};

/// As many constructs can be met by some and not by all workers.
pub(crate) const IN_FLIGHT: usize = 64;
/// Bytes of a value that go through an area at a time.
pub(crate) const ROOM: usize = AREA - 64;
const AREA: usize = 256 << 10;
/// The number of a construct, or turn, that never comes: the workers have to stop.
const OVER: u32 = u32::MAX;
/// As many iterations can have turns.
pub(crate) const MOST_TURNS: usize = OVER as usize - 1;
/// Looks so often before it sleeps.
const SPINS: u32 = 1000;

/// The words of a region, but for its barrier and its areas.
#[repr(C, align(128))]
pub(crate) struct Words {
    /// How many workers have returned from the function. +0.
    gone: AtomicU32,
    _pad0: u32,
    /// The least number of constructs that one of these had met. +8.
    least_met: AtomicU64,
    _pad1: [u64; 14],
    /// +128.
    places: [Place; IN_FLIGHT],
}

/// What belongs to a construct as long as workers are at it.
#[repr(C, align(128))]
pub(crate) struct Place {
    /// The construct's number, modulo 2^31; futex word of those who are so far ahead that it is still an earlier one's. +0.
    number: AtomicU32,
    /// How many sleep on `number`, at least. +4.
    ahead: AtomicU32,
    /// How many workers are through with it. +8.
    through: AtomicU32,
    /// Which iteration's ordered section comes next, counted from the first; futex word. +12.
    turn: AtomicU32,
    /// How many sleep on `turn`, at least. +16.
    sleepers: AtomicU32,
    _pad0: u32,
    /// What the first worker that came took the construct for; 0 before. +24.
    shape: AtomicU64,
    /// The next batch. +32.
    cursor: AtomicU64,
    _pad1: [u64; 11],
}

const _: () = assert!(size_of::<Place>() == 128 && size_of::<Words>() == 128 * (IN_FLIGHT + 1));

/// Why a wait has ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The workers have to stop.
    Stopped,
    /// A worker has returned from the function without meeting the construct.
    Deserted,
}

fn short(number: u64) -> u32 {
    (number & 0x7FFF_FFFF) as u32
}

impl Words {
    /// For the master, before the fork; all is zero.
    pub(crate) fn reset(&self) {
        self.least_met.store(u64::MAX, Relaxed);
        for (number, place) in (0..).zip(&self.places) {
            place.number.store(number, Relaxed);
        }
    }

    /// For the master: whoever waits, or will, leaves.
    pub(crate) fn stop(&self) {
        for place in &self.places {
            for word in [&place.number, &place.turn] {
                word.store(OVER, SeqCst);
                wake_all(word);
            }
        }
    }

    /// For a worker that returns from the function, where it has met so many constructs.
    pub(crate) fn leave(&self, met: u64) {
        self.least_met.fetch_min(met, SeqCst);
        self.gone.fetch_add(1, SeqCst);
    }

    /// Whether a worker has returned from the function.
    pub(crate) fn has_gone(&self) -> bool {
        self.gone.load(SeqCst) != 0
    }

    /// The place of a construct, when it is free for it. `stopped` is looked at after each sleep.
    pub(crate) fn place(&self, number: u64, stopped: &impl Fn() -> bool) -> Result<&Place, Ended> {
        let place = &self.places[(number % IN_FLIGHT as u64) as usize];
        let wanted = short(number);
        let mut spins = SPINS;
        loop {
            match place.number.load(SeqCst) {
                found if found == wanted => return Ok(place),
                OVER => return Err(Ended::Stopped),
                _ if spins > 0 => {
                    spins -= 1;
                    std::hint::spin_loop();
                }
                found => {
                    // Somebody who has gone never gets through with the construct that the place belongs to.
                    self.check(number.saturating_sub(IN_FLIGHT as u64), stopped)?;
                    place.ahead.fetch_add(1, SeqCst);
                    // An error is a wake-up: the word has changed, a signal came, or time is up.
                    let _ = futex::wait_bitset(&place.number, FLAGS, found, Some(&after()), bit(0));
                    place.ahead.fetch_sub(1, SeqCst);
                }
            }
        }
    }

    /// Whether somebody is still to come to a construct.
    fn check(&self, number: u64, stopped: &impl Fn() -> bool) -> Result<(), Ended> {
        if stopped() {
            Err(Ended::Stopped)
        } else if self.least_met.load(SeqCst) <= number {
            Err(Ended::Deserted)
        } else {
            Ok(())
        }
    }

    /// Waits for an iteration's turn in construct `number`.
    pub(crate) fn await_turn(
        &self,
        place: &Place,
        number: u64,
        iteration: u32,
        stopped: &impl Fn() -> bool,
    ) -> Result<(), Ended> {
        let mut spins = SPINS;
        loop {
            match place.turn.load(SeqCst) {
                turn if turn == iteration => return Ok(()),
                OVER => return Err(Ended::Stopped),
                _ if spins > 0 => {
                    spins -= 1;
                    std::hint::spin_loop();
                }
                seen => {
                    self.check(number, stopped)?;
                    place.sleepers.fetch_add(1, SeqCst);
                    let _ = futex::wait_bitset(&place.turn, FLAGS, seen, Some(&after()), bit(iteration));
                    place.sleepers.fetch_sub(1, SeqCst);
                }
            }
        }
    }
}

const FLAGS: futex::Flags = futex::Flags::empty();

impl Place {
    /// Says what this worker takes the construct for; whether it is the same for all.
    pub(crate) fn agrees(&self, shape: u64) -> bool {
        match self.shape.compare_exchange(0, shape, SeqCst, SeqCst) {
            Ok(_) => true,
            Err(found) => found == shape,
        }
    }

    /// Takes the next batch: each number is given out once.
    pub(crate) fn next(&self) -> u64 {
        self.cursor.fetch_add(1, Relaxed)
    }

    /// Ends the turn of an iteration, which has it.
    pub(crate) fn pass(&self, iteration: u32) {
        // Fails when the workers have to stop.
        let passed = self.turn.compare_exchange(iteration, iteration + 1, SeqCst, SeqCst).is_ok();
        // Either the sleeper, who counts himself before the kernel looks at the word, sees the new turn, or this sees him.
        if passed && self.sleepers.load(SeqCst) != 0 {
            let _ = futex::wake_bitset(&self.turn, FLAGS, i32::MAX as u32, bit(iteration + 1));
        }
    }

    /// Says that one of `workers` is through with construct `number`. The last one makes the place ready for the next construct.
    pub(crate) fn leave(&self, number: u64, workers: usize) {
        if self.through.fetch_add(1, SeqCst) as usize + 1 < workers {
            return;
        }
        self.through.store(0, Relaxed);
        self.cursor.store(0, Relaxed);
        self.shape.store(0, Relaxed);
        // These two may say that all is over.
        let turn = self.turn.load(SeqCst);
        if turn != OVER {
            let _ = self.turn.compare_exchange(turn, 0, SeqCst, SeqCst);
        }
        let next = short(number + IN_FLIGHT as u64);
        let moved = self.number.compare_exchange(short(number), next, SeqCst, SeqCst).is_ok();
        if moved && self.ahead.load(SeqCst) != 0 {
            wake_all(&self.number);
        }
    }
}

/// Shared bytes through which workers show each other values: two areas for each, used by turns.
///
/// Who writes and who reads is settled by the barrier in between: a worker writes its area of a round before it, all read after it, and
/// the same area is written again behind the next round's barrier, which nobody passes who is still reading.
pub(crate) struct Areas<'a> {
    start: NonNull<u8>,
    workers: usize,
    lives: PhantomData<&'a ()>,
}

/// How many bytes the areas of so many workers take.
pub(crate) const fn areas_len(workers: usize) -> usize {
    2 * workers * AREA
}

/// What an area begins with.
struct Head<'a> {
    /// The round that it was written in, plus 1.
    round: &'a AtomicU64,
    /// The length of the whole value.
    len: &'a AtomicU64,
}

impl<'a> Areas<'a> {
    /// # Safety
    /// For `'a` there are [`areas_len`] bytes behind `start`, mapped readable and writable, aligned to 64, of which no Rust object is made by anybody else.
    pub(crate) unsafe fn new(start: NonNull<u8>, workers: usize) -> Areas<'a> {
        Areas { start, workers, lives: PhantomData }
    }

    fn area(&self, round: u64, rank: usize) -> NonNull<u8> {
        assert!(rank < self.workers);
        // SAFETY: the area's number is below twice the number of workers, so it lies inside of what `new` was promised.
        unsafe { self.start.add((2 * rank + (round % 2) as usize) * AREA) }
    }

    fn head(&self, round: u64, rank: usize) -> Head<'a> {
        let words = self.area(round, rank).cast::<AtomicU64>();
        // SAFETY: two aligned words at the start of an area, which lives for `'a`; they are used as atomics only.
        let [round, len] = unsafe { [words.as_ref(), words.add(1).as_ref()] };
        Head { round, len }
    }

    /// Writes a piece (of [`ROOM`] bytes at most) of a value that is `len` bytes long. Only for worker `rank`.
    pub(crate) fn write(&self, round: u64, rank: usize, len: usize, piece: &[u8]) {
        assert!(piece.len() <= ROOM);
        let head = self.head(round, rank);
        head.len.store(len as u64, Relaxed);
        // SAFETY: `ROOM` bytes behind the first 64 of an area belong to the area; `piece` is private memory. Nobody reads them now (see `Areas`); if somebody
        // does, against the rules, these are plain bytes.
        unsafe {
            self.area(round, rank).add(64).copy_from_nonoverlapping(NonNull::from(piece).cast(), piece.len())
        };
        head.round.store(round + 1, Relaxed); // the barrier orders it
    }

    /// The length of the value that worker `rank` shows; nothing if it shows none in this round.
    pub(crate) fn len(&self, round: u64, rank: usize) -> Option<usize> {
        let head = self.head(round, rank);
        let len = usize::try_from(head.len.load(Relaxed)).ok()?;
        (head.round.load(Relaxed) == round + 1).then_some(len)
    }

    /// Appends `len` bytes (of [`ROOM`] at most) of what worker `rank` shows.
    pub(crate) fn read(&self, round: u64, rank: usize, len: usize, to: &mut Vec<u8>) {
        assert!(len <= ROOM);
        to.reserve(len);
        // SAFETY: as in `write`; there is room for `len` bytes behind the vector's, which are all written before it says so.
        unsafe {
            let end = to.as_mut_ptr().add(to.len());
            end.copy_from_nonoverlapping(self.area(round, rank).add(64).as_ptr(), len);
            to.set_len(to.len() + len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Box<Words> {
        // SAFETY: words that are all zero are what a fresh segment has; they consist of integers and atomics.
        let words: Box<Words> = unsafe { Box::<Words>::new_zeroed().assume_init() };
        words.reset();
        words
    }

    #[test]
    fn every_batch_of_every_construct_is_given_out_once_however_far_workers_are_apart() {
        const WORKERS: usize = 3;
        const CONSTRUCTS: u64 = 1000;
        let words = words();
        let taken: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WORKERS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut taken = Vec::new();
                        for number in 0..CONSTRUCTS {
                            let place = words.place(number, &|| false).unwrap();
                            assert!(place.agrees(number + 1));
                            while let batch @ 0..5 = place.next() {
                                taken.push(5 * number + batch);
                            }
                            place.leave(number, WORKERS);
                        }
                        taken
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all = taken.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..5 * CONSTRUCTS));
    }

    #[test]
    fn whoever_is_too_far_ahead_waits_and_is_let_go_by_a_stop_or_a_desertion() {
        let words = words();
        for number in 0..IN_FLIGHT as u64 {
            words.place(number, &|| false).unwrap().leave(number, 2);
        }
        words.leave(IN_FLIGHT as u64); // the other one has met all these: it is not through, but it will be
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| words.place(IN_FLIGHT as u64, &|| false).map(|_| ()));
            words.place(0, &|| false).unwrap().leave(0, 2);
            assert_eq!(waits.join().unwrap(), Ok(()));
        });
        assert_eq!(words.place(IN_FLIGHT as u64 + 1, &|| true).map(|_| ()), Err(Ended::Stopped));
        words.leave(1);
        assert_eq!(words.place(IN_FLIGHT as u64 + 1, &|| false).map(|_| ()), Err(Ended::Deserted));
        words.stop();
        assert_eq!(words.place(IN_FLIGHT as u64 + 1, &|| false).map(|_| ()), Err(Ended::Stopped));
    }

    #[test]
    fn turns_come_in_order() {
        let words = words();
        let place = words.place(0, &|| false).unwrap();
        let log = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for rank in 0..3 {
                let (words, log) = (&words, &log);
                scope.spawn(move || {
                    for iteration in (rank..3000).step_by(3) {
                        words.await_turn(place, 0, iteration, &|| false).unwrap();
                        log.lock().unwrap().push(iteration);
                        place.pass(iteration);
                    }
                });
            }
        });
        assert!(log.into_inner().unwrap().into_iter().eq(0..3000));
    }
}
