//! The ways to the library beside the shared one that the linker puts beside a program: linked in whole, and loaded and closed while the
//! program runs.

mod support;

use std::path::Path;
use std::process::Command;
use support::{HOME, STRICT, Scratch, library, static_library, succeed};

/// Compiles a program of `tests/c`, which does not get the shared library.
fn build(name: &str, flags: &[&str], folder: &Scratch) -> std::path::PathBuf {
    let home = Path::new(HOME);
    let program = folder.path.join(name);
    let mut command = Command::new("cc");
    command.args(STRICT).args(["-std=gnu99", "-D_GNU_SOURCE", "-I"]).arg(home.join("include"));
    command.arg(home.join(format!("tests/c/{name}.c"))).arg("-o").arg(&program).args(flags);
    succeed(&mut command);
    program
}

fn is_well(command: &mut Command) {
    let output = succeed(command);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("all well"));
}

/// The linker takes out of a static library what is asked for by name, and nobody asks for what the loader runs before `main`.
#[test]
fn static_library_notices_forks() {
    let archive = static_library();
    let archive = archive.to_str().unwrap();
    let system = ["-pthread", "-ldl", "-lm"];
    for more in [&[][..], &["-Wl,--gc-sections"], &["-O2", "-flto", "-Wl,--gc-sections,--as-needed"]] {
        let folder = Scratch::new("static");
        let flags = [&[archive][..], &system, more].concat();
        let program = build("forked", &flags, &folder);
        is_well(&mut Command::new(&program));
    }
}

#[test]
fn shared_library_notices_forks() {
    let folder = Scratch::new("shared");
    let program = folder.path.join("forked");
    support::compile(
        "cc",
        &["-std=gnu99", "-D_GNU_SOURCE"],
        &Path::new(HOME).join("tests/c/forked.c"),
        &program,
    );
    is_well(&mut Command::new(&program));
}

/// Its memory belongs to other processes too, and its threads, locks and handles to the program: a library that went with the last `dlclose` would
/// leave all of that behind.
#[test]
fn library_that_is_closed_stays_loaded() {
    let folder = Scratch::new("loaded");
    let program = build("loaded", &["-ldl", "-pthread", "-Wno-pedantic"], &folder);
    is_well(Command::new(&program).arg(library()));
}
