//! The public face of the event: what is checked before its state is believed, and the errors.

use super::signal::{Seen, Signal};
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

/// See the head of `event`.
#[repr(C, align(64))]
struct RawEvent {
    signal: Signal,
    identity: AtomicU64,
    _reserved: [AtomicU64; 6],
}

const _: () = {
    assert!(size_of::<RawEvent>() == 64 && size_of::<Signal>() == 8);
    assert!(offset_of!(RawEvent, signal) == 0 && offset_of!(RawEvent, identity) == 8);
};

/// Where the state lies.
const STATE: usize = 4;

const IDENTITY: u64 = Kind::EVENT.identity(0);

impl Raw for RawEvent {
    const KIND: Kind = Kind::EVENT;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

/// A flag that threads of any process wait for; it stays set until somebody clears it.
///
/// An `Event` is a handle: several handles, in several processes, name one event; [`Clone`] makes another. Whoever waits passes when the event is
/// set, or has been set since the wait began: setting and clearing it at once lets everybody through who was waiting, and nobody who comes later.
/// What a thread stored before it set the event is seen by whoever passes because of that.
///
/// # When a process dies
/// Nobody owns an event: it stays as the dead left it. A killed waiter takes nothing with it, also when it was woken already. A `set` that is killed half-way
/// has set the event or not; if it has, everybody passes who waits, a quarter of a second later at worst. Whether somebody is still there to set it is
/// not the event's business: wait with a deadline, or use a primitive with owners.
///
/// # Fork and signals
/// A child uses the handles that it inherited like anybody else. Waiting and setting are not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Event, Primitive};
///
/// let ready = Event::anonymous(false)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| ready.wait());
///     ready.set()
/// })?;
/// assert!(ready.is_set()?);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Event {
    handle: Handle<RawEvent>,
}

impl Event {
    /// How many bytes an event takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Event::SIZE, 64);
    /// ```
    pub const SIZE: usize = size_of::<RawEvent>();

    /// Sets the event and wakes everybody who waits for it. Does not block. An event that is set stays set.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Event, Primitive};
    /// let event = Event::anonymous(false)?;
    /// event.set()?;
    /// assert!(event.is_set()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn set(&self) -> Result<(), Error> {
        let signal = self.signal("set")?;
        match Me::registered() {
            Some(me) => signal.set(me),
            // Without a robust list (the first wait would say so) the wake-up has one net less.
            None => signal.set(Me::get().ok()),
        }
        Ok(())
    }

    /// Clears the event: who comes from now on waits. Does not block.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Event, Primitive};
    /// let event = Event::anonymous(true)?;
    /// event.clear()?;
    /// assert!(!event.is_set()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn clear(&self) -> Result<(), Error> {
        self.signal("clear")?.clear();
        Ok(())
    }

    /// Whether the event is set at this moment.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Event, Primitive};
    /// assert!(Event::anonymous(true)?.is_set()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn is_set(&self) -> Result<bool, Error> {
        Ok(self.signal("look at")?.look().is_set())
    }

    /// Waits until the event is set, as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the bytes are damaged; [`ErrorKind::Unsupported`] where a wait cannot be made safe against death.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Event, Primitive};
    /// let event = Event::anonymous(true)?;
    /// event.wait()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_with(Patience::default)
    }

    /// Passes if the event is set.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is not; [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Event, Primitive};
    /// let event = Event::anonymous(false)?;
    /// assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_wait(&self) -> Result<(), Error> {
        if self.signal("wait for")?.look().is_set() { Ok(()) } else { Err(self.not_set()) }
    }

    /// Waits until the event is set, for `timeout` at most. A timeout of zero still passes a set event.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not set in that time; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Event, Primitive};
    /// # use std::time::Duration;
    /// let event = Event::anonymous(false)?;
    /// let error = event.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.wait_with(|| Patience::for_at_most(timeout))
    }

    /// Waits until the event is set, until `deadline` at most. A deadline that has passed still passes a set event.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not set before; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Event, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let event = Event::anonymous(true)?;
    /// event.wait_until(Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_until(&self, deadline: Instant) -> Result<(), Error> {
        self.wait_with(|| Patience::until(deadline))
    }

    /// Waits until the event is set, until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed; an event that is set and cleared between two calls is not either.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`wait_until`](Self::wait_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Event, Primitive};
    /// let event = Event::anonymous(true)?;
    /// while let Err(error) = event.wait_interruptible(None) {
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
        let signal = self.signal("wait for")?;
        let seen = signal.look();
        if seen.is_set() { Ok(()) } else { self.wait_slowly(seen, patience()) }
    }

    #[cold]
    #[inline(never)]
    fn wait_slowly(&self, seen: Seen, patience: Patience) -> Result<(), Error> {
        let me = Me::get().map_err(|error| error.on(self.handle.name()))?;
        self.handle.raw().signal.wait(seen, me, patience).map_err(|why| {
            let kind = match why {
                GaveUp::TimedOut => ErrorKind::TimedOut,
                GaveUp::Interrupted => ErrorKind::Interrupted,
            };
            self.handle.error("wait for", kind)
        })
    }

    #[cold]
    fn not_set(&self) -> Error {
        self.handle.error("wait for", ErrorKind::Busy).detail("it is not set")
    }

    /// The flag, if this is still an event.
    #[inline(always)]
    fn signal(&self, verb: &str) -> Result<&Signal, Error> {
        if self.handle.identity() == IDENTITY {
            Ok(&self.handle.raw().signal)
        } else {
            Err(self.handle.error(verb, ErrorKind::Corrupt))
        }
    }
}

impl Object for Event {
    type Initial = bool;

    const KIND: Kind = Kind::EVENT;

    fn image(set: bool) -> Result<Image, Error> {
        Ok(Image::new(Kind::EVENT, 0, Self::SIZE).with(STATE, &u32::from(set).to_le_bytes()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawEvent>::open(place, verb, Some(IDENTITY))?;
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

/// A handle to one event; `Initial` says whether it begins set. Zero bytes are a clear event.
impl Primitive for Event {}

impl Clone for Event {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
