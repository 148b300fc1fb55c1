//! The kill test: an operation, killed at each of its points, and its survivors checked.
//!
//! A first victim runs undisturbed and gives the list of points. For each chosen point a fresh victim then runs up
//! to it and is killed there with SIGKILL. A point is a position: how many stops at system calls came before it,
//! and how many stores since. So a victim is single-stepped only from its last system call before the point on,
//! and small differences between runs elsewhere do no harm: it dies at the first event at or after the position.
//!
//! A step over a system call instruction would show its effect only, so such an instruction is recognised and let
//! run to the two stops of the call. Changes of watched memory that the call itself made belong to it and are not
//! stores. What is compared and how is in [`watch`](crate::watch), the ptrace calls are in
//! [`trace`](mod@crate::trace), the markers in [`zone`](crate::zone).
//!
//! A step took 23 to 57 us and a stop at a system call at most 11 us, forks included (x86-64 virtual machine with
//! 2 cores, Linux 6.18, other builds running); why steps cost more was not looked into. Holding tracer and victim
//! on one CPU took the call stops from 0.83 to 0.91 s down to 0.37 to 0.57 s for 400 victims; for the steps the runs
//! scattered from 6.5 to 16 s with and without it. As the steps are what takes long, it is not done.

use crate::child::Status;
use crate::coverage::{Coverage, Event, KillPoint, Report};
use crate::say::say;
use crate::trace::{self, Pace, Stop, Tracee};
use crate::watch::Watched;
use crate::watchdog::Watchdog;
use crate::zone::Marker;
use std::thread;
use std::time::Duration;

/// The time after which a victim or a check is taken to hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// A test that kills forked victims at every system call and every store of an operation.
///
/// Three closures make it up; leaving one out does not compile.
///
/// - `prepare` runs in the test's process before each fork and makes a fresh fixture: names, segments, mappings.
/// - `victim` runs in a forked child on its copy of the fixture. What happens inside [`kill_zone`] counts: each
///   system call, before and after, and each change of memory that the victim [announced]. It must not print and
///   should do the same each time; other processes had better leave the announced memory alone meanwhile. Threads
///   and processes that it starts are not traced, unless it names one by [`kill_zone_in_fork`]. The child ends by `_exit`: its copy of the fixture is not dropped.
/// - `check` gets the fixture back in the test's process once the victim is dead and reaped, with the point of
///   death, and panics if a survivor cannot go on. It may use the object, fork, and so on.
///
/// [`kill_zone`]: crate::kill_zone
/// [`kill_zone_in_fork`]: crate::kill_zone_in_fork()
/// [announced]: crate::announce()
///
/// # Examples
/// A file is published by a rename, so that its readers see all of it or nothing:
/// ```
/// use shm_testkit::{Cleanup, Coverage, KillTest, kill_zone, unique_name};
/// use std::fs;
///
/// let report = KillTest::new("publish")
///     .prepare(|| {
///         let (draft, name) = (unique_name("draft"), unique_name("published"));
///         let cleanup = Cleanup::of([&draft, &name]);
///         (format!("/dev/shm/{draft}"), format!("/dev/shm/{name}"), cleanup)
///     })
///     .victim(|(draft, name, _)| {
///         kill_zone(|| {
///             fs::write(&*draft, "all of it").unwrap();
///             fs::rename(&*draft, &*name).unwrap();
///         });
///     })
///     .check(|(_, name, _cleanup), _point| {
///         if let Ok(text) = fs::read_to_string(name) {
///             assert_eq!(text, "all of it");
///         }
///     })
///     .run(Coverage::from_env());
/// assert!(report.skipped_reason.is_some() || report.kills > 0);
/// ```
#[derive(Debug)]
#[must_use = "a kill test does nothing before `run`"]
pub struct KillTest<P = (), V = (), C = ()> {
    name: String,
    prepare: P,
    victim: V,
    check: C,
}

