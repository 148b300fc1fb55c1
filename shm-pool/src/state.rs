//! [`WithState`]: maps in which each worker has a state of its own, made once and lent to the function with every item.
//!
//! The maps are those of `map.rs` and `skip.rs`; how the state is kept is in `work.rs`.

use bytemuck::Pod;
use ndarray::Dimension;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::{Element, Exclusive};

use crate::builder::MapReduce;
use crate::crew::Crew;
use crate::error::{Error, MapError};
use crate::kept::Kept;
use crate::master::Outcome;
use crate::skip::{Partial, SkipFailed};
use crate::work::{Stateful, Work};
use crate::worker::Worker;

impl<P> MapReduce<P> {
    /// Returns the maps of this pool in a form that lends the function a state: `init` makes it, once in each worker.
    ///
    /// For what is dear to make and cannot be inherited or shared: a random number generator, a connection, a scratch buffer, an open file. The state is
    /// made in the worker, behind the fork, when its first item comes; a worker without items makes none. It need not be
    /// serialisable or shareable, and no other worker sees it.
    ///
    /// A panic in `init` is reported like one in the function, with the item that came first. When the worker has done its last item (for a
    /// [crew](WithState::crew): when the crew ends) the state is dropped there, also when the function panics or the workers have to stop; a panic in its destructor
    /// fails the map, unless an earlier one did. It is not dropped when the worker is killed or exits, as nothing is. A fresh worker that replaces another
    /// makes a fresh one. With 0 [`workers`](MapReduce::workers) there is one state, in the master.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let lengths = pool.with_state(|_worker| String::with_capacity(100)).map(0..1000u32, |_worker, text, i| {
    ///     text.clear(); // what the item before has left there
    ///     *text += &i.to_string();
    ///     text.len()
    /// })?;
    /// assert_eq!(lengths.iter().sum::<usize>(), 10 + 90 * 2 + 900 * 3);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn with_state<S, I: Fn(&Worker) -> S>(&self, init: I) -> WithState<&MapReduce<P>, I> {
        WithState { maps: self, init }
    }
}

impl<'a, P> SkipFailed<'a, P> {
    /// As [`MapReduce::with_state`]; items at which a worker fails, in `init` too, are skipped.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let counted = pool.skip_failed().with_state(|_worker| 0).map(0..6, |_worker, count, i| {
    ///     assert_ne!(i, 3);
    ///     *count += 1;
    ///     *count
    /// })?;
    /// assert_eq!(counted.results(), [Some(1), Some(2), Some(3), None, Some(1), Some(2)]); // a fresh worker, a fresh count
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn with_state<S, I: Fn(&Worker) -> S>(self, init: I) -> WithState<SkipFailed<'a, P>, I> {
        WithState { maps: self, init }
    }
}

/// The maps of a pool, with a state in each worker; got from [`MapReduce::with_state`] and [`SkipFailed::with_state`].
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let counting = pool.with_state(|_worker| 0);
/// let numbers = counting.map(0..10, |_worker, count: &mut u32, _item| {
///     *count += 1;
///     *count
/// })?;
/// assert!((1..=2).contains(&numbers.iter().filter(|number| **number == 1).count())); // one for each worker that had an item
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WithState<M, I> {
    pub(crate) maps: M,
    pub(crate) init: I,
}

/// A function with a state as work on chunks.
fn on_chunks<T, S, R>(
    init: impl Fn(&Worker) -> S,
    function: impl Fn(&Worker, &mut S, usize, &mut [T]) -> R,
) -> impl for<'c> Work<(usize, &'c mut [T]), R> {
    Stateful::new(init, move |worker: &Worker, state: &mut S, (offset, chunk): (usize, &mut [T])| {
        function(worker, state, offset, chunk)
    })
}

