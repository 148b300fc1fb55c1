//! `shm`: the segments of this machine from the command line. Each subcommand has a file; what they say to programs is in `describe.rs`.
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

use std::process::ExitCode;

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

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; that nobody reads them is none either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(&cli.command) {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Error(error)) => {
            note(error);
            ExitCode::FAILURE
        }
        Err(Failure::Usage(reason)) => {
            note(reason);
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Outcome {
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
