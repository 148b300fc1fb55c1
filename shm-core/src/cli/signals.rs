//! Ctrl-C and its like: they end the program at once, except while something would be left behind. Then they wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{Error, ErrorKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

struct State {
    /// Signals end the program at once.
    at_once: Arc<AtomicBool>,
    /// The signal that came last; 0 none.
    came: Arc<AtomicUsize>,
}

/// While this lives, signals that ask the program to end wait until it is dropped.
pub(crate) struct Deferred(());

impl Deferred {
    pub(crate) fn begin() -> Deferred {
        static HANDLERS: OnceLock<()> = OnceLock::new();
        let state = state();
        HANDLERS.get_or_init(|| {
            let ignored = ignored_signals();
            for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !ignored(*signal)) {
                // In this order: what ends the program is asked first. A signal that cannot be had keeps its usual effect.
                let _ = flag::register_conditional_default(signal, Arc::clone(&state.at_once));
                let _ = flag::register_usize(signal, Arc::clone(&state.came), signal as usize);
            }
        });
        state.at_once.store(false, Ordering::SeqCst);
        Deferred(())
    }

    /// Fails if a signal is waiting: the time to tidy up and go.
    pub(crate) fn check(&self, operation: &'static str, subject: &str) -> Result<(), Error> {
        match state().came.load(Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(Error::new(ErrorKind::System, operation, subject, "it was interrupted")),
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        let state = state();
        state.at_once.store(true, Ordering::SeqCst);
        let came = state.came.swap(0, Ordering::SeqCst);
        if let Some(signal) = i32::try_from(came).ok().filter(|signal| *signal > 0) {
            // So that whoever waits for this program sees why it ended.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| State {
        at_once: Arc::new(AtomicBool::new(true)),
        came: Arc::new(AtomicUsize::new(0)),
    })
}

/// Tells which signals the program was started without, as by nohup(1). They stay so.
fn ignored_signals() -> impl Fn(i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| mask >> (signal - 1) & 1 == 1
}
