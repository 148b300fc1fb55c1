//! The programs in `tests/c`, compiled against the library and run: plain, under valgrind, and with AddressSanitizer.

mod support;

use shm_testkit::{Watchdog, unique_name};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{HOME, Prefix, Scratch, compile, has, succeed};

/// Each of these programs has threads of its own; several at a time take longer.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// How a program is built and run.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Valgrind,
    AddressSanitizer,
    /// With a sandbox that refuses a system call, from the beginning or later (`threads.c`, `pool.c`).
    Sandbox(&'static str),
}

fn run(name: &str, way: Way) {
    let _one_at_a_time = TURN.lock();
    let _watchdog = Watchdog::named(name, Duration::from_secs(300));
    let home = Path::new(HOME).join("tests/c");
    let source = [home.join(format!("{name}.c")), home.join(format!("{name}.cpp"))]
        .into_iter()
        .find(|source| source.exists())
        .unwrap();
    let (compiler, standard) = match source.extension() {
        Some(extension) if extension == "cpp" => ("c++", "-std=c++17"),
        _ => ("cc", "-std=c99"),
    };
    let folder = Scratch::new(name);
    let program = folder.path.join(name);
    let mut flags = vec![standard, "-D_GNU_SOURCE", "-O1"];
    if way == Way::AddressSanitizer {
        flags.extend(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
    compile(compiler, &flags, &source, &program);
    let prefix = format!("{}-", unique_name(name));
    let _cleanup = Prefix(prefix.clone());
    let mut command = match way {
        Way::Plain | Way::AddressSanitizer | Way::Sandbox(_) => Command::new(&program),
        Way::Valgrind => {
            let mut command = Command::new("valgrind");
            // Children that complain end with this code too. What is only "possibly" lost is not looked at: a hash table of Rust's in a
            // static, to the middle of which alone a pointer leads, is taken for that.
            command.args(["--quiet", "--fair-sched=try", "--error-exitcode=9", "--leak-check=full"]);
            command.args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]).arg(&program);
            command
        }
    };
    if let Way::Sandbox(when) = way {
        command.env("SHM_TEST_SANDBOX", when);
    }
    if way == Way::Valgrind {
        command.env("SHM_TEST_VALGRIND", "1");
    }
    let files = folder.path.join("files");
    std::fs::create_dir(&files).unwrap();
    command.env("SHM_TEST_PREFIX", &prefix).env("SHM_TEST_FOLDER", &files);
    let output = succeed(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    // What valgrind says of itself: it does not know the newest system calls, and answers for them that there are none.
    let complaints: Vec<&str> = said.lines().filter(|line| !line.starts_with("--")).collect();
    let complaints = complaints.join("\n");
    assert!(complaints.is_empty(), "{name} complains:\n{complaints}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("all well"), "{name} did not come to its end");
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
                if super::support::sanitizer_works() {
                    super::run(stringify!($name), super::Way::AddressSanitizer);
                }
            })*
        }
    };
}

programs! { smoke arrays segments misuse late threads wrapper locks waits pool executor kinds sizes surface }

#[test]
fn threads_in_a_sandbox() {
    run("threads", Way::Sandbox("early"));
    run("threads", Way::Sandbox("late"));
}

#[test]
fn pool_in_a_sandbox() {
    run("pool", Way::Sandbox("pidfds"));
}
