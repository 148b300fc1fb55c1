//! One call in a child: its result, whatever its size; its failures, at once; what is kept for it; and nothing left behind.
#![allow(unsafe_code, reason = "kills, forks and closes on purpose")]

mod common;

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{CALLS, alone, die_at, is_alive, kill, kill_self, no_children, pool, random};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{Background, ErrorKind, Exit};
use shm_sync::{Mutex, Primitive};
use shm_testkit::{Cleanup, unique_name};

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let here = std::process::id();
    let child =
        pool(2).background(move || (std::process::id(), std::os::unix::process::parent_id())).unwrap();
    let pid = child.pid();
    assert_eq!(child.wait().unwrap(), (pid.unwrap(), here));
}

#[test]
fn in_the_master_if_there_are_no_workers() {
    let mut done = pool(0).background(std::process::id).unwrap();
    assert!(done.is_finished() && done.pid().is_none());
    done.kill();
    assert_eq!(done.wait().unwrap(), std::process::id());
}

#[test]
fn results_of_every_size() {
    let _watch = common::watchdog();
    pool(1).background(|| ()).unwrap().wait().unwrap();
    for len in [0, 1, 1000, 1 << 20, 100 << 20] {
        let bytes = pool(1).background(move || vec![7u8; len]).unwrap().wait().unwrap();
        assert!(bytes.len() == len && bytes.iter().all(|byte| *byte == 7));
    }
}

#[test]
#[ignore = "takes 4 GiB of memory"]
fn a_result_of_a_gibibyte() {
    let _watch = common::watchdog();
    let bytes = pool(1).background(|| "x".repeat(1 << 30)).unwrap().wait().unwrap();
    assert!(bytes.len() == 1 << 30 && bytes.bytes().all(|byte| byte == b'x'));
}

#[test]
fn many_at_once_awaited_in_any_order() {
    let _watch = common::watchdog();
    alone("many_at_once_awaited_in_any_order", || {
        let before = common::descriptors();
        let mut all: Vec<_> = (0..50u32).map(|i| (i, pool(1).background(move || i * i).unwrap())).collect();
        all.reverse();
        for (i, child) in all {
            assert_eq!(child.wait().unwrap(), i * i);
        }
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn every_way_to_leave() {
    let _watch = common::watchdog();
    alone("every_way_to_leave", || {
        let before = common::descriptors();
        let ways: [(fn(), Exit); 6] = [
            (|| kill_self(libc::SIGKILL), Exit::Signal(libc::SIGKILL)),
            (|| kill_self(libc::SIGTERM), Exit::Signal(libc::SIGTERM)),
            (|| std::process::abort(), Exit::Signal(libc::SIGABRT)),
            (|| std::process::exit(3), Exit::Code(3)),
            (|| std::process::exit(0), Exit::Code(0)),
            // SAFETY: `_exit` has no preconditions.
            (|| unsafe { libc::_exit(0) }, Exit::Code(0)),
        ];
        for (leave, exit) in ways {
            let child = pool(1).background(leave).unwrap();
            let pid = child.pid();
            let error = child.wait().unwrap_err();
            assert_eq!((error.kind(), error.exit(), error.pid()), (ErrorKind::Died, Some(exit), pid));
            assert_eq!((error.item(), error.unfinished().len()), (None, 0));
            let text = format!("cannot call in the background: its process (pid {}) {exit}", pid.unwrap());
            assert!(error.to_string().starts_with(&text), "{error}");
        }
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn panics() {
    let _watch = common::watchdog();
    let error = pool(1).background(|| -> u8 { panic!("no {}", 7) }).unwrap().wait().unwrap_err();
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("no 7")));
    assert!(error.panic_location().unwrap().contains("background.rs:"));
    let text = error.to_string();
    assert!(text.contains(") panicked: no 7 (") && !text.contains("item"), "{text}");
    let error = pool(1).background(|| -> () { std::panic::panic_any(7) }).unwrap().wait().unwrap_err();
    assert_eq!(error.panic_message(), Some("a panic without a text"));
}

#[derive(Debug, serde::Deserialize)]
struct Stubborn;

impl serde::Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("does not travel"))
    }
}

#[derive(Debug, serde::Serialize)]
struct OneWay(u8);

impl<'de> serde::Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<OneWay, D::Error> {
        Err(serde::de::Error::custom("does not come back"))
    }
}

