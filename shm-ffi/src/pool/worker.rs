//! What a function can do while a pool calls it: know who it is, find its state, enter a critical or an ordered section, make its result longer.
//!
//! All of it works in the thread that the pool calls the function in, and nowhere else.

#![allow(unsafe_code, reason = "exports C symbols; finds the worker of the thread through a pointer")]

use super::state::State;
use crate::callback::{self, shm_action_t};
use crate::error::{Failure, Outcome};
use crate::guard::guard;
use crate::input::Output;
use crate::memory;
use crate::status::*;
use shm_pool::Worker;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

/// What surrounds one call of a function.
struct Call<'a> {
    /// None in a call in the background, which has no others beside it.
    worker: Option<&'a Worker<'a>>,
    what: What,
    /// What `shm_worker_state` finds.
    state: Cell<Option<*mut c_void>>,
    in_section: Cell<bool>,
    /// Whether this item has had its ordered section.
    had_turn: Cell<bool>,
    result: RefCell<Option<Vec<u8>>>,
    /// What has to go on through the caller's function when that has returned.
    unwinds: RefCell<Option<Box<dyn Any + Send>>>,
}

/// What a call may do.
#[derive(Clone, Copy)]
pub(super) struct What {
    pub(super) is_ordered: bool,
    /// Whether its result is what `shm_result_append` adds.
    pub(super) collects: bool,
}

thread_local! {
    /// The innermost call of this thread.
    static CURRENT: Cell<*const Call<'static>> = const { Cell::new(ptr::null()) };
}

/// What a function's failure panics with in a worker, so that the pool takes it for one. The number comes behind.
pub(super) const RETURNED: &str = "the function returned ";

/// Calls a function of the caller's, as `worker` if it is one, and gives what `shm_result_append` has collected.
///
/// # Errors
/// What the function returned, if that is not 0.
pub(super) fn call(
    worker: Option<&Worker>,
    what: What,
    state: &mut State,
    function: impl FnOnce() -> i32,
) -> Result<Vec<u8>, i32> {
    struct Restore(*const Call<'static>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let call = Call {
        worker,
        what,
        state: Cell::new(None),
        in_section: Cell::new(false),
        had_turn: Cell::new(false),
        result: RefCell::new(what.collects.then(Vec::new)),
        unwinds: RefCell::new(None),
    };
    let code = {
        let _restore = Restore(CURRENT.replace(ptr::from_ref(&call).cast()));
        match state.get() {
            Ok(found) => {
                call.state.set(found);
                function()
            }
            Err(code) => code,
        }
    };
    if let Some(payload) = call.unwinds.take() {
        panic::resume_unwind(payload);
    }
    if code == 0 { Ok(call.result.take().unwrap_or_default()) } else { Err(code) }
}

/// Fails as a worker fails: past the panic hook, for whoever wrote the function knows nothing of panics.
pub(super) fn fail(code: i32) -> ! {
    panic::resume_unwind(Box::new(format!("{RETURNED}{code}")))
}

/// Does something with the call that this thread is in.
fn current<T>(work: impl FnOnce(&Call<'_>) -> Outcome<T>) -> Outcome<T> {
    // SAFETY: null, or set by `call`, whose `Call` lives until it has set another one.
    match unsafe { CURRENT.get().as_ref() } {
        Some(call) => work(call),
        None => Err(not_in_pool(
            "this is for functions that a pool calls, while it calls them, in the same thread",
        )),
    }
}

#[cold]
fn not_in_pool(why: &str) -> Failure {
    Failure::new(SHM_STATUS_NOT_IN_POOL, why)
}

impl Call<'_> {
    fn worker(&self) -> Outcome<&Worker<'_>> {
        self.worker
            .ok_or_else(|| not_in_pool("a call in the background is alone: it has no rank, and no sections"))
    }
}

/// Says which worker calls the function, and how many there are.
///
/// Parameters: `rank`: receives the number of the worker, from 0 on. `workers`: receives how many there are, 0 if there are none and the master
/// does the work itself; or NULL.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_IN_POOL`, `SHM_STATUS_INVALID_ARGUMENT`.
/// Thread use: the thread in which a pool calls a function.
/// Death: of a worker gives its rank to its successor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_worker_rank(rank: *mut u64, workers: *mut u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let (rank, workers) = unsafe { (Output::of(rank, "rank")?, Output::wanted(workers)) };
        current(|call| {
            let worker = call.worker()?;
            rank.put(worker.rank() as u64);
            workers.put(worker.workers() as u64);
            Ok(())
        })
    })
}

