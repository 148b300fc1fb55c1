"""`SharedArray` over this package: its functions of version 2, and the methods of `.base` of version 3.

    from shm.compat import SharedArray as sa

    a = sa.create("shm://test", 10)
    b = sa.attach("shm://test")
    a.base.name, a.base.addr, a.base.size
    sa.delete("test")

What is better: element types are kept exactly (byte order, units of time, fields); objects are refused; a full `/dev/shm` is an error of
`create` and not a SIGBUS later; arrays of no elements and of no dimensions work; what is half-made, damaged or somebody else's is
refused; arrays pickle by reference. What differs: see the README.
"""

from __future__ import annotations

import builtins
import contextlib
import os
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Tuple, cast

import numpy as np

from .. import _array, _shm
from .._array import mlock, msync, munlock
from .._errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from .._array import ArrayOptions, SharedArray, _Shape

__all__ = [
    "ArrayDesc",
    "MS_ASYNC",
    "MS_INVALIDATE",
    "MS_SYNC",
    "NotASharedArrayError",
    "attach",
    "create",
    "delete",
    "list",
    "mlock",
    "msync",
    "munlock",
]

#: Flags of `msync`, as in msync(2).
MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4


class NotASharedArrayError(FormatError, OSError):
    """What has this name is no segment, or a damaged one. The original raises an OSError then, this package a ValueError; it is both."""


class _Name(str):
    """A name in a list: text. The original gives bytes, so it may be decoded, and it equals them."""

    __slots__ = ()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The name."""
        return str(self)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, os.fsdecode(other) if isinstance(other, bytes) else cast(str, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class ArrayDesc(NamedTuple):
    """An array that can be attached, as `list` tells it."""

    name: str
    dtype: np.dtype[Any]
    dims: Tuple[int, ...]


def create(name: str, shape: _Shape, dtype: DTypeLike = float, **options: Unpack[ArrayOptions]) -> SharedArray:
    """Creates an array of zeros: in shared memory (``shm://NAME``, or ``NAME`` alone) or in a file (``file://PATH``).

    It stays until `delete`, whoever ends. FileExistsError if the name is taken. The options are those of `shm.create` (``mode=0o644``, say).
    """
    with _said(name):
        return _called(_array.create(_place(name), shape, dtype, **options), name)


def attach(name: str, ro: bool = False, *, any_owner: bool = False, copy_on_write: bool = False) -> SharedArray:
    """Attaches an array by its name, to read only if `ro`. FileNotFoundError if there is none.

    An array of another user is attached if `any_owner` says that this user is trusted.
    """
    with _said(name):
        return _called(_shm.attach(_place(name), readonly=bool(ro), any_owner=any_owner, copy_on_write=copy_on_write), name)


def delete(name: str) -> None:
    """Deletes an array's name. Those who have the array attached keep it; the memory goes with the last of them."""
    with _said(name):
        _shm.delete(_place(name))


def list() -> builtins.list[ArrayDesc]:
    """Lists the arrays in shared memory that this user can attach."""
    me = os.geteuid()
    return [
        ArrayDesc(_Name(info.name.partition("://")[2]), info.dtype, info.shape)
        for info in _shm.list()
        if info.owner == me and info.name is not None and info.dtype is not None and info.shape is not None
    ]


def _place(name: str) -> str:
    """A name without the slash that shm_open(3) allows in front of it."""
    _array._check_name(name)
    prefix, between, rest = name.rpartition("://")
    return prefix + between + rest[1:] if prefix in ("", "shm") and rest[:1] == "/" else name


@contextlib.contextmanager
def _said(name: str) -> Iterator[None]:
    """Errors with the classes of the original, and the name as it was said."""
    try:
        yield
    except FormatError as error:
        refused = NotASharedArrayError(*error.args)
        refused.kind = error.kind
        raise refused from None
    except OSError as error:
        error.filename = name
        raise


def _called(array: SharedArray, name: str) -> SharedArray:
    """The array, with a base that says the name as it was said."""
    cast(_shm.Memory, array.base).call(name)
    return array
