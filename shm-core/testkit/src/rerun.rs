//! Running one test of the current test binary again in a process of its own (as rayon's crash tests do).
//!
//! The new process shares nothing with the caller but the environment: no memory, no descriptors, no fork.

use std::process::{Command, Output};

/// Runs the test called `test` of this test binary in a new process, with `env` added, and returns how it ended.
///
/// `test` is the full name as the harness prints it (`module::name`; just `name` at the top of a file in
/// `tests/`) and is usually marked `#[ignore]`, so that it runs only this way. Blocks until the process has ended;
/// its output is collected, not shown. Whether the test passed is up to the caller: `output.status`.
///
/// # Panics
/// When the process cannot be started, or when the binary has no test of that name: the harness would call
/// running nothing a success.
///
/// # Examples
/// ```no_run
/// // In tests/unrelated.rs, beside `#[test] #[ignore] fn child_attaches() { ... }`:
/// let output = shm_testkit::rerun("child_attaches", &[("SHM_TEST_NAME", "shmtest-1-0-x")]);
/// assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
/// ```
#[must_use]
pub fn rerun(test: &str, env: &[(&str, &str)]) -> Output {
    let output = rerun_command(test, env)
        .output()
        .unwrap_or_else(|error| panic!("cannot run the test {test:?} in a process of its own: {error}"));
    let ran = output.stdout.windows(15).any(|window| window == b"running 1 test\n");
    assert!(ran, "this test binary has no test called {test:?}; write its full name, with modules");
    output
}

/// The command that [`rerun()`] runs, for callers that start, feed or kill the process themselves.
///
/// # Panics
/// When the path of the current test binary is unknown.
///
/// # Examples
/// ```no_run
/// let mut process = shm_testkit::rerun_command("child_attaches", &[]).spawn()?;
/// process.kill()?;
/// process.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn rerun_command(test: &str, env: &[(&str, &str)]) -> Command {
    let binary = std::env::current_exe().expect("the path of the test binary is unknown");
    let mut command = Command::new(binary);
    command
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .envs(env.iter().copied());
    command
}
