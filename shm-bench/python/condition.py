"""Two processes that take turns by a condition, which guards a byte that says whose turn it is."""

import mmap
import multiprocessing

import shm
from rows import serve, take_turns


def turns_by(condition):
    turn = mmap.mmap(-1, 1)

    def here():
        with condition:
            turn[0] = 1
            condition.notify()
            while turn[0] == 1:
                condition.wait()

    def there():
        with condition:
            while turn[0] == 0:
                condition.wait()
            turn[0] = 0
            condition.notify()

    return lambda rounds: take_turns(rounds, here, there)


serve(ours=turns_by(shm.Condition()), multiprocessing=turns_by(multiprocessing.get_context("fork").Condition()))
