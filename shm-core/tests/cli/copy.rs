//! `copy`: what replaces what, what goes together on a command line, and modes.

use std::os::unix::fs::PermissionsExt;

use shm_core::{AnyArray, SegmentName, SharedArray};

use crate::common::{Folder, Name, alone};
use crate::{counting, fails, files, npy, ok, text};

#[test]
fn round_trips() {
    let _alone = alone();
    let folder = Folder::new("cli-copy");
    let (one, two, disk) = (Name::shm("cli-copy-1"), Name::shm("cli-copy-2"), Name::inside(&folder, "disk"));
    let path = npy(&folder, "x");
    let array = counting(&one, (3, 5));
    ok(["copy", &one.text(), text(&path)]);
    ok(["copy", text(&path), &disk.text()]);
    ok(["copy", &disk.text(), two.bare()]);
    let back = SharedArray::<f64, ndarray::Ix2>::attach(&two).unwrap();
    assert_eq!(back.to_ndarray(), array.to_ndarray());
    assert_eq!(files(folder.path()), ["disk", "x.npy"]);
    assert_eq!(two.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn names_that_are_taken_need_force() {
    let _alone = alone();
    let folder = Folder::new("cli-force");
    let (one, two) = (Name::shm("cli-force-1"), Name::shm("cli-force-2"));
    let _one = counting(&one, (3, 5));
    let two_before = counting(&two, (1, 1));
    let path = npy(&folder, "x");
    std::fs::write(&path, "precious").unwrap();
    fails(["copy", &one.text(), &two.text()], 1, &["cannot create", &two.text(), "--force"]);
    fails(["copy", &one.text(), text(&path)], 1, &["the file exists", "--force"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(AnyArray::attach(&two).unwrap().layout().shape(), [1, 1]);
    ok(["copy", "--force", &one.text(), text(&path)]);
    ok(["copy", "--force", text(&path), &two.text()]);
    assert_eq!(AnyArray::attach(&two).unwrap().layout().shape(), [3, 5]);
    assert_eq!(two_before.get((0, 0)), 0.0); // whoever had it keeps it
    // Onto itself.
    ok(["copy", "--force", &two.text(), &two.text()]);
    assert_eq!(AnyArray::attach(&two).unwrap().layout().shape(), [3, 5]);
    // What is no segment is never replaced by one.
    let file = format!("file://{}", text(&path));
    fails(["copy", "--force", &one.text(), &file], 1, &["cannot replace", "mark of a segment"]);
    assert_eq!(files(folder.path()), ["x.npy"]);
}

#[test]
fn failures_leave_everything_as_it_was() {
    let _alone = alone();
    let folder = Folder::new("cli-copy-fails");
    let name = Name::shm("cli-copy-fails");
    let _array = counting(&name, (2, 2));
    let path = npy(&folder, "x");
    ok(["copy", &name.text(), text(&path)]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    fails(["copy", "--force", text(&path), &name.text()], 1, &["32 bytes of data", "31 bytes follow"]);
    std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    fails(["copy", "--force", text(&path), &name.text()], 1, &["33 bytes follow"]);
    fails(
        ["copy", "--force", "no-such-name-here", &name.text()],
        1,
        &["cannot attach shm://no-such-name-here"],
    );
    fails(["copy", "--force", text(&npy(&folder, "none")), &name.text()], 1, &["none.npy", "No such file"]);
    assert_eq!(AnyArray::attach(&name).unwrap().layout().shape(), [2, 2]);
    assert_eq!(ok(["dump", name.bare()]), "0.0 1.0\n2.0 3.0\n");
    let missing = format!("file://{}/no/such/x", text(folder.path()));
    fails(["copy", name.bare(), &missing], 1, &["cannot create", &missing]);
}

#[test]
fn modes() {
    let _alone = alone();
    let (one, two) = (Name::shm("cli-mode-1"), Name::shm("cli-mode-2"));
    let _array = counting(&one, (2, 2));
    ok(["copy", "--mode", "640", one.bare(), two.bare()]);
    assert_eq!(shm_core::inspect(SegmentName::shm(two.bare()).unwrap()).unwrap().mode, 0o640);
    for mode in ["", "9", "400", "1777", "rw", "0x1ff", "-1", "+600"] {
        fails(["copy", &format!("--mode={mode}"), "--force", one.bare(), two.bare()], 2, &["--mode"]);
    }
}

#[test]
fn words_that_do_not_go_together() {
    for (words, part) in [
        (&["copy", "a.npy", "b.npy"][..], "both are files"),
        (&["copy", "a.npy", "b", "--entry", "x"], "--entry"),
        (&["copy", "a.npy", "b", "--any-owner"], "--any-owner"),
        (&["copy", "a.npy", "b", "--opaque"], "--opaque"),
        (&["copy", "a", "b", "--opaque"], "--opaque"),
        (&["copy", "a", "b.npy", "--bf16"], "--bf16"),
        (&["copy", "a"], "<TO>"),
    ] {
        fails(words, 2, &[part]);
    }
}
