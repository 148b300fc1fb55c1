//! `cargo xtask install --prefix DIR`: builds the C library and lays it down with its headers, a pkg-config file and a CMake package.
//!
//! What is laid down can be moved as a whole: no file names the prefix.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::process::Program;
use crate::workspace::Workspace;

const PACKAGE: &str = "shm-ffi";

/// Options of `cargo xtask install`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that gets lib and include, such as /usr/local
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// Cargo's profile to build with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

/// Builds and installs.
///
/// # Errors
/// When the library does not build, or something cannot be written.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, String> {
    let version = &workspace.package(PACKAGE).ok_or("there is no package shm-ffi")?.version;
    let program = Program::cargo(["build", "--package", PACKAGE, "--lib", "--profile", &args.profile]);
    eprintln!("==> {}", program.line());
    if let Some(fault) = program.run(true).fault {
        return Err(format!("the library was not built ({fault})"));
    }
    // Cargo's profiles `dev` and `test` share a folder, as `release` and `bench` do.
    let folder = match args.profile.as_str() {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let built = workspace.target.join(folder);
    let home = workspace.root.join(PACKAGE);
    for (from, to, mode) in files(version) {
        let from = match from {
            From::Built(name) => Text::Copy(built.join(name)),
            From::Source(name) => Text::Copy(home.join(name)),
            From::Template(name) => Text::Fill(home.join(name)),
        };
        put(&from, &args.prefix.join(&to), mode, version)?;
        println!("{}", args.prefix.join(to).display());
    }
    for (link, target) in links(version) {
        let link = args.prefix.join(link);
        let _ = fs::remove_file(&link);
        symlink(target, &link).map_err(|error| format!("cannot make {}: {error}", link.display()))?;
        println!("{}", link.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a file comes from.
enum From {
    /// Cargo's output.
    Built(&'static str),
    /// The folder of the crate.
    Source(&'static str),
    /// The same, with the version to be filled in.
    Template(&'static str),
}

enum Text {
    Copy(PathBuf),
    Fill(PathBuf),
}

/// What is laid down: from where, to where below the prefix, with which permissions.
fn files(version: &str) -> Vec<(From, String, u32)> {
    let file = |from, to: &str| (from, to.to_owned(), 0o644);
    let mut files = vec![
        (From::Built("libshm.so"), format!("lib/libshm.so.{version}"), 0o755),
        file(From::Built("libshm.a"), "lib/libshm.a"),
        file(From::Template("install/shm.pc.in"), "lib/pkgconfig/shm.pc"),
        file(From::Template("install/shmConfig.cmake.in"), "lib/cmake/shm/shmConfig.cmake"),
        file(From::Template("install/shmConfigVersion.cmake.in"), "lib/cmake/shm/shmConfigVersion.cmake"),
    ];
    files.extend(HEADERS.iter().map(|header| file(From::Source(header), header)));
    files
}

/// The headers, below the crate and below the prefix.
const HEADERS: [&str; 8] = [
    "include/shm.h",
    "include/shm.hpp",
    "include/shm/arrays.hpp",
    "include/shm/base.hpp",
    "include/shm/channels.hpp",
    "include/shm/locks.hpp",
    "include/shm/pool.hpp",
    "include/shm/signals.hpp",
];

/// The names that the loader and the linker look for, each with what it leads to.
fn links(version: &str) -> [(String, String); 2] {
    let soname = format!("libshm.so.{}", part(version, 0));
    [(format!("lib/{soname}"), format!("libshm.so.{version}")), ("lib/libshm.so".to_owned(), soname)]
}

fn part(version: &str, place: usize) -> &str {
    version.split('.').nth(place).unwrap_or("0")
}

fn fill(template: &str, version: &str) -> String {
    template
        .replace("@VERSION@", version)
        .replace("@MAJOR@", part(version, 0))
        .replace("@MINOR@", part(version, 1))
}

/// Writes one file. A library that programs are using is replaced, not overwritten: they keep theirs.
fn put(from: &Text, to: &Path, mode: u32, version: &str) -> Result<(), String> {
    let (Text::Copy(source) | Text::Fill(source)) = from;
    let bytes = fs::read(source).map_err(|error| format!("cannot read {}: {error}", source.display()))?;
    let bytes = match from {
        Text::Copy(_) => bytes,
        Text::Fill(_) => fill(&String::from_utf8_lossy(&bytes), version).into_bytes(),
    };
    let write = || {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut fresh = to.as_os_str().to_owned();
        fresh.push(".new");
        fs::write(&fresh, bytes)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        fs::rename(&fresh, to)
    };
    write().map_err(|error: std::io::Error| format!("cannot write {}: {error}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_version() {
        let [soname, plain] = links("1.2.3");
        assert_eq!(soname, ("lib/libshm.so.1".to_owned(), "libshm.so.1.2.3".to_owned()));
        assert_eq!(plain, ("lib/libshm.so".to_owned(), "libshm.so.1".to_owned()));
        assert_eq!(fill("@MAJOR@.@MINOR@ of @VERSION@", "1.2.3"), "1.2 of 1.2.3");
    }

    #[test]
    fn templates_leave_nothing_open() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(PACKAGE);
        for (from, to, _) in files("1.2.3") {
            if let From::Template(name) = from {
                let text = fill(&fs::read_to_string(home.join(name)).unwrap(), "1.2.3");
                assert!(text.contains("1.2.3") && !text.contains('@'), "{to}:\n{text}");
            }
        }
    }
}
