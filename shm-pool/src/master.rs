//! The master's side: forks the workers, takes in their results, notices deaths, ends and reaps them.
//!
//! [`Team`] is one mechanism for all fronts: numbered items, forked workers, one run or several. While a run lasts the master's thread waits in
//! `poll` on an eventfd (a worker has news) and on the workers' pidfds (a worker has ended). The protocol is in `PROTOCOL.md`.

use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use shm_sync::LockError;

use crate::control::{Control, Message, Plan, Slot, State, WakeFor, wake_all};
use crate::error::{Error, ErrorKind, Exit, MapError};
use crate::feed::{Feed, Stored};
use crate::fork::{self, Child, Forking};
use crate::idle::{AWAKE, Idle};
use crate::inbox::Inbox;
use crate::order::MOST_ITEMS;
use crate::panics;
use crate::recovery::{Policy, Recovery};
use crate::results::{self, Unreadable};
use crate::schedule::{Cut, Schedule};
use crate::skip::Partial;
use crate::trouble::{Trouble, limits};
use crate::wire::{Pack, Unpack};
use crate::work::Work;
use crate::worker::{self, Inherited};

/// How long workers may take to finish their item when the others have to stop.
const GRACE: Duration = Duration::from_millis(100);
/// How long they may stay in a critical or ordered section then.
const CRITICAL_GRACE: Duration = Duration::from_secs(1);
/// As many workers can own blocks of the arena at a time, beside the master.
const MAX_WORKERS: usize = 1023;
/// A run that brings its own items may have so many batches. Memory is taken as they are used.
const ROOM: usize = 1 << 20;
/// The master sleeps so long at most before it looks again; it is woken before that.
const SLEEP: Duration = Duration::from_secs(1);
/// When it has taken results in, it rests so long before it looks for more, unless there is something urgent: each time it wakes it takes the
/// processor from a worker.
const REST: Duration = Duration::from_millis(5);

/// Forked workers and what they work on.
pub(crate) struct Team {
    pub(crate) control: Control,
    pub(crate) cut: Cut,
    pub(crate) children: Vec<Child>,
    event: OwnedFd,
    pub(crate) kept: bool,
    schedule: Schedule,
    policy: Policy,
    forking: Forking,
    /// Where the items of the run are, if they are sent.
    fed: Stored,
    pub(crate) run: u32,
    /// What messages say is being done: "map 10 items".
    pub(crate) operation: String,
    pub(crate) kind: JobKind,
    forks: u64,
    /// Whether the workers were ended.
    is_over: bool,
}

/// What the items of a job stand for, for messages and for what the workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    /// For themselves; messages count them from this number on.
    Map { first: usize },
    /// There is one, and messages shall not speak of items and workers.
    Call,
    /// For the workers of a parallel region: the item's number is the rank.
    Region,
}

/// What a team is forked for.
pub(crate) struct Job {
    /// What messages say is being done: "map 10 items".
    pub(crate) operation: String,
    /// How many items there are; 0 if each run brings its own, see [`Team::run_fed`].
    pub(crate) items: usize,
    pub(crate) kind: JobKind,
    /// How many workers at most: 1 at least.
    pub(crate) workers: usize,
    /// How items are shared out to them.
    pub(crate) schedule: Schedule,
    /// Whether the function may have an ordered section.
    pub(crate) ordered: bool,
    /// Whether they are kept for several runs.
    pub(crate) kept: bool,
    pub(crate) policy: Policy,
    pub(crate) forking: Forking,
}

impl Job {
    /// How many items have turns in the ordered section.
    pub(crate) fn turns(&self) -> Result<usize, Error> {
        let turns = if self.ordered { self.items } else { 0 };
        if turns > MOST_ITEMS {
            let reason = format!("{turns} items were to be ordered, and there may be {MOST_ITEMS}");
            return Err(Error::new(ErrorKind::InvalidArgument, &self.operation, reason)
                .remedy("map fewer items at a time"));
        }
        Ok(turns)
    }
}

