//! A program to run, as data, and three ways to run it: counting test results, quietly, and in the foreground.
//!
//! What is printed passes through as it comes, so that a long step can be watched.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::failures::Failures;
use crate::workspace;

/// How long a step's output may stay open after the step itself has ended, before a forgotten child is suspected.
const GRACE: Duration = Duration::from_secs(10);

/// A command line with what it adds to the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    words: Vec<String>,
    env: Vec<(String, String)>,
}

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Nothing when all went well, otherwise a sentence.
    pub(crate) fault: Option<String>,
    /// The sum of the test results that it printed.
    pub(crate) counts: Counts,
    /// What the test programs that failed said.
    pub(crate) failures: Vec<String>,
    pub(crate) time: Duration,
}

impl Program {
    /// The program `name` without arguments.
    pub(crate) fn new(name: &str) -> Self {
        Self { words: vec![name.to_owned()], env: Vec::new() }
    }

    /// The Cargo that started us, with these arguments.
    pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(&workspace::cargo()).args(arguments)
    }

    /// Adds arguments.
    pub(crate) fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Adds words to a variable of the environment that holds flags, behind those that the user has set.
    pub(crate) fn flags(self, name: &str, flags: &str) -> Self {
        let value = match std::env::var(name) {
            Ok(already) if !already.trim().is_empty() => format!("{already} {flags}"),
            _ => flags.to_owned(),
        };
        self.env(name, value)
    }

    /// The command line for people: variables first, Cargo by its short name.
    pub(crate) fn line(&self) -> String {
        let quote = |word: &str| {
            if word.contains([' ', '*', '|', '^', '$']) { format!("'{word}'") } else { word.to_owned() }
        };
        let variables = self.env.iter().map(|(name, value)| format!("{name}={}", quote(value)));
        let words = self.words.iter().enumerate().map(|(place, word)| {
            if place == 0 && *word == workspace::cargo() { "cargo".to_owned() } else { quote(word) }
        });
        variables.chain(words).collect::<Vec<_>>().join(" ")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end, passes what it prints and what it complains of on to `out`, in the order of both, adds up the test results and keeps
    /// the words of those that failed.
    ///
    /// A child that was left behind and holds the output open is a fault too: after a grace period the step ends without it.
    pub(crate) fn run_counting(&self, out: &mut dyn Write) -> Outcome {
        let start = Instant::now();
        let mut counts = Counts::default();
        let mut failures = Failures::default();
        let read = |line: &str| {
            counts += Counts::from_line(line).unwrap_or_default();
            failures.read(line);
        };
        let fault = self.pass_lines(out, read, GRACE).err();
        let failures = failures.finish(fault.is_some());
        Outcome { fault, counts, failures, time: start.elapsed() }
    }

    fn pass_lines(
        &self,
        out: &mut dyn Write,
        mut read: impl FnMut(&str),
        grace: Duration,
    ) -> Result<(), String> {
        let no_pipe = |error| format!("no pipe for its output: {error}");
        let (output, input) = io::pipe().map_err(no_pipe)?;
        let mut command = self.command();
        command.stdout(input.try_clone().map_err(no_pipe)?).stderr(input);
        let mut child = command.spawn().map_err(|error| self.not_run(&error))?;
        // It holds our ends of the pipe, which must close for the output to end.
        drop(command);
        let (lines, received) = mpsc::channel();
        // Not joined: when a forgotten child holds the pipe open, this thread ends with our process.
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
                if lines.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });

        let mut ended: Option<(ExitStatus, Instant)> = None;
        loop {
            match received.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    // A reader that has gone away must not end the tests: the exit code still tells.
                    let _ = out.write_all(&line).and_then(|()| out.flush());
                    read(&String::from_utf8_lossy(&line));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if ended.is_none() {
                let status = child.try_wait().map_err(|error| format!("cannot wait for it: {error}"))?;
                ended = status.map(|status| (status, Instant::now()));
            }
            if let Some((_, when)) = ended
                && when.elapsed() > grace
            {
                return Err("it left a process behind that holds its output open (see `ps`)".to_owned());
            }
        }
        let status = match ended {
            Some((status, _)) => status,
            None => child.wait().map_err(|error| format!("cannot wait for it: {error}"))?,
        };
        judge(status)
    }

    /// Runs to the end with our own output streams; `to_stderr` sends its standard output there.
    pub(crate) fn run(&self, to_stderr: bool) -> Outcome {
        let start = Instant::now();
        let mut command = self.command();
        let status = (|| {
            if to_stderr {
                command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
            }
            command.status()
        })();
        let fault = status.map_err(|error| self.not_run(&error)).and_then(judge).err();
        Outcome { fault, counts: Counts::default(), failures: Vec::new(), time: start.elapsed() }
    }

    /// Runs to the end without a word.
    ///
    /// # Errors
    /// When it does not start or fails, with the last line that it said.
    pub(crate) fn probe(&self) -> Result<String, String> {
        let output = self.command().output().map_err(|error| self.not_run(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").trim().to_owned())
    }

    /// Runs in the foreground, our standard input included, and returns how it ended.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn foreground(&self) -> Result<ExitStatus, String> {
        self.command().stdin(Stdio::inherit()).status().map_err(|error| self.not_run(&error))
    }

    fn not_run(&self, error: &io::Error) -> String {
        format!("cannot run `{}`: {error}", self.words[0])
    }
}

fn judge(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("sh").args(["-c", script])
    }

    #[test]
    fn results_are_added_up() {
        let result = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let outcome =
            shell(&format!("echo '{result}'; echo other; printf '{result}'")).run_counting(&mut io::sink());
        assert_eq!(outcome.fault, None);
        assert_eq!(outcome.counts, Counts { passed: 4, failed: 0, skipped: 2 });
    }

    #[test]
    fn exit_codes_and_signals_are_faults() {
        assert_eq!(shell("exit 3").run_counting(&mut io::sink()).fault.unwrap(), "ended with exit status: 3");
        let fault = shell("kill -9 $$").run_counting(&mut io::sink()).fault.unwrap();
        assert!(fault.contains("signal: 9"), "{fault}");
        let fault = Program::new("no-such-program-here").run_counting(&mut io::sink()).fault.unwrap();
        assert!(fault.starts_with("cannot run `no-such-program-here`"), "{fault}");
    }

    #[test]
    fn forgotten_child_is_a_fault() {
        // The child ends by itself soon after.
        let step = shell("sleep 3 & exit 0");
        let fault = step.pass_lines(&mut io::sink(), |_| {}, Duration::ZERO).unwrap_err();
        assert!(fault.contains("left a process behind"), "{fault}");
    }

    #[test]
    fn environment_is_set() {
        let program = shell("test \"$SHM_XTASK_SAMPLE\" = yes").env("SHM_XTASK_SAMPLE", "yes");
        assert_eq!(program.run(false).fault, None);
        assert!(program.line().starts_with("SHM_XTASK_SAMPLE=yes sh -c "));
    }

    #[test]
    fn probe_returns_output_or_last_words() {
        assert_eq!(shell("echo found").probe(), Ok("found\n".to_owned()));
        assert_eq!(shell("echo why >&2; echo >&2; exit 1").probe(), Err("why".to_owned()));
    }
}
