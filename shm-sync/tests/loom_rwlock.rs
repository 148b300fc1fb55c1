//! The reader-writer lock's words under loom: every interleaving of readers, writers and deaths, with the kernel's part played by the model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_rwlock --release`. Loom reports a race on the value (no exclusion, or an ordering that
//! is too weak) and a thread that sleeps for ever (a lost wake-up).
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::rwlock::Lock;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(threads);
}

fn spawn<T: 'static>(lock: &Arc<Lock>, run: impl FnOnce(&Lock) -> T + 'static) -> thread::JoinHandle<T> {
    let lock = lock.clone();
    thread::spawn(move || run(&lock))
}

/// The two halves of Dekker's algorithm, with nothing else about: one of them at least sees the other.
#[test]
fn a_reader_and_a_writer_do_not_both_get_in() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let writer = spawn(&lock, |lock| {
            if lock.try_write(2) {
                lock.add();
                lock.end_writing();
            }
        });
        if lock.try_read(1, 0) {
            lock.look();
            lock.end_reading(0);
        }
        writer.join().unwrap();
        assert!(lock.try_write(1), "free in the end");
    });
}

#[test]
fn readers_and_a_writer_wait_for_each_other_and_none_is_left_asleep() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let writer = spawn(&lock, |lock| {
            assert!(!lock.write(2));
            lock.add();
            lock.end_writing();
        });
        let reader = spawn(&lock, |lock| {
            lock.read(3, 1).expect("nobody has died");
            lock.look();
            lock.end_reading(1);
        });
        lock.read(1, 0).expect("nobody has died");
        lock.look();
        lock.end_reading(0);
        writer.join().unwrap();
        reader.join().unwrap();
        assert!(lock.try_write(1));
        assert_eq!(lock.add(), 2);
    });
}

#[test]
fn two_writers_and_a_reader_that_was_one() {
    model(|| {
        let lock = Arc::new(Lock::default());
        let writer = spawn(&lock, |lock| {
            assert!(!lock.write(2));
            lock.add();
            lock.end_writing();
        });
        assert!(!lock.write(1));
        let written = lock.add();
        lock.downgrade(1, 0);
        assert_eq!(lock.look(), written, "nobody wrote in between");
        lock.end_reading(0);
        writer.join().unwrap();
        assert!(lock.try_write(1));
        assert_eq!(lock.add(), 3);
    });
}

/// A reader is killed, in its slot or on its way: the writer gets in, without news, while the other reader still keeps it out.
#[test]
fn a_killed_reader_is_simply_gone() {
    model(|| {
        let lock = Arc::new(Lock::default());
        lock.read(1, 0).expect("nobody has died");
        let victim = spawn(&lock, |lock| {
            lock.try_read(3, 1);
            lock.die(3);
        });
        let writer = spawn(&lock, |lock| {
            assert!(!lock.write(2), "no news");
            lock.add();
            lock.end_writing();
        });
        lock.look();
        lock.end_reading(0);
        victim.join().unwrap();
        writer.join().unwrap();
        assert!(lock.read(1, 0).is_some());
        assert_eq!(lock.look(), 1);
    });
}

/// A writer is killed: of those after it exactly one hears of it, reader or writer, and sees what the dead one stored.
#[test]
fn a_killed_writer_is_told_once() {
    model(|| {
        let lock = Arc::new(Lock::default());
        assert!(!lock.write(1));
        let writer = spawn(&lock, |lock| {
            let told = lock.write(2);
            lock.add();
            lock.end_writing();
            told
        });
        let reader = spawn(&lock, |lock| match lock.read(3, 1) {
            Some(()) => {
                lock.look();
                lock.end_reading(1);
                false
            }
            None => {
                lock.look();
                lock.end_writing();
                true
            }
        });
        lock.add();
        lock.die(1);
        assert_eq!(u32::from(writer.join().unwrap()) + u32::from(reader.join().unwrap()), 1);
        assert!(!lock.write(1));
        assert_eq!(lock.add(), 3);
    });
}

/// A writer is killed while it waits for a reader: no news, and whoever queued behind it gets on.
#[test]
fn a_writer_killed_in_its_wait_jams_nobody() {
    model(|| {
        let lock = Arc::new(Lock::default());
        lock.read(1, 0).expect("nobody has died");
        let victim = spawn(&lock, |lock| lock.die_at_the_gate(2));
        let next = spawn(&lock, |lock| {
            assert!(!lock.write(3), "no news");
            lock.add();
            lock.end_writing();
        });
        lock.end_reading(0);
        victim.join().unwrap();
        next.join().unwrap();
        assert!(lock.try_read(1, 0) || lock.read(1, 0).is_some());
        assert_eq!(lock.look(), 1);
    });
}
