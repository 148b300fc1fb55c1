//! The public face of the latch: what is checked before its count is believed, and the errors.

use super::countdown::{Countdown, Damaged, NotCounted};
use crate::base::robust::Me;
use crate::base::{GaveUp, Patience};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind, Raw};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// See the head of `latch`.
#[repr(C, align(64))]
struct RawLatch {
    countdown: Countdown,
    identity: AtomicU64,
    _reserved: [AtomicU64; 6],
}

const _: () = {
    assert!(size_of::<RawLatch>() == 64 && size_of::<Countdown>() == 8);
    assert!(offset_of!(RawLatch, countdown) == 0 && offset_of!(RawLatch, identity) == 8);
};

/// Where the remaining count lies.
const REMAINING: usize = 4;

/// How many arrivals a latch can wait for at most: 2^30 - 1.
const MOST: u32 = 0x3fff_ffff;

impl Raw for RawLatch {
    const KIND: Kind = Kind::LATCH;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

/// Opens when a given number of arrivals was counted, and stays open: for a start that waits for everybody's preparations, or an end that waits for
/// everybody's work.
///
/// A `Latch` is a handle: several handles, in several processes, name one latch; [`Clone`] makes another. Arrivals are counted, not who arrives: one thread may
/// count several, and need not wait. What a thread stored before it counted its arrival is seen by whoever passes. It is used once; for meeting again
/// and again there is the barrier.
///
/// # When a process dies
/// An arrival that was counted stays counted. A process that is killed before has not arrived and never will: the others wait on, until their deadlines.
/// The latch does not know who is still to come; where parties may die and the others are to hear of it, use a barrier. A `count_down` that is killed
/// half-way has counted all its arrivals or none; if they were the last, everybody who waits passes, a quarter of a second later at worst. A killed waiter takes
/// nothing with it.
///
/// # Fork and signals
/// A child uses the handles that it inherited like anybody else. Waiting and counting are not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Latch, Primitive};
///
/// let prepared = Latch::anonymous(3)?;
/// std::thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| prepared.count_down(1));
///     }
///     prepared.wait()
/// })?;
/// assert_eq!(prepared.remaining()?, 0);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Latch {
    handle: Handle<RawLatch>,
    parties: u32,
}

impl Latch {
    /// How many bytes a latch takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Latch::SIZE, 64);
    /// ```
    pub const SIZE: usize = size_of::<RawLatch>();

    /// How many arrivals a latch can wait for at most: 2^30 - 1.
    ///
    /// ```
    /// assert_eq!(shm_sync::Latch::MAX_PARTIES, (1 << 30) - 1);
    /// ```
    pub const MAX_PARTIES: u32 = MOST;

