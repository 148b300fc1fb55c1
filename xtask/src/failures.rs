//! What the failed test programs said, to be repeated below the summary.
//!
//! A run prints thousands of lines and whoever reads it often keeps the last hundred only. Cargo announces each program with a line of its
//! own; between two of these lines stands what one program said, and a program that reports a failure, or ends before its result, is
//! remembered by its last words.

use std::mem;

/// How many lines of one program are repeated.
const LINES: usize = 60;

/// How many programs of one step are repeated.
const PROGRAMS: usize = 8;

/// Reads the lines of a step as they come.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The lines of the program that speaks now, its announcement first.
    current: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Failures {
    /// Takes the next line.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if ["     Running ", "   Doc-tests "].iter().any(|heading| line.starts_with(heading)) {
            self.close(false);
        }
        self.current.push(line.to_owned());
    }

    /// What is to be repeated when the step is over; `fault` says that it did not end well, even if no program says why.
    pub(crate) fn finish(mut self, fault: bool) -> Vec<String> {
        let unexplained = fault && self.found.is_empty();
        self.close(unexplained);
        let more = self.found.len().saturating_sub(PROGRAMS);
        let mut lines: Vec<String> = self.found.into_iter().take(PROGRAMS).flatten().collect();
        if more > 0 {
            lines.push(format!("and {more} more, above"));
        }
        lines
    }

    /// Judges the program that has spoken so far.
    fn close(&mut self, suspected: bool) {
        let lines = mem::take(&mut self.current);
        if suspected || has_failed(&lines) {
            self.found.push(last_words(lines));
        }
    }
}

/// Whether these lines tell of a failure, or of tests that began and have no result.
fn has_failed(lines: &[String]) -> bool {
    let begun =
        |line: &&String| line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test");
    let ended = |line: &&String| line.starts_with("test result: ");
    lines.iter().any(|line| line.starts_with("test result: FAILED"))
        || lines.iter().filter(begun).count() > lines.iter().filter(ended).count()
}

/// The announcement, and what the harness says of the failures; for want of that, the end.
fn last_words(lines: Vec<String>) -> Vec<String> {
    let from = match lines.iter().position(|line| line == "failures:") {
        Some(place) => place,
        None => lines.len().saturating_sub(LINES),
    };
    let heading = lines.first().filter(|_| from > 0).cloned();
    heading.into_iter().chain(lines.into_iter().skip(from).take(LINES)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str, fault: bool) -> String {
        let mut failures = Failures::default();
        lines.lines().for_each(|line| failures.read(line));
        failures.finish(fault).join("\n")
    }

    const GOOD: &str = "     Running tests/good.rs (target/debug/deps/good-1)\n\nrunning 1 test\ntest a ... ok\n\n\
        test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";

    #[test]
    fn good_programs_are_not_repeated() {
        assert_eq!(of(GOOD, false), "");
    }

    #[test]
    fn failures_are_repeated_with_their_program() {
        let bad = "     Running tests/bad.rs (target/debug/deps/bad-1)\n\nrunning 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n\
            ---- b stdout ----\nwhy\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n";
        let said = of(&format!("{GOOD}{bad}{GOOD}"), true);
        let expected = "     Running tests/bad.rs (target/debug/deps/bad-1)\nfailures:\n\n---- b stdout ----\nwhy\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored";
        assert_eq!(said, expected);
    }

    #[test]
    fn programs_without_a_result_are_repeated() {
        let dead =
            "     Running tests/dead.rs (target/debug/deps/dead-1)\n\nrunning 1 test\nthe watchdog barks\n";
        let said = of(&format!("{dead}{GOOD}"), true);
        assert!(said.ends_with("the watchdog barks") && said.contains("tests/dead.rs"), "{said}");
        assert!(!said.contains("good.rs"), "{said}");
    }

    #[test]
    fn steps_that_do_not_build_are_repeated() {
        assert_eq!(of("   Compiling x\nerror: no\n", true), "   Compiling x\nerror: no");
        assert_eq!(of("nothing to do\n", false), "");
    }

    #[test]
    fn long_words_are_cut() {
        let mut many = "running 1 test\n".to_owned();
        (0..500).for_each(|line| many.push_str(&format!("line {line}\n")));
        let said = of(&many, true);
        assert_eq!(said.lines().count(), LINES + 1);
        assert!(said.ends_with("line 499"), "{said}");
        let dead = "     Running x\nrunning 1 test\n";
        assert!(of(&dead.repeat(20), true).ends_with("and 12 more, above"));
    }
}
