//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(unsafe_code, reason = "waitpid, kill")]

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

/// Runs the body of `test` in a process of its own, where it can count children and descriptors.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    alone_with(test, &[], body);
}

/// As [`alone`], with more variables in that process's environment.
pub(crate) fn alone_with(test: &str, env: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os("SHM_POOL_TEST_ALONE").is_some() {
        return body();
    }
    let output = shm_testkit::rerun(test, &[env, &[("SHM_POOL_TEST_ALONE", "1")]].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Limits the processes and threads of this process's user to a few, and returns that number. The limit is none for root, whose process becomes
/// that of user `id` for the rest of its life.
pub(crate) fn limit_processes(id: u32) -> u64 {
    // SAFETY: takes numbers; this process has one thread that minds, and nothing else to do.
    let allowed = unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setresuid(id, id, id), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0); // or /proc/self is not ours
            10
        } else {
            0 // others of this user's count
        }
    };
    limit(libc::RLIMIT_NPROC, allowed);
    allowed
}

/// Asserts that this process has no child, not even a zombie.
pub(crate) fn no_children() {
    // SAFETY: a null status is allowed.
    let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    let error = std::io::Error::last_os_error();
    assert!(waited == -1 && error.raw_os_error() == Some(libc::ECHILD), "a child is left: {waited}");
}

/// What a process has of the system: to be the same again after a test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Belongings {
    /// What each open descriptor leads to.
    descriptors: Vec<String>,
    /// Mappings of shared memory.
    segments: Vec<String>,
    /// Names in `/dev/shm` that are this test's.
    names: Vec<String>,
}

impl Belongings {
    /// Looks at them.
    pub(crate) fn now() -> Belongings {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let mut descriptors: Vec<String> = links
            .filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)))
            // The one that the list itself was read through is closed by now, or is this one.
            .filter(|(_, target)| !target.starts_with("/proc"))
            .map(|(number, target)| format!("{} -> {}", number.display(), target.display()))
            .collect();
        descriptors.sort();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let segments = maps.lines().filter(|line| line.contains("memfd:") || line.contains("/dev/shm"));
        let names = shm_testkit::leftovers(&format!("shmtest-{}-", std::process::id()));
        Belongings { descriptors, segments: segments.map(str::to_owned).collect(), names }
    }

    /// Asserts that no process, descriptor, segment or name is there that was not before.
    pub(crate) fn assert_unchanged(&self) {
        no_children();
        assert_eq!(*self, Belongings::now());
    }

    /// As [`assert_unchanged`](Self::assert_unchanged), where workers that had workers may have died: theirs end at the kernel's hand, and somewhat later. They
    /// become this process's children, if it has said [`adopt_orphans`].
    pub(crate) fn assert_unchanged_without_orphans(&self) {
        // SAFETY: a null status is allowed. It waits for all that there are; the watchdog sees to it that this is not for ever.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
        self.assert_unchanged();
    }
}

/// Makes this process the parent of what its descendants leave behind.
pub(crate) fn adopt_orphans() {
    // SAFETY: takes a number, touches no memory.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }, 0);
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Whether a process lives; an orphan that has ended but was not collected by init is dead.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Sends a signal to a process of this test.
pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: no memory is involved; the pids are those of our workers, and our own.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Ends this process by a signal.
pub(crate) fn kill_self(signal: i32) -> ! {
    kill(std::process::id(), signal);
    loop {
        std::thread::park();
    }
}

/// Whether tests are to take long.
pub(crate) fn is_long() -> bool {
    std::env::var_os("SHM_TEST_LONG").is_some_and(|value| value == "1")
}

/// Sets a limit of this process, and of those that it forks.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
    // SAFETY: the pointer is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0, "{}", std::io::Error::last_os_error());
}

/// Numbers that look random and are the same each time.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The call that opens files: on x86-64 the old one.
#[cfg(target_arch = "x86_64")]
const OPEN: libc::c_long = libc::SYS_open;
#[cfg(not(target_arch = "x86_64"))]
const OPEN: libc::c_long = libc::SYS_openat;

/// The system calls that a worker makes between its first item and its end.
pub(crate) const CALLS: [libc::c_long; 12] = [
    OPEN,
    libc::SYS_getpid,
    libc::SYS_fcntl,
    libc::SYS_fallocate,
    libc::SYS_close,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_write,
    libc::SYS_futex,
    libc::SYS_exit_group,
];

/// Has the kernel kill this process at its next system call of this number.
pub(crate) fn die_at(call: libc::c_long) {
    shm_testkit::forbid(call, shm_testkit::Verdict::Kills);
}
