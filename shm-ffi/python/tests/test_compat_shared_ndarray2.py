"""`shm.compat.shared_ndarray2`: the original's surface, and where it breaks what its page promises."""

import concurrent.futures
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

import shm
from shm.compat import shared_ndarray2
from shm.compat.shared_ndarray2 import SharedNDArray, shared_ndarray

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def manager():
    with SharedMemoryManager() as manager:
        yield manager


@pytest.fixture
def memory(names):
    made = []

    def make(size):
        made.append(SharedMemory(names(), create=True, size=size))
        return made[-1]

    yield make
    for each in made:
        each.close()
        try:
            each.unlink()
        except FileNotFoundError:
            pass


def add_one(array):
    if array.lock is None:
        array[...] += 1
        return
    for _ in range(500):
        with array.lock:
            array[...] += 1


def test_the_constructor(memory):
    block = memory(24)
    a = SharedNDArray(block, (3,), np.int64)
    a[:] = [1, 2, 3]
    assert bytes(block.buf[:9]) == b"\1\0\0\0\0\0\0\0\2"
    b = SharedNDArray(block.name, (3,), np.dtype("i8"))
    b[0] = 7
    assert a[0] == 7 and a.shm is block and b.shm.name == block.name and a.ndim == 1 and a.dtype == np.int64 and a.lock is None
    assert repr(a) == "SharedNDArray([7 2 3], dtype=int64)"
    a.shape = (3, 1)
    assert a.shape == (3, 1) and a.ndim == 2 and b.shape == (3,)
    assert repr(a) == "SharedNDArray([[7]\n               [2]\n               [3]], dtype=int64)"
    a.shape = -1
    assert a.shape == (3,)
    with pytest.raises(ValueError):
        a.shape = (2, 2)
    with pytest.raises(AttributeError, match="no attribute 'max'. To access NumPy ndarray object use .get\\(\\) method."):
        a.max()
    with pytest.raises(AttributeError, match="no attribute 'pile'.$"):
        a.pile
    assert a.get().max() == 7 and type(a[0]) is np.int64 and a[a.get() > 2].tolist() == [7, 3]


def test_from_shape_and_from_array(manager):
    for make in (SharedNDArray.from_shape, shared_ndarray.from_shape):
        a = make(manager, (3, 4), dtype=np.uint16)
        assert a.shape == (3, 4) and a.dtype == np.uint16 and not a.get().any()
    x = np.arange(100.0).reshape(2, 2, 25)
    for make in (SharedNDArray.from_array, shared_ndarray.from_array):
        a = make(manager, x)
        assert np.array_equal(a[:], x) and not np.shares_memory(a[:], x)
    assert SharedNDArray.from_array(manager, np.array(5.0)).get() == 5
    assert SharedNDArray.from_array(manager, x.T)[24, 1, 1] == 99
    assert SharedNDArray.from_shape(manager, 5, "f4").shape == (5,)


def test_generics():
    assert SharedNDArray[np.int_] is not None and shared_ndarray2.ShareableT in SharedNDArray.__parameters__
    assert np.number in shared_ndarray2.VALID_SHARED_TYPES and isinstance(shared_ndarray2.__version__, str)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), 0])
def test_no_elements_and_no_dimensions(manager, shape):
    a = SharedNDArray.from_array(manager, np.ones(shape))
    b = pickle.loads(pickle.dumps(a))
    assert np.array_equal(b.get(), np.ones(shape)) and b.shape == np.ones(shape).shape


@pytest.mark.parametrize("method", METHODS)
def test_a_lock_reaches_every_process(method):
    context = multiprocessing.get_context(method)
    with SharedMemoryManager(ctx=context) as manager:
        a = SharedNDArray.from_array(manager, np.zeros(3), lock=True)
        assert isinstance(a.lock, shm.Lock)
        processes = [context.Process(target=add_one, args=(a,)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        # The original's page: not through a pool's queue. Ours may.
        with context.Pool(2) as pool:
            pool.map(add_one, [a, a])
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(add_one, [a, a]))
        assert a[:].tolist() == [3000] * 3


def test_locks_of_all_constructors(manager, memory):
    x = np.arange(3.0)
    lock = shm.Lock()
    for make in (
        lambda lock: SharedNDArray(memory(24), (3,), float, lock=lock),
        lambda lock: SharedNDArray(manager, x, lock=lock),
        lambda lock: SharedNDArray.from_shape(manager, (3,), float, lock=lock),
        lambda lock: SharedNDArray.from_array(manager, x, lock=lock),
        lambda lock: shared_ndarray.from_shape(manager, (3,), float, lock=lock),
        lambda lock: shared_ndarray.from_array(manager, x, lock=lock),
    ):
        assert make(None).lock is None and make(False).lock is None and make(lock).lock is lock
        a = make(True)
        with a.lock:
            assert not pickle.loads(pickle.dumps(a)).lock.acquire(block=False)


def test_a_manager_and_an_array_as_the_page_shows(manager):
    x = np.arange(1024)
    assert np.array_equal(SharedNDArray(manager, x)[:], x)


def test_what_was_taken_out_stays(names):
    with SharedMemoryManager() as manager:
        taken = SharedNDArray.from_array(manager, np.arange(100_000))[10:]
        gc.collect()
        taken += 1
        kept = SharedNDArray.from_array(manager, np.arange(5))
        name = kept.shm.name
    assert taken[-1] == 100_000  # the original's process dies here
    assert not os.path.exists(f"/dev/shm/{name}") and kept[:].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(kept))


