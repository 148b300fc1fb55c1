//! What bad input gets: an error that names the thing and says what to do, and nothing changed.
//!
//! Damaged bytes behind a name are in `hostile_bytes.rs`, what does not fit is in `no_room.rs`.

mod common;

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{Folder, Name, Object, alone, become_nobody, fork, is_root, kind, make_node, refused, skip};
use ndarray::{Ix1, Ix2, IxDyn};
use shm_core::element::BigEndian;
use shm_core::{
    Access, Anonymous, AnyArray, ArrayLayout, Contents, ElementType, ErrorKind, Lifetime, Segment,
    SegmentName, SegmentOptions, SharedArray, delete, inspect, list, list_in, reap,
};

fn bytes(len: usize) -> Contents {
    Contents::new().bytes("", len, 1).unwrap()
}

/// Path, object, mode, links, time of the last change and a checksum of the content.
type Entry = (PathBuf, Object, u32, u64, i64, u32);

/// Everything about the entries of a folder that could be changed or destroyed.
fn snapshot(folder: &Path) -> Vec<Entry> {
    let mine = format!("shmtest-{}-", std::process::id());
    let is_mine =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&mine));
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| folder != Path::new("/dev/shm") || is_mine(path))
        .map(|path| {
            let found = path.symlink_metadata().unwrap();
            let content = match found.file_type() {
                kind if kind.is_file() => std::fs::read(&path).unwrap(),
                kind if kind.is_symlink() => {
                    std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
                }
                _ => Vec::new(),
            };
            let object = Object::at(&path).unwrap();
            (path, object, found.mode(), found.nlink(), found.mtime_nsec(), crc32fast::hash(&content))
        })
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

#[test]
fn smoke_no_such_name() {
    let _alone = alone();
    let (shm, file) = (Name::shm("nothing"), Name::file("nothing"));
    for name in [&shm, &file] {
        let parts = [name.text(), "no segment has this name".to_owned(), "create it first".to_owned()];
        let parts = parts.each_ref().map(String::as_str);
        refused(Segment::attach(name), ErrorKind::NotFound, &parts);
        refused(SegmentOptions::new().read_only().attach(name), ErrorKind::NotFound, &parts);
        refused(inspect(name), ErrorKind::NotFound, &parts);
        refused(delete(name), ErrorKind::NotFound, &parts);
        refused(SharedArray::<f64, Ix1>::attach(name), ErrorKind::NotFound, &parts);
        assert!(!name.exists());
    }
    let nowhere = "file:///no/such/folder/x";
    let error = refused(
        SegmentOptions::new().create(nowhere, &bytes(1)),
        ErrorKind::NotFound,
        &["/no/such/folder", "make the directory first"],
    );
    assert_eq!((error.operation(), error.subject()), ("create", nowhere));
    let text = Name::file("not-a-folder");
    std::fs::write(text.path(), "x").unwrap();
    let inside = format!("{}/x", text.text());
    refused(Segment::attach(&inside), ErrorKind::NotFound, &[&inside, "no segment has this name"]);
    refused(SegmentOptions::new().create(&inside, &bytes(1)), ErrorKind::NotFound, &["make the directory"]);
}

#[test]
fn the_name_is_taken() {
    let _alone = alone();
    let name = Name::shm("taken");
    let first = SharedArray::<u64, _>::full(&name, 100, 7).unwrap();
    let before = snapshot(Path::new("/dev/shm")).into_iter().find(|e| e.0 == name.path());
    let parts = [&name.text(), "the name is taken", "attach to it, delete it, or choose another name"];
    refused(SegmentOptions::new().create(&name, &bytes(1)), ErrorKind::AlreadyExists, &parts);
    refused(SharedArray::<u64, _>::zeros(&name, 100), ErrorKind::AlreadyExists, &parts);
    refused(SharedArray::from_iter(&name, [1u8]), ErrorKind::AlreadyExists, &parts);
    assert_eq!(snapshot(Path::new("/dev/shm")).into_iter().find(|e| e.0 == name.path()), before);
    assert_eq!(first.get(99), 7);
}

