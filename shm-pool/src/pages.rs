//! Large memory in large pages, where the system grants them on request: a page fault for each 4 KiB costs more than what is done with tiny items.
//!
//! Advice only: a system that has no large pages, or gives them out by itself, is as right as one that listens.

#![allow(unsafe_code, reason = "madvise")]

use std::mem::MaybeUninit;

use rustix::mm::Advice;

/// Memory from here on is worth the call: a few large pages.
const WORTH: usize = 8 << 20;

/// Asks for large pages in memory that nobody has touched yet.
fn ask_for_large<T>(untouched: &mut [MaybeUninit<T>]) {
    let (start, len) = (untouched.as_mut_ptr().cast::<u8>(), size_of_val(untouched));
    if len < WORTH {
        return;
    }
    let page = rustix::param::page_size();
    let from = start.addr().next_multiple_of(page);
    let len = (start.addr() + len - from) / page * page;
    // SAFETY: the whole pages inside of a slice that is borrowed mutably; the advice changes no byte. What it cannot do it leaves.
    let _ = unsafe { rustix::mm::madvise(start.with_addr(from).cast(), len, Advice::LinuxHugepage) };
}

/// An empty vector with room for so many elements, in large pages if they are many; nothing if the system refuses the memory.
pub(crate) fn vec_with_capacity<T>(elements: usize) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(elements).ok()?;
    ask_for_large(vec.spare_capacity_mut());
    Some(vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advised_memory_is_memory() {
        for elements in [0, 1, WORTH / 8 - 1, WORTH / 8, WORTH + 3] {
            let mut vec = vec_with_capacity::<u64>(elements).unwrap();
            vec.extend(0..elements as u64);
            assert!(vec.capacity() >= elements && vec.iter().zip(0..).all(|(found, i)| *found == i));
        }
        assert!(vec_with_capacity::<()>(usize::MAX).unwrap().is_empty());
        assert!(vec_with_capacity::<u64>(1 << 58).is_none());
    }
}
