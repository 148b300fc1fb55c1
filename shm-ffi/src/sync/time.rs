//! How long a call waits. Times are nanoseconds in a signed integer, so that a negative one can be told from a long one.

#![allow(unsafe_code, reason = "exports a C symbol and reads the clock")]

use crate::error::{Failure, Outcome};
use std::time::{Duration, Instant};

/// As a timeout or a deadline: as long as it takes.
pub const SHM_FOREVER: i64 = i64::MAX;

/// Returns the time that deadlines are given in: nanoseconds of CLOCK_MONOTONIC, which every process of a machine reads alike.
///
/// Parameters: none.
/// Returns: the number of nanoseconds.
/// Thread use: any thread, signal handlers included.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub extern "C" fn shm_clock_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the result; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The four ways in which every waiting call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// As long as it takes.
    Forever,
    /// Not at all.
    Not,
    /// Until then.
    Until(Instant),
    /// Until then (none: for ever), or until a signal handler has run.
    Interruptible(Option<Instant>),
}

impl How {
    pub(crate) fn timeout(timeout_ns: i64) -> Outcome<How> {
        Ok(after("timeout_ns", timeout_ns)?.map_or(How::Forever, How::Until))
    }

    pub(crate) fn until(deadline_ns: i64) -> Outcome<How> {
        Ok(at(deadline_ns)?.map_or(How::Forever, How::Until))
    }

    pub(crate) fn interruptible(deadline_ns: i64) -> Outcome<How> {
        Ok(How::Interruptible(at(deadline_ns)?))
    }
}

/// The instant that is so far away; none is never.
fn after(what: &str, ns: i64) -> Outcome<Option<Instant>> {
    match u64::try_from(ns) {
        Ok(_) if ns == SHM_FOREVER => Ok(None),
        Ok(ns) => Ok(Instant::now().checked_add(Duration::from_nanos(ns))),
        Err(_) => Err(Failure::argument(format_args!(
            "the argument `{what}` is {ns}; give 0 or more nanoseconds, or SHM_FOREVER"
        ))),
    }
}

fn at(deadline_ns: i64) -> Outcome<Option<Instant>> {
    if deadline_ns < 0 || deadline_ns == SHM_FOREVER {
        return after("deadline_ns", deadline_ns);
    }
    after("deadline_ns", deadline_ns.saturating_sub(shm_clock_ns()).max(0))
}
