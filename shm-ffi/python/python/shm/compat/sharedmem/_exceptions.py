"""What is raised when a worker fails."""

from __future__ import annotations

import warnings
from typing import Any, Tuple

from ..._results import RemoteError, RemoteTraceback, ResultError, WorkerDiedError


class LostExceptionType(Warning):
    """An exception in a worker cannot be pickled: what arrives has its text and another type."""


class WorkerException(Exception):
    """What a worker failed with: `reason`, the exception (an Exception with its text if it cannot be pickled), and `traceback`, the worker's, as text."""

    reason: Exception
    traceback: str

    def __init__(self, reason: Any, traceback: str = "") -> None:
        if not isinstance(reason, Exception):
            warnings.warn(f"the type of an exception is lost, because it cannot be pickled: {reason}", LostExceptionType, stacklevel=2)
            reason = Exception(reason)
        self.reason = reason
        self.traceback = traceback
        super().__init__(f"{reason}\n{traceback}")

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.reason, self.traceback)


#: What it was called in times of old.
SlaveException = WorkerException


class StopProcessGroup(Exception):
    """Says that the other workers have failed, so that this one shall end."""

    def __init__(self) -> None:
        super().__init__("the other workers have failed or were told to end")


def of_a_worker(error: BaseException) -> bool:
    """Whether an exception has come out of a worker."""
    return isinstance(error, (WorkerDiedError, ResultError, RemoteError)) or isinstance(error.__cause__, RemoteTraceback)


def wrapped(error: BaseException) -> WorkerException:
    """The exception for what a worker has failed with."""
    traceback = error.__cause__.text if isinstance(error.__cause__, RemoteTraceback) else ""
    if isinstance(error, RemoteError) or not isinstance(error, Exception):
        return WorkerException(str(error), traceback)
    return WorkerException(error, traceback)
