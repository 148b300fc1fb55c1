//! Starts one program for each language, speaks to them line by line, and ends them.
//!
//! A program keeps what it has open under the name it was given. The words of a line, and what the answer is (`= ANSWER`, or `! WHY NOT`):
//!
//! | line | does |
//! |---|---|
//! | `create NAME TYPE ORDER SHAPE SALT` | a new array with the values of this salt |
//! | `check NAME TYPE ORDER SHAPE SALT` | attaches if it has not yet; compares type, shape, strides and every value |
//! | `write NAME TYPE SALT` | all values anew |
//! | `make KIND NAME [PARTIES]` | a new `mutex` (of the thread), `process-mutex` or `barrier` |
//! | `hold KIND NAME`, `release KIND NAME` | takes a lock and keeps it; gives it up |
//! | `lock KIND NAME`, `try KIND NAME` | takes it and gives it up: `free`, `owner-died` (recovered), `busy` (`try` only) |
//! | `wait NAME` | waits at a barrier |
//! | `close NAME` | gives an array or a barrier back |
//!
//! Shapes are `3x4x5`. The element at `place`, counted with the last index fastest whatever the order of the memory, is made of
//! `n = (7 * place + 13 * salt) mod 101 + 3`: u8 `n`, i32 `(n - 50) * 1000003`, i64 `(n - 50) * 1000000000000037`, floats `(n - 50) / 7`,
//! complex `(n - 50) / 7 + (n / 11)i`.
#![allow(unsafe_code, reason = "atexit")]

use crate::support::{HOME, Scratch, compile, library};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

/// The languages, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Language {
    Rust,
    C,
    Julia,
    Python,
}

pub(crate) const LANGUAGES: [Language; 4] = [Language::Rust, Language::C, Language::Julia, Language::Python];

/// A running program.
pub(crate) struct Program {
    language: Language,
    process: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    /// Starts one, or says what is missing for it.
    pub(crate) fn start(language: Language) -> Result<Program, String> {
        let mut command = command(language)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let lines = process.stdin.take().expect("it was asked for");
        let answers = BufReader::new(process.stdout.take().expect("it was asked for"));
        Ok(Program { language, process, lines, answers })
    }

    /// Sends a line, for the answer to be asked for later.
    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.lines, "{line}")
            .unwrap_or_else(|error| panic!("{:?} takes no {line:?}: {error}", self.language));
    }

    /// The answer to the oldest line that has none yet.
    pub(crate) fn answer(&mut self, line: &str) -> String {
        loop {
            let mut text = String::new();
            let read = self.answers.read_line(&mut text);
            assert!(matches!(read, Ok(1..)), "{:?} ended at {line:?}: {read:?}", self.language);
            match (text.strip_prefix("= "), text.strip_prefix("! ")) {
                (Some(answer), _) => return answer.trim().to_owned(),
                (_, Some(why)) => panic!("{:?} could not {line:?}: {}", self.language, why.trim()),
                // What the test harness says around Rust's program.
                _ => {}
            }
        }
    }

    /// Sends a line and waits for its answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer(line)
    }

    /// Kills it where it is, and reaps it.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it is our child");
        let status = self.process.wait().expect("it is our child");
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(
            signal,
            Some(9),
            "{:?} ended in another way before it was killed: {status}",
            self.language
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After `kill` there is nobody any more, and both do nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The programs that serve all tests, one for each language: a Julia takes seconds to start.
pub(crate) struct Programs(MutexGuard<'static, [Option<Program>; 4]>);

static PROGRAMS: Mutex<[Option<Program>; 4]> = Mutex::new([const { None }; 4]);

impl Programs {
    /// All of them, for one test at a time.
    pub(crate) fn all() -> Programs {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // SAFETY: the function stays where it is as long as the program runs, and does not unwind into the C library: ending a
            // child does not panic.
            assert_eq!(unsafe { libc::atexit(end_programs) }, 0, "cannot register what ends the programs");
        });
        Programs(PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts the one of this language if it does not run yet.
    ///
    /// # Errors
    /// What is missing for it here.
    pub(crate) fn start(&mut self, language: Language) -> Result<(), String> {
        let place = &mut self.0[language as usize];
        if place.is_none() {
            *place = Some(Program::start(language)?);
        }
        Ok(())
    }

    /// The one of this language, which runs.
    pub(crate) fn of(&mut self, language: Language) -> &mut Program {
        self.0[language as usize].as_mut().expect("the test has started it")
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody knows what they are at: the next test gets new ones.
            *self.0 = [const { None }; 4];
        }
    }
}

/// No test runs any more.
extern "C" fn end_programs() {
    *PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner) = [const { None }; 4];
}

