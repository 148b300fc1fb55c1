//! The barrier: parties that wait for each other, round after round.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::Held;
use super::make;
use super::time::How;
use crate::callback::{self, catching, shm_action_t};
use crate::contents::shm_contents_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{handle, retire};
use crate::handle::{holds, let_go, look, pin};
use crate::input::Output;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::{Arrival, Barrier, Party};
use std::ffi::{c_char, c_void};

/// A handle of a barrier. Zero is no handle.
///
/// Parties wait for each other, round after round. If one dies, the others are told, at once.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_barrier_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_barrier_t, Barrier, 24, "barrier");

/// Creates a barrier, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `parties`: how many wait for each other, 1 or more.
/// `barrier`: receives the handle, which `shm_barrier_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_create(
    name: *const c_char,
    options: *const shm_options_t,
    parties: u32,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, barrier, || Ok(parties)) }
}

/// Attaches to the barrier under a name.
///
/// Parameters: `name`: as it was created. `barrier`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_attach(
    name: *const c_char,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, barrier, |_| Ok(())) }
}

/// Attaches to the barrier under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_barrier_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_create_or_attach(
    name: *const c_char,
    parties: u32,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, barrier, || Ok(parties)) }
}

/// Adds a barrier to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `parties`: how many
/// wait for each other, 1 or more.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_barrier(
    contents: shm_contents_t,
    entry: *const c_char,
    parties: u32,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_barrier_t, _>(contents, entry, || Ok(parties)) }
}

/// Attaches to the barrier in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `barrier`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, barrier, |_| Ok(())) }
}

/// Makes a barrier in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_barrier_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `parties`: how many wait for each
/// other, 1 or more. `barrier`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_create_at(
    address: *mut c_void,
    length: u64,
    parties: u32,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, barrier, || Ok(parties)) }
}

/// Attaches to the barrier at an address of the caller's.
///
/// Parameters: as for `shm_barrier_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_attach_at(
    address: *mut c_void,
    length: u64,
    barrier: *mut shm_barrier_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, barrier, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a barrier takes at an address.
///
/// Parameters: `parties`: how many wait for each other, 1 or more. `size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_size(parties: u32, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_barrier_t, _>(size, || Ok(parties)) }
}

/// Gives the handle back. The barrier itself stays where it is, for others.
///
/// Parameters: `barrier`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
/// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_barrier_detach(barrier: shm_barrier_t) -> shm_status_t {
    guard(|| retire(barrier))
}

/// Arrives at the barrier and waits for the other parties, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `barrier`: a handle. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BROKEN` if a party died or the barrier was aborted (see `shm_barrier_reset`),
/// `SHM_STATUS_TOO_MANY_PARTIES`, `SHM_STATUS_INHERITED` if the parent of this process joined through this handle,
/// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. A thread that has joined waits in its seat, others in any that is free.
/// Death: of a party that has arrived, or has joined, breaks the barrier for all, at once. A party that gives up waiting
/// (timeout, signal) takes its arrival back, and the others go on waiting; it breaks the barrier only if all have arrived and
/// the action is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_wait(
    barrier: shm_barrier_t,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| arrive(barrier, How::Forever, arrival))
}

/// Arrives at the barrier and waits for the other parties, if that is possible at once.
///
/// Parameters: `barrier`: a handle. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
/// Returns: `SHM_STATUS_BUSY` if the others have not all arrived; otherwise as `shm_barrier_wait`.
/// Thread use: as `shm_barrier_wait`.
/// Death: as `shm_barrier_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_try_wait(
    barrier: shm_barrier_t,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| arrive(barrier, How::Not, arrival))
}

/// Arrives at the barrier and waits for the other parties, waiting for a time at most.
///
/// Parameters: `barrier`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_barrier_wait`.
/// Thread use: as `shm_barrier_wait`.
/// Death: as `shm_barrier_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_wait_timeout_ns(
    barrier: shm_barrier_t,
    timeout_ns: i64,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| arrive(barrier, How::timeout(timeout_ns)?, arrival))
}

/// Arrives at the barrier and waits for the other parties, waiting until a deadline at most.
///
/// Parameters: `barrier`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
/// there, `SHM_FOREVER` waits as long as it takes. `arrival`: receives which seat it was and whether it was the last to arrive;
/// or NULL.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_barrier_wait`.
/// Thread use: as `shm_barrier_wait`.
/// Death: as `shm_barrier_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_wait_until_ns(
    barrier: shm_barrier_t,
    deadline_ns: i64,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| arrive(barrier, How::until(deadline_ns)?, arrival))
}

/// Arrives at the barrier and waits for the other parties, waiting until a deadline at most, or until a signal handler has run in
/// this thread.
///
/// Parameters: `barrier`: a handle. `deadline_ns`: as for `shm_barrier_wait_until_ns`. `arrival`: receives which seat it was and
/// whether it was the last to arrive; or NULL.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_barrier_wait_until_ns`.
/// Thread use: as `shm_barrier_wait`.
/// Death: as `shm_barrier_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_wait_interruptible_ns(
    barrier: shm_barrier_t,
    deadline_ns: i64,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| arrive(barrier, How::interruptible(deadline_ns)?, arrival))
}

