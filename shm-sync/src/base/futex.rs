//! Sleeping on a shared word and waking those who sleep: the only blocking system calls of this crate.
//!
//! The futexes here are *shared* (no `FUTEX_PRIVATE_FLAG`): the kernel finds sleepers by the page, not by the address, so that
//! processes meet (futex(2)). Every sleep carries a deadline on the monotonic clock, even one that is meant to last for ever: a futex
//! wait without a time-out is restarted by the kernel after a signal handler with `SA_RESTART` and would never return to its caller.
//! This file knows nothing about what the words mean.

#[cfg(not(loom))]
use super::atomics::AtomicU32;
use std::time::{Duration, Instant};

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Somebody woke this thread, or the word did not hold the expected value any more.
    Look,
    /// The time given for this sleep is over.
    Elapsed,
    /// A signal handler ran. This sleep has not consumed a wake-up.
    Signal,
}

/// A point on the monotonic clock, in the kernel's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    seconds: i64,
    nanoseconds: i64,
}

impl Deadline {
    /// The point `duration` from now; too far ahead for the clock counts as its last second.
    pub(crate) fn after(duration: Duration) -> Self {
        let now = Self::now();
        let mut seconds = now.seconds.saturating_add_unsigned(duration.as_secs());
        let mut nanoseconds = now.nanoseconds + i64::from(duration.subsec_nanos());
        if nanoseconds >= 1_000_000_000 {
            nanoseconds -= 1_000_000_000;
            seconds = seconds.saturating_add(1);
        }
        Self { seconds, nanoseconds }
    }

    #[cfg(not(loom))]
    fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self { seconds: now.tv_sec, nanoseconds: now.tv_nsec }
    }

    /// Time stands still in a model.
    #[cfg(loom)]
    fn now() -> Self {
        Self { seconds: 0, nanoseconds: 0 }
    }

    /// The same point as `instant`, which the standard library measures on the same clock.
    pub(crate) fn at(instant: Instant) -> Self {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    /// How long it is until then; nothing if the point has come.
    #[cfg(not(loom))]
    pub(crate) fn remaining(self) -> Duration {
        let now = Self::now();
        if now >= self {
            return Duration::ZERO;
        }
        let seconds = self.seconds.abs_diff(now.seconds);
        let ahead = self.nanoseconds - now.nanoseconds;
        if ahead < 0 {
            Duration::new(seconds - 1, (ahead + 1_000_000_000) as u32)
        } else {
            Duration::new(seconds, ahead as u32)
        }
    }

    /// Whether the point has come.
    pub(crate) fn has_passed(self) -> bool {
        Self::now() >= self
    }
}

#[cfg(not(loom))]
pub(crate) use os::{
    MAX_WORDS, SLICE, can_wait_for_several, wait, wait_any, wait_any_interruptible, wait_for, wake, wake_all,
    wake_for, wake_one,
};

#[cfg(loom)]
pub(crate) use super::futex_model::{
    recheck, until_asleep, wait, wait_any, wait_any_interruptible, wait_for, wake, wake_all, wake_for,
    wake_one,
};

