"""The keeper: a small helper process that keeps what references on their way lead to. This file is its whole program, and its protocol.

A pickled array is a reference, a few bytes in a pipe or a queue, and bytes keep nothing alive: when the sender drops the array, or exits,
before the receiver has read them, memory without a name would be gone. So the sender hands the keeper a lease of the memory (a
descriptor, which counts as an attachment) under a ticket, and the receiver takes it out by the ticket.

There is one keeper for each user, started when the first such reference is made. It holds descriptors and nothing else, and looks at no
memory. A lease goes when its ticket is taken, or when the sender and the process that started the sender have both ended (the kernel
says so: pidfds). The keeper ends when nobody is connected and no lease is left. If it is killed, only references that are on their way at
that moment are lost, and whoever follows one is told.

It listens on an abstract socket of packets, and serves processes of its own user only. A request is one packet, and so is its answer:

    "W" + up to two pidfds      the sender, and the process that started it     -> "y"
    "H" + ticket + descriptor   hold this                                       -> "y", or "n" if it cannot
    "T" + ticket                take it                                         -> "y" + descriptor, or "n"
    "D" + ticket                it is not needed any more                       -> "y"
"""

import array
import os
import socket
import struct
import sys

TICKET = 16
_CREDENTIALS = struct.Struct("3i")


def address():
    """Where this user's keeper listens."""
    return f"\0shm-keeper-1-{os.geteuid()}"


def peer_is_me(connection):
    """Whether the process at the other end belongs to this user."""
    answer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(answer)[1] == os.geteuid()


def send(connection, message, descriptors=()):
    """Sends a packet."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([message], rights, socket.MSG_NOSIGNAL)


def receive(connection, most=2):
    """Receives a packet and the descriptors in it; an empty one if the other end has closed."""
    size = array.array("i").itemsize
    message, rights, flags, _ = connection.recvmsg(64, socket.CMSG_SPACE(most * size), socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, data in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % size])
    return message, list(found)


class Keeper:
    """All that the keeper knows."""

    def __init__(self, listener):
        import selectors

        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.leases = {}  # (device, inode) -> [descriptor, number of tickets]
        self.tickets = {}  # ticket -> (key of the lease, sender)
        self.senders = {}  # connection -> the sender at its other end
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.readable = selectors.EVENT_READ

    def run(self):
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)
            if not self.senders and not self.tickets:
                return

    def accept(self, listener):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if not peer_is_me(connection):
            connection.close()
            return
        self.senders[connection] = Sender()
        self.selector.register(connection, self.readable, self.serve)

    def serve(self, connection):
        try:
            message, descriptors = receive(connection)
            if not message:
                raise ConnectionError
            answer, given = self.answer(self.senders[connection], message[:1], message[1:], descriptors)
            send(connection, answer, given)
            if message[:1] == b"T" and given:
                self.drop(message[1:])
        except OSError:
            self.selector.unregister(connection)
            self.senders.pop(connection)
            connection.close()

    def answer(self, sender, what, ticket, descriptors):
        if what == b"W":
            for descriptor in descriptors:
                sender.watched.add(descriptor)
                self.selector.register(descriptor, self.readable, lambda ended: self.ended(sender, ended))
            return b"y", ()
        if what == b"H" and len(descriptors) == 1 and len(ticket) == TICKET and sender.watched:
            (descriptor,) = descriptors
            found = os.fstat(descriptor)
            key = (found.st_dev, found.st_ino)
            if key in self.leases:
                os.close(descriptor)
                self.leases[key][1] += 1
            else:
                self.leases[key] = [descriptor, 1]
            self.tickets[ticket] = (key, sender)
            sender.tickets.add(ticket)
            return b"y", ()
        for descriptor in descriptors:
            os.close(descriptor)
        if what == b"T" and ticket in self.tickets:
            return b"y", (self.leases[self.tickets[ticket][0]][0],)
        if what == b"D":
            self.drop(ticket)
            return b"y", ()
        return b"n", ()

    def drop(self, ticket):
        key, sender = self.tickets.pop(ticket, (None, None))
        if key is None:
            return
        sender.tickets.discard(ticket)
        lease = self.leases[key]
        lease[1] -= 1
        if lease[1] == 0:
            del self.leases[key]
            os.close(lease[0])

    def ended(self, sender, descriptor):
        self.selector.unregister(descriptor)
        os.close(descriptor)
        sender.watched.discard(descriptor)
        if not sender.watched:
            for ticket in list(sender.tickets):
                self.drop(ticket)


class Sender:
    """One who has handed over leases: the tickets, and the pidfds of those who live."""

    def __init__(self):
        self.tickets = set()
        self.watched = set()


def main():
    """Starts the keeper and returns when it can be reached; another one that was faster is as good."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(address())
    except OSError:
        return
    listener.listen(64)
    if os.fork():
        os._exit(0)  # whoever started it waits for this process only
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener.settimeout(10)
    try:
        first, _ = listener.accept()  # whoever started it, unless that one was killed meanwhile
    except OSError:
        return
    listener.setblocking(False)
    keeper = Keeper(listener)
    if peer_is_me(first):
        keeper.senders[first] = Sender()
        keeper.selector.register(first, keeper.readable, keeper.serve)
    else:
        first.close()
    keeper.run()


if __name__ == "__main__":
    sys.exit(main())
