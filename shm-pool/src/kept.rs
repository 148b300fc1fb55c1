//! [`Kept`]: workers that are forked once, for a plain function, and fed with map after map.
//!
//! They are a team like a crew's (`master.rs`); what they do not inherit, the items, they get from `feed.rs`.

use std::borrow::Borrow;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::MapReduce;
use crate::error::{Error, ErrorKind, MapError};
use crate::feed::{self, Feed, Reader};
use crate::fork::DiesWith;
use crate::master::{Job, JobKind, Outcome, Team};
use crate::recovery::Policy;
use crate::skip::Partial;
use crate::work::{Around, Work};
use crate::worker::Worker;

impl<P: Fn(usize, usize)> MapReduce<P> {
    /// Forks workers for a function now, and keeps them for many maps, whose items are sent to them serialised.
    ///
    /// It saves the forks: a map of a few items takes some microseconds instead of some hundreds. And it is the way out for a program with several
    /// threads: fork the workers **before the threads start**; they have no thread's lock in them then, and later maps fork nothing (but with
    /// [`retries`](MapReduce::retries) and [`skip_failed`](Kept::skip_failed) they do: a worker that has ended is replaced).
    ///
    /// The workers are a copy of the program as it is now: what it changes later they do not see, except in shared memory. They die with this process, and not
    /// with the thread that called this; any thread may use the handle. With 0 [`workers`](MapReduce::workers) the function runs in the
    /// master. [`serial_below`](MapReduce::serial_below) does not concern them.
    ///
    /// # Errors
    /// [`Fork`](crate::ErrorKind::Fork) names the limit; [`Segment`](crate::ErrorKind::Segment); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for
    /// an impossible [`schedule`](MapReduce::schedule), and for a pool with [`ordered`](MapReduce::ordered) sections.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    ///
    /// let pool = MapReduce::new().workers(2);
    /// # let pool = pool.threads_ok();
    /// let mut kept = pool.keep(|_worker, text: String| text.len())?; // first thing in `main`
    /// // ... threads start ...
    /// assert_eq!(kept.map(["shared".to_owned(), "memory".to_owned()])?, [6, 6]);
    /// assert_eq!(kept.map(["again".to_owned()])?, [5]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn keep<I, R, F>(&self, work: F) -> Result<Kept<I, R>, Error>
    where
        I: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
        F: Fn(&Worker, I) -> R + Send + 'static,
        P: Send + Sync + 'static,
    {
        Kept::fork(self, work)
    }
}

impl<I: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned> Kept<I, R> {
    /// Forks the workers of a pool for work on items that are sent.
    pub(crate) fn fork<P, W>(pool: &MapReduce<P>, work: W) -> Result<Kept<I, R>, Error>
    where
        P: Fn(usize, usize) + Send + Sync + 'static,
        W: Work<I, R> + Send + 'static,
    {
        let operation = "keep workers".to_owned();
        let schedule = pool.checked_schedule(&operation)?;
        if pool.ordered {
            let reason = "an ordered section needs the items before the fork";
            return Err(Error::new(ErrorKind::InvalidArgument, operation, reason)
                .remedy("use `map`, or put what has to be in order into the `reduce` of `map_reduce`"));
        }
        let reader = Reader::default();
        let call = move |work: &W, worker: &Worker, item: Item| {
            let item: I = match item {
                Item::Sent(index) => {
                    reader.item(worker.control().expect("items are sent to forked workers"), index)
                }
                Item::Here(bytes) => match feed::read(bytes) {
                    Ok(item) => item,
                    Err(reason) => panic!("an item cannot be read back: {reason}"),
                },
            };
            work.call(worker, item)
        };
        let work: Box<OnItems<R>> = Box::new(Reading { call, end: |work| Work::<I, R>::end(work), work });
        let mut team = None;
        if pool.worker_count() > 0 {
            let job = Job {
                operation,
                items: 0,
                kind: JobKind::Map { first: 0 },
                workers: pool.worker_count(),
                schedule,
                ordered: false,
                kept: true,
                policy: pool.policy(),
                forking: pool.forking(DiesWith::Process),
            };
            team = Some(Team::fork(job, &sent(&*work))?);
        }
        let progress: Box<dyn Fn(usize, usize) + Send> = match pool.progress.clone() {
            Some(progress) => Box::new(move |done, total| progress(done, total)),
            None => Box::new(|_, _| ()),
        };
        Ok(Kept { team, work, policy: pool.policy(), progress, feed: Feed::default(), items: PhantomData })
    }
}

/// What workers do with an item, wherever it is.
type OnItems<R> = dyn for<'i> Work<Item<'i>, R> + Send;

