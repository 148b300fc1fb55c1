//! Looking from outside: what `list` and `inspect` say, also of creators out of sight, other users, the dead and what is no segment; and that asking
//! takes nothing and disturbs nobody.

#![allow(unsafe_code, reason = "makes a pid namespace")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{
    Folder, Line, Name, Object, alone, become_nobody, fork, is_root, kind, make_node, refused, sigkill, skip,
    stay,
};
use ndarray::{Ix1, Ix2};
use shm_core::{
    Access, Anonymous, Arena, AsSegmentName, Contents, ElementType, EntryKind, ErrorKind, Identity, Lease,
    Lifetime, Liveness, Segment, SegmentInfo, SegmentKind, SegmentName, SegmentOptions, SharedArray, delete,
    inspect, list, list_in, reap,
};
use shm_testkit::{Child, Status, fork_child};

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
fn smoke_every_field() {
    let _alone = alone();
    let name = Name::shm("fields");
    let before = SystemTime::now() - Duration::from_millis(10);
    let options = SegmentOptions::new().mode(0o640).lifetime(Lifetime::LastDetach).reserve_max(1 << 20);
    let mut array = SharedArray::<f32, _>::zeros(options.named(&name).unwrap(), (5, 7)).unwrap();
    let asked = [inspect(&name).unwrap(), listed(&name).unwrap(), array.segment().info().unwrap()];
    for info in asked {
        assert_eq!(info.name.as_ref().map(ToString::to_string), Some(name.text()));
        assert_eq!((info.kind, info.lifetime), (SegmentKind::Array, Lifetime::LastDetach));
        let layout = info.array().unwrap();
        assert_eq!((layout.element(), layout.shape()), (&ElementType::F32, &[5, 7][..]));
        assert!(matches!(&info.entries[..], [only] if matches!(only.kind(), EntryKind::Array(_))));
        assert_eq!((info.len_bytes, info.capacity_bytes), (array.segment().len(), 1 << 20));
        assert_eq!(info.len_bytes as u64, name.path().metadata().unwrap().len());
        assert_eq!(info.mode, 0o640);
        assert_eq!(info.owner_uid, rustix::process::geteuid().as_raw());
        assert_eq!((info.creator, info.creator_liveness), (Identity::current(), Liveness::Alive));
        assert!(
            info.created_at >= before && info.created_at <= SystemTime::now() + Duration::from_millis(10)
        );
        assert!(info.attached);
        assert_eq!((info.leased_by, info.not_guaranteed), (None, None));
    }
    // What grows is told as it is now, not as it was made.
    array.grow(100).unwrap();
    let info = inspect(&name).unwrap();
    assert_eq!((info.array().unwrap().shape(), info.len_bytes), (&[100, 7][..], array.segment().len()));
    assert!(matches!(info.entries[0].kind(), EntryKind::Array(layout) if layout.shape() == [5, 7]));
}

#[test]
fn every_kind_is_told() {
    let _alone = alone();
    let folder = Folder::new("kinds");
    for kind in [SegmentKind::Array, SegmentKind::Primitive, SegmentKind::Arena, SegmentKind::Pool] {
        let name = Name::inside(&folder, &format!("{kind:?}"));
        let contents = Contents::new()
            .kind(kind)
            .primitive("lock", 3, 64, 64)
            .and_then(|c| c.arena("heap", Arena::MIN_LEN))
            .unwrap();
        SegmentOptions::new().create(&name, &contents).unwrap();
        let info = inspect(&name).unwrap();
        assert_eq!(info.kind, kind);
        assert!(info.array().is_none());
        let kinds: Vec<_> = info.entries.iter().map(|entry| entry.kind().clone()).collect();
        assert_eq!(kinds, [EntryKind::Primitive(3), EntryKind::Arena]);
        assert!(!info.attached);
        assert_eq!(
            (info.lifetime, info.owner_uid),
            (Lifetime::Persistent, rustix::process::geteuid().as_raw())
        );
    }
}

