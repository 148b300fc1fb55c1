//! `Barrier`: parties of any process that wait for each other, again and again.
//!
//! This file has the public handle, `party` the seat that is held from round to round. Counting is `rounds`'s business, bytes, seats and sleeping
//! are `raw`'s.

mod party;
mod raw;
pub(crate) mod rounds;

pub use party::Party;

use crate::base::Patience;
use crate::base::futex::Deadline;
use crate::base::robust::Me;
use crate::base::slot::Wait;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use raw::{Hall, RawBarrier, Refusal};
use rounds::MAX_PARTIES;
use std::time::{Duration, Instant};

/// A barrier in shared pages: a number of parties wait until all of them have arrived, and then all go on; again and again.
///
/// A party is a thread of any process. Threads that come once in a while say [`wait`](Self::wait) and have a seat only as long as that takes. Threads
/// that come every round [`join`](Self::join) and keep their seat: then their death is noticed between the rounds as well. Both can be mixed. More
/// threads than parties may call `wait`: who finds all seats taken waits for the next round.
///
/// # When a party dies
/// If a party dies (its process is killed, or its thread ends or panics) while it has a seat, before it arrives, while it waits, or on its way
/// out, the barrier is *broken*: everybody who waits, and everybody who comes, gets [`ErrorKind::Broken`], at once, until somebody calls
/// [`reset`](Self::reset). So does [`abort`](Self::abort), and an action that panics. A party that got through before has got through. A party that
/// leaves its seat in good order breaks nothing; the others wait until somebody takes its place.
///
/// Waiters sleep on the seats of 127 neighbours, and the kernel wakes one of them when a party dies. Without `futex_waitv` (Linux before 5.16, or a
/// sandbox that forbids it) they look at the seats every 50 ms.
///
/// # Fork and signals
/// A seat belongs to the thread that took it; in a forked child the inherited [`Party`] is void. All processes have to be in one pid namespace. Waiting
/// is not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Barrier, Primitive};
///
/// let barrier = Barrier::anonymous(3)?; // for three parties
/// let leaders = std::thread::scope(|scope| {
///     let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait().unwrap().is_leader())).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).filter(|leads| *leads).count()
/// });
/// assert_eq!(leaders, 1);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Zero parties are refused:
/// ```
/// # use shm_sync::{Barrier, ErrorKind, Primitive};
/// assert_eq!(Barrier::anonymous(0).unwrap_err().kind(), ErrorKind::InvalidArgument);
/// ```
#[derive(Clone)]
pub struct Barrier {
    handle: Handle<RawBarrier>,
    parties: u32,
}

/// How a party got through a [`Barrier`].
///
/// ```
/// # use shm_sync::{Barrier, Primitive};
/// let arrival = Barrier::anonymous(1)?.wait()?;
/// assert_eq!((arrival.index(), arrival.is_leader()), (0, true));
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    seat: u32,
    leader: bool,
}

impl Arrival {
    /// The number of the party's seat: no two parties of a round have the same one, and all are less than the number of parties.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// assert_eq!(Barrier::anonymous(1)?.wait()?.index(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn index(self) -> usize {
        self.seat as usize
    }

    /// Whether this party was the last to arrive: exactly one in every round is.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// assert!(Barrier::anonymous(1)?.wait()?.is_leader());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_leader(self) -> bool {
        self.leader
    }
}

/// No action.
const NOTHING: Option<fn()> = None;

/// A wait that lasts as long as it takes.
const ENDLESS: Wait = Wait::For(Patience { deadline: None, interruptible: false });

fn until(deadline: Deadline) -> Wait {
    Wait::For(Patience { deadline: Some(deadline), interruptible: false })
}

fn interruptible(deadline: Option<Instant>) -> Wait {
    Wait::For(Patience { deadline: deadline.map(Deadline::at), interruptible: true })
}

impl Barrier {
    /// The largest number of parties.
    ///
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// let error = Barrier::anonymous(Barrier::MAX_PARTIES + 1).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// ```
    pub const MAX_PARTIES: u32 = MAX_PARTIES;

    /// How the address of a barrier has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Barrier::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawBarrier>();

    /// How many bytes a barrier for so many parties takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Barrier::size(4), 5 * 64);
    /// ```
    pub const fn size(parties: u32) -> usize {
        raw::size(parties)
    }

