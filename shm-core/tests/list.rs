//! Looking from outside: `list`, `inspect` and `info` tell what is so, and disturb nobody.

#![allow(unsafe_code, reason = "makes a FIFO and a pid namespace, and waits without reaping")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

use common::{
    Folder, Line, Name, Object, alone, become_nobody, fork, is_root, kind, refused, sigkill, skip, stay,
};
use ndarray::{Ix1, Ix2};
use shm_core::{
    Access, Anonymous, ArrayLayout, AsSegmentName, Contents, ElementType, EntryKind, ErrorKind, Identity,
    Lease, Lifetime, Liveness, Segment, SegmentInfo, SegmentKind, SegmentName, SegmentOptions, SharedArray,
    delete, inspect, list, list_in,
};
use shm_testkit::{Status, fork_child};

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

fn file(folder: &Folder, name: &str) -> SegmentName {
    SegmentName::file(folder.path().join(name)).unwrap()
}

/// What the list of shared memory says of a name.
fn listed(name: &Name) -> Option<SegmentInfo> {
    let name = name.to_segment_name().unwrap();
    let mut found = list().unwrap().into_iter().filter(|info| info.name.as_ref() == Some(&name));
    let first = found.next();
    assert!(found.next().is_none(), "a name is listed once");
    first
}

/// What both ways to look say, which must be the same.
#[track_caller]
fn look(name: &Name) -> SegmentInfo {
    let info = inspect(name).unwrap();
    assert_eq!(format!("{info:?}"), format!("{:?}", listed(name).unwrap()));
    info
}

#[test]
fn smoke() {
    let _alone = alone();
    let name = Name::shm("smoke");
    refused(inspect(&name), ErrorKind::NotFound, &[&name.text(), "inspect"]);
    assert!(listed(&name).is_none());
    let a = SharedArray::<f32, _>::zeros(&name, (3, 4)).unwrap();
    let info = look(&name);
    assert_eq!(info.name, Some(name.to_segment_name().unwrap()));
    let layout = info.array().unwrap();
    assert_eq!((layout.element(), layout.shape()), (&ElementType::F32, &[3, 4][..]));
    assert!(info.attached);
    drop(a);
    assert!(!look(&name).attached);
    delete(&name).unwrap();
    assert!(listed(&name).is_none());
    assert_eq!(kind(inspect(&name)), ErrorKind::NotFound);
}

#[test]
fn every_field_says_what_is_so() {
    let _alone = alone();
    let name = Name::shm("fields");
    let (small, large) = (
        ArrayLayout::f_order(ElementType::I16, &[5, 2]).unwrap(),
        ArrayLayout::c_order(ElementType::F64, &[10, 3]).unwrap(),
    );
    let contents = Contents::new()
        .kind(SegmentKind::Pool)
        .bytes("notes", 100, 256)
        .and_then(|c| c.primitive("lock", 7, 64, 64))
        .and_then(|c| c.array("small", &small))
        .and_then(|c| c.array("large", &large))
        .unwrap();
    let options = SegmentOptions::new().mode(0o640).lifetime(Lifetime::Scoped).reserve_max(1 << 20);
    let before = SystemTime::now();
    let segment = options.create(&name, &contents).unwrap();
    let after = SystemTime::now();

    let info = look(&name);
    assert_eq!((info.kind, info.lifetime), (SegmentKind::Pool, Lifetime::Scoped));
    let entries: Vec<_> = info.entries.iter().map(|e| (e.name(), e.len(), e.grows())).collect();
    let expected = [("notes", 100, false), ("lock", 64, false), ("small", 20, false), ("large", 240, true)];
    assert_eq!(entries, expected);
    assert!(info.entries[0].offset().is_multiple_of(256));
    assert!(matches!(info.entries[0].kind(), EntryKind::Bytes));
    assert!(matches!(info.entries[1].kind(), EntryKind::Primitive(7)));
    assert!(matches!(info.entries[2].kind(), EntryKind::Array(layout) if *layout == small));
    assert!(matches!(info.entries[3].kind(), EntryKind::Array(layout) if *layout == large));
    assert_eq!(info.array(), Some(small), "the first one");
    let file = name.path().metadata().unwrap();
    assert_eq!(info.len_bytes as u64, file.len());
    assert_eq!((info.len_bytes, info.capacity_bytes), (segment.len(), 1 << 20));
    assert_eq!((info.mode, info.owner_uid), (0o640, file.uid()));
    assert_eq!((info.creator, info.creator.pid), (Identity::current(), std::process::id()));
    assert_eq!(info.creator_liveness, Liveness::Alive);
    assert!(before <= info.created_at && info.created_at <= after);
    assert_eq!((info.attached, info.leased_by, info.not_guaranteed), (true, None, None));

    // Later changes of what may change.
    std::fs::set_permissions(name.path(), PermissionsExt::from_mode(0o604)).unwrap();
    segment.grow(1 << 16).unwrap();
    let info = look(&name);
    assert_eq!((info.mode, info.len_bytes), (0o604, 1 << 16));
    assert!(matches!(info.entries[3].kind(), EntryKind::Array(layout) if *layout == large), "as created");
}

