"""The interface of `concurrent.futures`, and joblib's backend: calls in forked processes, their failures, shutting down."""

import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import shm
from test_mapreduce import gone, nothing_left  # noqa: F401  (a fixture for all)


@pytest.fixture
def executor():
    with shm.Executor(2) as executor:
        yield executor


def test_smoke(executor):
    offset = 3
    futures = [executor.submit(lambda i, *, scale: i * scale + offset, i, scale=2) for i in range(10)]
    assert [future.result() for future in futures] == [2 * i + 3 for i in range(10)]
    assert isinstance(executor, concurrent.futures.Executor) and executor.workers == 2
    assert executor.submit(os.getpid).result() != os.getpid()


def test_what_waits_for_futures_works(executor):
    futures = {executor.submit(pow, i, 2): i for i in range(6)}
    for future in concurrent.futures.as_completed(futures):
        assert future.result() == futures[future] ** 2
    done, pending = concurrent.futures.wait([executor.submit(int) for _ in range(3)])
    assert len(done) == 3 and not pending
    called = []
    future = executor.submit(int)
    future.add_done_callback(called.append)
    future.result()
    while not called:
        time.sleep(0.001)
    assert called == [future]


@pytest.mark.parametrize("words", [{}, {"chunksize": 1}, {"chunksize": 7}, {"buffersize": 2}, {"buffersize": 3, "chunksize": 2}])
def test_map(executor, words):
    assert list(executor.map(lambda a, b: a * b, range(20), range(1, 21), **words)) == [i * (i + 1) for i in range(20)]
    assert list(executor.map(abs, [], **words)) == []

    def fails(i):
        if i == 5:
            raise LookupError(i)
        return i

    results = executor.map(fails, range(20), **words)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(LookupError) as caught:
        next(results)
    assert "in fails" in str(caught.value.__cause__)
    with pytest.raises(StopIteration):
        next(results)


def test_map_takes_no_more_than_it_may(executor):
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = executor.map(abs, items(), buffersize=3)
    assert len(taken) == 3
    assert next(results) == 0 and len(taken) == 4
    results.close()


def test_map_has_a_deadline(executor):
    stop = shm.zeros((), int)

    def wait(_):
        while not stop:
            time.sleep(0.001)

    with pytest.raises(concurrent.futures.TimeoutError):
        list(executor.map(wait, range(2), timeout=0.05))
    stop[...] = 1


def test_bad_arguments_are_refused(executor):
    for words in ({"chunksize": 0}, {"chunksize": -1}, {"buffersize": 0}):
        with pytest.raises(ValueError):
            executor.map(abs, [1], **words)
    with pytest.raises(ValueError):
        shm.Executor(0)
    with pytest.raises(TypeError):
        shm.Executor("two")


def test_exceptions_and_results(executor):
    def culprit():
        raise KeyError("k")

    future = executor.submit(culprit)
    with pytest.raises(KeyError) as caught:
        future.result()
    assert "in culprit" in str(caught.value.__cause__)
    assert type(executor.submit(lambda: lambda: 0).exception()) is shm.ResultError
    array = executor.submit(np.arange, 1_000_000).result()
    assert (array == np.arange(1_000_000)).all()
    shared = shm.zeros(5)
    assert np.shares_memory(executor.submit(lambda: shared).result(), shared)


def test_a_death_concerns_one_call(executor):
    slow = executor.submit(lambda: time.sleep(0.2) or "alive")
    for die, number, code in [(lambda: os.kill(os.getpid(), 9), 9, None), (lambda: os._exit(3), None, 3), (sys.exit, None, 0)]:
        error = executor.submit(die).exception()
        assert isinstance(error, concurrent.futures.BrokenExecutor) and isinstance(error, shm.WorkerDiedError)
        assert (error.signal, error.exitcode) == (number, code)
    assert slow.result() == "alive" and executor.submit(int).result() == 0


def test_killing_the_workers(executor):
    futures = [executor.submit(time.sleep, 600) for _ in range(2)]
    while not all(future.running() for future in futures):
        time.sleep(0.001)
    executor.kill_workers()
    assert all(future.exception().signal == signal.SIGKILL for future in futures)