impl Team {
    /// Forks the workers of a job. Unless they are `kept` for several runs, the first one begins at once.
    ///
    /// `work` is called in the workers only, in a run once for each item, by the run's one worker that has taken it; if that one has ended,
    /// once more by the one that replaces it.
    pub(crate) fn fork<R: Pack>(job: Job, work: &impl Work<usize, R>) -> Result<Team, Error> {
        let turns = job.turns()?;
        let Job { operation, items, kind, workers, schedule, kept, policy, forking, .. } = job;
        let cut = Cut::new(schedule, items, workers, &operation)?;
        let (workers, room) = match items {
            0 => (workers, ROOM),
            _ => (workers.min(cut.batches()), cut.batches()),
        };
        if workers > MAX_WORKERS {
            let reason = format!("{workers} workers were asked for, and there may be {MAX_WORKERS} at most");
            return Err(
                Error::new(ErrorKind::Fork, operation, reason).remedy("ask for about one for each processor")
            );
        }
        let region = kind == JobKind::Region;
        let control = Control::planned(&Plan { workers, batches: room, turns, region })?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let event = event.map_err(|errno| {
            Error::new(
                ErrorKind::Fork,
                &operation,
                format!("eventfd failed: {}", std::io::Error::from(errno)),
            )
        })?;
        panics::prepare();
        let children = Vec::with_capacity(workers);
        let forks = shm_core::fork_count();
        let mut team = Team {
            control,
            cut,
            children,
            event,
            kept,
            schedule,
            policy,
            forking,
            fed: Stored::NOTHING,
            run: 0,
            operation,
            kind,
            forks,
            is_over: false,
        };
        if !kept {
            team.begin_run();
        }
        match team.fork_workers(workers, work) {
            Ok(()) => Ok(team),
            // Dropping the team ends and reaps those that were forked.
            Err(error) => Err(team.cannot_fork(workers, error)),
        }
    }

    fn fork_workers<R: Pack>(&mut self, workers: usize, work: &impl Work<usize, R>) -> std::io::Result<()> {
        self.forking.warning.before_fork();
        for rank in 0..workers {
            self.children.push(self.fork_worker(rank, &[], work)?);
        }
        Ok(())
    }

    /// Forks a worker that begins with the items `again`.
    fn fork_worker<R: Pack>(
        &self,
        rank: usize,
        again: &[Range<usize>],
        work: &impl Work<usize, R>,
    ) -> std::io::Result<Child> {
        let inherited = Inherited {
            control: &self.control,
            cut: &self.cut,
            schedule: self.schedule,
            event: self.event.as_fd(),
            kept: self.kept,
            hooks: &self.forking.hooks,
            again,
        };
        fork::fork(&self.forking, || worker::run(&inherited, rank, work))
    }

    /// Puts a fresh worker in the place of one that was reaped and written off. It begins with the items `again`.
    pub(crate) fn replace<R: Pack>(
        &mut self,
        rank: usize,
        again: &[Range<usize>],
        work: &impl Work<usize, R>,
    ) -> std::io::Result<()> {
        self.forking.warning.before_fork();
        self.children[rank] = self.fork_worker(rank, again, work)?;
        Ok(())
    }

    fn cannot_fork(&self, workers: usize, error: std::io::Error) -> Error {
        let reason = format!(
            "{workers} workers were asked for, and the system refused after {} of them: {error}; {}",
            self.children.len(),
            limits()
        );
        Error::new(ErrorKind::Fork, &self.operation, reason)
            .remedy("ask for fewer workers, or raise the limit (or pids.max of the control group)")
            .caused_by(error)
    }

    pub(crate) fn workers(&self) -> usize {
        self.control.workers()
    }

    fn begin_run(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.control.begin_run(self.run, self.cut.items(), self.fed);
    }

    /// Has all items worked on once, and calls `reduce` for each result as it arrives, in this thread; `progress` is told how many there are.
    ///
    /// `work` is what the workers were forked with, for those that replace others. After an error the workers are gone.
    pub(crate) fn run<R: Pack + Unpack, S>(
        &mut self,
        work: &impl Work<usize, R>,
        mut reduce: impl FnMut(usize, R) -> S,
        mut progress: impl FnMut(usize),
    ) -> Result<Outcome<S>, MapError<S>> {
        let mut run = self.start()?;
        match self.advance(&mut run, work, &mut reduce, &mut progress, None) {
            Ok(_) => Ok(run.take()),
            Err(error) => Err(MapError::new(error, run.inbox.into_finished())),
        }
    }

