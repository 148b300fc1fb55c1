"""A map of 16 items whose results are arrays of 8 MiB, by two workers, with all that it takes to start and to end them."""

import multiprocessing

import numpy as np
import shm
from rows import serve, timed

ITEMS = range(16)


def work(item):
    return np.full(1 << 20, float(item))


def ours(rounds):
    return timed(lambda: shm.MapReduce(2).map(work, ITEMS), rounds)


def pool(rounds):
    def run():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(work, ITEMS)

    return timed(run, rounds)


assert all((array == item).all() for item, array in enumerate(shm.MapReduce(2).map(work, ITEMS)))
serve(ours=ours, pool=pool)
