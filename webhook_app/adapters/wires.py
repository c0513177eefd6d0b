"""Connected sockets that never block by themselves, so that sending and receiving end at a deadline.

A time-out that is set on a socket costs a call to the kernel each time it is set, and one more before each send and
receive; each of them gives the interpreter's lock away, for which other threads wait.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Wire:
    """For one thread at a time. Deadlines are by `time.monotonic`; whoever reaches one raises TimeoutError."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reading = select.poll()
        self._reading.register(sock, select.POLLIN)
        #: TLS may hold bytes that the kernel has no more, so there it is asked first.
        self._may_hold = isinstance(sock, ssl.SSLSocket)

    def is_silent(self) -> bool:
        """Whether the other side has neither closed it nor said what nobody has read."""
        return not self._reading.poll(0)

    def send(self, data: ReadableBuffer, deadline: float) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait_to_write(deadline)
            except ssl.SSLWantReadError:
                self._wait_to_read(deadline)

    def receive(self, buffer: WriteableBuffer, deadline: float) -> int:
        """How many bytes were received; 0 where the other side has closed it."""
        if not self._may_hold:
            self._wait_to_read(deadline)
        while True:
            try:
                return self._sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait_to_read(deadline)
            except ssl.SSLWantWriteError:
                self._wait_to_write(deadline)

    def close(self) -> None:
        self._sock.close()

    def _wait_to_read(self, deadline: float) -> None:
        _wait(self._reading, deadline)

    def _wait_to_write(self, deadline: float) -> None:
        writing = select.poll()
        writing.register(self._sock, select.POLLOUT)
        _wait(writing, deadline)


def _wait(poll: select.poll, deadline: float) -> None:
    seconds = deadline - time.monotonic()
    if seconds <= 0 or not poll.poll(seconds * 1000):
        raise TimeoutError("it did not end in time")
