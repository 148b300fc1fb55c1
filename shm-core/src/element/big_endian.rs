//! [`BigEndian`]: an element whose numbers lie in network byte order, for data that came that way (FITS, network captures).

use std::fmt;
use std::hash::{Hash, Hasher};

use num_complex::Complex;

use super::{DateTime, Element, FixedText, TimeSpan, Unit};

/// A number, text or time with the bytes of each number in big-endian order.
///
/// # Examples
/// ```
/// use shm_core::element::BigEndian;
///
/// let mut number = BigEndian::new(0x0102_u16);
/// assert_eq!(bytemuck::bytes_of(&number), [1, 2]);
/// number.set(7);
/// assert_eq!(number.get(), 7);
/// ```
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BigEndian<T>(T);

impl<T: SwapBytes> BigEndian<T> {
    /// Makes the element that holds `value`.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::BigEndian;
    ///
    /// assert_eq!(bytemuck::bytes_of(&BigEndian::new(0x0102_u16)), [1, 2]);
    /// ```
    pub fn new(value: T) -> Self {
        BigEndian(value.swap_bytes())
    }

    /// Returns the value in native byte order.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::BigEndian;
    ///
    /// let received: BigEndian<u32> = bytemuck::cast([0u8, 0, 1, 0]);
    /// assert_eq!(received.get(), 256);
    /// ```
    pub fn get(self) -> T {
        self.0.swap_bytes()
    }

    /// Replaces the value.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::BigEndian;
    ///
    /// let mut number = BigEndian::new(1.0_f64);
    /// number.set(2.5);
    /// assert_eq!(number.get(), 2.5);
    /// ```
    pub fn set(&mut self, value: T) {
        *self = BigEndian::new(value);
    }
}

impl<T: SwapBytes> From<T> for BigEndian<T> {
    fn from(value: T) -> Self {
        BigEndian::new(value)
    }
}

impl<T: SwapBytes + Default> Default for BigEndian<T> {
    fn default() -> Self {
        BigEndian::new(T::default())
    }
}

impl<T: SwapBytes + PartialEq> PartialEq for BigEndian<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: SwapBytes + Eq> Eq for BigEndian<T> {}

impl<T: SwapBytes + Hash> Hash for BigEndian<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl<T: SwapBytes + fmt::Debug> fmt::Debug for BigEndian<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An element that has a byte order and whose bytes can therefore be swapped; sealed.
///
/// # Examples
/// ```
/// use shm_core::element::SwapBytes;
///
/// assert_eq!(SwapBytes::swap_bytes(0x0102_u16), 0x0201);
/// ```
pub trait SwapBytes: Element + sealed::Sealed {
    /// Returns the value with the bytes of each of its numbers reversed.
    ///
    /// # Examples
    /// ```
    /// use num_complex::Complex;
    /// use shm_core::element::SwapBytes;
    ///
    /// let swapped = SwapBytes::swap_bytes(Complex::new(1.0_f32, 2.0)); // each part on its own
    /// assert_eq!(swapped.re.to_bits(), 1.0_f32.to_bits().swap_bytes());
    /// ```
    #[must_use]
    fn swap_bytes(self) -> Self;
}

/// Implements [`SwapBytes`]; a float that does not hold its own value is only ever moved, which keeps its bits.
macro_rules! swap_bytes {
    ($($({$($generic:tt)+})? $type:ty: |$value:ident| $swapped:expr),+ $(,)?) => {$(
        impl$(<$($generic)+>)? sealed::Sealed for $type {}

        impl$(<$($generic)+>)? SwapBytes for $type {
            fn swap_bytes(self) -> Self {
                let $value = self;
                $swapped
            }
        }
    )+};
}

swap_bytes! {
    i16: |value| i16::swap_bytes(value),
    i32: |value| i32::swap_bytes(value),
    i64: |value| i64::swap_bytes(value),
    u16: |value| u16::swap_bytes(value),
    u32: |value| u32::swap_bytes(value),
    u64: |value| u64::swap_bytes(value),
    f32: |value| f32::from_bits(value.to_bits().swap_bytes()),
    f64: |value| f64::from_bits(value.to_bits().swap_bytes()),
    Complex<f32>: |value| Complex::new(value.re.swap_bytes(), value.im.swap_bytes()),
    Complex<f64>: |value| Complex::new(value.re.swap_bytes(), value.im.swap_bytes()),
    {U: Unit} DateTime<U>: |value| DateTime::new(value.steps().swap_bytes()),
    {U: Unit} TimeSpan<U>: |value| TimeSpan::new(value.steps().swap_bytes()),
    {const N: usize} FixedText<N>: |value| value.swapped(),
}

#[cfg(feature = "half")]
swap_bytes! {
    half::f16: |value| half::f16::from_bits(value.to_bits().swap_bytes()),
    half::bf16: |value| half::bf16::from_bits(value.to_bits().swap_bytes()),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::unit;

    #[test]
    fn bytes_lie_in_network_order() {
        assert_eq!(bytemuck::bytes_of(&BigEndian::new(1.0_f64)), 1.0_f64.to_be_bytes());
        assert_eq!(bytemuck::bytes_of(&BigEndian::new(-2_i32)), (-2_i32).to_be_bytes());
        let complex = BigEndian::new(Complex::new(1.0_f32, 2.0));
        assert_eq!(bytemuck::bytes_of(&complex), [1.0_f32.to_be_bytes(), 2.0_f32.to_be_bytes()].concat());
        let text = BigEndian::new(FixedText::<2>::new("a").unwrap());
        assert_eq!(bytemuck::bytes_of(&text), [0, 0, 0, b'a', 0, 0, 0, 0]);
        let time = BigEndian::new(DateTime::<unit::Second>::new(258));
        assert_eq!(bytemuck::bytes_of(&time), 258_i64.to_be_bytes());
    }

    #[test]
    fn every_bit_of_a_float_survives() {
        // Among these are signalling NaNs, in either byte order.
        for bits in [0x7F80_0001_u32, 0x0100_807F, 0xFF80_0001, 0x0000_0080, u32::MAX] {
            let number: BigEndian<f32> = bytemuck::cast(bits);
            let copy = BigEndian::new(number.get());
            assert_eq!(bytemuck::cast::<_, u32>(copy), bits);
        }
    }

    #[test]
    fn values_compare_and_print_as_such() {
        assert_eq!(BigEndian::from(7_u16), BigEndian::new(7));
        assert_eq!(BigEndian::<u32>::default().get(), 0);
        assert_eq!(format!("{:?}", BigEndian::new(7_i64)), "7");
        assert_eq!(BigEndian::new(0.0_f64), BigEndian::new(-0.0));
    }
}
