//! `ProcessMutex`: a lock owned by a process, which any thread of any process may release.
//!
//! This file has the public handle. It leaves the lock's word and the waiting to `word`, the bytes to `raw`, this process's place among
//! the holders to `seat`, the death of processes to `holder`, and the guards to `guard`.

mod guard;
mod holder;
pub(crate) mod raw;
mod seat;
pub(crate) mod word;

pub use guard::{ProcessLockError, ProcessMutexGuard};

use crate::base::Patience;
use crate::base::futex::Deadline;
use crate::base::gate::Pending;
use crate::base::robust::Me;
use crate::base::slot::Wait;
use crate::base::word::{Acquired, Refused};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use core::fmt;
use guard::Trouble;
use raw::{RawProcessMutex, SLOTS, Slots};
use seat::Lease;
use shm_core::Identity;
use std::sync::Arc;
use std::time::{Duration, Instant};
use word::{Denied, Hold, View};

/// A lock in shared pages that belongs to the *process* that takes it, and that any thread of any process may release.
///
/// This is what Python's `Lock` asks for: taken in one thread, released in another one, or in another process. As a stranger may release
/// it at any moment it guards no value (a `&mut` handed out under it would be worth nothing); [`Mutex`](crate::Mutex) does, and is the faster one.
/// It is not recursive, and does not notice that a caller waits for itself: another thread may release it.
///
/// The guard may go to another thread. [`ProcessMutexGuard::keep`] leaves the lock taken without a guard, for languages that release by hand, with
/// [`release`](Self::release). A guard whose lock a stranger has released does nothing when it is dropped, also if somebody else has the lock by then.
///
/// # When a holder dies
/// The death of the holder's *process* opens the lock, at once; the death of the thread that took it does not, as another one may release it. Exactly
/// one next locker gets the news together with the lock: [`ProcessLockError::OwnerDied`]. Dropping its guard (or releasing the lock)
/// without [`recover`](ProcessMutexGuard::recover) poisons the mutex: from then on every locker gets [`ErrorKind::Poisoned`] until somebody opens it with
/// [`repair`](Self::repair). A thread that panics with the guard in its hands counts as a death. A process that replaces its program
/// (`exec`) lives on, with its locks.
///
/// While a process is dying, or when the thread is gone that stands for its process in the kernel's books, and no other thread of it has used
/// the mutex since, waiters watch the process itself (a pidfd) and look at the lock every 50 ms at least: then a release reaches them a little later. Without
/// `futex_waitv` (Linux before 5.16, or a sandbox that forbids it) waiters sleep in slices of 50 ms, and a death is noticed after one of them; without
/// pidfds (before 5.3) likewise, by asking `/proc`.
///
/// # How many
/// 63 processes can use one mutex at a time, however many threads and handles they have. Slots of dead processes are used again; a process
/// gives its own back with its last handle. If it was another thread that used the mutex first, that happens when that thread ends or
/// uses another process mutex for the first time, and the pages stay mapped until then. For memory of one's own
/// ([`from_ptr`](Primitive::from_ptr)) this is a further promise: it stays mapped until the threads that have used the mutex have ended.
///
/// # Fork and signals
/// After a fork the parent keeps the lock. An inherited guard is void: dropping it does nothing. The child can lock through the handles that
/// it inherited, and release what the parent holds like any stranger. Fork through libc. All processes have to be in one pid namespace: from
/// another one a death cannot be seen, and is waited for in vain. Locking is not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Primitive, ProcessMutex};
///
/// let lock = ProcessMutex::anonymous(())?;
/// lock.lock()?.keep();
/// assert_eq!(lock.holder(), Some(std::process::id()));
/// let elsewhere = lock.clone();
/// std::thread::spawn(move || elsewhere.release()).join().unwrap()?;
/// assert_eq!(lock.holder(), None);
/// # Ok::<(), shm_sync::Error>(())
/// ```
pub struct ProcessMutex {
    handle: Handle<RawProcessMutex>,
    lease: Arc<Lease>,
}