#[cfg(not(loom))]
mod os {
    use super::{AtomicU32, Deadline, Woken};
    use core::num::NonZeroU32;
    use core::time::Duration;
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, WaitFlags, WaitvFlags};
    use rustix::time::{ClockId, Timespec};

    /// Sleeps while `word` holds `expected`, until somebody wakes this thread or `until` comes.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Deadline) -> Woken {
        wait_for(word, expected, NonZeroU32::MAX, until)
    }

    /// The same, but out of reach of [`wake_for`] with none of these `bits`.
    pub(crate) fn wait_for(word: &AtomicU32, expected: u32, bits: NonZeroU32, until: Deadline) -> Woken {
        // The bit-set form is the one whose time-out is a point in time; a relative one would start anew after every signal.
        let until = Timespec { tv_sec: until.seconds, tv_nsec: until.nanoseconds };
        match futex::wait_bitset(word, Flags::empty(), expected, Some(&until), bits) {
            Err(Errno::TIMEDOUT) => Woken::Elapsed,
            Err(Errno::INTR) => Woken::Signal,
            // AGAIN: the word had changed. Any other error cannot come from a mapped word and a valid time; looking again is right.
            _ => Woken::Look,
        }
    }

    /// Wakes one thread that sleeps on `word`, if there is one.
    #[cold]
    pub(crate) fn wake_one(word: &AtomicU32) {
        wake(word, 1);
    }

    /// Wakes every thread that sleeps on `word`.
    #[cold]
    pub(crate) fn wake_all(word: &AtomicU32) {
        wake(word, u32::MAX);
    }

    /// Wakes `count` of the threads that sleep on `word`, or as many as there are.
    #[cold]
    pub(crate) fn wake(word: &AtomicU32, count: u32) {
        // The kernel takes the number for a signed one. Fails only for an address that is not mapped (any more): then nobody sleeps there.
        let _ = futex::wake(word, Flags::empty(), count.min(i32::MAX.unsigned_abs()));
    }

    /// Wakes every thread that sleeps on `word` with one of these `bits`.
    #[cold]
    pub(crate) fn wake_for(word: &AtomicU32, bits: NonZeroU32) {
        // As above.
        let _ = futex::wake_bitset(word, Flags::empty(), i32::MAX.unsigned_abs(), bits);
    }

    /// How many words one sleep can watch.
    pub(crate) const MAX_WORDS: usize = 128;

    /// How long a sleep on several words lasts at most where the kernel cannot watch them all (`futex_waitv`, Linux 5.16).
    pub(crate) const SLICE: Duration = Duration::from_millis(50);

    /// Whether `futex_waitv` is there and permitted.
    pub(crate) fn can_wait_for_several() -> bool {
        // To wait for nothing is an invalid argument, where there is the call.
        !matches!(
            futex::waitv(&[], WaitvFlags::empty(), None, ClockId::Monotonic),
            Err(Errno::NOSYS | Errno::PERM)
        )
    }

    /// Sleeps while every word holds what is expected of it, until somebody wakes one of them or `until` comes. [`MAX_WORDS`] at most.
    ///
    /// Where there is no `futex_waitv`, it sleeps on the first word, for [`SLICE`] at most, and says [`Woken::Look`].
    pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], until: Deadline) -> Woken {
        let timeout = Timespec { tv_sec: until.seconds, tv_nsec: until.nanoseconds };
        let mut waits = [futex::Wait::new(); MAX_WORDS];
        for (wait, (word, expected)) in waits.iter_mut().zip(words) {
            wait.val = u64::from(*expected);
            wait.uaddr = futex::WaitPtr::new(word.as_ptr().cast());
            wait.flags = WaitFlags::SIZE_U32;
        }
        match futex::waitv(&waits[..words.len()], WaitvFlags::empty(), Some(&timeout), ClockId::Monotonic) {
            Err(Errno::TIMEDOUT) => Woken::Elapsed,
            Err(Errno::INTR) => Woken::Signal,
            Err(Errno::NOSYS | Errno::PERM) => wait_any_interruptible(words, until),
            _ => Woken::Look,
        }
    }

    /// As [`wait_any`], for callers who want to know of signals: sleeps on the first word, for [`SLICE`] at most, and says [`Woken::Look`].
    ///
    /// The kernel restarts `futex_waitv` after a handler with `SA_RESTART`, time-out or not, and does not say so: seen on Linux 6.18.
    pub(crate) fn wait_any_interruptible(words: &[(&AtomicU32, u32)], until: Deadline) -> Woken {
        let slice = Deadline::after(SLICE);
        match wait(words[0].0, words[0].1, until.min(slice)) {
            Woken::Elapsed if slice < until => Woken::Look,
            woken => woken,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn far_deadlines_do_not_overflow() {
        let far = Deadline::after(Duration::MAX);
        assert!(!far.has_passed());
        assert!(far.nanoseconds < 1_000_000_000);
        assert_eq!(far.seconds, i64::MAX);
    }

    #[test]
    fn a_past_instant_has_passed() {
        assert!(Deadline::at(Instant::now()).has_passed());
        assert!(!Deadline::after(Duration::from_secs(1000)).has_passed());
    }

    #[test]
    fn a_sleep_ends_with_its_time_or_with_the_value() {
        let word = AtomicU32::new(7);
        assert_eq!(wait(&word, 7, Deadline::after(Duration::from_millis(2))), Woken::Elapsed);
        assert_eq!(wait(&word, 8, Deadline::after(Duration::from_secs(1000))), Woken::Look);
    }

    #[test]
    fn an_endless_deadline_is_accepted_by_the_kernel() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| wait(&word, 0, Deadline::after(Duration::MAX)));
            while !sleeper.is_finished() {
                word.store(1, core::sync::atomic::Ordering::Relaxed);
                wake_one(&word);
                std::thread::yield_now();
            }
            assert_eq!(sleeper.join().unwrap(), Woken::Look);
        });
    }
}
