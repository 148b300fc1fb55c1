//! Mutexes in segments and under names: found by unrelated processes, refused where they would exclude nobody.

mod common;

use common::{fork, fresh_name, watchdog};
use shm_core::{Access, Contents, SegmentOptions};
use shm_sync::{ErrorKind, Mutex, Primitive};
use shm_testkit::rerun;

#[test]
fn smoke() {
    let (name, _cleanup) = fresh_name("mutex-smoke");
    let name = name.as_str();
    let mutex = Mutex::create(name, [0u32; 3]).unwrap();
    *mutex.lock().unwrap() = [1, 2, 3];
    drop(mutex);
    assert_eq!(*Mutex::<[u32; 3]>::attach(name).unwrap().lock().unwrap(), [1, 2, 3]);
    assert_eq!(*Mutex::create_or_attach(name, [0u32; 3]).unwrap().lock().unwrap(), [1, 2, 3]);
}

const VARIABLE: &str = "SHM_SYNC_TEST_MUTEX";

#[test]
#[ignore = "run by the next test in a process of its own"]
fn in_an_unrelated_process() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let mutex = Mutex::<u64>::attach(name.as_str()).unwrap();
    for _ in 0..1000 {
        *mutex.lock().unwrap() += 1;
    }
}

#[test]
fn unrelated_processes_meet_under_the_name() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("mutex-unrelated");
    let mutex = Mutex::create(name.as_str(), 0u64).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let output = rerun("in_an_unrelated_process", &[(VARIABLE, name.as_str())]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            });
        }
        for _ in 0..1000 {
            *mutex.lock().unwrap() += 1;
        }
    });
    assert_eq!(*mutex.lock().unwrap(), 3000);
}

#[test]
fn everybody_who_creates_or_attaches_gets_the_same_lock() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("mutex-either");
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                let mutex = Mutex::create_or_attach(name.as_str(), 0u64).unwrap();
                for _ in 0..1000 {
                    *mutex.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    children.into_iter().for_each(shm_testkit::Child::expect_success);
    assert_eq!(*Mutex::<u64>::attach(name.as_str()).unwrap().lock().unwrap(), 4000);
}

#[test]
fn two_attachments_in_one_process_are_one_lock() {
    let (name, _cleanup) = fresh_name("mutex-twice");
    let first = Mutex::create(name.as_str(), 0u8).unwrap();
    let second = Mutex::<u8>::attach(name.as_str()).unwrap();
    let guard = first.lock().unwrap();
    assert_eq!(second.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
    drop(guard);
    drop(second.try_lock().unwrap());
}

#[test]
fn names_and_remedies_are_in_the_errors() {
    let (name, _cleanup) = fresh_name("mutex-errors");
    let name = name.as_str();
    let missing = Mutex::<u8>::attach(name).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Segment);
    assert!(missing.to_string().contains(name), "{missing}");
    let mutex = Mutex::create(name, 0u8).unwrap();
    let taken = Mutex::create(name, 0u8).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Segment);
    let _guard = mutex.lock().unwrap();
    let twice = mutex.lock().unwrap_err().to_string();
    assert!(
        twice.starts_with(&format!("cannot lock the mutex {name}: this thread already holds it")),
        "{twice}"
    );
    let other = Mutex::<u16>::attach(name).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch);
    assert!(other.to_string().contains("65 bytes"), "{other}");
}

#[test]
fn a_place_that_excludes_nobody_is_refused() {
    let (name, _cleanup) = fresh_name("mutex-access");
    let name = name.as_str();
    let _mutex = Mutex::create(name, 0u8).unwrap();
    for access in [Access::ReadOnly, Access::CopyOnWrite] {
        let segment = SegmentOptions::new().access(access).attach(name).unwrap();
        assert_eq!(Mutex::<u8>::attach_in(&segment, "").unwrap_err().kind(), ErrorKind::NotShared);
    }
}

#[test]
fn entries_are_checked() {
    let contents = Contents::new().bytes("data", 72, 64).unwrap();
    let contents = Mutex::plan(contents, "lock", 0u64).unwrap();
    assert_eq!(Mutex::plan(contents.clone(), "lock", 0u64).map(drop).unwrap_err().kind(), ErrorKind::Segment);
    let contents = contents.primitive("other", 77, Mutex::<u64>::SIZE, 64).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    for (entry, kind) in
        [("data", ErrorKind::Mismatch), ("other", ErrorKind::Mismatch), ("nothing", ErrorKind::Segment)]
    {
        assert_eq!(Mutex::<u64>::attach_in(&segment, entry).unwrap_err().kind(), kind, "{entry}");
    }
    let mutex = Mutex::<u64>::attach_in(&segment, "lock").unwrap();
    drop(segment);
    *mutex.lock().unwrap() = 3;
    assert_eq!(*mutex.clone().lock().unwrap(), 3);
}

#[test]
fn a_mapping_with_a_held_lock_stays() {
    let contents = Mutex::plan(Contents::new(), "lock", 0u64).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    std::mem::forget(Mutex::<u64>::attach_in(&segment, "lock").unwrap().lock().unwrap());
    let Err((segment, error)) = segment.detach() else { panic!("unmapped under a held lock") };
    assert_eq!(error.kind(), shm_core::ErrorKind::LockHeld, "{error}");
    let mutex = Mutex::<u64>::attach_in(&segment, "lock").unwrap();
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::Deadlock);
}

#[test]
fn a_mapping_with_free_locks_goes() {
    let contents = Mutex::plan(Contents::new(), "lock", 0u64).unwrap();
    let segment = SegmentOptions::new().create_anonymous(&contents).unwrap();
    let mutex = Mutex::<u64>::attach_in(&segment, "lock").unwrap();
    drop(mutex.lock().unwrap());
    drop(mutex);
    assert!(segment.detach().is_ok());
}
