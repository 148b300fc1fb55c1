//! `Mutex<T>`: a value in shared pages that one thread of one process at a time can reach.
//!
//! The value lies right behind the lock's 64 bytes. This file leaves the waiting and the dying to `raw`, the guards to `guard`
//! and where the bytes come from to `primitive`.

#![allow(
    unsafe_code,
    reason = "the value lies in shared pages, behind a lock that the type system does not know"
)]

mod guard;
pub(crate) mod raw;

pub use guard::MutexGuard;

use crate::base::robust::Me;
use crate::base::slot::{Locked, Wait};
use crate::base::word::Acquired;
use crate::error::{Error, ErrorKind};
use crate::guard::{LockError, LockResult, RecoveryGuard, Trouble};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use crate::value::Value;
use bytemuck::Pod;
use core::fmt;
use core::ptr::NonNull;
use raw::RawMutex;
use std::time::{Duration, Instant};

const LOCK: &str = "lock the mutex";
const REPAIR: &str = "repair the mutex";

/// A robust mutex that owns a value in shared pages, between threads and processes alike.
///
/// A `Mutex` is a handle: several handles, in several processes, name one lock; [`Clone`] makes another. The lock is owned by the *thread*
/// that takes it, and given up by dropping the [`MutexGuard`], which cannot leave that thread.
///
/// # When a holder dies
/// If the holder's process is killed, its thread ends, or it panics with the guard in its hands, the value may be half-written. The lock
/// opens all the same, and exactly one next locker gets the news together with the lock: [`LockError::OwnerDied`]. It holds a
/// [`RecoveryGuard`], to look at the value, mend it and say [`recover`](RecoveryGuard::recover). Dropping it without that (an ignored error, a
/// `?`) poisons the mutex: from then on every locker, in every process, gets [`ErrorKind::Poisoned`] until somebody opens it with
/// [`repair`](Self::repair). A successor that dies before it recovered leaves the news to the next one.
///
/// # Why the guard may lend `&mut T`
/// The lock owns the value: every handle reaches it through the lock only. That needs the other processes that map the pages to be as
/// honest: one that writes there without the lock races with the holder, and nothing can prevent that between processes that may write
/// to each other's memory. So `T` has to be [`Pod`](bytemuck::Pod): whatever bytes are found there, they are a `T`.
///
/// # Fork and signals
/// A guard that a forked child inherited is void: it does not unlock, and panics instead of lending the value. The child can lock through
/// the handles it inherited like anybody else. Fork through libc (as `std::process` does): a child made by a bare `clone` system call has no
/// robust list, and its lock calls fail with [`ErrorKind::Unsupported`]. All processes have to be in one pid namespace. Locking is not
/// for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Mutex, Primitive};
///
/// let balance = Mutex::anonymous(100u64)?;
/// *balance.lock()? -= 30;
/// assert_eq!(*balance.lock()?, 70);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Object pointers have no meaning in another process and do not compile:
/// ```compile_fail,E0277
/// # use shm_sync::Primitive;
/// let texts = shm_sync::Mutex::anonymous(String::new());
/// ```
pub struct Mutex<T: ?Sized + Value> {
    handle: Handle<RawMutex>,
    length: T::Length,
}

// SAFETY: the handle is a pointer to pages that stay mapped while it (or another handle, or its segment) exists, whichever thread uses it; the
// value is only reached through the lock, by one thread at a time, and `T: Send` allows it to be another one each time.
unsafe impl<T: ?Sized + Value> Send for Mutex<T> {}
// SAFETY: as above; the lock itself consists of atomics.
unsafe impl<T: ?Sized + Value> Sync for Mutex<T> {}

impl<T: Pod + Send> Mutex<T> {
    /// How many bytes the lock and its value take.
    ///
    /// ```
    /// assert_eq!(shm_sync::Mutex::<u64>::SIZE, 72);
    /// ```
    pub const SIZE: usize = {
        assert!(align_of::<T>() <= 64, "the value's alignment is at most that of the lock, 64");
        assert!(size_of::<T>() <= u32::MAX as usize, "the value is smaller than 4 GiB");
        size_of::<RawMutex>() + size_of::<T>()
    };

