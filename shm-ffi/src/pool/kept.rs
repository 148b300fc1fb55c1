//! Workers that are kept for map after map, whose items are sent to them.

#![allow(unsafe_code, reason = "exports C symbols and calls functions that C gave")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use super::failure;
use super::options::{User, shm_pool_t};
use super::run::shm_reduce_t;
use super::serial::{Place, Serial};
use super::state::State;
use super::worker::What;
use crate::callback::{catching, succeed};
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::{self, Output};
use crate::memory;
use crate::status::*;
use serde_bytes::ByteBuf;
use shm_pool::{Kept, Worker};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, TryLockError};

/// Does the work of one item that was sent to a kept worker, and makes its result with `shm_result_append`. It returns 0 when all went well; any
/// other number is the failure of this item. It leaves in no other way (no longjmp, no C++ exception).
pub type shm_sent_item_t =
    Option<unsafe extern "C" fn(user: *mut c_void, item: *const c_void, length: u64) -> i32>;

/// Bytes of the caller's, as one of several.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_bytes_t {
    /// Where they are; NULL only if there are none.
    pub bytes: *const c_void,
    /// How many there are.
    pub length: u64,
}

/// A handle of kept workers. Zero is no handle.
///
/// The workers are processes that were forked once, for one function, and serve map after map.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_kept_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

handle!(shm_kept_t, Workers, 42, "kept workers");

pub(crate) struct Workers {
    kept: Mutex<Kept<ByteBuf, ByteBuf>>,
    serial: Arc<Serial>,
    /// The next item, where the master does the work.
    next: Arc<AtomicU64>,
    skips: bool,
    /// A forked copy of this process has another number.
    forks: u64,
}

/// Forks the workers of a pool now, for a function, and keeps them for many maps. It is also the way for a program with threads: fork
/// before the threads start; the maps fork nothing, unless a worker that has ended is replaced.
///
/// Parameters: `pool`: a handle of a pool without `SHM_POOL_ORDERED`; with `SHM_POOL_SKIP_FAILED` the maps go on without the items that fail, and
/// `make_state` makes each worker's state, which lasts from map to map. `work`, `user`: the function and what it is called with. `kept`: receives the
/// handle, which `shm_kept_free` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
/// `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread. The workers have a copy of the memory that is not shared, as it is now.
/// Death: of this process, not of this thread, ends the workers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_keep(
    pool: shm_pool_t,
    work: shm_sent_item_t,
    user: *mut c_void,
    kept: *mut shm_kept_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let output = unsafe { Output::of(kept, "kept") }?;
        let work = work.ok_or_else(missing)?;
        let pool = pin(pool)?;
        let user = User(user);
        let serial = Arc::new(Serial::new("map items that were sent", pool.retries, pool.skips));
        let next = Arc::new(AtomicU64::new(0));
        let (policy, counter) = (serial.clone(), next.clone());
        let one = move |worker: &Worker, state: &mut State, item: ByteBuf| {
            let what = What { is_ordered: false, collects: true };
            let number = counter.fetch_add(1, Relaxed);
            policy.call(Place::Worker(worker), Some(number), what, state, |_| {
                // SAFETY: the caller's function with its argument, and bytes that are there during the call.
                unsafe { work(user.get(), item.as_ptr().cast(), item.len() as u64) }
            })
        };
        let states = pool.states;
        let kept = pool.pool.with_state(move |_: &Worker| State::new(states)).keep(one)?;
        let forks = shm_core::fork_count();
        output.put(insert(Workers { kept: Mutex::new(kept), serial, next, skips: pool.skips, forks })?);
        Ok(())
    })
}

#[cold]
fn missing() -> Failure {
    Failure::argument("the function to call is NULL")
}

