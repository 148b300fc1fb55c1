"""The examples of shared-ndarray2's page, with only the import changed."""

import subprocess
import sys

import pytest

QUICK_START = """
import multiprocessing
from multiprocessing.managers import SharedMemoryManager

import numpy as np

from shared_ndarray2 import SharedNDArray

def process_data(arr: SharedNDArray):
    # Work with data
    arr[:] += 1

with SharedMemoryManager() as mem_mgr:
    arr = SharedNDArray.from_array(mem_mgr, np.arange(1024))
    p = multiprocessing.Process(target=process_data, args=(arr,))
    p.start()
    p.join()
    assert np.all(arr[:] == np.arange(1, 1025))
"""

CREATION = """
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from shared_ndarray2 import SharedNDArray

shm = SharedMemory(create=True, size=1024)
arr = SharedNDArray(shm, (1024,), np.uint8)
# -or-
arr = SharedNDArray(shm.name, (1024,), np.uint8)
shm.unlink()

with SharedMemoryManager() as mem_mgr:  # the page forgets to call it
    arr = SharedNDArray.from_shape(mem_mgr, (3, 1024, 1024), dtype=np.uint16)
    assert arr.shape == (3, 1024, 1024) and arr.get().mean() == 0

x = np.arange(100.0).reshape(2, 2, 25)
with SharedMemoryManager() as mem_mgr:
    arr = SharedNDArray.from_array(mem_mgr, x)
    assert np.all(arr[:] == x[:])
"""

TYPED = """
from multiprocessing.managers import SharedMemoryManager

import numpy as np
import numpy.typing as npt

from shared_ndarray2 import SharedNDArray

with SharedMemoryManager() as mem_mgr:
    x: npt.NDArray[np.int_] = np.arange(1024)
    arr = SharedNDArray(mem_mgr, x)  # type of x is SharedNDArray[int_]
    arr2 = arr[:]  # arr2 is typing.Any
    assert np.all(arr2 == x)
"""

LOCK = """
import multiprocessing
from multiprocessing.managers import SharedMemoryManager

import numpy as np

from shared_ndarray2 import SharedNDArray, shared_ndarray

def process_data(arr):
    for _ in range(1000):
        with arr.lock:
            arr[0] += 1

with SharedMemoryManager() as mem_mgr:
    for make in (SharedNDArray, shared_ndarray):
        arr = make.from_shape(mem_mgr, (1,), np.int64, lock=True)
        workers = [multiprocessing.Process(target=process_data, args=(arr,)) for _ in range(3)]
        for p in workers:
            p.start()
        for p in workers:
            p.join()
        assert arr[0] == 3000
        assert make.from_shape(mem_mgr, (1,), np.int64).lock is None
"""


@pytest.mark.parametrize("example", [QUICK_START, CREATION, TYPED, LOCK], ids=["quick start", "creation", "typed", "lock"])
def test_the_examples(example):
    program = example.replace("from shared_ndarray2", "from shm.compat.shared_ndarray2")
    # The page is of a time when processes were forked unless one said otherwise.
    program = "import multiprocessing\nmultiprocessing.set_start_method('fork')\n" + program
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
