"""`MapReduce` as an executor of `concurrent.futures`: submitted calls, shutting down, and the executor's form of map."""

import asyncio
import concurrent.futures
import enum
import itertools
import os
import pickle
import signal
import threading
import time
import warnings

import pytest

import shm
from test_mapreduce import gone

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def pool():
    with shm.MapReduce(2) as pool:
        yield pool


def wait_for(flag):
    while not flag:
        time.sleep(0.001)


def test_it_is_an_executor(pool):
    assert isinstance(pool, concurrent.futures.Executor) and isinstance(shm.MapReduce(), concurrent.futures.Executor)
    offset = 3
    futures = [pool.submit(lambda i, *, scale: i * scale + offset, i, scale=2) for i in range(6)]
    assert [future.result() for future in futures] == [2 * i + 3 for i in range(6)]
    assert pool.submit(os.getpid).result() != os.getpid()
    assert pool.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}


def test_what_never_submits_starts_no_thread():
    before = threading.active_count()
    with shm.MapReduce(2) as pool:
        assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
        assert threading.active_count() == before
    assert threading.active_count() == before


def test_as_completed_and_wait(pool):
    futures = {pool.submit(pow, i, 2): i for i in range(5)}
    for future in concurrent.futures.as_completed(futures):
        assert future.result() == futures[future] ** 2
    done, pending = concurrent.futures.wait([pool.submit(int) for _ in range(3)])
    assert len(done) == 3 and not pending


def test_exceptions_and_deaths_concern_one_future(pool):
    def culprit():
        raise KeyError("k")

    slow = pool.submit(lambda: time.sleep(0.2) or "alive")
    dead = pool.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(KeyError) as caught:
        pool.submit(culprit).result()
    assert "in culprit" in str(caught.value.__cause__)
    with pytest.raises(shm.WorkerDiedError) as caught:
        dead.result()
    assert caught.value.signal == signal.SIGKILL and isinstance(caught.value, concurrent.futures.BrokenExecutor)
    assert slow.result() == "alive" and pool.submit(int).result() == 0
    assert pool.map(abs, range(3)) == [0, 1, 2]


@pytest.mark.parametrize("kill", ["kill_workers", "terminate_workers"])
def test_killing_the_workers(pool, kill):
    futures = [pool.submit(time.sleep, 600) for _ in range(2)]
    wait_for_all = [future.running for future in futures]
    while not all(running() for running in wait_for_all):
        time.sleep(0.001)
    getattr(pool, kill)()
    assert all(future.exception().signal == signal.SIGKILL for future in futures)


def test_leaving_the_block_waits():
    with shm.MapReduce(2) as pool:
        futures = [pool.submit(lambda i=i: time.sleep(0.05) or i) for i in range(5)]
    assert [future.done() for future in futures] == [True] * 5


def test_nothing_begins_after_shutdown():
    pool = shm.MapReduce(2)
    assert pool.submit(int).result() == 0
    pool.shutdown()
    for call in (lambda: pool.submit(int), lambda: pool.map(abs, [1]), lambda: pool.map(abs, []), lambda: pool.background(int)):
        with pytest.raises(RuntimeError, match="shut down"):
            call()
    pool.shutdown()
    serial = shm.MapReduce(0)
    serial.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        serial.submit(int)


def test_shutdown_cancels():
    flag = shm.zeros((), int)
    pool = shm.MapReduce(1)
    first = pool.submit(lambda: wait_for(flag))
    while not first.running():
        time.sleep(0.001)
    others = [pool.submit(int) for _ in range(5)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in others)
    flag[...] = 1
    assert first.result() is None
    pool.shutdown()


