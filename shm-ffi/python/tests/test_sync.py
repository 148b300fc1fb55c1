"""Locks and the other primitives: between threads, between processes of every kind, with killed holders, and with Ctrl-C."""

import gc
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import shm

METHODS = ["fork", "spawn", "forkserver"]
LOCKS = [shm.Lock, shm.Mutex, shm.RLock]
MAKE = {
    "Lock": shm.Lock,
    "Mutex": shm.Mutex,
    "RLock": shm.RLock,
    "RwLock": shm.RwLock,
    "Event": shm.Event,
    "Once": shm.Once,
    "Semaphore": lambda: shm.Semaphore(2),
    "BoundedSemaphore": lambda: shm.BoundedSemaphore(2),
    "Latch": lambda: shm.Latch(2),
    "Sequencer": shm.Sequencer,
    "Barrier": lambda: shm.Barrier(2),
    "Condition": shm.Condition,
    "Channel": shm.Channel,
    "Queue": shm.Queue,
}


def run(target, *args):
    """Runs a function in a forked child and returns its exit code."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    process.join()
    return process.exitcode


def in_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def raises(error, function, *args):
    try:
        function(*args)
    except error:
        return True
    return False


@pytest.mark.parametrize("make", LOCKS)
def test_locks(make):
    lock = make()
    assert lock.acquire() is True
    assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: lock.acquire(timeout=0.01)) is False
    assert in_thread(lambda: lock.acquire(True, -1)) is False
    lock.release()
    with lock:
        assert in_thread(lambda: lock.acquire(block=False)) is False
    assert in_thread(lambda: (lock.acquire(), lock.release())[0]) is True
    with pytest.raises(ValueError):
        lock.release()
    with pytest.raises(RuntimeError):
        lock.release()
    with pytest.raises(ValueError):
        lock.acquire(timeout=float("nan"))
    with pytest.raises(ZeroDivisionError):
        with lock:
            1 / 0
    assert lock.acquire(False)
    lock.release()


def test_a_lock_is_released_by_another_thread_and_another_process():
    lock = shm.Lock()
    lock.acquire()
    assert lock.locked() and lock.holder == os.getpid()
    in_thread(lock.release)
    assert not lock.locked() and lock.holder is None
    lock.acquire()
    assert run(lock.release) == 0
    assert lock.acquire(False)
    lock.release()


def test_who_does_not_hold_it_cannot_release_it():
    for lock in (shm.Mutex(), shm.RLock()):
        with lock:
            assert in_thread(lambda: raises(shm.NotHeldError, lock.release))
            child = os.fork()
            if child == 0:
                os._exit(0 if raises(shm.NotHeldError, lock.release) and not lock.acquire(False) else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert lock.acquire(False)
        lock.release()


def test_a_recursive_lock():
    lock = shm.RLock()
    with lock, lock:
        assert lock.acquire(False)
        lock.release()
        assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: lock.acquire(False)) is True  # and that thread has ended with it
    with pytest.raises(shm.OwnerDiedError):
        lock.acquire()
    with lock:
        pass


def test_a_mutex_is_not_recursive():
    lock = shm.Mutex()
    with lock:
        with pytest.raises(RuntimeError):
            lock.acquire()


@pytest.mark.parametrize("make", LOCKS)
def test_a_holders_death_is_told_once(make):
    lock = make()

    def hold():
        lock.acquire()
        die()

    assert run(hold) == -signal.SIGKILL
    with pytest.raises(shm.OwnerDiedError, match="died"):
        lock.acquire()
    assert lock.acquire()
    lock.release()
    assert run(hold) == -signal.SIGKILL
    assert lock.acquire_robust() is False
    lock.release()
    assert lock.acquire_robust() is True
    if make is not shm.RLock:
        with pytest.raises((TimeoutError, RuntimeError)):
            lock.acquire_robust(0.01)
    lock.release()


@pytest.mark.parametrize("make", LOCKS)
def test_a_waiter_hears_of_the_death(make):
    lock = make()
    read, write = os.pipe()

    def hold():
        lock.acquire()
        os.write(write, b"x")
        time.sleep(0.05)
        die()

    process = multiprocessing.get_context("fork").Process(target=hold)
    process.start()
    os.read(read, 1)
    with pytest.raises(shm.OwnerDiedError):
        lock.acquire()
    process.join()
    os.close(read)
    os.close(write)


def count(lock, array, rounds):
    for _ in range(rounds):
        with lock:
            array[0] += 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", LOCKS)
def test_locks_exclude(method, make):
    lock, array = make(), shm.zeros(1, int)
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=count, args=(lock, array, 2000)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert array[0] == 6000


@pytest.mark.parametrize("kind", MAKE)
def test_everything_travels(kind):
    made = MAKE[kind]()
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is type(made) and again.entry == made.entry
    assert again.memory.identity == made.memory.identity
    assert kind in repr(made)


@pytest.mark.parametrize("kind", MAKE)
def test_weak_references_are_possible_as_in_the_standard_library(kind):
    made = MAKE[kind]()
    reference = weakref.ref(made)
    assert reference() is made
    del made
    gc.collect()
    assert reference() is None


def use_everything(things):
    """Does something with each that is seen on the other side."""
    with things["Lock"], things["Mutex"], things["RLock"], things["RwLock"].write(), things["Semaphore"]:
        things["Event"].set()
        things["Once"].call(lambda: None)
        things["BoundedSemaphore"].acquire()
        things["Latch"].count_down(2)
        with things["Sequencer"].turn(0):
            pass
        with things["Condition"]:
            things["Condition"].notify_all()
        things["Channel"].send(b"hello")
        things["Queue"].put({"a": shm.full(3, 5)})
    return things["Barrier"].parties


@pytest.mark.parametrize("method", METHODS)
def test_everything_is_used_in_other_processes(method):
    things = {kind: make() for kind, make in MAKE.items()}
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(use_everything, (things,)) == 2
        pool.close()
        pool.join()
    assert things["Event"].is_set() and things["Once"].completed
    assert things["BoundedSemaphore"].get_value() == 1
    assert things["Latch"].remaining == 0 and things["Latch"].wait(0)
    assert things["Sequencer"].current == 1
    assert things["Channel"].recv() == b"hello"
    assert things["Queue"].get()["a"].tolist() == [5, 5, 5]
    for kind in ("Lock", "Mutex", "RLock"):
        assert things[kind].acquire(False)
        things[kind].release()


def test_named(names):
    for kind, initial in [(shm.Lock, ()), (shm.Semaphore, (3,)), (shm.Barrier, (2,)), (shm.Condition, ()), (shm.Queue, (1000,)), (shm.Latch, (4,))]:
        name = names()
        made = kind.create(name, *initial)
        with pytest.raises(FileExistsError):
            kind.create(name, *initial)
        found = kind.attach(name)
        assert type(found) is kind and found.memory.identity == made.memory.identity
        assert kind.create_or_attach(name, *initial).entry == made.entry
        with pytest.raises((ValueError, LookupError)):
            shm.Event.attach(name)
        assert shm.inspect(name).kind == "primitive"
    with pytest.raises(ValueError, match="4 parties"):
        shm.Latch.create_or_attach(name, 5)
    with pytest.raises(FileNotFoundError):
        shm.Lock.attach("no-such-name-here")


def test_beside_an_array(name):
    a = shm.create(name, 10, beside={"lock": shm.Lock, "free": (shm.Semaphore, 3), "change": shm.Condition})
    b = shm.attach(name)
    assert b.shape == (10,) and not b.any()
    lock = shm.Lock.beside(b[2:], "lock")
    with shm.Lock.beside(a, "lock"):
        assert not lock.acquire(False)
    assert shm.Semaphore.attach(name, "free").get_value() == 3
    with shm.Condition.beside(a, "change") as held:
        assert held
    with pytest.raises(LookupError):
        shm.Lock.beside(a, "key")
    with pytest.raises(ValueError):
        shm.Lock.beside(a, "free")
    with pytest.raises(ValueError):
        shm.Lock.beside([], "free") if False else shm.Lock.beside(shm.zeros(3)[:0].copy(), "free")
    assert pickle.loads(pickle.dumps(lock)).entry == "lock"
    assert shm.create_or_attach(name, 10, beside={"lock": shm.Lock}).shape == (10,)
    with pytest.raises(ValueError):
        shm.create_or_attach(name, 11, beside={"lock": shm.Lock})
    for bad in ({"lock": 3}, {"lock": (shm.Semaphore, "x")}):
        with pytest.raises(TypeError):
            shm.zeros(3, beside=bad)


def test_semaphores():
    s = shm.Semaphore(1)
    assert s.acquire() and not s.acquire(False) and not s.acquire(timeout=0.01)
    s.release(3)
    assert s.get_value() == 3
    with s:
        assert s.get_value() == 2
    b = shm.BoundedSemaphore(2)
    with pytest.raises(ValueError):
        b.release()
    for bad in (-1, 1 << 40):
        with pytest.raises(ValueError):
            shm.Semaphore(bad)
    with pytest.raises(TypeError):
        shm.Semaphore("many")
    with pytest.raises(ValueError):
        shm.Semaphore(1 << 200)
    assert shm.Semaphore(np.int64(3)).get_value() == 3


def test_numbers_that_are_out_of_range():
    s, latch, order = shm.Semaphore(1), shm.Latch(2), shm.Sequencer()
    for bad in (-1, 1 << 33, 1 << 64, 1 << 200):
        for call in (s.release, latch.count_down):
            with pytest.raises(ValueError):
                call(bad)
    for bad in (-1, 1 << 64):
        for call in (order.acquire, order.skip, order.reset, order.recover):
            with pytest.raises(ValueError):
                call(bad)
    for call in (s.release, latch.count_down, order.acquire):
        with pytest.raises(TypeError):
            call(1.5)
    assert s.get_value() == 1 and latch.remaining == 2 and order.current == 0


@pytest.mark.parametrize("make", [shm.Lock, shm.Mutex, shm.Semaphore, shm.BoundedSemaphore, shm.Condition])
def test_whether_to_block_is_said_as_to_the_standard_library(make):
    lock = make()
    assert lock.acquire(1)
    for words in ((0,), (False,), (None,), (0, 100), (True, 0), (1, -1), (True, np.float32(0))):
        assert in_thread(lambda: lock.acquire(*words)) is False
    assert in_thread(lambda: lock.acquire(block=0)) is False
    lock.release()
    for wrong in ((True, "soon"), (True, float("nan")), (True, [])):
        with pytest.raises((TypeError, ValueError)):
            lock.acquire(*wrong)
    assert lock.acquire(0)
    lock.release()


def test_events():
    event, back = shm.Event(), shm.Event()

    def answer():
        event.wait()
        back.set()

    process = multiprocessing.get_context("fork").Process(target=answer)
    process.start()
    assert not back.wait(0.01)
    event.set()
    assert back.wait()
    process.join()
    event.clear()
    assert not event.is_set() and not event.wait(0)


def test_reading_and_writing():
    lock = shm.RwLock()
    with lock.read(), lock.read():
        assert in_thread(lambda: lock.acquire_read(False) and (lock.release_read() or True))
        assert not in_thread(lambda: lock.acquire_write(False))
        assert not in_thread(lambda: lock.acquire_write(timeout=0.01))
        with pytest.raises(shm.NotHeldError):
            lock.release_write()
    with lock.write():
        assert not in_thread(lambda: lock.acquire_read(False))

    def hold():
        lock.acquire_write()
        die()

    run(hold)
    with pytest.raises(shm.OwnerDiedError):
        lock.acquire_read()
    with lock.read():
        pass
    run(hold)
    assert lock.acquire_robust() is False
    lock.release_write()


def test_conditions():
    condition, array = shm.Condition(), shm.zeros(1, int)

    def produce():
        for _ in range(100):
            with condition:
                condition.wait_for(lambda: array[0] == 0)
                array[0] = 1
                condition.notify()

    process = multiprocessing.get_context("fork").Process(target=produce)
    process.start()
    for _ in range(100):
        with condition:
            condition.wait_for(lambda: array[0] == 1)
            array[0] = 0
            condition.notify_all()
    process.join()
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: False, 0.01) is False
    with pytest.raises(RuntimeError):
        condition.wait(0)
    with pytest.raises(RuntimeError):
        condition.notify()


def test_barriers():
    barrier = shm.Barrier(3)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(barrier.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [0, 1, 2]
    assert barrier.parties == 3 and barrier.n_waiting == 0 and not barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken

    def fail():
        raise KeyError("action")

    calls = []
    alone = shm.Barrier(1, lambda: calls.append(1))
    assert alone.wait() == 0 and calls == [1]
    failing = shm.Barrier(1, fail)
    with pytest.raises(KeyError):
        failing.wait()
    assert failing.broken


def test_a_barrier_is_broken_by_a_death():
    barrier = shm.Barrier(2)
    read, write = os.pipe()

    def wait():
        os.write(write, b"x")
        barrier.wait()

    process = multiprocessing.get_context("fork").Process(target=wait)
    process.start()
    os.read(read, 1)
    while barrier.n_waiting == 0:
        time.sleep(0.001)
    process.kill()
    process.join()
    with pytest.raises(shm.BrokenError):
        barrier.wait()
    os.close(read)
    os.close(write)


def test_once():
    once, calls = shm.Once(), []
    assert once.call(lambda: calls.append(1)) is True
    assert once.call(lambda: calls.append(2)) is False
    assert calls == [1]

    def fail():
        raise KeyError

    failing = shm.Once()
    with pytest.raises(KeyError):
        failing.call(fail)
    with pytest.raises(shm.OwnerDiedError):
        failing.call(lambda: None)
    assert failing.call(lambda: None, force=True) is True and failing.completed


def test_turns():
    order, log = shm.Sequencer(), []
    threads = [threading.Thread(target=lambda n=n: take_turn(order, n, log)) for n in (2, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log == [0, 1, 2] and order.current == 3
    with pytest.raises(TimeoutError):
        with order.turn(9, 0.01):
            pass
    with pytest.raises(shm.NotHeldError):
        order.release()

    def end_in_turn():
        order.acquire(3)
        die()

    run(end_in_turn)
    with pytest.raises(shm.BrokenError):
        order.acquire(4)
    assert order.broken == 3
    order.recover(3)
    order.release()
    assert order.current == 4


def take_turn(order, n, log):
    with order.turn(n):
        log.append(n)


def test_channels_and_queues():
    channel = shm.Channel(100)
    channel.send(b"one")
    channel.send(b"")
    assert len(channel) == 2 and channel.recv() == b"one" and channel.recv(timeout=1) == b""
    with pytest.raises(queue.Empty):
        channel.recv(False)
    with pytest.raises((queue.Empty, TimeoutError)):
        channel.recv(timeout=0.01)
    with pytest.raises(ValueError):
        channel.send(b"x" * 101)
    with pytest.raises(queue.Full):
        while True:
            channel.send(b"x" * 20, False)
    assert channel.close() is True and channel.close() is False and channel.closed
    with pytest.raises(shm.ClosedError):
        channel.send(b"x")
    q = shm.Queue()
    q.put([1, "two"])
    assert q.qsize() == 1 and not q.empty() and q.get_nowait() == [1, "two"]
    with pytest.raises(queue.Empty):
        q.get_nowait()
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)


CTRL_C = """
import os, shm, signal, sys, threading, _thread
lock = shm.Lock(); lock.acquire()
mutex = shm.Mutex(); held = threading.Event()
def hold():
    mutex.acquire(); held.set(); threading.Event().wait()
