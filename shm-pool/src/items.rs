//! The items of a map: collected before the fork, inherited by every worker, never serialised.

#![allow(unsafe_code, reason = "a worker moves items out of the collection that it inherited")]

use std::any::type_name;

use crate::pages;

/// An iterator that promises more bytes than this may be wrong, so that its promise is not what memory is taken for.
const MOST: usize = 1 << 30;

/// Whether these are the items of a vector, which `collect` takes over as they lie there. A wrong answer costs time, no more.
fn is_vec<I: Iterator>(_items: &I) -> bool {
    type_name::<I>() == type_name::<std::vec::IntoIter<I::Item>>()
}

/// Items that forked workers take out by number, each worker from its own copy of the memory.
pub(crate) struct Items<T>(Vec<T>);

impl<T> Items<T> {
    pub(crate) fn collect(items: impl IntoIterator<Item = T>) -> Items<T> {
        let items = items.into_iter();
        let expected = items.size_hint().0;
        if is_vec(&items) || expected.saturating_mul(size_of::<T>()) > MOST {
            return Items(items.collect());
        }
        let mut all = pages::vec_with_capacity(expected);
        all.extend(items);
        Items(all)
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
