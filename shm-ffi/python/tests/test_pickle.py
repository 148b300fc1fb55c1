"""Pickling by reference: to every kind of process, every kind of view, and what happens when somebody ends too early."""

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import shm

METHODS = ["fork", "spawn", "forkserver"]

# Started before anything is tested: a process with several threads cannot fork without a warning.
VIEWS = {
    "whole": lambda a: a,
    "slice": lambda a: a[1:3],
    "reversed": lambda a: a[::-1, :, ::-2],
    "transposed": lambda a: a.T,
    "strided": lambda a: a[::2, 1::2],
    "row": lambda a: a[1, 2],
    "0-d": lambda a: a[1, 2, 3, ...],
    "empty": lambda a: a[2:2],
    "empty at the end": lambda a: a[4:],
    "new axes": lambda a: a[:, None, 1],
    "other type": lambda a: a.view("i4"),
    "broadcast": lambda a: np.broadcast_to(a[0], (3, 5, 6), subok=True),
}


def cube(**options):
    a = shm.zeros((4, 5, 6), **options)
    a[:] = np.arange(120).reshape(4, 5, 6)
    return a


def child_returns(array):
    return array


def child_negates(array):
    before = array.tolist()
    if array.flags.writeable:
        array *= -1
    return before, type(array).__name__, array.shape, array.strides


@pytest.fixture(scope="module", params=METHODS)
def pool(request):
    with multiprocessing.get_context(request.param).Pool(2) as pool:
        yield pool
        pool.close()
        pool.join()


@pytest.mark.parametrize("view", VIEWS)
def test_views_share(pool, view):
    a = cube()
    v = VIEWS[view](a)
    before, kind, shape, strides = pool.apply(child_negates, (v,))
    assert kind == "SharedArray" and shape == v.shape and strides == v.strides
    if v.flags.writeable:
        assert v.tolist() == (-np.array(before, v.dtype)).tolist()


def test_plain_views_share(pool):
    a = cube()
    plain = np.asarray(a)[::2, 1]
    assert type(plain) is np.ndarray
    _, kind, _, _ = pool.apply(child_negates, (plain,))
    assert kind == "ndarray"
    assert a[2, 1, 1] == -67


def test_records_and_matrices_share(pool):
    a = shm.zeros(3, [("x", "i4"), ("y", "f8")])
    for view in (a.view(np.recarray), shm.zeros((2, 2)).view(np.matrix)):
        same = pool.apply(child_returns, (view,))
        assert type(same) is type(view) and np.shares_memory(same, view) and same.dtype == view.dtype
        private = pool.apply(child_returns, (view.copy(),))
        assert type(private) is type(view) and not shm.is_shared(private)
    assert np.array_equal(pool.apply(child_returns, (np.rec.array([(1, 2.0)]),)), np.rec.array([(1, 2.0)]))


def test_private_arrays_are_copied(pool):
    b = np.arange(5)
    pool.apply(child_negates, (b,))
    assert b.tolist() == [0, 1, 2, 3, 4]


def test_anonymous_arrays_made_while_the_pool_runs(pool):
    arrays = [shm.full(10, i) for i in range(8)]
    pool.map(child_negates, arrays)
    assert [a[0] for a in arrays] == [-i for i in range(8)]


@pytest.mark.parametrize("lifetime", ["persistent", "last-detach", "scoped"])
def test_named_arrays(pool, name, lifetime):
    a = shm.full((2, 2), 3, name=name, lifetime=lifetime)
    pool.apply(child_negates, (a,))
    assert a[1, 1] == -3


def make_in_worker(i):
    return shm.full((100,), i)


def test_results_outlive_the_worker_that_made_them():
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        results = pool.map(make_in_worker, range(10), chunksize=1)
    assert [int(a.sum()) for a in results] == [100 * i for i in range(10)]
    assert all(type(a) is shm.SharedArray for a in results)


def send_and_end(queue, how):
    a = shm.full(1000, 7)
    queue.put(a)
    queue.close()
    queue.join_thread()
    del a
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_reference_outlives_its_sender(method, how):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=send_and_end, args=(queue, how))
    process.start()
    process.join()
    assert process.exitcode == (0 if how == "exit" else -signal.SIGKILL)
    a = queue.get()
    assert a.sum() == 7000
    queue.close()
    queue.join_thread()


@pytest.mark.parametrize("method", METHODS)
def test_arguments_of_processes(method):
    a = cube()
    process = multiprocessing.get_context(method).Process(target=child_negates, args=(a[1:],))
    process.start()
    process.join()
    assert process.exitcode == 0 and a[3, 4, 5] == -119 and a[0, 4, 5] == 29


@pytest.mark.parametrize("method", METHODS)
def test_executors(method):
    a, b = cube(), np.asarray(cube())
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(child_negates, a).result()
        executor.submit(child_negates, b).result()
        c = executor.submit(make_in_worker, 4).result()
    assert a[1, 1, 1] == -37 and b[1, 1, 1] == -37 and c.sum() == 400


