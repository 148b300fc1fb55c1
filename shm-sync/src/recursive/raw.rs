//! The recursive mutex without a value: a mutex, and how often more than once its holder has it.
//!
//! The bytes are those of a mutex (`mutex::raw`) but for the kind in the identity, and the depth at offset 16: how many more guards than one
//! there are in its low half; bit 32: one of them was dropped by a panic. Only the holder writes it. Whoever takes the word sets it to 0, so
//! what a dead holder left there does not matter. The name that a mutex has there is at offset 40.

use crate::base::robust::Me;
use crate::base::slot::{Locked, Wait};
use crate::base::word::Acquired;
use crate::error::{Error, ErrorKind};
use crate::handle::{Kind, Raw};
use crate::mutex::raw::{RawMutex, name_in};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

pub(super) const LOCK: &str = "lock the recursive mutex";

/// One of the guards was dropped by a panic.
const PANICKED: u64 = 1 << 32;

/// How often more than once a thread can have the lock.
const MAX_DEPTH: u64 = u32::MAX as u64 - 1;

/// See the head of this file.
#[repr(transparent)]
pub(crate) struct RawRecursiveMutex(RawMutex);

impl Raw for RawRecursiveMutex {
    const KIND: Kind = Kind::RECURSIVE_MUTEX;

    fn identity(&self) -> &AtomicU64 {
        self.0.identity()
    }
}

impl RawRecursiveMutex {
    /// Takes the lock if all is as usual: the thread registered, the lock free, the value sound.
    #[inline(always)]
    pub(super) fn lock_free(&self, identity: u64) -> Option<Me> {
        let me = self.0.lock_free(identity)?;
        self.depth().store(0, Relaxed);
        Some(me)
    }

    /// Takes the lock, or once more if this thread has it. True: the last holder died.
    #[cold]
    pub(super) fn lock(&self, identity: u64, wait: Wait) -> Result<(Me, Acquired), Error> {
        let me = Me::get()?;
        // What the attempt before has announced to the kernel.
        me.abandon();
        if self.0.is_held_by(me) {
            return self.lock_once_more(me, identity).map(|()| (me, Acquired::Clean));
        }
        let locked = self.0.lock(LOCK, wait)?;
        self.depth().store(0, Relaxed);
        match self.0.check(identity) {
            Ok(()) => Ok((me, locked.acquired)),
            Err(kind) => {
                self.0.unlock(me);
                Err(Error::new(LOCK, kind))
            }
        }
    }

    fn lock_once_more(&self, me: Me, identity: u64) -> Result<(), Error> {
        let error = |kind| Error::new(LOCK, kind);
        if !self.0.names(me) {
            return Err(
                error(ErrorKind::Corrupt).detail("this thread holds it, and the lock word says otherwise")
            );
        }
        self.0.check(identity).map_err(error)?;
        let before = self.depth().load(Relaxed);
        if before & !PANICKED >= MAX_DEPTH {
            return Err(error(ErrorKind::TooDeep));
        }
        self.depth().store(before + 1, Relaxed);
        Ok(())
    }

    /// Takes the lock in whatever state the value is. Not if this thread has it.
    pub(super) fn repair(&self, identity: u64, operation: &'static str) -> Result<Me, Error> {
        let me = self.0.lock(operation, Wait::forever())?.me;
        self.depth().store(0, Relaxed);
        match self.0.check(identity) {
            Ok(()) | Err(ErrorKind::Poisoned) => Ok(me),
            Err(kind) => {
                self.0.unlock(me);
                Err(Error::new(operation, kind))
            }
        }
    }

    /// Gives one of the holder's locks up. The last one frees the lock, and the next holder hears of a death if any of them was dropped
    /// by a panic. Only for the thread that has it.
    #[inline(always)]
    pub(super) fn unlock(&self, me: Me, unwinding: bool) {
        if self.depth().load(Relaxed) == 0 && !unwinding {
            self.0.unlock(me);
        } else {
            self.unlock_slowly(me, unwinding);
        }
    }

    #[cold]
    fn unlock_slowly(&self, me: Me, unwinding: bool) {
        let depth = self.depth().load(Relaxed) | if unwinding { PANICKED } else { 0 };
        match depth & !PANICKED {
            0 if depth & PANICKED != 0 => self.0.unlock_as_dead(me),
            0 => self.0.unlock(me),
            _ => self.depth().store(depth - 1, Relaxed),
        }
    }

    /// Frees the lock, and says how often more than once its holder had it. The next one hears of a death if a guard was dropped by a panic, or
    /// `unwinding` says so. Only for the thread that has it.
    pub(super) fn unlock_all(&self, me: Me, unwinding: bool) -> u64 {
        let depth = self.depth().load(Relaxed);
        if unwinding || depth & PANICKED != 0 {
            self.0.unlock_as_dead(me);
        } else {
            self.0.unlock(me);
        }
        depth & !PANICKED
    }

    /// Takes the lock as often as `unlock_all` has given it up. If the value may not be used, all but the last one of these are taken.
    pub(super) fn lock_all(&self, identity: u64, depth: u64) -> Result<(Me, Acquired), Error> {
        let Locked { me, acquired } = self.0.lock(LOCK, Wait::forever())?;
        self.depth().store(depth, Relaxed);
        match self.0.check(identity) {
            Ok(()) => Ok((me, acquired)),
            Err(kind) => {
                self.unlock(me, false);
                Err(Error::new(LOCK, kind))
            }
        }
    }

    /// A number that tells this mutex from others, in every process. Only for the holder.
    pub(super) fn name(&self) -> u32 {
        name_in(self.0.second_note())
    }

    /// Whether whoever locks next gets news or an error: a look from outside, at any time.
    pub(super) fn is_in_trouble(&self, identity: u64) -> bool {
        self.0.is_in_trouble(identity)
    }

    /// Marks the value as given up, or as sound again. Only for the holder.
    pub(super) fn set_poisoned(&self, poisoned: bool) {
        self.0.set_poisoned(poisoned);
    }

    #[inline(always)]
    fn depth(&self) -> &AtomicU64 {
        self.0.wide_note()
    }
}
