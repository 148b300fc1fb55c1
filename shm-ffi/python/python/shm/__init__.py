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
    BrokenError,
    BusyError,
    ClosedError,
    ElementTypeError,
    EmptyError,
    Error,
    ExistsError,
    ForkedError,
    FormatError,
    FullError,
    InvalidError,
    LimitError,
    NoMemoryError,
    NoSpaceError,
    NoSuchEntryError,
    NotFoundError,
    NotHeldError,
    OverflowedError,
    OwnerDiedError,
    PoisonedError,
    SystemCallError,
    TimedOutError,
    UnsupportedError,
    WouldDeadlockError,
)
from ._info import Entry, SegmentInfo
from . import _reference as _reference  # pickling
from . import _tracker as _tracker  # the standard library's SharedMemory
from ._shm import Memory, __version__, attach, attach_raw, delete, inspect, is_shared, list, memory_of, reap

from ._executor import Executor
from ._joblib import register_joblib
from ._mapreduce import (
    Background,
    Failure,
    MapReduce,
    RemoteError,
    RemoteTraceback,
    ResultError,
    WorkerDiedError,
    background,
    cpu_count,
)
from ._sync import (
    Barrier,
    BoundedSemaphore,
    Channel,
    Condition,
    Event,
    Latch,
    Lock,
    Mutex,
    Once,
    Queue,
    RLock,
    RwLock,
    Semaphore,
    Sequencer,
)

#: Flags of `msync`, as in msync(2).
MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4

__all__ = [
    "AccessError",
    "Background",
    "Barrier",
    "BoundedSemaphore",
    "BrokenError",
    "BusyError",
    "Channel",
    "ClosedError",
    "Condition",
    "ElementTypeError",
    "EmptyError",
    "Entry",
    "Error",
    "Event",
    "Executor",
    "ExistsError",
    "Failure",
    "ForkedError",
    "FormatError",
    "FullError",
    "InvalidError",
    "Latch",
    "LimitError",
    "Lock",
    "MS_ASYNC",
    "MS_INVALIDATE",
    "MS_SYNC",
    "MapReduce",
    "Memory",
    "Mutex",
    "NoMemoryError",
    "NoSpaceError",
    "NoSuchEntryError",
    "NotFoundError",
    "NotHeldError",
    "Once",
    "OverflowedError",
    "OwnerDiedError",
    "PoisonedError",
    "Queue",
    "RLock",
    "RemoteError",
    "RemoteTraceback",
    "ResultError",
    "RwLock",
    "SegmentInfo",
    "Semaphore",
    "Sequencer",
    "SharedArray",
    "SystemCallError",
    "TimedOutError",
    "UnsupportedError",
    "WorkerDiedError",
    "WouldDeadlockError",
    "attach",
    "attach_raw",
    "background",
    "copy",
    "cpu_count",
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
    "register_joblib",
    "zeros",
    "zeros_like",
]
