//! The Python package beside what it replaces: what the scripts in `python/` measure, in the table of all benches.
//!
//! A row is a function in one of the scripts, a name in `SCRIPTS`, and an entry in `reach.json`; the functions of a script are benched by turns.

mod turns;

use criterion::{Criterion, criterion_group, criterion_main};
use shm_bench::foreign::Later;
use turns::{Way, by_turns};

/// A script in `python/`, the group of its rows, and its functions.
const SCRIPTS: &[(&str, &str, &[&str])] = &[
    ("attach.py", "python_attach", &["ours", "sharedarray", "sharedmemory"]),
    ("attach.py", "python_attach_two", &["ours_by_turns", "sharedarray_by_turns"]),
    ("with_lock.py", "python_with_lock", &["ours", "multiprocessing"]),
    ("acquire_release.py", "python_acquire_release", &["ours", "multiprocessing"]),
    ("event.py", "python_event", &["ours", "multiprocessing"]),
    ("semaphore.py", "python_semaphore", &["ours", "multiprocessing"]),
    ("condition.py", "python_condition", &["ours", "multiprocessing"]),
    ("map_empty.py", "python_map_empty", &["ours", "bare"]),
    ("map_arrays.py", "python_map_arrays", &["ours", "pool"]),
    ("integral.py", "python_integral", &["ours", "bare"]),
    ("killed.py", "python_killed", &["ours", "executor"]),
];

fn python(c: &mut Criterion) {
    for (script, group, functions) in SCRIPTS {
        let path = format!("{}/python/{script}", env!("CARGO_MANIFEST_DIR"));
        let Some(program) = Later::new("python", ["-B", &path]) else { return };
        let way = |function: &&'static str| -> Way<'_> {
            let function = *function;
            let program = &program;
            (function, Box::new(move |rounds| program.time(function, rounds)))
        };
        by_turns(c, group, &functions.iter().map(way).collect::<Vec<_>>());
    }
}

criterion_group!(benches, python);
criterion_main!(benches);
