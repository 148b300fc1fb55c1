//! The sequencer that users see: taking turns, taking them over from the dead, passing them over.
//!
//! The order of the steps, and who sleeps where, are `raw`'s.

use super::raw::{Look, RawSequencer, STATE, Slept};
use super::state::{AHEAD, LAST, State};
use crate::base::Patience;
use crate::base::atomics::SpinWait;
use crate::base::futex::Deadline;
use crate::base::robust::{MAX_HELD, Me};
use crate::base::slot::Wait;
use crate::base::word::Acquired;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use core::marker::PhantomData;
use std::time::{Duration, Instant};

/// Turns in the order of their numbers, between threads and processes alike: whoever has turn 7 goes when turn 6 is over, and not before.
///
/// It is a handle, as every primitive: several handles, in several processes, name one sequencer. Each number is one turn, taken once, by whoever asks
/// for it; the sequencer does not care who that is. [`turn`](Self::turn) waits and gives a [`Turn`], and dropping that ends the turn.
///
/// # When a process dies
/// - *In its turn* (killed, its thread ended, or by a panic with the [`Turn`] in its hands): everybody who waits, and everybody who comes, gets
///   [`ErrorKind::Broken`] at once. [`current`](Self::current) is the turn at which it died. It goes on when somebody takes that turn over with
///   [`recover`](Self::recover), to do it again, or passes it over with [`skip`](Self::skip). If that one dies too, it is broken again.
/// - *Before its turn*, waiting or not: its turn never comes by itself, and nobody is told, because any thread could still ask for it. Whoever
///   hands out the numbers has to notice the death and give the number to somebody else, or `skip` it; waiting with a deadline tells that
///   something is amiss.
/// - *Right after its turn*: nothing. The turn is over, and others go on.
///
/// # Fork and signals
/// A [`Turn`] that a forked child inherited is void: dropping it does nothing. The child can take turns of its own. A signal handler that runs
/// during a wait ends the [`turn_interruptible`](Self::turn_interruptible) form only. None of this is for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Mutex, Primitive, Sequencer};
///
/// let (order, log) = (Sequencer::anonymous(0)?, Mutex::anonymous([0u64; 4])?);
/// let threads: Vec<_> = (0..4u64)
///     .rev()
///     .map(|number| {
///         let (order, log) = (order.clone(), log.clone());
///         std::thread::spawn(move || -> Result<(), shm_sync::Error> {
///             let _turn = order.turn(number)?;
///             let place = order.current() as usize;
///             log.lock()?[place] = number;
///             Ok(())
///         })
///     })
///     .collect();
/// for thread in threads {
///     thread.join().unwrap()?;
/// }
/// assert_eq!(*log.lock()?, [0, 1, 2, 3]);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Sequencer {
    handle: Handle<RawSequencer>,
}

/// The current turn of a [`Sequencer`]; dropping this ends it, and the next one may begin.
///
/// It stays in the thread that took it. If the thread began to panic while it had it, or dies, the turn is not over, but broken. In a forked child
/// an inherited one is void: dropping it does nothing.
///
/// ```
/// use shm_sync::{Primitive, Sequencer};
///
/// let order = Sequencer::anonymous(3)?;
/// let turn = order.turn(3)?;
/// assert_eq!((turn.number(), order.current()), (3, 3));
/// drop(turn);
/// assert_eq!(order.current(), 4);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// It cannot leave its thread:
/// ```compile_fail,E0277
/// # use shm_sync::{Primitive, Sequencer};
/// let order = Sequencer::anonymous(0).unwrap();
/// let turn = order.turn(0).unwrap();
/// std::thread::scope(|scope| scope.spawn(move || drop(turn)));
/// ```
#[must_use = "dropping it ends the turn at once"]
pub struct Turn<'a> {
    sequencer: &'a Sequencer,
    number: u64,
    generation: u64,
    /// The thread was unwinding already when it took the turn: its panic says nothing about it.
    unwinding: bool,
    /// It stays in its thread.
    stays: PhantomData<*const ()>,
}

const TAKE: &str = "take a turn of the sequencer";
const RECOVER: &str = "take over a turn of the sequencer";
const SKIP: &str = "pass over a turn of the sequencer";
const RESET: &str = "reset the sequencer";

impl<'a> Turn<'a> {
    fn new(sequencer: &'a Sequencer, number: u64, me: Me) -> Self {
        Self {
            sequencer,
            number,
            generation: me.generation(),
            unwinding: std::thread::panicking(),
            stays: PhantomData,
        }
    }

