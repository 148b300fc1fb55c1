//! `Once`: something that is to be done once, by whichever thread of whichever process comes first, and is then done for all.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | word | see `base::word`; held by whoever runs it |
//! | 4 | state | 0 not done, 1 being run, 2 done; written by the holder only |
//! | 8 | identity | see `handle`; its parameter is 0 |
//! | 16 | | the rest of the slot, see `base::slot`; notes 0 |
//!
//! All zero is one that was not run yet. Whoever gets the word and finds "being run" knows that the last runner died or panicked: the state
//! tells it, not the word's "owner died", so that whoever dies after it has taken the word and before it runs leaves no news. "Done" is stored
//! with release and looked at with acquire, so that whoever sees it sees what was done.

use crate::base::robust::Me;
use crate::base::slot::{Slot, Wait};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind, Raw};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

const NOT_DONE: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;

const RUN: &str = "run the once";

/// See the head of this file.
#[repr(transparent)]
pub(crate) struct RawOnce(Slot);

impl Raw for RawOnce {
    const KIND: Kind = Kind::ONCE;

    fn identity(&self) -> &AtomicU64 {
        &self.0.identity
    }
}

/// Something that is done once, by one thread of one process, while the others wait for it.
///
/// A `Once` is a handle: several handles, in several processes, name one; [`Clone`] makes another. What is done usually fills something
/// that lies beside it in the segment.
///
/// # When the runner dies
/// If the process that runs it is killed, its thread ends, or the closure panics, what it makes may be half-made, and it is not done.
/// [`call_once`](Self::call_once) then fails with [`ErrorKind::RunnerDied`], for everybody, until a
/// [`call_once_force`](Self::call_once_force) has got it done: the closure of that is told of the death, and one of those who wait runs at a
/// time. A waiter that dies leaves nothing behind.
///
/// # Fork
/// A child forked inside the closure is not the runner: the call that it inherited returns [`ErrorKind::Busy`] there and changes nothing.
///
/// # Examples
/// ```
/// use shm_sync::{Once, Primitive};
///
/// let once = Once::anonymous(())?;
/// let mut runs = 0;
/// for _ in 0..3 {
///     once.call_once(|| runs += 1)?;
/// }
/// assert_eq!(runs, 1);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[derive(Clone)]
pub struct Once {
    handle: Handle<RawOnce>,
}

/// What the closure of [`Once::call_once_force`] is told.
///
/// ```
/// # use shm_sync::{Once, Primitive};
/// Once::anonymous(())?.call_once_force(|state| assert!(!state.previous_died()))?;
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[derive(Debug)]
pub struct OnceState {
    previous_died: bool,
}

impl OnceState {
    /// Whether somebody ran it before, and died or panicked half-way.
    ///
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// let elsewhere = once.clone();
    /// std::thread::spawn(move || elsewhere.call_once(|| panic!("half-way through"))).join().unwrap_err();
    /// once.call_once_force(|state| assert!(state.previous_died()))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn previous_died(&self) -> bool {
        self.previous_died
    }
}

impl Once {
    /// How many bytes it takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Once::SIZE, 64);
    /// ```
    pub const SIZE: usize = size_of::<RawOnce>();

    /// How its address has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Once::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawOnce>();

