"""How long it takes until whoever waits hears of a worker's death, from the kill to the exception."""

import itertools
import multiprocessing
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

import shm
from rows import serve

killed_at = shm.zeros(1, int)


def die(_):
    killed_at[0] = time.perf_counter_ns()  # the same clock in all processes
    os.kill(os.getpid(), signal.SIGKILL)


def noticing(work, expected):
    def run(rounds):
        taken = 0
        for _ in itertools.repeat(None, rounds):
            try:
                work()
            except expected:
                taken += time.perf_counter_ns() - int(killed_at[0])
            else:
                raise AssertionError("the death was not told")
        return taken

    return run


def executor():
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(die, range(2)))


serve(
    ours=noticing(lambda: shm.MapReduce(2).map(die, range(1)), shm.WorkerDiedError),
    executor=noticing(executor, BrokenProcessPool),
)
