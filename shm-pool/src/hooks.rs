//! Functions of the program around each fork: before it, and after it in parent and child. For runtimes that have to be told, such as Python's.
//!
//! When they are called is in `fork.rs` and, for the child, in `worker.rs`, where a panic becomes the worker's failure.

use std::sync::Arc;

type Hook = Box<dyn Fn() + Send + Sync>;

/// What a pool calls around each of its forks; nothing, unless it was told.
#[derive(Clone)]
pub(crate) struct Hooks(Option<Arc<Three>>);

struct Three {
    before: Hook,
    parent: Hook,
    child: Hook,
}

impl Hooks {
    pub(crate) const NONE: Hooks = Hooks(None);

    pub(crate) fn new(
        before: impl Fn() + Send + Sync + 'static,
        parent: impl Fn() + Send + Sync + 'static,
        child: impl Fn() + Send + Sync + 'static,
    ) -> Hooks {
        let three = Three { before: Box::new(before), parent: Box::new(parent), child: Box::new(child) };
        Hooks(Some(Arc::new(three)))
    }

    /// To be called first of all, in the thread that forks.
    pub(crate) fn before(&self) {
        if let Some(three) = &self.0 {
            (three.before)();
        }
    }

    /// To be called by the thread that has forked, also if the system has refused.
    pub(crate) fn parent(&self) {
        if let Some(three) = &self.0 {
            (three.parent)();
        }
    }

    /// To be called by the child, before anything of the program's.
    pub(crate) fn child(&self) {
        if let Some(three) = &self.0 {
            (three.child)();
        }
    }
}