    /// Whether it is done. Then what was done is visible to this thread. Does not wait.
    ///
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// assert!(!once.is_completed());
    /// once.call_once(|| ())?;
    /// assert!(once.is_completed());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.handle.raw().0.note.load(Acquire) == DONE
    }

    /// Runs `run` unless it is done; waits while somebody else runs it, as long as it takes. Afterwards it is done.
    ///
    /// # Errors
    /// [`ErrorKind::RunnerDied`] if somebody died or panicked while running it; [`ErrorKind::Deadlock`] if this thread is running it;
    /// [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`]. Nothing was run then.
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Mutex, Once, Primitive};
    ///
    /// let (once, table) = (Once::anonymous(())?, Mutex::anonymous([0u32; 4])?);
    /// once.call_once(|| *table.lock().unwrap() = [1, 4, 9, 16])?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once(&self, run: impl FnOnce()) -> Result<(), Error> {
        self.run(Wait::forever, refusing(run))
    }

    /// Runs `run` unless it is done, or says that somebody else is running it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody is running it; otherwise as [`call_once`](Self::call_once).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// once.try_call_once(|| ())?;
    /// assert!(once.is_completed());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_call_once(&self, run: impl FnOnce()) -> Result<(), Error> {
        self.run(|| Wait::Not, refusing(run))
    }

    /// Runs `run` unless it is done; waits for `timeout` at most while somebody else runs it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody is still running it then; otherwise as [`call_once`](Self::call_once).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// # use std::time::Duration;
    /// Once::anonymous(())?.call_once_timeout(Duration::from_secs(1), || ())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_timeout(&self, timeout: Duration, run: impl FnOnce()) -> Result<(), Error> {
        self.run(|| Wait::timeout(timeout), refusing(run))
    }

    /// Runs `run` unless it is done; waits until `deadline` at most while somebody else runs it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody is still running it then; otherwise as [`call_once`](Self::call_once).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// # use std::time::{Duration, Instant};
    /// Once::anonymous(())?.call_once_until(Instant::now() + Duration::from_secs(1), || ())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_until(&self, deadline: Instant, run: impl FnOnce()) -> Result<(), Error> {
        self.run(|| Wait::until(deadline), refusing(run))
    }

    /// Runs `run` unless it is done; waits until `deadline` (for ever without one), or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`call_once_until`](Self::call_once_until).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// match once.call_once_interruptible(None, || ()) {
    ///     Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers, call again */ }
    ///     other => other?,
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_interruptible(
        &self,
        deadline: Option<Instant>,
        run: impl FnOnce(),
    ) -> Result<(), Error> {
        self.run(|| Wait::interruptible(deadline), refusing(run))
    }

    /// Runs `run` unless it is done, also when somebody died running it, which `run` is told; waits while somebody else runs it.
    ///
    /// # Errors
    /// As [`call_once`](Self::call_once), without [`ErrorKind::RunnerDied`].
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// once.call_once_force(|state| {
    ///     if state.previous_died() {
    ///         // wipe what the other one may have left
    ///     }
    ///     // and make it anew
    /// })?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_force(&self, run: impl FnOnce(&OnceState)) -> Result<(), Error> {
        self.run(Wait::forever, forcing(run))
    }

    /// As [`call_once_force`](Self::call_once_force), or says that somebody else is running it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody is running it; otherwise as [`call_once_force`](Self::call_once_force).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// Once::anonymous(())?.try_call_once_force(|state| assert!(!state.previous_died()))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_call_once_force(&self, run: impl FnOnce(&OnceState)) -> Result<(), Error> {
        self.run(|| Wait::Not, forcing(run))
    }

    /// As [`call_once_force`](Self::call_once_force), waiting for `timeout` at most.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody is still running it then; otherwise as [`call_once_force`](Self::call_once_force).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// # use std::time::Duration;
    /// Once::anonymous(())?.call_once_force_timeout(Duration::from_secs(1), |_| ())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_force_timeout(
        &self,
        timeout: Duration,
        run: impl FnOnce(&OnceState),
    ) -> Result<(), Error> {
        self.run(|| Wait::timeout(timeout), forcing(run))
    }

    /// As [`call_once_force`](Self::call_once_force), waiting until `deadline` at most.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody is still running it then; otherwise as [`call_once_force`](Self::call_once_force).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// # use std::time::{Duration, Instant};
    /// Once::anonymous(())?.call_once_force_until(Instant::now() + Duration::from_secs(1), |_| ())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_force_until(
        &self,
        deadline: Instant,
        run: impl FnOnce(&OnceState),
    ) -> Result<(), Error> {
        self.run(|| Wait::until(deadline), forcing(run))
    }

    /// As [`call_once_force`](Self::call_once_force), waiting until `deadline` (for ever without one) or until a signal handler has run in this
    /// thread.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if somebody is still running it then, [`ErrorKind::Interrupted`] after a signal; otherwise as
    /// [`call_once_force`](Self::call_once_force).
    ///
    /// # Panics
    /// When `run` does.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let soon = Instant::now() + Duration::from_secs(1);
    /// Once::anonymous(())?.call_once_force_interruptible(Some(soon), |_| ())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn call_once_force_interruptible(
        &self,
        deadline: Option<Instant>,
        run: impl FnOnce(&OnceState),
    ) -> Result<(), Error> {
        self.run(|| Wait::interruptible(deadline), forcing(run))
    }

    /// Calls `run`, which says whether it is done: for bindings to languages whose functions fail without a panic.
    ///
    /// False: `run` said no, and the next one is told as after a panic. `force`: also after another runner's death, as
    /// [`call_once_force`](Self::call_once_force). The wait is that of [`call_once_until`](Self::call_once_until), or
    /// [`call_once_interruptible`](Self::call_once_interruptible).
    ///
    /// # Errors
    /// As the forms of those names.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// assert!(!once.call_once_fallible(false, None, false, |_| false)?);
    /// let error = once.call_once_fallible(false, None, false, |_| true).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::RunnerDied);
    /// assert!(once.call_once_fallible(true, None, false, |state| state.previous_died())?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn call_once_fallible(
        &self,
        force: bool,
        deadline: Option<Instant>,
        interruptible: bool,
        run: impl FnOnce(&OnceState) -> bool,
    ) -> Result<bool, Error> {
        let wait = || match deadline {
            _ if interruptible => Wait::interruptible(deadline),
            Some(deadline) => Wait::until(deadline),
            None => Wait::forever(),
        };
        self.run_fallible(force, wait, run)
    }

    /// As [`call_once_fallible`](Self::call_once_fallible), if nobody else is at it.
    ///
    /// # Errors
    /// As [`try_call_once`](Self::try_call_once) and [`try_call_once_force`](Self::try_call_once_force).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Once, Primitive};
    /// let once = Once::anonymous(())?;
    /// assert!(once.try_call_once_fallible(false, |_| true)?);
    /// assert!(once.is_completed());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn try_call_once_fallible(
        &self,
        force: bool,
        run: impl FnOnce(&OnceState) -> bool,
    ) -> Result<bool, Error> {
        self.run_fallible(force, || Wait::Not, run)
    }

    fn run_fallible(
        &self,
        force: bool,
        wait: impl FnOnce() -> Wait,
        run: impl FnOnce(&OnceState) -> bool,
    ) -> Result<bool, Error> {
        let mut failed = false;
        let ran = self.run(wait, |state| {
            if state.previous_died && !force {
                return Err(ErrorKind::RunnerDied);
            }
            failed = !run(state);
            if failed { Err(ErrorKind::RunnerDied) } else { Ok(()) }
        });
        if failed { Ok(false) } else { ran.map(|()| true) }
    }

    /// `run` may refuse.
    #[inline(always)]
    fn run(
        &self,
        wait: impl FnOnce() -> Wait,
        run: impl FnOnce(&OnceState) -> Result<(), ErrorKind>,
    ) -> Result<(), Error> {
        if self.is_completed() {
            return Ok(());
        }
        let mut run = Some(run);
        self.run_slowly(wait(), &mut |state| run.take().map_or(Ok(()), |run| run(state)))
    }

    #[cold]
    #[inline(never)]
    fn run_slowly(
        &self,
        wait: Wait,
        run: &mut dyn FnMut(&OnceState) -> Result<(), ErrorKind>,
    ) -> Result<(), Error> {
        let slot = &self.handle.raw().0;
        let error = |kind| Error::new(RUN, kind).on(self.handle.name());
        let locked = slot.take(RUN, wait).map_err(|error| error.on(self.handle.name()))?;
        // Gives the word up however this function is left. A panic leaves the state as it is.
        let running = Running { slot, generation: locked.me.generation() };
        let previous_died = match slot.note.load(Relaxed) {
            _ if self.handle.identity() != Self::IDENTITY => return Err(error(ErrorKind::Corrupt)),
            NOT_DONE => false,
            RUNNING => true,
            DONE => return Ok(()),
            _ => return Err(error(ErrorKind::Corrupt)),
        };
        if !previous_died {
            slot.note.store(RUNNING, Relaxed);
        }
        run(&OnceState { previous_died }).map_err(error)?;
        if Me::of(running.generation).is_none() {
            return Err(error(ErrorKind::Busy).detail("this process was forked from the one that runs it"));
        }
        slot.note.store(DONE, Release);
        Ok(())
    }

    const IDENTITY: u64 = Kind::ONCE.identity(0);
}