#[test]
fn the_shape_follows_growth() {
    let name = Name::shm("grown");
    let place = SegmentOptions::new().reserve_max(1 << 16).named(&name).unwrap();
    let mut array = SharedArray::<u8, _>::zeros(place, (10, 7)).unwrap();
    assert_eq!(inspect(&name).unwrap().array().unwrap().shape(), [10, 7]);
    array.grow(1000).unwrap();
    assert_eq!(inspect(&name).unwrap().array().unwrap().shape(), [1000, 7]);
}

#[test]
fn memory_that_may_be_missing_is_said_to_be() {
    let name = Name::shm("sparse");
    let segment = SegmentOptions::new().sparse(true).create(&name, &bytes(1 << 20)).unwrap();
    let text = inspect(&name).unwrap().not_guaranteed.unwrap();
    assert!(text.contains("sparse"), "{text}");
    drop(segment);
    let reserved = SharedArray::<u8, _>::zeros(Anonymous, 10).unwrap();
    assert_eq!(reserved.segment().info().unwrap().not_guaranteed, None);
    let sparse = SegmentOptions::new().sparse(true).create_anonymous(&bytes(10)).unwrap();
    assert!(sparse.info().unwrap().not_guaranteed.is_some());
}

#[test]
fn what_has_no_name_tells_about_itself() {
    let array = SharedArray::<i64, _>::zeros(Anonymous, (2, 2)).unwrap();
    let info = array.segment().info().unwrap();
    assert_eq!((info.name, info.attached, info.creator), (None, true, Identity::current()));
    assert_eq!(info.len_bytes, array.segment().len());

    let name = Name::shm("deleted");
    let array = SharedArray::<i64, _>::zeros(&name, (2, 2)).unwrap();
    delete(&name).unwrap();
    assert!(array.segment().info().unwrap().attached);
    assert!(listed(&name).is_none());
}

/// Names and bytes of all regular files, and the kinds of everything else.
fn snapshot(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let content = |path: &Path| match path.symlink_metadata().unwrap() {
        found if found.is_file() => std::fs::read(path).unwrap(),
        found => format!("{:?}", found.file_type()).into_bytes(),
    };
    entries.map(|entry| (entry.file_name(), content(&entry.path()))).collect()
}

#[test]
fn a_directory_is_listed_in_order_and_left_as_it_is() {
    let _alone = alone();
    let folder = Folder::new("folder");
    for name in ["b", "a", "c", "ä b"] {
        SharedArray::from_iter(file(&folder, name), 0..5u64).unwrap();
    }
    // Everything else that can be there.
    let bytes = std::fs::read(folder.path().join("a")).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("empty", b"");
    put("text", b"Dear reader, I am no segment, however long I get.");
    put("short", &bytes[..100]);
    put("truncated", &bytes[..bytes.len() - 1]);
    put("longer", &[&bytes[..], b"!"].concat());
    for at in [8, 16, 40, 100, 184, 192, 256, 264] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x80;
        put(&format!("damaged-{at}"), &damaged);
    }
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let fifo = std::ffi::CString::new(folder.path().join("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string that lives through the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);

    let before = snapshot(folder.path());
    let found = list_in(folder.path()).unwrap();
    let names: Vec<_> = found.iter().map(|info| info.name.clone().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "ä b"].map(|name| file(&folder, name)));
    for info in &found {
        assert_eq!(info.array().unwrap().shape(), [5]);
        assert_eq!(format!("{info:?}"), format!("{:?}", inspect(info.name.as_ref().unwrap()).unwrap()));
    }
    for name in ["empty", "text", "link", "directory", "fifo", "socket"] {
        let name = file(&folder, name);
        refused(inspect(&name), ErrorKind::NotASegment, &["inspect", &name.to_string()]);
    }
    for name in ["short", "truncated", "longer", "damaged-100", "damaged-184", "damaged-192"] {
        let name = file(&folder, name);
        refused(inspect(&name), ErrorKind::Corrupted, &["inspect", &name.to_string()]);
    }
    assert_eq!(snapshot(folder.path()), before);

    let missing = folder.path().join("missing");
    refused(list_in(&missing), ErrorKind::System, &["list", missing.to_str().unwrap()]);
}

