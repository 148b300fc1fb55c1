//! The master's side: forks the workers, takes in their results, notices deaths, ends and reaps them.
//!
//! [`Team`] is one mechanism for all fronts: numbered items, forked workers, one run or several. While a run lasts the master's thread waits in
//! `poll` on an eventfd (a worker has news) and on the workers' pidfds (a worker has ended). The protocol is in `PROTOCOL.md`.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::thread::futex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_sync::LockError;

use crate::control::{Control, Failure, Message, Slot, State, WakeFor};
use crate::error::{Error, ErrorKind, Exit, MapError};
use crate::fork::{self, Child};
use crate::results::{Inbox, Unreadable};
use crate::schedule::Schedule;
use crate::stdio::Quiet;
use crate::worker::{self, Inherited, Worker};

/// How long workers may take to finish their item when the others have to stop.
const GRACE: Duration = Duration::from_millis(100);
/// How long they may stay in the critical section then.
const CRITICAL_GRACE: Duration = Duration::from_secs(1);
/// As many workers can own blocks of the arena at a time, beside the master.
const MAX_WORKERS: usize = 1023;
/// The master sleeps so long at most before it looks again; it is woken before that.
const SLEEP: Duration = Duration::from_secs(1);
/// When it has taken results in, it rests so long before it looks for more, unless there is something urgent: each time it wakes it takes the
/// processor from a worker.
const REST: Duration = Duration::from_millis(5);

/// Forked workers and what they work on.
pub(crate) struct Team {
    control: Control,
    schedule: Schedule,
    children: Vec<Child>,
    event: OwnedFd,
    kept: bool,
    run: u32,
    /// What messages say is being done: "map 10 items".
    operation: String,
    forks: u64,
}

impl Team {
    /// Forks at most `workers` (at least 1) for so many items (at least 1). Unless they are `kept` for several runs, the first one begins at once.
    ///
    /// `work` is called in the workers only, once for each item of a run, in the run's one worker that has taken it.
    pub(crate) fn fork<R: Serialize>(
        operation: String,
        items: usize,
        workers: usize,
        kept: bool,
        work: &impl Fn(&Worker, usize) -> R,
    ) -> Result<Team, Error> {
        let workers = workers.min(items);
        if workers > MAX_WORKERS {
            let reason = format!("{workers} workers were asked for, and there may be {MAX_WORKERS} at most");
            return Err(
                Error::new(ErrorKind::Fork, operation, reason).remedy("ask for about one for each processor")
            );
        }
        let schedule = Schedule::guided(items, workers);
        let control = Control::new(workers, schedule.batches())?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let event = event.map_err(|errno| {
            Error::new(
                ErrorKind::Fork,
                &operation,
                format!("eventfd failed: {}", std::io::Error::from(errno)),
            )
        })?;
        let children = Vec::with_capacity(workers);
        let forks = shm_core::fork_count();
        let mut team = Team { control, schedule, children, event, kept, run: 0, operation, forks };
        if !kept {
            team.begin_run();
        }
        match team.fork_workers(workers, work) {
            Ok(()) => Ok(team),
            // Dropping the team ends and reaps those that were forked.
            Err(error) => Err(team.cannot_fork(workers, error)),
        }
    }

    fn fork_workers<R: Serialize>(
        &mut self,
        workers: usize,
        work: &impl Fn(&Worker, usize) -> R,
    ) -> std::io::Result<()> {
        let quiet = Quiet::new();
        for rank in 0..workers {
            let inherited = Inherited {
                control: &self.control,
                schedule: &self.schedule,
                event: self.event.as_fd(),
                kept: self.kept,
            };
            let child = fork::fork(&quiet, || worker::run(&inherited, rank, work))?;
            self.children.push(child);
        }
        Ok(())
    }

