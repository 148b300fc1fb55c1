//! The header: what it says is complete, compiles everywhere without a warning, and is what the library exports. (That it is what the sources
//! say is tested where it is made, in `xtask`.)

#![allow(unsafe_code, reason = "reads a text that C would read")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{HOME, Scratch, has, library, succeed};

fn header() -> String {
    std::fs::read_to_string(Path::new(HOME).join("include/shm.h")).unwrap()
}

/// Each function with the comment before it.
fn functions(header: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut comment = String::new();
    for line in header.lines() {
        if let Some(text) = line.strip_prefix("//") {
            comment += text;
            comment.push('\n');
            continue;
        }
        let name = line.split_once('(').and_then(|(before, _)| before.rsplit([' ', '*']).next());
        match name {
            Some(name)
                if name.starts_with("shm_")
                    && !line.starts_with([' ', '#', '}'])
                    && !line.contains("inline") =>
            {
                found.insert(name.to_owned(), std::mem::take(&mut comment));
            }
            _ => comment.clear(),
        }
    }
    found
}

#[test]
fn every_function_says_all_that_one_needs_to_know() {
    let functions = functions(&header());
    assert!(functions.len() > 40, "{}", functions.len());
    for (name, comment) in &functions {
        for part in ["Parameters:", "Returns:", "Thread use:", "Death:"] {
            let lines = comment.lines().filter(|line| line.trim_start().starts_with(part)).count();
            assert_eq!(lines, 1, "{name} says `{part}` {lines} times:\n{comment}");
        }
        let sentence: Vec<&str> = comment.lines().take_while(|line| !line.trim().is_empty()).collect();
        let sentence = sentence.join(" ");
        assert!(sentence.trim_end().ends_with('.'), "{name} begins with no sentence: {sentence}");
    }
}

#[test]
fn statuses_have_one_number_and_one_name_each() {
    let header = header();
    let mut numbers = BTreeSet::new();
    for line in header.lines().filter_map(|line| line.strip_prefix("#define SHM_STATUS_")) {
        let (name, number) = line.split_once(' ').unwrap();
        let number: i32 = number.parse().unwrap();
        assert!(numbers.insert(number), "{number} has two names");
        // SAFETY: the function returns a text that lives as long as the program.
        let found = unsafe { CStr::from_ptr(shm::shm_status_name(number)) };
        assert_eq!(found.to_str().unwrap(), format!("SHM_STATUS_{name}"));
    }
    assert!(numbers.len() > 50, "{}", numbers.len());
    // The numbers are for ever: whoever changes one breaks programs that exist.
    for (number, status) in [
        (0, shm::SHM_STATUS_OK),
        (2, shm::SHM_STATUS_INVALID_HANDLE),
        (11, shm::SHM_STATUS_NOT_FOUND),
        (30, shm::SHM_STATUS_SYSTEM),
        (46, shm::SHM_STATUS_OWNER_DIED),
        (60, shm::SHM_STATUS_OVERFLOW),
        (85, shm::SHM_STATUS_ENDED),
    ] {
        assert_eq!(number, status);
    }
}

#[test]
fn every_init_and_every_function_compiles_in_each_language() {
    let folder = Scratch::new("languages");
    let header = header();
    let mut text = String::from("#include <shm.h>\n#include <shm.h>\n");
    text += "#if defined(__cplusplus) && __cplusplus >= 201703L\n#include <shm.hpp>\n";
    text += "template class shm::array<double>;\ntemplate class shm::channel<float>;\n#endif\n";
    for (init, number) in
        header.lines().filter_map(|line| line.strip_prefix("#define SHM_")?.split_once("_INIT ")).zip(0..)
    {
        let name = init.0.to_lowercase();
        text += &format!(
            "extern shm_{name}_t value_{number};\nshm_{name}_t value_{number} = SHM_{}_INIT;\n",
            init.0
        );
    }
    assert!(text.contains("shm_options_t value_0"), "{text}");
    // A table of pointers to all functions: each is declared, and found by the linker.
    text += "typedef void (*any)(void);\nextern const any table[];\nconst any table[] = {\n";
    for name in functions(&header).keys() {
        text += &format!("    (any)(uintptr_t){name},\n");
    }
    text += "    (any)0\n};\nint main(void) { return shm_dtype(SHM_TYPE_INT, 8).lanes - 1; }\n";
    for (language, compiler, flags) in [
        ("C99", "cc", vec!["-std=c99", "-x", "c"]),
        ("C11", "cc", vec!["-std=c11", "-x", "c"]),
        ("C17", "cc", vec!["-std=c17", "-x", "c"]),
        ("C++17", "c++", vec!["-std=c++17", "-x", "c++"]),
        ("C++20", "c++", vec!["-std=c++20", "-x", "c++"]),
        ("C99 with clang", "clang", vec!["-std=c99", "-x", "c"]),
        ("C++17 with clang", "clang++", vec!["-std=c++17", "-x", "c++"]),
    ] {
        if !has(compiler, &format!("the header in {language}")) {
            continue;
        }
        let source = folder.path.join("all.c");
        std::fs::write(&source, &text).unwrap();
        let program = folder.path.join(language.replace(' ', "-"));
        // Programs that are compiled with more than the usual warnings get none because of us.
        let flags =
            [&flags[..], &["-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wundef", "-Wcast-qual"]]
                .concat();
        support::compile(compiler, &flags, &source, &program);
        succeed(&mut Command::new(&program));
    }
}