    /// How many arrivals the latch was made for.
    ///
    /// ```
    /// # use shm_sync::{Latch, Primitive};
    /// let latch = Latch::anonymous(3)?;
    /// latch.count_down(1)?;
    /// assert_eq!((latch.parties(), latch.remaining()?), (3, 2));
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// How many arrivals are still to come at this moment; 0: the latch is open.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Latch, Primitive};
    /// assert_eq!(Latch::anonymous(3)?.remaining()?, 3);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn remaining(&self) -> Result<u32, Error> {
        const VERB: &str = "look at";
        self.countdown(VERB)?.remaining(self.parties).map_err(|Damaged| self.damaged(VERB))
    }

    /// Counts so many arrivals, and opens the latch if they were the last. Does not block.
    ///
    /// # Errors
    /// [`ErrorKind::Overflow`] if fewer are to come (so the latch counts nobody twice without a word); [`ErrorKind::InvalidArgument`] for zero arrivals;
    /// [`ErrorKind::Corrupt`]. Nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Latch, Primitive};
    /// let latch = Latch::anonymous(2)?;
    /// assert_eq!(latch.count_down(3).unwrap_err().kind(), ErrorKind::Overflow);
    /// latch.count_down(2)?;
    /// assert_eq!(latch.remaining()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn count_down(&self, arrivals: u32) -> Result<(), Error> {
        const VERB: &str = "count down";
        if arrivals == 0 {
            return Err(self
                .handle
                .error(VERB, ErrorKind::InvalidArgument)
                .detail("0 arrivals are none to count"));
        }
        let countdown = self.countdown(VERB)?;
        let counted = match Me::registered() {
            Some(me) => countdown.count_down(self.parties, arrivals, me),
            // Without a robust list (the first wait would say so) the wake-up has one net less.
            None => countdown.count_down(self.parties, arrivals, Me::get().ok()),
        };
        counted.map_err(|refused| match refused {
            NotCounted::Damaged => self.damaged(VERB),
            NotCounted::BelowZero(remaining) => self.handle.error(VERB, ErrorKind::Overflow).detail(format!(
                "{remaining} of {} arrivals are still to come, and {arrivals} were counted",
                self.parties
            )),
        })
    }

    /// Waits until the latch is open, as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged; [`ErrorKind::Unsupported`] where a wait cannot be made safe against death.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Latch, Primitive};
    /// let latch = Latch::anonymous(1)?;
    /// latch.count_down(1)?;
    /// latch.wait()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_with(Patience::default)
    }

    /// Counts one arrival and waits until the latch is open.
    ///
    /// There is no such call with a deadline, since one that gave up and was made again would arrive twice: [count down](Self::count_down) first, and
    /// then wait as often as need be.
    ///
    /// # Errors
    /// As [`count_down`](Self::count_down) and [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Latch, Primitive};
    /// let start = Latch::anonymous(2)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| start.arrive_and_wait());
    ///     start.arrive_and_wait()
    /// })?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn arrive_and_wait(&self) -> Result<(), Error> {
        self.count_down(1)?;
        self.wait()
    }

    /// Passes if the latch is open.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is not; [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Latch, Primitive};
    /// let latch = Latch::anonymous(1)?;
    /// assert_eq!(latch.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_wait(&self) -> Result<(), Error> {
        match self.remaining()? {
            0 => Ok(()),
            remaining => {
                let detail = format!("{remaining} of {} arrivals are still to come", self.parties);
                Err(self.handle.error("wait for", ErrorKind::Busy).detail(detail))
            }
        }
    }

    /// Waits until the latch is open, for `timeout` at most. A timeout of zero still passes an open latch.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not open in that time; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Latch, Primitive};
    /// # use std::time::Duration;
    /// let latch = Latch::anonymous(1)?;
    /// let error = latch.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.wait_with(|| Patience::for_at_most(timeout))
    }

    /// Waits until the latch is open, until `deadline` at most. A deadline that has passed still passes an open latch.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not open before; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Latch, Primitive};
    /// # use std::time::{Duration, Instant};
    /// # let latch = Latch::anonymous(1)?;
    /// latch.count_down(1)?;
    /// latch.wait_until(Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_until(&self, deadline: Instant) -> Result<(), Error> {
        self.wait_with(|| Patience::until(deadline))
    }

    /// Waits until the latch is open, until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`wait_until`](Self::wait_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Latch, Primitive};
    /// # let latch = Latch::anonymous(1)?;
    /// # latch.count_down(1)?;
    /// while let Err(error) = latch.wait_interruptible(None) {
    ///     if error.kind() != ErrorKind::Interrupted {
    ///         return Err(error);
    ///     }
    ///     // run the language's handlers
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.wait_with(|| Patience::interruptible(deadline))
    }

    #[inline(always)]
    fn wait_with(&self, patience: impl FnOnce() -> Patience) -> Result<(), Error> {
        if self.countdown("wait for")?.remaining(self.parties) == Ok(0) {
            Ok(())
        } else {
            self.wait_slowly(patience())
        }
    }

    #[cold]
    #[inline(never)]
    fn wait_slowly(&self, patience: Patience) -> Result<(), Error> {
        const VERB: &str = "wait for";
        let me = Me::get().map_err(|error| error.on(self.handle.name()))?;
        match self.handle.raw().countdown.wait(self.parties, me, patience) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Damaged)) => Err(self.damaged(VERB)),
            Err(GaveUp::TimedOut) => Err(self.handle.error(VERB, ErrorKind::TimedOut)),
            Err(GaveUp::Interrupted) => Err(self.handle.error(VERB, ErrorKind::Interrupted)),
        }
    }

    #[cold]
    fn damaged(&self, verb: &str) -> Error {
        self.handle
            .error(verb, ErrorKind::Corrupt)
            .detail(format!("more arrivals are to come than the {} that it was made for", self.parties))
    }

    /// The count, if this is still the latch that it was.
    #[inline(always)]
    fn countdown(&self, verb: &str) -> Result<&Countdown, Error> {
        if self.handle.identity() == Kind::LATCH.identity(self.parties) {
            Ok(&self.handle.raw().countdown)
        } else {
            Err(self.handle.error(verb, ErrorKind::Corrupt))
        }
    }
}

impl Object for Latch {
    type Initial = u32;

    const KIND: Kind = Kind::LATCH;

    fn image(parties: u32) -> Result<Image, Error> {
        if parties == 0 || parties > MOST {
            return Err(Error::new("create the latch", ErrorKind::InvalidArgument).detail(format!(
                "it is to wait for {parties} arrivals, and that has to be from 1 to {MOST}"
            )));
        }
        Ok(Image::new(Kind::LATCH, parties, Self::SIZE).with(REMAINING, &parties.to_le_bytes()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawLatch>::open(place, verb, None)?;
        match handle.parameter() {
            Some(parties @ 1..=MOST) => Ok(Self { handle, parties }),
            parameter => Err(handle
                .error(verb, ErrorKind::Corrupt)
                .detail(format!("the number of its parties is {parameter:?}"))),
        }
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one latch; `Initial` is the number of arrivals that it waits for, from 1 to [`Latch::MAX_PARTIES`]. Zero bytes are not one yet: make it
/// with [`init_at`](Primitive::init_at).
impl Primitive for Latch {}

impl Clone for Latch {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), parties: self.parties }
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch")
            .field("name", &self.handle.name())
            .field("parties", &self.parties)
            .finish_non_exhaustive()
    }
}
