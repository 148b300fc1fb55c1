//! [`Work`]: what workers do with an item, and what of it ends with them.
//!
//! Most maps have nothing but a function. [`Stateful`] is a function with a state that each worker makes for itself, [`Around`] is for what the
//! executor does before and after. Nothing here forks or waits.

use std::cell::RefCell;

use crate::worker::Worker;

/// What workers call for each item; for the fronts `A` is the item, for the executor its number.
pub(crate) trait Work<A, R> {
    fn call(&self, worker: &Worker, argument: A) -> R;

    /// Called in a worker when it will not call anything more.
    fn end(&self) {}
}

impl<A, R, F: Fn(&Worker, A) -> R> Work<A, R> for F {
    #[inline]
    fn call(&self, worker: &Worker, argument: A) -> R {
        self(worker, argument)
    }
}

/// A function with a state, which is made in the process that first calls it, and dropped there.
pub(crate) struct Stateful<S, I, F> {
    init: I,
    state: RefCell<Option<S>>,
    function: F,
}

impl<S, I, F> Stateful<S, I, F> {
    pub(crate) fn new(init: I, function: F) -> Stateful<S, I, F> {
        Stateful { init, state: RefCell::new(None), function }
    }
}

impl<A, R, S, I, F> Work<A, R> for Stateful<S, I, F>
where
    I: Fn(&Worker) -> S,
    F: Fn(&Worker, &mut S, A) -> R,
{
    fn call(&self, worker: &Worker, argument: A) -> R {
        let mut state = self.state.borrow_mut();
        (self.function)(worker, state.get_or_insert_with(|| (self.init)(worker)), argument)
    }

    fn end(&self) {
        drop(self.state.take());
    }
}

/// Work inside of other work: how it is called, and how it ends.
pub(crate) struct Around<C, E> {
    pub(crate) call: C,
    pub(crate) end: E,
}

impl<A, R, C: Fn(&Worker, A) -> R, E: Fn()> Work<A, R> for Around<C, E> {
    #[inline]
    fn call(&self, worker: &Worker, argument: A) -> R {
        (self.call)(worker, argument)
    }

    fn end(&self) {
        (self.end)();
    }
}
