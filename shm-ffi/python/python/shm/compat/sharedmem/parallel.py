"""The original's `parallel` module: a with statement whose body is run by several processes at once, as OpenMP's parallel region is.

    with Parallel(Shared(table=numpy.zeros(10)), Reduction(numpy.add, total=0.0), num_threads=4) as p:
        for i in p.forloop(range(100), schedule="dynamic"):
            p.var.total += i
            with p.critical:
                p.var.table[i % 10] += 1
        p.barrier()
        if p.master:
            print(p.num_threads, p.rank)
    print(p.var.total, p.var.table)

The process that comes to the statement is the master, of rank 0, and goes on after it; the others are forked there and end with it. Everything that
is not said to be shared belongs to each process alone, as after any fork. If a process fails, the others end, and the master raises what that one has raised.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import selectors
import signal
import threading
import warnings
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type

import numpy as np

from ... import _array, _results, _shm
from ..._errors import BrokenError, OwnerDiedError
from ..._sync import Barrier, Lock, Sequencer
from ._environment import cpu_count

__all__ = ["Parallel", "ParallelException", "Private", "Reduction", "Shared"]

#: How often who waits for a turn looks whether it can still come, in seconds.
_LOOK = 0.1
#: What a worker says last.
_WELL, _FAILED, _STOPPED = b"\0", b"\1", b"\2"
_PR_SET_PDEATHSIG = 1
_WATCHER = "shm parallel region"
_libc = ctypes.CDLL(None, use_errno=True)


class ParallelException(Exception):
    """A worker was killed or has left by itself, or what it raised cannot be pickled."""


class _Stopped(ParallelException):
    """Somebody else has failed: this process can only end."""

    def __init__(self) -> None:
        super().__init__("another process of the parallel region has failed")


class _Variables:
    """Variables of a region, as arrays: of no dimensions, or of those that the first value has."""

    def __init__(self, **values: Any) -> None:
        self._first = {name: np.asarray(value) for name, value in values.items()}
        self._arrays: Dict[str, np.ndarray[Any, Any]] = {}

    def _begin(self, workers: int) -> None:
        """Before the forks."""

    def _enter(self, rank: int) -> None:
        """In each process."""

    def _end(self) -> None:
        """In the master, when all have ended well."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self._arrays[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._arrays[name][...] = value


class Shared(_Variables):
    """Variables that all processes share."""

    def _begin(self, workers: int) -> None:
        self._arrays = {name: _array.copy(first) for name, first in self._first.items()}


class Private(_Variables):
    """Variables of which each process has its own; after the region the master's are left."""

    def _begin(self, workers: int) -> None:
        self._arrays = {name: first.copy() for name, first in self._first.items()}


class Reduction(_Variables):
    """Variables of which each process has its own, with the first value in each, and which a ufunc makes one of at the end."""

    def __init__(self, ufunc: np.ufunc, **values: Any) -> None:
        super().__init__(**values)
        self._ufunc = ufunc

    def _begin(self, workers: int) -> None:
        self._all = {
            name: _array.full((workers, *first.shape), first, first.dtype) for name, first in self._first.items()
        }

    def _enter(self, rank: int) -> None:
        self._arrays = {name: every[rank, ...] for name, every in self._all.items()}

    def _end(self) -> None:
        for name, every in self._all.items():
            self[name] = self._ufunc.reduce(every, axis=0)


class _Names:
    """`p.var`: the variables by their names."""

    def __init__(self, groups: Tuple[_Variables, ...]) -> None:
        self.__dict__["_of"] = {name: group for group in groups for name in group}

    def __getattr__(self, name: str) -> np.ndarray[Any, Any]:
        try:
            group: _Variables = self.__dict__["_of"][name]
        except KeyError:
            raise AttributeError(f"the parallel region has no variable {name!r}") from None
        return group[name]

    def __setattr__(self, name: str, value: Any) -> None:
        getattr(self, name)[...] = value


