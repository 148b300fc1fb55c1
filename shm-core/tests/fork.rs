//! What a child inherits that is forked while other threads of its parent attach, look around and remove.
//!
//! It has what the parent has attached, and nothing that was on its way: a descriptor that nobody in the child knows would keep its locks held
//! as long as the child lives. Inheriting by a parent with one thread is in `segment.rs` and `lifetime.rs`.

mod common;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Folder, Name, Object, alone, fork, kind};
use shm_core::{Contents, ErrorKind, Lifetime, Segment, SegmentOptions, delete, reap_in};

const FORKS: usize = 200;

fn segment(name: &Name, lifetime: Lifetime) -> Segment {
    let options = SegmentOptions::new().lifetime(lifetime).reserve_max(1 << 20);
    options.create(name, &Contents::new().bytes("", 8, 1).unwrap()).unwrap()
}

/// Forks while another thread does something over and over, and counts the descriptors of an object in each child.
fn children_have(expected: usize, object: Object, work: impl Fn() + Sync) {
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                work();
                begun.store(true, Ordering::Relaxed);
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let found = std::panic::catch_unwind(|| {
            for _ in 0..FORKS {
                fork(|| assert_eq!(object.descriptors(), expected)).expect_success();
            }
        });
        done.store(true, Ordering::Relaxed);
        found.unwrap();
    });
}

#[test]
fn attaching_that_fails() {
    let _alone = alone();
    let name = Name::shm("fork-fails");
    drop(segment(&name, Lifetime::Persistent));
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    // A length that the object has not: noticed after the locks are taken.
    file.write_all_at(&(1u64 << 20).to_le_bytes(), 192).unwrap();
    drop(file);
    let object = Object::at(name.path()).unwrap();
    children_have(0, object, || assert_eq!(kind(Segment::attach(&name)), ErrorKind::Corrupted));
}

#[test]
fn attaching_what_is_attached() {
    let _alone = alone();
    let name = Name::shm("fork-again");
    let kept = segment(&name, Lifetime::LastDetach);
    children_have(1, Object::of(&kept), || drop(Segment::attach(&name).unwrap()));
}

#[test]
fn reaping() {
    let _alone = alone();
    let folder = Folder::new("fork-reap");
    let names = [Name::inside(&folder, "persistent"), Name::inside(&folder, "mortal")];
    drop(segment(&names[0], Lifetime::Persistent));
    let kept = segment(&names[1], Lifetime::LastDetach);
    for (name, expected) in names.iter().zip([0, 1]) {
        let object = Object::at(name.path()).unwrap();
        children_have(expected, object, || assert!(reap_in(folder.path()).unwrap().is_empty()));
    }
    drop(kept);
}

#[test]
fn deleting() {
    let _alone = alone();
    let name = Name::file("fork-delete");
    std::fs::write(name.path(), "no segment").unwrap();
    let object = Object::at(name.path()).unwrap();
    children_have(0, object, || assert_eq!(kind(delete(&name)), ErrorKind::NotASegment));
}
