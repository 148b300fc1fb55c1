//! Buffered output of workers and master: each line once, Rust's and C's, and no exit handler of the parent in a worker.
#![allow(unsafe_code, reason = "C's stdio and atexit")]

mod common;

use std::io::Write;
use std::os::fd::AsRawFd;

use common::pool;

/// Runs a test of this file in a process whose output goes through a pipe, so that C buffers it fully; returns the output.
fn output_of(test: &str) -> String {
    let _watch = common::watchdog();
    let output = shm_testkit::rerun(test, &[("SHM_POOL_TEST_PRINT", "1")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_inner() -> bool {
    std::env::var_os("SHM_POOL_TEST_PRINT").is_some()
}

fn c_print(text: &str) {
    let text = std::ffi::CString::new(text).unwrap();
    // SAFETY: the format takes one string, which ends in a zero byte.
    unsafe { libc::printf(c"%s".as_ptr(), text.as_ptr()) };
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn smoke() {
    if is_inner() {
        print!("<rust before>");
        c_print("<c before>");
        pool(2)
            .map(0..10, |_, i| {
                print!("<rust {i}>");
                c_print(&format!("<c {i}>"));
            })
            .unwrap();
        print!("<rust after>");
        c_print("<c after>");
        return;
    }
    let text = output_of("smoke");
    for part in ["before", "after", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        assert_eq!(count(&text, &format!("<rust {part}>")), 1, "{part} in {text}");
        assert_eq!(count(&text, &format!("<c {part}>")), 1, "{part} in {text}");
    }
}

#[test]
fn output_of_a_worker_that_fails_is_there() {
    if is_inner() {
        pool(1)
            .map([1, 2], |_, i| {
                print!("<panic {i}>");
                assert!(i < 2);
            })
            .unwrap_err();
        pool(1)
            .map([1, 2], |_, i| {
                print!("<exit {i}>");
                c_print(&format!("<c exit {i}>"));
                if i == 2 {
                    std::process::exit(1)
                }
            })
            .unwrap_err();
        return;
    }
    let text = output_of("output_of_a_worker_that_fails_is_there");
    for part in ["<panic 1>", "<panic 2>", "<exit 1>", "<exit 2>", "<c exit 1>", "<c exit 2>"] {
        assert_eq!(count(&text, part), 1, "{part} in {text}");
    }
}

#[test]
fn threads_of_a_worker_can_print() {
    if is_inner() {
        pool(1)
            .map([1, 2], |_, i| std::thread::scope(|scope| drop(scope.spawn(move || print!("<thread {i}>")))))
            .unwrap();
        return;
    }
    let text = output_of("threads_of_a_worker_can_print");
    assert!(count(&text, "<thread 1>") == 1 && count(&text, "<thread 2>") == 1, "{text}");
}

#[test]
fn a_thread_that_waits_for_input_holds_no_fork_up() {
    unsafe extern "C" {
        static stdin: *mut libc::FILE;
        fn ftrylockfile(stream: *mut libc::FILE) -> libc::c_int;
        fn funlockfile(stream: *mut libc::FILE);
    }
    if is_inner() {
        let (input, mut line_comes) = std::io::pipe().unwrap();
        // SAFETY: two descriptors of this process.
        assert_eq!(unsafe { libc::dup2(input.as_raw_fd(), 0) }, 0);
        let reader = std::thread::spawn(|| {
            let mut line = [0; 10];
            // SAFETY: the array has room for so many bytes, and the stream is C's own.
            unsafe { libc::fgets(line.as_mut_ptr(), line.len() as libc::c_int, stdin) };
            line[0]
        });
        // SAFETY: as above; whoever has locked it unlocks it.
        while unsafe { ftrylockfile(stdin) } == 0 {
            // SAFETY: this thread has just locked it.
            unsafe { funlockfile(stdin) };
            std::thread::yield_now();
        }
        print!("<rust before>");
        c_print("<c before>");
        pool(2)
            .map(0..2, |_, i| {
                print!("<rust {i}>");
                c_print(&format!("<c {i}>"));
            })
            .unwrap();
        assert!(!reader.is_finished());
        line_comes.write_all(b"x\n").unwrap();
        assert_eq!(reader.join().unwrap(), b'x' as libc::c_char);
        return;
    }
    let text = output_of("a_thread_that_waits_for_input_holds_no_fork_up");
    for part in ["before", "0", "1"] {
        assert_eq!(count(&text, &format!("<rust {part}>")), 1, "{part} in {text}");
        assert_eq!(count(&text, &format!("<c {part}>")), 1, "{part} in {text}");
    }
}

#[test]
fn exit_handlers_run_in_the_master_only() {
    extern "C" fn handler() {
        let _ = std::io::stdout().write_all(b"<handler>");
        let _ = std::io::stdout().flush();
    }
    if is_inner() {
        // SAFETY: the handler is a function that lives as long as the process.
        unsafe { libc::atexit(handler) };
        pool(2).map(0..10, |_, i| i).unwrap();
        pool(2)
            .map(0..10, |_, i| {
                if i == 5 {
                    std::process::exit(0)
                }
            })
            .unwrap_err();
        pool(2).map(0..10, |_, i| assert!(i != 5)).unwrap_err();
        return;
    }
    assert_eq!(count(&output_of("exit_handlers_run_in_the_master_only"), "<handler>"), 1);
}

#[test]
fn destructors_of_the_master_run_there_only() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            println!("<dropped in {}>", std::process::id());
        }
    }
    if is_inner() {
        let loud = Loud;
        pool(2).map(0..10, |_, i| i + size_of_val(&loud)).unwrap();
        println!("<master {}>", std::process::id());
        return;
    }
    let text = output_of("destructors_of_the_master_run_there_only");
    assert_eq!(count(&text, "<dropped in "), 1, "{text}");
    let master = text.split("<master ").nth(1).unwrap().split('>').next().unwrap();
    assert_eq!(count(&text, &format!("<dropped in {master}>")), 1, "{text}");
}
