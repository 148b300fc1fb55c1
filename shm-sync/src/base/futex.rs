//! Sleeping on a shared word and waking those who sleep: the only blocking system calls of this crate.
//!
//! The futexes here are *shared* (no `FUTEX_PRIVATE_FLAG`): the kernel finds sleepers by the page, not by the address, so that
//! processes meet (futex(2)). Every sleep carries a deadline on the monotonic clock, even one that is meant to last for ever: a futex
//! wait without a time-out is restarted by the kernel after a signal handler with `SA_RESTART` and would never return to its caller.
//! This file knows nothing about what the words mean.

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
        let now = os::now();
        let mut seconds = now.seconds.saturating_add_unsigned(duration.as_secs());
        let mut nanoseconds = now.nanoseconds + i64::from(duration.subsec_nanos());
        if nanoseconds >= 1_000_000_000 {
            nanoseconds -= 1_000_000_000;
            seconds = seconds.saturating_add(1);
        }
        Self { seconds, nanoseconds }
    }

    /// The same point as `instant`, which the standard library measures on the same clock.
    pub(crate) fn at(instant: Instant) -> Self {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    /// Whether the point has come.
    pub(crate) fn has_passed(self) -> bool {
        os::now() >= self
    }
}

#[cfg(loom)]
pub(crate) use os::recheck;
#[cfg(not(loom))]
pub(crate) use os::{MAX_WORDS, wait_any};
pub(crate) use os::{wait, wake_all, wake_one};

#[cfg(not(loom))]
mod os {
    use super::{AtomicU32, Deadline, Woken};
    use core::num::NonZeroU32;
    use core::time::Duration;
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, WaitFlags, WaitvFlags};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    pub(super) fn now() -> Deadline {
        let now = clock_gettime(ClockId::Monotonic);
        Deadline { seconds: now.tv_sec, nanoseconds: now.tv_nsec }
    }

    /// Sleeps while `word` holds `expected`, until somebody wakes this thread or `until` comes.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Deadline) -> Woken {
        // The bit-set form is the one whose time-out is a point in time; a relative one would start anew after every signal.
        let until = Timespec { tv_sec: until.seconds, tv_nsec: until.nanoseconds };
        match futex::wait_bitset(word, Flags::empty(), expected, Some(&until), NonZeroU32::MAX) {
            Err(Errno::TIMEDOUT) => Woken::Elapsed,
            Err(Errno::INTR) => Woken::Signal,
            // AGAIN: the word had changed. Any other error cannot come from a mapped word and a valid time; looking again is right.
            _ => Woken::Look,
        }
    }

    /// Wakes one thread that sleeps on `word`, if there is one.
    #[cold]
    pub(crate) fn wake_one(word: &AtomicU32) {
        // Fails only for an address that is not mapped (any more): then nobody sleeps there.
        let _ = futex::wake(word, Flags::empty(), 1);
    }

    /// Wakes every thread that sleeps on `word`.
    #[cold]
    pub(crate) fn wake_all(word: &AtomicU32) {
        // As above. (The kernel takes the number for a signed one.)
        let _ = futex::wake(word, Flags::empty(), i32::MAX.unsigned_abs());
    }

    /// How many words one sleep can watch.
    pub(crate) const MAX_WORDS: usize = 128;

    /// How long a sleep on several words lasts at most where the kernel cannot watch them all (`futex_waitv`, Linux 5.16).
    const SLICE: Duration = Duration::from_millis(50);

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
            Err(Errno::NOSYS | Errno::PERM) => {
                let slice = Deadline::after(SLICE);
                match wait(words[0].0, words[0].1, until.min(slice)) {
                    Woken::Elapsed if slice < until => Woken::Look,
                    woken => woken,
                }
            }
            _ => Woken::Look,
        }
    }
}

/// The kernel's futex queues in a model: one for each word.
#[cfg(loom)]
mod os {
    use super::{AtomicU32, Deadline, Woken};
    use loom::sync::atomic::Ordering::Relaxed;
    use loom::sync::{Arc, Condvar, Mutex};

    loom::lazy_static! {
        static ref QUEUES: Mutex<Queues> = Mutex::new(Queues::default());
    }

    /// By the word's address.
    #[derive(Default)]
    struct Queues(Vec<(usize, Queue)>);

    #[derive(Clone)]
    struct Queue {
        sleepers: Arc<Condvar>,
        /// The time slice of whoever sleeps next is over at once.
        late: bool,
    }

    impl Queues {
        fn of(&mut self, word: &AtomicU32) -> &mut Queue {
            let address = core::ptr::from_ref(word).addr();
            let index = self.0.iter().position(|(at, _)| *at == address).unwrap_or_else(|| {
                self.0.push((address, Queue { sleepers: Arc::new(Condvar::new()), late: false }));
                self.0.len() - 1
            });
            &mut self.0[index].1
        }
    }

    pub(super) fn now() -> Deadline {
        Deadline { seconds: 0, nanoseconds: 0 }
    }

    /// The comparison and the going to sleep are one step for wakers: they take the same lock, as in the kernel's hash bucket.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, _until: Deadline) -> Woken {
        let mut queues = QUEUES.lock().unwrap();
        let queue = queues.of(word);
        if word.load(Relaxed) == expected && !core::mem::take(&mut queue.late) {
            let sleepers = queue.sleepers.clone();
            drop(sleepers.wait(queues).unwrap());
        }
        Woken::Look
    }

    pub(crate) fn wake_one(word: &AtomicU32) {
        QUEUES.lock().unwrap().of(word).sleepers.notify_one();
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(word: &AtomicU32) {
        QUEUES.lock().unwrap().of(word).sleepers.notify_all();
    }

    /// The time slice of whoever sleeps, or is about to, is over.
    pub(crate) fn recheck(word: &AtomicU32) {
        let mut queues = QUEUES.lock().unwrap();
        let queue = queues.of(word);
        queue.late = true;
        queue.sleepers.notify_all();
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
