//! [`Crew`]: workers that are kept between runs over the chunks of an array.

#![allow(unsafe_code, reason = "lends chunks, each to one worker")]

use ndarray::{ArrayView, ArrayViewMut, Dimension};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::{Element, Exclusive};

use crate::builder::MapReduce;
use crate::chunks::Chunks;
use crate::error::{Error, ErrorKind, MapError};
use crate::fork::DiesWith;
use crate::master::{Job, JobKind, Outcome, Team};
use crate::recovery::Policy;
use crate::work::{Around, Work};
use crate::worker::Worker;

/// Workers that were forked for the chunks of an array and are kept between runs; got from [`MapReduce::crew`].
///
/// The workers die with this process, and not when the thread that forked them ends. Dropping the crew ends them and returns when they are gone. After
/// an error they are gone, and the crew can only be dropped. With [`retries`](MapReduce::retries) workers that have ended are replaced, those too that end
/// between two runs. In a forked copy of this process a crew does nothing.
///
/// ```
/// # use shm_core::{Anonymous, SharedArray};
/// # let mut array = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
/// # let mut alone = array.exclusive()?;
/// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
/// let mut crew = pool.crew(&mut alone, 2, |_, _, chunk: &mut [u64]| chunk.iter_mut().for_each(|x| *x += 1))?;
/// for _step in 0..3 {
///     crew.run()?;
/// }
/// assert_eq!(crew.view().to_vec(), [3, 3, 3, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Another thread may go on with it, also when the one that forked the workers has ended:
/// ```
/// # use shm_core::{Anonymous, SharedArray};
/// # let mut array = SharedArray::<u8, _>::zeros(Anonymous, 10)?;
/// # let mut alone = array.exclusive()?;
/// let mut crew = shm_pool::MapReduce::new().workers(1).threads_ok().crew(&mut alone, 5, |_, _, chunk: &mut [u8]| chunk.len())?;
/// let lens = std::thread::scope(|scope| scope.spawn(move || crew.run()).join().unwrap())?;
/// assert_eq!(lens, [5, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Crew<'a, 'e, T: Element, D: Dimension, R> {
    lent: Lent<'a, 'e, T, D, Kept<'a, T, R>, Box<Progress<'a>>>,
}

/// What is done with a chunk and the offset of its first element.
type OnChunks<'a, T, R> = dyn for<'c> Work<(usize, &'c mut [T]), R> + Send + 'a;

/// It, as long as there is a crew.
struct Kept<'a, T, R>(Box<OnChunks<'a, T, R>>);

impl<'c, T, R> Work<(usize, &'c mut [T]), R> for Kept<'_, T, R> {
    fn call(&self, worker: &Worker, chunk: (usize, &'c mut [T])) -> R {
        self.0.call(worker, chunk)
    }

    fn end(&self) {
        self.0.end();
    }
}

type Progress<'a> = dyn Fn(usize, usize) + Send + 'a;

/// A function of three arguments as work.
pub(crate) fn on_chunks<T, R>(
    function: impl Fn(&Worker, usize, &mut [T]) -> R,
) -> impl for<'c> Work<(usize, &'c mut [T]), R> {
    move |worker: &Worker, (offset, chunk): (usize, &mut [T])| function(worker, offset, chunk)
}

impl<'a, 'e, T: Element, D: Dimension, R: Serialize + DeserializeOwned> Crew<'a, 'e, T, D, R> {
    pub(crate) fn fork<P: Fn(usize, usize) + Send + Sync + 'a>(
        pool: &MapReduce<P>,
        array: &'a mut Exclusive<'e, T, D>,
        chunk_len: usize,
        work: impl for<'c> Work<(usize, &'c mut [T]), R> + Send + 'a,
    ) -> Result<Self, Error> {
        let progress: Box<Progress<'a>> = match pool.progress.clone() {
            Some(progress) => Box::new(move |done, total| progress(done, total)),
            None => Box::new(|_, _| ()),
        };
        let work = Kept(Box::new(work));
        Ok(Crew { lent: Lent::fork(pool, pool.policy(), array, chunk_len, work, progress, true)? })
    }

    /// Has all chunks worked on once, and returns the results in the order of the chunks.
    ///
    /// # Errors
    /// As [`MapReduce::map_chunks`]; [`Ended`](ErrorKind::Ended) after an earlier error.
    ///
    /// # Panics
    /// If `progress` does; the workers are ended when the crew is dropped.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// # let mut array = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
    /// # let mut alone = array.exclusive()?;
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut crew = pool.crew(&mut alone, 2, |_, _, chunk: &mut [u64]| {
    ///     chunk.iter_mut().for_each(|x| *x += 1);
    ///     chunk.iter().sum::<u64>()
    /// })?;
    /// assert_eq!(crew.run()?, [2, 2]);
    /// assert_eq!(crew.run()?, [4, 4]); // by the same processes
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&mut self) -> Result<Vec<R>, MapError<R>> {
        Ok(self.lent.outcome()?.into_results())
    }

    /// Returns how many workers there are.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// # let mut array = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
    /// # let mut alone = array.exclusive()?;
    /// # let pool = shm_pool::MapReduce::new().workers(8).threads_ok();
    /// let crew = pool.crew(&mut alone, 2, |_, _, _: &mut [u64]| ())?;
    /// assert_eq!(crew.workers(), 2); // of the 8 in the pool: there are no more chunks
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.lent.workers()
    }

    /// Returns a view of the array, between runs.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// # let mut array = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
    /// # let mut alone = array.exclusive()?;
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut crew = pool.crew(&mut alone, 2, |_, _, chunk: &mut [u64]| chunk.iter_mut().for_each(|x| *x += 1))?;
    /// crew.run()?;
    /// assert_eq!(crew.view().sum(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self) -> ArrayView<'_, T, D> {
        self.lent.array.view()
    }

    /// Returns a mutable view of the array, between runs: the workers see in the next run what was written.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// # let mut array = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
    /// # let mut alone = array.exclusive()?;
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut crew = pool.crew(&mut alone, 2, |_, _, chunk: &mut [u64]| chunk.iter().sum::<u64>())?;
    /// crew.view_mut().fill(10);
    /// assert_eq!(crew.run()?, [20, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view_mut(&mut self) -> ArrayViewMut<'_, T, D> {
        self.lent.array.view_mut()
    }
}

