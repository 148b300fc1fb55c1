"""Creating, attaching, listing, deleting: what a user does first, and what bad input gets."""

import errno
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import shm


def test_smoke(name):
    a = shm.create(name, (3, 4))
    b = shm.attach(name)
    a[1, 2] = 42
    assert b[1, 2] == 42
    assert isinstance(a, np.ndarray) and a.dtype == np.float64 and a.shape == (3, 4)
    assert not np.any(a[0])
    shm.delete(name)
    assert b[1, 2] == 42
    with pytest.raises(FileNotFoundError):
        shm.attach(name)


def test_another_process_attaches_by_name(name):
    a = shm.create(name, 10, np.int32)
    code = "import shm, sys; a = shm.attach(sys.argv[1]); a[3] = 7; print(a.dtype, a.shape)"
    out = subprocess.run([sys.executable, "-c", code, name], check=True, capture_output=True, text=True).stdout
    assert out.split() == ["int32", "(10,)"]
    assert a[3] == 7


@pytest.mark.parametrize("shape", [(), 0, 5, (2, 3), (3, 0, 2), (1, 1, 1), [4], np.int64(3), (np.uint8(2), 2)])
def test_shapes(name, shape):
    a = shm.create(name, shape, "i2")
    assert a.shape == np.zeros(shape).shape == shm.attach(name).shape


def test_orders(name):
    a = shm.create(name, (2, 3, 4), order="F")
    assert a.flags.f_contiguous
    assert shm.attach(name).strides == a.strides


