//! The executor beside rayon: the integral over an array that has been touched, and the word count.
//!
//! The pairs of names and what is to be reached stand in `reach.json`.

use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use shm_bench::integral::{self, CHUNK, agree};
use shm_bench::words::{self, Count};
use shm_core::{Anonymous, SharedArray};
use shm_pool::MapReduce;

const WORKERS: usize = 2;
const TOTAL: usize = 128 << 20;

fn threads() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("two threads")
}

fn pool() -> MapReduce {
    MapReduce::new().workers(WORKERS).threads_ok()
}

fn integral(c: &mut Criterion) {
    let threads = threads();
    let expected = integral::expected(TOTAL);
    let mut array = SharedArray::<f64, _>::zeros(Anonymous, TOTAL).expect("1 GiB of memory");
    let mut alone = array.exclusive().expect("nobody else has it");
    let with_rayon = |all: &mut [f64]| -> f64 {
        let work = |(i, chunk): (usize, &mut [f64])| integral::fill_and_sum(chunk, i * CHUNK, TOTAL);
        threads.install(|| all.par_chunks_mut(CHUNK).enumerate().map(work).sum())
    };
    let mut group = c.benchmark_group("integral");
    group.sample_size(10).throughput(Throughput::Bytes((TOTAL * size_of::<f64>()) as u64));

    let all = alone.as_mut_slice().expect("C order");
    assert!(agree(with_rayon(all), expected)); // touches all pages as well
    group.bench_function("alternative", |b| b.iter(|| with_rayon(all)));
    group.bench_function("floor", |b| {
        b.iter(|| {
            let (left, right) = all.split_at_mut(TOTAL / 2);
            let half = |part: &mut [f64], from: usize| -> f64 {
                part.chunks_mut(CHUNK)
                    .enumerate()
                    .map(|(i, chunk)| integral::fill_and_sum(chunk, from + i * CHUNK, TOTAL))
                    .sum()
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(|| half(right, TOTAL / 2));
                half(left, 0) + other.join().expect("no panic")
            })
        });
    });

    let sum = |partial: Vec<f64>| partial.iter().sum::<f64>();
    // Workers that have touched the array, as rayon's threads have.
    let mut crew = pool()
        .crew(&mut alone, CHUNK, |_worker, offset, chunk: &mut [f64]| {
            integral::fill_and_sum(chunk, offset, TOTAL)
        })
        .expect("two workers");
    assert!(agree(sum(crew.run().expect("a run")), expected));
    group.bench_function("ours", |b| b.iter(|| sum(crew.run().expect("a run"))));
    drop(crew);
    // Workers forked for each pass, which enter every page into a page table of their own.
    group.bench_function("forked_anew", |b| {
        b.iter(|| {
            let work = |_: &shm_pool::Worker, offset: usize, chunk: &mut [f64]| {
                integral::fill_and_sum(chunk, offset, TOTAL)
            };
            sum(pool().map_chunks(&mut alone, CHUNK, work).expect("a run"))
        });
    });
    group.finish();
}

/// Some tens of megabytes of text: the sources of the dependencies, or this repository where there are none.
fn text() -> Vec<PathBuf> {
    const ENOUGH: u64 = 48 << 20;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.map(|home| home.join("registry/src")).filter(|path| path.is_dir());
    let root = sources.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."));
    let files = words::text_files(&[root]).expect("text");
    let mut bytes = 0;
    files
        .into_iter()
        .take_while(|file| {
            bytes += file.metadata().map_or(0, |m| m.len());
            bytes < ENOUGH
        })
        .collect()
}

fn word_count(c: &mut Criterion) {
    let threads = threads();
    let files = text();
    let read = |file: &PathBuf| words::count_file(file).expect("the file was there a moment ago");
    let add = |mut a: Count, b: Count| {
        a += b;
        a
    };
    let sequential = files.iter().map(read).fold(Count::default(), add);
    let with_rayon = || threads.install(|| files.par_iter().map(read).reduce(Count::default, add));
    let with_pool = || {
        let mut sum = Count::default();
        pool()
            .map_reduce(files.iter(), |_worker, file| read(file), |_index, found| sum += found)
            .expect("a run");
        sum
    };
    assert_eq!(with_rayon(), sequential);
    assert_eq!(with_pool(), sequential);
    let mut group = c.benchmark_group("word_count");
    group.sample_size(20).throughput(Throughput::Bytes(sequential.bytes));
    group.bench_function("ours", |b| b.iter(with_pool));
    group.bench_function("alternative", |b| b.iter(with_rayon));
    group.finish();
}

criterion_group!(benches, integral, word_count);
criterion_main!(benches);
