//! Extents and strides of an array, kept without an allocation as long as there are few.
//!
//! Attaching an array is measured in microseconds and nearly all arrays have at most four dimensions. What the numbers
//! mean is said in `shape.rs`.

/// How many dimensions need no allocation.
const INLINE: usize = 4;

#[derive(Clone)]
pub(crate) enum Dims {
    Few { count: u8, extents: [usize; INLINE], strides: [isize; INLINE] },
    Many { extents: Box<[usize]>, strides: Box<[isize]> },
}

impl Dims {
    /// Makes `count` dimensions; `dimension` tells extent and stride of each, in ascending order.
    pub(crate) fn from_fn(count: usize, mut dimension: impl FnMut(usize) -> (usize, isize)) -> Self {
        if count <= INLINE {
            let (mut extents, mut strides) = ([0; INLINE], [0; INLINE]);
            for index in 0..count {
                (extents[index], strides[index]) = dimension(index);
            }
            Dims::Few { count: count as u8, extents, strides }
        } else {
            let (extents, strides): (Vec<_>, Vec<_>) = (0..count).map(dimension).unzip();
            Dims::Many { extents: extents.into(), strides: strides.into() }
        }
    }

    pub(crate) fn extents(&self) -> &[usize] {
        match self {
            Dims::Few { count, extents, .. } => &extents[..usize::from(*count)],
            Dims::Many { extents, .. } => extents,
        }
    }

    pub(crate) fn strides(&self) -> &[isize] {
        match self {
            Dims::Few { count, strides, .. } => &strides[..usize::from(*count)],
            Dims::Many { strides, .. } => strides,
        }
    }

    pub(crate) fn strides_mut(&mut self) -> &mut [isize] {
        match self {
            Dims::Few { count, strides, .. } => &mut strides[..usize::from(*count)],
            Dims::Many { strides, .. } => strides,
        }
    }

    /// Returns extent and stride of each dimension, from the first to the last.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, isize)> + ExactSizeIterator {
        self.extents().iter().copied().zip(self.strides().iter().copied())
    }
}

impl PartialEq for Dims {
    fn eq(&self, other: &Self) -> bool {
        self.extents() == other.extents() && self.strides() == other.strides()
    }
}

impl Eq for Dims {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_alike() {
        for count in [0, 1, 4, 5, 64] {
            let mut dims = Dims::from_fn(count, |index| (index, -(index as isize)));
            assert!(dims.extents().iter().copied().eq(0..count));
            assert!(dims.strides().iter().copied().eq((0..count).map(|index| -(index as isize))));
            assert_eq!(dims.iter().len(), count);
            dims.strides_mut().fill(7);
            assert!(dims.iter().all(|(_, stride)| stride == 7));
            assert_eq!(matches!(dims, Dims::Few { .. }), count <= INLINE);
        }
    }
}
