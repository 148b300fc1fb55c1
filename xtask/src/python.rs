//! The Python package in the tests: interpreters are found, a wheel is built once, and each interpreter tests it in a fresh virtual environment.
//!
//! Everything lies under Cargo's target folder. What this machine lacks (Python, pip, a way to a package index) is a reason to skip, which is
//! said; a package that does not build is a failed test. The tests print their result as Rust's harness does (`tests/conftest.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::Program;
use crate::workspace::Workspace;

/// Where the package is, from the root of the repository.
const PACKAGE: &str = "shm-ffi/python";
/// What the tests need besides the package and what it depends on.
const FOR_TESTS: &[&str] = &["pytest", "mypy", "joblib", "ml_dtypes"];
/// What the package is measured beside.
const FOR_BENCHES: &[&str] = &["numpy", "SharedArray"];
const OLDEST: Version = (3, 9, 0);
/// The tool that builds wheels.
const MATURIN: &str = "maturin>=1.9,<2";

type Version = (u32, u32, u32);

/// One step: its name and the program, or why it cannot run here.
pub(crate) type Planned = (String, Result<Program, String>);

/// The wheel's build, and behind it the tests under the oldest and the newest interpreter at hand. The environments are made now.
pub(crate) fn steps(workspace: &Workspace, filter: Option<&str>) -> Vec<Planned> {
    let found = interpreters(&candidates());
    let (Some(oldest), Some(newest)) = (found.first_key_value(), found.last_key_value()) else {
        let why = "no CPython 3.9 or newer with venv and pip is on the search path or in pyenv".to_owned();
        return vec![("python".to_owned(), Err(why))];
    };
    let home = workspace.target.join("python");
    let wheels = home.join("wheels");
    let _ = fs::remove_dir_all(&wheels);
    println!("==> python: makes the environments in {}", home.display());
    let build = environment(&home.join("build"), newest.1, &[MATURIN]);
    let mut steps = vec![("python wheel".to_owned(), build.map(|python| wheel(workspace, &python, &wheels)))];
    let mut tested = vec![oldest];
    if newest != oldest {
        tested.push(newest);
    }
    for (version, interpreter) in tested {
        let name = format!("python {}.{}", version.0, version.1);
        let place = home.join(format!("{}.{}", version.0, version.1));
        let mut needs = vec!["numpy"];
        needs.extend(FOR_TESTS);
        let program =
            environment(&place, interpreter, &needs).map(|python| tests(workspace, &python, &wheels, filter));
        steps.push((name, program));
    }
    steps
}

/// The newest interpreter at hand, in an environment with the package as it is now and what it is measured beside.
///
/// The environment is kept from one run of the benches to the next.
///
/// # Errors
/// What this machine lacks; or that the package does not build, which is said besides.
pub(crate) fn for_benches(workspace: &Workspace) -> Result<PathBuf, String> {
    let found = interpreters(&candidates());
    let (_, interpreter) =
        found.last_key_value().ok_or("no CPython 3.9 or newer with venv and pip was found")?;
    let home = workspace.target.join("python");
    let kept = |name: &str, packages: &[&str]| {
        let place = home.join(name);
        let python = place.join("bin").join("python");
        // Asked for again, pip says without a look at any index that all is there; or it is not.
        let there =
            pip(&python, &["install", "--quiet", "--no-index"]).args(packages.iter().copied()).probe();
        let right = || {
            let version = |python: &Path| Program::new(&path(python)).args(["-V"]).probe();
            version(&python) == version(interpreter)
        };
        if there.is_ok() && right() { Ok(python) } else { environment(&place, interpreter, packages) }
    };
    let (build, python) = (kept("build", &[MATURIN])?, kept("bench", FOR_BENCHES)?);
    let wheels = home.join("bench-wheels");
    let _ = fs::remove_dir_all(&wheels);
    let built = wheel(workspace, &build, &wheels).run(true);
    if let Some(fault) = built.fault {
        return Err(format!("the package does not build ({fault})"));
    }
    let wheel =
        fs::read_dir(&wheels).into_iter().flatten().flatten().next().ok_or("maturin made no wheel")?;
    pip(
        &python,
        &["install", "--quiet", "--no-index", "--no-deps", "--force-reinstall", &path(&wheel.path())],
    )
    .probe()
    .map_err(|said| format!("pip fails: {said}"))?;
    Ok(python)
}

