//! The items of a map: collected before the fork, inherited by every worker, never serialised.

#![allow(unsafe_code, reason = "a worker moves items out of the collection that it inherited")]

/// Items that forked workers take out by number, each worker from its own copy of the memory.
pub(crate) struct Items<T>(Vec<T>);

impl<T> Items<T> {
    pub(crate) fn collect(items: impl IntoIterator<Item = T>) -> Items<T> {
        Items(items.into_iter().collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in order, for the master.
    pub(crate) fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// Moves an item out without touching the collection, whose pages stay shared with the master's that way.
    ///
    /// # Safety
    /// In one process an item is taken once, and the collection is not used in another way, nor dropped, in a process that has taken one: so only in
    /// a forked child that ends by `_exit`.
    ///
    /// # Panics
    /// If there is no item of this number.
    pub(crate) unsafe fn take(&self, index: usize) -> T {
        let item: *const T = &self.0[index];
        // SAFETY: the pointer comes from a reference to an item, which by the caller's promise is still whole and will not be used again.
        unsafe { item.read() }
    }
}
