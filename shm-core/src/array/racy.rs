//! Copies of bytes that another process may be writing at the same time.
//!
//! A plain copy would be a data race, which is undefined behaviour even where the value does not matter. These copies are made of relaxed
//! atomic accesses. Rust's memory model also forbids accesses of different sizes to the same bytes at the same time, so an array has one
//! [`Unit`], whoever reads or writes it: an element at a time or all at once. Each unit arrives whole, the rest may be mixed.
//! Copying 64 MiB in took 5.0 ms by eights, 5.9 by fours, 11 by twos and 19 byte by byte, where copying all of it by eights, which is unsound,
//! takes 6.2 (x86-64 virtual machine with 2 cores): the processor stores one unit a cycle.
//! See the section "Memory model for atomic accesses" of [`std::sync::atomic`].

#![allow(unsafe_code, reason = "reads and writes shared bytes through raw pointers, atomically")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// How many bytes of an array are accessed at once: of the sizes that there are atomic accesses for, the largest one that divides the item
/// size and the address of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    One,
    Two,
    Four,
    Eight,
}

impl Unit {
    /// The unit of elements of this size, for whose addresses `is_aligned` tells whether all of them are multiples of a number.
    pub(super) fn new(item_size: usize, is_aligned: impl Fn(usize) -> bool) -> Unit {
        let fits = |unit: usize| item_size.is_multiple_of(unit) && is_aligned(unit);
        match () {
            () if fits(8) => Unit::Eight,
            () if fits(4) => Unit::Four,
            () if fits(2) => Unit::Two,
            () => Unit::One,
        }
    }
}

/// Copies `len` bytes of shared memory to private memory.
///
/// # Safety
/// - `shared` is valid for reads of `len` bytes, and both are multiples of the unit.
/// - Meanwhile nobody in this process accesses these bytes other than atomically, by the same unit.
/// - `private` is valid for writes of `len` bytes, which belong to the caller alone.
pub(super) unsafe fn read(unit: Unit, shared: *const u8, private: *mut u8, len: usize) {
    let shared = shared.cast_mut();
    // SAFETY: `each` gives offsets of whole units in both ranges; the shared address is aligned to the unit and accessed by it alone (the
    // caller's promise), private memory is written unaligned.
    unsafe {
        match unit {
            Unit::One => each::<1>(len, |at| {
                private.add(at).write(AtomicU8::from_ptr(shared.add(at)).load(Ordering::Relaxed));
            }),
            Unit::Two => each::<2>(len, |at| {
                let value = AtomicU16::from_ptr(shared.add(at).cast()).load(Ordering::Relaxed);
                private.add(at).cast::<u16>().write_unaligned(value);
            }),
            Unit::Four => each::<4>(len, |at| {
                let value = AtomicU32::from_ptr(shared.add(at).cast()).load(Ordering::Relaxed);
                private.add(at).cast::<u32>().write_unaligned(value);
            }),
            Unit::Eight => each::<8>(len, |at| {
                let value = AtomicU64::from_ptr(shared.add(at).cast()).load(Ordering::Relaxed);
                private.add(at).cast::<u64>().write_unaligned(value);
            }),
        }
    }
}

/// Copies `len` bytes of private memory to shared memory.
///
/// # Safety
/// As [`read`], with the roles of reading and writing exchanged; `private` is initialised.
pub(super) unsafe fn write(unit: Unit, shared: *mut u8, private: *const u8, len: usize) {
    // SAFETY: as in `read`.
    unsafe {
        match unit {
            Unit::One => each::<1>(len, |at| {
                AtomicU8::from_ptr(shared.add(at)).store(private.add(at).read(), Ordering::Relaxed);
            }),
            Unit::Two => each::<2>(len, |at| {
                let value = private.add(at).cast::<u16>().read_unaligned();
                AtomicU16::from_ptr(shared.add(at).cast()).store(value, Ordering::Relaxed);
            }),
            Unit::Four => each::<4>(len, |at| {
                let value = private.add(at).cast::<u32>().read_unaligned();
                AtomicU32::from_ptr(shared.add(at).cast()).store(value, Ordering::Relaxed);
            }),
            Unit::Eight => each::<8>(len, |at| {
                let value = private.add(at).cast::<u64>().read_unaligned();
                AtomicU64::from_ptr(shared.add(at).cast()).store(value, Ordering::Relaxed);
            }),
        }
    }
}

/// Visits the offsets of all whole units in `len` bytes.
#[inline(always)]
fn each<const UNIT: usize>(len: usize, visit: impl Fn(usize)) {
    for number in 0..len / UNIT {
        visit(number * UNIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_size_that_divides_everything() {
        for (item_size, alignment, unit) in [
            (8, 8, Unit::Eight),
            (16, 4096, Unit::Eight),
            (0, 4096, Unit::Eight),
            (8, 4, Unit::Four),
            (12, 8, Unit::Four),
            (10, 8, Unit::Two),
            (24, 2, Unit::Two),
            (3, 8, Unit::One),
            (8, 1, Unit::One),
        ] {
            assert_eq!(Unit::new(item_size, |n| alignment % n == 0), unit, "{item_size} at {alignment}");
        }
    }

    #[test]
    fn every_unit_copies_what_it_is_given_and_no_more() {
        #[repr(align(8))]
        struct Shared([u8; 48]);
        for (unit, size) in [(Unit::One, 1), (Unit::Two, 2), (Unit::Four, 4), (Unit::Eight, 8)] {
            for (start, len) in (0..9)
                .flat_map(|start| (0..32).map(move |len| (start, len)))
                .filter(|(s, l)| (s | l) % size == 0)
            {
                let mut shared = Shared([0xEE; 48]);
                // One byte further, so that private memory is not aligned.
                let private: Vec<u8> = (0..=len as u8).collect();
                let mut back = vec![0; len + 1];
                let at = shared.0.as_mut_ptr();
                // SAFETY: start + len is below 48, the vectors have `len` bytes from byte 1 on, and nobody else knows them; start and len
                // are multiples of the unit, and so is the address of `shared`.
                unsafe {
                    write(unit, at.add(start), private.as_ptr().add(1), len);
                    read(unit, at.add(start), back.as_mut_ptr().add(1), len);
                }
                assert_eq!(back, private);
                assert!(shared.0[..start].iter().chain(&shared.0[start + len..]).all(|b| *b == 0xEE));
            }
        }
    }

    #[test]
    fn threads_that_copy_the_same_bytes_do_not_race() {
        // For Miri, which finds races and accesses of mixed size.
        let shared = std::sync::Arc::new([const { AtomicU32::new(0) }; 4]);
        let theirs = std::sync::Arc::clone(&shared);
        let writer = std::thread::spawn(move || {
            // SAFETY: 16 bytes, aligned to 4, that both threads access by fours.
            unsafe { write(Unit::Four, theirs.as_ptr().cast_mut().cast(), [1; 16].as_ptr(), 16) };
        });
        let mut all = [0; 16];
        let mut one = [0; 4];
        // SAFETY: as above.
        unsafe { read(Unit::Four, shared.as_ptr().cast(), all.as_mut_ptr(), 16) };
        // SAFETY: as above; the third of the four.
        unsafe { read(Unit::Four, shared[2].as_ptr().cast(), one.as_mut_ptr(), 4) };
        writer.join().unwrap();
        assert!(all.iter().chain(&one).all(|byte| *byte < 2));
    }
}
