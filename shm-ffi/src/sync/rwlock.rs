//! The reader-writer lock: many read at once, or one writes.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::make::guards;
use super::time::How;
use super::{Held, ValueOutput, locked, owner_died};
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::{Room, change, let_go, look, pin};
use crate::handle::{handle, retire};
use crate::input;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::ByteRwLock;
use shm_sync::LockError;
use std::ffi::{c_char, c_void};

/// A handle of a reader-writer lock. Zero is no handle.
///
/// Many threads read at once (62 at most), or one writes. A killed reader is simply gone; a killed writer is news, once.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_rwlock_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_rwlock_t, ByteRwLock, 19, "reader-writer lock");

/// Creates a reader-writer lock, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `value_size`: bytes that the lock guards, zero at
/// first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else. `lock`: receives the
/// handle, which `shm_rwlock_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_create(
    name: *const c_char,
    options: *const shm_options_t,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, lock, || input::size("value_size", value_size)) }
}

/// Attaches to the reader-writer lock under a name.
///
/// Parameters: `name`: as it was created. `value_size`: as it was created. `lock`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name or a value of
/// another size, and other errors of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_attach(
    name: *const c_char,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, lock, guards(value_size, |lock: &ByteRwLock| lock.value_len())) }
}

/// Attaches to the reader-writer lock under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_rwlock_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_create_or_attach(
    name: *const c_char,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, lock, || input::size("value_size", value_size)) }
}

/// Adds a reader-writer lock to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `value_size`: bytes
/// that the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards
/// something else.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_rwlock(
    contents: shm_contents_t,
    entry: *const c_char,
    value_size: u64,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_rwlock_t, _>(contents, entry, || input::size("value_size", value_size)) }
}

/// Attaches to the reader-writer lock in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `value_size`: as it was created.
/// `lock`: receives the handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, lock, guards(value_size, |lock: &ByteRwLock| lock.value_len())) }
}

/// Makes a reader-writer lock in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_rwlock_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `value_size`: bytes that the lock
/// guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else.
/// `lock`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_create_at(
    address: *mut c_void,
    length: u64,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, lock, || input::size("value_size", value_size)) }
}

/// Attaches to the reader-writer lock at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_rwlock_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_attach_at(
    address: *mut c_void,
    length: u64,
    value_size: u64,
    lock: *mut shm_rwlock_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe {
        make::attach_at(
            address,
            length,
            lock,
            || Ok(Some(input::size("value_size", value_size)?)),
            guards(value_size, |lock: &ByteRwLock| lock.value_len()),
        )
    }
}

/// Says how many bytes a reader-writer lock takes at an address.
///
/// Parameters: `value_size`: bytes that the lock guards, zero at first, which lie with it and are reached with `_value` while it
/// is held; 0 if it guards something else. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_size(value_size: u64, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_rwlock_t, _>(size, || input::size("value_size", value_size)) }
}

/// Gives the handle back. The reader-writer lock itself stays where it is, for others.
///
/// Parameters: `lock`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
/// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_detach(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| retire(lock))
}

/// Takes the lock for reading, together with other readers, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `lock`: a handle.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
/// call `shm_rwlock_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
/// this thread is writing, `SHM_STATUS_TOO_MANY_READERS`, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread),
/// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
/// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
/// forked child does not have the locks that its parent holds.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_read(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| read(lock, room, How::Forever)))
}

/// Takes the lock for reading, together with other readers, if that is possible at once.
///
/// Parameters: `lock`: a handle.
/// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_rwlock_read`.
/// Thread use: as `shm_rwlock_read`.
/// Death: as `shm_rwlock_read`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_try_read(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| read(lock, room, How::Not)))
}

/// Takes the lock for reading, together with other readers, waiting for a time at most.
///
/// Parameters: `lock`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long
/// as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_rwlock_read`.
/// Thread use: as `shm_rwlock_read`.
/// Death: as `shm_rwlock_read`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_read_timeout_ns(lock: shm_rwlock_t, timeout_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| read(lock, room, How::timeout(timeout_ns)?)))
}

/// Takes the lock for reading, together with other readers, waiting until a deadline at most.
///
/// Parameters: `lock`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_rwlock_read`.
/// Thread use: as `shm_rwlock_read`.
/// Death: as `shm_rwlock_read`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_read_until_ns(lock: shm_rwlock_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| read(lock, room, How::until(deadline_ns)?)))
}

/// Takes the lock for reading, together with other readers, waiting until a deadline at most, or until a signal handler has run
/// in this thread.
///
/// Parameters: `lock`: a handle. `deadline_ns`: as for `shm_rwlock_read_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_rwlock_read_until_ns`.
/// Thread use: as `shm_rwlock_read`.
/// Death: as `shm_rwlock_read`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_read_interruptible_ns(lock: shm_rwlock_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| read(lock, room, How::interruptible(deadline_ns)?)))
}

/// Takes the lock for writing, alone, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `lock`: a handle.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
/// call `shm_rwlock_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
/// this thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
/// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
/// forked child does not have the locks that its parent holds.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_write(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| write(lock, room, How::Forever)))
}

/// Takes the lock for writing, alone, if that is possible at once.
///
/// Parameters: `lock`: a handle.
/// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_rwlock_write`.
/// Thread use: as `shm_rwlock_write`.
/// Death: as `shm_rwlock_write`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_try_write(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| write(lock, room, How::Not)))
}

