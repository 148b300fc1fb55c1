//! Worker processes: forked, watched through a pidfd or by number, killed and reaped.
//!
//! The fork goes through libc, which registers the robust list of the child anew and keeps `malloc` usable there. The child asks for SIGKILL when the
//! *thread* that is its parent ends (`PR_SET_PDEATHSIG`, prctl(2)). That is the one that forks it, which is right for a map: the thread is blocked in it;
//! when it ends, nobody waits for the workers any more. Children that may outlive it get another parent, see `adopt.rs`. The child leaves by `_exit` only, so the parent's exit handlers
//! and destructors never run in it: also when the user's function calls `exit`, because a handler that is registered in the child runs before all that it
//! inherited and leaves at once (on_exit(3): handlers run in reverse order).

#![allow(unsafe_code, reason = "fork, on_exit and _exit are only reachable through libc")]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::adopt;
use crate::error::Exit;
use crate::hooks::Hooks;
use crate::stdio::{self, Quiet};
use crate::warning::Warning;

unsafe extern "C" {
    /// glibc's on_exit(3), which tells the handler the exit code.
    fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
}

/// The exit code of a child that never came to the user's function, or in which the executor itself panicked.
const BROKEN: i32 = 102;

/// A forked child of this process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    watch: Watch,
    exit: Option<Exit>,
}

/// By what the end of a child is noticed.
#[derive(Debug)]
enum Watch {
    Pidfd(OwnedFd),
    /// Where there are no pidfds (Linux before 5.3, a sandbox, valgrind) its number is asked for, now and then. That is the child's until somebody waits
    /// for it; a program that waits for all of its children in another thread should have pidfds.
    Number,
    /// It was dead and reaped by others before it could be opened.
    Nothing,
}

/// How long a master sleeps at most when it watches a child by its number.
const GLANCE: Duration = Duration::from_millis(2);

/// How a pool forks.
#[derive(Clone)]
pub(crate) struct Forking {
    pub(crate) hooks: Hooks,
    pub(crate) warning: Warning,
    pub(crate) dies_with: DiesWith,
    /// How often the master tells of its progress at least while it waits.
    pub(crate) heartbeat: Option<Duration>,
}

/// Whose end is the child's end too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiesWith {
    /// The thread that forks: it waits for the child.
    Thread,
    /// This process: the child may be given to another thread.
    Process,
}

/// Forks between the program's hooks; the child runs `work`, which calls the child's hook, and ends with the code that it returns.
pub(crate) fn fork(forking: &Forking, work: impl FnOnce() -> i32) -> io::Result<Child> {
    forking.hooks.before();
    let quiet = Quiet::new();
    let is_main_thread = rustix::thread::gettid() == rustix::process::getpid();
    let child = match forking.dies_with {
        DiesWith::Process if !is_main_thread => adopt::fork(&quiet, work),
        DiesWith::Process | DiesWith::Thread => fork_child(&quiet, work),
    };
    drop(quiet);
    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| forking.hooks.parent())) {
        // Nobody else knows of the child.
        drop(child.map(Child::end));
        panic::resume_unwind(panic);
    }
    child
}

/// Forks a child of this thread.
fn fork_child(quiet: &Quiet, work: impl FnOnce() -> i32) -> io::Result<Child> {
    let parent = (rustix::process::getpid(), rustix::thread::gettid());
    // SAFETY: `fork` has no preconditions. In the child of a process with several threads only this thread exists: what is called there are this
    // crate (whose shared state is the control segment), the allocator and stdio (kept usable by libc and by `Quiet`) and the user's function,
    // about whose limits the documentation of `MapReduce` speaks. The child ends in `leave` and neither returns nor unwinds into the caller's frames.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        be_child(quiet, || begin(parent), work);
    }
    let pid = if pid < 0 { None } else { Pid::from_raw(pid) };
    Child::of(pid.ok_or_else(io::Error::last_os_error)?)
}

/// The life of a child.
pub(crate) fn be_child(quiet: &Quiet, begin: impl FnOnce(), work: impl FnOnce() -> i32) -> ! {
    let code = panic::catch_unwind(AssertUnwindSafe(|| {
        quiet.release();
        begin();
        // SAFETY: the handler is a function of this library that takes these arguments and does not use the second.
        unsafe { on_exit(leave_handler, std::ptr::null_mut()) };
        work()
    }));
    leave(code.unwrap_or(BROKEN))
}

/// The first steps of the child; `parent` is the process and the thread that forked.
fn begin(parent: (Pid, Pid)) {
    die_with_parent();
    // The signal is not sent for an end that came before. The process may go on without the thread, so both are looked at.
    if rustix::process::getppid() != Some(parent.0) || !thread_lives(parent.0, parent.1) {
        leave(BROKEN);
    }
}

