//! `cargo xtask test`: every test that there is, as a list of steps, and the line that CI reads at the end.
//!
//! A new kind of test (another language, another checker) is one more entry in [`steps`].

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::check::{FEATURES, seconds};
use crate::counts::Counts;
use crate::julia;
use crate::leftovers::Snapshot;
use crate::nightly;
use crate::process::Program;
use crate::python;
use crate::table::{Align, Table};
use crate::workspace::Workspace;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// All kill points instead of a sample (SHM_TEST_LONG=1), and the run under AddressSanitizer
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only steps whose name begins with TEXT ("python", say)
    #[arg(long, value_name = "TEXT")]
    step: Option<String>,
}

impl Args {
    fn wants(&self, step: &str) -> bool {
        self.step.as_ref().is_none_or(|wanted| step.starts_with(wanted.as_str()))
    }
}

/// The crates with code of their own to test under other builds and checkers.
const LIBRARIES: &[&str] = &["shm-core", "shm-sync", "shm-pool"];

/// Integration tests whose name contains one of these words run in release mode too: the optimiser moves and merges stores, and
/// a race has another width there.
const RELEASE_TOO: &[&str] = &["kill", "crash", "stress", "race", "process", "signals"];

/// Modules of `shm-core` whose unit tests need no system call that Miri lacks.
const PURE: &[&str] =
    &["layout::", "element::", "header::", "contents::", "name::", "array::racy::", "arena::"];

/// One line of the plan.
struct Step {
    name: String,
    /// The program, or why it cannot run here.
    program: Result<Program, String>,
}

/// The plan, in order.
fn steps(workspace: &Workspace, args: &Args) -> Vec<Step> {
    let mut steps = vec![
        Step {
            name: "unit and integration".into(),
            program: Ok(debug(args, &["--lib", "--bins", "--tests", "--examples"])),
        },
        Step { name: "documentation".into(), program: Ok(debug(args, &["--doc"])) },
    ];
    if let Some(program) = release(workspace, args) {
        steps.push(Step { name: "release mode".into(), program: Ok(program) });
    }
    for package in workspace
        .packages
        .iter()
        .filter(|package| package.targets_of("test").any(|test| test.starts_with("loom")))
    {
        steps.push(Step { name: "loom".into(), program: Ok(loom(workspace, args, &package.name)) });
    }
    if let Some(program) = miri(workspace, args) {
        steps.push(Step { name: "miri".into(), program });
    }
    if args.long {
        steps.push(Step { name: "address sanitizer".into(), program: address_sanitizer(workspace, args) });
    }
    steps
}

/// Adds what goes to the test harness: the filter.
fn filtered(program: Program, args: &Args) -> Program {
    match &args.filter {
        Some(filter) => program.args(["--", filter]),
        None => program,
    }
}

/// Adds the wish for all kill points. Not for every step: under a checker that slows the program down they would take hours.
fn long(program: Program, args: &Args) -> Program {
    if args.long { program.env("SHM_TEST_LONG", "1") } else { program }
}

fn debug(args: &Args, what: &[&str]) -> Program {
    let program =
        Program::cargo(["test", "--workspace", "--no-fail-fast"]).args(FEATURES).args(what.iter().copied());
    long(filtered(program, args), args)
}

/// The tests of the languages with each other, as far as they are about Python: at the first step its package was not built yet, or an older one.
fn with_python(args: &Args) -> Program {
    let tests = args.filter.as_deref().unwrap_or("python");
    Program::cargo(["test", "--package", "shm-ffi", "--test", "cross", "--", tests])
}

fn release(workspace: &Workspace, args: &Args) -> Option<Program> {
    let mut program = Program::cargo(["test", "--release", "--no-fail-fast"]);
    let mut tests = Vec::new();
    for package in LIBRARIES.iter().filter_map(|name| workspace.package(name)) {
        let chosen =
            package.targets_of("test").filter(|test| RELEASE_TOO.iter().any(|word| test.contains(word)));
        let before = tests.len();
        tests.extend(chosen.map(str::to_owned));
        if tests.len() > before {
            program = program.args(["--package", &package.name]);
        }
    }
    tests.sort();
    tests.dedup();
    if tests.is_empty() {
        return None;
    }
    let program = program.args(tests.into_iter().flat_map(|test| ["--test".to_owned(), test]));
    Some(long(filtered(program, args), args))
}

