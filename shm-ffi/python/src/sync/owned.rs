//! What belongs to the thread that takes it: mutex, recursive lock, reader-writer lock, and turns. The guards are kept by `kept`.

#![allow(unsafe_code, reason = "guards are kept beside the handles that they borrow")]

use std::sync::Arc;

use pyo3::prelude::*;
use shm_sync::{Error, ErrorKind, LockError, Primitive};

use super::fast::{Quick, Short};
use super::kept::{self, Guard, Handle};
use super::lock::owner_died;
use super::wait::{Failed, deadline, wait};
use super::{Site, primitive};
use crate::arguments::{number, truth};
use crate::error::{self, Result};

/// A handle with the address that tells its lock from others.
pub(super) struct Owned<P> {
    pub(super) handle: Arc<P>,
    pub(super) address: usize,
}

impl<P: Primitive> Owned<P> {
    pub(super) fn open(site: &Site) -> Result<Owned<P>> {
        Ok(Owned { handle: Arc::new(P::attach_in(&site.segment, &site.entry)?), address: site.address()? })
    }
}

/// The short way into a lock that belongs to a thread.
macro_rules! short {
    ($class:ident, $kind:ident) => {
        impl Short for $class {
            #[inline(always)]
            fn take_quickly(&self) -> Quick {
                match self.inner.handle.try_lock() {
                    Ok(guard) => {
                        // SAFETY: the guard borrows what the handle points to, and that alone.
                        unsafe {
                            kept::keep(
                                self.inner.address,
                                Guard::$kind(guard),
                                Handle::$kind(self.inner.handle.clone()),
                            )
                        };
                        Quick::Taken
                    }
                    Err(LockError::OwnerDied(left)) => {
                        drop(left.recover());
                        Quick::OwnerDied
                    }
                    Err(LockError::Failed(_)) => Quick::Unusual,
                }
            }

            #[inline(always)]
            fn give_up_quickly(&self) -> bool {
                kept::release(self.inner.address, |_| true)
            }

            fn owner_died(&self, py: Python<'_>) -> PyErr {
                owner_died(py, &self.site)
            }
        }
    };
}

short!(Mutex, Mutex);
short!(RLock, Recursive);

/// How a lock is asked for.
#[derive(Clone, Copy)]
enum Ask {
    /// Raises when the last holder died, and holds nothing then.
    Raising { block: bool, timeout: Option<f64> },
    /// Takes the lock in any case, and says false then.
    Robust { timeout: Option<f64> },
}

/// Takes a lock by its two forms, `now` and `later`, keeps the guard, and says what became of it.
macro_rules! take {
    ($self:ident, $py:ident, $ask:ident, $kind:ident, $handle:expr, $now:ident, $later:ident) => {{
        let lock = &*$self.inner.handle;
        let block = !matches!($ask, Ask::Raising { block: false, .. });
        let (Ask::Raising { timeout, .. } | Ask::Robust { timeout }) = $ask;
        let deadline = deadline(timeout)?;
        let mut locked = lock.$now();
        if block
            && let Err(LockError::Failed(error)) = &locked
            && matches!(error.kind(), ErrorKind::Busy | ErrorKind::TooManyReaders)
        {
            locked = wait($py, || lock.$later(deadline))?;
        }
        let clean = locked.is_ok();
        let guard = match locked {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(left)) => left.recover(),
            Err(LockError::Failed(error)) => {
                let refused =
                    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Busy | ErrorKind::TooManyReaders);
                return match $ask {
                    Ask::Raising { .. } if refused => Ok(false),
                    _ => Err(error.into()),
                };
            }
        };
        if !clean && let Ask::Raising { .. } = $ask {
            drop(guard);
            return Err(owner_died($py, &$self.site).into());
        }
        // SAFETY: the guard borrows what the handle points to, and that alone.
        unsafe { kept::keep($self.inner.address, Guard::$kind(guard), $handle) };
        Ok(clean)
    }};
}

