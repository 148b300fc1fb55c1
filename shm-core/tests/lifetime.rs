//! When segments end: persistent, until the last attachment goes, scoped; after drops, exits, forks and SIGKILL; and what reaping may touch.

#![allow(unsafe_code, reason = "signals processes and waits for strangers")]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{Folder, Line, Name, Object, alone, fork, kind, refused, sigkill, stay};
use ndarray::Ix1;
use shm_core::{
    Contents, ErrorKind, Lifetime, Liveness, Segment, SegmentName, SegmentOptions, SharedArray, delete,
    inspect, list, list_in, reap, reap_in,
};
use shm_testkit::Child;

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

fn options(lifetime: Lifetime) -> SegmentOptions {
    SegmentOptions::new().lifetime(lifetime)
}

/// A child that creates the segment and keeps it until it is told to end or killed.
fn holder(name: &Name, lifetime: Lifetime, line: &Line) -> Child {
    let mut child = fork(|| {
        let array = SharedArray::<u64, _>::full(options(lifetime).named(name).unwrap(), 100_000, 7).unwrap();
        line.tell_parent(0);
        line.hear_parent();
        drop(array);
    });
    line.hear_child(&mut child);
    child
}

/// A dead segment: its holder was killed, and nobody has looked since.
fn dead(name: &Name, lifetime: Lifetime) {
    sigkill(holder(name, lifetime, &Line::new()));
    assert!(name.exists(), "nothing frees the name of a killed process by itself");
}

fn is_listed(name: &Name) -> bool {
    list().unwrap().iter().any(|info| info.name.as_ref().is_some_and(|n| n.path() == name.path()))
}

#[test]
fn smoke() {
    let _alone = alone();
    for (lifetime, stays) in
        [(Lifetime::Persistent, true), (Lifetime::LastDetach, false), (Lifetime::Scoped, false)]
    {
        for name in [Name::shm("smoke"), Name::file("smoke")] {
            let segment = options(lifetime).create(&name, &bytes(10)).unwrap();
            assert_eq!(segment.lifetime(), lifetime);
            assert_eq!(inspect(&name).unwrap().lifetime, lifetime);
            let clone = segment.clone();
            drop(segment);
            assert!(name.exists(), "{lifetime:?}: a handle is left");
            drop(clone);
            assert_eq!(name.exists(), stays, "{lifetime:?}");
            assert_eq!(Segment::attach(&name).is_ok(), stays, "{lifetime:?}");
        }
    }
}

#[test]
fn persistent_outlives_everybody() {
    let _alone = alone();
    let name = Name::shm("persistent");
    sigkill(holder(&name, Lifetime::Persistent, &Line::new()));
    let info = inspect(&name).unwrap();
    assert_eq!((info.creator_liveness, info.attached), (Liveness::Dead, false));
    assert!(!reap().unwrap().iter().any(|n| n.path() == name.path()));
    assert!(is_listed(&name));
    assert_eq!(kind(options(Lifetime::Persistent).create(&name, &bytes(1))), ErrorKind::AlreadyExists);
    let array = SharedArray::<u64, Ix1>::attach(&name).unwrap();
    assert_eq!(array.get(99_999), 7);
    drop(array);
    assert!(name.exists());
    delete(&name).unwrap();
    assert!(!name.exists());
}

#[test]
fn the_last_of_several_processes_ends_it() {
    let _alone = alone();
    let name = Name::shm("last");
    let lines = [Line::new(), Line::new(), Line::new()];
    let first = holder(&name, Lifetime::LastDetach, &lines[0]);
    let mut others: Vec<Child> = lines[1..]
        .iter()
        .map(|line| {
            fork(|| {
                let array = SharedArray::<u64, Ix1>::attach(&name).unwrap();
                line.tell_parent(0);
                line.hear_parent();
                assert_eq!(array.get(5), 7);
            })
        })
        .collect();
    for (child, line) in others.iter_mut().zip(&lines[1..]) {
        line.hear_child(child);
    }
    // The creator goes, by SIGKILL at that; then one by one the others.
    sigkill(first);
    assert!(inspect(&name).unwrap().attached);
    assert_eq!(inspect(&name).unwrap().creator_liveness, Liveness::Dead);
    lines[1].tell_child(0);
    others.remove(0).expect_success();
    assert!(name.exists() && Segment::attach(&name).is_ok(), "and this attach was not the last");
    lines[2].tell_child(0);
    others.remove(0).expect_success();
    assert!(!name.exists(), "freed at once by the last one's drop");
}

