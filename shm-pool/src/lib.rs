//! Map and reduce over forked workers that share memory and survive nothing silently.
//!
//! - [`MapReduce`]: the pool: [`map`](MapReduce::map), [`map_reduce`](MapReduce::map_reduce), [`map_plain`](MapReduce::map_plain) for many tiny results,
//!   and [`map_chunks`](MapReduce::map_chunks), which lends disjoint `&mut` chunks of a shared array to the workers.
//! - [`SkipFailed`]: the same maps, going on without the items that fail; [`Partial`], what comes out of them.
//! - [`WithState`]: the same maps, with a state that each worker makes once and gets back with every item.
//! - [`Batch`]: whole batches for functions that are dear to enter, of an interpreter for example.
//! - [`Region`]: what [`parallel`](MapReduce::parallel) runs once in each worker: OpenMP's parallel region, with loops, barrier and reduction.
//! - [`Schedule`]: how items are shared out: static, dynamic, guided.
//! - [`Crew`]: workers that are kept for many runs over one array.
//! - [`Kept`]: workers that are forked once, for a plain function, and fed with map after map.
//! - [`Background`]: one call in a child, awaited later.
//! - [`Backend`], [`On`]: the same maps by processes or by threads, as the program chooses while it runs.
//! - [`Worker`]: what the function in a worker knows of itself, and its [critical](Worker::critical) and [ordered](Worker::ordered) sections.
//! - [`MapError`], [`Error`], [`ErrorKind`], [`Exit`]: which worker failed at which item, why, and what was finished before.
//!
//! Workers are forked, so the function is a closure that captures what it likes, and what it captures is not serialised. A worker that panics or is
//! killed is noticed at once and reported; nothing that was finished is lost. How master and workers talk is in `PROTOCOL.md`
//! of this crate; segments and locks are `shm-core`'s and `shm-sync`'s.
//!
//! ```
//! use shm_core::{Anonymous, SharedArray};
//! use shm_pool::MapReduce;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut array = SharedArray::<f64, _>::zeros(Anonymous, 1 << 16)?;
//! let pool = MapReduce::new();
//! # let pool = pool.threads_ok();
//! let partial = pool.map_chunks(&mut array.exclusive()?, 1 << 12, |_worker, offset, chunk: &mut [f64]| {
//!     chunk.iter_mut().enumerate().for_each(|(i, x)| *x = (offset + i) as f64);
//!     chunk.iter().sum::<f64>()
//! })?;
//! assert_eq!(partial.iter().sum::<f64>(), array.to_ndarray().sum());
//! # Ok(())
//! # }
//! ```

mod adopt;
mod background;
mod batch;
mod builder;
mod chunks;
mod control;
mod cpus;
mod crew;
mod error;
mod feed;
mod fork;
mod hooks;
mod idle;
mod inbox;
mod items;
mod kept;
mod loops;
mod map;
mod master;
mod on;
mod order;
mod pages;
mod panics;
mod recovery;
mod region;
mod results;
mod schedule;
mod skip;
mod state;
mod stdio;
mod threads;
mod trouble;
mod warning;
mod wire;
mod work;
mod worker;

pub use background::Background;
pub use batch::Batch;
pub use builder::MapReduce;
pub use crew::Crew;
pub use error::{Error, ErrorKind, Exit, MapError};
pub use kept::{Kept, KeptSkipFailed};
pub use on::{Backend, On, OnSkipFailed};
pub use region::Region;
pub use schedule::Schedule;
pub use skip::{Partial, SkipFailed};
pub use state::WithState;
pub use worker::{CriticalSection, OrderedSection, Worker};

/// The example of the repository's front page is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