fn loom(workspace: &Workspace, args: &Args, package: &str) -> Program {
    let program =
        Program::cargo(["test", "--release", "--no-fail-fast", "--package", package, "--test", "loom*"]);
    let program = program.flags("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target(workspace, "loom"));
    filtered(program, args)
}

/// Nothing when the filter names no pure module: the harness would take it beside ours, not within it.
fn miri(workspace: &Workspace, args: &Args) -> Option<Result<Program, String>> {
    let filters: Vec<&str> = match &args.filter {
        None => PURE.to_vec(),
        Some(filter) if PURE.iter().any(|module| filter.starts_with(module)) => vec![filter],
        Some(_) => return None,
    };
    let words = ["miri", "test", "--no-fail-fast", "--package", "shm-core", "--lib", "--"];
    let program = nightly::cargo()
        .args(words)
        .args(filters)
        .flags("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("CARGO_TARGET_DIR", target(workspace, "miri"));
    Some(nightly::miri().map(|()| program))
}

fn address_sanitizer(workspace: &Workspace, args: &Args) -> Result<Program, String> {
    let host = nightly::host()?;
    // With a target named, build scripts and macros are built without the sanitizer. Leak detection traces the process, which
    // a test that is traced already cannot bear.
    let program = nightly::cargo()
        .args(["test", "--no-fail-fast", "--lib", "--tests", "--target", &host])
        .args(LIBRARIES.iter().flat_map(|name| ["--package", name]))
        .flags("RUSTFLAGS", "-Zsanitizer=address")
        .flags("ASAN_OPTIONS", "detect_leaks=0")
        .env("CARGO_TARGET_DIR", target(workspace, "asan"));
    Ok(filtered(program, args))
}

fn target(workspace: &Workspace, name: &str) -> String {
    workspace.target.join(name).to_string_lossy().into_owned()
}

/// How one step ended, for the summary.
struct Line {
    name: String,
    result: &'static str,
    counts: Counts,
    /// What the programs that failed said.
    failures: Vec<String>,
    time: Duration,
    remark: String,
}

/// Runs the plan, looks for leftovers, repeats what failed, prints a summary and the line that CI reads.
///
/// # Errors
/// None so far; a test that fails is an exit code.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, String> {
    let before = Snapshot::take();
    let planned = steps(workspace, args).into_iter().filter(|step| args.wants(&step.name));
    let mut lines: Vec<Line> = planned.map(|step| run_step(step, &mut io::stdout())).collect();
    if args.wants("python") {
        for (name, program) in python::steps(workspace, args.filter.as_deref()) {
            lines.push(run_step(Step { name, program }, &mut io::stdout()));
        }
        let name = "python and the others".into();
        lines.push(run_step(Step { name, program: Ok(with_python(args)) }, &mut io::stdout()));
    }
    if args.wants("julia") {
        let program = julia::tests(workspace, args.filter.as_deref());
        lines.push(run_step(Step { name: "julia".into(), program }, &mut io::stdout()));
    }
    lines.push(leftovers(&before.news()));

    let mut table = Table::new(&[
        ("step", Align::Left),
        ("result", Align::Left),
        ("passed", Align::Right),
        ("failed", Align::Right),
        ("skipped", Align::Right),
        ("time", Align::Right),
        ("", Align::Left),
    ]);
    let mut sum = Counts::default();
    for line in &lines {
        for (place, said) in line.failures.iter().enumerate() {
            if place == 0 {
                println!("\n==> {} failed, from above:", line.name);
            }
            println!("{said}");
        }
    }
    for line in lines {
        sum += line.counts;
        let Counts { passed, failed, skipped } = line.counts;
        table.push(vec![
            line.name,
            line.result.to_owned(),
            passed.to_string(),
            failed.to_string(),
            skipped.to_string(),
            seconds(line.time),
            line.remark,
        ]);
    }
    println!("\n{table}");
    let code = if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if sum.failed == 0 && sum.passed == 0 {
        println!("no test ran: does the filter fit any name?");
    }
    println!("{sum}");
    Ok(code)
}

/// Runs one step. A step that fails without a failed test (it did not build, or its harness was killed) counts as one failed,
/// one that cannot run here as one skipped: the last line must not say more than is known.
fn run_step(step: Step, out: &mut dyn Write) -> Line {
    let name = step.name;
    match step.program {
        Err(why) => {
            announce(out, &format!("{name}: skipped. {why}"));
            Line {
                name,
                result: "skipped",
                counts: Counts { skipped: 1, ..Counts::default() },
                failures: Vec::new(),
                time: Duration::ZERO,
                remark: why,
            }
        }
        Ok(program) => {
            announce(out, &format!("{name}: {}", program.line()));
            let outcome = program.run_counting(out);
            let mut counts = outcome.counts;
            let result = if outcome.fault.is_none() && counts.failed == 0 { "ok" } else { "FAILED" };
            if outcome.fault.is_some() {
                counts.failed = counts.failed.max(1);
            }
            let remark = match outcome.fault {
                Some(fault) => fault,
                None if counts == Counts::default() => "no test ran".to_owned(),
                None => String::new(),
            };
            Line { name, result, counts, failures: outcome.failures, time: outcome.time, remark }
        }
    }
}

/// Says which step comes now. A reader that has gone away must not end the tests: the exit code still tells.
fn announce(out: &mut dyn Write, what: &str) {
    let _ = writeln!(out, "==> {what}").and_then(|()| out.flush());
}

/// Judges what has stayed in `/dev/shm`.
fn leftovers(names: &[String]) -> Line {
    let failed = names.len() as u64;
    for name in names {
        println!("left behind: /dev/shm/{name}");
    }
    Line {
        name: "nothing left behind".into(),
        result: if failed == 0 { "ok" } else { "FAILED" },
        counts: Counts { failed, ..Counts::default() },
        failures: Vec::new(),
        time: Duration::ZERO,
        remark: if failed == 0 { String::new() } else { format!("/dev/shm: {}", names.join(", ")) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Package, Target};

    fn workspace(packages: &[(&str, &[&str])]) -> Workspace {
        let target = |name: &&str| Target { kind: "test".to_owned(), name: (*name).to_owned() };
        let package = |(name, tests): &(&str, &[&str])| Package {
            name: (*name).to_owned(),
            version: String::new(),
            targets: tests.iter().map(target).collect(),
            dependencies: Vec::new(),
        };
        Workspace { root: "/r".into(), target: "/t".into(), packages: packages.iter().map(package).collect() }
    }

    fn args(long: bool, filter: Option<&str>) -> Args {
        Args { long, filter: filter.map(str::to_owned), step: None }
    }

    #[test]
    fn release_mode_runs_what_can_race() {
        let all = workspace(&[
            ("shm-core", &["kill_create", "arrays"]),
            ("shm-sync", &["arrays"]),
            ("shm-pool", &["stress"]),
            ("shm-bench", &["stress"]),
        ]);
        let line = release(&all, &args(false, None)).unwrap().line();
        assert_eq!(
            line,
            "cargo test --release --no-fail-fast --package shm-core --package shm-pool --test kill_create --test stress"
        );
        assert!(release(&workspace(&[("shm-core", &["arrays"])]), &args(false, None)).is_none());
    }

    #[test]
    fn long_and_filter_reach_the_tests() {
        let line = debug(&args(true, Some("smoke")), &["--doc"]).line();
        assert_eq!(
            line,
            "SHM_TEST_LONG=1 cargo test --workspace --no-fail-fast --features shm-core/cli --doc -- smoke"
        );
        assert_eq!(
            debug(&args(false, None), &["--doc"]).line(),
            "cargo test --workspace --no-fail-fast --features shm-core/cli --doc"
        );
    }

    #[test]
    fn loom_builds_apart() {
        let line = loom(&workspace(&[]), &args(false, None), "shm-sync").line();
        assert!(line.contains("--cfg loom"), "{line}");
        assert!(line.contains("CARGO_TARGET_DIR=/t/loom cargo test --release"), "{line}");
    }

    #[test]
    fn miri_keeps_to_pure_modules() {
        assert!(miri(&workspace(&[]), &args(false, Some("smoke"))).is_none());
    }

    #[test]
    fn broken_step_counts_as_failed() {
        let line = run_step(Step { name: "x".into(), program: Ok(Program::new("false")) }, &mut io::sink());
        assert_eq!((line.result, line.counts.failed), ("FAILED", 1));
        let line = run_step(Step { name: "x".into(), program: Ok(Program::new("true")) }, &mut io::sink());
        assert_eq!((line.result, line.counts), ("ok", Counts::default()));
        let line =
            run_step(Step { name: "x".into(), program: Err("no such thing".to_owned()) }, &mut io::sink());
        assert_eq!((line.result, line.counts.skipped), ("skipped", 1));
    }

    #[test]
    fn failed_test_is_not_counted_twice() {
        let script = "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured'; exit 101";
        let line = run_step(
            Step { name: "x".into(), program: Ok(Program::new("sh").args(["-c", script])) },
            &mut io::sink(),
        );
        assert_eq!(line.counts, Counts { passed: 1, failed: 2, skipped: 0 });
    }

    #[test]
    fn leftovers_fail() {
        assert_eq!(leftovers(&[]).counts.failed, 0);
        let line = leftovers(&["a".to_owned(), "b".to_owned()]);
        assert_eq!((line.counts.failed, line.result), (2, "FAILED"));
    }
}
