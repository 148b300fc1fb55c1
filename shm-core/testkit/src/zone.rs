//! The markers of a kill test inside the victim: where the operation begins and ends, and what memory to watch.
//!
//! A marker is a `getppid` system call with arguments that the kernel ignores and the tracer reads: a magic number,
//! what is marked, and two values. Every sandbox allows the call, and without a tracer it does nothing.
#![allow(unsafe_code, reason = "a system call with extra arguments")]

use crate::trace::Call;

/// First argument of every marker; the text `killzone` read as a number.
const MAGIC: u64 = u64::from_le_bytes(*b"killzone");
const BEGIN: u64 = 1;
const END: u64 = 2;
const ANNOUNCE: u64 = 3;
const FOLLOW: u64 = 4;

/// A marker as the tracer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Begin,
    End,
    Announce { address: usize, len_bytes: usize },
    Follow { number: usize },
}

impl Marker {
    /// The marker that `call` is, or `None` for every other system call.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let [magic, what, first, second, ..] = call.args;
        if call.number != libc::SYS_getppid as u64 || magic != MAGIC {
            return None;
        }
        match what {
            BEGIN => Some(Self::Begin),
            END => Some(Self::End),
            ANNOUNCE => Some(Self::Announce { address: first as usize, len_bytes: second as usize }),
            FOLLOW => Some(Self::Follow { number: first as usize }),
            _ => None,
        }
    }
}

/// Runs `operation` as the part of a victim in which a [`KillTest`](crate::KillTest) may kill it.
///
/// System calls count from here to the end of `operation`, and so do stores to [announced](announce()) memory. A
/// victim may pass through several zones, one after the other; they count as one. Without a tracer this just
/// runs `operation`.
///
/// # Examples
/// ```
/// let sum = shm_testkit::kill_zone(|| 1 + 1);
/// assert_eq!(sum, 2);
/// ```
pub fn kill_zone<T>(operation: impl FnOnce() -> T) -> T {
    mark(BEGIN, 0, 0);
    let result = operation();
    mark(END, 0, 0);
    result
}

/// Tells the tracer to watch `len_bytes` bytes from `start` on: each change of them in a [`kill_zone`] is a store
/// to be killed after.
///
/// Announce memory once it is mapped, before or inside the zone; announcing the same start again replaces the
/// length (after growing, say), and memory that is unmapped is no longer watched. The bytes are never read in this
/// process, so any address is safe to pass. Private memory may be announced too, such as the head of a thread's
/// robust list, which the kernel reads when the thread dies. Keep ranges small and zones short: every instruction
/// of the zone after the first announcement is a step of some tens of microseconds, after which all ranges are
/// compared. Pages that were never touched become real by being watched. Without a tracer this does nothing.
///
/// # Examples
/// ```
/// let word = std::sync::atomic::AtomicU32::new(0);
/// shm_testkit::announce(word.as_ptr(), 4);
/// ```
pub fn announce<T: ?Sized>(start: *const T, len_bytes: usize) {
    mark(ANNOUNCE, start.cast::<u8>() as u64, len_bytes as u64);
}

/// Makes the process that is forked as number `number` from here on (counted from 1) the one that is killed, in place of the calling one: for a
/// program whose children die while it goes on.
///
/// All that the forked process does is its zone, from its first system call to its end; markers in it are not needed, though it may
/// [announce](announce()) memory. The calling process is traced no longer once that one exists. It must end by itself, with
/// code 0, whatever becomes of the other: the check runs when both are gone. A forked process that is not killed has to end with code 0 too.
/// Without a tracer this does nothing.
///
/// # Examples
/// ```
/// use shm_testkit::{Coverage, KillTest, Status, fork_child, kill_zone_in_fork};
///
/// let report = KillTest::new("a child that dies")
///     .prepare(|| ())
///     .victim(|()| {
///         kill_zone_in_fork(1);
///         let status = fork_child(|| { let _ = std::fs::metadata("/"); 0 }).wait();
///         assert!([Status::Exited(0), Status::Killed(9)].contains(&status));
///     })
///     .check(|(), _point| ())
///     .run(Coverage::Sample(3));
/// assert!(report.skipped_reason.is_some() || report.kills == 3);
/// ```
pub fn kill_zone_in_fork(number: usize) {
    mark(FOLLOW, number as u64, 0);
}

/// Makes the system call that the tracer recognises.
fn mark(what: u64, first: u64, second: u64) {
    // SAFETY: `getppid` takes no arguments and touches no memory; the kernel ignores the extra registers.
    unsafe { libc::syscall(libc::SYS_getppid, MAGIC, what, first, second) };
}