/// What starts the program of a language, or what is missing for it.
fn command(language: Language) -> Result<Command, String> {
    let source = |name: &str| Path::new(HOME).join("tests/cross").join(name);
    Ok(match language {
        Language::Rust => shm_testkit::rerun_command("rust_program", &[("SHM_TEST_CROSS", "1")]),
        Language::C => {
            static FOLDER: OnceLock<PathBuf> = OnceLock::new();
            Command::new(FOLDER.get_or_init(c_program))
        }
        Language::Julia => {
            static USABLE: OnceLock<bool> = OnceLock::new();
            if !*USABLE.get_or_init(julia_works) {
                return Err("there is no julia here, 1.5 or newer, that works".to_owned());
            }
            let mut command = julia();
            command.arg(format!("--project={}", Path::new(HOME).join("julia").display()));
            command.arg(source("program.jl")).env("SHM_LIBRARY", library());
            command
        }
        Language::Python => {
            static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
            let missing =
                "no environment in target/python has the package; `cargo xtask test --step python` makes one";
            let mut command = Command::new(PYTHON.get_or_init(python).as_ref().ok_or(missing)?);
            command.arg("-I").arg("-B").arg(source("program.py"));
            command
        }
    })
}

/// Compiles C's program.
fn c_program() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cross-program");
    // Under its own name only when it is complete; the one of an earlier run is replaced.
    let folder = Scratch::new("cross");
    let built = folder.path.join("program");
    compile(
        "cc",
        &["-std=c99", "-D_GNU_SOURCE", "-O1"],
        &Path::new(HOME).join("tests/cross/program.c"),
        &built,
    );
    std::fs::rename(&built, &place).unwrap_or_else(|error| panic!("cannot move C's program: {error}"));
    place
}

/// Cargo's target folder.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder in the target folder")
}

fn julia() -> Command {
    let mut command = Command::new("julia");
    command.args(["--startup-file=no", "--color=no"]).env("JULIA_DEPOT_PATH", target().join("julia"));
    command
}

/// Whether there is a Julia that is recent enough and survives an exception.
fn julia_works() -> bool {
    const QUESTION: &str = "VERSION >= v\"1.5\" || exit(1); try error() catch end; print(\"works\")";
    let answer = julia().args(["-e", QUESTION]).stdin(Stdio::null()).output();
    answer.is_ok_and(|answer| answer.status.success() && answer.stdout == b"works")
}

/// The newest interpreter of the environments that the package's own tests have made, with the package in it.
fn python() -> Option<PathBuf> {
    let version = |folder: &Path| -> Option<(u32, u32)> {
        let (major, minor) = folder.file_name()?.to_str()?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let folders = std::fs::read_dir(target().join("python")).ok()?;
    let mut found: Vec<_> = folders
        .flatten()
        .filter_map(|folder| Some((version(&folder.path())?, folder.path().join("bin/python"))))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, python)| python).find(|python| {
        let answer =
            Command::new(python).args(["-I", "-B", "-c", "import shm"]).stdin(Stdio::null()).output();
        answer.is_ok_and(|answer| answer.status.success())
    })
}
