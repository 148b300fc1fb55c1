//! The main job on real input: an integral over a shared array, a word count, and the same array attached by a second program.
//!
//! `cargo xtask demo` builds and runs it. It exits with 0 if everything agrees, with 1 and a plain sentence otherwise.

use std::cell::Cell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use shm_bench::integral::{self, CHUNK, agree};
use shm_bench::words::{self, Count, WORDS};
use shm_core::{Anonymous, Lifetime, SegmentOptions, SharedArray};
use shm_pool::MapReduce;

/// Arrays shared between processes, mapped over in parallel, attached by another program.
#[derive(Parser)]
struct Args {
    /// Files and folders to count words in
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Forked workers; by default one per available core
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Elements of the integral's array
    #[arg(long, value_name = "N", default_value_t = 128 << 20)]
    elements: usize,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) => {
            if args.json {
                println!("{report:#}");
            }
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("shm-demo: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<Value> {
    let pool = match args.workers {
        Some(workers) => MapReduce::new().workers(workers),
        None => MapReduce::new(),
    };
    let workers = pool.worker_count();
    let say = |line: String| {
        if !args.json {
            println!("{line}");
        }
    };
    // A scoped segment goes with its handle, and dies with this process if it is killed.
    let name = format!("shm://shm-demo-{}", std::process::id());
    let place = SegmentOptions::new().lifetime(Lifetime::Scoped).named(name.as_str()).map_err(text)?;
    let bytes = args.elements.saturating_mul(size_of::<f64>());
    say(format!("integral   {} elements, {} in {name}, {workers} workers", args.elements, gib(bytes)));
    let start = Instant::now();
    let mut array = SharedArray::<f64, _>::zeros(place, args.elements).map_err(text)?;
    let created = start.elapsed();

    let integral = run_integral(&pool, &mut array, &say)?;
    say(format!("           created in {}", ms(created)));
    let attach = run_attach(&name, args.elements, integral.sum)?;
    say(format!(
        "attach     a second program attached {name} read-only in {:.1} us and found the same sum",
        attach.micros
    ));
    let words = if args.paths.is_empty() { Value::Null } else { run_words(&pool, &args.paths, &say)? };
    say("everything agrees".to_owned());
    Ok(json!({
        "workers": workers,
        "integral": integral.report,
        "attach": {"pid": attach.pid, "attach_us": attach.micros, "sum": attach.sum},
        "words": words,
    }))
}

struct Integral {
    sum: f64,
    report: Value,
}

/// (a): fills the array and takes three sums.
fn run_integral(
    pool: &MapReduce,
    array: &mut SharedArray<f64, ndarray::Ix1>,
    say: &dyn Fn(String),
) -> Outcome<Integral> {
    let total = array.len();
    // Both passes work on memory that has been touched: the kernel's first page faults would be most of what is measured.
    array.segment().prefault().map_err(text)?;
    let mut alone = array.exclusive().map_err(text)?;
    let all = alone.as_mut_slice().ok_or("a new array is in C order")?;
    let start = Instant::now();
    let serial_sum: f64 = all
        .chunks_mut(CHUNK)
        .enumerate()
        .map(|(i, chunk)| integral::fill_and_sum(chunk, i * CHUNK, total))
        .sum();
    let serial = start.elapsed();
    all.fill(f64::NAN); // so that what the workers leave out shows

    let critical_sum = SharedArray::<f64, ndarray::Ix0>::zeros(Anonymous, ()).map_err(text)?;
    let bar = bar(total.div_ceil(CHUNK) as u64, "chunks");
    // The first pass includes the forks, and each worker's own page table; in a time loop only the later ones count.
    let start = Instant::now();
    let pool = pool.clone().progress(|done, _all| bar.set_position(done as u64));
    let mut crew = pool
        .crew(&mut alone, CHUNK, |worker, offset, chunk: &mut [f64]| {
            let sum = integral::fill_and_sum(chunk, offset, total);
            worker.critical(|| critical_sum.set((), critical_sum.get(()) + sum));
            sum
        })
        .map_err(text)?;
    let mut sums = Vec::new();
    let mut passes = [Duration::ZERO; 2];
    for (pass, time) in passes.iter_mut().enumerate() {
        let start = if pass == 0 { start } else { Instant::now() };
        let partial = crew.run().map_err(text)?;
        *time = start.elapsed();
        sums.push(("reduced", partial.iter().sum::<f64>()));
        sums.push(("critical-section", critical_sum.get(())));
        let whole = crew.view();
        sums.push(("whole-array", whole.as_slice().map_or(f64::NAN, integral::sum)));
        if pass == 0 {
            critical_sum.set((), 0.0);
            crew.view_mut().fill(f64::NAN);
        }
    }
    drop(crew);
    bar.finish_and_clear();

    let expected = integral::expected(total);
    sums.push(("serial", serial_sum));
    if let Some((what, sum)) = sums.iter().find(|(_, sum)| !agree(*sum, expected)) {
        return Err(format!("the {what} sum is {sum}, and the integral is {expected}"));
    }
    let [(_, reduced_sum), (_, critical_sum), (_, whole_sum)] = [sums[3], sums[4], sums[5]];
    // Written once and read once.
    let moved = 2.0 * (total * size_of::<f64>()) as f64;
    say(timing("           ", serial, passes[0], moved));
    say(format!(
        "           again, with the same workers: {} ({:.2} GB/s)  speed-up {:.2}",
        ms(passes[1]),
        moved / passes[1].as_secs_f64() / 1e9,
        serial.as_secs_f64() / passes[1].as_secs_f64()
    ));
    say(format!(
        "           sums: array {whole_sum:.12}  critical {critical_sum:.12}  reduced {reduced_sum:.12}"
    ));
    Ok(Integral {
        sum: whole_sum,
        report: json!({
            "elements": total, "bytes": total * size_of::<f64>(), "chunk": CHUNK,
            "sum_array": whole_sum, "sum_critical": critical_sum, "sum_reduced": reduced_sum, "expected": expected,
            "times": times(serial, passes[0], moved),
            "times_again": times(serial, passes[1], moved),
        }),
    })
}

/// (b): counts words, a file at a time.
fn run_words(pool: &MapReduce, paths: &[PathBuf], say: &dyn Fn(String)) -> Outcome<Value> {
    let files = words::text_files(paths).map_err(|e| format!("cannot read the text: {e}"))?;
    let read =
        |file: &PathBuf| words::count_file(file).map_err(|e| format!("cannot read {}: {e}", file.display()));
    // The first count brings the files into memory, the second is timed.
    let mut sequential = Count::default();
    let mut serial = Duration::ZERO;
    for _ in 0..2 {
        let start = Instant::now();
        sequential = Count::default();
        for file in &files {
            sequential += read(file)?;
        }
        serial = start.elapsed();
    }
    say(format!(
        "word count {} files, {:.1} MB, {} workers",
        files.len(),
        sequential.bytes as f64 / 1e6,
        pool.worker_count()
    ));
    let bar = bar(files.len() as u64, "files");
    let parallel_count = Cell::new(Count::default());
    let start = Instant::now();
    let results = pool
        .clone()
        .progress(|done, _all| bar.set_position(done as u64))
        .map_reduce(
            files.iter(),
            |_worker, file| read(file),
            |_index, found: Outcome<Count>| {
                found.map(|found| {
                    let mut sum = parallel_count.get();
                    sum += found;
                    parallel_count.set(sum);
                })
            },
        )
        .map_err(text)?;
    let parallel = start.elapsed();
    bar.finish_and_clear();
    results.into_iter().collect::<Outcome<Vec<()>>>()?;
    let parallel_count = parallel_count.get();
    if parallel_count != sequential {
        return Err(format!(
            "the workers counted {parallel_count:?}, and one after the other it is {sequential:?}"
        ));
    }
    say(timing("           ", serial, parallel, sequential.bytes as f64));
    let found: Vec<String> =
        WORDS.iter().zip(sequential.each).map(|(word, n)| format!("{word} {n}")).collect();
    say(format!("           {} words: {}", sequential.words, found.join(", ")));
    let each: serde_json::Map<String, Value> =
        WORDS.iter().zip(sequential.each).map(|(word, n)| ((*word).to_owned(), n.into())).collect();
    Ok(json!({
        "files": files.len(), "bytes": sequential.bytes, "words": sequential.words, "counts": each,
        "times": times(serial, parallel, sequential.bytes as f64),
    }))
}

struct Attached {
    pid: u64,
    micros: f64,
    sum: f64,
}

/// (c): has a second program attach the array and sum it.
fn run_attach(name: &str, elements: usize, sum: f64) -> Outcome<Attached> {
    let program = std::env::current_exe()
        .map_err(|e| format!("cannot find the second program: {e}"))?
        .with_file_name("shm-demo-attach");
    let output = Command::new(&program)
        .arg(name)
        .output()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the second program failed ({}): {}", output.status, why.trim()));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("the second program's answer cannot be read: {e}"))?;
    let found = answer["sum"].as_f64().unwrap_or(f64::NAN);
    if answer["elements"].as_u64() != Some(elements as u64) || !agree(found, sum) {
        return Err(format!(
            "the second program found {answer}, and {elements} elements with the sum {sum} were there"
        ));
    }
    Ok(Attached {
        pid: answer["pid"].as_u64().unwrap_or(0),
        micros: answer["attach_us"].as_f64().unwrap_or(f64::NAN),
        sum: found,
    })
}

/// A progress bar on a terminal, nothing in a pipe.
fn bar(len: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar
}

fn timing(indent: &str, serial: Duration, parallel: Duration, bytes: f64) -> String {
    let rate = |time: Duration| bytes / time.as_secs_f64() / 1e9;
    format!(
        "{indent}serial {} ({:.2} GB/s)  parallel {} ({:.2} GB/s)  speed-up {:.2}",
        ms(serial),
        rate(serial),
        ms(parallel),
        rate(parallel),
        serial.as_secs_f64() / parallel.as_secs_f64(),
    )
}

fn times(serial: Duration, parallel: Duration, bytes: f64) -> Value {
    json!({
        "serial_s": serial.as_secs_f64(), "parallel_s": parallel.as_secs_f64(),
        "speed_up": serial.as_secs_f64() / parallel.as_secs_f64(),
        "serial_gb_per_s": bytes / serial.as_secs_f64() / 1e9, "parallel_gb_per_s": bytes / parallel.as_secs_f64() / 1e9,
    })
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn gib(bytes: usize) -> String {
    if bytes >= 1 << 30 {
        format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
    } else {
        format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