/// The chunks of an array and the workers that were forked for them: what crews and maps over chunks have in common.
pub(crate) struct Lent<'a, 'e, T: Element, D: Dimension, F, G> {
    /// Nothing for a pool with 0 workers and for an array without elements.
    team: Option<Team>,
    array: &'a mut Exclusive<'e, T, D>,
    chunk_len: usize,
    /// Whether the function may have an ordered section.
    ordered: bool,
    /// What the workers inherited, for those that replace others, and for a master without workers.
    work: F,
    progress: G,
}

impl<'a, 'e, T: Element, D: Dimension, F, G: Fn(usize, usize)> Lent<'a, 'e, T, D, F, G> {
    pub(crate) fn fork<P, R: Serialize>(
        pool: &MapReduce<P>,
        policy: Policy,
        array: &'a mut Exclusive<'e, T, D>,
        chunk_len: usize,
        work: F,
        progress: G,
        kept: bool,
    ) -> Result<Self, Error>
    where
        F: for<'c> Work<(usize, &'c mut [T]), R>,
    {
        let chunks = cut(array, chunk_len)?;
        let count = chunks.count();
        let operation = format!("map {count} chunks");
        let schedule = pool.checked_schedule(&operation)?;
        let mut team = None;
        if !pool.is_serial(count) {
            let forking = pool.forking(if kept { DiesWith::Process } else { DiesWith::Thread });
            let (workers, ordered, kind) = (pool.worker_count(), pool.ordered, JobKind::Map { first: 0 });
            let job =
                Job { operation, items: count, kind, workers, schedule, ordered, kept, policy, forking };
            team = Some(Team::fork(job, &lend(&chunks, &work))?);
        }
        Ok(Lent { team, array, chunk_len, ordered: pool.ordered, work, progress })
    }

    /// A run, behind all fronts.
    pub(crate) fn outcome<R: Serialize + DeserializeOwned>(&mut self) -> Result<Outcome<R>, MapError<R>>
    where
        F: for<'c> Work<(usize, &'c mut [T]), R>,
    {
        let chunks = cut(self.array, self.chunk_len)?;
        let count = chunks.count();
        if let Some(team) = &mut self.team {
            let work = lend(&chunks, &self.work);
            return team.run(&work, |_index, result| result, |done| (self.progress)(done, count));
        }
        let worker = Worker::master(self.ordered);
        let each = |index| {
            // SAFETY: the chunks were cut from the borrowed array just now, there are no workers, and each chunk is used up before the next.
            let chunk = unsafe { chunks.get(index) };
            let result = worker.at_item(index, || self.work.call(&worker, (chunks.offset(index), chunk)));
            (self.progress)(index + 1, count);
            result
        };
        Ok(Outcome::serial((0..count).map(each).collect()))
    }
}

impl<T: Element, D: Dimension, F, G> Lent<'_, '_, T, D, F, G> {
    fn workers(&self) -> usize {
        self.team.as_ref().map_or(0, Team::workers)
    }
}

/// What workers do with a chunk's number. It may be called in workers only.
fn lend<'c, T: Element, R>(
    chunks: &'c Chunks<T>,
    work: &'c impl for<'k> Work<(usize, &'k mut [T]), R>,
) -> impl Work<usize, R> + 'c {
    let call = |worker: &Worker, index| {
        // SAFETY: this runs in workers, which inherit the mapping. The crew keeps the array's borrow as long as they live. In a run each index is
        // given to one worker at a time, to another one when that one is dead (`Team::fork`), and the master uses the array between runs only (`Crew`'s
        // methods take `self`).
        let chunk = unsafe { chunks.get(index) };
        work.call(worker, (chunks.offset(index), chunk))
    };
    Around { call, end: || work.end() }
}

/// Cuts an array into chunks.
pub(crate) fn cut<T: Element, D: Dimension>(
    array: &mut Exclusive<'_, T, D>,
    chunk_len: usize,
) -> Result<Chunks<T>, Error> {
    let refuse = |reason: &str, remedy: &str| {
        Err(Error::new(ErrorKind::InvalidArgument, "map chunks of an array", reason).remedy(remedy))
    };
    if chunk_len == 0 {
        return refuse("chunks of 0 elements never come to an end", "ask for chunks of 1 element at least");
    }
    match array.as_mut_slice() {
        Some(slice) => Ok(Chunks::new(slice, chunk_len)),
        None => {
            refuse("its elements do not lie one after another in C order", "copy it into an array in C order")
        }
    }
}

impl<T: Element, D: Dimension, R> std::fmt::Debug for Crew<'_, '_, T, D, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew")
            .field("workers", &self.lent.workers())
            .field("array", &self.lent.array)
            .field("chunk_len", &self.lent.chunk_len)
            .finish_non_exhaustive()
    }
}
