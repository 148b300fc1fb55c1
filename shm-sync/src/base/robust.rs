//! The robust futex list of the calling thread: what tells the kernel which locks to release when the thread dies.
//!
//! Sources: `Documentation/locking/robust-futexes.rst` and `robust-futex-ABI.rst` of the kernel, get_robust_list(2), and the layout of
//! glibc's `pthread_mutex_t`, whose robust mutexes stand on the same list (there is one for each thread).
//!
//! # The list, and why no link is ever read from shared pages
//! The list is circular and singly linked for the kernel; glibc keeps it doubly linked, inserts at the head, and writes into the neighbours
//! of what it inserts or removes. The links of a lock lie beside its word, in pages that other processes may scribble on: an unlock that
//! followed them would be an arbitrary write in the hands of a hostile neighbour. So the locks of this crate stand between two
//! *sentinels* in private memory, put into the list once for each thread:
//!
//! ```text
//! head -> [glibc's, newer] -> top -> our locks, newest first -> bottom -> [glibc's, older] -> head
//! ```
//!
//! glibc's neighbours are the sentinels, so it never writes into our locks and we never into its own. Between the sentinels the order is
//! that of `Record::held`, which is private too: every link that is written goes to, and comes from, an address of that list. The
//! links in shared pages are written for the kernel only and never read.
//!
//! # The order of the steps
//! | step | lock | unlock |
//! |---|---|---|
//! | 1 | `list_op_pending` = the lock | `list_op_pending` = the lock |
//! | 2 | take the word (and perhaps sleep first) | unlink |
//! | 3 | link | release the word, wake |
//! | 4 | `list_op_pending` = none | `list_op_pending` = none |
//!
//! A thread that dies in between is cleaned up after by way of `list_op_pending`: if the word names it, the kernel marks it; if the word is
//! free, the kernel passes on the wake-up that the thread may have consumed. Only the thread itself writes its list and only the kernel
//! reads it, in the same thread's context: compiler fences are enough.
//!
//! # Fork
//! A record lies in pages that the kernel wipes in a forked child (`MADV_WIPEONFORK`): thread id, generation and held locks read zero there,
//! however the fork was made. So a cached thread id can never be mistaken for the child's, and a guard that the child inherited finds that
//! its generation is gone. The child's first lock registers anew.
//!
//! This file leaves the word to `word`, the looking for a lock in a range of memory to `registry`.

#![allow(
    unsafe_code,
    reason = "the robust list is a C list inside the C library's thread descriptor and in shared pages"
)]

use super::atomics::AtomicU32 as Word;
use super::gate::Pending;
use super::registry;
use crate::error::{Error, ErrorKind};
use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicIsize, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence};
use std::io;
use std::sync::Arc;

/// How many locks a thread can hold at once. The kernel follows 2 048 links; the rest is for the sentinels and for other libraries.
pub(crate) const MAX_HELD: usize = 2000;

/// Where the kernel finds the word, seen from the link.
const FUTEX_OFFSET: isize = -32;

/// One link of the list: points to the next one. Bit 0 of the pointer marks a priority-inheritance lock (glibc's; ours never are).
#[repr(transparent)]
pub(crate) struct Link(AtomicPtr<Link>);

/// `struct robust_list_head` of the kernel, inside the C library's thread descriptor.
#[repr(C)]
struct Head {
    list: Link,
    futex_offset: AtomicIsize,
    list_op_pending: AtomicPtr<Link>,
}

/// A list element that is no lock: its word names no thread, so the kernel passes it by.
#[repr(C, align(64))]
struct Sentinel {
    word: AtomicU32,
    _gap: [u32; 5],
    prev: AtomicPtr<Link>,
    next: Link,
}

const _: () = {
    assert!(core::mem::offset_of!(Sentinel, next) == FUTEX_OFFSET.unsigned_abs());
    assert!(core::mem::offset_of!(Sentinel, prev) == FUTEX_OFFSET.unsigned_abs() - 8);
};

