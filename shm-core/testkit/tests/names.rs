//! Unique names and their removal.

use shm_testkit::{Cleanup, fork_child, leftovers, unique_name};
use std::fs;
use std::os::unix::fs::symlink;
use std::panic;

fn path(name: &str) -> String {
    format!("/dev/shm/{name}")
}

#[test]
fn smoke() {
    let name = unique_name("smoke");
    assert!(name.starts_with(&format!("shmtest-{}-", std::process::id())), "{name}");
    assert_ne!(name, unique_name("smoke"));

    let cleanup = Cleanup::of([&name]);
    assert!(leftovers(&name).is_empty());
    fs::write(path(&name), "bytes").unwrap();
    assert_eq!(leftovers(&name), [name.as_str()]);
    drop(cleanup);
    assert!(leftovers(&name).is_empty());
}

#[test]
fn a_panic_cleans_up() {
    let name = unique_name("panic");
    let result = panic::catch_unwind(|| {
        let _cleanup = Cleanup::of([&name]);
        fs::write(path(&name), "bytes").unwrap();
        panic!("the test failed");
    });
    assert!(result.is_err());
    assert!(leftovers(&name).is_empty());
}

#[test]
fn folders_go_and_links_are_not_followed() {
    let [folder, link, target] = ["folder", "link", "target"].map(unique_name);
    let mut cleanup = Cleanup::of([&folder]);
    cleanup.add(path(&link));
    let _target = Cleanup::of([&target]);
    fs::create_dir(path(&target)).unwrap();
    fs::write(path(&target) + "/kept", "bytes").unwrap();
    fs::create_dir_all(path(&folder) + "/inner").unwrap();
    symlink(path(&target), path(&link)).unwrap();
    drop(cleanup);
    assert!(leftovers(&folder).is_empty() && leftovers(&link).is_empty());
    assert!(fs::exists(path(&target) + "/kept").unwrap());
}

#[test]
fn a_forked_child_removes_nothing() {
    let name = unique_name("forked");
    let mut cleanup = Some(Cleanup::of([&name]));
    fs::write(path(&name), "bytes").unwrap();
    fork_child(|| {
        drop(cleanup.take());
        0
    })
    .expect_success();
    assert_eq!(leftovers(&name), [name.as_str()]);
}
