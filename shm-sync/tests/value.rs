//! Locks of bytes: the same locks as those of a value of a Rust type, with a length that is known at run time only.

mod common;

use common::{fresh_name, watchdog};
use shm_sync::{ByteMutex, ByteRecursiveMutex, ByteRwLock, ErrorKind, LockError, Mutex, Primitive, RwLock};

#[test]
fn bytes_and_a_type_of_as_many_bytes_are_the_same_lock() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("value");
    let typed = Mutex::create(name.as_str(), 0x0102_0304_0506_0708u64).unwrap();
    let bytes = ByteMutex::attach(name.as_str()).unwrap();
    assert_eq!(bytes.value_len(), 8);
    assert_eq!(bytes.lock().unwrap()[0], 8);
    bytes.lock().unwrap()[0] = 9;
    assert_eq!(*typed.lock().unwrap() & 0xFF, 9);
}

#[test]
fn type_of_another_length_is_refused() {
    let _watchdog = watchdog();
    let (name, _cleanup) = fresh_name("value-length");
    let bytes = ByteRwLock::create(name.as_str(), 12).unwrap();
    bytes.write().unwrap()[11] = 1;
    let error = RwLock::<u64>::attach(name.as_str()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains("12 bytes"), "{error}");
    assert_eq!(RwLock::<[u8; 12]>::attach(name.as_str()).unwrap().read().unwrap()[11], 1);
    let error = ByteRwLock::create_or_attach(name.as_str(), 13).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}

#[test]
fn recursive_mutex_lends_bytes_as_a_cell() {
    let _watchdog = watchdog();
    let mutex = ByteRecursiveMutex::anonymous(3).unwrap();
    let outer = mutex.lock().unwrap();
    let inner = mutex.lock().unwrap();
    inner.as_slice_of_cells()[2].set(5);
    assert_eq!(outer.as_slice_of_cells()[2].get(), 5);
}

#[test]
fn empty_and_impossible_lengths() {
    let _watchdog = watchdog();
    assert!(ByteMutex::anonymous(0).unwrap().lock().unwrap().is_empty());
    for len in [1 << 32, usize::MAX] {
        assert_eq!(ByteMutex::anonymous(len).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn death_and_repair_are_those_of_every_mutex() {
    let _watchdog = watchdog();
    let mutex = ByteMutex::anonymous(100).unwrap();
    let elsewhere = mutex.clone();
    std::thread::spawn(move || {
        let mut guard = elsewhere.lock().unwrap();
        guard[99] = 1;
        panic!("half-way through (this panic is part of the test)");
    })
    .join()
    .unwrap_err();
    let Err(LockError::OwnerDied(mut left)) = mutex.lock() else { panic!("that was not told") };
    assert_eq!(left[99], 1);
    left.fill(0);
    drop(left.recover());
    assert_eq!(mutex.lock().unwrap()[99], 0);
}
