//! `Channel<T>`: plain values, in the order in which they were sent.
//!
//! The public face of `ring` for values of one type.

use super::ring::{Message, Ring};
use crate::base::slot::Wait;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::handle::Kind;
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use std::time::{Duration, Instant};

/// A bounded channel of plain values in shared pages, for any number of producers and consumers in any processes.
///
/// As [`ByteChannel`](crate::ByteChannel), whose documentation says what order, death and fork mean; but all messages are of one type, and the capacity
/// is a number of messages. `T` is [`Pod`](bytemuck::Pod): whatever bytes a neighbour may have written, they are a `T`.
///
/// # Examples
/// ```
/// use shm_sync::{Channel, Primitive};
///
/// let jobs = Channel::<[u64; 2]>::anonymous(100)?; // shared with every process forked from here on
/// let worker = jobs.clone();
/// let thread = std::thread::spawn(move || {
///     let mut sum = 0;
///     while let Ok([from, to]) = worker.recv() {
///         sum += (from..to).sum::<u64>();
///     }
///     sum
/// });
/// jobs.send([0, 10])?;
/// jobs.send([10, 20])?;
/// jobs.close()?;
/// assert_eq!(thread.join().unwrap(), 190);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Object pointers have no meaning in another process and do not compile:
/// ```compile_fail,E0277
/// # use shm_sync::Primitive;
/// let texts = shm_sync::Channel::<String>::anonymous(10);
/// ```
pub struct Channel<T: Pod + Send> {
    ring: Ring<true>,
    values: PhantomData<fn(T) -> T>,
}

#[inline(always)]
fn value<T: Pod>(message: &Message<'_>) -> T {
    let mut value = T::zeroed();
    message.copy_to(bytemuck::bytes_of_mut(&mut value));
    value
}

