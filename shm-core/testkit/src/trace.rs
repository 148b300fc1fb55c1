//! A traced child: the only ptrace calls of this crate, as in ptrace(2).
//!
//! The child asks to be traced and stops itself; the parent then resumes it either to the next system call or by a
//! single instruction and is told why it stopped. A system call stops twice: at the entry, where a SIGKILL makes
//! the kernel skip the call, and at the exit, where all of its effects are there. What the stops mean is for
//! [`kill`](crate::kill); what memory is compared for [`watch`](crate::watch).
//!
//! All calls must come from the thread that forked, as ptrace ties the child to it. Numbers and arguments come from
//! `PTRACE_GET_SYSCALL_INFO` (Linux 5.3), which is the same on every CPU; the encoding of the system call
//! instruction is all that differs.
#![allow(unsafe_code, reason = "ptrace, process_vm_readv and raise")]

use crate::child::{Child, Status, fork_child};
use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;

/// A system call at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) args: [u64; 6],
}

/// Why a traced child stopped, or that it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Before a system call.
    Entry(Call),
    /// After a system call.
    Exit,
    /// After a single instruction.
    Step,
    /// Before this signal is delivered; pass it to [`Tracee::resume`].
    Signal(i32),
    /// It has forked, and the new process stands still as well.
    Forked(i32),
    /// Something that needs no answer, such as a successful `exec`.
    Other,
    /// The child is gone.
    Ended(Status),
}

/// How far a stopped child is let run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// To the next entry or exit of a system call.
    Call,
    /// By one instruction.
    Step,
}

/// What the kernel tells about a stop: `struct ptrace_syscall_info`, written down here because not every libc
/// has it, and with plain words in place of its union.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct StopInfo {
    op: u8,
    reserved: u8,
    flags: u16,
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// At an entry: the number and six arguments. At an exit: the result, and whether it is an error.
    data: [u64; 8],
}

const _: () = assert!(mem::size_of::<StopInfo>() == 88);

const PTRACE_GET_SYSCALL_INFO: libc::c_uint = 0x420e;
const OP_ENTRY: u8 = 1;
const OP_EXIT: u8 = 2;

/// What every traced process is traced with.
const OPTIONS: i32 = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC;

/// The bytes of the instruction that makes a system call.
#[cfg(target_arch = "x86_64")]
const CALL_INSTRUCTION: &[u8] = &[0x0f, 0x05]; // syscall
#[cfg(target_arch = "aarch64")]
const CALL_INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4]; // svc #0

/// A child that is traced by the thread that started it, or a child of that one. Dropping it kills the child.
#[derive(Debug)]
pub(crate) struct Tracee {
    child: Child,
    /// The child's child that is traced instead, once there is one.
    grandchild: Option<Grandchild>,
    /// How the child was last resumed, which tells a finished step from a breakpoint.
    pace: Pace,
}

/// A process that is traced without being ours; its parent collects its status as ever.
#[derive(Debug)]
struct Grandchild {
    pid: i32,
    status: Option<Status>,
}

impl Drop for Grandchild {
    fn drop(&mut self) {
        if self.status.is_none() {
            // SAFETY: no memory is involved; the process stands still, or runs until it is waited for here, so the pid is its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            while Status::of(wait_for(self.pid)).is_none() {}
        }
    }
}

impl Tracee {
    /// Forks a child that stops before the first instruction of `work` and ends with code 0 after it.
    ///
    /// The error says which call was refused.
    pub(crate) fn start(work: impl FnOnce()) -> Result<Self, String> {
        let mut child = fork_child(|| {
            if let Err(error) = ptrace(libc::PTRACE_TRACEME, 0, 0, ptr::null_mut()) {
                panic!("was not allowed to be traced (PTRACE_TRACEME: {error})");
            }
            // SAFETY: `raise` has no preconditions; the stop goes to the parent.
            unsafe { libc::raise(libc::SIGSTOP) };
            work();
            0
        });
        let raw = loop {
            if let Some(raw) = child.wait_raw(libc::__WALL) {
                break raw;
            }
        };
        if !libc::WIFSTOPPED(raw) {
            return Err(format!("the child {}{}", child.wait(), child.last_words()));
        }
        let tracee = Self { child, grandchild: None, pace: Pace::Call };
        tracee.set_options(0).map_err(|error| format!("PTRACE_SETOPTIONS: {error}"))?;
        Ok(tracee)
    }

