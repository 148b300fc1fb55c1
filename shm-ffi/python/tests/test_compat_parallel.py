"""`shm.compat.sharedmem.parallel`: OpenMP's parallel region, which in the original does not start under Python 3."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import shm
from shm.compat.sharedmem.parallel import Parallel, ParallelException, Private, Reduction, Shared

SCHEDULES = ["static", "dynamic", "guided", ("static", 2), ("dynamic", 3), ("guided", 2), ("static", None)]


@pytest.fixture(params=SCHEDULES, ids=str)
def schedule(request):
    return request.param


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_reduction(schedule, workers):
    with Parallel(Reduction(np.add, a=[0, 0]), num_threads=workers) as p:
        for i in p.forloop(range(20), schedule=schedule):
            p.var.a += np.array([i, i * 10])
    assert p.var.a.tolist() == [190, 1900]


def test_private(schedule):
    here = np.zeros(2)
    with Parallel(Private(a=[0, 0]), num_threads=3) as p:
        for i in p.forloop(range(100), schedule=schedule):
            p.var.a += np.array([i, i * 10])
            if p.master:
                here += np.array([i, i * 10])
    assert p.var.a.tolist() == here.tolist()


def test_shared(schedule):
    with Parallel(Shared(a=[0, 0], n=0), Reduction(np.add, b=[0, 0]), num_threads=3) as p:
        for i in p.forloop(range(100), schedule=schedule):
            with p.critical:
                p.var.a += np.array([i, i * 10])
                p.var.n += 1
            p.var.b += np.array([i, i * 10])
    assert p.var.a.tolist() == p.var.b.tolist() == [4950, 49500] and p.var.n == 100


def test_ordered(schedule):
    order, at = shm.full(60, -1), shm.zeros((), int)
    with Parallel(num_threads=3) as p:
        loop = p.forloop(range(60), ordered=True, schedule=schedule)
        for i, ordered in loop:
            assert ordered is loop.ordered
            with ordered:
                order[int(at)] = i
                at[...] += 1
        # a second loop in the same region, some items of which have no section
        for i, ordered in p.forloop(range(60), True, schedule):
            if i % 7 == 3:
                with ordered:
                    order[i] = at
                    at[...] += 1
    assert [i for i in order if i < 60] == [i for i in range(60) if i % 7 != 3]
    assert [int(order[i]) for i in range(3, 60, 7)] == list(range(60, 60 + len(range(3, 60, 7))))


def test_a_loop_that_is_left_holds_nobody_up(schedule):
    done = shm.zeros(40, bool)
    with Parallel(num_threads=3) as p:
        for i, ordered in p.forloop(range(40), True, schedule):
            if p.rank == 1:
                break
            with ordered:
                done[i] = True
        p.barrier()
        for i, ordered in p.forloop(range(40), True, schedule):
            with ordered:
                done[i] = True
    assert done.all()


def test_what_each_knows():
    seen = shm.zeros((4, 3), int)
    with Parallel(num_threads=4) as p:
        seen[p.rank] = p.num_threads, p.master, os.getpid()
        p.barrier()
        assert len(set(seen[:, 2].tolist())) == 4  # all have been here
    assert seen[:, 0].tolist() == [4] * 4 and seen[:, 1].tolist() == [1, 0, 0, 0] and seen[0, 2] == os.getpid()
    assert (p.rank, p.master) == (0, True)


def test_barriers():
    at = shm.zeros(3, int)
    with Parallel(num_threads=3) as p:
        for turn in range(50):
            at[p.rank] = turn
            p.barrier()
            assert at.tolist() == [turn] * 3
            p.barrier()


def test_other_sequences(schedule):
    seen = shm.zeros(5, int)
    with Parallel(num_threads=2) as p:
        for i in p.forloop((i for i in range(5)), schedule=schedule):
            seen[i] += 1
        for i in p.forloop(np.arange(5), schedule=schedule):
            seen[i] += 1
        for i in p.forloop([], schedule=schedule):
            seen[i] += 1
    assert seen.tolist() == [2] * 5


def test_default_number(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Parallel().num_threads == 3


def test_regions_again_and_inside():
    region = Parallel(Reduction(np.add, n=0), num_threads=2)
    for _ in range(3):
        with region as p:
            p.var.n = 1
        assert p.var.n == 2
    with Parallel(Reduction(np.add, n=0), num_threads=2) as p:
        with Parallel(Reduction(np.add, m=0), num_threads=2) as q:
            q.var.m += 1
        p.var.n += q.var.m
    assert p.var.n == 4


@pytest.mark.parametrize("ordered", [False, True], ids=["critical", "ordered"])
def test_an_exception_in_a_worker(schedule, ordered):
    with pytest.raises(ValueError, match="raised at i == 19") as caught:
        with Parallel(Reduction(np.add, a=[0, 0]), num_threads=3) as p:
            for item in p.forloop(range(20), ordered=ordered, schedule=schedule):
                i = item[0] if ordered else item
                with item[1] if ordered else p.critical:
                    p.var.a += np.array([i, i * 10])
                    if i == 19:
                        raise ValueError("raised at i == 19")
    assert caught.value.__cause__ is None or "raised at i == 19" in str(caught.value.__cause__)


def test_an_exception_of_a_rank():
    for rank in range(3):
        with pytest.raises(KeyError) as caught:
            with Parallel(num_threads=3) as p:
                if p.rank == rank:
                    raise KeyError(rank)
                p.barrier()
        assert caught.value.args == (rank,)


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not to be pickled")


@pytest.mark.parametrize(
    "fail, text",
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: os._exit(0), "exit code 0"),
        (lambda: os._exit(1), "exit code 1"),
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: (_ for _ in ()).throw(Unpicklable("odd")), "odd"),
    ],
    ids=["killed", "_exit 0", "_exit 1", "exit", "unpicklable"],
)
@pytest.mark.parametrize("where", ["barrier", "critical", "ordered", "loop", "end"])
def test_a_worker_that_ends(fail, text, where):
    with pytest.raises(ParallelException, match=text):
        with Parallel(num_threads=3) as p:
            p.barrier()
            last = p.rank == p.num_threads - 1
            if where == "critical":
                if last:
                    with p.critical:
                        p.barrier()
                        fail()
                p.barrier()
                with p.critical:
                    pass
            elif where == "ordered":
                for i, ordered in p.forloop(range(30), True, ("static", 1)):
                    with ordered:
                        if last:
                            fail()
            elif where == "loop":
                for i in p.forloop(range(10**6) if not last else range(3), schedule="static"):
                    if last:
                        fail()
            elif last:
                fail()
            if where == "barrier":
                p.barrier()


def test_a_worker_that_is_killed_while_it_says_why_it_fails():
    def cut_off(descriptor, said):
        write(descriptor, said[: len(said) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    write = os.write
    with pytest.raises(ParallelException, match="SIGKILL"):
        with Parallel(num_threads=3) as p:
            if p.rank == 1:
                os.write = cut_off  # in this process only
                raise ValueError("x" * 1000)
            p.barrier()


class Exits(Exception):
    """Ends whoever reads it, but the process that has made it."""

    def __init__(self, pid):
        super().__init__(pid)
        if pid != os.getpid():
            sys.exit("it was read")


def test_an_exception_that_cannot_be_read_back():
    with pytest.raises(ParallelException, match="Exits"):
        with Parallel(num_threads=3) as p:
            if p.rank == 1:
                raise Exits(os.getpid())
            p.barrier()


def test_no_thread_to_watch_the_workers_with(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            with Parallel(num_threads=3) as p:
                p.barrier()


def test_no_descriptor_to_watch_a_worker_with(monkeypatch):
    def refuse(pid):
        if asked:
            raise OSError(errno.EMFILE, "too many open files")
        asked.append(pid)
        return pidfd_open(pid)

    asked, pidfd_open = [], os.pidfd_open
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        with pytest.raises(OSError, match="too many"):
            with Parallel(num_threads=3) as p:
                p.barrier()


def test_an_exception_in_the_master_ends_the_workers():
    pids = shm.zeros(2, int)
    with pytest.raises(ZeroDivisionError):
        with Parallel(num_threads=2) as p:
            pids[p.rank] = os.getpid()
            p.barrier()
            if p.master:
                1 / 0
            time.sleep(1000)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[1]), 0)


def test_workers_end_with_a_killed_master(name):
    program = (
        "import os, shm, signal, sys, time\nfrom shm.compat.sharedmem.parallel import Parallel\n"
        "lock = shm.Lock.attach(sys.argv[1])\n"
        "with Parallel(num_threads=2) as p:\n"
        "    if not p.master:\n        lock.acquire()\n"
        "    p.barrier()\n"
        "    if p.master:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    time.sleep(1000)\n"
    )
    lock = shm.Lock.create(name)
    done = subprocess.run([sys.executable, "-c", program, name])
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(shm.OwnerDiedError):  # as soon as the worker is gone
        lock.acquire()


def test_output_is_written_once():
    program = (
        "import sys\nfrom shm.compat.sharedmem.parallel import Parallel\nsys.stdout.write('before\\n')\n"
        "with Parallel(num_threads=3) as p:\n    sys.stdout.write(f'in {p.rank}\\n')\nsys.stdout.write('after\\n')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split("\n")) == ["", "after", "before", "in 0", "in 1", "in 2"]


def test_bad_input():
    for arguments, keywords in (((3,), {}), ((), {"num_threads": "2"}), ((), {"colour": 3})):
        with pytest.raises((TypeError, AttributeError)):
            Parallel(*arguments, **keywords)
    for number in (0, -1):
        with pytest.raises(ValueError):
            Parallel(num_threads=number)
    with Parallel(Shared(a=0), num_threads=1) as p:
        for schedule in ("stat", ("static", 0), ("dynamic", -1), ("static", 1, 2), None, 3):
            with pytest.raises(ValueError):
                p.forloop(range(3), schedule=schedule)
        with pytest.raises(TypeError):
            p.forloop(3)
        with pytest.raises(AttributeError):
            p.var.b
        with pytest.raises(AttributeError):
            p.var.b = 3
    with pytest.raises(TypeError):
        with Parallel(Shared(a=[object()]), num_threads=2):
            pass
