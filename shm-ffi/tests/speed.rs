//! What the way through the C ABI costs, beside the same calls from Rust: a measurement, run by hand on a quiet machine.
//!
//! `cargo test --release --package shm-ffi --test speed -- --ignored --nocapture`

mod support;

use shm_core::AnyArray;
use shm_sync::{Mutex, Primitive};
use shm_testkit::{Cleanup, unique_name};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use support::{HOME, Scratch, compile, succeed};

/// The best of many rounds, in nanoseconds for each call.
fn best_of(rounds: usize, calls: u32, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement, for a quiet machine"]
fn c_is_about_as_fast_as_rust() {
    let name = unique_name("speed");
    let _cleanup = Cleanup::of([&name]);
    let folder = Scratch::new("speed");
    let program = folder.path.join("timing");
    compile("cc", &["-std=c99", "-D_GNU_SOURCE", "-O2"], &Path::new(HOME).join("tests/c/timing.c"), &program);
    let _array = shm_core::SharedArray::<f64, _>::zeros(name.as_str(), 100).unwrap();

    let mutex = Mutex::anonymous(()).unwrap();
    let lock = best_of(200, 20_000, || drop(mutex.lock().unwrap()));
    let attach = best_of(200, 500, || drop(AnyArray::attach(name.as_str()).unwrap()));
    println!("Rust: lock + unlock {lock:.1} ns, attach + detach {attach:.1} ns");
    let output = succeed(Command::new(&program).arg(format!("shm://{name}")));
    println!("C: {}", String::from_utf8_lossy(&output.stdout).replace('\n', ", "));
}
