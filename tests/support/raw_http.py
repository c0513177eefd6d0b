"""HTTP by the byte, over a socket: what no client library would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class RawAnswer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawConnection:
    """A connection on which a test says what it likes."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.file = connection.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self, *, is_head: bool = False) -> RawAnswer:
        """The next answer; fails where the connection ends before its end."""
        status_line = self.file.readline()
        assert status_line.startswith(b"HTTP/1."), status_line
        headers: dict[str, str] = {}
        while line := self.file.readline().strip().decode("latin-1"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(status_line.split()[1])
        if is_head or status == 100:
            return RawAnswer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, b"".join(self._chunks()))
        body = self.file.read(int(headers.get("content-length", 0)))
        assert len(body) == int(headers.get("content-length", 0)), "the answer is cut off"
        return RawAnswer(status, headers, body)

    def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        received = b""
        try:
            while part := self.file.read1(65536):
                received += part
        except ConnectionResetError:
            pass
        return received

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.file.readline(), 16):
            chunk = self.file.read(size + 2)
            assert len(chunk) == size + 2, "the answer is cut off"
            yield chunk[:-2]
        assert self.file.readline() == b"\r\n"


@contextmanager
def connected(port: int, receive_buffer: int | None = None) -> Iterator[RawConnection]:
    """A connection to that port of this host, closed at the end."""
    with socket.socket() as connection:
        connection.settimeout(60)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", port))
        raw = RawConnection(connection)
        with raw.file:
            yield raw


def ask(port: int, *parts: bytes) -> RawAnswer:
    """The first answer to these very bytes."""
    with connected(port) as connection:
        connection.send(*parts)
        return connection.answer()
