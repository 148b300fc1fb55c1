//! Channels between threads and processes: order, ways of waiting, closing, what does not fit.
#![allow(unsafe_code, reason = "a signal handler is installed")]

mod common;

use common::{fork, rounds, shared_counters, wait_asleep, wait_stopped, wait_until, watchdog};
use shm_sync::{ByteChannel, Channel, ErrorKind, ItemChannel, Primitive};
use shm_testkit::{Child, Cleanup, unique_name};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);
const FAR: Duration = Duration::from_secs(100);

/// A message of `len` bytes whose content is known.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

#[test]
fn smoke() {
    let channel = ByteChannel::anonymous(100).unwrap();
    channel.send(b"one").unwrap();
    channel.send(b"").unwrap();
    assert_eq!(channel.len(), 2);
    assert_eq!(channel.recv().unwrap(), b"one");
    assert_eq!(channel.recv().unwrap(), b"");
    assert!(channel.is_empty());
    let values = Channel::<[u16; 3]>::anonymous(2).unwrap();
    values.send([1, 2, 3]).unwrap();
    assert_eq!(values.recv().unwrap(), [1, 2, 3]);
}

/// Every length in rings of every small size, so that records and headers run over the end at every place.
#[test]
fn every_length_at_every_place() {
    for capacity in 1..=40 {
        let channel = ByteChannel::anonymous(capacity).unwrap();
        for round in 0..4 {
            for len in 0..=capacity {
                channel.try_send(&pattern(len)).unwrap();
                let second = (capacity / 8 * 8).saturating_sub(len.next_multiple_of(8) + 8);
                let both = round % 2 == 0 && channel.try_send(&pattern(second)).is_ok();
                assert_eq!(channel.len(), 1 + usize::from(both));
                assert_eq!(channel.try_recv().unwrap(), pattern(len), "{capacity} {len}");
                if both {
                    assert!(channel.try_recv_with(|bytes| bytes == pattern(second)).unwrap());
                }
                assert!(channel.is_empty());
            }
        }
    }
}

#[test]
fn values_of_every_size() {
    fn check<T: bytemuck::Pod + Send + PartialEq + std::fmt::Debug>(value: T) {
        for capacity in [1, 2, 3, 7] {
            let channel = Channel::<T>::anonymous(capacity).unwrap();
            for _ in 0..20 {
                (0..capacity).for_each(|_| channel.try_send(value).unwrap());
                assert_eq!(channel.len(), capacity);
                assert_eq!(channel.try_send(value).unwrap_err().kind(), ErrorKind::Full);
                assert_eq!(channel.try_recv().unwrap(), value);
                channel.try_send(value).unwrap();
                (0..capacity).for_each(|_| assert_eq!(channel.try_recv_with(|got| *got).unwrap(), value));
                assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Empty);
            }
        }
    }
    check(());
    check(0xA5u8);
    check(1.5f64);
    check([1u8, 2, 3]);
    check([7u16; 9]);
    check([u128::MAX / 3; 5]);
    check([9u64; 512]);
}

