//! Killed producers and consumers: nothing is torn, nothing is doubled, and nobody waits for ever.
#![allow(unsafe_code, reason = "channels in plain shared bytes, which the kill test watches")]

mod common;

use common::{
    DoubleKill, announce_list, fork, killed_often_enough, rounds, shared_bytes, shared_counters, wait_asleep,
    watchdog,
};
use shm_sync::{ByteChannel, Channel, ErrorKind, Primitive};
use shm_testkit::{Coverage, KillTest, announce, kill_zone};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(100);
const FIXED: usize = 320;

/// A channel in plain shared bytes, so that the kill test can watch them.
struct Place {
    channel: ByteChannel,
    bytes: *mut u8,
}

impl Place {
    fn new(capacity: usize) -> Self {
        let bytes = shared_bytes();
        // SAFETY: a zero page, shared, never unmapped, and used as a channel only.
        Self { channel: unsafe { ByteChannel::init_at(bytes, 4096, capacity) }.unwrap(), bytes }
    }

    /// Has the stores to the channel and to the thread's list counted.
    fn announce(&self) {
        announce(self.bytes, FIXED + self.channel.capacity() + 8);
        announce_list();
    }

    /// Everything that is in the channel, without waiting.
    fn drain(&self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        loop {
            match self.channel.try_recv() {
                Ok(message) => messages.push(message),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Empty, "{error}");
                    return messages;
                }
            }
        }
    }

    /// Good for anybody, in this process and in others, in both directions, more than once around.
    fn check(&self) {
        assert!(self.channel.is_empty());
        for round in 0..10u8 {
            let message = vec![round; usize::from(round) % (self.channel.capacity() + 1)];
            self.channel.send_timeout(&message, FAR).unwrap();
            assert_eq!(self.channel.recv_timeout(FAR).unwrap(), message);
        }
        fork(|| self.channel.send_timeout(b"child", FAR).unwrap()).expect_success();
        assert_eq!(self.channel.recv_timeout(FAR).unwrap(), b"child");
        self.channel.send_timeout(b"parent", FAR).unwrap();
        fork(|| assert_eq!(self.channel.recv_timeout(FAR).unwrap(), b"parent")).expect_success();
        assert!(self.channel.is_empty());
    }
}

/// A message that runs over the end of a ring of 40 bytes when one of 8 bytes was there before.
const LONG: &[u8] = b"a message of 27 bytes, here";

#[test]
fn killed_anywhere_in_a_send() {
    killed_often_enough(|| {
        KillTest::new("send")
            .prepare(|| {
                let place = Place::new(32);
                place.channel.send(b"12345678").unwrap();
                place.channel.recv().unwrap();
                place
            })
            .victim(|place| {
                place.announce();
                kill_zone(|| place.channel.send(LONG).unwrap());
            })
            .check(|place, point| {
                let left = place.drain();
                assert!(left.is_empty() || left == [LONG], "{left:?} at {point}");
                assert!(point.number < point.of || left == [LONG], "it was sent");
                place.check();
            })
            .run(Coverage::from_env())
    });
}