#[test]
fn library_exports_what_the_header_declares_and_nothing_else() {
    if !has("nm", "the list of exported symbols") {
        return;
    }
    let declared: BTreeSet<String> = functions(&header()).into_keys().collect();
    assert_eq!(exported(), declared);
}

/// The dynamic symbols of the library.
fn exported() -> BTreeSet<String> {
    let output =
        succeed(Command::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(library()));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The symbols of all versions so far: programs that exist are linked against them. New ones are added to the list, and none is taken out of it
/// without another soname.
#[test]
fn no_symbol_vanishes_and_each_is_ours() {
    if !has("nm", "the list of symbols that were promised") {
        return;
    }
    let list = std::fs::read_to_string(Path::new(HOME).join("abi/symbols.txt")).unwrap();
    let promised: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    assert_eq!(list.lines().count(), promised.len(), "a symbol stands there twice");
    let exported = exported();
    let vanished: Vec<&String> = promised.difference(&exported).collect();
    assert!(
        vanished.is_empty(),
        "programs need these, which the library does not export any more: {vanished:?}"
    );
    let new: Vec<&String> = exported.difference(&promised).collect();
    assert!(new.is_empty(), "add to abi/symbols.txt what will be there for ever: {new:?}");
    assert!(promised.iter().all(|symbol| symbol.starts_with("shm_")), "{promised:?}");
}

#[test]
fn layout_of_structs_and_numbers_stay() {
    let folder = Scratch::new("layout");
    let source = Path::new(HOME).join("tests/c/layout.c");
    let text = std::fs::read_to_string(&source).unwrap();
    let header = header();
    // Whatever the header has is in the list.
    let structs = header.lines().filter_map(|line| line.strip_prefix("typedef struct ")?.strip_suffix(" {"));
    let missing: Vec<&str> =
        structs.filter(|name| !text.contains(&format!("HOLDS(sizeof({name}) =="))).collect();
    assert!(missing.is_empty(), "add the layout of {missing:?} to tests/c/layout.c");
    let numbers = header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    let numbers =
        numbers.map(|(name, _)| name).filter(|name| name.starts_with("SHM_") && !name.ends_with("_INIT"));
    let missing: Vec<&str> = numbers.filter(|name| !text.contains(&format!("HOLDS({name} =="))).collect();
    assert!(missing.is_empty(), "add {missing:?} to tests/c/layout.c");
    support::compile("cc", &["-std=c11", "-x", "c"], &source, &folder.path.join("layout-c"));
    support::compile("c++", &["-std=c++17", "-x", "c++"], &source, &folder.path.join("layout-cpp"));
}

#[test]
fn library_has_a_versioned_soname() {
    if !has("readelf", "the soname") {
        return;
    }
    let output = succeed(Command::new("readelf").args(["--dynamic", "--wide"]).arg(library()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Library soname: [libshm.so.0]"), "{text}");
    let needed: Vec<&str> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(
        needed.iter().all(|line| ["libc.so", "libgcc_s.so", "libm.so", "ld-linux"]
            .iter()
            .any(|name| line.contains(name))),
        "{needed:?}"
    );
}

#[test]
fn python_attaches_through_the_library_alone() {
    let pythons = pythons();
    if pythons.is_empty() {
        support::say("skipped: the array that ctypes attaches, because there is no python3 here");
    }
    pythons.iter().for_each(|python| attach_by_ctypes(python));
}

/// The Pythons of this machine: the one that is found first, and all that pyenv has, the oldest and the newest among them. (A command of pyenv's on
/// the search path may do no more than say that its version is not switched on.)
fn pythons() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| std::env::home_dir().map(|home| home.join(".pyenv"))).unwrap_or_default();
    let versions = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin/python3")).collect();
    found.push("python3".into());
    found.retain(|python| {
        Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    found
}

fn attach_by_ctypes(python: &Path) {
    let name = format!("shm://{}", shm_testkit::unique_name("ctypes"));
    let _cleanup = shm_testkit::Cleanup::of([name.trim_start_matches("shm://")]);
    let array = shm_core::SharedArray::<f64, _>::from_fn(name.as_str(), 4, |i| i as f64 / 2.0).unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(HOME).join("tests/attach.py")).arg(library()).arg(&name);
    let output = succeed(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[0.0, 0.5, 1.0, 1.5]\n");
    assert_eq!(array.get(3), 42.0);
}

#[test]
fn program_in_the_readme_works() {
    let readme = std::fs::read_to_string(Path::new(HOME).join("../README.md")).unwrap();
    let (_, program) = readme.split_once("```c\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let name = shm_testkit::unique_name("readme");
    let _cleanup = shm_testkit::Cleanup::of([&name]);
    let folder = Scratch::new("readme");
    let source = folder.path.join("readme.c");
    std::fs::write(&source, program.replace("shm://grid", &format!("shm://{name}"))).unwrap();
    support::compile("cc", &["-std=c99"], &source, &folder.path.join("readme"));
    succeed(&mut Command::new(folder.path.join("readme")));
}
