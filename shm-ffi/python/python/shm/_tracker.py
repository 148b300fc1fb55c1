"""Keeps the standard library's resource tracker away from segments of this package.

`multiprocessing.shared_memory.SharedMemory(name)` opens a segment of this package as any other file in /dev/shm (the data begin at `data_offset`), but
before Python 3.13, and later unless `track=False` is given, it also tells its resource tracker, which removes the name when the process
ends. In a process that has imported `shm` the tracker is not told of names that lead to our segments. In other processes it is: see the README.
"""

from __future__ import annotations

from multiprocessing import resource_tracker as _resource_tracker
from typing import Any, Callable, Set

from ._shm import is_segment

#: names whose registration was passed over, so that their end is passed over too
_ours: Set[str] = set()


def _wrap(function: Any, decide: Callable[[str], bool]) -> Any:
    def wrapped(name: str, rtype: str) -> Any:
        if rtype == "shared_memory" and decide(name):
            return None
        return function(name, rtype)

    return wrapped


def _passes_over(name: str) -> bool:
    if not is_segment(name.lstrip("/")):
        return False
    _ours.add(name)
    return True


def _passed_over(name: str) -> bool:
    # By then the name is gone.
    if name not in _ours:
        return False
    _ours.discard(name)
    return True


_tracker: Any = _resource_tracker
_tracker.register = _wrap(_resource_tracker.register, _passes_over)
_tracker.unregister = _wrap(_resource_tracker.unregister, _passed_over)
