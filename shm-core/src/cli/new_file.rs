//! A file that appears under its name when it is complete, and not at all otherwise.
//!
//! It is written without a name (`O_TMPFILE`), so that not even SIGKILL leaves a part of it. Some file systems (NFS, FUSE) know no such
//! files: there it has a hidden name meanwhile, which is removed on all ways out but SIGKILL; see open(2).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::cli::failure::system;
use crate::cli::signals::Deferred;

/// A file on its way.
pub(crate) struct NewFile {
    /// Its name in the end.
    path: PathBuf,
    label: String,
    /// What has the name now is to be replaced.
    force: bool,
    file: File,
    hidden: Option<Hidden>,
}

/// The name that a file has meanwhile. Signals wait until it is gone.
struct Hidden {
    path: PathBuf,
    deferred: Deferred,
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // After it has been given its real name there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

impl NewFile {
    /// Starts a file; what has its name is left alone until [`publish`](NewFile::publish).
    pub(crate) fn create(path: &Path, force: bool) -> Result<NewFile, Error> {
        let label = path.display().to_string();
        let mut target = path.to_path_buf();
        match fs::symlink_metadata(path) {
            Ok(_) if !force => return Err(taken(&label)),
            Ok(found) => {
                // A link stays, and what it leads to is replaced.
                if found.is_symlink() {
                    target = fs::canonicalize(path).map_err(|e| system("write", &label, &e))?;
                }
                let found = fs::metadata(&target).map_err(|e| system("write", &label, &e))?;
                if !found.is_file() {
                    let error = Error::new(
                        ErrorKind::AlreadyExists,
                        "write",
                        &label,
                        "it exists and is no ordinary file",
                    );
                    return Err(error.remedy(
                        "choose another name, or let the shell write there: shm dump NAME --npy > FILE",
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(system("write", &label, &error)),
        }
        if target.file_name().is_none() {
            return Err(Error::new(
                ErrorKind::InvalidName,
                "write",
                &label,
                "it does not end in the name of a file",
            ));
        }
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let (file, hidden) = match rustix::fs::open(directory(&target), flags | OFlags::TMPFILE, mode) {
            Ok(fd) => (File::from(fd), None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let deferred = Deferred::begin();
                let path = hidden_path(&target);
                let fd =
                    rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)
                        .map_err(|e| system("write", &label, &e.into()))?;
                (File::from(fd), Some(Hidden { path, deferred }))
            }
            Err(errno) => {
                let error = system("write", &label, &errno.into());
                return Err(match errno {
                    Errno::NOENT | Errno::NOTDIR => error.remedy("make the directory first"),
                    _ => error,
                });
            }
        };
        Ok(NewFile { path: target, label, force, file, hidden })
    }

    /// Adds bytes at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(hidden) = &self.hidden {
            hidden.deferred.check("write", &self.label)?;
        }
        self.file.write_all(bytes).map_err(|e| system("write", &self.label, &e))
    }

    /// Gives the file its name.
    pub(crate) fn publish(mut self) -> Result<(), Error> {
        let failed = |error: &io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.label),
            _ => system("write", &self.label, error),
        };
        if self.force {
            // Before the old one is given up.
            self.file.sync_all().map_err(|e| failed(&e))?;
            if let Ok(old) = fs::metadata(&self.path) {
                self.file.set_permissions(old.permissions()).map_err(|e| failed(&e))?;
            }
        }
        match (self.hidden.take(), self.force) {
            (None, false) => self.link(&self.path).map_err(|e| failed(&e)),
            (Some(hidden), false) => fs::hard_link(&hidden.path, &self.path).map_err(|e| failed(&e)),
            (Some(hidden), true) => fs::rename(&hidden.path, &self.path).map_err(|e| failed(&e)),
            (None, true) => {
                let hidden = Hidden { path: hidden_path(&self.path), deferred: Deferred::begin() };
                self.link(&hidden.path)
                    .and_then(|()| fs::rename(&hidden.path, &self.path))
                    .map_err(|e| failed(&e))
            }
        }
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

fn taken(label: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, "write", label, "the file exists")
        .remedy("choose another name, or replace it with --force")
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name beside the real one that nobody else uses.
fn hidden_path(path: &Path) -> PathBuf {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos());
    directory(path).join(format!(".shm-{}-{now}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(what: &str) -> (PathBuf, shm_testkit::Cleanup) {
        let path = std::env::temp_dir().join(shm_testkit::unique_name(what));
        fs::create_dir(&path).unwrap();
        (path.clone(), shm_testkit::Cleanup::of([path]))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As on a file system without nameless files.
    fn hide(mut file: NewFile) -> NewFile {
        let path = hidden_path(&file.path);
        file.file = File::create_new(&path).unwrap();
        file.hidden = Some(Hidden { path, deferred: Deferred::begin() });
        file
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let (folder, _cleanup) = folder("new-file");
        let path = folder.join("a");
        for hidden in [false, true] {
            let make = |force| {
                let file = NewFile::create(&path, force).unwrap();
                if hidden { hide(file) } else { file }
            };
            let mut file = make(false);
            file.write(b"one").unwrap();
            assert_eq!(names(&folder).len(), usize::from(hidden));
            drop(file);
            assert!(names(&folder).is_empty());

            let mut file = make(false);
            file.write(b"one").unwrap();
            file.publish().unwrap();
            assert_eq!(names(&folder), ["a"]);
            assert_eq!(NewFile::create(&path, false).err().unwrap().kind(), ErrorKind::AlreadyExists);

            let mut file = make(true);
            file.write(b"two").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"one");
            file.publish().unwrap();
            assert_eq!((names(&folder), fs::read(&path).unwrap()), (vec!["a".to_owned()], b"two".to_vec()));

            fs::remove_file(&path).unwrap();
            // Somebody else is quicker.
            let file = make(false);
            fs::write(&path, b"other").unwrap();
            assert_eq!(file.publish().unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!((names(&folder), fs::read(&path).unwrap()), (vec!["a".to_owned()], b"other".to_vec()));
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn links_stay_and_modes_too() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _cleanup) = folder("new-file-link");
        let (path, link) = (folder.join("a"), folder.join("b"));
        fs::write(&path, b"one").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        let mut file = NewFile::create(&link, true).unwrap();
        file.write(b"two").unwrap();
        file.publish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(NewFile::create(&folder, true).err().unwrap().kind(), ErrorKind::AlreadyExists);
    }
}
