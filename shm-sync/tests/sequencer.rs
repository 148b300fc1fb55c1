//! The sequencer between threads and processes: order, the ways of waiting, misuse, passing over, forks and signals.
#![allow(unsafe_code, reason = "a signal handler is installed, and sequencers are put into plain pages")]

mod common;

use common::{fork, fresh_name, rounds, shared_bytes, shared_counters, wait_asleep, wait_until, watchdog};
use shm_sync::{ErrorKind, Mutex, Primitive, Sequencer};
use shm_testkit::Child;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const IDENTITY: u64 = 0x5348_0c01;

fn place() -> (Sequencer, *mut u8) {
    let bytes = shared_bytes();
    // SAFETY: a zero page, shared, never unmapped; what the tests write there is what they are about.
    (unsafe { Sequencer::from_ptr(bytes, 4096) }.unwrap(), bytes)
}

fn u64_at(bytes: *mut u8, offset: usize) -> &'static AtomicU64 {
    // SAFETY: within the page, aligned, never unmapped.
    unsafe { AtomicU64::from_ptr(bytes.add(offset).cast()) }
}

#[test]
fn smoke() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(5).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| order.turn(6).unwrap().number());
        let first = order.turn(5).unwrap();
        assert_eq!((first.number(), order.current()), (5, 5));
        drop(first);
        assert_eq!(second.join().unwrap(), 6);
    });
    assert_eq!(order.current(), 7);
    assert_eq!(order.broken(), None);
}

#[test]
fn zero_bytes_are_a_sequencer_and_the_format_is_fixed() {
    let (order, bytes) = place();
    let image = || std::array::from_fn::<_, 16, _>(|i| u64_at(bytes, 8 * i).load(SeqCst));
    let mut expected = [0; 16];
    expected[1] = IDENTITY;
    assert_eq!(image(), expected);
    let turn = order.turn(0).unwrap();
    order.skip(2).unwrap();
    // Begun, and turn 2 to be passed over.
    assert_eq!(u64_at(bytes, 64).load(SeqCst), 1 << 15 | 1 << 1);
    drop(turn);
    expected[8] = 1 << 16 | 1;
    expected[4] = image()[4]; // the link, which nobody reads
    assert_eq!(image(), expected);
    drop(order.turn(1).unwrap());
    assert_eq!(order.current(), 3);
}

#[test]
fn a_name_is_found_by_others_and_other_kinds_are_refused() {
    let (name, _cleanup) = fresh_name("sequencer");
    let order = Sequencer::create(&name, 40).unwrap();
    let child = fork(|| drop(Sequencer::attach(&name).unwrap().turn(41).unwrap()));
    drop(order.turn(40).unwrap());
    drop(order.turn(42).unwrap());
    child.expect_success();
    assert_eq!(Sequencer::create_or_attach(&name, 7).unwrap().current(), 43);
    assert_eq!(Mutex::<u32>::attach(&name).unwrap_err().kind(), ErrorKind::Mismatch);
}

/// Every party writes where it is in its own turns only, so that any disorder shows.
fn in_order(parties: u64, rounds: u64) {
    let order = Sequencer::anonymous(0).unwrap();
    let place = &shared_counters()[0];
    let run = |party: u64| {
        for round in 0..rounds {
            let number = round * parties + party;
            let turn = order.turn(number).unwrap();
            assert_eq!(u64::from(place.load(SeqCst)), number);
            place.store(number as u32 + 1, SeqCst);
            drop(turn);
        }
    };
    let children: Vec<_> = (1..parties).map(|party| fork(move || run(party))).collect();
    run(0);
    children.into_iter().for_each(Child::expect_success);
    assert_eq!(order.current(), parties * rounds);
}

#[test]
fn ten_thousand_turns_of_two() {
    let _watchdog = watchdog();
    in_order(2, rounds(10_000) as u64);
}

/// More parties than cores, and more than there are bits to wake by.
#[test]
fn turns_of_many() {
    let _watchdog = watchdog();
    in_order(4, rounds(1_000) as u64);
    in_order(40, rounds(25) as u64);
}

/// Threads that take whatever number is next, all ways of waiting together.
#[test]
fn all_ways_of_waiting_together_keep_the_order() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let numbers = AtomicU64::new(0);
    let log = std::sync::Mutex::new(Vec::new());
    let all = rounds(4_000) as u64;
    std::thread::scope(|scope| {
        for way in 0..5 {
            let (order, numbers, log) = (&order, &numbers, &log);
            scope.spawn(move || {
                loop {
                    let number = numbers.fetch_add(1, SeqCst);
                    if number >= all {
                        return;
                    }
                    let short = Duration::from_micros(number % 60);
                    let turn = loop {
                        let taken = match way {
                            0 => order.turn(number),
                            1 => order.try_turn(number),
                            2 => order.turn_timeout(number, short),
                            3 => order.turn_until(number, Instant::now() + short),
                            _ => order.turn_interruptible(number, None),
                        };
                        match taken {
                            Ok(turn) => break turn,
                            Err(error) => assert!(
                                matches!(error.kind(), ErrorKind::Busy | ErrorKind::TimedOut),
                                "{error}"
                            ),
                        }
                    };
                    log.lock().unwrap().push(number);
                    if number % 64 == 0 {
                        std::thread::sleep(Duration::from_micros(80));
                    }
                    drop(turn);
                }
            });
        }
    });
    assert!(log.into_inner().unwrap().into_iter().eq(0..all));
}

