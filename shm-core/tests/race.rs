//! Eight processes that create, attach and detach one name all the time: no living segment loses its name, and no dead one keeps it.
//!
//! The rules, from `FORMAT.md`, section 5: while this process has a segment attached (a scoped one: while it owns it), the name leads to
//! that very object, for this process and for everybody. When the last one has gone by itself, the name is free at once; when it was
//! killed, after the next look at the name. `SHM_TEST_LONG=1` goes ten times as many rounds.

#![allow(unsafe_code, reason = "counters in memory that forked processes share")]

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ndarray::Ix1;
use shm_core::{
    Anonymous, Error, ErrorKind, Lifetime, Segment, SegmentName, SegmentOptions, SharedArray, delete,
    inspect, list_in, reap_in,
};
use shm_testkit::{Child, Cleanup, Numbers, Status, Watchdog, fork_child, unique_name};

const WORKERS: usize = 8;
const LIFETIMES: [Lifetime; 3] = [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped];

/// Scales the number of rounds.
fn times(rounds: u64) -> u64 {
    if std::env::var_os("SHM_TEST_LONG").is_some_and(|value| value == "1") { 10 * rounds } else { rounds }
}

/// One test at a time: their processes would only wait for each other's processors, and a child that another test forks inherits locks.
fn alone() -> (MutexGuard<'static, ()>, Watchdog) {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    (guard, Watchdog::new(Duration::from_secs(times(300))))
}

/// A folder in `/dev/shm` for a test that lists and reaps, which are to meet nobody else's segments.
struct Folder {
    path: PathBuf,
    _cleanup: Cleanup,
}

impl Folder {
    fn new(what: &str) -> Folder {
        let name = unique_name(what);
        let path = Path::new("/dev/shm").join(&name);
        fs::create_dir(&path).unwrap();
        Folder { path, _cleanup: Cleanup::of([name]) }
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.path).unwrap().count()
    }
}

/// Counters that forked processes share.
struct Words(SharedArray<u64, Ix1>);

impl Words {
    fn new(count: usize) -> Words {
        Words(SharedArray::zeros(Anonymous, count).unwrap())
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.0.len());
        let first = self.0.as_any().as_ptr().cast::<u64>();
        // SAFETY: the array has more than `index` elements of 8 bytes, one after another from an aligned address on, in a mapping that
        // lives as long as `self`; every process accesses them atomically only.
        unsafe { AtomicU64::from_ptr(first.add(index)) }
    }

    fn get(&self, index: usize) -> u64 {
        self.at(index).load(Ordering::SeqCst)
    }

    /// Adds 1 and returns the sum.
    fn add(&self, index: usize) -> u64 {
        self.at(index).fetch_add(1, Ordering::SeqCst) + 1
    }

    fn set(&self, index: usize, value: u64) {
        self.at(index).store(value, Ordering::SeqCst);
    }
}

/// Device and inode of what has the name.
fn named(name: &SegmentName) -> Option<(u64, u64)> {
    let found = name.path().symlink_metadata().ok()?;
    Some((found.dev(), found.ino()))
}

/// Device and inode of what is attached.
fn attached(segment: &Segment) -> (u64, u64) {
    let stat = rustix::fs::fstat(segment.as_fd()).unwrap();
    (stat.st_dev, stat.st_ino)
}

fn ok<T>(what: &str, result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// A worker: which of the processes, and on what.
#[derive(Clone, Copy)]
struct Worker<'a> {
    index: usize,
    name: &'a SegmentName,
    lifetime: Lifetime,
}