#[test]
fn bad_names() {
    let _alone = alone();
    let long = "x".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "/a",
        "a\0b",
        "a\nb",
        "\u{7f}",
        &long,
        "ftp://x",
        "shm://",
        "shm://a/b",
        "file://",
        "file://a/",
        "file://..",
        "file:///tmp/a/.",
        "file:///tmp/a\0",
        &format!("file:///{long}/a"),
        &format!("file:///{}", "a/".repeat(2100) + "b"),
    ] {
        let all = [
            Segment::attach(name).map(drop),
            inspect(name).map(drop),
            delete(name),
            SegmentOptions::new().create(name, &bytes(1)).map(drop),
            SegmentOptions::new().create_or_attach(name, &bytes(1)).map(drop),
            SharedArray::<u8, _>::zeros(name, 1).map(drop),
            SharedArray::<u8, Ix1>::attach(name).map(drop),
            SegmentOptions::new().named(name).map(drop),
        ];
        for result in all {
            let error = refused(result, ErrorKind::InvalidName, &["; "]);
            assert!(!error.to_string().contains(['\0', '\n', '\u{7f}']), "odd bytes are shown escaped");
        }
    }
}

/// Checks that nothing can be done with what is there, and that it stays as it is.
fn in_the_way(name: &SegmentName, what: &str) {
    let folder = name.path().parent().unwrap();
    let before = snapshot(folder);
    let subject = name.to_string();
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let result = SegmentOptions::new().access(access).attach(name);
        refused(result, ErrorKind::NotASegment, &[&subject, what, "check the name"]);
    }
    refused(inspect(name), ErrorKind::NotASegment, &["cannot inspect", &subject, what]);
    refused(delete(name), ErrorKind::NotASegment, &["cannot delete", &subject, what]);
    for lifetime in [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped] {
        let options = SegmentOptions::new().lifetime(lifetime);
        refused(options.create(name, &bytes(1)), ErrorKind::AlreadyExists, &[&subject, "taken"]);
        refused(options.create_or_attach(name, &bytes(1)), ErrorKind::NotASegment, &[&subject, what]);
    }
    assert!(list_in(folder).unwrap().iter().all(|info| info.name.as_ref() != Some(name)));
    assert!(shm_core::reap_in(folder).unwrap().is_empty());
    assert_eq!(snapshot(folder), before);
}

