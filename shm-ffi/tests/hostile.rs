//! Every function of the header, called with what it must not be called with: a program is made from the header's declarations, so that no function can
//! be forgotten, and run plain, with AddressSanitizer, and under valgrind.
//!
//! For each argument that is a handle: zero, made up, given back, of another kind. For each that is a pointer: NULL, which is refused unless the
//! comment says that it may be. All at once: everything zero. `c/hostile.h` has the good values that stand beside the bad one.

mod support;

use shm_testkit::{Watchdog, unique_name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{HOME, Prefix, Scratch, compile, has, succeed};

/// A function of the header.
struct Function {
    name: String,
    returns: String,
    /// Type and name of each.
    arguments: Vec<(String, String)>,
    comment: String,
}

/// What may be called with zeros alone and succeeds, or returns no status.
const HARMLESS: [&str; 3] = ["shm_pool_unfinished", "shm_reap", "shm_list"];

/// These look at all segments of the machine where their directory is NULL, and clean up there: other tests' business.
const OF_THE_MACHINE: [&str; 2] = ["shm_reap", "shm_list"];

fn header() -> String {
    std::fs::read_to_string(Path::new(HOME).join("include/shm.h")).unwrap()
}

/// All functions, in the order of the header.
fn functions(header: &str) -> Vec<Function> {
    let (mut found, mut comment, mut text) = (Vec::new(), String::new(), String::new());
    for line in header.lines() {
        if let Some(line) = line.strip_prefix("//") {
            if text.is_empty() {
                comment += line;
                comment.push('\n');
            }
            continue;
        }
        let begins = !line.starts_with([' ', '#', '}', '{', '/', '*']) && !line.starts_with("typedef");
        if text.is_empty() && !(begins && line.contains("shm_") && line.contains('('))
            || line.contains("inline")
        {
            comment.clear();
            continue;
        }
        text += line.trim();
        text.push(' ');
        if !line.ends_with(';') {
            continue;
        }
        let declaration = std::mem::take(&mut text);
        let (before, arguments) = declaration.split_once('(').unwrap();
        let (returns, name) = split_name(before);
        let arguments = arguments.trim().trim_end_matches(';').trim_end_matches(')');
        let arguments = arguments
            .split(',')
            .map(str::trim)
            .filter(|argument| *argument != "void")
            .map(split_name)
            .collect();
        found.push(Function { name, returns, arguments, comment: std::mem::take(&mut comment) });
    }
    found
}

/// Type and name of a declaration.
fn split_name(declaration: &str) -> (String, String) {
    let declaration = declaration.trim().replace("struct ", "");
    let at = declaration.rfind([' ', '*']).unwrap() + 1;
    (declaration[..at].trim().to_owned(), declaration[at..].to_owned())
}

/// The types of handles: structs of one id.
fn handles(header: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let lines: Vec<&str> = header.lines().collect();
    for four in lines.windows(4) {
        if let Some(name) = four[0].strip_prefix("typedef struct ").and_then(|rest| rest.strip_suffix(" {"))
            && four[2].trim() == "uint64_t id;"
            && four[3].starts_with('}')
        {
            found.insert(name.to_owned());
        }
    }
    found
}

/// What a function's comment says about an argument.
fn said<'a>(all: &'a BTreeMap<&str, &Function>, function: &'a Function, argument: &str) -> String {
    let text = function.comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, parameters) = text.split_once("Parameters:").unwrap();
    let (parameters, _) = parameters.split_once("Returns:").unwrap();
    let mut said = String::new();
    if let Some(at) = parameters.find(&format!("`{argument}`")) {
        let rest = &parameters[at + argument.len() + 2..];
        // To the colon that belongs to this argument, over the names that share it, and on to the next argument's.
        let begin = rest.find("`: ").map_or(0, |at| if rest.starts_with(':') { 0 } else { at + 2 });
        let end = rest[begin..].find("`: ").map_or(rest.len(), |end| begin + end);
        let end = rest[begin..].find(". `").map_or(end, |end_of_sentence| end.min(begin + end_of_sentence));
        said = rest[begin..end].to_owned();
    }
    for other in ["as for `", "As for `"] {
        for (at, _) in parameters.match_indices(other) {
            let name = parameters[at + other.len()..].split('`').next().unwrap();
            if let Some(other) = all.get(name).filter(|other| other.name != function.name)
                && (said.is_empty() || said.contains(&format!("as for `{name}`")))
            {
                said += &self::said(all, other, argument);
            }
        }
    }
    said
}

