//! [`DateTime`] and [`TimeSpan`]: an `i64` that counts steps of a unit, which is part of the type.
//!
//! No calendar is kept here: the counts are what NumPy's `datetime64` and `timedelta64` store, and the crates that know calendars
//! can be fed with them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use crate::layout::TimeUnit;

/// A unit of time as a type, for [`DateTime`] and [`TimeSpan`]; the usual ones are in [`mod@unit`].
///
/// # Examples
/// ```
/// use shm_core::element::{Unit, unit};
///
/// type QuarterHour = unit::Times<15, unit::Minute>;
/// assert_eq!(QuarterHour::UNIT.to_string(), "15m");
/// ```
pub trait Unit: 'static {
    /// The unit and how many of it one step is.
    const UNIT: TimeUnit;
}

/// The units of the format as types.
pub mod unit {
    use std::marker::PhantomData;

    use super::Unit;
    use crate::layout::{TimeBase, TimeUnit};

    macro_rules! units {
        ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {$(
            $(#[$doc])+
            #[derive(Debug)]
            pub enum $name {}

            impl Unit for $name {
                const UNIT: TimeUnit = TimeUnit::of(TimeBase::$name);
            }
        )+};
    }

    units! {
        /// No unit is told.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Generic::UNIT.to_string(), "generic");
        /// ```
        Generic,
        /// Calendar years.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Year::UNIT.to_string(), "Y");
        /// ```
        Year,
        /// Calendar months.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Month::UNIT.to_string(), "M");
        /// ```
        Month,
        /// 7 days.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Week::UNIT.to_string(), "W");
        /// ```
        Week,
        /// 24 hours.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Day::UNIT.to_string(), "D");
        /// ```
        Day,
        /// 60 minutes.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Hour::UNIT.to_string(), "h");
        /// ```
        Hour,
        /// 60 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Minute::UNIT.to_string(), "m");
        /// ```
        Minute,
        /// Seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Second::UNIT.to_string(), "s");
        /// ```
        Second,
        /// 10^-3 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Millisecond::UNIT.to_string(), "ms");
        /// ```
        Millisecond,
        /// 10^-6 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Microsecond::UNIT.to_string(), "us");
        /// ```
        Microsecond,
        /// 10^-9 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Nanosecond::UNIT.to_string(), "ns");
        /// ```
        Nanosecond,
        /// 10^-12 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Picosecond::UNIT.to_string(), "ps");
        /// ```
        Picosecond,
        /// 10^-15 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Femtosecond::UNIT.to_string(), "fs");
        /// ```
        Femtosecond,
        /// 10^-18 seconds.
        ///
        /// # Examples
        /// ```
        /// use shm_core::element::{Unit, unit};
        ///
        /// assert_eq!(unit::Attosecond::UNIT.to_string(), "as");
        /// ```
        Attosecond,
    }

    /// `N` times another unit; does not compile for 0, for generic time, or when the product is 2^32 or more.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{Unit, unit};
    ///
    /// assert_eq!(<unit::Times<25, unit::Second>>::UNIT.to_string(), "25s");
    /// ```
    /// ```compile_fail,E0080
    /// use shm_core::element::{Unit, unit};
    ///
    /// let never = <unit::Times<0, unit::Second>>::UNIT;
    /// ```
    #[derive(Debug)]
    pub struct Times<const N: u32, U>(PhantomData<U>);

    impl<const N: u32, U: Unit> Unit for Times<N, U> {
        const UNIT: TimeUnit = match N.checked_mul(U::UNIT.multiplier()) {
            None => panic!("the multiplier of a unit of time must be below 2^32"),
            Some(product) => match TimeUnit::new(product, U::UNIT.base()) {
                None => panic!("the multiplier must be at least 1, and 1 for generic time"),
                Some(unit) => unit,
            },
        };
    }
}

macro_rules! time_types {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {$(
        $(#[$doc])+
        #[repr(transparent)]
        pub struct $name<U>(i64, PhantomData<fn() -> U>);

        impl<U> $name<U> {
            /// Not-a-time: the value `i64::MIN`. It equals itself and comes before all others.
            pub const NOT_A_TIME: Self = Self::new(i64::MIN);

            /// Makes the value with this number of steps.
            ///
            /// # Examples
            /// ```
            /// use shm_core::element::{DateTime, TimeSpan, unit};
            ///
            /// let midnight = DateTime::<unit::Second>::new(86_400); // of the second of January 1970
            /// let minute = TimeSpan::<unit::Second>::new(60);
            /// assert_eq!(midnight.steps() / minute.steps(), 24 * 60);
            /// ```
            pub const fn new(steps: i64) -> Self {
                $name(steps, PhantomData)
            }

            /// Returns the number of steps.
            ///
            /// # Examples
            /// ```
            /// use shm_core::element::{TimeSpan, unit};
            ///
            /// type QuarterHour = unit::Times<15, unit::Minute>;
            /// assert_eq!(TimeSpan::<QuarterHour>::new(4).steps(), 4);
            /// ```
            pub const fn steps(self) -> i64 {
                self.0
            }

            /// Returns whether this is not-a-time.
            ///
            /// # Examples
            /// ```
            /// use shm_core::element::{DateTime, TimeSpan, unit};
            ///
            /// assert!(DateTime::<unit::Day>::NOT_A_TIME.is_not_a_time());
            /// assert!(!TimeSpan::<unit::Day>::new(0).is_not_a_time());
            /// ```
            pub const fn is_not_a_time(self) -> bool {
                self.0 == i64::MIN
            }
        }

        // Derived implementations would ask the same of `U`, which is only a name.
        impl<U> Clone for $name<U> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<U> Copy for $name<U> {}

        impl<U> Default for $name<U> {
            fn default() -> Self {
                Self::new(0)
            }
        }

        impl<U> PartialEq for $name<U> {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        impl<U> Eq for $name<U> {}

        impl<U> PartialOrd for $name<U> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl<U> Ord for $name<U> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }

        impl<U> Hash for $name<U> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        /// Writes the number of steps and the unit.
        impl<U: Unit> fmt::Debug for $name<U> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.is_not_a_time() {
                    true => write!(f, concat!(stringify!($name), "(not-a-time)")),
                    false => write!(f, concat!(stringify!($name), "({} × {})"), self.0, U::UNIT),
                }
            }
        }
    )+};
}

