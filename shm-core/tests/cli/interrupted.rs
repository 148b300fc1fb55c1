//! Ctrl-C, SIGTERM and SIGKILL at any moment of a copy: its end appears whole, or what was there before stays.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use shm_core::AnyArray;

use crate::common::{Folder, Name, alone};
use crate::{files, make, noise, npy, ok, shm, text};

const LEN: usize = 8 << 20;

/// Runs it and signals it after a while; tells whether it came to its end all the same.
fn interrupted(args: &[&str], signal: Signal, after: Duration) -> bool {
    let mut child = shm(args).spawn().unwrap();
    std::thread::sleep(after);
    let pid = Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(signal.as_raw()), "{status}");
    status.success()
}

/// Moments from the start of the program to after its end.
fn moments() -> impl Iterator<Item = Duration> {
    (0..25).map(|step| Duration::from_micros(step * 600))
}

#[test]
fn copies_into_files() {
    let _alone = alone();
    let folder = Folder::new("cli-ctrl-c");
    let name = Name::shm("cli-ctrl-c");
    make(&name, &crate::u8s(&[LEN]), &noise(LEN));
    let path = npy(&folder, "x");
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        for after in moments() {
            let ended = interrupted(&["copy", name.bare(), text(&path)], signal, after);
            match files(folder.path()).as_slice() {
                [] => assert!(!ended),
                [only] => {
                    assert_eq!(only, "x.npy");
                    assert_eq!(path.metadata().unwrap().len(), 128 + LEN as u64);
                    std::fs::remove_file(&path).unwrap();
                }
                more => panic!("left behind: {more:?}"),
            }
        }
    }
    // What is replaced is there until then.
    for after in moments() {
        std::fs::write(&path, "precious").unwrap();
        let ended = interrupted(&["copy", "--force", name.bare(), text(&path)], Signal::INT, after);
        assert_eq!(files(folder.path()), ["x.npy"]);
        let len = path.metadata().unwrap().len();
        assert!(len == 128 + LEN as u64 || !ended && len == 8, "{len}");
    }
}

#[test]
fn copies_into_segments() {
    let _alone = alone();
    let folder = Folder::new("cli-ctrl-c");
    let (name, to) = (Name::shm("cli-ctrl-c-from"), Name::shm("cli-ctrl-c-to"));
    make(&name, &crate::u8s(&[LEN]), &noise(LEN));
    let path = npy(&folder, "x");
    ok(["copy", name.bare(), text(&path)]);
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        for after in moments() {
            let ended = interrupted(&["copy", text(&path), to.bare()], signal, after);
            assert!(to.exists() || !ended);
            if to.exists() {
                assert_eq!(AnyArray::attach(&to).unwrap().layout().shape(), [LEN]);
                shm_core::delete(&to).unwrap();
            }
        }
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for after in moments() {
            if to.exists() {
                shm_core::delete(&to).unwrap();
            }
            make(&to, &crate::u8s(&[3]), &[1, 2, 3]);
            let ended = interrupted(&["copy", "--force", text(&path), to.bare()], signal, after);
            let found = AnyArray::attach(&to).unwrap();
            let shape = found.layout().shape();
            assert!(shape == [LEN] || !ended && shape == [3], "{shape:?}");
        }
    }
}