class Parallel:
    """A parallel region. Its arguments are `Shared`, `Private` and `Reduction` variables, and `num_threads`, the number of processes.

    num_threads, rank, master     how many processes there are, which one this is, and whether it is the master (rank 0)
    var                           the variables
    critical                      ``with p.critical:`` one process at a time
    """

    def __init__(self, *variables: _Variables, num_threads: Optional[int] = None) -> None:
        for each in variables:
            if not isinstance(each, _Variables):
                raise TypeError(f"the variables of a parallel region are Shared, Private or Reduction, not {each!r}")
        if num_threads is None:
            num_threads = cpu_count()
        if num_threads.__index__() < 1:
            raise ValueError(f"a parallel region has one process or more, not {num_threads}")
        self.num_threads = num_threads.__index__()
        self.rank = 0
        self.master = True
        self.var = _Names(variables)
        self._variables = variables

    def __enter__(self) -> Parallel:
        beside = {"barrier": (Barrier, self.num_threads), "critical": Lock, "next": Lock, "turns": (Sequencer, 0)}
        self._next = _array.zeros((), "i8", beside=beside)  # the first item that nobody has taken in a dynamic loop
        self._next_lock = Lock.beside(self._next, "next")
        self._barrier = Barrier.beside(self._next, "barrier")
        self._turns = Sequencer.beside(self._next, "turns")
        self._left: List[Tuple[_Ordered, Iterator[int]]] = []  # what loops that were left would have done in order
        self.critical = _Critical(Lock.beside(self._next, "critical"))
        for group in self._variables:
            group._begin(self.num_threads)
        self.rank, self.master = 0, True
        here, team = os.getpid(), _Team(self._barrier)
        self._team: Optional[_Team] = team
        _results.flush()
        try:
            for rank in range(1, self.num_threads):
                out = team.fork()
                if out is not None:
                    self.rank, self.master, self._team, self._out = rank, False, None, out
                    break
            if self._team is not None:
                team.watch()
        except BaseException:
            if os.getpid() != here:
                os._exit(1)  # a worker that is interrupted on its way
            team.kill()
            raise
        try:
            if self._team is None:
                _results.begin(None, self.rank, self.num_threads)
            for group in self._variables:
                group._enter(self.rank)
        except BaseException as error:
            # In a worker nothing of this may get to what surrounds the region.
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        team = self._team
        if team is None:
            self._leave(error)
            return
        try:
            if error is None:
                self._settle()
        except _Stopped as stopped:
            error = stopped
        if error is not None and not isinstance(error, _Stopped):
            team.kill()
            return
        try:
            failed = team.wait()
        except BaseException:  # Ctrl-C
            team.kill()
            raise
        if failed is not None:
            raise failed
        if error is None:
            for group in self._variables:
                group._end()

    def _leave(self, error: Optional[BaseException]) -> None:
        """The end of a worker."""
        code = 1
        try:
            try:
                if error is None:
                    self._settle()
            except BaseException as late:
                error = late
            if error is None:
                said, code = _WELL, 0
            elif isinstance(error, _Stopped):
                said = _STOPPED
            else:
                said = _FAILED + _results.pack_failure(error, None, self.rank, False)
            _results.end()
            while said:
                said = said[os.write(self._out, said) :]
            if error is not None:
                self._barrier.abort()
        finally:
            os._exit(code)

    def barrier(self) -> None:
        """Waits until all processes are here."""
        self._meet()

    def _meet(self, action: Any = None) -> None:
        self._settle()
        try:
            _shm.Barrier.wait(self._barrier, None, action)
        except BrokenError:
            raise _Stopped from None

    def _settle(self) -> None:
        """Passes the turns of loops that were left, so that nobody waits for them."""
        while self._left:
            ordered, numbers = self._left[0]
            ordered._pass()
            for number in numbers:
                ordered._begin(number)
                ordered._pass()
            del self._left[0]

    def _check(self) -> None:
        if self._team is not None and self._team.failed:
            raise _Stopped

    def forloop(self, range: Any, ordered: bool = False, schedule: Any = "static") -> _Loop:
        """Shares the items of a sequence out among the processes: each iterates over its own.

        schedule   "static": each has one part of the sequence; "dynamic": each takes the next one when it is through with one; "guided": as dynamic, with
                   parts that get smaller. Or a pair with the (least) number of items in a part: ("dynamic", 10)
        ordered    what is iterated over are pairs of an item and of a section that is entered in the order of the items: ``with ordered:``

        All processes have to come to the same loops, unless they are static and not ordered.
        """
        kind, chunk = schedule if isinstance(schedule, tuple) and len(schedule) == 2 else (schedule, None)
        if kind not in ("static", "dynamic", "guided"):
            raise ValueError(f"a schedule is 'static', 'dynamic', 'guided' or a pair of one of these and a number of items, not {schedule!r}")
        if chunk is not None and chunk.__index__() < 1:
            raise ValueError(f"the parts of the schedule {schedule!r} have no items")
        items = range if hasattr(range, "__len__") and hasattr(range, "__getitem__") else list(range)
        return _Loop(self, items, bool(ordered), kind, chunk)


