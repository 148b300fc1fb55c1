//! Tests in processes of their own: a rerun test, and the watchdog, which ends its process.

use shm_testkit::{Cleanup, Watchdog, fork_child, leftovers, rerun, rerun_command, unique_name};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

const VARIABLE: &str = "SHM_TESTKIT_RERUN";

#[test]
#[ignore = "run by smoke in a process of its own"]
fn says_what_it_was_told() {
    println!("told {}", std::env::var(VARIABLE).unwrap());
}

#[test]
fn smoke() {
    let output = rerun("says_what_it_was_told", &[(VARIABLE, "a secret")]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("told a secret"));
    let failed = rerun("says_what_it_was_told", &[(VARIABLE, "")]);
    assert!(failed.status.success(), "an empty variable is set all the same");
}

#[test]
fn a_failing_test_has_a_failing_status() {
    let mut command = rerun_command("says_what_it_was_told", &[]);
    let status = command.env_remove(VARIABLE).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(101));
}

#[test]
#[should_panic(expected = "no test called \"no_such_test\"")]
fn an_unknown_test_is_no_success() {
    let _output = rerun("no_such_test", &[]);
}

#[test]
fn a_watchdog_that_is_dropped_in_time_does_nothing() {
    drop(Watchdog::new(Duration::from_millis(20)));
    thread::sleep(Duration::from_millis(60));
}

#[test]
#[ignore = "hangs; run by a_watchdog_ends_a_hanging_test in a process of its own"]
fn hangs() {
    let name = unique_name("hangs");
    let _cleanup = Cleanup::of([&name]);
    fs::write(format!("/dev/shm/{name}"), "bytes").unwrap();
    let child = fork_child(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    });
    println!("child={}; name={name};", child.pid());
    let _watchdog = Watchdog::new(Duration::from_millis(200));
    loop {
        thread::park();
    }
}

#[test]
fn a_watchdog_ends_a_hanging_test() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let output = rerun("hangs", &[]);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("watchdog: ") && errors.contains("has not ended within 200ms"), "{errors}");

    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| text.split_once(key).unwrap().1.split_once(';').unwrap().0.to_owned();
    assert!(leftovers(&value("name=")).is_empty());
    // The child was sent SIGKILL before the abort, but nobody says when init has reaped it.
    let stat = format!("/proc/{}/stat", value("child="));
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X ")) {
        thread::yield_now();
    }
}
