"""`MapReduce` and `background`, with the original's words, over `shm.MapReduce` and over threads."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Callable, Iterable, List, Optional, Type

from ... import _mapreduce
from ._environment import cpu_count, get_debug
from ._exceptions import of_a_worker, wrapped
from ._threads import Threads, failure


class ProcessBackend:
    """Workers are forked processes."""


class ThreadBackend:
    """Workers are threads of this process. For functions that may not be forked, or that leave Python to others most of the time."""


class _Critical:
    """One worker at a time: ``with pool.critical:``, or `acquire` and `release`."""

    def __init__(self, section: Any) -> None:
        self._section = section

    def acquire(self) -> bool:
        """Waits for it, and takes it."""
        self._section.__enter__()
        return True

    def release(self) -> None:
        """Gives it back."""
        self._section.__exit__(None, None, None)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._section.__exit__(kind, value, traceback)


class MapReduce:
    """Workers that call a function for each of many items. Use it in a with statement.

    backend      ProcessBackend or ThreadBackend
    np           how many workers; None: `cpu_count()`; 0: none, everything happens in this process
    np, local.rank          how many workers there are, and which of them runs this
    critical, ordered       sections of the function: one worker at a time; one item after the other, in the order of the sequence
    """

    def __init__(self, backend: Any = ProcessBackend, np: Optional[int] = None) -> None:
        if not (isinstance(backend, type) and issubclass(backend, (ProcessBackend, ThreadBackend))):
            raise TypeError(f"the backend is ProcessBackend or ThreadBackend, not {backend!r}")
        self.backend = backend
        self._processes = _mapreduce.MapReduce(cpu_count() if np is None else np)
        self.np = self._processes.workers
        if issubclass(backend, ThreadBackend):
            self._threads: Optional[Threads] = Threads()
            self.critical: Any = self._threads.critical
            self.ordered: Any = self._threads.ordered
            self.local: Any = self._threads.local
        else:
            self._threads = None
            self.critical = _Critical(self._processes.critical)
            self.ordered = self._processes.ordered
            self.local = self._processes.local

    def __enter__(self) -> MapReduce:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        """Nothing is left to do: workers live as long as a map."""

    def map(
        self,
        func: Callable[..., Any],
        sequence: Iterable[Any],
        reduce: Optional[Callable[..., Any]] = None,
        star: bool = False,
        minlength: int = 0,
    ) -> List[Any]:
        """Calls a function for each item, and returns the results in the order of the items.

        func       called with an item; with `star`, with the parts of an item as arguments
        sequence   any iterable; what can be indexed and has a length is inherited by the workers as it is
        reduce     called here with each result as it arrives, in any order; tuples become its arguments. What it returns takes the result's place
        minlength  if there are fewer items, everything happens in this process

        WorkerException if a worker fails. Without workers, and in debug mode, exceptions are raised as they are; those of `reduce` always are.
        """
        items = _mapreduce._indexable(sequence)
        if get_debug() or self.np == 0 or len(items) < max(minlength, 1):
            if self._threads is not None:
                self._threads.local.rank = 0
            return self._processes.map(func, items, reduce=reduce, star=star, minlength=len(items) + 1)
        if self._threads is not None:
            return self._threads.map(func, items, reduce, star, min(self.np, len(items)))
        own: List[BaseException] = []

        def noting(*result: Any) -> Any:
            try:
                return reduce(*result)  # type: ignore[misc]
            except BaseException as error:
                own.append(error)
                raise

        try:
            # The original's functions may enter the ordered section whenever they like: nobody has to say it before.
            return self._processes.map(func, items, reduce=None if reduce is None else noting, star=star, ordered=True)
        except BaseException as error:
            if not of_a_worker(error) or any(error is each for each in own):
                raise
            failed = error
        raise wrapped(failed) from failed

    def __repr__(self) -> str:
        return f"<sharedmem.MapReduce: {self.np} workers, {self.backend.__name__}>"


def MapReduceByThread(np: Optional[int] = None) -> MapReduce:
    """A MapReduce whose workers are threads."""
    return MapReduce(ThreadBackend, np)


class background:
    """Calls a function in a process of its own (or in a thread: ``backend=ThreadBackend``), while this one goes on. `wait` has the result."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        backend = kwargs.pop("backend", ProcessBackend)
        if not (isinstance(backend, type) and issubclass(backend, (ProcessBackend, ThreadBackend))):
            raise TypeError(f"the backend is ProcessBackend or ThreadBackend, not {backend!r}")
        if issubclass(backend, ThreadBackend):
            self._call: Any = _ThreadCall(function, args, kwargs)
        else:
            self._call = _mapreduce.background(function, *args, **kwargs)

    def wait(self) -> Any:
        """Waits for the end of the call and returns its result, any number of times. WorkerException if it raised something, or if its process died."""
        try:
            return self._call.wait()
        except BaseException as error:
            if not of_a_worker(error):
                raise
            failed = error
        raise wrapped(failed) from failed


class _ThreadCall:
    """A call in a thread."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._result: Any = None
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, args=(function, args, kwargs), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            self._result = function(*args, **kwargs)
        except BaseException as error:
            self._error = failure(error, 0, None)

    def wait(self) -> Any:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result