def test_the_front_functions_have_numpys_results():
    for make, reference in [
        (shm.zeros((2, 3), int), np.zeros((2, 3), int)),
        (shm.empty(4, "u1"), np.zeros(4, "u1")),
        (shm.ones((2, 2), complex), np.ones((2, 2), complex)),
        (shm.full((3,), 7), np.full((3,), 7)),
        (shm.full((), "abc"), np.full((), "abc")),
        (shm.full((2, 2), [1, 2]), np.full((2, 2), [1, 2])),
        (shm.zeros(3, "(2,)f4"), np.zeros(3, "(2,)f4")),
        (shm.ones_like([1, 2]), np.ones_like([1, 2])),
        (shm.full_like(np.zeros((2, 2), "f4"), 3), np.full_like(np.zeros((2, 2), "f4"), 3)),
        (shm.full_like(np.array(1), 3), np.full_like(np.array(1), 3)),
        (shm.zeros_like(np.ones((2, 3), order="F")), np.zeros((2, 3))),
        (shm.empty_like(np.ones(3), dtype="i4", shape=(2,)), np.zeros(2, "i4")),
        (shm.copy(np.array(5)), np.array(5)),
        (shm.copy([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
        (shm.copy([1, 2], dtype="f4"), np.array([1, 2], "f4")),
        (shm.fromiter((i * i for i in range(5)), int), np.arange(5) ** 2),
        (shm.fromiter(iter(range(9)), "i2", count=3), np.arange(3, dtype="i2")),
        (shm.zeros(2, str), np.zeros(2, str)),
    ]:
        assert type(make) is shm.SharedArray
        assert make.dtype == reference.dtype and make.shape == reference.shape
        assert np.array_equal(make, reference)
        assert shm.is_shared(make) and not shm.is_shared(reference)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_likes_keep_the_order_as_numpy_does(order):
    for a in (np.ones((2, 3)), np.ones((2, 3), order="F"), np.ones((2, 3, 4)).transpose(1, 2, 0), np.ones((4, 6))[::2, ::-3]):
        assert shm.empty_like(a, order=order).strides == np.empty_like(a, order=order).strides
        assert shm.copy(a, order).strides == np.copy(a, order).strides


def test_named_fronts_are_complete_when_they_appear(name):
    shm.full((3,), 9, name=name)
    assert list(shm.attach(name)) == [9, 9, 9]


def test_a_copy_that_fails_leaves_no_name(name):
    with pytest.raises(ValueError):
        shm.full((2, 3), [1, 2], name=name)
    with pytest.raises(FileNotFoundError):
        shm.inspect(name)


def test_create_or_attach(name):
    a = shm.create_or_attach(name, (2, 2), int)
    a[:] = 3
    assert shm.create_or_attach(name, (2, 2), int)[1, 1] == 3
    with pytest.raises(TypeError):
        shm.create_or_attach(name, (2, 2), float)
    with pytest.raises(ValueError):
        shm.create_or_attach(name, (2, 3), int)


def test_list_and_inspect(name):
    shm.create(name, (2, 5), "<U3", mode=0o640)
    (info,) = [info for info in shm.list() if info.name == f"shm://{name}"]
    assert info == shm.inspect(name) == shm.inspect(f"shm://{name}")
    assert (info.dtype, info.shape, info.mode, info.creator) == (np.dtype("<U3"), (2, 5), 0o640, os.getpid())
    assert info.creator_alive and info.not_guaranteed is None and info.lifetime == "persistent"


def test_files(tmp_path):
    path = f"file://{tmp_path}/table"
    a = shm.create(path, 4)
    a[:] = 1
    a.msync()
    shm.msync(a, shm.MS_ASYNC | shm.MS_INVALIDATE)
    assert shm.attach(path)[3] == 1
    assert [info.name for info in shm.list(tmp_path)] == [path]
    assert shm.reap(tmp_path) == []
    shm.delete(path)
    assert shm.list(tmp_path) == []


def test_lifetimes(names):
    last = names()
    a = shm.create(last, 3, lifetime="last-detach")
    b = shm.attach(last)
    del a
    assert shm.inspect(last).attached
    del b
    with pytest.raises(FileNotFoundError):
        shm.inspect(last)
    scoped = names()
    a = shm.create(scoped, 3, lifetime="scoped")
    del a
    with pytest.raises(FileNotFoundError):
        shm.attach(scoped)


def test_a_killed_owner_leaves_nothing(name):
    code = "import os, shm, sys; a = shm.create(sys.argv[1], 3, lifetime='last-detach'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, name]).returncode == -9
    with pytest.raises(FileNotFoundError):
        shm.attach(name)
    assert not os.path.exists(f"/dev/shm/{name}")


def test_reap_says_what_it_removed(name):
    code = "import os, shm, sys; a = shm.create(sys.argv[1], 3, lifetime='last-detach'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, name])
    assert f"shm://{name}" in shm.reap()


def test_ways_to_attach(name):
    a = shm.create(name, 3)
    reader = shm.attach(name, readonly=True)
    assert reader.memory.access == "read-only"
    with pytest.raises(ValueError):
        reader[0] = 1
    private = shm.attach(name, copy_on_write=True)
    private[0] = 5
    assert a[0] == 0
    with pytest.raises(ValueError):
        shm.attach(name, readonly=True, copy_on_write=True)
    assert shm.attach(name, prefault=True, huge_pages=True)[0] == 0


def test_options(name):
    a = shm.create(name, 3, sparse=True, prefault=False, huge_pages=True, align=1 << 16)
    assert a.memory.addr % (1 << 16) == 0
    assert "sparse" in shm.inspect(name).not_guaranteed
    a.mlock()
    a.munlock()
    shm.mlock(a)
    shm.munlock(a)
    with pytest.raises(ValueError):
        shm.mlock(np.zeros(3))


def test_growth(name):
    a = shm.create(name, (2, 3), reserve=1 << 20)
    b = shm.attach(name)
    longer = b.memory.grow(100)
    longer[99] = 1
    assert a.shape == (2, 3) and longer.shape == (100, 3)
    assert a.memory.array().shape == (100, 3) == shm.inspect(name).shape
    with pytest.raises(ValueError):
        longer.memory.grow(1 << 40)
    with pytest.raises(ValueError):
        shm.zeros(3).memory.grow(4)


def test_memory_describes_itself(name):
    a = shm.create(name, 4, "f4")
    assert a.memory.name == a.base.name == f"shm://{name}"
    assert a.base.size == 16 and a.base.addr == a.ctypes.data and a.base.addr % 4096 == 0
    assert shm.zeros(3).memory.name is None
    assert name in repr(a.base)
    with open(f"/dev/shm/{name}", "rb") as file:
        a[:] = 1.5
        assert np.array_equal(np.frombuffer(file.read(), "f4", offset=a.base.data_offset), a)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: shm.create("x", -1), ValueError),
        (lambda: shm.create("x", (2, -3)), ValueError),
        (lambda: shm.create("x", (1 << 40, 1 << 40)), ValueError),
        (lambda: shm.create("x", 1 << 70), ValueError),
        (lambda: shm.create("x", 1.5), TypeError),
        (lambda: shm.create("x", "abc"), TypeError),
        (lambda: shm.create("x", None), TypeError),
        (lambda: shm.create("x", 3, "nonsense"), TypeError),
        (lambda: shm.create("x", 3, object), TypeError),
        (lambda: shm.create("x", 3, order="Z"), ValueError),
        (lambda: shm.create("x", 3, mode=0), ValueError),
        (lambda: shm.create("x", 3, mode="rw"), TypeError),
        (lambda: shm.create("x", 3, lifetime="long"), ValueError),
        (lambda: shm.create("x", 3, align=3), ValueError),
        (lambda: shm.create("x", 3, color="red"), TypeError),
        (lambda: shm.create("x", 3, mode=1 << 40), ValueError),
        (lambda: shm.create("x", 3, mode=-1), ValueError),
        (lambda: shm.create("x", 3, reserve=1 << 70), ValueError),
        (lambda: shm.create("x", 3, reserve=1.5), TypeError),
        (lambda: shm.create("x", 3, lifetime=3), TypeError),
        (lambda: shm.create("x", 3, sparse="yes"), TypeError),
        (lambda: shm.zeros(3).memory.grow(-1), ValueError),
        (lambda: shm.zeros(3).memory.grow(1 << 64), ValueError),
        (lambda: shm.zeros(3).msync(-1), ValueError),
        (lambda: shm.attach_raw("x", 3, "f8", offset=-1), ValueError),
        (lambda: shm.attach_raw("x", 3, "f8", offset=1 << 200), ValueError),
        (lambda: shm.attach_raw("x", 3, "f8", offset=8.0), TypeError),
        (lambda: shm.full_like([1, 2], "x"), ValueError),
        (lambda: shm.list("/no/such/directory"), FileNotFoundError),
        (lambda: shm.create("x", (1,) * 65), ValueError),
        (lambda: shm.create("a/b", 3), ValueError),
        (lambda: shm.create("", 3), ValueError),
        (lambda: shm.create("http://x", 3), ValueError),
        (lambda: shm.create(7, 3), TypeError),
        (lambda: shm.create(None, 3), TypeError),
        (lambda: shm.attach(b"x"), TypeError),
        (lambda: shm.attach("no-such-name-here"), FileNotFoundError),
        (lambda: shm.delete("no-such-name-here"), FileNotFoundError),
        (lambda: shm.inspect("no-such-name-here"), FileNotFoundError),
        (lambda: shm.SharedArray((3,)), TypeError),
        (lambda: shm.zeros(1 << 45), MemoryError),
    ],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error):
        call()
    assert not os.path.exists("/dev/shm/x")


