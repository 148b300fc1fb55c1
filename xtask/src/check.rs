//! `cargo xtask check`: everything that can be said about the code without running it.
//!
//! Steps run in order and none stops the others; the exit code tells whether all passed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::process::Program;
use crate::table::{Align, Table};
use crate::workspace::Workspace;
use crate::{files, header, layering};

/// What is off by default and checked and tested all the same.
pub(crate) const FEATURES: [&str; 2] = ["--features", "shm-core/cli"];

/// Options of `cargo xtask check`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// A check that is done here: a remark when it passes, otherwise what is wrong.
type Inner = fn(&Workspace) -> Result<String, Vec<String>>;

enum Work {
    Program(Program),
    Here(Inner),
}

struct Step {
    name: &'static str,
    work: Work,
}

fn steps() -> Vec<Step> {
    let cargo = |words: &[&str]| Work::Program(Program::cargo(words.iter().copied()));
    let docs = Program::cargo(["doc", "--workspace", "--no-deps"])
        .args(FEATURES)
        .flags("RUSTDOCFLAGS", "-D warnings");
    vec![
        Step { name: "layers", work: Work::Here(layering::check) },
        Step { name: "files", work: Work::Here(files::check) },
        Step { name: "header", work: Work::Here(header::check) },
        Step { name: "format", work: cargo(&["fmt", "--all", "--check"]) },
        Step {
            name: "clippy",
            work: Work::Program(
                Program::cargo(["clippy", "--workspace", "--all-targets", "--locked"])
                    .args(FEATURES)
                    .args(["--", "-D", "warnings"]),
            ),
        },
        Step { name: "rustdoc", work: Work::Program(docs) },
    ]
}

/// Runs all checks and prints a summary.
///
/// # Errors
/// None so far; a check that fails is an exit code.
pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<ExitCode, String> {
    let mut table = Table::new(&[
        ("check", Align::Left),
        ("result", Align::Left),
        ("time", Align::Right),
        ("", Align::Left),
    ]);
    let mut failed = 0;
    for step in steps() {
        let (faults, remark, time) = match step.work {
            Work::Program(program) => {
                println!("==> {}: {}", step.name, program.line());
                let outcome = program.run(false);
                (Vec::from_iter(outcome.fault), String::new(), outcome.time)
            }
            Work::Here(check) => {
                println!("==> {}", step.name);
                let start = Instant::now();
                match check(workspace) {
                    Ok(remark) => (Vec::new(), remark, start.elapsed()),
                    Err(faults) => (faults, String::new(), start.elapsed()),
                }
            }
        };
        faults.iter().for_each(|fault| eprintln!("error: {fault}"));
        failed += usize::from(!faults.is_empty());
        let result = if faults.is_empty() { "ok" } else { "FAILED" };
        table.push(vec![step.name.to_owned(), result.to_owned(), seconds(time), remark]);
    }
    println!("\n{table}");
    if failed == 0 {
        println!("all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{failed} of the checks failed; what they said stands above the table");
    Ok(ExitCode::FAILURE)
}

/// A time for the summary, in seconds.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
