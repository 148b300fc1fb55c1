//! `cargo xtask header`: makes `shm-ffi/include/shm.h` from the sources of `shm-ffi`. It is checked in, so users need no generator; `check` and
//! the tests compare.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::workspace::Workspace;

const HEADER: &str = "shm-ffi/include/shm.h";

/// Options of `cargo xtask header`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Writes the header.
///
/// # Errors
/// When the sources cannot be read or understood, or the header cannot be written.
pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<ExitCode, String> {
    let text = generate(&workspace.root)?;
    let path = workspace.root.join(HEADER);
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        println!("{HEADER} is as the sources say");
        return Ok(ExitCode::SUCCESS);
    }
    fs::write(&path, text).map_err(|error| format!("cannot write {HEADER}: {error}"))?;
    println!("{HEADER} written");
    Ok(ExitCode::SUCCESS)
}

/// Compares the header with the sources.
///
/// # Errors
/// One sentence if they differ, or if the header cannot be made.
pub(crate) fn check(workspace: &Workspace) -> Result<String, Vec<String>> {
    compare(&workspace.root).map_err(|fault| vec![fault])
}

fn compare(root: &Path) -> Result<String, String> {
    let text = generate(root)?;
    let found =
        fs::read_to_string(root.join(HEADER)).map_err(|error| format!("cannot read {HEADER}: {error}"))?;
    if found == text {
        return Ok(format!("{} lines", text.lines().count()));
    }
    let first = found.lines().zip(text.lines()).position(|(found, made)| found != made);
    let line = first.unwrap_or_else(|| found.lines().count().min(text.lines().count())) + 1;
    Err(format!("{HEADER}: line {line} is not as the sources say: run `cargo xtask header`"))
}

fn generate(root: &Path) -> Result<String, String> {
    let home = root.join("shm-ffi");
    let config = cbindgen::Config::from_file(home.join("cbindgen.toml"))
        .map_err(|error| format!("shm-ffi/cbindgen.toml: {error}"))?;
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(home.join("src/lib.rs"))
        .generate()
        .map_err(|error| format!("cannot make {HEADER}: {error}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(|error| format!("{HEADER} would not be UTF-8: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_as_the_sources_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        compare(root).unwrap();
    }
}
