//! The items of a map: collected before the fork, inherited by every worker, never serialised. Ranges of numbers are not even collected.

#![allow(
    unsafe_code,
    reason = "a worker moves items out of the collection that it inherited; numbers are recognised by their type"
)]

use std::any::{TypeId, type_name};
use std::mem::transmute_copy;
use std::ops::{Range, RangeInclusive};
use std::sync::{Mutex, PoisonError};

use crate::pages;

/// An iterator that promises more bytes than this may be wrong, so that its promise is not what memory is taken for.
const MOST: usize = 1 << 30;

/// Whether these are the items of a vector, which `collect` takes over as they lie there. A wrong answer costs time, no more.
fn is_vec<I: Iterator>(_items: &I) -> bool {
    type_name::<I>() == type_name::<std::vec::IntoIter<I::Item>>()
}

/// Items that forked workers take out by number, each worker from its own copy of the memory.
pub(crate) enum Items<T> {
    Stored(Vec<T>),
    /// `T` is an integer type of 8 bytes at most; the items are this many consecutive numbers from the first on, which is here as its bits.
    Counted {
        first: u64,
        len: usize,
    },
}

impl<T> Items<T> {
    pub(crate) fn collect(items: impl IntoIterator<Item = T>) -> Items<T> {
        let items = items.into_iter();
        if let Some((first, len)) = numbers(&items) {
            return Items::Counted { first, len };
        }
        let expected = items.size_hint().0;
        if is_vec(&items) || expected.saturating_mul(size_of::<T>()) > MOST {
            return Items::Stored(items.collect());
        }
        let mut all = pages::vec_with_capacity(expected).unwrap_or_default();
        all.extend(items);
        Items::Stored(all)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Items::Stored(items) => items.len(),
            Items::Counted { len, .. } => *len,
        }
    }

    /// Calls `each` for all of them, in order, with their indices: for the master.
    pub(crate) fn map_all<S>(self, mut each: impl FnMut(usize, T) -> S) -> Vec<S> {
        match self {
            Items::Stored(items) => {
                items.into_iter().enumerate().map(|(index, item)| each(index, item)).collect()
            }
            Items::Counted { len, .. } => {
                let mut all = pages::vec_with_capacity(len).unwrap_or_default();
                // SAFETY: each is taken once; numbers are not dropped.
                all.extend((0..len).map(|index| each(index, unsafe { self.take(index) })));
                all
            }
        }
    }

    /// Moves an item out without touching the collection, whose pages stay shared with the master's that way.
    ///
    /// # Safety
    /// In one process an item is taken once, and the collection is not used in another way, nor dropped, in a process that has taken one: so only in
    /// a forked child that ends by `_exit`, or where the items are numbers.
    ///
    /// # Panics
    /// If there is no item of this number.
    #[inline]
    pub(crate) unsafe fn take(&self, index: usize) -> T {
        match self {
            Items::Stored(items) => {
                let item: *const T = &items[index];
                // SAFETY: the pointer comes from a reference to an item, which by the caller's promise is still whole and will not be used again.
                unsafe { item.read() }
            }
            // SAFETY: the variant says so.
            Items::Counted { first, len } => unsafe { number(*first, *len, index) },
        }
    }
}

/// Items that threads take out by number, all from the same memory.
pub(crate) enum SharedItems<T> {
    Stored(Vec<Mutex<Option<T>>>),
    /// As in [`Items`].
    Counted {
        first: u64,
        len: usize,
    },
}

impl<T> Items<T> {
    /// Makes them fit for threads.
    pub(crate) fn share(self) -> SharedItems<T> {
        match self {
            Items::Stored(items) => {
                SharedItems::Stored(items.into_iter().map(|item| Mutex::new(Some(item))).collect())
            }
            Items::Counted { first, len } => SharedItems::Counted { first, len },
        }
    }
}

