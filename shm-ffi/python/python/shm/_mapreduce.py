"""`MapReduce`: a function over many items, in forked processes that share memory with this one.

    with shm.MapReduce() as pool:

        def work(i):
            part = table[i : i + 1000].sum()
            with pool.critical:
                total[...] += part
            return i, part

        results = pool.map(work, range(0, len(table), 1000), reduce=lambda i, part: part)

Forking, sharing out, watching and ending the workers is `shm-pool`'s (the native module's `pool/`); here is what users see, what lies
around it in Python (the items, progress, serial maps), and how results and exceptions become bytes and come back (`_results.py`).
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Callable, Iterable, List, Optional, Sequence, Set, Tuple, Type, TypeVar, Union

from . import _results, _shm
from ._errors import TimedOutError
from ._executor import Executor, Serving
from ._results import Failure, RemoteError, RemoteTraceback, ResultError, WorkerDiedError
from ._workers import count, cpu_count, positive

__all__ = [
    "Background",
    "Failure",
    "MapReduce",
    "RemoteError",
    "RemoteTraceback",
    "ResultError",
    "WorkerDiedError",
    "background",
    "cpu_count",
]

_Schedule = Union[None, str, Tuple[str, int]]
_Progress = Union[bool, None, Callable[[int, int], object]]
_T = TypeVar("_T")


class Local:
    """What belongs to one worker: `rank` (from 0; 0 in the master too), `workers` (how many there are; 0 in the master), and whatever the
    function puts there. Each worker has its own copy, as it was in the master when the worker was forked."""

    rank: int = 0
    workers: int = 0

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this worker's local has no {name!r}: nothing was put there in this process")


class _Section:
    """A part of the function that workers enter one at a time: ``with pool.critical:``, ``with pool.ordered:``"""

    __slots__ = ("_pool", "_enter", "_leave")

    def __init__(self, pool: "MapReduce", enter: Callable[[int], None], leave: Callable[[int], None]) -> None:
        self._pool = pool
        self._enter = enter
        self._leave = leave

    def __enter__(self) -> None:
        if self._pool._serial_in != os.getpid():
            self._enter(id(self._pool))

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._pool._serial_in != os.getpid():
            self._leave(id(self._pool))


class MapTimedOutError(TimedOutError, concurrent.futures.TimeoutError):
    """A map was not done in its time. (Both of Python's classes of this name, which were two before 3.11.)"""


class MapReduce(Executor):
    """Forks workers that call a function for each of many items, and collects the results; a `concurrent.futures.Executor`.

    Workers are copies of this process, so functions, closures and items are inherited and never pickled; only results are. A worker sees
    the master's objects as they were at the fork; what it changes nobody else sees, except in shared arrays.

    workers      how many processes; None: as many as the environment grants (`cpu_count`); 0: none, everything happens in this process
    schedule     how items are shared out: "guided" (default), "dynamic", "static", or a pair with the number of items in a chunk,
                 ("dynamic", 10); "dynamic" is the default for maps with ordered sections
    retries      how often an item is tried again that raises an exception (in the same worker) or at which a worker dies (by a fresh one)
    skip_failed  go on without the items that fail after all tries: their results are `Failure` objects, and reduce is not called for them
    serial_below maps of fewer items happen in this process
    ordered      whether the functions use ``pool.ordered``; None: look whether the name occurs in the function's code
    progress     True for a bar (tqdm has to be installed), or a function that is called with the number of finished items and of all
    threads_ok   do not warn when this process has several threads: they hold no lock that the function needs

    In a worker neither the parent's atexit functions nor finalizers of the parent's garbage run; standard output is flushed before the fork and at
    the worker's end. When the calling thread or its process dies, the kernel kills the workers.

    The workers of a map live as long as it does. `submit` makes one call in a process of its own, as `Executor` does, and `workers` of these run at a time;
    `shutdown` and the end of a ``with`` block wait for them, and nothing begins after that (RuntimeError). Retries, sections and the rest of the options are for
    maps. A forked copy, in a worker, goes on by itself; so does a pickled one.
    """

    def __init__(
        self,
        workers: Optional[int] = None,
        *,
        schedule: _Schedule = None,
        retries: int = 0,
        skip_failed: bool = False,
        serial_below: int = 0,
        ordered: Optional[bool] = None,
        progress: _Progress = None,
        threads_ok: bool = False,
    ) -> None:
        if workers is not None:
            workers = count("workers", workers)
        self._workers = workers
        self._begin()
        self._schedule = _checked_schedule(schedule)
        self._retries = count("retries", retries)
        self._skip_failed = bool(skip_failed)
        self._serial_below = count("serial_below", serial_below)
        self._is_ordered = ordered
        self._progress = progress
        self._threads_ok = threads_ok
        self.critical = _Section(self, _shm.enter_critical, _shm.leave_critical)  # one worker of the map at a time
        self.ordered = _Section(self, _shm.enter_ordered, _shm.leave_ordered)  # the items one after the other, in input order
        self.local = Local()
        self._serial_in: Optional[int] = None  # the process in which a map without workers is at work

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[_T]":
        """Has a function called in a process of its own, and returns the future of its result. RuntimeError after `shutdown`.

        Without workers it is called here, and the future is done.
        """
        if self.workers > 0:
            return super().submit(fn, *args, **kwargs)
        self._check_open("submit")
        future: "concurrent.futures.Future[_T]" = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(  # type: ignore[override]  # an executor's map returns an iterator; this one has the whole list by then
        self,
        func: Callable[..., Any],
        /,
        *iterables: Any,
        reduce: Optional[Callable[..., Any]] = None,
        star: bool = False,
        minlength: int = 0,
        ordered: Optional[bool] = None,
        timeout: Optional[float] = None,
        chunksize: Optional[int] = None,
    ) -> List[Any]:
        """Calls a function for each item in the workers, and returns the list of the results in the order of the items.

        func       called with an item; with `star`, with the parts of an item as arguments; with several iterables, with an item of each
        iterables  what can be indexed and has a length is inherited as it is; anything else is collected into a list first. Of several, the shortest
                   ends the map
        reduce     called in this process, in this thread, with each result as it arrives, in any order; tuples become its arguments. What it
                   returns takes the result's place
        minlength  if there are fewer items, everything happens in this process
        ordered    as in the constructor, for this map
        timeout    seconds after which the map is ended with a TimeoutError (here and now, looked at ten times a second; between two items without workers)
        chunksize  so many items are handed out at a time; None: as the pool's schedule says

        After one sequence `reduce`, `star` and `minlength` may come without their names, as for sharedmem: what can be called, and None, is no iterable.

        An executor's `map` makes an iterator that is still being filled; this one returns when all is done, or raises what the first failure was.

        What the function raises is raised here, with the worker's traceback as its ``__cause__`` (`RemoteTraceback`). What cannot be pickled
        becomes a `RemoteError` (exceptions) or a `ResultError` (results). A worker that is killed or exits: `WorkerDiedError`. Ctrl-C ends the workers.
        In all these cases the workers are gone when it is raised.
        """
        self._check_open("map")
        _check_callable("func", func)
        if len(iterables) > 1 and (iterables[1] is None or callable(iterables[1])):
            iterables, (reduce, star, minlength) = iterables[:1], _unnamed(iterables[1:], (reduce, star, minlength))
        if reduce is not None:
            _check_callable("reduce", reduce)
        if chunksize is not None:
            chunksize = positive("chunksize", chunksize)
        items, star = _items(iterables, star)
        total = len(items)
        bar = _Bar.make(self._progress, total)
        if timeout is not None:
            bar = bar.limited(timeout, total)
        try:
            if total == 0 or self.workers == 0 or total < max(self._serial_below, minlength):
                return self._serial(func, items, reduce, star, bar)
            return self._forked(func, items, reduce, star, bar, ordered, chunksize)
        finally:
            bar.close()

    def background(self, func: Callable[..., Any], *args: Any, **keywords: Any) -> "Background":
        """Calls a function in a forked process, and returns at once with a handle to await its result by."""
        self._check_open("begin a call")
        _check_callable("func", func)
        if self.workers == 0:
            return Background._done(func, args, keywords)
        self._warn_of_threads()
        return Background._fork(func, args, keywords)

    def _serial(
        self,
        func: Callable[..., Any],
        items: Sequence[Any],
        reduce: Optional[Callable[..., Any]],
        star: bool,
        bar: "_Bar",
    ) -> List[Any]:
        call = _results.spread(func) if star else func
        take = None if reduce is None else _results.spread_tuples(reduce)
        before, self._serial_in = self._serial_in, os.getpid()
        rank, workers = self.local.rank, self.local.workers
        self.local.rank = self.local.workers = 0
        results = []
        try:
            for index in range(len(items)):
                result = self._tried(call, items, index)
                results.append(result if take is None or isinstance(result, Failure) else take(result))
                bar(index + 1)
        finally:
            self._serial_in = before
            self.local.rank, self.local.workers = rank, workers
        return results

    def _tried(self, call: Callable[[Any], Any], items: Sequence[Any], index: int) -> Any:
        for tries_left in range(self._retries, -1, -1):
            try:
                return call(items[index])
            except Exception as error:
                if tries_left == 0 and not self._skip_failed:
                    raise
                last = error
        return Failure(index, 0, None, last)

    def _forked(
        self,
        func: Callable[..., Any],
        items: Sequence[Any],
        reduce: Optional[Callable[..., Any]],
        star: bool,
        bar: "_Bar",
        ordered: Optional[bool],
        chunksize: Optional[int],
    ) -> List[Any]:
        if ordered is None:
            ordered = self._is_ordered
        if ordered is None:
            ordered = _mentions(func, "ordered")
        self._warn_of_threads()
        kind, chunk = self._schedule or ("dynamic" if ordered or chunksize is not None else "guided", 1)
        if chunksize is not None:
            chunk = chunksize
        return _results.collect(
            _shm.Job(
                id(self),
                self.local,
                func,
                items,
                len(items),
                star,
                self.workers,
                kind,
                chunk,
                self._retries,
                self._skip_failed,
                ordered,
            ),
            None if reduce is None else _results.spread_tuples(reduce),
            bar.function,
        )

    def _warn_of_threads(self) -> None:
        if self._threads_ok or threading.active_count() < 2:
            return
        here = threading.current_thread()
        others = [each.name for each in threading.enumerate() if each is not here and not isinstance(each, Serving)]
        if not others:
            return
        warnings.warn(
            f"a process with {len(others) + 1} threads is about to be forked (the others are {', '.join(others[:5])}): a lock that one of them holds now is "
            "held in the workers for ever; map before they start, or say threads_ok=True if they hold none that the function needs",
            RuntimeWarning,
            stacklevel=4,
        )


class Background:
    """A call in a forked process; got from `background`. The process dies with this one, and when its handle is dropped."""

    def __init__(self) -> None:
        raise TypeError("a Background is got from shm.background or MapReduce.background")

    _call: Any
    _outcome: Optional[Tuple[bool, Any]]

    @classmethod
    def _fork(cls, func: Callable[..., Any], args: Tuple[Any, ...], keywords: Any) -> "Background":
        self = cls.__new__(cls)
        self._outcome = None
        self._call = _shm.Call(func, args, keywords)
        return self

    @classmethod
    def _done(cls, func: Callable[..., Any], args: Tuple[Any, ...], keywords: Any) -> "Background":
        self = cls.__new__(cls)
        self._call = None
        try:
            self._outcome = (True, func(*args, **keywords))
        except Exception as error:
            self._outcome = (False, error)
        return self

    @property
    def pid(self) -> Optional[int]:
        """The process id, or what it was; None if the call was made in this process."""
        return None if self._call is None else self._call.pid

    def wait(self, timeout: Optional[float] = None) -> Any:
        """Waits until the call has ended, and returns what it returned or raises what it raised; any number of times, in any threads. TimeoutError.

        Other threads run meanwhile, and Ctrl-C ends the wait."""
        if not self._await(timeout):
            raise TimeoutError(f"the call in process {self.pid} has not ended in {timeout} seconds")
        assert self._outcome is not None
        good, value = self._outcome
        if good:
            return value
        raise value

    result = wait

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._await(0)

    def kill(self) -> None:
        """Kills the process, unless it has ended; `wait` says then that it died."""
        if self._call is not None and self._outcome is None:
            self._call.kill()

    def _await(self, timeout: Optional[float]) -> bool:
        if self._outcome is None:
            outcome = self._call.wait(timeout)
            if outcome is None:
                return False
            self._outcome = outcome
        return True

    def __repr__(self) -> str:
        return f"<shm.Background in process {self.pid}, {'ended' if self._outcome is not None else 'running'}>"


def background(func: Callable[..., Any], *args: Any, **keywords: Any) -> Background:
    """Calls a function in a forked process, and returns at once with a handle to await its result by."""
    return MapReduce().background(func, *args, **keywords)


class _Bar:
    """What is told of progress."""

    def __init__(self, function: Optional[Callable[[int], object]] = None, close: Callable[[], object] = int) -> None:
        self.function, self.close = function, close

    def __call__(self, done: int) -> None:
        if self.function is not None:
            self.function(done)

    def limited(self, timeout: float, total: int) -> "_Bar":
        """The same, which raises when it is told of progress too late."""
        end = time.monotonic() + timeout

        def function(done: int) -> None:
            self(done)
            if done < total and time.monotonic() >= end:
                raise MapTimedOutError(f"{done} of {total} items were done in {timeout} seconds; the map was given up, and its workers are gone")

        return _Bar(function, self.close)

    @classmethod
    def make(cls, progress: _Progress, total: int) -> "_Bar":
        if not progress:
            return cls()
        if callable(progress):
            tell = progress
            return cls(lambda done: tell(done, total))
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("progress=True needs the package tqdm (pip install tqdm); a function does as well") from error
        bar = tqdm(total=total)

        def update(done: int) -> None:
            bar.update(done - bar.n)

        return cls(update, bar.close)


def _check_callable(what: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"{what} has to be something that can be called, not {function!r}")


def _checked_schedule(schedule: _Schedule) -> Optional[Tuple[str, int]]:
    if schedule is None:
        return None
    kind, chunk = schedule if isinstance(schedule, tuple) and len(schedule) == 2 else (schedule, None)
    if kind not in ("static", "dynamic", "guided"):
        raise ValueError(f"a schedule is 'static', 'dynamic', 'guided' or a pair of one of these and a number of items, not {schedule!r}")
    if chunk is None:
        return str(kind), 0 if kind == "static" else 1  # 0: equal shares
    number = count("the schedule's number of items", chunk)
    if number == 0:
        raise ValueError(f"the schedule {schedule!r} has chunks of 0 items, which never come to an end")
    return str(kind), number


def _unnamed(given: Tuple[Any, ...], named: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """`reduce`, `star` and `minlength` of a map, some of which came without their names."""
    if len(given) > len(named):
        raise TypeError(f"map takes a function, a sequence, reduce, star and minlength without their names, and {len(given) - len(named)} more came")
    for name, value, default in zip(("reduce", "star", "minlength"), named[: len(given)], (None, False, 0)):
        if value is not default:
            raise TypeError(f"map got two values for {name}")
    return given + named[len(given) :]


def _items(iterables: Tuple[Any, ...], star: bool) -> Tuple[Sequence[Any], bool]:
    """The items of a map, and whether their parts are arguments."""
    if len(iterables) == 1:
        return _indexable(iterables[0]), star
    if not iterables:
        raise TypeError("map needs something to go through")
    if star:
        raise TypeError("star=True takes the arguments out of the items of one sequence; several iterables have one argument each already")
    return list(zip(*iterables)), True


def _indexable(sequence: Iterable[Any]) -> Sequence[Any]:
    """The items as something that has a length and can be indexed; a mapping is not."""
    kind = type(sequence)
    if kind in (list, tuple, range):
        return sequence  # type: ignore[return-value]
    if hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not hasattr(kind, "keys"):
        return sequence  # type: ignore[return-value]
    return list(sequence)


def _mentions(func: Any, name: str, depth: int = 3, seen: Optional[Set[int]] = None) -> bool:
    """Whether a name occurs in a function's code, or in that of functions that it names or closes over."""
    seen = set() if seen is None else seen
    func = getattr(func, "__func__", getattr(func, "func", func))  # methods; functools.partial
    code = getattr(func, "__code__", None)
    if code is None:
        call = getattr(type(func), "__call__", None)
        return hasattr(call, "__code__") and _mentions(call, name, depth, seen)
    if id(code) in seen:
        return False
    seen.add(id(code))
    names = _names(code)
    if name in names:
        return True
    inner = [func.__globals__.get(used) for used in names] if depth > 0 else []
    for cell in func.__closure__ or () if depth > 0 else ():
        try:
            inner.append(cell.cell_contents)
        except ValueError:
            pass  # empty
    return any(hasattr(one, "__code__") and _mentions(one, name, depth - 1, seen) for one in inner)


def _names(code: Any) -> Set[str]:
    """The names of globals and attributes in code and in what is defined in it."""
    return set(code.co_names).union(*(_names(const) for const in code.co_consts if hasattr(const, "co_names")))
