//! [`SharedArray`]: an array in a segment with a Rust element type and a dimension.

#![allow(unsafe_code, reason = "makes views over shared memory and copies shared bytes")]

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use ndarray::{
    Array, ArrayBase, ArrayView, ArrayViewMut, Axis, Data, Dimension, IntoDimension, IxDyn, RawArrayView,
    RawArrayViewMut, ShapeBuilder,
};

use super::any::{AnyArray, read_only, shape_mismatch, type_mismatch};
use super::{Exclusive, racy};
use crate::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::name::AsSegmentName;
use crate::segment::{Segment, SegmentOptions};
use crate::sys::Access;

/// A handle of an array of `T` in shared memory, with a static ([`Ix1`](type@ndarray::Ix1), ...) or dynamic ([`IxDyn`](type@IxDyn)) number of dimensions.
///
/// Elements are copied in and out with [`get`](SharedArray::get), [`set`](SharedArray::set), [`assign`](SharedArray::assign) and
/// [`to_ndarray`](SharedArray::to_ndarray), whoever else is writing. `ndarray` views come from [`exclusive`](SharedArray::exclusive), which
/// keeps everybody else out, or from the unsafe [`view`](SharedArray::view) and [`view_mut`](SharedArray::view_mut).
///
/// Clones are handles of the same array. **Death**: the kernel detaches for a process that dies; what it wrote stays. **Fork**: a
/// child may use the handle as its parent does, except for `exclusive`.
///
/// ```
/// use ndarray::{Ix1, array};
/// use shm_core::{Anonymous, SharedArray};
/// let a = SharedArray::from_ndarray(Anonymous, &array![1.0, 2.0, 3.0])?;
/// let b: SharedArray<f64, Ix1> = a.clone();
/// b.set(1, 20.0);
/// assert_eq!(a.to_ndarray(), array![1.0, 20.0, 3.0]);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct SharedArray<T, D = IxDyn> {
    any: AnyArray,
    dim: D,
    /// In elements; each an `isize` in `ndarray`'s manner, kept as the `usize` of the same bits.
    strides: D,
    /// Address of the element with all indices 0.
    origin: *mut u8,
    element: PhantomData<fn() -> T>,
}

// SAFETY: the handle is an address in a mapping that it keeps alive; elements are `Send` and `Sync` (a condition of `Element`) and accessed atomically
// through a shared handle.
unsafe impl<T: Element, D: Dimension> Send for SharedArray<T, D> {}
// SAFETY: as above.
unsafe impl<T: Element, D: Dimension> Sync for SharedArray<T, D> {}

impl<T: Element, D: Dimension> Clone for SharedArray<T, D> {
    fn clone(&self) -> SharedArray<T, D> {
        SharedArray {
            any: self.any.clone(),
            dim: self.dim.clone(),
            strides: self.strides.clone(),
            origin: self.origin,
            element: PhantomData,
        }
    }
}