def test_joblib():
    joblib = pytest.importorskip("joblib")
    a = shm.zeros(1 << 20)

    def fill(part, value):
        part[:] = value
        return part

    with joblib.parallel_backend("loky", n_jobs=2):
        parts = joblib.Parallel()(joblib.delayed(fill)(part, i) for i, part in enumerate(np.array_split(a, 4)))
    assert a[:: 1 << 18].tolist() == [0, 1, 2, 3]
    parts[2][:] = 9
    assert a[1 << 19] == 9


def test_a_process_that_does_not_know_the_sender():
    a = cube()
    code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); a[0] = -1"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(a), check=True)
    assert a[0, 0, 0] == -1


def test_one_pickle_many_readers():
    a = cube()
    data = pickle.dumps(a)
    code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); a[0] -= 1"
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], input=data, check=True)
    assert a[0, 0, 0] == -3


def test_access_travels(name):
    shm.full(3, 5.0, name=name)
    reader = shm.attach(name, readonly=True)
    code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); print(a.flags.writeable, a.memory.access, a[0])"
    for array, said in [(reader, "False read-only 5.0"), (shm.attach(name)[1:], "True read-write 5.0")]:
        run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(array), check=True, capture_output=True, text=False)
        assert run.stdout.decode().strip() == said
    private = shm.attach(name, copy_on_write=True)
    private[0] = 8
    back = pickle.loads(pickle.dumps(private))
    assert type(back) is np.ndarray and back[0] == 8


def test_in_one_process():
    a = cube()
    b = pickle.loads(pickle.dumps(a[1]))
    b[0, 0] = 1000
    assert a[1, 0, 0] == 1000
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert shm.is_shared(pickle.loads(pickle.dumps(a, protocol)))


def test_copies_are_private():
    a = cube()
    for b in (copy.copy(a), copy.deepcopy(a), a.copy(), pickle.loads(pickle.dumps(a + 1))):
        assert type(b) is np.ndarray and not shm.is_shared(b)


def test_what_is_gone_is_said(name):
    a = shm.zeros(5, name=name)
    data = pickle.dumps(a)
    shm.delete(name)
    assert pickle.loads(data)[0] == 0  # somebody has it
    del a
    with pytest.raises(FileNotFoundError, match="reference"):
        pickle.loads(data)
    b = shm.ones(5, name=name)
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)  # another one of the same name
    del b


def test_a_reference_holds_until_it_is_followed():
    data = pickle.dumps(shm.full(5, 2))
    a = pickle.loads(data)
    assert a[4] == 2
    del a
    with pytest.raises(FileNotFoundError, match="followed before"):
        pickle.loads(data)


def test_damaged_references_are_refused():
    a = cube()
    function, (kind, where, view) = a.__reduce_ex__(4)
    dtype, shape, strides, offset, writable = view
    for bad in (
        (dtype, (1 << 40,), (8,), offset, True),
        (dtype, (5,), (1 << 62,), offset, True),
        (dtype, (5,), (-8,), 0, True),
        (dtype, (5,), (8, 8), offset, True),
        (dtype, (0,), (8,), 1 << 40, True),
        (np.dtype(object), (1,), (8,), offset, True),
        (np.dtype("V0"), (1 << 40, 1 << 40), (0, 0), offset, True),
        (dtype, (1 << 80,), (8,), offset, True),
        (dtype, (-5,), (8,), offset, True),
    ):
        with pytest.raises(ValueError):
            function(kind, where, bad)
    for bad in ((-1, *where[0][1:]), (1 << 64, *where[0][1:])):
        with pytest.raises(ValueError):
            function(kind, (bad, *where[1:]), view)
    other = (where[0][0], where[0][1] + 1, where[0][2])
    with pytest.raises(FileNotFoundError):
        function(kind, (other, *where[1:4], b"", os.getpid(), 0), view)


def test_raw_memory_travels(name):
    path = f"/dev/shm/{name}"
    np.arange(4.0).tofile(path)
    try:
        a = shm.attach_raw(name, 3, float, offset=8)
        code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); a[0] = -1"
        subprocess.run([sys.executable, "-c", code], input=pickle.dumps(a), check=True)
        assert a.tolist() == [-1, 2, 3]
    finally:
        os.unlink(path)


def test_the_keeper_drops_what_nobody_can_follow_any_more():
    code = "import pickle, shm, sys; a = shm.zeros(3); sys.stdout.buffer.write(pickle.dumps(a))"
    data = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # the kernel tells the keeper in a moment
        try:
            pickle.loads(data)
        except FileNotFoundError:
            return
        data = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        time.sleep(0.05)
    pytest.fail("it still holds them")


def test_references_made_by_many_threads_and_forks():
    import threading

    arrays = [shm.full(3, i) for i in range(20)]
    results = [None] * 20

    def travel(i):
        results[i] = pickle.loads(pickle.dumps(arrays[i]))

    threads = [threading.Thread(target=travel, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [int(a[0]) for a in results] == list(range(20))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, pickle.dumps(shm.full(2, 11)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert pickle.loads(os.read(read, 1 << 16))[1] == 11
    os.close(read)
    os.close(write)
