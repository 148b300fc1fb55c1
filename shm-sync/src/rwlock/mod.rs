//! `RwLock<T>`: a value in shared pages that many threads of many processes can read at once, or one can write.
//!
//! The value lies right behind the lock's slots. This file leaves the waiting and the dying to `raw`, the guards to `guard`, and where the bytes
//! come from to `primitive`.

#![allow(
    unsafe_code,
    reason = "the value lies in shared pages, behind a lock that the type system does not know"
)]

mod guard;
mod raw;

pub use guard::{RwLockReadGuard, RwLockWriteGuard};

use crate::base::robust::Me;
use crate::base::slot::Wait;
use crate::error::{Error, ErrorKind};
use crate::guard::{LockError, LockResult, RecoveryGuard, Trouble};
use crate::handle::{Handle, Kind};
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use crate::value::Value;
use bytemuck::Pod;
use core::fmt;
use core::ptr::NonNull;
use raw::{Hold, RawRwLock};
use std::time::{Duration, Instant};

/// A robust reader-writer lock that owns a value in shared pages, between threads and processes alike.
///
/// An `RwLock` is a handle: several handles, in several processes, name one lock; [`Clone`] makes another. Any number of threads up to
/// `READERS` read at once, or one writes. A lock is owned by the *thread* that takes it, and given up by dropping the
/// [`RwLockReadGuard`] or [`RwLockWriteGuard`], which cannot leave that thread. Every reader's place takes 64 bytes; with 62 of them, and a
/// value of up to 64 bytes, the lock fits a page.
///
/// # Who goes first
/// Writers do: from the moment when a writer waits, readers that come queue up with it. Exceptions are threads that read already: they can read
/// once more at any time, so a writer that waits for them is no deadlock. Writing while reading and reading while writing, in one
/// thread, is [`ErrorKind::Deadlock`].
///
/// When all `READERS` places are taken, one reader more can come in, which keeps the queue shut: [`read`](Self::read) waits then, and
/// [`try_read`](Self::try_read) says [`ErrorKind::TooManyReaders`]. A write lock looks at as many places as were ever taken at once, a
/// nanosecond for each.
///
/// # When a holder dies
/// A reader that dies has changed nothing: its place is free, its death wakes the writer that waits for it, and the other readers go on keeping
/// writers out. If a *writer*'s process is killed, its thread ends, or it panics with the guard in its hands, the value may be
/// half-written. The lock opens all the same, and exactly one next locker, reader or writer, gets the news together with the lock, held for
/// writing: [`LockError::OwnerDied`]. Its [`RecoveryGuard`] is for looking at the value and mending it; [`recover`](RecoveryGuard::recover)
/// gives the guard that was asked for. Dropping it without that (an ignored error, a `?`) poisons the lock: from then on every locker gets
/// [`ErrorKind::Poisoned`] until somebody opens it with [`repair`](Self::repair). Whoever dies *waiting*, for reading or writing, leaves no
/// news.
///
/// # Why the guards may lend `&T` and `&mut T`
/// As for [`Mutex`](crate::Mutex): the lock owns the value, and every handle, in every process, reaches it through the lock only. `T` has to be
/// [`Pod`](bytemuck::Pod): whatever bytes are found there, they are a `T`.
///
/// # Fork and signals
/// A guard that a forked child inherited is void: it does not unlock, and panics instead of lending the value. The child can lock through
/// the handles it inherited like anybody else. All processes have to be in one pid namespace. Locking is not for signal handlers.
///
/// # Examples
/// ```
/// use shm_sync::{Primitive, RwLock};
///
/// let prices = RwLock::<[f64; 4]>::anonymous([1.0; 4])?;
/// prices.write()?[2] = 1.5;
/// let (here, there) = (prices.read()?, prices.read()?); // at the same time
/// assert_eq!(here[2] + there[3], 2.5);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Few readers, few bytes:
/// ```
/// # use shm_sync::{Primitive, RwLock};
/// let lock = RwLock::<u64, 4>::anonymous(7)?;
/// assert_eq!(*lock.read()?, 7);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Types with cells inside do not compile: readers in several threads would write to them.
/// ```compile_fail,E0277
/// # use shm_sync::Primitive;
/// let cell = shm_sync::RwLock::<std::cell::Cell<u64>>::anonymous(std::cell::Cell::new(0));
/// ```
pub struct RwLock<T: ?Sized + Value + Sync, const READERS: usize = 62> {
    handle: Handle<RawRwLock<READERS>>,
    length: T::Length,
}

