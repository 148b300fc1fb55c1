//! [`AnyArray`]: an array in a segment, with a layout that is known at run time only.

#![allow(
    unsafe_code,
    reason = "computes the address of the array inside the mapping, and copies shared bytes"
)]

use super::racy::{self, Unit};
use crate::contents::{Contents, Entry, EntryKind};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ArrayLayout, LayoutError};
use crate::name::AsSegmentName;
use crate::segment::{self, IntoPlace, Segment, SegmentOptions};

/// A handle of an array whose element type and shape are known at run time.
///
/// It is what other languages' bindings stand on, and a way to look before choosing a Rust type. Death, fork and clones are those of the
/// [`Segment`] that it holds.
///
/// ```
/// use shm_core::{AnyArray, Anonymous, ArrayLayout, ElementType};
/// let layout = ArrayLayout::f_order(ElementType::I16, &[2, 3])?;
/// let any = AnyArray::create(Anonymous, &layout)?;
/// assert_eq!(any.layout().strides_bytes(), [2, 4]);
/// let typed = any.typed::<i16, ndarray::Ix2>()?;
/// typed.set([1, 2], 9);
/// let mut bytes = [0; 2];
/// any.read_element(&[1, 2], &mut bytes)?;
/// assert_eq!(bytes, 9i16.to_le_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnyArray {
    segment: Segment,
    entry: usize,
    /// The layout at `segment_len`.
    layout: ArrayLayout,
    /// Length of the segment when it was looked at last.
    segment_len: usize,
    /// By how many bytes the elements are accessed; the same for every handle of the array that has elements.
    unit: Unit,
}

