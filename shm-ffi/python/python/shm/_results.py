"""How results and exceptions of forked workers become bytes and come back, and what a worker does first and last. The native module calls this.

Results are pickled with protocol 5, each as soon as it is there. What an array in them consists of travels in one of these ways: shared memory that the
master has mapped too is named; other shared memory is sent with a lease, which keeps it when the worker ends; private memory is copied once,
into a store that master and workers share, where the master's array then lies; small arrays are pickled as they are.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import signal
import sys
import traceback
from concurrent.futures import BrokenExecutor
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from . import _reference, _shm
from ._array import SharedArray
from ._errors import Error

#: Buffers of so many bytes and more go into the store.
_LARGE = 64 << 10

_Extent = Tuple[int, int]


class WorkerDiedError(Error, BrokenExecutor):
    """A worker was killed, or left by itself, in the middle of its work.

    `rank`, `pid`: who; `item`: what it was at (None: nothing); `signal`, `exitcode`: how it ended, as far as that is known; `finished`: the results that
    there were by then, by their items' numbers.
    """

    kind = "Died"
    rank: Optional[int] = None
    pid: Optional[int] = None
    item: Optional[int] = None
    signal: Optional[int] = None
    exitcode: Optional[int] = None
    finished: Dict[int, Any] = {}


class ResultError(Error, TypeError):
    """A result cannot be pickled, or what it was pickled to cannot be read back."""

    kind = "Encode"


class RemoteError(Error, RuntimeError):
    """What a function raised in a worker and what cannot be pickled, as text; `type_name` is its class."""

    kind = "Panicked"
    type_name: str = ""


class RemoteTraceback(Exception):
    """The traceback that an exception had in the worker, as text: the ``__cause__`` of what is raised in the master. `rank`, `pid`, `item`: where."""

    def __init__(self, text: str, rank: int = 0, pid: Optional[int] = None, item: Optional[int] = None) -> None:
        super().__init__(text)
        self.text, self.rank, self.pid, self.item = text, rank, pid, item

    def __reduce__(self) -> Tuple[Any, ...]:
        return RemoteTraceback, (self.text, self.rank, self.pid, self.item)

    def __str__(self) -> str:
        where = "" if self.item is None else f" at item {self.item}"
        return f'in worker {self.rank} (pid {self.pid}){where}\n"""\n{self.text}"""'


class Failure:
    """Stands where the result of an item would be that has failed: `item`, `rank`, `pid` (None: in this process), `exception`. It is false."""

    __slots__ = ("item", "rank", "pid", "exception")

    def __init__(self, item: int, rank: Optional[int], pid: Optional[int], exception: BaseException) -> None:
        self.item, self.rank, self.pid, self.exception = item, rank, pid, exception

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<shm.Failure of item {self.item}: {self.exception!r}>"


def spread(func: Callable[..., Any]) -> Callable[[Any], Any]:
    """The function of one item whose parts are its arguments."""
    return lambda item: func(*item)


def spread_tuples(reduce: Callable[..., Any]) -> Callable[[Any], Any]:
    """The function of one result; a tuple's parts are its arguments."""
    return lambda result: reduce(*result) if isinstance(result, tuple) else reduce(result)


# In a worker.


def begin(local: Any, rank: int, workers: int) -> None:
    """The first that happens in a worker."""
    # The parent's garbage is the parent's: its finalizers shall not run here as well.
    gc.freeze()
    try:
        signal.set_wakeup_fd(-1)  # the other end is the parent's: an event loop there would take this process's signals for its own
    except ValueError:
        pass  # this is no interpreter that handles signals
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        sys.modules["multiprocessing.process"]._children = set()  # type: ignore[attr-defined]
        util._finalizer_registry.clear()
        util._run_after_forkers()
    if local is not None:
        local.rank, local.workers = rank, workers


