//! `dump`: text and .npy, entries by name, and what the owner of the segment notices of it: nothing.

use shm_core::layout::{ArrayLayout, ElementType};
use shm_core::{AnyArray, Contents, Lifetime, SegmentOptions, SharedArray};

use crate::common::{Folder, Name, alone, skip};
use crate::{counting, elements, fails, files, finish, make, noise, npy, ok, text};

#[test]
fn text_of_all_shapes() {
    let _alone = alone();
    let name = Name::shm("cli-dump");
    for (shape, expected) in [
        (&[][..], "0\n"),
        (&[3], "0\n1\n2\n"),
        (&[2, 3], "0 1 2\n3 4 5\n"),
        (&[2, 1, 2], "0 1\n\n2 3\n"),
        (&[0], ""),
    ] {
        let layout = crate::u8s(shape);
        make(&name, &layout, &(0..layout.len() as u8).collect::<Vec<_>>());
        assert_eq!(ok(["dump", name.bare()]), expected);
        shm_core::delete(&name).unwrap();
    }
}

#[test]
fn entries_by_name() {
    let _alone = alone();
    let folder = Folder::new("cli-entries");
    let name = Name::shm("cli-entries");
    let contents = Contents::new().array("u", &crate::u8s(&[2])).unwrap();
    let contents = contents.array("v", &crate::u8s(&[3])).unwrap().bytes("notes", 10, 1).unwrap();
    let segment = SegmentOptions::new().create(&name, &contents).unwrap();
    AnyArray::in_segment(&segment, "v").unwrap().write_element(&[1], &[9]).unwrap();
    fails(["dump", name.bare()], 1, &["several arrays", "--entry", "\"u\", \"v\", \"notes\""]);
    fails(["dump", name.bare(), "--entry", "w"], 1, &["it has \"u\""]);
    fails(["dump", name.bare(), "--entry", "notes"], 1, &["no array"]);
    assert_eq!(ok(["dump", name.bare(), "--entry", "v"]), "0\n9\n0\n");
    ok(["dump", name.bare(), "--entry", "u", "-o", text(&npy(&folder, "u"))]);
    let copy = Name::shm("cli-entries-copy");
    ok(["copy", "--entry", "v", name.bare(), copy.bare()]);
    assert_eq!(ok(["dump", copy.bare()]), "0\n9\n0\n");
    let none = Name::shm("cli-no-array");
    let _none = SegmentOptions::new().create(&none, &Contents::new().bytes("", 10, 1).unwrap()).unwrap();
    fails(["dump", none.bare()], 1, &["it has no array", "shm inspect"]);
}

#[test]
fn growth_is_seen() {
    let _alone = alone();
    let name = Name::shm("cli-grown");
    let place = SegmentOptions::new().reserve_max(1 << 20).named(&name).unwrap();
    let mut array = AnyArray::create(place, &crate::u8s(&[1, 2])).unwrap();
    array.grow(3).unwrap();
    array.write_element(&[2, 1], &[5]).unwrap();
    let shape = array.layout().shape();
    assert_eq!(ok(["dump", name.bare()]).lines().count(), shape[0]);
    assert!(ok(["list"]).contains(&format!("u8{shape:?}")));
    assert!(ok(["dump", name.bare()]).starts_with("0 0\n0 0\n0 5\n"));
}