class _Critical:
    """One process at a time."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    def acquire(self) -> bool:
        """Waits for it, and takes it."""
        try:
            return self._lock.acquire()
        except OwnerDiedError:
            raise _Stopped from None

    def release(self) -> None:
        """Gives it back."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()


class _Loop:
    """This process's part of a loop. `ordered` is its ordered section, or None."""

    def __init__(self, region: Parallel, items: Any, ordered: bool, kind: str, chunk: Optional[int]) -> None:
        self._region, self._items, self._kind, self._chunk = region, items, kind, chunk
        self._left = False
        self.ordered = _Ordered(region) if ordered else None
        if ordered or kind != "static":
            region._meet(self._reset)

    def _reset(self) -> None:
        self._region._next[...] = 0
        self._region._turns.reset(0)

    def __iter__(self) -> Iterator[Any]:
        ordered = self.ordered
        numbers = itertools.chain.from_iterable(self._parts())
        try:
            for number in numbers:
                self._region._check()
                if ordered is None:
                    yield self._items[number]
                    continue
                ordered._begin(number)
                yield self._items[number], ordered
                ordered._pass()
        except GeneratorExit:
            if ordered is not None:
                self._left = True  # others take the parts that nobody has yet
                self._region._left.append((ordered, numbers))
            raise

    def _parts(self) -> Iterator[range]:
        region, n = self._region, len(self._items)
        if self._kind == "static" and self._chunk is None:
            yield range(region.rank * n // region.num_threads, (region.rank + 1) * n // region.num_threads)
            return
        least = 1 if self._chunk is None else self._chunk.__index__()
        if self._kind == "static":
            for first in range(region.rank * least, n, region.num_threads * least):
                yield range(first, min(first + least, n))
            return
        while not self._left:
            region._check()
            try:
                with region._next_lock:
                    first = int(region._next)
                    count = least if self._kind == "dynamic" else max((n - first) // region.num_threads, least)
                    region._next[...] = min(first + count, n)
            except OwnerDiedError:
                raise _Stopped from None
            if first >= n:
                return
            yield range(first, min(first + count, n))


class _Ordered:
    """The ordered section of a loop: entered in the order of the items."""

    def __init__(self, region: Parallel) -> None:
        self._region = region
        self._turn = 0
        self._over = True

    def _begin(self, number: int) -> None:
        self._turn = number
        self._over = False

    def _pass(self) -> None:
        """Lets the others by, if the item had no section."""
        if not self._over:
            self.__enter__()
            self.__exit__()

    def __enter__(self) -> _Ordered:
        if self._over:
            raise RuntimeError("the ordered section was entered twice for an item, or outside of its loop")
        self._over = True
        try:
            while not self._region._turns.acquire(self._turn, _LOOK):
                self._region._check()
        except BrokenError:
            raise _Stopped from None
        return self

    def __exit__(self, *_: Any) -> None:
        self._region._turns.release()


class _Worker:
    """One forked process, as the master sees it."""

    def __init__(self, rank: int, pid: int, pipe: int) -> None:
        self.rank, self.pid, self.pipe = rank, pid, pipe
        self.pidfd = os.pidfd_open(pid)
        self.said = b""

    def read(self) -> bool:
        """Reads what it says; false at the end."""
        try:
            part = os.read(self.pipe, 1 << 16)
        except BlockingIOError:
            return True
        self.said += part
        return bool(part)


class _Team:
    """The workers of a region. A thread looks after them: if one fails, it kills the others and breaks the barrier."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._workers: List[_Worker] = []
        self._thread: Optional[threading.Thread] = None
        self._killed = False
        self._failure: Optional[BaseException] = None
        self.failed = False

    def __len__(self) -> int:
        return len(self._workers)

    def fork(self) -> Optional[int]:
        """Forks one; in there, returns where it can say how it has ended."""
        master = os.getpid()
        read, write = os.pipe()
        pid = 0
        try:
            pid = _fork()
            if pid > 0:
                os.set_blocking(read, False)
                self._workers.append(_Worker(len(self._workers) + 1, pid, read))
        except BaseException:
            if pid > 0:  # nobody else knows of it
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            # It ends with the thread that has forked it, which is in the region as long as the region lasts.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != master:
                os._exit(1)
            os.close(read)
            for worker in self._workers:
                os.close(worker.pipe)
                os.close(worker.pidfd)
            return write
        os.close(write)
        return None

    def watch(self) -> None:
        """Looks after them from now on."""
        thread = threading.Thread(target=self._watch, name=_WATCHER, daemon=True)
        thread.start()  # which the system may refuse
        self._thread = thread

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.pipe, selectors.EVENT_READ, (worker, False))
                selector.register(worker.pidfd, selectors.EVENT_READ, (worker, True))
            left = len(self._workers)
            while left:
                for key, _ in selector.select():
                    worker, ended = key.data
                    if not ended:
                        if not worker.read():
                            selector.unregister(worker.pipe)
                        continue
                    left -= 1
                    selector.unregister(worker.pidfd)
                    self._ended(worker)

    def _ended(self, worker: _Worker) -> None:
        status: Optional[int]
        try:
            status = os.waitpid(worker.pid, 0)[1]
        except ChildProcessError:
            status = None  # the program has awaited it itself
        size = -1
        while size != len(worker.said):
            size = len(worker.said)
            worker.read()
        if worker.said == _WELL or self._killed:
            return
        if worker.said == _STOPPED:
            error: BaseException = _Stopped()  # whoever has stopped it is still to come
        else:
            error = ParallelException(f"worker {worker.rank} (pid {worker.pid}) {_how(status)} in a parallel region")
            if worker.said[:1] == _FAILED:
                try:
                    error = _raisable(_results.failure(worker.said[1:])[3])
                except BaseException as unreadable:  # it was killed while it said this, or the exception is none to be read here
                    error.__cause__ = unreadable
        if self._failure is None or isinstance(self._failure, _Stopped):
            self._failure = error
        if not isinstance(error, _Stopped):
            self.failed = True
            self._end_all()
            try:
                self._barrier.abort()
            except Exception:
                pass  # it is broken already

    def _end_all(self) -> None:
        self._killed = True
        for worker in self._workers:
            try:
                signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill(self) -> None:
        """Ends them all."""
        self._end_all()
        if self._thread is None:
            self._watch()
        self.wait()

    def wait(self) -> Optional[BaseException]:
        """Waits for their end, and says what has failed."""
        if self._thread is not None:
            self._thread.join()
        # Not before: the number of a closed descriptor may be that of another process's by the time of a kill.
        while self._workers:
            worker = self._workers.pop()
            os.close(worker.pipe)
            os.close(worker.pidfd)
        return self._failure


def _how(status: Optional[int]) -> str:
    if status is None:
        return "has ended in an unknown way"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = f" ({signal.Signals(number).name})"
        except ValueError:
            name = ""
        return f"was killed by signal {number}{name}"
    return f"has left with exit code {os.WEXITSTATUS(status)}"


def _raisable(error: BaseException) -> BaseException:
    """What the master raises for what a worker has raised. What ends a worker does not end the master."""
    if isinstance(error, Exception) and not isinstance(error, _results.RemoteError):
        return error
    name = "" if isinstance(error, _results.RemoteError) else f"{type(error).__name__}: "
    other = ParallelException(f"{name}{error}")
    other.__cause__ = error.__cause__
    return other


def _fork() -> int:
    watchers = sum(thread.name == _WATCHER for thread in threading.enumerate())
    if watchers == 0 or threading.active_count() > watchers + 1:
        return os.fork()
    # Of regions around this one; they hold no lock while they wait.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
