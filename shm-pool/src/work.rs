//! [`Work`]: what workers do with an item, and what of it ends with them.
//!
//! Most maps have nothing but a function. [`Stateful`] is a function with a state that each worker makes for itself, [`Around`] is for what the
//! executor does before and after, [`Batched`] for functions that go through a batch of items themselves. Nothing here forks or waits.

use std::cell::RefCell;

use crate::batch::Batch;
use crate::worker::Worker;

/// What workers call for each item; for the fronts `A` is the item, for the executor its number.
pub(crate) trait Work<A, R> {
    /// Whether [`batch`](Self::batch) is called with batches, instead of [`call`](Self::call) with items.
    #[inline]
    fn is_batched(&self) -> bool {
        false
    }

    fn call(&self, worker: &Worker, argument: A) -> R;

    /// Works on a batch of items.
    fn batch(&self, _worker: &Worker, _batch: &mut Batch<R>) {
        unreachable!("it works on items")
    }

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

/// A function of batches, with a state.
pub(crate) struct Batched<S, I, F>(Stateful<S, I, F>);

impl<S, I, F> Batched<S, I, F> {
    pub(crate) fn new(init: I, function: F) -> Batched<S, I, F> {
        Batched(Stateful::new(init, function))
    }
}

impl<R, S, I, F> Work<usize, R> for Batched<S, I, F>
where
    I: Fn(&Worker) -> S,
    F: Fn(&Worker, &mut S, &mut Batch<R>),
{
    fn is_batched(&self) -> bool {
        true
    }

    fn call(&self, _worker: &Worker, _item: usize) -> R {
        unreachable!("it works on batches")
    }

    fn batch(&self, worker: &Worker, batch: &mut Batch<R>) {
        let Batched(Stateful { init, state, function }) = self;
        let mut state = state.borrow_mut();
        function(worker, state.get_or_insert_with(|| init(worker)), batch);
    }

    fn end(&self) {
        drop(self.0.state.take());
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