#[test]
fn a_creator_is_alive_until_it_has_ended() {
    let _alone = alone();
    for signal in [None, Some(libc::SIGKILL)] {
        let name = Name::shm("creator");
        let line = Line::new();
        let mut child = fork_child(|| {
            SharedArray::<u8, _>::zeros(&name, 1).unwrap();
            line.tell_parent(1);
            line.hear_parent();
            0
        });
        line.hear_child(&mut child);
        let info = look(&name);
        assert_eq!((info.creator.pid, info.creator_liveness), (child.pid() as u32, Liveness::Alive));
        assert!(!info.attached, "alive, and not attached any more");
        match signal {
            Some(signal) => child.kill(signal),
            None => line.tell_child(1),
        }
        // SAFETY: the child is this process's; `found` is a valid place for the length of the call. It stays a zombie.
        let ended = unsafe {
            let mut found: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, child.pid() as u32, &mut found, libc::WEXITED | libc::WNOWAIT)
        };
        assert_eq!(ended, 0);
        assert_eq!(look(&name).creator_liveness, Liveness::Dead, "a zombie");
        child.wait();
        let info = look(&name);
        assert_eq!((info.creator_liveness, info.attached), (Liveness::Dead, false));
        let _heir = Segment::attach(&name).unwrap();
        let info = look(&name);
        assert_eq!((info.creator_liveness, info.attached), (Liveness::Dead, true), "others attach it");
    }
}

#[test]
fn a_creator_out_of_sight_may_be_alive_or_dead() {
    let _alone = alone();
    let name = Name::shm("namespace");
    let mut child = fork_child(|| {
        // SAFETY: no memory is involved. What changes is the namespace of this child's children.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            return 77;
        }
        fork(|| drop(SharedArray::<u8, _>::zeros(&name, 1).unwrap())).expect_success();
        0
    });
    match child.wait() {
        Status::Exited(0) => assert_eq!(look(&name).creator_liveness, Liveness::Unknown),
        Status::Exited(77) => {
            skip("a_creator_out_of_sight_may_be_alive_or_dead", "no pid namespace can be made here");
        }
        other => panic!("the child {other}: {:?}", child.panic_message()),
    }
}

#[test]
fn attached_means_that_anybody_is() {
    let _alone = alone();
    let name = Name::shm("attached");
    drop(SharedArray::<u8, _>::zeros(&name, 1).unwrap());
    assert!(!look(&name).attached);
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let options = SegmentOptions::new().access(access);
        let mine = options.attach(&name).unwrap();
        assert!(look(&name).attached, "{access:?}, by this process");
        drop(mine);
        assert!(!look(&name).attached);

        let line = Line::new();
        let mut child = fork(|| {
            let theirs = options.attach(&name).unwrap();
            line.tell_parent(1);
            line.hear_parent();
            drop(theirs);
            line.tell_parent(2);
            let _theirs = options.attach(&name).unwrap();
            line.tell_parent(3);
            stay();
        });
        line.hear_child(&mut child);
        assert!(look(&name).attached, "{access:?}, by another process");
        line.tell_child(1);
        while line.hear_child(&mut child) != 3 {}
        assert!(look(&name).attached);
        sigkill(child);
        assert!(!look(&name).attached, "{access:?}, killed");
    }

    // By inheritance alone.
    let mine = Segment::attach(&name).unwrap();
    let heir = fork(|| stay());
    drop(mine);
    assert!(look(&name).attached);
    sigkill(heir);
    assert!(!look(&name).attached);

    // By a reference on its way.
    let (here, there) = UnixStream::pair().unwrap();
    Segment::attach(&name).unwrap().lease().unwrap().send(&here).unwrap();
    assert!(look(&name).attached, "by a lease in a socket");
    drop(Lease::receive(&there).unwrap());
    assert!(!look(&name).attached);
}