/// A good value for an argument.
fn good(kinds: &BTreeSet<String>, kind: &str, name: &str, index: usize) -> String {
    let place = kind.strip_suffix('*').map(str::trim);
    match (kind, place) {
        _ if kinds.contains(kind) => format!("h{index}"),
        ("const char *", _) if name == "directory" => "getenv(\"SHM_TEST_FOLDER\")".to_owned(),
        ("const char *", _) if name == "entry" => "\"entry\"".to_owned(),
        ("const char *", _) => "name".to_owned(),
        (_, Some(place)) if ["info", "failure", "options"].contains(&name) => {
            let _ = place;
            format!("&s{index}")
        }
        (_, Some(_)) => format!("m{index}"),
        ("shm_dtype_t", _) => "shm_dtype(SHM_TYPE_INT, 8)".to_owned(),
        ("int32_t", _) if name == "descriptor" => "-1".to_owned(),
        ("uint64_t", _) if name == "length" && index == 1 => "65536".to_owned(),
        ("uint64_t" | "uint32_t" | "int32_t", _) => "1".to_owned(),
        ("int64_t", _) => "0".to_owned(),
        _ if is_number(kind) => "0".to_owned(),
        _ => format!("a_{kind}"),
    }
}

/// Whether a type of the header is an enumeration.
fn is_number(kind: &str) -> bool {
    header().contains(&format!("typedef int32_t {kind};"))
}

/// The calls of one function.
fn calls(text: &mut String, all: &BTreeMap<&str, &Function>, kinds: &BTreeSet<String>, function: &Function) {
    let Function { name, returns, arguments, .. } = function;
    writeln!(text, "static void test_{name}(void)\n{{").unwrap();
    writeln!(text, "    const char *name = unique(\"hostile\");\n    (void)name;").unwrap();
    let zeros: Vec<String> = arguments
        .iter()
        .map(|(kind, _)| match kind {
            kind if kinds.contains(kind) || kind == "shm_dtype_t" => format!("zero_{kind}"),
            kind if kind.ends_with('*')
                || kind.starts_with("shm_") && !is_number(kind) && kind != "shm_status_t" =>
            {
                "NULL".to_owned()
            }
            _ => "0".to_owned(),
        })
        .collect();
    let zeros = zeros.join(", ");
    if returns == "shm_status_t" && !HARMLESS.contains(&name.as_str()) {
        writeln!(
            text,
            "    CHECK({name}({zeros}) != SHM_STATUS_OK);\n    CHECK(strlen(shm_last_error()) > 10);"
        )
        .unwrap();
    } else {
        if OF_THE_MACHINE.contains(&name.as_str()) {
            writeln!(text, "    /* With zeros it would look at the whole machine. */").unwrap();
        } else {
            writeln!(text, "    (void){name}({zeros});").unwrap();
        }
    }
    if returns != "shm_status_t" {
        writeln!(text, "}}\n").unwrap();
        return;
    }
    // Good values.
    let mut goods = Vec::new();
    for (index, (kind, argument)) in arguments.iter().enumerate() {
        let value = good(kinds, kind, argument, index);
        let place = kind.trim_end_matches('*').trim().trim_start_matches("const ").to_owned();
        if value.starts_with('h') {
            writeln!(text, "    {kind} h{index} = good_{kind}();\n    (void)h{index};").unwrap();
        } else if value.starts_with("&s") {
            let init = place.trim_end_matches("_t").to_uppercase();
            writeln!(text, "    {place} s{index} = {init}_INIT;\n    (void)s{index};").unwrap();
        } else if value.starts_with('m') {
            writeln!(text, "    {kind} m{index} = ({kind})good_memory();\n    (void)m{index};").unwrap();
        }
        goods.push(value);
    }
    let call = |bad: usize, value: &str| {
        let mut values = goods.clone();
        values[bad] = value.to_owned();
        format!("{name}({})", values.join(", "))
    };
    for (index, (kind, argument)) in arguments.iter().enumerate() {
        if kinds.contains(kind) {
            let other = if kind == "shm_event_t" { "shm_latch_t" } else { "shm_event_t" };
            writeln!(text, "    {kind} b{index} = {{ 0 }};").unwrap();
            let mut refused = |first: &str, second: &str| {
                let bad = call(index, &format!("b{index}"));
                writeln!(text, "    REFUSED(SHM_STATUS_{first}, SHM_STATUS_{second}, {bad});").unwrap();
            };
            refused("INVALID_HANDLE", "INVALID_HANDLE");
            for forged in ["UINT64_MAX", "1", "UINT64_C(0x0000000128000000)"] {
                writeln!(text, "    b{index}.id = {forged};").unwrap();
                let bad = call(index, &format!("b{index}"));
                writeln!(text, "    REFUSED(SHM_STATUS_INVALID_HANDLE, SHM_STATUS_WRONG_KIND, {bad});")
                    .unwrap();
            }
            let end = if matches!(
                kind.as_str(),
                "shm_contents_t"
                    | "shm_list_t"
                    | "shm_exclusive_t"
                    | "shm_pool_t"
                    | "shm_background_t"
                    | "shm_kept_t"
            ) {
                "free"
            } else {
                "detach"
            };
            let end = format!("{}_{end}", kind.trim_end_matches("_t"));
            writeln!(text, "    b{index} = good_{kind}();\n    OK({end}(b{index}));").unwrap();
            let bad = call(index, &format!("b{index}"));
            writeln!(text, "    REFUSED(SHM_STATUS_INVALID_HANDLE, SHM_STATUS_INVALID_HANDLE, {bad});")
                .unwrap();
            writeln!(text, "    b{index}.id = good_{other}().id;").unwrap();
            writeln!(text, "    REFUSED(SHM_STATUS_WRONG_KIND, SHM_STATUS_WRONG_KIND, {bad});").unwrap();
        } else if zeros.split(", ").nth(index) == Some("NULL") {
            if OF_THE_MACHINE.contains(&name.as_str()) && argument == "directory" {
                continue;
            }
            let bad = call(index, "NULL");
            if said(all, function, argument).contains("NULL")
                || argument == "user"
                || argument.ends_with("_user")
            {
                writeln!(text, "    ALONE((void){bad});").unwrap();
            } else {
                // A place for a primitive is an address first.
                let other = if argument == "address" { "MISALIGNED" } else { "INVALID_ARGUMENT" };
                writeln!(
                    text,
                    "    REFUSED(SHM_STATUS_INVALID_ARGUMENT, SHM_STATUS_{other}, {bad}); /* NULL */"
                )
                .unwrap();
            }
        }
    }
    writeln!(text, "}}\n").unwrap();
}