impl KillTest {
    /// Begins a kill test; `name` appears in its messages.
    ///
    /// # Examples
    /// ```
    /// use shm_testkit::{Coverage, KillTest, kill_zone};
    ///
    /// let test = KillTest::new("look");
    /// # let test = test.prepare(|| ()).victim(|_| kill_zone(|| _ = std::fs::metadata("/"))).check(|_, _| ());
    /// assert_eq!(test.run(Coverage::All).name, "look");
    /// ```
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), prepare: (), victim: (), check: () }
    }

    /// Sets what makes a fresh fixture in the test's process, before each victim is forked.
    ///
    /// # Examples
    /// ```
    /// # use shm_testkit::{Coverage, KillTest, kill_zone};
    /// let mut made = 0;
    /// let report = KillTest::new("look")
    ///     .prepare(|| made += 1) // one more for the victim that is not killed
    ///     # .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
    ///     # .check(|_, _| ())
    ///     .run(Coverage::All);
    /// assert!(report.skipped_reason.is_some() || made > report.kills);
    /// ```
    pub fn prepare<S, P: FnMut() -> S>(self, prepare: P) -> KillTest<P> {
        KillTest { name: self.name, prepare, victim: (), check: () }
    }
}

impl<P> KillTest<P> {
    /// Sets what runs in the forked child; it contains the [`kill_zone`](crate::kill_zone()).
    ///
    /// # Examples
    /// ```
    /// # use shm_testkit::{Coverage, KillTest, announce, kill_zone};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let report = KillTest::new("one store")
    ///     .prepare(|| AtomicU32::new(0))
    ///     .victim(|word| {
    ///         announce(word.as_ptr(), 4);
    ///         kill_zone(|| word.store(1, Ordering::Release));
    ///     })
    ///     # .check(|_, _| ())
    ///     .run(Coverage::All);
    /// assert!(report.skipped_reason.is_some() || report.stores == 1);
    /// ```
    pub fn victim<S, V>(self, victim: V) -> KillTest<P, V>
    where
        P: FnMut() -> S,
        V: Fn(&mut S),
    {
        KillTest { name: self.name, prepare: self.prepare, victim, check: () }
    }
}

impl<P, V> KillTest<P, V> {
    /// Sets what the survivors do after each kill; it runs in the test's process and panics when something is wrong.
    ///
    /// # Examples
    /// ```
    /// # use shm_testkit::{Cleanup, Coverage, KillTest, kill_zone, unique_name};
    /// # use std::fs;
    /// KillTest::new("remove")
    ///     .prepare(|| {
    ///         let name = unique_name("removed");
    ///         fs::write(format!("/dev/shm/{name}"), "all of it").unwrap();
    ///         (Cleanup::of([&name]), format!("/dev/shm/{name}"))
    ///     })
    ///     .victim(|(_, path)| kill_zone(|| fs::remove_file(path).unwrap()))
    ///     .check(|(_cleanup, path), _point| {
    ///         assert!(fs::read(path).map_or(true, |text| text == b"all of it")); // there or gone, never cut
    ///     })
    ///     .run(Coverage::All);
    /// ```
    pub fn check<S, C>(self, check: C) -> KillTest<P, V, C>
    where
        P: FnMut() -> S,
        C: FnMut(S, &KillPoint),
    {
        KillTest { name: self.name, prepare: self.prepare, victim: self.victim, check }
    }
}

