//! [`FixedBytes`] and [`FixedText`]: as many bytes or code points as the type says, shorter values padded with zeros.
//!
//! Padding and zeros at the end of a value cannot be told apart, so a value that ends in a zero is refused and not silently
//! cut. Nothing is assumed about the bits that others wrote: text is checked when it is read.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// `N` bytes as an element, padded with zero bytes (NumPy's `S`).
///
/// # Examples
/// ```
/// use shm_core::element::FixedBytes;
///
/// let tag = FixedBytes::<4>::new(b"ab")?;
/// assert_eq!(tag.as_bytes(), b"ab");
/// assert_eq!(tag.padded(), b"ab\0\0");
/// assert!(FixedBytes::<4>::new(b"abcde").is_err());
/// # Ok::<(), shm_core::element::FixedError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FixedBytes<const N: usize>([u8; N]);

/// `N` code points as an element, padded with zeros (NumPy's `U`): 4 bytes each, little-endian.
///
/// # Examples
/// ```
/// use shm_core::element::FixedText;
///
/// let word = FixedText::<5>::new("grün")?;
/// assert_eq!(word.to_text()?, "grün");
/// assert!(FixedText::<3>::new("grün").is_err());
/// # Ok::<(), shm_core::element::FixedError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FixedText<const N: usize>([u32; N]);

/// Why a value does not fit an element of fixed length, or why an element is no text.
///
/// # Examples
/// ```
/// use shm_core::element::{FixedError, FixedText};
///
/// assert_eq!(FixedText::<2>::new("abc"), Err(FixedError::TooLong { len: 3, capacity: 2 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FixedError {
    /// [`FixedBytes::new`] or [`FixedText::new`] got more than fits.
    TooLong {
        /// Bytes or code points of the value.
        len: usize,
        /// Bytes or code points that fit.
        capacity: usize,
    },
    /// [`FixedBytes::new`] or [`FixedText::new`] got a value that ends in a zero, which would be lost among the padding.
    EndsInZero,
    /// [`FixedText::to_text`] found a number that is no Unicode scalar value.
    NotUnicode {
        /// Which code point it is, counted from 0.
        index: usize,
        /// The number.
        value: u32,
    },
}

impl fmt::Display for FixedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FixedError::TooLong { len, capacity } => {
                write!(f, "a value of length {len} does not fit an element of length {capacity}")
            }
            FixedError::EndsInZero => {
                f.write_str("a value that ends in a zero would lose it among the padding")
            }
            FixedError::NotUnicode { index, value } => {
                write!(f, "code point {index} is {value:#x}, which is no Unicode character")
            }
        }
    }
}

impl Error for FixedError {}

/// Checks at compile time that a length fits the format's count.
pub(crate) const fn count(length: usize) -> u32 {
    assert!(length <= u32::MAX as usize, "elements have at most 4294967295 bytes or code points");
    length as u32
}

/// Returns the items before the padding.
fn trimmed<T: Copy + Into<u32>>(items: &[T]) -> &[T] {
    let end = items.iter().rposition(|item| (*item).into() != 0).map_or(0, |last| last + 1);
    &items[..end]
}

impl<const N: usize> FixedBytes<N> {
    /// Makes an element that holds these bytes, which may be empty and may hold zeros inside.
    ///
    /// # Errors
    /// [`FixedError::TooLong`], [`FixedError::EndsInZero`].
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{FixedBytes, FixedError};
    ///
    /// assert_eq!(FixedBytes::<4>::new(b"ab")?.as_bytes(), b"ab");
    /// assert_eq!(FixedBytes::<4>::new(b"ab\0"), Err(FixedError::EndsInZero));
    /// assert_eq!(FixedBytes::<4>::new(b"abcde"), Err(FixedError::TooLong { len: 5, capacity: 4 }));
    /// # Ok::<(), shm_core::element::FixedError>(())
    /// ```
    pub fn new(bytes: &[u8]) -> Result<Self, FixedError> {
        if bytes.last() == Some(&0) {
            return Err(FixedError::EndsInZero);
        }
        let mut padded = [0; N];
        let target = padded.get_mut(..bytes.len());
        target.ok_or(FixedError::TooLong { len: bytes.len(), capacity: N })?.copy_from_slice(bytes);
        Ok(FixedBytes(padded))
    }

