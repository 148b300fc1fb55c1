//! Waiting with the guards of a process mutex and of a recursive mutex: the same scenarios for both, their deaths, and what only one of them has.
#![allow(
    unsafe_code,
    reason = "a signal handler is installed, and primitives are put into plain pages, which kill tests watch"
)]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    wait_stopped, wait_until, watchdog,
};
use shm_sync::{
    Condvar, Error, ErrorKind, LockError, Mutex, Primitive, ProcessLockError, ProcessMutex,
    ProcessMutexGuard, RecursiveMutex, RecursiveMutexGuard, WaitGuard, WaitOutcome,
};
use shm_testkit::{Child, Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(100);

/// A kind of lock that a condition variable can wait with.
trait Kind: Sized + Sync + 'static {
    /// How it is held.
    type Guard<'a>;

    fn at(bytes: *mut u8) -> Self;

    /// The lock, whatever happened to others.
    fn lock(&self) -> Self::Guard<'_>;

    /// Whether the caller gets it now: for one that does not have it already.
    fn gets(&self) -> bool;

    /// Waits, interruptibly if there is no timeout. True: its holder died meanwhile, and this one has recovered it, unless it should not.
    fn wait<'a>(
        &'a self,
        condvar: &Condvar,
        guard: Self::Guard<'a>,
        timeout: Option<Duration>,
        recovers: bool,
    ) -> Result<(Self::Guard<'a>, WaitOutcome, bool), Error>;
}

fn waited<G: WaitGuard>(
    condvar: &Condvar,
    guard: G,
    timeout: Option<Duration>,
) -> Result<(G, WaitOutcome), G::Error> {
    match timeout {
        Some(timeout) => condvar.wait_timeout(guard, timeout),
        None => condvar.wait_interruptible(guard, None),
    }
}

impl Kind for ProcessMutex {
    type Guard<'a> = ProcessMutexGuard<'a>;

    fn at(bytes: *mut u8) -> Self {
        // SAFETY: a zero page, shared, never unmapped, and used as this only.
        unsafe { ProcessMutex::from_ptr(bytes, 4096) }.unwrap()
    }