    /// Takes a seat for the calling thread, until the [`Party`] is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyParties`] if all seats are taken (also by those who are about to leave one), [`ErrorKind::Broken`] if that is because of the dead;
    /// [`ErrorKind::Deadlock`] if this thread has a seat; [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let barrier = Barrier::anonymous(2)?;
    /// std::thread::scope(|scope| {
    ///     for _ in 0..2 {
    ///         scope.spawn(|| {
    ///             let party = barrier.join().unwrap();
    ///             for _step in 0..10 {
    ///                 party.wait().unwrap();
    ///             }
    ///         });
    ///     }
    /// });
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn join(&self) -> Result<Party, Error> {
        let me = Me::get()?;
        let seat = self.hall().join(me).map_err(|refusal| self.refused("join", refusal))?;
        Ok(Party::new(self.clone(), me, seat))
    }

    /// Arrives, and waits for the others as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`]; [`ErrorKind::TooManyParties`] if all seats belong to parties that have [joined](Self::join); [`ErrorKind::Deadlock`] if this
    /// thread has joined (its [`Party`] waits); [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let barrier = Barrier::anonymous(2)?;
    /// let elsewhere = barrier.clone();
    /// let other = std::thread::spawn(move || elsewhere.wait());
    /// barrier.wait()?;
    /// other.join().unwrap()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn wait(&self) -> Result<Arrival, Error> {
        self.wait_as(ENDLESS, NOTHING)
    }

    /// Arrives if that completes the round: if all others are there.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if others are missing, or a seat; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// assert_eq!(Barrier::anonymous(2)?.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    /// assert!(Barrier::anonymous(1)?.try_wait()?.is_leader());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn try_wait(&self) -> Result<Arrival, Error> {
        self.wait_as(Wait::Not, NOTHING)
    }

    /// Arrives, and waits for the others for `timeout` at most. When that is over, it is as if this thread had not arrived; call
    /// [`abort`](Self::abort) if nobody else shall wait for it.
    ///
    /// If all have arrived and the last one runs its action at that moment, the arrival cannot be taken back, and the barrier is broken.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let barrier = Barrier::anonymous(2)?;
    /// let error = barrier.wait_timeout(Duration::from_millis(5)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert_eq!(barrier.n_waiting(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Arrival, Error> {
        self.wait_as(until(Deadline::after(timeout)), NOTHING)
    }

    /// Arrives, and waits for the others until `deadline` at most; see [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// # use std::time::Instant;
    /// Barrier::anonymous(1)?.wait_until(Instant::now())?; // it is the last one: no waiting
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_until(&self, deadline: Instant) -> Result<Arrival, Error> {
        self.wait_as(until(Deadline::at(deadline)), NOTHING)
    }

    /// Arrives, and waits until `deadline` (for ever without one) or until a signal handler has run in this thread. Then it is as if
    /// this thread had not arrived, and it can call again.
    ///
    /// A signal that arrives before the wait begins is not noticed. The kernel cannot interrupt a sleep on several words for every handler, so this
    /// wait sleeps on one, and looks at the seats every 50 ms.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`wait_until`](Self::wait_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// let barrier = Barrier::anonymous(1)?;
    /// let arrival = loop {
    ///     match barrier.wait_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # assert!(arrival.is_leader());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible(&self, deadline: Option<Instant>) -> Result<Arrival, Error> {
        self.wait_as(interruptible(deadline), NOTHING)
    }

    /// As [`wait`](Self::wait); if this is the last one to arrive, it runs `action` before it lets the others through.
    ///
    /// If `action` panics, or its thread dies in it, the barrier is broken.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); [`ErrorKind::Broken`] also if the barrier was broken or reset during the action.
    ///
    /// # Panics
    /// If `action` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let mut sum = 0;
    /// Barrier::anonymous(1)?.wait_with(|| sum += 1)?;
    /// assert_eq!(sum, 1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<Arrival, Error> {
        self.wait_as(ENDLESS, Some(action))
    }

    /// [`wait_interruptible`](Self::wait_interruptible) with an action as in [`wait_with`](Self::wait_with).
    ///
    /// # Errors
    /// As those two.
    ///
    /// # Panics
    /// If `action` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// Barrier::anonymous(1)?.wait_interruptible_with(None, || println!("all there"))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible_with(
        &self,
        deadline: Option<Instant>,
        action: impl FnOnce(),
    ) -> Result<Arrival, Error> {
        self.wait_as(interruptible(deadline), Some(action))
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes, gets [`ErrorKind::Broken`] until a [`reset`](Self::reset).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are no such barrier any more.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// let barrier = Barrier::anonymous(1)?;
    /// barrier.abort()?;
    /// assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn abort(&self) -> Result<(), Error> {
        self.hall().abort().map_err(|refusal| self.refused("abort", refusal))
    }

    /// Makes the barrier usable again: nobody has arrived, the seats of the dead are free. Parties that have joined keep their seats.
    ///
    /// Those who wait at this moment get [`ErrorKind::Broken`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`]; [`ErrorKind::TooManyLocks`] or [`ErrorKind::Unsupported`] if this thread cannot take the seats of the dead.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let barrier = Barrier::anonymous(1)?;
    /// barrier.abort()?;
    /// barrier.reset()?;
    /// barrier.wait()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn reset(&self) -> Result<(), Error> {
        self.hall().reset().map_err(|refusal| self.refused("reset", refusal))
    }

    /// Whether a party has died, or somebody aborted, since the last reset.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let barrier = Barrier::anonymous(2)?;
    /// assert!(!barrier.is_broken());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_broken(&self) -> bool {
        self.hall().is_broken()
    }

    /// How many parties have arrived and wait, right now.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// assert_eq!(Barrier::anonymous(2)?.n_waiting(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn n_waiting(&self) -> usize {
        self.hall().arrived() as usize
    }

    /// How many parties the barrier is for.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// assert_eq!(Barrier::anonymous(2)?.parties(), 2);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn parties(&self) -> usize {
        self.parties as usize
    }

    #[inline(always)]
    fn hall(&self) -> Hall<'_> {
        Hall::new(&self.handle, self.parties)
    }

    /// Waits in a seat that is taken for this wait.
    #[inline(always)]
    fn wait_as(&self, wait: Wait, action: Option<impl FnOnce()>) -> Result<Arrival, Error> {
        /// The seat, left also if the action panics.
        struct Seated<'a>(Hall<'a>, Me, u32);
        impl Drop for Seated<'_> {
            fn drop(&mut self) {
                self.0.leave(self.1, self.2);
            }
        }
        let (hall, me) = (self.hall(), Me::get()?);
        let seat = match hall.sit_down(me, wait) {
            Ok(seat) => seat,
            Err(refusal) => {
                let busy = matches!(wait, Wait::Not) && refusal.kind == ErrorKind::TooManyParties;
                let kind = if busy { ErrorKind::Busy } else { refusal.kind };
                return Err(self.refused("wait at", Refusal { kind, ..refusal }));
            }
        };
        let _seated = Seated(hall, me, seat);
        self.wait_in(seat, wait, action)
    }

    /// Waits in a seat that this thread has.
    #[inline(always)]
    fn wait_in(&self, seat: u32, wait: Wait, action: Option<impl FnOnce()>) -> Result<Arrival, Error> {
        match self.hall().wait(seat, wait, action) {
            Ok(leader) => Ok(Arrival { seat, leader }),
            Err(refusal) => Err(self.refused("wait at", refusal)),
        }
    }

    #[cold]
    fn refused(&self, verb: &str, refusal: Refusal) -> Error {
        let error = self.handle.error(verb, refusal.kind);
        match refusal.detail {
            Some(detail) => error.detail(detail),
            None => error,
        }
    }
}

impl Object for Barrier {
    type Initial = u32;

    const KIND: Kind = Kind::BARRIER;

    fn image(parties: u32) -> Result<Image, Error> {
        if parties == 0 || parties > MAX_PARTIES {
            return Err(Error::new(Kind::BARRIER.operation("create"), ErrorKind::InvalidArgument)
                .detail(format!("a barrier is for 1 to {MAX_PARTIES} parties, not for {parties}")));
        }
        Ok(Image::new(Kind::BARRIER, parties, raw::size(parties)))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawBarrier>::open(place, verb, None)?;
        let parties = handle.parameter().unwrap_or(0);
        if parties == 0 || parties > MAX_PARTIES || handle.len() < raw::size(parties) {
            let bytes = handle.len();
            return Err(handle
                .error(verb, ErrorKind::Mismatch)
                .detail(format!("it says that it is for {parties} parties, in {bytes} bytes")));
        }
        Ok(Self { handle, parties })
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one barrier; `Initial` is the number of parties. Zero bytes are not a barrier yet.
impl Primitive for Barrier {}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("name", &self.handle.name())
            .field("parties", &self.parties)
            .field("waiting", &self.n_waiting())
            .field("broken", &self.is_broken())
            .finish()
    }
}