// SAFETY: the handle is a pointer to pages that stay mapped while it (or another handle, or its segment) exists, whichever thread uses it; the
// value is only reached through the lock, by one thread or by readers only, and `T: Send + Sync` allows them to be any threads.
unsafe impl<T: ?Sized + Value + Sync, const READERS: usize> Send for RwLock<T, READERS> {}
// SAFETY: as above; the lock itself consists of atomics.
unsafe impl<T: ?Sized + Value + Sync, const READERS: usize> Sync for RwLock<T, READERS> {}

impl<T: Pod + Send + Sync, const READERS: usize> RwLock<T, READERS> {
    /// How many bytes the lock and its value take.
    ///
    /// ```
    /// assert_eq!(shm_sync::RwLock::<[u8; 64]>::SIZE, 4096);
    /// assert_eq!(shm_sync::RwLock::<u64, 3>::SIZE, 64 * 4 + 8);
    /// ```
    pub const SIZE: usize = {
        assert!(align_of::<T>() <= 64, "the value's alignment is at most that of the lock, 64");
        assert!(size_of::<T>() <= u32::MAX as usize, "the value is smaller than 4 GiB");
        size_of::<RawRwLock<READERS>>() + size_of::<T>()
    };

    /// How the address of a lock has to be aligned, in bytes.
    ///
    /// ```
    /// assert_eq!(shm_sync::RwLock::<u8>::ALIGN, 64);
    /// ```
    pub const ALIGN: usize = align_of::<RawRwLock<READERS>>();
}

