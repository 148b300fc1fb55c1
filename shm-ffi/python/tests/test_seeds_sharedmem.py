"""The examples of sharedmem's page, with only the import changed (and the array made smaller).

The page has lost some words to its printing: the calls `pool.map(`, `sharedmem.set_debug(`, and the indentation of two lines. They are in their places here.
"""

import os
import subprocess
import sys

INTEGRATE = '''
"""
    Integrate [0, ... 1.0) with rectangle rule.
    Compare results from
    1. direct sum of 'xdx' (filled by subprocesses)
    2. 'shmsum', cummulated by partial sums on each process
    3. sum of partial sums from each process.

"""
import numpy
import sharedmem
from numpy.testing import assert_almost_equal

xdx = sharedmem.empty(1024 * 1024 * 4, dtype='f8')
shmsum = sharedmem.empty((), dtype='f8')

shmsum[...] = 0.0

with sharedmem.MapReduce() as pool:

    def work(i):
        s = slice (i, i + chunksize)
        start, end, step = s.indices(len(xdx))

        dx = 1.0 / len(xdx)

        myxdx = numpy.arange(start, end, step) \\
                * 1.0 / len(xdx) * dx

        xdx[s] = myxdx

        a = xdx[s].sum(dtype='f8')

        with pool.critical:
            shmsum[...] += a

        return i, a

    def reduce(i, a):
        # print('chunk', i, 'done', 'local sum', a)
        return a

    chunksize = 1024 * 1024

    r = pool.map(work, range(0, len(xdx), chunksize), reduce=reduce)

assert_almost_equal(numpy.sum(r, dtype='f8'), shmsum)
assert_almost_equal(numpy.sum(xdx, dtype='f8'), shmsum)
'''

COUNT = '''
"""
    An example word counting program. The parallelism is per line.

    In reality, the parallelism shall be at least on a file level to
    benefit from sharedmem / multiprocessing.

"""
import sharedmem

word_count = {
        'sharedmem': 0,
        'pool': 0,
        }

with sharedmem.MapReduce() as pool:

    def work(line):
        # create a fresh local counter dictionary
        my_word_count = dict([(word, 0) for word in word_count])

        for word in line.replace('.', ' ').split():
            if word in word_count:
                my_word_count[word] += 1

        return my_word_count

    def reduce(her_word_count):
        for word in word_count:
            word_count[word] += her_word_count[word]

    pool.map(work, open(__file__, 'r').readlines(), reduce=reduce)

    parallel_result = dict(word_count)

    # establish the ground truth from the sequential counter
    sharedmem.set_debug(True)

    for word in word_count:
        word_count[word] = 0

    pool.map(work, open(__file__, 'r').readlines(), reduce=reduce)
    sharedmem.set_debug(False)

for word in word_count:
    assert word_count[word] == parallel_result[word]
'''


def run(example, tmp_path, workers):
    program = tmp_path / "example.py"
    program.write_text(example.replace("import sharedmem", "from shm.compat import sharedmem"))
    environment = {**os.environ, "OMP_NUM_THREADS": str(workers)}
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_integral(tmp_path):
    for workers in (1, 2, 5):
        run(INTEGRATE, tmp_path, workers)


def test_the_word_count(tmp_path):
    for workers in (1, 3):
        run(COUNT + "\nassert word_count['sharedmem'] >= 2 and word_count['pool'] >= 2, word_count\n", tmp_path, workers)
