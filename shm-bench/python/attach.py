"""Attaching a named array of 1000 numbers and letting it go."""

import atexit
import os
from multiprocessing import shared_memory

import numpy as np
import SharedArray
import shm
from rows import serve, timed

NAME = f"shm-bench-{os.getpid()}-python"
THEIRS = f"shm://{NAME}-sharedarray"


def ours(rounds):
    return timed(lambda: shm.attach(NAME), rounds)


def sharedarray(rounds):
    return timed(lambda: SharedArray.attach(THEIRS), rounds)


def sharedmemory(rounds):
    def attach():
        memory = shared_memory.SharedMemory(f"{NAME}-sharedmemory")
        array = np.ndarray((1000,), buffer=memory.buf)
        del array
        memory.close()

    return timed(attach, rounds)


# The first handles go at once: with them, attaching would find this process's mapping.
shm.create(NAME, 1000)
atexit.register(shm.delete, NAME)
SharedArray.create(THEIRS, 1000)
atexit.register(SharedArray.delete, THEIRS)
original = shared_memory.SharedMemory(f"{NAME}-sharedmemory", create=True, size=8000)
original.close()
atexit.register(original.unlink)
for attach in (lambda: shm.attach(NAME), lambda: SharedArray.attach(THEIRS)):
    assert attach().shape == (1000,) and attach().sum() == 0
serve(ours=ours, sharedarray=sharedarray, sharedmemory=sharedmemory)
