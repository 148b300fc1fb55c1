"""Conditions with every lock: between threads, between processes of every kind, with killed holders and waiters, and with Ctrl-C."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

import shm

METHODS = ["fork", "spawn", "forkserver"]
LOCKS = [shm.Lock, shm.RLock, shm.Mutex]


@pytest.fixture(params=LOCKS, ids=lambda make: make.__name__)
def lock(request):
    return request.param()


def fork(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    process.start()
    return process


def is_free(lock):
    """Whether another process gets it."""
    child = os.fork()  # (a daemon of multiprocessing may have no children of its kind)
    if child == 0:
        os._exit(0 if lock.acquire(False) and lock.release() is None else 1)
    return os.waitpid(child, 0)[1] == 0


def hand_over(condition, turns, party, rounds):
    for number in range(rounds):
        with condition:
            assert condition.wait_for(lambda: turns[0] == 2 * number + party)
            turns[0] += 1
            condition.notify_all()


def test_threads(lock):
    condition, turns = shm.Condition(lock), [0]
    thread = threading.Thread(target=hand_over, args=(condition, turns, 1, 200))
    thread.start()
    hand_over(condition, turns, 0, 200)
    thread.join()
    assert turns == [400]


@pytest.mark.parametrize("method", METHODS)
def test_processes(lock, method):
    condition, turns = shm.Condition(lock), shm.zeros(1, int)
    process = multiprocessing.get_context(method).Process(target=hand_over, args=(condition, turns, 1, 100))
    process.start()
    hand_over(condition, turns, 0, 100)
    process.join()
    assert process.exitcode == 0 and turns[0] == 200


def test_it_travels_with_its_lock(lock):
    condition = shm.Condition(lock)
    again = pickle.loads(pickle.dumps(condition))
    both, same = pickle.loads(pickle.dumps((condition, lock)))
    with same:
        assert both.wait(0.001) is False
        assert again.wait(0.001) is False
        assert not is_free(lock)
    assert is_free(lock)


def test_several_conditions_share_a_lock(lock):
    full, free = shm.Condition(lock), shm.Condition(lock)
    with free:
        assert full.wait(0.01) is False
        full.notify()
        free.notify_all()


def test_a_timeout_passes_with_the_lock_held_again(lock):
    condition = shm.Condition(lock)
    with condition:
        begun = time.monotonic()
        assert condition.wait(0.02) is False
        assert time.monotonic() - begun >= 0.02
        assert condition.wait(0) is False and condition.wait(-1) is False
        assert condition.wait_for(lambda: 0, 0.01) == 0
        assert not is_free(lock)
        with pytest.raises(ValueError):
            condition.wait(float("nan"))
        assert not is_free(lock)
    assert is_free(lock)


def test_who_does_not_hold_the_lock_neither_waits_nor_notifies(lock):
    condition = shm.Condition(lock)

    def refused():
        for call in (condition.wait, lambda: condition.wait(0.01), condition.notify, condition.notify_all):
            with pytest.raises(shm.NotHeldError) as caught:
                call()
            assert isinstance(caught.value, RuntimeError) and "does not hold its lock" in str(caught.value)

    refused()
    with condition:
        condition.notify()

        def in_child():
            refused()
            os._exit(7)

        process = fork(in_child)
        process.join()
        assert process.exitcode == 7
        if not isinstance(lock, shm.Lock):  # which belongs to the whole process
            failures = []

            def in_thread():
                try:
                    refused()
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=in_thread)
            thread.start()
            thread.join()
            assert not failures
    refused()


def test_a_lock_of_the_process_is_waited_with_by_any_of_its_threads():
    lock = shm.Lock()
    condition, log = shm.Condition(lock), []
    lock.acquire()
    thread = threading.Thread(target=lambda: log.append(condition.wait(100)))
    thread.start()
    lock.acquire()  # free as soon as the thread waits
    condition.notify()
    lock.release()
    thread.join()
    assert log == [True]
    lock.release()


def test_a_wait_gives_all_levels_up_and_takes_them_back():
    lock = shm.RLock()
    condition, state = shm.Condition(lock), shm.zeros(1, int)

    def answer():
        with condition:
            state[0] = 1
            condition.notify()

    with lock, condition:
        lock.acquire()
        process = fork(answer)
        assert condition.wait_for(lambda: state[0], 100) == 1
        process.join()
        for _ in range(2):
            assert not is_free(lock)
            lock.release()
        assert not is_free(lock)
        lock.acquire()
        lock.acquire()
        lock.release()
    assert is_free(lock)
    with pytest.raises(shm.NotHeldError):
        lock.release()


def test_as_many_go_as_were_notified(lock):
    condition, state = shm.Condition(lock), shm.zeros(2, int)  # how many wait, how many have gone

    def wait():
        with condition:
            state[0] += 1
            condition.wait()
            state[1] += 1

    waiters = [fork(wait) for _ in range(4)]
    while True:
        with condition:
            if state[0] == 4:
                condition.notify(2)
                break
    while state[1] < 2:
        time.sleep(0.001)
    with condition:
        assert state[1] == 2
        condition.notify_all()
    for waiter in waiters:
        waiter.join()
    assert state[1] == 4


def die_with(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_waiter_hears_once_of_a_holders_death(lock):
    condition, told = shm.Condition(lock), shm.zeros(3, int)  # waiting, told, gone on

    def wait():
        with condition:
            told[0] += 1
            while not told[1]:
                try:
                    condition.wait()
                except shm.OwnerDiedError as error:
                    assert "has the lock again" in str(error) and not is_free(lock)
                    told[1] += 1
                    condition.notify_all()
            told[2] += 1

    waiters = [fork(wait) for _ in range(3)]
    while told[0] < 3:
        time.sleep(0.001)
    with condition:
        pass  # all of them wait
    fork(die_with, lock).join()
    for waiter in waiters:
        waiter.join()
        assert waiter.exitcode == 0
    assert told.tolist() == [3, 1, 3]
    assert is_free(lock)


def test_a_killed_waiter_takes_no_notification_with_it(lock):
    condition, state = shm.Condition(lock), shm.zeros(2, int)

    def wait():
        with condition:
            state[0] += 1
            condition.wait()
            state[1] += 1

    victim, other = fork(wait), fork(wait)
    while state[0] < 2:
        time.sleep(0.001)
    with condition:
        os.kill(victim.pid, signal.SIGSTOP)  # so that it is not quick enough to take it
        condition.notify()
        victim.kill()
    victim.join()
    other.join()
    assert other.exitcode == 0 and state[1] == 1


def test_all_who_wait_use_the_same_lock(lock):
    condition, state, other = shm.Condition(lock), shm.zeros(1, int), type(lock)()
    stranger = shm.Condition._open(condition.memory, condition.entry, other)

    def wait():
        with condition:
            state[0] = 1
            condition.wait()

    waiter = fork(wait)
    while not state[0]:
        time.sleep(0.001)
    with condition:
        pass  # it waits
    with stranger:
        with pytest.raises(ValueError, match="another mutex"):
            stranger.wait(1)
        assert not is_free(other)
    with condition:
        condition.notify()
    waiter.join()
    assert waiter.exitcode == 0


@pytest.mark.parametrize("what", [5, "lock", threading.Lock(), shm.RwLock(), shm.Semaphore(1), shm.Lock])
def test_what_is_no_lock_of_ours_is_refused(what):
    with pytest.raises(TypeError, match="shm.Lock, shm.RLock or shm.Mutex"):
        shm.Condition(what)


CTRL_C = """
import os, shm, signal, sys
lock = getattr(shm, sys.argv[1])()
condition = shm.Condition(lock)
condition.acquire()
if sys.argv[1] == "RLock":
    lock.acquire()
print("ready", flush=True)
try:
    condition.wait()
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.fork() == 0:
        os._exit(lock.acquire(False))
    assert os.wait()[1] == 0, "it is held again"
    condition.release()
    if sys.argv[1] == "RLock":
        lock.release()
    os._exit(7)
"""


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Mutex"])
def test_ctrl_c_ends_a_wait_with_the_lock_held_again(kind):
    process = subprocess.Popen([sys.executable, "-c", CTRL_C, kind], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        while process.poll() is None:
            # One that comes before the wait has begun is lost, as in every program.
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
    assert process.returncode == 7


def test_handlers_that_raise_nothing_let_the_wait_go_on(lock):
    condition, calls = shm.Condition(lock), []
    before = signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
    try:
        timer = threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        with condition:
            assert condition.wait(0.2) is False
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == [1]


@pytest.mark.parametrize("n", [-1, 1 << 40, 1 << 70])
def test_numbers_to_notify(lock, n):
    condition = shm.Condition(lock)
    with condition, pytest.raises(ValueError, match="out of range"):
        condition.notify(n)
    with condition:
        condition.notify(0)
        condition.notify(shm.zeros(1, int)[0] + 1)  # NumPy's numbers are numbers
