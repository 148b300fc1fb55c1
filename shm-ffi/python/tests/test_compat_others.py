"""Memory that others have made, opened by its bytes: it may be anything, and nothing that is done to it destroys it."""

import mmap
import os
import pickle
import struct
import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

import shm


@pytest.fixture
def path(name):
    yield f"/dev/shm/{name}"
    try:
        os.unlink(f"/dev/shm/{name}")
    except FileNotFoundError:
        pass


def test_nothing_destroys_it(path, name):
    np.arange(10.0).tofile(path)
    a = shm.attach_raw(name, 10, float)
    b = pickle.loads(pickle.dumps(a[2:]))
    b[0] = 77
    assert a[2] == 77
    for call in (shm.delete, shm.inspect, shm.attach, shm.Lock.attach):
        with pytest.raises(ValueError):
            call(name)
    assert f"shm://{name}" not in shm.reap() and f"shm://{name}" not in [info.name for info in shm.list()]
    with pytest.raises(FileExistsError):
        shm.create(name, 3)
    with pytest.raises(ValueError):
        shm.create_or_attach(name, 10)
    for call in (a.memory.info, a.memory.prefault, a.memory.array, lambda: a.memory.grow(20)):
        with pytest.raises(TypeError):
            call()
    del a, b
    assert np.fromfile(path)[2] == 77


def test_whoever_has_opened_it_and_dies_does_not_destroy_it(path, name):
    np.arange(4.0).tofile(path)
    code = "import os, shm, sys; a = shm.attach_raw(sys.argv[1], 4, float); a[0] = 5; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, name])
    assert np.fromfile(path)[0] == 5


def test_of_the_standard_library(name):
    block = SharedMemory(name, create=True, size=64)
    try:
        a = shm.attach_raw(name, (2, 3), ">i4", offset=8)
        a[1, 2] = 1
        assert bytes(block.buf[28:32]) == b"\0\0\0\1"
        block.buf[8:12] = b"\0\0\1\0"
        assert a[0, 0] == 256
    finally:
        block.close()
        block.unlink()
    a[0, 0] = 3  # it has a mapping of its own


def test_of_the_original_sharedarray(path, name):
    # As its sources lay it out: the elements, and behind them what they are.
    about = struct.pack("<16sQiii64q", b"[SharedArray]", 48, 12, 8, 2, 2, 3, *[0] * 62)
    with open(path, "wb") as file:
        file.write(np.arange(6.0).tobytes() + about)
    a = shm.attach_raw(name, (2, 3), float)
    assert a[1, 2] == 5


@pytest.mark.parametrize("dtype", ["?", ">u2", "M8[D]", "S3", "U2", "c8", [("x", "i1"), ("y", "<f8")]], ids=str)
def test_elements_at_any_place(path, name, dtype):
    dtype = np.dtype(dtype)
    with open(path, "wb") as file:
        file.truncate(7 + 6 * dtype.itemsize + 5)
    a = shm.attach_raw(name, (2, 3), dtype, offset=7, order="F")
    assert a.dtype == dtype and a.flags.f_contiguous and a.strides == (dtype.itemsize, 2 * dtype.itemsize)
    b = np.frombuffer(bytes(range(1, 1 + dtype.itemsize)), dtype) if dtype.kind not in "?U" else np.ones(1, dtype)
    a[1, 2] = b[0]
    with open(path, "rb") as file:
        assert file.read()[7 + 5 * dtype.itemsize : -5] == b.tobytes()


def test_reading_only(path, name):
    np.arange(4.0).tofile(path)
    os.chmod(path, 0o400)
    a = shm.attach_raw(name, 4, float, readonly=True)
    assert a.memory.access == "read-only" and pickle.loads(pickle.dumps(a)).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError):
        a[0] = 1


def test_files_too(tmp_path):
    np.arange(4.0).tofile(tmp_path / "raw")
    a = shm.attach_raw(f"file://{tmp_path / 'raw'}", 3, float, offset=8)
    a[0] = 9
    a.msync(shm.MS_SYNC)
    a.mlock()
    a.munlock()
    assert np.fromfile(tmp_path / "raw").tolist() == [0, 9, 2, 3]


def test_what_it_cannot_be(path, name, tmp_path):
    with pytest.raises(FileNotFoundError):
        shm.attach_raw(name, 1, "u1")
    open(path, "w").close()
    with pytest.raises(ValueError, match="empty"):
        shm.attach_raw(name, 0, "u1")
    with open(path, "wb") as file:
        file.write(b"x" * mmap.PAGESIZE)
    for shape, dtype, offset in (((-1,), "u1", 0), (1 << 63, "u1", 0), ((1 << 40, 1 << 40), "f8", 0), (4097, "u1", 0), (1, "u1", 4096)):
        with pytest.raises(ValueError):
            shm.attach_raw(name, shape, dtype, offset=offset)
    for arguments in ((1, object), ("3", "u1"), (1.5, "u1"), (None, "u1")):
        with pytest.raises(TypeError):
            shm.attach_raw(name, *arguments)
    with pytest.raises(ValueError):
        shm.attach_raw(name, 1, "u1", offset=-1)
    os.mkfifo(tmp_path / "pipe")
    os.symlink(path, tmp_path / "link")
    for other in (tmp_path / "pipe", tmp_path / "link", tmp_path, "/dev/zero"):
        with pytest.raises(ValueError):
            shm.attach_raw(f"file://{other}", 1, "u1")


def test_our_own_segments_are_attached_as_such(name):
    a = shm.create(name, 3)
    for readonly in (False, True):
        with pytest.raises(ValueError, match="shm.attach"):
            shm.attach_raw(name, 3, float, offset=a.memory.data_offset, readonly=readonly)