impl<P, V, C> KillTest<P, V, C> {
    /// Counts the points with an undisturbed victim, then kills one victim at each point that `coverage` chooses,
    /// and runs the check after each.
    ///
    /// Where ptrace is not permitted, or the CPU cannot be stepped, it says so in one line on standard error and
    /// returns a report with [`skipped_reason`](Report::skipped_reason) and nothing counted. Blocks; a watchdog
    /// aborts the test process when one victim with its check takes more than five minutes.
    ///
    /// # Panics
    /// When the check does; when a victim panics, fails or dies otherwise; when the operation has no points, or no
    /// victim reached its point; when announced memory is not readable.
    ///
    /// # Examples
    /// ```
    /// # use shm_testkit::{Coverage, KillTest, kill_zone};
    /// let report = KillTest::new("look")
    ///     # .prepare(|| ())
    ///     # .victim(|_| kill_zone(|| _ = std::fs::metadata("/")))
    ///     # .check(|_, _| ())
    ///     .run(Coverage::from_env());
    /// assert!(report.skipped_reason.is_some() || report.kills > 0, "{report}");
    /// ```
    pub fn run<S>(mut self, coverage: Coverage) -> Report
    where
        P: FnMut() -> S,
        V: Fn(&mut S),
        C: FnMut(S, &KillPoint),
    {
        let mut report = Report { name: self.name.clone(), ..Report::default() };
        if let Err(reason) = trace::available() {
            report.skipped_reason = Some(reason);
            say(&report.to_string());
            return report;
        }

        let events = self.count();
        report.points = events.len();
        report.stores = events.iter().filter(|event| matches!(event, Event::Store { .. })).count();
        report.calls = events.iter().filter(|event| matches!(event, Event::BeforeCall { .. })).count();
        assert!(
            !events.is_empty(),
            "kill test {}: no system call and no change of announced memory happened inside `kill_zone`",
            self.name
        );

        for index in coverage.choose(events.len()) {
            let planned = KillPoint { number: index + 1, of: events.len(), event: events[index] };
            if self.kill_at(planned) {
                report.kills += 1;
            } else {
                report.missed += 1;
            }
        }
        assert!(
            report.kills > 0,
            "kill test {}: none of {} victims reached its point; make the victim do the same each time",
            self.name,
            report.missed
        );
        report
    }

    /// Runs a victim to its end and returns what happened in its zone.
    fn count<S>(&mut self) -> Vec<Event>
    where
        P: FnMut() -> S,
        V: Fn(&mut S),
    {
        let _watchdog = Watchdog::named(&format!("kill test {}, counting", self.name), PATIENCE);
        let mut state = (self.prepare)();
        let mut events = Vec::new();
        let mut run = Run::start(&self.name, || (self.victim)(&mut state));
        while let Some(event) = run.next_event(None) {
            events.push(event);
        }
        events
    }

    /// Kills one victim at `planned` and checks; false when the victim ended before.
    fn kill_at<S>(&mut self, planned: KillPoint) -> bool
    where
        P: FnMut() -> S,
        V: Fn(&mut S),
        C: FnMut(S, &KillPoint),
    {
        let _watchdog = Watchdog::named(&format!("kill test {}, {planned}", self.name), PATIENCE);
        let mut state = (self.prepare)();
        let run = Run::start(&self.name, || (self.victim)(&mut state));
        let Some(event) = run.kill_at(Position::of(planned.event)) else { return false };
        let point = KillPoint { event, ..planned };
        let _context = OnPanic(|| eprintln!("kill test {}: the check failed after {point}", self.name));
        (self.check)(state, &point);
        true
    }
}

/// Runs its closure when it is dropped by a panic.
struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

/// Where in the zone an event is: events are ordered by the call stops up to them, then by the stores since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    call_stops: usize,
    stores: usize,
}

impl Position {
    fn of(event: Event) -> Self {
        match event {
            Event::BeforeCall { ordinal, .. } => Self { call_stops: 2 * ordinal - 1, stores: 0 },
            Event::AfterCall { ordinal, .. } => Self { call_stops: 2 * ordinal, stores: 0 },
            Event::Store { ordinal, after_call, .. } => Self { call_stops: 2 * after_call, stores: ordinal },
        }
    }
}

/// A victim on its way through its zone, stopped.
struct Run<'a> {
    name: &'a str,
    tracee: Tracee,
    watched: Watched,
    in_zone: bool,
    /// The call the victim is in, between its two stops; `None` inside for the call of a marker.
    open_call: Option<Option<u64>>,
    calls: usize,
    stores: usize,
    /// How many more forks there are until the one whose process is followed, that one included.
    forks_to_follow: usize,
    /// A signal to deliver at the next resumption, 0 for none.
    signal: i32,
}

impl<'a> Run<'a> {
    fn start(name: &'a str, victim: impl FnOnce()) -> Self {
        let tracee = Tracee::start(victim)
            .unwrap_or_else(|error| panic!("kill test {name}: cannot trace the victim: {error}"));
        let watched = Watched::default();
        Self {
            name,
            tracee,
            watched,
            in_zone: false,
            open_call: None,
            calls: 0,
            stores: 0,
            forks_to_follow: 0,
            signal: 0,
        }
    }

