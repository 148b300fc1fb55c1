//! What runs in a worker process: take a batch, call the function for each item, send the results; until there is nothing left.
//!
//! Also [`Worker`], which the user's function gets. The states that a worker goes through are in `PROTOCOL.md`; forking and leaving are in
//! `fork.rs`, what is sent and how in `results.rs`, what is noted of a panic in `panics.rs`.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering;

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;
use shm_sync::MutexGuard;

use crate::batch::{AtItem, Batch};
use crate::control::{Control, Failure, State};
use crate::hooks::Hooks;
use crate::idle::{AWAKE, Idle};
use crate::order::Turns;
use crate::results::{Deliver, Outbox, Undelivered};
use crate::schedule::{Cut, Schedule};
use crate::wire::Pack;
use crate::work::Work;
use crate::{fork, panics, stdio};

/// Sleeps so long at most before it looks again; it is woken before that.
const SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The exit code of a worker that has given up and said why.
const FAILED: i32 = 101;

/// The worker that a function runs in.
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let ranks = pool.map(0..10, |worker, _| (worker.rank(), worker.workers()))?;
/// assert!(ranks.iter().all(|(rank, workers)| *rank < 2 && *workers == 2));
/// # Ok::<(), shm_pool::Error>(())
/// ```
pub struct Worker<'a> {
    rank: usize,
    workers: usize,
    /// Nothing in the master of a pool with 0 workers.
    control: Option<&'a Control>,
    /// Nothing without the clause `ordered`.
    turns: Option<Turns<'a>>,
    in_critical: Cell<bool>,
}

