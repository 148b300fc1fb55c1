//! The executor: a function of the caller's, called for each item by forked worker processes.
//!
//! `options` says how a pool is set up, `run` has the maps, `background` a call that is awaited later, `kept` workers for map after map, `worker` what a
//! function can do while a pool calls it, `state` what it keeps, `failure` what is known about a run that went wrong, and `serial` the
//! failure policy without workers.

mod background;
mod failure;
mod kept;
mod options;
mod run;
mod serial;
mod state;
mod worker;

pub use background::*;
pub use failure::*;
pub use kept::*;
pub use options::*;
pub use run::*;
pub use worker::*;

use crate::error::{Failure, Outcome};
use crate::status::{SHM_STATUS_BUSY, SHM_STATUS_INHERITED};

/// Refuses what belongs to the process that this one was forked from.
fn not_inherited(forks: u64, what: &str) -> Outcome {
    if forks == shm_core::fork_count() {
        return Ok(());
    }
    Err(Failure::new(
        SHM_STATUS_INHERITED,
        format_args!(
            "cannot use {what}: its processes are children of the one that this was forked from; make another one here"
        ),
    ))
}

#[cold]
fn busy(what: &str) -> Failure {
    Failure::new(SHM_STATUS_BUSY, format_args!("cannot use {what}: another thread is using it just now"))
}
