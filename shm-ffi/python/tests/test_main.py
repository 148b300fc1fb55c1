"""``python -m shm``: the command-line tool inside the package. What it does is tested in `shm-core/tests/cli`; here is that it is that tool."""

import json
import os
import select
import signal
import subprocess
import sys

import numpy as np
import pytest

import shm


def tool(*words, **options):
    command = [sys.executable, "-m", "shm", *words]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)


def test_list_and_inspect(name):
    shm.create(name, (2, 3), "f4")
    (found,) = [line for line in tool("list").stdout.splitlines() if line.startswith(f"shm://{name}\t")]
    assert "f32" in found
    told = json.loads(tool("list", "--json").stdout)
    assert f"shm://{name}" in [each["name"] for each in told["segments"]]
    done = tool("inspect", name, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["segment"]["entries"][0]["array"]["shape"] == [2, 3]
    assert name in tool("inspect", name).stdout


def test_dump(name, tmp_path):
    a = shm.copy([[1.5, 2], [3, 4]], name=name)
    assert tool("dump", name).stdout == "1.5 2.0\n3.0 4.0\n"
    assert tool("dump", name, "-o", "table.npy", cwd=tmp_path).returncode == 0
    assert np.array_equal(np.load(tmp_path / "table.npy"), a)
    done = subprocess.run([sys.executable, "-m", "shm", "dump", "--npy", name], capture_output=True, check=True)
    assert done.stdout == (tmp_path / "table.npy").read_bytes()


def test_copy(names, tmp_path):
    one, two = names(), names()
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6).reshape(2, 3))
    assert tool("copy", str(path), one).returncode == 0
    assert tool("copy", one, two).returncode == 0
    assert shm.attach(two).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_delete(names):
    one, two = names(), names()
    a = shm.create(one, 3)
    done = tool("delete", one, two)
    assert done.returncode == 1 and two in done.stderr and one not in done.stderr
    a[0] = 1
    with pytest.raises(FileNotFoundError):
        shm.attach(one)


def test_reap(tmp_path):
    # Not in /dev/shm: whoever creates or lists there removes what is dead, too.
    name = f"file://{tmp_path / 'dead'}"
    code = "import os, shm, signal, sys; a = shm.create(sys.argv[1], 3, lifetime='scoped'); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code, name])
    assert os.listdir(tmp_path) == ["dead"]
    assert tool("reap", "--dir", str(tmp_path)).stdout.splitlines() == [name]
    assert tool("reap", "--dir", str(tmp_path)).stdout == "" and os.listdir(tmp_path) == []
    assert tool("reap").returncode == 0


def test_what_is_wrong():
    done = tool("inspect", "no-such-name-here")
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("shm: cannot ")
    done = tool("pile")
    assert done.returncode == 2 and "-m shm" in done.stderr and "pile" in done.stderr
    assert tool().returncode == 2
    assert tool("--version").stdout.startswith(f"shm {shm.__version__} ")
    assert "-m shm dump" in tool("dump", "--help").stdout


def test_nobody_reads_on(name):
    shm.create(name, 1 << 20)
    command = [sys.executable, "-m", "shm", "dump", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (0, b"")


def test_ctrl_c_ends_it(name):
    shm.create(name, 1 << 20)
    command = [sys.executable, "-m", "shm", "dump", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert select.select([process.stdout], [], [])  # it is at work, and soon the pipe is full
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert process.stderr.read() == b""