/// Arrives and waits as long as it takes; the last to arrive calls `action` before the others go on.
///
/// Parameters: `barrier`: a handle. `action`, `user`: the function and what it is called with; something else than 0 from it
/// breaks the barrier. `arrival`: as for `shm_barrier_wait`.
/// Returns: as `shm_barrier_wait`; `SHM_STATUS_CALLBACK_FAILED` to the last one, `SHM_STATUS_BROKEN` to the others.
/// Thread use: as `shm_barrier_wait`. The function does not leave by longjmp(3) or an exception.
/// Death: in the function breaks the barrier for all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_wait_with(
    barrier: shm_barrier_t,
    action: shm_action_t,
    user: *mut c_void,
    arrival: *mut shm_arrival_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (output, action) = unsafe { (Output::wanted(arrival), callback::action(action, user)?) };
        let found = catching(|| {
            at_barrier(
                barrier,
                |party| Ok(party.wait_with(|| action.call())?),
                |barrier| Ok(barrier.wait_with(|| action.call())?),
            )
        })?;
        output.put(found.into());
        Ok(())
    })
}

/// Takes a seat for this thread, from round to round, so that its death is noticed between the rounds too.
///
/// Parameters: `barrier`: a handle, through which this thread waits and leaves from now on.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_DEADLOCK` if it has joined already, `SHM_STATUS_TOO_MANY_PARTIES`,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: the thread that joins is the party.
/// Death: of the thread or its process breaks the barrier for all, at once.
#[unsafe(no_mangle)]
pub extern "C" fn shm_barrier_join(barrier: shm_barrier_t) -> shm_status_t {
    guard(|| {
        if holds(barrier) {
            return Err(Failure::new(
                SHM_STATUS_DEADLOCK,
                "cannot join the barrier: this thread has joined through this handle already, or its parent process had",
            ));
        }
        pin(barrier)?.hold(|barrier, room| {
            room.leave(Held::Party(Box::new(barrier.join()?)));
            Ok(())
        })
    })
}

/// Gives the seat of this thread back.
///
/// Parameters: `barrier`: the handle through which it joined.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: only the thread that joined.
/// Death: half-way counts as that of a party.
#[unsafe(no_mangle)]
pub extern "C" fn shm_barrier_leave(barrier: shm_barrier_t) -> shm_status_t {
    guard(|| let_go(barrier, is_party))
}

/// Breaks the barrier: who waits, and who comes, gets `SHM_STATUS_BROKEN`.
///
/// Parameters: `barrier`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has broken it or not.
#[unsafe(no_mangle)]
pub extern "C" fn shm_barrier_abort(barrier: shm_barrier_t) -> shm_status_t {
    guard(|| Ok(pin(barrier)?.abort()?))
}

/// Makes a broken barrier whole again, with nobody arrived; who waits is turned away.
///
/// Parameters: `barrier`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way leaves it broken; reset it again.
#[unsafe(no_mangle)]
pub extern "C" fn shm_barrier_reset(barrier: shm_barrier_t) -> shm_status_t {
    guard(|| Ok(pin(barrier)?.reset()?))
}

/// Says how the barrier is now.
///
/// Parameters: `barrier`: a handle. `state`: receives the numbers.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of a party shows as broken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_barrier_state(
    barrier: shm_barrier_t,
    state: *mut shm_barrier_state_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let state = unsafe { Output::of(state, "state") }?;
        let barrier = pin(barrier)?;
        state.put(shm_barrier_state_t {
            parties: barrier.parties() as u32,
            waiting: barrier.n_waiting() as u32,
            is_broken: barrier.is_broken().into(),
            reserved: 0,
        });
        Ok(())
    })
}

/// How somebody got through a barrier.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_arrival_t {
    /// The number of the seat, from 0 on; each is taken once in a round.
    pub index: u32,
    /// 1 for the last to arrive, otherwise 0; once in a round.
    pub is_leader: i32,
}

/// A barrier as of one moment.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_barrier_state_t {
    /// How many wait for each other.
    pub parties: u32,
    /// How many have arrived in this round.
    pub waiting: u32,
    /// 1 if it is broken, otherwise 0.
    pub is_broken: i32,
    /// 0.
    pub reserved: u32,
}

impl From<Arrival> for shm_arrival_t {
    fn from(arrival: Arrival) -> Self {
        Self { index: arrival.index() as u32, is_leader: arrival.is_leader().into() }
    }
}

fn is_party(held: &Held) -> bool {
    matches!(held, Held::Party(_))
}

/// Arrives in the seat of this thread if it has joined, otherwise in any.
fn at_barrier(
    barrier: shm_barrier_t,
    joined: impl FnOnce(&Party) -> Outcome<Arrival>,
    other: impl FnOnce(&Barrier) -> Outcome<Arrival>,
) -> Outcome<Arrival> {
    let pinned = pin(barrier)?;
    if !holds(barrier) {
        return other(&pinned);
    }
    look(barrier, is_party, |held| match held {
        Held::Party(party) => Some(joined(party)),
        _ => None,
    })?
}

fn arrive(barrier: shm_barrier_t, how: How, arrival: *mut shm_arrival_t) -> Outcome {
    // SAFETY: the pointer is NULL or as the header says.
    let output = unsafe { Output::wanted(arrival) };
    let found = at_barrier(
        barrier,
        |party| {
            Ok(match how {
                How::Forever => party.wait(),
                How::Not => party.try_wait(),
                How::Until(deadline) => party.wait_until(deadline),
                How::Interruptible(deadline) => party.wait_interruptible(deadline),
            }?)
        },
        |barrier| {
            Ok(match how {
                How::Forever => barrier.wait(),
                How::Not => barrier.try_wait(),
                How::Until(deadline) => barrier.wait_until(deadline),
                How::Interruptible(deadline) => barrier.wait_interruptible(deadline),
            }?)
        },
    )?;
    output.put(found.into());
    Ok(())
}
