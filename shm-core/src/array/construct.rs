//! The ways to make a [`SharedArray`]: each builds the whole array before anybody can see it.

use ndarray::{Array, ArrayBase, Data, Dimension, Ix1, ShapeBuilder};

use super::{AnyArray, SharedArray};
use crate::Element;
use crate::error::{Error, Result};
use crate::layout::ArrayLayout;
use crate::segment::{IntoPlace, Place};

impl<T: Element, D: Dimension> SharedArray<T, D> {
    /// Creates an array of zeros. `shape` is what `ndarray` takes: `5`, `(3, 4)`, `&[3, 4][..]`, and `.f()` for Fortran order.
    ///
    /// # Errors
    /// As [`SegmentOptions::create`](crate::SegmentOptions::create); [`ErrorKind::SizeOverflow`](crate::ErrorKind::SizeOverflow).
    ///
    /// ```
    /// use ndarray::ShapeBuilder;
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f32, _>::zeros(Anonymous, (3, 4).f())?;
    /// assert_eq!((a.shape(), a.strides()), (&[3, 4][..], &[1, 3][..]));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn zeros(place: impl IntoPlace, shape: impl ShapeBuilder<Dim = D>) -> Result<SharedArray<T, D>> {
        let (dim, fortran) = parts(shape);
        let (place, layout) = plan::<T>(place, dim.slice(), fortran)?;
        SharedArray::from_any(AnyArray::create(place, &layout)?)
    }

    /// Creates an array full of one value.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<i8, _>::full(Anonymous, (2, 2), -1)?;
    /// assert_eq!(a.get((1, 1)), -1);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn full(
        place: impl IntoPlace,
        shape: impl ShapeBuilder<Dim = D>,
        value: T,
    ) -> Result<SharedArray<T, D>> {
        let (dim, fortran) = parts(shape);
        build(place, dim.slice(), fortran, |bytes| {
            for element in bytes.chunks_exact_mut(size_of::<T>().max(1)) {
                element.copy_from_slice(bytemuck::bytes_of(&value));
            }
        })
    }

    /// Creates an array whose elements are computed from their indices.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<u32, _>::from_fn(Anonymous, 4, |i| (i * i) as u32)?;
    /// assert_eq!(a.get(3), 9);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn from_fn(
        place: impl IntoPlace,
        shape: impl ShapeBuilder<Dim = D>,
        mut value: impl FnMut(D::Pattern) -> T,
    ) -> Result<SharedArray<T, D>> {
        let (dim, fortran) = parts(shape);
        let (place, layout) = plan::<T>(place, dim.slice(), fortran)?;
        let any = AnyArray::create_with(place, &layout, |bytes| {
            for index in ndarray::indices(dim.clone()) {
                let at = layout.offset_of(ndarray::IntoDimension::into_dimension(index.clone()).slice());
                if let Some(element) = at.and_then(|at| bytes.get_mut(at..at + size_of::<T>())) {
                    element.copy_from_slice(bytemuck::bytes_of(&value(index)));
                }
            }
            Ok(())
        })?;
        SharedArray::from_any(any)
    }

    /// Creates an array with the shape, the values and the order (C or Fortran) of one of `ndarray`'s.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use ndarray::array;
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::from_ndarray(Anonymous, &array![[1, 2], [3, 4]].reversed_axes())?;
    /// assert_eq!(a.to_ndarray(), array![[1, 3], [2, 4]]);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn from_ndarray<S: Data<Elem = T>>(
        place: impl IntoPlace,
        values: &ArrayBase<S, D>,
    ) -> Result<SharedArray<T, D>> {
        let fortran = !values.is_standard_layout() && values.t().is_standard_layout();
        build(place, values.shape(), fortran, |bytes| {
            let ordered = if fortran {
                values.t()
            } else {
                values.view().into_dimensionality().unwrap_or_else(|_| unreachable!())
            };
            let size = size_of::<T>().max(1);
            for (element, value) in bytes.chunks_exact_mut(size).zip(ordered.iter()) {
                element.copy_from_slice(bytemuck::bytes_of(value));
            }
        })
    }

    /// Creates an array of zeros with the shape and the order of another one.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f64, _>::full(Anonymous, (2, 5), 1.0)?;
    /// let b = SharedArray::<i32, _>::zeros_like(Anonymous, &a)?;
    /// assert_eq!((b.shape(), b.get((1, 4))), (&[2, 5][..], 0));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn zeros_like<U: Element>(
        place: impl IntoPlace,
        other: &SharedArray<U, D>,
    ) -> Result<SharedArray<T, D>> {
        let (place, layout) = plan::<T>(place, other.shape(), is_fortran(other))?;
        SharedArray::from_any(AnyArray::create(place, &layout)?)
    }

    /// Creates an array full of one value with the shape and the order of another one.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::<f64, _>::zeros(Anonymous, (2, 5))?;
    /// let b = SharedArray::<u8, _>::full_like(Anonymous, &a, 3)?;
    /// assert_eq!(b.get((0, 0)), 3);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn full_like<U: Element>(
        place: impl IntoPlace,
        other: &SharedArray<U, D>,
        value: T,
    ) -> Result<SharedArray<T, D>> {
        SharedArray::full(place, other.dim().set_f(is_fortran(other)), value)
    }

    /// Attaches the array if it exists and creates it, zero-filled, otherwise; tells whether it was created.
    ///
    /// # Errors
    /// As [`AnyArray::create_or_attach`].
    ///
    /// ```
    /// use shm_core::SharedArray;
    /// # let name = format!("doc-array-coa-{}", std::process::id());
    /// # let name = name.as_str();
    /// let (a, created) = SharedArray::<f64, _>::create_or_attach(name, (2, 2))?;
    /// let (b, again) = SharedArray::<f64, _>::create_or_attach(name, (2, 2))?;
    /// assert!(created && !again);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn create_or_attach(
        place: impl IntoPlace,
        shape: impl ShapeBuilder<Dim = D>,
    ) -> Result<(SharedArray<T, D>, bool)> {
        let (dim, fortran) = parts(shape);
        let (place, layout) = plan::<T>(place, dim.slice(), fortran)?;
        let (any, created) = AnyArray::create_or_attach(place, &layout)?;
        Ok((SharedArray::from_any(any)?, created))
    }
}

