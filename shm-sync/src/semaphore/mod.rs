//! `Semaphore`: a number of permits in shared pages, which threads of any process take and give back.
//!
//! This file has the type without a bound, `bounded` the one with a bound. They leave the protocol to `permits`, the bytes and the errors to `raw`,
//! the guard to `permit`, and where the bytes come from to `primitive`.

#[cfg(not(loom))]
mod bounded;
#[cfg(not(loom))]
mod permit;
pub(crate) mod permits;
#[cfg(not(loom))]
mod raw;

#[cfg(not(loom))]
mod unbounded;

#[cfg(not(loom))]
pub use {bounded::BoundedSemaphore, permit::Permit, unbounded::Semaphore};
