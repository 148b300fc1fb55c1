"""What the module `sharedmem.sharedmem` offers; each idea has a file beside this one."""

from ._arrays import anonymousmemmap as anonymousmemmap
from ._arrays import copy, empty, empty_like, full, full_like
from ._arrays import fromiter as fromiter
from ._environment import cpu_count, get_debug, set_debug, total_memory
from ._exceptions import LostExceptionType as LostExceptionType
from ._exceptions import SlaveException as SlaveException
from ._exceptions import StopProcessGroup, WorkerException
from ._pool import MapReduce, MapReduceByThread, background
from ._pool import ProcessBackend as ProcessBackend
from ._pool import ThreadBackend as ThreadBackend

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
