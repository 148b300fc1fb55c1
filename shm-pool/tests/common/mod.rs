//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::time::Duration;

use shm_pool::MapReduce;
use shm_testkit::Watchdog;

/// A pool for tests, which run in threads.
pub(crate) fn pool(workers: usize) -> MapReduce {
    MapReduce::new().workers(workers).threads_ok()
}

pub(crate) fn watchdog() -> Watchdog {
    Watchdog::new(Duration::from_secs(120))
}
