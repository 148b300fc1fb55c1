//! The note: one page shared with a forked child, in which it leaves the message of its first panic.
//!
//! The standard panic hook is no good in a child: its output goes into a capture buffer that dies with the child,
//! and the locks on the way may have been held by another thread at the time of the fork. So the process installs
//! once, before its first fork, a hook that writes to the note in a child and calls the former hook elsewhere.
//!
//! The page begins with two words. `claimed` goes from 0 to 1 by compare-exchange, so that only one panicking
//! thread writes; `len_bytes` is stored last, with release ordering, and read first, with acquire ordering, so
//! that a reader sees a whole message or none, whenever the child is killed.
#![allow(unsafe_code, reason = "mmap and copies to and from a page that two processes share")]

use std::panic;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE_BYTES: usize = 4096;
const HEAD_BYTES: usize = 8;
const TEXT_BYTES: usize = PAGE_BYTES - HEAD_BYTES;

/// The page that panics of this process are written to; null everywhere but in forked children.
static CURRENT: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// The process that [`CURRENT`] is meant for: what a child forks by other means inherits the pointer.
static CURRENT_PID: AtomicU32 = AtomicU32::new(0);

/// A shared page for one panic message; unmapped at drop.
#[derive(Debug)]
pub(crate) struct Note {
    page: NonNull<u8>,
}

// SAFETY: the page belongs to the whole process, and it is only reached through atomics and the protocol above.
unsafe impl Send for Note {}
// SAFETY: as above; reading through `&Note` changes nothing.
unsafe impl Sync for Note {}

impl Note {
    /// Maps an empty note and sees to it that the hook is installed. Call it before the fork.
    pub(crate) fn new() -> Self {
        install_hook();
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no existing memory.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(
            page != libc::MAP_FAILED,
            "cannot map a page for a child's panic message: {}",
            std::io::Error::last_os_error()
        );
        Self { page: NonNull::new(page.cast()).expect("mmap without MAP_FIXED never returns null") }
    }

    /// Makes this note the one that panics of the calling process are written to. Call it in the child.
    pub(crate) fn adopt(&self) {
        CURRENT_PID.store(std::process::id(), Ordering::Relaxed);
        CURRENT.store(self.page.as_ptr(), Ordering::Release);
    }

    /// The message, when one was written completely.
    pub(crate) fn read(&self) -> Option<String> {
        let (_, len_bytes) = words(self.page);
        let len_bytes = (len_bytes.load(Ordering::Acquire) as usize).min(TEXT_BYTES);
        if len_bytes == 0 {
            return None;
        }
        let mut text = vec![0_u8; len_bytes];
        // SAFETY: the source lies inside the page, as the length was cut to TEXT_BYTES, and is not written any
        // more once the length is not 0; `text` has that many bytes and does not overlap the page.
        unsafe {
            ptr::copy_nonoverlapping(self.page.as_ptr().add(HEAD_BYTES), text.as_mut_ptr(), len_bytes);
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // SAFETY: the page was mapped by `new` with this length and nobody holds a pointer into it: CURRENT
        // points here only in the child, which ends without dropping its copy of the note.
        unsafe { libc::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// The two words at the start of a note.
fn words<'a>(page: NonNull<u8>) -> (&'a AtomicU32, &'a AtomicU32) {
    let first = page.as_ptr().cast::<u32>();
    // SAFETY: `page` is the start of a mapped page, so both words are aligned and valid while the note lives,
    // which the callers hold or reach through CURRENT; both sides touch them by atomics only.
    unsafe { (AtomicU32::from_ptr(first), AtomicU32::from_ptr(first.add(1))) }
}

/// Writes `text` to `page` unless somebody has before.
fn write(page: NonNull<u8>, text: &str) {
    let (claimed, len_bytes) = words(page);
    if claimed.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let count = text.len().min(TEXT_BYTES);
    // SAFETY: `count` bytes fit behind the words and are in `text`; the claim makes this thread the only writer,
    // and nobody reads before the length is stored.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), page.as_ptr().add(HEAD_BYTES), count) };
    len_bytes.store(count as u32, Ordering::Release);
}

/// Whether the hook is installed.
static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Keeps other threads from installing the hook meanwhile. To be held during a fork: the standard library's lock of the hook would stay
/// taken in the child, and its first panic wait for ever.
pub(crate) fn no_change_of_hook() -> MutexGuard<'static, bool> {
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the hook described in the header, once per process.
fn install_hook() {
    let mut installed = no_change_of_hook();
    // The hook cannot be changed by a panicking thread, such as one that forks in a destructor.
    if *installed || std::thread::panicking() {
        return;
    }
    *installed = true;
    let former = panic::take_hook();
    panic::set_hook(Box::new(move |info| match NonNull::new(CURRENT.load(Ordering::Acquire)) {
        Some(page) if CURRENT_PID.load(Ordering::Relaxed) == std::process::id() => {
            write(page, &info.to_string());
        }
        _ => former(info),
    }));
}