#[test]
fn something_else_in_place_of_a_segment() {
    let _alone = alone();
    let folder = Folder::new("odd");
    let at = |text: &str| SegmentName::file(folder.path().join(text)).unwrap();
    std::fs::write(at("empty").path(), "").unwrap();
    std::fs::write(at("text").path(), "some text\n".repeat(1000)).unwrap();
    std::fs::write(at("almost").path(), b"\x89SHM\r\n\x1a\r").unwrap();
    std::fs::create_dir(at("folder").path()).unwrap();
    std::fs::write(at("folder").path().join("inside"), "x").unwrap();
    make_node(at("fifo").path(), libc::S_IFIFO, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket").path()).unwrap();
    symlink("nothing", at("dangling").path()).unwrap();
    SharedArray::<u8, _>::full(at("segment"), 100, 5).unwrap();
    symlink(at("segment").path(), at("link").path()).unwrap();
    symlink("folder", at("folder link").path()).unwrap();
    in_the_way(&at("empty"), "it is empty");
    in_the_way(&at("text"), "does not begin with the mark of a segment");
    in_the_way(&at("almost"), "does not begin with the mark of a segment");
    in_the_way(&at("folder"), "it is a directory");
    in_the_way(&at("fifo"), "FIFO");
    in_the_way(&at("socket"), "socket");
    in_the_way(&at("dangling"), "symbolic link");
    in_the_way(&at("link"), "symbolic link");
    in_the_way(&at("folder link"), "symbolic link");
    match make_node(at("device").path(), libc::S_IFCHR, libc::makedev(1, 5)) {
        Ok(()) if std::fs::File::open(at("device").path()).is_ok() => {
            assert!(at("device").path().symlink_metadata().unwrap().file_type().is_char_device());
            in_the_way(&at("device"), "it is a device");
        }
        _ => skip("something_else_in_place_of_a_segment, the device", "none can be made or opened here"),
    }
    refused(Segment::attach("file:///dev/zero"), ErrorKind::NotASegment, &["it is a device"]);
    assert_eq!(SharedArray::<u8, Ix1>::attach(at("segment")).unwrap().get(99), 5);
}

#[test]
fn links_on_the_way_that_lead_in_a_circle() {
    let _alone = alone();
    let folder = Folder::new("circle");
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    let name = SegmentName::file(folder.path().join("a/segment")).unwrap();
    let before = snapshot(folder.path());
    for result in [
        Segment::attach(&name).map(drop),
        inspect(&name).map(drop),
        delete(&name),
        SegmentOptions::new().create(&name, &bytes(1)).map(drop),
        SegmentOptions::new().create_or_attach(&name, &bytes(1)).map(drop),
    ] {
        refused(result, ErrorKind::System, &[&name.to_string(), "circle", "/a lead", "use another path"]);
    }
    // The end of a name that is such a circle is a link like any other.
    in_the_way(&SegmentName::file(folder.path().join("b")).unwrap(), "it is a symbolic link");
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn something_else_in_shared_memory() {
    let _alone = alone();
    let (fifo, folder, link, target, text) =
        (Name::shm("fifo"), Name::shm("folder"), Name::shm("link"), Name::shm("target"), Name::shm("text"));
    make_node(fifo.path(), libc::S_IFIFO, 0).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    SharedArray::<u8, _>::full(&target, 100, 5).unwrap();
    symlink(target.path(), link.path()).unwrap();
    std::fs::write(text.path(), [0; 5000]).unwrap();
    for (name, what) in [(&fifo, "FIFO"), (&folder, "directory"), (&link, "symbolic link"), (&text, "mark")] {
        let name = SegmentName::shm(name.bare()).unwrap();
        let before = snapshot(Path::new("/dev/shm"));
        refused(Segment::attach(&name), ErrorKind::NotASegment, &[&name.to_string(), what]);
        refused(delete(&name), ErrorKind::NotASegment, &[what]);
        refused(inspect(&name), ErrorKind::NotASegment, &[what]);
        assert_eq!(kind(SegmentOptions::new().create(&name, &bytes(1))), ErrorKind::AlreadyExists);
        assert!(list().unwrap().iter().all(|info| info.name.as_ref() != Some(&name)));
        reap().unwrap();
        assert_eq!(snapshot(Path::new("/dev/shm")), before);
    }
}

#[test]
fn a_fifo_keeps_its_bytes() {
    let _alone = alone();
    let name = Name::shm("full-fifo");
    make_node(name.path(), libc::S_IFIFO, 0).unwrap();
    let mut fifo = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    fifo.write_all(b"seven!!").unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let result = SegmentOptions::new().access(access).attach(&name);
        refused(result, ErrorKind::NotASegment, &["FIFO"]);
    }
    refused(inspect(&name), ErrorKind::NotASegment, &["FIFO"]);
    refused(delete(&name), ErrorKind::NotASegment, &["FIFO"]);
    drop(SegmentOptions::new().create_or_attach(&name, &bytes(1)).unwrap_err());
    let mut found = [0; 7];
    fifo.read_exact(&mut found).unwrap();
    assert_eq!(&found, b"seven!!");
}

#[test]
fn failures_leave_nothing_open_or_mapped() {
    let _alone = alone();
    let (text, damaged, folder) = (Name::shm("text"), Name::shm("damaged"), Folder::new("leaks"));
    std::fs::write(text.path(), "text").unwrap();
    SharedArray::<u8, _>::zeros(&damaged, 10).unwrap();
    std::fs::File::options().write(true).open(damaged.path()).unwrap().set_len(4100).unwrap();
    let odd = SegmentName::file(folder.path()).unwrap();
    let failures = || {
        for name in
            [text.path(), damaged.path()].map(|path| SegmentName::file(path).unwrap()).iter().chain([&odd])
        {
            drop(Segment::attach(name).unwrap_err());
            drop(SegmentOptions::new().read_only().attach(name).unwrap_err());
            drop(inspect(name).unwrap_err());
            drop(SegmentOptions::new().create(name, &bytes(1)).unwrap_err());
        }
        drop(SharedArray::<f64, _>::zeros(&text, 1 << 45).unwrap_err());
        drop(SegmentOptions::new().create_anonymous(&bytes(1 << 48)).unwrap_err());
        // Fails after the object was made.
        drop(SegmentOptions::new().sparse(true).create_anonymous(&bytes(1 << 62)).unwrap_err());
        drop(SegmentOptions::new().reserve_max(1 << 62).create_anonymous(&bytes(1)).unwrap_err());
    };
    let count = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let ours = maps.lines().filter(|line| line.contains("/dev/shm/") || line.contains("memfd:")).count();
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = fds.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let open = targets.filter(|to| {
            let to = to.to_string_lossy();
            to.contains("/dev/shm/") || to.contains("memfd:") || to.contains("shmtest-")
        });
        (ours, open.count())
    };
    let before = count();
    (0..20).for_each(|_| failures());
    assert_eq!(count(), before);
}

