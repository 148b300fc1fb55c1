//! The mutex: owned by the thread that locks it. `process_mutex` is the one that any thread may release.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::Held;
use crate::contents::shm_contents_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{Pin, change, handle, insert, let_go, pin, retire};
use crate::input::{self, Output};
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::{LockError, Mutex, Primitive};
use std::ffi::c_char;
use std::time::Duration;

/// A handle of a mutex. Zero is no handle.
///
/// A mutex belongs to the thread that locks it. Death of the holder is news to the next locker: see `shm_mutex_lock`.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_mutex_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_mutex_t, Mutex<()>, 16, "mutex");

/// Creates a mutex, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it reach.
/// `options`: or NULL for the defaults; an anonymous one takes none. `mutex`: receives the handle, which `shm_mutex_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_create(
    name: *const c_char,
    options: *const shm_options_t,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (mutex, name, options) =
            unsafe { (Output::of(mutex, "mutex")?, input::name_or_none(name)?, input::options(options)?) };
        let made = match name {
            Some(name) => Mutex::create_with(&options, name, ())?,
            None => Mutex::anonymous(())?,
        };
        mutex.put(insert(made)?);
        Ok(())
    })
}

/// Attaches to the mutex under a name.
///
/// Parameters: `name`: as it was created. `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_attach(name: *const c_char, mutex: *mut shm_mutex_t) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (mutex, name) = unsafe { (Output::of(mutex, "mutex")?, input::name(name)?) };
        mutex.put(insert(Mutex::attach(name)?)?);
        Ok(())
    })
}

/// Attaches to the mutex under a name, or creates it, without a race between the two.
///
/// Parameters: `name`: as for `shm_mutex_create`, but not NULL. `mutex`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_create_or_attach(
    name: *const c_char,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (mutex, name) = unsafe { (Output::of(mutex, "mutex")?, input::name(name)?) };
        mutex.put(insert(Mutex::create_or_attach(name, ())?)?);
        Ok(())
    })
}

/// Attaches to the mutex in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `mutex`: receives the handle, which keeps the
/// segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private attachment.
/// Thread use: any thread.
/// Death: as for `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_mutex_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    mutex: *mut shm_mutex_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (mutex, entry) = unsafe { (Output::of(mutex, "mutex")?, input::text(entry, "entry")?) };
        mutex.put(insert(Mutex::attach_in(&*pin(segment)?, entry)?)?);
        Ok(())
    })
}

/// Adds a mutex to the plan of a segment, beside the data that it guards.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_mutex(
    contents: shm_contents_t,
    entry: *const c_char,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let entry = unsafe { input::text(entry, "entry") }?;
        pin(contents)?.change(|plan| Ok(Mutex::plan(plan, entry, ())?))
    })
}

/// Gives the handle back. The mutex itself stays where it is, for others.
///
/// Parameters: `mutex`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds the lock through this handle (the handle stays good then),
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_detach(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| retire(mutex))
}

/// Takes the lock, waiting for it as long as it takes. Signals do not end the wait.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and call
/// `shm_mutex_recover`, then unlock as usual (unlocked without that, the mutex is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if this
/// thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
/// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A forked child
/// does not have the locks that its parent holds.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| lock(pin(mutex)?, |mutex| mutex.lock()))
}

/// Takes the lock if that is possible at once.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_BUSY` if somebody else holds it; otherwise as `shm_mutex_lock`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_try_lock(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| lock(pin(mutex)?, |mutex| mutex.try_lock()))
}

/// Takes the lock, waiting for it for a time at most.
///
/// Parameters: `mutex`: a handle. `seconds`: how long; 0 still takes a free lock, infinity waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT` if it was not free in that time, `SHM_STATUS_INVALID_ARGUMENT` for a time that is negative or not a number;
/// otherwise as `shm_mutex_lock`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_lock_timeout(mutex: shm_mutex_t, seconds: f64) -> shm_status_t {
    guard(|| {
        let timeout = input::seconds(seconds)?;
        lock(pin(mutex)?, |mutex| mutex.lock_timeout(timeout.unwrap_or(Duration::MAX)))
    })
}

/// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or `shm_mutex_repair`. The lock stays held.
///
/// Parameters: `mutex`: the handle through which this thread holds the lock.
/// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
/// Thread use: only the thread that locked.
/// Death: before this call leaves the news to the next locker.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_recover(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| {
        change(mutex, is_mutex, |held| match held {
            Held::MutexOfDead(left) => Held::Mutex(left.recover()),
            other => other,
        })
    })
}

/// Takes the lock in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
///
/// Parameters: `mutex`: a handle.
/// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_mutex_recover`; otherwise as `shm_mutex_lock`, without
/// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
/// Thread use: as `shm_mutex_lock`.
/// Death: as `shm_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_repair(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| pin(mutex)?.hold(|mutex| Ok((Held::MutexOfDead(mutex.repair()?), None))))
}

/// Gives the lock up and wakes one who waits for it.
///
/// Parameters: `mutex`: the handle through which this thread took the lock.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that locked.
/// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
#[unsafe(no_mangle)]
pub extern "C" fn shm_mutex_unlock(mutex: shm_mutex_t) -> shm_status_t {
    guard(|| let_go(mutex, is_mutex, drop))
}

fn is_mutex(held: &Held) -> bool {
    matches!(held, Held::Mutex(_) | Held::MutexOfDead(_))
}

/// Locks as `take` does it, and leaves the guard on this thread's desk.
#[inline(always)]
fn lock(
    mutex: Pin<Mutex<()>>,
    take: impl FnOnce(&'static Mutex<()>) -> shm_sync::LockResult<shm_sync::MutexGuard<'static, ()>>,
) -> Outcome {
    mutex.hold(|mutex| match take(mutex) {
        Ok(guard) => Ok((Held::Mutex(guard), None)),
        Err(LockError::OwnerDied(left)) => {
            let news = Failure::new(
                SHM_STATUS_OWNER_DIED,
                "the mutex is locked, but its last holder died with it: mend what it guards, call shm_mutex_recover, then unlock",
            );
            Ok((Held::MutexOfDead(left), Some(news)))
        }
        Err(LockError::Failed(error)) => Err(error.into()),
    })
}
