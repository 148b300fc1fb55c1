//! Segments beside the bare system calls: attach, create, first touch, and what shared memory costs a fork.
//!
//! The pairs of names and what is to be reached stand in `reach.json`.

#![allow(unsafe_code, reason = "the plain alternatives are system calls and writes to bare mappings")]

use std::cell::{OnceCell, RefCell};
use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use ndarray::Ix1;
use shm_bench::names::{Deleted, unique};
use shm_core::{Lifetime, SegmentOptions, SharedArray};

const GIB: usize = 1 << 30;
const PAGE: usize = 4096;
/// Set for a helper process: how many GiB of shared arrays it shall have.
const HELPER: &str = "SHM_BENCH_FORK_HELPER";

/// A place whose name goes with the handle, also when a bench is interrupted.
fn scoped(what: &str) -> shm_core::Place {
    SegmentOptions::new().lifetime(Lifetime::Scoped).named(unique(what)).expect("a valid name")
}

/// The address of a mapping of `len` bytes, made by nothing but system calls; the file is at `path` or has no name.
struct Bare {
    start: *mut u8,
    len: usize,
    fd: i32,
}

impl Bare {
    fn open(path: &CStr, populate: bool) -> Bare {
        // SAFETY: `path` is a C string and `stat` room for the answer; the mapping is made at an address of the kernel's choice.
        unsafe {
            let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let fd = libc::open(path.as_ptr(), flags);
            let mut stat: libc::stat = std::mem::zeroed();
            assert!(fd >= 0 && libc::fstat(fd, &mut stat) == 0);
            Bare::map(fd, stat.st_size as usize, populate)
        }
    }

    /// Reserves memory under no name, in the steps that a segment is reserved in.
    fn reserve(len: usize, populate: bool) -> Bare {
        // SAFETY: plain system calls on a descriptor of their own.
        unsafe {
            let fd =
                libc::open(c"/dev/shm".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | libc::O_TMPFILE, 0o600);
            assert!(fd >= 0);
            for at in (0..len).step_by(64 << 20) {
                assert_eq!(libc::fallocate(fd, 0, at as i64, (len - at).min(64 << 20) as i64), 0);
            }
            Bare::map(fd, len, populate)
        }
    }

    fn map(fd: i32, len: usize, populate: bool) -> Bare {
        let flags = libc::MAP_SHARED | if populate { libc::MAP_POPULATE } else { 0 };
        // SAFETY: the mapping is made at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        Bare { start: start.cast(), len, fd }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: mapping and descriptor are this value's own.
        unsafe {
            libc::munmap(self.start.cast(), self.len);
            libc::close(self.fd);
        }
    }
}

/// Writes all of `len` bytes.
fn fill(start: *mut u8, len: usize, value: u8) {
    // SAFETY: the callers pass memory of their own, `len` bytes long and writable.
    unsafe { start.write_bytes(value, len) };
}

/// Gives the guest's free memory a first touch, which a virtual machine pays for once and no library can help.
fn warm_memory() {
    let bare = Bare::reserve(2 * GIB, false);
    fill(bare.start, bare.len, 1);
}

fn attach(c: &mut Criterion) {
    let name = Deleted(unique("attach"));
    // The creator's handle is dropped at once: with it, attaching would find this process's mapping.
    drop(SharedArray::<f64, _>::full(name.0.as_str(), 1000, 0.5).expect("memory"));
    let ours = || SharedArray::<f64, Ix1>::attach(name.0.as_str()).expect("it exists");
    assert_eq!(ours().get(999), 0.5);
    let path = CString::new(format!("/dev/shm/{}", name.0)).expect("no zero byte");
    let mut group = c.benchmark_group("attach");
    group.bench_function("ours", |b| b.iter(|| black_box(ours())));
    group.bench_function("alternative", |b| b.iter(|| black_box(Bare::open(&path, false))));
    group.finish();
}

/// Times `make` alone, not the end of what it makes.
fn timed<T>(rounds: u64, mut make: impl FnMut() -> T) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        let made = make();
        total += start.elapsed();
        drop(made);
    }
    total
}

/// Times `work` on something that is made before and dropped after.
fn timed_on<T>(rounds: u64, mut make: impl FnMut() -> T, mut work: impl FnMut(&mut T)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let mut made = make();
        let start = Instant::now();
        work(&mut made);
        total += start.elapsed();
    }
    total
}

