//! Bounded channels between any number of producers and consumers, in any processes: of byte messages ([`ByteChannel`]) and of plain values
//! ([`Channel`], and [`ItemChannel`] where their size is known at run time only).
//!
//! | file | what it knows |
//! |---|---|
//! | `position` | where an end of the ring stands, in one word |
//! | `flow` | the protocol between the two sides; it is what the models run |
//! | `raw` | the layout in shared pages |
//! | `ring` | locks, waiting, copying: what both channels share |
//! | `bytes`, `values`, `items` | the public types |

mod position;

pub(crate) mod flow;

#[cfg(not(loom))]
mod bytes;
#[cfg(not(loom))]
mod items;
#[cfg(not(loom))]
mod raw;
#[cfg(not(loom))]
mod ring;
#[cfg(not(loom))]
mod values;

#[cfg(not(loom))]
pub use bytes::ByteChannel;
#[cfg(not(loom))]
pub use items::ItemChannel;
#[cfg(not(loom))]
pub use values::Channel;