/// Where an item is.
enum Item<'a> {
    /// In what the master has stored for this run.
    Sent(usize),
    /// In this process.
    Here(&'a [u8]),
}

/// Work on items behind the reading of them.
struct Reading<C, W> {
    call: C,
    end: fn(&W),
    work: W,
}

impl<'i, R, C: Fn(&W, &Worker, Item<'i>) -> R, W> Work<Item<'i>, R> for Reading<C, W> {
    fn call(&self, worker: &Worker, item: Item<'i>) -> R {
        (self.call)(&self.work, worker, item)
    }

    fn end(&self) {
        (self.end)(&self.work);
    }
}

fn sent<R>(work: &OnItems<R>) -> impl Work<usize, R> {
    Around {
        call: move |worker: &Worker, index| work.call(worker, Item::Sent(index)),
        end: move || work.end(),
    }
}

/// Workers that are kept for map after map; got from [`MapReduce::keep`].
///
/// Dropping it ends them and returns when they are gone. They wait for the next map awake for a moment, and then asleep. A worker that has died in between is
/// noticed by the next map: replaced with [`retries`](MapReduce::retries) or [`skip_failed`](Kept::skip_failed), otherwise the map fails. **After a map that
/// failed in a worker the workers are gone**, and the handle can only be dropped; bad input (an item that cannot be serialised or finds no memory) sends
/// nothing and changes nothing. In a forked copy of this process the handle does nothing.
///
/// ```
/// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
/// let mut kept = pool.keep(|worker, n: u64| (worker.rank(), n * n))?;
/// for round in 1..4u64 {
///     let squares = kept.map(0..round)?; // by the same processes
///     assert!(squares.iter().zip(0..).all(|((rank, square), n)| *rank < 2 && *square == n * n));
/// }
/// # Ok::<(), shm_pool::Error>(())
/// ```
pub struct Kept<I, R> {
    /// Nothing for a pool with 0 workers.
    team: Option<Team>,
    /// What the workers inherited, for those that replace others, and for a master without workers.
    work: Box<OnItems<R>>,
    policy: Policy,
    progress: Box<dyn Fn(usize, usize) + Send>,
    /// The items of a map; empty between maps.
    feed: Feed,
    items: PhantomData<fn(I)>,
}

impl<I: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned> Kept<I, R> {
    /// Sends the items to the workers, and returns the results in the order of the items. Items may be values or references.
    ///
    /// No items: nothing is sent. Blocks until all results are there; signals do not end the wait, and their handlers run in the meantime.
    ///
    /// # Errors
    /// As [`MapReduce::map`], and after such an error the workers are gone; then [`Ended`](crate::ErrorKind::Ended). For an item:
    /// [`Encode`](crate::ErrorKind::Encode) if it cannot be serialised, [`OutOfMemory`](crate::ErrorKind::OutOfMemory) if all of them find no room, and
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the [schedule](crate::Schedule) makes too many batches of them: nothing has changed then;
    /// [`Decode`](crate::ErrorKind::Decode) if a worker cannot read it back.
    ///
    /// # Panics
    /// If the iterator panics, or serialising an item: nothing has changed then; if `progress` does: the workers are gone then. With 0 workers also
    /// if the function does.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut kept = pool.keep(|_worker, point: (f64, f64)| point.0.hypot(point.1))?;
    /// let points = vec![(3.0, 4.0), (5.0, 12.0)];
    /// assert_eq!(kept.map(&points)?, [5.0, 13.0]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map(&mut self, items: impl IntoIterator<Item: Borrow<I>>) -> Result<Vec<R>, MapError<R>> {
        self.map_reduce(items, |_index, result| result)
    }

    /// Sends the items to the workers, and calls `reduce` in this thread with the index of the item and the result, as results arrive.
    ///
    /// What it returns is returned in the order of the items; as [`MapReduce::map_reduce`], otherwise as [`map`](Kept::map).
    ///
    /// # Errors
    /// As [`map`](Kept::map).
    ///
    /// # Panics
    /// As [`map`](Kept::map), and if `reduce` does: the workers are gone then.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut kept = pool.keep(|_worker, n: u32| n * n)?;
    /// let mut sum = 0;
    /// kept.map_reduce(1..=10u32, |_index, square| sum += square)?;
    /// assert_eq!(sum, 385);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<S>(
        &mut self,
        items: impl IntoIterator<Item: Borrow<I>>,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Vec<S>, MapError<S>> {
        Ok(self.outcome(self.policy, items, reduce)?.into_results())
    }

    /// Returns the maps in a form that goes on without the items that fail, as [`MapReduce::skip_failed`]: workers that fail are replaced.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut kept = pool.keep(|_worker, n: i32| 6 / n)?;
    /// assert_eq!(kept.skip_failed().map([3, 0, 2])?.results(), [Some(2), None, Some(3)]);
    /// assert_eq!(kept.map([6])?, [1]); // the workers are there
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn skip_failed(&mut self) -> KeptSkipFailed<'_, I, R> {
        KeptSkipFailed(self)
    }

    /// A map, behind all fronts.
    fn outcome<S>(
        &mut self,
        policy: Policy,
        items: impl IntoIterator<Item: Borrow<I>>,
        mut reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Outcome<S>, MapError<S>> {
        let Kept { team, work, progress, feed, .. } = self;
        feed.fill::<I>(items.into_iter(), "map items by kept workers")?;
        let total = feed.items();
        if total == 0 {
            return Ok(Outcome::serial(Vec::new()));
        }
        let outcome = match team {
            Some(team) => {
                team.set_policy(policy);
                team.run_fed(feed, &sent(&**work), &mut reduce, |done| progress(done, total))
            }
            None => {
                let worker = Worker::master(false);
                let each = |(index, bytes)| {
                    let reduced =
                        reduce(index, worker.at_item(index, || work.call(&worker, Item::Here(bytes))));
                    progress(index + 1, total);
                    reduced
                };
                Ok(Outcome::serial(feed.iter().enumerate().map(each).collect()))
            }
        };
        feed.clear();
        outcome
    }
}

