//! [`Batch`]: what a worker has taken, in the hands of a function that goes through it itself; and the maps of such functions.
//!
//! The other maps call a function for each item. Where that call is what takes the time, because it leads into an interpreter or has something to set up,
//! the function gets the whole batch here. How batches are taken and results are sent is `worker.rs`'s and `results.rs`'s.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::MapReduce;
use crate::control::{Control, Failure, Slot};
use crate::error::MapError;
use crate::fork::{self, DiesWith};
use crate::map::operation;
use crate::master::{Job, Outcome, Team};
use crate::recovery::Policy;
use crate::results::{Deliver, Undelivered};
use crate::skip::{Partial, SkipFailed};
use crate::state::WithState;
use crate::work::{Batched, Work};
use crate::worker::Worker;

/// Consecutive items that a worker has taken, and the place for their results; lent to the function of [`WithState::map_batches`].
///
/// The function takes an item, and gives its result at once or later, before it returns, one for each that it has taken and in their order. When it dies,
/// the item that it had taken last is the one that is blamed, and those without a result are the ones that are lost. It returns when there are no more items;
/// if it returns before, though there are, the worker fails.
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let squares = pool.with_state(|_worker| ()).map_batches(1000, |_worker, _state, batch| {
///     while let Some(item) = batch.take() {
///         batch.put(item * item);
///     }
/// }, |_index, square| square)?;
/// assert_eq!(squares[30], 900);
/// # Ok::<(), shm_pool::Error>(())
/// ```
pub struct Batch<'a, R> {
    /// Those that were not taken yet.
    items: Range<usize>,
    /// The first that has no result.
    due: usize,
    /// Who is told where an item begins and ends, in an ordered map.
    turns: Option<&'a dyn AtItem>,
    /// Nothing in a master without workers.
    home: Option<(&'a Control, &'a Slot)>,
    outbox: &'a mut dyn Deliver<R>,
    forks: u64,
    end: Result<(), Undelivered>,
}

/// Who has to know which item the function is at.
pub(crate) trait AtItem {
    fn begin_item(&self, item: usize);
    fn end_item(&self);
}

impl<R> Batch<'_, R> {
    /// Takes the next item: its number. None if there are no more, or if the workers are to stop: then the function returns, and may leave items that it has
    /// taken without results.
    ///
    /// ```
    /// # use shm_pool::MapReduce;
    /// # let pool = MapReduce::new().workers(2).threads_ok();
    /// let words = ["shared", "memory"];
    /// let lengths = pool.with_state(|_| ()).map_batches(words.len(), |_, _, batch| {
    ///     while let Some(item) = batch.take() {
    ///         batch.put(words[item].len());
    ///     }
    /// }, |_, len| len)?;
    /// assert_eq!(lengths, [6, 6]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[inline]
    pub fn take(&mut self) -> Option<usize> {
        if let Some(turns) = self.turns {
            turns.end_item();
        }
        if let Some((control, slot)) = self.home {
            self.check_process();
            if self.end.is_err() {
                return None;
            }
            if control.stopped() {
                self.end = Err(Undelivered::Stopped);
                return None;
            }
            if !self.items.is_empty() {
                slot.begin_item(self.items.start);
            }
        }
        let item = self.items.next()?;
        if let Some(turns) = self.turns {
            turns.begin_item(item);
        }
        Some(item)
    }

    /// Gives the result of the first item that has been taken and has none.
    ///
    /// # Panics
    /// If all have one.
    ///
    /// ```
    /// # use shm_pool::MapReduce;
    /// # let pool = MapReduce::new().workers(2).threads_ok();
    /// // All results of a batch at once, at its end.
    /// let doubled = pool.with_state(|_| Vec::new()).map_batches(100, |_, found: &mut Vec<usize>, batch| {
    ///     while let Some(item) = batch.take() {
    ///         found.push(2 * item);
    ///     }
    ///     found.drain(..).for_each(|result| batch.put(result));
    /// }, |_, result| result)?;
    /// assert_eq!(doubled[99], 198);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[inline]
    pub fn put(&mut self, result: R) {
        assert!(self.due < self.items.start, "a result was given, and no item that was taken is without one");
        if self.home.is_some() {
            self.check_process();
        }
        if self.end.is_err() {
            return; // nobody waits for it any more
        }
        if let Err(error) = self.outbox.put(self.due, result) {
            if let (Undelivered::Failed(_), Some((_, slot))) = (&error, self.home) {
                slot.begin_item(self.due); // that one is to blame
            }
            self.end = Err(error);
        }
        self.due += 1;
    }

    /// Returns how many items were taken and have no result yet.
    ///
    /// ```
    /// # use shm_pool::MapReduce;
    /// # let pool = MapReduce::new().workers(1).threads_ok();
    /// pool.with_state(|_| ()).map_batches(1, |_, _, batch| {
    ///     assert_eq!(batch.due(), 0);
    ///     batch.take();
    ///     assert_eq!(batch.due(), 1);
    ///     batch.put(());
    /// }, |_, _| ())?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn due(&self) -> usize {
        self.items.start - self.due
    }

    /// Sends the results that were given: those of items that take long, before the next one begins. They are also sent at the end of a batch, and when there
    /// are many.
    ///
    /// ```
    /// # use shm_pool::MapReduce;
    /// # let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.with_state(|_| ()).map_batches(4, |_, _, batch| {
    ///     while let Some(item) = batch.take() {
    ///         batch.put(item);
    ///         batch.send(); // whoever waits has it now
    ///     }
    /// }, |_, _| ())?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn send(&mut self) {
        if self.home.is_some() {
            self.check_process();
        }
        if self.end.is_ok() {
            self.end = self.outbox.send();
        }
    }

    /// A copy that the function has forked, and that came back from it, must not send results a second time.
    #[inline]
    fn check_process(&self) {
        if shm_core::fork_count() != self.forks {
            fork::vanish(0);
        }
    }

    /// Lends a batch to the function, and says what became of it.
    pub(crate) fn lend(
        items: Range<usize>,
        home: Option<(&Control, &Slot)>,
        worker: &Worker,
        outbox: &mut dyn Deliver<R>,
        work: &impl Work<usize, R>,
    ) -> Result<(), Undelivered> {
        let turns = worker.is_ordered().then_some(worker as &dyn AtItem);
        let (due, forks) = (items.start, shm_core::fork_count());
        let mut batch = Batch { items, due, turns, home, outbox, forks, end: Ok(()) };
        work.batch(worker, &mut batch);
        if let Some(turns) = turns {
            turns.end_item();
        }
        batch.check_process();
        let (left, due) = (batch.items.len(), batch.due());
        match batch.end {
            Ok(()) if left > 0 || due > 0 => Err(Undelivered::Failed(Failure::Broken(format!(
                "the function returned from a batch that had {left} items left, with {due} results missing"
            )))),
            Ok(()) => Ok(()),
            Err(Undelivered::Stopped) => {
                outbox.send()?;
                Err(Undelivered::Stopped)
            }
            Err(failed) => Err(failed),
        }
    }
}

