"""What NumPy's pull request 7533 is about: arrays that are made as ever, and reach other processes as multiprocessing.Array would."""

import multiprocessing
import pickle

import numpy as np
import pytest

import shm

METHODS = ["fork", "spawn", "forkserver"]


def fill(array):
    array[...] = np.arange(array.size).reshape(array.shape)


def keep(array):
    global kept
    kept = array


def square(i):
    kept[i] **= 2
    return type(kept).__name__


def hull(vertices, polygon):
    """A function of some module that takes arrays and gives an array."""
    assert isinstance(vertices, np.ndarray) and isinstance(polygon, np.ndarray)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    polygon[:] = [low, (high[0], low[1]), high, (low[0], high[1])]


@pytest.mark.parametrize("method", METHODS)
def test_an_array_as_the_argument_of_a_process(method):
    context = multiprocessing.get_context(method)
    array = shm.empty((3, 4), "i4")
    process = context.Process(target=fill, args=(array,))
    process.start()
    process.join()
    assert array.tolist() == np.arange(12).reshape(3, 4).tolist()


@pytest.mark.parametrize("method", METHODS)
def test_an_array_as_a_global_of_a_pool(method):
    array = shm.copy(np.arange(10.0))
    with multiprocessing.get_context(method).Pool(2, keep, (array,)) as pool:
        assert set(pool.map(square, range(10))) == {"SharedArray"}
    assert array.tolist() == [i * i for i in range(10)]


@pytest.mark.parametrize("method", METHODS)
def test_arrays_at_both_ends_of_a_function(method):
    vertices = shm.copy(np.random.default_rng(1).random((1000, 2)))
    polygon = shm.zeros((4, 2))
    with multiprocessing.get_context(method).Pool(1) as pool:
        pool.apply(hull, (vertices, polygon))  # the pull request has to go by a global variable here
    assert np.array_equal(polygon[0], vertices.min(axis=0)) and np.array_equal(polygon[2], vertices.max(axis=0))


def test_the_functions_are_those_of_numpy():
    for ours, theirs in (
        (shm.empty((2, 3), "f4"), np.empty((2, 3), "f4")),
        (shm.zeros(5, dtype=int), np.zeros(5, dtype=int)),
        (shm.ones((2, 2), order="F"), np.ones((2, 2), order="F")),
        (shm.copy(np.arange(6).reshape(2, 3).T), np.copy(np.arange(6).reshape(2, 3).T)),
        (shm.full((2,), 7), np.full((2,), 7)),
    ):
        assert isinstance(ours, np.ndarray)
        assert (ours.shape, ours.dtype, ours.strides) == (theirs.shape, theirs.dtype, theirs.strides)


def test_the_subclass_is_only_on_what_is_shared():
    a = shm.ones(4)
    for private in (a + 1, a.sum(), np.sin(a), a[[1, 2]], a.copy(), np.array(a)):
        assert not isinstance(private, shm.SharedArray) and not (isinstance(private, np.ndarray) and shm.is_shared(private))
    for shared in (a, a[1:], a.reshape(2, 2), a.T):
        assert isinstance(shared, shm.SharedArray) and shm.is_shared(shared)
    b = pickle.loads(pickle.dumps(a[::-1]))
    b[0] = 5
    assert a[3] == 5
