//! The sequencer: turns in a given order.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::Held;
use super::make;
use super::time::How;
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::{Room, let_go, pin};
use crate::handle::{handle, retire};
use crate::input::Output;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::Sequencer;
use std::ffi::{c_char, c_void};

/// A handle of a sequencer. Zero is no handle.
///
/// Turns in a given order, each taken once. The death of whoever has the turn is told to all who wait.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_sequencer_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_sequencer_t, Sequencer, 27, "sequencer");

/// Creates a sequencer, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `first`: the number of the first turn. `sequencer`:
/// receives the handle, which `shm_sequencer_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_create(
    name: *const c_char,
    options: *const shm_options_t,
    first: u64,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, sequencer, || Ok(first)) }
}

/// Attaches to the sequencer under a name.
///
/// Parameters: `name`: as it was created. `sequencer`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_attach(
    name: *const c_char,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, sequencer, |_| Ok(())) }
}

/// Attaches to the sequencer under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_sequencer_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_create_or_attach(
    name: *const c_char,
    first: u64,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, sequencer, || Ok(first)) }
}

/// Adds a sequencer to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `first`: the number
/// of the first turn.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_sequencer(
    contents: shm_contents_t,
    entry: *const c_char,
    first: u64,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_sequencer_t, _>(contents, entry, || Ok(first)) }
}

/// Attaches to the sequencer in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `sequencer`: receives the
/// handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, sequencer, |_| Ok(())) }
}

/// Makes a sequencer in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_sequencer_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `first`: the number of the first
/// turn. `sequencer`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_create_at(
    address: *mut c_void,
    length: u64,
    first: u64,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, sequencer, || Ok(first)) }
}

/// Attaches to the sequencer at an address of the caller's. Zero bytes are one already.
///
/// Parameters: as for `shm_sequencer_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_attach_at(
    address: *mut c_void,
    length: u64,
    sequencer: *mut shm_sequencer_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, sequencer, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a sequencer takes at an address.
///
/// Parameters: `first`: the number of the first turn. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_size(first: u64, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_sequencer_t, _>(size, || Ok(first)) }
}

/// Gives the handle back. The sequencer itself stays where it is, for others.
///
/// Parameters: `sequencer`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
/// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_detach(sequencer: shm_sequencer_t) -> shm_status_t {
    guard(|| retire(sequencer))
}

/// Takes the turn with a number, when all before it are over, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `sequencer`: a handle. `number`: which turn.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BROKEN` if the holder of an earlier turn died (`shm_sequencer_recover`,
/// `shm_sequencer_skip`), `SHM_STATUS_DEADLOCK` if this thread has a turn, `SHM_STATUS_INVALID_ARGUMENT` for a turn that is over
/// or taken, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that takes the turn owns it, and ends it.
/// Death: of the holder, its thread or its process, is `SHM_STATUS_BROKEN` to all who wait or come, until somebody takes the turn
/// over or skips it.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_turn(sequencer: shm_sequencer_t, number: u64) -> shm_status_t {
    guard(|| pin(sequencer)?.hold(|sequencer, room| take(sequencer, room, number, How::Forever)))
}

/// Takes the turn with a number, when all before it are over, if that is possible at once.
///
/// Parameters: `sequencer`: a handle. `number`: which turn.
/// Returns: `SHM_STATUS_BUSY` if an earlier turn is not over; otherwise as `shm_sequencer_turn`.
/// Thread use: as `shm_sequencer_turn`.
/// Death: as `shm_sequencer_turn`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_try_turn(sequencer: shm_sequencer_t, number: u64) -> shm_status_t {
    guard(|| pin(sequencer)?.hold(|sequencer, room| take(sequencer, room, number, How::Not)))
}

/// Takes the turn with a number, when all before it are over, waiting for a time at most.
///
/// Parameters: `sequencer`: a handle. `number`: which turn. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there,
/// `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_sequencer_turn`.
/// Thread use: as `shm_sequencer_turn`.
/// Death: as `shm_sequencer_turn`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_turn_timeout_ns(
    sequencer: shm_sequencer_t,
    number: u64,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| pin(sequencer)?.hold(|sequencer, room| take(sequencer, room, number, How::timeout(timeout_ns)?)))
}

