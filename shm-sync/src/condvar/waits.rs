//! The condition variable that users see: its ways of waiting, which give the mutex up and take it again, and its notifications.
//!
//! Who may go when, and the sleeping, are `raw`'s.

use super::guard::{Relock, Unready, WaitGuard};
use super::raw::{Notify, RawCondvar, Ticket, Unfit};
use crate::base::futex::Deadline;
use crate::base::{GaveUp, Patience};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind, Raw};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use core::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A condition variable, between threads and processes alike: those who wait for a change of what a [`Mutex`](crate::Mutex) guards sleep here.
///
/// It is a handle, as every primitive: several handles, in several processes, name one condition variable. A [`RecursiveMutex`](crate::RecursiveMutex) or a
/// [`ProcessMutex`](crate::ProcessMutex) will do as well: see [`WaitGuard`]; what is said of the mutex here holds for them. All who wait at the same time have to use
/// the same mutex. A notification lets go one (or some, or all) of those who *began to wait before it*; who comes later does not take it from them.
/// A wait may also end without one, as everywhere, so ask for the condition again: the `wait_while` forms do.
///
/// # When a process dies
/// A waiter that is killed takes nothing with it: the notification that it was woken by is taken only when it has the mutex again, and until then it
/// is there for another one, within 250 ms. If somebody dies with the mutex locked,
/// the news goes to exactly one next locker, as always ([`LockError::OwnerDied`](crate::LockError::OwnerDied)); that may be a waiter: it comes back with that error, and others
/// find the mutex poisoned if it did not recover. Who recovers should [`notify_all`](Self::notify_all), because the dead holder may not have got to
/// its own notification. A notifier that is killed in the middle has notified or it has not; nobody is left in between.
///
/// # Fork and signals
/// A guard that a forked child inherited is void there, and waiting with it is an error. The child can lock and wait for itself. A signal
/// handler that runs during a wait ends the [`wait_interruptible`](Self::wait_interruptible) form only. Notifying is not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Condvar, Mutex, Primitive};
///
/// let (stock, arrived) = (Mutex::anonymous(0u32)?, Condvar::anonymous(())?);
/// let (shop, bell) = (stock.clone(), arrived.clone());
/// let customer = std::thread::spawn(move || -> Result<(), shm_sync::Error> {
///     let mut stock = bell.wait_while(shop.lock()?, |stock| *stock == 0)?;
///     *stock -= 1;
///     Ok(())
/// });
/// *stock.lock()? += 1;
/// arrived.notify_one()?;
/// customer.join().unwrap()?;
/// assert_eq!(*stock.lock()?, 0);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct Condvar {
    handle: Handle<RawCondvar>,
}

impl Raw for RawCondvar {
    const KIND: Kind = Kind::CONDVAR;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

/// How a wait that may be given up has ended; the mutex is locked again in any case.
///
/// ```
/// use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
/// use std::time::Duration;
///
/// let (mutex, condvar) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
/// let (guard, outcome) = condvar.wait_timeout(mutex.lock()?, Duration::from_millis(1))?;
/// assert_eq!(outcome, WaitOutcome::TimedOut);
/// assert_eq!(*guard, 0);
/// # Ok::<(), shm_sync::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a wait that was given up has not been notified"]
pub enum WaitOutcome {
    /// Somebody notified (or, for the `wait_while` forms, the condition does not hold any more).
    Notified,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran in this thread.
    Interrupted,
}

/// What the forms that may give up return: the mutex locked again, and why.
type Waited<G> = Result<(G, WaitOutcome), <G as Relock>::Error>;

impl Condvar {
    const IDENTITY: u64 = Kind::CONDVAR.identity(0);

    /// Gives the mutex up, waits for a notification, and takes the mutex again.
    ///
    /// Blocks for as long as it takes; a signal does not end it. No notification is missed between giving up and sleeping.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`](crate::LockError::OwnerDied), with the mutex locked, if its last holder died; [`LockError::Failed`](crate::LockError::Failed), with the mutex given up:
    /// - [`ErrorKind::InvalidArgument`] if others wait with another mutex now, or the guard is one that a forked child inherited;
    /// - [`ErrorKind::NotHeld`] if somebody else has released a process mutex meanwhile;
    /// - [`ErrorKind::Poisoned`] and [`ErrorKind::Corrupt`] if the mutex cannot be taken again; [`ErrorKind::Corrupt`] if somebody wrote over the
    ///   condition variable.
    ///
    /// A killed waiter is counted for ever: after that, a condition variable stays with the mutex that it was waiting with.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{Condvar, Mutex, Primitive};
    ///
    /// let (ready, changed) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// let (their, bell) = (ready.clone(), changed.clone());
    /// let mut guard = ready.lock()?;
    /// let other = std::thread::spawn(move || -> Result<(), shm_sync::Error> {
    ///     *their.lock()? = 1;
    ///     bell.notify_one()
    /// });
    /// while *guard == 0 {
    ///     guard = changed.wait(guard)?;
    /// }
    /// other.join().unwrap()?;
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait<G: WaitGuard>(&self, guard: G) -> Result<G, G::Error> {
        self.wait_with(guard, Patience::default()).map(|(guard, _)| guard)
    }