/// Has the kernel kill this process when the thread that is its parent ends.
pub(crate) fn die_with_parent() {
    // It fails for no signal that exists.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// Whether a process has a thread of this number; tgkill(2) with signal 0.
fn thread_lives(process: Pid, thread: Pid) -> bool {
    let (process, thread) = (process.as_raw_nonzero().get(), thread.as_raw_nonzero().get());
    // SAFETY: signal 0 is not sent; no memory is involved.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

extern "C" fn leave_handler(code: c_int, _argument: *mut c_void) {
    leave(code);
}

/// Ends the process: writes out what it has buffered, and runs no exit handler.
pub(crate) fn leave(code: i32) -> ! {
    stdio::flush();
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Ends the process and nothing else: for copies that the user's function made.
pub(crate) fn vanish(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

impl Child {
    /// The child of this number, which nobody has waited for.
    pub(crate) fn of(pid: Pid) -> io::Result<Child> {
        let watched_by = |watch| Ok(Child { pid, watch, exit: None });
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => watched_by(Watch::Pidfd(pidfd)),
            Err(Errno::NOSYS | Errno::PERM) => watched_by(Watch::Number),
            // The program lets the kernel reap its children, and this one has ended already.
            Err(Errno::SRCH) => watched_by(Watch::Nothing),
            Err(errno) => {
                // There is no descriptor left, say. The pid is our child's until it is waited for.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                wait_for(pid);
                Err(errno.into())
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// How it ended, once that was collected.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// The pidfd, which is readable when the process has ended; nothing if it has to be looked at without one.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.watch {
            Watch::Pidfd(pidfd) => Some(pidfd.as_fd()),
            Watch::Number | Watch::Nothing => None,
        }
    }

    /// When it has to be looked at again at the latest; nothing if its pidfd tells.
    pub(crate) fn look_again(&self) -> Option<Duration> {
        match self.watch {
            Watch::Pidfd(_) => None,
            Watch::Number => Some(GLANCE),
            Watch::Nothing => Some(Duration::ZERO),
        }
    }

    /// Collects the exit status if it has ended, without waiting.
    pub(crate) fn reap(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            self.exit = match &self.watch {
                Watch::Pidfd(pidfd) => exit_of(WaitId::PidFd(pidfd.as_fd()), || is_dead(pidfd)),
                Watch::Number => exit_of(WaitId::Pid(self.pid), || true),
                Watch::Nothing => Some(Exit::Unknown),
            };
        }
        self.exit
    }

    /// Kills it, if it has not ended.
    pub(crate) fn kill(&self) {
        if self.exit.is_some() {
            return;
        }
        // There is nothing to be done about a failure: it has ended by itself, or others have waited for it.
        let _ = match &self.watch {
            // A pidfd names no other process, even if this one was reaped by somebody else.
            Watch::Pidfd(pidfd) => rustix::process::pidfd_send_signal(pidfd, Signal::KILL),
            Watch::Number if is_running_child(self.pid) => {
                rustix::process::kill_process(self.pid, Signal::KILL)
            }
            Watch::Number | Watch::Nothing => Ok(()),
        };
    }

    /// Kills it, and returns when it is gone.
    fn end(self) {
        self.kill();
        wait_for(self.pid);
    }
}

/// Returns when a child of this process has ended, and collects its status.
pub(crate) fn wait_for(pid: Pid) {
    while matches!(rustix::process::waitpid(Some(pid), WaitOptions::empty()), Err(Errno::INTR)) {}
}

/// Whether this is a child of ours that has not ended.
fn is_running_child(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None))
}

/// How a child has ended, if it has. `is_gone` says whether one that is no child of ours any more has.
fn exit_of(child: WaitId<'_>, is_gone: impl FnOnce() -> bool) -> Option<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match rustix::process::waitid(child, options) {
        Ok(None) | Err(Errno::INTR) => None,
        Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (_, Some(signal)) => Exit::Signal(signal),
            _ => Exit::Unknown,
        }),
        // Not our child any more: the program has waited for it somewhere else, or ignores SIGCHLD.
        Err(_) => is_gone().then_some(Exit::Unknown),
    }
}

/// Whether a process has ended, without collecting its status.
fn is_dead(pidfd: &OwnedFd) -> bool {
    let mut poll = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    // POLLNVAL, when the program has closed the descriptor, counts too: there is nothing left to watch.
    matches!(rustix::event::poll(&mut poll, Some(&now)), Ok(1))
}

/// How many threads this process has; one system call.
pub(crate) fn thread_count() -> Option<usize> {
    // A folder has a link for itself, one for its name above, and one for each folder in it.
    Some(rustix::fs::stat("/proc/self/task").ok()?.st_nlink.saturating_sub(2) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Forking =
        Forking { hooks: Hooks::NONE, warning: Warning::Never, dies_with: DiesWith::Thread, heartbeat: None };

    fn ends(work: impl FnOnce() -> i32) -> Exit {
        wait(fork(&PLAIN, work).unwrap())
    }

    fn wait(mut child: Child) -> Exit {
        loop {
            std::thread::yield_now();
            if let Some(exit) = child.reap() {
                return exit;
            }
        }
    }

    #[test]
    fn exits_are_told_apart() {
        assert_eq!(ends(|| 7), Exit::Code(7));
        assert_eq!(ends(|| std::process::exit(3)), Exit::Code(3));
        assert_eq!(ends(|| std::process::abort()), Exit::Signal(libc::SIGABRT));
        let sleep = || {
            loop {
                std::thread::park()
            }
        };
        let child = fork(&PLAIN, sleep).unwrap();
        child.kill();
        assert_eq!(wait(child), Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn children_are_watched_without_pidfds_too() {
        let by_number = |work: fn() -> i32| {
            let mut child = fork(&PLAIN, work).unwrap();
            child.watch = Watch::Number;
            child
        };
        let sleep = || {
            loop {
                std::thread::park()
            }
        };
        assert_eq!(wait(by_number(|| 7)), Exit::Code(7));
        let mut child = by_number(sleep);
        assert_eq!((child.reap(), child.look_again()), (None, Some(GLANCE)));
        child.kill();
        assert_eq!(wait(child), Exit::Signal(libc::SIGKILL));
        // Somebody else has waited for it: its number may be anybody's, and is not killed.
        let mut child = by_number(|| 8);
        wait_for(child.pid);
        assert!(!is_running_child(child.pid));
        child.kill();
        assert_eq!(child.reap(), Some(Exit::Unknown));
    }

    #[test]
    fn threads_are_counted() {
        let before = thread_count().unwrap();
        assert!(before >= 1);
    }
}
