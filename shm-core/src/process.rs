//! Who a process is, and whether it still lives.
//!
//! A process id alone names nobody: ids are used again. An [`Identity`] adds the start time, the boot and the pid namespace, and its
//! liveness is asked of the kernel with a pidfd. Where the kernel cannot know (another namespace or boot, no `/proc`) the answer is
//! "unknown", never a guess. Where there are no pidfds `/proc` is asked alone. See pidfd_open(2) and proc_pid_stat(5).

#![allow(
    unsafe_code,
    reason = "pthread_atfork is only reachable through libc, and only the linker calls a function before main"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

/// A process, told apart from every other one on this machine.
///
/// ```
/// use shm_core::{Identity, Liveness};
/// let me = Identity::current();
/// assert_eq!(me.pid, std::process::id());
/// assert_eq!(me.liveness(), Liveness::Alive);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Process id in its own pid namespace; 0 if unknown.
    pub pid: u32,
    /// Start time in clock ticks since boot; 0 if unknown.
    pub start_time: u64,
    /// Random id of the boot of the machine; zero if unknown.
    pub boot_id: [u8; 16],
    /// Inode number of the pid namespace; 0 if unknown.
    pub pid_namespace: u64,
}

/// What is known about the life of a process.
///
/// ```
/// use shm_core::{Identity, Liveness};
/// let me = Identity::current();
/// let other = Identity { start_time: me.start_time + 1, ..me }; // had the same process id at another time
/// assert_eq!(other.liveness(), Liveness::Dead);
/// let elsewhere = Identity { boot_id: [1; 16], ..me };
/// assert_eq!(elsewhere.liveness(), Liveness::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It runs (or is stopped, but not dead).
    Alive,
    /// It has ended, and perhaps another one has its id now.
    Dead,
    /// It cannot be seen from here: another pid namespace or boot, or no `/proc`.
    Unknown,
}

impl Identity {
    /// Returns the identity of the calling process. It is computed once per process, also after a fork.
    ///
    /// ```
    /// use shm_core::Identity;
    /// let me = Identity::current();
    /// assert_eq!(me.pid, std::process::id());
    /// assert_eq!(me, std::thread::spawn(Identity::current).join().unwrap()); // threads share it
    /// ```
    pub fn current() -> Identity {
        static CACHE: std::sync::Mutex<Option<(u64, Identity)>> = std::sync::Mutex::new(None);
        let forks = fork_count();
        // `try_lock`: a fork may have copied the lock while another thread held it.
        let mut cache = CACHE.try_lock().ok();
        if let Some(Some((at, identity))) = cache.as_deref()
            && *at == forks
        {
            return *identity;
        }
        if cfg!(miri) {
            return Identity::default(); // there is no /proc in there
        }
        let pid = std::process::id();
        let identity = Identity {
            pid,
            // Not by number: a /proc mounted in another pid namespace has somebody else there.
            start_time: stat("self").map_or(0, |stat| stat.start_time),
            boot_id: boot_id().unwrap_or_default(),
            pid_namespace: own_pid_namespace().unwrap_or(0),
        };
        if let Some(cache) = cache.as_deref_mut() {
            *cache = Some((forks, identity));
        }
        identity
    }

    /// Asks the kernel whether the process lives. It never blocks.
    ///
    /// ```
    /// use shm_core::{Anonymous, Liveness, SharedArray};
    /// let array = SharedArray::<u8, _>::zeros(Anonymous, 1)?;
    /// let creator = array.segment().info()?.creator;
    /// assert_eq!(creator.liveness(), Liveness::Alive);
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn liveness(&self) -> Liveness {
        let me = Identity::current();
        if self.pid == 0 || self.start_time == 0 {
            return Liveness::Unknown;
        }
        if self.boot_id != me.boot_id || self.pid_namespace != me.pid_namespace || self.pid_namespace == 0 {
            return Liveness::Unknown;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Liveness::Unknown;
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Liveness::Dead,
            Err(Errno::NOSYS | Errno::PERM) => return self.liveness_without_pidfd(pid),
            Err(_) => return Liveness::Unknown,
        };
        // The pidfd pins the process, so the start time read now belongs to it or to nobody.
        match stat(&self.pid.to_string()) {
            Some(stat) if stat.start_time != self.start_time => Liveness::Dead,
            Some(_) => {
                let mut poll = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                match rustix::event::poll(&mut poll, Some(&now)) {
                    Ok(0) => Liveness::Alive,
                    Ok(_) => Liveness::Dead, // a zombie
                    Err(_) => Liveness::Unknown,
                }
            }
            None => Liveness::Unknown,
        }
    }

