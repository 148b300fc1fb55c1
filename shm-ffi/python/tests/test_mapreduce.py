"""MapReduce and calls in the background: results, order, sections, every way in which a worker can end, and what is left behind (nothing)."""

import enum
import fractions
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

import shm


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(params=[0, 1, 2, 3])
def any_pool(request):
    return shm.MapReduce(request.param)


@pytest.fixture(params=["guided", "dynamic", "static", ("static", 3), ("dynamic", 7)])
def pool(request):
    return shm.MapReduce(2, schedule=request.param)


# What comes back.


def test_results_come_in_input_order(any_pool):
    offset = 3
    with any_pool as p:
        assert p.map(lambda i: i * i + offset, range(1000)) == [i * i + 3 for i in range(1000)]


def test_every_schedule_maps_every_item_once(pool):
    counts = shm.zeros(500, int)

    def work(i):
        counts[i] += 1
        return i

    assert pool.map(work, range(500)) == list(range(500))
    assert (counts == 1).all()


class Colour(enum.IntEnum):
    RED = 1


class Number(int):
    def __eq__(self, other):
        return type(other) is Number and int(self) == int(other)

    __hash__ = int.__hash__


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**200,
    0.0,
    -0.0,
    1e300,
    float("inf"),
    "text",
    "",
    b"bytes",
    (1, "a"),
    [1, [2]],
    {"a": {1, 2}},
    Colour.RED,
    Number(7),
    fractions.Fraction(1, 3),
    np.float64(2.5),
    np.int8(-3),
    np.int64(-(2**63)),
    np.float32(1.5),
    np.bool_(True),
    np.str_("numpy's"),
    np.datetime64("2020-01-01", "us"),
    "\ud800 alone",
    "é" * 3000,
    b"b" * 5000,
    (),
    (np.float64(1), "a", b"b", None, True, 5, 2.5),
    (1, (2, (3,))),
    tuple(range(40)),
    (2**70,),
    Ellipsis,
    int,
    1j,
]


def test_values_of_all_kinds_come_back_as_they_are(any_pool):
    for values in (VALUES, VALUES[::-1], VALUES * 50, [value for value in VALUES for _ in range(3)]):
        found = any_pool.map(lambda value: value, values)
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]


def test_not_a_number_comes_back(any_pool):
    (found,) = any_pool.map(lambda _: float("nan"), [0])
    assert found != found


@pytest.mark.parametrize(
    "sequence",
    [
        [],
        (),
        range(0),
        [5],
        range(10, -10, -3),
        range(2**62, 2**62 + 3),
        range(2**70, 2**70 + 3),
        "text",
        b"bytes",
        ("a", 1),
        {"a": 1, "b": 2},
        {1, 2, 3},
        frozenset("ab"),
        {"a": 1}.items(),
        np.arange(5),
        np.ones((3, 2)),
        bytearray(b"ab"),
    ],
    ids=lambda sequence: type(sequence).__name__ + str(len(sequence)),
)
def test_any_iterable_will_do(any_pool, sequence):
    found = any_pool.map(lambda item: item, sequence)
    assert len(found) == len(sequence)
    assert all(np.array_equal(a, b) for a, b in zip(found, sequence))


