//! [`Backend`], [`On`] and [`OnSkipFailed`]: maps whose workers are processes or threads, as the program chooses while it runs.
//!
//! The processes' maps are in `map.rs`, how threads work is in `threads.rs`; here they get one face.

use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use ndarray::Dimension;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::{Element, Exclusive};

use crate::builder::MapReduce;
use crate::crew;
use crate::error::MapError;
use crate::fork::DiesWith;
use crate::items::Items;
use crate::map::operation;
use crate::master::{Job, JobKind, Outcome};
use crate::recovery::Policy;
use crate::skip::Partial;
use crate::threads;
use crate::worker::Worker;

/// What the workers of a map are; for [`MapReduce::on`].
///
/// ```
/// use shm_pool::{Backend, MapReduce};
/// let pool = MapReduce::new().workers(2).threads_ok();
/// for backend in [Backend::Processes, Backend::Threads] {
///     assert_eq!(pool.on(backend).map(0..3, |_worker, i| 10 * i)?, [0, 10, 20]);
/// }
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Forked processes: nobody's crash is another's, nothing is shared but what is meant to be, interpreters with a global lock run side by side.
    #[default]
    Processes,
    /// Threads of this process: started sooner, results are moved instead of sent, and private memory is shared. A worker cannot be killed, and one that
    /// aborts or exits ends the whole program.
    Threads,
}

impl<P> MapReduce<P> {
    /// Returns the maps of this pool on a backend that is chosen while the program runs.
    ///
    /// They ask for what both backends need: a function that threads may share ([`Sync`]), items that can be sent to another thread and copied ([`Clone`]; only
    /// [`retries`](MapReduce::retries) in threads copies any), results that can be sent and serialised.
    ///
    /// In threads a panic is the same error as in processes, with message, place, item and rank, and without a process id; it is not printed. The others leave at
    /// their next item, and the map waits for that as long as it takes. A fresh thread takes the place of one that failed. The worker's critical
    /// and ordered sections, the schedules, `reduce` and `progress` (in the calling thread), 0 workers and
    /// [`serial_below`](MapReduce::serial_below) are the same too. A result that cannot be serialised is fine in threads.
    ///
    /// ```
    /// use shm_pool::{Backend, ErrorKind, MapReduce};
    /// let threads = std::env::args().any(|argument| argument == "--threads");
    /// let backend = if threads { Backend::Threads } else { Backend::Processes };
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let error = pool.on(backend).map([3, 0, 2], |_worker, n| 6 / n).unwrap_err();
    /// assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, Some(1)));
    /// ```
    pub fn on(&self, backend: Backend) -> On<'_, P> {
        On { pool: self, backend }
    }
}

/// The maps of a pool on a backend; got from [`MapReduce::on`].
///
/// ```
/// use shm_pool::{Backend, MapReduce};
/// let pool = MapReduce::new().workers(2);
/// let (mut sum, threads) = (0, pool.on(Backend::Threads));
/// threads.map_reduce(1..=100u64, |_worker, i| i * i, |_index, square| sum += square)?;
/// assert_eq!(sum, 338_350);
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct On<'a, P = fn(usize, usize)> {
    pool: &'a MapReduce<P>,
    backend: Backend,
}

impl<'a, P: Fn(usize, usize)> On<'a, P> {
    /// Returns the backend.
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// assert_eq!(MapReduce::new().on(Backend::Threads).backend(), Backend::Threads);
    /// ```
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Calls `work` for each item in the workers and returns the results in the order of the items; see [`MapReduce::map`].
    ///
    /// # Errors
    /// As [`MapReduce::map`]; in threads [`Panicked`](crate::ErrorKind::Panicked), [`Fork`](crate::ErrorKind::Fork) for refused threads,
    /// [`Segment`](crate::ErrorKind::Segment).
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let here = std::process::id();
    /// let pids = MapReduce::new().workers(2).on(Backend::Threads).map(0..10, |_worker, _| std::process::id())?;
    /// assert_eq!(pids, [here; 10]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<I, R, F>(&self, items: I, work: F) -> Result<Vec<R>, MapError<R>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item in the workers, and `reduce` in the calling thread as results arrive; see [`MapReduce::map_reduce`].
    ///
    /// # Errors
    /// As [`map`](On::map).
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let mut longest = 0;
    /// let on = MapReduce::new().workers(2);
    /// on.on(Backend::Threads).map_reduce(["a", "bcd"], |_worker, text| text.len(), |_index, n| longest = n.max(longest))?;
    /// assert_eq!(longest, 3);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<I, R, S, F, G>(&self, items: I, work: F, reduce: G) -> Result<Vec<S>, MapError<S>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
        G: FnMut(usize, R) -> S,
    {
        Ok(self.outcome(self.pool.policy(), items, work, reduce)?.into_results())
    }