fn large(c: &mut Criterion) {
    warm_memory();
    let create = || SharedArray::<u8, _>::zeros(scoped("create"), GIB).expect("1 GiB on /dev/shm");
    let array = create();
    assert_eq!((array.get(0), array.get(GIB - 1), array.len()), (0, 0, GIB));
    drop(array);
    let mut group = c.benchmark_group("create_1gib");
    group.sample_size(10);
    group.bench_function("ours", |b| b.iter_custom(|n| timed(n, create)));
    group.bench_function("alternative", |b| b.iter_custom(|n| timed(n, || Bare::reserve(GIB, false))));
    group.finish();

    let touch = |array: &mut SharedArray<u8, Ix1>| fill(array.as_any().as_ptr(), array.len(), 3);
    let touch_bare = |bare: &mut Bare| fill(bare.start, bare.len, 3);
    let mut group = c.benchmark_group("first_touch_1gib");
    group.sample_size(10);
    group.bench_function("ours", |b| b.iter_custom(|n| timed_on(n, create, touch)));
    group.bench_function("alternative", |b| {
        b.iter_custom(|n| timed_on(n, || Bare::reserve(GIB, false), touch_bare));
    });
    group.finish();

    let prefaulted = || {
        let place = SegmentOptions::new().prefault(true).lifetime(Lifetime::Scoped).named(unique("prefault"));
        SharedArray::<u8, _>::zeros(place.expect("a valid name"), GIB).expect("1 GiB on /dev/shm")
    };
    let mut group = c.benchmark_group("prefaulted_touch_1gib");
    group.sample_size(10);
    group.bench_function("ours", |b| b.iter_custom(|n| timed_on(n, prefaulted, touch)));
    group.bench_function("alternative", |b| {
        b.iter_custom(|n| timed_on(n, || Bare::reserve(GIB, true), touch_bare));
    });
    group.finish();
}

/// Forks a child that ends at once, and waits for it.
fn fork_and_wait() {
    // SAFETY: the child only ends; `_exit` runs nothing of the parent's.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert_eq!(status, 0);
    }
}

/// In a helper that [`Helper`] starts: makes what the argument says, then forks as often as it is told to on standard input, and prints how many
/// nanoseconds that took.
fn helper(gib: usize) {
    // One array: each costs a fork its descriptor and its mapping, and the question here is what its size costs.
    let array = (gib > 0).then(|| {
        let array = SharedArray::<u8, _>::zeros(scoped("fork"), gib * GIB).expect("8 GiB on /dev/shm");
        // Every page is touched, so that a fork would have a page table to copy.
        for page in (0..gib * GIB).step_by(PAGE) {
            array.set(page, 1);
        }
        array
    });
    assert!(array.iter().all(|array| array.get(gib * GIB - PAGE) == 1));
    println!("ready");
    for line in std::io::stdin().lines() {
        let rounds: u64 = line.expect("text").parse().expect("a number");
        // Whoever has slept forks slowly at first.
        (0..50).for_each(|_| fork_and_wait());
        let start = Instant::now();
        (0..rounds).for_each(|_| fork_and_wait());
        println!("{}", start.elapsed().as_nanos());
    }
}

/// This program once more, as a process that has nothing but so many GiB of shared arrays: what a fork costs depends on all that a process has.
struct Helper {
    child: std::process::Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Helper {
    fn start(gib: usize) -> Helper {
        let program = std::env::current_exe().expect("it runs");
        let mut command = Command::new(program);
        let mut child = command
            .env(HELPER, gib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(answers.next().expect("an answer").expect("text"), "ready");
        Helper { child, answers }
    }

    /// How long so many forks take, from the mean of a hundred at least: one that the machine disturbs is as dear as ten.
    fn forks(&mut self, wanted: u64) -> Duration {
        let rounds = wanted.max(100);
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{rounds}").expect("the helper lives");
        let answer = self.answers.next().expect("an answer").expect("text");
        Duration::from_nanos(answer.parse::<u64>().expect("a number") / rounds * wanted)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input is the end of the helper
        let _ = self.child.wait();
    }
}

fn fork(c: &mut Criterion) {
    // Made once, and only if they are asked for: both are there while either is measured.
    let helpers = OnceCell::new();
    let helpers = || helpers.get_or_init(|| [RefCell::new(Helper::start(8)), RefCell::new(Helper::start(0))]);
    let mut group = c.benchmark_group("fork_8gib");
    group.sample_size(50);
    for (at, id) in ["ours", "alternative"].into_iter().enumerate() {
        // Both fork as often, by turns, whichever is measured: so whatever the machine does at a moment meets both.
        group.bench_function(id, |b| {
            b.iter_custom(|n| {
                let taken: Vec<Duration> =
                    helpers().iter().map(|helper| helper.borrow_mut().forks(n)).collect();
                taken[at]
            })
        });
    }
    group.finish();
}

criterion_group!(benches, attach, large, fork);

fn main() {
    match std::env::var(HELPER) {
        Ok(gib) => helper(gib.parse().expect("a number")),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
