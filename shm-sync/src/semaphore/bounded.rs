//! `BoundedSemaphore`: permits that are given back, and never more of them than there were.

use super::permit::Permit;
use super::raw::{AnyRaw, COUNT, MOST, RawBoundedSemaphore, Terms};
use crate::base::Patience;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use std::time::{Duration, Instant};

/// A semaphore that begins with its bound of permits and refuses one more than that.
///
/// It is a [`Semaphore`](crate::Semaphore) in everything else: a handle to permits that belong to nobody. The bound finds the mistake of releasing
/// twice: not always, since somebody else's permit may be out at that moment, but never does it let more in at once than the bound says.
///
/// # When a process dies
/// A permit that was taken by a killed process, or by a thread that ended without dropping it, is lost. Give it anew with
/// [`release`](Self::release) once the death is known. Killed waiters and half-way releases are as with [`Semaphore`](crate::Semaphore).
///
/// # Fork and signals
/// A [`Permit`] that a forked child inherited is void there. Waiting and releasing are not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{BoundedSemaphore, ErrorKind, Primitive};
///
/// let connections = BoundedSemaphore::anonymous(8)?;
/// let connection = connections.acquire()?;
/// drop(connection);
/// assert_eq!(connections.release(1).unwrap_err().kind(), ErrorKind::Overflow);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct BoundedSemaphore {
    handle: Handle<RawBoundedSemaphore>,
    terms: Terms,
}

impl BoundedSemaphore {
    /// How many bytes a semaphore takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::BoundedSemaphore::SIZE, 64);
    /// ```
    pub const SIZE: usize = size_of::<RawBoundedSemaphore>();

    /// How many permits there are in all.
    ///
    /// ```
    /// # use shm_sync::{BoundedSemaphore, Primitive};
    /// let semaphore = BoundedSemaphore::anonymous(3)?;
    /// let permit = semaphore.acquire()?;
    /// assert_eq!((semaphore.bound(), semaphore.available()?), (3, 2));
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn bound(&self) -> u32 {
        self.terms.limit()
    }

    /// Takes a permit, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged; [`ErrorKind::Unsupported`] where a wait cannot be made safe against death.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, Primitive};
    /// let semaphore = BoundedSemaphore::anonymous(1)?;
    /// let permit = semaphore.acquire()?;
    /// drop(permit); // gives it back
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(self.terms, Patience::default()))
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if there is none; [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, ErrorKind, Primitive};
    /// let semaphore = BoundedSemaphore::anonymous(1)?;
    /// let permit = semaphore.try_acquire()?;
    /// assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.try_take(self.terms))
    }

    /// Takes a permit, waiting for it for `timeout` at most. A timeout of zero still takes a permit that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none in that time; otherwise as [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, Primitive};
    /// # use std::time::Duration;
    /// let semaphore = BoundedSemaphore::anonymous(1)?;
    /// let permit = semaphore.acquire_timeout(Duration::from_millis(100))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(self.terms, Patience::for_at_most(timeout)))
    }

    /// Takes a permit, waiting for it until `deadline` at most. A deadline that has passed still takes a permit that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none before; otherwise as [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let semaphore = BoundedSemaphore::anonymous(1)?;
    /// let permit = semaphore.acquire_until(Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn acquire_until(&self, deadline: Instant) -> Result<Permit<'_>, Error> {
        self.acquire_or(|handle| handle.take(self.terms, Patience::until(deadline)))
    }

    /// Takes a permit, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`acquire_until`](Self::acquire_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, ErrorKind, Primitive};
    /// let semaphore = BoundedSemaphore::anonymous(1)?;
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
        self.acquire_or(|handle| handle.take(self.terms, Patience::interruptible(deadline)))
    }

    /// Gives `permits` permits back that were taken and [forgotten](Permit::forget), in whatever process.
    ///
    /// Does not block.
    ///
    /// # Errors
    /// [`ErrorKind::Overflow`] if there would be more than the bound; [`ErrorKind::InvalidArgument`] for zero permits; [`ErrorKind::Corrupt`].
    /// Nothing is changed then: of several permits none is given.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, ErrorKind, Primitive};
    /// let semaphore = BoundedSemaphore::anonymous(2)?;
    /// semaphore.acquire()?.forget();
    /// assert_eq!(semaphore.release(2).unwrap_err().kind(), ErrorKind::Overflow);
    /// semaphore.release(1)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn release(&self, permits: u32) -> Result<(), Error> {
        if self.handle.raw().semaphore().give_free(self.terms, permits) {
            Ok(())
        } else {
            self.handle.give(self.terms, permits)
        }
    }

    /// How many permits are there at this moment; others may take and give meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{BoundedSemaphore, Primitive};
    /// assert_eq!(BoundedSemaphore::anonymous(5)?.available()?, 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn available(&self) -> Result<u32, Error> {
        self.handle.available(self.terms)
    }

    #[inline(always)]
    fn acquire_or(
        &self,
        slowly: impl FnOnce(&Handle<RawBoundedSemaphore>) -> Result<(), Error>,
    ) -> Result<Permit<'_>, Error> {
        let raw = self.handle.raw().semaphore();
        if !raw.take_free(self.terms) {
            slowly(&self.handle)?;
        }
        Ok(Permit::new(raw))
    }
}

impl Object for BoundedSemaphore {
    type Initial = u32;

    const KIND: Kind = Kind::BOUNDED_SEMAPHORE;

    fn image(bound: u32) -> Result<Image, Error> {
        if bound == 0 || bound > MOST {
            return Err(Error::new("create the bounded semaphore", ErrorKind::InvalidArgument)
                .detail(format!("the bound is {bound}, and has to be from 1 to {MOST}")));
        }
        Ok(Image::new(Kind::BOUNDED_SEMAPHORE, bound, Self::SIZE).with(COUNT, &bound.to_le_bytes()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawBoundedSemaphore>::open(place, verb, None)?;
        match handle.parameter() {
            Some(bound @ 1..=MOST) => Ok(Self { handle, terms: Terms::bounded(bound) }),
            parameter => {
                Err(handle.error(verb, ErrorKind::Corrupt).detail(format!("its bound is {parameter:?}")))
            }
        }
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one semaphore; `Initial` is its bound, from 1 to [`Semaphore::MAX_PERMITS`](crate::Semaphore::MAX_PERMITS), all of it there. Zero bytes
/// are not one yet: make it with [`init_at`](Primitive::init_at).
impl Primitive for BoundedSemaphore {}

impl Clone for BoundedSemaphore {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), terms: self.terms }
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("name", &self.handle.name())
            .field("bound", &self.bound())
            .finish_non_exhaustive()
    }
}
