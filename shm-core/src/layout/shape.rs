//! Where each element of an array lies: shape, strides in bytes and origin ([`ArrayLayout`]).
//!
//! A layout that exists obeys the rules of `FORMAT.md`, section 3.1, all of them checked when it is made:
//!
//! 1. at most 64 dimensions;
//! 2. the product of the extents that are not 0 and the item size is below 2^63 (an item size of 0 counts as 1 here, so that the
//!    number of elements cannot overflow either);
//! 3. with the dimensions of extent above 1 sorted by the absolute value of their strides, each stride is at least the span of
//!    all dimensions before it; the span of none is the item size (of equal strides, which only elements without bytes may have,
//!    the one with the smaller extent comes first);
//! 4. no element lies before byte 0, and the last one ends below 2^63.
//!
//! From 3 follows by induction that no two elements overlap: one step along a dimension leaves everything behind that the
//! dimensions before it can reach. (The converse is false: elements that interleave without overlapping are refused too.)
//! From 4 follows that the sums in [`ArrayLayout::offset_of`] cannot overflow. An array with an extent of 0 has no elements,
//! so 3 and 4 say nothing about it.

use std::fmt;

use super::dims::Dims;
use super::dtype::ElementType;
use super::error::LayoutError;
use super::{MAX_BYTES, MAX_DIMENSIONS};

/// What an array's elements are and where each of them lies, counted in bytes from the start of the array's entry.
///
/// # Examples
/// ```
/// use shm_core::layout::{ArrayLayout, ElementType};
///
/// let c = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
/// let f = ArrayLayout::f_order(ElementType::F64, &[3, 5])?;
/// assert_eq!((c.strides_bytes(), f.strides_bytes()), (&[40, 8][..], &[8, 24][..]));
/// assert_eq!((c.len(), c.data_len_bytes()), (15, 120));
///
/// // Every second row, the last one first.
/// let rows = ArrayLayout::strided(ElementType::F64, &[2, 5], &[-80, 8])?;
/// assert_eq!(rows.origin(), 80);
/// assert_eq!(rows.offset_of(&[1, 0]), Some(0));
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ArrayLayout {
    element: ElementType,
    dims: Dims,
    origin: usize,
    len: usize,
    data_len_bytes: usize,
}

/// How many elements and bytes a shape has.
pub(crate) struct ShapeSize {
    pub(crate) len: usize,
    pub(crate) bytes: usize,
}

/// Multiplies a shape out, by rule 2.
pub(crate) fn size_of_shape(shape: &[usize], item_size: usize) -> Result<ShapeSize, LayoutError> {
    let (mut len, mut product) = (1, item_size.max(1));
    for &extent in shape {
        product = product.checked_mul(extent.max(1)).ok_or(LayoutError::TooLarge)?;
        len *= extent; // never above the product
    }
    if product > MAX_BYTES {
        return Err(LayoutError::TooLarge);
    }
    Ok(ShapeSize { len, bytes: len * item_size })
}

/// How far an array reaches before and behind its origin.
struct Reach {
    before: usize,
    /// To the start of the last element.
    behind: usize,
}

fn reach(dims: &Dims) -> Result<Reach, LayoutError> {
    let mut reach = Reach { before: 0, behind: 0 };
    for (extent, stride) in dims.iter() {
        let far = stride.unsigned_abs().checked_mul(extent.saturating_sub(1)).ok_or(LayoutError::TooLarge)?;
        let side = if stride < 0 { &mut reach.before } else { &mut reach.behind };
        *side = side.checked_add(far).filter(|sum| *sum <= MAX_BYTES).ok_or(LayoutError::TooLarge)?;
    }
    Ok(reach)
}

/// Checks rule 3; rule 2 has been.
fn check_overlap(dims: &Dims, item_size: usize) -> Result<(), LayoutError> {
    // Nearly every array: there is nothing to sort, and elements that follow each other do not overlap.
    if contiguous(dims.iter().rev(), item_size) {
        return Ok(());
    }
    let mut sorted = [(0, 0); MAX_DIMENSIONS];
    let mut count = 0;
    for (extent, stride) in dims.iter().filter(|(extent, _)| *extent > 1) {
        sorted[count] = (stride.unsigned_abs(), extent);
        count += 1;
    }
    let sorted = &mut sorted[..count];
    sorted.sort_unstable();
    let mut span = item_size;
    for &mut (stride, extent) in sorted {
        if stride < span {
            return Err(LayoutError::Overlap { stride, span });
        }
        let far = stride.checked_mul(extent - 1).and_then(|far| span.checked_add(far));
        span = far.ok_or(LayoutError::TooLarge)?;
    }
    Ok(())
}

