//! .npy files that come from anywhere: a clear error, at once, and no segment.

use std::time::Duration;

use shm_testkit::Watchdog;

use crate::common::{Folder, Name, alone, make_node};
use crate::{fails, npy, run, text};

fn header(version: u8, len: u32, header: &str) -> Vec<u8> {
    let len = len.to_le_bytes();
    let len = if version == 1 { &len[..2] } else { &len[..] };
    [b"\x93NUMPY", &[version, 0][..], len, header.as_bytes()].concat()
}

#[test]
fn evil_headers() {
    let _alone = alone();
    let folder = Folder::new("cli-evil");
    let name = Name::shm("cli-evil");
    let path = npy(&folder, "x");
    let dict = |descr: &str, shape: &str| {
        let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
        header(2, text.len() as u32, &text)
    };
    for (bytes, part) in [
        (Vec::new(), "no .npy file"),
        (b"PK\x03\x04".to_vec(), "no .npy file"),
        (header(9, 0, ""), "version 9.0"),
        (header(2, u32::MAX, "{"), "4294967295 bytes"),
        (header(2, 1 << 24, "{"), "ends within its header"),
        (header(1, 1, "("), "wrong at character"),
        (dict("'|O'", "(1,)"), "Python objects"),
        (dict("'<f8'", "(1152921504606846975,)"), "0 bytes follow"),
        (dict("'<f8'", "(4294967296, 4294967296)"), "overflow"),
        (dict("'|V4294967295'", "(1,)"), "4294967295 bytes of data"),
        (dict("[('x', '<f8', (1099511627776,))]", "(1,)"), "0 bytes follow"),
        (dict(&"[('a', ".repeat(5000), "(1,)"), "wrong at character"),
        (dict("__import__('os').system('touch /tmp/owned')", "()"), "wrong at character"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        // In little memory: nothing is taken for what a header only claims.
        let mut command = std::process::Command::new("sh");
        let line = format!(
            "ulimit -d 32768 && exec '{}' copy '{}' {}",
            env!("CARGO_BIN_EXE_shm"),
            text(&path),
            name.bare()
        );
        let ran = crate::finish({
            command.args(["-c", &line]);
            command
        });
        assert!(ran.code == Some(1) && ran.err.contains(part), "{part}: {ran:?}");
        assert!(ran.err.starts_with(&format!("shm: cannot read {}: ", text(&path))), "{ran:?}");
        assert!(!name.exists());
    }
}

#[test]
fn what_is_no_file() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let folder = Folder::new("cli-no-file");
    let name = Name::shm("cli-no-file");
    let fifo = npy(&folder, "fifo");
    make_node(&fifo, libc::S_IFIFO, 0).unwrap();
    // Nobody writes into it, and nobody waits for that.
    fails(["copy", text(&fifo), name.bare()], 1, &["no ordinary file", "save it"]);
    fails(["copy", "/dev/zero", name.bare()], 1, &["no ordinary file"]);
    assert_eq!(run(["copy", text(folder.path()), name.bare()]).code, Some(1));
    fails(["dump", name.bare()], 1, &["cannot attach"]);
    assert!(!name.exists());
}
