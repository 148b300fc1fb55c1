"""What type checkers are told is what is there: the stub against the native module, the annotations against the code, and a user's program."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy")

PROGRAM = """
import numpy as np
import shm

a: shm.SharedArray = shm.create("x", (2, 3), np.float32, lifetime="scoped", beside={"lock": shm.Lock})
b: np.ndarray = shm.attach("x", readonly=True)[1:]
with shm.Lock.beside(a, "lock") as held:
    reveal_type(held)
reveal_type(shm.Semaphore.create("y", 3))
reveal_type(shm.Condition().wait_for(lambda: 5))
names = [info.name for info in shm.list()]
reveal_type(names)
shm.create("x", 3, colour="red")
shm.Lock().acquire("soon")
shm.attach(3)
"""


def run(*words, cwd):
    return subprocess.run([sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True)


def test_the_stub_says_what_the_module_has(tmp_path):
    words = ["mypy.stubtest", "shm._shm"]
    if "--ignore-disjoint-bases" in run("mypy.stubtest", "--help", cwd=tmp_path).stdout:
        words.append("--ignore-disjoint-bases")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_builds_without_the_lock_are_refused_clearly():
    code = (
        "import sysconfig; known = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else known(name)\n"
        "try:\n    import shm\nexcept ImportError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "free-threaded" in said


def test_a_program_is_checked(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    said = run("mypy", "--cache-dir", str(tmp_path / "cache"), "program.py", cwd=tmp_path).stdout.splitlines()
    notes = [line.split("Revealed type is ")[1].strip("\"").replace("builtins.", "") for line in said if "Revealed" in line]
    assert [note.lower().replace("optional[str]", "str | none").replace("union[str, none]", "str | none") for note in notes] == [
        "bool",
        "shm._sync.semaphore",
        "int",
        "list[str | none]",
    ], said
    errors = [line for line in said if ": error:" in line]
    assert len(errors) == 3 and [int(line.split(":")[1]) for line in errors] == [13, 14, 15], said
