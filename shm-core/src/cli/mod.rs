//! The command-line tool `shm`: the segments of this machine, for people and scripts. [`run`] is the whole of it, for programs that have it inside them.
//!
//! Each subcommand has a file; what they say to programs is in `describe.rs`.
//!
//! | file | idea |
//! |---|---|
//! | `list.rs`, `inspect.rs`, `dump.rs`, `copy.rs`, `delete.rs`, `reap.rs` | the subcommands |
//! | `names.rs`, `source.rs` | what the words of a command line mean |
//! | `describe.rs`, `table.rs`, `output.rs` | how segments are shown: JSON, tables, pipes |
//! | `stream.rs`, `text/`, `npy/` | elements as bytes, as text, as NumPy's files |
//! | `new_file.rs`, `signals.rs` | nothing half-made stays behind |
//! | `failure.rs` | how it ends otherwise |

mod copy;
mod delete;
mod describe;
mod dump;
mod failure;
mod inspect;
mod list;
mod names;
mod new_file;
mod npy;
mod output;
mod reap;
mod signals;
mod source;
mod stream;
mod table;
mod text;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use failure::{Failure, Outcome};
use output::{Output, note};

const EXIT_CODES: &str = "Exit codes: 0 done (also when whoever reads the output has gone), 1 failed (the reason is on standard error; what could not be done as a whole was not done), 2 the command line is wrong.";

const EXAMPLES: &str = "Examples:
  shm list                           what there is
  shm inspect table                  what is known about shm://table
  shm dump table | head              its elements as text
  shm copy table table.npy           to NumPy, and
  shm copy table.npy shm://again     back
  shm delete table again

A NAME is shm://NAME (or NAME alone), or file://PATH for a segment on a disk. Names that begin with a dash follow `--` or have their prefix:
shm delete -- -odd, shm delete shm://-odd.";

/// Looks at, copies and removes the shared-memory segments of this library.
#[derive(Parser)]
#[command(name = "shm", version = VERSION, after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (segment format 1)");

#[derive(Subcommand)]
enum Command {
    List(list::Args),
    Inspect(inspect::Args),
    Dump(dump::Args),
    Copy(copy::Args),
    Delete(delete::Args),
    Reap(reap::Args),
}

/// Runs the tool with the words of a command line, and returns its exit code: 0 done, 1 failed, 2 the command line is wrong.
///
/// The first word is what the tool was called by; the help shows it. Output goes to this process's standard output, reasons of failures to its
/// standard error. It is meant for programs that do nothing else, such as the `shm` of this crate and Python's `python -m shm`: while a copy
/// replaces something, SIGINT, SIGTERM and SIGHUP wait for it, for which their handlers are replaced, and later they end the program. It blocks as
/// long as who reads its output does.
///
/// ```
/// let name = format!("doc-cli-{}", std::process::id());
/// shm_core::SharedArray::<u8, _>::zeros(&name, 3)?;
/// assert_eq!(shm_core::cli::run(["shm", "dump", &name]), 0);
/// assert_eq!(shm_core::cli::run(["shm", "delete", &name]), 0);
/// assert_eq!(shm_core::cli::run(["shm", "delete", &name]), 1);
/// assert_eq!(shm_core::cli::run(["shm", "pile"]), 2);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub fn run<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> u8 {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; that nobody reads them is none either.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match run_command(&cli.command) {
        Ok(()) | Err(Failure::NobodyReads) => 0,
        Err(Failure::Said) => 1,
        Err(Failure::Error(error)) => {
            note(error);
            1
        }
        Err(Failure::Usage(reason)) => {
            note(reason);
            2
        }
    }
}

fn run_command(command: &Command) -> Outcome {
    let mut out = Output::new();
    let done = match command {
        Command::List(args) => list::run(args, &mut out),
        Command::Inspect(args) => inspect::run(args, &mut out),
        Command::Dump(args) => dump::run(args, &mut out),
        Command::Copy(args) => copy::run(args),
        Command::Delete(args) => delete::run(args),
        Command::Reap(args) => reap::run(args, &mut out),
    };
    // What was said before a failure is said all the same.
    let said = out.finish();
    done.and(said)
}
