//! The reader-writer lock without a value: the gate, where writers and everybody who has to wait pass one at a time, and the readers' slots.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | gate: word | see `base::word`; held by a writer, or by whoever waits to become a reader |
//! | 4 | gate: state | 0 sound, 1 poisoned, 2 being written; changed by the gate's holder only |
//! | 8 | identity | see `handle`; its parameter is the length of the guarded value |
//! | 16 | gate: slots | low half: how many readers' slots were ever used; high half: how many there are |
//! | 40 | gate: depth | how often more than once a reader holds the gate; written by the holder only |
//! | 64 | readers | slots; with a depth at offset 40 as well |
//!
//! A reader takes a slot and then looks at the gate; a writer takes the gate and then looks at the slots. Both do so with sequentially
//! consistent operations, so at least one of them sees the other; a reader that sees a writer withdraws and queues at the gate. Nobody takes
//! a slot before it is counted as used, so a writer that has taken the gate looks at as many slots as were ever needed at once, not at all.
//!
//! Whoever holds the gate keeps writers out. So where there is no slot left (or no room in the thread's list for a second lock) a reader keeps
//! the gate instead of a slot: it reads alone with those who are in already, and the others wait.
//!
//! The state tells deaths, not the word's "owner died": it says "being written" from the moment when the last reader is gone until the writer
//! has ended. A reader or a writer that dies in the queue leaves it as it was, so there is no news; a writer that dies leaves "being
//! written" to whoever gets the gate next, and so on until somebody recovers the value or gives it up.
//!
//! All zero, but for the identity and the number of slots, is a free lock. The value and the guards are `rwlock`'s.

use crate::base::robust::Me;
use crate::base::slot::{Locked, Slot, Wait, refusal};
use crate::base::word::Refused;
use crate::error::{Error, ErrorKind};
use crate::handle::{Kind, Raw};
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Nothing is wrong with the value.
const SOUND: u32 = 0;
/// A successor of a dead writer gave the value up.
const POISONED: u32 = 1;
/// A writer is at work, or died at it.
const WRITING: u32 = 2;

/// Where the field `slots` lies.
pub(super) const SLOTS_AT: usize = core::mem::offset_of!(Slot, wide_note);

/// How often more than once a thread can hold a slot.
const MAX_DEPTH: u64 = u32::MAX as u64;

/// What is wanted of a lock call, for its errors.
pub(super) const READ: &str = "read-lock the reader-writer lock";
pub(super) const WRITE: &str = "write-lock the reader-writer lock";
pub(super) const REPAIR: &str = "repair the reader-writer lock";

thread_local! {
    /// Where this thread found a slot last, in any lock: there it looks first.
    static HINT: Cell<u32> = const { Cell::new(0) };
}

/// See the head of this file.
#[repr(C)]
pub(crate) struct RawRwLock<const READERS: usize> {
    gate: Slot,
    readers: [Slot; READERS],
}

impl<const READERS: usize> Raw for RawRwLock<READERS> {
    const KIND: Kind = Kind::RW_LOCK;

    fn identity(&self) -> &AtomicU64 {
        &self.gate.identity
    }
}

/// A thread's hold on the lock as a reader: the generation of its registration and the slot, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold(u64);

impl Hold {
    /// Above a registration's generation, of which there are less than 2^52.
    const SHIFT: u32 = 52;

    #[inline(always)]
    fn new(me: Me, index: u32) -> Self {
        Self(me.generation() | u64::from(index) << Self::SHIFT)
    }

    /// The thread that took it, unless this is a forked child of its process.
    #[inline(always)]
    pub(super) fn me(self) -> Option<Me> {
        Me::of(self.0 & !(u64::MAX << Self::SHIFT))
    }

    /// The slot; the number of slots stands for the gate.
    #[inline(always)]
    fn index(self) -> u32 {
        (self.0 >> Self::SHIFT) as u32
    }
}

/// Why a lock call did not simply get what it wanted.
pub(super) enum Trouble {
    /// It has the lock for writing, and the last writer died.
    OwnerDied(Me),
    Failed(Error),
}

/// How often more than once a slot is held; written by its holder only.
#[inline(always)]
fn depth_of(slot: &Slot) -> &AtomicU64 {
    &slot.notes[0]
}

impl<const READERS: usize> RawRwLock<READERS> {
    const COUNT: u32 = {
        assert!(READERS >= 1 && READERS <= 2000, "from 1 to 2000 readers");
        READERS as u32
    };

    /// What a reader holds that found no slot.
    const GATE: u32 = Self::COUNT;

    /// How the field `slots` of a new lock reads.
    pub(super) const SLOTS: u64 = (Self::COUNT as u64) << 32;

    /// Makes never used (zero) bytes a lock with this number of slots, and says whether it is one.
    pub(super) fn adopt(&self) -> bool {
        // Whoever loses this race is told by the comparison.
        let _ = self.gate.wide_note.compare_exchange(0, Self::SLOTS, Relaxed, Relaxed);
        self.used().is_some()
    }

    /// How many slots the lock has, as the pages say.
    pub(super) fn slots(&self) -> u32 {
        (self.gate.wide_note.load(Relaxed) >> 32) as u32
    }

