//! Names that look like something else: a dash at the front, blanks, control characters, bytes that are no UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use shm_core::SegmentName;
use shm_testkit::{Cleanup, unique_name};

use crate::common::{Folder, Name, alone};
use crate::{counting, fails, ok, run, text};

#[test]
fn dashes() {
    let _alone = alone();
    let bare = format!("-{}", unique_name("cli-dash"));
    let _cleanup = Cleanup::of([&bare]);
    let make = || {
        let name = SegmentName::shm(&bare).unwrap();
        shm_core::SharedArray::<u8, _>::full(&name, 2, 7).unwrap()
    };
    drop(make());
    let url = format!("shm://{bare}");
    fails(["dump", &bare], 2, &["unexpected argument"]);
    assert_eq!(ok(["dump", "--", &bare]), "7\n7\n");
    assert_eq!(ok(["dump", &url]), "7\n7\n");
    let folder = Folder::new("cli-dash");
    let mut command = crate::shm(["copy", "--", &bare, "-x.npy"]);
    command.current_dir(folder.path());
    assert_eq!(crate::finish(command).code, Some(0));
    assert_eq!(crate::files(folder.path()), ["-x.npy"]);
    ok(["delete", "--", &bare]);
    drop(make());
    ok(["delete", &url]);
}

#[test]
fn odd_bytes() {
    let _alone = alone();
    let folder = Folder::new("cli-odd");
    for bytes in [&b"a\xff\xfe"[..], b" a b ", "größe 字".as_bytes(), b"a\nb\x1b[31m", b"%s%n", b"a;b'c\""]
    {
        let path = folder.path().join(OsStr::from_bytes(bytes));
        let name = SegmentName::file(&path).unwrap();
        drop(shm_core::SharedArray::<u8, _>::full(&name, 2, 7).unwrap());
        let mut word = OsString::from("file://");
        word.push(&path);
        assert_eq!(ok([OsStr::new("dump"), &word]), "7\n7\n");
        let listed = ok(["list", "--dir", text(folder.path())]);
        assert_eq!(listed.lines().count(), 1, "{listed}");
        assert!(listed.chars().all(|c| !c.is_control() || c == '\t' || c == '\n'), "{listed:?}");
        let told: serde_json::Value =
            serde_json::from_str(&ok([OsStr::new("inspect"), &word, OsStr::new("--json")])).unwrap();
        let exact = &told["segment"]["path_bytes"];
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                assert!(told["segment"]["path"].as_str().unwrap().ends_with(text));
                assert!(exact.is_null());
            }
            Err(_) => {
                let exact: Vec<u8> =
                    exact.as_array().unwrap().iter().map(|b| b.as_u64().unwrap() as u8).collect();
                assert_eq!(exact, path.as_os_str().as_bytes());
            }
        }
        ok([OsStr::new("delete"), &word]);
        assert!(!path.exists());
    }
}

#[test]
fn words_that_are_no_names() {
    for word in
        ["", "a/b", "..", "shm://", "shm://a/b", "http://x", "file://", "file:///tmp/", &"x".repeat(256)]
    {
        for command in ["dump", "inspect", "delete"] {
            fails([command, word], 2, &["cannot use the "]);
        }
    }
    let odd = OsStr::from_bytes(b"shm://\xff");
    let ran = run([OsStr::new("dump"), odd]);
    assert!(ran.code == Some(2) && ran.err.contains("it is no UTF-8"), "{ran:?}");
}

#[test]
fn what_ends_in_npy_is_a_file_unless_prefixed() {
    let _alone = alone();
    let folder = Folder::new("cli-npy-name");
    let bare = format!("{}.npy", unique_name("cli"));
    let _cleanup = Cleanup::of([&bare]);
    let name = Name::inside(&folder, "x");
    let _array = counting(&name, (2, 2));
    ok(["copy", &name.text(), &format!("shm://{bare}")]);
    let mut command = crate::shm(["copy", &format!("shm://{bare}"), &bare]);
    command.current_dir(folder.path());
    assert_eq!(crate::finish(command).code, Some(0));
    assert_eq!(crate::files(folder.path()), [bare.as_str(), "x"]);
    assert_eq!(ok(["dump", &format!("shm://{bare}")]), "0.0 1.0\n2.0 3.0\n");
}
