//! Forks a child that may outlive the thread which forks it, and never outlives the process.
//!
//! The kernel sends a child its death signal when the *thread* ends that is its parent (prctl(2), PR_SET_PDEATHSIG), and nothing in the child can be
//! relied on to do better: it may have one thread, block signals and close descriptors. But which thread is the parent can be chosen. When a parent is
//! gone, its children get another one: the nearest ancestor process that adopts orphans (PR_SET_CHILD_SUBREAPER), and there the first
//! thread that lives, which is the main thread (`find_new_reaper` in the kernel's exit.c). So a process in between forks the child and ends at once; this process
//! adopts the child; then the child asks for the death signal. It is a child like any other from then on: watched, waited for.
//!
//! A main thread needs none of that: it ends with its process. (If it ends alone, by `pthread_exit`, the kernel gives its children a death signal; a
//! child that is forked afterwards has the first thread that lives as its parent.) While the process in between lives, the program adopts orphans of
//! its other descendants too; it does not otherwise notice.

#![allow(unsafe_code, reason = "fork, and a page that is shared with the child")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::fork::{self, Child};
use crate::stdio::Quiet;

/// Forks a child of this process's main thread; the child runs `work` and ends with the code that it returns.
pub(crate) fn fork(quiet: &Quiet, work: impl FnOnce() -> i32) -> io::Result<Child> {
    let master = rustix::process::getpid();
    let report = Report::new()?;
    let adopting = Adopting::begin()?;
    // SAFETY: `fork` has no preconditions. The process in between calls `fork`, stores a number and leaves by `vanish`; what its child may call is
    // said in `fork.rs`.
    let between = unsafe { libc::fork() };
    if between == 0 {
        let between = rustix::process::getpid();
        // SAFETY: the same.
        let child = unsafe { libc::fork() };
        if child == 0 {
            fork::be_child(quiet, || begin(master, between, &report), work);
        }
        let failed = || -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN);
        report.set(if child > 0 { child } else { failed() });
        fork::vanish(0);
    }
    let between = Pid::from_raw(between.max(0)).ok_or_else(io::Error::last_os_error)?;
    fork::wait_for(between);
    drop(adopting);
    match report.get() {
        // The child, if there is one, finds no report either, and leaves.
        0 => Err(io::Error::other("the process that was to fork it was killed")),
        errno @ ..0 => Err(io::Error::from_raw_os_error(-errno)),
        pid => Child::of(Pid::from_raw(pid).expect("it is above 0")),
    }
}

/// The first steps of the child: returns when it is the master's, and the kernel knows that it is to die with it.
fn begin(master: Pid, between: Pid, report: &Report) {
    if rustix::process::getppid() == Some(between)
        && let Ok(pidfd) = rustix::process::pidfd_open(between, PidfdFlags::empty())
    {
        let mut ends = [PollFd::new(&pidfd, PollFlags::IN)];
        while rustix::event::poll(&mut ends, None) == Err(Errno::INTR) {}
    }
    while rustix::process::getppid() == Some(between) {
        std::thread::yield_now(); // there was no descriptor left to watch it with
    }
    fork::die_with_parent();
    // The signal is not sent for an end that came before. Without a report nobody would wait for this process.
    if rustix::process::getppid() != Some(master) || report.get() != rustix::process::getpid().as_raw_pid() {
        fork::vanish(0);
    }
}

/// This process adopts the orphans among its descendants as long as this lives. One thread at a time gets here: [`Quiet`] is a lock.
struct Adopting {
    before: Option<Pid>,
}

impl Adopting {
    fn begin() -> io::Result<Adopting> {
        let before = rustix::process::child_subreaper()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Adopting { before })
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        // It has worked a moment ago.
        let _ = rustix::process::set_child_subreaper(self.before);
    }
}

/// A word that this process shares with those in between and below: the child's pid, or the negative of why there is none; 0 if nothing was said.
struct Report(NonNull<AtomicI32>);

impl Report {
    fn new() -> io::Result<Report> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a place that is free.
        let page = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), size_of::<AtomicI32>(), access, MapFlags::SHARED)
        }?;
        Ok(Report(NonNull::new(page.cast()).expect("a mapping is not at address 0")))
    }

    fn word(&self) -> &AtomicI32 {
        // SAFETY: a page that is mapped as long as this lives, holds zeros at first and is only used as this atomic.
        unsafe { self.0.as_ref() }
    }

    fn set(&self, word: i32) {
        self.word().store(word, Ordering::Release);
    }

    fn get(&self) -> i32 {
        self.word().load(Ordering::Acquire)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nobody has a reference to it any more.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}