#[test]
fn the_holder_of_the_exclusive_lease_is_named() {
    let _alone = alone();
    let name = Name::shm("lease");
    let mut mine = SharedArray::<u8, _>::zeros(&name, 1).unwrap();
    assert_eq!(look(&name).leased_by, None);
    let lease = mine.exclusive().unwrap();
    let info = look(&name);
    assert_eq!((info.leased_by, info.attached), (Some(std::process::id()), true));
    drop(lease);
    assert_eq!(look(&name).leased_by, None);
    drop(mine);

    let line = Line::new();
    let mut child = fork(|| {
        let mut theirs = SharedArray::<u8, Ix1>::attach(&name).unwrap();
        let _lease = theirs.exclusive().unwrap();
        line.tell_parent(1);
        stay();
    });
    line.hear_child(&mut child);
    assert_eq!(look(&name).leased_by, Some(child.pid() as u32));
    assert_eq!(kind(Segment::attach(&name)), ErrorKind::Busy, "looking did not end it");
    sigkill(child);
    // Its number is still in the header; the lock decides.
    let info = look(&name);
    assert_eq!((info.leased_by, info.attached), (None, false));
}

#[test]
fn looking_takes_nothing_and_gives_nothing_up() {
    let _alone = alone();
    let name = Name::shm("looking");
    let place = SegmentOptions::new().lifetime(Lifetime::LastDetach).named(&name).unwrap();
    let mut array = SharedArray::<u8, _>::zeros(place, 1).unwrap();
    let object = Object::of(array.segment());
    assert_eq!(object.uses(), (1, 1));
    // Locks that belong to the process, as those of POSIX, would be lost as soon as a second descriptor is closed.
    let others_find_it = || fork_child(|| i32::from(Segment::attach(&name).is_err())).expect_success();
    for _ in 0..3 {
        look(&name);
        array.segment().info().unwrap();
        assert_eq!(object.uses(), (1, 1));
        others_find_it();
    }
    let lease = array.exclusive().unwrap();
    look(&name);
    fork(|| assert_eq!(kind(Segment::attach(&name)), ErrorKind::Busy)).expect_success();
    drop(lease);
    others_find_it();
    let stranger = SegmentOptions::new().create(Name::shm("stranger"), &bytes(1)).unwrap();
    look(&name);
    assert_eq!(Object::of(&stranger).uses(), (1, 1));
}