    /// Calls `work` for each item in the workers, for plain results; see [`MapReduce::map_plain`].
    ///
    /// # Errors
    /// As [`map`](On::map).
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let roots = MapReduce::new().workers(2).on(Backend::Threads).map_plain(0..100u32, |_worker, i| f64::from(i).sqrt())?;
    /// assert_eq!(roots[81], 9.0);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<I, R, F>(&self, items: I, work: F) -> Result<Vec<R>, MapError<R>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Pod + Send,
    {
        Ok(self.plain_outcome(self.pool.policy(), items, work)?.into_results())
    }

    /// Lends disjoint mutable chunks of an array to the workers; see [`MapReduce::map_chunks`].
    ///
    /// # Errors
    /// As [`map`](On::map), and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) as [`MapReduce::map_chunks`].
    ///
    /// # Panics
    /// As [`MapReduce::map_chunks`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{Backend, MapReduce};
    ///
    /// let mut array = SharedArray::<u32, _>::zeros(Anonymous, 100)?;
    /// let pool = MapReduce::new().workers(2);
    /// pool.on(Backend::Threads).map_chunks(&mut array.exclusive()?, 30, |_worker, offset, chunk: &mut [u32]| {
    ///     chunk.iter_mut().zip(offset as u32..).for_each(|(x, i)| *x = i);
    /// })?;
    /// assert_eq!(array.get(42), 42);
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
        F: Fn(&Worker, usize, &mut [T]) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
    {
        Ok(self.chunks_outcome(self.pool.policy(), array, chunk_len, work)?.into_results())
    }

    /// Returns these maps in a form that goes on without the items that failed; see [`MapReduce::skip_failed`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let pool = MapReduce::new().workers(2);
    /// let quotients = pool.on(Backend::Threads).skip_failed().map([3, 0, 2], |_worker, n| 6 / n)?;
    /// assert_eq!(quotients.results(), [Some(2), None, Some(3)]);
    /// assert_eq!(quotients.failures()[0].panic_message(), Some("attempt to divide by zero"));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn skip_failed(self) -> OnSkipFailed<'a, P> {
        OnSkipFailed(self)
    }

    fn outcome<I, R, S>(
        &self,
        policy: Policy,
        items: I,
        work: impl Fn(&Worker, I::Item) -> R + Sync,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>>
    where
        I: IntoIterator<Item: Clone + Send>,
        R: Serialize + DeserializeOwned + Send,
    {
        match self.backend {
            Backend::Processes => self.pool.outcome(policy, items, work, reduce),
            Backend::Threads => self.threaded(policy, items, work, reduce),
        }
    }

    fn plain_outcome<I, R>(
        &self,
        policy: Policy,
        items: I,
        work: impl Fn(&Worker, I::Item) -> R + Sync,
    ) -> Result<Outcome<R>, MapError<R>>
    where
        I: IntoIterator<Item: Clone + Send>,
        R: Pod + Send,
    {
        match self.backend {
            Backend::Processes => self.pool.plain_outcome(policy, items, work),
            Backend::Threads => self.threaded(policy, items, work, |_index, result| result),
        }
    }

    fn chunks_outcome<T: Element, D: Dimension, R: Serialize + DeserializeOwned + Send>(
        &self,
        policy: Policy,
        array: &mut Exclusive<'_, T, D>,
        chunk_len: usize,
        work: impl Fn(&Worker, usize, &mut [T]) -> R + Sync,
    ) -> Result<Outcome<R>, MapError<R>> {
        let count = crew::cut(array, chunk_len)?.count();
        if self.backend == Backend::Processes || self.pool.is_serial(count) {
            return self.pool.chunks_outcome(policy, array, chunk_len, crew::on_chunks(work));
        }
        let slice = array.as_mut_slice().expect("`cut` has seen to it that there is one");
        // Each is used by one thread at a time, so that nobody waits for a lock.
        let chunks: Vec<_> = slice.chunks_mut(chunk_len).map(Mutex::new).collect();
        let call = |worker: &Worker, index: usize| {
            // One that panicked at it left it as the next try gets it.
            let mut chunk = chunks[index].lock().unwrap_or_else(PoisonError::into_inner);
            work(worker, index * chunk_len, &mut chunk)
        };
        let kind = JobKind::Map { first: 0 };
        self.run(policy, kind, format!("map {count} chunks"), count, call, |_index, result| result)
    }

    /// A map over items, by threads.
    fn threaded<I: IntoIterator<Item: Clone + Send>, R: Send, S>(
        &self,
        policy: Policy,
        items: I,
        work: impl Fn(&Worker, I::Item) -> R + Sync,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let items = Items::collect(items);
        let total = items.len();
        if self.pool.is_serial(total) {
            self.pool.checked_schedule(&operation(total))?;
            return Ok(self.pool.in_master(items, work, reduce));
        }
        let items = items.share();
        let is_kept = policy.retries > 0;
        let call = |worker: &Worker, index: usize| work(worker, items.take(index, is_kept));
        self.run(policy, self.pool.items_for_themselves(), operation(total), total, call, reduce)
    }

    fn run<R: Send, S>(
        &self,
        policy: Policy,
        kind: JobKind,
        operation: String,
        items: usize,
        work: impl Fn(&Worker, usize) -> R + Sync,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let schedule = self.pool.checked_schedule(&operation)?;
        let workers = self.pool.worker_count();
        let (ordered, kept) = (self.pool.ordered, false);
        let forking = self.pool.forking(DiesWith::Thread);
        let job = Job { operation, items, kind, workers, schedule, ordered, kept, policy, forking };
        threads::run(job, &work, reduce, |done| self.pool.tell_progress(done, items))
    }
}

