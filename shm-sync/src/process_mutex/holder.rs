//! The process behind a slot: who it is, whether it lives, and waiting for its end.
//!
//! A slot's word tells the death of one thread. Right after that neither the pidfd nor anything else tells whether its process is dying as well,
//! so one look is never enough: a waiter sleeps in poll(2) on the pidfd, in slices, because a release of the lock by another thread
//! of that process does not wake it there. What a process is called is `shm_core::Identity`, kept in the notes of its slot:
//!
//! | offset in the slot | note |
//! |---|---|
//! | 4 | how many handles of the process use the slot |
//! | 8 | start time |
//! | 16 | process id, written last and cleared first; 0: nobody |
//! | 40 | pid namespace |
//! | 48 | boot id |
//!
//! They are written by the thread that holds the slot's word only. Who gets a slot is `seat`'s business.

use super::word::Fate;
use crate::base::futex::Deadline;
use crate::base::slot::Slot;
use crate::base::word::owner;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shm_core::{Identity, Liveness};
use std::time::Duration;

/// The longest slice of a sleep on a pidfd.
const SLICE: Duration = Duration::from_millis(50);

/// What a slot says about its process.
pub(crate) struct Notes<'a>(pub(crate) &'a Slot);

impl Notes<'_> {
    /// The process; its id is 0 if there is none.
    pub(crate) fn identity(&self) -> Identity {
        let pid = u32::try_from(self.0.wide_note.load(Acquire)).unwrap_or(0);
        let [namespace, boot @ ..] = &self.0.notes;
        let boot = boot.each_ref().map(|half| half.load(Relaxed).to_le_bytes());
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(boot.as_flattened());
        Identity {
            pid,
            start_time: self.0.identity.load(Relaxed),
            boot_id,
            pid_namespace: namespace.load(Relaxed),
        }
    }

    /// Writes who has the slot. Only for the thread that holds its word.
    pub(crate) fn write(&self, process: &Identity, users: u32) {
        let (low, high) = process.boot_id.split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a half of 16 bytes"));
        self.0.notes[0].store(process.pid_namespace, Relaxed);
        self.0.notes[1].store(half(low), Relaxed);
        self.0.notes[2].store(half(high), Relaxed);
        self.0.identity.store(process.start_time, Relaxed);
        self.0.note.store(users, Relaxed);
        self.0.wide_note.store(process.pid.into(), Release);
    }

    /// Makes the slot nobody's. Only for the thread that holds its word.
    pub(crate) fn clear(&self) {
        self.0.wide_note.store(0, Release);
        for note in [&self.0.identity].into_iter().chain(&self.0.notes) {
            note.store(0, Relaxed);
        }
        self.0.note.store(0, Relaxed);
    }

    /// Whether the process has ended for certain, or there is none.
    pub(crate) fn is_dead(&self) -> bool {
        let process = self.identity();
        process.pid == 0 || process.liveness() == Liveness::Dead || has_ended_without_proc(&process)
    }
}

/// A process whose start time nobody could read: its id has to do.
fn has_ended_without_proc(process: &Identity) -> bool {
    process.start_time == 0
        && process.pid_namespace == Identity::current().pid_namespace
        && match open(process.pid) {
            Ok(process) => wait_for_end(Some(&process), Duration::ZERO) == Ok(true),
            Err(error) => error == Errno::SRCH,
        }
}

/// See [`Holders::fate`](super::word::Holders::fate).
pub(crate) fn fate(slot: &Slot, turn: u32, until: Option<Deadline>) -> Fate {
    let notes = Notes(slot);
    let process = notes.identity();
    let word = slot.word.watch().load(Acquire);
    if process.pid == 0 && word == 0 {
        return Fate::Vacant;
    }
    if owner(word).is_some() {
        return Fate::Look;
    }
    // Opened before the question, so that it is this process's or that of one before it, which is readable at once and leads to the next look.
    let descriptor = open(process.pid).ok();
    if notes.is_dead() {
        return Fate::Dead;
    }
    let Some(until) = until else { return Fate::Look };
    // Short at first: when it is not the process that ends but a thread, the lock is often released soon.
    let slice = SLICE.min(Duration::from_millis(1 << turn.min(6))).min(until.remaining());
    let visible = process.liveness() == Liveness::Alive || process.start_time == 0;
    match wait_for_end(descriptor.as_ref().filter(|_| visible), slice) {
        Ok(true) if notes.is_dead() => Fate::Dead,
        Ok(_) => Fate::Look,
        Err(_) => Fate::Signal,
    }
}

fn open(pid: u32) -> Result<rustix::fd::OwnedFd, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// Waits for the end of a process, or only so long; whether it has come. The error: a signal handler ran.
fn wait_for_end(process: Option<&rustix::fd::OwnedFd>, slice: Duration) -> Result<bool, Errno> {
    let mut descriptors: Vec<_> = process.into_iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let timeout = Timespec { tv_sec: slice.as_secs().cast_signed(), tv_nsec: slice.subsec_nanos().into() };
    match poll(&mut descriptors, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Err(Errno::INTR),
        // No memory in the kernel, say: look again, a little later.
        Err(_) => {
            std::thread::sleep(slice);
            Ok(false)
        }
    }
}