impl<T: Clone> SharedItems<T> {
    /// Takes an item out, or a copy of it, if it may be needed once more.
    ///
    /// # Panics
    /// If there is no item of this number, or no more; and if the copying does.
    #[inline]
    pub(crate) fn take(&self, index: usize, is_kept: bool) -> T {
        match self {
            // SAFETY: the variant says so.
            SharedItems::Counted { first, len } => unsafe { number(*first, *len, index) },
            SharedItems::Stored(items) => {
                // A panic of the copying leaves the item as it is.
                let mut item = items[index].lock().unwrap_or_else(PoisonError::into_inner);
                let item = if is_kept { item.clone() } else { item.take() };
                item.expect("an item is taken once")
            }
        }
    }
}

/// The item of this number, of `len` consecutive ones.
///
/// # Safety
/// `T` is an integer type of 8 bytes at most.
///
/// # Panics
/// If there is no item of this number.
#[inline]
unsafe fn number<T>(first: u64, len: usize, index: usize) -> T {
    assert!(index < len);
    let bits = first.wrapping_add(index as u64);
    // SAFETY: `T` is an integer type of this size, for which any bits are a value.
    unsafe {
        match size_of::<T>() {
            1 => transmute_copy(&(bits as u8)),
            2 => transmute_copy(&(bits as u16)),
            4 => transmute_copy(&(bits as u32)),
            8 => transmute_copy(&bits),
            _ => unreachable!("`numbers` knows no other integer types"),
        }
    }
}

/// The first item's bits and the number of items, if the iterator is a range of integers of 8 bytes at most that knows its length.
fn numbers<I: Iterator>(items: &I) -> Option<(u64, usize)> {
    macro_rules! any_of {
        ($($number:ty)*) => {
            $(
                if let Some(range) = as_a::<I, Range<$number>>(items) {
                    let len = (range.end as i128 - range.start as i128).max(0);
                    return Some((range.start as u64, usize::try_from(len).ok()?));
                }
                if let Some(range) = as_a::<I, RangeInclusive<$number>>(items) {
                    let len = if range.is_empty() { 0 } else { *range.end() as i128 - *range.start() as i128 + 1 };
                    return Some((*range.start() as u64, usize::try_from(len).ok()?));
                }
            )*
        };
    }
    any_of!(i32 u64 usize u32 i64 u8 u16 i8 i16 isize);
    None
}

/// The value, if it is of this type.
fn as_a<T, U: 'static>(value: &T) -> Option<&U> {
    // SAFETY: `U` holds no references, so a type that differs from it in lifetimes at most is `U`; the reference is valid as long as before.
    (typeid::of::<T>() == TypeId::of::<U>()).then(|| unsafe { &*std::ptr::from_ref(value).cast::<U>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the items are numbers that were not collected, and the items.
    fn all<T>(items: impl IntoIterator<Item = T>) -> (bool, Vec<T>) {
        let items = Items::collect(items);
        let counted = matches!(items, Items::Counted { .. });
        (counted, items.map_all(|_, item| item))
    }

    #[test]
    fn ranges_of_numbers_are_not_collected() {
        assert_eq!(all(3..7), (true, vec![3, 4, 5, 6]));
        assert_eq!(all(-2..=1i8), (true, vec![-2, -1, 0, 1]));
        assert_eq!(all(250..=u8::MAX), (true, (250..=255).collect()));
        assert_eq!(all(i64::MIN..i64::MIN + 2), (true, vec![i64::MIN, i64::MIN + 1]));
        assert_eq!(all(u64::MAX - 1..=u64::MAX), (true, vec![u64::MAX - 1, u64::MAX]));
        #[allow(clippy::reversed_empty_ranges, reason = "an empty range")]
        let empty = 5..2u16;
        assert_eq!(all(empty), (true, vec![]));
        let mut used_up = 4..=4u32;
        used_up.next();
        assert_eq!(all(used_up), (true, vec![]));
        assert_eq!(Items::collect(0..usize::MAX).len(), usize::MAX);
    }

    #[test]
    fn everything_else_is() {
        assert_eq!(all(0..3u128), (false, vec![0, 1, 2]));
        assert_eq!(all('a'..'d'), (false, vec!['a', 'b', 'c']));
        assert_eq!(all((0..6).step_by(2)), (false, vec![0, 2, 4]));
        assert_eq!(all(["a", "b"].iter()), (false, vec![&"a", &"b"]));
        assert_eq!(all(vec![String::from("a")]), (false, vec![String::from("a")]));
    }
}
