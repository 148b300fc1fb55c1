//! House rules for source files that no compiler checks: the header, the length, and a reason wherever unsafe code is opened.
//!
//! The workspace denies `unsafe_code`, so a file cannot hold any without the `allow` looked for here; that each unsafe block is
//! justified is clippy's business.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// Past this many lines a file surely holds a second idea.
const MAX_LINES: usize = 800;

/// Checks every Rust file of the repository.
///
/// # Errors
/// One sentence for each breach, beginning with the path of the file.
pub(crate) fn check(workspace: &Workspace) -> Result<String, Vec<String>> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    if let Err(error) = rust_files(&workspace.root, &workspace.target, &mut files) {
        faults.push(format!("cannot read the sources: {error}"));
    }
    files.sort();
    let mut opened = 0;
    for path in &files {
        let short = path.strip_prefix(&workspace.root).unwrap_or(path).display();
        match fs::read_to_string(path) {
            Ok(text) => {
                faults.extend(judge(&text).into_iter().map(|fault| format!("{short}: {fault}")));
                opened += usize::from(!openings(&text).is_empty());
            }
            Err(error) => faults.push(format!("{short}: cannot be read: {error}")),
        }
    }
    if faults.is_empty() {
        Ok(format!("{} files, {opened} with unsafe code", files.len()))
    } else {
        Err(faults)
    }
}

/// Collects the Rust files below `folder`, without the target folders (any that Cargo has tagged) and hidden ones.
fn rust_files(folder: &Path, target: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() {
            if !hidden && path != target && !path.join("CACHEDIR.TAG").exists() {
                rust_files(&path, target, found)?;
            }
        } else if !hidden && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// What is wrong with a file of this text.
fn judge(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push("must begin with `//!`: what it is and what it leaves to others".to_owned());
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{lines} lines, {MAX_LINES} are the limit: look for a second idea"));
    }
    for opening in openings(text) {
        let Opening { line, inner, reason } = opening;
        if !inner {
            faults.push(format!(
                "line {line} opens unsafe code for an item: open it for the file, at its head"
            ));
        }
        if reason.is_none_or(|reason| reason.trim().is_empty()) {
            faults.push(format!("line {line} opens unsafe code without saying why: add `reason = \"...\"`"));
        }
    }
    faults
}

/// An attribute that opens unsafe code.
struct Opening<'a> {
    line: usize,
    /// For the whole file (`#![...]`) or for one item.
    inner: bool,
    reason: Option<&'a str>,
}

/// Finds the attributes that allow or expect `unsafe_code`; comments and strings are not attributes. What follows a `macro_rules!`
/// is left out: its items are for the crates that call the macro, where a file's attribute would not reach.
fn openings(text: &str) -> Vec<Opening<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let rest = text[start..].trim_start();
        start += line.len();
        let line = line.trim_start();
        if line.starts_with("macro_rules!") {
            break;
        }
        let inner = line.starts_with("#![");
        if !inner && !line.starts_with("#[") {
            continue;
        }
        let body = rest.trim_start_matches(['#', '!', '[']);
        let Some(lints) = ["allow(", "expect("].iter().find_map(|verb| body.strip_prefix(verb)) else {
            continue;
        };
        // The lints stand before the reason, and the reason may hold brackets of its own.
        let (names, reason) = match lints.find("reason") {
            Some(at) if !lints[..at].contains(']') => {
                let quoted = lints[at..].split_once('"').and_then(|(_, rest)| rest.split_once('"'));
                (&lints[..at], quoted.map(|(reason, _)| reason))
            }
            _ => (lints.split(']').next().unwrap_or(lints), None),
        };
        if names.contains("unsafe_code") {
            found.push(Opening { line: index + 1, inner, reason });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_file_passes() {
        assert_eq!(judge("//! Sums.\n\nfn f() {}\n"), [""; 0]);
    }

    #[test]
    fn opened_file_with_reason_passes() {
        let text = "//! Calls.\n#![allow(unsafe_code, reason = \"system calls [all]\")]\nfn f() {}\n";
        assert_eq!(judge(text), [""; 0]);
        let text = "//! Calls.\n#![allow(\n    unsafe_code,\n    reason = \"raw system calls\"\n)]\n";
        assert_eq!(judge(text), [""; 0]);
        let text = "//! Calls.\n#![expect(unsafe_code, reason = \"raw system calls\")]\n";
        assert_eq!(judge(text), [""; 0]);
    }

    #[test]
    fn breaches_are_found() {
        let fault = |text: &str| judge(text).join("\n");
        assert!(fault("fn f() {}\n").contains("must begin with"));
        assert!(fault(&format!("//! Long.\n{}", "\n".repeat(MAX_LINES))).contains("801 lines"));
        assert!(fault("//! A.\n#![allow(unsafe_code)]\n").contains("without saying why"));
        assert!(fault("//! A.\n#![allow(unsafe_code, reason = \" \")]\n").contains("without saying why"));
        // A reason that belongs to the next attribute does not count.
        let text =
            "//! A.\n#![allow(unsafe_code)]\n#![allow(dead_code, reason = \"used on one target only\")]\n";
        assert!(fault(text).contains("without saying why"));
        let text = "//! A.\n    #[allow(unsafe_code, reason = \"raw system calls\")]\nfn f() {}\n";
        assert!(fault(text).contains("line 2 opens unsafe code for an item"));
        let text = "//! A.\n#![allow(unsafe_code, reason = \"raw system calls\")]\n\n#[expect(unsafe_code)]\nfn f() {}\n";
        assert!(fault(text).contains("line 4 opens unsafe code without saying why"));
    }

    #[test]
    fn macros_open_for_their_callers() {
        let text = "//! A.\nmacro_rules! m {\n    () => {\n        #[allow(unsafe_code)]\n    };\n}\n";
        assert_eq!(judge(text), [""; 0]);
    }

    #[test]
    fn mentions_are_not_openings() {
        assert!(openings("//! `#![allow(unsafe_code)]` is looked for.\n").is_empty());
        assert!(openings("//! A.\n#![allow(dead_code, reason = \"unsafe_code is elsewhere\")]\n").is_empty());
    }
}
