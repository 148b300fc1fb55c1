//! The elements of a shared array as a stream of bytes, whatever its strides: read with pread(2), in pieces, never held as a whole.
//!
//! Reading through the descriptor and not through the mapping asks nothing of the owner: no page is allocated for holes, and a file that
//! somebody shortens meanwhile is an error and no SIGBUS. What others write meanwhile arrives as a mixture of old and new.

use std::os::fd::{AsFd, BorrowedFd};

use crate::layout::ArrayLayout;
use crate::{AnyArray, Error, ErrorKind, Segment};
use rustix::io::Errno;

use crate::cli::failure::{Outcome, system};

/// What is read at once, and what a receiver gets at once at most.
const PIECE: usize = 1 << 20;
/// Elements that lie further apart than this are read one by one.
const FAR: usize = 4096;

/// In which order the elements come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The last index runs first.
    C,
    /// The first index runs first. Only for arrays that lie so in memory.
    Fortran,
}

/// The order in which an array is best copied: that of memory, if it is one of the two.
pub(crate) fn best_order(layout: &ArrayLayout) -> Order {
    if layout.is_f_contiguous() && !layout.is_c_contiguous() { Order::Fortran } else { Order::C }
}

/// Hands the bytes of all elements to `sink`, piece by piece; pieces need not end with an element.
pub(crate) fn elements(
    array: &AnyArray,
    entry_offset: usize,
    order: Order,
    sink: &mut dyn FnMut(&[u8]) -> Outcome,
) -> Outcome {
    let layout = array.layout();
    if layout.is_empty() || layout.element().item_size() == 0 {
        return Ok(());
    }
    let origin = (entry_offset + layout.origin()) as u64;
    let source = Source { fd: array.segment().as_fd(), segment: array.segment() };
    let mut pieces = Pieces { source, buffer: Vec::with_capacity(PIECE), scratch: Vec::new(), sink };
    if order == Order::Fortran && layout.is_f_contiguous() {
        pieces.run(origin, layout.len() * layout.element().item_size())?;
    } else {
        pieces.walk(origin, layout)?;
    }
    pieces.flush()
}

struct Source<'a> {
    fd: BorrowedFd<'a>,
    segment: &'a Segment,
}

impl Source<'_> {
    fn read(&self, mut at: u64, mut into: &mut [u8]) -> Outcome {
        while !into.is_empty() {
            match rustix::io::pread(self.fd, &mut *into, at) {
                Ok(0) => {
                    let reason = "its file was shortened meanwhile";
                    return Err(Error::new(ErrorKind::Corrupted, "read", self.segment.label(), reason).into());
                }
                Ok(n) => {
                    at += n as u64;
                    into = &mut into[n..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(system("read", self.segment.label(), &errno.into()).into()),
            }
        }
        Ok(())
    }
}

struct Pieces<'a> {
    source: Source<'a>,
    /// What the sink gets next.
    buffer: Vec<u8>,
    /// A stretch out of which some bytes are taken.
    scratch: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]) -> Outcome,
}

impl Pieces<'_> {
    fn flush(&mut self) -> Outcome {
        if !self.buffer.is_empty() {
            (self.sink)(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Bytes one behind the other.
    fn run(&mut self, mut at: u64, mut len: usize) -> Outcome {
        while len > 0 {
            let filled = self.buffer.len();
            let now = len.min(PIECE - filled);
            self.buffer.resize(filled + now, 0);
            self.source.read(at, &mut self.buffer[filled..])?;
            at += now as u64;
            len -= now;
            if self.buffer.len() == PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// All elements of an array in C order; `origin` is where that with all indices 0 is.
    fn walk(&mut self, origin: u64, layout: &ArrayLayout) -> Outcome {
        let (shape, strides) = (layout.shape(), layout.strides_bytes());
        // The last dimensions are one run if there is nothing between their elements.
        let mut run = layout.element().item_size();
        let mut outer = layout.ndim();
        while outer > 0 && (shape[outer - 1] == 1 || strides[outer - 1] == run as isize) {
            outer -= 1;
            run *= shape[outer];
        }
        let Some(last) = outer.checked_sub(1) else { return self.run(origin, run) };
        let mut index = vec![0; last];
        let mut at = origin;
        loop {
            self.row(at, run, shape[last], strides[last])?;
            // The next index, as an odometer counts.
            let mut axis = last;
            loop {
                if axis == 0 {
                    return Ok(());
                }
                axis -= 1;
                index[axis] += 1;
                at = at.wrapping_add_signed(strides[axis] as i64);
                if index[axis] < shape[axis] {
                    break;
                }
                at = at.wrapping_add_signed(
                    (strides[axis] as i64).wrapping_mul(shape[axis] as i64).wrapping_neg(),
                );
                index[axis] = 0;
            }
        }
    }

    /// `count` runs of `run` bytes at equal distances.
    fn row(&mut self, start: u64, run: usize, count: usize, stride: isize) -> Outcome {
        let distance = stride.unsigned_abs();
        let at = |index: usize| start.wrapping_add_signed((index as i64).wrapping_mul(stride as i64));
        // Several at once if they lie close together.
        let together = if distance > FAR { 1 } else { (PIECE / distance.max(1)).max(1) };
        if together == 1 || run > FAR {
            return (0..count).try_for_each(|index| self.run(at(index), run));
        }
        let mut first = 0;
        while first < count {
            let some = together.min(count - first);
            let lowest = at(first).min(at(first + some - 1));
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.resize((some - 1) * distance + run, 0);
            self.source.read(lowest, &mut scratch)?;
            for index in first..first + some {
                let from = (at(index) - lowest) as usize;
                if self.buffer.len() + run > PIECE {
                    self.flush()?;
                }
                self.buffer.extend_from_slice(&scratch[from..from + run]);
            }
            self.scratch = scratch;
            first += some;
        }
        Ok(())
    }
}
