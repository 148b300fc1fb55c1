//! `shm inspect`: everything that is known about one segment. It takes no lock and disturbs nobody.

use crate::{Error, ErrorKind, SegmentName};

use crate::cli::describe::{self, InspectJson, SCHEMA, SCHEMA_HELP};
use crate::cli::failure::Outcome;
use crate::cli::names::segment_parser;
use crate::cli::output::Output;
use crate::cli::source::OTHERS;

const EXAMPLES: &str = "Examples:
  shm inspect table
  shm inspect file://results/run-1.shm
  shm inspect table --json | jq .segment.attached";

/// Tells what is known about a segment, without attaching it
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{SCHEMA_HELP}"))]
pub(crate) struct Args {
    /// The segment
    #[arg(value_name = "NAME", value_parser = segment_parser())]
    name: SegmentName,
    /// Also one that belongs to another user
    #[arg(long)]
    any_owner: bool,
    /// JSON; `shm inspect --help` tells its schema
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Outcome {
    let info = crate::inspect(&args.name)?;
    let me = rustix::process::geteuid().as_raw();
    if !args.any_owner && info.owner_uid != me {
        let reason = format!("it belongs to user {}, and this process runs as user {me}", info.owner_uid);
        return Err(Error::new(ErrorKind::ForeignOwner, "inspect", &args.name, reason).remedy(OTHERS).into());
    }
    if args.json {
        return out.json(&InspectJson { schema: SCHEMA, segment: describe::json(&info) });
    }
    out.table(&describe::facts(&info))?;
    out.line("")?;
    out.table(&describe::entries(&info))
}