impl AnyArray {
    /// Creates an array with this layout, zero-filled.
    ///
    /// # Errors
    /// As [`SegmentOptions::create`].
    ///
    /// ```
    /// use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let layout = ArrayLayout::c_order(ElementType::F32, &[2, 3])?;
    /// let any = AnyArray::create(Anonymous, &layout)?;
    /// assert_eq!(any.layout(), &layout);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create(place: impl IntoPlace, layout: &ArrayLayout) -> Result<AnyArray> {
        AnyArray::create_with(place, layout, |_| Ok(()))
    }

    /// Creates an array and lets `init` fill its bytes before anybody can see it.
    ///
    /// `init` gets the array's [`data_len_bytes`](ArrayLayout::data_len_bytes) bytes in the order of memory, all zero. They are its own: the name appears
    /// after it has returned, so a program that fails, panics or is killed in it leaves nothing behind.
    ///
    /// # Errors
    /// As [`SegmentOptions::create`], and what `init` returns.
    ///
    /// ```
    /// use std::io::Read;
    /// use shm_core::{AnyArray, ArrayLayout, ElementType, Error, ErrorKind};
    /// # let name = format!("doc-any-create-with-{}", std::process::id());
    /// # let name = name.as_str();
    /// let layout = ArrayLayout::c_order(ElementType::U16, &[2])?;
    /// let mut source = &[1, 0, 2, 0][..]; // or a file: straight into the segment
    /// let any = AnyArray::create_with(name, &layout, |bytes| {
    ///     source.read_exact(bytes).map_err(|e| Error::new(ErrorKind::System, "read", "the source", e.to_string()))
    /// })?;
    /// assert_eq!(any.typed::<u16, ndarray::Ix1>()?.get(1), 2);
    /// shm_core::delete(name)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn create_with(
        place: impl IntoPlace,
        layout: &ArrayLayout,
        init: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<AnyArray> {
        let contents = Contents::new().array("", layout)?;
        let segment = segment::create(&place.into_place()?, &contents, |new| init(new.entry_mut(0)))?;
        AnyArray::of_entry(&segment, 0)
    }

    /// Attaches the array if it exists and creates it, zero-filled, otherwise; tells whether it was created.
    ///
    /// # Errors
    /// As [`SegmentOptions::create_or_attach`]; [`ErrorKind::TypeMismatch`] or [`ErrorKind::ShapeMismatch`] if what exists has another
    /// element type, shape or order.
    ///
    /// ```
    /// use shm_core::{AnyArray, ArrayLayout, ElementType, ErrorKind};
    /// # let name = format!("doc-any-coa-{}", std::process::id());
    /// # let name = name.as_str();
    /// let (_a, created) = AnyArray::create_or_attach(name, &ArrayLayout::c_order(ElementType::U8, &[4])?)?;
    /// assert!(created);
    /// let other = ArrayLayout::c_order(ElementType::U8, &[5])?;
    /// assert_eq!(AnyArray::create_or_attach(name, &other).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    /// shm_core::delete(name)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_or_attach(place: impl IntoPlace, layout: &ArrayLayout) -> Result<(AnyArray, bool)> {
        let contents = Contents::new().array("", layout)?;
        let (segment, created) = segment::create_or_attach(&place.into_place()?, &contents, |_| Ok(()))?;
        let array = AnyArray::only(&segment)?;
        let found = array.layout();
        if !found.element().is_compatible_with(layout.element()) {
            return Err(type_mismatch(&segment, found, &layout.element()));
        }
        let grows = array.can_grow();
        let grown =
            grows && found.shape().len() == layout.shape().len() && found.shape()[1..] == layout.shape()[1..];
        // A stride along an extent of 0 or 1, or in an array without elements, means nothing unless the array grows.
        let means_nothing = |extent: &usize| !grows && (found.is_empty() || *extent <= 1);
        let mut strides = found.strides_bytes().iter().zip(layout.strides_bytes()).zip(found.shape());
        let same_strides = strides.all(|((ours, theirs), extent)| ours == theirs || means_nothing(extent));
        if !(grown || found.shape() == layout.shape()) || !same_strides {
            return Err(shape_mismatch(
                &segment,
                found,
                &format!("shape {:?} and strides {:?}", layout.shape(), layout.strides_bytes()),
            ));
        }
        Ok((array, created))
    }

    /// Attaches an array for reading and writing.
    ///
    /// # Errors
    /// As [`SegmentOptions::attach`]; [`ErrorKind::NoSuchEntry`] if the segment has no array, or several.
    ///
    /// ```
    /// use shm_core::{AnyArray, ElementType, SharedArray};
    /// # let name = format!("doc-any-attach-{}", std::process::id());
    /// # let name = name.as_str();
    /// let _a = SharedArray::<u16, _>::zeros(name, (2, 3))?;
    /// let any = AnyArray::attach(name)?;
    /// assert_eq!(any.layout().element(), &ElementType::U16);
    /// assert_eq!(any.layout().shape(), [2, 3]);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(name: impl AsSegmentName) -> Result<AnyArray> {
        AnyArray::only(&SegmentOptions::new().attach(name)?)
    }

    /// Takes the only array in a segment.
    ///
    /// # Errors
    /// [`ErrorKind::NoSuchEntry`] if it has none, or several.
    ///
    /// ```
    /// use shm_core::{AnyArray, ArrayLayout, Contents, ElementType, SegmentOptions};
    /// let layout = ArrayLayout::c_order(ElementType::F32, &[8])?;
    /// let contents = Contents::new().bytes("notes", 100, 8)?.array("u", &layout)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// assert_eq!(AnyArray::only(&segment)?.layout(), &layout);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn only(segment: &Segment) -> Result<AnyArray> {
        let mut arrays = (0..segment.entries().len())
            .filter(|i| matches!(segment.entries()[*i].kind(), EntryKind::Array(_)));
        match (arrays.next(), arrays.next()) {
            (Some(only), None) => AnyArray::of_entry(segment, only),
            (first, _) => {
                let found = if first.is_none() { "it has no array" } else { "it has several arrays" };
                Err(Error::new(ErrorKind::NoSuchEntry, "attach the array of", segment.label(), found)
                    .remedy("name the entry"))
            }
        }
    }

    /// Takes the array of this name in a segment that holds several things.
    ///
    /// # Errors
    /// [`ErrorKind::NoSuchEntry`] if there is no such entry, or if it is no array.
    ///
    /// ```
    /// use shm_core::{AnyArray, ArrayLayout, Contents, ElementType, SegmentOptions};
    /// let u = ArrayLayout::c_order(ElementType::F32, &[8])?;
    /// let contents = Contents::new().array("u", &u)?.array("v", &u)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// assert_eq!(AnyArray::in_segment(&segment, "v")?.layout().shape(), [8]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_segment(segment: &Segment, entry: &str) -> Result<AnyArray> {
        AnyArray::of_entry(segment, segment.entry_index(entry)?)
    }

    fn of_entry(segment: &Segment, entry: usize) -> Result<AnyArray> {
        let found = &segment.entries()[entry];
        let segment_len = segment.len();
        let Some(layout) = found.layout_at(segment_len) else {
            return Err(Error::new(
                ErrorKind::NoSuchEntry,
                "attach",
                format_args!("the array {:?} of {}", found.name(), segment.label()),
                "the entry is no array",
            ));
        };
        let unit = unit_of(found, &layout);
        Ok(AnyArray { segment: segment.clone(), entry, layout, segment_len, unit })
    }

    /// Returns the segment that the array is in.
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// # let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// assert!(any.segment().len() >= any.layout().data_len_bytes());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The same for whoever has the array to itself.
    pub(crate) fn segment_mut(&mut self) -> &mut Segment {
        &mut self.segment
    }

    /// Detaches this handle; the last one in the process unmaps the segment.
    ///
    /// # Errors
    /// As [`Segment::detach`].
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// any.detach().map_err(|(_array, error)| error)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "the array goes back as it came")]
    pub fn detach(self) -> std::result::Result<(), (AnyArray, Error)> {
        let AnyArray { segment, entry, layout, segment_len, unit } = self;
        segment
            .detach()
            .map_err(|(segment, error)| (AnyArray { segment, entry, layout, segment_len, unit }, error))
    }

    /// Returns element type, shape and strides, as of creation, attachment or the last [`grow`](AnyArray::grow) or [`refresh`](AnyArray::refresh) of this handle.
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// assert_eq!(any.layout().shape(), [2, 3]);
    /// assert_eq!(any.layout().strides_bytes(), [3, 1]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn layout(&self) -> &ArrayLayout {
        &self.layout
    }

    /// Returns the layout as it is now, growth by others included. It leaves the handle as it is: see [`refresh`](AnyArray::refresh).
    ///
    /// ```
    /// # use shm_core::{AnyArray, ArrayLayout, ElementType, SegmentOptions};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let mut any = AnyArray::create(place, &ArrayLayout::c_order(ElementType::F64, &[1, 3])?)?;
    /// let other = any.clone(); // or attached in another process
    /// any.grow(2)?;
    /// assert_eq!(other.layout_now().shape(), [2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn layout_now(&self) -> ArrayLayout {
        let entry = &self.segment.entries()[self.entry];
        entry.layout_at(self.segment.len()).unwrap_or_else(|| self.layout.clone())
    }

    /// By how many bytes the elements are accessed.
    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    /// Tells whether the array can grow: it grows with its segment, along its first dimension.
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// assert!(!any.can_grow()); // for want of `SegmentOptions::reserve_max`
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn can_grow(&self) -> bool {
        self.segment.entries()[self.entry].grows()
    }

    /// Returns the address of the element with all indices 0. Whoever goes through it answers for races with other processes.
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// // SAFETY: the array has 6 elements of a byte, and nobody else has it.
    /// unsafe { any.as_ptr().add(5).write(7) };
    /// let mut last = [0];
    /// any.read_element(&[1, 2], &mut last)?;
    /// assert_eq!(last, [7]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        // The origin of an array without elements means nothing, and nobody checked it.
        let origin = if self.layout.is_empty() { 0 } else { self.layout.origin() };
        let at = self.segment.entries()[self.entry].offset() + origin;
        // SAFETY: offset and origin were checked to lie within the segment when it was attached, and the mapping is that long.
        unsafe { self.segment.as_ptr().add(at) }
    }

    /// Gives the array types: element type and number of dimensions are checked.
    ///
    /// # Errors
    /// As [`SharedArray::attach`](super::SharedArray::attach).
    ///
    /// ```
    /// use ndarray::Ix2;
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType, ErrorKind};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U8, &[2, 3])?)?;
    /// assert_eq!(any.typed::<u8, Ix2>()?.get((1, 2)), 0);
    /// assert_eq!(any.typed::<f32, Ix2>().unwrap_err().kind(), ErrorKind::TypeMismatch);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn typed<T: crate::Element, D: ndarray::Dimension>(&self) -> Result<super::SharedArray<T, D>> {
        super::SharedArray::from_any(self.clone())
    }

    /// Copies one element out; `bytes` has the item size.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an index out of bounds or a slice of another length.
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U16, &[3])?)?;
    /// let mut bytes = [1; 2];
    /// any.read_element(&[2], &mut bytes)?;
    /// assert_eq!(bytes, [0; 2]);
    /// assert!(any.read_element(&[3], &mut bytes).is_err());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn read_element(&self, index: &[usize], bytes: &mut [u8]) -> Result<()> {
        let at = self.element("read", index, bytes.len())?;
        // SAFETY: `element` returns an address in the mapping with as many bytes as `bytes` has, both multiples of the unit, by which
        // every handle accesses them; `bytes` is private.
        unsafe { racy::read(self.unit, at, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies one element in; `bytes` has the item size.
    ///
    /// # Errors
    /// As [`read_element`](AnyArray::read_element); [`ErrorKind::ReadOnly`].
    ///
    /// ```
    /// # use shm_core::{Anonymous, AnyArray, ArrayLayout, ElementType};
    /// let any = AnyArray::create(Anonymous, &ArrayLayout::c_order(ElementType::U16, &[3])?)?;
    /// any.write_element(&[2], &7u16.to_le_bytes())?;
    /// assert_eq!(any.typed::<u16, ndarray::Ix1>()?.get(2), 7);
    /// assert!(any.write_element(&[2], &[7]).is_err());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn write_element(&self, index: &[usize], bytes: &[u8]) -> Result<()> {
        if self.segment.access() == crate::Access::ReadOnly {
            return Err(read_only(&self.segment));
        }
        let at = self.element("write", index, bytes.len())?;
        // SAFETY: as in `read_element`, and the mapping is writable.
        unsafe { racy::write(self.unit, at, bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn element(&self, operation: &'static str, index: &[usize], len: usize) -> Result<*mut u8> {
        let refuse = |reason| {
            Error::new(
                ErrorKind::InvalidArgument,
                operation,
                format_args!("element {index:?} of {}", self.segment.label()),
                reason,
            )
        };
        if len != self.layout.element().item_size() {
            let size = self.layout.element().item_size();
            return Err(refuse(format!("an element has {size} bytes, and the slice {len}")));
        }
        let offset = self
            .layout
            .offset_of(index)
            .ok_or_else(|| refuse(format!("the array has the shape {:?}", self.layout.shape())))?;
        // SAFETY: the layout was checked to lie within the entry, the entry within the segment, and the mapping is that long.
        Ok(unsafe { self.segment.as_ptr().add(self.segment.entries()[self.entry].offset() + offset) })
    }

    /// Lengthens the array along its first dimension to at least `extent`, in place and for everybody; new elements are zero.
    ///
    /// # Errors
    /// As [`Segment::grow`]; [`ErrorKind::LimitExceeded`] also for an array that was not created to grow (see [`SegmentOptions::reserve_max`]).
    ///
    /// ```
    /// # use shm_core::{AnyArray, ArrayLayout, ElementType, SegmentOptions};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let mut any = AnyArray::create(place, &ArrayLayout::c_order(ElementType::F64, &[1, 3])?)?;
    /// any.grow(2)?;
    /// assert_eq!(any.layout().shape(), [2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn grow(&mut self, extent: usize) -> Result<()> {
        let label = self.segment.label().to_string();
        let entry = &self.segment.entries()[self.entry];
        if !entry.grows() {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "grow",
                label,
                "the array was not created to grow",
            )
            .remedy("create it in C order, as the last entry, with a reserved maximum (reserve_max)"));
        }
        let wanted = self
            .layout
            .with_first_extent(extent)
            .map_err(|e| Error::new(ErrorKind::SizeOverflow, "grow", &label, e.to_string()))?;
        let len = entry.offset().checked_add(wanted.data_len_bytes()).ok_or_else(|| {
            Error::new(ErrorKind::SizeOverflow, "grow", &label, "its size does not fit 63 bits")
        })?;
        self.segment.grow(len)?;
        self.refresh();
        Ok(())
    }

    /// Takes over growth by others; tells whether there was any. It costs a load.
    ///
    /// ```
    /// # use shm_core::{AnyArray, ArrayLayout, ElementType, SegmentOptions};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let mut any = AnyArray::create(place, &ArrayLayout::c_order(ElementType::F64, &[1, 3])?)?;
    /// let mut other = any.clone(); // or attached in another process
    /// any.grow(2)?;
    /// assert_eq!(other.layout().shape(), [1, 3]);
    /// assert!(other.refresh());
    /// assert_eq!(other.layout().shape(), [2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn refresh(&mut self) -> bool {
        let promised = self.segment.generation();
        if promised == self.segment_len as u64 {
            return false;
        }
        let len = self.segment.existing_len(promised);
        if len == self.segment_len {
            return false; // a neighbour made the promise up
        }
        if let Some(layout) = self.segment.entries()[self.entry].layout_at(len) {
            // Only that of an array that was empty can be another one now.
            self.unit = unit_of(&self.segment.entries()[self.entry], &layout);
            self.layout = layout;
        }
        self.segment_len = len;
        true
    }
}

