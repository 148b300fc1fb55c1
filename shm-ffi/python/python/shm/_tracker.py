"""Keeps the standard library's resource tracker away from segments of this package.

`multiprocessing.shared_memory.SharedMemory(name)` opens a segment of this package as any other file in /dev/shm (the data begin at `data_offset`), but
before Python 3.13, and later unless `track=False` is given, it also tells its resource tracker, which removes the name when the process
ends. In a process that has imported `shm` the tracker is not told of names that lead to our segments, nor of memory that `open_untracked` opens. In other processes it is: see the README.
"""

from __future__ import annotations

from multiprocessing import resource_tracker as _resource_tracker
from multiprocessing.shared_memory import SharedMemory
from threading import local
from typing import Any, Callable, Set

from ._shm import is_segment

#: names of our segments whose registration was passed over, so that their end is passed over too
_ours: Set[str] = set()
#: .opening: the name that this thread is opening without the tracker
_here = local()
#: names that were opened so
_opened: Set[str] = set()
#: names that this process, or the one that forked it, has told the tracker
_told: Set[str] = set()


def open_untracked(name: str) -> SharedMemory:
    """Opens memory that somebody else has made, without becoming responsible for its end. (Python 3.13's ``track=False``; but `unlink` is as ever.)"""
    _here.opening = name
    try:
        return SharedMemory(name)
    finally:
        _here.opening = None


def _wrap(function: Any, decide: Callable[[str], bool]) -> Any:
    def wrapped(name: str, rtype: str) -> Any:
        if rtype == "shared_memory" and decide(name.lstrip("/")):
            return None
        return function(name, rtype)

    return wrapped


def _passes_over(name: str) -> bool:
    if is_segment(name):
        _ours.add(name)
        return True
    if name == getattr(_here, "opening", None) and name not in _told:
        _opened.add(name)
        return True
    _ours.discard(name)  # a new one has the name of one of ours that was deleted
    _told.add(name)
    return False


def _passed_over(name: str) -> bool:
    # By then the name is gone.
    if name in _ours:
        _ours.discard(name)
        return True
    if name in _opened:
        # Whether another process of the family has told the tracker is not known here: after this nobody has.
        _opened.discard(name)
        _register(f"/{name}", "shared_memory")
    _told.discard(name)
    return False


_tracker: Any = _resource_tracker
_register = _resource_tracker.register
_tracker.register = _wrap(_resource_tracker.register, _passes_over)
_tracker.unregister = _wrap(_resource_tracker.unregister, _passed_over)