/// The maps of a pool on a backend, going on without the items that failed; got from [`On::skip_failed`].
///
/// ```
/// use shm_pool::{Backend, MapReduce};
/// let pool = MapReduce::new().workers(2).threads_ok();
/// for backend in [Backend::Processes, Backend::Threads] {
///     let all = pool.on(backend).skip_failed().map(["1", "2", "x"], |_worker, text| text.parse::<i32>().unwrap())?;
///     assert_eq!(all.results(), [Some(1), Some(2), None]);
/// }
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct OnSkipFailed<'a, P = fn(usize, usize)>(On<'a, P>);

impl<P: Fn(usize, usize)> OnSkipFailed<'_, P> {
    fn policy(&self) -> Policy {
        Policy { skip: true, ..self.0.pool.policy() }
    }

    /// Calls `work` for each item, and skips the items that fail; see [`SkipFailed::map`](crate::SkipFailed::map).
    ///
    /// # Errors
    /// As [`SkipFailed::map`](crate::SkipFailed::map).
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let pool = MapReduce::new().workers(2);
    /// let all = pool.on(Backend::Threads).skip_failed().map(0..100, |_worker, i| assert_ne!(i, 37))?;
    /// assert!(all.skipped().eq([37]));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map<I, R, F>(&self, items: I, work: F) -> Result<Partial<R>, MapError<R>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
    {
        self.map_reduce(items, work, |_index, result| result)
    }

    /// Calls `work` for each item and `reduce` for each result that there is; see [`SkipFailed::map_reduce`](crate::SkipFailed::map_reduce).
    ///
    /// # Errors
    /// As [`map`](OnSkipFailed::map).
    ///
    /// # Panics
    /// As [`MapReduce::map_reduce`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let (mut sum, pool) = (0, MapReduce::new().workers(2));
    /// let skip = pool.on(Backend::Threads).skip_failed();
    /// skip.map_reduce(["1", "2", "x"], |_worker, text| text.parse::<i32>().unwrap(), |_index, n| sum += n)?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<I, R, S, F, G>(&self, items: I, work: F, reduce: G) -> Result<Partial<S>, MapError<S>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
        G: FnMut(usize, R) -> S,
    {
        Ok(self.0.outcome(self.policy(), items, work, reduce)?.into_partial())
    }

    /// Calls `work` for each item, for plain results; see [`SkipFailed::map_plain`](crate::SkipFailed::map_plain).
    ///
    /// # Errors
    /// As [`map`](OnSkipFailed::map).
    ///
    /// # Panics
    /// As [`MapReduce::map`].
    ///
    /// ```
    /// use shm_pool::{Backend, MapReduce};
    /// let pool = MapReduce::new().workers(2);
    /// let found = pool.on(Backend::Threads).skip_failed().map_plain([3, 0, 2], |_worker, n| 6 / n)?;
    /// assert_eq!(found.results(), [Some(2), None, Some(3)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_plain<I, R, F>(&self, items: I, work: F) -> Result<Partial<R>, MapError<R>>
    where
        I: IntoIterator<Item: Clone + Send>,
        F: Fn(&Worker, I::Item) -> R + Sync,
        R: Pod + Send,
    {
        Ok(self.0.plain_outcome(self.policy(), items, work)?.into_partial())
    }

    /// Lends disjoint mutable chunks of an array to the workers; see [`SkipFailed::map_chunks`](crate::SkipFailed::map_chunks).
    ///
    /// # Errors
    /// As [`SkipFailed::map_chunks`](crate::SkipFailed::map_chunks).
    ///
    /// # Panics
    /// As [`MapReduce::map_chunks`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{Backend, MapReduce};
    ///
    /// let mut array = SharedArray::<u8, _>::zeros(Anonymous, 6)?;
    /// let pool = MapReduce::new().workers(2);
    /// let skip = pool.on(Backend::Threads).skip_failed();
    /// let found = skip.map_chunks(&mut array.exclusive()?, 2, |_worker, offset, chunk: &mut [u8]| {
    ///     assert_ne!(offset, 2, "not this one");
    ///     chunk.fill(1);
    /// })?;
    /// assert_eq!(found.results(), [Some(()), None, Some(())]);
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
        F: Fn(&Worker, usize, &mut [T]) -> R + Sync,
        R: Serialize + DeserializeOwned + Send,
    {
        Ok(self.0.chunks_outcome(self.policy(), array, chunk_len, work)?.into_partial())
    }
}
