"""What type checkers are told is what is there: the stub against the native module, the annotations against the code, and a user's program."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy")

PROGRAM = """
import numpy as np
import shm

a: shm.SharedArray = shm.create("x", (2, 3), np.float32, lifetime="scoped", beside={"lock": shm.Lock})
b: np.ndarray = shm.attach("x", readonly=True)[1:]
with shm.Lock.beside(a, "lock") as held:
    reveal_type(held)
reveal_type(shm.Semaphore.create("y", 3))
reveal_type(shm.Condition().wait_for(lambda: 5))
names = [info.name for info in shm.list()]
reveal_type(names)
shm.create("x", 3, colour="red")
shm.Lock().acquire("soon")
shm.attach(3)
"""


WHOLE = """
from typing import Any

import numpy as np
import shm
from multiprocessing.managers import SharedMemoryManager
from shm.compat import SharedArray as sa, sharedmem
from shm.compat.shared_ndarray2 import SharedNDArray, shared_ndarray

def work(i: int) -> int:
    return i

a: shm.SharedArray = shm.create("x", (2, 3), np.float32, mode=0o600, reserve=1 << 20, beside={"lock": shm.Lock, "free": (shm.Semaphore, 3)})
made = [shm.create_or_attach("x", 3), shm.empty((2,)), shm.zeros(3, "i4"), shm.ones([2]), shm.full(3, 1.0), shm.fromiter(range(3), float)]
made += [shm.empty_like(a), shm.zeros_like([1]), shm.ones_like(a, shape=3), shm.full_like(a, 2), shm.copy([1, 2], name="q")]
result: np.ndarray[Any, Any] = a + 1
a.setflags(write=False)
a.flags.writeable = True
a.memory.grow(4).msync(shm.MS_SYNC)
shm.msync(a, shm.MS_ASYNC)
shm.mlock(a)
shm.munlock(a)
about = shm.inspect("x")
print(about.name, about.entries[0].shape, about.dtype, about.data_offset, [e.owner for e in shm.list()], [n.upper() for n in shm.reap()])
raw = shm.attach_raw("x", 3, "f8", offset=8, readonly=True)
with shm.Lock() as l, shm.RLock() as r, shm.Mutex() as m, shm.Semaphore(2) as s, shm.BoundedSemaphore() as b, shm.RwLock().read(), shm.Sequencer().turn(0):
    print(l, r, m, s, b)
lock = shm.Lock.create("n")
taken: bool = lock.acquire(timeout=1.0) and lock.acquire(False) and lock.acquire_robust() and lock.locked()
with shm.Condition() as held:
    print(held)
condition = shm.Condition()
found: int = condition.wait_for(lambda: 3, 0.1)
barrier = shm.Barrier(2, lambda: None, 1.0)
print(barrier.wait(), barrier.parties, barrier.n_waiting, barrier.broken, shm.Event().wait(0), shm.Latch(3).wait(0), shm.Once().call(print))
channel = shm.Channel()
channel.send(b"x")
message: bytes = channel.recv()
queue = shm.Queue()
queue.put(3, False)
print(queue.get(timeout=1), queue.qsize(), queue.empty(), queue.close())
queue.join_thread()
with shm.MapReduce(2) as pool:
    print(pool.map(work, range(3), reduce=lambda r: r), pool.local)
print(shm.background(work, 3).wait())
with shm.Executor(2) as executor:
    number: int = executor.submit(work, 3).result()
shm.register_joblib()
try:
    shm.delete("x")
except shm.NotFoundError as error:
    print(error.errno, error.kind, error.filename)
print(sa.create("shm://x", 10), sa.attach("x", ro=True), [d.name for d in sa.list()], sa.MS_SYNC)
sa.delete("x")
with sharedmem.MapReduce(np=2) as other:
    print(other.map(work, [1], star=False, minlength=3), sharedmem.empty(3), sharedmem.full((), 0.0), sharedmem.background(work, 3).wait(), sharedmem.cpu_count())
with SharedMemoryManager() as manager:
    print(SharedNDArray.from_array(manager, np.arange(3.0))[1:], shared_ndarray.from_shape(manager, (3,), np.float64).get())
"""


def run(*words, cwd):
    return subprocess.run([sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True)


def test_the_stub_says_what_the_module_has(tmp_path):
    words = ["mypy.stubtest", "shm._shm"]
    if "--ignore-disjoint-bases" in run("mypy.stubtest", "--help", cwd=tmp_path).stdout:
        words.append("--ignore-disjoint-bases")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_builds_without_the_lock_are_refused_clearly():
    code = (
        "import sysconfig; known = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else known(name)\n"
        "try:\n    import shm\nexcept ImportError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "free-threaded" in said


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What mypy knows of NumPy, which it needs long to find out."""
    return str(tmp_path_factory.mktemp("cache"))


def test_a_program_is_checked(tmp_path, cache):
    (tmp_path / "program.py").write_text(PROGRAM)
    said = run("mypy", "--cache-dir", cache, "program.py", cwd=tmp_path).stdout.splitlines()
    notes = [line.split("Revealed type is ")[1].strip("\"").replace("builtins.", "") for line in said if "Revealed" in line]
    assert [note.lower().replace("optional[str]", "str | none").replace("union[str, none]", "str | none") for note in notes] == [
        "bool",
        "shm._sync.semaphore",
        "int",
        "list[str | none]",
    ], said
    errors = [line for line in said if ": error:" in line]
    assert len(errors) == 3 and [int(line.split(":")[1]) for line in errors] == [13, 14, 15], said


def test_the_whole_interface_is_known_to_strict_programs(tmp_path, cache):
    (tmp_path / "whole.py").write_text(WHOLE)
    done = run("mypy", "--strict", "--cache-dir", cache, "whole.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
