//! Keeps a tracer and its victim on one CPU while the victim is stepped.
//!
//! Each step is two switches between two processes of which one always sleeps. On two CPUs each switch wakes an
//! idle CPU, which takes some ten times as long as the switch on one (design brief: 27 us each way).
#![allow(unsafe_code, reason = "sched_setaffinity and its relatives")]

use std::marker::PhantomData;
use std::mem;

/// Holds the calling thread, and what it forks, on one CPU until it is dropped; a mere attempt, as only speed
/// depends on it.
#[derive(Debug)]
pub(crate) struct Pin {
    former: Option<libc::cpu_set_t>,
    /// Not to be sent: the drop has to happen on the pinned thread.
    thread: PhantomData<*const ()>,
}

impl Pin {
    pub(crate) fn here() -> Self {
        Self { former: pin_here(), thread: PhantomData }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(former) = self.former {
            // SAFETY: `former` is a whole set that lives until the call returns; 0 is the calling thread.
            unsafe { libc::sched_setaffinity(0, mem::size_of_val(&former), &former) };
        }
    }
}

/// Restricts the calling thread to the CPU it runs on, and returns the set it was allowed before.
fn pin_here() -> Option<libc::cpu_set_t> {
    // SAFETY: `cpu_set_t` is an array of integers, for which zeroes are a valid (empty) set. `sched_getaffinity`
    // and `sched_setaffinity` get the true size of the sets, which live until the calls return. `CPU_SET` panics
    // rather than write outside the set. `sched_getcpu` has no preconditions.
    unsafe {
        let mut former: libc::cpu_set_t = mem::zeroed();
        let mut one: libc::cpu_set_t = mem::zeroed();
        let cpu = usize::try_from(libc::sched_getcpu()).ok()?;
        if cpu >= libc::CPU_SETSIZE as usize
            || libc::sched_getaffinity(0, mem::size_of_val(&former), &mut former) != 0
        {
            return None;
        }
        libc::CPU_SET(cpu, &mut one);
        (libc::sched_setaffinity(0, mem::size_of_val(&one), &one) == 0).then_some(former)
    }
}
