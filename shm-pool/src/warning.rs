//! What is said before a fork in a process with several threads: that there is a danger, and the ways out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fork::thread_count;

/// What happens before the fork in a master with several threads.
#[derive(Clone)]
pub(crate) enum Warning {
    /// One line on standard error, once in the life of the process.
    Once,
    Never,
    Call(Arc<dyn Fn(&str) + Send + Sync>),
}

impl Warning {
    /// To be called before a fork.
    pub(crate) fn before_fork(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if matches!(self, Warning::Never) || WARNED.load(Ordering::Relaxed) && matches!(self, Warning::Once) {
            return;
        }
        let Some(threads) = thread_count().filter(|threads| *threads > 1) else { return };
        let text = format!(
            "shm-pool: this process has {threads} threads, and forked workers have only one; a lock that another thread holds now stays \
             locked in them. Fork before the threads start (MapReduce::keep has workers ready from then on), or say \
             MapReduce::threads_ok() if the other threads hold no lock that the workers need"
        );
        match self {
            Warning::Call(warning) => warning(&text),
            _ if WARNED.swap(true, Ordering::Relaxed) => {}
            _ => eprintln!("{text}"),
        }
    }
}
