//! The channel of bytes: a bounded queue of messages of any length.

#![allow(unsafe_code, reason = "exports C symbols")]

use super::make;
use super::time::How;
use crate::contents::shm_contents_t;
use crate::error::Outcome;
use crate::guard::guard;
use crate::handle::pin;
use crate::handle::{handle, retire};
use crate::input::{self, Output};
use crate::memory;
use crate::segment::shm_segment_t;
use crate::status::*;
use crate::types::shm_options_t;
use shm_sync::ByteChannel;
use std::ffi::{c_char, c_void};

/// A handle of a byte channel. Zero is no handle.
///
/// A bounded queue of messages of any length, for any number of senders and receivers. Whoever is killed with a message in its
/// hands tears none and blocks nobody.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_byte_channel_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_byte_channel_t, ByteChannel, 28, "byte channel");

/// Creates a byte channel, on its own under a name or without one.
///
/// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
/// reach. `options`: or NULL for the defaults; one without a name takes none. `capacity`: bytes for messages and 8 for each of
/// them; a message that fills it is the longest one. `channel`: receives the handle, which `shm_byte_channel_detach` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_create(
    name: *const c_char,
    options: *const shm_options_t,
    capacity: u64,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create(name, options, channel, || input::size("capacity", capacity)) }
}

/// Attaches to the byte channel under a name.
///
/// Parameters: `name`: as it was created. `channel`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
/// of attaching.
/// Thread use: any thread.
/// Death: of the creator changes nothing, unless the segment's lifetime says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_attach(
    name: *const c_char,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach(name, channel, |_| Ok(())) }
}

/// Attaches to the byte channel under a name, or creates it, without a race between the two.
///
/// Parameters: as for `shm_byte_channel_create`, but the name is not NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
/// errors of creating and attaching.
/// Thread use: any thread.
/// Death: the name appears whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_create_or_attach(
    name: *const c_char,
    capacity: u64,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_or_attach(name, channel, || input::size("capacity", capacity)) }
}

/// Adds a byte channel to the plan of a segment, beside the data that it is for.
///
/// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `capacity`: bytes for
/// messages and 8 for each of them; a message that fills it is the longest one.
/// Returns: as `shm_contents_add_array`.
/// Thread use: one thread at a time.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_contents_add_byte_channel(
    contents: shm_contents_t,
    entry: *const c_char,
    capacity: u64,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::plan::<shm_byte_channel_t, _>(contents, entry, || input::size("capacity", capacity)) }
}

/// Attaches to the byte channel in an entry of a segment.
///
/// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `channel`: receives the handle,
/// which keeps the segment attached.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
/// attachment.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_attach_in(
    segment: shm_segment_t,
    entry: *const c_char,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_in(segment, entry, channel, |_| Ok(())) }
}

/// Makes a byte channel in zero bytes of the caller's, which are mapped shared between the processes that use it.
///
/// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_byte_channel_size` at least. They stay mapped until the
/// last handle is given back, are used at one address only in one process, and through handles only. `capacity`: bytes for
/// messages and 8 for each of them; a message that fills it is the longest one. `channel`: receives the handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
/// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: nobody else uses the bytes before this has returned.
/// Death: in the middle leaves bytes that are none yet; zero them and begin again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_create_at(
    address: *mut c_void,
    length: u64,
    capacity: u64,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::create_at(address, length, channel, || input::size("capacity", capacity)) }
}

/// Attaches to the byte channel at an address of the caller's.
///
/// Parameters: as for `shm_byte_channel_create_at`.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
/// Thread use: any thread.
/// Death: of others changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_attach_at(
    address: *mut c_void,
    length: u64,
    channel: *mut shm_byte_channel_t,
) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::attach_at(address, length, channel, || Ok(None), |_| Ok(())) }
}

/// Says how many bytes a byte channel takes at an address.
///
/// Parameters: `capacity`: bytes for messages and 8 for each of them; a message that fills it is the longest one. `size`:
/// receives the number.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_size(capacity: u64, size: *mut u64) -> shm_status_t {
    // SAFETY: the pointers are NULL or as the header says.
    unsafe { make::size::<shm_byte_channel_t, _>(size, || input::size("capacity", capacity)) }
}

/// Gives the handle back. The byte channel itself stays where it is, for others.
///
/// Parameters: `channel`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
/// `SHM_STATUS_INVALID_HANDLE`.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_byte_channel_detach(channel: shm_byte_channel_t) -> shm_status_t {
    guard(|| retire(channel))
}

/// Sends a message, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED`, `SHM_STATUS_INVALID_ARGUMENT` for a message that is longer than the channel,
/// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. The message has not
/// been sent then.
/// Thread use: any thread.
/// Death: of a sender half-way sends nothing, and blocks nobody.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_send(
    channel: shm_byte_channel_t,
    message: *const c_void,
    length: u64,
) -> shm_status_t {
    guard(|| send(&*pin(channel)?, message, length, How::Forever))
}

/// Sends a message, if that is possible at once.
///
/// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none.
/// Returns: `SHM_STATUS_BUSY` never, and `SHM_STATUS_FULL` if there is no room; otherwise as `shm_byte_channel_send`.
/// Thread use: as `shm_byte_channel_send`.
/// Death: as `shm_byte_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_try_send(
    channel: shm_byte_channel_t,
    message: *const c_void,
    length: u64,
) -> shm_status_t {
    guard(|| send(&*pin(channel)?, message, length, How::Not))
}