    /// Returns the bytes before the padding.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::FixedBytes;
    ///
    /// assert_eq!(FixedBytes::<8>::new(b"a\0b")?.as_bytes(), b"a\0b");
    /// # Ok::<(), shm_core::element::FixedError>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        trimmed(&self.0)
    }

    /// Returns all `N` bytes.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::FixedBytes;
    ///
    /// assert_eq!(FixedBytes::<4>::new(b"ab")?.padded(), b"ab\0\0");
    /// # Ok::<(), shm_core::element::FixedError>(())
    /// ```
    pub const fn padded(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> FixedText<N> {
    /// Makes an element that holds this text, which may be empty.
    ///
    /// # Errors
    /// [`FixedError::TooLong`] when there are more than `N` code points (not bytes), [`FixedError::EndsInZero`].
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{FixedError, FixedText};
    ///
    /// assert_eq!(FixedText::<4>::new("grün")?.to_text()?, "grün"); // 4 code points in 5 bytes
    /// assert_eq!(FixedText::<3>::new("grün"), Err(FixedError::TooLong { len: 4, capacity: 3 }));
    /// # Ok::<(), shm_core::element::FixedError>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, FixedError> {
        if text.ends_with('\0') {
            return Err(FixedError::EndsInZero);
        }
        let mut padded = [0; N];
        let mut slots = padded.iter_mut();
        for point in text.chars() {
            let slot = slots.next();
            *slot.ok_or_else(|| FixedError::TooLong { len: text.chars().count(), capacity: N })? =
                point as u32;
        }
        Ok(FixedText(padded))
    }

    /// Returns the text before the padding.
    ///
    /// # Errors
    /// [`FixedError::NotUnicode`] when the element holds something else than Unicode characters.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{FixedError, FixedText};
    ///
    /// assert_eq!(FixedText::<5>::new("grün")?.to_text()?, "grün");
    /// let wrong: FixedText<1> = bytemuck::cast([0xD800_u32]);
    /// assert_eq!(wrong.to_text(), Err(FixedError::NotUnicode { index: 0, value: 0xD800 }));
    /// # Ok::<(), shm_core::element::FixedError>(())
    /// ```
    pub fn to_text(&self) -> Result<String, FixedError> {
        let point = |(index, &value)| char::from_u32(value).ok_or(FixedError::NotUnicode { index, value });
        trimmed(&self.0).iter().enumerate().map(point).collect()
    }

    /// Returns the text before the padding, with U+FFFD for whatever is no Unicode character.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::FixedText;
    ///
    /// let wrong: FixedText<2> = bytemuck::cast([b'a' as u32, 0xD800]);
    /// assert_eq!(wrong.to_text_lossy(), "a\u{FFFD}");
    /// assert!(wrong.to_text().is_err());
    /// ```
    pub fn to_text_lossy(&self) -> String {
        let point = |value: &u32| char::from_u32(*value).unwrap_or(char::REPLACEMENT_CHARACTER);
        trimmed(&self.0).iter().map(point).collect()
    }

    /// Returns the code points with their bytes reversed.
    pub(crate) fn swapped(self) -> Self {
        FixedText(self.0.map(u32::swap_bytes))
    }
}

impl<const N: usize> TryFrom<&[u8]> for FixedBytes<N> {
    type Error = FixedError;

    fn try_from(bytes: &[u8]) -> Result<Self, FixedError> {
        FixedBytes::new(bytes)
    }
}

impl<const N: usize> TryFrom<&str> for FixedText<N> {
    type Error = FixedError;

    fn try_from(text: &str) -> Result<Self, FixedError> {
        FixedText::new(text)
    }
}

impl<const N: usize> FromStr for FixedText<N> {
    type Err = FixedError;

    fn from_str(text: &str) -> Result<Self, FixedError> {
        FixedText::new(text)
    }
}

impl<const N: usize> Default for FixedBytes<N> {
    fn default() -> Self {
        FixedBytes([0; N])
    }
}

impl<const N: usize> Default for FixedText<N> {
    fn default() -> Self {
        FixedText([0; N])
    }
}

impl<const N: usize> fmt::Debug for FixedBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text_lossy(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for bytes in [&b""[..], b"a", b"\0a", b"abcd"] {
            assert_eq!(FixedBytes::<4>::new(bytes).unwrap().as_bytes(), bytes);
        }
        assert_eq!(FixedBytes::<4>::new(b"abcde"), Err(FixedError::TooLong { len: 5, capacity: 4 }));
        assert_eq!(FixedBytes::<4>::new(b"a\0"), Err(FixedError::EndsInZero));
        assert_eq!(FixedBytes::<0>::new(b"").unwrap().as_bytes(), b"");
        assert_eq!(format!("{:?}", FixedBytes::<4>::new(b"a\xff").unwrap()), r#"b"a\xff""#);
    }

    #[test]
    fn text_comes_back() {
        for text in ["", "a", "\0a", "äöü\u{10FFFF}"] {
            assert_eq!(text.parse::<FixedText<4>>().unwrap().to_text().as_deref(), Ok(text));
        }
        assert_eq!(FixedText::<4>::new("abcde"), Err(FixedError::TooLong { len: 5, capacity: 4 }));
        assert_eq!(FixedText::<4>::new("a\0"), Err(FixedError::EndsInZero));
        assert_eq!(FixedText::<0>::new("").unwrap().to_text().as_deref(), Ok(""));
    }

    #[test]
    fn any_bits_can_be_read() {
        let odd: FixedText<3> = bytemuck::cast([97_u32, u32::MAX, 0]);
        assert_eq!(odd.to_text(), Err(FixedError::NotUnicode { index: 1, value: u32::MAX }));
        assert_eq!(odd.to_text_lossy(), "a\u{FFFD}");
    }
}
