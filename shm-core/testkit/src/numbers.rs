//! Numbers that look random and are the same in every run, so that a failing one can be told from its seed.

/// A small generator: Marsaglia's xorshift with 64 bits ("Xorshift RNGs", 2003).
///
/// # Examples
/// ```
/// use shm_testkit::Numbers;
///
/// let (mut a, mut b) = (Numbers::new(42), Numbers::new(42));
/// assert!((0..100).all(|_| a.below(6) == b.below(6)));
/// ```
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Begins the sequence that belongs to a seed; any will do.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::Numbers;
    ///
    /// let mut numbers = Numbers::new(0);
    /// assert!((0..100).any(|_| numbers.below(2) == 1));
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // All seeds but one per state stay apart; the state 0 would stay 0.
        Self((seed ^ 0x9E37_79B9_7F4A_7C15).max(1))
    }

    /// Returns a number from 0 to before `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::Numbers;
    ///
    /// let mut numbers = Numbers::new(7);
    /// assert!((0..100).all(|_| numbers.below(10) < 10));
    /// ```
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
