//! [`SkipFailed`]: maps that go on without the items that failed, and [`Partial`], what comes out of them.
//!
//! Which items those are is decided in `recovery.rs`; the maps are those of `map.rs`.

use bytemuck::Pod;
use ndarray::Dimension;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::{Element, Exclusive};

use crate::builder::MapReduce;
use crate::crew::on_chunks;
use crate::error::{Error, MapError};
use crate::recovery::Policy;
use crate::worker::Worker;

impl<P> MapReduce<P> {
    /// Returns the maps of this pool in a form that goes on without the items that failed.
    ///
    /// An item fails when a worker panics at it, is killed, aborts or leaves, or cannot serialise its result; with [`retries`](MapReduce::retries), when
    /// the last try does. A fresh worker goes on behind it. The other items that the failed worker had taken, and
    /// whose results it had not sent yet (they are sent every 5 ms or so), are worked on again: none is lost for another's failure.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let quotients = pool.skip_failed().map([3, 0, 2], |_worker, n| 6 / n)?;
    /// assert_eq!(quotients.results(), [Some(2), None, Some(3)]);
    /// assert_eq!(quotients.failures()[0].panic_message(), Some("attempt to divide by zero"));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn skip_failed(&self) -> SkipFailed<'_, P> {
        SkipFailed(self)
    }
}

/// The maps of a pool, going on without the items that failed; got from [`MapReduce::skip_failed`].
///
/// With 0 workers the function runs in the master, and a panic unwinds as usual.
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let (mut sum, skip) = (0, pool.skip_failed());
/// let all = skip.map_reduce(1..=4u32, |_worker, i| if i == 3 { std::process::abort() } else { i }, |_index, i| sum += i)?;
/// assert_eq!(sum, 1 + 2 + 4);
/// assert_eq!(all.skipped().collect::<Vec<_>>(), [2]); // its index
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct SkipFailed<'a, P = fn(usize, usize)>(pub(crate) &'a MapReduce<P>);

impl<P: Fn(usize, usize)> SkipFailed<'_, P> {
    pub(crate) fn policy(&self) -> Policy {
        Policy { skip: true, ..self.0.policy() }
    }

    /// Calls `work` for each item in forked workers, as [`MapReduce::map`] does, and skips the items that fail.
    ///
    /// # Errors
    /// As [`MapReduce::map`], for failures that no item is to blame for: [`Fork`](crate::ErrorKind::Fork), also when a worker cannot be
    /// replaced; [`Segment`](crate::ErrorKind::Segment); [`Decode`](crate::ErrorKind::Decode) and [`Corrupted`](crate::ErrorKind::Corrupted);
    /// and when one worker after the other ends before it is at any item.
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::{Exit, MapReduce};
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().map(0..100, |_worker, i| if i % 40 == 7 { std::process::exit(3) } else { i })?;
    /// assert_eq!(found.skipped().collect::<Vec<_>>(), [7, 47, 87]);
    /// assert!(found.failures().iter().all(|error| error.exit() == Some(Exit::Code(3))));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<I, R, F>(&self, items: I, work: F) -> Result<Partial<R>, MapError<R>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Serialize + DeserializeOwned,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item in forked workers and `reduce` in the master for each result, as [`MapReduce::map_reduce`] does, and skips the items
    /// that fail: `reduce` is not called for them.
    ///
    /// # Errors
    /// As [`map`](SkipFailed::map).
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let mut sum = 0;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.skip_failed().map_reduce(["1", "2", "x"], |_worker, text| text.parse::<i32>().unwrap(), |_index, n| sum += n)?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<I, R, S, F, G>(&self, items: I, work: F, reduce: G) -> Result<Partial<S>, MapError<S>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Serialize + DeserializeOwned,
        G: FnMut(usize, R) -> S,
    {
        Ok(self.0.outcome(self.policy(), items, work, reduce)?.into_partial())
    }

    /// Calls `work` for each item in forked workers, for plain results, as [`MapReduce::map_plain`] does, and skips the items that fail.
    ///
    /// # Errors
    /// As [`map`](SkipFailed::map).
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().map_plain([3, 0, 2], |_worker, n| 6 / n)?;
    /// assert_eq!(found.results(), [Some(2), None, Some(3)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<I, R, F>(&self, items: I, work: F) -> Result<Partial<R>, MapError<R>>
    where
        I: IntoIterator,
        F: Fn(&Worker, I::Item) -> R,
        R: Pod,
    {
        Ok(self.0.plain_outcome(self.policy(), items, work)?.into_partial())
    }

    /// Lends the chunks of an array to the workers, as [`MapReduce::map_chunks`] does, and skips the chunks at which a worker fails.
    ///
    /// A skipped chunk stays as its last worker left it: it may be half-written.
    ///
    /// # Errors
    /// As [`map`](SkipFailed::map), and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) as [`MapReduce::map_chunks`].
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
    /// let found = pool.skip_failed().map_chunks(&mut array.exclusive()?, 2, |_worker, offset, chunk: &mut [u8]| {
    ///     assert_ne!(offset, 2, "not this one");
    ///     chunk.fill(1);
    /// })?;
    /// assert_eq!(found.results(), [Some(()), None, Some(())]);
    /// assert_eq!(array.to_ndarray().to_vec(), [1, 1, 0, 0, 1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_chunks<T, D, R, F>(
        &self,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: F,
    ) -> Result<Partial<R>, MapError<R>>
    where
        T: Element,
        D: Dimension,
        F: Fn(&Worker, usize, &mut [T]) -> R,
        R: Serialize + DeserializeOwned,
    {
        Ok(self.0.chunks_outcome(self.policy(), array, chunk_len, on_chunks(work))?.into_partial())
    }
}