    fn lock(&self) -> Self::Guard<'_> {
        self.lock_timeout(FAR).or_else(ProcessLockError::recover).unwrap()
    }

    fn gets(&self) -> bool {
        self.try_lock().is_ok()
    }

    fn wait<'a>(
        &'a self,
        condvar: &Condvar,
        guard: Self::Guard<'a>,
        timeout: Option<Duration>,
        recovers: bool,
    ) -> Result<(Self::Guard<'a>, WaitOutcome, bool), Error> {
        match waited(condvar, guard, timeout) {
            Ok((guard, outcome)) => Ok((guard, outcome, false)),
            Err(ProcessLockError::OwnerDied(guard)) if recovers => {
                Ok((guard.recover(), WaitOutcome::Notified, true))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How often a recursive mutex is locked here.
const LEVELS: usize = 3;

impl Kind for RecursiveMutex<()> {
    type Guard<'a> = Vec<RecursiveMutexGuard<'a, ()>>;

    fn at(bytes: *mut u8) -> Self {
        // SAFETY: a zero page, shared, never unmapped, and used as this only.
        unsafe { RecursiveMutex::from_ptr(bytes, 4096) }.unwrap()
    }

    fn lock(&self) -> Self::Guard<'_> {
        (0..LEVELS).map(|_| self.lock_timeout(FAR).or_else(LockError::recover).unwrap()).collect()
    }

    fn gets(&self) -> bool {
        self.try_lock().is_ok()
    }

    fn wait<'a>(
        &'a self,
        condvar: &Condvar,
        mut guards: Self::Guard<'a>,
        timeout: Option<Duration>,
        recovers: bool,
    ) -> Result<(Self::Guard<'a>, WaitOutcome, bool), Error> {
        let (guard, outcome, died) = match waited(condvar, guards.pop().unwrap(), timeout) {
            Ok((guard, outcome)) => (guard, outcome, false),
            Err(LockError::OwnerDied(left)) if recovers => (left.recover(), WaitOutcome::Notified, true),
            Err(error) => return Err(error.into()),
        };
        guards.push(guard);
        Ok((guards, outcome, died))
    }
}

/// What waits to be consumed, under a lock, and the condition variable that says so.
struct Store<K> {
    lock: K,
    arrived: Condvar,
    stock: &'static AtomicU64,
    consumed: &'static AtomicU64,
    lock_bytes: *mut u8,
    condvar_bytes: *mut u8,
}

impl<K: Kind> Store<K> {
    fn new() -> Self {
        let (lock_bytes, condvar_bytes, bytes) = (shared_bytes(), shared_bytes(), shared_bytes());
        // SAFETY: a zero page, shared, never unmapped, and used as this only.
        let arrived = unsafe { Condvar::from_ptr(condvar_bytes, 4096) }.unwrap();
        // SAFETY: a zero page, never unmapped, aligned, and only used by atomics.
        let [stock, consumed] =
            unsafe { [AtomicU64::from_ptr(bytes.cast()), AtomicU64::from_ptr(bytes.add(8).cast())] };
        Self { lock: K::at(lock_bytes), arrived, stock, consumed, lock_bytes, condvar_bytes }
    }

    fn leaked() -> &'static Self {
        Box::leak(Box::new(Self::new()))
    }

    /// How many wait, as far as the shared bytes know.
    fn waiting(&self) -> u32 {
        // SAFETY: within the page, aligned, never unmapped.
        unsafe { AtomicU64::from_ptr(self.condvar_bytes.add(24).cast()) }.load(SeqCst) as u32
    }

    fn add(&self, count: u64) {
        let _guard = self.lock.lock();
        self.stock.fetch_add(count, SeqCst);
    }

    fn wait<'a>(&'a self, guard: K::Guard<'a>, timeout: Option<Duration>) -> (K::Guard<'a>, WaitOutcome) {
        let (guard, outcome, _) = self.lock.wait(&self.arrived, guard, timeout, true).unwrap();
        (guard, outcome)
    }

    /// Waits until there is something, whatever happens to others, and consumes it.
    fn consume(&self) {
        let mut guard = self.lock.lock();
        while self.stock.load(SeqCst) == 0 {
            (guard, _) = self.wait(guard, None);
        }
        self.take_one();
        drop(guard);
    }

    fn take_one(&self) {
        self.stock.fetch_sub(1, SeqCst);
        self.consumed.fetch_add(1, SeqCst);
    }

    /// A child that consumes one, asleep.
    fn consumer(&self) -> Child {
        let before = self.waiting();
        let child = fork(|| self.consume());
        wait_until(|| self.waiting() > before);
        wait_asleep(&child);
        child
    }

    /// All is well for those who come after.
    fn check(&self) {
        let child = fork(|| self.consume());
        self.add(1);
        self.arrived.notify_all().unwrap();
        child.expect_success();
        let (_guard, outcome) = self.wait(self.lock.lock(), Some(Duration::from_millis(1)));
        assert_eq!(outcome, WaitOutcome::TimedOut);
    }
}

