//! Maps inside of maps, maps from threads, maps one after another.

mod common;

use common::{alone, no_children, pool};
use shm_pool::ErrorKind;

#[test]
fn smoke() {
    let _watch = common::watchdog();
    alone("smoke", || {
        let table = pool(2).map(0..4u32, |_, i| pool(2).map(0..5u32, |_, j| 10 * i + j).unwrap()).unwrap();
        let expected: Vec<Vec<u32>> = (0..4).map(|i| (0..5).map(|j| 10 * i + j).collect()).collect();
        assert_eq!(table, expected);
        no_children();
    });
}

#[test]
fn a_panic_two_levels_down() {
    let _watch = common::watchdog();
    let error = pool(2)
        .map(0..3u32, |_, i| {
            let inner = pool(2).map(0..3u32, |_, j| assert!((i, j) != (1, 2), "deep down"));
            match inner {
                Ok(_) => String::new(),
                Err(error) => {
                    assert_eq!((error.kind(), error.item()), (ErrorKind::Panicked, Some(2)));
                    panic!("{}", error.panic_message().unwrap())
                }
            }
        })
        .unwrap_err();
    assert_eq!((error.item(), error.panic_message()), (Some(1), Some("deep down")));
}

#[test]
fn critical_sections_of_nested_maps_are_their_own() {
    let _watch = common::watchdog();
    let found = pool(2)
        .map(0..4u32, |outer, i| {
            outer.critical(|| {
                pool(2).map(0..4u32, |inner, j| inner.critical(|| i * j)).unwrap().iter().sum::<u32>()
            })
        })
        .unwrap();
    assert_eq!(found, [0, 6, 12, 18]);
}

#[test]
fn from_a_thread_that_then_ends_and_from_several_at_once() {
    let _watch = common::watchdog();
    alone("from_a_thread_that_then_ends_and_from_several_at_once", || {
        for round in 0..20u32 {
            let threads: Vec<_> = (0..3u32)
                .map(|t| std::thread::spawn(move || pool(2).map(0..50u32, |_, i| round + t + i).unwrap()))
                .collect();
            for (t, thread) in threads.into_iter().enumerate() {
                let t = t as u32;
                assert_eq!(thread.join().unwrap(), (round + t..round + t + 50).collect::<Vec<_>>());
            }
        }
        no_children();
    });
}

#[test]
fn two_hundred_maps_leave_nothing_behind() {
    let _watch = common::watchdog();
    alone("two_hundred_maps_leave_nothing_behind", || {
        let before = common::descriptors();
        for round in 0..200u64 {
            assert_eq!(pool(3).map(0..40, |_, i| i * round).unwrap()[39], 39 * round);
        }
        no_children();
        assert_eq!(common::descriptors(), before);
    });
}