/// What this crate knows about one thread. All zero: nobody's.
#[repr(C)]
pub(crate) struct Record {
    /// 1 while a thread has this record.
    claimed: AtomicU32,
    /// The thread's id, as the kernel's words name it.
    tid: AtomicU32,
    /// Different for every registration in this process and its ancestors; 0 when not registered.
    generation: AtomicU64,
    head: AtomicPtr<Head>,
    /// How many of `held` count.
    len: AtomicUsize,
    top: Sentinel,
    bottom: Sentinel,
    /// First `bottom`, then the links of the locks held, oldest first; but an only lock stands in `top.next` alone, which saves the
    /// uncontended case three stores between its atomic operations. Only the thread itself writes; other threads look (`registry`).
    held: [AtomicPtr<Link>; 1 + MAX_HELD],
}

impl Record {
    /// Takes the record if it is nobody's.
    pub(crate) fn claim(&self) -> bool {
        self.claimed.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    /// Calls `check` with the link's address of every lock that the thread holds until it says yes. May be called by any thread.
    ///
    /// An entry enters `held` before it leaves `top.next`, and then only ever moves towards the front, the copy written before the
    /// original is overwritten: looking at `top.next` first and then from the back to the front misses none.
    pub(crate) fn any_held(&self, mut check: impl FnMut(usize) -> bool) -> bool {
        let newest = self.top.next.0.load(Acquire);
        if !newest.is_null() && newest != self.bottom.next.as_ptr() && check(newest.addr()) {
            return true;
        }
        let len = self.len.load(Acquire).min(MAX_HELD);
        self.held[1..=len].iter().rev().any(|link| check(link.load(Acquire).addr()))
    }
}

/// The calling thread, registered with the kernel. Cannot be sent to another thread.
#[derive(Clone, Copy)]
pub(crate) struct Me {
    record: NonNull<Record>,
    generation: u64,
}

thread_local! {
    static THREAD: Thread = const { Thread { me: Cell::new(None), companion: Cell::new(ptr::null()) } };
    static LEAVE: Leave = const { Leave { lasting: RefCell::new(Vec::new()) } };
}

/// What is kept for each thread, in one place: in a shared library it costs a call to find one.
struct Thread {
    me: Cell<Option<Me>>,
    companion: Cell<*const ()>,
}

/// Returns the pointer that the calling thread has set with [`set_companion`]; null at first, and whatever it was in a forked child's only thread.
///
/// It lies beside what this crate keeps for each thread and looks up in every lock call, so that whoever needs something of the thread in the same
/// call finds it for nothing. There is one in a process for each copy of this crate; it is for a binding to another language, not for libraries.
///
/// ```
/// static MINE: u8 = 7;
/// shm_sync::set_companion(std::ptr::from_ref(&MINE).cast());
/// assert_eq!(shm_sync::companion(), std::ptr::from_ref(&MINE).cast());
/// std::thread::spawn(|| assert!(shm_sync::companion().is_null())).join().unwrap();
/// ```
#[inline(always)]
pub fn companion() -> *const () {
    THREAD.with(|thread| thread.companion.get())
}

/// Sets what [`companion`] returns in the calling thread.
///
/// ```
/// shm_sync::set_companion(std::ptr::null());
/// ```
#[inline(always)]
pub fn set_companion(companion: *const ()) {
    THREAD.with(|thread| thread.companion.set(companion));
}

/// A slot that a thread holds for its whole process, without a guard: it is given up when it is of no use any more, or with the thread.
pub(crate) trait Lasting {
    /// Gives the slot up if it is of no use any more. True: `me` does not hold it now.
    fn retire(&self, me: Me) -> bool;

