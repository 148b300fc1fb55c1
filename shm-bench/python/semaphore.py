"""Two processes that take turns by two semaphores."""

import multiprocessing

import shm
from rows import serve, take_turns


def turns_by(ping, pong):
    def here():
        ping.release()
        pong.acquire()

    def there():
        ping.acquire()
        pong.release()

    return lambda rounds: take_turns(rounds, here, there)


theirs = multiprocessing.get_context("fork")
serve(ours=turns_by(shm.Semaphore(0), shm.Semaphore(0)), multiprocessing=turns_by(theirs.Semaphore(0), theirs.Semaphore(0)))
