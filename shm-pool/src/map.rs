//! The maps: one run over items or over chunks of an array, by workers that are forked for it.

#![allow(unsafe_code, reason = "takes items, each once, in workers")]

use bytemuck::Pod;
use ndarray::Dimension;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::{Element, Exclusive};

use crate::builder::MapReduce;
use crate::crew::{Crew, Lent, on_chunks};
use crate::error::{Error, MapError};
use crate::fork::DiesWith;
use crate::items::Items;
use crate::master::{Job, Outcome, Team};
use crate::recovery::Policy;
use crate::wire::{Pack, Plain, Unpack};
use crate::work::{Around, Work};
use crate::worker::Worker;

impl<P: Fn(usize, usize)> MapReduce<P> {
    /// Calls `work` for each item in forked workers and returns the results in the order of the items.
    ///
    /// The items are collected before the fork. No items, no fork. Blocks until all results are there and the workers have ended; signals do not end
    /// the wait, and their handlers run in the meantime.
    ///
    /// # Errors
    /// [`MapError`] with the results that were finished, and one of these kinds:
    /// [`Panicked`](crate::ErrorKind::Panicked) and [`Died`](crate::ErrorKind::Died) name worker and item;
    /// [`Encode`](crate::ErrorKind::Encode), [`Decode`](crate::ErrorKind::Decode), [`OutOfMemory`](crate::ErrorKind::OutOfMemory) concern a result;
    /// [`Fork`](crate::ErrorKind::Fork) names the limit; [`Segment`](crate::ErrorKind::Segment). All workers are gone when it returns.
    ///
    /// # Panics
    /// If the iterator panics, or `progress`; with 0 workers also if `work` does.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let words = ["shared", "memory"];
    /// let lengths = MapReduce::new().workers(2).threads_ok().map(words, |_worker, word| word.len())?;
    /// assert_eq!(lengths, [6, 6]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<I, R, F>(&self, items: I, work: F) -> Result<Vec<R>, MapError<R>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Serialize + DeserializeOwned,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item in forked workers, and `reduce` in the master with the index of the item and the result, as results arrive.
    ///
    /// `reduce` runs in the calling thread only, so it may change what it borrows (counters, sums); the order in which it is called is
    /// that of arrival. What it returns is returned in the order of the items. It is otherwise as [`map`](MapReduce::map).
    ///
    /// # Errors
    /// As [`map`](MapReduce::map); finished results are what `reduce` returned.
    ///
    /// # Panics
    /// As [`map`](MapReduce::map), and if `reduce` does: the workers are ended first.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let mut total = 0;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.map_reduce(1..=100u64, |_worker, i| i * i, |_index, square| total += square)?;
    /// assert_eq!(total, 338_350);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<I, R, S, F, G>(&self, items: I, work: F, reduce: G) -> Result<Vec<S>, MapError<S>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> S,
    {
        Ok(self.outcome(self.policy(), items, work, reduce)?.into_results())
    }

    /// The map behind all fronts.
    pub(crate) fn outcome<I: IntoIterator, R: Serialize + DeserializeOwned, S>(
        &self,
        policy: Policy,
        items: I,
        work: impl Work<I::Item, R>,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let items = Items::collect(items);
        self.checked_schedule(&operation(items.len()))?;
        if self.is_serial(items.len()) {
            return Ok(self.in_master(items, work, reduce));
        }
        self.forked(policy, items, work, reduce)
    }

    /// Works on the items in this thread.
    pub(crate) fn in_master<T, R, S>(
        &self,
        items: Items<T>,
        work: impl Work<T, R>,
        mut reduce: impl FnMut(usize, R) -> S,
    ) -> Outcome<S> {
        let total = items.len();
        let worker = Worker::master(self.ordered);
        Outcome::serial(items.map_all(|index, item| {
            let result = worker.at_item(index, || work.call(&worker, item));
            let reduced = reduce(index, result);
            self.tell_progress(index + 1, total);
            reduced
        }))
    }

    /// Works on the items (1 at least) in forked workers.
    fn forked<T, R: Pack + Unpack, S>(
        &self,
        policy: Policy,
        items: Items<T>,
        work: impl Work<T, R>,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let total = items.len();
        let call = |worker: &Worker, index| {
            // SAFETY: this runs in forked workers only, in each of them once for an item at most (`Team::fork`: a second try is another process's). They
            // end by `_exit`, so nothing there drops the items, and nothing else uses them.
            let item = unsafe { items.take(index) };
            work.call(worker, item)
        };
        let (operation, workers) = (operation(total), self.worker_count());
        let work = Around { call, end: || work.end() };
        let (schedule, forking) = (self.checked_schedule(&operation)?, self.forking(DiesWith::Thread));
        let (ordered, kept, kind) = (self.ordered, false, self.items_for_themselves());
        let job = Job { operation, items: total, kind, workers, schedule, ordered, kept, policy, forking };
        Team::fork(job, &work)?.run(&work, reduce, |done| self.tell_progress(done, total))
    }