impl ProcessMutex {
    /// How many bytes it takes.
    ///
    /// ```
    /// assert_eq!(shm_sync::ProcessMutex::SIZE, 4096);
    /// ```
    pub const SIZE: usize = size_of::<RawProcessMutex>();

    /// How its address has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::ProcessMutex::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawProcessMutex>();

    /// Takes the lock for this process, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// A caller whose own process holds the lock waits as well: another thread may release it.
    ///
    /// # Errors
    /// [`ProcessLockError::OwnerDied`] *with the lock* if its last holder died. Without it: [`ErrorKind::Poisoned`],
    /// [`ErrorKind::TooManyProcesses`], [`ErrorKind::TooManyLocks`], [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// let guard = lock.lock()?;
    /// std::thread::scope(|scope| scope.spawn(move || drop(guard)).join()).unwrap(); // the guard may leave its thread
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    ///
    /// The two kinds of trouble:
    /// ```
    /// # use shm_sync::{Primitive, ProcessLockError, ProcessMutex};
    /// # let lock = ProcessMutex::anonymous(())?;
    /// let guard = match lock.lock() {
    ///     Ok(guard) => guard,
    ///     Err(ProcessLockError::OwnerDied(guard)) => guard.recover(), // after mending what the lock guards
    ///     Err(ProcessLockError::Failed(error)) => return Err(error),
    /// };
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        self.lock_with(|| Wait::For(Patience::default()))
    }

    /// Takes the lock if that is possible at once. While a dead holder's process is still being taken down, it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody holds it; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// let _guard = lock.try_lock()?;
    /// assert_eq!(lock.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        self.lock_with(|| Wait::Not)
    }

    /// Takes the lock, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free in that time; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// # use std::time::Duration;
    /// let lock = ProcessMutex::anonymous(())?;
    /// let _guard = lock.lock()?;
    /// assert_eq!(lock.lock_timeout(Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        let deadline = Some(Deadline::after(timeout));
        self.lock_with(|| Wait::For(Patience { deadline, interruptible: false }))
    }

    /// Takes the lock, waiting for it until `deadline` at most. A deadline that has passed still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free before; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// # use std::time::Instant;
    /// let lock = ProcessMutex::anonymous(())?;
    /// drop(lock.lock_until(Instant::now())?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_until(&self, deadline: Instant) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        let deadline = Some(Deadline::at(deadline));
        self.lock_with(|| Wait::For(Patience { deadline, interruptible: false }))
    }

    /// Takes the lock, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins is not noticed.
    /// The kernel cannot interrupt a sleep on several words for every handler, so this wait sleeps on one, and looks after the holder's life every 50 ms.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`lock_until`](Self::lock_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// let guard = loop {
    ///     match lock.lock_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// guard.keep(); // until somebody calls `release`
    /// # lock.release()?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_interruptible(
        &self,
        deadline: Option<Instant>,
    ) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        let deadline = deadline.map(Deadline::at);
        self.lock_with(|| Wait::For(Patience { deadline, interruptible: true }))
    }

    /// Takes the lock in whatever state it is, to mend what it guards: the way back from [`ErrorKind::Poisoned`].
    ///
    /// Waits as [`lock`](Self::lock) does. The mutex is poisoned when the guard is dropped without
    /// [`recover`](ProcessMutexGuard::recover).
    ///
    /// # Errors
    /// As [`lock`](Self::lock), without [`ProcessLockError::OwnerDied`] and [`ErrorKind::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// drop(lock.repair()?); // given up
    /// assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    /// drop(lock.repair()?.recover());
    /// drop(lock.lock()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn repair(&self) -> Result<ProcessMutexGuard<'_>, Error> {
        let (hold, _) = self.wait("repair", Wait::For(Patience::default()))?;
        let raw = self.handle.raw();
        raw.owner.set_news(hold);
        let guard = ProcessMutexGuard::new(self, hold);
        match raw.check() {
            Ok(()) | Err(ErrorKind::Poisoned) => Ok(guard),
            Err(kind) => Err(self.handle.error("repair", kind)),
        }
    }

    /// Releases the lock, whichever thread of whichever process has taken it.
    ///
    /// For locks that were [kept](ProcessMutexGuard::keep) without a guard; a guard that is still there does nothing any more. If the holder had been told of
    /// a death and has not recovered, the mutex is poisoned. If the holder is dead and nobody has been told, nobody will be.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] if nobody has it; [`ErrorKind::Corrupt`] if the word makes no sense. Nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// lock.lock()?.keep();
    /// lock.release()?;
    /// assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::NotHeld);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), Error> {
        if self.handle.raw().owner.release_any_plain() || self.give_up(None, false) {
            Ok(())
        } else {
            Err(self.not_held("release"))
        }
    }

    /// Declares what the lock guards sound, for everybody, after a death that its holder was told of: for locks that were
    /// [kept](ProcessMutexGuard::keep) without a guard. The lock stays held.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] if nobody has it; [`ErrorKind::Corrupt`] if the word makes no sense.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// lock.repair()?.keep();
    /// lock.recover()?;
    /// lock.release()?;
    /// drop(lock.lock()?);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn recover(&self) -> Result<(), Error> {
        if self.set_sound(None) { Ok(()) } else { Err(self.not_held("recover")) }
    }

    /// A guard of the lock if this process holds it: for locks that were [kept](ProcessMutexGuard::keep) without one, to wait with a
    /// [`Condvar`](crate::Condvar), for one. Nothing if nobody holds it, or another process does.
    ///
    /// Any thread of the process gets one, and any number of them; whichever goes first gives the lock up. Does not block.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// assert!(lock.held().is_none());
    /// lock.lock()?.keep();
    /// let guard = lock.held().expect("it was kept");
    /// drop(guard);
    /// assert_eq!(lock.holder(), None);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn held(&self) -> Option<ProcessMutexGuard<'_>> {
        let raw = self.handle.raw();
        let (hold, slot) = raw.owner.hold()?;
        let is_mine = holder::Notes(raw.slot(slot)?).identity() == Identity::current();
        is_mine.then(|| ProcessMutexGuard::new(self, hold))
    }

    /// The id of the process that holds the lock, if one does: a snapshot, for people. The process may be dead.
    ///
    /// ```
    /// # use shm_sync::{Primitive, ProcessMutex};
    /// let lock = ProcessMutex::anonymous(())?;
    /// assert_eq!(lock.holder(), None);
    /// let _guard = lock.lock()?;
    /// assert_eq!(lock.holder(), Some(std::process::id()));
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn holder(&self) -> Option<u32> {
        let View::Held(slot) = self.handle.raw().owner.view() else { return None };
        let process = holder::Notes(self.handle.raw().slot(slot)?).identity();
        Some(process.pid).filter(|pid| *pid != 0)
    }

    // As in `Mutex`: what is not inlined here returns in registers.
    #[inline(always)]
    fn lock_with(&self, wait: impl FnOnce() -> Wait) -> Result<ProcessMutexGuard<'_>, ProcessLockError<'_>> {
        let hold = match self.lock_free() {
            Some(hold) => hold,
            None => match self.lock_slowly(wait()) {
                Ok(hold) => hold,
                Err(trouble) => {
                    return Err(match *trouble {
                        Trouble::OwnerDied(hold) => {
                            ProcessLockError::OwnerDied(ProcessMutexGuard::new(self, hold))
                        }
                        Trouble::Failed(error) => ProcessLockError::Failed(error),
                    });
                }
            },
        };
        Ok(ProcessMutexGuard::new(self, hold))
    }

    /// Takes the lock if all is as usual: this process has its slot, the lock is free, and sound. Otherwise `lock_slowly` finds out.
    #[inline(always)]
    fn lock_free(&self) -> Option<Hold> {
        let slot = self.lease.slot()?;
        let hold = self.handle.raw().owner.take_free(slot)?;
        if self.handle.raw().check().is_err() {
            self.give_up(Some(hold), false);
            return None;
        }
        Some(hold)
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(&self, wait: Wait) -> Result<Hold, Box<Trouble>> {
        let failed = |error| Box::new(Trouble::Failed(error));
        let (hold, acquired) = self.wait("lock", wait).map_err(failed)?;
        match (self.handle.raw().check(), acquired) {
            (Ok(()), Acquired::Clean) => Ok(hold),
            (Ok(()), Acquired::OwnerDied) => Err(Box::new(Trouble::OwnerDied(hold))),
            (Err(kind), _) => {
                self.give_up(Some(hold), false);
                Err(failed(self.handle.error("lock", kind)))
            }
        }
    }

    /// Takes the lock, whatever the state of what it guards.
    fn wait(&self, verb: &str, wait: Wait) -> Result<(Hold, Acquired), Error> {
        let raw = self.handle.raw();
        let me = Me::get()?;
        let slot = self.lease.claim(me)?;
        let patience = match wait {
            Wait::Not => None,
            Wait::For(patience) => Some(patience),
        };
        me.name(raw.owner.futex());
        let outcome = raw.owner.acquire(slot, patience, &Slots { raw, me });
        me.clear();
        outcome.map_err(|denied| {
            let kind = match denied {
                Denied::Refused(Refused::Busy | Refused::OwnWord) => ErrorKind::Busy,
                Denied::Refused(Refused::TimedOut) => ErrorKind::TimedOut,
                Denied::Refused(Refused::Interrupted) => ErrorKind::Interrupted,
                Denied::Damaged => ErrorKind::Corrupt,
            };
            self.handle.error(verb, kind)
        })
    }

    /// Gives up this locking, or whoever's; false if it is not held.
    #[cold]
    #[inline(never)]
    fn give_up(&self, only: Option<Hold>, as_dead: bool) -> bool {
        let raw = self.handle.raw();
        // Without a list there is no cleaning up after this thread either, should it be killed before it has woken a waiter.
        let me = Me::get().ok();
        if let Some(me) = me {
            me.name(raw.owner.futex());
        }
        let released = raw.owner.release(only, as_dead, || raw.set_poisoned(true));
        if let Some(me) = me {
            me.clear();
        }
        released
    }

    /// Declares what the lock guards sound; false if the lock, or this locking, is not held.
    fn set_sound(&self, only: Option<Hold>) -> bool {
        let raw = self.handle.raw();
        if !raw.owner.is_held(only) {
            return false;
        }
        raw.set_poisoned(false);
        raw.owner.recover(only)
    }

    #[cold]
    fn not_held(&self, verb: &str) -> Error {
        let kind = match self.handle.raw().owner.view() {
            View::Damaged => ErrorKind::Corrupt,
            _ => ErrorKind::NotHeld,
        };
        self.handle.error(verb, kind)
    }
}

impl Object for ProcessMutex {
    type Initial = ();

    const KIND: Kind = Kind::PROCESS_MUTEX;

    fn image((): ()) -> Result<Image, Error> {
        Ok(Image::new(Kind::PROCESS_MUTEX, SLOTS as u32, Self::SIZE))
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        let handle = Handle::<RawProcessMutex>::open(place, verb, Some(RawProcessMutex::IDENTITY))?;
        if handle.identity() != RawProcessMutex::IDENTITY {
            let slots = handle.parameter().unwrap_or(0);
            return Err(handle
                .error(verb, ErrorKind::Mismatch)
                .detail(format!("it has slots for {slots} processes, not for {SLOTS}")));
        }
        Ok(Self { lease: Arc::new(Lease::new(handle.clone())), handle })
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one process mutex, which begins with nothing. Zero bytes are a free, never used one.
impl Primitive for ProcessMutex {}

impl Clone for ProcessMutex {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), lease: self.lease.clone() }
    }
}

impl fmt::Debug for ProcessMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMutex")
            .field("name", &self.handle.name())
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}
