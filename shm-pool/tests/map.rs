//! `map`: results, order, serial mode, empty input, captured state.

mod common;

use common::pool;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use shm_pool::{ErrorKind, MapReduce};

#[test]
fn smoke() {
    let squares: Vec<u64> = pool(2).map(0..1000u64, |_worker, i| i * i).unwrap();
    assert_eq!(squares, (0..1000).map(|i| i * i).collect::<Vec<_>>());
}

#[test]
fn order_holds_for_any_number_of_items_and_workers() {
    let _watch = common::watchdog();
    for workers in [0, 1, 2, 3, 7] {
        for items in [0, 1, 2, 5, 17, 100, 1003] {
            let found = pool(workers).map(0..items, |_, i| i + 1).unwrap();
            assert_eq!(found, (1..=items).collect::<Vec<_>>(), "{workers} workers, {items} items");
        }
    }
}

#[test]
fn items_move_into_the_function() {
    let names: Vec<String> = (0..50).map(|i| format!("name {i}")).collect();
    let expected: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
    let found = pool(2).map(names, |_, mut name: String| {
        name.make_ascii_uppercase();
        name
    });
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn items_of_any_iterator() {
    let mut left = 10;
    let countdown = std::iter::from_fn(|| {
        left -= 1;
        (left > 0).then_some(left)
    });
    assert_eq!(pool(2).map(countdown, |_, i| -i).unwrap(), [-9, -8, -7, -6, -5, -4, -3, -2, -1]);
}

#[test]
fn no_items_no_fork() {
    let none: Vec<u8> = pool(2).map(std::iter::empty::<u8>(), |_, i| i).unwrap();
    assert!(none.is_empty());
}

#[test]
fn no_workers_means_the_master() {
    let here = std::process::id();
    let mut count = 0;
    let pids = pool(0).map_reduce(
        0..3,
        |worker, _| {
            assert_eq!((worker.rank(), worker.workers()), (0, 0));
            worker.critical(std::process::id)
        },
        |_, pid| {
            count += 1;
            pid
        },
    );
    assert_eq!((pids.unwrap(), count), (vec![here; 3], 3));
}

#[test]
fn workers_are_other_processes() {
    let here = std::process::id();
    let pids = pool(2).map(0..8, |_, _| std::process::id()).unwrap();
    assert!(pids.iter().all(|pid| *pid != here));
}

#[test]
fn results_without_bytes() {
    assert_eq!(pool(2).map(0..500, |_, _| ()).unwrap(), vec![(); 500]);
}

#[test]
fn results_of_all_sizes() {
    let _watch = common::watchdog();
    let sizes = [0, 1, 63, 64, 65, 1000, 65_535, 65_536, 100_000, 1 << 20, 5 << 20];
    let found = pool(3).map(sizes, |_, size| vec![(size % 251) as u8; size]).unwrap();
    for (size, bytes) in sizes.iter().zip(found) {
        assert_eq!(bytes.len(), *size);
        assert!(bytes.iter().all(|byte| *byte == (size % 251) as u8));
    }
}

#[test]
fn a_result_of_many_megabytes() {
    let _watch = common::watchdog();
    let megabytes = if std::env::var_os("SHM_TEST_LONG").is_some() { 1024 } else { 48 };
    let found = pool(1).map([megabytes << 20], |_, len| vec![7u8; len]).unwrap();
    assert_eq!(found[0].len(), megabytes << 20);
    assert!(found[0].iter().all(|byte| *byte == 7));
}

#[test]
fn more_results_than_a_ring_and_a_buffer_hold() {
    let _watch = common::watchdog();
    let found =
        pool(2).map_reduce(0..3000usize, |_, i| vec![i as u32; 1000], |i, r| (i, r[0], r.len())).unwrap();
    assert!(found.iter().enumerate().all(|(i, r)| *r == (i, i as u32, 1000)));
}

#[test]
fn a_result_that_cannot_be_serialised() {
    #[derive(Debug, serde::Deserialize)]
    struct Never;
    impl serde::Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let error = pool(2).map(0..3, |_, _| Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("cannot be serialised"), "{error}");
}

#[test]
fn a_result_that_reads_something_else_than_it_writes() {
    #[derive(Debug, serde::Serialize)]
    struct Liar(u64);
    impl<'de> serde::Deserialize<'de> for Liar {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Liar, D::Error> {
            String::deserialize(from).map(|text| Liar(text.len() as u64))
        }
    }
    let error = pool(1).map([5u64, 200], |_, i| Liar(i)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.item().is_some());
}

#[test]
fn ten_million_items_in_batches() {
    let _watch = common::watchdog();
    let n = 10_000_000u64;
    let found = pool(2).map(0..n, |_, i| i).unwrap();
    assert!(found.iter().zip(0..n).all(|(found, i)| *found == i));
    assert_eq!(found.len() as u64, n);
}

#[test]
fn the_environment_says_how_many() {
    if std::env::var_os("SHM_POOL_TEST_COUNT").is_some() {
        print!("count={}.", MapReduce::new().worker_count());
        return;
    }
    let count = |env: &[(&str, &str)]| {
        let mut command = shm_testkit::rerun_command("the_environment_says_how_many", env);
        for name in ["OMP_NUM_THREADS", "PBS_NUM_PPN", "SLURM_CPUS_PER_TASK"] {
            if !env.iter().any(|(set, _)| *set == name) {
                command.env_remove(name);
            }
        }
        let output = command.env("SHM_POOL_TEST_COUNT", "1").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = std::thread::available_parallelism().unwrap().get();
    assert!(count(&[]).contains(&format!("count={all}.")));
    assert!(count(&[("OMP_NUM_THREADS", "17,2"), ("PBS_NUM_PPN", "5")]).contains("count=17."));
    assert!(count(&[("OMP_NUM_THREADS", "0"), ("PBS_NUM_PPN", "5")]).contains("count=5."));
    assert!(count(&[("SLURM_CPUS_PER_TASK", "6")]).contains("count=6."));
    // The affinity is this thread's, and whoever it starts inherits it.
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    let alone = (count(&[]), count(&[("OMP_NUM_THREADS", "3")]));
    sched_setaffinity(None, &before).unwrap();
    assert!(alone.0.contains("count=1.") && alone.1.contains("count=3."), "{alone:?}");
}

#[test]
fn thread_count_is_warned_of() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let pool = MapReduce::new().workers(1).on_warning({
        let heard = heard.clone();
        move |text| heard.lock().unwrap().push(text.to_owned())
    });
    pool.map(0..2, |_, i| i).unwrap(); // the test harness has a main thread beside this one
    let heard = heard.lock().unwrap();
    assert!(heard.len() == 1 && heard[0].contains("threads"), "{heard:?}");
}
