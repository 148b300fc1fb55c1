"""NumPy arrays in shared memory, for processes in any language.

    import shm

    a = shm.create("table", (1000, 3))      # in one process
    b = shm.attach("table")                 # in another one
    shm.delete("table")                     # those who have it keep it

Arrays are real ndarrays. They travel by reference through pipes, queues and pools: what arrives is the same memory.
"""

import sys as _sys
import sysconfig as _sysconfig

if not _sys.platform.startswith("linux"):
    raise ImportError("shm supports Linux only")
if _sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise ImportError("shm does not support free-threaded builds of Python yet: use the ordinary build")

import numpy as _numpy  # noqa: F401  (the native module takes NumPy's C interface)

from ._array import (
    SharedArray,
    copy,
    create,
    create_or_attach,
    empty,
    empty_like,
    fromiter,
    full,
    full_like,
    mlock,
    msync,
    munlock,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from ._errors import (
    AccessError,
    BusyError,
    ElementTypeError,
    Error,
    ExistsError,
    ForkedError,
    FormatError,
    InvalidError,
    NoMemoryError,
    NoSpaceError,
    NoSuchEntryError,
    NotFoundError,
    SystemCallError,
    UnsupportedError,
)
from ._info import Entry, SegmentInfo
from . import _reference as _reference  # pickling
from ._shm import Memory, __version__, attach, attach_raw, delete, inspect, is_shared, list, memory_of, reap

#: Flags of `msync`, as in msync(2).
MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4

__all__ = [
    "AccessError",
    "BusyError",
    "ElementTypeError",
    "Entry",
    "Error",
    "ExistsError",
    "ForkedError",
    "FormatError",
    "InvalidError",
    "MS_ASYNC",
    "MS_INVALIDATE",
    "MS_SYNC",
    "Memory",
    "NoMemoryError",
    "NoSpaceError",
    "NoSuchEntryError",
    "NotFoundError",
    "SegmentInfo",
    "SharedArray",
    "SystemCallError",
    "UnsupportedError",
    "attach",
    "attach_raw",
    "copy",
    "create",
    "create_or_attach",
    "delete",
    "empty",
    "empty_like",
    "fromiter",
    "full",
    "full_like",
    "inspect",
    "is_shared",
    "list",
    "memory_of",
    "mlock",
    "msync",
    "munlock",
    "ones",
    "ones_like",
    "reap",
    "zeros",
    "zeros_like",
]
