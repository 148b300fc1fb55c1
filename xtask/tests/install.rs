//! `cargo xtask install`: what it lays down is found by pkg-config and CMake, and the examples build and run with it, also after it was moved.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A new, empty folder, removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

fn has(tool: &str, skipped: &str) -> bool {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: {skipped}, because there is no {tool} here");
    }
    there
}

/// Runs the examples and looks at what they say.
fn run_examples(folder: &Path, what: &str) {
    let heat = succeed(Command::new(folder.join("heat")).args(["2", "1000", "5"]));
    assert!(String::from_utf8_lossy(&heat.stdout).contains("heat 1000.000000 of 1000"));
    let primes = succeed(Command::new(folder.join("primes")).args(["1000", "2"]));
    assert!(String::from_utf8_lossy(&primes.stdout).contains("168 primes below 1000"), "{primes:?}");
    let name = format!("shm://shmtest-{}-counts-{what}", std::process::id());
    let counts =
        |arguments: &[&str]| succeed(Command::new(folder.join("counts")).arg(&name).args(arguments)).stdout;
    assert!(String::from_utf8_lossy(&counts(&["add", "ant", "bee"])).starts_with("created"));
    assert!(String::from_utf8_lossy(&counts(&["add", "Ape", "!"])).starts_with("found"));
    assert_eq!(String::from_utf8_lossy(&counts(&["show"])), "a 2\nb 1\n");
}

#[test]
fn examples_build_with_what_was_installed() {
    let scratch = Scratch::new();
    let first = scratch.0.join("first");
    // The profile of the tests: what is tested here is the laying down.
    succeed(
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["install", "--profile", "dev", "--prefix"])
            .arg(&first),
    );
    let prefix = scratch.0.join("moved here");
    fs::rename(&first, &prefix).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let soname = fs::read_link(prefix.join("lib/libshm.so")).unwrap();
    assert_eq!(soname.to_str().unwrap(), format!("libshm.so.{}", env!("CARGO_PKG_VERSION_MAJOR")));
    assert_eq!(
        fs::read_link(prefix.join("lib").join(soname)).unwrap().to_str().unwrap(),
        format!("libshm.so.{version}")
    );
    let fresh: Vec<_> =
        fs::read_dir(prefix.join("lib")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(fresh.iter().all(|name| !name.to_string_lossy().ends_with(".new")), "{fresh:?}");

    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("shm-ffi/examples");
    if has("pkg-config", "the examples with pkg-config") && has("make", "the examples with pkg-config") {
        // pkg-config quotes a space for the shell, and make splits at it: the Makefile gets a prefix without one.
        let plain = scratch.0.join("plain");
        std::os::unix::fs::symlink(&prefix, &plain).unwrap();
        let folder = scratch.0.join("make");
        fs::create_dir(&folder).unwrap();
        for file in fs::read_dir(&examples).unwrap().flatten() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let asked = |question: &[&str]| {
            let mut command = Command::new("pkg-config");
            let output = succeed(
                command.args(question).arg("shm").env("PKG_CONFIG_PATH", plain.join("lib/pkgconfig")),
            );
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(asked(&["--modversion"]), version);
        assert!(asked(&["--static", "--libs"]).contains("-lpthread"));
        let mut make = Command::new("make");
        make.current_dir(&folder).env("PKG_CONFIG_PATH", plain.join("lib/pkgconfig"));
        make.env("CFLAGS", "-Wall -Wextra -Wpedantic -Werror")
            .env("CXXFLAGS", "-Wall -Wextra -Wpedantic -Werror");
        succeed(&mut make);
        run_examples(&folder, "make");
    }
    if has("cmake", "the examples with CMake") {
        let folder = scratch.0.join("cmake");
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(&examples).arg("-B").arg(&folder);
        succeed(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
        succeed(Command::new("cmake").arg("--build").arg(&folder));
        run_examples(&folder, "cmake");
        succeed(Command::new(folder.join("heat-static")).args(["2", "1000", "5"]));
    }
}
