//! [`Schedule`]: how the items of a job are shared out to the workers; and [`Cut`], the batches that follow from it. Pure arithmetic.
//!
//! A worker takes a batch at a time, so that taking costs next to nothing for each of many tiny items. The cut depends on the schedule and the numbers of
//! items and workers alone: the master and every worker know what batch 17 is and, in a static schedule, whose it is; a claim
//! has to record nothing but who has it.

use std::ops::Range;

use crate::error::{Error, ErrorKind};

/// How items are shared out to the workers. The schedules are OpenMP's (OpenMP API Specification 5.2, section 11.5.3, "Worksharing-Loop Construct").
///
/// The default, `Guided(1)`, suits many tiny items and a few large ones alike. The others are for what it cannot know: items that are all alike
/// (`Static` takes no turns at all), neighbours that share a cache or a file (`StaticChunk`, `Dynamic` with a chunk), or items so few
/// and so different that each has to be taken when a worker is free (`Dynamic(1)`).
///
/// A chunk of 0 items is refused by the map.
///
/// ```
/// use shm_pool::{MapReduce, Schedule};
///
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let ranks = |schedule| pool.clone().schedule(schedule).map(0..6, |worker, _| worker.rank());
/// assert_eq!(ranks(Schedule::Static)?, [0, 0, 0, 1, 1, 1]);
/// assert_eq!(ranks(Schedule::StaticChunk(2))?, [0, 0, 1, 1, 0, 0]);
/// assert_eq!(ranks(Schedule::Dynamic(2))?.len(), 6); // whoever comes first
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// One contiguous share for each worker, as equal as can be, given out in advance: `schedule(static)`.
    ///
    /// If a worker ends and another takes its place, that one goes on with its share.
    Static,
    /// Chunks of so many consecutive items, given to the workers in turn and in advance: `schedule(static, chunk)`.
    StaticChunk(usize),
    /// Chunks of so many consecutive items, taken by whoever is free: `schedule(dynamic, chunk)`. OpenMP's default is a chunk of 1.
    Dynamic(usize),
    /// Batches that shrink with what is left, of so many items at least, taken by whoever is free: `schedule(guided, chunk)`. OpenMP's
    /// default is a chunk of 1.
    ///
    /// A batch is an eighth of a worker's fair share of what is left: large ones first, single items at the end, so that large items at the end still
    /// balance ("guided self-scheduling", Polychronopoulos and Kuck, 1987).
    Guided(usize),
}

impl Default for Schedule {
    /// `Guided(1)`.
    fn default() -> Schedule {
        Schedule::Guided(1)
    }
}

/// A guided batch is this fraction of a worker's fair share of what is left.
const SHARE: usize = 8;
/// Batches have numbers of 32 bits.
const MOST_BATCHES: usize = u32::MAX as usize;

/// The batches of a job.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    items: usize,
    batches: Batches,
    /// How many workers batches are given to in advance, in turn; nothing if whoever is free takes them.
    given_to: Option<usize>,
}

#[derive(Debug, Clone)]
enum Batches {
    /// So many, as equal as can be.
    Shares(usize),
    /// Of so many items each; the last one may have fewer.
    Chunks(usize),
    /// Of different lengths: the first item of each and, behind the last one, the number of items.
    Starts(Vec<usize>),
}

