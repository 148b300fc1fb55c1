//! `Mutex<T>`: a value in shared pages that one thread of one process at a time can reach.
//!
//! The value lies right behind the lock's 64 bytes. This file leaves the waiting and the dying to `raw_mutex`, the guards to `guard`
//! and where the bytes come from to `placement`.

#![allow(
    unsafe_code,
    reason = "the value lies in shared pages, behind a lock that the type system does not know"
)]

use crate::error::{Error, ErrorKind};
use crate::futex::Deadline;
use crate::guard::{LockError, MutexGuard, RecoveryGuard};
use crate::placement::Placement;
use crate::raw_mutex::{Locked, RawMutex, Wait};
use crate::robust::Me;
use crate::word::{Acquired, Patience};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::time::{Duration, Instant};

/// Why a lock call did not simply get the lock.
enum Trouble {
    /// It has the lock, and the news.
    OwnerDied(Me),
    Failed(Error),
}

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
/// use shm_sync::Mutex;
///
/// let balance = Mutex::anonymous(100u64)?;
/// *balance.lock()? -= 30;
/// assert_eq!(*balance.lock()?, 70);
/// # Ok::<(), shm_sync::Error>(())
/// ```
///
/// Object pointers have no meaning in another process and do not compile:
/// ```compile_fail,E0277
/// let texts = shm_sync::Mutex::anonymous(String::new());
/// ```
pub struct Mutex<T: Pod + Send> {
    place: Placement,
    value: PhantomData<T>,
}