fn program() -> String {
    let header = header();
    let functions = functions(&header);
    assert!(functions.len() > 250, "{}", functions.len());
    let kinds = handles(&header);
    assert!(kinds.len() >= 22, "{kinds:?}");
    let all: BTreeMap<&str, &Function> =
        functions.iter().map(|function| (function.name.as_str(), function)).collect();
    let mut text = String::from("#include \"hostile.h\"\n\nstatic shm_dtype_t zero_shm_dtype_t;\n");
    for kind in &kinds {
        writeln!(text, "static {kind} zero_{kind};").unwrap();
    }
    text.push('\n');
    for function in &functions {
        calls(&mut text, &all, &kinds, function);
    }
    let (all, pointers) = (text.matches("    REFUSED(").count(), text.matches("/* NULL */").count());
    assert!(all > 1500 && pointers > 200, "{all} calls to be refused, {pointers} of them for a pointer");
    text += "int main(void)\n{\n";
    for function in &functions {
        writeln!(text, "    test_{}();", function.name).unwrap();
    }
    text += "    puts(\"hostile: all well\");\n    return 0;\n}\n";
    text
}

fn run(valgrind: bool, flags: &[&str]) {
    let _watchdog = Watchdog::new(Duration::from_secs(580));
    let folder = Scratch::new("hostile");
    let (source, binary) = (folder.path.join("hostile.c"), folder.path.join("hostile"));
    std::fs::write(&source, program()).unwrap();
    let home = Path::new(HOME).join("tests/c");
    let home = format!("-I{}", home.display());
    let mut all = vec!["-std=c99", "-D_GNU_SOURCE", "-Wno-unused-function", &home];
    all.extend(flags);
    compile("cc", &all, &source, &binary);
    let prefix = format!("{}-", unique_name("hostile"));
    let _cleanup = Prefix(prefix.clone());
    let files = folder.path.join("files");
    std::fs::create_dir(&files).unwrap();
    let mut command = if valgrind {
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=9"]).arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    command
        .env("SHM_TEST_PREFIX", &prefix)
        .env("SHM_TEST_FOLDER", &files)
        .env("ASAN_OPTIONS", "detect_leaks=0");
    let output = succeed(&mut command);
    assert!(String::from_utf8_lossy(&output.stdout).contains("hostile: all well"));
}

#[test]
fn every_function_refuses_what_it_must() {
    run(false, &[]);
}

#[test]
fn every_function_refuses_under_address_sanitizer() {
    if support::sanitizer_works() {
        run(false, &["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
}

#[test]
fn every_function_refuses_under_valgrind() {
    if has("valgrind", "bad input under valgrind") {
        run(true, &[]);
    }
}
