"""The Python side of `src/foreign.rs`: functions that take a number of rounds and return how many nanoseconds these took, asked for by name."""

import itertools
import os
import sys
import time


def serve(**functions):
    """Answers until there are no more questions."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, rounds = line.split()
        print(functions[name](int(rounds)), flush=True)


def timed(work, rounds):
    """How long so many calls take, after a few that are not counted: whoever has waited begins slowly."""
    for _ in range(min(rounds, 100)):
        work()
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, rounds):
        work()
    return time.perf_counter_ns() - start


def take_turns(rounds, here, there):
    """How long it takes two processes, each on a core of its own, to take turns: this one calls `here`, a forked one `there`, as often."""
    cores = sorted(os.sched_getaffinity(0))
    warm = min(rounds, 100)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.sched_setaffinity(0, cores[-1:])
            for _ in itertools.repeat(None, warm + rounds):
                there()
            code = 0
        finally:
            os._exit(code)
    os.sched_setaffinity(0, cores[:1])
    for _ in range(warm):
        here()
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, rounds):
        here()
    taken = time.perf_counter_ns() - start
    os.sched_setaffinity(0, cores)
    assert os.waitpid(child, 0)[1] == 0, "the other process failed"
    return taken
