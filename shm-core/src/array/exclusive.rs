//! [`Exclusive`]: safe references to the elements of an array, while its exclusive lease is held.

#![allow(unsafe_code, reason = "lends references to shared memory, which the lease makes exclusive")]

use ndarray::{ArrayView, ArrayViewMut, Dimension};

use super::SharedArray;
use crate::Element;
use crate::error::Result;
use crate::segment::ExclusiveLease;

/// An array that nobody else can reach: the exclusive lease and a mutable borrow of the only handle.
///
/// Got from [`SharedArray::exclusive`]; dropping it gives the lease back. A forked child that inherits one may not use it: the functions that lend references
/// panic there.
///
/// ```
/// use ndarray::Ix1;
/// use shm_core::{ErrorKind, SharedArray};
/// # let name = format!("doc-exclusive-array-{}", std::process::id());
/// # let name = name.as_str();
/// let mut a = SharedArray::<i32, _>::zeros(name, 5)?;
/// let mut alone = a.exclusive()?;
/// for (i, element) in alone.view_mut().iter_mut().enumerate() {
///     *element = i as i32;
/// }
/// assert_eq!(SharedArray::<i32, Ix1>::attach(name).unwrap_err().kind(), ErrorKind::Busy);
/// drop(alone);
/// assert_eq!(SharedArray::<i32, Ix1>::attach(name)?.get(4), 4);
/// shm_core::delete(name)?;
/// # Ok::<(), shm_core::Error>(())
/// ```
///
/// It may be given to another thread:
/// ```
/// # use shm_core::{Anonymous, SharedArray};
/// let mut a = SharedArray::<i32, _>::zeros(Anonymous, 5)?;
/// let mut alone = a.exclusive()?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| alone.view_mut().fill(3));
/// });
/// assert_eq!(alone.view().sum(), 15);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct Exclusive<'a, T: Element, D: Dimension> {
    /// A handle of its own would count as another one, so this is made of the borrowed handle's parts.
    raw: ndarray::RawArrayViewMut<T, D>,
    c_contiguous: bool,
    lease: ExclusiveLease<'a>,
}

// SAFETY: the raw view is an address in a mapping that the borrowed handle keeps; elements are `Send` and `Sync` (a condition of `Element`), and are reached by
// the rules of references to this. The lease is the process's, not a thread's, and is `Send` and `Sync` by itself.
unsafe impl<'a, T: Element, D: Dimension> Send for Exclusive<'a, T, D> where ExclusiveLease<'a>: Send {}
// SAFETY: as above.
unsafe impl<'a, T: Element, D: Dimension> Sync for Exclusive<'a, T, D> where ExclusiveLease<'a>: Sync {}

impl<'a, T: Element, D: Dimension> Exclusive<'a, T, D> {
    pub(super) fn take(array: &'a mut SharedArray<T, D>) -> Result<Exclusive<'a, T, D>> {
        let raw = array.raw_view_mut();
        let c_contiguous = array.as_any().layout().is_c_contiguous();
        let lease = array.any_mut().segment_mut().exclusive()?;
        Ok(Exclusive { raw, c_contiguous, lease })
    }

    #[track_caller]
    fn check(&self) {
        assert!(
            !self.lease.is_inherited(),
            "an exclusive array that was inherited by a forked process may not be used there: its parent has it"
        );
    }

    /// Returns a view of the elements.
    ///
    /// # Panics
    /// In a forked child that inherited it.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let mut a = SharedArray::<f64, _>::full(Anonymous, (2, 3), 0.5)?;
    /// assert_eq!(a.exclusive()?.view().sum(), 3.0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[track_caller]
    pub fn view(&self) -> ArrayView<'_, T, D> {
        self.check();
        // SAFETY: the raw view shows valid, aligned elements of a mapping that the borrowed handle keeps alive for `'a`. The lease keeps every other
        // attachment away, the mutable borrow every other use of the only handle in this process, and `check` a forked child.
        unsafe { self.raw.raw_view().deref_into_view() }
    }

    /// Returns a mutable view of the elements.
    ///
    /// # Panics
    /// In a forked child that inherited it.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let mut a = SharedArray::<f64, _>::zeros(Anonymous, (2, 3))?;
    /// a.exclusive()?.view_mut().column_mut(2).fill(1.0);
    /// assert_eq!(a.get((1, 2)), 1.0);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[track_caller]
    pub fn view_mut(&mut self) -> ArrayViewMut<'_, T, D> {
        self.check();
        // SAFETY: as in `view`, and `self` is borrowed mutably; a lease is only given for a writable attachment.
        unsafe { self.raw.clone().deref_into_view_mut() }
    }

    /// Returns the elements as a slice in C order, or nothing if they do not lie that way.
    ///
    /// # Panics
    /// In a forked child that inherited it.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// let mut a = SharedArray::<u8, _>::zeros(Anonymous, (2, 3))?;
    /// a.exclusive()?.as_mut_slice().unwrap()[3] = 1;
    /// assert_eq!(a.get((1, 0)), 1);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    #[track_caller]
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        self.check();
        if !self.c_contiguous {
            return None;
        }
        // SAFETY: as in `view_mut`; in C order the elements lie one after another from the first on, and there are `len` of them.
        Some(unsafe { std::slice::from_raw_parts_mut(self.raw.as_mut_ptr(), self.raw.len()) })
    }
}

impl<T: Element, D: Dimension> std::fmt::Debug for Exclusive<'_, T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exclusive").field("shape", &self.raw.shape()).field("lease", &self.lease).finish()
    }
}
