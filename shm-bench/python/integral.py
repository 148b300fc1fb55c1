"""The example of sharedmem's page: two workers fill a shared array of half a GiB with the rectangles under y = x, chunk by chunk, and sum them up."""

import numpy as np
import shm
from bare import WORKERS, bare_map
from rows import serve, timed

xdx = shm.zeros(1 << 26)
xdx[...] = 0  # touched: its pages are there
shmsum = shm.zeros(())
CHUNK = 1 << 20
CHUNKS = range(0, len(xdx), CHUNK)


def fill(i):
    dx = 1.0 / len(xdx)
    xdx[i : i + CHUNK] = np.arange(i, i + CHUNK) * 1.0 / len(xdx) * dx
    return xdx[i : i + CHUNK].sum()


def ours(rounds):
    def integral():
        shmsum[...] = 0
        with shm.MapReduce(WORKERS) as pool:

            def work(i):
                a = fill(i)
                with pool.critical:
                    shmsum[...] += a
                return i, a

            return sum(pool.map(work, CHUNKS, reduce=lambda i, a: a))

    return timed(integral, rounds)


def bare(rounds):
    return timed(lambda: sum(bare_map(fill, CHUNKS)), rounds)


ours(1)
assert abs(float(shmsum) - 0.5) < 1e-6 and abs(sum(bare_map(fill, CHUNKS)) - 0.5) < 1e-6
serve(ours=ours, bare=bare)
