//! Worker-local state: made once, lazily, in the worker; lent with each item; dropped at the worker's end, and never twice.

#![allow(unsafe_code, reason = "kills workers")]

mod common;

use common::{alone, kill_self, no_children, pool};
use shm_core::{Anonymous, SharedArray};
use shm_pool::{ErrorKind, Exit, Schedule, Worker};
use shm_sync::{Mutex, Primitive};

/// What outlives workers: how many states were made and dropped, and how many of these in other processes.
struct Books(Mutex<[u32; 3]>);

const MADE: usize = 0;
const DROPPED: usize = 1;
const ABROAD: usize = 2;

impl Books {
    fn new() -> Books {
        Books(Mutex::anonymous([0; 3]).unwrap())
    }

    fn count(&self, word: usize) {
        self.0.lock().unwrap()[word] += 1;
    }

    fn of(&self, word: usize) -> u32 {
        self.0.lock().unwrap()[word]
    }

    fn state(&self) -> State<'_> {
        self.count(MADE);
        State { books: self, home: std::process::id(), items: 0 }
    }
}

struct State<'a> {
    books: &'a Books,
    home: u32,
    items: usize,
}

impl State<'_> {
    fn next(&mut self) -> usize {
        assert_eq!(self.home, std::process::id(), "a state stays in its worker");
        self.items += 1;
        self.items
    }
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        self.books.count(if self.home == std::process::id() { DROPPED } else { ABROAD });
    }
}

#[test]
fn smoke() {
    let _watch = common::watchdog();
    alone("smoke", || {
        for workers in [0, 1, 2, 3] {
            for schedule in [Schedule::Static, Schedule::default()] {
                let pool = pool(workers).schedule(schedule);
                let books = Books::new();
                let serial = workers == 0;
                let check = |found: Vec<usize>, runs: u32| {
                    let firsts = found.iter().filter(|n| **n == 1).count() as u32;
                    assert!(found.len() == 500 && (1..=workers.max(1) as u32).contains(&firsts));
                    assert!(found.iter().sum::<usize>() >= 500);
                    assert_eq!(books.of(MADE), books.of(DROPPED), "after {runs} runs");
                    assert_eq!(books.of(ABROAD), 0);
                    assert!(!serial || books.of(MADE) == runs);
                };
                let init = |_: &Worker| books.state();
                check(pool.with_state(init).map(0..500, |_, state, _| state.next()).unwrap(), 1);
                check(pool.with_state(init).map_plain(0..500, |_, state, _| state.next()).unwrap(), 2);
                let reduced = pool.with_state(init).map_reduce(0..500, |_, state, _| state.next(), |_, n| n);
                check(reduced.unwrap(), 3);
                let mut array = SharedArray::<u8, _>::zeros(Anonymous, 500).unwrap();
                let mut array = array.exclusive().unwrap();
                let chunks = pool.with_state(init).map_chunks(&mut array, 1, |_, state, _, _| state.next());
                check(chunks.unwrap(), 4);
                let found = pool.skip_failed().with_state(init).map(0..500, |_, state, _| state.next());
                check(found.unwrap().into_parts().0.into_iter().flatten().collect(), 5);
                let found = pool.skip_failed().with_state(init).map_plain(0..500, |_, state, _| state.next());
                check(found.unwrap().into_parts().0.into_iter().flatten().collect(), 6);
                no_children();
            }
        }
    });
}

