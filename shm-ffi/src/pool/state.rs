//! What each worker keeps from item to item: made by the caller's function in the worker, found by `shm_worker_state`, ended by another function.

#![allow(unsafe_code, reason = "calls functions that C gave")]

use super::options::User;
use std::ffi::c_void;
use std::ptr;

/// How the workers of a pool come by their states.
#[derive(Clone, Copy)]
pub(super) struct States {
    pub(super) make: unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> i32,
    pub(super) drop: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    pub(super) user: User,
}

/// The state of one worker, which is made when it is first asked for. It stays in the process that has made it.
pub(super) struct State {
    states: Option<States>,
    made: Option<*mut c_void>,
}

// SAFETY: what is sent between threads is a state that is not made yet, or that of a master without workers: an address that goes back to the caller's
// functions, which whoever calls the library from several threads has said may be called there.
unsafe impl Send for State {}

impl State {
    pub(super) fn new(states: Option<States>) -> State {
        State { states, made: None }
    }

    /// The state; none if the pool has none.
    ///
    /// # Errors
    /// What the function that makes it returned.
    pub(super) fn get(&mut self) -> Result<Option<*mut c_void>, i32> {
        let (Some(states), None) = (self.states, self.made) else { return Ok(self.made) };
        let mut state = ptr::null_mut();
        // SAFETY: the caller's function with its argument, and a place for an address.
        match unsafe { (states.make)(states.user.get(), &raw mut state) } {
            0 => {
                self.made = Some(state);
                Ok(self.made)
            }
            code => Err(code),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let (Some(States { drop: Some(end), user, .. }), Some(state)) = (self.states, self.made) {
            // SAFETY: the caller's function with its argument, and what the other one has made, once.
            unsafe { end(user.get(), state) }
        }
    }
}