#[test]
fn turns_that_do_not_come_time_out() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let short = Duration::from_millis(20);
    for held in [false, true] {
        let turn = held.then(|| order.turn(0).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(order.try_turn(1).unwrap_err().kind(), ErrorKind::Busy);
                let start = Instant::now();
                let error = order.turn_timeout(1, short).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(error.to_string().contains("turn 0"), "{error}");
                assert!(start.elapsed() >= short);
                let deadline = Instant::now() + short;
                assert_eq!(order.turn_until(1, deadline).unwrap_err().kind(), ErrorKind::TimedOut);
                assert!(Instant::now() >= deadline);
                let error = order.turn_interruptible(1, Some(deadline)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            });
        });
        drop(turn);
    }
    drop(order.turn_timeout(1, Duration::ZERO).unwrap());
    drop(order.turn_timeout(2, Duration::MAX).unwrap());
}

/// A wait that outlasts several re-checks, before the turn and during the one before it, still ends with its turn.
#[test]
fn a_long_wait_ends_with_the_turn() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| order.turn(2).unwrap().number());
        std::thread::sleep(Duration::from_millis(300));
        let turn = order.turn(0).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drop(turn);
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiter.is_finished());
        drop(order.turn(1).unwrap());
        assert_eq!(waiter.join().unwrap(), 2);
    });
}

#[test]
fn what_cannot_be_taken_is_an_error() {
    let order = Sequencer::anonymous(3).unwrap();
    let over = |error: shm_sync::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("turn 2 is over"), "{error}");
    };
    over(order.turn(2).unwrap_err());
    over(order.try_turn(2).unwrap_err());
    over(order.recover(2).unwrap_err());
    over(order.skip(2).unwrap_err());
    for number in [(1 << 44) - 1, u64::MAX] {
        assert_eq!(order.turn(number).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(order.skip(number).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(order.reset(number).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(Sequencer::anonymous(number).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(order.skip(19).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(order.recover(4).unwrap_err().kind(), ErrorKind::Busy);
    let turn = order.turn(3).unwrap();
    for number in [3, 4] {
        assert_eq!(order.turn(number).unwrap_err().kind(), ErrorKind::Deadlock);
        assert_eq!(order.try_turn(number).unwrap_err().kind(), ErrorKind::Deadlock);
    }
    assert_eq!(order.recover(3).unwrap_err().kind(), ErrorKind::Deadlock);
    assert_eq!(order.reset(0).unwrap_err().kind(), ErrorKind::Deadlock);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let error = order.turn(3).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("somebody else"), "{error}");
            assert_eq!(order.recover(3).unwrap_err().kind(), ErrorKind::Busy);
            assert_eq!(order.skip(3).unwrap_err().kind(), ErrorKind::Busy);
            assert_eq!(order.reset(3).unwrap_err().kind(), ErrorKind::Busy);
        });
    });
    drop(turn);
    over(order.turn(2).unwrap_err());
    // The last one there can be.
    order.reset((1 << 44) - 2).unwrap();
    drop(order.turn((1 << 44) - 2).unwrap());
    assert_eq!(order.turn((1 << 44) - 2).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// Turns are passed over before they come and when they are there, and whoever waits for one of them is told.
#[test]
fn passing_over() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let waiters: Vec<_> = [1, 2, 3]
        .map(|number| fork(|| assert_eq!(order.turn(number).is_ok(), number == 3)))
        .into_iter()
        .collect();
    waiters.iter().for_each(wait_asleep);
    order.skip(2).unwrap();
    order.skip(1).unwrap();
    order.skip(1).unwrap();
    assert_eq!(order.current(), 0);
    drop(order.turn(0).unwrap());
    waiters.into_iter().for_each(Child::expect_success);
    assert_eq!(order.current(), 4);
    order.skip(4).unwrap();
    (6..=20).for_each(|number| order.skip(number).unwrap());
    drop(order.turn(5).unwrap());
    assert_eq!(order.current(), 21);
}

#[test]
fn a_reset_moves_those_who_wait() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let left_behind = fork(|| {
        assert_eq!(order.turn(3).unwrap_err().kind(), ErrorKind::InvalidArgument);
    });
    let ahead = fork(|| drop(order.turn(10).unwrap()));
    [&left_behind, &ahead].into_iter().for_each(wait_asleep);
    order.skip(9).unwrap();
    order.reset(9).unwrap();
    left_behind.expect_success();
    assert_eq!(order.current(), 9, "what was to be passed over is forgotten");
    drop(order.turn(9).unwrap());
    ahead.expect_success();
    order.reset(2).unwrap();
    drop(order.turn(2).unwrap());
    assert_eq!(order.current(), 3);
}