#[test]
fn creators_are_alive_or_dead() {
    let _alone = alone();
    let (exited, killed, living) = (Name::shm("exited"), Name::shm("killed"), Name::shm("living"));
    let create = |name: &Name| drop(SharedArray::<u8, _>::zeros(name, 10).unwrap());
    let mut child = fork(|| create(&exited));
    let pid = child.pid() as u32;
    child.wait();
    let info = inspect(&exited).unwrap();
    assert_eq!((info.creator.pid, info.creator_liveness, info.attached), (pid, Liveness::Dead, false));

    let line = Line::new();
    let mut child = fork(|| {
        create(&killed);
        line.tell_parent(0);
        stay();
    });
    line.hear_child(&mut child);
    let info = inspect(&killed).unwrap();
    assert_eq!((info.creator.pid, info.creator_liveness), (child.pid() as u32, Liveness::Alive));
    assert_ne!(info.creator.start_time, 0);
    assert!(!info.attached, "alive, but it has let go");
    // A zombie is dead: it is killed and nobody has waited for it yet.
    child.kill(libc::SIGKILL);
    while inspect(&killed).unwrap().creator_liveness == Liveness::Alive {
        std::thread::yield_now();
    }
    assert_eq!(listed(&killed).unwrap().creator_liveness, Liveness::Dead);
    child.wait();
    assert_eq!(listed(&killed).unwrap().creator_liveness, Liveness::Dead);

    create(&living);
    assert_eq!(inspect(&living).unwrap().creator, Identity::current());
    // A child asks about its parent, and is another creator than that.
    fork(|| {
        let info = inspect(&living).unwrap();
        assert_eq!(info.creator_liveness, Liveness::Alive);
        assert_ne!(info.creator, Identity::current());
        assert_eq!(Identity::current().pid, std::process::id());
    })
    .expect_success();
}

#[test]
fn attached_by_whom_it_may_be() {
    let _alone = alone();
    let name = Name::shm("attached");
    let array = SharedArray::<u8, _>::zeros(&name, 10).unwrap();
    let is_attached = || (inspect(&name).unwrap().attached, listed(&name).unwrap().attached);
    assert_eq!(is_attached(), (true, true), "by this process");
    drop(array);
    assert_eq!(is_attached(), (false, false));
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let line = Line::new();
        let mut child = fork(|| {
            let _segment = SegmentOptions::new().access(access).attach(&name).unwrap();
            line.tell_parent(0);
            stay();
        });
        line.hear_child(&mut child);
        assert_eq!(is_attached(), (true, true), "{access:?}");
        sigkill(child);
        assert_eq!(is_attached(), (false, false), "{access:?}");
    }
}

#[test]
fn the_holder_of_the_lease_is_told() {
    let _alone = alone();
    let name = Name::shm("leased");
    drop(SharedArray::<u8, _>::zeros(&name, 10).unwrap());
    let line = Line::new();
    let mut holder = fork(|| {
        let mut array = SharedArray::<u8, Ix1>::attach(&name).unwrap();
        let _lease = array.exclusive().unwrap();
        line.tell_parent(0);
        stay();
    });
    line.hear_child(&mut holder);
    let pid = Some(holder.pid() as u32);
    assert_eq!((inspect(&name).unwrap().leased_by, listed(&name).unwrap().leased_by), (pid, pid));
    sigkill(holder);
    assert_eq!((inspect(&name).unwrap().leased_by, listed(&name).unwrap().leased_by), (None, None));
}

