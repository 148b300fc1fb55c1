//! The primitives beside the C library's process-shared ones: alone, contending, and handing over between two processes.
//!
//! The pairs of names and what is to be reached stand in `reach.json`. Every contended run checks the count that its lock guards.

#![allow(unsafe_code, reason = "a plain number in shared pages, for locks that guard no value of their own")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use shm_bench::glibc;
use shm_bench::processes::{Contention, contend, shared_page, take_turns};
use shm_sync::{Barrier, ByteChannel, Channel, Condvar, Event, Mutex, Primitive, RwLock, Semaphore};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// How many operations a contended run has at least, so that starting it does not count.
const LEAST: u64 = 20_000;

/// A sum in shared pages that whoever holds a lock may add to.
struct Sum(*mut u64);

impl Sum {
    fn new() -> Self {
        Self(shared_page().cast())
    }

    #[inline(always)]
    fn add_one(&self) {
        // SAFETY: in a page that is never unmapped, aligned; the lock that is measured keeps others away, which the total proves.
        unsafe { *self.0 += 1 };
    }

    #[inline(always)]
    fn get(&self) -> u64 {
        // SAFETY: as above; the processes have ended.
        unsafe { self.0.read_volatile() }
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Benches `name`, the time per operation when so many processes contend, and `name_longest_wait`, the longest that one of them waited.
/// `total` tells how many operations were counted under the lock.
fn contended(
    group: &mut Group<'_>,
    name: &str,
    processes: u32,
    operation: impl Fn(),
    total: impl Fn() -> u64,
) {
    let run = |iterations: u64| -> (Contention, u64) {
        let each = iterations.max(LEAST);
        let before = total();
        let run = contend(processes as usize, each, &operation);
        assert_eq!(total() - before, each * u64::from(processes), "{name} did not exclude");
        (run, each)
    };
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let (run, each) = run(iterations);
            (run.elapsed / processes).mul_f64(iterations as f64 / each as f64)
        });
    });
    group.bench_function(format!("{name}_longest_wait"), |b| {
        b.iter_custom(|iterations| run(iterations).0.longest.mul_f64(iterations as f64));
    });
}