#[test]
fn a_panic_breaks_the_turn() {
    let order = Sequencer::anonymous(0).unwrap();
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _turn = order.turn(0).unwrap();
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    assert_eq!(order.broken(), Some(0));
    for number in [0, 1] {
        let error = order.turn(number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Broken);
        assert!(error.to_string().contains("turn 0 died"), "{error}");
        assert_eq!(order.try_turn(number).unwrap_err().kind(), ErrorKind::Broken);
    }
    let again = order.recover(0).unwrap();
    assert_eq!((order.broken(), again.number()), (None, 0));
    drop(again);
    drop(order.turn(1).unwrap());
    // One taken while unwinding is an ordinary one.
    struct AtEnd<'a>(&'a Sequencer);
    impl Drop for AtEnd<'_> {
        fn drop(&mut self) {
            drop(self.0.turn(2).unwrap());
        }
    }
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _at_end = AtEnd(&order);
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    assert_eq!((order.broken(), order.current()), (None, 3));
}

#[test]
fn an_inherited_turn_is_void() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let mut turn = Some(order.turn(0).unwrap());
    fork(|| {
        turn = None;
        assert_eq!(order.current(), 0);
        assert_eq!(order.try_turn(1).unwrap_err().kind(), ErrorKind::Busy);
    })
    .expect_success();
    assert_eq!((order.current(), order.broken()), (0, None));
    let child = fork(|| drop(order.turn(1).unwrap()));
    drop(turn);
    child.expect_success();
    assert_eq!(order.current(), 2);
}

#[test]
fn a_stopped_holder_is_waited_for() {
    let _watchdog = watchdog();
    let order = Sequencer::anonymous(0).unwrap();
    let step = &shared_counters()[0];
    let holder = fork(|| {
        let _turn = order.turn(0).unwrap();
        step.store(1, SeqCst);
        while step.load(SeqCst) == 1 {
            std::thread::yield_now();
        }
    });
    wait_until(|| step.load(SeqCst) == 1);
    holder.kill(libc::SIGSTOP);
    common::wait_stopped(&holder);
    step.store(2, SeqCst);
    let error = order.turn_timeout(1, Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    holder.kill(libc::SIGCONT);
    drop(order.turn(1).unwrap());
    holder.expect_success();
}

extern "C" fn nothing(_: libc::c_int) {}

/// Even with `SA_RESTART`, a wait that wants to know returns; one that does not goes on.
#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    for held in [false, true] {
        let order = Sequencer::anonymous(0).unwrap();
        let turn = held.then(|| order.turn(0).unwrap());
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
            assert_eq!(order.turn_interruptible(1, None).unwrap_err().kind(), ErrorKind::Interrupted);
            steps[0].store(2, SeqCst);
            drop(order.turn(1).unwrap());
        });
        wait_until(|| steps[0].load(SeqCst) == 1);
        while steps[0].load(SeqCst) == 1 {
            wait_asleep(&waiter);
            waiter.kill(libc::SIGUSR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..5 {
            wait_asleep(&waiter);
            waiter.kill(libc::SIGUSR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(turn.unwrap_or_else(|| order.turn(0).unwrap()));
        waiter.expect_success();
    }
}

#[test]
fn damage_after_attaching_is_an_error() {
    let (order, bytes) = place();
    for identity in [0, 1, 0x5348_0101, 0x0000_0001_5348_0c01, u64::MAX] {
        u64_at(bytes, 8).store(identity, SeqCst);
        assert_eq!(order.turn(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(order.try_turn(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(order.recover(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(order.skip(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(order.reset(0).unwrap_err().kind(), ErrorKind::Corrupt);
        if identity != 0 {
            // SAFETY: as in `place`.
            let again = unsafe { Sequencer::from_ptr(bytes, 4096) };
            assert_eq!(again.unwrap_err().kind(), ErrorKind::Mismatch, "{identity:#x}");
        }
    }
    u64_at(bytes, 8).store(IDENTITY, SeqCst);
    assert_eq!(u64_at(bytes, 64).load(SeqCst), 0, "nothing was changed");
    drop(order.turn(0).unwrap());
}

/// A neighbour writes random bytes into the sequencer while others use it: deadlines still hold, and nothing else goes wrong.
#[test]
fn random_bytes_break_no_deadline() {
    let _watchdog = watchdog();
    let (order, bytes) = place();
    let done = &shared_counters()[0];
    let children: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                while done.load(SeqCst) == 0 {
                    let current = order.current();
                    drop(order.turn_timeout(current + 1, Duration::from_millis(1)));
                    drop(order.try_turn(current));
                    drop(order.recover(current));
                    let _ = order.skip(current + 3);
                    let _ = order.reset(current % 1000);
                }
            })
        })
        .collect();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    for round in 0..rounds(3_000) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let place = (random >> 50) as usize % 11;
        // Mostly it stays a sequencer, so that the rest is looked at.
        let value = if place == 1 && round % 4 != 0 { IDENTITY } else { random };
        u64_at(bytes, 8 * place).store(value, SeqCst);
        let _ = order.try_turn(order.current());
    }
    done.store(1, SeqCst);
    children.into_iter().for_each(Child::expect_success);
}
