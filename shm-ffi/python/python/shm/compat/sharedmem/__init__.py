"""`sharedmem` over this package: work in forked processes, without pickling on the way in, on arrays that all of them share.

    from shm.compat import sharedmem

    total = sharedmem.full((), 0.0)
    with sharedmem.MapReduce(np=4) as pool:

        def work(i):
            with pool.critical:
                total[...] += i
            return i, pool.local.rank

        results = pool.map(work, range(100), reduce=lambda i, rank: i)

What is better: `minlength` works; so do generators, arrays of no dimensions, pools inside of workers and `total_memory`; what cannot be
pickled, leaves by `os._exit` or is killed is told at once, with the item and the reason; `background` never hangs; arrays pickle as the memory
they are, to processes of every kind; element types that cannot be shared are refused; a short chunk costs no round trip. What differs: see the
README. `parallel` is the module of that name, and it works.
"""

from . import parallel
from .sharedmem import (
    LostExceptionType,
    MapReduce,
    MapReduceByThread,
    ProcessBackend,
    SlaveException,
    StopProcessGroup,
    ThreadBackend,
    WorkerException,
    anonymousmemmap,
    background,
    copy,
    cpu_count,
    empty,
    empty_like,
    fromiter,
    full,
    full_like,
    get_debug,
    set_debug,
    total_memory,
)

Pool = MapReduce
TPool = MapReduceByThread

__all__ = [
    "LostExceptionType",
    "MapReduce",
    "MapReduceByThread",
    "Pool",
    "ProcessBackend",
    "SlaveException",
    "StopProcessGroup",
    "TPool",
    "ThreadBackend",
    "WorkerException",
    "anonymousmemmap",
    "background",
    "copy",
    "cpu_count",
    "empty",
    "empty_like",
    "fromiter",
    "full",
    "full_like",
    "get_debug",
    "parallel",
    "set_debug",
    "total_memory",
]
