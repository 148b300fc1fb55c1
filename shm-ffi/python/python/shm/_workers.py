"""How many workers there are unless somebody says it, and the numbers that users give."""

from __future__ import annotations

from typing import Any

from . import _shm


def cpu_count() -> int:
    """How many workers a pool has unless it is told: what OMP_NUM_THREADS, else PBS_NUM_PPN, else SLURM_CPUS_PER_TASK says; else the
    processors that this process may run on, limited by the quota of its control group."""
    return _shm.default_workers()


def count(what: str, number: Any) -> int:
    """A number that a user has given for `what`, which cannot be negative."""
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(f"{what} is a number, not {number!r}")
    number = number.__index__()
    if number < 0:
        raise ValueError(f"{what} cannot be negative, and {number} is")
    return int(number)


def positive(what: str, number: Any) -> int:
    """One that cannot be 0 either."""
    number = count(what, number)
    if number == 0:
        raise ValueError(f"{what} has to be 1 at least")
    return int(number)
