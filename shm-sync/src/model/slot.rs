//! A slot in a loom model: the real lock word, held by threads that are known by a number. What the kernel is told is the model's business.

use crate::base::word::{Acquired, Word};

/// A thread.
#[derive(Clone, Copy)]
pub(crate) struct Me(pub(crate) u32);

impl Me {
    pub(crate) fn abandon(self) {}
}

/// A lock word that threads take and give up.
pub(crate) struct Slot {
    pub(crate) word: Word,
}

impl Default for Slot {
    fn default() -> Self {
        Self { word: Word::new() }
    }
}

impl Slot {
    pub(crate) fn take_free(&self, me: Me) -> bool {
        self.word.acquire_free(me.0)
    }

    /// Takes the slot if nobody alive has it.
    pub(crate) fn try_take(&self, me: Me) -> Option<Acquired> {
        self.word.try_acquire(me.0).ok()
    }

    pub(crate) fn announce(&self, _me: Me) -> bool {
        true
    }

    pub(crate) fn give_up_by(&self, _me: Me, release: impl FnOnce()) {
        release();
    }

    pub(crate) fn give_up_as_dead(&self, _me: Me) {
        self.word.release_as_dead();
    }
}