    /// The thread ends: gives the slot up so that others hear of it.
    fn leave_behind(&self, me: Me);
}

impl Me {
    /// The calling thread, if it is registered.
    #[inline(always)]
    pub(crate) fn registered() -> Option<Self> {
        THREAD.with(|thread| thread.me.get()).filter(|me| me.is_registered())
    }

    /// The calling thread, if it is the one that was registered with this generation.
    #[inline(always)]
    pub(crate) fn of(generation: u64) -> Option<Self> {
        match THREAD.with(|thread| thread.me.get()) {
            Some(me) if me.generation == generation && me.is_registered() => Some(me),
            _ => None,
        }
    }

    /// What tells this registration from every other one in this process and its ancestors; less than 2^52 (more would
    /// take a thread a microsecond for a hundred years).
    #[inline(always)]
    pub(crate) fn generation(self) -> u64 {
        self.generation
    }

    /// The calling thread; its first call registers it (and a forked child's first call does so anew).
    pub(crate) fn get() -> Result<Self, Error> {
        Self::registered().map_or_else(register, Ok)
    }

    /// The thread id that the lock words name this thread by.
    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.record().tid.load(Relaxed)
    }

    /// Whether this is still the same process; false in a forked child.
    #[inline(always)]
    fn is_registered(self) -> bool {
        self.record().generation.load(Relaxed) == self.generation
    }

    /// Whether this thread can hold one more.
    #[inline(always)]
    pub(crate) fn has_room(self) -> bool {
        self.record().len.load(Relaxed) < MAX_HELD
    }

    /// Announces a lock call on `link` to the kernel. False: this thread holds too many locks already.
    #[inline(always)]
    pub(crate) fn begin(self, link: &Link) -> bool {
        let fits = self.has_room();
        if fits {
            self.set_pending(link.as_ptr());
        }
        fits
    }

    /// Ends a lock call that did not get the lock.
    #[inline(always)]
    pub(crate) fn abandon(self) {
        self.set_pending(ptr::null_mut());
    }

    /// Puts the lock that was just taken into the list and ends the call. Only after a `begin` that found room.
    #[inline(always)]
    pub(crate) fn hold(self, link: &Link) {
        let record = self.record();
        let newest = record.top.next.0.load(Relaxed);
        link.0.store(newest, Relaxed);
        if newest != record.bottom.next.as_ptr() {
            self.remember(link, newest);
        }
        compiler_fence(Release);
        record.top.next.0.store(link.as_ptr(), Release);
        self.set_pending(ptr::null_mut());
    }

    /// Writes a lock that is not the only one, and the one before it if that was the only one, into `held`.
    #[inline(never)]
    fn remember(self, link: &Link, newest: *mut Link) {
        let record = self.record();
        let len = record.len.load(Relaxed).max(1);
        record.held[len].store(newest, Release);
        record.held[len + 1].store(link.as_ptr(), Release);
        record.len.store(len + 1, Release);
    }

    /// Takes the lock out of the list, calls `release`, which gives up its word, and ends the call.
    #[inline(always)]
    pub(crate) fn let_go(self, link: &Link, release: impl FnOnce()) {
        if !self.unlink_only(link) {
            self.set_pending(link.as_ptr());
            self.unlink_one_of_several(link);
            compiler_fence(Release);
        }
        release();
        self.set_pending(ptr::null_mut());
    }

    /// The first half of `let_go` where the lock is the only one held. False, and nothing done: there are others.
    #[inline(always)]
    pub(crate) fn unlink_only(self, link: &Link) -> bool {
        let record = self.record();
        let only = record.top.next.0.load(Relaxed) == link.as_ptr() && record.len.load(Relaxed) == 0;
        if only {
            self.set_pending(link.as_ptr());
            record.top.next.0.store(record.bottom.next.as_ptr(), Relaxed);
            compiler_fence(Release);
        }
        only
    }

    /// Whether this thread holds the lock with this link, as far as private memory knows.
    pub(crate) fn holds(self, link: &Link) -> bool {
        self.record().any_held(|held| held == link.as_ptr().addr())
    }