// SAFETY: the handle is a pointer to pages that stay mapped while it (or another handle, or its segment) exists, whichever thread uses it; the
// value is only reached through the lock, by one thread at a time, and `T: Send` allows it to be another one each time.
unsafe impl<T: Pod + Send> Send for Mutex<T> {}
// SAFETY: as above; the lock itself consists of atomics.
unsafe impl<T: Pod + Send> Sync for Mutex<T> {}

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

    const IDENTITY: u64 = {
        assert!(Self::SIZE >= size_of::<RawMutex>());
        RawMutex::identity(size_of::<T>() as u32)
    };

    /// Makes a handle to the mutex at `place`; never used (zero) bytes become one.
    pub(crate) fn at(place: Placement, operation: &'static str) -> Result<Self, Error> {
        let error = |kind| Error::new(operation, kind).on(place.name());
        if !place.address().addr().get().is_multiple_of(Self::ALIGN) {
            return Err(error(ErrorKind::Misaligned).detail(format!("the address is {:p}", place.address())));
        }
        let mutex = Self { place, value: PhantomData };
        match mutex.raw().adopt(Self::IDENTITY) {
            Ok(()) => Ok(mutex),
            Err(kind) => Err(Error::new(operation, kind).on(mutex.place.name())),
        }
    }

    /// Makes a handle to a mutex at an aligned `place` that nobody has used before.
    pub(crate) fn new_at(place: Placement, operation: &'static str) -> Result<Self, Error> {
        let mutex = Self { place, value: PhantomData };
        match mutex.raw().claim(Self::IDENTITY) {
            Ok(()) => Ok(mutex),
            Err(kind) => Err(Error::new(operation, kind).on(mutex.place.name())),
        }
    }

    /// Makes a mutex without a name, shared with the threads of this process and the children that it forks.
    ///
    /// # Errors
    /// [`ErrorKind::Segment`] if there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// let mutex = shm_sync::Mutex::anonymous([1.5f64; 8])?;
    /// assert_eq!(mutex.lock()?[7], 1.5);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn anonymous(value: T) -> Result<Self, Error> {
        let place = Placement::anonymous(Self::SIZE)
            .map_err(|error| Error::new("create the mutex", ErrorKind::Segment).caused_by(error))?;
        let mutex = Self::at(place, "create the mutex")?;
        mutex.write_first(value);
        Ok(mutex)
    }

    /// Stores the first value. Only while nobody else knows the mutex.
    fn write_first(&self, value: T) {
        // SAFETY: `value` points to `size_of::<T>()` writable bytes, aligned like the lock (64 at least); nobody else reaches them yet.
        unsafe { self.value().write(value) };
    }

    /// Makes a handle to a mutex at an address in shared pages.
    ///
    /// Zero bytes are a valid mutex, free and never used, whose value is all zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Misaligned`] if the address is not a multiple of 64; [`ErrorKind::Mismatch`] if there is something else, or a mutex
    /// with a value of another size. Nothing is changed then.
    ///
    /// # Safety
    /// - The [`SIZE`](Self::SIZE) bytes at `address` are mapped readable and writable, and stay so until the last handle made from it is
    ///   gone, and until the last guard is.
    /// - The mapping is shared (`MAP_SHARED`) if the mutex is meant for several processes: a private one excludes nobody.
    /// - In one process, one lock is used at one address only.
    /// - Those bytes are either zero, or were written by this type only (or by a neighbour that this process trusts as itself), and nobody
    ///   reaches them in another way while a handle exists.
    ///
    /// # Examples
    /// ```
    /// use shm_sync::Mutex;
    ///
    /// #[repr(align(64))]
    /// struct Bytes([u8; 128]);
    /// let mut bytes = Bytes([0; 128]);
    /// // SAFETY: zero, aligned, alive until the end, and used by threads of this process only.
    /// let mutex = unsafe { Mutex::<u32>::from_ptr(bytes.0.as_mut_ptr()) }?;
    /// *mutex.lock()? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub unsafe fn from_ptr(address: *mut u8) -> Result<Self, Error> {
        let Some(address) = NonNull::new(address) else {
            return Err(
                Error::new("attach to the mutex", ErrorKind::Misaligned).detail("the address is null")
            );
        };
        Self::at(Placement::foreign(address), "attach to the mutex")
    }

    /// Takes the lock, waiting for it as long as it takes. Signals do not end the wait.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] *with the lock* if its last holder died. Without it: [`ErrorKind::Deadlock`] if this thread holds it
    /// already, [`ErrorKind::Poisoned`], [`ErrorKind::TooManyLocks`] (a thread holds 2 000 at most), [`ErrorKind::Unsupported`],
    /// [`ErrorKind::Corrupt`].
    ///
    /// # Examples
    /// ```
    /// use shm_sync::{LockError, Mutex};
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
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_with(|| Wait::For(Patience::default()))
    }

    /// Takes the lock if that is possible at once.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody else holds it; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::{ErrorKind, Mutex};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// let guard = mutex.lock()?;
    /// let elsewhere = mutex.clone();
    /// std::thread::spawn(move || {
    ///     assert_eq!(elsewhere.try_lock().unwrap_err().kind(), ErrorKind::Busy);
    /// }).join().unwrap();
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_with(|| Wait::Not)
    }

    /// Takes the lock, waiting for it for `timeout` at most. A timeout of zero still takes a free lock.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it was not free in that time; otherwise as [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # use shm_sync::Mutex;
    /// # use std::time::Duration;
    /// let mutex = Mutex::anonymous(0u8)?;
    /// *mutex.lock_timeout(Duration::from_millis(100))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
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
    /// # use shm_sync::Mutex;
    /// # use std::time::{Duration, Instant};
    /// let mutex = Mutex::anonymous(0u8)?;
    /// *mutex.lock_until(Instant::now() + Duration::from_secs(1))? += 1;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn lock_until(&self, deadline: Instant) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let deadline = Some(Deadline::at(deadline));
        self.lock_with(|| Wait::For(Patience { deadline, interruptible: false }))
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
    /// # use shm_sync::{ErrorKind, LockError, Mutex};
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
    pub fn lock_interruptible(
        &self,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let deadline = deadline.map(Deadline::at);
        self.lock_with(|| Wait::For(Patience { deadline, interruptible: true }))
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
    /// # use shm_sync::{ErrorKind, Mutex};
    /// let mutex = Mutex::anonymous(7u32)?;
    /// drop(mutex.repair()?); // given up
    /// assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::Poisoned);
    /// let mut guard = mutex.repair()?;
    /// *guard = 0;
    /// drop(guard.recover());
    /// assert_eq!(*mutex.lock()?, 0);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    pub fn repair(&self) -> Result<RecoveryGuard<'_, T>, Error> {
        let locked = self.raw().lock(Wait::For(Patience::default())).map_err(|error| self.named(error))?;
        let guard = MutexGuard::new(self, locked.me);
        match self.raw().check(Self::IDENTITY) {
            Ok(()) | Err(ErrorKind::Poisoned) => Ok(RecoveryGuard::new(guard)),
            Err(kind) => Err(self.named(Error::new("repair the mutex", kind))),
        }
    }

    // What is not inlined here returns in registers: a result that goes through memory has to wait for the atomic operations before it,
    // which costs as much as one of them.
    #[inline(always)]
    fn lock_with(&self, wait: impl FnOnce() -> Wait) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let me = match self.raw().lock_free(Self::IDENTITY) {
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
        let Locked { me, acquired } = self.raw().lock(wait).map_err(failed)?;
        match (self.raw().check(Self::IDENTITY), acquired) {
            (Ok(()), Acquired::Clean) => Ok(me),
            (Ok(()), Acquired::OwnerDied) => Err(Box::new(Trouble::OwnerDied(me))),
            (Err(kind), _) => {
                self.raw().unlock(me);
                Err(failed(Error::new("lock the mutex", kind)))
            }
        }
    }

    #[cold]
    pub(crate) fn named(&self, error: Error) -> Error {
        error.on(self.place.name())
    }

    #[inline(always)]
    pub(crate) fn raw(&self) -> &RawMutex {
        // SAFETY: the placement is at least `SIZE` bytes, mapped readable and writable while the handle lives (its constructors' contract),
        // aligned (checked in `at`), and `RawMutex` consists of atomics for which any bytes are valid.
        unsafe { self.place.address().cast().as_ref() }
    }

    /// Where the value is: right behind the lock.
    #[inline(always)]
    pub(crate) fn value(&self) -> NonNull<T> {
        // SAFETY: the placement is `SIZE` bytes long, which covers the lock and a `T`.
        unsafe { self.place.address().add(size_of::<RawMutex>()).cast() }
    }
}

impl<T: Pod + Send> Clone for Mutex<T> {
    /// Makes another handle to the same lock.
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), value: PhantomData }
    }
}

impl<T: Pod + Send> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("name", &self.place.name()).finish_non_exhaustive()
    }
}