#[cold]
pub(super) fn not_held(py: Python<'_>, site: &Site, what: &str) -> PyErr {
    let space = if what.is_empty() { "" } else { " " };
    let text = format!(
        "cannot release {}: this thread does not hold it{space}{what}; only the thread that took it can release it",
        site.label()
    );
    error::of_kind(py, ErrorKind::NotHeld, &text, None)
}

impl Mutex {
    fn take(&self, py: Python<'_>, ask: Ask) -> Result<bool> {
        let handle = Handle::Mutex(self.inner.handle.clone());
        take!(self, py, ask, Mutex, handle, try_lock, lock_interruptible)
    }

    fn give_up(&self, py: Python<'_>) -> Result<()> {
        if kept::release(self.inner.address, |_| true) {
            Ok(())
        } else {
            Err(not_held(py, &self.site, "").into())
        }
    }

    /// What tells it from other locks, and what keeps it there.
    pub(super) fn owned(&self) -> (usize, Handle) {
        (self.inner.address, Handle::Mutex(self.inner.handle.clone()))
    }
}

primitive!(
    /// A lock that belongs to the thread that takes it.
    Mutex(Owned<shm_sync::Mutex<()>>), Owned::open, {
        /// Takes the lock; False if it cannot be had (in time). OwnerDiedError, once, if the last holder died with it: the lock is not held then.
        #[pyo3(signature = (block = true, timeout = None))]
        fn _acquire(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
            self.take(py, Ask::Raising { block, timeout })
        }

        /// Takes the lock in any case; False if the last holder died with it, so that what it guards may be half-changed.
        #[pyo3(signature = (timeout = None))]
        fn acquire_robust(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            self.take(py, Ask::Robust { timeout })
        }

        /// Gives the lock up. NotHeldError if this thread does not hold it.
        fn _release(&self, py: Python<'_>) -> Result<()> {
            self.give_up(py)
        }

    }
);

impl RLock {
    fn take(&self, py: Python<'_>, ask: Ask) -> Result<bool> {
        let handle = Handle::Recursive(self.inner.handle.clone());
        take!(self, py, ask, Recursive, handle, try_lock, lock_interruptible)
    }

    fn give_up(&self, py: Python<'_>) -> Result<()> {
        if kept::release(self.inner.address, |_| true) {
            Ok(())
        } else {
            Err(not_held(py, &self.site, "").into())
        }
    }
    /// What tells it from other locks, and what keeps it there.
    pub(super) fn owned(&self) -> (usize, Handle) {
        (self.inner.address, Handle::Recursive(self.inner.handle.clone()))
    }
}

primitive!(
    /// A lock that its holder, a thread, can take again.
    RLock(Owned<shm_sync::RecursiveMutex<()>>), Owned::open, {
        /// Takes the lock once more; False if it cannot be had (in time). OwnerDiedError, once, if the last holder died with it: the lock is not held then.
        #[pyo3(signature = (block = true, timeout = None))]
        fn _acquire(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
            self.take(py, Ask::Raising { block, timeout })
        }

        /// Takes the lock in any case; False if the last holder died with it, so that what it guards may be half-changed.
        #[pyo3(signature = (timeout = None))]
        fn acquire_robust(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            self.take(py, Ask::Robust { timeout })
        }

        /// Gives the lock up once; it is free when it was given up as often as it was taken. NotHeldError if this thread does not hold it.
        fn _release(&self, py: Python<'_>) -> Result<()> {
            self.give_up(py)
        }

    }
);

impl RwLock {
    fn take_read(&self, py: Python<'_>, ask: Ask) -> Result<bool> {
        let handle = Handle::RwLock(self.inner.handle.clone());
        take!(self, py, ask, Read, handle, try_read, read_interruptible)
    }

    fn take_write(&self, py: Python<'_>, ask: Ask) -> Result<bool> {
        let handle = Handle::RwLock(self.inner.handle.clone());
        take!(self, py, ask, Write, handle, try_write, write_interruptible)
    }
}

