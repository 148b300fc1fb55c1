//! The Julia package in the tests: `libshm.so` is built, and the package's own tests run against it.
//!
//! Nothing is downloaded: the package needs no other, and its compiled files lie under Cargo's target folder. A Julia that is missing, too old or broken
//! is a reason to skip, which is said. The tests print their result as Rust's harness does (`test/support.jl`).

use crate::process::Program;
use crate::workspace::Workspace;

/// Where the package is, from the root of the repository.
const PACKAGE: &str = "shm-ffi/julia";

/// The tests, or why they cannot run here.
pub(crate) fn tests(workspace: &Workspace, filter: Option<&str>) -> Result<Program, String> {
    available()?;
    Ok(program(workspace, filter))
}

/// Whether this machine has a Julia that works; why not, if not.
pub(crate) fn available() -> Result<(), String> {
    usable(&probe())
}

/// A question that a Julia answers if it is recent enough and survives an exception. (One that was installed beside a libunwind that it was not made for does
/// not, and ends with a signal.)
fn probe() -> Result<String, String> {
    const QUESTION: &str = "VERSION >= v\"1.5\" || error(\"it is Julia $VERSION, and the package needs 1.5\")\n\
        f(x) = x > 1 ? error(\"sample\") : x\n\
        for x in 1:2 try f(x) catch end end\n\
        print(\"works\")";
    Program::new("julia").args(["--startup-file=no", "--color=no", "-e", QUESTION]).probe()
}

fn usable(answer: &Result<String, String>) -> Result<(), String> {
    match answer {
        Ok(said) if said == "works" => Ok(()),
        Ok(said) => Err(format!("julia says {said:?} where it should say that it works")),
        // A crash prints nothing.
        Err(why) if why == "it failed" => {
            Err("julia crashes at exceptions; .ci/install-julia mends Debian's".to_owned())
        }
        Err(why) => Err(why.clone()),
    }
}

fn program(workspace: &Workspace, filter: Option<&str>) -> Program {
    const SCRIPT: &str = r#""$1" build --quiet --package shm-ffi && shift && exec "$@""#;
    let path = |words: &[&str]| {
        let root = workspace.root.join(PACKAGE);
        words.iter().fold(root, |path, word| path.join(word)).to_string_lossy().into_owned()
    };
    let target = |words: &[&str]| {
        let path = words.iter().fold(workspace.target.clone(), |path, word| path.join(word));
        path.to_string_lossy().into_owned()
    };
    let program = Program::new("sh")
        .args(["-c", SCRIPT, "sh", &crate::workspace::cargo()])
        .args(["julia", "--startup-file=no", "--color=no"])
        .args([format!("--project={}", path(&[])), path(&["test", "runtests.jl"])])
        .env("JULIA_DEPOT_PATH", target(&["julia"]))
        .env("SHM_LIBRARY", target(&["debug", "libshm.so"]));
    match filter {
        Some(filter) => program.args([filter]),
        None => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_julia_that_does_not_work_is_skipped() {
        let said = |what: Result<&str, &str>| usable(&what.map(str::to_owned).map_err(str::to_owned));
        assert_eq!(said(Ok("works")), Ok(()));
        assert!(said(Ok("what?")).unwrap_err().contains("what?"));
        assert!(said(Err("it failed")).unwrap_err().contains("crashes"));
        assert_eq!(said(Err("cannot run `julia`: no")), Err("cannot run `julia`: no".to_owned()));
    }

    #[test]
    fn the_filter_reaches_the_tests() {
        let workspace = Workspace { root: "/r".into(), target: "/t".into(), packages: Vec::new() };
        let line = program(&workspace, Some("array:")).line();
        assert!(
            line.ends_with("--project=/r/shm-ffi/julia /r/shm-ffi/julia/test/runtests.jl array:"),
            "{line}"
        );
        assert!(
            line.starts_with("JULIA_DEPOT_PATH=/t/julia SHM_LIBRARY=/t/debug/libshm.so sh -c "),
            "{line}"
        );
    }
}
