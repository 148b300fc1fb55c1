//! Where ptrace is refused a kill test says so and reports it; it neither passes silently nor fails.
#![allow(unsafe_code, reason = "installs a seccomp filter")]

use shm_testkit::{Coverage, KillTest, kill_zone, rerun};
use std::mem::offset_of;

/// Makes ptrace(2) fail with EPERM in this thread and its children, as sandboxes do.
fn forbid_ptrace() {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(load, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        step(equal, 0, 1, libc::SYS_ptrace as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the first call takes numbers only; the second reads `program` and the filter it points to, and both
    // live until it returns.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0),
        ]
    };
    assert_eq!(results, [0, 0], "{}", std::io::Error::last_os_error());
}

#[test]
#[ignore = "run by a_refusal_is_visible in a process of its own"]
fn without_permission() {
    forbid_ptrace();
    let report = KillTest::new("refused")
        .prepare(|| panic!("nothing may be prepared"))
        .victim(|&mut ()| kill_zone(std::thread::yield_now))
        .check(|(), _| {})
        .run(Coverage::All);
    let reason = report.skipped_reason.expect("ptrace is forbidden");
    assert!(reason.contains("Operation not permitted") && reason.contains("ptrace_scope"), "{reason}");
    assert_eq!((report.points, report.kills), (0, 0));
}

#[test]
fn a_refusal_is_visible() {
    let output = rerun("without_permission", &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}{}", String::from_utf8_lossy(&output.stdout));
    let lines = errors.lines().filter(|line| line.starts_with("kill test refused SKIPPED: ")).count();
    assert_eq!(lines, 1, "{errors}");
}
