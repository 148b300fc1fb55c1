//! A seat at a barrier that is held from round to round, so that its holder's death is noticed between the rounds as well.

use super::{Arrival, Barrier, ENDLESS, NOTHING, interruptible, until};
use crate::base::futex::Deadline;
use crate::base::robust::Me;
use crate::base::slot::Wait;
use crate::error::{Error, ErrorKind};
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use std::time::{Duration, Instant};

/// A seat at a [`Barrier`], from [`Barrier::join`]. Dropping it leaves the seat.
///
/// It stays in the thread that joined. If that thread dies with it, or drops it while it panics, the barrier is broken. In a forked child an
/// inherited party is void: it waits for nothing, and dropping it does nothing.
///
/// ```
/// # use shm_sync::{Barrier, Primitive};
/// let barrier = Barrier::anonymous(1)?;
/// let party = barrier.join()?;
/// assert!(party.wait()?.is_leader());
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// It cannot leave its thread:
/// ```compile_fail,E0277
/// # use shm_sync::Primitive;
/// let party = shm_sync::Barrier::anonymous(1).unwrap().join().unwrap();
/// std::thread::spawn(move || drop(party));
/// ```
#[must_use = "dropping the party leaves the seat"]
pub struct Party {
    barrier: Barrier,
    seat: u32,
    /// The registration of the thread that joined.
    generation: u64,
    /// The thread was unwinding already when it joined.
    unwinding: bool,
    /// It has arrived, and runs the action of the last one perhaps, which must not wait here again.
    waits: Cell<bool>,
    /// The party stays in its thread.
    stays: PhantomData<*const ()>,
}

impl Party {
    pub(super) fn new(barrier: Barrier, me: Me, seat: u32) -> Self {
        Self {
            barrier,
            seat,
            generation: me.generation(),
            unwinding: std::thread::panicking(),
            waits: Cell::new(false),
            stays: PhantomData,
        }
    }

    /// Arrives, and waits for the others as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`]; [`ErrorKind::Deadlock`] if this party is waiting already (in the action of the last one); [`ErrorKind::NotHeld`] in a
    /// forked child; [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let party = Barrier::anonymous(1)?.join()?;
    /// for _round in 0..3 {
    ///     party.wait()?;
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn wait(&self) -> Result<Arrival, Error> {
        self.wait_as(ENDLESS, NOTHING)
    }

    /// Arrives if that completes the round: if all others are there.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if others are missing; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// let party = Barrier::anonymous(2)?.join()?;
    /// assert_eq!(party.try_wait().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn try_wait(&self) -> Result<Arrival, Error> {
        self.wait_as(Wait::Not, NOTHING)
    }

    /// Arrives, and waits for the others for `timeout` at most. When that is over, it is as if this party had not arrived.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; otherwise as [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, ErrorKind, Primitive};
    /// # use std::time::Duration;
    /// let party = Barrier::anonymous(2)?.join()?;
    /// let error = party.wait_timeout(Duration::from_millis(5)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Arrival, Error> {
        self.wait_as(until(Deadline::after(timeout)), NOTHING)
    }

    /// Arrives, and waits for the others until `deadline` at most. When that has passed, it is as if this party had not arrived.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// # use std::time::Instant;
    /// Barrier::anonymous(1)?.join()?.wait_until(Instant::now())?; // it is the last one: no waiting
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_until(&self, deadline: Instant) -> Result<Arrival, Error> {
        self.wait_as(until(Deadline::at(deadline)), NOTHING)
    }

    /// Arrives, and waits until `deadline` (for ever without one) or until a signal handler has run in this thread; see
    /// [`Barrier::wait_interruptible`].
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`wait_until`](Self::wait_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// Barrier::anonymous(1)?.join()?.wait_interruptible(None)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible(&self, deadline: Option<Instant>) -> Result<Arrival, Error> {
        self.wait_as(interruptible(deadline), NOTHING)
    }

    /// As [`wait`](Self::wait); if this is the last one to arrive, it runs `action` before it lets the others through; see
    /// [`Barrier::wait_with`].
    ///
    /// # Errors
    /// As [`Barrier::wait_with`].
    ///
    /// # Panics
    /// If `action` does. Then the barrier is broken.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// let mut rounds = 0;
    /// Barrier::anonymous(1)?.join()?.wait_with(|| rounds += 1)?;
    /// assert_eq!(rounds, 1);
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
    /// If `action` does. Then the barrier is broken.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// Barrier::anonymous(1)?.join()?.wait_interruptible_with(None, || println!("all there"))?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible_with(
        &self,
        deadline: Option<Instant>,
        action: impl FnOnce(),
    ) -> Result<Arrival, Error> {
        self.wait_as(interruptible(deadline), Some(action))
    }

    /// The number of the seat, less than the number of parties: what [`Arrival::index`] says after every wait.
    ///
    /// ```
    /// # use shm_sync::{Barrier, Primitive};
    /// assert_eq!(Barrier::anonymous(2)?.join()?.index(), 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn index(&self) -> usize {
        self.seat as usize
    }

    #[inline(always)]
    fn wait_as(&self, wait: Wait, action: Option<impl FnOnce()>) -> Result<Arrival, Error> {
        /// Whatever happens, the wait is over.
        struct Waits<'a>(&'a Cell<bool>);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        if Me::of(self.generation).is_none() || self.waits.get() {
            return Err(self.out_of_turn());
        }
        self.waits.set(true);
        let _waits = Waits(&self.waits);
        self.barrier.wait_in(self.seat, wait, action)
    }

    #[cold]
    fn out_of_turn(&self) -> Error {
        let (kind, detail) = if self.waits.get() {
            (ErrorKind::Deadlock, "this party has arrived and is waiting already")
        } else {
            (ErrorKind::NotHeld, "the seat belongs to the process that joined, not to a forked child")
        };
        self.barrier.handle.error("wait at", kind).detail(detail)
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let Some(me) = Me::of(self.generation) else { return };
        if std::thread::panicking() && !self.unwinding {
            // What has become of the bytes does not matter any more.
            let _ = self.barrier.abort();
        }
        self.barrier.hall().leave(me, self.seat);
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party")
            .field("seat", &self.seat)
            .field("barrier", &self.barrier)
            .finish_non_exhaustive()
    }
}