#[test]
fn what_is_there_is_listed_once_and_what_is_not_is_not() {
    let _alone = alone();
    let name = Name::shm("smoke");
    refused(inspect(&name), ErrorKind::NotFound, &[&name.text(), "inspect"]);
    assert!(listed(&name).is_none());
    let segment = SegmentOptions::new().create(&name, &bytes(1)).unwrap();
    assert_eq!(look(&name).len_bytes, segment.len());
    delete(&name).unwrap();
    assert!(listed(&name).is_none());
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
    make_node(&folder.path().join("fifo"), libc::S_IFIFO, 0).unwrap();

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
fn attached_by_inheritance_or_on_its_way() {
    let _alone = alone();
    let name = Name::shm("attached");
    let mine = SegmentOptions::new().create(&name, &bytes(1)).unwrap();
    let heir = fork(|| stay());
    drop(mine);
    assert!(look(&name).attached, "by a child that inherited it");
    sigkill(heir);
    assert!(!look(&name).attached);

    let (here, there) = UnixStream::pair().unwrap();
    Segment::attach(&name).unwrap().lease().unwrap().send(&here).unwrap();
    assert!(look(&name).attached, "by a lease in a socket");
    drop(Lease::receive(&there).unwrap());
    assert!(!look(&name).attached);
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
    let other = Name::shm("other");
    let stranger = SegmentOptions::new().create(&other, &bytes(1)).unwrap();
    look(&name);
    assert_eq!(Object::of(&stranger).uses(), (1, 1));
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

/// Two children that ask in all ways until they are told to stop.
struct Askers {
    /// Stop, and who has begun.
    words: SharedArray<u8, Ix1>,
    children: Vec<Child>,
}

impl Askers {
    fn start(name: &Name) -> Askers {
        let words = SharedArray::<u8, _>::zeros(Anonymous, 3).unwrap();
        let ask = |i| {
            fork(|| {
                while words.get(0) == 0 {
                    if let Err(error) = inspect(name) {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    }
                    list().unwrap();
                    reap().unwrap();
                    words.set(i, 1);
                }
            })
        };
        let mut children: Vec<Child> = (1..3).map(ask).collect();
        while words.get(1) + words.get(2) < 2 {
            assert!(children.iter_mut().all(|child| child.try_wait().is_none()));
            std::thread::yield_now();
        }
        Askers { words, children }
    }

    fn stop(self) {
        self.words.set(0, 1);
        self.children.into_iter().for_each(Child::expect_success);
    }
}

#[test]
fn asking_disturbs_nobody_who_attaches() {
    let _alone = alone();
    for lifetime in [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped] {
        let name = Name::shm("attach-loop");
        let askers = Askers::start(&name);
        let line = Line::new();
        // Somebody keeps it alive, and shares nothing with those who come and go.
        let mut keeper = fork(|| {
            let options = SegmentOptions::new().lifetime(lifetime);
            let _array = SharedArray::<u8, _>::zeros(options.named(&name).unwrap(), 10).unwrap();
            line.tell_parent(0);
            line.hear_parent();
        });
        line.hear_child(&mut keeper);
        for _ in 0..5000 {
            let segment = Segment::attach(&name).unwrap_or_else(|error| panic!("{lifetime:?}: {error}"));
            assert!(inspect(&name).unwrap().attached);
            drop(segment);
        }
        line.tell_child(0);
        keeper.expect_success();
        askers.stop();
    }
}

#[test]
fn asking_disturbs_nobody_who_wants_to_be_alone_or_to_create() {
    let _alone = alone();
    let name = Name::shm("exclusive-loop");
    let askers = Askers::start(&name);
    for _ in 0..2000 {
        let options = SegmentOptions::new().lifetime(Lifetime::LastDetach);
        let mut array = SharedArray::<u64, _>::zeros(options.named(&name).unwrap(), 10).unwrap();
        for _ in 0..3 {
            array.exclusive().unwrap().view_mut()[0] += 1;
        }
        assert_eq!(array.get(0), 3);
        drop(array);
        assert!(!name.exists());
    }
    askers.stop();
    assert_eq!(kind(delete(&name)), ErrorKind::NotFound);
}