/// Takes the turn with a number, when all before it are over, waiting until a deadline at most.
///
/// Parameters: `sequencer`: a handle. `number`: which turn. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed
/// still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_sequencer_turn`.
/// Thread use: as `shm_sequencer_turn`.
/// Death: as `shm_sequencer_turn`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_turn_until_ns(
    sequencer: shm_sequencer_t,
    number: u64,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| pin(sequencer)?.hold(|sequencer, room| take(sequencer, room, number, How::until(deadline_ns)?)))
}

/// Takes the turn with a number, when all before it are over, waiting until a deadline at most, or until a signal handler has run
/// in this thread.
///
/// Parameters: `sequencer`: a handle. `number`: which turn. `deadline_ns`: as for `shm_sequencer_turn_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_sequencer_turn_until_ns`.
/// Thread use: as `shm_sequencer_turn`.
/// Death: as `shm_sequencer_turn`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_turn_interruptible_ns(
    sequencer: shm_sequencer_t,
    number: u64,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| {
        pin(sequencer)?
            .hold(|sequencer, room| take(sequencer, room, number, How::interruptible(deadline_ns)?))
    })
}

/// Takes over the turn of somebody who died.
///
/// Parameters: `sequencer`: a handle. `number`: the current turn.
/// Returns: `SHM_STATUS_OK` with the turn, `SHM_STATUS_BUSY` if its holder lives or an earlier turn is not over,
/// `SHM_STATUS_INVALID_ARGUMENT` if it is over; otherwise as `shm_sequencer_turn`.
/// Thread use: as `shm_sequencer_turn`.
/// Death: as `shm_sequencer_turn`.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_recover(sequencer: shm_sequencer_t, number: u64) -> shm_status_t {
    guard(|| {
        pin(sequencer)?.hold(|sequencer, room| {
            room.leave(Held::Turn(sequencer.recover(number)?));
            Ok(())
        })
    })
}

/// Ends the turn of this thread: the next one begins.
///
/// Parameters: `sequencer`: the handle through which this thread took the turn.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that took the turn.
/// Death: half-way has ended it or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_end(sequencer: shm_sequencer_t) -> shm_status_t {
    guard(|| let_go(sequencer, |held| matches!(held, Held::Turn(_))))
}

/// Passes over a turn that nobody will take, or whose holder died.
///
/// Parameters: `sequencer`: a handle. `number`: the current turn, or one that comes soon.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if somebody has it, or it is too far ahead; `SHM_STATUS_INVALID_ARGUMENT` if it is
/// over, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has skipped it or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_skip(sequencer: shm_sequencer_t, number: u64) -> shm_status_t {
    guard(|| Ok(pin(sequencer)?.skip(number)?))
}

/// Begins anew, with another turn.
///
/// Parameters: `sequencer`: a handle. `number`: the turn that comes next.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if somebody has a turn, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_CORRUPTED`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has reset it or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_sequencer_reset(sequencer: shm_sequencer_t, number: u64) -> shm_status_t {
    guard(|| Ok(pin(sequencer)?.reset(number)?))
}

/// Says which turn it is now, and whether its holder died.
///
/// Parameters: `sequencer`: a handle. `current`: receives the number of the turn. `is_broken`: receives 1 if its holder died,
/// otherwise 0; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of the holder shows as broken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_sequencer_state(
    sequencer: shm_sequencer_t,
    current: *mut u64,
    is_broken: *mut i32,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (current, is_broken) = unsafe { (Output::of(current, "current")?, Output::wanted(is_broken)) };
        let sequencer = pin(sequencer)?;
        let broken = sequencer.broken();
        current.put(broken.unwrap_or_else(|| sequencer.current()));
        is_broken.put(broken.is_some().into());
        Ok(())
    })
}

#[inline(always)]
fn take(sequencer: &'static Sequencer, room: Room<Sequencer>, number: u64, how: How) -> Outcome {
    let turn = match how {
        How::Forever => sequencer.turn(number),
        How::Not => sequencer.try_turn(number),
        How::Until(deadline) => sequencer.turn_until(number, deadline),
        How::Interruptible(deadline) => sequencer.turn_interruptible(number, deadline),
    }?;
    room.leave(Held::Turn(turn));
    Ok(())
}