#[test]
fn odd_bytes_in_a_path_do_not_reach_the_terminal() {
    let name = SegmentName::file("/tmp/no-such\n\x1b[31m-segment").unwrap();
    let error = refused(Segment::attach(&name), ErrorKind::NotFound, &[r"/tmp/no-such\n\u{1b}[31m-segment"]);
    assert_eq!(error.subject(), name.to_string());
}

#[test]
fn no_permission() {
    if !is_root("no_permission") {
        return;
    }
    let _alone = alone();
    let (private, folder) = (Name::shm("private"), Folder::new("no-permission"));
    let _array = SharedArray::<u8, _>::full(&private, 10, 1).unwrap();
    let inside = SegmentName::file(folder.path().join("inside")).unwrap();
    SharedArray::<u8, _>::full(&inside, 10, 1).unwrap();
    let before = (snapshot(Path::new("/dev/shm")), snapshot(folder.path()));
    fork(|| {
        become_nobody();
        let parts = [&private.text(), "user 0", "0o600", "owner"];
        for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
            let result = SegmentOptions::new().access(access).any_owner(true).attach(&private);
            refused(result, ErrorKind::PermissionDenied, &parts);
        }
        refused(inspect(&private), ErrorKind::PermissionDenied, &parts);
        refused(delete(&private), ErrorKind::PermissionDenied, &parts);
        refused(SegmentOptions::new().create(&private, &bytes(1)), ErrorKind::AlreadyExists, &["taken"]);
        assert!(
            list().unwrap().iter().all(|info| info.name.as_ref().is_some_and(|n| n.path() != private.path()))
        );
        // A folder that may not be written.
        let name = SegmentName::file(folder.path().join("new")).unwrap();
        let parts = [&name.to_string(), folder.path().to_str().unwrap(), "another directory"];
        refused(SegmentOptions::new().create(&name, &bytes(1)), ErrorKind::PermissionDenied, &parts);
    })
    .expect_success();
    // Not even to remove what is one's own.
    let own = SegmentName::file(folder.path().join("own")).unwrap();
    std::fs::copy(inside.path(), own.path()).unwrap();
    std::os::unix::fs::chown(own.path(), Some(65534), Some(65534)).unwrap();
    fork(|| {
        become_nobody();
        let parts = ["cannot delete", &own.to_string(), "remove names from", folder.path().to_str().unwrap()];
        refused(delete(&own), ErrorKind::PermissionDenied, &parts);
    })
    .expect_success();
    std::fs::remove_file(own.path()).unwrap();
    // A folder that may not even be searched.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    fork(|| {
        become_nobody();
        refused(Segment::attach(&inside), ErrorKind::PermissionDenied, &["forbids"]);
        refused(inspect(&inside), ErrorKind::PermissionDenied, &["forbids"]);
        refused(delete(&inside), ErrorKind::PermissionDenied, &["forbids"]);
        refused(list_in(folder.path()), ErrorKind::System, &["denied"]);
    })
    .expect_success();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!((snapshot(Path::new("/dev/shm")), snapshot(folder.path())), before);
}