#[test]
fn a_worker_without_items_makes_no_state() {
    let _watch = common::watchdog();
    let books = Books::new();
    let ended = SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap();
    let found = pool(2).with_state(|_| books.state()).map(0..2, |_, state, i| {
        // Whoever has item 0 waits until item 1 is done, so that both have one.
        if i == 1 {
            ended.set(0, 1);
        }
        while ended.get(0) == 0 {
            std::thread::yield_now();
        }
        state.next()
    });
    assert_eq!((found.unwrap(), books.of(MADE)), (vec![1, 1], 2));
    // One takes all: the other one ends without a state.
    let books = Books::new();
    let taken = SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap();
    let mut array = SharedArray::<u8, _>::zeros(Anonymous, 2).unwrap();
    let mut alone = array.exclusive().unwrap();
    let mut crew = pool(2)
        .schedule(Schedule::Dynamic(1))
        .with_state(|_| books.state())
        .crew(&mut alone, 1, |worker, _, _, _: &mut [u8]| {
            taken.set(0, taken.get(0) | 1 << worker.rank());
        })
        .unwrap();
    crew.run().unwrap();
    drop(crew);
    assert_eq!(books.of(MADE), taken.get(0).count_ones());
    assert_eq!(books.of(DROPPED), books.of(MADE));
}

#[test]
fn a_crew_keeps_its_states() {
    let _watch = common::watchdog();
    alone("a_crew_keeps_its_states", || {
        let books = Books::new();
        let mut array = SharedArray::<u8, _>::zeros(Anonymous, 3).unwrap();
        let mut exclusive = array.exclusive().unwrap();
        let pool = pool(3).schedule(Schedule::Static).retries(1);
        let mut crew = pool
            .with_state(|_| books.state())
            .crew(&mut exclusive, 1, |_, state, offset, _: &mut [u8]| {
                if offset == 1 && state.items == 20 {
                    kill_self(libc::SIGKILL); // its state is not dropped
                }
                state.next()
            })
            .unwrap();
        for run in 1..=20 {
            assert_eq!(crew.run().unwrap(), [run; 3]);
        }
        assert_eq!((books.of(MADE), books.of(DROPPED)), (3, 0));
        assert_eq!(crew.run().unwrap(), [21, 1, 21]);
        drop(crew);
        assert_eq!((books.of(MADE), books.of(DROPPED), books.of(ABROAD)), (4, 3, 0));
        no_children();
        drop(exclusive);
        // Without workers it is the crew's own.
        let books = Books::new();
        let mut exclusive = array.exclusive().unwrap();
        let pool = common::pool(0);
        let serial = pool.with_state(|_| books.state());
        let mut crew = serial.crew(&mut exclusive, 1, |_, state, _, _: &mut [u8]| state.next()).unwrap();
        assert_eq!((crew.run().unwrap(), crew.run().unwrap()), (vec![1, 2, 3], vec![4, 5, 6]));
        drop(crew);
        assert_eq!((books.of(MADE), books.of(DROPPED)), (1, 1));
    });
}

#[test]
fn a_panic_in_the_initialiser_is_one_in_the_function() {
    let _watch = common::watchdog();
    let error = pool(1).with_state(|_| -> u8 { panic!("no state") }).map(0..5, |_, _, i| i).unwrap_err();
    assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, Some(0)));
    assert_eq!(error.panic_message(), Some("no state"));
    // By the policies, too.
    let tries = SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap();
    let init = |_: &Worker| {
        tries.set(0, tries.get(0) + 1);
        assert!(tries.get(0) > 2, "not yet");
        7
    };
    assert_eq!(pool(1).retries(2).with_state(init).map(0..3, |_, seven, _| *seven).unwrap(), [7, 7, 7]);
    tries.set(0, 0);
    let found = pool(1).skip_failed().with_state(init).map(0..4, |_, seven, _| *seven).unwrap();
    assert_eq!(found.results(), [None, None, Some(7), Some(7)]);
}

#[test]
fn a_panic_of_the_function_drops_the_state_and_a_death_does_not() {
    let _watch = common::watchdog();
    let books = Books::new();
    let map = |leave: fn()| {
        pool(1).with_state(|_| books.state()).map(0..9, |_, state, i| {
            if i == 5 {
                leave();
            }
            state.next()
        })
    };
    assert_eq!(map(|| panic!("five")).unwrap_err().panic_message(), Some("five"));
    assert_eq!((books.of(MADE), books.of(DROPPED)), (1, 1));
    assert_eq!(map(|| std::process::exit(4)).unwrap_err().exit(), Some(Exit::Code(4)));
    assert_eq!((books.of(MADE), books.of(DROPPED)), (2, 1));
}

