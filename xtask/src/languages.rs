//! What the benches need besides Rust: a program in C, a Julia, a Python with the package and what it is measured beside.
//!
//! What this machine lacks is a reason to skip rows, which is said; so is a package that does not build here. Only `libshm.so` and our own program
//! in C have to build. The benches find each by an environment variable (`shm-bench/src/foreign.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::process::Program;
use crate::reach::Language;
use crate::workspace::Workspace;
use crate::{julia, python};

/// Environment variables.
type Variables = Vec<(&'static str, String)>;

/// For each language that rows need: what the benches are told of it, or why it is not there.
#[derive(Default)]
pub(crate) struct Languages(BTreeMap<Language, Result<Variables, String>>);

impl Languages {
    /// Builds and finds what these languages need.
    ///
    /// # Errors
    /// When `libshm.so` or the program in C does not build.
    pub(crate) fn prepare(
        workspace: &Workspace,
        needed: impl Iterator<Item = Language>,
    ) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for language in needed {
            if found.contains_key(&language) {
                continue;
            }
            eprintln!("==> {}: prepares what is measured", language.as_str());
            let variables = match language {
                Language::C => in_c(workspace)?,
                Language::Julia => in_julia(workspace)?,
                Language::Python => python::for_benches(workspace)
                    .map(|python| vec![("SHM_BENCH_PYTHON", python.to_string_lossy().into_owned())]),
            };
            found.insert(language, variables);
        }
        Ok(Self(found))
    }

    /// Tells a program what there is.
    pub(crate) fn tell(&self, program: Program) -> Program {
        let variables = self.0.values().flatten().flatten();
        variables.fold(program, |program, (name, value)| program.env(name, value.clone()))
    }

    /// Why a language is not there, if it is not.
    pub(crate) fn lacks(&self, language: Language) -> Option<&str> {
        self.0.get(&language).and_then(|found| found.as_ref().err()).map(String::as_str)
    }

    /// The languages that are not there, and why.
    pub(crate) fn lacking(&self) -> impl Iterator<Item = (Language, &str)> {
        self.0.iter().filter_map(|(language, found)| Some((*language, found.as_ref().err()?.as_str())))
    }
}

/// The folder with `libshm.so` as it is released, and under the name that the loader looks for.
fn library(workspace: &Workspace) -> Result<String, String> {
    let build = Program::cargo(["build", "--quiet", "--release", "--package", "shm-ffi"]);
    if let Some(fault) = build.run(true).fault {
        return Err(format!("libshm.so does not build ({fault})"));
    }
    let folder = workspace.target.join("release");
    match std::os::unix::fs::symlink("libshm.so", folder.join("libshm.so.0")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(format!("cannot link libshm.so.0 in {}: {error}", folder.display()))
        }
        _ => Ok(path(&folder)),
    }
}

fn in_c(workspace: &Workspace) -> Result<Result<Variables, String>, String> {
    if let Err(why) = Program::new("cc").args(["--version"]).probe() {
        return Ok(Err(why));
    }
    let library = library(workspace)?;
    let place = workspace.target.join("bench");
    fs::create_dir_all(&place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    let program = path(&place.join("c"));
    let compile = Program::new("cc")
        .args(["-std=c99", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([
            path(&workspace.root.join("shm-ffi/include")),
            path(&workspace.root.join("shm-bench/c/bench.c")),
        ])
        .args(["-o", &program, "-L", &library, "-lshm", &format!("-Wl,-rpath,{library}")]);
    match compile.run(true).fault {
        None => Ok(Ok(vec![("SHM_BENCH_C", program)])),
        Some(fault) => Err(format!("shm-bench/c/bench.c does not build ({fault})")),
    }
}

fn in_julia(workspace: &Workspace) -> Result<Result<Variables, String>, String> {
    if let Err(why) = julia::available() {
        return Ok(Err(why));
    }
    let library = format!("{}/libshm.so", library(workspace)?);
    Ok(Ok(vec![
        ("SHM_BENCH_JULIA", "julia".to_owned()),
        ("SHM_LIBRARY", library),
        ("JULIA_DEPOT_PATH", path(&workspace.target.join("julia"))),
    ]))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_and_what_is_not_is_a_reason() {
        let there = Ok(vec![("SHM_BENCH_C", "/t/bench/c".to_owned())]);
        let lacking = Err("cannot run `julia`".to_owned());
        let languages = Languages([(Language::C, there), (Language::Julia, lacking)].into());
        assert_eq!(languages.tell(Program::new("true")).line(), "SHM_BENCH_C=/t/bench/c true");
        assert_eq!((languages.lacks(Language::C), languages.lacks(Language::Python)), (None, None));
        assert_eq!(languages.lacking().collect::<Vec<_>>(), [(Language::Julia, "cannot run `julia`")]);
    }
}
