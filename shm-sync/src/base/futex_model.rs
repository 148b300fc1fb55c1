//! The kernel's futex queues in a model: who sleeps on which words, first come first.
//!
//! Stands in for the system calls of `futex` under `--cfg loom`. One lock for all queues, which makes the comparison and the going to sleep one
//! step for wakers, as the kernel's hash bucket does. There is no time: a model ends the time slices of sleeps itself ([`recheck`]).

use super::atomics::AtomicU32;
use super::futex::{Deadline, Woken};
use core::num::NonZeroU32;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
struct Kernel {
    /// Those who sleep, the one who came first in front.
    asleep: Vec<Sleeper>,
    next: usize,
    /// The words on which the time slices of all sleeps are over, also of those that begin later.
    late: Vec<usize>,
}

struct Sleeper {
    ticket: usize,
    words: Vec<usize>,
    bits: u32,
    bell: Arc<Condvar>,
}

loom::lazy_static! {
    static ref KERNEL: Mutex<Kernel> = Mutex::new(Kernel::default());
    /// Rung when somebody goes to sleep.
    static ref ASLEEP: Condvar = Condvar::new();
}

fn address(word: &AtomicU32) -> usize {
    core::ptr::from_ref(word).addr()
}

pub(crate) fn wait(word: &AtomicU32, expected: u32, until: Deadline) -> Woken {
    wait_any(&[(word, expected)], until)
}

pub(crate) fn wait_for(word: &AtomicU32, expected: u32, bits: NonZeroU32, _until: Deadline) -> Woken {
    sleep(&[(word, expected)], bits.get())
}

pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], _until: Deadline) -> Woken {
    sleep(words, u32::MAX)
}

fn sleep(words: &[(&AtomicU32, u32)], bits: u32) -> Woken {
    let mut kernel = KERNEL.lock().unwrap();
    if words.iter().any(|(word, expected)| word.load(Relaxed) != *expected) {
        return Woken::Look;
    }
    let words: Vec<usize> = words.iter().map(|(word, _)| address(word)).collect();
    if words.iter().any(|word| kernel.late.contains(word)) {
        drop(kernel);
        loom::thread::yield_now();
        return Woken::Look;
    }
    let (ticket, bell) = (kernel.next, Arc::new(Condvar::new()));
    kernel.next += 1;
    kernel.asleep.push(Sleeper { ticket, words, bits, bell: bell.clone() });
    ASLEEP.notify_all();
    while kernel.asleep.iter().any(|sleeper| sleeper.ticket == ticket) {
        kernel = bell.wait(kernel).unwrap();
    }
    Woken::Look
}

/// There are no signals in a model.
pub(crate) fn wait_any_interruptible(words: &[(&AtomicU32, u32)], until: Deadline) -> Woken {
    wait_any(words, until)
}

pub(crate) fn wake(word: &AtomicU32, count: u32) {
    wake_some(word, count, u32::MAX);
}

pub(crate) fn wake_for(word: &AtomicU32, bits: NonZeroU32) {
    wake_some(word, u32::MAX, bits.get());
}

fn wake_some(word: &AtomicU32, count: u32, bits: u32) {
    let mut kernel = KERNEL.lock().unwrap();
    for _ in 0..count {
        let sleeps = |sleeper: &Sleeper| sleeper.words.contains(&address(word)) && sleeper.bits & bits != 0;
        let Some(first) = kernel.asleep.iter().position(sleeps) else { return };
        kernel.asleep.remove(first).bell.notify_all();
    }
}

pub(crate) fn wake_one(word: &AtomicU32) {
    wake(word, 1);
}

pub(crate) fn wake_all(word: &AtomicU32) {
    wake(word, u32::MAX);
}

/// Ends every sleep on this word that there is and that will be: those who wait have to find what they wait for when they look again.
pub(crate) fn recheck(word: &AtomicU32) {
    KERNEL.lock().unwrap().late.push(address(word));
    wake_all(word);
}

/// Waits until so many sleep, on whatever word.
pub(crate) fn until_asleep(number: usize) {
    let mut kernel = KERNEL.lock().unwrap();
    while kernel.asleep.len() < number {
        kernel = ASLEEP.wait(kernel).unwrap();
    }
}