impl Worker<'_> {
    fn join(self) -> (SharedArray<u64, Ix1>, bool) {
        let place = SegmentOptions::new().lifetime(self.lifetime).named(self.name).unwrap();
        ok("create or attach", SharedArray::create_or_attach(place, WORKERS))
    }

    /// Attaches, looks around and detaches; tells whether it made the segment.
    fn round(self, number: u64) -> bool {
        let (array, created) = self.join();
        assert!(!created || array.get(self.index) == 0, "a new segment has somebody's data");
        array.set(self.index, number);
        if created || self.lifetime != Lifetime::Scoped {
            self.is_protected(&array, number);
        }
        assert_eq!(array.get(self.index), number, "another one has written there");
        created
    }

    /// Checks that the name leads to the array's segment; its lifetime is not over, as this process has it.
    fn is_protected(self, array: &SharedArray<u64, Ix1>, number: u64) {
        let mine = attached(array.segment());
        assert_eq!(named(self.name), Some(mine), "at first");
        if number.is_multiple_of(3) {
            let again = ok("attach what this process has", Segment::attach(self.name));
            assert_eq!(again.as_ptr(), array.segment().as_ptr(), "another segment has the name");
        }
        if number.is_multiple_of(5) {
            // An attachment of its own, with locks of its own, which go while the first one's stay.
            let reader = SegmentOptions::new().read_only();
            let reader = ok("attach again", SharedArray::<u64, Ix1>::attach_with(self.name, &reader));
            assert_eq!(attached(reader.segment()), mine, "another segment has the name");
            assert_eq!(reader.get(self.index), number);
        }
        if number.is_multiple_of(7) {
            assert!(ok("inspect what this process has", inspect(self.name)).attached);
        }
        assert_eq!(named(self.name), Some(mine), "at last");
    }
}

fn in_shm(what: &str) -> (SegmentName, Cleanup) {
    let text = unique_name(what);
    (SegmentName::shm(&text).unwrap(), Cleanup::of([text]))
}

