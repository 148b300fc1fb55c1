//! `cargo xtask demo`: builds the demo programs in release mode and runs them on real input.
//!
//! The work and the judgement are the programs' own (`shm-bench/src/bin`); this file finds the text that they count words in when
//! the user names none: this repository and the sources of the dependencies that Cargo has fetched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};

use serde_json::Value;

use crate::process::Program;
use crate::workspace::{Workspace, cargo_metadata};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files and folders to count words in; without any, this repository's text and the sources of its dependencies
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How many workers; as many as there are cores without it
    #[arg(long, value_name = "N")]
    workers: Option<u64>,
    /// How many elements the array of the integral has; 128 Mi without it
    #[arg(long, value_name = "N")]
    elements: Option<u64>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// Builds both programs and runs the first, which starts the second; returns the exit code of the first.
///
/// # Errors
/// When a program does not build or start, or a path is missing or not UTF-8.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, String> {
    if let Some(missing) = args.paths.iter().find(|path| !path.exists()) {
        return Err(format!("there is no file or folder {}", missing.display()));
    }
    let build = Program::cargo([
        "build",
        "--quiet",
        "--release",
        "--package",
        "shm-bench",
        "--bin",
        "shm-demo",
        "--bin",
        "shm-demo-attach",
    ]);
    if let Some(fault) = build.run(true).fault {
        return Err(format!("the demo does not build ({fault})"));
    }
    let paths = if args.paths.is_empty() { default_paths(workspace) } else { args.paths.clone() };
    let status = program(args, &paths)?.foreground()?;
    Ok(ExitCode::from(code(status)))
}

fn program(args: &Args, paths: &[PathBuf]) -> Result<Program, String> {
    let mut program =
        Program::cargo(["run", "--quiet", "--release", "--package", "shm-bench", "--bin", "shm-demo", "--"]);
    for (option, value) in [("--workers", args.workers), ("--elements", args.elements)] {
        program = program.args(value.into_iter().flat_map(|value| [option.to_owned(), value.to_string()]));
    }
    if args.json {
        program = program.args(["--json"]);
    }
    let text = |path: &PathBuf| {
        path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
    };
    let paths: Vec<String> = paths.iter().map(text).collect::<Result<_, _>>()?;
    Ok(program.args(["--"]).args(paths))
}

/// The exit code to hand on; 128 and the signal's number for a program that a signal ended, as shells do.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(127));
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The repository's own text and the dependencies' folders, sorted.
fn default_paths(workspace: &Workspace) -> Vec<PathBuf> {
    let mut paths = own_text(&workspace.root, &workspace.target);
    // Offline first: the demo is about what is already here. On a fresh clone Cargo has perhaps fetched a part only, and then
    // refuses; so it may fetch the rest, and without a network the repository alone must do.
    let manifest = workspace.root.join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let options = ["--manifest-path", &manifest, "--offline"];
    let metadata =
        cargo_metadata(&options, Stdio::null()).or_else(|_| cargo_metadata(&options[..2], Stdio::null()));
    match metadata {
        Ok(metadata) => paths.extend(dependencies(&metadata)),
        Err(why) => eprintln!("xtask: only this repository's text is counted, as {why}"),
    }
    paths
}

/// What lies at the top of the repository, without what is hidden or built.
fn own_text(root: &Path, target: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let paths = visible.map(|entry| entry.path());
    let text: BTreeSet<_> =
        paths.filter(|path| path != target && !path.join("CACHEDIR.TAG").exists()).collect();
    text.into_iter().collect()
}

/// The folders of all packages from outside that are really there.
fn dependencies(metadata: &Value) -> BTreeSet<PathBuf> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned()))
        .filter(|folder| folder.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on() {
        let args = Args { paths: Vec::new(), workers: Some(2), elements: Some(1024), json: true };
        let line = program(&args, &["a".into(), "-b".into()]).unwrap().line();
        assert!(line.ends_with("--bin shm-demo -- --workers 2 --elements 1024 --json -- a -b"), "{line}");
        let args = Args { paths: Vec::new(), workers: None, elements: None, json: false };
        assert!(program(&args, &[]).unwrap().line().ends_with("--bin shm-demo -- --"));
    }

    #[test]
    fn exit_codes_are_forwarded() {
        let ended = |script: &str| Program::new("sh").args(["-c", script]).foreground().unwrap();
        assert_eq!([code(ended("exit 0")), code(ended("exit 7")), code(ended("kill -9 $$"))], [0, 7, 137]);
    }

    #[test]
    fn only_present_packages_from_outside_count() {
        let here = env!("CARGO_MANIFEST_DIR");
        let metadata = serde_json::json!({"packages": [
            {"source": "registry", "manifest_path": format!("{here}/Cargo.toml")},
            {"source": "registry", "manifest_path": "/no/such/package/Cargo.toml"},
            {"source": null, "manifest_path": format!("{here}/src/Cargo.toml")},
        ]});
        assert_eq!(dependencies(&metadata), BTreeSet::from([PathBuf::from(here)]));
    }

    #[test]
    fn own_text_is_neither_hidden_nor_built() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let found = own_text(root, &root.join("target"));
        assert!(found.contains(&root.join("xtask")) && found.contains(&root.join("Cargo.toml")));
        assert!(!found.contains(&root.join("target")) && !found.contains(&root.join(".git")));
    }
}
