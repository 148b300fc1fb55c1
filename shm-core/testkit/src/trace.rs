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

/// The bytes of the instruction that makes a system call.
#[cfg(target_arch = "x86_64")]
const CALL_INSTRUCTION: &[u8] = &[0x0f, 0x05]; // syscall
#[cfg(target_arch = "aarch64")]
const CALL_INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4]; // svc #0

/// A child that is traced by the thread that started it. Dropping it kills the child.
#[derive(Debug)]
pub(crate) struct Tracee {
    child: Child,
    /// How the child was last resumed, which tells a finished step from a breakpoint.
    pace: Pace,
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
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC;
        ptrace(libc::PTRACE_SETOPTIONS, child.pid(), 0, ptr::without_provenance_mut(options as usize))
            .map_err(|error| format!("PTRACE_SETOPTIONS: {error}"))?;
        Ok(Self { child, pace: Pace::Call })
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
        match ptrace(request, self.child.pid(), 0, signal) {
            Ok(_) => {}
            // Somebody else has killed it; the wait below says so.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => panic!("cannot resume the traced child {}: {error}", self.child.pid()),
        }
        self.wait()
    }

    /// Waits for the next stop.
    fn wait(&mut self) -> Stop {
        let raw = loop {
            if let Some(raw) = self.child.wait_raw(libc::__WALL) {
                break raw;
            }
        };
        if !libc::WIFSTOPPED(raw) {
            return Stop::Ended(self.child.wait());
        }
        // Above the wait status proper stands the number of a ptrace event.
        if raw >> 16 != 0 {
            return Stop::Other;
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
        let count = unsafe { libc::process_vm_readv(self.child.pid(), &local, 1, &remote, 1, 0) };
        usize::try_from(count) == Ok(bytes.len())
    }

    /// Kills the child with SIGKILL where it stands and reaps it.
    pub(crate) fn kill(mut self) -> Status {
        self.child.kill(libc::SIGKILL);
        self.child.wait()
    }

    /// The panic message of an ended child as the end of a sentence.
    pub(crate) fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// What the kernel tells about the current stop.
    fn info(&self) -> io::Result<StopInfo> {
        let mut info = StopInfo::default();
        let place = (&raw mut info).cast();
        ptrace(PTRACE_GET_SYSCALL_INFO, self.child.pid(), mem::size_of::<StopInfo>(), place)?;
        Ok(info)
    }
}

/// Calls ptrace(2) with one of the requests of this file.
///
/// `data` is a number in the shape of a pointer, except for `PTRACE_GET_SYSCALL_INFO`, where it points to a
/// [`StopInfo`] and `address` is its size.
fn ptrace(request: libc::c_uint, pid: i32, address: usize, data: *mut libc::c_void) -> io::Result<()> {
    // SAFETY: only PTRACE_GET_SYSCALL_INFO writes to this process: at most `address` bytes at `data`, which its
    // one caller passes as the size and the place of a live, exclusively owned `StopInfo`, of which any bytes are
    // valid. The other requests take numbers.
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