impl<'a> Worker<'a> {
    /// The master, where the pool has no workers.
    pub(crate) fn master(ordered: bool) -> Worker<'static> {
        Worker::with(0, 0, None, ordered.then(|| Turns::new(None)))
    }

    /// What it talks to the master through; nothing in a master without workers.
    pub(crate) fn control(&self) -> Option<&'a Control> {
        self.control
    }

    pub(crate) fn is_in_critical(&self) -> bool {
        self.in_critical.get()
    }

    pub(crate) fn new(rank: usize, control: &'a Control) -> Worker<'a> {
        let turns = control.order().map(|order| Turns::new(Some(order)));
        Worker::with(rank, control.workers(), Some(control), turns)
    }

    fn with(
        rank: usize,
        workers: usize,
        control: Option<&'a Control>,
        turns: Option<Turns<'a>>,
    ) -> Worker<'a> {
        Worker { rank, workers, control, turns, in_critical: Cell::new(false) }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.turns.is_some()
    }

    /// Calls the function with an item.
    #[inline]
    pub(crate) fn at_item<R>(&self, item: usize, work: impl FnOnce() -> R) -> R {
        let Some(turns) = &self.turns else { return work() };
        turns.begin(item);
        let result = work();
        turns.end();
        result
    }

    /// Returns the number of this worker: from 0 to [`workers`](Worker::workers) - 1; 0 in the master, when there are no workers.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// let ranks = pool.map(0..10, |worker, _| worker.rank())?;
    /// assert!(ranks.iter().all(|rank| *rank < 2));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Returns how many workers were forked; at most one for each item (and each chunk of the [schedule](crate::Schedule)), and 0 when the function runs in the master.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(8).threads_ok();
    /// assert_eq!(pool.map(0..3, |worker, _| worker.workers())?, [3, 3, 3]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Calls `section` while no other worker of this map or crew is in its critical section.
    ///
    /// Waits as long as it takes; signals do not end the wait. **Death**: if a worker dies in the section, or panics, the others go on: the next one enters
    /// at once, what the dead one was writing may be half-written, and the map fails with that worker's death. A
    /// worker is not killed in the section because of somebody else's failure, unless it stays there for more than a second.
    ///
    /// # Panics
    /// If this thread is in the section already, and where the system offers no robust futexes.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let sum = SharedArray::<u64, _>::zeros(Anonymous, ())?;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.map(1..=100u64, |worker, i| worker.critical(|| sum.set((), sum.get(()) + i)))?;
    /// assert_eq!(sum.get(()), 5050);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn critical<T>(&self, section: impl FnOnce() -> T) -> T {
        let _guard = self.lock_critical();
        let _entered = Entered::new(&self.in_critical);
        section()
    }

    fn lock_critical(&self) -> Option<MutexGuard<'a, u32>> {
        self.control.map(|control| match control.critical() {
            Ok(guard) => guard,
            Err(error) => panic!("cannot enter the critical section: {error}"),
        })
    }

    /// Enters the critical section, which lasts until what is returned is dropped: for languages whose sections are no closures. Otherwise as
    /// [`critical`](Worker::critical).
    ///
    /// # Panics
    /// As [`critical`](Worker::critical).
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.map(0..10, |worker, _| {
    ///     let section = worker.enter_critical();
    ///     // nobody else is here
    ///     drop(section);
    /// })?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn enter_critical(&self) -> CriticalSection<'_> {
        assert!(!self.in_critical.get(), "the critical section is entered inside of itself");
        let guard = self.lock_critical();
        CriticalSection { _entered: Entered::new(&self.in_critical), _guard: guard }
    }

    /// Waits for the turn of the item, and enters its ordered section, which lasts until what is returned is dropped: for languages whose sections
    /// are no closures. Otherwise as [`ordered`](Worker::ordered).
    ///
    /// # Panics
    /// As [`ordered`](Worker::ordered).
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok().ordered();
    /// pool.map(0..10, |worker, _| {
    ///     let section = worker.enter_ordered();
    ///     // the items before this one were here already
    ///     drop(section);
    /// })?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn enter_ordered(&self) -> OrderedSection<'_> {
        let turns = self.own_turns();
        OrderedSection { guard: turns.enter(), turns }
    }

    /// Calls `section` when those of all earlier items are over: sections run in the order of the items, one at a time.
    ///
    /// The map has to say [`ordered`](crate::MapReduce::ordered). Waits as long as it takes; signals do not end the wait. An item that never enters passes its
    /// turn when it ends. The [critical section](Worker::critical) may be entered from inside of this one, not the other way round.
    ///
    /// **Death**: if a worker dies in the section, or panics, the map fails, and those who wait for their turn leave at once (their
    /// functions are unwound, without a panic's message). With [`retries`](crate::MapReduce::retries) the fresh worker that gets the item has the item's turn again;
    /// one that is [skipped](crate::MapReduce::skip_failed) loses its turn. An item that is worked on a second time because of *another's* failure may
    /// have had its turn: then it enters again when the section is free, out of order; with the default schedule that is the item whose
    /// result was about to be sent, at most. A worker is not killed in the section because of somebody else's failure, unless it stays there for more than
    /// a second.
    ///
    /// # Panics
    /// If the item has entered before, if the map is not ordered, from inside of the critical section (an earlier item may be
    /// waiting for that), in a process that the function has forked, and where the system offers no robust futexes.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let last = SharedArray::<u64, _>::zeros(Anonymous, ())?;
    /// let pool = MapReduce::new().workers(2).threads_ok().ordered();
    /// let before = pool.map(1..=100u64, |worker, i| worker.ordered(|| {
    ///     let before = last.get(());
    ///     last.set((), i);
    ///     before
    /// }))?;
    /// assert_eq!(before, (0..100).collect::<Vec<_>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ordered<T>(&self, section: impl FnOnce() -> T) -> T {
        self.own_turns().section(section)
    }

    /// The turns that this worker may wait for now.
    fn own_turns(&self) -> &Turns<'a> {
        let Some(turns) = &self.turns else {
            panic!(
                "worker.ordered() was called in a map that is not ordered: say MapReduce::ordered() of its pool"
            )
        };
        assert!(
            !self.in_critical.get(),
            "worker.ordered() was called inside of worker.critical(): an earlier item may wait for the critical section and would never have its turn"
        );
        turns
    }
}

