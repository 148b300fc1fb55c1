"""Python's program for the cross-language tests: does what each line of standard input says, and answers with one line.

The words, and the formula for the values, are the same in all languages; `driver.rs` describes them.
"""

import sys

import numpy as np
import shm

PATIENCE = 30.0
TYPES = {"u8": "u1", "i32": "i4", "i64": "i8", "f32": "f4", "f64": "f8", "c128": "c16"}
KINDS = {"mutex": shm.Mutex, "process-mutex": shm.Lock, "barrier": shm.Barrier}
held = {}


def values(kind, shape, salt):
    n = (7 * np.arange(np.prod(shape)) + 13 * salt) % 101 + 3
    if kind == "c128":
        all_of_them = (n - 50) / 7 + 1j * (n / 11)
    elif kind in ("f32", "f64"):
        all_of_them = (n - 50).astype(TYPES[kind]) / np.array(7, TYPES[kind])
    else:
        all_of_them = {"u8": n, "i32": (n - 50) * 1000003, "i64": (n - 50) * 1000000000000037}[kind]
    return all_of_them.astype(TYPES[kind]).reshape(shape)


def shape_of(text):
    return tuple(int(extent) for extent in text.split("x"))


def create(name, kind, order, shape, salt):
    held[name] = shm.create(name, shape_of(shape), TYPES[kind], order)
    write(name, kind, salt)


def write(name, kind, salt):
    held[name][...] = values(kind, held[name].shape, int(salt))


def check(name, kind, order, shape, salt):
    array = held.setdefault(name, None)
    if array is None:
        array = held[name] = shm.attach(name)
    assert array.shape == shape_of(shape), f"the shape is {array.shape}"
    assert array.dtype == np.dtype(TYPES[kind]), f"the type is {array.dtype}"
    assert array.strides == np.empty(array.shape, array.dtype, order).strides, f"the strides are {array.strides}"
    expected = values(kind, array.shape, int(salt))
    assert (array == expected).all(), f"the values are {array.tolist()} and not {expected.tolist()}"


def make(kind, name, *parties):
    held[name] = KINDS[kind].create(name, *map(int, parties))


def found(kind, name):
    if name not in held:
        held[name] = KINDS[kind].attach(name)
    return held[name]


def hold(kind, name):
    assert found(kind, name).acquire(timeout=PATIENCE), "somebody else has the lock"


def release(kind, name):
    found(kind, name).release()


def attempt(kind, name):
    if not found(kind, name).acquire(block=False):
        return "busy"
    release(kind, name)
    return "free"


def lock(kind, name):
    try:
        hold(kind, name)
        state = "free"
    except shm.OwnerDiedError:
        hold(kind, name)
        state = "owner-died"
    release(kind, name)
    return state


def wait(name):
    found("barrier", name).wait(PATIENCE)


def close(name):
    held.pop(name, None)


WORDS = {"try": attempt, **{word.__name__: word for word in (create, write, check, make, hold, release, lock, wait, close)}}

for line in sys.stdin:
    word, *rest = line.split()
    try:
        answer = f"= {WORDS[word](*rest) or 'done'}"
    except Exception as error:
        answer = "! " + f"{type(error).__name__}: {error}".replace("\n", " ")
    print(answer, flush=True)