    /// Takes a lock out of the list that is in `held`.
    #[inline(never)]
    fn unlink_one_of_several(self, link: &Link) {
        let record = self.record();
        let len = record.len.load(Relaxed);
        let Some(index) = (1..=len).rev().find(|&index| record.held[index].load(Relaxed) == link.as_ptr())
        else {
            return;
        };
        let below = record.held[index - 1].load(Relaxed);
        if index == len {
            record.top.next.0.store(below, Relaxed);
        } else {
            let above = record.held[index + 1].load(Relaxed);
            // SAFETY: `above` is the link of a lock that this thread holds: it was stored from a reference, only private memory was
            // used to find it, and a mapping with a held lock in it stays mapped (the guard borrows the lock; `registry` vetoes the
            // unmapping).
            unsafe { &*above }.0.store(below, Relaxed);
            compiler_fence(Release);
            for index in index..len {
                record.held[index].store(record.held[index + 1].load(Relaxed), Release);
            }
        }
        record.len.store(len - 1, Release);
    }

    #[inline(always)]
    fn set_pending(self, link: *mut Link) {
        compiler_fence(Release);
        self.head().list_op_pending.store(link, Relaxed);
        compiler_fence(Release);
    }

    #[inline(always)]
    fn record(self) -> &'static Record {
        // SAFETY: records come from `registry`, are mapped readable and writable, aligned, never unmapped, valid for any bytes, and
        // written through atomics only (sentinels also by the C library, in the thread whose record it is).
        unsafe { self.record.as_ref() }
    }

    #[inline(always)]
    fn head(self) -> &'static Head {
        // SAFETY: the pointer was given by the kernel for this thread and checked in `register`; it points into the thread's
        // descriptor, which lives as long as the thread. `Me` does not leave its thread, and a child made by fork, where this
        // could be another thread's, does not get here: its generation differs, so that it registers first.
        unsafe { &*self.record().head.load(Relaxed) }
    }

    /// Remembers a slot that this thread holds for its process. Not remembered while the thread's variables are being
    /// destroyed: then the kernel does what `leave_behind` would.
    pub(crate) fn keep(self, slot: Arc<dyn Lasting>) {
        let _ = LEAVE.try_with(|leave| leave.lasting.borrow_mut().push(slot));
    }

    /// Gives up those of the slots that this thread holds for its process which are of no use any more.
    pub(crate) fn retire_lasting(self) {
        // What goes is dropped at the end: that may unmap memory.
        let _gone: Vec<_> = LEAVE
            .try_with(|leave| leave.lasting.borrow_mut().extract_if(.., |slot| slot.retire(self)).collect())
            .unwrap_or_default();
    }

    /// Takes the sentinels out and gives the record back, if that can be done without trusting anybody's links: nothing else is
    /// on the list. Otherwise the record stays this thread's for ever, as its locks do.
    fn leave(self) {
        let record = self.record();
        let head = self.head();
        let ours_alone = head.list.0.load(Relaxed) == record.top.next.as_ptr()
            && record.bottom.next.0.load(Relaxed) == head.list.as_ptr()
            && record.top.next.0.load(Relaxed) == record.bottom.next.as_ptr();
        if ours_alone {
            head.list.0.store(head.list.as_ptr(), Relaxed);
            compiler_fence(Release);
            record.generation.store(0, Relaxed);
            record.claimed.store(0, Release);
        }
    }
}

/// What a thread that waits at a gate, or wakes others there, tells the kernel: if it dies, the word's next sleeper is to wake.
impl Pending for Me {
    #[inline(always)]
    fn name(self, word: &Word) {
        // The kernel looks for the word 32 bytes before the address that it is given, and at nothing else.
        self.set_pending(ptr::from_ref(word).cast_mut().cast::<Link>().wrapping_byte_offset(-FUTEX_OFFSET));
    }