impl ArrayLayout {
    /// Makes a layout in C order: the last index runs fastest, without gaps, from byte 0 on.
    ///
    /// An empty shape makes one element without dimensions (0-d).
    ///
    /// # Errors
    /// [`LayoutError::TooManyDimensions`] above 64, [`LayoutError::TooLarge`] from 2^63 bytes on.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert_eq!(ArrayLayout::c_order(ElementType::U8, &[2, 3, 4])?.strides_bytes(), [12, 4, 1]);
    /// assert_eq!(ArrayLayout::c_order(ElementType::F64, &[])?.len(), 1);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn c_order(element: ElementType, shape: &[usize]) -> Result<Self, LayoutError> {
        Self::contiguous(element, shape, |strides, extents, item| {
            let mut stride = item;
            for (slot, extent) in strides.iter_mut().zip(extents).rev() {
                *slot = stride as isize;
                stride *= extent.max(&1);
            }
        })
    }

    /// Makes a layout in Fortran order: the first index runs fastest, without gaps, from byte 0 on.
    ///
    /// # Errors
    /// As for [`c_order`](ArrayLayout::c_order).
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert_eq!(ArrayLayout::f_order(ElementType::U8, &[2, 3, 4])?.strides_bytes(), [1, 2, 6]);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn f_order(element: ElementType, shape: &[usize]) -> Result<Self, LayoutError> {
        Self::contiguous(element, shape, |strides, extents, item| {
            let mut stride = item;
            for (slot, extent) in strides.iter_mut().zip(extents) {
                *slot = stride as isize;
                stride *= extent.max(&1);
            }
        })
    }

    /// Checks the size first, so that `fill`, which gets strides, extents and item size, cannot overflow.
    fn contiguous(
        element: ElementType,
        shape: &[usize],
        fill: impl FnOnce(&mut [isize], &[usize], usize),
    ) -> Result<Self, LayoutError> {
        check_dimensions(shape.len())?;
        let ShapeSize { len, bytes } = size_of_shape(shape, element.item_size())?;
        let mut dims = Dims::from_fn(shape.len(), |index| (shape[index], 0));
        fill(dims.strides_mut(), shape, element.item_size());
        Ok(ArrayLayout { element, dims, origin: 0, len, data_len_bytes: bytes })
    }

    /// Makes a layout with these strides, in bytes, of any sign; the first byte of the array is byte 0.
    ///
    /// # Errors
    /// [`LayoutError::TooManyDimensions`], [`LayoutError::DimensionsDiffer`], [`LayoutError::TooLarge`], and
    /// [`LayoutError::Overlap`] when elements overlap or interleave.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType, LayoutError};
    ///
    /// let reversed = ArrayLayout::strided(ElementType::F64, &[10], &[-8])?;
    /// assert_eq!(reversed.origin(), 72);
    ///
    /// let broadcast = ArrayLayout::strided(ElementType::F64, &[10], &[0]);
    /// assert_eq!(broadcast, Err(LayoutError::Overlap { stride: 0, span: 8 }));
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn strided(
        element: ElementType,
        shape: &[usize],
        strides_bytes: &[isize],
    ) -> Result<Self, LayoutError> {
        let dims = paired(shape, strides_bytes)?;
        let origin = if shape.contains(&0) { 0 } else { reach(&dims)?.before };
        Self::from_dims(element, dims, origin)
    }

    /// Makes a layout with these strides and this origin, the offset in bytes of the element with all indices 0.
    ///
    /// # Errors
    /// As for [`strided`](ArrayLayout::strided), and [`LayoutError::BeforeStart`] when negative strides lead to before byte 0.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let column = ArrayLayout::strided_from(ElementType::F32, &[100], &[16], 12)?;
    /// assert_eq!(column.offset_of(&[1]), Some(28));
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn strided_from(
        element: ElementType,
        shape: &[usize],
        strides_bytes: &[isize],
        origin: usize,
    ) -> Result<Self, LayoutError> {
        Self::from_dims(element, paired(shape, strides_bytes)?, origin)
    }

    /// Checks all rules but the first.
    pub(crate) fn from_dims(element: ElementType, dims: Dims, origin: usize) -> Result<Self, LayoutError> {
        let item_size = element.item_size();
        let len = size_of_shape(dims.extents(), item_size)?.len;
        if len == 0 {
            return Ok(ArrayLayout { element, dims, origin, len, data_len_bytes: 0 });
        }
        let Reach { before, behind } = reach(&dims)?;
        check_overlap(&dims, item_size)?;
        if origin < before {
            return Err(LayoutError::BeforeStart { origin, reach: before });
        }
        let end = origin.checked_add(behind).and_then(|end| end.checked_add(item_size));
        let data_len_bytes = end.filter(|end| *end <= MAX_BYTES).ok_or(LayoutError::TooLarge)?;
        Ok(ArrayLayout { element, dims, origin, len, data_len_bytes })
    }

    /// Returns what each element is.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.element(), &ElementType::F64);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn element(&self) -> &ElementType {
        &self.element
    }

    /// Returns the extent of each dimension.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.shape(), [3, 5]);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn shape(&self) -> &[usize] {
        self.dims.extents()
    }

    /// Returns the distance in bytes from one element to the next along each dimension; of any sign, and without meaning where
    /// the extent is 0 or 1.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.strides_bytes(), [40, 8]);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn strides_bytes(&self) -> &[isize] {
        self.dims.strides()
    }

    /// Returns the offset in bytes of the element with all indices 0; without meaning in an array without elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// // From back to front: the first element is the last one in memory.
    /// let reversed = ArrayLayout::strided_from(ElementType::F64, &[4], &[-8], 24)?;
    /// assert_eq!(reversed.origin(), 24);
    /// assert_eq!(reversed.offset_of(&[3]), Some(0));
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn origin(&self) -> usize {
        self.origin
    }

    /// Returns the number of dimensions, 0 to 64.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.ndim(), 2);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn ndim(&self) -> usize {
        self.shape().len()
    }

    /// Returns the number of elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.len(), 15);
    /// assert_eq!(ArrayLayout::c_order(ElementType::F64, &[])?.len(), 1);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no elements, because an extent is 0.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert!(ArrayLayout::c_order(ElementType::F64, &[0, 5])?.is_empty());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes that the array's entry needs: from byte 0, gaps included, to the end of the last element; 0 without
    /// elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert_eq!(ArrayLayout::strided_from(ElementType::F32, &[3], &[16], 12)?.data_len_bytes(), 12 + 2 * 16 + 4);
    /// assert_eq!(ArrayLayout::c_order(ElementType::F32, &[3, 0])?.data_len_bytes(), 0);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn data_len_bytes(&self) -> usize {
        self.data_len_bytes
    }

    /// Returns whether the elements lie in C order without gaps; true for an array without elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::f_order(ElementType::I16, &[2, 3])?;
    /// assert!(!layout.is_c_contiguous() && layout.is_f_contiguous());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn is_c_contiguous(&self) -> bool {
        self.is_empty() || contiguous(self.dims.iter().rev(), self.element.item_size())
    }

    /// Returns whether the elements lie in Fortran order without gaps; true for an array without elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert!(ArrayLayout::f_order(ElementType::I16, &[2, 3])?.is_f_contiguous());
    /// assert!(!ArrayLayout::c_order(ElementType::I16, &[2, 3])?.is_f_contiguous());
    /// assert!(ArrayLayout::c_order(ElementType::I16, &[6])?.is_f_contiguous());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn is_f_contiguous(&self) -> bool {
        self.is_empty() || contiguous(self.dims.iter(), self.element.item_size())
    }

    /// Returns whether every element lies on a multiple of `alignment` when byte 0 does; true for an array without elements.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let packed = ArrayLayout::strided(ElementType::F64, &[4], &[9])?;
    /// assert!(!packed.is_aligned_to(ElementType::F64.alignment()));
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn is_aligned_to(&self, alignment: usize) -> bool {
        let aligned = |offset: usize| offset.is_multiple_of(alignment);
        self.is_empty()
            || aligned(self.origin)
                && self.dims.iter().all(|(extent, stride)| extent < 2 || aligned(stride.unsigned_abs()))
    }

    /// Returns the offset in bytes of the element with these indices; `None` when there is no such element.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
    /// assert_eq!(layout.offset_of(&[2, 1]), Some(88));
    /// assert_eq!(layout.offset_of(&[2, 5]), None);
    /// assert_eq!(layout.offset_of(&[2]), None);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn offset_of(&self, index: &[usize]) -> Option<usize> {
        if index.len() != self.ndim() || index.iter().zip(self.shape()).any(|(index, extent)| index >= extent)
        {
            return None;
        }
        // Within the array no partial sum leaves the range from -2^63 to 2^63: rule 4 and `reach`.
        let far = index.iter().zip(self.strides_bytes()).map(|(&index, &stride)| index as isize * stride);
        self.origin.checked_add_signed(far.sum())
    }

    /// Returns the stride of the first dimension in bytes: one row of a C-order array; `None` without dimensions.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert_eq!(ArrayLayout::c_order(ElementType::F64, &[3, 5])?.row_stride(), Some(40));
    /// assert_eq!(ArrayLayout::c_order(ElementType::F64, &[])?.row_stride(), None);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn row_stride(&self) -> Option<isize> {
        self.strides_bytes().first().copied()
    }

    /// Checks that the array can grow along its first dimension: C order without gaps, and rows of at least one byte.
    ///
    /// # Errors
    /// [`LayoutError::NotGrowable`] says what is missing.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// assert!(ArrayLayout::c_order(ElementType::F64, &[0, 3])?.check_growable().is_ok());
    /// assert!(ArrayLayout::c_order(ElementType::F64, &[])?.check_growable().is_err());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn check_growable(&self) -> Result<(), LayoutError> {
        self.growing_row_bytes().map(drop)
    }

    /// Returns the bytes of one row of a growable array.
    fn growing_row_bytes(&self) -> Result<usize, LayoutError> {
        let no = |reason| Err(LayoutError::NotGrowable { reason });
        let mut rows = self.dims.iter();
        let Some((_, row_stride)) = rows.next() else {
            return no("it has no dimensions");
        };
        let row_bytes = size_of_shape(&self.shape()[1..], self.element.item_size())?.bytes;
        if row_bytes == 0 {
            return no("its rows are empty");
        }
        if row_stride != row_bytes as isize || !contiguous(rows.rev(), self.element.item_size()) {
            return no("it is not in C order without gaps");
        }
        Ok(row_bytes)
    }

    /// Returns the same array with another first extent, for arrays that grow.
    ///
    /// # Errors
    /// [`LayoutError::NotGrowable`], and [`LayoutError::TooLarge`] from 2^63 bytes on.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let log = ArrayLayout::c_order(ElementType::F64, &[0, 3])?;
    /// assert_eq!(log.with_first_extent(100)?.data_len_bytes(), 2400);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn with_first_extent(&self, extent: usize) -> Result<Self, LayoutError> {
        self.growing_row_bytes()?;
        let dims = Dims::from_fn(self.ndim(), |index| {
            (if index == 0 { extent } else { self.shape()[index] }, self.strides_bytes()[index])
        });
        Self::from_dims(self.element.clone(), dims, self.origin)
    }

    /// Returns the first extent of a growable array whose entry now has `len_bytes` bytes: the number of complete rows.
    ///
    /// # Errors
    /// [`LayoutError::NotGrowable`].
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ArrayLayout, ElementType};
    ///
    /// let log = ArrayLayout::c_order(ElementType::F64, &[0, 3])?;
    /// assert_eq!(log.first_extent_within(100)?, 4);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn first_extent_within(&self, len_bytes: u64) -> Result<usize, LayoutError> {
        let row_bytes = self.growing_row_bytes()?;
        Ok((len_bytes as usize).saturating_sub(self.origin) / row_bytes)
    }
}

