//! The languages with each other: arrays that one makes and another changes, locks of killed processes, barriers for all.
//!
//! Each language has a program in `cross/`, and they all obey the same words; `cross/driver.rs` starts them and speaks to them. There is a test for
//! each ordered pair. A language that this machine lacks is skipped, which is said.

#[path = "cross/driver.rs"]
mod driver;
#[path = "cross/program.rs"]
mod program;
mod support;

use driver::{LANGUAGES, Language, Program, Programs};
use shm_testkit::{Cleanup, Watchdog, leftovers, unique_name};
use std::time::Duration;
use support::say;

/// Every element type that all languages have, in both orders, with two and with three dimensions.
const TYPES: [&str; 6] = ["u8", "i32", "i64", "f32", "f64", "c128"];
const SHAPES: [&str; 2] = ["3x4", "2x5x3"];
const KINDS: [&str; 2] = ["mutex", "process-mutex"];

/// Names of one test, which are removed in the end.
struct Names(String);

impl Names {
    fn new(test: &str) -> Names {
        Names(unique_name(test))
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.0)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        drop(Cleanup::of(leftovers(&self.0)));
    }
}

/// The programs of these languages, if they are here, and what watches the test.
fn begin(languages: &[Language]) -> Option<(Programs, Watchdog)> {
    let mut programs = Programs::all();
    let watchdog = Watchdog::new(Duration::from_secs(180));
    for language in languages {
        if let Err(missing) = programs.start(*language) {
            say(&format!("skipped: {}, because {missing}", test()));
            return None;
        }
    }
    Some((programs, watchdog))
}

/// The languages besides these that are here. The test goes on without the others.
fn others(programs: &mut Programs, than: &[Language]) -> Vec<Language> {
    let mut here = Vec::new();
    for language in LANGUAGES.into_iter().filter(|language| !than.contains(language)) {
        match programs.start(language) {
            Ok(()) => here.push(language),
            Err(missing) => say(&format!("{} goes on without {language:?}, because {missing}", test())),
        }
    }
    here
}

/// The name of this test.
fn test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// One creates, the other attaches, checks and changes, the first sees it; then they meet at a barrier that the first has made.
fn arrays(one: Language, other: Language) {
    let Some((mut programs, _watchdog)) = begin(&[one, other]) else { return };
    let names = Names::new("cross-arrays");
    for kind in TYPES {
        for order in ["C", "F"] {
            for shape in SHAPES {
                let name = names.name(&format!("{kind}-{order}-{shape}"));
                programs.of(one).ask(&format!("create {name} {kind} {order} {shape} 1"));
                programs.of(other).ask(&format!("check {name} {kind} {order} {shape} 1"));
                programs.of(other).ask(&format!("write {name} {kind} 2"));
                programs.of(one).ask(&format!("check {name} {kind} {order} {shape} 2"));
                programs.of(one).ask(&format!("write {name} {kind} 3"));
                programs.of(one).ask(&format!("close {name}"));
                programs.of(other).ask(&format!("check {name} {kind} {order} {shape} 3"));
                programs.of(other).ask(&format!("close {name}"));
            }
        }
    }
    meet(&mut programs, &names, one, &[one, other]);
}

/// Several rounds at one barrier.
fn meet(programs: &mut Programs, names: &Names, maker: Language, parties: &[Language]) {
    let name = names.name("barrier");
    programs.of(maker).ask(&format!("make barrier {name} {}", parties.len()));
    let line = format!("wait {name}");
    for _round in 0..3 {
        for language in parties {
            programs.of(*language).send(&line);
        }
        for language in parties {
            programs.of(*language).answer(&line);
        }
    }
    for language in parties {
        programs.of(*language).ask(&format!("close {name}"));
    }
}