/// Sends items of a fixed size to kept workers, and collects results of a fixed size in order.
///
/// Parameters: `kept`: a handle. `items`, `item_size`, `count`: `count` items of so many bytes, one behind the other. `results`, `result_size`: receive the
/// results, of so many bytes each; what a shorter one leaves is zero, and so are the results of items that failed.
/// Returns: as `shm_pool_for`, and after a failure in a worker the workers are gone, unless the pool skips: `SHM_STATUS_ENDED` from then on.
/// `SHM_STATUS_LIMIT_EXCEEDED` if a result was longer than `result_size`, which is cut; `SHM_STATUS_BUSY` while another thread uses the handle;
/// `SHM_STATUS_INHERITED` in a forked child; `SHM_STATUS_SIZE_OVERFLOW`. Bad arguments change nothing.
/// Thread use: any thread, one at a time.
/// Death: of a worker is the failure of its item. Of the master ends the workers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_kept_map(
    kept: shm_kept_t,
    items: *const c_void,
    item_size: u64,
    count: u64,
    results: *mut c_void,
    result_size: u64,
) -> shm_status_t {
    guard(|| {
        let (count, size) = (input::size("count", count)?, input::size("item_size", item_size)?);
        let result_size = input::size("result_size", result_size)?;
        let product = |size: usize| count.checked_mul(size).filter(|all| isize::try_from(*all).is_ok());
        let (Some(given), Some(room)) = (product(size), product(result_size)) else {
            return Err(Failure::new(
                SHM_STATUS_SIZE_OVERFLOW,
                format_args!(
                    "{count} items of {size} bytes with results of {result_size} are more than memory has"
                ),
            ));
        };
        // SAFETY: the pointer is NULL or as the header says.
        let bytes = unsafe { memory::bytes(items, given as u64, "items") }?;
        if results.is_null() && room > 0 {
            return Err(Failure::argument("the argument `results` is NULL"));
        }
        let workers = pin(kept)?;
        if room > 0 {
            // SAFETY: the caller gave room for all results.
            unsafe { results.write_bytes(0, room) };
        }
        let mut long = None;
        let items = (0..count).map(|item| ByteBuf::from(bytes[item * size..][..size].to_vec()));
        workers.map(items, count, |item, bytes| {
            if bytes.len() > result_size {
                long = long.or(Some((item, bytes.len())));
            }
            if room > 0 {
                // SAFETY: the place of this item within `results`; `item` is below `count`.
                unsafe {
                    let place = results.cast::<u8>().add(item * result_size);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len().min(result_size));
                }
            }
            0
        })?;
        match long {
            None => Ok(()),
            Some((item, len)) => Err(Failure::new(
                SHM_STATUS_LIMIT_EXCEEDED,
                format_args!(
                    "the result of item {item} has {len} bytes, and there was room for {result_size}; all is done, and it was cut"
                ),
            )),
        }
    })
}

/// Sends items of any length to kept workers, and calls a function in the master for each result.
///
/// Parameters: `kept`: a handle. `items`, `count`: the items. `reduce`, `reduce_user`: what takes the results as they arrive, in no particular order, in
/// the calling thread.
/// Returns: as `shm_kept_map`; `SHM_STATUS_CALLBACK_FAILED` also if `reduce` returned something else than 0: the workers are gone then.
/// Thread use: any thread, one at a time.
/// Death: as `shm_kept_map`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_kept_map_bytes(
    kept: shm_kept_t,
    items: *const shm_bytes_t,
    count: u64,
    reduce: shm_reduce_t,
    reduce_user: *mut c_void,
) -> shm_status_t {
    guard(|| {
        let reduce = reduce.ok_or_else(missing)?;
        let count = input::size("count", count)?;
        let total = count.checked_mul(size_of::<shm_bytes_t>()).filter(|all| isize::try_from(*all).is_ok());
        if total.is_none() {
            return Err(Failure::new(
                SHM_STATUS_SIZE_OVERFLOW,
                format_args!("{count} items are more than memory has"),
            ));
        }
        if items.is_null() && count > 0 {
            return Err(Failure::argument("the argument `items` is NULL"));
        }
        let mut all = Vec::new();
        for index in 0..count {
            // SAFETY: so many descriptions, the caller says, each of bytes that are there or NULL.
            let bytes = unsafe {
                let given = items.add(index).read_unaligned();
                memory::bytes(given.bytes, given.length, &format!("items[{index}].bytes"))?
            };
            all.push(ByteBuf::from(bytes.to_vec()));
        }
        pin(kept)?.map(all, count, |item, bytes| {
            // SAFETY: the caller's function with its argument, and bytes that are there during the call.
            unsafe { reduce(reduce_user, item as u64, bytes.as_ptr().cast(), bytes.len() as u64) }
        })
    })
}