/// Takes the lock for writing, alone, waiting for a time at most.
///
/// Parameters: `lock`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long
/// as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_rwlock_write`.
/// Thread use: as `shm_rwlock_write`.
/// Death: as `shm_rwlock_write`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_write_timeout_ns(lock: shm_rwlock_t, timeout_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| write(lock, room, How::timeout(timeout_ns)?)))
}

/// Takes the lock for writing, alone, waiting until a deadline at most.
///
/// Parameters: `lock`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_rwlock_write`.
/// Thread use: as `shm_rwlock_write`.
/// Death: as `shm_rwlock_write`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_write_until_ns(lock: shm_rwlock_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| write(lock, room, How::until(deadline_ns)?)))
}

/// Takes the lock for writing, alone, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `lock`: a handle. `deadline_ns`: as for `shm_rwlock_write_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_rwlock_write_until_ns`.
/// Thread use: as `shm_rwlock_write`.
/// Death: as `shm_rwlock_write`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_write_interruptible_ns(lock: shm_rwlock_t, deadline_ns: i64) -> shm_status_t {
    guard(|| pin(lock)?.hold(|lock, room| write(lock, room, How::interruptible(deadline_ns)?)))
}

/// Turns writing into reading, without letting another writer in between.
///
/// Parameters: `lock`: the handle through which this thread writes.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD` if it does not write, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`. After `SHM_STATUS_OWNER_DIED` call `shm_rwlock_recover` first.
/// Thread use: only the thread that locked.
/// Death: as for reading from then on.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_downgrade(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| {
        change(
            lock,
            |held| matches!(held, Held::Write(_)),
            |held| match held {
                Held::Write(guard) => Held::Read(guard.downgrade()),
                other => other,
            },
        )
    })
}

/// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or the repair. The lock stays held.
///
/// Parameters: `lock`: the handle through which this thread holds the lock.
/// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
/// Thread use: only the thread that locked.
/// Death: before this call leaves the news to the next locker.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_recover(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| {
        change(lock, is_held, |held| match held {
            Held::ReadOfDead(left) => Held::Read(left.recover()),
            Held::WriteOfDead(left) => Held::Write(left.recover()),
            other => other,
        })
    })
}

/// Takes the lock alone, in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
///
/// Parameters: `lock`: a handle.
/// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_rwlock_recover`; otherwise as for locking, without
/// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
/// Thread use: as for locking.
/// Death: as for locking.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_repair(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| {
        pin(lock)?.hold(|lock, room| {
            room.leave(Held::WriteOfDead(lock.repair()?));
            Ok(())
        })
    })
}

/// Gives the lock up and wakes who waits for it. For readers and writers alike.
///
/// Parameters: `lock`: the handle through which this thread took the lock.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that locked.
/// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
#[unsafe(no_mangle)]
pub extern "C" fn shm_rwlock_unlock(lock: shm_rwlock_t) -> shm_status_t {
    guard(|| let_go(lock, is_held))
}

/// Gives the address of the bytes that the lock guards, for as long as this thread holds it.
///
/// Parameters: `lock`: the handle through which this thread holds the lock. `value`: receives the address, a multiple of 64; who
/// holds the lock for reading does not write there. `value_size`: receives the number of bytes, or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that locked.
/// Death: after `SHM_STATUS_OWNER_DIED` the bytes are as the dead holder left them, perhaps half-written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_rwlock_value(
    lock: shm_rwlock_t,
    value: *mut *mut c_void,
    value_size: *mut u64,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let output = unsafe { ValueOutput::of(value, value_size) }?;
        let found = look(lock, is_held, |held| match held {
            Held::Read(guard) => Some(std::ptr::from_ref(&**guard).cast_mut()),
            Held::ReadOfDead(left) => Some(std::ptr::from_mut(&mut **left)),
            Held::Write(guard) => Some(std::ptr::from_mut(&mut **guard)),
            Held::WriteOfDead(left) => Some(std::ptr::from_mut(&mut **left)),
            _ => None,
        })?;
        output.put(found);
        Ok(())
    })
}

fn is_held(held: &Held) -> bool {
    matches!(held, Held::Read(_) | Held::ReadOfDead(_) | Held::Write(_) | Held::WriteOfDead(_))
}

#[inline(always)]
fn read(lock: &'static ByteRwLock, room: Room<ByteRwLock>, how: How) -> Outcome {
    let result = match how {
        How::Forever => lock.read(),
        How::Not => lock.try_read(),
        How::Until(deadline) => lock.read_until(deadline),
        How::Interruptible(deadline) => lock.read_interruptible(deadline),
    };
    locked!(result, room, Held::Read, Held::ReadOfDead, "reader-writer lock", "shm_rwlock_recover")
}

#[inline(always)]
fn write(lock: &'static ByteRwLock, room: Room<ByteRwLock>, how: How) -> Outcome {
    let result = match how {
        How::Forever => lock.write(),
        How::Not => lock.try_write(),
        How::Until(deadline) => lock.write_until(deadline),
        How::Interruptible(deadline) => lock.write_interruptible(deadline),
    };
    locked!(result, room, Held::Write, Held::WriteOfDead, "reader-writer lock", "shm_rwlock_recover")
}