def test_generators_and_lazy_sequences(any_pool):
    assert any_pool.map(lambda i: i, (i * 2 for i in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert any_pool.map(str, iter([1, 2])) == ["1", "2"]

    class Lazy:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return index * 10

    assert any_pool.map(lambda i: i, Lazy()) == [0, 10, 20, 30]
    with pytest.raises(TypeError):
        any_pool.map(lambda i: i, 5)


def test_star_spreads_items(any_pool):
    assert any_pool.map(lambda a, b: a - b, [(5, 2), [7, 3], iter((1, 1))], star=True) == [3, 4, 0]
    with pytest.raises(TypeError):
        any_pool.map(lambda a, b: a, [(1,)], star=True)


def test_reduce_runs_here_one_result_at_a_time(any_pool):
    here, seen = os.getpid(), []

    def reduce(i, square):
        assert os.getpid() == here
        seen.append(i)
        return i + square

    assert any_pool.map(lambda i: (i, i * i), range(100), reduce=reduce) == [i + i * i for i in range(100)]
    assert sorted(seen) == list(range(100))
    assert any_pool.map(lambda i: None, range(3), reduce=lambda none: none is None) == [True] * 3
    assert any_pool.map(lambda i: [i], range(3), reduce=lambda alone: alone) == [[0], [1], [2]]


def test_reduce_runs_as_results_arrive():
    arrived = shm.zeros((), int)

    def work(i):
        if i == 1:
            while arrived[()] == 0:  # for ever, if reduce waited for all
                time.sleep(0.001)
        return i

    def reduce(i):
        arrived[...] += 1

    shm.MapReduce(2, schedule="dynamic").map(work, range(2), reduce=reduce)
    assert arrived == 2


def test_minlength_and_serial_below_stay_here():
    here, p = os.getpid(), shm.MapReduce(2, serial_below=3)
    assert p.map(lambda _: os.getpid(), range(2)) == [here] * 2
    assert here not in p.map(lambda _: os.getpid(), range(3))
    assert p.map(lambda _: os.getpid(), range(4), minlength=5) == [here] * 4
    assert here not in p.map(lambda _: os.getpid(), range(5), minlength=5)
    assert shm.MapReduce(0).map(lambda _: os.getpid(), range(2)) == [here] * 2


def test_workers_are_as_many_as_asked_for():
    ranks = shm.MapReduce(3, schedule="static").map(lambda _: os.getpid(), range(9))
    assert len(set(ranks)) == 3
    assert shm.MapReduce(8).map(lambda _: 1, range(2)) == [1, 1]
    assert shm.MapReduce().workers == shm.cpu_count() >= 1


def test_the_environment_says_how_many():
    code = "import shm; print(shm.cpu_count())"
    environment = dict(os.environ, OMP_NUM_THREADS="7")
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout == "7\n"


def test_local_belongs_to_the_worker():
    p = shm.MapReduce(2, schedule="static")
    p.local.seen = 0

    def work(i):
        p.local.seen += 1
        return p.local.rank, p.local.workers, p.local.seen

    assert p.map(work, range(6)) == [(0, 2, 1), (0, 2, 2), (0, 2, 3), (1, 2, 1), (1, 2, 2), (1, 2, 3)]
    assert (p.local.rank, p.local.workers, p.local.seen) == (0, 0, 0)
    with pytest.raises(AttributeError, match="nothing was put there"):
        p.local.unknown


def test_bad_arguments_are_refused():
    for words in ({"workers": -1}, {"retries": -1}, {"schedule": "quick"}, {"schedule": ("dynamic", 0)}, {"serial_below": -5}):
        with pytest.raises(ValueError):
            shm.MapReduce(**words)
    for words in ({"workers": 1.5}, {"workers": True}, {"retries": "2"}, {"schedule": ("dynamic", "x")}):
        with pytest.raises(TypeError):
            shm.MapReduce(**words)


# Large results.


def large(kind):
    a = np.arange(300_000.0).reshape(300, 1000)
    return {
        "contiguous": a,
        "Fortran": np.asfortranarray(a),
        "strided": a[:, ::2],
        "reversed": a[::-1],
        "transposed": a.T,
        "0-d": np.array(5.0),
        "empty": np.empty((0, 5)),
        "swapped": a.astype(">f4"),
        "records": np.zeros(50_000, [("a", "i4"), ("b", "f8", 3)]),
        "dates": np.arange(100_000).astype("M8[us]"),
        "objects": np.array([1, "a", None], object),
        "read-only": np.frombuffer(bytes(200_000), np.uint8),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["contiguous", "Fortran", "strided", "reversed", "transposed", "0-d", "empty", "swapped", "records", "dates", "objects", "read-only"],
)
def test_arrays_come_back_as_they_are(kind):
    found = shm.MapReduce(2).map(lambda i: (i, [large(kind)]), range(3))
    for i, (index, (array,)) in enumerate(found):
        expected = large(kind)
        assert index == i and array.dtype == expected.dtype and array.shape == expected.shape
        assert np.array_equal(array, expected) and type(array) is np.ndarray
        assert array.flags.f_contiguous == expected.flags.f_contiguous or kind in ("strided", "reversed")


def test_large_arrays_are_ours_to_change_and_keep():
    pool = shm.MapReduce(2)
    found = pool.map(lambda i: np.full(100_000, i), range(10))
    del pool
    gc.collect()
    found[3] += 1
    assert [int(a.sum()) // 100_000 for a in found] == [0, 1, 2, 4, 4, 5, 6, 7, 8, 9]
    part = found[7][5:10]
    del found
    gc.collect()
    assert (part == 7).all()


def test_memory_of_results_that_reduce_drops_is_used_again():
    """5 GB of results go through, of which two or three are there at a time."""
    kept = []

    def reduce(array):
        kept[:] = [array]
        return float(array[0])

    def work(i):
        scratch[0] = i
        return scratch

    scratch = np.zeros(25_000_000 // 8)
    assert shm.MapReduce(2).map(work, range(200), reduce=reduce) == list(range(200))


def test_results_larger_than_the_channel_holds(any_pool):
    found = any_pool.map(lambda i: bytes([i]) * 3_000_000, range(6))
    assert [(len(b), b[0]) for b in found] == [(3_000_000, i) for i in range(6)]


def test_shared_arrays_come_back_as_the_same_memory():
    table = shm.zeros((100, 100))

    def work(i):
        table[i] = i
        return table[i], np.asarray(table)[:, i]

    for i, (row, column) in enumerate(shm.MapReduce(2).map(work, range(5))):
        assert shm.is_shared(row) and shm.is_shared(column)
        assert np.shares_memory(row, table) and np.shares_memory(column, table)
        assert (row == i).all()
        row[7] = -1
        assert table[i, 7] == -1


def test_shared_arrays_made_in_a_worker_outlive_it(name):
    def work(i):
        made = shm.full(50_000, i)
        named = shm.create(name, 10) if i == 2 else None
        return made, made[::2], named

    for i, (made, part, named) in enumerate(shm.MapReduce(2).map(work, range(4))):
        assert shm.is_shared(made) and (made == i).all()
        assert np.shares_memory(made, part)
        made[0] = 99
        assert part[0] == 99
        assert named is None or named.base.name == f"shm://{name}"


def test_locks_come_back():
    lock = shm.Lock()

    def work(i):
        lock.acquire()
        return lock

    (same,) = shm.MapReduce(1).map(work, [0])
    with pytest.raises(shm.OwnerDiedError):
        same.acquire()
    with same:
        assert not lock.acquire(False)


# Sections.


def test_the_critical_section_is_alone(any_pool):
    total = shm.zeros((), int)

    def work(i):
        with any_pool.critical:
            before = int(total)
            if i % 50 == 0:
                time.sleep(0.001)
            total[...] = before + i

    any_pool.map(work, range(500))
    assert total == sum(range(500))


def test_ordered_sections_run_in_order(any_pool):
    order = shm.zeros(101, int)

    def work(i):
        if i % 7 == 0:
            time.sleep(0.002)
        if i % 10 != 3:
            with any_pool.ordered:
                order[0] += 1
                order[order[0]] = i

    any_pool.map(work, range(100))
    expected = [i for i in range(100) if i % 10 != 3]
    assert list(order[1 : order[0] + 1]) == expected


def test_the_word_ordered_is_found_where_it_is():
    p = shm.MapReduce(2)
    log = shm.zeros(41, int)

    def inner(i):
        with p.ordered:
            log[0] += 1
            log[log[0]] = i

    def outer(i):
        inner(i)

    class Callable:
        def __call__(self, i):
            inner(i)

        def method(self, i):
            return (lambda: inner(i))()

    for function in (inner, outer, Callable(), Callable().method, lambda i: outer(i)):
        log[...] = 0
        p.map(function, range(40))
        assert list(log[1:]) == list(range(40))
    hidden = {"f": inner}
    with pytest.raises(RuntimeError, match="ordered"):
        p.map(lambda i: hidden["f"](i), range(4))
    log[...] = 0
    p.map(lambda i: hidden["f"](i), range(40), ordered=True)
    shm.MapReduce(2, ordered=True).map(lambda i: i, range(5))
    assert list(log[1:]) == list(range(40))


def test_sections_are_left_when_the_function_raises():
    p = shm.MapReduce(2, skip_failed=True)

    def work(i):
        with p.critical:
            if i % 2:
                raise ValueError(i)
            return i

    found = p.map(work, range(20))
    assert found[::2] == list(range(0, 20, 2)) and not any(found[1::2])


@pytest.mark.parametrize("section", ["critical", "ordered"])
def test_a_death_in_a_section_lets_nobody_wait(section):
    p = shm.MapReduce(2, ordered=section == "ordered")

    def work(i):
        with getattr(p, section):
            if i == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return i

    with pytest.raises(shm.WorkerDiedError) as caught:
        p.map(work, range(100))
    assert (caught.value.item, caught.value.signal) == (3, signal.SIGKILL)
    retried = shm.zeros((), int)

    def once(i):
        with getattr(again, section):
            if i == 3 and retried == 0:
                retried[...] = 1
                os._exit(1)
        return i

    again = shm.MapReduce(2, retries=1, ordered=section == "ordered")
    assert again.map(once, range(30)) == list(range(30))


def test_sections_are_refused_where_they_mean_nothing():
    p, other = shm.MapReduce(2), shm.MapReduce(2)

    def enters(section):
        with section:
            pass

    def twice():
        with p.critical:
            enters(p.critical)

    def in_thread(i):
        found = []

        def run():
            try:
                enters(p.critical)
            except RuntimeError as error:
                found.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        raise found[0]

    with pytest.raises(RuntimeError, match="inside of itself"):
        p.map(lambda _: twice(), range(2))
    with pytest.raises(RuntimeError, match="another pool"):
        p.map(lambda _: enters(other.critical), range(2))
    with pytest.raises(RuntimeError, match="thread"):
        p.map(in_thread, range(2))
    with pytest.raises(RuntimeError, match="in the master"):
        p.map(lambda i: i, range(2), reduce=lambda i: enters(p.critical))
    enters(p.critical)  # alone in the world
    enters(p.ordered)


# Exceptions.


class Picky(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Closed(Exception):
    def __init__(self):
        self.lock = threading.Lock()
        super().__init__("holds a lock")


def test_exceptions_keep_type_and_traceback():
    def culprit(i):
        return {"a": 1}[i]

    with pytest.raises(KeyError) as caught:
        shm.MapReduce(2).map(lambda i: culprit(i), ["a", "b"])
    cause = caught.value.__cause__
    assert caught.value.args == ("b",)
    assert isinstance(cause, shm.RemoteTraceback)
    assert "in culprit" in str(cause) and "Traceback (most recent call last)" in str(cause) and "test_mapreduce.py" in str(cause)
    assert cause.item == 1 and cause.rank in (0, 1) and cause.pid != os.getpid()
    assert pickle.loads(pickle.dumps(cause)).text == cause.text


@pytest.mark.parametrize("make", [lambda: Picky(1, 2), Closed, lambda: type("Local", (Exception,), {})("mine")])
def test_exceptions_that_cannot_be_pickled_come_as_text(make):
    def work(i):
        raise make()

    with pytest.raises(shm.RemoteError) as caught:
        shm.MapReduce(2).map(work, range(3))
    expected = make()
    assert str(expected) in str(caught.value) and caught.value.type_name.endswith(type(expected).__qualname__)
    assert "in work" in str(caught.value.__cause__)


def test_exceptions_with_bad_manners():
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no text")

        def __reduce__(self):
            raise SystemExit(7)

    def work(i):
        raise Mute

    with pytest.raises((shm.RemoteError, RuntimeError)):
        shm.MapReduce(1).map(work, [0])


def test_the_first_parts_of_exceptions_in_python_are_told():
    def work(i):
        try:
            raise OSError(5, "broken", "file")
        except OSError as error:
            raise ValueError("after that") from error

    with pytest.raises(ValueError) as caught:
        shm.MapReduce(1).map(work, [0])
    assert "OSError" in str(caught.value.__cause__) and "direct cause" in str(caught.value.__cause__)


def test_an_exception_ends_the_others():
    started = time.monotonic()

    def work(i):
        if i == 0:
            raise ValueError("at once")
        time.sleep(600)

    with pytest.raises(ValueError, match="at once"):
        shm.MapReduce(3, schedule="dynamic").map(work, range(3))
    assert time.monotonic() - started < 300


def test_results_that_cannot_be_pickled_are_reported(any_pool):
    if any_pool.workers == 0:
        pytest.skip("nothing is pickled")
    for bad in (lambda: lambda: 0, lambda: threading.Lock(), lambda: (i for i in ())):
        with pytest.raises(shm.ResultError, match="item 5 ") as caught:
            any_pool.map(lambda i: bad() if i == 5 else [i], range(20))
        assert isinstance(caught.value, TypeError)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


class Exits:
    def __reduce__(self):
        raise KeyboardInterrupt


def test_results_that_cannot_be_read_back_are_reported():
    with pytest.raises(shm.ResultError, match="read back"):
        shm.MapReduce(2).map(lambda i: Unreadable(), range(3))
    with pytest.raises((KeyboardInterrupt, shm.ResultError)):
        shm.MapReduce(2).map(lambda i: Exits(), range(3))


def test_what_reduce_raises_ends_the_map():
    def reduce(i):
        raise LookupError(i)

    with pytest.raises(LookupError):
        shm.MapReduce(2).map(lambda i: i, range(1000), reduce=reduce)

    def endless(i):
        while i:
            time.sleep(1)
        return i

    with pytest.raises(LookupError):
        shm.MapReduce(2, schedule="dynamic").map(endless, range(2), reduce=reduce)


def test_what_the_items_raise_ends_the_map(any_pool):
    def items():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        any_pool.map(lambda i: i, items())

    class Bad:
        def __len__(self):
            return 10

        def __getitem__(self, i):
            if i == 4:
                raise LookupError("the fifth")
            return i

    with pytest.raises(LookupError, match="the fifth"):
        any_pool.map(lambda i: i, Bad())


# Deaths.


def deaths():
    def kill(number):
        return lambda: os.kill(os.getpid(), number)

    yield "SIGKILL", kill(signal.SIGKILL), signal.SIGKILL, None
    yield "SIGTERM", kill(signal.SIGTERM), signal.SIGTERM, None
    yield "SIGSEGV", kill(signal.SIGSEGV), signal.SIGSEGV, None
    yield "abort", os.abort, signal.SIGABRT, None
    yield "_exit(0)", lambda: os._exit(0), None, 0
    yield "_exit(3)", lambda: os._exit(3), None, 3
    yield "exit()", lambda: sys.exit(), None, 0
    yield "exit(101)", lambda: sys.exit(101), None, 101
    yield "exit(text)", lambda: sys.exit("goodbye"), None, 1


@pytest.mark.parametrize("items", [10, 5000])
@pytest.mark.parametrize("how", list(deaths()), ids=lambda how: how[0])
def test_deaths_are_told_with_item_and_worker(how, items, capfd):
    _, die, number, code = how

    def work(i):
        if i == items // 2:
            faulthandler_off()
            die()
        return i

    with pytest.raises(shm.WorkerDiedError) as caught:
        shm.MapReduce(2).map(work, range(items))
    error = caught.value
    assert (error.signal, error.exitcode, error.item) == (number, code, items // 2)
    assert error.rank in (0, 1) and error.pid != os.getpid() and f"worker {error.rank} (pid {error.pid})" in str(error)
    assert all(error.finished[i] == i for i in error.finished) and items // 2 not in error.finished
    assert (number or 0) == 0 or f"signal {int(number)}" in str(error)
    assert code is None or f"code {code}" in str(error)


def faulthandler_off():
    import faulthandler

    faulthandler.disable()


def test_retries_use_fresh_workers():
    tries = shm.zeros(20, int)
    pids = shm.zeros((20, 3), int)

    def work(i):
        if tries[i] >= 0:
            pids[i, tries[i]] = os.getpid()
        tries[i] += 1
        if i % 5 == 0 and tries[i] < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    assert shm.MapReduce(2, retries=2).map(work, range(20)) == list(range(20))
    assert (tries[::5] == 3).all()
    assert all(len(set(row)) == 3 for row in pids[::5].tolist())
    tries[...] = -50
    with pytest.raises(shm.WorkerDiedError, match="3 times"):
        shm.MapReduce(2, retries=2).map(work, range(20))


def test_retries_of_exceptions_stay_in_the_worker():
    tries = shm.zeros(20, int)

    def work(i):
        tries[i] += 1
        if i % 5 == 0 and tries[i] < 3:
            raise ValueError(i)
        return i

    for workers in (0, 2):
        tries[...] = 0
        assert shm.MapReduce(workers, retries=2).map(work, range(20)) == list(range(20))
        assert (tries[::5] == 3).all()
        tries[...] = 0
        with pytest.raises(ValueError):
            shm.MapReduce(workers, retries=1).map(work, range(20))


def test_failed_items_are_skipped():
    def work(i):
        if i % 10 == 3:
            raise ValueError(i)
        if i % 10 == 7:
            os._exit(i)
        if i % 10 == 9:
            return lambda: i
        return i

    reduced = []
    found = shm.MapReduce(2, skip_failed=True).map(work, range(40), reduce=lambda i: reduced.append(i) or i)
    good = [i for i in range(40) if i % 10 not in (3, 7, 9)]
    assert sorted(reduced) == good and [found[i] for i in good] == good
    for i in set(range(40)) - set(good):
        failure = found[i]
        kind = {3: ValueError, 7: shm.WorkerDiedError, 9: shm.ResultError}[i % 10]
        assert isinstance(failure, shm.Failure) and not failure
        assert failure.item == i and type(failure.exception) is kind and failure.pid != os.getpid()
        if i % 10 == 7:
            assert failure.exception.exitcode == i
    serial = shm.MapReduce(0, skip_failed=True).map(lambda i: 1 // i, [0, 1])
    assert type(serial[0].exception) is ZeroDivisionError and serial[1] == 1


def test_a_worker_that_is_killed_from_outside_is_noticed():
    pids = shm.zeros(2, int)

    def work(i):
        pids[i] = os.getpid()
        while True:
            time.sleep(1)

    def kill():
        while not pids[1]:
            time.sleep(0.001)
        os.kill(int(pids[1]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(shm.WorkerDiedError) as caught:
        shm.MapReduce(2, schedule="dynamic", threads_ok=True).map(work, range(2))
    thread.join()
    assert (caught.value.item, caught.value.pid) == (1, pids[1])


def test_a_master_that_is_killed_takes_its_workers_along():
    script = """
        import os, shm, sys, time
        def work(i):
            os.write(1, f"{os.getpid()}\\n".encode())
            time.sleep(600)
        shm.MapReduce(2, schedule="dynamic").map(work, range(2))
    """
    master = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    pids = [int(master.stdout.readline()) for _ in range(2)]
    master.kill()
    master.wait()
    assert master.stdout.read() == b""  # ends when nobody has the other end
    master.stdout.close()
    for pid in pids:
        assert gone(pid)


def gone(pid):
    for _ in range(3000):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] in "ZX":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


# Around the function.


def test_maps_may_be_nested(any_pool):
    total = shm.zeros((), int)

    def outer(i):
        inner = shm.MapReduce(2)

        def work(j):
            with inner.critical:
                pass
            return i * 10 + j, inner.local.rank

        found = inner.map(work, range(3))
        with any_pool.critical:
            total[...] += 1
        return [value for value, _ in found], any_pool.local.rank

    found = any_pool.map(outer, range(4))
    assert [values for values, _ in found] == [[i * 10 + j for j in range(3)] for i in range(4)]
    assert total == 4


def test_multiprocessing_works_in_workers():
    def work(i):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-i, i])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside the pool's own threads
        assert shm.MapReduce(2).map(work, range(3)) == [[0, 0], [1, 1], [2, 2]]


def test_a_copy_that_the_function_forks_and_lets_go_sends_nothing():
    def work(i):
        if i % 3 == 0 and os.fork() == 0:
            return "copy"
        if i % 3 == 0:
            os.wait()
        return i

    assert shm.MapReduce(2).map(work, range(12)) == list(range(12))


def test_other_threads_run_while_a_map_waits():
    stop, ticks = threading.Event(), shm.zeros((), int)

    def tick():
        while not stop.is_set():
            ticks[...] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()

    def work(i):
        before = int(ticks)
        while ticks < before + 5:  # for ever, if they did not
            time.sleep(0.001)
        return i

    try:
        assert shm.MapReduce(2, threads_ok=True).map(work, range(2)) == [0, 1]
    finally:
        stop.set()
        thread.join()


def test_a_process_with_threads_is_warned():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="waits-for-nothing")
    thread.start()
    try:
        with pytest.warns(RuntimeWarning, match="2 threads.*waits-for-nothing"):
            shm.MapReduce(2).map(lambda i: i, range(2))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert shm.MapReduce(2, threads_ok=True).map(lambda i: i, range(2)) == [0, 1]
    finally:
        stop.set()
        thread.join()


def test_many_threads_may_map_at_once():
    found = {}

    def run(n):
        pool = shm.MapReduce(2, threads_ok=True)
        found[n] = pool.map(lambda i: i * n, range(200))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [i * n for i in range(200)] for n in range(6)}


def test_threads_of_a_worker_run_while_it_waits_for_a_section():
    p = shm.MapReduce(2, schedule="dynamic")
    flag = shm.zeros((), int)

    def work(i):
        if i == 0:
            with p.critical:
                flag[...] = 1
                while flag != 2:  # what a thread of the other worker does while that waits
                    time.sleep(0.001)
            return True
        while flag != 1:
            time.sleep(0.001)
        thread = threading.Timer(0.05, lambda: flag.__setitem__((), 2))
        thread.start()
        with p.critical:
            pass
        thread.join()
        return True

    assert p.map(work, range(2)) == [True, True]


def run_script(text, *signals, stdin=None):
    """Runs a program, sends it signals when it says "now", and returns what it says."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for number in signals:
        while process.stdout.readline() != "now\n":
            assert process.poll() is None, process.stderr.read()
        process.send_signal(number)
    out, err = process.communicate()
    return process.returncode, out, err


def test_interrupting_the_master_ends_the_map():
    code, out, err = run_script(
        """
        import os, shm, sys, time
        started = shm.zeros(2, int)
        def work(i):
            started[i] = os.getpid()
            while not started.all():
                time.sleep(0.001)
            if i == 1:
                os.write(1, b"now\\n")
            time.sleep(600)
        try:
            shm.MapReduce(2, schedule="dynamic").map(work, range(2))
        except KeyboardInterrupt:
            print("interrupted")
            for pid in started:
                try:
                    os.kill(int(pid), 0)
                    print("it lives")
                except ProcessLookupError:
                    pass
        """,
        signal.SIGINT,
    )
    assert (code, out) == (0, "interrupted\n"), err


def test_handlers_run_while_a_map_waits():
    class Enough(Exception):
        pass

    def handler(number, frame):
        raise Enough

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Enough):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            shm.MapReduce(2).map(lambda i: time.sleep(600), range(2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_worker_interrupts_the_master():
    def work(i):
        if i == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(600)
        return i

    for words in ({}, {"retries": 2}, {"skip_failed": True}):
        with pytest.raises(KeyboardInterrupt):
            shm.MapReduce(2, **words).map(work, range(5))


def test_output_is_written_once_and_exit_functions_are_the_parents():
    code, out, err = run_script(
        """
        import atexit, gc, io, os, shm, sys, weakref
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=False)
        atexit.register(print, "exit")
        class Thing:
            def __del__(self):
                print("finalized in", "master" if os.getpid() == here else "worker")
        here = os.getpid()
        thing = Thing()
        cycle = Thing()
        cycle.self = cycle
        gc.disable()
        del cycle
        print("before")
        def work(i):
            gc.collect()
            print("item", i)
            if i == 1:
                sys.exit("leaves")
            return i
        try:
            shm.MapReduce(1).map(work, range(2))
        except shm.WorkerDiedError:
            print("died")
        shm.MapReduce(1).map(work, range(1))
        print(shm.background(print, "apart").wait())
        gc.collect()
        """
    )
    assert code == 0, err
    assert out.splitlines() == [
        "before",
        "item 0",
        "item 1",
        "died",
        "item 0",
        "apart",
        "None",
        "finalized in master",
        "exit",
        "finalized in master",
    ] or out.splitlines()[-3:] == ["finalized in master", "finalized in master", "exit"], out
    assert "leaves" in err


def test_functions_around_a_fork_are_called():
    code, out, err = run_script(
        """
        import os, shm
        log, lock = shm.zeros(3, int), shm.Lock()
        def count(at):
            with lock:  # two workers begin at once
                log[at] += 1
        os.register_at_fork(before=lambda: count(0), after_in_parent=lambda: count(1), after_in_child=lambda: count(2))
        both = shm.Barrier(2)  # otherwise one worker might do it all, and the other one be ended on its way
        shm.MapReduce(2, schedule="static").map(lambda i: both.wait(), range(2))
        print(log)
        """
    )
    assert (code, out) == (0, "[2 2 2]\n"), err


def test_progress_is_told(any_pool):
    told = []
    p = shm.MapReduce(any_pool.workers, progress=lambda done, total: told.append((done, total)))
    p.map(lambda i: i, range(50))
    assert told[-1] == (50, 50) and all(total == 50 for _, total in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done, total):
        raise OverflowError("enough")

    with pytest.raises(OverflowError, match="enough"):
        shm.MapReduce(any_pool.workers, progress=stop).map(lambda i: i, range(50))


def test_a_bar_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        shm.MapReduce(2, progress=True).map(lambda i: i, range(3))

    class Bar:
        def __init__(self, total):
            self.total, self.n = total, 0
            bars.append(self)

        def update(self, n):
            self.n += n

        def close(self):
            self.closed = True

    bars = []
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", type(sys)("tqdm.auto"))
    sys.modules["tqdm.auto"].tqdm = Bar
    shm.MapReduce(2, progress=True).map(lambda i: i, range(30))
    assert (bars[0].total, bars[0].n, bars[0].closed) == (30, 30, True)


# Calls in the background.


def test_a_call_in_the_background():
    base = 40
    call = shm.background(lambda a, *, b: (base + a, b), 2, b=np.arange(100_000))
    assert call.pid not in (None, os.getpid())
    value, array = call.wait()
    assert value == 42 and (array == np.arange(100_000)).all()
    assert call.result()[0] == 42 and call.done()
    here = shm.MapReduce(0).background(os.getpid)
    assert here.wait() == os.getpid() and here.pid is None
    with pytest.raises(TypeError):
        shm.Background()


def test_a_call_in_the_background_that_fails():
    call = shm.background(lambda: [][0])
    for _ in range(2):
        with pytest.raises(IndexError):
            call.wait()
    with pytest.raises(shm.WorkerDiedError) as caught:
        shm.background(os._exit, 5).wait()
    assert caught.value.exitcode == 5
    with pytest.raises(shm.WorkerDiedError):
        shm.background(sys.exit).wait()
    with pytest.raises(shm.ResultError):
        shm.background(lambda: lambda: 0).wait()
    with pytest.raises(ZeroDivisionError):
        shm.MapReduce(0).background(lambda: 1 // 0).wait()


def test_a_call_in_the_background_may_take_long():
    call = shm.background(time.sleep, 600)
    assert not call.done()
    with pytest.raises(TimeoutError):
        call.wait(0.05)
    with pytest.raises(ValueError):
        call.wait(float("nan"))
    call.kill()
    with pytest.raises(shm.WorkerDiedError) as caught:
        call.wait()
    assert caught.value.signal == signal.SIGKILL
    pid = shm.background(time.sleep, 600).pid  # dropped at once
    gc.collect()
    assert gone(pid)


def test_many_threads_may_wait_for_one_call():
    flag, found = shm.zeros((), int), []

    def work():
        while not flag:
            time.sleep(0.001)
        return np.arange(100_000)

    call = shm.background(work)
    threads = [threading.Thread(target=lambda: found.append(call.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert not call.done()
        with pytest.raises(TimeoutError):
            call.wait(0.01)
    flag[...] = 1
    for thread in threads:
        thread.join()
    assert len(found) == 3 and all(value is call.wait() for value in found)


def test_a_call_is_killed_while_threads_wait_for_it():
    found = []

    def wait(call):
        with pytest.raises(shm.WorkerDiedError) as caught:
            call.wait()
        found.append(caught.value.signal)

    for _ in range(5):
        call = shm.MapReduce(threads_ok=True).background(time.sleep, 600)
        threads = [threading.Thread(target=wait, args=(call,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        call.kill()
        wait(call)
        for thread in threads:
            thread.join()
    assert found == [signal.SIGKILL] * 15


def test_the_outcome_of_a_call_may_lead_back_to_it():
    call = shm.background(dict)
    call.wait()["call"] = call
    ended = weakref.ref(call)
    del call
    gc.collect()
    assert ended() is None


def test_a_handle_belongs_to_its_process():
    call = shm.background(lambda: 5)

    def work(_):
        try:
            call.wait()
        except RuntimeError as error:
            return str(error)

    assert "belongs to the process" in shm.MapReduce(1).map(work, [0])[0]
    assert call.wait() == 5


def test_calls_in_the_background_from_threads():
    calls = []

    def start(n):
        calls.append(shm.MapReduce(threads_ok=True).background(lambda: n * n))

    threads = [threading.Thread(target=start, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
        thread.join()
    assert sorted(call.wait() for call in calls) == [0, 1, 4, 9, 16]


def test_waiting_in_the_background_answers_signals():
    code, out, err = run_script(
        """
        import os, shm, time
        def work():
            os.write(1, b"now\\n")
            time.sleep(600)
        try:
            shm.background(work).wait()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        signal.SIGINT,
    )
    assert (code, out) == (0, "interrupted\n"), err


def test_standard_streams_that_are_not_there():
    code, out, err = run_script(
        """
        import os, sys, shm
        out, sys.stdout, sys.stderr = sys.stdout, None, None
        found = shm.MapReduce(2).map(lambda i: i, range(4))
        sys.stdout = out
        print(found)
        """
    )
    assert (code, out) == (0, "[0, 1, 2, 3]\n"), err


def test_what_reduce_prints_is_printed_once():
    code, out, err = run_script(
        """
        import io, os, shm, sys
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=False)
        died = shm.zeros((), int)
        def work(i):
            if i == 5 and not died:
                died[...] = 1
                os._exit(1)
            return i
        shm.MapReduce(1, retries=1, schedule="dynamic").map(work, range(10), reduce=lambda i: print("got", i))
        """
    )
    assert code == 0, err
    assert sorted(out.splitlines()) == sorted(f"got {i}" for i in range(10))


def test_an_array_that_is_filled_again_and_again_is_sent_as_it_was():
    def work(i):
        scratch[...] = i
        small[:] = [i]
        return (scratch, small, {"a": small})[i % 3]

    scratch, small = np.zeros(10), []
    for i, result in enumerate(shm.MapReduce(2).map(work, range(300))):
        expected = (np.full(10, i), [i], {"a": [i]})[i % 3]
        assert np.array_equal(result, expected) if i % 3 == 0 else result == expected


def test_what_cannot_be_called_or_forked_is_refused(any_pool):
    for bad in (lambda p: p.map(5, [1]), lambda p: p.map(abs, [1], reduce="sum"), lambda p: p.background(None)):
        with pytest.raises(TypeError, match="can be called"):
            bad(any_pool)
    if any_pool.workers == 0:
        with pytest.raises(shm.Error, match="2000 workers"):
            shm.MapReduce(2000).map(abs, range(5000))