#[test]
fn a_killed_holder_leaves_a_segment_that_is_dead_at_once() {
    let _alone = alone();
    for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("dead");
        dead(&name, lifetime);
        refused(Segment::attach(&name), ErrorKind::NotFound, &["no segment has this name", &name.text()]);
        assert!(!name.exists(), "{lifetime:?}: the attach has freed the name");

        dead(&name, lifetime);
        assert_eq!(kind(inspect(&name)), ErrorKind::NotFound);
        assert!(!name.exists(), "{lifetime:?}: inspect");

        dead(&name, lifetime);
        assert!(!is_listed(&name));
        assert!(!name.exists(), "{lifetime:?}: list");

        dead(&name, lifetime);
        assert!(reap().unwrap().iter().any(|n| n.path() == name.path()));
        assert!(!name.exists(), "{lifetime:?}: reap");

        dead(&name, lifetime);
        refused(delete(&name), ErrorKind::NotFound, &["cannot delete", &name.text()]);
        assert!(!name.exists(), "{lifetime:?}: delete");

        dead(&name, lifetime);
        let new = SharedArray::<u64, _>::full(&name, 1, 1).unwrap();
        assert_eq!(new.get(0), 1, "{lifetime:?}: create over a dead name");
        delete(&name).unwrap();

        dead(&name, lifetime);
        let (_new, created) = options(lifetime).create_or_attach(&name, &bytes(3)).unwrap();
        assert!(created, "{lifetime:?}: create_or_attach");
    }
}

#[test]
fn pages_of_the_dead_are_freed_with_the_name() {
    let _alone = alone();
    let name = Name::shm("pages");
    dead(&name, Lifetime::LastDetach);
    // A descriptor that holds no lock keeps the inode, so that its links can be counted.
    let file = std::fs::File::open(name.path()).unwrap();
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn an_exit_without_destructors_ends_it_too() {
    let _alone = alone();
    for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("exit");
        fork(|| std::mem::forget(options(lifetime).create(&name, &bytes(10)).unwrap())).expect_success();
        assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
        assert!(!name.exists());
    }
}

#[test]
fn a_scoped_segment_ends_with_its_owner_and_attachments_live_on() {
    let _alone = alone();
    for kill in [false, true] {
        let name = Name::shm("scoped");
        let line = Line::new();
        let owner = holder(&name, Lifetime::Scoped, &line);
        let old = SharedArray::<u64, Ix1>::attach(&name).unwrap();
        let mut other = fork(|| {
            let array = SharedArray::<u64, Ix1>::attach(&name).unwrap();
            array.set(1, 11);
        });
        other.wait();
        assert!(name.exists(), "attachments come and go");
        if kill {
            sigkill(owner);
        } else {
            line.tell_child(0);
            owner.expect_success();
            assert!(!name.exists());
        }
        assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
        assert!(!name.exists());
        old.set(0, 5);
        assert_eq!((old.get(0), old.get(1), old.get(99_999)), (5, 11, 7));
        // The name is free for the next one, and the old one's end does not touch it.
        let new = SharedArray::<u64, _>::full(&name, 10, 1).unwrap();
        assert_eq!(old.get(2), 7);
        drop(old);
        assert_eq!((new.get(0), name.exists()), (1, true));
    }
}

#[test]
fn who_attaches_a_scoped_segment_does_not_own_it() {
    let _alone = alone();
    let name = Name::shm("scoped-attach");
    let line = Line::new();
    let owner = holder(&name, Lifetime::Scoped, &line);
    for _ in 0..3 {
        drop(Segment::attach(&name).unwrap());
        drop(SegmentOptions::new().read_only().attach(&name).unwrap());
    }
    assert!(name.exists());
    line.tell_child(0);
    owner.expect_success();
    assert!(!name.exists());
}

