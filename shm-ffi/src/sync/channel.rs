//! The channel of items: a bounded queue of messages that are all of one size.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::byte_channel::shm_channel_state_t;
use super::make;
use super::time::How;
use crate::contents::shm_contents_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::pin;
use crate::handle::{handle, retire};
use crate::input::{self, Output};
use crate::memory;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::ItemChannel;
use std::ffi::{c_char, c_void};

/// A handle of a channel. Zero is no handle. A bounded queue of items of one size, for any number of senders and receivers;
/// Rust's `Channel` of a plain type of that size is the same. Whoever is killed with a message in its hands tears none and
/// blocks nobody.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_channel_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_channel_t, ItemChannel, 29, "channel");

/// Creates a channel, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `item_size`: bytes of an item. `capacity`: how
/// many items it holds, 1 or more. `channel`: receives the handle, which `shm_channel_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_create(
    name: *const c_char,
    options: *const shm_options_t,
    item_size: u64,
    capacity: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, channel, || initial(item_size, capacity)) }
}

/// Attaches to the channel under a name.
///
/// Parameters: `name`: as it was created. `item_size`: as it was created, so that nobody takes items for something else.
/// `channel`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_attach(
    name: *const c_char,
    item_size: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, channel, of_size(item_size)) }
}

/// Attaches to the channel under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_channel_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_create_or_attach(
    name: *const c_char,
    item_size: u64,
    capacity: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, channel, || initial(item_size, capacity)) }
}

/// Adds a channel to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `item_size`: bytes
/// of an item. `capacity`: how many items it holds, 1 or more.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_channel(
    contents: shm_contents_t,
    entry: *const c_char,
    item_size: u64,
    capacity: u64,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_channel_t, _>(contents, entry, || initial(item_size, capacity)) }
}

/// Attaches to the channel in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `item_size`: as it was
/// planned. `channel`: receives the handle, which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    item_size: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, channel, of_size(item_size)) }
}

/// Makes a channel in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_channel_size` at least. They stay mapped until the last
/// handle is given back, are used at one address only in one process, and through handles only. `item_size`: bytes of an item.
/// `capacity`: how many items it holds, 1 or more. `channel`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_create_at(
    address: *mut c_void,
    length: u64,
    item_size: u64,
    capacity: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, channel, || initial(item_size, capacity)) }
}

/// Attaches to the channel at an address of the caller's.
///
/// Parameters: as for `shm_channel_create_at`, without a capacity.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_attach_at(
    address: *mut c_void,
    length: u64,
    item_size: u64,
    channel: *mut shm_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, channel, || Ok(None), of_size(item_size)) }
}

/// Says how many bytes a channel takes at an address.
///
/// Parameters: `item_size`: bytes of an item. `capacity`: how many items it
/// holds, 1 or more. `size`:
/// receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_size(item_size: u64, capacity: u64, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_channel_t, _>(size, || initial(item_size, capacity)) }
}

/// Gives the handle back. The channel itself stays where it is, for others.
///
/// Parameters: `channel`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_channel_detach(channel: shm_channel_t) -> shm_status_t {
    guard(|| retire(channel))
}

/// Sends an item, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. The item has not
/// been sent then.
/// Thread use: any thread.
/// Death: of a sender half-way sends nothing, and blocks nobody.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_send(channel: shm_channel_t, item: *const c_void) -> shm_status_t {
    guard(|| send(channel, item, How::Forever))
}

/// Sends an item, if that is possible at once.
///
/// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none.
/// Returns: `SHM_STATUS_FULL` if there is no room; otherwise as `shm_channel_send`.
/// Thread use: as `shm_channel_send`.
/// Death: as `shm_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_try_send(channel: shm_channel_t, item: *const c_void) -> shm_status_t {
    guard(|| send(channel, item, How::Not))
}

/// Sends an item, waiting for a time at most.
///
/// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `timeout_ns`: how
/// long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_channel_send`.
/// Thread use: as `shm_channel_send`.
/// Death: as `shm_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_send_timeout_ns(
    channel: shm_channel_t,
    item: *const c_void,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| send(channel, item, How::timeout(timeout_ns)?))
}

/// Sends an item, waiting until a deadline at most.
///
/// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `deadline_ns`: in
/// nanoseconds of `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_channel_send`.
/// Thread use: as `shm_channel_send`.
/// Death: as `shm_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_send_until_ns(
    channel: shm_channel_t,
    item: *const c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| send(channel, item, How::until(deadline_ns)?))
}

/// Sends an item, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `deadline_ns`: as for
/// `shm_channel_send_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_channel_send_until_ns`.
/// Thread use: as `shm_channel_send`.
/// Death: as `shm_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_send_interruptible_ns(
    channel: shm_channel_t,
    item: *const c_void,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| send(channel, item, How::interruptible(deadline_ns)?))
}

/// Receives an item, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `channel`: a handle. `item`: receives the bytes, as many as an item has; they are zero after an error.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED` when everything was received, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of a receiver half-way leaves the item to the next one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_recv(channel: shm_channel_t, item: *mut c_void) -> shm_status_t {
    guard(|| recv(channel, How::Forever, item))
}