impl<P: Fn(usize, usize), S, I: Fn(&Worker) -> S> WithState<&MapReduce<P>, I> {
    /// Calls `work` for each item, with the worker's state; otherwise as [`MapReduce::map`].
    ///
    /// # Errors
    /// As [`MapReduce::map`].
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let sums = pool.with_state(|worker| vec![worker.rank(); 8]).map(0..9, |_, scratch, i| {
    ///     scratch.fill(i);
    ///     scratch.iter().sum::<usize>()
    /// })?;
    /// assert_eq!(sums[5], 40);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<T, R, F>(self, items: T, work: F) -> Result<Vec<R>, MapError<R>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Serialize + DeserializeOwned,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item, with the worker's state, and `reduce` in the master; otherwise as [`MapReduce::map_reduce`].
    ///
    /// # Errors
    /// As [`MapReduce::map_reduce`].
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let (pool, mut most) = (MapReduce::new().workers(2).threads_ok(), 0);
    /// pool.with_state(|_| 0).map_reduce(0..10, |_, sum, i| { *sum += i; *sum }, |_index, sum| most = most.max(sum))?;
    /// assert!(most <= 45);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<T, R, U, F, G>(self, items: T, work: F, reduce: G) -> Result<Vec<U>, MapError<U>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> U,
    {
        let work = Stateful::new(self.init, work);
        Ok(self.maps.outcome(self.maps.policy(), items, work, reduce)?.into_results())
    }

    /// Calls `work` for each item, with the worker's state, for plain results; otherwise as [`MapReduce::map_plain`].
    ///
    /// # Errors
    /// As [`MapReduce::map_plain`].
    ///
    /// # Panics
    /// As [`MapReduce::map_plain`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// // A generator for each worker: the state of a linear congruence.
    /// let noise = pool.with_state(|worker| worker.rank() as u64).map_plain(0..100, |_, seed, _| {
    ///     *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    ///     (*seed >> 40) as u32
    /// })?;
    /// assert!(noise.iter().any(|x| *x != noise[0]));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<T, R, F>(self, items: T, work: F) -> Result<Vec<R>, MapError<R>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Pod,
    {
        let work = Stateful::new(self.init, work);
        Ok(self.maps.plain_outcome(self.maps.policy(), items, work)?.into_results())
    }

    /// Lends the chunks of an array to the workers, with the worker's state; otherwise as [`MapReduce::map_chunks`].
    ///
    /// # Errors
    /// As [`MapReduce::map_chunks`].
    ///
    /// # Panics
    /// As [`MapReduce::map_chunks`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let mut array = SharedArray::<u32, _>::zeros(Anonymous, 6)?;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.with_state(|_| vec![0; 2]).map_chunks(&mut array.exclusive()?, 2, |_, scratch, offset, chunk| {
    ///     scratch.iter_mut().zip(offset as u32..).for_each(|(x, i)| *x = i);
    ///     chunk.copy_from_slice(scratch);
    /// })?;
    /// assert_eq!(array.to_ndarray().to_vec(), [0, 1, 2, 3, 4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_chunks<T, D, R, F>(
        self,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Vec<R>, MapError<R>>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, &mut S, usize, &mut [T]) -> R,
        R: Serialize + DeserializeOwned,
    {
        let work = on_chunks(self.init, work);
        self.maps.chunks_outcome(self.maps.policy(), array, chunk_len, work).map(Outcome::into_results)
    }

    /// Forks a crew for the chunks of an array, whose workers keep their states from run to run; otherwise as [`MapReduce::crew`].
    ///
    /// The states are dropped in the workers when the crew ends; a panic in that is not reported, because nobody waits for anything then.
    ///
    /// # Errors
    /// As [`MapReduce::crew`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{MapReduce, Schedule};
    ///
    /// let mut array = SharedArray::<u8, _>::zeros(Anonymous, 2)?;
    /// let mut alone = array.exclusive()?;
    /// let pool = MapReduce::new().workers(2).threads_ok().schedule(Schedule::Static);
    /// let mut crew = pool.with_state(|_| 0).crew(&mut alone, 1, |_, steps, _offset, _chunk: &mut [u8]| {
    ///     *steps += 1;
    ///     *steps
    /// })?;
    /// assert_eq!(crew.run()?, [1, 1]);
    /// assert_eq!(crew.run()?, [2, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crew<'a, 'e, T, D, R, F>(
        self,
        array: &'a mut Exclusive<'e, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Crew<'a, 'e, T, D, R>, Error>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, &mut S, usize, &mut [T]) -> R + Send + 'a,
        R: Serialize + DeserializeOwned + 'a,
        P: Send + Sync + 'a,
        I: Send + 'a,
        S: Send + 'a,
    {
        Crew::fork(self.maps, array, chunk_len, on_chunks(self.init, work))
    }

