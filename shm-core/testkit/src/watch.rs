//! The memory of a traced child that is compared after every step.
//!
//! A store is found by its effect: bytes that differ from the copy taken before. So a store of the value that was
//! there already is none, and an instruction that changes several ranges is one store. Writes by others count too,
//! which is why victims should be alone with their memory.

use crate::trace::Tracee;

/// One announced range and its last known bytes.
#[derive(Debug)]
struct Range {
    address: usize,
    bytes: Vec<u8>,
}

/// Where a change was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The first address that differs.
    pub(crate) address: usize,
    /// The start of the announced range it lies in.
    pub(crate) range_start: usize,
}

/// The ranges that the victim announced and that are still there.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    ranges: Vec<Range>,
    scratch: Vec<u8>,
}

impl Watched {
    /// Whether there is nothing to compare.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Watches `len_bytes` bytes from `address` on, in place of a range that begins there.
    ///
    /// The error is a sentence for the author of the victim.
    pub(crate) fn add(&mut self, tracee: &Tracee, address: usize, len_bytes: usize) -> Result<(), String> {
        self.ranges.retain(|range| range.address != address);
        let mut bytes = Vec::new();
        let fits = bytes.try_reserve_exact(len_bytes).is_ok();
        if fits {
            bytes.resize(len_bytes, 0);
        }
        if !fits || !tracee.read(address, &mut bytes) {
            return Err(format!(
                "the victim announced {len_bytes} bytes at {address:#x}, which are not all readable there; \
                 announce memory after it is mapped, and only as far as its file reaches"
            ));
        }
        self.ranges.push(Range { address, bytes });
        Ok(())
    }

    /// Takes the current bytes as the new state and returns where they differ from the last, if they do. Forgets
    /// ranges that cannot be read any more.
    pub(crate) fn update(&mut self, tracee: &Tracee) -> Option<Change> {
        let mut change = None;
        let scratch = &mut self.scratch;
        self.ranges.retain_mut(|range| {
            scratch.resize(range.bytes.len(), 0);
            if !tracee.read(range.address, scratch) {
                return false;
            }
            if *scratch != range.bytes {
                let differing = scratch.iter().zip(&range.bytes).position(|(new, old)| new != old);
                let offset = differing.unwrap_or_default();
                change.get_or_insert(Change { address: range.address + offset, range_start: range.address });
                std::mem::swap(scratch, &mut range.bytes);
            }
            true
        });
        change
    }
}
