"""`shm.compat.SharedArray`: the surface of both versions of the original, and where the original breaks what its page promises."""

import errno
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import shm
from shm.compat import SharedArray as sa


def test_both_surfaces(name):
    a = sa.create(f"shm://{name}", 10)
    assert a.dtype == np.float64 and a.shape == (10,) and not a.any() and isinstance(a, np.ndarray)
    b = sa.attach(name=name)
    a[0] = 42
    assert b[0] == 42
    # version 2: functions; version 3: methods of the base
    assert sa.msync(a, sa.MS_SYNC) is None and a.base.msync(flags=sa.MS_ASYNC | sa.MS_INVALIDATE) is None
    assert sa.mlock(a) is None and sa.munlock(a) is None
    assert a.base.mlock() is None and a.base.munlock() is None
    assert (sa.MS_ASYNC, sa.MS_INVALIDATE, sa.MS_SYNC) == (1, 2, 4)
    assert a.base.addr == a.ctypes.data and a.base.size == a.nbytes and a.base.addr % 4096 == 0
    sa.delete(name)
    assert b[0] == 42
    with pytest.raises(FileNotFoundError):
        sa.attach(name)


def test_the_base_has_the_name_as_it_was_passed(name):
    for given in (name, f"shm://{name}", f"/{name}", f"shm:///{name}"):
        a = sa.create(given, 3)
        b = sa.attach(f"shm://{name}", True)
        assert a.base.name == given and b.base.name == f"shm://{name}" and a.memory.name == f"shm://{name}"
        assert not b.flags.writeable
        sa.delete(a.base.name)
        del a, b


def test_files(tmp_path):
    path = f"file://{tmp_path / 'table'}"
    a = sa.create(path, (3, 4), "i2")
    a[1, 2] = 7
    a.base.msync(sa.MS_SYNC)
    assert a.base.name == path
    del a
    code = "import sys; from shm.compat import SharedArray as sa; a = sa.attach(sys.argv[1], ro=True); print(a[1, 2], a.dtype, a.shape)"
    said = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True).stdout
    assert said == "7 int16 (3, 4)\n"
    assert path not in [each.name for each in sa.list()]
    sa.delete(path)
    assert not os.listdir(tmp_path)


def test_the_list(names):
    one, two, lock = names(), names(), names()
    sa.create(one, (2, 3), ">f4")
    sa.create(two, ())
    shm.Lock.create(lock)
    found = {each.name: each for each in sa.list()}
    assert lock not in found
    assert found[one] == (one, np.dtype(">f4"), (2, 3)) and found[one].dtype == ">f4" and found[one].dims == (2, 3)
    assert found[two].dims == ()
    # The original says the names as bytes: programs that expect that work as well.
    assert found[one].name.decode() == one and found[one].name == one.encode() and found[one].name != b"x"
    assert one.encode() in found and sa.attach(found[one].name.decode()).shape == (2, 3)
    sa.delete(found[one].name)
    assert one not in [each.name for each in sa.list()]


@pytest.mark.parametrize(
    "dtype",
    [">f8", "<M8[ms]", ">m8[us]", "S5", ">U3", "?", "c16", "g", [("x", "<i4"), ("y", ">f8")], np.dtype("(2,)i2")],
    ids=str,
)
def test_element_types_arrive_exactly(name, dtype):
    a = sa.create(name, 4, dtype)
    assert a.dtype == np.zeros(4, dtype).dtype == sa.attach(name).dtype and a.shape == np.zeros(4, dtype).shape


@pytest.mark.parametrize("shape", [(), 0, (3, 0, 2), (2,) * 20])
def test_shapes(name, shape):
    assert sa.create(name, shape).shape == np.zeros(shape).shape == sa.attach(name).shape


def test_errors(name, tmp_path):
    for dtype in (object, [("x", "O")]):
        with pytest.raises(TypeError):
            sa.create(name, 3, dtype)
    for bad in ("http://x", "", "shm://", "a/b", "/a/b", "..", "file://"):
        with pytest.raises(ValueError):
            sa.create(bad, 3)
    for bad in (None, b"x", 3):
        with pytest.raises(TypeError):
            sa.create(bad, 3)
    with pytest.raises(ValueError):
        sa.create(name, -1)
    with pytest.raises(OSError):  # the original maps more than there is, and dies at a touch
        sa.create(name, 1 << 44)
    for call in (sa.attach, sa.delete):
        with pytest.raises(FileNotFoundError) as caught:
            call(name)
        assert (caught.value.errno, caught.value.filename, caught.value.strerror) == (errno.ENOENT, name, "No such file or directory")
    sa.create(name, 3)
    with pytest.raises(FileExistsError) as caught:
        sa.create(f"shm://{name}", 3)
    assert (caught.value.errno, caught.value.filename, caught.value.strerror) == (errno.EEXIST, f"shm://{name}", "File exists")
    with pytest.raises(TypeError):
        sa.create(f"{name}-x", 3, colour="red")
    for call in (lambda a: sa.msync(a, sa.MS_SYNC), sa.mlock, sa.munlock):
        with pytest.raises(ValueError):
            call(np.zeros(3))
    with pytest.raises(ValueError):
        sa.msync(sa.attach(name), sa.MS_SYNC | sa.MS_ASYNC)
    other = tmp_path / "other"
    other.write_bytes(b"something else" * 100)
    for call in (sa.attach, sa.delete):
        # an OSError as in the original, and a ValueError as elsewhere in this package
        with pytest.raises(OSError) as caught:
            call(f"file://{other}")
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, shm.Error)
    assert other.stat().st_size == 1400


def test_arrays_pickle_by_reference(name):
    a = sa.create(name, 10)
    b = pickle.loads(pickle.dumps(a[::-2]))
    b[0] = 5
    assert a[9] == 5


def test_permissions_are_a_choice(name):
    assert shm.inspect(sa.create(name, 3, mode=0o644).base.name).mode == 0o644
    a = sa.attach(name, copy_on_write=True)
    a[0] = 5
    assert sa.attach(name, any_owner=True)[0] == 0