impl<T: Element, D: Dimension> SharedArray<T, D> {
    /// Attaches an array for reading and writing, and checks that it has this element type and number of dimensions.
    ///
    /// # Errors
    /// As [`SegmentOptions::attach`], and as [`AnyArray::only`]; [`ErrorKind::TypeMismatch`] and [`ErrorKind::ShapeMismatch`] name what it has
    /// and what was asked for. An array whose elements are not aligned for `T`, or not a multiple of its size apart, can be reached
    /// as [`AnyArray`] only.
    ///
    /// ```
    /// use ndarray::{Ix1, Ix2};
    /// use shm_core::{ErrorKind, SharedArray};
    /// # let name = format!("doc-typed-attach-{}", std::process::id());
    /// # let name = name.as_str();
    /// let _a = SharedArray::<f32, _>::zeros(name, (2, 3))?;
    /// assert!(SharedArray::<f32, Ix2>::attach(name).is_ok());
    /// assert_eq!(SharedArray::<f64, Ix2>::attach(name).unwrap_err().kind(), ErrorKind::TypeMismatch);
    /// assert_eq!(SharedArray::<f32, Ix1>::attach(name).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(name: impl AsSegmentName) -> Result<SharedArray<T, D>> {
        SharedArray::attach_with(name, &SegmentOptions::new())
    }

    /// Attaches an array with options, such as read-only.
    ///
    /// # Errors
    /// As [`attach`](SharedArray::attach).
    ///
    /// ```
    /// use ndarray::Ix1;
    /// use shm_core::{SegmentOptions, SharedArray};
    /// # let name = format!("doc-typed-ro-{}", std::process::id());
    /// # let name = name.as_str();
    /// let a = SharedArray::<u16, _>::full(name, 4, 7)?;
    /// let b = SharedArray::<u16, Ix1>::attach_with(name, &SegmentOptions::new().read_only())?;
    /// assert!(b.try_set(0, 1).is_err());
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach_with(name: impl AsSegmentName, options: &SegmentOptions) -> Result<SharedArray<T, D>> {
        SharedArray::from_segment(&options.attach(name)?)
    }

    /// Takes the only array in a segment.
    ///
    /// # Errors
    /// As [`attach`](SharedArray::attach).
    ///
    /// ```
    /// use ndarray::Ix1;
    /// use shm_core::{ArrayLayout, Contents, ElementType, SegmentOptions, SharedArray};
    /// let contents = Contents::new().array("u", &ArrayLayout::c_order(ElementType::F32, &[8])?)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// assert_eq!(SharedArray::<f32, Ix1>::from_segment(&segment)?.shape(), [8]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn from_segment(segment: &Segment) -> Result<SharedArray<T, D>> {
        SharedArray::from_any(AnyArray::only(segment)?)
    }

    /// Takes the array of this name in a segment that holds several things.
    ///
    /// # Errors
    /// As [`AnyArray::in_segment`] and [`attach`](SharedArray::attach).
    ///
    /// ```
    /// use ndarray::Ix1;
    /// use shm_core::{ArrayLayout, Contents, Element, SegmentOptions, SharedArray};
    /// let contents = Contents::new().array("u", &ArrayLayout::c_order(f32::element_type(), &[8])?)?;
    /// let segment = SegmentOptions::new().create_anonymous(&contents)?;
    /// let u = SharedArray::<f32, Ix1>::in_segment(&segment, "u")?;
    /// assert_eq!(u.len(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_segment(segment: &Segment, entry: &str) -> Result<SharedArray<T, D>> {
        SharedArray::from_any(AnyArray::in_segment(segment, entry)?)
    }

    /// Checks an untyped array's element type and number of dimensions.
    pub(super) fn from_any(any: AnyArray) -> Result<SharedArray<T, D>> {
        let layout = any.layout();
        let expected = T::element_type();
        if !layout.element().is_compatible_with(&expected) {
            return Err(type_mismatch(any.segment(), layout, &expected));
        }
        let mut dim = match D::NDIM {
            Some(ndim) if ndim != layout.ndim() => {
                return Err(shape_mismatch(any.segment(), layout, &format!("an array of {ndim} dimensions")));
            }
            _ => D::zeros(layout.ndim()),
        };
        dim.slice_mut().copy_from_slice(layout.shape());
        let size = size_of::<T>().max(1) as isize;
        // The strides of an array without elements mean nothing.
        let regular = layout.is_empty()
            || layout.is_aligned_to(align_of::<T>())
                && layout.strides_bytes().iter().zip(layout.shape()).all(|(s, n)| *n <= 1 || s % size == 0);
        let origin = any.as_ptr();
        // Where the first element is, or will be once an empty array has grown.
        let first = origin.addr().wrapping_add(if layout.is_empty() { layout.origin() } else { 0 });
        let has_first = !layout.is_empty() || any.can_grow();
        if !regular || (has_first && !first.is_multiple_of(align_of::<T>())) {
            return Err(shape_mismatch(any.segment(), layout, &format!("elements aligned for {expected}")));
        }
        let mut strides = D::zeros(layout.ndim());
        for (to, bytes) in strides.slice_mut().iter_mut().zip(layout.strides_bytes()) {
            *to = (bytes / size) as usize;
        }
        Ok(SharedArray { any, dim, strides, origin, element: PhantomData })
    }

    /// Returns the array without its types.
    ///
    /// ```
    /// use shm_core::{Anonymous, ElementType, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// assert_eq!(a.as_any().layout().element(), &ElementType::F32);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn as_any(&self) -> &AnyArray {
        &self.any
    }

    /// Returns the segment that the array is in: name, length, sync, lock in memory.
    ///
    /// ```
    /// use shm_core::{Access, Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// assert_eq!(a.segment().access(), Access::ReadWrite);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn segment(&self) -> &Segment {
        self.any.segment()
    }

    /// Returns the extents.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// assert_eq!(a.shape(), [2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn shape(&self) -> &[usize] {
        self.dim.slice()
    }

    /// Returns the extents in `ndarray`'s type.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// let private = ndarray::Array::<f64, _>::ones(a.dim());
    /// assert_eq!(private.shape(), a.shape());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn dim(&self) -> D {
        self.dim.clone()
    }

    /// Returns the distance between neighbours along each dimension, in elements; negative where the order is reversed.
    ///
    /// ```
    /// use ndarray::ShapeBuilder;
    /// # use shm_core::{Anonymous, SharedArray};
    /// assert_eq!(SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?.strides(), [3, 1]);
    /// assert_eq!(SharedArray::<f32, _>::zeros(Anonymous, (2, 3).f())?.strides(), [1, 2]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn strides(&self) -> &[isize] {
        bytemuck::cast_slice(self.strides.slice())
    }

    /// Returns the number of elements.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// assert_eq!(a.len(), 6);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.dim.size()
    }

    /// Tells whether the array has no elements.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// assert!(SharedArray::<f32, _>::zeros(Anonymous, (0, 3))?.is_empty());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies one element out, whoever is writing it. An element of 1, 2, 4 or 8 bytes at a multiple of its size, as in C and Fortran
    /// order, arrives whole; any other may be a mixture.
    ///
    /// # Panics
    /// If the index is out of bounds, as indexing does.
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<u32, _>::from_fn(Anonymous, (2, 3), |(i, j)| (10 * i + j) as u32)?;
    /// assert_eq!(a.get((1, 2)), 12);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn get(&self, index: impl IntoDimension<Dim = D>) -> T {
        let at = self.address(index.into_dimension());
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `address` returns the address of an element in the mapping, a multiple of the unit, by which every handle accesses it;
        // `value` is private and has room for one.
        unsafe { racy::read(self.any.unit(), at, value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all of its bytes were just written, and every pattern of bytes is a valid `T` (a condition of `Element`).
        unsafe { value.assume_init() }
    }

    /// Copies one element in, whoever else reads or writes it; see [`get`](SharedArray::get).
    ///
    /// # Panics
    /// If the index is out of bounds, or the array is attached read-only ([`try_set`](SharedArray::try_set) returns an error for that).
    ///
    /// ```
    /// # use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (2, 3))?;
    /// a.set((1, 2), 0.5); // through a shared handle
    /// assert_eq!(a.get((1, 2)), 0.5);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn set(&self, index: impl IntoDimension<Dim = D>, value: T) {
        if let Err(error) = self.try_set(index, value) {
            panic!("{error}");
        }
    }

    /// Copies one element in.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`].
    ///
    /// # Panics
    /// If the index is out of bounds.
    ///
    /// ```
    /// use ndarray::Ix1;
    /// use shm_core::{ErrorKind, SegmentOptions, SharedArray};
    /// # let name = format!("doc-typed-try-set-{}", std::process::id());
    /// # let name = name.as_str();
    /// let a = SharedArray::<u16, _>::zeros(name, 4)?;
    /// a.try_set(0, 7)?;
    /// let reader = SharedArray::<u16, Ix1>::attach_with(name, &SegmentOptions::new().read_only())?;
    /// assert_eq!(reader.try_set(0, 8).unwrap_err().kind(), ErrorKind::ReadOnly);
    /// assert_eq!(reader.get(0), 7);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn try_set(&self, index: impl IntoDimension<Dim = D>, value: T) -> Result<()> {
        let at = self.address(index.into_dimension());
        self.check_writable()?;
        // SAFETY: as in `get`, and the mapping is writable; `value` is private and has no padding (a
        // condition of `Element`), so all of its bytes are initialised.
        unsafe { racy::write(self.any.unit(), at, (&raw const value).cast(), size_of::<T>()) };
        Ok(())
    }

    /// Copies the whole array out, in the order of its memory where that is C or Fortran order.
    ///
    /// Whoever is writing meanwhile, each element arrives as by [`get`](SharedArray::get), in the same small steps: bytes are copied one at a time. Elements of 4 or 8
    /// bytes are copied at the speed of memory, those of 1 byte at a third of it; [`view`](SharedArray::view) and [`exclusive`](SharedArray::exclusive) know no such limit.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<i32, _>::from_fn(Anonymous, (2, 2), |(i, j)| (10 * i + j) as i32)?;
    /// assert_eq!(a.to_ndarray(), ndarray::array![[0, 1], [10, 11]]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn to_ndarray(&self) -> Array<T, D> {
        let layout = self.any.layout();
        if layout.is_c_contiguous() || layout.is_f_contiguous() {
            let mut values = vec![T::zeroed(); self.len()];
            // SAFETY: a contiguous array's elements lie one after another from its origin on, inside the mapping, and are
            // accessed by the unit as in `get`; the vector is private and as long.
            unsafe {
                racy::read(self.any.unit(), self.origin, values.as_mut_ptr().cast(), size_of_val(&values[..]))
            };
            let shape = self.dim.clone().set_f(!layout.is_c_contiguous());
            if let Ok(array) = Array::from_shape_vec(shape, values) {
                return array;
            }
        }
        let mut array = Array::from_elem(self.dim.clone(), T::zeroed());
        self.zip_rows(&mut array, |at, value| {
            // SAFETY: `zip_rows` pairs the address of an element, as in `get`, with the private element at the same index.
            unsafe { racy::read(self.any.unit(), at, std::ptr::from_mut(value).cast(), size_of::<T>()) };
        });
        array
    }

    /// Copies all elements in, each as by [`set`](SharedArray::set); as fast as [`to_ndarray`](SharedArray::to_ndarray).
    ///
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`] if the shapes differ, [`ErrorKind::ReadOnly`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<i32, _>::zeros(Anonymous, 3)?;
    /// a.assign(&ndarray::array![1, 2, 3])?;
    /// assert_eq!(a.get(2), 3);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn assign<S: Data<Elem = T>>(&self, values: &ArrayBase<S, D>) -> Result<()> {
        self.check_writable()?;
        if values.shape() != self.shape() {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                "assign to",
                self.segment().label(),
                format!("it has shape {:?} and the values have {:?}", self.shape(), values.shape()),
            ));
        }
        if let (true, Some(slice)) = (self.any.layout().is_c_contiguous(), values.as_slice()) {
            // SAFETY: both sides are contiguous in C order and have as many elements, those shared accessed by the unit
            // as in `get`; the mapping is writable, and elements have no padding.
            unsafe { racy::write(self.any.unit(), self.origin, slice.as_ptr().cast(), size_of_val(slice)) };
            return Ok(());
        }
        let mut values = values.to_owned();
        self.zip_rows(&mut values, |at, value| {
            // SAFETY: as in `to_ndarray`, in the other direction; the mapping is writable.
            unsafe { racy::write(self.any.unit(), at, std::ptr::from_ref(value).cast(), size_of::<T>()) };
        });
        Ok(())
    }

    /// Copies one value into all elements.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<u8, _>::zeros(Anonymous, (2, 2))?;
    /// a.fill(9)?;
    /// assert_eq!(a.get((1, 1)), 9);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn fill(&self, value: T) -> Result<()> {
        self.check_writable()?;
        if self.any.layout().is_c_contiguous() || self.any.layout().is_f_contiguous() {
            for number in 0..self.len() {
                // SAFETY: a contiguous array's elements lie one after another from its origin on, inside the mapping.
                let at = unsafe { self.origin.add(number * size_of::<T>()) };
                // SAFETY: as in `try_set`.
                unsafe { racy::write(self.any.unit(), at, (&raw const value).cast(), size_of::<T>()) };
            }
            return Ok(());
        }
        for index in ndarray::indices(self.dim.clone()) {
            let at = self.address(index.into_dimension());
            // SAFETY: as in `try_set`.
            unsafe { racy::write(self.any.unit(), at, (&raw const value).cast(), size_of::<T>()) };
        }
        Ok(())
    }

    /// Calls `visit` with the address of each element and the element of `private` at the same index.
    fn zip_rows(&self, private: &mut Array<T, D>, mut visit: impl FnMut(*mut u8, &mut T)) {
        for (index, value) in private.indexed_iter_mut() {
            visit(self.address(index.into_dimension()), value);
        }
    }

    /// The address of an element. Panics for an index out of bounds.
    fn address(&self, index: D) -> *mut u8 {
        let (index, shape) = (index.slice(), self.dim.slice());
        let mut offset = 0;
        if index.len() != shape.len() || index.iter().zip(shape).any(|(i, n)| i >= n) {
            out_of_bounds(index, shape);
        }
        for (i, stride) in index.iter().zip(self.strides()) {
            offset += *i as isize * stride;
        }
        // SAFETY: the index is within the shape, and the layout was checked: every element lies within the entry and so within the mapping;
        // the products fit, as the layout's span does.
        unsafe { self.origin.offset(offset * size_of::<T>() as isize) }
    }

    fn check_writable(&self) -> Result<()> {
        match self.segment().access() {
            Access::ReadOnly => Err(read_only(self.segment())),
            Access::ReadWrite | Access::CopyOnWrite => Ok(()),
        }
    }

    /// Takes the exclusive lease, under which references to the elements are safe.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if anybody else has the segment attached, or this process has another handle of it; [`ErrorKind::ReadOnly`];
    /// [`ErrorKind::Inherited`] in a forked child.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let mut a = SharedArray::<f64, _>::zeros(Anonymous, (3, 3))?;
    /// a.exclusive()?.view_mut().diag_mut().fill(1.0);
    /// assert_eq!(a.get((2, 2)), 1.0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn exclusive(&mut self) -> Result<Exclusive<'_, T, D>> {
        Exclusive::take(self)
    }

    /// See [`AnyArray`].
    pub(super) fn any_mut(&mut self) -> &mut AnyArray {
        &mut self.any
    }

    /// Returns a raw view, through which whoever dereferences it answers for races.
    ///
    /// ```
    /// use ndarray::{Axis, array};
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<i32, _>::from_fn(Anonymous, 4, |i| i as i32)?;
    /// let (_, right) = a.raw_view().split_at(Axis(0), 2);
    /// // SAFETY: nobody else has this array.
    /// assert_eq!(unsafe { right.deref_into_view() }, array![2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn raw_view(&self) -> RawArrayView<T, D> {
        self.raw_view_mut().raw_view()
    }

    /// Returns a raw mutable view, through which whoever dereferences it answers for races, and for the mapping being writable.
    ///
    /// ```
    /// use ndarray::{Axis, array};
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<i32, _>::from_fn(Anonymous, 4, |i| i as i32)?;
    /// let (left, right) = a.raw_view_mut().split_at(Axis(0), 2);
    /// // SAFETY: nobody else has this array, and the halves do not overlap.
    /// let (mut left, right) = unsafe { (left.deref_into_view_mut(), right.deref_into_view_mut()) };
    /// left.assign(&right);
    /// assert_eq!(a.to_ndarray(), array![2, 3, 2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn raw_view_mut(&self) -> RawArrayViewMut<T, D> {
        // Strides of elements without bytes may all be 0, which `ndarray` takes for elements that overlap.
        if self.is_empty() || size_of::<T>() == 0 {
            // SAFETY: a view without bytes may have any aligned pointer that is not null; nothing is read or written through it.
            return unsafe {
                RawArrayViewMut::from_shape_ptr(
                    self.dim.clone(),
                    std::ptr::without_provenance_mut(align_of::<T>()),
                )
            };
        }
        let mut strides = D::zeros(self.dim.ndim());
        let mut lowest = self.origin.cast::<T>();
        for ((to, stride), n) in strides.slice_mut().iter_mut().zip(self.strides()).zip(self.dim.slice()) {
            if *n <= 1 {
                continue; // it may be anything, also what `ndarray` refuses
            }
            *to = stride.unsigned_abs();
            if *stride < 0 {
                // SAFETY: the last element along this dimension lies in the mapping too, by the checked layout.
                lowest = unsafe { lowest.offset(stride * (*n as isize - 1)) };
            }
        }
        // SAFETY: the layout was checked: elements aligned for `T`, a whole number of them apart, all in the mapping from the lowest on; strides here
        // are non-negative. The pointer is not null. Nothing is dereferenced.
        let mut view = unsafe { RawArrayViewMut::from_shape_ptr(self.dim.clone().strides(strides), lowest) };
        for (axis, (stride, n)) in self.strides().iter().zip(self.dim.slice()).enumerate() {
            if *stride < 0 && *n > 1 {
                view.invert_axis(Axis(axis));
            }
        }
        view
    }

    /// Returns a view of the elements.
    ///
    /// # Safety
    /// While the view lives nobody may write the elements it shows: no other process, no other handle, no other thread.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f64, _>::full(Anonymous, 4, 0.5)?;
    /// // SAFETY: nobody else has this array.
    /// assert_eq!(unsafe { a.view() }.sum(), 2.0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub unsafe fn view(&self) -> ArrayView<'_, T, D> {
        // SAFETY: the elements are valid for every pattern of bytes and live as long as the handle; that nobody writes is the caller's promise.
        unsafe { self.raw_view().deref_into_view() }
    }

    /// Returns a mutable view of the elements.
    ///
    /// # Safety
    /// While the view lives nobody else may read or write the elements it shows, and the array must not be attached read-only.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f64, _>::zeros(Anonymous, (2, 2))?;
    /// // SAFETY: nobody else has this array.
    /// unsafe { a.view_mut() }.diag_mut().fill(1.0);
    /// assert_eq!(a.get((1, 1)), 1.0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[allow(
        clippy::mut_from_ref,
        reason = "the handle is an address; exclusive access is the caller's promise"
    )]
    pub unsafe fn view_mut(&self) -> ArrayViewMut<'_, T, D> {
        // SAFETY: as in `view`; exclusive access and a writable mapping are the caller's promise.
        unsafe { self.raw_view_mut().deref_into_view_mut() }
    }

    /// Lengthens the array along its first dimension to at least `extent`, in place and for everybody; new elements are zero.
    ///
    /// # Errors
    /// As [`AnyArray::grow`].
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let mut a = SharedArray::<f64, _>::zeros(place, (1, 3))?;
    /// let mut b = a.clone();
    /// a.grow(2)?;
    /// assert!(b.refresh());
    /// assert_eq!(b.shape(), [2, 3]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn grow(&mut self, extent: usize) -> Result<()> {
        self.any.grow(extent)?;
        self.take_shape();
        Ok(())
    }

    /// Takes over growth by others; tells whether there was any. It costs a load.
    ///
    /// ```
    /// use shm_core::{SegmentOptions, SharedArray};
    /// let place = SegmentOptions::new().reserve_max(1 << 20).anonymous();
    /// let mut writer = SharedArray::<f64, _>::zeros(place, 1)?;
    /// let mut reader = writer.clone(); // or attached in another process
    /// assert!(!reader.refresh());
    /// writer.grow(100)?;
    /// assert!(reader.refresh() && reader.len() == 100);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn refresh(&mut self) -> bool {
        let grown = self.any.refresh();
        if grown {
            self.take_shape();
        }
        grown
    }

    fn take_shape(&mut self) {
        self.dim.slice_mut().copy_from_slice(self.any.layout().shape());
        // It was a stand-in as long as there were no elements.
        self.origin = self.any.as_ptr();
    }
}

#[cold]
fn out_of_bounds(index: &[usize], shape: &[usize]) -> ! {
    panic!("index {index:?} is out of bounds for an array of shape {shape:?}");
}

impl<T: Element, D: Dimension> fmt::Debug for SharedArray<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedArray")
            .field("segment", &format_args!("{}", self.segment().label()))
            .field("element", &format_args!("{}", T::element_type()))
            .field("shape", &self.shape())
            .finish()
    }
}
