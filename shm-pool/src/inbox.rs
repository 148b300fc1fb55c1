//! The results that have arrived, each at its item's place, in whatever order they come.
//!
//! The vector that the map returns is there from the start; results are written into it where they belong, so none is moved a second time, and
//! which parts are filled is kept as a list of ranges. Where results come from is in `results.rs` and `threads.rs`.

#![allow(unsafe_code, reason = "fills a vector in any order")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::pages;

/// The results that have arrived.
pub(crate) struct Inbox<S> {
    total: usize,
    /// Has room for `total` results and, until it is given away, a length of 0. Those in `arrived` are initialised, all others are not.
    places: Vec<S>,
    /// Which items' results are there: the first of a range and the end of it. Ranges do not touch each other.
    arrived: BTreeMap<usize, usize>,
    done: usize,
    /// Items that will have no result.
    skipped: BTreeSet<usize>,
    /// Where encoded results are copied to; kept for the next ones.
    pub(crate) bytes: Vec<u8>,
}

impl<S> Inbox<S> {
    /// Makes one for the results of so many items; an error if there cannot be memory for them.
    pub(crate) fn new(total: usize) -> Result<Inbox<S>, Error> {
        let Some(places) = pages::vec_with_capacity(total) else {
            let reason = format!("{total} results of {} bytes are more than memory has", size_of::<S>());
            return Err(Error::new(ErrorKind::OutOfMemory, format!("map {total} items"), reason)
                .remedy("map fewer items at a time"));
        };
        Ok(Inbox {
            total,
            places,
            arrived: BTreeMap::new(),
            done: 0,
            skipped: BTreeSet::new(),
            bytes: Vec::new(),
        })
    }

    /// One in which all results are.
    pub(crate) fn complete(mut results: Vec<S>) -> Inbox<S> {
        let total = results.len();
        // SAFETY: 0 is not above the capacity; what is behind it is written down in `arrived`.
        unsafe { results.set_len(0) };
        let arrived = BTreeMap::from_iter((total > 0).then_some((0, total)));
        Inbox { total, places: results, arrived, done: total, skipped: BTreeSet::new(), bytes: Vec::new() }
    }

    pub(crate) fn done(&self) -> usize {
        self.done
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.done + self.skipped.len() == self.total
    }

    /// Waits no longer for the result of an item, which is missing.
    pub(crate) fn skip(&mut self, item: usize) {
        self.skipped.insert(item);
    }

    /// Gives the items back if there are any, they exist, none has arrived and none is skipped.
    pub(crate) fn free(&self, items: Range<usize>) -> Option<Range<usize>> {
        let free = !items.is_empty()
            && items.end <= self.total
            && self.skipped.range(items.clone()).next().is_none()
            && self.arrived.range(..items.end).next_back().is_none_or(|(_, end)| *end <= items.start);
        free.then_some(items)
    }

    /// Begins to take in the results of these items.
    ///
    /// # Panics
    /// If they are not [`free`](Self::free).
    pub(crate) fn fill(&mut self, items: Range<usize>) -> Filling<'_, S> {
        let items = self.free(items).expect("items that are missing");
        Filling { first: items.start, next: items.start, end: items.end, inbox: self }
    }

    /// Which of these items have not arrived and are not skipped.
    pub(crate) fn missing(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut missing = Vec::new();
        let mut next = range.start;
        if let Some((_, end)) = self.arrived.range(..=range.start).next_back() {
            next = next.max(*end);
        }
        for (start, end) in self.arrived.range(next..range.end.max(next)) {
            self.not_skipped(next..*start, &mut missing);
            next = *end;
        }
        self.not_skipped(next..range.end, &mut missing);
        missing
    }

    /// Appends what is left of a range without the items that are skipped.
    fn not_skipped(&self, range: Range<usize>, to: &mut Vec<Range<usize>>) {
        if range.is_empty() {
            return;
        }
        let mut next = range.start;
        for skipped in self.skipped.range(range.clone()) {
            if *skipped > next {
                to.push(next..*skipped);
            }
            next = skipped + 1;
        }
        if next < range.end {
            to.push(next..range.end);
        }
    }

    /// All results.
    ///
    /// # Panics
    /// If one is missing.
    pub(crate) fn into_results(mut self) -> Vec<S> {
        assert!(self.done == self.total, "results are missing");
        self.arrived.clear();
        let mut all = std::mem::take(&mut self.places);
        // SAFETY: as many results as there are items have arrived, each at a place of its own below `total`, so all places up to there are
        // initialised; the capacity is at least that. `arrived` is empty, so nobody else drops them.
        unsafe { all.set_len(self.total) };
        all
    }

    /// What has arrived, in the order of the items, and nothing for those that are skipped.
    pub(crate) fn into_partial(self) -> Vec<Option<S>> {
        let mut partial = Vec::with_capacity(self.total);
        let total = self.total;
        for (item, result) in self.into_finished() {
            partial.resize_with(item, || None);
            partial.push(Some(result));
        }
        partial.resize_with(total, || None);
        partial
    }

    /// What has arrived, with the items' indices.
    pub(crate) fn into_finished(mut self) -> Vec<(usize, S)> {
        let mut finished = Vec::with_capacity(self.done);
        for (start, end) in std::mem::take(&mut self.arrived) {
            // SAFETY: the places of a range that had arrived are initialised; it is not in `arrived` any more, so each is read once and not dropped there.
            finished
                .extend((start..end).map(|item| (item, unsafe { self.places.as_ptr().add(item).read() })));
        }
        finished
    }
}

