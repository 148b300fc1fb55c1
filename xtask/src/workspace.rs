//! The workspace as `cargo metadata` describes it: where it lies, its packages, their targets and dependencies.
//!
//! Only facts; what is allowed is for `layering`, what is run for `test` and `bench`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the commands need to know of the repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the environment or a configuration file puts it.
    pub(crate) target: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// One member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// Something that Cargo builds: a library, a program, a test, a bench.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// A dependency as the manifest declares it.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether only tests, examples and benches use it.
    pub(crate) dev: bool,
}

impl Workspace {
    /// Asks Cargo about the workspace that this program belongs to.
    ///
    /// # Errors
    /// When Cargo does not run or refuses a manifest; its own message has then been printed.
    pub(crate) fn load() -> Result<Self, String> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let manifest = manifest.to_str().ok_or("the path of the repository is not UTF-8: move it")?;
        let metadata = cargo_metadata(&["--no-deps", "--manifest-path", manifest], Stdio::inherit())?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| "`cargo metadata` printed something unexpected".to_owned())
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let packages = metadata["packages"].as_array()?.iter().map(Package::from_metadata);
        Some(Self {
            root: metadata["workspace_root"].as_str()?.into(),
            target: metadata["target_directory"].as_str()?.into(),
            packages: packages.collect::<Option<_>>()?,
        })
    }

    /// The member of that name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    fn from_metadata(package: &Value) -> Option<Self> {
        let targets = package["targets"].as_array()?.iter().map(|target| {
            let kind = target["kind"].get(0)?.as_str()?.to_owned();
            Some(Target { kind, name: target["name"].as_str()?.to_owned() })
        });
        let dependencies = package["dependencies"].as_array()?.iter().map(|dependency| {
            let name = dependency["name"].as_str()?.to_owned();
            Some(Dependency { name, dev: dependency["kind"] == "dev" })
        });
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            version: package["version"].as_str()?.to_owned(),
            targets: targets.collect::<Option<_>>()?,
            dependencies: dependencies.collect::<Option<_>>()?,
        })
    }

    /// The names of the targets of that kind (`test`, `bench`, `bin`).
    pub(crate) fn targets_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets.iter().filter(move |target| target.kind == kind).map(|target| target.name.as_str())
    }
}

/// Runs `cargo metadata` with `options` and returns what it printed; `messages` says where its complaints go.
///
/// # Errors
/// When Cargo does not run, fails, or prints no JSON.
pub(crate) fn cargo_metadata(options: &[&str], messages: Stdio) -> Result<Value, String> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .stderr(messages)
        .output()
        .map_err(|error| format!("cannot run `cargo metadata`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata` failed ({})", output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))
}

/// The Cargo that started this program, or else the one on the search path.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({
            "workspace_root": "/r", "target_directory": "/t",
            "packages": [{
                "name": "a",
                "version": "1.2.3",
                "targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["test"], "name": "kill"}],
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}],
            }],
        });
        let workspace = Workspace::from_metadata(&metadata).unwrap();
        assert_eq!(workspace.root, Path::new("/r"));
        assert_eq!(workspace.target, Path::new("/t"));
        let package = workspace.package("a").unwrap();
        assert_eq!(package.targets_of("test").collect::<Vec<_>>(), ["kill"]);
        let dev: Vec<_> = package.dependencies.iter().map(|d| (d.name.as_str(), d.dev)).collect();
        assert_eq!(dev, [("b", false), ("c", true)]);
        assert!(workspace.package("b").is_none());
    }

    #[test]
    fn metadata_without_packages_is_refused() {
        assert!(Workspace::from_metadata(&serde_json::json!({"workspace_root": "/r"})).is_none());
    }
}
