//! One call in a child, awaited later.

#![allow(unsafe_code, reason = "exports C symbols")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use super::failure::{self, Noted};
use super::options::{User, shm_pool_t};
use super::serial::{Place, Serial};
use super::state::State;
use super::worker::What;
use crate::callback::shm_action_t;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::Output;
use crate::memory;
use crate::status::*;
use crate::sync::How;
use serde_bytes::ByteBuf;
use shm_pool::Background;
use std::ffi::c_void;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// A handle of a call in the background. Zero is no handle.
///
/// It is a process that was forked for one call, and what that call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_background_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_background_t, Call, 41, "call in the background");

pub(crate) struct Call {
    progress: Mutex<Progress>,
    /// A forked copy of this process has another number.
    forks: u64,
}

enum Progress {
    Running(Background<ByteBuf>),
    Over(Result<Vec<u8>, Noted>),
}

/// Calls a function in a forked child, and returns at once.
///
/// Parameters: `pool`: a handle; its retries, hooks and warning are for this call too, and without workers the function is called here and now. `work`,
/// `user`: the function, which makes its result with `shm_result_append`, and what it is called with. `background`: receives the handle, which
/// `shm_background_free` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`. That the function failed is what the wait returns.
/// Thread use: any thread. The process forks: other threads of it do not exist in the child.
/// Death: of the child is told to whoever waits, at once. Of this process, not of this thread, ends the child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_background(
    pool: shm_pool_t,
    work: shm_action_t,
    user: *mut c_void,
    background: *mut shm_background_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let background = unsafe { Output::of(background, "background") }?;
        let work = work.ok_or_else(|| Failure::argument("the function to call is NULL"))?;
        let pool = pin(pool)?;
        let user = User(user);
        let serial = Serial::new("make the call", pool.retries, false);
        let workers = pool.pool.worker_count();
        let call = move || {
            let place = if workers == 0 { Place::Here } else { Place::Child };
            let what = What { is_ordered: false, collects: true };
            // SAFETY: the caller's function with its argument.
            serial.call(place, None, what, &mut State::new(None), |_| unsafe { work(user.get()) })
        };
        // The child comes back as a worker does; without workers the failure arrives here.
        let progress = match workers {
            0 => Progress::Over(Serial::outcome(call).map(|bytes| bytes.into_vec())),
            _ => Progress::Running(pool.pool.background(call)?),
        };
        let forks = shm_core::fork_count();
        background.put(insert(Call { progress: Mutex::new(progress), forks })?);
        Ok(())
    })
}

impl Call {
    /// Does something with the call, which one thread at a time may.
    fn with<T>(&self, work: impl FnOnce(&mut Progress) -> Outcome<T>) -> Outcome<T> {
        super::not_inherited(self.forks, "the call in the background")?;
        match self.progress.try_lock() {
            Ok(mut progress) => work(&mut progress),
            Err(TryLockError::Poisoned(left)) => work(&mut left.into_inner()),
            Err(TryLockError::WouldBlock) => Err(super::busy("the call in the background")),
        }
    }
}

/// Waits for the end of a call in the background, as long as it takes. Signals do not end the wait, and their handlers run meanwhile.
///
/// Parameters: `background`: a handle. `result`: receives the address of the bytes that the function has appended, which `shm_free` gives back; or NULL.
/// `length`: receives how many there are; or NULL.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if the function returned something else than 0, `SHM_STATUS_WORKER_DIED` if the child was
/// killed, both after as many new tries as the pool allows (`shm_pool_failure` has pid, signal and exit code); `SHM_STATUS_FORK` if there was no other
/// process for another try; `SHM_STATUS_BUSY` while another thread uses the handle; `SHM_STATUS_INHERITED` in a forked child;
/// `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. Another wait says the same again.
/// Thread use: any thread, one at a time.
/// Death: of the child ends the wait, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_background_wait(
    background: shm_background_t,
    result: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| wait(background, How::Forever, result, length))
}

/// Looks whether a call in the background has ended.
///
/// Parameters: `background`: a handle. `result`, `length`: as for `shm_background_wait`.
/// Returns: `SHM_STATUS_BUSY` if it has not; otherwise as `shm_background_wait`.
/// Thread use: as `shm_background_wait`.
/// Death: as `shm_background_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_background_try_wait(
    background: shm_background_t,
    result: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| wait(background, How::Not, result, length))
}