/// For callers that do not know what to do about a dead runner.
#[inline(always)]
fn refusing(run: impl FnOnce()) -> impl FnOnce(&OnceState) -> Result<(), ErrorKind> {
    |state| {
        if state.previous_died {
            return Err(ErrorKind::RunnerDied);
        }
        run();
        Ok(())
    }
}

/// For callers that do.
#[inline(always)]
fn forcing(run: impl FnOnce(&OnceState)) -> impl FnOnce(&OnceState) -> Result<(), ErrorKind> {
    |state| {
        run(state);
        Ok(())
    }
}

/// Whoever runs it, or is about to.
struct Running<'a> {
    slot: &'a Slot,
    generation: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Not in a forked child: there the parent has it.
        if let Some(me) = Me::of(self.generation) {
            self.slot.give_up(me);
        }
    }
}

impl Object for Once {
    type Initial = ();

    const KIND: Kind = Kind::ONCE;

    fn image((): ()) -> Result<Image, Error> {
        Ok(Image::new(Kind::ONCE, 0, Self::SIZE))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::open(place, verb, Some(Self::IDENTITY))?;
        if handle.identity() != Self::IDENTITY {
            return Err(handle.error(verb, ErrorKind::Mismatch));
        }
        Ok(Self { handle })
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one `Once`; `Initial` is `()`. Zero bytes are one that was not run yet.
impl Primitive for Once {}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("name", &self.handle.name())
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}