#[test]
fn a_panic_in_the_destructor_fails_the_map_with_all_results() {
    let _watch = common::watchdog();
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let error = pool(2).with_state(|_| Bad).map(0..9, |_, _, i| i).unwrap_err();
    assert_eq!(
        (error.kind(), error.item(), error.panic_message()),
        (ErrorKind::Panicked, None, Some("in drop"))
    );
    // Those of the other worker may have been stopped.
    assert!(error.finished().iter().all(|(i, r)| i == r));
    // The panic of the function is the one that is told.
    let error = pool(1).with_state(|_| Bad).map(0..9, |_, _, i| assert_ne!(i, 4, "first")).unwrap_err();
    assert_eq!(error.item(), Some(4));
    assert!(error.panic_message().unwrap().contains("first"), "{error}");
    let found = pool(1).skip_failed().with_state(|_| Bad).map(0..9, |_, _, i| i).unwrap();
    assert!(found.results().iter().all(Option::is_some));
    assert_eq!(found.failures()[0].panic_message(), Some("in drop"));
}

#[test]
fn states_of_stopped_workers_are_dropped() {
    let _watch = common::watchdog();
    let books = Books::new();
    let waits = SharedArray::<u32, _>::zeros(Anonymous, 1).unwrap();
    let error = pool(2).ordered().with_state(|_| books.state()).map(0..2, |worker, _, i| {
        if i == 0 {
            while waits.get(0) == 0 {
                std::thread::yield_now();
            }
            kill_self(libc::SIGKILL);
        }
        waits.set(0, 1);
        worker.ordered(|| ()); // it is unwound from here
    });
    assert_eq!(error.unwrap_err().item(), Some(0));
    assert_eq!((books.of(MADE), books.of(DROPPED)), (2, 1));
}

#[test]
fn kept_workers_keep_their_states() {
    let _watch = common::watchdog();
    alone("kept_workers_keep_their_states", || {
        let books: &'static Books = Box::leak(Box::new(Books::new()));
        for workers in [0, 2] {
            let before = [MADE, DROPPED].map(|word| books.of(word));
            let pool = pool(workers);
            let counting = pool.with_state(move |_worker| books.state());
            let mut kept =
                counting.keep(|worker, state: &mut State, _: u8| (worker.rank(), state.next())).unwrap();
            let mut last = [0; 2];
            for _run in 0..3 {
                for (rank, count) in kept.map([0; 10]).unwrap() {
                    last[rank] = last[rank].max(count);
                }
            }
            assert_eq!(last.iter().sum::<usize>(), 30, "no state began anew");
            let made = books.of(MADE) - before[0];
            assert!((1..=workers.max(1) as u32).contains(&made), "{made}");
            drop(kept);
            assert_eq!(books.of(DROPPED) - before[1], made, "with {workers} workers");
            assert_eq!(books.of(ABROAD), 0);
        }
        // Whoever replaces a dead worker makes a state of its own, and the dead one's is not dropped.
        let pool = pool(1).retries(1);
        let tries = SharedArray::<u32, _>::zeros(Anonymous, ()).unwrap();
        let (there, before) = (tries.clone(), books.of(MADE));
        let mut kept = pool
            .with_state(move |_worker| books.state())
            .keep(move |_worker, state: &mut State, item: u8| {
                if item == 3 {
                    there.set((), there.get(()) + 1);
                    if there.get(()) == 1 {
                        kill_self(libc::SIGKILL);
                    }
                }
                state.next()
            })
            .unwrap();
        assert_eq!(kept.map([1, 2, 3, 4]).unwrap().len(), 4);
        assert_eq!((tries.get(()), books.of(MADE) - before), (2, 2));
        drop(kept);
        no_children();
    });
}
