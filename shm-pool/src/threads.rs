//! The thread backend: the same runs as in `master.rs`, by threads of this process instead of forked workers.
//!
//! Batches, claims, the states of workers and the critical and ordered sections are the control segment's, what follows from a failure is `recovery.rs`'s, results are
//! gathered in the [`Inbox`]: all as with processes. What differs is how results travel (they are moved, through a channel) and that a
//! thread cannot be killed: when a run fails the others finish the item that they are at, however long that takes.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::control::{Control, Failure, Plan, State};
use crate::error::{Error, ErrorKind, MapError};
use crate::feed::Stored;
use crate::inbox::Inbox;
use crate::master::{Job, JobKind, Outcome};
use crate::panics;
use crate::recovery::Recovery;
use crate::results::{Deliver, Pace, Undelivered};
use crate::schedule::Cut;
use crate::trouble::limits;
use crate::worker::{self, Worker};

/// Results of so many bytes are sent at a time: enough for the other side to be woken seldom.
const LOT: usize = 1 << 20;
/// There is one run.
const RUN: u32 = 1;

/// What threads tell the one that called the map.
enum News<R> {
    /// Results of consecutive items from the first on.
    Results { first: usize, results: Vec<R> },
    /// A worker has ended; its slot says how.
    Ended { rank: usize },
}

/// What the workers of a run have in common.
struct Shared<'a, W> {
    control: &'a Control,
    cut: &'a Cut,
    work: &'a W,
}

/// Has all items worked on by threads, and calls `reduce` for each result as it arrives, in this thread; `progress` is told how many there are.
///
/// `work` is called once for each item, and once more for each other try.
pub(crate) fn run<R: Send, S>(
    job: Job,
    work: &(impl Fn(&Worker, usize) -> R + Sync),
    mut reduce: impl FnMut(usize, R) -> S,
    mut progress: impl FnMut(usize),
) -> Result<Outcome<S>, MapError<S>> {
    let turns = job.turns()?;
    let Job { operation, items, workers, schedule, policy, kind, .. } = job;
    let first_item = if let JobKind::Map { first } = kind { first } else { 0 };
    let cut = Cut::new(schedule, items, workers, &operation)?;
    let workers = workers.min(cut.batches());
    let control = Control::planned(&Plan { workers, batches: cut.batches(), turns, region: false })?;
    let mut inbox = Inbox::new(items)?;
    let mut recovery = Recovery::new(policy);
    panics::prepare();
    control.begin_run(RUN, cut.items(), Stored::NOTHING);
    let (sender, receiver) = channel();
    let shared = Shared { control: &control, cut: &cut, work };
    let failure = thread::scope(|scope| {
        // If `reduce` or `progress` panics, the scope waits for the others, which leave at their next item.
        let _stop = StopAtEnd(&control);
        let mut crew =
            ThreadCrew { scope, shared: &shared, sender, operation: &operation, first_item, working: 0 };
        let mut failure = crew.start_all(workers).err();
        while crew.working > 0 {
            match crew.news(&receiver) {
                News::Results { first, results } => {
                    let mut arrivals = inbox.fill(first..first + results.len());
                    for (item, result) in (first..).zip(results) {
                        arrivals.push(reduce(item, result));
                    }
                    drop(arrivals);
                    progress(inbox.done());
                }
                News::Ended { rank } if failure.is_none() => {
                    failure = crew.ended(rank, &mut recovery, &mut inbox).err();
                }
                News::Ended { .. } => {}
            }
            if failure.is_some() {
                control.stop();
            }
        }
        failure
    });
    match failure {
        None => Ok(Outcome::new(inbox, recovery.failures)),
        Some(error) => Err(MapError::new(error, inbox.into_finished())),
    }
}

/// The threads of a run, seen by the one that called the map.
struct ThreadCrew<'scope, 'env, R, W> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'scope Shared<'scope, W>,
    sender: Sender<News<R>>,
    operation: &'scope str,
    /// What messages call the first item.
    first_item: usize,
    /// How many have not ended.
    working: usize,
}

impl<'scope, R: Send + 'scope, W: Fn(&Worker, usize) -> R + Sync> ThreadCrew<'scope, '_, R, W> {
    fn start_all(&mut self, workers: usize) -> Result<(), Error> {
        for rank in 0..workers {
            self.start(rank, Vec::new()).map_err(|error| {
                let reason = format!(
                    "{workers} threads were asked for, and the system refused after {rank} of them: {error}; {}",
                    limits()
                );
                Error::new(ErrorKind::Fork, self.operation, reason)
                    .remedy("ask for fewer workers, or raise the limit (or pids.max of the control group)")
                    .caused_by(error)
            })?;
        }
        Ok(())
    }