/// The results that there are, and why there are no others; from the maps of [`SkipFailed`].
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let all = pool.skip_failed().map([3, 0, 2], |_worker, n| 6 / n)?;
/// for failure in all.failures() {
///     eprintln!("item {:?}: {failure}", failure.item());
/// }
/// let (results, _failures) = all.into_parts();
/// assert_eq!(results.into_iter().flatten().sum::<i32>(), 5);
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct Partial<R> {
    results: Vec<Option<R>>,
    failures: Vec<Error>,
}

impl<R> Partial<R> {
    pub(crate) fn new(results: Vec<Option<R>>, failures: Vec<Error>) -> Partial<R> {
        Partial { results, failures }
    }

    /// Returns the results in the order of the items; nothing for those that were skipped.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().map([3, 0, 2], |_worker, n| 6 / n)?;
    /// assert_eq!(found.results(), [Some(2), None, Some(3)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn results(&self) -> &[Option<R>] {
        &self.results
    }

    /// Returns what went wrong, in the order in which it did: an error for each item that was skipped, which
    /// [names](Error::item) it, and one for each worker that ended at no item, such as one that was killed while it wrote out its last output.
    ///
    /// ```
    /// use shm_pool::{ErrorKind, MapReduce};
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().map([3, 0, 2], |_worker, n| 6 / n)?;
    /// let failure = &found.failures()[0];
    /// assert_eq!((failure.kind(), failure.item()), (ErrorKind::Panicked, Some(1)));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn failures(&self) -> &[Error] {
        &self.failures
    }

    /// Returns the indices of the items that were skipped, ascending.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let found = pool.skip_failed().map([0, 3, 0], |_worker, n| 6 / n)?;
    /// assert_eq!(found.skipped().collect::<Vec<_>>(), [0, 2]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn skipped(&self) -> impl Iterator<Item = usize> {
        let indices = self.results.iter().enumerate();
        indices.filter_map(|(index, result)| result.is_none().then_some(index))
    }

    /// Splits it into the results, in the order of the items, and the errors.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let (results, failures) = pool.skip_failed().map(["1", "x"], |_, text| text.parse::<u8>().unwrap())?.into_parts();
    /// assert_eq!((results, failures.len()), (vec![Some(1), None], 1));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn into_parts(self) -> (Vec<Option<R>>, Vec<Error>) {
        (self.results, self.failures)
    }
}
