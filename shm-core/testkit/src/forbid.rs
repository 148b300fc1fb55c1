//! Forbids system calls: what an older kernel or a sandbox does, and a death at a place of one's choice. See seccomp(2).
#![allow(unsafe_code, reason = "prctl and the filter are only reachable through libc")]

use std::ffi::{c_int, c_long};

/// What becomes of a forbidden system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fails with this error number.
    Fails(c_int),
    /// The kernel kills the process, as with a signal that cannot be caught.
    Kills,
}

/// Forbids the system call of this number to the calling thread and to what it starts from now on, for ever. Call it in a child.
///
/// # Panics
/// When the kernel takes no filters.
///
/// # Examples
/// ```
/// use shm_testkit::{Verdict, forbid, fork_child};
///
/// let child = fork_child(|| {
///     forbid(libc::SYS_getcwd, Verdict::Fails(libc::ENOSYS));
///     i32::from(std::env::current_dir().is_ok())
/// });
/// child.expect_success();
/// ```
pub fn forbid(call: c_long, verdict: Verdict) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let verdict = match verdict {
        Verdict::Fails(errno) => libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
        Verdict::Kills => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let mut filter = [
        // The number of the call is the first field of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, verdict),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live until the calls have copied them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "no seccomp filter: {}", std::io::Error::last_os_error());
}
