//! `ByteChannel`: messages of any length, in the order in which they were sent.
//!
//! The public face of `ring` for byte messages.

use super::ring::{Message, Ring};
use crate::base::slot::Wait;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::handle::Kind;
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use std::time::{Duration, Instant};

/// A bounded channel of byte messages in shared pages, for any number of producers and consumers in any processes.
///
/// A `ByteChannel` is a handle: several handles, in several processes, name one channel; [`Clone`] makes another. There is no sending and no
/// receiving half: whoever has a handle may do both.
///
/// A channel is made with a capacity in bytes. That is how long a message may be at most, and how much room there is: a message of `n`
/// bytes takes 8 bytes and `n` rounded up to a multiple of 8, out of 8 more than the capacity (rounded up too). An empty message is a message.
///
/// Messages arrive in the order in which they were sent: those of one producer, and of several producers in the order in which their `send` calls
/// took effect. Each is received once.
///
/// # When somebody dies
/// A message is there whole or not at all: a producer that is killed in the middle of a send loses that message and holds up nobody. A message
/// that a consumer has taken is lost with it; [`recv_with`](Self::recv_with) takes it only when it has been dealt with, so that another
/// consumer finds it again. Consumers wait for a message one behind the other; when the first is killed, the next moves up. A consumer is *not* told that all producers
/// are dead, and goes on waiting: use a deadline, or [`close`](Self::close) the channel for them. A consumer that is stopped (`SIGSTOP`) while it
/// waits, or in the closure of `recv_with`, holds up the other consumers; so does a stopped producer the other producers.
///
/// # Fork and signals
/// Handles work in forked children. If the closure of `recv_with` forks, the message and the lock stay the parent's. Fork through libc;
/// all processes have to be in one pid namespace. Not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{ByteChannel, Primitive};
///
/// let channel = ByteChannel::anonymous(1 << 16)?; // shared with every process forked from here on
/// let sender = channel.clone();
/// let thread = std::thread::spawn(move || {
///     for line in ["one", "", "three"] {
///         sender.send(line.as_bytes())?;
///     }
///     sender.close()
/// });
/// assert_eq!(channel.recv()?, b"one");
/// assert_eq!(channel.recv()?, b"");
/// assert_eq!(channel.recv_with(|bytes| bytes.len())?, 5);
/// assert_eq!(channel.recv().unwrap_err().kind(), shm_sync::ErrorKind::Closed);
/// thread.join().unwrap()?;
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct ByteChannel {
    ring: Ring<false>,
}

/// A message up to this length is handed to a closure from the stack.
const SMALL: usize = 256;

/// A copy of the message, for a closure.
#[inline(always)]
fn lent<R>(message: &Message<'_>, take: impl FnOnce(&[u8]) -> R) -> R {
    if message.len() <= SMALL {
        let mut bytes = [0; SMALL];
        message.copy_to(&mut bytes[..message.len()]);
        take(&bytes[..message.len()])
    } else {
        take(&owned(message))
    }
}

#[inline(always)]
fn owned(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    message.copy_to(&mut bytes);
    bytes
}