def test_shutdown_waits():
    executor = shm.Executor(2)
    futures = [executor.submit(lambda i=i: time.sleep(0.05) or i) for i in range(5)]
    executor.shutdown()
    assert [future.done() for future in futures] == [True] * 5
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int)
    executor.shutdown()


def test_shutdown_cancels():
    flag = shm.zeros((), int)

    def wait():
        while not flag:
            time.sleep(0.001)
        return "done"

    executor = shm.Executor(1)
    first = executor.submit(wait)
    while not first.running():
        time.sleep(0.001)
    others = [executor.submit(int) for _ in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in others)
    assert concurrent.futures.wait(others, timeout=60).not_done == set()
    flag[...] = 1
    assert first.result() == "done"
    executor.shutdown()


def test_a_future_can_be_cancelled_before_it_begins():
    flag = shm.zeros((), int)
    with shm.Executor(1) as executor:
        first = executor.submit(lambda: [time.sleep(0.001) for _ in iter(lambda: int(flag), 1)] and 0)
        second = executor.submit(int)
        assert second.cancel() and second.cancelled()
        flag[...] = 1
        assert first.result() in (0, [])


def test_a_forked_copy_has_an_executor_of_its_own(executor):
    running = executor.submit(time.sleep, 0.3)

    def nested():
        return executor.submit(os.getppid).result(), os.getpid()

    parent, itself = executor.submit(nested).result()
    assert parent == itself
    running.result()


def test_many_calls_from_many_threads(executor):
    found = []

    def run(n):
        found.append([executor.submit(lambda: n * i).result() for i in range(5)])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[n * i for i in range(5)] for n in range(4)]


def test_what_was_submitted_is_done_before_the_end():
    script = """
        import os, shm, time
        def work():
            time.sleep(0.2)
            os.write(1, b"done\\n")
        executor = shm.Executor(1)
        executor.submit(work)
        executor.submit(work)
    """
    done = subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\ndone\n"), done.stderr


def test_a_master_that_is_killed_takes_its_workers_along():
    script = """
        import os, shm, time
        def work():
            os.write(1, f"{os.getpid()}\\n".encode())
            time.sleep(600)
        shm.Executor(1).submit(work)
        time.sleep(600)
    """
    master = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    pid = int(master.stdout.readline())
    master.kill()
    master.wait()
    assert gone(pid)
    master.stdout.close()


# joblib


@pytest.fixture
def joblib():
    joblib = pytest.importorskip("joblib")
    shm.register_joblib()
    return joblib


def test_joblib(joblib):
    offset = shm.full(10, 5)

    def work(i):
        offset[i % 10] += 0
        return i + int(offset[0])

    for n_jobs in (2, -1):
        found = joblib.Parallel(n_jobs=n_jobs, backend="shm")(joblib.delayed(work)(i) for i in range(300))
        assert found == [i + 5 for i in range(300)]
    with joblib.parallel_config("shm", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(lambda i: os.getpid())(i) for i in range(4)).count(os.getpid()) == 0
        assert list(joblib.Parallel(return_as="generator")(joblib.delayed(abs)(-i) for i in range(5))) == list(range(5))


def test_joblib_passes_exceptions_and_deaths_on(joblib):
    parallel = joblib.Parallel(n_jobs=2, backend="shm")
    with pytest.raises(ZeroDivisionError):
        parallel(joblib.delayed(lambda i: 1 // i)(i) for i in (1, 0, 2))
    with pytest.raises(shm.WorkerDiedError):
        parallel(joblib.delayed(lambda i: os._exit(i))(i) for i in range(3))
    with pytest.raises(ZeroDivisionError):
        parallel([joblib.delayed(lambda: 1 // 0)(), joblib.delayed(time.sleep)(600)])
    assert parallel(joblib.delayed(abs)(i) for i in range(3)) == [0, 1, 2]
    with pytest.raises(ValueError):
        joblib.Parallel(n_jobs=0, backend="shm")(joblib.delayed(abs)(i) for i in range(3))
    gc.collect()


def test_joblib_may_be_nested(joblib):
    def inner(i):
        return joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(j) for j in range(i))

    found = joblib.Parallel(n_jobs=2, backend="shm")(joblib.delayed(inner)(i) for i in range(4))
    assert found == [list(range(i)) for i in range(4)]


def test_registering_needs_joblib(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match="pip install joblib"):
        shm.register_joblib()
