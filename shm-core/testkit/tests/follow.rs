//! The kill test of a forked process: the chosen one is killed at each point of its life, the others and their parent are left alone.
//!
//! Where tracing is refused the tests end early, after the harness has said so.
#![allow(unsafe_code, reason = "a forked process makes raw system calls")]

mod common;

use common::Words;
use shm_testkit::{Coverage, Event, KillTest, Status, fork_child, kill_zone_in_fork};
use std::panic::{self, AssertUnwindSafe};

/// Makes system calls that change nothing, and counts them.
fn calls(words: &Words, from: usize) -> i32 {
    for word in from..from + 3 {
        // SAFETY: takes no arguments, touches no memory.
        unsafe { libc::syscall(libc::SYS_getuid) };
        words.set(word, 1);
    }
    0
}

#[test]
fn the_chosen_one_is_killed_and_the_others_are_not() {
    for chosen in [1, 2] {
        let mut seen = Vec::new();
        let report = KillTest::new("follow")
            .prepare(Words::anonymous)
            .victim(|words| {
                kill_zone_in_fork(chosen);
                let mut both = [fork_child(|| calls(words, 0)), fork_child(|| calls(words, 3))];
                let ends = both.each_mut().map(|child| child.wait());
                assert_eq!(ends[2 - chosen], Status::Exited(0));
                words.set(6, u64::from(ends[chosen - 1] == Status::Killed(9)));
                words.set(7, 1);
            })
            .check(|words, point| {
                let done = |from| (from..from + 3).filter(|word| words.get(*word) != 0).count();
                let (mine, others) = if chosen == 1 { (0, 3) } else { (3, 0) };
                assert_eq!((done(others), words.get(6), words.get(7)), (3, 1, 1), "{point}");
                if let Event::AfterCall { number, .. } = point.event
                    && number == libc::SYS_getuid as u64
                {
                    seen.push(done(mine));
                }
            })
            .run(Coverage::All);
        if report.skipped_reason.is_some() {
            return;
        }
        assert_eq!(report.kills, report.points, "{report}");
        assert_eq!(seen, [0, 1, 2]);
    }
}

#[test]
fn a_parent_that_fails_is_reported() {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        KillTest::new("bad parent")
            .prepare(|| ())
            .victim(|()| {
                kill_zone_in_fork(1);
                assert_eq!(fork_child(|| 0).wait(), Status::Exited(0), "did not expect that");
            })
            .check(|(), _| ())
            .run(Coverage::Sample(2))
    }));
    match outcome {
        Ok(report) => assert!(report.skipped_reason.is_some(), "{report}"),
        Err(payload) => {
            let text = payload.downcast::<String>().unwrap();
            assert!(
                text.contains("the victim's parent exited") && text.contains("did not expect that"),
                "{text}"
            );
        }
    }
}
