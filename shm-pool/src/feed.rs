//! Items on their way to workers that were forked before there were any.
//!
//! The master serialises the items of a run one behind the other (as in `wire.rs`) and stores them in one block of the arena, behind a table of where each ends. A
//! worker that has taken an item copies its bytes out and reads them back. The block stays until the run is over, for whoever replaces a worker.

#![allow(unsafe_code, reason = "copies out of a block that the master owns")]

use std::borrow::Borrow;
use std::cell::RefCell;
use std::panic;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_core::OwnerId;

use crate::control::{Control, Failure};
use crate::error::{Error, ErrorKind};
use crate::results;
use crate::wire::{Pack, Unpack};

/// A table entry: where an item's bytes end, counted from the first item's.
const ENTRY: usize = size_of::<u64>();
/// Buffers that have grown over this are given back when they are not needed.
const LARGE: usize = 1 << 20;

/// The serialised items of a run.
#[derive(Default)]
pub(crate) struct Feed {
    /// For each item where its bytes end, little-endian.
    ends: Vec<u8>,
    bytes: Vec<u8>,
}

/// Items in the arena; 0 bytes are nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) items: u64,
}

impl Feed {
    /// Serialises items; `operation` is for messages.
    pub(crate) fn fill<I: Serialize>(
        &mut self,
        items: impl Iterator<Item: Borrow<I>>,
        operation: &str,
    ) -> Result<(), Error> {
        self.clear();
        for (index, item) in items.enumerate() {
            let item: &I = item.borrow();
            if let Err(error) = item.pack(&mut self.bytes) {
                let reason = format!("item {index} cannot be serialised: {error}");
                return Err(Error::new(ErrorKind::Encode, operation, reason)
                    .at_item(Some(index))
                    .remedy("nothing was sent; look at the serde attributes of its type")
                    .caused_by(error));
            }
            self.ends.extend((self.bytes.len() as u64).to_le_bytes());
        }
        Ok(())
    }

    /// How many items there are.
    pub(crate) fn items(&self) -> usize {
        self.ends.len() / ENTRY
    }

    /// The bytes of each item.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.as_chunks().0.iter().map(move |end| {
            let end = u64::from_le_bytes(*end) as usize;
            &self.bytes[std::mem::replace(&mut start, end)..end]
        })
    }

    /// Forgets the items.
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.ends, &mut self.bytes] {
            buffer.clear();
            buffer.shrink_to(LARGE);
        }
    }

    /// Stores the items for the workers of a run.
    pub(crate) fn store(&self, control: &Control, operation: &str) -> Result<Stored, Error> {
        let len = self.ends.len() + self.bytes.len();
        let failed = |kind, why: &dyn std::fmt::Display| {
            Error::new(kind, operation, format!("{len} bytes of items find no memory: {why}"))
                .remedy("map fewer items at a time, or put what is large into shared arrays")
        };
        let mut block = control.arena.alloc(len).map_err(|error| match error.kind() {
            shm_core::ErrorKind::OutOfSpace => failed(ErrorKind::OutOfMemory, &error).caused_by(error),
            _ => failed(ErrorKind::Segment, &error).caused_by(error),
        })?;
        results::populate(block.as_ptr(), len)
            .map_err(|errno| failed(ErrorKind::OutOfMemory, &std::io::Error::from(errno)))?;
        let stored = block
            .write(0, &self.ends)
            .and_then(|()| block.write(self.ends.len(), &self.bytes))
            .and_then(|()| block.keep());
        let offset = stored.map_err(|error| failed(ErrorKind::Segment, &error).caused_by(error))?;
        Ok(Stored { offset, len: len as u64, items: self.items() as u64 })
    }
}

impl Stored {
    /// Where there is nothing.
    pub(crate) const NOTHING: Stored = Stored { offset: 0, len: 0, items: 0 };

    /// Frees the block, when no worker uses it any more.
    pub(crate) fn free(self, control: &Control) {
        if self.len > 0 {
            // If it is not there any more, somebody has overwritten the arena's words; there is nothing to free then.
            drop(control.arena.adopt(self.offset, OwnerId::KEPT));
        }
    }

    /// Where the items of the run are that this worker works on: they stay as long as one of them is this worker's.
    fn of_run(control: &Control) -> Stored {
        let header = control.header();
        Stored {
            offset: header.feed.load(Ordering::Relaxed),
            len: header.feed_len.load(Ordering::Relaxed),
            items: header.items.load(Ordering::Relaxed),
        }
    }