    /// Waits as [`wait`](Self::wait) does, for `timeout` at most.
    ///
    /// The time counts until the notification; taking the mutex again may take longer.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). Too late is no error, but [`WaitOutcome::TimedOut`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::Duration;
    /// # let (mutex, condvar) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// let (guard, outcome) = condvar.wait_timeout(mutex.lock()?, Duration::from_millis(1))?;
    /// assert_eq!(outcome, WaitOutcome::TimedOut);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_timeout<G: WaitGuard>(&self, guard: G, timeout: Duration) -> Waited<G> {
        self.wait_with(guard, until(Deadline::after(timeout)))
    }

    /// Waits as [`wait`](Self::wait) does, until `deadline` at most.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::Instant;
    /// # let (mutex, condvar) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// let (guard, outcome) = condvar.wait_until(mutex.lock()?, Instant::now())?;
    /// assert_eq!(outcome, WaitOutcome::TimedOut);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_until<G: WaitGuard>(&self, guard: G, deadline: Instant) -> Waited<G> {
        self.wait_with(guard, until(Deadline::at(deadline)))
    }

    /// Waits as [`wait`](Self::wait) does, until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). A signal is no error, but [`WaitOutcome::Interrupted`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::{Duration, Instant};
    /// # let (mutex, condvar) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// # let deadline = Some(Instant::now() + Duration::from_millis(5));
    /// let mut guard = mutex.lock()?;
    /// while *guard == 0 {
    ///     let outcome;
    ///     (guard, outcome) = condvar.wait_interruptible(guard, deadline)?;
    ///     match outcome {
    ///         WaitOutcome::Interrupted => { /* run the language's handlers */ }
    ///         WaitOutcome::TimedOut => break,
    ///         WaitOutcome::Notified => {}
    ///     }
    /// }
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_interruptible<G: WaitGuard>(&self, guard: G, deadline: Option<Instant>) -> Waited<G> {
        self.wait_with(guard, interruptible(deadline))
    }

    /// Waits as [`wait_until`](Self::wait_until) does, or as [`wait_interruptible`](Self::wait_interruptible), with the guard in a place of the caller's.
    ///
    /// For bindings to languages in which a lock is not a value: if the wait cannot begin, the guard is where it was, and the mutex locked.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). With `place` full nothing has changed; with `place` empty the wait had begun, and the mutex is not held (or is
    /// what [`LockError::OwnerDied`](crate::LockError::OwnerDied) has). [`ErrorKind::InvalidArgument`] also if `place` was empty.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::Instant;
    /// # let (mutex, condvar) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// let mut place = Some(mutex.lock()?);
    /// let outcome = condvar.wait_in_place(&mut place, Some(Instant::now()), false)?;
    /// assert_eq!(outcome, WaitOutcome::TimedOut);
    /// assert!(place.is_some());
    /// # drop(place);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_in_place<G: WaitGuard>(
        &self,
        place: &mut Option<G>,
        deadline: Option<Instant>,
        interruptible: bool,
    ) -> Result<WaitOutcome, G::Error> {
        let Some(guard) = place.as_ref() else {
            let error = self.handle.error(WAIT, ErrorKind::InvalidArgument);
            return Err(G::failed(error.detail("the place of the guard is empty")));
        };
        let ticket = self.enter(guard).map_err(G::failed)?;
        let patience = Patience { deadline: deadline.map(Deadline::at), interruptible };
        let guard = place.take().expect("it was there");
        let (guard, outcome) = self.wait_entered(guard, ticket, patience)?;
        *place = Some(guard);
        Ok(outcome)
    }

    /// Waits as long as `condition` holds, which is asked with the mutex locked: before the first wait and after each.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    /// When `condition` does: the mutex then counts as one whose owner died.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive};
    /// let (mutex, condvar) = (Mutex::anonymous(7u32)?, Condvar::anonymous(())?);
    /// let guard = condvar.wait_while(mutex.lock()?, |left| *left == 0)?;
    /// assert_eq!(*guard, 7);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_while<G: WaitGuard>(
        &self,
        guard: G,
        condition: impl FnMut(&mut G::Value) -> bool,
    ) -> Result<G, G::Error> {
        self.wait_while_with(guard, condition, Patience::default()).map(|(guard, _)| guard)
    }

    /// Waits as long as `condition` holds, and for `timeout` at most.
    ///
    /// [`WaitOutcome::Notified`] says that it does not hold any more; with the other outcomes it still held when it was asked last, which was
    /// after the time was over.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    /// As [`wait_while`](Self::wait_while).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::Duration;
    /// # let (mutex, condvar) = (Mutex::anonymous(0u32)?, Condvar::anonymous(())?);
    /// let second = Duration::from_millis(2);
    /// let (guard, outcome) = condvar.wait_while_timeout(mutex.lock()?, |left| *left == 0, second)?;
    /// assert_eq!(outcome, WaitOutcome::TimedOut);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_while_timeout<G: WaitGuard>(
        &self,
        guard: G,
        condition: impl FnMut(&mut G::Value) -> bool,
        timeout: Duration,
    ) -> Waited<G> {
        self.wait_while_with(guard, condition, until(Deadline::after(timeout)))
    }

    /// Waits as long as `condition` holds, and until `deadline` at most.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); the outcomes are those of [`wait_while_timeout`](Self::wait_while_timeout).
    ///
    /// # Panics
    /// As [`wait_while`](Self::wait_while).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # use std::time::Instant;
    /// # let (mutex, condvar) = (Mutex::anonymous(1u32)?, Condvar::anonymous(())?);
    /// let (guard, outcome) = condvar.wait_while_until(mutex.lock()?, |left| *left == 0, Instant::now())?;
    /// assert_eq!(outcome, WaitOutcome::Notified);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_while_until<G: WaitGuard>(
        &self,
        guard: G,
        condition: impl FnMut(&mut G::Value) -> bool,
        deadline: Instant,
    ) -> Waited<G> {
        self.wait_while_with(guard, condition, until(Deadline::at(deadline)))
    }

    /// Waits as long as `condition` holds, until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); the outcomes are those of [`wait_while_timeout`](Self::wait_while_timeout) and
    /// [`wait_interruptible`](Self::wait_interruptible).
    ///
    /// # Panics
    /// As [`wait_while`](Self::wait_while).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive, WaitOutcome};
    /// # let (mutex, condvar) = (Mutex::anonymous(1u32)?, Condvar::anonymous(())?);
    /// let (guard, outcome) = condvar.wait_while_interruptible(mutex.lock()?, |left| *left == 0, None)?;
    /// assert_eq!(outcome, WaitOutcome::Notified);
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn wait_while_interruptible<G: WaitGuard>(
        &self,
        guard: G,
        condition: impl FnMut(&mut G::Value) -> bool,
        deadline: Option<Instant>,
    ) -> Waited<G> {
        self.wait_while_with(guard, condition, interruptible(deadline))
    }

    /// Lets one go of those who wait now. With nobody waiting it costs a look, and leaves nothing behind.
    ///
    /// The mutex need not be locked, but what the waiters wait for has to be changed under it. Does not block.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if somebody wrote over the condition variable.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Primitive};
    /// let condvar = Condvar::anonymous(())?;
    /// condvar.notify_one()?; // nobody waits
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn notify_one(&self) -> Result<(), Error> {
        self.notify(Notify::Some(1))
    }

    /// Lets `n` go of those who wait now, or all if there are not as many.
    ///
    /// More than 32 at once let go everybody: some of them for nothing.
    ///
    /// # Errors
    /// As [`notify_one`](Self::notify_one).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive};
    /// let (jobs, arrived) = (Mutex::anonymous(0u32)?, Condvar::anonymous(())?);
    /// *jobs.lock()? += 3;
    /// arrived.notify_n(3)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn notify_n(&self, n: u32) -> Result<(), Error> {
        self.notify(Notify::Some(n))
    }

    /// Lets everybody go who waits now.
    ///
    /// # Errors
    /// As [`notify_one`](Self::notify_one).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Condvar, Mutex, Primitive};
    /// let (closed, changed) = (Mutex::anonymous(0u8)?, Condvar::anonymous(())?);
    /// *closed.lock()? = 1;
    /// changed.notify_all()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn notify_all(&self) -> Result<(), Error> {
        self.notify(Notify::All)
    }

    #[inline(always)]
    fn notify(&self, whom: Notify) -> Result<(), Error> {
        if self.handle.identity() != Self::IDENTITY {
            return Err(self.damaged("notify"));
        }
        self.raw().notify(whom);
        Ok(())
    }

    fn wait_while_with<G: WaitGuard>(
        &self,
        mut guard: G,
        mut condition: impl FnMut(&mut G::Value) -> bool,
        patience: Patience,
    ) -> Waited<G> {
        while condition(guard.value()) {
            let outcome;
            (guard, outcome) = self.wait_with(guard, patience)?;
            if outcome != WaitOutcome::Notified {
                let holds = condition(guard.value());
                return Ok((guard, if holds { outcome } else { WaitOutcome::Notified }));
            }
        }
        Ok((guard, WaitOutcome::Notified))
    }

    fn wait_with<G: WaitGuard>(&self, guard: G, patience: Patience) -> Waited<G> {
        let ticket = self.enter(&guard).map_err(G::failed)?;
        self.wait_entered(guard, ticket, patience)
    }

    /// The wait of a caller that is counted among those who wait.
    fn wait_entered<G: WaitGuard>(&self, guard: G, mut ticket: Ticket, patience: Patience) -> Waited<G> {
        let mut away = guard.give_up();
        loop {
            let slept = self.raw().sleep(&mut ticket, patience, || G::is_in_trouble(&away));
            let locked = G::take_back(away);
            if let Err(error) = &locked
                && !G::is_held(error)
            {
                // Whatever it is, the others who wait with this lock have to hear of it.
                self.raw().leave_without_mutex();
                self.raw().rouse();
                return locked.map(|guard| (guard, WaitOutcome::Notified));
            }
            let notified = self.raw().take(&mut ticket);
            let locked = match locked {
                // Somebody else was faster, or has recovered the lock.
                Ok(guard) if slept.is_ok() && !notified => {
                    away = guard.give_up();
                    continue;
                }
                locked => locked,
            };
            self.raw().leave();
            let outcome = match slept {
                Err(GaveUp::TimedOut) if !notified => WaitOutcome::TimedOut,
                Err(GaveUp::Interrupted) if !notified => WaitOutcome::Interrupted,
                _ => WaitOutcome::Notified,
            };
            return locked.map(|guard| (guard, outcome));
        }
    }

    /// Counts the caller among those who wait, while it still holds the mutex.
    fn enter<G: WaitGuard>(&self, guard: &G) -> Result<Ticket, Error> {
        if self.handle.identity() != Self::IDENTITY {
            return Err(self.damaged(WAIT));
        }
        let name =
            guard.name().map_err(|Unready(kind, detail)| self.handle.error(WAIT, kind).detail(detail))?;
        match self.raw().enter(name) {
            Ok(ticket) => Ok(ticket),
            Err(Unfit::OtherMutex) => Err(self
                .handle
                .error(WAIT, ErrorKind::InvalidArgument)
                .detail("others wait for it with another mutex, and all who wait have to use the same one")),
            Err(Unfit::Scrambled) => Err(self.damaged(WAIT)),
        }
    }

    #[cold]
    fn damaged(&self, verb: &str) -> Error {
        self.handle.error(verb, ErrorKind::Corrupt)
    }

    #[inline(always)]
    fn raw(&self) -> &RawCondvar {
        self.handle.raw()
    }
}

const WAIT: &str = "wait for";

fn until(deadline: Deadline) -> Patience {
    Patience { deadline: Some(deadline), interruptible: false }
}

fn interruptible(deadline: Option<Instant>) -> Patience {
    Patience { deadline: deadline.map(Deadline::at), interruptible: true }
}

impl Object for Condvar {
    type Initial = ();

    const KIND: Kind = Kind::CONDVAR;

    fn image((): ()) -> Result<Image, Error> {
        Ok(Image::new(Kind::CONDVAR, 0, size_of::<RawCondvar>()))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawCondvar>::open(place, verb, Some(Self::IDENTITY))?;
        if handle.identity() != Self::IDENTITY {
            return Err(handle.error(verb, ErrorKind::Mismatch).detail("it has a parameter, and should not"));
        }
        Ok(Self { handle })
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one condition variable. Zero bytes are one that nobody waits for.
impl Primitive for Condvar {}

impl Clone for Condvar {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