    /// Kills the victim at the first event at or after `target` and returns that event; `None` when the victim
    /// ended before.
    fn kill_at(mut self, target: Position) -> Option<Event> {
        loop {
            let event = self.next_event(Some(target))?;
            if Position::of(event) >= target {
                let status = self.tracee.kill();
                assert!(
                    status == Status::Killed(libc::SIGKILL),
                    "kill test {}: the victim {status} instead of being killed {event}",
                    self.name
                );
                self.finish();
                return Some(event);
            }
        }
    }

    /// Lets the victim run to the next event of its zone, or to its end; with a target, stores before the target's
    /// last system call pass unseen.
    fn next_event(&mut self, target: Option<Position>) -> Option<Event> {
        loop {
            let pace = if self.is_stepping(target) { Pace::Step } else { Pace::Call };
            let signal = std::mem::take(&mut self.signal);
            let event = match self.tracee.resume(pace, signal) {
                Stop::Entry(call) => match Marker::of(&call) {
                    Some(marker) => self.mark(marker),
                    None => self.enter(call.number),
                },
                Stop::Exit => self.leave(),
                Stop::Step => self.step(),
                Stop::Signal(signal) => {
                    self.signal = signal;
                    None
                }
                Stop::Other => None,
                Stop::Forked(pid) => {
                    self.forked(pid);
                    None
                }
                Stop::Ended(Status::Exited(0)) => {
                    self.finish();
                    return None;
                }
                Stop::Ended(status) => {
                    panic!("kill test {}: the victim {status}{}", self.name, self.tracee.last_words());
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Whether stores have to be looked for from here, and the next instruction is an ordinary one.
    fn is_stepping(&self, target: Option<Position>) -> bool {
        self.in_zone
            && self.open_call.is_none()
            && !self.watched.is_empty()
            && target.is_none_or(|target| target.stores > 0 && 2 * self.calls >= target.call_stops)
            && !self.tracee.is_at_call()
    }

    /// The victim is gone: when it was a child's child, the child has to end well too.
    fn finish(&mut self) {
        match self.tracee.finish() {
            None | Some(Status::Exited(0)) => {}
            Some(status) => {
                let words = self.tracee.last_words();
                panic!("kill test {}: the victim's parent {status}{words}", self.name);
            }
        }
    }

    fn forked(&mut self, pid: i32) {
        self.forks_to_follow -= 1;
        if self.forks_to_follow > 0 {
            return self.tracee.let_go(pid);
        }
        self.tracee.follow(pid);
        self.watched = Watched::default();
        (self.in_zone, self.open_call, self.calls, self.stores) = (true, None, 0, 0);
    }

    fn mark(&mut self, marker: Marker) -> Option<Event> {
        self.open_call = Some(None);
        match marker {
            Marker::Begin => self.in_zone = true,
            Marker::End => self.in_zone = false,
            Marker::Follow { number } => {
                assert!(number > 0, "kill test {}: forks are counted from 1", self.name);
                self.forks_to_follow = number;
                self.tracee.watch_forks();
            }
            Marker::Announce { address, len_bytes } => {
                if let Err(problem) = self.watched.add(&self.tracee, address, len_bytes) {
                    panic!("kill test {}: {problem}", self.name);
                }
            }
        }
        None
    }

    fn enter(&mut self, number: u64) -> Option<Event> {
        self.open_call = Some(Some(number));
        self.in_zone.then_some(Event::BeforeCall { ordinal: self.calls + 1, number })
    }

    fn leave(&mut self) -> Option<Event> {
        let number = self.open_call.take().flatten();
        self.watched.update(&self.tracee);
        let number = number.filter(|_| self.in_zone)?;
        self.calls += 1;
        self.stores = 0;
        Some(Event::AfterCall { ordinal: self.calls, number })
    }

    fn step(&mut self) -> Option<Event> {
        let change = self.watched.update(&self.tracee)?;
        self.stores += 1;
        Some(Event::Store {
            ordinal: self.stores,
            after_call: self.calls,
            offset: change.address - change.range_start,
        })
    }
}
