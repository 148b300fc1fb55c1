//! What can go wrong with a worker, and the error that it becomes: who, how, at which item, and what is left unfinished.
//!
//! It only looks: what follows from a failure is decided in `recovery.rs`, and what the master does meanwhile is in `master.rs`.

use std::ops::Range;

use crate::control::{Control, Failure, State};
use crate::error::{Error, ErrorKind, Exit, Panic};
use crate::inbox::Inbox;
use crate::master::{JobKind, Team};
use crate::results::Unreadable;
use crate::schedule::Cut;

/// What went wrong in a run, and with which worker.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It ended, and not in order.
    Died(usize),
    /// It gave up and said why.
    Gave(usize),
    /// What it sent cannot be used.
    Unreadable(usize, Unreadable),
    /// It has died before, and the system refuses another process in its place.
    NotReplaced(usize, std::io::Error),
}

/// What limits the number of processes here, for messages.
pub(crate) fn limits() -> String {
    let limit = |resource| match rustix::process::getrlimit(resource).current {
        Some(limit) => limit.to_string(),
        None => "none".to_owned(),
    };
    format!(
        "the limit of processes (ulimit -u) is {}, that of open files (ulimit -n), one for each worker, is {}",
        limit(rustix::process::Resource::Nproc),
        limit(rustix::process::Resource::Nofile),
    )
}

