//! `shm dump`: the elements of an array, as text or as a .npy file. The owner notices nothing but one more attachment that only reads.

use std::path::PathBuf;

use crate::SegmentName;

use crate::cli::copy::{npy_header, to_file};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::names::segment_parser;
use crate::cli::output::Output;
use crate::cli::source::{Source, Which};
use crate::cli::stream::{Order, best_order};
use crate::cli::text::Text;

const EXAMPLES: &str = "Examples:
  shm dump table                     text: a row on a line, blanks between values
  shm dump table --npy > table.npy
  shm dump table -o table.npy        the file appears when it is complete
  shm dump mixed --entry u           an array among several things

What somebody writes meanwhile appears as a mixture of old and new. Long doubles are rounded to 64 bits in text.";

/// Prints the elements of an array, or writes them as .npy
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The segment
    #[arg(value_name = "NAME", value_parser = segment_parser())]
    name: SegmentName,
    #[command(flatten)]
    which: Which,
    /// .npy to standard output instead of text
    #[arg(long, conflicts_with = "output")]
    npy: bool,
    /// .npy to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    force: bool,
    /// Write elements that NumPy has no type for (bfloat16, overlapping fields, ...) as opaque bytes
    #[arg(long)]
    opaque: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Outcome {
    if args.opaque && !args.npy && args.output.is_none() {
        return Err(Failure::Usage("--opaque is for .npy: use it with --npy or --output"));
    }
    if args.npy && out.is_terminal() {
        return Err(Failure::Usage(
            ".npy is nothing for a terminal: send it into a file or a pipe, or use --output FILE",
        ));
    }
    let source = Source::attach(&args.name, &args.which)?;
    if let Some(path) = &args.output {
        return to_file(&args.name, &source, path, args.force, args.opaque);
    }
    if args.npy {
        out.bytes(&npy_header(&args.name, source.layout(), args.opaque)?)?;
        return source.elements(best_order(source.layout()), &mut |piece| out.bytes(piece));
    }
    let mut text = Text::new(source.layout());
    source.elements(Order::C, &mut |piece| text.push(piece, &mut |text| out.bytes(text)))?;
    text.finish(&mut |text| out.bytes(text))
}