/// Sends a message, waiting for a time at most.
///
/// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `timeout_ns`: how long, in
/// nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_byte_channel_send`.
/// Thread use: as `shm_byte_channel_send`.
/// Death: as `shm_byte_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_send_timeout_ns(
    channel: shm_byte_channel_t,
    message: *const c_void,
    length: u64,
    timeout_ns: i64,
) -> shm_status_t {
    guard(|| send(&*pin(channel)?, message, length, How::timeout(timeout_ns)?))
}

/// Sends a message, waiting until a deadline at most.
///
/// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `deadline_ns`: in nanoseconds of
/// `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_byte_channel_send`.
/// Thread use: as `shm_byte_channel_send`.
/// Death: as `shm_byte_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_send_until_ns(
    channel: shm_byte_channel_t,
    message: *const c_void,
    length: u64,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| send(&*pin(channel)?, message, length, How::until(deadline_ns)?))
}

/// Sends a message, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `deadline_ns`: as for
/// `shm_byte_channel_send_until_ns`.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_byte_channel_send_until_ns`.
/// Thread use: as `shm_byte_channel_send`.
/// Death: as `shm_byte_channel_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_send_interruptible_ns(
    channel: shm_byte_channel_t,
    message: *const c_void,
    length: u64,
    deadline_ns: i64,
) -> shm_status_t {
    guard(|| send(&*pin(channel)?, message, length, How::interruptible(deadline_ns)?))
}

/// Receives a message, waiting as long as it takes. Signals do not end the wait.
///
/// Parameters: `channel`: a handle. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives
/// how many there are.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED` when everything was received, `SHM_STATUS_OUT_OF_MEMORY`,
/// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: of a receiver half-way leaves the message to the next one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_recv(
    channel: shm_byte_channel_t,
    message: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| recv(channel, How::Forever, message, length))
}

/// Receives a message, if that is possible at once.
///
/// Parameters: `channel`: a handle. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives
/// how many there are.
/// Returns: `SHM_STATUS_BUSY` never, and `SHM_STATUS_EMPTY` if there is none; otherwise as `shm_byte_channel_recv`.
/// Thread use: as `shm_byte_channel_recv`.
/// Death: as `shm_byte_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_try_recv(
    channel: shm_byte_channel_t,
    message: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| recv(channel, How::Not, message, length))
}

/// Receives a message, waiting for a time at most.
///
/// Parameters: `channel`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
/// long as it takes. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives how many there
/// are.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_byte_channel_recv`.
/// Thread use: as `shm_byte_channel_recv`.
/// Death: as `shm_byte_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_recv_timeout_ns(
    channel: shm_byte_channel_t,
    timeout_ns: i64,
    message: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| recv(channel, How::timeout(timeout_ns)?, message, length))
}

/// Receives a message, waiting until a deadline at most.
///
/// Parameters: `channel`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
/// there, `SHM_FOREVER` waits as long as it takes. `message`: receives the address of the bytes, which `shm_free` gives back.
/// `length`: receives how many there are.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_byte_channel_recv`.
/// Thread use: as `shm_byte_channel_recv`.
/// Death: as `shm_byte_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_recv_until_ns(
    channel: shm_byte_channel_t,
    deadline_ns: i64,
    message: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| recv(channel, How::until(deadline_ns)?, message, length))
}

/// Receives a message, waiting until a deadline at most, or until a signal handler has run in this thread.
///
/// Parameters: `channel`: a handle. `deadline_ns`: as for `shm_byte_channel_recv_until_ns`. `message`: receives the address of
/// the bytes, which `shm_free` gives back. `length`: receives how many there are.
/// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
/// noticed. Otherwise as `shm_byte_channel_recv_until_ns`.
/// Thread use: as `shm_byte_channel_recv`.
/// Death: as `shm_byte_channel_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_recv_interruptible_ns(
    channel: shm_byte_channel_t,
    deadline_ns: i64,
    message: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| recv(channel, How::interruptible(deadline_ns)?, message, length))
}

/// Closes the channel: nothing can be sent any more, and what was sent can be received.
///
/// Parameters: `channel`: a handle. `was_open`: receives 1 if this call closed it, 0 if somebody had; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: half-way has closed it or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_byte_channel_close(
    channel: shm_byte_channel_t,
    was_open: *mut i32,
) -> shm_status_t {
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
pub unsafe extern "C" fn shm_byte_channel_state(
    channel: shm_byte_channel_t,
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

/// A channel as of one moment.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_channel_state_t {
    /// Messages that wait.
    pub messages: u64,
    /// What it was made with.
    pub capacity: u64,
    /// 1 if it is closed, otherwise 0.
    pub is_closed: i32,
    /// 0.
    pub reserved: u32,
}

fn send(channel: &ByteChannel, message: *const c_void, length: u64, how: How) -> Outcome {
    // SAFETY: the pointer is NULL or as the header says.
    let message = unsafe { memory::bytes(message, length, "message") }?;
    Ok(match how {
        How::Forever => channel.send(message),
        How::Not => channel.try_send(message),
        How::Until(deadline) => channel.send_until(message, deadline),
        How::Interruptible(deadline) => channel.send_interruptible(message, deadline),
    }?)
}

fn recv(channel: shm_byte_channel_t, how: How, message: *mut *mut c_void, length: *mut u64) -> Outcome {
    // SAFETY: the pointers are NULL or as the header says.
    let (message, length) = unsafe { (Output::of(message, "message")?, Output::of(length, "length")?) };
    let channel = pin(channel)?;
    let copy = memory::given;
    let (bytes, len) = match how {
        How::Forever => channel.recv_with(copy),
        How::Not => channel.try_recv_with(copy),
        How::Until(deadline) => channel.recv_with_until(deadline, copy),
        How::Interruptible(deadline) => channel.recv_with_interruptible(deadline, copy),
    }??;
    message.put(bytes);
    length.put(len);
    Ok(())
}
