//! The programs in `tests/c`, compiled against the library and run: plain, under valgrind, and with AddressSanitizer.

mod support;

use shm_testkit::{Cleanup, Watchdog, leftovers, unique_name};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{HOME, compile, has, scratch, succeed};

/// How a program is built and run.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Valgrind,
    AddressSanitizer,
}

fn run(name: &str, way: Way) {
    let _watchdog = Watchdog::new(Duration::from_secs(300));
    let source = Path::new(HOME).join(format!("tests/c/{name}.c"));
    let folder = scratch(&format!("{name}-{}", way as u8));
    let program: PathBuf = folder.join(name);
    let mut flags = vec!["-std=c99", "-D_GNU_SOURCE", "-O1"];
    if way == Way::AddressSanitizer {
        flags.extend(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
    compile("cc", &flags, &source, &program);
    let prefix = format!("{}-", unique_name(name));
    let _cleanup = Prefix(prefix.clone());
    let mut command = match way {
        Way::Plain | Way::AddressSanitizer => Command::new(&program),
        Way::Valgrind => {
            let mut command = Command::new("valgrind");
            // Children that complain end with this code too. What is only "possibly" lost is not looked at: a hash table of Rust's in a
            // static, to the middle of which alone a pointer leads, is taken for that.
            command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
            command.args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]).arg(&program);
            command
        }
    };
    command.env("SHM_TEST_PREFIX", &prefix).env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    let output = succeed(&mut command);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{name} complains:\n{complaints}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("all well"), "{name} did not come to its end");
}

/// Removes what a program left under its prefix.
struct Prefix(String);

impl Drop for Prefix {
    fn drop(&mut self) {
        drop(Cleanup::of(leftovers(&self.0)));
    }
}

/// A test of each program in each way.
macro_rules! programs {
    ($($name:ident)*) => {
        mod plain {
            $(#[test]
            fn $name() {
                super::run(stringify!($name), super::Way::Plain);
            })*
        }

        mod valgrind {
            $(#[test]
            fn $name() {
                if super::has("valgrind", concat!(stringify!($name), " under valgrind")) {
                    super::run(stringify!($name), super::Way::Valgrind);
                }
            })*
        }

        mod address_sanitizer {
            $(#[test]
            fn $name() {
                if super::sanitizer_works() {
                    super::run(stringify!($name), super::Way::AddressSanitizer);
                }
            })*
        }
    };
}

programs! { smoke }

/// Whether the C compiler can link with AddressSanitizer, and the result runs here.
fn sanitizer_works() -> bool {
    use std::io::Write;
    let folder = scratch(&format!("sanitizer-{:?}", std::thread::current().id()));
    let (source, program) = (folder.join("empty.c"), folder.join("empty"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = Command::new("cc").args(["-fsanitize=address", "-o"]).arg(&program).arg(&source).output();
    let works = built.is_ok_and(|built| built.status.success())
        && Command::new(&program).output().is_ok_and(|ran| ran.status.success());
    if !works {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: programs with AddressSanitizer, because it does not work here"
        );
    }
    works
}
