//! The error of this crate: what was attempted, which worker or item it failed on, why, and what to do about it.
//!
//! [`Error`] is text for people and accessors for programs. [`MapError`] adds the results that were finished before, so that
//! they are not thrown away.

use std::fmt;
use std::ops::{Deref, Range};

/// What kind of thing went wrong, for code that wants to branch.
///
/// New kinds may be added, so a `match` needs a wildcard arm.
///
/// ```
/// use shm_pool::{ErrorKind, MapReduce};
/// let error = MapReduce::new().workers(1).threads_ok().map(0..3, |_, i| assert_ne!(i, 1)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Panicked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The function panicked in a worker.
    Panicked,
    /// A worker was killed, aborted or left by itself in the middle of its work.
    Died,
    /// The system refused another process, or what is needed to watch it.
    Fork,
    /// The segment that master and workers talk through could not be made or used.
    Segment,
    /// A result, or an item that is sent to kept workers, cannot be serialised.
    Encode,
    /// What a result or an item was serialised to cannot be read back.
    Decode,
    /// There is no memory for a result, or for the items that are sent.
    OutOfMemory,
    /// An argument is out of range, or the array is not laid out as needed.
    InvalidArgument,
    /// The workers have ended already.
    Ended,
    /// A worker wrote what no worker writes; something overwrites memory that is not its own.
    Corrupted,
}

/// How a worker process ended.
///
/// ```
/// use shm_pool::{Exit, MapReduce};
/// let pool = MapReduce::new().workers(1).threads_ok();
/// let error = pool.map(0..1, |_, _| -> () { std::process::exit(7) }).unwrap_err();
/// assert_eq!(error.exit(), Some(Exit::Code(7)));
/// assert_eq!(Exit::Signal(9).to_string(), "was killed by signal 9 (SIGKILL)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// It left by itself, with this exit code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It is dead, but this program had its status collected by somebody else.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "was killed by signal {signal} ({name})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Exit::Unknown => f.write_str("died, with a status that somebody else collected"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

/// What a worker said about its panic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
    pub(crate) backtrace: String,
}

/// An error of `shm-pool`: operation, reason and remedy, and the worker and items concerned.
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let error = pool.map(0..8, |_, i| if i == 5 { panic!("five is too much") }).unwrap_err();
/// assert_eq!(error.item(), Some(5));
/// assert_eq!(error.panic_message(), Some("five is too much"));
/// assert!(error.to_string().starts_with("cannot map 8 items: worker "));
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    operation: String,
    reason: String,
    remedy: Option<String>,
    rank: Option<usize>,
    pid: Option<u32>,
    item: Option<usize>,
    exit: Option<Exit>,
    panic: Option<Panic>,
    unfinished: Vec<Range<usize>>,
    /// What messages call the first item.
    first: usize,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, operation: impl Into<String>, reason: impl Into<String>) -> Error {
        Error(Box::new(Repr {
            kind,
            operation: operation.into(),
            reason: reason.into(),
            remedy: None,
            rank: None,
            pid: None,
            item: None,
            exit: None,
            panic: None,
            unfinished: Vec::new(),
            first: 0,
            source: None,
        }))
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Error {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Names the worker; one that is a thread has no process id of its own.
    pub(crate) fn worker(mut self, rank: usize, pid: impl Into<Option<u32>>) -> Error {
        (self.0.rank, self.0.pid) = (Some(rank), pid.into());
        self
    }

    pub(crate) fn at_item(mut self, item: Option<usize>) -> Error {
        self.0.item = item;
        self
    }

    pub(crate) fn ended_by(mut self, exit: Exit) -> Error {
        self.0.exit = Some(exit);
        self
    }

    pub(crate) fn panicked(mut self, panic: Panic) -> Error {
        self.0.panic = Some(panic);
        self
    }

    pub(crate) fn with_unfinished(mut self, unfinished: Vec<Range<usize>>) -> Error {
        self.0.unfinished = unfinished;
        self
    }

    /// Has the text count the items that are left unfinished from another number than 0.
    pub(crate) fn counted_from(mut self, first: usize) -> Error {
        self.0.first = first;
        self
    }

    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Returns the kind of the error.
    ///
    /// ```
    /// use shm_pool::{ErrorKind, MapReduce};
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Panicked);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the number of the worker concerned, counted from 0.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// assert_eq!(error.rank(), Some(0)); // there is no other
    /// ```
    pub fn rank(&self) -> Option<usize> {
        self.0.rank
    }

    /// Returns the process id that the worker had; nothing for a thread.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// let pid = error.pid().unwrap(); // to look for in the system's log
    /// assert_ne!(pid, std::process::id());
    /// ```
    pub fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// Returns the index of the item that the worker was at; for chunks the number of the chunk.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// assert_eq!(error.item(), Some(1));
    /// ```
    pub fn item(&self) -> Option<usize> {
        self.0.item
    }

    /// Returns how the worker ended, for [`ErrorKind::Died`].
    ///
    /// ```
    /// use shm_pool::{Exit, MapReduce};
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map(0..1, |_, _| -> () { std::process::exit(7) }).unwrap_err();
    /// assert_eq!(error.exit(), Some(Exit::Code(7)));
    /// ```
    pub fn exit(&self) -> Option<Exit> {
        self.0.exit
    }

    /// Returns the message of the panic, for [`ErrorKind::Panicked`].
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, -1], |_, n| assert!(n > 0, "{n} is too small")).unwrap_err();
    /// assert_eq!(error.panic_message(), Some("-1 is too small"));
    /// ```
    pub fn panic_message(&self) -> Option<&str> {
        self.0.panic.as_ref().map(|panic| panic.message.as_str())
    }

    /// Returns where the panic happened, as `file:line:column`.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, -1], |_, n| assert!(n > 0, "{n} is too small")).unwrap_err();
    /// assert!(error.panic_location().unwrap().starts_with(file!()));
    /// ```
    pub fn panic_location(&self) -> Option<&str> {
        self.0.panic.as_ref().map(|panic| panic.location.as_str()).filter(|text| !text.is_empty())
    }

    /// Returns the backtrace of the panic; there is one if `RUST_BACKTRACE` (or `RUST_LIB_BACKTRACE`) asks for it. A long one is cut.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, -1], |_, n| assert!(n > 0, "{n} is too small")).unwrap_err();
    /// println!("{}", error.backtrace().unwrap_or("try again with RUST_BACKTRACE=1"));
    /// ```
    pub fn backtrace(&self) -> Option<&str> {
        self.0.panic.as_ref().map(|panic| panic.backtrace.as_str()).filter(|text| !text.is_empty())
    }

    /// Returns the items that the worker had taken and whose results are lost, ascending.
    ///
    /// Items that no worker had begun are not among them; [`MapError::finished`] tells what there is.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// let lost: Vec<usize> = error.unfinished().iter().cloned().flatten().collect();
    /// assert!(lost.contains(&1) && !lost.contains(&0));
    /// ```
    pub fn unfinished(&self) -> &[Range<usize>] {
        &self.0.unfinished
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.0.operation, self.0.reason)?;
        if !self.0.unfinished.is_empty() {
            write!(f, "; it leaves unfinished: {}", Ranges(&self.0.unfinished, self.0.first))?;
        }
        match &self.0.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match self.backtrace() {
            Some(backtrace) => write!(f, "\nbacktrace of the worker:\n{backtrace}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Item ranges for messages, and what the first item is called: "3, 7 to 9", cut after a few.
struct Ranges<'a>(&'a [Range<usize>], usize);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let number = |item: usize| self.1.saturating_add(item);
        for (i, range) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match range.len() {
                1 => write!(f, "{comma}{}", number(range.start))?,
                _ => write!(f, "{comma}{} to {}", number(range.start), number(range.end - 1))?,
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} ranges more"),
        }
    }
}

