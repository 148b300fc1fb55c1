//! `Semaphore`: permits without a bound, which anybody may give.

use super::permit::Permit;
use super::raw::{COUNT, MOST, RawSemaphore, Terms};
use crate::base::Patience;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use std::time::{Duration, Instant};

/// A number of permits: who finds none waits until somebody, in whatever process, gives one.
///
/// A `Semaphore` is a handle: several handles, in several processes, name one semaphore; [`Clone`] makes another. Permits belong to nobody: they may be
/// given back by another thread or process than the one that took them, and given without having been taken (a semaphore that begins with none
/// and gets one for every item of work). Where every release has to answer an acquire, use a [`BoundedSemaphore`](crate::BoundedSemaphore).
///
/// The next to come has the next permit, whether it waited or not; permits are not handed out in the order of arrival.
///
/// # When a process dies
/// A permit that was taken by a killed process, or by a thread that ended without dropping it, is lost: nobody but the program can know
/// whether it was about to be passed on. Give it anew with [`release`](Self::release) once the death is known. A killed waiter takes nothing with it, also
/// when it was woken already and did not run any more; a release that is killed half-way has either given its permits or not, and whoever waits for them
/// is woken.
///
/// # Fork and signals
/// A [`Permit`] that a forked child inherited is void there. Waiting and releasing are not for signal handlers.
///
/// # Examples
/// At most two at a time:
/// ```
/// use shm_sync::{Primitive, Semaphore};
///
/// let seats = Semaphore::anonymous(2)?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let _seat = seats.acquire()?;
///             // ... two threads at most are here ...
///             Ok::<(), shm_sync::Error>(())
///         });
///     }
/// });
/// assert_eq!(seats.available()?, 2);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Semaphore {
    handle: Handle<RawSemaphore>,
}

impl Semaphore {
    /// How many permits a semaphore can have at most: 2^30 - 1.
    ///
    /// ```
    /// assert_eq!(shm_sync::Semaphore::MAX_PERMITS, (1 << 30) - 1);
    /// ```
    pub const MAX_PERMITS: u32 = MOST;

    /// How many bytes a semaphore takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Semaphore::SIZE, 64);
    /// ```
    pub const SIZE: usize = size_of::<RawSemaphore>();

    /// Takes a permit, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged; [`ErrorKind::Unsupported`] where a wait cannot be made safe against death.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Semaphore};
    /// let semaphore = Semaphore::anonymous(1)?;
    /// let permit = semaphore.acquire()?;
    /// drop(permit); // gives it back
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(Terms::UNBOUNDED, Patience::default()))
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if there is none; [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Semaphore};
    /// let semaphore = Semaphore::anonymous(1)?;
    /// let permit = semaphore.try_acquire()?;
    /// assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.try_take(Terms::UNBOUNDED))
    }

    /// Takes a permit, waiting for it for `timeout` at most. A timeout of zero still takes a permit that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none in that time; otherwise as [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Semaphore};
    /// # use std::time::Duration;
    /// let semaphore = Semaphore::anonymous(0)?;
    /// let error = semaphore.acquire_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(Terms::UNBOUNDED, Patience::for_at_most(timeout)))
    }

    /// Takes a permit, waiting for it until `deadline` at most. A deadline that has passed still takes a permit that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none before; otherwise as [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Semaphore};
    /// # use std::time::{Duration, Instant};
    /// let semaphore = Semaphore::anonymous(1)?;
    /// let permit = semaphore.acquire_until(Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn acquire_until(&self, deadline: Instant) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(Terms::UNBOUNDED, Patience::until(deadline)))
    }

    /// Takes a permit, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`acquire_until`](Self::acquire_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, Semaphore};
    /// let semaphore = Semaphore::anonymous(1)?;
    /// let permit = loop {
    ///     match semaphore.acquire_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # drop(permit);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn acquire_interruptible(&self, deadline: Option<Instant>) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(Terms::UNBOUNDED, Patience::interruptible(deadline)))
    }

    /// Gives `permits` permits: those that were taken and [forgotten](Permit::forget), in whatever process, or new ones.
    ///
    /// Does not block. Needs no permit to have been taken before.
    ///
    /// # Errors
    /// [`ErrorKind::Overflow`] if there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS); [`ErrorKind::InvalidArgument`] for zero permits;
    /// [`ErrorKind::Corrupt`]. Nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Semaphore};
    /// let work = Semaphore::anonymous(0)?;
    /// work.release(3)?; // three items of work
    /// for _ in 0..3 {
    ///     work.acquire()?.forget();
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn release(&self, permits: u32) -> Result<(), Error> {
        if self.handle.raw().give_free(Terms::UNBOUNDED, permits) {
            Ok(())
        } else {
            self.handle.give(Terms::UNBOUNDED, permits)
        }
    }

    /// How many permits are there at this moment; others may take and give meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, Semaphore};
    /// assert_eq!(Semaphore::anonymous(5)?.available()?, 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn available(&self) -> Result<u32, Error> {
        self.handle.available(Terms::UNBOUNDED)
    }

    #[inline(always)]
    fn acquire_or(
        &self,
        slowly: impl FnOnce(&Handle<RawSemaphore>) -> Result<(), Error>,
    ) -> Result<Permit<'_>, Error> {
        if !self.handle.raw().take_free(Terms::UNBOUNDED) {
            slowly(&self.handle)?;
        }
        Ok(Permit::new(self.handle.raw()))
    }
}

impl Object for Semaphore {
    type Initial = u32;

    const KIND: Kind = Kind::SEMAPHORE;

    fn image(permits: u32) -> Result<Image, Error> {
        if permits > MOST {
            return Err(Error::new("create the semaphore", ErrorKind::InvalidArgument)
                .detail(format!("{permits} permits are more than {MOST}")));
        }
        Ok(Image::new(Kind::SEMAPHORE, 0, Self::SIZE).with(COUNT, &permits.to_le_bytes()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let identity = Terms::UNBOUNDED.identity();
        let handle = Handle::<RawSemaphore>::open(place, verb, Some(identity))?;
        match handle.parameter() {
            Some(0) => Ok(Self { handle }),
            parameter => Err(handle
                .error(verb, ErrorKind::Corrupt)
                .detail(format!("its parameter is {parameter:?}, not 0"))),
        }
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one semaphore; `Initial` is the number of permits that it begins with, [`Semaphore::MAX_PERMITS`] at most. Zero bytes are a semaphore
/// without permits.
impl Primitive for Semaphore {}

impl Clone for Semaphore {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
