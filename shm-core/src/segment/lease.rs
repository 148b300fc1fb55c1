//! Two kinds of hold on a segment: the exclusive lease, and the lease of a reference on its way to another process.
//!
//! Both are locks of an open file description, so the kernel ends them with the last process that has it. `FORMAT.md`, section 4.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use super::attach;
use super::attachment::{self, Attachment, registry};
use super::{Segment, SegmentOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::Access;
use crate::sys::locks::{self, Mode};

/// The right to be the only one: while it lives nobody else can attach the segment, and nobody else had it attached when it began.
///
/// Got from [`Segment::exclusive`]; dropping it gives it back, and so does the death of the process. Processes that this one forked while it
/// was attached share its locks and are not seen: whoever forks by other means than `shm-pool` has to keep them away.
///
/// ```
/// use shm_core::{Contents, SegmentOptions};
/// let mut segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
/// let lease = segment.exclusive()?;
/// drop(lease); // given back: others can attach again
/// assert!(segment.info()?.leased_by.is_none());
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct ExclusiveLease<'a> {
    attachment: &'a Attachment,
}

/// Takes the lock behind both kinds of exclusive lease.
fn seize(attachment: &Arc<Attachment>) -> Result<()> {
    let refuse = |kind, reason: &str, remedy: &str| {
        Err(Error::new(kind, "lease", attachment.subject(), reason).remedy(remedy))
    };
    attachment::check_writable("lease", attachment)?;
    if attachment.is_inherited() {
        return Err(attachment::inherited("lease", attachment));
    }
    // Under the registry's lock no thread can attach it between the count and the lock.
    let registry = registry();
    if Arc::strong_count(attachment) > 1 {
        return refuse(ErrorKind::Busy, "this process has other handles of it", "drop them first");
    }
    let locked = locks::try_lock(attachment.fd(), Mode::Exclusive, locks::LEASE)
        .map_err(|e| Error::system("lease", attachment.subject(), "fcntl(F_OFD_SETLK)", e))?;
    drop(registry);
    if !locked {
        return refuse(
            ErrorKind::Busy,
            "others have it attached",
            "try again when they have detached, or use a lock",
        );
    }
    attachment.set_lease_hint(std::process::id());
    Ok(())
}

/// Gives it back.
fn give_back(attachment: &Attachment) {
    if attachment.is_inherited() {
        return; // the lock is the parent's
    }
    attachment.set_lease_hint(0);
    // Converting back to shared cannot conflict with anything.
    let _ = locks::try_lock(attachment.fd(), Mode::Shared, locks::LEASE);
}

impl<'a> ExclusiveLease<'a> {
    pub(super) fn take(attachment: &'a Arc<Attachment>) -> Result<ExclusiveLease<'a>> {
        seize(attachment)?;
        Ok(ExclusiveLease { attachment })
    }

    /// Tells whether this process has the lease only because its parent had it, and so may not use it.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let mut segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let lease = segment.exclusive()?;
    /// assert!(!lease.is_inherited()); // in a child forked now it is
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_inherited(&self) -> bool {
        self.attachment.is_inherited()
    }
}

impl std::fmt::Debug for ExclusiveLease<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExclusiveLease({})", self.attachment.subject())
    }
}

impl Drop for ExclusiveLease<'_> {
    fn drop(&mut self) {
        give_back(self.attachment);
    }
}

/// The exclusive lease without a borrow, for bindings to languages in which it is given back by hand. It lends no references.
///
/// Got from [`Segment::hold_exclusive`]; otherwise all is as with [`ExclusiveLease`]. It keeps the segment attached.
///
/// ```
/// use shm_core::{Contents, ErrorKind, SegmentOptions};
/// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
/// let lease = segment.hold_exclusive()?;
/// assert_eq!(segment.lease().unwrap_err().kind(), ErrorKind::Busy); // nobody else can come in
/// drop(lease);
/// assert!(segment.lease().is_ok());
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct HeldLease {
    attachment: Arc<Attachment>,
}

impl HeldLease {
    pub(super) fn take(attachment: &Arc<Attachment>) -> Result<HeldLease> {
        seize(attachment)?;
        Ok(HeldLease { attachment: attachment.clone() })
    }

    /// Tells whether this process has the lease only because its parent had it.
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// assert!(!segment.hold_exclusive()?.is_inherited()); // in a child forked now it would be
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_inherited(&self) -> bool {
        self.attachment.is_inherited()
    }
}

impl std::fmt::Debug for HeldLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeldLease({})", self.attachment.subject())
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        give_back(&self.attachment);
    }
}