/// A lock that one has made and holds is closed to the other; killed with it, it leaves the news to the other, and to nobody after that. The same with a
/// third one in the place of the killed.
fn locks(one: Language, other: Language) {
    let Some((mut programs, _watchdog)) = begin(&[one, other]) else { return };
    let thirds = others(&mut programs, &[one, other]);
    let names = Names::new("cross-locks");
    let mut victim = Program::start(one).expect("another one runs");
    for kind in KINDS {
        let lock = format!("{kind} {}", names.name(kind));
        victim.ask(&format!("make {lock}"));
        victim.ask(&format!("hold {lock}"));
        assert_eq!(programs.of(other).ask(&format!("try {lock}")), "busy", "{kind}");
        victim.ask(&format!("release {lock}"));
        assert_eq!(programs.of(other).ask(&format!("lock {lock}")), "free", "{kind}");
        programs.of(other).ask(&format!("hold {lock}"));
        assert_eq!(victim.ask(&format!("try {lock}")), "busy", "{kind}");
        programs.of(other).ask(&format!("release {lock}"));
        victim.ask(&format!("hold {lock}"));
    }
    // One of the locks has somebody who waits already.
    let waited_for = format!("lock mutex {}", names.name("mutex"));
    programs.of(other).send(&waited_for);
    victim.kill();
    assert_eq!(programs.of(other).answer(&waited_for), "owner-died", "mutex");
    assert_eq!(
        programs.of(other).ask(&format!("lock process-mutex {}", names.name("process-mutex"))),
        "owner-died"
    );
    // The lock that one has made is taken by a third one, which is killed with it; the news is the other's.
    for third in &thirds {
        let mut victim = Program::start(*third).expect("another one runs");
        for kind in KINDS {
            victim.ask(&format!("hold {kind} {}", names.name(kind)));
        }
        victim.kill();
        for kind in KINDS {
            let found = programs.of(other).ask(&format!("lock {kind} {}", names.name(kind)));
            assert_eq!(found, "owner-died", "a {kind} of {one:?}'s after {third:?}, to {other:?}");
        }
    }
    for kind in KINDS {
        for language in thirds.iter().chain([&one, &other]) {
            let found = programs.of(*language).ask(&format!("lock {kind} {}", names.name(kind)));
            assert_eq!(found, "free", "{language:?} after {other:?} has recovered the {kind}");
        }
    }
}

/// All languages that are here meet at a barrier of this one.
fn barrier(maker: Language) {
    let Some((mut programs, _watchdog)) = begin(&[maker]) else { return };
    let mut parties = others(&mut programs, &[maker]);
    parties.push(maker);
    meet(&mut programs, &Names::new("cross-barrier"), maker, &parties);
}

/// A test for each ordered pair.
macro_rules! pairs {
    ($($one:ident $other:ident: $test:ident)*) => {
        pairs! { @ arrays $($one $other: $test)* }
        pairs! { @ locks $($one $other: $test)* }
    };
    (@ $module:ident $($one:ident $other:ident: $test:ident)*) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$module(super::Language::$one, super::Language::$other);
            })*
        }
    };
}

pairs! {
    Rust C: from_rust_to_c
    Rust Julia: from_rust_to_julia
    Rust Python: from_rust_to_python
    C Rust: from_c_to_rust
    C Julia: from_c_to_julia
    C Python: from_c_to_python
    Julia Rust: from_julia_to_rust
    Julia C: from_julia_to_c
    Julia Python: from_julia_to_python
    Python Rust: from_python_to_rust
    Python C: from_python_to_c
    Python Julia: from_python_to_julia
}

mod barriers {
    use super::Language::{C, Julia, Python, Rust};

    #[test]
    fn of_rust() {
        super::barrier(Rust);
    }

    #[test]
    fn of_c() {
        super::barrier(C);
    }

    #[test]
    fn of_julia() {
        super::barrier(Julia);
    }

    #[test]
    fn of_python() {
        super::barrier(Python);
    }
}

/// Not a test, but Rust's program; started by the tests.
#[test]
#[ignore = "the other tests start it"]
fn rust_program() {
    if std::env::var_os("SHM_TEST_CROSS").is_some() {
        program::serve();
    }
}