#[test]
fn killed_anywhere_in_a_receive() {
    for lends in [false, true] {
        killed_often_enough(|| {
            KillTest::new(if lends { "receive with" } else { "receive" })
                .prepare(|| {
                    let place = Place::new(100);
                    place.channel.send(LONG).unwrap();
                    place.channel.send(b"second").unwrap();
                    (place, shared_counters())
                })
                .victim(move |(place, dealt)| {
                    place.announce();
                    announce(dealt.as_ptr(), 4);
                    kill_zone(|| {
                        if lends {
                            place.channel.recv_with(|_| dealt[0].store(1, SeqCst)).unwrap();
                        } else {
                            place.channel.recv().unwrap();
                        }
                    });
                })
                .check(move |(place, dealt), point| {
                    let left = place.drain();
                    assert!(left == [LONG, b"second"] || left == [b"second"], "{left:?} at {point}");
                    if lends {
                        assert!(
                            dealt[0].load(SeqCst) == 1 || left.len() == 2,
                            "taken before it was dealt with"
                        );
                    }
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// A consumer sleeps: whatever the victim has published reaches it, though it may be the re-check that wakes it.
#[test]
fn killed_anywhere_in_a_send_to_a_sleeper() {
    killed_often_enough(|| {
        KillTest::new("send to a sleeper")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new(32)));
                let got = &shared_counters()[0];
                let sleeper = fork(|| {
                    let message = place.channel.recv_timeout(FAR).unwrap();
                    got.store(1 + u32::from(message == b"victim's"), SeqCst);
                });
                wait_asleep(&sleeper);
                (place, sleeper, got)
            })
            .victim(|(place, ..)| {
                // Only what the sleeper does not write.
                announce_list();
                // SAFETY: within the page: the producers' lock and the tail.
                announce(unsafe { place.bytes.add(64) }, 128);
                kill_zone(|| place.channel.send(b"victim's").unwrap());
            })
            .check(|(place, sleeper, got), point| {
                if place.channel.is_empty() && got.load(SeqCst) == 0 {
                    place.channel.send_timeout(b"survivor", FAR).unwrap();
                }
                sleeper.expect_success();
                assert!(point.number < point.of || got.load(SeqCst) == 2, "it was sent");
                place.drain();
                place.check();
            })
            .run(Coverage::from_env())
    });
}

/// A producer sleeps for room: whatever the victim has taken lets it on.
#[test]
fn killed_anywhere_in_a_receive_with_a_sleeper() {
    killed_often_enough(|| {
        KillTest::new("receive with a sleeper")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new(8)));
                place.channel.send(b"12345678").unwrap();
                let sleeper = fork(|| place.channel.send_timeout(b"second", FAR).unwrap());
                wait_asleep(&sleeper);
                (place, sleeper)
            })
            .victim(|(place, _)| {
                announce_list();
                // SAFETY: within the page: the consumers' lock and the head.
                announce(unsafe { place.bytes.add(192) }, 128);
                kill_zone(|| assert_eq!(place.channel.recv().unwrap(), b"12345678"));
            })
            .check(|(place, sleeper), point| {
                let mut message = place.channel.recv_timeout(FAR).unwrap();
                if message == b"12345678" {
                    assert!(point.number < point.of, "it was taken");
                    message = place.channel.recv_timeout(FAR).unwrap();
                }
                assert_eq!(message, b"second");
                sleeper.expect_success();
                place.check();
            })
            .run(Coverage::from_env())
    });
}

/// On the way to sleep, asleep, or giving up, at either gate.
#[test]
fn killed_anywhere_in_a_wait_that_times_out() {
    for sends in [false, true] {
        killed_often_enough(|| {
            KillTest::new(if sends { "wait for room in vain" } else { "wait for a message in vain" })
                .prepare(|| {
                    let place = Place::new(8);
                    if sends {
                        place.channel.send(b"12345678").unwrap();
                    }
                    place
                })
                .victim(move |place| {
                    announce(place.bytes, FIXED);
                    let brief = Duration::from_millis(2);
                    let outcome = kill_zone(|| {
                        if sends {
                            place.channel.send_timeout(b"more", brief)
                        } else {
                            place.channel.recv_timeout(brief).map(drop)
                        }
                    });
                    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
                })
                .check(move |place, _point| {
                    assert_eq!(place.drain().len(), usize::from(sends));
                    place.check();
                })
                .run(Coverage::from_env())
        });
    }
}

/// Whoever closes is killed in it: open or closed, and if closed then for everybody, sleepers included.
#[test]
fn killed_anywhere_in_closing() {
    killed_often_enough(|| {
        KillTest::new("close")
            .prepare(|| {
                let place: &'static Place = Box::leak(Box::new(Place::new(8)));
                let sleeper = fork(|| {
                    let kind = place.channel.recv_timeout(FAR).unwrap_err().kind();
                    assert_eq!(kind, ErrorKind::Closed);
                });
                wait_asleep(&sleeper);
                (place, sleeper)
            })
            .victim(|(place, _)| {
                announce(place.bytes, 16);
                kill_zone(|| place.channel.close().unwrap());
            })
            .check(|(place, sleeper), point| {
                let was_closed = place.channel.is_closed();
                assert!(was_closed || point.number < point.of);
                assert_eq!(place.channel.close().unwrap(), !was_closed);
                sleeper.expect_success();
                assert_eq!(place.channel.send(b"").unwrap_err().kind(), ErrorKind::Closed);
                assert_eq!(place.channel.recv().unwrap_err().kind(), ErrorKind::Closed);
            })
            .run(Coverage::from_env())
    });
}