/// As many empty messages as there are words; a long one only when the ring is empty.
#[test]
fn the_room_is_what_was_promised() {
    for capacity in [1, 8, 9, 64, 1000] {
        let channel = ByteChannel::anonymous(capacity).unwrap();
        assert_eq!(channel.capacity(), capacity);
        let words = 1 + capacity.div_ceil(8);
        for round in 0..3 {
            for count in 0..words {
                assert_eq!(channel.len(), count);
                channel.try_send(b"").unwrap();
            }
            assert_eq!(channel.try_send(b"").unwrap_err().kind(), ErrorKind::Full, "{round}");
            (0..words).for_each(|_| assert_eq!(channel.try_recv().unwrap(), b""));
            channel.try_send(&pattern(capacity)).unwrap();
            assert_eq!(
                channel.try_send(b"").map_err(|error| error.kind()),
                if words * 8 - 8 >= capacity.next_multiple_of(8) + 8 { Ok(()) } else { Err(ErrorKind::Full) }
            );
            assert_eq!(channel.try_recv().unwrap(), pattern(capacity));
            while channel.try_recv().is_ok() {}
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let error = ByteChannel::anonymous(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("capacity is 0 bytes"), "{error}");
    for capacity in [1 << 32, usize::MAX, usize::MAX / 8] {
        assert_eq!(ByteChannel::anonymous(capacity).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(Channel::<u64>::anonymous(capacity).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let error = Channel::<u64>::anonymous(0).unwrap_err();
    assert!(error.to_string().contains("capacity is 0 messages of 8 bytes"), "{error}");
    assert_eq!(Channel::<[u64; 64]>::anonymous(1 << 27).unwrap_err().kind(), ErrorKind::InvalidArgument);

    let channel = ByteChannel::anonymous(10).unwrap();
    for error in [channel.send(&[0; 11]), channel.try_send(&[0; 11]), channel.send_timeout(&[0; 11], FAR)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("11 bytes") && error.to_string().contains("10 bytes"), "{error}");
    }
    assert!(channel.is_empty());
}

#[test]
fn waits_end_with_their_time() {
    let _watchdog = watchdog();
    let channel = Channel::<u8>::anonymous(1).unwrap();
    let past = Instant::now() - FAR;
    let soon = || Instant::now() + SHORT;
    let late =
        |outcome: Result<(), shm_sync::Error>| assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    late(channel.recv_timeout(SHORT).map(drop));
    late(channel.recv_timeout(Duration::ZERO).map(drop));
    late(channel.recv_until(soon()).map(drop));
    late(channel.recv_until(past).map(drop));
    late(channel.recv_interruptible(Some(soon())).map(drop));
    late(channel.recv_with_timeout(SHORT, |_| ()));
    late(channel.recv_with_until(soon(), |_| ()));
    late(channel.recv_with_interruptible(Some(soon()), |_| ()));
    channel.send_until(1, past).unwrap();
    late(channel.send_timeout(2, SHORT));
    late(channel.send_timeout(2, Duration::ZERO));
    late(channel.send_until(2, soon()));
    late(channel.send_interruptible(2, Some(soon())));
    assert_eq!(channel.recv_until(past).unwrap(), 1);
    channel.send_timeout(3, Duration::MAX).unwrap();
    assert_eq!(channel.recv_timeout(Duration::MAX).unwrap(), 3);
    let error = channel.recv_timeout(SHORT).unwrap_err();
    assert!(error.to_string().contains("no message came in that time"), "{error}");
}

/// Every message arrives once, each consumer sees the messages of a producer in order, and nobody hangs; in rings from tiny to roomy.
#[test]
fn many_producers_and_consumers() {
    let _watchdog = watchdog();
    let each = rounds(3_000) as u64;
    for (capacity, producers, consumers) in
        [(1, 1, 1), (1, 3, 3), (2, 4, 1), (5, 1, 4), (100, 3, 3), (1000, 2, 2)]
    {
        let channel = Channel::<[u64; 2]>::anonymous(capacity).unwrap();
        let (left, sum) = (AtomicUsize::new(producers), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for producer in 0..producers {
                let (channel, left) = (&channel, &left);
                scope.spawn(move || {
                    (0..each).for_each(|number| channel.send([producer as u64, number]).unwrap());
                    if left.fetch_sub(1, SeqCst) == 1 {
                        channel.close().unwrap();
                    }
                });
            }
            for consumer in 0..consumers {
                let (channel, sum) = (&channel, &sum);
                scope.spawn(move || {
                    let mut next = vec![0; producers];
                    let mut count = 0;
                    loop {
                        let got = match consumer % 3 {
                            0 => channel.recv(),
                            1 => channel.recv_timeout(Duration::from_micros(50)),
                            _ => channel.try_recv_with(|got| *got),
                        };
                        match got {
                            Ok([producer, number]) => {
                                assert!(number >= next[producer as usize], "in order");
                                next[producer as usize] = number + 1;
                                count += 1;
                            }
                            Err(error) if error.kind() == ErrorKind::Closed => break,
                            Err(error) => assert!(
                                matches!(
                                    error.kind(),
                                    ErrorKind::TimedOut | ErrorKind::Empty | ErrorKind::Busy
                                ),
                                "{error}"
                            ),
                        }
                    }
                    sum.fetch_add(count, SeqCst);
                });
            }
        });
        assert_eq!(sum.load(SeqCst), producers * each as usize, "{capacity} {producers} {consumers}");
    }
}

/// Between processes, with messages of many lengths whose content is checked.
#[test]
fn processes_exchange_messages_of_all_lengths() {
    let _watchdog = watchdog();
    let each = rounds(2_000);
    for capacity in [300, 1 << 14] {
        let channel = ByteChannel::anonymous(capacity).unwrap();
        let counts = shared_counters();
        let consumers: Vec<_> = (0..2)
            .map(|consumer| {
                let channel = &channel;
                fork(move || {
                    let check = |bytes: &[u8]| assert_eq!(bytes, pattern(bytes.len()));
                    loop {
                        let outcome = if consumer == 0 {
                            channel.recv_with(check)
                        } else {
                            channel.recv().map(|bytes| check(&bytes))
                        };
                        match outcome {
                            Ok(()) => counts[0].fetch_add(1, SeqCst),
                            Err(error) if error.kind() == ErrorKind::Closed => break,
                            Err(error) => panic!("{error}"),
                        };
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let channel = &channel;
                fork(move || {
                    for number in 0..each {
                        channel.send(&pattern((number * 13 + producer * 101) % 301)).unwrap();
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(Child::expect_success);
        assert!(channel.close().unwrap());
        consumers.into_iter().for_each(Child::expect_success);
        assert_eq!(counts[0].load(SeqCst) as usize, 2 * each);
    }
}

/// Messages of several producers keep the order of their publication, whoever receives them: with one consumer at a time in the lock, the
/// numbers of a token that is passed around come in order.
#[test]
fn the_order_is_that_of_the_sends() {
    let _watchdog = watchdog();
    let channel = Channel::<u32>::anonymous(8).unwrap();
    let ticket = std::sync::Mutex::new(0);
    let total = rounds(6_000) as u32;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let mut ticket = ticket.lock().unwrap();
                    if *ticket == total {
                        break;
                    }
                    channel.send(*ticket).unwrap();
                    *ticket += 1;
                }
            });
        }
        for number in 0..total {
            assert_eq!(channel.recv().unwrap(), number);
        }
    });
}

/// 10 000 hand-overs between two processes, with pauses that let the other one fall asleep now and then.
#[test]
fn round_trips_never_hang() {
    let _watchdog = watchdog();
    let (there, back) = (Channel::<u32>::anonymous(1).unwrap(), ByteChannel::anonymous(8).unwrap());
    let child = fork(|| {
        while let Ok(number) = there.recv() {
            back.send(&number.to_le_bytes()).unwrap();
        }
    });
    for number in 0..10_000u32 {
        if number % 97 == 0 {
            std::thread::sleep(Duration::from_micros(u64::from(number % 300)));
        }
        there.send(number).unwrap();
        assert_eq!(back.recv().unwrap(), number.to_le_bytes());
    }
    there.close().unwrap();
    child.expect_success();
}

#[test]
fn closing_ends_every_wait() {
    let _watchdog = watchdog();
    for _ in 0..rounds(20) {
        let (empty, full) = (Channel::<u8>::anonymous(1).unwrap(), Channel::<u8>::anonymous(1).unwrap());
        full.send(1).unwrap();
        let waiters: Vec<_> = (0..4)
            .map(|number| {
                let (empty, full) = (&empty, &full);
                fork(move || {
                    let outcome = if number % 2 == 0 { empty.recv().map(drop) } else { full.send(2) };
                    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
                })
            })
            .collect();
        waiters.iter().for_each(wait_asleep);
        assert!(empty.close().unwrap() && full.close().unwrap());
        waiters.into_iter().for_each(Child::expect_success);
        assert!(!empty.close().unwrap() && full.is_closed());
        assert_eq!(full.try_send(3).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(full.try_recv().unwrap(), 1);
        for outcome in [full.try_recv(), full.recv(), full.recv_timeout(FAR)] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
        }
    }
}

/// What was sent with success is received before anybody hears that the channel is closed, however close the two are.
#[test]
fn a_message_that_was_sent_is_not_lost_in_closing() {
    let _watchdog = watchdog();
    for _ in 0..rounds(300) {
        let channel = Channel::<u32>::anonymous(4).unwrap();
        let (sent, received) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                while channel.send(sent).is_ok() {
                    sent += 1;
                }
                sent
            });
            let receivers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut received = 0;
                        while channel.recv().is_ok() {
                            received += 1;
                        }
                        received
                    })
                })
                .collect();
            std::thread::yield_now();
            channel.close().unwrap();
            (sender.join().unwrap(), receivers.into_iter().map(|r| r.join().unwrap()).sum::<u32>())
        });
        assert_eq!(sent, received);
    }
}

