"""What `list` and `inspect` answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One thing in a segment."""

    name: str
    #: "array", "primitive", "arena" or "bytes"
    kind: str
    #: where its bytes begin in the segment
    offset: int
    #: how many it had when the segment was created
    nbytes: int
    #: of an array; None also if NumPy has no such type on this machine
    dtype: Optional[np.dtype[Any]]
    #: of an array
    shape: Optional[Tuple[int, ...]]
    #: of an array, in bytes
    strides: Optional[Tuple[int, ...]]


@dataclass(frozen=True)
class SegmentInfo:
    """What is known about a segment without attaching it."""

    #: with its prefix; None for memory without a name
    name: Optional[str]
    #: "array", "primitive", "arena" or "pool"
    kind: str
    #: "persistent", "last-detach" or "scoped"
    lifetime: str
    entries: Tuple[Entry, ...]
    #: length, header included
    nbytes: int
    #: the length up to which it can grow
    capacity: int
    #: the permissions
    mode: int
    #: the user that it belongs to
    owner: int
    #: process id of the creator, as the creator saw it
    creator: int
    #: None if that cannot be known from here
    creator_alive: Optional[bool]
    #: seconds since 1970
    created: float
    #: whether anybody has it attached
    attached: bool
    #: process id of the holder of the exclusive lease (0 if unknown); None without
    leased_by: Optional[int]
    #: why a touch of its pages may fail; None if it cannot
    not_guaranteed: Optional[str]

    @property
    def _array(self) -> Optional[Entry]:
        arrays = [entry for entry in self.entries if entry.kind == "array"]
        return arrays[0] if len(arrays) == 1 else None

    @property
    def dtype(self) -> Optional[np.dtype[Any]]:
        """Element type of the only array; None if there is none, or several."""
        return self._array.dtype if self._array else None

    @property
    def shape(self) -> Optional[Tuple[int, ...]]:
        """Shape of the only array; None if there is none, or several."""
        return self._array.shape if self._array else None

    @property
    def data_offset(self) -> int:
        """Where the data begin in the file behind the name."""
        return self.entries[0].offset
