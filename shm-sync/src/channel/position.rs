//! Where an end of a ring stands: a place and a number of messages in one 64-bit word, so that one store moves both.
//!
//! | bits | field | meaning |
//! |---|---|---|
//! | 0 to 31 | offset | the place in the ring, in words of 8 bytes |
//! | 32 to 63 | count | how many messages have passed this end, modulo 2^32 |
//!
//! The head and the tail of an empty ring are equal; those of a full one have the same offset and another count. Every message takes one word at
//! least, so a ring of less than 2^32 words never holds so many that the difference of the counts would be ambiguous. No division is
//! needed to find the place. This file is arithmetic only; every number that it is given may come from a hostile neighbour.

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

impl Position {
    #[inline(always)]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { offset: bits as u32, count: (bits >> 32) as u32 }
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.offset) | u64::from(self.count) << 32
    }

    /// The position behind a message of `words` words, in a ring of `ring` words. The message has to fit.
    #[inline(always)]
    pub(crate) fn after(self, words: u32, ring: u32) -> Self {
        let end = u64::from(self.offset) + u64::from(words);
        let offset = if end < u64::from(ring) { end } else { end - u64::from(ring) };
        Self { offset: offset as u32, count: self.count.wrapping_add(1) }
    }
}

/// How many of the `ring` words lie between the two ends, if that is possible at all.
#[inline(always)]
pub(crate) fn used(head: Position, tail: Position, ring: u32) -> Option<u32> {
    let messages = tail.count.wrapping_sub(head.count);
    let words = match tail.offset.wrapping_sub(head.offset) {
        0 if messages == 0 => 0,
        0 => ring,
        ahead if tail.offset > head.offset => ahead,
        // Less than `ring` as both offsets are, which is checked below.
        behind => behind.wrapping_add(ring),
    };
    let possible =
        head.offset < ring && tail.offset < ring && messages <= words && (messages != 0 || words == 0);
    possible.then_some(words)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(offset: u32, count: u32) -> Position {
        Position { offset, count }
    }

    #[test]
    fn bits_and_back() {
        for position in [at(0, 0), at(7, u32::MAX), at(u32::MAX, 1)] {
            assert_eq!(Position::from_bits(position.bits()), position);
        }
    }

    /// Beside a model that counts words without bound, for every place, every amount and at the turn of the count.
    #[test]
    fn positions_follow_a_plain_count() {
        for ring in [1u32, 2, 7, u32::MAX] {
            for start in 0..ring.min(7) {
                let head = at(ring - 1 - start, u32::MAX - 1);
                for first in 1..=ring.min(7) {
                    let middle = head.after(first, ring);
                    assert_eq!(used(head, middle, ring), Some(first), "{ring} {start} {first}");
                    if first < ring {
                        let rest = ring - first;
                        assert_eq!(used(head, middle.after(rest, ring), ring), Some(ring));
                        assert_eq!(used(middle, middle.after(rest, ring), ring), Some(rest));
                    }
                }
                assert_eq!(used(head, head, ring), Some(0));
            }
        }
    }

    #[test]
    fn impossible_ends_are_refused() {
        for (head, tail) in [
            (at(8, 0), at(0, 1)),        // outside
            (at(0, 0), at(8, 1)),        // outside
            (at(u32::MAX, 0), at(0, 1)), // far outside
            (at(1, 0), at(2, 0)),        // words without a message
            (at(1, 0), at(2, 2)),        // more messages than words
            (at(1, 5), at(2, 4)),        // the tail behind the head
            (at(3, 0), at(3, 9)),        // more messages than a full ring has words
        ] {
            assert_eq!(used(head, tail, 8), None, "{head:?} {tail:?}");
        }
    }
}