    /// Lets the stopped child run on at `pace`, with `signal` delivered to it (0: none), and waits for the next
    /// stop.
    pub(crate) fn resume(&mut self, pace: Pace, signal: i32) -> Stop {
        let request = match pace {
            Pace::Call => libc::PTRACE_SYSCALL,
            Pace::Step => libc::PTRACE_SINGLESTEP,
        };
        self.pace = pace;
        let signal = ptr::without_provenance_mut(signal as usize);
        match ptrace(request, self.pid(), 0, signal) {
            Ok(_) => {}
            // Somebody else has killed it; the wait below says so.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => panic!("cannot resume the traced process {}: {error}", self.pid()),
        }
        self.wait()
    }

    /// Waits for the next stop.
    fn wait(&mut self) -> Stop {
        let raw = match &mut self.grandchild {
            Some(grandchild) => {
                let raw = wait_for(grandchild.pid);
                grandchild.status = Status::of(raw);
                raw
            }
            None => loop {
                if let Some(raw) = self.child.wait_raw(libc::__WALL) {
                    break raw;
                }
            },
        };
        if let Some(status) = Status::of(raw) {
            return Stop::Ended(status);
        }
        // Above the wait status proper stands the number of a ptrace event.
        match raw >> 16 {
            0 => {}
            libc::PTRACE_EVENT_FORK => return Stop::Forked(self.event_message() as i32),
            _ => return Stop::Other,
        }
        match libc::WSTOPSIG(raw) {
            signal if signal == libc::SIGTRAP | 0x80 => match self.info() {
                Ok(StopInfo { op: OP_ENTRY, data: [number, a, b, c, d, e, f, _], .. }) => {
                    Stop::Entry(Call { number, args: [a, b, c, d, e, f] })
                }
                Ok(StopInfo { op: OP_EXIT, .. }) => Stop::Exit,
                // A system call stop that is neither, or a child killed by others meanwhile.
                _ => Stop::Other,
            },
            libc::SIGTRAP if self.pace == Pace::Step => Stop::Step,
            signal => Stop::Signal(signal),
        }
    }

    /// Whether the next instruction of the stopped child makes a system call.
    pub(crate) fn is_at_call(&self) -> bool {
        let mut code = [0_u8; CALL_INSTRUCTION.len()];
        match self.info() {
            Ok(info) => self.read(info.instruction_pointer as usize, &mut code) && code == CALL_INSTRUCTION,
            Err(_) => false,
        }
    }

    /// Copies the child's memory at `address` into `bytes`; false when it is not all readable.
    pub(crate) fn read(&self, address: usize, bytes: &mut [u8]) -> bool {
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: bytes.len() };
        // SAFETY: the local vector describes `bytes`, exclusively borrowed; the remote one belongs to another
        // process, where the kernel checks every address. Both vectors live until the call returns.
        let count = unsafe { libc::process_vm_readv(self.pid(), &local, 1, &remote, 1, 0) };
        usize::try_from(count) == Ok(bytes.len())
    }

    fn pid(&self) -> i32 {
        self.grandchild.as_ref().map_or(self.child.pid(), |grandchild| grandchild.pid)
    }

    /// Kills the traced process with SIGKILL where it stands, and reaps it, or has its parent do so, for whose end see [`finish`](Self::finish).
    pub(crate) fn kill(&mut self) -> Status {
        match &mut self.grandchild {
            None => {
                self.child.kill(libc::SIGKILL);
                self.child.wait()
            }
            Some(grandchild) => {
                // SAFETY: no memory is involved; the process stands still, so the pid is its own.
                unsafe { libc::kill(grandchild.pid, libc::SIGKILL) };
                loop {
                    if let Some(status) = Status::of(wait_for(grandchild.pid)) {
                        grandchild.status = Some(status);
                        return status;
                    }
                }
            }
        }
    }

    /// When the traced process has ended: waits for the child, if that is another one, and says how it ended.
    pub(crate) fn finish(&mut self) -> Option<Status> {
        self.grandchild.as_ref().map(|_| self.child.wait())
    }

    /// From here on the child stops when it forks.
    pub(crate) fn watch_forks(&mut self) {
        self.set_options(libc::PTRACE_O_TRACEFORK).expect("the child stands still");
    }

    /// Lets go of a process that the child has just forked.
    pub(crate) fn let_go(&self, pid: i32) {
        wait_for(pid);
        // An error means that it is dead.
        let _ = ptrace(libc::PTRACE_DETACH, pid, 0, ptr::null_mut());
    }

    /// Lets go of the child, and traces the process that it has just forked.
    pub(crate) fn follow(&mut self, pid: i32) {
        wait_for(pid);
        let _ = ptrace(libc::PTRACE_DETACH, self.child.pid(), 0, ptr::null_mut());
        self.grandchild = Some(Grandchild { pid, status: None });
        self.set_options(0).expect("the forked process stands still");
    }

    fn set_options(&self, more: i32) -> io::Result<()> {
        let options = OPTIONS | more;
        ptrace(libc::PTRACE_SETOPTIONS, self.pid(), 0, ptr::without_provenance_mut(options as usize))
    }

    /// What belongs to a ptrace event: for a fork the new process.
    fn event_message(&self) -> u64 {
        let mut message = 0u64;
        ptrace(libc::PTRACE_GETEVENTMSG, self.pid(), 0, (&raw mut message).cast()).expect("it stands still");
        message
    }

    /// The panic message of an ended child as the end of a sentence.
    pub(crate) fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// What the kernel tells about the current stop.
    fn info(&self) -> io::Result<StopInfo> {
        let mut info = StopInfo::default();
        let place = (&raw mut info).cast();
        ptrace(PTRACE_GET_SYSCALL_INFO, self.pid(), mem::size_of::<StopInfo>(), place)?;
        Ok(info)
    }
}