    /// Starts a worker, which begins with the items `again`.
    fn start(&mut self, rank: usize, again: Vec<Range<usize>>) -> std::io::Result<()> {
        let (shared, sender) = (self.shared, self.sender.clone());
        let thread = thread::Builder::new().name(format!("shm-pool {rank}"));
        let _: ScopedJoinHandle<()> =
            thread.spawn_scoped(self.scope, move || shared.run_worker(rank, again, sender))?;
        self.working += 1;
        Ok(())
    }

    fn news(&mut self, receiver: &Receiver<News<R>>) -> News<R> {
        let news = receiver.recv().expect("this side has a sender too");
        self.working -= usize::from(matches!(news, News::Ended { .. }));
        news
    }

    /// Does what the policy says when a worker has ended; an error if the run fails.
    fn ended<S>(&mut self, rank: usize, recovery: &mut Recovery, inbox: &mut Inbox<S>) -> Result<(), Error> {
        let Shared { control, cut, .. } = *self.shared;
        let Some(failure) = control.slot(rank).failure() else { return Ok(()) };
        let item = control.item_of(cut, RUN, rank, inbox);
        let explain = |tries: usize, inbox: &Inbox<S>| self.explain(rank, &failure, item, tries, inbox);
        if !recovery.judge(control, rank, item, inbox, explain) {
            return Err(self.explain(rank, &failure, item, recovery.tries(item), inbox));
        }
        let again = control.unfinished(cut, RUN, rank, inbox);
        control.write_off(rank);
        if again.is_empty() && !control.has_batches_for(cut, RUN, rank) {
            return Ok(());
        }
        self.start(rank, again).map_err(|error| {
            let reason =
                format!("the system refused a thread to replace worker {rank}: {error}; {}", limits());
            Error::new(ErrorKind::Fork, self.operation, reason).caused_by(error)
        })
    }

    /// Makes an error of a worker's failure.
    fn explain<S>(
        &self,
        rank: usize,
        failure: &Failure,
        item: Option<usize>,
        tries: usize,
        inbox: &Inbox<S>,
    ) -> Error {
        let Shared { control, cut, .. } = *self.shared;
        let who = format!("worker {rank} (a thread)");
        let error = match failure {
            Failure::Panic(panic) => Error::new(
                ErrorKind::Panicked,
                self.operation,
                panic.reason(&who, item.map(|item| self.first_item.saturating_add(item)), tries),
            )
            .panicked(panic.clone()),
            Failure::Encode(text) | Failure::Memory(text) | Failure::Broken(text) | Failure::Item(text) => {
                Error::new(ErrorKind::Corrupted, self.operation, format!("{who}: {text}"))
            }
        };
        let unfinished = control.unfinished(cut, RUN, rank, inbox);
        error.worker(rank, None).at_item(item).with_unfinished(unfinished).counted_from(self.first_item)
    }
}

impl<W> Shared<'_, W> {
    /// What runs in a thread.
    fn run_worker<R>(&self, rank: usize, again: Vec<Range<usize>>, sender: Sender<News<R>>)
    where
        W: Fn(&Worker, usize) -> R,
    {
        let Shared { control, cut, work } = *self;
        panics::record();
        let worker = Worker::new(rank, control);
        let claimed = control.claims(cut, RUN, rank).map(|batch| cut.range(batch));
        let mut lane = Lane { sender: &sender, first: 0, results: Vec::new(), pace: Pace::new() };
        // What the function broke by panicking is the map's failure, or is not looked at by the function again (see `MapReduce::retries`).
        let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
            worker::batches(control, again.into_iter().chain(claimed), &worker, &mut lane, work)
        }));
        // What was finished before is not lost.
        let _ = lane.send();
        match unwound {
            Ok(_) => control.slot(rank).set_state(State::Finished),
            Err(payload) if worker::is_stop(&*payload) => control.slot(rank).set_state(State::Finished),
            Err(payload) => {
                control.slot(rank).fail(&Failure::Panic(panics::last(&*payload)));
                std::mem::forget(payload); // its destructor could panic again
            }
        }
        // An error: the other side is unwinding, and waits for this thread.
        let _ = sender.send(News::Ended { rank });
    }
}

/// A worker's results that have not been sent yet.
struct Lane<'a, R> {
    sender: &'a Sender<News<R>>,
    first: usize,
    results: Vec<R>,
    pace: Pace,
}

impl<R> Deliver<R> for Lane<'_, R> {
    #[inline]
    fn put(&mut self, item: usize, result: R) -> Result<(), Undelivered> {
        if self.results.is_empty() {
            self.first = item;
        }
        self.results.push(result);
        if self.pace.is_time() || self.results.len() * size_of::<R>() >= LOT { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Undelivered> {
        if self.results.is_empty() {
            return Ok(());
        }
        let results = std::mem::take(&mut self.results);
        self.pace.sent();
        self.sender.send(News::Results { first: self.first, results }).map_err(|_| Undelivered::Stopped)
    }

    fn end(&mut self) -> Result<(), Undelivered> {
        Ok(())
    }
}

/// Has the workers leave at their next item when it is dropped.
struct StopAtEnd<'a>(&'a Control);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
