//! Arrays in shared memory: [`AnyArray`] with a layout known at run time, [`SharedArray`] with a Rust element type and dimension.
//!
//! | file | idea |
//! |---|---|
//! | `any.rs` | an array entry of a segment, its elements untyped |
//! | `typed.rs` | the same with an element type and a dimension, checked once |
//! | `construct.rs` | the ways to make one |
//! | `exclusive.rs` | safe references, under the exclusive lease |
//! | `racy.rs` | copies of bytes that another process may be writing |
//!
//! **The rule.** A `&T` or `&mut T` to bytes that another process may write is undefined behaviour, so the safe functions never lend one
//! except under the exclusive lease. Everything else copies in and out (a copy that races with a writer is a mixture of old and new elements, each element of 1, 2,
//! 4 or 8 bytes at a multiple of its size whole), or is `unsafe` and says what the caller promises.

mod any;
mod construct;
mod exclusive;
mod racy;
mod typed;

pub use any::AnyArray;
pub use exclusive::Exclusive;
pub use typed::SharedArray;
