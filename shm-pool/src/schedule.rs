//! How the items of a job are cut into batches: large ones first, single items at the end. Pure arithmetic.
//!
//! A worker takes a batch at a time, so that taking costs next to nothing for each of many tiny items; the batches shrink with
//! what is left, so that large items at the end still balance ("guided self-scheduling", Polychronopoulos and Kuck, 1987). The cut depends on the
//! number of items and workers alone: the master and every worker know what batch 17 is, and a claim has to record nothing but who has it.

use std::ops::Range;

/// A batch is this fraction of a worker's fair share of what is left.
const SHARE: usize = 8;

/// The batches of a job.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// First item of each batch, and behind the last one the number of items.
    starts: Vec<usize>,
}

impl Schedule {
    /// Cuts `items` for `workers` (at least 1).
    pub(crate) fn guided(items: usize, workers: usize) -> Schedule {
        let mut starts = vec![0];
        let mut next = 0;
        while next < items {
            next += ((items - next) / workers.saturating_mul(SHARE)).max(1);
            starts.push(next);
        }
        Schedule { starts }
    }

    pub(crate) fn items(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    pub(crate) fn batches(&self) -> usize {
        self.starts.len() - 1
    }

    /// The items of a batch; `batch` is below [`batches`](Self::batches).
    pub(crate) fn range(&self, batch: usize) -> Range<usize> {
        self.starts[batch]..self.starts[batch + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_cover_all_items_once_and_shrink(items in 0usize..5000, workers in 1usize..70) {
            let schedule = Schedule::guided(items, workers);
            prop_assert_eq!(schedule.items(), items);
            let mut next = 0;
            let mut before = usize::MAX;
            for batch in 0..schedule.batches() {
                let range = schedule.range(batch);
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty() && range.len() <= before);
                (next, before) = (range.end, range.len());
            }
            prop_assert_eq!(next, items);
        }
    }

    #[test]
    fn nothing_to_do() {
        let schedule = Schedule::guided(0, 3);
        assert_eq!((schedule.items(), schedule.batches()), (0, 0));
    }

    #[test]
    fn a_first_batch_is_a_small_part_and_the_last_ones_are_single_items() {
        let schedule = Schedule::guided(10_000_000, 2);
        assert_eq!(schedule.range(0), 0..625_000);
        assert_eq!(schedule.range(schedule.batches() - 1).len(), 1);
        assert!(schedule.batches() < 300);
    }
}
