"""`shm.compat.sharedmem`: the original's surface to the last keyword, and where the original breaks what it promises."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import shm
from shm.compat import sharedmem

pytestmark = pytest.mark.usefixtures("nothing_left")

BACKENDS = [sharedmem.ProcessBackend, sharedmem.ThreadBackend]


@pytest.fixture(params=BACKENDS, ids=["processes", "threads"])
def backend(request):
    return request.param


@pytest.fixture
def pool(backend):
    with sharedmem.MapReduce(backend=backend, np=3) as pool:
        yield pool


def test_the_names_are_there():
    # What `import *` of the original gives, and what else it has.
    for name in (
        "set_debug get_debug total_memory cpu_count WorkerException StopProcessGroup background MapReduce MapReduceByThread empty empty_like "
        "full full_like copy Pool TPool"
    ).split():
        assert name in sharedmem.__all__ and hasattr(sharedmem, name)
    from shm.compat.sharedmem.parallel import Parallel, ParallelException, Private, Reduction, Shared  # noqa: F401
    from shm.compat.sharedmem.sharedmem import (  # noqa: F401
        LostExceptionType,
        ProcessBackend,
        ThreadBackend,
        anonymousmemmap,
        fromiter,
    )

    assert sharedmem.Pool is sharedmem.MapReduce and sharedmem.TPool is sharedmem.MapReduceByThread
    assert sharedmem.SlaveException is sharedmem.WorkerException


# Arrays.


def test_arrays():
    a = sharedmem.empty(100, dtype="f8")
    assert a.shape == (100,) and a.dtype == np.float64 and sharedmem.empty((2, 3)).dtype == np.float64
    assert sharedmem.empty_like(a).shape == sharedmem.empty_like(list(a)).shape == (100,)
    assert sharedmem.empty_like([1, 2], dtype="i2").dtype == np.int16
    assert sharedmem.full(3, 1.5).tolist() == [1.5] * 3 and sharedmem.full(3, 1.5, dtype="i4").tolist() == [1] * 3
    assert sharedmem.full_like(a, 2).tolist() == [2.0] * 100 and sharedmem.full_like(a, value=2, dtype="i4").dtype == np.int32
    x = np.arange(6).reshape(2, 3)
    b = sharedmem.copy(x)
    assert np.array_equal(b, x) and shm.is_shared(b) and b.flags.c_contiguous and sharedmem.copy(x.T).flags.c_contiguous
    assert sharedmem.fromiter((i * i for i in range(4)), "i4").tolist() == [0, 1, 4, 9]
    assert sharedmem.fromiter(itertools.count(), int, count=3).tolist() == [0, 1, 2]
    # the original cannot copy or fill what has no dimensions
    assert sharedmem.copy(np.array(5.0)) == 5 and sharedmem.full_like(np.array(1), 3) == 3 and sharedmem.full((), 2.5) == 2.5
    assert sharedmem.empty((5, 0), "f4").shape == (5, 0) and sharedmem.copy([[1, 2]]).shape == (1, 2)
    for make in (lambda: sharedmem.empty(3, object), lambda: sharedmem.copy(np.array([{}])), lambda: sharedmem.full(2, None, "O")):
        with pytest.raises(TypeError):  # the original shares pointers
            make()


def test_the_class_of_arrays():
    a = sharedmem.anonymousmemmap((2, 3))
    assert a.dtype == np.uint8 and a.shape == (2, 3) and not a.any()
    assert sharedmem.anonymousmemmap(4, "f4", order="F").dtype == np.float32
    for shared in (a, a[1:], a.T, sharedmem.empty(3)):
        assert isinstance(shared, sharedmem.anonymousmemmap) and isinstance(shared, type(sharedmem.empty(1)))
    for private in (a + 1, np.sum(a), a * a, np.zeros(3), a[[0]]):
        assert not isinstance(private, sharedmem.anonymousmemmap)


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::-1], lambda a: a.reshape(10, 5, 2).transpose(2, 1, 0)], ids=["whole", "reversed", "turned"])
def test_arrays_pickle_as_the_memory_they_are(view):
    a = sharedmem.copy(np.arange(100.0))
    b = pickle.loads(pickle.dumps(view(a)))
    assert isinstance(b, type(a))
    b[...] += 10
    assert np.array_equal(a, np.arange(100.0) + 10) and np.array_equal(view(a), b)
    code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); a -= 10"  # the original's reference is an address
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(view(a)), check=True)
    assert np.array_equal(a, np.arange(100.0))


# The environment.


def test_how_many_processors(monkeypatch):
    for name in ("OMP_NUM_THREADS", "PBS_NUM_PPN", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    cores = sharedmem.cpu_count()
    assert 1 <= cores <= os.cpu_count()
    monkeypatch.setenv("PBS_NUM_PPN", "7")
    assert sharedmem.cpu_count() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert sharedmem.cpu_count() == 3 and sharedmem.MapReduce().np == 3 and sharedmem.MapReduceByThread().np == 3
    assert sharedmem.MapReduce(np=5).np == 5 and sharedmem.MapReduceByThread(np=5).np == 5


def test_how_much_memory():
    total = sharedmem.total_memory()  # the original's raises NameError
    assert isinstance(total, int) and 1 << 24 < total <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# Maps.


def test_results_come_in_order(pool):
    assert pool.map(lambda i: i * i, range(100)) == [i * i for i in range(100)]
    assert pool.map(str, []) == [] and pool.map(str, [5]) == ["5"]
    assert pool.map(lambda word: word.upper(), "abc") == ["A", "B", "C"]
    assert pool.map(float, np.arange(3)) == [0.0, 1.0, 2.0]


def test_all_keywords(pool):
    seen = []

    def reduce(a, b):
        seen.append(a)
        return a + b

    assert pool.map(func=lambda a, b: (a, b), sequence=[(1, 2), (3, 4)], reduce=reduce, star=True, minlength=0) == [3, 7]
    assert sorted(seen) == [1, 3]
    assert pool.map(lambda i: i, [1, 2], lambda i: -i, False, 0) == [-1, -2]


def test_generators_and_other_iterables(pool):
    assert pool.map(lambda i: i + 1, (i for i in range(5))) == [1, 2, 3, 4, 5]  # the original asks for their length
    assert sorted(pool.map(lambda i: i, {3, 1, 2})) == [1, 2, 3]
    assert pool.map(lambda key: key, {"a": 1, "b": 2}) == ["a", "b"]

    def broken():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        pool.map(lambda i: i, broken())


def test_minlength_is_heeded(backend):
    # The original ignores it.
    with sharedmem.MapReduce(backend, np=2) as pool:
        here = (os.getpid(), threading.get_ident())

        def where(_):
            return os.getpid(), threading.get_ident()

        assert set(pool.map(where, range(4), minlength=5)) == {here}
        assert here not in pool.map(where, range(5), minlength=5)


def test_without_workers_and_in_debug_mode(backend):
    def work(i):
        with pool.ordered, pool.critical:
            return os.getpid(), threading.get_ident(), pool.local.rank

    here = (os.getpid(), threading.get_ident(), 0)
    with sharedmem.MapReduce(backend, np=0) as pool:
        assert set(pool.map(work, range(3))) == {here}
        with pytest.raises(ZeroDivisionError):  # as it is
            pool.map(lambda i: 1 / i, [0])
    assert sharedmem.get_debug() is False
    sharedmem.set_debug(True)
    try:
        assert sharedmem.get_debug() is True
        with sharedmem.MapReduce(backend, np=2) as pool:
            assert set(pool.map(work, range(3))) == {here}
            with pytest.raises(ZeroDivisionError):
                pool.map(lambda i: 1 / i, [0])
    finally:
        sharedmem.set_debug(False)


def test_local(backend):
    ranks = sharedmem.empty(60)
    with sharedmem.MapReduce(backend, np=4) as pool:
        barrier = shm.Barrier(4)

        def work(i):
            if not hasattr(pool.local, "met"):
                pool.local.met = True
                barrier.wait()  # so that each has one
            ranks[i] = pool.local.rank

        pool.map(work, range(60))
    assert np.unique(ranks).tolist() == [0, 1, 2, 3]


def test_the_critical_section(pool):
    total = sharedmem.full((), 0, "i8")

    def work(i):
        for _ in range(20):
            with pool.critical:
                before = int(total)
                time.sleep(0)
                total[...] = before + 1
        assert pool.critical.acquire()
        total[...] += 1
        pool.critical.release()

    pool.map(work, range(30))
    assert total == 30 * 21


def test_the_ordered_section(pool):
    order = sharedmem.full(200, -1, "i8")
    at = sharedmem.full((), 0, "i8")

    class Helper:
        def note(self, i):
            with pool.ordered:
                order[int(at)] = i
                at[...] += 1

    helper = Helper()
    pool.map(lambda i: helper.note(i), range(200))
    assert order.tolist() == list(range(200))
    # Items that do not enter it hold nobody up, as they do in the original.
    at[...] = 0
    pool.map(lambda i: helper.note(i) if i % 3 == 0 else None, range(200))
    assert order[:67].tolist() == list(range(0, 200, 3))


def test_reduce_runs_here_one_at_a_time(pool):
    here = (os.getpid(), threading.get_ident())
    count = {"n": 0}

    def reduce(i):
        assert (os.getpid(), threading.get_ident()) == here
        count["n"] += i
        return None

    assert pool.map(lambda i: i, range(50), reduce=reduce) == [None] * 50
    assert count["n"] == 49 * 25


def test_pools_inside_of_workers(backend):
    def work(i):
        with sharedmem.MapReduce(backend, np=2) as inner:
            return sum(inner.map(lambda j: i * j, range(4)))

    with sharedmem.MapReduce(backend, np=2) as pool:
        assert pool.map(work, range(3)) == [0, 6, 12]


def test_one_pool_for_many_maps(pool):
    for n in (1, 5, 2):
        assert pool.map(lambda i: i, range(n)) == list(range(n))


# Failures.


class Picklable(Exception):
    pass


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not to be pickled")


def test_an_exception_in_a_worker(pool):
    def work(i):
        if i == 7:
            raise Picklable("seven")

    with pytest.raises(sharedmem.WorkerException) as caught:
        pool.map(work, range(20))
    error = caught.value
    assert isinstance(error.reason, Picklable) and error.reason.args == ("seven",)
    assert "in work" in error.traceback and "Picklable: seven" in error.traceback and "seven" in str(error) and "in work" in str(error)
    again = pickle.loads(pickle.dumps(error))  # the original's cannot be read back
    assert again.traceback == error.traceback and isinstance(again.reason, Picklable)
    assert pool.map(lambda i: i, range(3)) == [0, 1, 2]


def test_an_exception_that_cannot_be_pickled():
    def work(i):
        if i == 7:
            raise Unpicklable("seven")

    with sharedmem.MapReduce(np=2) as pool:
        with pytest.warns(sharedmem.LostExceptionType, match="seven") as warned:
            with pytest.raises(sharedmem.WorkerException) as caught:
                pool.map(work, range(20))
    assert len(warned) == 1 and type(caught.value.reason) is Exception and "seven" in str(caught.value.reason)
    assert "in work" in caught.value.traceback


def test_a_result_that_cannot_be_pickled():
    with sharedmem.MapReduce(np=2) as pool:
        with pytest.raises(sharedmem.WorkerException, match="cannot be pickled"):  # the original: queue.Empty after 2 s
            pool.map(lambda i: (lambda: i), range(3))


@pytest.mark.parametrize("end", ["kill", "_exit", "exit"])
def test_a_worker_that_ends(end):
    def work(i):
        if i == 5:
            if end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif end == "_exit":
                os._exit(3)  # the original: queue.Empty
            else:
                sys.exit(3)

    with sharedmem.MapReduce(np=2) as pool:
        with pytest.raises(sharedmem.WorkerException) as caught:
            pool.map(work, range(20))
    assert ("SIGKILL" if end == "kill" else "3") in str(caught.value.reason)


def test_a_worker_that_ends_in_a_section():
    for section in ("critical", "ordered"):
        with sharedmem.MapReduce(np=3) as pool:

            def work(i):
                with getattr(pool, section):
                    if i == 5:
                        os.kill(os.getpid(), signal.SIGKILL)

            with pytest.raises(sharedmem.WorkerException, match="SIGKILL"):
                pool.map(work, range(50))


def test_an_exception_in_a_section(pool):
    def work(i):
        with pool.ordered, pool.critical:
            if i == 5:
                raise Picklable(i)

    with pytest.raises(sharedmem.WorkerException) as caught:
        pool.map(work, range(50))
    assert isinstance(caught.value.reason, Picklable)


def test_an_exception_in_reduce_is_raised_as_it_is(pool):
    error = Picklable("here")

    def reduce(i):
        raise error

    with pytest.raises(Picklable) as caught:
        pool.map(lambda i: i, range(20), reduce=reduce)
    assert caught.value is error
    # also one that carries what one of a worker carries
    with pytest.raises(sharedmem.WorkerException) as caught:
        pool.map(lambda i: 1 / 0, range(3))
    nested = caught.value

    def reduce(i):
        raise nested.reason

    with pytest.raises(ZeroDivisionError):
        pool.map(lambda i: i, range(20), reduce=reduce)


def test_bad_input(backend):
    for bad in (-1, "3", 1.5):
        with pytest.raises((TypeError, ValueError)):
            sharedmem.MapReduce(backend, np=bad)
    with pytest.raises(TypeError):
        sharedmem.MapReduce("threads")
    with sharedmem.MapReduce(backend, np=2) as pool:
        for call in (lambda: pool.map(print, 5), lambda: pool.map(print, None), lambda: pool.map(print, [1], colour=3)):
            with pytest.raises(TypeError):
                call()
        with pytest.raises(sharedmem.WorkerException) as caught:
            pool.map(lambda a, b: a, [1, 2], star=True)
        assert isinstance(caught.value.reason, TypeError)


def test_an_ordered_section_is_not_entered_twice():
    with sharedmem.MapReduceByThread(np=2) as pool:

        def work(i):
            with pool.ordered:
                pass
            with pool.ordered:
                pass

        with pytest.raises(sharedmem.WorkerException, match="twice"):
            pool.map(work, range(4))


def test_one_map_at_a_time_over_threads():
    with sharedmem.MapReduceByThread(np=2) as pool:
        with pytest.raises(sharedmem.WorkerException, match="at work already"):
            pool.map(lambda i: pool.map(str, range(3)), range(2))


def test_ctrl_c_ends_a_map(backend):
    def interrupt():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads in a process that forks
        with sharedmem.MapReduce(backend, np=2) as pool:
            thread = threading.Thread(target=interrupt)
            with pytest.raises(KeyboardInterrupt):
                thread.start()
                pool.map(lambda i: time.sleep(0.05 if backend is sharedmem.ThreadBackend else 30), range(100))
            thread.join()


# Calls in the background.


def test_background(backend):
    def function(a, b=1):
        return a + b, os.getpid(), threading.get_ident()

    call = sharedmem.background(function, 2, b=3, backend=backend)
    total, pid, thread = call.wait()
    assert total == 5 and (pid, thread) != (os.getpid(), threading.get_ident()) and call.wait()[0] == 5
    assert (pid == os.getpid()) == (backend is sharedmem.ThreadBackend)


def test_background_fails(backend):
    def function():
        raise Picklable("no")

    with pytest.raises(sharedmem.WorkerException) as caught:
        sharedmem.background(function, backend=backend).wait()
    assert isinstance(caught.value.reason, Picklable) and "in function" in caught.value.traceback


def test_background_never_hangs():
    # The original waits for ever in each of these.
    def unpicklable():
        raise Unpicklable("no")

    with pytest.warns(sharedmem.LostExceptionType):
        with pytest.raises(sharedmem.WorkerException, match="no"):
            sharedmem.background(unpicklable).wait()
    for function in (lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(4), lambda: (lambda: 1)):
        with pytest.raises(sharedmem.WorkerException):
            sharedmem.background(function).wait()