primitive!(
    /// A lock that many threads can hold for reading, or one for writing.
    RwLock(Owned<shm_sync::RwLock<()>>), Owned::open, {
        /// Takes the lock for reading; False if it cannot be had (in time). OwnerDiedError, once, if the last writer died with it.
        #[pyo3(signature = (block = true, timeout = None))]
        fn acquire_read(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
            self.take_read(py, Ask::Raising { block, timeout })
        }

        /// Takes the lock for writing; False if it cannot be had (in time). OwnerDiedError, once, if the last writer died with it.
        #[pyo3(signature = (block = true, timeout = None))]
        fn acquire_write(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] block: bool, timeout: Option<f64>) -> Result<bool> {
            self.take_write(py, Ask::Raising { block, timeout })
        }

        /// Takes the lock for writing in any case; False if the last writer died with it, so that what it guards may be half-changed.
        #[pyo3(signature = (timeout = None))]
        fn acquire_robust(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool> {
            self.take_write(py, Ask::Robust { timeout })
        }

        /// Stops reading. NotHeldError if this thread does not read.
        fn release_read(&self, py: Python<'_>) -> Result<()> {
            let done = kept::release(self.inner.address, |guard| matches!(guard, Guard::Read(_)));
            if done { Ok(()) } else { Err(not_held(py, &self.site, "for reading").into()) }
        }

        /// Stops writing. NotHeldError if this thread does not write.
        fn release_write(&self, py: Python<'_>) -> Result<()> {
            let done = kept::release(self.inner.address, |guard| matches!(guard, Guard::Write(_)));
            if done { Ok(()) } else { Err(not_held(py, &self.site, "for writing").into()) }
        }
    }
);

impl Failed for SequencerError {
    fn kind(&self) -> ErrorKind {
        self.0.kind()
    }
}

/// An error of a sequencer, whose waits are those of guards that stay in their thread.
struct SequencerError(Error);

impl Sequencer {
    fn keep(&self, turn: shm_sync::Turn<'_>) {
        // SAFETY: the turn borrows the sequencer that the handle points to, and that alone.
        unsafe {
            kept::keep(self.inner.address, Guard::Turn(turn), Handle::Sequencer(self.inner.handle.clone()))
        };
    }
}

primitive!(
    /// Turns in the order of their numbers.
    Sequencer(Owned<shm_sync::Sequencer>), Owned::open, {
        /// Waits until turn ``n`` comes, and takes it; False if it does not come in time. BrokenError if whoever had a turn before died in it.
        #[pyo3(signature = (n, timeout = None))]
        fn acquire(&self, py: Python<'_>, #[pyo3(from_py_with = number)] n: u64, timeout: Option<f64>) -> Result<bool> {
            let deadline = deadline(timeout)?;
            match wait(py, || self.inner.handle.turn_interruptible(n, deadline).map_err(SequencerError))? {
                Ok(turn) => {
                    self.keep(turn);
                    Ok(true)
                }
                Err(SequencerError(error)) if error.kind() == ErrorKind::TimedOut => Ok(false),
                Err(SequencerError(error)) => Err(error.into()),
            }
        }

        /// Ends the turn that this thread has. NotHeldError if it has none.
        fn release(&self, py: Python<'_>) -> Result<()> {
            if kept::release(self.inner.address, |_| true) { Ok(()) } else { Err(not_held(py, &self.site, "(no turn)").into()) }
        }

        /// Takes over turn ``n``, in which somebody died.
        fn recover(&self, #[pyo3(from_py_with = number)] n: u64) -> Result<()> {
            self.keep(self.inner.handle.recover(n)?);
            Ok(())
        }

        /// Passes over turn ``n``, in which somebody died or which nobody will ask for.
        fn skip(&self, #[pyo3(from_py_with = number)] n: u64) -> Result<()> {
            Ok(self.inner.handle.skip(n)?)
        }

        /// Begins anew with turn ``n``.
        fn reset(&self, #[pyo3(from_py_with = number)] n: u64) -> Result<()> {
            Ok(self.inner.handle.reset(n)?)
        }

        /// The number of the turn that is taken, or comes next.
        #[getter]
        fn current(&self) -> u64 {
            self.inner.handle.current()
        }

        /// The number of the turn in which somebody died; None if all is well.
        #[getter]
        fn broken(&self) -> Option<u64> {
            self.inner.handle.broken()
        }
    }
);
