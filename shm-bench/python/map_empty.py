"""A map of 100 000 items at which nothing is done, by two workers, with all that it takes to start and to end them."""

import shm
from bare import WORKERS, bare_map
from rows import serve, timed

ITEMS = range(100_000)


def nothing(item):
    pass


def ours(rounds):
    return timed(lambda: shm.MapReduce(WORKERS).map(nothing, ITEMS), rounds)


def bare(rounds):
    return timed(lambda: bare_map(nothing, ITEMS), rounds)


assert shm.MapReduce(WORKERS).map(nothing, ITEMS) == bare_map(nothing, ITEMS) == [None] * len(ITEMS)
serve(ours=ours, bare=bare)
