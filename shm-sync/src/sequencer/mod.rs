//! `Sequencer`: turns that are taken in the order of their numbers, by whichever thread of whichever process.
//!
//! `raw` has the protocol, `state` the number and its marks in one word, `turns` the public types.

pub(crate) mod raw;
pub(crate) mod state;
#[cfg(not(loom))]
mod turns;

#[cfg(not(loom))]
pub use turns::{Sequencer, Turn};
