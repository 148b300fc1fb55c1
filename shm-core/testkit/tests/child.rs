//! Forked children: how they end, what they say, and that none stays behind.

mod common;

use common::Words;
use shm_testkit::{Child, Status, Watchdog, fork_child, in_threads};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

fn watchdog() -> Watchdog {
    Watchdog::new(Duration::from_secs(120))
}

/// A child that runs until somebody kills it.
fn endless() -> Child {
    fork_child(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    })
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn smoke() {
    let _watchdog = watchdog();
    let words = Words::anonymous();
    let mut child = fork_child(|| {
        words.set(0, u64::from(std::process::id()));
        7
    });
    assert_eq!(child.wait(), Status::Exited(7));
    assert_eq!(child.wait(), Status::Exited(7), "the answer is kept");
    assert_eq!(words.get(0), child.pid() as u64);
    assert_eq!(child.panic_message(), None);
    child.kill(9);
}

#[test]
fn a_killed_child_says_by_which_signal() {
    let _watchdog = watchdog();
    let mut child = endless();
    assert_eq!(child.try_wait(), None);
    child.kill(libc::SIGTERM);
    assert_eq!(child.wait(), Status::Killed(libc::SIGTERM));
    assert_eq!(child.try_wait(), Some(Status::Killed(libc::SIGTERM)));
}

#[test]
fn a_panic_is_code_101_with_message_and_place() {
    let _watchdog = watchdog();
    let mut child = fork_child(|| panic!("seven {}", "dwarfs"));
    assert_eq!(child.wait(), Status::Exited(101));
    let message = child.panic_message().unwrap();
    assert!(message.contains("seven dwarfs") && message.contains("tests/child.rs"), "{message}");
}

#[test]
fn an_endless_panic_message_is_cut() {
    let _watchdog = watchdog();
    let mut child = fork_child(|| panic!("{}", "é".repeat(100_000)));
    assert_eq!(child.wait(), Status::Exited(101));
    let message = child.panic_message().unwrap();
    assert!((2000..=4096).contains(&message.chars().count()), "{}", message.len());
}

#[test]
fn expect_success_repeats_the_panic() {
    let _watchdog = watchdog();
    let failing = || fork_child(|| panic!("the reason")).expect_success();
    let payload = panic::catch_unwind(failing).unwrap_err();
    let message = payload.downcast::<String>().unwrap();
    assert!(message.contains("exited with code 101") && message.contains("the reason"), "{message}");
}

#[test]
fn a_dropped_child_is_killed_and_reaped() {
    let _watchdog = watchdog();
    let child = endless();
    let pid = child.pid();
    assert!(exists(pid));
    drop(child);
    assert!(!exists(pid));
}

#[test]
fn a_panicking_test_leaves_no_child() {
    let _watchdog = watchdog();
    let mut pid = 0;
    let test = AssertUnwindSafe(|| {
        let child = endless();
        pid = child.pid();
        panic!("the test failed");
    });
    assert!(panic::catch_unwind(test).is_err());
    assert!(pid > 0 && !exists(pid));
}

#[test]
fn a_child_may_drop_what_it_inherited() {
    let _watchdog = watchdog();
    let mut sibling = Some(endless());
    // The watchdog inherited here has no thread, and the sibling is not this process's to kill.
    let inherited = watchdog();
    fork_child(|| {
        drop(sibling.take());
        drop(inherited);
        0
    })
    .expect_success();
    assert_eq!(sibling.as_mut().unwrap().try_wait(), None);
}

#[test]
fn children_have_children() {
    let _watchdog = watchdog();
    fork_child(|| match fork_child(|| panic!("the grandchild")).wait() {
        Status::Exited(101) => 0,
        _ => 1,
    })
    .expect_success();
}

/// The parent's threads come and go all the time: children are forked while the standard library's lock is held.
#[test]
fn children_of_a_busy_parent_can_start_threads() {
    let _watchdog = watchdog();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !enough.load(Relaxed) {
                    thread::spawn(|| ()).join().unwrap();
                }
            });
        }
        for _ in 0..1000 {
            fork_child(|| {
                let sum = AtomicUsize::new(0);
                in_threads(3, |index| _ = sum.fetch_add(index + 1, Relaxed));
                i32::from(sum.into_inner() != 6)
            })
            .expect_success();
        }
        enough.store(true, Relaxed);
    });
}

#[test]
fn a_panic_in_a_thread_is_the_childs() {
    let _watchdog = watchdog();
    let mut child = fork_child(|| {
        in_threads(2, |index| assert!(index == 0, "thread {index} is unhappy"));
        0
    });
    assert_eq!(child.wait(), Status::Exited(101));
    assert!(child.panic_message().unwrap().contains("thread 1 is unhappy"));
}