    #[inline(always)]
    fn clear(self) {
        self.abandon();
    }
}

impl Link {
    /// The address that the list knows this link by.
    #[inline(always)]
    fn as_ptr(&self) -> *mut Link {
        ptr::from_ref(self).cast_mut()
    }
}

/// Runs at the end of a thread.
struct Leave {
    /// What the thread holds for its process.
    lasting: RefCell<Vec<Arc<dyn Lasting>>>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(me) = THREAD.with(|thread| thread.me.take())
            && me.is_registered()
        {
            for slot in self.lasting.get_mut().drain(..) {
                slot.leave_behind(me);
            }
            me.leave();
        }
    }
}

/// Finds the thread's robust list and puts the sentinels into it.
#[cold]
fn register() -> Result<Me, Error> {
    static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

    let head = robust_list()?;
    // A forked child finds the record that its thread had in the parent wiped, and takes it again if it can.
    let record =
        registry::claim(THREAD.with(|thread| thread.me.get()).map(|me| me.record)).map_err(|error| {
            unsupported()
                .detail("no memory that is wiped in forked children (Linux 4.14 or newer)")
                .caused_by(error)
        })?;
    let me = Me { record, generation: NEXT_GENERATION.fetch_add(1, Relaxed) };
    let record = me.record();
    record.tid.store(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(), Relaxed);
    record.head.store(head, Relaxed);
    record.len.store(0, Relaxed);
    record.held[0].store(record.bottom.next.as_ptr(), Relaxed);

    let head = me.head();
    let first = head.list.0.load(Relaxed);
    record.top.word.store(0, Relaxed);
    record.bottom.word.store(0, Relaxed);
    record.bottom.next.0.store(first, Relaxed);
    record.bottom.prev.store(record.top.next.as_ptr(), Relaxed);
    record.top.next.0.store(record.bottom.next.as_ptr(), Relaxed);
    record.top.prev.store(head.list.as_ptr(), Relaxed);
    let older = first.map_addr(|address| address & !1);
    if older != head.list.as_ptr() {
        // SAFETY: `older` is the first element of the thread's list, named by the C library's head in private memory. So it is in a
        // robust mutex of glibc's that this thread holds, or in a sentinel of another copy of this crate: mapped, writable, aligned,
        // with `prev` in the word before the link, and written by this thread only.
        unsafe { &*older.cast::<AtomicPtr<Link>>().sub(1) }.store(record.bottom.next.as_ptr(), Relaxed);
    }
    compiler_fence(Release);
    head.list.0.store(record.top.next.as_ptr(), Relaxed);
    record.generation.store(me.generation, Release);
    THREAD.with(|thread| thread.me.set(Some(me)));
    // Fails while the thread's variables are being destroyed: then the record is not given back.
    let _ = LEAVE.try_with(|_| ());
    Ok(me)
}

/// The head of the calling thread's list, checked for glibc's layout.
fn robust_list() -> Result<*mut Head, Error> {
    let mut head: *mut Head = ptr::null_mut();
    let mut len: usize = 0;
    // SAFETY: get_robust_list(0, &head, &len) writes a pointer and a size_t through the two pointers, which are valid for that.
    let status = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if status != 0 {
        return Err(unsupported().caused_by(io::Error::last_os_error()));
    }
    if head.is_null() || len != size_of::<Head>() {
        return Err(unsupported().detail("the C library has registered no list for this thread"));
    }
    // SAFETY: the kernel's answer for this thread is what its C library registered: a `robust_list_head`, valid while the thread lives.
    let offset = unsafe { &*head }.futex_offset.load(Relaxed);
    if offset != FUTEX_OFFSET {
        return Err(
            unsupported().detail(format!("the list's futex offset is {offset}, not glibc's {FUTEX_OFFSET}"))
        );
    }
    Ok(head)
}

fn unsupported() -> Error {
    Error::new("prepare this thread to lock", ErrorKind::Unsupported)
}
