"""The least that any map by processes has to do: two bare forks, each with its half of the items, results pickled through pipes."""

import os
import pickle

WORKERS = 2


def bare_map(function, items):
    """Calls a function for each item in two forked processes; what is not done: noticing their deaths, sharing out, large results."""
    pipes = []
    for rank in range(WORKERS):
        read, write = os.pipe()
        if os.fork() == 0:
            share = items[rank * len(items) // WORKERS : (rank + 1) * len(items) // WORKERS]
            with os.fdopen(write, "wb") as pipe:
                pickle.dump([function(item) for item in share], pipe, 5)
            os._exit(0)
        os.close(write)
        pipes.append(read)
    results = []
    for read in pipes:
        with os.fdopen(read, "rb") as pipe:
            results += pickle.load(pipe)
        os.wait()
    return results