def test_defaults_and_numbers_are_numpys(name):
    assert shm.zeros(3, None).dtype == shm.create(name, np.int8(3), dtype=None).dtype == np.float64
    assert shm.create(f"{name}-a", np.array([2, 3])).shape == (2, 3) and shm.zeros(np.array([4])).shape == (4,)
    shm.delete(f"{name}-a")
    a = shm.empty(np.array(2), reserve=np.int64(1 << 16), mode=np.uint16(0o600))
    assert a.memory.grow(np.int32(5)).shape == (5,)
    assert np.isnan(shm.full_like([1.0, 2.0], None)).all() and shm.full_like([1, 2], 7).tolist() == [7, 7]


def test_errors_travel(name):
    for call in (lambda: shm.attach(name), lambda: shm.list("/dev/null"), lambda: shm.zeros(1 << 45), lambda: shm.Lock().release()):
        with pytest.raises(shm.Error) as caught:
            call()
        error = caught.value
        same = pickle.loads(pickle.dumps(error))
        assert type(same) is type(error) and str(same) == str(error) and same.kind == error.kind
        for part in ("errno", "filename", "strerror"):
            assert getattr(same, part, None) == getattr(error, part, None)
        assert not isinstance(error, OSError) or error.errno is not None


def test_errors_are_ours_and_pythons(name):
    shm.create(name, 3)
    with pytest.raises(FileExistsError) as caught:
        shm.create(name, 3)
    error = caught.value
    assert isinstance(error, shm.Error) and error.errno == errno.EEXIST and error.kind == "AlreadyExists"
    assert str(error).startswith(f"cannot create shm://{name}: ")
    assert (error.filename, error.strerror) == (f"shm://{name}", "File exists")
    with pytest.raises(shm.NoSpaceError) as caught:
        shm.create(f"{name}-huge", 1 << 45)
    assert isinstance(caught.value, MemoryError) and caught.value.errno == errno.ENOSPC and "/dev/shm" in str(caught.value)


def test_what_is_no_segment_is_refused_and_stays(name):
    path = f"/dev/shm/{name}"
    with open(path, "wb") as file:
        file.write(b"something else" * 100)
    try:
        for call in (shm.attach, shm.delete, shm.inspect):
            with pytest.raises(ValueError):
                call(name)
        assert os.path.getsize(path) == 1400
    finally:
        os.unlink(path)


def test_raw_memory_of_others(name):
    path = f"/dev/shm/{name}"
    np.arange(20, dtype="<i4").tofile(path)
    try:
        a = shm.attach_raw(name, (2, 3), "<i4", offset=8)
        assert a.tolist() == [[2, 3, 4], [5, 6, 7]]
        a[0, 0] = 99
        assert np.fromfile(path, "<i4")[2] == 99
        assert a.memory.is_raw and a.memory.name == f"shm://{name}"
        reader = shm.attach_raw(name, 20, "<i4", readonly=True)
        assert not reader.flags.writeable
        for shape, offset in ((21, 0), (1, 77), (1, 1 << 62), (2, 80)):
            with pytest.raises(ValueError):
                shm.attach_raw(name, shape, "<i4", offset=offset)
        with pytest.raises(ValueError):
            shm.delete(name)
        del a, reader
        assert os.path.exists(path)
    finally:
        os.unlink(path)
    with pytest.raises(FileNotFoundError):
        shm.attach_raw(name, 1, "i4")
