//! The watchdog: ends the test process when a test hangs, so that a deadlock is a failure with a name.
//!
//! Limits are generous, as they only tell hanging from slow; no test asserts a maximum time.

use crate::{child, names, say::say};
use std::mem;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Aborts the test process with a message unless it is dropped in time.
///
/// Before it aborts it kills the children of the process and removes the process's [`unique_name`]s from
/// `/dev/shm`. It costs one thread while it lives. In a forked child, where that thread does not exist, an
/// inherited watchdog guards nothing and may be dropped; start a new one there if the child can hang alone.
///
/// [`unique_name`]: crate::unique_name
///
/// # Examples
/// ```
/// use shm_testkit::Watchdog;
/// use std::time::Duration;
///
/// let _watchdog = Watchdog::new(Duration::from_secs(120));
/// // ... something that could wait for ever ...
/// ```
#[derive(Debug)]
pub struct Watchdog {
    process: u32,
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts a watchdog named after the calling thread, which the test harness names after the test.
    ///
    /// # Panics
    /// When no thread can be started.
    ///
    /// # Examples
    /// ```
    /// let _watchdog = shm_testkit::Watchdog::new(std::time::Duration::from_secs(120));
    /// ```
    #[must_use = "the watchdog stops watching when it is dropped"]
    pub fn new(limit: Duration) -> Self {
        Self::named(thread::current().name().unwrap_or("unnamed test"), limit)
    }

    /// Starts a watchdog whose message says `what` hung.
    ///
    /// # Panics
    /// When no thread can be started.
    ///
    /// # Examples
    /// ```
    /// let _watchdog = shm_testkit::Watchdog::named("round 7", std::time::Duration::from_secs(120));
    /// ```
    #[must_use = "the watchdog stops watching when it is dropped"]
    pub fn named(what: &str, limit: Duration) -> Self {
        let what = what.to_owned();
        let (alive, dropped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    say(&format!(
                        "watchdog: {what} has not ended within {limit:?}; aborting the test process"
                    ));
                    child::kill_all_children();
                    names::remove_own();
                    process::abort();
                }
            })
            .expect("cannot start the watchdog's thread");
        Self { process: process::id(), alive: Some(alive), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let (alive, thread) = (self.alive.take(), self.thread.take());
        if self.process != process::id() {
            // A forked child has no such thread to tell or to join.
            mem::forget((alive, thread));
            return;
        }
        drop(alive);
        if let Some(thread) = thread {
            // It only fails when the watchdog's thread panicked, which would have been reported.
            let _ = thread.join();
        }
    }
}
