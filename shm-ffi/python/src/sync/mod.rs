//! The primitives of `shm-sync` as native classes. Python derives the public ones from them (`shm/_sync.py`), which make and find the memory.
//!
//! | file | idea |
//! |---|---|
//! | `plan.rs` | room for primitives in new segments |
//! | `wait.rs` | waiting: other threads run meanwhile, and Ctrl-C ends it |
//! | `fast.rs` | the short way into what is free |
//! | `kept.rs` | guards of locks that belong to a thread, between `acquire` and `release` |
//! | `lock.rs` | the lock that belongs to a process |
//! | `owned.rs` | what belongs to a thread: mutex, recursive lock, reader-writer lock, turns |
//! | `condition.rs` | waiting for a change, with a lock |
//! | `counts.rs` | semaphores and latches |
//! | `signals.rs` | events, barriers and what is done once |
//! | `channel.rs` | messages |

pub(crate) mod channel;
pub(crate) mod condition;
pub(crate) mod counts;
mod fast;
mod kept;
pub(crate) mod lock;
pub(crate) mod owned;
pub(crate) mod plan;
pub(crate) mod signals;
mod wait;

use pyo3::prelude::*;
use shm_core::Segment;

use crate::error::Result;
use crate::memory::Memory;
use crate::ranges::{Held, Home};

/// Where a primitive is: its segment, and the entry there.
pub(crate) struct Site {
    segment: Segment,
    entry: String,
}

impl Site {
    fn new(memory: &Bound<'_, Memory>, entry: String) -> Result<Site> {
        let segment = memory.get().segment("find a primitive in")?.clone();
        segment.entry(&entry)?;
        Ok(Site { segment, entry })
    }

    fn memory(&self) -> Memory {
        Memory::of_all(Held::enter(Home::Segment(self.segment.clone())))
    }

    /// What tells the primitive from all others in this process.
    fn address(&self) -> Result<usize> {
        Ok(self.segment.as_ptr().addr() + self.segment.entry(&self.entry)?.offset())
    }

    fn label(&self) -> String {
        match self.entry.as_str() {
            "" => self.segment.label().to_string(),
            entry => format!("{entry:?} in {}", self.segment.label()),
        }
    }
}

/// Defines a native class over a primitive: the constructor from memory and entry, what is common to all, and its own methods.
macro_rules! primitive {
    ($(#[$about:meta])* $class:ident($inner:ty), $open:expr, { $($methods:tt)* }) => {
        $(#[$about])*
        #[pyclass(module = "shm._shm", frozen, subclass)]
        pub(crate) struct $class {
            inner: $inner,
            site: $crate::sync::Site,
        }

        #[pymethods]
        impl $class {
            #[new]
            fn new(memory: &Bound<'_, $crate::memory::Memory>, entry: String) -> $crate::error::Result<Self> {
                let site = $crate::sync::Site::new(memory, entry)?;
                #[allow(clippy::redundant_closure_call, reason = "each class says how it is opened")]
                let inner = ($open)(&site)?;
                Ok(Self { inner, site })
            }

            /// The memory that it lies in.
            #[getter]
            fn memory(&self) -> $crate::memory::Memory {
                self.site.memory()
            }

            /// Its entry in the segment's table of contents; empty if it is alone there.
            #[getter]
            fn entry(&self) -> &str {
                &self.site.entry
            }

            $($methods)*
        }
    };
}
pub(crate) use primitive;

/// Enters the classes into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<lock::Lock>()?;
    module.add_class::<owned::Mutex>()?;
    module.add_class::<owned::RLock>()?;
    module.add_class::<owned::RwLock>()?;
    module.add_class::<owned::Sequencer>()?;
    module.add_class::<condition::Condition>()?;
    module.add_class::<counts::Semaphore>()?;
    module.add_class::<counts::BoundedSemaphore>()?;
    module.add_class::<counts::Latch>()?;
    module.add_class::<signals::Event>()?;
    module.add_class::<signals::Barrier>()?;
    module.add_class::<signals::Once>()?;
    module.add_class::<channel::Channel>()?;
    fast::add_to::<lock::Lock>(module)?;
    fast::add_to::<owned::Mutex>(module)?;
    fast::add_to::<owned::RLock>(module)?;
    module.add_function(wrap_pyfunction!(plan::create_primitives, module)?)
}