/// Runs a generic test for each kind.
macro_rules! for_each_kind {
    ($($(#[$about:meta])* $test:ident;)*) => {
        mod process {
            $($(#[$about])* #[test] fn $test() { super::$test::<super::ProcessMutex>(); })*
        }
        mod recursive {
            $($(#[$about])* #[test] fn $test() { super::$test::<super::RecursiveMutex<()>>(); })*
        }
    };
}

for_each_kind! {
    hand_overs;
    the_lock_is_free_meanwhile_and_held_again_after_a_deadline;
    signals_interrupt_those_who_ask;
    an_inherited_guard_cannot_wait;
    another_lock_is_refused;
    waiters_hear_of_a_dead_holder_and_of_poison;
    killed_anywhere_in_a_wait;
    killed_anywhere_in_a_wait_that_times_out;
    a_waiter_killed_with_the_lock_hands_its_notification_on;
    a_woken_waiter_killed_before_it_runs_takes_nothing_with_it;
}

/// A number goes round between processes, each waiting for its own.
fn hand_overs<K: Kind>() {
    let _watchdog = watchdog();
    let store = Store::<K>::new();
    let (parties, rounds) = (3, rounds(200) as u64);
    let run = |party: u64| {
        for round in 0..rounds {
            let mut guard = store.lock.lock();
            while store.stock.load(SeqCst) != round * parties + party {
                (guard, _) = store.wait(guard, None);
            }
            store.stock.fetch_add(1, SeqCst);
            drop(guard);
            store.arrived.notify_all().unwrap();
        }
    };
    let children: Vec<_> = (1..parties).map(|party| fork(move || run(party))).collect();
    run(0);
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(store.stock.load(SeqCst), rounds * parties);
    assert_eq!(store.waiting(), 0);
}

fn the_lock_is_free_meanwhile_and_held_again_after_a_deadline<K: Kind>() {
    let _watchdog = watchdog();
    let store = Store::<K>::new();
    let consumer = store.consumer();
    assert!(store.lock.gets(), "it waits");
    store.add(1);
    store.arrived.notify_one().unwrap();
    consumer.expect_success();

    let short = Duration::from_millis(20);
    let start = Instant::now();
    let (guard, outcome) = store.wait(store.lock.lock(), Some(short));
    assert!(outcome == WaitOutcome::TimedOut && start.elapsed() >= short);
    fork(|| assert!(!store.lock.gets())).expect_success();
    let (guard, outcome) = store.wait(guard, Some(Duration::ZERO));
    assert_eq!(outcome, WaitOutcome::TimedOut);
    drop(guard);
    fork(|| assert!(store.lock.gets())).expect_success();
    store.check();
}

extern "C" fn nothing(_: libc::c_int) {}

fn signals_interrupt_those_who_ask<K: Kind>() {
    let _watchdog = watchdog();
    let store = Store::<K>::new();
    let steps = shared_counters();
    let waiter = fork(|| {
        // SAFETY: the handler does nothing; the structure is zeroed and then filled.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        steps[0].store(1, SeqCst);
        let (guard, outcome) = store.wait(store.lock.lock(), None);
        assert_eq!(outcome, WaitOutcome::Interrupted);
        fork(|| assert!(!store.lock.gets(), "it is held again")).expect_success();
        drop(guard);
        steps[0].store(2, SeqCst);
    });
    wait_until(|| steps[0].load(SeqCst) == 1);
    while steps[0].load(SeqCst) == 1 {
        waiter.kill(libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    waiter.expect_success();
    store.check();
}

fn an_inherited_guard_cannot_wait<K: Kind>() {
    let _watchdog = watchdog();
    let store = Store::<K>::new();
    let mut guard = Some(store.lock.lock());
    fork(|| {
        let error = store.lock.wait(&store.arrived, guard.take().unwrap(), None, true).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("forked"), "{error}");
        assert!(!store.lock.gets(), "the parent still has it");
    })
    .expect_success();
    assert_eq!(store.waiting(), 0);
    let (_guard, outcome) = store.wait(guard.take().unwrap(), Some(Duration::ZERO));
    assert_eq!(outcome, WaitOutcome::TimedOut);
}

/// Of the same kind or of another.
fn another_lock_is_refused<K: Kind>() {
    let _watchdog = watchdog();
    let (store, other, mutex) = (Store::<K>::new(), K::at(shared_bytes()), Mutex::anonymous(()).unwrap());
    let consumer = store.consumer();
    let error = other.wait(&store.arrived, other.lock(), None, true).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("another mutex"), "{error}");
    fork(|| assert!(other.gets(), "the guard that was refused is given up")).expect_success();
    let error = store.arrived.wait(mutex.lock().unwrap()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    store.add(1);
    store.arrived.notify_one().unwrap();
    consumer.expect_success();
    // One after the other is fine.
    let (_guard, outcome) = store.arrived.wait_timeout(mutex.lock().unwrap(), Duration::ZERO).unwrap();
    assert_eq!(outcome, WaitOutcome::TimedOut);
}

/// Somebody dies with the lock held: one waiter comes back with the news; if it gives the lock up as it is, the others hear of it too.
fn waiters_hear_of_a_dead_holder_and_of_poison<K: Kind>() {
    let _watchdog = watchdog();
    for recovers in [true, false] {
        let store = Store::<K>::new();
        let counters = shared_counters();
        let children: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    let mut guard = store.lock.lock();
                    while store.stock.load(SeqCst) == 0 {
                        match store.lock.wait(&store.arrived, guard, Some(FAR), recovers) {
                            Ok((back, _, died)) => {
                                guard = back;
                                if died {
                                    counters[0].fetch_add(1, SeqCst);
                                    store.stock.store(9, SeqCst);
                                    store.arrived.notify_all().unwrap();
                                }
                            }
                            Err(error) if error.kind() == ErrorKind::OwnerDied => {
                                counters[0].fetch_add(1, SeqCst);
                                return;
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Poisoned);
                                counters[1].fetch_add(1, SeqCst);
                                return;
                            }
                        }
                    }
                    counters[2].fetch_add(1, SeqCst);
                })
            })
            .collect();
        wait_until(|| store.waiting() == 3);
        // Ends with the lock held, and has told nobody.
        fork(|| std::mem::forget(store.lock.lock())).expect_success();
        children.into_iter().for_each(Child::expect_success);
        let counts = [0, 1, 2].map(|index| counters[index].load(SeqCst));
        assert_eq!(counts, if recovers { [1, 0, 3] } else { [1, 2, 0] });
        assert_eq!(store.waiting(), 0);
    }
}

/// One waiter is killed anywhere in its wait, while another one waits as well. One item comes, with one notification: if the victim has not
/// consumed it, the other one does, and needs no help for that.
fn killed_anywhere_in_a_wait<K: Kind>() {
    killed_often_enough(|| {
        KillTest::new("wait, notified")
            .prepare(|| {
                let store = Store::<K>::leaked();
                let step = &shared_counters()[0];
                let dead = || step.load(SeqCst) == 2;
                // Sleeps behind the victim, as a rule, so that the victim is the one that is woken.
                let other = fork(|| {
                    wait_until(|| step.load(SeqCst) == 1 && store.waiting() > 0 || dead());
                    std::thread::sleep(Duration::from_millis(2));
                    store.consume();
                });
                let notifier = fork(|| {
                    wait_until(|| step.load(SeqCst) == 1 && store.waiting() == 2 || dead());
                    std::thread::sleep(Duration::from_millis(2));
                    store.add(1);
                    store.arrived.notify_one().unwrap();
                });
                (store, step, other, notifier)
            })
            .victim(|(store, step, _, _)| {
                announce(store.lock_bytes, 128);
                announce_list();
                drop(store.lock.lock()); // what the first lock call of a process does is not the wait's
                step.store(1, SeqCst);
                kill_zone(|| {
                    let long = Duration::from_millis(50);
                    let (guard, outcome) = store.wait(store.lock.lock(), Some(long));
                    if outcome == WaitOutcome::Notified && store.stock.load(SeqCst) > 0 {
                        store.take_one();
                    }
                    drop(guard);
                });
            })
            .check(|(store, step, other, notifier), _point| {
                step.store(2, SeqCst);
                notifier.expect_success();
                // Only looked at: a lock call would get news that are the other one's.
                wait_until(|| store.stock.load(SeqCst) == 0);
                store.add(1);
                store.arrived.notify_one().unwrap();
                other.expect_success();
                store.stock.store(0, SeqCst);
                store.check();
            })
            .run(Coverage::from_env())
    });
}

/// A waiter that nobody notifies is killed on its way to sleep, asleep, and giving up.
fn killed_anywhere_in_a_wait_that_times_out<K: Kind>() {
    killed_often_enough(|| {
        KillTest::new("wait in vain")
            .prepare(Store::<K>::leaked)
            .victim(|store| {
                announce(store.lock_bytes, 128);
                announce(store.condvar_bytes, 64);
                announce_list();
                drop(store.lock.lock());
                kill_zone(|| {
                    let (_guard, outcome) = store.wait(store.lock.lock(), Some(Duration::from_millis(2)));
                    assert_eq!(outcome, WaitOutcome::TimedOut);
                });
            })
            .check(|store, _point| store.check())
            .run(Coverage::from_env())
    });
}

/// Killed with the lock taken back, before it has consumed: the one that sleeps comes back with the news, and finds the item.
fn a_waiter_killed_with_the_lock_hands_its_notification_on<K: Kind>() {
    let _watchdog = watchdog();
    for _ in 0..rounds(3) {
        let store = Store::<K>::new();
        let first = &shared_counters()[0];
        let victim = fork(|| {
            let guard = store.wait(store.lock.lock(), None);
            first.store(1, SeqCst);
            std::thread::sleep(FAR);
            drop(guard);
        });
        wait_until(|| store.waiting() == 1);
        wait_asleep(&victim);
        let other = store.consumer();
        other.kill(libc::SIGSTOP); // or it might look first, should the victim be slow
        wait_stopped(&other);
        store.add(1);
        store.arrived.notify_one().unwrap();
        wait_until(|| first.load(SeqCst) == 1);
        drop(victim);
        other.kill(libc::SIGCONT);
        other.expect_success();
        assert_eq!((store.stock.load(SeqCst), store.consumed.load(SeqCst)), (0, 1));
    }
}

/// The other one gets in all the same, without a second notification.
fn a_woken_waiter_killed_before_it_runs_takes_nothing_with_it<K: Kind>() {
    let _watchdog = watchdog();
    for barge in [false, true] {
        let store = Store::<K>::new();
        DoubleKill {
            victim: || store.consume(),
            survivor: || store.consume(),
            wake: || {
                store.add(1);
                store.arrived.notify_one().unwrap();
            },
            // Somebody who came later does not take it either.
            meanwhile: || barge.then(|| store.wait(store.lock.lock(), Some(Duration::from_millis(1))).1),
        }
        .run_then(|outcome| assert!(outcome.is_none_or(|outcome| outcome == WaitOutcome::TimedOut)));
        assert_eq!((store.stock.load(SeqCst), store.consumed.load(SeqCst)), (0, 1));
        store.check();
    }
}

#[test]
fn a_process_mutex_is_waited_with_by_any_thread_of_its_process() {
    let _watchdog = watchdog();
    let (lock, condvar) = (ProcessMutex::anonymous(()).unwrap(), Condvar::anonymous(()).unwrap());
    assert!(lock.held().is_none(), "nobody holds it");
    lock.lock().unwrap().keep();
    fork(|| assert!(lock.held().is_none(), "it is the parent's")).expect_success();
    // Another handle of this process, and another thread.
    let elsewhere = lock.clone();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = elsewhere.held().unwrap();
            let (guard, outcome) = condvar.wait_timeout(guard, FAR).unwrap();
            guard.keep();
            outcome
        });
        // It becomes free when the other thread waits.
        drop(lock.lock().unwrap());
        condvar.notify_one().unwrap();
        assert_eq!(waiter.join().unwrap(), WaitOutcome::Notified);
    });
    lock.release().unwrap();
}

