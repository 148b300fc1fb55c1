//! `shm list`: the segments in a directory, one on a line.

use std::path::PathBuf;

use crate::{list, list_in, reap, reap_in};

use crate::cli::describe::{self, COLUMNS, ListJson, SCHEMA, SCHEMA_HELP};
use crate::cli::failure::Outcome;
use crate::cli::output::Output;
use crate::cli::table::Table;

const EXAMPLES: &str = "Examples:
  shm list
  shm list --any-owner
  shm list --dir results             segments on a disk (file://)
  shm list | cut -f1                 in a pipe: no heading, tabs, sizes in bytes
  shm list --json | jq '.segments[].name'

Segments of yours that are dead by their lifetime policy are removed on the way, and shown as such.";

/// Lists segments: size, state, contents, lifetime, mode and creator of each
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{SCHEMA_HELP}"))]
pub(crate) struct Args {
    /// Segments that belong to other users too, as far as they may be read
    #[arg(long)]
    any_owner: bool,
    /// The file:// segments in this directory instead of those in shared memory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// JSON; `shm list --help` tells its schema
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Outcome {
    let (removed, mut found) = match &args.dir {
        None => (reap()?, list()?),
        Some(dir) => (reap_in(dir)?, list_in(dir)?),
    };
    let me = rustix::process::geteuid().as_raw();
    found.retain(|info| args.any_owner || info.owner_uid == me);
    if args.json {
        let segments = found.iter().map(describe::json).collect();
        let removed = removed.iter().map(ToString::to_string).collect();
        return out.json(&ListJson { schema: SCHEMA, segments, removed });
    }
    let mut table = Table::new(&COLUMNS);
    found.iter().for_each(|info| table.push(describe::row(info)));
    removed.iter().for_each(|name| table.push(describe::removed_row(name)));
    if table.is_empty() && out.is_terminal() {
        return out.line("no segments");
    }
    out.table(&table)
}