/// Receives an item, if that is possible at once.
///
/// Parameters: `channel`: a handle. `item`: receives the bytes, as many as an item has; they are zero after an error.
/// Returns: `SHM_STATUS_EMPTY` if there is none; otherwise as `shm_channel_recv`.
/// Thread use: as `shm_channel_recv`.
/// Death: as `shm_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_try_recv(channel: shm_channel_t, item: *mut c_void) -> shm_status_t {
    guard(|| recv(channel, How::Not, item))
}

/// Receives an item, waiting for a time at most.
///
/// Parameters: `channel`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes. `item`: receives the bytes, as many as an item has; they are zero after an error.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_channel_recv`.
/// Thread use: as `shm_channel_recv`.
/// Death: as `shm_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_recv_timeout_ns(
    channel: shm_channel_t,
    timeout_ns: i64,
    item: *mut c_void,
) -> shm_status_t {
    guard(|| recv(channel, How::timeout(timeout_ns)?, item))
}

/// Receives an item, waiting until a deadline at most.
///
/// Parameters: `channel`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
/// there, `SHM_FOREVER` waits as long as it takes. `item`: receives the bytes, as many as an item has; they are zero after an
/// error.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_channel_recv`.
/// Thread use: as `shm_channel_recv`.
/// Death: as `shm_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_recv_until_ns(
    channel: shm_channel_t,
    deadline_ns: i64,
    item: *mut c_void,
) -> shm_status_t {
    guard(|| recv(channel, How::until(deadline_ns)?, item))
}

/// Receives an item, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `channel`: a handle. `deadline_ns`: as for `shm_channel_recv_until_ns`. `item`: receives the bytes, as many as
/// an item has; they are zero after an error.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_channel_recv_until_ns`.
/// Thread use: as `shm_channel_recv`.
/// Death: as `shm_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_recv_interruptible_ns(
    channel: shm_channel_t,
    deadline_ns: i64,
    item: *mut c_void,
) -> shm_status_t {
    guard(|| recv(channel, How::interruptible(deadline_ns)?, item))
}

/// Closes the channel: nothing can be sent any more, and what was sent can be received.
///
/// Parameters: `channel`: a handle. `was_open`: receives 1 if this call closed it, 0 if somebody had; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has closed it or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_close(channel: shm_channel_t, was_open: *mut i32) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let was_open = unsafe { Output::wanted(was_open) };
        was_open.put(pin(channel)?.close()?.into());
        Ok(())
    })
}

/// Says how the channel is now.
///
/// Parameters: `channel`: a handle. `state`: receives the numbers.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_state(
    channel: shm_channel_t,
    state: *mut shm_channel_state_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let state = unsafe { Output::of(state, "state") }?;
        let channel = pin(channel)?;
        state.put(shm_channel_state_t {
            messages: channel.len() as u64,
            capacity: channel.capacity() as u64,
            is_closed: channel.is_closed().into(),
            reserved: 0,
        });
        Ok(())
    })
}

/// Tells how many bytes an item of the channel has.
///
/// Parameters: `channel`: a handle. `item_size`: receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of others changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_channel_item_size(channel: shm_channel_t, item_size: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let item_size = unsafe { Output::of(item_size, "item_size") }?;
        item_size.put(pin(channel)?.item_len() as u64);
        Ok(())
    })
}

/// What a new channel begins with.
fn initial(item_size: u64, capacity: u64) -> Outcome<(usize, usize)> {
    Ok((input::size("capacity", capacity)?, input::size("item_size", item_size)?))
}

/// Checks that items have the size that the caller takes them to have.
fn of_size(item_size: u64) -> impl FnOnce(&ItemChannel) -> Outcome {
    move |channel| {
        let found = channel.item_len() as u64;
        if found == item_size {
            return Ok(());
        }
        Err(Failure::new(
            SHM_STATUS_MISMATCH,
            format_args!("cannot attach to the channel: its items have {found} bytes, not {item_size}"),
        ))
    }
}

fn send(channel: shm_channel_t, item: *const c_void, how: How) -> Outcome {
    let channel = pin(channel)?;
    // SAFETY: the pointer is NULL, or points to as many bytes as an item has.
    let item = unsafe { memory::bytes(item, channel.item_len() as u64, "item") }?;
    Ok(match how {
        How::Forever => channel.send(item),
        How::Not => channel.try_send(item),
        How::Until(deadline) => channel.send_until(item, deadline),
        How::Interruptible(deadline) => channel.send_interruptible(item, deadline),
    }?)
}

fn recv(channel: shm_channel_t, how: How, item: *mut c_void) -> Outcome {
    let channel = pin(channel)?;
    // SAFETY: the pointer is NULL, or points to room for as many bytes as an item has.
    let item = unsafe { memory::room(item, channel.item_len(), "item") }?;
    Ok(match how {
        How::Forever => channel.recv(item),
        How::Not => channel.try_recv(item),
        How::Until(deadline) => channel.recv_until(item, deadline),
        How::Interruptible(deadline) => channel.recv_interruptible(item, deadline),
    }?)
}
