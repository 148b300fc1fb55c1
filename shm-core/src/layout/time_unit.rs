//! What one step of a point or span of time is: a unit and how many of it (`FORMAT.md`, section 3.2).

use std::fmt;
use std::num::NonZeroU32;

/// The units in which time is counted, from years to attoseconds; the discriminants are the format's numbers.
///
/// # Examples
/// ```
/// use shm_core::layout::TimeBase;
///
/// assert_eq!(TimeBase::Microsecond.symbol(), "us");
/// assert_eq!(TimeBase::from_symbol("us"), Some(TimeBase::Microsecond));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum TimeBase {
    /// No unit is told.
    Generic = 0,
    /// A calendar year.
    Year = 1,
    /// A calendar month.
    Month = 2,
    /// 7 days.
    Week = 3,
    /// 24 hours.
    Day = 4,
    /// 60 minutes.
    Hour = 5,
    /// 60 seconds.
    Minute = 6,
    /// A second.
    Second = 7,
    /// 10^-3 seconds.
    Millisecond = 8,
    /// 10^-6 seconds.
    Microsecond = 9,
    /// 10^-9 seconds.
    Nanosecond = 10,
    /// 10^-12 seconds.
    Picosecond = 11,
    /// 10^-15 seconds.
    Femtosecond = 12,
    /// 10^-18 seconds.
    Attosecond = 13,
}

/// Every unit with its symbol; the index is the unit's number.
const BASES: [(TimeBase, &str); 14] = [
    (TimeBase::Generic, "generic"),
    (TimeBase::Year, "Y"),
    (TimeBase::Month, "M"),
    (TimeBase::Week, "W"),
    (TimeBase::Day, "D"),
    (TimeBase::Hour, "h"),
    (TimeBase::Minute, "m"),
    (TimeBase::Second, "s"),
    (TimeBase::Millisecond, "ms"),
    (TimeBase::Microsecond, "us"),
    (TimeBase::Nanosecond, "ns"),
    (TimeBase::Picosecond, "ps"),
    (TimeBase::Femtosecond, "fs"),
    (TimeBase::Attosecond, "as"),
];

impl TimeBase {
    /// Returns the symbol that NumPy uses, or `generic`.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::TimeBase;
    ///
    /// assert_eq!(TimeBase::Nanosecond.symbol(), "ns");
    /// assert_eq!(TimeBase::Generic.symbol(), "generic");
    /// ```
    pub fn symbol(self) -> &'static str {
        BASES[self as usize].1
    }

    /// Finds the unit with this symbol.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::TimeBase;
    ///
    /// assert_eq!(TimeBase::from_symbol("M"), Some(TimeBase::Month));
    /// assert_eq!(TimeBase::from_symbol("m"), Some(TimeBase::Minute));
    /// assert_eq!(TimeBase::from_symbol("min"), None);
    /// ```
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        BASES.iter().find(|(_, name)| *name == symbol).map(|(base, _)| *base)
    }

    /// Returns the unit's number in the format, 0 to 13.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::TimeBase;
    ///
    /// assert_eq!(TimeBase::Day.number(), 4);
    /// ```
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Finds the unit with this number.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::TimeBase;
    ///
    /// assert_eq!(TimeBase::from_number(4), Some(TimeBase::Day));
    /// assert_eq!(TimeBase::from_number(14), None);
    /// ```
    pub fn from_number(number: u32) -> Option<Self> {
        BASES.get(number as usize).map(|(base, _)| *base)
    }
}

/// One step of a point or span of time: a multiple of a unit, such as 25 seconds.
///
/// # Examples
/// ```
/// use shm_core::layout::{TimeBase, TimeUnit};
///
/// let step = TimeUnit::new(25, TimeBase::Second).unwrap();
/// assert_eq!(step.to_string(), "25s");
/// assert_eq!(TimeUnit::of(TimeBase::Nanosecond).to_string(), "ns");
/// assert_eq!(TimeUnit::new(0, TimeBase::Second), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeUnit {
    multiplier: NonZeroU32,
    base: TimeBase,
}

impl TimeUnit {
    /// Makes a step of `multiplier` units; `None` for 0, and for generic time with a multiplier other than 1.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{TimeBase, TimeUnit};
    ///
    /// assert_eq!(TimeUnit::new(25, TimeBase::Second).unwrap().to_string(), "25s");
    /// assert_eq!(TimeUnit::new(0, TimeBase::Second), None);
    /// assert_eq!(TimeUnit::new(25, TimeBase::Generic), None);
    /// ```
    pub const fn new(multiplier: u32, base: TimeBase) -> Option<Self> {
        match NonZeroU32::new(multiplier) {
            None => None,
            Some(many) if many.get() > 1 && matches!(base, TimeBase::Generic) => None,
            Some(multiplier) => Some(TimeUnit { multiplier, base }),
        }
    }

    /// Makes a step of one unit.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{TimeBase, TimeUnit};
    ///
    /// assert_eq!(Some(TimeUnit::of(TimeBase::Day)), TimeUnit::new(1, TimeBase::Day));
    /// ```
    pub const fn of(base: TimeBase) -> Self {
        TimeUnit { multiplier: NonZeroU32::MIN, base }
    }

    /// Returns how many units one step is; at least 1.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{TimeBase, TimeUnit};
    ///
    /// assert_eq!(TimeUnit::new(25, TimeBase::Second).unwrap().multiplier(), 25);
    /// assert_eq!(TimeUnit::of(TimeBase::Second).multiplier(), 1);
    /// ```
    pub const fn multiplier(self) -> u32 {
        self.multiplier.get()
    }

    /// Returns the unit.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{TimeBase, TimeUnit};
    ///
    /// assert_eq!(TimeUnit::new(25, TimeBase::Second).unwrap().base(), TimeBase::Second);
    /// ```
    pub const fn base(self) -> TimeBase {
        self.base
    }
}

/// Writes the spelling of record descriptions: the multiplier only when it is above 1.
impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.multiplier() > 1 {
            write!(f, "{}", self.multiplier)?;
        }
        f.write_str(self.base.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_symbols_lead_back() {
        for (number, (base, symbol)) in BASES.iter().enumerate() {
            assert_eq!(base.number() as usize, number);
            assert_eq!(TimeBase::from_number(number as u32), Some(*base));
            assert_eq!(TimeBase::from_symbol(symbol), Some(*base));
        }
        assert_eq!(TimeBase::from_number(14), None);
        assert_eq!(TimeBase::from_symbol("min"), None);
    }

    #[test]
    fn generic_time_has_no_multiplier() {
        assert!(TimeUnit::new(1, TimeBase::Generic).is_some());
        assert!(TimeUnit::new(2, TimeBase::Generic).is_none());
        assert_eq!(TimeUnit::new(1, TimeBase::Day), Some(TimeUnit::of(TimeBase::Day)));
    }
}
