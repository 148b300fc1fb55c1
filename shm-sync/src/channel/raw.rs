//! The fixed part of a channel in shared pages: five cache lines in front of the ring.
//!
//! | offset | field | who writes |
//! |---|---|---|
//! | 0 | closed: 0 open, 1 closed | whoever closes it |
//! | 4 | value length: of a channel of values; 0 for bytes | its maker |
//! | 8 | identity, see `handle`; its parameter is the capacity | its maker |
//! | 16 | the data gate, see `base::gate` | a consumer that waits, and who wakes it |
//! | 20 | the room gate | a producer that waits, and who wakes it |
//! | 64 | the producers' lock, see `base::slot`; wide note: the head that they saw last | producers |
//! | 128 | the tail, see `position` | the holder of the producers' lock |
//! | 192 | the consumers' lock; wide note: the tail that they saw last | consumers |
//! | 256 | the head | the holder of the consumers' lock |
//! | 320 | the ring, words of 8 bytes | the holder of the producers' lock |
//!
//! The first line is read by everybody for each message and hardly ever written. What is in the ring is `ring`'s business.

use crate::base::gate::Gate;
use crate::base::slot::Slot;
use crate::handle::{Kind, Raw};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// See the head of this file. `VALUES`: a channel of plain values; otherwise one of byte messages.
#[repr(C, align(64))]
pub(crate) struct RawChannel<const VALUES: bool> {
    pub(crate) closed: AtomicU32,
    pub(crate) value_len: AtomicU32,
    identity: AtomicU64,
    pub(crate) data: Gate,
    pub(crate) room: Gate,
    pub(crate) producers: Slot,
    pub(crate) tail: Line,
    pub(crate) consumers: Slot,
    pub(crate) head: Line,
}

/// A word on a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) AtomicU64);

/// Where the value length is, for the first bytes.
pub(crate) const VALUE_LEN: usize = offset_of!(RawChannel<true>, value_len);

const _: () = {
    assert!(size_of::<RawChannel<true>>() == 320 && VALUE_LEN == 4);
    assert!(offset_of!(RawChannel<true>, identity) == 8);
    assert!(offset_of!(RawChannel<true>, data) == 16 && offset_of!(RawChannel<true>, room) == 20);
    assert!(offset_of!(RawChannel<true>, producers) == 64 && offset_of!(RawChannel<true>, tail) == 128);
    assert!(offset_of!(RawChannel<true>, consumers) == 192 && offset_of!(RawChannel<true>, head) == 256);
};

impl<const VALUES: bool> Raw for RawChannel<VALUES> {
    const KIND: Kind = if VALUES { Kind::CHANNEL } else { Kind::BYTE_CHANNEL };

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}
