//! The failure policy where there are no workers: the pool's own is for workers that end, and here a function fails that the master calls itself.

use super::failure::{self, Noted};
use super::state::State;
use super::worker::{What, call, fail};
use crate::error::Outcome;
use serde_bytes::ByteBuf;
use shm_pool::Worker;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// What to do about failures, and what has failed so far.
pub(super) struct Serial {
    operation: &'static str,
    retries: usize,
    skips: bool,
    /// The item that was worked on last is to be left out.
    skipped: AtomicBool,
    failures: Mutex<Vec<Noted>>,
}

/// Where a function is called.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// As a worker of a pool, which may be the master.
    Worker(&'a Worker<'a>),
    /// In a child that has no others beside it.
    Child,
    /// In the calling process, for want of a child.
    Here,
}

impl<'a> Place<'a> {
    fn worker(self) -> Option<&'a Worker<'a>> {
        if let Place::Worker(worker) = self { Some(worker) } else { None }
    }

    fn is_master(self) -> bool {
        match self {
            Place::Worker(worker) => worker.workers() == 0,
            Place::Child => false,
            Place::Here => true,
        }
    }
}

/// What a run in the master ends with when it fails.
struct Failed(Noted, Option<u64>);

impl Serial {
    /// `operation` is for messages.
    pub(super) fn new(operation: &'static str, retries: usize, skips: bool) -> Serial {
        Serial { operation, retries, skips, skipped: AtomicBool::new(false), failures: Mutex::default() }
    }

    /// Calls a function at an item, in a worker or, with what is left of the policy then, in the master.
    pub(super) fn call(
        &self,
        place: Place,
        item: Option<u64>,
        what: What,
        state: &mut State,
        mut function: impl FnMut(&mut Vec<u8>) -> i32,
    ) -> ByteBuf {
        let mut tries = 0;
        loop {
            let mut result = Vec::new();
            let code = match call(place.worker(), what, state, || function(&mut result)) {
                Ok(collected) => return ByteBuf::from(if what.collects { collected } else { result }),
                Err(code) => code,
            };
            if !place.is_master() {
                fail(code);
            }
            tries += 1;
            if tries > self.retries {
                let noted = Noted::in_master(item, code, self.operation);
                if !self.skips {
                    panic::resume_unwind(Box::new(Failed(noted, item)));
                }
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
                self.skipped.store(true, Relaxed);
                return ByteBuf::new();
            }
        }
    }

    /// Whether the item that was worked on last has no result, which is said once.
    pub(super) fn take_skipped(&self) -> bool {
        self.skipped.load(Relaxed) && self.skipped.swap(false, Relaxed)
    }

    /// The failures of a run that has left out some items.
    pub(super) fn take_failures(&self) -> Vec<Noted> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one call in the master.
    ///
    /// # Errors
    /// The failure of the function.
    pub(super) fn outcome<T>(work: impl FnOnce() -> T) -> Result<T, Noted> {
        panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<Failed>() {
            Ok(failed) => failed.0,
            Err(payload) => panic::resume_unwind(payload),
        })
    }

    /// Runs what may fail in the master itself. `end` is the number behind the last item.
    ///
    /// # Errors
    /// Those of the work, and that failure, which is noted.
    pub(super) fn catching<T>(&self, end: u64, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        // Nothing is left half-done but what the function was about.
        panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            match payload.downcast::<Failed>() {
                Ok(failed) => {
                    let Failed(noted, item) = *failed;
                    self.take_failures();
                    let failure = noted.failure();
                    failure::leave(vec![noted], item.map(|item| item..end).into_iter().collect());
                    Err(failure)
                }
                Err(payload) => panic::resume_unwind(payload),
            }
        })
    }
}
