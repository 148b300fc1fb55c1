//! A point before every store to shared words where the tests of this module may stop the clock.
//!
//! Outside of these tests `step` is empty. Within them a thread can ask for a visit before its n-th store: the visitor
//! may panic, which is the death of that "process" at this instruction (nothing above cleans up in a destructor), or
//! run another process's whole operation, which is a stall at this instruction.

#[cfg(not(test))]
#[inline(always)]
pub(super) fn step() {}

#[cfg(test)]
pub(super) use visit::{count, step, visit_at};

#[cfg(test)]
mod visit {
    use std::cell::{Cell, RefCell};

    thread_local! {
        static REMAINING: Cell<Option<u64>> = const { Cell::new(None) };
        static TAKEN: Cell<u64> = const { Cell::new(0) };
        static VISITOR: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    pub(in super::super) fn step() {
        TAKEN.set(TAKEN.get() + 1);
        match REMAINING.get() {
            Some(0) => {
                REMAINING.set(None);
                let visitor = VISITOR.take();
                visitor.expect("a visit was asked for")();
            }
            Some(n) => REMAINING.set(Some(n - 1)),
            None => {}
        }
    }

    /// Runs `operation` and calls `visitor` before its store number `at` (from 0); says whether it came so far.
    pub(in super::super) fn visit_at<R>(
        at: u64,
        visitor: impl FnOnce() + 'static,
        operation: impl FnOnce() -> R,
    ) -> (R, bool) {
        VISITOR.set(Some(Box::new(visitor)));
        REMAINING.set(Some(at));
        let result = operation();
        let visited = REMAINING.take().is_none();
        VISITOR.take();
        (result, visited)
    }

    /// Number of stores that `operation` makes.
    pub(in super::super) fn count<R>(operation: impl FnOnce() -> R) -> u64 {
        let before = TAKEN.get();
        operation();
        TAKEN.get() - before
    }
}
