//! What the tests leave behind in `/dev/shm`: names that were not there before and are still there a while after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where named segments live.
const SHM: &str = "/dev/shm";

/// The names in a folder at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// The names in `/dev/shm` now; none where there is no such folder.
    pub(crate) fn take() -> Self {
        Self(names(Path::new(SHM)))
    }

    /// The names that have come since and stay: a killed child may take a moment to go, so it looks again for three seconds.
    pub(crate) fn news(&self) -> Vec<String> {
        self.news_in(Path::new(SHM), 15)
    }

    fn news_in(&self, folder: &Path, looks: u32) -> Vec<String> {
        let mut left: BTreeSet<String> = names(folder).difference(&self.0).cloned().collect();
        for _ in 0..looks {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            left = names(folder).intersection(&left).cloned().collect();
        }
        left.into_iter().collect()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test, removed at the end.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("shm-xtask-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_news_are_reported() {
        let folder = Folder::new("news");
        fs::write(folder.0.join("old"), "").unwrap();
        let before = Snapshot(names(&folder.0));
        assert_eq!(before.news_in(&folder.0, 1), [""; 0]);
        fs::write(folder.0.join("new"), "").unwrap();
        assert_eq!(before.news_in(&folder.0, 1), ["new"]);
    }

    #[test]
    fn what_goes_soon_is_forgiven() {
        let folder = Folder::new("soon");
        let before = Snapshot(names(&folder.0));
        let soon = folder.0.join("soon");
        fs::write(&soon, "").unwrap();
        let remover = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            fs::remove_file(soon).unwrap();
        });
        assert_eq!(before.news_in(&folder.0, 100), [""; 0]);
        remover.join().unwrap();
    }

    #[test]
    fn missing_folder_has_no_names() {
        assert!(names(Path::new("/no/such/folder")).is_empty());
    }
}