impl<R> std::fmt::Debug for Batch<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("items", &self.items).field("due", &self.due()).finish_non_exhaustive()
    }
}

/// Where results go in a master without workers.
struct Here<'a, S, G> {
    reduce: G,
    results: Vec<S>,
    progress: &'a dyn Fn(usize),
}

impl<R, S, G: FnMut(usize, R) -> S> Deliver<R> for Here<'_, S, G> {
    fn put(&mut self, item: usize, result: R) -> Result<(), Undelivered> {
        self.results.push((self.reduce)(item, result));
        (self.progress)(item + 1);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Undelivered> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), Undelivered> {
        Ok(())
    }
}

impl<P: Fn(usize, usize)> MapReduce<P> {
    /// The map behind both fronts.
    fn batches_outcome<R: Serialize + DeserializeOwned, S>(
        &self,
        policy: Policy,
        items: usize,
        work: impl Work<usize, R>,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let (operation, workers) = (operation(items), self.worker_count());
        let (schedule, forking) = (self.checked_schedule(&operation)?, self.forking(DiesWith::Thread));
        if self.is_serial(items) {
            let progress = |done| self.tell_progress(done, items);
            let mut here = Here { reduce, results: Vec::new(), progress: &progress };
            if items > 0 {
                let left = Batch::lend(0..items, None, &Worker::master(self.ordered), &mut here, &work);
                if let Err(Undelivered::Failed(Failure::Broken(why))) = left {
                    panic!("{why}");
                }
                work.end();
            }
            return Ok(Outcome::serial(here.results));
        }
        let (ordered, kept, kind) = (self.ordered, false, self.items_for_themselves());
        let job = Job { operation, items, kind, workers, schedule, ordered, kept, policy, forking };
        Team::fork(job, &work)?.run(&work, reduce, |done| self.tell_progress(done, items))
    }
}

impl<P: Fn(usize, usize), S, I: Fn(&Worker) -> S> WithState<&MapReduce<P>, I> {
    /// Calls `work` in the workers with whole batches of the items 0 to `items` - 1 and the worker's state, and `reduce` in the master, as
    /// [`MapReduce::map_reduce`] does.
    ///
    /// For functions that are dear to enter: that of an interpreter, or one that computes many items at once. How large batches are says the
    /// [`schedule`](MapReduce::schedule). With 0 workers there is one batch.
    ///
    /// # Errors
    /// As [`MapReduce::map_reduce`]; [`Segment`](crate::ErrorKind::Segment) also if the function returns from a batch before its end.
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let (pool, mut sum) = (MapReduce::new().workers(2).threads_ok(), 0);
    /// pool.with_state(|_worker| ()).map_batches(1000, |_worker, _state, batch| {
    ///     while let Some(item) = batch.take() {
    ///         batch.put(item);
    ///     }
    /// }, |_index, item| sum += item)?;
    /// assert_eq!(sum, 499_500);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_batches<R, U, F, G>(self, items: usize, work: F, reduce: G) -> Result<Vec<U>, MapError<U>>
    where
        F: Fn(&Worker, &mut S, &mut Batch<R>),
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> U,
    {
        let (maps, work) = (self.maps, Batched::new(self.init, work));
        Ok(maps.batches_outcome(maps.policy(), items, work, reduce)?.into_results())
    }
}

impl<P: Fn(usize, usize), S, I: Fn(&Worker) -> S> WithState<SkipFailed<'_, P>, I> {
    /// Calls `work` with whole batches, as the function of that name without [`skip_failed`](MapReduce::skip_failed) does, and skips the items that fail.
    ///
    /// # Errors
    /// As [`SkipFailed::map`].
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().with_state(|_| ()).map_batches(100, |_, _, batch| {
    ///     while let Some(item) = batch.take() {
    ///         assert_ne!(item, 7);
    ///         batch.put(item);
    ///     }
    /// }, |_, item| item)?;
    /// assert_eq!(found.skipped().collect::<Vec<_>>(), [7]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_batches<R, U, F, G>(self, items: usize, work: F, reduce: G) -> Result<Partial<U>, MapError<U>>
    where
        F: Fn(&Worker, &mut S, &mut Batch<R>),
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> U,
    {
        let (maps, work) = (self.maps, Batched::new(self.init, work));
        Ok(maps.0.batches_outcome(maps.policy(), items, work, reduce)?.into_partial())
    }
}
