//! The channel under loom: messages are neither lost nor doubled nor torn, and nobody sleeps for ever, whoever dies where.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-sync --test loom_channel --release`. Loom reports a race on a cell of the ring (a message that is
//! read while it is written, or an ordering that is too weak) and a thread that sleeps for ever (a lost wake-up).
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use shm_sync::model::channel::{Channel, Death};

fn model(preemptions: usize, threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(threads);
}

fn spawn<T: 'static>(
    channel: &Arc<Channel>,
    run: impl FnOnce(&Channel) -> T + 'static,
) -> thread::JoinHandle<T> {
    let channel = channel.clone();
    thread::spawn(move || run(&channel))
}

/// One cell, so that both sides wait for each other all the time.
#[test]
fn one_producer_and_one_consumer_take_turns() {
    model(3, || {
        let channel = Arc::new(Channel::new(1));
        let producer = spawn(&channel, |channel| (1..=3).for_each(|number| assert!(channel.send(2, number))));
        (1..=3).for_each(|number| assert_eq!(channel.recv(1), Some(number)));
        producer.join().unwrap();
        assert!(channel.is_empty());
    });
}

#[test]
fn two_producers_are_served() {
    model(2, || {
        let channel = Arc::new(Channel::new(1));
        let producers: Vec<_> =
            (2..4).map(|tid| spawn(&channel, move |channel| assert!(channel.send(tid, tid)))).collect();
        let got = [channel.recv(1), channel.recv(1)];
        assert!(got == [Some(2), Some(3)] || got == [Some(3), Some(2)], "{got:?}");
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn two_consumers_share() {
    model(2, || {
        let channel = Arc::new(Channel::new(2));
        let consumers: Vec<_> =
            (2..4).map(|tid| spawn(&channel, move |channel| channel.recv(tid).unwrap())).collect();
        assert!(channel.send(1, 10) && channel.send(1, 20));
        let sum: u32 = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        assert_eq!((sum, channel.len()), (30, 0));
    });
}

/// Whatever was sent with success is received; both sides hear of the end.
#[test]
fn closing_loses_nothing_and_leaves_nobody_asleep() {
    model(2, || {
        let channel = Arc::new(Channel::new(1));
        let producer =
            spawn(&channel, |channel| u32::from(channel.send(2, 7)) + u32::from(channel.send(2, 8)));
        let consumer = spawn(&channel, |channel| {
            let mut received = 0;
            while channel.recv(3).is_some() {
                received += 1;
            }
            received
        });
        channel.close();
        assert_eq!(producer.join().unwrap(), consumer.join().unwrap());
        assert!(channel.is_empty());
    });
}

/// A producer dies at each stage, and its successor finds the ring full: what was not published never was; of what was, the consumer hears from the
/// successor, or, if the dead one had given its lock up, from the re-check.
#[test]
fn a_producer_that_dies_tears_nothing() {
    for death in [Death::Copied, Death::Moved, Death::Unlocked] {
        model(3, move || {
            let channel = Arc::new(Channel::new(1));
            let lost = death == Death::Copied;
            let consumer = spawn(&channel, move |channel| {
                if !lost {
                    assert_eq!(channel.recv(1), Some(10));
                }
                assert_eq!(channel.recv(1), Some(20));
            });
            channel.send_and_die(2, 10, death);
            if death == Death::Unlocked {
                channel.recheck();
            }
            assert!(channel.send(3, 20));
            consumer.join().unwrap();
            assert!(channel.is_empty());
        });
    }
}

/// A consumer dies at each stage. What it has not taken is still there; the room of what it has taken is used again.
#[test]
fn a_consumer_that_dies_takes_one_or_none() {
    for death in [Death::Copied, Death::Moved, Death::Unlocked] {
        model(2, move || {
            let channel = Arc::new(Channel::new(1));
            assert!(channel.send(1, 10));
            let victim = spawn(&channel, move |channel| {
                channel.recv_and_die(2, death);
                if death == Death::Unlocked {
                    channel.recheck();
                }
            });
            if death == Death::Copied {
                // It saw a message, whichever, and left it.
                assert_eq!(channel.recv(1), Some(10));
                assert!(channel.send(1, 20));
                victim.join().unwrap();
                assert_eq!(channel.recv(1), Some(20));
            } else {
                // One of the two messages goes to the victim.
                let successor = spawn(&channel, |channel| channel.recv(3));
                assert!(channel.send(1, 20));
                victim.join().unwrap();
                assert!(matches!(successor.join().unwrap(), Some(10 | 20)));
            }
            assert!(channel.is_empty());
        });
    }
}

/// A consumer is killed asleep, or right after it was woken; the next one moves up and gets the message.
#[test]
fn a_consumer_that_dies_waiting_is_replaced() {
    model(2, || {
        let channel = Arc::new(Channel::new(2));
        let victim = spawn(&channel, |channel| channel.die_waiting_for_a_message(2));
        let survivor = spawn(&channel, |channel| channel.recv(3));
        // The second one is for a victim that comes after the survivor.
        assert!(channel.send(1, 10) && channel.send(1, 20));
        victim.join().unwrap();
        assert_eq!(survivor.join().unwrap(), Some(10));
        assert_eq!(channel.recv(1), Some(20));
    });
}

/// The same with a producer: the next one gets the room.
#[test]
fn a_producer_that_dies_waiting_is_replaced() {
    model(2, || {
        let channel = Arc::new(Channel::new(1));
        assert!(channel.send(1, 10));
        let victim = spawn(&channel, |channel| channel.die_waiting_for_room(2));
        let survivor = spawn(&channel, |channel| channel.send(3, 20));
        assert_eq!((channel.recv(1), channel.recv(1)), (Some(10), Some(20)));
        victim.join().unwrap();
        assert!(survivor.join().unwrap());
        assert!(channel.is_empty());
    });
}
