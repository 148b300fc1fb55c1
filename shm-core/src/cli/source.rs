//! An array to read from, as the command line names it: attached for reading only, found among the entries.

use crate::layout::ArrayLayout;
use crate::{AnyArray, Error, ErrorKind, Result, SegmentName, SegmentOptions};

use crate::cli::failure::Outcome;
use crate::cli::stream::{self, Order};

/// Which array of which segment.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The array of this name in a segment that holds several things
    #[arg(long, value_name = "ENTRY")]
    pub(crate) entry: Option<String>,
    /// Read segments that belong to other users too
    #[arg(long)]
    pub(crate) any_owner: bool,
}

/// An attached array.
pub(crate) struct Source {
    array: AnyArray,
    offset: usize,
}

impl Source {
    pub(crate) fn attach(name: &SegmentName, which: &Which) -> Result<Source> {
        let options = SegmentOptions::new().read_only().any_owner(which.any_owner);
        let segment = options.attach(name).map_err(|error| match error.kind() {
            ErrorKind::ForeignOwner => error.remedy(OTHERS),
            _ => error,
        })?;
        let array = match &which.entry {
            Some(entry) => AnyArray::in_segment(&segment, entry)?,
            None => AnyArray::only(&segment).map_err(|error| {
                let names: Vec<String> =
                    segment.entries().iter().map(|e| format!("{:?}", e.name())).collect();
                let remedy = format!("name one of its entries with --entry: {}", names.join(", "));
                if names.len() > 1 {
                    error.remedy(remedy)
                } else {
                    error.remedy("look at it with: shm inspect")
                }
            })?,
        };
        let entry = match &which.entry {
            Some(entry) => segment.entry(entry)?,
            // The only array; there is one, or there would have been an error.
            None => segment
                .entries()
                .iter()
                .find(|entry| entry.layout_at(segment.len()).is_some())
                .ok_or_else(|| Error::new(ErrorKind::NoSuchEntry, "read", name, "it has no array"))?,
        };
        Ok(Source { offset: entry.offset(), array })
    }

    pub(crate) fn layout(&self) -> &ArrayLayout {
        self.array.layout()
    }

    /// Hands all bytes to `sink`; see [`stream::elements`].
    pub(crate) fn elements(&self, order: Order, sink: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        stream::elements(&self.array, self.offset, order, sink)
    }
}

/// What to do about another user's segment.
pub(crate) const OTHERS: &str = "read it with --any-owner if you trust that user";