/// Two processes, each on a core of its own, and more than there are cores.
fn crowds(c: &mut Criterion, what: &str, bench: impl Fn(&mut Group<'_>, u32)) {
    for processes in [2, 8] {
        let mut group = c.benchmark_group(format!("{what}_{processes}_processes"));
        group.sample_size(20);
        bench(&mut group, processes);
        group.finish();
    }
}

fn mutex(c: &mut Criterion) {
    let ours = Mutex::anonymous(0u64).expect("a page");
    let (plain, robust, sum) = (glibc::Mutex::new(false), glibc::Mutex::new(true), Sum::new());
    let with_ours = || *ours.lock().expect("nobody dies here") += 1;
    let with_glibc = |lock: &glibc::Mutex| {
        lock.lock();
        sum.add_one();
        lock.unlock();
    };
    let mut group = c.benchmark_group("mutex");
    group.bench_function("ours", |b| b.iter(with_ours));
    group.bench_function("glibc", |b| b.iter(|| with_glibc(&plain)));
    group.bench_function("glibc_robust", |b| b.iter(|| with_glibc(&robust)));
    group.finish();
    crowds(c, "mutex", |group, processes| {
        contended(group, "ours", processes, with_ours, || *ours.lock().expect("nobody dies here"));
        contended(group, "glibc", processes, || with_glibc(&plain), || sum.get());
    });
}

fn semaphore(c: &mut Criterion) {
    let (ours, theirs) = (Semaphore::anonymous(1).expect("a page"), glibc::Semaphore::new(1));
    let mut group = c.benchmark_group("semaphore");
    group.bench_function("ours", |b| {
        b.iter(|| {
            ours.acquire().expect("there is a permit").forget();
            ours.release(1).expect("there is room");
        })
    });
    group.bench_function("glibc", |b| {
        b.iter(|| {
            theirs.wait();
            theirs.post();
        })
    });
    group.finish();
    assert_eq!(ours.available().expect("not damaged"), 1);

    // One permit, as a lock.
    let (our_sum, their_sum) = (Sum::new(), Sum::new());
    let with_ours = || {
        let permit = ours.acquire().expect("not damaged");
        our_sum.add_one();
        drop(permit);
    };
    let with_glibc = || {
        theirs.wait();
        their_sum.add_one();
        theirs.post();
    };
    crowds(c, "semaphore", |group, processes| {
        contended(group, "ours", processes, with_ours, || our_sum.get());
        contended(group, "glibc", processes, with_glibc, || their_sum.get());
    });
}

fn rwlock(c: &mut Criterion) {
    let ours = RwLock::<u64>::anonymous(0).expect("some pages");
    let (theirs, sum) = (glibc::RwLock::default(), Sum::new());
    let mut group = c.benchmark_group("rwlock_read");
    group.bench_function("ours", |b| b.iter(|| *ours.read().expect("nobody dies here")));
    group.bench_function("glibc", |b| {
        b.iter(|| {
            theirs.read();
            let seen = sum.get();
            theirs.unlock();
            seen
        })
    });
    group.finish();
    let mut group = c.benchmark_group("rwlock_write");
    group.bench_function("ours", |b| b.iter(|| *ours.write().expect("nobody dies here") += 1));
    group.bench_function("glibc", |b| {
        b.iter(|| {
            theirs.write();
            sum.add_one();
            theirs.unlock();
        })
    });
    group.finish();

    // Writers among readers: an operation is seven reads and a write.
    let with_ours = || {
        (0..7).for_each(|_| _ = black_box(*ours.read().expect("nobody dies here")));
        *ours.write().expect("nobody dies here") += 1;
    };
    let with_glibc = || {
        for _ in 0..7 {
            theirs.read();
            black_box(sum.get());
            theirs.unlock();
        }
        theirs.write();
        sum.add_one();
        theirs.unlock();
    };
    crowds(c, "rwlock", |group, processes| {
        contended(group, "ours", processes, with_ours, || *ours.read().expect("nobody dies here"));
        contended(group, "glibc", processes, with_glibc, || sum.get());
    });
}

fn barrier(c: &mut Criterion) {
    let (ours, theirs) = (Barrier::anonymous(1).expect("a page"), glibc::Barrier::new(1));
    let party = ours.join().expect("a free seat");
    let mut group = c.benchmark_group("barrier_of_one");
    group.bench_function("ours", |b| b.iter(|| party.wait().expect("nobody dies here")));
    group.bench_function("glibc", |b| b.iter(|| theirs.wait()));
    group.finish();
}

fn condvar(c: &mut Criterion) {
    let (ours, theirs) = (Condvar::anonymous(()).expect("a page"), glibc::Condvar::default());
    let mut group = c.benchmark_group("condvar_notify_nobody");
    group.bench_function("ours", |b| b.iter(|| ours.notify_one().expect("not damaged")));
    group.bench_function("glibc", |b| b.iter(|| theirs.signal()));
    group.finish();
}

/// Messages of 64 bytes from one process to another, beside crossbeam's bounded channel from one thread to another.
fn channel(c: &mut Criterion) {
    const CAPACITY: usize = 1024;
    const MESSAGE: usize = 64;
    let message = |number: u64| -> [u64; MESSAGE / 8] { [number; MESSAGE / 8] };
    let mut group = c.benchmark_group("channel_64_bytes");
    group.sample_size(20).throughput(Throughput::Elements(1));

    let ours = Channel::<[u64; MESSAGE / 8]>::anonymous(CAPACITY).expect("some pages");
    group.bench_function("ours", |b| {
        b.iter_custom(|messages| {
            let send = |number| ours.send(message(number)).expect("not closed");
            let receive = |number| assert_eq!(ours.recv().expect("not closed"), message(number));
            take_turns(messages, receive, send)
        });
    });
    let bytes = ByteChannel::anonymous(CAPACITY * (MESSAGE + 8)).expect("some pages");
    group.bench_function("bytes", |b| {
        b.iter_custom(|messages| {
            let send = |number: u64| bytes.send(&[number as u8; MESSAGE]).expect("not closed");
            let receive = |number: u64| {
                let right = bytes.recv_with(|found| found == [number as u8; MESSAGE]);
                assert!(right.expect("not closed"));
            };
            take_turns(messages, receive, send)
        });
    });
    group.bench_function("crossbeam", |b| {
        b.iter_custom(|messages| {
            let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
            std::thread::scope(|scope| {
                let receiving = scope.spawn(move || {
                    let start = Instant::now();
                    for number in 0..messages {
                        assert_eq!(receiver.recv().expect("not closed"), message(number));
                    }
                    start.elapsed()
                });
                (0..messages).for_each(|number| sender.send(message(number)).expect("not closed"));
                receiving.join().expect("no panic")
            })
        });
    });
    group.finish();

    // Everybody sends and receives; there is room for a message of each. Beside it what one would build from glibc's semaphores and mutex.
    let (ours, our_sum) = (Channel::<u64>::anonymous(16).expect("some pages"), shared_count());
    let with_ours = || {
        ours.send(1).expect("not closed");
        our_sum.fetch_add(ours.recv().expect("not closed"), Relaxed);
    };
    let (theirs, their_sum) = (Queue::new(), shared_count());
    let with_glibc = || {
        theirs.send(1);
        their_sum.fetch_add(theirs.recv(), Relaxed);
    };
    crowds(c, "channel", |group, processes| {
        contended(group, "ours", processes, with_ours, || our_sum.load(Relaxed));
        contended(group, "glibc", processes, with_glibc, || their_sum.load(Relaxed));
    });
}

/// A number in shared pages that anybody may add to.
fn shared_count() -> &'static AtomicU64 {
    // SAFETY: in a page that is never unmapped, zero, aligned.
    unsafe { AtomicU64::from_ptr(shared_page().cast()) }
}

