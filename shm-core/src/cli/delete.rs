//! `shm delete`: frees names. All are tried, whatever becomes of the first.

use crate::SegmentName;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::names::segment_parser;
use crate::cli::output::note;

const EXAMPLES: &str = "Examples:
  shm delete table
  shm delete one two shm://-three
  shm list | cut -f1 | xargs -d '\\n' shm delete

Those who have a segment attached keep it until they detach. Only your own segments are deleted, and nothing that is no segment.";

/// Deletes segments: their names are free at once
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The segments
    #[arg(value_name = "NAME", required = true, value_parser = segment_parser())]
    names: Vec<SegmentName>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let failures = args.names.iter().filter_map(|name| crate::delete(name).err());
    // Each is said as it comes.
    match failures.map(note).count() {
        0 => Ok(()),
        _ => Err(Failure::Said),
    }
}