/// The programs that may be interpreters.
fn candidates() -> Vec<PathBuf> {
    let is_python = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let minor = name.strip_prefix("python3").map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        minor.is_some_and(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let files = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .iter()
        .flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .collect();
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| std::env::home_dir().map(|home| home.join(".pyenv")));
    let tool_cache = std::env::var_os("RUNNER_TOOL_CACHE").map(|cache| PathBuf::from(cache).join("Python"));
    for versions in pyenv.map(|root| root.join("versions")).into_iter().chain(tool_cache) {
        for version in files(&versions) {
            folders.push(version.join("bin"));
            // CI's tool cache has a folder for each kind of processor between.
            folders.extend(files(&version).into_iter().map(|folder| folder.join("bin")));
        }
    }
    folders.iter().flat_map(|folder| files(folder)).filter(is_python).collect()
}

/// The ones among them that can be used, by version.
fn interpreters(candidates: &[PathBuf]) -> BTreeMap<Version, PathBuf> {
    const QUESTION: &str = "import sys, sysconfig, platform, venv, ensurepip\n\
        assert platform.python_implementation() == 'CPython' and not sysconfig.get_config_var('Py_GIL_DISABLED')\n\
        print(*sys.version_info[:3])";
    let mut found = BTreeMap::new();
    for path in candidates {
        let answer = Program::new(&path.to_string_lossy()).args(["-I", "-c", QUESTION]).probe();
        if let Some(version) = answer.ok().and_then(|answer| version(&answer))
            && version >= OLDEST
        {
            found.entry(version).or_insert_with(|| path.clone());
        }
    }
    found
}

fn version(answer: &str) -> Option<Version> {
    let mut numbers = answer.split_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// Makes a virtual environment anew, with these packages in it, and returns its interpreter.
fn environment(place: &Path, interpreter: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(place);
    let why = |what: &'static str| move |said: String| format!("{what}: {said}");
    Program::new(&interpreter.to_string_lossy())
        .args(["-I", "-m", "venv", &place.to_string_lossy()])
        .probe()
        .map_err(why("no virtual environment"))?;
    let python = place.join("bin").join("python");
    pip(&python, &["install", "--quiet"]).args(packages.iter().copied()).probe().map_err(why("pip fails"))?;
    Ok(python)
}

fn pip(python: &Path, words: &[&str]) -> Program {
    Program::new(&python.to_string_lossy())
        .args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
        .args(words.iter().copied())
}

/// Builds the wheel.
fn wheel(workspace: &Workspace, python: &Path, wheels: &Path) -> Program {
    let maturin = python.with_file_name("maturin");
    Program::new(&maturin.to_string_lossy())
        .args(["build", "--release", "--locked", "--manifest-path"])
        .args([path(&workspace.root.join(PACKAGE).join("Cargo.toml"))])
        .args(["--interpreter", &path(python), "--out", &path(wheels)])
}

/// Installs the wheel, and tests what was installed.
fn tests(workspace: &Workspace, python: &Path, wheels: &Path, filter: Option<&str>) -> Program {
    let package = workspace.root.join(PACKAGE);
    let script = r#""$1" -m pip --disable-pip-version-check install --quiet --no-index --no-deps "$2"/*.whl && shift 2 && exec "$@""#;
    let program = Program::new("sh")
        .args(["-c", script, "sh", &path(python), &path(wheels), &path(python)])
        .args([
            "-m",
            "pytest",
            "--quiet",
            "-p",
            "no:cacheprovider",
            "-c",
            &path(&package.join("pyproject.toml")),
        ])
        .args([path(&package.join("tests"))])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    match filter {
        Some(filter) => program.args(["--only", filter]),
        None => program,
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("3 13 0\n"), Some((3, 13, 0)));
        assert_eq!(version("3 13"), None);
        assert_eq!(version("Python 3.13.0"), None);
    }

    #[test]
    fn what_is_no_interpreter_is_passed_over() {
        assert!(interpreters(&["/bin/true".into(), "/no/such/python3".into()]).is_empty());
    }

    #[test]
    fn the_filter_reaches_the_tests() {
        let workspace = Workspace { root: "/r".into(), target: "/t".into(), packages: Vec::new() };
        let line =
            super::tests(&workspace, Path::new("/v/bin/python"), Path::new("/w"), Some("pickle")).line();
        assert!(line.ends_with("/r/shm-ffi/python/tests --only pickle"), "{line}");
        assert!(line.contains("/v/bin/python -m pytest"), "{line}");
    }
}