/// A hold on a segment for a reference that is on its way to another process.
///
/// It counts as an attachment: a segment that lives until its last attachment goes outlives its sender while the lease lies unread in a
/// socket, and ends if the socket is dropped. It is a descriptor and can be handed on as one, over a Unix socket or by inheritance.
///
/// ```
/// use shm_core::{Anonymous, Lease, SharedArray};
/// use std::os::unix::net::UnixStream;
/// let (here, there) = UnixStream::pair()?;
/// let sent = SharedArray::<i32, _>::from_fn(Anonymous, 3, |i| i as i32)?;
/// sent.segment().lease()?.send(&here)?;
/// drop(sent); // the lease in the socket keeps the memory
/// let received = SharedArray::<i32, ndarray::Ix1>::from_segment(&Lease::receive(&there)?.attach()?)?;
/// assert_eq!(received.get(2), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lease {
    fd: OwnedFd,
}

const SUBJECT: &str = "the lease of a segment";

impl Lease {
    pub(super) fn of(attachment: &Attachment) -> Result<Lease> {
        let subject = attachment.subject();
        let _no_child_gets_the_descriptor = registry();
        let fd = attach::open_again("lease", attachment, readable(attachment.access))?;
        let locked = locks::try_lock(fd.as_fd(), Mode::Shared, locks::ATTACH_AND_LEASE)
            .map_err(|e| Error::system("lease", subject, "fcntl(F_OFD_SETLK)", e))?;
        if !locked {
            return Err(Error::new(
                ErrorKind::Busy,
                "lease",
                subject,
                "this process holds its exclusive lease",
            )
            .remedy("give that back first"));
        }
        Ok(Lease { fd })
    }

    /// Attaches the segment, read-write; the lease can be dropped then.
    ///
    /// # Errors
    /// As [`SegmentOptions::attach_descriptor`].
    ///
    /// ```
    /// use shm_core::{Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let again = segment.lease()?.attach()?; // in another process, usually
    /// assert_eq!(again.len(), segment.len());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach(&self) -> Result<Segment> {
        self.attach_with(&SegmentOptions::new())
    }

    /// Attaches the segment with options.
    ///
    /// # Errors
    /// As [`SegmentOptions::attach_descriptor`].
    ///
    /// ```
    /// use shm_core::{Access, Contents, SegmentOptions};
    /// let segment = SegmentOptions::new().create_anonymous(&Contents::new().bytes("", 8, 1)?)?;
    /// let reader = segment.lease()?.attach_with(&SegmentOptions::new().read_only())?;
    /// assert_eq!(reader.access(), Access::ReadOnly);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn attach_with(&self, options: &SegmentOptions) -> Result<Segment> {
        let fd =
            self.fd.try_clone().map_err(|e| Error::io("attach", SUBJECT, format!("dup failed: {e}"), &e))?;
        options.attach_descriptor(fd)
    }

    /// Sends the lease over a Unix socket. Blocks while the socket's buffer is full.
    ///
    /// # Errors
    /// [`ErrorKind::System`] with what sendmsg(2) says.
    ///
    /// ```
    /// use shm_core::{Anonymous, Lease, SharedArray};
    /// let (here, there) = std::os::unix::net::UnixStream::pair()?;
    /// let array = SharedArray::<u8, _>::zeros(Anonymous, 10)?;
    /// array.segment().lease()?.send(&here)?;
    /// assert_eq!(Lease::receive(&there)?.attach()?.len(), array.segment().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(self, socket: impl AsFd) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [self.fd.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        loop {
            match rustix::net::sendmsg(&socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::system("send", SUBJECT, "sendmsg", errno)),
            }
        }
    }

    /// Receives a lease from a Unix socket. Blocks until one arrives.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the other side closed the socket, [`ErrorKind::InvalidArgument`] if the message brings no descriptor.
    ///
    /// ```
    /// use shm_core::{ErrorKind, Lease};
    /// let (here, there) = std::os::unix::net::UnixStream::pair()?;
    /// drop(here);
    /// assert_eq!(Lease::receive(&there).unwrap_err().kind(), ErrorKind::NotFound); // closed, and nothing was sent
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(socket: impl AsFd) -> Result<Lease> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let message = loop {
            let mut parts = [IoSliceMut::new(&mut byte)];
            match rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::system("receive", SUBJECT, "recvmsg", errno)),
            }
        };
        if message.bytes == 0 {
            return Err(Error::new(
                ErrorKind::NotFound,
                "receive",
                SUBJECT,
                "the other side closed the socket",
            ));
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        fd.map(|fd| Lease { fd }).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "receive", SUBJECT, "the message brings no descriptor")
        })
    }
}

/// What a lock for sharing needs; a copy-on-write attachment has a read-only descriptor.
fn readable(access: Access) -> Access {
    match access {
        Access::ReadWrite => Access::ReadWrite,
        Access::ReadOnly | Access::CopyOnWrite => Access::ReadOnly,
    }
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Lease> for OwnedFd {
    fn from(lease: Lease) -> OwnedFd {
        lease.fd
    }
}

impl From<OwnedFd> for Lease {
    /// Takes a descriptor that was a lease before; attaching checks what is behind it.
    fn from(fd: OwnedFd) -> Lease {
        Lease { fd }
    }
}
