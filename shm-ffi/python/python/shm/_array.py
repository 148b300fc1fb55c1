"""Arrays in shared memory: the class, and the functions that create them.

The memory belongs to a `Memory` object of the native module, which is the base of the array and lives as long as any view. Nothing
is kept in the array object itself: whether its elements are shared is asked of their address.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Sequence, SupportsIndex, Tuple, TypedDict, Union, cast

import numpy as np

from . import _shm
from ._shm import Memory, is_shared, memory_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from typing_extensions import Unpack


class CreateOptions(TypedDict, total=False):
    """What can be said about new memory; see the README."""

    mode: int
    lifetime: str
    sparse: bool
    reserve: Optional[int]
    prefault: bool
    huge_pages: bool
    lock_memory: bool
    align: Optional[int]


class ArrayOptions(CreateOptions, total=False):
    """What can be said about a new array besides."""

    beside: Dict[str, Any]


_Shape = Union[SupportsIndex, Sequence[SupportsIndex]]

_DEFAULTS: Dict[str, Any] = {
    "mode": 0o600,
    "lifetime": "persistent",
    "sparse": False,
    "reserve": None,
    "prefault": False,
    "huge_pages": False,
    "lock_memory": False,
    "align": None,
}
_NUMBERS = ("mode", "reserve", "align")


class SharedArray(np.ndarray):  # type: ignore[type-arg]
    """An ndarray whose elements lie in shared memory.

    It is what this package's functions return, and what its views are. Results of ufuncs, reductions and fancy indexing are plain
    private arrays. It pickles by reference: whoever unpickles it gets the same memory.
    """

    __slots__ = ()

    def __new__(cls, *_args: Any, **_kwargs: Any) -> SharedArray:
        raise TypeError("make shared arrays with shm.create, shm.attach, shm.empty, shm.copy or one of their relatives")

    @property
    def memory(self) -> Memory:
        """The shared memory that the elements lie in."""
        return _memory(self)

    def msync(self, flags: int = 4) -> None:
        """Writes changes back to the file behind the memory (of use for ``file://`` names)."""
        _memory(self).msync(flags)

    def mlock(self) -> None:
        """Keeps the memory from being swapped out."""
        _memory(self).mlock()

    def munlock(self) -> None:
        """Lets the memory be swapped out again."""
        _memory(self).munlock()

    def setflags(self, write: Any = None, align: Any = None, uic: Any = None) -> None:
        """Sets the array's flags, as any array's. (``a.flags.writeable = ...`` comes here, too.)"""
        memory = memory_of(self) if write else None
        if memory is not None and memory.access != "read-only":
            _shm.make_writable(self)
            write = None
        super().setflags(write=write, align=align, uic=uic)

    def __getitem__(self, index: Any) -> Any:
        result = _getitem(self, index)
        if type(result) is SharedArray and type(result.base) not in _SHARED_BASES:
            return _plain(result)
        return result

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:  # type: ignore[override]
        if type(array) is not np.ndarray:
            return array if array is self else _plain(array)  # the caller's `out`
        if context is None and is_shared(array):
            return array.view(type(self))  # no result, but a view, such as `squeeze` makes
        return array[()] if return_scalar or (_NUMPY_1 and array.shape == ()) else array


    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(func, types, args, kwargs)
        # Some functions make arrays of their argument's class without asking: dot, zeros_like, gradient, ...
        if type(result) in (list, tuple):
            return type(result)(map(_plain, result))
        return _plain(result)


_NUMPY_1 = int(np.__version__.split(".")[0]) < 2
_SHARED_BASES = (SharedArray, Memory)
_getitem = np.ndarray.__getitem__


def _plain(result: Any) -> Any:
    """The same array as a plain one if its elements are private."""
    if isinstance(result, SharedArray) and not is_shared(result):
        return result.view(np.ndarray)
    return result


def _copying(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def plain(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _plain(method(self, *args, **kwargs))

    return plain


# What makes new arrays of the class that it is called on, always or sometimes.
for _name in (
    "__copy__ __deepcopy__ argmax argmin argpartition argsort astype byteswap choose clip compress conj conjugate copy cumprod "
    "cumsum dot flatten max mean min nonzero prod ravel repeat reshape round searchsorted std sum take to_device trace var"
).split():
    if hasattr(np.ndarray, _name):
        setattr(SharedArray, _name, _copying(getattr(np.ndarray, _name)))
del _name

_shm.set_array_type(SharedArray)


def _memory(array: np.ndarray[Any, Any]) -> Memory:
    memory = memory_of(array)
    if memory is None:
        raise ValueError("the elements of this array are not in shared memory: it is a private copy")
    return memory


def _options(given: Dict[str, Any]) -> Dict[str, Any]:
    unknown = given.keys() - _DEFAULTS.keys()
    if unknown:
        names = ", ".join(sorted(unknown))
        raise TypeError(f"unexpected keyword {names}: what can be said about new memory is {', '.join(_DEFAULTS)}")
    options = {**_DEFAULTS, **given}
    for name, value in given.items():
        if name == "lifetime":
            if not isinstance(value, str):
                raise TypeError(f"lifetime is text, not {value!r}")
        elif name not in _NUMBERS:
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name} is True or False, not {value!r}")
        elif value is not None or name == "mode":
            if not hasattr(value, "__index__"):
                raise TypeError(f"{name} is a number, not {value!r}")
            options[name] = operator.index(value)
            if not 0 <= options[name] < (1 << 32 if name == "mode" else 1 << 63):
                raise ValueError(f"{name} cannot be {value}: it is out of range")
    return options


def _make(
    name: Optional[str],
    shape: _Shape,
    dtype: DTypeLike,
    order: str = "C",
    strides: Optional[Sequence[int]] = None,
    source: Optional[np.ndarray[Any, Any]] = None,
    or_attach: bool = False,
    options: Any = (),
) -> SharedArray:
    options = dict(options)
    beside = [part for entry, what in dict(options.pop("beside", None) or {}).items() for part in planned(entry, what)]
    return _shm.create(name, shape, dtype, order, strides, source, or_attach, beside, _options(options))


def planned(entry: str, what: Any) -> List[Tuple[str, str, Optional[int]]]:
    """What the native module is told of a primitive to be made: a class, or a tuple of a class and its first value."""
    kind, *initial = what if isinstance(what, tuple) else (what,)
    try:
        plan = kind._plan
    except AttributeError:
        raise TypeError(f"{what!r} cannot lie beside an array: name one of this package's primitives") from None
    return plan(entry, *initial)


def create(
    name: str,
    shape: _Shape,
    dtype: DTypeLike = float,
    order: str = "C",
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Creates an array of zeros under a name: ``shm://NAME`` (or just ``NAME``), or ``file://PATH``.

    The name appears when the array is complete. FileExistsError if it is taken. Every process of this user can attach it until
    somebody deletes it; ``lifetime="last-detach"`` ends it with its last attachment instead, ``lifetime="scoped"`` with its creator.
    ``beside={"lock": shm.Lock, "free": (shm.Semaphore, 3)}`` puts primitives into the same segment: ``shm.Lock.beside(array, "lock")``.
    """
    _check_name(name)
    return _make(name, shape, dtype, order, options=options)


def create_or_attach(
    name: str,
    shape: _Shape,
    dtype: DTypeLike = float,
    order: str = "C",
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Attaches the array of this name, or creates it, zero-filled, in one step without a race.

    TypeError or ValueError if what exists has other elements, or another shape or order.
    """
    _check_name(name)
    return _make(name, shape, dtype, order, or_attach=True, options=options)


def empty(
    shape: _Shape,
    dtype: DTypeLike = float,
    order: str = "C",
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array whose elements nobody has set; here they are zero. Without a name it is anonymous."""
    return _make(name, shape, dtype, order, options=options)


def zeros(
    shape: _Shape,
    dtype: DTypeLike = float,
    order: str = "C",
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of zeros."""
    return _make(name, shape, dtype, order, options=options)


def ones(
    shape: _Shape,
    dtype: DTypeLike = float,
    order: str = "C",
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of ones."""
    return _make(name, shape, dtype, order, source=np.ones((), dtype), options=options)


def full(
    shape: _Shape,
    fill_value: ArrayLike,
    dtype: Optional[DTypeLike] = None,
    order: str = "C",
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array filled with a value, of the value's type unless another one is said."""
    source = np.asarray(fill_value, dtype)
    return _make(name, shape, source.dtype, order, source=source, options=options)


def empty_like(
    prototype: ArrayLike,
    dtype: Optional[DTypeLike] = None,
    order: str = "K",
    shape: Optional[_Shape] = None,
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of the type, shape and order of another one."""
    return _like(prototype, dtype, order, shape, name, None, options)


def zeros_like(
    prototype: ArrayLike,
    dtype: Optional[DTypeLike] = None,
    order: str = "K",
    shape: Optional[_Shape] = None,
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of zeros of the type, shape and order of another one."""
    return _like(prototype, dtype, order, shape, name, None, options)


def ones_like(
    prototype: ArrayLike,
    dtype: Optional[DTypeLike] = None,
    order: str = "K",
    shape: Optional[_Shape] = None,
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of ones of the type, shape and order of another one."""
    return _like(prototype, dtype, order, shape, name, np.asarray(1), options)


def full_like(
    prototype: ArrayLike,
    fill_value: ArrayLike,
    dtype: Optional[DTypeLike] = None,
    order: str = "K",
    shape: Optional[_Shape] = None,
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array filled with a value, of the type, shape and order of another one."""
    return _like(prototype, dtype, order, shape, name, np.asarray(fill_value), options)


def _like(prototype: Any, dtype: Any, order: Any, shape: Any, name: Optional[str], source: Any, options: Any) -> SharedArray:
    # Memory that is not touched costs nothing, and NumPy's rules for the order are many.
    pattern = np.empty_like(prototype, dtype, order, subok=False, shape=shape)
    return _make(name, pattern.shape, pattern.dtype, strides=pattern.strides, source=source, options=options)


def copy(
    a: ArrayLike,
    order: str = "K",
    *,
    dtype: Optional[DTypeLike] = None,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Copies an array, or what can be made one, into shared memory. A name appears when everything is copied."""
    source = np.asarray(a)
    pattern = np.empty_like(source, dtype, cast(Any, order), subok=False)
    return _make(name, pattern.shape, pattern.dtype, strides=pattern.strides, source=source, options=options)


def fromiter(
    iterable: Iterable[Any],
    dtype: DTypeLike,
    count: int = -1,
    *,
    name: Optional[str] = None,
    **options: Unpack[ArrayOptions],
) -> SharedArray:
    """Makes an array of the elements that an iterable gives."""
    return copy(np.fromiter(iterable, dtype, count), name=name, **options)


def msync(array: np.ndarray[Any, Any], flags: int) -> None:
    """Writes changes of a shared array back to its file, as msync(2) does with these flags."""
    _memory(array).msync(flags)


def mlock(array: np.ndarray[Any, Any]) -> None:
    """Keeps a shared array from being swapped out."""
    _memory(array).mlock()


def munlock(array: np.ndarray[Any, Any]) -> None:
    """Lets a shared array be swapped out again."""
    _memory(array).munlock()


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name is text, not {type(name).__name__}; for memory without a name use shm.empty and its relatives")
