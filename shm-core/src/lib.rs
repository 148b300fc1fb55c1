//! Segments of shared memory, and the layouts of the arrays in them.
//!
//! This crate lets processes on one Linux machine share arrays without copying. It knows nothing of waiting and of running processes:
//! locks are in `shm-sync`, the executor in `shm-pool`. Every byte of the format is in `shm-core/FORMAT.md`.
//!
//! - [`SharedArray`]: an array that describes itself, with a name (`shm://name`, `file://path`) or without.
//! - [`Segment`], [`SegmentOptions`]: the memory underneath: create, attach, grow, sync, lease.
//! - [`delete`], [`list`], [`inspect`], [`reap`]: from outside, by name.
//! - [`Arena`]: many small objects in one segment, safe against killed processes.
//! - [`layout`]: what elements are and where each lies ([`ElementType`], [`ArrayLayout`], [`Record`]).
//! - [`element`]: the Rust types that may be elements ([`Element`], [`record!`]).
//! - `cli`, with the feature of that name: the command-line tool `shm`.
//! - [`Error`], [`ErrorKind`]: what was attempted, on what, why it failed and what to do.
//!
//! ```
//! use shm_core::SharedArray;
//! # let name = format!("doc-front-{}", std::process::id());
//! # let name = name.as_str();
//! let a = SharedArray::<f64, _>::zeros(name, (3, 4))?;      // in one process
//! let b = SharedArray::<f64, ndarray::Ix2>::attach(name)?;  // in another one
//! a.set([1, 2], 42.0);
//! assert_eq!(b.get([1, 2]), 42.0);
//! shm_core::delete(name)?;                                  // those who have it keep it
//! # Ok::<(), shm_core::Error>(())
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!(
    "shm-core supports Linux only (x86-64 and aarch64): it stands on O_TMPFILE, memfd and open-file-description locks"
);
#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("shm-core supports 64-bit little-endian machines only (x86-64 and aarch64)");

mod arena;
mod array;
#[cfg(feature = "cli")]
pub mod cli;
mod contents;
pub mod element;
mod error;
mod header;
pub mod layout;
mod name;
mod process;
mod segment;
mod sys;

pub use arena::{Arena, Block, OwnerId, OwnerUsage, Reclaimed, Usage};
pub use array::*;
pub use contents::{Contents, Entry, EntryKind};
pub use element::Element;
pub use error::{Error, ErrorKind, Result};
pub use header::{Lifetime, SegmentKind};
pub use layout::{ArrayLayout, ElementType, Record};
pub use name::{AsSegmentName, SegmentName};
pub use process::{Identity, Liveness, fork_count};
pub use segment::{
    Advice, Anonymous, ExclusiveLease, HeldLease, IntoPlace, Lease, Place, Segment, SegmentInfo,
    SegmentOptions, SyncMode, UnmapVeto, delete, inspect, list, list_in, reap, reap_in, set_unmap_veto,
};
pub use sys::Access;