    /// How many slots were ever used; none if the bytes are damaged.
    #[inline(always)]
    fn used(&self) -> Option<u32> {
        let used = self.gate.wide_note.load(SeqCst).wrapping_sub(Self::SLOTS);
        (used <= u64::from(Self::COUNT)).then_some(used as u32)
    }

    /// The slot that a reader holds.
    #[inline(always)]
    fn slot(&self, index: u32) -> Option<&Slot> {
        self.readers.get(index as usize)
    }

    /// Whether the value may be used. For whoever keeps writers out.
    #[inline(always)]
    fn is_sound(&self, identity: u64) -> bool {
        self.gate.note.load(Relaxed) == SOUND && self.gate.identity.load(Relaxed) == identity
    }

    // ---- reading

    /// Becomes a reader if all is as usual: the thread registered, the slot that it used last free, no writer, the value sound.
    #[inline(always)]
    pub(super) fn read_free(&self, identity: u64) -> Option<Hold> {
        let me = Me::registered()?;
        let index = HINT.get();
        if self.used()? <= index || !self.gate.word.is_zero() {
            return None;
        }
        self.enter(me, index, identity)
    }

    /// Takes a slot that counts as used and that is free, and looks whether there is a writer.
    #[inline(always)]
    fn enter(&self, me: Me, index: u32, identity: u64) -> Option<Hold> {
        let slot = self.slot(index)?;
        if !slot.take_free(me) {
            return None;
        }
        depth_of(slot).store(0, Relaxed);
        if !self.gate.word.is_zero() || !self.is_sound(identity) {
            Self::withdraw(slot, me);
            return None;
        }
        Some(Hold::new(me, index))
    }

    #[cold]
    fn withdraw(slot: &Slot, me: Me) {
        slot.give_up(me);
    }

    /// Becomes a reader, waiting as `wait` says.
    #[cold]
    pub(super) fn read(&self, identity: u64, wait: Wait) -> Result<Hold, Trouble> {
        let me = Me::get().map_err(Trouble::Failed)?;
        // What the attempt before has announced to the kernel.
        me.abandon();
        let error = |kind| Trouble::Failed(Error::new(READ, kind));
        if let Some(index) = self.own(me) {
            return self.read_once_more(me, index);
        }
        // Not the slot that was tried, perhaps another: without the queue as long as there is none.
        if self.gate.word.is_zero()
            && let Some(index) = self.find_slot(me)
        {
            if self.gate.word.is_zero() && self.is_sound(identity) {
                HINT.set(index);
                return Ok(Hold::new(me, index));
            }
            Self::withdraw(&self.readers[index as usize], me);
        }
        let Locked { me, .. } = self.gate.take(READ, wait).map_err(|below| {
            if below.kind() == ErrorKind::Busy && self.is_full() {
                return error(ErrorKind::TooManyReaders);
            }
            Trouble::Failed(below)
        })?;
        match self.state(identity) {
            Ok(SOUND) => Ok(self.step_in(me)),
            Ok(_) => self.wait_for_readers(me, READ, wait).and(Err(Trouble::OwnerDied(me))),
            Err(kind) => {
                self.gate.give_up(me);
                Err(error(kind))
            }
        }
    }

    /// From holding the gate to being a reader: with a slot if there is one, otherwise with the gate.
    fn step_in(&self, me: Me) -> Hold {
        if let Some(index) = self.find_slot(me) {
            HINT.set(index);
            self.gate.give_up(me);
            return Hold::new(me, index);
        }
        depth_of(&self.gate).store(0, Relaxed);
        Hold::new(me, Self::GATE)
    }

    /// Takes some free slot.
    fn find_slot(&self, me: Me) -> Option<u32> {
        for index in 0..Self::COUNT {
            if self.used()? <= index {
                // Counted before it is taken: see the head of this file.
                self.gate.wide_note.fetch_max(Self::SLOTS + u64::from(index) + 1, SeqCst);
            }
            let slot = &self.readers[index as usize];
            if slot.take_if_free(me) {
                depth_of(slot).store(0, Relaxed);
                return Some(index);
            }
        }
        None
    }

    /// Whether every slot is taken.
    fn is_full(&self) -> bool {
        self.readers.iter().all(|slot| !slot.word.is_free())
    }

    /// What this thread holds as a reader, if it does.
    fn own(&self, me: Me) -> Option<u32> {
        let mine = |slot: &Slot| slot.word.names(me.tid()) && slot.is_held_by(me);
        if let Some(index) = self.readers.iter().position(mine) {
            return Some(index as u32);
        }
        // A writer's state is another; and a sound one cannot be its own, because it would be waiting.
        (self.gate.note.load(Relaxed) == SOUND && mine(&self.gate)).then_some(Self::GATE)
    }

    /// What a reader with this index holds, and how often more than once.
    fn held(&self, index: u32) -> (&Slot, &AtomicU64) {
        let slot = self.slot(index).unwrap_or(&self.gate);
        (slot, depth_of(slot))
    }

