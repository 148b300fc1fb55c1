//! Forked children: a closure in a process of its own, waited for, signalled and never left behind.
//!
//! The fork goes through libc, whose handlers keep `malloc` usable in the child of a process with several threads.
//! Other locks may have been held by another thread at that moment and then stay held for ever in the child,
//! those of standard output among them: closures must not print; nor may they start threads with `std::thread`, for
//! which [`in_threads`](crate::in_threads()) is there. Programs run by `exec`, and tests that must not
//! be related by fork, are for [`rerun`](crate::rerun()).
#![allow(unsafe_code, reason = "fork, waitpid, kill and _exit")]

use crate::note::{Note, no_change_of_hook};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process;

/// The exit code of a child whose closure panicked.
const PANIC_CODE: i32 = 101;

/// How a child ended.
///
/// # Examples
/// ```
/// use shm_testkit::{Status, fork_child};
///
/// let status = fork_child(|| 3).wait();
/// assert_eq!(status, Status::Exited(3));
/// assert_eq!(status.to_string(), "exited with code 3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended by itself, with this exit code (0 to 255; 101 after a panic).
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Status {
    /// What a status word of waitpid(2) says, if it is one of an end.
    pub(crate) fn of(raw: i32) -> Option<Self> {
        if libc::WIFEXITED(raw) {
            Some(Self::Exited(libc::WEXITSTATUS(raw)))
        } else {
            libc::WIFSIGNALED(raw).then(|| Self::Killed(libc::WTERMSIG(raw)))
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Killed(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// A forked child process, started by [`fork_child`].
///
/// Dropping it kills the child with SIGKILL and reaps it, so that a failing test leaves no process behind. A copy
/// that a further fork inherits does nothing: only the process that started the child may wait for it.
///
/// # Examples
/// ```
/// let child = shm_testkit::fork_child(|| loop { std::thread::park() });
/// let process = format!("/proc/{}", child.pid());
/// assert!(std::fs::exists(&process)?);
/// drop(child);
/// assert!(!std::fs::exists(&process)?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    pid: i32,
    parent: u32,
    status: Option<Status>,
    note: Note,
}

/// Forks, runs `work` in the child and ends the child with the code that `work` returns (its lowest 8 bits).
///
/// A panic of `work` ends the child with code 101 and leaves its message for [`Child::panic_message`]. The child
/// ends by `_exit`: destructors of what it inherited, exit handlers and buffered output do not run. Only the
/// calling thread exists in the child. `work` must not print (see the example for reporting by exit code), because
/// another thread may have held the lock of standard output during the fork, and start threads by
/// [`in_threads`](crate::in_threads()) only, for a like reason.
///
/// # Panics
/// When the system refuses the fork.
///
/// # Examples
/// ```
/// use shm_testkit::{Status, fork_child};
///
/// let mut child = fork_child(|| if 6 * 7 == 42 { 0 } else { 1 });
/// assert_eq!(child.wait(), Status::Exited(0));
/// ```
pub fn fork_child(work: impl FnOnce() -> i32) -> Child {
    let note = Note::new();
    let alone = no_change_of_hook();
    // SAFETY: `fork` itself has no preconditions. The child runs `work`, about whose limits after a fork with
    // several threads the documentation speaks, and leaves by `_exit` without returning into the caller's frames.
    let pid = unsafe { libc::fork() };
    drop(alone);
    if pid == 0 {
        note.adopt();
        let code = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANIC_CODE);
        // SAFETY: `_exit` has no preconditions and does not return.
        unsafe { libc::_exit(code) };
    }
    assert!(pid > 0, "cannot fork a child for a test: {}", io::Error::last_os_error());
    Child { pid, parent: process::id(), status: None, note }
}

impl Child {
    /// The child's process id; stale once the child has been waited for.
    ///
    /// # Examples
    /// ```
    /// let child = shm_testkit::fork_child(|| 0);
    /// assert!(child.pid() > 0);
    /// ```
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Blocks until the child has ended, and says how; later calls repeat the answer. Signals do not interrupt it.
    ///
    /// # Panics
    /// When the child is not this process's, or something else reaped it.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::{Status, fork_child};
    ///
    /// assert_eq!(fork_child(|| 3).wait(), Status::Exited(3));
    /// ```
    pub fn wait(&mut self) -> Status {
        loop {
            if let Some(status) = self.status {
                return status;
            }
            self.wait_raw(0);
        }
    }

    /// How the child ended, or `None` when it still runs. Does not block.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// let mut child = shm_testkit::fork_child(|| loop { std::thread::park() });
    /// assert_eq!(child.try_wait(), None);
    /// ```
    pub fn try_wait(&mut self) -> Option<Status> {
        if self.status.is_none() {
            self.wait_raw(libc::WNOHANG);
        }
        self.status
    }

    /// Sends `signal` to the child; does nothing once the child was waited for.
    ///
    /// # Panics
    /// When the system refuses, for example because `signal` is no signal number.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::{Status, fork_child};
    ///
    /// let mut child = fork_child(|| loop { std::thread::park() });
    /// child.kill(9);
    /// assert_eq!(child.wait(), Status::Killed(9));
    /// ```
    pub fn kill(&self, signal: i32) {
        if self.status.is_some() {
            return;
        }
        // SAFETY: no memory is involved. The pid is that of our child, as it has not been reaped yet.
        let result = unsafe { libc::kill(self.pid, signal) };
        assert!(
            result == 0,
            "cannot send signal {signal} to child {}: {}",
            self.pid,
            io::Error::last_os_error()
        );
    }

    /// The message and place of the child's first panic, once the child has been waited for; at most 4 KiB of it.
    ///
    /// # Examples
    /// ```
    /// let mut child = shm_testkit::fork_child(|| panic!("out of cheese"));
    /// child.wait();
    /// assert!(child.panic_message().unwrap().contains("out of cheese"));
    /// ```
    #[must_use]
    pub fn panic_message(&self) -> Option<String> {
        self.status.and_then(|_| self.note.read())
    }

    /// Blocks until the child has ended, and panics unless it ended with code 0.
    ///
    /// # Panics
    /// With the child's status and panic message, when it failed.
    ///
    /// # Examples
    /// ```
    /// shm_testkit::fork_child(|| 0).expect_success();
    /// ```
    pub fn expect_success(mut self) {
        let status = self.wait();
        if status != Status::Exited(0) {
            panic!("child {} {status}{}", self.pid, self.last_words());
        }
    }

    /// The panic message as the end of a sentence; empty when there is none.
    pub(crate) fn last_words(&self) -> String {
        self.panic_message().map_or_else(String::new, |message| format!("; it {message}"))
    }

    /// Waits once with `flags` and returns the raw status, having kept it when the child ended; `None` when there
    /// was no news (`WNOHANG`) or a signal interrupted the call.
    pub(crate) fn wait_raw(&mut self, flags: i32) -> Option<i32> {
        assert!(self.parent == process::id(), "child {} was started by another process", self.pid);
        let mut raw = 0;
        // SAFETY: `raw` is a valid place for the status word for the duration of the call.
        let waited = unsafe { libc::waitpid(self.pid, &mut raw, flags) };
        if waited == 0 {
            return None;
        }
        if waited < 0 {
            let error = io::Error::last_os_error();
            assert!(
                error.kind() == io::ErrorKind::Interrupted,
                "cannot wait for child {}: {error}",
                self.pid
            );
            return None;
        }
        self.status = Status::of(raw);
        Some(raw)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_some() || self.parent != process::id() {
            return;
        }
        // SAFETY: no memory is involved; the pid is that of our child, as it has not been reaped yet. Errors do
        // not matter: what cannot be killed any more is reaped below.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // A traced child reports stops before its end; something else may have reaped it; a panic here would
        // abort. Hence waitpid itself and not `wait`.
        loop {
            let mut raw = 0;
            // SAFETY: `raw` is a valid place for the status word for the duration of the call.
            let waited = unsafe { libc::waitpid(self.pid, &mut raw, libc::__WALL) };
            let interrupted = waited < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if !interrupted && (waited < 0 || libc::WIFEXITED(raw) || libc::WIFSIGNALED(raw)) {
                return;
            }
        }
    }
}

/// Kills every child of this process, however it was started; for the watchdog, just before it aborts.
pub(crate) fn kill_all_children() {
    let me = process::id().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state ppid ...`, where the name may hold anything, closing brackets included.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(me.as_str()) {
            // SAFETY: no memory is involved. The pid was our child's a moment ago; that it was reaped and used
            // anew since is a risk taken by a process that is about to abort.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}