#[test]
fn results_that_do_not_travel() {
    let _watch = common::watchdog();
    alone("results_that_do_not_travel", || {
        let error = pool(1).background(|| Stubborn).unwrap().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
        assert!(error.to_string().contains("the result cannot be serialised"), "{error}");
        let error = pool(1).background(|| OneWay(1)).unwrap().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        no_children();
    });
}

#[test]
fn it_is_asked_now_and_then() {
    let _watch = common::watchdog();
    let go = Arc::new(SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap());
    let wait = go.clone();
    let mut child = pool(1)
        .background(move || {
            while wait.get(()) == 0 {
                std::thread::yield_now();
            }
            "gone".to_owned()
        })
        .unwrap();
    for _ in 0..100 {
        assert!(!child.is_finished());
    }
    assert!(!child.wait_timeout(Duration::from_millis(20)));
    go.set((), 1);
    assert!(child.wait_timeout(Duration::MAX));
    assert!(child.is_finished() && child.wait_timeout(Duration::ZERO));
    assert_eq!(child.wait().unwrap(), "gone");
}

#[test]
fn a_death_is_seen_by_whoever_asks() {
    let _watch = common::watchdog();
    let mut child = pool(1).background(|| std::thread::sleep(Duration::MAX)).unwrap();
    assert!(!child.is_finished());
    kill(child.pid().unwrap(), libc::SIGKILL);
    while !child.is_finished() {
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap_err().exit(), Some(Exit::Signal(libc::SIGKILL)));
}