/// An [`Error`] together with the results that were finished before it.
///
/// It dereferences to the [`Error`], and `?` converts it into one where that is what the caller returns.
///
/// ```
/// use shm_pool::MapReduce;
/// let pool = MapReduce::new().workers(1).threads_ok();
/// let error = pool.map(0..4, |_, i| if i < 3 { 10 * i } else { std::process::exit(3) }).unwrap_err();
/// assert_eq!(error.exit(), Some(shm_pool::Exit::Code(3)));
/// for (index, result) in error.finished() {
///     assert_eq!(*result, 10 * index);
/// }
/// ```
pub struct MapError<R> {
    error: Error,
    finished: Vec<(usize, R)>,
}

impl<R> MapError<R> {
    pub(crate) fn new(error: Error, finished: Vec<(usize, R)>) -> MapError<R> {
        MapError { error, finished }
    }

    /// Returns the finished results with the indices of their items, ascending.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let error = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// assert_eq!(error.finished(), [(0, 2)]);
    /// ```
    pub fn finished(&self) -> &[(usize, R)] {
        &self.finished
    }

    /// Splits it into the error and the finished results.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(1).threads_ok();
    /// let failed = pool.map([3, 0, 2], |_, n| 6 / n).unwrap_err();
    /// let (error, finished) = failed.into_parts();
    /// assert_eq!((error.item(), finished), (Some(1), vec![(0, 2)]));
    /// ```
    pub fn into_parts(self) -> (Error, Vec<(usize, R)>) {
        (self.error, self.finished)
    }
}

impl<R> From<Error> for MapError<R> {
    fn from(error: Error) -> MapError<R> {
        MapError { error, finished: Vec::new() }
    }
}

impl<R> From<MapError<R>> for Error {
    fn from(error: MapError<R>) -> Error {
        error.error
    }
}

impl<R> Deref for MapError<R> {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

impl<R> fmt::Display for MapError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<R> fmt::Debug for MapError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} results were finished)", self.error, self.finished.len())
    }
}

impl<R> std::error::Error for MapError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_sentences() {
        let error = Error::new(ErrorKind::Died, "map 9 items", format!("worker 1 {}", Exit::Signal(9)))
            .with_unfinished(vec![3..4, 7..10])
            .remedy("look into the kernel's log");
        assert_eq!(
            error.to_string(),
            "cannot map 9 items: worker 1 was killed by signal 9 (SIGKILL); it leaves unfinished: 3, 7 to 9; look into the kernel's log"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let ranges: Vec<Range<usize>> = (0..6).map(|i| 3 * i..3 * i + 2).collect();
        assert_eq!(Ranges(&ranges, 0).to_string(), "0 to 1, 3 to 4, 6 to 7, 9 to 10 and 2 ranges more");
        assert_eq!(Ranges(&[5..6, 8..10], 100).to_string(), "105, 108 to 109");
    }
}
