//! Ordered sections: whose turn it is, in shared words, and the part that a worker has in it.
//!
//! `turn` is the item whose section comes next; a bit for each item says that its turn is over. Whoever sets a bit moves `turn` on over all bits that are set, and
//! so does whoever waits and the master after a death; so a death between two steps stops nobody. Who is *in* the section holds a
//! robust mutex besides, for the one case in which a turn is taken again after it has passed: when an item is worked on a second time.
//! What a death means is in `PROTOCOL.md`; who decides about it is `recovery.rs`.
//!
//! `shm-sync`'s `Sequencer` is not used: there an item without a section would have to wait until its turn comes in order to pass it on, or
//! could be no more than 15 ahead.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use rustix::thread::futex;
use rustix::time::{ClockId, Timespec};
use shm_sync::{LockError, Mutex, MutexGuard};

use crate::control::wake_all;
use crate::worker;

/// Whose turn it is when the workers have to stop: nobody's.
const OVER: u32 = u32::MAX;
/// As many items can have turns.
pub(crate) const MOST_ITEMS: usize = OVER as usize - 1;
/// Looks at the turn so often before it sleeps.
const SPINS: u32 = 1000;
/// Sleeps so long at most before it looks again; it is woken before that.
const NAP: Duration = Duration::from_millis(100);

/// The order in which the items of a run enter their sections.
pub(crate) struct Order<'a> {
    pub(crate) turn: &'a AtomicU32,
    /// How many sleep on `turn`, at least.
    pub(crate) sleepers: &'a AtomicU32,
    /// A bit for each item: its turn is over.
    pub(crate) passed: &'a [AtomicU64],
    pub(crate) items: u32,
    /// Held by whoever is in the section.
    pub(crate) section: &'a Mutex<u32>,
}

impl<'a> Order<'a> {
    /// For the master, before a run: the turn is item 0's.
    pub(crate) fn reset(&self) {
        // What announces the run publishes these too.
        self.passed.iter().for_each(|bits| bits.store(0, Relaxed));
        self.sleepers.store(0, Relaxed);
        self.turn.store(0, Relaxed);
    }

    /// For the master: nobody's turn comes any more, and whoever waits for it leaves.
    pub(crate) fn stop(&self) {
        self.turn.store(OVER, SeqCst);
        wake_all(self.turn);
    }

    /// For the master, after a death: does what the dead one may have left undone.
    pub(crate) fn repair(&self) {
        self.settle();
        wake_all(self.turn);
    }

    /// Ends an item's turn, if that has come or not, and for good.
    pub(crate) fn pass(&self, item: usize) {
        self.passed[item / 64].fetch_or(1 << (item % 64), SeqCst);
        self.settle();
    }

    /// Moves the turn on over items that have passed theirs, and wakes whoever has it then.
    fn settle(&self) {
        let mut moved = false;
        loop {
            // SeqCst: of two that pass neighbouring items one sees the other's bit.
            let turn = self.turn.load(SeqCst);
            let passed = |turn: u32| self.passed[turn as usize / 64].load(SeqCst) >> (turn % 64) & 1 != 0;
            if turn >= self.items || !passed(turn) {
                break;
            }
            moved |= self.turn.compare_exchange(turn, turn + 1, SeqCst, SeqCst).is_ok();
        }
        // Either the sleeper sees the new turn, or this sees the sleeper: it counts itself before its last look.
        if moved && self.sleepers.load(SeqCst) != 0 {
            let bit = bit(self.turn.load(SeqCst));
            let _ = futex::wake_bitset(self.turn, futex::Flags::empty(), i32::MAX as u32, bit);
        }
    }

    /// Waits for an item's turn, and enters the section. An item whose turn has passed, because it is worked on again, enters when the section is free.
    fn enter(&self, item: u32) -> MutexGuard<'a, u32> {
        let mut spins = SPINS;
        loop {
            match self.turn.load(SeqCst) {
                OVER => worker::stop(),
                turn if turn >= item => break,
                turn if spins == 0 => self.sleep(item, turn),
                _ => {
                    spins -= 1;
                    std::hint::spin_loop();
                }
            }
        }
        match self.section.lock().or_else(LockError::recover) {
            Ok(guard) => guard,
            Err(error) => panic!("cannot enter the ordered section: {error}"),
        }
    }

    #[cold]
    fn sleep(&self, item: u32, seen: u32) {
        self.sleepers.fetch_add(1, SeqCst);
        self.settle();
        if self.turn.load(SeqCst) == seen {
            // An error is a wake-up: the word has changed, a signal came, or time is up.
            let _ = futex::wait_bitset(self.turn, futex::Flags::empty(), seen, Some(&after()), bit(item));
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }
}

/// What those who wait for `item`'s turn sleep with: the end of a turn wakes nobody but the next one (and every 32nd behind it).
pub(crate) fn bit(item: u32) -> NonZeroU32 {
    NonZeroU32::new(1 << (item % 32)).expect("one bit is set")
}

/// The end of a sleep that begins now: a point in time, because bit-set waits take no duration.
pub(crate) fn after() -> Timespec {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_nsec + i64::from(NAP.subsec_nanos());
    Timespec { tv_sec: now.tv_sec + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 }
}