fn check_dimensions(found: usize) -> Result<(), LayoutError> {
    if found > MAX_DIMENSIONS { Err(LayoutError::TooManyDimensions { found }) } else { Ok(()) }
}

/// Puts shape and strides together, by rule 1.
fn paired(shape: &[usize], strides: &[isize]) -> Result<Dims, LayoutError> {
    check_dimensions(shape.len())?;
    if shape.len() != strides.len() {
        return Err(LayoutError::DimensionsDiffer { extents: shape.len(), strides: strides.len() });
    }
    Ok(Dims::from_fn(shape.len(), |index| (shape[index], strides[index])))
}

/// Whether dimensions, the fastest one first, follow each other without gaps; strides of extents below 2 do not count.
fn contiguous(fastest_first: impl Iterator<Item = (usize, isize)>, item_size: usize) -> bool {
    // Rule 2 keeps the product from overflowing.
    let mut expected = item_size;
    for (extent, stride) in fastest_first {
        if extent > 1 && stride != expected as isize {
            return false;
        }
        expected *= extent.max(1);
    }
    true
}

/// Writes type and shape for people: `f64[3, 5]`, and strides and origin where they are not those of C order.
impl fmt::Display for ArrayLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element, self.shape())?;
        if self.is_empty() || self.is_c_contiguous() && self.origin == 0 {
            return Ok(());
        }
        write!(f, " with strides {:?} from {}", self.strides_bytes(), self.origin)
    }
}