def test_without_workers_calls_are_made_here():
    with shm.MapReduce(0) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()
        assert isinstance(pool.submit(lambda: 1 // 0).exception(), ZeroDivisionError)
        assert pool.map(pow, [2, 3], [3, 2]) == [8, 9]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("words", [{}, {"chunksize": 1}, {"chunksize": 7}, {"timeout": 100}, {"timeout": 100, "chunksize": 3}])
def test_several_iterables(workers, words):
    with shm.MapReduce(workers) as pool:
        assert pool.map(lambda a, b: a * b, range(20), range(1, 21), **words) == [i * (i + 1) for i in range(20)]
        assert pool.map(max, itertools.count(), [5, 0, 9], (4, 4, 4, 4), **words) == [5, 4, 9]
        assert pool.map(abs, [], [], **words) == [] == pool.map(abs, [], **words)
        assert sum(pool.map(divmod, [7, 8], [2, 3], reduce=lambda a, b: a + b, **words)) == 8
        with pytest.raises(ZeroDivisionError):
            pool.map(divmod, [1, 1], [1, 0], **words)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_comes_without_a_name(workers):
    class Colour(enum.Enum):  # can be called, and gone through
        RED = 1
        BLUE = 2

    with shm.MapReduce(workers) as pool:
        assert pool.map(abs, [-1, -2], lambda i: i + 10) == [11, 12]
        assert pool.map(abs, [-1, -2], None) == [1, 2]
        assert pool.map(pow, [(2, 3), (3, 2)], None, True) == [8, 9]
        assert pool.map(divmod, [(7, 2), (8, 3)], lambda a, b: a + b, True, 3) == [4, 4]
        assert pool.map(abs, [1, -2], Colour) == [Colour.RED, Colour.BLUE]
        assert pool.map(lambda a, colour: colour.value, [1, 2], list(Colour)) == [1, 2]
        assert len(set(pool.map(lambda _: os.getpid(), range(2), None, False, 3))) == 1
        for args, words in [
            (([1], None, False, 0, 0), {}),
            (([1], abs), {"reduce": abs}),
            (([1], None, True), {"star": True}),
            (([1], None, False, 1), {"minlength": 1}),
            (([1], [2]), {"star": True}),
            ((), {}),
            (([1], [2]), {"reduce": 5}),
            (([1], 5), {}),
        ]:
            with pytest.raises(TypeError):
                pool.map(abs, *args, **words)
        for chunksize in (0, -1):
            with pytest.raises(ValueError, match="chunksize"):
                pool.map(abs, [1], chunksize=chunksize)


@pytest.mark.parametrize("schedule", [None, "static", "dynamic", "guided"])
def test_the_size_of_chunks(schedule):
    rank = shm.MapReduce(2, schedule=schedule)
    found = rank.map(lambda _: time.sleep(0.001) or rank.local.rank, range(40), chunksize=10)
    chunks = [set(found[i : i + 10]) for i in range(0, 40, 10)]
    if schedule != "guided":  # whose chunks are so large at least
        assert all(len(chunk) == 1 for chunk in chunks)


def test_a_timeout_ends_the_map_and_its_workers():
    with shm.MapReduce(2) as pool:
        pids = shm.zeros(2, int)

        def work(i):
            pids[i % 2] = os.getpid()
            if i >= 2:
                time.sleep(600)
            return i

        for kind in (TimeoutError, concurrent.futures.TimeoutError, shm.TimedOutError):
            reduced = []
            with pytest.raises(kind, match="of 4 items were done in 0.05 seconds"):
                pool.map(work, range(4), reduce=reduced.append, timeout=0.05, chunksize=1)
            assert all(gone(pid) for pid in pids.tolist())
        assert pool.map(abs, range(3), timeout=600) == [0, 1, 2]


def test_a_timeout_without_workers():
    with shm.MapReduce(0) as pool:
        done = []
        with pytest.raises(TimeoutError, match="^1 of 3 "):
            pool.map(lambda i: done.append(i) or time.sleep(0.02), range(3), timeout=0.01)
        assert done == [0]
        assert pool.map(lambda i: time.sleep(0.02), range(1), timeout=0.01) == [None], "all is done"


def test_progress_is_told_beside_a_timeout():
    told = []
    pool = shm.MapReduce(1, progress=lambda done, total: told.append((done, total)))
    assert pool.map(abs, range(3), timeout=100) == [0, 1, 2]
    assert told[-1] == (3, 3)


def test_maps_and_calls_may_be_nested(pool):
    def inner(i):
        return pool.map(lambda j: i * j, range(3)), pool.submit(lambda: i).result(), [*pool.map(pow, [i, i], [1, 2])]

    expected = [([0, i, 2 * i], i, [i, i * i]) for i in range(3)]
    assert pool.map(inner, range(3)) == expected
    assert [pool.submit(inner, i).result() for i in range(3)] == expected

    def own_block(i):
        with pool:
            return pool.submit(lambda: i).result()

    assert pool.submit(own_block, 5).result() == 5
    assert pool.submit(int).result() == 0, "the copy was shut down, not this one"


def test_a_copy_of_one_that_is_busy_goes_on():
    """Whatever the threads of the parent did when it forked."""
    with shm.MapReduce(2) as pool:
        stop = threading.Event()

        def submitting():
            while not stop.is_set():
                pool.submit(int).result()

        thread = threading.Thread(target=submitting)
        thread.start()
        try:
            for i in range(20):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons': there are threads
                    child = os.fork()
                if child == 0:
                    signal.alarm(60)
                    pool.kill_workers()
                    good = pool.submit(lambda i=i: i).result() == i
                    pool.shutdown(wait=False)
                    os._exit(0 if good else 1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            thread.join()


def test_a_map_beside_submitted_calls_is_not_warned_of_our_threads(pool):
    flag = shm.zeros((), int)
    future = pool.submit(lambda: wait_for(flag))
    while not future.running():
        time.sleep(0.001)
    assert pool.map(abs, range(3)) == [0, 1, 2]  # warnings are errors here
    assert pool.background(int).wait() == 0
    flag[...] = 1
    assert future.result() is None


def test_asyncio(pool):
    async def main():
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*(loop.run_in_executor(pool, pow, i, 2) for i in range(5)))
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(pool, lambda: 1 // 0)
        return results

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("make", [shm.MapReduce, shm.Executor])
def test_a_pickled_copy_has_calls_of_its_own(make):
    with make(3) as executor:
        future = executor.submit(int)
        copy = pickle.loads(pickle.dumps(executor))
        assert copy.workers == 3 and copy.submit(os.getpid).result() != os.getpid()
        copy.shutdown()
        assert future.result() == 0 and executor.submit(int).result() == 0


def test_many_calls_from_many_threads(pool):
    found = []

    def run(n):
        found.append([pool.submit(lambda: n * i).result() for i in range(5)])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[n * i for i in range(5)] for n in range(4)]
