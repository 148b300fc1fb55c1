"""The array class: what is shared and what is private, element types, and the interfaces to other libraries."""

import gc
import multiprocessing.shared_memory
import os
import pickle
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest

import shm
from shm import _shm

NEW = {
    "ufunc": lambda a: a + 1,
    "comparison": lambda a: a > 3,
    "reduction": lambda a: a.sum(axis=0),
    "mean": lambda a: a.mean(axis=1),
    "std": lambda a: a.std(axis=0),
    "cumulative": lambda a: np.add.accumulate(a),
    "matmul": lambda a: a @ a.T,
    "dot": lambda a: a.dot(a.T),
    "fancy": lambda a: a[[0, 1]],
    "mask": lambda a: a[a > 3],
    "grid": lambda a: a[np.ix_([0, 2], [1, 2])],
    "copy": lambda a: a.copy(),
    "np.copy": lambda a: np.copy(a),
    "np.array": lambda a: np.array(a),
    "astype": lambda a: a.astype("f4"),
    "flatten": lambda a: a.flatten(),
    "ravel of a transposed one": lambda a: a.T.ravel(),
    "reshape of a transposed one": lambda a: a.T.reshape(-1),
    "take": lambda a: a.take([0, 1]),
    "repeat": lambda a: a.repeat(2),
    "sort": lambda a: np.sort(a),
    "argsort": lambda a: a.argsort(),
    "argmax": lambda a: a.argmax(axis=0),
    "max": lambda a: a.max(axis=0),
    "cumsum": lambda a: a.cumsum(),
    "clip": lambda a: a.clip(1, 2),
    "round": lambda a: a.round(),
    "concatenate": lambda a: np.concatenate([a, a]),
    "stack": lambda a: np.stack([a, a]),
    "where": lambda a: np.where(a > 3, a, 0),
    "where itself": lambda a: np.where(a)[0],
    "compress": lambda a: a.compress([True, False, True], axis=0),
    "choose": lambda a: (a > 2).astype(int).choose([a, -a]),
    "einsum": lambda a: np.einsum("ij->j", a),
    "outer": lambda a: np.outer(a, a),
    "conj": lambda a: (a * 1j).conj(),
    "byteswap": lambda a: a.byteswap(),
    "diff": lambda a: np.diff(a),
    "unique": lambda a: np.unique(a),
    "np.dot": lambda a: np.dot(a, a.T),
    "inner": lambda a: np.inner(a, a),
    "zeros_like": lambda a: np.zeros_like(a),
    "full_like": lambda a: np.full_like(a, 7),
    "nan_to_num": lambda a: np.nan_to_num(a),
    "gradient": lambda a: np.gradient(a)[1],
    "out of a private one": lambda a: np.add(a, 1, out=np.empty((3, 4))),
}


