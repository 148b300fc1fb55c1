"""What all tests share: names that are removed whatever happens, a limit for what hangs, and the result in the form that `cargo xtask test` adds up."""

import faulthandler
import gc
import itertools
import os
import signal

import pytest

import shm

_numbers = itertools.count()


def pytest_addoption(parser):
    parser.addoption("--only", metavar="TEXT", help="only tests whose name contains TEXT")


def pytest_configure(config):
    # Standard error as it is here: later pytest captures it, and keeps what it has captured from a process that ends at once.
    global _stderr
    _stderr = os.dup(2)


def pytest_collection_modifyitems(config, items):
    only = config.getoption("--only")
    if only is not None:
        config.hook.pytest_deselected(items=[item for item in items if only not in item.nodeid])
        items[:] = [item for item in items if only in item.nodeid]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    # That a filter fits none of these tests is no failure.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.getoption("--only") is not None:
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter):
    count = {what: len(terminalreporter.stats.get(what, [])) for what in ("passed", "failed", "error", "skipped")}
    failed = count["failed"] + count["error"]
    terminalreporter.write_line(
        f"test result: {'FAILED' if failed else 'ok'}. {count['passed']} passed; {failed} failed; "
        f"{count['skipped']} ignored; 0 measured; 0 filtered out"
    )


# A background job of a shell begins with Ctrl-C ignored, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def watchdog():
    """Ends the whole run, with all stacks, if one test hangs."""
    faulthandler.dump_traceback_later(120, exit=True, file=_stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def leftovers():
    """Fails a test that leaves something in /dev/shm which carries this process's mark."""
    yield
    mark = f"shm-py-{os.getpid()}-"
    left = [name for name in os.listdir("/dev/shm") if name.startswith(mark)]
    for name in left:
        os.unlink(f"/dev/shm/{name}")
    assert not left


def children():
    found = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                found.update(file.read().split())
        except FileNotFoundError:
            pass
    return found


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def nothing_left():
    """Fails a test that a child, dead or alive, or a descriptor outlives."""
    gc.collect()
    before, open_before = children(), descriptors()
    yield
    gc.collect()
    assert children() <= before
    assert descriptors() <= open_before + 1  # the connection to the keeper stays


@pytest.fixture
def names():
    """Makes names that nobody has, and removes what they lead to."""
    made = []

    def name():
        made.append(f"shm-py-{os.getpid()}-{next(_numbers)}")
        return made[-1]

    yield name
    for each in made:
        try:
            shm.delete(each)
        except FileNotFoundError:
            pass


@pytest.fixture
def name(names):
    return names()
