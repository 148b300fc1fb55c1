"""What the machine has, and whether a debugger is wanted."""

from __future__ import annotations

import os

from ..._workers import cpu_count as cpu_count

_debug = False


def set_debug(flag: bool) -> None:
    """Makes every map run in this process from now on, one item after the other and with exceptions as they are, so that pdb can look at them."""
    global _debug
    _debug = bool(flag)


def get_debug() -> bool:
    """Whether maps run in this process."""
    return _debug


def total_memory() -> int:
    """How many bytes of memory this machine has, as /proc/meminfo says; without it, as sysconf(3) says."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                what, _, size = line.partition(":")
                if what == "MemTotal":
                    return int(size.split()[0]) * 1024
    except OSError:
        pass  # a sandbox without /proc
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