threading.Thread(target=hold, daemon=True).start(); held.wait()
condition = shm.Condition(); condition.acquire()
waits = {
    "Lock": lock.acquire, "with": lock.__enter__, "timed": lambda: lock.acquire(timeout=100), "Mutex": mutex.acquire,
    "Semaphore": shm.Semaphore(0).acquire, "Event": shm.Event().wait, "Condition": condition.wait, "Barrier": shm.Barrier(2).wait,
    "Latch": shm.Latch(1).wait, "Channel": shm.Channel().recv, "Queue": shm.Queue().get, "Sequencer": lambda: shm.Sequencer().acquire(5),
}
def interrupt(number, frame):
    signal.signal(number, signal.SIG_IGN)  # once is enough: the next one could come when the first has ended the wait
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupt)
try:
    print("ready", flush=True)
    waits[sys.argv[1]]()
except KeyboardInterrupt:
    print("interrupted")
    condition.release()
    os._exit(7)
"""


@pytest.mark.parametrize(
    "what", ["Lock", "with", "timed", "Mutex", "Semaphore", "Event", "Condition", "Barrier", "Latch", "Channel", "Queue", "Sequencer"]
)
def test_ctrl_c_ends_a_wait(what):
    process = subprocess.Popen([sys.executable, "-c", CTRL_C, what], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        while process.poll() is None:
            # One that comes before the wait has begun is lost, as in every program.
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
    assert process.returncode == 7


def test_other_threads_run_during_a_wait():
    lock, log = shm.Lock(), []
    lock.acquire()
    threading.Timer(0.01, lambda: (log.append("other"), lock.release())).start()
    lock.acquire()
    assert log == ["other"]
    lock.release()


def test_many_locks_do_not_exhaust_anything():
    locks = [shm.Lock() for _ in range(200)]
    for lock in locks:
        with lock:
            pass


def test_the_memory_of_an_array_is_the_arrays(name):
    a = shm.create(name, 10, beside={"lock": shm.Lock})
    for memory in (a.base, a.memory, a[3:].memory, shm.memory_of(a)):
        assert memory.addr == a.ctypes.data and memory.size == 80
        assert memory.array().shape == (10,)
    assert shm.inspect(name).data_offset <= a.memory.data_offset
