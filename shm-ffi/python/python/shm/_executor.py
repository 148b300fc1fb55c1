"""`Executor`: the standard library's interface of submitted calls, each in a forked process of its own.

A call inherits everything at the moment it begins: nothing is pickled on the way in. That costs a fork for each call (1 to 3 ms); `map` makes few calls out of many
items. Threads of this process wait for the calls, as many as there are workers; they end when nothing is left to do. `MapReduce` submits in the same way.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import itertools
import os
import threading
import time
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Set, Tuple, TypeVar

from . import _results, _shm
from ._workers import count, cpu_count, positive

_T = TypeVar("_T")


class _Task:
    __slots__ = ("future", "function", "args", "keywords")

    def __init__(self, future: Any, function: Callable[..., Any], args: Tuple[Any, ...], keywords: Any) -> None:
        self.future, self.function, self.args, self.keywords = future, function, args, keywords


class Serving(threading.Thread):
    """A thread that waits for calls. Of itself it holds no lock that a forked process needs."""


class Executor(concurrent.futures.Executor):
    """Calls functions in forked processes, so many at a time; a `concurrent.futures.Executor`.

    workers    how many at a time; None: as many as the environment grants (`cpu_count`)

    Closures and lambdas are as good as other functions. A process that is killed or exits gives its future a `WorkerDiedError` (a
    `concurrent.futures.BrokenExecutor`), and concerns no other: the executor can be used as before. When this process ends, what was
    submitted is done first, unless it was cancelled; when it is killed, its workers are too.
    """

    def __init__(self, workers: Optional[int] = None) -> None:
        self._workers = None if workers is None else count("workers", workers)
        if self._workers == 0:
            raise ValueError("an executor needs a worker at least")
        self._begin()

    def _begin(self) -> None:
        """What belongs to this process alone: not to a forked copy, nor to one that was sent."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._tasks: Deque[_Task] = collections.deque()
        self._threads: Set[Serving] = set()
        self._calls: Set[Any] = set()
        self._kills = 0  # how often all calls were killed
        self._is_shut = False

    @property
    def workers(self) -> int:
        """How many work at a time."""
        return cpu_count() if self._workers is None else self._workers

    def _check_open(self, verb: str) -> None:
        if os.getpid() != self._pid:
            self._begin()  # a forked copy: the threads, and what they do, are the parent's
        if self._is_shut:
            raise RuntimeError(f"cannot {verb}: {self!r}")

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[_T]":
        """Has a function called, and returns the future of its result. RuntimeError after `shutdown`."""
        self._check_open("submit")
        future: "concurrent.futures.Future[_T]" = concurrent.futures.Future()
        with self._lock:
            self._check_open("submit")  # again: another thread may have shut it
            self._tasks.append(_Task(future, fn, args, kwargs))
            if len(self._threads) < self.workers:
                thread = Serving(target=self._serve, name=f"shm.Executor-{len(self._threads)}")
                self._threads.add(thread)
                thread.start()
        return future

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: Optional[int] = None,
        buffersize: Optional[int] = None,
    ) -> Iterator[_T]:
        """As the built-in map: an iterator over the results in input order. What the function raises is raised when its turn comes.

        chunksize   how many items make a call; None: so many that each worker has four calls
        timeout     seconds from now after which the iterator raises TimeoutError
        buffersize  so many calls at most are under way or wait to be taken out; None: all items are collected now
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if buffersize is not None:
            positive("buffersize", buffersize)
        items: Iterable[Tuple[Any, ...]] = zip(*iterables)
        if chunksize is None:
            if buffersize is None:
                items = list(items)
                chunksize = max(1, -(-len(items) // (4 * self.workers)))
            else:
                chunksize = 1
        else:
            positive("chunksize", chunksize)
        chunks = _chunks(iter(items), chunksize)
        futures: Deque[Any] = collections.deque()
        for first, chunk in itertools.islice(chunks, buffersize):
            futures.append(self.submit(_call_chunk, fn, first, chunk))
        return self._results(fn, chunks, futures, deadline)

    def _results(self, fn: Callable[..., _T], chunks: Any, futures: Deque[Any], deadline: Optional[float]) -> Iterator[_T]:
        try:
            while futures:
                left = None if deadline is None else deadline - time.monotonic()
                results, failure = futures[0].result(left)
                futures.popleft()
                for first, chunk in itertools.islice(chunks, 1):
                    futures.append(self.submit(_call_chunk, fn, first, chunk))
                yield from results
                if failure is not None:
                    raise _results.failure(failure)[3]
        finally:
            for future in futures:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accepts nothing more, and waits for what was submitted; with `cancel_futures` only for what has begun."""
        if os.getpid() != self._pid:
            self._begin()
        with self._lock:
            self._is_shut = True
            cancelled = list(self._tasks) if cancel_futures else []
            if cancel_futures:
                self._tasks.clear()
            threads = list(self._threads)
        for task in cancelled:
            if task.future.cancel():
                task.future.set_running_or_notify_cancel()
        if wait:
            for thread in threads:
                thread.join()

    def kill_workers(self) -> None:
        """Kills the processes of all calls that have begun; their futures get a `WorkerDiedError`."""
        if os.getpid() != self._pid:
            self._begin()
        with self._lock:
            self._kills += 1
            calls = list(self._calls)
        for call in calls:
            call.kill()

    terminate_workers = kill_workers

    def _serve(self) -> None:
        """What each thread does: one task after the other."""
        while True:
            with self._lock:
                if not self._tasks:
                    self._threads.discard(threading.current_thread())
                    return
                task, kills = self._tasks.popleft(), self._kills
            if task.future.set_running_or_notify_cancel():
                self._run(task, kills)
            del task  # what it holds is not kept while this thread waits for another

    def _run(self, task: _Task, kills: int) -> None:
        try:
            call = _shm.Call(task.function, task.args, task.keywords)
        except BaseException as error:  # the system refuses another process
            task.future.set_exception(error)
            return
        with self._lock:
            self._calls.add(call)
            is_killed = self._kills != kills  # while it was on its way
        try:
            if is_killed:
                call.kill()
            outcome = call.wait(None)
            assert outcome is not None
            good, value = outcome
        except BaseException as error:
            good, value = False, error
        finally:
            with self._lock:
                self._calls.discard(call)
        if good:
            task.future.set_result(value)
        else:
            task.future.set_exception(value)

    def __getstate__(self) -> Dict[str, Any]:
        """What a copy in another process begins with: the options."""
        own = ("_pid", "_lock", "_tasks", "_threads", "_calls", "_kills", "_is_shut")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __repr__(self) -> str:
        return f"<shm.{type(self).__name__} with {self.workers} workers{', shut down' if self._is_shut else ''}>"


def _chunks(items: Iterator[Tuple[Any, ...]], size: int) -> Iterator[Tuple[int, List[Tuple[Any, ...]]]]:
    """Items in lists, each with the number of its first."""
    numbers = itertools.count(0, size)
    lists = iter(functools.partial(lambda: list(itertools.islice(items, size))), [])
    return zip(numbers, lists)


def _call_chunk(function: Callable[..., Any], first: int, chunk: List[Tuple[Any, ...]]) -> Tuple[List[Any], Optional[bytes]]:
    """In the worker: the results up to the first that fails, and why that does."""
    results: List[Any] = []
    for index, args in enumerate(chunk, first):
        try:
            results.append(function(*args))
        except Exception as error:
            return results, _results.pack_failure(error, index, 0, False)
    return results, None
