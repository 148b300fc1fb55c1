//! What the tests in C share: where the library is, how programs are compiled against it and run, and which tools this machine has.
#![allow(dead_code, reason = "not every test file uses all of it")]

use shm_testkit::{Cleanup, leftovers, unique_name};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of this crate.
pub(crate) const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// Flags that every program is compiled with.
pub(crate) const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];

/// The shared library that Cargo built together with this test: it lies beside the test itself.
pub(crate) fn library() -> PathBuf {
    beside_test("libshm.so")
}

/// The static library.
pub(crate) fn static_library() -> PathBuf {
    beside_test("libshm.a")
}

fn beside_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test.parent().unwrap().join(name);
    assert!(found.exists(), "{} is not there, though Cargo builds it with the library", found.display());
    found
}

/// The folder with the library under the names that the linker and the loader look for.
pub(crate) fn library_folder() -> PathBuf {
    let library = library();
    let folder = library.parent().unwrap();
    match std::os::unix::fs::symlink("libshm.so", folder.join("libshm.so.0")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("cannot link libshm.so.0: {error}"),
        _ => folder.to_owned(),
    }
}

/// A new, empty folder, removed with what is in it when this is dropped.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    _cleanup: Cleanup,
}

impl Scratch {
    pub(crate) fn new(what: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique_name(what));
        let cleanup = Cleanup::of([&path]);
        std::fs::create_dir_all(&path).unwrap();
        Scratch { path, _cleanup: cleanup }
    }
}

/// Compiles one source into a program that finds the library by itself.
pub(crate) fn compile(compiler: &str, flags: &[&str], source: &Path, program: &Path) {
    let folder = library_folder();
    let mut command = Command::new(compiler);
    command.args(STRICT).args(flags);
    command.arg("-I").arg(Path::new(HOME).join("include"));
    command.arg(source).arg("-o").arg(program);
    command
        .arg("-L")
        .arg(&folder)
        .arg("-lshm")
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .arg("-pthread");
    succeed(&mut command);
}

/// Runs a command that has to succeed, without a word on standard error.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// Whether a program is there; if not, says that something is skipped.
pub(crate) fn has(tool: &str, skipped: &str) -> bool {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if !there {
        say(&format!("skipped: {skipped}, because there is no {tool} here"));
    }
    there
}

/// Says something that is seen though the test passes: the harness keeps back what goes through `println!` only.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Removes what a program left under its prefix.
pub(crate) struct Prefix(pub(crate) String);

impl Drop for Prefix {
    fn drop(&mut self) {
        drop(Cleanup::of(leftovers(&self.0)));
    }
}

/// Whether the C compiler can link with AddressSanitizer, and the result runs here.
pub(crate) fn sanitizer_works() -> bool {
    let folder = Scratch::new("sanitizer");
    let (source, program) = (folder.path.join("empty.c"), folder.path.join("empty"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = Command::new("cc").args(["-fsanitize=address", "-o"]).arg(&program).arg(&source).output();
    let works = built.is_ok_and(|built| built.status.success())
        && Command::new(&program).output().is_ok_and(|ran| ran.status.success());
    if !works {
        say("skipped: programs with AddressSanitizer, because it does not work here");
    }
    works
}
