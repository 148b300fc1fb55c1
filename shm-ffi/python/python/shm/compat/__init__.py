"""Fronts with the names and signatures of other packages, over the memory, locks and workers of this one.

    from shm.compat import SharedArray as sa                     # for: import SharedArray as sa
    from shm.compat.shared_ndarray2 import SharedNDArray         # for: from shared_ndarray2 import SharedNDArray
    from shm.compat import sharedmem                             # for: import sharedmem

A front is imported when it is asked for. What is the same, better and different is told in each module, and in the README. The functions of
NumPy's pull request 7533 (`np.shm.empty` and its relatives) need no front: they are `shm.empty` and its relatives.
"""