    /// A [`run`](Team::run) over items that are sent. If they cannot be sent, nothing has changed.
    pub(crate) fn run_fed<R: Pack + Unpack, S>(
        &mut self,
        feed: &Feed,
        work: &impl Work<usize, R>,
        reduce: impl FnMut(usize, R) -> S,
        progress: impl FnMut(usize),
    ) -> Result<Outcome<S>, MapError<S>> {
        self.check_alive()?;
        let operation = format!("map {} items", feed.items());
        let cut = Cut::new(self.schedule, feed.items(), self.workers(), &operation)?;
        if cut.batches() > self.control.room() {
            let reason = format!(
                "{} batches were asked for, and kept workers have room for {}",
                cut.batches(),
                self.control.room()
            );
            let error = Error::new(ErrorKind::InvalidArgument, operation, reason);
            return Err(error.remedy("ask for a schedule with larger chunks").into());
        }
        self.fed = feed.store(&self.control, &operation)?;
        (self.cut, self.operation) = (cut, operation);
        let outcome = self.run(work, reduce, progress);
        // All results are there, or the workers are gone: nobody reads items any more.
        std::mem::replace(&mut self.fed, Stored::NOTHING).free(&self.control);
        outcome
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Begins a run. Unless the workers are kept it is the only one, and they have begun already.
    pub(crate) fn start<S>(&mut self) -> Result<Run<S>, Error> {
        self.check_alive()?;
        if self.kept {
            self.begin_run();
        }
        Ok(Run { inbox: Inbox::new(self.cut.items())?, recovery: Recovery::new(self.policy) })
    }

    fn check_alive(&self) -> Result<(), Error> {
        // In a forked copy the workers are the original's.
        if self.is_over || self.forks != shm_core::fork_count() {
            return Err(Error::new(ErrorKind::Ended, &self.operation, "its workers have ended")
                .remedy("make a new one"));
        }
        Ok(())
    }

    /// Goes on with a run until all results are there (and the workers have ended, unless they are kept), or until then; says whether they are.
    pub(crate) fn advance<R: Pack + Unpack, S>(
        &mut self,
        run: &mut Run<S>,
        work: &impl Work<usize, R>,
        reduce: &mut impl FnMut(usize, R) -> S,
        progress: &mut impl FnMut(usize),
        until: Option<Instant>,
    ) -> Result<bool, Error> {
        self.check_alive()?;
        let Run { inbox, recovery } = run;
        let progress = RefCell::new(progress);
        let mut accept = |inbox: &mut Inbox<S>, control: &Control, rank: usize, message: Message| {
            results::accept(inbox, control, rank, message, reduce)?;
            (progress.borrow_mut())(inbox.done());
            Ok(())
        };
        // If `reduce` or `progress` panics, the workers are gone before anybody can catch it: they may be writing to what is lent to them.
        let team = EndOnUnwind(self);
        let beat = |done| (progress.borrow_mut())(done);
        let outcome = team.0.collect(recovery, inbox, &mut accept, &beat, work, until).map_err(|trouble| {
            // Results that were on their way are taken in as long as they can be read.
            let readable = !matches!(trouble, Trouble::Unreadable(..));
            team.0.end(&mut |control, rank, message| {
                if readable {
                    let _ = accept(inbox, control, rank, message);
                }
            });
            let tries = match trouble {
                Trouble::Died(rank) | Trouble::Gave(rank) => recovery.tries(team.0.item_of(rank, inbox)),
                _ => 0,
            };
            team.0.explain(&trouble, tries, inbox)
        });
        std::mem::forget(team);
        outcome
    }

    /// Waits until all results are there, and for the workers' end unless they are kept; false if that was not so by `until`.
    fn collect<R: Pack, S>(
        &mut self,
        recovery: &mut Recovery,
        inbox: &mut Inbox<S>,
        accept: &mut impl FnMut(&mut Inbox<S>, &Control, usize, Message) -> Result<(), Unreadable>,
        beat: &dyn Fn(usize),
        work: &impl Work<usize, R>,
        until: Option<Instant>,
    ) -> Result<bool, Trouble> {
        let heartbeat = self.forking.heartbeat;
        let mut has_looked = false;
        let mut idle = self.kept.then(|| Idle::new(AWAKE));
        if self.kept {
            // Who has ended since the last run is news, also when the others are done before the master has to sleep.
            for child in &mut self.children {
                child.reap();
            }
        }
        loop {
            // What a worker has sent before its end is taken in before its end is judged: ends are only collected above and in `wait`.
            let mut news = self.drain(&mut |control, rank, message| {
                accept(inbox, control, rank, message).map_err(|why| Trouble::Unreadable(rank, why))
            })?;
            for rank in 0..self.workers() {
                if let Some(trouble) = self.trouble_of(rank).filter(|_| !recovery.is_retired(rank)) {
                    self.recover(trouble, recovery, inbox, accept, work)?;
                    // Others may have been found to have ended meanwhile, with messages that were not taken in yet.
                    news = true;
                }
            }
            let all_ended = self.has_ended();
            if inbox.is_complete() && (self.kept || all_ended) {
                return Ok(true);
            }
            if all_ended && !news {
                return Err(Trouble::Unreadable(
                    0,
                    Unreadable::Nonsense("results of fewer items than there are"),
                ));
            }
            if !all_ended && idle.as_mut().is_some_and(Idle::pause) {
                continue;
            }
            let left = until.map_or(SLEEP, |until| until.saturating_duration_since(Instant::now()));
            if has_looked && left.is_zero() {
                return Ok(false);
            }
            has_looked = true;
            if heartbeat.is_some() && !news {
                beat(inbox.done());
            }
            let (limit, wakes_for) = if news { (REST, WakeFor::Urgent) } else { (SLEEP, WakeFor::All) };
            self.wait(limit.min(left).min(heartbeat.unwrap_or(limit)), wakes_for, |slot| {
                slot.has_message() || slot.state() == Some(State::Failed)
            });
        }
    }

    /// What is wrong with a worker, if anything is.
    fn trouble_of(&self, rank: usize) -> Option<Trouble> {
        match (self.control.slot(rank).state(), self.children[rank].exit()) {
            (None, _) => Some(Trouble::Unreadable(rank, Unreadable::Nonsense("an unknown state"))),
            (Some(State::Failed), _) => Some(Trouble::Gave(rank)),
            (Some(_), Some(exit)) if !in_order(&self.control, rank, exit) => Some(Trouble::Died(rank)),
            (Some(_), _) => None,
        }
    }

    /// Takes the messages out of all rings; says whether there were any.
    fn drain<E>(&self, each: &mut impl FnMut(&Control, usize, Message) -> Result<(), E>) -> Result<bool, E> {
        let mut news = false;
        for rank in 0..self.workers() {
            news |= self.drain_ring(rank, each)?;
        }
        Ok(news)
    }

    /// Takes the messages out of a worker's ring; says whether there were any.
    pub(crate) fn drain_ring<E>(
        &self,
        rank: usize,
        each: &mut impl FnMut(&Control, usize, Message) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut news = false;
        let slot = self.control.slot(rank);
        while let Some(message) = slot.pop() {
            news = true;
            if slot.wants_room() {
                wake_all(slot.tail());
            }
            each(&self.control, rank, message)?;
        }
        Ok(news)
    }

    fn has_ended(&self) -> bool {
        self.children.iter().all(|child| child.exit().is_some())
    }

    /// Sleeps until a worker has news that it is to be woken for, or has ended, a signal handler has run, or `limit` is over. Collects the exits of
    /// those that have ended.
    fn wait(&mut self, limit: Duration, wakes_for: WakeFor, is_news: impl Fn(&Slot) -> bool) {
        let header = self.control.header();
        header.master_goes_to_sleep(wakes_for);
        let fresh = (0..self.children.len()).any(|rank| is_news(self.control.slot(rank)));
        let limit = if fresh { Duration::ZERO } else { limit };
        let living = |child: &Child| child.exit().is_none();
        let mut watched = vec![PollFd::new(&self.event, PollFlags::IN)];
        let pidfds = self.children.iter().filter(|child| living(child)).map(Child::pidfd);
        watched.extend(pidfds.clone().flatten().map(|pidfd| PollFd::from_borrowed_fd(pidfd, PollFlags::IN)));
        let look_again =
            self.children.iter().filter(|child| living(child)).filter_map(Child::look_again).min();
        let limit = look_again.map_or(limit, |look_again| limit.min(look_again));
        let timeout = Timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
        let polled = rustix::event::poll(&mut watched, Some(&timeout));
        if polled.is_err_and(|errno| errno != Errno::INTR) {
            // The program has lowered its limit of descriptors (EINVAL), or there is no memory: look at all of them, now and then.
            std::thread::sleep(limit.min(Duration::from_millis(1)));
        }
        header.master_is_awake();
        let mut revents = watched.iter().map(|fd| polled.is_err() || !fd.revents().is_empty());
        if revents.next() == Some(true) {
            let _ = rustix::io::read(&self.event, &mut [0; 8]); // back to 0
        }
        let ended: Vec<bool> = pidfds.map(|pidfd| pidfd.is_none() || revents.next() == Some(true)).collect();
        let children = self.children.iter_mut().filter(|child| living(child));
        for (child, _) in children.zip(&ended).filter(|(_, ended)| **ended) {
            child.reap();
        }
    }

    /// Returns when a worker that has nothing left to do has ended and is reaped.
    pub(crate) fn await_end(&mut self, rank: usize) {
        self.children[rank].kill();
        while self.children[rank].exit().is_none() {
            self.wait(SLEEP, WakeFor::All, |_| false);
        }
    }

    /// Kills those that live, and does not wait for their end.
    pub(crate) fn kill(&self) {
        if self.forks == shm_core::fork_count() {
            self.children.iter().for_each(Child::kill);
        }
    }

    /// Ends all workers and reaps them: those that work may finish their item, if it does not take long.
    fn end(&mut self, each: &mut dyn FnMut(&Control, usize, Message)) {
        if self.forks != shm_core::fork_count() {
            return; // this is a forked copy, and the workers are the original's
        }
        self.is_over = true;
        self.control.stop();
        let deadline = Instant::now() + GRACE;
        let mut drain = |team: &Team| {
            let drained = team.drain(&mut |control, rank, message| {
                each(control, rank, message);
                Ok::<(), std::convert::Infallible>(())
            });
            drained.unwrap_or_default()
        };
        loop {
            let news = drain(self);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.has_ended() || left.is_zero() {
                break;
            }
            self.wait(if news { Duration::ZERO } else { left }, WakeFor::All, Slot::has_message);
        }
        if !self.has_ended() {
            // Whoever is in the critical or ordered section may leave it, so that what it guards is whole.
            let deadline = Instant::now() + CRITICAL_GRACE;
            let sections = self.control.sections();
            let guards: Vec<_> = sections
                .iter()
                .map(|section| section.lock_until(deadline).or_else(LockError::recover))
                .collect();
            self.children.iter().for_each(Child::kill);
            while !self.has_ended() {
                self.wait(SLEEP, WakeFor::All, |_| false);
            }
            drop(guards);
            drain(self);
        }
    }
}

/// A run that goes on.
pub(crate) struct Run<S> {
    inbox: Inbox<S>,
    recovery: Recovery,
}

impl<S> Run<S> {
    /// What came out of it, when it is complete.
    pub(crate) fn take(&mut self) -> Outcome<S> {
        let inbox = std::mem::replace(&mut self.inbox, Inbox::complete(Vec::new()));
        Outcome { inbox, failures: std::mem::take(&mut self.recovery.failures) }
    }