#[test]
fn dropping_it_kills() {
    let _watch = common::watchdog();
    alone("dropping_it_kills", || {
        let before = common::descriptors();
        for _ in 0..20 {
            let child = pool(1).background(|| std::thread::sleep(Duration::MAX)).unwrap();
            let pid = child.pid().unwrap();
            drop(child);
            no_children();
            assert!(!is_alive(pid));
        }
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn what_is_captured_is_kept_until_the_child_is_gone() {
    let _watch = common::watchdog();
    struct Witness(mpsc::Sender<u32>, Arc<AtomicU32>);
    impl Drop for Witness {
        fn drop(&mut self) {
            let pid = self.1.load(Ordering::SeqCst);
            let _ = self.0.send(if is_alive(pid) { pid } else { 0 });
        }
    }
    type Way = (fn(), fn(Background<()>));
    let ways: [Way; 4] = [
        (|| (), |child| child.wait().unwrap()),
        (|| panic!(), |child| drop(child.wait().unwrap_err())),
        (|| std::thread::sleep(Duration::MAX), drop),
        (
            || std::thread::sleep(Duration::MAX),
            |mut child| {
                child.kill();
                child.wait().unwrap_err();
            },
        ),
    ];
    for (work, end) in ways {
        let (tell, told) = mpsc::channel();
        let pid = Arc::new(AtomicU32::new(0));
        let witness = Witness(tell, pid.clone());
        let child = pool(1).background(move || {
            let _witness = &witness;
            work();
        });
        let child = child.unwrap();
        pid.store(child.pid().unwrap(), Ordering::SeqCst);
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty), "the handle has it");
        end(child);
        assert_eq!(told.recv(), Ok(0), "dropped when the child was gone");
        assert!(told.recv().is_err(), "and once");
    }
}

#[test]
fn an_exclusive_array_stays_exclusive_meanwhile() {
    let _watch = common::watchdog();
    let name = unique_name("background");
    let _cleanup = Cleanup::of([&name]);
    let array = Box::leak(Box::new(SharedArray::<u64, _>::zeros(name.as_str(), 10).unwrap()));
    let exclusive = array.exclusive().unwrap();
    let attach = || SharedArray::<u64, ndarray::Ix1>::attach(name.as_str());
    let child = pool(1).background(move || {
        let _alone = exclusive; // what the child drops is a copy, which frees nothing
    });
    let mut child = child.unwrap();
    while is_alive(child.pid().unwrap()) {
        assert_eq!(attach().unwrap_err().kind(), shm_core::ErrorKind::Busy);
    }
    assert_eq!(attach().unwrap_err().kind(), shm_core::ErrorKind::Busy, "nobody has asked yet");
    assert!(child.wait_timeout(Duration::MAX));
    attach().unwrap();
    child.wait().unwrap();
}

#[test]
fn tried_again_while_somebody_waits() {
    let _watch = common::watchdog();
    alone("tried_again_while_somebody_waits", || {
        let tries = Arc::new(Mutex::anonymous(0u32).unwrap());
        let count = tries.clone();
        let work = move || {
            let tries = {
                let mut tries = count.lock().unwrap();
                *tries += 1;
                *tries
            };
            if tries < 3 { std::process::abort() } else { tries }
        };
        let error = pool(1).retries(1).background(work.clone()).unwrap().wait().unwrap_err();
        assert!(error.to_string().contains("(tried 2 times)"), "{error}");
        *tries.lock().unwrap() = 0;
        let child = pool(1).retries(2).background(work).unwrap();
        // By another thread than the one that forked first, which has ended.
        let child = std::thread::spawn(move || child).join().unwrap();
        assert_eq!(std::thread::spawn(move || child.wait()).join().unwrap().unwrap(), 3);
        // Not if it was killed by us.
        let mut child = pool(1).retries(5).background(|| std::thread::sleep(Duration::MAX)).unwrap();
        child.kill();
        assert_eq!(child.wait().unwrap_err().exit(), Some(Exit::Signal(libc::SIGKILL)));
        no_children();
    });
}

#[test]
fn the_thread_that_forked_ends_and_the_child_goes_on() {
    let _watch = common::watchdog();
    alone("the_thread_that_forked_ends_and_the_child_goes_on", || {
        let before = common::descriptors();
        for round in 0..20u32 {
            let go = Arc::new(SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap());
            let wait = go.clone();
            let work = move || {
                while wait.get(()) == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                (round, std::os::unix::process::parent_id())
            };
            let child = std::thread::spawn(move || pool(1).background(work).unwrap()).join().unwrap();
            let pid = child.pid().unwrap();
            std::thread::sleep(Duration::from_millis(1)); // the thread is gone for the kernel too
            assert!(is_alive(pid));
            go.set((), 1);
            assert_eq!(child.wait().unwrap(), (round, std::process::id()));
        }
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn from_several_threads_at_once() {
    let _watch = common::watchdog();
    alone("from_several_threads_at_once", || {
        let before = common::descriptors();
        std::thread::scope(|scope| {
            for t in 0..4u32 {
                scope.spawn(move || {
                    for i in 0..25 {
                        let child = pool(1).background(move || 100 * t + i).unwrap();
                        assert_eq!(pool(1).map([i], |_, i| i).unwrap(), [i]);
                        assert_eq!(child.wait().unwrap(), 100 * t + i);
                    }
                });
            }
        });
        no_children();
        assert_eq!(common::descriptors(), before);
        let subreaper = rustix::process::child_subreaper().unwrap();
        assert_eq!(subreaper, None, "as it was");
    });
}

#[test]
fn a_child_that_does_what_it_likes() {
    let _watch = common::watchdog();
    alone("a_child_that_does_what_it_likes", || {
        let child = pool(1).background(|| {
            // SAFETY: the set is initialised by `sigfillset`; closing descriptors is what is tested.
            unsafe {
                let mut all: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                libc::close_range(3, u32::MAX, 0);
            }
            5
        });
        let mut child = child.unwrap();
        // The wake-up cannot arrive; the end does.
        assert!(child.wait_timeout(Duration::MAX));
        match child.wait() {
            Ok(five) => assert_eq!(five, 5),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Segment, "{error}"),
        }
        let forks = pool(1).background(|| {
            // SAFETY: the copy returns into the executor, which ends it; this is what is tested.
            unsafe { libc::fork() };
            6
        });
        assert_eq!(forks.unwrap().wait().unwrap(), 6);
        let nested = pool(1).background(|| pool(1).background(|| 7).unwrap().wait().unwrap()).unwrap();
        assert_eq!(nested.wait().unwrap(), 7);
        let threads = pool(1).background(|| {
            let inner = std::thread::spawn(|| pool(1).background(|| 8).unwrap()).join().unwrap();
            inner.wait().unwrap()
        });
        assert_eq!(threads.unwrap().wait().unwrap(), 8);
    });
}

#[test]
fn in_a_forked_copy_the_handle_does_nothing() {
    let _watch = common::watchdog();
    alone("in_a_forked_copy_the_handle_does_nothing", || {
        let nap = Duration::from_millis(50);
        let child = Cell::new(Some(pool(1).background(move || std::thread::sleep(nap)).unwrap()));
        let mut copy = shm_testkit::fork_child(|| {
            let mut child = child.take().unwrap(); // the copy's
            child.kill();
            assert!(child.wait_timeout(Duration::ZERO));
            assert_eq!(child.wait().unwrap_err().kind(), ErrorKind::Ended);
            0
        });
        copy.wait();
        assert_eq!(copy.panic_message(), None);
        child.take().unwrap().wait().unwrap();
        let kept = pool(1).background(|| std::thread::sleep(Duration::MAX)).unwrap();
        let pid = kept.pid().unwrap();
        let kept = Cell::new(Some(kept));
        let mut copy = shm_testkit::fork_child(|| {
            drop(kept.take());
            0
        });
        copy.wait();
        assert!(is_alive(pid));
        drop(kept.take());
        assert!(!is_alive(pid));
    });
}

#[test]
fn killed_at_random_moments() {
    let _watch = common::watchdog();
    alone("killed_at_random_moments", || {
        let before = common::descriptors();
        let (mut seed, mut died) = (0x2545_F491_4F6C_DD1D, 0);
        for round in 0..200u64 {
            let fork = move || pool(1).background(move || vec![round; 20_000]).unwrap();
            let child = if round % 2 == 0 { fork() } else { std::thread::spawn(fork).join().unwrap() };
            std::thread::sleep(Duration::from_micros(random(&mut seed) % 400));
            kill(child.pid().unwrap(), libc::SIGKILL);
            match child.wait() {
                Ok(all) => assert!(all.len() == 20_000 && all.iter().all(|r| *r == round)),
                Err(error) => {
                    died += 1;
                    assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGKILL)), "{error}");
                }
            }
            no_children();
        }
        println!("{died} of 200 were hit");
        assert!(died > 0);
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn killed_at_every_system_call_that_the_child_makes() {
    let _watch = common::watchdog();
    alone("killed_at_every_system_call_that_the_child_makes", || {
        let before = common::descriptors();
        let mut hits = 0;
        for call in CALLS {
            let child = pool(1).background(move || {
                die_at(call);
                vec![1u8; 1 << 20]
            });
            match child.unwrap().wait() {
                Ok(all) => assert_eq!(all.len(), 1 << 20),
                Err(error) => {
                    hits += 1;
                    assert_eq!(error.exit(), Some(Exit::Signal(libc::SIGSYS)), "{error}");
                }
            }
            no_children();
        }
        assert!(hits > 2, "{hits}");
        assert_eq!(common::descriptors(), before);
    });
}

#[test]
fn more_than_the_system_allows() {
    let _watch = common::watchdog();
    alone("more_than_the_system_allows", || {
        let before = common::descriptors();
        let limit = libc::rlimit { rlim_cur: 60, rlim_max: 60 };
        // SAFETY: the pointer is valid for the call; this process runs nothing else.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        for thread in [false, true] {
            let mut children = Vec::new();
            let error = loop {
                let fork = || pool(1).background(|| std::thread::sleep(Duration::MAX));
                let child = if thread { std::thread::spawn(fork).join().unwrap() } else { fork() };
                match child {
                    Ok(child) => children.push(child),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error.kind(), ErrorKind::Fork | ErrorKind::Segment), "{error}");
            assert!(children.len() > 3, "{error}");
            drop(children);
            no_children();
            assert_eq!(common::descriptors(), before);
        }
    });
}

/// Each of them makes the process adopt orphans for a moment, and what was so before has to be so again.
#[test]
fn by_several_threads_at_the_same_time() {
    let _watch = common::watchdog();
    alone("by_several_threads_at_the_same_time", || {
        let here = std::process::id();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..50 {
                        let child =
                            pool(1).background(move || (thread, round, std::os::unix::process::parent_id()));
                        assert_eq!(child.unwrap().wait().unwrap(), (thread, round, here));
                    }
                });
            }
        });
        let mut adopts = -1;
        // SAFETY: the pointer is valid for the call.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut adopts) }, 0);
        assert_eq!(adopts, 0);
        no_children();
    });
}