/// The end of a closed channel, where a consumer takes the producers' lock too.
#[test]
fn killed_anywhere_in_hearing_of_the_end() {
    killed_often_enough(|| {
        KillTest::new("receive from a closed channel")
            .prepare(|| {
                let place = Place::new(8);
                place.channel.close().unwrap();
                place
            })
            .victim(|place| {
                place.announce();
                let outcome = kill_zone(|| place.channel.recv());
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
            })
            .check(|place, _point| {
                assert_eq!(place.channel.recv_timeout(FAR).unwrap_err().kind(), ErrorKind::Closed);
                assert_eq!(place.channel.send_timeout(b"", FAR).unwrap_err().kind(), ErrorKind::Closed);
            })
            .run(Coverage::from_env())
    });
}

/// The woken consumer dies before it runs: the next one in the queue gets the message.
#[test]
fn a_woken_consumer_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    for another in [false, true] {
        let channel = Channel::<u32>::anonymous(4).unwrap();
        DoubleKill {
            victim: || drop(channel.recv()),
            survivor: || assert_eq!(channel.recv().unwrap(), 1),
            wake: || channel.send(1).unwrap(),
            meanwhile: || another.then(|| channel.try_send(2).unwrap()),
        }
        .run_then(drop);
        assert_eq!(channel.try_recv().ok(), another.then_some(2));
    }
}

/// The woken producer dies before it runs: the next one in the queue gets the room.
#[test]
fn a_woken_producer_killed_before_it_runs_takes_nothing_with_it() {
    let _watchdog = watchdog();
    let channel = Channel::<u32>::anonymous(1).unwrap();
    channel.send(1).unwrap();
    DoubleKill {
        victim: || drop(channel.send(2)),
        survivor: || channel.send(3).unwrap(),
        wake: || assert_eq!(channel.recv().unwrap(), 1),
        meanwhile: || (),
    }
    .run_then(drop);
    assert_eq!(channel.recv().unwrap(), 3);
}

/// Close wakes a waiter that dies before it runs: the next one hears of it too.
#[test]
fn closing_reaches_those_behind_a_dead_waiter() {
    let _watchdog = watchdog();
    let channel = Channel::<u32>::anonymous(1).unwrap();
    DoubleKill {
        victim: || drop(channel.recv()),
        survivor: || assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Closed),
        wake: || assert!(channel.close().unwrap()),
        meanwhile: || (),
    }
    .run_then(drop);
}

/// Producers and consumers are killed at random moments; the messages that arrive are whole, each once, and those of a producer in order; and the
/// survivors get on.
#[test]
fn random_kills_in_a_crowd() {
    let _watchdog = watchdog();
    for round in 0..rounds(40) as u64 {
        let channel = ByteChannel::anonymous(200).unwrap();
        let steps = shared_counters();
        let producers: Vec<_> = (0..2u8)
            .map(|producer| {
                let channel = &channel;
                fork(move || {
                    for number in 0u32.. {
                        let len = number as usize % 90;
                        let mut message = vec![producer; 5 + len];
                        message[1..5].copy_from_slice(&number.to_le_bytes());
                        channel.send(&message).unwrap();
                    }
                })
            })
            .collect();
        let victims: Vec<_> = (0..2)
            .map(|_| {
                fork(|| {
                    loop {
                        let whole = |bytes: &[u8]| bytes[5..].iter().all(|byte| *byte == bytes[0]);
                        assert!(channel.recv_with(whole).unwrap());
                    }
                })
            })
            .collect();
        let survivor = fork(|| {
            let mut next = [0u32; 2];
            loop {
                match channel.recv_timeout(FAR) {
                    Ok(message) => {
                        let number = u32::from_le_bytes(message[1..5].try_into().unwrap());
                        let producer = usize::from(message[0]);
                        assert_eq!(message.len(), 5 + number as usize % 90);
                        assert!(message[5..].iter().all(|byte| usize::from(*byte) == producer));
                        assert!(number >= next[producer], "in order, each once");
                        next[producer] = number + 1;
                        steps[0].fetch_add(1, SeqCst);
                    }
                    Err(error) if error.kind() == ErrorKind::Closed => return,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for victim in victims.into_iter().chain(producers) {
            std::thread::sleep(Duration::from_micros(200 + round * 37 % 500));
            drop(victim);
        }
        // Everybody else is dead, perhaps with a lock: the survivor and this process get on.
        let before = steps[0].load(SeqCst);
        let last = 1u32 << 31;
        let message = [&[0][..], &last.to_le_bytes(), &vec![0; last as usize % 90]].concat();
        channel.send_timeout(&message, FAR).unwrap();
        channel.close().unwrap();
        survivor.expect_success();
        assert!(channel.is_empty() && steps[0].load(SeqCst) > before);
    }
}