impl Cut {
    /// Cuts `items` for `workers` (at least 1); `operation` is for the message of an error.
    pub(crate) fn new(
        schedule: Schedule,
        items: usize,
        workers: usize,
        operation: &str,
    ) -> Result<Cut, Error> {
        schedule.check(operation)?;
        let cut = match schedule {
            Schedule::Static => {
                Cut { items, batches: Batches::Shares(workers.min(items)), given_to: Some(workers) }
            }
            Schedule::StaticChunk(chunk) => {
                Cut { items, batches: Batches::Chunks(chunk), given_to: Some(workers) }
            }
            Schedule::Dynamic(chunk) => Cut { items, batches: Batches::Chunks(chunk), given_to: None },
            Schedule::Guided(least) => Cut { items, batches: guided(items, workers, least), given_to: None },
        };
        if cut.batches() > MOST_BATCHES {
            let reason = format!("{} batches were asked for, and there may be {MOST_BATCHES}", cut.batches());
            return Err(Error::new(ErrorKind::InvalidArgument, operation, reason)
                .remedy("ask for a schedule with larger chunks"));
        }
        Ok(cut)
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn batches(&self) -> usize {
        match &self.batches {
            Batches::Shares(shares) => *shares,
            Batches::Chunks(chunk) => self.items.div_ceil(*chunk),
            Batches::Starts(starts) => starts.len() - 1,
        }
    }

    /// The items of a batch; `batch` is below [`batches`](Self::batches).
    pub(crate) fn range(&self, batch: usize) -> Range<usize> {
        match &self.batches {
            Batches::Shares(shares) => {
                // The first ones have the items that are over.
                let (len, over) = (self.items / shares, self.items % shares);
                let start = batch * len + batch.min(over);
                start..start + len + usize::from(batch < over)
            }
            Batches::Chunks(chunk) => batch * chunk..self.items.min((batch * chunk).saturating_add(*chunk)),
            Batches::Starts(starts) => starts[batch]..starts[batch + 1],
        }
    }

    /// The batches that are given to a worker in advance; nothing if whoever is free takes them.
    pub(crate) fn given_to(&self, rank: usize) -> Option<impl Iterator<Item = usize> + use<>> {
        let workers = self.given_to?;
        Some((rank..self.batches()).step_by(workers))
    }
}

impl Schedule {
    /// Says what is wrong with it, if anything is.
    pub(crate) fn check(self, operation: &str) -> Result<(), Error> {
        match self {
            Schedule::StaticChunk(0) | Schedule::Dynamic(0) | Schedule::Guided(0) => {
                let reason =
                    format!("the schedule {self:?} has chunks of 0 items, which never come to an end");
                Err(Error::new(ErrorKind::InvalidArgument, operation, reason)
                    .remedy("ask for chunks of 1 item at least"))
            }
            _ => Ok(()),
        }
    }
}

fn guided(items: usize, workers: usize, least: usize) -> Batches {
    let mut starts = vec![0];
    let mut next = 0;
    while next < items {
        let left = items - next;
        next += (left / workers.saturating_mul(SHARE)).max(least).min(left);
        starts.push(next);
    }
    Batches::Starts(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(schedule: Schedule, items: usize, workers: usize) -> Cut {
        Cut::new(schedule, items, workers, "test").unwrap()
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        let chunk = prop_oneof![1usize..40, 1usize..6000, Just(usize::MAX)];
        (0..4, chunk).prop_map(|(which, chunk)| match which {
            0 => Schedule::Static,
            1 => Schedule::StaticChunk(chunk),
            2 => Schedule::Dynamic(chunk),
            _ => Schedule::Guided(chunk),
        })
    }

    proptest! {
        #[test]
        fn batches_cover_all_items_once(schedule in schedules(), items in 0usize..5000, workers in 1usize..70) {
            let cut = cut(schedule, items, workers);
            prop_assert_eq!(cut.items(), items);
            let mut next = 0;
            for batch in 0..cut.batches() {
                let range = cut.range(batch);
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty());
                next = range.end;
            }
            prop_assert_eq!(next, items);
        }

        #[test]
        fn static_batches_belong_to_one_worker_each(schedule in schedules(), items in 0usize..5000, workers in 1usize..70) {
            let cut = cut(schedule, items, workers);
            let is_static = matches!(schedule, Schedule::Static | Schedule::StaticChunk(_));
            prop_assert!((0..workers).all(|rank| cut.given_to(rank).is_some() == is_static));
            if is_static {
                let mut given: Vec<usize> = (0..workers).flat_map(|rank| cut.given_to(rank).unwrap()).collect();
                given.sort_unstable();
                prop_assert!(given.into_iter().eq(0..cut.batches()));
            }
        }

        #[test]
        fn shares_differ_by_one_item_at_most(items in 1usize..5000, workers in 1usize..70) {
            let cut = cut(Schedule::Static, items, workers);
            prop_assert_eq!(cut.batches(), workers.min(items));
            let lens = || (0..cut.batches()).map(|batch| cut.range(batch).len());
            prop_assert!(lens().max().unwrap() - lens().min().unwrap() <= 1);
        }

        #[test]
        fn chunks_are_as_long_as_was_asked_for(chunk in 1usize..300, items in 1usize..5000, workers in 1usize..70) {
            for schedule in [Schedule::Dynamic(chunk), Schedule::StaticChunk(chunk)] {
                let cut = cut(schedule, items, workers);
                let last = cut.batches() - 1;
                prop_assert!((0..last).all(|batch| cut.range(batch).len() == chunk));
                prop_assert!(cut.range(last).len() <= chunk);
            }
        }

        #[test]
        fn guided_batches_shrink_to_the_least(least in 1usize..300, items in 1usize..5000, workers in 1usize..70) {
            let cut = cut(Schedule::Guided(least), items, workers);
            let lens: Vec<usize> = (0..cut.batches()).map(|batch| cut.range(batch).len()).collect();
            prop_assert!(lens.is_sorted_by(|a, b| a >= b));
            prop_assert!(lens[..lens.len() - 1].iter().all(|len| *len >= least));
        }
    }

    #[test]
    fn nothing_to_do() {
        for schedule in
            [Schedule::Static, Schedule::StaticChunk(3), Schedule::Dynamic(3), Schedule::default()]
        {
            let cut = cut(schedule, 0, 3);
            assert_eq!((cut.items(), cut.batches()), (0, 0));
            assert!(cut.given_to(0).is_none_or(|mut batches| batches.next().is_none()));
        }
    }

    #[test]
    fn a_first_batch_is_a_small_part_and_the_last_ones_are_single_items() {
        let cut = cut(Schedule::default(), 10_000_000, 2);
        assert_eq!(cut.range(0), 0..625_000);
        assert_eq!(cut.range(cut.batches() - 1).len(), 1);
        assert!(cut.batches() < 300);
    }

    #[test]
    fn many_small_chunks_take_no_memory_and_too_many_are_refused() {
        let most = cut(Schedule::Dynamic(1), MOST_BATCHES, 2);
        assert_eq!(most.range(MOST_BATCHES - 1), MOST_BATCHES - 1..MOST_BATCHES);
        let error = Cut::new(Schedule::Dynamic(1), MOST_BATCHES + 1, 2, "map many items").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("larger chunks"), "{error}");
        assert_eq!(cut(Schedule::Dynamic(usize::MAX), usize::MAX, 2).range(0), 0..usize::MAX);
    }

    #[test]
    fn chunks_of_nothing_are_refused() {
        for schedule in [Schedule::StaticChunk(0), Schedule::Dynamic(0), Schedule::Guided(0)] {
            let error = Cut::new(schedule, 10, 2, "map 10 items").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("chunks of 0 items"), "{error}");
        }
    }
}