/// What a worker knows of the item that it is at.
pub(crate) struct Turns<'a> {
    /// Nothing in a master without workers, where items come in order by themselves.
    order: Option<Order<'a>>,
    /// To tell copies that the function has forked.
    forks: u64,
    item: Cell<usize>,
    stage: Cell<Stage>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Before,
    /// In the section, or out of it by a panic that the function has caught.
    Entered,
    /// The turn has passed.
    After,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(order: Option<Order<'a>>) -> Turns<'a> {
        Turns { order, forks: shm_core::fork_count(), item: Cell::new(0), stage: Cell::new(Stage::After) }
    }

    /// Before the function is called with an item.
    pub(crate) fn begin(&self, item: usize) {
        self.item.set(item);
        self.stage.set(Stage::Before);
    }

    /// When the function has returned: an item that has not entered passes its turn.
    pub(crate) fn end(&self) {
        // A copy that the function has forked has no turn to pass.
        if self.stage.replace(Stage::After) != Stage::After && self.forks == shm_core::fork_count() {
            self.pass();
        }
    }

    /// Calls `section` when the turn of the item comes, and passes it on.
    pub(crate) fn section<T>(&self, section: impl FnOnce() -> T) -> T {
        let guard = self.enter();
        let done = section();
        drop(guard);
        self.end();
        done
    }

    /// Waits for the turn of the item, and enters the section, which lasts until the guard is dropped; then the turn is to be [ended](Turns::end).
    pub(crate) fn enter(&self) -> Option<MutexGuard<'a, u32>> {
        let item = self.item.get();
        assert!(
            self.stage.get() == Stage::Before,
            "item {item} enters the ordered section a second time; its turn has passed: do in one section what has to be done in order"
        );
        assert!(
            self.forks == shm_core::fork_count(),
            "the ordered section of item {item} was called in a process that the function has forked, which has no turn"
        );
        let guard = self.order.as_ref().map(|order| order.enter(item as u32));
        self.stage.set(Stage::Entered);
        guard
    }

    fn pass(&self) {
        if let Some(order) = &self.order {
            order.pass(self.item.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shm_sync::Primitive;

    struct Words {
        turn: AtomicU32,
        sleepers: AtomicU32,
        passed: Vec<AtomicU64>,
        section: Mutex<u32>,
    }

    impl Words {
        fn new(items: usize) -> Words {
            let passed = (0..items.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
            let section = Mutex::anonymous(0).unwrap();
            Words { turn: AtomicU32::new(0), sleepers: AtomicU32::new(0), passed, section }
        }

        fn order(&self, items: usize) -> Order<'_> {
            let Words { turn, sleepers, passed, section } = self;
            Order { turn, sleepers, passed, items: items as u32, section }
        }
    }

    proptest! {
        #[test]
        fn the_turn_is_the_first_item_that_has_not_passed(items in 1usize..300, seed in any::<u64>()) {
            let words = Words::new(items);
            let order = words.order(items);
            let mut rest: Vec<usize> = (0..items).collect();
            let mut state = seed | 1;
            while !rest.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let item = rest.remove((state >> 33) as usize % rest.len());
                order.pass(item);
                order.pass(item); // once more changes nothing
                let first = rest.first().copied().unwrap_or(items);
                prop_assert_eq!(order.turn.load(SeqCst) as usize, first);
            }
        }
    }

    #[test]
    fn sections_run_in_order_however_they_come() {
        const ITEMS: usize = 3000;
        let words = Words::new(ITEMS);
        let log = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for rank in 0..3 {
                let (words, log) = (&words, &log);
                scope.spawn(move || {
                    let turns = Turns::new(Some(words.order(ITEMS)));
                    for item in (rank..ITEMS).step_by(3) {
                        turns.begin(item);
                        if item % 5 != 0 {
                            turns.section(|| log.lock().unwrap().push(item));
                        }
                        turns.end();
                    }
                });
            }
        });
        let expected: Vec<usize> = (0..ITEMS).filter(|item| item % 5 != 0).collect();
        assert_eq!(*log.lock().unwrap(), expected);
        assert_eq!(words.sleepers.load(SeqCst), 0);
    }

    #[test]
    fn a_turn_that_has_passed_can_be_taken_again() {
        let words = Words::new(10);
        let turns = Turns::new(Some(words.order(10)));
        (0..5).for_each(|item| words.order(10).pass(item));
        turns.begin(2);
        assert_eq!(turns.section(|| 7), 7);
        assert_eq!(words.turn.load(SeqCst), 5);
    }

    #[test]
    fn bits_are_32() {
        assert_eq!(
            (bit(0).get(), bit(31).get(), bit(32).get(), bit(u32::MAX).get()),
            (1, 1 << 31, 1, 1 << 31)
        );
    }

    #[test]
    fn naps_end_soon() {
        let (now, end) = (rustix::time::clock_gettime(ClockId::Monotonic), after());
        assert!((0..1_000_000_000).contains(&end.tv_nsec) && (0..=1).contains(&(end.tv_sec - now.tv_sec)));
    }
}
