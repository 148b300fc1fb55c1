"""A map over threads, with the sections and the failures of the one over processes."""

from __future__ import annotations

import itertools
import os
import queue
import threading
import traceback
from types import TracebackType
from typing import Any, Callable, List, Optional, Sequence, Set, Type

from ..._results import RemoteTraceback, spread, spread_tuples
from ._exceptions import StopProcessGroup, wrapped


def failure(error: BaseException, rank: int, item: Optional[int]) -> BaseException:
    """An exception of a thread, with its traceback as that of a worker."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    error.__cause__ = RemoteTraceback(text, rank, os.getpid(), item)
    return error


class Turns:
    """The ordered section: each item's turn comes when those of all items before it are over, or those items are done without one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._here = threading.local()  # .item: what this thread is at
        self.reset()

    def reset(self) -> None:
        """Before a map."""
        self._next = 0
        self._over: Set[int] = set()
        self._stopped = False

    def stop(self) -> None:
        """No turn will come any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def begin(self, item: int) -> None:
        """This thread is at an item now."""
        self._here.item = item

    def end(self, item: int) -> None:
        """An item's turn is over, or it is done without one."""
        with self._changed:
            if item >= self._next:
                self._over.add(item)
            while self._next in self._over:
                self._over.discard(self._next)
                self._next += 1
            self._changed.notify_all()

    def finish(self, item: int) -> None:
        """This thread is done with an item."""
        self._here.item = None
        self.end(item)

    def __enter__(self) -> Turns:
        item = getattr(self._here, "item", None)
        if item is not None:
            with self._changed:
                if item < self._next or item in self._over:
                    raise RuntimeError(f"the ordered section was entered twice at item {item}: its turn is over")
                self._changed.wait_for(lambda: self._next == item or self._stopped)
                if self._next != item:
                    raise StopProcessGroup
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        item = getattr(self._here, "item", None)
        if item is not None:
            self.end(item)


class Threads:
    """Workers that are threads: what belongs to them, and a map."""

    def __init__(self) -> None:
        self.critical = threading.Lock()
        self.ordered = Turns()
        self.local = threading.local()
        self._busy = threading.Lock()

    def map(
        self, func: Callable[..., Any], items: Sequence[Any], reduce: Optional[Callable[..., Any]], star: bool, workers: int
    ) -> List[Any]:
        """Calls a function for each item in so many threads, and reduces in this one."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("a map of this pool is at work already: nested maps over threads need a pool of their own")
        try:
            return self._map(spread(func) if star else func, items, reduce, workers)
        finally:
            self._busy.release()

    def _map(
        self, call: Callable[[Any], Any], items: Sequence[Any], reduce: Optional[Callable[..., Any]], workers: int
    ) -> List[Any]:
        self.ordered.reset()
        numbers = itertools.count()  # one step of it is not interrupted by another thread
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stop = threading.Event()

        def work(rank: int) -> None:
            self.local.rank = rank
            item = None
            try:
                while not stop.is_set():
                    item = next(numbers)
                    if item >= len(items):
                        break
                    self.ordered.begin(item)
                    result = call(items[item])
                    self.ordered.finish(item)
                    done.put((item, result))
            except BaseException as error:
                done.put((None, failure(error, rank, item)))

        threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(workers)]
        take: Callable[[Any], Any] = (lambda result: result) if reduce is None else spread_tuples(reduce)
        results: List[Any] = [None] * len(items)
        failed = None
        try:
            for thread in threads:
                thread.start()
            for _ in range(len(items)):
                item, result = done.get()
                if item is None:
                    failed = result
                    break
                results[item] = take(result)
        finally:
            # Threads cannot be ended from outside: they finish the item that they are at.
            stop.set()
            self.ordered.stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if failed is not None:
            raise wrapped(failed) from failed
        return results
