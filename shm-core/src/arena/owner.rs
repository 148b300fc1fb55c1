//! Who owns blocks: slots, incarnations, and who is dead.
//!
//! An owner is a slot of the owner table and an incarnation. Whoever lives in a slot holds the slot's lock (FORMAT.md,
//! section 4), which the kernel drops when the process dies; a slot word is written only under that lock, except by
//! `forget`, whose caller knows that the owner is dead. Each registration counts the incarnation up, so the name of a
//! dead owner never comes to mean a living one (within 2^19 registrations in one slot without a reclaim).
//!
//! Reclaiming first decides who is dead and then looks at chunks and blocks. Everything that a dead owner ever wrote
//! was therefore written before the look began; the rule about uncovered tails in `run.rs` rests on this. Owners that
//! register or die later are taken for alive.

use rustix::io::Errno;

use super::format::{Geometry, INCARNATION_MASK, OwnerId, SLOTS, SlotWord};
use super::heap::Heap;

/// Locks on owner slots, as the kernel keeps them for one open file description. No call waits.
///
/// Each registration has a description of its own: threads that share one cannot exclude each other with it, and
/// `settle` would give away the lock of an owner that registered on the same description meanwhile.
pub(super) trait SlotLocks {
    /// Takes the lock of a slot and says whether it got it; taking it twice is as good as once.
    fn try_lock(&self, slot: u32) -> Result<bool, Errno>;
    /// Gives the lock of a slot back.
    fn unlock(&self, slot: u32) -> Result<(), Errno>;
}

/// The owners that were dead when this list was made.
#[derive(Debug)]
pub(super) struct Dead {
    /// By slot: the last incarnation that is dead.
    last: Vec<u32>,
    /// Slots that are locked by us because their owner was found dead, with their word.
    locked: Vec<(u32, u64)>,
    /// If set, the only owner on the list.
    only: Option<OwnerId>,
}

impl Dead {
    /// Nobody but this owner.
    pub(super) fn only(owner: OwnerId) -> Self {
        Self { last: Vec::new(), locked: Vec::new(), only: Some(owner) }
    }

    /// Whether an owner is on the list. A slot number that no program writes is.
    pub(super) fn contains(&self, owner: OwnerId) -> bool {
        if self.only.is_some() {
            return self.only == Some(owner);
        }
        let Some(slot) = owner.slot() else { return false };
        let Some(last) = self.last.get(slot as usize) else { return true };
        // Serial numbers: at most half a circle behind the last dead one.
        last.wrapping_sub(owner.incarnation()) & INCARNATION_MASK <= INCARNATION_MASK / 2
    }

    /// Number of owners found dead and not yet settled.
    pub(super) fn owners(&self) -> usize {
        self.locked.len() + usize::from(self.only.is_some())
    }
}

impl Heap {
    pub(super) fn slot(&self, slot: u32) -> SlotWord {
        SlotWord::decode(self.region.word(Geometry::slot_word_at(slot)).load())
    }

    /// Takes a slot: a vacant one if possible, else that of a dead owner. `None` if 1 024 owners live.
    pub(super) fn register(&self, locks: &impl SlotLocks, pid: u32) -> Result<Option<OwnerId>, Errno> {
        for of_the_dead in [false, true] {
            for slot in 0..SLOTS {
                if self.slot(slot).used != of_the_dead || !locks.try_lock(slot)? {
                    continue;
                }
                let before = self.slot(slot);
                if before.used && !of_the_dead {
                    // Somebody registered and died in the meantime: leave that to the second round.
                    locks.unlock(slot)?;
                    continue;
                }
                let incarnation = (before.incarnation + 1) & INCARNATION_MASK;
                let now = SlotWord { used: true, incarnation, pid };
                self.region.word(Geometry::slot_word_at(slot)).store(now.encode());
                return Ok(Some(OwnerId::new(slot, incarnation)));
            }
        }
        Ok(None)
    }

    /// Vacates the slot of an owner that leaves or is known to be dead. What it still owns counts as left behind.
    pub(super) fn forget(&self, owner: OwnerId) {
        let Some(slot) = owner.slot() else { return };
        let word = self.region.word(Geometry::slot_word_at(slot));
        let seen = word.load();
        let slot = SlotWord::decode(seen);
        if slot.used && slot.incarnation == owner.incarnation() {
            // If this fails, then because somebody else has vacated the slot.
            word.change(seen, SlotWord { used: false, ..slot }.encode());
        }
    }

    /// Whether this owner is registered, as far as the table knows: it may have died.
    pub(super) fn is_registered(&self, owner: OwnerId) -> bool {
        owner.slot().filter(|&slot| slot < SLOTS).is_some_and(|slot| {
            let slot = self.slot(slot);
            slot.used && slot.incarnation == owner.incarnation()
        })
    }

    /// Everybody who is registered, dead or alive.
    pub(super) fn registered(&self) -> impl Iterator<Item = OwnerId> {
        (0..SLOTS).filter_map(|slot| {
            let word = self.slot(slot);
            word.used.then(|| OwnerId::new(slot, word.incarnation))
        })
    }

    /// Lists everybody who is dead now, and locks the slots that they left in use.
    pub(super) fn find_dead(&self, locks: &impl SlotLocks, me: OwnerId) -> Result<Dead, Errno> {
        let mut dead = Dead { last: Vec::with_capacity(SLOTS as usize), locked: Vec::new(), only: None };
        for slot in 0..SLOTS {
            let mut word = self.slot(slot);
            if word.used && me.slot() != Some(slot) {
                match locks.try_lock(slot) {
                    Ok(false) => {}
                    Ok(true) => {
                        // Under the lock the word stands still.
                        word = self.slot(slot);
                        dead.locked.push((slot, word.encode()));
                        word.used = false;
                    }
                    Err(error) => {
                        self.settle(dead, locks, false);
                        return Err(error);
                    }
                }
            }
            let alive = u32::from(word.used);
            dead.last.push(word.incarnation.wrapping_sub(alive) & INCARNATION_MASK);
        }
        Ok(dead)
    }

    /// Gives back the locks on the slots of the dead, and vacates the slots if all that they owned is `freed`.
    pub(super) fn settle(&self, dead: Dead, locks: &impl SlotLocks, freed: bool) {
        for (slot, word) in dead.locked {
            if freed {
                let vacant = SlotWord { used: false, ..SlotWord::decode(word) };
                self.region.word(Geometry::slot_word_at(slot)).change(word, vacant.encode());
            }
            // A lock that stays until our descriptor is closed only keeps a slot from being used.
            let _ = locks.unlock(slot);
        }
        if let Some(owner) = dead.only.filter(|_| freed) {
            self.forget(owner);
        }
    }
}
