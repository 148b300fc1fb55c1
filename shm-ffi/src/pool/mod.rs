//! The executor: a function of the caller's, called for each item by forked worker processes.
//!
//! `options` says how a pool is set up, `run` has the maps, `worker` what a function can do while a pool calls it, `failure` what is known
//! about a run that went wrong.

mod failure;
mod options;
mod result;
mod run;
mod worker;

pub use failure::*;
pub use options::*;
pub use run::*;
pub use worker::*;
