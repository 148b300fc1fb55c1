"""Locks, semaphores and the other primitives in shared memory, with the method names of the standard library.

Each is made anonymous by its class (`Lock()`), under a name (`Lock.create(name)`, `Lock.attach(name)`, `Lock.create_or_attach(name)`), or
beside an array in the array's own segment (`shm.create(..., beside={"lock": shm.Lock})`, `Lock.beside(array, "lock")`). They pickle as
references to (segment, entry), so they travel through queues and pools, and any process may use them. Waiting lets other threads run
and ends with Ctrl-C. The classes of the native module do the work; here is how they are made and found.
"""

from __future__ import annotations

import contextlib
import operator
import time
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple, Type, TypeVar, Union, cast

from . import _shm
from ._array import CreateOptions, _check_name, _memory, _options
from ._reference import follow, refer
from ._shm import Memory

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self, Unpack

_Planned = List[Tuple[str, str, Optional[int]]]
_T = TypeVar("_T")


def _rebuild(cls: Any, where: Any, entry: str, more: Tuple[Any, ...]) -> Any:
    return cls._open(follow(*where), entry, *more)


class _Primitive:
    """How every primitive is made, found and sent."""

    __slots__ = ("__weakref__",)

    _native: Any = None  # the class of the native module
    if TYPE_CHECKING:
        memory: Any
        entry: Any

    @classmethod
    def _open(cls, memory: Memory, entry: str, *more: Any) -> Self:
        return cast("Self", cls._native.__new__(cls, memory, entry, *more))

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        if initial:
            raise TypeError(f"{cls.__name__} is made without a number, not with {initial}")
        return [(entry, cls._native.__name__, None)]

    @classmethod
    def create(cls, name: str, *initial: int, **options: Unpack[CreateOptions]) -> Self:
        """Makes one under a name. FileExistsError if the name is taken."""
        _check_name(name)
        return cls._open(_shm.create_primitives(name, cls._plan("", *initial), False, _options(dict(options))), "")

    @classmethod
    def attach(cls, name: str, entry: str = "", *, any_owner: bool = False) -> Self:
        """Finds one by its name, or by the segment's name and its own in there."""
        return cls._open(_shm.attach_memory(name, any_owner), entry)

    @classmethod
    def create_or_attach(cls, name: str, *initial: int, **options: Unpack[CreateOptions]) -> Self:
        """Finds the one of this name, or makes it, in one step without a race."""
        _check_name(name)
        found = cls._open(_shm.create_primitives(name, cls._plan("", *initial), True, _options(dict(options))), "")
        found._check(*initial)
        return found

    @classmethod
    def beside(cls, array: Union[np.ndarray[Any, Any], Memory], entry: str) -> Self:
        """Finds the one that lies beside an array in its segment."""
        return cls._open(array if isinstance(array, Memory) else _memory(array), entry)

    @classmethod
    def _new(cls, *initial: int) -> Self:
        return cls._open(_shm.create_primitives(None, cls._plan("", *initial), False, _options({})), "")

    def _check(self, *initial: int) -> None:
        """ValueError if this one was made with another number."""

    def __reduce__(self) -> Tuple[Any, ...]:
        return _rebuild, (type(self), refer(self.memory), self.entry, ())

    def __repr__(self) -> str:
        where = self.memory.name or "anonymous memory"
        return f"<shm.{type(self).__name__} in {where}{f', entry {self.entry!r}' if self.entry else ''}>"


    def _differs(self, what: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise ValueError(f"{self!r} was made with {found} {what}, and {wanted} were asked for")


class _Plain(_Primitive):
    """One that needs no number."""

    __slots__ = ()

    def __new__(cls) -> Self:
        return cls._new()


class _Counted(_Primitive):
    """One that is made with a number."""

    __slots__ = ()

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        (number,) = initial if len(initial) == 1 else (initial,)
        if not hasattr(number, "__index__"):
            raise TypeError(f"{cls.__name__} is made with a number, not {number!r}")
        number = operator.index(number)
        if abs(number) >= 1 << 64:
            raise ValueError(f"{cls.__name__} cannot be made with {number}: it is out of range")
        return [(entry, cls._native.__name__, number)]


class Lock(_Plain, _shm.Lock):
    """A lock that belongs to the process that takes it; any thread of any process may release it, as with multiprocessing.Lock.

    If the holder's process dies, the next to acquire gets OwnerDiedError, once, and then it can be acquired again.
    """

    __slots__ = ()
    _native = _shm.Lock


class Mutex(_Plain, _shm.Mutex):
    """A lock that belongs to the thread that takes it."""

    __slots__ = ()
    _native = _shm.Mutex


class RLock(_Plain, _shm.RLock):
    """A lock that the thread which holds it can take again."""

    __slots__ = ()
    _native = _shm.RLock


class RwLock(_Plain, _shm.RwLock):
    """A lock that many threads can hold for reading, or one for writing. It belongs to the threads that take it."""

    __slots__ = ()
    _native = _shm.RwLock

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """``with lock.read():`` reads."""
        self.acquire_read()
        try:
            yield
        finally:
            self.release_read()

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """``with lock.write():`` writes."""
        self.acquire_write()
        try:
            yield
        finally:
            self.release_write()


class Event(_Plain, _shm.Event):
    """A flag to wait for."""

    __slots__ = ()
    _native = _shm.Event


class Once(_Plain, _shm.Once):
    """Something that is done by whoever comes first."""

    __slots__ = ()
    _native = _shm.Once


class Semaphore(_Counted, _shm.Semaphore):
    """Permits, of which anybody may give more. Permits of a process that dies are lost."""

    __slots__ = ()
    _native = _shm.Semaphore

    def __new__(cls, value: int = 1) -> Self:
        return cls._new(value)

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        return super()._plan(entry, *(initial or (1,)))


class BoundedSemaphore(_Counted, _shm.BoundedSemaphore):
    """Permits that are given back, and never more than there were. Permits of a process that dies are lost."""

    __slots__ = ()
    _native = _shm.BoundedSemaphore

    def __new__(cls, value: int = 1) -> Self:
        return cls._new(value)

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        return super()._plan(entry, *(initial or (1,)))


class Latch(_Counted, _shm.Latch):
    """Opens, once and for all, when so many arrivals were counted."""

    __slots__ = ()
    _native = _shm.Latch

    def __new__(cls, parties: int) -> Self:
        return cls._new(parties)

    def _check(self, *initial: int) -> None:
        self._differs("parties", self.parties, *initial)


class Sequencer(_Counted, _shm.Sequencer):
    """Turns in the order of their numbers: whoever asks for turn 7 goes when turn 6 is over."""

    __slots__ = ()
    _native = _shm.Sequencer

    def __new__(cls, first: int = 0) -> Self:
        return cls._new(first)

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        return super()._plan(entry, *(initial or (0,)))

    @contextlib.contextmanager
    def turn(self, n: int, timeout: Optional[float] = None) -> Iterator[None]:
        """``with order.turn(n):`` waits for turn n, has it, and ends it. TimeoutError if it does not come in time."""
        if not self.acquire(n, timeout):
            raise TimeoutError(f"turn {n} of {self!r} did not come in time; the turn now is {self.current}")
        try:
            yield
        finally:
            self.release()


class Barrier(_Counted, _shm.Barrier):
    """Parties that wait for each other, round after round. If one dies, the others are told at once."""

    __slots__ = ("_action", "_timeout")
    _action: Optional[Callable[[], object]]
    _timeout: Optional[float]
    _native = _shm.Barrier

    def __new__(
        cls, parties: int, action: Optional[Callable[[], object]] = None, timeout: Optional[float] = None
    ) -> Self:
        return cls._new(parties)

    def __init__(
        self, parties: int, action: Optional[Callable[[], object]] = None, timeout: Optional[float] = None
    ) -> None:
        self._action, self._timeout = action, timeout

    @classmethod
    def _open(cls, memory: Memory, entry: str, *more: Any) -> Self:
        barrier = super()._open(memory, entry)
        barrier._action, barrier._timeout = more or (None, None)
        return barrier

    def _check(self, *initial: int) -> None:
        self._differs("parties", self.parties, *initial)

    def wait(self, timeout: Optional[float] = None) -> int:  # type: ignore[override]
        """Waits until all parties have arrived and returns this one's number among them.

        BrokenError (a threading.BrokenBarrierError) if the barrier is broken: by a party that died or came too late, by abort or by the action.
        """
        return super().wait(self._timeout if timeout is None else timeout, self._action)

    def __reduce__(self) -> Tuple[Any, ...]:
        return _rebuild, (type(self), refer(self.memory), self.entry, (self._action, self._timeout))


class Condition(_Primitive, _shm.Condition):
    """Waiting for a change of what a lock guards: a `Lock`, an `RLock` or a `Mutex`, which several conditions may share, or a `Mutex` of its own.

    A wait gives an `RLock` up as often as it was taken, and takes it back as often. If somebody dies with the lock while others wait, one of
    them gets OwnerDiedError, once, and has the lock again then.
    """

    __slots__ = ("_lock",)
    _lock: Union[Lock, RLock, Mutex]
    _native = _shm.Condition

    def __new__(cls, lock: Union[Lock, RLock, Mutex, None] = None) -> Self:
        if lock is None:
            return cls._open(_shm.create_primitives(None, cls._plan("condition"), False, _options({})), "condition")
        memory = _shm.create_primitives(None, [("", "Condvar", None)], False, _options({}))
        return cls._open(memory, "", lock)

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        entry = entry or "condition"
        return [(entry, "Condvar", None), (f"{entry}.lock", "Mutex", None)]

    @classmethod
    def _open(cls, memory: Memory, entry: str, *more: Any) -> Self:
        (lock,) = more or (None,)
        if lock is None:
            entry = entry or "condition"
            lock = Mutex._open(memory, f"{entry}.lock")
        elif not isinstance(lock, (Lock, RLock, Mutex)):
            raise TypeError(f"a condition waits with a shm.Lock, shm.RLock or shm.Mutex, not with {lock!r}")
        condition = super()._open(memory, entry, lock)
        condition._lock = lock
        return condition

    def acquire(self, block: bool = True, timeout: Optional[float] = None) -> bool:
        """Takes the lock."""
        return self._lock.acquire(block, timeout)

    def release(self) -> None:
        """Gives the lock up."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._lock.__exit__(kind, value, traceback)

    def wait_for(self, predicate: Callable[[], _T], timeout: Optional[float] = None) -> _T:
        """Waits until a function returns something true, and returns that; what it returned last if it does not in time."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            result = predicate()
            left = None if end is None else end - time.monotonic()
            if result or (left is not None and left <= 0):
                return result
            self.wait(left)

    def __reduce__(self) -> Tuple[Any, ...]:
        own = self.entry != ""  # it lies beside the condition, which has no memory to itself then
        return _rebuild, (type(self), refer(self.memory), self.entry, () if own else (self._lock,))


class Channel(_Counted, _shm.Channel):
    """A bounded queue of byte messages, for any number of producers and consumers, in any language."""

    __slots__ = ()
    _native = _shm.Channel

    def __new__(cls, capacity: int = 1 << 20) -> Self:
        return cls._new(capacity)

    @classmethod
    def _plan(cls, entry: str, *initial: Any) -> _Planned:
        return super()._plan(entry, *(initial or (1 << 20,)))

    def _check(self, *initial: int) -> None:
        self._differs("bytes", self.capacity, *(initial or (1 << 20,)))


class Queue(Channel):
    """A bounded queue of Python objects, pickled in a channel; shared arrays in them travel by reference.

    It has no thread and no buffer of its own: what was put is there for others, even if the process is killed then.
    """

    __slots__ = ()

    def put(self, obj: Any, block: bool = True, timeout: Optional[float] = None) -> None:
        """Puts an object in. queue.Full if there is no room (in time), ValueError if it is closed or the object too large for it."""
        self.send(bytes(ForkingPickler.dumps(obj)), block, timeout)

    def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """Takes an object out. queue.Empty if there is none (in time), ValueError if it is closed besides."""
        return ForkingPickler.loads(self.recv(block, timeout))

    def put_nowait(self, obj: Any) -> None:
        """Puts an object in if there is room."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """Takes an object out if there is one."""
        return self.get(False)

    def join_thread(self) -> None:
        """Returns at once: nothing is under way in a thread that one would have to wait for."""

    def cancel_join_thread(self) -> None:
        """Does nothing, because `join_thread` never waits."""

    def qsize(self) -> int:
        """How many objects are in it at this moment."""
        return len(self)

    def empty(self) -> bool:
        """Whether there is none at this moment."""
        return len(self) == 0
