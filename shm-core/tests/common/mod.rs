//! What the tests of this crate share: names that are tidied up, children that talk with their parent, a look at this process's mappings.

#![allow(unsafe_code, reason = "asks for user ids, signals children, makes FIFOs")]
#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shm_core::{AsSegmentName, Error, ErrorKind, Result, Segment, SegmentName};
use shm_testkit::{Child, Cleanup, Watchdog, fork_child, unique_name};

/// See [`alone`].
pub struct Alone {
    _guard: MutexGuard<'static, ()>,
    _watchdog: Watchdog,
}

/// Lets one test at a time run, with a watchdog.
///
/// A child that another test forks meanwhile would inherit this test's descriptors and with them its locks.
pub fn alone() -> Alone {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    Alone { _guard: guard, _watchdog: Watchdog::new(Duration::from_secs(180)) }
}

/// A name that no other test uses and that is removed when this is dropped.
pub struct Name {
    name: SegmentName,
    _cleanup: Cleanup,
}

impl Name {
    /// A name in shared memory.
    pub fn shm(what: &str) -> Name {
        let text = unique_name(what);
        Name { name: SegmentName::shm(&text).unwrap(), _cleanup: Cleanup::of([text]) }
    }

    /// A file on a disk.
    pub fn file(what: &str) -> Name {
        let path = std::env::temp_dir().join(unique_name(what));
        Name { name: SegmentName::file(&path).unwrap(), _cleanup: Cleanup::of([path]) }
    }

    /// A file in a folder.
    pub fn inside(folder: &Folder, text: &str) -> Name {
        let path = folder.path().join(text);
        Name { name: SegmentName::file(&path).unwrap(), _cleanup: Cleanup::of([path]) }
    }

    pub fn path(&self) -> &Path {
        self.name.path()
    }

    pub fn exists(&self) -> bool {
        self.path().symlink_metadata().is_ok()
    }

    pub fn text(&self) -> String {
        self.name.to_string()
    }

    /// The name without prefix.
    pub fn bare(&self) -> &str {
        self.path().file_name().unwrap().to_str().unwrap()
    }
}

impl AsSegmentName for Name {
    fn to_segment_name(&self) -> Result<SegmentName> {
        Ok(self.name.clone())
    }
}

/// A folder on a disk that is removed with all that is in it.
pub struct Folder {
    path: PathBuf,
    _cleanup: Cleanup,
}

impl Folder {
    pub fn new(what: &str) -> Folder {
        let path = std::env::temp_dir().join(unique_name(what));
        std::fs::create_dir(&path).unwrap();
        Folder { _cleanup: Cleanup::of([&path]), path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The kind of the error that this must be.
#[track_caller]
pub fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

/// Checks that this failed with an error of a kind and that its message has all these parts.
#[track_caller]
pub fn refused<T>(result: Result<T>, kind: ErrorKind, parts: &[&str]) -> Error {
    let Err(error) = result else { panic!("it succeeded instead of failing with {kind:?}") };
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    error
}

/// A child that ends with 0 unless it panics.
pub fn fork(work: impl FnOnce()) -> Child {
    fork_child(|| {
        work();
        0
    })
}

/// Kills the child and waits until it is gone.
pub fn sigkill(mut child: Child) {
    assert_eq!(child.try_wait(), None, "{:?}", child.panic_message());
    child.kill(libc::SIGKILL);
    assert_eq!(child.wait(), shm_testkit::Status::Killed(libc::SIGKILL), "{:?}", child.panic_message());
}

/// Two ends of a wire; after a fork the parent uses one and the child the other.
pub struct Line {
    parent: UnixStream,
    child: UnixStream,
}

impl Line {
    pub fn new() -> Line {
        let (parent, child) = UnixStream::pair().unwrap();
        Line { parent, child }
    }

    /// In the child.
    pub fn tell_parent(&self, value: u64) {
        (&self.child).write_all(&value.to_le_bytes()).unwrap();
    }

    /// In the child: blocks until the parent tells something.
    pub fn hear_parent(&self) -> u64 {
        hear(&self.child)
    }

    /// In the parent.
    pub fn tell_child(&self, value: u64) {
        (&self.parent).write_all(&value.to_le_bytes()).unwrap();
    }

    /// In the parent: blocks until the child tells something; fails if the child has ended instead.
    pub fn hear_child(&self, child: &mut Child) -> u64 {
        self.parent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut bytes = [0; 8];
        loop {
            match (&self.parent).read(&mut bytes) {
                Ok(n) => {
                    assert_eq!(n, 8, "a message is whole");
                    return u64::from_le_bytes(bytes);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => panic!("{e}"),
            }
            if let Some(status) = child.try_wait() {
                panic!("the child {status}: {:?}", child.panic_message());
            }
        }
    }
}

fn hear(mut stream: &UnixStream) -> u64 {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// Blocks for ever, until a signal comes.
pub fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The kernel's object behind a segment, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    device: u64,
    inode: u64,
}

impl Object {
    pub fn of(segment: &Segment) -> Object {
        let stat = rustix::fs::fstat(segment.as_fd()).unwrap();
        Object { device: stat.st_dev, inode: stat.st_ino }
    }

    pub fn at(path: &Path) -> Option<Object> {
        let found = path.symlink_metadata().ok()?;
        Some(Object { device: found.dev(), inode: found.ino() })
    }

    /// As `/proc/self/maps` writes it.
    fn column(self) -> String {
        let device = self.device;
        format!(" {:02x}:{:02x} {} ", libc::major(device), libc::minor(device), self.inode)
    }

    /// The lines of `/proc/self/maps` for it.
    pub fn maps(self) -> Vec<String> {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        text.lines().filter(|line| line.contains(&self.column())).map(str::to_owned).collect()
    }

    /// How many descriptors of this process lead to it.
    pub fn descriptors(self) -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let objects = fds.flatten().filter_map(|entry| std::fs::metadata(entry.path()).ok());
        objects.filter(|found| (found.dev(), found.ino()) == (self.device, self.inode)).count()
    }

    /// Mappings and descriptors.
    pub fn uses(self) -> (usize, usize) {
        (self.maps().len(), self.descriptors())
    }

    /// The number of KiB that `/proc/self/smaps` gives for a field of its mappings.
    pub fn smaps(self, field: &str) -> usize {
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut ours = false;
        let mut sum = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap();
            if !first.ends_with(':') {
                ours = line.contains(&self.column());
            } else if ours && first.trim_end_matches(':') == field {
                sum += words.next().unwrap().parse::<usize>().unwrap();
            }
        }
        sum
    }
}

/// Tells whether the tests run as root; says so visibly, past the harness, when a test cannot run otherwise.
pub fn is_root(test: &str) -> bool {
    // SAFETY: asks for a number.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        skip(test, "it needs root");
    }
    root
}

/// Says visibly that a test cannot run here.
pub fn skip(test: &str, reason: &str) {
    let _ = std::io::stderr().write_all(format!("test {test} SKIPPED: {reason}\n").as_bytes());
}

/// Becomes an ordinary user, for the rest of the process: one of the tests' children.
pub fn become_nobody() {
    const NOBODY: u32 = 65534;
    // SAFETY: no memory is involved; the process has one thread.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(NOBODY, NOBODY, NOBODY), 0);
        assert_eq!(libc::setresuid(NOBODY, NOBODY, NOBODY), 0);
    }
}

/// Makes a FIFO or a device.
pub fn make_node(path: &Path, kind: libc::mode_t, device: libc::dev_t) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { libc::mknod(path.as_ptr(), kind | 0o600, device) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