impl Team {
    /// Makes an error of what went wrong, when the worker is gone.
    pub(crate) fn explain<S>(&self, trouble: &Trouble, tries: usize, inbox: &Inbox<S>) -> Error {
        let (Trouble::Died(rank)
        | Trouble::Gave(rank)
        | Trouble::Unreadable(rank, _)
        | Trouble::NotReplaced(rank, _)) = *trouble;
        let pid = self.children[rank].pid();
        let slot = self.control.slot(rank);
        let who = match self.kind {
            JobKind::Call => format!("its process (pid {pid})"),
            JobKind::Map { .. } | JobKind::Region => format!("worker {rank} (pid {pid})"),
        };
        let item = self.item_of(rank, inbox);
        let tried = if tries > 1 { format!(" (tried {tries} times)") } else { String::new() };
        // The one item of a call is not worth a word, and that of a worker in a region is its number.
        let number = |item: usize| match self.kind {
            JobKind::Map { first } => first.saturating_add(item),
            JobKind::Call | JobKind::Region => item,
        };
        let by_item = matches!(self.kind, JobKind::Map { .. });
        let at = |before: &str, item: Option<usize>| match item {
            Some(item) if by_item => format!("{before}item {}{tried}", number(item)),
            _ => tried.clone(),
        };
        let new = |kind, reason: String| Error::new(kind, &self.operation, reason).worker(rank, pid);
        let error = match trouble {
            Trouble::Died(_) => {
                let exit = self.children[rank].exit().unwrap_or(Exit::Unknown);
                let working = item.filter(|_| slot.state() == Some(State::Working));
                let place = match (working, slot.state() == Some(State::Finished), self.kind) {
                    (Some(item), ..) => at(" while it worked on ", Some(item)),
                    (None, true, JobKind::Map { .. }) => " after its last item".to_owned(),
                    (None, true, JobKind::Call) => " after the call".to_owned(),
                    (None, true, JobKind::Region) => " after its function had returned".to_owned(),
                    (None, false, JobKind::Map { .. }) => " between two items".to_owned(),
                    (None, false, JobKind::Call) => " beside the call".to_owned(),
                    (None, false, JobKind::Region) => " outside of its function".to_owned(),
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
                    let reason = panic.reason(&who, item.filter(|_| by_item).map(number), tries);
                    new(ErrorKind::Panicked, reason).panicked(panic).at_item(item)
                }
                Some(Failure::Encode(text)) => {
                    let of = match self.kind {
                        JobKind::Region => format!(" of {who}"),
                        JobKind::Map { .. } | JobKind::Call => at(" of ", item),
                    };
                    let reason = format!("the result{of} cannot be serialised: {text}");
                    new(ErrorKind::Encode, reason).at_item(item)
                }
                Some(Failure::Item(text)) => {
                    let what =
                        item.map_or("an item".to_owned(), |item| format!("item {}{tried}", number(item)));
                    new(ErrorKind::Decode, format!("{who} cannot read {what} that it was sent: {text}"))
                        .at_item(item)
                        .remedy("its type does not read what it writes; look at its serde attributes")
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
                let of = at(" of ", Some(*item));
                let reason = format!("the result{of} cannot be read back: {error}");
                new(ErrorKind::Decode, reason)
                    .at_item(Some(*item))
                    .remedy("its type does not read what it writes; look at its serde attributes")
                    .caused_by(error.clone())
            }
            Trouble::Unreadable(_, Unreadable::Block(error)) => {
                new(ErrorKind::Corrupted, format!("{who}: {error}"))
            }
            Trouble::Unreadable(_, Unreadable::Nonsense(what)) => new(
                ErrorKind::Corrupted,
                format!("{who} told of {what}: something overwrites memory that is not its own"),
            ),
            Trouble::NotReplaced(_, error) => new(
                ErrorKind::Fork,
                format!("the system refused a process to replace {who}: {error}; {}", limits()),
            )
            .remedy("ask for fewer workers, or raise the limit (or pids.max of the control group)"),
        };
        match self.kind {
            JobKind::Map { first } => error.with_unfinished(self.unfinished(rank, inbox)).counted_from(first),
            JobKind::Call => error.at_item(None),
            JobKind::Region => error,
        }
    }

    /// The item that a worker is at, or was at when it ended; nothing if it is at none, or has sent that one's result.
    pub(crate) fn item_of<S>(&self, rank: usize, inbox: &Inbox<S>) -> Option<usize> {
        self.control.item_of(&self.cut, self.run, rank, inbox)
    }

    /// The items that a worker had taken and whose results have not arrived.
    pub(crate) fn unfinished<S>(&self, rank: usize, inbox: &Inbox<S>) -> Vec<Range<usize>> {
        self.control.unfinished(&self.cut, self.run, rank, inbox)
    }
}

impl Panic {
    /// What a message says about it.
    pub(crate) fn reason(&self, who: &str, item: Option<usize>, tries: usize) -> String {
        let tried = if tries > 1 { format!(" (tried {tries} times)") } else { String::new() };
        let at = item.map_or(String::new(), |item| format!(" at item {item}"));
        let place = if self.location.is_empty() { String::new() } else { format!(" ({})", self.location) };
        format!("{who} panicked{at}{tried}: {}{place}", self.message)
    }
}

impl Control {
    /// The item that a worker is at in a run, or was at when it ended; nothing if it is at none, or has sent that one's result.
    pub(crate) fn item_of<S>(&self, cut: &Cut, run: u32, rank: usize, inbox: &Inbox<S>) -> Option<usize> {
        let slot = self.slot(rank);
        let item = slot.last_item()?;
        let at_work = matches!(slot.state(), Some(State::Working | State::Failed));
        let unfinished = || self.unfinished(cut, run, rank, inbox);
        (at_work && unfinished().iter().any(|range| range.contains(&item))).then_some(item)
    }

    /// The items that a worker had taken in a run and whose results have not arrived.
    pub(crate) fn unfinished<S>(
        &self,
        cut: &Cut,
        run: u32,
        rank: usize,
        inbox: &Inbox<S>,
    ) -> Vec<Range<usize>> {
        let mut unfinished: Vec<Range<usize>> = Vec::new();
        for batch in (0..cut.batches()).filter(|batch| self.taker(run, *batch) == Some(rank)) {
            for range in inbox.missing(cut.range(batch)) {
                match unfinished.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => unfinished.push(range),
                }
            }
        }
        unfinished
    }
}
