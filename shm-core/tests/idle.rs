//! The segment that was detached last stays open and mapped for whoever attaches it again: nobody else notices, and every check is made as ever.

#![allow(unsafe_code, reason = "closes a descriptor behind the library's back, on purpose")]

mod common;

use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, PermissionsExt};

use common::{Name, Object, alone, fork, kind};
use ndarray::Ix1;
use shm_core::{ErrorKind, Lifetime, Place, SegmentOptions, SharedArray, delete, inspect};

type Array = SharedArray<u64, Ix1>;

fn place(name: &Name, lifetime: Lifetime) -> Place {
    SegmentOptions::new().lifetime(lifetime).named(name).unwrap()
}

/// A new array that this process has attached and let go of twice, so that it is kept if anything is.
fn attached_twice(name: &Name, value: u64) -> Object {
    drop(Array::full(place(name, Lifetime::Persistent), 100, value).unwrap());
    attach_twice(name, value)
}

fn attach_twice(name: &Name, value: u64) -> Object {
    (0..2).for_each(|_| assert_eq!(Array::attach(name).unwrap().get(99), value));
    Object::at(name.path()).unwrap()
}

#[test]
fn smoke() {
    let _alone = alone();
    let name = Name::shm("idle-smoke");
    let object = attached_twice(&name, 7);
    assert_eq!(object.descriptors(), 1, "it is kept");
    assert!(!inspect(&name).unwrap().attached, "and attached nowhere");
    for round in 0..5 {
        let array = Array::attach(&name).unwrap();
        assert!(inspect(&name).unwrap().attached);
        assert_eq!((object.descriptors(), array.get(round)), (1, 7));
        array.set(round, 7);
        drop(array);
        assert!(!inspect(&name).unwrap().attached);
    }
}

#[test]
fn it_keeps_nobody_from_a_lease_and_meets_one() {
    let _alone = alone();
    let (name, line) = (Name::shm("idle-lease"), common::Line::new());
    drop(Array::full(place(&name, Lifetime::Persistent), 100, 7).unwrap());
    let mut child = fork(|| {
        line.hear_parent();
        let mut array = Array::attach(&name).unwrap();
        let alone = array.exclusive().unwrap();
        line.tell_parent(0);
        line.hear_parent();
        drop(alone);
    });
    let object = attach_twice(&name, 7);
    assert_eq!(object.descriptors(), 1);
    line.tell_child(0);
    line.hear_child(&mut child);
    assert_eq!(kind(Array::attach(&name)), ErrorKind::Busy);
    line.tell_child(0);
    child.expect_success();
    assert_eq!(Array::attach(&name).unwrap().get(3), 7);
}

#[test]
fn what_is_attached_once_is_not_kept_and_what_is_deleted_goes() {
    let _alone = alone();
    let (first, second) = (Name::shm("idle-first"), Name::shm("idle-second"));
    let kept = attached_twice(&first, 1);
    drop(Array::full(place(&second, Lifetime::Persistent), 100, 2).unwrap());
    assert_eq!(Array::attach(&second).unwrap().get(0), 2);
    assert_eq!((kept.descriptors(), Object::at(second.path()).unwrap().descriptors()), (1, 0));
    delete(&first).unwrap();
    assert_eq!(kept.descriptors(), 0);
}

#[test]
fn a_successor_under_the_name_is_what_is_attached() {
    let _alone = alone();
    let (name, other) = (Name::shm("idle-successor"), Name::shm("idle-other"));
    let first = attached_twice(&name, 1);
    drop(Array::full(place(&other, Lifetime::Persistent), 100, 2).unwrap());
    // As another process does it that replaces a segment: had this one done it, it would have let go of what it keeps.
    std::fs::rename(other.path(), name.path()).unwrap();
    let second = attach_twice(&name, 2);
    assert_eq!((first.descriptors(), second.descriptors()), (0, 1));
    std::fs::remove_file(name.path()).unwrap();
    assert_eq!(kind(Array::attach(&name)), ErrorKind::NotFound);
    assert_eq!(second.descriptors(), 0);
}

#[test]
fn damage_and_another_mode_are_noticed() {
    let _alone = alone();
    let name = Name::shm("idle-damage");
    let kept = attached_twice(&name, 3);
    std::fs::set_permissions(name.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(Array::attach(&name).unwrap().get(0), 3);
    assert_eq!((attach_twice(&name, 3), kept.descriptors()), (kept, 1), "opened anew, and kept again");
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    file.write_all_at(&[0xFF], 40).unwrap();
    assert_eq!(kind(Array::attach(&name)), ErrorKind::Corrupted);
    file.set_len(0).unwrap();
    assert_eq!(kind(Array::attach(&name)), ErrorKind::NotASegment);
}

#[test]
fn other_lifetimes_are_not_kept() {
    let _alone = alone();
    let (name, line) = (Name::shm("idle-lifetime"), common::Line::new());
    let mut child = fork(|| {
        let array = Array::full(place(&name, Lifetime::LastDetach), 100, 4).unwrap();
        line.tell_parent(0);
        line.hear_parent();
        drop(array);
    });
    line.hear_child(&mut child);
    let object = attach_twice(&name, 4);
    assert_eq!(object.descriptors(), 0);
    line.tell_child(0);
    child.expect_success();
    assert!(!name.exists());
}

#[test]
fn large_and_locked_memory_is_not_kept() {
    let _alone = alone();
    let name = Name::shm("idle-large");
    drop(Array::full(place(&name, Lifetime::Persistent), 1 << 18, 5).unwrap());
    (0..3).for_each(|_| drop(Array::attach(&name).unwrap()));
    assert_eq!(Object::at(name.path()).unwrap().descriptors(), 0);
    let name = Name::shm("idle-advised");
    let object = attached_twice(&name, 5);
    Array::attach(&name).unwrap().segment().advise(shm_core::Advice::Random).unwrap();
    assert_eq!(object.descriptors(), 0);
}

#[test]
fn a_fork_lets_it_go() {
    let _alone = alone();
    let name = Name::shm("idle-fork");
    let object = attached_twice(&name, 6);
    fork(|| {
        assert_eq!(object.descriptors(), 0);
        assert_eq!(Array::attach(&name).unwrap().get(0), 6);
    })
    .expect_success();
    assert_eq!(object.descriptors(), 0);
    assert_eq!(Array::attach(&name).unwrap().get(0), 6);
}

/// A program that becomes a daemon closes all descriptors that it does not know; then others get their numbers.
#[test]
fn a_descriptor_that_the_program_has_closed_is_left_alone() {
    let _alone = alone();
    let name = Name::shm("idle-closed");
    let object = attached_twice(&name, 8);
    let is_it = |fd: &i32| {
        let path = format!("/proc/self/fd/{fd}");
        std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains(name.bare()))
    };
    let fd = (3..1000).find(is_it).unwrap();
    let file = std::fs::File::open("/proc/self/status").unwrap();
    // SAFETY: the number is the library's, which notices that it is another file's now.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), fd) }, fd);
    assert_eq!(Array::attach(&name).unwrap().get(99), 8);
    assert!(object.descriptors() <= 1);
    // SAFETY: the number is this test's since it was given above, if the library has left it alone; if not, reading fails.
    let mut mine = unsafe { std::fs::File::from_raw_fd(fd) };
    let mut text = String::new();
    mine.read_to_string(&mut text).unwrap();
    assert!(text.contains("Pid:"), "it is still open");
}
