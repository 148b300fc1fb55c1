//! Looking from outside: what `list` and `inspect` say, and that asking disturbs nobody.

mod common;

use std::time::{Duration, SystemTime};

use common::{Folder, Line, Name, alone, fork, kind, sigkill, stay};
use ndarray::Ix1;
use shm_core::{
    Access, Anonymous, Arena, Contents, ElementType, EntryKind, ErrorKind, Identity, Lifetime, Liveness,
    Segment, SegmentInfo, SegmentKind, SegmentName, SegmentOptions, SharedArray, delete, inspect, list,
    list_in, reap,
};
use shm_testkit::Child;

/// What `list` says about a name, if anything.
fn listed(name: &Name) -> Option<SegmentInfo> {
    list().unwrap().into_iter().find(|info| info.name.as_ref().is_some_and(|n| n.path() == name.path()))
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
    let mut kept = Vec::new();
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
        kept.push(name);
    }
    let names: Vec<String> = list_in(folder.path())
        .unwrap()
        .iter()
        .map(|info| info.name.as_ref().unwrap().path().file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["Arena", "Array", "Pool", "Primitive"], "in the order of the names");
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
    let lease = Segment::attach(&name).unwrap().lease().unwrap();
    assert_eq!(is_attached(), (true, true), "by a lease");
    drop(lease);
    assert_eq!(is_attached(), (false, false));
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
fn what_is_no_segment_is_passed_over() {
    let _alone = alone();
    let folder = Folder::new("others");
    let at = |text: &str| SegmentName::file(folder.path().join(text)).unwrap();
    for (text, content) in
        [("empty", &b""[..]), ("text", b"text"), ("damaged", b"\x89SHM\r\n\x1a\n and no more")]
    {
        std::fs::write(at(text).path(), content).unwrap();
    }
    std::fs::create_dir(at("folder").path()).unwrap();
    assert!(list_in(folder.path()).unwrap().is_empty());
    SharedArray::<u8, _>::zeros(at("segment"), 1).unwrap();
    std::os::unix::fs::symlink("segment", at("link").path()).unwrap();
    let names: Vec<_> = list_in(folder.path()).unwrap().into_iter().filter_map(|info| info.name).collect();
    assert_eq!(names, [at("segment")]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6, "and left alone");
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
