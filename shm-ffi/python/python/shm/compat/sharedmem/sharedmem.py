"""What the module `sharedmem.sharedmem` offers; each idea has a file beside this one."""

from ._arrays import anonymousmemmap, copy, empty, empty_like, fromiter, full, full_like
from ._environment import cpu_count, get_debug, set_debug, total_memory
from ._exceptions import LostExceptionType, SlaveException, StopProcessGroup, WorkerException
from ._pool import MapReduce, MapReduceByThread, ProcessBackend, ThreadBackend, background

# What `import *` gives. The rest is the original's too, by its name: sharedmem.fromiter, sharedmem.ThreadBackend, ...
__all__ = [
    "MapReduce",
    "MapReduceByThread",
    "StopProcessGroup",
    "WorkerException",
    "background",
    "copy",
    "cpu_count",
    "empty",
    "empty_like",
    "full",
    "full_like",
    "get_debug",
    "set_debug",
    "total_memory",
]

_others = (LostExceptionType, SlaveException, ProcessBackend, ThreadBackend, anonymousmemmap, fromiter)
