//! What a kill test tries and what it reports: points, how many of them, and the counts afterwards.

use std::fmt;

/// A moment in the victim's operation, the last one that a killed victim reaches.
///
/// # Examples
/// ```
/// use shm_testkit::{Coverage, Event, KillTest, kill_zone};
///
/// let mut events = Vec::new();
/// let report = KillTest::new("look")
///     .prepare(|| ())
///     .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
///     .check(|_, point| events.push(point.event))
///     .run(Coverage::All);
/// assert!(report.skipped_reason.is_some() || matches!(events[0], Event::BeforeCall { ordinal: 1, .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// At the entry of a system call: killed here, the call does not take place.
    BeforeCall {
        /// Counts the zone's system calls from 1.
        ordinal: usize,
        /// The call's number on this CPU, as in `libc::SYS_*`.
        number: u64,
    },
    /// At the exit of a system call: killed here, the call has taken effect.
    AfterCall {
        /// Counts the zone's system calls from 1.
        ordinal: usize,
        /// The call's number on this CPU, as in `libc::SYS_*`.
        number: u64,
    },
    /// Right after an instruction that changed announced memory.
    Store {
        /// Counts the stores since the last system call, or since the zone's begin, from 1.
        ordinal: usize,
        /// The number of system calls before it in the zone.
        after_call: usize,
        /// Bytes from the start of the announced range to the first byte that changed.
        offset: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeCall { ordinal, number } => {
                write!(f, "before system call {ordinal} (number {number})")
            }
            Self::AfterCall { ordinal, number } => write!(f, "after system call {ordinal} (number {number})"),
            Self::Store { ordinal, after_call, offset } => {
                write!(f, "after store {ordinal} (to byte {offset}) behind system call {after_call}")
            }
        }
    }
}

/// Where a victim was killed, for the check.
///
/// # Examples
/// ```
/// use shm_testkit::{Coverage, KillTest, kill_zone};
///
/// KillTest::new("look")
///     .prepare(|| ())
///     .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
///     .check(|_, point| assert!(point.number <= point.of, "at {point}"))
///     .run(Coverage::All);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KillPoint {
    /// The position among all points of the operation, from 1.
    pub number: usize,
    /// The number of all points.
    pub of: usize,
    /// What had happened last.
    pub event: Event,
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "point {} of {}, {}", self.number, self.of, self.event)
    }
}

/// How many of an operation's kill points are tried.
///
/// # Examples
/// ```
/// use shm_testkit::{Coverage, KillTest, kill_zone};
///
/// let report = KillTest::new("look")
///     .prepare(|| ())
///     .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
///     .check(|_, _| ())
///     .run(Coverage::Sample(2)); // before the first system call and after the last
/// assert!(report.kills <= 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// Every point.
    All,
    /// This many points, spread evenly, the first and the last always among them; fewer than 2 count as 2.
    Sample(usize),
}

impl Coverage {
    /// The size of the sample in an ordinary run.
    const ORDINARY: usize = 12;

    /// [`All`](Self::All) when the environment has `SHM_TEST_LONG=1` (as `cargo xtask test --long` sets it), a
    /// sample of 12 otherwise.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::Coverage;
    ///
    /// let coverage = Coverage::from_env();
    /// assert!(coverage == Coverage::All || coverage == Coverage::Sample(12));
    /// ```
    #[must_use]
    pub fn from_env() -> Self {
        if std::env::var_os("SHM_TEST_LONG").is_some_and(|value| value == "1") {
            Self::All
        } else {
            Self::Sample(Self::ORDINARY)
        }
    }

    /// The chosen indices below `total`, ascending.
    pub(crate) fn choose(self, total: usize) -> Vec<usize> {
        match self {
            Self::Sample(size) if size.max(2) < total => {
                let gaps = size.max(2) - 1;
                // In u128, since the product of two counts may not fit.
                (0..=gaps).map(|i| (i as u128 * (total - 1) as u128 / gaps as u128) as usize).collect()
            }
            _ => (0..total).collect(),
        }
    }
}

/// What a kill test did.
///
/// # Examples
/// ```
/// use shm_testkit::{Coverage, KillTest, kill_zone};
///
/// let report = KillTest::new("look")
///     .prepare(|| ())
///     .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
///     .check(|_, _| ())
///     .run(Coverage::All);
/// assert_eq!(report.points, 2 * report.calls + report.stores);
/// assert!(report.to_string().starts_with("kill test look"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The test's name.
    pub name: String,
    /// System calls in the zone of an undisturbed victim; each gives two points, before and after.
    pub calls: usize,
    /// Stores to announced memory in the zone of an undisturbed victim; each gives one point.
    pub stores: usize,
    /// All points, of which the coverage chose some.
    pub points: usize,
    /// Victims that were killed and survived by a passed check.
    pub kills: usize,
    /// Victims that ended before their point, because they do not do exactly the same each time.
    pub missed: usize,
    /// Why nothing was tried; `None` when the test ran.
    pub skipped_reason: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, calls, stores, points, kills, missed, skipped_reason } = self;
        if let Some(reason) = skipped_reason {
            return write!(f, "kill test {name} SKIPPED: {reason}");
        }
        write!(f, "kill test {name}: {calls} system calls, {stores} stores, {points} points; ")?;
        write!(f, "{kills} victims killed, {missed} ended before their point")
    }
}

#[cfg(test)]
mod tests {
    use super::Coverage;

    #[test]
    fn a_sample_has_both_ends_and_no_point_twice() {
        for total in 1..200 {
            for size in 0..30 {
                let chosen = Coverage::Sample(size).choose(total);
                assert_eq!(chosen.len(), size.max(2).min(total), "{size} of {total}");
                assert_eq!((chosen[0], chosen[chosen.len() - 1]), (0, total - 1), "{size} of {total}");
                assert!(chosen.is_sorted_by(|a, b| a < b), "{size} of {total}: {chosen:?}");
            }
        }
    }

    #[test]
    fn all_is_all_and_nothing_has_no_points() {
        assert_eq!(Coverage::All.choose(4), [0, 1, 2, 3]);
        assert!(Coverage::All.choose(0).is_empty());
        assert!(Coverage::Sample(12).choose(0).is_empty());
    }
}