#[test]
fn a_process_mutex_that_a_stranger_has_released_cannot_be_waited_with() {
    let (lock, condvar) = (ProcessMutex::anonymous(()).unwrap(), Condvar::anonymous(()).unwrap());
    let guard = lock.lock().unwrap();
    fork(|| lock.release().unwrap()).expect_success();
    let mut place = Some(guard);
    let error = condvar.wait_in_place(&mut place, None, false).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
    assert!(error.to_string().contains("somebody else"), "{error}");
    // Not even when somebody holds it again, who is not asked.
    let successor = lock.lock().unwrap();
    assert_eq!(condvar.wait(place.take().unwrap()).map(drop).unwrap_err().kind(), ErrorKind::NotHeld);
    fork(|| assert!(!lock.gets())).expect_success();
    drop(successor);
}

#[test]
fn conditions_are_asked_with_the_guard() {
    let recursive = RecursiveMutex::anonymous(1u32).unwrap();
    let (lock, condvar) = (ProcessMutex::anonymous(()).unwrap(), Condvar::anonymous(()).unwrap());
    let outer = recursive.lock().unwrap();
    let guard = condvar.wait_while(recursive.lock().unwrap(), |left| left.get() == 0).unwrap();
    outer.set(0);
    let soon = Duration::from_millis(2);
    let (guard, outcome) = condvar.wait_while_timeout(guard, |left| left.get() == 0, soon).unwrap();
    assert_eq!((guard.get(), outcome), (0, WaitOutcome::TimedOut));
    let mut asked = 0;
    let again = |_: &mut ProcessMutexGuard| {
        asked += 1;
        asked < 3
    };
    let (_guard, outcome) = condvar.wait_while_timeout(lock.lock().unwrap(), again, soon).unwrap();
    assert_eq!((outcome, asked), (WaitOutcome::TimedOut, 2));
}