    /// On Linux before 5.3, in a sandbox, under an emulator: one line of `/proc` has both, whose it is and whether it lives.
    fn liveness_without_pidfd(&self, pid: Pid) -> Liveness {
        match stat(&self.pid.to_string()) {
            Some(stat) if stat.start_time != self.start_time || stat.has_ended => Liveness::Dead,
            Some(_) => Liveness::Alive,
            // A `/proc` may hide other users' processes, but signals know them.
            None if rustix::process::test_kill_process(pid) == Err(Errno::SRCH) => Liveness::Dead,
            None => Liveness::Unknown,
        }
    }
}

/// What `/proc` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    /// It is a zombie, or on the way there.
    has_ended: bool,
    start_time: u64,
}

/// Asks `/proc` for a process, named by its id or "self".
fn stat(process: &str) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{process}/stat")).ok()?)
}

/// Fields 3 and 22 of a stat line; the second field, the command's name, may contain anything, so counting starts behind its last parenthesis.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let rest = &stat[stat.iter().rposition(|b| *b == b')')? + 1..];
    let mut fields = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Stat { has_ended, start_time: fields.nth(18)?.parse().ok()? })
}

fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    bytes.try_into().ok()
}

fn own_pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Returns how often the calling process was forked from an ancestor since that ancestor loaded this library.
///
/// A value that was stored before differs from the one now exactly in a forked child, so caches of thread and process ids can be
/// told to be stale. It costs a load. Forks that bypass the C library (a bare `clone`) are not seen; nothing in this workspace makes those.
///
/// ```
/// let before = shm_core::fork_count();
/// assert_eq!(shm_core::fork_count(), before);
/// ```
#[inline]
pub fn fork_count() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Run by the loader, before `main` or within `dlopen`: no thread of this process can fork meanwhile and leave a child in which the registration is
/// half done for ever, as it would be in a `Once` at first use. It stands in the module of what it is for, [`FORKS`], and so in its
/// object file: a linker that takes objects out of a static library as they are needed takes both.
#[used]
#[cfg_attr(not(miri), unsafe(link_section = ".init_array"))]
static AT_LOAD: extern "C" fn() = register_fork_handlers;

extern "C" fn register_fork_handlers() {
    // SAFETY: the handlers are functions of this library that live as long as the process; `count_fork` only adds to an atomic,
    // which is safe in the child of a process with several threads, and the others only lock and unlock one lock.
    let failed = unsafe {
        libc::pthread_atfork(
            Some(crate::segment::before_fork),
            Some(crate::segment::after_fork),
            Some(after_fork_in_child),
        )
    };
    // It fails only without memory for three pointers.
    assert_eq!(failed, 0, "pthread_atfork: out of memory");
}

extern "C" fn after_fork_in_child() {
    count_fork();
    crate::segment::after_fork();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_behind_any_command_name() {
        let stat = b"7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20";
        assert_eq!(parse_stat(stat), Some(Stat { has_ended: false, start_time: 424242 }));
        assert_eq!(parse_stat(b"7 (x"), None);
        assert_eq!(parse_stat(b"7 (x) S 1"), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn own_identity_is_alive_and_others_are_not() {
        let me = Identity::current();
        assert_eq!(me.liveness(), Liveness::Alive);
        assert_eq!(Identity { start_time: me.start_time + 1, ..me }.liveness(), Liveness::Dead);
        assert_eq!(Identity { boot_id: [1; 16], ..me }.liveness(), Liveness::Unknown);
        assert_eq!(Identity { pid_namespace: 1, ..me }.liveness(), Liveness::Unknown);
        assert_eq!(Identity { pid: 0, ..me }.liveness(), Liveness::Unknown);
    }

    #[test]
    #[cfg_attr(miri, ignore = "forks")]
    fn a_reaped_child_is_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = Identity::current();
        let pid = child.id();
        let identity = Identity { pid, start_time: stat(&pid.to_string()).unwrap().start_time, ..me };
        assert_eq!(identity.liveness(), Liveness::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(identity.liveness(), Liveness::Dead);
    }
}