/// The unit of an array's elements. Mappings begin at a page, so offsets are aligned as addresses are.
fn unit_of(entry: &Entry, layout: &ArrayLayout) -> Unit {
    Unit::new(layout.element().item_size(), |unit| {
        entry.offset().is_multiple_of(unit) && layout.is_aligned_to(unit)
    })
}

/// An array has other elements than somebody expects.
pub(super) fn type_mismatch(
    segment: &Segment,
    found: &ArrayLayout,
    expected: &dyn std::fmt::Display,
) -> Error {
    Error::new(
        ErrorKind::TypeMismatch,
        "attach",
        segment.label(),
        format!("its elements are {}, and {expected} was asked for", found.element()),
    )
    .remedy("ask for the type that it has, or create it anew")
}

/// An array has another shape than somebody expects.
pub(super) fn shape_mismatch(segment: &Segment, found: &ArrayLayout, expected: &str) -> Error {
    Error::new(
        ErrorKind::ShapeMismatch,
        "attach",
        segment.label(),
        format!(
            "it has shape {:?} and strides {:?}, and {expected} was asked for",
            found.shape(),
            found.strides_bytes()
        ),
    )
    .remedy("ask for the shape that it has, or create it anew")
}

pub(super) fn read_only(segment: &Segment) -> Error {
    Error::new(ErrorKind::ReadOnly, "write", segment.label(), "it is attached read-only")
        .remedy("attach it for reading and writing")
}

impl From<LayoutError> for Error {
    /// A layout that a caller asked for and that cannot be.
    fn from(error: LayoutError) -> Error {
        let kind = match error {
            LayoutError::TooLarge => ErrorKind::SizeOverflow,
            _ => ErrorKind::InvalidArgument,
        };
        Error::new(kind, "describe", "the array", error.to_string())
    }
}