/// Waits for the end of a call in the background, for a time at most.
///
/// Parameters: `background`: a handle. `timeout_ns`: how long, in nanoseconds; `SHM_FOREVER` waits as long as it takes. `result`, `length`: as for
/// `shm_background_wait`.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_background_wait`.
/// Thread use: as `shm_background_wait`.
/// Death: as `shm_background_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_background_wait_timeout_ns(
    background: shm_background_t,
    timeout_ns: i64,
    result: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| wait(background, How::timeout(timeout_ns)?, result, length))
}

/// Waits for the end of a call in the background, until a deadline at most.
///
/// Parameters: `background`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; `SHM_FOREVER` waits as long as it takes. `result`, `length`: as
/// for `shm_background_wait`.
/// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_background_wait`.
/// Thread use: as `shm_background_wait`.
/// Death: as `shm_background_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_background_wait_until_ns(
    background: shm_background_t,
    deadline_ns: i64,
    result: *mut *mut c_void,
    length: *mut u64,
) -> shm_status_t {
    guard(|| wait(background, How::until(deadline_ns)?, result, length))
}

fn wait(background: shm_background_t, how: How, result: *mut *mut c_void, length: *mut u64) -> Outcome {
    // SAFETY: the pointers are NULL or as the header says.
    let (result, length) = unsafe { (Output::wanted(result), Output::wanted(length)) };
    let call = pin(background)?;
    failure::begin();
    call.with(|progress| {
        if let Progress::Running(running) = progress {
            let time = match how {
                How::Not => Duration::ZERO,
                How::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
                // A time that is too far away is none.
                How::Forever | How::Interruptible(_) => Duration::MAX,
            };
            while !running.wait_timeout(time) {
                match how {
                    How::Not => {
                        return Err(Failure::new(
                            SHM_STATUS_BUSY,
                            "the call in the background has not ended",
                        ));
                    }
                    How::Until(_) => {
                        return Err(Failure::new(
                            SHM_STATUS_TIMED_OUT,
                            "waited for the call in the background: it has not ended before the deadline",
                        ));
                    }
                    How::Forever | How::Interruptible(_) => {}
                }
            }
            let nothing = Progress::Over(Ok(Vec::new()));
            if let Progress::Running(ended) = std::mem::replace(progress, nothing) {
                *progress = Progress::Over(match ended.wait() {
                    Ok(bytes) => Ok(bytes.into_vec()),
                    Err(error) => Err(failure::noted(&error, 0)),
                });
            }
        }
        match progress {
            Progress::Over(Ok(bytes)) => {
                if result.is_wanted() {
                    let (copy, len) = memory::given(bytes)?;
                    result.put(copy);
                    length.put(len);
                } else {
                    length.put(bytes.len() as u64);
                }
                Ok(())
            }
            Progress::Over(Err(noted)) => {
                failure::leave(vec![noted.clone()], Vec::new());
                Err(noted.failure())
            }
            Progress::Running(_) => unreachable!("it was waited for"),
        }
    })
}

/// Kills the child, unless it has ended. There is no other try, and waiting says that it died.
///
/// Parameters: `background`: a handle.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
/// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, one at a time.
/// Death: of the child before that changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn shm_background_kill(background: shm_background_t) -> shm_status_t {
    guard(|| {
        pin(background)?.with(|progress| {
            if let Progress::Running(running) = progress {
                running.kill();
            }
            Ok(())
        })
    })
}

/// Tells the process id of the child.
///
/// Parameters: `background`: a handle. `pid`: receives it; -1 if the call has ended, or there was no child.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
/// `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, one at a time.
/// Death: of the child is noticed by the next wait; until then this is what its process id was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_background_pid(background: shm_background_t, pid: *mut i64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let pid = unsafe { Output::of(pid, "pid") }?;
        pin(background)?.with(|progress| {
            let found = if let Progress::Running(running) = progress { running.pid() } else { None };
            pid.put(found.map_or(-1, i64::from));
            Ok(())
        })
    })
}

/// Gives the handle of a call in the background back. A child that has not ended is killed.
///
/// Parameters: `background`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; if another one is waiting, the child is killed when that wait ends.
/// Death: of the process ends the child. A forked child of this process gives nothing but its handle back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_background_free(background: shm_background_t) -> shm_status_t {
    guard(|| retire(background))
}
