//! A process that forks before it has used the library at all.
//!
//! The only test of its program, so that nothing else has used the library before.

use shm_testkit::{Status, fork_child};

#[test]
fn a_fork_before_the_first_use_is_counted() {
    // Registered at the first use, the handlers would miss this fork; and a child forked by one thread during the first use by another would
    // wait for ever for a registration that nobody completes.
    let mut child = fork_child(|| i32::try_from(shm_core::fork_count()).unwrap_or(-1));
    assert_eq!(child.wait(), Status::Exited(1));
    assert_eq!(shm_core::fork_count(), 0);
}
