//! The command-line tool `shm`, run as a program: each subcommand, what it says to people and programs, and what it leaves behind.

#[path = "../common/mod.rs"]
mod common;

mod copy;
mod dump;
mod interrupted;
mod names;
mod npy_input;
mod numpy;
mod show;
mod types;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Folder, Name};
use shm_core::layout::{ArrayLayout, ElementType};
use shm_core::{AnyArray, SegmentOptions, SharedArray};

/// What became of a run.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

fn shm<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shm"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    finish(shm(args))
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran { code: output.status.code(), out: output.stdout, err: String::from_utf8(output.stderr).unwrap() }
}

/// Runs it without a failure; returns what it printed.
#[track_caller]
fn ok<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> String {
    let ran = run(args);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    String::from_utf8(ran.out).unwrap()
}

/// Runs it into a failure with this exit code; returns what it said, which has all these parts.
#[track_caller]
fn fails<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, code: i32, parts: &[&str]) -> String {
    let ran = run(args);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is missing in: {}", ran.err);
    }
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran.err
}

/// A segment with the numbers from 0 on.
fn counting(name: &Name, shape: (usize, usize)) -> SharedArray<f64, ndarray::Ix2> {
    SharedArray::from_fn(name, shape, |(i, j)| (i * shape.1 + j) as f64).unwrap()
}

fn make(name: &Name, layout: &ArrayLayout, bytes: &[u8]) -> AnyArray {
    let place = SegmentOptions::new().named(name).unwrap();
    AnyArray::create_with(place, layout, |to| {
        to.copy_from_slice(bytes);
        Ok(())
    })
    .unwrap()
}

/// The elements in C order, one by one.
fn elements(array: &AnyArray) -> Vec<u8> {
    let shape = array.layout().shape();
    let mut element = vec![0; array.layout().element().item_size()];
    let mut bytes = Vec::new();
    for index in ndarray::indices(shape) {
        array.read_element(ndarray::Dimension::slice(&index), &mut element).unwrap();
        bytes.extend_from_slice(&element);
    }
    bytes
}

/// Names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn npy(folder: &Folder, name: &str) -> PathBuf {
    folder.path().join(name).with_extension("npy")
}

/// Bytes that look random and are the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut numbers = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        (numbers >> 32) as u8
    };
    (0..len).map(next).collect()
}

fn u8s(shape: &[usize]) -> ArrayLayout {
    ArrayLayout::c_order(ElementType::U8, shape).unwrap()
}