impl<T: Pod + Send> Channel<T> {
    /// Sends a message, waiting for room as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the channel is, or becomes so in the meantime; [`ErrorKind::Corrupt`] if somebody wrote over the channel; [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`] as for a
    /// [`Mutex`](crate::Mutex). The message has not been sent then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv()?, 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn send(&self, message: T) -> Result<(), Error> {
        self.ring.push(bytemuck::bytes_of(&message), Wait::forever)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if there is no room; [`ErrorKind::Busy`] if another producer is in the middle of sending, and is not getting on;
    /// otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// let channel = Channel::<f64>::anonymous(1)?;
    /// channel.try_send(1.5)?;
    /// assert_eq!(channel.try_send(2.5).unwrap_err().kind(), ErrorKind::Full);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), Error> {
        self.ring.push(bytemuck::bytes_of(&message), || Wait::Not)
    }

    /// Sends a message, waiting for room for `timeout` at most. A timeout of zero still uses the room that there is.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was no room in that time; otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let channel = Channel::<f64>::anonymous(1)?;
    /// channel.send_timeout(1.5, Duration::ZERO)?;
    /// let error = channel.send_timeout(2.5, Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), Error> {
        self.ring.push(bytemuck::bytes_of(&message), || Wait::timeout(timeout))
    }

    /// Sends a message, waiting for room until `deadline` at most. A deadline that has passed still uses the room that there is.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was no room before; otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let channel = Channel::<f64>::anonymous(1)?;
    /// channel.send_until(1.5, Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_until(&self, message: T, deadline: Instant) -> Result<(), Error> {
        self.ring.push(bytemuck::bytes_of(&message), || Wait::until(deadline))
    }

    /// Sends a message, waiting for room until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal, with nothing sent; otherwise as [`send_until`](Self::send_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// let channel = Channel::<f64>::anonymous(1)?;
    /// while let Err(error) = channel.send_interruptible(1.5, None) {
    ///     match error.kind() {
    ///         ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         _ => return Err(error),
    ///     }
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_interruptible(&self, message: T, deadline: Option<Instant>) -> Result<(), Error> {
        self.ring.push(bytemuck::bytes_of(&message), || Wait::interruptible(deadline))
    }

    /// Takes the next message, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the channel is closed and everything that was sent has been received; [`ErrorKind::Corrupt`] if somebody wrote over
    /// the channel; [`ErrorKind::Deadlock`] inside the closure of [`recv_with`](Self::recv_with); [`ErrorKind::TooManyLocks`],
    /// [`ErrorKind::Unsupported`] as for a [`Mutex`](crate::Mutex). No message has been taken then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv()?, 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, Error> {
        self.ring.pop(Wait::forever, value)
    }

    /// Takes the next message if there is one now.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] if there is none; [`ErrorKind::Busy`] if there is one, but another consumer is about to take it, and is not
    /// getting on; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Empty);
    /// channel.send(1.5)?;
    /// assert_eq!(channel.try_recv()?, 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, Error> {
        self.ring.pop(|| Wait::Not, value)
    }

    /// Takes the next message, waiting for it for `timeout` at most. A timeout of zero still takes a message that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none came in that time; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// let error = channel.recv_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, Error> {
        self.ring.pop(|| Wait::timeout(timeout), value)
    }

    /// Takes the next message, waiting for it until `deadline` at most. A deadline that has passed still takes a message that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none came before; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv_until(Instant::now() + Duration::from_secs(1))?, 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_until(&self, deadline: Instant) -> Result<T, Error> {
        self.ring.pop(|| Wait::until(deadline), value)
    }

    /// Takes the next message, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal, with nothing taken; otherwise as [`recv_until`](Self::recv_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// # let channel = Channel::<f64>::anonymous(100)?;
    /// # channel.send(1.5)?;
    /// let message = loop {
    ///     match channel.recv_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # assert_eq!(message, 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_interruptible(&self, deadline: Option<Instant>) -> Result<T, Error> {
        self.ring.pop(|| Wait::interruptible(deadline), value)
    }

    /// Calls `deal` with a copy of the next message, and takes the message when `deal` has returned: at least once instead of at most once.
    ///
    /// Waits for a message as long as it takes. If `deal` panics, or its process is killed in it, the message stays the next one; whatever `deal` has
    /// done with it by then is done a second time. The other consumers wait meanwhile, so `deal` should be short: it may send, but not
    /// receive on this channel ([`ErrorKind::Deadlock`]), and a send that has to wait for room waits for ever.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// let mut sum = 1.0;
    /// channel.recv_with(|value| sum += value)?;
    /// assert_eq!(sum, 2.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn recv_with<R>(&self, deal: impl FnOnce(&T) -> R) -> Result<R, Error> {
        self.ring.pop(Wait::forever, |message| deal(&value(message)))
    }

    /// As [`recv_with`](Self::recv_with), if there is a message now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// assert_eq!(channel.try_recv_with(|_| ()).unwrap_err().kind(), ErrorKind::Empty);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_recv_with<R>(&self, deal: impl FnOnce(&T) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::Not, |message| deal(&value(message)))
    }

    /// As [`recv_with`](Self::recv_with), waiting for `timeout` at most.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// # use std::time::Duration;
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv_with_timeout(Duration::from_secs(1), |value| value * 2.0)?, 3.0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_timeout<R>(&self, timeout: Duration, deal: impl FnOnce(&T) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::timeout(timeout), |message| deal(&value(message)))
    }

    /// As [`recv_with`](Self::recv_with), waiting until `deadline` at most.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// # use std::time::Instant;
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv_with_until(Instant::now(), |value| value * 2.0)?, 3.0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_until<R>(&self, deadline: Instant, deal: impl FnOnce(&T) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::until(deadline), |message| deal(&value(message)))
    }

    /// As [`recv_with`](Self::recv_with), waiting as [`recv_interruptible`](Self::recv_interruptible) does.
    ///
    /// # Errors
    /// As [`recv_interruptible`](Self::recv_interruptible).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.recv_with_interruptible(None, |value| value * 2.0)?, 3.0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_interruptible<R>(
        &self,
        deadline: Option<Instant>,
        deal: impl FnOnce(&T) -> R,
    ) -> Result<R, Error> {
        self.ring.pop(|| Wait::interruptible(deadline), |message| deal(&value(message)))
    }

    /// Closes the channel for everybody, for good. True if it was open. Does not wait.
    ///
    /// From then on every `send` fails with [`ErrorKind::Closed`], also one that was waiting for room. Consumers get what has been sent: every message whose
    /// `send` has succeeded, and `Closed` only after the last of them. Dropping handles does not close a channel, nor does the death of their
    /// processes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if somebody wrote over the channel.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Channel, ErrorKind, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert!(channel.close()?);
    /// assert!(!channel.close()?);
    /// assert_eq!(channel.send(2.5).unwrap_err().kind(), ErrorKind::Closed);
    /// assert_eq!(channel.recv()?, 1.5);
    /// assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn close(&self) -> Result<bool, Error> {
        self.ring.close()
    }

    /// Whether somebody has closed the channel. There may be messages left.
    ///
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// assert!(!channel.is_closed());
    /// channel.close()?;
    /// assert!(channel.is_closed());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// How many messages there are. May have changed by the time it is told.
    ///
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// let channel = Channel::<f64>::anonymous(100)?;
    /// channel.send(1.5)?;
    /// assert_eq!(channel.len(), 1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no message. May have changed by the time it is told.
    ///
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// assert!(Channel::<f64>::anonymous(100)?.is_empty());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The capacity that it was made with: how many messages it holds.
    ///
    /// ```
    /// # use shm_sync::{Channel, Primitive};
    /// assert_eq!(Channel::<f64>::anonymous(100)?.capacity(), 100);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

impl<T: Pod + Send> Object for Channel<T> {
    type Initial = usize;

    const KIND: Kind = Kind::CHANNEL;

    fn image(capacity: usize) -> Result<Image, Error> {
        Ring::<true>::image(capacity, size_of::<T>())
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        Ok(Self { ring: Ring::open(place, verb, Some(size_of::<T>()))?, values: PhantomData })
    }

    fn identity(&self) -> u64 {
        self.ring.handle().identity()
    }
}

/// A handle to one channel; `Initial` is the capacity in messages: 1 at least, and what fits into 32 GiB
/// ([`ErrorKind::InvalidArgument`]). Zero bytes are no
/// channel.
impl<T: Pod + Send> Primitive for Channel<T> {}

impl<T: Pod + Send> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone(), values: PhantomData }
    }
}

impl<T: Pod + Send> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.ring.handle().name()).finish_non_exhaustive()
    }
}