impl AtItem for Worker<'_> {
    fn begin_item(&self, item: usize) {
        if let Some(turns) = &self.turns {
            turns.begin(item);
        }
    }

    fn end_item(&self) {
        if let Some(turns) = &self.turns {
            turns.end();
        }
    }
}

/// The critical section, until this is dropped; got from [`Worker::enter_critical`].
#[must_use = "dropping it leaves the section"]
#[derive(Debug)]
pub struct CriticalSection<'a> {
    _entered: Entered<'a>,
    _guard: Option<MutexGuard<'a, u32>>,
}

/// The ordered section of an item, until this is dropped; got from [`Worker::enter_ordered`].
#[must_use = "dropping it leaves the section, and passes the turn on"]
pub struct OrderedSection<'a> {
    guard: Option<MutexGuard<'a, u32>>,
    turns: &'a Turns<'a>,
}

impl Drop for OrderedSection<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.turns.end();
    }
}

impl std::fmt::Debug for OrderedSection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderedSection").finish_non_exhaustive()
    }
}

/// Says that the critical section was entered, and when it is left, that it was.
#[derive(Debug)]
struct Entered<'a>(&'a Cell<bool>);

impl Entered<'_> {
    fn new(cell: &Cell<bool>) -> Entered<'_> {
        cell.set(true);
        Entered(cell)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What a worker is unwound with when it waits for what will not come: the run is over.
struct Stopped;

/// Whether that is what unwound a worker.
pub(crate) fn is_stop(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Stopped>()
}

/// Leaves the function and the loop around it, because the master has stopped the workers.
pub(crate) fn stop() -> ! {
    if cfg!(panic = "abort") {
        fork::leave(FAILED); // what was not sent is lost; the run has failed
    }
    panic::resume_unwind(Box::new(Stopped))
}

impl std::fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("rank", &self.rank).field("workers", &self.workers).finish()
    }
}

/// What a worker inherits.
pub(crate) struct Inherited<'a> {
    pub(crate) control: &'a Control,
    pub(crate) cut: &'a Cut,
    /// What the batches of a run with another number of items follow from.
    pub(crate) schedule: Schedule,
    /// The eventfd that wakes the master.
    pub(crate) event: BorrowedFd<'a>,
    /// Whether there may be more runs than one.
    pub(crate) kept: bool,
    pub(crate) hooks: &'a Hooks,
    /// Items that were taken for this worker before it was forked, by another that has ended. They are of the run that goes on then.
    pub(crate) again: &'a [Range<usize>],
}

/// Why a worker leaves the loop.
enum End {
    Done,
    Failed(Failure),
}

/// Runs worker `rank`; returns its exit code.
pub(crate) fn run<R: Pack>(inherited: &Inherited, rank: usize, work: &impl Work<usize, R>) -> i32 {
    let Inherited { control, event, hooks, .. } = *inherited;
    panics::record();
    let slot = control.slot(rank);
    let notify = || -> Result<(), Errno> {
        match rustix::io::write(event, &1u64.to_ne_bytes()) {
            // The counter is full: the master has plenty of wake-ups waiting.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    };
    let mut outbox = Outbox::new(control, rank, &notify);
    let worker = Worker::new(rank, control);
    let forks = shm_core::fork_count();
    // What the user's function broke by panicking is not used any more: the process ends.
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        hooks.child();
        let end = runs(inherited, &worker, &mut outbox, work);
        work.end();
        end
    }));
    if shm_core::fork_count() != forks {
        // A copy that the function has forked has panicked. The slot and the results are not its own.
        fork::vanish(FAILED);
    }
    if unwound.is_err() {
        // As a thread's unwinding would. The first panic is the one that counts.
        let noted = panics::take_noted();
        let _ = panic::catch_unwind(AssertUnwindSafe(|| work.end())).map_err(std::mem::forget);
        panics::put_back(noted);
    }
    let end = unwound.unwrap_or_else(|payload| {
        if is_stop(&*payload) {
            outbox.drop_incomplete();
            let _ = outbox.send();
            return End::Done;
        }
        let failure = payload.downcast::<Failure>().map_or_else(
            |payload| {
                let panic = panics::last(&*payload);
                std::mem::forget(payload); // its destructor could panic again
                Failure::Panic(panic)
            },
            |failure| *failure,
        );
        outbox.drop_incomplete();
        End::Failed(failure)
    });
    // The output comes before the news, so that whoever has the news finds the output.
    stdio::flush();
    match end {
        End::Done => {
            slot.set_state(State::Finished);
            0
        }
        End::Failed(failure) => {
            // What was finished before is not lost. A failure here changes nothing about what is reported.
            let _ = outbox.send();
            slot.fail(&failure);
            let _ = outbox.wake_master();
            FAILED
        }
    }
}