time_types! {
    /// A point in time: steps of the unit `U` since 1970-01-01T00:00 (NumPy's `datetime64`).
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{DateTime, unit};
    ///
    /// let second_day = DateTime::<unit::Day>::new(1);
    /// assert!(second_day > DateTime::default());
    /// assert!(DateTime::<unit::Day>::NOT_A_TIME.is_not_a_time());
    /// ```
    DateTime,
    /// A span of time: steps of the unit `U` (NumPy's `timedelta64`).
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::{TimeSpan, unit};
    ///
    /// let span = TimeSpan::<unit::Times<25, unit::Second>>::new(4);
    /// assert_eq!(span.steps(), 4);
    /// assert_eq!(format!("{span:?}"), "TimeSpan(4 × 25s)");
    /// ```
    TimeSpan,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TimeBase;

    #[test]
    fn multiples_multiply() {
        type FiftySeconds = unit::Times<2, unit::Times<25, unit::Second>>;
        assert_eq!(FiftySeconds::UNIT, TimeUnit::new(50, TimeBase::Second).unwrap());
        assert_eq!(<unit::Times<1, unit::Generic>>::UNIT, TimeUnit::of(TimeBase::Generic));
    }

    #[test]
    fn not_a_time_is_the_smallest() {
        type Stamp = DateTime<unit::Nanosecond>;
        assert!(Stamp::NOT_A_TIME < Stamp::new(i64::MIN + 1));
        assert_eq!(Stamp::NOT_A_TIME, Stamp::new(i64::MIN));
        assert_eq!(format!("{:?}", Stamp::NOT_A_TIME), "DateTime(not-a-time)");
    }
}
