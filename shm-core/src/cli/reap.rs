//! `shm reap`: removes what dead processes left.

use std::path::PathBuf;

use crate::{reap, reap_in};

use crate::cli::failure::Outcome;
use crate::cli::names::Plain;
use crate::cli::output::Output;

const EXAMPLES: &str = "Examples:
  shm reap
  shm reap --dir results             segments on a disk (file://)

Only segments whose lifetime is over are removed: `last-detach` ones that nobody has attached, `scoped` ones whose owner is gone. The kernel's
locks decide, so nothing that lives is touched. Persistent segments stay until `shm delete`.";

/// Removes your segments that are dead by their lifetime policy, and prints their names
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file:// segments in this directory instead of those in shared memory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Outcome {
    let names = match &args.dir {
        None => reap()?,
        Some(dir) => reap_in(dir)?,
    };
    names.iter().try_for_each(|name| out.line(Plain(name.to_string())))
}
