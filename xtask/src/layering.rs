//! Which crate of the workspace may use which: core <- sync <- pool <- ffi, and no way back.
//!
//! Judged by the manifests alone, dependencies for tests included: a test in a lower layer that needs an upper one belongs there.

use crate::workspace::Workspace;

/// Each member with the members that it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("shm-core", &[]),
    ("shm-sync", &["shm-core"]),
    ("shm-pool", &["shm-core", "shm-sync"]),
    ("shm-ffi", &["shm-core", "shm-sync", "shm-pool"]),
    ("shm-python", &["shm-core", "shm-sync", "shm-pool"]),
    ("shm-bench", &["shm-core", "shm-sync", "shm-pool", "shm-ffi"]),
    ("shm-testkit", &[]),
    ("xtask", &[]),
];

/// Test helpers: every member may use it, in tests only.
const TEST_HELPERS: &str = "shm-testkit";

/// Checks the dependencies between the members.
///
/// # Errors
/// One sentence for each dependency that is not allowed, and for each member that the table does not know.
pub(crate) fn check(workspace: &Workspace) -> Result<String, Vec<String>> {
    let mut faults = Vec::new();
    let mut edges = 0;
    for package in &workspace.packages {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            faults.push(format!(
                "{}: has no line in the table of xtask/src/layering.rs: add one",
                package.name
            ));
            continue;
        };
        let inner = package.dependencies.iter().filter(|used| workspace.package(&used.name).is_some());
        for used in inner {
            edges += 1;
            let for_tests = used.dev && used.name == TEST_HELPERS;
            if !for_tests && !allowed.contains(&used.name.as_str()) {
                let which = if used.dev { "dev-dependencies" } else { "dependencies" };
                let allowed = if allowed.is_empty() { "no member".to_owned() } else { allowed.join(", ") };
                faults.push(format!(
                    "{}: {} stands in its {which}, but it may use {allowed}",
                    package.name, used.name
                ));
            }
        }
    }
    if faults.is_empty() {
        Ok(format!("{} crates, {edges} dependencies between them", workspace.packages.len()))
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Dependency, Package};

    fn workspace(packages: &[(&str, &[(&str, bool)])]) -> Workspace {
        let package = |(name, used): &(&str, &[(&str, bool)])| Package {
            name: (*name).to_owned(),
            version: String::new(),
            targets: Vec::new(),
            dependencies: used
                .iter()
                .map(|(name, dev)| Dependency { name: (*name).to_owned(), dev: *dev })
                .collect(),
        };
        Workspace { root: "/r".into(), target: "/t".into(), packages: packages.iter().map(package).collect() }
    }

    #[test]
    fn one_way_passes() {
        let good = workspace(&[
            ("shm-core", &[("libc", false), ("shm-testkit", true)]),
            ("shm-sync", &[("shm-core", false)]),
            ("shm-pool", &[("shm-core", false), ("shm-sync", false)]),
            ("shm-testkit", &[]),
        ]);
        assert_eq!(check(&good).unwrap(), "4 crates, 4 dependencies between them");
    }

    #[test]
    fn back_edges_are_named() {
        let bad = workspace(&[
            ("shm-core", &[("shm-sync", true), ("shm-testkit", false)]),
            ("shm-sync", &[("shm-core", false)]),
            ("shm-testkit", &[]),
        ]);
        let faults = check(&bad).unwrap_err();
        assert_eq!(
            faults,
            [
                "shm-core: shm-sync stands in its dev-dependencies, but it may use no member",
                "shm-core: shm-testkit stands in its dependencies, but it may use no member",
            ]
        );
    }

    #[test]
    fn unknown_member_is_a_fault() {
        assert!(check(&workspace(&[("shm-new", &[])])).unwrap_err()[0].contains("shm-new: has no line"));
    }
}
