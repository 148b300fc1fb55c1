//! `shm copy`: arrays between segments and .npy files. What is copied appears under its name when it is complete, and in failure nothing does.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::layout::ArrayLayout;
use crate::{AnyArray, Error, ErrorKind, Result, SegmentName, SegmentOptions};

use crate::cli::failure::{Failure, Outcome, system};
use crate::cli::names::{Place, place_parser};
use crate::cli::new_file::NewFile;
use crate::cli::npy::{self, ReadError};
use crate::cli::output::note;
use crate::cli::signals::Deferred;
use crate::cli::source::{Source, Which};
use crate::cli::stream::{Order, best_order};

/// What is read from a file at once.
const PIECE: usize = 1 << 20;

const EXAMPLES: &str = "Examples:
  shm copy shm://x x.npy
  shm copy x.npy shm://x --force     replaces shm://x; those who have the old one attached keep it
  shm copy x.npy file://x.shm        a segment on a disk
  shm copy shm://x shm://y           C or Fortran order is kept, gaps between elements are not
  shm copy shm://mixed u.npy --entry u

FROM and TO are segments (NAME, shm://NAME, file://PATH) or .npy files: what ends in .npy or has a / in it, without a prefix.

A .npy file cannot say everything. NumPy has no bfloat16; a record's fields may not overlap, and come in the order of their offsets; a long double
is one of this kind of machine. Such elements are an error, unless --opaque writes them as opaque bytes (|V2 for a bfloat16, as NumPy with
ml_dtypes does: a.view(ml_dtypes.bfloat16) reads it, and --bf16 brings it back here).";

/// Copies an array: from a segment to a .npy file, from a .npy file to a new segment, or from segment to segment
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// A segment or a .npy file
    #[arg(value_parser = place_parser())]
    from: Place,
    /// The new segment or .npy file
    #[arg(value_parser = place_parser())]
    to: Place,
    #[command(flatten)]
    which: Which,
    /// Replace what has the name already
    #[arg(long)]
    force: bool,
    /// Permissions of a new segment, in octal
    #[arg(long, default_value = "600", value_parser = octal)]
    mode: u32,
    /// Write elements that NumPy has no type for (bfloat16, overlapping fields, ...) as opaque bytes
    #[arg(long)]
    opaque: bool,
    /// Take opaque elements of two bytes (|V2) in a .npy file for bfloat16
    #[arg(long)]
    bf16: bool,
}

fn octal(text: &str) -> std::result::Result<u32, String> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && mode & !0o777 == 0);
    mode.filter(|mode| mode & 0o600 == 0o600)
        .ok_or_else(|| "a mode is octal, as 600 or 640, and its owner may read and write".to_owned())
}

pub(crate) fn run(args: &Args) -> Outcome {
    let from_file = matches!(args.from, Place::Npy(_));
    if from_file && (args.which.entry.is_some() || args.which.any_owner) {
        return Err(Failure::Usage("--entry and --any-owner are for copies from a segment"));
    }
    if !from_file && args.bf16 {
        return Err(Failure::Usage("--bf16 is for copies from a .npy file"));
    }
    if args.opaque && (from_file || matches!(args.to, Place::Segment(_))) {
        return Err(Failure::Usage("--opaque is for copies to a .npy file"));
    }
    match (&args.from, &args.to) {
        (Place::Npy(_), Place::Npy(_)) => Err(Failure::Usage(
            "both are files: one has to be a segment (shm://NAME or file://PATH); files are copied by cp",
        )),
        (Place::Segment(from), Place::Npy(to)) => {
            let source = Source::attach(from, &args.which)?;
            to_file(from, &source, to, args.force, args.opaque)
        }
        (Place::Npy(from), Place::Segment(to)) => {
            let mut file = NpyFile::open(from, args.bf16)?;
            let layout = file.layout.clone();
            new_segment(args, to, &layout, |bytes| file.read(bytes))
        }
        (Place::Segment(from), Place::Segment(to)) => {
            let source = Source::attach(from, &args.which)?;
            let order = best_order(source.layout());
            let layout = packed(source.layout(), order)?;
            new_segment(args, to, &layout, |bytes| {
                let mut rest = bytes;
                let copied = source.elements(order, &mut |piece| {
                    // The stream has as many bytes as the packed layout.
                    let (now, later) = std::mem::take(&mut rest).split_at_mut(piece.len());
                    now.copy_from_slice(piece);
                    rest = later;
                    Ok(())
                });
                match copied {
                    Err(Failure::Error(error)) => Err(error),
                    _ => Ok(()),
                }
            })
        }
    }
}