/// One run after the other.
fn runs<R: Pack>(
    inherited: &Inherited,
    worker: &Worker,
    outbox: &mut Outbox,
    work: &impl Work<usize, R>,
) -> End {
    let Inherited { control, kept, mut again, .. } = *inherited;
    let mut cut = Cow::Borrowed(inherited.cut);
    let slot = control.slot(worker.rank);
    let mut seen = 0;
    loop {
        let Some(run) = next_run(control, seen) else { return End::Done };
        let Some(items) = control.items_of(run) else { continue };
        if items != cut.items() {
            match Cut::new(inherited.schedule, items, worker.workers, "work") {
                Ok(of_run) => cut = Cow::Owned(of_run),
                Err(error) => return End::Failed(Failure::Broken(error.to_string())),
            }
        }
        let claimed = control.claims(&cut, run, worker.rank).map(|batch| cut.range(batch));
        let ranges = again.iter().cloned().chain(claimed);
        let outcome = batches(control, ranges, worker, outbox, work);
        again = &[];
        slot.set_state(State::Idle);
        match outcome {
            Ok(()) if kept => seen = run,
            Ok(()) | Err(Undelivered::Stopped) => return End::Done,
            Err(Undelivered::Failed(failure)) => return End::Failed(failure),
        }
    }
}

/// Waits for a run after `seen`; nothing if the workers are to leave.
fn next_run(control: &Control, seen: u32) -> Option<u32> {
    let header = control.header();
    let mut idle = Idle::new(AWAKE);
    loop {
        // Acquire: what the master wrote for this run is visible. It sets `stop` before it changes `run`.
        let run = header.run.load(Ordering::Acquire);
        if control.stopped() {
            return None;
        }
        if run != seen {
            return Some(run);
        }
        if idle.pause() {
            continue;
        }
        // Either the master sees that somebody sleeps, or this sees the new run: both sides go through a SeqCst operation in between.
        header.sleepers.fetch_add(1, Ordering::SeqCst);
        let _ = futex::wait(&header.run, futex::Flags::empty(), seen, Some(&SLEEP));
        header.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Works on batches until there are no more.
pub(crate) fn batches<R>(
    control: &Control,
    ranges: impl Iterator<Item = Range<usize>>,
    worker: &Worker,
    outbox: &mut impl Deliver<R>,
    work: &impl Work<usize, R>,
) -> Result<(), Undelivered> {
    let slot = control.slot(worker.rank);
    let forks = shm_core::fork_count();
    for range in ranges {
        slot.set_state(State::Working);
        if work.is_batched() {
            Batch::lend(range, Some((control, slot)), worker, outbox, work)?;
            outbox.send()?;
            continue;
        }
        for item in range {
            slot.begin_item(item);
            let result = worker.at_item(item, || work.call(worker, item));
            if shm_core::fork_count() != forks {
                // The function has forked, and this is the copy, which must not send results a second time.
                fork::vanish(0);
            }
            outbox.put(item, result)?;
            if control.stopped() {
                outbox.send()?;
                return Err(Undelivered::Stopped);
            }
        }
        outbox.send()?;
    }
    outbox.end()
}