    /// Calls `work` for each item in forked workers, for results that are plain numbers or structures of such: they travel as the bytes that they are,
    /// without being serialised, which is the quicker way for many tiny items. It is otherwise as [`map`](MapReduce::map).
    ///
    /// [`Pod`] is bytemuck's: any bytes are a valid value, no padding, no references.
    ///
    /// # Errors
    /// As [`map`](MapReduce::map), without [`Encode`](crate::ErrorKind::Encode) and [`Decode`](crate::ErrorKind::Decode).
    ///
    /// # Panics
    /// As [`map`](MapReduce::map).
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let points = pool.map_plain(0..1000u32, |_worker, i| [i as f32, (i as f32).sqrt()])?;
    /// assert_eq!(points[900], [900.0, 30.0]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<I, R, F>(&self, items: I, work: F) -> Result<Vec<R>, MapError<R>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Pod,
    {
        Ok(self.plain_outcome(self.policy(), items, work)?.into_results())
    }

    /// The plain map behind all fronts.
    pub(crate) fn plain_outcome<I: IntoIterator, R: Pod>(
        &self,
        policy: Policy,
        items: I,
        work: impl Work<I::Item, R>,
    ) -> Result<Outcome<R>, MapError<R>> {
        let items = Items::collect(items);
        let total = items.len();
        self.checked_schedule(&operation(total))?;
        if self.is_serial(total) {
            return Ok(self.in_master(items, work, |_index, result| result));
        }
        let call = |worker: &Worker, item| Plain(work.call(worker, item));
        self.forked(policy, items, Around { call, end: || work.end() }, |_index, result| result.0)
    }

    /// Cuts an array into chunks of `chunk_len` elements (the last one may be shorter), lends each to one worker as `&mut`, and returns the results in
    /// the order of the chunks.
    ///
    /// `work` gets the worker, the offset of the chunk's first element in the array (in C order), and the chunk. The borrow checker and
    /// the array's exclusive lease see to it that nobody else reads or writes the array meanwhile. An array without elements: no fork.
    ///
    /// # Errors
    /// As [`map`](MapReduce::map), where items are chunks; after one, chunks may be half-written. With [`retries`](MapReduce::retries) the next
    /// try gets the chunk as the one before left it. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if
    /// `chunk_len` is 0 or the array is not laid out in C order.
    ///
    /// # Panics
    /// As [`map`](MapReduce::map).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let mut array = SharedArray::<u32, _>::zeros(Anonymous, (10, 10))?;
    /// let sums = MapReduce::new().workers(2).threads_ok().map_chunks(&mut array.exclusive()?, 30, |_worker, offset, chunk: &mut [u32]| {
    ///     chunk.iter_mut().zip(offset as u32..).for_each(|(x, i)| *x = i);
    ///     chunk.iter().sum::<u32>()
    /// })?;
    /// assert_eq!(sums.len(), 4);
    /// assert_eq!(sums.iter().sum::<u32>(), 4950);
    /// assert_eq!(array.get((4, 2)), 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_chunks<T, D, R, F>(
        &self,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Vec<R>, MapError<R>>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, usize, &mut [T]) -> R,
        R: Serialize + DeserializeOwned,
    {
        self.chunks_outcome(self.policy(), array, chunk_len, on_chunks(work)).map(Outcome::into_results)
    }

    /// The map over chunks behind all fronts.
    pub(crate) fn chunks_outcome<T, D, R>(
        &self,
        policy: Policy,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: impl for<'c> Work<(usize, &'c mut [T]), R>,
    ) -> Result<Outcome<R>, MapError<R>>
    where
        T: Element,
        D: Dimension,
        R: Serialize + DeserializeOwned,
    {
        let progress = |done, total| self.tell_progress(done, total);
        Lent::fork(self, policy, array, chunk_len, work, progress, false)?.outcome()
    }

    /// Forks workers for chunks of an array, as [`map_chunks`](MapReduce::map_chunks) does, and keeps them for many runs: for a loop over time steps.
    ///
    /// Kept workers save the fork, and keep their page tables, which is most of the cost for a large array. They die with this process, and not with the
    /// thread that forked them: the crew may be given to another one.
    ///
    /// # Errors
    /// As [`map_chunks`](MapReduce::map_chunks), as far as the fork is concerned.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let mut array = SharedArray::<f64, _>::zeros(Anonymous, 1000)?;
    /// let mut alone = array.exclusive()?;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let mut crew = pool.crew(&mut alone, 100, |_worker, _offset, chunk: &mut [f64]| chunk.iter_mut().for_each(|x| *x += 1.0))?;
    /// for _step in 0..10 {
    ///     crew.run()?;
    /// }
    /// crew.view_mut()[7] *= 2.0;
    /// drop(crew);
    /// drop(alone);
    /// assert_eq!((array.get(6), array.get(7)), (10.0, 20.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crew<'a, 'e, T, D, R, F>(
        &self,
        array: &'a mut Exclusive<'e, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Crew<'a, 'e, T, D, R>, Error>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, usize, &mut [T]) -> R + Send + 'a,
        R: Serialize + DeserializeOwned + 'a,
        P: Send + Sync + 'a,
    {
        Crew::fork(self, array, chunk_len, on_chunks(work))
    }
}

/// What messages say is being done.
pub(crate) fn operation(items: usize) -> String {
    format!("map {items} items")
}