impl<S> Drop for Inbox<S> {
    fn drop(&mut self) {
        for (start, end) in std::mem::take(&mut self.arrived) {
            let range =
                std::ptr::slice_from_raw_parts_mut(self.places.as_mut_ptr().wrapping_add(start), end - start);
            // SAFETY: the places of a range that has arrived are initialised, lie inside the vector's memory, and are not in `arrived` any more.
            unsafe { range.drop_in_place() };
        }
    }
}

/// Takes in the results of consecutive items; what was taken in stays, whenever this ends.
pub(crate) struct Filling<'a, S> {
    inbox: &'a mut Inbox<S>,
    first: usize,
    next: usize,
    end: usize,
}

impl<S> Filling<'_, S> {
    /// The items whose results are to come.
    pub(crate) fn rest(&self) -> Range<usize> {
        self.next..self.end
    }

    /// Takes in the result of the next one.
    ///
    /// # Panics
    /// If all are there.
    #[inline]
    pub(crate) fn push(&mut self, result: S) {
        assert!(self.next < self.end);
        // SAFETY: the place is below `total`, for which the vector has room, and is not initialised: `fill` has looked, and the inbox is borrowed since.
        unsafe { self.inbox.places.as_mut_ptr().add(self.next).write(result) };
        self.next += 1;
    }
}

impl<S> Drop for Filling<'_, S> {
    fn drop(&mut self) {
        if self.first == self.next {
            return;
        }
        let inbox = &mut *self.inbox;
        inbox.done += self.next - self.first;
        let end = inbox.arrived.remove(&self.next).unwrap_or(self.next);
        match inbox.arrived.range_mut(..self.first).next_back() {
            Some((_, before)) if *before == self.first => *before = end,
            _ => drop(inbox.arrived.insert(self.first, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    fn fill<S>(inbox: &mut Inbox<S>, items: Range<usize>, result: impl Fn(usize) -> S) {
        let mut filling = inbox.fill(items);
        for item in filling.rest() {
            filling.push(result(item));
        }
    }

    proptest! {
        /// Pieces of any lengths in any order, and some items skipped.
        #[test]
        fn results_come_in_any_order_and_leave_in_input_order(
            pieces in prop::collection::vec((0u32..1000, 1usize..5, any::<bool>()), 1..40),
        ) {
            let mut next = 0;
            let mut ranges: Vec<_> = pieces.iter().map(|(order, len, skip)| {
                next += len;
                (*order, next - len..next, *skip)
            }).collect();
            ranges.sort_by_key(|(order, ..)| *order);
            let token = Rc::new(());
            let mut inbox = Inbox::new(next).unwrap();
            let mut state = vec![None; next]; // nothing yet, skipped or arrived
            for (_, range, skip) in ranges {
                prop_assert_eq!(inbox.free(range.clone()), Some(range.clone()));
                if skip {
                    range.clone().for_each(|item| inbox.skip(item));
                } else {
                    fill(&mut inbox, range.clone(), |item| (item, token.clone()));
                }
                range.clone().for_each(|item| state[item] = Some(skip));
                prop_assert_eq!(inbox.free(range), None);
                prop_assert_eq!(inbox.done(), state.iter().filter(|s| **s == Some(false)).count());
                prop_assert_eq!(inbox.is_complete(), state.iter().all(Option::is_some));
                let missing: Vec<usize> = inbox.missing(0..next).into_iter().flatten().collect();
                let expected: Vec<usize> = (0..next).filter(|item| state[*item].is_none()).collect();
                prop_assert_eq!(missing, expected);
                prop_assert_eq!(Rc::strong_count(&token), inbox.done() + 1);
            }
            let partial = inbox.into_partial();
            prop_assert_eq!(partial.len(), next);
            for (item, found) in partial.iter().enumerate() {
                prop_assert_eq!(found.as_ref().map(|found| found.0), (state[item] == Some(false)).then_some(item));
            }
            drop(partial);
            prop_assert_eq!(Rc::strong_count(&token), 1);
        }
    }

    #[test]
    fn what_came_before_a_panic_is_kept_and_dropped_once() {
        let token = Rc::new(());
        let mut inbox = Inbox::new(10).unwrap();
        fill(&mut inbox, 6..8, |_| token.clone());
        let panics = std::panic::AssertUnwindSafe(|| {
            fill(&mut inbox, 2..5, |item| if item == 4 { panic!() } else { token.clone() });
        });
        std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!((inbox.done(), inbox.missing(1..10)), (4, vec![1..2, 4..6, 8..10]));
        assert_eq!(Rc::strong_count(&token), 5);
        drop(inbox);
        assert_eq!(Rc::strong_count(&token), 1);
    }

    #[test]
    fn all_of_them_are_the_vector_itself() {
        let mut inbox = Inbox::new(4).unwrap();
        fill(&mut inbox, 2..4, |i| i.to_string());
        fill(&mut inbox, 0..2, |i| i.to_string());
        assert_eq!(inbox.into_results(), ["0", "1", "2", "3"]);
        let mut nothing = Inbox::new(usize::MAX).unwrap();
        fill(&mut nothing, 0..1_000_000, |_| ());
        assert_eq!(nothing.done(), 1_000_000);
        assert!(nothing.missing(0..usize::MAX).into_iter().eq(std::iter::once(1_000_000..usize::MAX)));
    }

    #[test]
    fn more_results_than_memory_has_are_an_error() {
        for total in [usize::MAX, usize::MAX / 8, 1 << 50] {
            let error = Inbox::<[u64; 4]>::new(total).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        }
    }
}