/// Waits until a traced process stops or ends; returns its status word.
fn wait_for(pid: i32) -> i32 {
    loop {
        let mut raw = 0;
        // SAFETY: `raw` is a valid place for the status word for the duration of the call.
        let waited = unsafe { libc::waitpid(pid, &mut raw, libc::__WALL) };
        if waited == pid {
            return raw;
        }
        let error = io::Error::last_os_error();
        assert!(
            error.kind() == io::ErrorKind::Interrupted,
            "cannot wait for the traced process {pid}: {error}"
        );
    }
}

/// Calls ptrace(2) with one of the requests of this file.
///
/// `data` is a number in the shape of a pointer, except for `PTRACE_GET_SYSCALL_INFO`, where it points to a
/// [`StopInfo`] and `address` is its size, and for `PTRACE_GETEVENTMSG`, where it points to a `u64`.
fn ptrace(request: libc::c_uint, pid: i32, address: usize, data: *mut libc::c_void) -> io::Result<()> {
    // SAFETY: only two requests write to this process. PTRACE_GET_SYSCALL_INFO: at most `address` bytes at `data`, which
    // its one caller passes as the size and the place of a live, exclusively owned `StopInfo`, of which any bytes are
    // valid. PTRACE_GETEVENTMSG: an unsigned long at `data`, which its one caller passes as the place of a live `u64`;
    // the CPUs of this file have 64 bits. The other requests take numbers.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this machine lets us trace; the error says why not and what would help. Tried once per process.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    AVAILABLE.get_or_init(probe).clone()
}

/// Traces a child that does nothing, through every call that a kill test makes.
fn probe() -> Result<(), String> {
    const REMEDY: &str = "allow ptrace: kernel.yama.ptrace_scope below 2, no seccomp filter against ptrace and \
                          process_vm_readv, no debugger on the children, Linux 5.3 or later";
    static PROBE: u8 = 42;
    can_step()?;
    let explain = |what: String| format!("{what}; {REMEDY}");
    let mut tracee = Tracee::start(|| {}).map_err(explain)?;
    if let Err(error) = tracee.info() {
        return Err(explain(format!("PTRACE_GET_SYSCALL_INFO: {error}")));
    }
    let mut byte = [0];
    if !tracee.read(&raw const PROBE as usize, &mut byte) || byte != [PROBE] {
        return Err(explain(format!("process_vm_readv: {}", io::Error::last_os_error())));
    }
    match tracee.resume(Pace::Step, 0) {
        Stop::Step => Ok(()),
        stop => Err(explain(format!("a single step ended in {stop:?}"))),
    }
}

/// Whether code on this CPU can be stepped through.
///
/// Without atomic instructions of its own an aarch64 CPU updates memory in a loop around an exclusive load and
/// store; each step in between loses the exclusivity, and the loop never ends.
fn can_step() -> Result<(), String> {
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: `getauxval` has no preconditions.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
        if capabilities & libc::HWCAP_ATOMICS == 0 {
            return Err("this CPU has no atomic instructions (LSE) that could be stepped over; \
                        use one of ARMv8.1 or later"
                .to_owned());
        }
    }
    Ok(())
}
