"""`shared_ndarray2` over this package: `SharedNDArray`, an array in a `multiprocessing.shared_memory.SharedMemory`.

    from shm.compat.shared_ndarray2 import SharedNDArray, shared_ndarray

    with SharedMemoryManager() as manager:
        array = SharedNDArray.from_array(manager, np.arange(1024), lock=True)

What is better: the `lock` exists, and travels through queues and pools; arrays that were taken out stay valid after the object, the
manager or the name is gone, and travel by reference; opening by name never makes a process responsible for the memory's end; arrays of no
elements and of no dimensions work; a name may lead to a segment of this package; slices keep their element type for type checkers.
"""

from ..._shm import __version__ as __version__
from . import shared_ndarray as shared_ndarray
from .shared_ndarray import VALID_SHARED_TYPES as VALID_SHARED_TYPES
from .shared_ndarray import ShareableT as ShareableT
from .shared_ndarray import SharedNDArray as SharedNDArray

__all__ = ["ShareableT", "SharedNDArray", "VALID_SHARED_TYPES", "shared_ndarray"]
