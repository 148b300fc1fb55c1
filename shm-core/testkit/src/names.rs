//! Names in `/dev/shm` for tests: unique, removed on the way out, and listed when somebody forgot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where named segments live.
const SHM_DIR: &str = "/dev/shm";

/// A name that no other test uses: `shmtest-PID-COUNTER-` followed by `what`.
///
/// The pid is that of the calling process, so ask for the name before a fork and let the child inherit it.
///
/// # Examples
/// ```
/// let name = shm_testkit::unique_name("create");
/// assert!(name.starts_with("shmtest-") && name.ends_with("-create"));
/// assert_ne!(name, shm_testkit::unique_name("create"));
/// ```
#[must_use]
pub fn unique_name(what: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{}{}-{what}", own_prefix(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// What all names of this process begin with.
fn own_prefix() -> String {
    format!("shmtest-{}-", process::id())
}

/// Removes what this process's tests made in `/dev/shm` under unique names.
pub(crate) fn remove_own() {
    for name in leftovers(&own_prefix()) {
        remove(&Path::new(SHM_DIR).join(name));
    }
}

/// The names in `/dev/shm` that begin with `prefix`, sorted; those that are not UTF-8 with replacement characters.
///
/// # Panics
/// When `/dev/shm` cannot be read.
///
/// # Examples
/// ```
/// assert!(shm_testkit::leftovers("shmtest-no-such-test-").is_empty());
/// ```
#[must_use]
pub fn leftovers(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(SHM_DIR).unwrap_or_else(|error| panic!("cannot list {SHM_DIR}: {error}"));
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Removes files when it is dropped, also when the test panics; what does not exist is no error.
///
/// Only the process that made the guard removes anything: a forked child may drop its inherited copy.
///
/// # Examples
/// ```
/// use shm_testkit::{Cleanup, leftovers, unique_name};
///
/// let name = unique_name("doc");
/// let cleanup = Cleanup::of([&name]);
/// std::fs::write(format!("/dev/shm/{name}"), "some bytes")?;
/// drop(cleanup);
/// assert!(leftovers(&name).is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Cleanup {
    process: u32,
    paths: Vec<PathBuf>,
}

impl Cleanup {
    /// Makes a guard for `names`: names in `/dev/shm`, or absolute paths of files and folders anywhere.
    ///
    /// # Examples
    /// ```
    /// let _cleanup = shm_testkit::Cleanup::of([shm_testkit::unique_name("doc")]);
    /// ```
    #[must_use = "the files are removed when the guard is dropped"]
    pub fn of<N: AsRef<Path>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut cleanup = Self { process: process::id(), paths: Vec::new() };
        for name in names {
            cleanup.add(name);
        }
        cleanup
    }

    /// Adds one more name or absolute path.
    ///
    /// # Examples
    /// ```
    /// let mut cleanup = shm_testkit::Cleanup::of([shm_testkit::unique_name("first")]);
    /// cleanup.add(shm_testkit::unique_name("second"));
    /// ```
    pub fn add(&mut self, name: impl AsRef<Path>) {
        self.paths.push(Path::new(SHM_DIR).join(name));
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        if self.process == process::id() {
            self.paths.iter().for_each(|path| remove(path));
        }
    }
}

/// Removes a file, or a folder with what is in it; symbolic links are not followed, and failures are ignored
/// because most names are gone when all went well.
fn remove(path: &Path) {
    let _ = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
}