/// Waits until a process that is no child of ours has ended.
fn wait_for_stranger(pid: u64) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    let mut poll = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut poll, None) != Ok(1) {}
}

#[test]
fn a_forked_child_keeps_it_alive() {
    let _alone = alone();
    for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("forked");
        let line = Line::new();
        let mut first = fork(|| {
            let array = SharedArray::<u64, _>::full(options(lifetime).named(&name).unwrap(), 10, 3).unwrap();
            let grandchild = fork(|| {
                assert!(array.segment().is_inherited());
                line.tell_parent(u64::from(std::process::id()));
                line.hear_parent();
                array.set(0, 4);
                line.tell_parent(0);
                stay();
            });
            let _keep = std::mem::ManuallyDrop::new(grandchild);
            stay();
        });
        let grandchild = line.hear_child(&mut first);
        sigkill(first);
        let attached = SharedArray::<u64, Ix1>::attach(&name).unwrap();
        assert!(reap().unwrap().iter().all(|n| n.path() != name.path()));
        line.tell_child(0);
        // The creator is gone for certain, and its child writes through what it inherited.
        while attached.get(0) != 4 {
            std::thread::yield_now();
        }
        drop(attached);
        assert!(name.exists());
        // SAFETY: no memory is involved; the process was forked a moment ago and does not end by itself.
        assert_eq!(unsafe { libc::kill(grandchild as i32, libc::SIGKILL) }, 0);
        wait_for_stranger(grandchild);
        assert_eq!(kind(Segment::attach(&name)), ErrorKind::NotFound);
        assert!(!name.exists());
    }
}

#[test]
fn a_forked_child_that_drops_what_it_inherited_ends_nothing() {
    let _alone = alone();
    for lifetime in [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("child-drops");
        let array = SharedArray::<u64, _>::full(options(lifetime).named(&name).unwrap(), 10, 3).unwrap();
        let mut array = Some(array);
        fork(|| {
            drop(array.take());
            // And by name, which is a share in what was inherited or an attachment of its own.
            drop(Segment::attach(&name).unwrap());
        })
        .expect_success();
        assert!(name.exists(), "{lifetime:?}");
        assert!(inspect(&name).unwrap().attached, "{lifetime:?}: the parent's lock is still there");
        let other = fork(|| drop(Segment::attach(&name).unwrap()));
        other.expect_success();
        assert_eq!(array.as_ref().unwrap().get(9), 3);
        drop(array);
        assert_eq!(name.exists(), lifetime == Lifetime::Persistent);
    }
}

#[test]
fn reaping_never_removes_what_lives() {
    let _alone = alone();
    let lifetimes = [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped];
    let lines = lifetimes.map(|_| Line::new());
    let names = lifetimes.map(|_| Name::shm("living"));
    let mut holders: Vec<Child> = (0..3).map(|i| holder(&names[i], lifetimes[i], &lines[i])).collect();
    let objects: Vec<_> = names.iter().map(|name| Object::at(name.path())).collect();
    let reapers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                for _ in 0..500 {
                    reap().unwrap();
                    list().unwrap();
                }
            })
        })
        .collect();
    for _ in 0..2000 {
        for (name, object) in names.iter().zip(&objects) {
            let segment = Segment::attach(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(Some(Object::of(&segment)), *object);
        }
    }
    reapers.into_iter().for_each(Child::expect_success);
    assert!(names.iter().all(Name::exists));
    lines.iter().for_each(|line| line.tell_child(0));
    holders.drain(..).for_each(Child::expect_success);
    assert_eq!(names.each_ref().map(|name| name.exists()), [true, false, false]);
}

#[test]
fn a_dead_name_can_be_taken_while_others_clean_up() {
    let _alone = alone();
    for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("cleaners");
        let stop = SharedArray::<u8, _>::zeros(shm_core::Anonymous, 1).unwrap();
        let cleaners: Vec<Child> = (0..2)
            .map(|_| {
                fork(|| {
                    while stop.get(0) == 0 {
                        reap().unwrap();
                    }
                })
            })
            .collect();
        for round in 0..300 {
            // Killed: its exit frees the locks but not the name.
            fork(|| std::mem::forget(options(lifetime).create(&name, &bytes(10)).unwrap())).expect_success();
            // Nobody else creates, so whatever the cleaners are doing the name is to be had.
            let new = options(lifetime).create(&name, &bytes(10));
            assert!(new.is_ok(), "{lifetime:?}, round {round}: {:?}", new.err());
        }
        stop.set(0, 1);
        cleaners.into_iter().for_each(Child::expect_success);
        assert!(!name.exists());
    }
}

