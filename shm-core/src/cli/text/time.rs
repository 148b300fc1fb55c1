//! Points and spans of time as text: ISO 8601 in UTC, with as many digits as the unit has.
//!
//! The calendar is the proleptic Gregorian one, as NumPy's; days are counted in 128 bits, so that no count overflows.

use std::fmt::Write;

use crate::layout::{TimeBase, TimeUnit};

/// Stands for not-a-time.
const NAT: i64 = i64::MIN;
const DAY: i128 = 86_400;

/// Writes a point in time.
pub(crate) fn point(out: &mut String, count: i64, unit: TimeUnit) {
    if count == NAT {
        return out.push_str("NaT");
    }
    let count = i128::from(count) * i128::from(unit.multiplier());
    let _ = match unit.base() {
        TimeBase::Generic => write!(out, "{count}"),
        TimeBase::Year => write!(out, "{:04}", 1970 + count),
        TimeBase::Month => write!(out, "{:04}-{:02}", 1970 + count.div_euclid(12), count.rem_euclid(12) + 1),
        TimeBase::Week => date(out, count * 7),
        TimeBase::Day => date(out, count),
        TimeBase::Hour => {
            date(out, count.div_euclid(24)).and_then(|()| write!(out, "T{:02}", count.rem_euclid(24)))
        }
        TimeBase::Minute => date(out, count.div_euclid(24 * 60)).and_then(|()| {
            let minute = count.rem_euclid(24 * 60);
            write!(out, "T{:02}:{:02}", minute / 60, minute % 60)
        }),
        base => {
            let digits = match base {
                TimeBase::Millisecond => 3,
                TimeBase::Microsecond => 6,
                TimeBase::Nanosecond => 9,
                TimeBase::Picosecond => 12,
                TimeBase::Femtosecond => 15,
                TimeBase::Attosecond => 18,
                _ => 0,
            };
            let whole = 10_i128.pow(digits);
            moment(out, count.div_euclid(whole), count.rem_euclid(whole), digits as usize)
        }
    };
}

/// Writes seconds since 1970 and a fraction of that many digits.
fn moment(out: &mut String, seconds: i128, fraction: i128, digits: usize) -> std::fmt::Result {
    date(out, seconds.div_euclid(DAY))?;
    let second = seconds.rem_euclid(DAY);
    write!(out, "T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
    if digits > 0 { write!(out, ".{fraction:0digits$}") } else { Ok(()) }
}

/// Writes the date of a day, counted from 1970-01-01.
///
/// Years are counted from March here, so that the leap day ends them; 400 of them have 146 097 days.
fn date(out: &mut String, days: i128) -> std::fmt::Result {
    let from_march_of_0 = days + 719_468;
    let (era, day) = (from_march_of_0.div_euclid(146_097), from_march_of_0.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    write!(out, "{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

/// Writes a span of time: a number and its unit.
pub(crate) fn span(out: &mut String, count: i64, unit: TimeUnit) {
    if count == NAT {
        return out.push_str("NaT");
    }
    let count = i128::from(count) * i128::from(unit.multiplier());
    let symbol = if unit.base() == TimeBase::Generic { "" } else { unit.base().symbol() };
    let _ = write!(out, "{count}{symbol}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(count: i64, multiplier: u32, base: TimeBase) -> String {
        let mut text = String::new();
        point(&mut text, count, TimeUnit::new(multiplier, base).unwrap());
        text
    }

    #[test]
    fn points_in_time() {
        use TimeBase::*;
        for (count, multiplier, base, text) in [
            (0, 1, Day, "1970-01-01"),
            (-1, 1, Day, "1969-12-31"),
            (11_016, 1, Day, "2000-02-29"),
            (11_017, 1, Day, "2000-03-01"),
            (-25_510, 1, Day, "1900-02-27"),
            (-25_509, 1, Day, "1900-02-28"),
            (-25_508, 1, Day, "1900-03-01"),
            (2, 1, Week, "1970-01-15"),
            (54, 1, Year, "2024"),
            (649, 1, Month, "2024-02"),
            (-1, 1, Month, "1969-12"),
            (-1, 1, Hour, "1969-12-31T23"),
            (61, 1, Minute, "1970-01-01T01:01"),
            (2, 25, Second, "1970-01-01T00:00:50"),
            (-1, 1, Millisecond, "1969-12-31T23:59:59.999"),
            (1_700_000_000_123_456_789, 1, Nanosecond, "2023-11-14T22:13:20.123456789"),
            (1, 1, Attosecond, "1970-01-01T00:00:00.000000000000000001"),
            (7, 1, Generic, "7"),
            (NAT, 1, Second, "NaT"),
        ] {
            assert_eq!(shown(count, multiplier, base), text);
        }
        // Nothing overflows.
        for base in (0..14).filter_map(TimeBase::from_number) {
            let multiplier = if base == Generic { 1 } else { u32::MAX };
            for count in [i64::MIN + 1, i64::MAX] {
                assert!(!shown(count, multiplier, base).is_empty());
            }
        }
    }

    #[test]
    fn spans_of_time() {
        let mut text = String::new();
        span(&mut text, -3, TimeUnit::new(25, TimeBase::Second).unwrap());
        text.push(' ');
        span(&mut text, 3, TimeUnit::of(TimeBase::Generic));
        text.push(' ');
        span(&mut text, NAT, TimeUnit::of(TimeBase::Day));
        assert_eq!(text, "-75s 3 NaT");
    }
}