impl fmt::Debug for ArrayLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayLayout")
            .field("element", &self.element)
            .field("shape", &self.shape())
            .field("strides_bytes", &self.strides_bytes())
            .field("origin", &self.origin)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F64: ElementType = ElementType::F64;

    #[test]
    fn zero_dimensions_are_one_element() {
        let layout = ArrayLayout::c_order(F64, &[]).unwrap();
        assert_eq!((layout.len(), layout.data_len_bytes(), layout.offset_of(&[])), (1, 8, Some(0)));
        assert!(layout.is_c_contiguous() && layout.is_f_contiguous());
        assert_eq!(layout.row_stride(), None);
        assert_eq!(layout.to_string(), "f64[]");
    }

    #[test]
    fn empty_arrays_need_no_bytes() {
        for shape in [&[0][..], &[0, 3], &[3, 0], &[1 << 62, 0]] {
            let layout = ArrayLayout::c_order(ElementType::U8, shape).unwrap();
            assert_eq!((layout.len(), layout.data_len_bytes()), (0, 0));
            assert!(layout.is_c_contiguous() && layout.is_f_contiguous());
            assert_eq!(layout.offset_of(&vec![0; shape.len()]), None);
        }
        assert_eq!(ArrayLayout::c_order(F64, &[3, 0, 2]).unwrap().strides_bytes(), [16, 16, 8]);
        let odd = ArrayLayout::strided_from(F64, &[0, 2], &[isize::MIN, 0], usize::MAX).unwrap();
        assert_eq!(odd.data_len_bytes(), 0);
    }

    #[test]
    fn sizes_stop_below_two_to_the_63rd() {
        assert!(ArrayLayout::c_order(ElementType::U8, &[MAX_BYTES]).is_ok());
        for shape in [&[MAX_BYTES + 1][..], &[1 << 32, 1 << 31], &[usize::MAX, usize::MAX], &[0, 1 << 63]] {
            assert_eq!(ArrayLayout::c_order(ElementType::U8, shape), Err(LayoutError::TooLarge));
            assert_eq!(ArrayLayout::f_order(ElementType::U8, shape), Err(LayoutError::TooLarge));
            assert_eq!(ArrayLayout::c_order(ElementType::Bytes(0), shape), Err(LayoutError::TooLarge));
        }
        assert_eq!(ArrayLayout::c_order(F64, &[1 << 60]), Err(LayoutError::TooLarge));
        assert!(ArrayLayout::c_order(F64, &[(1 << 60) - 1]).is_ok());
    }

    #[test]
    fn strides_cannot_overflow() {
        let strided =
            |shape: &[usize], strides: &[isize]| ArrayLayout::strided(ElementType::U8, shape, strides);
        assert!(strided(&[2], &[isize::MAX - 1]).is_ok());
        assert_eq!(strided(&[2], &[isize::MAX]), Err(LayoutError::TooLarge));
        assert_eq!(strided(&[2], &[isize::MIN]), Err(LayoutError::TooLarge));
        assert_eq!(strided(&[3], &[isize::MAX]), Err(LayoutError::TooLarge));
        assert_eq!(strided(&[2, 2], &[isize::MAX, 1]), Err(LayoutError::TooLarge));
        assert!(strided(&[1, 1], &[isize::MIN, isize::MAX]).is_ok());
        let origin = ArrayLayout::strided_from(ElementType::U8, &[1], &[1], usize::MAX);
        assert_eq!(origin, Err(LayoutError::TooLarge));
    }

    #[test]
    fn negative_strides_need_room_before_the_origin() {
        let layout = ArrayLayout::strided(F64, &[3, 2], &[-16, -8]).unwrap();
        assert_eq!((layout.origin(), layout.data_len_bytes()), (40, 48));
        assert_eq!(layout.offset_of(&[2, 1]), Some(0));
        let found = ArrayLayout::strided_from(F64, &[3, 2], &[-16, -8], 39);
        assert_eq!(found, Err(LayoutError::BeforeStart { origin: 39, reach: 40 }));
    }

    #[test]
    fn overlap_is_refused() {
        let found = ArrayLayout::strided(F64, &[4, 4], &[24, 8]);
        assert_eq!(found, Err(LayoutError::Overlap { stride: 24, span: 32 }));
        let found = ArrayLayout::strided(F64, &[2], &[-7]);
        assert_eq!(found, Err(LayoutError::Overlap { stride: 7, span: 8 }));
        assert!(ArrayLayout::strided(F64, &[4, 1], &[8, 0]).is_ok());
        assert!(ArrayLayout::strided(ElementType::Bytes(0), &[4, 4], &[0, 0]).is_ok());
    }

    #[test]
    fn numbers_of_dimensions_are_checked() {
        let found = ArrayLayout::strided(F64, &[1, 1], &[8]);
        assert_eq!(found, Err(LayoutError::DimensionsDiffer { extents: 2, strides: 1 }));
        let found = ArrayLayout::strided(F64, &[1; 65], &[8; 65]);
        assert_eq!(found, Err(LayoutError::TooManyDimensions { found: 65 }));
        assert_eq!(ArrayLayout::f_order(F64, &[1; 64]).unwrap().ndim(), 64);
    }

    #[test]
    fn growth_keeps_the_rows() {
        let log = ArrayLayout::strided_from(F64, &[1, 3], &[24, 8], 16).unwrap();
        let grown = log.with_first_extent(4).unwrap();
        assert_eq!((grown.shape(), grown.strides_bytes(), grown.origin()), (&[4, 3][..], &[24, 8][..], 16));
        assert_eq!(log.first_extent_within(16 + 4 * 24), Ok(4));
        assert_eq!(log.first_extent_within(16 + 4 * 24 - 1), Ok(3));
        assert_eq!(log.first_extent_within(0), Ok(0));
        assert_eq!(log.with_first_extent(usize::MAX), Err(LayoutError::TooLarge));
        assert_eq!(grown.with_first_extent(0).unwrap().data_len_bytes(), 0);
    }

    #[test]
    fn some_arrays_cannot_grow() {
        let refused = |layout: Result<ArrayLayout, LayoutError>| {
            matches!(layout.unwrap().check_growable(), Err(LayoutError::NotGrowable { .. }))
        };
        assert!(refused(ArrayLayout::c_order(F64, &[])));
        assert!(refused(ArrayLayout::c_order(F64, &[3, 0])));
        assert!(refused(ArrayLayout::c_order(ElementType::Bytes(0), &[3])));
        assert!(refused(ArrayLayout::f_order(F64, &[3, 2])));
        assert!(refused(ArrayLayout::strided(F64, &[1, 2], &[24, 8])));
        assert!(refused(ArrayLayout::strided(F64, &[0, 2], &[16, 16])));
        assert!(refused(ArrayLayout::strided(F64, &[3], &[-8])));
    }

    #[test]
    fn names_tell_strides_when_they_matter() {
        let strided = ArrayLayout::strided(F64, &[2], &[-8]).unwrap();
        assert_eq!(strided.to_string(), "f64[2] with strides [-8] from 8");
        assert_eq!(ArrayLayout::c_order(F64, &[3, 5]).unwrap().to_string(), "f64[3, 5]");
    }
}
