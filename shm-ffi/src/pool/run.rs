//! The maps: what runs on a pool.

#![allow(unsafe_code, reason = "exports C symbols and calls functions that C gave")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use super::failure;
use super::options::shm_pool_t;
use super::serial::{Place, Serial};
use super::state::State;
use super::worker::What;
use crate::callback::{catching, succeed};
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::pin;
use crate::input;
use crate::status::*;
use serde_bytes::ByteBuf;
use shm_pool::Worker;
use std::ffi::c_void;
use std::ptr;

/// Does the work of one item, in a worker process. It returns 0 when all went well; any other number is the failure of this item. It leaves
/// in no other way (no longjmp, no C++ exception).
pub type shm_item_t = Option<unsafe extern "C" fn(user: *mut c_void, item: u64) -> i32>;

/// The same with a result of a fixed size, whose bytes are zero at first.
pub type shm_item_result_t =
    Option<unsafe extern "C" fn(user: *mut c_void, item: u64, result: *mut c_void) -> i32>;

/// Takes the result of one item, in the master. Something else than 0 ends the run.
pub type shm_reduce_t =
    Option<unsafe extern "C" fn(user: *mut c_void, item: u64, bytes: *const c_void, length: u64) -> i32>;

/// Calls a function for each number from `first` to before `end`, in forked workers: a parallel loop, whose results go to shared memory.
///
/// Parameters: `pool`: a handle. `first`, `end`: the range; nothing happens if it is empty. `work`, `user`: the function and what it is called
/// with. Every worker has its own copy of the memory that is not shared, as it was when the run began.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if `work` returned something else than 0, `SHM_STATUS_WORKER_DIED` if a worker was killed,
/// both after as many new tries as the pool allows (`shm_pool_failure` has the item, rank, pid, signal and exit code, `shm_pool_unfinished` what was not
/// done); `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; several may run at once. The process forks: other threads of it do not exist in the workers.
/// Death: of a worker is the failure of its item. Of the master ends the workers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_for(
    pool: shm_pool_t,
    first: u64,
    end: u64,
    work: shm_item_t,
    user: *mut c_void,
) -> shm_status_t {
    guard(|| {
        let work = work.ok_or_else(missing)?;
        if end < first {
            return Err(Failure::argument(format_args!(
                "the range ends at {end}, before it begins at {first}"
            )));
        }
        let items = input::size("end - first", end - first)?;
        // SAFETY: the caller's function with its argument.
        let one = |item| unsafe { work(user, first + item) };
        map(pool, items, first, false, |item, _| one(item), |_, _| 0)
    })
}

/// Calls a function for each number from 0 on, in forked workers, and collects results of a fixed size in order.
///
/// Parameters: `pool`: a handle. `items`: how many. `work`, `user`: the function and what it is called with. `result_size`: bytes of one result.
/// `results`: receives `items` of them. They are zero for items that failed; after an error those that were finished are there.
/// Returns: as `shm_pool_for`.
/// Thread use: as `shm_pool_for`.
/// Death: as `shm_pool_for`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_map(
    pool: shm_pool_t,
    items: u64,
    work: shm_item_result_t,
    user: *mut c_void,
    result_size: u64,
    results: *mut c_void,
) -> shm_status_t {
    guard(|| {
        let work = work.ok_or_else(missing)?;
        let (items, size) = (input::size("items", items)?, input::size("result_size", result_size)?);
        let total = items.checked_mul(size).filter(|total| isize::try_from(*total).is_ok());
        let Some(total) = total else {
            return Err(Failure::new(
                SHM_STATUS_SIZE_OVERFLOW,
                format_args!("{items} results of {size} bytes are more than memory has"),
            ));
        };
        if results.is_null() && total > 0 {
            return Err(Failure::argument("the argument `results` is NULL"));
        }
        if total > 0 {
            // SAFETY: the caller gave room for all results.
            unsafe { results.write_bytes(0, total) };
        }
        map(
            pool,
            items,
            0,
            false,
            |item, result| {
                result.resize(size, 0);
                // SAFETY: the caller's function with its argument, and `size` bytes of its own.
                unsafe { work(user, item, result.as_mut_ptr().cast()) }
            },
            |item, bytes| {
                let size = size.min(bytes.len());
                // SAFETY: the place of this item within `results`; `item` is below `items`.
                unsafe {
                    ptr::copy_nonoverlapping(
                        bytes.as_ptr(),
                        results.cast::<u8>().add(item as usize * size),
                        size,
                    );
                }
                0
            },
        )
    })
}