impl ByteChannel {
    /// Sends a message, waiting for room as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the channel is, or becomes so in the meantime; [`ErrorKind::InvalidArgument`] if the message is longer than the
    /// capacity; [`ErrorKind::Corrupt`] if somebody wrote over the channel; [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`] as for a
    /// [`Mutex`](crate::Mutex). The message has not been sent then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv()?, b"hello");
    /// let error = channel.send(&[0; 101]).unwrap_err();
    /// assert!(error.to_string().contains("101 bytes, and the channel's capacity is 100"));
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), Error> {
        self.ring.push(message, Wait::forever)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if there is no room; [`ErrorKind::Busy`] if another producer is in the middle of sending, and is not getting on;
    /// otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// let channel = ByteChannel::anonymous(8)?;
    /// channel.try_send(b"12345678")?;
    /// assert_eq!(channel.try_send(b"9").unwrap_err().kind(), ErrorKind::Full);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<(), Error> {
        self.ring.push(message, || Wait::Not)
    }

    /// Sends a message, waiting for room for `timeout` at most. A timeout of zero still uses the room that there is.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was no room in that time; otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let channel = ByteChannel::anonymous(8)?;
    /// channel.send_timeout(b"12345678", Duration::ZERO)?;
    /// let error = channel.send_timeout(b"9", Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), Error> {
        self.ring.push(message, || Wait::timeout(timeout))
    }

    /// Sends a message, waiting for room until `deadline` at most. A deadline that has passed still uses the room that there is.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was no room before; otherwise as [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let channel = ByteChannel::anonymous(8)?;
    /// channel.send_until(b"123", Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_until(&self, message: &[u8], deadline: Instant) -> Result<(), Error> {
        self.ring.push(message, || Wait::until(deadline))
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
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// let channel = ByteChannel::anonymous(8)?;
    /// while let Err(error) = channel.send_interruptible(b"123", None) {
    ///     match error.kind() {
    ///         ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         _ => return Err(error),
    ///     }
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_interruptible(&self, message: &[u8], deadline: Option<Instant>) -> Result<(), Error> {
        self.ring.push(message, || Wait::interruptible(deadline))
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
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv()?, b"hello");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<Vec<u8>, Error> {
        self.ring.pop(Wait::forever, owned)
    }

    /// Takes the next message if there is one now.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] if there is none; [`ErrorKind::Busy`] if there is one, but another consumer is about to take it, and is not
    /// getting on; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Empty);
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.try_recv()?, b"hello");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<Vec<u8>, Error> {
        self.ring.pop(|| Wait::Not, owned)
    }

    /// Takes the next message, waiting for it for `timeout` at most. A timeout of zero still takes a message that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none came in that time; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let channel = ByteChannel::anonymous(100)?;
    /// let error = channel.recv_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.ring.pop(|| Wait::timeout(timeout), owned)
    }

    /// Takes the next message, waiting for it until `deadline` at most. A deadline that has passed still takes a message that is there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none came before; otherwise as [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv_until(Instant::now() + Duration::from_secs(1))?, b"hello");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_until(&self, deadline: Instant) -> Result<Vec<u8>, Error> {
        self.ring.pop(|| Wait::until(deadline), owned)
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
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// # let channel = ByteChannel::anonymous(100)?;
    /// # channel.send(b"hello")?;
    /// let message = loop {
    ///     match channel.recv_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # assert_eq!(message, b"hello");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_interruptible(&self, deadline: Option<Instant>) -> Result<Vec<u8>, Error> {
        self.ring.pop(|| Wait::interruptible(deadline), owned)
    }

    /// Calls `deal` with a copy of the next message, and takes the message when `deal` has returned: at least once instead of at most once.
    ///
    /// Waits for a message as long as it takes. If `deal` panics, or its process is killed in it, the message stays the next one; whatever `deal` has
    /// done with it by then is done a second time. The other consumers wait meanwhile, so `deal` should be short: it may send, but not
    /// receive on this channel ([`ErrorKind::Deadlock`]), and a send that has to wait for room waits for ever. Without an allocation up to
    /// 256 bytes, so this is the fastest way to receive, too.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// let mut buffer = Vec::new();
    /// channel.recv_with(|bytes| buffer.extend_from_slice(bytes))?;
    /// assert_eq!(buffer, b"hello");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn recv_with<R>(&self, deal: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.ring.pop(Wait::forever, |message| lent(message, deal))
    }

    /// As [`recv_with`](Self::recv_with), if there is a message now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// assert_eq!(channel.try_recv_with(|_| ()).unwrap_err().kind(), ErrorKind::Empty);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_recv_with<R>(&self, deal: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::Not, |message| lent(message, deal))
    }

    /// As [`recv_with`](Self::recv_with), waiting for `timeout` at most.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// # use std::time::Duration;
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv_with_timeout(Duration::from_secs(1), |bytes| bytes.len())?, 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_timeout<R>(&self, timeout: Duration, deal: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::timeout(timeout), |message| lent(message, deal))
    }

    /// As [`recv_with`](Self::recv_with), waiting until `deadline` at most.
    ///
    /// # Errors
    /// As [`recv_until`](Self::recv_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// # use std::time::Instant;
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv_with_until(Instant::now(), |bytes| bytes.len())?, 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_until<R>(&self, deadline: Instant, deal: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.ring.pop(|| Wait::until(deadline), |message| lent(message, deal))
    }

    /// As [`recv_with`](Self::recv_with), waiting as [`recv_interruptible`](Self::recv_interruptible) does.
    ///
    /// # Errors
    /// As [`recv_interruptible`](Self::recv_interruptible).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.recv_with_interruptible(None, |bytes| bytes.len())?, 5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_with_interruptible<R>(
        &self,
        deadline: Option<Instant>,
        deal: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Error> {
        self.ring.pop(|| Wait::interruptible(deadline), |message| lent(message, deal))
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
    /// # use shm_sync::{ByteChannel, ErrorKind, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"last")?;
    /// assert!(channel.close()?);
    /// assert!(!channel.close()?);
    /// assert_eq!(channel.send(b"late").unwrap_err().kind(), ErrorKind::Closed);
    /// assert_eq!(channel.recv()?, b"last");
    /// assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn close(&self) -> Result<bool, Error> {
        self.ring.close()
    }

    /// Whether somebody has closed the channel. There may be messages left.
    ///
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
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
    /// # use shm_sync::{ByteChannel, Primitive};
    /// let channel = ByteChannel::anonymous(100)?;
    /// channel.send(b"hello")?;
    /// assert_eq!(channel.len(), 1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no message. May have changed by the time it is told.
    ///
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// assert!(ByteChannel::anonymous(100)?.is_empty());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The capacity in bytes that it was made with: how long a message may be.
    ///
    /// ```
    /// # use shm_sync::{ByteChannel, Primitive};
    /// assert_eq!(ByteChannel::anonymous(100)?.capacity(), 100);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

impl Object for ByteChannel {
    type Initial = usize;

    const KIND: Kind = Kind::BYTE_CHANNEL;

    fn image(capacity: usize) -> Result<Image, Error> {
        Ring::<false>::image(capacity, 0)
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        Ok(Self { ring: Ring::open(place, verb, Some(0))? })
    }

    fn identity(&self) -> u64 {
        self.ring.handle().identity()
    }
}

/// A handle to one channel; `Initial` is the capacity in bytes: 1 at least, and less than 4 GiB ([`ErrorKind::InvalidArgument`]). Zero bytes are no
/// channel.
impl Primitive for ByteChannel {}

impl Clone for ByteChannel {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone() }
    }
}

impl fmt::Debug for ByteChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteChannel").field("name", &self.ring.handle().name()).finish_non_exhaustive()
    }
}
