//! The event under loom: whoever waits when it is set passes, whoever dies meanwhile.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_event --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use shm_sync::model::event::Event;
use shm_sync::model::gate::Death;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Four threads: a third preemption would take minutes.
    builder.preemption_bound = Some(2);
    builder.check(threads);
}

fn spawn(event: &Arc<Event>, run: impl FnOnce(&Event) + 'static) -> thread::JoinHandle<()> {
    let event = event.clone();
    thread::spawn(move || run(&event))
}

/// All pass, and see what was stored before.
#[test]
fn everybody_passes_and_sees_what_came_before() {
    model(|| {
        let event = Arc::new(Event::default());
        let value = Arc::new(AtomicU32::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let value = value.clone();
                spawn(&event, move |event| {
                    event.wait();
                    assert_eq!(value.load(Relaxed), 7);
                })
            })
            .collect();
        value.store(7, Relaxed);
        event.set();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(event.is_set());
    });
}

/// Whoever came before it was set passes, though it is clear again.
#[test]
fn a_pulse_lets_everybody_through_who_was_there() {
    model(|| {
        let event = Arc::new(Event::default());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let came = event.come();
                spawn(&event, move |event| event.wait_since(came))
            })
            .collect();
        event.set();
        event.clear();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(!event.is_set());
    });
}

/// Two who set and one who clears in between: whoever came before passes.
#[test]
fn setters_and_a_clearer_at_once_forget_nobody() {
    model(|| {
        let event = Arc::new(Event::default());
        let came = event.come();
        let others = [
            spawn(&event, move |event| event.wait_since(came)),
            spawn(&event, Event::clear),
            spawn(&event, Event::set),
        ];
        event.set();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_killed_waiter_jams_nobody() {
    model(|| {
        let event = Arc::new(Event::default());
        let others =
            [spawn(&event, Event::wait), spawn(&event, Event::die_woken), spawn(&event, Event::wait)];
        event.set();
        event.recheck();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// The setter dies half-way: all pass, in the end by the re-check.
#[test]
fn a_killed_setter_has_everybody_woken() {
    for death in [Death::Changed, Death::Swapped] {
        model(move || {
            let event = Arc::new(Event::default());
            let waiters: Vec<_> = (0..2).map(|_| spawn(&event, Event::wait)).collect();
            event.set_and_die(death);
            event.recheck();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}
