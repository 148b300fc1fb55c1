//! `list`, `inspect`, `delete`, `reap`, and the ends of all programs: closed pipes, full disks, help.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use shm_core::{Contents, Lifetime, Segment, SegmentName, SegmentOptions};

use crate::common::{Folder, Line, Name, alone, fork, is_root, sigkill, stay};
use crate::{counting, fails, finish, ok, run, shm, text};

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

/// The keys of an object, in their order.
fn keys(value: &Value) -> String {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[test]
fn list_is_plain_in_a_pipe() {
    let _alone = alone();
    let name = Name::shm("cli-list");
    let array = counting(&name, (3, 4));
    let listed = ok(["list"]);
    let line = listed.lines().find(|line| line.starts_with(&format!("{}\t", name.text()))).unwrap();
    let cells: Vec<&str> = line.split('\t').collect();
    let size = array.as_any().segment().len().to_string();
    let creator = format!("{} alive", std::process::id());
    assert_eq!(cells[1..7], [&size, "attached", "f64[3, 4]", "persistent", "0600", &creator]);
    drop(array);
    let listed = ok(["list"]);
    assert!(listed.lines().any(|line| line.starts_with(&format!("{}\t{size}\tunattached\t", name.text()))));
}

/// The schema is a promise: this test may get longer, and no line of it may change.
#[test]
fn json_keeps_its_schema() {
    let _alone = alone();
    let folder = Folder::new("cli-json");
    let name = Name::inside(&folder, "x");
    let u = shm_core::ArrayLayout::f_order(shm_core::ElementType::F32, &[2, 3]).unwrap();
    let contents = Contents::new().array("u", &u).unwrap();
    let contents = contents.primitive("lock", 7, 64, 64).unwrap().bytes("log", 10, 1).unwrap();
    let mut segment =
        SegmentOptions::new().mode(0o640).reserve_max(1 << 20).create(&name, &contents).unwrap();
    let listed = json(&["list", "--json", "--dir", text(folder.path())]);
    assert_eq!(keys(&listed), "removed schema segments");
    assert_eq!((&listed["schema"], &listed["removed"]), (&Value::from(1), &Value::from(Vec::<Value>::new())));
    let inspected = json(&["inspect", "--json", &name.text()]);
    assert_eq!(keys(&inspected), "schema segment");
    let found = &inspected["segment"];
    assert_eq!(&listed["segments"][0], found);

    assert_eq!(
        keys(found),
        "attached capacity_bytes created_at creator entries kind leased_by len_bytes lifetime mode name not_guaranteed owner_uid path path_bytes state"
    );
    assert_eq!(found["name"], name.text());
    assert_eq!(found["path"], text(name.path()));
    assert_eq!(found["path_bytes"], Value::Null);
    assert_eq!((&found["state"], &found["kind"]), (&"alive".into(), &"array".into()));
    assert_eq!((&found["lifetime"], &found["mode"]), (&"persistent".into(), &"0640".into()));
    assert_eq!((&found["attached"], &found["leased_by"]), (&true.into(), &Value::Null));
    assert_eq!(found["owner_uid"], rustix::process::geteuid().as_raw());
    assert_eq!(found["len_bytes"], segment.len());
    assert_eq!(found["capacity_bytes"], 1 << 20);
    let created = found["created_at"].as_str().unwrap();
    assert!(created.len() == 30 && created.starts_with("20") && created.ends_with('Z'), "{created}");
    assert_eq!(keys(&found["creator"]), "boot_id pid pid_namespace start_time state");
    assert_eq!(
        (&found["creator"]["pid"], &found["creator"]["state"]),
        (&std::process::id().into(), &"alive".into())
    );

    let entries = found["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert_eq!(keys(entry), "align_bytes array code grows kind len_bytes name offset");
    }
    assert_eq!(
        (&entries[0]["name"], &entries[0]["kind"], &entries[0]["len_bytes"]),
        (&"u".into(), &"array".into(), &24.into())
    );
    assert_eq!(
        (&entries[1]["kind"], &entries[1]["code"], &entries[1]["array"]),
        (&"primitive".into(), &7.into(), &Value::Null)
    );
    assert_eq!(
        (&entries[2]["kind"], &entries[2]["grows"], &entries[2]["code"]),
        (&"bytes".into(), &true.into(), &Value::Null)
    );
    let array = &entries[0]["array"];
    assert_eq!(
        keys(array),
        "byte_order c_contiguous element f_contiguous item_size_bytes numpy origin_bytes shape strides_bytes"
    );
    let expected = serde_json::json!({
        "byte_order": "little", "c_contiguous": false, "element": "f32", "f_contiguous": true, "item_size_bytes": 4,
        "numpy": "'<f4'", "origin_bytes": 0, "shape": [2, 3], "strides_bytes": [4, 8],
    });
    assert_eq!(array, &expected);
    let lease = segment.exclusive().unwrap();
    assert_eq!(json(&["inspect", "--json", &name.text()])["segment"]["leased_by"], std::process::id());
    drop(lease);
}

#[test]
fn inspect_tells_everything() {
    let _alone = alone();
    let name = Name::shm("cli-inspect");
    let _array = counting(&name, (3, 4));
    let told = ok(["inspect", name.bare()]);
    for part in
        ["state\talive, attached\n", "mode\t0600\n", "memory\tguaranteed\n", "\tf64[3, 4]\n", &name.text()]
    {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
    fails(["inspect", "shm://no-such-name-here"], 1, &["shm: cannot inspect shm://no-such-name-here: "]);
}

#[test]
fn the_dead_are_shown_and_removed() {
    let _alone = alone();
    let folder = Folder::new("cli-dead");
    let contents = Contents::new().bytes("", 10, 1).unwrap();
    let die = |name: &Name| {
        let line = Line::new();
        let mut child = fork(|| {
            let options = SegmentOptions::new().lifetime(Lifetime::LastDetach);
            let _held = options.create(name, &contents).unwrap();
            line.tell_parent(1);
            stay();
        });
        line.hear_child(&mut child);
        sigkill(child);
        assert!(name.exists());
    };
    let (name, alive) = (Name::inside(&folder, "a\tb"), Name::inside(&folder, "alive"));
    let _alive = SegmentOptions::new().lifetime(Lifetime::LastDetach).create(&alive, &contents).unwrap();
    let dir = text(folder.path());
    die(&name);
    let listed = ok(["list", "--dir", dir]);
    assert!(listed.contains("/a\\tb\t-\tdead, removed\t"), "{listed}");
    assert_eq!((listed.lines().count(), name.exists()), (2, false));
    die(&name);
    let listed = json(&["list", "--json", "--dir", dir]);
    assert_eq!(listed["removed"], serde_json::json!([name.text()]));
    die(&name);
    assert_eq!(ok(["reap", "--dir", dir]), format!("{}\n", name.text().replace('\t', "\\t")));
    assert_eq!((name.exists(), alive.exists()), (false, true));
    assert_eq!(ok(["reap", "--dir", dir]), "");
    ok(["reap"]);
    fails(["list", "--dir", "/no/such/directory"], 1, &["/no/such/directory"]);
}

#[test]
fn delete_tries_them_all() {
    let _alone = alone();
    let folder = Folder::new("cli-delete");
    let (one, two) = (Name::shm("cli-delete"), Name::inside(&folder, "two"));
    let (_one, _two) = (counting(&one, (1, 1)), counting(&two, (1, 1)));
    std::fs::write(folder.path().join("notes"), "precious").unwrap();
    let notes = format!("file://{}/notes", text(folder.path()));
    let said = fails(
        ["delete", one.bare(), &notes, "shm://no-such-name-here", &two.text()],
        1,
        &["cannot delete shm://no-such-name-here"],
    );
    assert!(said.contains(&format!("cannot delete {notes}: ")) && said.lines().count() == 2, "{said}");
    assert_eq!((one.exists(), two.exists()), (false, false));
    assert_eq!(std::fs::read_to_string(folder.path().join("notes")).unwrap(), "precious");
    fails(["delete"], 2, &["Usage: shm delete <NAME>"]);
}

#[test]
fn others_segments_only_when_asked_for() {
    if !is_root("others_segments_only_when_asked_for") {
        return;
    }
    let _alone = alone();
    let folder = Folder::new("cli-owner");
    let name = Name::inside(&folder, "theirs");
    drop(counting(&name, (2, 2)));
    std::os::unix::fs::chown(name.path(), Some(65534), Some(65534)).unwrap();
    let (dir, theirs) = (text(folder.path()), name.text());
    let to = crate::npy(&folder, "x");
    let parts = ["it belongs to user 65534", "--any-owner"];
    assert_eq!(ok(["list", "--dir", dir]), "");
    fails(["inspect", &theirs], 1, &parts);
    fails(["dump", &theirs], 1, &parts);
    fails(["copy", &theirs, text(&to)], 1, &parts);
    assert!(!to.exists());
    assert!(ok(["list", "--any-owner", "--dir", dir]).contains("f64[2, 2]"));
    assert!(ok(["inspect", "--any-owner", &theirs]).contains("owner\tuser 65534\n"));
    assert_eq!(ok(["dump", "--any-owner", &theirs]), "0.0 1.0\n2.0 3.0\n");
    ok(["copy", "--any-owner", &theirs, text(&to)]);
    fails(["delete", &theirs], 1, &["it belongs to user 65534"]);
    fails(["copy", "--force", text(&to), &theirs], 1, &["it belongs to user 65534"]);
}

#[test]
fn closed_pipes_are_quiet() {
    let _alone = alone();
    let name = Name::shm("cli-pipe");
    let _array = counting(&name, (1000, 100));
    let all: [&[&str]; 6] = [
        &["list"],
        &["list", "--json"],
        &["inspect", name.bare()],
        &["dump", name.bare()],
        &["dump", "--npy", name.bare()],
        &["--help"],
    ];
    for args in all {
        // Nobody reads from the start.
        let mut command = shm(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{args:?}");
    }
    // One line is read.
    let mut child = shm(["dump", name.bare()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("0.0 1.0 2.0"));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn full_disks_are_failures() {
    let _alone = alone();
    let name = Name::shm("cli-full");
    let _array = counting(&name, (10, 10));
    for args in [&["list"][..], &["inspect", name.bare()], &["dump", name.bare()]] {
        let mut command = shm(args);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        command.stdout(full);
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("shm: cannot write standard output: No space left"), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn help_and_version() {
    let version = ok(["--version"]);
    assert_eq!(version, format!("shm {} (segment format 1)\n", env!("CARGO_PKG_VERSION")));
    assert!(ok(["--help"]).contains("Exit codes: 0 done"));
    for command in ["list", "inspect", "dump", "copy", "delete", "reap"] {
        let help = ok(["help", command]);
        assert!(
            help.contains("Examples:\n  shm ") && help.contains(&format!("Usage: shm {command}")),
            "{help}"
        );
    }
    fails([] as [&str; 0], 2, &["Usage: shm <COMMAND>"]);
    fails(["lost"], 2, &["lost"]);
    fails(["list", "--no-such-flag"], 2, &["--no-such-flag"]);
}

#[test]
fn a_terminal_gets_columns() {
    let _alone = alone();
    // script(1) gives the program a terminal.
    let probe = std::process::Command::new("script").arg("--version").output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return crate::common::skip("a_terminal_gets_columns", "there is no script(1) to make a terminal");
    }
    let folder = Folder::new("cli-terminal");
    let name = Name::inside(&folder, "table");
    let on_terminal = |words: &str| {
        let line = format!("'{}' {words}", env!("CARGO_BIN_EXE_shm"));
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
        let ran = finish(command);
        (ran.code, String::from_utf8(ran.out).unwrap().replace('\r', ""))
    };
    let list = format!("list --dir '{}'", text(folder.path()));
    assert_eq!(on_terminal(&list), (Some(0), "no segments\n".to_owned()));
    let _array = counting(&name, (100, 100));
    let (_, shown) = on_terminal(&list);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].starts_with("NAME  ") && !shown.contains('\t'), "{shown}");
    assert!(lines[1].contains(" 142.1 KiB  attached  f64[100, 100]  persistent  0600  "), "{shown}");
    assert_eq!(lines[0].find("STATE"), lines[1].find("attached"));
    let (code, said) = on_terminal(&format!("dump --npy '{}'", name.text()));
    assert!(code == Some(2) && said.contains("nothing for a terminal"), "{said}");
}

#[test]
fn damaged_and_foreign_files_are_passed_over() {
    let _alone = alone();
    let folder = Folder::new("cli-damaged");
    let (good, bad) = (Name::inside(&folder, "good"), Name::inside(&folder, "bad"));
    let (_good, _bad) = (counting(&good, (1, 1)), counting(&bad, (1, 1)));
    let mut bytes = std::fs::read(bad.path()).unwrap();
    bytes[40] ^= 1;
    std::fs::write(bad.path(), bytes).unwrap();
    std::fs::write(folder.path().join("notes"), "x").unwrap();
    std::fs::set_permissions(folder.path().join("notes"), PermissionsExt::from_mode(0o0)).unwrap();
    assert_eq!(ok(["list", "--dir", text(folder.path())]).lines().count(), 1);
    fails(["inspect", &bad.text()], 1, &["cannot inspect"]);
    fails(["dump", &bad.text()], 1, &["cannot attach"]);
    ok(["delete", &bad.text()]);
    assert!(Segment::attach(SegmentName::file(good.path()).unwrap()).is_ok());
    assert_eq!(run(["dump", &format!("file://{}/notes", text(folder.path()))]).code, Some(1));
}