#[test]
fn another_users_segment() {
    if !is_root("another_users_segment") {
        return;
    }
    let _alone = alone();
    let options = |mode| SegmentOptions::new().mode(mode);
    let (readable, writable, dead, theirs) =
        (Name::shm("readable"), Name::shm("writable"), Name::shm("dead"), Name::shm("theirs"));
    let mine = SharedArray::<u8, _>::full(options(0o644).named(&readable).unwrap(), 10, 1).unwrap();
    let open = SharedArray::<u8, _>::full(options(0o666).named(&writable).unwrap(), 10, 1).unwrap();
    fork(|| {
        let options = options(0o666).lifetime(Lifetime::LastDetach);
        std::mem::forget(options.create(&dead, &bytes(1)).unwrap());
    })
    .expect_success();
    let before = snapshot(Path::new("/dev/shm"));
    fork(|| {
        become_nobody();
        let parts = ["user 0", "user 65534", "any_owner"];
        let read_only = SegmentOptions::new().read_only();
        refused(read_only.attach(&readable), ErrorKind::ForeignOwner, &parts);
        refused(SegmentOptions::new().attach(&writable), ErrorKind::ForeignOwner, &parts);
        refused(
            SegmentOptions::new().create_or_attach(&writable, &bytes(1)),
            ErrorKind::ForeignOwner,
            &parts,
        );
        // Asked for, as far as the mode allows.
        let any = read_only.clone().any_owner(true);
        assert_eq!(SharedArray::<u8, Ix1>::attach_with(&readable, &any).unwrap().get(9), 1);
        let result = SegmentOptions::new().any_owner(true).attach(&readable);
        refused(result, ErrorKind::PermissionDenied, &["0o644", "read-only"]);
        let any = SegmentOptions::new().any_owner(true);
        SharedArray::<u8, Ix1>::attach_with(&writable, &any).unwrap().set(0, 9);
        // Looking is free, removing is not, whatever the mode.
        assert_eq!(inspect(&readable).unwrap().owner_uid, 0);
        assert!(
            list()
                .unwrap()
                .iter()
                .any(|info| info.name.as_ref().is_some_and(|n| n.path() == readable.path()))
        );
        let error = refused(delete(&writable), ErrorKind::ForeignOwner, &["user 0", "user 65534"]);
        assert!(!error.to_string().contains("any_owner"), "deleting has no such option: {error}");
        // Dead, but another user's: nobody but that user cleans up.
        assert_eq!(kind(SegmentOptions::new().any_owner(true).attach(&dead)), ErrorKind::NotFound);
        assert!(!reap().unwrap().iter().any(|n| n.path() == dead.path()));
        refused(SegmentOptions::new().create(&dead, &bytes(1)), ErrorKind::AlreadyExists, &["taken"]);
        let options = SegmentOptions::new().mode(0o666).lifetime(Lifetime::Persistent);
        options.create(&theirs, &bytes(1)).unwrap();
    })
    .expect_success();
    assert_eq!((open.get(0), mine.get(0)), (9, 1));
    open.set(0, 1);
    // Root may do anything, and is refused all the same unless it asks.
    refused(Segment::attach(&theirs), ErrorKind::ForeignOwner, &["user 65534", "user 0"]);
    assert!(SegmentOptions::new().any_owner(true).attach(&theirs).is_ok());
    refused(delete(&theirs), ErrorKind::ForeignOwner, &["user 65534"]);
    // The writable one was written, as its owner let everybody do; the others are as they were.
    let untouched = |mut all: Vec<_>| {
        all.retain(|entry: &Entry| [readable.path(), dead.path()].contains(&entry.0.as_path()));
        all
    };
    assert_eq!(untouched(snapshot(Path::new("/dev/shm"))), untouched(before));
    assert!(writable.exists() && theirs.exists());
    assert!(reap().unwrap().iter().any(|n| n.path() == dead.path()));
}

#[test]
fn a_text_file_of_another_user_is_named_as_theirs() {
    let _alone = alone();
    if !is_root("a_text_file_of_another_user_is_named_as_theirs") {
        return;
    }
    let name = Name::file("foreign-text");
    std::fs::write(name.path(), "text").unwrap();
    std::os::unix::fs::chown(name.path(), Some(65534), Some(65534)).unwrap();
    refused(Segment::attach(&name), ErrorKind::ForeignOwner, &["65534"]);
    refused(delete(&name), ErrorKind::ForeignOwner, &["65534"]);
    let any = SegmentOptions::new().any_owner(true);
    refused(any.attach(&name), ErrorKind::NotASegment, &["mark"]);
}

