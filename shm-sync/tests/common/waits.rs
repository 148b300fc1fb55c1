//! What every primitive that is waited for is put through, whatever it is: deadlines, signals, hostile neighbours.

#![allow(unsafe_code, reason = "a signal handler, and bytes that a neighbour scribbles on")]
#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "every test program uses a part of this")]

use crate::common::{fork, shared_bytes, shared_counters, wait_asleep, wait_until};
use shm_sync::{Error, ErrorKind, Primitive};
use shm_testkit::Child;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Longer than any test.
pub const FAR: Duration = Duration::from_secs(100);

type Outcome = Result<(), Error>;

/// The ways of waiting for something that does not come: each returns when its time is over, and not before.
pub fn deadlines_pass(
    timeout: impl Fn(Duration) -> Outcome,
    until: impl Fn(Instant) -> Outcome,
    interruptible: impl Fn(Option<Instant>) -> Outcome,
) {
    for time in [Duration::ZERO, Duration::from_millis(20)] {
        let deadline = Instant::now() + time;
        assert_eq!(timeout(time).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        let deadline = Instant::now() + time;
        assert_eq!(until(deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        let deadline = Instant::now() + time;
        assert_eq!(interruptible(Some(deadline)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
    }
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now);
    assert_eq!(until(past).unwrap_err().kind(), ErrorKind::TimedOut);
}

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Even with `SA_RESTART`, a wait that wants to know of signals returns; one that does not goes on until `open`.
pub fn signals_interrupt_those_who_ask(
    interruptible: impl Fn(Option<Instant>) -> Outcome,
    wait: impl Fn() -> Outcome,
    open: impl FnOnce(),
) {
    let step = &shared_counters()[0];
    let waiter = fork(|| {
        // SAFETY: the handler only adds to an atomic; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count_signal as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        step.store(1, SeqCst);
        assert_eq!(interruptible(None).unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(SIGNALS.load(SeqCst) > 0);
        step.store(2, SeqCst);
        let before = SIGNALS.load(SeqCst);
        wait().unwrap();
        assert!(SIGNALS.load(SeqCst) > before);
    });
    wait_until(|| step.load(SeqCst) == 1);
    let signal = || {
        wait_asleep(&waiter);
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    };
    while step.load(SeqCst) == 1 {
        signal();
    }
    (0..5).for_each(|_| signal());
    open();
    waiter.expect_success();
}

/// A primitive in plain shared bytes, so that tests can look at them, watch them and scribble on them.
pub struct Place<P> {
    pub object: P,
    pub bytes: *mut u8,
}

impl<P: Primitive> Place<P> {
    pub fn new(initial: P::Initial) -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as this primitive only (what hostile tests write there is what they are about).
        Self { object: unsafe { P::init_at(bytes, 4096, initial) }.unwrap(), bytes }
    }

    /// Another handle, which looks at the bytes anew.
    pub fn attach(&self) -> Result<P, Error> {
        // SAFETY: as above.
        unsafe { P::from_ptr(self.bytes, 4096) }
    }

    pub fn u32_at(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < 4096);
        // SAFETY: within the page, aligned, never unmapped.
        unsafe { AtomicU32::from_ptr(self.bytes.add(offset).cast()) }
    }

    /// The first 64 bytes.
    pub fn image(&self) -> [u32; 16] {
        std::array::from_fn(|i| self.u32_at(4 * i).load(SeqCst))
    }
}

/// Pseudo-random numbers, the same every time (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}

/// Two processes use the object while a third one writes whatever it likes into its 64 bytes. `operate` is called with random numbers and waits for a short
/// time at most; it may fail in any way but by a panic, a crash or a hang.
pub fn scribbled_on<P: Primitive>(place: &Place<P>, rounds: usize, operate: impl Fn(&P, u64) -> Outcome) {
    let before = place.image();
    let running = &shared_counters()[0];
    running.store(2, SeqCst);
    let users: Vec<_> = [1, 2]
        .into_iter()
        .map(|seed| {
            let operate = &operate;
            fork(move || {
                let mut random = Random::new(seed);
                for _ in 0..rounds {
                    if let Err(error) = operate(&place.object, random.next()) {
                        assert!(!error.to_string().is_empty());
                    }
                }
                running.fetch_sub(1, SeqCst);
            })
        })
        .collect();
    let neighbour = fork(|| {
        let mut random = Random::new(3);
        while running.load(SeqCst) != 0 {
            let offset = 4 * (random.next() % 16) as usize;
            let value = match random.next() % 6 {
                0 => 0,
                1 => 1,
                2 => 0x8000_0000,
                3 => u32::MAX,
                // Whole again, so that something works now and then.
                4 => before[offset / 4],
                _ => random.next() as u32,
            };
            place.u32_at(offset).store(value, SeqCst);
            if random.next().is_multiple_of(8) {
                std::thread::yield_now();
            }
        }
    });
    users.into_iter().for_each(Child::expect_success);
    neighbour.expect_success();
    // Mended, it works.
    for (index, word) in before.into_iter().enumerate() {
        place.u32_at(4 * index).store(word, SeqCst);
    }
    place.attach().unwrap();
}

/// A child that waits with `wait`, asleep already.
pub fn sleeper(wait: impl FnOnce() -> Outcome) -> Child {
    let child = fork(|| wait().unwrap());
    wait_asleep(&child);
    child
}