impl Workers {
    /// Does something with the workers, which one thread at a time may.
    fn with<T>(&self, work: impl FnOnce(&mut Kept<ByteBuf, ByteBuf>) -> Outcome<T>) -> Outcome<T> {
        super::not_inherited(self.forks, "the kept workers")?;
        match self.kept.try_lock() {
            Ok(mut kept) => work(&mut kept),
            Err(TryLockError::Poisoned(left)) => work(&mut left.into_inner()),
            Err(TryLockError::WouldBlock) => Err(super::busy("the kept workers")),
        }
    }

    fn map(
        &self,
        items: impl IntoIterator<Item = ByteBuf>,
        count: usize,
        mut reduce: impl FnMut(usize, &[u8]) -> i32,
    ) -> Outcome {
        failure::begin();
        self.with(|kept| {
            self.next.store(0, Relaxed);
            let each = |item: usize, bytes: ByteBuf| {
                if !self.serial.take_skipped() {
                    succeed(reduce(item, &bytes));
                }
            };
            catching(|| {
                self.serial.catching(count as u64, || {
                    if self.skips {
                        match kept.skip_failed().map_reduce(items, each) {
                            Ok(partial) => {
                                failure::skipped(partial.failures(), 0, self.serial.take_failures())
                            }
                            Err(error) => return Err(failure::of_run(&error, 0)),
                        }
                    } else if let Err(error) = kept.map_reduce(items, each) {
                        return Err(failure::of_run(&error, 0));
                    }
                    Ok(())
                })
            })
        })
    }
}

/// Says how many kept workers there are.
///
/// Parameters: `kept`: a handle. `workers`: receives the number; 0 means that the maps run in the calling thread.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
/// `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread, one at a time.
/// Death: of workers changes nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_kept_worker_count(kept: shm_kept_t, workers: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let workers = unsafe { Output::of(workers, "workers") }?;
        pin(kept)?.with(|kept| {
            workers.put(kept.workers() as u64);
            Ok(())
        })
    })
}

/// Tells the process id of a kept worker.
///
/// Parameters: `kept`: a handle. `rank`: which worker, from 0 on. `pid`: receives its process id.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many; otherwise as `shm_kept_worker_count`.
/// Thread use: any thread, one at a time.
/// Death: of a worker is noticed by the next map; until then this is what its process id was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_kept_pid(kept: shm_kept_t, rank: u64, pid: *mut i64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let pid = unsafe { Output::of(pid, "pid") }?;
        pin(kept)?.with(|kept| {
            let pids = kept.pids();
            let found = usize::try_from(rank).ok().and_then(|rank| pids.get(rank));
            let Some(found) = found else {
                return Err(Failure::new(
                    SHM_STATUS_NOT_FOUND,
                    format_args!("there is no worker {rank}: {} are kept", pids.len()),
                ));
            };
            pid.put(i64::from(*found));
            Ok(())
        })
    })
}

/// Gives the handle of kept workers back: they end, and are gone when this returns.
///
/// Parameters: `kept`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; if another one is in a map, the workers end when that is over.
/// Death: of the process ends the workers. A forked child of this process gives nothing but its handle back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_kept_free(kept: shm_kept_t) -> shm_status_t {
    guard(|| retire(kept))
}