/// Calls a function for each number from 0 on, in forked workers, with results of any length, and another one in the master for each result.
///
/// Parameters: `pool`: a handle. `items`: how many. `work`, `user`: the function, which makes its result with `shm_result_append`, and what it is
/// called with. `reduce`, `reduce_user`: what takes the results as they arrive, in no particular order, in the calling thread.
/// Returns: as `shm_pool_for`; `SHM_STATUS_CALLBACK_FAILED` also if `reduce` returned something else than 0, after the workers were ended.
/// Thread use: as `shm_pool_for`.
/// Death: as `shm_pool_for`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_map_bytes(
    pool: shm_pool_t,
    items: u64,
    work: shm_item_t,
    user: *mut c_void,
    reduce: shm_reduce_t,
    reduce_user: *mut c_void,
) -> shm_status_t {
    guard(|| {
        let (work, reduce) = (work.ok_or_else(missing)?, reduce.ok_or_else(missing)?);
        let items = input::size("items", items)?;
        map(
            pool,
            items,
            0,
            true,
            // SAFETY: the caller's function with its argument.
            |item, _| unsafe { work(user, item) },
            // SAFETY: the caller's function with its argument, and bytes that are there during the call.
            |item, bytes| unsafe { reduce(reduce_user, item, bytes.as_ptr().cast(), bytes.len() as u64) },
        )
    })
}

#[cold]
fn missing() -> Failure {
    Failure::argument("the function to call is NULL")
}

/// Runs `work` for the items 0 to before `items`, which are called `first` more, and `reduce` for their results.
fn map(
    pool: shm_pool_t,
    items: usize,
    first: u64,
    collects: bool,
    work: impl Fn(u64, &mut Vec<u8>) -> i32,
    mut reduce: impl FnMut(u64, &[u8]) -> i32,
) -> Outcome {
    let pool = pin(pool)?;
    failure::begin();
    let serial = Serial::new("go on with the run", pool.retries, pool.skips);
    let what = What { is_ordered: pool.is_ordered, collects };
    let one = |worker: &Worker, state: &mut State, item: u64| {
        serial.call(Place::Worker(worker), Some(first + item), what, state, |result| work(item, result))
    };
    let each = |item: usize, bytes: ByteBuf| {
        if !serial.take_skipped() {
            succeed(reduce(item as u64, &bytes));
        }
    };
    let shifted;
    let mut maps = &pool.pool;
    if first != 0 {
        // So that the copy need not find out anew.
        maps.worker_count();
        // Numbers that no item has: messages come out as near as they can.
        shifted = maps.clone().first_item(usize::try_from(first).unwrap_or(usize::MAX));
        maps = &shifted;
    }
    let state = |_: &Worker| State::new(pool.states);
    let range = 0..items as u64;
    catching(|| {
        serial.catching(first + range.end, || {
            if pool.skips {
                match maps.skip_failed().with_state(state).map_reduce(range, one, each) {
                    Ok(partial) => failure::skipped(partial.failures(), first, serial.take_failures()),
                    Err(error) => return Err(failure::of_run(&error, first)),
                }
            } else if let Err(error) = maps.with_state(state).map_reduce(range, one, each) {
                return Err(failure::of_run(&error, first));
            }
            Ok(())
        })
    })
}