    /// Which turn it is.
    ///
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// assert_eq!(Sequencer::anonymous(5)?.turn(5)?.number(), 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(me) = Me::of(self.generation) else { return };
        let raw = self.sequencer.handle.raw();
        if std::thread::panicking() && !self.unwinding {
            raw.end_as_dead(me);
        } else {
            raw.end(self.number, me);
        }
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.number).finish()
    }
}

impl Sequencer {
    const IDENTITY: u64 = Kind::SEQUENCER.identity(0);

    /// Waits until turn `n` comes, and takes it.
    ///
    /// Blocks for as long as it takes; a signal does not end it. Numbers go up to 2^44 - 2.
    ///
    /// # Errors
    /// - [`ErrorKind::Broken`] if somebody died in the current turn, whichever that is: before this call or while it waits;
    /// - [`ErrorKind::InvalidArgument`] if turn `n` is over, was passed over, or is taken by another thread, or for a number that is too high;
    /// - [`ErrorKind::Deadlock`] if this thread has a turn of this sequencer;
    /// - [`ErrorKind::TooManyLocks`] (a thread holds 2 000 at most), [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// drop(order.turn(0)?);
    /// let turn = order.turn(1)?;
    /// # drop(turn);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn turn(&self, n: u64) -> Result<Turn<'_>, Error> {
        self.turn_with(n, || Wait::For(Patience::default()))
    }

    /// Takes turn `n` if it is the current one and nobody has it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is still to come; otherwise as [`turn`](Self::turn).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// assert_eq!(order.try_turn(1).unwrap_err().kind(), ErrorKind::Busy);
    /// drop(order.try_turn(0)?);
    /// assert_eq!(order.try_turn(0).unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_turn(&self, n: u64) -> Result<Turn<'_>, Error> {
        self.turn_with(n, || Wait::Not)
    }

    /// Waits until turn `n` comes, for `timeout` at most, and takes it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it did not come in that time; otherwise as [`turn`](Self::turn).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Sequencer};
    /// # use std::time::Duration;
    /// let order = Sequencer::anonymous(0)?;
    /// let error = order.turn_timeout(1, Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn turn_timeout(&self, n: u64, timeout: Duration) -> Result<Turn<'_>, Error> {
        let deadline = Some(Deadline::after(timeout));
        self.turn_with(n, || Wait::For(Patience { deadline, interruptible: false }))
    }

    /// Waits until turn `n` comes, until `deadline` at most, and takes it.
    ///
    /// # Errors
    /// As [`turn_timeout`](Self::turn_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// # use std::time::{Duration, Instant};
    /// let order = Sequencer::anonymous(0)?;
    /// drop(order.turn_until(0, Instant::now() + Duration::from_secs(1))?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn turn_until(&self, n: u64, deadline: Instant) -> Result<Turn<'_>, Error> {
        let deadline = Some(Deadline::at(deadline));
        self.turn_with(n, || Wait::For(Patience { deadline, interruptible: false }))
    }

    /// Waits until turn `n` comes, until `deadline` (for ever without one) or until a signal handler has run in this thread, and takes it.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`turn_until`](Self::turn_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// let turn = loop {
    ///     match order.turn_interruptible(0, None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # drop(turn);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn turn_interruptible(&self, n: u64, deadline: Option<Instant>) -> Result<Turn<'_>, Error> {
        let deadline = deadline.map(Deadline::at);
        self.turn_with(n, || Wait::For(Patience { deadline, interruptible: true }))
    }

    /// Takes turn `n` if it is the current one and nobody alive has it: over from somebody who died in it, or for the first time.
    ///
    /// Of several who try, one succeeds. Does not wait. The turn is done when the [`Turn`] is dropped, as always.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is still to come, or somebody is at it; [`ErrorKind::InvalidArgument`] if it is over; otherwise as
    /// [`turn`](Self::turn), without [`ErrorKind::Broken`].
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{ErrorKind, Primitive, Sequencer};
    ///
    /// let order = Sequencer::anonymous(0)?;
    /// let worker = order.clone();
    /// std::thread::spawn(move || {
    ///     let _turn = worker.turn(0);
    ///     panic!("half-way through");
    /// }).join().unwrap_err();
    ///
    /// assert_eq!(order.turn(1).unwrap_err().kind(), ErrorKind::Broken);
    /// let turn = order.recover(order.current())?;
    /// // ... do the work of turn 0 again ...
    /// drop(turn);
    /// drop(order.turn(1)?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(&self, n: u64) -> Result<Turn<'_>, Error> {
        self.check(RECOVER, n)?;
        match self.raw().look(n).0 {
            Look::Passed => return Err(self.passed(RECOVER, n)),
            _ if n != self.current() => {
                return Err(self
                    .error(RECOVER, ErrorKind::Busy)
                    .detail(format!("turn {} comes before turn {n}", self.current())));
            }
            _ => {}
        }
        let (me, acquired) = self.take_slot(RECOVER)?;
        if acquired == Acquired::Clean {
            // Who gave it up may not have got to the end of that.
            self.raw().settle();
        }
        if self.raw().begin(n, true) {
            return Ok(Turn::new(self, n, me));
        }
        self.give_back(me, acquired);
        Err(self.passed(RECOVER, n))
    }

    /// Passes turn `n` over: for a turn whose owner has died before it came, or in it, and whose work will not be done.
    ///
    /// The current turn is over at once. One of the 15 after it is marked, and passed over when it comes; marking it twice is no error. Whoever asks
    /// for a turn that was passed over gets [`ErrorKind::InvalidArgument`]. Does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody alive is at it, or if it is more than 15 turns ahead (come again later, or wait for it with
    /// [`turn_timeout`](Self::turn_timeout)); [`ErrorKind::InvalidArgument`] if it is over; otherwise as [`recover`](Self::recover).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// order.skip(1)?; // later
    /// order.skip(0)?; // now
    /// assert_eq!(order.current(), 2);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn skip(&self, n: u64) -> Result<(), Error> {
        self.check(SKIP, n)?;
        loop {
            match self.raw().look(n) {
                (Look::Passed, _) => return Err(self.passed(SKIP, n)),
                (_, state) if state.turn() == n => return self.recover(n).map(drop),
                _ => {}
            }
            match self.raw().mark_skipped(n) {
                Some(true) => return Ok(()),
                // It has moved on meanwhile: look again.
                Some(false) => {}
                None if n <= self.current().saturating_add(AHEAD) => {}
                None => {
                    return Err(self.error(SKIP, ErrorKind::Busy).detail(format!(
                        "turn {n} is more than {AHEAD} ahead of the current one, {}",
                        self.current()
                    )));
                }
            }
        }
    }

    /// Goes to turn `n`, forwards or back, and forgets what was to be passed over and who died.
    ///
    /// Those who wait go on waiting for their numbers; those whose number lies behind now get [`ErrorKind::InvalidArgument`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody alive has a turn; otherwise as [`recover`](Self::recover).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// drop(order.turn(0)?);
    /// order.reset(0)?;
    /// drop(order.turn(0)?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn reset(&self, n: u64) -> Result<(), Error> {
        self.check(RESET, n)?;
        let (me, _) = self.take_slot(RESET)?;
        self.raw().set(n);
        self.raw().give_back(me);
        Ok(())
    }

    /// The current turn: the one that somebody has, or that comes next. After a death, the one at which it happened.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// assert_eq!(Sequencer::anonymous(7)?.current(), 7);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn current(&self) -> u64 {
        // A turn whose holder has given it up is over, even if it was killed before it could say so.
        self.raw().look(0).1.turn()
    }

    /// The turn in which somebody died and which nobody has taken over yet, if there is one: a look, without an error.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Sequencer};
    /// let order = Sequencer::anonymous(0)?;
    /// let worker = order.clone();
    /// std::thread::spawn(move || std::mem::forget(worker.turn(0))).join().unwrap();
    /// while order.broken().is_none() {} // the kernel sees to it when the thread is gone
    /// assert_eq!(order.broken(), Some(0));
    /// order.skip(0)?;
    /// assert_eq!(order.broken(), None);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn broken(&self) -> Option<u64> {
        self.raw().broken()
    }

    #[inline(always)]
    fn turn_with(&self, n: u64, wait: impl FnOnce() -> Wait) -> Result<Turn<'_>, Error> {
        if let Some(me) = Me::registered()
            && self.handle.identity() == Self::IDENTITY
            && self.raw().state().is_free_for(n)
            && self.raw().slot().take_free(me)
        {
            if self.raw().begin(n, false) {
                return Ok(Turn::new(self, n, me));
            }
            self.raw().give_back(me);
        }
        self.turn_slowly(n, wait())
    }

    #[cold]
    #[inline(never)]
    fn turn_slowly(&self, n: u64, wait: Wait) -> Result<Turn<'_>, Error> {
        self.check(TAKE, n)?;
        let error = |kind| self.error(TAKE, kind);
        let me = Me::get()?;
        let mut spin = SpinWait::yielding();
        let mut passed_on = None;
        let mut slept = false;
        loop {
            let (look, state) = self.raw().look(n);
            match look {
                Look::Passed => return Err(self.passed(TAKE, n)),
                Look::Broken => {
                    // The kernel has woken one of those who sleep.
                    self.raw().wake_all();
                    return Err(
                        error(ErrorKind::Broken).detail(format!("the holder of turn {} died", state.turn()))
                    );
                }
                Look::Now => match self.take_slot(TAKE) {
                    Ok((me, Acquired::Clean)) => {
                        if self.raw().begin(n, false) {
                            return Ok(Turn::new(self, n, me));
                        }
                        self.raw().settle();
                        self.raw().give_back(me);
                        continue;
                    }
                    Ok((me, Acquired::OwnerDied)) => {
                        // It died just now, and this is not a call that takes over.
                        self.raw().end_as_dead(me);
                        continue;
                    }
                    Err(busy) if busy.kind() == ErrorKind::Busy => {}
                    Err(other) => return Err(other),
                },
                _ if self.raw().slot().is_held_by(me) => {
                    return Err(error(ErrorKind::Deadlock).detail("this thread has a turn of it"));
                }
                Look::Taken => {
                    return Err(error(ErrorKind::InvalidArgument)
                        .detail(format!("somebody else is at turn {n}, and a turn is taken once")));
                }
                Look::Held(_) | Look::Idle => {}
            }
            let Wait::For(patience) = wait else {
                return Err(
                    error(ErrorKind::Busy).detail(format!("turn {} comes before turn {n}", state.turn()))
                );
            };
            if spin.spin(patience) || look == Look::Now {
                continue;
            }
            if slept && look == Look::Idle && passed_on != Some(state) {
                // Woken while nobody has a turn, and not for this one: perhaps in the stead of somebody who was killed.
                passed_on = Some(state);
                self.raw().wake_current();
            }
            match self.raw().sleep(n, look, me, patience) {
                Slept::Look => {}
                Slept::TimedOut => {
                    return Err(error(ErrorKind::TimedOut).detail(format!("it is at turn {}", state.turn())));
                }
                Slept::Interrupted => return Err(error(ErrorKind::Interrupted)),
                Slept::TooManyLocks => {
                    return Err(
                        error(ErrorKind::TooManyLocks).detail(format!("this thread holds {MAX_HELD} locks"))
                    );
                }
            }
            slept = true;
            spin = SpinWait::yielding();
        }
    }

    /// Takes the slot if nobody alive has it.
    fn take_slot(&self, operation: &'static str) -> Result<(Me, Acquired), Error> {
        let locked = self.raw().slot().take(operation, Wait::Not);
        locked.map(|locked| (locked.me, locked.acquired)).map_err(|error| error.on(self.handle.name()))
    }

    fn error(&self, operation: &'static str, kind: ErrorKind) -> Error {
        Error::new(operation, kind).on(self.handle.name())
    }

    fn give_back(&self, me: Me, acquired: Acquired) {
        match acquired {
            Acquired::Clean => self.raw().give_back(me),
            Acquired::OwnerDied => self.raw().end_as_dead(me),
        }
    }

    fn check(&self, operation: &'static str, n: u64) -> Result<(), Error> {
        if self.handle.identity() != Self::IDENTITY {
            return Err(self.error(operation, ErrorKind::Corrupt));
        }
        if n > LAST {
            return Err(self
                .error(operation, ErrorKind::InvalidArgument)
                .detail(format!("turn {n} is more than {LAST}, the last one that there can be")));
        }
        Ok(())
    }

    #[cold]
    fn passed(&self, operation: &'static str, n: u64) -> Error {
        self.error(operation, ErrorKind::InvalidArgument)
            .detail(format!("turn {n} is over or was passed over; the current one is {}", self.current()))
    }

    #[inline(always)]
    fn raw(&self) -> &RawSequencer {
        self.handle.raw()
    }
}

impl Object for Sequencer {
    type Initial = u64;

    const KIND: Kind = Kind::SEQUENCER;

    fn image(first: u64) -> Result<Image, Error> {
        if first > LAST {
            return Err(Error::new("create the sequencer", ErrorKind::InvalidArgument)
                .detail(format!("turn {first} is more than {LAST}, the last one that there can be")));
        }
        let image = Image::new(Kind::SEQUENCER, 0, size_of::<RawSequencer>());
        Ok(image.with(STATE, &State::new(first).0.to_le_bytes()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawSequencer>::open(place, verb, Some(Self::IDENTITY))?;
        if handle.identity() != Self::IDENTITY {
            return Err(handle.error(verb, ErrorKind::Mismatch).detail("it has a parameter, and should not"));
        }
        Ok(Self { handle })
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one sequencer; `Initial` is its first turn. Zero bytes are one that begins with turn 0.
impl Primitive for Sequencer {}

impl Clone for Sequencer {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
