"""Pickling by reference: what a pickled array says about its memory, and how whoever unpickles it comes to that memory.

A reference names the object that it means (device, inode, time of creation), never an address. It is followed by the first of these that
works: this process has the memory mapped already (as a forked child has, say); the keeper holds it for this reference (`_keeper.py`); it
has a name; its sender still has it, and the kernel lends the sender's descriptor.
"""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import stat
import subprocess
import threading
from multiprocessing import process as _processes
from multiprocessing.reduction import ForkingPickler
from multiprocessing.spawn import get_executable

import numpy as np

from . import _keeper, _shm
from ._array import SharedArray
from ._errors import NotFoundError
from ._shm import memory_of

_NO_TICKET = b""
_PATIENCE = 30.0  # seconds; the keeper answers in microseconds


class _Client:
    """This process's connection to the keeper."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None
        self.watched = False
        self.pid = os.getpid()
        self.parent = None  # process id of the one that forked this one, if a fork of Python's did it

    def forked(self):
        """In a forked child: the connection is the parent's."""
        self.lock = threading.Lock()
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.watched = False
        self.parent, self.pid = self.pid, os.getpid()

    def hold(self, memory):
        """Hands over a lease and returns its ticket; no ticket if there can be no keeper here."""
        ticket = secrets.token_bytes(_keeper.TICKET)
        lease = memory.lease()
        try:
            answer = self.ask(b"H" + ticket, (lease,), start=True)
        finally:
            os.close(lease)
        return ticket if answer is not None and answer[0] == b"y" else _NO_TICKET

    def take(self, ticket):
        """Returns the descriptor of a lease, or None if the keeper does not have it."""
        answer = self.ask(b"T" + ticket)
        return answer[1][0] if answer is not None and answer[1] else None

    def drop(self, ticket):
        """Says that a lease is not needed any more."""
        if ticket:
            self.ask(b"D" + ticket)

    def ask(self, request, descriptors=(), start=False):
        """Asks, connecting if need be; nothing if there is no keeper and none is to be started, or none can be."""
        with self.lock:
            # A keeper that is just ending closes the connection: then there will be another one.
            for _ in range(20):
                try:
                    if self.connection is None and not self.connect(start):
                        return None
                    if start and not self.watched:
                        self.watch()
                    return self.exchange(request, descriptors)
                except socket.timeout:
                    self.disconnect()
                    return None  # it is stopped, or something else than a keeper
                except OSError:
                    self.disconnect()
                except BaseException:
                    self.disconnect()  # an answer may be under way that nobody waits for any more
                    raise
            return None

    def disconnect(self):
        self.connection, gone = None, self.connection
        self.watched = False
        if gone is not None:
            gone.close()

    def exchange(self, request, descriptors=()):
        _keeper.send(self.connection, request, descriptors)
        answer, given = _keeper.receive(self.connection)
        if not answer:
            raise ConnectionError
        return answer, given

    def connect(self, start):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(_PATIENCE)
        try:
            try:
                connection.connect(_keeper.address())
            except ConnectionRefusedError:
                if not start or not _start_keeper():
                    return False
                connection.connect(_keeper.address())
            if not _keeper.peer_is_me(connection):
                return False
            self.connection, connection = connection, None
            return True
        finally:
            if connection is not None:
                connection.close()

    def watch(self):
        """Names the processes with which the leases of this one shall end: itself, and who started it."""
        pidfds = [os.pidfd_open(os.getpid())]
        starter = _processes.parent_process()
        pid = starter.pid if starter is not None else self.parent
        if pid is not None:
            try:
                pidfd = os.pidfd_open(pid)
                # Asked after it was opened: then it is the one that was meant, not a later one of that number.
                (pidfds.append if os.getppid() == pid or _is_alive(starter) else os.close)(pidfd)
            except ProcessLookupError:
                pass
        try:
            self.exchange(b"W", pidfds)
            self.watched = True
        finally:
            for pidfd in pidfds:
                os.close(pidfd)


def _is_alive(process):
    try:
        return process is not None and process.is_alive()
    except ValueError:
        return False  # whoever made the process by other means than multiprocessing's has given it no way to ask


_client = _Client()
os.register_at_fork(after_in_child=_client.forked)


def _start_keeper():
    executable = get_executable()
    if not executable:
        return False
    command = [executable, "-I", "-S", _keeper.__file__]
    nothing = subprocess.DEVNULL
    try:
        subprocess.run(
            command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def reduce(array, protocol=pickle.DEFAULT_PROTOCOL):
    """What `__reduce_ex__` returns: a reference if the elements are shared, otherwise what NumPy says."""
    memory = memory_of(array)
    if memory is None or memory.access == "copy-on-write":
        return (array.view(np.ndarray) if isinstance(array, SharedArray) else array).__reduce_ex__(protocol)
    interface = array.__array_interface__
    view = (array.dtype, array.shape, array.strides, interface["data"][0] - memory.mapping, array.flags.writeable)
    return _rebuild, (type(array), refer(memory), view)


def refer(memory):
    """A reference to memory, for `follow`. It keeps the memory until it is followed, or its sender and who started that have ended."""
    identity, name = memory.identity, memory.name
    ticket = _NO_TICKET if memory.is_raw or _stays(memory, name, identity) else _client.hold(memory)
    return identity, memory.is_raw, name, memory.access, ticket, os.getpid(), memory.fileno()


def _stays(memory, name, identity):
    """Whether the name will lead to the memory until somebody deletes it."""
    if name is None or memory.lifetime != "persistent":
        return False
    try:
        found = os.stat(_path(name), follow_symlinks=False)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity[:2]


def _path(name):
    prefix, _, rest = name.partition("://")
    return f"/dev/shm/{rest}" if prefix == "shm" else rest


def _rebuild(kind, where, view):
    try:
        memory = follow(*where)
        dtype, shape, strides, offset, writable = view
        array = _shm.rebuild(memory, dtype, shape, strides, offset, writable)
    except OverflowError as error:
        raise ValueError(f"the reference to shared memory is damaged: {error}") from None
    return array if kind is SharedArray else array.view(kind)


def follow(identity, raw, name, access, ticket, pid, descriptor):
    """Finds the memory that a reference means."""
    memory = _shm.find(identity, access)
    if memory is not None:
        _client.drop(ticket)
        return memory
    if raw:
        return _shm.open_raw(name, identity, access)
    if ticket:
        lease = _client.take(ticket)
        if lease is not None:
            return _shm.open_descriptor(lease, identity, access)
    if name is not None:
        try:
            return _shm.open_name(name, identity, access)
        except FileNotFoundError:
            pass  # the name is gone, but the memory may be there
    lent = _borrow(identity, access, pid, descriptor)
    if lent is not None:
        return _shm.open_descriptor(lent, identity, access)
    subject = name or "anonymous memory"
    raise NotFoundError(
        f"cannot follow the reference to {subject}: it was deleted, or the reference was followed before and its sender (process {pid}) "
        "has let go of the memory since; keep the array in the sender as long as references to it are on their way"
    )


def _borrow(identity, access, pid, descriptor):
    """The sender's descriptor, if that process is there and still has the memory."""
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) != identity[:2]:
            return None
        mode = os.O_RDONLY if access == "read-only" else os.O_RDWR
        return os.open(path, mode | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


SharedArray.__reduce_ex__ = reduce  # type: ignore[method-assign]
for _kind in (np.ndarray, np.recarray, np.matrix):
    ForkingPickler.register(_kind, reduce)
