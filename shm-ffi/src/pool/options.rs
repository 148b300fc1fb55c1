//! How a pool is set up.

#![allow(unsafe_code, reason = "exports C symbols and calls functions that C gave")]
#![allow(non_camel_case_types, reason = "the names are C's")]

use super::state::States;
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::handle::{handle, insert, pin, retire};
use crate::input::{self, Output};
use crate::status::*;
use shm_pool::{MapReduce, Schedule};
use std::ffi::{CString, c_char, c_void};

/// How items are shared out to workers.
pub type shm_schedule_t = i32;
/// Shrinking batches, each taken by whoever is free; `chunk` items at least. The default.
pub const SHM_SCHEDULE_GUIDED: shm_schedule_t = 0;
/// Batches of `chunk` items, each taken by whoever is free.
pub const SHM_SCHEDULE_DYNAMIC: shm_schedule_t = 1;
/// One equal share for each worker; with a `chunk`, batches of so many items dealt out in turn.
pub const SHM_SCHEDULE_STATIC: shm_schedule_t = 2;

/// Flag of a pool: `shm_worker_ordered` may be called, and its sections run in the order of the items.
pub const SHM_POOL_ORDERED: u32 = 1;
/// Flag of a pool: a run goes on without the items that failed; `shm_pool_failure` tells of them.
pub const SHM_POOL_SKIP_FAILED: u32 = 2;
/// Flag of a pool: no warning when the process that forks has several threads.
pub const SHM_POOL_THREADS_OK: u32 = 4;
/// Flag of a pool: everything runs in the calling thread, without workers (for debugging).
pub const SHM_POOL_SERIAL: u32 = 8;

/// Hears how far a run is, in the thread that runs it.
pub type shm_progress_t = Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64)>;
/// Is called with a warning; the text is good for the call only.
pub type shm_warning_t = Option<unsafe extern "C" fn(user: *mut c_void, text: *const c_char)>;
/// Makes what a worker keeps from item to item, and leaves its address in `state`. It is called in the worker, when its first item comes; 0 is
/// success, and any other number is the failure of that item.
pub type shm_make_state_t = Option<unsafe extern "C" fn(user: *mut c_void, state: *mut *mut c_void) -> i32>;
/// Is called with what a worker has kept, in the worker, when that has nothing more to do.
pub type shm_drop_state_t = Option<unsafe extern "C" fn(user: *mut c_void, state: *mut c_void)>;
/// Is called around a fork.
pub type shm_fork_hook_t = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// How a pool is set up. Zero in every field but `size` is the default; `SHM_POOL_OPTIONS_INIT` is that.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_pool_options_t {
    /// `sizeof(shm_pool_options_t)`.
    pub size: u64,
    /// How many workers; 0 means as many as this process has processors.
    pub workers: u64,
    /// How many times a failed item is tried again, each time by a fresh worker.
    pub retries: u64,
    /// Runs of fewer items than this stay in the calling thread.
    pub serial_below: u64,
    /// Items of a batch, as `schedule` says; 0 means 1, or an equal share.
    pub chunk: u64,
    /// `SHM_SCHEDULE_GUIDED` and others.
    pub schedule: shm_schedule_t,
    /// `SHM_POOL_ORDERED` and others, or-ed.
    pub flags: u32,
    /// Hears how far a run is; or NULL.
    pub progress: shm_progress_t,
    /// Is called instead of a line on standard error; or NULL.
    pub warning: shm_warning_t,
    /// Is called in the master before each fork; or NULL.
    pub before_fork: shm_fork_hook_t,
    /// Is called in the master after each fork; or NULL.
    pub after_fork_parent: shm_fork_hook_t,
    /// Is called in each new worker; or NULL.
    pub after_fork_child: shm_fork_hook_t,
    /// What all of these are called with. It lives as long as the pool.
    pub user: *mut c_void,
    /// Makes a state for each worker that `shm_worker_state` finds; or NULL.
    pub make_state: shm_make_state_t,
    /// Ends such a state; or NULL. A worker that is killed, or exits, ends none.
    pub drop_state: shm_drop_state_t,
}

/// A handle of a pool. Zero is no handle.
///
/// A pool is a description: its workers are forked when something runs, and are gone when that is over.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_pool_t {
    /// The number of the handle; 0 is none.
    pub id: u64,
}

pub(super) type Progress = Box<dyn Fn(usize, usize) + Send + Sync>;

/// A pool, and what the maps have to know of its options.
pub(crate) struct Pool {
    pub(super) pool: MapReduce<Progress>,
    pub(super) skips: bool,
    pub(super) retries: usize,
    pub(super) is_ordered: bool,
    pub(super) states: Option<States>,
}

handle!(shm_pool_t, Pool, 40, "pool");

/// What the caller wants its functions to be called with.
#[derive(Clone, Copy)]
pub(super) struct User(pub(super) *mut c_void);

// SAFETY: an address, which is handed back to the caller's functions. They are called in the thread that runs something on the pool; whoever runs
// on one pool from several threads has said that they may be.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    pub(super) fn get(self) -> *mut c_void {
        self.0
    }
}