    /// Forks workers for map after map, which keep their states from one to the next; otherwise as [`MapReduce::keep`].
    ///
    /// The states are dropped in the workers when the handle is; a panic in that is not reported, because nobody waits for anything then.
    ///
    /// # Errors
    /// As [`MapReduce::keep`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let mut kept = pool.with_state(|_worker| 0).keep(|_worker, sum: &mut u64, n: u64| {
    ///     *sum += n;
    ///     *sum
    /// })?;
    /// assert_eq!(kept.map([1, 2, 3])?, [1, 3, 6]);
    /// assert_eq!(kept.map([4])?, [10]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn keep<T, R, F>(self, work: F) -> Result<Kept<T, R>, Error>
    where
        T: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
        F: Fn(&Worker, &mut S, T) -> R + Send + 'static,
        P: Send + Sync + 'static,
        I: Send + 'static,
        S: Send + 'static,
    {
        Kept::fork(self.maps, Stateful::new(self.init, work))
    }
}

impl<P: Fn(usize, usize), S, I: Fn(&Worker) -> S> WithState<SkipFailed<'_, P>, I> {
    /// Calls `work` for each item, with the worker's state; otherwise as [`SkipFailed::map`].
    ///
    /// # Errors
    /// As [`SkipFailed::map`].
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().with_state(|_| 6).map([3, 0, 2], |_, six, n| *six / n)?;
    /// assert_eq!(found.results(), [Some(2), None, Some(3)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<T, R, F>(self, items: T, work: F) -> Result<Partial<R>, MapError<R>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Serialize + DeserializeOwned,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item, with the worker's state, and `reduce` in the master; otherwise as [`SkipFailed::map_reduce`].
    ///
    /// # Errors
    /// As [`SkipFailed::map`].
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let (pool, mut sum) = (MapReduce::new().workers(2).threads_ok(), 0);
    /// pool.skip_failed().with_state(|_| 6).map_reduce([3, 0, 2], |_, six, n| *six / n, |_, n| sum += n)?;
    /// assert_eq!(sum, 5);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<T, R, U, F, G>(self, items: T, work: F, reduce: G) -> Result<Partial<U>, MapError<U>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> U,
    {
        let work = Stateful::new(self.init, work);
        Ok(self.maps.0.outcome(self.maps.policy(), items, work, reduce)?.into_partial())
    }

    /// Calls `work` for each item, with the worker's state, for plain results; otherwise as [`SkipFailed::map_plain`].
    ///
    /// # Errors
    /// As [`SkipFailed::map`].
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().with_state(|_| 6).map_plain([3, 0, 2], |_, six, n| *six / n)?;
    /// assert_eq!(found.results(), [Some(2), None, Some(3)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<T, R, F>(self, items: T, work: F) -> Result<Partial<R>, MapError<R>>
    where
        T: IntoIterator,
        F: Fn(&Worker, &mut S, T::Item) -> R,
        R: Pod,
    {
        let work = Stateful::new(self.init, work);
        Ok(self.maps.0.plain_outcome(self.maps.policy(), items, work)?.into_partial())
    }

    /// Lends the chunks of an array to the workers, with the worker's state; otherwise as [`SkipFailed::map_chunks`].
    ///
    /// # Errors
    /// As [`SkipFailed::map_chunks`].
    ///
    /// # Panics
    /// As [`MapReduce::map_chunks`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let mut array = SharedArray::<u8, _>::zeros(Anonymous, 6)?;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().with_state(|_| 7).map_chunks(&mut array.exclusive()?, 2, |_, seven, offset, chunk| {
    ///     assert_ne!(offset, 2, "not this one");
    ///     chunk.fill(*seven);
    /// })?;
    /// assert_eq!(found.skipped().collect::<Vec<_>>(), [1]);
    /// assert_eq!(array.to_ndarray().to_vec(), [7, 7, 0, 0, 7, 7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_chunks<T, D, R, F>(
        self,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Partial<R>, MapError<R>>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, &mut S, usize, &mut [T]) -> R,
        R: Serialize + DeserializeOwned,
    {
        let (work, policy) = (on_chunks(self.init, work), self.maps.policy());
        Ok(self.maps.0.chunks_outcome(policy, array, chunk_len, work)?.into_partial())
    }
}