def end() -> None:
    """The last that happens in a worker."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        try:
            util._exit_function()  # what the function has started: pools, queues
        except Exception:
            traceback.print_exc()
    flush()


def flush() -> None:
    """Writes out what print() has buffered."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is none, nobody reads it, or it is closed


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, store: Any, extents: List[_Extent]) -> None:
        super().__init__(file, 5, buffer_callback=self._keep)
        self._store, self._extents = store, extents

    def _keep(self, buffer: pickle.PickleBuffer) -> bool:
        """False if the bytes are in the store now, true if they are to be pickled."""
        raw = buffer.raw()
        if raw.nbytes < _LARGE:
            return True
        extent = self._store.put(np.frombuffer(raw, np.uint8))
        if extent is None:
            return True  # there is no room: the results' own channel waits for it
        self._extents.append(extent)
        return False

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is not np.ndarray and not issubclass(kind, SharedArray):
            return NotImplemented
        memory = _shm.memory_of(obj)
        if memory is None or memory.access == "copy-on-write":
            array = obj.view(np.ndarray)
            if array.nbytes >= _LARGE and not (array.flags.c_contiguous or array.flags.f_contiguous):
                array = array.copy(order="K")
            return array.__reduce_ex__(5)
        interface = obj.__array_interface__
        view = (obj.dtype, obj.shape, obj.strides, interface["data"][0] - memory.mapping, obj.flags.writeable)
        return _reference._rebuild, (kind, self._refer(memory), view)

    def _refer(self, memory: Any) -> Tuple[Any, ...]:
        if not _shm.is_inherited(memory):
            return _reference.refer(memory)
        # The master has it mapped as long as the map lasts: there is nothing to keep.
        return memory.identity, memory.is_raw, memory.name, memory.access, b"", os.getpid(), memory.fileno()


class Packer:
    """Pickles one result after the other, each at once: a function may return the same array again and again, with other contents."""

    def __init__(self, store: Any) -> None:
        self._file, self._extents, self._store = io.BytesIO(), [], store  # type: ignore[var-annotated]
        self._pickler = _Pickler(self._file, store, self._extents)

    def add(self, result: Any) -> int:
        """Adds a result, and returns how many bytes there are now. If it cannot be pickled, nothing has changed."""
        start, extents = self._file.tell(), len(self._extents)
        try:
            self._pickler.dump(result)
        except BaseException:
            self._file.seek(start)
            self._file.truncate()
            for extent in self._extents[extents:]:
                self._store.drop(extent)
            del self._extents[extents:]
            raise
        finally:
            self._pickler.clear_memo()
        return self._file.tell()

    def take(self) -> Tuple[bytes, List[_Extent]]:
        """The results so far as bytes, and where in the store the rest of them is. Then there are none."""
        data, extents = self._file.getvalue(), self._extents[:]
        self._file.seek(0)
        self._file.truncate()
        self._extents.clear()
        return data, extents


def pack_failure(error: BaseException, item: Optional[int], rank: int, unpicklable: bool) -> bytes:
    """An exception as bytes; that a result cannot be pickled if `unpicklable`."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    name, said = _name_of(error), _text_of(error)
    if unpicklable:
        error = ResultError(f"the result of item {item} cannot be pickled: {name}: {said}")
    whole: Optional[bytes]
    try:
        whole = pickle.dumps(error, 5)
        pickle.loads(whole)  # some can be written and not read
    except (Exception, SystemExit):
        whole = None
    return pickle.dumps((whole, name, said, text, item, rank, os.getpid()), 5)


def _name_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"(its text cannot be had: {type(second).__name__})"


# In the master.


def unpack(data: bytes, extents: List[_Extent], store: Any, count: int) -> List[Any]:
    """So many results that a `Packer` was given."""
    file, buffers = io.BytesIO(data), (store.take(extent) for extent in extents)
    try:
        return [pickle.Unpickler(file, buffers=buffers).load() for _ in range(count)]
    except Exception as error:
        raise ResultError(f"a result cannot be read back: {_name_of(error)}: {_text_of(error)}") from error


def failure(data: bytes) -> Tuple[int, int, int, BaseException]:
    """Item, rank, process id and exception that `pack_failure` was given."""
    whole, name, said, text, item, rank, pid = pickle.loads(data)
    error: Any = None
    try:
        error = pickle.loads(whole) if whole is not None else None
    except (Exception, SystemExit):
        pass  # it can be read in the worker and not here
    if not isinstance(error, BaseException):
        error = RemoteError(f"{name}: {said}")
        error.type_name = name
    error.__cause__ = RemoteTraceback(text, rank, pid, item)
    return item, rank, pid, error


def died(
    text: str,
    rank: Optional[int],
    pid: Optional[int],
    item: Optional[int],
    signal: Optional[int],
    exitcode: Optional[int],
) -> WorkerDiedError:
    """The exception for a worker that has died."""
    error = WorkerDiedError(text)
    error.rank, error.pid, error.item, error.signal, error.exitcode = rank, pid, item, signal, exitcode
    return error


def failed(item: int, rank: Optional[int], pid: Optional[int], error: BaseException) -> Failure:
    """What stands in the place of a result that is missing."""
    return Failure(item, rank, pid, error)


def collect(job: Any, reduce: Optional[Callable[[Any], Any]], progress: Optional[Callable[[int], Any]]) -> List[Any]:
    """Runs a job."""
    results: List[Any] = [None] * job.items
    job.run(results, reduce, progress)
    return results
