//! Panics: what is noted of those in the user's function, and forks that wait until no other thread is in a panic hook.
//!
//! The standard library takes backtraces under a lock of its own, which nobody can ask for. A worker that was forked while another thread of the master
//! held it could never take a backtrace, and a panic would be its end. So both are done under this file's lock: the notes, which are short, with the lock
//! held; and the program's own hook, which may do anything, counted. A fork waits until the count is 0. It gives the lock (and those of standard output) back
//! while it waits, because the hook may want to print.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Panic;

/// How long a fork waits for hooks at most: one that waits for the thread which forks would never return.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many threads are in the program's hook. Held by whoever takes a backtrace here, changes the hook, or forks.
static IN_HOOK: Mutex<usize> = Mutex::new(0);
/// A thread has left the hook.
static LEFT: Condvar = Condvar::new();

thread_local! {
    /// Whether this is the thread that the function runs in.
    static CALLS_FUNCTION: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: Cell<Option<Panic>> = const { Cell::new(None) };
    /// Whether this thread is one of those in the hook.
    static IS_IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// From here on this thread's panics are noted, with place and backtrace, and not printed: they arrive as errors.
///
/// Threads that the function starts get the hook that was there before: nobody would hear of their panics otherwise.
pub(crate) fn record() {
    CALLS_FUNCTION.set(true);
}

/// Makes [`record`] possible, once in the life of a program, and in the master: a worker could wait for ever for the hook's lock, if
/// another thread of the master was panicking during the fork.
///
/// A hook that the program sets later is called instead; then nothing but the message is noted.
pub(crate) fn prepare() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    // A thread that unwinds may not change the hook, and whoever maps in a destructor then does without.
    if std::thread::panicking() || cfg!(panic = "abort") {
        return;
    }
    // Our forks wait for this lock, so no worker inherits the hook's own lock, taken. (Nor a `Once` that is never completed.)
    let _alone = lock();
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !CALLS_FUNCTION.get() {
            let _counted = Counted::new();
            return before(info);
        }
        let backtrace = {
            let _alone = lock();
            let backtrace = Backtrace::capture();
            let is_there = backtrace.status() == BacktraceStatus::Captured;
            if is_there { backtrace.to_string() } else { String::new() }
        };
        let location = info.location().map_or(String::new(), |location| location.to_string());
        put_back(Some(Panic { message: text_of(info.payload()), location, backtrace }));
    }));
}

fn lock() -> MutexGuard<'static, usize> {
    IN_HOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that is in the program's hook.
struct Counted;

impl Counted {
    fn new() -> Counted {
        *lock() += 1;
        IS_IN_HOOK.set(true);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        IS_IN_HOOK.set(false);
        let mut count = lock();
        *count = count.saturating_sub(1); // nobody waited for it any longer, perhaps
        LEFT.notify_all();
    }
}

/// How long a fork has waited for panics.
pub(crate) struct Waiting {
    until: Instant,
}

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting { until: Instant::now() + PATIENCE }
    }

    /// Nobody takes a backtrace or is in a hook as long as the guard lives; nothing if somebody is. Does not wait for longer than a backtrace takes.
    pub(crate) fn no_panics(&self) -> Option<NoPanics> {
        let mut count = lock();
        if Instant::now() >= self.until {
            *count = usize::from(IS_IN_HOOK.get()); // and the next fork does not wait for them
        }
        (*count <= usize::from(IS_IN_HOOK.get())).then_some(NoPanics(count))
    }

    /// Waits until that may be different. The caller holds nothing that a hook could want.
    pub(crate) fn wait(&self) {
        let others = |count: &mut usize| *count > usize::from(IS_IN_HOOK.get());
        let rest = self.until.saturating_duration_since(Instant::now());
        drop(LEFT.wait_timeout_while(lock(), rest, others));
    }
}

/// See [`Waiting::no_panics`].
pub(crate) struct NoPanics(MutexGuard<'static, usize>);

impl NoPanics {
    /// Ends it in a forked child, which has this thread and no other.
    pub(crate) fn end_in_child(mut self) {
        *self.0 = usize::from(IS_IN_HOOK.get());
    }
}

/// What was noted of the panic with this payload.
pub(crate) fn last(payload: &(dyn Any + Send)) -> Panic {
    let noted = take_noted();
    // `resume_unwind` calls no hook: then the note, if there is one, is of another panic.
    let message = text_of(payload);
    noted.filter(|panic| panic.message == message).unwrap_or(Panic { message, ..Panic::default() })
}

/// The note of the last panic, for [`put_back`] after something that may panic as well.
pub(crate) fn take_noted() -> Option<Panic> {
    // In a handler of atexit(3) the thread's variables are gone, and there are no notes.
    LAST_PANIC.try_with(Cell::take).unwrap_or_default()
}

/// Makes this the last panic's note again.
pub(crate) fn put_back(noted: Option<Panic>) {
    let _ = LAST_PANIC.try_with(|last| last.set(noted));
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    }
}