/// Describes a pool of worker processes.
///
/// Parameters: `options`: begun with `SHM_POOL_OPTIONS_INIT`, or NULL for the defaults. `pool`: receives the handle, which `shm_pool_free` gives back.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: any thread.
/// Death: nothing is forked yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_create(
    options: *const shm_pool_options_t,
    pool: *mut shm_pool_t,
) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says; the struct is made of numbers, addresses, and functions or NULL.
        let (pool, options) = unsafe {
            let pool = Output::of(pool, "pool")?;
            (pool, if options.is_null() { None } else { Some(input::sized(options, "options", LEAST)?) })
        };
        pool.put(insert(build(options)?)?);
        Ok(())
    })
}

/// What the first version of the struct had.
const LEAST: usize = 96;

fn build(options: Option<shm_pool_options_t>) -> Outcome<Pool> {
    const FLAGS: u32 = SHM_POOL_ORDERED | SHM_POOL_SKIP_FAILED | SHM_POOL_THREADS_OK | SHM_POOL_SERIAL;
    let Some(given) = options else {
        let silent: Progress = Box::new(|_, _| ());
        let pool = MapReduce::new().progress(silent);
        return Ok(Pool { pool, skips: false, retries: 0, is_ordered: false, states: None });
    };
    if given.flags & !FLAGS != 0 {
        return Err(Failure::argument(format_args!(
            "`options.flags` is {:#x}, of which {FLAGS:#x} have a meaning",
            given.flags
        )));
    }
    let is = |flag| given.flags & flag != 0;
    let chunk = input::size("options.chunk", given.chunk)?;
    let schedule = match (given.schedule, chunk) {
        (SHM_SCHEDULE_GUIDED, chunk) => Schedule::Guided(chunk.max(1)),
        (SHM_SCHEDULE_DYNAMIC, chunk) => Schedule::Dynamic(chunk.max(1)),
        (SHM_SCHEDULE_STATIC, 0) => Schedule::Static,
        (SHM_SCHEDULE_STATIC, chunk) => Schedule::StaticChunk(chunk),
        (other, _) => {
            return Err(Failure::argument(format_args!(
                "`options.schedule` is {other}, which has no meaning"
            )));
        }
    };
    let retries = input::size("options.retries", given.retries)?;
    let mut pool = MapReduce::new()
        .retries(retries)
        .serial_below(input::size("options.serial_below", given.serial_below)?);
    // What is not said is left to the pool, whose default with ordered sections is another one.
    if given.schedule != SHM_SCHEDULE_GUIDED || chunk != 0 {
        pool = pool.schedule(schedule);
    }
    if given.workers != 0 {
        pool = pool.workers(input::size("options.workers", given.workers)?);
    }
    if is(SHM_POOL_SERIAL) {
        pool = pool.workers(0);
    }
    if is(SHM_POOL_ORDERED) {
        pool = pool.ordered();
    }
    if is(SHM_POOL_THREADS_OK) {
        pool = pool.threads_ok();
    }
    let user = User(given.user);
    if let Some(warning) = given.warning {
        pool = pool.on_warning(move |text| {
            let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
            // SAFETY: the caller's function with its argument, which lives as long as the pool.
            unsafe { warning(user.get(), text.as_ptr()) }
        });
    }
    if given.before_fork.is_some() || given.after_fork_parent.is_some() || given.after_fork_child.is_some() {
        let hook = |hook: shm_fork_hook_t| {
            move || {
                if let Some(hook) = hook {
                    // SAFETY: as above.
                    unsafe { hook(user.get()) }
                }
            }
        };
        pool = pool.fork_hooks(
            hook(given.before_fork),
            hook(given.after_fork_parent),
            hook(given.after_fork_child),
        );
    }
    let progress: Progress = match given.progress {
        None => Box::new(|_, _| ()),
        Some(progress) => Box::new(move |done, total| {
            // SAFETY: as above.
            unsafe { progress(user.get(), done as u64, total as u64) }
        }),
    };
    if given.make_state.is_none() && given.drop_state.is_some() {
        return Err(Failure::argument("`options.drop_state` is given, and no `options.make_state`"));
    }
    Ok(Pool {
        pool: pool.progress(progress),
        skips: is(SHM_POOL_SKIP_FAILED),
        retries,
        is_ordered: is(SHM_POOL_ORDERED),
        states: given.make_state.map(|make| States { make, drop: given.drop_state, user }),
    })
}

/// Gives the handle of a pool back.
///
/// Parameters: `pool`: a handle, which is none afterwards.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread; what another thread runs on the pool goes on to its end.
/// Death: of the process gives all its handles back.
#[unsafe(no_mangle)]
pub extern "C" fn shm_pool_free(pool: shm_pool_t) -> shm_status_t {
    guard(|| retire(pool))
}

/// Says how many workers a run on the pool has.
///
/// Parameters: `pool`: a handle. `workers`: receives the number; 0 means that everything runs in the calling thread.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
/// Thread use: any thread.
/// Death: no shared memory is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_pool_worker_count(pool: shm_pool_t, workers: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let workers = unsafe { Output::of(workers, "workers") }?;
        workers.put(pin(pool)?.pool.worker_count() as u64);
        Ok(())
    })
}
