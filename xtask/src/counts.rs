//! How many tests passed, failed and were skipped, read from what the Rust test harness prints.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests; prints as `N passed, N failed, N skipped`, the line that CI reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that say themselves that they are not to run now (`#[ignore]`), and steps that this machine cannot run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Reads a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s`;
    /// nothing for any other line. Tests that a filter left out are not counted.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (_, fields) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let field = |what: &str| {
            fields.split(';').find_map(|field| field.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
        };
        Some(Self { passed: field("passed")?, failed: field("failed")?, skipped: field("ignored")? })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        let line =
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        assert_eq!(Counts::from_line(line), Some(Counts { passed: 3, failed: 0, skipped: 1 }));
        let line = "test result: FAILED. 12 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 7s\n";
        assert_eq!(Counts::from_line(line), Some(Counts { passed: 12, failed: 4, skipped: 0 }));
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "",
            "running 3 tests",
            "test layout::smoke ... ok",
            "test result: ok",
            "test result: ok. many passed; 0 failed; 0 ignored",
            "the test result: ok. 3 passed; 0 failed; 0 ignored",
        ] {
            assert_eq!(Counts::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn sums_print_as_ci_reads_them() {
        let mut sum = Counts::default();
        sum += Counts { passed: 1, failed: 2, skipped: 3 };
        sum += Counts { passed: 10, failed: 0, skipped: 0 };
        assert_eq!(sum.to_string(), "11 passed, 2 failed, 3 skipped");
    }
}