    /// A reader reads once more: writers are kept out already, so it need not ask (and must not wait for one that waits for it).
    fn read_once_more(&self, me: Me, index: u32) -> Result<Hold, Trouble> {
        let (_, depth) = self.held(index);
        // Only this thread writes it.
        let before = depth.load(Relaxed);
        if before >= MAX_DEPTH {
            return Err(Trouble::Failed(Error::new(READ, ErrorKind::TooDeep)));
        }
        depth.store(before + 1, Relaxed);
        Ok(Hold::new(me, index))
    }

    /// Ends reading. Only for the thread that has the hold.
    #[inline(always)]
    pub(super) fn end_reading(&self, hold: Hold, me: Me) {
        match self.slot(hold.index()) {
            Some(slot) if depth_of(slot).load(Relaxed) == 0 => slot.give_up(me),
            _ => self.end_reading_slowly(hold, me),
        }
    }

    #[cold]
    fn end_reading_slowly(&self, hold: Hold, me: Me) {
        let (slot, depth) = self.held(hold.index());
        match depth.load(Relaxed) {
            0 => slot.give_up(me),
            deeper => depth.store(deeper - 1, Relaxed),
        }
    }

    // ---- writing

    /// Becomes the writer if all is as usual: the thread registered, the gate and all slots free, the value sound.
    #[inline(always)]
    pub(super) fn write_free(&self, identity: u64) -> Option<Me> {
        let me = Me::registered()?;
        if !self.gate.take_free(me) {
            return None;
        }
        if self.is_sound(identity) && self.has_no_reader() {
            self.gate.note.store(WRITING, Relaxed);
            return Some(me);
        }
        Self::withdraw(&self.gate, me);
        None
    }

    #[inline(always)]
    fn has_no_reader(&self) -> bool {
        self.used()
            .is_some_and(|used| self.readers.iter().take(used as usize).all(|slot| slot.word.is_free()))
    }

    /// Becomes the writer, waiting as `wait` says. `repair`: whatever state the value is in.
    #[cold]
    pub(super) fn write(&self, identity: u64, wait: Wait, repair: bool) -> Result<Me, Trouble> {
        let operation = if repair { REPAIR } else { WRITE };
        let error = |kind| Trouble::Failed(Error::new(operation, kind));
        let me = Me::get().map_err(Trouble::Failed)?;
        me.abandon();
        if self.own(me).is_some() {
            return Err(error(ErrorKind::Deadlock));
        }
        let Locked { me, .. } = self.gate.take(operation, wait).map_err(Trouble::Failed)?;
        let state = match self.state(identity) {
            Err(ErrorKind::Poisoned) if repair => POISONED,
            Err(kind) => {
                self.gate.give_up(me);
                return Err(error(kind));
            }
            Ok(state) => state,
        };
        self.wait_for_readers(me, operation, wait)?;
        if state == SOUND {
            self.gate.note.store(WRITING, Relaxed);
        }
        if state == WRITING && !repair { Err(Trouble::OwnerDied(me)) } else { Ok(me) }
    }

    /// The state, if it is one in which the lock can be had. For the holder of the gate.
    fn state(&self, identity: u64) -> Result<u32, ErrorKind> {
        if self.gate.identity.load(Relaxed) != identity || self.used().is_none() {
            return Err(ErrorKind::Corrupt);
        }
        match self.gate.note.load(Relaxed) {
            state @ (SOUND | WRITING) => Ok(state),
            POISONED => Err(ErrorKind::Poisoned),
            _ => Err(ErrorKind::Corrupt),
        }
    }

    /// Waits until the last reader has gone, holding the gate, so that no new one comes. If that fails, the gate is given up.
    fn wait_for_readers(&self, me: Me, operation: &'static str, wait: Wait) -> Result<(), Trouble> {
        let outcome =
            self.readers.iter().take(self.used().unwrap_or(0) as usize).try_for_each(|slot| match wait {
                Wait::Not if slot.word.is_free() => Ok(()),
                Wait::Not if slot.word.names(me.tid()) => Err(Refused::OwnWord),
                Wait::Not => Err(Refused::Busy),
                Wait::For(patience) => slot.word.wait_free(me.tid(), patience),
            });
        outcome.map_err(|refused| {
            self.gate.give_up(me);
            Trouble::Failed(refusal(operation, refused, false))
        })
    }

    /// Ends writing; the next one hears of a death if `died`, or if the value was given up. Only for the writer.
    #[inline(always)]
    pub(super) fn end_writing(&self, me: Me, died: bool) {
        if !died && self.gate.note.load(Relaxed) == WRITING {
            self.gate.note.store(SOUND, Relaxed);
        }
        self.gate.give_up(me);
    }

    /// Marks the value as given up, or as in good hands again. Only for the writer.
    pub(super) fn set_poisoned(&self, poisoned: bool) {
        self.gate.note.store(if poisoned { POISONED } else { WRITING }, Relaxed);
    }

    /// From writer to reader, with no writer in between.
    pub(super) fn downgrade(&self, me: Me) -> Hold {
        self.gate.note.store(SOUND, Relaxed);
        self.step_in(me)
    }
}