/// The same elements without gaps.
fn packed(layout: &ArrayLayout, order: Order) -> Result<ArrayLayout> {
    let element = layout.element().clone();
    Ok(match order {
        Order::C => ArrayLayout::c_order(element, layout.shape())?,
        Order::Fortran => ArrayLayout::f_order(element, layout.shape())?,
    })
}

/// Creates a segment with an array whose bytes `fill` writes.
fn new_segment(
    args: &Args,
    name: &SegmentName,
    layout: &ArrayLayout,
    fill: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Outcome {
    let place = SegmentOptions::new().mode(args.mode).replace(args.force).named(name)?;
    // Between the end of the old segment and the name of the new one no signal shall end this.
    let mut deferred = None;
    AnyArray::create_with(place, layout, |bytes| {
        fill(bytes)?;
        deferred = args.force.then(Deferred::begin);
        Ok(())
    })
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => error.remedy("choose another name, or replace it with --force"),
        _ => error,
    })?;
    Ok(())
}

/// Writes a .npy file.
pub(crate) fn to_file(
    name: &SegmentName,
    source: &Source,
    path: &Path,
    force: bool,
    opaque: bool,
) -> Outcome {
    let header = npy_header(name, source.layout(), opaque)?;
    let mut file = NewFile::create(path, force)?;
    file.write(&header)?;
    source.elements(best_order(source.layout()), &mut |piece| Ok(file.write(piece)?))?;
    Ok(file.publish()?)
}

/// Makes the header of a .npy file, and says what NumPy will not like about it.
pub(crate) fn npy_header(name: &SegmentName, layout: &ArrayLayout, opaque: bool) -> Result<Vec<u8>> {
    let fortran = best_order(layout) == Order::Fortran;
    let header = npy::header(layout.element(), layout.shape(), fortran, opaque).map_err(|why| {
        Error::new(ErrorKind::Unsupported, "write as .npy", name, why.to_string())
            .remedy("write the elements as opaque bytes with --opaque")
    })?;
    if opaque && let Err(why) = npy::descr_of(layout.element()) {
        note(format_args!(
            "{name}: {why}: elements are written as opaque bytes, |V{}",
            layout.element().item_size()
        ));
    }
    if header.len() > npy::NUMPY_MAX_HEADER {
        note(format_args!(
            "{name}: its description is long: numpy.load needs max_header_size={}",
            header.len()
        ));
    }
    Ok(header)
}

/// A .npy file that is read: nobody knows where it comes from.
struct NpyFile {
    path: PathBuf,
    file: File,
    layout: ArrayLayout,
}

impl NpyFile {
    /// Opens a file and checks its header, and that its data are there.
    fn open(path: &Path, bf16: bool) -> Result<NpyFile> {
        let label = path.display();
        let failed = |error: &io::Error| system("read", &label, error);
        let refuse = |reason: String| Error::new(ErrorKind::InvalidArgument, "read", &label, reason);
        // A FIFO must not hang this.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(|e| failed(&e))?;
        let metadata = file.metadata().map_err(|e| failed(&e))?;
        if !metadata.is_file() {
            return Err(refuse("it is no ordinary file".to_owned()).remedy("save it to a file first"));
        }
        let (layout, header_len) = npy::read_header(&mut file).map_err(|error| match error {
            ReadError::Io(error) => failed(&error),
            ReadError::Wrong(reason) => refuse(reason),
        })?;
        let (needed, there) = (layout.data_len_bytes() as u64, metadata.len().saturating_sub(header_len));
        if needed != there {
            return Err(refuse(format!(
                "its header promises {needed} bytes of data ({layout}), and {there} bytes follow it"
            )));
        }
        let layout = match bf16 {
            false => layout,
            true => npy::as_bf16(&layout).ok_or_else(|| {
                refuse(format!("its elements are {}, and --bf16 takes |V2", layout.element()))
            })?,
        };
        Ok(NpyFile { path: path.to_path_buf(), file, layout })
    }

    /// Reads all data, straight to where they belong.
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        bytes.chunks_mut(PIECE).try_for_each(|piece| self.file.read_exact(piece)).map_err(|error| {
            let label = self.path.display();
            match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Error::new(ErrorKind::InvalidArgument, "read", label, "it was shortened meanwhile")
                }
                _ => system("read", label, &error),
            }
        })
    }
}
