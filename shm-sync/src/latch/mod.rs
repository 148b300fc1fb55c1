//! `Latch`: opens, once and for all, when a given number of arrivals was counted.
//!
//! The protocol is `countdown`'s, the public face is in `face`.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | gate | see `base::gate` |
//! | 4 | remaining | how many arrivals are to come |
//! | 8 | identity | see `handle`; its parameter is how many there were to come at first |
//! | 16 | reserved | 0 |

pub(crate) mod countdown;

#[cfg(not(loom))]
mod face;

#[cfg(not(loom))]
pub use face::Latch;