def table():
    return shm.copy(np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("what", NEW)
def test_results_are_plain_and_private(what):
    a = table()
    plain = np.arange(12.0).reshape(3, 4)
    result = NEW[what](a)
    assert type(result) is np.ndarray and not shm.is_shared(result)
    assert np.array_equal(result, NEW[what](plain))


def test_scalars_are_scalars():
    a = table()
    for result in (a.sum(), a[1, 2], a.max(), np.add.reduce(a, axis=None), a.mean(), np.sum(a), a.std(), a.argmax()):
        assert isinstance(result, np.generic)
    assert np.add(shm.full((), 2.0), 1) == 3 and a.item(3) == 3.0
    assert isinstance(np.sqrt(shm.full((), 4.0)), np.float64)


def test_views_are_shared_and_keep_their_class():
    a = table()
    for view in (a[1:], a.T, a[::-1, ::2], a.reshape(12), a.ravel(), a[None], a[..., 1], a.view(), a.swapaxes(0, 1), a[1:][1:].T, a.squeeze(), a[None].squeeze(),
                 np.squeeze(a[:1]), *np.split(a, 3), np.flip(a), np.broadcast_to(a, (2, 3, 4), subok=True)):
        assert type(view) is shm.SharedArray and shm.is_shared(view)
        assert view.memory.identity == a.memory.identity
    plain = np.asarray(a)
    assert type(plain) is np.ndarray and shm.is_shared(plain) and shm.memory_of(plain).addr == a.memory.addr
    a[1, 1] = -7
    assert plain[1, 1] == -7


def test_out_and_in_place():
    a = table()
    b = np.multiply(a, 2, out=a)
    assert b is a and a[0, 1] == 2
    a += 1
    assert type(a) is shm.SharedArray and shm.is_shared(a) and a[0, 0] == 1


def test_an_array_is_made_read_only_and_writable_again(name):
    a = shm.create(name, 3)
    a.flags.writeable = True
    a.setflags(write=False)
    with pytest.raises(ValueError):
        a[0] = 1
    copy = pickle.loads(pickle.dumps(a))
    for each in (a, copy, a[1:]):
        assert not each.flags.writeable
        each.flags.writeable = True
        each[0] = 2
    assert a.tolist() == [2, 2, 0]
    for each in (shm.attach(name, readonly=True), np.array(a, subok=True)):
        each.setflags(write=False)
        if shm.is_shared(each):
            with pytest.raises(ValueError):
                each.setflags(write=True)
        else:
            each.setflags(write=True)


def test_memory_lives_as_long_as_any_view():
    a = table()
    row = np.asarray(a)[1]
    alive = weakref.ref(a)
    del a
    gc.collect()
    row[0] = 5
    assert row.tolist() == [5, 5, 6, 7]
    del row
    gc.collect()
    assert alive() is None


def test_descriptors_and_mappings_are_given_back():
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    arrays = [shm.zeros(10) for _ in range(50)]
    assert count() == before + 50
    del arrays
    gc.collect()
    assert count() == before


def test_private_arrays_say_so():
    private = np.array(table(), subok=True)
    assert type(private) is shm.SharedArray
    assert not shm.is_shared(private)
    with pytest.raises(ValueError):
        private.memory
    assert type(pickle.loads(pickle.dumps(private))) is np.ndarray


def test_what_lies_beside_is_not_inside():
    a = table()
    strange = np.lib.stride_tricks.as_strided(np.asarray(a), (3, 4), (1 << 20, 8))
    assert not shm.is_shared(strange)


DTYPES = [
    "?", "i1", "u1", "<i2", ">i2", "<u2", ">u4", "<i8", ">i8", "<f2", ">f2", "<f4", "<f8", ">f8", "<c8", ">c16", "g", "G", "S5", "S1", "<U3", ">U7", "V9",
    "<M8[ns]", ">M8[25s]", "<M8[D]", "<m8[us]", "<m8[7W]", "<m8", "<M8",
    [("x", "<f4"), ("y", ">i8")],
    [("p", [("x", "f4"), ("y", "f4", (2, 3))], (4,)), ("name", "U9")],
    [(("a title", "x"), "<i4"), ("ü", "S3")],
    {"names": ["late", "early"], "formats": ["<f8", "u1"], "offsets": [8, 0], "itemsize": 24},
    {"names": ["whole", "half"], "formats": ["<u8", "<u4"], "offsets": [0, 4]},
    np.dtype([("c", "i1"), ("d", "f8"), ("e", "c8")], align=True),
    [(f"field{i}", "<f8") for i in range(200)],
    [],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[:40])
def test_element_types_are_kept(name, dtype):
    dtype = np.dtype(dtype)
    a = shm.create(name, (2, 3), dtype)
    b = shm.attach(name)
    for found in (a.dtype, b.dtype, shm.inspect(name).dtype, pickle.loads(pickle.dumps(a)).dtype):
        assert found == dtype and found.str == dtype.str and found.itemsize == dtype.itemsize
        assert found.fields == dtype.fields and found.isalignedstruct == dtype.isalignedstruct
    raw = np.frombuffer(np.random.default_rng(1).bytes(6 * dtype.itemsize), "u1")
    a.view("V%d" % dtype.itemsize)[:] = raw.view("V%d" % dtype.itemsize).reshape(2, 3) if dtype.itemsize else b""
    assert b.tobytes() == raw.tobytes()


def test_random_records_are_kept():
    random = np.random.default_rng(7)
    scalars = [d for d in DTYPES if isinstance(d, str)]

    def record(depth):
        fields = []
        for i in range(random.integers(1, 6)):
            kind = record(depth - 1) if depth and random.random() < 0.3 else str(random.choice(scalars))
            name = (f"title{depth}{i}", f"f{i}") if random.random() < 0.3 else f"f{i}"
            shape = tuple(int(n) for n in random.integers(1, 4, random.integers(0, 3)))
            fields.append((name, kind, shape) if shape else (name, kind))
        return np.dtype(fields, align=bool(random.integers(2)))

    for _ in range(200):
        dtype = record(3)
        again = _shm.round_trip(dtype)
        assert again == dtype and again.fields == dtype.fields and again.isalignedstruct == dtype.isalignedstruct


@pytest.mark.parametrize("dtype", [object, [("x", "f4"), ("y", object)], ">g", [((3, "x"), "f4")], "nonsense"])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError):
        shm.zeros(3, dtype)