#[test]
fn another_element_type_or_shape() {
    let _alone = alone();
    let name = Name::shm("mismatch");
    let array = SharedArray::<f64, _>::full(&name, (3, 4), 1.5).unwrap();
    let before = snapshot(Path::new("/dev/shm")).into_iter().find(|e| e.0 == name.path());
    let types =
        |other: &str| [name.text(), "f64".to_owned(), other.to_owned(), "ask for the type".to_owned()];
    let check = |result: shm_core::Result<()>, parts: [String; 4], kind| {
        refused(result, kind, &parts.each_ref().map(String::as_str));
    };
    check(SharedArray::<i32, Ix2>::attach(&name).map(drop), types("i32"), ErrorKind::TypeMismatch);
    let big = SharedArray::<BigEndian<f64>, Ix2>::attach(&name).map(drop);
    check(big, types("f64 (big-endian)"), ErrorKind::TypeMismatch);
    check(SharedArray::<u64, IxDyn>::attach(&name).map(drop), types("u64"), ErrorKind::TypeMismatch);
    check(
        SharedArray::<u8, _>::create_or_attach(&name, (3, 4)).map(drop),
        types("u8"),
        ErrorKind::TypeMismatch,
    );
    let shapes =
        |other: &str| [name.text(), "[3, 4]".to_owned(), other.to_owned(), "ask for the shape".to_owned()];
    let one = SharedArray::<f64, Ix1>::attach(&name).map(drop);
    check(one, shapes("1 dimension"), ErrorKind::ShapeMismatch);
    let created = SharedArray::<f64, _>::create_or_attach(&name, (4, 3)).map(drop);
    check(created, shapes("[4, 3]"), ErrorKind::ShapeMismatch);
    let order = ndarray::ShapeBuilder::f((3, 4));
    let fortran = SharedArray::<f64, _>::create_or_attach(&name, order).map(drop);
    check(fortran, shapes("[8, 24]"), ErrorKind::ShapeMismatch);
    let less = SharedArray::<f64, _>::create_or_attach(&name, 12).map(drop);
    check(less, shapes("[12]"), ErrorKind::ShapeMismatch);
    let values = ndarray::Array2::<f64>::zeros((4, 3));
    refused(array.assign(&values), ErrorKind::ShapeMismatch, &["[3, 4]", "[4, 3]", &name.text()]);
    assert_eq!(snapshot(Path::new("/dev/shm")).into_iter().find(|e| e.0 == name.path()), before);
    assert!(SharedArray::<f64, IxDyn>::attach(&name).is_ok());
    // Elements that a Rust type cannot lie on.
    let packed = ArrayLayout::strided(ElementType::F64, &[4], &[9]).unwrap();
    let packed = AnyArray::create(Anonymous, &packed).unwrap();
    refused(packed.typed::<f64, Ix1>(), ErrorKind::ShapeMismatch, &["[9]", "aligned"]);
}

shm_core::record! {
    struct Point { x: f32, y: f32 }
}

shm_core::record! {
    struct Polar { r: f32, phi: f32 }
}

#[test]
fn records_that_differ_name_both() {
    let _alone = alone();
    let name = Name::shm("records");
    let _array = SharedArray::<Point, _>::zeros(&name, 3).unwrap();
    let result = SharedArray::<Polar, Ix1>::attach(&name);
    refused(result, ErrorKind::TypeMismatch, &["x: f32, y: f32", "r: f32, phi: f32"]);
}

#[test]
fn a_name_that_was_deleted() {
    let _alone = alone();
    let name = Name::shm("deleted");
    let array = SharedArray::<u8, _>::zeros(&name, 10).unwrap();
    delete(&name).unwrap();
    for _ in 0..2 {
        refused(Segment::attach(&name), ErrorKind::NotFound, &[&name.text()]);
        refused(delete(&name), ErrorKind::NotFound, &[&name.text()]);
        refused(inspect(&name), ErrorKind::NotFound, &[&name.text()]);
    }
    array.set(9, 1);
}