#[test]
fn files_appear_whole_and_only_when_asked_for() {
    let _alone = alone();
    let folder = Folder::new("cli-dump-file");
    let name = Name::shm("cli-dump-file");
    let _array = counting(&name, (2, 2));
    let path = npy(&folder, "x");
    std::fs::write(&path, "precious").unwrap();
    fails(["dump", name.bare(), "-o", text(&path)], 1, &["the file exists", "--force"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    ok(["dump", name.bare(), "-o", text(&path), "--force"]);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 128 + 32);
    fails(
        ["dump", name.bare(), "-o", text(&folder.path().join("no/such/x.npy"))],
        1,
        &["make the directory first"],
    );
    fails(["dump", name.bare(), "-o", text(folder.path()), "--force"], 1, &["no ordinary file"]);
    fails(["dump", name.bare(), "--force"], 2, &["--output"]);
    fails(["dump", name.bare(), "--opaque"], 2, &["--npy"]);
    fails(
        ["dump", "no-such-name-here", "-o", text(&npy(&folder, "y"))],
        1,
        &["cannot attach shm://no-such-name-here"],
    );
    assert_eq!(files(folder.path()), ["x.npy"]);
}

#[test]
fn the_owner_is_not_disturbed() {
    let _alone = alone();
    let folder = Folder::new("cli-owner");
    let name = Name::inside(&folder, "x");
    let array = counting(&name, (2, 2));
    let before = std::fs::read(name.path()).unwrap();
    ok(["dump", &name.text()]);
    ok(["inspect", &name.text()]);
    assert_eq!(std::fs::read(name.path()).unwrap(), before);
    drop(array);
    // A segment that ends with its last attachment lives on with its owner.
    let last = Name::shm("cli-last");
    let options = SegmentOptions::new().lifetime(Lifetime::LastDetach);
    let kept = SharedArray::<u8, _>::full(options.named(&last).unwrap(), 2, 3).unwrap();
    assert_eq!(ok(["dump", last.bare()]), "3\n3\n");
    assert!(last.exists());
    // Nor is its memory: what is sparse stays so.
    let sparse = Name::shm("cli-sparse");
    let place = SegmentOptions::new().sparse(true).named(&sparse).unwrap();
    let hollow = AnyArray::create(place, &crate::u8s(&[1 << 24])).unwrap();
    let blocks = || std::os::unix::fs::MetadataExt::blocks(&sparse.path().metadata().unwrap());
    let few = blocks();
    ok(["dump", sparse.bare(), "-o", text(&npy(&folder, "sparse"))]);
    assert_eq!(blocks(), few);
    drop((kept, hollow));
    // An exclusive lease keeps everybody out, and says who.
    let mut busy = SegmentOptions::new().attach(&name).unwrap();
    let lease = busy.exclusive().unwrap();
    fails(["dump", &name.text()], 1, &["cannot attach", &name.text()]);
    drop(lease);
}

#[test]
fn large_arrays_stream() {
    let _alone = alone();
    let folder = Folder::new("cli-stream");
    let (name, to) = (Name::shm("cli-stream"), Name::shm("cli-stream-to"));
    let len = 48 << 20;
    let layout = ArrayLayout::f_order(ElementType::U8, &[len / 64, 64]).unwrap();
    let bytes = noise(len);
    make(&name, &layout, &bytes);
    let path = npy(&folder, "x");
    // 24 MiB of memory of its own: less than half of the array.
    let limited = |words: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -d 24576 && exec '{}' {words}", env!("CARGO_BIN_EXE_shm"))]);
        let ran = finish(command);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words}");
        ran.out
    };
    limited(&format!("copy {} '{}'", name.bare(), text(&path)));
    limited(&format!("copy '{}' {}", text(&path), to.bare()));
    limited(&format!("copy --force {} {}", name.bare(), to.bare()));
    assert!(limited(&format!("dump --npy {}", name.bare())).ends_with(&bytes[len - 1000..]));
    assert!(std::fs::read(&path).unwrap().ends_with(&bytes));
    let copy = AnyArray::attach(&to).unwrap();
    assert_eq!(copy.layout(), &layout);
}

#[test]
fn strides_of_all_sizes() {
    let _alone = alone();
    let (name, to) = (Name::shm("cli-strides"), Name::shm("cli-strides-to"));
    let i16 = || ElementType::I16;
    for layout in [
        ArrayLayout::strided(i16(), &[3, 70_000], &[600_000, 8]), // closer than a page
        ArrayLayout::strided(i16(), &[3, 70_000], &[-600_000, -8]),
        ArrayLayout::strided(i16(), &[40, 30], &[2, 5000]), // further apart
        ArrayLayout::strided(i16(), &[5, 3, 3000], &[-30_000, 10_000, 2]), // runs longer than a page
        ArrayLayout::strided(i16(), &[2, 1, 9, 2], &[4, 0, -100, 2]),
    ] {
        let layout = layout.unwrap();
        let made = make(&name, &layout, &noise(layout.data_len_bytes()));
        ok(["copy", "--force", name.bare(), to.bare()]);
        let copy = AnyArray::attach(&to).unwrap();
        assert_eq!(copy.layout().shape(), layout.shape());
        assert!(elements(&copy) == elements(&made), "{layout}");
        let lines = ok(["dump", name.bare()]).split_whitespace().count();
        assert_eq!(lines, layout.len());
        shm_core::delete(&name).unwrap();
    }
}

#[test]
fn without_room_nothing_appears() {
    let _alone = alone();
    let folder = Folder::new("cli-no-room");
    let name = Name::shm("cli-no-room");
    drop(make(&name, &crate::u8s(&[1 << 20]), &noise(1 << 20)));
    // A limit on the size of files stands for a full disk; the signal that comes with it is ignored by the shell.
    let path = npy(&folder, "x");
    let mut command = std::process::Command::new("bash");
    let line = format!(
        "trap '' XFSZ; ulimit -f 100; exec '{}' copy {} '{}'",
        env!("CARGO_BIN_EXE_shm"),
        name.bare(),
        text(&path)
    );
    command.args(["-c", &line]);
    let Ok(probe) = std::process::Command::new("bash").arg("--version").output() else {
        return skip("without_room_nothing_appears", "there is no bash");
    };
    assert!(probe.status.success());
    let ran = finish(command);
    assert!(
        ran.code == Some(1) && ran.err.starts_with(&format!("shm: cannot write {}: ", path.display())),
        "{ran:?}"
    );
    assert!(files(folder.path()).is_empty());
}