#[test]
fn one_of_many_takes_a_dead_name() {
    let _alone = alone();
    let name = Name::shm("takers");
    for round in 0..100 {
        fork(|| std::mem::forget(options(Lifetime::LastDetach).create(&name, &bytes(10)).unwrap()))
            .expect_success();
        let line = Line::new();
        let children: Vec<Child> = (0..4)
            .map(|_| {
                fork(|| match options(Lifetime::LastDetach).create(&name, &bytes(10)) {
                    Ok(_segment) => {
                        line.tell_parent(1);
                        stay();
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                        line.tell_parent(0);
                        stay();
                    }
                })
            })
            .collect();
        let mut children = children;
        let winners: u64 = (0..4).map(|i| line.hear_child(&mut children[i])).sum();
        assert_eq!(winners, 1, "round {round}");
        children.into_iter().for_each(sigkill);
    }
    reap().unwrap();
    assert!(!name.exists());
}

#[test]
fn deleting_the_dead_never_complains_of_the_living() {
    let _alone = alone();
    let name = Name::shm("delete-dead");
    // They come and go, so that the segment is dead for an instant again and again, and the name soon another one's.
    let mut makers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                for _ in 0..10_000 {
                    drop(options(Lifetime::LastDetach).create_or_attach(&name, &bytes(10)).unwrap());
                }
            })
        })
        .collect();
    while makers.iter_mut().any(|maker| maker.try_wait().is_none()) {
        if let Err(error) = delete(&name) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }
    makers.into_iter().for_each(Child::expect_success);
    assert!(!name.exists());
}

#[test]
fn files_have_lifetimes_too() {
    let _alone = alone();
    let folder = Folder::new("lifetimes");
    let name = |text: &str| SegmentName::file(folder.path().join(text)).unwrap();
    std::fs::write(folder.path().join("text"), "no segment").unwrap();
    let living = options(Lifetime::LastDetach).create(name("living"), &bytes(1)).unwrap();
    options(Lifetime::Persistent).create(name("persistent"), &bytes(1)).unwrap();
    for (text, lifetime) in [("dead", Lifetime::LastDetach), ("unowned", Lifetime::Scoped)] {
        fork(|| std::mem::forget(options(lifetime).create(name(text), &bytes(1)).unwrap())).expect_success();
    }
    let mut reaped = reap_in(folder.path()).unwrap();
    reaped.sort();
    assert_eq!(reaped, [name("dead"), name("unowned")]);
    let listed: Vec<_> = list_in(folder.path()).unwrap().into_iter().filter_map(|info| info.name).collect();
    assert_eq!(listed, [name("living"), name("persistent")]);
    drop(living);
    assert_eq!(list_in(folder.path()).unwrap().len(), 1);
    assert_eq!(std::fs::read(folder.path().join("text")).unwrap(), b"no segment");
    refused(list_in("/no/such/folder"), ErrorKind::System, &["/no/such/folder"]);
    refused(reap_in("/no/such/folder"), ErrorKind::System, &["/no/such/folder"]);
}

#[test]
fn anonymous_memory_goes_with_its_last_user() {
    let _alone = alone();
    let array = SharedArray::<u64, _>::full(options(Lifetime::Scoped).anonymous(), 10, 3).unwrap();
    let object = Object::of(array.segment());
    assert_eq!(object.uses(), (1, 1));
    let mut array = Some(array);
    fork(|| {
        assert_eq!(array.take().unwrap().get(9), 3);
        assert_eq!(object.uses(), (0, 0));
    })
    .expect_success();
    assert_eq!(object.uses(), (1, 1));
    drop(array);
    assert_eq!(object.uses(), (0, 0));
}
