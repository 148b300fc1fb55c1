//! The C ABI: what `libshm.so` exports and `include/shm.h` declares. The functions are documented there, for users of C.
//!
//! | file | section of the header |
//! |---|---|
//! | `status.rs`, `error.rs` | what functions return; the text of the last error |
//! | `types.rs` | options, element types, what is known about arrays and segments |
//! | `segment.rs`, `contents.rs`, `list.rs`, `array.rs`, `exclusive.rs` | segments and arrays |
//! | `callback.rs`, `memory.rs` | functions that the library calls; memory that it allocates for the caller |
//! | `sync/` | the primitives, one file each |
//! | `pool/` | the executor |
//!
//! Underneath, and not in the header: `guard` (no panic and no Rust error gets out), `input` and `info` (what comes in
//! and goes out), `handle`
//! (ids and objects), `pin` (what a thread uses and holds), `membarrier` (why that costs so little). The names follow the grammar in
//! `README.md`.
//!
//! # What callers of every function promise
//! Pointers are NULL, which gives a status, or point to as much readable (for results: writable) memory as the function's parameters say,
//! texts to a zero byte at their end, and nobody changes it during the call. Everything else is checked: handles, numbers, texts.
//! Functions that take handles are not for signal handlers, and a callback does not leave by longjmp(3).

#![allow(
    clippy::missing_safety_doc,
    reason = "the promise is the same for all functions, and stands at the head of the crate and of the header"
)]

// What is exported, in the order of the header.
mod error;
mod status;

mod types;

mod segment;

mod contents;

mod list;

mod array;

mod exclusive;

mod callback;

mod memory;

mod sync;

mod pool;

// What is underneath.
mod guard;
mod handle;
mod info;
mod input;
mod membarrier;
mod pin;

pub use array::*;
pub use callback::{shm_action_t, shm_once_run_t};
pub use contents::*;
pub use error::{shm_last_errno, shm_last_error};
pub use exclusive::*;
pub use list::*;
pub use memory::shm_free;
pub use pool::*;
pub use segment::*;
pub use status::*;
pub use sync::*;
pub use types::*;