/// Finds what this worker keeps from item to item, as the pool's `make_state` has made it.
///
/// Parameters: `state`: receives its address.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT` if the pool was made without `make_state`, and in a call in the background,
/// `SHM_STATUS_NOT_IN_POOL`.
/// Thread use: the thread in which a pool calls a function. No other worker sees the state.
/// Death: of a worker takes its state with it; its successor makes a fresh one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_worker_state(state: *mut *mut c_void) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let state = unsafe { Output::of(state, "state") }?;
        current(|call| {
            let found = call.state.get().ok_or_else(|| {
                Failure::argument(
                    "there is no state here: make the pool with `options.make_state`, and run a map on it",
                )
            })?;
            state.put(found);
            Ok(())
        })
    })
}

/// Calls a function while no other worker of the run is in a critical section.
///
/// Parameters: `section`, `user`: the function and what it is called with.
/// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if it returned something else than 0; `SHM_STATUS_DEADLOCK` from within a section,
/// `SHM_STATUS_NOT_IN_POOL`, `SHM_STATUS_INVALID_ARGUMENT`. `SHM_STATUS_ENDED`: the run is over; return from the function, whatever with.
/// Thread use: the thread in which a pool calls a function. The section does not leave by longjmp(3) or an exception.
/// Death: of a worker in the section opens it, and is the failure of its item.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_worker_critical(section: shm_action_t, user: *mut c_void) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let section = unsafe { callback::action(section, user) }?;
        current(|call| enter(call, |worker| worker.critical(|| section.run())))
    })
}

/// Calls a function in the order of the items: when those of all earlier items are over, or their items are done without one.
///
/// Parameters: `section`, `user`: the function and what it is called with.
/// Returns: as `shm_worker_critical`; `SHM_STATUS_INVALID_ARGUMENT` also if the pool was made without `SHM_POOL_ORDERED`,
/// and if the item has had its turn.
/// Thread use: the thread in which a pool calls a function, once for an item. The section does not leave by longjmp(3) or an exception.
/// Death: of a worker in the section is the failure of its item, and the next one's turn comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_worker_ordered(section: shm_action_t, user: *mut c_void) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointers are NULL or as the header says.
        let section = unsafe { callback::action(section, user) }?;
        current(|call| {
            if !call.what.is_ordered {
                return Err(Failure::argument(
                    "cannot enter an ordered section: make the pool with SHM_POOL_ORDERED",
                ));
            }
            if call.had_turn.get() {
                return Err(Failure::argument(
                    "cannot enter an ordered section: this item has had its turn; do in one section what has to be done in order",
                ));
            }
            enter(call, |worker| {
                call.had_turn.set(true);
                worker.ordered(|| section.run())
            })
        })
    })
}

fn enter(call: &Call<'_>, section: impl FnOnce(&Worker) -> i32) -> Outcome {
    let worker = call.worker()?;
    if call.in_section.replace(true) {
        return Err(Failure::new(
            SHM_STATUS_DEADLOCK,
            "cannot enter a section: this worker is in one already, which it has to leave first",
        ));
    }
    let ended = panic::catch_unwind(AssertUnwindSafe(|| section(worker)));
    call.in_section.set(false);
    match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::new(
            SHM_STATUS_CALLBACK_FAILED,
            format_args!("the section returned {code}, which is a failure; 0 is success"),
        )),
        Err(payload) => {
            // C's frames lie between here and the pool: it goes on when they are gone.
            *call.unwinds.borrow_mut() = Some(payload);
            Err(Failure::new(
                SHM_STATUS_ENDED,
                "the run is over: return from the function that the pool called",
            ))
        }
    }
}

/// Makes the result of this item longer.
///
/// Parameters: `bytes`, `length`: what is added at its end; NULL only if that is nothing.
/// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_IN_POOL` outside of a function that `shm_pool_map_bytes`, a map of kept workers or `shm_pool_background` calls, `SHM_STATUS_INVALID_ARGUMENT`,
/// `SHM_STATUS_OUT_OF_MEMORY`.
/// Thread use: the thread in which a pool calls a function.
/// Death: what was added goes with the worker; a second try begins anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_result_append(bytes: *const c_void, length: u64) -> shm_status_t {
    guard(|| {
        // SAFETY: the pointer is NULL or as the header says.
        let bytes = unsafe { memory::bytes(bytes, length, "bytes") }?;
        current(|call| {
            let mut result = call.result.borrow_mut();
            let Some(result) = &mut *result else {
                return Err(Failure::new(
                    SHM_STATUS_NOT_IN_POOL,
                    "only functions that shm_pool_map_bytes, maps of kept workers and shm_pool_background call have a result of any length",
                ));
            };
            result.try_reserve(bytes.len()).map_err(|error| {
                Failure::new(
                    SHM_STATUS_OUT_OF_MEMORY,
                    format_args!("cannot add {} bytes to a result: {error}", bytes.len()),
                )
            })?;
            result.extend_from_slice(bytes);
            Ok(())
        })
    })
}
