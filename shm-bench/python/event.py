"""Two processes that take turns by two events, as each is set and taken down again."""

import multiprocessing

import shm
from rows import serve, take_turns


def turns_by(ping, pong):
    def here():
        ping.set()
        pong.wait()
        pong.clear()

    def there():
        ping.wait()
        ping.clear()
        pong.set()

    return lambda rounds: take_turns(rounds, here, there)


theirs = multiprocessing.get_context("fork")
serve(ours=turns_by(shm.Event(), shm.Event()), multiprocessing=turns_by(theirs.Event(), theirs.Event()))