    /// From here on a failure is the end of it.
    pub(crate) fn no_more_tries(&mut self) {
        self.recovery.give_up();
    }
}

/// What came out of a run that did not fail.
pub(crate) struct Outcome<S> {
    inbox: Inbox<S>,
    failures: Vec<Error>,
}

impl<S> Outcome<S> {
    pub(crate) fn new(inbox: Inbox<S>, failures: Vec<Error>) -> Outcome<S> {
        Outcome { inbox, failures }
    }

    /// What the master did itself.
    pub(crate) fn serial(results: Vec<S>) -> Outcome<S> {
        Outcome { inbox: Inbox::complete(results), failures: Vec::new() }
    }

    /// The results, where no item may be skipped.
    pub(crate) fn into_results(self) -> Vec<S> {
        self.inbox.into_results()
    }

    /// What results there are, and why there are no others.
    pub(crate) fn into_partial(self) -> Partial<S> {
        Partial::new(self.inbox.into_partial(), self.failures)
    }
}

/// Ends a team when it is dropped, by a panic.
struct EndOnUnwind<'a>(&'a mut Team);

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.end(&mut |_, _, _| {});
    }
}

impl Drop for Team {
    /// Ends the workers, and returns when they are reaped.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end(&mut |_, _, _| {});
        }
    }
}

/// Whether a worker that has ended like this has done all that it had to.
fn in_order(control: &Control, rank: usize, exit: Exit) -> bool {
    let state = control.slot(rank).state();
    match exit {
        Exit::Code(0) | Exit::Unknown => state == Some(State::Finished),
        // It says itself why; see `collect`.
        Exit::Code(_) => state == Some(State::Failed),
        Exit::Signal(_) => false,
    }
}
