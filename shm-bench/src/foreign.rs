//! Programs in other languages that time themselves: how their figures come into the same run and the same table as ours.
//!
//! Such a program is started with a few words, says `ready`, and then answers each line `NAME ROUNDS` on its standard input with the nanoseconds
//! that so many rounds of that operation took it; the end of its input is its end. So criterion chooses the rounds and keeps the statistics, and what
//! the pipe costs is in no figure. `c/bench.c`, `julia/bench.jl` and `python/rows.py` are the other side. Which program runs a language is told by the
//! environment variable `SHM_BENCH_C`, `SHM_BENCH_JULIA` or `SHM_BENCH_PYTHON`, which `cargo xtask bench` sets for what this machine has.

use std::cell::{OnceCell, RefCell};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A program in another language, running.
pub struct Foreign {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    /// The command for a language ("c", "julia", "python"); none if this run has no such program.
    pub fn command(language: &str) -> Option<Command> {
        std::env::var_os(format!("SHM_BENCH_{}", language.to_uppercase())).map(Command::new)
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start or does not say that it is ready; what it said instead is on standard error.
    pub fn start(command: &mut Command) -> Foreign {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = answers.next().and_then(Result::ok);
        assert_eq!(first.as_deref(), Some("ready"), "{command:?} is not ready");
        Foreign { child, answers }
    }

    /// Has it do an operation so many times; returns how long that took it.
    ///
    /// # Panics
    /// If it fails; what it said is on standard error.
    pub fn time(&mut self, operation: &str, rounds: u64) -> Duration {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{operation} {rounds}").expect("the program lives");
        let answer = self.answers.next().and_then(Result::ok).unwrap_or_default();
        match answer.parse() {
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
            Err(_) => panic!("the program for {operation} answered {answer:?}"),
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input is its end
        let _ = self.child.wait();
    }
}

/// One that is started when it is first asked, and only then.
pub struct Later {
    command: RefCell<Command>,
    running: OnceCell<RefCell<Foreign>>,
}

impl Later {
    /// The program of a language with these words, if this run has one.
    pub fn new<W: AsRef<OsStr>>(language: &str, words: impl IntoIterator<Item = W>) -> Option<Later> {
        let mut command = Foreign::command(language)?;
        command.args(words);
        Some(Later { command: RefCell::new(command), running: OnceCell::new() })
    }

    /// As [`Foreign::time`].
    pub fn time(&self, operation: &str, rounds: u64) -> Duration {
        let start = || RefCell::new(Foreign::start(&mut self.command.borrow_mut()));
        self.running.get_or_init(start).borrow_mut().time(operation, rounds)
    }
}