impl<T: ?Sized + Value + Sync, const READERS: usize> RwLock<T, READERS> {
    /// Takes the lock for reading, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] *with the lock, for writing*, if the last writer died. Without it: [`ErrorKind::Deadlock`] if this thread is
    /// writing, [`ErrorKind::Poisoned`], [`ErrorKind::TooManyLocks`] (a thread holds 2 000 at most), [`ErrorKind::TooDeep`],
    /// [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{LockError, Primitive, RwLock};
    ///
    /// let lock = RwLock::<[u32; 2]>::anonymous([1, 2])?;
    /// let guard = match lock.read() {
    ///     Ok(guard) => guard,
    ///     Err(LockError::OwnerDied(mut left)) => {
    ///         *left = [0, 0]; // half-written, perhaps: start anew
    ///         left.recover() // a reader's guard, as asked for
    ///     }
    ///     Err(LockError::Failed(error)) => return Err(error),
    /// };
    /// assert_eq!(*guard, [1, 2]);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        self.read_with(Wait::forever)
    }

    /// Takes the lock for reading if that is possible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody writes or waits to write, or comes in through the queue at this very moment;
    /// [`ErrorKind::TooManyReaders`] if all places are taken; otherwise as [`read`](Self::read).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u8>::anonymous(0)?;
    /// let guard = lock.write()?;
    /// let elsewhere = lock.clone();
    /// std::thread::spawn(move || {
    ///     assert_eq!(elsewhere.try_read().unwrap_err().kind(), ErrorKind::Busy);
    /// }).join().unwrap();
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_read(&self) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        self.read_with(|| Wait::Not)
    }

    /// Takes the lock for reading, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it could not be had in that time; otherwise as [`read`](Self::read).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RwLock};
    /// # use std::time::Duration;
    /// let lock = RwLock::<u8>::anonymous(3)?;
    /// assert_eq!(*lock.read_timeout(Duration::from_millis(100))?, 3);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn read_timeout(&self, timeout: Duration) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        let wait = Wait::timeout(timeout);
        self.read_with(|| wait)
    }

    /// Takes the lock for reading, waiting for it until `deadline` at most. A deadline that has passed still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it could not be had before; otherwise as [`read`](Self::read).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RwLock};
    /// # use std::time::{Duration, Instant};
    /// let lock = RwLock::<u8>::anonymous(3)?;
    /// assert_eq!(*lock.read_until(Instant::now() + Duration::from_secs(1))?, 3);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn read_until(&self, deadline: Instant) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        let wait = Wait::until(deadline);
        self.read_with(|| wait)
    }

    /// Takes the lock for reading, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// For bindings to languages that handle signals between their own steps. A signal that arrives before the wait begins is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`read_until`](Self::read_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u8>::anonymous(3)?;
    /// let guard = loop {
    ///     match lock.read_interruptible(None) {
    ///         Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers */ }
    ///         other => break other?,
    ///     }
    /// };
    /// # drop(guard);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn read_interruptible(
        &self,
        deadline: Option<Instant>,
    ) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        let wait = Wait::interruptible(deadline);
        self.read_with(|| wait)
    }

    /// Takes the lock for writing, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] *with the lock* if the last writer died. Without it: [`ErrorKind::Deadlock`] if this thread is reading or
    /// writing, [`ErrorKind::Poisoned`], [`ErrorKind::TooManyLocks`] (a thread holds 2 000 at most), [`ErrorKind::Unsupported`],
    /// [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u64>::anonymous(1)?;
    /// *lock.write()? += 1;
    /// let reading = lock.read()?;
    /// assert_eq!(lock.write().unwrap_err().kind(), ErrorKind::Deadlock);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        self.write_with(Wait::forever)
    }

    /// Takes the lock for writing if that is possible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody reads or writes, or tries to at this very moment; otherwise as [`write`](Self::write).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u8>::anonymous(0)?;
    /// let guard = lock.read()?;
    /// let elsewhere = lock.clone();
    /// std::thread::spawn(move || {
    ///     assert_eq!(elsewhere.try_write().unwrap_err().kind(), ErrorKind::Busy);
    /// }).join().unwrap();
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_write(&self) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        self.write_with(|| Wait::Not)
    }

    /// Takes the lock for writing, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free in that time; otherwise as [`write`](Self::write).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RwLock};
    /// # use std::time::Duration;
    /// let lock = RwLock::<u8>::anonymous(0)?;
    /// *lock.write_timeout(Duration::from_millis(100))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn write_timeout(&self, timeout: Duration) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        let wait = Wait::timeout(timeout);
        self.write_with(|| wait)
    }

    /// Takes the lock for writing, waiting for it until `deadline` at most. A deadline that has passed still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free before; otherwise as [`write`](Self::write).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{Primitive, RwLock};
    /// # use std::time::{Duration, Instant};
    /// let lock = RwLock::<u8>::anonymous(0)?;
    /// *lock.write_until(Instant::now() + Duration::from_secs(1))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn write_until(&self, deadline: Instant) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        let wait = Wait::until(deadline);
        self.write_with(|| wait)
    }

    /// Takes the lock for writing, waiting until `deadline` (for ever without one) or until a signal handler has run in this thread.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] after a signal; otherwise as [`write_until`](Self::write_until).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u8>::anonymous(0)?;
    /// match lock.write_interruptible(None) {
    ///     Err(error) if error.kind() == ErrorKind::Interrupted => { /* run the language's handlers, call again */ }
    ///     other => *other? += 1,
    /// }
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn write_interruptible(
        &self,
        deadline: Option<Instant>,
    ) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        let wait = Wait::interruptible(deadline);
        self.write_with(|| wait)
    }

    /// Takes the lock for writing in whatever state the value is, to mend it: the way back from [`ErrorKind::Poisoned`].
    ///
    /// Waits as [`write`](Self::write) does. The value counts as given up until [`RecoveryGuard::recover`] says otherwise.
    ///
    /// # Errors
    /// As [`write`](Self::write), without [`LockError::OwnerDied`] and [`ErrorKind::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Primitive, RwLock};
    /// let lock = RwLock::<u32>::anonymous(7)?;
    /// drop(lock.repair()?); // given up
    /// assert_eq!(lock.read().unwrap_err().kind(), ErrorKind::Poisoned);
    /// let mut guard = lock.repair()?;
    /// *guard = 0;
    /// drop(guard.recover());
    /// assert_eq!(*lock.read()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn repair(&self) -> Result<RecoveryGuard<RwLockWriteGuard<'_, T, READERS>>, Error> {
        match self.raw().write(self.guarded(), Wait::forever(), true) {
            Ok(me) | Err(Trouble::OwnerDied(me)) => Ok(RecoveryGuard::new(RwLockWriteGuard::new(self, me))),
            Err(Trouble::Failed(error)) => Err(self.named(error)),
        }
    }

    // What is not inlined here returns in registers, as in `Mutex`.
    #[inline(always)]
    fn read_with(&self, wait: impl FnOnce() -> Wait) -> LockResult<RwLockReadGuard<'_, T, READERS>> {
        let hold = match self.raw().read_free(self.guarded()) {
            Some(hold) => hold,
            None => match self.read_slowly(wait()) {
                Ok(hold) => hold,
                Err(trouble) => return Err(self.told(*trouble)),
            },
        };
        Ok(RwLockReadGuard::new(self, hold))
    }

    #[cold]
    #[inline(never)]
    fn read_slowly(&self, wait: Wait) -> Result<Hold, Box<Trouble>> {
        self.raw().read(self.guarded(), wait).map_err(Box::new)
    }

    #[inline(always)]
    fn write_with(&self, wait: impl FnOnce() -> Wait) -> LockResult<RwLockWriteGuard<'_, T, READERS>> {
        let me = match self.raw().write_free(self.guarded()) {
            Some(me) => me,
            None => match self.write_slowly(wait()) {
                Ok(me) => me,
                Err(trouble) => return Err(self.told(*trouble)),
            },
        };
        Ok(RwLockWriteGuard::new(self, me))
    }

    #[cold]
    #[inline(never)]
    fn write_slowly(&self, wait: Wait) -> Result<Me, Box<Trouble>> {
        self.raw().write(self.guarded(), wait, false).map_err(Box::new)
    }

    #[cold]
    fn told<'a, G>(&'a self, trouble: Trouble) -> LockError<G>
    where
        G: crate::guard::Guard<Exclusive = RwLockWriteGuard<'a, T, READERS>>,
    {
        match trouble {
            Trouble::OwnerDied(me) => {
                LockError::OwnerDied(RecoveryGuard::new(RwLockWriteGuard::new(self, me)))
            }
            Trouble::Failed(error) => LockError::Failed(self.named(error)),
        }
    }

    #[cold]
    fn named(&self, error: Error) -> Error {
        error.on(self.handle.name())
    }

    #[inline(always)]
    fn raw(&self) -> &RawRwLock<READERS> {
        self.handle.raw()
    }

    /// The bytes of a new one.
    pub(crate) fn image_of(initial: &T::Initial) -> Result<Image, Error> {
        let image = Handle::<RawRwLock<READERS>>::image_guarding::<T>(initial)?;
        Ok(image.with(raw::SLOTS_AT, &RawRwLock::<READERS>::SLOTS.to_le_bytes()))
    }

    /// The one at `place`.
    pub(crate) fn open_at(place: Placement, verb: &str) -> Result<Self, Error> {
        let (handle, length) = Handle::<RawRwLock<READERS>>::open_guarding::<T>(place, verb)?;
        if !handle.raw().adopt() {
            return Err(handle
                .error(verb, ErrorKind::Mismatch)
                .detail(format!("it has places for {} readers, not for {READERS}", handle.raw().slots())));
        }
        Ok(Self { handle, length })
    }

    /// How long the value is.
    pub(crate) fn length(&self) -> T::Length {
        self.length
    }

    /// The identity that the bytes have to have.
    #[inline(always)]
    pub(crate) fn guarded(&self) -> u64 {
        Handle::<RawRwLock<READERS>>::identity_guarding::<T>(self.length)
    }

    #[inline(always)]
    fn value(&self) -> NonNull<T> {
        T::at(self.handle.tail(), self.length)
    }
}

impl<T: Pod + Send + Sync, const READERS: usize> Object for RwLock<T, READERS> {
    type Initial = T;

    const KIND: Kind = Kind::RW_LOCK;

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

/// A handle to one lock; `Initial` is the value that it guards. Zero bytes are a free, never used lock with a value of zeros; whoever uses
/// them first says how many readers it has.
impl<T: Pod + Send + Sync, const READERS: usize> Primitive for RwLock<T, READERS> {}

impl<T: ?Sized + Value + Sync, const READERS: usize> Clone for RwLock<T, READERS> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), length: self.length }
    }
}

impl<T: ?Sized + Value + Sync, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("name", &self.handle.name()).finish_non_exhaustive()
    }
}
