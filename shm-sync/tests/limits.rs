//! How many locks a thread can hold, what every primitive says to a thread that holds so many, and what the kernel makes of them.

#![allow(unsafe_code, reason = "a process that dies of a signal")]

mod common;

use common::{fork, watchdog};
use shm_sync::{
    Barrier, BoundedSemaphore, ByteChannel, ByteMutex, Channel, Condvar, Error, ErrorKind, Event, Latch,
    LockError, Mutex, Once, Primitive, ProcessMutex, RecursiveMutex, RwLock, Semaphore, Sequencer,
    WaitOutcome,
};
use shm_testkit::Status;
use std::time::Duration;

const MOST: usize = 2000;

#[test]
fn more_locks_than_the_kernel_cleans_up_are_refused() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..MOST + 1).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
    let child = fork(|| {
        let mut guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
        for lock in [locks[MOST].lock(), locks[MOST].try_lock()] {
            let error = lock.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooManyLocks);
            assert!(error.to_string().contains("2000"), "{error}");
        }
        guards.pop();
        guards.push(locks[MOST].lock().unwrap());
        drop(guards);
        // All of them once more, given up in the order in which they were taken.
        let guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
        guards.into_iter().for_each(drop);
    });
    child.expect_success();
    locks.iter().for_each(|lock| drop(lock.try_lock().unwrap()));
}

/// One way to use a primitive, as often as one likes.
type Use<'a> = (&'static str, Box<dyn Fn() -> Result<(), Error> + 'a>);

/// A way to use a primitive.
fn a_use<'a, T, E: Into<Error>>(name: &'static str, call: impl Fn() -> Result<T, E> + 'a) -> Use<'a> {
    (name, Box::new(move || call().map(drop).map_err(Into::into)))
}

#[test]
fn every_primitive_refuses_a_thread_that_holds_too_much_or_needs_no_room() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..MOST).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
    let (mutex, bytes) = (Mutex::anonymous(0u32).unwrap(), ByteMutex::anonymous(8).unwrap());
    let recursive = RecursiveMutex::anonymous(0u32).unwrap();
    let process_mutex = ProcessMutex::anonymous(()).unwrap();
    let (rwlock, once) = (RwLock::<u32>::anonymous(0).unwrap(), Once::anonymous(()).unwrap());
    let (barrier, sequencer) = (Barrier::anonymous(1).unwrap(), Sequencer::anonymous(0).unwrap());
    let (channel, byte_channel) =
        (Channel::<u64>::anonymous(4).unwrap(), ByteChannel::anonymous(1024).unwrap());
    let (semaphore, bounded) = (Semaphore::anonymous(1).unwrap(), BoundedSemaphore::anonymous(1).unwrap());
    let (event, latch) = (Event::anonymous(false).unwrap(), Latch::anonymous(1).unwrap());
    let condvar = Condvar::anonymous(()).unwrap();
    channel.send(1).unwrap();
    byte_channel.send(b"one").unwrap();
    let refusing = [
        a_use("mutex", || mutex.lock()),
        a_use("mutex, at once", || mutex.try_lock()),
        a_use("byte mutex", || bytes.lock()),
        a_use("recursive mutex", || recursive.lock()),
        a_use("recursive mutex, at once", || recursive.try_lock()),
        a_use("process mutex", || process_mutex.lock()),
        a_use("reader-writer lock, to read", || rwlock.read()),
        a_use("reader-writer lock, to read at once", || rwlock.try_read()),
        a_use("reader-writer lock, to write", || rwlock.write()),
        a_use("reader-writer lock, to write at once", || rwlock.try_write()),
        a_use("barrier", || barrier.wait()),
        a_use("barrier, for good", || barrier.join()),
        a_use("sequencer", || sequencer.turn(sequencer.current())),
        a_use("sequencer, at once", || sequencer.try_turn(sequencer.current())),
        a_use("channel, to send", || channel.send(2)),
        a_use("channel, to receive", || channel.recv()),
        a_use("byte channel, to send", || byte_channel.send(b"two")),
        a_use("byte channel, to receive", || byte_channel.recv()),
        a_use("once", || once.call_once(|| ())),
    ];
    let serving = [
        a_use("semaphore", || semaphore.acquire()),
        a_use("bounded semaphore", || bounded.acquire()),
        a_use("event", || event.set().and_then(|()| event.wait()).and_then(|()| event.clear())),
        a_use("latch", || latch.remaining()),
        a_use("condition variable", || condvar.notify_all()),
    ];
    fork(|| {
        let mut guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
        for (name, call) in &refusing {
            let error = call().expect_err(name);
            assert_eq!(error.kind(), ErrorKind::TooManyLocks, "{name}: {error}");
            assert!(error.to_string().contains("2000"), "{name}: {error}");
        }
        assert_eq!((once.is_completed(), sequencer.current()), (false, 0), "nothing was changed");
        assert_eq!((channel.len(), byte_channel.is_empty()), (1, false), "nor sent or taken");
        serving.iter().for_each(|(name, call)| call().expect(name));
        // A wait gives a lock up and takes it again.
        let (guard, outcome) = condvar.wait_timeout(guards.pop().unwrap(), Duration::from_millis(1)).unwrap();
        assert_eq!(outcome, WaitOutcome::TimedOut);
        drop(guard);
        // One more, because a process mutex goes on taking room after its first use: this thread stands for the process from then on.
        drop(guards.pop());
        refusing.iter().for_each(|(name, call)| call().expect(name));
    })
    .expect_success();
    refusing.iter().chain(&serving).for_each(|(name, call)| call().expect(name));
}

#[test]
fn the_kernel_finds_all_locks_of_a_killed_thread() {
    let _watchdog = watchdog();
    let locks: Vec<_> = (0..MOST).map(|_| Mutex::anonymous(0u32).unwrap()).collect();
    let mut child = fork(|| {
        locks.iter().for_each(|lock| std::mem::forget(lock.lock().unwrap()));
        // SAFETY: ends this process at once.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
    for lock in &locks {
        let Err(LockError::OwnerDied(left)) = lock.try_lock() else { panic!("the kernel has missed one") };
        drop(left.recover());
    }
}