def test_bfloat16_with_its_package(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = shm.create(name, 4, ml_dtypes.bfloat16)
    a[:] = 1.5
    b = shm.attach(name)
    assert b.dtype == ml_dtypes.bfloat16 and b.astype(float).tolist() == [1.5] * 4
    with pytest.raises(TypeError):
        shm.zeros(3, ml_dtypes.float8_e4m3fn)
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import shm; a = shm.attach(sys.argv[1]); print(a.dtype.str, dict(a.dtype.metadata), hex(a[0]))\n"
        "b = shm.zeros(3, a.dtype); print(shm.memory_of(b).info().entries[0].dtype.metadata)"
    )
    out = subprocess.run([sys.executable, "-c", code, name], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[0] == "<u2 {'shm': 'bfloat16'} 0x3fc0" and "bfloat16" in out.splitlines()[1]


def test_dlpack_and_buffers():
    a = table()
    b = np.from_dlpack(a)  # read-only in some versions of NumPy
    a[0, 0] = 9
    view = memoryview(a)
    view[1, 1] = 8.0
    assert b[0, 0] == 9 and a[1, 1] == 8
    c = np.frombuffer(a, "f8")
    del a, view
    gc.collect()
    assert b[1, 1] == 8 and c[0] == 9 and shm.is_shared(b)


def stdlib(name, **options):
    return multiprocessing.shared_memory.SharedMemory(name, **options)


def test_the_standard_library_opens_ours_and_lets_them_stay(name):
    a = shm.create(name, 5, "u1")
    a[:] = [1, 2, 3, 4, 5]
    code = (
        "import shm, sys\nfrom multiprocessing.shared_memory import SharedMemory\n"
        "block = SharedMemory(sys.argv[1]); at = int(sys.argv[2])\n"
        "assert bytes(block.buf[at:at + 5]) == b'\\1\\2\\3\\4\\5'; block.buf[at] = 77; block.close()"
    )
    done = subprocess.run([sys.executable, "-c", code, name, str(a.memory.data_offset)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert a[0] == 77 and shm.attach(name)[0] == 77
    if sys.version_info >= (3, 13):
        code = code.replace("import shm, sys", "import sys").replace("(sys.argv[1])", "(sys.argv[1], track=False)")
        subprocess.run([sys.executable, "-c", code.replace("\\1", "\\115"), name, str(a.memory.data_offset)], check=True)
        assert shm.attach(name)[0] == 77


def test_the_standard_library_keeps_its_own(name):
    code = (
        "import shm, sys\nfrom multiprocessing.shared_memory import SharedMemory\n"
        "block = SharedMemory(sys.argv[1], create=True, size=100); block.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert "leaked shared_memory" in done.stderr  # it was told, and has cleaned up
    assert not os.path.exists(f"/dev/shm/{name}")
    done = subprocess.run([sys.executable, "-c", code + "block.unlink()", name], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_the_standard_library_may_delete_ours(name):
    shm.create(name, 5)
    code = "import shm, sys\nfrom multiprocessing.shared_memory import SharedMemory\nblock = SharedMemory(sys.argv[1]); block.unlink(); block.close()"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert not os.path.exists(f"/dev/shm/{name}")


def test_the_standard_library_may_take_a_name_of_ours_over(name):
    shm.create(name, 3)
    code = (
        "import shm\nfrom multiprocessing.shared_memory import SharedMemory\n"
        f"SharedMemory({name!r}).close()\nshm.delete({name!r})\n"
        f"m = SharedMemory({name!r}, create=True, size=64)\nm.close()\nm.unlink()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and not os.path.exists(f"/dev/shm/{name}")


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = table()
        np.linalg.norm(a)
        repr(a), str(a), a.tolist(), np.array_equal(a, a), a.T.copy(), list(a)