#[test]
fn looking_never_disturbs_those_at_work() {
    let _alone = alone();
    const LOOKS: usize = 500;
    let [kept, leased, passing, ending] = ["kept", "leased", "passing", "ending"].map(Name::shm);
    let last = SegmentOptions::new().lifetime(Lifetime::LastDetach);
    let _holder = SharedArray::<u64, _>::full(last.named(&kept).unwrap(), 10, 7).unwrap();
    // Set when enough was looked; and how often each of the others has done its work.
    let stop = SharedArray::<u8, _>::zeros(Anonymous, ()).unwrap();
    let done = SharedArray::<u64, _>::zeros(Anonymous, 4).unwrap();
    let work = |me: usize, step: &mut dyn FnMut()| {
        while stop.get(()) == 0 {
            step();
            done.set(me, done.get(me) + 1);
        }
    };

    let mut at_work = [
        fork(|| work(0, &mut || assert_eq!(SharedArray::<u64, Ix1>::attach(&kept).unwrap().get(9), 7))),
        fork(|| {
            let mut mine = SharedArray::<u64, _>::zeros(&leased, 1).unwrap();
            work(1, &mut || mine.exclusive().unwrap().view_mut()[0] += 1);
        }),
        fork(|| {
            work(2, &mut || {
                let _mine = SharedArray::<u64, _>::zeros(&passing, (2, 2)).unwrap();
                delete(&passing).unwrap();
            });
        }),
        fork(|| {
            work(3, &mut || {
                let _mine = SharedArray::<u64, _>::full(last.named(&ending).unwrap(), 2, 5).unwrap();
                assert_eq!(SharedArray::<u64, Ix1>::attach(&ending).unwrap().get(1), 5);
            });
        }),
    ];

    let mut seen = [0; 2];
    for round in 0.. {
        let everybody_works = done.to_ndarray().iter().all(|steps| *steps >= 100);
        if (round >= LOOKS && everybody_works) || at_work.iter_mut().any(|child| child.try_wait().is_some()) {
            break;
        }
        let info = inspect(&kept).unwrap();
        assert!(info.attached && info.leased_by.is_none());
        for _ in 0..10 {
            match inspect(&leased) {
                // Its number is written a moment after the lock is taken.
                Ok(info) => assert!([None, Some(0), Some(at_work[1].pid() as u32)].contains(&info.leased_by)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        for (i, (name, shape)) in [(&passing, &[2, 2][..]), (&ending, &[2])].into_iter().enumerate() {
            match inspect(name) {
                Ok(info) => {
                    assert_eq!(info.array().unwrap().shape(), shape, "whole or not at all");
                    seen[i] += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        if round % 20 == 0 {
            assert!(listed(&kept).unwrap().attached);
        }
    }
    stop.set((), 1);
    at_work.into_iter().for_each(shm_testkit::Child::expect_success);
    assert!(seen.iter().all(|times| *times > 0), "never met at work: {seen:?}");
    assert!(!passing.exists() && !ending.exists());
}

#[test]
fn the_dead_are_not_shown_and_go() {
    let _alone = alone();
    let folder = Folder::new("dead");
    let look_by: [fn(&SegmentName, &Folder); 2] = [
        |name, _| assert_eq!(kind(inspect(name)), ErrorKind::NotFound),
        |_, folder| assert_eq!(list_in(folder.path()).unwrap().len(), 1),
    ];
    SegmentOptions::new().create(file(&folder, "living"), &bytes(1)).unwrap();
    for lifetime in [Lifetime::LastDetach, Lifetime::Scoped] {
        for look in look_by {
            let name = file(&folder, "dead");
            let line = Line::new();
            let mut child = fork(|| {
                let options = SegmentOptions::new().lifetime(lifetime);
                let _mine = options.create(&name, &bytes(1)).unwrap();
                line.tell_parent(1);
                stay();
            });
            line.hear_child(&mut child);
            assert_eq!(list_in(folder.path()).unwrap().len(), 2);
            sigkill(child);
            assert!(name.path().exists());
            look(&name, &folder);
            assert!(!name.path().exists() && folder.path().join("living").exists());
        }
    }
}

#[test]
fn other_users_see_what_they_may_read() {
    if !is_root("other_users_see_what_they_may_read") {
        return;
    }
    let _alone = alone();
    let [open, private, theirs, dead] = ["open", "private", "theirs", "dead"].map(Name::shm);
    let _open = SegmentOptions::new().mode(0o644).create(&open, &bytes(1)).unwrap();
    let _private = SegmentOptions::new().create(&private, &bytes(1)).unwrap();
    fork(|| {
        let options = SegmentOptions::new().mode(0o666).lifetime(Lifetime::LastDetach);
        let mine = options.create(&dead, &bytes(1)).unwrap();
        std::mem::forget(mine); // ends with the process
    })
    .expect_success();

    let line = Line::new();
    let mut child = fork(|| {
        become_nobody();
        let info = look(&open);
        assert_eq!((info.owner_uid, info.mode, info.attached), (0, 0o644, true));
        refused(inspect(&private), ErrorKind::PermissionDenied, &["inspect", &private.text(), "user 0"]);
        assert!(listed(&private).is_none());
        assert_eq!(kind(inspect(&dead)), ErrorKind::NotFound);
        assert!(listed(&dead).is_none());
        let _mine = SharedArray::<u8, _>::zeros(&theirs, (1, 1)).unwrap();
        line.tell_parent(1);
        stay();
    });
    line.hear_child(&mut child);
    assert!(dead.exists(), "only its owner removes it");
    let info = look(&theirs);
    assert_eq!((info.owner_uid, info.attached, info.creator.pid), (65534, true, child.pid() as u32));
    assert_eq!(
        kind(SharedArray::<u8, Ix2>::attach(&theirs)),
        ErrorKind::ForeignOwner,
        "looking is not attaching"
    );
    sigkill(child);
    assert!(listed(&dead).is_none() && !dead.exists());
}
