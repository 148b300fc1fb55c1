//! The demo's second program: attaches an array by name, read-only, and says what it found as one line of JSON.

#![allow(unsafe_code, reason = "a view of an array that the demo has stopped writing")]

use std::process::ExitCode;
use std::time::Instant;

use ndarray::Ix1;
use shm_core::{SegmentOptions, SharedArray};

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: shm-demo-attach NAME");
        return ExitCode::FAILURE;
    };
    let start = Instant::now();
    let array = match SharedArray::<f64, Ix1>::attach_with(name.as_str(), &SegmentOptions::new().read_only())
    {
        Ok(array) => array,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let attach_us = start.elapsed().as_secs_f64() * 1e6;
    // SAFETY: the demo writes the array only before it starts this program and waits for it to end; nobody else knows the name.
    let view = unsafe { array.view() };
    let sum = view.as_slice().map_or(f64::NAN, shm_bench::integral::sum);
    let answer = serde_json::json!({
        "pid": std::process::id(), "elements": array.len(), "sum": sum, "attach_us": attach_us,
    });
    println!("{answer}");
    ExitCode::SUCCESS
}
