//! The same calls from Rust, and from C and Julia by way of `libshm.so`: what the C ABI and the Julia package add.
//!
//! The pairs of names and what is to be reached stand in `reach.json`. Rust's time is taken in this process, the others' in theirs, by turns.

mod turns;

use criterion::{Criterion, criterion_group, criterion_main};
use shm_bench::foreign::Later;
use shm_bench::names::{Deleted, unique};
use shm_core::{AnyArray, SharedArray};
use shm_sync::{Mutex, Primitive, ProcessMutex};
use std::time::{Duration, Instant};
use turns::{Way, by_turns};

/// The time of so many rounds, after a few that are not counted: whoever has waited for the others begins slowly.
fn timed(rounds: u64, work: &impl Fn()) -> Duration {
    repeat(rounds.min(100), work);
    let start = Instant::now();
    repeat(rounds, work);
    start.elapsed()
}

/// The one place that calls it, so that it is inlined there.
#[inline(never)]
fn repeat(rounds: u64, work: &impl Fn()) {
    for _ in 0..rounds {
        work();
    }
}

/// Benches an operation from Rust, `work`, and from the programs that this run has.
fn compare(c: &mut Criterion, operation: &str, work: impl Fn(), programs: &[(&str, &Option<Later>)]) {
    let mut ways: Vec<Way<'_>> = vec![("rust", Box::new(|rounds| timed(rounds, &work)))];
    for (language, program) in programs {
        if let Some(program) = program {
            ways.push((language, Box::new(|rounds| program.time(operation, rounds))));
        }
    }
    by_turns(c, &format!("languages_{operation}"), &ways);
}

fn languages(c: &mut Criterion) {
    let name = Deleted(unique("languages"));
    // The creator's handle is dropped at once: with it, attaching would find this process's mapping.
    drop(SharedArray::<f64, _>::full(name.0.as_str(), 1000, 0.5).expect("memory"));
    let in_c = Later::new("c", [&name.0]);
    let package = concat!("--project=", env!("CARGO_MANIFEST_DIR"), "/../shm-ffi/julia");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/julia/bench.jl");
    let in_julia = Later::new("julia", ["--startup-file=no", "--color=no", package, script]);
    let locks = [("c", &in_c), ("julia", &in_julia)];

    let mutex = Mutex::anonymous(()).expect("a page");
    let lock = || match mutex.lock() {
        Ok(guard) => drop(guard),
        Err(error) => panic!("{error}"),
    };
    compare(c, "mutex", lock, &locks);
    let mutex = ProcessMutex::anonymous(()).expect("a page");
    let lock = || match mutex.lock() {
        Ok(guard) => drop(guard),
        Err(error) => panic!("{error}"),
    };
    compare(c, "process_mutex", lock, &locks);
    let attach = || drop(AnyArray::attach(name.0.as_str()).expect("it is there"));
    compare(c, "attach", attach, &locks[..1]);
}

criterion_group!(benches, languages);
criterion_main!(benches);
