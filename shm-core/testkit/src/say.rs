//! Lines that must reach the terminal: straight to descriptor 2, past the capture of the test harness.
//!
//! The `eprint` family would be captured and shown for failing tests only, which hides a skipped test and loses
//! the last words of an aborted one; `std::io::stderr` has a lock that a hanging thread may hold.
#![allow(unsafe_code, reason = "write(2) without the standard library's lock")]

/// Writes `line` and a line feed to standard error; failures are ignored, as there is nowhere to report them.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    // SAFETY: the pointer and the length describe `line`, which lives until the call returns.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}
