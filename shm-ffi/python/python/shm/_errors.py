"""The exceptions of this package: each is one of Python's own, and an `Error` besides.

The native module looks them up in `by_kind`, by the name that the Rust crates give to the kind of error.
"""

from __future__ import annotations

import errno as _errno
import os as _os
import queue as _queue
import threading as _threading
from typing import Any, Optional, Tuple


class Error(Exception):
    """Base class of all exceptions that come from the library underneath; `kind` is its name for what went wrong."""

    kind: str = "Unknown"


class _SystemError(Error, OSError):
    _errno: Optional[int] = None
    _filename: Optional[str] = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if self.errno is None:
            self.errno = self._errno

    # Not those of OSError, which would make its own text of them.
    @property
    def strerror(self) -> Optional[str]:  # type: ignore[override]
        """What the system says of `errno`."""
        return None if self.errno is None else _os.strerror(self.errno)

    @property
    def filename(self) -> Optional[str]:  # type: ignore[override]
        """The name of what it was attempted on."""
        return self._filename

    @filename.setter
    def filename(self, name: Optional[str]) -> None:
        self._filename = name

    def __reduce__(self) -> Tuple[Any, ...]:
        # The number is not among the arguments, so it would not come along.
        return type(self), self.args, {**self.__dict__, "errno": self.errno}


class ExistsError(_SystemError, FileExistsError):
    """The name is taken."""

    _errno = _errno.EEXIST


class NotFoundError(_SystemError, FileNotFoundError):
    """Nothing has this name, or what had it is gone."""

    _errno = _errno.ENOENT


class AccessError(_SystemError, PermissionError):
    """Permissions forbid it, or it belongs to another user, or it is attached read-only."""

    _errno = _errno.EACCES


class NoSpaceError(_SystemError, MemoryError):
    """The file system behind the memory has not enough free bytes; nothing was created."""

    _errno = _errno.ENOSPC


class NoMemoryError(Error, MemoryError):
    """The process may not have this much memory."""


class BusyError(_SystemError):
    """Somebody else holds it."""

    _errno = _errno.EBUSY


class InvalidError(Error, ValueError):
    """An argument is out of range, or what was found does not fit it."""


class FormatError(InvalidError):
    """What has this name is no segment, or a damaged one, or one of a newer version."""


class ElementTypeError(Error, TypeError):
    """The elements have another type than was asked for."""


class NoSuchEntryError(Error, LookupError):
    """The segment has no entry of this name or kind."""


class ForkedError(Error, RuntimeError):
    """The handle was inherited by a forked process, which may not do this."""


class UnsupportedError(Error, NotImplementedError):
    """This kernel, file system or sandbox does not offer what is needed."""


class SystemCallError(_SystemError):
    """Any other failure of a system call."""


class TimedOutError(Error, TimeoutError):
    """It was not there in time."""


class OwnerDiedError(Error, RuntimeError):
    """Whoever held it died with it, so what it guards may be half-changed. Said once."""


class PoisonedError(Error, RuntimeError):
    """What it guards was given up after a holder's death, by a program that did not look after it."""


class NotHeldError(Error, ValueError, RuntimeError):
    """It is not held, or not by this thread."""


class WouldDeadlockError(Error, RuntimeError):
    """This thread holds it already."""


class LimitError(Error, RuntimeError):
    """There is a limit to how many can use it, hold it or take part."""


class OverflowedError(InvalidError):
    """More was given back than was taken."""


class BrokenError(Error, _threading.BrokenBarrierError):
    """Somebody who took part died in the middle, came too late or aborted it."""


class ClosedError(InvalidError):
    """It is closed."""


class EmptyError(Error, _queue.Empty):
    """There is no message now."""


class FullError(Error, _queue.Full):
    """There is no room now."""


by_kind = {
    "AlreadyExists": ExistsError,
    "NotFound": NotFoundError,
    "InvalidName": InvalidError,
    "InvalidArgument": InvalidError,
    "NotASegment": FormatError,
    "UnsupportedVersion": FormatError,
    "Corrupted": FormatError,
    "SizeOverflow": InvalidError,
    "OutOfSpace": NoSpaceError,
    "OutOfMemory": NoMemoryError,
    "PermissionDenied": AccessError,
    "ForeignOwner": AccessError,
    "TypeMismatch": ElementTypeError,
    "ShapeMismatch": InvalidError,
    "Busy": BusyError,
    "LockHeld": BusyError,
    "ReadOnly": AccessError,
    "Inherited": ForkedError,
    "LimitExceeded": InvalidError,
    "NoSuchEntry": NoSuchEntryError,
    "Unsupported": UnsupportedError,
    "System": SystemCallError,
    "TimedOut": TimedOutError,
    "OwnerDied": OwnerDiedError,
    "RunnerDied": OwnerDiedError,
    "Poisoned": PoisonedError,
    "NotHeld": NotHeldError,
    "Deadlock": WouldDeadlockError,
    "TooManyProcesses": LimitError,
    "TooManyParties": LimitError,
    "TooManyLocks": LimitError,
    "TooManyReaders": LimitError,
    "TooDeep": LimitError,
    "Overflow": OverflowedError,
    "Broken": BrokenError,
    "Closed": ClosedError,
    "Empty": EmptyError,
    "Full": FullError,
    "Misaligned": InvalidError,
    "Mismatch": FormatError,
    "Corrupt": FormatError,
    "NotShared": AccessError,
    "InUse": BusyError,
    "Fork": LimitError,
    "Segment": SystemCallError,
}