    /// How the address of a mutex has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::Mutex::<u8>::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawMutex>();
}

impl<T: ?Sized + Value> Mutex<T> {
    /// Takes the lock, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] *with the lock* if its last holder died. Without it: [`ErrorKind::Deadlock`] if this thread holds it
    /// already, [`ErrorKind::Poisoned`], [`ErrorKind::TooManyLocks`] (a thread holds 2 000 at most), [`ErrorKind::Unsupported`],
    /// [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{LockError, Mutex, Primitive};
    ///
    /// let mutex = Mutex::anonymous([1u32, 2])?;
    /// let mut guard = match mutex.lock() {
    ///     Ok(guard) => guard,
    ///     Err(LockError::OwnerDied(mut left)) => {
    ///         *left = [0, 0]; // half-written, perhaps: start anew
    ///         left.recover()
    ///     }
    ///     Err(LockError::Failed(error)) => return Err(error),
    /// };
    /// guard[0] = 5;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock_with(Wait::forever)
    }

    /// Takes the lock if that is possible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody else holds it; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Mutex, Primitive};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// let guard = mutex.lock()?;
    /// let elsewhere = mutex.clone();
    /// std::thread::spawn(move || {
    ///     assert_eq!(elsewhere.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// }).join().unwrap();
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock_with(|| Wait::Not)
    }

    /// Takes the lock if all is as usual: it is free, its value is sound, and this thread has locked before. If not, nothing was done, and
    /// [`lock`](Self::lock) finds out why.
    ///
    /// It is the shortest way in, for callers that keep the long one apart, such as bindings to other languages. It neither waits nor fails.
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Mutex, Primitive};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// let guard = match mutex.lock_if_free() {
    ///     Some(guard) => guard,
    ///     None => mutex.lock()?,
    /// };
    /// assert!(mutex.lock_if_free().is_none()); // this thread has it
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline(always)]
    pub fn lock_if_free(&self) -> Option<MutexGuard<'_, T>> {
        self.raw().lock_free(self.guarded()).map(|me| MutexGuard::new(self, me))
    }

    /// Takes the lock, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free in that time; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Mutex, Primitive};
    /// # use std::time::Duration;
    /// let mutex = Mutex::anonymous(0u8)?;
    /// *mutex.lock_timeout(Duration::from_millis(100))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> LockResult<MutexGuard<'_, T>> {
        let wait = Wait::timeout(timeout);
        self.lock_with(|| wait)
    }

    /// Takes the lock, waiting for it until `deadline` at most. A deadline that has passed still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free before; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Mutex, Primitive};
    /// # use std::time::{Duration, Instant};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// *mutex.lock_until(Instant::now() + Duration::from_secs(1))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_until(&self, deadline: Instant) -> LockResult<MutexGuard<'_, T>> {
        let wait = Wait::until(deadline);
        self.lock_with(|| wait)
    }

    /// Takes the lock, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins
    /// is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`lock_until`](Self::lock_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, LockError, Mutex, Primitive};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// let guard = loop {
    ///     match mutex.lock_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_interruptible(&self, deadline: Option<Instant>) -> LockResult<MutexGuard<'_, T>> {
        let wait = Wait::interruptible(deadline);
        self.lock_with(|| wait)
    }

    /// Takes the lock in whatever state the value is, to mend it: the way back from [`ErrorKind::Poisoned`].
    ///
    /// Waits as [`lock`](Self::lock) does. The value counts as given up until [`RecoveryGuard::recover`] says otherwise.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), without [`LockError::OwnerDied`] and [`ErrorKind::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Mutex, Primitive};
    /// let mutex = Mutex::anonymous(7u32)?;
    /// drop(mutex.repair()?); // given up
    /// assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    /// let mut guard = mutex.repair()?;
    /// *guard = 0;
    /// drop(guard.recover());
    /// assert_eq!(*mutex.lock()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn repair(&self) -> Result<RecoveryGuard<MutexGuard<'_, T>>, Error> {
        let locked = self.raw().lock(REPAIR, Wait::forever()).map_err(|error| self.named(error))?;
        let guard = MutexGuard::new(self, locked.me);
        match self.raw().check(self.guarded()) {
            Ok(()) | Err(ErrorKind::Poisoned) => Ok(RecoveryGuard::new(guard)),
            Err(kind) => Err(self.named(Error::new(REPAIR, kind))),
        }
    }

    // What is not inlined here returns in registers: a result that goes through memory has to wait for the atomic operations before it,
    // which costs as much as one of them.
    #[inline(always)]
    fn lock_with(&self, wait: impl FnOnce() -> Wait) -> LockResult<MutexGuard<'_, T>> {
        let me = match self.raw().lock_free(self.guarded()) {
            Some(me) => me,
            None => match self.lock_slowly(wait()) {
                Ok(me) => me,
                Err(trouble) => {
                    return Err(match *trouble {
                        Trouble::OwnerDied(me) => {
                            LockError::OwnerDied(RecoveryGuard::new(MutexGuard::new(self, me)))
                        }
                        Trouble::Failed(error) => LockError::Failed(error),
                    });
                }
            },
        };
        Ok(MutexGuard::new(self, me))
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(&self, wait: Wait) -> Result<Me, Box<Trouble>> {
        let failed = |error| Box::new(Trouble::Failed(self.named(error)));
        let Locked { me, acquired } = self.raw().lock(LOCK, wait).map_err(failed)?;
        match (self.raw().check(self.guarded()), acquired) {
            (Ok(()), Acquired::Clean) => Ok(me),
            (Ok(()), Acquired::OwnerDied) => Err(Box::new(Trouble::OwnerDied(me))),
            (Err(kind), _) => {
                self.raw().unlock(me);
                Err(failed(Error::new(LOCK, kind)))
            }
        }
    }

    #[cold]
    fn named(&self, error: Error) -> Error {
        error.on(self.handle.name())
    }

    /// Whether whoever locks next gets news or an error: a look from outside, at any time.
    fn is_in_trouble(&self) -> bool {
        self.raw().is_in_trouble(self.guarded())
    }

    #[inline(always)]
    fn raw(&self) -> &RawMutex {
        self.handle.raw()
    }

    /// The bytes of a new one.
    pub(crate) fn image_of(initial: &T::Initial) -> Result<Image, Error> {
        Handle::<RawMutex>::image_guarding::<T>(initial)
    }

    /// The one at `place`.
    pub(crate) fn open_at(place: Placement, verb: &str) -> Result<Self, Error> {
        let (handle, length) = Handle::open_guarding::<T>(place, verb)?;
        Ok(Self { handle, length })
    }

    /// How long the value is.
    pub(crate) fn length(&self) -> T::Length {
        self.length
    }

    /// The identity that the bytes have to have.
    #[inline(always)]
    pub(crate) fn guarded(&self) -> u64 {
        Handle::<RawMutex>::identity_guarding::<T>(self.length)
    }

    #[inline(always)]
    fn value(&self) -> NonNull<T> {
        T::at(self.handle.tail(), self.length)
    }
}

impl<T: Pod + Send> Object for Mutex<T> {
    type Initial = T;

    const KIND: Kind = Kind::MUTEX;

    fn image(value: T) -> Result<Image, Error> {
        Self::image_of(&value)
    }

    fn open(place: Placement, verb: &str) -> Result<Self, Error> {
        Self::open_at(place, verb)
    }

    fn identity(&self) -> u64 {
        self.handle.identity()
    }
}

/// A handle to one mutex; `Initial` is the value that it guards. Zero bytes are a free, never used mutex with a value of zeros.
impl<T: Pod + Send> Primitive for Mutex<T> {}

impl<T: ?Sized + Value> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), length: self.length }
    }
}

impl<T: ?Sized + Value> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