/// A bounded queue made of glibc's parts: a mutex around the ring, and a semaphore for each side to sleep on.
struct Queue {
    lock: glibc::Mutex,
    room: glibc::Semaphore,
    data: glibc::Semaphore,
    /// Head, tail, and 16 numbers.
    ring: *mut u64,
}

impl Queue {
    fn new() -> Self {
        Self {
            lock: glibc::Mutex::new(false),
            room: glibc::Semaphore::new(16),
            data: glibc::Semaphore::new(0),
            ring: shared_page().cast(),
        }
    }

    /// Moves head (0) or tail (1) on and returns the number's place there. With the lock.
    fn step(&self, end: usize) -> *mut u64 {
        // SAFETY: head, tail and the ring lie in a page that is never unmapped; the lock keeps others away.
        unsafe {
            let place = self.ring.add(2 + (*self.ring.add(end) % 16) as usize);
            *self.ring.add(end) += 1;
            place
        }
    }

    fn send(&self, number: u64) {
        self.room.wait();
        self.lock.lock();
        // SAFETY: a place of the ring, as above.
        unsafe { *self.step(1) = number };
        self.lock.unlock();
        self.data.post();
    }

    fn recv(&self) -> u64 {
        self.data.wait();
        self.lock.lock();
        // SAFETY: as above.
        let number = unsafe { *self.step(0) };
        self.lock.unlock();
        self.room.post();
        number
    }
}

/// Hand-overs between two processes, each on a core of its own. An iteration is a round trip: two of them.
fn hand_over(c: &mut Criterion) {
    let mut group = c.benchmark_group("hand_over");
    group.sample_size(20);
    let mut bench = |name: &str, here: &mut dyn FnMut(u64), there: &mut dyn FnMut(u64)| {
        group.bench_function(name, |b| b.iter_custom(|rounds| take_turns(rounds, &mut *here, &mut *there)));
    };

    let (ping, pong) = (glibc::Semaphore::new(0), glibc::Semaphore::new(0));
    let here = |_| {
        ping.post();
        pong.wait();
    };
    let there = |_| {
        ping.wait();
        pong.post();
    };
    bench("glibc_semaphore", &mut { here }, &mut { there });

    let (ping, pong) = (glibc::Condvar::default(), glibc::Condvar::default());
    let here = |round| {
        ping.set(2 * round + 1);
        pong.wait_for(2 * round + 1);
    };
    let there = |round| {
        ping.wait_for(2 * round + 1);
        pong.set(2 * round + 1);
    };
    bench("glibc_condvar", &mut { here }, &mut { there });

    let (ping, pong) = (Semaphore::anonymous(0).expect("a page"), Semaphore::anonymous(0).expect("a page"));
    let give = |to: &Semaphore| to.release(1).expect("there is room");
    let take = |from: &Semaphore| from.acquire().expect("not damaged").forget();
    let here = |_| {
        give(&ping);
        take(&pong);
    };
    let there = |_| {
        take(&ping);
        give(&pong);
    };
    bench("semaphore", &mut { here }, &mut { there });

    let (ping, pong) = (Event::anonymous(false).expect("a page"), Event::anonymous(false).expect("a page"));
    let set = |event: &Event| event.set().expect("not damaged");
    let wait = |event: &Event| {
        event.wait().expect("not damaged");
        event.clear().expect("not damaged");
    };
    let here = |_| {
        set(&ping);
        wait(&pong);
    };
    let there = |_| {
        wait(&ping);
        set(&pong);
    };
    bench("event", &mut { here }, &mut { there });

    let [ping, pong] = [(); 2].map(|()| {
        let mutex = Mutex::anonymous(0u64).expect("a page");
        (mutex, Condvar::anonymous(()).expect("a page"))
    });
    let set = |to: &(Mutex<u64>, Condvar), number: u64| {
        *to.0.lock().expect("nobody dies here") = number;
        to.1.notify_one().expect("not damaged");
    };
    let wait_for = |from: &(Mutex<u64>, Condvar), number: u64| {
        let guard = from.0.lock().expect("nobody dies here");
        drop(from.1.wait_while(guard, |seen| *seen != number).expect("nobody dies here"));
    };
    let here = |round| {
        set(&ping, round + 1);
        wait_for(&pong, round + 1);
    };
    let there = |round| {
        wait_for(&ping, round + 1);
        set(&pong, round + 1);
    };
    bench("condvar", &mut { here }, &mut { there });

    let (ping, pong) = (Channel::anonymous(8).expect("a page"), Channel::anonymous(8).expect("a page"));
    let send = |to: &Channel<u64>, number: u64| to.send(number).expect("not closed");
    let receive = |from: &Channel<u64>, number: u64| assert_eq!(from.recv().expect("not closed"), number);
    let here = |round| {
        send(&ping, round);
        receive(&pong, round);
    };
    let there = |round| {
        receive(&ping, round);
        send(&pong, round);
    };
    bench("channel", &mut { here }, &mut { there });
    group.finish();
}

criterion_group!(benches, mutex, semaphore, rwlock, barrier, condvar, hand_over, channel);
criterion_main!(benches);
