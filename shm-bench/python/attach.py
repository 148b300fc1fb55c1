"""Attaching a named array of 1000 numbers and letting it go: the same one over and over, and two by turns."""

import atexit
import itertools
import os
from multiprocessing import shared_memory

import numpy as np
import SharedArray
import shm
from rows import serve, timed

NAME = f"shm-bench-{os.getpid()}-python"
OTHER = f"{NAME}-other"
THEIRS = f"shm://{NAME}-sharedarray"
THEIR_OTHER = f"shm://{OTHER}-sharedarray"


def ours(rounds):
    return timed(lambda: shm.attach(NAME), rounds)


def sharedarray(rounds):
    return timed(lambda: SharedArray.attach(THEIRS), rounds)


def ours_by_turns(rounds):
    names = itertools.cycle((NAME, OTHER))
    return timed(lambda: shm.attach(next(names)), rounds)


def sharedarray_by_turns(rounds):
    names = itertools.cycle((THEIRS, THEIR_OTHER))
    return timed(lambda: SharedArray.attach(next(names)), rounds)


def sharedmemory(rounds):
    def attach():
        memory = shared_memory.SharedMemory(f"{NAME}-sharedmemory")
        array = np.ndarray((1000,), buffer=memory.buf)
        del array
        memory.close()

    return timed(attach, rounds)


# The first handles go at once: with them, attaching would find this process's mapping.
for name in (NAME, OTHER):
    shm.create(name, 1000)
    atexit.register(shm.delete, name)
for name in (THEIRS, THEIR_OTHER):
    SharedArray.create(name, 1000)
    atexit.register(SharedArray.delete, name)
original = shared_memory.SharedMemory(f"{NAME}-sharedmemory", create=True, size=8000)
original.close()
atexit.register(original.unlink)
for attach in (lambda: shm.attach(NAME), lambda: SharedArray.attach(THEIRS)):
    assert attach().shape == (1000,) and attach().sum() == 0
serve(
    ours=ours,
    ours_by_turns=ours_by_turns,
    sharedarray=sharedarray,
    sharedarray_by_turns=sharedarray_by_turns,
    sharedmemory=sharedmemory,
)
