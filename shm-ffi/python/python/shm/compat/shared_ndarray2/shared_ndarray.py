"""The class `SharedNDArray`, and its constructors as functions.

The memory is the standard library's; the arrays in it have a mapping of their own (`shm.attach_raw`), so that closing the standard
library's does not pull it away under them.
"""

from __future__ import annotations

import math
import mmap
import operator
import os
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any, Generic, Optional, Sequence, SupportsIndex, Tuple, Type, TypeVar, Union, cast, overload

import numpy as np

from ... import _shm
from ..._sync import Lock
from ..._tracker import open_untracked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Shape = Union[SupportsIndex, Sequence[SupportsIndex]]

__all__ = ["ShareableT", "SharedNDArray", "VALID_SHARED_TYPES", "from_array", "from_shape"]

#: The element types that can be shared, for checks at run time.
VALID_SHARED_TYPES = (np.number, np.bool_, np.datetime64, np.timedelta64)

#: The element types that can be shared, for type checkers.
ShareableT = TypeVar("ShareableT", bound=Union[np.number, np.bool_, np.datetime64, np.timedelta64])


class SharedNDArray(Generic[ShareableT]):
    """An array in shared memory that another process gets as an argument.

    `array[...]` reads and writes it; `array.get()` is the ndarray, with all its methods. Unpickling gives the same memory.
    """

    #: the memory
    shm: SharedMemory
    #: the element type
    dtype: np.dtype[ShareableT]
    #: a lock that belongs to the array, for all processes; None unless it was asked for
    lock: Optional[Any]

    @overload
    def __init__(
        self,
        shm: Union[SharedMemory, str],
        shape: _Shape,
        dtype: Union[Type[ShareableT], np.dtype[ShareableT]],
        lock: Any = None,
    ) -> None: ...

    @overload
    def __init__(self, shm: SharedMemoryManager, shape: NDArray[ShareableT], *, lock: Any = None) -> None: ...

    def __init__(self, shm: Any, shape: Any, dtype: Any = None, lock: Any = None) -> None:
        """Takes existing memory, or its name, with the shape and the element type of what is in it; or a manager and an array to copy.

        ValueError if the memory has not just the bytes of such an array; TypeError for elements that cannot be shared. `lock` may be
        True, for a new `shm.Lock`, or a lock.
        """
        if dtype is None:
            if not hasattr(shm, "SharedMemory"):
                raise TypeError("a SharedNDArray in memory that is there needs a shape and an element type; only a manager makes one of an array alone")
            source = np.asarray(shape)
            self._open(_allocate(shm, source.shape, source.dtype), source.shape, source.dtype, lock)
            self._array[...] = source
        else:
            self._open(shm, shape, dtype, lock)

    def _open(self, shm: Union[SharedMemory, str], shape: _Shape, dtype: Any, lock: Any) -> None:
        shape, dtype = _checked(shape, dtype)
        if isinstance(shm, str):
            opened = open_untracked(shm.lstrip("/"))
            try:
                self._array = _map(opened, shape, dtype)
            except BaseException:
                opened.close()
                raise
            self.shm = opened
        elif isinstance(shm, SharedMemory):
            self._array = _map(shm, shape, dtype)
            self.shm = shm
        else:
            raise TypeError(f"a SharedNDArray lies in a SharedMemory, or in what has its name, not in {shm!r}")
        self.dtype = dtype
        self.lock = Lock() if lock is True else (None if lock is False else lock)

    @classmethod
    def from_array(
        cls, mem_mgr: SharedMemoryManager, arr: NDArray[ShareableT], lock: Any = None
    ) -> SharedNDArray[ShareableT]:
        """Makes one in the memory of a running manager and copies an array into it."""
        arr = np.asarray(arr)
        made: SharedNDArray[ShareableT] = cls.from_shape(mem_mgr, arr.shape, arr.dtype, lock)
        made[...] = arr
        return made

    @classmethod
    def from_shape(
        cls,
        mem_mgr: SharedMemoryManager,
        shape: _Shape,
        dtype: Union[Type[ShareableT], np.dtype[ShareableT]],
        lock: Any = None,
    ) -> SharedNDArray[ShareableT]:
        """Makes one of zeros in the memory of a running manager."""
        return cls(_allocate(mem_mgr, shape, dtype), shape, dtype, lock)

    @property
    def shape(self) -> Tuple[int, ...]:
        """The shape. Another one of as many elements may be set; that changes this object only. ValueError."""
        return cast(Tuple[int, ...], self._array.shape)

    @shape.setter
    def shape(self, shape: _Shape) -> None:
        self._array = self._array.reshape(shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def get(self) -> NDArray[ShareableT]:
        """The array itself. It stays valid whatever becomes of this object. ValueError if the memory has been closed here."""
        if self.shm.buf is None:
            raise ValueError(f"the shared memory {self.shm.name!r} has been closed in this process")
        return self._array.view()

    @overload
    def __getitem__(self, key: Union[NDArray[Any], Tuple[NDArray[Any], ...]]) -> NDArray[ShareableT]: ...

    @overload
    def __getitem__(self, key: Union[SupportsIndex, Tuple[SupportsIndex, ...]]) -> Any: ...

    @overload
    def __getitem__(self, key: Any) -> NDArray[ShareableT]: ...

    def __getitem__(self, key: Any) -> Any:
        """``array.get()[key]``"""
        return self.get()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        """``array.get()[key] = value``"""
        self.get()[key] = value

    def __repr__(self) -> str:
        name = type(self).__name__
        lines = str(self.get()).replace("\n", "\n" + " " * (len(name) + 1))
        return f"{name}({lines}, dtype={self.dtype})"

    def __getattr__(self, name: str) -> Any:
        hint = " To access NumPy ndarray object use .get() method." if hasattr(np.ndarray, name) else ""
        raise AttributeError(f"SharedNDArray object has no attribute {name!r}.{hint}")

    def __reduce__(self) -> Tuple[Any, ...]:
        return _attach, (type(self), self.shm.name, self.shape, self.dtype, self.lock)

    def __del__(self) -> None:
        if "shm" in self.__dict__:
            try:
                self.shm.close()
            except BufferError:
                pass  # somebody uses its buffer: it is closed after that


def from_array(mem_mgr: SharedMemoryManager, arr: NDArray[ShareableT], lock: Any = None) -> SharedNDArray[ShareableT]:
    """Makes a SharedNDArray in the memory of a running manager and copies an array into it."""
    return SharedNDArray.from_array(mem_mgr, arr, lock)


def from_shape(
    mem_mgr: SharedMemoryManager,
    shape: _Shape,
    dtype: Union[Type[ShareableT], np.dtype[ShareableT]],
    lock: Any = None,
) -> SharedNDArray[ShareableT]:
    """Makes a SharedNDArray of zeros in the memory of a running manager."""
    return SharedNDArray.from_shape(mem_mgr, shape, dtype, lock)


def _checked(shape: Any, dtype: Any) -> Tuple[Tuple[int, ...], np.dtype[Any]]:
    dtype = np.dtype(dtype)
    if not issubclass(dtype.type, VALID_SHARED_TYPES):
        valid = ", ".join(kind.__name__ for kind in VALID_SHARED_TYPES)
        raise TypeError(f"elements of type {dtype} cannot be in a SharedNDArray: what can is {valid}")
    try:
        shape = (operator.index(shape),)
    except TypeError:
        shape = tuple(operator.index(extent) for extent in shape)
    if any(extent < 0 for extent in shape):
        raise ValueError(f"the shape {shape} has a negative extent")
    return shape, dtype


def _allocate(manager: Any, shape: Any, dtype: Any) -> SharedMemory:
    shape, dtype = _checked(shape, dtype)
    # There is no shared memory of no bytes.
    return cast(SharedMemory, manager.SharedMemory(max(math.prod(shape) * dtype.itemsize, 1)))


def _attach(cls: Any, name: str, shape: Tuple[int, ...], dtype: np.dtype[Any], lock: Any) -> SharedNDArray[Any]:
    return cast("SharedNDArray[Any]", cls(name, shape, dtype, lock))


def _map(memory: SharedMemory, shape: Tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The array in this memory, with a mapping of its own."""
    if memory.buf is None:
        raise ValueError(f"the shared memory {memory.name!r} has been closed in this process")
    needed = math.prod(shape) * dtype.itemsize
    if _shm.is_segment(memory.name):
        array = _shm.attach(memory.name)
        _check_size(memory.name, array.nbytes, needed)
        if (array.shape, array.dtype) == (shape, dtype):
            return array
        if not array.flags.c_contiguous:
            raise ValueError(
                f"the segment {memory.name!r} has an array of shape {array.shape} and element type {array.dtype} in another order than C's: "
                "ask for this shape and type"
            )
        return array.reshape(-1).view(dtype).reshape(shape)
    _check_size(memory.name, memory.size, needed)
    try:
        array = _shm.attach_raw(memory.name, shape, dtype)
        found = os.fstat(memory._fd)  # type: ignore[attr-defined]
        if array.memory.identity[:2] == (found.st_dev, found.st_ino):
            return array
    except (OSError, ValueError):
        pass
    # The name is gone, or leads to something else: the memory is there all the same.
    return np.frombuffer(mmap.mmap(memory._fd, memory.size), dtype, math.prod(shape)).reshape(shape)  # type: ignore[attr-defined]


def _check_size(name: str, size: int, needed: int) -> None:
    if size != needed and (needed != 0 or size > mmap.PAGESIZE):
        raise ValueError(
            f"the shared memory {name!r} has {size} bytes, and an array of this shape and element type needs {needed}: they have to be the same"
        )