/// The other guards of the thread stay good, whatever became of the value: they hold the lock when the wait is over.
#[test]
fn the_outer_guards_of_a_recursive_mutex_outlast_its_poisoning() {
    let _watchdog = watchdog();
    let (mutex, condvar) = (RecursiveMutex::anonymous(1u32).unwrap(), Condvar::anonymous(()).unwrap());
    let outer = mutex.lock().unwrap();
    let poisoner = fork(|| {
        drop(mutex.lock().unwrap());
        drop(mutex.repair().unwrap()); // given up
    });
    let error = condvar.wait(mutex.lock().unwrap()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    poisoner.expect_success();
    outer.set(2);
    fork(|| assert_eq!(mutex.try_lock().map(drop).unwrap_err().kind(), ErrorKind::Busy)).expect_success();
    drop(outer);
    let left = mutex.repair().unwrap();
    assert_eq!(left.get(), 2);
    drop(left.recover());
    drop(mutex.lock().unwrap());
}

/// A guard that a panic has dropped is news when the lock becomes free, and it does in a wait; its own thread may be the one that is told.
#[test]
fn a_panic_at_an_inner_level_is_told_when_the_wait_frees_the_lock() {
    let _watchdog = watchdog();
    let (mutex, condvar) = (RecursiveMutex::anonymous(0u32).unwrap(), Condvar::anonymous(()).unwrap());
    let outer = mutex.lock().unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _inner = mutex.lock().unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panic.is_err());
    let Err(LockError::OwnerDied(left)) = condvar.wait_timeout(outer, Duration::from_millis(1)) else {
        panic!("not told");
    };
    drop(left.recover());
    drop(mutex.lock().unwrap());
}
