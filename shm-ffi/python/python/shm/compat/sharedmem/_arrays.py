"""The functions that make shared arrays, with the original's keywords and defaults. All of it is `shm`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Optional

import numpy as np

from ... import _array
from ..._array import SharedArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from ..._array import _Shape


def empty(shape: _Shape, dtype: DTypeLike = "f8") -> SharedArray:
    """Makes a shared array; its elements are zero."""
    return _array.empty(shape, dtype)


def empty_like(array: ArrayLike, dtype: Optional[DTypeLike] = None) -> SharedArray:
    """Makes a shared array of the shape and type of another array, or of a list."""
    pattern = np.asarray(array)
    return _array.empty(pattern.shape, pattern.dtype if dtype is None else dtype)


def full(shape: _Shape, value: ArrayLike, dtype: DTypeLike = "f8") -> SharedArray:
    """Makes a shared array filled with a value."""
    return _array.full(shape, value, dtype)


def full_like(array: ArrayLike, value: ArrayLike, dtype: Optional[DTypeLike] = None) -> SharedArray:
    """Makes a shared array of the shape and type of another array, filled with a value."""
    made = empty_like(array, dtype)
    made[...] = value
    return made


def copy(a: ArrayLike) -> SharedArray:
    """Copies an array, or what can be made one, into shared memory."""
    return _array.copy(a, "C")


def fromiter(iter: Iterable[Any], dtype: DTypeLike, count: Optional[int] = None) -> SharedArray:
    """Makes a shared array of the elements that an iterable gives: of all of them, or of the first so many."""
    return _array.fromiter(iter, dtype, -1 if count is None else count)


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, SharedArray)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, SharedArray)


class anonymousmemmap(metaclass=_Kind):
    """The original's class of arrays: what it is called with makes a shared array, and shared arrays are its instances."""

    def __new__(cls, shape: _Shape, dtype: DTypeLike = np.uint8, order: str = "C") -> SharedArray:  # type: ignore[misc]
        return _array.empty(shape, dtype, order)