    fn cannot_fork(&self, workers: usize, error: std::io::Error) -> Error {
        let limit = |resource| match rustix::process::getrlimit(resource).current {
            Some(limit) => limit.to_string(),
            None => "none".to_owned(),
        };
        let limits = format!(
            "the limit of processes (ulimit -u) is {}, that of open files (ulimit -n), one for each worker, is {}",
            limit(rustix::process::Resource::Nproc),
            limit(rustix::process::Resource::Nofile),
        );
        let reason = format!(
            "{workers} workers were asked for, and the system refused after {} of them: {error}; {limits}",
            self.children.len()
        );
        Error::new(ErrorKind::Fork, &self.operation, reason)
            .remedy("ask for fewer workers, or raise the limit (or pids.max of the control group)")
            .caused_by(error)
    }

    pub(crate) fn workers(&self) -> usize {
        self.control.workers()
    }

    fn begin_run(&mut self) {
        let header = self.control.header();
        self.run = self.run.wrapping_add(1);
        header.cursor.store(u64::from(self.run) << 32, Ordering::Release);
        header.run.store(self.run, Ordering::SeqCst); // see `next_run` in worker.rs
        if header.sleepers.load(Ordering::SeqCst) > 0 {
            wake_all(&header.run);
        }
    }

    /// Has all items worked on once, and calls `reduce` for each result as it arrives, in this thread; `progress` is told how many there are.
    ///
    /// After an error the workers are gone.
    pub(crate) fn run<R: DeserializeOwned, S>(
        &mut self,
        mut reduce: impl FnMut(usize, R) -> S,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<S>, MapError<S>> {
        if self.kept {
            if self.has_ended() {
                return Err(Error::new(ErrorKind::Ended, &self.operation, "its workers have ended")
                    .remedy("make a new crew")
                    .into());
            }
            self.begin_run();
        }
        let mut inbox = Inbox::new(self.schedule.items());
        let mut accept = |inbox: &mut Inbox<S>, control: &Control, message: Message| {
            inbox.accept(control, message, &mut reduce)?;
            progress(inbox.done());
            Ok(())
        };
        // If `reduce` or `progress` panics, the workers are gone before anybody can catch it: they may be writing to what is lent to them.
        let team = EndOnUnwind(self);
        let outcome = team.0.collect(&mut inbox, &mut accept).map_err(|trouble| {
            // Results that were on their way are taken in as long as they can be read.
            let readable = !matches!(trouble, Trouble::Unreadable(..));
            team.0.end(&mut |control, message| {
                if readable {
                    let _ = accept(&mut inbox, control, message);
                }
            });
            team.0.explain(trouble, &inbox)
        });
        std::mem::forget(team);
        match outcome {
            Ok(()) => Ok(inbox.into_results()),
            Err(error) => Err(MapError::new(error, inbox.into_finished())),
        }
    }

    /// Waits until all results are there, and for the workers' end unless they are kept.
    fn collect<S>(
        &mut self,
        inbox: &mut Inbox<S>,
        accept: &mut impl FnMut(&mut Inbox<S>, &Control, Message) -> Result<(), Unreadable>,
    ) -> Result<(), Trouble> {
        let mut died = None;
        loop {
            // What a worker has sent before its end is taken in before its end is told of.
            let news = self.drain(|control, rank, message| {
                accept(inbox, control, message).map_err(|unreadable| Trouble::Unreadable(rank, unreadable))
            })?;
            for rank in 0..self.workers() {
                match self.control.slot(rank).state() {
                    Some(State::Failed) => return Err(Trouble::Gave(rank)),
                    None => return Err(Trouble::Unreadable(rank, Unreadable::Nonsense("an unknown state"))),
                    Some(_) => {}
                }
            }
            if let Some(rank) = died {
                return Err(Trouble::Died(rank));
            }
            let all_ended = self.has_ended();
            if inbox.is_complete() && (self.kept || all_ended) {
                return Ok(());
            }
            if all_ended && !news {
                return Err(Trouble::Unreadable(
                    0,
                    Unreadable::Nonsense("results of fewer items than there are"),
                ));
            }
            let (limit, wakes_for) = if news { (REST, WakeFor::Urgent) } else { (SLEEP, WakeFor::All) };
            died =
                self.wait(limit, wakes_for, |slot| slot.has_message() || slot.state() == Some(State::Failed));
        }
    }

    /// Takes the messages out of all rings; says whether there were any.
    fn drain<E>(&self, mut each: impl FnMut(&Control, usize, Message) -> Result<(), E>) -> Result<bool, E> {
        let mut news = false;
        for rank in 0..self.workers() {
            let slot = self.control.slot(rank);
            while let Some(message) = slot.pop() {
                news = true;
                if slot.wants_room() {
                    wake_all(slot.tail());
                }
                each(&self.control, rank, message)?;
            }
        }
        Ok(news)
    }

    fn has_ended(&self) -> bool {
        self.children.iter().all(|child| child.exit().is_some())
    }

    /// Sleeps until a worker has news that it is to be woken for, or has ended, a signal handler has run, or `limit` is over. Collects the exits of
    /// those that have ended and returns one that did not end in order.
    fn wait(
        &mut self,
        limit: Duration,
        wakes_for: WakeFor,
        is_news: impl Fn(&Slot) -> bool,
    ) -> Option<usize> {
        let header = self.control.header();
        header.master_goes_to_sleep(wakes_for);
        let fresh = (0..self.children.len()).any(|rank| is_news(self.control.slot(rank)));
        let limit = if fresh { Duration::ZERO } else { limit };
        let living = |child: &Child| child.exit().is_none();
        let mut watched = vec![PollFd::new(&self.event, PollFlags::IN)];
        let pidfds = self.children.iter().filter(|child| living(child)).map(Child::pidfd);
        watched.extend(pidfds.clone().flatten().map(|pidfd| PollFd::from_borrowed_fd(pidfd, PollFlags::IN)));
        let limit = if pidfds.clone().any(|pidfd| pidfd.is_none()) { Duration::ZERO } else { limit };
        let timeout = Timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
        // An error is a wake-up: a signal handler has run.
        let polled = rustix::event::poll(&mut watched, Some(&timeout)).is_ok();
        header.master_is_awake();
        let mut revents = watched.iter().map(|fd| polled && !fd.revents().is_empty());
        if revents.next() == Some(true) {
            let _ = rustix::io::read(&self.event, &mut [0; 8]); // back to 0
        }
        let ended: Vec<bool> = pidfds.map(|pidfd| pidfd.is_none() || revents.next() == Some(true)).collect();
        let mut died = None;
        let ranks = self.children.iter_mut().enumerate().filter(|(_, child)| living(child));
        for ((rank, child), _) in ranks.zip(&ended).filter(|(_, ended)| **ended) {
            if child.reap().is_some_and(|exit| !in_order(&self.control, rank, exit)) {
                died = died.or(Some(rank));
            }
        }
        died
    }

    /// Ends all workers and reaps them: those that work may finish their item, if it does not take long.
    fn end(&mut self, each: &mut dyn FnMut(&Control, Message)) {
        if self.forks != shm_core::fork_count() {
            return; // this is a forked copy, and the workers are the original's
        }
        let header = self.control.header();
        header.stop.store(1, Ordering::SeqCst);
        header.run.fetch_add(1, Ordering::SeqCst); // so that nobody begins to sleep on the old number
        wake_all(&header.run);
        wake_all(&header.in_flight);
        let deadline = Instant::now() + GRACE;
        let mut drain = |team: &Team| {
            let drained = team.drain(|control, _rank, message| {
                each(control, message);
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
            // Whoever is in the critical section may leave it, so that what it guards is whole.
            let critical = self.control.critical_section();
            let guard = critical.lock_timeout(CRITICAL_GRACE).or_else(LockError::recover);
            self.children.iter().for_each(Child::kill);
            while !self.has_ended() {
                self.wait(SLEEP, WakeFor::All, |_| false);
            }
            drop(guard);
            drain(self);
        }
    }

    /// Makes an error of what went wrong, when all workers are gone.
    fn explain<S>(&self, trouble: Trouble, inbox: &Inbox<S>) -> Error {
        let (Trouble::Died(rank) | Trouble::Gave(rank) | Trouble::Unreadable(rank, _)) = trouble;
        let pid = self.children[rank].pid();
        let slot = self.control.slot(rank);
        let who = format!("worker {rank} (pid {pid})");
        let item = usize::try_from(slot.item.load(Ordering::Relaxed)).ok();
        let item = item.filter(|item| *item < self.schedule.items());
        let new = |kind, reason: String| Error::new(kind, &self.operation, reason).worker(rank, pid);
        let error = match trouble {
            Trouble::Died(_) => {
                let exit = self.children[rank].exit().unwrap_or(Exit::Unknown);
                let working = item.filter(|_| slot.state() == Some(State::Working));
                let place = match (working, slot.state()) {
                    (Some(item), _) => format!(" while it worked on item {item}"),
                    (None, Some(State::Finished)) => " after its last item".to_owned(),
                    (None, _) => " between two items".to_owned(),
                };
                let error =
                    new(ErrorKind::Died, format!("{who} {exit}{place}")).ended_by(exit).at_item(working);
                match exit {
                    Exit::Signal(libc::SIGKILL) => {
                        error.remedy("if nobody killed it, the kernel ran out of memory: see its log")
                    }
                    Exit::Signal(libc::SIGBUS) => error
                        .remedy("a bus error in shared memory means that its pages could not be allocated"),
                    _ => error,
                }
            }
            Trouble::Gave(_) => match slot.failure() {
                Some(Failure::Panic(panic)) => {
                    let at = if panic.location.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", panic.location)
                    };
                    let item_text = item.map_or(String::new(), |item| format!(" at item {item}"));
                    let reason = format!("{who} panicked{item_text}: {}{at}", panic.message);
                    new(ErrorKind::Panicked, reason).panicked(panic).at_item(item)
                }
                Some(Failure::Encode(text)) => {
                    let item_text = item.map_or("an item".to_owned(), |item| format!("item {item}"));
                    let reason = format!("the result of {item_text} cannot be serialised: {text}");
                    new(ErrorKind::Encode, reason).at_item(item)
                }
                Some(Failure::Memory(text)) => new(ErrorKind::OutOfMemory, format!("{who}: {text}"))
                    .at_item(item)
                    .remedy("return less from each item, or put it into a shared array"),
                Some(Failure::Broken(text)) => new(ErrorKind::Segment, format!("{who}: {text}"))
                    .at_item(item)
                    .remedy("see whether the function closes descriptors that it has not opened"),
                None => new(ErrorKind::Corrupted, format!("{who} gave up and its reason was overwritten")),
            },
            Trouble::Unreadable(_, Unreadable::Decode(item, error)) => {
                let reason = format!("the result of item {item} cannot be read back: {error}");
                new(ErrorKind::Decode, reason)
                    .at_item(Some(item))
                    .remedy("its type does not read what it writes; look at its serde attributes")
                    .caused_by(error)
            }
            Trouble::Unreadable(_, Unreadable::Block(error)) => {
                new(ErrorKind::Corrupted, format!("{who}: {error}")).caused_by(error)
            }
            Trouble::Unreadable(_, Unreadable::Nonsense(what)) => new(
                ErrorKind::Corrupted,
                format!("{who} told of {what}: something overwrites memory that is not its own"),
            ),
        };
        error.with_unfinished(self.unfinished(rank, inbox))
    }

    /// The items that a worker had taken and whose results have not arrived.
    fn unfinished<S>(&self, rank: usize, inbox: &Inbox<S>) -> Vec<Range<usize>> {
        let mut unfinished: Vec<Range<usize>> = Vec::new();
        for batch in 0..self.schedule.batches() {
            if self.control.taker(self.run, batch) != Some(rank) {
                continue;
            }
            for range in inbox.missing(self.schedule.range(batch)) {
                match unfinished.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => unfinished.push(range),
                }
            }
        }
        unfinished
    }
}

/// Ends a team when it is dropped, by a panic.
struct EndOnUnwind<'a>(&'a mut Team);

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.end(&mut |_, _| {});
    }
}

impl Drop for Team {
    /// Ends the workers, and returns when they are reaped.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end(&mut |_, _| {});
        }
    }
}

/// What went wrong in a run, and with which worker.
enum Trouble {
    /// It ended, and not in order.
    Died(usize),
    /// It gave up and said why.
    Gave(usize),
    /// What it sent cannot be used.
    Unreadable(usize, Unreadable),
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

fn wake_all(word: &std::sync::atomic::AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}
