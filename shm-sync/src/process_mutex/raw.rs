//! The bytes of a process mutex: the owner word, and a slot for every process that uses it.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | owner word | see `word` |
//! | 4 | next ticket | see `word` |
//! | 8 | identity | see `handle`; its parameter is the number of slots |
//! | 16 | state | 0 sound, 1 poisoned; changed by the holder only |
//! | 20 | | 0 |
//! | 24 | name | a number that tells this mutex from others, for condition variables; 0 until one needs it |
//! | 32 | | 0 |
//! | 64 | slots | 64 bytes each, see `seat` |
//!
//! All zero is a sound, free, never used mutex. Waiting is `word`'s business, getting a slot `seat`'s, the processes behind the slots `holder`'s.

use super::holder;
use super::word::{Fate, Holders, OwnerWord, View};
use crate::base::atomics::AtomicU32 as Word;
use crate::base::futex::Deadline;
use crate::base::gate::Pending;
use crate::base::robust::Me;
use crate::base::slot::{Slot, Wait};
use crate::base::word::{Acquired, owner};
use crate::error::ErrorKind;
use crate::handle::{Kind, Raw};
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// How many processes can use one mutex at a time: what fits into a page.
pub(crate) const SLOTS: usize = 63;

/// Nothing is wrong with what the lock guards.
const SOUND: u32 = 0;
/// A successor of a dead holder gave up what the lock guards.
const POISONED: u32 = 1;

/// See the head of this file.
#[repr(C, align(64))]
pub(crate) struct RawProcessMutex {
    pub(crate) owner: OwnerWord,
    identity: AtomicU64,
    state: AtomicU32,
    pub(crate) name: AtomicU64,
    pub(crate) slots: [Slot; SLOTS],
}

const _: () = {
    assert!(offset_of!(RawProcessMutex, owner) == 0 && offset_of!(RawProcessMutex, identity) == 8);
    assert!(offset_of!(RawProcessMutex, state) == 16 && offset_of!(RawProcessMutex, name) == 24);
    assert!(offset_of!(RawProcessMutex, slots) == 64);
    assert!(size_of::<RawProcessMutex>() == 4096);
};

impl Raw for RawProcessMutex {
    const KIND: Kind = Kind::PROCESS_MUTEX;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

impl RawProcessMutex {
    pub(crate) const IDENTITY: u64 = Kind::PROCESS_MUTEX.identity(SLOTS as u32);

    /// The slot with this number, as found in shared pages.
    #[inline(always)]
    pub(crate) fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)
    }

    /// Whether the lock may be used. Only for the holder.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        if self.state.load(Relaxed) == SOUND && self.identity.load(Relaxed) == Self::IDENTITY {
            Ok(())
        } else {
            Err(self.damage())
        }
    }

    #[cold]
    fn damage(&self) -> ErrorKind {
        match (self.state.load(Relaxed), self.identity.load(Relaxed)) {
            (POISONED, Self::IDENTITY) => ErrorKind::Poisoned,
            _ => ErrorKind::Corrupt,
        }
    }

    /// Marks what the lock guards as given up, or as sound again. Only for the holder.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        // Published to the next holder by the release of the word.
        self.state.store(if poisoned { POISONED } else { SOUND }, Relaxed);
    }

    /// Whether whoever locks next gets news or an error: a look from outside, at any time. The death of the holder's process shows when all of it
    /// has ended.
    pub(crate) fn is_in_trouble(&self) -> bool {
        let is_dead =
            |slot: &Slot| owner(slot.word.watch().load(Relaxed)).is_none() && holder::Notes(slot).is_dead();
        let held_by_dead = match self.owner.view() {
            View::Free => self.owner.has_news(),
            View::Held(number) => self.slot(number).is_none_or(is_dead),
            View::Damaged => true,
        };
        held_by_dead || self.check().is_err()
    }

    /// Whether the owner word names this slot.
    pub(crate) fn names(&self, number: u32) -> bool {
        self.owner.view() == View::Held(number)
    }
}

/// What a waiter knows of the slots.
pub(crate) struct Slots<'a> {
    pub(crate) raw: &'a RawProcessMutex,
    pub(crate) me: Me,
}

impl Holders for Slots<'_> {
    fn word(&self, slot: u32) -> Option<&Word> {
        Some(self.raw.slot(slot)?.word.watch())
    }

    fn fate(&self, slot: u32, turn: u32, until: Option<Deadline>) -> Fate {
        self.raw.slot(slot).map_or(Fate::Vacant, |slot| holder::fate(slot, turn, until))
    }

    fn succeed(&self, number: u32, inherit: impl FnOnce()) {
        let Some(slot) = self.raw.slot(number) else { return };
        if let Some(dead) = take_dead(slot, self.me) {
            inherit();
            dead.clear();
            slot.give_up(self.me);
        }
        // Taking the slot has named it to the kernel instead.
        self.me.name(self.raw.owner.futex());
    }
}

/// Takes the slot of a dead process. As nobody else can take it meanwhile, what is judged here stays true.
pub(crate) fn take_dead(slot: &Slot, me: Me) -> Option<holder::Notes<'_>> {
    let notes = holder::Notes(slot);
    if owner(slot.word.watch().load(Relaxed)).is_some() || !notes.is_dead() {
        return None;
    }
    let taken = slot.take("succeed a dead process", Wait::Not).ok()?;
    if notes.is_dead() {
        return Some(notes);
    }
    give_back(slot, me, taken.acquired);
    None
}

/// Undoes the taking of a slot that turned out to be somebody else's.
pub(crate) fn give_back(slot: &Slot, me: Me, acquired: Acquired) {
    match acquired {
        Acquired::Clean => slot.give_up(me),
        Acquired::OwnerDied => slot.give_up_as_dead(me),
    }
}
