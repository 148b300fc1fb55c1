//! Size classes: how a chunk is cut into blocks (FORMAT.md, section 6.4). Pure arithmetic.

use super::format::CHUNK;

/// Number of size classes.
pub(super) const CLASSES: usize = 29;
/// Largest block that comes from a slab; anything above gets a run of chunks.
pub(super) const LARGEST_SMALL: u64 = 32_640;

/// Block sizes by class: four steps a doubling at most, multiples of 64, and at the upper end whatever divides what
/// is left of a chunk without a rest.
const SIZES: [u32; CLASSES] = [
    64, 128, // group 0
    192, 256, 320, 384, 448, 512, // group 1
    640, 768, 896, 1024, 1280, 1536, 1792, 2048, // group 2
    2560, 3264, 3840, 4352, 5440, 6528, 8128, 9280, 10_880, 13_056, 16_320, 21_760, 32_640, // group 3
];

/// Where the blocks of a slab begin, by group: the bytes before are block words for ever.
const BLOCKS_AT: [u32; 4] = [7296, 2624, 832, 256];

/// A size class: 0 to 28.
///
/// Classes fall into four groups. All slabs of a group keep the same room for block words, so a slab may change its
/// class within its group, and no byte that ever was a block word becomes part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The smallest class whose blocks hold `len` bytes, or nothing if only a run can.
    pub(super) fn for_len(len: u64) -> Option<Self> {
        // Position (len - 1) / 64 of this table is the class; 0 bytes get the smallest block.
        const BY_STEP: [u8; (LARGEST_SMALL / 64) as usize] = {
            let mut table = [0; (LARGEST_SMALL / 64) as usize];
            let (mut step, mut class) = (0, 0);
            while step < table.len() {
                if (step + 1) * 64 > SIZES[class] as usize {
                    class += 1;
                }
                table[step] = class as u8;
                step += 1;
            }
            table
        };
        if len > LARGEST_SMALL {
            return None;
        }
        Some(Self(BY_STEP[(len.saturating_sub(1) / 64) as usize]))
    }

    /// The class with this number in a word, if there is one.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        ((bits as usize) < CLASSES).then_some(Self(bits as u8))
    }

    /// The number that stands for the class in a word.
    pub(super) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// Every class, the smallest first.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Bytes of a block.
    pub(super) fn size(self) -> u32 {
        SIZES[self.index()]
    }

    /// 0 to 3; slabs change their class only within a group.
    pub(super) fn group(self) -> usize {
        match self.0 {
            0..2 => 0,
            2..8 => 1,
            8..16 => 2,
            _ => 3,
        }
    }

    /// Offset of the first block in a slab.
    pub(super) fn blocks_at(self) -> u32 {
        BLOCKS_AT[self.group()]
    }

    /// Block words that a slab of this class's group has room for.
    #[cfg(test)]
    pub(super) fn words(self) -> u32 {
        self.blocks_at() / 8
    }

    /// Blocks in a slab; the room for words suffices for every class of the group (tested below).
    pub(super) fn blocks(self) -> u32 {
        (CHUNK as u32 - self.blocks_at()) / self.size()
    }

    /// Offset of block `index` from the start of its chunk.
    pub(super) fn block_at(self, index: u32) -> u32 {
        self.blocks_at() + index * self.size()
    }

    /// The block that begins exactly at offset `at` in its chunk.
    pub(super) fn index_of(self, at: u32) -> Option<u32> {
        let from_first = at.checked_sub(self.blocks_at())?;
        let index = from_first / self.size();
        (from_first % self.size() == 0 && index < self.blocks()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_their_blocks_lie_within_the_chunk() {
        let mut largest_before = 0;
        for class in Class::all() {
            assert_eq!(class.size() % 64, 0);
            assert_eq!(class.blocks_at() % 64, 0);
            assert!(class.size() > largest_before);
            assert!(class.blocks() <= class.words() && class.blocks() >= 2);
            assert!(u64::from(class.block_at(class.blocks())) <= CHUNK);
            for index in 0..class.blocks() {
                assert_eq!(class.index_of(class.block_at(index)), Some(index));
                assert_eq!(class.index_of(class.block_at(index) + 1), None);
            }
            assert_eq!(class.index_of(class.block_at(class.blocks())), None);
            assert_eq!(class.index_of(0), None);
            assert_eq!(Class::for_len(u64::from(largest_before) + 1), Some(class));
            assert_eq!(Class::for_len(u64::from(class.size())), Some(class));
            largest_before = class.size();
        }
        assert_eq!(Class::for_len(0), Class::for_len(64));
        assert_eq!(u64::from(largest_before), LARGEST_SMALL);
        assert_eq!(Class::for_len(LARGEST_SMALL + 1), None);
    }
}