/// Somebody else waits inside the lock: that is an empty (or full) channel, not a busy one.
#[test]
fn trying_beside_a_waiter_says_what_is_missing() {
    let _watchdog = watchdog();
    let (empty, full) = (Channel::<u8>::anonymous(1).unwrap(), Channel::<u8>::anonymous(1).unwrap());
    full.send(1).unwrap();
    let receiver = fork(|| assert_eq!(empty.recv().unwrap(), 9));
    let sender = fork(|| full.send(2).unwrap());
    wait_asleep(&receiver);
    wait_asleep(&sender);
    for _ in 0..10 {
        assert_eq!(empty.try_recv().unwrap_err().kind(), ErrorKind::Empty);
        assert_eq!(full.try_send(3).unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(empty.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(full.send_timeout(3, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    }
    empty.try_send(9).unwrap();
    assert_eq!(full.try_recv().unwrap(), 1);
    receiver.expect_success();
    sender.expect_success();
    assert_eq!(full.recv().unwrap(), 2);
}

#[test]
fn a_message_stays_until_it_has_been_dealt_with() {
    let channel = ByteChannel::anonymous(1000).unwrap();
    for message in [&b"short"[..], &pattern(700)] {
        channel.send(message).unwrap();
        let panics =
            std::panic::AssertUnwindSafe(|| channel.recv_with(|_| std::panic::resume_unwind(Box::new(()))));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(channel.len(), 1);
        let outcome = channel.recv_with(|bytes| {
            assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Deadlock);
            assert_eq!(channel.try_recv_with(|_| ()).unwrap_err().kind(), ErrorKind::Deadlock);
            assert_eq!(channel.len(), 1);
            channel.send(b"more").unwrap();
            bytes == message
        });
        assert!(outcome.unwrap());
        assert_eq!(channel.recv().unwrap(), b"more");
    }
}

#[test]
fn handles_work_in_forked_children() {
    let _watchdog = watchdog();
    let channel = ByteChannel::anonymous(100).unwrap();
    channel.send(b"parent").unwrap();
    // Forked inside the closure: the message, and the lock, are the parent's.
    channel
        .recv_with(|_| {
            fork(|| {
                assert_eq!(channel.len(), 1);
                channel.send(b"child").unwrap();
                assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Busy);
            })
            .expect_success();
        })
        .unwrap();
    assert_eq!(channel.recv().unwrap(), b"child");
    fork(|| {
        fork(|| channel.send(b"grandchild").unwrap()).expect_success();
        assert_eq!(channel.recv().unwrap(), b"grandchild");
        channel.send(b"back").unwrap();
    })
    .expect_success();
    assert_eq!(channel.recv().unwrap(), b"back");
}

/// The child that was forked in the closure comes back from `recv_with` as well: it takes nothing and gives nothing up.
#[test]
fn a_closure_that_returns_in_two_processes_takes_one_message() {
    let _watchdog = watchdog();
    let channel = ByteChannel::anonymous(100).unwrap();
    channel.send(b"first").unwrap();
    channel.send(b"second").unwrap();
    let stay = &shared_counters()[0];
    // SAFETY: the child only uses the channel and atomics, and ends by _exit.
    let pid = channel.recv_with(|_| unsafe { libc::fork() }).unwrap();
    if pid == 0 {
        let right = channel.recv_timeout(FAR).is_ok_and(|bytes| bytes == b"second");
        // SAFETY: ends the child.
        unsafe { libc::_exit(if right { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(libc::WEXITSTATUS(status), 7);
    assert!(channel.is_empty());
    assert_eq!(stay.load(SeqCst), 0);
}

#[test]
fn a_stopped_waiter_holds_up_its_own_side_only() {
    let _watchdog = watchdog();
    let channel = Channel::<u8>::anonymous(2).unwrap();
    let waiter = fork(|| assert_eq!(channel.recv().unwrap(), 1));
    wait_asleep(&waiter);
    waiter.kill(libc::SIGSTOP);
    wait_stopped(&waiter);
    channel.send_timeout(1, FAR).unwrap();
    channel.send_timeout(2, FAR).unwrap();
    assert_eq!(channel.send_timeout(3, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(channel.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Busy);
    waiter.kill(libc::SIGCONT);
    waiter.expect_success();
    assert_eq!(channel.recv().unwrap(), 2);
}

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Even with `SA_RESTART`, a wait that wants to know returns: at the gate, and in the queue behind another waiter.
#[test]
fn signals_interrupt_those_who_ask() {
    let _watchdog = watchdog();
    let (empty, full) = (Channel::<u8>::anonymous(1).unwrap(), Channel::<u8>::anonymous(1).unwrap());
    full.send(1).unwrap();
    for queued in [false, true] {
        let first = queued.then(|| (fork(|| drop(empty.recv())), fork(|| drop(full.send(2)))));
        if let Some((receiver, sender)) = &first {
            wait_asleep(receiver);
            wait_asleep(sender);
        }
        for sends in [false, true] {
            let step = &shared_counters()[0];
            let waiter = fork(|| {
                // SAFETY: the handler only adds to an atomic; the structure is zeroed and then filled.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = count_signal as *const () as usize;
                    action.sa_flags = libc::SA_RESTART;
                    assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
                }
                step.store(1, SeqCst);
                let outcome = if sends {
                    full.send_interruptible(2, None)
                } else {
                    empty.recv_interruptible(None).map(drop)
                };
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Interrupted);
                step.store(2, SeqCst);
                // Those who do not ask go on waiting.
                let outcome = if sends {
                    full.send_timeout(2, SHORT * 20)
                } else {
                    empty.recv_timeout(SHORT * 20).map(drop)
                };
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
            });
            wait_until(|| step.load(SeqCst) == 1);
            while step.load(SeqCst) == 1 {
                waiter.kill(libc::SIGUSR1);
                std::thread::sleep(Duration::from_millis(1));
            }
            waiter.kill(libc::SIGUSR1);
            waiter.expect_success();
        }
    }
    assert_eq!((empty.len(), full.len()), (0, 1));
}

#[test]
fn items_are_the_values_of_their_size() {
    let _watchdog = watchdog();
    let name = unique_name("items");
    let _cleanup = Cleanup::of([&name]);
    let items = ItemChannel::create(name.as_str(), (3, 12)).unwrap();
    let values = Channel::<[u32; 3]>::attach(name.as_str()).unwrap();
    assert_eq!((items.item_len(), items.capacity()), (12, 3));
    values.send([1, 2, 3]).unwrap();
    items.send(bytemuck::bytes_of(&[4u32, 5, 6])).unwrap();
    let mut item = [0u32; 3];
    items.recv(bytemuck::bytes_of_mut(&mut item)).unwrap();
    assert_eq!((item, values.recv().unwrap()), ([1, 2, 3], [4, 5, 6]));

    for error in
        [items.send(&[0; 11]), items.try_send(&[0; 13]), items.recv(&mut [0; 8]), items.try_recv(&mut [])]
    {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("12 bytes"), "{error}");
    }
    for round in 0..3u32 {
        items.try_send(bytemuck::bytes_of(&[round; 3])).unwrap();
    }
    assert_eq!(items.try_send(&[0; 12]).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(
        items.send_until(&[0; 12], std::time::Instant::now()).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert!(items.close().unwrap() && items.is_closed() && items.len() == 3);
    for round in 0..3u32 {
        items.recv_timeout(bytemuck::bytes_of_mut(&mut item), FAR).unwrap();
        assert_eq!(item, [round; 3]);
    }
    assert_eq!(items.recv(bytemuck::bytes_of_mut(&mut item)).unwrap_err().kind(), ErrorKind::Closed);

    assert_eq!(Channel::<[u32; 2]>::attach(name.as_str()).unwrap_err().kind(), ErrorKind::Mismatch);
    let error = ItemChannel::create_or_attach(name.as_str(), (3, 16)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains("12 bytes, and 16"), "{error}");
    let error = ItemChannel::create_or_attach(name.as_str(), (4, 12)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    ItemChannel::create_or_attach(name.as_str(), (3, 12)).unwrap();

    // Items without bytes are a channel of nothing but comings.
    let bells = ItemChannel::anonymous((2, 0)).unwrap();
    bells.send(&[]).unwrap();
    bells.recv(&mut []).unwrap();
    assert_eq!(bells.try_recv(&mut []).unwrap_err().kind(), ErrorKind::Empty);
    assert_eq!(ItemChannel::anonymous((0, 8)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(ItemChannel::anonymous((usize::MAX, 8)).unwrap_err().kind(), ErrorKind::InvalidArgument);
}
