"""A lock that nobody else wants: `with lock:`."""

import itertools
import multiprocessing
import time

import shm
from rows import serve


def rounds_of(lock):
    def timed(rounds):
        start = time.perf_counter_ns()
        for _ in itertools.repeat(None, rounds):
            with lock:
                pass
        return time.perf_counter_ns() - start

    return timed


serve(ours=rounds_of(shm.Lock()), multiprocessing=rounds_of(multiprocessing.Lock()))
