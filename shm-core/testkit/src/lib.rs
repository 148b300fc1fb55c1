//! Helpers for the tests of this workspace: processes that are killed on purpose, and the tidying up afterwards.
//!
//! - [`KillTest`] kills a victim at every system call and every store of an operation and has the survivors
//!   checked each time; [`kill_zone()`] and [`announce()`] are its markers inside the victim, [`kill_zone_in_fork()`]
//!   names a child of it instead, [`Coverage`] says how many of the points are tried and [`Report`] what was.
//! - [`fork_child()`] runs a closure in a forked process; [`Child`] waits for it, signals it, and never leaves it
//!   behind.
//! - [`in_threads()`] starts threads in a forked child, where `std::thread` may hang.
//! - [`rerun()`] runs one test of the current test binary in a process of its own, unrelated by fork.
//! - [`Watchdog`] ends a test process that hangs, with the test's name.
//! - [`Numbers`] look random and are the same in every run.
//! - [`unique_name`], [`Cleanup`] and [`leftovers`] keep `/dev/shm` clean.
//!
//! It knows nothing of segments or locks, so that every crate of the workspace can use it. Linux only.

mod child;
mod coverage;
mod forbid;
mod kill;
mod names;
mod note;
mod numbers;
mod rerun;
mod say;
mod threads;
mod trace;
mod watch;
mod watchdog;
mod zone;

pub use child::{Child, Status, fork_child};
pub use coverage::{Coverage, Event, KillPoint, Report};
pub use forbid::{Verdict, forbid};
pub use kill::KillTest;
pub use names::{Cleanup, leftovers, unique_name};
pub use numbers::Numbers;
pub use rerun::{rerun, rerun_command};
pub use threads::in_threads;
pub use watchdog::Watchdog;
pub use zone::{announce, kill_zone, kill_zone_in_fork};
