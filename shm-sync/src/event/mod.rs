//! `Event`: a flag in shared pages that threads of any process wait for, set and cleared by hand.
//!
//! The protocol is `signal`'s, the public face is in `face`.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | gate | see `base::gate` |
//! | 4 | state | bit 0: set; the rest: how often it was set |
//! | 8 | identity | see `handle`; its parameter is 0 |
//! | 16 | reserved | 0 |

pub(crate) mod signal;

#[cfg(not(loom))]
mod face;

#[cfg(not(loom))]
pub use face::Event;
