"""The example of SharedArray's page as a program, with only the import changed (and the name, so that runs do not meet)."""

import subprocess
import sys

EXAMPLE = """
import numpy as np
import SharedArray as sa

# Create an array in shared memory
a = sa.create("shm://test", 10)

# Attach it as a different array. This can be done from another
# python interpreter as long as it runs on the same computer.
b = sa.attach("shm://test")

# See how they are actually sharing the same memory block
a[0] = 42
print(b[0])

# Destroying a does not affect b.
del a
print(b[0])

# See how "test" is still present in shared memory even though we
# destroyed the array a.
sa.list()

# Now destroy the array "test" from memory.
sa.delete("test")

# The array b is not affected, but once you destroy it then the
# data are lost.
print(b[0])
"""


def test_the_example(name):
    program = EXAMPLE.replace("import SharedArray as sa", "from shm.compat import SharedArray as sa").replace("test", name)
    assert name in program
    # What it leaves to the interactive reader to see is seen here.
    program = program.replace("sa.list()", f"assert ('{name}', np.float64, (10,)) in sa.list()")
    program += f"\nassert '{name}' not in [each.name for each in sa.list()]\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("42.0\n42.0\n42.0\n", "")


TWO = """
import SharedArray as sa
b = sa.attach("shm://test")
b[0] = 42
"""


def test_from_another_interpreter_as_it_says(name):
    from shm.compat import SharedArray as sa

    a = sa.create(f"shm://{name}", 10)
    program = TWO.replace("import SharedArray as sa", "from shm.compat import SharedArray as sa").replace("test", name)
    subprocess.run([sys.executable, "-c", program], check=True)
    assert a[0] == 42
    sa.delete(name)
