//! `ItemChannel`: items of one length that is known at run time only, for languages that know no Rust types.
//!
//! In shared pages it is the `Channel` of values of that length.

use super::raw::VALUE_LEN;
use super::ring::{Message, Ring};
use crate::base::slot::Wait;
use crate::error::{Error, ErrorKind};
use crate::handle::Kind;
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use std::time::{Duration, Instant};

/// A [`Channel`](crate::Channel) of items that are bytes, all of one length.
///
/// It is the same channel as one of any plain type of that size. What a call sends or receives has exactly [`item_len`](Self::item_len) bytes.
///
/// # Examples
/// ```
/// use shm_sync::{Channel, ItemChannel, Primitive};
/// # let name = format!("shm://doc-item-channel-{}", std::process::id());
/// # let name = name.as_str();
///
/// let items = ItemChannel::create(name, (100, 16))?;
/// Channel::<[u64; 2]>::attach(name)?.send([7, 0])?;
/// let mut item = [0; 16];
/// items.recv(&mut item)?;
/// assert_eq!(item[0], 7);
/// shm_core::delete(name)?;
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct ItemChannel {
    ring: Ring<true>,
}

impl ItemChannel {
    /// Sends an item, waiting for room as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an item of another length; otherwise as [`Channel::send`](crate::Channel::send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// channel.send(b"abc")?;
    /// assert_eq!(channel.send(b"abcd").unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send(&self, item: &[u8]) -> Result<(), Error> {
        self.push(item, Wait::forever)
    }

    /// Sends an item if there is room for it now.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`Channel::try_send`](crate::Channel::try_send).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((1, 3))?;
    /// channel.try_send(b"abc")?;
    /// assert_eq!(channel.try_send(b"def").unwrap_err().kind(), ErrorKind::Full);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn try_send(&self, item: &[u8]) -> Result<(), Error> {
        self.push(item, || Wait::Not)
    }

    /// Sends an item, waiting for room for `timeout` at most.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`Channel::send_timeout`](crate::Channel::send_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// # use std::time::Duration;
    /// ItemChannel::anonymous((1, 3))?.send_timeout(b"abc", Duration::ZERO)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_timeout(&self, item: &[u8], timeout: Duration) -> Result<(), Error> {
        self.push(item, || Wait::timeout(timeout))
    }

    /// Sends an item, waiting for room until `deadline` at most.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`Channel::send_until`](crate::Channel::send_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// # use std::time::Instant;
    /// ItemChannel::anonymous((1, 3))?.send_until(b"abc", Instant::now())?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_until(&self, item: &[u8], deadline: Instant) -> Result<(), Error> {
        self.push(item, || Wait::until(deadline))
    }

    /// Sends an item, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`Channel::send_interruptible`](crate::Channel::send_interruptible).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// ItemChannel::anonymous((1, 3))?.send_interruptible(b"abc", None)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn send_interruptible(&self, item: &[u8], deadline: Option<Instant>) -> Result<(), Error> {
        self.push(item, || Wait::interruptible(deadline))
    }

    /// Takes the next item, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if `item` has another length, with nothing taken; otherwise as [`Channel::recv`](crate::Channel::recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// channel.send(b"abc")?;
    /// let mut item = [0; 3];
    /// channel.recv(&mut item)?;
    /// assert_eq!(&item, b"abc");
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv(&self, item: &mut [u8]) -> Result<(), Error> {
        self.pop(item, Wait::forever)
    }

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`Channel::try_recv`](crate::Channel::try_recv).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// assert_eq!(channel.try_recv(&mut [0; 3]).unwrap_err().kind(), ErrorKind::Empty);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn try_recv(&self, item: &mut [u8]) -> Result<(), Error> {
        self.pop(item, || Wait::Not)
    }

    /// Takes the next item, waiting for it for `timeout` at most.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`Channel::recv_timeout`](crate::Channel::recv_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// # use std::time::Duration;
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// assert_eq!(channel.recv_timeout(&mut [0; 3], Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_timeout(&self, item: &mut [u8], timeout: Duration) -> Result<(), Error> {
        self.pop(item, || Wait::timeout(timeout))
    }

    /// Takes the next item, waiting for it until `deadline` at most.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`Channel::recv_until`](crate::Channel::recv_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// # use std::time::Instant;
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// assert_eq!(channel.recv_until(&mut [0; 3], Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_until(&self, item: &mut [u8], deadline: Instant) -> Result<(), Error> {
        self.pop(item, || Wait::until(deadline))
    }

    /// Takes the next item, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`Channel::recv_interruptible`](crate::Channel::recv_interruptible).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// channel.send(b"abc")?;
    /// channel.recv_interruptible(&mut [0; 3], None)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recv_interruptible(&self, item: &mut [u8], deadline: Option<Instant>) -> Result<(), Error> {
        self.pop(item, || Wait::interruptible(deadline))
    }

    /// Closes the channel for everybody, for good, as [`Channel::close`](crate::Channel::close). True if it was open.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if somebody wrote over the channel.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, ItemChannel, Primitive};
    /// let channel = ItemChannel::anonymous((100, 3))?;
    /// assert!(channel.close()?);
    /// assert_eq!(channel.send(b"abc").unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn close(&self) -> Result<bool, Error> {
        self.ring.close()
    }

    /// Whether somebody has closed the channel. There may be items left.
    ///
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// assert!(!ItemChannel::anonymous((100, 3))?.is_closed());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// How many items there are. May have changed by the time it is told.
    ///
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// assert_eq!(ItemChannel::anonymous((100, 3))?.len(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no item. May have changed by the time it is told.
    ///
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// assert!(ItemChannel::anonymous((100, 3))?.is_empty());
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// How many items it holds.
    ///
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// assert_eq!(ItemChannel::anonymous((100, 3))?.capacity(), 100);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// How many bytes an item has. Whoever attaches finds that there.
    ///
    /// ```
    /// # use shm_sync::{ItemChannel, Primitive};
    /// assert_eq!(ItemChannel::anonymous((100, 3))?.item_len(), 3);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn item_len(&self) -> usize {
        self.ring.value_len()
    }

    fn push(&self, item: &[u8], wait: impl FnOnce() -> Wait) -> Result<(), Error> {
        self.check("send to", item.len())?;
        self.ring.push(item, wait)
    }

    fn pop(&self, item: &mut [u8], wait: impl FnOnce() -> Wait) -> Result<(), Error> {
        self.check("receive from", item.len())?;
        self.ring.pop(wait, |message: &Message| message.copy_to(item))
    }

    #[inline(always)]
    fn check(&self, verb: &str, len: usize) -> Result<(), Error> {
        if len == self.item_len() {
            return Ok(());
        }
        let detail = format!("its items have {} bytes, and {len} were given", self.item_len());
        Err(self.ring.handle().error(verb, ErrorKind::InvalidArgument).detail(detail))
    }
}

impl Object for ItemChannel {
    type Initial = (usize, usize);

    const KIND: Kind = Kind::CHANNEL;

    fn image((capacity, item_len): (usize, usize)) -> Result<Image, Error> {
        Ring::<true>::image(capacity, item_len)
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        Ok(Self { ring: Ring::open(place, verb, None)? })
    }

    fn identity(&self) -> u64 {
        self.ring.handle().identity()
    }

    fn differs(&self, image: &Image) -> Option<String> {
        let wanted = image.u32_at(VALUE_LEN);
        (self.item_len() != wanted as usize)
            .then(|| format!("its items have {} bytes, and {wanted} were asked for", self.item_len()))
    }
}

/// A handle to one channel; `Initial` is the capacity in items, 1 at least, and the bytes of an item: together what fits into 32 GiB
/// ([`ErrorKind::InvalidArgument`]). Zero bytes are no channel.
impl Primitive for ItemChannel {}

impl Clone for ItemChannel {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone() }
    }
}

impl fmt::Debug for ItemChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemChannel").field("name", &self.ring.handle().name()).finish_non_exhaustive()
    }
}