impl<T: Element> SharedArray<T, Ix1> {
    /// Creates an array with the items of an iterator, which is run to its end first.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let a = SharedArray::from_iter(Anonymous, (1..=4).map(|i| i as f32 / 2.0))?;
    /// assert_eq!((a.len(), a.get(3)), (4, 2.0));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn from_iter(
        place: impl IntoPlace,
        items: impl IntoIterator<Item = T>,
    ) -> Result<SharedArray<T, Ix1>> {
        SharedArray::from_ndarray(place, &Array::from_iter(items))
    }
}

fn parts<D: Dimension>(shape: impl ShapeBuilder<Dim = D>) -> (D, bool) {
    let shape = shape.into_shape_with_order();
    let dim = shape.raw_dim().clone();
    // As `ndarray` counts: extents of 0 do not make up for the others.
    let product = dim.slice().iter().try_fold(1usize, |product, extent| product.checked_mul(*extent.max(&1)));
    if product.is_none_or(|product| isize::try_from(product).is_err()) {
        return (dim, false); // too large for `ndarray`, which would panic; the layout says so in an error
    }
    // Which order it is, only the strides of something with that shape tell; units need no memory.
    let units = Array::<(), D>::uninit(shape);
    (dim, !units.is_standard_layout())
}

/// Where the array goes and how it lies there; what cannot be laid out is an error that names the place.
fn plan<T: Element>(place: impl IntoPlace, shape: &[usize], fortran: bool) -> Result<(Place, ArrayLayout)> {
    let (place, element) = (place.into_place()?, T::element_type());
    let layout =
        if fortran { ArrayLayout::f_order(element, shape) } else { ArrayLayout::c_order(element, shape) };
    match layout {
        Ok(layout) => Ok((place, layout)),
        Err(error) => Err(Error::from(error).about("create", place.label()).remedy("ask for less")),
    }
}

fn is_fortran<T: Element, D: Dimension>(array: &SharedArray<T, D>) -> bool {
    let layout = array.as_any().layout();
    layout.is_f_contiguous() && !layout.is_c_contiguous()
}

/// Creates an array and lets `fill` write its bytes in the order of memory.
fn build<T: Element, D: Dimension>(
    place: impl IntoPlace,
    shape: &[usize],
    fortran: bool,
    fill: impl FnOnce(&mut [u8]),
) -> Result<SharedArray<T, D>> {
    let (place, layout) = plan::<T>(place, shape, fortran)?;
    let any = AnyArray::create_with(place, &layout, |bytes| {
        fill(bytes);
        Ok(())
    })?;
    SharedArray::from_any(any)
}
