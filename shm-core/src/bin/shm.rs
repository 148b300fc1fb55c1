//! `shm`: the segments of this machine from the command line; see `shm_core::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(shm_core::cli::run(std::env::args_os()))
}
