//! The commands of this repository, run as `cargo xtask NAME`: demo, test, check, header, install
//! and bench.
//!
//! This file holds the command line only; each command has a file of its own. What they share is apart: the workspace as
//! Cargo describes it (`workspace`), running a program (`process`), counting test results (`counts`), printing a table (`table`).

#[cfg(not(unix))]
compile_error!("this workspace supports Linux only");

mod bench;
mod check;
mod counts;
mod demo;
mod failures;
mod files;
mod header;
mod install;
mod julia;
mod languages;
mod layering;
mod leftovers;
mod machine;
mod nightly;
mod process;
mod python;
mod reach;
mod table;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Does the main job on real input: an integral over a shared array, a word count, an attach from a second program
    Demo(demo::Args),
    /// Runs all tests; the last line is `N passed, N failed, N skipped`
    Test(test::Args),
    /// Runs format, clippy and rustdoc with warnings as errors, and the checks of layers and files
    Check(check::Args),
    /// Makes shm-ffi/include/shm.h from the sources
    Header(header::Args),
    /// Builds the C library and lays it down with headers, pkg-config file and CMake package
    Install(install::Args),
    /// Runs the benches beside their plain alternatives and says which reach was met
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !cfg!(target_os = "linux") {
        eprintln!("xtask: this workspace supports Linux only");
        return ExitCode::FAILURE;
    }
    let done = workspace::Workspace::load().and_then(|workspace| match cli.command {
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Check(args) => check::run(&workspace, &args),
        Command::Header(args) => header::run(&workspace, &args),
        Command::Install(args) => install::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
    });
    done.unwrap_or_else(|message| {
        eprintln!("xtask: {message}");
        ExitCode::FAILURE
    })
}
