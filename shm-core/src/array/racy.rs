//! Copies of bytes that another process may be writing at the same time.
//!
//! A plain copy would be a data race, which is undefined behaviour even where the value does not matter. These copies are made of relaxed
//! atomic accesses, 8 bytes at a time where the shared address is aligned: each aligned word of up to 8 bytes arrives whole, the rest may be mixed.

#![allow(unsafe_code, reason = "reads and writes shared bytes through raw pointers, atomically")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Copies `len` bytes of shared memory to private memory.
///
/// # Safety
/// `shared` must be valid for reads of `len` bytes, which nobody accesses other than atomically or as a plain write of another process;
/// `private` must be valid for writes of `len` bytes and belong to the caller alone.
pub(super) unsafe fn read(shared: *const u8, private: *mut u8, len: usize) {
    // SAFETY: the caller's conditions are those of `walk`; each closure is called with a pair of pointers to the same number of bytes within
    // the ranges, the shared one aligned to that number. Private memory is written unaligned.
    unsafe {
        walk(
            shared.cast_mut(),
            private,
            len,
            |s, p| p.write(AtomicU8::from_ptr(s).load(Ordering::Relaxed)),
            |s, p| p.cast::<u16>().write_unaligned(AtomicU16::from_ptr(s.cast()).load(Ordering::Relaxed)),
            |s, p| p.cast::<u32>().write_unaligned(AtomicU32::from_ptr(s.cast()).load(Ordering::Relaxed)),
            |s, p| p.cast::<u64>().write_unaligned(AtomicU64::from_ptr(s.cast()).load(Ordering::Relaxed)),
        );
    }
}

/// Copies `len` bytes of private memory to shared memory.
///
/// # Safety
/// As [`read`], with the roles of reading and writing exchanged; `private` must be initialised.
pub(super) unsafe fn write(shared: *mut u8, private: *const u8, len: usize) {
    // SAFETY: as in `read`.
    unsafe {
        walk(
            shared,
            private.cast_mut(),
            len,
            |s, p| AtomicU8::from_ptr(s).store(p.read(), Ordering::Relaxed),
            |s, p| AtomicU16::from_ptr(s.cast()).store(p.cast::<u16>().read_unaligned(), Ordering::Relaxed),
            |s, p| AtomicU32::from_ptr(s.cast()).store(p.cast::<u32>().read_unaligned(), Ordering::Relaxed),
            |s, p| AtomicU64::from_ptr(s.cast()).store(p.cast::<u64>().read_unaligned(), Ordering::Relaxed),
        );
    }
}

/// Visits both ranges in steps of 1, 2, 4 or 8 bytes, as large as the shared address and what is left allow.
///
/// # Safety
/// Both pointers must be valid for `len` bytes.
#[inline(always)]
unsafe fn walk(
    shared: *mut u8,
    private: *mut u8,
    len: usize,
    by1: impl Fn(*mut u8, *mut u8),
    by2: impl Fn(*mut u8, *mut u8),
    by4: impl Fn(*mut u8, *mut u8),
    by8: impl Fn(*mut u8, *mut u8),
) {
    let mut done = 0;
    while done < len {
        // SAFETY: `done` is below `len`, for which both pointers are valid.
        let (s, p) = unsafe { (shared.add(done), private.add(done)) };
        let left = len - done;
        if left >= 8 && s.addr().is_multiple_of(8) {
            by8(s, p);
            done += 8;
        } else if left >= 4 && s.addr().is_multiple_of(4) {
            by4(s, p);
            done += 4;
        } else if left >= 2 && s.addr().is_multiple_of(2) {
            by2(s, p);
            done += 2;
        } else {
            by1(s, p);
            done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment() {
        #[repr(align(8))]
        struct Shared([u8; 48]);
        for start in 0..9 {
            for len in 0..32 {
                let mut shared = Shared([0xEE; 48]);
                let private: Vec<u8> = (0..len as u8).collect();
                let mut back = vec![0; len];
                let at = shared.0.as_mut_ptr();
                // SAFETY: start + len is below 48, the vectors have `len` bytes, and nobody else knows them.
                unsafe {
                    write(at.add(start), private.as_ptr(), len);
                    read(at.add(start), back.as_mut_ptr(), len);
                }
                assert_eq!(back, private);
                assert!(shared.0[..start].iter().chain(&shared.0[start + len..]).all(|b| *b == 0xEE));
            }
        }
    }
}
