//! The same files in NumPy itself: what it writes we read, what we write it reads, byte for byte and type for type.
//!
//! Needs a Python with NumPy: that which SHM_TEST_PYTHON names, or python3.

use std::path::Path;
use std::process::Command;

use shm_core::AnyArray;
use shm_core::layout::ArrayLayout;

use crate::common::{Folder, Name, alone, skip};
use crate::types::sayable;
use crate::{elements, make, noise, npy, ok, text};

/// The Python, if it has NumPy.
fn python(test: &str) -> Option<String> {
    let python = std::env::var("SHM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import numpy"]).output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return Some(python);
    }
    skip(test, &format!("{python} has no NumPy (SHM_TEST_PYTHON can name another one)"));
    None
}

fn script(python: &str, script: &str, folder: &Path) -> String {
    let output = Command::new(python).args(["-c", script, text(folder)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_numpy_writes() {
    let Some(python) = python("what_numpy_writes") else { return };
    let _alone = alone();
    let folder = Folder::new("cli-numpy-writes");
    // Each array is saved as NAME.npy, and its bytes in C order as NAME.raw.
    let names = script(
        &python,
        r#"
import sys, warnings
import numpy as np
folder = sys.argv[1]
rng = np.random.default_rng(1)
types = ["?", "i1", "u1", "S0", "S7", "V0", "V7", "g", "G"]
types += [o + t for o in "<>" for t in "i2 i4 i8 u2 u4 u8 f2 f4 f8 c8 c16 U0 U5 M8 m8 M8[25s] m8[Y]".split()]
types += ["<M8[%s]" % u for u in "Y M W D h m s ms us ns ps fs as".split()]
types += [
    [("x", "<i4"), ("y", ">f8", (2, 3))],
    np.dtype([("a", "u1"), ("b", "<f8")], align=True),
    {"names": ["p", "q"], "formats": ["<i2", "S3"], "offsets": [5, 9], "itemsize": 20, "titles": ["first", "second"]},
    [("größe", "<f4"), ("字", "<U2")],
    [("in", [("a", "i1"), ("b", "<m8[us]")], (2,)), ("it's \\ \"it\"", "V3")],
    [("field%d" % i, "<f8") for i in range(3000)],
]
warnings.simplefilter("ignore")
count = 0
for t in types:
    dtype = np.dtype(t)
    for shape, order in [((), "C"), ((0, 3), "C"), ((2, 3), "C"), ((2, 3), "F"), ((4,), "C")]:
        size = dtype.itemsize * int(np.prod(shape))
        # Booleans and texts of random bytes would be none.
        noise = rng.integers(0, 2, size, dtype="u1").tobytes() if dtype.kind == "b" else rng.bytes(size)
        if dtype.kind == "U":
            noise = np.frombuffer(rng.bytes(size), dtype.str[0] + "u4") % 0xd800
            noise = noise.astype(dtype.str[0] + "u4").tobytes()
        a = np.ndarray(shape, dtype, noise).copy(order=order)
        np.save(f"{folder}/{count}.npy", a)
        # The gaps of a record belong to nobody: there the fields are what counts, below.
        if not dtype.names:
            open(f"{folder}/{count}.raw", "wb").write(a.tobytes())
        count += 1
print(count)
"#,
        folder.path(),
    );
    let count: usize = names.trim().parse().unwrap();
    assert!(count > 200);
    let name = Name::shm("numpy-writes");
    for index in 0..count {
        let path = npy(&folder, &index.to_string());
        ok(["copy", "--force", text(&path), name.bare()]);
        let array = AnyArray::attach(&name).unwrap();
        if let Ok(raw) = std::fs::read(path.with_extension("raw")) {
            assert!(elements(&array) == raw, "{}", array.layout());
        }
        let back = crate::run(["copy", name.bare(), text(&npy(&folder, &format!("{index}-back")))]);
        assert_eq!(back.code, Some(0), "{}", back.err);
    }
    let compared = script(
        &python,
        r#"
import sys
import numpy as np
folder, count = sys.argv[1], 0
while True:
    try:
        a = np.load(f"{folder}/{count}.npy", max_header_size=1 << 20)
    except FileNotFoundError:
        break
    b = np.load(f"{folder}/{count}-back.npy", max_header_size=1 << 20)
    assert a.dtype == b.dtype and a.dtype.str == b.dtype.str, (a.dtype, b.dtype)
    assert a.shape == b.shape, a.dtype
    for one, two in [(a[n], b[n]) for n in a.dtype.names] if a.dtype.names else [(a, b)]:
        assert one.tobytes() == two.tobytes(), a.dtype
    # Elements without bytes lie in no order.
    assert a.nbytes == 0 or a.flags.f_contiguous == b.flags.f_contiguous, a.dtype
    if a.dtype.names:
        assert dict(a.dtype.fields) == dict(b.dtype.fields), a.dtype
    count += 1
print(count)
"#,
        folder.path(),
    );
    assert_eq!(compared.trim(), count.to_string());
}

#[test]
fn what_numpy_reads() {
    let Some(python) = python("what_numpy_reads") else { return };
    let _alone = alone();
    let folder = Folder::new("cli-numpy-reads");
    let name = Name::shm("numpy-reads");
    let mut count = 0;
    for element in sayable() {
        let layout = ArrayLayout::f_order(element, &[2, 3]).unwrap();
        let made = make(&name, &layout, &noise(layout.data_len_bytes()));
        let path = npy(&folder, &count.to_string());
        ok(["copy", name.bare(), text(&path)]);
        std::fs::write(path.with_extension("raw"), elements(&made)).unwrap();
        std::fs::write(path.with_extension("size"), layout.element().item_size().to_string()).unwrap();
        shm_core::delete(&name).unwrap();
        count += 1;
    }
    let compared = script(
        &python,
        r#"
import os, sys
import numpy as np
def same(a, b):
    # The gaps of a record belong to nobody: there the fields are what counts.
    if a.dtype.names is not None:
        return all(same(a[name], b[name]) for name in a.dtype.names)
    return a.tobytes() == b.tobytes()
folder, count = sys.argv[1], 0
while os.path.exists(f"{folder}/{count}.npy"):
    a = np.load(f"{folder}/{count}.npy")
    read = lambda end: open(f"{folder}/{count}.{end}", "rb").read()
    assert a.shape == (2, 3) and a.dtype.itemsize == int(read("size")), a.dtype
    b = np.ndarray((2, 3), a.dtype, read("raw"))
    assert same(a, b), a.dtype
    count += 1
print(count)
"#,
        folder.path(),
    );
    assert_eq!(compared.trim(), count.to_string());
}

#[test]
fn text_is_numpys() {
    let Some(python) = python("text_is_numpys") else { return };
    let _alone = alone();
    let folder = Folder::new("cli-numpy-text");
    let name = Name::shm("numpy-text");
    script(
        &python,
        r#"
import sys
import numpy as np
folder = sys.argv[1]
rng = np.random.default_rng(2)
for unit in "D h m s ms us ns ps fs as".split():
    a = np.frombuffer(rng.bytes(800), "<i8") >> rng.integers(0, 60, 100)
    if unit in "D h m s".split():
        a = a % 10 ** 9
    a = a.view("<M8[%s]" % unit)
    np.save(f"{folder}/M{unit}.npy", a)
    open(f"{folder}/M{unit}.txt", "w").write("".join(str(x) + "\n" for x in a))
for t in ["<f8", "<f4", ">f8", "<f2", "<i8", ">u2"]:
    a = np.frombuffer(rng.bytes(800), t)
    np.save(f"{folder}/{t[1:]}{t[0] == '>'}.npy", a)
"#,
        folder.path(),
    );
    for file in crate::files(folder.path()).iter().filter(|file| file.ends_with(".npy")) {
        let path = folder.path().join(file);
        ok(["copy", "--force", text(&path), name.bare()]);
        std::fs::write(path.with_extension("ours"), ok(["dump", name.bare()])).unwrap();
    }
    script(
        &python,
        r#"
import glob, sys
import numpy as np
for npy in glob.glob(sys.argv[1] + "/*.npy"):
    a, ours = np.load(npy), open(npy[:-3] + "ours").read()
    if a.dtype.kind == "M":
        assert ours == open(npy[:-3] + "txt").read(), npy
    else:
        # The digits lead back to the same numbers.
        b = np.array([a.dtype.type(word) for word in ours.split()], a.dtype)
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), npy
"#,
        folder.path(),
    );
}