impl<I, R> Kept<I, R> {
    /// Returns how many workers there are.
    ///
    /// ```
    /// let kept = shm_pool::MapReduce::new().workers(2).threads_ok().keep(|_worker, n: u8| n)?;
    /// assert_eq!(kept.workers(), 2);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.team.as_ref().map_or(0, Team::workers)
    }

    /// Returns the process ids of the workers, in the order of their ranks.
    ///
    /// ```
    /// let mut kept = shm_pool::MapReduce::new().workers(2).threads_ok().keep(|_worker, _: u8| std::process::id())?;
    /// let pids = kept.pids();
    /// assert!(kept.map([1, 2, 3])?.iter().all(|pid| pids.contains(pid)));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn pids(&self) -> Vec<u32> {
        self.team.iter().flat_map(|team| &team.children).map(|child| child.pid()).collect()
    }
}

impl<I, R> std::fmt::Debug for Kept<I, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

/// The maps of kept workers, going on without the items that fail; got from [`Kept::skip_failed`].
///
/// ```
/// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
/// let mut kept = pool.keep(|_worker, text: String| text.parse::<u8>().unwrap())?;
/// let found = kept.skip_failed().map(["1".to_owned(), "x".to_owned()])?;
/// assert_eq!(found.skipped().collect::<Vec<_>>(), [1]);
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct KeptSkipFailed<'a, I, R>(&'a mut Kept<I, R>);

impl<I: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned> KeptSkipFailed<'_, I, R> {
    /// Sends the items to the workers, as [`Kept::map`] does, and skips those that fail.
    ///
    /// # Errors
    /// As [`Kept::map`], for failures that no item is to blame for, as [`SkipFailed::map`](crate::SkipFailed::map).
    ///
    /// # Panics
    /// As [`Kept::map`].
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut kept = pool.keep(|_worker, n: i32| if n == 0 { std::process::abort() } else { n })?;
    /// assert_eq!(kept.skip_failed().map([1, 0, 2])?.results(), [Some(1), None, Some(2)]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map(self, items: impl IntoIterator<Item: Borrow<I>>) -> Result<Partial<R>, MapError<R>> {
        self.map_reduce(items, |_index, result| result)
    }

    /// Sends the items to the workers and calls `reduce` for each result, as [`Kept::map_reduce`] does, and skips the items that fail: `reduce` is not
    /// called for them.
    ///
    /// # Errors
    /// As [`map`](KeptSkipFailed::map).
    ///
    /// # Panics
    /// As [`Kept::map_reduce`].
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().workers(2).threads_ok();
    /// let mut kept = pool.keep(|_worker, n: i32| 6 / n)?;
    /// let mut sum = 0;
    /// kept.skip_failed().map_reduce([3, 0, 2], |_index, quotient| sum += quotient)?;
    /// assert_eq!(sum, 5);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn map_reduce<S>(
        self,
        items: impl IntoIterator<Item: Borrow<I>>,
        reduce: impl FnMut(usize, R) -> S,
    ) -> Result<Partial<S>, MapError<S>> {
        let policy = Policy { skip: true, ..self.0.policy };
        Ok(self.0.outcome(policy, items, reduce)?.into_partial())
    }
}
