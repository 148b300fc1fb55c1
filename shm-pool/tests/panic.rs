//! Panics in workers arrive as errors with message, place, item and worker; finished results are kept.

mod common;

use common::pool;
use shm_pool::{ErrorKind, MapReduce};

#[test]
fn smoke() {
    let _watch = common::watchdog();
    let error = pool(2).map(0..100, |_, i| if i == 37 { panic!("item {i} is bad") } else { i }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(error.item(), Some(37));
    assert_eq!(error.panic_message(), Some("item 37 is bad"));
    assert!(error.rank().unwrap() < 2 && error.pid().unwrap() > 0);
    let location = error.panic_location().unwrap();
    assert!(location.contains("panic.rs:"), "{location}");
    let text = error.to_string();
    assert!(text.contains("cannot map 100 items: worker ") && text.contains("item 37 is bad"), "{text}");
    assert!(error.unfinished().iter().any(|range| range.contains(&37)));
}

#[test]
fn what_was_finished_before_in_the_same_batch_is_kept() {
    let _watch = common::watchdog();
    let error = pool(1).map(0..1000, |_, i| if i == 50 { panic!() } else { i }).unwrap_err();
    let indices: Vec<usize> = error.finished().iter().map(|(i, _)| *i).collect();
    assert_eq!(indices, (0..50).collect::<Vec<_>>());
    assert!(error.finished().iter().all(|(i, r)| i == r));
    let unfinished: Vec<usize> = error.unfinished().iter().cloned().flatten().collect();
    assert_eq!(unfinished, (50..125).collect::<Vec<_>>()); // the batch: an eighth of the items
}

#[test]
fn every_kind_of_payload() {
    let _watch = common::watchdog();
    let message = |work: fn()| {
        let error = pool(1).map([()], |_, ()| work()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        error.panic_message().unwrap().to_owned()
    };
    assert_eq!(message(|| panic!("a literal")), "a literal");
    assert_eq!(message(|| panic!("{}", "formatted")), "formatted");
    assert_eq!(message(|| std::panic::panic_any(7)), "a panic without a text");
    assert_eq!(message(|| std::panic::resume_unwind(Box::new("quiet"))), "quiet");
    assert_eq!(message(|| assert_eq!(1 + 1, 3)).lines().next(), Some("assertion `left == right` failed"));
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload's destructor");
        }
    }
    assert_eq!(message(|| std::panic::panic_any(Bomb)), "a panic without a text");
}

#[test]
fn a_long_message_is_cut() {
    let _watch = common::watchdog();
    let error =
        pool(1).map([()], |_, ()| panic!("{}", "x".repeat(100_000))).map(|_: Vec<()>| ()).unwrap_err();
    let message = error.panic_message().unwrap();
    assert!(message.len() > 4000 && message.bytes().all(|b| b == b'x'));
}

#[test]
fn a_panic_that_the_function_catches_is_its_own_business() {
    let caught = pool(2).map(0..4, |_, i| std::panic::catch_unwind(|| assert!(i != 2)).is_err()).unwrap();
    assert_eq!(caught, [false, false, true, false]);
}

#[test]
fn a_panic_while_serialising() {
    #[derive(Debug, serde::Deserialize)]
    struct Explosive(u8);
    impl serde::Serialize for Explosive {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            assert!(self.0 != 3, "does not travel");
            to.serialize_u8(self.0)
        }
    }
    let error = pool(1).map(0..5, |_, i| Explosive(i)).unwrap_err();
    assert_eq!((error.panic_message(), error.item()), (Some("does not travel"), Some(3)));
    assert!(error.finished().iter().enumerate().all(|(i, (at, r))| i == *at && usize::from(r.0) == i));
}

#[test]
fn a_panic_in_the_critical_section_does_not_stop_the_others() {
    let _watch = common::watchdog();
    let error = pool(2)
        .map(0..200, |worker, i| worker.critical(|| if i == 20 { panic!("inside") } else { i }))
        .unwrap_err();
    assert_eq!(error.panic_message(), Some("inside"));
}

#[test]
fn a_critical_section_inside_itself_is_an_error() {
    let _watch = common::watchdog();
    let error = pool(1).map([()], |worker, ()| worker.critical(|| worker.critical(|| ()))).unwrap_err();
    assert!(error.panic_message().unwrap().contains("cannot enter the critical section"), "{error}");
}

#[test]
fn backtraces_come_along_if_wanted() {
    if std::env::var_os("SHM_POOL_TEST_BACKTRACE").is_some() {
        let error = pool(1).map([()], |_, ()| panic!("deep")).map(|_: Vec<()>| ()).unwrap_err();
        assert!(error.backtrace().is_some_and(|text| text.contains("panic")), "{:?}", error.backtrace());
        return;
    }
    let env = [("RUST_BACKTRACE", "1"), ("SHM_POOL_TEST_BACKTRACE", "1")];
    let output = shm_testkit::rerun("backtraces_come_along_if_wanted", &env);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_workers_a_panic_unwinds_in_the_master() {
    // Not beside tests that fork: the panic holds the lock for backtraces meanwhile.
    common::alone("without_workers_a_panic_unwinds_in_the_master", || {
        let work = || MapReduce::new().workers(0).map(0..3, |_, i| assert!(i < 1));
        assert!(std::panic::catch_unwind(work).is_err());
    });
}