    /// Copies an item's bytes out.
    fn copy(self, control: &Control, item: usize, to: &mut Vec<u8>) -> Result<(), String> {
        let Stored { offset, len, items } = self;
        let nonsense = || format!("the table of the items is overwritten at item {item}");
        let table = items.checked_mul(ENTRY as u64).filter(|table| *table <= len).ok_or_else(nonsense)?;
        if item as u64 >= items {
            return Err(nonsense());
        }
        let start = control.arena.pointer(offset, len as usize).map_err(|error| error.to_string())?;
        let end_of = |item: usize| {
            // SAFETY: an entry of the table, which lies inside of the block by the checks above; the block is mapped, of plain bytes, and need not be
            // aligned. Nobody writes it before the run is over.
            u64::from_le(unsafe { start.cast::<u64>().add(item).read_unaligned() })
        };
        let (from, until) = (if item == 0 { 0 } else { end_of(item - 1) }, end_of(item));
        if from > until || until > len - table {
            return Err(nonsense());
        }
        let bytes = (until - from) as usize;
        to.clear();
        to.reserve(bytes);
        // SAFETY: `from..until` behind the table lies inside of the block, as was checked; nobody writes there meanwhile. The vector has room for so
        // many bytes, which are then written. The two do not overlap: one is private.
        unsafe {
            let from = start.add((table + from) as usize);
            from.copy_to_nonoverlapping(to.as_mut_ptr(), bytes);
            to.set_len(bytes);
        }
        Ok(())
    }
}

/// A worker's view of the items.
#[derive(Default)]
pub(crate) struct Reader(RefCell<Vec<u8>>);

impl Reader {
    /// Reads an item that this worker has taken. If that cannot be done, the worker gives up.
    pub(crate) fn item<I: DeserializeOwned>(&self, control: &Control, item: usize) -> I {
        let mut bytes = self.0.take();
        let read = Stored::of_run(control).copy(control, item, &mut bytes).and_then(|()| read(&bytes));
        bytes.shrink_to(LARGE);
        self.0.replace(bytes);
        match read {
            Ok(item) => item,
            // No panic of the function's: `worker.rs` catches it and passes it on.
            Err(reason) => panic::resume_unwind(Box::new(Failure::Item(reason))),
        }
    }
}

/// Reads an item back, to the last byte.
pub(crate) fn read<I: DeserializeOwned>(bytes: &[u8]) -> Result<I, String> {
    match I::unpack(bytes) {
        Ok((item, [])) => Ok(item),
        Ok(_) => Err("it is shorter than what was written".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(items: &[String]) -> Feed {
        let mut feed = Feed::default();
        feed.fill::<String>(items.iter(), "test").unwrap();
        feed
    }

    #[test]
    fn items_are_found_by_number() {
        let control = Control::new(1, 0).unwrap();
        let items: Vec<String> = [0, 1, 300, 0, 100_000].map(|len| "x".repeat(len)).to_vec();
        let stored = fed(&items).store(&control, "test").unwrap();
        let mut bytes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            stored.copy(&control, index, &mut bytes).unwrap();
            assert_eq!(read::<String>(&bytes).as_ref(), Ok(item));
        }
        assert!(stored.copy(&control, items.len(), &mut bytes).is_err());
        assert!(read::<String>(b"\x01ab").unwrap_err().contains("shorter"));
        stored.free(&control);
        assert_eq!(control.arena.usage().unwrap().used, 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let control = Control::new(1, 0).unwrap();
        let good = fed(&["a".to_owned(), "b".to_owned()]).store(&control, "test").unwrap();
        let wrong = [
            Stored { items: u64::MAX, ..good },
            Stored { items: 3, ..good },
            Stored { len: 16, ..good },
            Stored { offset: 1, ..good },
            Stored { len: u64::MAX / 2, ..good },
        ];
        for stored in wrong {
            assert!(stored.copy(&control, 1, &mut Vec::new()).is_err(), "{stored:?}");
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_an_error() {
        let control = Control::with_room_for(1 << 20);
        let error = fed(&["x".repeat(8 << 20)]).store(&control, "map 1 items").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("fewer items"), "{error}");
    }
}