/// Nothing of a segment whose lifetime is over is left, and the name is to be had.
fn is_free(name: &SegmentName) {
    assert_eq!(named(name), None, "a dead segment has kept its name");
    assert_eq!(Segment::attach(name).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Eight processes, as many on each of the names.
fn race(lifetime: Lifetime, names: usize, rounds: u64) {
    let _alone = alone();
    let names: Vec<_> = (0..names).map(|_| in_shm("race")).collect();
    let created = Words::new(1);
    let rounds = times(rounds);
    let workers: Vec<Child> = (0..WORKERS)
        .map(|index| {
            let worker = Worker { index, name: &names[index % names.len()].0, lifetime };
            fork_child(|| {
                for number in 1..=rounds {
                    if worker.round(number) {
                        created.add(0);
                    }
                }
                0
            })
        })
        .collect();
    workers.into_iter().for_each(Child::expect_success);
    let created = created.get(0);
    println!("{lifetime:?}: {WORKERS} processes, {rounds} rounds each, created {created} times");
    assert!(created >= names.len() as u64);
    if lifetime == Lifetime::Persistent {
        assert_eq!(created, names.len() as u64, "nobody deleted it");
    }
    for (i, (name, _cleanup)) in names.iter().enumerate() {
        if lifetime == Lifetime::Persistent {
            let array = SharedArray::<u64, Ix1>::attach(name).unwrap();
            assert!((0..WORKERS).all(|k| k % names.len() != i || array.get(k) == rounds));
            delete(name).unwrap();
        }
        is_free(name);
    }
}

#[test]
fn smoke() {
    let _alone = alone();
    for lifetime in LIFETIMES {
        let (name, _cleanup) = in_shm("smoke");
        let worker = Worker { index: 3, name: &name, lifetime };
        assert!(worker.round(3 * 5 * 7));
        assert_eq!(worker.round(2), lifetime != Lifetime::Persistent);
        assert_eq!(named(&name).is_some(), lifetime == Lifetime::Persistent);
    }
}

#[test]
fn persistent() {
    race(Lifetime::Persistent, 1, 10_000);
}

#[test]
fn until_the_last_detaches() {
    race(Lifetime::LastDetach, 1, 10_000);
}

#[test]
fn scoped() {
    race(Lifetime::Scoped, 1, 10_000);
}

#[test]
fn until_the_last_of_two_detaches() {
    // With two on each name there is an end, and a beginning, in nearly every round.
    race(Lifetime::LastDetach, WORKERS / 2, 4000);
}

#[test]
fn scoped_in_twos() {
    race(Lifetime::Scoped, WORKERS / 2, 4000);
}

/// Waits until a word has a value; fails if a worker ends meanwhile.
fn wait_for(words: &Words, index: usize, value: u64, workers: &mut [Child]) {
    for turn in 1_u64.. {
        if words.get(index) == value {
            return;
        }
        thread::yield_now();
        if turn.is_multiple_of(1000) {
            workers.iter_mut().for_each(still_works);
        }
    }
}

fn still_works(worker: &mut Child) {
    if let Some(status) = worker.try_wait() {
        panic!("a worker {status}: {}", worker.panic_message().unwrap_or_default());
    }
}

/// All have it, then all let go at once; whoever is the last frees the name, with nobody coming after to do it.
fn all_leave_together(lifetime: Lifetime) {
    const GO: usize = 0;
    const HERE: usize = 1;
    const GONE: usize = 2;
    const CREATED: usize = 3;
    let _alone = alone();
    let (name, _cleanup) = in_shm("together");
    let words = Words::new(4);
    let parties = times(2000);
    let mut workers: Vec<Child> = (0..WORKERS)
        .map(|index| {
            let worker = Worker { index, name: &name, lifetime };
            let until = |value| {
                while words.get(GO) < value {
                    thread::yield_now();
                }
            };
            fork_child(|| {
                for party in 0..parties {
                    until(2 * party + 1);
                    let (array, created) = worker.join();
                    if created {
                        words.add(CREATED);
                    }
                    words.add(HERE);
                    until(2 * party + 2);
                    drop(array);
                    words.add(GONE);
                }
                until(u64::MAX);
                0
            })
        })
        .collect();
    for party in 0..parties {
        let all = (party + 1) * WORKERS as u64;
        words.set(GO, 2 * party + 1);
        wait_for(&words, HERE, all, &mut workers);
        assert_eq!(words.get(CREATED), party + 1, "two segments at once, party {party}");
        assert!(named(&name).is_some());
        words.set(GO, 2 * party + 2);
        wait_for(&words, GONE, all, &mut workers);
        assert_eq!(named(&name), None, "the name is left, party {party}");
    }
    words.set(GO, u64::MAX);
    workers.into_iter().for_each(Child::expect_success);
    is_free(&name);
}

#[test]
fn all_detach_together() {
    all_leave_together(Lifetime::LastDetach);
}

#[test]
fn all_leave_together_with_the_owner() {
    all_leave_together(Lifetime::Scoped);
}

/// Attaches a segment that was full when it got its name, or creates one.
fn join_or_fill(name: &SegmentName, creations: &Words) -> SharedArray<u64, Ix1> {
    loop {
        match SharedArray::attach(name) {
            Ok(array) => return array,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
        match SharedArray::full(name, 1000, u64::MAX) {
            Ok(array) => {
                creations.add(0);
                return array;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        }
    }
}

#[test]
fn names_appear_whole_and_each_is_deleted_once() {
    let _alone = alone();
    let (name, _cleanup) = in_shm("deletes");
    let (creations, deletions) = (Words::new(1), Words::new(1));
    let rounds = times(4000);
    let workers: Vec<Child> = (0..WORKERS)
        .map(|_| {
            fork_child(|| {
                for number in 0..rounds {
                    let array = join_or_fill(&name, &creations);
                    assert!(array.to_ndarray().iter().all(|value| *value == u64::MAX), "not whole");
                    if number.is_multiple_of(4) {
                        match delete(&name) {
                            Ok(()) => _ = deletions.add(0),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    }
                    assert_eq!(array.get(999), u64::MAX);
                }
                0
            })
        })
        .collect();
    workers.into_iter().for_each(Child::expect_success);
    let left = u64::from(named(&name).is_some());
    println!("created {} times, deleted {} times, {left} left", creations.get(0), deletions.get(0));
    assert_eq!(creations.get(0), deletions.get(0) + left);
    let _ = delete(&name);
    is_free(&name);
}

fn kill(worker: &mut Child) {
    still_works(worker);
    worker.kill(libc::SIGKILL);
    assert_eq!(worker.wait(), Status::Killed(libc::SIGKILL), "{:?}", worker.panic_message());
}

/// Lets one of the ways to look at a name free it, if what has it is dead.
fn look(folder: &Folder, name: &SegmentName, way: u64) {
    match way {
        0 => drop(ok("reap", reap_in(&folder.path))),
        1 => drop(ok("list", list_in(&folder.path))),
        2 => drop(inspect(name)),
        _ => drop(Segment::attach(name)),
    }
}

/// The ninth process (this one) kills the others at random moments and replaces them, looks at the names on the way, and now and then
/// kills all of them.
fn race_under_fire(lifetime: Lifetime) {
    const KILLS_BETWEEN_EXTINCTIONS: u64 = 25;
    let _alone = alone();
    let folder = Folder::new("fire");
    let name = SegmentName::file(folder.path.join("segment")).unwrap();
    let rounds = Words::new(1);
    let start = |index| {
        let worker = Worker { index, name: &name, lifetime };
        fork_child(|| {
            loop {
                worker.round(rounds.add(0));
            }
        })
    };
    let mut numbers = Numbers::new(0x9E37_79B9_7F4A_7C15 ^ lifetime as u64);
    let mut workers: Vec<Child> = (0..WORKERS).map(start).collect();
    let mut first = None;
    let mut kills = 0;
    while rounds.get(0) < times(WORKERS as u64 * 10_000) || kills < times(150) {
        thread::sleep(Duration::from_micros(numbers.below(2000)));
        let index = numbers.below(WORKERS as u64) as usize;
        kill(&mut workers[index]);
        kills += 1;
        if lifetime == Lifetime::Persistent && named(&name).is_some() {
            assert_eq!(*first.get_or_insert(named(&name)), named(&name), "a living segment was replaced");
        }
        if kills % KILLS_BETWEEN_EXTINCTIONS != 0 {
            workers[index] = start(index);
            if kills % 2 == 0 {
                look(&folder, &name, numbers.below(4));
            }
            continue;
        }
        for (i, worker) in workers.iter_mut().enumerate() {
            if i != index {
                kill(worker);
            }
        }
        is_extinct(&folder, &name, lifetime, numbers.below(4));
        workers = (0..WORKERS).map(start).collect();
    }
    workers.iter_mut().for_each(kill);
    is_extinct(&folder, &name, lifetime, 3);
    println!("{lifetime:?}: {} rounds, {kills} single deaths", rounds.get(0));
}

/// All who knew the name are dead: checks what a look at it leaves.
fn is_extinct(folder: &Folder, name: &SegmentName, lifetime: Lifetime, way: u64) {
    let before = named(name);
    look(folder, name, way);
    if lifetime == Lifetime::Persistent {
        assert_eq!(named(name), before, "a persistent segment is never dead");
        if before.is_some() {
            assert!(!inspect(name).unwrap().attached);
            assert_eq!(SharedArray::<u64, Ix1>::attach(name).unwrap().len(), WORKERS);
        }
        return;
    }
    assert_eq!(named(name), None, "look number {way} has left a dead segment");
    assert_eq!(folder.files(), 0);
    is_free(name);
}

#[test]
fn persistent_under_fire() {
    race_under_fire(Lifetime::Persistent);
}

#[test]
fn until_the_last_detaches_under_fire() {
    race_under_fire(Lifetime::LastDetach);
}

#[test]
fn scoped_under_fire() {
    race_under_fire(Lifetime::Scoped);
}

/// Takes the exclusive lock of a byte, as whoever removes a name takes the one for it; see `FORMAT.md`, section 4.
fn lock_byte(file: &fs::File, byte: i64) {
    // SAFETY: integers only.
    let mut lock: libc::flock64 = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as libc::c_short, byte, 1);
    // SAFETY: the descriptor is open, and the lock lives through the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_reaper_does_not_make_the_dead_seem_alive() {
    let _alone = alone();
    let folder = Folder::new("seems");
    let name = SegmentName::file(folder.path.join("segment")).unwrap();
    let options = SegmentOptions::new().lifetime(Lifetime::Scoped);
    fork_child(|| {
        std::mem::forget(SharedArray::<u64, _>::zeros(options.named(&name).unwrap(), 8).unwrap());
        0
    })
    .expect_success();
    // A stopped process that was about to remove it: the dead segment stays where it is, whoever looks.
    let remover = fs::File::options().read(true).write(true).open(name.path()).unwrap();
    lock_byte(&remover, (1 << 62) + 2);
    let mut reaper = fork_child(|| {
        loop {
            assert!(reap_in(&folder.path).unwrap().is_empty());
        }
    });
    for _ in 0..times(5000) {
        assert_eq!(Segment::attach(&name).map(drop).unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(reaper.try_wait(), None, "{:?}", reaper.panic_message());
    reaper.kill(libc::SIGKILL);
    assert_eq!(reaper.wait(), Status::Killed(libc::SIGKILL));
    assert_eq!(folder.files(), 1);
    drop(remover);
    assert_eq!(reap_in(&folder.path).unwrap().len(), 1);
}
