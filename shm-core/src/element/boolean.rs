//! [`Bool`]: a truth value for which every byte is valid, because anyone may have written it.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A truth value in one byte, as an element: 0 is false, anything else is true.
///
/// Rust's `bool` cannot be one: a byte other than 0 and 1, which any process can write, would be undefined behaviour there.
/// Values that mean the same compare equal, whatever byte they hold.
///
/// # Examples
/// ```
/// use shm_core::element::Bool;
///
/// let mut flags = [Bool::FALSE; 3];
/// flags[1] = true.into();
/// assert_eq!(flags.iter().filter(|flag| flag.get()).count(), 1);
/// assert_eq!(bytemuck::cast::<u8, Bool>(7), Bool::TRUE);
/// ```
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// False, the byte 0.
    pub const FALSE: Bool = Bool(0);
    /// True, the byte 1.
    pub const TRUE: Bool = Bool(1);

    /// Returns the truth value.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::Bool;
    ///
    /// assert!(!Bool::FALSE.get());
    /// assert!(bytemuck::cast::<u8, Bool>(7).get());
    /// ```
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Bool(u8::from(value))
    }
}

impl From<Bool> for bool {
    fn from(value: Bool) -> Self {
        value.get()
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Bool {}

impl Hash for Bool {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl fmt::Debug for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_byte_is_a_truth_value() {
        for byte in 0..=u8::MAX {
            let flag: Bool = bytemuck::cast(byte);
            assert_eq!(flag.get(), byte != 0);
            assert_eq!(flag, Bool::from(byte != 0));
        }
        assert_eq!(format!("{:?}", Bool::TRUE), "true");
    }
}