def test_views_travel_by_reference(manager):
    a = SharedNDArray.from_array(manager, np.arange(10))
    b = pickle.loads(pickle.dumps(a[::-2]))
    b[0] = 77
    assert a[9] == 77


def test_memory_whose_name_is_gone_or_taken(memory):
    block = memory(8)
    block.unlink()
    a = SharedNDArray(block, (8,), "u1")
    a[3] = 9
    assert block.buf[3] == 9
    other = SharedMemory(block.name, create=True, size=8)
    try:
        b = SharedNDArray(block, (8,), "u1")
        assert b[3] == 9 and other.buf[3] == 0
        del b
    finally:
        other.close()
        other.unlink()


def test_a_segment_of_this_package(name):
    s = shm.create(name, (2, 3), "f4")
    a = SharedNDArray(name, (6,), "f4")
    a[5] = 3
    assert s[1, 2] == 3
    with pytest.raises(ValueError):
        SharedNDArray(name, (2, 3), "f8")
    shm.delete(name)
    s = shm.create(name, (2, 3), "f4", order="F")
    assert SharedNDArray(name, (2, 3), "f4")[:].flags.f_contiguous
    with pytest.raises(ValueError):
        SharedNDArray(name, (6,), "f4")


def test_shapes_are_numpys():
    with SharedMemoryManager() as manager:
        for shape, wanted in ((6, (6,)), ([2, 3], (2, 3)), (np.array([2, 3]), (2, 3)), (np.int8(6), (6,))):
            assert SharedNDArray.from_shape(manager, shape, "i4").shape == wanted
        with pytest.raises(TypeError):
            SharedNDArray(manager.SharedMemory(80), (10,))


def test_bad_input(manager, memory):
    block = memory(24)
    for shape, dtype in (((4,), "f8"), ((2,), "f8"), ((1 << 62, 1 << 62), "f8"), ((-3,), "f8"), ((), "f8")):
        with pytest.raises(ValueError):
            SharedNDArray(block, shape, dtype)
    assert block.buf is not None  # it is still the caller's
    for dtype in (object, "S3", "U6", [("x", "f8")], "(3,)f8"):
        with pytest.raises(TypeError):
            SharedNDArray(block, (1,), dtype)
        with pytest.raises(TypeError):
            SharedNDArray.from_shape(manager, (1,), dtype)
    for what in (None, 3, b"x", np.zeros(3)):
        with pytest.raises(TypeError):
            SharedNDArray(what, (3,), "f8")
    with pytest.raises(FileNotFoundError):
        SharedNDArray("no-such-name-here", (3,), "f8")
    closed = memory(24)
    a = SharedNDArray(closed, (3,), "f8")
    closed.close()
    for call in (a.get, lambda: a[0], lambda: SharedNDArray(closed, (3,), "f8")):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_whoever_opens_by_name_does_not_remove_it(memory):
    block = memory(24)
    code = "import sys; from shm.compat.shared_ndarray2 import SharedNDArray; a = SharedNDArray(sys.argv[1], (3,), float); a[1] = 5"
    done = subprocess.run([sys.executable, "-c", code, block.name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert SharedNDArray(block.name, (3,), float)[1] == 5  # the original's tracker has removed it by now


UNLINK = """
import multiprocessing, sys
from multiprocessing.shared_memory import SharedMemory
from shm.compat.shared_ndarray2 import SharedNDArray

def unlink(array):
    array.shm.unlink()

if __name__ == "__main__":
    block = SharedMemory(sys.argv[1], create=True, size=24)
    array = SharedNDArray(block, (3,), float)
    if sys.argv[2] == "here":
        unlink(SharedNDArray(block.name, (3,), float))
    else:
        process = multiprocessing.get_context(sys.argv[2]).Process(target=unlink, args=(array,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""


@pytest.mark.parametrize("where", ["here", *METHODS])
def test_unlinking_leaves_the_tracker_nothing_to_complain_of(name, tmp_path, where):
    program = tmp_path / "program.py"
    program.write_text(UNLINK)
    done = subprocess.run([sys.executable, str(program), name, where], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not os.path.exists(f"/dev/shm/{name}")


TYPED = """
import numpy as np
import numpy.typing as npt
from multiprocessing.managers import SharedMemoryManager
from shm.compat.shared_ndarray2 import SharedNDArray, shared_ndarray

manager = SharedMemoryManager()
x: npt.NDArray[np.int32] = np.arange(3, dtype=np.int32)
reveal_type(SharedNDArray(manager, x))
reveal_type(SharedNDArray.from_array(manager, x))
reveal_type(shared_ndarray.from_shape(manager, (3,), np.int32))
reveal_type(shared_ndarray.from_array(manager, x)[1:])
reveal_type(shared_ndarray.from_array(manager, x).get())
"""


def test_type_checkers_know_the_elements_of_slices_too(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    said = [line.split("Revealed type is ")[1] for line in done.stdout.splitlines() if "Revealed" in line]
    assert len(said) == 5 and all("signedinteger" in line or "int32" in line for line in said), said
